"""Exports of other companies come in by the commands and the maps in docs/examples, and the boards say what is known of them.

Their periods are calendar quarters of 2017, of a business unit of its own beside the operator's fiscal year.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import Role, User
from marketplace.models import EligibilityDecision
from quotas.crediting.invariants import broken
from quotas.models import Deal, DealLine, Measure, Period, SourceRecord, StraightThroughPolicy, Team
from quotas.selectors.boards import team_board
from quotas.selectors.leaderboard import leaderboard
from tests import make

pytestmark = pytest.mark.django_db

YEAR_AFTER = datetime(2018, 1, 2, 12, tzinfo=UTC)
EXAMPLES: Final = Path(__file__).parents[3] / "docs" / "examples"
REASON = "Sold as our own since ever"


@pytest.fixture
def crm(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "crm"
    if not folder.is_dir():
        pytest.skip("the CRM samples are not beside the checkout")
    return folder


@pytest.fixture
def people() -> dict[str, str]:
    """E-mail addresses of who imports and who checks, in an organisation whose own year is another one."""
    make.fiscal_year()
    make.measure(name="Won value")
    admin, checker = make.user(role=Role.COMP_ADMIN), make.user(role=Role.COMP_ADMIN)
    StraightThroughPolicy.objects.create(
        name="CRM imports",
        version=1,
        sources=["maven", "adventureworks", "adventureworks-lt"],
        drafted_by=admin,
        drafted_at=make.AT,
        published_by=checker,
        published_at=make.AT,
    )
    return {"by": admin.email, "checker": checker.email}


def open_2017(people: Mapping[str, str], unit: str) -> None:
    call_command(
        "open_years", 2017, calendar="CY", new="Calendar years", business_unit=unit, plan=True,
        by=people["by"], checked_by=people["checker"], stdout=StringIO(),
    )  # fmt: skip


def run(command: str, file: Path, map_name: str, people: Mapping[str, str], **options: Any) -> str:
    said = StringIO()
    call_command(
        command, str(file), map=str(EXAMPLES / map_name), create_missing=True, by=people["by"], stdout=said, **options
    )  # fmt: skip
    return said.getvalue()


def deals(file: Path, map_name: str, people: Mapping[str, str], **options: Any) -> str:
    return run(
        "import_deals", file, map_name, people, policy="CRM imports", eligibility_reason=REASON, **options,
    )  # fmt: skip


def by_name(measure: Measure, period: Period, **asked: Any) -> dict[str, tuple[int | None, int]]:
    board = leaderboard(measure=measure, period=period, limit=200, at=YEAR_AFTER, **asked)
    return {row.name: (row.rank, row.credited_minor) for row in board.entries}


def credited_of(team: Team, measure: Measure, period: Period, viewer: User) -> int:
    return team_board(team=team, period=period, measure=measure, at=YEAR_AFTER, viewer=viewer).credited_minor


def test_the_maven_pipeline_gives_its_known_figures_by_agent_manager_region_product_and_quarter(
    crm: Path, people: Mapping[str, str]
) -> None:
    open_2017(people, "Maven Computers")
    run("import_reps", crm / "maven" / "sales_teams.csv", "maven-reps.toml", people)
    pipeline = crm / "maven" / "sales_pipeline.csv"
    deals(pipeline, "maven.toml", people)
    periods = {
        name.replace("CY17-", "2017"): Period.objects.get(name=name)
        for name in ("CY17-Q1", "CY17-Q2", "CY17-Q3", "CY17-Q4")
    }
    periods["ALL"] = Period.objects.get(name="CY17")
    measure = Measure.objects.get()
    # A manager's team is called after the manager.
    teams = {team.name.removeprefix("Team of "): team for team in Team.objects.all()}
    company, auditor = teams["Maven Computers"], make.user(role=Role.AUDITOR)

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

    assert broken() == {}
    again = deals(pipeline, "maven.toml", people)
    assert "unchanged          4,238" in again
    assert Deal.objects.filter(source="maven").count() == 4238


def competition_ranks(values: Mapping[str, Any]) -> dict[str, int]:
    return {name: 1 + sum(other > value for other in values.values()) for name, value in values.items()}


def test_the_adventure_works_quarter_gives_its_known_attainment_and_ranks(
    crm: Path, people: Mapping[str, str]
) -> None:
    folder = crm / "adventureworks_2017q3"
    open_2017(people, "Adventure Works")
    deals(folder / "aw_orders_2017Q3.csv", "adventureworks-orders.toml", people)
    run("import_quotas", folder / "aw_quotas_2017Q3.csv", "adventureworks-quotas.toml", people)
    quarter, measure = Period.objects.get(name="CY17-Q3"), Measure.objects.get()
    # Orders know people by their numbers alone, so that is what they are called until somebody imports the reps.
    known = {
        row["employee_key"]: row | {"name": row["employee_key"]}
        for row in json.loads((folder / "expected.json").read_text())["aw_2017Q3"]
    }

    board = leaderboard(measure=measure, period=quarter, by="attainment", limit=200, at=YEAR_AFTER).entries
    found = {row.name: row for row in board}
    assert set(found) == {row["name"] for row in known.values()}
    decided = EligibilityDecision.objects.get()
    assert (decided.reason, decided.checked_by and decided.checked_by.name) == (REASON, "Command line")
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
    assert (
        sum(row["orders"] for row in known.values()) <= Deal.objects.filter(source="adventureworks").count()
    )


VARIANTS = (
    ("v1_iso_dates.csv", "adventureworks-lt-iso.toml"),
    ("v4_semicolon_decimal_comma_bom.csv", "adventureworks-lt-semicolon.toml"),
    ("v5_ddmmyyyy_bom_null.csv", "adventureworks-lt-ddmmyyyy.toml"),
)


def test_the_same_orders_exported_by_four_people(crm: Path, people: Mapping[str, str]) -> None:
    """Three of them are the same deals, however they are written; of the fourth a spreadsheet has destroyed the days."""
    call_command(
        "open_years", 2008, by=people["by"], plan=True, checked_by=people["checker"], stdout=StringIO()
    )
    folder = crm / "format_variants"
    first, *others = [(folder / file, map_name) for file, map_name in VARIANTS]
    assert "new                   32" in deals(*first, people)
    sold = set(
        DealLine.objects.values_list("version__deal__external_id", "version__close_date", "amount_minor")
    )
    assert len(sold) == 32
    for file, map_name in others:
        assert "unchanged             32" in deals(file, map_name, people)
    assert set(DealLine.objects.values_list("version__deal__external_id", "version__close_date", "amount_minor")) == sold  # fmt: skip
    with pytest.raises(CommandError, match="refused"):
        deals(folder / "v6_mangled_dates_bom.csv", "adventureworks-lt-iso.toml", people)
    assert set(SourceRecord.objects.values_list("code", flat=True)) == {"date_destroyed"}
    assert DealLine.objects.count() == 32
