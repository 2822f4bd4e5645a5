"""What is asked for because it was not found, and what becomes of it."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Notification, User
from config.models import OutboxMessage
from config.outbox import carry_out
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.models import OfferingRequest
from marketplace.services.requests import answer_request, ask_for_offering, decline_request
from tests import make
from tests.marketplace.conftest import AT

pytestmark = pytest.mark.django_db
SignIn = Callable[[User], Client]


def told(user: User) -> list[tuple[str, str]]:
    for message in OutboxMessage.objects.filter(done_at=None).order_by("id"):
        carry_out(message_id=message.pk, at=AT)
    return list(Notification.objects.filter(user=user).order_by("id").values_list("text", "url"))


def test_the_keepers_are_told_and_asking_again_is_the_same_request() -> None:
    keeper, rep = make.user(role="catalog_manager"), make.user(role="rep", name="Rita Rep")
    first = ask_for_offering(wanted=" A small  vision model", by=rep, at=AT, searched="search=vision")
    again = ask_for_offering(wanted="a small vision model", by=rep, at=AT)
    assert again == first
    assert OfferingRequest.objects.count() == 1
    assert told(keeper) == [
        ("Rita Rep asks for an offering: A small vision model.", "/catalog/requests/"),
    ]
    assert told(rep) == []


def test_an_answer_names_an_offering_that_the_asker_can_see() -> None:
    keeper, rep = make.user(role="catalog_manager"), make.user(role="rep")
    hidden, seen = make.offering(publication="draft"), make.offering(name="Nova", slug="nova")
    request = ask_for_offering(wanted="vision", by=rep, at=AT)
    for slug, code in (("nothing", "unknown_offering"), (hidden.slug, "not_seen_by_asker")):
        with pytest.raises(Invalid) as refused:
            answer_request(request_id=request.pk, offering=slug, by=keeper, at=AT)
        assert [(p.code, p.pointer) for p in refused.value.problems] == [(code, "/offering")]
    done = answer_request(request_id=request.pk, offering=seen.slug, by=keeper, at=AT)
    assert (done.state, done.offering, done.answered_by) == ("answered", seen, keeper)
    assert told(rep) == [("Your request for vision has been met: Nova is in the catalog.", "/catalog/nova/")]
    with pytest.raises(Conflict):
        decline_request(request_id=request.pk, reason="Too late", by=keeper, at=AT)


def test_no_is_said_with_a_reason_by_a_catalog_manager() -> None:
    keeper, rep = make.user(role="catalog_manager"), make.user(role="rep")
    request = ask_for_offering(wanted="vision", by=rep, at=AT)
    with pytest.raises(Forbidden):
        decline_request(request_id=request.pk, reason="No", by=rep, at=AT)
    with pytest.raises(Invalid):
        decline_request(request_id=request.pk, reason=" ", by=keeper, at=AT)
    with pytest.raises(NotFound):
        decline_request(request_id=request.pk + 1, reason="No", by=keeper, at=AT)
    request.refresh_from_db()
    assert request.state == "open"
    decline_request(request_id=request.pk, reason="Nobody makes one.", by=keeper, at=AT)
    assert told(rep)[0][0] == "Your request for vision was declined: Nobody makes one."


@pytest.mark.parametrize("role", ["partner", "engineer", None])
def test_who_may_not_know_of_customers_names_none_and_learns_of_none(
    browser_of: SignIn, role: str | None
) -> None:
    customer = make.customer(name="Helvetia")
    rep, outsider = make.user(role="rep"), make.user(role=role)
    assert ask_for_offering(wanted="x", by=rep, at=AT, customer="helvetia").customer == customer
    for name in ("Helvetia", "Nobody"):
        with pytest.raises(Invalid) as refused:
            ask_for_offering(wanted="x", by=outsider, at=AT, customer=name)
        assert refused.value.problems[0].code == "unknown_customer"
    for who, asked in ((rep, True), (outsider, False)):
        assert ('name="customer"' in browser_of(who).get("/catalog/requests/").content.decode()) is asked


def test_a_search_without_a_hit_leads_to_the_queue_and_back(browser_of: SignIn) -> None:
    make.offering(slug="nova", name="Nova")
    rep, keeper = make.user(role="rep", name="Rita Rep"), make.user(role="catalog_manager")
    asks = browser_of(rep)
    page = asks.get("/catalog/?search=holography").content.decode()
    assert "Nothing matches" in page
    assert 'value="holography"' in page
    sent = asks.post(
        "/catalog/requests/", {"wanted": "holography", "why": "A demo", "searched": "search=holography"}
    )
    assert sent.status_code == 302
    request = OfferingRequest.objects.get()
    assert "holography" in asks.get("/catalog/requests/").content.decode()
    answers = browser_of(keeper)
    queue = answers.get("/catalog/requests/").content.decode()
    assert "Rita Rep" in queue
    wrong = answers.post(f"/catalog/requests/{request.pk}/", {"offering": "nothing", "note": "Kept"})
    assert wrong.status_code == 422
    assert "There is no offering with this SKU." in wrong.content.decode()
    assert "Kept" in wrong.content.decode()
    assert answers.post(f"/catalog/requests/{request.pk}/", {"offering": "nova"}).status_code == 302
    assert "/catalog/nova/" in asks.get("/catalog/requests/?state=answered").content.decode()


def test_who_asked_for_what_is_seen_by_the_asker_and_the_keepers_only(browser_of: SignIn) -> None:
    request = ask_for_offering(wanted="holography", by=make.user(role="rep"), at=AT)
    for role, seen in (("rep", False), ("partner", False), ("auditor", True), ("catalog_manager", True)):
        client = browser_of(make.user(role=role))
        assert ("holography" in client.get("/catalog/requests/").content.decode()) is seen
        answer = client.post(f"/catalog/requests/{request.pk}/", {"decline": "1", "reason": "x"})
        assert answer.status_code == {"catalog_manager": 302, "auditor": 422}.get(role, 404)


def test_what_cannot_be_asked_keeps_the_entries(browser_of: SignIn) -> None:
    client = browser_of(make.user(role="rep"))
    answer = client.post("/catalog/requests/", {"wanted": "x", "why": "Because", "customer": "Nobody"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "There is no customer of that name." in page
    assert "Because" in page
    assert not OfferingRequest.objects.exists()
