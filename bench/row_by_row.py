"""What crediting costs through the ORM, a row at a time: look-ups per line and person, an insert per entry, four totals per entry.

The rules are read once and matched in Python. It knows what the bench's facts need and nothing more: no overlay, no
refunds, no caps that bite. What it credits is compared with the ledger before its time counts.
"""

from collections import Counter
from collections.abc import Container, Sequence
from datetime import UTC, date, datetime

from django.db import connection, transaction
from django.db.models import F, Sum

from marketplace.models import EligibilityDecision
from quotas.crediting.arithmetic import mul_ppm, split, value_in_measure
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealLine,
    DealShare,
    DealVersion,
    FxRate,
    Measure,
    Period,
    Posting,
    RuleVersion,
    TeamMembership,
)

KEY = "row-by-row"
AT = datetime(2026, 8, 14, 19, tzinfo=UTC)

Credit = Counter[tuple[int, int, int, int, int, int]]


def standing(deals: Sequence[int]) -> Credit:
    """What the ledger nets to, by deal, line, rep, measure, component and rule."""
    return _net(CreditEntry.objects.filter(deal__in=deals))


def credited(deals: Sequence[int]) -> Credit:
    """The same of what credit() wrote."""
    return _net(CreditEntry.objects.filter(deal__in=deals, posting__key=KEY))


def _net(entries: "object") -> Credit:
    keys = ("deal_id", "line_no", "rep_id", "measure_id", "component", "rule_id")
    rows = entries.values_list(*keys).annotate(n=Sum("amount_minor")).order_by()  # type: ignore[attr-defined]
    return Counter({tuple(row[:6]): int(row[6]) for row in rows if row[6]})


def credit(deals: Sequence[int]) -> None:
    """Credit these deals, one transaction each."""
    rules = list(RuleVersion.objects.filter(plan_version__state="published"))
    rules.sort(key=lambda r: (-r.priority, -sum(getattr(r, c) is not None for c in r.CONDITIONS), r.pk))
    posting = Posting.objects.create(key=KEY, digest="", kind="load", recorded_at=AT)
    measures = list(Measure.objects.select_related("currency").filter(currency__isnull=False))
    for deal_id in deals:
        with transaction.atomic():
            deal = Deal.objects.select_for_update().get(pk=deal_id)
            assert deal.credited_version_id is not None
            version = DealVersion.objects.select_related("currency").get(pk=deal.credited_version_id)
            month = Period.objects.get(grain="M", starts__lte=version.close_date, ends__gt=version.close_date)
            shares = list(DealShare.objects.filter(version=version).order_by("ordinal"))
            for line in (
                DealLine.objects.filter(version=version).select_related("offering").order_by("line_no")
            ):
                for measure in measures:
                    _credit_line(deal, version, month, line, shares, measure, rules, posting)


def _credit_line(
    deal: Deal,
    version: DealVersion,
    month: Period,
    line: DealLine,
    shares: list[DealShare],
    measure: Measure,
    rules: list[RuleVersion],
    posting: Posting,
) -> None:
    decision = (
        EligibilityDecision.objects.filter(
            program="quota",
            checked_at__isnull=False,
            superseded_at=None,
            commercial_path=line.offering.commercial_path,
            effective__contains=version.close_date,
        )
        .order_by("-level", "-pk")
        .first()
    )
    assert decision is not None
    assert measure.currency is not None
    rate = None
    if version.currency_id != measure.currency_id:
        rate = FxRate.objects.get(
            from_currency=version.currency_id,
            to_currency=measure.currency_id,
            superseded_at=None,
            effective__contains=version.close_date,
        )
    annual = measure.basis == "annualised_value"
    value = value_in_measure(
        line.amount_minor,
        rate.rate_e9 if rate else None,
        version.currency.exponent,
        measure.currency.exponent,
        times=12 if annual else 1,
        per=(line.term_months or 12) if annual else 1,
    )
    for share, base in zip(shares, split(value, [s.ppm for s in shares]), strict=True):
        member = TeamMembership.objects.get(
            rep=share.rep_id, superseded_at=None, effective__contains=version.close_date
        )
        amount = mul_ppm(base, decision.rate_ppm)
        matching = [
            r for r in rules if r.measure_id == measure.pk and _matches(r, version, line, member.role)
        ]
        winner = next((r for r in matching if r.exclusive), None)
        parts = [(3, rule, mul_ppm(amount, rule.factor_ppm)) for rule in matching if not rule.exclusive]
        if winner is not None:
            parts += [(1, winner, amount), (2, winner, mul_ppm(amount, winner.factor_ppm - 1_000_000))]
        for component, rule, minor in parts:
            if not minor:
                continue
            CreditEntry.objects.create(
                id=_next_id(),
                posting=posting,
                posting_period=month,
                origin_period=month,
                credit_date=version.close_date,
                deal=deal,
                deal_version_id=version.pk,
                line_no=line.line_no,
                rep_id=share.rep_id,
                team_id=member.team_id,
                receiver_class=1,
                measure=measure,
                component=component,
                rule_id=rule.rule_id,
                rule_version=rule,
                plan_version_id=rule.plan_version_id,
                decision_id=decision.pk,
                fx_rate_id=rate.pk if rate else None,
                amount_minor=minor,
            )
            for period_id in (month.pk, month.quarter_id, month.half_id, month.year_id):
                key = {
                    "period_id": period_id,
                    "measure_id": measure.pk,
                    "basis": 1,
                    "team_id": member.team_id,
                    "rep_id": share.rep_id,
                }
                CreditTotal.objects.get_or_create(**key, defaults={"direct_minor": 0, "overlay_minor": 0})
                CreditTotal.objects.filter(**key).update(direct_minor=F("direct_minor") + minor)


def _matches(rule: RuleVersion, version: DealVersion, line: DealLine, role: str) -> bool:
    facts: tuple[tuple[Container[object] | None, object], ...] = (
        (rule.offerings, line.offering_id),
        (rule.publishers, line.offering.publisher_id),
        (rule.families, line.offering.family),
        (rule.paths, line.offering.commercial_path),
        (rule.deal_kinds, version.kind),
        (rule.segments, version.segment),
        (rule.regions, version.region),
        (rule.roles, role),
    )
    return _in_effect(rule, version.close_date) and all(
        allowed is None or fact in allowed for allowed, fact in facts
    )


def _in_effect(rule: RuleVersion, day: date) -> bool:
    span = rule.effective
    return span is None or (
        (span.lower is None or span.lower <= day) and (span.upper is None or day < span.upper)
    )


def _next_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("select nextval('quotas_creditentry_id_seq')")
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])
