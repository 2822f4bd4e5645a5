"""Pages of change sets: the queue, the differences, a reviewer's findings, and who may not even know of them."""

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from marketplace.models import ChangeSet, Offering, Publisher
from marketplace.services import change_sets
from tests import make
from tests.make import AT
from tests.marketplace.test_change_sets import drafted, new_offering, price, submitted, update

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]


@pytest.fixture
def publisher() -> Publisher:
    make.currency()
    return make.publisher(name="Acme", slug="acme")


@pytest.fixture
def partner(publisher: Publisher) -> User:
    return make.user(role="partner", name="Pat Partner", publisher=publisher)


@pytest.fixture
def reviewer() -> User:
    return make.user(role="catalog_manager", name="Rae Reviewer")


def page(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.content[:400]
    return answer.content.decode()


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_queue_shows_what_waits(browser_of: Browser, partner: User, reviewer: User) -> None:
    client = browser_of(reviewer)
    assert "Nothing waits for review" in page(client, "/catalog/change-sets/?tab=waiting")
    made = submitted(partner, new_offering())
    seen = words(page(client, "/catalog/change-sets/"))
    assert "Waiting for review 1" in seen
    assert made.reference in seen
    assert "Pat Partner" in seen
    assert 'href="/catalog/change-sets/"' in page(client, "/catalog/")


def test_the_queue_costs_the_same_for_few_and_for_many(
    browser_of: Browser, partner: User, reviewer: User
) -> None:
    client = browser_of(reviewer)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(client, "/catalog/change-sets/?tab=waiting")
        return len(queries)

    submitted(partner, new_offering("n-0"))
    few = cost()
    for n in range(1, 6):
        submitted(partner, new_offering(f"n-{n}"))
    assert cost() == few


def test_a_reviewer_reads_the_differences_and_asks_at_a_field(
    browser_of: Browser, partner: User, reviewer: User, publisher: Publisher
) -> None:
    plan = make.plan(offering=make.offering(publisher=publisher, slug="there", name="There"), slug="standard")
    make.price(plan=plan)
    made = submitted(
        partner,
        update("there", name="Elsewhere"),
        price("there", "standard", "2026-10-01", ends_previous=True),
    )
    client = browser_of(reviewer)
    html = page(client, f"/catalog/change-sets/{made.pk}/")
    assert "<del>There</del>" in html
    assert "<ins>Elsewhere</ins>" in html
    assert "\N{MINUS SIGN}16.7%" in html
    assert 'name="finding:/items/0/body/name"' in html
    assert "offering:there" in html
    answer = client.post(
        f"/catalog/change-sets/{made.pk}/request-changes/",
        {"revision": made.revision, "note": "", "finding:/items/0/body/name": "Spell it out."},
    )
    assert answer.status_code == 302
    made.refresh_from_db()
    assert made.state == "changes_requested"
    theirs = words(page(browser_of(partner), f"/catalog/change-sets/{made.pk}/"))
    assert "Spell it out." in theirs
    assert "Rae" not in theirs
    assert "Submit for review" in theirs


def test_a_refusal_keeps_what_was_entered(browser_of: Browser, partner: User, reviewer: User) -> None:
    made = submitted(partner, new_offering())
    client = browser_of(reviewer)
    answer = client.post(
        f"/catalog/change-sets/{made.pk}/approve/", {"apply_on": "soon", "note": "Well done"}
    )
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "Write a day" in html
    assert "Well done" in html
    assert client.post(f"/catalog/change-sets/{made.pk}/reject/", {"note": ""}).status_code == 422
    stale = client.post(f"/catalog/change-sets/{made.pk}/approve/", {"revision": "1"})
    assert stale.status_code == 412
    assert not Offering.objects.exists()


def test_approved_for_a_day_it_waits_for_it(browser_of: Browser, partner: User, reviewer: User) -> None:
    made = submitted(partner, new_offering())
    client = browser_of(reviewer)
    client.post(f"/catalog/change-sets/{made.pk}/approve/", {"apply_on": "2026-09-30"})
    made.refresh_from_db()
    assert (made.state, str(made.apply_on)) == ("scheduled", "2026-09-30")
    assert "30 Sep 2026" in page(client, "/catalog/change-sets/?tab=scheduled")


def test_nobody_is_offered_to_approve_his_own(
    browser_of: Browser, reviewer: User, publisher: Publisher
) -> None:
    made = submitted(reviewer, new_offering(publisher="acme"))
    client = browser_of(reviewer)
    html = page(client, f"/catalog/change-sets/{made.pk}/")
    assert "It waits for somebody else" in html
    assert "Approve</button>" not in html
    assert client.post(f"/catalog/change-sets/{made.pk}/approve/").status_code == 409


def test_a_publisher_submits_and_withdraws_its_own(browser_of: Browser, partner: User) -> None:
    made = drafted(partner, new_offering())
    client = browser_of(partner)
    client.post(f"/catalog/change-sets/{made.pk}/submit/", {"revision": made.revision})
    made.refresh_from_db()
    assert made.state == "submitted"
    client.post(f"/catalog/change-sets/{made.pk}/withdraw/", {"revision": made.revision})
    made.refresh_from_db()
    assert made.state == "withdrawn"


def test_others_do_not_find_the_pages(browser_of: Browser, partner: User) -> None:
    made = drafted(partner, new_offering())
    rep, other = browser_of(make.user(role="rep")), browser_of(make.user(role="partner"))
    page(rep, "/catalog/change-sets/", 404)
    page(rep, f"/catalog/change-sets/{made.pk}/", 404)
    page(other, f"/catalog/change-sets/{made.pk}/", 404)
    assert made.reference not in page(other, "/catalog/change-sets/")
    assert other.post(f"/catalog/change-sets/{made.pk}/submit/").status_code == 404
    led = browser_of(partner).get(f"/catalog/change-sets/{made.pk}/submit/")
    assert (led.status_code, led["Location"]) == (302, f"/catalog/change-sets/{made.pk}/")
    assert browser_of(partner).post(f"/catalog/change-sets/{made.pk}/no-such-step/").status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(partner)
    assert strict.post(f"/catalog/change-sets/{made.pk}/submit/").status_code == 403


def test_the_page_costs_the_same_for_few_items_and_for_many(
    browser_of: Browser, partner: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.views.change_sets.ITEMS", 5)
    client = browser_of(reviewer)

    def cost(made: ChangeSet) -> int:
        with CaptureQueriesContext(connection) as queries:
            page(client, f"/catalog/change-sets/{made.pk}/")
        return len(queries)

    few = submitted(partner, new_offering("a-0"), new_offering("a-1"))
    many = submitted(partner, *(new_offering(f"b-{n}") for n in range(6)))
    assert cost(few) == cost(many)
    assert "1 to 5 of 6" in page(client, f"/catalog/change-sets/{many.pk}/")


def test_an_applied_set_shows_how_it_was(
    browser_of: Browser, partner: User, reviewer: User, publisher: Publisher
) -> None:
    make.offering(publisher=publisher, slug="there", name="There")
    made = submitted(partner, update("there", name="Elsewhere"))
    change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    assert "<del>There</del>" in page(browser_of(reviewer), f"/catalog/change-sets/{made.pk}/")


def test_hostile_texts_stay_texts(browser_of: Browser, partner: User, reviewer: User) -> None:
    made = drafted(partner, new_offering(name="<script>alert(1)</script>", colour={"<b>": 1}))
    html = page(browser_of(reviewer), f"/catalog/change-sets/{made.pk}/")
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
