"""What quotas adds to the catalog's pages: the deals on an offering and their credit, and the open deals that a change hits."""

from collections.abc import Iterator
from datetime import date

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum
from django.urls import reverse

from accounts.models import Role, User
from config import formats
from marketplace.extension import Change, Impact, Panel, impacts, panel
from marketplace.models import Offering
from quotas.models import Deal, DealLine, DealState, Grain, Measure, Period
from quotas.selectors.visibility import deals_for, entries_for

OPEN = (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED)
MOST_NAMED = 50


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
        title="Deals and credit",
        template="quotas/_offering_panel.html",
        context={**counted, "year": year, "credit": [(m.name, _written(m, sums[m.pk])) for m in measures]},
        hint="What you may see",
    )


def _written(measure: Measure, value: int) -> str:
    exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
    return formats.measured(value, measure.currency_id, exponent, compact=True)


@impacts
def open_deals(change: Change, user: User, on: date) -> Iterator[Impact]:
    """The open deals on the changed offerings that close on or after its first day, the nearest first."""
    if change.offering_ids is None:
        return
    deals = (
        _deals_on(change.offering_ids, user, on)
        .filter(state__in=OPEN, latest_version__close_date__gte=change.first_day)
        .annotate(closes=F("latest_version__close_date"))
        .select_related("customer", "owner")
        .order_by("closes", "pk")[:MOST_NAMED]
    )
    for deal in deals:
        yield Impact(
            kind="open deal",
            title=deal.reference,
            detail=f"{deal.get_state_display()}, {deal.customer.name}, {deal.owner.name}",
            day=deal.closes,
            url=reverse("quotas:deal", args=[deal.pk]),
        )
