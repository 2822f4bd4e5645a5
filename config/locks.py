"""Locks by name, for what has no row of its own to lock."""

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
