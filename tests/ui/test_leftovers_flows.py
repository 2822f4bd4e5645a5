"""A picture of who pays whom has room for the largest ties; the others are counted and stand in the list below."""

import pytest

from marketplace.models import Company, Currency, Relationship, RelationshipKind
from marketplace.views.sourcing.flows import MOST_ARROWS, MOST_DRAWN, most_telling, picture

USD = Currency(code="USD", exponent=2)


def companies(number: int) -> list[Company]:
    return [Company(pk=n, slug=f"company-{n}", name=f"Company {n:03}") for n in range(1, number + 1)]


def tie(number: int, payer: Company, payee: Company, minor: int | None, per: str = "") -> Relationship:
    return Relationship(
        pk=number,
        kind=RelationshipKind.SPEND,
        payer=payer,
        payee=payee,
        amount_minor=minor,
        currency=USD if minor is not None else None,
        bound="exact" if minor is not None else "unknown",
        per=per,
    )


def test_the_largest_ties_are_drawn_in_the_order_of_the_list_and_the_unknown_come_last() -> None:
    us, them = companies(2)
    ties = [tie(n, us, them, n * 100) for n in range(1, MOST_ARROWS + 1)]
    unknown, monthly = tie(900, them, us, None), tie(901, them, us, 100, "month")
    drawn = most_telling([unknown, *ties, monthly], us)
    assert [each.pk for each in drawn] == [*range(2, MOST_ARROWS + 1), 901]
    assert most_telling([unknown, *ties[:5]], us) == [unknown, *ties[:5]]


def test_of_many_companies_those_with_the_most_ties_are_drawn_and_our_own_always() -> None:
    us, hub, *others = companies(40)
    ties = [tie(n, hub, other, 100) for n, other in enumerate(others, 1)]
    drawn = most_telling([*ties, tie(500, hub, us, 1)], us)
    assert 500 in {each.pk for each in drawn}
    assert len({pk for each in drawn for pk in (each.payer_id, each.payee_id)}) == MOST_DRAWN


@pytest.mark.parametrize("undrawn", [0, 1, 1_234])
def test_whoever_hears_the_picture_hears_how_many_ties_are_not_drawn(undrawn: int) -> None:
    us, them = companies(2)
    heard = picture([tie(1, us, them, 100)], us, undrawn=undrawn)
    assert (f"; {undrawn:,} more" in heard) is (undrawn > 0)


def test_sixty_times_as_many_ties_draw_no_larger_a_picture() -> None:
    us, *others = companies(8)
    ties = [tie(n, us, others[n % 7], n * 100) for n in range(1, 721)]
    assert len(picture(most_telling(ties, us), us)) < 3 * len(picture(ties[:MOST_ARROWS], us))
    assert len(most_telling(ties, us)) == MOST_ARROWS
