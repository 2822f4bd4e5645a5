"""manage.py simulate_plan: what a draft would have moved on the deals of the past. Nothing is posted."""

from datetime import date, timedelta
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Role, User
from config import clock, formats, jobs
from config.models import JobState
from config.refusals import Refusal
from quotas.models import Measure, PlanVersion
from quotas.selectors.impact import read
from quotas.selectors.plans import OPEN_STATES
from quotas.services.simulating import start_simulation


class Command(BaseCommand):
    help = (
        "Compare a draft with what is published, over the deals of the past, month by month, and say who moves."
        " Example: manage.py simulate_plan fy27-field-plan --version 2 --from 2025-07-01 --to 2026-06-30"
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # --version is Django's own otherwise.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("plan", help="The plan's slug.")
        parser.add_argument(
            "--version", dest="number", type=int, help="The version; the newest draft if left out."
        )
        parser.add_argument(
            "--from", dest="starts", type=date.fromisoformat, help="First day, such as 2025-07-01."
        )
        parser.add_argument("--to", dest="last", type=date.fromisoformat, help="Last day, that day included.")
        parser.add_argument(
            "--movers", type=int, default=10, help="How many of the largest movers to show, both ways."
        )
        parser.add_argument("--by", help="E-mail of the comp admin who asks; the first one if left out.")

    def handle(self, *args: Any, **options: Any) -> None:
        version = self._version(options)
        try:
            job = start_simulation(
                plan_version_id=version.pk,
                starts=options["starts"],
                ends=options["last"] + timedelta(days=1) if options["last"] else None,
                by=self._by(options["by"]),
                at=clock.now(),
            )
        except Refusal as refused:
            raise CommandError("; ".join(problem.message for problem in refused.problems)) from refused
        job = jobs.work_off(job_id=job.pk, now=clock.now)
        if job.state != JobState.DONE or job.result.get("outdated"):
            raise CommandError(
                job.error or f"The preview did not finish: it is {job.get_state_display().lower()}."
            )
        how = "as if in force all the time" if job.parameters["as_if"] else "by its own dates"
        self.stdout.write(
            f"{version}, {how}, on the deals from {job.parameters['starts']} to before {job.parameters['ends']}:"
        )
        found = read(job, most=options["movers"])
        if not found.moves:
            self.stdout.write("nobody moves.")
        for each in found.measures:
            if not each.winners and not each.losers:
                continue
            write = partial(_written, each.measure)
            self.stdout.write(
                f"{each.measure.name}: {write(each.change)} all together; {each.winners:,} gain {write(each.up)},"
                f" {each.losers:,} lose {write(each.down)}"
            )
            for title, movers in each.sides:
                for mover in movers:
                    self.stdout.write(
                        f"  {title.lower()}: {mover.name}, {mover.detail}, {write(mover.change)}"
                    )
        self.stdout.write(f"{job.done} months compared, {len(job.result['moves']):,} standings move.")

    def _version(self, options: dict[str, Any]) -> PlanVersion:
        versions = PlanVersion.objects.filter(plan__slug=options["plan"]).select_related("plan")
        if options["number"] is not None:
            versions = versions.filter(number=options["number"])
        found = versions.filter(state__in=OPEN_STATES).order_by("-number").first()
        if found is None:
            raise CommandError(f"There is no such draft of {options['plan']}.")
        return found

    def _by(self, email: str | None) -> User:
        admins = User.objects.filter(
            role_grants__role=Role.COMP_ADMIN, role_grants__withdrawn_at=None, is_active=True
        )
        found = (admins.filter(email__iexact=email) if email else admins).order_by("pk").first()
        if found is None:
            raise CommandError("There is no such comp admin." if email else "There is no comp admin.")
        return found


def _written(measure: Measure, minor: int) -> str:
    currency = measure.currency
    if currency is None:
        return formats.count(minor)
    return formats.money(minor, currency.code, currency.exponent)
