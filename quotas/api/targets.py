"""Quotas, what is credited against them, the periods they are for, and the customers who buy."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.db.models import F, Q, QuerySet, Sum
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from config import charts
from config.rest.problems import BadQuery
from config.rest.views import Resources
from marketplace.models import Customer
from quotas.api.filters import CustomerFilters, PeriodFilters, QuotaFilters
from quotas.api.measured import percent, percent_of_ppm
from quotas.api.queries import asked_measure, asked_period, asked_team, last_posting
from quotas.api.resources import AttainmentResource, CustomerResource, PeriodResource, QuotaResource
from quotas.api.viewer import Internal, Seen
from quotas.models import CreditTotal, Measure, Period, Quota, Rep, Team, TeamMembership, TotalBasis
from quotas.selectors import pace, periods, targets, teams
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.leaderboard import STATUS
from quotas.selectors.visibility import reps_for
from quotas.selectors.weighted import weighted_attainments

NAME = OpenApiParameter("name", OpenApiTypes.STR, OpenApiParameter.PATH)


@extend_schema_view(
    list=extend_schema(summary="Periods of the fiscal calendars, the oldest first"),
    retrieve=extend_schema(summary="One period by its name, such as FY27-Q2", parameters=[NAME]),
)
class Periods(Seen, Resources):
    serializer_class = PeriodResource
    filterset_class = PeriodFilters
    keyset = ("starts", "id")
    lookup_field = "name"
    lookup_value_regex = "[A-Z0-9-]{1,10}"

    def get_queryset(self) -> QuerySet[Period]:
        return Period.objects.select_related("calendar", "quarter", "half", "year")


@extend_schema_view(
    list=extend_schema(summary="Customers, by name"),
    retrieve=extend_schema(
        summary="One customer", parameters=[OpenApiParameter("slug", OpenApiTypes.STR, OpenApiParameter.PATH)]
    ),
)
class Customers(Internal, Resources):
    serializer_class = CustomerResource
    filterset_class = CustomerFilters
    keyset = ("name", "id")
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Customer]:
        return Customer.objects.all()


@extend_schema_view(
    list=extend_schema(summary="Quotas that you may see, in their last version"),
    retrieve=extend_schema(
        summary="One version of a quota",
        parameters=[OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)],
    ),
)
class Quotas(Internal, Resources):
    """One's own, those of the managed teams and their people, or all."""

    serializer_class = QuotaResource
    filterset_class = QuotaFilters

    def get_queryset(self) -> QuerySet[Quota]:
        quotas = Quota.objects.select_related("measure__currency", "period", "rep", "team")
        if self.described or self.viewer.sees_everything:
            return quotas
        seen = reps_for(self.viewer.user, self.viewer.on).values("pk")
        return quotas.filter(Q(rep__in=seen) | Q(team__in=self.viewer.teams))


