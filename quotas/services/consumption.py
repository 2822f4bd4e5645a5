"""Monthly usage by customer and offering: a fact that comes in rows, from a file or by REST, and is credited at once.

A customer's usage of a month in one currency is one deal of kind consumption, with a line for each offering and plan. The same
rows again change nothing; what changed is a new version, and only the difference is posted. Rules: quotas/RULES.md 3.1, 4.1, 8.5.
"""

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Final

from django.db import connection, transaction
from django.db.models import F

from accounts.audit import acting
from accounts.models import Role, User
from config import bulk
from config.clock import day_of
from config.refusals import Forbidden, Invalid, Problem, refuse_if_any
from marketplace.models import Currency, Customer, Offering, Plan
from quotas.crediting import engine
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    AccountOwnership,
    Deal,
    DealAction,
    DealEvent,
    DealKind,
    DealLine,
    DealState,
    FxRate,
    Grain,
    Measure,
    Period,
    SalesRole,
    TeamMembership,
    ValueBasis,
)
from quotas.services import discrepancies
from quotas.services.booking import DealDraft, LineDraft, facts_for, write_versions

POLICY: Final = "Usage, straight-through v1"
_PLAIN: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}")
LOCK: Final = 0x55534147  # one recording at a time, so that a customer's month cannot become two deals


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one customer used of one offering in one month.

    month           Any day of the fiscal month.
    consumed_minor  What was metered, in minor units of the currency: the estimate until the bill is known.
    billed_minor    What was billed; empty while that is not known. A bill that is known stays if a later row leaves it out.
    """

    customer_id: int
    offering_id: int
    month: date
    currency: str
    consumed_minor: int
    billed_minor: int | None = None
    plan_id: int | None = None
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NamedUsage:
    """A row as programs and people write it: by slug, amounts in units of the currency and not in minor ones."""

    customer: str
    offering: str
    month: date
    currency: str
    consumed: Decimal
    billed: Decimal | None = None
    plan: str = ""
    quantity: Decimal | None = None


@dataclass
class _Known:
    """What rows are checked against, read once for all of them."""

    customers: dict[int, Customer]
    offerings: dict[int, Offering]
    plans: dict[int, Plan]
    currencies: dict[str, Currency]
    months: list[Period]
    measured_in: set[str]
    rates: list[FxRate]
    today: date

    def month_of(self, day: date) -> Period | None:
        return next((month for month in self.months if month.starts <= day < month.ends), None)

    def credit_date(self, month: Period) -> date:
        """The month's last day; today while it is still running."""
        return min(month.ends - timedelta(days=1), self.today)


Key = tuple[int, int | None]
"""A line's offering and plan."""


@dataclass
class _Account:
    """A customer's usage of a month in one currency: the rows, by their place, and the deal that holds it so far."""

    customer_id: int
    month: Period
    currency: str
    rows: dict[int, UsageRow] = field(default_factory=dict)
    deal: Deal | None = None
    lines: dict[Key, LineDraft] = field(default_factory=dict)

    @property
    def external_id(self) -> str:
        return f"{self.month.name}:customer-{self.customer_id}:{self.currency}"


def may_record_usage(user: User) -> bool:
    """Comp admins, and the operator's own programs."""
    return user.has_role(Role.COMP_ADMIN) or (
        user.is_service and not user.has_role(Role.PARTNER, Role.ENGINEER)
    )


@transaction.atomic
def record_usage(*, rows: Sequence[UsageRow], source: str, by: User, at: datetime) -> dict[str, int]:
    """Record usage, all rows or none, and credit what is new in it to the accounts' owners. A fixed number of queries.

    source   Where the rows come from; a customer's usage of an offering and month has one source.
    Returns  How many rows are new, changed and unchanged.
    Raises   Forbidden; Invalid with every problem of every row, its pointer led by the row's place, from 0.
    """
    if not may_record_usage(by):
        raise Forbidden.of(
            "usage_needs_comp_admin", "Usage is recorded by comp admins and metering services."
        )
    counts = {"new": 0, "changed": 0, "unchanged": 0}
    if not rows:
        return counts
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s, 0)", [LOCK])
    known = _known(rows, today=day_of(at))
    found, accounts = _accounts(rows, known)
    found += _find_deals(accounts, source)
    refuse_if_any(found)
    owners, homeless = _owners(accounts, known)
    refuse_if_any(homeless)
    drafts: list[tuple[_Account, DealDraft]] = []
    for account in accounts:
        draft = _merged(account, known, counts, source=source, owner_id=owners[account.external_id])
        if draft is not None:
            drafts.append((account, draft))
    if drafts:
        _write(drafts, by=by, at=at)
    return counts


