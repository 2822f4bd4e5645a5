"""Crediting rules as anybody can read them: sentences, what a rule reaches, and what changes from one version to the next."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from config import house as formats
from config.language import marked
from marketplace.models import CommercialPath, Offering, PricingForm, Publisher, TaskArea
from quotas.models import (
    ONE,
    Deal,
    DealKind,
    DealLine,
    DealState,
    Measure,
    PlanAssignment,
    PlanVersion,
    Receivers,
    RuleVersion,
    SalesRole,
    TeamMembership,
    Territory,
    TerritoryAssignment,
    ValueBasis,
)
from quotas.selectors.linter import USAGE, place, ruling, thing_matches, things
from quotas.selectors.pay_words import ComponentChange, component_changes, components_of

LABELS: Final[Mapping[str, str]] = {
    "deal_kinds": marked("Kind of deal"),
    "segments": marked("Segment"),
    "regions": marked("Region"),
    "roles": marked("Role"),
    "publishers": marked("Publisher"),
    "families": marked("Family"),
    "offerings": marked("Offering"),
    "paths": marked("Commercial path"),
    "task_areas": marked("Task area"),
    "pricing_forms": marked("Pricing"),
    "territories": marked("Territory"),
}
_SUBJECTS: Final[Mapping[str, str]] = {
    ValueBasis.BILLED: "Billed consumption",
    ValueBasis.CONSUMED: "Consumption",
    ValueBasis.NEW_CUSTOMERS: "New customers",
    ValueBasis.UNITS: "Units sold",
}
_PLURALS: Final[Mapping[str, str]] = {
    SalesRole.ACCOUNT_EXECUTIVE: "account executives",
    SalesRole.SPECIALIST: "specialists",
    SalesRole.CUSTOMER_SUCCESS: "customer success",
    SalesRole.MANAGER: "managers",
    SalesRole.HOUSE: "house reps",
}
_PATHS: Final[Mapping[str, str]] = {
    CommercialPath.SOLD_BY_CLOUD: "sold by the cloud",
    CommercialPath.MARKETPLACE: "sold through the marketplace",
    CommercialPath.INTERNAL: "for internal use",
}
MOST_COUNTED: Final = 100_000


@dataclass(frozen=True)
class Names:
    """What the ids in conditions are called."""

    offerings: Mapping[int, str] = field(default_factory=dict)
    publishers: Mapping[int, str] = field(default_factory=dict)
    task_areas: Mapping[int, str] = field(default_factory=dict)
    territories: Mapping[int, str] = field(default_factory=dict)

    def word(self, condition: str, value: Any) -> str:
        """One value of a condition, as it stands in a sentence."""
        named: Mapping[Any, str] | None = getattr(self, condition, None)
        if named is not None:
            name = named.get(value, f"{condition.replace('_', ' ')} {value}")
            return name[:1].lower() + name[1:] if condition == "task_areas" else name
        return word(condition, str(value))


@dataclass(frozen=True, slots=True)
class RuleShown:
    """A rule and what it says; conditions as (what, values)."""

    rule: RuleVersion
    sentence: str
    conditions: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class MeasureShown:
    """The rules of one measure, as they win."""

    measure: Measure
    rules: Sequence[RuleShown]


@dataclass(frozen=True, slots=True)
class VersionShown:
    version: PlanVersion
    rules: Sequence[RuleShown] = field(default_factory=tuple)

    @property
    def by_measure(self) -> list[MeasureShown]:
        found: dict[int, list[RuleShown]] = {}
        for shown in self.rules:
            found.setdefault(shown.rule.measure_id, []).append(shown)
        return [MeasureShown(rules[0].rule.measure, rules) for rules in found.values()]


@dataclass(frozen=True, slots=True)
class Difference:
    """A version against the one it follows. same counts the rules that say the same in both."""

    added: Sequence[RuleShown]
    removed: Sequence[RuleShown]
    changed: Sequence[tuple[RuleShown, RuleShown]]
    same: int
    components: Sequence[ComponentChange] = field(default_factory=tuple)

    @property
    def any(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.components)


@dataclass(frozen=True, slots=True)
class Reached:
    """How much a rule looks at. lines: of approved deals of the last twelve months; more than MOST_COUNTED are not counted."""

    offerings: int
    reps: int
    lines: int
    lines_since: date

    @property
    def many(self) -> bool:
        return self.lines >= MOST_COUNTED


def versions_for(*, drafts: bool) -> list[VersionShown]:
    """Published plan versions, newest first, and what they replaced; drafts for those who write them. 7 queries."""
    versions = PlanVersion.objects.exclude(published_at=None) if not drafts else PlanVersion.objects.all()
    found = list(
        versions.select_related("plan", "drafted_by", "published_by")
        .prefetch_related("rules__measure__currency", "rules__rule")
        .order_by("plan__name", "plan_id", "-number")
    )
    names = names_in(rule for version in found for rule in version.rules.all())
    return [VersionShown(version, shown_in_order(version.rules.all(), names)) for version in found]


def version_shown(version: PlanVersion) -> VersionShown:
    """One version with its sentences. 6 queries."""
    rules = list(version.rules.select_related("measure__currency", "rule"))
    return VersionShown(version, shown_in_order(rules, names_in(rules)))


def difference(version: PlanVersion, base: PlanVersion | None) -> Difference:
    """Rules and components added, taken out and changed against the version that it follows. 12 queries."""
    new = list(version.rules.select_related("measure__currency", "rule"))
    old = list(base.rules.select_related("measure__currency", "rule")) if base else []
    names = names_in([*new, *old])
    before = {rule.rule_id: rule for rule in old}
    after = {rule.rule_id: rule for rule in new}
    changed = [
        (shown(before[pk], names), shown(after[pk], names))
        for pk in after
        if pk in before and _says(before[pk]) != _says(after[pk])
    ]
    return Difference(
        added=[each for each in shown_in_order(new, names) if each.rule.rule_id not in before],
        removed=[each for each in shown_in_order(old, names) if each.rule.rule_id not in after],
        changed=changed,
        same=len(after.keys() & before.keys()) - len(changed),
        components=component_changes(components_of(version), components_of(base)) if base else (),
    )


def _says(rule: RuleVersion) -> list[Any]:
    return [
        *(rule.name, rule.measure_id, rule.receivers, rule.exclusive, rule.factor_ppm, rule.cap_minor),
        *(rule.priority, rule.effective),
        [getattr(rule, name) for name in RuleVersion.CONDITIONS],
    ]


def shown_in_order(rules: Iterable[RuleVersion], names: Names) -> list[RuleShown]:
    """By measure, then who earns, then as they win."""

    def order(rule: RuleVersion) -> tuple[Any, ...]:
        measure = rule.measure
        return (measure.position, measure.pk, rule.receivers, not rule.exclusive, -rule.priority, rule.name)

    return [shown(rule, names) for rule in sorted(rules, key=order)]


def shown(rule: RuleVersion, names: Names) -> RuleShown:
    conditions = [
        (label, _either([names.word(name, value) for value in getattr(rule, name)]))
        for name, label in LABELS.items()
        if getattr(rule, name) is not None
    ]
    return RuleShown(rule, sentence(rule, names), conditions)


def names_in(rules: Iterable[RuleVersion]) -> Names:
    """What the values of these rules are called. 4 queries."""
    every = list(rules)

    def named(condition: str, rows: "QuerySet[Any, Any]") -> dict[int, str]:
        ids = {pk for rule in every for pk in getattr(rule, condition) or ()}
        return dict(rows.filter(pk__in=ids).values_list("pk", "name")) if ids else {}

    return Names(
        offerings=named("offerings", Offering.objects.all()),
        publishers=named("publishers", Publisher.objects.all()),
        task_areas=named("task_areas", TaskArea.objects.all()),
        territories=named("territories", Territory.objects.all()),
    )


# --- the sentence -----------------------------------------------------------------------------------------


def sentence(rule: RuleVersion, names: Names) -> str:
    """The whole rule but its measure: "Deals on any eligible model, new business, EMEA: 110%, until 31 December 2026, cap $2M a deal."."""

    def said(condition: str) -> str:
        return _either([names.word(condition, value) for value in getattr(rule, condition) or ()])

    what = [_SUBJECTS.get(rule.measure.basis, "Deals"), _on(rule, said)]
    if rule.paths is not None:
        what.append(said("paths"))
    if rule.task_areas is not None:
        what.append(f"for {said('task_areas')}")
    facts = [" ".join(what)]
    if rule.pricing_forms is not None:
        facts.append(f"priced {said('pricing_forms')}")
    facts += [said(name) for name in ("deal_kinds", "segments", "regions") if getattr(rule, name) is not None]
    does = [_effect(rule, said), *_dates(rule)]
    if rule.cap_minor is not None:
        does.append(f"cap {_amount(rule.measure, rule.cap_minor)} a deal")
    return f"{', '.join(facts)}: {', '.join(does)}."


def _on(rule: RuleVersion, said: Callable[[str], str]) -> str:
    if rule.offerings is not None:
        on = f"on {said('offerings')}"
        also = [f"from {said('publishers')}"] if rule.publishers is not None else []
    elif rule.publishers is not None:
        on, also = f"on offerings of {said('publishers')}", []
    else:
        on, also = ("on offerings" if rule.families is not None else "on any eligible model"), []
    if rule.families is not None:
        also.append(f"of the family {said('families')}")
    return " ".join([on, *also])


def _effect(rule: RuleVersion, said: Callable[[str], str]) -> str:
    share = percent(rule.factor_ppm)
    does = share if rule.exclusive else f"{share} on top"
    roles = said("roles") if rule.roles is not None else ""
    if rule.receivers == Receivers.TERRITORY:
        who = f"{roles} who cover" if roles else "whoever covers"
        where = (
            f"the customer's territory, {said('territories')}"
            if rule.territories
            else "the customer's territory"
        )
        return f"{does} to {who} {where}"
    if rule.receivers == Receivers.ROLE:
        return f"{does} to all {roles or 'holders of a role'}"
    return f"{does} for {roles}" if roles else does


def _dates(rule: RuleVersion) -> list[str]:
    span = rule.effective
    if span is None:
        return []
    said = [f"from {long_day(span.lower)}"] if span.lower else []
    return [*said, f"until {long_day(span.upper - timedelta(days=1))}"] if span.upper else said


def _amount(measure: Measure, minor: int) -> str:
    """As short as it is exact: $2M, but $2,345,678."""
    currency = measure.currency
    if currency is None:
        return formats.count(minor)
    units, rest = divmod(minor, 10**currency.exponent)
    power = next((power for power in (12, 9, 6, 3) if units >= 10**power), 0)
    short = not rest and units % 10 ** (power if power < 6 else power - 2) == 0
    return formats.money(minor, currency.code, currency.exponent, compact=short, trim=True)


def percent(ppm: int) -> str:
    """Parts per million with as many decimals as it has: 1_100_000 is "110%", 333_333 is "33.3333%"."""
    written = formats.percent(ppm, ONE, 4).rstrip("%")
    return (written.rstrip("0").rstrip(".") if "." in written else written) + "%"


def long_day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def word(condition: str, value: str) -> str:
    """A value that is its own name, as it stands in a sentence."""
    if condition in ("segments", "regions"):
        written = place(value)
        return written if written.isupper() or condition == "regions" else written.lower()
    if condition == "roles":
        return _PLURALS.get(value, value)
    if condition == "paths":
        return _PATHS.get(value, value)
    if condition == "pricing_forms":
        label = str(dict(PricingForm.choices).get(value, value)).lower()
        return label if label.startswith("per ") else f"as {label}"
    if condition == "deal_kinds":
        return str(dict(DealKind.choices).get(value, value)).lower()
    return value.replace("_", " ")


def _either(words: Sequence[str]) -> str:
    if not words:
        return "none"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# --- what it reaches --------------------------------------------------------------------------------------


def reach_of_rule(rule: RuleVersion, *, on: date) -> Reached:
    """Offerings on sale, reps who would receive on a day, and lines of the last twelve months. 8 queries."""
    looked = ruling(rule)
    since = on - timedelta(days=365)
    return Reached(
        offerings=len({thing.offering for thing in things() if thing_matches(looked, thing)}),
        reps=_reps(rule, on),
        lines=_lines(rule, since, on)[:MOST_COUNTED].count(),
        lines_since=since,
    )


def _reps(rule: RuleVersion, on: date) -> int:
    """Who holds a role that is meant, has the plan, and, for overlay by territory, covers one."""
    day = max(on, rule.plan_version.effective.lower or date.min)
    members = TeamMembership.objects.filter(superseded_at=None, effective__contains=day)
    if rule.roles is not None:
        members = members.filter(role__in=rule.roles)
    if rule.receivers == Receivers.TERRITORY:
        covering = TerritoryAssignment.objects.filter(superseded_at=None, effective__contains=day)
        if rule.territories is not None:
            covering = covering.filter(territory__in=rule.territories)
        members = members.filter(rep__in=covering.values("rep"))
    given = list(
        PlanAssignment.objects.filter(
            plan=rule.plan_version.plan_id, superseded_at=None, effective__contains=day
        ).values_list("role", "rep_id")
    )
    if not any(role == "" and rep is None for role, rep in given):
        members = members.filter(
            Q(role__in=[role for role, _ in given if role]) | Q(rep__in=[rep for _, rep in given if rep])
        )
    return members.order_by().values("rep").distinct().count()


def _lines(rule: RuleVersion, since: date, on: date) -> "QuerySet[DealLine]":
    credited = Deal.objects.filter(credited_version=OuterRef("version"), state=DealState.APPROVED)
    lines = DealLine.objects.filter(
        Exists(credited), version__close_date__gt=since, version__close_date__lte=on
    ).order_by()
    basis = rule.measure.basis
    if basis == ValueBasis.NEW_CUSTOMERS:
        lines = lines.filter(version__new_customer=True)
    elif basis in USAGE:
        lines = lines.filter(version__kind=DealKind.CONSUMPTION)
    else:
        lines = lines.exclude(version__kind=DealKind.CONSUMPTION)
    for condition, column in (
        ("offerings", "offering"),
        ("publishers", "offering__publisher"),
        ("families", "offering__family"),
        ("paths", "offering__commercial_path"),
        ("pricing_forms", "plan__pricing_form"),
        ("deal_kinds", "version__kind"),
        ("segments", "version__segment"),
        ("regions", "version__region"),
    ):
        values = getattr(rule, condition)
        if values is not None:
            lines = lines.filter(**{f"{column}__in": values})
    if rule.task_areas is not None:
        within = Offering.task_areas.through.objects.filter(taskarea__in=rule.task_areas)
        lines = lines.filter(offering__in=within.values("offering"))
    return lines
