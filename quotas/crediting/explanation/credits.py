"""Why a credit is what it is: from the entry's own pins, computed again to the unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from django.db.models import Prefetch

from config import formats
from config.language import _, marked, ngettext, spoken
from marketplace.models import EligibilityDecision
from quotas.crediting.arithmetic import ONE_PPM, mul_ppm, round_div, split, value_in_measure
from quotas.crediting.explanation.caps import CapCut, Families
from quotas.crediting.explanation.known import Known, Wanted, sold_in
from quotas.crediting.explanation.matching import Receiver, Sold, Tried, tried
from quotas.crediting.explanation.words import (
    Money,
    both,
    day,
    inside,
    money_of,
    multiplied,
    percent,
    span,
    stopped,
)
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
                _("Quota credit"),
                money(entry.amount_minor),
                _("%(posted)s %(component)s for %(team)s.")
                % {
                    "posted": posted(entry),
                    "component": spoken(Component(entry.component).label),
                    "team": entry.team.name,
                },
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
        if case.overlay:
            detail = _(
                "%(who)s Overlay has the whole value as its base; it stands outside the shares and never rolls up."
            ) % {"who": self._overlay(case)}
            return Step(_("Overlay"), multiplied(ONE_PPM), detail)
        if case.whole:
            detail = _("%(who)s. Consumption is all the account owner's.") % {"who": self._owned(case)}
            return Step(_("Account owner"), multiplied(ONE_PPM), detail)
        mine = next(p for p in parts if p.rep_id == case.told.rep_id)
        detail = _("%(rep)s has %(amount)s of it. %(how)s") % {
            "rep": case.told.rep.name,
            "amount": case.money(base),
            "how": _odd_units(case, mine, parts, value),
        }
        return Step(_("Split"), multiplied(mine.ppm), detail)

    def _overlay(self, case: _Case) -> str:
        on, at = case.sold.on, case.told.posting.recorded_at
        values = {"rep": case.told.rep.name, "day": day(on)}
        ways = []
        for territory in self.known.territories_of(case.sold.customer_id, on, at):
            if territory.pk not in case.receiver.covers:
                continue
            covered = self.known.coverage_of(case.told.rep_id, territory, on, at)
            where = {"territory": territory.name, "customer": case.version.deal.customer.name}
            ways.append(
                _("covers %(territory)s (%(span)s), where %(customer)s lies")
                % {**where, "span": span(covered.effective)}
                if covered
                else _("is the house rep of %(territory)s, where %(customer)s lies and which nobody covers")
                % where
            )
        if case.rule.roles is not None and case.membership is not None:
            ways.append(
                _("is %(role)s %(span)s")
                % {
                    "role": inside(case.membership.get_role_display()),
                    "span": span(case.membership.effective),
                }
            )
        if not ways:
            return _("%(rep)s is an overlay receiver on %(day)s.") % values
        return _("%(rep)s %(does)s on %(day)s.") % {**values, "does": both(ways)}

    def _owned(self, case: _Case) -> str:
        owned = self.known.ownership(
            case.sold.customer_id, case.told.rep_id, case.sold.on, case.told.posting.recorded_at
        )
        values = {
            "rep": case.told.rep.name,
            "customer": case.version.deal.customer.name,
            "day": day(case.sold.on),
        }
        if owned is None:
            return _("%(rep)s was credited for %(customer)s on %(day)s") % values
        values |= {"span": span(owned.effective), "holdover": span(owned.credits)}
        if case.sold.on not in owned.effective:
            return (
                _("%(rep)s is credited for %(customer)s %(holdover)s by a holdover, having owned it %(span)s")
                % values
            )
        return _("%(rep)s owns %(customer)s %(span)s") % values

    def _rule_step(self, case: _Case, credit: int) -> tuple[int, Step]:
        """What the entry comes to under its rule, and how."""
        money, component, factor = case.money, case.told.component, case.rule.factor_ppm
        values = {
            "rule": case.rule.name,
            "plan": str(case.rule.plan_version),
            "amount": money(credit),
        }
        if component == Component.CREDIT:
            detail = (
                _("%(rule)s, %(plan)s: credits the eligible value.")
                if factor == ONE_PPM
                else _(
                    "%(rule)s, %(plan)s: credits the eligible value. What its multiplier changes is an entry of its own."
                )
            )
            return credit, Step(_("Rule"), formats.multiplier(ONE_PPM), detail % values)
        if component == Component.UPLIFT:
            more = factor - ONE_PPM
            values |= {"sum": _times(money, credit, more)}
            detail = (
                _("%(rule)s, %(plan)s: this entry is what the multiplier adds to %(amount)s: %(sum)s.")
                if more >= 0
                else _("%(rule)s, %(plan)s: this entry is what the multiplier takes off %(amount)s: %(sum)s.")
            )
            return mul_ppm(credit, more), Step(_("Uplift"), formats.multiplier(factor), detail % values)
        if component == Component.SPIFF:
            values |= {"sum": _times(money, credit, factor)}
            detail = _("%(rule)s, %(plan)s: added to %(amount)s, whatever else applies: %(sum)s.")
            return mul_ppm(credit, factor), Step(_("SPIFF"), percent(factor), detail % values)
        cut = self.families.cut_of(case.told)
        detail = _("%(rule)s, %(plan)s: %(cut)s") % {**values, "cut": _cut(case, cut)}
        return cut.amount_minor, Step(_("Cap"), money(cut.cap_minor), detail)

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
                _("Credit date"),
                day(on),
                _("The day on which the deal closed; it picks all the rest."),
            ),
            Fact(
                "deal_version",
                _("Deal"),
                _("%(deal)s, version %(number)s")
                % {"deal": version.deal.reference, "number": version.number},
                _("Recorded on %(day)s by %(who)s.")
                % {"day": day(version.recorded_at), "who": version.recorded_by.name},
                version.pk,
            ),
            Fact(
                "offering",
                _("Offering"),
                case.sold.offering.name,
                _("Revision %(number)s, as it read when it was sold.")
                % {"number": line.offering_revision.number}
                if line.offering_revision
                else "",
                line.offering_revision_id,
            ),
        ]
        if line.plan is not None:
            facts.append(Fact("plan", _("Plan"), line.plan.name, "", line.plan_id))
        if line.price_version is not None:
            facts.append(
                Fact(
                    "price_version",
                    _("Quoted price"),
                    _("In effect %(span)s") % {"span": span(line.price_version.effective)},
                    "",
                    line.price_version_id,
                )
            )
        if case.rate is not None:
            facts.append(
                Fact(
                    "fx_rate",
                    _("Exchange rate"),
                    _("%(from)s to %(to)s at %(rate)s")
                    % {
                        "from": case.rate.from_currency_id,
                        "to": case.rate.to_currency_id,
                        "rate": rate_of(case.rate),
                    },
                    _("In force %(span)s.") % {"span": span(case.rate.effective)},
                    case.rate.pk,
                )
            )
        facts.append(
            Fact(
                "eligibility_decision",
                _("Eligibility"),
                _("%(rate)s on %(scope)s")
                % {"rate": percent(case.decision.rate_ppm), "scope": scope(case.decision)},
                decided(case.decision),
                case.decision.pk,
            )
        )
        role = spoken(case.membership.get_role_display()) if case.membership else ""
        facts.append(
            Fact(
                "team",
                _("Team"),
                told.team.name,
                _("%(role)s %(span)s.") % {"role": role, "span": span(case.membership.effective)}
                if case.membership
                else "",
                told.team_id,
            )
        )
        if case.overlay:
            facts.append(Fact("overlay", _("Overlay"), told.rep.name, self._overlay(case)))
        elif case.whole:
            facts.append(Fact("account_owner", _("Account owner"), told.rep.name, f"{self._owned(case)}."))
        else:
            share = next(s for s in case.shares if s.rep_id == told.rep_id)
            facts.append(
                Fact(
                    "share",
                    _("Share"),
                    percent(share.ppm),
                    _("Participant %(place)s of %(number)s.")
                    % {"place": share.ordinal, "number": len(case.shares)},
                    share.pk,
                )
            )
        facts.append(
            Fact(
                "rule",
                _("Rule"),
                rule.name,
                _("In %(plan)s, %(span)s.")
                % {"plan": rule.plan_version, "span": span(rule.plan_version.effective)},
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
            values = {"span": span(given.effective), "role": inside(given.get_role_display())}
            if given.rep_id:
                detail = _("Assigned in person, %(span)s.") % values
            elif given.role:
                detail = _("Assigned to everybody who is %(role)s, %(span)s.") % values
            else:
                detail = _("Assigned to everybody, %(span)s.") % values
            facts.append(Fact("plan_assignment", _("Plan assignment"), given.plan.name, detail, given.pk))
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
    """Without groups, so that it can be typed again."""
    return formats.entered(Decimal(rate.rate_e9).scaleb(-9).normalize())


def _times(money: Money, minor: int, ppm: int) -> str:
    """A product with its rounding, if there was any: "10% of $75.86 is $7.586, rounded to $7.59"."""
    values = {
        "share": percent(ppm),
        "amount": money(minor),
        "exact": money.exact(minor * ppm, 6),
        "rounded": money(mul_ppm(minor, ppm)),
    }
    if minor * ppm % ONE_PPM == 0:
        return _("%(share)s of %(amount)s is %(exact)s") % values
    return _("%(share)s of %(amount)s is %(exact)s, rounded to %(rounded)s") % values


def _odd_units(case: _Case, mine: Part, parts: Sequence[Part], value: int) -> str:
    """Who got the units that rounding down left over, and why: largest remainder, on a tie the earlier participant."""
    money = case.money
    values: dict[str, object] = {
        "share": percent(mine.ppm),
        "amount": money(value),
        "exact": money.exact(value * mine.ppm, 6),
    }
    given = [p for p in parts if p.odd_unit]
    if not given:
        if len(parts) == 1:
            return _("Nobody else shares in it.")
        return _("%(share)s of %(amount)s is %(exact)s; the parts come out even.") % values
    rest = [p for p in parts if not p.odd_unit]
    tie = bool(rest) and max(p.remainder_ppm for p in rest) == min(p.remainder_ppm for p in given)
    at_edge = tie and mine.remainder_ppm == min(p.remainder_ppm for p in given)
    count = len(given)
    told = ngettext(
        "%(share)s of %(amount)s is %(exact)s; all parts rounded down leave one odd %(unit)s over",
        "%(share)s of %(amount)s is %(exact)s; all parts rounded down leave %(number)s odd %(unit)s over",
        count,
    ) % {**values, "number": count, "unit": money(1)}
    values = {"left": told, "names": both([p.name for p in given])}
    if mine.odd_unit:
        if at_edge:
            return (
                ngettext(
                    "%(left)s: it is added here, an equal remainder but an earlier participant.",
                    "%(left)s: one of them is added here, an equal remainder but an earlier participant.",
                    count,
                )
                % values
            )
        return (
            ngettext(
                "%(left)s: it is added here, for the largest remainder.",
                "%(left)s: one of them is added here, for one of the largest remainders.",
                count,
            )
            % values
        )
    if at_edge:
        return (
            ngettext(
                "%(left)s: %(names)s got it, an equal remainder but an earlier participant.",
                "%(left)s: %(names)s got them, an equal remainder but an earlier participant.",
                count,
            )
            % values
        )
    return (
        ngettext(
            "%(left)s: %(names)s got it, for a larger remainder.",
            "%(left)s: %(names)s got them, for a larger remainder.",
            count,
        )
        % values
    )


def _cut(case: _Case, cut: CapCut) -> str:
    """The cap's arithmetic in words; for a refund that of its family."""
    money = case.money
    values: dict[str, object] = {
        "deal": case.version.deal.reference,
        "together": money(cut.together_minor),
        "cap": money(cut.cap_minor),
        "cut": money(cut.cut_minor),
        "earned": money(cut.earned_minor),
        "part": money(abs(cut.amount_minor)),
        "unit": money(1),
    }
    if len(cut.family) > 1:
        first, *between = cut.family[:-1]
        values |= {
            "family": ", ".join(
                [
                    _("%(deal)s earned %(amount)s under it")
                    % {"deal": _reference(first.deal_id), "amount": money(first.earned_minor)},
                    *(f"{_reference(m.deal_id)} {money(m.earned_minor)}" for m in between),
                ]
            ),
            "left": money(cut.left_minor),
            "whole_cap": money(cut.rule_cap_minor),
        }
        told = (
            _(
                "%(family)s; with this refund's %(together)s %(left)s are left. "
                "Of the cap of %(whole_cap)s that leaves %(cap)s for the refund, so %(cut)s of it are not taken back"
            )
            % values
        )
    else:
        told = (
            _("%(deal)s came to %(together)s under it, and %(cap)s is the most it counts: %(cut)s are cut")
            % values
        )
    values |= {"told": told}
    if cut.odd_unit:
        return (
            _(
                "%(told)s; this line and person earned %(earned)s of %(together)s and bear %(part)s, one odd %(unit)s of the rounding among it."
            )
            % values
        )
    return _("%(told)s; this line and person earned %(earned)s of %(together)s and bear %(part)s.") % values


