"""Locks by name, for what has no row of its own to lock."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def one_at_a_time(name: str, about: str | None = None) -> None:
    """Wait for every transaction that holds the lock of this name, and keep it until this one ends.

    name    What is done, with its app: marketplace.check_decision.
    about   What it is done to, so that the same work on another thing need not wait.
    """
    with connection.cursor() as cursor:
        if about is None:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])
        else:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", [name, about])


@contextmanager
def unless_another(name: str, about: str) -> Iterator[bool]:
    """Whether nobody else is at it; while so, nobody else will be. Over as many transactions as it takes; a session that is lost lets go."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))", [name, about])
        ((alone,),) = cursor.fetchall()
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))", [name, about])
