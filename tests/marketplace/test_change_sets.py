"""Change sets: what is wrong is said all at once, a second person approves, and a set is applied whole or not at all."""

import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Notification, User
from config.clock import day_of
from config.models import OutboxMessage
from config.outbox import carry_out
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal, Stale
from marketplace.models import (
    AiModel,
    Alias,
    CatalogChange,
    ChangeSet,
    Evaluation,
    Hold,
    Offering,
    OfferingRevision,
    Plan,
    PriceVersion,
    Publication,
    Publisher,
)
from marketplace.services import change_sets
from marketplace.services.change_sets import Found, ItemDraft, differences
from tests import make
from tests.depth import examples
from tests.make import AT, TODAY

pytestmark = pytest.mark.django_db

ROWS = [
    {"meter": "input-tokens", "per": 1_000_000, "unit": "token", "amount": "2.50"},
    {"meter": "output-tokens", "per": 1_000_000, "unit": "token", "amount": None},
]


def new_offering(slug: str = "brand-new", **more: Any) -> ItemDraft:
    body: dict[str, Any] = {
        "slug": slug,
        "name": f"Named {slug}",
        "kind": "model",
        "commercial_path": "marketplace",
        "available_on": "2026-09-01",
        "model": {"slug": f"model-of-{slug}", "version": "1", "context_window": 200_000},
        "plans": [
            {
                "slug": "standard",
                "name": "Pay as you go",
                "pricing_form": "tokens",
                "prices": [{"currency": "USD", "start": "2026-09-01", "source": "a letter", "rows": ROWS}],
            }
        ],
        "aliases": [{"used_by": "litellm", "name": f"x/{slug}", "start": "2026-09-01"}],
        **more,
    }
    return ItemDraft("offering.create", {k: v for k, v in body.items() if v is not ...})


def update(slug: str, **facts: Any) -> ItemDraft:
    return ItemDraft("offering.update", {"slug": slug, **facts})


def price(offering: str, plan: str, start: str, **more: Any) -> ItemDraft:
    body = {
        "offering": offering,
        "plan": plan,
        "currency": "USD",
        "start": start,
        "source": "a letter",
        "rows": ROWS,
        **more,
    }
    return ItemDraft("price.add", body)


@pytest.fixture
def keeper() -> User:
    return make.user(role="catalog_manager", name="Kay Keeper")


@pytest.fixture
def reviewer() -> User:
    return make.user(role="catalog_manager", name="Rae Reviewer")


@pytest.fixture
def publisher() -> Publisher:
    make.currency()
    return make.publisher(name="Acme", slug="acme")


@pytest.fixture
def partner(publisher: Publisher) -> User:
    return make.user(role="partner", name="Pat Partner", publisher=publisher)


def drafted(by: User, *items: ItemDraft, **more: Any) -> ChangeSet:
    return change_sets.draft_change_set(title="A change", items=items, by=by, at=AT, **more)


def submitted(by: User, *items: ItemDraft, **more: Any) -> ChangeSet:
    return change_sets.submit(change_set_id=drafted(by, *items, **more).pk, by=by, at=AT)


def approved(by: User, reviewer: User, *items: ItemDraft, **more: Any) -> ChangeSet:
    made = submitted(by, *items, **more)
    return change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)


def before_of(change_set: ChangeSet) -> dict[str, Any]:
    """How the one item of an applied set read."""
    before: dict[str, Any] | None = change_set.items.get().before
    assert before is not None
    return before


def codes(found: list[Found]) -> set[tuple[str, str]]:
    return {(f.pointer, f.code) for f in found}


def problems(refused: pytest.ExceptionInfo[Any]) -> set[tuple[str, str]]:
    return {(p.pointer, p.code) for p in refused.value.problems}


def told_to(user: User) -> list[str]:
    """The notifications of one person, once the outbox has been worked off."""
    for pk in OutboxMessage.objects.filter(done_at=None).order_by("pk").values_list("pk", flat=True):
        carry_out(message_id=pk, at=AT)
    return list(Notification.objects.filter(user=user).order_by("pk").values_list("text", flat=True))


# --- the way