@extend_schema_view(
    list=extend_schema(
        summary="Credited against quota, for people or teams that you may see",
        parameters=[
            OpenApiParameter(
                "period", OpenApiTypes.STR, description="Such as FY27-Q2; the current quarter if left out."
            ),
            OpenApiParameter("measure", OpenApiTypes.STR, description="The first one if left out."),
            OpenApiParameter("team", OpenApiTypes.STR, description="This team and all below it."),
            OpenApiParameter("rep", OpenApiTypes.STR, description="This rep alone."),
            OpenApiParameter("group", OpenApiTypes.STR, enum=["rep", "team"], description="rep if left out."),
        ],
    )
)
class Attainments(Internal, Resources):
    """A rep's own, a manager's people and teams, everybody's for comp admins and auditors. 16 queries a page at most, past visibility."""

    serializer_class = AttainmentResource
    list_parameters = ("period", "measure", "team", "rep", "group")
    filter_backends = ()
    keyset = ("name", "id")

    @cached_property
    def period(self) -> Period:
        return asked_period(self.request.query_params.get("period"), self.viewer.on, self.team)

    @cached_property
    def measure(self) -> Measure:
        return asked_measure(self.request.query_params.get("measure"))

    @cached_property
    def team(self) -> Team | None:
        return asked_team(self.request.query_params.get("team"))

    @property
    def of_teams(self) -> bool:
        asked = self.request.query_params.get("group", "rep")
        if asked not in ("rep", "team"):
            raise BadQuery(("group", "invalid_choice", "Groups are rep, team."))
        if asked == "team" and "rep" in self.request.query_params:
            raise BadQuery(("rep", "not_a_team", "Attainments of teams cannot be those of one rep."))
        return asked == "team"

    def get_queryset(self) -> QuerySet[Any, Any]:
        if self.described:
            return Rep.objects.none()
        return self._teams() if self.of_teams else self._reps()

    def _reps(self) -> QuerySet[Rep]:
        reps = reps_for(self.viewer.user, self.viewer.on)
        if (slug := self.request.query_params.get("rep")) is not None:
            reps = reps.filter(slug=slug)
        if self.team is not None:
            day = periods.last_day(self.period, self.viewer.on)
            reps = reps.filter(pk__in=teams.members_of(list(teams.below(self.team.pk, day)), day))
        return reps

    def _teams(self) -> QuerySet[Team]:
        found = (
            Team.objects.all()
            if self.viewer.sees_everything
            else Team.objects.filter(pk__in=self.viewer.teams)
        )
        if self.team is not None:
            day = periods.last_day(self.period, self.viewer.on)
            found = found.filter(pk__in=list(teams.below(self.team.pk, day)))
        return found

    def _totals(self) -> QuerySet[CreditTotal]:
        return CreditTotal.objects.filter(period=self.period, measure=self.measure, basis=TotalBasis.REPORTED)

    def _rep_rows(self, reps: Sequence[Rep]) -> list[dict[str, Any]]:
        ids = [rep.pk for rep in reps]
        credited = dict(
            self._totals()
            .filter(rep__in=ids)
            .values("rep_id")
            .annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
            .values_list("rep_id", "together")
        )
        quotas = targets.quotas_of_reps(ids, measure=self.measure, period=self.period)
        day = periods.last_day(self.period, self.viewer.on)
        team_of = dict(
            TeamMembership.objects.filter(
                rep__in=ids, superseded_at=None, effective__contains=day
            ).values_list("rep_id", "team__slug")
        )
        weighted = weighted_attainments(ids, period=self.period, on=self.viewer.on)
        return [
            {
                **self._row(
                    "rep", rep, team_of.get(rep.pk), int(credited.get(rep.pk, 0)), quotas.get(rep.pk)
                ),
                "weighted": weighted.get(rep.pk, []),
            }
            for rep in reps
        ]

    def _team_rows(self, found: Sequence[Team]) -> list[dict[str, Any]]:
        """A manager's number: the direct credit of the whole subtree, as the tree stood at the end of the period or today."""
        tree = Hierarchy(periods.last_day(self.period, self.viewer.on))
        earned: dict[int, int] = defaultdict(int)
        for team_id, together in (
            self._totals().values("team_id").annotate(t=Sum("direct_minor")).values_list("team_id", "t")
        ):
            earned[team_id] = int(together)
        quotas = targets.quotas_of_teams(
            [team.pk for team in found], measure=self.measure, period=self.period
        )
        above = {team.pk: tree.parent_of.get(team.pk) for team in found}
        slugs = dict(
            Team.objects.filter(pk__in=[pk for pk in above.values() if pk]).values_list("pk", "slug")
        )
        return [
            self._row(
                "team",
                team,
                slugs.get(above[team.pk] or 0),
                sum(earned[below] for below in tree.below(team.pk)),
                quotas.get(team.pk),
            )
            for team in found
        ]

    @cached_property
    def _progress(self) -> pace.Progress:
        return pace.progress(self.period.starts, self.period.ends, self.viewer.on)

    @cached_property
    def _as_of(self) -> Any:
        return last_posting()

    def _row(
        self, group: str, subject: Rep | Team, team: str | None, credited: int, quota: int | None
    ) -> dict[str, Any]:
        so_far = self._progress
        return {
            "group": group,
            "id": subject.pk,
            "slug": subject.slug,
            "name": subject.name,
            "team": team,
            "measure": self.measure,
            "period": self.period,
            "credited_minor": credited,
            "quota_minor": quota,
            "attainment_percent": percent(credited, quota),
            "pace_percent": percent_of_ppm(so_far.pace_ppm),
            "gap_minor": None if quota is None else credited - pace.due(quota, so_far),
            "status": STATUS[charts.standing(credited, quota or 0, so_far.pace_ppm).word],
            "as_of": self._as_of,
            "weighted": [],
        }

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.get_queryset()) or []
        shown = self._team_rows(rows) if self.of_teams else self._rep_rows(rows)
        return self.get_paginated_response(self.get_serializer(shown, many=True).data)
