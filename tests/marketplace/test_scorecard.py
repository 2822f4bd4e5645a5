"""A publisher's scorecard counts what is known, and shows outsiders only what is public."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from marketplace.models import ChangeSet, Offering, OfferingRevision, Plan, Publisher
from marketplace.selectors.scorecard import Scorecard, scorecard
from quotas.models import DealState
from tests import make
from tests.marketplace.conftest import TODAY, Catalog
from tests.marketplace.evidence_world import result, sold, task

Browser = Callable[[User], Client]
AT = datetime(2026, 8, 1, 9, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def card(publisher: Publisher, user: User | None = None) -> Scorecard:
    return scorecard(publisher, user or make.user(role=Role.AUDITOR), TODAY)


def test_facts_are_known_unknown_or_not_a_question() -> None:
    publisher = make.publisher()
    model = make.offering(publisher=publisher)
    make.offering(publisher=publisher, kind="seat")
    version = model.model_version
    assert version
    version.context_window, version.capabilities = 1000, {"reasoning": False, "tool_call": None}
    version.save()
    known = {fact.label: (fact.known, fact.of) for fact in card(publisher).facts}
    assert known["Summary"] == (0, 2)
    assert known["First day on sale"] == (2, 2)
    assert known["Context"] == (1, 1)
    assert known["Languages"] == (0, 1)
    assert known["Capabilities"] == (1, 5)
    found = card(publisher)
    assert (found.known, found.knowable) == (
        sum(k for k, _of in known.values()),
        sum(of for _k, of in known.values()),
    )


def test_prices_are_known_in_part_or_missing() -> None:
    publisher = make.publisher()
    offering = make.offering(publisher=publisher)
    for amount in ("1.00", None):
        make.price(plan=make.plan(offering=offering), rows={"input-tokens": amount, "output-tokens": "2.00"})
    make.plan(offering=offering)
    make.plan(offering=offering, pricing_form="byol")
    make.plan(offering=offering, public=False)
    withdrawn = make.plan(offering=offering)
    Plan.objects.filter(pk=withdrawn.pk).update(withdrawn_on=TODAY)
    retired = make.offering(publisher=publisher, retires_on=TODAY)
    make.plan(offering=retired)
    prices = card(publisher).prices
    assert (prices.known, prices.partly, prices.none, prices.plans) == (2, 1, 1, 4)


def test_evidence_says_the_best_place_by_task() -> None:
    publisher, area, other = make.publisher(), task(), task("slides")
    first = sold(area, publisher=publisher)
    sold(other, publisher=publisher)
    result(first, "50", area=area)
    for score in ("60", "40", "30"):
        result(None, score, area=area, subject=f"x{score}")
    scores = {s.task_area.slug: s for s in card(publisher).tasks}
    best = scores["coding"].cell.best
    assert best
    assert (best.place, best.of, scores["coding"].cell.results, scores["coding"].offerings) == (2, 4, 1, 1)
    assert (scores["slides"].cell.known, scores["slides"].offerings) == (False, 1)


def test_notice_runs_from_the_first_day_that_says_so() -> None:
    publisher = make.publisher()
    by_dates, recorded, coming = (make.offering(publisher=publisher) for _ in range(3))
    retires = TODAY + timedelta(days=60)
    Offering.objects.filter(publisher=publisher).update(retires_on=retires)
    Offering.objects.filter(pk=by_dates.pk).update(legacy_on=retires - timedelta(days=120))
    Offering.objects.filter(pk=coming.pk).update(legacy_on=TODAY + timedelta(days=1))
    OfferingRevision.objects.create(
        offering=recorded, number=2, body={"retires_on": retires.isoformat()}, recorded_at=AT
    )
    notices = {n.offering: n for n in card(publisher).notices}
    assert (notices[by_dates].told, notices[by_dates].days) == (retires - timedelta(days=120), 120)
    assert notices[by_dates].enough is True
    assert (notices[recorded].told, notices[recorded].days) == (date(2026, 8, 1), 73)
    assert notices[recorded].enough is False
    assert (notices[coming].told, notices[coming].days) == (None, 60)


def test_turn_round_is_the_median_from_submission_to_decision() -> None:
    publisher, author, reviewer = make.publisher(), make.user(), make.user()
    for hours, state in (
        (1, "applied"),
        (5, "rejected"),
        (48, "applied"),
        (None, "submitted"),
        (None, "draft"),
    ):
        ChangeSet.objects.create(
            publisher=publisher,
            title="x",
            channel="browser",
            state=state,
            made_by=author,
            made_at=AT,
            submitted_at=None if state == "draft" else AT,
            reviewed_by=reviewer if hours else None,
            reviewed_at=AT + timedelta(hours=hours) if hours else None,
        )
    found = card(publisher).turn_round
    assert found
    assert (found.decided, found.applied, found.returned, found.waiting) == (3, 2, 1, 1)
    assert found.median == timedelta(hours=5)


def test_outsiders_see_what_is_public_alone(browser_of: Browser) -> None:
    world = make.world()
    publisher = world.third.publisher
    make.offering(publisher=publisher, name="Secret draft", publication="draft")
    make.deal(
        owner=world.ana, lines=[make.Line(world.third, 500_00)], close_date=TODAY, state=DealState.APPROVED
    )
    own = make.user(role=Role.PARTNER, publisher=publisher)
    rival = make.user(role=Role.PARTNER)
    seen = {
        name: card(publisher, user)
        for name, user in (("own", own), ("rival", rival), ("rep", make.login(world.cy)))
    }
    assert [(seen[n].inside, seen[n].offerings) for n in ("own", "rival", "rep")] == [
        (True, 2),
        (False, 1),
        (False, 1),
    ]
    assert [seen[n].turn_round is None for n in ("own", "rival", "rep")] == [False, True, True]
    assert [seen[n].sold is None for n in ("own", "rival", "rep")] == [False, True, True]
    assert seen["own"].sold
    assert (seen["own"].sold.deals, seen["own"].sold.value_minor) == (1, {"USD": 500_00})
    address = f"/catalog/publishers/{publisher.slug}/scorecard/"
    for user, says, hides in (
        (own, b"Change sets", b"What is public"),
        (rival, b"What is public", b"Change sets"),
    ):
        page = browser_of(user).get(address)
        assert says in page.content
        assert hides not in page.content
    assert b"$500" not in browser_of(rival).get(address).content


def test_a_publisher_without_anything_published_is_not_there_for_others(browser_of: Browser) -> None:
    hidden = make.publisher()
    make.offering(publisher=hidden, publication="draft")
    address = f"/catalog/publishers/{hidden.slug}/scorecard/"
    assert browser_of(make.user(role="rep")).get(address).status_code == 404
    assert browser_of(make.user(role=Role.PARTNER, publisher=hidden)).get(address).status_code == 200


def test_the_number_of_queries_does_not_grow(catalog: Catalog) -> None:
    user = make.user(role=Role.COMP_ADMIN)
    counts = []
    for slug in ("anthropic", "openai"):
        with CaptureQueriesContext(connection) as captured:
            scorecard(Publisher.objects.get(slug=slug), user, TODAY)
        counts.append(len(captured))
    assert max(counts) - min(counts) <= 1  # prices are not asked for where there is no plan
    assert max(counts) <= 18


def test_public_statements_stand_with_the_publisher_they_are_about(
    catalog: Catalog, browser_of: Browser
) -> None:
    client = browser_of(make.user(role="rep"))
    html = client.get("/catalog/publishers/anthropic/scorecard/").content.decode()
    for slug in ("quota-parity", "feat-github-copilot", "eval-slides"):
        assert f'href="/sourcing/facts/#fact-{slug}"' in html
    assert "#spend-anthropic" not in html
    assert "#quota-parity" not in client.get("/catalog/publishers/cohere/scorecard/").content.decode()
