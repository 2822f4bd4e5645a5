"""The part of the catalog that a change set is about, in memory: rules change it there, and applying writes it down.

A dry run, a review and an application work on the same desk with the same rules, so a set that validates applies. Everything
is read in a fixed number of queries, whatever the number of items.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q
from django.db.models.functions import Lower

from marketplace.models import (
    AiModel,
    Alias,
    Currency,
    Evaluation,
    ModelVersion,
    Offering,
    Operation,
    Plan,
    PriceRow,
    PriceVersion,
    Publisher,
    TaskArea,
)
from marketplace.selectors.visibility import PUBLISHED
from marketplace.services.change_sets.shapes import Field, Found

PriceKey = tuple[str, str, str, str]  # offering, plan, market, currency
PLANS_OF: Final = (Operation.PLAN_CREATE, Operation.PLAN_UPDATE, Operation.OFFERING_PUBLISH)
PRICES_OF: Final = (Operation.PRICE_ADD, Operation.PRICE_CORRECT)


@dataclass(slots=True)
class Item:
    """One item while it is worked on.

    values   What of its body could be read.
    before   How that reads in the catalog: JSON values by the names of fields, for people and for the record.
    """

    number: int
    operation: str
    body: Mapping[str, Any]
    values: dict[str, Any]
    found: list[Found]
    expected_revision: int | None = None
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> str:
        return f"/items/{self.number}/body"

    def says(self, place: str, code: str, message: str, severity: str = "error") -> None:
        """place: pointer within the body, such as plans/0/slug; empty is the item itself."""
        pointer = f"{self.at}/{place}" if place else f"/items/{self.number}"
        self.found.append(Found(pointer, code, message, severity))

    @property
    def stops(self) -> bool:
        return any(found.stops for found in self.found)

    @property
    def stopped_at(self) -> set[str]:
        """Names of the body's own fields of which something is wrong."""
        return {
            found.pointer.removeprefix(f"{self.at}/").split("/")[0] for found in self.found if found.stops
        }


@dataclass(slots=True)
class Told:
    """Offerings of which the same is told: {offering} in *what* is each one's name."""

    kind: str
    what: str
    first_day: date
    offerings: list[Offering] = field(default_factory=list)
    facts: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Desk:
    """publisher_id: only what this publisher owns can be changed, and only what it may see can be named; None is everything."""

    publisher_id: int | None
    on: date
    publisher: Publisher | None = None

    offerings: dict[str, Offering] = field(default_factory=dict)  # that may be changed
    named: dict[str, Offering] = field(default_factory=dict)  # that may be named
    taken: set[str] = field(default_factory=set)
    areas_of: dict[str, list[str]] = field(default_factory=dict)
    publishers: dict[str, Publisher] = field(default_factory=dict)
    models: dict[str, AiModel] = field(default_factory=dict)
    versions: dict[tuple[str, str], ModelVersion] = field(default_factory=dict)
    plans: dict[tuple[str, str], Plan] = field(default_factory=dict)
    last_position: dict[str, int] = field(default_factory=dict)
    prices: dict[PriceKey, list[PriceVersion]] = field(default_factory=lambda: defaultdict(list))
    price_by_id: dict[int, PriceVersion] = field(default_factory=dict)
    aliases: dict[tuple[str, str], list[Alias]] = field(default_factory=lambda: defaultdict(list))
    evaluations: set[tuple[Any, ...]] = field(default_factory=set)
    task_areas: dict[str, TaskArea] = field(default_factory=dict)
    currencies: dict[str, Currency] = field(default_factory=dict)

    # What the rules have changed; applying writes it down.
    new_publishers: list[Publisher] = field(default_factory=list)
    new_models: list[AiModel] = field(default_factory=list)
    new_versions: list[ModelVersion] = field(default_factory=list)
    new_offerings: list[Offering] = field(default_factory=list)
    new_plans: list[Plan] = field(default_factory=list)
    new_prices: list[tuple[PriceVersion, list[PriceRow]]] = field(default_factory=list)
    new_aliases: list[Alias] = field(default_factory=list)
    new_evaluations: list[Evaluation] = field(default_factory=list)
    changed_offerings: dict[str, Offering] = field(default_factory=dict)
    changed_areas: set[str] = field(default_factory=set)
    changed_plans: dict[tuple[str, str], Plan] = field(default_factory=dict)
    changed_models: dict[str, AiModel] = field(default_factory=dict)
    changed_versions: dict[tuple[str, str], ModelVersion] = field(default_factory=dict)
    shortened: dict[int, PriceVersion] = field(default_factory=dict)
    superseded: list[PriceVersion] = field(default_factory=list)
    replacements: list[tuple[Item, Offering, str]] = field(default_factory=list)
    told: dict[tuple[str, str, date], Told] = field(default_factory=dict)
    rows_of: dict[int, list[PriceRow]] = field(default_factory=dict)  # of a new price, by its identity
    sold_with: dict[str, list[Offering]] = field(default_factory=lambda: defaultdict(list))  # by model

    def owns(self, offering: Offering) -> bool:
        return self.publisher_id is None or offering.publisher_id == self.publisher_id

    def tell(
        self,
        kind: str,
        what: str,
        offering: Offering,
        first_day: date | None = None,
        *,
        facts: Iterable[str] = (),
    ) -> None:
        day = first_day or self.on
        told = self.told.setdefault((kind, what, day), Told(kind, what, day))
        told.facts.update(facts)
        if offering not in told.offerings[-1:]:
            told.offerings.append(offering)

    def changed(self, offering: Offering) -> None:
        """It gets a new revision, unless it is new itself."""
        if not is_new(offering):
            self.changed_offerings[offering.slug] = offering


