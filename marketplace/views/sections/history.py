"""What has changed on an offering: its own facts by revision, and what readers of the catalog were told."""

from datetime import date, timedelta
from typing import Any, Final

from django.db.models import Q

from accounts.models import User
from config.clock import first_moment
from marketplace.models import Offering
from marketplace.selectors.changes import KINDS, changes_for
from marketplace.selectors.history import history_of

MOST_TOLD: Final = 12


def history_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """As far as it was known at the end of *on*. 2 queries. Names of people only inside the operator."""
    reaching = (
        Q(offering=offering)
        | Q(offering=None, publisher=offering.publisher_id)
        | Q(offering=None, publisher=None, commercial_path=offering.commercial_path)
    )
    told = (
        changes_for(user)
        .filter(reaching, at__lt=first_moment(on + timedelta(days=1)))
        .order_by("-number")[: MOST_TOLD + 1]
    )
    changes = [(KINDS.get(change.kind, change.kind), change) for change in told]
    return {
        "history": history_of(offering, on),
        "told": changes[:MOST_TOLD],
        "more": len(changes) > MOST_TOLD,
        "outside": user.has_role("partner"),
    }
