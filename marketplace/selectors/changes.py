"""What has happened to the catalog and what is announced for it, as far as somebody may know of it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db.models import F, Q, QuerySet
from django.urls import reverse

from accounts.models import User
from config.clock import day_of
from config.formats import percent
from config.language import marked
from marketplace.models import (
    CatalogChange,
    EligibilityDecision,
    Offering,
    PriceVersion,
    Publication,
    PublisherMembership,
)
from marketplace.selectors.eligibility import ONE, scope_name
from marketplace.selectors.visibility import SEES_EVERYTHING, offerings_for, publishers_for

KINDS: Final = {
    "offering": marked("Offering"),
    "price": marked("Price"),
    "eligibility": marked("Eligibility"),
    "lifecycle": marked("Lifecycle"),
}
KIND_CHOICES: Final = list(KINDS.items())
MOST_ANNOUNCED: Final = 200
# What an offering does on each of its dates.
STAGES: Final = (
    ("preview_on", "comes as a preview"),
    ("available_on", "is generally available"),
    ("legacy_on", "is legacy: still sold, but it ends"),
    ("deprecated_on", "is deprecated: no new deals"),
    ("retires_on", "retires"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to hear of; empty is everything. publishers are slugs."""

    kinds: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()

    def wants(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds


@dataclass(frozen=True, slots=True)
class Announced:
    """Something in the catalog that is decided and has not begun."""

    day: date
    kind: str
    what: str
    url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Changes that were made together, of which the first says what it is; the others follow in the order of their numbers."""

    change: CatalogChange
    others: tuple[CatalogChange, ...]


@dataclass(frozen=True, slots=True)
class Week:
    """From Monday *starts* on, the newest first."""

    starts: date
    entries: list[Entry]

    @property
    def ends(self) -> date:
        """Its Sunday."""
        return self.starts + timedelta(days=6)


def changes_for(user: User) -> QuerySet[CatalogChange]:
    """Published things for everybody, the others for their own publisher and the catalog's keepers. With what a line shows.

    Whether a change was public is settled when it gets its number: what a reader has seen stays as it was.
    """
    found = CatalogChange.objects.select_related("offering__publisher", "publisher")
    if user.has_role(*SEES_EVERYTHING):
        return found
    own = PublisherMembership.objects.filter(user=user).values("publisher")
    return found.filter(Q(is_public=True) | Q(offering__publisher__in=own) | Q(publisher__in=own))


def chosen(changes: QuerySet[CatalogChange], asked: Asked) -> QuerySet[CatalogChange]:
    """Those of *changes* that somebody asked for; of a publisher are those of its offerings and those decided for it."""
    if asked.kinds:
        changes = changes.filter(kind__in=asked.kinds)
    if asked.publishers:
        changes = changes.filter(of_publishers(asked.publishers))
    return changes


def of_publishers(slugs: Collection[str]) -> Q:
    return Q(offering__publisher__slug__in=slugs) | Q(publisher__slug__in=slugs)


def weeks(changes: Sequence[CatalogChange]) -> list[Week]:
    """Changes, the last made first, by the week in which they were made; what was made together is one entry."""
    found: list[Week] = []
    together: list[tuple[CatalogChange, list[CatalogChange]]] = []
    for change in changes:
        if together and together[-1][0].key == change.key:
            together[-1][1].append(change)
        else:
            together.append((change, []))
    for first, others in together:
        day = day_of(first.at)
        starts = day - timedelta(days=day.weekday())
        if not found or found[-1].starts != starts:
            found.append(Week(starts, []))
        found[-1].entries.append(Entry(first, tuple(others)))
    return found


def announced(user: User, on: date, asked: Asked) -> list[Announced]:
    """What is decided for days behind *on*, the nearest first. 3 queries."""
    visible = offerings_for(user).exclude(publication__in=(Publication.REJECTED, Publication.ARCHIVED))
    if asked.publishers:
        visible = visible.filter(publisher__slug__in=asked.publishers)
    found: list[Announced] = []
    if asked.wants("lifecycle") or asked.wants("offering"):
        found += _stages(visible, on, asked)
    if asked.wants("price"):
        found += _prices(visible, on)
    if asked.wants("eligibility"):
        found += _decisions(user, visible, on, asked)
    return sorted(found, key=lambda a: (a.day, a.kind, a.what))[:MOST_ANNOUNCED]


def _stages(visible: QuerySet[Offering], on: date, asked: Asked) -> Iterable[Announced]:
    later = Q(goes_live_on__gt=on)
    for name, _what in STAGES:
        later |= Q(**{f"{name}__gt": on})
    for offering in visible.filter(later).select_related("replacement").order_by("pk"):
        page = reverse("marketplace:offering", args=[offering.slug])
        live_on = offering.goes_live_on if offering.publication == Publication.SCHEDULED else None
        if asked.wants("offering") and live_on is not None and live_on > on:
            yield Announced(live_on, "offering", f"{offering.name} goes on sale", page)
        if not asked.wants("lifecycle"):
            continue
        for name, what in STAGES:
            day: date | None = getattr(offering, name)
            if day is not None and day > on:
                instead = offering.replacement if name == "retires_on" else None
                after = f"; {instead.name} replaces it" if instead is not None else ""
                yield Announced(day, "lifecycle", f"{offering.name} {what}{after}", page)


def _prices(visible: QuerySet[Offering], on: date) -> Iterable[Announced]:
    coming = (
        PriceVersion.objects.filter(
            plan__offering__in=visible.values("pk"),
            superseded_at=None,
            private_offer=None,
            effective__startswith__gt=on,
        )
        .select_related("plan__offering")
        .order_by("pk")
    )
    said = set()
    for version in coming:
        plan, day = version.plan, version.effective.lower
        if (
            day is not None and (plan.pk, day) not in said
        ):  # several currencies and markets are one announcement
            said.add((plan.pk, day))
            page = reverse("marketplace:offering", args=[plan.offering.slug])
            yield Announced(day, "price", f"{plan} has a new price", page)


def _decisions(user: User, visible: QuerySet[Offering], on: date, asked: Asked) -> Iterable[Announced]:
    seen = visible.values("pk")
    publishers = publishers_for(user)
    if asked.publishers:
        publishers = publishers.filter(slug__in=asked.publishers)
    reach = Q(offering__in=seen) | Q(plan__offering__in=seen) | Q(publisher__in=publishers.values("pk"))
    if not asked.publishers:
        reach |= ~Q(commercial_path="")
    coming = (
        EligibilityDecision.objects.filter(
            reach,
            Q(effective__startswith__gt=on) | Q(effective__endswith__gt=on),
            checked_at__isnull=False,
            superseded_at=None,
        )
        .select_related("publisher", "offering", "plan__offering")
        .order_by("pk")
    )
    for decision in coming:
        span, scope = decision.effective, scope_name(decision)
        offering = decision.offering or (decision.plan.offering if decision.plan else None)
        if offering is not None:
            page = reverse("marketplace:offering", args=[offering.slug])
        elif decision.publisher is not None:
            page = reverse("marketplace:publisher", args=[decision.publisher.slug])
        else:
            page = reverse("marketplace:catalog") + f"?path={decision.commercial_path}"
        name = decision.get_program_display()
        if span.lower is not None and span.lower > on:
            rate = percent(decision.rate_ppm, ONE, 0)
            yield Announced(span.lower, "eligibility", f"{name} of {scope}: {rate}", page)
        if span.upper is not None and span.upper > on:
            yield Announced(span.upper, "eligibility", f"{name} of {scope}: the decision ends", page)


def page_of(change: CatalogChange) -> str:
    """Where a person reads what it has become."""
    if change.offering is not None:
        return reverse("marketplace:offering", args=[change.offering.slug])
    if change.publisher is not None:
        return reverse("marketplace:publisher", args=[change.publisher.slug])
    return reverse("marketplace:changes")


def newest_first(changes: QuerySet[CatalogChange]) -> QuerySet[CatalogChange]:
    return changes.order_by(F("number").desc())
