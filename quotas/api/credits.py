"""The ledger as its readers may see it, and why each entry is what it is."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.rest.views import Resources
from quotas.api.filters import CreditFilters
from quotas.api.resources import CreditExplanationResource, CreditResource, UncreditedResource
from quotas.api.viewer import Internal, Viewer
from quotas.crediting.explain import Explanation, Missing, explain_deal, explain_entry
from quotas.models import CreditEntry, Deal, Grain, Period, Reversal
from quotas.selectors.visibility import entries_for

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


def credits_for(viewer: Viewer) -> QuerySet[CreditEntry]:
    """Entries with whatever their resource shows: 1 query, whatever their number; those of entries_for come on top."""
    undone = Reversal.objects.filter(entry_id=OuterRef("pk")).values("reversed_by_id")
    return (
        entries_for(viewer.user, viewer.on)
        .select_related(
            "rep",
            "team",
            "measure__currency",
            "posting",
            "posting_period",
            "origin_period",
            "rule_version__rule",
            "rule_version__plan_version__plan",
        )
        .annotate(reversed_by=Subquery(undone))
    )


@extend_schema_view(
    list=extend_schema(summary="Credit entries that you may see, the latest first"),
    retrieve=extend_schema(summary="One credit entry", parameters=[BY_ID]),
)
class Credits(Internal, Resources):
    """A rep's own entries, a manager's teams', all for comp admins and auditors."""

    serializer_class = CreditResource
    filterset_class = CreditFilters
    keyset = ("-id",)

    def get_queryset(self) -> QuerySet[CreditEntry]:
        return CreditEntry.objects.none() if self.described else credits_for(self.viewer)

    def filter_for_object(self, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """With every month named, each partition is asked by its key; an id alone would be looked for by reading them."""
        months = list(Period.objects.filter(grain=Grain.MONTH).values_list("pk", flat=True))
        return rows.filter(posting_period__in=months)

    @extend_schema(
        summary="Why a credit is what it is", parameters=[BY_ID], responses=CreditExplanationResource
    )
    @action(detail=True, methods=["get"])
    def explanation(self, request: Request, pk: str) -> Response:
        entry = self.get_object()
        return Response(_explained(entry, explain_entry(entry.pk)))


def explained_deal(deal: Deal, *, viewer: Viewer) -> dict[str, Any]:
    """The explanations of the entries that the viewer may see, and the missing credits of people the viewer may see."""
    seen = {entry.pk: entry for entry in credits_for(viewer).filter(deal=deal)}
    told = explain_deal(deal.pk)
    missing = {gap.rep_id for gap in told.uncredited if gap.rep_id is not None}
    known = missing if viewer.sees_everything else viewer.reps_in_money(missing)
    return {
        "deal": deal.pk,
        "reference": deal.reference,
        "credits": [_explained(seen[e.entry.pk], e) for e in told.credits if e.entry.pk in seen],
        "uncredited": [
            dict(UncreditedResource(uncredited(gap)).data)
            for gap in told.uncredited
            if gap.rep_id is None or gap.rep_id in known
        ],
    }


def _explained(entry: CreditEntry, told: Explanation) -> dict[str, Any]:
    shown = {
        "credit": entry,
        "sentence": told.sentence,
        "steps": told.steps,
        "facts": told.facts,
        "rules": told.rules,
        "split": told.parts,
        "measure": entry.measure,
        "evaluated_minor": told.evaluated_minor,
        "holds": told.holds,
        "pins": told.pins,
    }
    return dict(CreditExplanationResource(shown).data)


def uncredited(told: Missing) -> dict[str, Any]:
    """A missing credit, of a deal or of an estimate, for its resource."""
    return {
        "line_no": told.line_no,
        "measure": told.measure.slug if told.measure else None,
        "rep": told.rep.slug if told.rep else None,
        "reason": told.reason,
        "detail": told.sentence,
        "remedy": told.remedy,
        "rules": told.rules,
    }
