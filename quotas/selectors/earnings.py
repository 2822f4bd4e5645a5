"""What was paid, to whom, by which close; what a window would pay as it stands today. RULES 16."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from accounts.models import Role, User
from config import formats
from config.exports import Amount, Column, Table
from config.formats import rounded
from config.slices import in_slices
from marketplace.models import Currency
from quotas.crediting.earning import Ahead, Band, Scale, ahead, bands, earned, scale_of
from quotas.models import (
    CloseState,
    CreditEntry,
    CreditTotal,
    Draw,
    EarningEntry,
    EarningKind,
    Measure,
    PayBy,
    Period,
    PeriodClose,
    PeriodState,
    Rep,
)
from quotas.selectors import periods
from quotas.selectors.earning_terms import WHY, Months, Pay, Terms
from quotas.selectors.pay_words import percent, terms_of
from quotas.selectors.pay_words import place as pay_place
from quotas.selectors.visibility import SEES_EVERYTHING, reps_for

PAID: Final = (CloseState.CLOSED, CloseState.REOPENED)
SLICE: Final = 5_000
SEES_PAY: Final = (Role.REP, Role.MANAGER, *SEES_EVERYTHING)


def earnings_for(user: User, on: date) -> QuerySet[EarningEntry]:
    """The entries that a person may read: one's own, those of the managed teams' people, or all. Those of closes that are done."""
    entries = EarningEntry.objects.filter(close__state__in=PAID)
    if user.has_role(*SEES_EVERYTHING):
        return entries
    if not user.has_role(*SEES_PAY):
        return entries.none()
    return entries.filter(rep__in=reps_for(user, on).values("pk"))


def closes_that_paid() -> list[PeriodClose]:
    """Closes that are done, the last one first; reopened ones stay beside their next version. 1 query."""
    return list(
        PeriodClose.objects.filter(state__in=PAID)
        .select_related("period__calendar")
        .order_by("-approved_at", "-pk")
    )


# --- sums -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sums:
    """Amounts of one currency, in its minor units.

    prior  Of what was earned, the part whose month of origin is not the month of the close.
    """

    currency: Currency
    entries: int
    earned: int
    prior: int
    draw: int
    recovery: int

    @property
    def total(self) -> int:
        return self.earned + self.draw + self.recovery


_KINDS: Final = {
    "earned": Coalesce(Sum("amount_minor", filter=Q(kind=EarningKind.EARNED)), 0),
    "prior": Coalesce(
        Sum("amount_minor", filter=Q(kind=EarningKind.EARNED) & ~Q(origin_period=F("close__period"))), 0
    ),
    "draw": Coalesce(Sum("amount_minor", filter=Q(kind=EarningKind.DRAW)), 0),
    "recovery": Coalesce(Sum("amount_minor", filter=Q(kind=EarningKind.RECOVERY)), 0),
    "entries": Count("pk"),
}


def _sums(entries: QuerySet[EarningEntry], *by: str) -> list[tuple[tuple[Any, ...], Sums]]:
    currencies = {c.code: c for c in Currency.objects.all()}
    rows = entries.order_by().values(*by, "currency_id").annotate(**_KINDS).order_by(*by, "currency_id")
    return [
        (
            tuple(row[name] for name in by),
            Sums(
                currencies[row["currency_id"]],
                row["entries"],
                *(int(row[name]) for name in ("earned", "prior", "draw", "recovery")),
            ),
        )
        for row in rows
    ]


def control_totals(entries: QuerySet[EarningEntry]) -> list[Sums]:
    """Count and sums of entries, by currency: what a file of them has to add up to. 2 queries."""
    return [sums for _, sums in _sums(entries)]


@dataclass(frozen=True, slots=True)
class CostCentre:
    """What one cost centre is charged in one currency; empty for people without one."""

    code: str
    people: int
    sums: Sums


def accrual(entries: QuerySet[EarningEntry]) -> list[CostCentre]:
    """By cost centre and currency. 3 queries."""
    people = {
        (row["cost_centre"], row["currency_id"]): row["people"]
        for row in entries.order_by()
        .values("cost_centre", "currency_id")
        .annotate(people=Count("rep_id", distinct=True))
    }
    return [
        CostCentre(code, people[code, sums.currency.code], sums)
        for (code,), sums in _sums(entries, "cost_centre")
    ]


@dataclass(frozen=True, slots=True)
class PersonPaid:
    """What one close pays somebody in one currency, beside what the month before did."""

    rep: Rep
    sums: Sums
    before: int

    @property
    def change(self) -> int:
        return self.sums.total - self.before


def people_paid(
    entries: QuerySet[EarningEntry], close: PeriodClose, before: Period | None
) -> list[PersonPaid]:
    """Everybody whom a close pays, or the month before did: the largest change first. 5 queries.

    entries  Those that somebody may read, of whichever close.
    before   The month whose closes it is held against.
    """
    now = {(rep, s.currency.code): s for (rep,), s in _sums(entries.filter(close=close), "rep_id")}
    then = {}
    if before is not None:
        earlier = entries.filter(close__period=before)
        then = {(rep, s.currency.code): s for (rep,), s in _sums(earlier, "rep_id")}
    reps = Rep.objects.in_bulk([rep for rep, _ in now.keys() | then.keys()])
    found = []
    for key in now.keys() | then.keys():
        sums = now.get(key) or Sums(then[key].currency, 0, 0, 0, 0, 0)
        found.append(PersonPaid(reps[key[0]], sums, then[key].total if key in then else 0))
    return sorted(found, key=lambda p: (-abs(p.change), p.rep.name, p.rep.pk, p.sums.currency.code))


# --- files ------------------------------------------------------------------------------------------------


def component_name(entry: EarningEntry) -> str:
    """What an entry is paid for: a measure of a plan, or a draw."""
    if entry.kind != EarningKind.EARNED or entry.measure is None:
        return entry.get_kind_display()
    return entry.measure.name


def payments(entries: QuerySet[EarningEntry]) -> Table:
    """A row an entry, by employee: what a payroll system takes in. 1 query a slice."""
    columns = [
        Column("employee_no", "Employee number"),
        Column("rep", "Rep"),
        Column("name", "Name"),
        Column("kind", "Kind"),
        Column("component", "Component"),
        Column("plan", "Plan"),
        Column("amount", "Amount", "money", "Currency"),
        Column("period", "Period"),
        Column("origin_period", "Origin period"),
        Column("cost_centre", "Cost centre"),
        Column("entry", "Entry", "whole"),
    ]
    currencies = {c.code: c for c in Currency.objects.all()}
    names = (
        *(
            "rep__employee_no",
            "rep__slug",
            "rep__name",
            "kind",
            "measure__name",
            "plan__name",
            "amount_minor",
        ),
        *("currency_id", "close__period__name", "origin_period__name", "cost_centre", "id", "rep_id"),
    )

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(entries.values(*names), ("rep_id", "id"), SLICE):
            for row in page:
                currency = currencies[row["currency_id"]]
                kind = EarningKind(row["kind"])
                yield (
                    *(row["rep__employee_no"], row["rep__slug"], row["rep__name"], kind.label),
                    *(row["measure__name"] or kind.label, row["plan__name"]),
                    Amount(row["amount_minor"], currency.code, currency.exponent),
                    *(row["close__period__name"], row["origin_period__name"], row["cost_centre"], row["id"]),
                )

    return Table(columns, rows)


def control_lines(totals: Iterable[Sums]) -> list[tuple[str, str]]:
    """Control totals as a file's second sheet and a page say them."""
    found = []
    for sums in totals:
        code, exponent = sums.currency.code, sums.currency.exponent
        found.append((f"Entries in {code}", formats.whole(sums.entries)))
        found.append((f"Sum in {code}", formats.money(sums.total, code, exponent)))
    return found


