"""Why a credit is what it is: from the entry's own pins, computed again to the unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from django.db.models import Prefetch

from config import house as formats
from marketplace.models import EligibilityDecision
from quotas.crediting.arithmetic import ONE_PPM, mul_ppm, round_div, split, value_in_measure
from quotas.crediting.explanation.caps import CapCut, Families
from quotas.crediting.explanation.known import Known, Wanted, sold_in
from quotas.crediting.explanation.matching import Receiver, Sold, Tried, tried
from quotas.crediting.explanation.words import Money, both, counted, day, money_of, percent, span
from quotas.models import (
    Adjustment,
    Component,
    CreditEntry,
    DealKind,
    DealLine,
    DealShare,
    DealVersion,
    FxRate,
    ReceiverClass,
    RuleVersion,
    TeamMembership,
    ValueBasis,
)


@dataclass(frozen=True)
class Step:
    """One step on the way from what was sold to what was credited."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Fact:
    """A fact that the engine used, in the version that it used. name is stable; id is the row's, where it has one."""

    name: str
    label: str
    value: str
    detail: str = ""
    id: int | None = None


@dataclass(frozen=True)
class Part:
    """A participant's part of a line, in participant order: its share, what rounding down dropped, and whether it got an odd unit for that.

    remainder_ppm  Parts per million of one minor unit.
    """

    ordinal: int
    rep_id: int
    name: str
    own: bool
    ppm: int
    remainder_ppm: int
    odd_unit: bool


@dataclass(frozen=True)
class Explanation:
    """An entry, the steps that lead to it, and the amount that they come to; minor units of the measure.

    evaluated_minor  Computed again from the pins; equal to the entry's amount or the ledger is wrong.
    rules            Every rule of the measure that was tried, the winner first.
    parts            The participants among whom the line's value was divided, in order; none for overlay and consumption.
    adjustment       What gave it by hand: then there are no rules and no parts, and the engine had no part in it.
    """

    entry: CreditEntry
    sentence: str
    steps: list[Step]
    facts: list[Fact]
    rules: list[Tried]
    parts: list[Part]
    amount_minor: int
    evaluated_minor: int
    pins: dict[str, int | None]
    adjustment: Adjustment | None = None

    @property
    def holds(self) -> bool:
        return self.amount_minor == self.evaluated_minor

    @property
    def rule(self) -> Tried | None:
        """The rule that gave the entry."""
        return next((t for t in self.rules if t.rule.pk == self.entry.rule_version_id), None)

    @property
    def others(self) -> list[Tried]:
        return [t for t in self.rules if t.rule.pk != self.entry.rule_version_id]


@dataclass(frozen=True)
class _Case:
    """An entry with everything it was computed from. told is the entry that it reverses, or itself: what explains the amount."""

    entry: CreditEntry
    told: CreditEntry
    version: DealVersion
    line: DealLine
    shares: list[DealShare]
    rule: RuleVersion
    decision: EligibilityDecision
    rate: FxRate | None
    sold: Sold
    receiver: Receiver
    membership: TeamMembership | None
    money: Money

    @property
    def overlay(self) -> bool:
        return self.entry.receiver_class == ReceiverClass.OVERLAY

    @property
    def whole(self) -> bool:
        """Nobody shares: overlay has the whole value as base, consumption is all the account owner's."""
        return self.overlay or self.version.kind == DealKind.CONSUMPTION


