"""The queue: why each deal is in it, its page, REST, and the reminders of what waits too long."""

import re
from datetime import date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Notification, Role, User
from config import clock, mailing, outbox
from quotas.models import Deal, DealState, Delegation, StraightThroughPolicy
from quotas.selectors.approval_queue import (
    Asked,
    Why,
    business_days,
    due_before,
    queue_of,
    taken_by_policies,
)
from quotas.services import approving, booking
from quotas.services.delegating import delegate, set_limit
from quotas.services.reminding import Reminded, remind
from quotas.views import approvals as pages
from tests import make
from tests.make import AT, TODAY, Line, World
from tests.quotas import selling
from tests.quotas.api import client, problems

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world(quotas=False)


def submitted(
    world: World, minor: int = 1_000_00, *, owner: Any = None, at: datetime = AT, **facts: Any
) -> Deal:
    return selling.handed_in(
        owner=owner or world.ana, customer=world.customer, lines=[Line(world.third, minor)], at=at, **facts
    )


def person(rep: Any) -> User:
    return User.objects.get(pk=rep.pk if isinstance(rep, User) else rep.user_id)


def limit(world: World, minor: int = 5_000_00) -> None:
    set_limit(amount_minor=minor, currency="USD", starts=TODAY, reason="Two", by=world.admin, at=AT)


def stand_in(world: World) -> Delegation:
    return delegate(
        of_id=person(world.mia).pk,
        to_id=person(world.zed).pk,
        starts=TODAY,
        ends=TODAY + timedelta(days=30),
        reason="Annual leave",
        by=person(world.mia),
        at=AT,
    )


def text(response: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def as_user(rep: Any) -> Client:
    found = Client()
    found.force_login(person(rep))
    return found


# --- why it waits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        (date(2026, 8, 14), date(2026, 8, 14), 0),
        (date(2026, 8, 14), date(2026, 8, 16), 0),  # Friday to Sunday
        (date(2026, 8, 14), date(2026, 8, 17), 1),
        (date(2026, 8, 12), date(2026, 8, 14), 2),
        (date(2026, 8, 3), date(2026, 8, 31), 20),
        (date(2026, 8, 15), date(2026, 8, 29), 10),
        (date(2026, 8, 14), date(2026, 8, 1), 0),
    ],
)
def test_business_days(since: date, until: date, days: int) -> None:
    assert business_days(since, until) == days
    for after in range(6 if since <= until else 0):
        assert (clock.first_moment(since) < due_before(until, after)) == (days >= after)


def test_every_deal_says_why_it_waits_for_a_person(world: World) -> None:
    policy = StraightThroughPolicy.objects.create(
        name="CRM",
        version=1,
        sources=["crm"],
        currency=make.currency(),
        most_minor=2_000_00,
        late_after_days=10,
        drafted_by=world.admin,
        drafted_at=AT,
    )
    StraightThroughPolicy.objects.filter(pk=policy.pk).update(published_by=world.auditor, published_at=AT)
    limit(world)
    plain = submitted(world)
    large = submitted(world, 9_000_00)
    second = submitted(world, 9_000_01)
    split = submitted(world, shares={world.ana: 500_000, world.bo: 500_000})
    late = submitted(world, close_date=TODAY - timedelta(days=11))
    crm = submitted(world, 3_000_00)
    Deal.objects.filter(pk=crm.pk).update(source="crm")
    trusted = submitted(world)
    Deal.objects.filter(pk=trusted.pk).update(source="CRM")
    approved = submitted(world)
    approving.approve_deal(deal_id=approved.pk, by=person(world.mia), at=AT)
    draft = make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.third, 2_00)])
    booking.amend_deal(deal_id=approved.pk, draft=draft, by=make.login(world.ana), at=AT, reason="Less")
    refund = submitted(world, -1_00, kind="refund", refunds=approved)
    approving.approve_deal(deal_id=second.pk, by=person(world.mia), at=AT)

    def why(rep: Any) -> dict[int, set[str]]:
        queue = queue_of(person(rep), at=AT, due_after=2)
        return {row.deal.pk: {str(each) for each in row.why} - {Why.NO_POLICY} for row in queue.rows}

    assert why(world.mia) == {
        plain.pk: set(),
        large.pk: {"large"},
        split.pk: {"split"},
        late.pk: {"late"},
        crm.pk: {"policy"},
        trusted.pk: set(),
        approved.pk: {"amendment"},
        refund.pk: {"refund"},
    }
    assert why(world.rex) == {second.pk: {"second"}}
    (row,) = queue_of(person(world.rex), at=AT, due_after=2).rows
    assert row.first == "Mia"
    only = queue_of(person(world.mia), at=AT, due_after=2, asked=Asked(why="split"))
    assert ([row.deal.pk for row in only.rows], only.total, only.counts[Why.LARGE]) == ([split.pk], 8, 1)
    least = queue_of(person(world.mia), at=AT, due_after=2, asked=Asked(least=3_000))
    assert {row.deal.pk for row in least.rows} == {large.pk, crm.pk}
    Deal.objects.filter(pk=approved.pk).update(approved_under=policy, amended_by=None, amended_at=None)
    assert taken_by_policies(person(world.mia), at=AT) == (1, 0)


