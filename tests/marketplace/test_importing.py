"""Imports end in a report whose counts add up, in a queue and in a change set; never in a live row, and never with a zero for an unknown."""

import json
import time
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import User
from config import jobs
from config.models import JobState
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.importers.files import LARGEST
from marketplace.models import (
    Alias,
    CatalogImport,
    ChangeSet,
    ChangeSetState,
    Discrepancy,
    DiscrepancyState,
    Evaluation,
    ImportState,
    ModelVersion,
    Offering,
    OfferingRevision,
    Plan,
    PriceRow,
    PriceVersion,
    StagedRow,
)
from marketplace.services import change_sets, importing
from tests import make
from tests.depth import examples
from tests.marketplace.conftest import Catalog

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalog"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data files are not here")
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
TODAY = AT.date()
LIVE = (Offering, OfferingRevision, Plan, PriceVersion, PriceRow, ModelVersion, Alias, Evaluation)

pytestmark = pytest.mark.django_db


def entry(provider: str = "groq", **more: Any) -> dict[str, Any]:
    return {
        "litellm_provider": provider,
        "mode": "chat",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        **more,
    }


def read(
    content: bytes | dict[str, Any] | None,
    by: User,
    source: str = "litellm",
    on: date = TODAY,
    name: str = "file.json",
) -> CatalogImport:
    """Started and worked off."""
    data = json.dumps(content).encode() if isinstance(content, dict) else content
    run = importing.start_import(source=source, content=data, file_name=name, stated_on=on, by=by, at=AT)
    job = jobs.work_off(job_id=run.job_id or 0, now=lambda: AT)
    assert job.state == JobState.DONE, job.error
    return CatalogImport.objects.get(pk=run.pk)


def row(run: CatalogImport, key: str) -> StagedRow:
    return StagedRow.objects.get(run=run, key=key)


def live() -> tuple[int, ...]:
    return tuple(model._default_manager.count() for model in LIVE)


def approved(made: ChangeSet, by: User) -> ChangeSet:
    change_sets.submit(change_set_id=made.pk, by=made.made_by, at=AT)
    change_sets.take_up(change_set_id=made.pk, by=by, at=AT)
    return change_sets.approve(change_set_id=made.pk, by=by, at=AT)


@pytest.fixture
def keeper(db: None) -> User:
    return make.user(role="catalog_manager", name="Ines Import")


@pytest.fixture
def second(db: None) -> User:
    return make.user(role="catalog_manager", name="Rita Reviewer")


