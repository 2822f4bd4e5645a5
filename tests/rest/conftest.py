"""Two users with an API key each, and a client that speaks JSON."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import Notification, User
from accounts.services import create_api_key
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)


class Caller(Client):
    """A program with a key."""

    def __init__(self, user: User, key: str) -> None:
        super().__init__(headers={"Authorization": f"Bearer {key}"}, raise_request_exception=False)
        self.user = user
        self.key = key

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.generic(method, path, content, content_type="application/json", headers=named)


@pytest.fixture(autouse=True)
def _fresh_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def new_caller(db: None) -> Callable[[], Caller]:
    def build() -> Caller:
        user = make.user()
        _row, key = create_api_key(user_id=user.pk, name="test", by=None, at=AT)
        return Caller(user, key)

    return build


@pytest.fixture
def caller(new_caller: Callable[[], Caller]) -> Caller:
    return new_caller()


@pytest.fixture
def notes(caller: Caller) -> list[Notification]:
    """Five of the caller's own, of three moments, two of them read."""
    return [
        Notification.objects.create(
            user=caller.user,
            key=f"n{number}",
            text=f"note {number}",
            url="/a" if number % 2 else "/b",
            created_at=AT.replace(minute=number // 2),
            read_at=AT.replace(hour=10 + number) if number in (1, 3) else None,
        )
        for number in range(5)
    ]
