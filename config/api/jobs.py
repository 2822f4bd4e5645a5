"""Jobs: how far long work in the background is, for who asked for it and for who watches over it."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Role, User
from config import jobs
from config.models import Job, JobState
from config.refusals import Conflict, Forbidden, Problem
from config.rest.views import Resources

WATCH = (Role.COMP_ADMIN, Role.AUDITOR)


class JobResource(serializers.Serializer[Any]):
    """Ask again while state is waiting or running; every step that is done shows."""

    id = serializers.IntegerField()
    kind = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(JobState.choices)
    total = serializers.IntegerField(
        source="out_of", allow_null=True, help_text="Null until the first step knows."
    )
    done = serializers.IntegerField(source="so_far")
    unit = serializers.CharField(help_text="What total and done count, such as deals.")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Outcomes by name, so far.")
    error = serializers.CharField(
        help_text="Of the last step, if it failed; it is tried again until state is failed."
    )
    requested_by = serializers.CharField(
        source="requested_by.name",
        default=None,
        allow_null=True,
        help_text="Null: nobody did, it follows something.",
    )
    requested_at = serializers.DateTimeField()
    cancel_asked_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


def jobs_for(user: User) -> QuerySet[Job]:
    """What one asked for; comp admins and auditors see every job. 1 query for the roles."""
    if user.has_role(*WATCH):
        return Job.objects.all()
    return Job.objects.filter(Q(requested_by=user))


@extend_schema_view(retrieve=extend_schema(summary="How far a job is"))
class Jobs(Resources):
    """Who asked for a job sees it, and comp admins and auditors."""

    serializer_class = JobResource
    filter_backends = ()
    scope_place: ClassVar[str | None] = None  # a job belongs to the app that its kind names first

    def scope_place_of(self, job: Job) -> str:
        return job.kind

    def get_queryset(self) -> QuerySet[Job]:
        if getattr(self, "swagger_fake_view", False):
            return Job.objects.none()
        return jobs_for(self.caller).select_related("requested_by", "progress")

    @extend_schema(summary="Stop a job after its present step", request=None, responses=JobResource)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """What is done stays done. Only who asked for it may, and comp admins."""
        job = self.get_object()
        self.matched(job)
        if job.requested_by_id != self.caller.pk and not self.caller.has_role(Role.COMP_ADMIN):
            raise Forbidden(Problem("not_your_job", "Only who asked for it stops it, and comp admins."))
        if job.finished:
            raise Conflict(Problem("job_finished", "The job has finished already."))
        jobs.cancel(job_id=job.pk, at=self.at)
        return self.answer(self.get_object())