@transaction.atomic
def record_named_usage(
    *, rows: Sequence[NamedUsage], source: str, by: User, at: datetime, dry_run: bool = False
) -> dict[str, int]:
    """The same for rows by name. Raises Invalid with every problem, also of amounts finer than their currency.

    dry_run  Say what would come of it, and leave nothing behind.
    """
    known, found = _by_id(rows)
    counts: dict[str, int] = {}
    try:
        with transaction.atomic():
            counts = record_usage(rows=known, source=source, by=by, at=at)
            transaction.set_rollback(dry_run or bool(found))
    except Invalid as wrong:
        told = {problem.pointer for problem in found}
        found += [p for p in wrong.problems if p.pointer not in told]
    refuse_if_any(found)
    return counts


def _by_id(rows: Sequence[NamedUsage]) -> tuple[list[UsageRow], list[Problem]]:
    """Ids for slugs; each slug that nothing has gets an id of its own below zero. 4 queries."""
    customers = dict(
        Customer.objects.filter(slug__in={row.customer for row in rows}).values_list("slug", "pk")
    )
    offerings = dict(
        Offering.objects.filter(slug__in={row.offering for row in rows}).values_list("slug", "pk")
    )
    plans = {
        (offering, slug): pk
        for pk, offering, slug in Plan.objects.filter(
            offering__in=offerings.values(), slug__in={row.plan for row in rows if row.plan}
        ).values_list("pk", "offering_id", "slug")
    }
    exponents = dict(
        Currency.objects.filter(code__in={row.currency for row in rows}).values_list("code", "exponent")
    )
    unknown: dict[object, int] = {}
    found: list[Problem] = []
    made = []
    for place, row in enumerate(rows):
        offering = offerings.get(row.offering) or unknown.setdefault(row.offering, -1 - len(unknown))
        amounts = [
            _minor(value, exponents.get(row.currency, 2), row.currency, f"/{place}/{name}", found)
            for name, value in (("consumed", row.consumed), ("billed", row.billed))
        ]
        made.append(
            UsageRow(
                customer_id=customers.get(row.customer)
                or unknown.setdefault(("customer", row.customer), -1 - len(unknown)),
                offering_id=offering,
                month=row.month,
                currency=row.currency,
                consumed_minor=amounts[0] or 0,
                billed_minor=amounts[1],
                plan_id=(
                    plans.get((offering, row.plan))
                    or unknown.setdefault((offering, row.plan), -1 - len(unknown))
                )
                if row.plan
                else None,
                quantity=row.quantity,
            )
        )
    return made, found


def _minor(
    value: Decimal | None, exponent: int, currency: str, pointer: str, found: list[Problem]
) -> int | None:
    if value is None:
        return None
    scaled = value.scaleb(exponent)
    if scaled != scaled.to_integral_value():
        digits = f"at most {exponent} digits" if exponent else "no digits"
        found.append(Problem("too_many_digits", f"{currency} has {digits} after the point.", pointer))
        return 0
    return int(scaled)


# --- files -------------------------------------------------------------------------------------------------

COLUMNS: Final = ("month", "customer", "offering", "plan", "currency", "consumed", "billed", "quantity")
NEEDED: Final = ("month", "customer", "offering", "currency", "consumed")
MOST_IN_A_FILE: Final = 20_000


def record_usage_file(
    *, text: str, source: str, by: User, at: datetime, dry_run: bool = False
) -> dict[str, int]:
    """The same for the text of a CSV file with a head of COLUMNS, in any order; plan, billed and quantity may be left out.

    Raises  Invalid; pointers are /line/column, with the file's own line numbers, the head being line 1.
    """
    rows, lines, found = _read(text)
    counts: dict[str, int] = {}
    try:
        # Rows that cannot be read keep the others out too; what is wrong with those is said all the same.
        counts = record_named_usage(rows=rows, source=source, by=by, at=at, dry_run=dry_run or bool(found))
    except Invalid as wrong:
        found += [_on_line(problem, lines) for problem in wrong.problems]
    refuse_if_any(sorted(found, key=lambda problem: int(problem.pointer.split("/")[1])))
    return counts


