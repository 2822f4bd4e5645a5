"""Reps, teams and territories out of files: in any order, dated, twice without a change, and with one run for what they move."""

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEvent, Role, User
from config import jobs
from config.models import Job, JobState
from marketplace.models import Offering
from quotas.crediting import engine
from quotas.models import (
    CreditEntry,
    CustomerTerritory,
    Deal,
    DealState,
    FiscalCalendar,
    ImportRow,
    Receivers,
    Rep,
    SalesImport,
    SalesImportState,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
    TerritoryAssignment,
)
from quotas.selectors.hierarchy import Hierarchy
from quotas.services.importing import Options, carry_out_file
from tests import make
from tests.depth import examples
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

JAN, JUL, AUG = date(2026, 1, 1), date(2026, 7, 1), date(2026, 8, 1)
TODAY = make.TODAY
CREATE = Options(create_missing=True)
COLUMNS = {
    "rep": "Name", "employee_no": "No", "email": "Mail", "team": "Team", "parent_team": "Above", "manager": "Manager",
    "role": "Role", "starts": "From", "ends": "Left", "region": "Region", "territory": "Covers",
    "territory_starts": "Covers from", "territory_ends": "Covers until",
}  # fmt: skip

Import = Callable[..., SalesImport]


@pytest.fixture
def admin() -> User:
    return make.user(role=Role.COMP_ADMIN)


