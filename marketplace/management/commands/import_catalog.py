"""Load or read a source of catalog data. Example: manage.py import_catalog litellm prices.json --by catalog@demo.example"""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from config import clock, jobs
from config.exports import Export, write
from config.refusals import Refusal
from marketplace.importers import companies, own
from marketplace.importers.files import LARGEST
from marketplace.models import CatalogImport, ImportSource, ImportState, RowOutcome
from marketplace.selectors.exports import import_rows
from marketplace.selectors.imports import counts, rows_of
from marketplace.services import importing
from marketplace.services.loading import load_catalog
from marketplace.services.sourcing.company_data import load_companies

OWN: Final = "own"


class Command(BaseCommand):
    help = (
        "own: add what the project's data files have and the catalog does not. Any other source is staged and compared;"
        " nothing of it goes live without a change set that a second person approves."
        " Example: manage.py import_catalog litellm prices.json --by catalog@demo.example --report rows.csv --propose"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", choices=[OWN, *ImportSource.values])
        parser.add_argument(
            "file",
            nargs="?",
            help="what to read; for own a folder, for genai-prices none (the installed package)",
        )
        parser.add_argument("--by", required=True, help="e-mail of who decides")
        parser.add_argument("--checked-by", help="own: e-mail of who has checked it, another person")
        parser.add_argument(
            "--stated-on",
            type=_day,
            help="day for which the source speaks, such as 2026-08-14; today if left out",
        )
        parser.add_argument(
            "--propose", action="store_true", help="draft a change set of what is new or changed"
        )
        parser.add_argument(
            "--report", metavar="FILE.csv", help="write every row with its outcome and reason here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        by = self._user(options["by"])
        if options["source"] == OWN:
            self._own(by, options)
        else:
            self._stage(by, options)

    def _own(self, by: User, options: dict[str, Any]) -> None:
        if not options["checked_by"]:
            raise CommandError("own needs --checked-by: eligibility decisions are checked by another person.")
        checked_by = self._user(options["checked_by"])
        try:
            staged = own.read(Path(options["file"])) if options["file"] else None
            stated = _companies(Path(options["file"]) if options["file"] else own.OWN_DATA)
            with transaction.atomic():
                done = load_catalog(by=by, checked_by=checked_by, at=clock.now(), staged=staged)
                if stated is not None:
                    done.added.update(load_companies(by=by, at=clock.now(), staged=stated))
        except (own.BadRow, Refusal, OSError, KeyError) as refused:
            raise CommandError(f"Nothing was loaded: {refused}") from refused
        for name in done.added:
            self.stdout.write(f"{name}: {done.added[name]} added, {done.unchanged[name]} unchanged")
        for kept in done.kept:
            self.stdout.write(f"left as it is: {kept}")

    def _stage(self, by: User, options: dict[str, Any]) -> None:
        at = clock.now()
        content = self._content(options["file"])
        try:
            run = importing.start_import(
                source=options["source"],
                content=content,
                file_name=Path(options["file"]).name if options["file"] else "",
                stated_on=options["stated_on"] or clock.today(),
                by=by,
                at=at,
            )
        except Refusal as refused:
            raise CommandError(f"Nothing was imported: {refused}") from refused
        job = jobs.work_off(job_id=run.job_id or 0, now=clock.now)
        run = CatalogImport.objects.defer("content").get(pk=run.pk)
        if run.state != ImportState.STAGED:
            raise CommandError(
                f"Nothing was imported: {run.problem or job.error or 'another worker reads it.'}"
            )
        self.stdout.write(f"import {run.pk}: {run.rows} rows of {run.get_source_display()}")
        for outcome, number in counts(run).items():
            self.stdout.write(f"{RowOutcome(outcome).label.lower()}: {number}")
        if options["report"]:
            rows = Export(f"import {run.pk}", f"Import {run.pk}", import_rows(rows_of(run)), clock.now())
            with Path(options["report"]).open("wb") as file:
                write(rows, "csv", file)
            self.stdout.write(f"report: {options['report']}")
        if options["propose"]:
            try:
                made = importing.propose(run_id=run.pk, by=by, at=at)
            except Refusal as refused:
                raise CommandError(f"It is staged, and nothing was proposed: {refused}") from refused
            self.stdout.write(
                f"proposed: {made.reference}, {made.items.count()} changes. Submit it for review."
            )

    def _content(self, name: str | None) -> bytes | None:
        if name is None:
            return None
        path = Path(name)
        try:
            if path.stat().st_size > LARGEST:
                raise CommandError(f"Nothing was imported: {name} is larger than {LARGEST // 1024**2} MB.")
            return path.read_bytes()
        except OSError as wrong:
            raise CommandError(f"Nothing was imported: {wrong}") from wrong

    def _user(self, email: str) -> User:
        found = User.objects.filter(email__iexact=email).first()
        if found is None:
            raise CommandError(f"There is no user {email}.")
        return found


def _companies(folder: Path) -> companies.StagedCompanies | None:
    """A folder need not have any."""
    path = folder / companies.FILE
    return companies.read(path) if path.exists() else None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as wrong:
        raise CommandError(f"--stated-on: {text} is not a day, such as 2026-08-14.") from wrong