def _on_line(problem: Problem, lines: Sequence[int]) -> Problem:
    _, place, *rest = problem.pointer.split("/")
    return replace(problem, pointer="/".join(["", str(lines[int(place)]), *rest]))


def _read(text: str) -> tuple[list[NamedUsage], list[int], list[Problem]]:
    """The rows that can be read, the line each is on, and what is wrong with the others."""
    found: list[Problem] = []
    rows: list[NamedUsage] = []
    lines: list[int] = []
    reader = csv.DictReader(StringIO(text.lstrip("\ufeff").replace("\x00", "")), restkey="", restval="")
    try:
        head = [name.strip().lower() for name in reader.fieldnames or ()]
    except csv.Error as broken:
        return [], [], [Problem("not_csv", f"This is not CSV: {broken}.", "/1")]
    reader.fieldnames = head
    missing = [name for name in NEEDED if name not in head]
    unknown = [name for name in head if name not in COLUMNS]
    if missing or unknown or len(set(head)) < len(head):
        said = f"Without {', '.join(missing)}. " if missing else ""
        said += f"Unknown: {', '.join(unknown)}. " if unknown else ""
        return (
            [],
            [],
            [Problem("wrong_head", f"{said}The first line names the columns {', '.join(COLUMNS)}.", "/1")],
        )
    try:
        for record in reader:
            values = {name: (record.get(name) or "").strip() for name in COLUMNS}
            values[""] = "".join(record.get("") or ())
            if not any(values.values()):
                continue
            if len(rows) + len(found) >= MOST_IN_A_FILE:
                return (
                    [],
                    [],
                    [Problem("too_many_rows", f"A file has at most {MOST_IN_A_FILE:,} rows.", "/1")],
                )
            wrong = list(_unreadable(values, reader.line_num))
            found += wrong
            if not wrong:
                rows.append(_row_of(values))
                lines.append(reader.line_num)
    except csv.Error as broken:
        found.append(Problem("not_csv", f"This is not CSV: {broken}.", f"/{reader.line_num}"))
    if not rows and not found:
        found.append(Problem("no_rows", "There is no row in it.", "/1"))
    return rows, lines, found


def _unreadable(values: Mapping[str, str], line: int) -> Iterable[Problem]:
    for name in NEEDED:
        if not values[name]:
            yield Problem("required", f"{name.capitalize()} is missing.", f"/{line}/{name}")
    if values["month"] and month_of(values["month"]) is None:
        yield Problem("not_a_month", "A month is written as 2026-07.", f"/{line}/month")
    if values.get(""):
        yield Problem("too_many_columns", "There is more on this line than there are columns.", f"/{line}")
    for name in ("consumed", "billed", "quantity"):
        if values[name] and not _PLAIN.fullmatch(values[name]):
            yield Problem("not_a_number", "A number is written as 1234.50.", f"/{line}/{name}")


def _row_of(values: Mapping[str, str]) -> NamedUsage:
    def number(name: str) -> Decimal | None:
        return Decimal(values[name]) if values[name] else None

    return NamedUsage(
        customer=values["customer"],
        offering=values["offering"],
        month=month_of(values["month"]) or date.min,
        currency=values["currency"].upper(),
        consumed=number("consumed") or Decimal(0),
        billed=number("billed"),
        plan=values["plan"],
        quantity=number("quantity"),
    )


def month_of(text: str) -> date | None:
    """2026-07 as its first day."""
    if not _MONTH.fullmatch(text):
        return None
    year, month = (int(part) for part in text.split("-"))
    return date(year, month, 1) if year and 1 <= month <= 12 else None


# --- what is done with the rows ----------------------------------------------------------------------------


def _known(rows: Sequence[UsageRow], *, today: date) -> _Known:
    """7 queries."""
    codes = {row.currency for row in rows}
    return _Known(
        customers=Customer.objects.in_bulk({row.customer_id for row in rows}),
        offerings=Offering.objects.in_bulk({row.offering_id for row in rows}),
        plans=Plan.objects.in_bulk({row.plan_id for row in rows if row.plan_id is not None}),
        currencies=Currency.objects.in_bulk(codes),
        months=list(Period.objects.filter(grain=Grain.MONTH).order_by("calendar_id", "starts")),
        measured_in=set(
            Measure.objects.filter(basis__in=(ValueBasis.CONSUMED, ValueBasis.BILLED))
            .exclude(currency=None)
            .values_list("currency_id", flat=True)
        ),
        rates=list(FxRate.objects.filter(superseded_at=None, from_currency__in=codes)),
        today=today,
    )