def test_a_page_of_the_queue_is_in_the_order_asked_for_and_costs_what_its_rows_cost(world: World) -> None:
    make.fx(code="EUR", rate="2")
    make.fx(code="JPY", rate="0.001")
    ten = submitted(world, 10_00, close_date=TODAY - timedelta(days=1))
    six = submitted(world, 6_00, owner=world.bo, code="EUR", at=AT - timedelta(hours=1))
    yen = submitted(world, 7_000, code="JPY", close_date=TODAY - timedelta(days=2))
    mia = person(world.mia)

    def order(name: str, first: int = 0, most: int = 50) -> list[int]:
        queue = queue_of(mia, at=AT, due_after=2, order=name, first=first, most=most)
        return [row.deal.pk for row in queue.rows]

    assert order("-waits") == [six.pk, ten.pk, yen.pk]
    assert order("waits") == [yen.pk, ten.pk, six.pk]
    assert order("-value") == [six.pk, ten.pk, yen.pk]  # 12, 10 and 7 dollars
    assert order("value") == [yen.pk, ten.pk, six.pk]
    assert order("closed") == [yen.pk, ten.pk, six.pk]
    assert order("owner") == [ten.pk, yen.pk, six.pk]
    assert order("-waits", first=1, most=1) == [ten.pk]
    one = queue_of(mia, at=AT, due_after=2, first=1, most=1, asked=Asked(least=7))
    assert (one.total, one.found, [row.deal.pk for row in one.rows]) == (3, 2, [yen.pk])

    def queries() -> tuple[int, int]:
        counts = []
        for ask in (
            lambda: queue_of(mia, at=AT, due_after=2, most=2),
            lambda: client(mia).get("/api/v1/approvals/?page_size=2"),
        ):
            with CaptureQueriesContext(connection) as seen:
                ask()
            counts.append(len(seen))
        return counts[0], counts[1]

    few = queries()
    for _ in range(4):
        submitted(world, owner=world.bo)
    assert queries() == few


# --- the page -------------------------------------------------------------------------------------------------


def test_every_deal_that_matches_is_chosen_on_one_page_up_to_what_is_decided_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    monkeypatch.setattr(pages, "MOST_AT_ONCE", 4)
    deals = [submitted(world, minor) for minor in (3_00, 1_00, 2_00)]
    mia, page = as_user(world.mia), reverse("quotas:approvals")

    def chosen(response: Any) -> list[str]:
        return re.findall(r'name="deal" value="(\d+):\d+" checked', response.content.decode())

    first = mia.get(page, {"sort": "value"})
    assert chosen(first) == []
    assert 'aria-sort="ascending"' in first.content.decode()
    assert "1 to 2 of 3" in text(first)
    assert deals[0].reference not in text(first)
    behind = mia.get(page, {"sort": "value", "page": "9"})
    assert deals[0].reference in text(behind)
    assert 'href="?sort=value&amp;choose=all"' in first.content.decode()
    everything = mia.get(page, {"sort": "value", "choose": "all"})
    assert chosen(everything) == [str(deals[at].pk) for at in (1, 2, 0)]
    assert "All 3 are chosen." in text(everything)
    silent = mia.post(
        reverse("quotas:approvals-decide", args=["reject"]) + "?choose=all", {"deal": str(deals[0].pk)}
    )
    assert (silent.status_code, chosen(silent)) == (422, [str(deals[0].pk)])  # what was ticked, not all again
    done = mia.post(
        reverse("quotas:approve") + "?sort=value&choose=all",
        {"deal": re.findall(r'name="deal" value="(\d+:\d+)" checked', everything.content.decode())},
    )
    assert (done.status_code, done.headers["Location"]) == (302, f"{page}?sort=value")
    assert not Deal.objects.filter(state=DealState.SUBMITTED).exists()

    for _ in range(5):
        submitted(world)
    some = mia.get(page, {"choose": "all"})
    assert len(chosen(some)) == 4
    assert "The first 4 of 5 are chosen. At most 4 are decided on at once; the other 1 come next." in text(
        some
    )
    assert "Choose the first 4 of 5" in text(mia.get(page))


