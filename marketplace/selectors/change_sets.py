"""Which change sets somebody may know of, and what is said about them."""

from collections.abc import Collection
from datetime import date
from typing import Final

from django.db.models import Count, F, Func, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce

from accounts.models import Role, User
from config.language import marked
from marketplace.extension import Change
from marketplace.models import (
    ChangeItem,
    ChangeSet,
    ChangeSetState,
    Finding,
    Hold,
    Offering,
    Operation,
    PublisherMembership,
    Severity,
)

S = ChangeSetState
SEES_ALL: Final = (Role.CATALOG_MANAGER, Role.AUDITOR)
WAITING: Final = (S.SUBMITTED, S.IN_REVIEW)
# What each tab of the list holds.
TABS: Final = {
    "waiting": (marked("Waiting for review"), WAITING),
    "open": (marked("In work"), (S.DRAFT, S.CHANGES_REQUESTED)),
    "scheduled": (marked("Scheduled"), (S.SCHEDULED,)),
    "closed": (marked("Closed"), (S.APPLIED, S.REJECTED, S.WITHDRAWN)),
}


def acts_for(user: User) -> int | None:
    """The publisher for which somebody acts. 1 query."""
    return PublisherMembership.objects.filter(user=user).values_list("publisher_id", flat=True).first()


def change_sets_for(user: User) -> QuerySet[ChangeSet]:
    """All for the catalog's keepers, a publisher's for its people; others know of none."""
    if user.has_role(*SEES_ALL):
        return ChangeSet.objects.all()
    own = PublisherMembership.objects.filter(user=user).values("publisher")
    return ChangeSet.objects.filter(publisher__in=own)


def listed(rows: QuerySet[ChangeSet]) -> QuerySet[ChangeSet]:
    """With who and whose, how many items, and how much is still said against each: errors and the reviewer's findings."""
    items = (
        ChangeItem.objects.filter(change_set=OuterRef("pk"))
        .order_by()
        .values("change_set")
        .annotate(n=Count("pk"))
    )
    against = (
        Finding.objects.filter(_against(), change_set=OuterRef("pk"))
        .order_by()
        .values("change_set")
        .annotate(n=Count("pk"))
    )
    return rows.select_related("publisher", "made_by", "reviewed_by").annotate(
        item_count=Coalesce(Subquery(items.values("n")), 0),
        finding_count=Coalesce(Subquery(against.values("n")), 0),
    )


def _against() -> Q:
    return Q(resolved_at=None) & (Q(by=None, severity=Severity.ERROR) | Q(by__isnull=False))


def counts_by_tab(rows: QuerySet[ChangeSet]) -> dict[str, int]:
    """How many sets each tab holds. 1 query."""
    states = dict(rows.order_by().values("state").annotate(n=Count("pk")).values_list("state", "n"))
    return {tab: sum(states.get(state, 0) for state in within) for tab, (_label, within) in TABS.items()}


def waiting_for(user: User) -> int:
    """How many sets wait for this reviewer; his own do not. 1 query."""
    return ChangeSet.objects.filter(state__in=WAITING).exclude(made_by=user).count()


def reviewers(*, but: Collection[int | None] = ()) -> list[int]:
    """Catalog managers who can log in. 1 query."""
    return list(
        User.objects.filter(
            is_active=True,
            is_service=False,
            role_grants__role=Role.CATALOG_MANAGER,
            role_grants__withdrawn_at=None,
        )
        .exclude(pk__in=[pk for pk in but if pk is not None])
        .order_by("pk")
        .values_list("pk", flat=True)
        .distinct()
    )


def findings_of(change_set: ChangeSet, positions: Collection[int] | None = None) -> list[Finding]:
    """In the order of the fields, those of reviewers first; of some items alone, and what is about the whole set. 1 query."""
    rows = change_set.findings.select_related("by")
    if positions is not None:
        rows = rows.annotate(
            of_item=Func(F("pointer"), Value("/"), Value(3), function="split_part", output_field=TextField())
        ).filter(Q(of_item__in=[str(p) for p in positions]) | ~Q(pointer__startswith="/items/"))
    return sorted(rows, key=lambda f: (f.by_id is None, f.pk))


def corrections_of(change_set: ChangeSet, on: date) -> dict[str, Change]:
    """By name, each fact of offerings and plans that its items say anew, and of which offerings. 2 queries.

    It is what the items say, not a dry run: a fact that reads like that already is among them.
    """
    said: dict[str, set[str]] = {}
    rows = change_set.items.filter(operation__in=(Operation.OFFERING_UPDATE, Operation.PLAN_UPDATE))
    for operation, body in rows.values_list("operation", "body"):
        whose, others = ("slug", ()) if operation == Operation.OFFERING_UPDATE else ("offering", ("plan",))
        for fact in body.keys() - {whose, *others}:
            said.setdefault(fact, set()).add(str(body.get(whose, "")))
    if not said:
        return {}
    ids = dict(Offering.objects.filter(slug__in=set().union(*said.values())).values_list("slug", "pk"))
    return {
        fact: Change(
            "offering",
            change_set.title,
            tuple(sorted(ids[slug] for slug in slugs if slug in ids)),
            on,
            facts=(fact,),
        )
        for fact, slugs in sorted(said.items())
    }


def holds_of(change_set: ChangeSet) -> list[Hold]:
    return list(change_set.holds.order_by("entity"))
