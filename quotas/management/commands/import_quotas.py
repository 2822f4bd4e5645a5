"""manage.py import_quotas quotas.xlsx --map quotas.toml [--dry-run] [--create-missing]"""

from quotas.management.importing import ImportCommand
from quotas.models import ImportKind


class Command(ImportCommand):
    kind = ImportKind.QUOTAS
    help = (
        "Import quotas of reps and teams, a row each or a column a period: what differs becomes a new version, the same file"
        " again changes nothing. Months given for a whole quarter, half or year set that too, as their sum, where the file"
        " has no row for it. Example: manage.py import_quotas fy27.xlsx --map quotas.toml --dry-run"
    )
