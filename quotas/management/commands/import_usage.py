"""manage.py import_usage: a month's usage by customer and offering, out of a CSV file."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Role, User
from config import clock
from config.refusals import Forbidden, Invalid
from quotas.services.consumption import COLUMNS, record_usage_file


class Command(BaseCommand):
    help = f"""Record what customers used, and credit what is new in it.

The file is CSV in UTF-8. Its first line names the columns, in any order:
  {", ".join(COLUMNS)}
month is written as 2026-07; customer, offering and plan are slugs; amounts are in units of the currency,
such as 1234.50. plan, billed and quantity may be left out or empty: without billed a row is an estimate.
All rows are recorded or none; the same file again changes nothing.

Example: manage.py import_usage july.csv --by admin@demo.example --dry-run"""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV file")
        parser.add_argument(
            "--source", default="metering", help="the system that it comes from; metering if left out"
        )
        parser.add_argument(
            "--by", required=True, metavar="EMAIL", help="the comp admin or service who records it"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would come of it, record nothing"
        )

    def handle(self, *_args: Any, file: Path, source: str, by: str, dry_run: bool, **_options: Any) -> None:
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        if user is None:
            raise CommandError(
                f"There is no user {by}; a comp admin ({Role.COMP_ADMIN}) or a service records usage."
            )
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as unreadable:
            raise CommandError(f"{file} cannot be read: {unreadable}.") from unreadable
        try:
            counts = record_usage_file(text=text, source=source, by=user, at=clock.now(), dry_run=dry_run)
        except Invalid as wrong:
            for problem in wrong.problems:
                _, line, *column = problem.pointer.split("/")
                self.stderr.write(f"line {line}{''.join(f', {c}' for c in column)}: {problem.message}")
            raise CommandError(f"Nothing was recorded: {len(wrong.problems)} problems.") from wrong
        except Forbidden as refused:
            raise CommandError(str(refused)) from refused
        said = ", ".join(f"{number} {name}" for name, number in counts.items())
        self.stdout.write(f"{'Would record' if dry_run else 'Recorded'} {sum(counts.values())} rows: {said}.")
