"""What if: a deal split otherwise, an account another's, another quota. Each is what doing it comes to, and nothing stays. RULES 17.4."""

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import Sum

from accounts.models import User
from config.refusals import Conflict, Forbidden, Invalid
from quotas.crediting import engine
from quotas.crediting.invariants import broken
from quotas.models import CreditTotal, Deal, DealState, Grain, Period, Quota
from quotas.services import facts, whatif
from quotas.services.booking import ShareDraft
from tests import make
from tests.make import AT, TODAY, Line, World

pytestmark = pytest.mark.django_db
ONE = 1_000_000


@pytest.fixture
def world() -> World:
    return make.world()


def approve(*deals: Deal, key: str = "approve") -> None:
    with transaction.atomic():
        engine.post(engine.ByDeal([d.pk for d in deals]), key=key, kind="approve", by=None, at=AT)


def quarter(on: date = TODAY) -> Period:
    return Period.objects.get(grain=Grain.QUARTER, starts__lte=on, ends__gt=on)


def half_and_half(world: World) -> list[ShareDraft]:
    return [ShareDraft(world.ana.pk, ONE // 2), ShareDraft(world.bo.pk, ONE // 2)]


def everything() -> dict[str, tuple[int, str | None]]:
    """Rows and a digest of every table of the application."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            table = model._meta.db_table
            cursor.execute(
                f'select count(*), md5(string_agg(t::text, $$|$$ order by t::text)) from "{table}" t'  # noqa: S608 -- a name of ours
            )
            found[table] = cursor.fetchone()
    return found


def moved(answer: whatif.Answer) -> dict[str, tuple[int, int]]:
    return {shift.rep.name: (shift.before.credited, shift.after.credited) for shift in answer.shifts}


def split(world: World, deal: Deal, by: User, shares: list[ShareDraft] | None = None) -> whatif.Answer:
    return whatif.split_otherwise(deal_id=deal.pk, shares=shares or half_and_half(world), by=by, at=AT)


def test_a_split_tells_what_doing_it_comes_to(world: World) -> None:
    deal = make.deal(
        owner=world.ana, customer=world.customer, lines=[Line(world.house, 1_000_01)], state="approved"
    )
    approve(deal)
    answer = split(world, deal, world.admin)
    assert moved(answer) == {world.ana.name: (1_000_01, 500_01), world.bo.name: (0, 500_00)}
    assert answer.counts == {"credited": 2, "reversed": 1}
    assert (len(answer.winners), len(answer.losers), answer.as_if) == (1, 1, False)
    with transaction.atomic():  # and now in earnest
        whatif._put_in_force(
            Deal.objects.select_related("latest_version", "credited_version").get(pk=deal.pk),
            half_and_half(world),
            by=world.admin,
            at=AT,
        )
        approve(deal, key="again")
    totals = CreditTotal.objects.filter(period=quarter(), measure=world.bookings)
    held = dict(totals.values_list("rep__name").annotate(Sum("direct_minor")))
    assert held == {name: after for name, (_, after) in moved(answer).items()}
    assert broken() == {}


def test_an_open_deal_is_taken_as_approved_either_way(world: World) -> None:
    deal = make.deal(
        owner=world.ana, customer=world.customer, lines=[Line(world.house, 1_000_00)], state="submitted"
    )
    answer = split(world, deal, world.admin)
    assert moved(answer) == {world.ana.name: (1_000_00, 500_00), world.bo.name: (0, 500_00)}
    assert answer.as_if
    deal.refresh_from_db()
    assert (deal.state, deal.credited_version_id) == (DealState.SUBMITTED, None)


def usage(world: World, on: date, amount: int) -> Deal:
    return make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, amount)],
        kind="consumption",
        close_date=on,
        state="approved",
    )


def test_a_transfer_moves_the_usage_from_its_day_on_and_a_holdover_keeps_it(world: World) -> None:
    consumed = make.measure(slug="consumed", basis="consumed")
    make.plan_version(rules=[make.Rule(consumed, slug="usage")])
    make.ownership(customer=world.customer, rep=world.ana)
    first, second = usage(world, date(2026, 7, 31), 300_00), usage(world, date(2026, 8, 10), 100_00)
    approve(first, second)
    asked: dict[str, Any] = {
        "customer_id": world.customer.pk,
        "rep_id": world.bo.pk,
        "by": world.admin,
        "at": AT,
    }
    answer = whatif.owned_otherwise(starts=date(2026, 8, 1), **asked)
    assert moved(answer) == {world.ana.name: (400_00, 300_00), world.bo.name: (0, 100_00)}
    assert answer.deals == 1
    held_over = whatif.owned_otherwise(starts=date(2026, 8, 1), holdover_until=date(2026, 8, 11), **asked)
    assert moved(held_over) == {}
    everybody = whatif.owned_otherwise(starts=date(2026, 7, 1), **asked)
    preview = facts.preview(
        facts.transfer_account,
        customer_id=world.customer.pk,
        rep_id=world.bo.pk,
        starts=date(2026, 7, 1),
        by=world.admin,
        at=AT,
        reason="Because",
    )
    assert everybody.counts == preview.preview.counts
    with pytest.raises(Conflict, match="already"):
        whatif.owned_otherwise(starts=date(2026, 7, 1), **{**asked, "rep_id": world.ana.pk})


def test_another_quota_moves_attainment_rank_and_the_weighted_attainment(world: World) -> None:
    Quota.objects.all().delete()
    for rep, sold, quota in ((world.ana, 500_00, 1_000_00), (world.bo, 600_00, 1_000_00)):
        make.quota(measure=world.bookings, period=quarter(), rep=rep, amount_minor=quota)
        deal = make.deal(
            owner=rep, customer=world.customer, lines=[Line(world.house, sold)], state="approved"
        )
        approve(deal, key=rep.name)
    draft = make.plan_version(plan=world.plan_version.plan, rules=[], state="draft")
    make.component(version=draft, measure=world.bookings, weight_ppm=500_000)
    type(draft).objects.filter(pk=draft.pk).update(
        state="published", published_by=make.user(role="comp_admin"), published_at=AT
    )
    asked: dict[str, Any] = {
        "rep_id": world.ana.pk,
        "measure_id": world.bookings.pk,
        "period_id": quarter().pk,
        "by": world.admin,
        "at": AT,
    }
    answer = whatif.aiming_otherwise(amount_minor=800_00, **asked)
    (shift,) = answer.shifts
    assert (shift.before.quota, shift.after.quota, shift.change) == (1_000_00, 800_00, 0)
    assert (shift.before.rank, shift.after.rank, shift.places) == (2, 1, 1)
    (weighed,) = answer.weighed
    assert (weighed.before, weighed.after) == (Fraction(1, 4), Fraction(5, 16))
    nothing = whatif.aiming_otherwise(amount_minor=0, **asked).shifts[0]
    assert (nothing.after.quota, nothing.after.rank) == (0, None)
    with pytest.raises(Invalid):
        whatif.aiming_otherwise(amount_minor=-1, **asked)
    with pytest.raises(Invalid, match="Choose a day"):
        whatif.aiming_otherwise(amount_minor=1, starts=quarter().ends, **asked)


def test_nothing_of_a_question_stays(world: World) -> None:
    consumed = make.measure(slug="consumed", basis="consumed")
    make.plan_version(rules=[make.Rule(consumed, slug="usage")])
    make.ownership(customer=world.customer, rep=world.ana)
    sold = make.deal(owner=world.ana, customer=world.customer, state="approved")
    draft = make.deal(owner=world.ana, customer=world.customer)
    approve(sold, usage(world, date(2026, 8, 10), 100_00))
    before = everything()
    assert len(before) > 60
    questions: list[Callable[[], whatif.Answer]] = [
        lambda: split(world, sold, world.admin),
        lambda: split(world, draft, world.admin),
        lambda: whatif.owned_otherwise(
            customer_id=world.customer.pk, rep_id=world.bo.pk, starts=date(2026, 8, 1), by=world.admin, at=AT
        ),
        lambda: whatif.aiming_otherwise(
            rep_id=world.ana.pk,
            measure_id=world.bookings.pk,
            period_id=quarter().pk,
            amount_minor=1,
            by=world.admin,
            at=AT,
        ),
    ]
    for ask in questions:
        assert ask().shifts
        assert everything() == before


def test_managers_ask_about_their_own_and_nobody_else_asks(world: World) -> None:
    own = make.deal(owner=world.ana, customer=world.customer, state="approved")
    others = make.deal(owner=world.cy, customer=world.customer, state="approved")
    approve(own, others)
    mia = make.login(world.mia)
    assert set(moved(split(world, own, mia))) == {world.ana.name, world.bo.name}
    with pytest.raises(Invalid, match="no such deal"):
        split(world, others, mia)
    with pytest.raises(Invalid, match="your own teams"):
        split(world, own, mia, [ShareDraft(world.ana.pk, ONE // 2), ShareDraft(world.cy.pk, ONE // 2)])
    with pytest.raises(Invalid, match="those that you answer for"):
        whatif.aiming_otherwise(
            rep_id=world.cy.pk,
            measure_id=world.bookings.pk,
            period_id=quarter().pk,
            amount_minor=1,
            by=mia,
            at=AT,
        )
    make.ownership(customer=world.customer, rep=world.cy)
    with pytest.raises(Invalid, match="those that you answer for"):
        whatif.owned_otherwise(customer_id=world.customer.pk, rep_id=world.bo.pk, starts=TODAY, by=mia, at=AT)
    for somebody in (make.login(world.ana), world.auditor):
        with pytest.raises(Forbidden):
            split(world, own, somebody)


def test_a_manager_does_not_see_the_numbers_of_other_teams(world: World) -> None:
    """The deal is shared with somebody of another team, who loses the share."""
    deal = make.deal(
        owner=world.ana,
        customer=world.customer,
        shares={world.ana: ONE // 2, world.cy: ONE // 2},
        state="approved",
    )
    approve(deal)
    answer = split(world, deal, make.login(world.mia), [ShareDraft(world.ana.pk, ONE)])
    assert ({shift.rep for shift in answer.shifts}, answer.hidden) == ({world.ana}, 1)
    assert split(world, deal, world.admin, [ShareDraft(world.ana.pk, ONE)]).hidden == 0


def test_shares_that_do_not_add_up_say_by_how_much(world: World) -> None:
    deal = make.deal(owner=world.ana, customer=world.customer, state="approved")
    approve(deal)
    with pytest.raises(Invalid, match="give 10 % more"):
        split(world, deal, world.admin, [ShareDraft(world.ana.pk, 900_000)])
    Deal.objects.filter(pk=deal.pk).update(held=True)
    with pytest.raises(Invalid, match="held"):
        split(world, deal, world.admin)


def test_a_closed_month_is_corrected_in_the_next_open_one(world: World) -> None:
    july = Period.objects.get(name="FY27-M01")
    deal = make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, 1_000_00)],
        close_date=date(2026, 6, 30),
        state="approved",
    )
    Period.objects.filter(grain=Grain.MONTH, ends__lte=july.starts).update(state="open")
    approve(deal)
    Period.objects.filter(grain=Grain.MONTH, ends__lte=july.starts).update(state="closed")
    answer = split(world, deal, world.admin)
    assert {shift.period.name for shift in answer.shifts} == {"FY27-Q1"}
    assert moved(answer) == {world.ana.name: (0, -500_00), world.bo.name: (0, 500_00)}
    Period.objects.update(state="closed")
    with pytest.raises(Conflict):
        split(world, deal, world.admin)
