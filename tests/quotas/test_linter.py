"""The linter: each finding by example, and all of it against brute force on small worlds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.models import CommercialPath
from quotas.models import DealKind, PlanState, Receivers, SalesRole, ValueBasis
from quotas.selectors.linter import (
    Assigned,
    Facts,
    Finding,
    Governing,
    Person,
    Ruling,
    Thing,
    Weight,
    findings_of,
    lint,
    reach_of,
)
from tests import make
from tests.depth import examples
from tests.make import Rule

DAY = date(2026, 7, 1)
KINDS = ["new_business", "renewal", "consumption"]
AE, SPECIALIST = SalesRole.ACCOUNT_EXECUTIVE.value, SalesRole.SPECIALIST.value


def days(n: int) -> date:
    return DAY + timedelta(days=n)


CLAUDE = Thing(1, "Claude", 10, "claude", "marketplace", frozenset({100}), "tokens")
GPT = Thing(2, "GPT", 20, "gpt", "sold_by_cloud", frozenset({100, 101}))


def rule(pk: int, **says: Any) -> Ruling:
    conditions = {name: frozenset(values) for name, values in says.pop("conditions", {}).items()}
    return Ruling(
        **{"id": pk, "version": 1, "name": f"R{pk}", "measure": 1, "basis": "contract_value", **says},
        conditions=conditions,
    )


def facts(*rules: Ruling, **more: Any) -> Facts:
    version = Governing(1, 1, 1, days(0), days(10))
    return Facts(
        **{
            "version": version,
            "versions": [version],
            "rules": rules,
            "assignments": [Assigned(1)],
            "things": [CLAUDE, GPT],
            "kinds": KINDS,
            "segments": ["enterprise", "public-sector"],
            "regions": ["emea", "asia"],
            "sharers": [Person(AE), Person(SPECIALIST)],
            "overlay": [Person(AE), Person(SPECIALIST)],
            **more,
        }
    )


def codes(found: Sequence[Finding]) -> list[str]:
    return [each.code for each in found]


def of(found: Sequence[Finding], code: str) -> Finding:
    (one,) = [each for each in found if each.code == code]
    return one


BASE = rule(1)


def test_a_plain_plan_has_nothing_to_find() -> None:
    assert lint(facts(BASE)) == []


def test_an_overlap_says_which_wins_and_why() -> None:
    found = lint(facts(BASE, rule(2, priority=5, conditions={"regions": ["emea"]})))
    assert codes(found) == ["overlap"]
    assert found[0].weight == Weight.TELLS
    assert "“R2” wins over “R1”" in found[0].message
    assert "priority 5 against 0" in found[0].message
    assert "EMEA" in found[0].message
    by_conditions = lint(facts(BASE, rule(2, conditions={"regions": ["emea"]})))
    assert "1 condition against 0" in by_conditions[0].message


def test_what_neither_priority_nor_conditions_decide_is_ambiguous_and_blocks() -> None:
    found = lint(
        facts(
            BASE, rule(2, conditions={"regions": ["emea"]}), rule(3, conditions={"segments": ["enterprise"]})
        )
    )
    tie = of(found, "ambiguous")
    assert tie.weight == Weight.BLOCKS
    assert tie.rules == (2, 3)
    assert "higher priority" in tie.todo


def test_rules_that_cannot_meet_are_not_ambiguous() -> None:
    apart = (rule(2, conditions={"regions": ["emea"]}), rule(3, conditions={"regions": ["asia"]}))
    assert "ambiguous" not in codes(lint(facts(BASE, *apart)))
    one_after_the_other = (rule(2, priority=1, ends=days(5)), rule(3, priority=1, starts=days(5)))
    assert "ambiguous" not in codes(lint(facts(BASE, *one_after_the_other)))
    other_measure = rule(2, measure=2)
    assert "ambiguous" not in codes(lint(facts(BASE, other_measure)))
    overlay = rule(2, receivers=Receivers.ROLE, conditions={"roles": [SPECIALIST]})
    assert "ambiguous" not in codes(lint(facts(BASE, overlay)))
    spiff = rule(2, exclusive=False)
    assert lint(facts(BASE, spiff)) == []


def test_a_tie_that_a_third_rule_always_wins_over_does_not_block() -> None:
    tied = (rule(2, conditions={"regions": ["emea"]}), rule(3, conditions={"segments": ["enterprise"]}))
    above = rule(4, priority=9)
    assert "ambiguous" not in codes(lint(facts(*tied, above)))


def test_rules_of_two_plans_are_ambiguous_only_where_somebody_can_have_both() -> None:
    other = Governing(2, 2, 1, None, None)
    rules = (BASE, rule(2, version=2))
    versions = [Governing(1, 1, 1, days(0), days(10)), other]
    both = facts(*rules, versions=versions, assignments=[Assigned(1), Assigned(2, role=SPECIALIST)])
    assert "ambiguous" in codes(lint(both))
    apart = facts(*rules, versions=versions, assignments=[Assigned(1, role=AE), Assigned(2, role=SPECIALIST)])
    assert "ambiguous" not in codes(lint(apart))
    in_person = facts(
        *rules,
        versions=versions,
        assignments=[Assigned(1, role=AE), Assigned(2, rep=7)],
        sharers=[Person(AE), Person(SPECIALIST), Person(AE, 7)],
    )
    assert "ambiguous" in codes(lint(in_person))


def test_a_newer_version_takes_the_place_of_an_older_one() -> None:
    older = Governing(2, 1, 0, None, None)
    found = lint(facts(BASE, rule(2, version=2), versions=[Governing(1, 1, 1, days(0), days(10)), older]))
    assert found == []


def test_a_rule_that_is_always_beaten_says_by_which() -> None:
    found = lint(facts(BASE, rule(2, priority=5)))
    beaten = of(found, "unreachable")
    assert beaten.rules == (1, 2)
    assert "beaten by “R2”" in beaten.message


def test_rules_that_beat_one_together_make_it_unreachable() -> None:
    pair = (
        rule(2, priority=5, conditions={"regions": ["emea"]}),
        rule(3, priority=5, conditions={"regions": ["asia"]}),
    )
    assert of(lint(facts(BASE, *pair)), "unreachable").rules == (1, 2, 3)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"conditions": {"publishers": [99]}}, "no offering on sale"),
        ({"conditions": {"offerings": [1], "task_areas": [101]}}, "no offering on sale"),
        ({"conditions": {"deal_kinds": ["consumption"]}}, "does not look at these kinds"),
        ({"conditions": {"roles": ["house"]}}, "nobody holds these roles"),
        ({"conditions": {"segments": ["smb"]}}, "no customer is in these segments"),
        ({"receivers": Receivers.TERRITORY}, "nobody would receive"),
    ],
)
def test_a_rule_whose_conditions_nothing_meets_says_why(says: dict[str, Any], why: str) -> None:
    found = lint(facts(BASE, rule(2, priority=5, **says)))
    assert why in of(found, "unreachable").message


def test_dates_caps_weights_assignments_and_values() -> None:
    found = lint(
        facts(
            BASE,
            rule(2, priority=2, starts=days(20), ends=days(30)),
            rule(3, priority=3, starts=days(5), ends=days(30), conditions={"regions": ["emea"]}),
            rule(4, priority=4, cap_minor=0, conditions={"regions": ["asia", "atlantis"]}),
            assignments=[],
            weights=[700_000, 200_000],
            known={"regions": frozenset({"emea", "asia"})},
        )
    )
    assert of(found, "outside_the_version").rules == (2,)
    assert of(found, "partly_outside_the_version").rules == (3,)
    assert of(found, "cap_of_zero").rules == (4,)
    assert "90%" in of(found, "weights_do_not_add_up").message
    assert "“atlantis”" in of(found, "unknown_value").message
    assert of(found, "assigned_to_nobody").weight == Weight.WARNS
    assert codes(found)[:2] == ["weights_do_not_add_up", "unknown_value"]  # what blocks comes first


def test_offerings_that_no_rule_reaches_are_named() -> None:
    found = lint(facts(rule(1, conditions={"families": ["gpt"]})))
    assert "“Claude”" in of(found, "offering_without_rule").message
    only_overlay = facts(rule(1, receivers=Receivers.ROLE, conditions={"roles": [AE]}))
    assert "2 offerings" in of(lint(only_overlay), "offering_without_rule").message


def test_a_version_without_rules_blocks() -> None:
    assert of(lint(facts()), "no_rules").weight == Weight.BLOCKS


# --- against brute force ----------------------------------------------------------------------------------

SMALL_CONDITIONS: dict[str, list[Any]] = {
    "offerings": [1, 2],
    "publishers": [10, 20],
    "paths": ["marketplace", "sold_by_cloud"],
    "task_areas": [100, 101],
    "pricing_forms": ["tokens", "seat"],
    "deal_kinds": KINDS,
    "segments": ["enterprise", "public-sector"],
    "regions": ["emea", "asia"],
    "roles": [AE, SPECIALIST],
}


@st.composite
def rulings(draw: st.DrawFn, pk: int) -> Ruling:
    receivers = draw(st.sampled_from([1, 1, 1, 2, 3]))
    names = draw(st.lists(st.sampled_from(sorted(SMALL_CONDITIONS)), max_size=3, unique=True))
    if receivers == Receivers.ROLE and "roles" not in names:
        names.append("roles")
    conditions = {
        name: draw(st.lists(st.sampled_from(SMALL_CONDITIONS[name]), min_size=1, max_size=2, unique=True))
        for name in names
    }
    if receivers == Receivers.TERRITORY and draw(st.booleans()):
        conditions["territories"] = draw(st.lists(st.sampled_from([1, 2]), min_size=1, unique=True))
    starts = draw(st.one_of(st.none(), st.integers(-1, 5)))
    return rule(
        pk,
        version=draw(st.sampled_from([1, 1, 2, 3])),
        measure=draw(st.sampled_from([1, 2])),
        basis=draw(st.sampled_from(["contract_value", "contract_value", "consumed", "new_customers"])),
        receivers=receivers,
        exclusive=draw(st.sampled_from([True, True, False])),
        priority=draw(st.integers(0, 2)),
        starts=None if starts is None else days(starts),
        ends=None if starts is None else days(starts + draw(st.integers(1, 4))),
        conditions=conditions,
    )


@st.composite
def worlds(draw: st.DrawFn) -> Facts:
    number = draw(st.integers(1, 7))
    rules = [draw(rulings(pk)) for pk in range(1, number + 1)]
    versions = [
        Governing(1, 1, 2, days(0), days(5)),
        Governing(2, 2, 1, None, days(3)),
        Governing(3, 1, draw(st.sampled_from([1, 3])), days(2), None),
    ]
    people = [Person(AE), Person(SPECIALIST), Person(AE, 7)]
    assignments = draw(
        st.lists(
            st.sampled_from(
                [
                    Assigned(1),
                    Assigned(2),
                    Assigned(1, role=SPECIALIST),
                    Assigned(2, role=AE, starts=days(1)),
                    Assigned(2, rep=7, ends=days(4)),
                ]
            ),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    return facts(
        *rules,
        versions=versions,
        version=versions[0],
        assignments=assignments,
        sharers=people,
        overlay=[
            *people,
            Person(AE, None, frozenset({1})),
            Person(SPECIALIST, None, frozenset({1, 2})),
            Person(AE, 7, frozenset({2})),
        ],
    )


def naive_match(world: Facts, ruling: Ruling, combination: tuple[Any, ...]) -> bool:
    """One rule against one combination, written down as RULES.md says it."""
    thing, kind, segment, region, person, day = combination
    version = next(v for v in world.versions if v.id == ruling.version)
    numbers = [
        v.number
        for v in world.versions
        if v.plan == version.plan and (v.starts or date.min) <= day < (v.ends or date.max)
    ]
    if (
        not numbers
        or max(numbers) != version.number
        or not (version.starts or date.min) <= day < (version.ends or date.max)
    ):
        return False
    if not (ruling.starts or date.min) <= day < (ruling.ends or date.max):
        return False
    if not any(
        a.plan == version.plan
        and (a.starts or date.min) <= day < (a.ends or date.max)
        and (a.rep == person.rep if a.rep else a.role in ("", person.role))
        for a in world.assignments
    ):
        return False
    if ruling.basis == "contract_value" and kind == "consumption":
        return False
    if ruling.basis == "consumed" and kind != "consumption":
        return False
    looks = {
        "offerings": {thing.offering},
        "publishers": {thing.publisher},
        "families": {thing.family},
        "paths": {thing.path},
        "task_areas": thing.task_areas,
        "pricing_forms": {thing.form},
        "deal_kinds": {kind},
        "segments": {segment},
        "regions": {region},
        "roles": {person.role},
        "territories": person.territories,
    }
    if ruling.receivers == Receivers.TERRITORY and not person.territories:
        return False
    return all(values & looks[name] for name, values in ruling.conditions.items())


@settings(max_examples=examples(50), deadline=None)
@given(worlds())
def test_folding_masks_finds_what_trying_everything_finds(world: Facts) -> None:
    pairs: set[tuple[int, int]] = set()
    ties: set[tuple[int, int]] = set()
    met: set[int] = set()
    won: set[int] = set()
    beaten: dict[int, set[int]] = {}
    covered: set[int] = set()
    for direct, people in ((True, world.sharers), (False, world.overlay)):
        for combination in product(
            world.things, world.kinds, world.segments, world.regions, people, [days(n) for n in range(5)]
        ):
            matching = [
                r
                for r in world.rules
                if (r.receivers == Receivers.SHARES) == direct and naive_match(world, r, combination)
            ]
            met |= {r.id for r in matching}
            won |= {r.id for r in matching if not r.exclusive}
            for measure in (1, 2):
                order = sorted(
                    (r for r in matching if r.exclusive and r.measure == measure),
                    key=lambda r: (-r.priority, -len(r.conditions), r.id),
                )
                if not order:
                    continue
                first = order[0]
                won.add(first.id)
                if direct:
                    covered.add(combination[0].offering)
                for at, one in enumerate(order):
                    for other in order[at + 1 :]:
                        pairs.add((one.id, other.id))
                        if one is first and (one.priority, len(one.conditions)) == (
                            other.priority,
                            len(other.conditions),
                        ):
                            ties.add((one.id, other.id))
                for other in order[1:]:
                    beaten.setdefault(other.id, set()).add(first.id)
    reach = reach_of(world)
    assert {(m.winner, m.loser) for m in reach.meetings} == pairs
    assert {(m.winner, m.loser) for m in reach.meetings if m.tie} == ties
    assert reach.never == {r.id for r in world.rules} - met
    assert reach.beaten == {pk: by for pk, by in beaten.items() if pk not in won}
    assert {thing.offering for thing in reach.bare} == {t.offering for t in world.things} - covered
    for meeting in reach.meetings:  # the example is one
        for pk in (meeting.winner, meeting.loser):
            one = next(r for r in world.rules if r.id == pk)
            assert naive_match(world, one, meeting.example)


def test_the_order_of_rules_and_facts_changes_nothing_that_is_found() -> None:
    rules = (
        BASE,
        rule(2, priority=5, conditions={"regions": ["emea"]}),
        rule(3, priority=5, conditions={"segments": ["enterprise"]}),
    )
    one = facts(*rules)
    other = replace(one, rules=tuple(reversed(rules)), things=list(reversed(one.things)))
    assert {(f.code, f.rules) for f in lint(one)} == {(f.code, f.rules) for f in lint(other)}


# --- on stored plans --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_stored_rules_are_linted_beside_what_is_published(django_assert_max_num_queries: Any) -> None:
    world = make.world()
    make.task_area(slug="coding")
    plan = world.plan_version.plan
    version = make.plan_version(
        plan=plan,
        state=PlanState.DRAFT,
        effective=(date(2026, 9, 1), None),
        rules=[
            Rule(world.bookings, slug="base", name="All"),
            Rule(world.bookings, slug="emea", name="Americas", regions=["americas"]),
            Rule(world.bookings, slug="ent", name="Enterprise", segments=["enterprise"]),
            Rule(world.bookings, slug="mars", name="Mars", regions=["mars"], priority=3),
            Rule(
                make.measure(basis=ValueBasis.CONSUMED),
                slug="usage",
                name="Usage",
                deal_kinds=[DealKind.NEW_BUSINESS],
            ),
        ],
    )
    make.component(version=version, measure=world.bookings, weight_ppm=400_000)
    with django_assert_max_num_queries(20):
        found = findings_of(version)
    by_code = {each.code: each for each in found}
    assert by_code["ambiguous"].message.startswith("“Americas” and “Enterprise”")
    assert "“mars”" in by_code["unknown_value"].message
    assert by_code["weights_do_not_add_up"].weight == Weight.BLOCKS
    assert any("does not look at these kinds" in each.message for each in found)
    assert "offering_without_rule" not in by_code
    assert "assigned_to_nobody" not in by_code


@pytest.mark.django_db
def test_territories_meet_where_customers_and_who_covers_them_do() -> None:
    world = make.world()
    north, south = make.territory(name="North"), make.territory(name="South")
    make.covers(rep=world.bo, territory=north)
    make.covers(rep=world.bo, territory=south)
    make.lies_in(customer=world.customer, territory=north)
    rules = [
        Rule(world.bookings, slug="base"),
        Rule(world.bookings, slug="n", name="N", receivers=Receivers.TERRITORY, territories=[north]),
        Rule(world.bookings, slug="s", name="S", receivers=Receivers.TERRITORY, territories=[south]),
    ]
    version = make.plan_version(plan=world.plan_version.plan, state=PlanState.DRAFT, rules=rules)
    assert "ambiguous" not in codes(findings_of(version))
    make.lies_in(customer=world.customer, territory=south)
    assert of(findings_of(version), "ambiguous").message.startswith("“N” and “S”")


@pytest.mark.django_db
def test_an_offering_of_internal_use_needs_no_rule() -> None:
    world = make.world()
    make.offering(path=CommercialPath.INTERNAL)
    version = make.plan_version(
        plan=world.plan_version.plan, state=PlanState.DRAFT, rules=[Rule(world.bookings, slug="base")]
    )
    assert codes(findings_of(version)) == []
