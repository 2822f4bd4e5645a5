"""The parity report: verdicts, clauses, exceptions, eligibility, evidence; as a page, as REST, as a command."""

import json
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role, User
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.models import CommercialPath, EligibilityDecision, Origin, PricingForm
from quotas.crediting.parity import Worth, separates, worth
from quotas.models import (
    Deal,
    DealState,
    ParityException,
    ParityProof,
    ParityVerdict,
    PlanState,
    PlanVersion,
    Receivers,
    RuleVersion,
    SalesRole,
)
from quotas.selectors.parity import (
    Between,
    Report,
    current_report,
    is_of,
    report_of_period,
    rules_digest,
    valid_proof_of,
)
from quotas.services.parity import (
    approve_exception,
    ask_exception,
    prove_period,
    prove_plan,
    withdraw_exception,
)
from tests import make
from tests.make import Line, Rule, World
from tests.quotas.api import client, problems

pytestmark = pytest.mark.django_db

CLEAN, EXCEPTED, REFUSED = ParityVerdict.CLEAN, ParityVerdict.EXCEPTED, ParityVerdict.REFUSED
Q1 = (date(2026, 7, 1), date(2026, 10, 1))


@pytest.fixture
def world() -> World:
    return make.world()


def report(world: World, between: str = "origin") -> Report:
    return report_of_period(world.year.quarters[0], between=Between.parse(between), on=make.TODAY)


def add_rules(world: World, *rules: Rule, effective: make.Span = make.ALWAYS) -> PlanVersion:
    """A second plan beside the one that credits every deal at its value; its rules win by priority, or add."""
    return make.plan_version(rules=rules, effective=effective)


def uplift(world: World, **changes: Any) -> Rule:
    return Rule(
        world.bookings,
        **{"slug": "uplift", "name": "Uplift", "factor_ppm": 1_200_000, "priority": 9, **changes},
    )


def sold(world: World, *lines: Line, on: date = date(2026, 8, 3), **facts: Any) -> Deal:
    return make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=lines or [Line(world.house, 1_000_00), Line(world.third, 1_000_00)],
        close_date=on,
        state=DealState.APPROVED,
        **facts,
    )


def findings(found: Report) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = found.findings["rules"]["findings"]
    return told


def named(found: Report) -> list[tuple[str, list[str]]]:
    return [(f["rule"]["name"], [c["name"] for c in f["clauses"]]) for f in findings(found)]


# The rules verdict.


def test_a_plan_that_looks_at_nobody_is_clean_and_every_line_was_looked_at(world: World) -> None:
    sold(world)
    sold(world, Line(world.third, 5_00), on=date(2026, 9, 30))
    sold(world, on=date(2026, 10, 1))
    found = report(world)
    assert (found.rules_verdict, found.eligibility_verdict) == (CLEAN, CLEAN)
    assert found.passes
    assert found.lines_checked == 3
    # 2 offerings x 7 kinds of deal (a refund can be of three) x any segment x any region x 5 roles, on one day: nothing changes within the quarter.
    assert found.combinations_checked == 2 * 7 * 5
    assert found.findings["rules"]["offerings"] == 2


def test_a_publisher_is_named_with_its_clause_its_lines_and_both_amounts(world: World) -> None:
    deal = sold(world)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    found = report(world)
    assert found.rules_verdict == REFUSED
    assert not found.passes
    (finding,) = findings(found)
    assert finding["clauses"] == [
        {"name": "publishers", "label": "publisher", "values": [world.house.publisher.name]}
    ]
    assert finding["outcomes"][0]["own"] == "120% under “Uplift”"
    assert finding["outcomes"][0]["twin"] == "100% under “Every deal at its value”"
    assert (finding["lines"], finding["deals"], finding["offerings_in_all"]) == (1, 1, 1)
    assert [(a["own_minor"], a["twin_minor"]) for a in finding["amounts"]] == [(1_200_00, 1_000_00)]
    assert [(s["deal_id"], s["line_no"], s["own_minor"], s["twin_minor"]) for s in finding["shown"]] == [
        (deal.pk, 1, 1_200_00, 1_000_00)
    ]


@pytest.mark.parametrize(
    ("clause", "value"),
    [
        ("publishers", lambda w: [w.house.publisher]),
        ("offerings", lambda w: [w.house]),
        ("families", lambda w: [w.house.family]),
        ("paths", lambda _: [CommercialPath.SOLD_BY_CLOUD]),
    ],
)
def test_each_clause_that_tells_who_makes_it_is_refused_before_a_deal_meets_it(
    world: World, clause: str, value: Any
) -> None:
    add_rules(world, uplift(world, **{clause: value(world)}))
    found = report(world)
    assert (found.rules_verdict, found.lines_checked) == (REFUSED, 0)
    assert named(found) == [("Uplift", [clause])]


def test_what_the_path_does_not_match_falls_to_a_rule_that_pays_more(world: World) -> None:
    """The base rule names nothing; the one that names the path is what moves the credit, downwards."""
    sold(world)
    add_rules(world, uplift(world, factor_ppm=500_000, paths=[CommercialPath.MARKETPLACE]))
    found = report(world)
    assert named(found) == [("Uplift", ["paths"])]
    # Both lines move: the marketplace's own, and the other one's twin.
    assert [
        (f["lines"], f["amounts"][0]["own_minor"], f["amounts"][0]["twin_minor"]) for f in findings(found)
    ] == [(2, 1_500_00, 1_500_00)]


