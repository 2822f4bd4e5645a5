"""What could take over in a feature: proposed by one, decided by another, never in a circle, and never in spite of what is asked."""

import threading
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from django.db import connections, transaction
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from accounts.models import Notification, Role, User
from config import outbox
from config.refusals import Conflict, Forbidden, Invalid, Refusal
from marketplace.models import Feature, ModelVersion, Substitution, SubstitutionState
from marketplace.selectors.sourcing.substitution import (
    How,
    Left,
    Standings,
    alternatives,
    candidates,
    chain,
    looked_at,
    substitutions_on,
)
from marketplace.selectors.sourcing.verdicts import Grade, Need
from marketplace.services.sourcing import substitution
from tests import make

TODAY = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
HALF = 500_000


def version(name: str, *, price: str | None = "10", **facts: object) -> ModelVersion:
    """Of a model of its own publisher that is for sale; price: of a million tokens out, in USD."""
    offering = make.offering(name=name, publisher=make.publisher(name=f"Maker of {name}"))
    if price is not None:
        make.price(plan=make.plan(offering=offering), rows={"output-tokens": price})
    made = offering.model_version
    assert made is not None
    for field, value in facts.items():
        setattr(made, field, value)
    made.save()
    return made


def propose(feature: Feature, replaced: ModelVersion, other: ModelVersion, by: User) -> Substitution:
    return substitution.propose(
        feature_id=feature.pk,
        replaced_id=replaced.pk,
        alternative_id=other.pk,
        reason="As good, and from somebody else",
        by=by,
        at=AT,
        on=TODAY,
    )


def decide(
    row: Substitution, by: User, *, qualify: bool = True, note: str = "Tried on 200 cases"
) -> Substitution:
    return substitution.decide(substitution_id=row.pk, qualify=qualify, note=note, by=by, at=AT, on=TODAY)


def codes(refused: pytest.ExceptionInfo[Refusal]) -> list[str]:
    return [problem.code for problem in refused.value.problems]


@pytest.fixture
def engineer(db: None) -> User:
    return make.user(role=Role.ENGINEER, name="Enno Engineer")


@pytest.fixture
def lead(db: None) -> User:
    return make.user(role=Role.SOURCING_LEAD, name="Lea Lead")


# Proposing and deciding.


@pytest.mark.django_db
def test_one_proposes_another_decides_and_each_hears_of_it(engineer: User, lead: User) -> None:
    old, new = version("Old"), version("New")
    feature = make.binding(version=old).feature
    row = propose(feature, old, new, engineer)
    assert (row.state, row.proposed_by) == (SubstitutionState.PROPOSED, engineer)
    decided = decide(row, lead)
    assert (decided.state, decided.decided_by, decided.decision_note) == (
        *("qualified", lead),
        "Tried on 200 cases",
    )
    for pk in outbox.lease(at=AT):
        outbox.carry_out(message_id=pk, at=AT)
    said = {note.user_id: note.text for note in Notification.objects.all()}
    assert said == {
        lead.pk: f"Enno Engineer proposes New 1 for Old 1 in {feature.name}: decide on it.",
        engineer.pk: f"Lea Lead has qualified New 1 for Old 1 in {feature.name}.",
    }
    with pytest.raises(Conflict) as twice:
        decide(row, make.user(role=Role.SOURCING_LEAD), qualify=False)
    assert codes(twice) == ["already_decided"]
    assert Substitution.objects.get().state == "qualified"


