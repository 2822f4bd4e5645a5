"""Dated facts as they are known now, for the pages that change them."""

from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import urlencode

from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Count, Q

from marketplace.models import Customer
from quotas.models import (
    AccountOwnership,
    CustomerTerritory,
    FxRate,
    Rep,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
    TerritoryAssignment,
)

MOST: Final = 30


@dataclass(frozen=True, slots=True)
class Known:
    """One fact and its half-open span of days. fields: what a form that changes it begins with."""

    title: str
    detail: str
    starts: date | None
    ends: date | None
    fields: dict[str, str]

    @property
    def query(self) -> str:
        return "?" + urlencode(self.fields)


@dataclass(frozen=True, slots=True)
class Covered:
    """A territory on one day: who covers it, and how many customers lie in it."""

    territory: Territory
    reps: list[str]
    customers: int


def rates(pair: tuple[str, str] | None, on: date) -> list[Known]:
    """The rates of two currencies, the latest first; without a pair those of every pair on one day. 1 query."""
    found = FxRate.objects.filter(superseded_at=None)
    if pair is None:
        found = found.filter(effective__contains=on).order_by("from_currency", "to_currency")
    else:
        found = found.filter(from_currency=pair[0], to_currency=pair[1]).order_by("-effective")
    return [
        Known(
            f"{rate.from_currency_id} to {rate.to_currency_id}",
            written_rate(rate.rate_e9),
            rate.effective.lower,
            rate.effective.upper,
            {
                "from_currency": rate.from_currency_id,
                "to_currency": rate.to_currency_id,
                "rate": written_rate(rate.rate_e9),
                **_first("starts", rate.effective),
            },
        )
        for rate in found[:MOST]
    ]


def memberships(rep: Rep) -> list[Known]:
    """The teams of a rep, the latest first. 1 query."""
    found = TeamMembership.objects.filter(rep=rep, superseded_at=None).select_related("team")
    return [
        Known(m.team.name, m.get_role_display(), m.effective.lower, m.effective.upper, {})
        for m in found.order_by("-effective")[:MOST]
    ]


def placements(team: Team) -> list[Known]:
    """Where a team stands in the tree, the latest first. 1 query."""
    found = TeamPlacement.objects.filter(team=team, superseded_at=None).select_related("parent")
    return [
        Known(
            f"Under {p.parent.name}" if p.parent else "At the top",
            "",
            p.effective.lower,
            p.effective.upper,
            {},
        )
        for p in found.order_by("-effective")[:MOST]
    ]


def owners(customer: Customer) -> list[Known]:
    """Who owned a customer, the latest first; with the days that were credited where a holdover makes them others. 1 query."""
    found = AccountOwnership.objects.filter(customer=customer, superseded_at=None).select_related("rep")
    return [
        Known(o.rep.name, _held_over(o), o.effective.lower, o.effective.upper, {})
        for o in found.order_by("-credits")[:MOST]
    ]


def coverage(territory: Territory | None, on: date) -> list[Known]:
    """Who covers a territory, or, without one, all of them from today on. 1 query."""
    found = TerritoryAssignment.objects.filter(superseded_at=None).select_related("territory", "rep")
    found = (
        found.filter(effective__overlap=DateRange(on, None))
        if territory is None
        else found.filter(territory=territory)
    )
    return [
        Known(
            a.rep.name,
            a.territory.name,
            a.effective.lower,
            a.effective.upper,
            {"territory": a.territory.slug, "rep": a.rep.slug},
        )
        for a in found.order_by("territory__name", "-effective", "pk")[:MOST]
    ]


def lying_in(territory: Territory | None, on: date) -> list[Known]:
    """The customers in a territory, or, without one, in all of them from today on. 1 query."""
    found = CustomerTerritory.objects.filter(superseded_at=None).select_related("territory", "customer")
    found = (
        found.filter(effective__overlap=DateRange(on, None))
        if territory is None
        else found.filter(territory=territory)
    )
    return [
        Known(
            c.customer.name,
            c.territory.name,
            c.effective.lower,
            c.effective.upper,
            {"territory": c.territory.slug, "customer": c.customer.slug},
        )
        for c in found.order_by("territory__name", "customer__name", "-effective")[:MOST]
    ]


def territories(on: date) -> list[Covered]:
    """Every territory as it is on a day. 2 queries."""
    today = Q(customers__superseded_at=None, customers__effective__contains=on)
    found = (
        Territory.objects.select_related("house_rep")
        .annotate(n=Count("customers", filter=today))
        .order_by("name")
    )
    covers = TerritoryAssignment.objects.filter(superseded_at=None, effective__contains=on).order_by(
        "rep__name"
    )
    reps: dict[int, list[str]] = {}
    for territory_id, name in covers.values_list("territory_id", "rep__name"):
        reps.setdefault(territory_id, []).append(name)
    return [Covered(territory, reps.get(territory.pk, []), territory.n) for territory in found]


def written_rate(rate_e9: int) -> str:
    """1.0837 for 1083700000: at least four decimals, and as many as it takes."""
    whole, rest = divmod(rate_e9, 10**9)
    return f"{whole}.{f'{rest:09d}'.rstrip('0').ljust(4, '0')}"


def _first(name: str, span: DateRange) -> dict[str, str]:
    return {name: span.lower.isoformat()} if span.lower else {}


def _held_over(ownership: AccountOwnership) -> str:
    if ownership.credits == ownership.effective:
        return ""
    if ownership.credits.isempty:
        return "Credited on no day"
    first = f"from {ownership.credits.lower:%-d %b %Y}" if ownership.credits.lower else ""
    last = f"to before {ownership.credits.upper:%-d %b %Y}" if ownership.credits.upper else ""
    return f"Credited {first} {last}".replace("  ", " ").strip()
