"""Stages by their dates: each is told once, in order, after any downtime, however many workers come to it."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from accounts.models import Notification, Role
from config import outbox
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid
from marketplace import tasks
from marketplace.models import CatalogChange, LifecycleMove, Offering, OfferingRevision
from marketplace.services import change_sets
from marketplace.services.lifecycle import carry_out_due
from marketplace.services.publishing import suspend_offering
from tests import make

ZONE = ZoneInfo("America/Los_Angeles")
MONDAY = date(2026, 8, 17)  # what make builds is known since the Friday before

pytestmark = pytest.mark.django_db


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=ZONE)


def run(day: date) -> Counter[str]:
    return carry_out_due(on=day, at=noon(day))


def ending(first: date, name: str = "", replacement: Offering | None = None) -> Offering:
    """On sale since 2020, legacy on *first*, deprecated 30 days later, retired 90 days after that."""
    offering = make.offering(
        name=name,
        deprecated_on=first + timedelta(days=30),
        retires_on=first + timedelta(days=120),
        replacement=replacement,
    )
    Offering.objects.filter(pk=offering.pk).update(legacy_on=first)
    return Offering.objects.get(pk=offering.pk)


def told() -> list[str]:
    """What listeners and readers will hear, in the order of the outbox."""
    payloads = OutboxMessage.objects.filter(topic="marketplace.changed").order_by("id")
    return [str(payload["what"]) for payload in payloads.values_list("payload", flat=True)]


def scheduled(day: date, *, with_plan: bool = True) -> Offering:
    offering = make.offering(publication="scheduled")
    Offering.objects.filter(pk=offering.pk).update(goes_live_on=day)
    if with_plan:
        make.plan(offering=offering)
    return offering


def test_the_first_run_over_an_existing_catalog_is_silent_about_history() -> None:
    ending(date(2026, 4, 1))
    assert run(MONDAY) == {"silent": 4}
    assert told() == []
    assert LifecycleMove.objects.count() == 4


def test_what_begins_on_the_very_day_of_the_first_run_is_news() -> None:
    ending(MONDAY, name="Ends")
    assert run(MONDAY) == {"silent": 1, "legacy": 1}
    assert told() == [
        "Ends is legacy: it is known that it ends, and takes new deals until before 16 Sep 2026."
    ]


def test_a_month_of_downtime_is_caught_up_with_in_the_order_of_the_days() -> None:
    make.offering()
    run(MONDAY)
    successor = make.offering(name="Successor")
    ending(MONDAY + timedelta(days=10), name="Later")
    ending(MONDAY + timedelta(days=2), name="Sooner", replacement=successor)
    after = MONDAY + timedelta(days=33)
    assert run(after) == {"silent": 3, "legacy": 2, "deprecated": 1}
    assert told() == [
        "Sooner is legacy: it is known that it ends, and takes new deals until before 18 Sep 2026. Successor replaces it.",
        "Later is legacy: it is known that it ends, and takes new deals until before 26 Sep 2026.",
        "Sooner is deprecated: it takes no new deals. Successor replaces it.",
    ]
    moves = LifecycleMove.objects.filter(day__gt=MONDAY).order_by("id")
    assert [(m.offering.name, m.stage, m.day, m.carried_out_at) for m in moves] == [
        ("Sooner", "legacy", MONDAY + timedelta(days=2), noon(after)),
        ("Later", "legacy", MONDAY + timedelta(days=10), noon(after)),
        ("Sooner", "deprecated", MONDAY + timedelta(days=32), noon(after)),
    ]


def test_nothing_is_told_twice() -> None:
    make.offering()
    run(MONDAY)
    offering = ending(MONDAY + timedelta(days=20))
    day = MONDAY + timedelta(days=21)
    assert run(day)["legacy"] == 1
    assert run(day) == {}
    assert run(day + timedelta(days=1)) == {}
    assert LifecycleMove.objects.filter(offering=offering, stage="legacy").count() == 1
    assert len(told()) == 1


def test_the_clock_of_the_demo_goes_back_and_nothing_happens_again() -> None:
    ending(MONDAY)
    run(MONDAY)
    assert run(MONDAY - timedelta(days=3)) == {}


def test_what_began_before_the_catalog_knew_the_offering_is_no_news() -> None:
    make.offering()
    run(MONDAY)
    offering = Offering.objects.get(pk=make.offering().pk)  # known since 14 August
    Offering.objects.filter(pk=offering.pk).update(
        preview_on=date(2026, 8, 13), available_on=date(2026, 8, 15)
    )
    assert run(MONDAY) == {"silent": 1, "generally_available": 1}


def test_a_postponed_retirement_is_told_on_its_new_day() -> None:
    make.offering()
    run(MONDAY)
    offering = ending(MONDAY + timedelta(days=1))
    run(MONDAY + timedelta(days=1))
    later = MONDAY + timedelta(days=200)
    Offering.objects.filter(pk=offering.pk).update(legacy_on=later, deprecated_on=None, retires_on=None)
    assert run(later) == {"legacy": 1}


def test_unpublished_offerings_move_nowhere() -> None:
    offering = ending(MONDAY)
    Offering.objects.filter(pk=offering.pk).update(publication="draft")
    assert run(MONDAY) == {}


def test_the_change_is_numbered_and_of_kind_lifecycle() -> None:
    offering = ending(MONDAY, name="Ends")
    run(MONDAY)
    for message_id in outbox.lease(at=noon(MONDAY)):
        outbox.carry_out(message_id=message_id, at=noon(MONDAY))
    change = CatalogChange.objects.get()
    assert (change.kind, change.offering_id, change.first_day) == ("lifecycle", offering.pk, MONDAY)
    assert change.key == f"lifecycle-{offering.pk}-legacy-2026-08-17"


def test_a_run_costs_the_same_for_few_moves_and_for_many() -> None:
    make.offering()
    run(MONDAY)

    def cost(number: int, day: date) -> int:
        for _ in range(number):
            ending(day)
        with CaptureQueriesContext(connection) as found:
            run(day)
        return len(found)

    assert cost(1, MONDAY + timedelta(days=1)) == cost(15, MONDAY + timedelta(days=2)) <= 10


# Going on sale by itself.


def test_a_scheduled_offering_goes_on_sale_on_its_day_and_leaves_a_revision() -> None:
    offering = scheduled(MONDAY)
    assert run(MONDAY - timedelta(days=1))["published"] == 0
    done = run(MONDAY)
    assert done["published"] == 1
    offering.refresh_from_db()
    assert (offering.publication, offering.goes_live_on, offering.revision) == ("live", None, 2)
    revision = OfferingRevision.objects.get(offering=offering, number=2)
    assert (revision.recorded_by, revision.body["publication"]) == (None, "live")
    assert f"{offering.name} is now live." in told()
    assert run(MONDAY)["published"] == 0


def test_a_missed_day_is_caught_up_with() -> None:
    offering = scheduled(MONDAY)
    run(MONDAY + timedelta(days=30))
    offering.refresh_from_db()
    assert offering.publication == "live"


def test_what_nobody_could_buy_stays_and_its_keepers_hear_of_it_once() -> None:
    keeper = make.user(role=Role.CATALOG_MANAGER)
    offering = scheduled(MONDAY, with_plan=False)
    for day in (MONDAY, MONDAY + timedelta(days=1)):
        assert run(day)["not_published"] == 1
    offering.refresh_from_db()
    assert offering.publication == "scheduled"
    for message_id in outbox.lease(at=noon(MONDAY)):
        outbox.carry_out(message_id=message_id, at=noon(MONDAY))
    notification = Notification.objects.get(user=keeper)
    assert "has no plan" in notification.text


# Several at once.


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_the_same_moment_tell_it_once() -> None:
    make.offering()
    run(MONDAY)
    for _ in range(5):
        ending(MONDAY + timedelta(days=1))
    opens = scheduled(MONDAY + timedelta(days=1))
    done = at_once(*[lambda: run(MONDAY + timedelta(days=1))] * 4)
    assert (done["legacy"], done["published"]) == (5, 1)
    assert LifecycleMove.objects.filter(stage="legacy").count() == 5
    assert len([what for what in told() if "legacy" in what]) == 5
    assert OfferingRevision.objects.filter(offering=opens).count() == 2


def at_once(*jobs: Callable[[], Counter[str]]) -> Counter[str]:
    start, done = threading.Barrier(len(jobs)), Counter[str]()

    def work(job: Callable[[], Counter[str]]) -> None:
        start.wait()
        try:
            done.update(job())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    return done


def test_one_part_of_the_day_that_fails_leaves_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make.plan(offering=(offering := scheduled(date(2026, 8, 14))))

    def fail(**_day: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(change_sets, "apply_due", fail)
    tasks.daily()
    offering.refresh_from_db()
    assert offering.publication == "live"
    assert "failed" in caplog.text


# Off sale at once.


def test_the_operator_suspends_at_once_with_a_reason() -> None:
    offering = make.offering()
    keeper = make.user(role=Role.CATALOG_MANAGER)
    with pytest.raises(Invalid) as refused:
        suspend_offering(offering_id=offering.pk, by=keeper, at=noon(MONDAY), reason=" ")
    assert refused.value.problems[0].code == "reason_missing"
    with pytest.raises(Forbidden):
        suspend_offering(
            offering_id=offering.pk,
            by=make.user(role=Role.PARTNER, publisher=offering.publisher),
            at=noon(MONDAY),
            reason="I want to",
        )
    found = suspend_offering(offering_id=offering.pk, by=keeper, at=noon(MONDAY), reason="It answers wrongly")
    assert (found.publication, found.revision) == ("suspended", 2)
    with pytest.raises(Conflict):
        suspend_offering(offering_id=offering.pk, by=keeper, at=noon(MONDAY), reason="Again")