def _reference(deal_id: int) -> str:
    return f"D-{deal_id:06d}"


# --- words ------------------------------------------------------------------------------------------------


def _value_step(case: _Case, value: int) -> Step:
    basis, line, money = case.told.measure.basis, case.line, case.money
    values: dict[str, object] = {
        "line": line.line_no,
        "offering": case.sold.offering.name,
        "units": money(abs(value)),
    }
    if basis == ValueBasis.NEW_CUSTOMERS:
        detail = _("Line %(line)s, %(offering)s: a new customer counts once a deal, on its first line.")
    elif basis == ValueBasis.UNITS:
        detail = (
            _("Line %(line)s, %(offering)s: %(units)s units given back.")
            if value < 0
            else _("Line %(line)s, %(offering)s: %(units)s units sold.")
        )
    else:
        detail = _("Line %(line)s, %(offering)s: %(sum)s.")
        values |= {"sum": _converted(case, value)}
    return Step(_("Deal value"), money(value), detail % values)


def _converted(case: _Case, value: int) -> str:
    """The amount of a line on its way to the measure's currency: over what term, at which rate, rounded."""
    basis, line, money, currency = case.told.measure.basis, case.line, case.money, case.version.currency
    amount, (times, per) = _amount(case), _term(case)
    told = Money(currency.code, currency.exponent)(amount)
    if basis == ValueBasis.CONSUMED:
        told = _("%(amount)s metered") % {"amount": told}
    elif basis == ValueBasis.BILLED:
        told = (
            _("%(amount)s billed")
            if line.billed_minor is not None
            else _("%(amount)s metered, the estimate until it is billed")
        ) % {"amount": told}
    if per != times:
        told = ngettext(
            "%(amount)s over %(months)s month, times 12 / %(months)s for a year",
            "%(amount)s over %(months)s months, times 12 / %(months)s for a year",
            per,
        ) % {"amount": told, "months": per}
    if case.rate is not None:
        told = _("%(amount)s, at %(rate)s, the rate of %(day)s") % {
            "amount": told,
            "rate": rate_of(case.rate),
            "day": day(case.sold.on),
        }
    exact = Fraction(amount * times, per * 10**currency.exponent) * 10**money.exponent
    if case.rate is not None:
        exact *= Fraction(case.rate.rate_e9, 10**9)
    if exact == value:
        return told
    scaled = exact * 10**9
    if scaled.denominator != 1:
        return _("%(amount)s, rounded once") % {"amount": told}
    return _("%(amount)s is %(exact)s, rounded once") % {
        "amount": told,
        "exact": money.exact(scaled.numerator, 9),
    }


