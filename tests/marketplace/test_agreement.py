"""What the catalog says of quota is what the engine credits: one resolution, in Python, in SQL over offerings, in the engine."""

from datetime import UTC, date, datetime, timedelta

import pytest

from marketplace.models import EligibilityDecision, Program
from marketplace.selectors.eligibility import treatments
from quotas.services.crediting import estimate
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
FIRST, LAST = date(2026, 7, 1), date(2026, 8, 14)
AMOUNT = 1_000_000_00
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db

# Level, rate, first day, last day (exclusive; None is open), whether checked: each adds to the ones before it.
LAYERS = (
    ("path", 1_000_000, None, date(2026, 7, 3), True),
    ("path", 0, date(2026, 7, 3), None, True),
    ("publisher", 250_000, date(2026, 7, 5), date(2026, 8, 1), True),
    ("offering", 500_000, date(2026, 7, 10), date(2026, 7, 20), True),
    ("offering", 900_000, date(2026, 7, 20), None, False),
    ("plan", 750_000, date(2026, 7, 15), date(2026, 8, 10), True),
)


def test_every_day_counts_alike_with_and_without_a_plan() -> None:
    world = make.world()
    EligibilityDecision.objects.update(superseded_at=AT)
    offering = make.offering(path="marketplace")
    plan = make.plan(offering=offering)
    scopes = {
        "path": {"path": "marketplace"},
        "publisher": {"publisher": offering.publisher},
        "offering": {"offering": offering},
        "plan": {"plan": plan},
    }
    for level, rate, start, end, checked in LAYERS:
        make.decision(**scopes[level], rate_ppm=rate, effective=(start, end), checked=checked)  # type: ignore[arg-type]
    edges = {FIRST, LAST, *(day for _level, _rate, *span, _checked in LAYERS for day in span if day)}
    days = sorted(edges | {day - DAY for day in edges if day > FIRST})
    seen = set()
    for bought in (None, plan):
        for day in days:
            said = treatments(offering, day, bought)[Program.QUOTA].rate_ppm
            assert _credited(world, make.Line(offering, AMOUNT, plan=bought), day) == said, (day, bought)
            seen.add(said)
    assert seen == {1_000_000, 0, 250_000, 500_000, 750_000}


def test_what_nobody_decided_is_not_eligible_and_a_zero_says_it_is_a_zero() -> None:
    world = make.world()
    EligibilityDecision.objects.update(superseded_at=AT)
    offering = make.offering()
    assert treatments(offering, LAST)[Program.QUOTA].rate_ppm is None
    assert _reason(world, offering) == "not_eligible"
    make.decision(offering=offering, rate_ppm=0)
    assert treatments(offering, LAST)[Program.QUOTA].rate_ppm == 0
    assert _reason(world, offering) == "rate_zero"


def _credited(world: make.World, line: make.Line, on: date) -> int | None:
    """Parts per million of the deal's value that the engine credits."""
    found = estimate(
        draft=make.draft(owner=world.ana, customer=world.customer, lines=[line], close_date=on), at=AT
    )
    if not found.credits:
        assert {gap.reason for gap in found.uncredited} <= {"rate_zero", "not_eligible"}
        return 0 if found.uncredited[0].reason == "rate_zero" else None
    return sum(credit.amount for credit in found.credits) * 1_000_000 // AMOUNT


def _reason(world: make.World, offering: object) -> str:
    line = make.Line(offering, AMOUNT)  # type: ignore[arg-type]
    found = estimate(draft=make.draft(owner=world.ana, customer=world.customer, lines=[line]), at=AT)
    assert found.credits == []
    return str(found.uncredited[0].reason)
