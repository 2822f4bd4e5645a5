"""What is known of an offering's model by task, each result with where it comes from."""

from datetime import date
from typing import Any

from accounts.models import User
from marketplace.models import Offering
from marketplace.selectors.evidence import evidence_of


def evidence_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """4 queries, none for an offering without a model."""
    found = evidence_of(offering, on)
    return {
        "has_model": offering.model_version_id is not None,
        "evidence": found,
        "results": sum(len(area.results) for area in found),
        "findings": sum(len(area.findings) for area in found),
    }