def test_the_queue_narrows_decides_and_says_what_was_refused(world: World) -> None:
    limit(world)
    small, large, foreign = submitted(world), submitted(world, 9_000_00), submitted(world, owner=world.cy)
    mia, page = as_user(world.mia), reverse("quotas:approvals")
    shown = text(mia.get(page))
    assert "2 deals wait for you" in shown
    assert "Above the limit" in shown
    assert large.reference not in text(mia.get(page, {"least": "5,000", "why": "no_policy", "due": "1"}))
    narrowed = text(mia.get(page, {"why": "large"}))
    assert large.reference in narrowed
    assert small.reference not in narrowed
    for odd in ({"why": "odd"}, {"team": "x"}, {"least": "-1"}, {"format": "pdf"}):
        assert mia.get(page, odd).status_code == 404
    assert mia.get(page, {"page": "99"}).status_code == 200

    silent = mia.post(reverse("quotas:approvals-decide", args=["return"]), {"deal": f"{small.pk}:2"})
    assert silent.status_code == 422
    assert "Say why" in text(silent)
    assert f'value="{small.pk}:{small.revision}" checked' in silent.content.decode()
    # The links of the refused page are relative to where it was sent: they lead to the queue.
    narrowing = mia.get(reverse("quotas:approvals-decide", args=["return"]), {"why": "large"})
    assert (narrowing.status_code, narrowing.headers["Location"]) == (302, f"{page}?why=large")
    done = mia.post(
        reverse("quotas:approve") + "?why=large",
        {
            "deal": [
                f"{small.pk}:{small.revision}",
                f"{large.pk}:{large.revision - 1}",
                f"{foreign.pk}:{foreign.revision}",
                "x",
                f"{small.pk}:y",
            ],
            "reason": "Seen",
        },
        follow=True,
    )
    assert done.redirect_chain == [(f"{page}?why=large", 302)]
    said = text(done)
    assert "1 deal is approved and its credit is posted." in said
    assert "2 deals were not decided on" in said
    assert "2 deals, the others are done" in said
    assert f"{large.reference} changed since you read it" in said
    assert f"{foreign.reference}: there is no such deal" in said
    assert "Not decided on" not in text(mia.get(page))  # told once
    alone = mia.post(reverse("quotas:approve"), {"deal": f"{foreign.pk}:{foreign.revision}"}, follow=True)
    assert "Not decided on 1 deal" in text(alone)
    assert "the others are done" not in text(alone)
    first = mia.post(reverse("quotas:approve") + f"?only={large.pk}:{large.revision}", follow=True)
    assert "waits for its second approver now: nothing is credited yet" in text(first)
    assert "Nothing waits for you" in text(first)
    second = text(as_user(world.rex).get(page))
    assert "Second approval" in second
    assert "Mia approved it first" in second
    timeline = text(as_user(world.rex).get(reverse("quotas:deal", args=[large.pk])))
    assert "Mia gave the first" in timeline
    exported = mia.get(page, {"format": "csv"}).getvalue().decode()
    assert "Why it waits" in exported
    assert mia.post(reverse("quotas:approvals-decide", args=["burn"])).status_code == 404
    for stranger in (world.ana, world.auditor):
        assert as_user(stranger).get(page).status_code == 404
        assert as_user(stranger).post(reverse("quotas:approve"), {"deal": str(large.pk)}).status_code == 404


