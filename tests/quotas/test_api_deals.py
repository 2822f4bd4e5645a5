"""Deals through REST: logged, read, edited and moved along their states."""

from decimal import Decimal

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from quotas.models import Deal, DealEvent, DealVersion
from tests import make
from tests.quotas.api import approved, client, deal_body, ids, logged, posted, problems, submitted, usd

pytestmark = pytest.mark.django_db
DEALS = "/api/v1/deals/"


@pytest.fixture
def world() -> make.World:
    return make.world()


def test_a_deal_is_logged_and_read_back_as_it_was_sent(world: make.World) -> None:
    plan = make.plan(offering=world.third)
    make.currency(code="EUR")
    make.fx()
    sent = deal_body(
        world,
        title="Autumn roll-out",
        currency="EUR",
        lines=[
            {"offering": world.house.slug, "amount": {"amount": "100", "currency": "EUR"}},
            {
                "offering": world.third.slug,
                "plan": plan.slug,
                "amount": {"amount": "250.55", "currency": "EUR"},
                "quantity": "12.5000",
                "term_months": 12,
            },
        ],
        shares=[{"rep": world.ana.slug, "percent": "66.6667"}, {"rep": world.bo.slug, "percent": "33.3333"}],
    )
    answer = client(world.ana).post(DEALS, sent)
    assert answer.status_code == 201
    deal = Deal.objects.get()
    at = f"http://testserver/api/v1/deals/{deal.pk}/"
    assert answer["Location"] == at
    body = answer.json()
    assert answer["ETag"]
    assert body.pop("created_at").startswith("2026-08-14T")
    assert body == {
        "id": deal.pk,
        "reference": f"D-{deal.pk:06d}",
        "state": "draft",
        "held": False,
        "source": "api",
        "external_id": None,
        "owner": world.ana.slug,
        "customer": world.customer.slug,
        "title": "Autumn roll-out",
        "kind": "new_business",
        "close_date": "2026-08-03",
        "currency": "EUR",
        "amount": {"amount": "350.55", "currency": "EUR"},
        "new_customer": False,
        "refunds": None,
        "lines": [
            {
                "line_no": 1,
                "offering": world.house.slug,
                "plan": None,
                "amount": {"amount": "100.00", "currency": "EUR"},
                "billed": None,
                "quantity": None,
                "term_months": None,
            },
            {
                "line_no": 2,
                "offering": world.third.slug,
                "plan": plan.slug,
                "amount": {"amount": "250.55", "currency": "EUR"},
                "billed": None,
                "quantity": "12.5",
                "term_months": 12,
            },
        ],
        "shares": [
            {"rep": world.ana.slug, "percent": "66.6667"},
            {"rep": world.bo.slug, "percent": "33.3333"},
        ],
        "version": 1,
        "amendment": None,
        "revision": 1,
        "submitted_at": None,
        "decided_at": None,
        "links": {
            "self": at,
            "explanation": f"{at}explanation/",
            "credits": f"http://testserver/api/v1/credits/?deal={deal.pk}",
        },
    }
    read = client(world.ana).get(at)
    assert (read.status_code, read["ETag"]) == (200, answer["ETag"])


def test_a_deal_without_shares_is_all_its_owners(world: make.World) -> None:
    deal = posted(world, world.ana)
    assert client(world.ana).get(f"{DEALS}{deal.pk}/").json()["shares"] == [
        {"rep": world.ana.slug, "percent": "100.0000"}
    ]


def test_amounts_have_the_digits_of_their_currency(world: make.World) -> None:
    for code, written, minor in (("JPY", "1500", 1500), ("KWD", "1.234", 1234)):
        make.currency(code=code)
        make.fx(code=code)
        deal = posted(
            world,
            world.ana,
            currency=code,
            lines=[{"offering": world.third.slug, "amount": {"amount": written, "currency": code}}],
        )
        assert deal.latest_version is not None
        assert deal.latest_version.lines.get().amount_minor == minor
        shown = client(world.ana).get(f"{DEALS}{deal.pk}/").json()["lines"][0]["amount"]
        assert shown == {"amount": written, "currency": code}


def test_a_retry_with_the_same_key_logs_one_deal_and_answers_the_same(world: make.World) -> None:
    ana = client(world.ana)
    first = ana.post(DEALS, deal_body(world), headers={"Idempotency-Key": "k1"})
    again = ana.post(DEALS, deal_body(world), headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.content, again["Location"], again["ETag"]) == (
        first.content,
        first["Location"],
        first["ETag"],
    )
    assert again["Idempotent-Replayed"] == "true"
    assert Deal.objects.count() == 1
    other = ana.post(DEALS, deal_body(world, title="Another"), headers={"Idempotency-Key": "k1"})
    assert (other.status_code, problems(other)) == (422, [("idempotency_key_reused", "")])
    assert Deal.objects.count() == 1


