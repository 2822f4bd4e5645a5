"""manage.py credit_load: credit whole months of an empty ledger at once, as the owner; posting would do the same, slower."""

from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from config import clock
from config.refusals import Refusal
from quotas.crediting.loading import load
from quotas.models import Grain, Period


class Command(BaseCommand):
    help = (
        "Credit every approved deal that closes in these months, which have to be open and empty. Nobody else posts meanwhile."
        " Example: manage.py credit_load --from FY27-M01 --to FY27-M12"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", required=True, metavar="MONTH", help="the first month")
        parser.add_argument("--to", dest="last", required=True, metavar="MONTH", help="the last month")
        parser.add_argument("--sessions", type=int, default=2, help="how many months are built at a time")
        parser.add_argument("--reason", default="", help="kept with the posting")

    def handle(self, *_args: Any, first: str, last: str, sessions: int, reason: str, **_options: Any) -> None:
        began = monotonic()
        begin, end = self._month(first), self._month(last)
        if begin.calendar_id != end.calendar_id:
            raise CommandError(f"{first} and {last} are months of two calendars: load each by itself.")
        try:
            outcome = load(
                starts=begin.starts,
                ends=end.ends,
                calendar_id=begin.calendar_id,
                key=f"load:{first}:{last}",
                by=None,
                at=clock.now(),
                reason=reason,
                sessions=max(1, sessions),
            )
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        if outcome.replayed:
            self.stdout.write(f"{first} to {last} was loaded before.")
        else:
            # Statistics at once: until autovacuum comes round, the first pages would wait for bad plans.
            with connections["owner"].cursor() as cursor:
                cursor.execute("ANALYZE quotas_creditentry, quotas_credittotal")
        for name, count in outcome.counts.items():
            self.stdout.write(f"{count:>12,} {name}")
        self.stdout.write(f"{monotonic() - began:.1f} s")

    def _month(self, name: str) -> Period:
        month = Period.objects.filter(grain=Grain.MONTH, name=name).order_by("calendar_id").first()
        if month is None:
            raise CommandError(f"There is no month {name}.")
        return month
