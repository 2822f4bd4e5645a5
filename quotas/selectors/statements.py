"""Statements as they are read: which of them somebody may see, and what one says. RULES 15.

What a statement says is read from what its close froze: the entries posted in the month that the close knows, frozen totals and
quotas, the close's earnings. Names are as they are now, and so are disputes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Final, Literal

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.urls import reverse

from accounts.models import User
from config.slices import in_batches
from marketplace.models import Currency
from quotas.models import (
    Adjustment,
    ClosedQuota,
    ClosedTotal,
    CloseState,
    Component,
    CreditEntry,
    DealLine,
    Dispute,
    EarningEntry,
    EarningKind,
    Grain,
    Measure,
    Period,
    PeriodClose,
    PlanVersion,
    ReceiverClass,
    Rep,
    RuleVersion,
    Statement,
    Team,
    TeamMembership,
    TotalBasis,
)
from quotas.selectors import plan_documents
from quotas.selectors.earnings import worked_out
from quotas.selectors.visibility import SEES_EVERYTHING, rep_of, reps_for

Section = Literal["credited", "earlier", "by_hand"]
SECTIONS: Final[Mapping[Section, str]] = {
    "credited": "Credited this month",
    "earlier": "Adjustments of earlier months",
    "by_hand": "Adjustments by hand",
}
DONE: Final = (CloseState.CLOSED, CloseState.REOPENED)
GRAINS: Final = (Grain.MONTH, Grain.QUARTER, Grain.HALF, Grain.YEAR)
SLICE: Final = 500  # statements that are read at once
ONE_DAY: Final = timedelta(days=1)


# --- who may see which ------------------------------------------------------------------------------------


def statements_for(user: User, on: date) -> QuerySet[Statement]:
    """A rep's own, a manager's teams', all for comp admins and auditors; of closes that are through."""
    through = Statement.objects.filter(close__state__in=DONE)
    if user.has_role(*SEES_EVERYTHING):
        return through
    return through.filter(rep__in=reps_for(user, on))


def with_heads(found: QuerySet[Statement]) -> QuerySet[Statement]:
    """With whatever a row of a list names, in the same query."""
    return found.select_related("close__period", "rep__user", "acknowledged_by")


def closes_with(found: QuerySet[Statement]) -> list[PeriodClose]:
    """The closes that any of these statements is of, the latest first. 1 query."""
    return list(
        PeriodClose.objects.filter(Exists(found.order_by().filter(close=OuterRef("pk"))))
        .select_related("period")
        .order_by("-period__starts", "-version")
    )


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """How many of some statements were acknowledged; silent: have nobody who can, because the rep has no log-in."""

    statements: int
    acknowledged: int
    silent: int

    @property
    def open(self) -> int:
        return self.statements - self.acknowledged - self.silent


def acknowledged(found: QuerySet[Statement]) -> Acknowledged:
    """1 query."""
    counted = found.order_by().aggregate(
        every=Count("pk"),
        done=Count("pk", filter=Q(acknowledged_at__isnull=False)),
        silent=Count("pk", filter=Q(acknowledged_at=None, rep__user=None)),
    )
    return Acknowledged(counted["every"], counted["done"], counted["silent"])


# --- what one says ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One entry; amount in minor units of its measure. Without a deal it is an adjustment by hand."""

    entry_id: int
    section: Section
    measure: Measure
    deal_id: int | None
    customer: str
    offering: str
    line_no: int | None
    rule: str
    component: str
    overlay: bool
    credit_date: date
    origin: str
    amount_minor: int
    reverses_id: int | None
    adjustment: str = ""
    note: str = ""

    @property
    def reference(self) -> str:
        return f"D-{self.deal_id:06d}" if self.deal_id else self.adjustment

    @property
    def what(self) -> str:
        """What gave it: the rule and its part, or the adjustment's reason."""
        kind = f"{self.component}, overlay" if self.overlay else self.component
        return f"{self.rule}: {kind.lower()}" if self.rule else kind


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one section that one rule and component gave."""

    what: str
    lines: Sequence[Line]

    @property
    def amount_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a measure."""

    section: Section
    lines: Sequence[Line]

    @property
    def title(self) -> str:
        return SECTIONS[self.section]

    @property
    def groups(self) -> list[Group]:
        by = sorted(self.lines, key=lambda line: line.what)
        return [Group(what, list(lines)) for what, lines in groupby(by, key=lambda line: line.what)]

    @property
    def amount_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)


