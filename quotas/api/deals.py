"""Deals: read, logged, edited, and moved along their states."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from config.refusals import Invalid, NotFound, Problem
from config.rest.views import Resources
from quotas.api.bodies import (
    AmendmentBody,
    CancelBody,
    DealBody,
    NewDeal,
    ReasonBody,
    draft_from,
    remaining_from,
    writable,
)
from quotas.api.credits import explained_deal
from quotas.api.filters import DealFilters, PartnerDealFilters
from quotas.api.resources import DealExplanationResource, DealResource
from quotas.api.viewer import Seen, refuse_unless_seller
from quotas.models import Deal, DealLine, DealShare
from quotas.selectors.deals import complete
from quotas.selectors.visibility import deals_for
from quotas.services import approving, booking

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


@extend_schema_view(
    list=extend_schema(summary="Deals that you may see"),
    retrieve=extend_schema(summary="One deal", parameters=[BY_ID]),
)
class Deals(Seen, Resources):
    """A rep's own and shared deals, a manager's teams', everybody's for comp admins and auditors, a publisher's for a partner."""

    serializer_class = DealResource
    keyset = ("-id",)
    orderings = {
        "-id": ("-id",),
        "id": ("id",),
        "-close_date": ("-latest_version__close_date", "-id"),
        "close_date": ("latest_version__close_date", "id"),
    }

    @property
    def filterset_class(self) -> type[FilterSet]:
        return PartnerDealFilters if not self.described and self.viewer.is_outside else DealFilters

    def get_queryset(self) -> QuerySet[Deal]:
        """3 queries, whatever the number of deals; those of deals_for come on top."""
        if self.described:
            return Deal.objects.none()
        return (
            deals_for(self.viewer.user, self.viewer.on)
            .select_related("owner", "customer", "latest_version__currency", "credited_version__currency")
            .prefetch_related(
                Prefetch("latest_version__lines", queryset=self._lines),
                Prefetch("latest_version__shares", queryset=self._shares),
            )
        )

    @property
    def _lines(self) -> QuerySet[DealLine]:
        lines = DealLine.objects.select_related("offering", "plan").order_by("line_no")
        return lines.filter(offering__publisher=self.viewer.publisher) if self.viewer.is_outside else lines

    @property
    def _shares(self) -> QuerySet[DealShare]:
        return DealShare.objects.select_related("rep").order_by("ordinal")

    def paginate_queryset(self, queryset: Any) -> Any:
        """2 queries more where amendments wait."""
        page: Sequence[Deal] = super().paginate_queryset(queryset) or []
        complete(page, lines=self._lines, shares=self._shares)
        return page

    def represent(self, row: Any) -> dict[str, Any]:
        complete([row], lines=self._lines, shares=self._shares)
        return super().represent(row)

    def credits_address(self) -> str:
        return reverse("credit-list", request=self.request)

    @extend_schema(summary="Log a deal as a draft", request=NewDeal, responses={201: DealResource})
    def create(self, request: Request) -> Response:
        refuse_unless_seller(self.caller)
        draft = draft_from(self.body(NewDeal).validated_data, viewer=self.viewer, at=self.at)
        return self.created(booking.log_deal(draft=draft, by=self.caller, at=self.at))

    @extend_schema(
        summary="Edit a draft or returned deal",
        description="Members that are sent replace those that were there; lines and shares as a whole. Needs If-Match.",
        request=DealBody,
        responses=DealResource,
        parameters=[BY_ID],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        deal = self.get_object()
        revision = self.matched(deal)
        refuse_unless_seller(self.caller)
        if not isinstance(request.data, dict):
            raise Invalid.of("invalid", "What changes in a deal is a JSON object.")
        read = DealBody(data={**writable(deal), **request.data}, context=self.get_serializer_context())
        read.is_valid(raise_exception=True)
        draft = draft_from(read.validated_data, viewer=self.viewer, at=self.at)
        booking.edit_deal(
            deal_id=deal.pk, draft=draft, by=self.caller, at=self.at, expected_revision=revision
        )
        return self.answer(self.get_queryset().get(pk=deal.pk))

    @extend_schema(
        summary="Hand a deal in for approval", parameters=[BY_ID], request=None, responses=DealResource
    )
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, pk: str) -> Response:
        refuse_unless_seller(self.caller)
        return self.act(booking.submit_deal, "deal_id")

    @extend_schema(
        summary="Approve a submitted deal, or the amendment that waits, and post what changes",
        parameters=[BY_ID],
        request=ReasonBody,
        responses=DealResource,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        return self._decide(approving.approve_deal)

    @extend_schema(
        summary="Turn a submitted deal, or the amendment that waits, down for good; needs a reason",
        parameters=[BY_ID],
        request=ReasonBody,
        responses=DealResource,
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self._decide(approving.reject_deal)

    @extend_schema(
        summary="Hand a submitted deal back to be mended; needs a reason",
        parameters=[BY_ID],
        request=ReasonBody,
        responses=DealResource,
    )
    @action(detail=True, methods=["post"], url_path="return", url_name="return")
    def send_back(self, request: Request, pk: str) -> Response:
        return self._decide(approving.return_deal)

    @extend_schema(
        summary="Take a deal or a part of it out, the credit by exact reversals; needs a reason",
        description="With `lines` a part is cancelled: each says what is left of a line. Without, it is the whole deal.",
        parameters=[BY_ID],
        request=CancelBody,
        responses=DealResource,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        if not self.caller.is_service:  # a service takes out what it brought
            refuse_unless_seller(self.caller)
        read = self.body(CancelBody).validated_data
        if "lines" not in read:
            return self.act(approving.cancel_deal, "deal_id", reason=read["reason"])
        amounts, quantities, places = remaining_from(read["lines"], self.get_object())
        try:
            return self.act(
                approving.cancel_part,
                "deal_id",
                amounts=amounts,
                quantities=quantities,
                reason=read["reason"],
            )
        except Invalid as wrong:
            raise Invalid(*(_placed(problem, places) for problem in wrong.problems)) from wrong

    @extend_schema(
        summary="Propose new facts for an approved deal; needs a reason",
        description="Members that are sent replace those that stand; lines and shares as a whole. What stands stays credited until the amendment is approved. Another amendment takes the place of one that waits.",
        parameters=[BY_ID],
        request=AmendmentBody(partial=True),
        responses=DealResource,
    )
    @action(detail=True, methods=["post"])
    def amend(self, request: Request, pk: str) -> Response:
        deal = self.get_object()
        revision = self.matched(deal)
        refuse_unless_seller(self.caller)
        if not isinstance(request.data, dict):
            raise Invalid.of("invalid", "What changes in a deal is a JSON object.")
        complete([deal], lines=self._lines, shares=self._shares)
        read = AmendmentBody(
            data={**writable(deal, numbered=True), **request.data}, context=self.get_serializer_context()
        )
        read.is_valid(raise_exception=True)
        draft = draft_from(read.validated_data, viewer=self.viewer, at=self.at, amends=deal)
        booking.amend_deal(
            deal_id=deal.pk,
            draft=draft,
            by=self.caller,
            at=self.at,
            reason=read.validated_data["reason"],
            expected_revision=revision,
        )
        return self.answer(self.get_queryset().get(pk=deal.pk))

    @extend_schema(
        summary="Take back the amendment that you proposed",
        parameters=[BY_ID],
        request=ReasonBody,
        responses=DealResource,
    )
    @action(detail=True, methods=["post"], url_path="withdraw-amendment", url_name="withdraw-amendment")
    def withdraw_amendment(self, request: Request, pk: str) -> Response:
        return self._decide(approving.withdraw_amendment)

    @extend_schema(
        summary="Why each credit of a deal is what it is, and why there is none",
        parameters=[BY_ID],
        responses=DealExplanationResource,
    )
    @action(detail=True, methods=["get"])
    def explanation(self, request: Request, pk: str) -> Response:
        if self.viewer.is_outside:
            raise NotFound.of("not_found", "There is nothing here that you can see.")
        return Response(explained_deal(self.get_object(), viewer=self.viewer))

    def _decide(self, service: Any) -> Response:
        refuse_unless_seller(self.caller)
        return self.act(service, "deal_id", reason=self.body(ReasonBody).validated_data["reason"])


def _placed(problem: Problem, places: dict[int, int]) -> Problem:
    """The services point at a line by its number, the body at its place."""
    head, _, rest = problem.pointer.removeprefix("/lines/").partition("/")
    if not problem.pointer.startswith("/lines/") or not head.isdecimal():
        return problem
    return replace(problem, pointer=f"/lines/{places.get(int(head), 0)}/{rest or 'remaining'}")