@pytest.mark.parametrize(
    "changes",
    [
        {"deal_kinds": ["new_business"]},
        {"segments": ["enterprise"]},
        {"regions": ["americas"]},
        {"roles": [SalesRole.ACCOUNT_EXECUTIVE]},
        {"pricing_forms": [PricingForm.TOKENS]},
        {"cap_minor": 100_00},
        {"exclusive": False, "factor_ppm": 50_000},
        {"effective": (date(2026, 8, 1), date(2026, 9, 1))},
        {"receivers": Receivers.ROLE, "roles": [SalesRole.MANAGER]},
        {"receivers": Receivers.TERRITORY},
    ],
)
def test_what_does_not_tell_who_makes_it_moves_nothing(world: World, changes: dict[str, Any]) -> None:
    sold(world)
    add_rules(world, uplift(world, **changes))
    assert report(world).rules_verdict == CLEAN


def test_task_areas_are_alike_for_a_twin_but_a_proxy_where_one_side_alone_has_them(world: World) -> None:
    coding, writing = make.task_area(name="Coding"), make.task_area(name="Writing")
    world.house.task_areas.set([coding, writing])
    world.third.task_areas.set([writing])
    make.plan(offering=world.third, pricing_form=PricingForm.SEAT)
    add_rules(
        world,
        uplift(world, slug="one", name="One side", task_areas=[coding]),
        uplift(world, slug="both", name="Both sides", priority=8, task_areas=[writing]),
        uplift(world, slug="seat", name="By the seat", priority=7, pricing_forms=[PricingForm.SEAT]),
    )
    found = report(world)
    assert found.rules_verdict == CLEAN
    proxies = found.findings["rules"]["proxies"]
    assert [(p["rule"]["name"], p["clause"]["name"]) for p in proxies] == [
        ("One side", "task_areas"),
        ("By the seat", "pricing_forms"),
    ]
    assert [(s["side"], s["matched"], s["of"]) for s in proxies[0]["sides"]] == [
        ("First party", 1, 1),
        ("Third party", 0, 1),
    ]


def test_a_spiff_and_an_overlay_rule_are_refused_by_what_they_add(world: World) -> None:
    sold(world)
    add_rules(
        world,
        uplift(
            world,
            slug="s",
            name="Spiff",
            exclusive=False,
            factor_ppm=50_000,
            publishers=[world.third.publisher],
        ),
        uplift(
            world,
            slug="o",
            name="Overlay",
            receivers=Receivers.ROLE,
            roles=[SalesRole.MANAGER],
            families=[world.house.family],
        ),
    )
    found = report(world)
    assert sorted(named(found)) == [("Overlay", ["families"]), ("Spiff", ["publishers"])]
    overlay = next(f for f in findings(found) if f["rule"]["name"] == "Overlay")
    assert overlay["outcomes"][0]["twin"] == "nothing, because no rule matches"
    # Three managers earn overlay on the line of the house model.
    assert (overlay["lines"], overlay["amounts"][0]["own_minor"], overlay["amounts"][0]["twin_minor"]) == (
        1,
        3_600_00,
        0,
    )
    assert all(line["overlay"] for line in overlay["shown"])


def test_an_overlay_by_a_territory_that_nobody_covers_is_refused_by_combinations_alone(world: World) -> None:
    territory = make.territory()
    sold(world)
    add_rules(
        world,
        uplift(world, receivers=Receivers.TERRITORY, territories=[territory], offerings=[world.house]),
    )
    found = report(world)
    assert (found.rules_verdict, findings(found)[0]["lines"]) == (REFUSED, 0)


def test_a_line_that_only_a_shared_cap_moves_belongs_to_the_clause_that_moved_its_neighbour(
    world: World,
) -> None:
    """Both lines are under the capped rule; as twins one of them is not, and the other keeps more."""
    sold(world, Line(world.third, 1_000_00), Line(world.house, 1_000_00))
    add_rules(world, uplift(world, factor_ppm=1_000_000, cap_minor=1_000_00))
    add_rules(
        world,
        uplift(world, slug="own", name="Own", factor_ppm=1_000_000, priority=99, offerings=[world.third]),
    )
    found = report(world)
    assert named(found) == [("Own", ["offerings"])]
    assert findings(found)[0]["lines"] == 2


def test_other_rules_that_pay_the_same_are_clean(world: World) -> None:
    sold(world)
    add_rules(
        world,
        uplift(world, slug="a", factor_ppm=1_100_000, paths=[CommercialPath.SOLD_BY_CLOUD]),
        uplift(world, slug="b", factor_ppm=1_100_000, paths=[CommercialPath.MARKETPLACE]),
    )
    assert report(world).rules_verdict == CLEAN


def test_the_same_cap_under_another_rule_is_not_the_same(world: World) -> None:
    """A deal that mixes the two would have the cap twice."""
    add_rules(
        world,
        uplift(world, slug="a", cap_minor=100_00, paths=[CommercialPath.SOLD_BY_CLOUD]),
        uplift(world, slug="b", cap_minor=100_00, paths=[CommercialPath.MARKETPLACE]),
    )
    assert report(world).rules_verdict == REFUSED


def test_the_path_alone_and_two_publishers_can_be_compared(world: World) -> None:
    other = make.offering(publisher=make.publisher(), path=CommercialPath.SOLD_BY_CLOUD)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    a, b, c = (p.slug for p in (world.house.publisher, world.third.publisher, other.publisher))
    assert report(world, "path").rules_verdict == CLEAN
    assert report(world, f"publisher:{a},{b}").rules_verdict == REFUSED
    assert report(world, f"publisher:{b},{a}").rules_verdict == REFUSED
    between_others = report(world, f"publisher:{b},{c}")
    assert between_others.rules_verdict == CLEAN
    assert between_others.findings["rules"]["offerings"] == 2


