"""Rounds of blind votes, what is computed from them, runs, and the best comparable evidence."""

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Role, User
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.models import (
    Answer,
    Choice,
    ModelVersion,
    PairVote,
    SuiteCase,
    SuiteRun,
    TaskSuite,
    VotingRound,
)
from marketplace.selectors.sourcing import judging as register
from marketplace.selectors.sourcing import rounds
from marketplace.selectors.sourcing.judging import quality
from marketplace.selectors.sourcing.preference import Ballot, Record, agreement, left_preferred, preferences
from marketplace.services.sourcing import judging
from tests import make
from tests.marketplace.evidence_world import result, sold, task

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)


def suite_with_answers(versions: Sequence[ModelVersion], *, cases: int = 3, slug: str = "") -> TaskSuite:
    suite = make.suite(task=slug or "slides")
    for number in range(1, cases + 1):
        case = SuiteCase.objects.create(suite=suite, number=number, prompt=f"Prompt {number}")
        for version in versions:
            Answer.objects.create(
                case=case,
                model_version=version,
                harness="plain",
                text=f"An answer to case {number}, written at {id(version)}",
                produced_on=date(2026, 7, 1),
            )
    return suite


def a_round(
    *, versions: int = 3, cases: int = 3
) -> tuple[VotingRound, list[ModelVersion], list[rounds.Pair], User]:
    of = [make.model_version() for _ in range(versions)]
    suite = suite_with_answers(of, cases=cases)
    lead = make.user(role=Role.SOURCING_LEAD)
    found = judging.open_round(suite_id=suite.pk, harness="plain", by=lead, at=AT)
    return found, of, rounds.pairs_of(suite.pk, "plain"), lead


def vote_all(found: VotingRound, pairs: Sequence[rounds.Pair], voter: User, best: int) -> None:
    """The voter always prefers *best*, and finds the others equally good."""
    for pair in pairs:
        token = rounds.token_of(found.pk, voter.pk, pair)
        left = rounds.left_of(found.pk, voter.pk, pair)
        choice = "tie"
        if best in (pair.first_version, pair.second_version):
            answer = pair.first if pair.first_version == best else pair.second
            choice = "left" if answer == left else "right"
        judging.cast_vote(round_id=found.pk, token=token, choice=choice, by=voter, at=AT)


# --- voting -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_vote_is_kept_as_what_it_prefers_whichever_side_that_stood_on() -> None:
    found, of, pairs, _lead = a_round(versions=2, cases=5)
    assert len(pairs) == 5
    sides = set()
    for voter in (make.user(role=Role.ENGINEER) for _ in range(4)):
        vote_all(found, pairs, voter, of[0].pk)
        sides |= {rounds.left_of(found.pk, voter.pk, pair) == pair.first for pair in pairs}
    assert sides == {True, False}
    kept = PairVote.objects.filter(round=found).select_related("first", "second")
    assert len(kept) == 20
    for vote in kept:
        preferred = vote.first if vote.choice == Choice.FIRST else vote.second
        assert preferred.model_version_id == of[0].pk


def test_sides_are_balanced_and_stay_as_they_are() -> None:
    pairs = [rounds.Pair(1, n, n + 1, 7, 8) for n in range(100)]
    firsts = [rounds.left_of(1, voter, pair) == pair.first for voter in range(20) for pair in pairs]
    assert 900 < sum(firsts) < 1100
    assert firsts == [rounds.left_of(1, voter, pair) == pair.first for voter in range(20) for pair in pairs]


@pytest.mark.django_db
def test_a_pair_is_voted_on_once_and_the_first_vote_stands() -> None:
    found, _of, pairs, _lead = a_round()
    voter = make.user(role=Role.ENGINEER)
    token = rounds.token_of(found.pk, voter.pk, pairs[0])
    first = judging.cast_vote(round_id=found.pk, token=token, choice="tie", by=voter, at=AT)
    again = judging.cast_vote(round_id=found.pk, token=token, choice="neither", by=voter, at=AT)
    assert (first.new, again.new) == (True, False)
    assert again.vote == first.vote
    assert list(PairVote.objects.values_list("choice", flat=True)) == ["tie"]


