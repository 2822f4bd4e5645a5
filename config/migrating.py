"""Every migration from the first to the last in seconds, where the database is empty."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState


def migrate() -> None:
    """As the owner. What is there already is migrated the long way."""
    if MigrationRecorder(connections["owner"]).has_table():
        call_command("migrate", database="owner", verbosity=0, interactive=False)
    else:
        with _models_alone():
            call_command("migrate", database="owner", verbosity=0, interactive=False)


@contextmanager
def _models_alone() -> Iterator[None]:
    """A change of a model renders that model anew, and not nearly every other, as nearly every one leads to a user.

    Statements about the schema ask only for the model itself; migrations that run Python get all of them anew,
    which is what is_delayed says. That it gives the same database is a test of make soak.
    """

    def alone(
        self: ProjectState, app_label: str, model_name: str, delay: bool = False
    ) -> set[tuple[str, str]]:
        self.is_delayed = True
        return {(app_label, model_name)}

    found = ProjectState._find_reload_model  # type: ignore[attr-defined]
    ProjectState._find_reload_model = alone  # type: ignore[attr-defined]
    try:
        yield
    finally:
        ProjectState._find_reload_model = found  # type: ignore[attr-defined]
