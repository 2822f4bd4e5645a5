"""The parameters of lists, as REST has them; what they mean is in selectors/search.py."""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django_filters import CharFilter, NumberFilter
from django_filters.rest_framework import FilterSet

from config import clock
from config.rest.filters import Choices, Day, Words
from marketplace.models import AiModel, CommercialPath, Lifecycle, Offering, Origin, Program, Publisher
from marketplace.selectors.search import (
    CAPABILITIES,
    DIMENSIONS,
    LONGEST_SEARCH,
    MODALITIES,
    REGIONS,
    Criteria,
    find,
    with_sort_keys,
)
from marketplace.selectors.spelling import read_as


def _same(values: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


class OfferingFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    """Sets are separated by commas and are alternatives; parameters narrow each other."""

    search = CharFilter(
        max_length=LONGEST_SEARCH,
        label="Beginnings of words of name, SKU, alias, family, publisher, model, summary. Where that finds nothing,"
        " misspelt words are read as the nearest known ones.",
    )
    publisher = Words(label="Slugs.")
    origin = Choices(choices=Origin.choices)
    path = Choices(choices=CommercialPath.choices)
    modality_in = Choices(choices=_same(MODALITIES))
    modality_out = Choices(choices=_same(MODALITIES))
    capability = Choices(choices=_same(CAPABILITIES))
    task = Words(label="Slugs of task areas.")
    lifecycle = Choices(choices=Lifecycle.choices, label="On the day of as_of.")
    eligible = Choices(choices=Program.choices, label="Counts for one of these programs on the day of as_of.")
    min_context = NumberFilter(min_value=0, max_digits=18, decimal_places=0, label="Tokens.")
    max_context = NumberFilter(min_value=0, max_digits=18, decimal_places=0, label="Tokens.")
    min_input_price = NumberFilter(
        min_value=0,
        max_digits=20,
        decimal_places=10,
        label="USD for a million input tokens of the first public plan, on the day of as_of.",
    )
    max_input_price = NumberFilter(
        min_value=0,
        max_digits=20,
        decimal_places=10,
        label="USD for a million input tokens of the first public plan, on the day of as_of.",
    )
    region = Choices(choices=_same(REGIONS), label="Where a public plan processes data.")
    as_of = Day(label="The day that is looked at; today unless given.")

    class Meta:
        model = Offering
        fields: list[str] = []

    @property
    def criteria(self) -> Criteria:
        given: dict[str, Any] = self.form.cleaned_data
        return Criteria(
            on=given.get("as_of") or clock.today(),
            search=given.get("search") or "",
            chosen={name: tuple(given[name]) for name in DIMENSIONS if given.get(name)},
            min_context=_tokens(given.get("min_context")),
            max_context=_tokens(given.get("max_context")),
            min_input_price=given.get("min_input_price"),
            max_input_price=given.get("max_input_price"),
        )

    def filter_queryset(self, queryset: QuerySet[Offering]) -> QuerySet[Offering]:
        """With what the ordering asked for reads, which depends on the search and the tasks."""
        criteria, _corrected = read_as(queryset, self.criteria)
        return with_sort_keys(find(queryset, criteria), self.data.get("ordering", "name"), criteria)


def _tokens(given: Decimal | None) -> int | None:
    return None if given is None else int(given)


class PublisherFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    origin = Choices(field_name="origin", lookup_expr="in", choices=Origin.choices)

    class Meta:
        model = Publisher
        fields: list[str] = []


class ModelFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    publisher = Words(field_name="publisher__slug", lookup_expr="in", label="Slugs.")
    family = Words(field_name="family", lookup_expr="in")
    search = CharFilter(field_name="name", lookup_expr="icontains", max_length=LONGEST_SEARCH)

    class Meta:
        model = AiModel
        fields: list[str] = []
