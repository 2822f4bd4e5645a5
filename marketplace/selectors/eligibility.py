"""How offerings are treated on a day. The most specific decision in force wins: plan, offering, publisher, path.

The same resolution as the crediting engine's SQL: checked and not superseded, its span holds the day, highest level,
then highest id. Nothing in force is "not decided", which counts for nothing and is not the same as a decided zero.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import OuterRef, Q, QuerySet, Subquery

from config import formats, house
from config.language import marked, spoken
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    Plan,
    PricingForm,
    Program,
    ScopeLevel,
)

ONE: Final = 1_000_000  # all of it, in parts per million
NEVER_DRAW_DOWN: Final = (PricingForm.FREE, PricingForm.BYOL)
STRIP: Final = (Program.QUOTA, Program.COMMITMENT, Program.CREDITS, Program.RESALE)

# In full, not at all, in part.
_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    Program.QUOTA: (marked("Counts in full"), marked("Does not count"), marked("Counts %(share)s")),
    Program.COMMITMENT: (marked("Draws down"), marked("No draw-down"), marked("Draws down %(share)s")),
    Program.CREDITS: (marked("Accepted"), marked("Not accepted"), marked("Accepted %(share)s")),
    Program.RESALE: (marked("Allowed"), marked("Not allowed"), marked("Allowed %(share)s")),
    Program.CO_SELL: (marked("Yes"), marked("No"), marked("Yes %(share)s")),
}


@dataclass(frozen=True, slots=True)
class Treatment:
    """What one program makes of one offering, or of one of its plans, on one day.

    rate_ppm   Parts per million of the value that count; None where nothing is decided.
    decision   The decision behind it; None where a rule of the product or nothing at all says it.
    until      First day on which another decision, or none, holds; None is until further notice.
    """

    program: Program
    rate_ppm: int | None
    why: str
    decision: EligibilityDecision | None = None
    until: date | None = None

    @property
    def counts(self) -> bool:
        return bool(self.rate_ppm)

    @property
    def assumed(self) -> bool:
        return self.decision is not None and self.decision.assumed

    @property
    def label(self) -> str:
        return self.program.label

    @property
    def value(self) -> str:
        """As it is kept and sent, in English."""
        return self._worded(str, house.percent)

    @property
    def said(self) -> str:
        """As whoever reads the page reads."""
        return self._worded(spoken, formats.percent)

    def _worded(self, say: Callable[[str], str], percent: Callable[[int, int, int], str]) -> str:
        full, none, part = _WORDS[self.program]
        if self.rate_ppm is None:
            return say(marked("Not decided"))
        if self.rate_ppm in (0, ONE):
            return say(full if self.rate_ppm else none)
        places = next(n for n in range(5) if self.rate_ppm % 10 ** (4 - n) == 0)
        return say(part) % {"share": percent(self.rate_ppm, ONE, places)}

    @property
    def tone(self) -> str:
        if self.rate_ppm is None:
            return "warn"
        return "muted" if self.rate_ppm == 0 else "good" if self.rate_ppm == ONE else "accent"


@dataclass(frozen=True, slots=True)
class Countries:
    """Where it may be billed, as the last part of the strip."""

    countries: tuple[str, ...] | None

    label = marked("Countries")

    @property
    def value(self) -> str:
        if self.countries is None:
            return marked("All")
        return f"{len(self.countries)}" if self.countries else marked("None")

    @property
    def tone(self) -> str:
        return "good" if self.countries is None else "accent" if self.countries else "muted"

    @property
    def why(self) -> str:
        if self.countries is None:
            return "Sold in every country that the operator bills in."
        return f"Sold in {', '.join(self.countries)}." if self.countries else "Sold in no country."


@dataclass(frozen=True, slots=True)
class Chip:
    """One part of the strip as pages show it. said: its value as whoever reads the page reads, where that is no marked word."""

    label: str
    value: str
    tone: str
    why: str
    said: str = ""

    def __getitem__(self, name: str) -> str:
        return str(getattr(self, name))

    def get(self, name: str, default: str = "") -> str:
        return str(getattr(self, name, default))


def in_force(on: date) -> QuerySet[EligibilityDecision]:
    """Checked decisions whose span holds *on*."""
    return EligibilityDecision.objects.filter(
        checked_at__isnull=False, superseded_at=None, effective__contains=on
    )


def treatments(offering: Offering, on: date, plan: Plan | None = None) -> dict[Program, Treatment]:
    """Every program's treatment of *offering*, or of its *plan*. 1 query."""
    return bulk_treatments([offering], on, {offering.pk: plan} if plan else {})[offering.pk]


