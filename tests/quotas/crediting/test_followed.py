"""What changes what ought to be credited is followed by a run: nobody has to know that one is due, and no later run moves it under another name."""

from datetime import date
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Role
from config import jobs
from config.models import Job, JobState, OutboxMessage
from config.outbox import carry_out
from marketplace.services import change_sets
from marketplace.services.change_sets import ItemDraft
from marketplace.services.telling import pass_on
from quotas.crediting import engine
from quotas.models import CreditEntry, Deal, DealState, Period, PeriodState, UncreditedLine
from quotas.services import approving, booking, calendars, closing
from tests import make
from tests.make import AT
from tests.quotas.api import signed_in

pytestmark = pytest.mark.django_db

EVERYTHING = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))


def finished() -> list[Job]:
    """The runs that were started, worked off."""
    done = [
        jobs.work_off(job_id=job.pk, now=lambda: AT)
        for job in Job.objects.filter(kind="quotas.recredit").order_by("pk")
    ]
    assert [job.error for job in done if job.state != JobState.DONE] == []
    return done


def left_to_post() -> dict[str, int]:
    counts = engine.preview(EVERYTHING).counts
    return {outcome: counts[outcome] for outcome in ("credited", "reversed") if counts.get(outcome)}


def approved(world: make.World, on: date) -> Deal:
    draft = make.draft(owner=world.ana, close_date=on, lines=[make.Line(world.house, 100_00)])
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    return approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)


def posted(world: make.World, on: date) -> Deal:
    """As a load leaves it, which may lie ahead."""
    lines = [make.Line(world.house, 100_00)]
    deal = make.deal(owner=world.ana, lines=lines, close_date=on, state=DealState.APPROVED)
    with transaction.atomic():
        engine.post(engine.ByDeal([deal.pk]), key=f"load:{deal.pk}", kind="load", by=None, at=AT)
    return deal


def stands(deal: Deal) -> list[int]:
    return list(CreditEntry.objects.filter(deal=deal).order_by("pk").values_list("amount_minor", flat=True))


# A month is opened.


def test_a_month_that_is_opened_credits_what_waited_for_it_and_nothing_else() -> None:
    world = make.world()
    august, september = (Period.objects.get(name=name) for name in ("FY27-M02", "FY27-M03"))
    Period.objects.filter(grain="M", starts__gte=august.starts).update(state=PeriodState.FUTURE)
    here, ahead = approved(world, date(2026, 8, 10)), posted(world, date(2026, 9, 10))
    assert set(UncreditedLine.objects.values_list("deal", "reason")) == {
        (here.pk, "no_period"),
        (ahead.pk, "no_period"),
    }
    closing.open_month(period_id=august.pk, by=world.admin, at=AT)
    (run,) = finished()
    assert (run.parameters["cause"], run.parameters["deals"]) == ("period", [here.pk])
    assert (stands(here), stands(ahead)) == ([100_00], [])
    assert left_to_post() == {}
    closing.open_month(period_id=september.pk, by=world.admin, at=AT)
    finished()
    assert stands(ahead) == [100_00]
    assert not UncreditedLine.objects.exists()


def test_years_that_are_opened_credit_what_waited_for_a_month() -> None:
    world = make.world()
    last = date(2027, 6, 30)
    Period.objects.filter(grain="M").update(state=PeriodState.CLOSED)
    late = posted(world, last)
    assert UncreditedLine.objects.get().reason == "no_period"
    calendars.open_years(years=[2028], by=world.admin, at=AT)
    finished()
    assert stands(late) == [100_00]
    assert CreditEntry.objects.get().posting_period.name == "FY28-M01"


# The catalog says another thing.


