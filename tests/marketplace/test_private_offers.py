"""Private offers: their states, who does and sees what, the lock at acceptance, and the price that a deal then pins."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal, Stale
from marketplace.models import (
    CatalogChange,
    Customer,
    Offering,
    Plan,
    PriceRow,
    PriceVersion,
    PrivateOffer,
    PrivateOfferState,
)
from marketplace.selectors.answer import answer
from marketplace.selectors.prices import price_versions
from marketplace.selectors.private_offers import private_offers_for
from marketplace.selectors.resources import with_facts
from marketplace.services import private_offers as service
from marketplace.services.pricing import RowDraft
from marketplace.services.private_offers import OfferDraft
from tests import make

ON = date(2026, 8, 14)
DAY = timedelta(days=1)
AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
ROWS = (
    RowDraft("input-tokens", 1_000_000, "token", Decimal("2.40")),
    RowDraft("output-tokens", 1_000_000, "token", Decimal(12)),
)

pytestmark = pytest.mark.django_db


def drafted(
    *,
    plan: Plan | None = None,
    customer: Customer | None = None,
    start: date = ON,
    end: date | None = None,
    open_until: date = ON + 10 * DAY,
    by: User | None = None,
) -> PrivateOffer:
    make.currency()
    draft = OfferDraft(
        plan_id=(plan or make.plan()).pk,
        customer_id=(customer or make.customer()).pk,
        currency="USD",
        start=start,
        end=end,
        open_until=open_until,
        rows=ROWS,
    )
    return service.draft_offer(draft=draft, by=by or keeper(), at=AT)


def keeper() -> User:
    return make.user(role="catalog_manager")


def sent(**terms: Any) -> PrivateOffer:
    offer = drafted(**terms)
    return service.send_offer(private_offer_id=offer.pk, on=ON, by=keeper(), at=AT)


def accepted(**terms: Any) -> PrivateOffer:
    offer = sent(**terms)
    return service.accept_offer(
        private_offer_id=offer.pk, decided_by="Dana Buyer, CFO", on=ON, by=keeper(), at=AT
    )


def code(refusal: pytest.ExceptionInfo[Any]) -> tuple[str, str]:
    (problem,) = refusal.value.problems
    return problem.code, problem.pointer


# --- the states


def test_an_offer_goes_from_draft_to_acceptance_with_its_price_and_its_people() -> None:
    offer = accepted()
    assert (offer.state, offer.revision, offer.decided_by) == ("accepted", 3, "Dana Buyer, CFO")
    version = PriceVersion.objects.get(private_offer=offer)
    assert (version.effective, version.plan_id) == (offer.effective, offer.plan_id)
    assert {r.meter: r.amount for r in version.rows.all()} == {
        "input-tokens": Decimal("2.40"),
        "output-tokens": Decimal(12),
    }


@pytest.mark.parametrize("state", ["accepted", "declined", "expired", "withdrawn"])
def test_what_is_decided_takes_no_further_step(state: str) -> None:
    offer = sent()
    PrivateOffer.objects.filter(pk=offer.pk).update(state=state, decided_at=AT, decided_by="Dana")
    for step, more in (
        (service.send_offer, {"on": ON}),
        (service.accept_offer, {"on": ON, "decided_by": "Dana"}),
        (service.decline_offer, {"decided_by": "Dana"}),
        (service.withdraw_offer, {}),
    ):
        with pytest.raises(Conflict) as refused:
            step(private_offer_id=offer.pk, by=keeper(), at=AT, **more)
        assert code(refused)[0] == "no_such_step"
    assert PrivateOffer.objects.get(pk=offer.pk).state == state


def test_only_a_catalog_manager_makes_and_decides_them() -> None:
    offer = sent()
    for role in ("rep", "partner", "auditor", "manager"):
        with pytest.raises(Forbidden):
            service.accept_offer(
                private_offer_id=offer.pk, decided_by="Dana", on=ON, by=make.user(role=role), at=AT
            )
    assert PrivateOffer.objects.get(pk=offer.pk).state == "sent"


def test_nobody_decides_without_a_name_and_nobody_on_what_has_changed_since() -> None:
    offer = sent()
    with pytest.raises(Invalid) as refused:
        service.accept_offer(private_offer_id=offer.pk, decided_by=" ", on=ON, by=keeper(), at=AT)
    assert code(refused) == ("decided_by_missing", "/decided_by")
    with pytest.raises(Stale):
        service.withdraw_offer(private_offer_id=offer.pk, by=keeper(), at=AT, expected_revision=1)
    with pytest.raises(NotFound):
        service.withdraw_offer(private_offer_id=0, by=keeper(), at=AT)


def test_it_can_be_accepted_on_its_last_day_and_not_after_it() -> None:
    offer = sent(open_until=ON)
    with pytest.raises(Conflict) as refused:
        service.accept_offer(private_offer_id=offer.pk, decided_by="Dana", on=ON + DAY, by=keeper(), at=AT)
    assert code(refused)[0] == "expired"
    service.accept_offer(private_offer_id=offer.pk, decided_by="Dana", on=ON, by=keeper(), at=AT)


def test_what_cannot_be_sold_cannot_be_sent_or_accepted() -> None:
    plan = make.plan()
    offer = sent(plan=plan)
    Plan.objects.filter(pk=plan.pk).update(withdrawn_on=ON)
    with pytest.raises(Conflict) as refused:
        service.accept_offer(private_offer_id=offer.pk, decided_by="Dana", on=ON, by=keeper(), at=AT)
    assert code(refused) == ("plan_withdrawn", "/plan")
    gone = drafted(plan=make.plan(offering=make.offering(retires_on=ON)))
    with pytest.raises(Conflict) as refused:
        service.send_offer(private_offer_id=gone.pk, on=ON, by=keeper(), at=AT)
    assert code(refused) == ("retired", "/plan")


def test_every_wrong_term_is_named_at_once_and_nothing_is_kept() -> None:
    make.currency()
    with pytest.raises(Invalid) as refused:
        service.draft_offer(
            draft=OfferDraft(
                plan_id=0,
                customer_id=0,
                currency="XXX",
                start=ON,
                end=ON,
                open_until=ON,
                rows=[RowDraft("seats", 1, "seat-month", Decimal(-1))],
            ),
            by=keeper(),
            at=AT,
        )
    assert {(p.code, p.pointer) for p in refused.value.problems} == {
        ("unknown_plan", "/plan"),
        ("unknown_customer", "/customer"),
        ("unknown_currency", "/currency"),
        ("ends_before_it_starts", "/end"),
        ("open_after_its_end", "/open_until"),
        ("amount_out_of_range", "/rows/0/amount"),
    }
    assert not PrivateOffer.objects.exists()


def test_a_draft_can_be_revised_and_what_is_sent_cannot() -> None:
    offer = drafted()
    terms = OfferDraft(
        plan_id=offer.plan_id,
        customer_id=offer.customer_id,
        currency="USD",
        start=ON + DAY,
        end=ON + 60 * DAY,
        open_until=ON + DAY,
        rows=[RowDraft("input-tokens", 1_000_000, "token", Decimal(1))],
    )
    service.revise_offer(private_offer_id=offer.pk, draft=terms, by=keeper(), at=AT)
    version = PriceVersion.objects.get(private_offer=offer)
    assert [(r.meter, r.amount) for r in version.rows.all()] == [("input-tokens", Decimal(1))]
    assert (version.effective.lower, version.effective.upper) == (ON + DAY, ON + 60 * DAY)
    service.send_offer(private_offer_id=offer.pk, on=ON, by=keeper(), at=AT)
    with pytest.raises(Conflict) as refused:
        service.revise_offer(private_offer_id=offer.pk, draft=terms, by=keeper(), at=AT)
    assert code(refused)[0] == "not_a_draft"


def test_expiry_takes_what_is_due_once_and_tells_who_made_it() -> None:
    maker = keeper()
    due, open_still, draft = sent(open_until=ON, by=maker), sent(open_until=ON + DAY), drafted(open_until=ON)
    before = OutboxMessage.objects.count()
    assert service.expire_due(on=ON, at=AT) == 0
    assert service.expire_due(on=ON + DAY, at=AT) == 1
    assert service.expire_due(on=ON + DAY, at=AT) == 0
    states = {o.pk: o.state for o in PrivateOffer.objects.all()}
    assert states == {due.pk: "expired", open_still.pk: "sent", draft.pk: "draft"}
    (message,) = OutboxMessage.objects.order_by("id")[before:]
    assert message.payload["user_ids"] == [maker.pk]
    assert "expired without an answer" in message.payload["text"]


def test_a_private_offer_is_no_change_of_the_catalog() -> None:
    accepted()
    assert not OutboxMessage.objects.filter(topic="marketplace.changed").exists()
    assert not CatalogChange.objects.exists()


# --- what the database promises


def test_the_price_of_an_accepted_offer_is_locked() -> None:
    offer = accepted()
    for spoil in (
        lambda: PriceRow.objects.filter(version__private_offer=offer).update(amount=1),
        lambda: PriceVersion.objects.filter(private_offer=offer).update(source="other"),
        lambda: PriceRow.objects.filter(version__private_offer=offer).delete(),
        lambda: PriceRow.objects.create(
            version=offer.price, meter="seats", per=1, unit="seat-month", amount=1
        ),
        lambda: PrivateOffer.objects.filter(pk=offer.pk).update(state="withdrawn"),
        lambda: PrivateOffer.objects.filter(pk=offer.pk).update(customer=make.customer()),
    ):
        with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
            spoil()
    assert PriceRow.objects.filter(version__private_offer=offer, amount=Decimal("2.40")).count() == 1


def test_two_accepted_offers_of_one_customer_and_plan_never_overlap() -> None:
    plan, customer = make.plan(), make.customer()
    first = accepted(plan=plan, customer=customer, end=ON + 30 * DAY)
    second = sent(plan=plan, customer=customer, start=ON + 29 * DAY)
    with pytest.raises(Conflict) as refused:
        service.accept_offer(private_offer_id=second.pk, decided_by="Dana", on=ON, by=keeper(), at=AT)
    assert code(refused) == ("overlaps", "/start")
    assert first.reference in refused.value.problems[0].message
    accepted(plan=plan, customer=customer, start=ON + 30 * DAY)
    accepted(plan=plan, customer=make.customer())
    with pytest.raises(IntegrityError), transaction.atomic():
        PrivateOffer.objects.filter(pk=second.pk).update(state="accepted", decided_at=AT, decided_by="Dana")


@pytest.mark.django_db(transaction=True)
def test_of_two_overlapping_offers_accepted_at_once_one_is_refused_by_name() -> None:
    plan, customer, by = make.plan(), make.customer(), keeper()
    offers = [sent(plan=plan, customer=customer), sent(plan=plan, customer=customer)]
    together, outcomes = Barrier(2), []

    def accept(pk: int) -> None:
        together.wait()
        try:
            service.accept_offer(private_offer_id=pk, decided_by="Dana", on=ON, by=by, at=AT)
            outcomes.append("accepted")
        except Refusal as refused:
            outcomes.append(refused.problems[0].code)
        finally:
            connection.close()

    threads = [Thread(target=accept, args=[offer.pk]) for offer in offers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["accepted", "overlaps"]
    assert PrivateOffer.objects.filter(state=PrivateOfferState.ACCEPTED).count() == 1


# --- what it does to the answer and to list prices


def test_list_prices_never_hold_private_ones(browser_of: Callable[[User], Client]) -> None:
    offer = accepted()
    assert list(price_versions([offer.plan_id])) == []
    client = browser_of(make.user(role="catalog_manager"))
    slug = offer.plan.offering.slug
    assert client.get(f"/api/v1/offerings/{slug}/prices/").json()["results"] == []
    assert "2.40" not in client.get(f"/catalog/{slug}/prices/").content.decode()


def test_the_customers_answer_has_the_private_price_with_its_why_and_end() -> None:
    plan, customer = make.plan(), make.customer(name="Contoso")
    listed = make.price(plan=plan)
    offer = accepted(plan=plan, customer=customer, end=ON + 30 * DAY)
    read = with_facts(Offering.objects.filter(pk=plan.offering_id)).get()
    mine = answer(read, on=ON, customer=customer)
    (quoted,) = mine.quoted
    assert (quoted.version, quoted.private_offer) == (offer.price, offer)
    assert quoted.why == (
        f"Private offer {offer.reference}, accepted by Contoso on 14 Aug 2026: it takes the place of the list price."
    )
    assert [(e.of, e.day, e.private_offer_id) for e in mine.endings] == [("price", ON + 30 * DAY, offer.pk)]
    assert answer(read, on=ON + 30 * DAY, customer=customer).prices == [listed]
    assert answer(read, on=ON).prices == [listed]
    assert answer(read, on=ON, customer=make.customer()).prices == [listed]


def test_a_private_plan_is_part_of_the_answer_of_whom_it_was_offered_to() -> None:
    plan = make.plan(public=False)
    customer = make.customer()
    offer = accepted(plan=plan, customer=customer)
    read = with_facts(Offering.objects.filter(pk=plan.offering_id)).get()
    assert answer(read, on=ON, customer=customer).prices == [offer.price]
    asked = answer(read, on=ON, customer=customer, plan=read.plans.get(pk=plan.pk))
    assert "private_plan" not in [c.code for c in asked.warnings]
    assert answer(read, on=ON).prices == []


# --- who sees what


def test_who_sees_which_offers() -> None:
    plan = make.plan()
    draft, open_one = drafted(plan=plan), sent(plan=plan)
    own = make.user(role="partner", publisher=plan.offering.publisher)

    def seen(user: User) -> set[int]:
        return set(private_offers_for(user).values_list("pk", flat=True))

    assert seen(keeper()) == seen(make.user(role="auditor")) == {draft.pk, open_one.pk}
    assert seen(make.user(role="rep")) == seen(own) == {open_one.pk}
    assert seen(make.user(role="partner")) == set()
    assert seen(make.user(role="engineer")) == set()


def test_a_publisher_learns_the_terms_and_never_the_customer(browser_of: Callable[[User], Client]) -> None:
    plan = make.plan()
    customer = make.customer(name="Secretive Holdings", slug="secretive")
    offer = accepted(plan=plan, customer=customer)
    client = browser_of(make.user(role="partner", publisher=plan.offering.publisher))
    for path in (
        "/catalog/private-offers/",
        f"/catalog/private-offers/{offer.pk}/",
        f"/api/v1/private-offers/{offer.pk}/",
        "/api/v1/private-offers/",
    ):
        answered = client.get(path)
        assert answered.status_code == 200, path
        body = answered.content.decode().lower()
        assert "secretive" not in body, path
        assert "dana" not in body, path
    found = client.get("/catalog/private-offers/?q=secretive").content.decode()
    assert offer.reference not in found
    other = browser_of(make.user(role="partner"))
    assert other.get(f"/catalog/private-offers/{offer.pk}/").status_code == 404
    assert other.get(f"/api/v1/private-offers/{offer.pk}/").status_code == 404


def test_who_sees_no_customers_gets_no_private_price(browser_of: Callable[[User], Client]) -> None:
    plan = make.plan()
    make.price(plan=plan)
    offer = accepted(plan=plan)
    slug, customer = plan.offering.slug, offer.customer.slug
    for roles in (["partner"], ["engineer", "sourcing_lead"]):
        client = browser_of(make.user(roles=roles))
        assert client.get(f"/api/v1/offerings/{slug}/answer/?customer={customer}").status_code == 404
        costs = client.get(f"/api/v1/costs/?offerings={slug}&input_tokens=1&customer={customer}")
        assert costs.status_code == 404
        for path in (
            f"/catalog/{slug}/?customer={customer}",
            f"/catalog/calculator/?offerings={slug}&customer={customer}",
        ):
            page = client.get(path).content.decode()
            assert "$2.40" not in page, (roles, path)
            assert offer.reference not in page, (roles, path)


def test_lists_cost_the_same_for_few_and_for_many(browser_of: Callable[[User], Client]) -> None:
    client = browser_of(keeper())
    paths = ("/catalog/private-offers/", "/api/v1/private-offers/")
    sent()
    few = [_queries(client, path) for path in paths]
    for _ in range(4):
        sent()
    assert [_queries(client, path) for path in paths] == few


def _queries(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return len(queries)


# --- REST and the pages


def test_the_whole_way_over_rest(browser_of: Callable[[User], Client]) -> None:
    plan, customer = make.plan(), make.customer()
    make.currency()
    client = browser_of(keeper())
    body = {
        "offering": plan.offering.slug,
        "plan": plan.slug,
        "customer": customer.slug,
        "effective_from": "2026-09-01",
        "open_until": "2026-12-31",
        "rows": [{"meter": "input-tokens", "per": 1_000_000, "unit": "token", "amount": "2.50"}],
    }

    def post(path: str, sent: dict[str, Any] | None = None, **headers: str) -> Any:
        return client.post(
            f"/api/v1/private-offers/{path}", sent or {}, content_type="application/json", headers=headers
        )

    made = post("", body)
    assert made.status_code == 201, made.content
    pk = made.json()["id"]
    assert (made.json()["state"], made.json()["rows"][0]["price"]["amount"]) == ("draft", "2.50")
    assert post(f"{pk}/accept/", {"decided_by": "Dana"}).json()["errors"][0]["code"] == "no_such_step"
    was_sent = post(f"{pk}/send/", None, **{"If-Match": made["ETag"]})
    assert (was_sent.status_code, was_sent.json()["state"]) == (200, "sent")
    assert post(f"{pk}/withdraw/", {}, **{"If-Match": made["ETag"]}).status_code == 412
    assert post(f"{pk}/accept/", {}).status_code == 422
    assert post(f"{pk}/accept/", {"decided_by": "Dana"}).json()["state"] == "accepted"
    wrong = post("", {**body, "plan": "none", "customer": "nobody"})
    assert {(e["code"], e["pointer"]) for e in wrong.json()["errors"]} == {
        ("unknown_plan", "/plan"),
        ("unknown_customer", "/customer"),
    }
    rep = browser_of(make.user(role="rep"))
    assert rep.post("/api/v1/private-offers/", body, content_type="application/json").status_code == 403
    assert rep.get("/api/v1/private-offers/?state=accepted").json()["results"][0]["id"] == pk
    assert rep.get("/api/v1/private-offers/?state=draft").json()["results"] == []


def test_the_way_through_the_pages(browser_of: Callable[[User], Client]) -> None:
    plan = make.plan()
    make.customer(name="Fabrikam")
    make.price(plan=plan)
    client = browser_of(keeper())
    form = f"/catalog/private-offers/new/{plan.offering.slug}/{plan.slug}/"
    assert (
        plan.name
        in client.get(f"/catalog/private-offers/new/?offering={plan.offering.slug}").content.decode()
    )
    assert 'value="3"' in client.get(form).content.decode()
    wrong = client.post(form, {"customer": "Nobody", "start": "x", "open_until": ""})
    assert wrong.status_code == 422
    said = wrong.content.decode()
    for message in ("There is no such customer.", "Write a day as 2026-08-14.", "Choose a day."):
        assert message in said
    assert not PrivateOffer.objects.exists()
    made = client.post(
        form, {"customer": "fabrikam", "start": "2026-09-01", "open_until": "2026-12-31", "discount": "20"}
    )
    offer = PrivateOffer.objects.get()
    assert made["Location"] == f"/catalog/private-offers/{offer.pk}/"
    assert {r.meter: r.amount for r in offer.price.rows.all()} == {
        "input-tokens": Decimal("2.4"),
        "output-tokens": Decimal(12),
    }
    page = client.get(made["Location"]).content.decode()
    assert "\N{MINUS SIGN}20%" in page
    step = f"/catalog/private-offers/{offer.pk}"
    assert client.post(f"{step}/send/", {"revision": "1"}).status_code == 302
    stale = client.post(f"{step}/withdraw/", {"revision": "1"})
    assert stale.status_code == 409
    assert "Read it again" in stale.content.decode()
    assert client.post(f"{step}/accept/", {"decided_by": "Dana"}).status_code == 302
    assert PrivateOffer.objects.get().state == "accepted"
    rep = browser_of(make.user(role="rep"))
    assert rep.get(form).status_code == 404
    assert rep.post(f"{step}/withdraw/").status_code == 404
    assert rep.get(f"{step}/").status_code == 200


def test_an_offer_in_another_currency_starts_from_its_own_list(browser_of: Callable[[User], Client]) -> None:
    plan = make.plan()
    make.customer(name="Fabrikam")
    make.price(plan=plan)
    make.price(plan=plan, code="EUR", rows={"input-tokens": "2.75"})
    client = browser_of(keeper())
    form = f"/catalog/private-offers/new/{plan.offering.slug}/{plan.slug}/"
    terms = {"customer": "fabrikam", "start": "2026-09-01", "open_until": "2026-12-31", "currency": "EUR"}
    # What was typed while the dollars were shown is not taken for euros.
    shown = client.post(form, {**terms, "listed_in": "USD", "amount-input-tokens-0-0": "2.5"})
    assert shown.status_code == 422
    said = shown.content.decode()
    assert "The amounts below are now the list&#x27;s in EUR: look at them, then save." in said
    assert 'value="2.75"' in said
    assert not PrivateOffer.objects.exists()
    assert client.post(form, {**terms, "currency": "XXX", "listed_in": "USD"}).status_code == 422
    client.post(form, {**terms, "listed_in": "EUR", "amount-input-tokens-0-0": "2.2"})
    price = PrivateOffer.objects.get().price
    assert (price.currency_id, [row.amount for row in price.rows.all()]) == ("EUR", [Decimal("2.2")])
    again = client.get(f"/catalog/private-offers/{PrivateOffer.objects.get().pk}/edit/").content.decode()
    assert 'value="2.2"' in again
    assert '<option value="EUR" selected>' in again