def test_who_stands_in_is_set_and_ended_in_the_browser(world: World) -> None:
    page, mia, admin = reverse("quotas:delegations"), as_user(world.mia), as_user(world.admin)
    assert "Nobody stands in" in text(mia.get(page))
    today = clock.today()
    entered = {
        "of": world.mia.user_id,
        "to": world.zed.user_id,
        "starts": today.isoformat(),
        "ends": (today + timedelta(days=2)).isoformat(),
        "reason": "Annual leave",
    }
    wrong = mia.post(reverse("quotas:delegation-new"), {**entered, "ends": "2020-01-01"})
    assert (wrong.status_code, "It ends on its first day or later" in text(wrong)) == (422, True)
    assert mia.get(reverse("quotas:delegation-new"), {"over": "2"}).headers["Location"] == f"{page}?over=2"
    assert admin.get(reverse("quotas:approval-limit")).headers["Location"] == page
    for not_hers in ({"of": world.rex.user_id}, {"to": world.ana.user_id}, {"ends": "9999-12-31"}):
        assert mia.post(reverse("quotas:delegation-new"), {**entered, **not_hers}).status_code == 422
    assert not Delegation.objects.exists()
    assert mia.post(reverse("quotas:delegation-new"), entered).status_code == 302
    made = Delegation.objects.get()
    assert (made.effective.lower, made.effective.upper) == (today, today + timedelta(days=3))
    assert "In force" in text(as_user(world.zed).get(page))
    deal = submitted(world, at=clock.now())
    zed = as_user(world.zed)
    assert "for Mia" in text(zed.get(reverse("quotas:approvals")))
    zed.post(reverse("quotas:approve"), {"deal": f"{deal.pk}:{deal.revision}"})
    assert "Zed for Mia" in text(mia.get(reverse("quotas:deal", args=[deal.pk])))
    assert as_user(world.rex).post(reverse("quotas:delegation-end", args=[made.pk])).status_code == 404
    assert mia.post(reverse("quotas:delegation-end", args=[made.pk])).status_code == 302
    again = mia.post(reverse("quotas:delegation-end", args=[made.pk]), follow=True)
    assert "does not decide for Mia any more" in text(again)
    assert "Zed" in mia.get(page, {"format": "csv"}).getvalue().decode()

    amount = {
        "limit-amount": "1,000,000",
        "limit-currency": "USD",
        "limit-starts": today.isoformat(),
        "limit-reason": "Two pairs of eyes",
    }
    assert mia.post(reverse("quotas:approval-limit"), amount).status_code == 404
    odd = admin.post(reverse("quotas:approval-limit"), {**amount, "limit-amount": "much"})
    assert (odd.status_code, "Enter an amount in USD" in text(odd)) == (422, True)
    assert admin.post(reverse("quotas:approval-limit"), amount).status_code == 302
    shown = text(as_user(world.auditor).get(page))
    assert "Two people approve above $1,000,000.00" in shown
    assert "Two pairs of eyes" in shown
    assert as_user(world.auditor).post(reverse("quotas:delegation-new"), entered).status_code == 404
    assert as_user(world.ana).get(page).status_code == 404


# --- REST -----------------------------------------------------------------------------------------------------


def test_programs_read_the_queue_and_decide_on_many_deals(world: World) -> None:
    limit(world)
    small, large, foreign = submitted(world), submitted(world, 9_000_00), submitted(world, owner=world.cy)
    mia = client(person(world.mia))
    rows = mia.get("/api/v1/approvals/").json()["results"]
    assert [(row["id"], row["why"]) for row in rows] == [
        (small.pk, ["no_policy"]),
        (large.pk, ["large", "no_policy"]),
    ]
    assert rows[1]["limit"] == {"amount": "5000.00", "currency": "USD"}
    assert [row["id"] for row in mia.get("/api/v1/approvals/?why=large").json()["results"]] == [large.pk]
    assert mia.get("/api/v1/approvals/?why=odd").status_code == 400
    assert mia.get(f"/api/v1/approvals/{foreign.pk}/").status_code == 404
    decide = "/api/v1/approvals/decide/"
    body = {
        "decision": "approve",
        "deals": [
            {"id": small.pk, "revision": small.revision},
            {"id": large.pk},
            {"id": foreign.pk},
            {"id": 10**15},
        ],
    }
    answer = mia.post(decide, body)
    assert answer.status_code == 200, answer.content
    assert [(row["outcome"], row["code"]) for row in answer.json()["results"]] == [
        ("approved", None),
        ("first_approved", None),
        ("refused", "deal_not_found"),
        ("refused", "deal_not_found"),
    ]
    silent = mia.post(decide, {"decision": "reject", "deals": [{"id": large.pk}]})
    assert (silent.status_code, problems(silent)) == (409, [("reason_needed", "/reason")])
    assert mia.post(decide, {"decision": "burn", "deals": []}).status_code == 422
    assert client(world.ana).get("/api/v1/approvals/").status_code == 404
    assert client(world.ana).post(decide, body).status_code == 404
    Deal.objects.get(pk=large.pk, state=DealState.SUBMITTED)