@pytest.mark.django_db(transaction=True)
def test_the_same_vote_sent_twice_at_once_counts_once() -> None:
    found, _of, pairs, _lead = a_round()
    voter = make.user(role=Role.ENGINEER)
    token = rounds.token_of(found.pk, voter.pk, pairs[0])
    told: list[Any] = []
    gate = threading.Barrier(2)

    def cast() -> None:
        gate.wait(timeout=5)
        try:
            made = judging.cast_vote(round_id=found.pk, token=token, choice="left", by=voter, at=AT)
            told.append(made.new)
        finally:
            connection.close()

    threads = [threading.Thread(target=cast) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False, True]
    assert PairVote.objects.count() == 1


@pytest.mark.django_db
def test_a_token_is_of_one_person_one_round_and_a_choice_is_one_of_four() -> None:
    found, _of, pairs, _lead = a_round()
    voter, other = make.user(role=Role.ENGINEER), make.user(role=Role.ENGINEER)
    theirs = rounds.token_of(found.pk, other.pk, pairs[0])
    elsewhere = rounds.token_of(found.pk + 1, voter.pk, pairs[0])
    for token in (theirs, elsewhere, "", "0" * 32):
        with pytest.raises(NotFound):
            judging.cast_vote(round_id=found.pk, token=token, choice="left", by=voter, at=AT)
    own = rounds.token_of(found.pk, voter.pk, pairs[0])
    with pytest.raises(Invalid):
        judging.cast_vote(round_id=found.pk, token=own, choice="first", by=voter, at=AT)
    for role in (Role.REP, Role.PARTNER, Role.AUDITOR):
        with pytest.raises(Forbidden):
            judging.cast_vote(round_id=found.pk, token=own, choice="left", by=make.user(role=role), at=AT)
    assert not PairVote.objects.exists()


@pytest.mark.django_db
def test_the_next_pair_is_the_least_voted_one_and_skipped_ones_come_last() -> None:
    found, of, pairs, _lead = a_round(versions=3, cases=1)
    first, second = make.user(role=Role.ENGINEER), make.user(role=Role.ENGINEER)
    shown = rounds.next_pair(found, first.pk, pairs)
    assert shown is not None
    judging.cast_vote(
        round_id=found.pk,
        token=rounds.token_of(found.pk, first.pk, shown),
        choice="tie",
        by=first,
        at=AT,
    )
    theirs = rounds.next_pair(found, second.pk, pairs)
    assert theirs is not None
    assert theirs != shown
    skipped = {rounds.token_of(found.pk, second.pk, theirs)}
    instead = rounds.next_pair(found, second.pk, pairs, skipped)
    assert instead not in (None, theirs, shown)
    vote_all(found, pairs, second, of[0].pk)
    assert rounds.next_pair(found, second.pk, pairs) is None
    assert rounds.standing(found, second.pk, len(pairs)) == rounds.Standing(3, 3, 4, 2)


# --- rounds -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_closing_makes_one_run_a_version_and_cannot_be_done_twice() -> None:
    found, of, pairs, lead = a_round(versions=3, cases=4)
    for voter in (make.user(role=Role.ENGINEER) for _ in range(3)):
        vote_all(found, pairs, voter, of[1].pk)
    runs = judging.close_round(round_id=found.pk, by=lead, at=AT)
    assert runs[0].model_version_id == of[1].pk
    assert {(run.metric, run.sample_size, run.evaluator) for run in runs} == {
        ("preference", 24, "3 people, blind")
    }
    assert all(run.interval_low <= run.score <= run.interval_high for run in runs)
    assert {run.dated for run in runs} == {date(2026, 8, 14)}
    with pytest.raises(Conflict, match="closed already"):
        judging.close_round(round_id=found.pk, by=lead, at=AT)
    late = make.user(role=Role.ENGINEER)
    with pytest.raises(Conflict, match="closed"):
        vote_all(found, pairs, late, of[0].pk)
    assert SuiteRun.objects.count() == 3


@pytest.mark.django_db
def test_too_few_votes_close_nothing_and_say_how_many_are_missing() -> None:
    found, of, pairs, lead = a_round(versions=2, cases=5)
    for voter in (make.user(role=Role.ENGINEER) for _ in range(2)):
        vote_all(found, pairs, voter, of[0].pk)
    with pytest.raises(Conflict, match="up to 2 more") as refused:
        judging.close_round(round_id=found.pk, by=lead, at=AT)
    assert refused.value.problems[0].code == "too_few_votes"
    assert not SuiteRun.objects.exists()
    with pytest.raises(Forbidden):
        judging.close_round(round_id=found.pk, by=make.user(role=Role.ENGINEER), at=AT)
    judging.call_off_round(round_id=found.pk, reason="Nobody has time", by=lead, at=AT)
    assert not SuiteRun.objects.exists()
    judging.open_round(suite_id=found.suite_id, harness="plain", by=lead, at=AT)