@pytest.mark.django_db
def test_nobody_decides_on_their_own_proposal_and_only_a_sourcing_lead_decides(
    engineer: User, lead: User
) -> None:
    old, new = version("Old"), version("New")
    feature = make.binding(version=old).feature
    row = propose(feature, old, new, lead)
    for who, error, code in (
        (lead, Conflict, "own_proposal"),
        (engineer, Forbidden, "not_a_sourcing_lead"),
    ):
        with pytest.raises(error) as refused:
            decide(row, who)
        assert codes(refused) == [code]
    for role in (Role.AUDITOR, Role.REP, Role.PARTNER, Role.CATALOG_MANAGER):
        with pytest.raises(Forbidden):
            propose(feature, old, version("Other"), make.user(role=role))
    with pytest.raises(Forbidden) as not_theirs:
        substitution.withdraw(substitution_id=row.pk, reason="No", by=engineer, at=AT)
    assert codes(not_theirs) == ["not_yours"]
    row.refresh_from_db()
    assert (row.state, row.superseded_at) == ("proposed", None)


@pytest.mark.django_db
def test_what_makes_no_sense_is_refused_with_its_reason(engineer: User) -> None:
    old, new = version("Old"), version("New")
    feature = make.binding(version=old).feature
    with pytest.raises(Invalid) as unused:
        propose(feature, new, old, engineer)
    assert codes(unused) == ["not_in_use"]
    assert "it runs on Old 1" in str(unused.value)
    with pytest.raises(Invalid) as same:
        propose(feature, old, old, engineer)
    assert codes(same) == ["same_version"]
    with pytest.raises(Invalid) as silent:
        substitution.propose(
            feature_id=feature.pk,
            replaced_id=0,
            alternative_id=new.pk,
            reason=" ",
            by=engineer,
            at=AT,
            on=TODAY,
        )
    assert codes(silent) == ["unknown_version", "reason_missing"]
    run = make.suite_run(version=old)
    with pytest.raises(Invalid) as foreign:
        substitution.propose(
            feature_id=feature.pk,
            replaced_id=old.pk,
            alternative_id=new.pk,
            reason="Why not",
            by=engineer,
            at=AT,
            on=TODAY,
            run_id=run.pk,
        )
    assert codes(foreign) == ["other_evidence"]
    propose(feature, old, new, engineer)
    with pytest.raises(Conflict) as again:
        propose(feature, old, new, engineer)
    assert codes(again) == ["already_proposed"]
    assert Substitution.objects.count() == 1


@pytest.mark.django_db
def test_a_failed_requirement_is_never_qualified_and_a_doubt_only_with_a_note(
    engineer: User, lead: User
) -> None:
    old = version("Old")
    feature = make.feature(min_context=100_000, modalities_in=["image"], zone="eu")
    make.binding(feature=feature, version=old)
    narrow = version("Narrow", context_window=8_000, modalities_in=["text"])
    narrow.offerings.get().plans.update(zone="us")
    narrow.offerings.update(retires_on=TODAY)
    row = propose(feature, old, narrow, engineer)
    with pytest.raises(Conflict) as refused:
        decide(row, lead)
    assert [problem.message.split(":")[0] for problem in refused.value.problems] == [
        *("Context", "Modalities"),
        *("Zone", "Lifecycle"),
    ]
    assert decide(row, lead, qualify=False).state == "rejected"
    fits = version("Fits", context_window=200_000, modalities_in=["text", "image"])
    fits.offerings.get().plans.update(zone="eu")
    row = propose(feature, old, fits, engineer)
    with pytest.raises(Invalid) as silent:
        decide(row, lead, note=" ")
    assert codes(silent) == ["note_missing"]
    assert "evidence (none)" in str(silent.value)
    assert decide(row, lead).state == "qualified"


@pytest.mark.django_db
def test_what_was_rejected_can_be_proposed_anew_and_history_stays(engineer: User, lead: User) -> None:
    old, new = version("Old"), version("New")
    feature = make.binding(version=old).feature
    first = decide(propose(feature, old, new, engineer), lead, qualify=False)
    second = propose(feature, old, new, engineer)
    substitution.withdraw(substitution_id=second.pk, reason="Not yet", by=engineer, at=AT)
    first.refresh_from_db()
    assert (first.state, first.superseded_at) == ("rejected", AT)
    assert not Substitution.objects.filter(superseded_at=None).exists()
    with pytest.raises(Conflict) as twice:
        substitution.withdraw(substitution_id=second.pk, reason="Not yet", by=lead, at=AT)
    assert codes(twice) == ["withdrawn"]