def test_programs_set_delegations_and_limits(world: World) -> None:
    today = clock.today()
    body = {
        "to": make.login(world.zed).email.upper(),
        "starts": today.isoformat(),
        "ends": (today + timedelta(days=3)).isoformat(),
        "reason": "Annual leave",
    }
    mia, url = client(world.mia), "/api/v1/delegations/"
    answer = mia.post(url, body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["of"], made["state"]) == (make.login(world.mia).email, "in_force")
    assert problems(mia.post(url, body)) == [("delegation_overlaps", "/starts")]
    assert problems(mia.post(url, {**body, "to": "nobody@demo.example"}))[0][0] == "cannot_decide"
    assert [row["id"] for row in client(world.zed).get(f"{url}?state=in_force").json()["results"]] == [
        made["id"]
    ]
    assert client(world.zed).get(f"{url}?state=ahead,over,ended").json()["results"] == []
    assert client(world.rex).get(url).json()["results"] == []
    assert client(world.rex).post(f"{url}{made['id']}/end/").status_code == 404
    assert mia.post(f"{url}{made['id']}/end/").json()["state"] == "ended"
    assert client(world.ana).get(url).status_code == 404
    limits = "/api/v1/approval-limits/"
    new = {
        "amount": {"amount": "1000000.00", "currency": "USD"},
        "starts": today.isoformat(),
        "reason": "Two",
    }
    assert mia.post(limits, new).status_code == 403
    admin = client(world.admin)
    assert admin.post(limits, new).status_code == 201
    assert admin.post(limits, {**new, "amount": {"amount": "1.001", "currency": "USD"}}).status_code == 422
    assert admin.post(limits, {**new, "amount": None}).status_code == 204
    assert [row["amount"]["amount"] for row in mia.get(limits).json()["results"]] == ["1000000.00"]


# --- reminders ------------------------------------------------------------------------------------------------

MONDAY = AT + timedelta(days=3)
WEDNESDAY = AT + timedelta(days=5)


def run(at: datetime) -> tuple[Reminded, list[tuple[str, str]]]:
    """What was promised, and which mails left by that: (address, subject)."""
    before = len(mail.outbox)
    done = remind(at=at, after=2, escalate_after=5)
    for message in outbox.lease(at=at):
        outbox.carry_out(message_id=message, at=at)
    mailing.send_due(at=at)
    return done, [(sent.to[0], str(sent.subject)) for sent in mail.outbox[before:]]


def test_whoever_decides_is_reminded_once_a_day_and_the_manager_above_later(world: World) -> None:
    deal, other = submitted(world), submitted(world, owner=world.bo)
    mia, rex = make.login(world.mia), make.login(world.rex)
    assert run(MONDAY) == (Reminded(), [])  # one business day
    done, sent = run(MONDAY + timedelta(days=1))
    assert (done, sent) == (Reminded(1, 0), [(mia.email, "[Parity] 2 deals wait for your approval")])
    body = mail.outbox[-1].body
    for said in (deal.reference, other.reference, "$1,000.00, 2 business days", "/quotas/approvals/"):
        assert str(said) in str(body)
    assert run(MONDAY + timedelta(days=1, hours=3))[1] == []  # not twice a day
    assert len(run(WEDNESDAY)[1]) == 1
    assert run(AT + timedelta(days=8)) == (Reminded(), [])  # a Saturday
    late = AT + timedelta(days=7)
    assert run(late)[1] == [
        (mia.email, "[Parity] 2 deals wait for your approval"),
        (rex.email, "[Parity] 2 deals wait for people below you"),
    ]
    assert "waits for Mia" in str(mail.outbox[-1].body)
    assert Notification.objects.filter(user=rex, key=f"approvals-overdue:{clock.day_of(late)}").count() == 1


def test_whoever_stands_in_is_reminded_instead(world: World) -> None:
    stand_in(world)
    run(AT)  # he is told that he stands in
    submitted(world)
    shared = submitted(world, shares={world.ana: 500_000, world.zed: 500_000})
    _, sent = run(WEDNESDAY)
    assert sorted(sent) == sorted(
        [
            (make.login(world.zed).email, "[Parity] 1 deal waits for your approval"),
            (make.login(world.mia).email, "[Parity] 1 deal waits for your approval"),  # he has a share in it
        ]
    )
    assert shared.reference in str(next(m.body for m in mail.outbox if m.to == [make.login(world.mia).email]))


def test_reminding_costs_the_same_for_two_deals_and_for_eight(world: World) -> None:
    def queries(at: datetime) -> int:
        with CaptureQueriesContext(connection) as seen:
            remind(at=at, after=2, escalate_after=5)
        return len(seen)

    for _ in range(2):
        submitted(world)
    few = queries(AT + timedelta(days=10))
    for _ in range(6):
        submitted(world, owner=world.bo)
    assert queries(AT + timedelta(days=11)) <= few
    assert User.objects.filter(role_grants__role=Role.COMP_ADMIN).exists()
