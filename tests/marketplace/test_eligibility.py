"""Resolution of decisions, and how they are made: by two people, never overlapping, never rewritten."""

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid
from marketplace.models import EligibilityDecision, Offering, Program
from marketplace.selectors.decisions import change_of, reach_of
from marketplace.selectors.eligibility import bulk_treatments, eligibility_strips, rate_of, treatments
from marketplace.services.eligibility import (
    MOST_AT_ONCE,
    Scope,
    check_decision,
    propose_decision,
    propose_decisions,
    withdraw_decision,
)
from tests import make
from tests.depth import examples

ON = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def quota(offering: Offering, on: date = ON) -> int | None:
    return treatments(offering, on)[Program.QUOTA].rate_ppm


def test_the_most_specific_decision_wins() -> None:
    offering = make.offering(path="marketplace")
    plan = make.plan(offering=offering)
    make.decision(path="marketplace", rate_ppm=0)
    assert quota(offering) == 0
    make.decision(publisher=offering.publisher, rate_ppm=250_000)
    assert quota(offering) == 250_000
    make.decision(offering=offering, rate_ppm=500_000)
    assert quota(offering) == 500_000
    make.decision(plan=plan, rate_ppm=750_000)
    assert quota(offering) == 500_000
    assert treatments(offering, ON, plan)[Program.QUOTA].rate_ppm == 750_000


def test_programs_do_not_touch_each_other() -> None:
    offering = make.offering()
    make.decision(offering=offering, program="credits")
    found = treatments(offering, ON)
    assert {p.value: t.rate_ppm for p, t in found.items()} == {
        "quota": None,
        "commitment": None,
        "credits": 1_000_000,
        "resale": None,
        "co_sell": None,
    }


def test_what_is_unchecked_withdrawn_or_out_of_its_span_does_not_count() -> None:
    offering = make.offering()
    make.decision(offering=offering, checked=False)
    gone = make.decision(offering=offering)
    EligibilityDecision.objects.filter(pk=gone.pk).update(superseded_at=AT)
    make.decision(offering=offering, effective=(date(2020, 1, 1), ON))
    make.decision(offering=offering, effective=(ON + timedelta(days=1), None))
    assert quota(offering) is None


def test_a_span_holds_its_first_day_and_not_its_last() -> None:
    offering = make.offering()
    make.decision(offering=offering, effective=(ON, ON + timedelta(days=1)))
    assert [quota(offering, ON + timedelta(days=d)) for d in (-1, 0, 1)] == [None, 1_000_000, None]


SPANS = st.tuples(st.integers(0, 20), st.integers(1, 20))
DECISIONS = st.lists(
    st.tuples(st.sampled_from(["path", "publisher", "offering", "plan"]), SPANS, st.integers(0, 4)),
    max_size=8,
)


@given(decisions=DECISIONS, day=st.integers(0, 40))
@settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_python_and_sql_resolve_as_the_naive_reading_does(
    decisions: list[tuple[str, tuple[int, int], int]], day: int
) -> None:
    """Overlaps of one scope are refused by the database; what is left is resolved in three ways, alike."""
    with transaction.atomic():
        offering = make.offering(path="marketplace")
        plan = make.plan(offering=offering)
        scopes = {
            "path": {"path": "marketplace"},
            "publisher": {"publisher": offering.publisher},
            "offering": {"offering": offering},
            "plan": {"plan": plan},
        }
        kept: list[EligibilityDecision] = []
        for level, (start, length), quarter in decisions:
            span = (ON + timedelta(days=start), ON + timedelta(days=start + length))
            try:
                with transaction.atomic():
                    made = make.decision(**scopes[level], rate_ppm=quarter * 250_000, effective=span)  # type: ignore[arg-type]
            except IntegrityError:
                assert any(k.level == _LEVEL[level] and _overlap(k, span) for k in kept)
                continue
            kept.append(made)
        on = ON + timedelta(days=day)
        holding = [d for d in kept if d.effective.lower <= on < d.effective.upper]
        without_plan = [d for d in holding if d.level < 4]
        expected = max(without_plan, key=lambda d: d.level).rate_ppm if without_plan else None
        assert quota(offering, on) == expected
        assert Offering.objects.annotate(r=rate_of("quota", on)).get(pk=offering.pk).r == expected
        with_plan = max(holding, key=lambda d: d.level).rate_ppm if holding else None
        assert treatments(offering, on, plan)[Program.QUOTA].rate_ppm == with_plan
        transaction.set_rollback(True)


