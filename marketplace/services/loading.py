"""Loads a staged catalog: adds what is missing and never changes what is there, because people have decided it."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import User
from config.clock import day_of
from config.refusals import Invalid, Problem
from marketplace.extension import Change
from marketplace.importers import own
from marketplace.models import (
    AiModel,
    Currency,
    EligibilityDecision,
    Evaluation,
    ModelVersion,
    Offering,
    OfferingRevision,
    Plan,
    PriceRow,
    PriceVersion,
    Publication,
    PublicFact,
    Publisher,
    ScopeLevel,
    TaskArea,
)
from marketplace.selectors.resources import offering_body, with_facts
from marketplace.services.indexing import reindex
from marketplace.services.telling import tell

M = TypeVar("M", bound=models.Model)
LEVELS = {
    "commercial_path": ScopeLevel.PATH,
    "publisher": ScopeLevel.PUBLISHER,
    "offering": ScopeLevel.OFFERING,
    "plan": ScopeLevel.PLAN,
}


@dataclass(slots=True)
class Loaded:
    """What a load did, counted by kind of record. kept names what differs from the source and was left alone."""

    added: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    kept: list[str] = field(default_factory=list)


@transaction.atomic
def load_catalog(
    *, by: User, checked_by: User, at: datetime, staged: own.StagedCatalog | None = None
) -> Loaded:
    """Add everything of *staged* (else of the project's own files) that the catalog does not have yet.

    by, checked_by  Maker and checker of the eligibility decisions: two people.
    Returns         Counts by kind; a second run adds nothing. About 30 queries, whatever the size.
    Raises          Invalid if both are the same person; importers.own.BadRow if a file cannot be read.
    """
    if by.pk == checked_by.pk:
        raise Invalid(
            Problem(
                "same_person",
                "The person who checks decisions must not be the one who makes them.",
                "/checked_by",
            )
        )
    acting(by=by, at=at, reason="Catalog loaded from the data files")
    known_before = Offering.objects.aggregate(last=models.Max("pk"))["last"] or 0
    staged = staged or own.read()
    done = Loaded()

    _add(done, "currencies", Currency, [Currency(**row) for row in staged.currencies], lambda c: c.code)
    areas = _add(
        done, "task areas", TaskArea, [TaskArea(**row) for row in staged.task_areas], lambda a: a.slug
    )
    publishers = _add(
        done, "publishers", Publisher, [Publisher(**row) for row in staged.publishers], lambda p: p.slug
    )
    ai_models = _add(
        done,
        "models",
        AiModel,
        [AiModel(slug=m.slug, publisher=publishers[m.publisher], **m.facts) for m in staged.models],
        lambda m: m.slug,
    )
    versions = _add(
        done,
        "model versions",
        ModelVersion,
        [
            ModelVersion(model=ai_models[m.slug], label=v.label, **v.facts)
            for m in staged.models
            for v in m.versions
        ],
        lambda v: (v.model_id, v.label),
    )

    def version_of(model: str, label: str) -> ModelVersion | None:
        return versions[ai_models[model].pk, label] if model else None

    offerings = _offerings(done, staged, publishers, areas, version_of)
    plans = _add(
        done,
        "plans",
        Plan,
        [Plan(offering=offerings[o.slug], slug=p.slug, **p.facts) for o in staged.offerings for p in o.plans],
        lambda p: (p.offering_id, p.slug),
    )
    _prices(done, staged, offerings, plans, by=by, at=at)
    _decisions(done, staged, publishers, offerings, plans, by=by, checked_by=checked_by, at=at)
    _add(
        done,
        "evaluations",
        Evaluation,
        [
            Evaluation(task_area=areas[e.task_area], model_version=version_of(e.model, e.version), **e.facts)
            for e in staged.evaluations
        ],
        lambda e: (
            e.task_area_id,
            e.subject,
            e.benchmark,
            e.metric,
            e.harness,
            e.variant,
            e.source,
            e.dated,
            e.finding,
            e.score,
        ),
    )
    _add(done, "public facts", PublicFact, [PublicFact(**row) for row in staged.facts], lambda f: f.slug)
    _first_revisions(by=by, at=at)
    _tell_what_is_new(known_before, at)
    reindex()
    return done


def _tell_what_is_new(known_before: int, at: datetime) -> None:
    """One promise for all new offerings: whoever reads the changes has a start, and the load stays fast. 1 query."""
    new = tuple(Offering.objects.filter(pk__gt=known_before).order_by("pk").values_list("pk", flat=True))
    if new:
        change = Change("offering", "{offering} is new in the catalog.", new, day_of(at))
        tell(change, key=f"load-{new[0]}", at=at)


def _add(
    done: Loaded, name: str, model: type[M], wanted: Sequence[M], key: Callable[[M], Hashable]
) -> dict[Any, M]:
    """Insert those of *wanted* that are not there by *key*. Returns all of them by key."""
    there = {key(row): row for row in model._default_manager.all()}
    missing: dict[Any, M] = {}
    for row in wanted:
        present = there.get(key(row))
        if present is None:
            missing[key(row)] = row
        elif differing := _differing(present, row):
            done.kept.append(f"{name}: {present} differs in {', '.join(differing)}")
        else:
            done.unchanged[name] += 1
    model._default_manager.bulk_create(missing.values())
    done.added[name] += len(missing)
    return there | missing


def _differing(present: models.Model, wanted: models.Model) -> list[str]:
    """Names of the fields that a source states otherwise."""
    return [
        f.attname
        for f in present._meta.concrete_fields
        if not f.primary_key and getattr(present, f.attname) != f.to_python(getattr(wanted, f.attname))
    ]


def _offerings(
    done: Loaded,
    staged: own.StagedCatalog,
    publishers: dict[Any, Publisher],
    areas: dict[Any, TaskArea],
    version_of: Callable[[str, str], ModelVersion | None],
) -> dict[Any, Offering]:
    """Replacements are linked in a second step, because an offering may be replaced by one further down."""
    there = {o.slug: o for o in Offering.objects.all()}
    missing: dict[str, Offering] = {}
    for row in staged.offerings:
        wanted = Offering(
            slug=row.slug,
            publisher=publishers[row.publisher],
            model_version=version_of(row.model, row.version),
            publication=Publication.LIVE,
            **row.facts,
        )
        present = there.get(row.slug)
        if present is None:
            missing[row.slug] = wanted
            continue
        differing = set(_differing(present, wanted)) - {"publication", "replacement_id", "revision"}
        if differing:
            done.kept.append(f"offerings: {present.slug} differs in {', '.join(sorted(differing))}")
        else:
            done.unchanged["offerings"] += 1
    Offering.objects.bulk_create(missing.values())
    done.added["offerings"] += len(missing)
    every = there | missing
    linked = []
    through = Offering.task_areas.through
    tasks = []
    for row in staged.offerings:
        if row.slug not in missing:
            continue
        if row.replacement:
            missing[row.slug].replacement = every[row.replacement]
            linked.append(missing[row.slug])
        tasks += [
            through(offering_id=missing[row.slug].pk, taskarea_id=areas[slug].pk) for slug in row.task_areas
        ]
    Offering.objects.bulk_update(linked, ["replacement"])
    through._default_manager.bulk_create(tasks)
    return every


def _prices(
    done: Loaded,
    staged: own.StagedCatalog,
    offerings: dict[Any, Offering],
    plans: dict[Any, Plan],
    *,
    by: User,
    at: datetime,
) -> None:
    there: dict[tuple[int, str, str], list[PriceVersion]] = {}
    for known in PriceVersion.objects.filter(superseded_at=None, private_offer=None).prefetch_related("rows"):
        there.setdefault((known.plan_id, known.market, known.currency_id), []).append(known)
    new: list[tuple[PriceVersion, own.StagedPrice]] = []
    for offering, plan, price in ((o, p, v) for o in staged.offerings for p in o.plans for v in p.prices):
        plan_id = plans[offerings[offering.slug].pk, plan.slug].pk
        present = _overlapping(there.get((plan_id, price.market, price.currency), ()), price.start, price.end)
        if present is None:
            version = PriceVersion(
                plan_id=plan_id,
                market=price.market,
                currency_id=price.currency,
                effective=DateRange(price.start, price.end),
                source=price.source,
                recorded_at=at,
                recorded_by=by,
            )
            new.append((version, price))
        elif {(r.meter, r.tier_from, r.per, r.amount) for r in present.rows.all()} == {
            (r.meter, r.tier_from, r.per, r.amount) for r in price.rows
        }:
            done.unchanged["prices"] += 1
        else:
            done.kept.append(f"prices: {offering.slug}/{plan.slug} since {price.start} differs")
    PriceVersion.objects.bulk_create([version for version, _price in new])
    PriceRow.objects.bulk_create(
        [
            PriceRow(
                version=version, meter=r.meter, per=r.per, unit=r.unit, tier_from=r.tier_from, amount=r.amount
            )
            for version, staged_price in new
            for r in staged_price.rows
        ]
    )
    done.added["prices"] += len(new)


def _decisions(
    done: Loaded,
    staged: own.StagedCatalog,
    publishers: dict[Any, Publisher],
    offerings: dict[Any, Offering],
    plans: dict[Any, Plan],
    *,
    by: User,
    checked_by: User,
    at: datetime,
) -> None:
    there: dict[tuple[Any, ...], list[EligibilityDecision]] = {}
    for decision in EligibilityDecision.objects.filter(superseded_at=None):
        there.setdefault(_scope(decision), []).append(decision)
    new = []
    for row in staged.decisions:
        wanted = EligibilityDecision(
            program=row.program,
            level=LEVELS[row.scope],
            rate_ppm=row.rate_ppm,
            effective=DateRange(row.start, row.end),
            reason=row.reason,
            evidence=row.evidence,
            assumed=row.assumed,
            made_by=by,
            made_at=at,
            checked_by=checked_by,
            checked_at=at,
        )
        if row.scope == "commercial_path":
            wanted.commercial_path = row.target
        elif row.scope == "publisher":
            wanted.publisher = publishers[row.target]
        elif row.scope == "offering":
            wanted.offering = offerings[row.target]
        else:
            offering, plan = row.target.split("/")
            wanted.plan = plans[offerings[offering].pk, plan]
        present = _overlapping(there.get(_scope(wanted), ()), row.start, row.end)
        if present is None:
            new.append(wanted)
        elif (present.rate_ppm, present.effective.lower, present.effective.upper) == (
            row.rate_ppm,
            row.start,
            row.end,
        ):
            done.unchanged["decisions"] += 1
        else:
            done.kept.append(f"decisions: {row.program} of {row.target} since {row.start} differs")
    EligibilityDecision.objects.bulk_create(new)
    done.added["decisions"] += len(new)


def _scope(decision: EligibilityDecision) -> tuple[Any, ...]:
    return (
        decision.program,
        decision.commercial_path,
        decision.publisher_id,
        decision.offering_id,
        decision.plan_id,
    )


R = TypeVar("R", PriceVersion, EligibilityDecision)


def _overlapping(rows: Iterable[R], start: date, end: date | None) -> R | None:
    """The first whose half-open span shares a day with [start, end)."""
    for row in rows:
        lower, upper = row.effective.lower, row.effective.upper
        if (end is None or lower is None or lower < end) and (upper is None or start < upper):
            return row
    return None


def _first_revisions(*, by: User, at: datetime) -> None:
    """Every published offering has a revision that deal lines can pin."""
    without = with_facts(Offering.objects.filter(revisions=None).order_by("id"))
    OfferingRevision.objects.bulk_create(
        [
            OfferingRevision(
                offering=o, number=o.revision, body=offering_body(o), recorded_at=at, recorded_by=by
            )
            for o in without
        ]
    )
