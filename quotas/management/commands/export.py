"""manage.py export: lists of the whole organisation as files in a directory."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import clock
from config.exports import FORMATS, Format, TooManyRows
from config.refusals import Invalid
from quotas.services.exporting import DATASETS, Manifest, Since, export_night, export_to


class Command(BaseCommand):
    help = f"""Write lists of the whole organisation into a directory, one file each, all of one state of the database.

Datasets, all of them where none is named:
{chr(10).join(f"  {each.slug:15} {each.about}" for each in DATASETS)}

Files are called deals-2026-08-14.csv; one of the same name is replaced once the new one is whole. A manifest beside them
says how many rows each has and its SHA-256. With --night it does what the scheduled night does: nothing where the day's
files are there already, of the ledger what was posted since the night before, and what is older than
PARITY_EXPORT_DAYS is cleared away.

Example: manage.py export deals ledger --to out --from 2026-07-01 --to-before 2026-08-01"""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("datasets", nargs="*", metavar="DATASET", help="see above")
        parser.add_argument(
            "--to", required=True, type=Path, metavar="DIRECTORY", help="where; made if need be"
        )
        parser.add_argument("--format", choices=FORMATS, default="csv", dest="form", help="csv if left out")
        parser.add_argument(
            "--from",
            type=date.fromisoformat,
            metavar="DAY",
            dest="first",
            help="first day of postings of the ledger",
        )
        parser.add_argument(
            "--to-before",
            type=date.fromisoformat,
            metavar="DAY",
            help="first day that is not in the ledger any more",
        )
        parser.add_argument("--night", action="store_true", help="what the scheduled night does")

    def handle(
        self,
        *_args: Any,
        datasets: list[str],
        to: Path,
        form: Format,
        first: date | None,
        to_before: date | None,
        night: bool,
        **_options: Any,
    ) -> None:
        at = clock.now()
        if night and (datasets or first or to_before):
            raise CommandError("--night writes everything: name no dataset and no days with it.")
        if not night and settings.EXPORT_DIR and to.resolve() == Path(settings.EXPORT_DIR).resolve():
            raise CommandError("The nights are written there: take another directory, or --night.")
        span: Since = None
        if first or to_before:
            until = to_before or clock.today() + timedelta(days=1)
            span = (clock.first_moment(first) if first else None, clock.first_moment(until))
        made: Manifest | None
        try:
            if night:
                made = export_night(directory=to, at=at, keep_days=settings.EXPORT_DAYS_KEPT, form=form)
            else:
                made = export_to(directory=to, slugs=datasets, form=form, at=at, ledger=span, manifest=True)
        except (Invalid, TooManyRows, OSError) as refused:
            raise CommandError(f"{refused}") from refused
        if made is None:
            self.stdout.write("The night is written already.")
            return
        for file in made.files:
            self.stdout.write(f"{file.rows:>10,} rows  {file.bytes:>12,} bytes  {to / file.name}")
        self.stdout.write(f"{sum(file.rows for file in made.files):>10,} rows in {len(made.files)} files.")