def test_two_publishers_in_one_clause_are_alike_and_only_their_lines_are_counted(world: World) -> None:
    other = make.offering()
    sold(world, Line(world.house, 1_00), Line(world.third, 1_00), Line(other, 1_00))
    add_rules(world, uplift(world, publishers=[world.house.publisher, world.third.publisher]))
    a, b = world.house.publisher.slug, world.third.publisher.slug
    found = report(world, f"publisher:{a},{b}")
    assert (found.rules_verdict, found.lines_checked) == (CLEAN, 2)
    assert report(world, f"publisher:{a},{other.publisher.slug}").rules_verdict == REFUSED


@pytest.mark.parametrize(
    "asked", ["", "origins", "publisher:", "publisher:x", "publisher:a,a", "publisher:a,nobody"]
)
def test_a_comparison_that_does_not_exist_is_refused(asked: str) -> None:
    make.publisher(slug="a")
    with pytest.raises(Invalid):
        Between.parse(asked)


def test_a_rule_out_of_its_days_is_not_in_the_proof(world: World) -> None:
    add_rules(world, uplift(world, publishers=[world.house.publisher], effective=(date(2026, 10, 1), None)))
    add_rules(
        world,
        uplift(world, publishers=[world.house.publisher]),
        effective=(date(2025, 1, 1), date(2026, 7, 1)),
    )
    assert report(world).rules_verdict == CLEAN


def test_a_plan_that_somebody_has_in_person_is_in_the_proof(world: World) -> None:
    plan = make.comp_plan(for_everybody=False)
    make.plan_version(plan=plan, rules=[uplift(world, publishers=[world.house.publisher])])
    assert report(world).rules_verdict == CLEAN  # nobody has it
    make.assignment(plan=plan, rep=world.cy)
    assert report(world).rules_verdict == REFUSED


def test_a_higher_version_hides_the_lower_one(world: World) -> None:
    bad = add_rules(world, uplift(world, publishers=[world.house.publisher]))
    make.plan_version(plan=bad.plan, rules=[uplift(world)], effective=(date(2026, 8, 1), None))
    found = report(world)
    assert findings(found)[0]["since"] == "2026-07-01"
    make.plan_version(plan=bad.plan, rules=[uplift(world)])
    assert report(world).rules_verdict == CLEAN


def test_a_shape_of_worth_is_equal_only_if_no_amount_tells_two_outcomes_apart(world: World) -> None:
    def rule(n: int, factor: int, cap: int | None = None) -> RuleVersion:
        return RuleVersion(pk=n, rule_id=n, factor_ppm=factor, cap_minor=cap)

    base, spiff = rule(1, 1_000_000), rule(2, 100_000)
    assert worth(rule(3, 1_100_000), []) == worth(base, [spiff])
    assert worth(None, [rule(4, 1_000_000)]) == worth(base, [])
    assert worth(rule(5, 0), []) == worth(None, []) == worth(rule(6, 0, 7), []) == worth(rule(7, 1, 0), [])
    assert worth(base, [rule(8, 50_000), rule(9, 50_000)]) != worth(base, [spiff])  # rounded twice
    assert worth(rule(10, 1_000_000, 5), []) != worth(rule(11, 1_000_000, 5), [])  # two caps
    assert worth(rule(12, 800_000), [rule(13, 200_000)]) == worth(base, [])
    assert worth(rule(14, 1_500_000), []) == Worth(None, 1, (500_000,))


def test_sides_are_separated_only_if_one_has_some_and_the_other_none() -> None:
    assert separates(["x"], [{1: ["x"], 2: ["y"]}, {3: ["y"]}]) == (1, 0)
    assert separates(["x"], [{1: ["x"]}, {3: ["x", "y"]}]) is None
    assert separates(["z"], [{1: ["x"]}, {3: ["y"]}]) is None
    assert separates(["x"], [{1: ["x"]}, {}]) is None


# Exceptions.


@pytest.fixture
def unequal(world: World) -> RuleVersion:
    return add_rules(world, uplift(world, publishers=[world.house.publisher])).rules.get()


def excepted(
    world: World,
    rule: RuleVersion | None = None,
    *,
    decision: EligibilityDecision | None = None,
    days: tuple[date, date] = Q1,
) -> ParityException:
    asked = ask_exception(
        rule_id=rule.rule_id if rule else None,
        decision_id=decision.pk if decision else None,
        starts=days[0],
        ends=days[1],
        by=world.admin,
        at=make.AT,
        reason="A launch that the board decided.",
    )
    return approve_exception(exception_id=asked.pk, by=make.user(role=Role.COMP_ADMIN), at=make.AT)


def test_a_live_exception_passes_and_names_its_people(world: World, unequal: RuleVersion) -> None:
    exception = excepted(world, unequal)
    found = report(world)
    assert (found.rules_verdict, found.passes) == (EXCEPTED, True)
    told = findings(found)[0]["exception"]
    assert told["id"] == exception.pk
    assert told["asked_by"] == world.admin.name
    assert told["approved_by"] == exception.approved_by.name  # type: ignore[union-attr]


def test_an_exception_covers_its_days_alone(world: World, unequal: RuleVersion) -> None:
    sold(world, on=date(2026, 7, 31))
    sold(world, on=date(2026, 8, 1))
    excepted(world, unequal, days=(date(2026, 7, 1), date(2026, 8, 1)))
    found = report(world)
    assert found.rules_verdict == REFUSED
    assert [(f["exception"] is not None, f["lines"], f["since"]) for f in findings(found)] == [
        (False, 1, "2026-08-01"),
        (True, 1, "2026-07-01"),
    ]


