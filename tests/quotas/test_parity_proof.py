"""The parity proof against brute force: the twin is built for real, sold, and credited by the naive oracle."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from marketplace.models import CommercialPath, Offering, Origin, Plan, PricingForm, TaskArea
from quotas.crediting import engine
from quotas.crediting.parity import OTHER_PATH
from quotas.models import (
    Deal,
    DealKind,
    DealState,
    ParityVerdict,
    Receivers,
    SalesRole,
)
from quotas.selectors.parity import Between, report_of_plan
from tests import make
from tests.oracle import Entry, Oracle

pytestmark = pytest.mark.django_db

ORIGIN, PATH = Between("origin"), Between("path")
EARLY, LATE = date(2026, 7, 20), date(2026, 8, 5)
AMOUNTS = (45_345_677, 7)  # cut by every cap below, even halved; and small enough for every rounding to show


@dataclass(frozen=True)
class Pair:
    """An offering with what it is sold as, and its twin: alike in all that a rule may look at."""

    own: Offering
    twin: Offering
    own_plans: list[Plan | None]
    twin_plans: list[Plan | None]


@dataclass
class Market:
    """Every combination that the rules below can tell apart was sold: once as it is, once of the twin, once with the first line of the twin."""

    pairs: list[Pair]
    areas: list[TaskArea]
    measure: Any
    other: Any
    period: Any
    own: list[Deal]
    twins: list[Deal]
    mixed: list[Deal]
    territory: Any


def make_twin(offering: Offering) -> Offering:
    origin = Origin.THIRD if offering.publisher.origin == Origin.FIRST else Origin.FIRST
    twin = make.offering(
        publisher=make.publisher(origin=origin),
        path=OTHER_PATH[offering.commercial_path],
        publication="draft",
    )
    twin.task_areas.set(offering.task_areas.all())
    return twin


@pytest.fixture
def market() -> Market:
    fiscal = make.fiscal_year()
    top = make.team()
    reps = [
        make.rep(team=top, role=SalesRole.ACCOUNT_EXECUTIVE),
        make.rep(team=top, role=SalesRole.SPECIALIST),
    ]
    territory = make.territory()
    for role in (SalesRole.ACCOUNT_EXECUTIVE, SalesRole.SPECIALIST, SalesRole.CUSTOMER_SUCCESS):
        make.covers(rep=make.rep(team=top, role=role), territory=territory)
    make.rep(team=top, role=SalesRole.CUSTOMER_SUCCESS)  # holds a role that rules name, and covers nothing
    customer = make.customer()
    make.lies_in(customer=customer, territory=territory)
    areas = [make.task_area(), make.task_area()]
    house, lab, other = (make.publisher(origin=o) for o in (Origin.FIRST, Origin.THIRD, Origin.THIRD))
    offerings = [
        make.offering(publisher=house, path=CommercialPath.SOLD_BY_CLOUD),
        make.offering(publisher=lab, path=CommercialPath.SOLD_BY_CLOUD),
        make.offering(publisher=other, path=CommercialPath.MARKETPLACE),
    ]
    offerings[0].task_areas.set(areas[:1])
    offerings[2].task_areas.set(areas)
    for path in (CommercialPath.SOLD_BY_CLOUD, CommercialPath.MARKETPLACE):
        make.decision(path=path)
    pairs = []
    for offering in offerings:
        twin = make_twin(offering)
        plans: list[list[Plan | None]] = [
            [None, *(make.plan(offering=o, pricing_form=f) for f in (PricingForm.TOKENS, PricingForm.SEAT))]
            for o in (offering, twin)
        ]
        pairs.append(Pair(offering, twin, *plans))
    sales = [
        make.Sale(
            owner=rep,
            customer=customer,
            kind=kind,
            close_date=day,
            lines=[
                make.Line(offering, amount, plan=plan)
                for (offering, plan), amount in zip(sold, AMOUNTS, strict=True)
            ],
            state=DealState.APPROVED,
        )
        for (pair, n), kind, day, rep in product(
            product(pairs, range(3)), (DealKind.NEW_BUSINESS, DealKind.RENEWAL), (EARLY, LATE), reps
        )
        for original, twin in [((pair.own, pair.own_plans[n]), (pair.twin, pair.twin_plans[n]))]
        for sold in ((original, original), (twin, twin), (twin, original))
    ]
    made = make.deals(sales)
    measure, units = make.measure(), make.measure(basis="units")
    return Market(
        pairs, areas, measure, units, fiscal.quarters[0], made[::3], made[1::3], made[2::3], territory
    )


def earned(entries: Iterable[Entry]) -> dict[int, dict[tuple[int, ...], int]]:
    """Deal to what each receiver has of each line."""
    found: dict[int, dict[tuple[int, ...], int]] = defaultdict(lambda: defaultdict(int))
    for e in entries:
        found[e.deal_id][e.line_no, e.measure_id, e.receiver_class, e.rep_id] += e.amount
    return {deal: {key: amount for key, amount in lines.items() if amount} for deal, lines in found.items()}


@dataclass
class BruteForce:
    """What the oracle says of real twins. unequal: (deal, line) of deals whose every line was swapped."""

    unequal: set[tuple[int, int]]
    any_unequal: bool


def brute_force(market: Market, versions: Sequence[int]) -> BruteForce:
    credited = earned(Oracle(versions).credit([*market.own, *market.twins, *market.mixed]).entries)
    unequal, mixed = set(), False
    for own, twin, half in zip(market.own, market.twins, market.mixed, strict=True):
        a, b, c = (credited.get(deal.pk, {}) for deal in (own, twin, half))
        unequal |= {(own.pk, key[0]) for key in a.keys() | b.keys() if a.get(key, 0) != b.get(key, 0)}
        mixed |= a != c
    return BruteForce(unequal, bool(unequal) or mixed)


def rare(condition: st.SearchStrategy[Any], one_in: int) -> st.SearchStrategy[Any]:
    return st.integers(1, one_in).flatmap(lambda n: condition if n == 1 else st.none())


def some(values: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


def one(values: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    """Never all that is sold: what no rule names has to be sold too."""
    return st.sampled_from(values).map(lambda value: [value])


@st.composite
def blind_rules(draw: st.DrawFn, market: Market) -> list[dict[str, Any]]:
    """Rules that look at everything but at who makes it and on which path it is sold."""
    rules = []
    for n in range(draw(st.integers(1, 6))):
        exclusive = draw(st.sampled_from([True, True, False]))
        receivers = draw(st.sampled_from([1, 1, 1, 2, 3]))
        rules.append(
            {
                "measure": market.measure,
                "slug": f"rule-{n}",
                "exclusive": exclusive,
                "receivers": receivers,
                "factor_ppm": draw(
                    st.sampled_from(
                        [1_000_000, 1_100_000, 500_000, 0] if exclusive else [50_000, 100_000, 1_000_000]
                    )
                ),
                "cap_minor": draw(rare(st.sampled_from([0, 101, 5_000_000, 20_000_000]), 3))
                if exclusive
                else None,
                "priority": draw(st.integers(0, 2)),
                "effective": draw(rare(st.just((date(2026, 8, 1), date(2026, 8, 7))), 5)),
                "task_areas": draw(rare(some(market.areas), 5)),
                "pricing_forms": draw(rare(some(["tokens", "seat"]), 5)),
                "deal_kinds": draw(rare(one(["new_business", "renewal"]), 4)),
                "roles": [SalesRole.CUSTOMER_SUCCESS]
                if receivers == Receivers.ROLE
                else draw(rare(one(["account_executive", "specialist"]), 5)),
                "territories": draw(rare(st.just([market.territory]), 2))
                if receivers == Receivers.TERRITORY
                else None,
            }
        )
    return rules


PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
}


def in_vain(
    data: st.DataObject, market: Market, rules: list[dict[str, Any]], between: Between
) -> tuple[Any, BruteForce, set[tuple[int, int]]]:
    """The report of these rules, what brute force finds, and the lines that the engine's twins find; nothing stays."""
    with transaction.atomic():
        version = make.plan_version(rules=[make.Rule(**rule) for rule in rules])
        report = report_of_plan(version, between=between, on=make.TODAY)
        found = engine.twins(
            engine.ByDeal([d.pk for d in market.own]), twin=between.twin, plan_versions=[version.pk]
        )
        brute = brute_force(market, [version.pk])
        transaction.set_rollback(True)
    return report, brute, {line for group in found.unequal for line in group.lines}