def test_every_defect_lands_where_it_should_and_nothing_goes_live(catalog: Catalog, keeper: User) -> None:
    before = live()
    content = (
        "{"
        '"sample_spec": {"litellm_provider": "one of", "mode": "one of"},'
        f'"groq/no-such-day": {json.dumps(entry(deprecation_date="2025-02-31"))},'
        '"groq/price-null": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": null, "output_cost_per_token": 1e-06},'
        '"groq/exact": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1.5e-05, "output_cost_per_token": 2e-06},'
        f'"groq/retired": {json.dumps(entry(deprecation_date="2025-04-30", input_cost_per_token=9e-06))},'
        f'"groq/one-model": {json.dumps(entry(input_cost_per_token=4e-06))},'
        f'"groq/one-model-2026-01-14": {json.dumps(entry(input_cost_per_token=4e-06))},'
        f'"azure_ai/claude-sonnet-4-5": {json.dumps(entry("azure_ai", input_cost_per_token=3.6e-06, output_cost_per_token=1.5e-05))},'
        '"groq/nan": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": NaN, "output_cost_per_token": 1e-06},'
        '"groq/negative": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": -1e-06, "output_cost_per_token": 1e-06},'
        f'"groq/zeros": {json.dumps(entry(input_cost_per_token=0, output_cost_per_token=0))},'
        f'"groq/twice": {json.dumps(entry())}, "groq/twice": {json.dumps(entry(input_cost_per_token=5e-06))}'
        "}"
    )
    # Ours of that offering is from elsewhere, so that a tenth's difference is a disagreement between sources.
    PriceVersion.objects.filter(plan__offering__slug="claude-sonnet-4-5").update(source="A contract")
    run = read(content.encode(), keeper)

    assert run.rows == 13
    assert sum(run.counts.values()) == 13
    found = {(r.key, r.outcome, r.code) for r in StagedRow.objects.filter(run=run)}
    assert found == {
        ("sample_spec", "left_out", "sample"),
        ("groq/no-such-day", "refused", "no_such_day"),
        ("groq/price-null", "refused", "price_unknown"),
        ("groq/exact", "new", ""),
        ("groq/retired", "new", "retired"),
        ("groq/one-model", "new", ""),
        ("groq/one-model-2026-01-14", "new", "second_name"),
        ("azure_ai/claude-sonnet-4-5", "disagrees", "disagrees"),
        ("groq/nan", "refused", "not_finite"),
        ("groq/negative", "refused", "negative"),
        ("groq/zeros", "left_out", "zero_not_said_free"),
        ("groq/twice", "refused", "duplicate_key"),
    }
    assert live() == before

    [price] = row(run, "groq/exact").staged[0]["body"]["plans"][0]["prices"]
    assert price["rows"][0]["amount"] == "15"
    [alias] = row(run, "groq/one-model-2026-01-14").staged
    assert alias["operation"] == "alias.add"
    assert alias["body"]["offering"] == "groq-one-model"
    retired = row(run, "groq/retired").staged[0]["body"]
    assert (retired["available_on"], retired["retires_on"]) == (None, "2025-04-30")

    [dispute] = Discrepancy.objects.all()
    assert (dispute.field, dispute.ours, dispute.theirs) == (
        "price:input-tokens",
        "3 USD per million tokens",
        "3.6 USD per million tokens",
    )
    assert dispute.difference_ppm == 200_000
    assert (dispute.ours_from, dispute.theirs_from) == ("A contract", "LiteLLM, azure_ai/claude-sonnet-4-5")


def test_the_same_file_twice_is_proposed_already_then_unchanged(
    catalog: Catalog, keeper: User, second: User
) -> None:
    content = {f"groq/model-{n}": entry(input_cost_per_token=f"{n + 1}e-06") for n in range(5)}
    made = importing.propose(run_id=read(content, keeper).pk, by=keeper, at=AT)
    again = read(content, keeper)
    assert again.counts == {"unchanged": 5}
    assert set(StagedRow.objects.filter(run=again).values_list("code", "message")) == {
        ("already_proposed", f"Proposed already in CS-{made.pk}.")
    }
    with pytest.raises(Invalid, match="new or changed"):
        importing.propose(run_id=again.pk, by=keeper, at=AT)

    assert approved(made, second).state == ChangeSetState.APPLIED
    offering = Offering.objects.get(slug="groq-model-3")
    assert (offering.publication, offering.commercial_path, offering.path_assumed) == (
        "approved",
        "marketplace",
        True,
    )
    assert "Assumed" in offering.path_basis
    prices = PriceRow.objects.filter(version__plan__offering=offering)
    assert set(prices.values_list("meter", "amount")) == {
        ("input-tokens", Decimal(4)),
        ("output-tokens", Decimal(2)),
    }
    third = read(content, keeper)
    assert third.counts == {"unchanged": 5}
    assert not StagedRow.objects.filter(run=third).exclude(code="").exists()
    assert StagedRow.objects.get(run=third, key="groq/model-3").offering == offering


