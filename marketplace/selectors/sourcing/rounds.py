"""Rounds of blind votes: which pairs there are, which one somebody judges next, and how far a round is.

A pair is shown under a token that says nothing: a keyed hash of round, voter and pair, found again by working it out for
every pair. On which side an answer stands is drawn from the same key, so that it is as chance has it and yet the same
whenever the same person sees the pair. Nothing here tells what an open round came to.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from django.db.models import Count, QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac

from marketplace.models import Answer, PairVote, TaskSuite, VotingRound
from marketplace.selectors.sourcing.preference import Ballot

LEAST: Final = 12  # votes that compare a model version, before a round says anything of it
SALT: Final = "marketplace.judging"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one case. first and second: answer ids in order; the versions are theirs."""

    case: int
    first: int
    second: int
    first_version: int
    second_version: int

    @property
    def key(self) -> tuple[int, int]:
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair as its voter sees it."""

    pair: Pair
    token: str
    prompt: str
    left: str
    right: str
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one person is in a round; votes and voters of all."""

    done: int
    pairs: int
    votes: int
    voters: int

    @property
    def left(self) -> int:
        return self.pairs - self.done


def open_round(suite_slug: str) -> VotingRound | None:
    """The open round of a suite, whatever its version. 1 query."""
    return (
        VotingRound.objects.filter(suite__slug=suite_slug, closed_at=None)
        .select_related("suite__task_area")
        .order_by("-suite_id")
        .first()
    )


def pairs_of(suite_id: int, harness: str) -> list[Pair]:
    """Every two answers of different model versions to the same case under one harness. 1 query."""
    by_case: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for case, answer, version in (
        Answer.objects.filter(case__suite=suite_id, harness=harness)
        .order_by("case__number", "id")
        .values_list("case_id", "id", "model_version_id")
    ):
        by_case[case].append((answer, version))
    return [
        Pair(case, one, other, of_one, of_other)
        for case, answers in by_case.items()
        for (one, of_one), (other, of_other) in combinations(answers, 2)
    ]


def contenders(pairs: Iterable[Pair]) -> list[int]:
    """Model version ids, in order."""
    return sorted({version for pair in pairs for version in (pair.first_version, pair.second_version)})


def token_of(round_id: int, voter_id: int, pair: Pair) -> str:
    """32 hex digits that only this voter's pair in this round has."""
    return _hash("pair", round_id, voter_id, pair)[:32]


def pair_behind(token: str, round_id: int, voter_id: int, pairs: Iterable[Pair]) -> Pair | None:
    """None for another person's token, another round's, or an invented one."""
    return next((p for p in pairs if constant_time_compare(token_of(round_id, voter_id, p), token)), None)


def left_of(round_id: int, voter_id: int, pair: Pair) -> int:
    """Id of the answer that stands on the left: by chance, and the same every time."""
    return pair.first if int(_hash("side", round_id, voter_id, pair)[0], 16) % 2 else pair.second


def _hash(what: str, round_id: int, voter_id: int, pair: Pair) -> str:
    value = f"{round_id}:{voter_id}:{pair.first}:{pair.second}"
    return salted_hmac(f"{SALT}.{what}", value, algorithm="sha256").hexdigest()


def next_pair(
    found: VotingRound, voter_id: int, pairs: Sequence[Pair], skipped: Collection[str] = ()
) -> Pair | None:
    """The pair that was voted on least, then of the least voted versions, then by chance; what was skipped comes last. 1 query."""
    votes = list(
        PairVote.objects.filter(round=found).values_list("voter_id", "first_id", "second_id").order_by()
    )
    times = Counter((first, second) for _voter, first, second in votes)
    done = {(first, second) for voter, first, second in votes if voter == voter_id}
    of_version: Counter[int] = Counter()
    for pair in pairs:
        of_version[pair.first_version] += times[pair.key]
        of_version[pair.second_version] += times[pair.key]

    def order(pair: Pair) -> tuple[bool, int, int, str]:
        token = token_of(found.pk, voter_id, pair)
        versions = of_version[pair.first_version] + of_version[pair.second_version]
        return token in skipped, times[pair.key], versions, token

    return min((pair for pair in pairs if pair.key not in done), key=order, default=None)


def shown(found: VotingRound, voter_id: int, pair: Pair) -> Shown:
    """What the page may know of a pair. 1 query."""
    answers = {
        answer.pk: answer
        for answer in Answer.objects.filter(pk__in=pair.key)
        .select_related("case")
        .only("text", "synthetic", "case__prompt")
    }
    left = left_of(found.pk, voter_id, pair)
    right = pair.second if left == pair.first else pair.first
    return Shown(
        pair,
        token_of(found.pk, voter_id, pair),
        answers[left].case.prompt,
        answers[left].text,
        answers[right].text,
        answers[left].synthetic or answers[right].synthetic,
    )


def standing(found: VotingRound, voter_id: int, pairs: int) -> Standing:
    """1 query."""
    counted = PairVote.objects.filter(round=found).values("voter_id").annotate(n=Count("id")).order_by()
    by_voter = {row["voter_id"]: row["n"] for row in counted}
    return Standing(by_voter.get(voter_id, 0), pairs, sum(by_voter.values()), len(by_voter))


def ballots_of(found: VotingRound) -> list[Ballot]:
    """Every vote of a round. 1 query. For closed rounds, and for closing one: an open round's are nobody's to see."""
    return [
        Ballot(*row)
        for row in PairVote.objects.filter(round=found)
        .order_by("id")
        .values_list(
            "first__case_id",
            "voter_id",
            "first__model_version_id",
            "second__model_version_id",
            "choice",
            "shown_left__model_version_id",
        )
    ]


def too_few(ballots: Iterable[Ballot], versions: Collection[int]) -> Mapping[int, int]:
    """Version id to how many more votes have to compare it; none missing, none named."""
    compared: Counter[int] = Counter()
    for ballot in ballots:
        if ballot.choice != "neither":
            compared.update((ballot.first, ballot.second))
    return {version: LEAST - compared[version] for version in versions if compared[version] < LEAST}


def suites() -> QuerySet[TaskSuite]:
    """The newest version of each suite, by task. 1 query."""
    newest = TaskSuite.objects.order_by("slug", "-id").distinct("slug").values("pk")
    return (
        TaskSuite.objects.filter(pk__in=newest)
        .select_related("task_area")
        .order_by("task_area__position", "name", "id")
    )