def test_a_publishers_new_offering_walks_the_whole_way(
    partner: User, reviewer: User, publisher: Publisher
) -> None:
    made = drafted(partner, new_offering())
    assert (made.state, made.publisher_id, made.revision) == ("draft", publisher.pk, 1)
    assert not Offering.objects.exists()
    change_sets.submit(change_set_id=made.pk, by=partner, at=AT)
    assert set(Hold.objects.values_list("entity", flat=True)) == {
        "offering:brand-new",
        "model:model-of-brand-new",
    }
    change_sets.take_up(change_set_id=made.pk, by=reviewer, at=AT)
    done = change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT, note="Fine")
    assert (done.state, done.reviewed_by, done.applied_at) == ("applied", reviewer, AT)
    offering = Offering.objects.get()
    assert (offering.slug, offering.publication, offering.publisher, offering.revision) == (
        "brand-new",
        Publication.APPROVED,
        publisher,
        1,
    )
    assert offering.family == "model-of-brand-new"
    assert offering.model_version is not None
    assert offering.model_version.context_window == 200_000
    version = PriceVersion.objects.get()
    assert (version.plan.offering, version.effective.lower, version.recorded_by) == (
        offering,
        date(2026, 9, 1),
        reviewer,
    )
    assert {r.meter: r.amount for r in version.rows.all()} == {
        "input-tokens": Decimal("2.50"),
        "output-tokens": None,
    }
    assert Alias.objects.get().offering == offering
    assert [r.body["name"] for r in OfferingRevision.objects.filter(offering=offering)] == ["Named brand-new"]
    assert not Hold.objects.exists()
    assert any("Pat Partner of Acme submitted" in text for text in told_to(reviewer))
    assert told_to(partner) == [f"Approved and applied: {made.reference}, A change"]
    assert [(c.kind, c.what) for c in CatalogChange.objects.all()] == [
        ("offering", "Named brand-new is new. It is not on sale yet.")
    ]


def test_nobody_approves_what_he_made(keeper: User, publisher: Publisher) -> None:
    made = submitted(keeper, new_offering(publisher="acme"))
    for step in (change_sets.approve, change_sets.take_up):
        with pytest.raises(Conflict) as refused:
            step(change_set_id=made.pk, by=keeper, at=AT)
        assert problems(refused) == {("", "own_change_set")}
    assert not Offering.objects.exists()


def test_a_catalog_manager_who_acts_for_the_publisher_does_not_review_its_sets(
    partner: User, publisher: Publisher
) -> None:
    both = make.user(role="catalog_manager", publisher=publisher)
    made = submitted(partner, new_offering())
    with pytest.raises(Conflict, match="second person"):
        change_sets.approve(change_set_id=made.pk, by=both, at=AT)


def test_only_a_catalog_manager_reviews(partner: User, publisher: Publisher) -> None:
    made = submitted(partner, new_offering())
    colleague = make.user(role="partner", publisher=publisher)
    with pytest.raises(Forbidden):
        change_sets.approve(change_set_id=made.pk, by=colleague, at=AT)
    with pytest.raises(NotFound):
        change_sets.approve(change_set_id=made.pk, by=make.user(role="rep"), at=AT)
    with pytest.raises(Forbidden):
        drafted(make.user(role="rep"), new_offering())


def test_a_publisher_knows_of_its_own_sets_only(partner: User) -> None:
    made = drafted(partner, new_offering())
    other = make.user(role="partner")
    for step in (change_sets.submit, change_sets.withdraw):
        with pytest.raises(NotFound):
            step(change_set_id=made.pk, by=other, at=AT)
    with pytest.raises(NotFound):
        drafted(other, publisher_id=made.publisher_id)


def test_requested_changes_are_mended_and_submitted_again(partner: User, reviewer: User) -> None:
    made = submitted(partner, new_offering(name="Wron name"))
    said = Found("/items/0/body/name", "reviewer", "Mend the name.")
    change_sets.request_changes(change_set_id=made.pk, by=reviewer, at=AT, note="Nearly", findings=[said])
    finding = made.findings.get(by=reviewer)
    assert (finding.pointer, finding.resolved_at) == ("/items/0/body/name", None)
    assert Hold.objects.filter(change_set=made).exists()
    change_sets.save_items(change_set_id=made.pk, items=[new_offering(name="Right name")], by=partner, at=AT)
    change_sets.submit(change_set_id=made.pk, by=partner, at=AT)
    finding.refresh_from_db()
    assert finding.resolved_at == AT
    change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    assert Offering.objects.get().name == "Right name"


def test_reject_and_request_need_a_reason(partner: User, reviewer: User) -> None:
    made = submitted(partner, new_offering())
    with pytest.raises(Invalid) as refused:
        change_sets.reject(change_set_id=made.pk, by=reviewer, at=AT, note=" ")
    assert problems(refused) == {("/note", "reason_missing")}
    with pytest.raises(Invalid):
        change_sets.request_changes(change_set_id=made.pk, by=reviewer, at=AT, note="")
    assert change_sets.reject(change_set_id=made.pk, by=reviewer, at=AT, note="No").state == "rejected"
    assert not Hold.objects.exists()
    with pytest.raises(Conflict):
        change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)


def test_a_withdrawn_set_lets_go(partner: User, reviewer: User) -> None:
    made = submitted(partner, new_offering())
    change_sets.withdraw(change_set_id=made.pk, by=partner, at=AT)
    assert not Hold.objects.exists()
    with pytest.raises(Conflict):
        change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)


def test_an_old_revision_is_stale(partner: User) -> None:
    made = drafted(partner, new_offering())
    change_sets.save_items(change_set_id=made.pk, items=[new_offering()], by=partner, at=AT)
    with pytest.raises(Stale):
        change_sets.submit(change_set_id=made.pk, by=partner, at=AT, expected_revision=1)
    change_sets.submit(change_set_id=made.pk, by=partner, at=AT, expected_revision=2)


# --- what is wrong


def test_every_wrong_field_is_said_at_once(keeper: User, publisher: Publisher) -> None:
    there = make.offering(publisher=publisher, slug="there")
    items = [
        new_offering(
            "there",
            publisher="acme",
        ),
        new_offering("Bad Slug", publisher="acme", kind="toy", name="", colour="red"),
        new_offering(
            "new-2",
            publisher="nobody",
            available_on="2025-02-31",
            billing_countries=["DE", "de"],
            task_areas=["unheard-of"],
            replacement="unheard-of",
        ),
        price(
            there.slug,
            "no-such-plan",
            "2026-09-01",
            rows=[{"meter": "x", "per": 0, "unit": "", "amount": 1.5}],
        ),
        ItemDraft("offering.explode", {}),
    ]
    found = change_sets.validate(items=items, publisher_id=None, on=TODAY)
    assert {
        ("/items/0/body/slug", "slug_taken"),
        ("/items/1/body/slug", "invalid"),
        ("/items/1/body/kind", "unknown_choice"),
        ("/items/1/body/name", "required"),
        ("/items/1/body/colour", "unknown_field"),
        ("/items/2/body/publisher", "unknown_publisher"),
        ("/items/2/body/available_on", "no_such_day"),
        ("/items/2/body/billing_countries/1", "invalid"),
        ("/items/2/body/task_areas/0", "unknown_task_area"),
        ("/items/2/body/replacement", "unknown_replacement"),
        ("/items/3/body", "cannot_be_kept"),
        ("/items/4/operation", "unknown_operation"),
    } <= codes(found)
    assert not ChangeSet.objects.exists()


def test_what_is_wrong_is_kept_beside_a_draft_and_refuses_the_submission(partner: User) -> None:
    made = drafted(partner, new_offering(name=..., commercial_path="somehow"))
    expected = {
        ("/items/0/body/name", "required"),
        ("/items/0/body/commercial_path", "unknown_choice"),
    }
    assert {(f.pointer, f.code) for f in made.findings.all()} == expected
    with pytest.raises(Invalid) as refused:
        change_sets.submit(change_set_id=made.pk, by=partner, at=AT)
    assert problems(refused) == expected
    assert not Hold.objects.exists()


def test_a_shape_that_cannot_be_kept_is_refused_whole(partner: User) -> None:
    with pytest.raises(Invalid) as refused:
        drafted(partner, ItemDraft("nothing", {}), ItemDraft("offering.update", {"slug": "a\x00b"}))
    assert problems(refused) == {
        ("/items/0/operation", "unknown_operation"),
        ("/items/1/body", "cannot_be_kept"),
    }
    assert not ChangeSet.objects.exists()


def test_another_publishers_offerings_do_not_exist_for_a_publisher(
    partner: User, publisher: Publisher
) -> None:
    foreign = make.offering(publication=Publication.APPROVED)
    hidden = change_sets.validate(
        items=[update(foreign.slug, name="Mine")], publisher_id=publisher.pk, on=TODAY
    )
    absent = change_sets.validate(items=[update("no-such", name="Mine")], publisher_id=publisher.pk, on=TODAY)
    assert hidden == absent
    assert codes(hidden) == {("/items/0/body/slug", "unknown_offering")}
    replaced = change_sets.validate(
        items=[new_offering(replacement=foreign.slug)], publisher_id=publisher.pk, on=TODAY
    )
    assert codes(replaced) == {("/items/0/body/replacement", "unknown_replacement")}
    theirs = change_sets.validate(
        items=[
            ItemDraft(
                "model.update",
                {"model": foreign.model_version.model.slug, "version": "1", "max_output": 5},  # type: ignore[union-attr]
            ),
            new_offering("x", publisher="other"),
        ],
        publisher_id=publisher.pk,
        on=TODAY,
    )
    assert codes(theirs) == {
        ("/items/0/body/model", "unknown_model"),
        ("/items/1/body/publisher", "other_publisher"),
    }


