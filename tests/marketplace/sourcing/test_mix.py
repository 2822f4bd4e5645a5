"""From a day on a feature runs on a mix: refused with the reason where it cannot, cut and kept where it replaces."""

from datetime import date, datetime, timedelta
from random import Random
from threading import Barrier, Thread

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from accounts.models import AuditEvent, Role, User
from config.refusals import Conflict, Forbidden, NotFound, Refusal, Stale
from marketplace.models import Binding, Evaluation, Feature, ModelVersion
from marketplace.selectors.sourcing.binding import bindings, bindings_on
from marketplace.services.sourcing.binding import MixRow, last_stated, set_mix
from tests import make

ONE = 1_000_000
JUNE, JULY, AUGUST, OCTOBER = (date(2026, m, 1) for m in (6, 7, 8, 10))

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead() -> User:
    return make.user(role=Role.SOURCING_LEAD)


def rows(*shares: tuple[ModelVersion, int | None]) -> list[MixRow]:
    """Shares in per cent; the first is the default."""
    return [
        MixRow(version.pk, "selectable" if n else "default", None if share is None else share * 10_000)
        for n, (version, share) in enumerate(shares)
    ]


def state(
    feature: Feature,
    mix: list[MixRow],
    by: User,
    day: date = JULY,
    reason: str = "Because",
    at: datetime = make.AT,
) -> list[Binding]:
    return set_mix(feature_id=feature.pk, from_day=day, rows=mix, reason=reason, by=by, at=at)


def held(feature: Feature, day: date) -> dict[int, int | None]:
    return {b.model_version_id: b.share_ppm for b in bindings_on(day).filter(feature=feature)}


def codes(refused: Refusal) -> list[tuple[str, str]]:
    return [(p.code, p.pointer) for p in refused.problems]


def test_a_mix_holds_until_the_next_one_and_what_it_replaces_is_cut_and_kept(
    lead: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    feature, a, b = make.feature(), make.model_version(), make.model_version()
    state(feature, rows((a, 100)), lead, JUNE)
    state(feature, rows((b, 100)), lead, OCTOBER, "Later on")
    with django_assert_max_num_queries(14):  # with the savepoint of the test's transaction
        state(feature, rows((a, 60), (b, 40)), lead, AUGUST, "A second supplier")
    assert held(feature, JUNE) == held(feature, JULY) == {a.pk: ONE}
    assert held(feature, AUGUST) == held(feature, OCTOBER - timedelta(1)) == {a.pk: 600_000, b.pk: 400_000}
    assert held(feature, OCTOBER) == {b.pk: ONE}
    assert held(feature, JUNE - timedelta(1)) == {}
    spans = [(x.model_version_id, x.effective.lower, x.effective.upper, x.reason) for x in bindings()]
    assert sorted(spans, key=str) == sorted(
        [
            (a.pk, JUNE, AUGUST, "Because"),
            (a.pk, AUGUST, OCTOBER, "A second supplier"),
            (b.pk, AUGUST, OCTOBER, "A second supplier"),
            (b.pk, OCTOBER, None, "Later on"),
        ],
        key=str,
    )
    gone = Binding.objects.filter(superseded_at=make.AT).order_by("id")
    assert [(b.effective.lower, b.effective.upper) for b in gone] == [(JUNE, None), (JUNE, OCTOBER)]
    assert AuditEvent.objects.filter(actor=lead, reason="A second supplier").count() == 4


def test_a_mix_of_the_same_day_replaces_it_and_one_before_all_ends_where_they_begin(lead: User) -> None:
    feature, a, b = make.feature(), make.model_version(), make.model_version()
    state(feature, rows((a, 100)), lead, JULY)
    state(feature, rows((b, 100)), lead, JULY, "A slip")
    assert held(feature, JULY) == {b.pk: ONE}
    state(feature, rows((a, 50), (b, 50)), lead, JUNE)
    assert held(feature, JUNE) == {a.pk: 500_000, b.pk: 500_000}
    assert held(feature, JULY) == {b.pk: ONE}
    state(feature, rows((a, 100)), lead, JULY, "Back again")
    assert held(feature, AUGUST) == {a.pk: ONE}
    assert Binding.objects.exclude(superseded_at=None).count() == 2


def test_whatever_the_order_each_day_has_the_mix_said_last_for_it(lead: User) -> None:
    """Against an oracle that keeps a mix for each day; spans are those between the days at which anything was said."""
    versions = [make.model_version() for _ in range(3)]
    for seed in range(2):
        chance, feature, said = Random(seed), make.feature(), {}
        for step in range(6):
            day = JUNE + timedelta(chance.randrange(8))
            first, second = chance.sample(versions, 2)
            share = chance.choice((30, 60, 100))
            mix = rows((first, share), (second, 100 - share)) if share < 100 else rows((first, 100))
            state(feature, mix, lead, day, f"Step {step}")
            said[day] = {row.model_version_id: row.share_ppm for row in mix}
            for n in range(-1, 9):
                then = JUNE + timedelta(n)
                holds = max((d for d in said if d <= then), default=None)
                assert held(feature, then) == (said[holds] if holds else {}), (seed, step, then)
    connection.cursor().execute("SET CONSTRAINTS binding_shares_add_up IMMEDIATE")


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((60, 30), "The shares add up to 90%: 10% missing. They have to make 100%."),
        ((60, 47), "The shares add up to 107%: 7% too much. They have to make 100%."),
        ((100, 1, None), "The shares add up to 101%: 1% too much. They have to make 100%."),
    ],
)
def test_shares_that_do_not_add_up_are_refused_with_the_gap(
    lead: User, shares: tuple[int | None, ...], said: str
) -> None:
    feature = make.feature()
    with pytest.raises(Refusal, match="add up") as refused:
        state(feature, rows(*((make.model_version(), share) for share in shares)), lead)
    assert codes(refused.value) == [("shares_do_not_add_up", "/rows")]
    assert refused.value.problems[0].message == said
    assert not Binding.objects.exists()


