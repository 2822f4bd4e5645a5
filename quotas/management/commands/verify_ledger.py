"""manage.py verify_ledger: the chain of seals, what closes froze, totals and every invariant of the ledger."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from quotas.services.sealing import verify


class Command(BaseCommand):
    help = (
        "Check that the ledger is what was sealed, that closes say what it says, and every invariant; the first entry that does"
        " not hold is named. Example: manage.py verify_ledger --against 3f9c…"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--against",
            metavar="DIGEST",
            default="",
            help="A digest that somebody kept, of a close's mail or a statement's page: it has to be one of the seals'.",
        )
        parser.add_argument(
            "--skip-invariants", action="store_true", help="Seals and closes alone, which is quicker."
        )
        parser.add_argument(
            "--rows",
            type=int,
            default=1,
            help="How many offending rows to show for each invariant that does not hold.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = verify(
            against=options["against"],
            invariants_too=not options["skip_invariants"],
            rows=max(1, options["rows"]),
        )
        for check in found.checks:
            self.stdout.write(f"{'holds ' if check.holds else 'BROKEN'}  {check.name}")
            for sentence in check.wrong:
                self.stdout.write(f"        {sentence}")
        broken = [check.name for check in found.checks if not check.holds]
        self.stdout.write(
            f"{found.seals:,} seals over {found.entries:,} entries, {found.unsealed:,} postings not sealed yet;"
            f" {len(found.checks)} checks, {len(broken)} broken."
        )
        if found.digest:
            self.stdout.write(f"Last seal: {found.digest}")
        if broken:
            raise CommandError(f"The ledger does not hold: {'; '.join(broken)}.")
