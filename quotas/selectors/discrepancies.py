"""Numbers that moved after they had been shown, as their readers may see them."""

from dataclasses import dataclass
from datetime import date

from django.db.models import Count, Q, QuerySet

from accounts.models import User
from quotas.models import Discrepancy, Posting
from quotas.selectors.visibility import SEES_EVERYTHING, rep_of, reps_for


@dataclass(frozen=True, slots=True)
class Cause:
    """What a posting followed from: a phrase, and where it is read."""

    text: str
    url: str


def own_discrepancies(user: User) -> QuerySet[Discrepancy]:
    """What moved of one's own numbers. 1 query."""
    mine = rep_of(user)
    return Discrepancy.objects.none() if mine is None else Discrepancy.objects.filter(rep=mine)


def discrepancies_for(user: User, on: date) -> QuerySet[Discrepancy]:
    """What a person may read: everything, or what moved of the reps whose numbers they see in money."""
    if user.has_role(*SEES_EVERYTHING):
        return Discrepancy.objects.all()
    return Discrepancy.objects.filter(rep__in=reps_for(user, on))


def with_names(found: QuerySet[Discrepancy]) -> QuerySet[Discrepancy]:
    return found.select_related("rep", "measure__currency", "period", "posting", "seen_by")


def unseen(user: User) -> int:
    """How many of one's own numbers moved and were not looked at. 2 queries at most."""
    return own_discrepancies(user).filter(seen_at=None).count()


def counted_by_posting(found: QuerySet[Discrepancy], most: int = 30) -> list[tuple[Posting, int, int]]:
    """The newest postings with how many numbers they moved, and how many of these nobody has looked at. 2 queries."""
    rows = list(
        found.order_by()
        .values_list("posting")
        .annotate(n=Count("pk"), new=Count("pk", filter=Q(seen_at=None)))
        .order_by("-posting")[:most]
    )
    postings = Posting.objects.in_bulk([pk for pk, _n, _new in rows])
    return [(postings[pk], n, new) for pk, n, new in rows]


def cause_of(posting: Posting) -> Cause:
    """From the posting's key, which names what it was about. No query."""
    what, _, rest = posting.key.partition(":")
    named = rest.split(":")[0]
    number = named.partition("-")[2]
    if what == "recredit" and named.isdecimal():
        return Cause("a recredit", f"/quotas/recredits/{named}/")
    if what == "adjust" and named.startswith("ADJ-") and number.isdecimal():
        return Cause(f"adjustment {named}", f"/quotas/adjustments/{int(number)}/")
    if named.startswith("D-") and number.isdecimal():
        verb = {"amend": "the amendment of", "cancel": "the cancellation of", "adjust": "the cancellation of"}
        if what == "cancel-part":
            return Cause(f"the partial cancellation of {named}", f"/quotas/deals/{int(number)}/")
        return Cause(
            f"{verb.get(posting.kind, posting.kind + ' of')} {named}", f"/quotas/deals/{int(number)}/"
        )
    if posting.kind == "usage":
        return Cause("usage that became known", "/quotas/usage/")
    return Cause(posting.get_kind_display().lower(), "")
