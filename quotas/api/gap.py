"""What closes one's own gap: the open deals that would, in order."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.refusals import NotFound
from config.rest.views import Computed
from quotas.api.measured import MeasuredField, MeasuredOrNull
from quotas.api.queries import asked_measure, asked_period
from quotas.api.resources import Out
from quotas.api.viewer import Internal
from quotas.models import DealState
from quotas.selectors import periods
from quotas.selectors.gap import AMENDED, GapPlan, OpenDeal, closing_the_gap, whose_gap
from quotas.selectors.visibility import calendars_of

STATES = [(state, state) for state in (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED, AMENDED)]


class OpenDealResource(Out):
    deal = serializers.IntegerField()
    reference = serializers.CharField()
    customer = serializers.SlugField()
    deal_state = serializers.ChoiceField(STATES, help_text="amended: an amendment of an approved deal waits.")
    close_date = serializers.DateField()
    late = serializers.BooleanField(help_text="The close date has passed.")
    credit = MeasuredField(
        minor="credit_minor", help_text="What it would add; of an amendment the difference."
    )
    reasons = serializers.ListField(
        child=serializers.CharField(), help_text="Why it would add nothing, where that is known."
    )


class GapStep(OpenDealResource):
    """An open deal in its place: the largest credit first, so that the fewest close the gap."""

    credited_with_it = MeasuredField(minor="running_minor")
    left = MeasuredField(minor="left_minor", help_text="What is then left of the gap, at least nothing.")
    closes = serializers.BooleanField(help_text="The gap is closed by this one.")


class GapResource(Out):
    """By the engine that posts, as if each deal were approved as it now is. Nothing of it is certain."""

    rep = serializers.SlugField()
    measure = serializers.SlugField(source="measure.slug")  # the object is what amounts are written by
    period = serializers.CharField()
    on = serializers.DateField()
    credited = MeasuredField(minor="credited_minor")
    quota = MeasuredOrNull(minor="quota_minor")
    gap = MeasuredOrNull(minor="gap_minor", help_text="Null without a quota.")
    deals_needed = serializers.IntegerField(
        allow_null=True, help_text="How many of the steps close the gap; null where all of them do not."
    )
    short = MeasuredField(minor="short_minor", help_text="What is left of the gap when every step is won.")
    steps = GapStep(many=True)
    later = OpenDealResource(many=True, help_text="Deals that would count after the period.")
    others = OpenDealResource(many=True, help_text="Deals that add nothing here, or take back.")


class MyGap(Internal, Computed):
    """For a rep alone, about themself; for everybody else it does not exist."""

    parameters = ("period", "measure")

    @extend_schema(
        summary="What closes your gap",
        operation_id="me_gap_retrieve",
        parameters=[
            OpenApiParameter(
                "period", OpenApiTypes.STR, description="Such as FY27-Q2; the current quarter if left out."
            ),
            OpenApiParameter("measure", OpenApiTypes.STR, description="The first one if left out."),
        ],
        responses=GapResource,
    )
    def get(self, request: Request) -> Response:
        rep = whose_gap(self.caller, "", self.viewer.on)
        if rep is None:
            raise NotFound.of("not_found", "You are no rep: there is no gap of yours.")
        own = calendars_of(self.caller, self.viewer.on)
        name = request.query_params.get("period")
        period = (
            asked_period(name, self.viewer.on)
            if name
            else periods.current_period(self.viewer.on, calendar_id=own[0].pk if own else None)
        )
        if period is None:
            raise NotFound.of("not_found", "There is no period yet.")
        measure = asked_measure(request.query_params.get("measure"))
        plan = closing_the_gap(rep=rep, measure=measure, period=period, on=self.viewer.on)
        return Response(GapResource(_body(plan)).data)


def _body(plan: GapPlan) -> dict[str, Any]:
    return {
        "rep": plan.rep.slug,
        "measure": plan.measure,
        "period": plan.period.name,
        "on": plan.on,
        "deals_needed": plan.needed,
        **{
            name: getattr(plan, name)
            for name in ("credited_minor", "quota_minor", "gap_minor", "short_minor")
        },
        "steps": [
            {
                **_open(step.open, plan),
                "running_minor": step.running_minor,
                "left_minor": step.left_minor,
                "closes": step.closes,
            }
            for step in plan.steps
        ],
        "later": [_open(each, plan) for each in plan.later],
        "others": [_open(each, plan) for each in plan.others],
    }


def _open(each: OpenDeal, plan: GapPlan) -> dict[str, Any]:
    return {
        "measure": plan.measure,
        "deal": each.deal.pk,
        "reference": each.reference,
        "customer": each.deal.customer.slug,
        "deal_state": each.state,
        "close_date": each.close_date,
        "late": each.late,
        "credit_minor": each.credit_minor,
        "reasons": list(each.reasons),
    }
