"""A publisher at work in the demo: a program with a key that nobody is told, and a draft that waits to be submitted."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from accounts.models import User
from config.clock import day_of
from marketplace.models import Offering, PublisherMembership
from marketplace.services.change_sets import ItemDraft, draft_change_set
from marketplace.services.publisher_keys import make_key

DRAFTED = "claude-opus-4-1"


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    partner = people["partner"]
    bound = PublisherMembership.objects.filter(user=partner).first()
    if bound is None:
        return {}
    make_key(
        publisher_id=bound.publisher_id,
        name="catalog-sync",
        scopes=["catalog:read", "catalog:write", "webhooks:manage"],
        last_day=day_of(at) + timedelta(days=180),
        by=partner,
        at=at,
    )
    made = {"keys of publishers": 1}
    if Offering.objects.filter(slug=DRAFTED, publisher=bound.publisher_id).exists():
        draft_change_set(
            title="Batch plan and a clearer summary of Opus 4.1",
            note="Demo: the plan and its prices are made up.",
            items=_items(day_of(at)),
            by=partner,
            at=at - timedelta(hours=1),
            publisher_id=bound.publisher_id,
        )
        made["drafts of publishers"] = 1
    return made


def _items(on: date) -> list[ItemDraft]:
    start = date(on.year + (on.month > 10), (on.month + 1) % 12 + 1, 1).isoformat()
    rows = [
        {"meter": meter, "per": 1_000_000, "unit": "token", "amount": amount}
        for meter, amount in (("input-tokens", "7.50"), ("output-tokens", "37.50"))
    ]
    price = {"currency": "USD", "start": start, "source": "Made up for the demo", "rows": rows}
    return [
        ItemDraft(
            "offering.update",
            {
                "slug": DRAFTED,
                "summary": "For long tasks of many steps: agents, analysis and careful reasoning.",
            },
        ),
        ItemDraft(
            "plan.create",
            {
                "offering": DRAFTED,
                "slug": "batch",
                "name": "Batch",
                "processing_tier": "batch",
                "pricing_form": "tokens",
                "is_public": True,
                "prices": [price],
            },
        ),
    ]
