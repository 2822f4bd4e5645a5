"""What a person reads can be said in another language: _ now, later() where a module is loaded before anybody is there.

Pages, forms, navigation and messages are marked. What becomes a record or is read by programs (ledger, explanations
and refusals of services, exports, API) is written in English whoever asks: docs/decisions/0024-language.md.

Words that stand in both, such as the labels of a model's choices, are marked() where they are written, stay English
there, and are spoken() by the page that shows them.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.utils.translation import gettext_noop as marked

if TYPE_CHECKING:
    later: Callable[[str], str]
else:
    later = gettext_lazy

__all__ = ["_", "later", "marked", "ngettext", "spoken", "spoken_choices"]


def spoken(text: object) -> str:
    """A marked text in the reader's language; what no catalog knows, a name for instance, as it is."""
    said = "" if text is None else str(text)
    return _(said) if said else ""  # the message without text is the catalog's own head


def spoken_choices(choices: Iterable[tuple[Any, Any]]) -> list[tuple[Any, str]]:
    """Choices whose labels are marked, for a form: the values stay, each label is said to whoever reads it."""
    return [(value, later(str(label)) if label else "") for value, label in choices]