class Credits:
    """Explains entries of any deals, adjustments not among them: a fixed number of queries for all of them, at most 35."""

    def __init__(self, entries: Sequence[CreditEntry]) -> None:
        """entries with deal, rep, team, measure__currency, posting, posting_period and origin_period selected."""
        self.entries = entries
        self.told = {e.pk: e for e in entries}
        others = {e.reverses_id for e in entries if e.reverses_id} - set(self.told)
        if others:
            reversed_ = CreditEntry.objects.select_related(
                "deal", "rep", "team", "measure__currency", "posting"
            )
            self.told |= {e.pk: e for e in reversed_.filter(pk__in=others)}
        self.versions = (
            DealVersion.objects.select_related(
                "currency",
                "deal__customer",
                "recorded_by",
                "refunds__credited_version",
                "refunds__latest_version",
            )
            .prefetch_related(
                Prefetch(
                    "lines",
                    DealLine.objects.select_related("offering_revision", "plan", "price_version").order_by(
                        "line_no"
                    ),
                ),
                Prefetch("shares", DealShare.objects.select_related("rep").order_by("ordinal")),
            )
            .in_bulk({e.deal_version_id for e in self.told.values()})
        )
        self.lines = {(v.pk, line.line_no): line for v in self.versions.values() for line in v.lines.all()}
        self.rules = RuleVersion.objects.select_related("rule", "plan_version__plan").in_bulk(
            {e.rule_version_id for e in self.told.values()}
        )
        self.decisions = EligibilityDecision.objects.select_related(
            "made_by", "checked_by", "publisher", "offering", "plan__offering"
        ).in_bulk({e.decision_id for e in self.told.values()})
        self.rates = FxRate.objects.in_bulk({e.fx_rate_id for e in self.told.values() if e.fx_rate_id})
        self.known = Known(
            Wanted(
                measures={e.measure_id for e in self.told.values()},
                reps={e.rep_id for e in self.told.values()},
                customers={v.deal.customer_id for v in self.versions.values()},
                days={e.credit_date for e in self.told.values()},
                offerings={line.offering_id for line in self.lines.values()},
                plan_versions={e.pins.plan_version_id for e in self.told.values()},
            )
        )
        self.families = Families(
            [e for e in self.told.values() if e.component == Component.CAP_CUT], self.versions
        )
        self._tried: dict[tuple[object, ...], list[Tried]] = {}

    def all(self) -> list[Explanation]:
        return [self._explain(entry) for entry in self.entries]

    def _case(self, entry: CreditEntry) -> _Case:
        told = self.told[entry.reverses_id] if entry.reverses_id else entry
        version = self.versions[told.deal_version_id]
        line = self.lines[version.pk, told.pins.line_no]
        sold = sold_in(self.known, version, line)
        at = told.posting.recorded_at
        return _Case(
            entry=entry,
            told=told,
            version=version,
            line=line,
            shares=list(version.shares.all()),
            rule=self.rules[told.rule_version_id],
            decision=self.decisions[told.decision_id],
            rate=self.rates[told.fx_rate_id] if told.fx_rate_id else None,
            sold=sold,
            receiver=self.known.receiver(
                told.rep_id, told.rep.name, sold, at, receiver_class=told.receiver_class, team_id=told.team_id
            ),
            membership=self.known.membership(told.rep_id, sold.on, at, told.team_id),
            money=money_of(told.measure),
        )

    def _explain(self, entry: CreditEntry) -> Explanation:
        case = self._case(entry)
        money = case.money
        value = _value(case)
        base, parts = _base(case, value)
        credit = mul_ppm(base, case.decision.rate_ppm)
        steps = [
            _value_step(case, value),
            self._share_step(case, value, base, parts),
            _eligibility_step(case, base, credit),
        ]
        evaluated, step = self._rule_step(case, credit)
        steps.append(step)
        if entry.reverses_id:
            evaluated = -evaluated
        steps.append(
            Step(
                "Quota credit",
                money(entry.amount_minor),
                f"{posted(entry)} {Component(entry.component).label} for {entry.team.name}.",
            )
        )
        return Explanation(
            entry=entry,
            sentence=_sentence(case),
            steps=steps,
            facts=self._facts(case),
            rules=self._rules(case),
            parts=parts,
            amount_minor=entry.amount_minor,
            evaluated_minor=evaluated,
            pins={
                "deal_version": entry.deal_version_id,
                "plan_version": entry.plan_version_id,
                "rule": entry.rule_id,
                "rule_version": entry.rule_version_id,
                "eligibility_decision": entry.decision_id,
                "fx_rate": entry.fx_rate_id,
                "team": entry.team_id,
                "posting": entry.posting_id,
                "reverses": entry.reverses_id,
            },
        )

    # --- steps ----------------------------------------------------------------------------------------------

    def _share_step(self, case: _Case, value: int, base: int, parts: Sequence[Part]) -> Step:
        name, written = case.told.rep.name, case.money(base)
        if case.overlay:
            detail = f"{self._overlay(case)} Overlay has the whole value as its base; it stands outside the shares and never rolls up."
            return Step("Overlay", f"× {percent(ONE_PPM)}", detail)
        if case.whole:
            return Step(
                "Account owner",
                f"× {percent(ONE_PPM)}",
                f"{self._owned(case)}. Consumption is all the account owner's.",
            )
        mine = next(p for p in parts if p.rep_id == case.told.rep_id)
        return Step(
            "Split",
            f"× {percent(mine.ppm)}",
            f"{name} has {written} of it. {_odd_units(case, mine, parts, value)}",
        )

    def _overlay(self, case: _Case) -> str:
        name, on, at = case.told.rep.name, case.sold.on, case.told.posting.recorded_at
        customer = case.version.deal.customer.name
        ways = []
        for territory in self.known.territories_of(case.sold.customer_id, on, at):
            if territory.pk not in case.receiver.covers:
                continue
            covered = self.known.coverage_of(case.told.rep_id, territory, on, at)
            ways.append(
                f"covers {territory.name} ({span(covered.effective)}), where {customer} lies"
                if covered
                else f"is the house rep of {territory.name}, where {customer} lies and which nobody covers"
            )
        if case.rule.roles is not None and case.membership is not None:
            ways.append(f"is {case.membership.get_role_display().lower()} {span(case.membership.effective)}")
        return (
            f"{name} {both(ways)} on {day(on)}." if ways else f"{name} is an overlay receiver on {day(on)}."
        )

    def _owned(self, case: _Case) -> str:
        owned = self.known.ownership(
            case.sold.customer_id, case.told.rep_id, case.sold.on, case.told.posting.recorded_at
        )
        customer, name = case.version.deal.customer.name, case.told.rep.name
        if owned is None:
            return f"{name} was credited for {customer} on {day(case.sold.on)}"
        if case.sold.on not in owned.effective:
            return f"{name} is credited for {customer} {span(owned.credits)} by a holdover, having owned it {span(owned.effective)}"
        return f"{name} owns {customer} {span(owned.effective)}"

    def _rule_step(self, case: _Case, credit: int) -> tuple[int, Step]:
        """What the entry comes to under its rule, and how."""
        rule, money = f"{case.rule.name}, {case.rule.plan_version}", case.money
        component, factor = case.told.component, case.rule.factor_ppm
        if component == Component.CREDIT:
            extra = "" if factor == ONE_PPM else " What its multiplier changes is an entry of its own."
            return credit, Step("Rule", "× 1.00", f"{rule}: credits the eligible value.{extra}")
        if component == Component.UPLIFT:
            worth = mul_ppm(credit, factor - ONE_PPM)
            detail = f"{rule}: this entry is what the multiplier {'adds to' if factor >= ONE_PPM else 'takes off'} {money(credit)}: {_times(money, credit, factor - ONE_PPM)}."
            return worth, Step("Uplift", formats.multiplier(factor), detail)
        if component == Component.SPIFF:
            detail = (
                f"{rule}: added to {money(credit)}, whatever else applies: {_times(money, credit, factor)}."
            )
            return mul_ppm(credit, factor), Step("SPIFF", percent(factor), detail)
        cut = self.families.cut_of(case.told)
        return cut.amount_minor, Step("Cap", money(cut.cap_minor), f"{rule}: {_cut(case, cut)}")

    # --- facts and rules ------------------------------------------------------------------------------------

    def _rules(self, case: _Case) -> list[Tried]:
        """The same for every entry of a line, receiver and measure that one posting made."""
        told, at = case.told, case.told.posting.recorded_at
        winner = told.rule_version_id if case.rule.exclusive else None
        key = (
            told.deal_version_id,
            told.line_no,
            told.rep_id,
            told.measure_id,
            told.receiver_class,
            at,
            told.plan_version_id,
            winner,
        )
        if key not in self._tried:
            rules = self.known.rules_on(
                case.sold.on, at, measure_id=told.measure_id, pinned=told.plan_version_id
            )
            self._tried[key] = tried(rules, case.sold, case.receiver, self.known.names, winner=winner)
        return self._tried[key]

    def _facts(self, case: _Case) -> list[Fact]:
        told, line, version, rule = case.told, case.line, case.version, case.rule
        at, on = told.posting.recorded_at, case.sold.on
        facts = [
            Fact(
                "credit_date",
                "Credit date",
                day(on),
                "The day on which the deal closed; it picks all the rest.",
            ),
            Fact(
                "deal_version",
                "Deal",
                f"{version.deal.reference}, version {version.number}",
                f"Recorded on {day(version.recorded_at.date())} by {version.recorded_by.name}.",
                version.pk,
            ),
            Fact(
                "offering",
                "Offering",
                case.sold.offering.name,
                f"Revision {line.offering_revision.number}, as it read when it was sold."
                if line.offering_revision
                else "",
                line.offering_revision_id,
            ),
        ]
        if line.plan is not None:
            facts.append(Fact("plan", "Plan", line.plan.name, "", line.plan_id))
        if line.price_version is not None:
            facts.append(
                Fact(
                    "price_version",
                    "Quoted price",
                    f"In effect {span(line.price_version.effective)}",
                    "",
                    line.price_version_id,
                )
            )
        if case.rate is not None:
            facts.append(
                Fact(
                    "fx_rate",
                    "Exchange rate",
                    f"{case.rate.from_currency_id} to {case.rate.to_currency_id} at {rate_of(case.rate)}",
                    f"In force {span(case.rate.effective)}.",
                    case.rate.pk,
                )
            )
        facts.append(
            Fact(
                "eligibility_decision",
                "Eligibility",
                f"{percent(case.decision.rate_ppm)} on {scope(case.decision)}",
                decided(case.decision),
                case.decision.pk,
            )
        )
        role = case.membership.get_role_display() if case.membership else ""
        facts.append(
            Fact(
                "team",
                "Team",
                told.team.name,
                f"{role} {span(case.membership.effective)}." if case.membership else "",
                told.team_id,
            )
        )
        if case.overlay:
            facts.append(Fact("overlay", "Overlay", told.rep.name, self._overlay(case)))
        elif case.whole:
            facts.append(Fact("account_owner", "Account owner", told.rep.name, f"{self._owned(case)}."))
        else:
            share = next(s for s in case.shares if s.rep_id == told.rep_id)
            facts.append(
                Fact(
                    "share",
                    "Share",
                    percent(share.ppm),
                    f"Participant {share.ordinal} of {len(case.shares)}.",
                    share.pk,
                )
            )
        facts.append(
            Fact(
                "rule",
                "Rule",
                rule.name,
                f"In {rule.plan_version}, {span(rule.plan_version.effective)}.",
                rule.pk,
            )
        )
        given = next(
            (
                a
                for a in self.known.assignments_of(told.rep_id, case.receiver.role, on, at)
                if a.plan_id == rule.plan_version.plan_id
            ),
            None,
        )
        if given is not None:
            whom = (
                "in person"
                if given.rep_id
                else f"to everybody who is {given.get_role_display().lower()}"
                if given.role
                else "to everybody"
            )
            facts.append(
                Fact(
                    "plan_assignment",
                    "Plan assignment",
                    given.plan.name,
                    f"Assigned {whom}, {span(given.effective)}.",
                    given.pk,
                )
            )
        return facts


