"""Every change of the catalog in the order of its number, for programs that follow it: read to the end, then ask next again."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from config.rest.filters import Choices, Words
from config.rest.pagination import KeysetPagination, Place
from config.rest.views import Resources
from marketplace.models import CatalogChange
from marketplace.selectors.changes import KIND_CHOICES, changes_for, of_publishers

BY_NUMBER = OpenApiParameter("number", OpenApiTypes.INT, OpenApiParameter.PATH)


class ChangeResource(serializers.Serializer[Any]):
    number = serializers.IntegerField(
        help_text="Higher is later, and what is given a number later is never lower."
    )
    kind = serializers.ChoiceField(choices=KIND_CHOICES)
    what = serializers.CharField(help_text="A sentence, for people.")
    offering = serializers.CharField(
        allow_null=True, help_text="Slug; null for what is decided for a publisher or a commercial path."
    )
    publisher = serializers.CharField(allow_null=True, help_text="Slug; null for a commercial path.")
    commercial_path = serializers.CharField(allow_null=True)
    program = serializers.CharField(allow_null=True, help_text="Of a change of eligibility.")
    first_day = serializers.DateField(help_text="From this day on; may lie ahead or behind.")
    at = serializers.DateTimeField(help_text="When it was made.")
    link = serializers.URLField(allow_null=True, help_text="Where to read what it has become.")

    def to_representation(self, instance: CatalogChange) -> dict[str, Any]:
        request = self.context.get("request")
        offering = instance.offering
        publisher = offering.publisher if offering is not None else instance.publisher
        link = None
        if offering is not None:
            link = reverse("offering-detail", kwargs={"slug": offering.slug}, request=request)
        elif publisher is not None:
            link = reverse("publisher-detail", kwargs={"slug": publisher.slug}, request=request)
        return {
            "number": instance.number,
            "kind": instance.kind,
            "what": instance.what,
            "offering": offering.slug if offering is not None else None,
            "publisher": publisher.slug if publisher is not None else None,
            "commercial_path": instance.commercial_path or None,
            "program": instance.program or None,
            "first_day": instance.first_day.isoformat(),
            "at": instance.at.isoformat(),
            "link": link,
        }


class ChangeFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    kind = Choices(field_name="kind", lookup_expr="in", choices=KIND_CHOICES)
    publisher = Words(method="of_publisher", label="Slugs: of their offerings, and decided for them.")
    offering = Words(field_name="offering__slug", lookup_expr="in", label="Slugs.")

    class Meta:
        model = CatalogChange
        fields: list[str] = []

    def of_publisher(
        self, rows: QuerySet[CatalogChange], _name: str, slugs: list[str]
    ) -> QuerySet[CatalogChange]:
        return rows.filter(of_publishers(slugs))


class ReadOn(KeysetPagination):
    """A list that is never over: next is always there, and leads behind what was read; more says whether something is there yet."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        rows = super().paginate_queryset(queryset, request, view)
        self.more = self.behind is not None
        if self.behind is None:
            asked = self.keyset.place(request.query_params.get("cursor", ""))
            last = rows[-1].number if rows else asked.values[0] if asked and not asked.backwards else 0
            self.behind = Place((last,), backwards=False)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        answer = super().get_paginated_response(data)
        answer.data["more"] = self.more
        return answer

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        listed = super().get_paginated_response_schema(schema)
        listed["required"] = [*listed["required"], "more"]
        listed["properties"] |= {
            "next": {
                "type": "string",
                "format": "uri",
                "description": "Where to read on, now or later: always there, also behind the last change.",
            },
            "more": {"type": "boolean", "description": "Whether next has changes already."},
        }
        return listed


@extend_schema_view(
    list=extend_schema(
        summary="Changes of the catalog, the oldest first",
        description=(
            "Numbers are given one after another as changes are committed: whoever has read up to one has read all before it"
            " that they may know of. Keep `next` and ask it again later; with If-None-Match an answer without news is a 304."
        ),
    ),
    retrieve=extend_schema(summary="One change", parameters=[BY_NUMBER]),
)
class Changes(Resources):
    """Of what is published for everybody; of the rest for its own publisher and the catalog's keepers."""

    queryset = CatalogChange.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = ChangeResource
    filterset_class = ChangeFilters
    pagination_class = ReadOn
    lookup_field = "number"
    keyset = ("number",)

    def get_queryset(self) -> QuerySet[CatalogChange]:
        return changes_for(self.caller)
