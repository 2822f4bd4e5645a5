"""Plans: drafts, rules as sentences, the gate, publication by a second person, what publishing does; the bench and the preview."""

from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from accounts.models import Notification, User
from config import jobs
from config.models import Job, JobState, OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Stale
from marketplace.models import CommercialPath, Offering
from quotas import tasks
from quotas.crediting import engine
from quotas.models import (
    CompPlan,
    CreditEntry,
    Deal,
    DealState,
    Period,
    PlanAssignment,
    PlanState,
    PlanVersion,
    Receivers,
    RuleVersion,
    ValueBasis,
)
from quotas.selectors.impact import read, taken_apart
from quotas.selectors.plans import base_of, covered, fingerprint, gate, preview_of, rule_fingerprint
from quotas.selectors.rules import difference, names_in, reach_of_rule, sentence, versions_for
from quotas.services import plans, simulating
from quotas.services.approving import approve_deal
from quotas.services.booking import log_deal, submit_deal
from quotas.services.parity import prove_plan
from quotas.services.plans import ComponentDraft, RuleDraft
from tests import make
from tests.make import AT, TODAY, Line, Rule, World
from tests.quotas import selling
from tests.quotas.api import client, problems

pytestmark = pytest.mark.django_db
AUTUMN = date(2026, 10, 1)


@pytest.fixture
def world() -> World:
    return make.world()


@pytest.fixture
def second(world: World) -> User:
    return make.user(role="comp_admin", name="Second")


def draft_of(world: World, **more: Any) -> PlanVersion:
    return plans.start_draft(
        plan_id=world.plan_version.plan_id, by=world.admin, at=AT, **{"starts": AUTUMN, **more}
    )


def save(
    version: PlanVersion, world: World, name: str = "More", factor: int = 1_200_000, **more: Any
) -> RuleVersion:
    return plans.save_rule(
        plan_version_id=version.pk,
        draft=RuleDraft(name=name, measure_id=world.bookings.pk, factor_ppm=factor, **more),
        by=world.admin,
        at=AT,
    )


def previewed(version: PlanVersion, by: User, **span: Any) -> Job:
    job = simulating.start_simulation(plan_version_id=version.pk, by=by, at=AT, **span)
    return jobs.work_off(job_id=job.pk, now=lambda: AT)


def ready(version: PlanVersion, by: User) -> PlanVersion:
    """Previewed, proved and in review."""
    previewed(version, by)
    prove_plan(plan_version_id=version.pk, by=by, at=AT)
    return plans.ask_for_review(plan_version_id=version.pk, by=by, at=AT)


def sold(world: World, on: date, amount: int = 10_000_00, **more: Any) -> Deal:
    return selling.credited(
        owner=world.ana,
        leader=world.mia,
        customer=world.customer,
        lines=[Line(world.house, amount)],
        close_date=on,
        at=datetime.combine(max(on, TODAY), AT.timetz()),
        **more,
    )


def codes(refused: Any) -> list[str]:
    return [problem.code for problem in refused.value.problems]


# --- drafts -----------------------------------------------------------------------------------------------


def test_a_draft_copies_what_is_in_force_and_a_copied_rule_stays_the_same_rule(world: World) -> None:
    make.component(version=unpublished(world), measure=world.bookings)
    version = draft_of(world)
    (copied,) = version.rules.all()
    (base,) = world.plan_version.rules.all()
    assert (version.number, version.state, copied.rule_id) == (3, "draft", base.rule_id)
    assert copied.pk != base.pk
    assert base_of(version) == world.plan_version


def unpublished(world: World) -> PlanVersion:
    """Another draft beside it, which is no base of anything."""
    return make.plan_version(
        plan=world.plan_version.plan, rules=[Rule(world.bookings, slug="other")], state=PlanState.DRAFT
    )


def test_components_are_copied_and_rules_that_are_over_are_left_out(world: World) -> None:
    plan = make.comp_plan()
    first = make.plan_version(
        plan=plan,
        state=PlanState.DRAFT,
        rules=[
            Rule(world.bookings, slug="a"),
            Rule(world.bookings, slug="b", effective=(date(2026, 1, 1), date(2026, 4, 1))),
        ],
    )
    make.component(version=first, measure=world.bookings, target_incentive_minor=50_000_00)
    PlanVersion.objects.filter(pk=first.pk).update(
        state="published", published_by=make.user(role="comp_admin"), published_at=AT
    )
    version = plans.start_draft(plan_id=plan.pk, starts=AUTUMN, by=world.admin, at=AT)
    assert [rule.rule.slug for rule in version.rules.all()] == ["a"]
    (component,) = version.components.all()
    assert (component.weight_ppm, component.target_incentive_minor, component.currency_id) == (
        1_000_000,
        50_000_00,
        "USD",
    )


def test_only_a_comp_admin_writes_plans(world: World) -> None:
    with pytest.raises(Forbidden):
        plans.start_draft(plan_id=world.plan_version.plan_id, starts=AUTUMN, by=world.mia.user, at=AT)  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        plans.start_plan(name="X", starts=AUTUMN, by=world.auditor, at=AT)
    assert PlanVersion.objects.count() == 1


def test_a_rule_that_is_wrong_says_where_and_nothing_is_written(world: World) -> None:
    version = draft_of(world)
    with pytest.raises(Invalid) as refused:
        plans.save_rule(
            plan_version_id=version.pk,
            draft=RuleDraft(
                name=" ",
                measure_id=0,
                factor_ppm=-1,
                exclusive=False,
                cap_minor=5,
                receivers=Receivers.ROLE,
                starts=date(2026, 12, 1),
                ends=date(2026, 11, 1),
                conditions={"regions": ["mars"], "territories": [1], "origin": ["first"]},
            ),
            by=world.admin,
            at=AT,
        )
    assert {(p.code, p.pointer) for p in refused.value.problems} == {
        ("name_missing", "/name"),
        ("measure_unknown", "/measure"),
        ("factor_out_of_bounds", "/factor"),
        ("spiff_without_cap", "/cap"),
        ("ends_before_it_starts", "/ends"),
        ("value_unknown", "/conditions/regions"),
        ("value_unknown", "/conditions/territories"),
        ("condition_unknown", "/conditions/origin"),
        ("territories_need_who_covers_them", "/conditions/territories"),
        ("role_missing", "/conditions/roles"),
    }
    assert version.rules.count() == 1


