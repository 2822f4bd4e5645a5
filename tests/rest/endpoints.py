"""The smallest real endpoints on the mechanisms: a user's own notifications, as rows and as a sum."""

import threading
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.db.models import QuerySet
from django.urls import include, path
from django_filters import FilterSet, NumberFilter
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from accounts.models import Notification
from config.refusals import Conflict, Invalid, Problem
from config.rest.fields import MoneyField
from config.rest.filters import Choices, Day, Flag, Words
from config.rest.serializers import Strict, StrictModel
from config.rest.views import Computed, Resources

entered = threading.Event()
may_go_on = threading.Event()


class NoteResource(StrictModel):
    class Meta:
        model = Notification
        fields = ("id", "key", "text", "url", "created_at", "read_at")
        read_only_fields = ("created_at", "read_at")


class Line(Strict):
    amount = MoneyField()
    note = serializers.CharField(max_length=10)


class NewNote(Strict):
    key = serializers.CharField(max_length=100)
    text = serializers.CharField(max_length=300)
    lines = Line(many=True, required=False)


class Change(Strict):
    text = serializers.CharField(max_length=300)


class NoteFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    key = Words(field_name="key", lookup_expr="in")
    url = Choices(field_name="url", lookup_expr="in", choices=[("/a", "A"), ("/b", "B")])
    above = NumberFilter(field_name="id", lookup_expr="gt")
    since = Day(field_name="created_at", lookup_expr="date__gte")
    read = Flag(field_name="read_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Notification
        fields: list[str] = []


class Notes(Resources):
    serializer_class = NoteResource
    filterset_class = NoteFilters
    keyset = ("-created_at", "-id")
    orderings = {"key": ("key", "id"), "read_at": ("read_at", "id"), "-read_at": ("-read_at", "-id")}

    def get_queryset(self) -> QuerySet[Notification]:
        return Notification.objects.filter(user=self.caller)

    def create(self, request: Request) -> Response:
        asked = self.body(NewNote).validated_data
        with transaction.atomic():
            note = Notification.objects.create(
                user=self.caller, key=asked["key"], text=asked["text"], created_at=self.at
            )
            if asked["text"] == "refuse":
                raise Conflict(Problem("refused", "It was refused after the row was written."))
            if asked["text"] == "crash":
                raise ZeroDivisionError("a secret that nobody outside may read")
            if asked["text"] == "wait":
                entered.set()
                assert may_go_on.wait(20)
        return self.created(note)

    def partial_update(self, request: Request, pk: str) -> Response:
        note = self.get_object()
        self.matched(note)
        note.text = self.body(Change).validated_data["text"]
        note.save(update_fields=["text"])
        return self.answer(note)

    def destroy(self, request: Request, pk: str) -> Response:
        """Forgets to look at If-Match, as a developer might."""
        self.get_object()
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def read(self, request: Request, pk: str) -> Response:
        return self.act(_read, "note_id")


def _read(*, note_id: int, by: Any, at: Any, expected_revision: int | None) -> None:
    Notification.objects.filter(pk=note_id).update(read_at=at)


class SumQuery(Strict):
    upto = serializers.IntegerField(min_value=0, max_value=100)


class Sums(Computed):
    parameters = ("upto",)

    def get(self, request: Request) -> Response:
        return Response({"sum": sum(range(self.query(SumQuery)["upto"] + 1))})


class Failing(Computed):
    parameters = ("how",)

    def get(self, request: Request) -> Response:
        match request.query_params["how"]:
            case "invalid":
                raise Invalid(
                    Problem("shares_do_not_add_up", "They add up to 90 %.", "/shares"),
                    Problem("retired", "It is retired.", "/lines/0/offering"),
                )
            case "suspicious":
                raise SuspiciousOperation("an inner detail")
        raise ZeroDivisionError("a secret that nobody outside may read")


router = SimpleRouter()
router.register("notes", Notes, basename="note")
urlpatterns = [
    path("api/v1/sums/", Sums.as_view()),
    path("api/v1/failing/", Failing.as_view()),
    path("api/v1/", include(router.urls)),
]
handler400 = "config.rest.problems.bad_request"
handler404 = "config.rest.problems.page_not_found"
handler500 = "config.rest.problems.server_error"
