"""API keys narrowed to scopes: every endpoint asks, none forgets."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import given
from hypothesis import strategies as st

from accounts.api_keys import find
from accounts.models import ApiKey, AuditEvent, RoleGrant, User
from accounts.scopes import Scope, scope_for, within
from accounts.services import create_api_key, revoke_api_key, rotate_api_key
from config import clock
from config.models import Job
from config.refusals import Conflict, Invalid, NotFound
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
METHODS = ("get", "head", "post", "put", "patch", "delete")
EVERYTHING = ("partner", "catalog_manager", "comp_admin", "manager", "rep", "auditor", "sourcing_lead")


@pytest.fixture(autouse=True)
def _fresh_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def endpoints() -> list[tuple[str, str, str]]:
    """(method, address, module of its code) of everything under /api/v1/, as the router knows it."""
    found = []
    for address, pattern in _patterns(get_resolver().url_patterns, "/"):
        view: Any = pattern.callback
        kind = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if not address.startswith("/api/v1/") or kind is None:
            continue
        actions = getattr(view, "actions", None)
        methods = actions or {m: m for m in METHODS if hasattr(kind, m)}
        given = {*methods, *(["head"] if "get" in methods else [])}
        found += [(m.upper(), address, kind.__module__) for m in sorted(given)]
    return found


def _patterns(patterns: list[Any], before: str) -> Iterator[tuple[str, URLPattern]]:
    for one in patterns:
        pattern = one.pattern
        route = _filled(str(getattr(pattern, "_route", "") or getattr(pattern, "_regex", "")))
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, before + route)
        elif "format" not in route:
            yield before + route, one


def _filled(route: str) -> str:
    """An address in the place of a route or of a router's expression."""
    route = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)", "1", route)
    route = re.sub(r"<(?:\w+:)?\w+>", "1", route)
    return route.strip("^$").replace("\\Z", "").replace("\\", "")


@pytest.fixture
def everybody(db: None) -> User:
    """Nobody has as many roles, so that nothing but the scope can be what refuses."""
    user = make.user(role=EVERYTHING[0], service=True)
    for role in EVERYTHING[1:]:
        RoleGrant.objects.create(user=user, role=role, granted_at=AT)
    return user


def caller(user: User, *scopes: str) -> Client:
    _row, key = create_api_key(user_id=user.pk, name="test", by=None, at=AT, scopes=scopes)
    return Client(headers={"Authorization": f"Bearer {key}"}, raise_request_exception=False)


def asked(client: Client, method: str, address: str) -> Any:
    return client.generic(
        method, address, b"{}", content_type="application/json", headers={"If-Match": '"x"'}
    )


def test_the_list_of_endpoints_is_the_whole_api() -> None:
    found = endpoints()
    places = {module.split(".")[0] for _m, _a, module in found}
    assert places == {"config", "marketplace", "quotas"}
    assert ("POST", "/api/v1/deals/", "quotas.api.deals") in found
    assert ("GET", "/api/v1/offerings/1/answer/", "marketplace.api.views") in found
    assert ("POST", "/api/v1/deals/1/submit/", "quotas.api.deals") in found
    assert len(found) > 60


def test_every_endpoint_refuses_a_key_of_all_scopes_but_its_own_and_does_nothing(everybody: User) -> None:
    """So it refuses a key of fewer: more scopes never take away, see below."""
    guarded = {scope: [s for s in Scope if not within([s], scope)] for scope in Scope}
    keys = {scope: caller(everybody, *others) for scope, others in guarded.items()}
    before = AuditEvent.objects.count()
    met = set()
    for method, address, module in endpoints():
        needed = scope_for(module, method)
        if needed is None:
            assert module == "config.api.jobs", "see below"
            continue
        answer = asked(keys[needed], method, address)
        assert answer.status_code == 403, (method, address)
        if method != "HEAD":
            (error,) = answer.json()["errors"]
            assert (error["code"], error["scope"]) == ("scope_missing", needed), (method, address)
        met.add(needed)
        cache.clear()
    assert met == set(Scope)
    assert AuditEvent.objects.count() == before > 0


def test_a_key_that_reads_the_catalog_reads_all_of_it(everybody: User) -> None:
    client = caller(everybody, Scope.CATALOG_READ)
    reached = set()
    for method, address, module in endpoints():
        if method == "GET" and scope_for(module, method) == Scope.CATALOG_READ:
            answer = asked(client, method, address)
            assert answer.status_code in (200, 304, 400, 404), (address, answer.status_code)
            reached.add(address)
            cache.clear()
    assert "/api/v1/offerings/" in reached


def test_a_key_without_scopes_and_a_persons_session_are_not_narrowed(everybody: User) -> None:
    client, person = caller(everybody), Client()
    person.force_login(everybody)
    for one in (client, person):
        assert one.get("/api/v1/offerings/").status_code == 200
        assert one.get("/api/v1/periods/").status_code == 200


