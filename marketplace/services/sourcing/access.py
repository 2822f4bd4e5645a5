"""Who may change what of sourcing."""

from accounts.models import Role, User
from config.refusals import Forbidden
from marketplace.selectors.sourcing.access import JUDGES


def must_lead_sourcing(by: User) -> None:
    """Raises Forbidden unless *by* is a sourcing lead."""
    if not by.has_role(Role.SOURCING_LEAD):
        raise Forbidden.of("not_a_sourcing_lead", "Only a sourcing lead may do that.")


def must_judge(by: User) -> None:
    """Raises Forbidden unless *by* is an engineer or a sourcing lead."""
    if not by.has_role(*JUDGES):
        raise Forbidden.of("not_a_judge", "Only engineers and sourcing leads judge models.")
