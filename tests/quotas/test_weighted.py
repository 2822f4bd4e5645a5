"""Weighted attainment: RULES 9.4, by plan, on the rep's own board and through REST."""

from datetime import date
from fractions import Fraction

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from quotas.models import Measure, PlanVersion, Rep, SalesRole
from quotas.selectors.weighted import weighted_attainments
from tests import make
from tests.quotas.api import client, usd

pytestmark = pytest.mark.django_db


def plan_of(components: dict[Measure, int], **whom: object) -> PlanVersion:
    """Published, with weights in per cent; assigned to *whom*."""
    plan = make.comp_plan(for_everybody=False)
    make.assignment(plan=plan, **whom)  # type: ignore[arg-type]
    version = make.plan_version(plan=plan, rules=[], state="draft")
    for measure, weight in components.items():
        make.component(version=version, measure=measure, weight_ppm=weight * 10_000)
    version.state = "published"
    version.published_by, version.published_at = make.user(), make.AT
    version.save()
    return version


@pytest.fixture
def world() -> make.World:
    return make.world()


@pytest.fixture
def seats(world: make.World) -> Measure:
    return make.measure(name="Seats", basis="units")


def credit(world: make.World, measure: Measure, minor: int, *, overlay: int = 0) -> None:
    make.total(
        rep=world.ana,
        team=world.team,
        measure=measure,
        month=world.year.month(2),
        direct_minor=minor,
        overlay_minor=overlay,
    )


def test_weights_and_attainments_are_multiplied_exactly_and_a_missing_quota_is_no_zero(
    world: make.World, seats: Measure
) -> None:
    logos = make.measure(name="Logos", basis="new_customers")
    version = plan_of({world.bookings: 60, seats: 25, logos: 15}, role=SalesRole.ACCOUNT_EXECUTIVE)
    quarter = world.year.quarters[0]
    make.quota(measure=seats, period=quarter, rep=world.ana, amount_minor=3_000_000)
    credit(world, world.bookings, 30_000_00, overlay=10_000_00)
    credit(world, seats, 1_000_000)
    credit(world, logos, 5_000_000)
    (found,) = weighted_attainments([world.ana.pk], period=quarter, on=make.TODAY)[world.ana.pk]
    assert found.plan_version == version
    assert found.weighted == Fraction(60, 100) * Fraction(40, 100) + Fraction(25, 100) * Fraction(1, 3)
    assert found.weight_counted_ppm == 850_000
    assert [c.measure.name for c in found.without_quota] == ["Logos"]
    told = client(world.ana).get(f"/api/v1/attainments/?period={quarter.name}").json()["results"][0]
    assert told["weighted"] == [
        {
            "plan_version": str(version),
            "weighted_percent": "32.3333",
            "weight_counted_percent": "85.0000",
            "components": [
                {
                    "measure": world.bookings.slug,
                    "weight_percent": "60.0000",
                    "credited": usd("40000.00"),
                    "quota": usd("100000.00"),
                    "attainment_percent": "40.0000",
                    "contribution_percent": "24.0000",
                },
                {
                    "measure": seats.slug,
                    "weight_percent": "25.0000",
                    "credited": "1",
                    "quota": "3",
                    "attainment_percent": "33.3333",
                    "contribution_percent": "8.3333",
                },
                {
                    "measure": logos.slug,
                    "weight_percent": "15.0000",
                    "credited": "5",
                    "quota": None,
                    "attainment_percent": None,
                    "contribution_percent": None,
                },
            ],
        }
    ]


def test_a_plan_counts_for_whom_it_is_assigned_to_on_the_last_day_of_the_period_or_today(
    world: make.World, seats: Measure
) -> None:
    own = plan_of({world.bookings: 100}, rep=world.ana, effective=(None, date(2026, 7, 15)))
    role = plan_of({seats: 100}, role=SalesRole.MANAGER)
    quarter, july = world.year.quarters[0], world.year.month(1)
    reps = [world.ana.pk, world.bo.pk, world.mia.pk]
    assert set(weighted_attainments(reps, period=quarter, on=date(2026, 7, 14))) == {
        world.ana.pk,
        world.mia.pk,
    }
    found = weighted_attainments(reps, period=quarter, on=make.TODAY)
    assert {rep: [w.plan_version for w in of] for rep, of in found.items()} == {world.mia.pk: [role]}
    assert weighted_attainments(reps, period=july, on=make.TODAY).keys() == {world.mia.pk}
    assert own.components.count() == 1
    assert found[world.mia.pk][0].weighted is None


def test_the_board_shows_ones_own_weighted_attainment_and_nobody_elses(
    world: make.World, seats: Measure
) -> None:
    plan_of({world.bookings: 70, seats: 30}, role=SalesRole.ACCOUNT_EXECUTIVE)
    credit(world, world.bookings, 50_000_00)

    def page(who: Rep) -> str:
        asking = Client()
        asking.force_login(make.login(who))
        return asking.get(reverse("quotas:board", args=[world.team.slug])).content.decode()

    mine = page(world.ana)
    assert "Your weighted attainment" in mine
    assert "70% × 50.0% = <b>35.0%</b>" in mine
    assert "of 70% of the weight; no quota in Seats" in mine
    assert "no quota, weight 30%" in mine
    assert "Your weighted attainment" not in page(world.mia)
    assert "70% × 0.0% = <b>0.0%</b>" in page(world.bo)


def test_it_costs_the_same_queries_whatever_the_number_of_reps(world: make.World, seats: Measure) -> None:
    plan_of({world.bookings: 70, seats: 30}, role=SalesRole.ACCOUNT_EXECUTIVE)
    counted = []
    for reps in ([world.ana.pk], [world.ana.pk, world.bo.pk, world.cy.pk]):
        with CaptureQueriesContext(connection) as queries:
            assert len(weighted_attainments(reps, period=world.year.quarters[0], on=make.TODAY)) == len(reps)
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 7
