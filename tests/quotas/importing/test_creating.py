"""What a file names and Parity does not know is made once, in its place; what cannot be made says why and leaves nothing behind."""

from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role, User
from config.refusals import Forbidden, Invalid
from marketplace.models import Customer, EligibilityDecision, Offering, Publisher
from quotas.importers.countries import country_code
from quotas.importers.maps import ImportMapping
from quotas.models import (
    CustomerTerritory,
    FiscalCalendar,
    Rep,
    SalesRole,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
)
from quotas.selectors.hierarchy import Hierarchy
from quotas.services.importing.creating import AccountFacts, Creator, OfferingFacts, RepFacts
from quotas.services.importing.options import Options
from tests import make

pytestmark = pytest.mark.django_db
SINCE = date(2017, 1, 1)


@pytest.fixture
def admin() -> User:
    return make.user(role=Role.COMP_ADMIN)


def creator(
    by: User,
    *,
    calendar: FiscalCalendar | None = None,
    reason: str = "",
    checked_by: User | None = None,
    **create: str,
) -> Creator:
    return Creator(
        by=by,
        at=make.AT,
        since=SINCE,
        mapping=ImportMapping(kind="deals", create=create),
        options=Options(create_missing=True, eligibility_reason=reason),
        calendar=calendar or make.calendar(),
        checked_by=checked_by,
        dry_run=False,
        evidence="Import I-00007",
    )


def where(name: str) -> tuple[str, str, tuple[str, ...]]:
    """A rep's team, role, and the teams above it up to the top."""
    seat = TeamMembership.objects.select_related("team").get(rep__name=name, superseded_at=None)
    assert seat.effective.lower == SINCE
    tree = Hierarchy(make.TODAY)
    names = dict(Team.objects.values_list("pk", "name"))
    above = tuple(names[team] for team in tree.upwards(seat.team_id) if team != seat.team_id)
    return seat.team.name, seat.role, above


# --- reps and teams ------------------------------------------------------------------------------------------


def test_offices_and_their_managers_become_a_tree(admin: User) -> None:
    made = creator(admin)
    found = made.reps(
        {
            "Anna": RepFacts(team="Central", manager="Dustin"),
            "Ben": RepFacts(team="Central", manager="dustin"),
            "Carl": RepFacts(team="East", manager="Cara"),
            "Dora": RepFacts(team="East"),
            "Finn": RepFacts(manager="Cara"),
            "Nobody's": RepFacts(),
        }
    )
    assert set(found) == {"Anna", "Ben", "Carl", "Dora", "Finn", "Nobody's"}
    assert made.counts == {"reps": 8, "teams": 5}
    executive, top = SalesRole.ACCOUNT_EXECUTIVE, "Imported reps"
    assert where("Anna") == where("Ben") == ("Team of Dustin", executive, ("Central", top))
    assert where("Dustin") == ("Team of Dustin", SalesRole.MANAGER, ("Central", top))
    assert where("Carl") == where("Finn") == ("Team of Cara", executive, ("East", top))
    assert where("Dora") == ("East", executive, (top,))
    assert where("Nobody's") == (top, executive, ())
    trail = AuditEvent.objects.filter(table="quotas_teammembership").first()
    assert trail is not None
    assert (trail.actor, trail.reason) == (admin, "Import I-00007")
    again = creator(admin)
    assert again.reps({"ANNA": RepFacts(team="West"), "dora": RepFacts()}) == {
        "ANNA": found["Anna"],
        "dora": found["Dora"],
    }
    assert again.counts["reps"] == again.counts["teams"] == 0
    assert creator(admin).reps({"Gil": RepFacts(manager="Dustin")}).keys() == {"Gil"}
    assert where("Gil") == ("Team of Dustin", executive, ("Central", top))


