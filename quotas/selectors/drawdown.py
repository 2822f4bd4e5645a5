"""What customers spent, and how that draws their commitments down. Worked out from facts on every reading, never kept. RULES 19."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import F

from config import charts
from config.language import marked
from marketplace.models import Currency, CustomerCommitment
from marketplace.selectors.commitments import DrawDownRates, Sold
from quotas.crediting.arithmetic import ONE_PPM, mul_ppm, round_div, value_in_measure
from quotas.models import DealKind, DealLine, DealState, FxRate

CONTRACTED: Final = "contracted"
BILLED: Final = "billed"
ESTIMATED: Final = "estimated"


@dataclass(frozen=True, slots=True)
class Spend:
    """One line of an approved deal as what the customer spends by it; minor units of the deal's currency, negative for a refund.

    basis   Contracted; of a month's usage billed, or estimated while there is no bill.
    kept    Usage of this offering is metered for the customer: the contract's line says the same spend again, and is left out.
    """

    customer_id: int
    deal_id: int
    line_no: int
    on: date
    minor: int
    currency: str
    basis: str
    sold: Sold
    refunds_id: int | None
    kept: bool


class Rates:
    """Exchange rates by day, read once. 2 queries."""

    def __init__(self) -> None:
        self._exponents = dict(Currency.objects.values_list("code", "exponent"))
        self._rates: dict[tuple[str, str], list[tuple[DateRange, int]]] = defaultdict(list)
        for code, to, days, rate in FxRate.objects.filter(superseded_at=None).values_list(
            "from_currency_id", "to_currency_id", "effective", "rate_e9"
        ):
            self._rates[code, to].append((days, rate))

    def convert(self, minor: int, code: str, to: str, on: date) -> int | None:
        """Rounded once, half away from zero; None where there is no rate for the day."""
        if code == to:
            return minor
        rate = next((rate for days, rate in self._rates.get((code, to), ()) if on in days), None)
        if rate is None:
            return None
        return value_in_measure(minor, rate, self._exponents[code], self._exponents[to])


@dataclass
class DrawDown:
    """A commitment and what has drawn it. Minor units of its currency.

    beyond       Eligible spend that no commitment had room for any more, kept with the one that ends last.
    unconverted  Lines that count for nothing because their day has no exchange rate.
    """

    commitment: CustomerCommitment
    on: date
    contracted: int = 0
    billed: int = 0
    estimated: int = 0
    beyond: int = 0
    unconverted: int = 0

    @property
    def drawn(self) -> int:
        return self.contracted + self.billed + self.estimated

    @property
    def left(self) -> int:
        return self.commitment.amount_minor - self.drawn

    @property
    def days(self) -> int:
        span = self.commitment.effective
        return int((span.upper - span.lower).days)

    @property
    def days_gone(self) -> int:
        """Those before today and today."""
        return int(min(max((self.on - self.commitment.effective.lower).days + 1, 0), self.days))

    @property
    def pace_ppm(self) -> int:
        """The share that even spending would have drawn by now."""
        return round_div(ONE_PPM * self.days_gone, self.days)

    @property
    def expected(self) -> int:
        return round_div(self.commitment.amount_minor * self.days_gone, self.days)

    @property
    def forecast(self) -> int | None:
        """What is drawn by the end if it goes on as it went so far; None before the first day."""
        return round_div(self.drawn * self.days, self.days_gone) if self.days_gone else None

    @property
    def shortfall(self) -> int:
        """What would be left on the last day, nothing where it is drawn whole by then."""
        return max(0, self.commitment.amount_minor - (self.forecast or 0)) if self.days_gone else 0

    @property
    def running(self) -> bool:
        return self.on in self.commitment.effective

    @property
    def at_risk(self) -> bool:
        return self.running and self.standing.word == "At risk"

    @property
    def standing(self) -> charts.Standing:
        if self.left <= 0:
            return charts.Standing("good", marked("Drawn in full"))
        if self.on < self.commitment.effective.lower:
            return charts.Standing("muted", marked("To come"))
        if not self.running:
            return charts.Standing("bad", marked("Ended short"))
        return charts.standing(self.drawn, self.commitment.amount_minor, self.pace_ppm)


def spend_of(customers: Collection[int], on: date) -> list[Spend]:
    """Every line of approved deals up to and with a day, as credited now, in the order in which it draws. 1 query."""
    rows: list[tuple[Any, ...]] = list(
        DealLine.objects.filter(
            version=F("version__deal__credited_version"),
            version__deal__state=DealState.APPROVED,
            version__deal__customer__in=customers,
            version__close_date__lte=on,
        )
        .order_by("version__close_date", "version__deal_id", "line_no")
        .values_list(
            *("version__deal__customer_id", "version__deal_id", "line_no", "version__close_date"),
            *("amount_minor", "billed_minor", "version__currency_id", "version__kind", "version__refunds_id"),
            *("offering_id", "offering__publisher_id", "offering__commercial_path"),
            *("plan_id", "plan__pricing_form"),
        )
    )
    metered = {(row[0], row[9]) for row in rows if row[7] == DealKind.CONSUMPTION}
    return [
        Spend(
            customer_id=customer,
            deal_id=deal,
            line_no=line_no,
            on=day,
            minor=amount if billed is None else billed,
            currency=code,
            basis=CONTRACTED if kind != DealKind.CONSUMPTION else ESTIMATED if billed is None else BILLED,
            sold=Sold(offering, publisher, path, plan, form or ""),
            refunds_id=refunds,
            kept=kind == DealKind.CONSUMPTION or (customer, offering) not in metered,
        )
        for customer, deal, line_no, day, amount, billed, code, kind, refunds, offering, publisher, path, plan, form in rows
    ]


def commitments_of(customers: Collection[int]) -> list[CustomerCommitment]:
    """Those that stand, by customer and in the order in which they are drawn: the one that ends first. 1 query."""
    found = CustomerCommitment.objects.filter(
        customer__in=customers,
        superseded_at=None,
        effective__lower_inf=False,
        effective__upper_inf=False,
    ).select_related("currency")
    return sorted(found, key=lambda c: (c.customer_id, c.effective.upper, c.effective.lower, c.pk))


def draw_downs(
    customers: Collection[int],
    on: date,
    *,
    spend: Sequence[Spend] | None = None,
    rates: Rates | None = None,
) -> dict[int, list[DrawDown]]:
    """By customer, each commitment with what has drawn it up to and with a day; customers without one are left out.

    5 queries, whatever the number of customers; 1 where none of them has a commitment.
    """
    standing = commitments_of(customers)
    if not standing:
        return {}
    by_customer: dict[int, list[DrawDown]] = defaultdict(list)
    for commitment in standing:
        by_customer[commitment.customer_id].append(DrawDown(commitment, on))
    if spend is None:
        spend = spend_of(list(by_customer), on)
    rates = rates or Rates()
    eligible = DrawDownRates()
    drawing = {customer: _Drawing(found, rates, eligible) for customer, found in by_customer.items()}
    for line in spend:
        if line.kept and line.customer_id in drawing:
            drawing[line.customer_id].take(line)
    return dict(by_customer)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A part of a line and what it drew. used: minor units of the deal's currency; of: None for what found no room."""

    of: DrawDown
    basis: str | None
    drawn: int
    used: int


