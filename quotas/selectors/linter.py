"""What is wrong with a plan version, found before it is published: a pure function over rules and the facts they can meet.

Everything that a rule can look at is an axis: what is sold, the kind of deal, segment, region, and who receives on which day.
On each axis a value is a mask of the rules that it satisfies, so that the masks that can come together are few: they are
folded axis by axis, and each keeps one example. The winner of a mask is found as the engine finds it (quotas/RULES.md 6.2).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final

from config import house as formats
from marketplace.models import CommercialPath, Customer, Offering, Plan, PricingForm, Publisher, TaskArea
from marketplace.selectors.on_sale import ON_SALE
from quotas.models import (
    ONE,
    CustomerTerritory,
    DealKind,
    FxRate,
    PayBy,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    Receivers,
    RuleVersion,
    SalesRole,
    TeamMembership,
    Territory,
    TerritoryAssignment,
    ValueBasis,
)

USAGE: Final = (ValueBasis.BILLED, ValueBasis.CONSUMED)
OF_THE_OFFERING: Final = ("offerings", "publishers", "families", "paths", "task_areas", "pricing_forms")


class Weight(StrEnum):
    """blocks: cannot be published. warns: probably not meant. tells: as it works."""

    BLOCKS = "blocks"
    WARNS = "warns"
    TELLS = "tells"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a version. rules: ids of the rule versions that it is about."""

    code: str
    weight: Weight
    message: str
    todo: str = ""
    rules: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """A rule as the linter looks at it. conditions holds those that are set; no bound of a span is None."""

    id: int
    version: int
    name: str
    measure: int
    basis: str
    exclusive: bool = True
    receivers: int = Receivers.SHARES
    priority: int = 0
    starts: date | None = None
    ends: date | None = None
    cap_minor: int | None = None
    conditions: Mapping[str, frozenset[Any]] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, int, int]:
        """Smaller wins."""
        return (-self.priority, -len(self.conditions), self.id)

    @property
    def direct(self) -> bool:
        return self.receivers == Receivers.SHARES

    def allows(self, condition: str, value: Any) -> bool:
        return condition not in self.conditions or value in self.conditions[condition]


@dataclass(frozen=True, slots=True)
class Thing:
    """An offering in one pricing form; form is None where no plan is named."""

    offering: int
    name: str
    publisher: int
    family: str
    path: str
    task_areas: frozenset[int] = frozenset()
    form: str | None = None


@dataclass(frozen=True, slots=True)
class Governing:
    """A plan version over its span; where those of one plan overlap, the higher number counts."""

    id: int
    plan: int
    number: int
    starts: date | None = None
    ends: date | None = None


@dataclass(frozen=True, slots=True)
class Assigned:
    """A plan to everybody, to a role or to one rep."""

    plan: int
    role: str = ""
    rep: int | None = None
    starts: date | None = None
    ends: date | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A kind of receiver: role, rep only where plans are assigned in person, territories that the customer and the receiver have in common."""

    role: str
    rep: int | None = None
    territories: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Facts:
    """All that the rules of a version can meet in its span, [starts, ends)."""

    version: Governing
    versions: Sequence[Governing]
    rules: Sequence[Ruling]
    assignments: Sequence[Assigned]
    things: Sequence[Thing]
    kinds: Sequence[str]
    segments: Sequence[str]
    regions: Sequence[str]
    sharers: Sequence[Person]
    overlay: Sequence[Person]
    weights: Sequence[int] = ()
    pay: Sequence["PayFact"] = ()
    known: Mapping[str, frozenset[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PayFact:
    """A component as the linter looks at it. unknown_rate: the currencies of a commission that nothing converts between."""

    measure: str
    pays: bool
    target_incentive: bool = False
    unknown_rate: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two exclusive rules of one measure that can both match. tie: neither priority nor conditions decide, and no third one wins."""

    winner: int
    loser: int
    tie: bool
    example: tuple[Any, ...]