def test_a_newer_price_of_the_same_source_ends_ours_and_an_older_one_does_not(
    catalog: Catalog, keeper: User, second: User
) -> None:
    approved(importing.propose(run_id=read({"groq/m": entry()}, keeper).pk, by=keeper, at=AT), second)
    dearer = {"groq/m": entry(input_cost_per_token=3e-06)}
    older = read(dearer, keeper, on=date(2026, 8, 1))
    assert older.counts == {"unchanged": 1}
    later = read(dearer, keeper, on=date(2026, 9, 1))
    assert later.counts == {"changed": 1}
    [item] = row(later, "groq/m").staged
    assert (item["operation"], item["body"]["start"], item["body"]["ends_previous"]) == (
        "price.add",
        "2026-09-01",
        True,
    )
    assert (
        approved(importing.propose(run_id=later.pk, by=keeper, at=AT), second).state == ChangeSetState.APPLIED
    )
    spans = PriceVersion.objects.filter(plan__offering__slug="groq-m").order_by("pk").values_list("effective")
    assert [(s.lower, s.upper) for (s,) in spans] == [
        (TODAY, date(2026, 9, 1)),
        (date(2026, 9, 1), None),
    ]
    assert not Discrepancy.objects.exists()


def test_another_seller_of_our_model_can_disagree_and_adds_nothing(catalog: Catalog, keeper: User) -> None:
    content = {
        "claude-sonnet-4-5": entry(
            "anthropic",
            input_cost_per_token=3e-06,
            output_cost_per_token=1.5e-05,
            input_cost_per_token_batches=1.5e-06,
            cache_creation_input_token_cost_above_1hr=6e-06,
            deprecation_date="2027-01-01",
        ),
        "claude-haiku-4-5": entry("anthropic", input_cost_per_token=8e-07, output_cost_per_token=5e-06),
    }
    run = read(content, keeper)
    assert (row(run, "claude-sonnet-4-5").outcome, row(run, "claude-sonnet-4-5").staged) == ("unchanged", [])
    assert row(run, "claude-haiku-4-5").outcome == "disagrees"
    assert [d.difference_ppm for d in Discrepancy.objects.all()] == [-200_000]


def test_one_disagreement_is_open_once_and_decided_with_a_reason(
    catalog: Catalog, keeper: User, second: User
) -> None:
    content = {
        "claude-haiku-4-5": entry("anthropic", input_cost_per_token=8e-07, output_cost_per_token=5e-06)
    }
    read(content, keeper)
    read(content, keeper)
    [dispute] = Discrepancy.objects.all()
    with pytest.raises(Invalid, match="Say why"):
        importing.decide_discrepancy(discrepancy_id=dispute.pk, take=False, reason=" ", by=keeper, at=AT)
    importing.decide_discrepancy(
        discrepancy_id=dispute.pk, take=False, reason="Their promotion", by=keeper, at=AT
    )
    with pytest.raises(Conflict, match="decided"):
        importing.decide_discrepancy(discrepancy_id=dispute.pk, take=True, reason="x", by=keeper, at=AT)
    third = read(content, keeper)
    assert (row(third, "claude-haiku-4-5").outcome, row(third, "claude-haiku-4-5").code) == (
        "unchanged",
        "kept_before",
    )
    assert Discrepancy.objects.count() == 1

    cheaper = {
        "claude-haiku-4-5": entry("anthropic", input_cost_per_token=7e-07, output_cost_per_token=5e-06)
    }
    read(cheaper, keeper)
    fresh = Discrepancy.objects.get(state=DiscrepancyState.OPEN)
    _found, made = importing.decide_discrepancy(
        discrepancy_id=fresh.pk, take=True, reason="The contract says so", by=keeper, at=AT
    )
    assert made is not None
    assert not made.findings.filter(severity="error").exists()
    assert approved(made, second).state == ChangeSetState.APPLIED
    price = PriceVersion.objects.get(plan__offering__slug="claude-haiku-4-5", effective__startswith=TODAY)
    assert price.rows.get(meter="input-tokens").amount == Decimal("0.7")
    assert price.rows.get(meter="output-tokens").amount == 5
    assert price.effective.upper == date(2026, 11, 15)