def bulk_treatments(
    offerings: Sequence[Offering], on: date, plans: Mapping[int, Plan] | None = None
) -> dict[int, dict[Program, Treatment]]:
    """By offering id. plans says for which plan of an offering it is asked, if any. 1 query, whatever their number."""
    plans = plans or {}
    known = _Known(offerings, list(plans.values()), on)
    return {o.pk: known.of(o, plans.get(o.pk)) for o in offerings}


def treatments_by_plan(
    offering: Offering, plans: Sequence[Plan], on: date
) -> dict[int | None, dict[Program, Treatment]]:
    """Of the offering as such (None) and of each of its *plans*, by plan id. 1 query."""
    known = _Known([offering], plans, on)
    return {None: known.of(offering, None), **{plan.pk: known.of(offering, plan) for plan in plans}}


class _Known:
    """The decisions that may reach some offerings and plans, read once; those alike in scope share one resolution."""

    def __init__(self, offerings: Sequence[Offering], plans: Sequence[Plan], on: date) -> None:
        self._on = on
        self._by_scope: dict[tuple[str, int, object], list[EligibilityDecision]] = defaultdict(list)
        self._resolved: dict[tuple[object, ...], Treatment] = {}
        for decision in (
            EligibilityDecision.objects.filter(checked_at__isnull=False, superseded_at=None)
            .filter(Q(effective__endswith__gt=on) | Q(effective__upper_inf=True))
            .filter(
                Q(level=ScopeLevel.PATH)
                | Q(publisher__in={o.publisher_id for o in offerings})
                | Q(offering__in=[o.pk for o in offerings])
                | Q(plan__in=[p.pk for p in plans])
            )
            .select_related("publisher", "offering", "plan")
        ):
            self._by_scope[_scope_key(decision)].append(decision)
        self._singled_out = {
            about for _program, level, about in self._by_scope if level == ScopeLevel.OFFERING
        }
        self._alike: dict[tuple[str, int], dict[Program, Treatment]] = {}

    def of(self, offering: Offering, plan: Plan | None) -> dict[Program, Treatment]:
        """Not to be changed: offerings that nothing singles out share theirs with all of their publisher on their path."""
        if plan is not None or offering.pk in self._singled_out:
            return {program: self._treated(program, offering, plan) for program in Program}
        sort = offering.commercial_path, offering.publisher_id
        if sort not in self._alike:
            self._alike[sort] = {program: self._treated(program, offering, None) for program in Program}
        return self._alike[sort]

    def _treated(self, program: Program, offering: Offering, plan: Plan | None) -> Treatment:
        scopes: list[tuple[str, int, object]] = [
            (program.value, ScopeLevel.PATH, offering.commercial_path),
            (program.value, ScopeLevel.PUBLISHER, offering.publisher_id),
            (program.value, ScopeLevel.OFFERING, offering.pk),
        ]
        if plan is not None:
            scopes.append((program.value, ScopeLevel.PLAN, plan.pk))
        found = [scope for scope in scopes if scope in self._by_scope]
        never = program == Program.COMMITMENT and plan is not None and plan.pricing_form in NEVER_DRAW_DOWN
        key = (program, never, *found)
        if key not in self._resolved:
            decisions = [d for scope in found for d in self._by_scope[scope]]
            self._resolved[key] = _treatment(program, never, decisions, self._on)
        return self._resolved[key]


def strip(offering: Offering, treated: Mapping[Program, Treatment]) -> list[Chip]:
    """Quota, Commitment, Credits, Resale and Countries, each with its why. No query."""
    chips = [
        Chip(t.label, t.value, t.tone, t.why if t.decision is not None else spoken(t.why), t.said)
        for t in (treated[program] for program in STRIP)
    ]
    billed = offering.billing_countries
    where = Countries(tuple(billed) if billed is not None else None)
    return [*chips, Chip(where.label, where.value, where.tone, where.why)]


def reaching(offering: Offering) -> QuerySet[EligibilityDecision]:
    """Checked decisions about the offering, one of its plans, its publisher or its path, whatever their days."""
    return EligibilityDecision.objects.filter(checked_at__isnull=False, superseded_at=None).filter(
        Q(level=ScopeLevel.PATH, commercial_path=offering.commercial_path)
        | Q(publisher=offering.publisher_id)
        | Q(offering=offering.pk)
        | Q(plan__offering=offering.pk)
    )


