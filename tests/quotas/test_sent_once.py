"""A form that is sent twice from one showing of its page is done once, however close the two come, and says so."""

import re
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.messages import get_messages
from django.db import connections
from django.test import Client
from django.urls import reverse

from config import claims, clock, sent_once
from config.models import IdempotencyRecord
from quotas.models import Dispute
from quotas.services.disputes import DisputeDraft, open_dispute
from tests import make
from tests.make import AT, Line, World
from tests.quotas.api import credited_at_once, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    return make.world()


@pytest.fixture
def dispute(world: World) -> Dispute:
    (deal,) = credited_at_once(
        make.Sale(owner=world.ana, customer=world.customer, lines=[Line(world.house, 1_000_00)])
    )
    draft = DisputeDraft(rep_id=world.ana.pk, kind="split", text="The split is wrong.", deal_id=deal.pk)
    return open_dispute(draft=draft, by=make.login(world.ana), at=AT)


def browser(world: World) -> Client:
    """One that has to send the token of the page."""
    return signed_in(Client(enforce_csrf_checks=True), world.ana)


def form_of(client: Client, dispute: Dispute, text: str = "Any news?") -> tuple[str, dict[str, str]]:
    page = client.get(reverse("quotas:dispute", args=[dispute.pk])).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    return (
        reverse("quotas:dispute-act", args=[dispute.pk, "say"]),
        {"csrfmiddlewaretoken": token[1], "text": text},
    )


def send(client: Client, address: str, form: dict[str, str], **more: Any) -> Any:
    """As a browser sends a form without files."""
    return client.post(address, urlencode(form), content_type=sent_once.FORM, **more)


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_form_sent_again_leads_where_it_led_and_does_nothing(world: World, dispute: Dispute) -> None:
    client, before = browser(world), dispute.messages.count()
    address, form = form_of(client, dispute)
    first, again = send(client, address, form), send(client, address, form)
    assert (first.status_code, again.status_code) == (302, 302)
    assert again["Location"] == first["Location"]
    assert dispute.messages.count() == before + 1
    assert said(again)[-1] == "This was sent twice: it is done once."
    send(client, *form_of(client, dispute))
    assert dispute.messages.count() == before + 2, "the page was shown anew: it is meant"
    send(client, address, form | {"text": "And besides?"})
    assert dispute.messages.count() == before + 3, "something else was sent"


def test_two_that_come_at_once_are_done_once(world: World, dispute: Dispute) -> None:
    client, before = browser(world), dispute.messages.count()
    address, form = form_of(client, dispute)
    start, answers = threading.Barrier(4), []

    def press() -> None:
        mine = Client(enforce_csrf_checks=True)
        mine.cookies = client.cookies
        start.wait()
        try:
            answers.append(send(mine, address, form))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [answer.status_code for answer in answers] == [302] * 4
    assert len({answer["Location"] for answer in answers}) == 1
    assert dispute.messages.count() == before + 1


def test_what_was_refused_is_tried_anew(world: World, dispute: Dispute) -> None:
    client, before = browser(world), dispute.messages.count()
    address, form = form_of(client, dispute, text="")
    for _ in range(2):
        assert send(client, address, form).status_code == 422
    assert not IdempotencyRecord.objects.exists()
    failed = {"csrfmiddlewaretoken": form["csrfmiddlewaretoken"]}
    elsewhere = reverse("quotas:dispute-act", args=[dispute.pk, "no-such-thing"])
    assert send(client, elsewhere, failed).status_code == 404
    assert send(client, address, {"csrfmiddlewaretoken": "x" * 64, "text": "Forged"}).status_code == 403
    assert not IdempotencyRecord.objects.exists()
    assert dispute.messages.count() == before


def test_one_that_is_still_being_done_is_waited_for_and_one_whose_process_died_is_done(
    world: World, dispute: Dispute, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, before = browser(world), dispute.messages.count()
    address, form = form_of(client, dispute)
    send(client, address, form)
    IdempotencyRecord.objects.update(status=None, created_at=clock.now())
    monkeypatch.setattr(sent_once, "WAIT", 0.2)
    page = f"http://testserver{reverse('quotas:dispute', args=[dispute.pk])}"
    waits = send(client, address, form, headers={"referer": page})
    assert (waits.status_code, waits["Location"]) == (302, page)
    assert said(waits)[-1].startswith("What you sent is still being done")
    foreign = send(client, address, form, headers={"referer": "https://elsewhere.example/"})
    assert foreign["Location"] == "/"
    assert dispute.messages.count() == before + 1
    IdempotencyRecord.objects.update(created_at=clock.now() - claims.LEASE - timedelta(seconds=1))
    assert send(client, address, form).status_code == 302
    assert dispute.messages.count() == before + 2
