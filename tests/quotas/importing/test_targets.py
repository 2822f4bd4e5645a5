"""Quotas out of files: long and wide, of reps and teams, by version; sums of whole quarters, halves and years; closed periods stay."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Role, User
from quotas.models import FiscalCalendar, ImportRow, Measure, Quota, Rep, SalesImport, SalesImportState, Team
from quotas.selectors.targets import quotas_of_reps
from quotas.services.importing import Options, carry_out_file
from tests import make

pytestmark = pytest.mark.django_db

CREATE = Options(create_missing=True)
LONG = """
kind = "quotas"
[columns]
rep = "Rep"
team = "Team"
measure = "Measure"
period = "Period"
amount = "Quota"
"""
MONTHS = [f"FY27-M{n:02d}" for n in range(1, 13)]

Import = Callable[..., SalesImport]


@pytest.fixture
def admin() -> User:
    return make.user(role=Role.COMP_ADMIN)


@pytest.fixture
def load(tmp_path: Path, admin: User) -> Import:
    def load(text: str, map_text: str = LONG, options: Options | None = None, **more: Any) -> SalesImport:
        lines = [",".join(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines()]
        path = tmp_path / "quotas.csv"
        path.write_text("\n".join(lines) + "\n")
        return carry_out_file(
            kind="quotas",
            path=path,
            map_text=map_text,
            options=options or Options(),
            by=admin,
            at=make.AT,
            **more,
        )

    return load


def targets(who: Rep | Team, measure: Measure) -> dict[str, int]:
    mine = {"rep": who} if isinstance(who, Rep) else {"team": who}
    rows = Quota.objects.filter(superseded_at=None, measure=measure, **mine)
    return dict(rows.values_list("period__name", "amount_minor"))


def reasons(run: SalesImport) -> dict[int, str]:
    return dict(ImportRow.objects.filter(run=run).values_list("line", "code"))


def test_a_long_file_sets_targets_of_reps_and_teams_and_a_second_time_changes_nothing(
    load: Import, admin: User
) -> None:
    world = make.world()
    deals = make.measure(name="New customers", basis="new_customers", slug="customers")
    yen = make.measure(name="Japan", code="JPY")
    text = """
        Rep | Team | Measure       | Period   | Quota
        Ana |      |               | FY27-Q1  | 120000.50
        Bo  |      |               | FY27-Q1  | 100000
        Cy  | Other team |         | fy27-q2  | 0
            | Team | AI bookings   | FY27     | 1000000.005
        Ana |      | customers     | FY27-Q1  | 7.5
        Ana |      | Japan         | FY27-M05 | 500
        Ana |      |               | FY27-Q4  |
    """
    checked = load(text, dry_run=True)
    assert checked.counts == {"changed": 1, "unchanged": 1, "new": 4, "left_out": 1}
    assert Quota.objects.count() == 3
    assert checked.preview["examples"][0]["what"] == "Ana, FY27-Q1 $120,000.50"
    run = load(text)
    assert (run.state, run.counts) == (SalesImportState.DONE, checked.counts)
    assert reasons(run) == {8: "no_amount"}
    assert targets(world.ana, world.bookings) == {"FY27-Q1": 120_000_50}
    assert targets(world.cy, world.bookings) == {"FY27-Q1": 100_000_00, "FY27-Q2": 0}
    assert targets(world.team, world.bookings) == {"FY27": 1_000_000_01}  # halves away from zero
    assert targets(world.ana, deals) == {"FY27-Q1": 7_500_000}  # counts have six decimals
    assert targets(world.ana, yen) == {"FY27-M05": 500}
    versions = Quota.objects.filter(rep=world.ana, measure=world.bookings, period__name="FY27-Q1")
    assert list(
        versions.order_by("version").values_list("version", "amount_minor", "superseded_at", "recorded_by")
    ) == [(1, 100_000_00, make.AT, None), (2, 120_000_50, None, admin.pk)]
    again = load(text)
    assert again.counts == {"unchanged": 6, "left_out": 1}
    assert Quota.objects.count() == 8


def test_a_wide_file_sets_the_sums_that_it_does_not_give_itself(load: Import) -> None:
    world = make.world(quotas=False)
    heads = [
        f"{year}-{month:02d}"
        for year, month in [*((2026, m) for m in range(7, 13)), *((2027, m) for m in range(1, 7))]
    ]
    wide = 'kind = "quotas"\n[columns]\nrep = "Rep"\n[constants]\ncurrency = "USD"\n[periods]\nform = "YYYY-MM"\n'
    months = "|".join(heads)
    text = f"Rep|{months}\nAna|{'|'.join(str(n) for n in range(1, 13))}\nBo|10|20|30{'|' * 9}"
    run = load(text, wide)
    assert run.counts == {"new": 2}, reasons(run)
    assert targets(world.ana, world.bookings) == {
        **{name: n * 100 for n, name in enumerate(MONTHS, 1)},
        "FY27-Q1": 6_00,
        "FY27-Q2": 15_00,
        "FY27-Q3": 24_00,
        "FY27-Q4": 33_00,
        "FY27-H1": 21_00,
        "FY27-H2": 57_00,
        "FY27": 78_00,
    }
    assert targets(world.bo, world.bookings) == {
        "FY27-M01": 10_00, "FY27-M02": 20_00, "FY27-M03": 30_00, "FY27-Q1": 60_00,
    }  # fmt: skip
    count = Quota.objects.count()
    assert load(text, wide).counts == {"unchanged": 2}
    assert Quota.objects.count() == count
    # A quarter of its own is not overridden by its months, and counts in the half.
    q1 = LONG.replace('measure = "Measure"\n', "")
    rows = [f"Ana||{name}|1" for name in MONTHS[:6]]
    load("\n".join(["Rep|Team|Period|Quota", *rows, "Ana||FY27-Q1|50"]), q1)
    found = targets(world.ana, world.bookings)
    assert (found["FY27-Q1"], found["FY27-Q2"], found["FY27-H1"], found["FY27"]) == (
        50_00,
        3_00,
        53_00,
        78_00,
    )


def test_a_change_within_a_period_is_a_version_that_is_weighted_by_its_days(load: Import) -> None:
    world = make.world()
    dated = LONG + 'starts = "From"\nmethod = "How"\n'
    text = "Rep|Team|Measure|Period|Quota|From|How\nAna||| FY27-Q1|200000|2026-08-16|weighted"
    assert load(text, dated).counts == {"changed": 1}
    assert load(text, dated).counts == {"unchanged": 1}
    quota = Quota.objects.get(rep=world.ana, superseded_at=None)
    assert (quota.version, quota.starts, quota.method) == (2, date(2026, 8, 16), "weighted")
    quarter = world.year.quarters[0]
    # 46 of 92 days at 100,000 and 46 at 200,000.
    assert quotas_of_reps([world.ana.pk], measure=world.bookings, period=quarter) == {
        world.ana.pk: 150_000_00
    }
    outside = load(text.replace("2026-08-16", "2026-12-01"), dated)
    assert reasons(outside) == {2: "starts_outside"}


def test_what_cannot_be_a_quota_is_refused_with_its_reason_and_closed_periods_stay(load: Import) -> None:
    world = make.world()
    make.fiscal_year(year=2026, states=dict.fromkeys(range(1, 13), "closed"))
    make.quota(
        measure=world.bookings, period=make.fiscal_year(year=2026).months[0], rep=world.ana, amount_minor=5_00
    )
    text = """
        Rep    | Team   | Measure | Period   | Quota
        Ana    |        |         | FY26-M01 | 6
        Ana    |        |         | FY26-M01 | 5
        Ana    |        |         | FY27-Q2  | -1
        Ana    |        | Nothing | FY27-Q2  | 1
        Ana    |        |         | FY31     | 1
        Nobody |        |         | FY27-Q2  | 1
               | Nobody |         | FY27-Q2  | 1
               |        |         | FY27-Q2  | 1
        Bo     |        |         | FY27-Q2  | 1
        Bo     |        |         | FY27-Q2  | 2
        Bo     |        |         | FY27-Q2  | 1
        Ana    |        |         | FY26     | 1
        Ana    |        |         | FY27-Q3  | 90000000000001
    """
    run = load(text)
    assert reasons(run) == {
        2: "period_closed", 4: "quota_negative", 5: "unknown_measure", 6: "unknown_period", 7: "unknown_rep",
        8: "unknown_team", 9: "nobody_named", 11: "given_twice", 13: "period_closed", 14: "amount_too_large",
    }  # fmt: skip
    assert run.counts == {"refused": 10, "unchanged": 2, "new": 1}
    assert targets(world.ana, world.bookings) == {"FY27-Q1": 100_000_00, "FY26-M01": 5_00}
    assert (
        ImportRow.objects.get(run=run, line=2).message == "FY26-M01 is closed: its quotas stay as they are."
    )
    assert ImportRow.objects.get(run=run, line=6).column == "Period"


def test_what_is_missing_is_made_and_a_calendar_of_its_own_names_its_periods(
    load: Import, admin: User
) -> None:
    make.world()
    years = FiscalCalendar.objects.create(
        slug="calendar-years", name="Calendar years", time_zone="UTC", prefix="CY", first_month=1
    )
    make.fiscal_year(year=2017, of=years)
    days = """
