"""Two CRM exports of other companies, loaded by a plain script through the booking services, give the figures known for them.

Their periods are calendar quarters of 2017: a fiscal calendar is data.
"""

import csv
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Role, User
from marketplace.models import CommercialPath, Offering, Publisher
from quotas.crediting.invariants import broken
from quotas.models import DealKind, DealState, FiscalCalendar, Grain, Measure, Period, Rep, SalesRole, Team
from quotas.selectors.boards import team_board
from quotas.selectors.leaderboard import leaderboard
from quotas.services.approving import approve_deals
from quotas.services.booking import DealDraft, LineDraft, ShareDraft, record_deals
from tests import make

pytestmark = pytest.mark.django_db

YEAR_AFTER = datetime(2018, 1, 2, 12, tzinfo=UTC)
SINCE: make.Span = (date(2016, 1, 1), None)
MISSPELT = {"GTXPro": "GTX Pro"}


@pytest.fixture
def crm(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "crm"
    if not folder.is_dir():
        pytest.skip("the CRM samples are not beside the checkout")
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        return list(csv.DictReader(lines))


def calendar_year_2017() -> dict[str, Period]:
    """The year and its quarters by the names that the samples use."""
    calendar = FiscalCalendar.objects.create(slug="calendar-years", name="Calendar years", time_zone="UTC")

    def period(grain: str, name: str, first: int, last: int, **above: Period) -> Period:
        ends = date(2018, 1, 1) if last == 12 else date(2017, last + 1, 1)
        return Period.objects.create(
            calendar=calendar, grain=grain, name=name, starts=date(2017, first, 1), ends=ends, state="open", **above
        )  # fmt: skip

    year = period(Grain.YEAR, "CY17", 1, 12)
    named = {"ALL": year}
    for h in range(2):
        half = period(Grain.HALF, f"CY17-H{h + 1}", 6 * h + 1, 6 * h + 6, year=year)
        for q in range(2 * h, 2 * h + 2):
            quarter = period(Grain.QUARTER, f"CY17-Q{q + 1}", 3 * q + 1, 3 * q + 3, half=half, year=year)
            named[f"2017Q{q + 1}"] = quarter
            for m in range(3 * q + 1, 3 * q + 4):
                period(Grain.MONTH, f"CY17-M{m:02d}", m, m, quarter=quarter, half=half, year=year)
    return named


def everything_counts() -> tuple[Measure, Publisher]:
    """A measure of contract value, a rule that credits every deal at its value, and who sells."""
    bookings = make.measure(name="Won value")
    make.plan_version(rules=[make.Rule(bookings, slug="won")], effective=(None, None))
    make.decision(path=CommercialPath.MARKETPLACE, effective=(None, None))
    return bookings, make.publisher()


def sell(drafts: Iterable[DealDraft]) -> None:
    """As an import does: recorded as submitted by a program, approved under a named policy by somebody else."""
    program, admin = make.user(role=Role.REP, service=True), make.user(role=Role.COMP_ADMIN)
    ids = record_deals(drafts=list(drafts), by=program, at=YEAR_AFTER, state=DealState.SUBMITTED)
    outcome = approve_deals(
        deal_ids=ids, by=admin, at=YEAR_AFTER, policy="CRM import v1", reason="Won in the CRM"
    )
    assert outcome.counts == {"credited": len(ids)}
    assert broken() == {}


def won(
    rep: Rep, customer_id: int, offering: Offering, on: str, amount: Decimal, source: str, number: str
) -> DealDraft:
    return DealDraft(
        owner_id=rep.pk,
        customer_id=customer_id,
        kind=DealKind.NEW_BUSINESS,
        close_date=date.fromisoformat(on),
        currency="USD",
        lines=(LineDraft(offering.pk, int(amount * 100)),),
        shares=(ShareDraft(rep.pk, 1_000_000),),
        source=source,
        external_id=number,
    )


def by_name(measure: Measure, period: Period, **asked: Any) -> dict[str, tuple[int | None, int]]:
    board = leaderboard(measure=measure, period=period, limit=200, at=YEAR_AFTER, **asked)
    return {row.name: (row.rank, row.credited_minor) for row in board.entries}


def credited_of(team: Team, measure: Measure, period: Period, viewer: User) -> int:
    return team_board(team=team, period=period, measure=measure, at=YEAR_AFTER, viewer=viewer).credited_minor


def test_the_maven_pipeline_gives_its_known_figures_by_agent_manager_region_product_and_quarter(crm: Path) -> None:  # fmt: skip
    periods = calendar_year_2017()
    measure, publisher = everything_counts()
    auditor = make.user(role=Role.AUDITOR)
    company = make.team(name="Company", effective=SINCE)
    teams: dict[str, Team] = {}
    reps: dict[str, Rep] = {}
    for row in rows_of(crm / "maven" / "sales_teams.csv"):
        region, manager = row["regional_office"], row["manager"]
        if region not in teams:
            teams[region] = make.team(name=region, parent=company, effective=SINCE)
        if manager not in teams:
            teams[manager] = make.team(name=manager, parent=teams[region], effective=SINCE)
            make.rep(team=teams[manager], name=manager, role=SalesRole.MANAGER, effective=SINCE)
        reps[row["sales_agent"]] = make.rep(team=teams[manager], name=row["sales_agent"], effective=SINCE)
    products = {
        row["product"]: make.offering(publisher=publisher, name=row["product"], available_on=date(2016, 1, 1))
        for row in rows_of(crm / "maven" / "products.csv")
    }
    accounts = {
        row["account"]: make.customer(name=row["account"]).pk
        for row in rows_of(crm / "maven" / "accounts.csv")
    }
    sell(
        won(
            reps[row["sales_agent"]],
            accounts[row["account"]],
            products[MISSPELT.get(row["product"], row["product"])],
            row["close_date"],
            Decimal(row["close_value"]),
            "maven",
            row["opportunity_id"],
        )
        for row in rows_of(crm / "maven" / "sales_pipeline.csv")
        if row["deal_stage"] == "Won"
    )

    known = json.loads((crm / "maven" / "expected.json").read_text())
    boards = {name: by_name(measure, period) for name, period in periods.items()}
    for agent, quarters in known["per_agent_quarter"].items():
        for name, figures in quarters.items():
            credited = boards[name.replace("TOTAL", "ALL")].get(agent, (None, 0))[1]
            assert credited == figures["won_value"] * 100, (agent, name)
    for name, best in known["top10_by_quarter"].items():
        for row in best:
            assert boards[name][row["name"]] == (row["rank"], row["won_value"] * 100), (name, row["name"])
    for group in ("per_manager", "per_region"):
        for team, quarters in known[group].items():
            for name, value in quarters.items():
                if name != "won_count":
                    period = periods[name.replace("TOTAL", "ALL")]
                    assert credited_of(teams[team], measure, period, auditor) == value * 100, (team, name)
    sold = by_name(measure, periods["ALL"], group="offering")
    assert {name: credited for name, (_, credited) in sold.items()} == {
        name: figures["won_value"] * 100 for name, figures in known["per_product_normalised"].items()
    }
    for name, value in known["totals"]["by_quarter"].items():
        assert credited_of(company, measure, periods[name], auditor) == value * 100
    assert credited_of(company, measure, periods["ALL"], auditor) == known["totals"]["won_value"] * 100


def competition_ranks(values: Mapping[str, Any]) -> dict[str, int]:
    return {name: 1 + sum(other > value for other in values.values()) for name, value in values.items()}


def test_the_adventure_works_quarter_gives_its_known_attainment_and_ranks(crm: Path) -> None:
    folder = crm / "adventureworks_2017q3"
    quarter = calendar_year_2017()["2017Q3"]
    measure, publisher = everything_counts()
    known = {
        row["employee_key"]: row for row in json.loads((folder / "expected.json").read_text())["aw_2017Q3"]
    }
    team, customer, bike = (
        make.team(effective=SINCE),
        make.customer(),
        make.offering(publisher=publisher, available_on=date(2016, 1, 1)),
    )
    reps = {key: make.rep(team=team, name=row["name"], effective=SINCE) for key, row in known.items()}
    for row in rows_of(folder / "aw_quotas_2017Q3.csv"):
        make.quota(
            measure=measure,
            period=quarter,
            rep=reps[row["employee_key"]],
            amount_minor=int(Decimal(row["quota"]) * 100),
        )
    orders = [row for row in rows_of(folder / "aw_orders_2017Q3.csv") if row["employee_key"] in reps]
    sell(
        won(
            reps[row["employee_key"]],
            customer.pk,
            bike,
            row["order_date"],
            Decimal(row["amount"]),
            "aw",
            row["order_number"],
        )
        for row in orders
    )

    board = leaderboard(measure=measure, period=quarter, by="attainment", limit=200, at=YEAR_AFTER).entries
    found = {row.name: row for row in board}
    assert set(found) == {row["name"] for row in known.values()}
    for row in known.values():
        standing = found[row["name"]]
        assert standing.attainment == (
            int(Decimal(row["credited"]) * 100),
            int(Decimal(row["quota"]) * 100),
        )
        credited, quota = standing.attainment
        percent = (Decimal(credited) * 100 / quota).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert percent == Decimal(row["attainment_pct"])
        assert quota - credited == int(Decimal(row["gap_to_quota"]) * 100)
    exact = {row["name"]: Decimal(row["credited"]) / Decimal(row["quota"]) for row in known.values()}
    assert {name: row.rank for name, row in found.items()} == competition_ranks(exact)
    assert len(orders) == sum(row["orders"] for row in known.values())