@pytest.mark.django_db
def test_a_past_day_shows_what_stood_then(engineer: User, lead: User) -> None:
    old, new = version("Old"), version("New")
    feature = make.binding(version=old).feature
    row = propose(feature, old, new, engineer)
    substitution.decide(
        substitution_id=row.pk, qualify=True, note="Good", by=lead, at=AT + timedelta(days=2), on=TODAY
    )
    substitution.withdraw(substitution_id=row.pk, reason="Bad", by=lead, at=AT + timedelta(days=4))
    seen = [
        [each.state for each in substitutions_on(TODAY + timedelta(days=days))]
        for days in (-1, 0, 1, 2, 3, 4)
    ]
    assert seen == [[], ["proposed"], ["proposed"], ["qualified"], ["qualified"], []]


# Circles.


@pytest.mark.django_db
def test_a_circle_is_refused_with_its_chain_and_a_way_out_and_a_rejected_link_breaks_none(
    engineer: User, lead: User
) -> None:
    a, b, c = version("A"), version("B"), version("C")
    feature = make.binding(version=a).feature
    propose(feature, a, b, engineer)
    link = decide(propose(feature, b, c, engineer), lead)
    with pytest.raises(Conflict) as refused:
        propose(feature, c, a, engineer)
    assert codes(refused) == ["substitution_cycle"]
    assert str(refused.value) == (
        "It would go round in a circle: C 1 → A 1 → B 1 → C 1. Choose another alternative, or withdraw C 1 for B 1"
        " (qualified) first."
    )
    assert Substitution.objects.count() == 2
    substitution.withdraw(substitution_id=link.pk, reason="Makes room", by=lead, at=AT)
    decide(propose(feature, b, c, engineer), lead, qualify=False)
    with pytest.raises(Invalid) as unused:  # C is nothing's alternative any more
        propose(feature, c, a, engineer)
    assert codes(unused) == ["not_in_use"]
    elsewhere = make.binding(version=c).feature
    assert propose(elsewhere, c, a, engineer).state == "proposed"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_no_order_of_proposals_ever_closes_a_circle_and_none_is_refused_without_one(
    wanted: list[tuple[int, int]],
) -> None:
    edges: list[tuple[int, int]] = []
    for one, other in wanted:
        if one == other:
            continue
        way = chain(edges, one, other)
        reached, waiting = {other}, [other]
        for here in waiting:  # the plain walk, as the oracle
            for there in [b for a, b in edges if a == here and b not in reached]:
                reached.add(there)
                waiting.append(there)
        assert bool(way) is (one in reached)
        if way:
            assert (way[:2], way[-1]) == ([one, other], one)
            assert all(step in edges for step in pairwise(way[1:]))
            assert len(set(way[1:])) == len(way) - 1
        else:
            edges.append((one, other))


@pytest.mark.django_db(transaction=True)
def test_of_two_proposals_at_once_that_would_close_a_circle_one_is_told() -> None:
    engineer = make.user(role=Role.ENGINEER)
    a, b = version("A"), version("B")
    feature = make.feature()
    with transaction.atomic():
        for each in (a, b):
            make.binding(feature=feature, version=each, share_ppm=HALF, role="selectable")
    said: list[str] = []

    def other() -> None:
        try:
            propose(feature, b, a, engineer)
            said.append("made")
        except Conflict as refused:
            said.append(refused.problems[0].code)
        finally:
            connections.close_all()

    with transaction.atomic():
        propose(feature, a, b, engineer)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        assert said == []  # it waits for the feature
    thread.join(10)
    assert said == ["substitution_cycle"]
    assert Substitution.objects.count() == 1