# --- arithmetic -------------------------------------------------------------------------------------------


def _value(case: _Case) -> int:
    """The line's value in the measure: its basis, converted once, then rounded."""
    basis, line = case.told.measure.basis, case.line
    sign = -1 if case.version.kind == DealKind.REFUND else 1
    if basis == ValueBasis.NEW_CUSTOMERS:
        return sign * 10**formats.COUNT_EXPONENT
    if basis == ValueBasis.UNITS:
        quantity = Fraction(line.quantity or 0) * 10**formats.COUNT_EXPONENT
        return sign * round_div(quantity.numerator, quantity.denominator)
    times, per = _term(case)
    return value_in_measure(
        _amount(case),
        case.rate.rate_e9 if case.rate else None,
        case.version.currency.exponent,
        case.money.exponent,
        times=times,
        per=per,
    )


def _amount(case: _Case) -> int:
    """What the measure looks at, in the deal's currency: for billed what was billed, and until that is known the estimate."""
    if case.told.measure.basis == ValueBasis.BILLED and case.line.billed_minor is not None:
        return case.line.billed_minor
    return case.line.amount_minor


def _term(case: _Case) -> tuple[int, int]:
    annual = case.told.measure.basis == ValueBasis.ANNUALISED_VALUE
    return (12, case.line.term_months or 12) if annual else (1, 1)


