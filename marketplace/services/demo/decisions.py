"""Decisions under way in the demo: one that waits for a check, one that is announced; and the stages of the last fortnight.

What is made up says so: its reason begins with Demo.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from accounts.models import User
from config.clock import day_of
from config.months import add_months
from marketplace.models import Program, Publisher
from marketplace.services.eligibility import Scope, check_decision, propose_decision
from marketplace.services.lifecycle import carry_out_due

MADE_UP = "Made up for the demo, as are the dates; nothing of the kind is public."


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Stages that began before the last fortnight are history and silent; those within it are told."""
    on = day_of(at)
    fortnight = timedelta(days=14)
    moves = sum(carry_out_due(on=on - fortnight, at=at - fortnight).values())
    moves += sum(carry_out_due(on=on, at=at).values())
    publishers = {p.slug: p.pk for p in Publisher.objects.filter(slug__in=["openai", "mistral-ai"])}
    made = 0
    if "openai" in publishers:
        propose_decision(
            program=Program.CO_SELL,
            scope=Scope(publisher_id=publishers["openai"]),
            rate_ppm=1_000_000,
            start=add_months(on, 2),
            end=None,
            reason="Demo: both sales forces may work on an account together.",
            evidence=MADE_UP,
            assumed=True,
            by=people["catalog"],
            at=at,
        )
        made += 1
    if "mistral-ai" in publishers:
        announced = propose_decision(
            program=Program.RESALE,
            scope=Scope(publisher_id=publishers["mistral-ai"]),
            rate_ppm=1_000_000,
            start=add_months(on, 5),
            end=None,
            reason="Demo: resellers may sell it on without a private offer.",
            evidence=MADE_UP,
            assumed=True,
            by=people["catalog"],
            at=at,
        )
        check_decision(decision_id=announced.pk, by=people["reviewer"], at=at)
        made += 1
    return {"lifecycle moves": moves, "decisions under way": made}
