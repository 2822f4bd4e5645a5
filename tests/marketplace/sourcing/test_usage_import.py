"""Files of usage: what goes in, what corrects, what is refused and why, and that nothing goes in by half or twice."""

from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from config.refusals import Forbidden, Invalid
from marketplace.importers.usage import UsageRow, month_in, read
from marketplace.models import Company, Feature, FeatureUsage, ModelVersion, Plan, UsageImport
from marketplace.selectors.sourcing.costing import NO_PRICE, NOT_SOLD, spend_lines
from marketplace.services.sourcing.usage import Outcome, import_usage, record_usage
from tests import make

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
JULY, AUGUST = date(2026, 7, 1), date(2026, 8, 1)
HEAD = "month,feature,model,input_tokens,cached_tokens,output_tokens\n"
pytestmark = pytest.mark.django_db


class Small:
    """A feature, a model sold on one plan at $3 in, $0.30 cached, $15 out a million, and who brings files."""

    def __init__(self) -> None:
        self.lead: User = make.user(role=Role.SOURCING_LEAD, name="Lea Lead")
        self.feature: Feature = make.feature()
        self.plan: Plan = make.plan()
        make.price(
            plan=self.plan, rows={"input-tokens": "3", "cached-input-tokens": "0.3", "output-tokens": "15"}
        )
        version = self.plan.offering.model_version
        assert version is not None
        self.version: ModelVersion = version

    def row(self, tokens: str = "3000000,1000000,2000000", month: str = "2026-07") -> str:
        return f"{month},{self.feature.slug},{self.version.model.slug},{tokens}\n"

    def bring(self, text: str, *, head: str = HEAD, dry: bool = False, partly: bool = False) -> Outcome:
        return import_usage(
            content=(head + text).encode(),
            file_name="july.csv",
            by=self.lead,
            at=AT,
            dry_run=dry,
            leave_out_wrong=partly,
        )


@pytest.fixture
def small(db: None) -> Small:
    return Small()


def figures() -> list[tuple[int, int, int]]:
    return list(
        FeatureUsage.objects.filter(superseded_at=None)
        .order_by("id")
        .values_list("input_tokens", "cached_tokens", "output_tokens")
    )


def test_a_file_becomes_lines_that_cost_their_price(small: Small) -> None:
    done = small.bring(small.row())
    assert (done.recorded, dict(done.counts)) == (
        True,
        {"new": 1, "corrected": 0, "unchanged": 0, "refused": 0, "unpriced": 0},
    )
    # 2 million fresh at $3, 1 million cached at $0.30, 2 million out at $15
    assert done.minor == 36_30
    [line] = spend_lines(JULY, AUGUST)
    assert (line.plan_id, line.cost.minor, line.synthetic) == (small.plan.pk, 36_30, False)
    assert FeatureUsage.objects.get().brought_by == done.run


def test_a_check_is_the_import_undone(small: Small) -> None:
    done = small.bring(small.row(), dry=True)
    assert (done.recorded, done.counts["new"], done.minor) == (False, 1, 36_30)
    assert not FeatureUsage.objects.exists()
    assert not UsageImport.objects.exists()


def test_the_same_file_twice_adds_nothing_and_undoes_no_correction(small: Small) -> None:
    first = small.bring(small.row())
    again = small.bring(small.row())
    assert (again.already, again.recorded, dict(again.counts)) == (first.run, False, {"unchanged": 1})
    small.bring(small.row("5000000,0,0"))
    small.bring(small.row())
    assert figures() == [(5_000_000, 0, 0)]
    assert UsageImport.objects.count() == 2


def test_other_figures_correct_and_keep_what_was_stated(small: Small) -> None:
    small.bring(small.row())
    done = small.bring(small.row("3000000,0,2000000") + "\n")
    assert (done.counts["new"], done.counts["corrected"]) == (0, 1)
    assert (done.minor, done.before_minor) == (39_00, 36_30)
    assert figures() == [(3_000_000, 0, 2_000_000)]
    assert FeatureUsage.objects.get(superseded_at=AT).cached_tokens == 1_000_000
    same = small.bring("\n" + small.row("3000000,0,2000000"))
    assert (same.counts["unchanged"], FeatureUsage.objects.count()) == (1, 2)


def test_a_row_without_plan_and_host_is_about_the_line_that_there_is(small: Small) -> None:
    host = make.company()
    make.usage(feature=small.feature, version=small.version, plan=None, host=host)
    done = small.bring(small.row("7,0,7"))
    assert done.counts["corrected"] == 1
    kept = FeatureUsage.objects.get(superseded_at=None)
    assert (kept.host, kept.plan, kept.input_tokens) == (host, small.plan, 7)
    make.usage(feature=small.feature, version=small.version, plan=small.plan, host=make.company())
    unclear = small.bring(small.row("8,0,8"))
    assert [(w.line, w.code) for w in unclear.wrong] == [(2, "which_line")]
    assert FeatureUsage.objects.filter(superseded_at=None).count() == 2


