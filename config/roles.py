"""What the application role may do with each table, re-applied after every migration.

A model says it with `application_may`; without it the application may do everything to its rows.
Ledger partitions get nothing: they are reached through their parent.
"""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.utils import ProgrammingError
from psycopg import sql

from config.databases import APPLICATION_ROLE

EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"


class RoleMissing(Exception):
    """The application role does not exist and the migrating role may not make it."""


def privileges() -> dict[str, str]:
    """Table name to privileges, for every table that a model names."""
    return {
        model._meta.db_table: getattr(model, "application_may", EVERYTHING)
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
    }


def apply(*, using: str, **_signal: Any) -> None:
    """Give the application role exactly its privileges. Runs as the owner, inside or outside a transaction."""
    role = sql.Identifier(APPLICATION_ROLE)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE])
        if cursor.fetchone() is None:
            try:
                cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
            except ProgrammingError as refused:
                raise RoleMissing(
                    f"The database has no role {APPLICATION_ROLE} and this login may not make it. "
                    f'Run "CREATE ROLE {APPLICATION_ROLE} NOLOGIN; GRANT {APPLICATION_ROLE} TO <this login>" once as an administrator.'
                ) from refused
        if settings.DATABASES["default"]["OPTIONS"].get("assume_role") == APPLICATION_ROLE:
            cursor.execute("SELECT pg_has_role(current_user, %s, 'MEMBER')", [APPLICATION_ROLE])
            row = cursor.fetchone()
            if row is None or not row[0]:
                cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
        cursor.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(role))
        cursor.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(role))
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        present = {name for (name,) in cursor.fetchall()}
        wanted = {**privileges(), "django_migrations": "SELECT"}
        for table in sorted(wanted.keys() & present):
            cursor.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(wanted[table]), sql.Identifier(table), role)
            )