def test_a_rule_keeps_its_identity_when_it_is_changed_and_a_new_one_gets_its_own(world: World) -> None:
    version = draft_of(world)
    one, two = save(version, world), save(version, world, factor=1_250_000)
    assert (one.rule.slug, two.rule.slug) == ("more", "more-2")
    changed = plans.save_rule(
        plan_version_id=version.pk,
        draft=RuleDraft(name="Even more", measure_id=world.bookings.pk, factor_ppm=1_300_000),
        by=world.admin,
        at=AT,
        rule_version_id=one.pk,
        expected=rule_fingerprint(one),
    )
    assert (changed.pk, changed.rule_id, changed.name) == (one.pk, one.rule_id, "Even more")


def test_two_people_at_the_same_rule_the_second_is_told_and_nothing_is_half_written(world: World) -> None:
    version = draft_of(world)
    rule = save(version, world)
    read_by_both = rule_fingerprint(rule)

    def change(factor: int) -> RuleVersion:
        return plans.save_rule(
            plan_version_id=version.pk,
            draft=RuleDraft(name="More", measure_id=world.bookings.pk, factor_ppm=factor),
            by=world.admin,
            at=AT,
            rule_version_id=rule.pk,
            expected=read_by_both,
        )

    change(1_500_000)
    with pytest.raises(Stale):
        change(1_700_000)
    with pytest.raises(Stale):
        plans.remove_rule(
            plan_version_id=version.pk, rule_version_id=rule.pk, by=world.admin, at=AT, expected=read_by_both
        )
    rule.refresh_from_db()
    assert rule.factor_ppm == 1_500_000


def test_components_add_up_or_are_refused(world: World) -> None:
    version = draft_of(world)
    other = make.measure()

    def components(*weights: int) -> None:
        plans.save_components(
            plan_version_id=version.pk,
            components=[
                ComponentDraft(measure.pk, weight)
                for measure, weight in zip((world.bookings, other), weights, strict=False)
            ],
            by=world.admin,
            at=AT,
        )

    with pytest.raises(Invalid) as refused:
        components(600_000, 300_000)
    assert codes(refused) == ["weights_do_not_add_up"]
    assert "90%" in str(refused.value)
    components(600_000, 400_000)
    components(1_000_000)
    assert list(version.components.values_list("measure", "weight_ppm")) == [(world.bookings.pk, 1_000_000)]
    with pytest.raises(Stale):
        plans.save_components(
            plan_version_id=version.pk, components=[], by=world.admin, at=AT, expected="another state"
        )


def test_a_version_in_review_does_not_change_until_it_is_sent_back_with_a_reason(
    world: World, second: User
) -> None:
    version = draft_of(world)
    plans.ask_for_review(plan_version_id=version.pk, by=world.admin, at=AT)
    for write in (
        lambda: save(version, world),
        lambda: plans.save_components(plan_version_id=version.pk, components=[], by=world.admin, at=AT),
        lambda: plans.change_draft(
            plan_version_id=version.pk, starts=AUTUMN, ends=None, note="", by=world.admin, at=AT
        ),
    ):
        with pytest.raises(Conflict) as refused:
            write()
        assert codes(refused) == ["plan_version_in_review"]
    with pytest.raises(Conflict) as refused:
        plans.send_back(plan_version_id=version.pk, by=second, at=AT, reason=" ")
    assert codes(refused) == ["reason_needed"]
    plans.send_back(plan_version_id=version.pk, by=second, at=AT, reason="The cap is missing")
    save(version, world)
    version.refresh_from_db()
    assert (version.state, version.review_asked_by) == ("draft", None)


def test_who_reviews_is_told_once_and_whoever_asked_hears_what_came_of_it(world: World, second: User) -> None:
    version = draft_of(world)
    plans.ask_for_review(plan_version_id=version.pk, by=world.admin, at=AT)
    plans.send_back(plan_version_id=version.pk, by=second, at=AT, reason="The cap is missing")
    for _ in range(2):  # at least once
        for message in OutboxMessage.objects.filter(topic="quotas.plan_reviewed").order_by("id"):
            tasks.tell_the_reviewers(message.payload, AT + timedelta(minutes=1))
    told = list(Notification.objects.values_list("user_id", "text"))
    asked, answered = (
        f"{world.admin.name} asks for a review of {version}.",
        f"{second.name} sent {version} back: The cap is missing",
    )
    assert len(told) == len(set(told))
    assert (second.pk, asked) in told
    assert (world.admin.pk, asked) not in told
    assert [user for user, text in told if text == answered] == [world.admin.pk]


def test_a_condition_that_names_nothing_cannot_be_stored(world: World) -> None:
    rule = save(draft_of(world), world)
    for condition in RuleVersion.CONDITIONS:
        with pytest.raises(IntegrityError), transaction.atomic():
            RuleVersion.objects.filter(pk=rule.pk).update(**{condition: []})


def test_a_withdrawn_draft_stays_readable_for_comp_admins_and_is_never_published(
    world: World, second: User
) -> None:
    version = draft_of(world)
    plans.withdraw_draft(plan_version_id=version.pk, by=world.admin, at=AT, reason="Not needed")
    with pytest.raises(Conflict):
        plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="")
    assert {shown.version.number for shown in versions_for(drafts=True)} == {1, 2}
    assert {shown.version.number for shown in versions_for(drafts=False)} == {1}


# --- sentences --------------------------------------------------------------------------------------------


def test_rules_are_read_as_sentences(world: World) -> None:
    version = draft_of(world)
    emea = make.customer(region="emea", segment="public-sector")
    north = make.territory(name="Nordics")
    coding = make.task_area(name="Coding")
    make.lies_in(customer=emea, territory=north)
    usage = make.measure(basis=ValueBasis.CONSUMED)

    def reads(**says: Any) -> str:
        draft = RuleDraft(**{"name": "R", "measure_id": world.bookings.pk, "factor_ppm": 1_100_000, **says})
        rule = plans.unsaved_rule(version, draft)
        assert plans.rule_problems(draft) == []
        return sentence(rule, names_in([rule]))

    assert (
        reads(
            ends=date(2027, 1, 1),
            cap_minor=2_000_000_00,
            conditions={"deal_kinds": ["new_business"], "regions": ["emea"]},
        )
        == "Deals on any eligible model, new business, EMEA: 110%, until 31 December 2026, cap $2M a deal."
    )
    assert reads(conditions={"publishers": [world.third.publisher_id]}) == (
        f"Deals on offerings of {world.third.publisher.name}: 110%."
    )
    assert (
        reads(
            exclusive=False,
            factor_ppm=25_000,
            conditions={
                "offerings": [world.house.pk],
                "task_areas": [coding.pk],
                "paths": ["marketplace"],
                "pricing_forms": ["tokens", "subscription"],
                "segments": ["public-sector"],
                "roles": ["specialist", "manager"],
            },
        )
        == "Deals on House model sold through the marketplace for coding, priced as subscription or per token, public sector:"
        " 2.5% on top for managers or specialists."
    )
    assert (
        reads(factor_ppm=200_000, receivers=2, conditions={"territories": [north.pk]})
        == "Deals on any eligible model: 20% to whoever covers the customer's territory, Nordics."
    )
    assert (
        reads(factor_ppm=50_000, receivers=3, conditions={"roles": ["specialist"]}, starts=AUTUMN)
        == "Deals on any eligible model: 5% to all specialists, from 1 October 2026."
    )
    assert reads(measure_id=usage.pk, cap_minor=1_234_567_89) == (
        "Consumption on any eligible model: 110%, cap $1,234,567.89 a deal."
    )


def test_what_a_rule_reaches_is_counted(world: World) -> None:
    sold(world, date(2026, 8, 3))
    sold(world, date(2026, 8, 4), kind="expansion")
    version = draft_of(world)

    def reach(**conditions: Any) -> tuple[int, int, int]:
        draft = RuleDraft(name="R", measure_id=world.bookings.pk, factor_ppm=1, conditions=conditions)
        found = reach_of_rule(plans.unsaved_rule(version, draft), on=TODAY)
        return found.offerings, found.reps, found.lines

    assert reach() == (2, 6, 2)
    assert reach(publishers=[world.third.publisher_id]) == (1, 6, 0)
    assert reach(deal_kinds=["expansion"], roles=["manager"]) == (2, 3, 1)
    PlanAssignment.objects.all().update(superseded_at=AT)
    assert reach() == (2, 0, 2)


def test_the_difference_sets_sentence_beside_sentence(world: World) -> None:
    version = draft_of(world)
    (base,) = version.rules.all()
    save(version, world)
    plans.save_rule(
        plan_version_id=version.pk,
        draft=RuleDraft(name=base.name, measure_id=world.bookings.pk, factor_ppm=900_000),
        by=world.admin,
        at=AT,
        rule_version_id=base.pk,
    )
    found = difference(version, base_of(version))
    assert [each.rule.name for each in found.added] == ["More"]
    assert [(old.sentence, new.sentence) for old, new in found.changed] == [
        ("Deals on any eligible model: 100%.", "Deals on any eligible model: 90%.")
    ]
    assert (list(found.removed), found.same) == ([], 0)
    plans.remove_rule(plan_version_id=version.pk, rule_version_id=base.pk, by=world.admin, at=AT)
    assert [each.rule.name for each in difference(version, base_of(version)).removed] == [base.name]


# --- the gate and publication -----------------------------------------------------------------------------


def test_publishing_names_everything_that_is_open(world: World, second: User) -> None:
    version = draft_of(world)
    save(version, world, "Tie")
    with pytest.raises(Conflict) as refused:
        plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="")
    assert codes(refused) == ["rules_open", "preview_open", "parity_open", "review_open"]
    assert "“Every deal at its value” and “Tie” can both match" in refused.value.problems[0].message
    version.refresh_from_db()
    assert version.state == "draft"


def test_an_unequal_rule_is_refused_and_the_clause_is_named(world: World, second: User) -> None:
    version = draft_of(world)
    save(version, world, "Own models push", priority=5, conditions={"publishers": [world.house.publisher_id]})
    ready(version, world.admin)
    with pytest.raises(Conflict) as refused:
        plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="")
    assert codes(refused) == ["parity_open"]
    assert "“Own models push” by its condition on publisher" in refused.value.problems[0].message


def test_a_preview_and_a_proof_of_another_state_do_not_count(world: World) -> None:
    version = draft_of(world)
    previewed(version, world.admin)
    prove_plan(plan_version_id=version.pk, by=world.admin, at=AT)
    assert [step.code for step in gate(version, on=TODAY).open] == ["review"]
    save(version, world, priority=3)
    checked = gate(version, on=TODAY)
    assert [step.code for step in checked.open] == ["preview", "parity", "review"]
    assert "changed since it was previewed" in checked.steps[2].says


def test_neither_the_drafter_nor_who_asked_publishes(world: World, second: User) -> None:
    third = make.user(role="comp_admin")
    version = ready(draft_of(world), second)  # drafted by the admin, asked for by the second
    for person in (world.admin, second):
        with pytest.raises(Forbidden) as refused:
            plans.publish_plan(plan_version_id=version.pk, by=person, at=AT, reason="")
        assert codes(refused) == ["needs_a_second_person"]
    with pytest.raises(Forbidden):
        plans.publish_plan(plan_version_id=version.pk, by=world.auditor, at=AT, reason="")
    done = plans.publish_plan(plan_version_id=version.pk, by=third, at=AT, reason="Agreed")
    assert (done.state, done.published_by, done.published_at) == ("published", third, AT)
    with pytest.raises(Conflict):
        plans.publish_plan(plan_version_id=version.pk, by=third, at=AT, reason="Again")


def test_the_database_too_keeps_the_drafter_from_publishing(world: World) -> None:
    version = draft_of(world)
    with pytest.raises(IntegrityError, match="plan_published_by_another_person"), transaction.atomic():
        PlanVersion.objects.filter(pk=version.pk).update(
            state="published", published_by=world.admin, published_at=AT
        )


def test_publishing_what_somebody_changed_meanwhile_is_stale(world: World, second: User) -> None:
    version = ready(draft_of(world), world.admin)
    with pytest.raises(Stale):
        plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="", expected="another state")
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="", expected=fingerprint(version))


def test_a_version_of_the_future_starts_no_run_and_leaves_the_older_one_in_force(
    world: World, second: User
) -> None:
    version = ready(draft_of(world), world.admin)
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="")
    world.plan_version.refresh_from_db()
    assert world.plan_version.state == "published"  # it governs the days before October
    assert not Job.objects.filter(kind="quotas.recredit").exists()


def test_a_version_that_begins_in_the_past_recredits_that_part_and_takes_the_older_one_out(
    world: World, second: User
) -> None:
    before, within = sold(world, date(2026, 7, 20)), sold(world, date(2026, 8, 3))
    version = draft_of(world, starts=date(2026, 8, 1))
    (base,) = version.rules.all()
    plans.save_rule(
        plan_version_id=version.pk,
        draft=RuleDraft(name=base.name, measure_id=world.bookings.pk, factor_ppm=1_500_000),
        by=world.admin,
        at=AT,
        rule_version_id=base.pk,
    )
    ready(version, world.admin)
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="Retroactive")
    job = Job.objects.get(kind="quotas.recredit")
    assert (job.parameters["starts"], job.parameters["ends"], job.parameters["cause"]) == (
        "2026-08-01",
        "2026-08-15",
        "plan",
    )
    jobs.work_off(job_id=job.pk, now=lambda: AT)

    def net(deal: Deal) -> int:
        return sum(CreditEntry.objects.filter(deal=deal).values_list("amount_minor", flat=True))

    assert (net(before), net(within)) == (10_000_00, 15_000_00)
    world.plan_version.refresh_from_db()
    assert world.plan_version.state == "published"  # July is still its own


def test_an_older_version_that_counts_on_no_day_any_more_is_superseded(world: World, second: User) -> None:
    version = ready(draft_of(world, starts=date(2019, 1, 1)), world.admin)
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="")
    world.plan_version.refresh_from_db()
    assert world.plan_version.state == "superseded"


def test_an_older_draft_is_not_published_under_a_newer_version(world: World, second: User) -> None:
    old, new = draft_of(world), draft_of(world)
    ready(new, world.admin)
    plans.publish_plan(plan_version_id=new.pk, by=second, at=AT, reason="")
    ready(old, world.admin)
    with pytest.raises(Conflict) as refused:
        plans.publish_plan(plan_version_id=old.pk, by=second, at=AT, reason="")
    assert "newer_version_published" in codes(refused)


def test_a_retroactive_version_needs_a_preview_of_what_really_moves(world: World) -> None:
    sold(world, date(2026, 7, 20))
    version = draft_of(world, starts=date(2026, 7, 1))
    previewed(version, world.admin, starts=date(2026, 8, 1), ends=date(2026, 8, 10))
    assert preview_of(version, on=TODAY) is None
    job = previewed(version, world.admin)
    assert preview_of(version, on=TODAY) == job
    assert job.parameters["as_if"] is False


@pytest.mark.parametrize(
    ("span", "others", "whole"),
    [
        ((1, 9), [(1, 5), (5, 9)], True),
        ((1, 9), [(1, 5), (6, 9)], False),
        ((1, None), [(0, 5), (4, None)], True),
        ((None, 9), [(1, 9)], False),
        ((1, 9), [], False),
        ((1, 9), [(5, 20), (0, 6)], True),
    ],
)
def test_a_span_is_covered_if_every_day_is(span: Any, others: Any, whole: bool) -> None:
    def day(n: int | None) -> date | None:
        return None if n is None else date(2026, 1, 1) + timedelta(days=n)

    assert covered((day(span[0]), day(span[1])), [(day(a), day(b)) for a, b in others]) is whole


# --- the bench and the preview ----------------------------------------------------------------------------


def test_a_deal_is_tried_on_days_to_come_and_nothing_stays(world: World) -> None:
    north = make.territory()
    make.lies_in(customer=world.customer, territory=north)
    make.covers(rep=world.bo, territory=north)
    version = draft_of(world)
    save(version, world, priority=1, conditions={"deal_kinds": ["new_business"]})
    save(version, world, "Overlay", 50_000, receivers=2)
    states = dict(Period.objects.values_list("pk", "state"))

    def tried(kind: str) -> simulating.Tried:
        return simulating.try_deal(
            version=version,
            at=AT,
            tryout=simulating.Tryout(
                kind=kind,
                offering_id=world.third.pk,
                segment="enterprise",
                region="americas",
                role="account_executive",
                amount_minor=1_000_00,
                close_date=date(2026, 10, 5),
            ),
        )

    new = tried("new_business")
    assert (new.before.total(world.bookings.pk), new.after.total(world.bookings.pk)) == (1_000_00, 1_250_00)
    assert {credit.rep_id for credit in new.after.credits} == {world.ana.pk, world.bo.pk}
    other = tried("renewal")
    assert (other.before.total(world.bookings.pk), other.after.total(world.bookings.pk)) == (
        1_000_00,
        1_050_00,
    )
    assert dict(Period.objects.values_list("pk", "state")) == states
    assert not CreditEntry.objects.exists()


def test_a_preview_says_who_moves_as_if_the_version_had_been_in_force(world: World) -> None:
    for month in (5, 6, 7, 8):
        sold(world, date(2026, month, 3))
    sold(world, date(2026, 7, 5), kind="renewal")
    version = draft_of(world)
    save(version, world, priority=1, conditions={"deal_kinds": ["new_business"]})
    save(
        version,
        world,
        "Season",
        1_500_000,
        priority=2,
        starts=date(2027, 5, 1),
        ends=date(2027, 6, 1),  # a year earlier: May 2026
    )
    digest = fingerprint(version)
    job = previewed(version, world.admin)
    assert (job.state, job.parameters["as_if"], job.done, job.total) == ("done", True, 13, 13)
    assert job.result["moves"] == [[world.bookings.pk, world.team.pk, world.ana.pk, 50_000_00, 61_000_00]]
    found = read(job, most=5).measures[0]
    assert (found.up, found.down, found.winners, found.losers) == (11_000_00, 0, 1, 0)
    assert found.credited == 50_000_00
    ((_, months),) = taken_apart(job, "months")
    assert {month.name: month.change for month in months} == {
        "May 2026": 5_000_00,
        "June 2026": 2_000_00,
        "July 2026": 2_000_00,
        "August 2026": 2_000_00,
    }
    version.refresh_from_db()
    assert (fingerprint(version), version.effective.lower) == (digest, AUTUMN)
    assert Deal.objects.filter(state=DealState.APPROVED).count() == 5


