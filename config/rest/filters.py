"""Filters that do not guess: an unknown or misspelt parameter is an error that names the known ones."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django_filters import (
    BaseInFilter,
    CharFilter,
    ChoiceFilter,
    DateFilter,
    NumberFilter,
    TypedChoiceFilter,
)
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request
from rest_framework.views import APIView

from config.rest.problems import BadQuery


class Words(BaseInFilter, CharFilter):  # type: ignore[misc]  # django-filter is untyped
    """A comma-separated set of words: ?publisher=openai,anthropic."""


class Choice(ChoiceFilter):  # type: ignore[misc]  # django-filter is untyped
    """One of some known words; one that is not known is an error that says which are."""

    def __init__(self, *, choices: Iterable[tuple[Any, Any]], **options: Any) -> None:
        words = list(choices)
        known = ", ".join(str(word) for word, _label in words).replace("%", "%%")
        said = {"invalid_choice": f"%(value)s is not known here. Known are {known}."}
        super().__init__(choices=words, error_messages=said, **options)


class Choices(BaseInFilter, Choice):  # type: ignore[misc]  # django-filter is untyped
    """A comma-separated set out of known words."""


class Numbers(BaseInFilter, NumberFilter):  # type: ignore[misc]  # django-filter is untyped
    """A comma-separated set of whole numbers, such as ids."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=18, decimal_places=0, **options)


class Day(DateFilter):  # type: ignore[misc]  # django-filter is untyped
    """A day as 2026-08-14; django-filter's own takes 04/05/2026 too, and guesses which is the month."""

    def __init__(self, **options: Any) -> None:
        said = {"invalid": "Write a day as 2026-08-14."}
        super().__init__(input_formats=["%Y-%m-%d"], error_messages=said, **options)


class Flag(TypedChoiceFilter):  # type: ignore[misc]  # django-filter is untyped
    """true or false; django-filter's own takes anything else for "not asked"."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=[("true", "true"), ("false", "false")],
            coerce=_is_true,
            empty_value=None,
            error_messages={"invalid_choice": "Either true or false."},
            **options,
        )
        said = options.get("help_text") or options.get("label")
        # Told of itself: else the schema would say what the field is that it looks at, such as a moment.
        extend_schema_field({"type": "boolean", **({"description": said} if said else {})})(self)


def _is_true(word: str) -> bool:
    return word == "true"


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]  # django-filter is untyped
    """django-filter with problems that name their parameter. The view has refused unknown ones before."""

    def filter_queryset(
        self, request: Request, queryset: "QuerySet[Any, Any]", view: APIView
    ) -> "QuerySet[Any, Any]":
        filters = self.get_filterset(request, queryset, view)
        if filters is None:
            return queryset
        refuse_twice(request.query_params, filters.base_filters)
        if not filters.is_valid():
            raise BadQuery(*_said(filters.errors.get_json_data()))
        rows: QuerySet[Any, Any] = filters.qs
        return rows


def known_to(filters: type[FilterSet] | None) -> frozenset[str]:
    """The parameters that a filter set reads; a range has two."""
    if filters is None:
        return frozenset()
    names = set()
    for name, found in filters.base_filters.items():
        suffixes = getattr(found.field_class.widget, "suffixes", None)
        names.update([f"{name}_{suffix}" for suffix in suffixes if suffix] if suffixes else [name])
    return frozenset(names)


def refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    """Raises BadQuery that names each unknown parameter and what is known."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadQuery(*((name, "unknown_parameter", _advice(name, known)) for name in unknown))


def refuse_twice(given: QueryDict, names: Iterable[str]) -> None:
    """?state=a&state=b would quietly mean state=b: a set is written with commas."""
    twice = sorted(name for name in names if len(given.getlist(name)) > 1)
    if twice:
        raise BadQuery(
            *(
                (name, "given_twice", f"Give {name} once; separate several values by commas.")
                for name in twice
            )
        )


def _advice(name: str, known: Collection[str]) -> str:
    if not known:
        return f"{name} is not known: this address takes no parameters."
    close = get_close_matches(name, sorted(known), n=1)
    did_you = f" Did you mean {close[0]}?" if close else ""
    return f"{name} is not known here.{did_you} Known are {', '.join(sorted(known))}."


def _said(errors: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("" if name == "__all__" else name, found["code"] or "invalid", found["message"])
        for name, several in errors.items()
        for found in several
    ]
