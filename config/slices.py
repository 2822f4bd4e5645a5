"""All of a long list without having it all: so many rows at a time, in the order of the list."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from django.db.models import QuerySet

from config.rest.pagination import Keyset, Place

SLICE: Final = 1_000
T = TypeVar("T")


def in_slices(
    rows: "QuerySet[Any, Any]", order: Sequence[str], size: int = SLICE, *, filled: Collection[str] = ()
) -> Iterator[list[Any]]:
    """A query set in the order of a list, so many rows at a time: a query a slice, and no cursor that a slow reader keeps open.

    order, filled  As a list gives them to Keyset: the last key is unique.
    """
    keyset = Keyset(rows.model, order, filled)
    place: Place | None = None
    while True:
        found, _before, place = keyset.page(rows, place, size)
        if found:
            yield found
        if place is None:
            return


def in_batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Whatever is iterated, so many at a time; only what was asked for so far is taken out of it."""
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch
