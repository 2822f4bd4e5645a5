"""Crediting rules as anybody can read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from config import formats
from marketplace.models import CommercialPath, Offering, PricingForm, Publisher
from quotas.models import ONE, DealKind, PlanState, PlanVersion, Receivers, RuleVersion, SalesRole

_CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "paths": dict(CommercialPath.choices),
    "pricing_forms": dict(PricingForm.choices),
    "deal_kinds": dict(DealKind.choices),
    "roles": dict(SalesRole.choices),
}


@dataclass(frozen=True, slots=True)
class RuleShown:
    """A rule and what it says; conditions as (what, values)."""

    rule: RuleVersion
    sentence: str
    conditions: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class VersionShown:
    version: PlanVersion
    rules: Sequence[RuleShown] = field(default_factory=tuple)


def versions_for(*, drafts: bool) -> list[VersionShown]:
    """Published plan versions, newest first, and what they replaced; drafts for those who write them. 4 queries."""
    states = [
        PlanState.PUBLISHED,
        PlanState.SUPERSEDED,
        *([PlanState.DRAFT, PlanState.IN_REVIEW] if drafts else []),
    ]
    versions = list(
        PlanVersion.objects.filter(state__in=states)
        .select_related("plan", "drafted_by", "published_by")
        .prefetch_related("rules__measure__currency", "rules__rule")
        .order_by("plan__name", "-number")
    )
    rules = [rule for version in versions for rule in version.rules.all()]
    offerings = dict(
        Offering.objects.filter(pk__in={pk for r in rules for pk in r.offerings or ()}).values_list(
            "pk", "name"
        )
    )
    publishers = dict(
        Publisher.objects.filter(pk__in={pk for r in rules for pk in r.publishers or ()}).values_list(
            "pk", "name"
        )
    )
    return [
        VersionShown(
            version,
            [
                _shown(rule, offerings, publishers)
                for rule in sorted(
                    version.rules.all(),
                    key=lambda r: (r.measure.position, not r.exclusive, -r.priority, r.name),
                )
            ],
        )
        for version in versions
    ]


def _shown(rule: RuleVersion, offerings: Mapping[int, str], publishers: Mapping[int, str]) -> RuleShown:
    conditions: list[tuple[str, str]] = []
    for name, label, values in (
        ("deal_kinds", "kind of deal", rule.deal_kinds),
        ("segments", "segment", rule.segments),
        ("regions", "region", rule.regions),
        ("roles", "role", rule.roles),
        ("publishers", "publisher", rule.publishers),
        ("families", "family", rule.families),
        ("offerings", "offering", rule.offerings),
        ("paths", "commercial path", rule.paths),
        ("pricing_forms", "pricing", rule.pricing_forms),
    ):
        if values is not None:
            conditions.append(
                (label, _either([_word(name, value, offerings, publishers) for value in values]))
            )
    return RuleShown(rule, _sentence(rule, conditions), conditions)


def _word(name: str, value: object, offerings: Mapping[int, str], publishers: Mapping[int, str]) -> str:
    if name == "offerings" and isinstance(value, int):
        return offerings.get(value, f"offering {value}")
    if name == "publishers" and isinstance(value, int):
        return publishers.get(value, f"publisher {value}")
    text = str(value)
    if name == "regions":
        return text.upper() if text in ("emea", "apac", "latam", "mea") else text.capitalize()
    return str(_CHOICES.get(name, {}).get(text, text.replace("_", " ").replace("-", " "))).lower()


def _either(words: Sequence[str]) -> str:
    if not words:
        return "none"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _sentence(rule: RuleVersion, conditions: Sequence[tuple[str, str]]) -> str:
    measure = rule.measure
    share = formats.percent(rule.factor_ppm, ONE, 4).rstrip("%").rstrip("0").rstrip(".") + "%"
    if rule.exclusive:
        does = f"Credits {measure.name} at {share} of the eligible value"
    else:
        does = f"Adds {share} of the credit in {measure.name}, on top of whatever else applies"
    who = "the deal's own participants" if rule.receivers == Receivers.SHARES else "overlay receivers"
    where = " and ".join(f"the {what} is {values}" for what, values in conditions)
    when = f", if {where}" if where else ", for every deal"
    cap = ""
    if rule.cap_minor is not None:
        currency = measure.currency
        amount = formats.measured(
            rule.cap_minor,
            currency.code if currency else None,
            currency.exponent if currency else formats.COUNT_EXPONENT,
        )
        cap = f", up to {amount} a deal"
    return f"{does} for {who}{when}{cap}."
