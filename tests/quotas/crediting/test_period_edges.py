"""The last microsecond of a fiscal year, nights on which the clock changes, and 29 February: which day a deal may close on, and in which month it counts."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from config.refusals import Invalid
from quotas.models import CreditEntry, Deal, FiscalCalendar
from quotas.services import approving, booking
from tests import make
from tests.quotas import api
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

ZONES = ["America/Los_Angeles", "America/New_York", "UTC", "Asia/Kolkata", "Pacific/Auckland"]
JUNE_30, JULY_1 = date(2026, 6, 30), date(2026, 7, 1)


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, settings: Any) -> ZoneInfo:
    """The fiscal calendar's, and the operator's with it."""
    settings.TIME_ZONE, settings.DEMO_TODAY = request.param, None
    return ZoneInfo(request.param)


def world_in(zone: ZoneInfo, *, years: tuple[int, ...] = (2026, 2027)) -> make.World:
    made = make.world(quotas=False)
    FiscalCalendar.objects.update(time_zone=zone.key)
    for year in years:
        make.fiscal_year(year=year, states=dict.fromkeys(range(1, 13), "open"))
    return made


def last_instant(day: date, zone: ZoneInfo) -> datetime:
    """One microsecond before the next day begins there, as everybody else writes it."""
    begins = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    return begins - timedelta(microseconds=1)


def logged(world: make.World, closes: date, at: datetime) -> Deal:
    draft = make.draft(owner=world.ana, customer=world.customer, close_date=closes, lines=[make.Line(world.house, 100_00)])  # fmt: skip
    return booking.log_deal(draft=draft, by=make.login(world.ana), at=at)


def submit(world: make.World, deal: Deal, at: datetime) -> Deal:
    return booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=at)


def credited_in(deal: Deal) -> tuple[date, str, str]:
    entry = CreditEntry.objects.select_related("origin_period", "posting_period").get(deal=deal)
    return entry.credit_date, entry.origin_period.name, entry.posting_period.name


def refused_ahead(world: make.World, deal: Deal, at: datetime) -> bool:
    with pytest.raises(Invalid) as refused:
        submit(world, deal, at)
    deal.refresh_from_db()
    assert deal.state == "draft"
    return [p.code for p in refused.value.problems] == ["close_date_in_future"]


def test_the_last_microsecond_of_the_fiscal_year_belongs_to_it_and_the_next_one_does_not(zone: ZoneInfo) -> None:  # fmt: skip
    world = world_in(zone)
    before = last_instant(JUNE_30, zone)
    after = before + timedelta(microseconds=1)
    old, new = logged(world, JUNE_30, before), logged(world, JULY_1, before)
    submit(world, old, before)
    assert refused_ahead(world, new, before)
    submit(world, new, after)
    for deal in (old, new):
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=after)
    assert credited_in(old) == (JUNE_30, "FY26-M12", "FY26-M12")
    assert credited_in(new) == (JULY_1, "FY27-M01", "FY27-M01")
    assert broken() == {}


def test_a_night_on_which_the_clock_changes_begins_and_ends_its_days_once(
    zone: ZoneInfo, subtests: pytest.Subtests
) -> None:
    """8 March and 1 November in the Americas, 5 April and 27 September in Auckland; elsewhere a night like any other."""
    world = world_in(zone)
    for day in (date(2026, 3, 8), date(2026, 4, 5), date(2026, 9, 27), date(2026, 11, 1)):
        with subtests.test(day=day):
            days_of_a_night(world, zone, day)


def days_of_a_night(world: make.World, zone: ZoneInfo, day: date) -> None:
    for closes in (day, day + timedelta(days=1)):
        opens = last_instant(closes - timedelta(days=1), zone)
        deal = logged(world, closes, opens)
        assert refused_ahead(world, deal, opens)
        submit(world, deal, opens + timedelta(microseconds=1))
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=last_instant(closes, zone))
        assert credited_in(deal)[0] == closes
    hours = (last_instant(day, zone) - last_instant(day - timedelta(days=1), zone)) / timedelta(hours=1)
    longer = {("America", 3): 23, ("America", 11): 25, ("Pacific", 9): 23, ("Pacific", 4): 25}
    assert hours == longer.get((zone.key.split("/")[0], day.month), 24)


def test_the_29th_of_february_is_a_day_of_its_month(zone: ZoneInfo) -> None:
    world = world_in(zone, years=(2028,))
    leap, first = date(2028, 2, 29), date(2028, 3, 1)
    at = last_instant(leap, zone)
    deal, next_day = logged(world, leap, at), logged(world, first, at)
    submit(world, deal, at)
    assert refused_ahead(world, next_day, at)
    submit(world, next_day, at + timedelta(microseconds=1))
    for each in (deal, next_day):
        approving.approve_deal(deal_id=each.pk, by=make.login(world.mia), at=at + timedelta(hours=1))
    assert credited_in(deal) == (leap, "FY28-M08", "FY28-M08")
    assert credited_in(next_day) == (first, "FY28-M09", "FY28-M09")


def asked(world: make.World, closes: str, at: datetime) -> tuple[Any, Any]:
    """Logged and submitted over REST at an instant; both answers."""
    with time_machine.travel(at, tick=False):
        client = api.client(world.ana)
        made = client.post("/api/v1/deals/", api.deal_body(world, close_date=closes))
        return made, made.status_code == 201 and client.post(f"/api/v1/deals/{made.json()['id']}/submit/")


def test_over_rest_the_day_is_the_fiscal_calendars_wherever_the_caller_is(zone: ZoneInfo) -> None:
    world = world_in(zone)
    before = last_instant(JUNE_30, zone)
    made, handed_in = asked(world, "2026-06-30", before)
    assert (made.status_code, handed_in.status_code) == (201, 200)
    assert handed_in.json()["close_date"] == "2026-06-30"
    _, too_early = asked(world, "2026-07-01", before)
    assert too_early.status_code == 422
    assert api.problems(too_early) == [("close_date_in_future", "/close_date")]
    _, in_time = asked(world, "2026-07-01", before + timedelta(microseconds=1))
    assert in_time.json()["close_date"] == "2026-07-01"
    with time_machine.travel(before + timedelta(hours=1), tick=False):
        for answer, month in ((handed_in, "FY26-M12"), (in_time, "FY27-M01")):
            deal = Deal.objects.get(pk=answer.json()["id"])
            assert api.client(world.mia).post(f"/api/v1/deals/{deal.pk}/approve/").status_code == 200
            assert credited_in(deal)[1:] == (month, month)


def test_over_rest_a_29th_of_february_exists_in_leap_years_alone() -> None:
    world = make.world(quotas=False)
    refused = api.client(world.ana).post("/api/v1/deals/", api.deal_body(world, close_date="2027-02-29"))
    assert refused.status_code in (400, 422)
    assert [pointer for _, pointer in api.problems(refused)] == ["/close_date"]
    assert not Deal.objects.exists()