@pytest.mark.django_db
def test_one_round_of_a_suite_is_open_and_only_where_there_is_something_to_compare() -> None:
    found, _of, _pairs, lead = a_round()
    with pytest.raises(Conflict):
        judging.open_round(suite_id=found.suite_id, harness="plain", by=lead, at=AT)
    alone = suite_with_answers([make.model_version()])
    with pytest.raises(Invalid):
        judging.open_round(suite_id=alone.pk, harness="plain", by=lead, at=AT)
    with pytest.raises(Forbidden):
        judging.open_round(suite_id=alone.pk, harness="plain", by=make.user(role=Role.ENGINEER), at=AT)
    assert VotingRound.objects.count() == 1


# --- what votes say ---------------------------------------------------------------------------------------


def ballots(*rows: tuple[int, int, str], voters: int = 6, cases: int = 4) -> list[Ballot]:
    return [
        Ballot(case, voter, first, second, choice, first if (case + voter) % 2 else second)
        for case in range(cases)
        for voter in range(voters)
        for first, second, choice in rows
    ]


def test_preference_orders_as_the_votes_do_and_its_interval_holds_it() -> None:
    found = preferences(
        ballots((1, 2, "first"), (2, 3, "first"), (1, 3, "first"), (3, 4, "tie"), (1, 4, "neither")),
        [1, 2, 3, 4],
    )
    assert found[1].share > found[2].share > found[3].share
    for kept in found.values():
        assert 0 <= kept.low <= kept.share <= kept.high <= 1
    assert found[3].share == pytest.approx(found[4].share, abs=0.05)
    assert found[1].record == Record(won=48, tied=0, lost=0, neither=24)
    assert found[3].record.compared == 72


def test_two_versions_come_to_the_share_of_wins_that_bradley_and_terry_give() -> None:
    """30 wins of 40 and the one win and one loss against a middling one: the logit solves 30 + 1 = 40 s(2x) + 2 s(x)."""
    rows = [
        Ballot(case, voter, 1, 2, "first" if voter < 6 else "second", 1)
        for case in range(5)
        for voter in range(8)
    ]
    found = preferences(rows, [1, 2])
    assert found[1].share == pytest.approx(0.7428, abs=0.002)
    assert found[1].share + found[2].share == pytest.approx(1, abs=0.0002)
    again = preferences(rows, [1, 2])
    assert again == found


def test_people_who_each_stay_with_one_side_leave_the_result_open() -> None:
    """The same 40 votes: each person torn from case to case says more than two camps of people that never move."""
    torn = [
        Ballot(case, voter, 1, 2, "first" if (case + voter) % 2 else "second", 1)
        for case in range(10)
        for voter in range(4)
    ]
    camps = [Ballot(b.case, b.voter, 1, 2, "first" if b.voter % 2 else "second", 1) for b in torn]
    apart, together = preferences(camps, [1, 2])[1], preferences(torn, [1, 2])[1]
    assert apart.share == together.share
    assert apart.high - apart.low > 1.5 * (together.high - together.low)


def test_agreement_and_the_side_are_counted_over_votes_on_the_same_answers() -> None:
    rows = [
        Ballot(1, 1, 1, 2, "first", 1),
        Ballot(1, 2, 1, 2, "first", 2),
        Ballot(1, 3, 1, 2, "tie", 1),
        Ballot(2, 1, 1, 2, "second", 2),
    ]
    found = agreement(rows)
    assert (found.same, found.of) == (1, 3)
    assert left_preferred(rows) == (2, 3)


# --- runs that a program scored ---------------------------------------------------------------------------


def a_run(suite: TaskSuite, version: ModelVersion, by: User, **more: Any) -> SuiteRun:
    given: dict[str, Any] = {
        "metric": "pass rate",
        "harness": "plain",
        "sample_size": 50,
        "score": Decimal("0.62"),
        "evaluator": "Nightly job",
        "dated": date(2026, 8, 1),
        **more,
    }
    return judging.record_run(suite_id=suite.pk, model_version_id=version.pk, by=by, at=AT, **given)