# Verdicts.


@pytest.mark.django_db
def test_verdicts_compare_one_ranking_the_same_tokens_and_what_is_asked() -> None:
    old, better, level, worse, foreign = (
        version(name, price=price, context_window=200_000)
        for name, price in (
            ("Old", "10"),
            ("Better", "8"),
            ("Level", "10"),
            ("Worse", "12.5"),
            ("Foreign", None),
        )
    )
    feature = make.feature(min_context=150_000)
    make.binding(feature=feature, version=old)
    make.usage(feature=feature, version=old, month=date(2026, 6, 1), tokens=(0, 0, 3_000_000))
    suite = make.suite()
    for each, score in (
        (old, ("0.50", "0.55", "0.60")),
        (better, ("0.61", "0.65", "0.70")),
        (level, ("0.58", "0.62", "0.66")),
        (worse, ("0.30", "0.40", "0.49")),
    ):
        make.suite_run(suite=suite, version=each, score=score)
    make.suite_run(version=foreign, score=("0.90", "0.95", "0.99"))  # another suite: not compared
    better.offerings.update(retires_on=date(2027, 8, 14))
    worse.offerings.update(retires_on=date(2027, 8, 13))
    sheet = Standings(TODAY, [feature.pk], [v.pk for v in (better, level, worse, foreign)])
    found = {v.pk: sheet.verdicts(feature.pk, old.pk, v.pk) for v in (better, level, worse, foreign)}
    assert [found[v.pk][Need.EVIDENCE].word for v in (better, level, worse, foreign)] == [
        *("Better", "Level", "Worse", "None"),
    ]
    # 3 million tokens in three months are one in an average one: $10 against $8, $10 and $12.50.
    assert [found[v.pk].change.ratio for v in (better, level, worse, foreign)] == [
        *(Fraction(-1, 5), Fraction(0), Fraction(1, 4)),
        None,
    ]
    assert found[better.pk][Need.PRICE].word == "20.0% less"
    assert found[better.pk][Need.PRICE].text == "$8.00 a month against $10.00, by its own use in the feature."
    assert [found[v.pk][Need.LIFECYCLE].grade for v in (better, worse, level)] == [
        *(Grade.GOOD, Grade.AGAINST, Grade.GOOD)
    ]
    order = [a.version for a in candidates(sheet, feature, old.pk)]
    assert order == [better, level, foreign, worse]


@pytest.mark.django_db
def test_an_agreed_discount_makes_an_alternative_cheaper() -> None:
    old, new = version("Old"), version("New")
    feature = make.binding(version=old).feature
    make.usage(feature=feature, version=old, tokens=(0, 0, 3_000_000))
    make.agreement(supplier=make.company(publisher=new.model.publisher), discount_ppm=250_000)
    sheet = Standings(TODAY, [feature.pk], [new.pk])
    assert sheet.change(feature.pk, old.pk, new.pk).ratio == Fraction(-1, 4)


@pytest.mark.django_db
def test_the_order_of_candidates_never_looks_at_whose_model_it_is() -> None:
    old = version("Old")
    feature = make.binding(version=old).feature
    new = [version(f"New {number}", price=str(5 + number)) for number in range(3)]

    def order() -> list[int]:
        sheet = Standings(TODAY, [feature.pk], looked_at(feature))
        return [a.version.pk for a in candidates(sheet, feature, old.pk)]

    before = order()
    assert before == [v.pk for v in new]
    for each in new[1:]:
        publisher = each.model.publisher
        publisher.origin = "first"
        publisher.save()
        make.company(publisher=publisher, operator=each is new[1])
    assert order() == before


