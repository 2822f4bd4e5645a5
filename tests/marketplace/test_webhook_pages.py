"""The pages of what is new and of webhooks: shown, narrowed, entered, refused, and nobody else's."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from config import clock
from marketplace.extension import Change
from marketplace.models import DeliveryState, Publication, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from marketplace.services import webhooks
from marketplace.services.feeds import token_of
from marketplace.services.sending import Outcome
from marketplace.services.telling import tell
from marketplace.services.webhooks import deliver_due
from tests import make
from tests.marketplace.test_changes import sweep

pytestmark = pytest.mark.django_db

AT, TODAY = make.AT, make.TODAY
URL = "https://hooks.example.com/in"
Browser = Callable[[User], Client]


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.content
    return str(answer.content.decode())


def told(*changes: Change) -> None:
    with transaction.atomic():
        for number, change in enumerate(changes):
            tell(change, key=f"{change.what}{number}", at=AT - timedelta(days=8 * number))
    sweep()


# --- what is new


@pytest.fixture
def rep(browser_of: Browser) -> Client:
    return browser_of(make.user(role=Role.REP))


def test_changes_stand_by_week_and_lead_to_their_offering(rep: Client) -> None:
    offering = make.offering(name="<Sonnet>")
    told(
        Change("price", "<Sonnet> has a new price.", (offering.pk,), date(2026, 10, 1)),
        Change("offering", "It is now live.", (offering.pk,), TODAY),
    )
    page = text(rep.get("/catalog/changes/"))
    assert [*re.findall(r"Week of ([^<]+)<", page)] == ["10 Aug 2026", "3 Aug 2026"]
    assert "&lt;Sonnet&gt; has a new price." in page
    assert f'href="/catalog/{offering.slug}/"' in page
    assert "from 1 Oct 2026 on" in page
    assert "Ahead" in page


def test_they_are_narrowed_by_the_address_and_by_the_day(rep: Client) -> None:
    a, b = (
        make.offering(publisher=make.publisher(slug="a")),
        make.offering(publisher=make.publisher(slug="b")),
    )
    told(Change("price", "A costs.", (a.pk,), TODAY), Change("offering", "B is live.", (b.pk,), TODAY))
    shown = {
        query: [
            what for what in ("A costs.", "B is live.") if what in text(rep.get(f"/catalog/changes/?{query}"))
        ]
        for query in (
            "",
            "kind=price",
            "publisher=b",
            "kind=price&publisher=b",
            "as_of=2026-08-10",
            "kind=x&cursor=y",
        )
    }
    assert shown == {
        "": ["A costs.", "B is live."],
        "kind=price": ["A costs."],
        "publisher=b": ["B is live."],
        "kind=price&publisher=b": [],
        "as_of=2026-08-10": ["B is live."],
        "kind=x&cursor=y": ["A costs.", "B is live."],
    }
    assert "Let go of a filter" in text(rep.get("/catalog/changes/?kind=price&publisher=b"))
    assert "Nothing has changed yet" in text(rep.get("/catalog/changes/?as_of=2020-01-01"))


def test_what_lies_ahead_is_announced(rep: Client) -> None:
    make.offering(name="Old", retires_on=date(2026, 12, 1))
    assert "Old retires" in text(rep.get("/catalog/changes/"))
    assert "Nothing is announced" in text(rep.get("/catalog/changes/?as_of=2026-12-01"))


def test_what_one_may_not_know_of_is_not_on_the_page(rep: Client, browser_of: Browser) -> None:
    secret = make.offering(
        name="Secret", publication=Publication.APPROVED, publisher=make.publisher(name="Hidden Lab")
    )
    told(Change("offering", "Secret is new.", (secret.pk,), TODAY))
    page = text(rep.get("/catalog/changes/"))
    assert "Secret" not in page
    assert "Hidden Lab" not in page
    keeper = browser_of(make.user(role=Role.CATALOG_MANAGER))
    assert "Secret is new." in text(keeper.get("/catalog/changes/"))


def test_a_feed_address_is_made_shown_and_renewed(browser_of: Browser) -> None:
    user = make.user(role=Role.REP)
    client = browser_of(user)
    assert "Make my feed address" in text(client.get("/catalog/changes/"))
    assert client.get("/catalog/changes/feed-address/").status_code == 405
    client.post("/catalog/changes/feed-address/")
    first = token_of(user)
    page = text(client.get("/catalog/changes/?kind=price"))
    assert f"http://testserver/feeds/catalog.atom?kind=price&amp;key={first}" in page
    client.post("/catalog/changes/feed-address/")
    assert token_of(user) not in ("", first)
    assert Client(enforce_csrf_checks=True).post("/catalog/changes/feed-address/").status_code == 403


def test_pages_of_changes_follow_each_other_and_cost_the_same(
    rep: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.views.changes.PAGE", 8)
    offerings = [make.offering() for _ in range(3)]

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            text(rep.get("/catalog/changes/"))
        return len(caught)

    told(Change("price", "First.", (offerings[0].pk,), TODAY))
    before = queries()
    told(*[Change("price", f"Number {n}.", (offerings[n % 3].pk,), TODAY) for n in range(9)])
    assert queries() == before
    page = text(rep.get("/catalog/changes/"))
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following is not None
    assert "Number 8." in text(rep.get("/catalog/changes/" + following[1].replace("&amp;", "&")))


def test_the_page_answers_with_its_list_alone_when_that_is_asked_for(rep: Client) -> None:
    part = text(rep.get("/catalog/changes/", headers={"HX-Request": "true"}))
    assert 'id="changes"' in part
    assert "<html" not in part


def test_the_catalog_and_this_page_name_their_feeds(rep: Client) -> None:
    for address in ("/catalog/", "/catalog/changes/"):
        page = text(rep.get(address))
        assert re.search(r'rel="alternate" type="application/atom\+xml"[^>]*href="/feeds/catalog.atom"', page)
        assert re.search(
            r'rel="alternate" type="application/feed\+json"[^>]*href="/feeds/catalog.json"', page
        )


# --- webhooks


@pytest.fixture
def partner() -> User:
    return make.user(role=Role.PARTNER)


@pytest.fixture
def mine(partner: User, browser_of: Browser) -> Client:
    return browser_of(partner)


@pytest.fixture
def endpoint(partner: User) -> WebhookEndpoint:
    return webhooks.register_endpoint(url=URL, kinds=(), about="Billing", by=partner, at=AT)[0]


def test_an_endpoint_is_added_and_its_secret_shown_this_once(mine: Client) -> None:
    assert "No endpoint yet" in text(mine.get("/publisher/webhooks/"))
    form = {"url": URL, "about": "Billing", "kinds": ["catalog.price.changed"]}
    answer = mine.post("/publisher/webhooks/new/", form)
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{44}", text(answer, 201))
    assert secret is not None
    assert "no-store" in answer["Cache-Control"]
    made = WebhookEndpoint.objects.get()
    assert (made.url, made.about, made.kinds) == (URL, "Billing", ["catalog.price.changed"])
    for address in ("/publisher/webhooks/", f"/publisher/webhooks/{made.pk}/", "/publisher/webhooks/new/"):
        page = text(mine.get(address))
        assert secret[0] not in page
        assert "whsec_" not in page
    again = text(mine.post("/publisher/webhooks/new/", form), 422)
    assert "There is an endpoint with this address already." in again
    assert WebhookEndpoint.objects.count() == 1


def test_what_is_wrong_stands_beside_its_field_and_entries_are_kept(
    mine: Client, subtests: pytest.Subtests
) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"url": ""}, "This field is required."),
        ({"url": "http://hooks.example.com"}, "Use https"),
        ({"url": "https://10.0.0.1/"}, "This address is not on the public internet."),
        ({"url": URL, "kinds": ["x"]}, "Select a valid choice"),
        ({"url": URL, "about": "a" * 201}, "at most 200 characters"),
    )
    for form, said in wrong:
        with subtests.test(said=said):
            page = text(mine.post("/publisher/webhooks/new/", {"about": "Kept", **form}), 422)
            assert said in page
            assert form.get("about", "Kept") in page
    assert not WebhookEndpoint.objects.exists()


def test_settings_are_saved_unless_somebody_else_was_quicker(mine: Client, endpoint: WebhookEndpoint) -> None:
    address = f"/publisher/webhooks/{endpoint.pk}/"
    form = {"url": URL, "about": "New name", "revision": "1"}
    assert mine.post(address, form)["Location"] == address
    page = text(mine.post(address, {**form, "about": "Later"}), 422)
    assert "Somebody changed this endpoint meanwhile" in page
    endpoint.refresh_from_db()
    assert (endpoint.about, endpoint.revision) == ("New name", 2)


def test_a_ping_is_sent_and_its_delivery_is_shown(mine: Client, endpoint: WebhookEndpoint) -> None:
    answer = mine.post(f"/publisher/webhooks/{endpoint.pk}/ping/")
    page = text(mine.get(answer["Location"]))
    assert "Not tried yet" in page
    deliver_due(at=clock.now(), sender=lambda *_: Outcome(500, "It answered 500: <oops>", 1234))
    page = text(mine.get(answer["Location"]))
    assert "It answered 500: &lt;oops&gt;" in page
    assert "1,234 ms" in page
    assert "Waiting" in page
    log = text(mine.get(f"/publisher/webhooks/{endpoint.pk}/"))
    assert "Nothing has arrived since" in log
    assert "attempt 2 on" in log


def test_a_secret_is_rotated_once_for_one_page(mine: Client, endpoint: WebhookEndpoint) -> None:
    address = f"/publisher/webhooks/{endpoint.pk}/rotate/"
    assert "whsec_" in text(mine.post(address, {"revision": "1"}))
    assert mine.post(address, {"revision": "1"}).status_code == 302
    assert endpoint.secrets.count() == 2
    assert "signs until" in text(mine.get(f"/publisher/webhooks/{endpoint.pk}/"))


def test_it_is_disabled_enabled_replayed_and_removed(
    mine: Client, partner: User, endpoint: WebhookEndpoint
) -> None:
    address = f"/publisher/webhooks/{endpoint.pk}/"
    webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
    mine.post(address + "disable/")
    page = text(mine.get(address))
    assert "Disabled since" in page
    assert "Given up" in page
    mine.post(address + "ping/")
    assert WebhookDelivery.objects.count() == 1
    mine.post(address + "enable/")
    mine.post(address + "replay-failed/", {"since": "not a day"})
    assert WebhookDelivery.objects.count() == 1
    mine.post(address + "replay-failed/", {"since": "2026-08-14"})
    assert WebhookDelivery.objects.filter(state=DeliveryState.WAITING).count() == 1
    mine.post(address + "remove/", {"revision": "99"})
    assert mine.get(address).status_code == 200
    endpoint.refresh_from_db()
    assert (
        mine.post(address + "remove/", {"revision": endpoint.revision})["Location"] == "/publisher/webhooks/"
    )
    assert mine.get(address).status_code == 404


def test_one_delivery_is_replayed(mine: Client, partner: User, endpoint: WebhookEndpoint) -> None:
    sent = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
    address = f"/publisher/webhooks/deliveries/{sent.pk}/"
    mine.post(address + "replay/")
    assert WebhookDelivery.objects.count() == 1
    deliver_due(at=AT, sender=lambda *_: Outcome(204, "", 1))
    again = mine.post(address + "replay/")["Location"]
    assert again != address
    page = text(mine.get(again))
    assert "Sent again" in page
    assert address in page


def test_for_everybody_else_there_are_no_such_pages(
    endpoint: WebhookEndpoint, partner: User, browser_of: Browser
) -> None:
    sent = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
    place, log = f"/publisher/webhooks/{endpoint.pk}/", f"/publisher/webhooks/deliveries/{sent.pk}/"
    for roles, lists_status in (
        ([Role.PARTNER], 200),
        ([Role.CATALOG_MANAGER], 200),
        ([Role.REP, Role.AUDITOR], 404),
    ):
        theirs = browser_of(make.user(roles=roles))
        lists = theirs.get("/publisher/webhooks/")
        assert lists.status_code == lists_status
        assert URL not in lists.content.decode()
        for address in (place, log):
            assert theirs.get(address).status_code == 404
        assert theirs.post(place, {"url": URL}).status_code == 404
        for action in ("ping", "rotate", "disable", "enable", "remove", "no-such"):
            assert theirs.post(f"{place}{action}/", {"revision": "1"}).status_code == 404, action
        assert theirs.post(f"{place}replay-failed/", {"since": "2026-08-14"}).status_code == 404
        assert theirs.post(f"{log}replay/").status_code == 404
    endpoint.refresh_from_db()
    assert (endpoint.revision, WebhookDelivery.objects.count()) == (1, 1)
    assert Client().get(place).status_code == 302


def test_nothing_is_done_by_a_get_or_by_a_forged_form(
    endpoint: WebhookEndpoint, mine: Client, partner: User
) -> None:
    for action in ("ping", "rotate", "disable", "enable", "remove", "replay-failed"):
        led = mine.get(f"/publisher/webhooks/{endpoint.pk}/{action}/")
        assert (led.status_code, led["Location"]) == (302, f"/publisher/webhooks/{endpoint.pk}/")
    endpoint.refresh_from_db()
    assert (endpoint.revision, WebhookDelivery.objects.count()) == (1, 0)
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(partner)
    assert forged.post(f"/publisher/webhooks/{endpoint.pk}/disable/").status_code == 403
    assert forged.post("/publisher/webhooks/new/", {"url": "https://two.example.com/"}).status_code == 403


def test_the_log_costs_the_same_whatever_its_length(
    mine: Client, partner: User, endpoint: WebhookEndpoint
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            text(mine.get("/publisher/webhooks/"))
            text(mine.get(f"/publisher/webhooks/{endpoint.pk}/"))
        return len(caught)

    def add(number: int) -> None:
        for _ in range(number):
            sent = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
            WebhookAttempt.objects.create(delivery=sent, at=AT, status=500, error="x", milliseconds=1)

    add(2)
    before = queries()
    add(3)
    assert queries() == before
