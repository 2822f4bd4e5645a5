"""The rules of each operation. They work on the desk and say everything that is wrong at once, each at its field."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.db.backends.postgresql.psycopg_any import DateRange

from marketplace.models import (
    AiModel,
    Alias,
    Evaluation,
    ModelVersion,
    Offering,
    OfferingKind,
    Operation,
    Plan,
    PriceRow,
    PriceVersion,
    PricingForm,
    Publication,
    Publisher,
    Severity,
)
from marketplace.selectors.prices import WORLD
from marketplace.selectors.visibility import PUBLISHED
from marketplace.services.change_sets import shapes
from marketplace.services.change_sets.desk import (
    Desk,
    Item,
    evaluation_key,
    is_new,
    lay_out,
    price_key,
    raw_rows,
    take_over,
)
from marketplace.services.change_sets.shapes import SHAPES, Found, ItemDraft
from marketplace.services.publishing import NOTICE, WAYS, WITHOUT_NEW_DEALS

Rule = Callable[[Desk, Item], None]
P = Publication
STAGE_NAMES: Final = tuple(stage.name for stage in shapes.STAGES)
PLAIN_FACTS: Final = tuple(f for f in shapes.OFFERING_FACTS if f.name not in ("replacement", "task_areas"))
NEXT: Final = "Read it again, then decide."


@dataclass(frozen=True, slots=True)
class Checked:
    """Items that were worked on the desk, and what was found."""

    desk: Desk
    items: list[Item]

    @property
    def found(self) -> list[Found]:
        return [found for item in self.items for found in item.found]

    @property
    def errors(self) -> list[Found]:
        return [found for found in self.found if found.stops]


def check(items: Sequence[ItemDraft], *, publisher_id: int | None, on: date, lock: bool = False) -> Checked:
    """Read every item, lay the desk and let the rules work on it, in the order of the items. At most 13 queries.

    on     The day on which it would be applied.
    lock   Lock what is changed until the transaction ends.
    """
    read = [_read(number, item) for number, item in enumerate(items)]
    desk = lay_out(read, publisher_id=publisher_id, on=on, lock=lock)
    for item in read:
        _is_current(desk, item)
        if rule := RULES.get(item.operation):
            rule(desk, item)
    _link_replacements(desk)
    return Checked(desk, read)


def _read(number: int, draft: ItemDraft) -> Item:
    found: list[Found] = []
    values: Any = {}
    body: Any = draft.body
    shape = SHAPES.get(draft.operation)
    if shape is None:
        known = ", ".join(SHAPES)
        found.append(Found(f"/items/{number}/operation", "unknown_operation", f"Operations are {known}."))
    else:
        values = shape.read(body, f"/items/{number}/body", found)
    return Item(
        number=number,
        operation=draft.operation,
        body=body if isinstance(body, Mapping) else {},
        values=values if isinstance(values, dict) else {},
        found=found,
        expected_revision=draft.expected_revision,
    )


def _is_current(desk: Desk, item: Item) -> None:
    if item.expected_revision is None:
        return
    slug = item.values.get("slug" if item.operation.startswith("offering.") else "offering")
    offering = desk.offerings.get(slug) if isinstance(slug, str) else None
    if offering is not None and not is_new(offering) and offering.revision != item.expected_revision:
        item.says("", "stale", f"{offering.name} is at revision {offering.revision} by now. {NEXT}")


def _own(desk: Desk, item: Item, name: str) -> Offering | None:
    """The offering that a field names, if it is there and may be changed."""
    slug = item.values.get(name)
    if slug is None:
        return None
    offering = desk.offerings.get(slug)
    if offering is None:
        item.says(name, "unknown_offering", "There is no such offering.")
    return offering


def _plan(desk: Desk, item: Item, offering: Offering | None) -> Plan | None:
    slug = item.values.get("plan")
    if offering is None or slug is None:
        return None
    plan = desk.plans.get((offering.slug, slug))
    if plan is None:
        item.says("plan", "unknown_plan", f"{offering.name} has no such plan.")
    return plan


# --- offerings


def _create_offering(desk: Desk, item: Item) -> None:
    values = item.values
    slug = values.get("slug")
    if slug is None:
        return
    if slug in desk.taken or slug in shapes.RESERVED:
        item.says("slug", "slug_taken", f"The slug {slug} is taken. Identifiers are never used again.")
        return
    desk.taken.add(slug)
    publisher = _publisher(desk, item)
    offering = Offering(slug=slug, publisher=publisher, publication=P.APPROVED, kind=values.get("kind", ""))
    offering.model_version = _model_of(desk, item, publisher)
    model = offering.model_version.model if offering.model_version is not None else None
    offering.family = model.family if model is not None else slug[:60]
    for one in PLAIN_FACTS:
        if one.name in values:
            setattr(offering, one.name, values[one.name])
    _stages(item, offering)
    _areas(desk, item, offering)
    if values.get("replacement"):
        desk.replacements.append((item, offering, values["replacement"]))
    desk.offerings[slug] = desk.named[slug] = offering
    desk.new_offerings.append(offering)
    if model is not None:
        desk.sold_with[model.slug].append(offering)
    for place, plan in enumerate(values.get("plans", ())):
        _new_plan(desk, item, offering, plan, f"plans/{place}/")
    for place, alias in enumerate(values.get("aliases", ())):
        _new_alias(desk, item, alias, f"aliases/{place}/", offering=offering)
    if offering.retires_on is not None and offering.retires_on <= desk.on:
        item.says(
            "retires_on",
            "retired_already",
            "It is retired already: nobody will be able to buy it.",
            Severity.WARNING,
        )
    desk.tell("offering", "{offering} is new. It is not on sale yet.", offering)


def _publisher(desk: Desk, item: Item) -> Publisher | None:
    given: Mapping[str, Any] | None = item.values.get("publisher")
    if desk.publisher_id is not None:
        if desk.publisher is not None and given is not None and given.get("slug") != desk.publisher.slug:
            item.says("publisher", "other_publisher", f"This change set is {desk.publisher.name}'s alone.")
        return desk.publisher
    if given is None:
        if "publisher" not in item.body:
            item.says("publisher", "required", "Say publisher.")
        return None
    slug = given.get("slug")
    if slug is None:
        return None
    known = desk.publishers.get(slug)
    if known is None and "origin" in given and "name" in given:
        known = Publisher(slug=slug, name=given["name"], origin=given["origin"])
        desk.publishers[slug] = known
        desk.new_publishers.append(known)
    if known is None and "name" not in given:
        item.says("publisher", "unknown_publisher", "There is no such publisher.")
    return known


def _model_of(desk: Desk, item: Item, publisher: Publisher | None) -> ModelVersion | None:
    kind, given = item.values.get("kind"), item.values.get("model")
    if given is None:
        if kind == OfferingKind.MODEL and item.body.get("model") is None:
            item.says("model", "model_missing", "An offering of the kind model says which model it is.")
        return None
    if kind is not None and kind != OfferingKind.MODEL:
        item.says("model", "no_model_expected", "Only an offering of the kind model has one.")
        return None
    slug, label = given.get("slug"), given.get("version")
    if slug is None or label is None:
        return None
    model = desk.models.get(slug)
    if model is None:
        model = AiModel(
            slug=slug,
            name=given.get("name") or item.values.get("name", ""),
            publisher=publisher,
            family=given.get("family") or item.values.get("family") or slug[:60],
            open_weights=given.get("open_weights"),
        )
        desk.models[slug] = model
        desk.new_models.append(model)
    elif desk.publisher_id is not None and model.publisher_id != desk.publisher_id:
        item.says("model/slug", "slug_taken", f"The slug {slug} is taken by a model of another publisher.")
        return None
    version = desk.versions.get((slug, label))
    if version is None:
        version = ModelVersion(model=model, label=label)
        for one in shapes.VERSION_FACTS:
            if one.name in given:
                setattr(
                    version,
                    one.name,
                    "" if given[one.name] is None and one.name == "knowledge_cutoff" else given[one.name],
                )
        desk.versions[slug, label] = version
        desk.new_versions.append(version)
    else:
        differing = [
            one.label.lower()
            for one in shapes.VERSION_FACTS
            if one.name in given and (given[one.name] or None) != (getattr(version, one.name) or None)
        ]
        if differing:
            item.says(
                "model",
                "model_kept",
                f"This version is in the catalog already and stays as it is; different here: {', '.join(differing)}."
                " Change it with model.update.",
                Severity.WARNING,
            )
    return version


def _update_offering(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "slug")
    if offering is None:
        return
    before = {name: getattr(offering, name) for name in STAGE_NAMES}
    changed = take_over(item, offering, PLAIN_FACTS, item.values)
    if set(changed) & set(STAGE_NAMES):
        _stages(item, offering)
        _notice(desk, item, offering, before)
    if "task_areas" in item.values:
        item.before["task_areas"] = desk.areas_of.get(offering.slug, [])
        if _areas(desk, item, offering):
            changed.append("task_areas")
    if "replacement" in item.values:
        was = offering.replacement.slug if offering.replacement is not None else None
        item.before["replacement"] = was
        if item.values["replacement"] != was:
            changed.append("replacement")
            if item.values["replacement"] is None:
                offering.replacement = None
            else:
                desk.replacements.append((item, offering, item.values["replacement"]))
    if not changed:
        _nothing_changes(item, facts=item.body.keys() - {"slug"})
        return
    desk.changed(offering)
    words = sorted(one.label.lower() for one in shapes.OFFERING_FACTS if one.name in changed)
    desk.tell("offering", f"{{offering}} has changed: {', '.join(words)}."[:300], offering, facts=changed)


def _nothing_changes(item: Item, *, facts: Collection[str]) -> None:
    if not facts:
        item.says("", "nothing_changes", "Say at least one fact that changes.")
    elif not item.stops:
        item.says("", "nothing_changes", "It reads like that already.", Severity.WARNING)


def _stages(item: Item, offering: Offering) -> None:
    """Each stage begins no earlier than the one before it."""
    last: tuple[str, date] | None = None
    for one in shapes.STAGES:
        day = getattr(offering, one.name)
        if day is None:
            continue
        if last is not None and day < last[1]:
            item.says(
                one.name if one.name in item.values else "",
                "stages_out_of_order",
                f"{one.label} {day:%-d %b %Y} is before {last[0].lower()} {last[1]:%-d %b %Y}.",
            )
        last = one.label, day


def _notice(desk: Desk, item: Item, offering: Offering, before: Mapping[str, date | None]) -> None:
    """What is on sale ends with notice: 30 days as legacy, then 90 without new deals. Putting an end off needs none."""
    if offering.publication not in PUBLISHED:
        return
    for name, notice, what in (
        ("deprecated_on", NOTICE, "The end of new deals"),
        ("retires_on", NOTICE + WITHOUT_NEW_DEALS, "A retirement"),
    ):
        day, was = getattr(offering, name), before[name]
        earliest = desk.on + notice
        if day is not None and day != was and day < earliest and (was is None or day < was):
            item.says(
                name,
                "too_soon",
                f"{what} needs {notice.days} days' notice: {earliest:%-d %b %Y} is the earliest day.",
            )


def _areas(desk: Desk, item: Item, offering: Offering) -> bool:
    """Whether the task areas become others."""
    wanted = item.values.get("task_areas")
    if wanted is None:
        return False
    good = True
    for place, slug in enumerate(wanted):
        if slug not in desk.task_areas:
            item.says(f"task_areas/{place}", "unknown_task_area", f"There is no task area {slug}.")
            good = False
    if not good or set(wanted) == set(desk.areas_of.get(offering.slug, [])):
        return False
    desk.areas_of[offering.slug] = list(wanted)
    desk.changed_areas.add(offering.slug)
    return True


def _move(item: Item, offering: Offering, to: Publication) -> bool:
    """Take it one step on its way, if there is such a step."""
    item.before["publication"] = str(offering.publication)
    if to not in WAYS[offering.publication]:
        here = P(offering.publication).label.lower()
        ways = ", ".join(way.label.lower() for way in WAYS[offering.publication]) or "nowhere"
        item.says("", "no_such_step", f"{offering.name} is {here}; from there it can go to: {ways}.")
        return False
    offering.publication = to
    return True


def _publish(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "slug")
    if offering is None:
        return
    if offering.slug not in desk.last_position:
        item.says("slug", "no_plan", f"{offering.name} has no plan: nobody could buy it.")
    day: date | None = item.values.get("on")
    later = day is not None and day > desk.on
    item.before["on"] = offering.goes_live_on.isoformat() if offering.goes_live_on else None
    if later and offering.publication == P.SCHEDULED:
        moved = True  # another day
        item.before["publication"] = str(P.SCHEDULED)
    else:
        moved = _move(item, offering, P.SCHEDULED if later else P.LIVE)
    if not moved:
        return
    offering.goes_live_on = day if later else None
    desk.changed(offering)
    if later and day is not None:
        desk.tell("offering", f"{{offering}} goes on sale on {day:%-d %b %Y}.", offering, day)
    else:
        desk.tell("offering", "{offering} is now on sale.", offering)


def _stop(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "slug")
    if offering is None:
        return
    scheduled = offering.publication == P.SCHEDULED
    if not _move(item, offering, P.APPROVED if scheduled else P.STOPPED):
        return
    offering.goes_live_on = None
    desk.changed(offering)
    desk.tell(
        "offering",
        "{offering} will not go on sale." if scheduled else "{offering} is taken off sale.",
        offering,
    )


def _retire(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "slug")
    day: date | None = item.values.get("retires_on")
    if offering is None or day is None:
        return
    item.before |= {
        "retires_on": offering.retires_on.isoformat() if offering.retires_on else None,
        "replacement": offering.replacement.slug if offering.replacement is not None else None,
    }
    if offering.retires_on is not None and offering.retires_on <= desk.on:
        item.says(
            "retires_on",
            "already_retired",
            f"{offering.name} has been retired since {offering.retires_on:%-d %b %Y}.",
        )
        return
    earliest = desk.on + NOTICE + WITHOUT_NEW_DEALS
    if day < earliest:
        item.says(
            "retires_on",
            "too_soon",
            f"A retirement needs 120 days' notice: {earliest:%-d %b %Y} is the earliest day.",
        )
    offering.retires_on = day
    offering.deprecated_on = day - WITHOUT_NEW_DEALS
    offering.legacy_on = offering.deprecated_on - NOTICE
    _stages(item, offering)
    if item.values.get("replacement"):
        desk.replacements.append((item, offering, item.values["replacement"]))
    desk.changed(offering)
    desk.tell("offering", f"{{offering}} retires on {day:%-d %b %Y}.", offering, offering.legacy_on)


def _link_replacements(desk: Desk) -> None:
    """Last, because an offering may be replaced by one further down."""
    for item, offering, slug in desk.replacements:
        found = desk.named.get(slug)
        if found is None:
            item.says("replacement", "unknown_replacement", "There is no such offering.")
        elif found is offering:
            item.says("replacement", "replaces_itself", "An offering cannot replace itself.")
        elif (
            offering.retires_on is not None
            and found.retires_on is not None
            and found.retires_on <= offering.retires_on
        ):
            item.says("replacement", "replacement_retires_first", f"{found.name} retires no later than it.")


# --- plans and prices


def _create_plan(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "offering")
    if offering is not None:
        _new_plan(desk, item, offering, item.values, "")
        desk.changed(offering)
        desk.tell("offering", "{offering} has a new plan.", offering)


def _new_plan(desk: Desk, item: Item, offering: Offering, values: Mapping[str, Any], place: str) -> None:
    slug = values.get("slug")
    if slug is None:
        return
    if (offering.slug, slug) in desk.plans:
        item.says(f"{place}slug", "slug_taken", f"{offering.name} has a plan {slug} already.")
        return
    position = desk.last_position.get(offering.slug, -1) + 1
    desk.last_position[offering.slug] = position
    plan = Plan(offering=offering, slug=slug, position=min(position, 32767))
    for one in shapes.PLAN:
        if one.name in values:
            setattr(plan, one.name, values[one.name])
    desk.plans[offering.slug, slug] = plan
    desk.new_plans.append(plan)
    for number, price in enumerate(values.get("prices", ())):
        _new_price(desk, item, plan, price, f"{place}prices/{number}/")
    if plan.pricing_form == PricingForm.FREE and any(
        row.get("amount") for price in values.get("prices", ()) for row in price.get("rows", ())
    ):
        item.says(
            f"{place}pricing_form", "free_with_a_price", "A free plan has no price above 0.", Severity.WARNING
        )


def _update_plan(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "offering")
    plan = _plan(desk, item, offering)
    if offering is None or plan is None:
        return
    fields = SHAPES[Operation.PLAN_UPDATE].fields[2:]
    changed = take_over(item, plan, fields, item.values)
    if not changed:
        _nothing_changes(item, facts=item.body.keys() - {"offering", "plan"})
        return
    if not is_new(plan):
        desk.changed_plans[offering.slug, plan.slug] = plan
    desk.changed(offering)
    desk.tell("offering", f"{{offering}} has changed in its plan {plan.name}."[:300], offering, facts=changed)


def _add_price(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "offering")
    plan = _plan(desk, item, offering)
    if offering is None or plan is None:
        return
    added = _new_price(
        desk, item, plan, item.values, "", ends_previous=bool(item.values.get("ends_previous"))
    )
    if added is not None:
        start = added.effective.lower
        if offering.publication in PUBLISHED and start is not None and start < desk.on:
            item.says(
                "start",
                "starts_in_the_past",
                "It starts in the past. Deals keep the price that they name; nothing that is booked moves.",
                Severity.WARNING,
            )
        desk.tell("price", f"{{offering}} has a new price in its plan {plan.name}."[:300], offering, start)


def _new_price(
    desk: Desk,
    item: Item,
    plan: Plan,
    values: Mapping[str, Any],
    place: str,
    *,
    ends_previous: bool = False,
) -> PriceVersion | None:
    start, end, currency = values.get("start"), values.get("end"), values.get("currency")
    market = values.get("market", WORLD)
    if currency is not None and currency not in desk.currencies:
        item.says(f"{place}currency", "unknown_currency", f"{currency} is not a known currency.")
        return None
    if start is not None and end is not None and end <= start:
        item.says(f"{place}end", "ends_before_it_starts", "It ends before it starts.")
        return None
    rows = _rows(item, values, place)
    if start is None or currency is None:
        return None
    version = PriceVersion(
        plan=plan,
        market=market,
        currency=desk.currencies[currency],
        effective=DateRange(start, end),
        source=values.get("source", ""),
    )
    there = desk.prices[price_key(version)]
    for other in list(there):
        lower, upper = other.effective.lower, other.effective.upper
        if (end is not None and lower is not None and lower >= end) or (upper is not None and upper <= start):
            continue
        if not place:
            item.before |= {"rows": raw_rows(_rows_of(desk, other)), "price_version": other.pk}
        if ends_previous and upper in (None, end) and lower is not None and lower < start:
            other.effective = DateRange(lower, start)
            if not is_new(other):
                desk.shortened[other.pk] = other
            continue
        until = f"{upper:%-d %b %Y}" if upper else "further notice"
        since = f"{lower:%-d %b %Y}" if lower else "ever"
        item.says(
            f"{place}start",
            "overlaps",
            f"{plan.name} has a price in {currency} from {since} until {until} already. Choose other days, or correct that one.",
        )
        return None
    if not place and "rows" not in item.before:
        last = max(
            (v for v in there if v.effective.upper is not None and v.effective.upper <= start),
            key=lambda v: v.effective.upper or date.min,
            default=None,
        )
        if last is not None:
            item.before |= {"rows": raw_rows(_rows_of(desk, last)), "price_version": last.pk}
    there.append(version)
    desk.rows_of[id(version)] = rows
    desk.new_prices.append((version, rows))
    return version


def _rows_of(desk: Desk, version: PriceVersion) -> list[PriceRow]:
    return desk.rows_of[id(version)] if is_new(version) else list(version.rows.all())


def _rows(item: Item, values: Mapping[str, Any], place: str) -> list[PriceRow]:
    seen: set[tuple[str, int, int]] = set()
    made = []
    for number, given in enumerate(values.get("rows", ())):
        if "meter" not in given:
            continue
        row = PriceRow(
            meter=given["meter"],
            per=given.get("per", 1),
            unit=given.get("unit", ""),
            tier_from=given.get("tier_from", 0),
            above_context=given.get("above_context", 0),
            amount=given.get("amount"),
        )
        key = (row.meter, row.tier_from, row.above_context)
        if key in seen:
            item.says(f"{place}rows/{number}/meter", "row_twice", "The same meter and tier is there already.")
        seen.add(key)
        made.append(row)
    return made


def _correct_price(desk: Desk, item: Item) -> None:
    offering = _own(desk, item, "offering")
    number = item.values.get("price_version")
    if offering is None or number is None:
        return
    wrong = desk.price_by_id.get(number)
    if wrong is None or wrong.plan.offering is not offering:
        item.says("price_version", "unknown_price_version", f"{offering.name} has no such price.")
        return
    item.before |= {"rows": raw_rows(wrong.rows.all()), "source": wrong.source, "price_version": wrong.pk}
    there = desk.prices[price_key(wrong)]
    if wrong.superseded_at is not None or wrong not in there:
        item.says("price_version", "superseded", "A correction has already taken its place.")
        return
    rows = _rows(item, item.values, "")
    version = PriceVersion(
        plan=wrong.plan,
        market=wrong.market,
        currency=wrong.currency,
        effective=wrong.effective,
        source=item.values.get("source", ""),
    )
    there[there.index(wrong)] = version
    desk.superseded.append(wrong)
    desk.rows_of[id(version)] = rows
    desk.new_prices.append((version, rows))
    desk.tell(
        "price",
        f"The price of {{offering}} is corrected in its plan {wrong.plan.name}."[:300],
        offering,
        wrong.effective.lower,
    )


# --- models, aliases, evidence


def _version(desk: Desk, item: Item) -> ModelVersion | None:
    slug, label = item.values.get("model"), item.values.get("version")
    if not isinstance(slug, str):
        return None
    model = desk.models.get(slug)
    if model is None or (desk.publisher_id is not None and _maker(model) != desk.publisher_id):
        item.says("model", "unknown_model", "There is no such model.")
        return None
    if label is None:
        if "version" not in item.body or item.body["version"] is None:
            item.says("version", "required", "Say which version of the model.")
        return None
    version = desk.versions.get((slug, label))
    if version is None:
        item.says("version", "unknown_version", f"{model.name} has no such version.")
    return version


def _maker(model: Any) -> int | None:
    """Of a new model whose publisher could not be read: nobody."""
    return model.publisher.pk if model.publisher is not None else None


def _update_model(desk: Desk, item: Item) -> None:
    version = _version(desk, item)
    if version is None:
        return
    model = desk.models[item.values["model"]]
    of_model = take_over(item, model, shapes.MODEL_FACTS, item.values)
    of_version = take_over(item, version, shapes.VERSION_FACTS, item.values)
    if not of_model and not of_version:
        _nothing_changes(item, facts=item.body.keys() - {"model", "version"})
        return
    if of_model and not is_new(model):
        desk.changed_models[model.slug] = model
    if of_version and not is_new(version):
        desk.changed_versions[model.slug, version.label] = version
    words = sorted(
        f.label.lower()
        for f in (*shapes.MODEL_FACTS, *shapes.VERSION_FACTS)
        if f.name in {*of_model, *of_version}
    )
    for offering in desk.sold_with[model.slug]:
        if of_model or offering.model_version is version:
            desk.changed(offering)
            desk.tell(
                "offering", f"The model of {{offering}} has changed: {', '.join(words)}."[:300], offering
            )


def _add_alias(desk: Desk, item: Item) -> None:
    values = item.values
    named = [name for name in ("offering", "model") if values.get(name) is not None]
    if len(named) != 1:
        item.says(
            "offering",
            "names_one_thing",
            "An alias stands for an offering (or one of its plans) or for a model's version.",
        )
        return
    if named == ["model"]:
        version = _version(desk, item)
        if version is not None:
            _new_alias(desk, item, values, "", version=version)
        return
    offering = _own(desk, item, "offering")
    if offering is None:
        return
    if values.get("plan") is None:
        _new_alias(desk, item, values, "", offering=offering)
    elif (plan := _plan(desk, item, offering)) is not None:
        _new_alias(desk, item, values, "", plan=plan)


def _new_alias(desk: Desk, item: Item, values: Mapping[str, Any], place: str, **stands_for: Any) -> None:
    name, start, end = values.get("name"), values.get("start"), values.get("end")
    if name is None or start is None:
        return
    if end is not None and end <= start:
        item.says(f"{place}end", "ends_before_it_starts", "It ends before it starts.")
        return
    used_by = values.get("used_by", "")
    there = desk.aliases[used_by, name.lower()]
    for other in there:
        lower, upper = other.effective.lower, other.effective.upper
        if (end is None or lower is None or lower < end) and (upper is None or start < upper):
            item.says(
                f"{place}name", "alias_taken", "The name stands for something on some of these days already."
            )
            return
    alias = Alias(used_by=used_by, name=name, effective=DateRange(start, end), **stands_for)
    there.append(alias)
    desk.new_aliases.append(alias)


def _add_evaluation(desk: Desk, item: Item) -> None:
    values = item.values
    area = desk.task_areas.get(values.get("task_area", ""))
    if area is None and "task_area" in values:
        item.says("task_area", "unknown_task_area", "There is no such task area.")
    version = _version(desk, item)
    if desk.publisher_id is not None and values.get("model") is None and "model" not in item.stopped_at:
        item.says("model", "model_missing", "Say for which of your models it is.")
    without = values.get("score") is None and not values.get("finding")
    if without and not item.stopped_at & {"score", "finding"}:
        item.says("score", "score_or_finding", "A result has a score, or a finding in words.")
    low, high, score = values.get("interval_low"), values.get("interval_high"), values.get("score")
    if (
        low is not None
        and high is not None
        and (high < low or (score is not None and not low <= score <= high))
    ):
        item.says(
            "interval_low", "interval_without_score", "The score lies between the ends of its interval."
        )
    if area is None or item.stops:
        return
    row = Evaluation(
        task_area=area,
        model_version=version,
        **{name: value for name, value in values.items() if name not in ("task_area", "model", "version")},
    )
    key = evaluation_key(row, area.slug)
    if key in desk.evaluations:
        item.says("", "already_there", "This result is in the catalog already.")
        return
    desk.evaluations.add(key)
    desk.new_evaluations.append(row)


RULES: Final[Mapping[str, Rule]] = {
    Operation.OFFERING_CREATE: _create_offering,
    Operation.OFFERING_UPDATE: _update_offering,
    Operation.OFFERING_PUBLISH: _publish,
    Operation.OFFERING_STOP: _stop,
    Operation.OFFERING_RETIRE: _retire,
    Operation.PLAN_CREATE: _create_plan,
    Operation.PLAN_UPDATE: _update_plan,
    Operation.PRICE_ADD: _add_price,
    Operation.PRICE_CORRECT: _correct_price,
    Operation.MODEL_UPDATE: _update_model,
    Operation.ALIAS_ADD: _add_alias,
    Operation.EVALUATION_ADD: _add_evaluation,
}
