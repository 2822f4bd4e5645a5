"""Questions that a sourcing lead of the demo asks on paper; one of them waits for the second person."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final

from accounts.models import User
from config.clock import day_of
from config.months import add_months
from marketplace.models import Company, Feature, ModelVersion, MoveKind
from marketplace.selectors.sourcing.binding import bindings_on, plans_to_buy
from marketplace.services.sourcing.scenarios import MoveDraft, ScenarioDraft, ask_promotion, make_scenario

HALF: Final = 500_000
# Feature, from which model, to which: the coding features in which a model of OpenAI takes traffic that a Claude could.
TO_CLAUDE: Final = (
    ("copilot-completion", "gpt-5-mini", "claude-haiku-4-5"),
    ("copilot-chat", "gpt-5-2", "claude-sonnet-4-5"),
    ("copilot-agent", "gpt-5-2-codex", "claude-sonnet-4-5"),
    ("copilot-debugging", "gpt-5-2", "claude-opus-4-5"),
)
SECOND_SUPPLIER: Final = ("security-scripts", "claude-opus-4-5", "gpt-5-2", 300_000)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """What of it the bindings allow; nothing without them."""
    lead, on = people["sourcing"], day_of(at)
    start = add_months(on, 1)
    shared = [
        ScenarioDraft(
            "Half of coding to Claude",
            start,
            note="What if half of what OpenAI's models do in the code assistant went to Claude?",
            shared=True,
            moves=_shares([(*row, HALF) for row in TO_CLAUDE]),
        ),
        ScenarioDraft(
            "OpenAI prices up 20%",
            start,
            note="How far does a higher list price reach, if nothing is moved?",
            shared=True,
            moves=_dearer("openai", 200_000, on),
        ),
        ScenarioDraft(
            "Anthropic leaves",
            start,
            months=6,
            note="Fallbacks, then the other bound models, then what is qualified: what is left without a model?",
            shared=True,
            moves=_ended("anthropic"),
        ),
    ]
    asked = ScenarioDraft(
        "A second supplier for script analysis",
        add_months(on, 1),
        months=9,
        note="Script analysis runs on one supplier alone. 30% of it on another one keeps both warm.",
        moves=_shares([SECOND_SUPPLIER]),
    )
    grown = ScenarioDraft(
        "Coding to Claude as use grows by a third",
        start,
        months=24,
        note="The same switch, if use goes on growing: what it costs by the second year.",
        shared=True,
        moves=_shares([(*row, HALF) for row in TO_CLAUDE]),
        growth_ppm=333_333,
    )
    made = [make_scenario(draft=draft, on=on, by=lead, at=at) for draft in shared if draft.moves]
    if asked.moves:
        made.append(make_scenario(draft=asked, on=on, by=lead, at=at))
        ask_promotion(scenario_id=made[-1].pk, on=on, by=lead, at=at)
    if grown.moves:
        made.append(make_scenario(draft=grown, on=on, by=lead, at=at))
    return {"scenarios": len(made)} if made else {}


def _shares(rows: Sequence[tuple[str, str, str, int]]) -> list[MoveDraft]:
    """Those of which feature and both models are there."""
    features = dict(Feature.objects.filter(slug__in=[row[0] for row in rows]).values_list("slug", "pk"))
    models = {slug for row in rows for slug in row[1:3]}
    versions = dict(
        ModelVersion.objects.filter(model__slug__in=models).order_by("pk").values_list("model__slug", "pk")
    )
    return [
        MoveDraft(
            MoveKind.SHARE,
            feature_id=features[feature],
            source_id=versions[source],
            target_id=versions[target],
            share_ppm=share,
        )
        for feature, source, target, share in rows
        if feature in features and source in versions and target in versions
    ]


def _dearer(publisher: str, change_ppm: int, on: date) -> list[MoveDraft]:
    """Every plan of a supplier as which a feature buys today."""
    held = bindings_on(on).filter(model_version__model__publisher__slug=publisher).exclude(role="fallback")
    bought = plans_to_buy({binding.model_version_id for binding in held})
    plans = {binding.plan_id or bought.get(binding.model_version_id) for binding in held}
    return [
        MoveDraft(MoveKind.PRICE, plan_id=plan, change_ppm=change_ppm)
        for plan in sorted(plan for plan in plans if plan is not None)
    ]


def _ended(publisher: str) -> list[MoveDraft]:
    company = Company.objects.filter(publisher__slug=publisher).first()
    return [MoveDraft(MoveKind.END_SUPPLIER, supplier_id=company.pk)] if company is not None else []
