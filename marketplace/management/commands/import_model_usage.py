"""manage.py import_model_usage: what our own products used of which models, out of a CSV file."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Role, User
from config import clock
from config.formats import money
from config.refusals import Refusal
from marketplace.importers.files import LARGEST
from marketplace.importers.usage import COLUMNS, NEEDED
from marketplace.services.sourcing.usage import Outcome, import_usage


class Command(BaseCommand):
    help = f"""Record what our own products used of which models, month by month.

The first line of the file names the columns, in any order:
  {", ".join(COLUMNS)}
Needed are {", ".join(NEEDED)}. A month is written as 2026-07; feature, model and host are slugs,
a plan is offering/plan. The version may be left out where a model has one. The same rows again change
nothing, other figures for the same line correct it, and the same file twice adds nothing.
One wrong row keeps the whole file out, unless --leave-out-wrong.

Example: manage.py import_model_usage july.csv --by sourcing@demo.example --dry-run"""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV file")
        parser.add_argument("--by", required=True, metavar="EMAIL", help="the sourcing lead who records it")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would come of it, record nothing"
        )
        parser.add_argument(
            "--leave-out-wrong", action="store_true", help="record the other rows where some are wrong"
        )

    def handle(
        self, *_args: Any, file: Path, by: str, dry_run: bool, leave_out_wrong: bool, **_options: Any
    ) -> None:
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no user {by}; a {Role.SOURCING_LEAD.label.lower()} records usage.")
        try:
            if file.stat().st_size > LARGEST:
                raise CommandError(f"{file} is larger than {LARGEST // 1024**2} MB: send it in parts.")
            content = file.read_bytes()
        except OSError as unreadable:
            raise CommandError(f"{file} cannot be read: {unreadable}.") from unreadable
        try:
            done = import_usage(
                content=content,
                file_name=file.name,
                by=user,
                at=clock.now(),
                dry_run=dry_run,
                leave_out_wrong=leave_out_wrong,
            )
        except Refusal as refused:
            raise CommandError(f"Nothing was recorded: {refused}") from refused
        for wrong in done.wrong:
            column = f", {wrong.column}" if wrong.column else ""
            self.stderr.write(f"line {wrong.line}{column}: {wrong.message}")
        if done.wrong and not leave_out_wrong:
            raise CommandError(f"Nothing was recorded: {done.counts['refused']} rows are to be mended.")
        self._say(done, dry_run=dry_run)

    def _say(self, done: Outcome, *, dry_run: bool) -> None:
        if done.already is not None and not done.recorded and not done.wrong:
            when = clock.day_of(done.already.imported_at).isoformat()
            self.stdout.write(f"This file is in already, since {when}: nothing was added.")
            return
        counted = ", ".join(f"{number} {name}" for name, number in done.counts.items() if name != "unpriced")
        self.stdout.write(f"{'Would record' if dry_run else 'Recorded'}: {counted}.")
        for each in done.unpriced:
            plan = f" on {each.plan}" if each.plan else ""
            self.stdout.write(f"without a price: {each.rows} of {each.model}{plan}. {each.why}")
        if done.minor:
            self.stdout.write(f"the new and corrected lines cost {money(done.minor)}")