def _accounts(rows: Sequence[UsageRow], known: _Known) -> tuple[list[Problem], list[_Account]]:
    """The rows by customer, month and currency, and everything that is wrong with them."""
    found: list[Problem] = []
    accounts: dict[tuple[int, int, str], _Account] = {}
    seen: dict[object, int] = {}
    for place, row in enumerate(rows):
        month = known.month_of(row.month)
        found += [replace(p, pointer=f"/{place}{p.pointer}") for p in _wrong_with(row, month, known)]
        if month is None:
            continue
        same = (row.customer_id, row.offering_id, row.plan_id, month.pk, row.currency)
        if same in seen:
            found.append(
                Problem(
                    "row_twice",
                    f"Row {seen[same] + 1} has the same customer, offering, plan, month and currency: add them up.",
                    f"/{place}",
                )
            )
        seen.setdefault(same, place)
        account = accounts.setdefault(
            (row.customer_id, month.pk, row.currency), _Account(row.customer_id, month, row.currency)
        )
        account.rows[place] = row
    return found, list(accounts.values())


def _wrong_with(row: UsageRow, month: Period | None, known: _Known) -> Iterable[Problem]:
    if row.customer_id not in known.customers:
        yield Problem("unknown_customer", "There is no such customer.", "/customer")
    if row.offering_id not in known.offerings:
        yield Problem("unknown_offering", "There is no such offering.", "/offering")
    elif row.plan_id is not None and (
        row.plan_id not in known.plans or known.plans[row.plan_id].offering_id != row.offering_id
    ):
        yield Problem("unknown_plan", "There is no such plan of this offering.", "/plan")
    if month is None:
        yield Problem("no_period", f"No fiscal month holds {row.month}.", "/month")
    elif month.starts > known.today:
        yield Problem("month_ahead", f"{month.name} has not begun: nothing was used in it yet.", "/month")
    if row.currency not in known.currencies:
        yield Problem(
            "unknown_currency", f"{row.currency or 'Nothing'} is not a currency known here.", "/currency"
        )
    elif month is not None and month.starts <= known.today:
        yield from _without_rate(row, known.credit_date(month), known)
    for name, amount in (("consumed", row.consumed_minor), ("billed", row.billed_minor)):
        if amount is not None and amount < 0:
            yield Problem("negative_amount", "What was used is zero or more.", f"/{name}")
        elif amount is not None and amount > LARGEST_AMOUNT_MINOR:
            yield Problem(
                "amount_too_large", "Parity counts exactly up to 9,000,000,000,000 minor units.", f"/{name}"
            )
    if row.quantity is not None and not (
        0 <= row.quantity < 10**12 and row.quantity == round(row.quantity, 4)
    ):
        yield Problem(
            "quantity_out_of_range",
            "A quantity is zero or more, with at most twelve digits and four decimals.",
            "/quantity",
        )


def _without_rate(row: UsageRow, day: date, known: _Known) -> Iterable[Problem]:
    without = sorted(
        to
        for to in known.measured_in - {row.currency}
        if not any(
            r.from_currency_id == row.currency and r.to_currency_id == to and day in r.effective
            for r in known.rates
        )
    )
    if without:
        yield Problem(
            "no_fx_rate",
            f"There is no exchange rate from {row.currency} to {', '.join(without)} for {day}.",
            "/currency",
        )


