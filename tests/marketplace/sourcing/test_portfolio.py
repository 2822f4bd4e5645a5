"""Products and features begin, change and end in the browser; plans of spend are stated by date; suites come out of a file."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import Role, User
from config.refusals import Conflict, Invalid
from marketplace.models import (
    Answer,
    Feature,
    ModelVersion,
    MoveKind,
    Product,
    ScenarioMove,
    SpendPlan,
    Substitution,
    SubstitutionState,
    TaskSuite,
)
from marketplace.selectors.sourcing import summary
from marketplace.selectors.sourcing.concentration import Exposure
from marketplace.selectors.sourcing.costing import SpendLines, spend_lines
from marketplace.selectors.sourcing.products import Line, products_on
from marketplace.selectors.sourcing.scenario import evaluate
from marketplace.selectors.sourcing.substitution import Standings
from marketplace.services.sourcing.binding import MixRow, last_stated, set_mix
from marketplace.services.sourcing.features import end_feature
from marketplace.services.sourcing.plans import PlanDraft, record_spend_plan
from tests import make
from tests.marketplace.sourcing.test_scenario_outcome import share, sold, used

TODAY, SEPTEMBER, OCTOBER = date(2026, 8, 14), date(2026, 9, 1), date(2026, 10, 1)
Browser = Callable[[User], Client]
pytestmark = pytest.mark.django_db


@pytest.fixture
def lead() -> User:
    return make.user(role=Role.SOURCING_LEAD)


# Products and features.


def test_a_lead_begins_changes_and_ends_a_product_and_its_feature(lead: User, browser_of: Browser) -> None:
    client = browser_of(lead)
    assert client.post("/sourcing/products/new/", {"name": " Mail  assistant "}).status_code == 302
    product = Product.objects.get(slug="mail-assistant")
    make.feature(task="coding")
    asked = {
        "name": "Replies",
        "task": "coding",
        "min_context": "64000",
        "modalities_in": ["text", "image"],
        "zone": "eu",
    }
    again = f"/sourcing/products/{product.slug}/features/new/"
    assert client.post(again, asked)["Location"] == "/sourcing/features/mail-assistant-replies/mix/"
    assert client.post(again, asked).status_code == 422  # the same name twice
    feature = Feature.objects.get(slug="mail-assistant-replies")
    assert (feature.min_context, feature.modalities_in, feature.zone) == (64_000, ["text", "image"], "eu")
    # A change needs its reason, and holds at once.
    here = f"/sourcing/features/{feature.slug}/"
    assert client.post(f"{here}change/", {**asked, "zone": ""}).status_code == 422
    assert client.post(f"{here}change/", {**asked, "zone": "", "reason": "Asked for"}).status_code == 302
    feature.refresh_from_db()
    assert feature.zone == ""
    # It ends with its product, and comes back with it.
    make.binding(feature=feature)
    end = {"ends_on": "2026-10-01", "reason": "Sold"}
    assert client.post(f"/sourcing/products/{product.slug}/end/", end).status_code == 302
    feature.refresh_from_db()
    assert feature.ends_on == OCTOBER
    assert [b.effective.upper for b in feature.bindings.filter(superseded_at=None)] == [OCTOBER]
    assert [line.feature for line in _lines(OCTOBER - timedelta(days=1))] == [feature]
    assert _lines(OCTOBER) == []
    assert b"ends on 1 Oct 2026" in client.get(here).content
    assert client.post(f"/sourcing/products/{product.slug}/end/", {"reason": "Not sold"}).status_code == 302
    feature.refresh_from_db()
    assert feature.ends_on is None


def _lines(on: date) -> list[Line]:
    return [line for each in products_on(on) if each.product.slug == "mail-assistant" for line in each.lines]


def test_what_has_ended_takes_no_mix_and_is_in_no_figure(lead: User) -> None:
    feature, version = make.feature(), make.model_version()
    make.binding(feature=feature, version=version)
    end_feature(feature_id=feature.pk, ends_on=OCTOBER, reason="Closed", by=lead, at=make.AT)
    with pytest.raises(Invalid) as refused:
        set_mix(
            feature_id=feature.pk,
            from_day=OCTOBER,
            rows=[MixRow(version.pk, "default", 1_000_000)],
            reason="On",
            by=lead,
            at=make.AT,
        )
    assert [problem.code for problem in refused.value.problems] == ["feature_ended"]
    with pytest.raises(Conflict):
        end_feature(feature_id=feature.pk, ends_on=SEPTEMBER, reason="Again", by=lead, at=make.AT)
    assert feature.pk in Standings(OCTOBER - timedelta(days=1)).features
    assert feature.pk not in Standings(OCTOBER).features
    assert [each.feature for each in Exposure(lead, OCTOBER).sourcing] == []


@pytest.mark.parametrize(
    ("role", "status"), [(Role.ENGINEER, 403), (Role.AUDITOR, 403), (Role.PARTNER, 404), (None, 404)]
)
def test_only_a_lead_changes_the_portfolio(browser_of: Browser, role: Role | None, status: int) -> None:
    feature = make.feature()
    client = browser_of(make.user(role=role) if role else make.user())
    for path in (
        "/sourcing/products/new/",
        f"/sourcing/products/{feature.product.slug}/end/",
        f"/sourcing/features/{feature.slug}/end/",
    ):
        assert client.post(path, {"name": "X", "reason": "X", "ends_on": "2026-10-01"}).status_code == status
    feature.refresh_from_db()
    assert (Product.objects.count(), feature.ends_on) == (1, None)


def test_a_mix_form_that_does_not_say_what_it_was_made_over_says_so(lead: User, browser_of: Browser) -> None:
    feature, version = make.feature(), make.model_version(name="Comet")
    make.binding(feature=feature, version=version)
    sent = {
        "do": "set",
        "seen": "no number",
        "rows": "1",
        "from_day": "2026-10-01",
        "reason": "On",
        "row0-model": str(version),
        "row0-role": "default",
        "row0-share": "100",
    }
    answer = browser_of(lead).post(f"/sourcing/features/{feature.slug}/mix/", sent)
    assert answer.status_code == 422
    assert b"no longer says which mix" in answer.content
    assert f'name="seen" value="{last_stated(feature.pk)}"'.encode() in answer.content


# One answer everywhere.


def test_an_alternative_that_fails_a_requirement_raised_later_covers_nothing_anywhere(lead: User) -> None:
    feature = make.feature()
    (a, _), (b, _) = sold(context_window=200_000), sold(context_window=100_000)
    make.binding(feature=feature, version=a)
    _qualified(feature, a, b)
    assert Exposure(lead, TODAY).qualified == {feature.pk: {b.model.publisher_id}}
    assert Standings(TODAY).cover(feature.pk, a.model.publisher_id).uncovered == 0
    Feature.objects.filter(pk=feature.pk).update(min_context=150_000)
    assert Exposure(lead, TODAY).qualified == {}
    assert [each.feature for each in Exposure(lead, TODAY).sole] == [feature]
    assert Standings(TODAY).cover(feature.pk, a.model.publisher_id).uncovered == 1


def test_a_scenario_gives_traffic_to_the_alternative_that_the_drill_gives_it_to() -> None:
    feature = make.feature()
    (a, _), (dear, _), (cheap, _) = sold("3", "15"), sold("5", "25"), sold("1", "5")
    make.binding(feature=feature, version=a)
    used(feature, a)
    _qualified(feature, a, dear)  # decided first
    _qualified(feature, a, cheap)
    supplier = make.company(publisher=a.model.publisher)
    ends = ScenarioMove(kind=MoveKind.END_SUPPLIER, supplier=supplier)
    found = evaluate([ends], starts_on=SEPTEMBER, months=2, on=TODAY)
    [exposure] = Standings(TODAY).cover(feature.pk, a.model.publisher_id).exposures
    assert [taker.alternative.version for taker in exposure.takers] == [cheap]
    assert [each.target_id for each in found.taken[feature.pk]] == [cheap.pk]


def _qualified(feature: Feature, replaced: ModelVersion, alternative: ModelVersion) -> None:
    Substitution.objects.create(
        feature=feature,
        replaced=replaced,
        alternative=alternative,
        state=SubstitutionState.QUALIFIED,
        reason="made for a test",
        proposed_at=make.AT,
        decided_at=make.AT,
    )


def test_use_that_grows_is_paid_for_month_by_month() -> None:
    feature = make.feature()
    (a, _), (b, _) = sold("3", "15"), sold("1", "5")
    make.binding(feature=feature, version=a)
    used(feature, a)
    found = evaluate([share(a, b, 500_000)], starts_on=SEPTEMBER, months=12, on=TODAY, growth_ppm=1_000_000)
    # 18 dollars a month now; doubled in a year is a twelfth root of two more each month, from the present one on.
    assert [found.before.by_month[0], found.before.by_month[5], found.before.by_month[11]] == [
        1907,
        2546,
        3600,
    ]
    assert found.after.by_month[11] == 2400


def test_lines_of_spend_are_read_once_for_all_that_ask(lead: User, django_assert_num_queries: object) -> None:
    version, plan = sold()
    for month in (5, 6, 7):
        make.usage(version=version, plan=plan, month=date(2026, month, 1))
    read = SpendLines()
    assert len(read(date(2026, 1, 1), date(2026, 8, 1))) == 3
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert read(date(2026, 7, 1), date(2026, 8, 1)) != []
    assert read(date(2026, 6, 1), date(2026, 8, 1)) == spend_lines(date(2026, 6, 1), date(2026, 8, 1))
    assert summary.Summary(lead, TODAY).run_rate == 18_00 * 12


# Plans of spend.


def plan_draft(**more: object) -> PlanDraft:
    company = make.company(publisher=make.publisher())
    stated = {
        "supplier_id": company.pk,
        "starts_on": date(2026, 7, 1),
        "ends_on": date(2027, 7, 1),
        "amount_minor": 500_000_000_00,
        "currency": make.currency().code,
        "source": "Board paper of 3 July",
    }
    return PlanDraft(**{**stated, **more})  # type: ignore[arg-type]


def test_a_plan_that_is_not_whole_is_refused(lead: User, subtests: pytest.Subtests) -> None:
    for wrong, code in (
        ({"currency": ""}, "amount_without_currency"),
        ({"amount_minor": None}, "amount_missing"),
        ({"amount_minor": 0}, "amount_out_of_range"),
        ({"bound": "unknown"}, "unknown_bound"),
        ({"ends_on": date(2026, 7, 1)}, "ends_before_it_starts"),
        ({"source": " "}, "source_missing"),
    ):
        with subtests.test(code=code, wrong=wrong):
            with pytest.raises(Invalid) as refused:
                record_spend_plan(draft=plan_draft(**wrong), by=lead, at=make.AT)
            assert [problem.code for problem in refused.value.problems] == [code]
            assert not SpendPlan.objects.exists()


def test_a_plan_is_stated_corrected_and_withdrawn_and_every_version_stays(
    lead: User, browser_of: Browser
) -> None:
    client, company = browser_of(lead), make.company(name="Contoso", publisher=make.publisher())
    make.currency()
    sent = {
        "supplier": company.slug,
        "starts_on": "2026-07-01",
        "ends_on": "2027-07-01",
        "amount": "500M",
        "currency": "USD",
        "bound": "about",
        "source": "Board paper",
    }
    assert client.post("/sourcing/plans/new/", {**sent, "currency": ""}).status_code == 422
    assert client.post("/sourcing/plans/new/", sent).status_code == 302
    first = SpendPlan.objects.get()
    assert (first.amount_minor, first.bound, first.effective.upper) == (
        500_000_000_00,
        "about",
        date(2027, 7, 1),
    )
    overlapping = client.post(
        "/sourcing/plans/new/", {**sent, "starts_on": "2027-01-01", "ends_on": "2028-01-01"}
    )
    assert overlapping.status_code == 422
    assert b"A plan holds from 1 Jul 2026 to before 1 Jul 2027" in overlapping.content
    corrected = {**sent, "amount": "450M", "reason": "Renegotiated"}
    assert client.post(f"/sourcing/plans/new/?corrects={first.pk}", corrected).status_code == 302
    second = SpendPlan.objects.get(superseded_at=None)
    page = client.get("/sourcing/plans/").content
    assert b"About $450M" in page
    assert b"1 replaced or withdrawn" in page
    assert client.post(f"/sourcing/plans/{second.pk}/withdraw/", {"reason": "No more"}).status_code == 302
    assert (SpendPlan.objects.count(), SpendPlan.objects.filter(superseded_at=None).count()) == (2, 0)
    auditor = browser_of(make.user(role=Role.AUDITOR))
    assert auditor.get("/sourcing/plans/").status_code == 200
    assert auditor.post("/sourcing/plans/new/", sent).status_code == 403
    assert browser_of(make.user(role=Role.ENGINEER)).get("/sourcing/plans/").status_code == 404


# Suites.

FILE = """
harness = "plain prompt, one try"
[[suite]]
slug = "contracts"
name = "Contracts"
task_area = "coding"
about = "Summaries."
criteria = "Nothing made up."
[[suite.case]]
prompt = "Summarise."
[suite.case.answers]
{first} = "One."
"{second}@{label}" = "Two."
"""


def test_suites_come_out_of_a_file_once_and_a_model_that_nobody_knows_keeps_it_out(
    lead: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make.feature(task="coding")
    one, two = make.model_version(), make.model_version()
    path = tmp_path / "suites.toml"
    written = FILE.format(first=one.model.slug, second=two.model.slug, label=two.label)
    path.write_text(written.replace(one.model.slug, "nobodys-model"))
    with pytest.raises(CommandError, match="nobodys-model"):
        call_command("import_suites", str(path), by=lead.email)
    assert not TaskSuite.objects.exists()
    path.write_text(written)
    call_command("import_suites", str(path), by=lead.email)
    call_command("import_suites", str(path), by=lead.email)
    said = capsys.readouterr().out
    assert "1 suites, 1 cases, 2 answers added" in said
    assert "left as they are: contracts 1" in said
    answers = Answer.objects.order_by("text").values_list("model_version", "text", "synthetic")
    assert list(answers) == [(one.pk, "One.", False), (two.pk, "Two.", False)]


def test_each_page_of_sourcing_has_its_own_entry_marked(
    lead: User, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(lead)
    for path, entry in (
        ("/sourcing/", "Overview"),
        ("/sourcing/brief/", "Overview"),
        ("/sourcing/flows/", "Companies"),
        ("/sourcing/usage/", "Spend"),
        ("/sourcing/leverage/", "Substitution"),
    ):
        with subtests.test(path=path):
            page = client.get(path)
            assert [link.entry.text for link in page.context["shell"].links if link.active] == [entry]
