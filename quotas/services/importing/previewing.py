"""What an import shows before it is one: rows as the deals that they would become, and what these would be credited."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from config import house as formats
from quotas.crediting import engine
from quotas.models import Measure, Reason, SourceTodo
from quotas.services.booking import DealDraft, Facts
from quotas.services.crediting import document
from quotas.services.importing.sales import Sale


def example(sale: Sale) -> dict[str, Any]:
    """A sale in words and numbers, for the page."""
    values, draft = sale.first, sale.draft
    if sale.todo == SourceTodo.APPROVE:
        state = "approved"
    else:
        state = {"approved": "submitted"}.get(sale.stage, sale.stage)
    shares = [(values.get("owner") or "", "100")]
    if draft is not None and len(draft.shares) > 1:
        shares = [(name, formats.decimal(percent)) for name, percent in values.get("splits") or () if name]
    return {
        "line": sale.rows[0].line,
        "external_id": sale.external_id,
        "outcome": sale.outcome,
        "title": values.get("title") or "",
        "owner": values.get("owner") or "",
        "account": values.get("account") or "",
        "lines": [
            {
                "offering": row.values.get("offering") or "",
                "amount": str(row.values.get("amount") or ""),
                "currency": values.get("currency") or "",
            }
            for row in sale.rows
        ],
        "close_date": values["close_date"].isoformat() if isinstance(values.get("close_date"), date) else "",
        "state": state,
        "waits": sale.waits,
        "shares": [{"rep": rep, "percent": percent} for rep, percent in shares],
        "problems": [sale.problem.message] if sale.problem is not None else [],
    }


@dataclass(frozen=True, slots=True)
class Estimated:
    """What deals would earn if all were approved. by_measure: amounts in minor units of the measure; nothing: deals that earn nothing, by reason."""

    by_measure: Sequence[Mapping[str, Any]] = ()
    nothing: Sequence[Mapping[str, Any]] = ()


def estimated_credit(drafts: Sequence[DealDraft], facts: Facts) -> Estimated:
    """By the engine that posts. A deal that earns nothing in any measure is counted once, under its first reason."""
    if not drafts:
        return Estimated()
    credits, gaps = engine.desired(engine.Unsaved([document(draft, facts=facts) for draft in drafts]))
    amounts: Counter[int] = Counter()
    earning: dict[int, set[int]] = {}
    for credit in credits:
        amounts[credit.measure_id] += credit.amount
        earning.setdefault(credit.measure_id, set()).add(credit.deal_id)
    without = {gap.deal_id for gap in gaps} - {deal for deals in earning.values() for deal in deals}
    reason_of: dict[int, str] = {}
    for gap in gaps:
        if gap.deal_id in without:
            reason_of.setdefault(gap.deal_id, gap.reason)
    return Estimated(
        [
            {
                "measure": measure.name,
                "amount": amounts[measure.pk],
                "currency": measure.currency_id,
                "deals": len(earning[measure.pk]),
            }
            for measure in Measure.objects.filter(pk__in=list(amounts)).order_by("position", "pk")
        ],
        [
            {"why": str(Reason(reason).label), "deals": number}
            for reason, number in Counter(reason_of.values()).most_common()
        ],
    )
