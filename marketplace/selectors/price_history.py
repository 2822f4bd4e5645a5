"""What a plan has cost, costs and will cost, meter by meter. A gap is a gap, an unknown price unknown, a correction is kept beside what it corrected."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from config import formats
from marketplace.models import Offering, Plan, PriceRow, PriceVersion
from marketplace.selectors.prices import METERS, amount_text, row_text, units


@dataclass(frozen=True, slots=True)
class Stretch:
    """One price over a half-open span of days. version None is a gap: no price in effect; amount None unknown."""

    start: date | None
    end: date | None
    amount: Decimal | None
    version: PriceVersion | None


@dataclass(frozen=True, slots=True)
class Announced:
    """A change that is still to come. text "$2.50", change "−17%" where both prices are known and not free."""

    day: date
    text: str
    change: str

    def __str__(self) -> str:
        return f"from {formats.day(self.day)}: {self.text}{f', {self.change}' if self.change else ''}"


@dataclass(frozen=True, slots=True)
class MeterHistory:
    """One line of a price list through time: a meter from a tier on, in requests over a size."""

    meter: str
    tier_from: int
    above_context: int
    per: str
    stretches: list[Stretch]
    now: str
    announced: list[Announced]

    @property
    def name(self) -> str:
        name = METERS.get(self.meter, self.meter.replace("-", " "))
        return f"{name[:1].upper()}{name[1:]}"

    @property
    def condition(self) -> str:
        """For which part of the use the line holds; empty for all of it."""
        parts = []
        if self.tier_from:
            parts.append(f"from {formats.whole(self.tier_from)} on in a month")
        if self.above_context:
            parts.append(f"in requests of more than {formats.whole(self.above_context)} tokens")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Notice:
    """What is announced for one day: of one meter, or (meter None) of all meters of the list alike."""

    day: date
    text: str
    meter: MeterHistory | None

    @property
    def about(self) -> str:
        return self.meter.name if self.meter is not None else ""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One price version. replaced_by is the id of its correction; corrects those that it took the place of."""

    version: PriceVersion
    texts: list[str]
    in_effect: bool
    to_come: bool
    replaced_by: int | None = None
    corrects: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """Days between two prices, or after the last one, on which none is in effect."""

    start: date
    end: date | None


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one plan in one market and currency, through time."""

    plan: Plan
    market: str
    currency: str
    meters: list[MeterHistory]
    versions: list[VersionLine]
    gaps: list[Gap] = field(default_factory=list)

    @property
    def announced(self) -> list[Notice]:
        """By day; what is the same for every meter is said once."""
        by_day: dict[date, list[tuple[MeterHistory, Announced]]] = defaultdict(list)
        for meter in self.meters:
            for change in meter.announced:
                by_day[change.day].append((meter, change))
        found: list[Notice] = []
        for day, changes in sorted(by_day.items()):
            texts = {str(change) for _, change in changes}
            if len(self.meters) == len(changes) > 1 and len(texts) == 1:
                found.append(Notice(day, texts.pop(), None))
            else:
                found += [Notice(day, str(change), meter) for meter, change in changes]
        return found

    @property
    def first_day(self) -> date | None:
        return min(
            (v.version.effective.lower for v in self.versions if v.version.effective.lower), default=None
        )

    @property
    def last_day(self) -> date | None:
        """The last day on which something changes."""
        edges = [
            edge
            for line in self.versions
            for edge in (line.version.effective.lower, line.version.effective.upper)
            if edge is not None
        ]
        return max(edges, default=None)


def price_lists(offering: Offering, on: date) -> list[PriceList]:
    """Of each plan that has a list price, by plan, market and currency. 2 queries; private offers are not among them."""
    found: dict[tuple[int, str, str], list[PriceVersion]] = defaultdict(list)
    for version in (
        PriceVersion.objects.filter(plan__offering=offering, private_offer=None)
        .select_related("currency", "plan", "recorded_by")
        .prefetch_related("rows")
        .order_by("plan__position", "plan_id", "market", "currency_id", "effective", "id")
    ):
        found[version.plan_id, version.market, version.currency_id].append(version)
    return [_list(versions, on) for versions in found.values()]


def announced_changes(lists: Iterable[PriceList]) -> list[tuple[PriceList, Notice]]:
    """Everything that is to come, the nearest first."""
    return sorted(
        ((prices, notice) for prices in lists for notice in prices.announced), key=lambda found: found[1].day
    )


def _list(versions: Sequence[PriceVersion], on: date) -> PriceList:
    valid = [v for v in versions if v.superseded_at is None]
    keys: dict[tuple[str, int, int], PriceRow] = {}
    for version in valid:
        for row in version.rows.all():
            keys[row.meter, row.tier_from, row.above_context] = row
    order = list(METERS)
    meters = [
        _meter(key, row, valid, on)
        for key, row in sorted(
            keys.items(),
            key=lambda item: (
                order.index(item[0][0]) if item[0][0] in order else len(order),
                item[0],
            ),
        )
    ]
    gaps = [
        Gap(one.effective.upper, other.effective.lower if other is not None else None)
        for one, other in zip(valid, [*valid[1:], None], strict=True)
        if one.effective.upper is not None
        and (other is None or other.effective.lower is None or one.effective.upper < other.effective.lower)
    ]
    lines = [_version_line(version, versions, on) for version in reversed(versions)]
    first = versions[0]
    return PriceList(first.plan, first.market, first.currency_id, meters, lines, gaps)


def _version_line(version: PriceVersion, versions: Sequence[PriceVersion], on: date) -> VersionLine:
    span = version.effective
    valid = version.superseded_at is None
    return VersionLine(
        version,
        [row_text(row, version) for row in version.rows.all()],
        in_effect=valid and on in span,
        to_come=valid and span.lower is not None and span.lower > on,
        replaced_by=next(
            (
                o.pk
                for o in versions
                if not valid and o.recorded_at == version.superseded_at and o.pk != version.pk
            ),
            None,
        ),
        corrects=tuple(
            o.pk for o in versions if o.superseded_at is not None and o.superseded_at == version.recorded_at
        ),
    )


def _meter(
    key: tuple[str, int, int], last: PriceRow, versions: Sequence[PriceVersion], on: date
) -> MeterHistory:
    """Stretches follow one another without holes: where nothing is in effect a stretch without version stands.

    Amounts are written for as many units as the *last* row buys, so that they can be compared.
    """
    stretches: list[Stretch] = []
    texts: dict[int, str] = {}
    for version in versions:
        row = next((r for r in version.rows.all() if (r.meter, r.tier_from, r.above_context) == key), None)
        span = version.effective
        if (
            stretches
            and stretches[-1].end is not None
            and span.lower is not None
            and stretches[-1].end < span.lower
        ):
            stretches.append(Stretch(stretches[-1].end, span.lower, None, None))
        if row is None:
            stretches.append(Stretch(span.lower, span.upper, None, None))
            continue
        symbol = version.currency.symbol or f"{version.currency.code}\N{NO-BREAK SPACE}"
        amount = row.amount if row.amount is None or row.per == last.per else row.amount * last.per / row.per
        texts[version.pk] = amount_text(amount, symbol, version.currency.exponent)
        stretches.append(Stretch(span.lower, span.upper, amount, version))
    if stretches and stretches[-1].end is not None and stretches[-1].version is not None:
        stretches.append(Stretch(stretches[-1].end, None, None, None))

    def said(stretch: Stretch) -> str:
        return texts[stretch.version.pk] if stretch.version is not None else "no price in effect"

    current = next((s for s in stretches if _holds(s, on)), None)
    announced = []
    before = current
    for stretch in stretches:
        if stretch.start is not None and stretch.start > on:
            if before is None or (said(before), before.version is None) != (
                said(stretch),
                stretch.version is None,
            ):
                announced.append(
                    Announced(
                        stretch.start,
                        said(stretch),
                        _change(before.amount if before else None, stretch.amount),
                    )
                )
            before = stretch
    now = said(current) if current is not None else "no price in effect"
    return MeterHistory(*key, f"per {units(last.unit, last.per)}", stretches, now, announced)


def _holds(stretch: Stretch, on: date) -> bool:
    return (stretch.start is None or stretch.start <= on) and (stretch.end is None or on < stretch.end)


def _change(before: Decimal | None, after: Decimal | None) -> str:
    """In per cent, to one decimal where a whole number would say less than it is; nothing where there is nothing to compare."""
    if before is None or after is None or before == 0 or before == after:
        return ""
    change = Fraction(after - before) / Fraction(before)
    places = 0 if abs(change) >= Fraction(1, 100) else 1
    return formats.percent(change.numerator, change.denominator, places, signed=True)
