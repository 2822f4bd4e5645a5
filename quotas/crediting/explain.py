"""Why a credit is what it is. An explanation is made from the entry's own pins and computes the amount again from them."""

from dataclasses import dataclass
from fractions import Fraction

from config import formats
from marketplace.models import Currency, EligibilityDecision
from quotas.crediting.arithmetic import ONE_PPM, mul_ppm, round_div, split, value_in_measure
from quotas.models import (
    Component,
    CreditEntry,
    Deal,
    DealKind,
    DealLine,
    DealVersion,
    FxRate,
    Measure,
    PlanVersion,
    Reason,
    Reversal,
    RuleVersion,
    UncreditedLine,
    ValueBasis,
)


@dataclass(frozen=True)
class Step:
    """One step on the way from what was sold to what was credited."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Explanation:
    """An entry, the steps that lead to it, and the amount that they come to; minor units of the measure.

    evaluated_minor  Computed again from the pins; equal to the entry's amount or the ledger is wrong.
    """

    entry: CreditEntry
    sentence: str
    steps: list[Step]
    amount_minor: int
    evaluated_minor: int
    pins: dict[str, int | None]

    @property
    def holds(self) -> bool:
        return self.amount_minor == self.evaluated_minor


@dataclass(frozen=True)
class DealExplanation:
    """Every entry of a deal with its explanation, and why the rest earned nothing."""

    deal: Deal
    credits: list[Explanation]
    uncredited: list[UncreditedLine]


@dataclass(frozen=True)
class _Pins:
    """What an entry says it was computed from."""

    version: DealVersion
    line: DealLine
    shares: list[tuple[int, int]]
    measure: Measure
    rule: RuleVersion
    plan_version: PlanVersion
    decision: EligibilityDecision
    rate: FxRate | None
    currency: Currency
    measure_exponent: int


def explain_entry(entry_id: int) -> Explanation:
    """Explain one ledger entry. Raises CreditEntry.DoesNotExist. About 8 queries."""
    return _explain(
        CreditEntry.objects.select_related("deal", "rep", "team", "measure__currency", "posting").get(
            pk=entry_id
        )
    )


def explain_deal(deal_id: int) -> DealExplanation:
    """Explain every entry of a deal, in the order of posting, and every missing one."""
    entries = (
        CreditEntry.objects.select_related("deal", "rep", "team", "measure__currency", "posting")
        .filter(deal=deal_id)
        .order_by("id")
    )
    gaps = (
        UncreditedLine.objects.select_related("measure", "rep")
        .filter(deal=deal_id)
        .order_by("line_no", "measure_id", "rep_id")
    )
    return DealExplanation(Deal.objects.get(pk=deal_id), [_explain(entry) for entry in entries], list(gaps))


def why_nothing(gap: UncreditedLine) -> str:
    """One sentence for a missing credit."""
    for_whom = f" for {gap.rep.name}" if gap.rep else ""
    of_what = f" in {gap.measure.name}" if gap.measure else ""
    return f"Line {gap.line_no} earned nothing{for_whom}{of_what}: {Reason(gap.reason).label[0].lower()}{Reason(gap.reason).label[1:]}."


def _explain(entry: CreditEntry) -> Explanation:
    pins = _pins(entry)
    money = _writer(pins.measure, pins.measure_exponent)
    value = _value(pins)
    places = [rep for rep, _ in pins.shares]
    ppm = dict(pins.shares).get(entry.rep_id, 0)
    base = split(value, [weight for _, weight in pins.shares])[places.index(entry.rep_id)]
    credit = mul_ppm(base, pins.decision.rate_ppm)
    sign = -1 if entry.reverses_id else 1
    steps = [
        _value_step(pins, value, money(value)),
        Step(
            "Split",
            f"× {formats.percent(ppm, ONE_PPM, 4).rstrip('%').rstrip('0').rstrip('.')}%",
            f"{entry.rep.name} has {money(base)} of it; the parts add up to the value exactly.",
        ),
        Step(
            "Eligibility",
            formats.multiplier(pins.decision.rate_ppm),
            f"{pins.decision.reason} Decision {pins.decision.pk}, {_span(pins.decision)}.",
        ),
    ]
    rule = f"{pins.rule.name}, {pins.plan_version}"
    if entry.component == Component.CREDIT:
        evaluated = credit
        steps.append(
            Step(
                "Rule",
                "× 1.00",
                f"{rule}: credits the eligible value. What it adds on top is an entry of its own.",
            )
        )
    elif entry.component == Component.UPLIFT:
        evaluated = mul_ppm(credit, pins.rule.factor_ppm - ONE_PPM)
        steps.append(
            Step(
                "Uplift",
                formats.multiplier(pins.rule.factor_ppm),
                f"{rule}: this entry is what the multiplier adds to {money(credit)}.",
            )
        )
    elif entry.component == Component.SPIFF:
        evaluated = mul_ppm(credit, pins.rule.factor_ppm)
        steps.append(
            Step(
                "SPIFF",
                formats.percent(pins.rule.factor_ppm, ONE_PPM, 2),
                f"{rule}: added to {money(credit)}, whatever else applies.",
            )
        )
    else:
        evaluated, together = _cap_cut(entry, places, pins.rule.cap_minor or 0)
        steps.append(
            Step(
                "Cap",
                money(pins.rule.cap_minor or 0),
                f"{rule}: the deal came to {money(together)} under it; the cut is shared by what each line and person earned.",
            )
        )
    evaluated *= sign
    posted = f"Posted in {entry.posting_period.name}, entry {entry.pk}"
    if entry.posting_period_id != entry.origin_period_id:
        posted += f"; it belongs to {entry.origin_period.name}, which was closed"
    steps.append(
        Step(
            "Quota credit",
            money(entry.amount_minor),
            f"{posted}. {Component(entry.component).label} for {entry.team.name}.",
        )
    )
    return Explanation(
        entry=entry,
        sentence=_sentence(entry, pins, money, ppm),
        steps=steps,
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


def _pins(entry: CreditEntry) -> _Pins:
    version = DealVersion.objects.select_related("currency").get(pk=entry.deal_version_id)
    shares = (
        [(entry.rep_id, ONE_PPM)]
        if version.kind == DealKind.CONSUMPTION
        else list(version.shares.order_by("ordinal").values_list("rep_id", "ppm"))
    )
    measure = entry.measure
    return _Pins(
        version=version,
        line=DealLine.objects.select_related("offering").get(version=version, line_no=entry.line_no),
        shares=shares,
        measure=measure,
        rule=RuleVersion.objects.get(pk=entry.rule_version_id),
        plan_version=PlanVersion.objects.select_related("plan").get(pk=entry.plan_version_id),
        decision=EligibilityDecision.objects.get(pk=entry.decision_id),
        rate=FxRate.objects.get(pk=entry.fx_rate_id) if entry.fx_rate_id else None,
        currency=version.currency,
        measure_exponent=measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT,
    )


def _value(pins: _Pins) -> int:
    """The line's value in the measure: its basis, converted once, then rounded."""
    basis = pins.measure.basis
    if basis == ValueBasis.NEW_CUSTOMERS:
        return 10**formats.COUNT_EXPONENT
    if basis == ValueBasis.UNITS:
        quantity = Fraction(pins.line.quantity or 0) * 10**formats.COUNT_EXPONENT
        return round_div(quantity.numerator, quantity.denominator)
    times, per = (12, pins.line.term_months or 12) if basis == ValueBasis.ANNUALISED_VALUE else (1, 1)
    return value_in_measure(
        pins.line.amount_minor,
        pins.rate.rate_e9 if pins.rate else None,
        pins.currency.exponent,
        pins.measure_exponent,
        times=times,
        per=per,
    )