def test_a_row_that_needs_another_brings_it_along(catalog: Catalog, keeper: User, second: User) -> None:
    content = {
        "azure/gpt-9": entry("azure"),
        "azure/eu/gpt-9": entry("azure", input_cost_per_token=1.1e-06),
        "azure/gpt-9-2026-07-07": entry("azure"),
        "azure/nobodys-model": entry("azure"),
    }
    run = read(content, keeper)
    assert row(run, "azure/nobodys-model").code == "maker_unknown"
    further = row(run, "azure/eu/gpt-9")
    assert further.code == "further_plan"
    made = importing.propose(run_id=run.pk, row_ids=[further.pk], by=keeper, at=AT)
    assert [i.operation for i in made.items.order_by("position")] == [
        "offering.create",
        "plan.create",
        "alias.add",
    ]
    assert approved(made, second).state == ChangeSetState.APPLIED
    gpt = Offering.objects.get(slug="gpt-9")
    assert gpt.publisher.slug == "openai"
    assert list(gpt.plans.order_by("position").values_list("slug", "zone")) == [
        ("standard", ""),
        ("data-zone-eu", "eu"),
    ]


def dated_prices_of_the_package_are_recorded_by_date_and_announced(run: CatalogImport) -> None:
    staged = StagedRow.objects.get(run=run, provider="deepseek", key="deepseek-v4-flash").staged[0]["body"]
    standard = next(p for p in staged["plans"] if p["slug"] == "standard")
    assert [(p["start"], p["end"]) for p in standard["prices"]] == [
        ("2026-08-14", "2026-08-17"),
        ("2026-08-17", "2026-09-10"),
        ("2026-09-10", None),
    ]


def test_results_that_are_there_are_unchanged_and_other_scores_disagree(
    catalog: Catalog, keeper: User
) -> None:
    known = Evaluation.objects.filter(benchmark="aider-polyglot", dated__isnull=False).first()
    assert known is not None
    head = "model,benchmark,metric,score,harness,variant,date,source\n"
    line = f"{known.subject},{known.benchmark},{known.metric},%s,{known.harness},{known.variant},%s,{known.source}\n"
    text = head + line % (known.score, known.dated) + line % (1, known.dated) + line % (2, "2026-08-01")
    text += f"{known.subject},Unheard Of,m,5,,,,s\n"
    run = read(text.encode(), keeper, source="evaluations", name="t.csv")
    assert list(StagedRow.objects.filter(run=run).order_by("number").values_list("outcome", "code")) == [
        ("unchanged", ""),
        ("disagrees", "other_score"),
        ("changed", "newer_result"),
        ("left_out", "task_unknown"),
    ]


def test_a_file_that_cannot_be_read_leaves_one_message_and_no_row(
    keeper: User, subtests: pytest.Subtests
) -> None:
    for content, said in (
        (b"{", "cut off"),
        (b"PK\x03\x04" + b"\x00" * 30, "ZIP archive or a spreadsheet"),
        (b"a,b,c", "not JSON"),
        (b"\xff\xfe\x00\xd8", "encoding"),
        (b"[" * 1000, "nests deeper"),
        (b'{"a": 1}', "not LiteLLM"),
    ):
        with subtests.test(said=said):
            run = read(content, keeper)
            assert (run.state, run.rows, run.content) == (ImportState.FAILED, 0, None)
            assert said in run.problem
            with pytest.raises(Conflict):
                importing.propose(run_id=run.pk, by=keeper, at=AT)
    assert not StagedRow.objects.exists()


def test_what_cannot_be_started_says_why(db: None, keeper: User) -> None:
    def start(by: User = keeper, **more: Any) -> Any:
        given: dict[str, Any] = {
            "source": "litellm",
            "content": b"{}",
            "file_name": "",
            "stated_on": TODAY,
        } | more
        return importing.start_import(**given, by=by, at=AT)

    for wrong, pointer in (
        ({"source": "rumours"}, "/source"),
        ({"content": b""}, "/file"),
        ({"content": None}, "/file"),
        ({"content": bytes(LARGEST + 1)}, "/file"),
        ({"stated_on": date(1999, 1, 1)}, "/stated_on"),
    ):
        with pytest.raises(Invalid) as refused:
            start(**wrong)
        assert [p.pointer for p in refused.value.problems] == [pointer]
    with pytest.raises(Forbidden):
        start(by=make.user(role="auditor"))
    with pytest.raises(NotFound):
        importing.propose(run_id=1, by=keeper, at=AT)
    assert not CatalogImport.objects.exists()


