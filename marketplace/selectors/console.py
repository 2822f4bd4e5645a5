"""A publisher's own work at a glance: offerings with what comes next, change sets with what to do, people and keys."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from django.db.models import Case, Count, Exists, Max, Min, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Lower

from accounts.models import ApiKey, Role, RoleGrant, User
from marketplace.models import (
    CatalogChange,
    ChangeItem,
    ChangeSet,
    ChangeSetState,
    Finding,
    Hold,
    Lifecycle,
    Offering,
    Plan,
    PriceVersion,
    Publisher,
    PublisherMembership,
    Severity,
)

S = ChangeSetState
OPEN: Final = (S.DRAFT, S.SUBMITTED, S.IN_REVIEW, S.CHANGES_REQUESTED, S.SCHEDULED)
EDITABLE: Final = (S.DRAFT, S.CHANGES_REQUESTED)
# What the publisher does next; whoever waits is told for whom.
NEXT_STEPS: Final[Mapping[str, str]] = {
    S.DRAFT: "Check it and submit it.",
    S.SUBMITTED: "Waits for a reviewer of the operator.",
    S.IN_REVIEW: "A reviewer is reading it.",
    S.CHANGES_REQUESTED: "Mend what the reviewer found, then submit it again.",
    S.SCHEDULED: "Approved; it is applied on its day.",
    S.APPLIED: "Done: it is in the catalog.",
    S.REJECTED: "Rejected; the reviewer said why.",
    S.WITHDRAWN: "Withdrawn; nothing was changed.",
}
_DAYS: Final = (
    ("goes_live_on", "Goes on sale"),
    ("preview_on", "Preview"),
    ("available_on", "Generally available"),
    ("legacy_on", "Legacy"),
    ("deprecated_on", "No new deals"),
    ("retires_on", "Retires"),
)


@dataclass(slots=True)
class OwnOffering:
    """held_by    The open change set that keeps it to itself; whose it is is not said where it is not the publisher's.
    unpriced   Plans on sale without a price in effect."""

    offering: Offering
    stage: Lifecycle
    next_day: date | None = None
    next_what: str = ""
    plans: int = 0
    unpriced: int = 0
    findings: int = 0
    held_by: ChangeSet | None = None
    held_elsewhere: bool = False


@dataclass(slots=True)
class OwnSet:
    change_set: ChangeSet
    items: int
    findings: int
    next_step: str


@dataclass(slots=True)
class Member:
    """since  When the role of a partner was given; keys   Those that work, of a service."""

    user: User
    since: datetime | None
    keys: int = 0


@dataclass(frozen=True, slots=True)
class KeyLine:
    key: ApiKey
    state: str
    tone: str
    usable: bool = field(default=False)


def own_offerings(publisher: Publisher, on: date) -> list[OwnOffering]:
    """Every offering of a publisher, published or not. 6 queries, whatever their number."""
    rows = list(
        Offering.objects.filter(publisher=publisher)
        .select_related("model_version__model")
        .order_by(Lower("name"), "id")
    )
    lines = {row.pk: OwnOffering(row, row.lifecycle_on(on)) for row in rows}
    in_effect = PriceVersion.objects.filter(
        plan=OuterRef("pk"), superseded_at=None, private_offer=None, effective__contains=on
    )
    for plan in (
        Plan.objects.filter(offering__in=lines)
        .filter(Q(withdrawn_on=None) | Q(withdrawn_on__gt=on))
        .annotate(priced=Exists(in_effect))
    ):
        line = lines[plan.offering_id]
        line.plans += 1
        line.unpriced += not getattr(plan, "priced", False)
    prices = dict(
        PriceVersion.objects.filter(
            plan__offering__in=lines,
            superseded_at=None,
            private_offer=None,
            effective__startswith__gt=on,
        )
        .values_list("plan__offering")
        .annotate(first=Min("effective__startswith"))
    )
    for line in lines.values():
        coming = [
            (day, what)
            for name, what in _DAYS
            if (day := getattr(line.offering, name)) is not None and day > on
        ]
        if (day := prices.get(line.offering.pk)) is not None:
            coming.append((day, "New price"))
        if coming:
            line.next_day, line.next_what = min(coming)
    _holds(publisher, lines.values())
    _findings(publisher, lines.values())
    return list(lines.values())


def _holds(publisher: Publisher, lines: Iterable[OwnOffering]) -> None:
    by_entity = {f"offering:{line.offering.slug}": line for line in lines}
    for hold in Hold.objects.filter(entity__in=by_entity).select_related("change_set__made_by"):
        line = by_entity[hold.entity]
        if hold.change_set.publisher_id == publisher.pk:
            line.held_by = hold.change_set
        else:
            line.held_elsewhere = True


def _findings(publisher: Publisher, lines: Iterable[OwnOffering]) -> None:
    """Unresolved findings of open sets, by the offering that their item is about."""
    found = list(
        Finding.objects.filter(
            change_set__publisher=publisher, change_set__state__in=OPEN, resolved_at=None
        ).values_list("change_set_id", "pointer")
    )
    items = {
        (set_id, position): entity
        for set_id, position, entity in ChangeItem.objects.filter(
            change_set__in={set_id for set_id, _pointer in found}
        ).values_list("change_set_id", "position", "entity")
    }
    counted: Counter[str] = Counter()
    for set_id, pointer in found:
        place = item_of(pointer)
        if place is not None and (entity := items.get((set_id, place))):
            counted[entity] += 1
    for line in lines:
        line.findings = counted[f"offering:{line.offering.slug}"]


def item_of(pointer: str) -> int | None:
    """The item that a finding is about: 3 for /items/3/body/name."""
    parts = pointer.split("/")
    return int(parts[2]) if len(parts) > 2 and parts[1] == "items" and parts[2].isdecimal() else None


def own_sets(publisher: Publisher, *, most: int = 50) -> list[OwnSet]:
    """Open ones first, then the latest of the others. 1 query."""
    rows = (
        ChangeSet.objects.filter(publisher=publisher)
        .select_related("made_by")
        .annotate(
            item_count=Count("items", distinct=True),
            finding_count=Count(
                "findings",
                filter=Q(findings__resolved_at=None) & ~Q(findings__severity=Severity.NOTE),
                distinct=True,
            ),
            done=Case(When(state__in=OPEN, then=Value(0)), default=Value(1)),
        )
        .order_by("done", "-id")[:most]
    )
    return [
        OwnSet(row, row.item_count, row.finding_count if row.state in OPEN else 0, NEXT_STEPS[row.state])
        for row in rows
    ]


def sets_of(publisher: Publisher) -> QuerySet[ChangeSet]:
    """Change sets of a publisher, with who made and reviewed them."""
    return ChangeSet.objects.filter(publisher=publisher).select_related("made_by", "reviewed_by", "publisher")


def insiders(publisher: Publisher) -> frozenset[int]:
    """Ids of those who act for a publisher: it is told their names, and of others only that it was the operator. 1 query."""
    return frozenset(
        PublisherMembership.objects.filter(publisher=publisher).values_list("user_id", flat=True)
    )


def open_drafts(publisher: Publisher, user: User) -> list[ChangeSet]:
    """What *user* can still write to, latest first. 1 query."""
    return list(
        ChangeSet.objects.filter(publisher=publisher, made_by=user, state__in=EDITABLE).order_by("-id")[:20]
    )


def own_changes(publisher: Publisher, *, most: int = 8) -> list[CatalogChange]:
    """What has happened to the publisher's part of the catalog, newest first. 1 query."""
    return list(
        CatalogChange.objects.filter(Q(offering__publisher=publisher) | Q(publisher=publisher))
        .select_related("offering")
        .order_by("-number")[:most]
    )


