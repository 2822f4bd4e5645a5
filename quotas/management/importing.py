"""What the commands import_deals, import_quotas, import_reps and import_territories share: their arguments, their counts, how they end."""

import csv
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Role, RoleGrant, User
from accounts.services import command_line
from config import clock
from config.exports import defused
from config.refusals import Refusal
from quotas.importers.guessing import guess
from quotas.importers.maps import write_map
from quotas.importers.tables import Unreadable, first_rows, layout_of
from quotas.models import ImportOutcome, SalesImport, SalesImportState
from quotas.selectors import imports as selectors
from quotas.services.importing import Options, carry_out_file


class ImportCommand(BaseCommand):
    """A file of any size, read from where it lies. Subclasses say its kind, and may add arguments that become options."""

    kind: ClassVar[str]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV, XLSX or JSON Lines")
        parser.add_argument(
            "--map", metavar="MAP.toml", help="how it is read: a file, or the name of a saved map"
        )
        parser.add_argument(
            "--guess", action="store_true", help="print the map that Parity would guess, and import nothing"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="read and check every row, and write nothing"
        )
        parser.add_argument(
            "--create-missing", action="store_true", help="make what the file names and Parity does not know"
        )
        parser.add_argument(
            "--all-or-nothing", action="store_true", help="one refused row keeps the whole file out"
        )
        parser.add_argument(
            "--by",
            metavar="EMAIL",
            help="who imports; the comp admin of longest standing if left out",
        )
        parser.add_argument(
            "--errors", metavar="FILE.csv", type=Path, help="write refused rows with line and reason here"
        )

    def options(self, given: dict[str, Any]) -> Options:
        return Options(create_missing=given["create_missing"], all_or_nothing=given["all_or_nothing"])

    def handle(self, *args: Any, **given: Any) -> None:
        path: Path = given["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        if given["guess"]:
            self._guess(path)
            return
        if not given["map"]:
            raise CommandError(
                "Say how the file is read: --map MAP.toml. --guess prints a map to begin with."
            )
        by = self.user(given["by"]) if given["by"] else first_comp_admin()
        checked_by = self.user(given["checked_by"]) if given.get("checked_by") else None
        if checked_by is None and given.get("eligibility_reason") and not given["dry_run"]:
            checked_by = command_line(at=clock.now())
        try:
            run = carry_out_file(
                kind=self.kind,
                path=path,
                map_text=map_text(given["map"]),
                options=self.options(given),
                by=by,
                at=clock.now(),
                dry_run=given["dry_run"],
                checked_by=checked_by,
                progress=self._progress if sys.stderr.isatty() else None,
            )
        except Refusal as refused:
            said = (f"{p.message} ({p.pointer})" if p.pointer else p.message for p in refused.problems)
            raise CommandError("Nothing was imported.\n" + "\n".join(said)) from refused
        except Unreadable as unreadable:
            raise CommandError(f"Nothing was imported. {unreadable.message}") from unreadable
        self._tell(run, dry_run=given["dry_run"], by=by)
        if given["errors"]:
            self._report(run, given["errors"])
        if run.state in (SalesImportState.REFUSED, SalesImportState.FAILED):
            raise CommandError(f"Nothing was imported. {run.problem}".rstrip())
        refused_rows = run.counts.get(ImportOutcome.REFUSED, 0)
        taken = run.rows - refused_rows - run.counts.get(ImportOutcome.LEFT_OUT, 0)
        if refused_rows and not taken:
            raise CommandError("Every row that was not left out was refused: nothing was imported.")
        if refused_rows and given["all_or_nothing"]:
            raise CommandError(f"{refused_rows:,} rows were refused, so nothing would be imported.")

    def _guess(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                layout = layout_of(file, file_name=path.name)
                samples = first_rows(file, layout)
        except Unreadable as unreadable:
            raise CommandError(unreadable.message) from unreadable
        guessed = guess(self.kind, layout, samples)
        self.stdout.write(write_map(guessed.mapping).rstrip())
        for question in guessed.questions:
            self.stderr.write(f"To decide: {question.why}")

    def _progress(self, done: int, total: int | None) -> None:
        self.stderr.write(f"\r{done:,} rows{f' of {total:,}' if total else ''}", ending="")

    def _tell(self, run: SalesImport, *, dry_run: bool, by: User) -> None:
        self.stdout.write(f"{run.reference}: {run.rows:,} rows of {run.file_name}, by {by.name}")
        for outcome, number in selectors.told(run):
            self.stdout.write(f"{outcome.label.lower():12}{number:>12,}")
        for reason in selectors.reasons(run):
            message = f"  {reason.message}" if reason.message else ""
            self.stdout.write(f"  {reason.code:28}{reason.rows:>10,}{message}")
        for name, number in (run.preview.get("created") or {}).items():
            self.stdout.write(f"{'would make' if dry_run else 'made'}: {number:,} {name}")
        for decision in run.preview.get("decisions") or []:
            self.stdout.write(f"decision {decision}: that new offerings count toward quota")
        if dry_run:
            self.stdout.write("Nothing was written.")

    def _report(self, run: SalesImport, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [defused(cell) if isinstance(cell, str) else cell for cell in row]
                for row in selectors.report(run)
            )
        self.stdout.write(f"report: {path}")

    def user(self, email: str) -> User:
        found = User.objects.filter(email__iexact=email).first()
        if found is None:
            raise CommandError(f"There is no user {email}.")
        return found


def map_text(given: str) -> str:
    """The text of a map file, or of a saved map of this name. Raises CommandError."""
    path = Path(given)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as wrong:
            raise CommandError(f"{given} cannot be read as UTF-8 text: {wrong}") from wrong
    saved = selectors.maps().filter(name=given).first()
    if saved is None:
        raise CommandError(f"There is neither a file nor a saved map called {given}.")
    return saved.text


def first_comp_admin() -> User:
    """In whose name a command imports if it says none. Raises CommandError."""
    grants = RoleGrant.objects.filter(role=Role.COMP_ADMIN, withdrawn_at=None, user__is_active=True)
    first = grants.select_related("user").order_by("granted_at", "pk").first()
    if first is None:
        raise CommandError("There is no comp admin: say who imports, with --by.")
    return first.user