def _base(case: _Case, value: int) -> tuple[int, list[Part]]:
    """The receiver's part of the value, and how the value was divided."""
    if case.whole:
        return value, []
    weights = [s.ppm for s in case.shares]
    amounts = split(value, weights)
    parts = [
        Part(
            s.ordinal,
            s.rep_id,
            s.rep.name,
            s.rep_id == case.told.rep_id,
            s.ppm,
            abs(value) * s.ppm % ONE_PPM,
            abs(amount) > abs(value) * s.ppm // ONE_PPM,
        )
        for s, amount in zip(case.shares, amounts, strict=True)
    ]
    return next(a for s, a in zip(case.shares, amounts, strict=True) if s.rep_id == case.told.rep_id), parts


def rate_of(rate: FxRate) -> str:
    whole, part = divmod(rate.rate_e9, 10**9)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def _times(money: Money, minor: int, ppm: int) -> str:
    """A product with its rounding, if there was any: "10% of $75.86 is $7.586, rounded to $7.59"."""
    told = f"{percent(ppm)} of {money(minor)} is {money.exact(minor * ppm, 6)}"
    return told if minor * ppm % ONE_PPM == 0 else f"{told}, rounded to {money(mul_ppm(minor, ppm))}"


def _odd_units(case: _Case, mine: Part, parts: Sequence[Part], value: int) -> str:
    """Who got the units that rounding down left over, and why: largest remainder, on a tie the earlier participant."""
    money = case.money
    exact = f"{percent(mine.ppm)} of {money(value)} is {money.exact(value * mine.ppm, 6)}"
    given = [p for p in parts if p.odd_unit]
    if not given:
        return f"{exact}; the parts come out even." if len(parts) > 1 else "Nobody else shares in it."
    left = "one" if len(given) == 1 else str(len(given))
    unit = money(1)
    rest = [p for p in parts if not p.odd_unit]
    tie = bool(rest) and max(p.remainder_ppm for p in rest) == min(p.remainder_ppm for p in given)
    at_edge = tie and mine.remainder_ppm == min(p.remainder_ppm for p in given)
    told = f"{exact}; all parts rounded down leave {left} odd {unit} over"
    if mine.odd_unit:
        return f"{told}: {'one of them' if len(given) > 1 else 'it'} is added here, {'an equal remainder but an earlier participant' if at_edge else 'for the largest remainder' if len(given) == 1 else 'for one of the largest remainders'}."
    names = both([p.name for p in given])
    return f"{told}: {names} got {'it' if len(given) == 1 else 'them'}, {'an equal remainder but an earlier participant' if at_edge else 'for a larger remainder'}."


