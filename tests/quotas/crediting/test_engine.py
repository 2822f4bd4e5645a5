"""The engine against the oracle, and the laws of posting."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.models import CommercialPath, Origin, PricingForm
from quotas.crediting import engine
from quotas.crediting.invariants import broken
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealKind,
    DealState,
    Period,
    Reversal,
    SalesRole,
    UncreditedLine,
)
from quotas.services.booking import draft_of
from quotas.services.crediting import document
from tests import make
from tests.oracle import Oracle

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 12, tzinfo=UTC)
SPAN = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))


class Rich:
    """Facts that differ in everything a rule or a decision can look at."""

    def __init__(self) -> None:
        make.fiscal_year(year=2026, states={1: "closed", 2: "closed"})
        make.fiscal_year(year=2027)
        for code in ("USD", "EUR", "JPY", "KWD", "GBP"):
            make.currency(code=code)
        make.fx(code="EUR", rate="1.083700001", effective=(date(2025, 7, 1), date(2026, 3, 1)))
        make.fx(code="EUR", rate="1.1", effective=(date(2026, 3, 1), None))
        make.fx(code="JPY", rate="0.006712345", effective=(None, None))
        make.fx(code="KWD", rate="3.250000007", effective=(None, date(2026, 7, 15)))
        first, rival, other = make.publisher(origin=Origin.FIRST), make.publisher(), make.publisher()
        self.offerings = [
            make.offering(publisher=first, path=CommercialPath.SOLD_BY_CLOUD),
            make.offering(publisher=rival, path=CommercialPath.SOLD_BY_CLOUD),
            make.offering(publisher=rival, path=CommercialPath.MARKETPLACE),
            make.offering(publisher=other, path=CommercialPath.MARKETPLACE),
        ]
        self.plans = [
            make.plan(offering=o, pricing_form=f)
            for o in self.offerings
            for f in (PricingForm.TOKENS, PricingForm.FREE)
        ]
        make.decision(path=CommercialPath.SOLD_BY_CLOUD)
        make.decision(path=CommercialPath.MARKETPLACE, rate_ppm=0, effective=(None, date(2026, 7, 20)))
        make.decision(publisher=rival, rate_ppm=333_333, effective=(date(2026, 1, 10), None))
        make.decision(
            offering=self.offerings[1], rate_ppm=1_000_000, effective=(date(2026, 8, 1), date(2026, 8, 10))
        )
        make.decision(plan=self.plans[3], rate_ppm=0, effective=(date(2026, 8, 5), None))
        top = make.team()
        self.teams = [make.team(parent=top) for _ in range(2)]
        self.reps = [
            make.rep(team=self.teams[0], role=SalesRole.ACCOUNT_EXECUTIVE),
            make.rep(team=self.teams[0], role=SalesRole.SPECIALIST, effective=(None, date(2026, 7, 31))),
            make.rep(team=self.teams[1], role=SalesRole.CUSTOMER_SUCCESS),
            make.rep(team=self.teams[1], role=SalesRole.HOUSE),
        ]
        make.membership(
            rep=self.reps[1],
            team=self.teams[1],
            role=SalesRole.ACCOUNT_EXECUTIVE,
            effective=(date(2026, 8, 2), None),
        )
        self.customers = [
            make.customer(segment=s, region=r)
            for s in ("enterprise", "public-sector")
            for r in ("emea", "americas")
        ]
        make.ownership(customer=self.customers[0], rep=self.reps[0], effective=(None, date(2026, 8, 1)))
        make.ownership(customer=self.customers[0], rep=self.reps[2], effective=(date(2026, 8, 1), None))
        self.measures = [
            make.measure(basis="contract_value"),
            make.measure(basis="annualised_value"),
            make.measure(basis="consumed"),
            make.measure(basis="units"),
            make.measure(basis="new_customers"),
        ]


def seldom(condition: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly any, so that rules meet: without rivals a winner proves nothing."""
    return st.integers(0, 5).flatmap(lambda n: condition if n == 0 else st.none())


def some(values: list[str]) -> st.SearchStrategy[list[str] | None]:
    return seldom(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))