def test_a_browser_with_its_token_can_log_a_deal_once_and_without_it_cannot(world: make.World) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    assert world.ana.user is not None
    browser.force_login(world.ana.user)
    refused = browser.post(DEALS, deal_body(world), headers={"Idempotency-Key": "k1"})
    assert (refused.status_code, problems(refused)) == (403, [("permission_denied", "")])
    headers = {"X-CSRFToken": token_of(browser), "Idempotency-Key": "k1"}
    answers = [browser.post(DEALS, deal_body(world), headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert Deal.objects.count() == 1


def token_of(browser: APIClient) -> str:
    """What a page would have set as a cookie."""
    token = "a" * 32
    browser.cookies[settings.CSRF_COOKIE_NAME] = token
    return token


def test_an_edit_changes_what_is_sent_and_keeps_the_old_version(world: make.World) -> None:
    deal = logged(world, world.ana, title="Before")
    ana = client(world.ana)
    at = f"{DEALS}{deal.pk}/"
    tag = ana.get(at)["ETag"]
    answer = ana.patch(at, {"title": "After", "close_date": "2026-08-10"}, headers={"If-Match": tag})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["title"], body["close_date"], body["version"], body["revision"]) == (
        "After",
        "2026-08-10",
        2,
        2,
    )
    assert body["lines"][0]["amount"] == usd("1000.00")
    assert answer["ETag"] == ana.get(at)["ETag"] != tag
    assert list(DealVersion.objects.order_by("number").values_list("title", flat=True)) == ["Before", "After"]


def test_an_edit_without_if_match_is_refused(world: make.World) -> None:
    deal = logged(world, world.ana)
    answer = client(world.ana).patch(f"{DEALS}{deal.pk}/", {"title": "After"})
    assert (answer.status_code, problems(answer)) == (428, [("precondition_required", "")])
    assert DealVersion.objects.count() == 1


def test_source_and_external_id_cannot_be_edited(world: make.World) -> None:
    deal = logged(world, world.ana)
    ana = client(world.ana)
    tag = ana.get(f"{DEALS}{deal.pk}/")["ETag"]
    answer = ana.patch(f"{DEALS}{deal.pk}/", {"source": "crm", "id": 4}, headers={"If-Match": tag})
    assert (answer.status_code, problems(answer)) == (
        422,
        [("unknown_field", "/source"), ("unknown_field", "/id")],
    )


def test_only_a_service_names_the_source_of_a_deal_and_only_once_an_external_id(world: make.World) -> None:
    crm = make.user(role="comp_admin", service=True)
    body = deal_body(world, owner=world.ana.slug, source="crm", external_id="OPP-1")
    answer = client(crm).post(DEALS, body)
    assert (answer.status_code, answer.json()["source"], answer.json()["external_id"]) == (
        201,
        "crm",
        "OPP-1",
    )
    again = client(crm).post(DEALS, body)
    assert (again.status_code, problems(again)) == (409, [("external_id_taken", "/external_id")])
    person = client(world.ana).post(DEALS, deal_body(world, source="crm"))
    assert (person.status_code, problems(person)) == (422, [("source_not_yours", "/source")])
    assert Deal.objects.count() == 1
    assert ids(client(crm).get(f"{DEALS}?external_id=OPP-1&source=crm")) == [answer.json()["id"]]
    assert ids(client(crm).get(f"{DEALS}?external_id=OPP-2")) == []


def test_a_deal_goes_from_draft_to_cancelled_and_each_step_is_a_revision(world: make.World) -> None:
    deal = logged(world, world.ana)
    at = f"{DEALS}{deal.pk}/"
    ana, mia = client(world.ana), client(world.mia)
    submitted = ana.post(f"{at}submit/")
    assert (submitted.status_code, submitted.json()["state"], submitted.json()["revision"]) == (
        200,
        "submitted",
        2,
    )
    returned = mia.post(f"{at}return/", {"reason": "Which plan?"})
    assert (returned.status_code, returned.json()["state"]) == (200, "returned")
    assert ana.post(f"{at}submit/").json()["state"] == "submitted"
    done = mia.post(f"{at}approve/", headers={"If-Match": mia.get(at)["ETag"]})
    assert (done.status_code, done.json()["state"], done.json()["revision"]) == (200, "approved", 5)
    assert done.json()["decided_at"] is not None
    credits = client(world.ana).get(f"/api/v1/credits/?deal={deal.pk}").json()["results"]
    assert [(c["rep"], c["amount"]) for c in credits] == [(world.ana.slug, usd("1000.00"))]
    gone = mia.post(f"{at}cancel/", {"reason": "The customer withdrew."})
    assert (gone.status_code, gone.json()["state"]) == (200, "cancelled")
    after = client(world.ana).get(f"/api/v1/credits/?deal={deal.pk}").json()["results"]
    assert [(c["amount"], c["reverses"]) for c in after] == [
        (usd("-1000.00"), credits[0]["id"]),
        (usd("1000.00"), None),
    ]
    assert after[1]["reversed_by"] == after[0]["id"]
    assert list(DealEvent.objects.order_by("id").values_list("action", flat=True)) == [
        "logged",
        "submitted",
        "returned",
        "submitted",
        "approved",
        "cancelled",
    ]


def test_a_rejection_needs_a_reason(world: make.World) -> None:
    deal, mia = submitted(world, world.ana), client(world.mia)
    answer = mia.post(f"{DEALS}{deal.pk}/reject/")
    assert (answer.status_code, problems(answer)) == (409, [("reason_needed", "/reason")])
    done = mia.post(f"{DEALS}{deal.pk}/reject/", {"reason": "A duplicate of D-000001."})
    assert done.json()["state"] == "rejected"
    assert DealEvent.objects.filter(action="rejected", reason="A duplicate of D-000001.").count() == 1


def test_lists_are_filtered_by_state_period_source_owner_and_customer(world: make.World) -> None:
    other = make.customer()
    july = submitted(world, world.ana, close_date="2026-07-31")
    august = logged(world, world.bo, close_date="2026-08-01", customer=other.slug)
    mia = client(world.mia)
    assert ids(mia.get(DEALS)) == [august.pk, july.pk]
    assert ids(mia.get(f"{DEALS}?ordering=close_date")) == [july.pk, august.pk]
    for query, found in (
        ("state=submitted", [july]),
        ("state=submitted,draft", [august, july]),
        ("period=FY27-M01", [july]),
        ("period=FY27-Q1", [august, july]),
        ("period=FY26", []),
        (f"owner={world.bo.slug}", [august]),
        (f"customer={other.slug}", [august]),
        ("kind=renewal", []),
        ("source=parity", []),
    ):
        answer = mia.get(f"{DEALS}?{query}&count=true")
        assert ids(answer) == [deal.pk for deal in found], query
        assert answer.json()["total"] == len(found), query
    for query, code in (("state=won", "invalid_choice"), ("period=FY99", "invalid_choice")):
        answer = mia.get(f"{DEALS}?{query}")
        assert (answer.status_code, problems(answer)) == (400, [(code, query.split("=")[0])])
    unknown = mia.get(f"{DEALS}?stat=draft")
    assert (unknown.status_code, problems(unknown)) == (400, [("unknown_parameter", "stat")])


def test_pages_of_a_list_join_without_a_gap(world: make.World) -> None:
    made = [make.deal(owner=world.ana, customer=world.customer).pk for _ in range(5)]
    mia, found, address = client(world.mia), [], f"{DEALS}?page_size=2"
    while address:
        answer = mia.get(address)
        found += ids(answer)
        address = answer.json()["next"]
    assert found == made[::-1]


def test_an_unchanged_list_is_not_sent_again(world: make.World) -> None:
    deal = logged(world, world.ana)
    ana = client(world.ana)
    tag = ana.get(DEALS)["ETag"]
    assert ana.get(DEALS, headers={"If-None-Match": tag}).status_code == 304
    ana.post(f"{DEALS}{deal.pk}/submit/")
    assert ana.get(DEALS, headers={"If-None-Match": tag}).status_code == 200


def test_a_list_costs_the_same_queries_whatever_its_length(world: make.World) -> None:
    partner = make.user(role="partner", publisher=world.third.publisher)
    sale = make.Sale(
        owner=world.ana,
        state="submitted",
        lines=[make.Line(world.third), make.Line(world.house)],
        shares={world.ana: 600_000, world.bo: 400_000},
    )
    counted: list[list[int]] = []
    for more in (1, 5):
        make.deals([sale] * more)
        counted.append([])
        for who in (world.ana, world.mia, world.admin, partner):
            asking = client(who)
            with CaptureQueriesContext(connection) as queries:
                assert len(ids(asking.get(DEALS))) > 0
            counted[-1].append(len(queries))
    assert counted[0] == counted[1]
    assert max(counted[0]) <= 12


def test_a_consumption_deal_has_no_shares_of_its_own(world: make.World) -> None:
    make.ownership(customer=world.customer, rep=world.ana)
    deal = posted(world, world.ana, kind="consumption")
    assert client(world.ana).get(f"{DEALS}{deal.pk}/").json()["shares"] == []


def test_a_refund_names_a_deal_of_ones_own(world: make.World) -> None:
    theirs = approved(world, world.cy, world.zed)
    mine = approved(world, world.ana, world.mia)
    lines = [{"offering": world.third.slug, "amount": usd("-10.00")}]
    ana = client(world.ana)
    refused = ana.post(DEALS, deal_body(world, kind="refund", refunds=theirs.pk, lines=lines))
    nothing = ana.post(DEALS, deal_body(world, kind="refund", refunds=10**15, lines=lines))
    assert refused.status_code == nothing.status_code == 422
    assert problems(refused) == problems(nothing) == [("refund_needs_its_original", "/refunds")]
    refund = posted(world, world.ana, kind="refund", refunds=mine.pk, lines=lines)
    assert refund.latest_version is not None
    assert refund.latest_version.lines.get().amount_minor == -10_00
    assert refund.latest_version.lines.get().quantity is None
    assert Decimal(ana.get(f"{DEALS}{refund.pk}/").json()["amount"]["amount"]) == Decimal("-10.00")
