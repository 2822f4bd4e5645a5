"""The one answer: every stable reason why not, and everything else it says, each with its why."""

from datetime import date, timedelta

import pytest

from config.refusals import NotFound
from marketplace.models import Offering, Plan, Program
from marketplace.selectors.answer import answer
from marketplace.selectors.on_sale import not_sellable
from marketplace.selectors.resources import with_facts
from tests import make

ON = date(2026, 8, 14)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


def fresh(offering: Offering) -> Offering:
    return with_facts(Offering.objects.filter(pk=offering.pk)).get()


def reason(offering: Offering, on: date = ON, country: str = "") -> str | None:
    refusal = answer(fresh(offering), on=on, country=country).refusal
    return refusal.code if refusal else None


@pytest.mark.parametrize(
    "state", ["draft", "submitted", "in_review", "approved", "scheduled", "stopped", "suspended", "archived"]
)
def test_what_is_not_published_cannot_be_sold(state: str) -> None:
    assert reason(make.offering(publication=state)) == "not_published"


def test_what_is_for_internal_use_cannot_be_sold() -> None:
    assert reason(make.offering(path="internal_only")) == "internal_only"


def test_nothing_is_sold_before_its_first_day() -> None:
    offering = make.offering(available_on=ON)
    assert reason(offering, ON - DAY) == "not_yet_available"
    assert reason(offering, ON) is None


def test_without_any_date_it_is_not_yet_available() -> None:
    assert reason(make.offering(available_on=None)) == "not_yet_available"


def test_a_deprecated_one_takes_no_new_deals_and_a_retired_one_says_so() -> None:
    offering = make.offering(deprecated_on=ON, retires_on=ON + 90 * DAY)
    assert reason(offering, ON - DAY) is None
    assert reason(offering, ON) == "deprecated"
    assert reason(offering, ON + 89 * DAY) == "deprecated"
    assert reason(offering, ON + 90 * DAY) == "retired"


def test_it_is_sold_only_where_it_may_be_billed() -> None:
    offering = make.offering()
    Offering.objects.filter(pk=offering.pk).update(billing_countries=["DE", "FR"])
    assert reason(offering, country="US") == "region_unavailable"
    assert reason(offering, country="de") is None
    assert reason(offering) is None


def test_the_customers_country_is_taken_where_none_is_given() -> None:
    offering = make.offering()
    Offering.objects.filter(pk=offering.pk).update(billing_countries=["DE"])
    given = answer(fresh(offering), on=ON, customer=make.customer(country="US"))
    assert given.country == "US"
    assert given.refusal is not None
    assert given.refusal.code == "region_unavailable"


def test_a_retired_one_names_its_replacement_in_the_reason() -> None:
    newer = make.offering(name="Newer")
    given = answer(fresh(make.offering(retires_on=ON, replacement=newer)), on=ON)
    assert given.refusal is not None
    assert (given.refusal.replacement_id, given.refusal.replacement_slug) == (newer.pk, newer.slug)
    assert "It is replaced by Newer." in given.why
    assert given.replacement == newer


def test_one_that_is_not_out_yet_does_not_send_people_elsewhere() -> None:
    given = answer(fresh(make.offering(available_on=ON + DAY, replacement=make.offering())), on=ON)
    assert given.refusal is not None
    assert given.refusal.replacement_id is None


def test_it_says_until_when() -> None:
    assert answer(fresh(make.offering()), on=ON).until is None
    ending = answer(fresh(make.offering(deprecated_on=ON + DAY, retires_on=ON + 91 * DAY)), on=ON)
    assert (ending.sellable, ending.until) == (True, ON + DAY)


def test_a_gap_between_prices_is_a_warning_and_no_price() -> None:
    plan = make.plan()
    make.price(plan=plan, effective=(date(2026, 1, 1), date(2026, 8, 14)))
    later = make.price(plan=plan, effective=(date(2026, 9, 1), None))
    gap = answer(fresh(plan.offering), on=ON)
    assert gap.sellable
    assert gap.prices == []
    assert [c.code for c in gap.warnings] == ["no_price_in_effect"]
    assert answer(fresh(plan.offering), on=date(2026, 9, 1)).prices == [later]
    assert answer(fresh(plan.offering), on=date(2026, 8, 13)).warnings == []


