"""What could be sold instead: the named replacement, then what serves the same tasks. Whose model it is plays no part."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Count, QuerySet

from marketplace.models import Offering, Program
from marketplace.selectors.eligibility import Treatment, bulk_treatments
from marketplace.selectors.evidence import Ranking, public_evaluations, rankings_of
from marketplace.selectors.on_sale import on_sale
from marketplace.selectors.prices import amount_text, headline


@dataclass(frozen=True, slots=True)
class Substitute:
    """One candidate beside the offering that it could stand in for.

    named                   The publisher or the operator named it.
    tasks                   Those that both serve.
    input_price, output_price   USD per million tokens on the day; None where no price is known.
    input_change, output_change   Per cent more or less than the offering costs on that day; None where either is unknown.
    context                 Tokens; None where unknown.
    quota                   How it counts on the day.
    evidence                What results of the same benchmark, version, metric and harness say of the two.
    """

    offering: Offering
    named: bool
    tasks: tuple[str, ...]
    quota: Treatment
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    input_change: Decimal | None = None
    output_change: Decimal | None = None
    evidence: str = ""

    @property
    def context(self) -> int | None:
        version = self.offering.model_version
        return version.context_window if version is not None else None

    @property
    def input_text(self) -> str:
        return amount_text(self.input_price, "$", 2)

    @property
    def output_text(self) -> str:
        return amount_text(self.output_price, "$", 2)

    @property
    def why(self) -> str:
        shared = f"serves {', '.join(self.tasks)}" if self.tasks else ""
        if self.named:
            return f"Named as its replacement{f'; {shared}' if shared else ''}."
        return f"{shared[:1].upper()}{shared[1:]} too."


def substitutes(
    offering: Offering, visible: QuerySet[Offering], on: date, limit: int = 20
) -> list[Substitute]:
    """On sale on *on*, best match first: the replacement, then most tasks in common, then by name. 7 queries.

    A candidate must put out what the offering puts out. *offering* has its task areas at hand.
    """
    wanted = {area.pk for area in offering.task_areas.all()}
    found = [
        (
            candidate,
            candidate.pk == offering.replacement_id,
            tuple(area.name for area in candidate.task_areas.all() if area.pk in wanted),
        )
        for candidate in its_like(offering, visible, on, limit)
    ]
    return _beside(offering, found, on)


def its_like(offering: Offering, visible: QuerySet[Offering], on: date, limit: int) -> list[Offering]:
    """The offerings of substitutes() alone. 3 queries: which they are is asked of the database, there may be thousands."""
    wanted = {area.pk for area in offering.task_areas.all()}
    needed = (offering.model_version.modalities_out if offering.model_version else None) or []
    sold = on_sale(visible, on).exclude(pk=offering.pk)
    alike = sold.exclude(pk=offering.replacement_id) if offering.replacement_id is not None else sold
    if needed:
        alike = alike.filter(model_version__modalities_out__contains=needed)
    best = (
        alike.filter(task_areas__in=wanted)
        .order_by()
        .values_list("pk")
        .annotate(shared=Count("task_areas"))
        .order_by("-shared", "name", "pk")[:limit]
    )
    order = {pk: place for place, (pk, _shared) in enumerate(best, 1)}
    found = sold.filter(pk__in=[*order, *([offering.replacement_id] if offering.replacement_id else [])])
    listed = found.select_related("publisher", "model_version", "replacement").prefetch_related("task_areas")
    return sorted(listed, key=lambda candidate: order.get(candidate.pk, 0))[:limit]


def _beside(
    offering: Offering, found: Sequence[tuple[Offering, bool, tuple[str, ...]]], on: date
) -> list[Substitute]:
    """With prices, treatment and evidence, all of one day. 4 queries."""
    if not found:
        return []
    candidates = [candidate for candidate, _named, _tasks in found]
    prices: dict[int, tuple[Decimal | None, Decimal | None]] = {
        pk: (taken, given)
        for pk, taken, given in Offering.objects.filter(pk__in=[offering.pk, *(c.pk for c in candidates)])
        .annotate(taken=headline("input-tokens", on), given=headline("output-tokens", on))
        .values_list("pk", "taken", "given")
    }
    treated = bulk_treatments(candidates, on)
    notes = _evidence(offering, candidates, on)
    own_input, own_output = prices.get(offering.pk, (None, None))
    return [
        Substitute(
            offering=candidate,
            named=named,
            tasks=tasks,
            quota=treated[candidate.pk][Program.QUOTA],
            input_price=prices[candidate.pk][0],
            output_price=prices[candidate.pk][1],
            input_change=_change(own_input, prices[candidate.pk][0]),
            output_change=_change(own_output, prices[candidate.pk][1]),
            evidence=notes.get(candidate.pk, ""),
        )
        for candidate, named, tasks in found
    ]


def _change(own: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Per cent; nothing can be said beside an unknown price, or beside a free one."""
    if own is None or other is None or own == 0:
        return None
    return (other - own) * 100 / own


def _evidence(offering: Offering, candidates: Sequence[Offering], on: date) -> dict[int, str]:
    """Offering id to a sentence. Only results of one ranking are compared; where there is none, that is said. 2 queries."""
    own = offering.model_version_id
    if own is None:
        return {}
    versions = {c.model_version_id for c in candidates if c.model_version_id is not None}
    shared = (
        public_evaluations(on)
        .filter(model_version__in=[own, *versions], score__isnull=False)
        .select_related("task_area")
    )
    better: dict[int, list[int]] = {version: [0, 0, 0] for version in versions}
    for ranking in rankings_of(shared).values():
        for version in versions:
            compared = _compared(ranking, own, version)
            if compared is not None:
                better[version][compared] += 1
    said = {}
    for candidate in candidates:
        counts = better.get(candidate.model_version_id or 0)
        if counts is not None:
            said[candidate.pk] = _said(*counts)
    return said


def _compared(ranking: Ranking, own: int, other: int) -> int | None:
    """0 where the other did better, 1 where both are level, 2 where it did worse; None without both."""
    by_version = {e.model_version_id: ranking.merit(e) for e in ranking.best.values()}
    if own not in by_version or other not in by_version:
        return None
    return 0 if by_version[other] > by_version[own] else 1 if by_version[other] == by_version[own] else 2


def _said(better: int, level: int, worse: int) -> str:
    whole = better + level + worse
    if not whole:
        return "No result that compares the two"
    said = f"Better in {better} of {whole} shared benchmark{'s' if whole > 1 else ''}"
    return f"{said}, level in {level}" if level else said
