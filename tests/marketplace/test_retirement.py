"""Retiring an offering: what it hits is shown first, a second person approves it, and substitutes are named with their prices."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from config import clock
from marketplace.models import ChangeSet, Evaluation, Hold, Offering
from marketplace.selectors.resources import with_facts
from marketplace.selectors.substitutes import substitutes
from marketplace.services import change_sets
from tests import make

Browser = Callable[[User], Client]
TODAY = date(2026, 8, 14)
EARLIEST = TODAY + timedelta(days=120)

pytestmark = pytest.mark.django_db


def flat(content: bytes) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


def text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return flat(response.content)


def priced(name: str, amount: str | None, output: str = "15.00", **more: object) -> Offering:
    offering = make.offering(name=name, **more)  # type: ignore[arg-type]
    make.price(plan=make.plan(offering=offering), rows={"input-tokens": amount, "output-tokens": output})
    return offering


@pytest.fixture
def coding() -> list[Offering]:
    """Old and three that serve its task: cheaper, dearer, of unknown price."""
    area = make.task_area(name="Coding")
    found = [
        priced("Old", "3.00"),
        priced("Cheaper", "1.50"),
        priced("Dearer", "4.50"),
        priced("Untold", None),
    ]
    for offering in found:
        offering.task_areas.add(area)
    return found


# Substitutes.


def test_substitutes_say_how_much_more_or_less_they_cost_that_day(coding: list[Offering]) -> None:
    old, cheaper, dearer, untold = coding
    make.decision(offering=cheaper, rate_ppm=500_000)
    whole = with_facts(Offering.objects.filter(pk=old.pk)).get()
    found = {s.offering.name: s for s in substitutes(whole, Offering.objects.all(), TODAY)}
    assert (found["Cheaper"].input_price, found["Cheaper"].input_change) == (Decimal("1.5"), Decimal(-50))
    assert found["Cheaper"].output_change == 0
    assert found["Dearer"].input_change == 50
    assert (found["Untold"].input_price, found["Untold"].input_change) == (None, None)
    assert found["Cheaper"].quota.rate_ppm == 500_000
    assert found["Dearer"].quota.rate_ppm is None
    assert (cheaper, dearer, untold) == tuple(found[o.name].offering for o in (cheaper, dearer, untold))


def test_a_substitutes_price_is_that_of_a_plan_that_can_be_ordered(coding: list[Offering]) -> None:
    old, cheaper, *_rest = coding
    cheaper.plans.update(withdrawn_on=TODAY)
    make.price(plan=make.plan(offering=cheaper), rows={"input-tokens": "1.80"})
    for on, price in ((TODAY - timedelta(days=1), "1.50"), (TODAY, "1.80")):
        found = {s.offering.name: s.input_price for s in substitutes(old, Offering.objects.all(), on)}
        assert found["Cheaper"] == Decimal(price)


def test_beside_a_free_or_unpriced_offering_no_difference_is_made_up(coding: list[Offering]) -> None:
    old = coding[0]
    old.plans.get().price_versions.get().rows.update(amount=0)
    whole = with_facts(Offering.objects.filter(pk=old.pk)).get()
    assert {s.input_change for s in substitutes(whole, Offering.objects.all(), TODAY)} == {None}


def test_evidence_compares_only_within_one_benchmark_version_metric_and_harness(
    coding: list[Offering],
) -> None:
    old, cheaper, dearer, untold = coding
    area = old.task_areas.get()

    def result(offering: Offering, score: str, harness: str = "h", version: str = "1") -> None:
        Evaluation.objects.create(
            task_area=area,
            model_version=offering.model_version,
            subject=offering.name,
            benchmark="bench",
            benchmark_version=version,
            metric="pass_rate",
            harness=harness,
            score=Decimal(score),
            source="https://example.com/results",
        )

    result(old, "50")
    result(cheaper, "60")
    result(dearer, "70", harness="other")
    result(untold, "40")
    result(old, "10", version="2")
    result(untold, "20", version="2")
    whole = with_facts(Offering.objects.filter(pk=old.pk)).get()
    said = {s.offering.name: s.evidence for s in substitutes(whole, Offering.objects.all(), TODAY)}
    assert said == {
        "Cheaper": "Better in 1 of 1 shared benchmark",
        "Dearer": "No result that compares the two",
        "Untold": "Better in 1 of 2 shared benchmarks",
    }


def test_substitutes_cost_the_same_for_few_and_for_many(coding: list[Offering]) -> None:
    area = coding[0].task_areas.get()
    whole = with_facts(Offering.objects.filter(pk=coding[0].pk)).get()

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            substitutes(whole, Offering.objects.all(), TODAY)
        return len(queries)

    few = cost()
    for number in range(10):
        priced(f"More {number}", "1.00").task_areas.add(area)
    assert cost() == few <= 7


def test_rest_answers_with_the_differences(coding: list[Offering], browser_of: Browser) -> None:
    client = browser_of(make.user(role=Role.REP))
    found = client.get(f"/api/v1/offerings/{coding[0].slug}/substitutes/").json()["results"]
    by_name = {each["name"]: each for each in found}
    assert (by_name["Cheaper"]["input_price"], by_name["Cheaper"]["input_change"]) == ("1.5", "-50.0")
    assert (by_name["Untold"]["input_price"], by_name["Untold"]["input_change"]) == (None, None)
    assert by_name["Cheaper"]["quota"]["rate"] is None


# The page.


def test_the_page_shows_what_a_day_hits_before_anything_is_asked_for(
    coding: list[Offering], browser_of: Browser
) -> None:
    old, cheaper, *_ = coding
    make.offering(name="Predecessor", replacement=old)
    rep = make.rep(name="Ana", login=True)
    early = make.deal(owner=rep, lines=[make.Line(old)], close_date=date(2026, 9, 1))
    late = make.deal(owner=rep, lines=[make.Line(old)], close_date=date(2026, 12, 20))
    client = browser_of(make.user(role=Role.CATALOG_MANAGER))
    seen = text(client, f"/catalog/{old.slug}/retire/?retires_on=2027-03-01&replacement={cheaper.slug}")
    for part in (
        "Retire on 1 Mar 2027",
        "Legacy 1 Nov 2026",
        "Deprecated 1 Dec 2026",
        early.reference,
        f"{late.reference} Draft, {late.customer.name}, Ana Too late 20 Dec 2026",
        "1 open deal closes too late.",
        "It is itself the replacement of Predecessor .",
        "Cheaper",
        "−50%",
        "+50%",
        "unknown",
        "It takes no new deals from 1 Dec 2026 on.",
    ):
        assert part in seen, part
    assert seen.count("Too late") == 1
    assert ChangeSet.objects.count() == 0


def test_what_cannot_be_is_said_beside_its_field(
    coding: list[Offering], browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(make.user(role=Role.CATALOG_MANAGER))
    for query, said in (
        ("retires_on=2026-09-01", "A retirement needs 120 days' notice: 12 Dec 2026 is the earliest day."),
        ("retires_on=2026-02-31", "Enter a day, such as"),
        ("retires_on=", "Choose the day."),
        ("retires_on=2027-03-01&replacement=nothing", "There is no such offering"),
        ("retires_on=2027-03-01&replacement=%00", ""),
    ):
        with subtests.test(query=query):
            assert said in text(client, f"/catalog/{coding[0].slug}/retire/?{query}")


def test_a_retirement_waits_for_a_second_person_and_holds_the_offering(
    coding: list[Offering], browser_of: Browser
) -> None:
    old, cheaper, *_ = coding
    maker, checker = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.CATALOG_MANAGER)
    sent = {"retires_on": EARLIEST.isoformat(), "replacement": cheaper.slug, "note": "As agreed"}
    response = browser_of(maker).post(f"/catalog/{old.slug}/retire/", sent)
    made = ChangeSet.objects.get()
    assert response["Location"] == f"/catalog/change-sets/{made.pk}/" or str(made.pk) in response["Location"]
    old.refresh_from_db()
    assert (made.state, old.retires_on) == ("submitted", None)
    assert Hold.objects.filter(entity=f"offering:{old.slug}", change_set=made).exists()
    second = browser_of(checker).post(f"/catalog/{old.slug}/retire/", sent)
    assert second.status_code == 422
    assert made.reference in flat(second.content)
    assert ChangeSet.objects.count() == 1  # nothing is left behind by the one that was refused
    change_sets.approve(change_set_id=made.pk, by=checker, at=clock.now())
    old.refresh_from_db()
    assert (old.retires_on, old.deprecated_on, old.replacement) == (
        EARLIEST,
        EARLIEST - timedelta(days=90),
        cheaper,
    )


def test_who_may_open_the_page(coding: list[Offering], browser_of: Browser) -> None:
    old = coding[0]
    for user, status in (
        (make.user(role=Role.CATALOG_MANAGER), 200),
        (make.user(role=Role.PARTNER, publisher=old.publisher), 200),
        (make.user(role=Role.PARTNER), 404),
        (make.user(role=Role.REP), 404),
        (make.user(role=Role.AUDITOR), 404),
    ):
        client = browser_of(user)
        assert client.get(f"/catalog/{old.slug}/retire/").status_code == status
        operator = user.has_role(Role.CATALOG_MANAGER)
        assert client.get(f"/catalog/{old.slug}/sale/").status_code == (200 if operator else 404)


def test_a_publisher_learns_of_no_customer_and_no_rep(coding: list[Offering], browser_of: Browser) -> None:
    old = coding[0]
    rep = make.rep(name="Ana Rep", login=True)
    customer = make.customer(name="Contoso")
    make.deal(
        owner=rep, customer=customer, lines=[make.Line(old)], close_date=date(2027, 1, 1), state="submitted"
    )
    seen = text(
        browser_of(make.user(role=Role.PARTNER, publisher=old.publisher)), f"/catalog/{old.slug}/retire/"
    )
    assert "Contoso" not in seen
    assert "Ana Rep" not in seen


# On sale or not.


def test_stopping_and_publishing_wait_for_a_second_person(browser_of: Browser) -> None:
    offering = make.offering()
    make.plan(offering=offering)
    maker, checker = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.CATALOG_MANAGER)
    client, path = browser_of(maker), f"/catalog/{offering.slug}/sale/"
    assert "Say why it is taken off sale." in flat(client.post(path, {"do": "stop"}).content)
    client.post(path, {"do": "stop", "reason": "The contract ended"})
    stop = ChangeSet.objects.get()
    offering.refresh_from_db()
    assert offering.publication == "live"
    change_sets.approve(change_set_id=stop.pk, by=checker, at=clock.now())
    offering.refresh_from_db()
    assert offering.publication == "stopped"
    client.post(path, {"do": "publish", "on": ""})
    change_sets.approve(change_set_id=ChangeSet.objects.latest("id").pk, by=checker, at=clock.now())
    offering.refresh_from_db()
    assert offering.publication == "live"


def test_suspending_is_immediate_and_needs_a_reason(browser_of: Browser) -> None:
    offering = make.offering()
    client = browser_of(make.user(role=Role.CATALOG_MANAGER))
    path = f"/catalog/{offering.slug}/sale/"
    refused = client.post(path, {"do": "suspend", "reason": ""})
    assert "Say why it is suspended" in flat(refused.content)
    assert client.post(path, {"do": "suspend", "reason": "It answers wrongly"}).status_code == 302
    offering.refresh_from_db()
    assert offering.publication == "suspended"
    assert ChangeSet.objects.count() == 0
