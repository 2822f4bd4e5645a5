"""manage.py recredit --from 2026-07-01 --to 2026-08-01 --reason "Rates were late" [--dry-run]"""

import time
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import clock, jobs
from config.models import Job, JobState
from config.refusals import Refusal
from quotas.crediting import engine
from quotas.selectors.recredits import told
from quotas.services.recredit import Cause, start_run


class Command(BaseCommand):
    help = (
        "Recredit the deals of a span of credit dates: only differences are posted. Prints counts by reason. Example: "
        'manage.py recredit --from 2026-07-01 --to 2026-08-01 --reason "Rates were late" --dry-run'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", dest="starts", type=date.fromisoformat, required=True, help="First credit date."
        )
        parser.add_argument(
            "--to",
            dest="ends",
            type=date.fromisoformat,
            required=True,
            help="First credit date that is no longer in it.",
        )
        parser.add_argument("--reason", default="Recredited by command", help="Kept with every posting.")
        parser.add_argument(
            "--dry-run", action="store_true", help="Tell what a run would write, and write nothing."
        )

    def handle(
        self, *args: Any, starts: date, ends: date, reason: str, dry_run: bool, **options: Any
    ) -> None:
        if ends <= starts:
            raise CommandError("--to has to be after --from.")
        if dry_run:
            self._print(dict(engine.preview(engine.BySpan(starts, ends)).counts))
            self.stdout.write("Nothing was written.")
            return
        try:
            job = start_run(
                starts=starts,
                ends=ends,
                cause=Cause.MANUAL,
                what="Started by command.",
                reason=reason,
                by=None,
                at=clock.now(),
            )
        except Refusal as refused:
            raise CommandError(str(refused)) from refused
        while not job.finished:  # a worker may have taken it, or a step may have to be tried again
            job = jobs.work_off(job_id=job.pk, now=clock.now)
            if not job.finished:
                time.sleep(0.5)
        self._print(job.counts)
        self._end(job)

    def _end(self, job: Job) -> None:
        if job.state != JobState.DONE:
            raise CommandError(f"Run {job.pk}: {job.get_state_display().lower()}. {job.error}".rstrip())
        self.stdout.write(f"Run {job.pk}: {job.done} {job.unit}.")

    def _print(self, counts: dict[str, int]) -> None:
        for line in told(counts):
            self.stdout.write(f"{line.name:24}{line.count:>12,}  {line.detail}")
