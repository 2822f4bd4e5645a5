"""Which rules were tried on a line and a receiver, where each failed, and why the winner won: quotas/RULES.md 6.1 and 6.2.

The engine asks all rules at once in SQL; here one rule is asked at a time, so that it can be said what it answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from config.language import _, spoken
from marketplace.models import Offering, Plan
from quotas.crediting.explanation.words import CONDITIONS, both, conditions, day, either, said, sentence, span
from quotas.models import ReceiverClass, Receivers, RuleVersion

Names = Mapping[str, Mapping[int, str]]
Result = Literal["won", "lost", "added", "failed"]


@dataclass(frozen=True)
class Sold:
    """What rules can know of one line of a deal, saved or not."""

    line_no: int
    customer_id: int
    kind: str
    on: date
    currency: str
    segment: str
    region: str
    offering: Offering
    plan: Plan | None
    amount_minor: int
    task_areas: frozenset[int] = frozenset()
    sold_as: str = ""  # the kind of the original, of a refund


@dataclass(frozen=True)
class Receiver:
    """What rules can know of somebody who may earn, on the credit date.

    lies_in  Territories of the customer; covers are those of them that are this rep's, as the one who covers or as house rep.
    """

    rep_id: int
    name: str
    role: str
    receiver_class: int = ReceiverClass.DIRECT
    plans: frozenset[int] = frozenset()
    covers: frozenset[int] = frozenset()
    lies_in: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Failed:
    """A condition that does not hold: what the rule asks for, what there is, and both in one phrase.

    found  The part of the phrase that says what there is; empty where the phrase has no such part.
    """

    condition: str
    asks: str
    has: str
    phrase: str
    found: str = ""


@dataclass(frozen=True)
class Tried:
    """A rule that was tried and what came of it: won, lost to another, added (stackable), or failed at its first condition."""

    rule: RuleVersion
    failed: tuple[Failed, ...] = field(default_factory=tuple)
    result: Result = "failed"
    why: str = ""

    @property
    def conditions(self) -> int:
        return conditions_of(self.rule)


def conditions_of(rule: RuleVersion) -> int:
    return sum(getattr(rule, name) is not None for name in RuleVersion.CONDITIONS)


def tried(
    rules: Sequence[RuleVersion], sold: Sold, receiver: Receiver, names: Names, *, winner: int | None = None
) -> list[Tried]:
    """Every rule of one measure and receiver class, those that matched first, the closest of the others next.

    rules   Of plan versions in force on the credit date, or, of a plan without one, of its last; plan_version.plan is read.
    winner  Id of the rule version that an entry is pinned to, where there is one.
    """
    asked = [
        (rule, tuple(_failures(rule, sold, receiver, names)))
        for rule in rules
        if (rule.receivers == Receivers.SHARES) == (receiver.receiver_class == ReceiverClass.DIRECT)
    ]
    matching = sorted((r for r, failed in asked if r.exclusive and not failed), key=_order)
    first = next((r for r in matching if r.pk == winner), matching[0] if matching else None)
    told = [Tried(r, failed, *_outcome(r, failed, first, matching)) for r, failed in asked]
    place = {"won": 0, "lost": 1, "added": 2, "failed": 3}
    return sorted(told, key=lambda t: (place[t.result], len(t.failed), not t.rule.exclusive, _order(t.rule)))


def _order(rule: RuleVersion) -> tuple[int, int, int]:
    return -rule.priority, -conditions_of(rule), rule.pk


def _outcome(
    rule: RuleVersion,
    failed: tuple[Failed, ...],
    first: RuleVersion | None,
    matching: Sequence[RuleVersion],
) -> tuple[Result, str]:
    if failed:
        return "failed", sentence(failed[0].phrase)
    if not rule.exclusive:
        return "added", _("It matches and adds to whatever else applies.")
    if first is None or rule.pk == first.pk:
        rivals = [r for r in matching if r.pk != rule.pk]
        if not rivals:
            return "won", _("It is the only rule that matches.")
        return (
            "won",
            _("It beats %(rules)s: %(why)s.")
            % {"rules": both([r.name for r in rivals]), "why": _better(rule, rivals[0])},
        )
    return "lost", _("It matches, but %(rule)s beats it: %(why)s.") % {
        "rule": first.name,
        "why": _better(first, rule),
    }


def _better(one: RuleVersion, other: RuleVersion) -> str:
    if one.priority != other.priority:
        return _("priority %(higher)s over %(lower)s") % {"higher": one.priority, "lower": other.priority}
    if conditions_of(one) != conditions_of(other):
        return _("%(conditions)s over %(fewer)s at the same priority") % {
            "conditions": conditions(conditions_of(one)),
            "fewer": conditions_of(other),
        }
    return _("the same priority and as many conditions, and it is the older one")


def _failures(rule: RuleVersion, sold: Sold, receiver: Receiver, names: Names) -> list[Failed]:
    """In the order in which they are told. Cheap to ask, so all are, to know how close a rule came."""
    found = []
    plan = rule.plan_version
    if sold.on not in plan.effective:
        held = span(plan.effective)
        found.append(
            Failed(
                "plan_version",
                held,
                day(sold.on),
                _("%(plan)s is in force %(span)s; the credit date is %(day)s")
                % {"plan": plan, "span": held, "day": day(sold.on)},
            )
        )
    elif rule.effective is not None and sold.on not in rule.effective:
        held = span(rule.effective)
        found.append(
            Failed(
                "dates",
                held,
                day(sold.on),
                _("it holds %(span)s; the credit date is %(day)s") % {"span": held, "day": day(sold.on)},
            )
        )
    if plan.plan_id not in receiver.plans:
        found.append(
            Failed(
                "assignment",
                plan.plan.name,
                "",
                _("%(rep)s is not assigned to %(plan)s on %(day)s")
                % {"rep": receiver.name, "plan": plan.plan.name, "day": day(sold.on)},
            )
        )
    if rule.receivers == Receivers.TERRITORY and not receiver.covers & set(
        rule.territories if rule.territories is not None else receiver.lies_in
    ):
        asks = (
            either([said("territories", t, names) for t in rule.territories])
            if rule.territories
            else _("the customer's territory")
        )
        has = (
            both([said("territories", t, names) for t in sorted(receiver.covers)])
            if receiver.covers
            else _("none of the customer's")
        )
        covers = _("%(rep)s covers %(territories)s") % {"rep": receiver.name, "territories": has}
        found.append(Failed("territories", asks, has, _phrase("territories", asks, covers), covers))
    facts: dict[str, tuple[object, str]] = {
        "deal_kinds": (sold.kind, _("this deal")),
        "regions": (sold.region, _("this deal")),
        "segments": (sold.segment, _("this deal")),
        "roles": (receiver.role, receiver.name),
        "publishers": (sold.offering.publisher_id, sold.offering.name),
        "families": (sold.offering.family, sold.offering.name),
        "offerings": (sold.offering.pk, _("this line")),
        "paths": (sold.offering.commercial_path, sold.offering.name),
        "pricing_forms": (sold.plan.pricing_form if sold.plan else None, _("this line")),
    }
    for condition in CONDITIONS:
        allowed = getattr(rule, condition)
        if allowed is None or condition == "territories":
            continue
        asks = either([said(condition, value, names) for value in allowed])
        if condition == "task_areas":
            if not sold.task_areas & set(allowed):
                has = (
                    both([said(condition, value, names) for value in sorted(sold.task_areas)])
                    if sold.task_areas
                    else _("none")
                )
                found.append(_failed(condition, asks, sold.offering.name, has))
            continue
        value, whose = facts[condition]
        if condition == "deal_kinds" and sold.sold_as in allowed:
            continue
        if value not in allowed:
            found.append(_failed(condition, asks, whose, said(condition, value, names)))
    return found


def _failed(condition: str, asks: str, whose: str, has: str) -> Failed:
    found = _("%(whose)s is %(value)s") % {"whose": whose, "value": has}
    return Failed(condition, asks, has, _phrase(condition, asks, found), found)


def _phrase(condition: str, asks: str, found: str) -> str:
    return _("%(condition)s is %(asks)s; %(found)s") % {
        "condition": spoken(CONDITIONS[condition]),
        "asks": asks,
        "found": found,
    }


def closest(told: Sequence[Tried]) -> Tried | None:
    """The exclusive rule that came closest to matching: the fewest conditions failed, then the higher priority."""
    exclusive = [t for t in told if t.rule.exclusive and t.failed]
    return min(exclusive, key=lambda t: (len(t.failed), -t.rule.priority, t.rule.pk), default=None)
