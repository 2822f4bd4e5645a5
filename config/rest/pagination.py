"""Lists by keyset: a page starts behind the last row of the one before it, however many rows came or went meanwhile.

A view says its order once, as `keyset = ("-close_date", "-id")`, or per request in `get_keyset()`. The last key must be
unique. Keys are fields, paths over relations ("publisher__name") or annotations; empty values come last either way.
"""

import datetime
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.core import signing
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from config.rest.problems import BadQuery

PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 200
PARAMETERS: Final = frozenset({"cursor", "page_size", "count"})
DEFAULT_KEYSET: Final = ("id",)

_signer = signing.Signer(salt="config.rest.pagination")


@dataclass(frozen=True, slots=True)
class Key:
    """One part of an order."""

    path: str
    descending: bool
    nullable: bool

    def value(self, row: Any) -> Any:
        """Of a row: an instance, or a dict of values()."""
        if isinstance(row, dict):
            return row[self.path]
        for name in self.path.split("__"):
            row = getattr(row, name, None)
        return row


@dataclass(frozen=True, slots=True)
class Place:
    """Between two rows: behind the one with *values*, or, going backwards, before it."""

    values: tuple[Any, ...]
    backwards: bool


class Keyset:
    """The order of one list, and how to go on from a row of it. Plain enough for pages as well as for REST."""

    def __init__(self, model: type[Model], order: Sequence[str], filled: Collection[str] = ()) -> None:
        """filled: keys that are never empty, whatever their columns allow; an index serves their order."""
        self.order = tuple(order)
        self.keys = [
            Key(path, part.startswith("-"), path not in filled and _nullable(model, path))
            for part in order
            for path in [part.lstrip("-")]
        ]

    def page(
        self, rows: "QuerySet[Any, Any]", place: Place | None, size: int
    ) -> tuple[list[Any], Place | None, Place | None]:
        """The rows of one page, and the places of the page before and of the one behind. 1 query."""
        backwards = place is not None and place.backwards
        if place is not None:
            rows = rows.filter(self._beyond(place))
        found = list(rows.order_by(*self._ordering(backwards))[: size + 1])
        more, found = len(found) > size, found[:size]
        if backwards:
            found.reverse()
        if not found:
            return [], None, None
        before = Place(self._values(found[0]), backwards=True) if (more if backwards else place) else None
        behind = Place(self._values(found[-1]), backwards=False) if backwards or more else None
        return found, before, behind

    def cursor(self, place: Place | None) -> str:
        """Opaque, signed, and the same for the same place, so that a list's ETag holds."""
        if place is None:
            return ""
        return _signer.sign_object(
            [list(self.order), int(place.backwards), [_written(v) for v in place.values]]
        )

    def place(self, cursor: str) -> Place | None:
        """Raises BadQuery for anything that this order did not make."""
        if not cursor:
            return None
        try:
            order, backwards, values = _signer.unsign_object(cursor)
            if tuple(order) == self.order:
                return Place(tuple(_read(*value) for value in values), bool(backwards))
        except (signing.BadSignature, ValueError, TypeError, UnicodeError):
            pass
        raise BadQuery(("cursor", "invalid_cursor", "This cursor is not one of this list: start without it."))

    def _values(self, row: Any) -> tuple[Any, ...]:
        return tuple(key.value(row) for key in self.keys)

    def _ordering(self, backwards: bool) -> list[Any]:
        ordering: list[Any] = []
        for key in self.keys:
            falling = key.descending != backwards
            if not key.nullable:
                ordering.append(f"-{key.path}" if falling else key.path)
            else:
                where = {"nulls_first": True} if backwards else {"nulls_last": True}
                ordering.append(F(key.path).desc(**where) if falling else F(key.path).asc(**where))
        return ordering

    def _beyond(self, place: Place) -> Q:
        """Beyond in the first key, or equal in it and beyond in the second, and so on."""
        beyond, equal = Q(pk__in=[]), Q()
        for key, value in zip(self.keys, place.values, strict=True):
            if (step := _step(key, value, place.backwards)) is not None:
                beyond |= equal & step
            equal &= Q(**{f"{key.path}__isnull": True}) if value is None else Q(**{key.path: value})
        first, value = self.keys[0], place.values[0]
        if len(self.keys) > 1 and not first.nullable:  # said again, as an index begins at it and not at an OR
            beyond &= Q(**{f"{first.path}__{'lte' if first.descending != place.backwards else 'gte'}": value})
        return beyond


