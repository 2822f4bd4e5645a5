"""What a deal would earn: the engine's own answer for a deal that is not saved."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.refusals import Forbidden, Invalid, NotFound
from config.rest.views import Computed
from quotas.api.bodies import DealBody, draft_from
from quotas.api.credits import uncredited
from quotas.api.measured import percent
from quotas.api.resources import COMPONENTS, EstimateResource
from quotas.api.viewer import SELLS, Seen, Viewer
from quotas.crediting.explain import missing_unsaved
from quotas.models import Measure, Period, Rep, RuleVersion, Team
from quotas.selectors.visibility import may_log_for
from quotas.services.booking import DealDraft, problems
from quotas.services.crediting import Estimate, document, estimate


class CreditEstimates(Seen, Computed):
    """For whoever may log the deal. Writes nothing."""

    @extend_schema(
        summary="Credit, attainment and rank of a deal that is not saved",
        description="Standings only of reps whose amounts you may see: what a deal does to a colleague's would tell what he has.",
        operation_id="credit_estimates_create",
        request=DealBody,
        responses=EstimateResource,
    )
    def post(self, request: Request) -> Response:
        if not self.caller.has_role(*SELLS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")
        draft = draft_from(self.body(DealBody).validated_data, viewer=self.viewer, at=self.at)
        if not may_log_for(self.caller, draft.owner_id, self.viewer.on):
            raise Forbidden.of(
                "not_your_deal", "You can log deals for yourself, or for the teams that you manage.", "/owner"
            )
        wrong = problems(draft, by=self.caller, at=self.at)
        if wrong:
            raise Invalid(*wrong)
        return Response(
            represent(estimate(draft=draft, at=self.at, seen_by=self.viewer.user), draft, self.viewer)
        )


def represent(found: Estimate, draft: DealDraft, viewer: Viewer) -> dict[str, Any]:
    """An estimate with names for ids. A fixed number of queries, whatever its size."""
    names = _Names(found)
    visible = viewer.reps_in_money({standing.rep_id for standing in found.standings})
    shown: dict[str, Any] = EstimateResource(
        {
            "credits": [names.credit(credit) for credit in found.credits],
            "uncredited": [uncredited(gap) for gap in missing_unsaved(found.uncredited, [document(draft)])],
            "standings": [
                names.standing(standing) for standing in found.standings if standing.rep_id in visible
            ],
        }
    ).data
    return dict(shown)


class _Names:
    def __init__(self, found: Estimate) -> None:
        measures = {c.measure_id for c in found.credits}
        reps = {c.rep_id for c in found.credits}
        periods = {c.posting_period_id for c in found.credits} | {s.period_id for s in found.standings}
        self.measures = Measure.objects.select_related("currency").in_bulk(measures)
        self.reps = Rep.objects.in_bulk(reps)
        self.teams = Team.objects.in_bulk({c.team_id for c in found.credits})
        self.rules = RuleVersion.objects.select_related("rule", "plan_version__plan").in_bulk(
            {c.rule_version_id for c in found.credits}
        )
        self.periods = Period.objects.in_bulk(periods)

    def credit(self, credit: Any) -> dict[str, Any]:
        return {
            "line_no": credit.line_no,
            "rep": self.reps[credit.rep_id].slug,
            "team": self.teams[credit.team_id].slug,
            "measure": self.measures[credit.measure_id],
            "component": COMPONENTS[credit.component],
            "amount_minor": credit.amount,
            "rule": self.rules[credit.rule_version_id],
            "period": self.periods[credit.posting_period_id].name,
        }

    def standing(self, standing: Any) -> dict[str, Any]:
        quota = standing.quota_minor
        return {
            "rep": self.reps[standing.rep_id].slug,
            "measure": self.measures[standing.measure_id],
            "period": self.periods[standing.period_id].name,
            "quota_minor": quota,
            "before_minor": standing.credited_before,
            "after_minor": standing.credited_after,
            "attainment_before": percent(standing.credited_before, quota),
            "attainment_after": percent(standing.credited_after, quota),
            "rank_before": standing.rank_before,
            "rank_after": standing.rank_after,
        }