@dataclass
class _Drawing:
    """One customer's lines against that customer's commitments."""

    commitments: list[DrawDown]
    rates: Rates
    eligible: DrawDownRates
    taken: dict[tuple[int, int, int | None], list[_Taken]] = field(default_factory=lambda: defaultdict(list))

    def take(self, line: Spend) -> None:
        if line.refunds_id is not None:
            self._give_back(line)
        elif line.minor > 0:
            self._draw(line)

    def _draw(self, line: Spend) -> None:
        ppm = self.eligible.ppm(line.sold, line.on)
        running = [each for each in self.commitments if line.on in each.commitment.effective]
        if not ppm or not running:
            return
        taken = self.taken[line.deal_id, line.sold.offering_id, line.sold.plan_id]
        rest, last = line.minor, None
        for each in running:
            value = self._value(rest, line, each, ppm)
            if value is None:
                each.unconverted += 1
                continue
            last = each
            room = max(0, each.left)
            if value <= room:
                taken.append(self._put(each, line.basis, value, rest))
                return
            if room:
                used = round_div(rest * room, value)
                taken.append(self._put(each, line.basis, room, used))
                rest -= used
        if last is not None and rest:
            taken.append(self._put(last, None, self._value(rest, line, last, ppm) or 0, rest))

    def _value(self, minor: int, line: Spend, each: DrawDown, ppm: int) -> int | None:
        value = self.rates.convert(minor, line.currency, each.commitment.currency_id, line.on)
        return None if value is None else mul_ppm(value, ppm)

    def _put(self, each: DrawDown, basis: str | None, drawn: int, used: int) -> _Taken:
        name = basis or "beyond"
        setattr(each, name, getattr(each, name) + drawn)
        return _Taken(each, basis, drawn, used)

    def _give_back(self, line: Spend) -> None:
        """At what its original drew, the last part first: a whole refund leaves nothing behind."""
        taken = self.taken.get((line.refunds_id or 0, line.sold.offering_id, line.sold.plan_id), [])
        rest = -line.minor
        while rest > 0 and taken:
            part = taken.pop()
            used = min(rest, part.used)
            back = part.drawn if used == part.used else round_div(part.drawn * used, part.used)
            self._put(part.of, part.basis, -back, 0)
            if used < part.used:
                taken.append(_Taken(part.of, part.basis, part.drawn - back, part.used - used))
            rest -= used


@dataclass(frozen=True, slots=True)
class Bought:
    """What a customer spent with one publisher, in minor units of one currency."""

    publisher_id: int
    minor: int


def by_publisher(spend: Iterable[Spend], to: str, rates: Rates, since: date) -> tuple[list[Bought], int]:
    """The largest first, of lines from a day on; and how many lines have no exchange rate of their day. No query."""
    sums: dict[int, int] = defaultdict(int)
    missing = 0
    for line in spend:
        if not line.kept or line.on < since:
            continue
        value = rates.convert(line.minor, line.currency, to, line.on)
        if value is None:
            missing += 1
        else:
            sums[line.sold.publisher_id] += value
    found = [Bought(publisher, minor) for publisher, minor in sums.items() if minor > 0]
    return sorted(found, key=lambda each: (-each.minor, each.publisher_id)), missing


def at_risk(draws: Mapping[int, Sequence[DrawDown]]) -> list[int]:
    """Customers of whom a commitment that runs is behind its pace so far that it is at risk."""
    return [customer for customer, found in draws.items() if any(each.at_risk for each in found)]
