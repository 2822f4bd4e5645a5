"""manage.py import_reps people.csv --map people.toml [--dry-run] [--create-missing]"""

from quotas.management.importing import ImportCommand
from quotas.models import ImportKind


class Command(ImportCommand):
    kind = ImportKind.REPS
    help = (
        "Import reps, their teams, roles, managers and territories, and where the teams stand, each from its day on; rows in"
        " any order, the same file again changes nothing. One recredit run follows where anything credited is touched."
        " Example: manage.py import_reps people.csv --map people.toml --create-missing --errors refused.csv"
    )
