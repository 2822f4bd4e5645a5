"""What stood when a dispute was opened, as it is frozen with it. RULES 13.

Without names: people by id, because what is frozen stays when a name is erased.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.db.models import Q

from quotas.crediting.explain import Explanation, entries_to_explain, explain_entries, missing
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealVersion,
    Grain,
    Measure,
    Period,
    PlanState,
    PlanVersion,
    Posting,
    Quota,
    Rep,
    TotalBasis,
    UncreditedLine,
)

VERSION = 1  # of this shape


def gather(
    *,
    rep: Rep,
    deal: Deal | None,
    entry: CreditEntry | None,
    period: Period | None,
    measure: Measure | None,
    at: datetime,
    on: date,
) -> dict[str, Any]:
    """Deal with lines and shares, the rep's credits on it with their explanations, reasons without credit, quotas, totals, plan versions.

    At most 60 queries, whatever the number of entries.
    """
    version = deal.in_force if deal is not None else None
    day = entry.credit_date if entry is not None else version.close_date if version is not None else on
    month = period or _month_of(deal, day)
    periods = _periods(month)
    last = Posting.objects.order_by("-pk").values_list("pk", flat=True).first()
    return {
        "evidence": VERSION,
        "at": at.isoformat(),
        "rep": rep.pk,
        "last_posting": last,
        "about": {
            "deal": deal.reference if deal is not None else None,
            "entry": entry.pk if entry is not None else None,
            "period": month.name if month is not None else None,
            "measure": measure.slug if measure is not None else None,
        },
        "deal": _deal(deal, version) if deal is not None and version is not None else None,
        "credits": [_credit(told, rep) for told in explain_entries(_entries(rep, deal, entry))],
        "without_credit": _gaps(rep, deal),
        "quotas": _quotas(rep, measure, periods),
        "totals": _totals(rep, measure, periods),
        "plan_versions": [
            str(each)
            for each in PlanVersion.objects.filter(state=PlanState.PUBLISHED, effective__contains=day)
            .select_related("plan")
            .order_by("plan__slug", "number")
        ],
    }


def canonical(evidence: dict[str, Any]) -> str:
    """One way to write it: keys sorted, no spaces, every character as itself."""
    return json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(evidence: dict[str, Any]) -> str:
    """SHA-256 of the canonical text, hexadecimal."""
    return hashlib.sha256(canonical(evidence).encode()).hexdigest()


def _month_of(deal: Deal | None, day: date) -> Period | None:
    if deal is None:
        return None
    months = Period.objects.filter(calendar=deal.calendar_id, grain=Grain.MONTH)
    return months.filter(starts__lte=day, ends__gt=day).first()


def _periods(period: Period | None) -> list[int]:
    """The period itself, and the quarter and year of a month: quotas are mostly set for these."""
    if period is None:
        return []
    found = (period.pk, period.quarter_id, period.half_id, period.year_id)
    return [pk for pk in found if pk is not None]


def _entries(rep: Rep, deal: Deal | None, entry: CreditEntry | None) -> Sequence[CreditEntry]:
    if deal is None and entry is None:
        return []
    months = list(Period.objects.filter(grain=Grain.MONTH).values_list("pk", flat=True))
    wanted = Q(pk=entry.pk) if entry is not None else Q()
    if deal is not None:
        wanted |= Q(deal=deal) | Q(adjustment__deal=deal)
    return list(entries_to_explain().filter(wanted, rep=rep, posting_period__in=months).order_by("id"))


def _deal(deal: Deal, version: DealVersion) -> dict[str, Any]:
    return {
        "reference": deal.reference,
        "state": deal.state,
        "held": deal.held,
        "owner": deal.owner_id,
        "version": version.number,
        "kind": version.kind,
        "close_date": version.close_date.isoformat(),
        "currency": version.currency_id,
        "segment": version.segment,
        "region": version.region,
        "new_customer": version.new_customer,
        "amendment_waits": deal.amended_at is not None,
        "lines": [
            {
                "line": line.line_no,
                "offering": line.offering.slug,
                "plan": line.plan.slug if line.plan else None,
                "amount_minor": line.amount_minor,
                "billed_minor": line.billed_minor,
                "quantity": None if line.quantity is None else f"{line.quantity.normalize():f}",
                "term_months": line.term_months,
            }
            for line in version.lines.select_related("offering", "plan").order_by("line_no")
        ],
        "shares": [{"rep": share.rep_id, "ppm": share.ppm} for share in version.shares.order_by("ordinal")],
    }


def _credit(told: Explanation, rep: Rep) -> dict[str, Any]:
    entry = told.entry
    return {
        "entry": entry.pk,
        "line": entry.line_no,
        "measure": entry.measure.slug,
        "component": entry.get_component_display(),
        "receiver": entry.get_receiver_class_display(),
        "amount_minor": entry.amount_minor,
        "posting_period": entry.posting_period.name,
        "origin_period": entry.origin_period.name,
        "reverses": entry.reverses_id,
        "team": entry.team_id,
        "sentence": told.sentence.replace(rep.name, "the rep"),
        "steps": [{"label": step.label, "value": step.value} for step in told.steps],
        "pins": {name: value for name, value in told.pins.items() if value is not None},
        "holds": told.holds,
    }


def _gaps(rep: Rep, deal: Deal | None) -> list[dict[str, Any]]:
    if deal is None:
        return []
    lines = (
        UncreditedLine.objects.select_related("measure__currency", "rep", "deal")
        .filter(Q(rep=rep) | Q(rep=None), deal=deal)
        .order_by("line_no", "measure_id", "rep_id")
    )
    return [
        {
            "line": gap.line_no,
            "measure": gap.measure.slug if gap.measure else None,
            "reason": gap.reason,
            "sentence": gap.sentence.replace(rep.name, "the rep"),
        }
        for gap in missing(list(lines))
    ]


def _quotas(rep: Rep, measure: Measure | None, periods: Sequence[int]) -> list[dict[str, Any]]:
    found = Quota.objects.filter(rep=rep, period__in=periods).select_related("measure", "period")
    if measure is not None:
        found = found.filter(measure=measure)
    return [
        {
            "quota": quota.pk,
            "measure": quota.measure.slug,
            "period": quota.period.name,
            "version": quota.version,
            "amount_minor": quota.amount_minor,
            "starts": quota.starts.isoformat() if quota.starts else None,
            "method": quota.method,
            "recorded_at": quota.recorded_at.isoformat(),
            "superseded": quota.superseded_at is not None,
        }
        for quota in found.order_by("period__starts", "measure_id", "version", "pk")
    ]


def _totals(rep: Rep, measure: Measure | None, periods: Sequence[int]) -> list[dict[str, Any]]:
    found = CreditTotal.objects.filter(rep=rep, period__in=periods).select_related("measure", "period")
    if measure is not None:
        found = found.filter(measure=measure)
    return [
        {
            "period": total.period.name,
            "measure": total.measure.slug,
            "basis": "reported" if total.basis == TotalBasis.REPORTED else "moved",
            "team": total.team_id,
            "direct_minor": total.direct_minor,
            "overlay_minor": total.overlay_minor,
        }
        for total in found.order_by("period__starts", "period__ends", "measure_id", "basis", "team_id")
    ]
