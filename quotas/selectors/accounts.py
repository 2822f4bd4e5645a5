"""Customer accounts: whose they are, what they bought, use and have committed to, and what of it a person may see. RULES 19.

What was committed and how it is drawn is the customer's, whole, for everybody who sees the account. Deals, usage, publishers
and credits are those that the person may read anyway. A sourcing lead sees what accounts spend, and no deals, people or credits.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Count, DateField, Exists, F, Func, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Cast

from accounts.models import Role, User
from marketplace.models import Currency, Customer, PrivateOffer, Publisher
from quotas.models import (
    AccountOwnership,
    CustomerTerritory,
    Deal,
    DealKind,
    DealLine,
    DealState,
    Measure,
    Period,
    TeamMembership,
)
from quotas.selectors.deals import refunded_by
from quotas.selectors.drawdown import (
    ESTIMATED,
    Bought,
    DrawDown,
    Rates,
    Spend,
    at_risk,
    by_publisher,
    draw_downs,
    spend_of,
)
from quotas.selectors.facts import Known, owners
from quotas.selectors.finding import named
from quotas.selectors.visibility import SEES_EVERYTHING, deals_for, entries_for, managed_teams, rep_of

READERS: Final = (Role.REP, Role.MANAGER, *SEES_EVERYTHING, Role.SOURCING_LEAD)
OPEN: Final = (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED)
REPORTED_IN: Final = "USD"
RENEWALS_AHEAD: Final = 365
SOON: Final = 90
MOST: Final = 12


def sees_people(user: User) -> bool:
    """Whether owners, deals and credits are any business of theirs."""
    return user.has_role(Role.REP, Role.MANAGER, *SEES_EVERYTHING)


def accounts_for(user: User, on: date) -> QuerySet[Customer]:
    """All; else those that oneself, or somebody of the managed teams, owns, owned or has a deal with. Nobody's for partners."""
    found = Customer.objects.all()
    if user.has_role(*SEES_EVERYTHING, Role.SOURCING_LEAD):
        return found
    if not user.has_role(Role.REP, Role.MANAGER):
        return found.none()
    mine = rep_of(user)
    held = Q(rep__in=[mine.pk] if mine is not None else [])
    teams = managed_teams(user, on)
    if teams:
        held |= Q(
            rep__in=TeamMembership.objects.filter(
                team__in=teams, superseded_at=None, effective__contains=on
            ).values("rep")
        )
    owned = AccountOwnership.objects.filter(held, customer=OuterRef("pk"), superseded_at=None)
    return found.filter(Q(Exists(owned)) | Q(pk__in=deals_for(user, on).values("customer")))


# --- narrowing the list -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What the list is narrowed to; empty is any."""

    words: str = ""
    segment: str = ""
    region: str = ""
    renewing: bool = False
    risky: bool = False

    def __bool__(self) -> bool:
        return bool(self.words or self.segment or self.region or self.renewing or self.risky)


def narrowed(accounts: QuerySet[Customer], by: Narrowed, user: User, on: date) -> QuerySet[Customer]:
    """No query, but for commitments at risk, then 6, and for terms that end soon, then 4."""
    for word in by.words.split()[:6]:
        matching = Q(name__icontains=word)
        if sees_people(user):
            matching |= Q(Exists(_owned_now(on).filter(customer=OuterRef("pk"), rep__name__icontains=word)))
        accounts = accounts.filter(matching)
    if by.segment:
        accounts = accounts.filter(segment=by.segment)
    if by.region:
        accounts = accounts.filter(region=by.region)
    if by.renewing:
        lines = _with_end(_seen_lines(user, on)).filter(ends__gte=on, ends__lt=on + timedelta(days=SOON))
        with_one = accounts.filter(pk__in=lines.values("version__deal__customer")).values_list(
            "pk", flat=True
        )
        ahead = renewals(list(with_one), user, on)
        soon = {each.customer_id for each in ahead if each.ends < on + timedelta(days=SOON)}
        accounts = accounts.filter(pk__in=soon)
    if by.risky:
        with_one = accounts.filter(
            commitments__superseded_at=None, commitments__effective__contains=on
        ).values_list("pk", flat=True)
        accounts = accounts.filter(pk__in=at_risk(draw_downs(list(with_one), on)))
    return accounts