def accrual_table(found: Sequence[CostCentre], period: Period) -> Table:
    def amount(minor: int, currency: Currency) -> Amount:
        return Amount(minor, currency.code, currency.exponent)

    return Table(
        [
            Column("cost_centre", "Cost centre"),
            Column("period", "Period"),
            Column("people", "People", "whole"),
            Column("entries", "Entries", "whole"),
            *(
                Column(name, label, "money", "Currency")
                for name, label in (
                    ("earned", "Earned"),
                    ("of_earlier_months", "Of it, of earlier months"),
                    ("draw", "Draw"),
                    ("recovery", "Draw taken back"),
                    ("total", "Total"),
                )
            ),
        ],
        lambda: (
            (
                *(each.code, period.name, each.people, each.sums.entries),
                *(
                    amount(minor, each.sums.currency)
                    for minor in (
                        each.sums.earned,
                        each.sums.prior,
                        each.sums.draw,
                        each.sums.recovery,
                        each.sums.total,
                    )
                ),
            )
            for each in found
        ),
    )


def people_table(found: Sequence[PersonPaid], close: PeriodClose) -> Table:
    def amount(minor: int, currency: Currency) -> Amount:
        return Amount(minor, currency.code, currency.exponent)

    return Table(
        [
            Column("employee_no", "Employee number"),
            Column("rep", "Rep"),
            Column("name", "Name"),
            Column("period", "Period"),
            *(
                Column(name, label, "money", "Currency")
                for name, label in (
                    ("earned", "Earned"),
                    ("of_earlier_months", "Of it, of earlier months"),
                    ("draw", "Draw"),
                    ("recovery", "Draw taken back"),
                    ("total", "Total"),
                    ("change", "Change to the month before"),
                )
            ),
        ],
        lambda: (
            (
                *(each.rep.employee_no, each.rep.slug, each.rep.name, close.period.name),
                *(
                    amount(minor, each.sums.currency)
                    for minor in (
                        each.sums.earned,
                        each.sums.prior,
                        each.sums.draw,
                        each.sums.recovery,
                        each.sums.total,
                        each.change,
                    )
                ),
            )
            for each in found
        ),
    )


