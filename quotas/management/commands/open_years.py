"""manage.py open_years: fiscal years of a calendar that is there, or of a new one for a business unit of its own."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from config import clock
from config.refusals import Refusal
from quotas.models import FiscalCalendar, Grain, PeriodState
from quotas.services.calendars import NewCalendar, Opened, set_up


class Command(BaseCommand):
    help = """Open fiscal years with their halves, quarters and months, so that deals of these days can be credited.

A year is named after the one in which it ends: with years that begin in July, 2018 is 1 July 2017 to 30 June 2018.
Credit of other years is not touched. All is opened or nothing.

Examples:
  manage.py open_years 2018 2019 2020 --by admin@demo.example
  manage.py open_years 2017 --calendar CY --new "Calendar years" --first-month 1 --business-unit "Maven Computers" \\
      --plan --by admin@demo.example --checked-by checker@demo.example"""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("years", type=int, nargs="+", metavar="YEAR", help="such as 2017")
        parser.add_argument(
            "--calendar",
            metavar="PREFIX",
            help="what its periods' names begin with; the operator's if left out",
        )
        parser.add_argument("--new", metavar="NAME", help="make the calendar, under this name")
        parser.add_argument(
            "--first-month",
            type=int,
            default=1,
            metavar="1-12",
            help="of a new one: when its years begin; 1 if left out",
        )
        parser.add_argument(
            "--time-zone",
            metavar="ZONE",
            help="of a new one, such as Europe/Berlin; the operator's if left out",
        )
        parser.add_argument(
            "--business-unit",
            default="",
            metavar="NAME",
            help="of a new one: a team at the top that sells by it",
        )
        parser.add_argument(
            "--future",
            action="store_true",
            help="months begin as future instead of open and take no credit yet",
        )
        parser.add_argument(
            "--plan",
            action="store_true",
            help="write a plan for these years: every eligible line at 100 %%, for everybody",
        )
        parser.add_argument("--by", required=True, metavar="EMAIL", help="the comp admin who opens them")
        parser.add_argument(
            "--checked-by",
            metavar="EMAIL",
            help="another comp admin, who publishes the plan; else it waits in review",
        )

    def handle(self, *_args: Any, years: list[int], by: str, **options: Any) -> None:
        prefix = (options["calendar"] or "").upper()
        new = None
        if options["new"]:
            new = NewCalendar(
                name=options["new"],
                prefix=prefix,
                first_month=options["first_month"],
                time_zone=options["time_zone"] or settings.TIME_ZONE,
                business_unit=options["business_unit"],
            )
        elif options["business_unit"] or options["time_zone"]:
            raise CommandError("--business-unit and --time-zone are of a new calendar: name it with --new.")
        if options["checked_by"] and not options["plan"]:
            raise CommandError("--checked-by publishes a plan: ask for one with --plan.")
        try:
            made = set_up(
                years=years,
                calendar=None if new or not prefix else self._calendar(prefix),
                new=new,
                state=PeriodState.FUTURE if options["future"] else PeriodState.OPEN,
                plan=options["plan"],
                by=self._user(by),
                checked_by=self._user(options["checked_by"]) if options["checked_by"] else None,
                at=clock.now(),
            )
        except Refusal as refused:
            raise CommandError("; ".join(problem.message for problem in refused.problems)) from refused
        self._say(made, new is not None)

    def _say(self, made: Opened, is_new: bool) -> None:
        if is_new:
            self.stdout.write(
                f"{made.calendar.name}: a new calendar, {made.calendar.prefix}, {made.calendar.time_zone}."
            )
        if made.unit is not None:
            self.stdout.write(f"{made.unit.name}: a business unit at the top, team {made.unit.slug}.")
        for year in made.periods:
            if year.grain == Grain.YEAR:
                months = [p for p in made.periods if p.grain == Grain.MONTH and p.year_id == year.pk]
                self.stdout.write(
                    f"{year.name}: {year.starts} to before {year.ends}, {len(months)} months, {months[0].state}."
                )
        if made.plan is not None:
            self.stdout.write(
                f"{made.plan}: {made.plan.get_state_display().lower()}, every eligible line at 100 %."
            )

    def _calendar(self, prefix: str) -> FiscalCalendar:
        found = FiscalCalendar.objects.filter(prefix=prefix).first()
        if found is None:
            there = ", ".join(FiscalCalendar.objects.order_by("pk").values_list("prefix", flat=True))
            raise CommandError(
                f"There is no calendar {prefix}, only {there or 'none'}: make it with --new NAME."
            )
        return found

    def _user(self, email: str) -> User:
        found = User.objects.filter(email__iexact=email, is_active=True).first()
        if found is None:
            raise CommandError(f"There is no user {email}.")
        return found