_LEVEL = {"path": 1, "publisher": 2, "offering": 3, "plan": 4}


def _overlap(decision: EligibilityDecision, span: tuple[date, date]) -> bool:
    return bool(decision.effective.lower < span[1] and span[0] < decision.effective.upper)


def test_the_strip_costs_one_query_for_any_number_of_offerings(
    django_assert_num_queries: pytest.FixtureRequest,
) -> None:
    make.decision(path="marketplace")
    offerings = [make.offering() for _ in range(30)]
    with django_assert_num_queries(1):  # type: ignore[operator]
        strips = eligibility_strips(offerings, ON)
    assert [chip.label for chip in strips[offerings[0].pk]] == [
        "Quota",
        "Commitment",
        "Credits",
        "Resale",
        "Countries",
    ]
    assert strips[offerings[29].pk][0].value == "Counts in full"


def test_rates_are_written_without_rounding() -> None:
    offering = make.offering()
    make.decision(offering=offering, rate_ppm=502_500)
    assert bulk_treatments([offering], ON)[offering.pk][Program.QUOTA].value == "Counts 50.25%"


@pytest.mark.parametrize(
    ("ppm", "said"), [(100_000, "Counts 10%"), (500_000, "Counts 50%"), (1, "Counts 0.0001%")]
)
def test_round_rates_keep_their_zeros(ppm: int, said: str) -> None:
    offering = make.offering()
    make.decision(offering=offering, rate_ppm=ppm)
    assert treatments(offering, ON)[Program.QUOTA].value == said


# Deciding.


def propose(
    offering: Offering, start: date, end: date | None = None, rate_ppm: int = 1_000_000
) -> EligibilityDecision:
    return propose_decision(
        program="quota",
        scope=Scope(offering_id=offering.pk),
        rate_ppm=rate_ppm,
        start=start,
        end=end,
        reason="Because",
        by=make.user(role="catalog_manager"),
        at=AT,
    )


def check(decision: EligibilityDecision, *, replacing: bool = False) -> EligibilityDecision:
    return check_decision(
        decision_id=decision.pk, by=make.user(role="catalog_manager"), at=AT, replacing=replacing
    )


def test_a_proposal_counts_once_another_person_has_checked_it() -> None:
    offering = make.offering()
    proposal = propose(offering, ON)
    assert quota(offering) is None
    check(proposal)
    assert quota(offering) == 1_000_000


def test_nobody_checks_their_own_decision() -> None:
    proposal = propose(make.offering(), ON)
    with pytest.raises(Conflict) as refused:
        check_decision(decision_id=proposal.pk, by=proposal.made_by, at=AT)
    assert refused.value.problems[0].code == "own_decision"
    proposal.refresh_from_db()
    assert proposal.checked_at is None


def test_only_a_catalog_manager_decides() -> None:
    offering = make.offering()
    with pytest.raises(Forbidden):
        propose_decision(
            program="quota",
            scope=Scope(offering_id=offering.pk),
            rate_ppm=0,
            start=ON,
            end=None,
            reason="Because",
            by=make.user(role="partner"),
            at=AT,
        )
    assert EligibilityDecision.objects.count() == 0


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        propose_decision(
            program="bonus",
            scope=Scope(),
            rate_ppm=1_000_001,
            start=ON,
            end=ON,
            reason=" ",
            by=make.user(role="catalog_manager"),
            at=AT,
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("unknown_program", "/program"),
        ("one_scope", "/scope"),
        ("rate_out_of_range", "/rate"),
        ("ends_before_it_starts", "/end"),
        ("reason_missing", "/reason"),
    ]