@st.composite
def rules(draw: st.DrawFn, rich: Rich) -> list[make.Rule]:
    made = []
    for n in range(draw(st.sampled_from([0, 3, 6, 9, 9]))):
        exclusive = draw(st.sampled_from([True, True, False]))
        made.append(
            make.Rule(
                draw(st.sampled_from([rich.measures[0], *rich.measures])) if n > 3 else rich.measures[0],
                slug=f"rule-{n}",
                exclusive=exclusive,
                factor_ppm=draw(
                    st.sampled_from([1_000_000, 1_100_000, 333_333, 0, 2_000_001])
                    if exclusive
                    else st.sampled_from([50_000, 1, 123_457])
                ),
                cap_minor=draw(st.none() | st.sampled_from([0, 1, 99, 101, 10_001, 5_000_000]))
                if exclusive
                else None,
                priority=draw(st.integers(-1, 1)),
                effective=draw(seldom(st.just((date(2026, 7, 1), date(2026, 8, 7))))),
                offerings=draw(
                    seldom(st.lists(st.sampled_from(rich.offerings), min_size=1, max_size=2, unique=True))
                ),
                publishers=draw(seldom(st.just([rich.offerings[1].publisher]))),
                families=draw(some([o.family for o in rich.offerings])),
                paths=draw(some(["sold_by_cloud", "marketplace"])),
                pricing_forms=draw(some(["tokens", "free"])),
                deal_kinds=draw(some(["new_business", "renewal", "consumption"])),
                segments=draw(some(["enterprise", "public-sector"])),
                regions=draw(some(["emea", "americas"])),
                roles=draw(some(["account_executive", "specialist", "customer_success"])),
            )
        )
    return made


AMOUNTS = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 9 * 10**12))