def texts(items: Iterable[Item], *names: str) -> set[str]:
    """Every text that stands under one of *names* in a body, or in the plans and aliases of a new offering."""
    wanted = set()
    for item in items:
        for name in names:
            value = item.values.get(name)
            if isinstance(value, str):
                wanted.add(value)
    return wanted


def lay_out(items: Sequence[Item], *, publisher_id: int | None, on: date, lock: bool) -> Desk:
    """Everything that *items* name, read in at most 13 queries. lock: until the transaction ends, in the order of ids."""
    desk = Desk(publisher_id, on)
    operations = {item.operation for item in items}
    if publisher_id is not None:
        desk.publisher = Publisher.objects.filter(pk=publisher_id).first()
        if desk.publisher is not None:
            desk.publishers[desk.publisher.slug] = desk.publisher
    _offerings(desk, items, lock=lock)
    _models(desk, items)
    _plans(desk, items, operations, lock=lock)
    _prices(desk, items, operations)
    _aliases(desk, items)
    if Operation.EVALUATION_ADD in operations:
        _evaluations(desk, items)
    desk.task_areas = {area.slug: area for area in TaskArea.objects.all()}
    desk.currencies = {currency.code: currency for currency in Currency.objects.all()}
    return desk


def _offerings(desk: Desk, items: Sequence[Item], *, lock: bool) -> None:
    slugs = texts(items, "slug", "offering", "replacement")
    touched = {
        item.values["model"]
        for item in items
        if item.operation == Operation.MODEL_UPDATE and "model" in item.values
    }
    rows = Offering.objects.filter(Q(slug__in=slugs) | Q(model_version__model__slug__in=touched)).order_by(
        "pk"
    )
    if lock:
        list(rows.select_for_update(of=("self",)).values_list("pk"))
    for offering in rows.select_related("publisher", "model_version__model", "replacement"):
        desk.taken.add(offering.slug)
        if offering.model_version is not None:
            desk.sold_with[offering.model_version.model.slug].append(offering)
        if desk.owns(offering):
            desk.offerings[offering.slug] = offering
        if desk.owns(offering) or offering.publication in PUBLISHED:
            desk.named[offering.slug] = offering
    if any("task_areas" in item.values for item in items):
        for slug, area in (
            Offering.task_areas.through._default_manager.filter(
                offering__in=[o.pk for o in desk.offerings.values()]
            )
            .order_by("taskarea__position", "taskarea_id")
            .values_list("offering__slug", "taskarea__slug")
        ):
            desk.areas_of.setdefault(slug, []).append(area)
    publishers = {
        item.values["publisher"].get("slug")
        for item in items
        if isinstance(item.values.get("publisher"), dict)
    }
    if publishers - set(desk.publishers):
        desk.publishers |= {
            p.slug: p for p in Publisher.objects.filter(slug__in=[p for p in publishers if p])
        }


def _models(desk: Desk, items: Sequence[Item]) -> None:
    slugs = texts(items, "model")
    slugs |= {
        item.values["model"].get("slug", "") for item in items if isinstance(item.values.get("model"), dict)
    }
    if not slugs:
        return
    desk.models = {m.slug: m for m in AiModel.objects.filter(slug__in=slugs).select_related("publisher")}
    desk.versions = {
        (v.model.slug, v.label): v
        for v in ModelVersion.objects.filter(model__slug__in=slugs).select_related("model")
    }
    for (
        offering
    ) in desk.offerings.values():  # one object for one row, so that a change is seen wherever it matters
        version = offering.model_version
        if version is not None:
            offering.model_version = desk.versions.get((version.model.slug, version.label), version)


def _plans(desk: Desk, items: Sequence[Item], operations: set[str], *, lock: bool) -> None:
    aliased = any(item.operation == Operation.ALIAS_ADD and item.values.get("plan") for item in items)
    if not (operations & {*PLANS_OF, *PRICES_OF} or aliased):
        return
    rows = Plan.objects.filter(offering__in=[o.pk for o in desk.offerings.values()]).order_by("pk")
    by_id = {o.pk: o for o in desk.offerings.values()}
    for plan in rows.select_for_update() if lock else rows:
        plan.offering = by_id[plan.offering_id]
        desk.plans[plan.offering.slug, plan.slug] = plan
        desk.last_position[plan.offering.slug] = max(
            plan.position, desk.last_position.get(plan.offering.slug, -1)
        )


def _prices(desk: Desk, items: Sequence[Item], operations: set[str]) -> None:
    """List prices of the plans that get new ones, and those that are corrected."""
    if not operations & set(PRICES_OF):
        return
    wanted = {
        (item.values.get("offering"), item.values.get("plan"))
        for item in items
        if item.operation == Operation.PRICE_ADD
    }
    ids = [
        item.values["price_version"]
        for item in items
        if item.operation == Operation.PRICE_CORRECT and "price_version" in item.values
    ]
    by_id = {plan.pk: plan for plan in desk.plans.values()}
    plans = [plan.pk for key, plan in desk.plans.items() if key in wanted]
    for version in (
        PriceVersion.objects.filter(private_offer=None)
        .filter(Q(plan__in=plans, superseded_at=None) | Q(pk__in=ids, plan__in=list(by_id)))
        .select_related("currency")
        .prefetch_related("rows")
        .order_by("effective", "pk")
    ):
        version.plan = by_id[version.plan_id]
        desk.price_by_id[version.pk] = version
        if version.superseded_at is None:
            desk.prices[price_key(version)].append(version)


def price_key(version: PriceVersion) -> PriceKey:
    return (version.plan.offering.slug, version.plan.slug, version.market, version.currency_id)


def _aliases(desk: Desk, items: Sequence[Item]) -> None:
    names = {
        item.values["name"]
        for item in items
        if item.operation == Operation.ALIAS_ADD and "name" in item.values
    }
    for item in items:
        if item.operation == Operation.OFFERING_CREATE:
            names |= {alias["name"] for alias in item.values.get("aliases", ()) if "name" in alias}
    if not names:
        return
    for alias in Alias.objects.annotate(folded=Lower("name")).filter(folded__in=[n.lower() for n in names]):
        desk.aliases[alias.used_by, alias.name.lower()].append(alias)


def _evaluations(desk: Desk, items: Sequence[Item]) -> None:
    subjects, areas = texts(items, "subject"), texts(items, "task_area")
    for row in Evaluation.objects.filter(subject__in=subjects, task_area__slug__in=areas).select_related(
        "task_area"
    ):
        desk.evaluations.add(evaluation_key(row, row.task_area.slug))


def evaluation_key(row: Evaluation, area: str) -> tuple[Any, ...]:
    """Two results with the same key are the same result."""
    score = None if row.score is None else Decimal(row.score).normalize()
    return (
        area,
        row.subject,
        row.benchmark,
        row.benchmark_version,
        row.metric,
        row.harness,
        row.variant,
        row.source,
        row.dated,
        row.finding,
        score,
    )


def is_new(row: Any) -> bool:
    """Not in the catalog yet: an item further up makes it."""
    return row.pk is None


def raw(value: Any) -> Any:
    """A value of a row as a body would have it."""
    match value:
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case None:
            return None
    return value


def raw_rows(rows: Iterable[PriceRow]) -> list[dict[str, Any]]:
    return [
        {
            "meter": r.meter,
            "per": r.per,
            "unit": r.unit,
            "tier_from": r.tier_from,
            "above_context": r.above_context,
            "amount": None if r.amount is None else f"{r.amount.normalize():f}",
        }
        for r in rows
    ]


def take_over(
    item: Item, row: Any, fields: Iterable[Field], values: Mapping[str, Any], *, place: str = ""
) -> list[str]:
    """Give *row* the facts of *values* that are plain columns; what they were goes into before. Returns those that changed."""
    changed = []
    for one in fields:
        if one.name not in values:
            continue
        value = values[one.name]
        if value is None and not row._meta.get_field(one.name).null:
            value = ""  # a text whose being unknown is the empty text
        was = getattr(row, one.name)
        item.before[f"{place}{one.name}"] = raw(was)
        if was != value:
            setattr(row, one.name, value)
            changed.append(one.name)
    return changed
