"""Feeds for feed readers: valid, stable, conditional, and only what their reader may know of."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Role, User
from accounts.services import create_api_key
from marketplace.extension import Change
from marketplace.models import CatalogChange, Offering, Publication
from marketplace.services.feeds import owner_of, renew_address, token_of
from marketplace.services.telling import tell
from tests import make
from tests.marketplace.test_changes import sweep

pytestmark = pytest.mark.django_db

AT, TODAY = make.AT, make.TODAY
ATOM = {"a": "http://www.w3.org/2005/Atom"}


@pytest.fixture
def told() -> dict[str, Offering]:
    """A change of each kind; the first says something that has to be escaped, the last is of an unpublished offering."""
    a, b = make.publisher(slug="a", name="A & Sons"), make.publisher(slug="b", name="B")
    live = make.offering(publisher=a, slug="a-live")
    draft = make.offering(publisher=b, slug="b-draft", publication=Publication.APPROVED)
    rows = [
        ("offering", "<b>A</b> & Sons: “new” \N{EURO SIGN}", (live.pk,), None),
        ("price", "A has a new price.", (live.pk,), None),
        ("lifecycle", "A is legacy.", (live.pk,), None),
        ("eligibility", "Quota of A is decided.", None, a.pk),
        ("offering", "B is secret.", (draft.pk,), None),
    ]
    with transaction.atomic():
        for number, (kind, what, ids, publisher_id) in enumerate(rows):
            change = Change(kind, what, ids, TODAY, publisher_id=publisher_id)  # type: ignore[arg-type]
            tell(change, key=f"k{number}", at=AT + timedelta(minutes=number))
    sweep()
    return {"live": live, "draft": draft}


@pytest.fixture
def reader() -> User:
    return make.user(role=Role.REP)


def personal(user: User, form: str = "atom", query: str = "") -> str:
    if not token_of(user):
        renew_address(by=user, at=AT)
    return f"/feeds/catalog.{form}?{query}{'&' if query else ''}key={token_of(user)}"


def entries(answer: Any) -> list[dict[str, Any]]:
    """Of either form, with the same names."""
    if "json" in answer["Content-Type"]:
        return [
            {
                "id": i["id"],
                "title": i["title"],
                "link": i["url"],
                "at": i["date_published"],
                "tags": i["tags"],
            }
            for i in json.loads(answer.content)["items"]
        ]
    return [
        {
            "id": e.findtext("a:id", namespaces=ATOM),
            "title": e.findtext("a:title", namespaces=ATOM),
            "link": e.find("a:link", ATOM).attrib["href"],  # type: ignore[union-attr]
            "at": e.findtext("a:updated", namespaces=ATOM),
            "tags": [c.attrib["term"] for c in e.findall("a:category", ATOM)],
        }
        for e in ET.fromstring(answer.content).findall("a:entry", ATOM)  # noqa: S314 -- of our own making
    ]


def test_the_atom_feed_has_all_that_atom_asks_for(told: Any, reader: User) -> None:
    answer = Client().get(personal(reader))
    assert answer["Content-Type"] == "application/atom+xml; charset=utf-8"
    feed = ET.fromstring(answer.content)  # noqa: S314 -- of our own making
    assert feed.tag == "{http://www.w3.org/2005/Atom}feed"
    assert feed.findtext("a:id", namespaces=ATOM) == "tag:localhost,2026:catalog"
    assert feed.findtext("a:author/a:name", namespaces=ATOM) == "Microsoft"
    links = {link.attrib["rel"]: link.attrib["href"] for link in feed.findall("a:link", ATOM)}
    assert links["alternate"] == "http://testserver/catalog/changes/"
    assert links["self"].startswith("http://testserver/feeds/catalog.atom?key=")
    found = entries(answer)
    assert [e["title"] for e in found] == [
        "Quota of A is decided.",
        "A is legacy.",
        "A has a new price.",
        "<b>A</b> & Sons: “new” \N{EURO SIGN}",
    ]
    assert len({e["id"] for e in found}) == 4
    assert datetime.fromisoformat(feed.findtext("a:updated", "", ATOM)) == AT + timedelta(minutes=3)
    for entry in feed.findall("a:entry", ATOM):
        for needed in ("id", "title", "updated", "summary"):
            assert entry.findtext(f"a:{needed}", namespaces=ATOM), needed
        summary = entry.find("a:summary", ATOM)
        assert summary is not None
        assert summary.attrib["type"] == "html"
        assert "<b>" not in (summary.text or "")


def test_the_json_feed_has_all_that_json_feed_asks_for(told: Any, reader: User) -> None:
    answer = Client().get(personal(reader, "json"))
    assert answer["Content-Type"] == "application/feed+json; charset=utf-8"
    feed = json.loads(answer.content)
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["home_page_url"] == "http://testserver/catalog/changes/"
    assert feed["feed_url"].startswith("http://testserver/feeds/catalog.json?key=")
    assert feed["authors"] == [{"name": "Microsoft"}]
    first = feed["items"][-1]
    assert set(first) == {"id", "url", "title", "content_text", "date_published", "tags"}
    assert first["url"] == "http://testserver/catalog/a-live/"
    assert first["content_text"].endswith("From 14 Aug 2026.")
    assert datetime.fromisoformat(first["date_published"]) == AT
    assert first["tags"] == ["offering", "a"]


def test_both_forms_say_the_same(told: Any, reader: User) -> None:
    atom, plain = (entries(Client().get(personal(reader, form))) for form in ("atom", "json"))
    for one, two in zip(atom, plain, strict=True):
        assert datetime.fromisoformat(one.pop("at")) == datetime.fromisoformat(two.pop("at"))
        assert one == two


def test_ids_stay_whatever_address_the_feed_is_read_at(told: Any, reader: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["parity.example", "testserver"]
    here, there = (
        entries(Client().get(personal(reader, "json"), headers={"host": host}))
        for host in ("testserver", "parity.example")
    )
    assert [e["id"] for e in here] == [e["id"] for e in there]
    assert there[0]["link"].startswith("http://parity.example/")
    number = CatalogChange.objects.get(key="k3").number
    assert here[0]["id"] == f"tag:localhost,2026:catalog/changes/{number}"


@pytest.mark.parametrize("form", ["atom", "json"])
def test_who_has_it_already_is_sent_nothing(told: dict[str, Offering], reader: User, form: str) -> None:
    client, address = Client(), personal(reader, form)
    first = client.get(address)
    again = client.get(address, headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert first["Cache-Control"] == "private, no-cache"
    assert "Authorization" in first["Vary"]
    with transaction.atomic():
        tell(Change("price", "News.", (told["live"].pk,), TODAY), key="news", at=AT)
    sweep()
    assert client.get(address, headers={"if-none-match": first["ETag"]}).status_code == 200


def test_an_empty_feed_is_valid_and_stays_the_same(reader: User, subtests: pytest.Subtests) -> None:
    for form in (
        "atom",
        "json",
    ):
        with subtests.test(form=form):
            address = personal(reader, form)
            one, two = Client().get(address), Client().get(address)
            assert one.status_code == 200
            assert entries(one) == []
            assert one["ETag"] == two["ETag"]


def test_a_feed_can_be_narrowed(told: Any, reader: User, subtests: pytest.Subtests) -> None:
    for query, titles in (
        ("kind=price", ["A has a new price."]),
        ("kind=price,lifecycle", ["A is legacy.", "A has a new price."]),
        ("kind=eligibility&publisher=a", ["Quota of A is decided."]),
        ("publisher=b", []),
        ("publisher=none-such", []),
    ):
        with subtests.test(query=query):
            assert [e["title"] for e in entries(Client().get(personal(reader, "json", query)))] == titles


def test_a_title_names_no_publisher_that_its_reader_sees_nothing_of(told: Any, reader: User) -> None:
    assert json.loads(Client().get(personal(reader, "json", "publisher=b")).content)["title"] == (
        "Changes of the catalog"
    )
    both = json.loads(Client().get(personal(reader, "json", "publisher=a,b")).content)["title"]
    assert both == "Changes of the catalog: A & Sons"
    own = make.user(role=Role.PARTNER, publisher=told["draft"].publisher)
    assert json.loads(Client().get(personal(own, "json", "publisher=b")).content)["title"].endswith(": B")


def test_a_parameter_that_is_not_known_is_refused_in_words(reader: User, subtests: pytest.Subtests) -> None:
    for query in (
        "kind=colour",
        "flavour=1",
        "since=2026",
    ):
        with subtests.test(query=query):
            answer = Client().get(personal(reader, "atom", query))
            assert answer.status_code == 400
            assert answer["Content-Type"].startswith("text/plain")


def test_an_unpublished_offering_is_in_the_feeds_of_its_own_people_only(told: dict[str, Offering]) -> None:
    seen = {
        name: "B is secret." in [e["title"] for e in entries(Client().get(personal(user, "json")))]
        for name, user in {
            "own": make.user(role=Role.PARTNER, publisher=told["draft"].publisher),
            "other": make.user(role=Role.PARTNER, publisher=told["live"].publisher),
            "rep": make.user(role=Role.REP),
            "keeper": make.user(role=Role.CATALOG_MANAGER),
        }.items()
    }
    assert seen == {"own": True, "other": False, "rep": False, "keeper": True}


# --- who comes in


def test_a_new_address_voids_the_old_one(told: Any, reader: User) -> None:
    old = personal(reader)
    assert Client().get(old).status_code == 200
    renew_address(by=reader, at=AT)
    refused = Client().get(old)
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, 'Bearer realm="Parity"')
    assert Client().get(personal(reader)).status_code == 200


def test_an_address_opens_for_nobody_who_may_not_come_in(told: Any, reader: User) -> None:
    address = personal(reader)
    User.objects.filter(pk=reader.pk).update(is_active=False)
    assert Client().get(address).status_code == 401


def test_a_made_up_address_opens_nothing(reader: User, subtests: pytest.Subtests) -> None:
    for token in (
        "",
        "abc",
        "x" * 200,
        "1.1",
        "é",
        "%00",
    ):
        with subtests.test(token=token):
            renew_address(by=reader, at=AT)
            assert Client().get(f"/feeds/catalog.atom?key={token}").status_code == 401
            assert owner_of(token) is None


def test_the_address_of_one_purpose_is_no_key_for_another(reader: User) -> None:
    """What opens feeds opens neither REST nor pages."""
    token = parse_qs(urlsplit(personal(reader)).query)["key"][0]
    client = Client(headers={"Authorization": f"Bearer {token}"})
    assert client.get("/api/v1/changes/").status_code == 401
    assert client.get("/feeds/catalog.atom").status_code == 401
    assert Client().get(f"/catalog/changes/?key={token}").status_code == 302


def test_a_program_comes_in_by_its_key_and_within_its_scopes(told: Any, reader: User) -> None:
    row, key = create_api_key(user_id=reader.pk, name="feeds", by=None, at=AT)
    client = Client(headers={"Authorization": f"Bearer {key}"})
    assert len(entries(client.get("/feeds/catalog.atom"))) == 4
    ApiKey.objects.filter(pk=row.pk).update(scopes=["deals:read"])
    assert client.get("/feeds/catalog.atom").status_code == 403
    ApiKey.objects.filter(pk=row.pk).update(scopes=["catalog:write"])
    assert client.get("/feeds/catalog.atom").status_code == 200
    ApiKey.objects.filter(pk=row.pk).update(revoked_at=AT)
    assert client.get("/feeds/catalog.atom").status_code == 401


def test_a_browser_comes_in_by_its_session_and_a_stranger_not_at_all(
    told: Any, reader: User, browser_of: Callable[[User], Client]
) -> None:
    assert len(entries(browser_of(reader).get("/feeds/catalog.json"))) == 4
    assert Client().get("/feeds/catalog.json").status_code == 401
    assert Client().post("/feeds/catalog.json").status_code == 405


def test_a_feed_costs_the_same_whatever_its_length_and_holds_the_newest(
    told: dict[str, Offering], reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.views.feeds.NEWEST", 7)
    address = personal(reader)

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert Client().get(address).status_code == 200
        return len(caught)

    before = queries()
    with transaction.atomic():
        for number in range(8):
            offering = make.offering() if number % 4 == 0 else told["live"]
            tell(Change("price", "Again.", (offering.pk,), TODAY), key=f"again-{number}", at=AT)
    sweep()
    assert queries() == before
    assert len(entries(Client().get(address))) == 7
