"""The catalog's pages: what they show, to whom, and at which cost."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from html import unescape

import pytest
from django.db import connection
from django.template import engines
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import SavedView, User
from marketplace import extension
from marketplace.extension import Panel
from marketplace.models import Offering, Program
from marketplace.selectors.eligibility import bulk_treatments
from marketplace.services.indexing import reindex
from tests import make
from tests.marketplace.conftest import TODAY, Catalog

Browser = Callable[[User], Client]
PAGES = (
    "/catalog/",
    "/catalog/compare/",
    "/catalog/requests/",
    "/catalog/claude-sonnet-4-5/",
    "/catalog/publishers/anthropic/",
    "/sourcing/facts/",
)

pytestmark = pytest.mark.django_db


def text(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, path
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())))


def test_pages_ask_for_a_log_in_and_keep_the_security_policy(
    catalog: Catalog, client: Client, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    rep = browser_of(make.user(role="rep"))
    for path in PAGES:
        with subtests.test(path=path):
            response = client.get(path)
            assert response.status_code == 302
            assert response["Location"].startswith("/accounts/login/")
            html = rep.get(path).content.decode()
            assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", html)
            assert "<style" not in html
            assert not re.search(r"<script(?![^>]*\ssrc=)", html)


def test_the_list_shows_fifty_and_leads_on_to_the_rest(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    first = client.get("/catalog/").content.decode()
    assert first.count('<th scope="row">') == 50
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = client.get("/catalog/" + unescape(following[1])).content.decode()
    assert second.count('<th scope="row">') == 45
    links = {
        link
        for page in (first, second)
        for link in re.findall(r'"row"><a href="(/catalog/[a-z0-9-]+/)"', page)
    }
    assert len(links) == 95


def test_filters_stand_in_the_address_and_the_counts_follow(catalog: Catalog, browser_of: Browser) -> None:
    seen = text(browser_of(make.user(role="rep")), "/catalog/?publisher=anthropic,xai&lifecycle=legacy")
    assert "3 found of 95" in seen
    assert "Claude Sonnet 4.5" in seen
    assert "Claude Opus 4.1" not in seen


def test_an_address_that_makes_no_sense_shows_the_list(
    browser_of: Browser, subtests: pytest.Subtests
) -> None:
    make.price(plan=make.plan())
    reindex()
    client = browser_of(make.user(role="rep"))
    for query in (
        "as_of=x",
        "cursor=zzz",
        "ordering=;",
        "min_context=-1",
        "max_input_price=NaN",
        "eligible=nope",
        "search=%00",
        "publisher=%00",
    ):
        with subtests.test(query=query):
            assert client.get(f"/catalog/?{query}").status_code == 200


def test_a_part_is_asked_for_by_the_pages_own_address(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    part = client.get("/catalog/?search=claude", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert 'id="browse"' in part.content.decode()
    assert "HX-Request" in part["Vary"]
    back = client.get("/catalog/", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in back.content.decode()
    answer = client.get("/catalog/o3/?on=2027-01-01", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in answer
    assert "deprecated" in answer or "retired" in answer


def test_a_misspelt_search_shows_what_was_meant_and_says_so(catalog: Catalog, browser_of: Browser) -> None:
    seen = text(browser_of(make.user(role="rep")), "/catalog/?search=cluade+sonet+4.5")
    assert "Showing results for “claude sonnet 4 5”." in seen
    assert "1 found of 95" in seen
    assert "Claude Sonnet 4.5" in seen


def test_nothing_found_says_what_a_word_or_a_filter_less_would_find(
    catalog: Catalog, browser_of: Browser
) -> None:
    client = browser_of(make.user(role="rep"))
    assert "With a word less: claude sonnet (1)." in text(client, "/catalog/?search=claude+sonnet+mistral")
    seen = text(client, "/catalog/?search=claude&region=eu&publisher=xai")
    assert "Nothing matches" in seen
    assert "Request an offering" in seen
    without = text(client, "/catalog/?modality_out=image&publisher=anthropic")
    assert re.search(r"Without a filter: Publisher: Anthropic \(\d+\), Gives out: Image \(4\)\.", without)


def test_views_and_columns_are_those_of_every_list_and_views_of_old_are_still_there(
    catalog: Catalog, browser_of: Browser
) -> None:
    rep = make.user(role="rep")
    client, other = browser_of(rep), browser_of(make.user(role="rep"))
    SavedView.objects.create(
        user=rep, page="marketplace:catalog", name="Of old", query="search=gpt&origin=first", made_at=make.AT
    )
    page = client.get("/catalog/?as_of=2026-08-14&origin=third&hide=window").content.decode()
    assert 'href="?search=gpt&amp;origin=first"' in page
    assert '<table class="no-k2">' in page
    here = re.search(r'name="here" value="([^"]+)"', page)
    assert here
    assert unescape(here[1]) == "/catalog/?origin=third&hide=window"  # a view does not stand still on today
    client.post("/lists/views/", {"here": unescape(here[1]), "name": " Thirds "})
    assert SavedView.objects.get(name="Thirds").query == "origin=third&hide=window"
    client.post("/lists/views/", {"here": "/catalog/", "name": " "})
    seen = text(client, "/catalog/")
    assert "Thirds" in seen
    assert "Give the view a name." in seen
    assert "Thirds" not in text(other, "/catalog/")


def test_a_publishers_page_shows_a_page_of_its_offerings_and_counts_them_all(
    catalog: Catalog, browser_of: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.views.catalog.PAGE", 3)
    client = browser_of(make.user(role="rep"))
    first = client.get("/catalog/publishers/anthropic/")
    every = Offering.objects.filter(publisher__slug="anthropic").order_by("name", "id")
    assert [row.offering for row in first.context["rows"]] == list(every[:3])
    assert first.context["page"].paginator.count == len(every) > 3
    assert first.context["counts"]["toward_quota"] == sum(
        treated[Program.QUOTA].counts for treated in bulk_treatments(list(every), TODAY).values()
    )
    second = client.get("/catalog/publishers/anthropic/?page=2")
    assert [row.offering for row in second.context["rows"]] == list(every[3:6])


def test_the_list_is_as_on_a_day(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    seen = text(client, "/catalog/?publisher=anthropic&as_of=2025-01-01")
    assert "As on 1 Jan 2025." in seen
    assert "Announced" in seen
    assert "Announced" not in text(client, "/catalog/?publisher=anthropic")


def test_by_evidence_the_list_says_what_was_never_compared(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    seen = text(client, "/catalog/?task=coding&ordering=evidence")
    assert "By evidence for Coding" in seen
    assert seen.index("of those tested") < seen.index("No comparison yet")


def test_an_offering_shows_its_answer_with_every_why(catalog: Catalog, browser_of: Browser) -> None:
    seen = text(browser_of(make.user(role="rep")), "/catalog/claude-sonnet-4-5/")
    for part in (
        "It may be sold on 14 Aug 2026.",
        "$3.00 per million input tokens",
        "Quota Counts in full",
        "Exception: Anthropic's models count toward quota",
        "The start date is not public and is assumed",
        "Made by Mara Maker, checked by Carl Checker",
        "Deprecated 1 Sep 2026",
        "Harness HHEM",
        "Revision 1",
    ):
        assert part in seen, part


def test_a_retired_one_says_so(catalog: Catalog, browser_of: Browser) -> None:
    seen = text(browser_of(make.user(role="rep")), "/catalog/deepseek-v3-1/")
    assert "It cannot be sold. DeepSeek-V3.1 has been retired since 13 Jul 2026." in seen


def test_the_page_answers_for_another_day_and_plan(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    assert "not on sale before 18 Nov 2025" in text(client, "/catalog/claude-sonnet-4-5/?on=2025-11-17")
    batch = text(client, "/catalog/gpt-4-1/?plan=global-batch", **{"HX-Request": "true"})
    assert "$1.00 per million input tokens" in batch
    assert "$2.00" not in batch


# Who sees what.


def test_an_unpublished_offering_is_seen_by_its_own_publisher_and_the_keepers(
    catalog: Catalog, browser_of: Browser
) -> None:
    Offering.objects.filter(slug="claude-opus-4-5").update(publication="draft")
    anthropic = Offering.objects.get(slug="claude-opus-4-5").publisher
    own, other = make.user(role="partner", publisher=anthropic), make.user(role="partner")
    keeper, rep = make.user(role="catalog_manager"), make.user(role="rep")
    for user, seen in ((own, True), (keeper, True), (other, False), (rep, False)):
        client = browser_of(user)
        assert client.get("/catalog/claude-opus-4-5/").status_code == (200 if seen else 404)
        found = text(client, "/catalog/?search=claude")
        assert ("Claude Opus 4.5" in found) is seen
        assert f"{4 if seen else 3} found of {95 if seen else 94}" in found


def test_partners_read_why_but_not_who(catalog: Catalog, browser_of: Browser) -> None:
    seen = text(browser_of(make.user(role="partner")), "/catalog/claude-sonnet-4-5/")
    assert "Exception: Anthropic's models count" in seen
    assert "Mara Maker" not in seen
    assert "Carl Checker" not in seen


def test_facts_stand_with_bound_paragraph_and_reference(catalog: Catalog, browser_of: Browser) -> None:
    seen = text(browser_of(make.user(role="sourcing_lead")), "/sourcing/facts/")
    assert "26 statements" in seen
    assert "About $500M a year" in seen
    assert "At least $13B" in seen
    assert "At most $5B" in seen
    assert "Paragraph 5, references 17, 12, 18" in seen


# Cost.


def test_the_list_costs_the_same_for_few_and_for_many(browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    make.price(plan=make.plan())
    reindex()
    client.get("/catalog/")
    with CaptureQueriesContext(connection) as few:
        client.get("/catalog/")
    for _ in range(6):
        make.price(plan=make.plan())
    reindex()
    with CaptureQueriesContext(connection) as many:
        client.get("/catalog/")
    assert len(many) == len(few) <= 26


def test_an_offerings_page_costs_the_same_for_few_and_for_many(browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    offering = make.offering()

    def grow() -> None:
        make.price(plan=make.plan(offering=offering))
        make.offering(replacement=offering)

    grow()
    with CaptureQueriesContext(connection) as few:
        client.get(f"/catalog/{offering.slug}/")
    for _ in range(4):
        grow()
        make.decision(plan=make.plan(offering=offering))
    with CaptureQueriesContext(connection) as many:
        client.get(f"/catalog/{offering.slug}/")
    assert len(many) == len(few) <= 27


def test_the_first_breadcrumb_of_sourcing_leads_on_where_its_reader_may_go(
    catalog: Catalog, browser_of: Browser
) -> None:
    for role, leads in (("sourcing_lead", True), ("rep", False)):
        page = browser_of(make.user(role=role)).get("/sourcing/facts/").content.decode()
        crumbs = re.search(r'<ol class="crumbs">(.*?)</ol>', page, re.DOTALL)
        assert crumbs
        assert ('<a href="/sourcing/">Sourcing</a>' in crumbs[1]) is leads
        assert "Sourcing" in crumbs[1]


# What other apps add.


@pytest.fixture
def panel() -> Iterator[list[tuple[str, str, date]]]:
    asked: list[tuple[str, str, date]] = []

    def show(offering: Offering, user: User, on: date) -> Panel | None:
        asked.append((offering.slug, user.email, on))
        return Panel("Open deals", engines["django"].from_string("{{ panel.count }} deals"), {"count": 3})  # type: ignore[arg-type]

    extension.panel(show)
    yield asked
    extension._panels.remove(show)


def test_a_panel_of_another_app_stands_on_the_page(
    catalog: Catalog, browser_of: Browser, panel: list[tuple[str, str, date]]
) -> None:
    rep = make.user(role="rep")
    seen = text(browser_of(rep), "/catalog/o3/")
    assert "Open deals" in seen
    assert "3 deals" in seen
    assert panel == [("o3", rep.email, date(2026, 8, 14))]
