"""manage.py verify_ledger: recompute the totals and check every invariant of the ledger."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from quotas.crediting.invariants import INVARIANTS, broken
from quotas.models import CreditEntry


class Command(BaseCommand):
    help = "Check the ledger: totals against entries both ways, reversals, periods, reasons. Example: manage.py verify_ledger --rows 10"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rows",
            type=int,
            default=1,
            help="How many offending rows to show for each invariant that does not hold.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = broken(first=options["rows"])
        for name in INVARIANTS:
            self.stdout.write(f"{'BROKEN' if name in found else 'holds '}  {name}")
            for row in found.get(name, []):
                self.stdout.write(f"        {', '.join(str(value) for value in row)}")
        self.stdout.write(
            f"{CreditEntry.objects.count():,} entries, {len(INVARIANTS)} invariants checked, {len(found)} broken."
        )
        if found:
            raise CommandError(f"The ledger does not hold: {'; '.join(found)}.")