def test_one_wrong_row_keeps_the_file_out_unless_it_is_left_out(small: Small) -> None:
    text = small.row() + small.row("1,2,3", "2026-06")
    done = small.bring(text)
    assert (done.recorded, done.counts) == (False, {"refused": 1, "fine": 1, "unchanged": 0})
    assert [(w.line, w.column, w.code) for w in done.wrong] == [
        (3, "cached_tokens", "more_cached_than_input")
    ]
    assert not FeatureUsage.objects.exists()
    assert not UsageImport.objects.exists()
    partly = small.bring(text, partly=True)
    assert partly.run is not None
    assert (partly.counts["new"], partly.counts["refused"]) == (1, 1)
    assert partly.run.errors == [
        {
            "line": 3,
            "column": "cached_tokens",
            "code": "more_cached_than_input",
            "message": "Cached tokens are part of the input tokens: they cannot be more.",
            "row": {
                "month": "2026-06",
                "feature": small.feature.slug,
                "model": small.version.model.slug,
                "input_tokens": "1",
                "cached_tokens": "2",
                "output_tokens": "3",
            },
        }
    ]


def test_what_was_refused_goes_in_with_the_same_file_once_it_can(small: Small) -> None:
    other = "2026-07,cloud-agent-x," + small.version.model.slug + ",1,0,1\n"
    small.bring(small.row() + other, partly=True)
    small.bring(small.row("9,0,9"))
    Feature.objects.create(
        product=small.feature.product,
        slug="cloud-agent-x",
        name="Cloud agent",
        task_area=small.feature.task_area,
    )
    done = small.bring(small.row() + other)
    assert (done.counts["new"], done.counts["unchanged"], done.counts["corrected"]) == (1, 1, 0)
    assert sorted(figures()) == [(1, 0, 1), (9, 0, 9)]


def test_a_row_that_cannot_be_meant_is_refused_with_its_reason(
    small: Small, subtests: pytest.Subtests
) -> None:
    for row, column, code, said in (
        ("2026-09,{f},{m},1,0,1", "month", "month_in_future", "September 2026 begins after 14 Aug 2026"),
        ("July,{f},{m},1,0,1", "month", "not_a_month", "write it as 2026-07"),
        ("2026-07,{f},{m},-1,0,1", "input_tokens", "negative", "cannot be negative"),
        ("2026-07,{f},{m},1.5,0,1", "input_tokens", "not_a_whole_number", "no whole number"),
        ("2026-07,{f},{m},1.2E+9,0,1", "input_tokens", "not_a_whole_number", "spreadsheet has shortened it"),
        ("2026-07,{f},{m},,0,1", "input_tokens", "required", "Input tokens is missing."),
        ("2026-07,{f}x,{m},1,0,1", "feature", "unknown_feature", "Did you mean {f}?"),
        ("2026-07,{f},{m}x,1,0,1", "model", "unknown_model", "Did you mean {m}?"),
        ("2026-07,{f},{m},1,0,1,1", "", "columns_do_not_fit", "6 columns and this row 7"),
    ):
        with subtests.test(row=row):
            names = {"f": small.feature.slug, "m": small.version.model.slug}
            done = small.bring(row.format(**names))
            assert [(w.line, w.column, w.code) for w in done.wrong] == [(2, column, code)]
            assert said.format(**names) in done.wrong[0].message
            assert not FeatureUsage.objects.exists()


def test_the_same_line_twice_in_a_file_is_refused(small: Small) -> None:
    done = small.bring(small.row() + small.row("4,0,4"))
    assert [(w.line, w.code) for w in done.wrong] == [(3, "duplicate_row")]


def test_versions_plans_and_hosts_are_named_where_they_are_not_clear(small: Small) -> None:
    head = "month,feature,model,version,plan,host,input_tokens,output_tokens\n"
    ModelVersion.objects.create(model=small.version.model, label="Two")
    host: Company = make.company()
    f, m, p = small.feature.slug, small.version.model.slug, small.plan

    def codes(version: str, plan: str, place: str) -> list[str]:
        text = f"2026-07,{f},{m},{version},{plan},{place},1,1"
        return [w.code for w in small.bring(text, head=head, dry=True).wrong]

    assert codes("", "", "") == ["which_version"]
    assert codes("3", "", "") == ["unknown_version"]
    assert codes("two", p.slug, "") == ["unknown_plan"]
    assert codes("1", "nosuch", host.slug + "x") == ["unknown_plan", "unknown_company"]
    label = small.version.label
    assert codes(label, f"{p.offering.slug}/{p.slug}", host.slug) == []


