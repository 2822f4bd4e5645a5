"""What an offering's model does in our own products, for everybody who works here."""

from datetime import date
from typing import Any

from accounts.models import User
from config.language import _
from marketplace.models import Binding, Offering
from marketplace.selectors.sourcing.access import reads_bindings
from marketplace.selectors.sourcing.products import features_run_by, must_move
from marketplace.services.sourcing.binding import share_text


def powers_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """Nothing for publishers' people, and nothing where it powers nothing. 4 queries at most."""
    if not reads_bindings(user):
        return {}
    found = features_run_by(offering.model_version_id, on)
    if not found:
        return {}
    moves = must_move(found, on)
    return {
        "rows": [(binding, _said(binding), _when(binding, on)) for binding in found],
        "moving": len(moves),
        "retires_on": moves[0].retires_on if moves else None,
        "retired": bool(moves) and moves[0].retires_on <= on,
    }


def _said(binding: Binding) -> str:
    if binding.role == "fallback":
        return _("Fallback")
    return _("not stated") if binding.share_ppm is None else share_text(binding.share_ppm)


def _when(binding: Binding, on: date) -> str:
    lower, upper = binding.effective.lower, binding.effective.upper
    if on < lower:
        return _("To come")
    return _("Runs on it") if upper is None or on < upper else _("Ran on it")
