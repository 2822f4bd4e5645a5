"""The publisher console: what one sees of one's own, forms that make change sets, keys, and that nobody sees another's."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import api_keys
from accounts.models import ApiKey, User
from config import clock
from config.calls import ApiCall
from config.refusals import Forbidden
from marketplace.models import ChangeSet, Finding, Offering, PriceVersion, PublisherMembership
from marketplace.selectors import console
from marketplace.services.change_sets import (
    SHAPES,
    Found,
    ItemDraft,
    approve,
    draft_change_set,
    request_changes,
    submit,
    take_up,
    withdraw,
)
from marketplace.services.publisher_keys import make_key, revoke_key, rotate_key
from marketplace.views.console.boxes import ItemForm, Known
from tests import make
from tests.depth import examples

AT = datetime(2026, 8, 14, 17, tzinfo=UTC)
TODAY = date(2026, 8, 14)
Browser = Callable[[User], Client]
pytestmark = pytest.mark.django_db


class Side:
    """A publisher with a person, an offering with a plan and a price."""

    def __init__(self, name: str) -> None:
        self.publisher = make.publisher(name=name, slug=name.lower())
        self.person = member(self.publisher, f"{name} Person")
        self.offering = make.offering(publisher=self.publisher, name=f"{name} One")
        self.plan = make.plan(offering=self.offering)
        self.price = make.price(plan=self.plan)

    def draft(self, summary: str = "Better", **more: Any) -> ChangeSet:
        item = ItemDraft("offering.update", {"slug": self.offering.slug, "summary": summary})
        return draft_change_set(
            title=f"{self.publisher.name} draft", items=[item], by=self.person, at=AT, **more
        )


def member(publisher: Any, name: str) -> User:
    return make.user(role="partner", name=name, publisher=publisher)


@pytest.fixture
def ours(db: None) -> Side:
    return Side("Ours")


@pytest.fixture
def theirs(db: None) -> Side:
    return Side("Theirs")


@pytest.fixture
def keeper(db: None) -> User:
    return make.user(role="catalog_manager", name="Cat Keeper")


def body(answer: Any) -> str:
    text = re.sub(r"<(script|style).*?</\1>", "", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def address(operation: str, **query: Any) -> str:
    return f"{reverse('marketplace:console-change', args=[operation])}?{urlencode(query)}"


def entries(answer: Any) -> dict[str, Any]:
    """What a browser would send if nothing were touched, of the form of changes."""
    page = answer.content.decode()
    page = page[page.index('id="change-form"') :]
    sent: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", page):
        kind = re.search(r'type="(\w+)"', tag)
        name = re.search(r' name="([^"]*)"', tag)
        value = re.search(r' value="([^"]*)"', tag)
        if name is None or (kind and kind[1] == "checkbox" and " checked" not in tag):
            continue
        said = value[1] if value else "on"
        if kind and kind[1] == "checkbox":
            sent.setdefault(name[1], []).append(said)
        else:
            sent[name[1]] = said
    for name, inner in re.findall(r'<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>', page, flags=re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', inner) or re.search(
            r'<option value="([^"]*)"', inner
        )
        sent[name] = chosen[1] if chosen else ""
    sent |= dict(re.findall(r'<textarea [^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', page, flags=re.DOTALL))
    sent.pop("csrfmiddlewaretoken", None)
    return sent


# --- who comes in


def test_only_who_acts_for_a_publisher_has_a_console(ours: Side, browser_of: Browser) -> None:
    assert browser_of(ours.person).get("/publisher/").status_code == 200
    others = make.user(roles=["rep", "manager", "comp_admin", "sourcing_lead", "engineer"])
    assert browser_of(others).get("/publisher/").status_code == 404
    PublisherMembership.objects.filter(user=ours.person).delete()
    assert browser_of(ours.person).get("/publisher/").status_code == 404
    assert "/accounts/login/" in Client().get("/publisher/").headers["Location"]


def test_the_operator_chooses_whose_console_to_see_and_changes_nothing_there(
    ours: Side, theirs: Side, keeper: User, browser_of: Browser
) -> None:
    draft = ours.draft()
    client = browser_of(keeper)
    chooser = body(client.get("/publisher/"))
    assert "Ours" in chooser
    assert "Theirs" in chooser
    seen = client.get("/publisher/?as=ours")
    assert "As Ours sees it." in body(seen)
    assert "New offering" not in body(seen)
    assert f"/publisher/change-sets/{draft.pk}/?as=ours" in seen.content.decode()
    page = client.get(f"/publisher/change-sets/{draft.pk}/?as=ours")
    assert page.status_code == 200
    assert "Submit for review" not in body(page)
    assert client.get(f"/publisher/change-sets/{draft.pk}/?as=theirs").status_code == 404
    for name in ("console-team", "console-keys", "console-developers"):
        assert client.get(reverse(f"marketplace:{name}") + "?as=ours").status_code == 200, name
    assert client.get("/publisher/?as=nobody").status_code == 404
    assert client.post("/publisher/keys/", {"name": "x"}).status_code == 404
    assert client.post(f"/publisher/change-sets/{draft.pk}/submit/?as=ours").status_code == 404
    assert client.get(address("offering.update", offering=ours.offering.slug)).status_code == 404
    assert not ApiKey.objects.exists()
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_seen_as_means_nothing_to_a_publishers_person(ours: Side, theirs: Side, browser_of: Browser) -> None:
    seen = body(browser_of(ours.person).get("/publisher/?as=theirs"))
    assert "Ours One" in seen
    assert "Theirs" not in seen


def test_nothing_of_another_publisher_is_there(ours: Side, theirs: Side, browser_of: Browser) -> None:
    draft = theirs.draft("Secret plan")
    unpublished = make.offering(publisher=theirs.publisher, name="Hidden Thing", publication="draft")
    row, _key = make_key(
        publisher_id=theirs.publisher.pk,
        name="their-program",
        scopes=["catalog:read"],
        last_day=None,
        by=theirs.person,
        at=AT,
    )
    client = browser_of(ours.person)
    for page in (
        "/publisher/",
        "/publisher/team/",
        "/publisher/keys/",
        "/publisher/developers/",
        "/publisher/upload/",
    ):
        said = client.get(page).content.decode()
        for word in ("Secret plan", "Hidden Thing", "Theirs", "their-program", row.prefix, draft.reference):
            assert word not in said, (page, word)
    for path in (
        f"/publisher/offerings/{theirs.offering.slug}/",
        f"/publisher/offerings/{unpublished.slug}/",
        f"/publisher/change-sets/{draft.pk}/",
        address("offering.update", offering=theirs.offering.slug),
        address("price.add", offering=theirs.offering.slug, plan=theirs.plan.slug),
        address("price.correct", offering=ours.offering.slug, price=theirs.price.pk),
        address("offering.update", into=draft.pk, item=0),
        address("offering.update", offering=ours.offering.slug, into=draft.pk),
        f"/publisher/offerings/{theirs.offering.slug}/?as=theirs",
    ):
        assert client.get(path).status_code == 404, path
    for path in (
        f"/publisher/change-sets/{draft.pk}/submit/",
        f"/publisher/change-sets/{draft.pk}/withdraw/",
        f"/publisher/change-sets/{draft.pk}/remove/",
        f"/publisher/keys/{row.pk}/revoke/",
        f"/publisher/keys/{row.pk}/rotate/",
    ):
        assert client.post(path, {"item": "0"}).status_code == 404, path
    sent = entries(client.get(address("offering.update", offering=ours.offering.slug)))
    stolen = client.post(
        address("offering.update", offering=ours.offering.slug),
        {**sent, "summary": "x", "into": str(draft.pk)},
    )
    assert stolen.status_code == 404
    draft.refresh_from_db()
    row.refresh_from_db()
    assert (draft.state, draft.items.count(), row.revoked_at) == ("draft", 1, None)
    assert ApiKey.objects.count() == 1


def test_a_key_of_one_publisher_sees_nothing_of_another_over_rest(ours: Side, theirs: Side) -> None:
    draft = theirs.draft("Secret plan")
    make.offering(publisher=theirs.publisher, name="Hidden Thing", publication="draft")
    _row, key = make_key(
        publisher_id=ours.publisher.pk,
        name="program",
        scopes=["catalog:read", "catalog:write"],
        last_day=None,
        by=ours.person,
        at=AT,
    )
    client = Client(headers={"Authorization": f"Bearer {key}"})
    before = client.get("/api/v1/change-sets/")
    assert before.status_code == 200
    assert "Secret" not in before.content.decode()
    theirs.draft("Another secret")
    assert client.get("/api/v1/change-sets/").headers["ETag"] == before.headers["ETag"]
    assert client.get(f"/api/v1/change-sets/{draft.pk}/").status_code == 404
    assert "Hidden" not in client.get("/api/v1/offerings/").content.decode()
    assert client.get("/api/v1/deals/").status_code == 403


def test_what_changes_something_needs_a_token_and_the_right_method(ours: Side) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ours.person)
    draft = ours.draft()
    for path in (
        "/publisher/keys/",
        "/publisher/upload/",
        f"/publisher/change-sets/{draft.pk}/submit/",
        address("offering.update", offering=ours.offering.slug),
    ):
        assert client.post(path, {}).status_code == 403, path
    for path, page in (
        (f"/publisher/change-sets/{draft.pk}/submit/", f"/publisher/change-sets/{draft.pk}/"),
        ("/publisher/keys/1/revoke/", "/publisher/keys/"),
    ):
        led = client.get(path)
        assert (led.status_code, led["Location"]) == (302, page)
    for path in ("/publisher/", "/publisher/team/", f"/publisher/change-sets/{draft.pk}/"):
        assert client.post(path, {}).status_code in (403, 405), path
    assert client.put("/publisher/keys/").status_code in (403, 405)


# --- home


def test_home_says_what_is_next_and_what_to_mend(ours: Side, keeper: User, browser_of: Browser) -> None:
    Offering.objects.filter(pk=ours.offering.pk).update(retires_on=date(2027, 3, 1))
    draft = ours.draft()
    submit(change_set_id=draft.pk, by=ours.person, at=AT)
    client = browser_of(ours.person)
    seen = body(client.get("/publisher/"))
    assert "Waits for a reviewer of the operator." in seen
    assert f"{draft.reference} holds it" in seen
    assert "1 Mar 2027 Retires" in seen
    request_changes(
        change_set_id=draft.pk,
        by=keeper,
        at=AT,
        note="Say what it is good for.",
        findings=[Found("/items/0/body/summary", "vague", "Too short.")],
    )
    seen = body(client.get("/publisher/"))
    assert f"{draft.reference} is handed back to you. Say what it is good for." in seen
    assert "Mend what the reviewer found" in seen
    assert "1 finding" in seen


def test_home_takes_the_same_queries_for_one_offering_and_for_ten(
    ours: Side, browser_of: Browser, django_assert_max_num_queries: Any
) -> None:
    client = browser_of(ours.person)
    client.get("/publisher/")
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get("/publisher/")
    for number in range(9):
        plan = make.plan(offering=make.offering(publisher=ours.publisher, name=f"More {number}"))
        make.price(plan=plan)
    ours.draft("one")
    ours.draft("two")
    with CaptureQueriesContext(connection) as many:
        client.get("/publisher/")
    assert len(many) <= len(few) + 1


def test_the_next_date_is_the_first_to_come(ours: Side) -> None:
    Offering.objects.filter(pk=ours.offering.pk).update(
        legacy_on=date(2026, 12, 1), deprecated_on=date(2027, 1, 1), retires_on=date(2027, 4, 1)
    )
    PriceVersion.objects.filter(pk=ours.price.pk).update(effective=(date(2020, 1, 1), date(2026, 10, 1)))
    make.price(plan=ours.plan, effective=(date(2026, 10, 1), None))
    line = console.own_offerings(ours.publisher, TODAY)[0]
    assert (line.next_day, line.next_what, line.unpriced) == (date(2026, 10, 1), "New price", 0)
    line = console.own_offerings(ours.publisher, date(2026, 10, 1))[0]
    assert (line.next_day, line.next_what) == (date(2026, 12, 1), "Legacy")


# --- forms


def test_only_what_is_different_goes_into_the_item(ours: Side, browser_of: Browser) -> None:
    client, path = browser_of(ours.person), address("offering.update", offering=ours.offering.slug)
    sent = entries(client.get(path))
    untouched = client.post(path, sent)
    assert untouched.status_code == 422
    assert "Nothing is different yet" in body(untouched)
    assert not ChangeSet.objects.exists()
    added = client.post(path, {**sent, "summary": "Good at slides", "billing_countries": "de, fr"})
    made = ChangeSet.objects.get()
    assert added.headers["Location"] == f"/publisher/change-sets/{made.pk}/#item-0"
    item = made.items.get()
    assert item.body == {
        "slug": ours.offering.slug,
        "summary": "Good at slides",
        "billing_countries": ["DE", "FR"],
    }
    assert item.expected_revision == ours.offering.revision
    assert (made.state, made.publisher, made.made_by) == ("draft", ours.publisher, ours.person)
    ours.offering.refresh_from_db()
    assert ours.offering.summary != "Good at slides"


def test_a_second_change_goes_into_the_same_draft_and_the_same_one_is_replaced(
    ours: Side, browser_of: Browser
) -> None:
    client, path = browser_of(ours.person), address("offering.update", offering=ours.offering.slug)
    sent = entries(client.get(path))
    client.post(path, {**sent, "summary": "First"})
    draft = ChangeSet.objects.get()
    again = client.get(path)
    assert f"Mends a change of {draft.reference}" in body(again)
    sent = entries(again)
    assert (sent["summary"], sent["into"]) == ("First", str(draft.pk))
    client.post(path, {**sent, "summary": "Second"})
    price = address("price.add", offering=ours.offering.slug, plan=ours.plan.slug)
    sent = entries(client.get(price))
    assert sent["into"] == str(draft.pk)
    client.post(price, {**sent, "start": "2026-10-01", "source": "Autumn list", "rows-0-amount": "2.50"})
    assert ChangeSet.objects.count() == 1
    assert [(i.operation, i.body.get("summary")) for i in draft.items.order_by("position")] == [
        ("offering.update", "Second"),
        ("price.add", None),
    ]
    sent = entries(client.get(path))
    client.post(path, {**sent, "summary": "Third", "into": "new"})
    assert ChangeSet.objects.count() == 2


def test_a_new_price_begins_with_the_present_one_and_keeps_unknown_and_free_apart(
    ours: Side, browser_of: Browser
) -> None:
    client = browser_of(ours.person)
    path = address("price.add", offering=ours.offering.slug, plan=ours.plan.slug)
    sent = entries(client.get(path))
    rows = [r.meter for r in ours.price.rows.order_by("id")]
    assert [sent[f"rows-{n}-meter"] for n in range(len(rows))] == rows
    n = len(rows)
    sent |= {
        "start": "2026-10-01",
        "source": "Autumn list",
        "rows-0-amount": "1,234.50",
        f"rows-{n}-meter": "cached-input-tokens",
        f"rows-{n}-per": "1,000,000",
        f"rows-{n}-unit": "token",
        f"rows-{n}-amount": "",
        f"rows-{n + 1}-meter": "requests",
        f"rows-{n + 1}-per": "1",
        f"rows-{n + 1}-unit": "request",
        f"rows-{n + 1}-amount": "0",
    }
    assert client.post(path, sent).status_code == 302
    item = ChangeSet.objects.get().items.get()
    assert item.body["rows"][0]["amount"] == "1234.50"
    assert [(r["meter"], r["amount"]) for r in item.body["rows"][n:]] == [
        ("cached-input-tokens", None),
        ("requests", "0"),
    ]
    assert item.body["rows"][n]["per"] == 1_000_000
    assert item.body["ends_previous"] is True
    assert not Finding.objects.filter(severity="error").exists()


def test_what_is_wrong_stands_at_its_field_all_at_once_and_entries_are_kept(
    ours: Side, browser_of: Browser
) -> None:
    client = browser_of(ours.person)
    path = address("price.add", offering=ours.offering.slug, plan=ours.plan.slug)
    sent = entries(client.get(path))
    sent |= {"start": "2026-02-31", "source": "", "rows-0-amount": "cheap"}
    refused = client.post(path, sent)
    assert refused.status_code == 422
    page = refused.content.decode()
    for name, text in (
        ("start", "There is no day 2026-02-31."),
        ("source", "This cannot be empty."),
        ("rows-0-amount", "Write an amount, such as 3.00"),
    ):
        place = page.index(f'id="box-{name}-found"')
        assert text in page[place : page.index("</ul>", place)], name
    assert 'value="cheap"' in page
    assert 'value="2026-02-31"' in page
    assert not ChangeSet.objects.exists()
    kept = client.post(path, {**sent, "do": "keep"})
    assert kept.status_code == 302
    assert Finding.objects.filter(change_set=ChangeSet.objects.get(), severity="error").count() == 3


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("1,234.50", "1234.50"),
        ("$3", "3"),
        (" 0.5 ", "0.5"),
        ("2,50", "2,50"),
        ("1.234,50", "1.234,50"),
        ("", None),
    ],
)
def test_a_comma_is_only_ever_a_separator_of_thousands(typed: str, read: str | None) -> None:
    form = ItemForm(SHAPES["price.correct"], {"rows": [{}]}, known=Known())
    sent = QueryDict(mutable=True)
    sent.update({"rows-0-meter": "seats", "rows-0-amount": typed})
    assert form.read(sent)["rows"][0]["amount"] == read


def test_a_field_is_checked_when_it_is_left(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    path = address("offering.update", offering=ours.offering.slug)
    sent = entries(client.get(path))
    answer = client.post(path, {**sent, "billing_countries": "Germany", "check": "billing_countries"})
    assert answer.status_code == 200
    assert "two capital letters" in body(answer)
    assert "<form" not in answer.content.decode()
    assert client.post(path, {**sent, "check": "nothing"}).status_code == 404
    assert not ChangeSet.objects.exists()


def test_rows_come_and_go_without_losing_what_was_typed(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    path = address("price.add", offering=ours.offering.slug, plan=ours.plan.slug)
    sent = entries(client.get(path))
    more = client.post(path, {**sent, "source": "Typed", "do": "add:rows"})
    assert more.status_code == 200
    after = entries(more)
    assert after["source"] == "Typed"
    assert sum(k.endswith("-meter") for k in after) == sum(k.endswith("-meter") for k in sent) + 1
    first = sent["rows-0-meter"]
    less = entries(client.post(path, {**sent, "do": "drop:rows:0"}))
    assert first not in [v for k, v in less.items() if k.endswith("-meter")]


def test_a_whole_new_offering_is_described_on_one_page(ours: Side, keeper: User, browser_of: Browser) -> None:
    make.task_area(slug="coding", name="Coding")
    client, path = browser_of(ours.person), address("offering.create")
    sent = entries(client.get(path))
    sent |= {
        "slug": "ours-two",
        "name": "Ours Two",
        "kind": "model",
        "family": "ours",
        "task_areas": ["coding"],
        "model-slug": "ours-two",
        "model-version": "1",
        "model-name": "Ours Two",
        "model-family": "ours",
        "model-context_window": "200,000",
        "model-modalities_in": "text, image",
        "commercial_path": "marketplace",
        "available_on": "2026-09-01",
        "plans-0-slug": "standard",
        "plans-0-name": "Standard",
        "plans-0-pricing_form": "tokens",
        "plans-0-prices-0-start": "2026-09-01",
        "plans-0-prices-0-source": "First list",
        "plans-0-prices-0-rows-0-amount": "3",
        "plans-0-prices-0-rows-1-amount": "15",
        "aliases-0-name": "ours2",
        "aliases-0-start": "2026-09-01",
    }
    answer = client.post(path, sent)
    assert answer.status_code == 302, body(answer)
    draft = ChangeSet.objects.get()
    wanted = draft.items.get().body
    assert wanted["model"] == {
        "slug": "ours-two",
        "version": "1",
        "name": "Ours Two",
        "family": "ours",
        "context_window": 200_000,
        "modalities_in": ["text", "image"],
        **({"capabilities": {}} if "capabilities" in wanted["model"] else {}),
    }
    assert [r["amount"] for r in wanted["plans"][0]["prices"][0]["rows"]] == ["3", "15"]
    mend = client.get(address("offering.create", into=draft.pk, item=0))
    assert entries(mend)["plans-0-prices-0-rows-1-amount"] == "15"
    client.post(
        f"/publisher/change-sets/{draft.pk}/submit/", {"revision": draft.revision, "title": draft.title}
    )
    take_up(change_set_id=draft.pk, by=keeper, at=AT)
    approve(change_set_id=draft.pk, by=keeper, at=AT)
    made = Offering.objects.get(slug="ours-two")
    assert (made.publication, made.publisher) == ("approved", ours.publisher)
    assert [a.slug for a in made.task_areas.all()] == ["coding"]
    assert "Ours Two" in body(client.get("/publisher/"))


def test_an_empty_new_offering_is_told_everything_that_it_needs(ours: Side, browser_of: Browser) -> None:
    client, path = browser_of(ours.person), address("offering.create")
    refused = client.post(path, entries(client.get(path)))
    assert refused.status_code == 422
    page = refused.content.decode()
    for name in ("slug", "name", "commercial_path"):
        place = page.index(f'id="box-{name}-found"')
        assert "<li" in page[place : page.index("</ul>", place)], name


def test_every_other_form_opens_and_refuses_politely(
    ours: Side, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(ours.person)
    for operation in (
        "offering.publish",
        "offering.stop",
        "offering.retire",
        "plan.create",
        "alias.add",
        "model.update",
        "evaluation.add",
    ):
        with subtests.test(operation=operation):
            path = address(operation, offering=ours.offering.slug, into="new")
            shown = client.get(path)
            assert shown.status_code == 200
            assert client.post(path, entries(shown)).status_code in (302, 422)


def test_forms_of_nothing_do_not_exist(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    for path in (
        address("price.add", offering=ours.offering.slug),
        address("offering.update"),
        address("offering.explode", offering=ours.offering.slug),
        address("offering.update", offering=ours.offering.slug, item=7),
        address("offering.update", offering=ours.offering.slug, into="x"),
    ):
        assert client.get(path).status_code == 404, path


# --- the way of a set


def test_a_set_is_drafted_sent_back_mended_and_applied_by_another(
    ours: Side, keeper: User, browser_of: Browser
) -> None:
    client = browser_of(ours.person)
    draft = ours.draft("Vague")
    page = f"/publisher/change-sets/{draft.pk}/"
    assert "Checked: nothing is wrong" in body(client.get(f"{page}?check=1"))
    sent = {"revision": draft.revision, "title": "Summary", "note": "Please soon", "apply_on": ""}
    assert client.post(f"{page}submit/", sent).status_code == 302
    draft.refresh_from_db()
    assert (draft.state, draft.title, draft.note) == ("submitted", "Summary", "Please soon")
    assert client.get(address("offering.update", into=draft.pk, item=0)).status_code == 404
    request_changes(
        change_set_id=draft.pk,
        by=keeper,
        at=AT,
        note="Be concrete.",
        findings=[Found("/items/0/body/summary", "vague", "Name the task.")],
    )
    seen = client.get(page).content.decode()
    assert "Cat Keeper" not in seen
    row = seen[seen.index('class="said"') :]
    assert "Name the task." in row[: row.index("</tr>")]
    mend = client.get(address("offering.update", into=draft.pk, item=0))
    place = mend.content.decode()
    place = place[place.index('id="box-summary-found"') :]
    assert "Reviewer: Name the task." in place[: place.index("</ul>")]
    client.post(
        address("offering.update", into=draft.pk, item=0), {**entries(mend), "summary": "Good at slides"}
    )
    draft.refresh_from_db()
    assert client.post(f"{page}submit/", {"revision": draft.revision}).status_code == 302
    approve(change_set_id=draft.pk, by=keeper, at=AT)
    ours.offering.refresh_from_db()
    assert ours.offering.summary == "Good at slides"
    assert "Done: it is in the catalog." in body(client.get(page))


def test_a_set_with_errors_or_out_of_date_is_not_submitted(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    wrong = draft_change_set(
        title="Wrong",
        items=[ItemDraft("offering.update", {"slug": ours.offering.slug, "name": "", "summary": "S"})],
        by=ours.person,
        at=AT,
    )
    page = f"/publisher/change-sets/{wrong.pk}/"
    seen = body(client.get(page))
    assert "1 thing to mend before it can be submitted" in seen
    refused = client.post(
        f"{page}submit/", {"revision": wrong.revision, "note": "Keep this note", "title": "Wrong"}
    )
    assert refused.status_code == 422
    assert "It is not submitted." in body(refused)
    assert "/items/0/body/name" in body(refused)
    assert "Keep this note" in refused.content.decode()
    stale = client.post(f"{page}submit/", {"revision": 99})
    assert stale.status_code == 412
    no_day = client.post(f"{page}describe/", {"revision": wrong.revision, "apply_on": "2026-02-31"})
    assert no_day.status_code == 422
    wrong.refresh_from_db()
    assert (wrong.state, wrong.note, wrong.apply_on) == ("draft", "Keep this note", None)


def test_a_set_takes_the_same_queries_for_two_changes_and_for_six(ours: Side, browser_of: Browser) -> None:
    client, asked = browser_of(ours.person), []
    for many in (2, 6):
        items = [
            ItemDraft(
                "plan.create",
                {
                    "offering": ours.offering.slug,
                    "slug": f"p{many}-{n}",
                    "name": "P",
                    "pricing_form": "tokens",
                },
            )
            for n in range(many)
        ]
        made = draft_change_set(title="Plans", items=items, by=ours.person, at=AT)
        client.get(f"/publisher/change-sets/{made.pk}/")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/publisher/change-sets/{made.pk}/").status_code == 200
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_taking_a_change_out_moves_what_was_said_to_the_others(
    ours: Side, keeper: User, browser_of: Browser
) -> None:
    items = [
        ItemDraft("offering.update", {"slug": ours.offering.slug, "summary": "A"}),
        ItemDraft("plan.update", {"offering": ours.offering.slug, "plan": ours.plan.slug, "name": "B"}),
    ]
    made = draft_change_set(title="Two", items=items, by=ours.person, at=AT)
    submit(change_set_id=made.pk, by=ours.person, at=AT)
    request_changes(
        change_set_id=made.pk,
        by=keeper,
        at=AT,
        note="Both.",
        findings=[Found("/items/0/body/summary", "a", "First"), Found("/items/1/body/name", "b", "Second")],
    )
    made.refresh_from_db()
    client = browser_of(ours.person)
    gone = {"revision": made.revision, "item": "0"}
    assert client.post(f"/publisher/change-sets/{made.pk}/remove/", gone).status_code == 302
    assert [i.operation for i in made.items.all()] == ["plan.update"]
    left = {f.message: (f.pointer, f.resolved_at is None) for f in made.findings.filter(by=keeper)}
    assert left == {"First": ("", False), "Second": ("/items/0/body/name", True)}
    again = client.post(f"/publisher/change-sets/{made.pk}/remove/", {"item": "5"})
    assert again.status_code == 404


def test_a_colleague_goes_on_with_a_draft_and_withdraws_it(ours: Side, browser_of: Browser) -> None:
    draft = ours.draft("Mine")
    colleague = browser_of(member(ours.publisher, "Colleague"))
    path = address("offering.update", into=draft.pk, item=0)
    assert colleague.post(path, {**entries(colleague.get(path)), "summary": "Ours"}).status_code == 302
    draft.refresh_from_db()
    assert draft.items.get().body["summary"] == "Ours"
    away = colleague.post(f"/publisher/change-sets/{draft.pk}/withdraw/", {"revision": draft.revision})
    assert away.headers["Location"] == "/publisher/"
    draft.refresh_from_db()
    assert draft.state == "withdrawn"


# --- a file of items


def upload(client: Client, content: bytes, name: str = "items.json") -> Any:
    return client.post("/publisher/upload/", {"file": SimpleUploadedFile(name, content)})


def test_a_file_of_items_becomes_a_draft_with_its_findings(ours: Side, browser_of: Browser) -> None:
    items = [
        {"operation": "offering.update", "body": {"slug": ours.offering.slug, "summary": "From a file"}},
        {"operation": "offering.update", "body": {"slug": ours.offering.slug, "name": ""}},
    ]
    content = (
        b"\xef\xbb\xbf" + json.dumps({"title": "File", "apply_on": "2026-10-01", "items": items}).encode()
    )
    answer = upload(browser_of(ours.person), content)
    made = ChangeSet.objects.get()
    assert answer.headers["Location"] == f"/publisher/change-sets/{made.pk}/?check=1"
    assert (made.title, made.apply_on, made.items.count(), made.source) == (
        "File",
        date(2026, 10, 1),
        2,
        "items.json",
    )
    assert made.findings.filter(pointer="/items/1/body/name").exists()


NO_FILES = [
    (b"", "The file is empty."),
    (b"[{", "not JSON"),
    ("[]".encode("utf-16"), "not UTF-8"),
    (b"PK\x03\x04rest", "a spreadsheet or an archive"),
    (b"[]", "no list of items"),
    (b'"text"', "no list of items"),
    (b'{"things": []}', "a list of items, or an object"),
    (b'[{"body": {}}]', "/items/0"),
    (b'[{"operation": "explode", "body": {}}]', "Operations are"),
    (b'[{"operation": "offering.stop", "body": {"x": NaN}}]', "not JSON"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"items": [{"operation": "offering.stop"}], "apply_on": "2026-02-31"}', "apply_on is a day"),
]


def test_a_file_that_is_none_gets_one_clear_message_and_leaves_nothing(
    ours: Side, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(ours.person)
    for content, said in NO_FILES:
        with subtests.test(said=said):
            refused = upload(client, content)
            assert refused.status_code == 422
            assert said in body(refused)
    assert not ChangeSet.objects.exists()


def test_a_file_that_is_too_large_is_refused(ours: Side, browser_of: Browser) -> None:
    assert "larger than 2.5 MB" in body(upload(browser_of(ours.person), b" " * 2_600_000))
    assert browser_of(ours.person).post("/publisher/upload/").status_code == 422


# --- keys and team


def test_a_key_is_shown_once_works_and_is_narrow(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    made = client.post(
        "/publisher/keys/", {"name": "nightly", "scopes": ["catalog:read"], "last_day": "2026-12-31"}
    )
    assert made.status_code == 201
    assert "no-store" in made.headers["Cache-Control"]
    found = re.search(r"pk_[a-z0-9]{12}_[A-Za-z0-9]{43}", made.content.decode())
    assert found is not None
    row = ApiKey.objects.get()
    assert row.scopes == ["catalog:read"]
    assert row.user.is_service
    assert row.user.role_names == {"partner"}
    assert row.user.publisher_membership.publisher == ours.publisher
    assert row.expires_at == clock.first_moment(date(2027, 1, 1))
    again = client.get("/publisher/keys/").content.decode()
    assert found[0] not in again
    assert row.prefix in again
    program = Client(headers={"Authorization": f"Bearer {found[0]}"})
    assert program.get("/api/v1/offerings/").status_code == 200
    assert program.post("/api/v1/change-sets/", {}, content_type="application/json").status_code == 403
    client.post(f"/publisher/keys/{row.pk}/revoke/")
    assert program.get("/api/v1/offerings/").status_code == 401


def test_wrong_entries_of_a_key_stand_at_their_fields(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    refused = client.post("/publisher/keys/", {"name": "No Spaces!", "last_day": "2020-01-01"})
    assert refused.status_code == 422
    seen = body(refused)
    for text in (
        "small letters, digits and hyphens",
        "Choose at least one thing",
        "would have ended already",
    ):
        assert text in seen, text
    assert 'value="No Spaces!"' in refused.content.decode()
    assert client.post("/publisher/keys/", {"name": "x", "last_day": "soon"}).status_code == 422
    more = client.post("/publisher/keys/", {"name": "x", "scopes": ["deals:write"]})
    assert more.status_code == 422
    assert not ApiKey.objects.exists()
    assert not User.objects.filter(is_service=True).exists()


def test_two_keys_of_a_program_work_while_one_is_changed_over(ours: Side, browser_of: Browser) -> None:
    client = browser_of(ours.person)
    asked = {"name": "nightly", "scopes": ["catalog:read"]}
    client.post("/publisher/keys/", asked)
    old = ApiKey.objects.get()
    over = client.post(f"/publisher/keys/{old.pk}/rotate/")
    assert over.status_code == 201
    assert ApiKey.objects.filter(user=old.user).count() == 2
    old.refresh_from_db()
    assert old.expires_at is not None
    third = client.post("/publisher/keys/", asked)
    assert third.status_code == 409
    assert "two keys that work" in body(third)
    assert User.objects.filter(is_service=True).count() == 1


def test_programs_and_the_operator_make_no_keys_of_a_publisher(ours: Side, keeper: User) -> None:
    row, _key = make_key(
        publisher_id=ours.publisher.pk,
        name="p",
        scopes=["catalog:read"],
        last_day=None,
        by=ours.person,
        at=AT,
    )
    for somebody in (keeper, row.user):
        with pytest.raises(Forbidden):
            make_key(
                publisher_id=ours.publisher.pk,
                name="q",
                scopes=["catalog:read"],
                last_day=None,
                by=somebody,
                at=AT,
            )
        with pytest.raises(Forbidden):
            rotate_key(publisher_id=ours.publisher.pk, key_id=row.pk, by=somebody, at=AT)
        with pytest.raises(Forbidden):
            revoke_key(publisher_id=ours.publisher.pk, key_id=row.pk, by=somebody, at=AT)
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_publisher_key_found_by_its_hash_is_its_own(ours: Side) -> None:
    _row, key = make_key(
        publisher_id=ours.publisher.pk,
        name="p",
        scopes=["catalog:read"],
        last_day=None,
        by=ours.person,
        at=AT,
    )
    assert api_keys.find(key, AT) is not None


def test_the_team_is_ones_own_people(ours: Side, theirs: Side, browser_of: Browser) -> None:
    member(ours.publisher, "Olga Colleague")
    seen = body(browser_of(ours.person).get("/publisher/team/"))
    assert "Olga Colleague" in seen
    assert "Ours Person You" in seen
    assert f"{make.AT:%-d %b %Y}" in seen
    assert "Theirs Person" not in seen


def test_first_party_and_third_party_see_the_same_console(browser_of: Browser) -> None:
    pages = {}
    for origin in ("first", "third"):
        publisher = make.publisher(origin=origin, name="Same", slug=f"same-{origin}")
        client = browser_of(member(publisher, "Same Person"))
        pages[origin] = re.sub(r"(First|Third) party", "", body(client.get("/publisher/"))).replace(
            f"same-{origin}", ""
        )
    assert pages["first"] == pages["third"]


def test_the_api_calls_of_the_developers_page_are_real(ours: Side) -> None:
    call = ApiCall(
        "POST", "http://testserver/api/v1/change-sets/validate/", {"items": [], "note": "it's"}, "k"
    )
    assert "it'\\''s" in call.curl
    compile(call.python, "call", "exec")


# --- whatever is typed, or was sent by a program


NONSENSE: tuple[Any, ...] = (None, 5, True, "text", "", [], [[]], {}, {"a": [1]}, [{"rows": 3}], "\u00e9" * 3)


@pytest.mark.parametrize("opened", [5, pytest.param(99, marks=pytest.mark.soak)])
def test_a_draft_of_nonsense_can_be_seen_and_mended(
    ours: Side, browser_of: Browser, subtests: pytest.Subtests, opened: int
) -> None:
    """Every item is shown, and of each operation the form of the last few is opened and sent back as it came."""
    client = browser_of(ours.person)
    for operation in sorted(SHAPES):
        names = [f.name for f in SHAPES[operation].fields]
        there = {name: ours.offering.slug for name in ("slug", "offering") if name in names}
        bodies: list[dict[str, Any]] = [dict.fromkeys(names, value) for value in NONSENSE]
        bodies += [
            {name: NONSENSE[(first + place) % len(NONSENSE)] for place, name in enumerate(names)} | there
            for first in range(0, len(NONSENSE), 5)
        ]
        bodies += [there | {"plan": "nowhere", "price_version": 1}]
        items = [ItemDraft(operation, body) for body in bodies]
        with subtests.test(operation=operation):
            made = draft_change_set(title="Nonsense", items=items, by=ours.person, at=AT)
            assert client.get(f"/publisher/change-sets/{made.pk}/").status_code == 200
            for place in range(len(items))[-opened:]:
                shown = client.get(address(operation, into=made.pk, item=place))
                assert shown.status_code in (200, 404), place
                if shown.status_code == 200:
                    again = client.post(address(operation, into=made.pk, item=place), entries(shown))
                    assert again.status_code in (302, 422), place
            withdraw(change_set_id=made.pk, by=ours.person, at=AT)


def test_odd_addresses_are_not_found(
    ours: Side, keeper: User, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client, operator = browser_of(ours.person), browser_of(keeper)
    for word in ("a\x00b", "\U0001f600 ../.. %'", "9" * 30, "-1"):
        with subtests.test(word=word):
            for query in ({"offering": word}, {"offering": ours.offering.slug, "plan": word}):
                assert client.get(address("price.add", **query)).status_code == 404
            for query in ({"price": word}, {"into": word}, {"item": word, "into": "1"}):
                path = address("price.correct", offering=ours.offering.slug, **query)
                assert client.get(path).status_code == 404
            assert operator.get("/publisher/", {"as": word}).status_code in (200, 404)
            draft = ours.draft()
            assert client.get(f"/publisher/change-sets/{draft.pk}/", {"page": word}).status_code == 200
            sent = {"revision": word, "note": word, "title": word, "apply_on": word, "item": word}
            for step in ("describe", "submit", "remove"):
                answer = client.post(f"/publisher/change-sets/{draft.pk}/{step}/", sent)
                assert answer.status_code in (404, 412, 422), step
            key = {"name": word, "scopes": [word], "last_day": word}
            assert client.post("/publisher/keys/", key).status_code == 422
            away = client.post(f"/publisher/change-sets/{draft.pk}/withdraw/", {"note": word})
            assert away.status_code == 302


FIELDS = st.text(alphabet="abc10.,- \u00e9", max_size=12)


@given(data=st.data(), operation=st.sampled_from(sorted(SHAPES)))
@settings(max_examples=examples(20), deadline=None)
def test_what_was_typed_is_read_the_same_from_the_form_that_shows_it(
    data: st.DataObject, operation: str
) -> None:
    known = Known({"/task_areas": [("abc", "Abc")]}, capabilities=("tools",))
    begun = {
        "rows": [{}, {}],
        "plans": [{"prices": [{"rows": [{}]}]}],
        "prices": [{"rows": [{}]}],
        "aliases": [{}],
    }
    form = ItemForm(SHAPES[operation], begun, known=known)
    typed = QueryDict(mutable=True)
    for box in form.boxes():
        if box.look in ("tick", "ticks"):
            typed[f"{box.name}.shown"] = "1"
            if data.draw(st.booleans()):
                typed[box.name] = "abc"
        else:
            typed[box.name] = data.draw(FIELDS)
    body = form.read(typed)
    again = QueryDict(mutable=True)
    for box in ItemForm(SHAPES[operation], body, known=known).boxes():
        if box.look in ("tick", "ticks"):
            again[f"{box.name}.shown"] = "1"
            if box.look == "ticks":
                again.setlist(box.name, box.value)
            elif box.value:
                again[box.name] = "yes"
        else:
            again[box.name] = str(box.value)
    assert without_empty_lists(form.read(again)) == without_empty_lists(body)


def without_empty_lists(value: Any) -> Any:
    """A list that nobody wrote into is as good as none."""
    if isinstance(value, dict):
        return {k: without_empty_lists(v) for k, v in value.items() if v != []}
    return [without_empty_lists(v) for v in value] if isinstance(value, list) else value
