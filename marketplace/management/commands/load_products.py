"""Load our own products and what powers them. Example: manage.py load_products --by sourcing@demo.example"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from config import clock
from config.refusals import Refusal
from marketplace.importers.own import OWN_DATA, BadRow
from marketplace.importers.products import read
from marketplace.services.sourcing.portfolio import load_portfolio


class Command(BaseCommand):
    help = (
        "Add the products, features and mixes that the data files have and the database does not; what people have stated since"
        " stays. Example: manage.py load_products my-data/ --by sourcing@demo.example"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "folder",
            nargs="?",
            default=str(OWN_DATA),
            help="where products.toml and copilot.toml lie; else the project's own",
        )
        parser.add_argument("--by", required=True, help="e-mail of the sourcing lead who decides")

    def handle(self, *args: Any, **options: Any) -> None:
        by = User.objects.filter(email__iexact=options["by"]).first()
        if by is None:
            raise CommandError(f"Nobody logs in as {options['by']}.")
        try:
            done = load_portfolio(by=by, at=clock.now(), staged=read(Path(options["folder"])))
        except (Refusal, BadRow, OSError) as refused:
            raise CommandError(f"Nothing was loaded: {refused}") from refused
        for kind, number in done.added.items():
            self.stdout.write(f"{kind}: {number:,} added")
        if done.left:
            self.stdout.write(f"left as they are: {', '.join(done.left)}")