kind = "quotas"
[columns]
rep = "Who"
team = "Team"
amount = "Quota"
period_start = "First"
period_end = "Last"
[rows]
calendar = "CY"
"""
    text = """
        Who | Team  | First      | Last       | Quota
        285 | North | 2017-07-01 | 2017-09-30 | 10
            | North | 2017-01-01 | 2017-12-31 | 20
        285 | North | 2017-07-02 | 2017-09-30 | 10
    """
    refused = load(text, days)
    assert reasons(refused) == {2: "unknown_rep", 3: "unknown_team", 4: "unknown_rep"}
    run = load(text, days, CREATE)
    assert (run.counts, reasons(run)) == ({"new": 2, "refused": 1}, {4: "unknown_period"})
    assert "from 2 Jul 2017 to 30 Sep 2017" in ImportRow.objects.get(run=run).message
    assert run.preview["created"]["reps"] == 1
    quota = Quota.objects.get(rep__employee_no="285")
    assert (quota.period.name, quota.period.calendar, quota.amount_minor) == ("CY17-Q3", years, 10_00)
    assert Quota.objects.get(team__name="North").period.name == "CY17"


def test_the_sample_quotas_of_another_company_come_in_as_known(shared_dir: Path, admin: User) -> None:
    folder = shared_dir / "data" / "crm" / "adventureworks_2017q3"
    if not folder.is_dir():
        pytest.skip("the CRM samples are not beside the checkout")
    years = FiscalCalendar.objects.create(
        slug="calendar-years", name="Calendar years", time_zone="UTC", prefix="CY", first_month=1
    )
    make.fiscal_year(year=2017, of=years)
    make.measure(name="Bookings")
    run = carry_out_file(
        kind="quotas",
        path=folder / "aw_quotas_2017Q3.csv",
        map_text=(
            'kind = "quotas"\n[rows]\ncalendar = "CY"\n[columns]\nrep = "employee_key"\namount = "quota"\n'
            'period_start = "period_start"\nperiod_end = "period_end"\n[constants]\ncurrency = "USD"\n'
        ),
        options=CREATE,
        by=admin,
        at=datetime(2018, 1, 2, 12, tzinfo=UTC),
    )
    assert run.counts == {"new": 10}
    expected = json.loads((folder / "expected.json").read_text())
    assert dict(Quota.objects.values_list("rep__employee_no", "amount_minor")) == {
        row["employee_key"]: int(Decimal(row["quota"]) * 100) for row in expected["aw_2017Q3"]
    }


def test_statements_are_some_for_each_batch_of_rows_whatever_the_number_of_rows_in_it(
    load: Import, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.fiscal_year()
    make.measure(name="Bookings")
    Rep.objects.bulk_create(Rep(slug=f"r{n}", name=f"Rep {n}", employee_no=str(n)) for n in range(200))
    wide = 'kind = "quotas"\n[columns]\nrep = "Rep"\n[periods]\nform = "FY27-M01"\n'
    text = "\n".join([f"Rep|{'|'.join(MONTHS)}", *(f"{n}|{'|'.join(['5'] * 12)}" for n in range(200))])
    with django_assert_max_num_queries(50):
        assert load(text, wide).counts == {"new": 200}
    assert Quota.objects.count() == 200 * 19
    monkeypatch.setattr("quotas.services.importing.targets.AT_ONCE", 50)
    with django_assert_max_num_queries(120):
        assert load(text.replace("|5", "|6"), wide).counts == {"changed": 200}
    assert Quota.objects.filter(superseded_at=None).count() == 200 * 19