def _step(key: Key, value: Any, backwards: bool) -> Q | None:
    """Strictly beyond *value* in one key, empty values being last; None where nothing is."""
    if value is None:
        return Q(**{f"{key.path}__isnull": False}) if backwards else None
    falling = key.descending != backwards
    step = Q(**{f"{key.path}__{'lt' if falling else 'gt'}": value})
    return step | Q(**{f"{key.path}__isnull": True}) if key.nullable and not backwards else step


def _nullable(model: type[Model], path: str) -> bool:
    """Whether a key can be empty; an annotation might be."""
    nullable = False
    current: Any = model
    for name in path.split("__"):
        try:
            field = current._meta.pk if name == "pk" else current._meta.get_field(name)
        except (FieldDoesNotExist, AttributeError):
            return True
        nullable = nullable or bool(getattr(field, "null", True))
        current = field.related_model
    return nullable


def _written(value: Any) -> tuple[str, Any]:
    match value:
        case None | bool() | int() | str():
            return "", value
        case datetime.datetime():
            return "t", value.isoformat()
        case datetime.date():
            return "d", value.isoformat()
        case Decimal():
            return "n", str(value)
        case float():
            return "f", value.hex()
    raise TypeError(f"A list cannot be ordered by a {type(value).__name__}.")


def _read(kind: str, value: Any) -> Any:
    match kind:
        case "t":
            return datetime.datetime.fromisoformat(value)
        case "d":
            return datetime.date.fromisoformat(value)
        case "n":
            return Decimal(value)
        case "f":
            return float.fromhex(value)
    return value


class KeysetPagination(BasePagination):
    """{"results": [...], "next": address or null, "previous": address or null}, and "total" with ?count=true."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.request = request
        get = getattr(view, "get_keyset", None)
        self.keyset = Keyset(queryset.model, get() if get else getattr(view, "keyset", DEFAULT_KEYSET))
        size = page_size(request.query_params.get("page_size"))
        place = self.keyset.place(request.query_params.get("cursor", ""))
        counted = counting(request.query_params.get("count"))
        rows, self.before, self.behind = self.keyset.page(queryset, place, size)
        self.total = queryset.order_by().count() if counted else None
        return rows

    def get_paginated_response(self, data: Iterable[Any]) -> Response:
        body = {"results": data, "next": self._link(self.behind), "previous": self._link(self.before)}
        return Response(body if self.total is None else {**body, "total": self.total})

    def _link(self, place: Place | None) -> str | None:
        if place is None:
            return None
        return str(
            replace_query_param(self.request.build_absolute_uri(), "cursor", self.keyset.cursor(place))
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {
                "results": schema,
                "next": link,
                "previous": link,
                "total": {"type": "integer", "description": "Only with count=true."},
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        orders = list(getattr(view, "orderings", ()))
        return [
            *(
                [_parameter("ordering", {"type": "string", "enum": orders}, "The first if left out.")]
                if orders
                else []
            ),
            _parameter("cursor", {"type": "string"}, "Where to go on; taken from next or previous."),
            _parameter(
                "page_size",
                {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE_SIZE},
                "How many at most.",
            ),
            _parameter(
                "count", {"type": "boolean", "default": False}, "Whether to count them all into total."
            ),
        ]


def _parameter(name: str, schema: dict[str, Any], said: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": said}


def page_size(given: str | None) -> int:
    """1 to 200, 50 unless asked for. Raises BadQuery."""
    if given is None:
        return PAGE_SIZE
    if given.isascii() and given.isdigit() and len(given) < 5 and 1 <= int(given) <= LARGEST_PAGE:
        return int(given)
    raise BadQuery(("page_size", "out_of_range", f"A page has 1 to {LARGEST_PAGE} entries."))


def counting(given: str | None) -> bool:
    if given in (None, "false"):
        return False
    if given == "true":
        return True
    raise BadQuery(("count", "invalid", "Either true or false."))
