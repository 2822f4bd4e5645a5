"""Accounts and roles, with their trail."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import AuditEvent, RoleGrant, User
from accounts.services import create_user, grant_role, withdraw_role
from config.refusals import Conflict, Invalid, NotFound, Refusal
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def codes(refusal: Refusal) -> list[str]:
    return [p.code for p in refusal.problems]


def test_a_new_account_has_its_roles_and_its_trail() -> None:
    boss = make.user()
    user = create_user(
        email="New@demo.example", name="New", roles=["rep", "rep", "manager"], by=boss, at=AT, reason="hired"
    )
    assert user.role_names == {"rep", "manager"}
    trail = AuditEvent.objects.filter(at=AT).order_by("id")
    assert [(e.table, e.action, e.actor_id, e.reason) for e in trail] == [
        ("accounts_user", "insert", boss.pk, "hired"),
        ("accounts_rolegrant", "insert", boss.pk, "hired"),
        ("accounts_rolegrant", "insert", boss.pk, "hired"),
    ]
    assert "password" not in (trail[0].after or {"password"})


def test_an_email_is_taken_whatever_its_case_and_nothing_is_half_made() -> None:
    make.user(email="known@demo.example")
    with pytest.raises(Conflict) as refused:
        create_user(email="KNOWN@demo.example", name="x", roles=["rep"], by=None, at=AT)
    assert codes(refused.value) == ["email_taken"]
    assert User.objects.count() == 1
    with pytest.raises(Invalid) as refused_role:
        create_user(email="new@demo.example", name="x", roles=["king"], by=None, at=AT)
    assert codes(refused_role.value) == ["unknown_role"]
    assert User.objects.count() == 1


def test_a_role_is_granted_withdrawn_and_granted_again() -> None:
    user = make.user()
    grant_role(user_id=user.pk, role="rep", by=None, at=AT)
    with pytest.raises(Conflict) as refused:
        grant_role(user_id=user.pk, role="rep", by=None, at=AT)
    assert codes(refused.value) == ["role_granted_already"]
    withdraw_role(user_id=user.pk, role="rep", by=None, at=AT + timedelta(days=1), reason="moved on")
    assert User.objects.get(pk=user.pk).role_names == frozenset()
    with pytest.raises(Conflict) as refused:
        withdraw_role(user_id=user.pk, role="rep", by=None, at=AT)
    assert codes(refused.value) == ["role_not_granted"]
    grant_role(user_id=user.pk, role="rep", by=None, at=AT + timedelta(days=2))
    assert RoleGrant.objects.filter(user=user).count() == 2
    event = AuditEvent.objects.get(table="accounts_rolegrant", action="update")
    assert ((event.before or {})["withdrawn_at"], event.reason) == (None, "moved on")
    assert (event.after or {})["withdrawn_at"].startswith("2026-08-15T09:00")


def test_who_does_not_exist_cannot_be_granted_anything() -> None:
    with pytest.raises(NotFound):
        grant_role(user_id=10**9, role="rep", by=None, at=AT)