def test_a_preview_is_what_publishing_then_moves(world: World, second: User) -> None:
    """The retroactive one is taken at its word: recredited, the ledger moves by exactly what was previewed."""
    deals = [sold(world, date(2026, 7, 20)), sold(world, date(2026, 8, 3))]
    refund = make.draft(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, -4_000_00)],
        close_date=date(2026, 8, 5),
        kind="refund",
        refunds=deals[0],
    )
    made = log_deal(draft=refund, by=world.ana.user, at=AT)  # type: ignore[arg-type]
    submit_deal(deal_id=made.pk, by=world.ana.user, at=AT)  # type: ignore[arg-type]
    approve_deal(deal_id=made.pk, by=world.mia.user, at=AT)  # type: ignore[arg-type]
    version = draft_of(world, starts=date(2026, 7, 1))
    save(version, world, "Capped", 1_300_000, priority=1, cap_minor=11_000_00)
    ready(version, world.admin)
    preview = preview_of(version, on=TODAY)
    assert preview is not None
    promised = sum(after - before for *_, before, after in preview.result["moves"])
    before = sum(CreditEntry.objects.values_list("amount_minor", flat=True))
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="")
    jobs.work_off(job_id=Job.objects.get(kind="quotas.recredit").pk, now=lambda: AT)
    moved = sum(CreditEntry.objects.values_list("amount_minor", flat=True)) - before
    assert promised == moved != 0


def test_a_preview_of_a_draft_that_changes_meanwhile_is_outdated(world: World) -> None:
    sold(world, date(2026, 8, 3))
    version = draft_of(world)
    job = simulating.start_simulation(plan_version_id=version.pk, by=world.admin, at=AT)
    assert jobs.step_once(job_id=job.pk, at=AT)
    save(version, world, priority=1)
    done = jobs.work_off(job_id=job.pk, now=lambda: AT)
    assert (done.state, done.result) == (JobState.DONE, {"outdated": True})
    assert preview_of(version, on=TODAY) is None


def test_a_new_plan_that_is_assigned_from_its_first_day_shows_in_the_preview(world: World) -> None:
    sold(world, date(2026, 8, 3))
    version = plans.start_plan(name="Launch", starts=AUTUMN, by=world.admin, at=AT)
    save(version, world, "SPIFF", 50_000, exclusive=False)
    assert previewed(version, world.admin).result["moves"] == []
    make.assignment(plan=version.plan, role="account_executive", effective=(AUTUMN, None))
    (move,) = previewed(version, world.admin).result["moves"]
    assert move[3:] == [10_000_00, 10_500_00]
    assert PlanAssignment.objects.filter(plan=version.plan, effective__startswith=AUTUMN).count() == 1


def test_a_killed_preview_goes_on_where_it_stopped_and_says_the_same(world: World) -> None:
    for month in (6, 7, 8):
        sold(world, date(2026, month, 3))
    version = draft_of(world)
    save(version, world, priority=1)
    whole = previewed(version, world.admin)
    job = simulating.start_simulation(plan_version_id=version.pk, by=world.admin, at=AT)
    for _ in range(5):
        jobs.step_once(job_id=job.pk, at=AT)
    with transaction.atomic():  # killed within a step: nothing of it is there
        simulating.step(Job.objects.get(pk=job.pk), AT)
        transaction.set_rollback(True)
    assert jobs.work_off(job_id=job.pk, now=lambda: AT).result == whole.result


def test_the_command_previews_and_says_who_moves(world: World) -> None:
    sold(world, date(2026, 8, 3))
    version = draft_of(world)
    save(version, world, priority=1)
    out = StringIO()
    call_command("simulate_plan", version.plan.slug, "--version", "2", "--from", "2026-08-01", stdout=out)
    said = out.getvalue()
    assert "$2,000.00 all together; 1 gain $2,000.00, 0 lose $0.00" in said
    assert "who gains most: Ana" in said
    with pytest.raises(CommandError, match="no such draft"):
        call_command("simulate_plan", version.plan.slug, "--version", "1")


# --- pages ------------------------------------------------------------------------------------------------


def page(user: Any, name: str, /, *args: Any, **query: Any) -> Any:
    browser = Client()
    browser.force_login(User.objects.get(pk=user.pk))
    return browser.get(reverse(f"quotas:{name}", args=args), query)


def send(user: Any, name: str, /, *args: Any, **body: Any) -> Any:
    browser = Client()
    browser.force_login(User.objects.get(pk=user.pk))
    return browser.post(reverse(f"quotas:{name}", args=args), body)


PAGES = ("plan-version", "plan-components", "plan-assignments", "plan-try", "plan-impact")


