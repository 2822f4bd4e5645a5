"""Filters, search, order and facets mean the same, whoever asks."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random

import pytest
from django.db.models import Case, Value, When

from marketplace.models import AiModel, Alias, Evaluation, Offering, Publisher, TaskArea
from marketplace.selectors.facets import facets
from marketplace.selectors.headlines import headlines
from marketplace.selectors.search import DIMENSIONS, ORDERINGS, Criteria, find, ordered, stage_on
from marketplace.selectors.spelling import distance, read_as, with_a_word_less
from marketplace.selectors.visibility import offerings_for
from marketplace.services.indexing import reindex
from tests import make
from tests.marketplace.conftest import TODAY, Catalog

pytestmark = pytest.mark.django_db


def names(criteria: Criteria) -> set[str]:
    return {o.name for o in find(Offering.objects.all(), criteria)}


def test_a_facets_count_is_the_length_of_the_list_it_leads_to(
    catalog: Catalog, subtests: pytest.Subtests
) -> None:
    for case, criteria in enumerate(
        (
            Criteria(TODAY),
            Criteria(TODAY, search="gpt"),
            Criteria(TODAY, chosen={"origin": ("third",), "eligible": ("quota",)}),
            Criteria(TODAY, chosen={"task": ("coding", "agents"), "publisher": ("openai", "anthropic")}),
            Criteria(date(2025, 9, 1), chosen={"lifecycle": ("generally_available", "legacy")}),
            Criteria(
                TODAY,
                max_input_price=Decimal(1),
                chosen={"capability": ("reasoning",), "region": ("eu", "us")},
            ),
            Criteria(
                TODAY, min_input_price=Decimal(2), max_context=200_000, chosen={"modality_in": ("image",)}
            ),
        )
    ):
        with subtests.test(case=case):
            for facet in facets(Offering.objects.all(), criteria):
                assert facet.values
                for value in facet.values:
                    alone = replace(criteria, chosen={**criteria.chosen, facet.name: (value.value,)})
                    assert value.count == find(Offering.objects.all(), alone).count(), (
                        facet.name,
                        value.value,
                    )


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
    reindex()
    with django_assert_num_queries(4):  # type: ignore[operator]
        facets(Offering.objects.all(), Criteria(TODAY, search="offering"))
    for _ in range(5):
        make.offering()
    reindex()
    with django_assert_num_queries(4):  # type: ignore[operator]
        facets(Offering.objects.all(), Criteria(TODAY, search="offering"))


def test_every_word_begins_a_word_of_what_is_found(catalog: Catalog, subtests: pytest.Subtests) -> None:
    for search, found in (
        ("claude son", {"Claude Sonnet 4.5"}),
        ("4o mini", {"GPT-4o mini"}),
        ("gpt-5.1-codex-mini", {"GPT-5.1 Codex Mini"}),
        ("PHI rea plus", {"Phi-4-reasoning-plus"}),
        ("anthropic opus", {"Claude Opus 4.1", "Claude Opus 4.5"}),
        ("zzz", set()),
        ("& | ! :*", set()),
        ("'; drop table", set()),
    ):
        with subtests.test(search=search):
            assert names(Criteria(TODAY, search)) == found


def test_a_misspelt_word_is_read_as_the_nearest_of_some_name(
    catalog: Catalog, subtests: pytest.Subtests
) -> None:
    for typed, read, first in (
        ("cluade sonet 4.5", "claude sonnet 4 5", "Claude Sonnet 4.5"),
        ("opsu", "opus", "Claude Opus 4.1"),
        ("antropic", "anthropic", "Claude Haiku 4.5"),
        ("claude", "", "Claude Haiku 4.5"),  # taken as it is written
        ("qqqqqqqqq", "", None),
    ):
        with subtests.test(typed=typed):
            criteria, said = read_as(Offering.objects.all(), Criteria(TODAY, typed))
            assert said == read
            found = ordered(find(Offering.objects.all(), criteria), "relevance", criteria).first()
            assert (found.name if found else None) == first


def test_a_reading_costs_one_query_where_the_search_finds_something_else_three(
    catalog: Catalog, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    for search, queries in (("claude", 1), ("cluade sonet", 3), ("zzzz qqqq", 2), ("", 0)):
        with django_assert_num_queries(queries):  # type: ignore[operator]
            read_as(Offering.objects.all(), Criteria(TODAY, search))


def test_no_reading_leads_to_a_name_that_the_reader_may_not_know() -> None:
    make.offering(name="Zephyrion", publication="draft")
    make.offering(name="Zebra")
    reindex()
    visible = offerings_for(make.user(role="rep"))
    assert read_as(visible, Criteria(TODAY, "zephyrino"))[1] == ""
    assert read_as(Offering.objects.all(), Criteria(TODAY, "zephyrino"))[1] == "zephyrion"


def test_without_one_of_its_words_a_search_may_find_something(catalog: Catalog) -> None:
    readings = with_a_word_less(Offering.objects.all(), Criteria(TODAY, "claude sonnet mistral"))
    assert [(r.search, r.found) for r in readings] == [("claude sonnet", 1)]


@pytest.mark.parametrize(
    ("typed", "known", "slips"),
    [
        ("claude", "claude", (0, 0)),
        ("cluade", "claude", (1, 1)),  # swapped
        ("sonet", "sonnet", (1, 1)),  # lost
        ("clau", "claude", (0, 2)),  # only begun
        ("gpy", "gpt", (1, 1)),
    ],
)
def test_slips_are_counted_to_the_beginning_and_to_the_end(
    typed: str, known: str, slips: tuple[int, int]
) -> None:
    assert distance(typed, known) == slips


def test_names_of_yesterday_and_of_other_places_are_found() -> None:
    offering = make.offering(name="Claude Sonnet 4.5")
    plan = make.plan(offering=make.offering(name="Other"))
    for alias in (
        Alias(used_by="litellm", name="vertex_ai/claude-Réal@2025", offering=offering),
        Alias(used_by="", name="Batch special", plan=plan),
        Alias(used_by="", name="internal code name", model_version=offering.model_version),
    ):
        alias.effective = (date(2024, 1, 1), date(2025, 1, 1))
        alias.save()
    reindex()
    assert names(Criteria(TODAY, "vertex real")) == {"Claude Sonnet 4.5"}
    assert names(Criteria(TODAY, "RÉAL")) == {"Claude Sonnet 4.5"}
    assert names(Criteria(TODAY, "code inter")) == {"Claude Sonnet 4.5"}
    assert names(Criteria(TODAY, "batch spec")) == {"Other"}
    assert names(Criteria(TODAY, "sonnet45")) == {"Claude Sonnet 4.5"}


def test_what_is_the_name_comes_before_what_begins_it_holds_it_and_is_only_about_it() -> None:
    about = make.offering(name="A long tale")
    Offering.objects.filter(pk=about.pk).update(summary="Better than Nova")
    by_family = make.offering(name="Zen", family="nova")
    holds, begins, exact = (make.offering(name=n) for n in ("Super Nova", "Nova Pro", "Nova"))
    reindex()
    criteria = Criteria(TODAY, "nova")
    found = list(ordered(find(Offering.objects.all(), criteria), "relevance", criteria))
    assert found == [exact, begins, holds, by_family, about]


def test_whose_it_is_plays_no_part_in_any_order(catalog: Catalog) -> None:
    """Publishers change places: their offerings and models go to others of the other origin, and every list stays as it was."""

    def listed(*searches: str) -> dict[tuple[str, str], list[int]]:
        asked = [(Criteria(TODAY, search), ordering) for search in searches for ordering in ORDERINGS]
        return {
            (c.search, o): [x.pk for x in ordered(find(Offering.objects.all(), c), o, c)] for c, o in asked
        }

    before = listed("")
    # Names that no search hits, so that a publisher's name found as text is not what moves.
    letters = str.maketrans("0123456789", "qrstuvwxyz")
    for publisher in Publisher.objects.all():
        Publisher.objects.filter(pk=publisher.pk).update(name="-", slug=str(publisher.pk).translate(letters))
    reindex()
    neutral = listed("", "g", "4 mini", "claude")
    ids = list(Publisher.objects.order_by("pk").values_list("pk", flat=True))
    dealt = Random(7).sample(ids, len(ids))
    assert all(neutral.values())
    assert dealt != ids
    to = Case(*(When(publisher=one, then=Value(other)) for one, other in zip(ids, dealt, strict=True)))
    Offering.objects.update(publisher=to)
    AiModel.objects.update(publisher=to)
    Publisher.objects.update(origin=Case(When(origin="first", then=Value("third")), default=Value("first")))
    reindex()
    assert listed("", "g", "4 mini", "claude") == neutral
    assert {key: found for key, found in neutral.items() if not key[0]} == before


def test_by_evidence_what_was_never_compared_comes_last_and_harnesses_do_not_mix() -> None:
    coding = TaskArea.objects.create(slug="coding", name="Coding")
    other = TaskArea.objects.create(slug="other", name="Other")
    best, middle, worst, unknown = (make.offering(name=n) for n in ("D", "C", "B", "A"))

    def result(offering: Offering, score: int, harness: str, task: TaskArea = coding) -> None:
        Evaluation.objects.create(
            task_area=task,
            model_version=offering.model_version,
            subject=offering.name,
            benchmark="Bench",
            metric="pass_rate",
            harness=harness,
            score=score,
            source="test",
        )

    # 40 of another harness is not more than 30 of this one.
    for offering, score, harness in (
        *((best, 30, "one"), (middle, 20, "one")),
        *((middle, 41, "two"), (worst, 40, "two")),
    ):
        result(offering, score, harness)
    result(worst, 99, "one", other)
    result(best, 1, "one", other)
    reindex()
    criteria = Criteria(TODAY, chosen={})
    by_task = replace(criteria, chosen={"task": ("coding",)})
    for offering in (best, middle, worst, unknown):
        offering.task_areas.add(coding)
    reindex()
    assert [o.name for o in ordered(find(Offering.objects.all(), by_task), "evidence", by_task)] == [
        *("D", "C", "B", "A")
    ]
    shown = ordered(Offering.objects.all(), "evidence", by_task)
    assert getattr(shown[3], "evidence") is None  # noqa: B009 -- an annotation


def test_values_of_one_dimension_are_alternatives_and_dimensions_narrow(catalog: Catalog) -> None:
    both = find(Offering.objects.all(), Criteria(TODAY, chosen={"publisher": ("xai", "anthropic")}))
    assert both.count() == 3 + 4
    narrowed = Criteria(TODAY, chosen={"publisher": ("xai", "anthropic"), "path": ("marketplace",)})
    assert find(Offering.objects.all(), narrowed).count() == 4


def test_context_has_two_bounds(catalog: Catalog) -> None:
    some = find(Offering.objects.all(), Criteria(TODAY, min_context=100_000, max_context=150_000))
    windows = {o.model_version.context_window for o in some if o.model_version}
    assert windows == {128_000, 131_072}


def test_unknown_context_and_unknown_price_meet_no_bound(catalog: Catalog) -> None:
    assert "GPT-Image-1" not in names(Criteria(TODAY, min_context=0))
    assert "Foundry Agent Service" not in names(Criteria(TODAY, max_input_price=Decimal(10**6)))


def test_the_price_bounds_look_at_the_day() -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"input-tokens": "2"}, effective=(date(2026, 1, 1), date(2026, 7, 1)))
    make.price(plan=plan, rows={"input-tokens": "1"}, effective=(date(2026, 7, 1), None))
    reindex()
    assert names(Criteria(date(2026, 6, 30), min_input_price=Decimal("1.5"))) == {plan.offering.name}
    assert names(Criteria(date(2026, 7, 1), min_input_price=Decimal("1.5"))) == set()
    assert names(Criteria(date(2025, 12, 31), max_input_price=Decimal(9))) == set()
    assert names(Criteria(date(2026, 6, 30), max_input_price=Decimal("1.5"))) == set()
    assert names(Criteria(date(2026, 7, 1), max_input_price=Decimal("1.5"))) == {plan.offering.name}


def test_a_price_is_compared_per_million_whatever_it_is_written_per() -> None:
    plan = make.plan()
    version = make.price(plan=plan, rows={"input-tokens": "0.002"})
    version.rows.update(per=1000)
    reindex()
    assert names(Criteria(TODAY, max_input_price=Decimal(2))) == {plan.offering.name}
    assert names(Criteria(TODAY, max_input_price=Decimal("1.99"))) == set()


@pytest.mark.parametrize(
    ("rows", "per", "unit", "said"),
    [
        ({"input-tokens": "0.002", "output-tokens": "0.0125"}, 1000, "token", "USD 2.00 / USD 12.50 million tokens in / out"),
        ({"output-tokens": "0.015"}, 1000, "token", "USD 15.00 per million tokens"),
        ({"requests": "5"}, 1000, "request", "USD 5.00 per thousand requests"),
        ({"provisioned-units": "1"}, 1, "unit-hour", "USD 1.00 per unit and hour"),
    ],
)  # fmt: skip
def test_the_price_of_a_row_says_for_how_many_units_it_is(
    rows: dict[str, str | None], per: int, unit: str, said: str
) -> None:
    plan = make.plan()
    make.price(plan=plan, rows=rows).rows.update(per=per, unit=unit)
    found = headlines([plan.offering_id], TODAY)[plan.offering_id]
    assert f"{found.text} {found.per}".replace("\N{NO-BREAK SPACE}", " ") == said


def test_eligible_follows_the_day_and_the_most_specific_decision() -> None:
    offering = make.offering(path="marketplace")
    make.decision(path="marketplace", rate_ppm=0)
    make.decision(publisher=offering.publisher, effective=(date(2026, 1, 1), None))
    chosen = {"eligible": ("quota",)}
    reindex()
    assert names(Criteria(date(2025, 12, 31), chosen=chosen)) == set()
    assert names(Criteria(date(2026, 1, 1), chosen=chosen)) == {offering.name}


def test_the_stage_is_the_same_in_sql_and_in_python(catalog: Catalog) -> None:
    for day in (date(2022, 1, 1), date(2025, 6, 6), date(2026, 5, 15), TODAY, date(2028, 3, 1)):
        for offering in Offering.objects.annotate(stage=stage_on(day)):
            assert offering.stage == offering.lifecycle_on(day)


def test_orders_put_what_is_unknown_last_and_lose_nothing(
    catalog: Catalog, subtests: pytest.Subtests
) -> None:
    for ordering in ORDERINGS:
        with subtests.test(ordering=ordering):
            found = list(ordered(Offering.objects.all(), ordering, Criteria(TODAY)))
            assert len(found) == len({o.pk for o in found}) == 95


def test_by_price_the_cheapest_known_one_is_first(catalog: Catalog) -> None:
    cheapest, dearest = (
        ordered(Offering.objects.all(), key, Criteria(TODAY))[0] for key in ("input_price", "-input_price")
    )
    assert getattr(cheapest, "input_price") == Decimal("0.02")  # noqa: B009 -- an annotation
    assert getattr(dearest, "input_price") == Decimal(15)  # noqa: B009 -- an annotation
