"""Texts of files as people see them: trimmed, compared without case, listed in messages."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from config.names import fold, tidy
from quotas.importers.layouts import Cell
from quotas.importers.values import currency_of

# Signs that several currencies share; any other says which one it is.
SHARED_SIGNS: Final[Mapping[str, frozenset[str]]] = {
    "$": frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP", "BRL"}),
    "¥": frozenset({"JPY", "CNY"}),
    "kr": frozenset({"SEK", "NOK", "DKK", "ISK"}),
}


def path_of(*keys: str) -> str:
    """A place in TOML: columns.amount, values.stage."Closed Won"."""
    return ".".join(
        key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + key.replace('"', '\\"') + '"' for key in keys
    )


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def nearest(name: str, names: Iterable[str]) -> str:
    """Did you mean ...? Else what there is."""
    all_names = list(names)
    folded = {fold(one): one for one in all_names}
    close = get_close_matches(fold(name), folded, n=1)
    if close:
        return f"Did you mean “{folded[close[0]]}”?"
    return f"Known: {listed(all_names[:30])}{', …' if len(all_names) > 30 else ''}."


def text_of(cell: Cell) -> str:
    """A cell as the text that a person sees, trimmed; what no database stores is taken out."""
    if type(cell) is str:
        text = cell.strip()
        return text if text.isascii() and text.isprintable() else _cleaned(text)
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        if not cell.is_finite() or abs(cell.adjusted()) > 40:
            return str(cell)
        return str(int(cell)) if cell == cell.to_integral_value() else format(cell.normalize(), "f")
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell).strip()


def _cleaned(text: str) -> str:
    """One form of each letter, single spaces, no control characters or halves of letters."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(c if c.isprintable() or c.isspace() else "" for c in text)
    return tidy(text)


def currencies_of(amount: str) -> frozenset[str]:
    """Which currencies the sign or code beside a number may mean; none where it has neither."""
    code = currency_of(amount)
    if code:
        return frozenset({code})
    return next((codes for sign, codes in SHARED_SIGNS.items() if sign in amount.casefold()), frozenset())
