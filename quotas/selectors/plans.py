"""Plan versions: what is in force, what a version holds, and what stands between a draft and its publication."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from config.models import Job, JobState
from quotas.models import (
    ONE,
    ParityProof,
    ParityVerdict,
    PlanComponent,
    PlanState,
    PlanVersion,
    RuleVersion,
)
from quotas.selectors import parity
from quotas.selectors.linter import Finding, Weight, findings_of
from quotas.selectors.pay_words import kept_of
from quotas.selectors.rules import long_day

SIMULATE: Final = "quotas.simulate"
OPEN_STATES: Final = (PlanState.DRAFT, PlanState.IN_REVIEW)
Span = tuple[date | None, date | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has to be true before a version is published. todo says what to do while it is not."""

    code: str
    done: bool
    title: str
    says: str
    todo: str = ""


@dataclass(frozen=True)
class Gate:
    """The checklist of publishing, with what it rests on."""

    steps: Sequence[Step]
    findings: Sequence[Finding] = field(default_factory=tuple)
    preview: Job | None = None
    proof: ParityProof | None = None

    @property
    def open(self) -> list[Step]:
        return [step for step in self.steps if not step.done]


def fingerprint(version: PlanVersion) -> str:
    """SHA-256 over everything that publishing freezes; a change since somebody read it shows. 3 queries."""
    return _digest(_content(version))


def rule_fingerprint(rule: RuleVersion) -> str:
    """SHA-256 over what one rule says."""
    return _digest(_said(rule))


def history_digest(version: PlanVersion) -> str:
    """Names what a preview on history compared: this very draft with what is published beside it. 4 queries."""
    published = (
        PlanVersion.objects.filter(state=PlanState.PUBLISHED).order_by("pk").values_list("pk", flat=True)
    )
    return _digest([_content(version), list(published)])


def in_force(on: date, versions: Iterable[PlanVersion]) -> dict[int, PlanVersion]:
    """Of each plan, the published version that counts on a day: the highest number."""
    found: dict[int, PlanVersion] = {}
    for version in versions:
        if version.state != PlanState.PUBLISHED or on not in version.effective:
            continue
        if version.plan_id not in found or found[version.plan_id].number < version.number:
            found[version.plan_id] = version
    return found


def base_of(version: PlanVersion) -> PlanVersion | None:
    """What counts before a draft: the published version in force on its first day, else the last one before. 1 query."""
    published = list(
        PlanVersion.objects.filter(plan=version.plan_id, state=PlanState.PUBLISHED)
        .exclude(pk=version.pk)
        .filter(number__lt=version.number)
        .select_related("plan")
        .order_by("-number")
    )
    first = version.effective.lower
    if first is not None:
        for each in published:
            if first in each.effective:
                return each
    return published[0] if published else None


def covered(span: Span, others: Iterable[Span]) -> bool:
    """Whether every day of a half-open span lies in one of the others."""
    at = span[0] or date.min
    end = span[1] or date.max
    for starts, ends in sorted((s or date.min, e or date.max) for s, e in others):
        if at >= end:
            break
        if starts > at:
            return False
        at = max(at, ends)
    return at >= end


def gate(version: PlanVersion, *, on: date) -> Gate:
    """What is done and what is not before a version can be published. About 20 queries."""
    findings = findings_of(version)
    preview = preview_of(version, on=on)
    whole = PlanVersion.objects.select_related("plan").prefetch_related(
        "rules__rule", "rules__measure__currency"
    )
    proof = parity.valid_proof_of(whole.get(pk=version.pk))
    return Gate(
        steps=[
            _rules_step(findings),
            _components_step(version),
            _preview_step(version, preview),
            _parity_step(version, proof),
            _review_step(version),
        ],
        findings=findings,
        preview=preview,
        proof=proof,
    )


def preview_of(version: PlanVersion, *, on: date) -> Job | None:
    """The newest finished preview on history of this very version; for one that begins in the past, of what really would move."""
    jobs = Job.objects.filter(
        kind=SIMULATE,
        state=JobState.DONE,
        parameters__plan_version_id=version.pk,
        parameters__digest=history_digest(version),
    )
    if begins_in_the_past(version, on):
        jobs = jobs.filter(parameters__covers_the_past=True)
    return jobs.exclude(result__has_key="outdated").order_by("-pk").first()


def begins_in_the_past(version: PlanVersion, on: date) -> bool:
    """Whether the version governs days that are over, today among them: deals close today."""
    return version.effective.lower is None or bool(version.effective.lower <= on)


def past_part(version: PlanVersion, on: date) -> tuple[date | None, date]:
    """The part of a version's span that deals can have closed in: [first, last + 1)."""
    tomorrow = on + timedelta(days=1)
    upper = version.effective.upper
    return version.effective.lower, tomorrow if upper is None else min(upper, tomorrow)


def clauses_of(proof: ParityProof) -> list[str]:
    """The rules that a proof does not let pass, each with the condition that tells twins apart."""
    named = []
    for finding in proof.findings["rules"]["findings"]:
        if finding["exception"] is None:
            clauses = " and ".join(clause["label"] for clause in finding["clauses"])
            named.append(
                f"“{finding['rule']['name']}”" + (f" by its condition on {clauses}" if clauses else "")
            )
    return named


# --- the steps --------------------------------------------------------------------------------------------