def _owned_now(on: date) -> QuerySet[AccountOwnership]:
    return AccountOwnership.objects.filter(superseded_at=None, effective__contains=on)


def _seen_deals(user: User, on: date) -> QuerySet[Deal]:
    """Those whose spend this person may read."""
    return Deal.objects.all() if spend_only(user) else deals_for(user, on)


def spend_only(user: User) -> bool:
    """Reads what accounts spend, and no deal behind it."""
    return user.has_role(Role.SOURCING_LEAD) and not sees_people(user)


def _seen_lines(user: User, on: date) -> QuerySet[DealLine]:
    """Lines with a term, of deals that can be renewed."""
    return DealLine.objects.filter(
        version__deal__in=_seen_deals(user, on),
        version=F("version__deal__credited_version"),
        version__deal__state=DealState.APPROVED,
        version__kind__in=[DealKind.NEW_BUSINESS, DealKind.EXPANSION, DealKind.RENEWAL],
        term_months__isnull=False,
    )


def _with_end(lines: QuerySet[DealLine]) -> QuerySet[Any]:
    """ends: the first day after the term, counted from the close date; 31 January and a month is the last of February."""
    months = Func(
        F("term_months"), function="make_interval", template="make_interval(months => %(expressions)s)"
    )
    return lines.annotate(ends=Cast(F("version__close_date") + months, DateField()))


# --- the list -----------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """An account in the list. Without people and deals for who may not see them."""

    customer: Customer
    owner: str = ""
    open_deals: int = 0
    won_deals: int = 0
    draws: list[DrawDown] = field(default_factory=list)
    renews: date | None = None

    @property
    def running(self) -> DrawDown | None:
        """The one that is most at risk of those that run."""
        rank = {"bad": 0, "warn": 1}
        return min(
            (each for each in self.draws if each.running),
            key=lambda each: (rank.get(each.standing.tone, 2), each.commitment.effective.upper),
            default=None,
        )


def rows(page: Sequence[Customer], user: User, on: date) -> list[Row]:
    """Accounts with their figures. 8 queries, whatever their number; those of deals_for come on top."""
    ids = [customer.pk for customer in page]
    found = {customer.pk: Row(customer) for customer in page}
    if sees_people(user):
        for pk, name in _owned_now(on).filter(customer__in=ids).values_list("customer_id", "rep__name"):
            found[pk].owner = name
        counted = (
            deals_for(user, on)
            .filter(customer__in=ids)
            .exclude(latest_version__kind=DealKind.CONSUMPTION)
            .values_list("customer_id")
            .annotate(
                waiting=Count("pk", filter=Q(state__in=OPEN)),
                won=Count("pk", filter=Q(state=DealState.APPROVED)),
            )
        )
        for pk, waiting, won in counted:
            found[pk].open_deals, found[pk].won_deals = waiting, won
    for pk, draws in draw_downs(ids, on).items():
        found[pk].draws = draws
    for renewal in renewals(ids, user, on):
        row = found[renewal.customer_id]
        row.renews = min(row.renews or renewal.ends, renewal.ends)
    return list(found.values())


# --- renewals -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Renewal:
    """A deal whose term ends: minor is what of it has a term. by: the open deal that renews it, if there is one."""

    customer_id: int
    deal_id: int
    ends: date
    minor: int
    currency: Currency
    offerings: tuple[str, ...]
    by: Deal | None

    @property
    def reference(self) -> str:
        return f"D-{self.deal_id:06d}"


