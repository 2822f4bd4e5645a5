"""Pages and REST of disputes, adjustments and numbers that moved; and what other readers of the ledger make of an entry without a deal."""

import csv
import io
import re
from collections.abc import Callable
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from quotas.crediting.invariants import broken
from quotas.models import Adjustment, CreditEntry, Deal, Dispute, PeriodState
from quotas.services import approving, booking
from quotas.services.disputes import DisputeDraft, open_dispute, say
from tests import make
from tests.make import AT, Line, World
from tests.quotas import api

pytestmark = pytest.mark.django_db
Log = Callable[[Any], Client]


@pytest.fixture
def world() -> World:
    return make.world()


def as_user(who: Any) -> Client:
    return api.signed_in(Client(), who)


def text(response: Any) -> str:
    body = re.sub(r"<(script|style|datalist).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def approved(world: World) -> Deal:
    (deal,) = api.credited_at_once(
        make.Sale(owner=world.ana, customer=world.customer, lines=[Line(world.house, 1_000_00)])
    )
    return deal


def rows_of(response: Any) -> list[dict[str, str]]:
    body = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(body)))


def test_every_reader_of_the_ledger_copes_with_an_entry_without_a_deal(world: World) -> None:
    deal = approved(world)
    alone = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=25_00)
    about = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=-10_00, deal=deal)
    entries = {e.adjustment_id: e for e in CreditEntry.objects.all()}
    admin = as_user(world.admin)

    ledger = text(admin.get(reverse("quotas:ledger")))
    assert f"{alone.reference} " in ledger
    assert f"{about.reference}, about {deal.reference}" in ledger
    of_deal = text(admin.get(reverse("quotas:ledger"), {"deal": deal.reference}))
    assert "−$10.00" in of_deal
    assert "+$25.00" not in of_deal
    found = rows_of(admin.get(reverse("quotas:ledger"), {"format": "csv"}))
    assert [(row["Adjustment"], row["Deal"], row["Amount"]) for row in found] == [
        (about.reference, deal.reference, "-10.00"),
        (alone.reference, "", "25.00"),
        ("", deal.reference, "1000.00"),
    ]

    board = text(admin.get(reverse("quotas:board", args=[world.team.slug])))
    assert f"Adjustment Ana · {alone.reference}" in board
    assert "Adjustment, Credit was missing" in board
    for entry in entries.values():
        url = reverse("quotas:credit-explanation", args=[entry.pk])
        for who in (world.ana, world.admin, world.mia):
            assert as_user(who).get(url).status_code == 200
        assert as_user(world.bo).get(url).status_code == 404
        drawer = as_user(world.ana).get(url, headers={"HX-Request": "true"})
        assert drawer.status_code == 200
    told = text(as_user(world.ana).get(reverse("quotas:credit-explanation", args=[entries[alone.pk].pk])))
    assert f"{alone.reference} gives $25.00 to Ana by hand: credit was missing." in told

    page = text(as_user(world.ana).get(reverse("quotas:deal", args=[deal.pk])))
    assert f"{about.reference} Ana, credit was missing" in page
    assert alone.reference not in page

    answer = api.client(world.ana).get("/api/v1/credits/").json()["results"]
    assert [(row["component"], row["deal"], row["rule"], row["adjustment"]) for row in answer[:2]] == [
        ("adjustment", None, None, about.pk),
        ("adjustment", None, None, alone.pk),
    ]
    why = api.client(world.ana).get(f"/api/v1/credits/{entries[alone.pk].pk}/explanation/").json()
    assert (why["holds"], why["rules"], why["pins"]["adjustment"]) == (True, [], alone.pk)
    assert why["evaluated"] == api.usd("25.00")
    found = api.client(world.admin).get("/api/v1/credits/?component=adjustment").json()["results"]
    assert len(found) == 2
    assert broken() == {}


