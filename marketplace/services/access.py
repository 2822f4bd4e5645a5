"""Who may change the catalog."""

from accounts.models import User
from config.refusals import Forbidden


def must_keep_the_catalog(by: User) -> None:
    """Raises Forbidden unless *by* is a catalog manager."""
    if not by.has_role("catalog_manager"):
        raise Forbidden.of("not_a_catalog_manager", "Only a catalog manager may do that.")
