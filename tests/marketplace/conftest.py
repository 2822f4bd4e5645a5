"""The project's own catalog, loaded once a test, and people who read it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest
from django.test import Client

from accounts.models import User
from marketplace.services.loading import Loaded
from tests import make

AT = datetime(2024, 7, 1, 9, tzinfo=UTC)
TODAY = date(2026, 8, 14)


@dataclass(frozen=True)
class Catalog:
    maker: User
    checker: User
    loaded: Loaded


@pytest.fixture
def catalog(db: None) -> Catalog:
    return Catalog(*make.catalog())


@pytest.fixture
def browser_of(db: None) -> Callable[[User], Client]:
    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in