def test_a_rep_disputes_a_credit_and_reads_how_it_was_adjusted(world: World) -> None:
    deal = approved(world)
    entry = CreditEntry.objects.get(deal=deal)
    ana, mia = as_user(world.ana), as_user(world.mia)
    form = ana.get(reverse("quotas:dispute-new"), {"entry": entry.pk})
    assert "+$1,000.00 AI bookings, entry" in text(form)
    wrong = ana.post(
        f"{reverse('quotas:dispute-new')}?entry={entry.pk}", {"rep": world.ana.slug, "kind": "split"}
    )
    assert (wrong.status_code, Dispute.objects.count()) == (422, 0)
    assert "Say what is wrong and why." in text(wrong)
    sent = {
        "rep": world.ana.slug,
        "kind": "wrong_amount",
        "claimed": "1,100",
        "text": "It was signed for 1,100.",
    }
    opened = ana.post(f"{reverse('quotas:dispute-new')}?entry={entry.pk}", sent, follow=True)
    dispute = Dispute.objects.get()
    assert dispute.claimed_minor == 1_100_00
    assert f"{dispute.reference} is open." in text(opened)

    address = reverse("quotas:dispute", args=[dispute.pk])
    assert "+$1,000.00" in text(mia.get(address))
    mia.post(reverse("quotas:dispute-act", args=[dispute.pk, "take"]), {"revision": "1"})
    stale = mia.post(
        reverse("quotas:dispute-act", args=[dispute.pk, "reject"]), {"revision": "1", "text": "No"}
    )
    assert (stale.status_code, Dispute.objects.get().state) == (422, "in_review")
    begun_anew = mia.get(reverse("quotas:dispute-act", args=[dispute.pk, "reject"]), {"do": "adjust"})
    assert (begun_anew.status_code, begun_anew.headers["Location"]) == (302, f"{address}?do=adjust")
    ask = mia.get(address, {"do": "adjust"})
    assert 'value="100.00"' in ask.content.decode()
    answer = {
        "text": "Right: the order form says so.",
        "adjustment-measure": world.bookings.slug,
        "adjustment-amount": "100",
        "adjustment-credit_date": "2026-08-14",
        "adjustment-reason_code": "wrong_amount",
        "adjustment-deal": deal.reference,
        "adjustment-note": "Order form of 14 August.",
    }
    act = reverse("quotas:dispute-act", args=[dispute.pk, "adjust"])
    bad = mia.post(act, {**answer, "adjustment-amount": "much"})
    assert (bad.status_code, Adjustment.objects.count()) == (422, 0)
    mia.post(act, answer)
    asked = Adjustment.objects.get()
    assert (asked.amount_minor, asked.dispute_id, asked.deal_id) == (100_00, dispute.pk, deal.pk)

    admin = as_user(world.admin)
    queue = text(admin.get(reverse("quotas:adjustments")))
    assert "Waits for you 1 to decide on" in queue
    done = admin.post(reverse("quotas:adjustment-act", args=[asked.pk, "approve"]), follow=True)
    assert f"{asked.reference} is posted in FY27-M02." in text(done)
    thread = text(ana.get(address))
    assert f"{asked.reference} was approved by {world.admin.name} and posted." in thread
    late = mia.post(reverse("quotas:dispute-act", args=[dispute.pk, "reject"]), {"text": "No"})
    assert "was accepted already by Mia" in text(late)


def test_what_was_withdrawn_is_not_said_to_be_answered(world: World) -> None:
    entry = CreditEntry.objects.get(deal=approved(world))
    asked = DisputeDraft(rep_id=world.ana.pk, kind="split", text="Half is mine", entry_id=entry.pk)
    dispute = open_dispute(draft=asked, by=make.login(world.ana), at=AT)
    ana = as_user(world.ana)
    ana.post(reverse("quotas:dispute-act", args=[dispute.pk, "withdraw"]), {"revision": "1"})
    shown = text(ana.get(reverse("quotas:dispute", args=[dispute.pk])))
    assert "It was withdrawn. If something is wrong after all, open another one." in shown
    for untrue in ("It was answered", "Answered", "Answer due"):
        assert untrue not in shown


def test_asking_says_where_it_goes_before_anything_is_asked_for(world: World) -> None:
    make.fiscal_year(states={1: PeriodState.CLOSED})
    admin = as_user(world.admin)
    sent = {
        "rep": world.ana.name,
        "measure": world.bookings.slug,
        "amount": "-12.50",
        "credit_date": "2026-07-20",
        "reason_code": "clawback",
        "note": "The customer never paid.",
    }
    look = admin.post(reverse("quotas:adjustment-new"), {**sent, "do": "check"})
    assert "FY27-M01 is closed. It would be posted in FY27-M02" in text(look)
    assert not Adjustment.objects.exists()
    far = admin.post(reverse("quotas:adjustment-new"), {**sent, "credit_date": "2025-07-02", "do": "ask"})
    assert "408 days ago. Confirm that you mean it." in text(far)
    unclear = admin.post(
        reverse("quotas:adjustment-new"), {**sent, "amount": "0", "rep": "Nobody", "do": "ask"}
    )
    assert (unclear.status_code, Adjustment.objects.count()) == (422, 0)
    admin.post(reverse("quotas:adjustment-new"), {**sent, "do": "ask"})
    made = Adjustment.objects.get()
    own = text(admin.get(reverse("quotas:adjustment", args=[made.pk])))
    assert "Another comp admin decides on it." in own
    assert "Approved now, it is posted in FY27-M02" in own
    refused = admin.post(reverse("quotas:adjustment-act", args=[made.pk, "approve"]))
    assert (refused.status_code, Adjustment.objects.get().state) == (422, "asked")
    assert "Another comp admin decides on what you asked for." in text(refused)