@dataclass(frozen=True)
class Reach:
    """What comes of the rules together, over all that can come together."""

    meetings: list[Meeting]
    beaten: Mapping[
        int, frozenset[int]
    ]  # rules that match somewhere and win nowhere, by whom they are beaten
    never: frozenset[int]  # rules that match nowhere
    bare: list[Thing]  # offerings for which no direct exclusive rule ever wins


# --- the pure part ----------------------------------------------------------------------------------------


def lint(facts: Facts) -> list[Finding]:
    """Everything there is to say about facts.version, what blocks first."""
    own = [rule for rule in facts.rules if rule.version == facts.version.id]
    mine = {rule.id for rule in own}
    found: list[Finding] = []
    if not own:
        found.append(
            Finding(
                "no_rules",
                Weight.BLOCKS,
                "The version has no rule: nobody would earn under it.",
                "Add a rule.",
            )
        )
    if facts.weights and sum(facts.weights) != ONE:
        found.append(
            Finding(
                "weights_do_not_add_up",
                Weight.BLOCKS,
                f"The weights of the components add up to {_percent(sum(facts.weights))} and not to 100%.",
                "Change the weights.",
            )
        )
    found += _pay(facts.pay)
    found += _values_and_dates(facts, own)
    assigned = any(a.plan == facts.version.plan and _meet(a, facts.version) for a in facts.assignments)
    if not assigned:
        found.append(
            Finding(
                "assigned_to_nobody",
                Weight.WARNS,
                "The plan is assigned to nobody on these dates: nobody would earn under it.",
                "Assign it to everybody, to a role or to single reps.",
            )
        )
    names = {rule.id: rule for rule in facts.rules}
    reach = reach_of(facts if assigned else _to_everybody(facts))
    found += [
        _meeting(meeting, names) for meeting in reach.meetings if {meeting.winner, meeting.loser} & mine
    ]
    for rule in own:
        if rule.id in reach.beaten:
            by = [names[pk].name for pk in sorted(reach.beaten[rule.id])]
            found.append(
                Finding(
                    "unreachable",
                    Weight.WARNS,
                    f"“{rule.name}” never wins: wherever it matches, it is beaten by {_listed(by)}.",
                    "Raise its priority, or take it out.",
                    (rule.id, *sorted(reach.beaten[rule.id])),
                )
            )
        elif rule.id in reach.never and _in_the_span(rule, facts.version):
            found.append(
                Finding(
                    "unreachable",
                    Weight.WARNS,
                    f"“{rule.name}” can match nothing: {_why_never(rule, facts)}.",
                    "Change its conditions, or take it out.",
                    (rule.id,),
                )
            )
    if own and reach.bare:
        bare = list(dict.fromkeys(thing.name for thing in reach.bare))
        found.append(
            Finding(
                "offering_without_rule",
                Weight.WARNS,
                f"{'1 offering has' if len(bare) == 1 else f'{len(bare)} offerings have'} no rule: deals on"
                f" {_listed(bare[:5])}{' and others' if len(bare) > 5 else ''} would earn nothing.",
                "Add a rule that names no offering, or name them.",
            )
        )
    order = list(Weight)
    return sorted(found, key=lambda each: order.index(each.weight))