@pytest.mark.django_db
def test_a_scope_never_widens_what_the_account_may() -> None:
    client = caller(make.user(role="partner", service=True), "deals:read")
    assert client.get("/api/v1/credits/").status_code == 404


def test_a_missing_method_is_told_as_such(everybody: User) -> None:
    assert caller(everybody, "catalog:read").delete("/api/v1/offerings/").status_code == 405


def test_a_job_is_read_with_the_scope_of_its_own_app(everybody: User) -> None:
    jobs = {
        app: Job.objects.create(
            kind=f"{app}.x", title="x", parameters={}, requested_by=everybody, requested_at=AT
        ).pk
        for app in ("marketplace", "quotas")
    }
    reads = caller(everybody, "catalog:read")
    assert reads.get(f"/api/v1/jobs/{jobs['marketplace']}/").status_code == 200
    assert reads.get(f"/api/v1/jobs/{jobs['quotas']}/").status_code == 403
    assert reads.post(f"/api/v1/jobs/{jobs['marketplace']}/cancel/").status_code == 403
    writes = caller(everybody, "catalog:write")
    assert writes.post(f"/api/v1/jobs/{jobs['marketplace']}/cancel/").status_code == 200


@given(scopes=st.lists(st.sampled_from(Scope.values)), needed=st.sampled_from(Scope.values))
def test_more_scopes_never_take_away_and_writing_reads(scopes: list[str], needed: str) -> None:
    one = Scope(needed)
    assert within([*scopes, needed], one)
    assert within([*scopes, needed.replace("read", "write")], one)
    assert within(scopes, one) or needed not in scopes


def test_an_unknown_place_is_closed_to_every_scope() -> None:
    assert scope_for("elsewhere.api", "GET") is None
    assert not within(Scope.values, None)
    assert scope_for("marketplace.api.webhooks", "GET") == Scope.WEBHOOKS_MANAGE


# Making, changing over and revoking.


@pytest.mark.django_db
def test_a_scope_that_does_not_exist_is_refused_with_whatever_else_is_wrong() -> None:
    with pytest.raises(Invalid) as refused:
        create_api_key(
            user_id=make.user().pk, name="x", by=None, at=AT, expires_at=AT, scopes=["catalog:read", "all"]
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("unknown_scope", "/scopes"),
        ("expired_already", "/expires_at"),
    ]
    assert not ApiKey.objects.exists()


@pytest.mark.django_db
def test_a_key_is_changed_over_without_a_gap() -> None:
    service = make.user(service=True)
    old, text = create_api_key(
        user_id=service.pk,
        name="nightly",
        by=None,
        at=AT,
        scopes=["catalog:read"],
        expires_at=AT + timedelta(days=90),
    )
    later = AT + timedelta(days=80)
    new, fresh = rotate_api_key(key_id=old.pk, by=None, at=later, overlap=timedelta(days=7))
    assert (new.name, new.scopes, new.user_id) == ("nightly", ["catalog:read"], service.pk)
    assert new.expires_at == later + timedelta(days=90)
    for day, works in ((0, True), (6, True), (7, False)):
        moment = later + timedelta(days=day)
        assert (find(text, moment) is not None) is works, day
        assert find(fresh, moment) is not None
    with pytest.raises(Conflict) as refused:
        rotate_api_key(key_id=new.pk, by=None, at=later, overlap=timedelta(days=7))
    assert refused.value.problems[0].code == "two_keys_already"
    revoke_api_key(key_id=old.pk, by=None, at=later)
    rotate_api_key(key_id=new.pk, by=None, at=later, overlap=timedelta(days=7))
    assert ApiKey.objects.count() == 3


@pytest.mark.django_db
def test_changing_over_never_lengthens_a_life_and_wakes_nothing_up() -> None:
    service = make.user(service=True)
    end = AT + timedelta(days=2)
    old, _text = create_api_key(user_id=service.pk, name="x", by=None, at=AT, expires_at=end)
    rotate_api_key(key_id=old.pk, by=None, at=AT, overlap=timedelta(days=7))
    old.refresh_from_db()
    assert old.expires_at == end
    with pytest.raises(Conflict) as refused:
        rotate_api_key(key_id=old.pk, by=None, at=end, overlap=timedelta(days=7))
    assert refused.value.problems[0].code == "not_usable"
    with pytest.raises(NotFound):
        rotate_api_key(key_id=0, by=None, at=AT, overlap=timedelta(days=7))
    assert ApiKey.objects.count() == 2


@pytest.mark.django_db
def test_the_command_narrows_a_key() -> None:
    out = StringIO()
    call_command(
        *(
            "create_api_key",
            "export",
            "--role",
            "auditor",
            "--scope",
            "catalog:read",
            "--scope",
            "deals:read",
        ),
        stdout=out,
        stderr=StringIO(),
    )
    found = find(out.getvalue().strip(), clock.now())
    assert found is not None
    assert found.scopes == ["catalog:read", "deals:read"]