@dataclass(frozen=True, slots=True)
class ToDate:
    """A period that holds the month, up to the month's end: what was credited in it against its frozen quota."""

    period: Period
    credited_minor: int
    quota_minor: int | None

    @property
    def attainment(self) -> Fraction | None:
        return Fraction(self.credited_minor, self.quota_minor) if self.quota_minor else None


@dataclass(frozen=True)
class Account:
    """A measure of a statement. Direct and overlay credit count together, as they do for whoever receives them.

    opening_minor   Of the quarter, before the month.
    frozen_minor    The month's total as the close froze it; what the lines come to, if all is well.
    """

    measure: Measure
    opening_minor: int
    frozen_minor: int
    parts: Sequence[Part]
    to_date: Sequence[ToDate]

    @property
    def month_minor(self) -> int:
        return sum(part.amount_minor for part in self.parts)

    @property
    def closing_minor(self) -> int:
        return self.opening_minor + self.month_minor

    @property
    def adds_up(self) -> bool:
        return self.month_minor == self.frozen_minor

    @property
    def quarter(self) -> ToDate | None:
        return next((each for each in self.to_date if each.period.grain == Grain.QUARTER), None)

    @property
    def lines(self) -> list[Line]:
        return [line for part in self.parts for line in part.lines]


@dataclass(frozen=True, slots=True)
class Earned:
    """Pay of the close: by plan and measure, or a draw. told says how it was worked out, step by step."""

    entry: EarningEntry
    told: Sequence[tuple[str, str]] = ()

    @property
    def title(self) -> str:
        kind = str(EarningKind(self.entry.kind).label)
        return str(self.entry.measure) if self.entry.measure else kind


@dataclass(frozen=True, slots=True)
class Pay:
    """Earnings in one currency."""

    currency: Currency
    entries: Sequence[Earned]

    @property
    def amount_minor(self) -> int:
        return sum(each.entry.amount_minor for each in self.entries)