def catalog_says(*items: tuple[str, dict[str, Any]]) -> None:
    """Drafted, submitted, approved and told, twice."""
    keeper, reviewer = (make.user(role=Role.CATALOG_MANAGER) for _ in range(2))
    drafts = [ItemDraft(operation, body) for operation, body in items]
    made = change_sets.draft_change_set(title="Corrected", items=drafts, by=keeper, at=AT)
    change_sets.submit(change_set_id=made.pk, by=keeper, at=AT)
    change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    for message in OutboxMessage.objects.filter(topic="marketplace.changed", done_at=None):
        for _ in range(2):
            pass_on(message.payload, AT)
        carry_out(message_id=message.pk, at=AT)


def test_another_family_path_or_pricing_form_is_followed_by_a_run_over_what_was_sold() -> None:
    world = make.world()

    def spiff(slug: str, factor: int, **condition: Any) -> make.Rule:
        return make.Rule(world.bookings, slug=slug, exclusive=False, factor_ppm=factor, **condition)

    make.plan_version(
        rules=[
            spiff("family", 50_000, families=["frontier"]),
            spiff("form", 30_000, pricing_forms=["subscription"]),
        ]
    )
    plan = make.plan(offering=world.house, slug="standard")
    line = make.Line(world.house, 100_00, plan=plan)
    deal, other = (
        make.deal(owner=world.ana, lines=[sold], close_date=date(2026, 7, 20), state=DealState.APPROVED)
        for sold in (line, make.Line(world.third, 70_00))
    )
    with transaction.atomic():
        engine.post(engine.ByDeal([deal.pk, other.pk]), key="first", kind="load", by=None, at=AT)
    slug = world.house.slug
    catalog_says(("offering.update", {"slug": slug, "name": "House model, renamed"}))
    assert finished() == []
    catalog_says(("offering.update", {"slug": slug, "family": "frontier"}))
    (first,) = finished()
    assert (first.parameters["cause"], first.parameters["deals"]) == ("catalog", [deal.pk])
    assert first.title == "House model, renamed has changed: family"
    assert stands(deal) == [100_00, 5_00]
    catalog_says(("plan.update", {"offering": slug, "plan": "standard", "pricing_form": "subscription"}))
    finished()
    assert stands(deal) == [100_00, 5_00, 3_00]
    assert left_to_post() == {}
    catalog_says(("offering.update", {"slug": slug, "commercial_path": "marketplace"}))
    assert [run.parameters["cause"] for run in finished()] == ["catalog"] * 3
    assert left_to_post() == {}


def test_whoever_reviews_a_change_set_sees_first_what_it_moves() -> None:
    world = make.world()
    deal = make.deal(
        owner=world.ana,
        lines=[make.Line(world.house, 100_00)],
        close_date=date(2026, 7, 20),
        state=DealState.APPROVED,
    )
    with transaction.atomic():
        engine.post(engine.ByDeal([deal.pk]), key="first", kind="load", by=None, at=AT)
    keeper = make.user(role=Role.CATALOG_MANAGER)
    reviewer = make.user(roles=[Role.CATALOG_MANAGER, Role.COMP_ADMIN])

    def reviewed(*items: tuple[str, dict[str, Any]]) -> str:
        drafts = [ItemDraft(operation, {"slug": world.house.slug, **body}) for operation, body in items]
        made = change_sets.draft_change_set(title="Corrected", items=drafts, by=keeper, at=AT)
        change_sets.submit(change_set_id=made.pk, by=keeper, at=AT)
        answer = signed_in(Client(), reviewer).get(f"/catalog/change-sets/{made.pk}/")
        assert answer.status_code == 200
        change_sets.withdraw(change_set_id=made.pk, by=keeper, at=AT)
        return answer.content.decode()

    assert "What it may move" not in reviewed(("offering.update", {"name": "House model, renamed"}))
    said = reviewed(("offering.update", {"family": "frontier", "name": "House model, renamed"}))
    assert "Family: 1 credited deal, 1 line." in said
    assert "AI bookings $100<" in said
    assert said.count("A recredit run follows") == 1
