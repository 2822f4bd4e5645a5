"""The pages of amendments, partial cancellation, refunds and usage; what is shown to whom, and what a click does."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from quotas.models import CreditEntry, Deal, DealKind, DealState
from quotas.services import approving, booking
from quotas.services.consumption import UsageRow, record_usage
from tests import make
from tests.quotas import selling

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


@pytest.fixture
def world() -> make.World:
    return make.world()


def page_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def approved(world: make.World, **changes: Any) -> Deal:
    asked: dict[str, Any] = {
        "owner": world.ana,
        "customer": world.customer,
        "lines": [make.Line(world.house, 100_00), make.Line(world.third, 50_00)],
        "shares": {world.ana: 700_000, world.bo: 300_000},
    }
    return selling.credited(leader=world.mia, at=AT, **{**asked, **changes})


def amended(world: make.World, deal: Deal) -> Deal:
    """Ana asks for 120.00 of its first line, where it was 100.00."""
    was = booking.draft_of(deal)
    lines = (replace(was.lines[0], amount_minor=120_00), *was.lines[1:])
    return booking.amend_deal(
        deal_id=deal.pk,
        draft=replace(was, lines=lines),
        by=make.login(world.ana),
        at=AT,
        reason="They ordered more",
    )


def form_of(world: make.World, deal: Deal, **changes: str) -> dict[str, str]:
    return {
        "kind": "new_business",
        "close_date": "2026-08-14",
        "currency": "USD",
        "title": "",
        "lines": "2",
        "lines-0-offering": world.house.name,
        "lines-0-amount": "120.00",
        "lines-0-line_no": "1",
        "lines-1-offering": world.third.name,
        "lines-1-amount": "50.00",
        "lines-1-line_no": "2",
        "shares": "2",
        "shares-0-rep": world.ana.name,
        "shares-0-percent": "70",
        "shares-1-rep": world.bo.name,
        "shares-1-percent": "30",
        "reason": "They ordered more",
        "revision": str(deal.revision),
        "do": "amend",
        **changes,
    }


# --- amendments -------------------------------------------------------------------------------------------


def test_an_amendment_is_proposed_reviewed_and_approved_in_the_browser(world: make.World) -> None:
    deal = approved(world)
    ana, mia = page_of(make.login(world.ana)), page_of(make.login(world.mia))
    at = f"/quotas/deals/{deal.pk}/"
    assert f"{at}amend/" in ana.get(at).content.decode()
    form = ana.get(f"{at}amend/").content.decode()
    assert 'name="lines-0-line_no" value="1"' in form
    assert 'name="customer"' not in form
    done = ana.post(f"{at}amend/", form_of(world, deal), follow=True)
    assert "waits for approval" in done.content.decode()
    queue = mia.get("/quotas/approvals/").content.decode()
    assert "Amendment" in queue
    assert "+$20" in queue
    shown = mia.get(at).content.decode()
    for text in ("An amendment waits", "They ordered more", "$120.00", "Approve the amendment", "+$14.00"):
        assert text in shown
    deal.refresh_from_db()
    told = mia.post(f"{at}approve/", {"revision": str(deal.revision)}, follow=True).content.decode()
    assert "the difference in credit is posted" in told
    assert sum(e.amount_minor for e in CreditEntry.objects.filter(deal=deal)) == 170_00
    assert "Amendment approved" in told
    assert "+$20.00" in told


def test_a_colleagues_part_of_an_amendment_is_not_shown(world: make.World) -> None:
    deal = amended(world, approved(world))
    shown = page_of(make.login(world.bo)).get(f"/quotas/deals/{deal.pk}/").content.decode()
    assert "An amendment waits" in shown
    assert "+$6.00" in shown  # Bo's own 30 % of 20.00
    assert "+$14.00" not in shown
    assert "Approve the amendment" not in shown


def test_an_amendment_that_is_wrong_keeps_what_was_entered(world: make.World) -> None:
    deal = approved(world)
    ana, at = page_of(make.login(world.ana)), f"/quotas/deals/{deal.pk}/amend/"
    nameless = ana.post(at, form_of(world, deal, reason=""))
    assert nameless.status_code == 422
    assert "Say why" in nameless.content.decode()
    assert 'value="120.00"' in nameless.content.decode()
    stale = ana.post(at, form_of(world, deal, revision="1"))
    assert stale.status_code == 422
    assert "changed since you read it" in stale.content.decode()
    same = ana.post(at, form_of(world, deal, **{"lines-0-amount": "100.00"}))
    assert "says already" in same.content.decode()
    more = ana.post(at, form_of(world, deal, do="add-line")).content.decode()
    assert 'name="lines-2-offering"' in more
    assert Deal.objects.get(pk=deal.pk).amended_at is None


def test_the_credit_of_an_amendment_is_shown_while_it_is_typed(world: make.World) -> None:
    deal = approved(world)
    sent = {**form_of(world, deal), "deal": str(deal.pk), "amends": "1"}
    shown = page_of(make.login(world.ana)).post("/quotas/deals/estimate/", sent).content.decode()
    assert "Credit once it is approved" in shown
    assert "$150.00" in shown
    assert "$170.00" in shown


def test_only_approved_deals_of_ones_own_have_the_form(world: make.World) -> None:
    deal = approved(world)
    assert page_of(make.login(world.zed)).get(f"/quotas/deals/{deal.pk}/amend/").status_code == 404
    assert page_of(make.login(world.bo)).get(f"/quotas/deals/{deal.pk}/amend/").status_code == 404
    assert page_of(world.auditor).get(f"/quotas/deals/{deal.pk}/amend/").status_code == 404
    waiting = make.deal(owner=world.ana)
    sent_back = page_of(make.login(world.ana)).get(f"/quotas/deals/{waiting.pk}/amend/")
    assert (sent_back.status_code, sent_back["Location"]) == (302, f"/quotas/deals/{waiting.pk}/")


def test_whoever_proposed_it_withdraws_it(world: make.World) -> None:
    deal = amended(world, approved(world))
    ana, at = page_of(make.login(world.ana)), f"/quotas/deals/{deal.pk}/"
    assert "Withdraw the amendment" in ana.get(at).content.decode()
    shown = ana.post(f"{at}withdraw/", follow=True).content.decode()
    assert "Amendment withdrawn" in shown
    assert Deal.objects.get(pk=deal.pk).amended_at is None


def test_the_list_finds_amendments_and_the_queue_costs_the_same_for_many(world: make.World) -> None:
    costs = []
    for n in (1, 2):
        for _ in range(n):
            amended(world, approved(world))
        mia = page_of(make.login(world.mia))
        with CaptureQueriesContext(connection) as captured:
            assert mia.get("/quotas/approvals/").status_code == 200
        with CaptureQueriesContext(connection) as listed:
            assert "Amendment waits" in mia.get("/quotas/deals/?state=amended").content.decode()
        costs.append((len(captured), len(listed)))
    assert costs[0] == costs[1]


# --- a part, a refund, a hold -----------------------------------------------------------------------------


def test_a_reps_deals_are_those_that_credit_them_with_their_own_part_of_it(world: make.World) -> None:
    deal = approved(world)
    was = booking.draft_of(deal)
    booking.amend_deal(
        deal_id=deal.pk,
        draft=replace(was, shares=(replace(was.shares[0], ppm=1_000_000),)),
        by=make.login(world.ana),
        at=AT,
        reason="It was hers alone",
    )
    mia, bo = page_of(make.login(world.mia)), page_of(make.login(world.bo))
    shown = " ".join(mia.get("/quotas/deals/", {"rep": world.bo.slug}).content.decode().split())
    assert deal.reference in shown
    assert "Credit of Bo alone" in shown
    assert re.findall(r'<td class="r p2 k5">(.*?)</td>', shown) == ["$45"]
    assert "$150<" in shown  # what it was sold for
    file = mia.get("/quotas/deals/", {"rep": world.bo.slug, "format": "csv"}).getvalue().decode()
    assert ("45.00" in file, file.count("150.00")) == (True, 1)
    assert deal.reference in bo.get("/quotas/deals/", {"whose": "mine"}).content.decode()
    empty = mia.get("/quotas/deals/", {"rep": world.cy.slug}).content.decode()
    assert "Let go of a filter" in empty


def test_a_part_is_cancelled_from_the_deals_page(world: make.World) -> None:
    deal = approved(world)
    mia, at = page_of(make.login(world.mia)), f"/quotas/deals/{deal.pk}/"
    form = mia.get(f"{at}?do=cancel-part").content.decode()
    assert 'name="remaining-1"' in form
    sent = {"revision": str(deal.revision), "remaining-1": "40.00", "remaining-2": "50.00", "reason": "Fewer"}
    wrong = mia.post(f"{at}cancel-part/", {**sent, "remaining-1": "4O"})
    assert wrong.status_code == 422
    assert "Line 1: enter what is left" in wrong.content.decode()
    assert 'value="4O"' in wrong.content.decode()
    more = mia.post(f"{at}cancel-part/", {**sent, "remaining-1": "100.01"})
    assert "between nothing and $100.00" in more.content.decode()
    done = mia.post(f"{at}cancel-part/", sent, follow=True).content.decode()
    assert "A part of" in done
    assert "Partly cancelled" in done
    assert "−$60.00" in done
    assert sum(e.amount_minor for e in CreditEntry.objects.filter(deal=deal)) == 90_00
    assert page_of(make.login(world.ana)).post(f"{at}cancel-part/", sent).status_code == 302
    assert Deal.objects.get(pk=deal.pk).in_force.number == 2


def test_a_renewal_starts_from_what_ends_for_whom_may_see_that(world: make.World) -> None:
    ending = make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[make.Line(world.house, 120_00, term_months=12), make.Line(world.third, 30_00)],
        close_date=date(2025, 9, 1),
        state=DealState.APPROVED,
        title="Seats",
    )
    address = f"/quotas/deals/new/?renews={ending.pk}"
    ana = page_of(make.login(world.ana))
    first = make.ownership(customer=world.customer, rep=world.ana)
    assert address in ana.get("/").content.decode(), "what to do next leads there"
    shown = ana.get(address)
    draft = shown.context["entered"].draft(strict=True)
    assert (draft.kind, draft.customer_id, draft.owner_id, draft.close_date) == (
        *(DealKind.RENEWAL, world.customer.pk, world.ana.pk, make.TODAY),
    )
    assert [(x.offering_id, x.amount_minor, x.term_months) for x in draft.lines] == [
        (world.house.pk, 120_00, 12)
    ]
    assert ending.reference in shown.content.decode()
    assert Deal.objects.count() == 1, "nothing is saved until it is sent"
    assert page_of(make.login(world.zed)).get(address).status_code == 404
    assert ana.get("/quotas/deals/new/?renews=999999").status_code == 404

    # A manager logs it for whoever has the account now.
    first.delete()
    make.ownership(customer=world.customer, rep=world.bo)
    theirs = page_of(make.login(world.mia)).get(address).context["entered"].draft(strict=True)
    assert (theirs.owner_id, [share.rep_id for share in theirs.shares]) == (world.bo.pk, [world.bo.pk])


def test_a_refund_starts_from_its_original_and_is_shown_there(world: make.World) -> None:
    deal = approved(world)
    ana = page_of(make.login(world.ana))
    form = ana.get(f"/quotas/deals/new/?refunds={deal.pk}").content.decode()
    assert f'value="{deal.reference}"' in form
    assert 'value="-100.00"' in form
    assert page_of(make.login(world.zed)).get(f"/quotas/deals/new/?refunds={deal.pk}").status_code == 404
    back = make.deal(
        owner=world.ana,
        customer=world.customer,
        kind="refund",
        refunds=deal,
        lines=[make.Line(world.house, -10_00)],
        state=DealState.SUBMITTED,
    )
    shown = ana.get(f"/quotas/deals/{deal.pk}/").content.decode()
    assert back.reference in shown
    assert "−$10.00" in shown


def test_the_remark_stands_beside_a_returned_deal_until_it_is_handed_in_again(world: make.World) -> None:
    deal = selling.handed_in(owner=world.ana, customer=world.customer, lines=[make.Line(world.house, 100_00)])
    mia, ana = page_of(make.login(world.mia)), page_of(make.login(world.ana))
    act = f"/quotas/deals/{deal.pk}/return/"
    silent = mia.post(act, {"reason": " "})
    assert silent.status_code == 422
    assert mia.get(act, {"do": "reject"}).headers["Location"] == f"/quotas/deals/{deal.pk}/?do=reject"
    mia.post(act, {"reason": "Whose order is it?"})
    remark = "Mia: </b>Whose order is it?"
    page, form = f"/quotas/deals/{deal.pk}/", f"/quotas/deals/{deal.pk}/edit/"
    assert remark in ana.get(form).content.decode()
    deal.refresh_from_db()
    booking.edit_deal(deal_id=deal.pk, draft=booking.draft_of(deal), by=make.login(world.ana), at=AT)
    assert remark in ana.get(page).content.decode()
    assert remark in ana.get(form).content.decode()
    ana.post(f"/quotas/deals/{deal.pk}/submit/", {})
    assert remark not in ana.get(page).content.decode()


def test_a_colleagues_deal_that_looks_the_same_is_named_and_nothing_leads_to_it(world: make.World) -> None:
    sold: dict[str, Any] = {"customer": world.customer, "lines": [make.Line(world.house, 100_00)]}
    first = selling.handed_in(owner=world.bo, **sold)
    same = selling.handed_in(owner=world.ana, **sold)
    ana, mia = page_of(make.login(world.ana)), page_of(make.login(world.mia))
    path, link = f"/quotas/deals/{same.pk}/", f'href="/quotas/deals/{first.pk}/"'
    entered = form_of(world, same, lines="1", shares="1", customer=world.customer.name)
    entered |= {"lines-0-amount": "100.00", "shares-0-percent": "100"}
    typed: dict[str, Any] = {
        "path": "/quotas/deals/estimate/",
        "data": entered,
        "headers": {"HX-Request": "true"},
    }
    for shown in (ana.get(path), ana.post(**typed)):
        assert f"{first.reference}, which is not yours to open, has the same" in shown.content.decode()
        assert link not in shown.content.decode()
    for shown in (mia.get(path), mia.post(**{**typed, "data": entered | {"owner": world.ana.name}})):
        assert link in shown.content.decode()


def test_a_held_deal_says_who_holds_it_and_why(world: make.World) -> None:
    deal = approved(world)
    approving.hold_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Order form is missing.")
    shown = page_of(make.login(world.ana)).get(f"/quotas/deals/{deal.pk}/").content.decode()
    assert f"Held by {world.admin.name}" in shown
    assert "Order form is missing." in shown


# --- usage ------------------------------------------------------------------------------------------------


def used(world: make.World, **changes: Any) -> UsageRow:
    asked = {
        "customer_id": world.customer.pk,
        "offering_id": world.house.pk,
        "month": date(2026, 7, 1),
        "currency": "USD",
        "consumed_minor": 100_00,
    }
    return UsageRow(**{**asked, **changes})


def test_usage_shows_estimates_bills_and_whose_account_it_was(world: make.World) -> None:
    other = make.customer(name="Far away")
    make.ownership(customer=world.customer, rep=world.ana)
    make.ownership(customer=other, rep=world.cy)
    rows = [used(world, billed_minor=98_00), used(world, customer_id=other.pk)]
    record_usage(rows=rows, source="metering", by=world.admin, at=AT)
    everything = page_of(world.admin).get("/quotas/usage/").content.decode()
    for text in ("$98.00", "true-up −$2.00", "Estimate", "Far away", "Ana", "Cy", "Record a file"):
        assert text in everything
    mine = page_of(make.login(world.mia)).get("/quotas/usage/").content.decode()
    assert world.customer.name in mine
    assert "Far away" not in mine
    assert "Record a file" not in mine
    billed = page_of(world.admin).get("/quotas/usage/?billed=no&month=FY27-M01").content.decode()
    assert "Far away" in billed
    assert "true-up" not in billed
    assert page_of(world.admin).get("/quotas/usage/?month=nonsense").status_code == 404
    assert page_of(make.user(role=Role.CATALOG_MANAGER)).get("/quotas/usage/").status_code == 404


def test_a_deal_of_consumption_is_worth_what_was_billed_once_that_is_known(world: make.World) -> None:
    make.ownership(customer=world.customer, rep=world.ana)
    record_usage(rows=[used(world, billed_minor=98_00)], source="metering", by=world.admin, at=AT)
    client = page_of(world.admin)
    assert "$98" in client.get("/quotas/deals/").content.decode()
    (row,) = [json.loads(line) for line in client.get("/quotas/deals/?format=jsonl").getvalue().splitlines()]
    assert row["value"] == {"amount": "98.00", "currency": "USD"}
    (line,) = client.get("/api/v1/deals/").json()["results"][0]["lines"]
    assert (line["amount"]["amount"], line["billed"]["amount"]) == ("100.00", "98.00")


def test_a_file_is_checked_recorded_and_refused_with_its_lines(world: make.World) -> None:
    make.ownership(customer=world.customer, rep=world.ana)
    admin = page_of(world.admin)

    def send(text: str, do: str = "record", who: Client | None = None) -> Any:
        file = SimpleUploadedFile("july.csv", text.encode(), content_type="text/csv")
        return (who or admin).post(
            "/quotas/usage/record/", {"file": file, "source": "metering", "do": do}, follow=True
        )

    head = "month,customer,offering,currency,consumed\n"
    good = f"2026-07,{world.customer.slug},{world.house.slug},USD,12.50\n"
    assert "Rows: 1 new" in send(head + good, "check").content.decode()
    assert not Deal.objects.exists()
    wrong = send(f"{head}{good}2026-07,nobody,{world.house.slug},USD,1\n")
    assert wrong.status_code == 422
    assert "There is no such customer." in wrong.content.decode()
    assert not Deal.objects.exists()
    assert "Recorded: 1 new" in send(head + good).content.decode()
    assert "0 new, 0 changed, 1 unchanged" in send(head + good).content.decode()
    assert send(head + good, who=page_of(make.login(world.mia))).status_code == 404
    assert "Choose a CSV file first" in admin.post("/quotas/usage/record/", {"do": "record"}).content.decode()
    assert Deal.objects.count() == 1


def test_a_rep_opens_usage_of_an_account_that_became_theirs_later(world: make.World) -> None:
    owned = make.ownership(customer=world.customer, rep=world.bo)
    record_usage(rows=[used(world)], source="metering", by=world.admin, at=AT)
    deal = Deal.objects.get()
    ana = page_of(make.login(world.ana))
    assert ana.get(f"/quotas/deals/{deal.pk}/").status_code == 404
    owned.superseded_at = AT
    owned.save()
    make.ownership(customer=world.customer, rep=world.ana)
    assert ana.get(f"/quotas/deals/{deal.pk}/").status_code == 200
