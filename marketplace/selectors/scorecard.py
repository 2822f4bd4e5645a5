"""How one publisher's catalog stands: what is known, priced, proven, changed and announced. Its own people see more of it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from accounts.models import User
from config import clock
from marketplace.extension import sales_between
from marketplace.models import (
    ChangeSet,
    ChangeSetState,
    Lifecycle,
    Offering,
    OfferingRevision,
    Plan,
    PriceRow,
    PricingForm,
    Publication,
    Publisher,
    PublisherMembership,
    TaskArea,
)
from marketplace.selectors.evidence import Cell, task_matrix
from marketplace.selectors.footing import Sold
from marketplace.selectors.visibility import SEES_EVERYTHING, offerings_for

CAPABILITIES: Final = ("reasoning", "tool_call", "structured_output", "attachment", "temperature")
WAITING: Final = (ChangeSetState.SUBMITTED, ChangeSetState.IN_REVIEW)
NEED_NO_LIST: Final = (PricingForm.FREE, PricingForm.BYOL)
POLICY_DAYS: Final = 120  # 30 days as legacy, then 90 without new deals


@dataclass(frozen=True, slots=True)
class FactCover:
    """One fact and of how many offerings it is known."""

    label: str
    known: int
    of: int

    @property
    def complete(self) -> bool:
        return self.known == self.of

    @property
    def unknown(self) -> int:
        return self.of - self.known


@dataclass(frozen=True, slots=True)
class PriceCover:
    """Public plans on the day: with every amount known, with some unknown, without a price in effect."""

    known: int
    partly: int
    none: int

    @property
    def plans(self) -> int:
        return self.known + self.partly + self.none


@dataclass(frozen=True, slots=True)
class TurnRound:
    """Change sets: decided ones with the median time from submission, and those that wait."""

    decided: int
    applied: int
    returned: int
    waiting: int
    median: timedelta | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A retirement and how long before it was told.

    told   The first day from which it was; None where it is known today and nothing says since when.
    days   Of notice, at least; None for a past one of which nothing is known.
    """

    offering: Offering
    retires_on: date
    told: date | None
    days: int | None

    @property
    def enough(self) -> bool | None:
        """As the policy asks; None where it is not known."""
        return None if self.days is None else self.days >= POLICY_DAYS


@dataclass(frozen=True, slots=True)
class TaskScore:
    task_area: TaskArea
    offerings: int
    cell: Cell


@dataclass(frozen=True, slots=True)
class Scorecard:
    """One publisher on one day.

    inside        For its own people and the catalog's keepers: with what is not published, and its change sets.
    publications  Offerings by publication; outside only published ones.
    sold          What the user may see of it in [since, until); None where that is nothing.
    """

    publisher: Publisher
    on: date
    inside: bool
    offerings: int
    stages: list[tuple[Lifecycle, int]]
    publications: list[tuple[Publication, int]]
    facts: list[FactCover]
    prices: PriceCover
    tasks: list[TaskScore]
    notices: list[Notice]
    turn_round: TurnRound | None
    sold: Sold | None
    since: date
    until: date

    @property
    def known(self) -> int:
        return sum(fact.known for fact in self.facts)

    @property
    def knowable(self) -> int:
        return sum(fact.of for fact in self.facts)


def scorecard(
    publisher: Publisher, user: User, on: date, *, since: date | None = None, until: date | None = None
) -> Scorecard:
    """What *user* may know of *publisher* on *on*. 14 queries, whatever the number of offerings.

    since, until   Half-open span of the deals; a year up to and with *on* unless given.
    """
    until = until or on + timedelta(days=1)
    since = since or until - timedelta(days=365)
    inside = (
        user.has_role(*SEES_EVERYTHING)
        or PublisherMembership.objects.filter(user=user, publisher=publisher).exists()
    )
    visible = offerings_for(user).filter(publisher=publisher)
    some_task = Offering.task_areas.through._default_manager.filter(offering=OuterRef("pk"))
    offerings = list(
        visible.select_related("model_version__model")
        .annotate(has_tasks=Exists(some_task))
        .order_by("name", "id")
    )
    stages = Counter(o.lifecycle_on(on) for o in offerings)
    publications = Counter(o.publication for o in offerings)
    own = {o.pk for o in offerings}
    sold = [s for s in sales_between(user, since, until) if s.offering_id in own]
    value: Counter[str] = Counter()
    for each in sold:
        value.update(each.value_minor)
    return Scorecard(
        publisher=publisher,
        on=on,
        inside=inside,
        offerings=len(offerings),
        stages=[(stage, stages[stage]) for stage in Lifecycle if stages[stage]],
        publications=[(p, publications[p]) for p in Publication if publications[p]],
        facts=_facts(offerings),
        prices=_prices(visible, on),
        tasks=_tasks(visible, publisher, on),
        notices=_notices(offerings, on),
        turn_round=_turn_round(publisher) if inside else None,
        sold=Sold(sum(s.deals for s in sold), dict(value)) if sold else None,
        since=since,
        until=until,
    )


def _facts(offerings: Sequence[Offering]) -> list[FactCover]:
    """Unknown is null or empty; what has no model cannot know a model's facts."""
    versions = [o.model_version for o in offerings if o.model_version is not None]
    every, models = len(offerings), len(versions)
    covers = [
        FactCover("Summary", sum(bool(o.summary) for o in offerings), every),
        FactCover("Task areas", sum(getattr(o, "has_tasks", False) for o in offerings), every),
        FactCover("Source of the commercial path", sum(bool(o.path_basis) for o in offerings), every),
        FactCover("First day on sale", sum(bool(o.available_on or o.preview_on) for o in offerings), every),
        FactCover("Context", sum(v.context_window is not None for v in versions), models),
        FactCover("Longest output", sum(v.max_output is not None for v in versions), models),
        FactCover("Takes in", sum(v.modalities_in is not None for v in versions), models),
        FactCover("Gives out", sum(v.modalities_out is not None for v in versions), models),
        FactCover("Languages", sum(v.languages is not None for v in versions), models),
        FactCover("Knowledge cut-off", sum(bool(v.knowledge_cutoff) for v in versions), models),
        FactCover("Release", sum(v.released_on is not None for v in versions), models),
        FactCover("Open weights or not", sum(v.model.open_weights is not None for v in versions), models),
        FactCover(
            "Capabilities",
            sum(v.capabilities.get(name) is not None for v in versions for name in CAPABILITIES),
            models * len(CAPABILITIES),
        ),
    ]
    return [cover for cover in covers if cover.of]


def _prices(visible: QuerySet[Offering], on: date) -> PriceCover:
    """Of what has not retired; free and bring-your-own plans need no list. 1 query."""
    amounts = PriceRow.objects.filter(
        version__plan=OuterRef("pk"),
        version__superseded_at=None,
        version__private_offer=None,
        version__effective__contains=on,
    )
    counted = (
        Plan.objects.filter(offering__in=visible.exclude(retires_on__lte=on).values("pk"), is_public=True)
        .exclude(withdrawn_on__lte=on)
        .annotate(priced=Exists(amounts), unknown=Exists(amounts.filter(amount=None)))
        .aggregate(
            plans=Count("pk"),
            partly=Count("pk", filter=Q(unknown=True)),
            none=Count("pk", filter=Q(priced=False) & ~Q(pricing_form__in=NEED_NO_LIST)),
        )
    )
    known = counted["plans"] - counted["partly"] - counted["none"]
    return PriceCover(known, counted["partly"], counted["none"])


def _tasks(visible: QuerySet[Offering], publisher: Publisher, on: date) -> list[TaskScore]:
    """The tasks that it serves or has evidence in."""
    return [
        TaskScore(row.task_area, row.offerings, row.cells.get(publisher.pk, Cell(0, 0)))
        for row in task_matrix(visible, on)
        if row.offerings or publisher.pk in row.cells
    ]


def _notices(offerings: Sequence[Offering], on: date) -> list[Notice]:
    """Retirements, the next one last. Told is the first of: legacy, deprecated, and the day of a later revision that says so. 1 query."""
    retiring = {o.pk: o for o in offerings if o.retires_on is not None}
    recorded: dict[int, date] = {}
    seen: dict[int, int] = defaultdict(int)
    for revision in OfferingRevision.objects.filter(offering__in=retiring).order_by("offering_id", "number"):
        offering = retiring[revision.offering_id]
        seen[offering.pk] += 1
        says = revision.body.get("retires_on") == (offering.retires_on and offering.retires_on.isoformat())
        if says and seen[offering.pk] > 1:  # the first one says only how it read when records began
            recorded.setdefault(offering.pk, clock.day_of(revision.recorded_at))
    notices = []
    for offering in retiring.values():
        retires = offering.retires_on
        if retires is None:
            continue
        told = min(
            (
                day
                for day in (recorded.get(offering.pk), offering.legacy_on, offering.deprecated_on)
                if day is not None and day <= retires
            ),
            default=None,
        )
        if told is not None and told > on:  # its days are still to come, yet it is announced
            told = None
        by = told or (on if on < retires else None)
        notices.append(Notice(offering, retires, told, (retires - by).days if by else None))
    return sorted(notices, key=lambda n: (n.retires_on, n.offering.name), reverse=True)


def _turn_round(publisher: Publisher) -> TurnRound:
    """1 query."""
    states: Counter[str] = Counter()
    times: list[timedelta] = []
    for state, submitted, reviewed in ChangeSet.objects.filter(publisher=publisher).values_list(
        "state", "submitted_at", "reviewed_at"
    ):
        states[state] += 1
        if submitted is not None and reviewed is not None and reviewed >= submitted:
            times.append(reviewed - submitted)
    return TurnRound(
        decided=len(times),
        applied=states[ChangeSetState.APPLIED],
        returned=states[ChangeSetState.CHANGES_REQUESTED] + states[ChangeSetState.REJECTED],
        waiting=sum(states[state] for state in WAITING),
        median=timedelta(seconds=median(t.total_seconds() for t in times)) if times else None,
    )