@pytest.mark.parametrize("state", ["asked", "withdrawn", "of another rule", "expired"])
def test_what_is_not_covered_is_refused(world: World, unequal: RuleVersion, state: str) -> None:
    if state == "asked":
        ask_exception(
            rule_id=unequal.rule_id, starts=Q1[0], ends=Q1[1], by=world.admin, at=make.AT, reason="Why"
        )
    elif state == "withdrawn":
        live = excepted(world, unequal)
        withdraw_exception(exception_id=live.pk, by=world.admin, at=make.AT, reason="No longer")
    elif state == "expired":
        excepted(world, unequal, days=(date(2025, 7, 1), date(2026, 7, 1)))
    else:
        excepted(world, world.plan_version.rules.get())
    assert report(world).rules_verdict == REFUSED


def test_two_rules_that_move_a_line_need_two_exceptions(world: World) -> None:
    version = add_rules(
        world,
        uplift(world, slug="a", factor_ppm=1_100_000, paths=[CommercialPath.SOLD_BY_CLOUD]),
        uplift(world, slug="b", factor_ppm=1_200_000, paths=[CommercialPath.MARKETPLACE]),
    )
    one, two = version.rules.order_by("rule__slug")
    excepted(world, one)
    assert report(world).rules_verdict == REFUSED
    excepted(world, two)
    assert report(world).rules_verdict == EXCEPTED


def test_an_exception_needs_two_comp_admins_and_a_reason(world: World, unequal: RuleVersion) -> None:
    order: dict[str, Any] = {"rule_id": unequal.rule_id, "starts": Q1[0], "ends": Q1[1], "at": make.AT}
    with pytest.raises(Forbidden):
        ask_exception(**order, by=world.auditor, reason="Why")
    with pytest.raises(Invalid) as wrong:
        ask_exception(**{**order, "ends": Q1[0], "decision_id": 1}, by=world.admin, reason=" ")
    assert [p.pointer for p in wrong.value.problems] == ["/rule", "/ends", "/reason"]
    with pytest.raises(NotFound):
        ask_exception(**{**order, "rule_id": 10**9}, by=world.admin, reason="Why")
    asked = ask_exception(**order, by=world.admin, reason="Why")
    with pytest.raises(Forbidden):
        approve_exception(exception_id=asked.pk, by=world.admin, at=make.AT)
    with pytest.raises(Forbidden):
        approve_exception(exception_id=asked.pk, by=world.auditor, at=make.AT)
    asked.refresh_from_db()
    assert asked.approved_at is None
    second = make.user(role=Role.COMP_ADMIN)
    approve_exception(exception_id=asked.pk, by=second, at=make.AT)
    with pytest.raises(Conflict):
        approve_exception(exception_id=asked.pk, by=second, at=make.AT)
    with pytest.raises(Invalid):
        withdraw_exception(exception_id=asked.pk, by=second, at=make.AT, reason="")
    withdraw_exception(exception_id=asked.pk, by=second, at=make.AT, reason="Over")
    with pytest.raises(Conflict):
        withdraw_exception(exception_id=asked.pk, by=second, at=make.AT, reason="Again")


# The eligibility verdict.


def third_counts(world: World, rate_ppm: int, since: date = date(2026, 8, 1)) -> EligibilityDecision:
    return make.decision(publisher=world.third.publisher, rate_ppm=rate_ppm, effective=(since, None))


def test_what_counts_for_less_is_told_with_its_decision_and_what_it_carried(world: World) -> None:
    make.fx(code="EUR", rate="1.1")
    sold(world, Line(world.third, 100_00), on=date(2026, 7, 31))
    sold(world, Line(world.third, 100_00), Line(world.third, 20_00), Line(world.house, 7_00), code="EUR")
    decision = third_counts(world, 500_000)
    found = report(world)
    assert (found.rules_verdict, found.eligibility_verdict) == (CLEAN, REFUSED)
    (group,) = found.findings["eligibility"]["findings"]
    assert (group["side"], group["rate"], group["other"]) == ("Third party", "50%", "100%")
    assert (group["since"], group["until"]) == ("2026-08-01", "2026-10-01")
    assert (group["lines"], group["deals"], group["value_minor"]) == (2, 1, 132_00)
    assert (group["decision"]["id"], group["decision"]["made_by"]) == (decision.pk, decision.made_by.name)
    assert [c["day"] for c in found.findings["eligibility"]["changes"]] == ["2026-08-01"]


def test_the_first_party_can_be_the_one_that_counts_for_less(world: World) -> None:
    make.decision(offering=world.house, rate_ppm=900_000)
    (group,) = report(world).findings["eligibility"]["findings"]
    assert (group["side"], group["rate"]) == ("First party", "90%")


def test_what_nobody_decided_counts_for_nothing_and_says_so(world: World) -> None:
    EligibilityDecision.objects.filter(commercial_path=CommercialPath.MARKETPLACE).update(
        superseded_at=make.AT
    )
    found = report(world)
    (group,) = found.findings["eligibility"]["findings"]
    assert (found.eligibility_verdict, group["rate"], group["decision"]) == (REFUSED, "not decided", None)


def test_a_plan_with_a_decision_of_its_own_is_looked_at_alone(world: World) -> None:
    batch = make.plan(offering=world.third)
    make.decision(plan=batch, rate_ppm=0)
    sold(world, Line(world.third, 10_00, plan=batch), Line(world.third, 30_00))
    (group,) = report(world).findings["eligibility"]["findings"]
    assert [(o["plan"], o["value_minor"]) for o in group["offerings"]] == [(batch.name, 10_00)]


