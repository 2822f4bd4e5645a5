"""manage.py import_deals deals.csv --map salesforce.toml [--dry-run] [--create-missing]"""

from argparse import ArgumentParser
from typing import Any

from quotas.management.importing import ImportCommand
from quotas.models import ImportKind
from quotas.services.importing import Options


class Command(ImportCommand):
    kind = ImportKind.DEALS
    help = (
        "Import deals from a CRM's export: new ones are logged, changed ones amended, the same file again changes nothing."
        " Prints counts by outcome and reason. Example: manage.py import_deals opportunities.csv --map salesforce.toml"
        ' --create-missing --policy "CRM imports" --errors refused.csv'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--policy", default="", metavar="NAME", help="straight-through policy that approves what is won"
        )
        parser.add_argument(
            "--cancel-gone",
            action="store_true",
            help="the file is all its source has: deals that are gone from it are cancelled",
        )
        parser.add_argument(
            "--eligibility-reason",
            default="",
            metavar="TEXT",
            help="why offerings that are made count toward quota; becomes a decision",
        )
        parser.add_argument(
            "--checked-by",
            metavar="EMAIL",
            help="who has checked that decision, another person; the account of the command line if left out",
        )

    def options(self, given: dict[str, Any]) -> Options:
        return Options(
            create_missing=given["create_missing"],
            eligibility_reason=given["eligibility_reason"],
            all_or_nothing=given["all_or_nothing"],
            cancel_gone=given["cancel_gone"],
            policy=given["policy"],
        )
