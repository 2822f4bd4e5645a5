"""The engine against the oracle, and the laws of posting."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quotas.crediting import engine
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealState,
    Period,
    Reversal,
    UncreditedLine,
)
from quotas.services.booking import draft_of
from quotas.services.crediting import document
from tests import make
from tests.oracle import Credited, Entry, Oracle
from tests.quotas.crediting.worlds import FIRST_DAY, LAST_DAY, Rich, coverage, many_deals, plans, worlds
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 12, tzinfo=UTC)
SPAN = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))


def entries_of(found: Iterable[engine.Desired]) -> Counter[tuple[object, ...]]:
    return Counter((d.deal_id, d.line_no, d.rep_id, d.team_id, d.credit_date, d.period_id, d.fx_rate_id, d.decision_id, d.measure_id,
                    d.plan_version_id, d.rule_id, d.rule_version_id, d.component, d.receiver_class, d.amount) for d in found)  # fmt: skip


def net() -> Counter[tuple[int, ...]]:
    rows = CreditEntry.objects.values_list(
        "deal_id", "line_no", "rep_id", "team_id", "measure_id", "component", "receiver_class", "rule_id"
    ).annotate(n=Sum("amount_minor"))
    return Counter({tuple(row[:-1]): row[-1] for row in rows if row[-1]})


def net_of(entries: Iterable[Entry]) -> Counter[tuple[int, ...]]:
    return Counter({(e.deal_id, e.line_no, e.rep_id, e.team_id, e.measure_id, e.component, e.receiver_class, e.rule_id): e.amount
                    for e in entries})  # fmt: skip


def families(deals: Iterable[Deal], asked: Iterable[Deal]) -> set[int]:
    """The deals that are credited when some are asked for: these, and the refunds of their families."""
    root = {d.pk: d.latest.refunds_id or d.pk for d in deals}
    wanted = {root[d.pk] for d in asked}
    return {d.pk for d in asked} | {d.pk for d in deals if d.latest.refunds_id in wanted}


def same(
    found: tuple[list[engine.Desired], list[engine.Uncredited]], expected: Credited, only: set[int]
) -> None:
    """Entry for entry and reason for reason, for some of the deals."""
    assert entries_of(found[0]) == Counter(tuple(e) for e in expected.entries if e.deal_id in only)
    assert Counter(map(tuple, found[1])) == Counter(tuple(g) for g in expected.gaps if g.deal_id in only)


def moves(booked: Iterable[Deal], before: Credited, after: Credited) -> list[set[tuple[int, ...]]]:
    """What compare() ought to find between two sets of plan versions: by standing, by rule, by offering."""
    sold = {(d.pk, line.line_no): line.offering_id for d in booked for line in d.in_force.lines.all()}
    sums: list[dict[tuple[int, ...], list[int]]] = [defaultdict(lambda: [0, 0]) for _ in range(3)]
    for side, credited in enumerate((before, after)):
        for e in credited.entries:
            of_month = (e.measure_id, e.period_id)
            for which, key in enumerate(((e.team_id, e.rep_id), (e.rule_id,), (sold[e.deal_id, e.line_no],))):
                sums[which][*of_month, *key][side] += e.amount
    return [{(*key, *pair) for key, pair in by_key.items() if pair[0] != pair[1]} for by_key in sums]


def compared(before: Iterable[int], after: Iterable[int]) -> list[set[tuple[int, ...]]]:
    found = engine.compare(SPAN, before=list(before), after=list(after))
    return [set(map(tuple, rows)) for rows in (found.standings, found.rules, found.offerings)]


def unsaved(deal: Deal) -> dict[str, Any]:
    """A saved deal in the shape of one that is not."""
    entered = document(draft_of(deal))
    lines = deal.latest.lines.order_by("line_no").values_list("billed_minor", flat=True)
    given: Any = entered["lines"]
    return {
        **entered,
        "calendar_id": deal.calendar_id,
        "lines": [{**line, "billed": billed} for line, billed in zip(given, lines, strict=True)],
    }


def agree(data: st.DataObject, rich: Rich) -> None:
    """A world is drawn; engine and oracle have to come to the same by every source, and the ledger has to hold."""
    with transaction.atomic():
        world = data.draw(worlds(rich))
        booked, everything = world.deals, {d.pk for d in world.deals}
        expected = Oracle().credit(booked)
        by_deal = engine.ByDeal(sorted(everything))

        wanted, gaps = engine.desired(by_deal)
        same((wanted, gaps), expected, everything)
        assert engine.desired(SPAN) == (wanted, gaps)

        asked = data.draw(st.lists(st.sampled_from(booked), min_size=1, max_size=2, unique=True))
        same(engine.desired(engine.ByDeal([d.pk for d in asked])), expected, families(booked, asked))
        day = data.draw(st.dates(FIRST_DAY, LAST_DAY))
        later = [d for d in booked if d.latest.close_date >= day]
        same(engine.desired(engine.BySpan(day, SPAN.ends)), expected, families(booked, later))

        agree_on_unsaved(booked, expected)
        if world.others:
            drafts = [v.pk for v in world.others]
            instead = Oracle(drafts).credit(booked)
            same(engine.desired(SPAN, plan_versions=drafts), instead, everything)
            standing = [v.pk for v in world.published]
            assert compared(standing, drafts) == moves(booked, expected, instead)
            beside = Oracle([*standing, *drafts]).credit(booked)  # most rules are on both sides
            assert compared(standing, [*standing, *drafts]) == moves(booked, expected, beside)

        foreseen = engine.preview(SPAN).counts
        outcome = engine.post(by_deal, key="once", kind="load", by=None, at=AT)
        assert outcome.counts == foreseen
        assert outcome.counts.get("credited", 0) == len(wanted)
        assert net() == net_of(expected.entries)
        reasons = UncreditedLine.objects.values_list("deal_id", "line_no", "measure_id", "rep_id", "reason")
        assert set(reasons) == set(map(tuple, expected.gaps))
        assert changes("twice") == 0
        assert broken() == {}

        approved = [d for d in booked if d.state == DealState.APPROVED]
        if approved:  # what depends on a deal is credited again with it
            turned = data.draw(st.sampled_from(approved))
            turned.held = not turned.held
            turned.save()
            engine.post(engine.ByDeal([turned.pk]), key="turned", kind="hold", by=None, at=AT)
            assert net() == net_of(Oracle().credit(booked).entries)
            assert changes("thrice") == 0
            assert broken() == {}
        transaction.set_rollback(True)


def changes(key: str) -> int:
    """How many entries a run over everything writes."""
    counts = engine.post(SPAN, key=key, kind="recredit", by=None, at=AT).counts
    return counts.get("credited", 0) + counts.get("reversed", 0)


def agree_on_unsaved(booked: list[Deal], expected: Credited) -> None:
    """Deals that are not saved, all at once; a refund by itself, as if it and all later ones were not there yet."""
    live = [d for d in booked if d.state == DealState.APPROVED and not d.held]
    alone = [d for d in live if d.latest.refunds_id is not None]
    for asked in ([d for d in live if d not in alone], *([d] for d in alone)):
        with transaction.atomic():
            for deal in booked:
                if asked[0:1] and deal.latest.refunds_id is not None and deal.pk >= asked[0].pk:
                    Deal.objects.filter(pk=deal.pk).update(state=DealState.SUBMITTED)
            found, gaps = engine.desired(engine.Unsaved([unsaved(d) for d in asked]))
            transaction.set_rollback(True)
        ids = dict(enumerate((d.pk for d in asked), start=1))
        same(
            (
                [e._replace(deal_id=ids[e.deal_id], version_id=0) for e in found],
                [g._replace(deal_id=ids[g.deal_id]) for g in gaps],
            ),
            expected,
            set(ids.values()),
        )


PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=8, **PROPERTY)
@given(data=st.data())
def test_the_engine_agrees_with_the_oracle_entry_for_entry(data: st.DataObject, rich: Rich) -> None:
    agree(data, rich)


@pytest.mark.soak
@settings(max_examples=3000, **PROPERTY)
@given(data=st.data())
def test_the_engine_agrees_with_the_oracle_for_thousands_of_worlds(data: st.DataObject, rich: Rich) -> None:
    agree(data, rich)


@pytest.mark.soak
@settings(max_examples=5, phases=[Phase.generate], **PROPERTY)
@given(data=st.data())
def test_the_engine_agrees_with_the_oracle_on_a_hundred_thousand_deals(
    data: st.DataObject, rich: Rich
) -> None:
    """Five worlds of 20,000 deals each: everything posted at once, then compared with the oracle month by month."""
    with transaction.atomic():
        data.draw(coverage(rich))
        data.draw(plans(rich))
        ids = many_deals(rich, count=20_000, seed=data.draw(st.integers(0, 2**32)))
        outcome = engine.post(SPAN, key="all", kind="load", by=None, at=AT)
        oracle, entries, gaps = Oracle(), 0, 0
        seen: set[int] = set()
        for month in Period.objects.filter(grain="M").order_by("starts"):
            closed = Deal.objects.filter(
                pk__in=ids,
                calendar=month.calendar_id,
                latest_version__close_date__gte=month.starts,
                latest_version__close_date__lt=month.ends,
            ).select_related("latest_version")
            expected = oracle.credit(closed)
            stored = CreditEntry.objects.filter(origin_period=month)
            found = stored.values_list("deal_id", "line_no", "rep_id", "team_id", "credit_date", "origin_period_id", "fx_rate_id", "decision_id",
                                       "measure_id", "plan_version_id", "rule_id", "rule_version_id", "component", "receiver_class", "amount_minor")  # fmt: skip
            assert Counter(found) == Counter(map(tuple, expected.entries))
            reasons = UncreditedLine.objects.filter(deal__in=closed.values("pk"))
            assert Counter(
                reasons.values_list("deal_id", "line_no", "measure_id", "rep_id", "reason")
            ) == Counter(map(tuple, expected.gaps))
            entries, gaps = entries + len(expected.entries), gaps + len(expected.gaps)
            seen |= set(closed.values_list("pk", flat=True))
        before_all_months = Oracle().credit(Deal.objects.filter(pk__in=set(ids) - seen))
        assert before_all_months.entries == []
        assert outcome.counts.get("credited", 0) == entries
        assert UncreditedLine.objects.count() == gaps + len(before_all_months.gaps)
        assert changes("again") == 0
        assert broken() == {}
        transaction.set_rollback(True)


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
    moved = {(t.period.name, t.direct_minor) for t in CreditTotal.objects.filter(basis=2)}
    assert reported == {("FY26-M12", 1_000_000), ("FY27-M01", -1_000_000)}
    assert moved == {("FY26-M12", -1_000_000), ("FY27-M01", 1_000_000)}
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
    for n in (1, 5):
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
    found = engine.compare(SPAN, before=[world.plan_version.pk], after=[draft.pk])
    (move,), (by_rule,), (by_offering,) = found.standings, found.rules, found.offerings
    assert (move.rep_id, move.before, move.after) == (world.ana.pk, 100_00, 150_00)
    assert (by_rule.rule_id, by_rule.before, by_rule.after) == (draft.rules.get().rule_id, 100_00, 150_00)
    assert (by_offering.offering_id, by_offering.before, by_offering.after) == (
        world.house.pk,
        100_00,
        150_00,
    )
    assert CreditEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        *product([engine.ByDeal, engine.BySpan, engine.Unsaved], sorted({*engine.SINKS} - {"combinations"})),
        (engine.Combinations, "combinations"),
    ],
)
def test_every_composed_statement_can_be_prepared(source: type[engine.Source], sink: str) -> None:
    text = engine.statement(source.lines, sink)
    samples = {
        "deals": [1],
        "starts": date(2026, 1, 1),
        "ends": date(2026, 2, 1),
        "calendar": None,
        "month": 1,
        "document": "[]",
        "plan_versions": None,
        "scenarios": None,
        "posting": 1,
        "roles": ["account_executive"],
        "twin": "publisher",
        "twin_publishers": [1, 2],
        "most": 10,
        "many": False,
        "together": True,
        "look_up": False,
        "kinds": ["renewal"],
        "segments": [""],
        "regions": [""],
        "assumed": [1],
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
