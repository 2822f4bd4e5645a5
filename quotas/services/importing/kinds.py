"""Which function reads which kind of file."""

from collections.abc import Callable
from typing import Final

from quotas.models import ImportKind
from quotas.services.importing.context import Context
from quotas.services.importing.deals import run_deals
from quotas.services.importing.people import run_reps
from quotas.services.importing.targets import run_quotas
from quotas.services.importing.territories import run_territories

KINDS: Final[dict[str, Callable[[Context], None]]] = {
    ImportKind.DEALS: run_deals,
    ImportKind.QUOTAS: run_quotas,
    ImportKind.REPS: run_reps,
    ImportKind.TERRITORIES: run_territories,
}
