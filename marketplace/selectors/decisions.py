"""Decisions as people read them: the register, what one takes the place of, and the policy as one page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db.models import Count, Q, QuerySet, TextChoices

from accounts.models import Role, User
from config import house as formats
from config.language import marked
from marketplace.extension import Change
from marketplace.models import CommercialPath, EligibilityDecision, Program, ScopeLevel
from marketplace.selectors.eligibility import in_force, reached, scope_name
from marketplace.selectors.visibility import SEES_EVERYTHING, offerings_for, publishers_for


class DecisionState(TextChoices):
    """Where a decision stands on a day."""

    PROPOSED = "proposed", marked("Waits for a check")
    ANNOUNCED = "announced", marked("Announced")
    IN_FORCE = "in_force", marked("In force")
    ENDED = "ended", marked("Ended")
    SUPERSEDED = "superseded", marked("Superseded")
    WITHDRAWN = "withdrawn", marked("Withdrawn")


SEES_PROPOSALS: Final = (Role.CATALOG_MANAGER, Role.AUDITOR, Role.COMP_ADMIN)
STATES: Final = ("in_force", "announced", "proposed", "ended")
LEVELS: Final = {"path": 1, "publisher": 2, "offering": 3, "plan": 4}
WITH: Final = ("publisher", "offering__publisher", "plan__offering__publisher", "made_by", "checked_by")


def decisions_for(user: User) -> QuerySet[EligibilityDecision]:
    """Checked ones about what *user* may know of are for everybody; proposals for who decides, audits or pays by them."""
    rows = EligibilityDecision.objects.select_related(*WITH)
    if not user.has_role(*SEES_PROPOSALS):
        rows = rows.filter(checked_at__isnull=False)
    if user.has_role(*SEES_EVERYTHING):
        return rows
    offerings = offerings_for(user).values("pk")
    return rows.filter(
        Q(level=ScopeLevel.PATH)
        | Q(publisher__in=publishers_for(user).values("pk"))
        | Q(offering__in=offerings)
        | Q(plan__offering__in=offerings)
    )


def in_state(rows: QuerySet[EligibilityDecision], state: str, on: date) -> QuerySet[EligibilityDecision]:
    """Those of *rows* that are in one of STATES on *on*; what was withdrawn or superseded has ended."""
    return rows.filter(_being(state, on))


def counts_by_state(rows: QuerySet[EligibilityDecision], on: date) -> dict[str, int]:
    """How many of *rows* are in each of STATES. 1 query."""
    counted: dict[str, int] = rows.order_by().aggregate(
        **{state: Count("pk", filter=_being(state, on)) for state in STATES}
    )
    return counted


def _being(state: str, on: date) -> Q:
    standing = Q(superseded_at=None)
    checked = Q(checked_at__isnull=False)
    match state:
        case "proposed":
            return standing & ~checked
        case "announced":
            return standing & checked & Q(effective__startswith__gt=on)
        case "in_force":
            return standing & checked & Q(effective__contains=on)
    return ~standing | checked & Q(effective__endswith__lte=on)


def state_of(decision: EligibilityDecision, on: date) -> DecisionState:
    """withdrawn is what nobody had checked; what had been in force and was taken out of it is superseded."""
    if decision.superseded_at is not None:
        return DecisionState.SUPERSEDED if decision.checked_at is not None else DecisionState.WITHDRAWN
    if decision.checked_at is None:
        return DecisionState.PROPOSED
    span = decision.effective
    if span.lower is not None and span.lower > on:
        return DecisionState.ANNOUNCED
    return DecisionState.IN_FORCE if span.upper is None or on < span.upper else DecisionState.ENDED


def waiting() -> int:
    """Proposals that nobody has checked; what was proposed together counts as one. 1 query."""
    rows = EligibilityDecision.objects.filter(checked_at=None, superseded_at=None)
    together = rows.exclude(proposal="").values("proposal").distinct()
    return rows.filter(proposal="").count() + together.count()


def proposed_with(decision: EligibilityDecision) -> list[EligibilityDecision]:
    """The whole proposal that *decision* is a part of, itself included. 1 query."""
    if not decision.proposal:
        return [decision]
    return list(
        EligibilityDecision.objects.filter(proposal=decision.proposal).select_related(*WITH).order_by("id")
    )


# What a decision takes the place of.


@dataclass(frozen=True, slots=True)
class Replaced:
    """A decision in force that has to make room for a new one.

    ends      Its new last day's morrow; None: no day is left to it, it is superseded.
    goes_on   From this day on it holds again, as a decision of its own; None: it does not.
    """

    old: EligibilityDecision
    new: EligibilityDecision
    ends: date | None
    goes_on: date | None

    @property
    def text(self) -> str:
        said = (
            f"ends before {formats.day(self.ends, 'ever')}"
            if self.ends is not None
            else "is superseded: no day is left to it"
        )
        return (
            f"{said}, and holds again from {formats.day(self.goes_on)} on"
            if self.goes_on is not None
            else said
        )


def replaced_by(decisions: Sequence[EligibilityDecision], *, lock: bool = False) -> list[Replaced]:
    """What is in force for the same program and scope on some of the same days. 1 query, whatever their number.

    decisions   Kept or not, with their ids of scope.
    lock        Lock what is found until the transaction ends, in a stable order.
    """
    rows = EligibilityDecision.objects.filter(
        program__in={d.program for d in decisions},
        level__in={d.level for d in decisions},
        checked_at__isnull=False,
        superseded_at=None,
    ).filter(
        Q(commercial_path__in={d.commercial_path for d in decisions if d.commercial_path})
        | Q(publisher__in={d.publisher_id for d in decisions if d.publisher_id})
        | Q(offering__in={d.offering_id for d in decisions if d.offering_id})
        | Q(plan__in={d.plan_id for d in decisions if d.plan_id})
    )
    rows = rows.select_for_update() if lock else rows.select_related(*WITH)
    found: dict[tuple[object, ...], list[EligibilityDecision]] = {}
    for row in rows.order_by("id"):
        found.setdefault(_scope(row), []).append(row)
    return [
        Replaced(old, new, *_left(old, new))
        for new in decisions
        for old in found.get(_scope(new), ())
        if old.pk != new.pk and _overlap(old, new)
    ]


def _scope(d: EligibilityDecision) -> tuple[object, ...]:
    return d.program, d.level, d.commercial_path, d.publisher_id, d.offering_id, d.plan_id


def _overlap(one: EligibilityDecision, other: EligibilityDecision) -> bool:
    a, b = one.effective, other.effective
    return (a.upper is None or b.lower is None or b.lower < a.upper) and (
        b.upper is None or a.lower is None or a.lower < b.upper
    )


def _left(old: EligibilityDecision, new: EligibilityDecision) -> tuple[date | None, date | None]:
    was, takes = old.effective, new.effective
    before = takes.lower is not None and (was.lower is None or was.lower < takes.lower)
    after = takes.upper is not None and (was.upper is None or takes.upper < was.upper)
    return (takes.lower if before else None), (takes.upper if after else None)


# What a decision would move.


def change_of(decisions: Sequence[EligibilityDecision], what: str = "") -> Change:
    """As the catalog tells of it, and as others are asked what it hits: decisions of one proposal, of the same days.

    The program is quota where quota is among them: that one moves credit.
    """
    first = decisions[0]
    programs = {d.program for d in decisions}
    ids: list[int] = []
    for decision in decisions:
        if decision.offering_id is not None:
            ids.append(decision.offering_id)
        elif decision.plan is not None:
            ids.append(decision.plan.offering_id)
    return Change(
        "eligibility",
        what,
        tuple(dict.fromkeys(ids)) or None,
        first.effective.lower or date.min,
        program=Program.QUOTA.value if Program.QUOTA in programs else first.program,
        publisher_id=first.publisher_id,
        commercial_path=first.commercial_path,
        until=first.effective.upper,
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """How many offerings a proposal is about, and how many of them follow something more specific."""

    offerings: int
    kept: int


def reach_of(change: Change) -> Reach:
    """2 queries; published or not."""
    asked = {
        "offering_ids": change.offering_ids,
        "publisher_id": change.publisher_id,
        "commercial_path": change.commercial_path,
        "first_day": change.first_day,
        "until": change.until,
    }
    about = reached(program="", **asked).count()  # type: ignore[arg-type]  # the names are those of reached()
    moved = reached(program=change.program, **asked).count()  # type: ignore[arg-type]
    return Reach(about, about - moved)


# The policy.


@dataclass(frozen=True, slots=True)
class Default:
    """What holds by commercial path, in the order of the programs; None where nothing is decided."""

    path: str
    label: str
    cells: list[EligibilityDecision | None]


@dataclass(frozen=True, slots=True)
class Policy:
    """defaults: by path. exceptions: more specific, in force. coming: what is decided for later days, the nearest first."""

    defaults: list[Default]
    exceptions: list[EligibilityDecision]
    coming: list[EligibilityDecision]


def policy(user: User, on: date) -> Policy:
    """How everything is treated on *on*, as far as *user* may know of it. 2 queries."""
    rows = decisions_for(user)
    standing = list(rows.filter(pk__in=in_force(on).values("pk")).order_by("-level", "id"))
    order = {program.value: place for place, program in enumerate(Program)}
    by_path = {
        (d.commercial_path, d.program): d
        for d in sorted(standing, key=lambda d: d.pk)
        if d.level == ScopeLevel.PATH
    }
    exceptions = sorted(
        (d for d in standing if d.level != ScopeLevel.PATH),
        key=lambda d: (order[d.program], d.level, scope_name(d), d.pk),
    )
    coming = sorted(
        in_state(rows.filter(checked_at__isnull=False), "announced", on),
        key=lambda d: (d.effective.lower, order[d.program], d.level, d.pk),
    )
    return Policy(
        [
            Default(path.value, path.label, [by_path.get((path.value, program.value)) for program in Program])
            for path in CommercialPath
        ],
        exceptions,
        coming,
    )


def about(decision: EligibilityDecision) -> str:
    """The scope in words that stand alone: a plan with its offering."""
    if decision.plan is not None:
        return f"{decision.plan.offering.name}, plan {decision.plan.name}"
    if decision.commercial_path:
        return f"Commercial path: {CommercialPath(decision.commercial_path).label}"
    name = scope_name(decision)
    return name[:1].upper() + name[1:]


def abouts(decisions: Iterable[EligibilityDecision]) -> list[str]:
    return list(dict.fromkeys(about(decision) for decision in decisions))