def reached(
    *,
    program: str,
    first_day: date,
    until: date | None,
    offering_ids: Collection[int] | None = None,
    publisher_id: int | None = None,
    commercial_path: str = "",
) -> QuerySet[Offering]:
    """The offerings whose treatment a decision can move: those for which nothing more specific holds on all of its days.

    offering_ids   These; None is everything of the publisher or on the path.
    """
    if offering_ids is not None:
        return Offering.objects.filter(pk__in=offering_ids)
    level = ScopeLevel.PUBLISHER if publisher_id is not None else ScopeLevel.PATH
    rows = (
        Offering.objects.filter(publisher=publisher_id)
        if publisher_id is not None
        else Offering.objects.filter(commercial_path=commercial_path)
    )
    if not program:
        return rows
    above = EligibilityDecision.objects.filter(
        program=program,
        checked_at__isnull=False,
        superseded_at=None,
        level__gt=level,
        effective__contains=DateRange(first_day, until),
    )
    rows = rows.exclude(pk__in=above.filter(level=ScopeLevel.OFFERING).values("offering"))
    if level == ScopeLevel.PATH:
        rows = rows.exclude(publisher__in=above.filter(level=ScopeLevel.PUBLISHER).values("publisher"))
    return rows


def eligibility_strips(offerings: Sequence[Offering], on: date) -> dict[int, list[Chip]]:
    """The strip of each of *offerings*, by id. 1 query, whatever their number."""
    treated = bulk_treatments(offerings, on)
    known: dict[tuple[int, tuple[str, ...] | None], list[Chip]] = {}  # those alike share theirs
    strips = {}
    for offering in offerings:
        billed = offering.billing_countries
        alike = id(treated[offering.pk]), None if billed is None else tuple(billed)
        if alike not in known:
            known[alike] = strip(offering, treated[offering.pk])
        strips[offering.pk] = known[alike]
    return strips


def rate_of(program: str, on: date) -> Subquery:
    """Rate of an offering without regard to plans, as SQL over Offering; null where nothing is decided."""
    return Subquery(
        in_force(on)
        .filter(program=program)
        .filter(
            Q(level=ScopeLevel.PATH, commercial_path=OuterRef("commercial_path"))
            | Q(level=ScopeLevel.PUBLISHER, publisher=OuterRef("publisher"))
            | Q(level=ScopeLevel.OFFERING, offering=OuterRef("pk"))
        )
        .order_by("-level", "-id")
        .values("rate_ppm")[:1]
    )


def scope_name(decision: EligibilityDecision) -> str:
    """For what it was decided, in words."""
    if decision.plan is not None:
        return f"the plan {decision.plan.name}"
    if decision.offering is not None:
        return decision.offering.name
    if decision.publisher is not None:
        return f"everything of {decision.publisher.name}"
    return f"the commercial path {CommercialPath(decision.commercial_path).label}"


def span_text(decision: EligibilityDecision) -> str:
    """Its days in words."""
    lower, upper = decision.effective.lower, decision.effective.upper
    said = f"from {house.day(lower)}" if lower else "since ever"
    return f"{said} to before {house.day(upper)}" if upper else f"{said} on"


def _scope_key(decision: EligibilityDecision) -> tuple[str, int, object]:
    about = decision.commercial_path or decision.publisher_id or decision.offering_id or decision.plan_id
    return decision.program, decision.level, about


def _winner(decisions: Iterable[EligibilityDecision], on: date) -> EligibilityDecision | None:
    holding = [d for d in decisions if _holds(d, on)]
    return max(holding, key=lambda d: (d.level, d.pk), default=None)


def _holds(decision: EligibilityDecision, on: date) -> bool:
    span = decision.effective
    return (span.lower is None or span.lower <= on) and (span.upper is None or on < span.upper)


def _treatment(
    program: Program, never: bool, decisions: Sequence[EligibilityDecision], on: date
) -> Treatment:
    if never:
        return Treatment(
            program, 0, marked("Free and bring-your-own-licence plans never draw down a commitment.")
        )
    winner = _winner(decisions, on)
    edges = sorted(
        {d.effective.lower for d in decisions if d.effective.lower is not None and d.effective.lower > on}
        | {d.effective.upper for d in decisions if d.effective.upper is not None and d.effective.upper > on}
    )
    until = next((edge for edge in edges if _winner(decisions, edge) != winner), None)
    if winner is None:
        return Treatment(program, None, marked("Nobody has decided this for that day."), None, until)
    return Treatment(program, winner.rate_ppm, _why(winner), winner, until)


def _why(decision: EligibilityDecision) -> str:
    said = f"{decision.reason} Decided for {scope_name(decision)}, {span_text(decision)}."
    return f"{said} {decision.evidence or 'Assumed.'}" if decision.assumed else said
