"""Filters, search, order and facets mean the same, whoever asks."""

from datetime import date
from decimal import Decimal

import pytest

from marketplace.models import Offering
from marketplace.selectors.facets import facets
from marketplace.selectors.search import DIMENSIONS, ORDERINGS, Criteria, find, ordered, stage_on, suggestion
from tests import make
from tests.marketplace.conftest import TODAY, Catalog

pytestmark = pytest.mark.django_db


def names(criteria: Criteria) -> set[str]:
    return {o.name for o in find(Offering.objects.all(), criteria)}


@pytest.mark.parametrize(
    "criteria",
    [
        Criteria(TODAY),
        Criteria(TODAY, search="gpt"),
        Criteria(TODAY, chosen={"origin": ("third",), "eligible": ("quota",)}),
        Criteria(TODAY, chosen={"task": ("coding", "agents"), "publisher": ("openai", "anthropic")}),
        Criteria(date(2025, 9, 1), chosen={"lifecycle": ("generally_available", "legacy")}),
        Criteria(
            TODAY, max_input_price=Decimal(1), chosen={"capability": ("reasoning",), "region": ("eu", "us")}
        ),
    ],
)
def test_a_facets_count_is_the_length_of_the_list_it_leads_to(catalog: Catalog, criteria: Criteria) -> None:
    for facet in facets(Offering.objects.all(), criteria):
        assert facet.values
        for value in facet.values:
            alone = Criteria(
                criteria.on,
                criteria.search,
                {**criteria.chosen, facet.name: (value.value,)},
                criteria.min_context,
                criteria.max_input_price,
            )
            assert value.count == find(Offering.objects.all(), alone).count(), (facet.name, value.value)


def test_every_offering_is_in_some_value_of_every_total_dimension(catalog: Catalog) -> None:
    found = {f.name: sum(v.count for v in f.values) for f in facets(Offering.objects.all(), Criteria(TODAY))}
    assert {name: found[name] for name in ("publisher", "origin", "path", "lifecycle")} == dict.fromkeys(
        ("publisher", "origin", "path", "lifecycle"), 95
    )
    assert found.keys() == DIMENSIONS.keys()


def test_a_chosen_value_that_leads_nowhere_is_still_shown(catalog: Catalog) -> None:
    criteria = Criteria(TODAY, search="claude", chosen={"publisher": ("meta", "nobody")})
    (publisher,) = (f for f in facets(Offering.objects.all(), criteria) if f.name == "publisher")
    assert {(v.value, v.count, v.chosen) for v in publisher.values} == {
        ("anthropic", 4, False),
        ("meta", 0, True),
        ("nobody", 0, True),
    }


def test_facets_cost_the_same_for_few_and_for_many(django_assert_num_queries: pytest.FixtureRequest) -> None:
    make.offering()
    with django_assert_num_queries(12):  # type: ignore[operator]
        facets(Offering.objects.all(), Criteria(TODAY, search="offering"))
    for _ in range(30):
        make.offering()
    with django_assert_num_queries(12):  # type: ignore[operator]
        facets(Offering.objects.all(), Criteria(TODAY, search="offering"))


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("claude son", {"Claude Sonnet 4.5"}),
        ("4o mini", {"GPT-4o mini"}),
        ("gpt-5.1-codex-mini", {"GPT-5.1 Codex Mini"}),
        ("PHI rea plus", {"Phi-4-reasoning-plus"}),
        ("anthropic opus", {"Claude Opus 4.1", "Claude Opus 4.5"}),
        ("zzz", set()),
        ("& | ! :*", set()),
        ("'; drop table", set()),
    ],
)
def test_every_word_begins_a_word_of_what_is_found(catalog: Catalog, search: str, found: set[str]) -> None:
    assert names(Criteria(TODAY, search)) == found


def test_a_misspelt_name_is_answered_with_the_nearest(catalog: Catalog) -> None:
    assert suggestion(Offering.objects.all(), "cluade sonet 4.5") == "Claude Sonnet 4.5"
    assert suggestion(Offering.objects.all(), "qqqqqqqqq") == ""


def test_values_of_one_dimension_are_alternatives_and_dimensions_narrow(catalog: Catalog) -> None:
    both = find(Offering.objects.all(), Criteria(TODAY, chosen={"publisher": ("xai", "anthropic")}))
    assert both.count() == 3 + 4
    narrowed = Criteria(TODAY, chosen={"publisher": ("xai", "anthropic"), "path": ("marketplace",)})
    assert find(Offering.objects.all(), narrowed).count() == 4


def test_unknown_context_and_unknown_price_meet_no_bound(catalog: Catalog) -> None:
    assert "GPT-Image-1" not in names(Criteria(TODAY, min_context=0))
    assert "Foundry Agent Service" not in names(Criteria(TODAY, max_input_price=Decimal(10**6)))


def test_the_price_bound_looks_at_the_day() -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"input-tokens": "2"}, effective=(date(2026, 1, 1), date(2026, 7, 1)))
    make.price(plan=plan, rows={"input-tokens": "1"}, effective=(date(2026, 7, 1), None))
    assert names(Criteria(date(2026, 6, 30), max_input_price=Decimal("1.5"))) == set()
    assert names(Criteria(date(2026, 7, 1), max_input_price=Decimal("1.5"))) == {plan.offering.name}


def test_a_price_is_compared_per_million_whatever_it_is_written_per() -> None:
    plan = make.plan()
    version = make.price(plan=plan, rows={"input-tokens": "0.002"})
    version.rows.update(per=1000)
    assert names(Criteria(TODAY, max_input_price=Decimal(2))) == {plan.offering.name}
    assert names(Criteria(TODAY, max_input_price=Decimal("1.99"))) == set()


def test_eligible_follows_the_day_and_the_most_specific_decision() -> None:
    offering = make.offering(path="marketplace")
    make.decision(path="marketplace", rate_ppm=0)
    make.decision(publisher=offering.publisher, effective=(date(2026, 1, 1), None))
    chosen = {"eligible": ("quota",)}
    assert names(Criteria(date(2025, 12, 31), chosen=chosen)) == set()
    assert names(Criteria(date(2026, 1, 1), chosen=chosen)) == {offering.name}


def test_the_stage_is_the_same_in_sql_and_in_python(catalog: Catalog) -> None:
    for day in (date(2022, 1, 1), date(2025, 6, 6), date(2026, 5, 15), TODAY, date(2028, 3, 1)):
        for offering in Offering.objects.annotate(stage=stage_on(day)):
            assert offering.stage == offering.lifecycle_on(day)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_orders_put_what_is_unknown_last_and_lose_nothing(catalog: Catalog, ordering: str) -> None:
    found = list(ordered(Offering.objects.all(), ordering, TODAY))
    assert len(found) == len({o.pk for o in found}) == 95


def test_by_price_the_cheapest_known_one_is_first(catalog: Catalog) -> None:
    cheapest, dearest = (
        ordered(Offering.objects.all(), key, TODAY)[0] for key in ("input_price", "-input_price")
    )
    assert getattr(cheapest, "input_price") == Decimal("0.02")  # noqa: B009 -- an annotation
    assert getattr(dearest, "input_price") == Decimal(15)  # noqa: B009 -- an annotation
