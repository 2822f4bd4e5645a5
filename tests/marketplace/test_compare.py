"""Side by side: what is shown of each, what is left to say when only differences are wanted, and to whom."""

from collections.abc import Callable
from datetime import date

import pytest
from django.test import Client

from accounts.models import User
from marketplace.models import Evaluation, Offering, Plan, TaskArea
from marketplace.selectors.compare import Cell, Comparison, compare
from marketplace.selectors.resources import with_facts
from tests import make
from tests.marketplace.conftest import TODAY, Catalog

pytestmark = pytest.mark.django_db
SignIn = Callable[[User], Client]


def compared(*slugs: str, on: date = TODAY) -> Comparison:
    found = {o.slug: o for o in with_facts(Offering.objects.filter(slug__in=slugs))}
    return compare([found[slug] for slug in slugs], on)


def line(comparison: Comparison, section: str, label: str) -> list[Cell]:
    (found,) = (
        one.cells for s in comparison.sections if s.title == section for one in s.lines if one.label == label
    )
    return found


def test_prices_stand_per_million_of_the_same_meter_and_tier() -> None:
    one, other = make.offering(slug="one"), make.offering(slug="other")
    make.price(plan=make.plan(offering=one), rows={"input-tokens": "3", "output-tokens": "15"})
    cheap = make.price(plan=make.plan(offering=other), rows={"input-tokens": "0.002"})
    cheap.rows.update(per=1000)
    batch = make.plan(offering=other)
    Plan.objects.filter(pk=batch.pk).update(processing_tier="batch")
    make.price(plan=batch, rows={"input-tokens": None})
    found = compared("one", "other")
    assert [c.text for c in line(found, "Prices", "Input tokens")] == ["$3.00", "$2.00"]
    assert [c.text for c in line(found, "Prices", "Output tokens")] == ["$15.00", "\N{EN DASH}"]
    assert [(c.text, c.known) for c in line(found, "Prices", "Input tokens, batch")] == [
        *(("\N{EN DASH}", False), ("unknown", False))
    ]


def test_what_is_no_token_stands_for_one_unit() -> None:
    for slug, amount, per in (("one", "5", 1000), ("other", "0.007", 1)):
        version = make.price(plan=make.plan(offering=make.offering(slug=slug)), rows={"requests": amount})
        version.rows.update(per=per, unit="request")
    assert [c.text for c in line(compared("one", "other"), "Prices", "Requests")] == ["$0.005", "$0.007"]


def test_prices_and_stage_are_those_of_the_day() -> None:
    plan = make.plan(offering=make.offering(slug="one", retires_on=date(2026, 7, 1)))
    make.price(plan=plan, rows={"input-tokens": "2"}, effective=(date(2026, 1, 1), date(2026, 6, 1)))
    make.price(plan=plan, rows={"input-tokens": "1"}, effective=(date(2026, 6, 1), None))
    for day, price, stage in (
        (date(2026, 5, 31), "$2.00", "Generally available"),
        (TODAY, "$1.00", "Retired"),
    ):
        found = compared("one", on=day)
        assert line(found, "Prices", "Input tokens")[0].text == price
        assert line(found, "Lifecycle", "Stage")[0].text == stage


def test_results_stand_together_only_under_one_harness_and_nobody_is_called_best() -> None:
    task = TaskArea.objects.create(slug="coding", name="Coding")
    one, other = make.offering(slug="one"), make.offering(slug="other")
    for offering, score, harness in ((one, 50, "a"), (other, 60, "a"), (other, 99, "b")):
        Evaluation.objects.create(
            task_area=task,
            model_version=offering.model_version,
            subject=offering.name,
            benchmark="Bench",
            metric="pass_rate",
            harness=harness,
            sample_size=225,
            score=score,
            source="test",
        )
    (section,) = (s for s in compared("one", "other").sections if s.title == "Evidence by task")
    assert [[(c.text, c.note) for c in one_line.cells] for one_line in section.lines] == [
        [("50", "place 2 of 2, n 225"), ("60", "place 1 of 2, n 225")],
        [("\N{EN DASH}", "not tested"), ("99", "place 1 of 1, n 225")],
    ]
    assert not any(c.tone for one_line in section.lines for c in one_line.cells)