def members(publisher: Publisher, at: datetime) -> list[Member]:
    """Who acts for a publisher: people first, then services. 3 queries."""
    users = [
        one.user
        for one in PublisherMembership.objects.filter(publisher=publisher, user__is_active=True)
        .select_related("user")
        .order_by("user__is_service", Lower("user__name"), "user_id")
    ]
    keys: Counter[int] = Counter(
        ApiKey.objects.filter(user__in=users, revoked_at=None)
        .filter(Q(expires_at=None) | Q(expires_at__gt=at))
        .values_list("user_id", flat=True)
    )
    since = dict(
        RoleGrant.objects.filter(user__in=users, role=Role.PARTNER, withdrawn_at=None).values_list(
            "user_id", "granted_at"
        )
    )
    return [Member(user, since.get(user.pk), keys[user.pk]) for user in users]


def keys_of(publisher: Publisher, at: datetime) -> list[KeyLine]:
    """Keys of the services that act for a publisher; those that work first. 1 query."""
    rows = ApiKey.objects.filter(
        user__publisher_membership__publisher=publisher, user__is_service=True
    ).select_related("user")
    lines = [_line(row, at) for row in rows.order_by("user__name", "-created_at", "-id")]
    return sorted(lines, key=lambda line: not line.usable)


def _line(key: ApiKey, at: datetime) -> KeyLine:
    if key.revoked_at is not None:
        return KeyLine(key, "Revoked", "muted")
    if key.expires_at is not None and key.expires_at <= at:
        return KeyLine(key, "Expired", "muted")
    if not key.user.is_active:
        return KeyLine(key, "Account closed", "muted")
    return KeyLine(key, "Works", "good", usable=True)


def publishers_at_work() -> QuerySet[Publisher]:
    """For the operator: every publisher with how much it has open. 1 query."""
    return Publisher.objects.annotate(
        offering_count=Count("offerings", distinct=True),
        open_count=Count("change_sets", filter=Q(change_sets__state__in=OPEN), distinct=True),
        last_set=Max("change_sets__made_at"),
    ).order_by("-open_count", Lower("name"))