def test_a_retirement_needs_its_notice(publisher: Publisher) -> None:
    there = make.offering(publisher=publisher)
    soon = (TODAY + timedelta(days=119)).isoformat()
    late = (TODAY + timedelta(days=120)).isoformat()

    def retire(day: str) -> ItemDraft:
        return ItemDraft("offering.retire", {"slug": there.slug, "retires_on": day})

    assert codes(change_sets.validate(items=[retire(soon)], publisher_id=None, on=TODAY)) == {
        ("/items/0/body/retires_on", "too_soon")
    }
    assert change_sets.validate(items=[retire(late)], publisher_id=None, on=TODAY) == []
    sneaky = change_sets.validate(items=[update(there.slug, retires_on=soon)], publisher_id=None, on=TODAY)
    assert codes(sneaky) == {("/items/0/body/retires_on", "too_soon")}


# --- who holds what


def test_the_second_set_on_an_offering_is_told_who_holds_it(
    partner: User, keeper: User, publisher: Publisher
) -> None:
    there = make.offering(publisher=publisher, slug="there")
    first = submitted(partner, update(there.slug, name="By the partner"))
    second = drafted(keeper, update(there.slug, name="By the keeper"))
    assert [f.code for f in second.findings.all()] == ["held"]
    with pytest.raises(Conflict) as refused:
        change_sets.submit(change_set_id=second.pk, by=keeper, at=AT)
    assert problems(refused) == {("", "held")}
    assert first.reference in str(refused.value)
    assert "Pat Partner" in str(refused.value)
    second.refresh_from_db()
    assert second.state == "draft"
    assert [h.change_set_id for h in Hold.objects.all()] == [first.pk]


def test_a_publisher_learns_nobodys_name_from_a_hold(
    partner: User, keeper: User, publisher: Publisher
) -> None:
    there = make.offering(publisher=publisher, slug="there")
    submitted(keeper, update(there.slug, name="By the keeper"))
    mine = drafted(partner, update(there.slug, name="By the partner"))
    with pytest.raises(Conflict) as refused:
        change_sets.submit(change_set_id=mine.pk, by=partner, at=AT)
    assert "there" in str(refused.value)
    assert "Kay" not in str(refused.value)
    assert "CS-" not in str(refused.value)


def test_evidence_holds_nothing(keeper: User, publisher: Publisher) -> None:
    area = make.task_area()
    result = ItemDraft(
        "evaluation.add",
        {"task_area": area.slug, "subject": "X", "benchmark": "B", "score": "61.5", "source": "a paper"},
    )
    submitted(keeper, result)
    assert not Hold.objects.exists()


# --- applied


def test_a_new_price_ends_the_one_before_it(keeper: User, reviewer: User, publisher: Publisher) -> None:
    plan = make.plan(offering=make.offering(publisher=publisher, slug="there"), slug="standard")
    old = make.price(plan=plan)
    clash = change_sets.validate(
        items=[price("there", "standard", "2026-10-01")], publisher_id=None, on=TODAY
    )
    assert codes(clash) == {("/items/0/body/start", "overlaps")}
    done = approved(keeper, reviewer, price("there", "standard", "2026-10-01", ends_previous=True))
    old.refresh_from_db()
    new = PriceVersion.objects.exclude(pk=old.pk).get()
    assert (old.effective.upper, new.effective.lower, new.effective.upper) == (
        date(2026, 10, 1),
        date(2026, 10, 1),
        None,
    )
    before = before_of(done)
    assert before["price_version"] == old.pk
    assert {r["meter"]: r["amount"] for r in before["rows"]} == {
        "input-tokens": "3",
        "output-tokens": "15",
    }
    assert Offering.objects.get().revision == 1  # a price is not a fact of the offering


def test_a_correction_supersedes(keeper: User, reviewer: User, publisher: Publisher) -> None:
    plan = make.plan(offering=make.offering(publisher=publisher, slug="there"), slug="standard")
    wrong = make.price(plan=plan, effective=(date(2026, 1, 1), date(2027, 1, 1)))
    body = {"offering": "there", "price_version": wrong.pk, "source": "the right letter", "rows": ROWS}
    approved(keeper, reviewer, ItemDraft("price.correct", body))
    wrong.refresh_from_db()
    right = PriceVersion.objects.get(superseded_at=None)
    assert wrong.superseded_at == AT
    assert right.effective == wrong.effective
    again = change_sets.validate(items=[ItemDraft("price.correct", body)], publisher_id=None, on=TODAY)
    assert codes(again) == {("/items/0/body/price_version", "superseded")}


