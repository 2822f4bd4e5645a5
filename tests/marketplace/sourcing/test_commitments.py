"""Draw-down, pace and shortfall: worked out by hand, unknown without a term, named where they rest on an assumption."""

from datetime import date
from fractions import Fraction

import pytest

from marketplace.models import CommitmentDraw, Company, Relationship, TermAssumption
from marketplace.selectors.sourcing import commitments
from marketplace.selectors.sourcing.commitments import Term, standing
from marketplace.selectors.sourcing.flows import Amount
from tests import make

pytestmark = pytest.mark.django_db
TODAY = date(2026, 8, 14)


def committed(
    amount: int | None = 36_500, bound: str = "", term: tuple[date | None, date | None] = (None, None)
) -> Relationship:
    lab = Company.objects.create(slug="lab", name="Lab")
    return make.relationship(
        payer=lab, kind="compute_commitment", amount_minor=amount, bound=bound, term=term
    )


def draw(of: Relationship, month: date, amount: int) -> None:
    CommitmentDraw.objects.create(
        relationship=of, month=month, amount_minor=amount, source="bill", recorded_at=make.AT
    )


YEAR = (date(2026, 1, 1), date(2027, 1, 1))  # 365 days: 100 minor units a day


def test_pace_and_shortfall_of_a_stated_term_by_hand() -> None:
    """Jan 31 x 50, Feb 28 x 100, Mar 31 x 60: 6,210 of 36,500 drawn after 90 of 365 days, 275 days left.

    Even pace asks for 9,000. The mean of 50, 100 and 60 is 70 a day: 19,250 more; slowest 13,750, fastest 27,500.
    """
    found = committed(term=YEAR)
    draw(found, date(2026, 1, 1), 31 * 50)
    draw(found, date(2026, 2, 1), 28 * 100)
    draw(found, date(2026, 3, 1), 31 * 60)
    at = standing(found, TODAY)
    assert (at.drawn, at.remaining, at.over, at.gaps) == (6_210, Amount(30_290, 30_290), 0, ())
    pace = at.pace
    assert pace is not None
    assert (pace.at, pace.elapsed) == (date(2026, 4, 1), Fraction(90, 365))
    assert (pace.even, pace.behind) == (Amount(9_000, 9_000), Amount(2_790, 2_790))
    assert pace.middle == 6_210 + 70 * 275
    assert pace.expected == Amount(6_210 + 50 * 275, 6_210 + 100 * 275)
    assert pace.shortfall == Amount(36_500 - 33_710, 36_500 - 19_960)
    assert pace.needed == Amount(3_353, 3_353)  # 30,290 over 275 days, a month of 1461/48 days
    assert at.term == Term(*YEAR)


def test_without_a_term_there_is_no_pace_and_with_an_assumed_one_it_names_it() -> None:
    found = committed()
    draw(found, date(2026, 7, 1), 3_100)
    unknown = standing(found, TODAY)
    assert (unknown.term, unknown.pace, unknown.drawn) == (None, None, 3_100)
    assumed = TermAssumption.objects.create(
        relationship=found,
        starts_on=date(2026, 7, 1),
        ends_on=date(2027, 7, 1),
        reason="The contract of its peers",
        stated_by=make.user(),
        stated_at=make.AT,
    )
    known = standing(found, TODAY)
    assert known.term is not None
    assert known.term.assumption == assumed
    assert known.term.basis == "assumed"
    assert known.pace is not None
    assert known.pace.behind == Amount(0, 0)
    TermAssumption.objects.update(superseded_at=make.AT)
    assert standing(found, TODAY).pace is None


def test_a_bound_on_the_commitment_stays_a_bound_in_all_that_follows() -> None:
    found = committed(bound="at most", term=YEAR)
    draw(found, date(2026, 1, 1), 31 * 50)
    at = standing(found, TODAY)
    assert at.remaining == Amount(0, 34_950)
    assert at.pace is not None
    assert at.pace.shortfall == Amount(0, 36_500 - 365 * 50)
    Relationship.objects.update(bound="at least")
    found.refresh_from_db()
    at = standing(found, TODAY)
    assert at.remaining == Amount(34_950, None)
    assert at.pace is not None
    assert at.pace.shortfall == Amount(18_250, None)


def test_a_month_without_a_bill_is_a_gap_and_one_to_come_is_not_counted() -> None:
    found = committed(term=YEAR)
    for month in (1, 3, 9):
        draw(found, date(2026, month, 1), 31 * 100)
    at = standing(found, TODAY)
    assert at.gaps == (date(2026, 2, 1),)
    assert at.drawn == 6_200
    assert at.mean_month == 3_100
    CommitmentDraw.objects.filter(month=date(2026, 3, 1)).update(superseded_at=make.AT)
    assert standing(found, TODAY).drawn == 3_100


def test_drawn_beyond_it_leaves_nothing_and_after_its_end_nothing_is_expected() -> None:
    found = committed(term=(date(2026, 1, 1), date(2026, 3, 1)))
    draw(found, date(2026, 1, 1), 20_000)
    draw(found, date(2026, 2, 1), 20_000)
    at = standing(found, TODAY)
    assert (at.remaining, at.over) == (Amount(0, 0), 3_500)
    assert at.pace is not None
    assert (at.pace.needed, at.pace.expected) == (None, Amount(40_000, 40_000))
    assert at.pace.shortfall == Amount(0, 0)


def test_the_list_costs_the_same_for_one_and_for_many(django_assert_num_queries: object) -> None:
    lab = make.company()
    counts = []
    for _ in range(2):
        for _n in range(2):
            of = make.relationship(payer=lab, kind="compute_commitment")
            draw(of, date(2026, 1, 1), 5)
        with django_assert_num_queries(3):  # type: ignore[operator]
            counts.append(len(commitments.commitments_on(TODAY)))
    assert counts == [2, 4]