# --- draws ------------------------------------------------------------------------------------------------


def balances(*, reps: Collection[int] | None = None, but: Period | None = None) -> dict[tuple[int, str], int]:
    """(Rep, currency) to what is still to be taken back of recoverable draws; who owes nothing is missing. 1 query.

    but  A month whose own draw and recovery are left out.
    """
    entries = EarningEntry.objects.filter(
        kind__in=[EarningKind.DRAW, EarningKind.RECOVERY], draw__recoverable=True
    )
    if reps is not None:
        entries = entries.filter(rep__in=list(reps))
    if but is not None:
        entries = entries.exclude(origin_period=but)
    sums = (
        entries.order_by().values_list("rep_id", "currency_id").annotate(t=Coalesce(Sum("amount_minor"), 0))
    )
    return {(rep, currency): int(t) for rep, currency, t in sums if t}


@dataclass(frozen=True, slots=True)
class DrawShown:
    """A draw with what of its rep's draws, in its currency, is still to be taken back."""

    draw: Draw
    balance: int
    state: str  # running, coming, over

    @property
    def last(self) -> date | None:
        """The last day; None until further notice."""
        upper: date | None = self.draw.effective.upper
        return upper - timedelta(days=1) if upper else None


def draws_shown(reps: QuerySet[Rep], on: date) -> list[DrawShown]:
    """Draws that stand, of these people: running ones first, then those to come, then what is over. 2 queries."""
    found = list(
        Draw.objects.filter(superseded_at=None, rep__in=reps)
        .select_related("rep", "currency", "recorded_by")
        .order_by("rep__name", "effective")
    )
    owed = balances(reps={draw.rep_id for draw in found})
    rank = {"running": 0, "coming": 1, "over": 2}

    def state(draw: Draw) -> str:
        if draw.effective.lower is not None and draw.effective.lower > on:
            return "coming"
        return "over" if draw.effective.upper is not None and draw.effective.upper <= on else "running"

    shown = [DrawShown(draw, owed.get((draw.rep_id, draw.currency_id), 0), state(draw)) for draw in found]
    return sorted(shown, key=lambda s: rank[s.state])