def test_managers_report_to_managers_and_a_circle_is_refused(admin: User) -> None:
    made = creator(admin)
    made.reps(
        {
            "Ann": RepFacts(manager="Meg"),
            "Meg": RepFacts(manager="Rex"),
            "Rex": RepFacts(manager="Rex", team="Sales"),
            "Mia": RepFacts(team="EMEA", manager="Rex", role="Manager"),
            "Zoe": RepFacts(team="EMEA", manager="Mia"),
        }
    )
    assert not made.refused
    top = "Imported reps"
    assert where("Ann") == ("Team of Meg", SalesRole.ACCOUNT_EXECUTIVE, ("Team of Rex", "Sales", top))
    assert where("Meg") == ("Team of Meg", SalesRole.MANAGER, ("Team of Rex", "Sales", top))
    assert where("Zoe") == ("EMEA", SalesRole.ACCOUNT_EXECUTIVE, ("Team of Rex", "Sales", top))
    assert where("Mia") == ("EMEA", SalesRole.MANAGER, ("Team of Rex", "Sales", top))
    before = (Rep.objects.count(), Team.objects.count())
    circle = creator(admin)
    found = circle.reps(
        {
            "X": RepFacts(manager="Y"),
            "Y": RepFacts(manager="X"),
            "Low": RepFacts(manager="X"),
            "Fine": RepFacts(),
        }
    )
    assert set(found) == {"Fine"}
    assert {circle.refused[name][0] for name in ("X", "Y", "Low")} == {"team_above_itself"}
    assert (Rep.objects.count(), Team.objects.count()) == (before[0] + 1, before[1])


def test_who_exists_is_found_by_number_address_slug_or_name(admin: User) -> None:
    team = make.team(name="Company")
    ana = make.rep(team=team, name="Ana Ruiz", slug="ana-ruiz", login=True)
    Rep.objects.filter(pk=ana.pk).update(employee_no="E7")
    twins = [make.rep(team=team, name="Sam Lee") for _ in range(2)]
    login = make.user(email="Jo.Park@corp.example")
    made = creator(admin)
    found = made.reps(
        {
            "e7": RepFacts(name="Whoever"),
            make.login(ana).email.upper(): RepFacts(),
            "ana-ruiz": RepFacts(),
            "Sam Lee": RepFacts(),
            "ana ruiz": RepFacts(employee_no="9"),
            "283": RepFacts(name="Tete", employee_no="283"),
            "Tete": RepFacts(),
            "jo.park@corp.example": RepFacts(name="jo.park@corp.example", email="jo.park@corp.example"),
        }
    )
    assert {name for name, pk in found.items() if pk == ana.pk} == {
        "e7",
        make.login(ana).email.upper(),
        "ana-ruiz",
    }
    assert made.refused["Sam Lee"][0] == "ambiguous_rep"
    assert Rep.objects.get(pk=found["ana ruiz"]).employee_no == "9"  # another person of the same name
    assert found["283"] == found["Tete"]
    tete, jo = Rep.objects.get(pk=found["283"]), Rep.objects.get(pk=found["jo.park@corp.example"])
    assert (tete.name, tete.employee_no, tete.user) == ("Tete", "283", None)
    assert (jo.name, jo.user) == ("Jo Park", login)
    assert made.counts["reps"] == 3
    assert where("Tete")[0] == "Company"  # the only team at the top
    assert Rep.objects.filter(name="Sam Lee").count() == len(twins)


def test_people_of_another_business_unit_go_below_its_top(admin: User) -> None:
    make.team(name="Company")
    make.team(name="East")
    units = make.calendar_years()
    first = creator(admin, calendar=units)
    first.reps({"Ann": RepFacts(team="East")})
    assert where("Ann") == ("East", SalesRole.ACCOUNT_EXECUTIVE, ("Imported reps",))
    top = Team.objects.get(name="Imported reps")
    assert top.calendar == units
    assert Team.objects.filter(name="East").count() == 2  # the other unit's is not theirs
    second = creator(admin, calendar=units, team="Field")
    second.reps({"Bob": RepFacts()})
    assert where("Bob") == ("Field", SalesRole.ACCOUNT_EXECUTIVE, ("Imported reps",))
    assert Team.objects.get(name="Field").calendar is None


