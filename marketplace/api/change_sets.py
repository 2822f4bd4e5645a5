"""Change sets over REST: the same engine as in the browser. Everything that is wrong is said in one answer, each at its pointer."""

from collections.abc import Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.models import Role
from config import clock
from config.formats import iso
from config.refusals import Invalid, NotFound, Problem
from config.rest.filters import Choices, Words
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.models import ChangeItem, ChangeSet, ChangeSetState, Channel, Finding, Publisher, Severity
from marketplace.selectors.change_sets import acts_for, change_sets_for, findings_of, listed
from marketplace.services import change_sets as service
from marketplace.services.change_sets import SHAPES, Found, ItemDraft

BY_ID: Final = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)
TEXT = serializers.CharField
MOST_SHOWN: Final = 200
MOST_FINDINGS: Final = 500
PARTS: Final = ("operation", "body", "expected_revision")

ITEMS_SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "maxItems": service.MOST_ITEMS,
    "items": {
        "oneOf": [
            {
                "type": "object",
                "required": ["operation", "body"],
                "additionalProperties": False,
                "properties": {
                    "operation": {"type": "string", "enum": [str(operation)]},
                    "body": dict(shape.schema),
                    "expected_revision": {
                        "type": ["integer", "null"],
                        "description": "Of the offering, when the change was written; it must still be that.",
                    },
                },
            }
            for operation, shape in SHAPES.items()
        ]
    },
}


@extend_schema_field(ITEMS_SCHEMA)
class Items(serializers.Field[list[ItemDraft], Any, Any, Any]):
    """Reads a list of items as they are: the engine judges them, so that its answer holds every error at once."""

    default_error_messages = {"not_a_list": "Write a list of items."}

    def to_internal_value(self, data: Any) -> list[ItemDraft]:
        if not isinstance(data, list):
            self.fail("not_a_list")
        drafts = []
        wrong: Any = {}
        for place, item in enumerate(data):
            if not isinstance(item, Mapping):
                wrong[place] = [ErrorDetail("Write an object with operation and body.", "invalid")]
                continue
            if unknown := [name for name in item if name not in PARTS]:
                wrong[place] = {
                    str(name): [ErrorDetail("This member is not known here.", "unknown_field")]
                    for name in unknown
                }
            drafts.append(
                ItemDraft(item.get("operation", ""), item.get("body", {}), item.get("expected_revision"))
            )
        if wrong:
            raise serializers.ValidationError(wrong)
        return drafts

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"type": "object", "additionalProperties": True})
class AsItWas(serializers.JSONField):
    """Said of itself: a generated "null or anything" holds twice of null, and so not at all."""


class ItemResource(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    operation = TEXT()
    entity = TEXT(help_text="What it holds while the set is under review.")
    body = serializers.JSONField()
    expected_revision = serializers.IntegerField(allow_null=True)
    before = AsItWas(allow_null=True, help_text="How its fields read when it was applied; null before.")


class FindingResource(serializers.Serializer[Any]):
    pointer = TEXT(help_text="JSON pointer into the set, such as /items/0/body/name.")
    code = TEXT()
    message = TEXT()
    severity = serializers.ChoiceField(choices=Severity.choices)
    found_by = serializers.ChoiceField(choices=["validation", "reviewer"])
    at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)


class ChangeSetListed(serializers.Serializer[Any]):
    """A change set without its items."""

    id = serializers.IntegerField()
    reference = TEXT()
    publisher = TEXT(allow_null=True, help_text="Null where the operator changes several.")
    title = TEXT()
    note = TEXT()
    channel = serializers.ChoiceField(choices=Channel.choices)
    source = TEXT()  # type: ignore[assignment]  # a field called source
    state = serializers.ChoiceField(choices=ChangeSetState.choices)
    revision = serializers.IntegerField()
    made_by = TEXT()
    made_at = serializers.DateTimeField()
    submitted_at = serializers.DateTimeField(allow_null=True)
    reviewed_at = serializers.DateTimeField(allow_null=True)
    review_note = TEXT()
    apply_on = serializers.DateField(allow_null=True)
    applied_at = serializers.DateTimeField(allow_null=True)
    problem = TEXT(help_text="Why a scheduled set could not be applied when its day came.")
    item_count = serializers.IntegerField()

    def to_representation(self, instance: ChangeSet) -> dict[str, Any]:
        return listed_body(instance)


class ChangeSetResource(ChangeSetListed):
    items = ItemResource(
        many=True, allow_null=True, help_text=f"Null where there are more than {MOST_SHOWN}: ask items_url."
    )
    items_url = TEXT()
    findings = FindingResource(many=True, help_text=f"The first {MOST_FINDINGS}.")