@st.composite
def deals(draw: st.DrawFn, rich: Rich) -> Deal:
    # Drawn so that most lines earn something: a suite of refusals proves little about amounts.
    kind = draw(
        st.sampled_from([DealKind.NEW_BUSINESS] * 5 + [DealKind.RENEWAL] * 2 + [DealKind.CONSUMPTION])
    )
    reps = draw(st.permutations(rich.reps))[: draw(st.integers(1, 4))]
    even = draw(st.booleans())
    cuts = (
        [1_000_000 * n // len(reps) for n in range(1, len(reps))]
        if even
        else sorted(
            draw(
                st.lists(st.integers(1, 999_999), min_size=len(reps) - 1, max_size=len(reps) - 1, unique=True)
            )
        )
    )
    bounds = [0, *cuts, 1_000_000]
    offered = draw(st.lists(st.sampled_from(rich.offerings), min_size=1, max_size=3))
    made = make.deal(
        owner=reps[0],
        customer=draw(st.sampled_from(rich.customers)),
        kind=kind,
        close_date=draw(
            st.dates(date(2026, 7, 10), date(2026, 8, 20)) | st.dates(date(2025, 6, 25), date(2026, 8, 20))
        ),
        code=draw(st.sampled_from(["USD", "USD", "USD", "EUR", "EUR", "JPY", "KWD", "KWD", "GBP"])),
        new_customer=draw(st.booleans()),
        lines=[
            make.Line(
                o,
                draw(AMOUNTS),
                plan=draw(st.none() | st.sampled_from([p for p in rich.plans if p.offering_id == o.pk])),
                quantity=draw(st.none() | st.decimals(0, 12_000_000, places=4)),
                term_months=draw(st.none() | st.integers(1, 60)),
            )
            for o in offered
        ],
        shares={r: b - a for r, a, b in zip(reps, bounds, bounds[1:], strict=False)},
        state=DealState.APPROVED,
    )
    made.held = draw(st.sampled_from([False] * 14 + [True]))
    made.save()
    return made


def entries_of(found: list[engine.Desired]) -> Counter[tuple[object, ...]]:
    return Counter((d.deal_id, d.line_no, d.rep_id, d.team_id, d.credit_date, d.period_id, d.fx_rate_id, d.decision_id, d.measure_id,
                    d.plan_version_id, d.rule_id, d.rule_version_id, d.component, d.amount) for d in found)  # fmt: skip


def net() -> Counter[tuple[int, ...]]:
    rows = CreditEntry.objects.values_list(
        "deal_id", "line_no", "rep_id", "team_id", "measure_id", "component", "rule_id"
    ).annotate(n=Sum("amount_minor"))
    return Counter({tuple(row[:-1]): row[-1] for row in rows if row[-1]})


def agree(data: st.DataObject, rich: Rich) -> None:
    """Rules and deals are drawn; engine and oracle have to come to the same by every source, and the ledger has to hold."""
    with transaction.atomic():
        plan = make.comp_plan()
        make.plan_version(rules=data.draw(rules(rich)), plan=plan)
        if data.draw(st.booleans()):
            make.plan_version(rules=data.draw(rules(rich)), plan=plan, effective=(date(2026, 8, 1), None))
        booked = [data.draw(deals(rich)) for _ in range(data.draw(st.integers(2, 6)))]
        expected = Oracle().credit(booked)
        by_deal = engine.ByDeal([d.pk for d in booked])

        wanted, gaps = engine.desired(by_deal)
        assert entries_of(wanted) == Counter(map(tuple, expected.entries))
        assert Counter(map(tuple, gaps)) == Counter(map(tuple, expected.gaps))

        assert engine.desired(SPAN) == (wanted, gaps)

        unsaved, unsaved_gaps = engine.desired(engine.Unsaved([document(draft_of(d)) for d in booked]))
        ids = {n: d.pk for n, d in enumerate(booked, start=1) if not d.held}
        live = [e._replace(deal_id=ids[e.deal_id], version_id=0) for e in unsaved if e.deal_id in ids]
        assert entries_of(live) == entries_of(wanted)
        assert {g.reason for g in unsaved_gaps if g.deal_id in ids} == {
            g.reason for g in gaps if g.reason != "held"
        }

        outcome = engine.post(by_deal, key="once", kind="load", by=None, at=AT)
        assert outcome.counts.get("credited", 0) == len(wanted)
        assert sum(net().values()) == sum(e.amount for e in expected.entries)
        assert set(
            UncreditedLine.objects.values_list("deal_id", "line_no", "measure_id", "rep_id", "reason")
        ) == set(map(tuple, expected.gaps))
        again = engine.post(SPAN, key="twice", kind="recredit", by=None, at=AT)
        assert (again.counts.get("credited", 0), again.counts.get("reversed", 0)) == (0, 0)
        assert broken() == {}
        transaction.set_rollback(True)


PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=100, **PROPERTY)
@given(data=st.data())
def test_the_engine_agrees_with_the_oracle_entry_for_entry(data: st.DataObject, rich: Rich) -> None:
    agree(data, rich)


@pytest.mark.soak
@settings(max_examples=3000, **PROPERTY)
@given(data=st.data())
def test_the_engine_agrees_with_the_oracle_for_thousands_of_worlds(data: st.DataObject, rich: Rich) -> None:
    agree(data, rich)


@pytest.fixture
def rich() -> Rich:
    return Rich()


def approve(*deals: Deal, key: str = "k") -> engine.Outcome:
    return engine.post(engine.ByDeal([d.pk for d in deals]), key=key, kind="approve", by=None, at=AT)


def test_the_worked_example_of_the_rules_is_credited_to_the_cent() -> None:
    world = make.world(rules=[])
    make.fx(code="EUR", rate="1.0837")
    make.plan_version(
        rules=[
            make.Rule(world.bookings, slug="base", factor_ppm=1_100_000),
            make.Rule(world.bookings, slug="spiff", exclusive=False, factor_ppm=50_000),
        ]
    )
    deal = make.deal(
        owner=world.ana,
        code="EUR",
        lines=[make.Line(world.house, 100_00)],
        shares={world.ana: 700_000, world.bo: 300_000},
        state="approved",
    )
    approve(deal)
    got = {(e.rep_id, e.component): e.amount_minor for e in CreditEntry.objects.all()}
    ana, bo = world.ana.pk, world.bo.pk
    assert got == {(ana, 1): 7586, (bo, 1): 3251, (ana, 2): 759, (bo, 2): 325, (ana, 3): 379, (bo, 3): 163}


