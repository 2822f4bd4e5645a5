"""The order of a list: chosen by a head of its table, kept in the address (?sort=closed, ?sort=-closed), paged by keyset.

A list says once which heads it has: Orders(Deal, ("-id",), closed=("latest_version__close_date",)). Its view then asks
ORDERS.of(request.GET).page(rows), its template has <c-sort field="closed" :current="sort"> where the head stood, and its file
is written in the same order.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import Model, QuerySet
from django.http import QueryDict

from config.rest.pagination import Keyset, Place
from config.rest.problems import BadQuery

PARAMETER: Final = "sort"
PAGE: Final = 50
_PASSING: Final = ("cursor", "page")


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page. previous and next: query strings of the pages beside it, empty where there is none."""

    rows: list[Any]
    sort: str
    previous: str
    next: str

    @property
    def context(self) -> dict[str, str]:
        """What the heads and the pager of a template read."""
        return {"sort": self.sort, "previous": self.previous, "next": self.next}


class Orders:
    """The orders that a list of *model* has.

    otherwise  Unasked: fields as order_by takes them, the last one unique; or the name of one of the heads.
    filled     Fields that are never empty, whatever their columns allow: Keyset has them.
    heads      Name of the head (what stands behind ?sort=) to its fields, rising. What is equal in all of them stands as
               it was recorded: the primary key is added behind them. ?sort=-name turns every one of them round.
    """

    def __init__(
        self,
        model: type[Model],
        otherwise: Sequence[str] | str = ("-id",),
        *,
        filled: Collection[str] = (),
        **heads: Sequence[str],
    ) -> None:
        self.model = model
        self.filled = filled
        self.fields: Mapping[str, tuple[str, ...]] = {
            name: order
            for head, said in heads.items()
            for rising in [(*said, "id") if "id" not in said else tuple(said)]
            for name, order in ((head, rising), (f"-{head}", turned(rising)))
        }
        self.unasked = otherwise if isinstance(otherwise, str) else ""
        self.otherwise = self.fields[otherwise] if isinstance(otherwise, str) else tuple(otherwise)

    def of(self, asked: QueryDict, *, free: bool = True) -> "Order":
        """The order of an address; one that the list does not have is left aside, any where it is not *free* to choose."""
        sort = asked.get(PARAMETER, "") if free else ""
        known = sort in self.fields
        fields = self.fields[sort] if known else self.otherwise
        return Order(sort if known else self.unasked, fields, Keyset(self.model, fields, self.filled), asked)


@dataclass(frozen=True, slots=True)
class Order:
    """One of them, as an address asks for it. sort: as the heads know it, empty for none of them; fields: for in_slices."""

    sort: str
    fields: tuple[str, ...]
    keyset: Keyset
    asked: QueryDict

    @property
    def paths(self) -> tuple[str, ...]:
        """What is read of a row to go on from it."""
        return tuple(key.removeprefix("-") for key in self.fields)

    @property
    def place(self) -> Place | None:
        """Where to go on; an old or altered address starts at the beginning."""
        try:
            return self.keyset.place(self.asked.get("cursor", ""))
        except BadQuery:
            return None

    def page(self, rows: "QuerySet[Any, Any]", size: int = PAGE) -> Page:
        """The page of the address. 1 query."""
        found, before, behind = self.keyset.page(rows, self.place, size)
        return Page(found, self.sort, self.link(before), self.link(behind))

    def page_of(self, rows: "QuerySet[Any, Any]", whole: "QuerySet[Any, Any]", size: int = PAGE) -> Page:
        """The same, found by what its order goes by alone and read *whole* afterwards: whatever that joins, it joins for one page. 2 queries."""
        page = self.page(rows.values("pk", *self.paths), size)
        ids = [row["pk"] for row in page.rows]
        known = {row.pk: row for row in whole.filter(pk__in=ids)}
        return replace(page, rows=[known[pk] for pk in ids if pk in known])

    def link(self, place: Place | None) -> str:
        """The address's own query at another place."""
        if place is None:
            return ""
        kept = self.asked.copy()
        for name in _PASSING:
            kept.pop(name, None)
        kept["cursor"] = self.keyset.cursor(place)
        return "?" + kept.urlencode()


def turned(order: Sequence[str]) -> tuple[str, ...]:
    """The same order from its other end."""
    return tuple(key[1:] if key.startswith("-") else f"-{key}" for key in order)