def _cut(case: _Case, cut: CapCut) -> str:
    """The cap's arithmetic in words; for a refund that of its family."""
    money, deal = case.money, case.version.deal.reference
    if len(cut.family) > 1:
        first, *between = cut.family[:-1]
        taken = "".join(f", {_reference(m.deal_id)} {money(m.earned_minor)}" for m in between)
        told = (
            f"{_reference(first.deal_id)} earned {money(first.earned_minor)} under it{taken}; with this refund's {money(cut.together_minor)} "
            f"{money(cut.left_minor)} are left. Of the cap of {money(cut.rule_cap_minor)} that leaves {money(cut.cap_minor)} for the refund, "
            f"so {money(cut.cut_minor)} of it are not taken back"
        )
    else:
        told = f"{deal} came to {money(cut.together_minor)} under it, and {money(cut.cap_minor)} is the most it counts: {money(cut.cut_minor)} are cut"
    mine = f"this line and person earned {money(cut.earned_minor)} of {money(cut.together_minor)} and bear {money(abs(cut.amount_minor))}"
    odd = f", one odd {money(1)} of the rounding among it" if cut.odd_unit else ""
    return f"{told}; {mine}{odd}."


def _reference(deal_id: int) -> str:
    return f"D-{deal_id:06d}"


# --- words ------------------------------------------------------------------------------------------------