def test_a_correction_reverses_exactly_what_changed_and_nothing_else() -> None:
    world = make.world()
    make.currency(code="EUR")
    rate = make.fx(code="EUR", rate="1.10")
    stays = make.deal(owner=world.bo, lines=[make.Line(world.house, 500_00)], state="approved")
    moves = make.deal(owner=world.ana, code="EUR", lines=[make.Line(world.house, 100_00)], state="approved")
    approve(stays, moves, key="first")
    rate.superseded_at = AT
    rate.save()
    make.fx(code="EUR", rate="1.20")
    outcome = engine.post(SPAN, key="corrected", kind="recredit", by=None, at=AT)
    assert dict(outcome.counts) == {"credited": 1, "reversed": 1, "unchanged": 1}
    amounts = list(
        CreditEntry.objects.filter(deal=moves).order_by("id").values_list("amount_minor", flat=True)
    )
    assert sorted(amounts) == [-110_00, 110_00, 120_00]
    assert Reversal.objects.count() == 1
    reversal = CreditEntry.objects.get(deal=moves, amount_minor=-110_00)
    assert reversal.fx_rate_id == rate.pk
    assert engine.post(SPAN, key="again", kind="recredit", by=None, at=AT).counts == {"unchanged": 2}
    assert broken() == {}


def test_a_correction_of_a_closed_period_posts_into_the_next_open_one_and_keeps_its_origin() -> None:
    world = make.world()
    june = Period.objects.get(name="FY26-M12")
    deal = make.deal(owner=world.ana, close_date=date(2026, 6, 30), state="approved")
    approve(deal, key="before")
    Period.objects.filter(name="FY26-M12").update(state="closed")
    deal.state = DealState.CANCELLED
    deal.save()
    approve(deal, key="after")
    first, second = CreditEntry.objects.order_by("id")
    assert (first.posting_period.name, first.origin_period_id) == ("FY26-M12", june.pk)
    assert (second.posting_period.name, second.origin_period_id) == ("FY27-M01", june.pk)
    assert second.amount_minor == -first.amount_minor
    assert second.reverses_id == first.pk
    reported = {
        (t.period.name, t.direct_minor) for t in CreditTotal.objects.filter(basis=1, period__grain="M")
    }
    restated = {(t.period.name, t.direct_minor) for t in CreditTotal.objects.filter(basis=2)}
    assert reported == {("FY26-M12", 1_000_000), ("FY27-M01", -1_000_000)}
    assert restated == {("FY26-M12", 0)}
    assert broken() == {}


def test_a_correction_with_every_period_closed_is_refused_and_writes_nothing() -> None:
    world = make.world()
    deal = make.deal(owner=world.ana, state="approved")
    approve(deal, key="before")
    Period.objects.filter(grain="M").update(state="closed")
    deal.state = DealState.CANCELLED
    deal.save()
    with pytest.raises(engine.NoOpenPeriod), transaction.atomic():
        approve(deal, key="after")
    assert CreditEntry.objects.count() == 1


def test_the_same_posting_key_writes_once_and_other_content_under_it_is_refused() -> None:
    world = make.world()
    one, two = (make.deal(owner=world.ana, state="approved") for _ in range(2))
    first = approve(one, key="same")
    again = approve(one, key="same")
    assert (again.replayed, again.posting_id, again.counts) == (True, first.posting_id, first.counts)
    with pytest.raises(engine.PostingKeyReused):
        approve(two, key="same")
    assert CreditEntry.objects.count() == 1


def test_posting_costs_the_same_number_of_statements_for_one_deal_and_for_many() -> None:
    world = make.world()
    counts = []
    for n in (1, 25):
        booked = [
            make.deal(
                owner=world.ana,
                lines=[make.Line(world.house)] * 2,
                shares={world.ana: 500_000, world.bo: 500_000},
                state="approved",
            )
            for _ in range(n)
        ]
        with CaptureQueriesContext(connection) as captured:
            approve(*booked, key=f"{n} deals")
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_a_new_plan_version_alone_posts_nothing() -> None:
    world = make.world()
    approve(make.deal(owner=world.ana, state="approved"), key="v1")
    make.plan_version(
        plan=world.plan_version.plan,
        rules=[make.Rule(world.bookings, slug="base", name="The same rule, said better")],
    )
    assert engine.post(SPAN, key="v2", kind="recredit", by=None, at=AT).counts == {"unchanged": 1}


