"""Fiscal years of any shape and business units with years of their own: what is opened, what is refused, and whose periods take the credit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role
from config.refusals import Conflict, Forbidden, Invalid
from quotas.crediting import engine, loading
from quotas.crediting.invariants import broken
from quotas.demo import calendar as demo
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    FiscalCalendar,
    Period,
    PlanState,
    Rep,
    SalesRole,
    Team,
    TeamMembership,
    TeamPlacement,
)
from quotas.selectors.boards import team_board
from quotas.selectors.periods import Calendars, calendar_of_rep, calendar_of_team, current_period
from quotas.services import approving, booking
from quotas.services.calendars import NewCalendar, open_years, set_up
from quotas.services.consumption import UsageRow, record_usage
from tests import make

pytestmark = pytest.mark.django_db

AT = make.AT
CALENDAR_YEARS = NewCalendar("Calendar years", "CY", 1, "UTC", business_unit="Maven Computers")


@dataclass(frozen=True)
class Two:
    """The usual organisation by its July years, and Maven beside it by calendar years, with Dan and his manager Eve."""

    world: make.World
    maven: Team
    west: Team
    dan: Rep
    eve: Rep

    def sold(self, owner: Rep, on: date, *, amount: int = 100_00) -> Deal:
        draft = make.draft(
            owner=owner,
            customer=self.world.customer,
            close_date=on,
            lines=[make.Line(self.world.house, amount)],
        )
        deal = booking.log_deal(draft=draft, by=make.login(owner), at=AT)
        booking.submit_deal(deal_id=deal.pk, by=make.login(owner), at=AT)
        leader = self.eve if owner == self.dan else self.world.mia
        approving.approve_deal(deal_id=deal.pk, by=make.login(leader), at=AT)
        return Deal.objects.get(pk=deal.pk)


@pytest.fixture
def two() -> Two:
    world = make.world()
    made = set_up(years=[2026], new=CALENDAR_YEARS, by=world.admin, at=AT)
    assert made.unit is not None
    west = make.team(parent=made.unit, name="West", slug="west")
    dan = make.rep(team=west, name="Dan", login=True)
    eve = make.rep(team=made.unit, name="Eve", role=SalesRole.MANAGER, login=True)
    return Two(world, made.unit, west, dan, eve)


def periods_of(deal: Deal) -> set[tuple[str, str]]:
    return set(
        CreditEntry.objects.filter(deal=deal).values_list("origin_period__name", "posting_period__name")
    )


# --- opening years ----------------------------------------------------------------------------------------


def test_a_year_may_begin_in_any_month_and_has_its_halves_quarters_and_months() -> None:
    admin = make.user(role=Role.COMP_ADMIN)
    april = NewCalendar("April years", "AP", 4, "Asia/Tokyo")
    made = open_years(years=[2024, 2025], new=april, by=admin, at=AT)
    told = [(p.name, p.starts, p.ends) for p in made if p.name in ("AP24", "AP24-H2", "AP25-Q1", "AP24-M11")]
    assert told == [
        ("AP24", date(2023, 4, 1), date(2024, 4, 1)),
        ("AP24-H2", date(2023, 10, 1), date(2024, 4, 1)),
        ("AP24-M11", date(2024, 2, 1), date(2024, 3, 1)),
        ("AP25-Q1", date(2024, 4, 1), date(2024, 7, 1)),
    ]
    assert len(made) == 2 * (1 + 2 + 4 + 12)
    months = Period.objects.filter(calendar__prefix="AP", grain="M").select_related("quarter", "half", "year")
    for month in months:
        for above in (month.quarter, month.half, month.year):
            assert above is not None
            assert above.starts <= month.starts < month.ends <= above.ends
    assert {m.state for m in months} == {"open"}
    assert AuditEvent.objects.filter(actor=admin, reason="Opened 2024, 2025").exists()
    # January years, and the demo's, which begin in July, by the same arithmetic.
    open_years(years=[2017], new=NewCalendar("Calendar years", "CY", 1, "UTC"), by=admin, at=AT)
    year = Period.objects.get(name="CY17")
    assert (year.starts, year.ends) == (date(2017, 1, 1), date(2018, 1, 1))
    open_years(years=demo.YEARS, new=NewCalendar("Fiscal", "FY", 7, "UTC"), by=admin, at=AT, state="future")
    found = Period.objects.filter(calendar__prefix="FY").values_list(
        "grain", "name", "starts", "ends", "quarter__name", "half__name", "year__name"
    )
    assert set(found) == {
        (p.grain, p.name, p.starts, p.ends, p.quarter, p.half, p.year) for p in demo.periods()
    }
    assert set(Period.objects.filter(calendar__prefix="FY", grain="M").values_list("state", flat=True)) == {
        "future"
    }


def test_what_is_there_already_or_makes_no_sense_is_refused_and_nothing_is_opened() -> None:
    world = make.world(quotas=False)
    before = Period.objects.count()

    def refused(years: list[int], new: NewCalendar | None = None, **more: Any) -> list[tuple[str, str]]:
        with pytest.raises(Invalid) as found:
            open_years(years=years, new=new, by=world.admin, at=AT, **more)
        assert (Period.objects.count(), FiscalCalendar.objects.count()) == (before, 1)
        return [(p.code, p.pointer) for p in found.value.problems]

    with pytest.raises(Invalid, match="Fiscal calendar has FY27 already, from 1 Jul 2026 to before 1 Jul 2027: leave 2027 out"):  # fmt: skip
        open_years(years=[2025, 2027], by=world.admin, at=AT)
    assert refused([2027]) == [("year_overlaps", "/years")]
    assert refused([]) == [("no_years", "/years")]
    assert refused([1999, 2100]) == [("year_out_of_range", "/years")] * 2
    assert refused(list(range(2000, 2011))) == [("too_many_years", "/years")]
    assert refused([2020], state="closed") == [("wrong_state", "/state")]
    taken = NewCalendar("Fiscal", "FY", 13, "Mars/Olympus", business_unit="Company")
    world.company.slug = "company"
    world.company.save()
    assert refused([2020], taken) == [
        ("calendar_taken", "/name"),
        ("prefix_taken", "/prefix"),
        ("wrong_month", "/first_month"),
        ("unknown_time_zone", "/time_zone"),
        ("unit_taken", "/business_unit"),
    ]
    assert refused([2020], NewCalendar(" ", "cy", 1, "UTC"))[:2] == [
        ("calendar_unnamed", "/name"),
        ("wrong_prefix", "/prefix"),
    ]
    with pytest.raises(Forbidden):
        open_years(years=[2020], by=world.auditor, at=AT)
    assert Period.objects.count() == before


def test_a_plan_for_the_years_needs_a_second_person_and_days_without_another_plan() -> None:
    world = make.world()
    checker = make.user(role=Role.COMP_ADMIN)
    before = Period.objects.count()
    with pytest.raises(Conflict) as covered:  # by the world's plan
        set_up(years=[2026], new=CALENDAR_YEARS, plan=True, by=world.admin, checked_by=checker, at=AT)
    assert [p.code for p in covered.value.problems] == ["days_have_a_plan"]
    for wrong in (world.admin, world.auditor):
        with pytest.raises((Conflict, Forbidden)):
            set_up(years=[2017], new=CALENDAR_YEARS, plan=True, by=world.admin, checked_by=wrong, at=AT)
    assert (Period.objects.count(), Team.objects.filter(name="Maven Computers").exists()) == (before, False)

    made = set_up(years=[2017], new=CALENDAR_YEARS, plan=True, by=world.admin, checked_by=checker, at=AT)
    assert made.plan is not None
    assert (str(made.plan), made.plan.state, made.plan.published_by) == (
        "CY17 plan v1",
        PlanState.PUBLISHED,
        checker,
    )
    assert made.unit is not None
    ever = (None, None)
    dan = make.rep(team=make.team(parent=made.unit, effective=ever), effective=ever, login=True)
    boss = make.rep(team=made.unit, role=SalesRole.MANAGER, effective=ever, login=True)
    sold = make.offering(publisher=world.third.publisher, available_on=date(2017, 1, 1))
    make.decision(offering=sold, effective=ever)
    draft = make.draft(owner=dan, close_date=date(2017, 11, 5), lines=[make.Line(sold, 77_00)])
    deal = booking.log_deal(draft=draft, by=make.login(dan), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(dan), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(boss), at=AT)
    entry = CreditEntry.objects.get(deal=deal)
    assert (entry.amount_minor, entry.rep_id, entry.posting_period.name) == (77_00, dan.pk, "CY17-M11")
    waiting = set_up(years=[2018], calendar=made.calendar, plan=True, by=world.admin, at=AT)
    assert waiting.plan is not None
    assert waiting.plan.state == PlanState.IN_REVIEW
    assert broken() == {}


# --- whose periods ----------------------------------------------------------------------------------------


def test_deals_of_one_day_are_credited_in_the_months_of_their_owners_units(two: Two) -> None:
    day = date(2026, 7, 15)
    ours, theirs = two.sold(two.world.ana, day), two.sold(two.dan, day)
    assert periods_of(ours) == {("FY27-M01", "FY27-M01")}
    assert periods_of(theirs) == {("CY26-M07", "CY26-M07")}
    totals = CreditTotal.objects.filter(measure=two.world.bookings).values_list("rep__name", "period__name")
    assert set(totals) == {
        *(("Ana", name) for name in ("FY27", "FY27-H1", "FY27-Q1", "FY27-M01")),
        *(("Dan", name) for name in ("CY26", "CY26-H2", "CY26-Q3", "CY26-M07")),
    }
    assert broken() == {}
    # A rerun over the days of both changes nothing.
    again = engine.post(
        engine.BySpan(day, day + timedelta(days=1)), key="again", kind="recredit", by=None, at=AT
    )
    assert again.counts == {"unchanged": 2}


def test_credit_of_a_closed_month_goes_to_a_later_one_of_its_own_calendar_and_never_back(two: Two) -> None:
    open_years(years=[2024, 2025], by=two.world.admin, at=AT)  # all of it open, before all that is there
    theirs, ours = two.sold(two.dan, date(2026, 6, 10)), two.sold(two.world.ana, date(2026, 6, 10))
    Period.objects.filter(name__in=["CY26-M06", "FY26-M12", "CY26-M07"]).update(state="closed")
    for deal in (theirs, ours):
        Deal.objects.filter(pk=deal.pk).update(held=True)
        engine.post(engine.ByDeal([deal.pk]), key=f"held-{deal.pk}", kind="hold", by=None, at=AT)
    assert periods_of(theirs) == {("CY26-M06", "CY26-M06"), ("CY26-M06", "CY26-M08")}
    assert periods_of(ours) == {("FY26-M12", "FY26-M12"), ("FY26-M12", "FY27-M01")}
    old = two.sold(two.world.ana, date(2023, 9, 1))
    assert periods_of(old) == {("FY24-M03", "FY24-M03")}
    assert broken() == {}


def test_a_deal_keeps_its_calendar_until_it_gets_another_owner(two: Two) -> None:
    day, admin = date(2026, 7, 20), two.world.admin
    draft = make.draft(owner=two.dan, close_date=day, lines=[make.Line(two.world.house)])
    deal = booking.log_deal(draft=draft, by=admin, at=AT)
    assert deal.calendar.prefix == "CY"
    TeamMembership.objects.filter(rep=two.dan).update(team=two.world.team)
    booking.edit_deal(deal_id=deal.pk, draft=make.draft(owner=two.dan, close_date=day), by=admin, at=AT)
    assert Deal.objects.get(pk=deal.pk).calendar.prefix == "CY"
    booking.edit_deal(deal_id=deal.pk, draft=make.draft(owner=two.world.bo, close_date=day), by=admin, at=AT)
    assert Deal.objects.get(pk=deal.pk).calendar.prefix == "FY"


def test_a_close_date_is_a_day_of_the_calendars_own_time_zone_and_needs_a_month_of_it(two: Two) -> None:
    late = datetime(2026, 8, 14, 2, tzinfo=UTC)  # the 13th still in Los Angeles, where the other calendar is
    for owner, codes in ((two.dan, []), (two.world.ana, ["close_date_in_future"])):
        draft = make.draft(owner=owner, close_date=date(2026, 8, 14), lines=[make.Line(two.world.house)])
        deal = booking.log_deal(draft=draft, by=make.login(owner), at=late)
        found: list[str] = []
        try:
            booking.submit_deal(deal_id=deal.pk, by=make.login(owner), at=late)
        except Invalid as refused:
            found = [p.code for p in refused.problems]
        assert found == codes
    autumn = date(2025, 11, 3)  # in FY26, in no year of the other calendar
    assert booking.problems(make.draft(owner=two.world.ana, close_date=autumn), at=AT) == []
    codes = [p.code for p in booking.problems(make.draft(owner=two.dan, close_date=autumn), at=AT)]
    assert codes == ["no_period"]


def test_consumption_moves_to_the_calendar_of_the_accounts_new_owner(two: Two) -> None:
    consumed = make.measure(basis="consumed")
    make.plan_version(rules=[make.Rule(consumed, slug="c")])
    owned = make.ownership(customer=two.world.customer, rep=two.world.ana)
    row = UsageRow(two.world.customer.pk, two.world.house.pk, date(2026, 7, 1), "USD", 50_00)
    record_usage(rows=[row], source="metering", by=two.world.admin, at=AT)
    deal = Deal.objects.get(source="metering")
    assert periods_of(deal) == {("FY27-M01", "FY27-M01")}
    owned.rep = two.dan
    owned.save()
    more = UsageRow(two.world.customer.pk, two.world.house.pk, date(2026, 7, 1), "USD", 60_00)
    record_usage(rows=[more], source="metering", by=two.world.admin, at=AT)
    stands = {(e.rep_id, e.origin_period.name): e.amount_minor for e in CreditEntry.objects.filter(reverses_id=None, amount_minor=60_00)}  # fmt: skip
    assert stands == {(two.dan.pk, "CY26-M07"): 60_00}
    assert broken() == {}


def test_the_calendar_of_a_team_is_that_of_the_nearest_team_above_on_the_day(two: Two) -> None:
    day = date(2026, 8, 1)
    assert [c.prefix for t in (two.maven, two.west, two.world.team) if (c := calendar_of_team(t.pk, day))] == ["CY", "CY", "FY"]  # fmt: skip
    assert str(calendar_of_rep(two.dan.pk, day)) == "Calendar years"
    two.west.placements.update(effective=(None, date(2026, 7, 1)))
    TeamPlacement.objects.create(
        team=two.west, parent=two.world.region, effective=(date(2026, 7, 1), None), recorded_at=AT
    )
    known = Calendars()
    with CaptureQueriesContext(connection) as few:
        told = [str(known.of_team(two.west.pk, date(2026, 6, 1) + timedelta(days=n))) for n in range(60)]
    assert (told[29], told[30], len(few)) == ("Calendar years", "Fiscal calendar", 2)
    assert str(current_period(day, calendar_id=two.maven.calendar_id)) == "CY26-Q3"
    assert str(current_period(date(2025, 3, 1), calendar_id=two.maven.calendar_id)) == "CY26-Q1"


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_first_load_of_one_calendar_leaves_the_deals_of_the_other_alone() -> None:
    world = make.world(quotas=False)
    made = set_up(years=[2026], new=CALENDAR_YEARS, by=world.admin, at=AT)
    day = date(2026, 7, 9)
    ours = make.deal(owner=world.ana, customer=world.customer, close_date=day, lines=[make.Line(world.house, 70_00)], state="approved")  # fmt: skip
    theirs = make.deal(owner=world.bo, close_date=day, lines=[make.Line(world.house, 30_00)], state="approved", of=made.calendar)  # fmt: skip
    july: dict[str, Any] = {
        "starts": date(2026, 7, 1),
        "ends": date(2026, 8, 1),
        "by": None,
        "at": AT,
        "sessions": 1,
    }
    assert loading.load(**july, key="a").counts == {"credited": 1}
    assert periods_of(ours) == {("FY27-M01", "FY27-M01")}
    assert not CreditEntry.objects.filter(deal=theirs).exists()
    assert loading.load(**july, key="b", calendar_id=made.calendar.pk).counts == {"credited": 1}
    assert periods_of(theirs) == {("CY26-M07", "CY26-M07")}
    assert broken() == {}


# --- command and pages ------------------------------------------------------------------------------------


def test_the_command_makes_the_unit_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    world = make.world(quotas=False)
    checker = make.user(role=Role.COMP_ADMIN)
    asked: list[Any] = ["--calendar", "cy", "--new", "Calendar years", "--business-unit", "Maven Computers", "--time-zone", "UTC",
                        "--plan", "--by", world.admin.email, "--checked-by", checker.email]  # fmt: skip
    call_command("open_years", "2017", *asked)
    assert capsys.readouterr().out.splitlines() == [
        "Calendar years: a new calendar, CY, UTC.",
        "Maven Computers: a business unit at the top, team maven-computers.",
        "CY17: 2017-01-01 to before 2018-01-01, 12 months, open.",
        "CY17 plan v1: published, every eligible line at 100 %.",
    ]
    with pytest.raises(CommandError, match="There is no calendar XX, only FY, CY"):
        call_command("open_years", "2018", "--calendar", "XX", "--by", world.admin.email)
    with pytest.raises(CommandError, match="has CY17 already"):
        call_command("open_years", "2017", "2018", "--calendar", "CY", "--by", world.admin.email)
    assert not Period.objects.filter(name="CY18").exists()


@pytest.fixture
def as_user() -> Callable[[Any], Client]:
    def logged_in(who: Any) -> Client:
        client = Client()
        client.force_login(make.login(who) if isinstance(who, Rep) else who)
        return client

    return logged_in


def test_the_page_shows_calendars_side_by_side_and_opens_years_for_comp_admins(
    two: Two, as_user: Any
) -> None:
    admin = as_user(two.world.admin)
    page = admin.get("/quotas/periods/").content.decode()
    for said in ("2 fiscal calendars", "Maven Computers", "FY27-Q1", "CY26-Q3", "Open fiscal years"):
        assert said in page
    assert "/quotas/board/maven-computers/?period=CY26-Q3" in page
    sent = {"years": "2018-2020", "calendar": two.world.year.year.calendar_id, "state": "open", "first_month": 1, "time_zone": "UTC"}  # fmt: skip
    assert admin.post("/quotas/periods/", {**sent, "letters": "XY"}).status_code == 422
    wrong = admin.post("/quotas/periods/", {**sent, "years": "2026"})
    assert wrong.status_code == 422
    assert "has FY26 already" in wrong.content.decode()
    done = admin.post("/quotas/periods/", sent, follow=True)
    assert "FY18, FY19, FY20 of Fiscal calendar: 36 months." in done.content.decode()
    assert Period.objects.filter(name="FY19-M07", starts=date(2019, 1, 1), state="open").exists()
    rep = as_user(two.world.ana)
    assert "Open fiscal years" not in rep.get("/quotas/periods/").content.decode()
    assert rep.post("/quotas/periods/", {**sent, "years": "2021"}).status_code == 404
    assert not Period.objects.filter(name="FY21").exists()


def test_boards_and_leaderboards_begin_with_the_period_of_the_teams_own_calendar(
    two: Two, as_user: Any
) -> None:
    two.sold(two.dan, date(2026, 7, 15), amount=40_000_00)
    two.sold(two.world.ana, date(2026, 7, 15), amount=10_000_00)
    eve, ana = as_user(two.eve), as_user(two.world.ana)
    theirs = eve.get("/quotas/board/west/").context
    assert (theirs["switch"].chosen.name, theirs["board"].credited_minor) == ("CY26-Q3", 40_000_00)
    assert [c.calendar.prefix for c in theirs["switch"].choices] == ["CY"]
    ours = ana.get(f"/quotas/board/{two.world.team.slug}/").context
    assert (ours["switch"].chosen.name, ours["board"].credited_minor) == ("FY27-Q1", 10_000_00)
    admin = as_user(two.world.admin)
    both = admin.get(f"/quotas/board/{two.maven.slug}/?period=FY27-Q1")
    assert [c.calendar.prefix for c in both.context["switch"].choices] == ["CY", "FY"]
    assert '<optgroup label="Calendar years">' in both.content.decode()
    assert both.context["board"].credited_minor == 0
    ranks = {
        who: as_user(rep).get("/quotas/leaderboard/", {"by": "credit"}).context["board"]
        for who, rep in (("eve", two.eve), ("ana", two.world.ana))
    }
    assert {
        who: (str(b.period), [e.name for e in b.entries if e.credited_minor]) for who, b in ranks.items()
    } == {
        "eve": ("CY26-Q3", ["Dan"]),
        "ana": ("FY27-Q1", ["Ana"]),
    }
    # A year that is over: the unit's board begins with its last quarter.
    at = datetime(2027, 3, 1, tzinfo=UTC)
    last = current_period(at.date(), calendar_id=two.maven.calendar_id)
    assert last is not None
    shown = team_board(team=two.maven, period=last, measure=two.world.bookings, at=at, viewer=two.world.admin)
    assert (last.name, shown.on) == ("CY26-Q4", date(2026, 12, 31))
