"""Decisions as people work with them: the policy that anyone reads, a proposal with what it hits, the check by another person."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Notification, Role, User
from config import clock, outbox
from marketplace.models import EligibilityDecision, Offering
from tests import make
from tests.marketplace.conftest import Catalog

Browser = Callable[[User], Client]
TODAY = date(2026, 8, 14)

pytestmark = pytest.mark.django_db


def text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return flat(response.content)


def flat(content: bytes) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


@pytest.fixture
def keeper(browser_of: Browser) -> Client:
    return browser_of(make.user(role=Role.CATALOG_MANAGER, name="Kay Keeper"))


def entry(**more: Any) -> dict[str, Any]:
    return {
        "programs": ["quota"],
        "kind": "offerings",
        "things": [],
        "rate": "50",
        "start": "2026-09-01",
        "reason": "Because",
        **more,
    }


# The policy.


def test_everybody_reads_the_policy_with_its_exception_its_evidence_and_what_is_said_publicly(
    catalog: Catalog, browser_of: Browser
) -> None:
    for role in (None, Role.PARTNER):
        page = browser_of(make.user(role=role)).get("/catalog/policy/").content
        seen = flat(page)
        for part in (
            "What the cloud sells itself counts in full toward quota, whoever made it.",
            "Third-party marketplace offerings generally do not count toward quota.",
            "Everything of Anthropic",
            "Exception: Anthropic's models count toward quota just as the vendor's own software does.",
            "The start date is not public and is assumed",
            "Assumed",
            "count toward sales quotas just as proprietary Microsoft software",
            "Paragraph 2, references 7, 1, 8, 9, 5, 10",
        ):
            assert part in seen, (role, part)
        assert b"/sourcing/facts/#fact-quota-parity" in page


def test_the_policy_is_as_on_the_day_that_is_asked_for(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role=Role.REP))
    before = text(client, "/catalog/policy/?as_of=2025-11-17")
    assert "Everything of Anthropic" not in before.split("Announced")[0]
    assert "Everything of Anthropic" in before.split("Announced")[1]
    assert "Nothing is decided for that day" in text(client, "/catalog/policy/?as_of=2020-01-01")


def test_partners_learn_of_no_decision_about_what_they_may_not_know(
    catalog: Catalog, browser_of: Browser
) -> None:
    Offering.objects.filter(slug="grok-4").update(publication="draft")
    hidden = make.offering(name="Secret model", publication="draft")
    found = make.decision(offering=hidden)
    for role, status in ((Role.PARTNER, 404), (Role.REP, 404), (Role.CATALOG_MANAGER, 200)):
        client = browser_of(make.user(role=role))
        assert client.get(f"/catalog/decisions/{found.pk}/").status_code == status
        assert ("Secret model" in text(client, "/catalog/policy/")) is (status == 200)
        assert ("Secret model" in text(client, "/catalog/decisions/")) is (status == 200)
    own = browser_of(make.user(role=Role.PARTNER, publisher=hidden.publisher))
    assert "Secret model" in text(own, "/catalog/policy/")


def test_partners_read_why_but_not_who(catalog: Catalog, browser_of: Browser) -> None:
    found = EligibilityDecision.objects.get(publisher__slug="anthropic", program="quota")
    seen = text(browser_of(make.user(role=Role.PARTNER)), f"/catalog/decisions/{found.pk}/")
    assert "Exception: Anthropic's models count" in seen
    assert "Mara Maker" not in seen
    assert "Carl Checker" not in seen
    assert "Mara Maker" in text(browser_of(make.user(role=Role.REP)), f"/catalog/decisions/{found.pk}/")


# The register.


def test_the_register_sorts_by_state_and_narrows_by_program_level_publisher_and_words(
    catalog: Catalog, keeper: Client
) -> None:
    offering = make.offering(name="Comet")
    make.decision(offering=offering, checked=False)
    make.decision(publisher=offering.publisher, effective=(TODAY + timedelta(days=5), None))
    make.decision(offering=offering, effective=(date(2025, 1, 1), date(2026, 1, 1)))
    assert "In force 21" in text(keeper, "/catalog/decisions/")
    for state, name in (("proposed", "Comet"), ("ended", "Comet"), ("announced", "Everything of")):
        seen = text(keeper, f"/catalog/decisions/?state={state}")
        assert name in seen.split("Decided for")[-1], state
    narrowed = text(keeper, "/catalog/decisions/?program=quota&level=publisher&publisher=anthropic")
    assert "In force 1" in narrowed
    assert "In force 1 " in text(keeper, "/catalog/decisions/?search=seat+licence+outside")
    assert "Nothing matches" in text(keeper, "/catalog/decisions/?search=zzz")


def test_an_address_that_makes_no_sense_shows_the_register(keeper: Client, subtests: pytest.Subtests) -> None:
    for query in (
        *("as_of=x", "state=;", "cursor=zzz", "program=nope", "level=9"),
        *("publisher=%00", "search=%00"),
    ):
        with subtests.test(query=query):
            assert keeper.get(f"/catalog/decisions/?{query}").status_code == 200


def test_proposals_are_for_who_decides_audits_or_pays(browser_of: Browser) -> None:
    found = make.decision(path="marketplace", checked=False)
    for role, status in (
        (Role.CATALOG_MANAGER, 200),
        (Role.AUDITOR, 200),
        (Role.COMP_ADMIN, 200),
        (Role.REP, 404),
        (Role.PARTNER, 404),
    ):
        client = browser_of(make.user(role=role))
        assert client.get(f"/catalog/decisions/{found.pk}/").status_code == status
        assert ("Proposed" in text(client, "/catalog/decisions/")) is (status == 200)


def test_what_waits_is_counted_beside_the_entry_and_a_proposal_of_many_counts_once(
    browser_of: Browser, keeper: Client
) -> None:
    offerings = [make.offering() for _ in range(3)]
    keeper.post("/catalog/decisions/new/", entry(do="make", token="t", things=[o.slug for o in offerings]))
    assert EligibilityDecision.objects.count() == 3
    page = browser_of(make.user(role=Role.CATALOG_MANAGER)).get("/catalog/decisions/").content.decode()
    assert re.search(r'href="/catalog/decisions/"[^>]*>.*?Decisions.*?\b1\b', page, re.DOTALL)


def test_pages_cost_the_same_for_few_and_for_many_and_keep_the_security_policy(keeper: Client) -> None:
    paths = ("/catalog/decisions/", "/catalog/policy/")

    def grow() -> None:
        offering = make.offering()
        make.decision(offering=offering)
        make.decision(plan=make.plan(offering=offering))
        make.decision(publisher=offering.publisher, effective=(TODAY + timedelta(days=3), None))

    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            html = keeper.get(path).content.decode()
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", html), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", html), path
        return len(queries)

    grow()
    keeper.get(paths[0])
    few = [cost(path) for path in paths]
    for _ in range(4):
        grow()
    assert [cost(path) for path in paths] == few
    assert max(few) <= 18
    cost("/catalog/decisions/new/")


# Proposing.


def test_offerings_are_added_one_after_another_without_a_script(keeper: Client) -> None:
    one, two = make.offering(name="One"), make.offering(name="Two")
    plan = make.plan(offering=two, slug="batch")
    response = keeper.post("/catalog/decisions/new/", entry(do="add", add=one.slug))
    assert response.status_code == 200
    assert f'name="things" value="{one.slug}" checked' in response.content.decode()
    second = keeper.post(
        "/catalog/decisions/new/", entry(do="add", things=[one.slug], add=f"{two.slug}/{plan.slug} nonsense")
    )
    seen = flat(second.content)
    assert "One" in seen
    assert "Two, plan" in seen
    assert "There is no such offering or plan." in seen
    assert 'value="50"' in second.content.decode()


@pytest.mark.parametrize("query", ["offerings={0},{1}", "publisher=acme&offering={0}&offering={1}"])
def test_a_catalog_list_can_hand_its_choice_over(keeper: Client, query: str) -> None:
    one, two = make.offering(), make.offering()
    page = keeper.get(f"/catalog/decisions/new/?{query.format(one.slug, two.slug)}").content.decode()
    for offering in (one, two):
        assert f'value="{offering.slug}" checked' in page


def test_names_are_found_while_they_are_typed(browser_of: Browser, keeper: Client) -> None:
    offering = make.offering(name="Nebula large")
    found = keeper.get("/catalog/decisions/find/?add=first,nebul").content.decode()
    assert f'<option value="{offering.slug}">Nebula large' in found
    assert keeper.get("/catalog/decisions/find/?add=").content.decode().strip() == ""
    assert browser_of(make.user(role=Role.REP)).get("/catalog/decisions/find/?add=neb").status_code == 404


def test_everything_wrong_is_said_beside_its_field(keeper: Client) -> None:
    response = keeper.post(
        "/catalog/decisions/new/",
        {"do": "preview", "kind": "publisher", "rate": "150", "start": "2026-02-31", "reason": ""},
    )
    assert response.status_code == 422
    seen = flat(response.content)
    for part in (
        "Choose at least one program.",
        "Choose the publisher.",
        "Enter a number from 0 to 100",
        "Enter a day, such as",
        "Say why: it is shown",
    ):
        assert part in seen, part
    assert EligibilityDecision.objects.count() == 0


def test_the_preview_says_what_ends_and_keeps_nothing(keeper: Client) -> None:
    offering = make.offering(name="Comet")
    old = make.decision(offering=offering, effective=(date(2026, 1, 1), None))
    response = keeper.post(
        "/catalog/decisions/new/", entry(do="preview", things=[offering.slug], end="2026-12-01")
    )
    seen = flat(response.content)
    assert (
        f"Decision {old.pk} (Quota, 100%) ends before 1 Sep 2026, and holds again from 1 Dec 2026 on." in seen
    )
    assert "1 offering" in seen
    assert "Counts 50%" in seen
    assert EligibilityDecision.objects.count() == 1


def test_a_bulk_proposal_is_made_once_checked_together_and_told_once(
    browser_of: Browser, keeper: Client
) -> None:
    other = make.user(role=Role.CATALOG_MANAGER)
    offerings = [make.offering() for _ in range(4)]
    old = make.decision(offering=offerings[0], rate_ppm=0, effective=(date(2026, 1, 1), None))
    sent = entry(
        do="make", token="once", programs=["quota", "commitment"], things=[o.slug for o in offerings]
    )
    response = keeper.post("/catalog/decisions/new/", sent)
    again = keeper.post("/catalog/decisions/new/", sent)  # the button pressed twice
    assert (response.status_code, again["Location"]) == (302, response["Location"])
    made = EligibilityDecision.objects.exclude(pk=old.pk).order_by("id")
    assert len(made) == 8
    path = response["Location"]
    assert path == f"/catalog/decisions/{made[0].pk}/"
    assert "It waits for somebody else." in text(keeper, path)
    checker = browser_of(other)
    page = checker.get(path).content.decode()
    assert f'name="seen" value="{old.pk}"' in page
    assert "ends before 1 Sep 2026" in flat(page.encode())
    checker.post(f"{path}check/", {"seen": str(old.pk)})
    assert set(
        EligibilityDecision.objects.filter(pk__in=[d.pk for d in made]).values_list("checked_by", flat=True)
    ) == {other.pk}
    old.refresh_from_db()
    assert (old.effective.upper, old.superseded_at) == (date(2026, 9, 1), None)
    for message_id in outbox.lease(at=clock.now()):
        outbox.carry_out(message_id=message_id, at=clock.now())
    assert Notification.objects.filter(user=other, key__startswith="decision-proposed").count() == 1


def test_what_came_between_preview_and_check_is_not_ended_unseen(browser_of: Browser) -> None:
    offering = make.offering()
    waiting = make.decision(offering=offering, effective=(date(2026, 9, 1), None), checked=False)
    newer = make.decision(offering=offering, effective=(date(2026, 8, 1), None))
    checker = browser_of(make.user(role=Role.CATALOG_MANAGER))
    response = checker.post(f"/catalog/decisions/{waiting.pk}/check/", {"seen": ""}, follow=True)
    assert f"Decision {newer.pk} (100 %, from 1 Aug 2026 on) already holds" in flat(response.content)
    waiting.refresh_from_db()
    assert waiting.checked_at is None


def test_the_maker_cannot_check_and_a_withdrawal_needs_a_reason(keeper: Client) -> None:
    offering = make.offering()
    keeper.post("/catalog/decisions/new/", entry(do="make", token="a", things=[offering.slug]))
    found = EligibilityDecision.objects.get()
    refused = keeper.post(f"/catalog/decisions/{found.pk}/check/", {"seen": ""}, follow=True)
    assert "Somebody else has to check what you decided." in flat(refused.content)
    refused = keeper.post(f"/catalog/decisions/{found.pk}/withdraw/", {"reason": " "}, follow=True)
    assert "Say why it is withdrawn." in flat(refused.content)
    keeper.post(f"/catalog/decisions/{found.pk}/withdraw/", {"reason": "A slip"})
    found.refresh_from_db()
    assert found.superseded_at is not None
    assert "Withdrawn" in text(keeper, f"/catalog/decisions/{found.pk}/")


def test_only_catalog_managers_reach_what_changes_something(browser_of: Browser) -> None:
    found = make.decision(path="marketplace", checked=False)
    for roles in ([Role.PARTNER], [Role.REP, Role.AUDITOR, Role.COMP_ADMIN]):
        client = browser_of(make.user(roles=roles))
        assert client.get("/catalog/decisions/new/").status_code == 404
        for action in ("check", "withdraw"):
            assert client.post(f"/catalog/decisions/{found.pk}/{action}/", {"reason": "x"}).status_code == 404
    found.refresh_from_db()
    assert (found.checked_at, found.superseded_at) == (None, None)


# On the offering's page.


def test_the_offering_page_shows_each_plan_apart_where_they_differ(browser_of: Browser) -> None:
    offering = make.offering(path="marketplace")
    paid, free = make.plan(offering=offering), make.plan(offering=offering, pricing_form="free")
    for program in ("quota", "commitment"):
        make.decision(path="marketplace", program=program)
    make.decision(publisher=offering.publisher, program="quota", rate_ppm=500_000)
    make.decision(plan=paid, program="quota", rate_ppm=250_000)
    later = make.decision(offering=offering, program="resale", effective=(TODAY + timedelta(days=18), None))
    client = browser_of(make.user(role=Role.REP))
    seen = text(client, f"/catalog/{offering.slug}/")
    for part in (
        paid.name,
        free.name,
        "Counts 25%",
        "Free and bring-your-own-licence plans never draw down a commitment.",
        f"From 1 Sep 2026: Resale at 100% for {offering.name}. Decision {later.pk}",
        "Overridden",
    ):
        assert part in seen, part
    assert "until 1 Sep 2026" in seen


def test_plans_that_are_treated_alike_are_one_row(browser_of: Browser) -> None:
    offering = make.offering(path="marketplace")
    for _ in range(3):
        make.plan(offering=offering)
    make.decision(path="marketplace")
    seen = text(browser_of(make.user(role=Role.REP)), f"/catalog/{offering.slug}/")
    assert "Each of its 3 plans" in seen


# REST.


def test_rest_proposes_checks_and_withdraws(browser_of: Browser) -> None:
    maker, checker = (browser_of(make.user(role=Role.CATALOG_MANAGER)) for _ in range(2))
    offering = make.offering(slug="comet")
    plan = make.plan(offering=offering, slug="batch")
    old = make.decision(offering=offering)
    response = maker.post(
        "/api/v1/eligibility-decisions/",
        {
            "programs": ["quota"],
            "offerings": ["comet"],
            "plans": [{"offering": "comet", "plan": plan.slug}],
            "rate": "0.5",
            "effective_from": "2026-09-01",
            "reason": "Because",
        },
        content_type="application/json",
    )
    assert response.status_code == 201, response.content
    made = response.json()
    assert [(d["level"], d["offering"], d["plan"], d["rate"], d["state"]) for d in made["results"]] == [
        ("offering", "comet", None, "0.5", "proposed"),
        ("plan", "comet", "batch", "0.5", "proposed"),
    ]
    path = f"/api/v1/eligibility-decisions/{made['results'][0]['id']}/"
    post = {"content_type": "application/json"}
    own = maker.post(f"{path}check/", {}, **post)  # type: ignore[arg-type]
    assert (own.status_code, own.json()["errors"][0]["code"]) == (409, "own_decision")
    overlap = checker.post(f"{path}check/", {}, **post)  # type: ignore[arg-type]
    assert (overlap.status_code, overlap.json()["errors"][0]["code"]) == (409, "overlaps")
    done = checker.post(f"{path}check/", {"replaces": [old.pk]}, **post)  # type: ignore[arg-type]
    assert (done.status_code, done.json()["state"]) == (200, "announced")
    assert maker.get(f"{path}?as_of=2026-09-01").json()["state"] == "in_force"
    gone = maker.post(f"{path}withdraw/", {"reason": "A slip"}, **post)  # type: ignore[arg-type]
    assert gone.json()["state"] == "superseded"
    listed = maker.get("/api/v1/eligibility-decisions/?offering=comet&state=announced").json()["results"]
    assert [d["plan"] for d in listed] == ["batch"]


def test_rest_names_every_wrong_field_at_once(browser_of: Browser) -> None:
    client = browser_of(make.user(role=Role.CATALOG_MANAGER))
    body = {"programs": ["quota", "bonus"], "rate": "1.5", "effective_from": "2026-02-31", "extra": 1}
    response = client.post("/api/v1/eligibility-decisions/", body, content_type="application/json")
    assert response.status_code == 422
    assert {e["pointer"] for e in response.json()["errors"]} >= {
        "/programs/1",
        "/rate",
        "/effective_from",
        "/reason",
        "/extra",
    }
    good = {"programs": ["quota"], "rate": "1", "effective_from": "2026-09-01", "reason": "Because"}
    for more, pointer in (
        ({}, "/commercial_path"),
        ({"publisher": "nobody"}, "/publisher"),
        ({"offerings": ["nothing", "none"]}, "/offerings/1"),
        ({"commercial_path": "marketplace", "publisher": "nobody"}, "/publisher"),
    ):
        response = client.post(
            "/api/v1/eligibility-decisions/", {**good, **more}, content_type="application/json"
        )
        assert response.status_code == 422
        assert pointer in {e["pointer"] for e in response.json()["errors"]}
    assert EligibilityDecision.objects.count() == 0


def test_rest_shows_to_each_what_concerns_them(browser_of: Browser) -> None:
    hidden = make.offering(publication="draft")
    secret, open_one, waits = (
        make.decision(offering=hidden),
        make.decision(path="marketplace"),
        make.decision(path="sold_by_cloud", checked=False),
    )
    for role, seen in (
        (Role.CATALOG_MANAGER, {secret.pk, open_one.pk, waits.pk}),
        (Role.COMP_ADMIN, {open_one.pk, waits.pk}),
        (Role.REP, {open_one.pk}),
        (Role.PARTNER, {open_one.pk}),
    ):
        client = browser_of(make.user(role=role))
        found = client.get("/api/v1/eligibility-decisions/").json()["results"]
        assert {d["id"] for d in found} == seen, role
        for decision in (secret, waits):
            status = client.get(f"/api/v1/eligibility-decisions/{decision.pk}/").status_code
            assert status == (200 if decision.pk in seen else 404)
        if role == Role.PARTNER:
            assert [(d["made_by"], d["checked_by"]) for d in found] == [(None, None)]
        if role != Role.CATALOG_MANAGER:
            refused = client.post(
                "/api/v1/eligibility-decisions/", {"publisher": "x"}, content_type="application/json"
            )
            assert refused.status_code == 403
