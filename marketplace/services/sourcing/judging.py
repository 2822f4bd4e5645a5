"""Judging models ourselves: rounds of blind votes, and runs that a program scored. What is recorded is never rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.models import User
from config import clock
from config.refusals import Conflict, Invalid, NotFound, Problem, refuse_if_any
from marketplace.models import Choice, ModelVersion, PairVote, SuiteRun, TaskSuite, VotingRound
from marketplace.selectors.evidence import RATE_WORDS
from marketplace.selectors.sourcing.judging import FOUR_PLACES, PREFERENCE, interval_of_rate
from marketplace.selectors.sourcing.preference import preferences
from marketplace.selectors.sourcing.rounds import (
    LEAST,
    ballots_of,
    contenders,
    left_of,
    pair_behind,
    pairs_of,
    too_few,
)
from marketplace.services.sourcing.access import must_judge, must_lead_sourcing

LEFT: Final = "left"
RIGHT: Final = "right"
CHOICES: Final = (LEFT, RIGHT, Choice.TIE.value, Choice.NEITHER.value)


@transaction.atomic
def open_round(
    *, suite_id: int, harness: str, by: User, at: datetime, synthetic: bool = False
) -> VotingRound:
    """Let people vote on every pair of answers that a suite has under a harness. Raises Forbidden, NotFound, Conflict, Invalid."""
    acting(by=by, at=at, reason="Opened for blind votes")
    must_lead_sourcing(by)
    suite = TaskSuite.objects.select_for_update(no_key=True).filter(pk=suite_id).first()
    if suite is None:
        raise NotFound.of("unknown_suite", "There is no such suite.")
    if VotingRound.objects.filter(suite=suite, closed_at=None).exists():
        raise Conflict.of(
            "round_is_open", "A round of this suite is open. Close it before another one is opened."
        )
    if not pairs_of(suite.pk, harness):
        raise Invalid.of(
            "nothing_to_compare",
            "No case of this suite has answers of two model versions under this harness.",
            "/harness",
        )
    return VotingRound.objects.create(
        suite=suite, harness=harness, opened_by=by, opened_at=at, synthetic=synthetic
    )


@dataclass(frozen=True, slots=True)
class Cast:
    """A vote, and whether it is new: a pair that was voted on before keeps its first vote."""

    vote: PairVote
    new: bool


@transaction.atomic
def cast_vote(*, round_id: int, token: str, choice: str, by: User, at: datetime) -> Cast:
    """One person's choice on the pair that they were shown under *token*. Safe to send twice.

    choice   left, right, tie or neither.
    Raises   Forbidden, NotFound (unknown_pair: not this person's token), Conflict (round_is_closed), Invalid.
    """
    acting(by=by, at=at, reason="Voted blind")
    must_judge(by)
    if choice not in CHOICES:
        raise Invalid.of(
            "unknown_choice", "Choose A, B, equally good, or neither; then the vote counts.", "/choice"
        )
    found = _round(round_id)
    pair = pair_behind(token, found.pk, by.pk, pairs_of(found.suite_id, found.harness))
    if pair is None:
        raise NotFound.of(
            "unknown_pair", "That pair was not shown to you. Vote on the one that is shown now."
        )
    earlier = PairVote.objects.filter(
        round=found, voter=by, first_id=pair.first, second_id=pair.second
    ).first()
    if earlier is not None:
        return Cast(earlier, new=False)
    if found.closed_at is not None:
        raise Conflict.of("round_is_closed", "The round is closed: votes count no more.")
    left = left_of(found.pk, by.pk, pair)
    if choice in (LEFT, RIGHT):
        better = left if choice == LEFT else pair.first + pair.second - left
        choice = Choice.FIRST if better == pair.first else Choice.SECOND
    vote = PairVote.objects.create(
        round=found,
        first_id=pair.first,
        second_id=pair.second,
        shown_left_id=left,
        choice=choice,
        voter=by,
        at=at,
    )
    return Cast(vote, new=True)


@transaction.atomic
def close_round(*, round_id: int, by: User, at: datetime) -> list[SuiteRun]:
    """End the votes and record what each model version came to, best first.

    Raises Forbidden, NotFound, Conflict (round_is_closed; too_few_votes, with how many are missing).
    """
    acting(by=by, at=at, reason="Closed a round of blind votes")
    must_lead_sourcing(by)
    found = _round(round_id)
    if found.closed_at is not None:
        raise Conflict.of("round_is_closed", "The round is closed already; its runs are recorded.")
    ballots = ballots_of(found)
    versions = contenders(pairs_of(found.suite_id, found.harness))
    missing = too_few(ballots, versions)
    if missing:
        most = max(missing.values())
        whom = (
            "every model version"
            if len(missing) == len(versions)
            else f"{len(missing)} of the model versions"
        )
        raise Conflict.of(
            "too_few_votes",
            f"Each model version needs {LEAST} votes that compare it with another; {whom} still need"
            f"{'s' if len(missing) == len(versions) or len(missing) == 1 else ''} up to {most} more."
            " Ask for more votes, or call the round off.",
        )
    day = clock.day_of(at)
    taken = set(
        SuiteRun.objects.filter(
            suite=found.suite_id, metric=PREFERENCE, harness=found.harness, dated=day
        ).values_list("model_version_id", flat=True)
    )
    if taken:
        raise Conflict.of(
            "run_recorded_today",
            "A round of this suite and harness was closed today. Close this one tomorrow.",
        )
    voters = len({ballot.voter for ballot in ballots})
    made = SuiteRun.objects.bulk_create(
        SuiteRun(
            suite_id=found.suite_id,
            model_version_id=version,
            round=found,
            metric=PREFERENCE,
            harness=found.harness,
            sample_size=won.record.compared,
            score=_decimal(won.share),
            interval_low=_decimal(won.low),
            interval_high=_decimal(won.high),
            evaluator=f"{voters} {'person' if voters == 1 else 'people'}, blind",
            dated=day,
            synthetic=found.synthetic,
            recorded_by=by,
            recorded_at=at,
        )
        for version, won in preferences(ballots, versions).items()
    )
    _close(found, by, at)
    return sorted(made, key=lambda run: (-run.score, run.model_version_id))


@transaction.atomic
def call_off_round(*, round_id: int, reason: str, by: User, at: datetime) -> VotingRound:
    """End the votes without a result; they stay, and count for nothing. Raises Forbidden, NotFound, Conflict, Invalid."""
    if not reason.strip():
        raise Invalid.of("reason_missing", "Say why the round is called off.", "/reason")
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _round(round_id)
    if found.closed_at is not None:
        raise Conflict.of("round_is_closed", "The round is closed already.")
    _close(found, by, at)
    return found


def _round(round_id: int) -> VotingRound:
    """Locked, so that no vote comes in while it is closed, and two of one person come one after the other."""
    found = VotingRound.objects.select_for_update().filter(pk=round_id).first()
    if found is None:
        raise NotFound.of("unknown_round", "There is no such round.")
    return found


def _close(found: VotingRound, by: User, at: datetime) -> None:
    found.closed_by, found.closed_at = by, at
    found.save(update_fields=["closed_by", "closed_at"])


def _decimal(value: float) -> Decimal:
    return Decimal(value).quantize(FOUR_PLACES)


def is_rate(metric: str) -> bool:
    """Whether the metric's name says that it is a share of the cases."""
    return any(word in metric.lower() for word in RATE_WORDS)


@transaction.atomic
def record_run(
    *,
    suite_id: int,
    model_version_id: int,
    metric: str,
    harness: str,
    sample_size: int,
    score: Decimal,
    evaluator: str,
    dated: date,
    by: User,
    at: datetime,
    higher_is_better: bool = True,
    interval_low: Decimal | None = None,
    interval_high: Decimal | None = None,
    cost_usd: Decimal | None = None,
    latency_s: Decimal | None = None,
    synthetic: bool = False,
) -> SuiteRun:
    """What a program found a model version to reach on a suite.

    score     In its metric's unit; a rate (pass rate, accuracy) is a fraction of 0 to 1.
    interval  95 %; left out for a rate, it is Wilson's.
    Raises    Forbidden, Invalid (everything that is wrong at once), Conflict (run_is_recorded).
    """
    acting(by=by, at=at, reason="Recorded a run")
    must_judge(by)
    metric, harness, evaluator = metric.strip(), harness.strip(), evaluator.strip()
    version = ModelVersion.objects.filter(pk=model_version_id).first()
    # Taken one after the other, so that the same run sent twice is refused and not a failure of the database.
    suite = TaskSuite.objects.select_for_update(no_key=True).filter(pk=suite_id).first()
    if suite is None:
        raise NotFound.of("unknown_suite", "There is no such suite.")
    problems = [
        *_named(metric, harness, evaluator, version),
        *_figures(metric, sample_size, score, (interval_low, interval_high), (cost_usd, latency_s)),
        *_days(version, dated, clock.day_of(at)),
    ]
    refuse_if_any(problems)
    if interval_low is None or interval_high is None:
        interval_low, interval_high = interval_of_rate(score, sample_size)
    if SuiteRun.objects.filter(
        suite=suite, model_version=version, metric=metric, harness=harness, dated=dated
    ).exists():
        raise Conflict.of(
            "run_is_recorded",
            "A run of this model version with this metric and harness is recorded for that day.",
        )
    known = SuiteRun.objects.filter(suite=suite, metric=metric, harness=harness).first()
    if known is not None and known.higher_is_better != higher_is_better:
        raise Invalid.of(
            "direction_differs",
            f"Of {metric} more is {'better' if known.higher_is_better else 'worse'} in the runs so far: keep to that.",
            "/higher_is_better",
        )
    return SuiteRun.objects.create(
        suite=suite,
        model_version_id=model_version_id,
        metric=metric,
        higher_is_better=higher_is_better,
        harness=harness,
        sample_size=sample_size,
        score=score,
        interval_low=interval_low,
        interval_high=interval_high,
        cost_usd=cost_usd,
        latency_s=latency_s,
        evaluator=evaluator,
        dated=dated,
        synthetic=synthetic,
        recorded_by=by,
        recorded_at=at,
    )


def _named(metric: str, harness: str, evaluator: str, version: ModelVersion | None) -> list[Problem]:
    problems = [
        Problem(f"{name}_missing", f"Name the {name}.", f"/{name}")
        for name, given in (("metric", metric), ("harness", harness), ("evaluator", evaluator))
        if not given
    ]
    if metric.lower() == PREFERENCE:
        problems.append(
            Problem("preference_is_voted", "A preference comes out of a round of blind votes.", "/metric")
        )
    if version is None:
        problems.append(Problem("unknown_model", "Name a model version of the catalog.", "/model_version"))
    return problems


def _figures(
    metric: str,
    sample_size: int,
    score: Decimal,
    interval: tuple[Decimal | None, Decimal | None],
    costs: Sequence[Decimal | None],
) -> list[Problem]:
    problems = []
    low, high = interval
    if sample_size < 1:
        problems.append(Problem("no_sample", "Say on how many cases: one or more.", "/sample_size"))
    rate = is_rate(metric)
    if rate and not 0 <= score <= 1:
        problems.append(Problem("not_a_rate", "A rate is a fraction: 0.62, not 62.", "/score"))
    if (low is None) != (high is None):
        problems.append(
            Problem("half_an_interval", "Give both ends of the interval, or none.", "/interval_low")
        )
    elif low is not None and high is not None:
        if not low <= score <= high:
            problems.append(
                Problem("score_outside", "The score has to lie in its own interval.", "/interval_low")
            )
        elif rate and not 0 <= low <= high <= 1:
            problems.append(Problem("not_a_rate", "The interval of a rate lies in 0 to 1.", "/interval_low"))
    elif not rate:
        problems.append(
            Problem(
                "interval_missing",
                "Give the 95 % interval: it follows from the number of cases only for a rate.",
                "/interval_low",
            )
        )
    problems += [
        Problem("below_zero", "It cannot be below zero.", f"/{name}")
        for name, given in zip(("cost_usd", "latency_s"), costs, strict=True)
        if given is not None and given < 0
    ]
    return problems


def _days(version: ModelVersion | None, dated: date, today: date) -> list[Problem]:
    if dated > today:
        return [Problem("in_the_future", "A run is recorded once it has been made.", "/dated")]
    if version is not None and version.released_on is not None and dated < version.released_on:
        return [
            Problem(
                "before_release",
                f"{version} was released on {version.released_on:%-d %B %Y}: it cannot have run before.",
                "/dated",
            )
        ]
    return []