def test_what_is_not_on_sale_is_not_compared_unless_it_was_sold(world: World) -> None:
    gone = make.offering(retires_on=date(2026, 7, 1))
    draft = make.offering(publication="draft")
    inside = make.offering(path=CommercialPath.INTERNAL)
    for offering in (gone, draft, inside):
        make.decision(offering=offering, rate_ppm=0)
    assert report(world).eligibility_verdict == CLEAN
    sold(world, Line(gone, 1_00))
    assert report(world).eligibility_verdict == REFUSED


def test_a_decision_under_an_exception_passes_for_its_days(world: World) -> None:
    decision = third_counts(world, 0)
    excepted(world, decision=decision, days=(date(2026, 8, 1), date(2026, 9, 1)))
    found = report(world)
    groups = found.findings["eligibility"]["findings"]
    assert found.eligibility_verdict == REFUSED
    assert [(g["exception"] is not None, g["until"]) for g in groups] == [
        (False, "2026-10-01"),
        (True, "2026-09-01"),
    ]
    excepted(world, decision=decision, days=(date(2026, 9, 1), date(2026, 10, 1)))
    assert report(world).eligibility_verdict == EXCEPTED


def test_between_two_publishers_only_theirs_is_compared(world: World) -> None:
    other = make.offering()
    make.decision(offering=other, rate_ppm=0)
    a, b = world.house.publisher.slug, world.third.publisher.slug
    assert report(world).eligibility_verdict == REFUSED
    assert report(world, f"publisher:{a},{b}").eligibility_verdict == CLEAN


def test_rates_are_those_of_the_last_day_that_has_come(world: World) -> None:
    third_counts(world, 0, since=date(2026, 8, 14))
    third_counts_later = make.decision(offering=world.third, effective=(date(2026, 9, 1), None))
    rows = {row["slug"]: row["rate"] for row in report(world).findings["eligibility"]["rates"]}
    assert rows == {world.house.publisher.slug: "100%", world.third.publisher.slug: "0%"}
    assert third_counts_later.pk


# Beside the verdicts.


def test_shares_before_and_after_a_decision_are_of_equally_long_spans(world: World) -> None:
    for on, amount in ((date(2026, 7, 1), 100_00), (date(2026, 7, 31), 100_00), (date(2026, 8, 10), 300_00)):
        sold(world, Line(world.house, 100_00), on=on)
        sold(world, Line(world.third, amount), on=on)
    third_counts(world, 1_000_000)
    (event,) = report(world).findings["policy"]
    # Fourteen days after, so fourteen before: the deals of 1 July are too long ago.
    assert (event["day"], event["length"], event["before"]) == (
        "2026-08-01",
        14,
        ["2026-07-18", "2026-08-01"],
    )
    third = next(row for row in event["publishers"] if row["slug"] == world.third.publisher.slug)
    assert third["concerned"]
    assert (third["value"]["before_ppm"], third["value"]["after_ppm"]) == (500_000, 750_000)
    assert (third["deals"]["before"], third["deals"]["after"]) == (1, 1)


def test_behaviour_is_reported_apart_and_decides_nothing(world: World) -> None:
    sold(world, Line(world.house, 1_00))
    make.deal(
        owner=world.ana,
        lines=[Line(world.third, 1_00)],
        state=DealState.REJECTED,
        close_date=date(2026, 8, 3),
    )
    found = report(world)
    assert found.passes
    sides = {row["side"]: row for row in found.findings["behaviour"] if row["publisher"] is None}
    assert [sides[s]["deals"] for s in ("First party", "Third party")] == [1, 1]


# Plans and evidence.


def draft_of(
    world: World, *rules: Rule, effective: make.Span = (date(2026, 7, 1), date(2027, 7, 1))
) -> PlanVersion:
    return make.plan_version(
        plan=world.plan_version.plan, rules=rules, effective=effective, state=PlanState.DRAFT
    )


def test_a_draft_is_proved_as_if_it_were_published_and_stays_a_draft(world: World) -> None:
    sold(world)
    draft = draft_of(world, uplift(world, publishers=[world.third.publisher]))
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    assert (proof.rules_verdict, proof.lines_checked, proof.plan_version_id) == (REFUSED, 2, draft.pk)
    assert proof.made_by == world.admin
    draft.refresh_from_db()
    assert draft.state == PlanState.DRAFT
    assert report(world).rules_verdict == CLEAN  # nothing of it is in force


def test_a_draft_of_a_later_span_is_tried_on_the_last_twelve_months(world: World) -> None:
    sold(world)
    span = (date(2026, 10, 1), date(2027, 7, 1))
    draft = draft_of(world, uplift(world, publishers=[world.third.publisher]), effective=span)
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    assert (proof.rules_verdict, proof.lines_checked) == (REFUSED, 0)
    history = proof.findings["history"]
    assert (history["starts"], history["ends"], history["lines"]) == ("2025-08-14", "2026-08-14", 2)
    assert [
        (f["lines"], f["amounts"][0]["own_minor"], f["amounts"][0]["twin_minor"]) for f in history["findings"]
    ] == [(1, 1_200_00, 0)]
    draft.refresh_from_db()
    assert (draft.effective.lower, draft.effective.upper) == span