# --- what a window would pay as it stands -----------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A component of a rep's plan over the window that is running, by the function that pays, on today's restated credit.

    credit     Of the window so far; quota as it stands; None without one.
    earned     What that earns; paid: what closes have paid of the window.
    elsewhere  What had been credited in months before the first close earns: it was paid elsewhere.
    why        Why nothing can be said; empty otherwise.
    """

    pay: Pay
    measure: Measure
    currency: Currency
    credit: int
    quota: int | None
    paid: int
    scale: Scale | None
    why: str = ""
    elsewhere: int = 0

    @property
    def earned(self) -> int:
        return earned(self.credit, self.scale) if self.scale is not None else 0

    @property
    def still_to_come(self) -> int:
        return self.earned - self.paid - self.elsewhere

    @property
    def next(self) -> Ahead | None:
        return ahead(self.credit, self.scale) if self.scale is not None else None

    @property
    def bands(self) -> list[Band]:
        return bands(self.credit, self.scale) if self.scale is not None else []

    @property
    def next_words(self) -> str:
        """What is missing to the next tier and what it brings; empty where there is none."""
        found, scale = self.next, self.scale
        terms = terms_of(self.pay.component)
        if found is None or scale is None or terms is None:
            return ""
        unit = self.measure.currency
        missing = formats.money(found.more, unit.code, unit.exponent) if unit else formats.count(found.more)
        gain = formats.money(found.gain, self.currency.code, self.currency.exponent)
        if self.pay.by == PayBy.ATTAINMENT and self.quota:
            points = formats.percent(found.more, self.quota)
            reach = f"{points} more of quota ({missing}) reaches {percent(found.at)} and pays {gain} more"
            each = rounded(Fraction(found.rate_ppm, 100))
            return f"{reach}; from there each 1% pays {percent(each)} of target."
        reach = f"{missing} more reaches {pay_place(found.at, terms)} and pays {gain} more"
        return f"{reach}; from there {percent(found.rate_ppm)} of the credit."


def estimates(rep: Rep, *, on: date) -> list[Estimate]:
    """Each component that pays the rep on a day, in its running window. About 16 queries."""
    calendar = periods.calendar_of_rep(rep.pk, on)
    if calendar is None:
        return []
    months = Months(calendar.pk)
    month = months.holding(on)
    if month is None:
        return []
    terms = Terms(months, [month], reps=[rep.pk])
    pays = [pay for of in terms.pays(rep.pk, month.pk).values() for pay in of]
    if not pays:
        return []
    credit = _restated(rep, {pk for pay in pays for pk in pay.months})
    paid: dict[tuple[int, int, str], dict[int, int]] = defaultdict(dict)
    for plan, measure, currency, origin, amount in (
        EarningEntry.objects.filter(
            rep=rep, kind=EarningKind.EARNED, origin_period__in={pk for pay in pays for pk in pay.months}
        )
        .order_by()
        .values_list("plan_id", "measure_id", "currency_id", "origin_period_id")
        .annotate(together=Sum("amount_minor"))
    ):
        paid[plan or 0, measure or 0, currency][origin] = int(amount)
    before = _credited_before(rep, _opening(months) & {pk for pay in pays for pk in pay.months})
    currencies = {c.code: c for c in Currency.objects.all()}
    found = []
    for pay in sorted(pays, key=lambda p: (-p.component.weight_ppm, p.component.pk)):
        scale = terms.scale(rep.pk, pay)
        of_window = paid[pay.plan_id, pay.measure_id, pay.currency]
        found.append(
            Estimate(
                pay=pay,
                measure=pay.component.measure,
                currency=currencies[pay.currency],
                credit=sum(credit.get((pay.measure_id, pk), 0) for pk in pay.months),
                quota=terms.quota(rep.pk, pay) if pay.by == PayBy.ATTAINMENT else None,
                paid=sum(of_window.get(pk, 0) for pk in pay.months),
                scale=None if isinstance(scale, str) else scale,
                why=WHY[scale] if isinstance(scale, str) else "",
                elsewhere=0
                if isinstance(scale, str)
                else earned(sum(before.get((pay.measure_id, pk), 0) for pk in pay.months), scale),
            )
        )
    return found


def _opening(months: Months) -> set[int]:
    """The months that were over before the first close here, or are if it is still to come. RULES 16.8. 1 query."""
    closed = PeriodClose.objects.filter(
        period__in=[month.pk for month in months.months], state__in=[CloseState.CLOSING, *PAID]
    )
    first = closed.aggregate(first=Min("period__starts"))["first"] or next(
        (month.starts for month in months.months if month.state != PeriodState.CLOSED), None
    )
    return {month.pk for month in months.months if first is None or month.starts < first}


def _credited_before(rep: Rep, opening: Collection[int]) -> dict[tuple[int, int], int]:
    """(Measure, month of origin) to what was credited in those months. 1 query, none without any."""
    if not opening:
        return {}
    rows = CreditEntry.objects.filter(rep=rep, posting_period__in=opening, origin_period__in=opening)
    return {
        (measure, month): int(together)
        for measure, month, together in rows.order_by()
        .values_list("measure_id", "origin_period_id")
        .annotate(together=Sum("amount_minor"))
    }


def _restated(rep: Rep, months: Collection[int]) -> dict[tuple[int, int], int]:
    """(Measure, month of origin) to today's credit, direct and overlay. 1 query."""
    return {
        (measure, month): int(together)
        for measure, month, together in CreditTotal.objects.filter(rep=rep, period__in=months)
        .order_by()
        .values_list("measure_id", "period_id")
        .annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
    }


