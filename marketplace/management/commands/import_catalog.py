"""Load a source into the catalog. Example: manage.py import_catalog own --by catalog@demo.example --checked-by admin@demo.example"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from config import clock
from config.refusals import Refusal
from marketplace.importers import own
from marketplace.services.loading import load_catalog


class Command(BaseCommand):
    help = (
        "Add what a source has and the catalog does not; nothing that is there is changed. "
        "Example: manage.py import_catalog own --by catalog@demo.example --checked-by admin@demo.example"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", choices=["own"], help="own: the project's data files")
        parser.add_argument("file", nargs="?", help="a folder of the same shape, instead of the project's")
        parser.add_argument("--by", required=True, help="e-mail of who decides")
        parser.add_argument(
            "--checked-by", required=True, help="e-mail of who has checked it: another person"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        by, checked_by = self._user(options["by"]), self._user(options["checked_by"])
        try:
            staged = own.read(Path(options["file"])) if options["file"] else None
            done = load_catalog(by=by, checked_by=checked_by, at=clock.now(), staged=staged)
        except (own.BadRow, Refusal, OSError, KeyError) as refused:
            raise CommandError(f"Nothing was loaded: {refused}") from refused
        for name in done.added:
            self.stdout.write(f"{name}: {done.added[name]} added, {done.unchanged[name]} unchanged")
        for kept in done.kept:
            self.stdout.write(f"left as it is: {kept}")

    def _user(self, email: str) -> User:
        found = User.objects.filter(email__iexact=email).first()
        if found is None:
            raise CommandError(f"There is no user {email}.")
        return found