def test_drafts_do_not_exist_for_those_who_are_measured_by_them(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    for name in PAGES:
        assert page(world.ana.user, name, *of).status_code == 404
        assert page(world.auditor, name, *of).status_code == 200
    published = (version.plan.slug, 1)
    assert page(world.ana.user, "plan-version", *published).status_code == 200
    assert page(world.ana.user, "plan-impact", *published).status_code == 404
    for name, more in (("plan-act", ("review",)), ("plan-impact-start", ()), ("plan-rule-new", ())):
        assert send(world.auditor, name, *of, *more).status_code == 404
        assert send(world.mia.user, name, *of, *more).status_code == 404
    version.refresh_from_db()
    assert version.state == "draft"
    words = strip_tags(page(world.ana.user, "plans").content.decode())
    assert "Version 1" in words
    assert "Version 2" not in words


RULE = {
    "name": "Americas push",
    "receivers": "1",
    "exclusive": "one",
    "factor": "110",
    "cap": "2,000,000",
    "last": "2026-12-31",
    "priority": "10",
    "regions": ["americas"],
}


def test_a_rule_is_written_in_the_form_and_read_as_a_sentence_while_it_is_typed(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    body = {**RULE, "measure": world.bookings.pk}
    live = send(world.admin, "plan-rule-live", *of, **body).content.decode()
    assert "Deals on any eligible model, Americas: 110%, until 31 December 2026, cap $2M a deal." in live
    assert "<b>2</b> offerings" in live
    assert version.rules.count() == 1
    half = send(world.admin, "plan-rule-live", *of, **{**body, "factor": ""}).content.decode()
    assert "as soon as" in half
    assert send(world.admin, "plan-rule-new", *of, **body).status_code == 302
    rule = version.rules.get(name="Americas push")
    assert (rule.factor_ppm, rule.cap_minor, rule.regions, rule.priority) == (
        1_100_000,
        2_000_000_00,
        ["americas"],
        10,
    )
    assert (rule.effective.lower, rule.effective.upper) == (None, date(2027, 1, 1))
    shown = page(world.admin, "plan-rule", *of, rule.pk).content.decode()
    assert 'value="2,000,000"' in shown
    assert "cap $2M a deal" in shown


def test_a_rule_that_cannot_be_read_keeps_what_was_entered(world: World) -> None:
    version = draft_of(world)
    answer = send(
        world.admin,
        "plan-rule-new",
        version.plan.slug,
        version.number,
        **{**RULE, "measure": world.bookings.pk, "factor": "many", "receivers": "3"},
    )
    assert answer.status_code == 422
    assert "Enter a percentage" in answer.content.decode()
    assert "Americas push" in answer.content.decode()
    answer = send(
        world.admin,
        "plan-rule-new",
        version.plan.slug,
        version.number,
        **{**RULE, "measure": world.bookings.pk, "receivers": "3"},
    )
    assert "Choose the roles whose holders earn." in answer.content.decode()
    assert version.rules.count() == 1


def test_a_form_that_was_read_before_somebody_else_saved_is_stale(world: World) -> None:
    version = draft_of(world)
    rule = save(version, world)
    of = (version.plan.slug, version.number, rule.pk)
    body = {**RULE, "measure": world.bookings.pk, "revision": rule_fingerprint(rule)}
    assert send(world.admin, "plan-rule", *of, **body).status_code == 302
    again = send(world.admin, "plan-rule", *of, **{**body, "factor": "150"})
    assert again.status_code == 412
    assert "Somebody changed it since you read it" in again.content.decode()
    rule.refresh_from_db()
    assert rule.factor_ppm == 1_100_000


def test_components_and_assignments_are_written_in_their_pages(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    weight = f"weight-{world.bookings.pk}"
    refused = send(world.admin, "plan-components", *of, **{weight: "70"})
    assert refused.status_code == 422
    assert "70% and not to 100%" in refused.content.decode()
    assert "Enter a percentage" in send(world.admin, "plan-components", *of, **{weight: "x"}).content.decode()
    body = {weight: "100", f"incentive-{world.bookings.pk}": "60,000", f"currency-{world.bookings.pk}": "USD"}
    assert send(world.admin, "plan-components", *of, **body).status_code == 302
    assert version.components.get().target_incentive_minor == 60_000_00
    given = {"whom": "rep", "rep": "Bo", "starts": "2026-10-01", "last": "2026-12-31", "reason": "A trial"}
    assert send(world.admin, "plan-assignments", *of, **given).status_code == 302
    made = PlanAssignment.objects.get(rep=world.bo)
    assert (made.effective.lower, made.effective.upper) == (AUTUMN, date(2027, 1, 1))
    nobody = send(world.admin, "plan-assignments", *of, **{**given, "rep": "Nobody"})
    assert "Choose one rep from the list." in nobody.content.decode()
    ended = send(
        world.admin, "plan-assignments", *of, end=str(made.pk), last="2026-10-31", reason="The trial is over"
    )
    assert ended.status_code == 302
    row = PlanAssignment.objects.get(rep=world.bo, superseded_at=None)
    assert row.effective.upper == date(2026, 11, 1)


def test_a_refused_publication_says_on_the_page_what_is_open(world: World, second: User) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    answer = send(second, "plan-act", *of, "publish", reason="", revision=fingerprint(version))
    assert answer.status_code == 409
    assert "Nobody has looked yet" in answer.content.decode()
    own = send(world.admin, "plan-act", *of, "publish", reason="")
    assert own.status_code == 403
    assert send(world.admin, "plan-act", *of, "explode").status_code == 404


def test_a_rep_who_is_named_beside_another_choice_is_asked_about(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    before = PlanAssignment.objects.count()
    for whom in ("everybody", "account_executive"):
        given = {"whom": whom, "rep": "Bo", "starts": "2026-10-01", "reason": "A trial"}
        answer = send(world.admin, "plan-assignments", *of, **given)
        assert answer.status_code == 422
        assert "choose “One rep”, or empty the name" in answer.content.decode()
    assert PlanAssignment.objects.count() == before


def test_the_same_rule_is_not_added_twice(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    body = {**RULE, "measure": world.bookings.pk, "exclusive": "adds", "factor": "5", "cap": ""}
    assert send(world.admin, "plan-rule-new", *of, **body).status_code == 302
    again = send(world.admin, "plan-rule-new", *of, **body)
    assert again["Location"] == reverse("quotas:plan-version", args=of)
    assert version.rules.filter(name="Americas push").count() == 1
    assert send(world.admin, "plan-rule-new", *of, **{**body, "name": "Another"}).status_code == 302
    assert version.rules.count() == 3


def test_a_rule_that_was_taken_out_meanwhile_comes_back_as_a_new_one_with_what_was_typed(
    world: World,
) -> None:
    version = draft_of(world)
    rule = save(version, world)
    of = (version.plan.slug, version.number)
    body = {**RULE, "measure": world.bookings.pk, "revision": rule_fingerprint(rule)}
    plans.remove_rule(plan_version_id=version.pk, rule_version_id=rule.pk, by=world.admin, at=AT)
    answer = send(world.admin, "plan-rule", *of, rule.pk, **body)
    said = answer.content.decode()
    assert answer.status_code == 409
    assert "somebody took it out" in said
    assert 'value="Americas push"' in said
    assert f'action="{reverse("quotas:plan-rule-new", args=of)}"' in said
    assert not version.rules.filter(name="Americas push").exists()
    for name in ("plan-rule", "plan-rule-remove"):
        ask = page if name == "plan-rule" else send
        assert ask(world.admin, name, *of, rule.pk)["Location"] == reverse("quotas:plan-version", args=of)


def test_a_rule_that_is_saved_while_the_version_is_in_review_keeps_what_was_typed(world: World) -> None:
    version = draft_of(world)
    rule = save(version, world)
    plans.ask_for_review(plan_version_id=version.pk, by=world.admin, at=AT)
    of = (version.plan.slug, version.number)
    answer = send(world.admin, "plan-rule", *of, rule.pk, **{**RULE, "measure": world.bookings.pk})
    assert answer.status_code == 409
    assert "send it back first" in answer.content.decode()
    assert 'value="Americas push"' in answer.content.decode()
    rule.refresh_from_db()
    assert rule.name == "More"


def test_pressing_twice_is_no_refusal(world: World, second: User) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    save(version, world, priority=1)
    previewed(version, world.admin)
    prove_plan(plan_version_id=version.pk, by=world.admin, at=AT)
    read = fingerprint(version)
    for who, action in ((world.admin, "review"), (second, "publish")):
        for _ in range(2):
            assert send(who, "plan-act", *of, action, reason="", revision=read).status_code == 302
    version.refresh_from_db()
    assert version.published_by == second
    assert send(world.admin, "plan-act", *of, "publish", reason="", revision=read).status_code == 409


def test_an_assignment_is_not_ended_on_a_day_that_was_mistyped_and_nothing_is_lost(world: World) -> None:
    of = (world.plan_version.plan.slug, 1)
    row = make.assignment(plan=world.plan_version.plan, rep=world.bo, effective=(AUTUMN, None))
    for last, said in (
        ("0206-10-31", "to take it back altogether, choose 30 Sep 2026"),
        ("9999-12-31", "Choose the last day"),
        ("", "Choose the last day"),
    ):
        answer = send(world.admin, "plan-assignments", *of, end=str(row.pk), last=last, reason="It is over")
        shown = answer.content.decode()
        assert answer.status_code == 422
        assert said in shown
        assert 'value="It is over"' in shown
        assert '<details class="plan-act" open>' in shown
    row.refresh_from_db()
    assert row.superseded_at is None
    assert row.effective.upper is None
    back = send(world.admin, "plan-assignments", *of, end=str(row.pk), last="2026-09-30", reason="A mistake")
    assert back.status_code == 302
    assert not PlanAssignment.objects.filter(rep=world.bo, superseded_at=None).exists()


def test_what_is_recredited_is_one_click_from_what_caused_it(world: World, second: User) -> None:
    sold(world, date(2026, 8, 3))
    version = draft_of(world, starts=date(2026, 7, 1))
    of = (version.plan.slug, version.number)
    save(version, world, priority=1)
    ready(version, world.admin)
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT)
    run = Job.objects.get(kind="quotas.recredit")
    link = reverse("quotas:recredit", args=[run.pk])
    for who, seen in ((second, True), (world.auditor, True), (world.ana.user, False)):
        assert (link in page(who, "plan-version", *of).content.decode()) is seen
    given = {"whom": "rep", "rep": world.ana.name, "starts": "2026-08-01", "reason": "A trial"}
    answer = send(world.admin, "plan-assignments", *of, **given)
    newest = Job.objects.filter(kind="quotas.recredit").latest("pk")
    assert newest.pk > run.pk
    assert answer["Location"] == reverse("quotas:recredit", args=[newest.pk])


def test_the_checklist_says_why_a_preview_does_not_count(world: World) -> None:
    sold(world, date(2026, 8, 3))
    version = draft_of(world, starts=date(2026, 7, 1))
    save(version, world, priority=1)

    def said() -> str:
        return next(step for step in gate(version, on=TODAY).steps if step.code == "preview").says

    assert said().startswith("Nobody has looked yet")
    job = simulating.start_simulation(plan_version_id=version.pk, by=world.admin, at=AT)
    assert said() == "The preview is under way."
    simulating.cancel_simulation(job_id=job.pk, by=world.admin, at=AT)
    jobs.work_off(job_id=job.pk, now=lambda: AT)
    assert said() == "The newest preview did not come to its end."
    previewed(version, world.admin, starts=date(2026, 8, 1), ends=date(2026, 8, 2))
    assert said().startswith("The newest preview does not look at every day")
    save(version, world, "Later", priority=2)
    assert "changed since it was previewed" in said()
    previewed(version, world.admin)
    assert said().startswith("Previewed on the deals")


def test_a_stale_form_of_dates_or_components_leads_to_what_is_there_now(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    read = fingerprint(version)
    save(version, world)
    dates = {"starts": "2026-11-01", "note": "Later"}
    for name, body in (("plan-edit", dates), ("plan-components", {f"weight-{world.bookings.pk}": "100"})):
        answer = send(world.admin, name, *of, revision=read, **body)
        assert answer.status_code == 412
        assert f'href="{reverse(f"quotas:{name}", args=of)}">Start from it as it is now' in strip(answer)


def strip(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_a_draft_under_a_newer_version_says_so_before_anybody_reviews_it(world: World, second: User) -> None:
    older, newer = draft_of(world), draft_of(world)
    save(newer, world, priority=1)
    ready(newer, world.admin)
    plans.publish_plan(plan_version_id=newer.pk, by=second, at=AT)
    shown = page(world.admin, "plan-version", older.plan.slug, older.number)
    assert "was published meanwhile and counts instead" in strip(shown)


def test_notes_on_many_rules_come_in_pages(world: World) -> None:
    version = draft_of(world)
    for n in range(8):
        save(version, world, f"Rule {n}", priority=n + 1)
    of = (version.plan.slug, version.number)
    assert strip(page(world.admin, "plan-version", *of)).count(" wins over ") == 20
    rest = strip(page(world.admin, "plan-version", *of, overlaps="2"))
    assert rest.count(" wins over ") > 0
    assert '<details class="pad-s" open>' in rest


def test_the_sentence_says_what_cannot_be_read_and_knows_what_the_rule_names(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    body = {**RULE, "measure": world.bookings.pk}
    live = send(world.admin, "plan-rule-live", *of, **{**body, "priority": "high"})
    assert "Priority: Enter a whole number." in strip(live)
    rule = save(version, world, conditions={"offerings": [world.house.pk]})
    Offering.objects.filter(pk=world.house.pk).update(commercial_path=CommercialPath.INTERNAL)
    named = {**body, "offerings": [str(world.house.pk)], "rule": str(rule.pk)}
    assert "plan-sentence" in strip(send(world.admin, "plan-rule-live", *of, **named))


def test_rates_without_what_they_are_paid_by_are_asked_about(world: World) -> None:
    version = draft_of(world)
    of = (version.plan.slug, version.number)
    body = {
        f"{name}-{world.bookings.pk}": value
        for name, value in (("weight", "100"), ("from0", "0"), ("rate0", "5"))
    }
    answer = send(world.admin, "plan-components", *of, **body)
    assert answer.status_code == 422
    assert "Choose what it pays by, or empty the rates." in answer.content.decode()
    assert version.components.count() == 0


@pytest.mark.parametrize("factor", ["-5", "1e9", "", "110.12345", "many", "1000000"])
def test_a_nonsense_percentage_saves_nothing(world: World, factor: str) -> None:
    version = draft_of(world)
    body = {**RULE, "measure": world.bookings.pk, "factor": factor}
    answer = send(world.admin, "plan-rule-new", version.plan.slug, version.number, **body)
    assert answer.status_code == 422
    assert version.rules.count() == 1


def test_the_number_of_queries_does_not_grow_with_rules(world: World) -> None:
    version = draft_of(world)

    def asked(name: str, *args: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert page(world.admin, name, *args).status_code == 200
        return len(captured)

    of = (version.plan.slug, version.number)
    named = {"publishers": [world.house.publisher_id], "offerings": [world.house.pk]}
    save(version, world, "First", priority=1, conditions=named)
    before = [asked("plans"), asked("plan-version", *of)]
    for n in range(6):
        save(version, world, f"Rule {n}", priority=n + 2, conditions=named)
    assert [asked("plans"), asked("plan-version", *of)] == before


def test_the_movers_come_as_a_table_too(world: World) -> None:
    sold(world, date(2026, 8, 3))
    version = draft_of(world)
    save(version, world, priority=1)
    job = previewed(version, world.admin)
    of = (version.plan.slug, version.number)
    table = page(world.auditor, "plan-impact-csv", *of, job.pk)
    assert table.getvalue().decode("utf-8-sig").splitlines() == [
        "Measure,Team,Rep,Slug of the rep,Before,After,Change,Currency",
        f"{world.bookings.name},{world.team.name},{world.ana.name},{world.ana.slug},10000.00,12000.00,2000.00,USD",
    ]
    assert page(world.auditor, "plan-impact-csv", *of, job.pk + 1).status_code == 404
    assert "+$2.0K" in page(world.auditor, "plan-impact", *of).content.decode()


# --- REST -------------------------------------------------------------------------------------------------

VERSIONS = "/api/v1/plan-versions/"


def test_versions_come_with_rules_as_sentences_and_as_data(world: World) -> None:
    version = draft_of(world, ends=date(2027, 7, 1))
    save(
        version,
        world,
        cap_minor=5_000_00,
        priority=1,
        conditions={"publishers": [world.third.publisher_id], "deal_kinds": ["renewal"]},
        ends=date(2027, 1, 1),
    )
    answer = client(world.admin).get(f"{VERSIONS}{version.pk}/")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["plan"], body["number"], body["state"]) == (version.plan.slug, 2, "draft")
    assert (body["starts"], body["ends"]) == ("2026-10-01", "2027-07-01")
    rule = body["rules"][1]
    assert rule["sentence"] == (
        f"Deals on offerings of {world.third.publisher.name}, renewal: 120%, until 31 December 2026, cap $5K a deal."
    )
    assert rule["conditions"] == {
        **dict.fromkeys(RuleVersion.CONDITIONS),
        "publishers": [world.third.publisher.slug],
        "deal_kinds": ["renewal"],
    }
    assert (rule["factor_percent"], rule["cap"], rule["ends"], rule["receivers"]) == (
        "120.0000",
        {"amount": "5000.00", "currency": "USD"},
        "2027-01-01",
        "shares",
    )
    assert (
        client(world.admin).get(f"{VERSIONS}{version.pk}/", HTTP_IF_NONE_MATCH=answer["ETag"]).status_code
        == 304
    )


def test_drafts_are_not_for_everybody_through_rest_either(world: World) -> None:
    version = draft_of(world)
    for who, seen in ((world.admin, 2), (world.auditor, 2), (world.ana, 1), (world.mia, 1)):
        assert len(client(who).get(VERSIONS).json()["results"]) == seen
    assert client(world.ana).get(f"{VERSIONS}{version.pk}/").status_code == 404
    assert client(make.user(role="partner")).get(VERSIONS).status_code == 404
    found = client(world.admin).get(VERSIONS, {"state": "draft", "on": "2026-10-01"}).json()["results"]
    assert [row["id"] for row in found] == [version.pk]
    assert client(world.admin).get(VERSIONS, {"on": "2026-09-30", "state": "draft"}).json()["results"] == []
    assert problems(client(world.admin).get(VERSIONS, {"origin": "first"}))[0][1] == "origin"


def test_a_list_of_versions_takes_a_fixed_number_of_queries(world: World) -> None:
    draft_of(world)

    def asked() -> int:
        caller = client(world.admin)
        with CaptureQueriesContext(connection) as captured:
            assert caller.get(VERSIONS).status_code == 200
        return len(captured)

    before = asked()
    for _ in range(3):
        save(draft_of(world), world)
    assert asked() == before


# --- with real names --------------------------------------------------------------------------------------


def test_a_plan_goes_all_the_way_from_nothing(world: World, second: User) -> None:
    """Drafted, ruled, assigned, previewed, proved, reviewed, published; and then it credits."""
    make.fiscal_year(states={4: "open"})
    version = plans.start_plan(name="Partner push", starts=AUTUMN, by=world.admin, at=AT)
    assert CompPlan.objects.get(slug="partner-push") == version.plan
    with pytest.raises(Conflict):
        plans.ask_for_review(plan_version_id=version.pk, by=world.admin, at=AT)
    save(version, world, "Push", 50_000, exclusive=False)
    make.assignment(plan=version.plan, role="account_executive", effective=(AUTUMN, None))
    ready(version, world.admin)
    plans.publish_plan(plan_version_id=version.pk, by=second, at=AT, reason="Agreed")
    deal = sold(world, date(2026, 10, 1))
    assert sum(CreditEntry.objects.filter(deal=deal).values_list("amount_minor", flat=True)) == 10_500_00
    credits, _ = engine.desired(engine.ByDeal([deal.pk]))
    assert {credit.plan_version_id for credit in credits} == {world.plan_version.pk, version.pk}


def test_names_are_checked_when_a_plan_is_started(world: World) -> None:
    for name, code in (("", "name_missing"), ("!!", "name_without_letters"), ("x" * 121, "name_too_long")):
        with pytest.raises(Invalid) as refused:
            plans.start_plan(name=name, starts=AUTUMN, by=world.admin, at=AT)
        assert codes(refused) == [code]
    plans.start_plan(name="One", starts=AUTUMN, by=world.admin, at=AT)
    with pytest.raises(Invalid) as refused:
        plans.start_plan(name="one", starts=AUTUMN, ends=AUTUMN, by=world.admin, at=AT)
    assert codes(refused) == ["ends_before_it_starts", "name_taken"]
    with pytest.raises(NotFound):
        plans.start_draft(plan_id=0, starts=AUTUMN, by=world.admin, at=AT)


def test_plans_with_long_names_or_in_other_scripts_get_addresses_of_their_own(world: World) -> None:
    long = "Incentive plan of the partner organisation in all of its regions"
    made = [
        plans.start_plan(name=name, starts=AUTUMN, by=world.admin, at=AT).plan.slug
        for name in (f"{long}, first half", f"{long}, second half", "План партнёров", "日本 🚀")
    ]
    assert len(set(made)) == 4
    assert max(map(len, made)) <= 60
    with pytest.raises(Invalid) as refused:
        plans.start_plan(name="план партнёров", starts=AUTUMN, by=world.admin, at=AT)
    assert codes(refused) == ["name_taken"]