def renewals(customers: Collection[int], user: User, on: date) -> list[Renewal]:
    """Terms that end in the next 12 months, the next first. What an approved renewal of the same offerings follows is left out, as is what was refunded.

    3 queries; those of deals_for come on top.
    """
    lines = (
        _with_end(_seen_lines(user, on).filter(version__deal__customer__in=customers))
        .filter(ends__gte=on, ends__lt=on + timedelta(days=RENEWALS_AHEAD))
        .select_related("version__deal", "version__currency", "offering")
        .order_by("version__deal_id", "line_no")
    )
    by_deal: dict[tuple[int, date], list[DealLine]] = defaultdict(list)
    for line in lines:
        by_deal[line.version.deal_id, line.ends].append(line)
    following: dict[int, list[Deal]] = defaultdict(list)
    renewing = (
        _seen_deals(user, on)
        .filter(
            customer__in=customers,
            latest_version__kind=DealKind.RENEWAL,
            state__in=[*OPEN, DealState.APPROVED],
        )
        .select_related("latest_version")
        .prefetch_related("latest_version__lines")
        .order_by("pk")
    )
    for deal in renewing:
        following[deal.customer_id].append(deal)
    back: dict[tuple[int, int], int] = defaultdict(int)
    for original, offering, _refund, amount in refunded_by({pk for pk, _ends in by_deal}, settled=True):
        back[original, offering] -= amount
    found = []
    for (deal_id, ends), every in by_deal.items():
        first = every[0].version
        ending = []
        for line in every:
            taken = min(back[deal_id, line.offering_id], line.amount_minor)
            back[deal_id, line.offering_id] -= taken
            if taken < line.amount_minor or not taken:
                ending.append((line, line.amount_minor - taken))
        if not ending:
            continue
        offerings = {line.offering_id for line, _left in ending}
        later = [
            deal
            for deal in following[first.deal.customer_id]
            if deal.pk != deal_id
            and deal.latest.close_date > first.close_date
            and offerings & {line.offering_id for line in deal.latest.lines.all()}
        ]
        if any(deal.state == DealState.APPROVED for deal in later):
            continue
        found.append(
            Renewal(
                *(first.deal.customer_id, deal_id, ends),
                minor=sum(left for _line, left in ending),
                currency=first.currency,
                offerings=tuple(line.offering.name for line, _left in ending),
                by=later[0] if later else None,
            )
        )
    return sorted(found, key=lambda each: (each.ends, each.deal_id))


# --- one account --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Month:
    """A month's usage in one currency. billed: of what has a bill; estimated: of what has none yet."""

    starts: date
    currency: Currency
    billed: int
    estimated: int

    @property
    def minor(self) -> int:
        return self.billed + self.estimated


@dataclass(frozen=True, slots=True)
class Credited:
    measure: Measure
    period: Period
    minor: int


@dataclass(frozen=True, slots=True)
class FromPublisher:
    publisher: Publisher
    minor: int


@dataclass
class Account:
    """Everything about one customer that one person may see. Lists that are not theirs are empty."""

    customer: Customer
    people: bool
    owners: list[Known]
    credited_to: str
    territories: list[CustomerTerritory]
    open_deals: list[Deal]
    won_deals: list[Deal]
    won: int
    credits: list[Credited]
    usage: list[Month]
    draws: list[DrawDown]
    bought: list[FromPublisher]
    bought_in: Currency | None
    not_converted: int
    renewals: list[Renewal]
    offers: list[PrivateOffer]

    @property
    def bought_minor(self) -> int:
        return sum(each.minor for each in self.bought)


