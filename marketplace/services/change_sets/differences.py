"""What an item would change, or has changed, field by field and in the words of whoever looks: for pages alone.

Nothing here decides anything, and nothing of it is kept.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from config import house as formats
from config.language import _, spoken
from marketplace.models import (
    ChangeItem,
    ChangeSet,
    ChangeSetState,
    Finding,
    Operation,
    Origin,
    PriceRow,
    PriceVersion,
    Publication,
)
from marketplace.selectors.change_sets import findings_of
from marketplace.selectors.prices import WORLD, row_text
from marketplace.services.change_sets.desk import Desk, is_new
from marketplace.services.change_sets.shapes import (
    ALIAS,
    MODEL,
    NAMED_BY,
    PLAN,
    PRICE_ROW,
    SHAPES,
    Found,
    ItemDraft,
)
from marketplace.services.change_sets.validating import check

NEW: Final = frozenset(
    {Operation.OFFERING_CREATE, Operation.PLAN_CREATE, Operation.ALIAS_ADD, Operation.EVALUATION_ADD}
)
TOLD_WITH_DAYS: Final = frozenset({"start", "end", "market", "currency", "ends_previous"})
TOLD_ELSEWHERE: Final = frozenset({"plans", "aliases", "model", "rows", "prices", "publisher"})


@dataclass(slots=True)
class Difference:
    """One field: how it reads and how it would. note says how much that is; pointer is the field's own."""

    pointer: str
    label: str
    before: str
    after: str
    note: str = ""
    was_nothing: bool = False
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class ItemDifference:
    """One item of a change set.

    name      What it is about, as people call it; slug leads to its page where it has one.
    new       Nothing was there before.
    """

    item: ChangeItem
    operation: str
    name: str
    slug: str
    new: bool
    lines: list[Difference]
    findings: list[Finding] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.item.position + 1

    @property
    def all_findings(self) -> list[Finding]:
        return [*self.findings, *(f for line in self.lines for f in line.findings)]


def differences(change_set: ChangeSet, items: Sequence[ChangeItem], *, on: date) -> list[ItemDifference]:
    """*items* of a set, which may be a page of them, against the catalog; of an applied set against how it was. At most 15 queries."""
    checked = check(
        [ItemDraft(item.operation, item.body) for item in items], publisher_id=change_set.publisher_id, on=on
    )
    desk = checked.desk
    applied = change_set.state == ChangeSetState.APPLIED
    made = []
    for item, worked in zip(items, checked.items, strict=True):
        before = (item.before or {}) if applied else worked.before
        body = item.body if isinstance(item.body, dict) else {}
        name, slug = _about(desk, item.operation, body)
        made.append(
            ItemDifference(
                item=item,
                operation=spoken(Operation(item.operation).label),
                name=name,
                slug=slug,
                new=item.operation in NEW,
                lines=list(_lines(desk, item, body, before)),
            )
        )
    _place(made, findings_of(change_set, [item.position for item in items]))
    return made


def _about(desk: Desk, operation: str, body: Mapping[str, Any]) -> tuple[str, str]:
    for key in NAMED_BY[operation]:
        slug = body.get(key)
        if not isinstance(slug, str) or not slug:
            continue
        if key == "model":
            model = desk.models.get(slug)
            return (model.name if model is not None else slug), ""
        offering = desk.offerings.get(slug)
        if offering is None:
            return str(body.get("name") or slug), ""
        return offering.name or slug, "" if is_new(offering) else slug
    return str(body.get("subject") or body.get("name") or _("Something")), ""


def _lines(
    desk: Desk, item: ChangeItem, body: Mapping[str, Any], before: Mapping[str, Any]
) -> Iterator[Difference]:
    at = f"/items/{item.position}/body"
    named = set(NAMED_BY[item.operation]) if item.operation != Operation.OFFERING_CREATE else set()
    for one in SHAPES[item.operation].fields:
        if one.name not in body or one.name in named or one.name in TOLD_ELSEWHERE:
            continue
        if item.operation == Operation.PRICE_ADD and one.name in TOLD_WITH_DAYS:
            continue
        after = one.says(body[one.name], spoken)
        was = one.says(before[one.name], spoken) if one.name in before else ""
        if one.name == "plan" and item.operation != Operation.ALIAS_ADD:
            was = after  # says which one; does not change
        nothing = one.name in before and before[one.name] in (None, "", [], {})
        yield Difference(f"{at}/{one.name}", spoken(one.label), was, after, was_nothing=nothing)
    if item.operation == Operation.PRICE_ADD and "start" in body:
        yield Difference(f"{at}/start", _("Days"), "", _days(body))
    if item.operation in (Operation.OFFERING_PUBLISH, Operation.OFFERING_STOP):
        yield Difference(
            f"/items/{item.position}",
            _("Publication"),
            _publication(before.get("publication")),
            _("stopped") if item.operation == Operation.OFFERING_STOP else _("on sale"),
        )
    if "publisher" in body:
        publisher = body["publisher"]
        text = publisher
        if isinstance(publisher, Mapping):
            text = f"{publisher.get('name')} ({publisher.get('slug')}), {_origin(publisher.get('origin'))}"
        yield Difference(f"{at}/publisher", _("Publisher"), "", str(text))
    if isinstance(body.get("model"), Mapping):
        for one in MODEL.fields:
            if one.name in body["model"]:
                label = spoken(one.label)
                if one.name not in ("slug", "version"):
                    label = _("Model: %(field)s") % {"field": label.lower()}
                yield Difference(
                    f"{at}/model/{one.name}", label, "", one.says(body["model"][one.name], spoken)
                )
    if item.operation in (Operation.PRICE_ADD, Operation.PRICE_CORRECT):
        yield from _price_lines(desk, item, body, before, at)
    for number, plan in enumerate(_objects(body.get("plans"))):
        yield from _plan_lines(desk, plan, f"{at}/plans/{number}")
    if item.operation == Operation.PLAN_CREATE:
        for number, price in enumerate(_objects(body.get("prices"))):
            yield _whole_price(desk, price, f"{at}/prices/{number}")
    for number, alias in enumerate(_objects(body.get("aliases"))):
        text = ", ".join(
            f"{spoken(one.label).lower()} {one.says(alias[one.name], spoken)}"
            for one in ALIAS
            if one.name in alias
        )
        yield Difference(f"{at}/aliases/{number}", _("Alias"), "", text)