def test_an_overlap_is_refused_and_named() -> None:
    offering = make.offering()
    first = check(propose(offering, date(2026, 1, 1)))
    second = propose(offering, ON, rate_ppm=0)
    with pytest.raises(Conflict) as refused:
        check(second)
    (problem,) = refused.value.problems
    assert problem.code == "overlaps"
    assert f"Decision {first.pk} (100 %, from 1 Jan 2026 on)" in problem.message
    assert quota(offering) == 1_000_000


def test_replacing_ends_the_open_decision_and_keeps_its_id() -> None:
    offering = make.offering()
    first = check(propose(offering, date(2026, 1, 1)))
    second = check(propose(offering, ON, rate_ppm=0), replacing=True)
    first.refresh_from_db()
    assert (first.effective.lower, first.effective.upper, first.superseded_at) == (date(2026, 1, 1), ON, None)
    assert quota(offering, ON - timedelta(days=1)) == 1_000_000
    assert treatments(offering, ON)[Program.QUOTA].decision == second


def test_replacing_in_the_middle_lets_the_rest_go_on() -> None:
    offering = make.offering()
    check(propose(offering, date(2026, 1, 1)))
    check(propose(offering, date(2026, 3, 1), date(2026, 4, 1), rate_ppm=0), replacing=True)
    days = (date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 1))
    assert [quota(offering, day) for day in days] == [1_000_000, 0, 0, 1_000_000]


def test_what_lies_wholly_behind_the_new_one_is_superseded() -> None:
    offering = make.offering()
    old = check(propose(offering, date(2026, 3, 1), date(2026, 4, 1)))
    check(propose(offering, date(2026, 1, 1), rate_ppm=0), replacing=True)
    old.refresh_from_db()
    assert old.superseded_at == AT
    assert quota(offering, date(2026, 3, 15)) == 0


def test_a_decision_is_checked_once() -> None:
    proposal = check(propose(make.offering(), ON))
    with pytest.raises(Conflict) as refused:
        check(proposal)
    assert refused.value.problems[0].code == "already_checked"


def test_withdrawing_needs_a_reason_and_takes_it_out_of_force() -> None:
    offering = make.offering()
    decision = check(propose(offering, ON))
    manager = make.user(role="catalog_manager")
    with pytest.raises(Invalid):
        withdraw_decision(decision_id=decision.pk, by=manager, at=AT, reason="")
    assert quota(offering) == 1_000_000
    withdraw_decision(decision_id=decision.pk, by=manager, at=AT, reason="Decided by mistake")
    assert quota(offering) is None


# Several at once.


def propose_all(offerings: list[Offering], by: User, **more: Any) -> list[EligibilityDecision]:
    fields = {
        "programs": ["quota", "commitment"],
        "scopes": [Scope(offering_id=o.pk) for o in offerings],
        "rate_ppm": 500_000,
        "start": ON,
        "end": None,
        "reason": "Because",
        "by": by,
        "at": AT,
    }
    return propose_decisions(**{**fields, **more})


def test_one_proposal_makes_many_decisions_that_are_checked_together() -> None:
    offerings = [make.offering() for _ in range(3)]
    made = propose_all(offerings, make.user(role="catalog_manager"))
    assert len(made) == 6
    assert len({d.proposal for d in made}) == 1
    assert {quota(o) for o in offerings} == {None}
    check(made[4])
    assert {quota(o) for o in offerings} == {500_000}
    told = OutboxMessage.objects.filter(topic="marketplace.changed").values_list("payload", flat=True)
    assert sorted((t["program"], sorted(t["offering_ids"])) for t in told) == [
        (program, sorted(o.pk for o in offerings)) for program in ("commitment", "quota")
    ]


def test_the_same_proposal_twice_is_one() -> None:
    offerings, maker = [make.offering() for _ in range(3)], make.user(role="catalog_manager")
    first = propose_all(offerings, maker, proposal="once")
    assert propose_all(offerings[:1], maker, proposal="once", rate_ppm=0) == first
    assert EligibilityDecision.objects.count() == 6
    with pytest.raises(Conflict) as refused:
        propose_all(offerings, make.user(role="catalog_manager"), proposal="once")
    assert refused.value.problems[0].code == "proposal_taken"


