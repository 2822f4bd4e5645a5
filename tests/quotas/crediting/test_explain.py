"""Every explanation comes to its amount, names the facts and the rules tried, and every missing credit has a sentence."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quotas.crediting import engine
from quotas.crediting.explain import (
    Explanation,
    Missing,
    explain_deal,
    explain_entry,
    missing_unsaved,
    why_nothing,
)
from quotas.models import (
    CreditEntry,
    Deal,
    DealAction,
    DealEvent,
    DealState,
    FxRate,
    Period,
    Reason,
    Receivers,
    SalesRole,
    UncreditedLine,
)
from quotas.services.booking import draft_of
from quotas.services.crediting import document
from tests import make
from tests.quotas.crediting.worlds import Rich, worlds

pytestmark = pytest.mark.django_db

AT = make.AT
SPAN = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))
PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture
def rich() -> Rich:
    return Rich()


def approve(*deals: Deal, key: str = "k", at: datetime = AT, kind: str = "approve") -> engine.Outcome:
    return engine.post(engine.ByDeal([d.pk for d in deals]), key=key, kind=kind, by=None, at=at)


def told_of(deals: list[Deal]) -> tuple[list[Explanation], list[Missing]]:
    told = [explain_deal(d.pk) for d in deals]
    return [e for t in told for e in t.credits], [m for t in told for m in t.uncredited]


def every_explanation_holds(deals: list[Deal]) -> None:
    told, gaps = told_of(deals)
    assert len(told) == CreditEntry.objects.count()
    assert [(e.entry.pk, e.evaluated_minor) for e in told] == [(e.entry.pk, e.amount_minor) for e in told]
    for e in told:
        assert e.rule is not None
        assert e.rule.failed == ()
        assert e.rule.result == ("won" if e.rule.rule.exclusive else "added")
    for gap in gaps:
        assert gap.sentence.endswith(".")
        if gap.reason == Reason.NO_RULE:  # one rule at a time comes to what all of them at once came to
            assert [t for t in gap.rules if t.rule.exclusive and not t.failed] == []


def explained(data: st.DataObject, rich: Rich) -> None:
    """Post, change a fact, post again: entries, reversals and what replaced them are explained by what was true for each."""
    with transaction.atomic():
        world = data.draw(worlds(rich))
        engine.post(SPAN, key="first", kind="load", by=None, at=AT)
        every_explanation_holds(world.deals)
        live = [d for d in world.deals if d.state == DealState.APPROVED]
        later = AT + timedelta(days=1)
        if data.draw(st.booleans()):
            rate = data.draw(st.sampled_from(list(FxRate.objects.filter(superseded_at=None))))
            rate.superseded_at = later
            rate.save()
            FxRate.objects.create(from_currency=rate.from_currency, to_currency=rate.to_currency, rate_e9=rate.rate_e9 + 123_456_789,
                                  effective=rate.effective, recorded_at=later)  # fmt: skip
            engine.post(SPAN, key="second", kind="recredit", by=None, at=later)
        if data.draw(st.booleans()) and live:
            (turned,) = data.draw(st.lists(st.sampled_from(live), min_size=1, max_size=1))
            turned.held = not turned.held
            turned.save()
            approve(turned, key="turned", kind="hold" if turned.held else "release", at=later)
        every_explanation_holds(world.deals)
        transaction.set_rollback(True)


@settings(max_examples=4, **PROPERTY)
@given(data=st.data())
def test_every_explanation_re_evaluates_to_its_amount(data: st.DataObject, rich: Rich) -> None:
    explained(data, rich)


@pytest.mark.soak
@settings(max_examples=2000, **PROPERTY)
@given(data=st.data())
def test_every_explanation_re_evaluates_in_thousands_of_worlds(data: st.DataObject, rich: Rich) -> None:
    explained(data, rich)


# --- what an explanation says -----------------------------------------------------------------------------


def step(told: Explanation, label: str) -> str:
    return next(s.detail for s in told.steps if s.label == label)


def fact(told: Explanation, name: str) -> str:
    found = next(f for f in told.facts if f.name == name)
    return f"{found.value}: {found.detail}"


def test_every_fact_is_named_in_the_version_that_was_used() -> None:
    world = make.world(rules=[])
    make.fx(code="EUR", rate="1.0837", effective=(date(2026, 7, 1), date(2026, 10, 1)))
    made, checked = make.user(name="Cat"), make.user(name="Max")
    decision = make.decision(offering=world.house, rate_ppm=500_000, made_by=made, checked_by=checked)
    plan = make.comp_plan(name="FY27 AI", for_everybody=False)
    make.assignment(plan=plan, role=SalesRole.ACCOUNT_EXECUTIVE, effective=(date(2026, 7, 1), None))
    make.plan_version(plan=plan, rules=[make.Rule(world.bookings, name="All deals", factor_ppm=1_100_000)])
    sold = make.plan(offering=world.house)
    price = make.price(plan=sold, effective=(date(2026, 7, 1), None))
    deal = make.deal(owner=world.ana, code="EUR", shares={world.ana: 700_000, world.bo: 300_000}, state="approved",
                     lines=[make.Line(world.house, 100_01, plan=sold, price_version=price)])  # fmt: skip
    approve(deal)
    told = explain_entry(CreditEntry.objects.get(rep=world.ana, component=2).pk)
    assert {f.name for f in told.facts} == {
        "credit_date", "deal_version", "offering", "plan", "price_version", "fx_rate", "eligibility_decision", "team", "share",
        "rule", "plan_assignment",
    }  # fmt: skip
    assert fact(told, "credit_date").startswith("14 August 2026")
    assert fact(told, "deal_version").startswith(
        f"{deal.reference}, version 1: Recorded on 14 August 2026 by Ana"
    )
    assert fact(told, "offering").startswith("House model: Revision 1")
    assert fact(told, "price_version").startswith("In effect since 1 July 2026")
    assert fact(told, "fx_rate") == "EUR to USD at 1.0837: In force from 1 July 2026 to 30 September 2026."
    assert fact(told, "eligibility_decision") == (
        f"50% on the offering House model: Decision {decision.pk} on the offering House model, since 1 January 2020, made by Cat, checked by Max."
    )
    assert fact(told, "team") == "Team: Account executive since 1 January 2020."
    assert fact(told, "share") == "70%: Participant 1 of 2."
    assert (
        fact(told, "plan_assignment")
        == "FY27 AI: Assigned to everybody who is account executive, since 1 July 2026."
    )
    # EUR 100.01 x 1.0837 = 108.380837; 70 % of 108.38 = 75.866; half of 75.87 = 37.935; a tenth of 37.94 = 3.794
    assert (
        step(told, "Deal value")
        == "Line 1, House model: €100.01, at 1.0837, the rate of 14 August 2026 is $108.380837, rounded once."
    )
    assert step(told, "Split").endswith(
        "70% of $108.38 is $75.866; all parts rounded down leave one odd $0.01 over: it is added here, for the largest remainder."
    )
    assert step(told, "Eligibility").endswith("50% of $75.87 is $37.935, rounded to $37.94.")
    assert step(told, "Uplift").endswith(
        "what the multiplier adds to $37.94: 10% of $37.94 is $3.794, rounded to $3.79."
    )
    assert (
        told.sentence
        == f"All deals adds $3.79 to the credit of Ana for 70% of House model in {deal.reference}."
    )
    assert [(p.ordinal, p.own, p.remainder_ppm, p.odd_unit) for p in told.parts] == [
        (1, True, 600_000, True),
        (2, False, 400_000, False),
    ]


def test_the_odd_unit_says_who_got_it_and_why() -> None:
    world = make.world()
    deal = make.deal(
        owner=world.ana,
        lines=[make.Line(world.house, 1)],
        shares={world.cy: 500_000, world.ana: 500_000},
        state="approved",
    )
    approve(deal)
    (mine,) = explain_deal(deal.pk).credits
    assert step(mine, "Split").endswith(
        "all parts rounded down leave one odd $0.01 over: it is added here, an equal remainder but an earlier participant."
    )


def test_each_rule_that_was_tried_says_what_came_of_it() -> None:
    world = make.world(rules=[])
    make.plan_version(
        rules=[
            make.Rule(world.bookings, name="EMEA", regions=["emea"], priority=9),
            make.Rule(world.bookings, name="New business", deal_kinds=["new_business"]),
            make.Rule(world.bookings, name="Anything"),
            make.Rule(
                world.bookings, name="Loud", priority=-1, deal_kinds=["new_business"], regions=["americas"]
            ),
            make.Rule(world.bookings, name="Push", exclusive=False, factor_ppm=50_000),
            make.Rule(world.bookings, name="Desk", receivers=Receivers.TERRITORY),
            make.Rule(world.bookings, name="July", effective=(date(2026, 7, 1), date(2026, 8, 1))),
            make.Rule(
                world.bookings, name="Rivals", publishers=[world.third.publisher], roles=["specialist"]
            ),
        ]
    )
    other = make.comp_plan(name="Desk plan", for_everybody=False)
    make.plan_version(plan=other, rules=[make.Rule(world.bookings, name="Elsewhere")])
    deal = make.deal(owner=world.ana, lines=[make.Line(world.house, 100_00)], state="approved")
    approve(deal)
    told = next(e for e in explain_deal(deal.pk).credits if e.entry.component == 1)
    assert [(t.rule.name, t.result, t.why) for t in told.rules] == [
        ("New business", "won", "It beats Anything and Loud: 1 condition over 0 at the same priority."),
        (
            "Anything",
            "lost",
            "It matches, but New business beats it: 1 condition over 0 at the same priority.",
        ),
        ("Loud", "lost", "It matches, but New business beats it: priority 0 over -1."),
        ("Push", "added", "It matches and adds to whatever else applies."),
        ("EMEA", "failed", "Region is EMEA; this deal is Americas."),
        ("July", "failed", "It holds from 1 July 2026 to 31 July 2026; the credit date is 14 August 2026."),
        ("Elsewhere", "failed", "Ana is not assigned to Desk plan on 14 August 2026."),
        ("Rivals", "failed", "Role is specialist; Ana is account executive."),
    ]
    assert told.rule is not None
    assert told.rule.rule.name == "New business"


def test_overlay_says_by_which_territory_and_a_house_rep_why() -> None:
    world = make.world(rules=[])
    rule = make.Rule(world.bookings, name="Desk", receivers=Receivers.TERRITORY, factor_ppm=200_000)
    make.plan_version(rules=[make.Rule(world.bookings), rule])
    covered, vacant = make.territory(name="DACH"), make.territory(name="Banks", house_rep=world.zed)
    make.covers(rep=world.cy, territory=covered, effective=(date(2026, 7, 1), None))
    for territory in (covered, vacant):
        make.lies_in(customer=world.customer, territory=territory)
    deal = make.deal(
        owner=world.ana, customer=world.customer, lines=[make.Line(world.house, 100_00)], state="approved"
    )
    approve(deal)
    told = {e.entry.rep_id: e for e in explain_deal(deal.pk).credits if e.entry.component == 2}
    name = world.customer.name
    assert step(told[world.cy.pk], "Overlay").startswith(
        f"Cy covers DACH (since 1 July 2026), where {name} lies on 14 August 2026."
    )
    assert step(told[world.zed.pk], "Overlay").startswith(
        f"Zed is the house rep of Banks, where {name} lies and which nobody covers on"
    )
    assert told[world.cy.pk].parts == []
    assert (
        told[world.cy.pk].sentence
        == f"Desk takes $80.00 off the credit of Cy as overlay for all of House model in {deal.reference}."
    )


def test_consumption_says_whose_account_it_is_also_under_a_holdover() -> None:
    world = make.world(rules=[])
    usage = make.measure(basis="billed")
    make.plan_version(rules=[make.Rule(usage)])
    make.ownership(
        customer=world.customer,
        rep=world.ana,
        effective=(None, date(2026, 8, 1)),
        credits=(None, date(2026, 9, 1)),
    )
    make.ownership(
        customer=world.customer,
        rep=world.bo,
        effective=(date(2026, 8, 1), None),
        credits=(date(2026, 9, 1), None),
    )
    deal = make.deal(
        owner=world.ana,
        customer=world.customer,
        kind="consumption",
        lines=[make.Line(world.house, 100_00, billed_minor=90_00)],
        state="approved",
    )
    approve(deal)
    (told,) = explain_deal(deal.pk).credits
    assert told.holds
    assert step(told, "Account owner").startswith(
        f"Ana is credited for {world.customer.name} until 31 August 2026 by a holdover, having owned it until 31 July 2026."
    )
    assert step(told, "Deal value") == "Line 1, House model: $90.00 billed."


def test_a_refund_under_a_cap_tells_the_arithmetic_of_its_family() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, name="Capped", cap_minor=100_00)])
    original = make.deal(owner=world.ana, lines=[make.Line(world.house, 150_00)], state="approved")
    approve(original, key="o")
    backs = []
    for amount in (30_00, 50_00):
        backs.append(
            make.deal(
                owner=world.ana,
                lines=[make.Line(world.house, -amount)],
                kind="refund",
                refunds=original,
                state="approved",
            )
        )
        approve(backs[-1], key=str(amount))
    cut = next(e for e in explain_deal(backs[1].pk).credits if e.entry.component == 4)
    assert (cut.amount_minor, cut.holds) == (20_00, True)
    assert step(cut, "Cap").endswith(
        f"{original.reference} earned $150.00 under it, {backs[0].reference} −$30.00; with this refund's −$50.00 $70.00 are left. "
        "Of the cap of $100.00 that leaves $30.00 for the refund, so $20.00 of it are not taken back; "
        "this line and person earned −$50.00 of −$50.00 and bear $20.00."
    )


def test_an_original_that_is_held_counts_in_its_familys_cap_as_if_it_were_not() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, name="Capped", cap_minor=100_00)])
    original = make.deal(owner=world.ana, lines=[make.Line(world.house, 150_00)], state="approved")
    never = make.deal(owner=world.ana, lines=[make.Line(world.house, 150_00)], state="approved")
    approve(original, key="o")
    for deal in (original, never):
        deal.held = True
        deal.save()
    approve(original, key="h", kind="hold")
    for held in (original, never):
        back = make.deal(
            owner=world.ana,
            lines=[make.Line(world.house, -80_00)],
            kind="refund",
            refunds=held,
            state="approved",
        )
        approve(back, key=f"back {back.pk}")
        assert {e.entry.component: (e.amount_minor, e.holds) for e in explain_deal(back.pk).credits} == {
            1: (-80_00, True),
            4: (50_00, True),
        }


def test_a_reversal_and_an_entry_of_an_old_plan_version_are_explained_by_what_was_true_then() -> None:
    world = make.world(rules=[])
    rule = make.Rule(world.bookings, slug="base", name="As it was", factor_ppm=1_100_000)
    make.plan_version(rules=[rule], plan=(plan := make.comp_plan(name="Plan")))
    deal = make.deal(
        owner=world.ana, close_date=date(2026, 7, 2), lines=[make.Line(world.house, 100_00)], state="approved"
    )
    approve(deal, key="first")
    Period.objects.filter(name="FY27-M01").update(state="closed")
    version = make.plan_version(
        rules=[make.Rule(world.bookings, slug="base", name="As it is", factor_ppm=1_200_000, priority=1)],
        plan=plan,
    )
    approve(deal, key="second", at=AT + timedelta(days=1), kind="recredit")
    told = {(e.entry.component, e.amount_minor): e for e in explain_deal(deal.pk).credits}
    assert all(e.holds for e in told.values())
    assert set(told) == {(1, 100_00), (2, 10_00), (2, -10_00), (2, 20_00)}
    assert [t.rule.name for t in told[1, 100_00].rules] == ["As it was"]
    assert [(t.rule.name, t.rule.plan_version_id) for t in told[2, 20_00].rules] == [("As it is", version.pk)]
    assert told[2, -10_00].sentence.startswith(
        f"Reverses entry {told[2, 10_00].entry.pk} exactly: As it was adds $10.00"
    )
    assert "it belongs to FY27-M01, which was closed" in told[2, 20_00].steps[-1].detail


def test_an_explanation_costs_the_same_queries_whatever_the_number_of_entries() -> None:
    world = make.world(rules=[])
    make.fx(code="EUR")
    make.plan_version(
        rules=[
            make.Rule(
                world.bookings,
                factor_ppm=1_100_000,
                cap_minor=1_000,
                offerings=[world.house],
                publishers=[world.house.publisher],
            ),
            make.Rule(world.bookings, exclusive=False, factor_ppm=50_000),
        ]
    )
    counts, sizes = [], []
    for lines, shares in (
        (1, {world.ana: 1_000_000}),
        (3, dict.fromkeys((world.ana, world.bo, world.cy, world.zed), 250_000)),
    ):
        deal = make.deal(
            owner=world.ana,
            code="EUR",
            lines=[make.Line(world.house, 100_00)] * lines,
            shares=shares,
            state="approved",
        )
        approve(deal, key=str(lines))
        with CaptureQueriesContext(connection) as captured:
            told = explain_deal(deal.pk)
        counts.append(len(captured))
        sizes.append(len(told.credits))
    assert sizes == [4, 48]
    assert counts[0] == counts[1] <= 40


def test_missing_credits_cost_the_same_queries_whatever_their_number() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, regions=["emea"])])
    counts = []
    for lines, shares in ((1, {world.ana: 1_000_000}), (4, {world.ana: 500_000, world.bo: 500_000})):
        deal = make.deal(
            owner=world.ana, lines=[make.Line(world.house, 100_00)] * lines, shares=shares, state="approved"
        )
        approve(deal, key=str(lines))
        with CaptureQueriesContext(connection) as captured:
            assert len(explain_deal(deal.pk).uncredited) == lines * len(shares)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 35


# --- why there is none ------------------------------------------------------------------------------------


def only(deal: Deal) -> Missing:
    approve(deal, key=f"{deal.pk} {deal.held}")
    (gap,) = explain_deal(deal.pk).uncredited
    stored = UncreditedLine.objects.get(deal=deal)
    assert why_nothing(stored) == str(gap) == f"Line {gap.line_no}: {gap.sentence} {gap.remedy}"
    return gap


def test_no_rule_names_the_closest_one_and_what_it_asks_for() -> None:
    world = make.world(rules=[])
    make.plan_version(
        rules=[
            make.Rule(
                world.bookings, name="New business in APAC", deal_kinds=["new_business"], regions=["apac"]
            ),
            make.Rule(
                world.bookings,
                name="New business for banks",
                deal_kinds=["new_business"],
                regions=["emea"],
                segments=["banks"],
            ),
        ]
    )
    deal = make.deal(owner=world.ana, customer=make.customer(region="apac"), kind="renewal", state="approved")
    gap = only(deal)
    assert gap.sentence == (
        "No rule covers renewals in APAC on AI bookings for Ana: the closest is “New business in APAC”, which asks for new business."
    )
    assert "Crediting rules" in gap.remedy
    assert gap.closest is not None
    assert [(f.condition, f.asks, f.has) for f in gap.closest.failed] == [
        ("deal_kinds", "new business", "renewal")
    ]


def test_no_rule_says_that_a_plan_is_not_assigned_or_not_in_force() -> None:
    world = make.world(rules=[])
    plan = make.comp_plan(name="AI plan", for_everybody=False)
    make.plan_version(
        plan=plan, rules=[make.Rule(world.bookings, name="All")], effective=(date(2026, 8, 1), None)
    )
    told = [
        only(make.deal(owner=world.ana, close_date=on, state="approved")).sentence
        for on in (date(2026, 8, 2), date(2026, 7, 2))
    ]
    assert told[0].endswith("the closest is “All” in AI plan, to which Ana is not assigned on 2 August 2026.")
    assert told[1].endswith("the closest is “All” in AI plan v1, which is in force since 1 August 2026.")


def test_no_rule_at_all_says_so() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, exclusive=False, factor_ppm=50_000)])
    deal = make.deal(owner=world.ana, state="approved", lines=[make.Line(world.house)])
    assert only(deal).sentence.endswith(
        "on AI bookings for Ana: no plan has a rule for AI bookings on 14 August 2026."
    )


def test_what_is_not_eligible_names_the_decision_or_its_absence() -> None:
    world = make.world()
    inside = make.offering(name="Inside", path="internal_only")
    deal = make.deal(owner=world.ana, lines=[make.Line(inside)], state="approved")
    assert (
        only(deal).sentence
        == "Inside does not count toward quota on 14 August 2026: nobody has decided that it does."
    )
    old = make.decision(offering=inside, effective=(None, date(2026, 8, 1)))
    assert (
        explain_deal(deal.pk)
        .uncredited[0]
        .sentence.endswith(
            f": decision {old.pk} on the offering Inside held until 31 July 2026, and none has followed it."
        )
    )
    made, checked = make.user(name="Cat"), make.user(name="Max")
    zero = make.decision(
        offering=world.house, rate_ppm=0, effective=(date(2026, 8, 1), None), made_by=made, checked_by=checked
    )
    gap = only(make.deal(owner=world.ana, lines=[make.Line(world.house)], state="approved"))
    assert gap.reason == Reason.RATE_ZERO
    assert gap.sentence == (
        "House model does not count toward quota on 14 August 2026: Made for a test "
        f"(decision {zero.pk} on the offering House model, since 1 August 2026, made by Cat, checked by Max)."
    )


def test_missing_rates_teams_owners_and_months_are_named() -> None:
    world = make.world()
    usage = make.measure(basis="consumed", name="Consumption")
    make.plan_version(rules=[make.Rule(usage)])
    make.currency(code="GBP")
    no_rate = make.deal(owner=world.ana, code="GBP", lines=[make.Line(world.house)], state="approved")
    assert (
        only(no_rate).sentence
        == "There is no exchange rate from GBP to USD for 14 August 2026, so nothing can be counted in AI bookings."
    )
    gone = make.rep(team=world.team, name="Gus", effective=(None, date(2026, 8, 1)))
    no_team = make.deal(owner=gone, lines=[make.Line(world.house)], state="approved")
    assert (
        only(no_team).sentence
        == "Gus was in no team on 14 August 2026, having left Team (until 31 July 2026)."
    )
    unowned = make.deal(
        owner=world.ana,
        customer=world.customer,
        kind="consumption",
        lines=[make.Line(world.house)],
        state="approved",
    )
    assert (
        only(unowned).sentence
        == f"Nobody owned {world.customer.name} on 14 August 2026, and consumption is the account owner's."
    )
    make.fiscal_year(year=2028)
    future = make.deal(
        owner=world.ana, close_date=date(2027, 7, 3), lines=[make.Line(world.house)], state="approved"
    )
    assert (
        only(future).sentence
        == "FY28-M01, the month of 3 July 2027, is future, and no later month is open yet."
    )


def test_what_is_held_too_large_or_nothing_says_so() -> None:
    world = make.world()
    deal = make.deal(owner=world.ana, lines=[make.Line(world.house)], state="approved")
    deal.held = True
    deal.save()
    assert only(deal).sentence == f"{deal.reference} is held, so its credit is out of attainment."
    DealEvent.objects.create(
        deal=deal,
        version=deal.latest,
        action=DealAction.HELD,
        by=make.user(name="Kim"),
        at=AT,
        reason="Disputed.",
    )
    assert (
        explain_deal(deal.pk).uncredited[0].sentence
        == f"{deal.reference} is held since 14 August 2026 by Kim: Disputed."
    )
    make.fx(code="EUR", rate="2")
    large = make.deal(
        owner=world.ana, code="EUR", lines=[make.Line(world.house, 9 * 10**12)], state="approved"
    )
    assert (
        only(large).sentence
        == "The line comes to more than $90,000,000,000.00 in AI bookings, the most that is counted exactly."
    )
    zero = make.deal(owner=world.ana, lines=[make.Line(world.house, 0)], state="approved")
    assert only(zero).sentence == "The credit of Ana in AI bookings comes to zero: the line's amount is zero."
    tiny = make.deal(
        owner=world.ana,
        lines=[make.Line(world.house, 1)],
        shares={world.ana: 600_000, world.bo: 400_000},
        state="approved",
    )
    assert (
        only(tiny).sentence
        == "The credit of Bo in AI bookings comes to zero: 40% of it rounds to less than $0.01, the smallest unit."
    )


def test_a_deal_that_waits_and_an_estimate_are_told_the_same_words() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, name="EMEA", regions=["emea"])])
    deal = make.deal(
        owner=world.ana, customer=world.customer, lines=[make.Line(world.house)], state="submitted"
    )
    (waiting,) = explain_deal(deal.pk).uncredited
    drafted = document(draft_of(deal))
    _, gaps = engine.desired(engine.Unsaved([drafted]))
    (estimated,) = missing_unsaved(gaps, [drafted])
    Deal.objects.filter(pk=deal.pk).update(state="approved", credited_version=deal.latest_version_id)
    approved = only(Deal.objects.get(pk=deal.pk))
    assert waiting.sentence == estimated.sentence == approved.sentence
    assert approved.sentence.endswith("the closest is “EMEA”, which asks for EMEA.")