def test_who_may_not_see_it_finds_nothing(world: World) -> None:
    deal = approved(world)
    entry = CreditEntry.objects.get(deal=deal)
    dispute = open_dispute(
        draft=DisputeDraft(rep_id=world.ana.pk, kind="split", text="No", entry_id=entry.pk),
        by=make.login(world.ana),
        at=AT,
    )
    secret = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=-5_00, posted=False)
    addresses = [
        reverse("quotas:dispute", args=[dispute.pk]),
        reverse("quotas:dispute-new") + f"?entry={entry.pk}",
        reverse("quotas:dispute-new") + f"?rep={world.ana.slug}&period=FY27-M02",
        reverse("quotas:adjustment", args=[secret.pk]),
        reverse("quotas:adjustment-new"),
        f"/api/v1/disputes/{dispute.pk}/",
        f"/api/v1/adjustments/{secret.pk}/",
    ]
    for who in (world.bo, make.user(role="partner"), make.user(role="sourcing_lead")):
        client = as_user(who)
        assert {client.get(address).status_code for address in addresses} == {404}
        for action in ("say", "take", "accept", "reject", "adjust", "withdraw"):
            url = reverse("quotas:dispute-act", args=[dispute.pk, action])
            assert client.post(url, {"text": "Mine"}).status_code == 404
    assert as_user(world.ana).get(addresses[3]).status_code == 404  # asked for, not posted: not the rep's yet
    assert dispute.reference not in text(as_user(world.bo).get(reverse("quotas:disputes")))
    assert api.ids(api.client(world.bo).get("/api/v1/disputes/")) == []
    assert api.ids(api.client(world.mia).get("/api/v1/disputes/")) == [dispute.pk]
    assert api.ids(api.client(world.ana).get("/api/v1/adjustments/")) == []
    assert (Dispute.objects.get().state, Dispute.objects.get().messages.count()) == ("open", 0)


def test_lists_take_as_many_queries_for_many_as_for_one(world: World) -> None:
    deal = approved(world)

    def queries() -> list[int]:
        counts = []
        for name in ("disputes", "adjustments", "discrepancies"):
            for page in (reverse(f"quotas:{name}"), f"/api/v1/{name}/"):
                client = as_user(world.admin)
                with CaptureQueriesContext(connection) as seen:
                    assert client.get(page).status_code == 200
                counts.append(len(seen))
        return counts

    def one(kind: str, amount: int) -> None:
        draft = DisputeDraft(rep_id=world.ana.pk, kind=kind, text="No", deal_id=deal.pk)
        open_dispute(draft=draft, by=make.login(world.ana), at=AT)
        make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=amount, posted=False)

    one("split", 1_00)
    first = queries()
    one("owner", 2_00)
    one("period", 3_00)
    assert queries() == first


def test_disputes_stand_in_the_order_asked_for_on_the_page_and_in_its_file(world: World) -> None:
    first, second, third = (
        open_dispute(
            draft=DisputeDraft(rep_id=rep.pk, kind="split", text="No", period_id=world.year.month(1).pk),
            by=make.login(rep),
            at=AT + timedelta(hours=hours),
        ).pk
        for rep, hours in ((world.bo, 0), (world.ana, 1), (world.cy, 2))
    )
    say(dispute_id=first, text="One more thing", by=make.login(world.bo), at=AT + timedelta(days=1))
    admin, page = as_user(world.admin), reverse("quotas:disputes")

    def order(sort: str, **asked: str) -> list[int]:
        shown = admin.get(page, {"sort": sort, **asked}).content.decode()
        return [int(number) for number in re.findall(rf'<a href="{page}(\d+)/">', shown)]

    assert order("") == [first, second, third]
    assert order("", show="all") == [third, second, first]
    assert order("-due") == order("-opened") == [third, second, first]
    assert order("-said") == [first, third, second]
    assert order("rep", show="all") == [second, first, third]
    assert order("odd") == [first, second, third]
    shown = admin.get(page, {"sort": "-said"}).content.decode()
    assert re.findall(r'aria-sort="(?!none)(\w+)"', shown) == ["descending"]
    assert [row["Rep"] for row in rows_of(admin.get(page, {"sort": "said", "format": "csv"}))] == [
        "Ana",
        "Cy",
        "Bo",
    ]