def test_together_means_all_or_nothing() -> None:
    free, taken = make.offering(), make.offering()
    old = make.decision(offering=taken, effective=(date(2026, 1, 1), None))
    made = propose_all([free, taken], make.user(role="catalog_manager"))
    with pytest.raises(Conflict) as refused:
        check(made[0])
    assert [p.code for p in refused.value.problems] == ["overlaps"]
    assert quota(free) is None
    check(made[0], replacing=True)
    assert (quota(free), quota(taken)) == (500_000, 500_000)
    old.refresh_from_db()
    assert old.effective.upper == ON


def test_only_what_the_checker_has_seen_makes_room() -> None:
    offering = make.offering()
    old = make.decision(offering=offering, effective=(date(2026, 1, 1), None))
    proposal = propose(offering, ON, rate_ppm=0)
    checker = make.user(role="catalog_manager")
    with pytest.raises(Conflict):
        check_decision(decision_id=proposal.pk, by=checker, at=AT, replacing=True, only=[old.pk + 1])
    check_decision(decision_id=proposal.pk, by=checker, at=AT, replacing=True, only=[old.pk])
    assert quota(offering) == 0


def test_a_proposal_is_withdrawn_as_a_whole_a_decision_alone() -> None:
    offerings, maker = [make.offering() for _ in range(2)], make.user(role="catalog_manager")
    made = propose_all(offerings, maker, programs=["quota"])
    withdraw_decision(decision_id=made[0].pk, by=maker, at=AT, reason="A slip")
    assert EligibilityDecision.objects.filter(superseded_at=None).count() == 0
    made = propose_all(offerings, maker, programs=["quota"])
    check(made[0])
    withdraw_decision(decision_id=made[0].pk, by=maker, at=AT, reason="One of them")
    assert [quota(o) for o in offerings] == [None, 500_000]


def test_every_scope_that_is_wrong_is_named_by_its_place() -> None:
    good = make.offering()
    with pytest.raises(Invalid) as refused:
        propose_all(
            [],
            make.user(role="catalog_manager"),
            scopes=[Scope(offering_id=good.pk), Scope(offering_id=0), Scope(), Scope(plan_id=999_999_999)],
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("one_scope", "/scopes/1"),
        ("one_scope", "/scopes/2"),
        ("unknown_scope", "/scopes/3"),
    ]
    with pytest.raises(Invalid) as refused:
        propose_all(
            [],
            make.user(role="catalog_manager"),
            scopes=[Scope(offering_id=n) for n in range(1, MOST_AT_ONCE)],
        )
    assert "too_many" in {p.code for p in refused.value.problems}
    assert EligibilityDecision.objects.count() == 0


def test_checking_many_costs_as_little_as_checking_few() -> None:
    def cost(number: int) -> int:
        made = propose_all(
            [make.offering() for _ in range(number)], make.user(role="catalog_manager"), programs=["quota"]
        )
        by = make.user(role="catalog_manager")
        with CaptureQueriesContext(connection) as queries:
            check_decision(decision_id=made[0].pk, by=by, at=AT)
        return len(queries)

    assert cost(2) == cost(40) <= 16


def test_a_decision_reaches_what_nothing_more_specific_holds_for() -> None:
    publisher = make.publisher()
    free, own = make.offering(publisher=publisher), make.offering(publisher=publisher)
    make.decision(offering=own)
    proposal = make.decision(publisher=publisher, effective=(ON, None), checked=False)
    found = reach_of(change_of([proposal]))
    assert (found.offerings, found.kept) == (2, 1)
    assert free.publisher_id == publisher.pk


@pytest.mark.django_db(transaction=True)
def test_of_two_checkers_at_the_same_moment_one_checks() -> None:
    proposal = propose(make.offering(), ON)
    start, outcomes = threading.Barrier(3), []

    def work() -> None:
        start.wait()
        try:
            check(EligibilityDecision.objects.get(pk=proposal.pk))
            outcomes.append("checked")
        except Conflict as refused:
            outcomes.append(refused.problems[0].code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["already_checked", "already_checked", "checked"]