def test_items_build_on_each_other(keeper: User, reviewer: User, publisher: Publisher) -> None:
    approved(
        keeper,
        reviewer,
        new_offering("one", publisher="acme", replacement="two", plans=..., aliases=...),
        new_offering(
            "two", publisher={"slug": "fresh", "name": "Fresh", "origin": "third"}, plans=..., aliases=...
        ),
        ItemDraft(
            "plan.create", {"offering": "one", "slug": "batch", "name": "Batch", "pricing_form": "tokens"}
        ),
        price("one", "batch", "2026-09-01"),
        price("one", "batch", "2026-10-01", ends_previous=True),
        ItemDraft("offering.publish", {"slug": "one", "on": "2026-09-01"}),
    )
    one = Offering.objects.get(slug="one")
    assert (one.publication, one.goes_live_on, one.revision) == (Publication.SCHEDULED, date(2026, 9, 1), 1)
    assert one.replacement == Offering.objects.get(slug="two", publisher__name="Fresh")
    spans = [(v.effective.lower, v.effective.upper) for v in PriceVersion.objects.order_by("effective")]
    assert spans == [(date(2026, 9, 1), date(2026, 10, 1)), (date(2026, 10, 1), None)]


def test_facts_of_a_model_make_a_revision_of_each_offering_of_it(
    keeper: User, reviewer: User, publisher: Publisher
) -> None:
    there = make.offering(publisher=publisher)
    version = there.model_version
    assert version is not None
    twin = make.offering(publisher=publisher)
    Offering.objects.filter(pk=twin.pk).update(model_version=version)
    body = {
        "model": version.model.slug,
        "version": version.label,
        "context_window": 1_000_000,
        "modalities_in": ["text", "image"],
        "capabilities": {"reasoning": True, "tool_call": None},
        "knowledge_cutoff": "2026-01",
    }
    approved(keeper, reviewer, ItemDraft("model.update", body))
    version.refresh_from_db()
    assert (version.context_window, version.modalities_in, version.capabilities) == (
        1_000_000,
        ["text", "image"],
        {"reasoning": True, "tool_call": None},
    )
    for offering in (there, twin):
        latest = OfferingRevision.objects.filter(offering=offering).latest("number")
        assert (latest.number, latest.body["model"]["context_window"]) == (2, 1_000_000)


def test_every_fact_of_an_offering_can_change_and_nothing_else_does(
    keeper: User, reviewer: User, publisher: Publisher
) -> None:
    area = make.task_area(slug="coding")
    there = make.offering(publisher=publisher, slug="there")
    other = make.offering(publisher=publisher, slug="other")
    facts = {
        "name": "New name",
        "family": "new-family",
        "summary": "All new",
        "commercial_path": "sold_by_cloud",
        "path_basis": "A page",
        "path_assumed": True,
        "billing_countries": ["DE", "FR"],
        "preview_on": "2019-01-01",
        "available_on": "2020-06-01",
        "legacy_on": "2027-01-01",
        "deprecated_on": "2027-02-01",
        "retires_on": "2027-05-02",
        "replacement": "other",
        "task_areas": ["coding"],
    }
    done = approved(keeper, reviewer, update("there", **facts))
    fresh = OfferingRevision.objects.filter(offering=there).latest("number")
    assert {k: fresh.body[k] for k in facts} == facts
    other.refresh_from_db()
    assert (other.revision, other.name) == (1, other.name)
    assert list(Offering.objects.get(pk=there.pk).task_areas.all()) == [area]
    before = before_of(done)
    assert (before["available_on"], before["billing_countries"], before["replacement"]) == (
        "2020-01-01",
        None,
        None,
    )
    cleared = approved(
        keeper, reviewer, update("there", billing_countries=None, replacement=None, task_areas=[], summary="")
    )
    assert before_of(cleared)["task_areas"] == ["coding"]
    there.refresh_from_db()
    assert (there.billing_countries, there.replacement, there.summary, there.revision) == (None, None, "", 3)
    assert not there.task_areas.exists()


