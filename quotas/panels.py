"""What quotas adds to the catalog's pages: the deals on an offering and their credit, and the open deals that a change hits."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Final

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, TruncMonth
from django.urls import reverse

from accounts.models import Role, User
from config import formats
from config.language import _, ngettext
from marketplace.extension import (
    Buyer,
    Change,
    Impact,
    Panel,
    Sales,
    buyers,
    impacts,
    panel,
    sales,
    sales_by_month,
)
from marketplace.models import Currency, Customer, Offering, Program
from marketplace.selectors.eligibility import reached
from quotas.models import Deal, DealKind, DealLine, DealState, FxRate, Grain, Measure, Period
from quotas.selectors.accounts import accounts_for, spend_only
from quotas.selectors.recredits import MOST_SUMMED, RULES_LOOK_AT
from quotas.selectors.visibility import SEES_EVERYTHING, deals_for, entries_for, publisher_of

OPEN = (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED)
MOST_NAMED = 50
USED_LATELY: Final = timedelta(days=92)


def _deals_on(offerings: tuple[int, ...], user: User, on: date) -> QuerySet[Deal]:
    lines = DealLine.objects.filter(version=OuterRef("latest_version"), offering__in=offerings)
    return deals_for(user, on).filter(Exists(lines))


@panel
def deals_and_credit(offering: Offering, user: User, on: date) -> Panel | None:
    """Deals that this person may see, and their credit in the fiscal year so far. 4 queries; nothing for who sees no deals."""
    if not user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN, Role.AUDITOR, Role.PARTNER):
        return None
    year = (
        Period.objects.filter(grain=Grain.YEAR, starts__lte=on, ends__gt=on).order_by("calendar_id").first()
    )
    deals = _deals_on((offering.pk,), user, on)
    in_year = (
        Q(latest_version__close_date__gte=year.starts, latest_version__close_date__lt=year.ends)
        if year
        else Q()
    )
    counted = deals.aggregate(
        open=Count("pk", filter=Q(state__in=OPEN)),
        approved=Count("pk", filter=Q(state=DealState.APPROVED) & in_year),
        next_close=Min(
            "latest_version__close_date", filter=Q(state__in=OPEN, latest_version__close_date__gte=on)
        ),
    )
    lines = DealLine.objects.filter(
        version=OuterRef("deal_version_id"), line_no=OuterRef("line_no"), offering=offering
    )
    sums = dict(
        entries_for(user, on)
        .filter(Exists(lines), posting_period__year=year)
        .order_by()
        .values_list("measure_id")
        .annotate(total=Sum("amount_minor"))
    )
    measures = Measure.objects.filter(pk__in=sums).select_related("currency").order_by("position", "id")
    return Panel(
        title=_("Deals and credit"),
        template="quotas/_offering_panel.html",
        context={**counted, "year": year, "credit": [(m.name, _written(m, sums[m.pk])) for m in measures]},
        hint=_("What you may see"),
    )


def _written(measure: Measure, value: int) -> str:
    exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
    return formats.measured(value, measure.currency_id, exponent, compact=True)


def _hit_by(change: Change, user: User, on: date) -> QuerySet[Deal]:
    """The deals on what a change reaches, as far as this person may know of them.

    Who keeps the catalog has to know which deals a change hits, so sees that they are there, whose and with whom; what they
    are worth and what they earn stays with those who may read the deal.
    """
    deals = Deal.objects.all() if _keeps_the_catalog(user) else deals_for(user, on)
    lines = DealLine.objects.filter(version=OuterRef("latest_version"), offering__in=_reached(change))
    return deals.filter(Exists(lines))


def _reached(change: Change) -> list[int]:
    """Ids, read at once: as a part of a larger statement the planner takes it for far fewer than it is. 1 query."""
    offerings = reached(
        program=change.program,
        first_day=change.first_day,
        until=change.until,
        offering_ids=change.offering_ids,
        publisher_id=change.publisher_id,
        commercial_path=change.commercial_path,
    )
    return list(offerings.values_list("pk", flat=True))


def _keeps_the_catalog(user: User) -> bool:
    return user.has_role(Role.CATALOG_MANAGER)


def _about_something(change: Change) -> bool:
    return change.offering_ids is not None or change.publisher_id is not None or bool(change.commercial_path)


@impacts
def open_deals(change: Change, user: User, on: date) -> Iterator[Impact]:
    """The open deals on what is changed that close on its days, the nearest first, and how many more there are. 2 queries.

    A fact put right hits none: it says what was always so, and what they would earn is shown with each of them.
    """
    if change.facts or not _about_something(change):
        return
    deals = _hit_by(change, user, on).filter(state__in=OPEN, latest_version__close_date__gte=change.first_day)
    if change.until is not None:
        deals = deals.filter(latest_version__close_date__lt=change.until)
    found = list(
        deals.annotate(closes=F("latest_version__close_date"))
        .select_related("customer", "owner")
        .order_by("closes", "pk")[: MOST_NAMED + 1]
    )
    outside, opens = (
        user.has_role(Role.PARTNER),
        not _keeps_the_catalog(user) or user.has_role(*SEES_EVERYTHING),
    )
    for deal in found[:MOST_NAMED]:
        who = "" if outside else f", {deal.customer.name}, {deal.owner.name}"
        yield Impact(
            kind="open deal",
            title=deal.reference,
            detail=f"{deal.get_state_display()}{who}",
            day=deal.closes,
            url=reverse("quotas:deal", args=[deal.pk]) if opens else "",
        )
    if len(found) > MOST_NAMED:
        more = deals.count() - MOST_NAMED
        yield Impact(
            kind="open deal",
            title=_("%(more)s more") % {"more": formats.whole(more)},
            detail=_("They close later."),
        )


@impacts
def credited_deals(change: Change, user: User, on: date) -> Iterator[Impact]:
    """What a decision on quota, or a fact that rules look at, finds credited already: lines, their credit by measure, and the run that follows. 2 to 3 queries."""
    if not _moves_credit(change) or not _about_something(change) or user.has_role(Role.PARTNER):
        return
    deals = Deal.objects.all() if _keeps_the_catalog(user) else deals_for(user, on)
    offerings = _reached(change)
    lines = DealLine.objects.filter(
        offering__in=offerings,
        version=F("version__deal__credited_version"),
        version__close_date__gte=_since(change),
        version__deal__in=deals.filter(state=DealState.APPROVED).values("pk"),
    )
    if change.until is not None:
        lines = lines.filter(version__close_date__lt=change.until)
    counted = lines.aggregate(lines=Count("pk"), deals=Count("version__deal", distinct=True))
    if not counted["lines"]:
        return
    many = counted["deals"], counted["lines"]
    yield Impact(
        kind="credit",
        title=ngettext("%(count)s credited deal", "%(count)s credited deals", many[0])
        % {"count": formats.whole(many[0])}
        + ", "
        + ngettext("%(count)s line", "%(count)s lines", many[1]) % {"count": formats.whole(many[1])},
        detail=_credit_of(change, offerings, user, on)
        if counted["lines"] <= MOST_SUMMED
        else _("Too many to add up while you wait: the run says what moves."),
    )
    yield Impact(
        kind="recredit",
        title=_("A recredit run follows"),
        detail=_(
            "It works the credit out again and posts differences only; closed months keep what they reported, and what"
            " moves in them is posted to the earliest open one."
        ),
        url=reverse("quotas:recredits") if user.has_role(*SEES_EVERYTHING) else "",
    )


def _moves_credit(change: Change) -> bool:
    if change.kind == "offering":
        return bool(RULES_LOOK_AT.intersection(change.facts))
    return change.kind == "eligibility" and change.program in ("", Program.QUOTA)


def _since(change: Change) -> date:
    """The first credit date that a change reaches: facts of an offering have no dates."""
    return date.min if change.kind == "offering" else change.first_day


def _credit_of(change: Change, offerings: list[int], user: User, on: date) -> str:
    """The credit that stands on the lines reached, by measure, of the entries that this person may read. 2 queries."""
    lines = DealLine.objects.filter(
        version=OuterRef("deal_version_id"), line_no=OuterRef("line_no"), offering__in=offerings
    )
    entries = entries_for(user, on).filter(Exists(lines), credit_date__gte=_since(change))
    if change.until is not None:
        entries = entries.filter(credit_date__lt=change.until)
    sums = dict(entries.order_by().values_list("measure_id").annotate(total=Sum("amount_minor")))
    measures = Measure.objects.filter(pk__in=sums).select_related("currency").order_by("position", "id")
    said = ", ".join(f"{m.name} {_written(m, sums[m.pk])}" for m in measures)
    return said or _("What they earn is shown to those who may read their credit.")


@impacts
def customers_using(change: Change, user: User, on: date) -> Iterator[Impact]:
    """Who has used what retires in the last three months, the heaviest last month's users first. 1 query."""
    if change.kind != "lifecycle" or change.offering_ids is None or user.has_role(Role.PARTNER):
        return
    deals = Deal.objects.all() if _keeps_the_catalog(user) else deals_for(user, on)
    used = (
        DealLine.objects.filter(
            offering__in=change.offering_ids,
            version=F("version__deal__credited_version"),
            version__kind=DealKind.CONSUMPTION,
            version__close_date__gte=on - USED_LATELY,
            version__close_date__lte=on,
            version__deal__in=deals.values("pk"),
        )
        .values("version__deal__customer__name", "version__deal__customer")
        .annotate(
            last=Max("version__close_date"),
            months=Count(TruncMonth("version__close_date"), distinct=True),
            value=Sum("amount_minor"),
        )
        .order_by("-last", "-value", "version__deal__customer__name")[:MOST_NAMED]
    )
    for row in used:
        months = row["months"]
        yield Impact(
            kind="customer",
            title=row["version__deal__customer__name"],
            detail=_("Used in %(months)s of the last three months") % {"months": months}
            if months < 3
            else _("Used in each of the last three months"),
            day=row["last"],
        )