def test_a_reading_that_was_killed_goes_on_where_it_was(db: None, keeper: User) -> None:
    content = {f"groq/m-{n}": entry(input_cost_per_token=f"{n + 1}e-08") for n in range(1001)}
    run = importing.start_import(
        source="litellm",
        content=json.dumps(content).encode(),
        file_name="",
        stated_on=TODAY,
        by=keeper,
        at=AT,
    )
    job_id = run.job_id or 0
    for _ in range(2):
        assert jobs.step_once(job_id=job_id, at=AT)
    importing._under_way.clear()  # another process
    assert StagedRow.objects.filter(run=run).count() == 1000
    jobs.work_off(job_id=job_id, now=lambda: AT)
    run.refresh_from_db()
    assert (run.state, run.counts) == (ImportState.STAGED, {"new": 1001})
    assert set(StagedRow.objects.filter(run=run).values_list("number", flat=True)) == set(range(1, 1002))
    assert not jobs.step_once(job_id=job_id, at=AT)


def test_the_size_of_the_file_does_not_show_in_the_number_of_queries(catalog: Catalog, keeper: User) -> None:
    def queries(size: int) -> int:
        content = {f"groq/q{size}-{n}": entry(input_cost_per_token=f"{n + 1}e-08") for n in range(size)}
        with CaptureQueriesContext(
            connection,
        ) as captured:
            read(content, keeper)
        return len(captured)

    queries(2)
    assert queries(3) == queries(12)


@pytest.mark.parametrize("rows", [910, pytest.param(4550, marks=pytest.mark.soak)])
def test_a_long_file_is_staged_in_seconds(catalog: Catalog, keeper: User, rows: int) -> None:
    """The price file has some 4,550 rows."""
    kinds = [
        entry("bedrock", cache_read_input_token_cost=1e-07, max_input_tokens=200_000, supports_vision=True),
        entry("azure", input_cost_per_token_above_200k_tokens=3e-06, input_cost_per_token_batches=5e-07),
        entry("vertex_ai-language-models", deprecation_date="2027-01-01", metadata={"notes": "n" * 300}),
        {"litellm_provider": "fal_ai", "mode": "image_generation", "output_cost_per_image": 0.04},
        entry("groq", input_cost_per_token=None),
    ]
    content = {
        f"{kind['litellm_provider']}/gpt-x{n}": kind
        for n, kind in enumerate(kinds[i % 5] for i in range(rows))
    }
    began = time.perf_counter()
    run = read(content, keeper)
    assert time.perf_counter() - began < 20 * rows / 4550 + 1
    assert run.rows == rows
    assert sum(run.counts.values()) == rows
    assert run.counts["refused"] == rows // 5