def test_a_manager_leads_one_team_and_a_known_seller_is_not_made_one(admin: User) -> None:
    world_team = make.team(name="Company")
    mine = make.team(name="Mine", parent=world_team)
    mia = make.rep(team=mine, name="Mia", role=SalesRole.MANAGER)
    make.rep(team=mine, name="Sid")
    loose = Rep.objects.create(slug="lou", name="Lou")
    made = creator(admin)
    found = made.reps(
        {
            "A": RepFacts(manager="Mia", team="Mine"),
            "B": RepFacts(manager="Mia", team="company"),
            "C": RepFacts(manager="Mia", team="Elsewhere"),
            "D": RepFacts(manager="Sid"),
            "E": RepFacts(manager="Lou"),
            "F": RepFacts(role="wizard"),
        }
    )
    assert where("A")[0] == where("B")[0] == "Mine"
    assert {name: made.refused[name][0] for name in ("C", "D", "F")} == {
        "C": "manager_in_two_teams",
        "D": "leads_no_team",
        "F": "unknown_role",
    }
    assert where("E") == ("Team of Lou", SalesRole.ACCOUNT_EXECUTIVE, ("Company",))
    assert Hierarchy(make.TODAY).team_managed_by[loose.pk] == Team.objects.get(name="Team of Lou").pk
    assert not Team.objects.filter(name="Elsewhere").exists()
    two = creator(admin)
    offices = {
        "G": RepFacts(manager="Max", team="Central"),
        "H": RepFacts(manager="Max", team="East"),
        "I": RepFacts(manager="Max"),
    }
    assert two.reps(offices).keys() == {"G", "I"}
    assert two.refused["H"][0] == "manager_in_two_teams"
    assert where("I") == ("Team of Max", SalesRole.ACCOUNT_EXECUTIVE, ("Central", "Company"))
    assert not Team.objects.filter(name="East").exists()
    assert mia.pk not in found.values()


def test_a_seller_of_an_earlier_part_of_the_file_may_turn_out_to_be_a_manager(admin: User) -> None:
    made = creator(admin)
    made.reps({"Meg": RepFacts(team="East")})
    made.reps({"Ann": RepFacts(manager="Meg", team="East")})
    assert where("Meg") == ("Team of Meg", SalesRole.MANAGER, ("East", "Imported reps"))
    assert where("Ann") == ("Team of Meg", SalesRole.ACCOUNT_EXECUTIVE, ("East", "Imported reps"))


def test_teams_stand_below_the_parents_that_are_named(admin: User) -> None:
    made = creator(admin, team="Sales")
    found = made.teams(["North", "Oslo", "Oslo"], {"Oslo": "North", "North": ""})
    assert found.keys() == {"North", "Oslo"}
    names = dict(Team.objects.values_list("pk", "name"))
    assert {
        names[team]: names.get(parent or 0)
        for team, parent in TeamPlacement.objects.values_list("team_id", "parent_id")
    } == {"Sales": None, "North": "Sales", "Oslo": "North"}
    assert made.teams(["oslo"], "South") == {"oslo": found["Oslo"]}  # who stands somewhere stays
    assert made.teams(["P", "Q"], {"P": "Q", "Q": "P"}) == {}
    assert made.refused["P"][0] == "team_above_itself"


# --- accounts ------------------------------------------------------------------------------------------------


def test_accounts_take_what_the_file_says_then_the_map_then_unknown(admin: User) -> None:
    known = make.customer(name="Known Ltd")
    made = creator(admin, segment="Mid Market", country="Germany")
    found = made.accounts(
        {
            "known ltd": AccountFacts(country="US"),
            "Acme Corp": AccountFacts(
                country="united states", segment="Public Sector", region="EMEA", territory="DACH"
            ),
            "ACME  corp": AccountFacts(),
            "Bluth": AccountFacts(territory="dach"),
            "光学": AccountFacts(),
            "Lost": AccountFacts(country="Philipines"),
            "x" * 161: AccountFacts(),
        }
    )
    assert found["known ltd"] == known.pk
    assert found["Acme Corp"] == found["ACME  corp"]
    assert set(
        Customer.objects.exclude(pk=known.pk).values_list("slug", "name", "segment", "region", "country")
    ) == {
        ("acme-corp", "Acme Corp", "public-sector", "emea", "US"),
        ("bluth", "Bluth", "mid-market", "unknown", "DE"),
        ("account", "光学", "mid-market", "unknown", "DE"),
    }
    assert made.refused["Lost"][0] == "unknown_country"
    assert made.refused["x" * 161][0] == "name_too_long"
    assert made.counts == {"accounts": 3, "territories": 1}
    lies = CustomerTerritory.objects.select_related("territory", "customer")
    assert {(each.customer.name, each.territory.name, each.effective.lower) for each in lies} == {
        ("Acme Corp", "DACH", SINCE),
        ("Bluth", "DACH", SINCE),
    }
    assert creator(admin).accounts({"Nowhere": AccountFacts()}).keys() == {"Nowhere"}
    assert Customer.objects.get(name="Nowhere").country == "ZZ"
    assert Territory.objects.count() == 1