def reach_of(facts: Facts) -> Reach:
    """Fold every axis and see who meets whom, who never wins and what nobody reaches."""
    ranked = sorted(facts.rules, key=lambda rule: rule.rank)
    meetings: dict[tuple[int, int], Meeting] = {}
    met: set[int] = set()
    won: set[int] = set()
    beaten: dict[int, set[int]] = defaultdict(set)
    covered: set[int] = set()
    days = _days(facts)
    for direct, people in ((True, facts.sharers), (False, facts.overlay)):
        rules = [rule for rule in ranked if rule.direct == direct]
        axes: list[dict[int, Any]] = [
            _axis(rules, facts.kinds, _of_kind),
            _axis(rules, facts.segments, lambda rule, segment: rule.allows("segments", segment)),
            _axis(rules, facts.regions, lambda rule, region: rule.allows("regions", region)),
            _on_days(rules, people, days, facts),
        ]
        rest = _fold(axes)
        things = _axis(rules, facts.things, thing_matches)
        if direct:
            exclusive = sum(1 << at for at, rule in enumerate(rules) if rule.exclusive)
            reaching = {mask & exclusive for mask in rest}
            for thing in facts.things:
                mask = _mask(rules, thing, thing_matches)
                if any(mask & other for other in reaching):
                    covered.add(thing.offering)
        for mask, example in _fold([things, rest]).items():
            matching = [rules[at] for at in range(len(rules)) if mask >> at & 1]
            met |= {rule.id for rule in matching}
            won |= {rule.id for rule in matching if not rule.exclusive}
            by_measure: dict[int, list[Ruling]] = defaultdict(list)
            for rule in matching:
                if rule.exclusive:
                    by_measure[rule.measure].append(rule)
            for first, *others in by_measure.values():
                won.add(first.id)
                for nth, other in enumerate(others):
                    beaten[other.id].add(first.id)
                    tie = first.rank[:2] == other.rank[:2]
                    for winner in (first, *others[:nth]):
                        pair = (winner.id, other.id)
                        known = meetings.get(pair)
                        is_tie = tie and winner is first
                        if known is None or (is_tie and not known.tie):
                            meetings[pair] = Meeting(*pair, is_tie, example)
    return Reach(
        meetings=[meetings[pair] for pair in sorted(meetings)],
        beaten={pk: frozenset(by) for pk, by in beaten.items() if pk not in won},
        never=frozenset(rule.id for rule in facts.rules if rule.id not in met),
        bare=[thing for thing in facts.things if thing.offering not in covered],
    )


def _mask(rules: Sequence[Ruling], value: Any, holds: Callable[[Ruling, Any], bool]) -> int:
    return sum(1 << at for at, rule in enumerate(rules) if holds(rule, value))


def _axis(
    rules: Sequence[Ruling], values: Iterable[Any], holds: Callable[[Ruling, Any], bool]
) -> dict[int, Any]:
    """Mask to the first value that has it."""
    found: dict[int, Any] = {}
    for value in values:
        found.setdefault(_mask(rules, value, holds), (value,))
    return found


def _fold(axes: Sequence[Mapping[int, Any]]) -> dict[int, Any]:
    """The masks that can come together over all axes, each with an example."""
    found: dict[int, Any] = {-1: ()}
    for axis in axes:
        found_next: dict[int, Any] = {}
        for mask, example in found.items():
            for other, more in axis.items():
                found_next.setdefault(mask & other, (*example, *more))
        found = found_next
    return found


def _on_days(
    rules: Sequence[Ruling], people: Iterable[Person], days: Iterable[date], facts: Facts
) -> dict[int, Any]:
    """Mask to (person, day): the rules in force on the day, of the plans that the person then has, whose receivers the person is among."""
    plan_of = {version.id: version.plan for version in facts.versions}
    found: dict[int, Any] = {}
    for day in days:
        in_force = _in_force(facts.versions, day)
        at_all = sum(
            1 << at
            for at, rule in enumerate(rules)
            if rule.version in in_force and _holds(rule.starts, rule.ends, day)
        )
        given = [a for a in facts.assignments if _holds(a.starts, a.ends, day)]
        for person in people:
            plans = {a.plan for a in given if _for(a, person)}
            mask = at_all & sum(
                1 << at
                for at, rule in enumerate(rules)
                if plan_of[rule.version] in plans and _of_person(rule, person)
            )
            found.setdefault(mask, (person, day))
    return found