@needs_shared
@pytest.mark.parametrize(
    ("source", "name", "rows", "step"),
    [
        ("genai-prices", "", 2330, 15),
        pytest.param("genai-prices", "", 2330, 1, marks=pytest.mark.soak),
        ("litellm", "litellm_sample.json", 276, 1),
        ("models-dev", "models_dev_providers.json", 837, 5),
        pytest.param("models-dev", "models_dev_providers.json", 837, 1, marks=pytest.mark.soak),
        ("models-dev", "models_dev_models.json", 231, 1),
        ("evaluations", "evaluations.csv", 453, 3),
        pytest.param("evaluations", "evaluations.csv", 453, 1, marks=pytest.mark.soak),
        ("aider", "aider_polyglot.yml", 69, 1),
    ],
)
def test_a_real_source_adds_up_and_what_it_proposes_is_sound(
    catalog: Catalog, keeper: User, source: str, name: str, rows: int, step: int
) -> None:
    """step: of a long one, every so many rows are proposed."""
    before = live()
    run = read((SHARED / name).read_bytes() if name else None, keeper, source=source, name=name)
    assert run.rows == rows or source == "genai-prices"
    counted = Counter(StagedRow.objects.filter(run=run).values_list("outcome", flat=True))
    assert dict(counted) == run.counts
    assert sum(counted.values()) == run.rows
    assert not StagedRow.objects.filter(run=run, outcome__in=["refused", "left_out"], message="").exists()
    assert live() == before
    if source == "genai-prices":
        dated_prices_of_the_package_are_recorded_by_date_and_announced(run)
    sample = importing.proposable(run).order_by("number")[::step]
    made = importing.propose(run_id=run.pk, row_ids=[each.pk for each in sample], by=keeper, at=AT)
    assert not list(made.findings.filter(severity="error").values_list("pointer", "code", "message")[:5])
    assert live() == before
    if name or step == 1:
        again = read((SHARED / name).read_bytes() if name else None, keeper, source=source, name=name)
        proposed = StagedRow.objects.filter(run=again, number__in=[each.number for each in sample])
        assert not {"new", "changed"} & set(proposed.values_list("outcome", flat=True))


class AnyFile(TestCase):
    @given(
        st.dictionaries(
            st.text(max_size=10),
            st.fixed_dictionaries(
                {"litellm_provider": st.sampled_from(["azure", "groq", "anthropic", "\x00", "Ünïcode"])},
                optional={
                    "input_cost_per_token": st.sampled_from([1e-06, 0, None, "x", 5e-06]),
                    "output_cost_per_token": st.sampled_from([1e-06, 0]),
                    "max_input_tokens": st.integers(-1, 10**9) | st.text(max_size=3),
                    "deprecation_date": st.sampled_from(["2025-02-31", "2025-01-01", "2027-01-01", 5]),
                    "mode": st.text(max_size=5),
                },
            )
            | st.none(),
            max_size=6,
        ).filter(lambda d: any(d.values()))
    )
    @settings(max_examples=examples(12), deadline=None)
    def test_counts_add_up_and_what_is_proposed_can_be_kept(self, content: dict[str, Any]) -> None:
        make.currency()
        by = make.user(role="catalog_manager")
        run = read(content, by)
        assert run.state == ImportState.STAGED
        assert (
            sum(run.counts.values()) == run.rows == len(content) == StagedRow.objects.filter(run=run).count()
        )
        if importing.proposable(run).exists():
            made = importing.propose(run_id=run.pk, by=by, at=AT)
            assert not list(made.findings.filter(severity="error").values_list("pointer", "message")[:3])


def test_the_command_stages_reports_and_proposes(catalog: Catalog, keeper: User, tmp_path: Path) -> None:
    file, report = tmp_path / "prices.json", tmp_path / "report.csv"
    file.write_text(json.dumps({"groq/=a": entry(), "groq/b": entry(input_cost_per_token=None)}))
    out = StringIO()
    call_command(
        "import_catalog",
        *("litellm", str(file), "--by", keeper.email, "--report", str(report), "--propose"),
        stated_on=TODAY,
        stdout=out,
    )
    said = out.getvalue()
    assert "2 rows of LiteLLM price file" in said
    assert "new: 1" in said
    assert "refused: 1" in said
    assert f"CS-{ChangeSet.objects.get().pk}" in said
    lines = report.read_text().splitlines()
    assert len(lines) == 3
    assert "price_unknown" in lines[2]

    file.write_bytes(b"{")
    with pytest.raises(CommandError, match="cut off"):
        call_command("import_catalog", "litellm", str(file), "--by", keeper.email)
    with pytest.raises(CommandError, match="no user"):
        call_command("import_catalog", "litellm", str(file), "--by", "nobody@example.com")
    with pytest.raises(CommandError, match="checked-by"):
        call_command("import_catalog", "own", "--by", keeper.email)
