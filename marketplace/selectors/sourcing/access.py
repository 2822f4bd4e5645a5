"""Who reads what of sourcing. Spend and agreements are for those who buy and those who audit; what runs on what is for staff."""

from typing import Final

from accounts.models import Role, User

READERS: Final = (Role.SOURCING_LEAD, Role.AUDITOR)
JUDGES: Final = (Role.ENGINEER, Role.SOURCING_LEAD)


def reads_sourcing(user: User) -> bool:
    """Spend, agreements, commitments, substitutions, scenarios."""
    return user.has_role(*READERS)


def reads_bindings(user: User) -> bool:
    """Which feature runs on which model, and our own evaluations: everybody who works here, no publisher's people."""
    roles = user.role_names
    return bool(roles) and Role.PARTNER not in roles