@dataclass(frozen=True)
class Content:
    """What a statement says.

    draws   Currency to what is still to be taken back from later earnings, as of the close.
    """

    statement: Statement
    team: Team | None
    plans: Sequence[PlanVersion]
    accounts: Sequence[Account]
    pay: Sequence[Pay]
    draws: Mapping[Currency, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        return all(account.adds_up for account in self.accounts)

    @cached_property
    def lines(self) -> list[Line]:
        return [line for account in self.accounts for line in account.lines]


def content_of(statement: Statement) -> Content:
    """A fixed number of queries, about 14."""
    return contents_of([statement])[0]


def contents_of(statements: Sequence[Statement]) -> list[Content]:
    """Of statements of one close, in their order. A fixed number of queries, about 14, whatever the number of statements."""
    if not statements:
        return []
    close = statements[0].close
    reps = [statement.rep_id for statement in statements]
    measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
    periods = _Periods.of(close.period)
    lines = _lines(close, reps, {measure.pk: measure for measure in measures})
    before = _before(close, reps, periods)
    frozen = _frozen(close, reps)
    quotas = _quotas(close, reps)
    pay = _pay(close, reps)
    draws = _draws(close, reps)
    last = close.period.ends - ONE_DAY
    teams = _teams(reps, last)
    plans = plan_documents.versions_of(reps, last)
    found = []
    for statement in statements:
        rep = statement.rep_id
        said = [
            _account(measure, lines[rep, measure.pk], before[rep], frozen, quotas, periods, rep)
            for measure in measures
            if (rep, measure.pk) in lines.keys() | frozen.keys()
            or measure.pk in before[rep]
            or any((rep, measure.pk, period.pk) in quotas for period in periods.every)
        ]
        found.append(
            Content(statement, teams.get(rep), plans.get(rep, []), said, pay.get(rep, []), draws.get(rep, {}))
        )
    return found


@dataclass(frozen=True)
class _Periods:
    """The month, what holds it, and the months of its year that lie before it."""

    every: Sequence[Period]
    earlier: Sequence[Period]

    @classmethod
    def of(cls, month: Period) -> "_Periods":
        """1 query."""
        holding = [month.pk, month.quarter_id, month.half_id, month.year_id]
        found = Period.objects.filter(
            Q(pk__in=holding) | Q(year=month.year_id, grain=Grain.MONTH, starts__lt=month.starts)
        )
        by_id = {period.pk: period for period in found}
        every = [by_id.pop(pk) for pk in holding if pk in by_id]
        return cls(every, sorted(by_id.values(), key=lambda period: period.starts))

    def months_in(self, period: Period) -> list[int]:
        """Of the earlier months, those that a period holds."""
        if period.grain == Grain.MONTH:
            return []
        return [m.pk for m in self.earlier if m.starts >= period.starts]


def _account(
    measure: Measure,
    lines: Sequence[Line],
    before: Mapping[int, Mapping[int, int]],
    frozen: Mapping[tuple[int, int], int],
    quotas: Mapping[tuple[int, int, int], int],
    periods: _Periods,
    rep: int,
) -> Account:
    parts = [Part(section, [line for line in lines if line.section == section]) for section in SECTIONS]
    month = sum(line.amount_minor for line in lines)
    earlier = before.get(measure.pk, {})
    to_date = [
        ToDate(
            period,
            month + sum(earlier.get(pk, 0) for pk in periods.months_in(period)),
            quotas.get((rep, measure.pk, period.pk)),
        )
        for period in periods.every
    ]
    quarter = next((each for each in to_date if each.period.grain == Grain.QUARTER), None)
    return Account(
        measure=measure,
        opening_minor=quarter.credited_minor - month if quarter else 0,
        frozen_minor=frozen.get((rep, measure.pk), 0),
        parts=[part for part in parts if part.lines],
        to_date=to_date,
    )


def entries_of(close: PeriodClose, reps: Collection[int]) -> QuerySet[CreditEntry]:
    """What was posted in the month for these reps, as far as the close knows it."""
    return CreditEntry.objects.filter(
        posting_period=close.period_id,
        rep__in=list(reps),
        posting__marked__mark__lte=close.mark_id,
    )


def _lines(
    close: PeriodClose, reps: Collection[int], measures: Mapping[int, Measure]
) -> defaultdict[tuple[int, int], list[Line]]:
    """By rep and measure, oldest entry first. 5 queries."""
    fields = (
        *("id", "rep_id", "measure_id", "deal_id", "deal__customer__name", "deal_version_id", "line_no"),
        *("rule_version_id", "component", "receiver_class", "credit_date", "origin_period_id"),
        *("amount_minor", "reverses_id", "adjustment_id"),
    )
    rows = list(entries_of(close, reps).order_by("id").values_list(*fields))
    offerings = _offerings({row[5] for row in rows if row[5]})
    rules = dict(
        RuleVersion.objects.filter(pk__in={row[7] for row in rows if row[7]}).values_list("pk", "name")
    )
    months = dict(Period.objects.filter(pk__in={row[11] for row in rows}).values_list("pk", "name"))
    adjustments = Adjustment.objects.in_bulk({row[14] for row in rows if row[14]})
    found: defaultdict[tuple[int, int], list[Line]] = defaultdict(list)
    for (
        entry,
        rep,
        measure,
        deal,
        customer,
        version,
        no,
        rule,
        kind,
        receiver,
        on,
        origin,
        amount,
        undone,
        hand,
    ) in rows:
        adjustment = adjustments.get(hand) if hand else None
        found[rep, measure].append(
            Line(
                entry_id=entry,
                section="by_hand" if hand else "earlier" if origin != close.period_id else "credited",
                measure=measures[measure],
                deal_id=deal,
                customer=customer or "",
                offering=offerings.get((version, no), ""),
                line_no=no,
                rule=rules.get(rule, ""),
                component=str(adjustment.get_reason_code_display() if adjustment else Component(kind).label),
                overlay=receiver == ReceiverClass.OVERLAY,
                credit_date=on,
                origin=months[origin],
                amount_minor=amount,
                reverses_id=undone,
                adjustment=adjustment.reference if adjustment else "",
                note=adjustment.note if adjustment else "",
            )
        )
    return found


def _offerings(versions: Collection[int]) -> dict[tuple[int, int], str]:
    """1 query."""
    if not versions:
        return {}
    sold = DealLine.objects.filter(version__in=versions)
    return {
        (version, no): name
        for version, no, name in sold.values_list("version_id", "line_no", "offering__name")
    }


def _before(
    close: PeriodClose, reps: Collection[int], periods: _Periods
) -> defaultdict[int, dict[int, dict[int, int]]]:
    """By rep, measure and earlier month of the year: what was posted in it, as far as the close knows it. 1 query, none in the first month.

    Not the frozen total of the quarter: that holds what was posted in months to come as well, if the close was late.
    """
    found: defaultdict[int, dict[int, dict[int, int]]] = defaultdict(dict)
    if periods.earlier:
        rows = (
            CreditEntry.objects.filter(
                posting_period__in=[month.pk for month in periods.earlier],
                rep__in=list(reps),
                posting__marked__mark__lte=close.mark_id,
            )
            .order_by()
            .values_list("rep_id", "measure_id", "posting_period_id")
            .annotate(together=Sum("amount_minor"))
        )
        for rep, measure, month, together in rows:
            found[rep].setdefault(measure, {})[month] = int(together)
    return found


def _frozen(close: PeriodClose, reps: Collection[int]) -> dict[tuple[int, int], int]:
    """By rep and measure: the month as reported, in whatever team. 1 query."""
    rows = (
        ClosedTotal.objects.filter(
            close=close, period=close.period_id, basis=TotalBasis.REPORTED, rep__in=list(reps)
        )
        .values_list("rep_id", "measure_id")
        .annotate(direct=Sum("direct_minor"), overlay=Sum("overlay_minor"))
    )
    return {(rep, measure): int(direct + overlay) for rep, measure, direct, overlay in rows}


def _quotas(close: PeriodClose, reps: Collection[int]) -> dict[tuple[int, int, int], int]:
    """By rep, measure and period. 1 query."""
    rows = ClosedQuota.objects.filter(close=close, rep__in=list(reps))
    return {(row.rep_id or 0, row.measure_id, row.period_id): row.quota_minor for row in rows}


def _pay(close: PeriodClose, reps: Collection[int]) -> dict[int, list[Pay]]:
    """By rep, in the order of the measures, draws last. 1 query."""
    rows = (
        EarningEntry.objects.filter(close=close, rep__in=list(reps))
        .select_related("plan_version__plan", "measure__currency", "origin_period", "currency")
        .order_by("rep_id", "currency_id", "plan_id", "measure__position", "origin_period__starts", "pk")
    )
    found: dict[int, list[Pay]] = {}
    for (rep, _code), entries in groupby(rows, key=lambda each: (each.rep_id, each.currency_id)):
        told = [
            Earned(entry, [(step.text, step.value) for step in worked_out(entry).steps if not step.is_sum])
            for entry in entries
        ]
        found.setdefault(rep, []).append(Pay(told[0].entry.currency, told))
    return found


def _draws(close: PeriodClose, reps: Collection[int]) -> dict[int, dict[Currency, int]]:
    """By rep and currency: recoverable draws paid less what was taken back, up to the close. 2 queries at most."""
    rows = list(
        EarningEntry.objects.filter(
            Q(kind=EarningKind.RECOVERY) | Q(kind=EarningKind.DRAW, draw__recoverable=True),
            rep__in=list(reps),
            close__mark__lte=close.mark_id,
            close__period__calendar=close.period.calendar_id,
        )
        .order_by()
        .values_list("rep_id", "currency_id")
        .annotate(together=Sum("amount_minor"))
    )
    currencies = Currency.objects.in_bulk({code for _rep, code, _sum in rows}) if rows else {}
    found: dict[int, dict[Currency, int]] = {}
    for rep, code, together in rows:
        found.setdefault(rep, {})[currencies[code]] = int(together)
    return found


def _teams(reps: Collection[int], on: date) -> dict[int, Team]:
    """Each rep's team on a day, the last one before it if there is none. 1 query."""
    rows = (
        TeamMembership.objects.filter(rep__in=list(reps), superseded_at=None, effective__startswith__lte=on)
        .select_related("team")
        .order_by("rep_id", "effective")
    )
    return {membership.rep_id: membership.team for membership in rows}


# --- what changed against the version before ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moved:
    """A measure's closing balance or quota, or what a month's closes paid in a currency, in one version and in the next."""

    what: str
    measure: Measure | None
    currency: Currency | None
    was_minor: int
    is_minor: int

    @property
    def by_minor(self) -> int:
        return self.is_minor - self.was_minor


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement says that the version before did not. added: entries that the close before did not know."""

    before: Statement
    added: Sequence[Line]
    moved: Sequence[Moved]

    @property
    def any(self) -> bool:
        return bool(self.added or self.moved)


def version_before(statement: Statement) -> Statement | None:
    """The same rep's statement of the month's close before. 1 query."""
    return (
        with_heads(Statement.objects.all())
        .filter(
            rep=statement.rep_id,
            close__period=statement.close.period_id,
            close__version__lt=statement.close.version,
            close__state__in=DONE,
        )
        .order_by("-close__version")
        .first()
    )


def version_after(statement: Statement) -> Statement | None:
    """The same rep's newest statement of the month, if this is not it. 1 query."""
    return (
        with_heads(Statement.objects.all())
        .filter(
            rep=statement.rep_id,
            close__period=statement.close.period_id,
            close__version__gt=statement.close.version,
            close__state__in=DONE,
        )
        .order_by("-close__version")
        .first()
    )


def change_of(content: Content) -> Change | None:
    """None for a first version. As many queries as a statement, and two; a later version pays the difference to those before it."""
    before = version_before(content.statement)
    if before is None:
        return None
    old = content_of(before)
    known = {line.entry_id for line in old.lines}
    moved = []
    was = {account.measure.pk: account for account in old.accounts}
    for account in content.accounts:
        base = was.get(account.measure.pk)
        moved.append(
            Moved(
                "Closing balance",
                account.measure,
                None,
                base.closing_minor if base else 0,
                account.closing_minor,
            )
        )
        quotas = {each.period.pk: each.quota_minor for each in base.to_date} if base else {}
        moved += [
            Moved(
                f"Quota of {each.period.name}",
                account.measure,
                None,
                quotas.get(each.period.pk) or 0,
                each.quota_minor or 0,
            )
            for each in account.to_date
        ]
    paid = _paid_before(content.statement)
    moved += [
        Moved(
            f"Paid with the closes of {content.statement.close.period.name}",
            None,
            pay.currency,
            paid.get(pay.currency.code, 0),
            paid.get(pay.currency.code, 0) + pay.amount_minor,
        )
        for pay in content.pay
    ]
    return Change(
        before,
        [line for line in content.lines if line.entry_id not in known],
        [each for each in moved if each.by_minor],
    )


def _paid_before(statement: Statement) -> dict[str, int]:
    """By currency, what earlier closes of the month paid the rep. 1 query."""
    return dict(
        EarningEntry.objects.filter(
            rep=statement.rep_id,
            close__period=statement.close.period_id,
            close__version__lt=statement.close.version,
            close__state__in=DONE,
        )
        .order_by()
        .values_list("currency_id")
        .annotate(together=Sum("amount_minor"))
    )


def disputes_of(content: Content) -> list[Dispute]:
    """The rep's disputes about the month or an entry of it, the newest first. 1 query."""
    statement = content.statement
    about = Q(period=statement.close.period_id) | Q(entry_id__in=[line.entry_id for line in content.lines])
    return list(Dispute.objects.filter(about, rep=statement.rep_id).select_related("deal").order_by("-pk"))


# --- many -------------------------------------------------------------------------------------------------


def in_order(found: QuerySet[Statement]) -> Iterable[list[Statement]]:
    """Statements of one close so many at a time, by the rep's name."""
    ids = found.order_by("rep__name", "rep_id").values_list("pk", flat=True)
    for some in in_batches(list(ids), SLICE):
        by_id = with_heads(Statement.objects.filter(pk__in=some)).in_bulk()
        yield [by_id[pk] for pk in some]


# --- what waits for somebody ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that a person is to acknowledge or accept."""

    kind: Literal["statement", "plan"]
    text: str
    url: str
    since: datetime


def pending_for(user: User, on: date) -> list[Pending]:
    """The rep's statements that are not acknowledged and plan versions that are not accepted, the newest first. At most 8 queries.

    Of a month its newest version alone; one whose month was reopened waits for the next version.
    """
    rep = rep_of(user)
    if rep is None:
        return []
    found = [
        Pending(
            "statement",
            f"Your statement of {each.close.period.name} waits for you to acknowledge it.",
            reverse("quotas:statement", args=[each.pk]),
            each.issued_at,
        )
        for each in open_of(rep)
    ]
    found += [
        Pending(
            "plan",
            f"{version} waits for you to accept it.",
            reverse("quotas:plan-document", args=[version.plan.slug, version.number]),
            version.published_at,
        )
        for version in plan_documents.to_accept(rep, on)
        if version.published_at is not None
    ]
    return sorted(found, key=lambda each: each.since, reverse=True)


def open_of(rep: Rep) -> QuerySet[Statement]:
    """What a rep has not acknowledged and still can."""
    return with_heads(
        Statement.objects.filter(rep=rep, acknowledged_at=None, close__state=CloseState.CLOSED)
    ).order_by("-close__period__starts", "-pk")
