"""Equal footing: exposure is worked out from the lists, labels shuffled change nothing, and nobody learns what is not theirs."""

import math
import random
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from marketplace.extension import Sales, sales_between
from marketplace.models import CommercialPath, Offering, Plan, Program, Publication, Publisher, TaskArea
from marketplace.selectors import exposure
from marketplace.selectors.exposure import relabelled, shares_of, shuffle_check
from marketplace.selectors.footing import Footing, footing
from marketplace.selectors.on_sale import on_sale, why_not
from marketplace.selectors.recommender import Constraints, Field, Recommendation, load, rank
from quotas.models import DealKind, DealState
from tests import make
from tests.marketplace.conftest import TODAY, Catalog
from tests.marketplace.evidence_world import rated, result, sold, task

Browser = Callable[[User], Client]

pytestmark = pytest.mark.django_db


def of(sales: list[Sales] | None = None, on: date = TODAY) -> Footing:
    return footing(Offering.objects.all(), on, sales or [], shuffles=3, seed=7)


# Exposure.


def test_a_list_weighs_its_places_and_adds_up_to_one() -> None:
    shares = shares_of([[1], [2], [1]])
    weights = [1.0, 1 / math.log2(3), 0.5]
    assert shares == pytest.approx(
        {1: (weights[0] + weights[2]) / sum(weights), 2: weights[1] / sum(weights)}
    )
    assert shares_of([]) == {}


def test_equal_places_share_what_they_take_together() -> None:
    shares = shares_of([[1, 2], [3]])
    assert shares[1] == shares[2]
    assert shares[1] + shares[2] == pytest.approx((1 + 1 / math.log2(3)) / (1.5 + 1 / math.log2(3)))


def test_every_list_adds_up_and_the_share_is_their_mean(catalog: Catalog) -> None:
    found = of()
    for shares in (found.exposure.by_name, found.exposure.by_price, found.exposure.recommended):
        assert math.fsum(shares.values()) == pytest.approx(1)
    assert math.fsum(row.seen or 0 for row in found.rows) == pytest.approx(1)
    row = found.rows[0]
    assert row.seen == pytest.approx((row.seen_by_name + row.seen_by_price + row.recommended) / 3)


def test_what_may_be_sold_is_the_same_in_sql_as_in_python(catalog: Catalog) -> None:
    for publication, spare in zip(Publication, Offering.objects.order_by("pk")[:12], strict=True):
        Offering.objects.filter(pk=spare.pk).update(publication=publication)
    Offering.objects.filter(slug="gpt-5").update(commercial_path=CommercialPath.INTERNAL)
    every = list(Offering.objects.select_related("replacement"))
    for day in (date(2024, 12, 1), TODAY, date(2027, 4, 1)):
        assert set(on_sale(Offering.objects.all(), day)) == {o for o in every if why_not(o, day) is None}


# The check.


def test_labels_shuffled_on_the_real_catalog_the_order_stays(catalog: Catalog) -> None:
    check = footing(Offering.objects.all(), TODAY, [], shuffles=20, seed=7).check
    assert check.held
    assert (check.shuffles, check.seed, check.tasks, check.places) == (20, 7, 2, 40)


def test_the_check_deals_labels_and_treatment_out_anew(catalog: Catalog) -> None:
    known = load(Offering.objects.all(), TODAY, tasks=TaskArea.objects.all(), order_only=True)
    dealt = relabelled(known, random.Random(1))
    assert [o.pk for o in dealt.offerings] == [o.pk for o in known.offerings]
    before, after = ([o.publisher.slug for o in field.offerings] for field in (known, dealt))
    assert before != after
    assert sorted(before) == sorted(after)
    assert [o.publisher_id for o in known.offerings] == [
        o.publisher_id
        for o in Offering.objects.filter(pk__in=[o.pk for o in known.offerings]).order_by("name", "id")
    ]
    treated = [[f.treated[o.pk][Program.QUOTA].rate_ppm for o in f.offerings] for f in (known, dealt)]
    assert treated[0] != treated[1]