def test_shares_that_are_not_stated_leave_the_rest_open(lead: User) -> None:
    feature, a, b, c = make.feature(), *(make.model_version() for _ in range(3))
    state(feature, [*rows((a, 70), (b, None)), MixRow(c.pk, "fallback", None)], lead)
    assert held(feature, JULY) == {a.pk: 700_000, b.pk: None, c.pk: 0}


def test_a_model_is_bound_neither_before_its_release_nor_after_its_retirement(lead: User) -> None:
    feature = make.feature()
    early = make.model_version(name="Comet", released_on=date(2026, 7, 2))
    late = make.offering(name="Dawn", retires_on=JULY).model_version
    unknown = make.model_version(released_on=None)
    assert late is not None
    with pytest.raises(Refusal) as refused:
        state(feature, rows((early, 40), (late, 40), (unknown, 20)), lead)
    assert codes(refused.value) == [
        ("not_released", "/rows/0/model_version"),
        ("retired", "/rows/1/model_version"),
    ]
    assert "Comet is out since 2 Jul 2026" in str(refused.value)
    assert "Dawn retires on 1 Jul 2026" in str(refused.value)
    state(feature, rows((early, 100)), lead, date(2026, 7, 2))
    state(feature, rows((late, 100)), lead, date(2026, 6, 30))
    assert held(feature, JULY) == {late.pk: ONE}  # it has to move; that it was bound in time is no error


def test_everything_else_that_is_wrong_is_named_at_its_place(lead: User) -> None:
    feature, offering, other = make.feature(), make.offering(), make.offering()
    own, its = offering.model_version, make.plan(offering=other)
    withdrawn = make.plan(offering=offering)
    withdrawn.withdrawn_on = JULY
    withdrawn.save()
    assert own is not None
    result = Evaluation.objects.create(
        task_area=feature.task_area,
        model_version=other.model_version,
        subject="x",
        benchmark="x",
        source="x",
        score=1,
    )
    run, extra = make.suite_run(version=make.model_version()), make.model_version()
    third = make.model_version()
    with pytest.raises(Refusal) as refused:
        state(
            feature,
            [
                MixRow(own.pk, "default", 500_000, plan_id=its.pk, evaluation_id=result.pk, run_id=run.pk),
                MixRow(own.pk, "default", 500_000, plan_id=withdrawn.pk),
                MixRow(extra.pk, "fallback", 5, plan_id=0, evaluation_id=0, run_id=0, fact_id=0),
                MixRow(third.pk, "boss", ONE + 1),
                MixRow(0, "selectable", -1),
            ],
            lead,
            reason=" ",
        )
    assert set(codes(refused.value)) == {
        ("no_reason", "/reason"),
        ("plan_of_another_version", "/rows/0/plan"),
        ("evidence_of_another_version", "/rows/0/evaluation"),
        ("evidence_of_another_version", "/rows/0/run"),
        ("version_twice", "/rows/1/model_version"),
        ("several_defaults", "/rows/1/role"),
        ("plan_withdrawn", "/rows/1/plan"),
        ("fallback_has_a_share", "/rows/2/share"),
        ("no_such_plan", "/rows/2/plan"),
        ("no_such_evidence", "/rows/2/evaluation"),
        ("no_such_evidence", "/rows/2/run"),
        ("no_such_evidence", "/rows/2/fact"),
        ("no_such_role", "/rows/3/role"),
        ("share_out_of_range", "/rows/3/share"),
        ("share_out_of_range", "/rows/4/share"),
        ("no_such_version", "/rows/4/model_version"),
    }
    for mix, code in (
        ([], "no_models"),
        (rows(*((extra, 1) for _ in range(41))), "too_many_models"),
        ([MixRow(extra.pk, "fallback", 0)], "nothing_takes_the_traffic"),
    ):
        with pytest.raises(Refusal) as refused:
            state(feature, mix, lead)
        assert codes(refused.value) == [(code, "/rows")]
    assert not Binding.objects.exists()


def test_only_sourcing_leads_say_it_and_nothing_is_said_twice(lead: User) -> None:
    feature, a = make.feature(), make.model_version()
    for role in (Role.AUDITOR, Role.ENGINEER, Role.PARTNER):
        with pytest.raises(Forbidden):
            state(feature, rows((a, 100)), make.user(role=role))
    with pytest.raises(NotFound):
        set_mix(feature_id=0, from_day=JULY, rows=rows((a, 100)), reason="x", by=lead, at=make.AT)
    state(feature, rows((a, 100)), lead)
    for day in (JULY, AUGUST):
        with pytest.raises(Conflict, match="exactly this mix on 1"):
            state(feature, rows((a, 100)), lead, day)
    state(feature, rows((a, 100)), lead, reason="For another reason")
    assert [b.reason for b in bindings()] == ["For another reason"]


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_wins_and_the_other_is_told(lead: User) -> None:
    feature, versions = make.feature(), [make.model_version() for _ in range(2)]
    seen, together, outcomes = last_stated(feature.pk), Barrier(2), []

    def say(version: ModelVersion) -> None:
        together.wait()
        try:
            set_mix(
                feature_id=feature.pk,
                from_day=JULY,
                rows=rows((version, 100)),
                reason=version.model.name,
                by=lead,
                at=make.AT,
                seen=seen,
            )
            outcomes.append("set")
        except Stale as refused:
            outcomes.append(refused.problems[0].code)
        finally:
            connection.close()

    threads = [Thread(target=say, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["changed_since", "set"]
    assert len(held(feature, JULY)) == 1
