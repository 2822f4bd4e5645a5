"""manage.py import_territories territories.csv --map territories.toml [--dry-run] [--create-missing]"""

from quotas.management.importing import ImportCommand
from quotas.models import ImportKind


class Command(ImportCommand):
    kind = ImportKind.TERRITORIES
    help = (
        "Import territories: who covers them, which accounts lie in them and their house reps, each from its day on; the same"
        " file again changes nothing. One recredit run follows where anything credited is touched."
        " Example: manage.py import_territories emea.csv --map territories.toml --create-missing"
    )
