"""Crediting, naively: loops and fractions, read from quotas/RULES.md and nothing else. The engine has to agree entry for entry."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from marketplace.models import Currency, EligibilityDecision, Offering, Plan
from quotas.models import (
    AccountOwnership,
    CustomerTerritory,
    Deal,
    DealLine,
    DealVersion,
    FxRate,
    Measure,
    Period,
    PlanAssignment,
    PlanVersion,
    RuleVersion,
    TeamMembership,
    Territory,
    TerritoryAssignment,
)

LIMIT = 9 * 10**12
SHARES, TERRITORY, ROLE = 1, 2, 3
DIRECT, OVERLAY = 1, 2


class Entry(NamedTuple):
    deal_id: int
    line_no: int
    rep_id: int
    team_id: int
    credit_date: date
    period_id: int
    fx_rate_id: int | None
    decision_id: int
    measure_id: int
    plan_version_id: int
    rule_id: int
    rule_version_id: int
    component: int
    receiver_class: int
    amount: int


class Gap(NamedTuple):
    deal_id: int
    line_no: int
    measure_id: int | None
    rep_id: int | None
    reason: str


@dataclass
class Credited:
    entries: list[Entry] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


class Part(NamedTuple):
    """What one receiver earned of one line in one measure under the rule that won: credit and uplift, before any cap."""

    winner: RuleVersion
    earned: int
    cut: Entry  # what a cut of it would look like; its amount is to be filled in


def half_away(x: Fraction) -> int:
    whole = int(abs(x) + Fraction(1, 2))
    return whole if x >= 0 else -whole


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    exact = [Fraction(abs(total) * w, sum(weights)) for w in weights]
    parts = [int(x) for x in exact]
    order = sorted(range(len(weights)), key=lambda i: (-(exact[i] - parts[i]), i))
    for i in order[: abs(total) - sum(parts)]:
        parts[i] += 1
    return parts if total >= 0 else [-p for p in parts]


class Oracle:
    """Reads every fact once, then credits deals one by one.

    plan_versions  Ids of the versions to credit under; None means those that are published.
    """

    def __init__(self, plan_versions: Sequence[int] | None = None) -> None:
        self.exponent = dict(Currency.objects.values_list("code", "exponent"))
        self.measures = list(Measure.objects.order_by("id"))
        self.offerings = Offering.objects.in_bulk()
        self.areas: dict[int, set[int]] = {}
        for offering_id, area in Offering.task_areas.through.objects.values_list(
            "offering_id", "taskarea_id"
        ):
            self.areas.setdefault(offering_id, set()).add(area)
        self.plans = Plan.objects.in_bulk()
        self.decisions = list(
            EligibilityDecision.objects.filter(program="quota", superseded_at=None).exclude(checked_at=None)
        )
        self.rates = list(FxRate.objects.filter(superseded_at=None))
        self.months = list(Period.objects.filter(grain="M").order_by("starts"))
        self.memberships = list(TeamMembership.objects.filter(superseded_at=None))
        self.owners = list(AccountOwnership.objects.filter(superseded_at=None))
        self.house: dict[int, int | None] = dict(Territory.objects.values_list("id", "house_rep_id"))
        self.coverage = list(TerritoryAssignment.objects.filter(superseded_at=None))
        self.lying = list(CustomerTerritory.objects.filter(superseded_at=None))
        self.assigned = list(PlanAssignment.objects.filter(superseded_at=None))
        self.versions = list(
            PlanVersion.objects.filter(state="published")
            if plan_versions is None
            else PlanVersion.objects.filter(pk__in=plan_versions)
        )
        self.rules = {v.pk: list(RuleVersion.objects.filter(plan_version=v)) for v in self.versions}

    def credit(self, deals: Iterable[Deal]) -> Credited:
        out = Credited()
        for deal in deals:
            if deal.state != "approved":
                continue
            version = DealVersion.objects.get(pk=deal.credited_version_id or 0)
            if deal.held:
                lines = version.lines.values_list("line_no", flat=True)
                out.gaps += [Gap(deal.pk, n, None, None, "held") for n in lines]
                continue
            earned, parts = self._earn(deal, version)
            out.entries += earned.entries + list(self._cuts(deal, version, parts))
            out.gaps += earned.gaps
        return out

    # What a line is worth, and to whom.

    def _value(self, measure: Measure, version: DealVersion, line: DealLine, first: bool, rate: FxRate | None) -> Fraction | None:  # fmt: skip
        """None: the measure does not look at this line."""
        consumption = version.kind == "consumption"
        sign = -1 if version.kind == "refund" else 1
        if measure.basis == "units":
            return None if consumption or line.quantity is None else sign * Fraction(line.quantity) * 10**6
        if measure.basis == "new_customers":
            return sign * Fraction(10**6) if version.new_customer and first else None
        if consumption != (measure.basis in ("consumed", "billed")):
            return None
        amount = line.amount_minor
        if measure.basis == "billed" and line.billed_minor is not None:
            amount = line.billed_minor
        major = Fraction(amount, 10 ** self.exponent[version.currency_id])
        if rate is not None:
            major *= Fraction(rate.rate_e9, 10**9)
        if measure.basis == "annualised_value":
            major *= Fraction(12, line.term_months or 12)
        return major * Fraction(10) ** self.exponent[measure.currency_id or ""]

    def _decision(self, offering: Offering, plan_id: int | None, on: date) -> EligibilityDecision | None:
        return max(
            (
                d
                for d in self.decisions
                if on in d.effective
                and (
                    (d.level == 1 and d.commercial_path == offering.commercial_path)
                    or (d.level == 2 and d.publisher_id == offering.publisher_id)
                    or (d.level == 3 and d.offering_id == offering.pk)
                    or (d.level == 4 and d.plan_id == plan_id)
                )
            ),
            key=lambda d: (d.level, d.pk),
            default=None,
        )

    def _rate(self, of: str, to: str | None, on: date) -> FxRate | None:
        return next(
            (
                r
                for r in self.rates
                if of != to and (r.from_currency_id, r.to_currency_id) == (of, to) and on in r.effective
            ),
            None,
        )

    def _membership(self, rep: int, on: date) -> TeamMembership | None:
        return next((m for m in self.memberships if m.rep_id == rep and on in m.effective), None)

    def _shares(self, deal: Deal, version: DealVersion) -> list[tuple[int, int]]:
        """Rep and parts per million, in participant order."""
        if version.kind != "consumption":
            return [(s.rep_id, s.ppm) for s in version.shares.order_by("ordinal")]
        return [
            (o.rep_id, 10**6)
            for o in self.owners
            if o.customer_id == deal.customer_id and version.close_date in o.credits
        ]

    def _covered(self, customer: int, on: date) -> dict[int, set[int]]:
        """Rep to those of the customer's territories that are theirs on the day."""
        theirs: dict[int, set[int]] = {}
        for c in self.lying:
            if c.customer_id == customer and on in c.effective:
                reps = {
                    a.rep_id for a in self.coverage if a.territory_id == c.territory_id and on in a.effective
                }
                house = self.house[c.territory_id]
                for rep in reps or ({house} if house is not None else set()):
                    theirs.setdefault(rep, set()).add(c.territory_id)
        return theirs

    # Which rules.

    def _sold_as(self, version: DealVersion) -> list[str]:
        """A refund is of its original's kind too."""
        original = version.refunds
        was = original and (original.credited_version or original.latest_version)
        return [was.kind] if was else []

    def _rules_on(self, on: date) -> list[RuleVersion]:
        latest: dict[int, PlanVersion] = {}
        for v in self.versions:
            if on in v.effective and (v.plan_id not in latest or latest[v.plan_id].number < v.number):
                latest[v.plan_id] = v
        return [
            r for v in latest.values() for r in self.rules[v.pk] if r.effective is None or on in r.effective
        ]

    def _has_plan(self, team: TeamMembership, rule: RuleVersion, on: date) -> bool:
        plan_id = next(v.plan_id for v in self.versions if v.pk == rule.plan_version_id)
        return any(
            a.plan_id == plan_id
            and on in a.effective
            and (a.rep_id == team.rep_id or (a.rep_id is None and a.role in ("", team.role)))
            for a in self.assigned
        )

    @staticmethod
    def _fits(rule: RuleVersion, facts: Mapping[str, Iterable[object]]) -> bool:
        """Every condition that is given is empty or names one of the facts."""
        return all(
            getattr(rule, condition) is None or any(fact in getattr(rule, condition) for fact in known)
            for condition, known in facts.items()
        )

    # What comes of it.

    def _earn(self, deal: Deal, version: DealVersion) -> tuple[Credited, list[Part]]:
        """Everything but cuts, as if the deal were not held."""
        out, parts, on = Credited(), [], version.close_date
        months = [m for m in self.months if m.calendar_id == deal.calendar_id]
        month = next((m for m in months if m.starts <= on < m.ends), None)
        takes = month and next((m for m in months if m.state == "open" and m.starts >= month.starts), None)
        lines = list(version.lines.order_by("line_no"))
        shares = self._shares(deal, version)
        covered = self._covered(deal.customer_id, on)
        rules = self._rules_on(on)
        for line in lines:
            offering = self.offerings[line.offering_id]
            decision = self._decision(offering, line.plan_id, on)
            if takes is None or month is None or decision is None or decision.rate_ppm == 0:
                reason = "no_period" if takes is None else "not_eligible" if decision is None else "rate_zero"
                out.gaps.append(Gap(deal.pk, line.line_no, None, None, reason))
                continue
            plan = self.plans.get(line.plan_id or 0)
            facts: dict[str, Iterable[object]] = {
                "offerings": [offering.pk], "publishers": [offering.publisher_id], "families": [offering.family],
                "paths": [offering.commercial_path], "task_areas": self.areas.get(offering.pk, set()),
                "pricing_forms": [plan.pricing_form if plan else None], "deal_kinds": [version.kind, *self._sold_as(version)], "segments": [version.segment],
                "regions": [version.region],
            }  # fmt: skip
            fitting = [r for r in rules if self._fits(r, facts)]
            for measure in self.measures:
                foreign = measure.currency_id is not None and measure.currency_id != version.currency_id
                rate = self._rate(version.currency_id, measure.currency_id, on) if foreign else None
                raw = self._value(measure, version, line, line is lines[0], rate)
                if raw is None:
                    continue
                value = half_away(raw)
                if not shares:
                    out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, None, "no_receiver"))
                lost = "no_fx_rate" if foreign and rate is None else "too_large" if abs(value) > LIMIT else ""
                if lost:
                    if shares:
                        out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, None, lost))
                    continue
                of_measure = [r for r in fitting if r.measure_id == measure.pk]
                bases = largest_remainder(value, [ppm for _, ppm in shares]) if shares else []
                receivers = [
                    (rep, DIRECT, base, [r for r in of_measure if r.receivers == SHARES])
                    for (rep, _), base in zip(shares, bases, strict=True)
                ] + [(rep, OVERLAY, value, theirs) for rep, theirs in self._overlay(of_measure, covered, on)]
                for rep, kind, base, theirs in receivers:
                    team = self._membership(rep, on)
                    if team is None:
                        gap = Gap(deal.pk, line.line_no, measure.pk, rep, "no_team")
                        out.gaps += [] if gap in out.gaps else [gap]
                        continue
                    matching = [
                        r for r in theirs if (r.roles is None or team.role in r.roles) and self._has_plan(team, r, on)
                    ]  # fmt: skip
                    credit = half_away(Fraction(base * decision.rate_ppm, 10**6))

                    def entry(rule: RuleVersion, component: int, amount: int, *, rep: int = rep, team: TeamMembership = team,
                              rate: FxRate | None = rate, line: DealLine = line, measure: Measure = measure,
                              decision: EligibilityDecision = decision, kind: int = kind) -> Entry:  # fmt: skip
                        return Entry(deal.pk, line.line_no, rep, team.team_id, on, month.pk, rate.pk if rate else None, decision.pk,
                                     measure.pk, rule.plan_version_id, rule.rule_id, rule.pk, component, kind, amount)  # fmt: skip

                    exclusive = [r for r in matching if r.exclusive]
                    if exclusive:
                        winner = min(
                            exclusive,
                            key=lambda r: (
                                -r.priority,
                                -sum(getattr(r, c) is not None for c in RuleVersion.CONDITIONS),
                                r.pk,
                            ),
                        )
                        uplift = half_away(Fraction(credit * (winner.factor_ppm - 10**6), 10**6))
                        out.entries += [entry(winner, 1, credit), entry(winner, 2, uplift)]
                        if credit + uplift:
                            parts.append(Part(winner, credit + uplift, entry(winner, 4, 0)))
                    out.entries += [
                        entry(r, 3, half_away(Fraction(credit * r.factor_ppm, 10**6)))
                        for r in matching
                        if not r.exclusive
                    ]
                    if kind == DIRECT and not exclusive:
                        out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, rep, "no_rule"))
                    elif kind == DIRECT and credit == 0:
                        out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, rep, "nothing"))
        out.entries = [e for e in out.entries if e.amount]
        return out, parts

    def _overlay(
        self, rules: list[RuleVersion], covered: Mapping[int, set[int]], on: date
    ) -> Iterator[tuple[int, list[RuleVersion]]]:
        """Each overlay receiver, by rep, with the rules that they receive under."""
        theirs: dict[int, list[RuleVersion]] = {}
        for rule in rules:
            if rule.receivers == TERRITORY:
                for rep, territories in covered.items():
                    if rule.territories is None or territories & set(rule.territories):
                        theirs.setdefault(rep, []).append(rule)
            elif rule.receivers == ROLE:
                for m in self.memberships:
                    if m.role in (rule.roles or ()) and on in m.effective:
                        theirs.setdefault(m.rep_id, []).append(rule)
        yield from sorted(theirs.items())

    def _cuts(self, deal: Deal, version: DealVersion, parts: list[Part]) -> Iterator[Entry]:
        """What caps take away: of each rule by itself, over everybody whom it credits."""
        of_rule: dict[int, list[Part]] = {}
        for part in parts:
            of_rule.setdefault(part.winner.rule_id, []).append(part)
        for rule_id, mine in of_rule.items():
            cap = self._cap(deal, version, rule_id, mine[0].winner.cap_minor)
            together = abs(sum(p.earned for p in mine))
            if cap is not None and together > cap:
                cuts = largest_remainder(together - cap, [abs(p.earned) for p in mine])
                for part, cut in zip(mine, cuts, strict=True):
                    if cut:
                        yield part.cut._replace(amount=-cut if part.earned > 0 else cut)

    def _cap(self, deal: Deal, version: DealVersion, rule_id: int, own: int | None) -> int | None:
        """The cap of a deal under a rule; a refund's is its original's, less what is left of the original."""
        if version.refunds_id is None:
            return own
        original = Deal.objects.get(pk=version.refunds_id)
        of_original = self._under(original, rule_id)
        cap = of_original[0].winner.cap_minor if of_original else own
        if cap is None:
            return None
        so_far = Deal.objects.filter(credited_version__refunds=original, pk__lte=deal.pk)
        left = sum(p.earned for d in (original, *so_far) for p in self._under(d, rule_id))
        return cap - min(cap, max(0, left))

    def _under(self, deal: Deal, rule_id: int) -> list[Part]:
        """What an approved deal, held or not, earned under a rule before caps."""
        if deal.state != "approved":
            return []
        version = DealVersion.objects.get(pk=deal.credited_version_id or 0)
        return [p for p in self._earn(deal, version)[1] if p.winner.rule_id == rule_id]