# --- one entry --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A line of how an entry was worked out: (what it is, how it is written)."""

    text: str
    value: str
    is_sum: bool = False


@dataclass(frozen=True)
class WorkedOut:
    """How the amount of an entry came about, line by line; the last one is the amount."""

    steps: Sequence[Step]
    bands: Sequence[Band] = field(default_factory=tuple)


def worked_out(entry: EarningEntry) -> WorkedOut:
    """Out of what the entry keeps, so that it reads the same whatever has changed since. Reads measure and currency."""
    kept: Mapping[str, Any] = entry.worked_out
    currency = entry.currency

    def pay(minor: int, *, signed: bool = False) -> str:
        return formats.money(minor, currency.code, currency.exponent, signed=signed)

    def credit(minor: int) -> str:
        unit = entry.measure.currency if entry.measure else None
        return formats.money(minor, unit.code, unit.exponent) if unit else formats.count(minor)

    total = Step("This entry", pay(entry.amount_minor, signed=True), is_sum=True)
    if entry.kind != EarningKind.EARNED:
        steps = [
            Step("Earned in this close's month", pay(kept["earned"])),
            Step("Draw of the month", pay(kept["draw"])),
            Step("Still to be taken back before", pay(kept["balance_before"])),
        ]
        if kept["paid_before"]:
            steps.append(
                Step("Written by an earlier close of the month", pay(-kept["paid_before"], signed=True))
            )
        return WorkedOut([*steps, Step("Still to be taken back after", pay(kept["balance"])), total])
    if "scale" not in kept:
        return WorkedOut(
            [
                Step(f"Credit of {kept['window']}", credit(kept["credit"])),
                Step(WHY[kept["why"]], pay(0)),
                Step("Paid before, taken back", pay(-kept["paid_before"], signed=True)),
                total,
            ]
        )
    steps = [
        Step(f"Credit of {kept['window']} up to and with {entry.origin_period.name}", credit(kept["credit"]))
    ]
    if kept["by"] == PayBy.ATTAINMENT:
        steps += [
            Step(f"Quota of {kept['window']}", credit(kept["hundred"])),
            Step("Attainment", formats.percent(kept["credit"], kept["hundred"], 2)),
            Step(f"Target incentive of {kept['window']}", pay(kept["worth"][0])),
        ]
    elif kept["worth"] != [1, 1]:
        steps.append(
            Step(
                "Exchange rate on the last day of the month",
                formats.decimal(_decimal(kept["worth"], entry), 9),
            )
        )
    steps += [
        Step("Earned with it", pay(kept["earned"])),
        Step(
            f"Earned up to the month before, on {credit(kept['credit_before'])}",
            pay(-kept["earned_before"], signed=True),
        ),
    ]
    elsewhere = kept.get("paid_elsewhere", 0)
    if kept["paid_before"] - elsewhere:
        steps.append(Step("Paid by earlier closes", pay(elsewhere - kept["paid_before"], signed=True)))
    if elsewhere:
        steps.append(Step("Paid before the first close here", pay(-elsewhere, signed=True)))
    return WorkedOut([*steps, total], bands(kept["credit"], scale_of(kept)))


def _decimal(worth: Sequence[int], entry: EarningEntry) -> Decimal:
    """Units of pay for one unit of credit, from minor units of both."""
    of = entry.measure.currency if entry.measure else None
    shift = (of.exponent if of else 0) - entry.currency.exponent
    return (Decimal(worth[0]) / Decimal(worth[1])).scaleb(shift)