def _in_force(versions: Iterable[Governing], day: date) -> set[int]:
    """Of each plan, the highest number that holds on the day."""
    best: dict[int, Governing] = {}
    for version in versions:
        if _holds(version.starts, version.ends, day) and (
            version.plan not in best or best[version.plan].number < version.number
        ):
            best[version.plan] = version
    return {version.id for version in best.values()}


def _for(assigned: Assigned, person: Person) -> bool:
    if assigned.rep is not None:
        return assigned.rep == person.rep
    return assigned.role in ("", person.role)


def _of_person(rule: Ruling, person: Person) -> bool:
    if not rule.allows("roles", person.role):
        return False
    if rule.receivers == Receivers.TERRITORY:
        return bool(person.territories & rule.conditions.get("territories", person.territories))
    return True


def _of_kind(rule: Ruling, kind: str) -> bool:
    """The condition, and what the measure looks at: consumption or all the rest, new customers in any deal."""
    if rule.basis != ValueBasis.NEW_CUSTOMERS and (kind == DealKind.CONSUMPTION) != (rule.basis in USAGE):
        return False
    return rule.allows("deal_kinds", kind)


def thing_matches(rule: Ruling, thing: Thing) -> bool:
    """Whether the offering meets the conditions that are about it."""
    return (
        rule.allows("offerings", thing.offering)
        and rule.allows("publishers", thing.publisher)
        and rule.allows("families", thing.family)
        and rule.allows("paths", thing.path)
        and rule.allows("pricing_forms", thing.form)
        and ("task_areas" not in rule.conditions or bool(rule.conditions["task_areas"] & thing.task_areas))
    )


def _holds(starts: date | None, ends: date | None, day: date) -> bool:
    return (starts is None or starts <= day) and (ends is None or day < ends)


def _meet(one: Any, other: Any) -> bool:
    """Whether two spans have a day in common."""
    starts = max(one.starts or date.min, other.starts or date.min)
    ends = min(one.ends or date.max, other.ends or date.max)
    return starts < ends


def _in_the_span(rule: Ruling, version: Governing) -> bool:
    return _meet(rule, version)


def _days(facts: Facts) -> list[date]:
    """The first day of every stretch in which nothing dated changes, within the version's span."""
    starts, ends = facts.version.starts or date.min, facts.version.ends or date.max
    edges = {starts}
    dated: list[Governing | Ruling | Assigned] = [*facts.versions, *facts.rules, *facts.assignments]
    for each in dated:
        edges |= {edge for edge in (each.starts, each.ends) if edge is not None and starts < edge < ends}
    return sorted(edges)


def _to_everybody(facts: Facts) -> Facts:
    """As if the plan were assigned, so that a plan that is not says what else is wrong with it."""
    return Facts(**{**facts.__dict__, "assignments": [*facts.assignments, Assigned(facts.version.plan)]})


def _values_and_dates(facts: Facts, own: Sequence[Ruling]) -> Iterable[Finding]:
    version = facts.version
    for rule in own:
        for condition, values in rule.conditions.items():
            unknown = sorted(str(value) for value in values - facts.known.get(condition, values))
            if unknown:
                yield Finding(
                    "unknown_value",
                    Weight.BLOCKS,
                    f"“{rule.name}” names {_listed(unknown)} under {condition.replace('_', ' ')}, which does not exist.",
                    "Open the rule and choose again.",
                    (rule.id,),
                )
        if rule.cap_minor == 0:
            yield Finding(
                "cap_of_zero",
                Weight.WARNS,
                f"“{rule.name}” has a cap of 0: whatever it credits is cut to nothing.",
                "Take the cap out, or set the multiplier to 0 if that is meant.",
                (rule.id,),
            )
        if rule.starts is None and rule.ends is None:
            continue
        if not _in_the_span(rule, version):
            yield Finding(
                "outside_the_version",
                Weight.WARNS,
                f"“{rule.name}” has no day within the version's own dates, so it never applies.",
                "Change its dates, or take it out.",
                (rule.id,),
            )
        elif (rule.starts is not None and rule.starts < (version.starts or date.min)) or (
            rule.ends is not None and rule.ends > (version.ends or date.max)
        ):
            yield Finding(
                "partly_outside_the_version",
                Weight.TELLS,
                f"“{rule.name}” is dated beyond the version: outside the version's dates it does not apply.",
                "",
                (rule.id,),
            )