def _eligibility_step(case: _Case, base: int, credit: int) -> Step:
    rate = case.decision.rate_ppm
    product = "" if rate == ONE_PPM else f" {_times(case.money, base, rate)}."
    return Step(
        _("Eligibility"),
        formats.multiplier(rate),
        f"{stopped(case.decision.reason)} {decided(case.decision)}{product}",
    )


def scope(decision: EligibilityDecision) -> str:
    """What a decision is about: "the publisher Contoso"."""
    if decision.plan is not None:
        return _("the plan %(name)s") % {"name": decision.plan}
    if decision.offering is not None:
        return _("the offering %(name)s") % {"name": decision.offering.name}
    if decision.publisher is not None:
        return _("the publisher %(name)s") % {"name": decision.publisher.name}
    return _("the commercial path %(name)s") % {"name": inside(decision.get_commercial_path_display())}


def decided(decision: EligibilityDecision) -> str:
    """Which decision, on what, since when, by whom; reads maker, checker and scope."""
    values = {
        "decision": decision.pk,
        "scope": scope(decision),
        "span": span(decision.effective),
        "maker": decision.made_by.name,
        "checker": decision.checked_by.name if decision.checked_by else "",
    }
    if decision.checked_by is None:
        return _("Decision %(decision)s on %(scope)s, %(span)s, made by %(maker)s.") % values
    return (
        _("Decision %(decision)s on %(scope)s, %(span)s, made by %(maker)s, checked by %(checker)s.") % values
    )


