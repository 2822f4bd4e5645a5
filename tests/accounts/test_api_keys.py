"""API keys and the command that makes them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import api_keys
from accounts.models import ApiKey, AuditEvent, User
from accounts.services import create_api_key, revoke_api_key
from config import clock
from config.refusals import Invalid
from marketplace.models import PublisherMembership
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> tuple[ApiKey, str]:
    return create_api_key(user_id=make.user(service=True).pk, name="test", by=None, at=AT)


def test_a_key_is_kept_as_a_hash_and_found_by_its_prefix(key: tuple[ApiKey, str]) -> None:
    row, text = key
    assert text.startswith(f"pk_{row.prefix}_")
    assert len(text) == 59
    assert text not in str(ApiKey.objects.values().get())
    found = api_keys.find(text, AT)
    assert found is not None
    assert found.pk == row.pk


def test_two_keys_are_never_alike(key: tuple[ApiKey, str]) -> None:
    assert len({api_keys.new_key()[0] for _ in range(200)}) == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1] + ("a" if text[-1] != "a" else "b"),
        lambda text: text[:-1],
        lambda text: text + "a",
        lambda text: text.upper(),
        lambda text: "pk_" + "a" * 12 + text[15:],
        lambda text: "",
        lambda text: "pk__",
        lambda text: text.replace("_", "-"),
    ],
)
def test_a_key_that_is_nearly_right_is_wrong(key: tuple[ApiKey, str], spoil: Callable[[str], str]) -> None:
    assert api_keys.find(spoil(key[1]), AT) is None


def test_a_key_stops_when_it_ends_is_revoked_or_its_user_sleeps(key: tuple[ApiKey, str]) -> None:
    row, text = key
    ApiKey.objects.update(expires_at=AT + timedelta(days=1))
    assert api_keys.find(text, AT + timedelta(days=1) - timedelta(microseconds=1)) is not None
    assert api_keys.find(text, AT + timedelta(days=1)) is None
    User.objects.filter(pk=row.user_id).update(is_active=False)
    assert api_keys.find(text, AT) is None
    User.objects.filter(pk=row.user_id).update(is_active=True)
    revoke_api_key(key_id=row.pk, by=None, at=AT, reason="leaked")
    assert api_keys.find(text, AT) is None
    assert AuditEvent.objects.filter(table="accounts_apikey", action="update").latest("id").reason == "leaked"


def test_nothing_tells_a_wrong_key_from_an_expired_one(key: tuple[ApiKey, str]) -> None:
    client = Client()
    wrong = client.get("/api/schema/", headers={"Authorization": "Bearer pk_wrong"})
    ApiKey.objects.update(expires_at=AT - timedelta(days=1))
    ended = client.get("/api/schema/", headers={"Authorization": f"Bearer {key[1]}"})
    assert (wrong.status_code, ended.status_code) == (401, 401)
    assert {**wrong.json(), "request_id": ""} == {**ended.json(), "request_id": ""}
    assert wrong.json()["errors"][0]["code"] == "invalid_key"


def test_the_last_use_is_noted_once_a_minute(key: tuple[ApiKey, str], django_assert_num_queries: Any) -> None:
    row = key[0]
    api_keys.note_use(row, AT)
    assert ApiKey.objects.get().last_used_at == AT
    row.refresh_from_db()
    with django_assert_num_queries(0):
        api_keys.note_use(row, AT + timedelta(seconds=59))
    api_keys.note_use(row, AT + timedelta(seconds=60))
    assert ApiKey.objects.get().last_used_at == AT + timedelta(seconds=60)


def test_use_leaves_no_trail_and_the_hash_never_gets_into_it(key: tuple[ApiKey, str]) -> None:
    api_keys.note_use(key[0], AT)
    events = AuditEvent.objects.filter(table="accounts_apikey")
    assert [e.action for e in events] == ["insert"]
    assert key[0].key_hash not in str(events.values().get())


def test_a_key_that_would_have_ended_before_it_began_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        create_api_key(user_id=make.user().pk, name="x", by=None, at=AT, expires_at=AT)
    assert [p.code for p in refused.value.problems] == ["expired_already"]
    assert not ApiKey.objects.exists()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_the_command_prints_a_key_that_works_and_prints_it_alone() -> None:
    key = run("nightly-export", "--role", "comp_admin")
    found = api_keys.find(key, clock.now())
    assert found is not None
    assert found.user.is_service
    assert found.user.role_names == {"comp_admin"}
    assert not found.user.has_usable_password()


def test_a_second_key_for_rotation_belongs_to_the_same_account() -> None:
    keys = [run("nightly-export", "--role", "comp_admin") for _ in range(2)]
    assert len({api_keys.find(k, clock.now()).user_id for k in keys}) == 1  # type: ignore[union-attr]
    assert User.objects.filter(is_service=True).count() == 1


def test_a_partners_key_is_bound_to_one_publisher() -> None:
    acme, other = make.publisher(slug="acme"), make.publisher(slug="other")
    key = run("acme-catalog", "--role", "partner", "--publisher", "acme")
    found = api_keys.find(key, clock.now())
    assert found is not None
    assert PublisherMembership.objects.get(user=found.user).publisher == acme
    with pytest.raises(CommandError, match="never reaches two publishers"):
        run("acme-catalog", "--role", "partner", "--publisher", other.slug)
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--role", "king"], "invalid choice"),
        (["x", "--role", "partner"], "--publisher belongs to --role partner"),
        (["x", "--role", "rep", "--publisher", "acme"], "--publisher belongs to --role partner"),
        (["x", "--role", "partner", "--publisher", "nobody"], "There is no publisher nobody"),
        (["a b", "--role", "rep"], "NAME has letters"),
        (["x", "--role", "rep", "--expires", "tomorrow"], "invalid fromisoformat|invalid date"),
        (["x", "--role", "rep", "--expires", "2020-01-01"], "ended before it began"),
    ],
)
def test_the_command_refuses_in_one_line_and_leaves_nothing(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)
    assert not ApiKey.objects.exists()
    assert not User.objects.filter(is_service=True).exists()


def test_a_key_lasts_through_its_last_day_where_the_operator_is() -> None:
    key = run("x", "--role", "rep", "--expires", "2026-12-31")
    zone = ZoneInfo("America/Los_Angeles")
    assert api_keys.find(key, datetime(2026, 12, 31, 23, 59, 59, tzinfo=zone)) is not None
    assert api_keys.find(key, datetime(2027, 1, 1, tzinfo=zone)) is None
