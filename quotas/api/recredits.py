"""Recredit runs: started, listed, looked at. How far one is, and stopping it, is the job of the same id."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.models import Role
from config.models import Job, JobState
from config.refusals import NotFound
from config.rest.serializers import Strict
from config.rest.views import Resources
from quotas.api.resources import Out
from quotas.api.viewer import Seen
from quotas.selectors import recredits
from quotas.services.recredit import Cause, start_run

MOST_DEALS = 10_000


class RunResource(Out):
    """One run: what changed, which credit dates it goes over, and what it came to by reason."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(JobState.choices)
    cause = serializers.ChoiceField(Cause.choices, source="parameters.cause")
    what = serializers.CharField(source="parameters.what")
    reason = serializers.CharField(source="parameters.reason")
    starts = serializers.DateField(source="parameters.starts", help_text="First credit date.")
    ends = serializers.DateField(
        source="parameters.ends", help_text="First credit date that is no longer in it."
    )
    named_deals = serializers.SerializerMethodField(
        help_text="How many deals it names; null is all of the span."
    )
    total = serializers.IntegerField(allow_null=True, help_text="Deals; null until the first step knows.")
    done = serializers.IntegerField()
    counts = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="credited, reversed and unchanged entries, posted_to_open_period of them, and what earns nothing by reason.",
    )
    error = serializers.CharField()
    requested_by = serializers.CharField(source="requested_by.name", default=None, allow_null=True)
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    job = serializers.SerializerMethodField(help_text="Address of its progress.")

    def get_named_deals(self, job: Job) -> int | None:
        deals = job.parameters["deals"]
        return None if deals is None else len(deals)

    def get_job(self, job: Job) -> str:
        return str(reverse("job-detail", kwargs={"pk": job.pk}, request=self.context.get("request")))


class NewRun(Strict):
    """What to recredit by hand."""

    starts = serializers.DateField(help_text="First credit date.")
    ends = serializers.DateField(help_text="First credit date that is no longer in it.")
    reason = serializers.CharField(max_length=500, help_text="Kept with every posting of the run.")
    deals = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        allow_null=True,
        default=None,
        allow_empty=False,
        max_length=MOST_DEALS,
        help_text="Ids of deals, to recredit these alone. Ids of no deal are passed over.",
    )


@extend_schema_view(
    list=extend_schema(summary="Recredit runs, the latest first"),
    retrieve=extend_schema(summary="One recredit run"),
)
class Recredits(Seen, Resources):
    """For comp admins; auditors read."""

    serializer_class = RunResource
    filter_backends = ()
    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(Role.COMP_ADMIN, Role.AUDITOR):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[Job]:
        return Job.objects.none() if self.described else recredits.runs().order_by()

    @extend_schema(summary="Recredit a span of credit dates", request=NewRun, responses={201: RunResource})
    def create(self, request: Request) -> Response:
        """Posts only differences, in the background: a second run on unchanged facts writes nothing."""
        given = self.body(NewRun).validated_data
        return self.created(
            start_run(
                starts=given["starts"],
                ends=given["ends"],
                cause=Cause.MANUAL,
                what="Started by hand.",
                reason=given["reason"],
                by=self.caller,
                at=self.at,
                deals=given["deals"],
            )
        )
