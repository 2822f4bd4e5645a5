"""Straight-through policies: what they approve, who makes them, and that what was published stays as it was read."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEvent, Role, User
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from quotas.models import Deal, StraightThroughPolicy
from quotas.selectors.policies import every_policy, in_words
from quotas.services.policies import draft_policy, in_force, publish_policy, why_not, withdraw_policy
from tests import make
from tests.quotas.api import client, ids

pytestmark = pytest.mark.django_db


@pytest.fixture
def admins() -> tuple[User, User]:
    make.currency()
    make.currency(code="EUR")
    return make.user(role=Role.COMP_ADMIN, name="Priya"), make.user(role=Role.COMP_ADMIN, name="Samuel")


def drafted(by: User, name: str = "CRM imports", **facts: Any) -> StraightThroughPolicy:
    facts = {
        "sources": ["salesforce", "hubspot"],
        "currency": "USD",
        "most_minor": 100_000_00,
        "late_after_days": 30,
        **facts,
    }
    return draft_policy(name=name, by=by, at=make.AT, **facts)


def published(admins: tuple[User, User], **facts: Any) -> StraightThroughPolicy:
    made = drafted(admins[0], **facts)
    publish_policy(policy_id=made.pk, by=admins[1], at=make.AT)
    found = in_force(made.name)
    assert found is not None
    return found


def waits(policy: StraightThroughPolicy, **facts: Any) -> str:
    deal = {
        "source": "Salesforce",
        "amount_minor": 100_000_00,
        "currency": "USD",
        "close_date": make.TODAY - timedelta(days=30),
        "alone": True,
        **facts,
    }
    return why_not(policy, today=make.TODAY, **deal)


def test_each_condition_lets_a_deal_wait_and_says_why(admins: tuple[User, User]) -> None:
    policy = published(admins)
    assert waits(policy) == ""
    assert waits(policy, source="sap") == "CRM imports v1 does not trust sap."
    assert (
        waits(policy, amount_minor=100_000_01) == "It is $100,000.01; CRM imports v1 approves up to $100,000."
    )
    assert "up to" in waits(policy, amount_minor=-200_000_00)  # a refund by its size
    assert waits(policy, currency="EUR", amount_minor=1).startswith("CRM imports v1 has its limit in USD;")
    assert waits(policy, close_date=date(2026, 7, 14)).startswith("It closed 31 days ago, on 14 Jul 2026;")
    assert waits(policy, close_date=make.TODAY + timedelta(days=1)).endswith("which lies ahead.")
    assert waits(policy, alone=False).startswith("Its credit is split;")
    wide = published(
        admins, name="Everything", currency="", most_minor=None, late_after_days=None, default_share=False
    )
    assert waits(wide, currency="EUR", amount_minor=10**12, close_date=date(2011, 1, 1), alone=False) == ""
    assert in_words(policy) == (
        "Deals from salesforce or hubspot, up to $100,000, closed at most 30 days ago, the owner's alone."
    )
    assert in_words(wide) == (
        "Deals from salesforce or hubspot, of any amount, however long ago they closed, split or not."
    )


def test_one_drafts_another_publishes_and_the_version_before_ends(admins: tuple[User, User]) -> None:
    priya, samuel = admins
    first = drafted(priya)
    assert in_force("CRM imports") is None
    with pytest.raises(Conflict) as own:
        publish_policy(policy_id=first.pk, by=priya, at=make.AT)
    assert own.value.problems[0].code == "own_draft"
    publish_policy(policy_id=first.pk, by=samuel, at=make.AT)
    with pytest.raises(Conflict) as again:
        drafted(samuel)
    assert again.value.problems[0].code == "nothing_changed"
    second = drafted(samuel, name="crm  IMPORTS", late_after_days=60)
    assert (second.name, second.version) == ("CRM imports", 2)
    seen = second.drafted_at
    anew = draft_policy(name="CRM imports", sources=["hubspot"], by=samuel, at=make.AT + timedelta(minutes=1))
    assert (anew.pk, anew.version, anew.most_minor, anew.currency_id) == (second.pk, 2, None, None)
    with pytest.raises(Conflict) as unseen:
        publish_policy(policy_id=second.pk, by=priya, at=make.AT, drafted_at=seen)
    assert unseen.value.problems[0].code == "drafted_anew"
    assert in_force("crm imports") == first
    later = make.AT + timedelta(hours=1)
    publish_policy(policy_id=second.pk, by=priya, at=later, drafted_at=anew.drafted_at)
    first.refresh_from_db()
    assert (in_force("CRM imports"), first.ended_at) == (second, later)


def test_a_published_version_can_only_end(admins: tuple[User, User]) -> None:
    policy = published(admins)
    for change in ({"late_after_days": 400}, {"sources": ["sap"]}, {"published_by": admins[0]}):
        with pytest.raises(IntegrityError), transaction.atomic():
            StraightThroughPolicy.objects.filter(pk=policy.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        policy.delete()
    with pytest.raises(Invalid):
        withdraw_policy(policy_id=policy.pk, by=admins[0], at=make.AT, reason=" ")
    withdraw_policy(policy_id=policy.pk, by=admins[0], at=make.AT, reason="Too many mistakes")
    assert in_force("CRM imports") is None
    trail = AuditEvent.objects.filter(table="quotas_straightthroughpolicy", row=policy.pk).order_by("-id")[0]
    assert (trail.actor, trail.reason) == (admins[0], "Too many mistakes")
    with pytest.raises(Conflict):
        withdraw_policy(policy_id=policy.pk, by=admins[0], at=make.AT, reason="Again")
    with pytest.raises(NotFound):
        withdraw_policy(policy_id=10**9, by=admins[0], at=make.AT, reason="Why")
    assert published(admins).version == 2


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_kept(admins: tuple[User, User]) -> None:
    with pytest.raises(Invalid) as refused:
        drafted(
            admins[0],
            name=" ",
            sources=["parity", "s" * 21, ""],
            currency="XXX",
            most_minor=-1,
            late_after_days=9999,
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("name_missing", "/name"),
        ("source_by_hand", "/sources"),
        ("source_too_long", "/sources"),
        ("limit_out_of_range", "/most"),
        ("unknown_currency", "/currency"),
        ("days_out_of_range", "/late_after_days"),
    ]
    for by in (make.user(role=Role.MANAGER), make.user(role=Role.AUDITOR)):
        with pytest.raises(Forbidden):
            drafted(by)
    assert not StraightThroughPolicy.objects.exists()


def test_versions_are_told_apart_and_count_their_deals_in_two_queries(admins: tuple[User, User]) -> None:
    assert every_policy() == []
    first = published(admins)
    world = make.world(quotas=False)
    deals = [make.deal(owner=world.ana, customer=world.customer) for _ in range(3)]
    Deal.objects.filter(pk__in=[deal.pk for deal in deals]).update(approved_under=first)
    published(admins, late_after_days=60)
    drafted(admins[0], late_after_days=90)
    gone = published(admins, name="Old")
    withdraw_policy(policy_id=gone.pk, by=admins[0], at=make.AT, reason="Not used")
    with CaptureQueriesContext(connection) as captured:
        crm, old = every_policy()
    assert len(captured) == 2
    assert crm.current is not None
    assert crm.draft is not None
    assert (crm.current.policy.version, crm.draft.policy.version, crm.deals) == (2, 3, 3)
    assert [(v.policy.version, v.state, v.deals) for v in crm.ended] == [(1, "replaced", 3)]
    assert (old.current, [v.state for v in old.ended]) == (None, ["withdrawn"])


# --- the page ------------------------------------------------------------------------------------------------


def text(response: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    def logged_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return logged_in


def test_a_policy_is_drafted_published_and_withdrawn_in_the_browser(
    admins: tuple[User, User], as_user: Callable[[User], Client]
) -> None:
    page, (priya, samuel) = reverse("quotas:policies"), [as_user(user) for user in admins]
    assert "No policy yet" in text(priya.get(page))
    entered = {
        "name": "CRM imports",
        "sources": "salesforce; hubspot,",
        "most": "100,000",
        "currency": "USD",
        "late_after_days": "30",
        "default_share": "on",
    }
    wrong = priya.post(reverse("quotas:policy-draft"), {**entered, "most": "12.345", "sources": "parity"})
    assert wrong.status_code == 422
    assert "Enter an amount in USD" in text(wrong)
    wrong = priya.post(reverse("quotas:policy-draft"), {**entered, "sources": "parity"})
    assert "approved by people" in text(wrong)
    assert not StraightThroughPolicy.objects.exists()
    assert priya.post(reverse("quotas:policy-draft"), entered).status_code == 302
    policy = StraightThroughPolicy.objects.get()
    assert (policy.sources, policy.most_minor, policy.default_share) == (
        ["salesforce", "hubspot"],
        10_000_000,
        True,
    )
    publish = reverse("quotas:policy-act", args=[policy.pk, "publish"])
    assert publish not in priya.get(page).content.decode()  # not by whoever drafted it
    shown = samuel.get(page)
    assert "closed at most 30 days ago, the owner's alone." in text(shown)
    seen = re.search(r'name="drafted_at" value="([^"]+)"', shown.content.decode())
    assert seen is not None
    stale = samuel.post(publish, {"drafted_at": "2026-01-01T00:00:00+00:00"})
    assert (stale.status_code, "drafted anew since you read it" in text(stale)) == (422, True)
    assert samuel.post(publish, {"drafted_at": seen[1]}).status_code == 302
    assert in_force("CRM imports") == policy
    again = priya.get(page, {"draft": "CRM imports"}).content.decode()
    for value in ('value="salesforce, hubspot"', 'value="100,000.00"', 'value="30"'):
        assert value in again
    withdraw = reverse("quotas:policy-act", args=[policy.pk, "withdraw"])
    assert priya.post(withdraw, {"reason": ""}).status_code == 422
    assert priya.post(withdraw, {"reason": "Too many mistakes"}).status_code == 302
    assert in_force("CRM imports") is None
    assert "Withdrawn" in text(priya.get(page))


def test_auditors_read_policies_and_nobody_else_does(
    admins: tuple[User, User], as_user: Callable[[User], Client]
) -> None:
    policy = published(admins)
    page, withdraw = reverse("quotas:policies"), reverse("quotas:policy-act", args=[policy.pk, "withdraw"])
    auditor = as_user(make.user(role=Role.AUDITOR))
    shown = auditor.get(page, {"draft": ""})
    assert "CRM imports" in text(shown)
    assert "Draft a policy" not in text(shown)
    assert auditor.post(withdraw, {"reason": "x"}).status_code == 404
    assert auditor.post(reverse("quotas:policy-draft"), {}).status_code == 404
    for role in (Role.MANAGER, Role.REP, Role.PARTNER, Role.CATALOG_MANAGER):
        assert as_user(make.user(role=role)).get(page).status_code == 404
    unknown = reverse("quotas:policy-act", args=[policy.pk, "burn"])
    assert as_user(admins[0]).post(unknown).status_code == 404
    assert Client().get(page).status_code == 302
    assert in_force("CRM imports") == policy


def test_programs_read_what_an_import_may_name(admins: tuple[User, User]) -> None:
    policy = published(admins)
    draft = drafted(admins[0], late_after_days=60)
    url = "/api/v1/straight-through-policies/"
    api = client(admins[0])
    assert ids(api.get(url)) == [draft.pk, policy.pk]
    assert ids(api.get(url, {"state": "in_force", "name": "CRM imports"})) == [policy.pk]
    one = api.get(f"{url}{policy.pk}/").json()
    assert (one["state"], one["most"], one["published_by"]) == (
        "in_force",
        {"amount": "100000.00", "currency": "USD"},
        "Samuel",
    )
    assert one["words"].startswith("Deals from salesforce or hubspot, up to $100,000,")
    assert ids(client(make.user(role=Role.AUDITOR)).get(url, {"state": "draft,ended"})) == [draft.pk]
    assert client(make.user(role=Role.MANAGER)).get(url).status_code == 404