def test_rows_without_a_price_go_in_and_are_named(small: Small) -> None:
    bare = make.model_version()
    text = small.row(month="2026-07") + f"2026-07,{small.feature.slug},{bare.model.slug},5,0,5\n"
    done = small.bring(text)
    assert (done.counts["new"], done.counts["unpriced"], done.minor) == (2, 1, 36_30)
    assert [(each.model, each.plan, each.why, each.rows) for each in done.unpriced] == [
        (bare.model.slug, "", NOT_SOLD, 1)
    ]
    early = make.plan()
    make.price(plan=early, effective=(AUGUST, None))
    version = early.offering.model_version
    assert version is not None
    later = small.bring(f"2026-07,{small.feature.slug},{version.model.slug},5,0,5\n", dry=True)
    assert [(each.plan, each.why) for each in later.unpriced] == [
        (f"{early.offering.slug}/{early.slug}", NO_PRICE)
    ]


def test_what_is_no_table_of_usage_is_refused_whole(small: Small, subtests: pytest.Subtests) -> None:
    for content, code in (
        (b"", "empty"),
        (b"PK\x03\x04rest", "not_text"),
        (b"month,feature,model\n2026-07,a,b\n", "wrong_head"),
        (HEAD.replace("model", "modell").encode(), "wrong_head"),
        (HEAD.encode(), "no_rows"),
        (HEAD.encode() + b'2026-07,"a,b', "not_csv"),
    ):
        with subtests.test(content=content):
            with pytest.raises(Invalid) as refused:
                import_usage(content=content, file_name="x.csv", by=small.lead, at=AT)
            assert [problem.code for problem in refused.value.problems] == [code]
            assert not UsageImport.objects.exists()


def test_files_as_spreadsheets_save_them_are_read_alike(small: Small) -> None:
    text = (HEAD + small.row('"3,000,000",1000000,2000000', "Jul-26")).replace('"3,000,000"', "3 000 000")
    for content in (
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        text.replace(",", ";").encode(),
        text.replace(",", "\t").replace("\n", "\r\n").encode("cp1252"),
        text.replace("input_tokens", "Input tokens").encode(),
    ):
        [row] = read(content).rows
        assert (row.line, row.month, row.input_tokens) == (2, JULY, 3_000_000)
    assert [month_in(each) for each in ("2026-07-01", "07/2026", "July 2026", "2026/7")] == [JULY] * 4
    assert [month_in(each) for each in ("2026-13", "2026-07-02", "26-07", "Juli")] == [None] * 4


def test_only_a_sourcing_lead_brings_usage(small: Small) -> None:
    for role in (Role.AUDITOR, Role.PARTNER, Role.ENGINEER):
        with pytest.raises(Forbidden):
            import_usage(content=(HEAD + small.row()).encode(), file_name="x", by=make.user(role=role), at=AT)
    assert not FeatureUsage.objects.exists()


def test_rows_of_a_program_are_recorded_all_or_none(small: Small) -> None:
    good = UsageRow(0, JULY, small.feature.slug, small.version.model.slug, 1_000_000, 0)
    with pytest.raises(Invalid) as refused:
        record_usage(
            rows=[good, UsageRow(1, JULY, "nothing", "nobody", 1, 1)], source="meter", by=small.lead, at=AT
        )
    assert [p.pointer for p in refused.value.problems] == ["/rows/1/feature", "/rows/1/model"]
    assert not FeatureUsage.objects.exists()
    assert record_usage(rows=[good], source="meter", by=small.lead, at=AT).minor == 3_00
    assert not record_usage(rows=[good], source="meter", by=small.lead, at=AT).recorded


def test_any_number_of_rows_takes_the_same_queries(small: Small) -> None:
    small.bring(small.row(month="2020-01"))  # the reader's roles are known from here on
    counted = []
    for months in (1, 5):
        text = "".join(small.row(month=f"202{months}-0{at}") for at in range(1, months + 1))
        with CaptureQueriesContext(connection) as queries:
            small.bring(text)
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_the_command_checks_records_and_fails_loudly(small: Small, tmp_path: Path) -> None:
    good, bad, out, wrong = tmp_path / "good.csv", tmp_path / "bad.csv", StringIO(), StringIO()
    good.write_text(HEAD + small.row())
    bad.write_text(HEAD + small.row() + small.row("1,2,3", "2026-06"))

    def run(*arguments: str) -> None:
        call_command("import_model_usage", *arguments, "--by", small.lead.email, stdout=out, stderr=wrong)

    run(str(good), "--dry-run")
    assert not FeatureUsage.objects.exists()
    with pytest.raises(CommandError, match="Nothing was recorded: 1 rows are to be mended"):
        run(str(bad))
    assert "line 3, cached_tokens: Cached tokens are part" in wrong.getvalue()
    run(str(good))
    run(str(good))
    assert FeatureUsage.objects.count() == 1
    said = out.getvalue()
    assert "Would record: 1 new, 0 corrected, 0 unchanged, 0 refused." in said
    assert "the new and corrected lines cost $36.30" in said
    assert "This file is in already, since 2026-08-14" in said