def posted(entry: CreditEntry) -> str:
    """Where and when an entry was posted; reads both periods and the posting."""
    values = {
        "period": entry.posting_period.name,
        "day": day(entry.posting.recorded_at),
        "entry": entry.pk,
        "own": entry.origin_period.name,
    }
    if entry.posting_period_id == entry.origin_period_id:
        return _("Posted in %(period)s on %(day)s, entry %(entry)s.") % values
    return (
        _("Posted in %(period)s on %(day)s, entry %(entry)s; it belongs to %(own)s, which was closed.")
        % values
    )


# Component and whether the amount is above zero, to what the rule does.
_DOES: Final[Mapping[tuple[Component, bool], str]] = {
    (Component.CREDIT, True): marked("%(rule)s credits %(amount)s to %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.CREDIT, False): marked("%(rule)s takes %(amount)s back from %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.UPLIFT, True): marked("%(rule)s adds %(amount)s to the credit of %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.UPLIFT, False): marked("%(rule)s takes %(amount)s off the credit of %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.SPIFF, True): marked("%(rule)s adds %(amount)s as a SPIFF for %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.SPIFF, False): marked("%(rule)s takes %(amount)s of a SPIFF back from %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.CAP_CUT, True): marked("%(rule)s does not take %(amount)s below its cap back from %(rep)s for %(part)s of %(offering)s in %(deal)s"),
    (Component.CAP_CUT, False): marked("%(rule)s cuts %(amount)s above its cap from the credit of %(rep)s for %(part)s of %(offering)s in %(deal)s"),
}  # fmt: skip


def _sentence(case: _Case) -> str:
    entry, minor = case.entry, case.told.amount_minor
    share = next((s.ppm for s in case.shares if s.rep_id == entry.rep_id), ONE_PPM)
    name = entry.rep.name
    told = spoken(_DOES[Component(entry.component), minor > 0]) % {
        "rule": case.rule.name,
        "amount": case.money(abs(minor)),
        "rep": _("%(rep)s as overlay") % {"rep": name} if case.overlay else name,
        "part": _("all") if case.whole or share == ONE_PPM else percent(share),
        "offering": case.sold.offering.name,
        "deal": case.version.deal.reference,
    }
    if entry.reverses_id:
        return _("Reverses entry %(entry)s exactly: %(told)s no longer stands.") % {
            "entry": entry.reverses_id,
            "told": told,
        }
    return f"{told}."