def test_countries_are_read_by_code_and_by_name() -> None:
    assert [
        country_code(text) for text in ("us", "United  States", "U.S.A.", "Korea, Republic of", "Nowhereland")
    ] == [
        "US",
        "US",
        "US",
        "KR",
        "",
    ]


# --- offerings -----------------------------------------------------------------------------------------------


def test_offerings_count_by_a_decision_of_two_people_alone(admin: User) -> None:
    wanted = {"GTX Pro": OfferingFacts(publisher="GTX Corp", family="GTX"), "gtx pro": OfferingFacts()}
    made = creator(admin)
    found = made.offerings(wanted)
    assert found["GTX Pro"] == found["gtx pro"]
    assert (made.counts, made.decisions) == ({"offerings": 1, "publishers": 1}, [])
    checker = make.user(role=Role.CATALOG_MANAGER)
    counted = creator(admin, reason="Sold like our own", checked_by=checker, publisher="GTX Corp")
    counted.offerings({"GTX Basic": OfferingFacts()})
    (decision,) = EligibilityDecision.objects.all()
    assert counted.decisions == [decision.pk]
    assert (decision.checked_by, decision.evidence) == (checker, "Import I-00007")
    assert Publisher.objects.count() == 1
    proposed = creator(admin, reason="Sold like our own")
    proposed.offerings({"A": OfferingFacts()})
    proposed.offerings({"B": OfferingFacts()})
    waiting = EligibilityDecision.objects.filter(checked_at=None)
    assert len(set(waiting.values_list("proposal", flat=True))) == 1
    assert set(waiting.values_list("pk", flat=True)) == set(proposed.decisions)


# --- who may, and what means nothing ---------------------------------------------------------------------------


def test_only_comp_admins_create_and_defaults_that_mean_nothing_are_said_at_once(admin: User) -> None:
    for by in (make.user(role=Role.MANAGER), make.user(role=Role.CATALOG_MANAGER)):
        with pytest.raises(Forbidden):
            creator(by).accounts({"Acme": AccountFacts()})
    wrong: dict[str, Any] = {
        "role": "wizard",
        "country": "Nowhereland",
        "origin": "ours",
        "commercial_path": "internal_only",
        "region": "r" * 21,
    }
    with pytest.raises(Invalid) as refused:
        creator(admin, **wrong).reps({"Ann": RepFacts()})
    assert {p.pointer for p in refused.value.problems} == {f"/create/{name}" for name in wrong}
    assert not Rep.objects.exists()
    assert not Offering.objects.exists()


def test_many_names_take_as_many_statements_as_few(admin: User) -> None:
    admin.has_role(Role.COMP_ADMIN)
    costs = []
    for start, number in ((0, 3), (1000, 400)):
        made = creator(admin)
        span = range(start, start + number)
        with CaptureQueriesContext(connection) as captured:
            reps = made.reps(
                {
                    f"Rep {n}": RepFacts(team=f"Office {n % 3} {start}", manager=f"Boss {n % 9} {start}")
                    for n in span
                }
            )
            accounts = made.accounts(
                {f"Account {n}": AccountFacts(territory=f"T {n % 5} {start}") for n in span}
            )
        assert (len(reps), len(accounts)) == (number, number)
        costs.append(len(captured))
    assert costs[1] <= costs[0] + 4  # a copy of many asks for its ids