def test_an_unknown_price_is_a_warning_of_its_own() -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"input-tokens": None})
    assert [c.code for c in answer(fresh(plan.offering), on=ON).warnings] == ["price_unknown"]


def test_a_market_of_its_own_takes_the_place_of_the_world() -> None:
    plan = make.plan()
    world = make.price(plan=plan)
    german = make.price(plan=plan, market="DE")
    assert answer(fresh(plan.offering), on=ON, country="DE").prices == [german]
    assert answer(fresh(plan.offering), on=ON, country="FR").prices == [world]


def test_preview_legacy_and_private_plans_are_said() -> None:
    preview = make.offering(available_on=None)
    Offering.objects.filter(pk=preview.pk).update(preview_on=ON)
    make.price(plan=make.plan(offering=preview))
    assert [c.code for c in answer(fresh(preview), on=ON).warnings] == ["preview"]

    legacy = make.offering(deprecated_on=ON + 30 * DAY, retires_on=ON + 120 * DAY)
    Offering.objects.filter(pk=legacy.pk).update(legacy_on=ON)
    private = make.plan(offering=legacy, public=False)
    make.price(plan=private)
    codes = [c.code for c in answer(fresh(legacy), on=ON, plan=private).warnings]
    assert codes == ["legacy", "private_plan"]


def test_a_plan_of_another_offering_is_refused() -> None:
    with pytest.raises(NotFound):
        answer(fresh(make.offering()), on=ON, plan=make.plan())


def test_free_and_own_licence_plans_never_draw_down_whatever_was_decided() -> None:
    offering = make.offering()
    make.decision(offering=offering, program="commitment")
    paid, free, own = (make.plan(offering=offering, pricing_form=f) for f in ("tokens", "free", "byol"))
    assert answer(fresh(offering), on=ON, plan=paid).commitment.counts
    assert not answer(fresh(offering), on=ON, plan=free).commitment.counts
    assert not answer(fresh(offering), on=ON, plan=own).commitment.counts


def test_each_part_names_the_decision_behind_it_and_until_when_it_holds() -> None:
    offering = make.offering(path="marketplace")
    path = make.decision(path="marketplace", rate_ppm=0)
    own = make.decision(offering=offering, effective=(date(2026, 9, 1), date(2026, 10, 1)))
    now = answer(fresh(offering), on=ON).quota
    assert (now.rate_ppm, now.decision, now.until) == (0, path, date(2026, 9, 1))
    then = answer(fresh(offering), on=date(2026, 9, 1)).quota
    assert (then.rate_ppm, then.decision, then.until) == (1_000_000, own, date(2026, 10, 1))
    after = answer(fresh(offering), on=date(2026, 10, 1)).quota
    assert (after.decision, after.until) == (path, None)


def test_undecided_is_not_a_decided_zero() -> None:
    given = answer(fresh(make.offering()), on=ON)
    assert {t.rate_ppm for t in given.treated.values()} == {None}
    assert set(given.treated) == set(Program)
    assert given.quota.value == "Not decided"
    assert not given.quota.counts


def test_it_costs_four_queries_at_most(django_assert_max_num_queries: pytest.FixtureRequest) -> None:
    offering = make.offering()
    for _ in range(5):
        make.price(plan=make.plan(offering=offering))
    read = fresh(offering)
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        answer(read, on=ON)


def test_booking_gets_all_reasons_at_once(django_assert_num_queries: pytest.FixtureRequest) -> None:
    fine, retired = make.offering(), make.offering(retires_on=ON)
    plan, foreign = make.plan(offering=fine), make.plan()
    with django_assert_num_queries(2):  # type: ignore[operator]
        found = not_sellable([fine.pk, retired.pk, 0], ON, plan_ids=[plan.pk, foreign.pk])
    assert {pk: why.code for pk, why in found.items()} == {
        0: "unknown_offering",
        retired.pk: "retired",
        -foreign.pk: "unknown_plan",
    }