def _find_deals(accounts: Sequence[_Account], source: str) -> list[Problem]:
    """Give each account the deal that holds it so far, locked in the order that everybody keeps. 6 queries.

    Usage that is held elsewhere already, or was cancelled, is in the way: it would count twice, or come back unasked.
    """
    ids = dict(
        Deal.objects.filter(source=source, external_id__in=[a.external_id for a in accounts]).values_list(
            "external_id", "pk"
        )
    )
    engine.lock(engine.ByDeal(sorted(ids.values())))
    deals = Deal.objects.select_related("credited_version").in_bulk(list(ids.values()))
    lines: dict[int | None, dict[Key, LineDraft]] = defaultdict(dict)
    for x in DealLine.objects.filter(version__in=[deal.credited_version_id for deal in deals.values()]):
        lines[x.version_id][x.offering_id, x.plan_id] = LineDraft(
            x.offering_id,
            x.amount_minor,
            x.plan_id,
            x.price_version_id,
            x.quantity,
            x.term_months,
            x.line_no,
            x.billed_minor,
        )
    elsewhere = _held_elsewhere(accounts, set(deals))
    found: list[Problem] = []
    for account in accounts:
        deal = deals.get(ids.get(account.external_id, 0))
        for place, row in account.rows.items():
            other = next(
                (
                    pk
                    for pk, day in elsewhere.get((row.customer_id, row.currency, row.offering_id), ())
                    if account.month.starts <= day < account.month.ends
                ),
                None,
            )
            if other is not None:
                found.append(
                    Problem(
                        "usage_held_elsewhere",
                        f"D-{other:06d} holds this offering's usage of {account.month.name} already: it came another way.",
                        f"/{place}/offering",
                    )
                )
            if deal is not None and deal.state != DealState.APPROVED:
                found.append(
                    Problem(
                        "usage_cancelled",
                        f"{deal.reference} holds the usage of {account.month.name} and is {deal.get_state_display().lower()}.",
                        f"/{place}/month",
                    )
                )
        if deal is not None:
            account.deal, account.lines = deal, lines[deal.credited_version_id]
    return found


def _held_elsewhere(
    accounts: Sequence[_Account], but: set[int]
) -> Mapping[tuple[int, str, int], list[tuple[int, date]]]:
    """(customer, currency, offering) to the approved consumption deals that hold it, with their credit dates. 1 query."""
    held: dict[tuple[int, str, int], list[tuple[int, date]]] = defaultdict(list)
    if not accounts:
        return held
    rows = DealLine.objects.filter(
        version__deal__customer__in={account.customer_id for account in accounts},
        version__deal__state=DealState.APPROVED,
        version=F("version__deal__credited_version"),
        version__kind=DealKind.CONSUMPTION,
        version__close_date__gte=min(account.month.starts for account in accounts),
        version__close_date__lt=max(account.month.ends for account in accounts),
    ).values_list(
        "version__deal_id",
        "version__deal__customer_id",
        "version__currency_id",
        "offering_id",
        "version__close_date",
    )
    for pk, customer, currency, offering, day in rows:
        if pk not in but:
            held[customer, currency, offering].append((pk, day))
    return held


def _owners(accounts: Sequence[_Account], known: _Known) -> tuple[dict[str, int], list[Problem]]:
    """Under whose name each account's deal is kept: the one credited, else the last owner, else the house. 2 queries.

    Whom the engine credits it finds out itself; this is who sees the deal.
    """
    spans: dict[int, list[AccountOwnership]] = defaultdict(list)
    for ownership in AccountOwnership.objects.filter(
        customer__in={account.customer_id for account in accounts}, superseded_at=None
    ).order_by("effective"):
        spans[ownership.customer_id].append(ownership)
    house = (
        TeamMembership.objects.filter(
            role=SalesRole.HOUSE, superseded_at=None, effective__contains=known.today
        )
        .order_by("rep_id")
        .values_list("rep_id", flat=True)
        .first()
    )
    owners: dict[str, int] = {}
    found: list[Problem] = []
    for account in accounts:
        of = spans[account.customer_id]
        day = known.credit_date(account.month)
        owner = next((o.rep_id for o in of if day in o.credits), of[-1].rep_id if of else house)
        if owner is None:
            found += [
                Problem(
                    "no_account_owner",
                    "Nobody has ever owned this account: give it an owner first.",
                    f"/{place}/customer",
                )
                for place in account.rows
            ]
        else:
            owners[account.external_id] = owner
    return owners, found