def test_stop_and_publish_follow_the_ways(keeper: User, reviewer: User, publisher: Publisher) -> None:
    there = make.offering(publisher=publisher, slug="there")
    publish = ItemDraft("offering.publish", {"slug": "there"})
    found = change_sets.validate(items=[publish], publisher_id=None, on=TODAY)
    assert codes(found) == {("/items/0/body/slug", "no_plan"), ("/items/0", "no_such_step")}
    make.plan(offering=there)
    approved(keeper, reviewer, ItemDraft("offering.stop", {"slug": "there", "reason": "Sold out"}))
    there.refresh_from_db()
    assert there.publication == Publication.STOPPED
    approved(keeper, reviewer, publish)
    there.refresh_from_db()
    assert (there.publication, there.revision) == (Publication.LIVE, 3)


def test_a_result_goes_in_once(keeper: User, reviewer: User, publisher: Publisher) -> None:
    area = make.task_area()
    there = make.offering(publisher=publisher)
    version = there.model_version
    assert version is not None
    body = {
        "task_area": area.slug,
        "model": version.model.slug,
        "version": version.label,
        "subject": "It",
        "benchmark": "B",
        "score": "61.5",
        "interval_low": "60",
        "interval_high": "63",
        "source": "a paper",
    }
    approved(keeper, reviewer, ItemDraft("evaluation.add", body))
    assert Evaluation.objects.get().model_version == version
    again = change_sets.validate(items=[ItemDraft("evaluation.add", body)], publisher_id=None, on=TODAY)
    assert codes(again) == {("/items/0", "already_there")}


def test_a_set_is_applied_whole_or_not_at_all(keeper: User, reviewer: User, publisher: Publisher) -> None:
    there = make.offering(publisher=publisher, slug="there")
    made = submitted(
        keeper,
        new_offering("fresh", publisher="acme"),
        ItemDraft("offering.update", {"slug": "there", "name": "B"}, 1),
    )
    Offering.objects.filter(pk=there.pk).update(revision=2)
    with pytest.raises(Invalid) as refused:
        change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    assert problems(refused) == {("/items/1", "stale")}
    assert not Offering.objects.filter(slug="fresh").exists()
    made.refresh_from_db()
    assert made.state == "submitted"


def test_applying_costs_the_same_for_few_and_for_many(
    keeper: User, reviewer: User, publisher: Publisher
) -> None:
    def cost(number: int) -> int:
        items = [new_offering(f"n{number}-{i}", publisher="acme") for i in range(number)]
        for i in range(number):
            offering = make.offering(publisher=publisher, slug=f"o{number}-{i}")
            make.price(plan=make.plan(offering=offering, slug="standard"))
            items += [
                update(offering.slug, name=f"Name {i}"),
                price(offering.slug, "standard", "2026-10-01", ends_previous=True),
            ]
        made = submitted(keeper, *items)
        with CaptureQueriesContext(connection) as queries:
            change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
        return len(queries)

    cost(1)  # what a person may do is read once
    assert cost(2) == cost(5)


# --- on its day


def test_a_scheduled_set_is_applied_on_its_day_and_once(partner: User, reviewer: User) -> None:
    day = TODAY + timedelta(days=10)
    made = submitted(partner, new_offering(), apply_on=day)
    done = change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    assert (done.state, done.apply_on) == ("scheduled", day)
    assert change_sets.apply_due(on=day - timedelta(days=1), at=AT) == 0
    assert not Offering.objects.exists()
    later = AT + timedelta(days=40)
    assert change_sets.apply_due(on=day_of(later), at=later) == 1
    assert change_sets.apply_due(on=day_of(later), at=later) == 0
    made.refresh_from_db()
    assert (made.state, made.applied_at, Offering.objects.count()) == ("applied", later, 1)


def test_a_scheduled_set_that_no_longer_applies_goes_back_and_the_others_go_on(
    partner: User, reviewer: User, publisher: Publisher
) -> None:
    there = make.offering(publisher=publisher, slug="there")
    day = TODAY + timedelta(days=10)
    bad = submitted(partner, ItemDraft("offering.update", {"slug": "there", "name": "B"}, 1), apply_on=day)
    good = submitted(partner, new_offering(), apply_on=day)
    for made in (bad, good):
        change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    Offering.objects.filter(pk=there.pk).update(revision=2)
    assert change_sets.apply_due(on=day, at=AT) == 1
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == ("changes_requested", "applied")
    assert "revision 2" in bad.problem
    assert [f.code for f in bad.findings.all()] == ["stale"]
    assert any("Could not be applied" in text for text in told_to(partner))
    assert any("could not be applied" in text for text in told_to(reviewer))


