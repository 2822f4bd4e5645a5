"""One suite: its cases, its rounds with what they came to, its runs over time, and the features that rest on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from marketplace.models import Binding, SuiteRun, TaskSuite, VotingRound
from marketplace.selectors.sourcing.preference import (
    Agreement,
    Record,
    agreement,
    left_preferred,
    records,
)
from marketplace.selectors.sourcing.rounds import ballots_of, suites


@dataclass(frozen=True, slots=True)
class SuiteLine:
    """A suite in the list. runs: how many are recorded, and the newest of them; round: the open one."""

    suite: TaskSuite
    cases: int
    runs: int
    newest: SuiteRun | None
    round: VotingRound | None


def suite_lines() -> list[SuiteLine]:
    """Every suite's newest version. 5 queries, whatever the number of suites."""
    found = list(suites())
    ids = [suite.pk for suite in found]
    cases = dict(
        TaskSuite.objects.filter(pk__in=ids).annotate(n=Count("cases")).values_list("pk", "n").order_by()
    )
    runs = dict(
        TaskSuite.objects.filter(pk__in=ids).annotate(n=Count("runs")).values_list("pk", "n").order_by()
    )
    newest = {
        run.suite_id: run
        for run in SuiteRun.objects.filter(suite__in=ids)
        .order_by("suite_id", "-dated", "-id")
        .distinct("suite_id")
    }
    rounds = {
        each.suite.slug: each
        for each in VotingRound.objects.filter(closed_at=None).select_related("suite__task_area")
    }
    return [
        SuiteLine(
            suite,
            cases.get(suite.pk, 0),
            runs.get(suite.pk, 0),
            newest.get(suite.pk),
            rounds.get(suite.slug),
        )
        for suite in found
    ]


def suite_named(slug: str, version: str = "") -> TaskSuite | None:
    """That version of the suite, else its newest. 1 query."""
    found = TaskSuite.objects.filter(slug=slug).select_related("task_area").order_by("-id")
    return (found.filter(version=version) if version else found).first()


def runs_of(suite: TaskSuite) -> list[SuiteRun]:
    """Newest first; of one day and metric the best first. 1 query."""
    runs = SuiteRun.objects.filter(suite=suite).select_related("model_version__model__publisher", "suite")
    return sorted(
        runs,
        key=lambda run: (
            -run.dated.toordinal(),
            run.metric,
            run.harness,
            -run.score if run.higher_is_better else run.score,
            run.pk,
        ),
    )


@dataclass(frozen=True, slots=True)
class RoundLine:
    """A round in numbers. What people chose is counted only of a closed one that has a result.

    left    Of the votes that preferred one, how often it was the left one, and how many there were.
    """

    round: VotingRound
    votes: int
    voters: int
    runs: Sequence[SuiteRun]
    agreement: Agreement | None = None
    left: tuple[int, int] = (0, 0)
    records: Sequence[tuple[SuiteRun, Record]] = ()

    @property
    def state(self) -> str:
        """open, closed, or called_off: closed without a result."""
        if self.round.closed_at is None:
            return "open"
        return "closed" if self.runs else "called_off"


def rounds_of(suite: TaskSuite, runs: Iterable[SuiteRun]) -> list[RoundLine]:
    """Newest first, of every version of the suite. 1 query, and 1 for each of the newest two closed rounds."""
    by_round: dict[int, list[SuiteRun]] = {}
    for run in runs:
        if run.round_id is not None:
            by_round.setdefault(run.round_id, []).append(run)
    found = (
        VotingRound.objects.filter(suite=suite)
        .annotate(n=Count("votes"), people=Count("votes__voter", distinct=True))
        .select_related("suite", "opened_by", "closed_by")
        .order_by("-opened_at", "-id")
    )
    lines, told = [], 0
    for each in found:
        own = by_round.get(each.pk, [])
        if not own or told == 2:
            lines.append(RoundLine(each, each.n, each.people, own))
            continue
        told += 1
        ballots = ballots_of(each)
        counted = records(ballots, [run.model_version_id for run in own])
        lines.append(
            RoundLine(
                each,
                each.n,
                each.people,
                own,
                agreement(ballots),
                left_preferred(ballots),
                [(run, counted[run.model_version_id]) for run in own],
            )
        )
    return lines


def citing(suite: TaskSuite) -> QuerySet[Binding]:
    """Bindings that a run of the suite justifies, in force, newest first. 1 query."""
    return (
        Binding.objects.filter(run__suite=suite, superseded_at=None)
        .select_related("feature__product", "model_version__model", "run")
        .order_by("-effective", "feature__position", "id")
    )
