"""Somebody who is logged in, without a database."""

from collections.abc import Callable

import pytest


class Nothing:
    """Stands for a person's notifications: counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def filter(self, **_conditions: object) -> "Nothing":
        return self

    def count(self) -> int:
        self.asked += 1
        return 3


class Person:
    is_authenticated = True

    def __init__(self, *roles: str) -> None:
        self.role_names = frozenset(roles)
        self.notifications = Nothing()

    def __str__(self) -> str:
        return "Tomás Vidal"


@pytest.fixture
def person() -> Person:
    return Person("rep", "manager")


@pytest.fixture
def person_as() -> Callable[..., Person]:
    return Person
