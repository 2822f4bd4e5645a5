"""Laws that need no oracle: what a change of the question may and may not change in the answer."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quotas.crediting import engine
from quotas.models import CreditEntry, Period, Receivers
from tests import make
from tests.depth import examples
from tests.quotas.crediting.worlds import Rich, Shop, shop, worlds
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 12, tzinfo=UTC)
PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
Json = dict[str, Any]
Key = tuple[object, ...]


@pytest.fixture
def rich() -> Rich:
    return Rich()


@st.composite
def documents(draw: st.DrawFn, of: Shop, first: date, last: date) -> Json:
    """A deal that is not saved, in EUR, in whole units of the currency."""
    people = draw(st.permutations(of.reps[:3]))[: draw(st.integers(1, 3))]
    cuts = sorted(draw(st.sets(st.integers(1, 999_999), min_size=len(people) - 1, max_size=len(people) - 1)))
    bounds = [0, *cuts, 1_000_000]
    lines = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        n = draw(st.integers(0, 1))
        lines.append(
            {
                "line_no": number,
                "offering_id": of.offerings[n],
                "plan_id": draw(st.sampled_from([None, of.plans[n]])),
                "amount": draw(st.integers(1, 10**7)) * 100,
                "quantity": draw(st.sampled_from([None, "3", "7.5"])),
                "term": draw(st.sampled_from([None, 7, 36])),
            }
        )
    segment, region, customer = draw(
        st.sampled_from([("enterprise", "americas", 0), ("public-sector", "emea", 1)])
    )
    return {
        "customer_id": of.customers[customer],
        "kind": draw(st.sampled_from(["new_business", "renewal"])),
        "close_date": draw(st.dates(first, last)).isoformat(),
        "currency": "EUR",
        "segment": segment,
        "region": region,
        "new_customer": draw(st.booleans()),
        "refunds_id": None,
        "lines": lines,
        "shares": [
            {"ordinal": n, "rep_id": rep, "ppm": b - a}
            for n, (rep, a, b) in enumerate(zip(people, bounds, bounds[1:], strict=False), start=1)
        ],
    }


@st.composite
def neutral(draw: st.DrawFn, of: Shop, *, capped: bool = True) -> list[make.Rule]:
    """One rule that credits everything in each measure, and drawn ones beside them that cannot tell one origin from another."""
    made = [make.Rule(m, slug=f"base-{n}", priority=-5) for n, m in enumerate(of.measures)]
    for n in range(draw(st.integers(0, 6))):
        exclusive = draw(st.booleans())
        receivers = draw(st.sampled_from([Receivers.SHARES, *Receivers]))
        made.append(
            make.Rule(
                draw(st.sampled_from([of.measures[0], *of.measures])),
                slug=f"rule-{n}",
                receivers=receivers,
                exclusive=exclusive,
                factor_ppm=draw(st.sampled_from([1_100_000, 333_333, 0] if exclusive else [50_000, 123_457])),
                cap_minor=draw(st.none() | st.sampled_from([1, 10_001, 5_000_000])) if exclusive and capped else None,
                priority=draw(st.integers(-1, 1)),
                effective=draw(st.none() | st.just((date(2025, 9, 3), date(2026, 7, 20)))),
                pricing_forms=draw(st.none() | st.just(["tokens"])),
                deal_kinds=draw(st.none() | st.just(["renewal"])),
                segments=draw(st.none() | st.just(["enterprise"])),
                regions=draw(st.none() | st.just(["emea"])),
                roles=["specialist"] if receivers == Receivers.ROLE else draw(st.none() | st.just(["account_executive", "specialist"])),
            )
        )  # fmt: skip
    return made


def earned(docs: Sequence[Json], key: Callable[[engine.Desired], Key]) -> Counter[Key]:
    """Amounts by whatever should stay the same; and why not, for the rest."""
    entries, gaps = engine.desired(engine.Unsaved(docs))
    found: Counter[Key] = Counter()
    for entry in entries:
        found[key(entry)] += entry.amount
    for gap in gaps:
        found[gap.deal_id, gap.line_no, gap.measure_id, gap.rep_id, gap.reason] += 1
    return found


def whole(e: engine.Desired) -> Key:
    return (e.deal_id, e.line_no, e.rep_id, e.team_id, e.measure_id, e.component, e.receiver_class, e.rule_id, e.credit_date)  # fmt: skip


@settings(max_examples=examples(5), **PROPERTY)
@given(data=st.data())
def test_a_deal_of_twins_of_the_other_origin_earns_the_same(data: st.DataObject) -> None:
    with transaction.atomic():
        of = shop()
        make.plan_version(rules=data.draw(neutral(of)))
        docs = data.draw(st.lists(documents(of, date(2026, 7, 1), date(2026, 8, 14)), min_size=1, max_size=4))
        swapped = deepcopy(docs)
        other = {
            **dict(zip(of.offerings, of.offerings[::-1], strict=True)),
            **dict(zip(of.plans, of.plans[::-1], strict=True)),
        }
        for doc in swapped:
            for line in doc["lines"]:
                line["offering_id"] = other[line["offering_id"]]
                line["plan_id"] = other.get(line["plan_id"])
        assert earned(docs, whole) == earned(swapped, whole)
        transaction.set_rollback(True)


@settings(max_examples=examples(5), **PROPERTY)
@given(data=st.data())
def test_a_year_later_the_same_facts_earn_the_same(data: st.DataObject) -> None:
    def later(day: date | None) -> date | None:
        return None if day is None else day.replace(year=day.year + 1)

    with transaction.atomic():
        of = shop()
        first = data.draw(neutral(of))
        dated = [
            replace(r, effective=(date(2025, 9, 3), date(2026, 2, 28)) if r.effective else None)
            for r in first
        ]
        plan = make.comp_plan()
        make.plan_version(plan=plan, rules=dated, effective=(date(2025, 7, 1), date(2026, 7, 1)))
        make.plan_version(
            plan=plan,
            effective=(date(2026, 7, 1), date(2027, 7, 1)),
            rules=[replace(r, effective=r.effective and (later(r.effective[0]), later(r.effective[1]))) for r in dated],
        )  # fmt: skip
        docs = data.draw(st.lists(documents(of, date(2025, 7, 1), date(2026, 6, 30)), min_size=1, max_size=4))
        shifted = [{**doc, "close_date": str(later(date.fromisoformat(doc["close_date"])))} for doc in docs]
        month = dict(Period.objects.filter(grain="M").values_list("pk", "name"))

        def key(e: engine.Desired) -> Key:
            return (
                *whole(e)[:-1],
                month[e.period_id][4:],
                month[e.posting_period_id][4:],
                e.credit_date.month,
                e.credit_date.day,
            )

        assert earned(docs, key) == earned(shifted, key)
        transaction.set_rollback(True)


@settings(max_examples=examples(5), **PROPERTY)
@given(data=st.data(), to=st.sampled_from([("ZJP", 100, 1), ("ZKW", 1, 10)]))
def test_a_currency_of_another_exponent_at_the_same_rate_earns_the_same(
    data: st.DataObject, to: tuple[str, int, int]
) -> None:
    code, less, more = to
    with transaction.atomic():
        of = shop()
        make.plan_version(rules=data.draw(neutral(of)))
        docs = data.draw(st.lists(documents(of, date(2026, 7, 1), date(2026, 8, 14)), min_size=1, max_size=4))
        scaled = deepcopy(docs)
        for doc in scaled:
            doc["currency"] = code
            for line in doc["lines"]:
                line["amount"] = line["amount"] // less * more
        assert earned(docs, whole) == earned(scaled, whole)
        transaction.set_rollback(True)


@settings(max_examples=examples(5), **PROPERTY)
@given(data=st.data())
def test_a_line_split_in_two_earns_the_same_within_what_rounding_can_do(data: st.DataObject) -> None:
    with transaction.atomic():
        of = shop()
        drawn = data.draw(neutral(of, capped=False))
        version = make.plan_version(rules=drawn)
        (doc,) = data.draw(
            st.lists(documents(of, date(2026, 7, 1), date(2026, 8, 14)), min_size=1, max_size=1)
        )
        split = deepcopy(doc)
        first = split["lines"][0]
        first["quantity"] = doc["lines"][0]["quantity"] = None
        part = data.draw(st.integers(0, first["amount"]))
        first["amount"] -= part
        split["lines"].append({**first, "line_no": 99, "amount": part})
        factor = {r.rule_id: Fraction(r.factor_ppm, 10**6) for r in version.rules.all()}

        def key(e: engine.Desired) -> Key:
            return (e.rep_id, e.measure_id, e.component, e.receiver_class, e.rule_id)

        one, two = (
            Counter({k: n for k, n in earned([d], key).items() if not isinstance(k[-1], str)})
            for d in (doc, split)
        )
        for k in one.keys() | two.keys():
            # Per line: value 1/2, share less than 1, credit 1/2 more; then the factor's multiple of that, and 1/2 again.
            of_a_line = (
                2
                if k[2] == 1
                else 2 * (abs(factor[int(str(k[4]))] - (1 if k[2] == 2 else 0))) + Fraction(1, 2)
            )
            assert abs(one[k] - two[k]) <= 3 * of_a_line, k
        transaction.set_rollback(True)


def nets() -> Counter[Key]:
    rows = CreditEntry.objects.values_list(
        "deal_id", "line_no", "rep_id", "team_id", "measure_id", "component", "receiver_class", "rule_id"
    ).annotate(n=Sum("amount_minor"))
    return Counter({tuple(row[:-1]): row[-1] for row in rows if row[-1]})


def posted(batches: Iterable[Sequence[int]]) -> Counter[Key]:
    """What a ledger nets to after these postings, one after the other; nothing stays."""
    with transaction.atomic():
        for n, batch in enumerate(batches):
            engine.post(engine.ByDeal(batch), key=f"batch-{n}", kind="load", by=None, at=AT)
        assert broken() == {}
        found = nets()
        transaction.set_rollback(True)
    return found


@settings(max_examples=examples(5), **PROPERTY)
@given(data=st.data())
def test_neither_the_order_nor_the_size_of_postings_matters(data: st.DataObject, rich: Rich) -> None:
    with transaction.atomic():
        ids = [deal.pk for deal in data.draw(worlds(rich)).deals]
        at_once = posted([ids])
        assert posted([pk] for pk in data.draw(st.permutations(ids))) == at_once
        mixed = data.draw(st.permutations(ids))
        assert posted(mixed[n : n + 7] for n in range(0, len(mixed), 7)) == at_once
        assert posted([ids[::-1]]) == at_once
        transaction.set_rollback(True)


def test_a_capped_deal_and_its_refunds_come_to_the_same_in_whatever_order_they_are_posted(
    subtests: pytest.Subtests,
) -> None:
    world = make.world(rules=[], quotas=False)
    make.plan_version(rules=[make.Rule(world.bookings, slug="capped", cap_minor=100)])
    original = make.deal(owner=world.ana, lines=[make.Line(world.house, 150)], state="approved")
    refunds = [
        make.deal(owner=world.ana, lines=[make.Line(world.house, -n)], kind="refund", refunds=original, state="approved")
        for n in (30, 50, 60)
    ]  # fmt: skip
    ids = [original.pk, *(refund.pk for refund in refunds)]
    for order in permutations(range(4)):
        with subtests.test(order=order):
            found: Counter[object] = Counter()
            for key, amount in posted([ids[n]] for n in order).items():
                found[key[0]] += amount
            assert [found[pk] for pk in ids] == [100, 0, -30, -60]


@settings(max_examples=examples(5), **PROPERTY)
@given(data=st.data())
def test_the_order_in_which_lines_and_shares_are_given_does_not_matter(data: st.DataObject) -> None:
    with transaction.atomic():
        of = shop()
        make.plan_version(rules=data.draw(neutral(of)))
        docs = data.draw(st.lists(documents(of, date(2026, 7, 1), date(2026, 8, 14)), min_size=1, max_size=4))
        mixed = [
            {**doc, "lines": data.draw(st.permutations(doc["lines"])), "shares": data.draw(st.permutations(doc["shares"]))}
            for doc in docs
        ]  # fmt: skip
        assert earned(docs, whole) == earned(mixed, whole)
        transaction.set_rollback(True)
