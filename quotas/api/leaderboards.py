"""Who stands where, with amounts for those alone who may see them."""

from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.utils.urls import remove_query_param, replace_query_param

from config.refusals import Invalid, NotFound
from config.rest.pagination import page_size
from config.rest.problems import BadQuery
from config.rest.views import Computed, Resources
from marketplace.models import Publisher
from quotas.api.measured import percent, percent_of_ppm
from quotas.api.queries import AS_OF, CLOSE, VIEW, asked_period, asked_team, asked_version, last_posting
from quotas.api.resources import BoardReference, LeaderboardResource
from quotas.api.viewer import KNOWS_CUSTOMERS, SMALLEST_GROUP, Seen, Viewer
from quotas.models import Measure, Team
from quotas.selectors import leaderboard as boards
from quotas.selectors import teams
from quotas.selectors.audience import members_by_team, sellers_of
from quotas.selectors.kept import BeingWorkedOut
from quotas.services import keeping

PARAMETERS = {"/limit": "page_size", "/cursor": "cursor", "/by": "by", "/group": "group", "/around": "around"}


class NotYet(APIException):
    """A board of very many people is worked out by a worker, once for everybody who asks. Retry-After says when to ask again."""

    status_code = 503
    default_code = "being_worked_out"
    default_detail = "This board is being worked out. Ask again in a few seconds."
    wait = 3


@extend_schema_view(list=extend_schema(summary="Measures that have a leaderboard"))
class Leaderboards(Seen, Resources):
    serializer_class = BoardReference
    filter_backends = ()
    keyset = ("position", "id")

    def get_queryset(self) -> QuerySet[Measure]:
        return Measure.objects.all()

    def board_address(self, measure: Measure) -> str:
        return reverse("leaderboard", kwargs={"measure": measure.slug}, request=self.request)