# --- at the same time


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Each in a thread with a connection of its own, begun together. Returns what each returned or raised."""
    barrier = threading.Barrier(len(work))
    results: list[Any] = [None] * len(work)

    def run(place: int) -> None:
        try:
            barrier.wait(timeout=20)
            results[place] = work[place]()
        except Exception as failure:
            results[place] = failure
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


@pytest.mark.django_db(transaction=True)
def test_of_two_submissions_at_once_one_holds_and_one_is_told() -> None:
    there = make.offering(slug="there")
    also = make.offering(slug="also")
    keepers = [make.user(role="catalog_manager", name=f"Keeper {n}") for n in range(4)]
    orders = [(there, also), (also, there), (there,), (also, there)]
    sets = [
        drafted(by, *(update(o.slug, name=f"By {by.name}") for o in order))
        for by, order in zip(keepers, orders, strict=True)
    ]
    results = at_once(
        *(
            lambda by=by, made=made: change_sets.submit(change_set_id=made.pk, by=by, at=AT)
            for by, made in zip(keepers, sets, strict=True)
        )
    )
    won = [r for r in results if isinstance(r, ChangeSet)]
    assert len(won) == 1, results
    assert all(isinstance(r, Conflict) and r.problems[0].code == "held" for r in results if r not in won)
    assert {h.change_set_id for h in Hold.objects.all()} == {won[0].pk}
    assert ChangeSet.objects.filter(state="submitted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_approvals_at_once_one_applies() -> None:
    there = make.offering(slug="there")
    make.currency()
    made = submitted(make.user(role="catalog_manager"), update("there", name="Once"))
    reviewers = [make.user(role="catalog_manager") for _ in range(3)]
    results = at_once(
        *(lambda by=by: change_sets.approve(change_set_id=made.pk, by=by, at=AT) for by in reviewers)
    )
    assert sum(isinstance(r, ChangeSet) for r in results) == 1, results
    assert all(isinstance(r, ChangeSet | Conflict) for r in results)
    there.refresh_from_db()
    assert (there.name, there.revision) == ("Once", 2)
    assert OfferingRevision.objects.filter(offering=there).count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_apply_what_is_due_once() -> None:
    make.currency()
    publisher = make.publisher(slug="acme")
    partner, reviewer = make.user(role="partner", publisher=publisher), make.user(role="catalog_manager")
    day = TODAY + timedelta(days=1)
    for n in range(3):
        made = submitted(partner, new_offering(f"n{n}"), apply_on=day)
        change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    results = at_once(*(lambda: change_sets.apply_due(on=day, at=AT) for _ in range(3)))
    assert all(isinstance(r, int) for r in results), results
    assert sum(results) + change_sets.apply_due(on=day, at=AT) == 3
    assert Offering.objects.count() == 3
    assert not ChangeSet.objects.exclude(state="applied").exists()


# --- for people


def test_a_difference_reads_in_words(partner: User, publisher: Publisher) -> None:
    plan = make.plan(offering=make.offering(publisher=publisher, slug="there", name="There"), slug="standard")
    make.price(plan=plan)
    made = drafted(
        partner,
        update("there", name="Elsewhere", billing_countries=["DE"], colour="red"),
        price("there", "standard", "2026-10-01", ends_previous=True),
    )
    first, second = differences(made, list(made.items.order_by("position")), on=TODAY)
    assert (first.name, first.slug, first.new) == ("Elsewhere", "there", False)
    assert [(d.label, d.before, d.after) for d in first.lines] == [
        ("Name", "There", "Elsewhere"),
        ("Billing countries", "every country", "DE"),
    ]
    assert [f.code for f in first.findings] == ["unknown_field"]
    said = {d.label: (d.before, d.after, d.note) for d in second.lines}
    assert said["Input tokens"] == (
        "USD\N{NO-BREAK SPACE}3.00 per million input tokens",
        "USD\N{NO-BREAK SPACE}2.50 per million input tokens",
        "\N{MINUS SIGN}16.7%",
    )
    assert said["Output tokens"][1] == "unknown per million output tokens"


def test_the_difference_of_an_applied_set_is_how_it_was(
    partner: User, reviewer: User, publisher: Publisher
) -> None:
    make.offering(publisher=publisher, slug="there", name="There")
    made = approved(partner, reviewer, update("there", name="Elsewhere"))
    [one] = differences(made, list(made.items.all()), on=TODAY)
    assert [(d.before, d.after) for d in one.lines] == [("There", "Elsewhere")]


# --- whatever comes

WORDS = st.sampled_from(
    [
        "there",
        "other",
        "standard",
        "acme",
        "USD",
        "world",
        "2026-10-01",
        "2025-02-31",
        "coding",
        "model",
        "1",
        "",
        "tokens",
        "marketplace",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats()
    | st.decimals()
    | WORDS
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            WORDS
            | st.text(max_size=6)
            | st.sampled_from(
                [
                    "slug",
                    "name",
                    "rows",
                    "meter",
                    "per",
                    "unit",
                    "amount",
                    "currency",
                    "start",
                    "source",
                    "version",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@pytest.fixture
def there(publisher: Publisher) -> Plan:
    make.task_area(slug="coding")
    offering = make.offering(publisher=publisher, slug="there")
    return make.price(plan=make.plan(offering=offering, slug="standard")).plan


@st.composite
def any_item(draw: st.DrawFn) -> ItemDraft:
    operation = draw(st.sampled_from([*change_sets.SHAPES, "", "nothing"]))
    shape = change_sets.SHAPES.get(operation)
    body: dict[str, Any] = {}
    for one in shape.fields if shape else ():
        if draw(st.booleans()):
            body[one.name] = draw(VALUES)
    if "slug" in body and draw(st.booleans()):
        body["slug"] = "there"
    if "offering" in body and draw(st.booleans()):
        body["offering"] = "there"
    return ItemDraft(
        operation,
        draw(st.just(body) | VALUES) if draw(st.integers(0, 9)) == 0 else body,
        draw(st.none() | st.integers(-1, 3)),
    )


@settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        any_item()
        | st.sampled_from(
            [new_offering("sound-1"), new_offering("sound-2", plans=[]), update("there", name="Other")]
        ),
        max_size=5,
    )
)
def test_whatever_is_asked_for_is_applied_whole_or_not_at_all(
    there: Plan, partner: User, reviewer: User, items: list[ItemDraft]
) -> None:
    with transaction.atomic():
        publisher = there.offering.publisher
        found = change_sets.validate(items=items, publisher_id=publisher.pk, on=TODAY)
        before = picture()
        refused: Refusal | None = None
        try:
            made = submitted(partner, *items)
            list(differences(made, list(made.items.order_by("position")), on=TODAY))
            change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
        except Refusal as said:
            refused = said
        stops = any(f.stops for f in found) or not items
        assert (refused is not None) == stops, (refused, found)
        if refused is not None:
            assert picture() == before
        else:
            for item in items:
                if item.operation == "offering.create":
                    assert Offering.objects.filter(slug=item.body["slug"]).exists()
        transaction.set_rollback(True)


def picture() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (Offering, Plan, PriceVersion, Alias, AiModel, Evaluation, OfferingRevision, Publisher)
    ]


@pytest.mark.parametrize("number", [100, pytest.param(1500, marks=pytest.mark.soak)])
def test_a_long_change_set_applies_in_seconds(
    number: int, keeper: User, reviewer: User, publisher: Publisher
) -> None:
    made = submitted(keeper, *(new_offering(f"n-{i}", publisher="acme") for i in range(number)))
    began = time.monotonic()
    change_sets.approve(change_set_id=made.pk, by=reviewer, at=datetime.fromisoformat(AT.isoformat()))
    assert Offering.objects.count() == number
    assert time.monotonic() - began < 30


@pytest.mark.django_db(transaction=True)
def test_of_two_sets_that_want_one_name_at_once_one_is_told() -> None:
    """Names are held by nobody: two approvals meet in the rule or in the constraint, and the loser stays as it was."""
    for slug in ("one", "two"):
        make.offering(slug=slug)
    sets = [
        submitted(
            make.user(role="catalog_manager"),
            ItemDraft(
                "alias.add", {"used_by": "", "name": "The name", "offering": slug, "start": "2026-01-01"}
            ),
        )
        for slug in ("one", "two")
    ]
    reviewers = [make.user(role="catalog_manager") for _ in sets]
    results = at_once(
        *(
            lambda by=by, made=made: change_sets.approve(change_set_id=made.pk, by=by, at=AT)
            for by, made in zip(reviewers, sets, strict=True)
        )
    )
    assert sum(isinstance(r, ChangeSet) for r in results) == 1, results
    [lost] = [r for r in results if not isinstance(r, ChangeSet)]
    assert isinstance(lost, Invalid | Conflict)
    assert lost.problems[0].code in ("alias_taken", "overtaken")
    assert Alias.objects.count() == 1
    assert sorted(ChangeSet.objects.values_list("state", flat=True)) == ["applied", "submitted"]
