"""Amounts as intervals, net positions worked out by hand, and circles of money."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.models import Company, Relationship
from marketplace.selectors.sourcing import flows
from marketplace.selectors.sourcing.flows import Amount, amount_text, bounded, cycles, positions
from tests import make

pytestmark = pytest.mark.django_db
TODAY = date(2026, 8, 14)
B = 1_000_000_000_00  # a billion dollars in cents


def ties() -> list[Relationship]:
    return flows.money_ties(TODAY)


# Intervals.


@pytest.mark.parametrize(
    ("minor", "bound", "low", "high", "text"),
    [
        (30 * B, "exact", 30 * B, 30 * B, "$30B"),
        (B // 2, "about", B // 2, B // 2, "about $500M"),
        (5 * B, "at most", 0, 5 * B, "at most $5B"),
        (13 * B, "at least", 13 * B, None, "at least $13B"),
        (None, "unknown", 0, None, "unknown"),
    ],
)
def test_a_bound_makes_an_interval_and_reads_as_it_was_stated(
    minor: int | None, bound: str, low: int, high: int | None, text: str
) -> None:
    found = bounded(minor, bound)
    assert (found.low, found.high) == (low, high)
    assert found.text() == text
    assert found.exact is (bound == "exact")


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (bounded(5 * B, "at most") + bounded(13 * B, "at least"), "at least $13B"),
        (bounded(5 * B, "at most") - bounded(30 * B, "exact"), "\N{MINUS SIGN}$30B to \N{MINUS SIGN}$25B"),
        (bounded(30 * B, "exact") - bounded(13 * B, "at least"), "at most $17B"),
        (bounded(13 * B, "at least") - bounded(None, "unknown"), "unknown"),
        (bounded(None, "unknown") - bounded(13 * B, "at least"), "unknown"),
        (bounded(B, "about") + bounded(B, "exact"), "about $2B"),
        (bounded(B, "exact") - bounded(B, "exact"), "$0"),
        (Amount(2 * B, None) - Amount(B, B), "at least $1B"),
    ],
)
def test_bounds_add_up_to_intervals_and_an_unknown_leaves_an_end_open(total: Amount, text: str) -> None:
    assert total.text() == text


ends = st.integers(-(10**12), 10**12)


@given(st.tuples(ends, ends).map(sorted), st.tuples(ends, ends).map(sorted), st.integers(0, 100))
def test_whatever_the_amounts_really_are_their_difference_lies_in_the_difference(
    one: list[int], other: list[int], part: int
) -> None:
    """At any point of either interval."""
    first, second = Amount(one[0], one[1]), Amount(other[0], other[1])
    x = one[0] + (one[1] - one[0]) * part // 100
    y = other[0] + (other[1] - other[0]) * (100 - part) // 100
    for found, value in ((first + second, x + y), (first - second, x - y)):
        assert found.low is not None
        assert found.high is not None
        assert found.low <= value <= found.high


# Net positions.


def test_net_positions_keep_once_and_by_the_year_apart_and_never_sum_a_bound() -> None:
    """Microsoft gets 30B and pays up to 5B and at least 13B; by the year it pays about 500M."""
    us, lab, other, oracle = (make.company(name=name) for name in ("Us", "Lab", "Other", "Oracle"))
    make.relationship(payer=us, payee=lab, kind="spend", amount_minor=B // 2, bound="about", per="year")
    make.relationship(payer=us, payee=lab, kind="equity", amount_minor=5 * B, bound="at most")
    make.relationship(payer=us, payee=other, kind="equity", amount_minor=13 * B, bound="at least")
    make.relationship(payer=lab, payee=us, kind="compute_commitment", amount_minor=30 * B)
    make.relationship(payer=other, payee=oracle, kind="infrastructure", amount_minor=None)
    make.relationship(payer=us, payee=lab, kind="dependence", amount_minor=None)
    make.relationship(payer=other, payee=lab, kind="spend", amount_minor=B // 100, per="month")
    found = {
        (p.company.name, p.per): (p.received.text(), p.paid.text(), p.net.text(), p.unknowns)
        for p in positions(ties(), make.currency())
    }
    minus = "\N{MINUS SIGN}"
    assert found == {
        ("Us", ""): ("$30B", "at least $13B", "at most $17B", 0),
        ("Us", "year"): ("$0", "about $500M", f"about {minus}$500M", 0),
        ("Lab", ""): ("at most $5B", "$30B", f"{minus}$30B to {minus}$25B", 0),
        ("Lab", "year"): ("about $620M", "$0", "about $620M", 0),
        ("Other", ""): ("at least $13B", "unknown", "unknown", 1),
        ("Other", "year"): ("$0", "$120M", f"{minus}$120M", 0),
        ("Oracle", ""): ("unknown", "$0", "unknown", 1),
    }


def test_currencies_stay_apart_and_what_is_unknown_opens_both() -> None:
    us, lab = make.company(name="Us"), make.company(name="Lab")
    make.relationship(payer=us, payee=lab, amount_minor=100_00)
    euros = make.relationship(payer=us, payee=lab, amount_minor=70_00)
    euros.currency = make.currency(code="EUR")
    euros.save()
    before = [(p.currency.code, p.received.text(p.currency.code)) for p in positions(ties(), make.currency())]
    assert before[:2] == [("EUR", "€70"), ("USD", "$100")]
    make.relationship(payer=us, payee=lab, kind="infrastructure", amount_minor=None)
    after = [(p.currency.code, p.received.text(p.currency.code)) for p in positions(ties(), make.currency())]
    assert after[:2] == [("EUR", "at least €70"), ("USD", "at least $100")]


def test_what_has_ended_or_was_corrected_counts_no_longer() -> None:
    make.relationship(amount_minor=1, term=(None, TODAY))
    still = make.relationship(amount_minor=2, term=(None, date(2026, 8, 15)))
    gone = make.relationship(amount_minor=3)
    Relationship.objects.filter(pk=gone.pk).update(superseded_at=make.AT)
    over = make.relationship(amount_minor=4)
    Relationship.objects.filter(pk=over.pk).update(status="ended")
    assert [tie.pk for tie in ties()] == [still.pk]


# Circles.


def chain(*names: str) -> dict[str, Company]:
    return {name: make.company(name=name) for name in names}


def pays(known: dict[str, Company], *pairs: str) -> None:
    for pair in pairs:
        make.relationship(
            payer=known[pair[0]], payee=known[pair[1]], kind="infrastructure", amount_minor=None
        )


def circles(known: dict[str, Company], first: str = "") -> list[str]:
    found = cycles(ties(), known[first].pk if first else None).found
    return ["".join(company.name for company in cycle.companies) for cycle in found]


def test_without_a_way_back_there_is_no_circle() -> None:
    known = chain("A", "B", "C")
    pays(known, "AB", "BC", "AC")
    assert circles(known) == []


def test_every_circle_is_found_once_though_two_share_a_leg_and_ties_run_side_by_side() -> None:
    """A→B is part of both A→B→A and A→B→C→A; two ties from A to B are one leg."""
    known = chain("A", "B", "C", "D")
    pays(known, "AB", "AB", "BA", "BC", "CA", "CD")
    assert circles(known) == ["AB", "ABC"]
    assert circles(known, first="B") == ["BA", "BCA"]


def test_a_complete_graph_of_four_has_its_twenty_elementary_circles() -> None:
    known = chain("A", "B", "C", "D")
    pays(known, *(a + b for a in "ABCD" for b in "ABCD" if a != b))
    found = circles(known)
    assert len(found) == len(set(found)) == 20
    assert [len(circle) for circle in found] == [2] * 6 + [3] * 8 + [4] * 6


def test_the_number_of_circles_is_bounded_and_says_so() -> None:
    known = chain(*"ABCDEFGH")
    pays(known, *(a + b for a in "ABCDEFGH" for b in "ABCDEFGH" if a != b))
    found = cycles(ties())
    assert len(found.found) >= flows.MOST_CYCLES
    assert found.more


def test_a_circle_is_named_from_the_company_that_is_asked_for() -> None:
    us, lab = make.company(name="Microsoft"), make.company(name="Anthropic")
    make.relationship(payer=us, payee=lab, kind="spend", amount_minor=B // 2, bound="about", per="year")
    make.relationship(payer=us, payee=lab, kind="equity", amount_minor=5 * B, bound="at most")
    make.relationship(payer=lab, payee=us, kind="compute_commitment", amount_minor=30 * B)
    make.relationship(payer=lab, payee=us, kind="dependence", amount_minor=None)
    assert [cycle.name for cycle in cycles(ties(), us.pk).found] == [
        "Microsoft → Anthropic (spend about $500M a year, equity at most $5B) → Microsoft (compute commitment $30B)"
    ]
    assert amount_text(make.relationship(amount_minor=None)) == "unknown amount"