class LeaderboardOf(Seen, Computed):
    """Rank and per cent for every colleague, amounts for those who may see them. Partners see their own offerings, and nobody's name."""

    parameters = (
        *("period", "by", "group", "team", "around", "cursor", "page_size"),
        *("view", "close", "as_of"),
    )

    @extend_schema(
        summary="The leaderboard of a measure",
        operation_id="leaderboards_retrieve",
        parameters=[
            OpenApiParameter(
                "period", OpenApiTypes.STR, description="Such as FY27-Q2; the current quarter if left out."
            ),
            OpenApiParameter(
                "by", OpenApiTypes.STR, enum=list(boards.BYS), description="credit if left out."
            ),
            OpenApiParameter(
                "group", OpenApiTypes.STR, enum=list(boards.GROUPS), description="rep if left out."
            ),
            OpenApiParameter("team", OpenApiTypes.STR, description="This team and all below it."),
            OpenApiParameter(
                "around",
                OpenApiTypes.STR,
                enum=["me"],
                description="Instead of a page: you, and who is near.",
            ),
            VIEW,
            CLOSE,
            AS_OF,
            OpenApiParameter("cursor", OpenApiTypes.STR),
            OpenApiParameter("page_size", OpenApiTypes.INT),
        ],
        responses=LeaderboardResource,
    )
    def get(self, request: Request, measure: str) -> Response:
        found = Measure.objects.select_related("currency").filter(slug=measure).first()
        if found is None:
            raise NotFound.of("not_found", "There is nothing here that you can see.")
        asked = self._asked(found)
        audience = _Audience(self.viewer)
        sold = asked.options["group"] in ("publisher", "offering")
        try:
            page = (
                asked.read_all_of(audience.own_publisher) if self.viewer.is_outside and sold else asked.read()
            )
        except BeingWorkedOut as waits:
            keeping.looked_at(waits.look, at=self.at)
            raise NotYet from waits
        keeping.looked_at(page.look, at=self.at)
        as_of = page.as_of if page.kept else page.reading.facts_of or last_posting()
        shown = [{**entry, "measure": found, "as_of": as_of} for entry in audience.entries(page)]
        body = {
            "measure": found.slug,
            "period": page.period.name,
            "by": page.by,
            "group": page.group,
            "team": page.team.slug if page.team else None,
            "on": page.on,
            "as_of": as_of,
            "view": page.reading.view,
            "close": page.reading.close.version if page.reading.close else None,
            "pace_percent": percent_of_ppm(page.pace_ppm),
            "suppressed": audience.suppressed,
            "results": shown,
            "next": None if audience.hides_all else self._next(page.cursor),
            "previous": None,
        }
        return Response(LeaderboardResource(body).data)

    def _asked(self, measure: Measure) -> "_Asked":
        given = self.request.query_params
        cursor = given.get("cursor")
        if cursor and not boards.is_cursor(cursor):
            raise BadQuery(
                ("cursor", "invalid_cursor", "This cursor is not one of this list: start without it.")
            )
        team = asked_team(given.get("team"))
        period = asked_period(given.get("period"), self.viewer.on, team)
        return _Asked(
            {
                "measure": measure,
                "period": period,
                "reading": asked_version(given, period, self.at),
                "by": given.get("by", "credit"),
                "group": given.get("group", "rep"),
                "team": team,
                "limit": page_size(given.get("page_size")),
                "after": cursor,
                "around_rep": self._around(given.get("around")),
                "at": self.at,
            }
        )

    def _around(self, asked: str | None) -> int | None:
        if asked is None:
            return None
        if asked != "me":
            raise BadQuery(("around", "invalid_choice", "A board can be read around me."))
        if self.viewer.rep is None:
            raise BadQuery(("around", "no_rep", "You are no rep, so you are not on the board."))
        return self.viewer.rep.pk

    def _next(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        here = remove_query_param(self.request.build_absolute_uri(), "cursor")
        return str(replace_query_param(here, "cursor", cursor))


@dataclass(frozen=True)
class _Asked:
    """One request for a board."""

    options: dict[str, Any]

    def read(self) -> boards.Leaderboard:
        """Raises BadQuery where the selector finds the parameters wrong."""
        try:
            return boards.leaderboard(**self.options)
        except Invalid as wrong:
            raise BadQuery(
                *(
                    (PARAMETERS.get(p.pointer, p.pointer.lstrip("/")), p.code, p.message)
                    for p in wrong.problems
                )
            ) from wrong

    def read_all_of(self, publisher: str) -> boards.Leaderboard:
        """The whole board, and of it one publisher's rows: a page of somebody else's rows would tell how many there are."""
        self.options.update(limit=boards.LARGEST_PAGE, after=None)
        page = self.read()
        rows = list(page.entries)
        while page.cursor is not None:
            self.options["after"] = page.cursor
            page = self.read()
            rows += page.entries
        of_publishers = page.group == "publisher"
        mine = [row for row in rows if (row.slug if of_publishers else row.team_slug) == publisher]
        return replace(page, entries=mine, cursor=None)


class _Audience:
    """What one viewer may be told of the rows of a board."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.suppressed = False
        self.hides_all = False

    @property
    def own_publisher(self) -> str:
        found = Publisher.objects.filter(pk=self.viewer.publisher or 0).values_list("slug", flat=True).first()
        return found or ""

    def entries(self, page: boards.Leaderboard) -> list[dict[str, Any]]:
        """A fixed number of queries, whatever the number of rows."""
        if self.viewer.is_outside:
            return self._to_a_partner(page)
        paid = self._in_money(page)
        return [_entry(row, money=row.id in paid) for row in page.entries]

    def _in_money(self, page: boards.Leaderboard) -> set[int]:
        """Ids of the rows whose amounts the viewer may see."""
        ids = {row.id for row in page.entries}
        if self.viewer.sees_all_money:
            return ids
        if page.group == "rep":
            return self.viewer.reps_in_money(ids)
        if page.group == "team":
            return ids & self.viewer.teams
        # What was sold, summed over everybody, is nobody's secret; over a few people it would be theirs.
        wide = page.team is None or page.team.pk in self.viewer.teams
        return ids if wide and self.viewer.user.has_role(*KNOWS_CUSTOMERS) else set()

    def _to_a_partner(self, page: boards.Leaderboard) -> list[dict[str, Any]]:
        if page.group == "rep":
            self.suppressed = self.hides_all = self._people(page.team, page) < SMALLEST_GROUP
            return [] if self.hides_all else [_nameless(row) for row in page.entries]
        if page.group == "team":
            people = members_by_team([row.id for row in page.entries], page.on)
            rows = [row for row in page.entries if people.get(row.id, 0) >= SMALLEST_GROUP]
            self.suppressed = len(rows) < len(page.entries)
            return [_entry(row, money=False) for row in rows]
        sellers = sellers_of(
            page.group, [row.id for row in page.entries], measure=page.measure, period=page.period
        )
        many = {
            row.id for row in page.entries if sellers.get(row.id, 0) >= SMALLEST_GROUP and page.team is None
        }
        self.suppressed = len(many) < len(page.entries)
        return [_entry(row, money=row.id in many) for row in page.entries]

    def _people(self, team: Team | None, page: boards.Leaderboard) -> int:
        within = None if team is None else list(teams.below(team.pk, page.on))
        return sum(members_by_team(within, page.on).values())


def _entry(row: boards.Standing, *, money: bool) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "previous_rank": row.previous_rank,
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "team": row.team_slug or None,
        "value_minor": row.credited_minor if money else None,
        "quota_minor": row.quota_minor if money else None,
        "attainment_percent": percent(row.credited_minor, row.quota_minor),
        "status": row.status,
    }


def _nameless(row: boards.Standing) -> dict[str, Any]:
    return {**_entry(row, money=False), **dict.fromkeys(("id", "slug", "name", "team"))}