def _meeting(meeting: Meeting, rules: Mapping[int, Ruling]) -> Finding:
    winner, loser = rules[meeting.winner], rules[meeting.loser]
    where = _example(meeting.example)
    if meeting.tie:
        return Finding(
            "ambiguous",
            Weight.BLOCKS,
            f"“{winner.name}” and “{loser.name}” can both match, for instance {where}, and neither priority nor the number of"
            " conditions says which wins.",
            "Give one of them a higher priority.",
            (winner.id, loser.id),
        )
    if winner.priority != loser.priority:
        why = f"priority {winner.priority} against {loser.priority}"
    elif len(winner.conditions) != len(loser.conditions):
        why = f"{_conditions(len(winner.conditions))} against {len(loser.conditions)}"
    else:
        why = "it is older, where a third rule does not win anyway"
    return Finding(
        "overlap",
        Weight.TELLS,
        f"“{winner.name}” wins over “{loser.name}” where both match, for instance {where}: {why}.",
        "",
        (winner.id, loser.id),
    )


def _example(example: tuple[Any, ...]) -> str:
    thing, kind, segment, region, person, _day = example
    role = dict(SalesRole.choices).get(person.role, person.role)
    return (
        f"{dict(DealKind.choices).get(kind, kind).lower()} on {thing.name}, {place(segment)}, {place(region)},"
        f" {role.lower()}"
    )


def place(name: str) -> str:
    """A region or segment as it is read: "emea" is "EMEA", "public-sector" is "Public sector"."""
    return (
        name.upper()
        if name in ("emea", "apac", "latam", "mea", "uk", "us")
        else name.replace("-", " ").capitalize()
    )


def _pay(components: Sequence[PayFact]) -> list[Finding]:
    """Components that pay nothing beside others that do, and commissions that cannot be converted."""
    found = []
    for each in components:
        if each.unknown_rate is not None:
            of, to = each.unknown_rate
            found.append(
                Finding(
                    "no_rate_to_pay",
                    Weight.BLOCKS,
                    f"{each.measure} pays a part of its credit in {to}, and there is no exchange rate from {of} to {to}.",
                    "Record the rate, or pay it in the measure's own currency.",
                )
            )
        elif not each.pays and (any(other.pays for other in components) or each.target_incentive):
            beside = (
                "others of the version pay"
                if any(o.pays for o in components)
                else "it has a target incentive"
            )
            found.append(
                Finding(
                    "component_without_rates",
                    Weight.WARNS,
                    f"{each.measure} has no rates and pays nothing, although {beside}.",
                    "Give it rates, or leave it to count toward attainment alone.",
                )
            )
    return found


def _why_never(rule: Ruling, facts: Facts) -> str:
    if not any(thing_matches(rule, thing) for thing in facts.things):
        return "no offering on sale meets its conditions"
    if not any(_of_kind(rule, kind) for kind in facts.kinds):
        return "its measure does not look at these kinds of deal"
    if not any(rule.allows("segments", each) for each in facts.segments):
        return "no customer is in these segments"
    if not any(rule.allows("regions", each) for each in facts.regions):
        return "no customer is in these regions"
    if not any(_of_person(rule, person) for person in (facts.sharers if rule.direct else facts.overlay)):
        return "nobody holds these roles" if rule.direct else "nobody would receive under it"
    return "nobody who could receive under it has this plan on those days, or a later version counts instead"


def _conditions(number: int) -> str:
    return "1 condition" if number == 1 else f"{number} conditions"