def _merged(
    account: _Account, known: _Known, counts: dict[str, int], *, source: str, owner_id: int
) -> DealDraft | None:
    """What the deal says from now on, None if nothing changes; counts the rows. What is in no row stays as it is."""
    lines = dict(account.lines)
    changed = 0
    for row in account.rows.values():
        key = (row.offering_id, row.plan_id)
        old = lines.get(key)
        new = LineDraft(
            row.offering_id,
            row.consumed_minor,
            row.plan_id,
            price_version_id=old.price_version_id if old else None,
            quantity=old.quantity if old and row.quantity is None else row.quantity,
            line_no=old.line_no if old else None,
            billed_minor=old.billed_minor if old and row.billed_minor is None else row.billed_minor,
        )
        lines[key] = new
        outcome = "new" if old is None else "unchanged" if new == old else "changed"
        counts[outcome] += 1
        changed += outcome != "unchanged"
    over = account.month.ends <= known.today
    was = account.deal.credited_version if account.deal else None
    if was is not None and not changed and not (over and was.close_date != known.credit_date(account.month)):
        return None
    last = max((line.line_no or 0 for line in account.lines.values()), default=0)
    numbered = []
    for line in lines.values():
        if line.line_no is None:
            last += 1
        numbered.append(replace(line, line_no=line.line_no or last))
    running = "" if over else ", to date"
    return DealDraft(
        owner_id=owner_id,
        customer_id=account.customer_id,
        kind=DealKind.CONSUMPTION,
        close_date=known.credit_date(account.month),
        currency=account.currency,
        lines=tuple(numbered),
        shares=(),
        title=f"Consumption of {account.month.starts:%B %Y}{running}",
        source=source,
        external_id=account.external_id,
    )


def _write(drafts: Sequence[tuple[_Account, DealDraft]], *, by: User, at: datetime) -> None:
    """New deals and new versions, approved under the policy and credited in one posting."""
    acting(by=by, at=at, reason=POLICY)
    known = [account.deal for account, _ in drafts if account.deal is not None]
    facts = facts_for([draft for _, draft in drafts], amended=known)
    new = iter(
        bulk.insert(
            [
                Deal(
                    source=draft.source,
                    external_id=draft.external_id,
                    owner_id=draft.owner_id,
                    customer_id=draft.customer_id,
                    calendar_id=facts.calendar_of(draft),
                    state=DealState.SUBMITTED,
                    created_by_id=by.pk,
                    created_at=at,
                    submitted_by_id=by.pk,
                    submitted_at=at,
                )
                for account, draft in drafts
                if account.deal is None
            ]
        )
    )
    deals = [account.deal or next(new) for account, _ in drafts]
    numbers = [
        account.deal.credited_version.number if account.deal and account.deal.credited_version else 0
        for account, _ in drafts
    ]
    versions = write_versions(
        [
            (deal.pk, draft, number + 1, at)
            for deal, (_, draft), number in zip(deals, drafts, numbers, strict=True)
        ],
        facts,
        by=by,
        reason=POLICY,
    )
    ids, latest = [deal.pk for deal in deals], versions
    bulk.update(
        Deal,
        ids,
        {
            "state": ("text", [DealState.APPROVED.value] * len(deals)),
            "owner_id": ("bigint", [draft.owner_id for _, draft in drafts]),
            "calendar_id": (
                "bigint",
                [facts.calendar_of(draft, deal) for deal, (_, draft) in zip(deals, drafts, strict=True)],
            ),
            "latest_version_id": ("bigint", latest),
            "credited_version_id": ("bigint", latest),
            "decided_at": ("timestamptz", [deal.decided_at or at for deal in deals]),
            "revision": ("int", [deal.revision + 1 for deal in deals]),
        },
    )
    bulk.insert(list(_events(drafts, deals, versions, by=by, at=at)))
    digest = hashlib.sha256(repr(latest).encode()).hexdigest()[:40]
    outcome = engine.post(
        engine.ByDeal(ids), key=f"usage:{digest}", kind="usage", by=by, at=at, reason=POLICY
    )
    discrepancies.follow(outcome, deals=ids, at=at)


def _events(
    drafts: Sequence[tuple[_Account, DealDraft]],
    deals: Sequence[Deal],
    versions: Sequence[int],
    *,
    by: User,
    at: datetime,
) -> Iterable[DealEvent]:
    for (account, draft), deal, version in zip(drafts, deals, versions, strict=True):
        billed = all(line.billed_minor is not None for line in draft.lines)
        what = "billed" if billed else "estimate"
        actions = (
            [(DealAction.LOGGED, ""), (DealAction.APPROVED, f"{POLICY}: {what}")]
            if account.deal is None
            else [(DealAction.AMENDMENT_APPROVED, f"{POLICY}: {'true-up to the bill' if billed else what}")]
        )
        for action, reason in actions:
            yield DealEvent(
                deal_id=deal.pk, version_id=version, action=action, by_id=by.pk, at=at, reason=reason
            )
