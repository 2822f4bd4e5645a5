"""Imports of sales data for programs: upload a file with its map, check it, carry it out, read what became of each row. Jobs tell how far one is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from config.refusals import Forbidden, Invalid, NotFound, Problem
from config.rest.filters import Choices
from config.rest.pagination import PARAMETERS
from config.rest.problems import BadQuery
from config.rest.representation import ExactJson
from config.rest.serializers import Strict
from config.rest.views import Resources
from quotas.api.resources import Out
from quotas.api.viewer import Seen
from quotas.models import ImportKind, ImportMap, ImportOutcome, ImportRow, SalesImport, SalesImportState
from quotas.selectors import imports as selectors
from quotas.services import importing

OPTIONS: Final = ("create_missing", "eligibility_reason", "all_or_nothing", "cancel_gone", "policy")


class SalesImportResource(Out):
    """One file. When state is checked or done, the counts by outcome add up to rows."""

    id = serializers.IntegerField()
    reference = serializers.CharField()
    kind = serializers.ChoiceField(ImportKind.choices)
    file_name = serializers.CharField()
    bytes = serializers.IntegerField()
    digest = serializers.CharField(help_text="SHA-256 of the file, hexadecimal.")
    state = serializers.ChoiceField(SalesImportState.choices)
    problem = serializers.CharField(help_text="Why nothing was imported, where that is so.")
    map_name = serializers.CharField()
    map_text = serializers.CharField(
        help_text="TOML: what was guessed, or what was sent. A question mark stands where a person has to choose."
    )
    questions = serializers.SerializerMethodField(help_text="What the guess leaves open.")
    columns = serializers.SerializerMethodField(help_text="Of the file, with their first values.")
    options = serializers.JSONField()
    rows = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Outcome to number of rows.")
    reasons = serializers.DictField(
        child=serializers.IntegerField(), help_text="Code of a refusal or omission to number of rows."
    )
    preview = serializers.JSONField(
        help_text="Of the last reading: ten rows as they would become deals, the estimated credit, what would be made."
    )
    job = serializers.SerializerMethodField(help_text="Address of its progress.")
    requested_by = serializers.CharField(source="requested_by.name")
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field({"type": "array", "items": {"type": "object"}})
    def get_questions(self, run: SalesImport) -> list[Any]:
        return list(run.look.get("questions", []))

    @extend_schema_field({"type": "array", "items": {"type": "object"}})
    def get_columns(self, run: SalesImport) -> list[Any]:
        return list(run.look.get("columns", []))

    def get_job(self, run: SalesImport) -> str | None:
        if run.job_id is None:
            return None
        return str(reverse("job-detail", kwargs={"pk": run.job_id}, request=self.context.get("request")))


class ReportRowResource(Out):
    """A row that was refused, or left out for a reason that the map does not give."""

    line = serializers.IntegerField(help_text="Where it begins in the file; the head is line 1.")
    external_id = serializers.CharField()
    outcome = serializers.ChoiceField(ImportOutcome.choices)
    code = serializers.CharField(help_text="Stable reason.")
    message = serializers.CharField()
    column = serializers.CharField(help_text="The column that is to blame, where one is.")
    cells = serializers.ListField(
        child=serializers.CharField(), help_text="The row as it stands in the file."
    )


class HowToRead(Strict):
    """A saved map by its name, or a map as TOML; neither: what was guessed, or what was set before."""

    map = serializers.CharField(required=False, max_length=80, help_text="Name of a saved map.")
    map_text = serializers.CharField(
        required=False, max_length=200_000, trim_whitespace=False, help_text="The map as TOML."
    )


class NewSalesImport(HowToRead):
    kind = serializers.ChoiceField(ImportKind.choices)
    file = serializers.FileField(
        required=False,
        allow_empty_file=True,
        help_text="multipart/form-data: the file, at most 256 MB; larger ones by the command line.",
    )
    content = serializers.CharField(
        required=False, trim_whitespace=False, help_text="In JSON: the file's text, instead of a file."
    )
    file_name = serializers.CharField(required=False, max_length=200)


class SalesImportCheck(HowToRead):
    """What to check the file with."""

    create_missing = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Make reps, teams, accounts, offerings and publishers that are not known.",
    )
    eligibility_reason = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=500,
        help_text="Why offerings that are made count toward quota.",
    )
    all_or_nothing = serializers.BooleanField(
        required=False, default=False, help_text="One refused row keeps the whole file out."
    )
    cancel_gone = serializers.BooleanField(
        required=False, default=False, help_text="The file is all its source has: what is gone is cancelled."
    )
    policy = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=80,
        help_text="The straight-through policy that approves.",
    )


class SalesImportFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    kind = Choices(field_name="kind", lookup_expr="in", choices=ImportKind.choices)
    state = Choices(field_name="state", lookup_expr="in", choices=SalesImportState.choices)

    class Meta:
        model = SalesImport
        fields: list[str] = []


@contextmanager
def _pointing(given: dict[str, Any]) -> Iterator[None]:
    """A place in a map is none in the body: the pointer says which member the map came by, the sentence where in it."""
    sent = next((f"/{name}" for name in ("map", "map_text") if name in given), "")
    try:
        yield
    except Invalid as wrong:
        raise Invalid(*(_in_body(problem, sent) for problem in wrong.problems)) from wrong


def _in_body(problem: Problem, sent: str) -> Problem:
    if not problem.pointer or problem.pointer.startswith("/"):
        return problem
    return replace(problem, pointer=sent, message=f"{problem.pointer}: {problem.message}")


@extend_schema_view(
    list=extend_schema(summary="Imports of sales data, the latest first"),
    retrieve=extend_schema(summary="One import"),
)
class SalesImports(Seen, Resources):
    """Comp admins import every kind, managers deals of their teams; auditors read."""

    serializer_class = SalesImportResource
    filterset_class = SalesImportFilters
    keyset = ("-id",)
    parser_classes = (ExactJson, MultiPartParser)
    largest_upload = importing.LARGEST

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not importing.may_read_imports(self.caller):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[SalesImport]:
        return SalesImport.objects.none() if self.described else selectors.imports_for(self.caller).order_by()

    def known_parameters(self) -> frozenset[str]:
        if self.action == "report":
            return PARAMETERS | {"outcome", "code"}
        return super().known_parameters()

    @extend_schema(
        summary="Upload a file",
        request={"multipart/form-data": NewSalesImport, "application/json": NewSalesImport},
        responses={201: SalesImportResource},
    )
    def create(self, request: Request) -> Response:
        """It is looked at and its map guessed, or taken as sent. Nothing is imported yet."""
        if not selectors.kinds_of(self.caller):
            raise Forbidden.of(
                "may_not_import", "Comp admins import; managers import the deals of their teams."
            )
        given = self.body(NewSalesImport).validated_data
        upload: Any = given.get("file")
        if (upload is None) == ("content" not in given):
            raise Invalid(Problem("one_file", "Send either a file or its content.", "/file"))
        text = self._map(given, given["kind"])
        with transaction.atomic():  # a file whose map does not fit is not kept
            run = importing.upload(
                kind=given["kind"],
                file_name=given.get("file_name") or (upload.name if upload is not None else "") or "file.csv",
                pieces=upload.chunks()
                if upload is not None
                else [given["content"].encode("utf-8", "replace")],
                by=self.caller,
                at=self.at,
            )
            if text is not None:
                self._set(run, text, given)
        return self.created(run)

    def _set(self, run: SalesImport, text: str, given: dict[str, Any]) -> None:
        with _pointing(given):
            importing.set_map(run_id=run.pk, text=text, name=given.get("map", ""), by=self.caller, at=self.at)

    @staticmethod
    def _map(given: dict[str, Any], kind: str) -> str | None:
        """The text of the map that was sent or named; None where neither was."""
        if "map" in given and "map_text" in given:
            raise Invalid(Problem("map_twice", "Name a map or send one, not both.", "/map_text"))
        if "map" not in given:
            return given.get("map_text")
        saved = ImportMap.objects.filter(name=given["map"], kind=kind).first()
        if saved is None:
            raise Invalid(
                Problem("unknown_map", f"There is no map called {given['map']} for {kind}.", "/map")
            )
        return saved.text

    @extend_schema(
        summary="Check what would become of it", request=SalesImportCheck, responses=SalesImportResource
    )
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: str) -> Response:
        """In the background: reads every row, writes nothing. Ask the job; then counts, reasons and preview are there."""
        run = self.get_object()
        self.matched(run)
        given = self.body(SalesImportCheck).validated_data
        text = self._map(given, run.kind)
        options = importing.Options(**{name: given[name] for name in OPTIONS})
        with transaction.atomic():
            if text is not None:
                self._set(run, text, given)
            with _pointing(given):
                importing.check(run_id=run.pk, options=options, by=self.caller, at=self.at)
        return self.answer(self.get_queryset().get(pk=run.pk))

    @extend_schema(summary="Import what was checked", request=None, responses=SalesImportResource)
    @action(detail=True, methods=["post"], url_path="carry-out")
    def carry_out(self, request: Request, pk: str) -> Response:
        """In the background, with the map and the options of the check."""
        run = self.get_object()
        self.matched(run)
        importing.carry_out(run_id=run.pk, by=self.caller, at=self.at)
        return self.answer(self.get_queryset().get(pk=run.pk))

    @extend_schema(
        summary="Rows that were refused or left out, in the order of the file",
        parameters=[
            OpenApiParameter("outcome", OpenApiTypes.STR, enum=list(ImportOutcome.values)),
            OpenApiParameter("code", OpenApiTypes.STR),
        ],
        responses=ReportRowResource(many=True),
    )
    @action(detail=True, methods=["get"], filter_backends=(), filterset_class=None)
    def report(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        asked = {name: request.query_params.get(name, "") for name in ("outcome", "code")}
        if asked["outcome"] and asked["outcome"] not in ImportOutcome.values:
            raise BadQuery(("outcome", "invalid_choice", f"Outcomes are {', '.join(ImportOutcome.values)}."))
        self.keyset = ("line", "id")  # type: ignore[misc, assignment]  # of this action alone
        found: QuerySet[ImportRow] = ImportRow.objects.filter(
            run=run, **{name: value for name, value in asked.items() if value}
        )
        rows = self.paginate_queryset(found)
        return self.get_paginated_response(ReportRowResource(rows, many=True).data)
