"""Change sets of the demo at every stage: submitted, in review, handed back, scheduled and applied."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from accounts.models import User
from config.clock import day_of
from config.months import add_months
from marketplace.models import ChangeSet, Channel, Offering
from marketplace.services import change_sets
from marketplace.services.change_sets import Found, ItemDraft

MADE_UP = "Made up for the demo"


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Sets whose offerings the demo's catalog does not have are left out."""
    on = day_of(at)
    made = [
        _announced_price(people, on, at),
        _under_review(people, on, at),
        _handed_back(people, at),
        _scheduled(people, on, at),
        _applied(people, at),
    ]
    return {"change sets": sum(change_set is not None for change_set in made)}


def _submitted(title: str, by: User, at: datetime, *items: ItemDraft, **more: Any) -> ChangeSet | None:
    named = {item.body["offering" if "offering" in item.body else "slug"] for item in items}
    if Offering.objects.filter(slug__in=named).count() < len(named):
        return None
    drafted = change_sets.draft_change_set(title=title, items=items, by=by, at=at, **more)
    return change_sets.submit(change_set_id=drafted.pk, by=by, at=at + timedelta(minutes=20))


def _rows(*amounts: tuple[str, int, str, str | None]) -> list[dict[str, Any]]:
    return [
        {"meter": meter, "per": per, "unit": unit, "amount": amount} for meter, per, unit, amount in amounts
    ]


def _tokens(**amounts: str) -> list[dict[str, Any]]:
    return _rows(
        *((meter.replace("_", "-"), 1_000_000, "token", amount) for meter, amount in amounts.items())
    )


def _announced_price(people: Mapping[str, User], on: date, at: datetime) -> ChangeSet | None:
    """A partner's, waiting for somebody to take it up: the rest of an offering's life gets cheaper."""
    slug = "claude-sonnet-4-5"
    retires = Offering.objects.filter(slug=slug).values_list("retires_on", flat=True).first()
    body = {
        "offering": slug,
        "plan": "standard",
        "currency": "USD",
        "start": add_months(on, 2).isoformat(),
        "end": retires.isoformat() if retires else None,
        "source": f"{MADE_UP}: announced to customers",
        "rows": _tokens(
            input_tokens="2.50", output_tokens="12.50", cached_input_tokens="0.25", cache_write_tokens="3.125"
        ),
        "ends_previous": True,
    }
    return _submitted(
        "Lower prices for Claude Sonnet 4.5",
        people["partner"],
        at - timedelta(days=1, hours=3),
        ItemDraft("price.add", body),
        ItemDraft(
            "offering.update",
            {"slug": slug, "summary": "Coding and agents, at a lower price until it retires."},
        ),
        note="Announced to customers for the first of the month.",
    )


def _under_review(people: Mapping[str, User], on: date, at: datetime) -> ChangeSet | None:
    """The house's own publisher walks the same path; a warning stands beside one of the changes."""
    made = _submitted(
        "Overage rate of Security Copilot",
        people["firstparty"],
        at - timedelta(days=3),
        ItemDraft(
            "plan.create",
            {
                "offering": "security-copilot",
                "slug": "overage",
                "name": "Overage units",
                "pricing_form": "metered",
                "prices": [
                    {
                        "currency": "USD",
                        "start": add_months(on, 1).isoformat(),
                        "source": MADE_UP,
                        "rows": _rows(("security-compute-units", 1, "unit-hour", "6")),
                    }
                ],
            },
        ),
        ItemDraft("offering.update", {"slug": "security-copilot", "name": "Security Copilot"}),
        channel=Channel.API,
    )
    if made is not None:
        change_sets.take_up(change_set_id=made.pk, by=people["reviewer"], at=at - timedelta(days=2))
    return made


def _handed_back(people: Mapping[str, User], at: datetime) -> ChangeSet | None:
    made = _submitted(
        "Summary and countries of Claude Haiku 4.5",
        people["partner"],
        at - timedelta(days=6),
        ItemDraft(
            "offering.update",
            {
                "slug": "claude-haiku-4-5",
                "summary": "The best small model on the market.",
                "billing_countries": ["US", "CA", "GB", "DE", "FR", "JP"],
            },
        ),
    )
    if made is None:
        return None
    return change_sets.request_changes(
        change_set_id=made.pk,
        by=people["reviewer"],
        at=at - timedelta(days=5),
        note="The countries are fine. Please mend the summary.",
        findings=[
            Found(
                "/items/0/body/summary",
                "reviewer",
                "Say what it is for. A claim like this one needs evidence for a task.",
            )
        ],
    )


def _scheduled(people: Mapping[str, User], on: date, at: datetime) -> ChangeSet | None:
    made = _submitted(
        "GitHub Copilot: what the editions are for",
        people["catalog"],
        at - timedelta(days=9),
        *(
            ItemDraft("offering.update", {"slug": slug, "summary": summary})
            for slug, summary in (
                ("github-copilot-business", "Code assistance for teams, with policies, per seat."),
                (
                    "github-copilot-enterprise",
                    "Code assistance that knows an organisation's own code, per seat.",
                ),
            )
        ),
        apply_on=add_months(on, 1),
        note="From the first of the month, with the new price list.",
    )
    if made is None:
        return None
    return change_sets.approve(change_set_id=made.pk, by=people["reviewer"], at=at - timedelta(days=8))


def _applied(people: Mapping[str, User], at: datetime) -> ChangeSet | None:
    made = _submitted(
        "Names that customers use for the Phi models",
        people["catalog"],
        at - timedelta(days=20),
        *(
            ItemDraft("alias.add", {"used_by": "", "name": name, "offering": slug, "start": "2025-03-01"})
            for name, slug in (("Phi 4 mini", "phi-4-mini"), ("Phi 4 vision", "phi-4-multimodal"))
        ),
        ItemDraft(
            "offering.update",
            {"slug": "phi-4-mini", "summary": "A small model for devices and short answers."},
        ),
        channel=Channel.SPREADSHEET,
    )
    if made is None:
        return None
    return change_sets.approve(
        change_set_id=made.pk,
        by=people["reviewer"],
        at=at - timedelta(days=19),
        note="Checked against the vendor's page.",
    )