@pytest.mark.django_db
def test_a_rate_without_an_interval_gets_wilsons() -> None:
    suite, version, engineer = make.suite(), make.model_version(), make.user(role=Role.ENGINEER)
    run = a_run(suite, version, engineer)
    assert (run.interval_low, run.interval_high) == (Decimal("0.4815"), Decimal("0.7414"))
    with pytest.raises(Conflict):
        a_run(suite, version, engineer)
    with pytest.raises(Invalid, match="keep to that"):
        a_run(suite, version, engineer, dated=date(2026, 8, 2), higher_is_better=False)
    assert SuiteRun.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"score": Decimal(62)}, "not_a_rate"),
        ({"metric": "points"}, "interval_missing"),
        ({"interval_low": Decimal("0.7"), "interval_high": Decimal("0.8")}, "score_outside"),
        ({"interval_low": Decimal("0.5")}, "half_an_interval"),
        ({"sample_size": 0}, "no_sample"),
        ({"dated": date(2026, 8, 15)}, "in_the_future"),
        ({"dated": date(2019, 8, 15)}, "before_release"),
        ({"evaluator": " "}, "evaluator_missing"),
        ({"metric": "Preference"}, "preference_is_voted"),
        ({"cost_usd": Decimal(-1)}, "below_zero"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_with_its_reason(wrong: dict[str, Any], code: str) -> None:
    version = make.model_version(released_on=date(2020, 1, 1))
    with pytest.raises(Invalid) as refused:
        a_run(make.suite(), version, make.user(role=Role.ENGINEER), **wrong)
    assert code in [problem.code for problem in refused.value.problems]
    assert not SuiteRun.objects.exists()


# --- the best comparable evidence -------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_task_speaks_through_one_ranking_our_own_first(
    django_assert_num_queries: Any,
) -> None:
    area = task("coding")
    one, other, third = (sold(area).model_version for _ in range(3))
    assert one is not None
    assert other is not None
    assert third is not None
    for version, score in ((one, "61.0"), (other, "55.0"), (third, "40.0")):
        result(version.offerings.get(), score, area=area, sample_size=200)
    with django_assert_num_queries(2):
        published = quality([one.pk, other.pk, third.pk], [area.pk])
    assert {found.kind for found in published.values()} == {"published"}
    assert (published[area.pk, one.pk].scale, len(published)) == (100, 3)
    suite = make.suite(task="coding")
    make.suite_run(suite=suite, version=one)
    assert {found.kind for found in quality([one.pk, other.pk], [area.pk]).values()} == {"published"}
    assert quality([one.pk], [area.pk])[area.pk, one.pk].kind == "internal"
    make.suite_run(suite=suite, version=one, dated=date(2026, 7, 1), score=("0.60", "0.70", "0.80"))
    make.suite_run(suite=suite, version=other, harness="another")
    make.suite_run(suite=suite, version=other)
    found = quality([one.pk, other.pk, third.pk], [area.pk])
    assert set(found) == {(area.pk, one.pk), (area.pk, other.pk)}
    assert len({entry.key for entry in found.values()}) == 1
    assert found[area.pk, one.pk].score == Decimal("0.7000")
    before = quality([one.pk, other.pk], [area.pk], on=date(2026, 6, 30))
    assert before[area.pk, one.pk].score == Decimal("0.5000")
    assert quality([one.pk], [task("slides").pk]) == {}


@pytest.mark.django_db
def test_two_rounds_are_two_rankings() -> None:
    """A share of wins against another field means something else."""
    found, of, pairs, lead = a_round(versions=2, cases=4)
    for best, day in ((of[0], AT), (of[1], AT + timedelta(days=1))):
        if best == of[1]:
            found = judging.open_round(suite_id=found.suite_id, harness="plain", by=lead, at=day)
        for voter in (make.user(role=Role.ENGINEER) for _ in range(3)):
            vote_all(found, pairs, voter, best.pk)
        judging.close_round(round_id=found.pk, by=lead, at=day)
    area = found.suite.task_area_id
    newest = quality([v.pk for v in of], [area])
    assert {entry.key.round for entry in newest.values() if isinstance(entry.key, register.RunKey)} == {
        found.pk
    }
    assert register.in_order({version: entry for (_area, version), entry in newest.items()})[0][0] == of[1].pk


@pytest.mark.django_db
def test_votes_and_answers_cannot_be_changed() -> None:
    found, of, pairs, _lead = a_round(versions=2)
    vote_all(found, pairs, make.user(role=Role.ENGINEER), of[0].pk)
    for table in ("marketplace_pairvote", "marketplace_answer"):
        with pytest.raises(Exception, match=r"permission denied|append"), transaction.atomic():
            connection.cursor().execute(f"DELETE FROM {table}")  # noqa: S608 -- names from the line above