def test_a_plan_that_nobody_has_yet_is_proved_as_if_somebody_had(world: World) -> None:
    plan = make.comp_plan(for_everybody=False)
    version = make.plan_version(
        plan=plan, rules=[uplift(world, offerings=[world.house])], state=PlanState.DRAFT
    )
    assert prove_plan(plan_version_id=version.pk, by=world.admin, at=make.AT).rules_verdict == REFUSED


def test_a_proof_is_valid_until_the_rules_change(world: World) -> None:
    draft = draft_of(world, uplift(world))
    assert valid_proof_of(draft) is None
    prove_plan(plan_version_id=draft.pk, between="path", by=world.admin, at=make.AT)
    assert valid_proof_of(draft) is None  # between the origins, nothing else will do
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    assert valid_proof_of(draft) == proof
    PlanVersion.objects.filter(pk=draft.pk).update(state=PlanState.IN_REVIEW, note="Ask again")
    assert valid_proof_of(PlanVersion.objects.get(pk=draft.pk)) == proof
    draft.rules.update(factor_ppm=1_300_000)
    assert valid_proof_of(PlanVersion.objects.get(pk=draft.pk)) is None
    draft.rules.update(factor_ppm=1_200_000)
    assert valid_proof_of(PlanVersion.objects.get(pk=draft.pk)) == proof
    make.plan_version(rules=[uplift(world)])  # another plan in force on its days
    assert valid_proof_of(PlanVersion.objects.get(pk=draft.pk)) is None


def test_a_proof_that_passes_on_an_exception_does_not_outlive_it(world: World) -> None:
    draft = draft_of(world, uplift(world, publishers=[world.house.publisher]))
    live = excepted(world, draft.rules.get(), days=(date(2020, 1, 1), date(2040, 1, 1)))
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    assert proof.rules_verdict == EXCEPTED
    assert valid_proof_of(draft) == proof
    withdraw_exception(exception_id=live.pk, by=world.admin, at=make.AT, reason="No longer")
    assert valid_proof_of(draft) is None
    again = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    assert again.rules_verdict == REFUSED
    assert valid_proof_of(draft) == again


def test_the_digest_knows_every_condition_but_no_order(world: World) -> None:
    seen = set()
    for changes in (
        {},
        {"segments": ["a", "b"]},
        {"regions": ["a"]},
        {"roles": ["manager"]},
        {"cap_minor": 5},
        {"priority": 1},
        {"effective": (date(2026, 8, 1), None)},
        {"publishers": [world.house.publisher]},
        {"exclusive": False},
    ):
        draft = draft_of(world, uplift(world, **changes))
        seen.add(rules_digest(draft))
        draft.rules.all().delete()
        draft.delete()
    assert len(seen) == 9
    one, two = (draft_of(world, uplift(world, segments=s)) for s in (["a", "b"], ["b", "a"]))
    PlanVersion.objects.filter(pk=two.pk).update(number=one.number + 100)
    first = rules_digest(one)
    one.rules.all().delete()
    one.delete()
    PlanVersion.objects.filter(pk=two.pk).update(number=one.number)
    assert rules_digest(PlanVersion.objects.get(pk=two.pk)) == first


def test_proofs_are_evidence_that_the_application_cannot_change(world: World) -> None:
    proof = prove_period(period_id=world.year.quarters[0].pk, by=world.auditor, at=make.AT)
    assert json.loads(json.dumps(proof.findings)) == proof.findings
    with pytest.raises(Exception, match="permission denied"):
        ParityProof.objects.filter(pk=proof.pk).update(rules_verdict=REFUSED)


def test_who_may_prove(world: World) -> None:
    quarter = world.year.quarters[0].pk
    assert world.mia.user is not None
    for user in (world.mia.user, make.user(role=Role.PARTNER)):
        with pytest.raises(Forbidden):
            prove_period(period_id=quarter, by=user, at=make.AT)
    with pytest.raises(NotFound):
        prove_period(period_id=10**9, by=world.admin, at=make.AT)
    with pytest.raises(NotFound):
        prove_plan(plan_version_id=10**9, by=world.admin, at=make.AT)
    assert not ParityProof.objects.exists()


def test_a_kept_proof_is_shown_until_something_changes(world: World) -> None:
    quarter, origin = world.year.quarters[0], Between("origin")
    proof = prove_period(period_id=quarter.pk, by=world.admin, at=make.AT)
    found, kept = current_report(quarter, between=origin, on=make.TODAY)
    assert (kept, is_of(kept, found), found.findings) == (proof, True, proof.findings)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    found, kept = current_report(quarter, between=origin, on=make.TODAY)
    assert (kept, is_of(kept, found), found.rules_verdict) == (proof, False, REFUSED)


def test_months_halves_and_years_are_proved_by_name(world: World) -> None:
    add_rules(
        world,
        uplift(world, publishers=[world.house.publisher]),
        effective=(date(2026, 9, 1), date(2026, 10, 1)),
    )
    verdicts = {
        name: report_of_period(world.year.named(name), between=Between("origin"), on=make.TODAY).rules_verdict
        for name in ("FY27", "FY27-H1", "FY27-Q1", "FY27-Q2", "FY27-M02", "FY27-M03")
    }
    assert [name for name, verdict in verdicts.items() if verdict == REFUSED] == [
        "FY27",
        "FY27-H1",
        "FY27-Q1",
        "FY27-M03",
    ]


def test_the_number_of_queries_does_not_grow(world: World) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            report(world)
        return len(seen)

    sold(world)
    third_counts(world, 0)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    before = queries()
    for n in range(4):
        offering = make.offering(publisher=make.publisher(origin=Origin.FIRST))
        make.decision(offering=offering, rate_ppm=100_000 * n, effective=(date(2026, 7, 20 + n), None))
        sold(world, Line(offering, 1_00))
        add_rules(world, uplift(world, publishers=[offering.publisher], priority=20 + n))
    assert queries() == before