def test_two_sets_of_plan_versions_are_compared_without_posting() -> None:
    world = make.world()
    approve(make.deal(owner=world.ana, lines=[make.Line(world.house, 100_00)], state="approved"))
    draft = make.plan_version(
        plan=world.plan_version.plan,
        state="draft",
        rules=[make.Rule(world.bookings, slug="base", factor_ppm=1_500_000)],
    )
    (move,) = engine.compare(SPAN, before=[world.plan_version.pk], after=[draft.pk])
    assert (move.rep_id, move.before, move.after) == (world.ana.pk, 100_00, 150_00)
    assert CreditEntry.objects.count() == 1


@pytest.mark.parametrize("source", [engine.ByDeal, engine.BySpan, engine.Unsaved])
@pytest.mark.parametrize("sink", engine.SINKS)
def test_every_composed_statement_can_be_prepared(source: type[engine.Source], sink: str) -> None:
    text = engine.statement(source.lines, sink)
    samples = {
        "deals": [1],
        "starts": date(2026, 1, 1),
        "ends": date(2026, 2, 1),
        "document": "[]",
        "plan_versions": None,
        "scenarios": None,
        "posting": 1,
        "roles": ["account_executive"],
        "twin": "publisher",
        "twin_publishers": [1, 2],
        "most": 10,
        "many": False,
    }
    engine._execute(
        "explain " + text, {k: v for k, v in samples.items() if f"%({k})s" in text}, prepare=False
    )


def test_the_months_of_a_new_calendar_get_ledger_partitions() -> None:
    make.fiscal_year(year=2030)
    months = Period.objects.filter(grain="M", name__startswith="FY30").values_list("pk", flat=True)
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_inherits where inhparent = 'quotas_creditentry'::regclass and inhrelid::regclass::text = any(%s)",
                       [[f"quotas_creditentry_p{pk}" for pk in months]])  # fmt: skip
        assert cursor.fetchone() == (12,)


def test_on_a_tie_the_odd_units_go_to_the_earlier_participants() -> None:
    world = make.world()
    four = [world.cy, world.bo, world.ana, world.zed]
    deal = make.deal(
        owner=world.ana,
        lines=[make.Line(world.house, 2)],
        shares=dict.fromkeys(four, 250_000),
        state="approved",
    )
    approve(deal)
    assert set(CreditEntry.objects.values_list("rep_id", "amount_minor")) == {
        (world.cy.pk, 1),
        (world.bo.pk, 1),
    }


def test_on_a_tie_a_cap_cuts_the_earlier_line_then_the_earlier_participant() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, slug="capped", cap_minor=398)])
    deal = make.deal(
        owner=world.ana,
        lines=[make.Line(world.house, 200), make.Line(world.third, 200)],
        shares={world.bo: 500_000, world.ana: 500_000},
        state="approved",
    )
    approve(deal)
    cuts = CreditEntry.objects.filter(component=4).values_list("line_no", "rep_id", "amount_minor")
    assert set(cuts) == {(1, world.bo.pk, -1), (1, world.ana.pk, -1)}


def test_each_capped_rule_of_a_deal_is_cut_by_itself() -> None:
    world = make.world(rules=[])
    make.plan_version(
        rules=[
            make.Rule(world.bookings, slug="house", cap_minor=151, paths=["sold_by_cloud"]),
            make.Rule(world.bookings, slug="rest", cap_minor=199, paths=["marketplace"]),
        ]
    )
    deal = make.deal(
        owner=world.ana,
        lines=[make.Line(world.house, 200), make.Line(world.third, 200)],
        shares={world.bo: 500_000, world.ana: 500_000},
        state="approved",
    )
    approve(deal)
    cuts = CreditEntry.objects.filter(component=4).values_list("line_no", "rep_id", "amount_minor")
    assert set(cuts) == {(1, world.bo.pk, -25), (1, world.ana.pk, -24), (2, world.bo.pk, -1)}