def account(customer: Customer, user: User, on: date) -> Account:
    """A fixed number of queries, whatever the account holds."""
    people = sees_people(user)
    seen = _seen_deals(user, on).filter(customer=customer)
    spend = spend_of([customer.pk], on)
    rates = Rates()
    draws = draw_downs([customer.pk], on, spend=spend, rates=rates).get(customer.pk, [])
    may_read = set(seen.filter(state=DealState.APPROVED).values_list("pk", flat=True))
    own = [line for line in spend if line.deal_id in may_read]
    currencies = {each.code: each for each in Currency.objects.all()}
    bought, missing = by_publisher(own, REPORTED_IN, rates, on - timedelta(days=RENEWALS_AHEAD))
    listed = (
        seen.exclude(latest_version__kind=DealKind.CONSUMPTION)
        .select_related("owner", "latest_version__currency", "credited_version__currency")
        .prefetch_related("latest_version__lines", "credited_version__lines")
    )
    won = listed.filter(state=DealState.APPROVED)
    return Account(
        customer=customer,
        people=people,
        owners=owners(customer) if people else [],
        credited_to=_credited_to(customer, on) if people else "",
        territories=list(
            CustomerTerritory.objects.filter(
                customer=customer, superseded_at=None, effective__overlap=DateRange(on, None)
            )
            .select_related("territory")
            .order_by("territory__name", "effective")
        ),
        open_deals=list(listed.filter(state__in=OPEN).order_by("latest_version__close_date", "pk")[:50])
        if people
        else [],
        won_deals=list(won.order_by("-credited_version__close_date", "-pk")[:MOST]) if people else [],
        won=won.count() if people else 0,
        credits=_credits(customer, user, on) if people else [],
        usage=_usage(own, currencies),
        draws=draws,
        bought=_publishers(bought),
        bought_in=currencies.get(REPORTED_IN),
        not_converted=missing,
        renewals=renewals([customer.pk], user, on),
        offers=list(
            PrivateOffer.objects.filter(customer=customer)
            .select_related("plan__offering")
            .order_by("-pk")[:MOST]
        )
        if people
        else [],
    )


def _credited_to(customer: Customer, on: date) -> str:
    return (
        AccountOwnership.objects.filter(customer=customer, superseded_at=None, credits__contains=on)
        .values_list("rep__name", flat=True)
        .first()
        or ""
    )


def _credits(customer: Customer, user: User, on: date) -> list[Credited]:
    """What was credited on the account's deals by measure and month of posting, of entries that the person may read. 3 queries."""
    sums = (
        entries_for(user, on)
        .filter(deal__in=Deal.objects.filter(customer=customer).values("pk"))
        .values("measure_id", "posting_period_id")
        .annotate(minor=Sum("amount_minor"))
        .exclude(minor=0)
    )
    found = [(row["measure_id"], row["posting_period_id"], int(row["minor"])) for row in sums]
    measures = Measure.objects.select_related("currency").in_bulk({measure for measure, _, _ in found})
    periods = Period.objects.in_bulk({period for _, period, _ in found})
    credited = [Credited(measures[m], periods[p], minor) for m, p, minor in found]
    credited.sort(key=lambda each: (each.measure.position, each.measure.pk))
    return sorted(credited, key=lambda each: each.period.starts, reverse=True)[: 3 * MOST]


def _usage(spend: Iterable[Spend], currencies: dict[str, Currency]) -> list[Month]:
    """The earliest first, in calendar months, of the last twelve months with usage. No query."""
    sums: dict[tuple[date, str], list[int]] = defaultdict(lambda: [0, 0])
    for line in spend:
        if line.basis in ("billed", ESTIMATED):
            sums[line.on.replace(day=1), line.currency][line.basis == ESTIMATED] += line.minor
    months = sorted({starts for starts, _code in sums})[-MOST:]
    return [
        Month(starts, currencies[code], *sums[starts, code])
        for starts, code in sorted(sums)
        if starts in months
    ]


def _publishers(bought: Sequence[Bought]) -> list[FromPublisher]:
    known = Publisher.objects.in_bulk([each.publisher_id for each in bought])
    return [FromPublisher(known[each.publisher_id], each.minor) for each in bought]


def found_by(words: str, user: User, on: date, most: int = 8) -> list[Customer]:
    """Accounts that this person may see, by parts of their name, for the command palette. 1 query; those of deals_for on top."""
    return list(named(accounts_for(user, on), words).order_by("name", "pk")[:most])