def _percent(ppm: int) -> str:
    return formats.percent(ppm, ONE, 4).rstrip("%").rstrip("0").rstrip(".") + "%"


def _listed(names: Sequence[str]) -> str:
    quoted = [name if name.startswith("“") else f"“{name}”" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


# --- what there is ----------------------------------------------------------------------------------------


def findings_of(version: PlanVersion) -> list[Finding]:
    """What the linter says about a version as it stands, beside everything that is published. 17 queries."""
    return lint(facts_of(version))


def facts_of(version: PlanVersion) -> Facts:
    """The world that a version's rules can meet: published versions of other plans, the catalog, customers, roles and territories."""
    versions = [
        v
        for v in PlanVersion.objects.filter(state=PlanState.PUBLISHED, effective__overlap=version.effective)
        if v.pk != version.pk
    ] + [version]
    rules = RuleVersion.objects.filter(plan_version__in=[v.pk for v in versions]).select_related("measure")
    assignments = [
        Assigned(a.plan_id, a.role, a.rep_id, a.effective.lower, a.effective.upper)
        for a in PlanAssignment.objects.filter(
            plan__in={v.plan_id for v in versions}, superseded_at=None, effective__overlap=version.effective
        )
    ]
    customers = Customer.objects.order_by()
    segments = list(customers.order_by("segment").values_list("segment", flat=True).distinct())
    regions = list(customers.order_by("region").values_list("region", flat=True).distinct())
    sharers, overlay = _people(version, {a.rep for a in assignments if a.rep is not None})
    return Facts(
        version=_governing(version),
        versions=[_governing(v) for v in versions],
        rules=[ruling(rule) for rule in rules],
        assignments=assignments,
        things=things(),
        kinds=DealKind.values,
        segments=segments,
        regions=regions,
        sharers=sharers,
        overlay=overlay,
        weights=list(
            PlanComponent.objects.filter(plan_version=version.pk).values_list("weight_ppm", flat=True)
        ),
        pay=_pay_facts(version),
        known=known_values(segments, regions),
    )


def _pay_facts(version: PlanVersion) -> list[PayFact]:
    """2 queries."""
    rates = set(
        FxRate.objects.filter(superseded_at=None)
        .order_by()
        .values_list("from_currency_id", "to_currency_id")
        .distinct()
    )
    found = []
    for component in (
        PlanComponent.objects.filter(plan_version=version.pk)
        .select_related("measure", "pay_scale")
        .order_by("measure__position", "pk")
    ):
        scale = getattr(component, "pay_scale", None)
        of, to = component.measure.currency_id, component.currency_id
        converted = scale is not None and scale.by == PayBy.AMOUNT and of and to and of != to
        found.append(
            PayFact(
                component.measure.name,
                pays=scale is not None,
                target_incentive=bool(component.target_incentive_minor),
                unknown_rate=(of, to) if converted and of and to and (of, to) not in rates else None,
            )
        )
    return found


def known_values(segments: Iterable[str], regions: Iterable[str]) -> dict[str, frozenset[Any]]:
    """Every value that a condition may name. 5 queries."""
    offerings = list(Offering.objects.values_list("pk", "family"))
    return {
        "offerings": frozenset(pk for pk, _ in offerings),
        "families": frozenset(family for _, family in offerings),
        "publishers": frozenset(Publisher.objects.values_list("pk", flat=True)),
        "paths": frozenset(CommercialPath.values),
        "task_areas": frozenset(TaskArea.objects.values_list("pk", flat=True)),
        "pricing_forms": frozenset(PricingForm.values),
        "deal_kinds": frozenset(DealKind.values),
        "segments": frozenset(segments),
        "regions": frozenset(regions),
        "roles": frozenset(SalesRole.values),
        "territories": frozenset(Territory.objects.values_list("pk", flat=True)),
    }


def ruling(rule: RuleVersion) -> Ruling:
    conditions = {name: getattr(rule, name) for name in RuleVersion.CONDITIONS}
    return Ruling(
        id=rule.pk or 0,
        version=rule.plan_version_id or 0,
        name=rule.name,
        measure=rule.measure_id,
        basis=rule.measure.basis,
        exclusive=rule.exclusive,
        receivers=rule.receivers,
        priority=rule.priority,
        starts=rule.effective.lower if rule.effective else None,
        ends=rule.effective.upper if rule.effective else None,
        cap_minor=rule.cap_minor,
        conditions={name: frozenset(values) for name, values in conditions.items() if values is not None},
    )


def things() -> list[Thing]:
    """What is on sale, in every pricing form it is sold in, and without a plan. 3 queries."""
    forms: dict[int, list[str]] = defaultdict(list)
    for offering_id, form in (
        Plan.objects.order_by("offering_id", "pricing_form")
        .values_list("offering_id", "pricing_form")
        .distinct()
    ):
        forms[offering_id].append(form)
    areas: dict[int, set[int]] = defaultdict(set)
    for offering_id, area in Offering.task_areas.through.objects.values_list("offering_id", "taskarea_id"):
        areas[offering_id].add(area)
    sold = Offering.objects.filter(publication__in=ON_SALE).exclude(commercial_path=CommercialPath.INTERNAL)
    return [
        Thing(
            offering=offering.pk,
            name=offering.name,
            publisher=offering.publisher_id,
            family=offering.family,
            path=offering.commercial_path,
            task_areas=frozenset(areas[offering.pk]),
            form=form,
        )
        for offering in sold.order_by("name", "pk")
        for form in (None, *forms[offering.pk])
    ]


def _governing(version: PlanVersion) -> Governing:
    return Governing(
        version.pk, version.plan_id, version.number, version.effective.lower, version.effective.upper
    )


def _people(version: PlanVersion, in_person: set[int]) -> tuple[list[Person], list[Person]]:
    """Who can receive: roles that somebody holds in the version's span, and what territories they can have in common with a customer. 4 queries."""
    stays = TeamMembership.objects.filter(superseded_at=None, effective__overlap=version.effective)
    roles = sorted(set(stays.order_by().values_list("role", flat=True).distinct()))
    covers: dict[int, set[int]] = defaultdict(set)
    for rep_id, territory in TerritoryAssignment.objects.filter(
        superseded_at=None, effective__overlap=version.effective
    ).values_list("rep_id", "territory_id"):
        covers[rep_id].add(territory)
    for house, territory in Territory.objects.exclude(house_rep=None).values_list("house_rep_id", "pk"):
        covers[house or 0].add(territory)
    role_of: dict[int, set[str]] = defaultdict(set)
    for rep_id, role in stays.filter(rep__in={*covers, *in_person}).values_list("rep_id", "role"):
        role_of[rep_id].add(role)
    lies: dict[int, set[int]] = defaultdict(set)
    for customer, territory in CustomerTerritory.objects.filter(
        superseded_at=None, effective__overlap=version.effective
    ).values_list("customer_id", "territory_id"):
        lies[customer].add(territory)
    customer_sets = {frozenset(territories) for territories in lies.values()}
    sharers = {
        *(Person(role) for role in roles),
        *(Person(role, rep) for rep in in_person for role in role_of[rep]),
    }
    overlay = set(sharers)
    cover_sets = {
        (role, rep if rep in in_person else None, frozenset(territories))
        for rep, territories in covers.items()
        for role in role_of[rep]
    }
    for role, known, covered in cover_sets:
        overlay |= {Person(role, known, both) for lying in customer_sets if (both := lying & covered)}

    def order(person: Person) -> tuple[str, int, list[int]]:
        return (person.role, person.rep or 0, sorted(person.territories))

    return sorted(sharers, key=order), sorted(overlay, key=order)