@pytest.mark.django_db
def test_alternatives_are_those_bound_beside_it_and_those_stated_in_a_constant_number_of_queries(
    engineer: User, lead: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    old, beside, spare = version("Old"), version("Beside"), version("Spare")
    feature = make.feature()
    make.binding(feature=feature, version=old, share_ppm=HALF)
    make.binding(feature=feature, version=beside, share_ppm=HALF, role="selectable")
    make.binding(feature=feature, version=spare, role="fallback")
    for number in range(3):
        row = propose(feature, old, version(f"New {number}"), engineer)
        if number:
            decide(row, lead, qualify=number == 1)
    with django_assert_max_num_queries(15):
        found = alternatives(feature, TODAY)
    assert [(r.version, r.covered) for r in found] == [(old, True), (beside, True), (spare, True)]
    assert [(a.how, str(a.version), a.covers) for a in found[0].alternatives] == [
        (How.FALLBACK, "Spare 1", True),
        (How.BOUND, "Beside 1", True),
        (How.QUALIFIED, "New 1 1", True),
        (How.PROPOSED, "New 0 1", False),
        (How.REJECTED, "New 2 1", False),
    ]


# What a supplier's end leaves.


@pytest.mark.django_db
def test_the_drill_of_one_feature_by_hand(engineer: User, lead: User) -> None:
    """60 % on A, which leaves; 30 % on B, 10 % on C. A's million tokens a month cost $10; three quarters go to B at $8, a quarter to C at $20."""
    a, b, c = version("A", price="10"), version("B", price="8"), version("C", price="20")
    feature = make.feature()
    for each, share in ((a, 600_000), (b, 300_000), (c, 100_000)):
        make.binding(feature=feature, version=each, share_ppm=share, role="selectable")
    make.usage(feature=feature, version=a, tokens=(0, 0, 3_000_000))
    cover = Standings(TODAY).cover(feature.pk, a.model.publisher_id)
    [exposure] = cover.exposures
    assert (cover.left, cover.exposed, cover.uncovered) == (Left.COVERED, Fraction(6, 10), Fraction(0))
    assert [(t.alternative.version, t.part) for t in exposure.takers] == [
        (b, Fraction(3, 4)),
        (c, Fraction(1, 4)),
    ]
    assert [exposure.now.amount, exposure.then, cover.extra] == [10, 11, 1]
    assert exposure.best is not None
    assert exposure.best.version == b


@pytest.mark.django_db
def test_what_covers_is_alive_of_another_supplier_and_passes_what_is_asked(
    engineer: User, lead: User
) -> None:
    a = version("A", context_window=200_000)
    sister = version("Sister", context_window=200_000)
    sister.model.publisher = a.model.publisher
    sister.model.save()
    feature = make.feature(min_context=100_000)
    make.binding(feature=feature, version=a, share_ppm=700_000)
    make.binding(feature=feature, version=sister, share_ppm=300_000, role="selectable")
    other = version("Other", context_window=150_000)
    decide(propose(feature, a, other, engineer), lead)
    supplier = a.model.publisher_id

    def left() -> tuple[Left, Fraction]:
        cover = Standings(TODAY).cover(feature.pk, supplier)
        return cover.left, cover.uncovered

    # Nothing is qualified for Sister, and Sister is no way out for A.
    assert left() == (Left.PARTLY, Fraction(3, 10))
    Feature.objects.filter(pk=feature.pk).update(min_context=180_000)
    assert left() == (Left.UNCOVERED, Fraction(1))
    Feature.objects.filter(pk=feature.pk).update(min_context=100_000)
    other.offerings.update(retires_on=TODAY)
    assert left() == (Left.UNCOVERED, Fraction(1))


@pytest.mark.django_db
def test_unstated_shares_split_what_is_left_and_say_so() -> None:
    a, b = version("A"), version("B")
    feature = make.feature()
    make.binding(feature=feature, version=a, share_ppm=None)
    make.binding(feature=feature, version=b, share_ppm=None, role="selectable")
    cover = Standings(TODAY).cover(feature.pk, a.model.publisher_id)
    assert (cover.exposed, cover.stated) == (Fraction(1, 2), False)