@settings(max_examples=3, **PROPERTY)
@given(data=st.data())
def test_rules_that_do_not_look_at_who_makes_it_are_always_clean(data: st.DataObject, market: Market) -> None:
    report, brute, lines = in_vain(data, market, data.draw(blind_rules(market)), ORIGIN)
    assert not brute.any_unequal
    assert (report.rules_verdict, lines) == (ParityVerdict.CLEAN, set())
    assert report.findings["rules"]["findings"] == []


def telling_rules(data: st.DataObject, market: Market) -> list[dict[str, Any]]:
    rules = data.draw(blind_rules(market))
    names: dict[str, Sequence[Any]] = {
        "publishers": [p.own.publisher for p in market.pairs],
        "families": [p.own.family for p in market.pairs],
        "offerings": [p.own for p in market.pairs],
        "paths": ["sold_by_cloud", "marketplace"],
    }
    for rule in data.draw(st.lists(st.sampled_from(rules), min_size=1, max_size=2, unique_by=id)):
        name = data.draw(st.sampled_from(sorted(names)))
        rule[name] = data.draw(some(names[name]))
    return rules


def refused_exactly_if_brute_force_finds_something(data: st.DataObject, market: Market) -> None:
    rules = telling_rules(data, market)
    report, brute, lines = in_vain(data, market, rules, ORIGIN)
    event(f"{report.rules_verdict}, lines differ: {bool(lines)}")
    assert lines == brute.unequal
    assert (report.rules_verdict == ParityVerdict.REFUSED) == brute.any_unequal
    named = {
        n for finding in report.findings["rules"]["findings"] for n in (c["name"] for c in finding["clauses"])
    }
    assert named <= {
        name for rule in rules for name in ("publishers", "families", "offerings", "paths") if rule.get(name)
    }


@settings(max_examples=4, **PROPERTY)
@given(data=st.data())
def test_a_rule_that_looks_at_who_makes_it_is_refused_unless_it_can_change_nothing(
    data: st.DataObject, market: Market
) -> None:
    refused_exactly_if_brute_force_finds_something(data, market)


@pytest.mark.soak
@settings(max_examples=400, **PROPERTY)
@given(data=st.data())
def test_the_proof_agrees_with_brute_force_for_hundreds_of_plans(data: st.DataObject, market: Market) -> None:
    refused_exactly_if_brute_force_finds_something(data, market)