@sales
def approved_deals(user: User, first: date, end: date) -> Iterator[Sales]:
    """Approved deals that close in [first, end), by offering, as far as this person may see them. 3 queries.

    Value is in the first measure's currency at the rate of the close date; what has no rate stays in its own. A refund lowers
    the value and is no deal of its own; consumption counts at what was billed once that is known. A partner's deals may hold
    lines of others: those are left out. Who buys models for the house reads these sums as well, and no deal behind them.
    """
    return _sold(user, first, end, by_month=False)


@sales_by_month
def approved_deals_by_month(user: User, first: date, end: date) -> Iterator[Sales]:
    """As approved_deals, by the month of the close date. 3 queries."""
    return _sold(user, first, end, by_month=True)


def _sold(user: User, first: date, end: date, *, by_month: bool) -> Iterator[Sales]:
    report = _reported_in()
    lines = DealLine.objects.filter(
        version__deal__in=_spend_seen(user, end).filter(state=DealState.APPROVED).values("pk"),
        version=F("version__deal__credited_version"),
        version__close_date__gte=first,
        version__close_date__lt=end,
    )
    if (own := publisher_of(user)) is not None:
        lines = lines.filter(offering__publisher=own)
    exponents = dict(Currency.objects.values_list("code", "exponent"))
    deals: Counter[tuple[int, date | None]] = Counter()
    value: dict[tuple[int, date | None], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    grouped = lines.order_by().annotate(code=F("version__currency"), rate=_rate_to(report))
    keys = ["offering_id", "code", "rate"]
    if by_month:
        grouped, keys = grouped.annotate(month=TruncMonth("version__close_date")), [*keys, "month"]
    for row in grouped.values(*keys).annotate(
        deals=Count("version__deal_id", distinct=True, filter=~Q(version__kind=DealKind.REFUND)),
        value=Sum(Coalesce("billed_minor", "amount_minor")),
    ):
        key = row["offering_id"], row.get("month")
        deals[key] += row["deals"]
        code, amount = _converted(row, report, exponents)
        value[key][code] += amount
    for offering, month in sorted(deals, key=lambda key: (key[1] or first, key[0])):
        worth = {code: formats.rounded(amount) for code, amount in sorted(value[offering, month].items())}
        yield Sales(offering, deals[offering, month], worth, month)


def _spend_seen(user: User, end: date) -> QuerySet[Deal]:
    """Those whose value goes into sums that this person reads. A sourcing lead sees what is spent, and no deal."""
    return Deal.objects.all() if spend_only(user) else deals_for(user, end - timedelta(days=1))


def _reported_in() -> str | None:
    """The currency of the first measure that has one. 1 query."""
    measure = Measure.objects.exclude(currency=None).order_by("position", "id").first()
    return measure.currency_id if measure is not None else None


def _rate_to(report: str | None) -> Subquery:
    rate = FxRate.objects.filter(
        from_currency=OuterRef("version__currency"),
        to_currency=report,
        superseded_at=None,
        effective__contains=OuterRef("version__close_date"),
    )
    return Subquery(rate.values("rate_e9")[:1])


def _converted(
    row: Mapping[str, Any], report: str | None, exponents: Mapping[str, int]
) -> tuple[str, Fraction]:
    """The value of a group of one currency and rate; in its own currency where there is no rate."""
    amount, code = Fraction(row["value"]), row["code"]
    if report is None or code == report or row["rate"] is None:
        return code, amount
    return report, amount * Fraction(row["rate"], 10**9) * Fraction(10) ** (
        exponents[report] - exponents[code]
    )


@buyers
def accounts_and_publishers(user: User, first: date, end: date) -> Iterator[Buyer]:
    """What accounts spent with each publisher in [first, end), by name, of deals whose value this person may read. 5 queries.

    Value as in approved_deals. Where usage of an offering is metered for a customer, the contract's line says the same spend
    again and is left out (RULES 19). A publisher of whom all was refunded is none that the account buys from.
    """
    report = _reported_in()
    lines = DealLine.objects.filter(
        version__deal__in=_spend_seen(user, end).filter(state=DealState.APPROVED).values("pk"),
        version__deal__customer__in=accounts_for(user, end - timedelta(days=1)).values("pk"),
        version=F("version__deal__credited_version"),
        version__close_date__lt=end,
    ).order_by()
    metered = set(
        lines.filter(version__kind=DealKind.CONSUMPTION)
        .values_list("version__deal__customer_id", "offering_id")
        .distinct()
    )
    grouped = (
        lines.filter(version__close_date__gte=first)
        .annotate(
            customer=F("version__deal__customer"),
            publisher=F("offering__publisher"),
            code=F("version__currency"),
            kind=F("version__kind"),
            rate=_rate_to(report),
        )
        .values("customer", "offering_id", "publisher", "kind", "code", "rate")
        .annotate(value=Sum(Coalesce("billed_minor", "amount_minor")))
    )
    exponents = dict(Currency.objects.values_list("code", "exponent"))
    spent: dict[int, dict[int, dict[str, Fraction]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(Fraction))
    )
    for row in grouped:
        if row["kind"] == DealKind.CONSUMPTION or (row["customer"], row["offering_id"]) not in metered:
            code, amount = _converted(row, report, exponents)
            spent[row["customer"]][row["publisher"]][code] += amount
    for customer in Customer.objects.filter(pk__in=spent).order_by("name", "pk"):
        value = {
            publisher: kept
            for publisher, amounts in sorted(spent[customer.pk].items())
            if (kept := {c: whole for c, a in sorted(amounts.items()) if (whole := formats.rounded(a)) > 0})
        }
        if value:
            url = reverse("quotas:account", args=[customer.slug])
            yield Buyer(customer.pk, customer.slug, customer.name, value, url)