@pytest.fixture
def load(tmp_path: Path, admin: User) -> Import:
    def load(
        text: str,
        options: Options = Options(),  # noqa: B008 -- frozen
        *,
        kind: str = "reps",
        dry_run: bool = False,
        more: str = "",
    ) -> SalesImport:
        head, *rows = (
            ",".join(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines()
        )
        path = tmp_path / f"{kind}.csv"
        path.write_text("\n".join([head, *rows]) + "\n")
        known = TERRITORY_COLUMNS if kind == "territories" else COLUMNS
        columns = "\n".join(
            f'{name} = "{head_}"' for name, head_ in known.items() if head_ in head.split(",")
        )
        return carry_out_file(
            kind=kind,
            path=path,
            map_text=f'kind = "{kind}"\n[columns]\n{columns}\n{more}',
            options=options,
            by=admin,
            at=make.AT,
            dry_run=dry_run,
        )

    return load


TERRITORY_COLUMNS = {
    "territory": "Territory", "rep": "Rep", "account": "Account", "house_rep": "House", "starts": "From", "ends": "Until",
}  # fmt: skip


def stays(name: str) -> list[tuple[str, str, date | None, date | None]]:
    rows = TeamMembership.objects.filter(rep__name=name, superseded_at=None).order_by("effective")
    return [(m.team.name, m.role, m.effective.lower, m.effective.upper) for m in rows.select_related("team")]


def above(name: str) -> list[tuple[str | None, date | None, date | None]]:
    rows = TeamPlacement.objects.filter(team__name=name, superseded_at=None).order_by("effective")
    return [
        (p.parent.name if p.parent else None, p.effective.lower, p.effective.upper)
        for p in rows.select_related("parent")
    ]


def reasons(run: SalesImport) -> dict[int, str]:
    return dict(ImportRow.objects.filter(run=run).values_list("line", "code"))


def sold(owner: Rep, day: date) -> Deal:
    """A deal of $1,000, credited."""
    house = Offering.objects.get(name="House model")
    deal = make.deal(
        owner=owner, lines=[make.Line(house, 1_000_00)], close_date=day, state=DealState.APPROVED
    )
    with transaction.atomic():
        engine.post(engine.ByDeal([deal.pk]), key=f"sold:{deal.pk}", kind="deal", by=None, at=make.AT)
    return deal


def rows_written() -> dict[str, int]:
    tables = (Rep, Team, TeamMembership, TeamPlacement, Territory, TerritoryAssignment, CustomerTerritory)
    return {model.__name__: model._default_manager.count() for model in tables}


def test_a_new_organisation_comes_in_whatever_the_order_of_its_rows_and_a_second_time_changes_nothing(
    load: Import,
) -> None:
    make.fiscal_year(year=2026)
    user = make.user(role=Role.REP, email="ann@corp.example")
    text = """
        Name | No | Mail             | Team  | Above | Manager | Role       | From       | Covers
        Ann  | 1  | Ann@corp.example | North | Field | Max     |            | 2025-09-01 | Iberia;Nordics
        Bob  | 2  |                  | North | Field | Max     | specialist |            |
        Max  | 3  |                  | North |       |         |            | 2025-08-01 |
             |    |                  | Field | Sales | Vic     |            |            |
        Vic  | 4  |                  | Sales |       |         |            |            |
    """
    before = rows_written()
    checked = load(text, CREATE, dry_run=True)
    assert (checked.state, checked.counts) == (SalesImportState.CHECKED, {"new": 5})
    assert rows_written() == before
    assert checked.preview["created"] == {"reps": 4, "teams": 3, "territories": 2}
    assert checked.preview["examples"][0] == {
        "line": 2,
        "outcome": "new",
        "what": "Ann, North, under Field, managed by Max, covers Iberia;Nordics, from 1 Sep 2025",
        "problems": [],
    }
    done = load(text, CREATE)
    assert (done.state, done.counts) == (SalesImportState.DONE, {"new": 5})
    since = date(2025, 7, 1)  # the first day of the calendar
    assert stays("Ann") == [("North", "account_executive", date(2025, 9, 1), None)]
    assert stays("Bob") == [("North", "specialist", since, None)]
    assert stays("Max") == [("North", "manager", date(2025, 8, 1), None)]
    assert stays("Vic") == [("Sales", "manager", since, None)]  # the team above Field
    assert [above(name) for name in ("North", "Field", "Sales")] == [
        [("Field", since, None)],
        [("Sales", since, None)],
        [(None, since, None)],
    ]
    ann = Rep.objects.get(employee_no="1")
    assert (ann.user, ann.slug, ann.hired_on) == (user, "ann", date(2025, 9, 1))
    assert {a.territory.name: a.effective for a in ann.territories.all()} == {
        "Iberia": DateRange(date(2025, 9, 1), None),
        "Nordics": DateRange(date(2025, 9, 1), None),
    }
    after = rows_written()
    again = load(text, CREATE)
    assert again.counts == {"unchanged": 5}
    assert rows_written() == after
    trail = AuditEvent.objects.filter(table="quotas_rep", row=ann.pk).latest("id")
    assert trail.actor == done.requested_by
    assert trail.reason


def test_without_creating_a_row_that_names_what_is_not_there_is_refused_and_the_rest_is_taken(
    load: Import,
) -> None:
    make.world()
    before = rows_written()
    run = load(
        """
        Name | Team       | Manager | Role | Covers
        Ana  | Team       | Mia     |      |
        Eve  | Team       |         |      |
        Bo   | Nowhere    |         |      |
        Cy   | Other team | Nobody  |      |
        Zed  |            |         |      | Atlantis
        Ana  | Other team |         |      |
        Rex  | Region     |         |      |
        """
    )
    assert run.counts == {"unchanged": 1, "refused": 6}
    assert reasons(run) == {
        2: "two_teams",
        3: "unknown_rep",
        4: "unknown_team",
        5: "unknown_rep",
        6: "unknown_territory",
        7: "two_teams",
    }
    row = ImportRow.objects.get(run=run, line=3)
    assert (row.column, row.cells) == ("Name", ["Eve", "Team", "", "", ""])
    assert row.message == (
        "There is no rep called Eve. Correct it, add it first, or let the import create what is missing."
    )
    assert ImportRow.objects.get(run=run, line=7).message == (
        "Rows put them into different teams from one day on: line 2 in Team and line 7 in Other team. A rep is in one team at a"
        " time."
    )
    assert rows_written() == before
    assert stays("Ana") == [("Team", "account_executive", make.LONG_AGO, None)]


def test_all_or_nothing_keeps_the_whole_file_out(load: Import) -> None:
    make.world()
    before = rows_written()
    run = load("Name|Team|From\nAna|Other team|2026-07-01\nBo|Nowhere|", Options(all_or_nothing=True))
    assert (run.state, run.counts) == (SalesImportState.REFUSED, {"changed": 1, "refused": 1})
    assert rows_written() == before
    assert stays("Ana") == [("Team", "account_executive", make.LONG_AGO, None)]


def test_moves_are_dated_and_what_they_take_the_place_of_is_superseded(load: Import) -> None:
    world = make.world()
    text = """
        Name | Team       | Role       | From       | Left
        Ana  | Other team |            | 2026-07-01 |
        Ana  | Team       | specialist | 2026-08-01 |
        Bo   | Other team |            |            |
        Cy   |            |            |            | 2026-08-01
        Zed  | Other team | manager    | 2019-01-01 |
    """
    run = load(text)
    assert run.counts == {"changed": 5}
    assert stays("Ana") == [
        ("Team", "account_executive", make.LONG_AGO, JUL),
        ("Other team", "account_executive", JUL, AUG),
        ("Team", "specialist", AUG, None),
    ]
    assert stays("Bo") == [
        ("Team", "account_executive", make.LONG_AGO, TODAY),
        ("Other team", "account_executive", TODAY, None),
    ]
    assert stays("Cy") == [("Other team", "account_executive", make.LONG_AGO, AUG)]
    assert stays("Zed") == [  # a change without an end holds until what is known of later days
        ("Other team", "manager", date(2019, 1, 1), make.LONG_AGO),
        ("Other team", "manager", make.LONG_AGO, None),
    ]
    world.cy.refresh_from_db()
    assert world.cy.left_on == AUG
    old = TeamMembership.objects.get(rep=world.ana, effective=DateRange(make.LONG_AGO, None))
    assert old.superseded_at == make.AT
    after = rows_written()
    assert load(text).counts == {"unchanged": 5}
    assert rows_written() == after


def test_who_left_comes_back_on_a_day_that_is_given_and_is_refused_without_one(load: Import) -> None:
    make.world()
    load("Name|Covers\nCy|Iberia", CREATE)
    load("Name|Left\nCy|2026-08-20")
    assert TerritoryAssignment.objects.get(superseded_at=None).effective.upper == date(2026, 8, 20)
    assert load("Name|Left\nCy|2026-07-01").counts == {"changed": 1}
    assert TerritoryAssignment.objects.get(superseded_at=None).effective.upper == JUL
    refused = load("Name|Team\nCy|Team")
    assert reasons(refused) == {2: "has_left"}
    assert load("Name|Team|From\nCy|Team|2026-08-01").counts == {"changed": 1}
    assert stays("Cy") == [
        ("Other team", "account_executive", make.LONG_AGO, JUL),
        ("Team", "account_executive", AUG, None),
    ]
    assert Rep.objects.get(name="Cy").left_on is None


def test_two_of_one_name_are_told_apart_by_number_and_a_number_finds_who_changed_their_name(
    load: Import,
) -> None:
    team = make.team(name="Team")
    one, two = make.rep(name="Sam Lee", team=team), make.rep(name="Sam Lee", team=team)
    Rep.objects.filter(pk=two.pk).update(employee_no="E7")
    make.rep(name="Kim", team=team, user=make.user(email="kim@corp.example"))
    assert reasons(load("Name|Team\nSam Lee|Team")) == {2: "ambiguous_rep"}
    run = load(
        """
        Name    | No  | Mail             | Team
        Sam Lee |     |                  | Team
        S. Lee  | E7  |                  | Team
        Kim     | E8  | kim@corp.example | Team
        Pat     | E7  | kim@corp.example | Team
        Kim     | E9  | kim@corp.example | Team
        """
    )
    assert reasons(run) == {5: "email_of_another", 6: "number_of_another"}
    assert run.counts == {
        "changed": 2,
        "unchanged": 1,
        "refused": 2,
    }  # one Sam Lee alone is called so from now on
    assert set(Rep.objects.values_list("name", "employee_no")) == {
        ("Sam Lee", ""),
        ("S. Lee", "E7"),
        ("Kim", "E8"),
    }
    assert Rep.objects.get(name="Sam Lee") == one


def test_a_circle_of_teams_is_refused_by_name_and_nothing_of_it_is_written(load: Import) -> None:
    make.world()
    before = rows_written()
    run = load(
        """
        Name | Team       | Above
             | Company    | Team
        Bo   | Team       | Region
        Ana  | Other team | Other team
        """
    )
    assert reasons(run) == {2: "teams_in_a_circle", 4: "own_parent"}
    message = ImportRow.objects.get(run=run, line=2).message
    assert message == "Company > Region > Team > Company: a team cannot stand under itself."
    assert run.counts == {"refused": 2, "unchanged": 1}
    assert rows_written() == before


def test_two_teams_change_places_and_a_team_moves_on_the_day_of_its_rows(load: Import) -> None:
    make.world()
    text = """
        Name | Team    | Above      | From
             | Company | Region     | 2026-07-01
             | Region  | Other team | 2026-07-01
             | Other team | Top     | 2026-07-01
        Bo   | Team    | Company    | 2026-08-01
    """
    assert load(text, CREATE).counts == {"changed": 4}
    assert above("Company") == [(None, make.LONG_AGO, JUL), ("Region", JUL, None)]
    assert above("Region") == [("Company", make.LONG_AGO, JUL), ("Other team", JUL, None)]
    assert above("Team") == [("Region", make.LONG_AGO, AUG), ("Company", AUG, None)]
    assert above("Top") == [(None, date(2025, 7, 1), None)]  # not below what stood at the top so far
    assert load(text, CREATE).counts == {"unchanged": 4}


def test_where_managers_alone_are_named_each_leads_a_team_below_that_of_their_own_manager(
    load: Import,
) -> None:
    """As personnel systems export it: a name and whom they report to."""
    make.fiscal_year(year=2026)
    text = """
        Name | Manager
        Ann  | Max
        Bob  | Max
        Max  | Vic
        Cid  | Lea
        Lea  | Vic
    """
    assert load(text, CREATE).counts == {"new": 5}
    assert [stays(name)[0][:2] for name in ("Ann", "Bob", "Max", "Cid", "Lea", "Vic")] == [
        ("Team of Max", "account_executive"),
        ("Team of Max", "account_executive"),
        ("Team of Max", "manager"),
        ("Team of Lea", "account_executive"),
        ("Team of Lea", "manager"),
        ("Team of Vic", "manager"),
    ]
    tree = Hierarchy(TODAY)
    ids = {team.name: team.pk for team in Team.objects.all()}
    assert tree.parent_of == {
        ids["Team of Max"]: ids["Team of Vic"],
        ids["Team of Lea"]: ids["Team of Vic"],
        ids["Team of Vic"]: None,
    }
    after = rows_written()
    assert load(text, CREATE).counts == {"unchanged": 5}
    assert rows_written() == after
    assert load(text.replace("Bob  | Max", "Bob  | Lea")).counts == {"changed": 1, "unchanged": 4}
    assert [stay[:1] for stay in stays("Bob")] == [("Team of Max",), ("Team of Lea",)]


def test_several_managers_of_one_office_lead_a_team_each_below_it(load: Import) -> None:
    make.fiscal_year(year=2026)
    text = "Name|Manager|Team\nAnn|Max|Central\nBob|Lea|Central\nCid|Rob|East\nMax||Central"
    assert load(text, CREATE).counts == {"new": 4}
    assert [stays(name)[0][:2] for name in ("Ann", "Bob", "Cid", "Max", "Lea", "Rob")] == [
        ("Team of Max", "account_executive"),
        ("Team of Lea", "account_executive"),
        ("East", "account_executive"),
        ("Team of Max", "manager"),
        ("Team of Lea", "manager"),
        ("East", "manager"),
    ]
    assert [above(name)[0][0] for name in ("Team of Max", "Team of Lea", "Central", "East")] == [
        "Central", "Central", "Imported reps", "Imported reps",
    ]  # fmt: skip
    assert load(text, CREATE).counts == {"unchanged": 4}


def test_the_sample_of_another_company_comes_in_by_the_map_in_the_docs(shared_dir: Path, admin: User) -> None:
    file = shared_dir / "data" / "crm" / "maven" / "sales_teams.csv"
    if not file.is_file():
        pytest.skip("the CRM samples are not beside the checkout")
    make.fiscal_year()
    years = FiscalCalendar.objects.create(
        slug="calendar-years", name="Calendar years", time_zone="UTC", prefix="CY", first_month=1
    )
    make.fiscal_year(year=2017, of=years)
    told: dict[str, Any] = {
        "kind": "reps",
        "path": file,
        "map_text": (Path(__file__).parents[3] / "docs/examples/maven-reps.toml").read_text(),
        "options": CREATE,
        "by": admin,
        "at": make.AT,
    }
    run = carry_out_file(**told)
    assert run.counts == {"new": 35}
    assert run.preview["created"] == {"reps": 41, "teams": 10}
    with file.open() as rows:
        for row in csv.DictReader(rows):
            ((team, role, first, _last),) = stays(row["sales_agent"])
            assert (team, role, first) == (f"Team of {row['manager']}", "account_executive", date(2017, 1, 1))
            assert above(team)[0][0] == row["regional_office"]
            assert stays(row["manager"])[0][:2] == (team, "manager")
    assert Team.objects.get(calendar=years).name == "Imported reps"
    assert carry_out_file(**told).counts == {"unchanged": 35}


def test_a_manager_s_own_row_names_who_manages_the_team_above(load: Import) -> None:
    make.fiscal_year(year=2026)
    text = "Name|Team|Manager\nAnn|West|Maria\nMaria|West|Vic\nBob|East|Leo\nLeo|East|Vic\nVic|Sales|"
    assert load(text, CREATE).counts == {"new": 5}
    assert [stays(name)[0][:2] for name in ("Ann", "Maria", "Leo", "Vic")] == [
        ("West", "account_executive"),
        ("West", "manager"),
        ("East", "manager"),
        ("Sales", "manager"),
    ]
    assert [above(name)[0][0] for name in ("West", "East", "Sales")] == ["Sales", "Sales", None]
    assert load(text, CREATE).counts == {"unchanged": 5}


def test_a_manager_who_is_in_another_team_is_refused_with_what_to_do(load: Import) -> None:
    make.world()
    run = load("Name|Team|Manager\nAna|Team|Zed\nBo|Team|Rex")
    assert reasons(run) == {2: "manager_elsewhere"}
    assert ImportRow.objects.get(run=run).message == (
        "Zed is in Other team then, and a rep is in one team at a time: give Zed a row that puts them into Team,"
        " or into a team above it."
    )
    assert run.counts == {"refused": 1, "unchanged": 1}  # Rex manages Bo from above


def test_one_run_follows_a_file_and_it_moves_the_credit_to_the_new_teams(load: Import) -> None:
    world = make.world()
    deals = [sold(rep, day) for rep, day in ((world.ana, AUG), (world.bo, AUG))]
    entries = CreditEntry.objects.count()
    assert entries
    run = load(
        "Name|Team|From\nAna|Other team|2026-07-15\nBo|Other team|2026-07-15\nCy|Other team|2026-07-15"
    )
    assert run.counts == {"changed": 2, "unchanged": 1}
    job = Job.objects.get(kind="quotas.recredit")
    assert (job.parameters["cause"], job.parameters["deals"]) == ("team", sorted(deal.pk for deal in deals))
    done = jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    assert (done.state, done.counts["credited"], done.counts["reversed"]) == (JobState.DONE, 2, 2)
    assert set(CreditEntry.objects.filter(pk__gt=0).order_by("-pk").values_list("team", flat=True)[:2]) == {
        world.other.pk
    }
    assert not any(broken().values())
    load("Name|Team|From\nAna|Other team|2026-07-15")
    assert Job.objects.filter(kind="quotas.recredit").count() == 1


def test_territories_come_in_with_who_covers_them_what_lies_in_them_and_their_house_rep(load: Import) -> None:
    world = make.world()
    acme = make.customer(name="Acme")
    text = """
        Territory | Rep | Account | House | From       | Until
        Iberia    | Ana | Acme    | Rex   | 2026-07-01 |
        Iberia    | Bo  |         |       | 2026-07-01 | 2026-08-01
        Iberia    |     | Umbrella |      |            |
        Nordics   | Ana |         |       |            |
        Nordics   |     |         |       |            |
    """
    refused = load(text, kind="territories")
    assert refused.counts == {"refused": 5}
    run = load(text, CREATE, kind="territories")
    assert run.counts == {"new": 4, "refused": 1}
    assert reasons(run) == {6: "nothing_said"}
    assert run.preview["created"] == {"territories": 2, "accounts": 1}
    iberia = Territory.objects.get(name="Iberia")
    assert iberia.house_rep == world.rex
    covers = TerritoryAssignment.objects.filter(superseded_at=None).order_by("territory__name", "rep__name")
    assert [(a.territory.name, a.rep.name, a.effective) for a in covers] == [
        ("Iberia", "Ana", DateRange(JUL, None)),
        ("Iberia", "Bo", DateRange(JUL, AUG)),
        ("Nordics", "Ana", DateRange(date(2025, 7, 1), None)),
    ]
    lying = CustomerTerritory.objects.order_by("customer__name")
    assert [(c.customer.name, c.effective) for c in lying] == [
        ("Acme", DateRange(JUL, None)),
        ("Umbrella", DateRange(date(2025, 7, 1), None)),
    ]
    assert lying[0].customer == acme
    after = rows_written()
    again = load(text, CREATE, kind="territories")
    assert again.counts == {"unchanged": 4, "refused": 1}
    assert rows_written() == after
    ended = load("Territory|Rep|Until\nIberia|Ana|2026-08-10", kind="territories")
    assert ended.counts == {"changed": 1}
    ana = TerritoryAssignment.objects.get(territory=iberia, rep=world.ana, superseded_at=None)
    assert ana.effective == DateRange(JUL, date(2026, 8, 10))


def test_overlay_credit_by_territory_follows_a_file_by_one_run(load: Import) -> None:
    bookings = make.measure(name="AI bookings")
    world = make.world(
        rules=[
            make.Rule(bookings, slug="base"),
            make.Rule(bookings, slug="overlay", receivers=Receivers.TERRITORY),
        ]
    )
    deal = sold(world.ana, AUG)
    text = f"Territory|Rep|Account|From\nIberia|Cy|{deal.customer.name}|2026-07-01"
    load(text, CREATE, kind="territories")
    job = Job.objects.get(kind="quotas.recredit")
    assert job.parameters["deals"] == [deal.pk]
    assert jobs.work_off(job_id=job.pk, now=lambda: make.AT).counts["credited"] == 1
    entry = CreditEntry.objects.get(rep=world.cy)
    assert entry.deal_id == deal.pk


def test_a_large_file_takes_no_more_statements_than_a_small_one(
    load: Import, django_assert_max_num_queries: Any
) -> None:
    make.fiscal_year(year=2026)
    rows = "\n".join(f"Rep {n}|{n}|Team {n % 20}|Field|Boss {n % 20}|Area {n % 30}" for n in range(300))
    text = f"Name|No|Team|Above|Manager|Covers\n{rows}"
    with django_assert_max_num_queries(75):
        run = load(text, CREATE)
    assert run.counts == {"new": 300}
    with django_assert_max_num_queries(45):
        assert load(text, CREATE).counts == {"unchanged": 300}


def test_rows_that_undo_each_other_are_refused_on_the_first_reading(load: Import) -> None:
    """Dee manages North from the team above it, until another row has put that team below North."""
    make.fiscal_year(year=2026)
    load("Name|Team\nDee|South", CREATE)
    text = "Name|Team|Above|Manager|From\n|South|North||\n|North||Dee|2026-07-01"
    run = load(text, CREATE)
    assert (run.counts, reasons(run)) == ({"changed": 1, "refused": 1}, {3: "rows_contradict"})
    assert stays("Dee") == [("South", "account_executive", date(2025, 7, 1), None)]
    assert run.preview["created"] == {"teams": 1}
    assert load(text, CREATE).counts == {"unchanged": 1, "refused": 1}


def test_a_new_person_s_rows_hold_together_whatever_their_order(load: Import) -> None:
    make.fiscal_year(year=2026)
    text = "Name|No|Team|Manager|From|Left|Covers\n|7|||||Iberia\nDee|7|Field||2026-07-01||\nDee|||||2026-08-20|\nAnn|||Bob||2026-08-01|\n||East|Bob|||"
    assert load(text, CREATE).counts == {"new": 5}
    assert stays("Dee") == [("Field", "account_executive", JUL, date(2026, 8, 20))]
    assert TerritoryAssignment.objects.get().effective.upper == date(2026, 8, 20)
    assert [stays(name)[0][:2] for name in ("Ann", "Bob")] == [
        ("East", "account_executive"),
        ("East", "manager"),
    ]
    assert load(text, CREATE).counts == {"unchanged": 5}


def test_a_name_that_cannot_be_made_refuses_its_rows_and_the_rest_is_taken(load: Import) -> None:
    make.world()
    number = "1234567890" * 3 + "1"
    text = f"Territory|Rep|House\nIberia|Ana|\nIberia|{number}|\nNordics||{number}\nAlps|Bo|"
    run = load(text, CREATE, kind="territories")
    assert (run.counts, reasons(run)) == (
        {"new": 2, "refused": 2},
        {3: "number_too_long", 4: "number_too_long"},
    )
    assert [row.column for row in ImportRow.objects.filter(run=run).order_by("line")] == ["Rep", "House"]
    assert sorted(Territory.objects.values_list("name", flat=True)) == ["Alps", "Iberia"]
    assert run.preview["created"] == {"territories": 2}
    assert load(text, CREATE, kind="territories").counts == {"unchanged": 2, "refused": 2}


NAMES, TEAMS, DAYS = (
    ("Ann", "Bob", "Cid", "Dee"),
    ("North", "South", "Field"),
    ("", "2026-07-01", "2026-08-01"),
)
ROW = st.fixed_dictionaries(
    {
        "Name": st.sampled_from(("", *NAMES)),
        "No": st.sampled_from(("", "", "1", "2")),
        "Team": st.sampled_from(("", *TEAMS)),
        "Above": st.sampled_from(("", "", *TEAMS)),
        "Manager": st.sampled_from(("", "", *NAMES)),
        "Role": st.sampled_from(("", "", "specialist", "manager")),
        "From": st.sampled_from(DAYS),
        "Left": st.sampled_from(("", "", "", "2026-08-01", "2026-08-20")),
        "Covers": st.sampled_from(("", "", "Iberia", "Iberia;Nordics")),
        "Covers until": st.sampled_from(("", "", "2026-08-10")),
    }
)
HEAD = ("Name", "No", "Team", "Above", "Manager", "Role", "From", "Left", "Covers", "Covers until")
FILE = st.lists(ROW, min_size=1, max_size=7)


@settings(
    max_examples=examples(8),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink an example takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=FILE, second=FILE)
def test_after_any_two_files_the_second_again_writes_nothing_and_refuses_nothing_that_it_took(
    load: Import, first: list[dict[str, str]], second: list[dict[str, str]]
) -> None:
    with transaction.atomic():
        make.fiscal_year(year=2026)
        files = [
            "\n".join(["|".join(HEAD), *("|".join(row[name] for name in HEAD) for row in file)])
            for file in (first, second)
        ]
        load(files[0], CREATE)
        once = load(files[1], CREATE)
        before, refused = rows_written(), reasons(once)
        again = load(files[1], CREATE)
        assert set(again.counts) <= {"unchanged", "refused"}, (once.counts, again.counts)
        assert rows_written() == before
        assert reasons(again).keys() <= refused.keys()
        for day in (JUL, AUG, date(2026, 8, 20)):
            tree = Hierarchy(day)
            assert all(
                None in {tree.parent_of.get(at) for at in tree.upwards(team)} for team in tree.parent_of
            )
        transaction.set_rollback(True)


def test_the_commands_import_and_say_what_came_of_it(tmp_path: Path, admin: User, capsys: Any) -> None:
    make.world()
    people, fields, errors = tmp_path / "people.csv", tmp_path / "people.toml", tmp_path / "refused.csv"
    people.write_text("Who;Team\nAna;Other team\nEve;Team\n")
    fields.write_text('kind = "reps"\n[columns]\nrep = "Who"\nteam = "Team"\n')
    call_command(
        "import_reps", str(people), "--map", str(fields), "--by", admin.email, "--errors", str(errors)
    )
    said = capsys.readouterr().out
    assert "changed                1" in said
    assert "unknown_rep" in said
    assert errors.read_text().splitlines()[1].startswith("3,")
    with pytest.raises(CommandError, match="1 rows were refused, and all or none was asked for"):
        call_command(
            "import_reps", str(people), "--map", str(fields), "--by", admin.email, "--all-or-nothing"
        )
    people.write_text("Who;Team\nEve;Team\n")
    with pytest.raises(CommandError, match="refused"):
        call_command("import_reps", str(people), "--map", str(fields), "--by", admin.email)
    quotas = tmp_path / "quotas.csv"
    quotas.write_text("Who;FY27-Q2\nAna;1000\n")
    fields.write_text('kind = "quotas"\n[columns]\nrep = "Who"\n[periods]\n"FY27-Q2" = "FY27-Q2"\n')
    call_command("import_quotas", str(quotas), "--map", str(fields), "--by", admin.email, "--dry-run")
    assert "Nothing was written." in capsys.readouterr().out
    land = tmp_path / "land.csv"
    land.write_text("Land;Who\nIberia;Ana\n")
    fields.write_text('kind = "territories"\n[columns]\nterritory = "Land"\nrep = "Who"\n')
    call_command(
        "import_territories", str(land), "--map", str(fields), "--by", admin.email, "--create-missing"
    )
    assert TerritoryAssignment.objects.get().rep.name == "Ana"