def _value_step(case: _Case, value: int) -> Step:
    basis, line, money = case.told.measure.basis, case.line, case.money
    sold = f"Line {line.line_no}, {case.sold.offering.name}"
    currency = case.version.currency
    of_deal = Money(currency.code, currency.exponent)
    if basis == ValueBasis.NEW_CUSTOMERS:
        return Step(
            "Deal value", money(value), f"{sold}: a new customer counts once a deal, on its first line."
        )
    if basis == ValueBasis.UNITS:
        return Step(
            "Deal value",
            money(value),
            f"{sold}: {money(abs(value))} units {'given back' if value < 0 else 'sold'}.",
        )
    amount, (times, per) = _amount(case), _term(case)
    told = f"{sold}: {of_deal(amount)}"
    if basis == ValueBasis.CONSUMED:
        told += " metered"
    elif basis == ValueBasis.BILLED:
        told += " billed" if line.billed_minor is not None else " metered, the estimate until it is billed"
    if per != times:
        told += f" over {counted(per, 'month')}, times 12 / {per} for a year"
    if case.rate is not None:
        told += f", at {rate_of(case.rate)}, the rate of {day(case.sold.on)}"
    exact = Fraction(amount * times, per * 10**currency.exponent) * 10**money.exponent
    if case.rate is not None:
        exact *= Fraction(case.rate.rate_e9, 10**9)
    if exact != value:
        scaled = exact * 10**9
        shown = scaled.denominator == 1
        told += f" is {money.exact(scaled.numerator, 9)}, rounded once" if shown else ", rounded once"
    return Step("Deal value", money(value), f"{told}.")


def _eligibility_step(case: _Case, base: int, credit: int) -> Step:
    rate = case.decision.rate_ppm
    product = "" if rate == ONE_PPM else f" {_times(case.money, base, rate)}."
    return Step(
        "Eligibility",
        formats.multiplier(rate),
        f"{_stop(case.decision.reason)} {decided(case.decision)}{product}",
    )


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def scope(decision: EligibilityDecision) -> str:
    """What a decision is about: "the publisher Contoso"."""
    if decision.plan is not None:
        return f"the plan {decision.plan}"
    if decision.offering is not None:
        return f"the offering {decision.offering.name}"
    if decision.publisher is not None:
        return f"the publisher {decision.publisher.name}"
    return f"the commercial path {decision.get_commercial_path_display().lower()}"


def decided(decision: EligibilityDecision) -> str:
    """Which decision, on what, since when, by whom; reads maker, checker and scope."""
    by = f"made by {decision.made_by.name}"
    if decision.checked_by is not None:
        by += f", checked by {decision.checked_by.name}"
    return f"Decision {decision.pk} on {scope(decision)}, {span(decision.effective)}, {by}."


def posted(entry: CreditEntry) -> str:
    """Where and when an entry was posted; reads both periods and the posting."""
    told = (
        f"Posted in {entry.posting_period.name} on {day(entry.posting.recorded_at.date())}, entry {entry.pk}"
    )
    if entry.posting_period_id != entry.origin_period_id:
        told += f"; it belongs to {entry.origin_period.name}, which was closed"
    return f"{told}."


def _sentence(case: _Case) -> str:
    entry, money = case.entry, case.money
    share = next((s.ppm for s in case.shares if s.rep_id == entry.rep_id), ONE_PPM)
    part = "all" if case.whole or share == ONE_PPM else percent(share)
    minor = case.told.amount_minor
    what = {
        Component.CREDIT: "credits {} to" if minor > 0 else "takes {} back from",
        Component.UPLIFT: "adds {} to the credit of" if minor > 0 else "takes {} off the credit of",
        Component.SPIFF: "adds {} as a SPIFF for" if minor > 0 else "takes {} of a SPIFF back from",
        Component.CAP_CUT: "cuts {} above its cap from the credit of"
        if minor < 0
        else "does not take {} below its cap back from",
    }[Component(entry.component)].format(money(abs(minor)))
    how = " as overlay" if case.overlay else ""
    told = f"{case.rule.name} {what} {entry.rep.name}{how} for {part} of {case.sold.offering.name} in {case.version.deal.reference}"
    if entry.reverses_id:
        return f"Reverses entry {entry.reverses_id} exactly: {told[0].lower()}{told[1:]} no longer stands."
    return f"{told}."