def test_a_ranking_that_looks_at_the_publisher_is_found_out(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def partial(field: Field, area: TaskArea, constraints: Constraints) -> Recommendation:
        found = rank(field, area, constraints)
        found.ranked.sort(key=lambda c: c.offering.publisher.slug != "microsoft")
        return found

    monkeypatch.setattr(exposure, "rank", partial)
    known = load(Offering.objects.all(), TODAY, tasks=TaskArea.objects.all(), order_only=True)
    check = shuffle_check(known, list(TaskArea.objects.all()))
    assert not check.held
    assert "Groundedness" in check.changed


# What is set side by side.


def test_offerings_plans_and_treatment_are_counted_by_publisher() -> None:
    first, second = make.publisher(name="Beta"), make.publisher(name="Alpha", origin="first")
    one, two = make.offering(publisher=first), make.offering(publisher=first)
    other = make.offering(publisher=second)
    Offering.objects.filter(pk=two.pk).update(billing_countries=["DE"])
    make.offering(publisher=first, publication="draft")
    for offering, tier, deployment in (
        (one, "standard", "global-standard"),
        (one, "batch", "global-batch"),
        (two, "standard", ""),
        (other, "standard", "global-standard"),
    ):
        plan = make.plan(offering=offering)
        Plan.objects.filter(pk=plan.pk).update(processing_tier=tier, deployment=deployment)
    make.plan(offering=one, public=False)
    withdrawn = make.plan(offering=one)
    Plan.objects.filter(pk=withdrawn.pk).update(withdrawn_on=TODAY)
    make.decision(offering=one, rate_ppm=500_000)
    make.decision(offering=two, rate_ppm=0)
    found = of()
    assert [row.publisher.name for row in found.rows] == ["Alpha", "Beta"]
    beta = found.rows[1]
    assert (beta.offerings, beta.plans, beta.countries) == (2, 3, 1)
    assert beta.deployments == {"global-standard": 1, "global-batch": 1, "": 1}
    assert beta.tiers == {"standard": 2, "batch": 1}
    assert beta.counting[Program.QUOTA] == 1
    assert (found.deployments, found.tiers) == (
        ["global-batch", "global-standard", ""],
        ["standard", "batch"],
    )


def test_sales_are_added_up_by_publisher_also_of_what_is_no_longer_sold() -> None:
    gone = make.offering(publisher=make.publisher(name="Gone"), publication="archived")
    kept = make.offering(publisher=make.publisher(name="Kept"))
    found = of(
        [
            Sales(gone.pk, 1, {"USD": 100}),
            Sales(kept.pk, 2, {"USD": 300, "JPY": 5}),
            Sales(kept.pk, 1, {"USD": 1}),
        ]
    )
    assert [(r.publisher.name, r.offerings, r.sold.deals, r.sold.value_minor) for r in found.rows] == [
        ("Gone", 0, 1, {"USD": 100}),
        ("Kept", 1, 3, {"USD": 301, "JPY": 5}),
    ]
    assert (found.deals, found.value_minor) == (4, {"USD": 401, "JPY": 5})


def test_the_number_of_queries_does_not_grow(catalog: Catalog) -> None:
    counts = []
    for _round in range(2):
        with CaptureQueriesContext(connection) as captured:
            of()
        counts.append(len(captured))
        area = task("coding")
        for _n in range(4):
            offering = sold(area)
            result(offering, "50", area=area, benchmark=f"B{_n}")
    assert counts[0] == counts[1] <= 20


# Sales, as quotas tells of them.


def approved(world: make.World, *lines: make.Line, day: date = TODAY, **more: object) -> object:
    return make.deal(owner=world.ana, lines=list(lines), close_date=day, state=DealState.APPROVED, **more)  # type: ignore[arg-type]


def sales_of(
    user: User, first: date = TODAY, end: date = TODAY + timedelta(days=1)
) -> dict[int, tuple[int, dict[str, int]]]:
    return {s.offering_id: (s.deals, s.value_minor) for s in sales_between(user, first, end)}


def test_only_approved_deals_of_the_span_count() -> None:
    world = make.world()
    line = make.Line(world.third, 100_00)
    approved(world, line)
    approved(world, line, day=TODAY - timedelta(days=1))
    approved(world, line, day=TODAY + timedelta(days=1))
    make.deal(owner=world.ana, lines=[line], close_date=TODAY, state=DealState.SUBMITTED)
    assert sales_of(world.admin) == {world.third.pk: (1, {"USD": 100_00})}
    assert sales_of(world.admin, first=TODAY - timedelta(days=1)) == {world.third.pk: (2, {"USD": 200_00})}


def test_value_is_in_the_measure_s_currency_and_a_refund_is_no_deal() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.5")
    sold_one = approved(world, make.Line(world.third, 100_00), code="EUR")
    approved(world, make.Line(world.third, 10_00), code="GBP")
    approved(world, make.Line(world.third, -40_00), kind=DealKind.REFUND, refunds=sold_one, code="EUR")
    assert sales_of(world.admin) == {world.third.pk: (2, {"GBP": 10_00, "USD": 90_00})}


def test_a_partner_hears_of_its_own_lines_alone_and_a_rep_of_its_own_deals() -> None:
    world = make.world()
    approved(world, make.Line(world.third, 100_00), make.Line(world.house, 900_00))
    approved(world, make.Line(world.house, 1_00))
    partner = make.user(role=Role.PARTNER, publisher=world.third.publisher)
    assert sales_of(partner) == {world.third.pk: (1, {"USD": 100_00})}
    assert set(sales_of(make.login(world.ana))) == {world.third.pk, world.house.pk}
    assert sales_of(make.login(world.cy)) == {}
    assert sales_of(make.user(role=Role.ENGINEER)) == {}


# The page.


def test_the_page_shows_shares_to_who_sees_all_and_none_to_a_partner(browser_of: Browser) -> None:
    world = make.world()
    approved(world, make.Line(world.third, 300_00))
    approved(world, make.Line(world.house, 100_00))
    shown = {r["row"].publisher: r for r in browser_of(world.admin).get("/equal-footing/").context["rows"]}
    third, house = shown[world.third.publisher], shown[world.house.publisher]
    assert (third["value"], third["value_share"], third["deals_share"]) == ("$300", "75.0%", "50.0%")
    assert house["value_share"] == "25.0%"
    partner = make.user(role=Role.PARTNER, publisher=world.third.publisher)
    page = browser_of(partner).get("/equal-footing/")
    own = {r["row"].publisher: r for r in page.context["rows"]}
    assert (own[world.third.publisher]["value"], own[world.third.publisher]["value_share"]) == ("$300", "–")
    assert own[world.house.publisher]["value"] == "–"
    assert b"What others sold is theirs" in page.content


def test_a_page_of_publishers_and_the_figures_of_all(
    browser_of: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.views.footing.PAGE", 1)
    for name in ("Alpha", "Beta"):
        make.offering(publisher=make.publisher(name=name))
    client = browser_of(make.user(role=Role.REP))
    for page, name in (("1", "Alpha"), ("2", "Beta")):
        seen = client.get(f"/equal-footing/?page={page}")
        assert [(row["row"].publisher.name, row["share"]) for row in seen.context["rows"]] == [
            (name, "50.0%")
        ]
        assert seen.context["found"].offerings == 2


def test_the_span_of_deals_stands_in_the_address_and_nonsense_is_left_aside(browser_of: Browser) -> None:
    world = make.world()
    approved(world, make.Line(world.third, 300_00), day=TODAY - timedelta(days=100))
    client = browser_of(world.admin)
    assert client.get("/equal-footing/?days=90").context["found"].deals == 0
    assert client.get("/equal-footing/?days=365").context["found"].deals == 1
    for query in ("days=x", "days=0", "days=99999999999", "as_of=2025-02-31"):
        assert client.get(f"/equal-footing/?{query}").status_code == 200


def test_the_page_says_what_was_checked_and_where_the_policy_is_from(
    catalog: Catalog, browser_of: Browser
) -> None:
    html = browser_of(make.user(role="rep")).get("/equal-footing/").content.decode()
    assert "Publisher labels shuffled, the ranking stays." in html
    assert "20 times (random numbers from seed 7)" in html
    assert "2 tasks with 40 places" in html
    for slug in ("quota-parity", "quota-default", "marketplace-parity"):
        assert f'href="/sourcing/facts/#fact-{slug}"' in html
    assert "Paragraph 2, references 7, 1, 8, 9, 5, 10" in html


def test_nothing_on_sale_says_so(browser_of: Browser) -> None:
    assert b"Nothing is on sale" in browser_of(make.user(role="rep")).get("/equal-footing/").content


def test_rated_offerings_of_the_world_have_a_place() -> None:
    rated("2", "1")
    assert [row.recommended > 0 for row in of().rows] == [True, True]
    assert Publisher.objects.count() == 2
