"""Stored deal versions in the shape that the engine takes for deals that are not saved."""

from typing import Any

from django.db.models import Prefetch, QuerySet

from quotas.models import DealLine, DealShare, DealVersion


def with_document(versions: QuerySet[DealVersion]) -> QuerySet[DealVersion]:
    """Versions with what document_of reads. 3 queries."""
    return versions.select_related("deal__customer", "currency").prefetch_related(
        Prefetch("lines", DealLine.objects.select_related("plan").order_by("line_no")),
        Prefetch("shares", DealShare.objects.select_related("rep").order_by("ordinal")),
    )


def document_of(version: DealVersion, *, customer_id: int, calendar_id: int) -> dict[str, Any]:
    """A stored version in the shape of lines_from_json.sql; its customer and calendar are the deal's."""
    return {
        "calendar_id": calendar_id,
        "customer_id": customer_id,
        "kind": version.kind,
        "close_date": version.close_date.isoformat(),
        "currency": version.currency_id,
        "segment": version.segment,
        "region": version.region,
        "new_customer": version.new_customer,
        "refunds_id": version.refunds_id,
        "lines": [
            {
                "line_no": line.line_no,
                "offering_id": line.offering_id,
                "plan_id": line.plan_id,
                "amount": line.amount_minor,
                "billed": line.billed_minor,
                "quantity": None if line.quantity is None else str(line.quantity),
                "term": line.term_months,
            }
            for line in version.lines.all()
        ],
        "shares": [{"ordinal": s.ordinal, "rep_id": s.rep_id, "ppm": s.ppm} for s in version.shares.all()],
    }
