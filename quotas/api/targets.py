"""Quotas, what is credited against them, the periods they are for, and the customers who buy."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config import charts
from config.rest.problems import BadQuery
from config.rest.views import Resources
from marketplace.models import Customer
from quotas.api.filters import CustomerFilters, PeriodFilters, QuotaFilters
from quotas.api.measured import percent, percent_of_ppm
from quotas.api.queries import (
    AS_OF,
    CLOSE,
    VIEW,
    asked_measure,
    asked_period,
    asked_team,
    asked_version,
    last_posting,
)
from quotas.api.quota_planning import QuotasBody, QuotasWritten, refuse_unless_planner, set_all
from quotas.api.resources import AttainmentResource, CustomerResource, PeriodResource, QuotaResource
from quotas.api.viewer import Internal, Seen
from quotas.models import Measure, Period, Quota, Rep, Team
from quotas.selectors import pace
from quotas.selectors.asof import Reading
from quotas.selectors.quota_planning import versions_of
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

    @extend_schema(
        summary="Set quotas of a measure and period, all or none; what is that already gets no version",
        request=QuotasBody,
        responses={200: QuotasWritten},
    )
    def create(self, request: Request) -> Response:
        refuse_unless_planner(self.caller)
        return Response(
            QuotasWritten(set_all(self.body(QuotasBody).validated_data, by=self.caller, at=self.at)).data
        )

    @extend_schema(
        summary="Every version of the same quota, the latest first",
        parameters=[OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)],
        responses=QuotaResource(many=True),
        filters=False,
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def versions(self, request: Request, pk: str) -> Response:
        return Response(self.get_serializer(versions_of(self.get_object()), many=True).data)


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
            VIEW,
            CLOSE,
            AS_OF,
        ],
    )
)
class Attainments(Internal, Resources):
    """A rep's own, a manager's people and teams, everybody's for comp admins and auditors. 16 queries a page at most, past visibility."""

    serializer_class = AttainmentResource
    list_parameters = ("period", "measure", "team", "rep", "group", "view", "close", "as_of")
    filter_backends = ()
    keyset = ("name", "id")

    @cached_property
    def period(self) -> Period:
        return asked_period(self.request.query_params.get("period"), self.viewer.on, self.team)

    @cached_property
    def reading(self) -> Reading:
        return asked_version(self.request.query_params, self.period, self.at)

    @cached_property
    def day(self) -> date:
        return self.reading.day(self.viewer.on)

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
            inside = list(self.reading.below(self.team.pk, self.day))
            reps = reps.filter(pk__in=self.reading.members_of(inside, self.day))
        return reps

    def _teams(self) -> QuerySet[Team]:
        found = (
            Team.objects.all()
            if self.viewer.sees_everything
            else Team.objects.filter(pk__in=self.viewer.teams)
        )
        if self.team is not None:
            found = found.filter(pk__in=list(self.reading.below(self.team.pk, self.day)))
        return found

    def _rep_rows(self, reps: Sequence[Rep]) -> list[dict[str, Any]]:
        ids = [rep.pk for rep in reps]
        credited = self.reading.credited(self.measure, by="rep", ids=ids)
        quotas = self.reading.quotas_of_reps(ids, self.measure)
        team_of = self.reading.teams_of(ids, self.day)
        plain = self.reading.plain
        weighted = weighted_attainments(ids, period=self.period, on=self.viewer.on) if plain else {}
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
        parents = self.reading.parents(self.day)
        earned: dict[int, int] = defaultdict(int)
        for each, together in self.reading.credited(self.measure, by="team", ids=None).items():
            at: int | None = each
            passed: set[int] = set()
            while at is not None and at not in passed:
                passed.add(at)
                earned[at] += together
                at = parents.get(at)
        quotas = self.reading.quotas_of_teams([team.pk for team in found], self.measure)
        above = {team.pk: parents.get(team.pk) for team in found}
        slugs = dict(
            Team.objects.filter(pk__in=[pk for pk in above.values() if pk]).values_list("pk", "slug")
        )
        return [
            self._row(
                "team",
                team,
                slugs.get(above[team.pk] or 0),
                earned[team.pk],
                quotas.get(team.pk),
            )
            for team in found
        ]

    @cached_property
    def _progress(self) -> pace.Progress:
        return pace.progress(self.period.starts, self.period.ends, self.day)

    @cached_property
    def _as_of(self) -> Any:
        return self.reading.facts_of or last_posting()

    def _row(
        self, group: str, subject: Rep | Team, team: str | None, credited: int, quota: int | None
    ) -> dict[str, Any]:
        so_far = self._progress
        close = self.reading.close
        return {
            "view": self.reading.view,
            "close": close.version if close else None,
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
            "status": charts.stands(credited, quota or 0, so_far.pace_ppm),
            "as_of": self._as_of,
            "weighted": [],
        }

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.get_queryset()) or []
        shown = self._team_rows(rows) if self.of_teams else self._rep_rows(rows)
        return self.get_paginated_response(self.get_serializer(shown, many=True).data)