# The command.


def told(*arguments: str) -> tuple[str, bool]:
    """What the command prints, and whether its exit code is 0."""
    out = StringIO()
    try:
        call_command("parity_proof", *arguments, stdout=out)
    except CommandError as failed:
        return f"{out.getvalue()}{failed}", False
    return out.getvalue(), True


def test_the_command_prints_what_was_checked_and_fails_unless_it_passes(world: World) -> None:
    sold(world)
    said, passed = told("--period", "FY27-Q1")
    assert passed
    assert "lines checked         2" in said
    assert "combinations checked  70" in said
    assert "clean (0 findings)" in said
    rule = add_rules(world, uplift(world, publishers=[world.house.publisher])).rules.get()
    said, passed = told("--period", "FY27-Q1")
    assert not passed
    assert f"looks at publisher {world.house.publisher.name}" in said
    assert told("--period", "FY27-Q1", "--between", "path")[1]
    assert not told("--period", "FY27-Q9")[1]
    assert not told("--period", "FY27-Q1", "--between", "everything")[1]
    excepted(world, rule)
    said, passed = told("--period", "FY27-Q1")
    assert passed
    assert "excepted: “Uplift”" in said
    assert ParityProof.objects.count() == 4


def test_the_command_proves_a_plan_version(world: World) -> None:
    draft = draft_of(world, uplift(world, publishers=[world.house.publisher]))
    slug = draft.plan.slug
    said, passed = told("--plan", slug, "--version", "2")
    assert not passed
    assert "refused (1 finding)" in said
    assert told("--plan", slug, "--version", "1")[1]
    assert "no such plan version" in told("--plan", slug, "--version", "9")[0]


# REST.


URL = "/api/v1/parity/"


def test_rest_answers_with_both_verdicts(world: World) -> None:
    deal = sold(world)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    third_counts(world, 0)
    body = client(world.admin).get(URL, {"period": "FY27-Q1"}).json()
    assert (body["rules"]["verdict"], body["eligibility"]["verdict"]) == ("refused", "refused")
    (finding,) = body["rules"]["findings"]
    assert finding["clauses"] == [{"name": "publishers", "values": [world.house.publisher.name]}]
    assert finding["amounts"] == [
        {
            "measure": world.bookings.slug,
            "own": {"amount": "1200.00", "currency": "USD"},
            "twin": {"amount": "1000.00", "currency": "USD"},
        }
    ]
    assert [line["deal"] for line in finding["shown"]] == [deal.pk]
    (group,) = body["eligibility"]["findings"]
    assert (group["rate"], group["other_rate"]) == ("0.0000", "100.0000")
    assert group["value"] == {"amount": "1000.00", "currency": "USD"}
    assert body["proof"] is None


def test_rest_tells_managers_and_executives_the_verdicts_and_others_nothing(world: World) -> None:
    sold(world)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    for user in (world.mia, make.user(role=Role.SOURCING_LEAD)):
        body = client(user).get(URL, {"period": "FY27-Q1"}).json()
        assert body["rules"]["verdict"] == "refused"
        assert (body["rules"]["findings"][0]["shown"], body["behaviour"]) == ([], [])
    for outsider in (
        world.ana,
        make.user(role=Role.PARTNER),
        make.user(role=Role.ENGINEER),
        make.user(role=Role.CATALOG_MANAGER),
    ):
        assert client(outsider).get(URL, {"period": "FY27-Q1"}).status_code == 404


def test_rest_refuses_what_it_does_not_know(world: World) -> None:
    asked = client(world.auditor)
    assert problems(asked.get(URL, {"period": "FY99"})) == [("unknown_period", "period")]
    assert problems(asked.get(URL, {"between": "x"})) == [("unknown_comparison", "between")]
    assert asked.get(URL, {"what": "1"}).status_code == 400
    first = asked.get(URL, {"period": "FY27-Q1", "between": "path"})
    assert (
        asked.get(
            URL, {"period": "FY27-Q1", "between": "path"}, headers={"If-None-Match": first["ETag"]}
        ).status_code
        == 304
    )


def test_rest_names_the_kept_proof_that_says_the_same(world: World) -> None:
    proof = prove_period(period_id=world.year.quarters[0].pk, by=world.admin, at=make.AT)
    assert client(world.admin).get(URL, {"period": "FY27-Q1"}).json()["proof"] == proof.pk


# The page.


PAGE = "/quotas/parity/"


def page(user: Any, **asked: str) -> Any:
    browser = Client()
    browser.force_login(user.user if hasattr(user, "user") else user)
    return browser.get(PAGE, asked)


def test_the_page_says_both_verdicts_and_links_the_lines(world: World) -> None:
    deal = sold(world)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    third_counts(world, 0)
    body = page(world.admin, period="FY27-Q1").content.decode()
    assert "The rules do not treat both sides alike, and they do not count toward quota alike." in body
    assert body.count("Not equal") >= 4
    assert reverse("quotas:deal", args=[deal.pk]) in body
    assert "Ask for an exception" in body


def test_the_page_is_for_those_who_answer_for_it(world: World) -> None:
    deal = sold(world)
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    body = page(world.mia, period="FY27-Q1").content.decode()
    assert "Not equal" in body
    assert reverse("quotas:deal", args=[deal.pk]) not in body
    assert "Keep this proof" not in body
    for user in (world.ana, make.user(role=Role.PARTNER), make.user(role=Role.CATALOG_MANAGER)):
        assert page(user, period="FY27-Q1").status_code == 404
    for asked in (
        {"period": "FY99"},
        {"between": "x"},
        {"proof": "x"},
        {"proof": "99999"},
        {"between": "publisher", "a": "x", "b": "y"},
    ):
        assert page(world.admin, **asked).status_code == 404