def _cap_cut(entry: CreditEntry, places: list[int], cap: int) -> tuple[int, int]:
    """This entry's part of the cut, and what the deal came to under the rule; from the entries that stood when it was posted."""
    of = entry.reverses_id or entry.pk
    original = entry if entry.reverses_id is None else CreditEntry.objects.get(pk=of)
    earned: dict[tuple[int, int], int] = {}
    siblings = list(
        CreditEntry.objects.filter(
            deal=entry.deal_id,
            rule_id=entry.rule_id,
            component__in=(Component.CREDIT, Component.UPLIFT),
            posting__lte=original.posting_id,
            reverses_id=None,
        )
    )
    gone = dict(
        Reversal.objects.filter(entry_id__in=[s.pk for s in siblings]).values_list(
            "entry_id", "reversed_by_id"
        )
    )
    when = dict(CreditEntry.objects.filter(pk__in=gone.values()).values_list("pk", "posting_id"))
    for sibling in siblings:
        if sibling.pk in gone and when[gone[sibling.pk]] <= original.posting_id:
            continue
        key = (sibling.line_no, places.index(sibling.rep_id))
        earned[key] = earned.get(key, 0) + sibling.amount_minor
    together = sum(earned.values())
    keys = sorted(earned)
    cuts = dict(zip(keys, split(abs(together) - cap, [abs(earned[k]) for k in keys]), strict=True))
    mine = (original.line_no, places.index(original.rep_id))
    return (-cuts[mine] if earned[mine] > 0 else cuts[mine]), together


