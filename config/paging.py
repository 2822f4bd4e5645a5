"""A long list fifty rows at a time by number of page, where counting it costs little; longer ones go by keyset."""

from collections.abc import Sequence
from typing import Any, Final, cast

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

PAGE: Final = 50
BY: Final = "page"


class Part(Page[Any]):
    """A page of a list. by: the parameter that says which; lists on the same page of the site have one each."""

    by: str = BY


class _Parts(Paginator):  # type: ignore[type-arg]  # its own generic is not one at run time
    by: str = BY

    def _get_page(self, *args: Any, **named: Any) -> Part:
        part = Part(*args, **named)
        part.by = self.by
        return part


def paged(
    request: HttpRequest, rows: "Sequence[Any] | QuerySet[Any, Any]", *, by: str = BY, size: int = PAGE
) -> Part:
    """The page that the address (or the form) asks for, the nearest where there is none such. At most 1 query, which counts."""
    asked = request.GET.get(by) or request.POST.get(by)
    parts = _Parts(rows, size)
    parts.by = by
    return cast(Part, parts.get_page(asked))


def with_query(asked: QueryDict, **changes: str | None) -> str:
    """The query string of this page with changes; None takes a parameter away. Paging starts anew."""
    kept = asked.copy()
    for paging in ("cursor", "page"):
        kept.pop(paging, None)
    for name, value in changes.items():
        kept.pop(name, None)
        if value:
            kept[name] = value
    return "?" + kept.urlencode()