def _publication(value: Any) -> str:
    return spoken(Publication(value).label).lower() if value in Publication.values else ""


def _origin(value: Any) -> str:
    return spoken(Origin(value).label).lower() if value in Origin.values else str(value)


def _days(price: Mapping[str, Any]) -> str:
    start, end = (_DAY.says(price.get(name)) for name in ("start", "end"))
    place = price.get("market", WORLD)
    span = (
        _("From %(start)s to before %(end)s") % {"start": start, "end": end}
        if price.get("end")
        else _("From %(start)s on") % {"start": start}
    )
    return (
        span if place == WORLD else _("%(days)s, in %(market)s") % {"days": span, "market": str(place)[:10]}
    )


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _plan_lines(desk: Desk, plan: Mapping[str, Any], at: str) -> Iterator[Difference]:
    facts = ", ".join(
        f"{spoken(one.label).lower()} {one.says(plan[one.name], spoken)}"
        if one.name in ("zone", "regions", "is_public")
        else one.says(plan[one.name], spoken)
        for one in PLAN
        if one.name in plan and plan[one.name] not in (None, "")
    )
    yield Difference(at, _("Plan %(slug)s") % {"slug": plan.get("slug", "")}, "", facts)
    for number, price in enumerate(_objects(plan.get("prices"))):
        yield _whole_price(desk, price, f"{at}/prices/{number}")


def _whole_price(desk: Desk, price: Mapping[str, Any], at: str) -> Difference:
    day = _DAY.says(price.get("start"))
    rows = [_row_says(desk, row, price) for row in _objects(price.get("rows"))]
    return Difference(at, _("Price from %(day)s") % {"day": day}, "", "; ".join(rows) or _("no rows"))


def _price_lines(
    desk: Desk, item: ChangeItem, body: Mapping[str, Any], before: Mapping[str, Any], at: str
) -> Iterator[Difference]:
    """Meter by meter; a meter that is no longer there is said too."""
    price: Mapping[str, Any] = body
    if item.operation == Operation.PRICE_CORRECT:
        number = body.get("price_version")
        wrong = desk.price_by_id.get(number) if isinstance(number, int) else None
        if wrong is not None:
            price = {"currency": wrong.currency_id, "market": wrong.market}
    was = {_key(row): row for row in _objects(before.get("rows"))}
    for place, row in enumerate(_objects(body.get("rows"))):
        old = was.pop(_key(row), None)
        yield Difference(
            f"{at}/rows/{place}",
            _meter(row),
            _row_says(desk, old, price) if old is not None else "",
            _row_says(desk, row, price),
            _moved_by(old, row),
        )
    for row in was.values():
        yield Difference(f"{at}/rows", _meter(row), _row_says(desk, row, price), _("no longer listed"))


def _key(row: Mapping[str, Any]) -> str:
    return f"{row.get('meter')}/{row.get('tier_from') or 0}/{row.get('above_context') or 0}"


def _meter(row: Mapping[str, Any]) -> str:
    return str(row.get("meter", "")).replace("-", " ").capitalize()[:60]


def _row_says(desk: Desk, row: Mapping[str, Any], price: Mapping[str, Any]) -> str:
    found: list[Found] = []
    read = PRICE_ROW.read(row, "", found)
    code = price.get("currency")
    currency = desk.currencies.get(code) if isinstance(code, str) else None
    if found or currency is None:
        return json.dumps(row, default=str)[:200]
    version = PriceVersion(currency=currency, market=str(price.get("market", WORLD)))
    text = row_text(PriceRow(**{"tier_from": 0, "above_context": 0, **read}), version)
    above = read.get("above_context")
    return text if not above or "above" in text else f"{text}, above {formats.whole(above)} tokens of context"


def _moved_by(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    """How much dearer or cheaper, where both are known."""
    try:
        if old is None:
            return ""
        before = Fraction(Decimal(old["amount"])) / int(old["per"])
        after = Fraction(Decimal(new["amount"])) / int(new["per"])
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return ""
    if before == 0 or before == after:
        return ""
    moved = (after - before) / before
    return formats.percent(moved.numerator, moved.denominator, signed=True)


_DAY: Final = next(f for f in ALIAS if f.name == "start")


def _place(made: Sequence[ItemDifference], findings: Sequence[Finding]) -> None:
    """Each finding beside the field that it is about, else at its item."""
    by_item = {f"/items/{one.item.position}": one for one in made}
    for finding in findings:
        parts = finding.pointer.split("/")
        one = by_item.get("/".join(parts[:3]))
        if one is None:
            continue
        lines = {line.pointer: line for line in one.lines}
        line = next(
            (lines[at] for n in range(len(parts), 3, -1) if (at := "/".join(parts[:n])) in lines), None
        )
        (line.findings if line is not None else one.findings).append(finding)
