"""Writes down what the rules have changed on the desk: each kind of row in one or two statements, whatever their number."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection, models
from psycopg import sql

from accounts.models import User
from config import bulk
from marketplace.extension import Change
from marketplace.models import (
    AiModel,
    Alias,
    ChangeSet,
    Evaluation,
    ModelVersion,
    Offering,
    OfferingRevision,
    Plan,
    PriceVersion,
    Publisher,
)
from marketplace.selectors.resources import offering_body, with_facts
from marketplace.services.change_sets import shapes
from marketplace.services.change_sets.desk import Desk
from marketplace.services.indexing import offerings_of_versions, reindex
from marketplace.services.telling import tell_each

OFFERING_COLUMNS: Final = (
    *(f.name for f in shapes.OFFERING_FACTS if f.name not in ("replacement", "task_areas")),
    "replacement_id",
    "publication",
    "goes_live_on",
    "revision",
)
PLAN_COLUMNS: Final = (*(f.name for f in shapes.PLAN), "withdrawn_on")


def write_down(desk: Desk, change_set: ChangeSet, *, by: User, at: datetime) -> None:
    """Everything of *desk*, its revisions, what readers are told, and the search index. In the caller's transaction."""
    Publisher.objects.bulk_create(desk.new_publishers)
    AiModel.objects.bulk_create(desk.new_models)
    ModelVersion.objects.bulk_create(desk.new_versions)
    Offering.objects.bulk_create(desk.new_offerings, batch_size=2000)
    Plan.objects.bulk_create(desk.new_plans, batch_size=5000)
    _new_prices(desk, by=by, at=at)
    Alias.objects.bulk_create(desk.new_aliases)
    Evaluation.objects.bulk_create(desk.new_evaluations, batch_size=2000)
    _task_areas(desk)
    update(AiModel, desk.changed_models.values(), [f.name for f in shapes.MODEL_FACTS])
    update(ModelVersion, desk.changed_versions.values(), [f.name for f in shapes.VERSION_FACTS])
    update(Plan, desk.changed_plans.values(), PLAN_COLUMNS)
    _offerings(desk)
    _revisions(desk, by=by, at=at)
    touched = _tell(desk, change_set, at=at)
    if touched:
        reindex(sorted(touched))


def update(model: type[models.Model], rows: Iterable[models.Model], names: Sequence[str]) -> None:
    """Give each row its own values in one statement, arrays and JSON too."""
    fields = [_column(model, name) for name in names]
    values = [
        {"id": row.pk} | {str(f.column): _json(getattr(row, f.attname)) for f in fields} for row in rows
    ]
    if not values:
        return
    kinds = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(str(f.column)), sql.SQL(_kind(f))) for f in fields
    )
    statement = sql.SQL(
        "UPDATE {} t SET {} FROM jsonb_to_recordset(%s::jsonb) AS x (id bigint, {}) WHERE t.id = x.id"
    ).format(
        sql.Identifier(model._meta.db_table),
        sql.SQL(", ").join(sql.SQL("{0} = x.{0}").format(sql.Identifier(str(f.column))) for f in fields),
        kinds,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [json.dumps(values)])


def _column(model: type[models.Model], name: str) -> "models.Field[Any, Any]":
    return next(f for f in model._meta.concrete_fields if name in (f.name, f.attname))


def _kind(field: "models.Field[Any, Any]") -> str:
    return str(field.rel_db_type(connection) if field.is_relation else field.db_type(connection))


def _json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _new_prices(desk: Desk, *, by: User, at: datetime) -> None:
    """What makes room goes first: the database never sees two prices on one day."""
    if desk.superseded:
        PriceVersion.objects.filter(pk__in=[v.pk for v in desk.superseded]).update(superseded_at=at)
    if desk.shortened:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE marketplace_priceversion v SET effective = daterange(lower(v.effective), x.ends)"
                " FROM unnest(%s::bigint[], %s::date[]) AS x (id, ends) WHERE v.id = x.id",
                [list(desk.shortened), [v.effective.upper for v in desk.shortened.values()]],
            )
    for version, _rows in desk.new_prices:
        version.plan_id = version.plan.pk
        version.recorded_at, version.recorded_by = at, by
    bulk.insert([version for version, _rows in desk.new_prices])
    rows = []
    for version, its in desk.new_prices:
        for row in its:
            row.version_id = version.pk
            rows.append(row)
    bulk.insert(rows)


def _task_areas(desk: Desk) -> None:
    if not desk.changed_areas:
        return
    through = Offering.task_areas.through
    offerings = [desk.offerings[slug] for slug in sorted(desk.changed_areas)]
    through._default_manager.filter(offering__in=[o.pk for o in offerings]).delete()
    through._default_manager.bulk_create(
        [
            through(offering_id=o.pk, taskarea_id=desk.task_areas[area].pk)
            for o in offerings
            for area in desk.areas_of[o.slug]
        ]
    )


def _offerings(desk: Desk) -> None:
    """Facts, and replacements of old and new ones: those may be replaced by one that is as new."""
    changed = dict(desk.changed_offerings)
    for _item, offering, slug in desk.replacements:
        offering.replacement = desk.named[slug]
        changed[offering.slug] = offering
    for offering in desk.changed_offerings.values():
        offering.revision += 1
    update(Offering, changed.values(), OFFERING_COLUMNS)


def _revisions(desk: Desk, *, by: User, at: datetime) -> None:
    ids = [o.pk for o in (*desk.new_offerings, *desk.changed_offerings.values())]
    if not ids:
        return
    OfferingRevision.objects.bulk_create(
        [
            OfferingRevision(
                offering=fresh,
                number=fresh.revision,
                body=offering_body(fresh),
                recorded_at=at,
                recorded_by=by,
            )
            for fresh in with_facts(Offering.objects.filter(pk__in=ids).order_by("pk"))
        ],
        batch_size=2000,
    )


def _tell(desk: Desk, change_set: ChangeSet, *, at: datetime) -> set[int]:
    """One promise for everything of which the same is said. Returns the offerings that it is about."""
    changes = {}
    for number, told in enumerate(desk.told.values()):
        ids = tuple(dict.fromkeys(o.pk for o in told.offerings))
        changes[f"change-set-{change_set.pk}-{number}"] = Change(
            told.kind,  # type: ignore[arg-type]
            told.what,
            ids,
            told.first_day,
            facts=tuple(sorted(told.facts)),
        )
    if changes:
        tell_each(changes, at=at)
    touched = {pk for change in changes.values() for pk in change.offering_ids or ()}
    touched |= {alias.offering_id for alias in desk.new_aliases if alias.offering_id}
    touched |= {alias.plan.offering_id for alias in desk.new_aliases if alias.plan is not None}
    if versions := [alias.model_version_id for alias in desk.new_aliases if alias.model_version_id]:
        touched |= set(offerings_of_versions(versions))
    return touched