def _rules_step(findings: Sequence[Finding]) -> Step:
    blocking = [
        each for each in findings if each.weight == Weight.BLOCKS and each.code != "weights_do_not_add_up"
    ]
    warnings = sum(each.weight == Weight.WARNS for each in findings)
    if blocking:
        return Step(
            "rules",
            False,
            "Rules are clear",
            blocking[0].message
            if len(blocking) == 1
            else f"{len(blocking)} findings of the linter block: {blocking[0].message}",
            blocking[0].todo,
        )
    says = "The linter finds nothing that blocks"
    says += f", and {warnings} {'thing' if warnings == 1 else 'things'} to look at." if warnings else "."
    return Step("rules", True, "Rules are clear", says)


def _components_step(version: PlanVersion) -> Step:
    weights = list(PlanComponent.objects.filter(plan_version=version.pk).values_list("weight_ppm", flat=True))
    if weights and sum(weights) != ONE:
        percent = f"{sum(weights) / 10_000:g}%"
        return Step(
            "components",
            False,
            "Components add up",
            f"The weights add up to {percent} and not to 100%.",
            "Change the weights of the components.",
        )
    says = (
        f"{len(weights)} {'component' if len(weights) == 1 else 'components'}, 100% together."
        if weights
        else "The version has no components: it credits, and weighs nothing in attainment."
    )
    return Step("components", True, "Components add up", says)


def _preview_step(version: PlanVersion, preview: Job | None) -> Step:
    title = "Impact on history is known"
    if preview is not None:
        starts = date.fromisoformat(preview.parameters["starts"])
        last = date.fromisoformat(preview.parameters["ends"]) - timedelta(days=1)
        span = f"{long_day(starts)} to {long_day(last)}"
        return Step("preview", True, title, f"Previewed on the deals from {span}.")
    says, todo = _why_no_preview(version)
    return Step("preview", False, title, says, todo)


def _why_no_preview(version: PlanVersion) -> tuple[str, str]:
    """Of the newest preview, why it does not count, and what to do."""
    newest = (
        Job.objects.filter(kind=SIMULATE, parameters__plan_version_id=version.pk)
        .order_by("-pk")
        .values_list("state", "parameters__digest", "result__outdated")
        .first()
    )
    todo = "Run the impact preview."
    if newest is None:
        return "Nobody has looked yet at what this version does to the deals of the past.", todo
    state, digest, outdated = newest
    if outdated or digest != history_digest(version):
        return "The version, or what is published beside it, changed since it was previewed.", todo
    if state in (JobState.WAITING, JobState.RUNNING):
        return (
            "The preview is under way.",
            "Wait until it is done: “Impact on history” says how far it is.",
        )
    if state == JobState.DONE:
        return (
            "The newest preview does not look at every day that publishing works out again.",
            "Run the impact preview over all of them.",
        )
    return "The newest preview did not come to its end.", todo


def _parity_step(version: PlanVersion, proof: ParityProof | None) -> Step:
    title = "Parity is proved"
    if proof is None:
        return Step(
            "parity",
            False,
            title,
            "There is no parity proof of these rules, and of the exceptions that pass, as they stand.",
            "Run the parity proof.",
        )
    verdicts = (("rules", proof.rules_verdict), ("eligibility", proof.eligibility_verdict))
    refused = [name for name, verdict in verdicts if verdict == ParityVerdict.REFUSED]
    if not refused:
        excepted = any(verdict == ParityVerdict.EXCEPTED for _, verdict in verdicts)
        says = "Both verdicts are clean" + (
            ", but for exceptions that two people stand for." if excepted else "."
        )
        return Step("parity", True, title, says)
    if "rules" in refused:
        named = clauses_of(proof)
        more = f" and {len(named) - 2} more" if len(named) > 2 else ""
        return Step(
            "parity",
            False,
            title,
            f"The proof refuses it: {' and '.join(named[:2])}{more} would not credit a first-party and a third-party offering"
            " alike.",
            "Take that condition out; or ask for an exception with a reason, and prove it again once it is approved.",
        )
    return Step(
        "parity",
        False,
        title,
        "The proof refuses it: offerings of one origin are eligible at another rate than those of the other.",
        "Decide on their eligibility; or ask for an exception with a reason, and prove it again once it is approved.",
    )


def _review_step(version: PlanVersion) -> Step:
    title = "Review is asked for"
    if version.state == PlanState.IN_REVIEW:
        by = version.review_asked_by.name if version.review_asked_by else ""
        return Step("review", True, title, f"{by} asked for it. A second comp admin publishes it.")
    if version.state != PlanState.DRAFT:
        return Step("review", True, title, "It was reviewed.")
    return Step(
        "review",
        False,
        title,
        "It is a draft.",
        "Ask for a review; then somebody who neither drafted it nor asked can publish it.",
    )


# --- contents ---------------------------------------------------------------------------------------------


def _content(version: PlanVersion) -> list[Any]:
    rules = RuleVersion.objects.filter(plan_version=version.pk).order_by("pk")
    components = (
        PlanComponent.objects.filter(plan_version=version.pk)
        .select_related("pay_scale")
        .prefetch_related("pay_scale__tiers")
        .order_by("pk")
    )
    return [
        version.pk,
        [version.effective.lower, version.effective.upper],
        [_said(rule) for rule in rules],
        [kept_of(component) for component in components],
    ]


def _said(rule: RuleVersion) -> list[Any]:
    return [
        *(rule.pk, rule.rule_id, rule.name, rule.measure_id, rule.receivers, rule.exclusive, rule.factor_ppm),
        *(rule.cap_minor, rule.priority),
        [rule.effective.lower, rule.effective.upper] if rule.effective else None,
        [getattr(rule, name) for name in RuleVersion.CONDITIONS],
    ]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()