def test_only_differences_leaves_out_what_is_the_same_and_keeps_the_rest(catalog: Catalog) -> None:
    whole = compared("claude-sonnet-4-5", "claude-haiku-4-5")
    left = whole.differences()
    assert {line.label for s in left.sections for line in s.lines} == {
        one.label
        for s in whole.sections
        for one in s.lines
        if len({(c.text, c.known) for c in one.cells}) > 1
    }
    facts = {one.label for s in left.sections for one in s.lines}
    assert "Model" in facts
    assert "Publisher" not in facts


def test_it_takes_as_many_queries_for_four_as_for_two(
    catalog: Catalog, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    with_evidence = Offering.objects.filter(model_version__evaluations__isnull=False).distinct()
    some = list(with_facts(with_evidence.order_by("pk"))[:4])
    assert len(some) == 4
    for number in (2, 4):
        with django_assert_num_queries(5):  # type: ignore[operator]
            compare(some[:number], TODAY)


def test_the_page_is_shared_by_its_address(catalog: Catalog, browser_of: SignIn) -> None:
    rep = browser_of(make.user(role="rep"))
    boxes = rep.get(
        "/catalog/compare/?search=x&offering=claude-sonnet-4-5&offering=claude-haiku-4-5&as_of=2026-01-01"
    )
    assert boxes.status_code == 302
    assert boxes["Location"] == (
        "/catalog/compare/?offerings=claude-sonnet-4-5,claude-haiku-4-5&as_of=2026-01-01"
    )
    page = rep.get(boxes["Location"]).content.decode()
    assert page.index("Claude Sonnet 4.5</a>") < page.index("Claude Haiku 4.5</a>")
    assert "Only differences" in page
    only = rep.get(f"{boxes['Location']}&only=differences")
    assert len(only.content) < len(page.encode())


def test_of_more_than_four_the_first_four_are_shown_and_it_says_so(
    catalog: Catalog, browser_of: SignIn
) -> None:
    slugs = list(Offering.objects.order_by("pk").values_list("slug", flat=True)[:6])
    answer = browser_of(make.user(role="rep")).get("/catalog/compare/", {"offering": slugs}, follow=True)
    assert "2 are left out" in answer.content.decode()
    assert len(answer.context["heads"]) == 4


def test_another_publishers_unpublished_offering_is_not_in_the_catalog(browser_of: SignIn) -> None:
    make.offering(slug="secret", name="Very Secret", publication="draft")
    make.offering(slug="public")
    partner = browser_of(make.user(role="partner"))
    page = partner.get("/catalog/compare/?offerings=public,secret,nothing").content.decode()
    assert "Not in the catalog: secret, nothing." in page
    assert "Very Secret" not in page


def test_an_offering_is_set_beside_two_that_serve_the_same_tasks(
    catalog: Catalog, browser_of: SignIn
) -> None:
    rep = browser_of(make.user(role="rep"))
    sent = rep.get("/catalog/compare/?beside=claude-sonnet-4-5")["Location"]
    slugs = sent.removeprefix("/catalog/compare/?offerings=").split(",")
    assert slugs[0] == "claude-sonnet-4-5"
    tasks = Offering.objects.get(slug=slugs[0]).task_areas.all()
    others = Offering.objects.filter(slug__in=slugs[1:], task_areas__in=tasks).distinct()
    assert len(slugs) == 3 == 1 + len(others)
    assert rep.get("/catalog/compare/?beside=nothing").status_code == 404


def test_nothing_chosen_says_what_to_do(browser_of: SignIn) -> None:
    page = browser_of(make.user(role="rep")).get("/catalog/compare/").content.decode()
    assert "Nothing to compare yet" in page