def test_an_exception_goes_from_asking_to_approval_on_the_page(world: World, unequal: RuleVersion) -> None:
    browser, second = Client(), Client()
    browser.force_login(world.admin)
    second.force_login(make.user(role=Role.COMP_ADMIN))
    form = {
        "ask": f"rule:{unequal.rule_id}",
        "here": "period=FY27-Q1",
        "starts": "2026-07-01",
        "ends": "2026-09-30",
    }
    wrong = browser.post("/quotas/parity/exceptions/", {**form, "reason": " ", "ends": "2026-06-30"})
    assert wrong.status_code == 422
    assert "Say why" in wrong.content.decode()
    assert not ParityException.objects.exists()
    done = browser.post("/quotas/parity/exceptions/", {**form, "reason": "A launch"}, follow=True)
    assert "it covers nothing" in done.content.decode()
    asked = ParityException.objects.get()
    assert (asked.effective.lower, asked.effective.upper) == Q1
    browser.post(f"/quotas/parity/exceptions/{asked.pk}/approve/", {"here": "period=FY27-Q1"})
    assert ParityException.objects.get().approved_at is None
    body = second.post(
        f"/quotas/parity/exceptions/{asked.pk}/approve/", {"here": "period=FY27-Q1"}, follow=True
    )
    assert "Clean but for exceptions" in body.content.decode()
    second.post(f"/quotas/parity/exceptions/{asked.pk}/withdraw/", {"here": "", "reason": "Over"})
    assert report(world).rules_verdict == REFUSED


def test_a_proof_is_kept_and_read_again_as_it_was(world: World) -> None:
    browser = Client()
    browser.force_login(world.auditor)
    done = browser.post("/quotas/parity/prove/", {"period": "FY27-Q1", "between": "origin"}, follow=True)
    proof = ParityProof.objects.get()
    assert f"Proof {proof.pk} says what is true now" in done.content.decode()
    add_rules(world, uplift(world, publishers=[world.house.publisher]))
    assert (
        f"Something changed since proof {proof.pk}" in page(world.auditor, period="FY27-Q1").content.decode()
    )
    then = page(world.auditor, proof=str(proof.pk)).content.decode()
    assert "This is what was found on" in then
    assert "not one amount moved" in then
    manager = Client()
    manager.force_login(User.objects.get(pk=world.mia.user_id or 0))
    assert (
        manager.post("/quotas/parity/prove/", {"period": "FY27-Q1", "between": "origin"}).status_code == 404
    )


def test_a_rule_of_a_draft_is_excepted_where_its_proof_refuses_it(world: World) -> None:
    draft = draft_of(world, uplift(world, publishers=[world.house.publisher]))
    rule = draft.rules.get()
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    checklist = reverse("quotas:plan-version", args=[draft.plan.slug, draft.number])
    browser, second = Client(), Client()
    browser.force_login(world.admin)
    second.force_login(make.user(role=Role.COMP_ADMIN))
    assert f"{PAGE}?proof={proof.pk}" in browser.get(checklist).content.decode()
    body = page(world.admin, proof=str(proof.pk)).content.decode()
    assert f'value="rule:{rule.rule_id}"' in body
    assert f"{checklist}#gate" in body
    assert "Ask for an exception" not in page(world.auditor, proof=str(proof.pk)).content.decode()
    form = {"ask": f"rule:{rule.rule_id}", "here": f"proof={proof.pk}", "reason": "A launch"}
    never = browser.post(
        f"{PAGE}exceptions/", {**form, "starts": proof.starts.isoformat(), "ends": "9999-12-31"}
    )
    assert never.status_code == 422
    last = (proof.ends - timedelta(days=1)).isoformat()
    browser.post(f"{PAGE}exceptions/", {**form, "starts": proof.starts.isoformat(), "ends": last})
    asked = ParityException.objects.get()
    approve = f"{PAGE}exceptions/{asked.pk}/approve/"
    assert approve in second.get(PAGE, {"proof": str(proof.pk)}).content.decode()
    second.post(approve, {"here": f"proof={proof.pk}"})
    assert prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT).rules_verdict == EXCEPTED


def test_the_proof_of_a_draft_is_for_those_who_may_read_the_draft(world: World) -> None:
    draft = draft_of(world, uplift(world, publishers=[world.house.publisher]))
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    assert page(world.auditor, proof=str(proof.pk)).status_code == 200
    for user in (world.mia, make.user(role=Role.SOURCING_LEAD)):
        assert page(user, proof=str(proof.pk)).status_code == 404
    published = prove_plan(plan_version_id=world.plan_version.pk, by=world.admin, at=make.AT)
    assert page(world.mia, proof=str(published.pk)).status_code == 200


def test_a_draft_in_the_proof_of_a_plan_names_its_history(world: World) -> None:
    sold(world)
    span = (make.TODAY + timedelta(days=60), make.TODAY + timedelta(days=300))
    draft = draft_of(world, uplift(world, publishers=[world.third.publisher]), effective=span)
    proof = prove_plan(plan_version_id=draft.pk, by=world.admin, at=make.AT)
    body = page(world.admin, proof=str(proof.pk)).content.decode()
    assert "Had it been in force from 14 Aug 2025" in body
    assert "(draft)" in body