def test_rest_opens_answers_and_adjusts_with_pointers_for_what_is_wrong(world: World) -> None:
    deal = approved(world)
    ana, admin = api.client(world.ana), api.client(world.admin)
    body = {
        "kind": "wrong_amount",
        "text": "1,100 was signed",
        "deal": deal.pk,
        "measure": world.bookings.slug,
    }
    bad = ana.post("/api/v1/disputes/", {**body, "claimed": "1100"}, format="json")
    assert api.problems(bad) == [("currency_missing", "/claimed")]
    made = ana.post("/api/v1/disputes/", {**body, "claimed": api.usd("1100.00")}, format="json")
    assert made.status_code == 201
    dispute = made.json()
    assert (dispute["claimed"], dispute["state"]) == (api.usd("1100.00"), "open")
    assert len(dispute["evidence_digest"]) == 64
    address = f"/api/v1/disputes/{dispute['id']}/"
    own = ana.post(f"{address}accept/", {"text": "Yes"}, format="json")
    assert (own.status_code, api.problems(own)[0][0]) == (403, "own_dispute")
    asked = {
        "rep": world.ana.slug,
        "measure": world.bookings.slug,
        "amount": api.usd("0.00"),
        "credit_date": "2026-08-14",
        "reason_code": "wrong_amount",
        "note": "Order form",
    }
    nothing = admin.post(f"{address}accept/", {"text": "Yes", "adjustment": asked}, format="json")
    assert api.problems(nothing)[0][0] == "amount_zero"
    done = admin.post(
        f"{address}accept/",
        {"text": "Yes", "adjustment": {**asked, "amount": api.usd("100.00")}},
        format="json",
    )
    assert done.json()["state"] == "accepted"
    (adjustment,) = done.json()["adjustments"]
    first = admin.post(f"/api/v1/adjustments/{adjustment['id']}/approve/", {}, format="json")
    assert (first.status_code, api.problems(first)[0][0]) == (403, "same_person")
    second = api.client(make.user(role="comp_admin"))
    posted = second.post(f"/api/v1/adjustments/{adjustment['id']}/approve/", {}, format="json")
    assert (posted.json()["state"], posted.json()["amount"]) == ("posted", api.usd("100.00"))
    undo = admin.post(
        f"/api/v1/adjustments/{adjustment['id']}/undo/", {"note": "After all not"}, format="json"
    )
    assert (undo.status_code, undo.json()["undoes"], undo.json()["state"]) == (201, adjustment["id"], "asked")
    unknown = admin.post("/api/v1/adjustments/", {**asked, "rep": "nobody"}, format="json")
    assert api.problems(unknown) == [("unknown_rep", "/rep")]


def test_the_inbox_says_what_moved_and_by_what_and_is_ticked_off(world: World) -> None:
    from config import outbox
    from config.models import OutboxMessage

    facts = make.draft(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, 100_00)],
        close_date=date(2026, 7, 3),
    )
    deal = booking.log_deal(draft=facts, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    make.fiscal_year(states={1: PeriodState.CLOSED})
    approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Customer withdrew")
    for pk in OutboxMessage.objects.filter(done_at=None).values_list("id", flat=True):
        outbox.carry_out(message_id=pk, at=AT)
    address = reverse("quotas:discrepancies")
    page = text(as_user(world.ana).get(address))
    assert "1 number of yours moved." in page
    assert f"$100.00 $0.00 −$100.00 The cancellation of {deal.reference}" in page
    assert "Nothing moved" in text(as_user(world.bo).get(address))
    assert [row["Change"] for row in rows_of(as_user(world.admin).get(address, {"format": "csv"}))] == [
        "-100.00"
    ]
    as_user(world.ana).post(reverse("quotas:discrepancies-seen"))
    assert "seen by Ana" in text(as_user(world.ana).get(address))
    (row,) = api.client(world.ana).get("/api/v1/discrepancies/").json()["results"]
    assert (row["shown"], row["now"]) == (api.usd("100.00"), api.usd("0.00"))