def _value_step(pins: _Pins, value: int, written: str) -> Step:
    sold = f"Line {pins.line.line_no}, {pins.line.offering.name}"
    amount = formats.money(pins.line.amount_minor, pins.currency.code, pins.currency.exponent)
    if pins.measure.basis == ValueBasis.NEW_CUSTOMERS:
        return Step("Deal value", written, f"{sold}: a new customer counts once a deal, on its first line.")
    if pins.measure.basis == ValueBasis.UNITS:
        return Step("Deal value", written, f"{sold}: units sold.")
    if pins.rate is None:
        return Step("Deal value", written, f"{sold}: {amount}.")
    rate = f"{pins.rate.rate_e9 // 10**9}.{pins.rate.rate_e9 % 10**9:09d}".rstrip("0").rstrip(".")
    return Step(
        "Deal value", written, f"{sold}: {amount} at {rate}, the rate of {pins.version.close_date:%-d %B %Y}."
    )


def _span(decision: EligibilityDecision) -> str:
    first, end = decision.effective.lower, decision.effective.upper
    since = f"since {first:%-d %B %Y}" if first else "from the beginning"
    return f"{since}, until {end:%-d %B %Y}" if end else since


def _sentence(entry: CreditEntry, pins: _Pins, money: "_Writer", ppm: int) -> str:
    part = "all" if ppm == ONE_PPM else formats.percent(ppm, ONE_PPM, 2)
    what = {
        Component.CREDIT: "credits",
        Component.UPLIFT: "adds",
        Component.SPIFF: "adds as a SPIFF",
        Component.CAP_CUT: "takes back above its cap",
    }[Component(entry.component)]
    told = f"{pins.rule.name} {what} {money(abs(entry.amount_minor))} to {entry.rep.name} for {part} of {pins.line.offering.name} in {entry.deal.reference}"
    if entry.reverses_id:
        return f"Reverses entry {entry.reverses_id} exactly: {told[0].lower()}{told[1:]} no longer stands."
    return f"{told}."


class _Writer:
    def __init__(self, code: str | None, exponent: int) -> None:
        self.code, self.exponent = code, exponent

    def __call__(self, minor: int) -> str:
        return formats.measured(minor, self.code, self.exponent)


def _writer(measure: Measure, exponent: int) -> _Writer:
    return _Writer(measure.currency_id, exponent)
