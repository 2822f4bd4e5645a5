"""Rebuild what search, filters and counts read. Example: manage.py reindex_catalog"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from marketplace.models import Offering
from marketplace.services.indexing import reindex


class Command(BaseCommand):
    help = (
        "Make the search index of every offering anew from the catalog. Needed once after an upgrade that brings the "
        "index; harmless at any time. Example: manage.py reindex_catalog"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--missing", action="store_true", help="only offerings that are not in it yet")

    def handle(self, *args: Any, **options: Any) -> None:
        missing = Offering.objects.filter(index=None).values_list("pk", flat=True)
        done = reindex(list(missing) if options["missing"] else None)
        if options["verbosity"] > 0:
            self.stdout.write(f"{done} offerings indexed")
