"""What is brought back is what making it gives, and making it is still possible."""

import re
from typing import Any

import psycopg
import pytest
from django.db import connection, models, transaction
from django.db.models import Model

from accounts.models import User
from marketplace.models import Offering
from quotas.models import CreditEntry, FiscalCalendar, Period, PlanVersion
from tests import kept, make
from tests.conftest import STOCKED, Database, _clone
from tests.quotas.closing.months import five_closed

pytestmark = pytest.mark.django_db


def counted() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(kept.TABLES)
        tables = [name for name, _key, _columns in cursor.fetchall()]
        cursor.execute(" UNION ALL ".join(f"SELECT '{t}', count(*) FROM \"{t}\"" for t in tables))  # noqa: S608
        return dict(cursor.fetchall())


def told(made: Any) -> Any:
    """Field by field, but for what numbers rows and names and for the moment of a row."""
    if isinstance(made, Model):
        return {
            f.name: re.sub(r"1\d{5}", "N", str(getattr(made, f.attname)))
            for f in made._meta.concrete_fields
            if not (f.primary_key or f.is_relation or f.unique)
            and not isinstance(f, models.DateTimeField)
            and f.name not in ("password", "position", "family")
        }
    if isinstance(made, list):
        return [told(each) for each in made]
    return {name: told(value) for name, value in vars(made).items()} if hasattr(made, "__dict__") else made


@pytest.mark.parametrize("rules", [None, []])
@pytest.mark.parametrize("quotas", [True, False])
def test_a_world_that_is_brought_back_is_as_one_that_is_made(
    rules: list[make.Rule] | None, quotas: bool
) -> None:
    seen = []
    for build in (make.world, make._make_world):
        with transaction.atomic():
            before, found = counted(), build(rules=rules, quotas=quotas)
            grown = {name: n - before[name] for name, n in counted().items() if n != before[name]}
            seen.append((grown, told(found)))
            transaction.set_rollback(True)
    (rows, world), (made_rows, made) = seen
    assert rows == made_rows
    assert rows["quotas_period"] == 38
    assert {name: (value, made[name]) for name, value in world.items() if value != made[name]} == {}


def test_a_world_of_another_module_is_brought_back_with_every_row() -> None:
    """It is made upon another one that is kept."""
    grown = []
    for build in (five_closed, five_closed.__wrapped__):  # type: ignore[attr-defined]
        with transaction.atomic():
            before, (here, close) = counted(), build()
            grown.append(
                (
                    {name: n - before[name] for name, n in counted().items() if n != before[name]},
                    (told(here), close.period.name, close.totals[here.world.bookings.slug]),
                )
            )
            transaction.set_rollback(True)
    assert grown[0] == grown[1]
    assert grown[0][0]["quotas_seal"] == 1
    for name in make._ELSEWHERE:
        with transaction.atomic():
            assert (name, kept.take(name) is None) == (name, False)
            transaction.set_rollback(True)


def test_the_same_row_is_another_object_for_each_test_and_of_no_world_before() -> None:
    with transaction.atomic():
        first = make.world()
        first.ana.name = "Changed"
        first.ana.save()
        transaction.set_rollback(True)
    assert make.world().ana.name == "Ana"
    assert User.objects.filter(name="Ana").count() == 1


def test_what_was_made_before_is_joined_or_it_is_made_anew() -> None:
    calendar = make.calendar()
    july = make.fiscal_year(states={1: "closed"}).month(1)
    world = make.world()
    assert Period.objects.get(pk=july.pk).state == "closed"
    assert FiscalCalendar.objects.get(slug="fiscal") == calendar == world.year.year.calendar
    assert Period.objects.filter(grain="M").count() == 24


def test_a_calendar_from_elsewhere_stays_the_only_one() -> None:
    FiscalCalendar.objects.create(slug="fiscal", name="Another", time_zone="UTC")
    assert make.world().year.year.calendar.name == "Another"


def test_whatever_is_added_is_younger_and_the_ledger_takes_it() -> None:
    world = make.world()
    assert make.rep().pk > world.rex.pk
    assert make.offering().slug > world.third.slug
    assert make.plan_version(rules=[]).pk > PlanVersion.objects.exclude(rules=None).get().pk
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'quotas_creditentry'::regclass")
        assert cursor.fetchone()[0] >= 24
    assert not CreditEntry.objects.exists()


def test_the_catalog_is_brought_back_whole() -> None:
    _maker, _checker, loaded = make.catalog()
    assert Offering.objects.count() == loaded.added["offerings"] > 90


def test_what_changes_other_rows_cannot_be_kept(worker_database: Database) -> None:
    """A builder that touches what migrations made would leave its change in every test."""
    server = worker_database.server
    with psycopg.connect(server.address(database="postgres"), autocommit=True) as admin:
        _clone(admin, STOCKED, "touched")
        try:
            with psycopg.connect(server.address(database="touched"), autocommit=True) as owner:
                tables = {name: (key, columns) for name, key, columns in owner.execute(kept.TABLES)}
                before = kept._counts(owner, tables)
                owner.execute("UPDATE django_migrations SET name = name WHERE id = 1")
                with pytest.raises(kept.NotKept):
                    kept._keep(owner, "touching", None, tables, before)
        finally:
            admin.execute("DROP DATABASE touched WITH (FORCE)")


def test_nothing_is_kept_under_another_name() -> None:
    before = counted()
    assert kept.take("of two moons") is None
    assert counted() == before
