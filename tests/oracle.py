"""Crediting, naively: loops and fractions, read from quotas/RULES.md and nothing else. The engine has to agree entry for entry."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from marketplace.models import Currency, EligibilityDecision, Offering, Plan
from quotas.models import (
    AccountOwnership,
    Deal,
    DealLine,
    DealVersion,
    FxRate,
    Measure,
    Period,
    PlanVersion,
    RuleVersion,
    TeamMembership,
)

LIMIT = 9 * 10**12


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
    """Reads every fact once, then credits deals one by one."""

    def __init__(self) -> None:
        self.exponent = dict(Currency.objects.values_list("code", "exponent"))
        self.measures = list(Measure.objects.order_by("id"))
        self.offerings = Offering.objects.in_bulk()
        self.plans = Plan.objects.in_bulk()
        self.decisions = list(
            EligibilityDecision.objects.filter(program="quota", superseded_at=None).exclude(checked_at=None)
        )
        self.rates = list(FxRate.objects.filter(superseded_at=None))
        self.months = list(Period.objects.filter(grain="M").order_by("starts"))
        self.memberships = list(TeamMembership.objects.filter(superseded_at=None))
        self.owners = list(AccountOwnership.objects.filter(superseded_at=None))
        self.versions = list(PlanVersion.objects.filter(state="published"))
        self.rules = {v.pk: list(RuleVersion.objects.filter(plan_version=v)) for v in self.versions}

    def credit(self, deals: Iterable[Deal]) -> Credited:
        out = Credited()
        for deal in deals:
            if deal.state == "approved":
                version = DealVersion.objects.get(pk=deal.credited_version_id or 0)
                self._credit_deal(deal, version, out)
        return out

    def _rules_on(self, on: date) -> list[RuleVersion]:
        latest: dict[int, PlanVersion] = {}
        for v in self.versions:
            if on in v.effective and (v.plan_id not in latest or latest[v.plan_id].number < v.number):
                latest[v.plan_id] = v
        return [
            r for v in latest.values() for r in self.rules[v.pk] if r.effective is None or on in r.effective
        ]

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

    def _value(
        self, measure: Measure, version: DealVersion, line: DealLine, first: bool, rate: FxRate | None
    ) -> Fraction | None:
        """None: the measure does not look at this line."""
        consumption = version.kind == "consumption"
        if measure.basis == "units":
            return None if consumption or line.quantity is None else Fraction(line.quantity) * 10**6
        if measure.basis == "new_customers":
            return Fraction(10**6) if version.new_customer and first else None
        if consumption != (measure.basis in ("consumed", "billed")):
            return None
        major = Fraction(line.amount_minor, 10 ** self.exponent[version.currency_id])
        if rate is not None:
            major *= Fraction(rate.rate_e9, 10**9)
        if measure.basis == "annualised_value":
            major *= Fraction(12, line.term_months or 12)
        return major * Fraction(10) ** self.exponent[measure.currency_id or ""]

    def _credit_deal(self, deal: Deal, version: DealVersion, out: Credited) -> None:
        on = version.close_date
        month = next((m for m in self.months if m.starts <= on < m.ends), None)
        takes = month and next(
            (m for m in self.months if m.state == "open" and m.starts >= month.starts), None
        )
        lines = list(version.lines.order_by("line_no"))
        if version.kind == "consumption":
            people = [
                (o.rep_id, 10**6)
                for o in self.owners
                if o.customer_id == deal.customer_id and on in o.effective
            ]
        else:
            people = [(s.rep_id, s.ppm) for s in version.shares.order_by("ordinal")]
        rules = self._rules_on(on)
        capped: dict[int, list[tuple[RuleVersion, int, Entry]]] = defaultdict(list)
        for line in lines:
            offering = self.offerings[line.offering_id]
            decision = self._decision(offering, line.plan_id, on)
            stop = (
                "held" if deal.held
                else "no_period" if takes is None
                else "not_eligible" if decision is None
                else "rate_zero" if decision.rate_ppm == 0
                else None
            )  # fmt: skip
            if stop is not None or decision is None or month is None:
                out.gaps.append(Gap(deal.pk, line.line_no, None, None, stop or ""))
                continue
            for measure in self.measures:
                foreign = measure.currency_id is not None and measure.currency_id != version.currency_id
                rate = next(
                    (
                        r
                        for r in self.rates
                        if foreign
                        and r.from_currency_id == version.currency_id
                        and r.to_currency_id == measure.currency_id
                        and on in r.effective
                    ),
                    None,
                )
                raw = self._value(measure, version, line, line is lines[0], rate)
                if raw is None:
                    continue
                value = half_away(raw)
                if not people:
                    out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, None, "no_receiver"))
                    continue
                if foreign and rate is None:
                    out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, None, "no_fx_rate"))
                    continue
                if abs(value) > LIMIT:
                    out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, None, "too_large"))
                    continue
                for (rep, _), base in zip(
                    people, largest_remainder(value, [ppm for _, ppm in people]), strict=True
                ):
                    team = next((m for m in self.memberships if m.rep_id == rep and on in m.effective), None)
                    if team is None:
                        out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, rep, "no_team"))
                        continue
                    plan = self.plans.get(line.plan_id or 0)
                    facts = {
                        "offerings": offering.pk, "publishers": offering.publisher_id, "families": offering.family, "paths": offering.commercial_path,
                        "pricing_forms": plan.pricing_form if plan else None, "deal_kinds": version.kind, "segments": version.segment,
                        "regions": version.region, "roles": team.role,
                    }  # fmt: skip
                    matching = [
                        r for r in rules
                        if r.measure_id == measure.pk and all(getattr(r, c) is None or fact in getattr(r, c) for c, fact in facts.items())
                    ]  # fmt: skip
                    credit = half_away(Fraction(base * decision.rate_ppm, 10**6))

                    def entry(rule: RuleVersion, component: int, amount: int, *, rep: int = rep, team: TeamMembership = team,
                              rate: FxRate | None = rate, line: DealLine = line, measure: Measure = measure,
                              decision: EligibilityDecision = decision) -> Entry:  # fmt: skip
                        return Entry(deal.pk, line.line_no, rep, team.team_id, on, month.pk, rate.pk if rate else None, decision.pk,
                                     measure.pk, rule.plan_version_id, rule.rule_id, rule.pk, component, amount)  # fmt: skip

                    def conditions(r: RuleVersion, facts: dict[str, object] = facts) -> int:
                        return sum(getattr(r, c) is not None for c in facts)

                    exclusive = [r for r in matching if r.exclusive]
                    if exclusive:
                        winner = min(exclusive, key=lambda r: (-r.priority, -conditions(r), r.pk))
                        uplift = half_away(Fraction(credit * (winner.factor_ppm - 10**6), 10**6))
                        out.entries += [
                            e for e in (entry(winner, 1, credit), entry(winner, 2, uplift)) if e.amount
                        ]
                        if winner.cap_minor is not None:
                            capped[winner.rule_id].append((winner, credit + uplift, entry(winner, 4, 0)))
                        if credit == 0:
                            out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, rep, "nothing"))
                    else:
                        out.gaps.append(Gap(deal.pk, line.line_no, measure.pk, rep, "no_rule"))
                    spiffs = [
                        entry(r, 3, half_away(Fraction(credit * r.factor_ppm, 10**6)))
                        for r in matching
                        if not r.exclusive
                    ]
                    out.entries += [e for e in spiffs if e.amount]
        for parts in capped.values():
            earned = [amount for _, amount, _ in parts]
            cap = parts[0][0].cap_minor or 0
            if abs(sum(earned)) > cap:
                cuts = largest_remainder(abs(sum(earned)) - cap, [abs(a) for a in earned])
                for (_, amount, blank), cut in zip(parts, cuts, strict=True):
                    if cut:
                        out.entries.append(blank._replace(amount=-cut if amount > 0 else cut))