def listed_body(change_set: ChangeSet) -> dict[str, Any]:
    return {
        "id": change_set.pk,
        "reference": change_set.reference,
        "publisher": change_set.publisher.slug if change_set.publisher is not None else None,
        "title": change_set.title,
        "note": change_set.note,
        "channel": change_set.channel,
        "source": change_set.source,
        "state": change_set.state,
        "revision": change_set.revision,
        "made_by": change_set.made_by.name,
        "made_at": change_set.made_at.isoformat(),
        "submitted_at": iso(change_set.submitted_at),
        "reviewed_at": iso(change_set.reviewed_at),
        "review_note": change_set.review_note,
        "apply_on": iso(change_set.apply_on),
        "applied_at": iso(change_set.applied_at),
        "problem": change_set.problem,
        "item_count": change_set.item_count,  # type: ignore[attr-defined]  # of selectors.listed
    }


def item_body(item: ChangeItem) -> dict[str, Any]:
    return {
        "position": item.position,
        "operation": item.operation,
        "entity": item.entity,
        "body": item.body,
        "expected_revision": item.expected_revision,
        "before": item.before,
    }


def finding_body(finding: Finding) -> dict[str, Any]:
    return {
        "pointer": finding.pointer,
        "code": finding.code,
        "message": finding.message,
        "severity": finding.severity,
        "found_by": "validation" if finding.by_id is None else "reviewer",
        "at": finding.at.isoformat(),
        "resolved_at": iso(finding.resolved_at),
    }


class ChangeSetBody(Strict):
    title = serializers.CharField(max_length=200)
    note = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)
    apply_on = serializers.DateField(required=False, default=None, allow_null=True)
    items = Items(required=False, default=list)


class NewChangeSet(ChangeSetBody):
    publisher = serializers.SlugField(
        required=False,
        default="",
        allow_blank=True,
        max_length=60,
        help_text="Whose catalog it changes: of a publisher's own key always its own.",
    )


class ChangedSet(Strict):
    title = serializers.CharField(max_length=200, required=False)
    note = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    apply_on = serializers.DateField(required=False, allow_null=True)
    items = Items(required=False)


class DryRun(Strict):
    items = Items()
    publisher = serializers.SlugField(required=False, default="", allow_blank=True, max_length=60)
    apply_on = serializers.DateField(required=False, default=None, allow_null=True)


class DryRunFinding(serializers.Serializer[Any]):
    pointer = TEXT()
    code = TEXT()
    message = TEXT()
    severity = serializers.ChoiceField(choices=Severity.choices)


class DryRunAnswer(serializers.Serializer[Any]):
    valid = serializers.BooleanField(help_text="No finding is an error.")
    findings = DryRunFinding(many=True)


class ReviewFinding(Strict):
    pointer = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    message = serializers.CharField(max_length=500)
    severity = serializers.ChoiceField(choices=Severity.choices, required=False, default=Severity.ERROR)


class NoteBody(Strict):
    note = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)


class ReviewBody(NoteBody):
    findings = ReviewFinding(many=True, required=False, default=list)


class ApproveBody(NoteBody):
    apply_on = serializers.DateField(
        required=False, default=None, allow_null=True, help_text="Without it the day wished, or at once."
    )


class ChangeSetFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    state = Choices(field_name="state", lookup_expr="in", choices=ChangeSetState.choices)
    channel = Choices(field_name="channel", lookup_expr="in", choices=Channel.choices)
    publisher = Words(field_name="publisher__slug", lookup_expr="in", label="Slugs.")

    class Meta:
        model = ChangeSet
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Change sets that you may see", responses=ChangeSetListed(many=True)),
    retrieve=extend_schema(summary="One change set with its items and findings", parameters=[BY_ID]),
)
class ChangeSets(Resources):
    """What is to change in the catalog, together or not at all. A second person approves, whoever's it is."""

    queryset = ChangeSet.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = ChangeSetResource
    filterset_class = ChangeSetFilters
    keyset = ("-id",)
    orderings = {"-id": ("-id",), "id": ("id",)}

    def get_queryset(self) -> QuerySet[ChangeSet]:
        return listed(change_sets_for(self.caller))

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([listed_body(row) for row in rows])

    def represent(self, row: Any) -> dict[str, Any]:
        """2 queries more."""
        few = row.item_count <= MOST_SHOWN
        return {
            **listed_body(row),
            "items": [item_body(item) for item in row.items.order_by("position")] if few else None,
            "items_url": str(reverse("change-set-items", kwargs={"pk": row.pk}, request=self.request)),
            "findings": [finding_body(finding) for finding in findings_of(row)[:MOST_FINDINGS]],
        }

    @extend_schema(
        summary="Write a change set as a draft",
        description="What is wrong with its business is kept as findings; submit refuses while one is an error.",
        request=NewChangeSet,
        responses={201: ChangeSetResource},
    )
    def create(self, request: Request) -> Response:
        self._must_write()
        read = self.body(NewChangeSet).validated_data
        made = service.draft_change_set(
            title=read["title"],
            note=read["note"],
            apply_on=read["apply_on"],
            items=read["items"],
            publisher_id=self._publisher(read["publisher"]),
            channel=Channel.API,
            by=self.caller,
            at=self.at,
        )
        return self.created(made)

    @extend_schema(
        summary="Change a draft, or a set to which changes are requested",
        description="Members that are sent replace those that were there; items as a whole. Needs If-Match.",
        request=ChangedSet,
        responses=ChangeSetResource,
        parameters=[BY_ID],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        revision = self.matched(row)
        self._must_write()
        read = self.body(ChangedSet).validated_data
        service_of = service.save_items if "items" in read else service.describe
        service_of(change_set_id=row.pk, by=self.caller, at=self.at, expected_revision=revision, **read)
        return self.answer(self._again(row))

    @extend_schema(
        summary="Try a change set: everything that would be found, and nothing is kept",
        request=DryRun,
        responses=DryRunAnswer,
    )
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        self._must_write()
        read = self.body(DryRun).validated_data
        own = None if self.caller.has_role(Role.CATALOG_MANAGER) else acts_for(self.caller)
        today = clock.today()
        found = service.validate(
            items=read["items"],
            publisher_id=own or self._publisher(read["publisher"]),
            on=max(today, read["apply_on"] or today),
        )
        return Response(
            {
                "valid": not any(one.stops for one in found),
                "findings": [
                    {
                        "pointer": one.pointer,
                        "code": one.code,
                        "message": one.message,
                        "severity": str(one.severity),
                    }
                    for one in found
                ],
            }
        )

    @extend_schema(
        summary="Hand it in for review",
        description="It then holds what it changes: a second set on the same offering is refused with 409 and told who holds it.",
        parameters=[BY_ID],
        request=None,
        responses=ChangeSetResource,
    )
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, pk: str) -> Response:
        return self._act(service.submit)

    @extend_schema(
        summary="Begin to review it", parameters=[BY_ID], request=None, responses=ChangeSetResource
    )
    @action(detail=True, methods=["post"], url_path="take-up", url_name="take-up")
    def take_up(self, request: Request, pk: str) -> Response:
        return self._act(service.take_up)

    @extend_schema(
        summary="Hand it back to be mended, with findings at their fields",
        parameters=[BY_ID],
        request=ReviewBody,
        responses=ChangeSetResource,
    )
    @action(detail=True, methods=["post"], url_path="request-changes", url_name="request-changes")
    def request_changes(self, request: Request, pk: str) -> Response:
        read = self.body(ReviewBody).validated_data
        findings = [Found(f["pointer"], "reviewer", f["message"], f["severity"]) for f in read["findings"]]
        return self._act(service.request_changes, note=read["note"], findings=findings)

    @extend_schema(
        summary="Approve it: applied at once, or on a day that lies ahead",
        parameters=[BY_ID],
        request=ApproveBody,
        responses=ChangeSetResource,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        read = self.body(ApproveBody).validated_data
        return self._act(service.approve, note=read["note"], apply_on=read["apply_on"])

    @extend_schema(
        summary="Turn it down for good; needs a reason",
        parameters=[BY_ID],
        request=NoteBody,
        responses=ChangeSetResource,
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self._act(service.reject, note=self.body(NoteBody).validated_data["note"])

    @extend_schema(
        summary="Take it back, as long as it is not applied",
        parameters=[BY_ID],
        request=NoteBody,
        responses=ChangeSetResource,
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        return self._act(service.withdraw, note=self.body(NoteBody).validated_data["note"])

    def _act(self, step: Any, **more: Any) -> Response:
        return self.act(step, "change_set_id", **more)

    def _again(self, row: ChangeSet) -> ChangeSet:
        return get_object_or_404(self.get_queryset(), pk=row.pk)

    def _must_write(self) -> None:
        """Others learn nothing of change sets, not even that they may not write them."""
        if not self.caller.has_role(Role.CATALOG_MANAGER) and acts_for(self.caller) is None:
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def _publisher(self, slug: str) -> int | None:
        """Raises Invalid for one that there is not, or that is not the caller's: both look the same."""
        if not slug:
            return None
        found = Publisher.objects.filter(slug=slug).values_list("pk", flat=True).first()
        if not self.caller.has_role(Role.CATALOG_MANAGER) and found != acts_for(self.caller):
            found = None
        if found is None:
            raise Invalid(Problem("unknown_publisher", "There is no such publisher.", "/publisher"))
        return found


class ChangeSetItems(Resources):
    """The items of one change set, in their order."""

    queryset = ChangeItem.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = ItemResource
    keyset = ("position", "id")

    def get_queryset(self) -> QuerySet[ChangeItem]:
        seen = get_object_or_404(change_sets_for(self.caller), pk=self.kwargs["pk"])
        return ChangeItem.objects.filter(change_set=seen)

    @extend_schema(summary="Items of one change set", parameters=[BY_ID], responses=ItemResource(many=True))
    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([item_body(row) for row in rows])
