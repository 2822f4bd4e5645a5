"""Suites of our own writing with made-up answers, votes and runs; all of it is labelled synthetic, none of it tells of real models."""

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from accounts.audit import acting
from accounts.models import Role, RoleGrant, User
from config.clock import day_of
from marketplace.importers.suites import read
from marketplace.models import (
    BindingRole,
    Choice,
    Feature,
    ModelVersion,
    PairVote,
    SuiteRun,
    TaskArea,
    TaskSuite,
    VotingRound,
)
from marketplace.selectors.sourcing import rounds
from marketplace.selectors.sourcing.judging import FOUR_PLACES
from marketplace.services.sourcing import judging
from marketplace.services.sourcing.binding import MixRow, set_mix
from marketplace.services.sourcing.suites import load_suites

FILE: Final = Path(__file__).parents[3] / "data" / "suites.toml"
PRODUCED: Final = date(2026, 5, 20)
PANEL: Final = (
    "Adaeze Lindholm",
    "Bruno Castellanos",
    "Chiara Vandermeer",
    "Dmitri Oyelowo",
    "Elif Thorvaldsen",
    "Farid Nakashima",
    "Greta Adeyemi-Roth",
    "Hiroshi Valcourt",
)
# How good each model's answers are to the made-up voters, by suite: nothing is best at everything.
WORTH: Final[dict[str, dict[str, float]]] = {
    "slide-design": {"claude-sonnet-4-5": 1.5, "gpt-5-2": 0.7, "mistral-medium-3": -0.4, "phi-4": -1.2},
    "financial-analysis": {
        "claude-sonnet-4-5": 1.2,
        "gpt-5-2": 0.9,
        "mistral-medium-3": -0.2,
        "phi-4": -1.4,
    },
    "advanced-coding": {"claude-sonnet-4-5": 1.3, "gpt-5-2": 0.9, "mistral-medium-3": -0.3, "phi-4": -1.3},
    "reasoning-cases": {"claude-sonnet-4-5": 0.8, "gpt-5-2": 1.2, "mistral-medium-3": 0.0, "phi-4": -1.3},
}
# Suite, days before the demo's day on which it was opened and closed (none: it is open), how many of the panel voted, and how
# much of the pairs.
ROUNDS: Final = (
    ("reasoning-cases", 154, 147, 6, 1.0),
    ("slide-design", 44, 36, 8, 1.0),
    ("financial-analysis", 37, 29, 7, 0.9),
    ("advanced-coding", 8, None, 5, 0.6),
    ("reasoning-cases", 6, None, 4, 0.5),
)
# Feature, suite whose last round justifies it, days before the demo's day, why, and the mix.
DECIDED: Final[tuple[tuple[str, str, int, str, dict[str, tuple[str, int]]], ...]] = (
    (
        "m365-slides",
        "slide-design",
        31,
        "Preferred in the blind round on slides; its interval lies above the next one's.",
        {
            "claude-sonnet-4-5": (BindingRole.DEFAULT, 850_000),
            "gpt-5-2": (BindingRole.SELECTABLE, 150_000),
        },
    ),
    (
        "m365-spreadsheets",
        "financial-analysis",
        24,
        "Level in the blind round, so both take part; the larger model keeps the long calculations.",
        {
            "claude-sonnet-4-5": (BindingRole.DEFAULT, 400_000),
            "gpt-5-2": (BindingRole.SELECTABLE, 400_000),
            "claude-opus-4-5": (BindingRole.SELECTABLE, 200_000),
        },
    ),
)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Nothing where the catalog has none of the models."""
    facts = tomllib.loads(FILE.read_text(encoding="utf-8"))
    lead, engineer = people["sourcing"], people["developer"]
    acting(by=lead, at=at, reason="Demo loaded")
    versions = _versions(facts)
    if len(versions) < 2:
        return {}
    harness: str = facts["harness"]
    staged = [replace(suite, produced_on=PRODUCED) for suite in read(FILE.read_bytes())]
    loaded = load_suites(staged=staged, by=lead, at=at, leave_out_unknown=True, synthetic=True)
    suites = loaded.suites
    panel = [engineer, *_panel(at)]
    votes = 0
    for slug, opened, closed, voters, part in ROUNDS:
        found = judging.open_round(
            suite_id=suites[slug].pk,
            harness=harness,
            by=lead,
            at=at - timedelta(days=opened),
            synthetic=True,
        )
        votes += _vote(found, slug, panel[1 : voters + 1] if closed is None else panel[:voters], part)
        if closed is not None:
            judging.close_round(round_id=found.pk, by=lead, at=at - timedelta(days=closed))
    runs = sum(_scored(suite, versions, engineer, at) for suite in facts["scored"])
    decided = _decided(suites, versions, lead, at)
    return {
        "task suites": len(suites) + len(facts["scored"]),
        "voting rounds": len(ROUNDS),
        "blind votes": votes,
        "scored runs": runs,
        "mixes decided by votes": decided,
    }


def _versions(facts: Mapping[str, Any]) -> dict[str, ModelVersion]:
    """By slug of the model, the newest; those that the file names and the catalog has."""
    named = {model for suite in facts["suite"] for case in suite["case"] for model in case["answers"]}
    named |= {model for suite in facts["scored"] for run in suite["run"] for model in run["right"]}
    found = ModelVersion.objects.filter(model__slug__in=named).select_related("model").order_by("label")
    return {version.model.slug: version for version in found}


def _panel(at: datetime) -> list[User]:
    """Engineers who have voted and never log in."""
    made = User.objects.bulk_create(
        User(email=f"judge{n}@demo.example", name=name, password="!")  # noqa: S106 -- no password fits it
        for n, name in enumerate(PANEL, start=1)
    )
    RoleGrant.objects.bulk_create(RoleGrant(user=user, role=Role.ENGINEER, granted_at=at) for user in made)
    return made


def _made(facts: Mapping[str, Any]) -> TaskSuite:
    return TaskSuite.objects.create(
        slug=facts["slug"],
        name=facts["name"],
        task_area=TaskArea.objects.get(slug=facts["task_area"]),
        about=facts["about"],
        criteria=facts["criteria"],
        synthetic=True,
    )


def _vote(found: VotingRound, slug: str, voters: Sequence[User], part: float) -> int:
    """Each voter judges the first *part* of the pairs, in an order of their own."""
    dice = random.Random(f"{slug} {day_of(found.opened_at)}")  # noqa: S311 -- the demo is made of chance
    pairs = rounds.pairs_of(found.suite_id, found.harness)
    slugs = dict(
        ModelVersion.objects.filter(pk__in=rounds.contenders(pairs)).values_list("pk", "model__slug")
    )
    worth = WORTH[slug]
    votes = []
    for seat, voter in enumerate(voters):
        taste = {model: worth[model] + dice.gauss(0, 0.35) for model in sorted(worth)}
        own = dice.sample(pairs, round(len(pairs) * part))
        for minute, pair in enumerate(own):
            gap = taste[slugs[pair.first_version]] - taste[slugs[pair.second_version]] + dice.gauss(0, 1.1)
            both = taste[slugs[pair.first_version]] + taste[slugs[pair.second_version]]
            choice = Choice.FIRST if gap > 0 else Choice.SECOND
            if abs(gap) < 0.3:
                choice = Choice.NEITHER if both < -1 else Choice.TIE
            votes.append(
                PairVote(
                    round=found,
                    first_id=pair.first,
                    second_id=pair.second,
                    shown_left_id=rounds.left_of(found.pk, voter.pk, pair),
                    choice=choice,
                    voter=voter,
                    at=found.opened_at + timedelta(hours=4 * seat, minutes=2 * minute),
                )
            )
    PairVote.objects.bulk_create(votes)
    return len(votes)


def _scored(facts: Mapping[str, Any], versions: Mapping[str, ModelVersion], by: User, at: datetime) -> int:
    suite, made = _made(facts), 0
    for run in facts["run"]:
        if run["dated"] > day_of(at):
            continue
        for model, right in run["right"].items():
            if model not in versions:
                continue
            judging.record_run(
                suite_id=suite.pk,
                model_version_id=versions[model].pk,
                metric=facts["metric"],
                harness=facts["harness"],
                sample_size=facts["cases"],
                score=(Decimal(right) / facts["cases"]).quantize(FOUR_PLACES),
                cost_usd=Decimal(run["cost_usd"][model]),
                evaluator=facts["evaluator"],
                dated=run["dated"],
                synthetic=True,
                by=by,
                at=at,
            )
            made += 1
    return made


def _decided(
    suites: Mapping[str, TaskSuite], versions: Mapping[str, ModelVersion], by: User, at: datetime
) -> int:
    """Features whose mix follows from a round; none where our products are not loaded, or lack one of the models."""
    made = 0
    for slug, suite, days, reason, mix in DECIDED:
        feature = Feature.objects.filter(slug=slug).first()
        if feature is None or not versions.keys() >= mix.keys():
            continue
        runs = dict(
            SuiteRun.objects.filter(suite=suites[suite])
            .order_by("dated", "id")
            .values_list("model_version_id", "pk")
        )
        set_mix(
            feature_id=feature.pk,
            from_day=day_of(at - timedelta(days=days)),
            rows=[
                MixRow(
                    model_version_id=versions[model].pk,
                    role=role,
                    share_ppm=share,
                    run_id=runs.get(versions[model].pk),
                    assumed=True,
                )
                for model, (role, share) in mix.items()
            ],
            reason=reason,
            by=by,
            at=at,
        )
        made += 1
    return made