# --- plans, regions, treatments by plan, endings


def test_a_withdrawn_plan_takes_no_new_orders_and_the_others_stay() -> None:
    offering = make.offering()
    old, new = make.plan(offering=offering), make.plan(offering=offering)
    for plan in (old, new):
        make.price(plan=plan)
    Plan.objects.filter(pk=old.pk).update(withdrawn_on=ON)
    read = fresh(offering)
    asked = answer(read, on=ON, plan=Plan.objects.get(pk=old.pk))
    assert asked.refusal is not None
    assert asked.refusal.code == "plan_withdrawn"
    assert [v.plan_id for v in answer(read, on=ON).prices] == [new.pk]
    before = answer(read, on=ON - DAY, plan=Plan.objects.get(pk=old.pk))
    assert (before.sellable, before.until, before.until_why) == (
        True,
        ON,
        "The plan is withdrawn from that day on.",
    )
    Plan.objects.filter(pk=new.pk).update(withdrawn_on=ON + DAY)
    assert answer(fresh(offering), on=ON).until == ON + DAY
    assert reason(offering, ON + DAY) == "plan_withdrawn"


def test_it_is_sold_only_where_a_plan_runs_as_far_as_that_is_known() -> None:
    offering = make.offering()
    in_eu, anywhere = make.plan(offering=offering), make.plan(offering=offering)
    Plan.objects.filter(pk=in_eu.pk).update(zone="eu", regions=["westeurope"])
    Plan.objects.filter(pk=anywhere.pk).update(zone="global")

    def plans(region: str) -> tuple[str | None, list[int]]:
        given = answer(fresh(offering), on=ON, region=region)
        return given.refusal.code if given.refusal else None, [p.pk for p in given.plans]

    assert plans("eu") == (None, [in_eu.pk])
    assert plans("global") == (None, [anywhere.pk])
    assert plans("us") == ("region_unavailable", [])
    assert plans("westeurope") == (None, [in_eu.pk, anywhere.pk])
    assert plans("eastus") == (None, [anywhere.pk])
    unknown = answer(fresh(offering), on=ON, region="eastus", plan=Plan.objects.get(pk=anywhere.pk))
    assert "region_unknown" in [c.code for c in unknown.warnings]
    wrong = answer(fresh(offering), on=ON, region="eastus", plan=Plan.objects.get(pk=in_eu.pk))
    assert wrong.refusal is not None
    assert wrong.refusal.code == "region_unavailable"


def test_every_plan_has_its_own_treatment() -> None:
    offering = make.offering()
    whole = make.decision(offering=offering, program="commitment")
    paid, free = make.plan(offering=offering), make.plan(offering=offering, pricing_form="free")
    own = make.decision(plan=paid, rate_ppm=500_000)
    given = answer(fresh(offering), on=ON)
    assert given.quota.decision is None
    assert given.by_plan[paid.pk][Program.QUOTA].decision == own
    assert given.by_plan[free.pk][Program.QUOTA].decision is None
    assert given.by_plan[paid.pk][Program.COMMITMENT].decision == whole
    assert given.by_plan[free.pk][Program.COMMITMENT].rate_ppm == 0


def test_the_ends_of_sale_price_and_treatment_are_named_apart() -> None:
    offering = make.offering(deprecated_on=ON + 30 * DAY, retires_on=ON + 120 * DAY)
    version = make.price(plan=make.plan(offering=offering), effective=(date(2026, 1, 1), ON + 10 * DAY))
    decision = make.decision(offering=offering, effective=(date(2026, 1, 1), ON + 20 * DAY))
    given = answer(fresh(offering), on=ON)
    assert [(e.of, e.day, e.price_version_id, e.decision_id) for e in given.endings] == [
        ("price", ON + 10 * DAY, version.pk, None),
        ("quota", ON + 20 * DAY, None, decision.pk),
        ("sale", ON + 30 * DAY, None, None),
    ]
    assert given.until == ON + 30 * DAY
