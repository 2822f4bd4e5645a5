"""What our own use of models cost."""

from datetime import date
from fractions import Fraction

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from marketplace.models import BindingRole, ModelVersion, Plan
from marketplace.selectors.sourcing.binding import Life, bindings_on, lives, plans_to_buy
from marketplace.selectors.sourcing.costing import NO_PRICE, NOT_SOLD, spend_lines
from tests import make

JULY, AUGUST = date(2026, 7, 1), date(2026, 8, 1)
pytestmark = pytest.mark.django_db


def version_of(plan: Plan) -> ModelVersion:
    version = plan.offering.model_version
    assert version is not None
    return version


def test_a_line_costs_its_tokens_at_the_price_in_effect() -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"input-tokens": "3", "cached-input-tokens": "0.5", "output-tokens": "15"})
    version = version_of(plan)
    make.usage(version=version, plan=plan, month=JULY, tokens=(3_000_000, 1_000_000, 2_000_000))
    [line] = spend_lines(JULY, AUGUST)
    assert (line.cost.amount, line.cost.minor, line.cost.currency) == (Fraction("36.5"), 36_50, "USD")
    assert line.supplier_id == plan.offering.publisher_id


def test_a_price_that_changes_within_a_month_counts_by_days() -> None:
    plan = make.plan()
    make.price(plan=plan, effective=(date(2026, 1, 1), date(2026, 7, 11)), rows={"output-tokens": "31"})
    make.price(plan=plan, effective=(date(2026, 7, 11), None), rows={"output-tokens": "62"})
    make.usage(version=version_of(plan), plan=plan, month=JULY, tokens=(0, 0, 1_000_000))
    [line] = spend_lines(JULY, AUGUST)
    assert line.cost.amount == 10 * 1 + 21 * 2


def test_a_discount_is_taken_off_from_its_day_on() -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"output-tokens": "31"})
    supplier = make.company(publisher=plan.offering.publisher)
    make.agreement(supplier=supplier, discount_ppm=500_000, effective=(date(2026, 7, 31), None))
    make.usage(version=version_of(plan), plan=plan, month=JULY, tokens=(0, 0, 1_000_000))
    [line] = spend_lines(JULY, AUGUST)
    assert line.cost.amount == Fraction("30.5")


def test_what_has_no_price_is_unpriced_and_not_free() -> None:
    sold = make.plan()
    make.price(plan=sold, effective=(date(2026, 7, 2), None))
    unknown = make.plan()
    make.price(plan=unknown, rows={"input-tokens": "1", "output-tokens": None})
    make.usage(version=version_of(sold), plan=sold)
    make.usage(version=version_of(unknown), plan=unknown)
    make.usage(version=make.model_version())
    lines = spend_lines(JULY, AUGUST)
    assert [line.cost.amount for line in lines] == [None, None, None]
    assert sorted(line.cost.why for line in lines) == [
        NOT_SOLD,
        NO_PRICE,
        "The price of output tokens is not known.",
    ]


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"output-tokens": "1"})
    wrong = make.usage(version=version_of(plan), plan=plan)
    wrong.superseded_at = make.AT
    wrong.save()
    make.usage(version=version_of(plan), plan=plan, feature=wrong.feature, tokens=(0, 0, 7_000_000))
    assert [line.cost.minor for line in spend_lines(JULY, AUGUST)] == [7_00]


def test_any_number_of_lines_takes_the_same_queries(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    feature = make.feature()
    for _plan in range(3):
        plan = make.plan()
        make.price(plan=plan)
        for month in (JULY, AUGUST):
            make.usage(version=version_of(plan), plan=plan, feature=feature, month=month)
    with django_assert_num_queries(5):
        assert len(spend_lines(JULY, date(2026, 9, 1))) == 6


def test_shares_of_a_feature_add_up_on_every_day() -> None:
    feature = make.feature()
    make.binding(feature=feature, share_ppm=600_000, effective=(JULY, None))
    with pytest.raises(IntegrityError, match="add up"), transaction.atomic():
        connection.cursor().execute("SET CONSTRAINTS binding_shares_add_up IMMEDIATE")
    make.binding(feature=feature, share_ppm=400_000, role=BindingRole.SELECTABLE, effective=(JULY, None))
    make.binding(feature=feature, role=BindingRole.FALLBACK, effective=(JULY, None))
    connection.cursor().execute("SET CONSTRAINTS binding_shares_add_up IMMEDIATE")
    assert bindings_on(JULY).count() == 3
    assert not bindings_on(date(2026, 6, 30)).exists()
    with pytest.raises(IntegrityError, match="add up"), transaction.atomic():
        make.binding(feature=feature, share_ppm=1, effective=(AUGUST, None))


def test_a_version_lives_from_its_release_until_its_last_offering_retires() -> None:
    one = make.offering(retires_on=AUGUST)
    own = one.model_version_id or 0
    assert lives([own])[own] == Life(None, AUGUST)
    other = make.offering()
    other.model_version = one.model_version
    other.save()
    assert lives([own])[own].end is None
    released = make.model_version(released_on=JULY)
    life = lives([released.pk])[released.pk]
    assert (life.why_not(date(2026, 6, 30), None), life.why_not(JULY, None)) == ("released", "")
    assert Life(None, AUGUST).why_not(JULY, date(2026, 8, 2)) == "retired"


def test_a_version_is_bought_by_its_first_public_plan_with_a_price() -> None:
    offering = make.offering()
    hidden, without, bought = (
        make.plan(offering=offering, public=False),
        make.plan(offering=offering),
        make.plan(offering=offering),
    )
    make.price(plan=hidden)
    make.price(plan=bought)
    own = offering.model_version_id or 0
    assert plans_to_buy([own]) == {own: bought.pk}
    assert without.pk != bought.pk
