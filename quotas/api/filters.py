"""What lists of the sales endpoints can be narrowed by."""

from typing import Any

from django.db.models import F, Q, QuerySet
from django_filters import (
    CharFilter,
    ModelChoiceFilter,
    NumberFilter,
)
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema_field

from config.rest.filters import Choice, Choices, Day, Flag, Words
from marketplace.models import Customer
from quotas.api.resources import COMPONENTS
from quotas.models import CreditEntry, Deal, DealKind, DealLine, DealState, Grain, Period, PeriodState, Quota
from quotas.selectors.deals import closes_in
from quotas.selectors.periods import WORDS

Rows = QuerySet[Any, Any]
GRAINS = {word: grain for grain, word in WORDS.items()}
NAMED = {name: component for component, name in COMPONENTS.items()}


@extend_schema_field({"type": "string", "examples": ["FY27-Q2"]})
class PeriodFilter(ModelChoiceFilter):  # type: ignore[misc]  # django-filter is untyped
    """A period by its name; one that does not exist is an error."""

    def __init__(self, **options: Any) -> None:
        options.setdefault(
            "error_messages", {"invalid_choice": "There is no period of that name, such as FY27-Q2."}
        )
        super().__init__(queryset=Period.objects.all(), to_field_name="name", **options)


class PartnerDealFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    """Without whatever would let a partner find out a name by trying."""

    state = Choices(choices=DealState.choices)
    kind = Choices(field_name="latest_version__kind", choices=DealKind.choices)
    period = PeriodFilter(method="in_period")

    class Meta:
        model = Deal
        fields: list[str] = []

    def in_period(self, deals: Rows, _name: str, period: Period) -> Rows:
        """By close date, which is the credit date."""
        return deals.filter(closes_in(period.starts, period.ends), calendar=period.calendar_id)


class DealFilters(PartnerDealFilters):
    amended = Flag(
        field_name="amended_at", lookup_expr="isnull", exclude=True, help_text="Whether an amendment waits."
    )
    external_id = Words(field_name="external_id")
    source = Words(field_name="source")
    owner = Words(field_name="owner__slug", help_text="Reps who own the deal.")
    customer = Words(field_name="customer__slug")


class CreditFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    deal = NumberFilter(field_name="deal_id", decimal_places=0, max_digits=18)
    rep = Words(field_name="rep__slug")
    team = Words(field_name="team__slug", help_text="The team stored in the entry; not the teams below it.")
    measure = Words(field_name="measure__slug")
    period = PeriodFilter(method="posted_in", help_text="Posting period, of any grain.")
    origin_period = PeriodFilter(method="originated_in", help_text="Origin period, of any grain.")
    component = Choices(choices=[(name, name) for name in NAMED], method="of_components")

    class Meta:
        model = CreditEntry
        fields: list[str] = []

    def posted_in(self, entries: Rows, _name: str, period: Period) -> Rows:
        return entries.filter(posting_period__in=_months(period))

    def originated_in(self, entries: Rows, _name: str, period: Period) -> Rows:
        return entries.filter(origin_period__in=_months(period))

    def of_components(self, entries: Rows, _name: str, names: list[str]) -> Rows:
        return entries.filter(component__in=[NAMED[name] for name in names])


class QuotaFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    measure = Words(field_name="measure__slug")
    period = PeriodFilter(field_name="period")
    rep = Words(field_name="rep__slug")
    team = Words(field_name="team__slug")
    superseded = Flag(
        method="with_superseded", help_text="Whether superseded versions are listed too; no if left out."
    )

    class Meta:
        model = Quota
        fields: list[str] = []

    def with_superseded(self, quotas: Rows, _name: str, value: bool) -> Rows:
        return quotas

    def filter_queryset(self, queryset: Rows) -> Rows:
        found: Rows = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("superseded") else found.filter(superseded_at=None)


class PeriodFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    grain = Choice(choices=[(word, word) for word in GRAINS], method="of_grain")
    state = Choices(choices=PeriodState.choices, method="in_state", help_text="Months alone have a state.")
    on = Day(method="holding", help_text="Periods that contain this day.")
    calendar = CharFilter(field_name="calendar__slug", help_text="Slug of a fiscal calendar.")

    class Meta:
        model = Period
        fields: list[str] = []

    def of_grain(self, periods: Rows, _name: str, word: str) -> Rows:
        return periods.filter(grain=GRAINS[word])

    def in_state(self, periods: Rows, _name: str, states: list[str]) -> Rows:
        return periods.filter(grain=Grain.MONTH, state__in=states)

    def holding(self, periods: Rows, _name: str, day: Any) -> Rows:
        return periods.filter(starts__lte=day, ends__gt=day)


class UsageFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    customer = Words(field_name="version__deal__customer__slug")
    offering = Words(field_name="offering__slug")
    month = PeriodFilter(method="used_in", help_text="A month; a longer period holds all of its months.")
    source = Words(field_name="version__deal__source")
    billed = Flag(
        field_name="billed_minor", lookup_expr="isnull", exclude=True, help_text="Whether the bill is known."
    )

    class Meta:
        model = DealLine
        fields: list[str] = []

    def used_in(self, lines: Rows, _name: str, period: Period) -> Rows:
        return lines.filter(version__close_date__gte=period.starts, version__close_date__lt=period.ends)


class CustomerFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    search = CharFilter(method="matching", help_text="Part of the name, or the beginning of the slug.")
    segment = Words()
    region = Words()
    country = Words()

    class Meta:
        model = Customer
        fields: list[str] = []

    def matching(self, customers: Rows, _name: str, text: str) -> Rows:
        return customers.filter(Q(name__icontains=text) | Q(slug__istartswith=text))


def _months(period: Period) -> list[int]:
    """Ids of the months of a period of any grain. As a list, so that only their partitions are read."""
    return list(
        Period.objects.filter(
            Q(pk=period.pk) | Q(quarter=period) | Q(half=period) | Q(year=period), grain=Grain.MONTH
        )
        .order_by(F("starts"))
        .values_list("pk", flat=True)
    )
