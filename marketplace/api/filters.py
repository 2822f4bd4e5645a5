"""The parameters of lists, as REST has them; what they mean is in selectors/search.py."""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django_filters import CharFilter, DateFilter, NumberFilter
from django_filters.rest_framework import FilterSet

from config import clock
from config.rest.filters import Choices, Words
from marketplace.models import AiModel, CommercialPath, Lifecycle, Offering, Origin, Program, Publisher
from marketplace.selectors.search import (
    CAPABILITIES,
    DIMENSIONS,
    LONGEST_SEARCH,
    MODALITIES,
    REGIONS,
    Criteria,
    find,
)


def _same(values: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


class OfferingFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    """Sets are separated by commas and are alternatives; parameters narrow each other."""

    search = CharFilter(
        max_length=LONGEST_SEARCH, label="Beginnings of words of name, SKU, family, publisher, model."
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
    min_context = NumberFilter(min_value=0, label="Tokens.")
    max_input_price = NumberFilter(
        min_value=0, label="USD for a million input tokens of the first public plan, on the day of as_of."
    )
    region = Choices(choices=_same(REGIONS), label="Where a public plan processes data.")
    as_of = DateFilter(label="The day that is looked at; today unless given.")

    class Meta:
        model = Offering
        fields: list[str] = []

    @property
    def criteria(self) -> Criteria:
        given: dict[str, Any] = self.form.cleaned_data
        least, most = given.get("min_context"), given.get("max_input_price")
        return Criteria(
            on=given.get("as_of") or clock.today(),
            search=given.get("search") or "",
            chosen={name: tuple(given[name]) for name in DIMENSIONS if given.get(name)},
            min_context=int(least) if least is not None else None,
            max_input_price=Decimal(most) if most is not None else None,
        )

    def filter_queryset(self, queryset: QuerySet[Offering]) -> QuerySet[Offering]:
        return find(queryset, self.criteria)


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
