"""What was adjusted by hand is a reason of its own against the CRM, and the way to the board still adds up."""

from tests import make
from tests.quotas.importing.test_reconciliation import brought, deal, looked, market, pytestmark, told, won

__all__ = ["market", "pytestmark"]


def test_by_hand_is_a_reason_of_its_own_and_the_parts_add_up(market: make.World) -> None:
    brought(market, won(market, 1), won(market, 2))
    first = deal(1)
    credited = looked(market).total.credited
    make.adjustment(rep=market.ana, measure=market.bookings, amount_minor=70_00, deal=first)
    make.adjustment(rep=market.ana, measure=market.bookings, amount_minor=5_00)

    found = looked(market)

    (only,) = told(found, market.admin)
    assert (only.cause.value, only.difference, only.deal) == ("adjusted", -70_00, first)
    assert only.sentence == "It was credited as the source says, and then adjusted by hand."
    assert [(part.cause.value, part.differ, part.difference) for part in found.parts] == [
        ("adjusted", 1, -70_00)
    ]
    assert (found.total.credited, found.adjusted) == (credited + 70_00, 5_00)
    assert (found.restated, found.moved) == (credited + 75_00, 0)
