"""Imports for programs: upload a source, follow its job, read the report. What is staged is proposed as a change set by a person."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.refusals import Invalid, Problem
from config.rest.filters import Choices
from config.rest.pagination import PARAMETERS
from config.rest.problems import BadQuery, TooLarge
from config.rest.representation import ExactJson
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.importers.files import LARGEST
from marketplace.models import CatalogImport, ImportSource, ImportState, RowOutcome, StagedRow
from marketplace.selectors import imports as selectors
from marketplace.services import importing

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


class ImportResource(serializers.Serializer[Any]):
    """Ask its job how far it is; when state is staged, the counts add up to rows."""

    id = serializers.IntegerField()
    source = serializers.ChoiceField(choices=ImportSource.choices)  # type: ignore[assignment]
    file_name = serializers.CharField()
    digest = serializers.CharField(help_text="SHA-256 of what was read, hexadecimal.")
    stated_on = serializers.DateField(help_text="The day for which the source is taken to speak.")
    state = serializers.ChoiceField(choices=ImportState.choices)
    problem = serializers.CharField(help_text="Why nothing was imported, where state is failed.")
    rows = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Outcome to number of rows.")
    job = serializers.IntegerField(source="job_id", allow_null=True)
    requested_by = serializers.CharField(source="requested_by.name")
    requested_at = serializers.DateTimeField()
    staged_at = serializers.DateTimeField(allow_null=True)


class StagedRowResource(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    number = serializers.IntegerField(help_text="Place in the source, from 1.")
    key = serializers.CharField()
    provider = serializers.CharField()
    outcome = serializers.ChoiceField(choices=RowOutcome.choices)
    code = serializers.CharField(help_text="Stable reason.")
    message = serializers.CharField()
    original = serializers.JSONField(help_text="The row as the source has it; what is too long is cut.")
    items = serializers.JSONField(source="staged", help_text="Change set items that would follow.")
    offering = serializers.CharField(source="offering.slug", default=None, allow_null=True)
    plan = serializers.CharField(source="plan.slug", default=None, allow_null=True)
    change_set = serializers.IntegerField(source="change_set_id", allow_null=True)


class ImportBody(Strict):
    source = serializers.ChoiceField(choices=ImportSource.choices)  # type: ignore[assignment]
    stated_on = serializers.DateField(required=False, help_text="Today if left out.")
    file = serializers.FileField(
        required=False, allow_empty_file=True, help_text="multipart/form-data: the file, at most 32 MB."
    )
    content = serializers.CharField(
        required=False, trim_whitespace=False, help_text="In JSON: the file's text, instead of a file."
    )
    file_name = serializers.CharField(required=False, max_length=200)


class ProposeBody(Strict):
    """Rows by id; else all that outcome, provider and code leave."""

    rows = serializers.ListField(
        child=serializers.IntegerField(), required=False, max_length=importing.MOST_PROPOSED
    )
    outcome = serializers.ChoiceField(choices=RowOutcome.choices, required=False)
    provider = serializers.CharField(required=False, max_length=80)
    code = serializers.CharField(required=False, max_length=60)


class ProposedResource(serializers.Serializer[Any]):
    change_set = serializers.IntegerField()
    reference = serializers.CharField()


class ImportFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    source = Choices(field_name="source", lookup_expr="in", choices=ImportSource.choices)
    state = Choices(field_name="state", lookup_expr="in", choices=ImportState.choices)

    class Meta:
        model = CatalogImport
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Imports of catalog data, the latest first"),
    retrieve=extend_schema(summary="One import", parameters=[BY_ID]),
)
class Imports(Resources):
    """What other sources say of the catalog, staged and never live by itself. For who keeps the catalog."""

    queryset = CatalogImport.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = ImportResource
    filterset_class = ImportFilters
    keyset = ("-id",)
    parser_classes = (ExactJson, MultiPartParser)
    largest_upload = LARGEST

    def get_queryset(self) -> QuerySet[CatalogImport]:
        return selectors.imports_for(self.caller).order_by()

    def known_parameters(self) -> frozenset[str]:
        if self.action == "rows":
            return PARAMETERS | {"outcome", "provider", "code"}
        return super().known_parameters()

    @extend_schema(
        summary="Read a source in the background",
        request={"multipart/form-data": ImportBody, "application/json": ImportBody},
        responses={201: ImportResource},
    )
    def create(self, request: Request) -> Response:
        given = self.body(ImportBody).validated_data
        upload: Any = given.get("file")
        if upload is not None and (upload.size or 0) > LARGEST:
            raise TooLarge
        content = upload.read() if upload is not None else None
        if content is None and "content" in given:
            content = given["content"].encode("utf-8", "surrogatepass")
        if upload is not None and "content" in given:
            raise Invalid(Problem("file_twice", "Send a file or its content, not both.", "/content"))
        run = importing.start_import(
            source=given["source"],
            content=content,
            file_name=given.get("file_name") or (upload.name if upload is not None else "") or "",
            stated_on=given.get("stated_on") or clock.today(),
            by=self.caller,
            at=self.at,
        )
        return self.created(run)

    @extend_schema(
        summary="Its rows, in the order of the source",
        parameters=[
            BY_ID,
            OpenApiParameter("outcome", OpenApiTypes.STR, enum=list(RowOutcome.values)),
            OpenApiParameter("provider", OpenApiTypes.STR),
            OpenApiParameter("code", OpenApiTypes.STR),
        ],
        responses=StagedRowResource(many=True),
    )
    @action(detail=True, methods=["get"], filter_backends=(), filterset_class=None)
    def rows(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        asked = {name: request.query_params.get(name, "") for name in ("outcome", "provider", "code")}
        if asked["outcome"] and asked["outcome"] not in RowOutcome.values:
            raise BadQuery(("outcome", "invalid_choice", f"Outcomes are {', '.join(RowOutcome.values)}."))
        self.keyset = ("number", "id")  # type: ignore[misc, assignment]  # of this action alone
        found: QuerySet[StagedRow] = (
            selectors.rows_of(run, **asked).select_related("offering", "plan").order_by()
        )
        rows = self.paginate_queryset(found)
        return self.get_paginated_response(StagedRowResource(rows, many=True).data)

    @extend_schema(
        summary="Draft a change set of its rows",
        parameters=[BY_ID],
        request=ProposeBody,
        responses={201: ProposedResource},
    )
    @action(detail=True, methods=["post"])
    def propose(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        self.matched(run)
        given = self.body(ProposeBody).validated_data
        made = importing.propose(
            run_id=run.pk,
            row_ids=given.get("rows"),
            filter={name: given[name] for name in ("outcome", "provider", "code") if name in given},
            by=self.caller,
            at=self.at,
        )
        return Response({"change_set": made.pk, "reference": made.reference}, status=201)
