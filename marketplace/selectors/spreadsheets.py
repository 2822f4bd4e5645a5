"""The catalog as a workbook that people edit and upload again: offerings, their plans and their prices, with real numbers and days."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any, Final, Literal

from django.db.models import Q, QuerySet
from xlsxwriter import Workbook

from marketplace.models import Offering, Plan, PriceVersion
from marketplace.selectors.resources import with_facts

Kind = Literal["text", "words", "day", "flag", "number", "amount", "id"]
MOST_OFFERINGS: Final = 5_000
ACCURATE: Final = 15  # significant digits that a spreadsheet's numbers keep


@dataclass(frozen=True, slots=True)
class Column:
    """name is the header, and the field of the change set item. fixed: it tells rows apart and is not edited."""

    name: str
    kind: Kind = "text"
    width: int = 18
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    name: str
    columns: tuple[Column, ...]

    @property
    def headers(self) -> list[str]:
        return [column.name for column in self.columns]


OFFERINGS: Final = Sheet(
    "Offerings",
    (
        Column("id", "id", 8, fixed=True),
        Column("revision", "id", 9, fixed=True),
        Column("slug", width=26, fixed=True),
        Column("publisher", width=16, fixed=True),
        Column("kind", width=10, fixed=True),
        Column("name", width=28),
        Column("family", width=20),
        Column("summary", width=40),
        Column("commercial_path", width=18),
        Column("path_basis", width=30),
        Column("path_assumed", "flag", 13),
        Column("billing_countries", "words", 20),
        Column("preview_on", "day", 12),
        Column("available_on", "day", 12),
        Column("legacy_on", "day", 12),
        Column("deprecated_on", "day", 14),
        Column("retires_on", "day", 12),
        Column("replacement", width=24),
        Column("task_areas", "words", 36),
    ),
)
PLANS: Final = Sheet(
    "Plans",
    (
        Column("id", "id", 8, fixed=True),
        Column("revision", "id", 9, fixed=True),
        Column("offering", width=26, fixed=True),
        Column("slug", width=18, fixed=True),
        Column("name", width=26),
        Column("deployment", width=22),
        Column("processing_tier", width=15),
        Column("zone", width=10),
        Column("regions", "words", 30),
        Column("pricing_form", width=14),
        Column("is_public", "flag", 10),
        Column("withdrawn_on", "day", 13),
    ),
)
PRICES: Final = Sheet(
    "Prices",
    (
        Column("price_version", "id", 13, fixed=True),
        Column("offering", width=26, fixed=True),
        Column("plan", width=18, fixed=True),
        Column("market", width=9, fixed=True),
        Column("currency", width=9, fixed=True),
        Column("start", "day", 12, fixed=True),
        Column("end", "day", 12, fixed=True),
        Column("source", width=44),
        Column("meter", width=22),
        Column("per", "number", 11),
        Column("unit", width=12),
        Column("tier_from", "number", 11),
        Column("above_context", "number", 14),
        Column("amount", "amount", 14),
    ),
)
SHEETS: Final = (OFFERINGS, PLANS, PRICES)
HOW_TO: Final = (
    "How to change the catalog with this workbook",
    "",
    "Edit the cells that have no shade, save the file, and upload it under Change sets. Only what differs becomes a change set, which a second person approves.",
    "Grey columns tell the rows apart: leave them as they are. Rows may be left out; what is not here stays as it is.",
    "Days are days, numbers are numbers. Lists are separated by commas. Paste values, not formulas.",
    "An empty cell means none, every country, or unknown. In amount it means that the price is unknown; 0 is free.",
    "Offerings: an empty billing_countries is every country; the word none is no country at all.",
    "Plans: a row without an id is a new plan of its offering.",
    "Prices: the rows of one price_version are one price. Edit them to correct it: the correction takes its place on all its days.",
    "Prices: for a new price from a day on, add rows without a price_version: it ends the open one before it on its first day.",
)


def write_workbook(out: IO[bytes], offerings: Iterable[Offering], *, on: date) -> int:
    """Write the workbook of *offerings*, with the prices that are in effect on *on* or come after. 7 queries. Returns how many offerings.

    Texts are written as texts, whatever they begin with: none of them can become a formula.
    """
    rows = list(offerings)
    book = Workbook(
        out,
        {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "default_date_format": "yyyy-mm-dd",
        },
    )
    writer = _Writer(book)
    writer.sheet(OFFERINGS, ([offering_cell(o, c.name) for c in OFFERINGS.columns] for o in rows))
    plans = [plan for offering in rows for plan in offering.plans.all()]
    of = {offering.pk: offering for offering in rows}
    writer.sheet(
        PLANS, ([plan_cell(plan, of[plan.offering_id], c.name) for c in PLANS.columns] for plan in plans)
    )
    writer.sheet(PRICES, _price_rows(plans, of, on))
    notes = book.add_worksheet("Read me")
    notes.set_column(0, 0, 140)
    for number, text in enumerate(HOW_TO):
        notes.write_string(number, 0, text)
    book.close()
    return len(rows)


def for_workbook(offerings: QuerySet[Offering]) -> list[Offering]:
    """The offerings of a queryset with what the workbook says of them; one more than MOST_OFFERINGS says that there are too many. 4 queries."""
    return list(with_facts(offerings).order_by("name", "pk")[: MOST_OFFERINGS + 1])


def list_prices(plan_ids: Iterable[int], on: date) -> list[PriceVersion]:
    """List prices that hold on *on* or later, with their rows. 2 queries."""
    return list(
        PriceVersion.objects.filter(plan__in=list(plan_ids), superseded_at=None, private_offer=None)
        .filter(Q(effective__endswith=None) | Q(effective__endswith__gt=on))
        .select_related("plan")
        .prefetch_related("rows")
        .order_by("plan__offering__name", "plan__position", "plan_id", "market", "currency_id", "effective")
    )


def _price_rows(plans: Sequence[Plan], of: dict[int, Offering], on: date) -> Iterable[list[Any]]:
    for version in list_prices([plan.pk for plan in plans], on):
        head = [
            version.pk,
            of[version.plan.offering_id].slug,
            version.plan.slug,
            version.market,
            version.currency_id,
            version.effective.lower,
            version.effective.upper,
            version.source,
        ]
        for row in sorted(version.rows.all(), key=lambda r: r.pk):
            yield [*head, row.meter, row.per, row.unit, row.tier_from, row.above_context, row.amount]


def offering_cell(offering: Offering, name: str) -> Any:
    """A field of an offering as its cell holds it."""
    match name:
        case "publisher":
            return offering.publisher.slug
        case "replacement":
            return offering.replacement.slug if offering.replacement is not None else None
        case "task_areas":
            return [area.slug for area in offering.task_areas.all()]
    return getattr(offering, name)


def plan_cell(plan: Plan, offering: Offering, name: str) -> Any:
    match name:
        case "offering":
            return offering.slug
        case "revision":
            return offering.revision
    return getattr(plan, name)


class _Writer:
    def __init__(self, book: Any) -> None:
        self.book = book
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.fixed = book.add_format({"bg_color": "#EDEDF2"})
        self.day = book.add_format({"num_format": "yyyy-mm-dd"})
        self.fixed_day = book.add_format({"num_format": "yyyy-mm-dd", "bg_color": "#EDEDF2"})
        self.amount = book.add_format({"num_format": "0.##########"})
        self.plain = book.add_format({})

    def sheet(self, sheet: Sheet, rows: Iterable[list[Any]]) -> None:
        page = self.book.add_worksheet(sheet.name)
        page.freeze_panes(1, next((n for n, c in enumerate(sheet.columns) if not c.fixed), 1))
        for number, column in enumerate(sheet.columns):
            page.set_column(number, number, column.width)
            page.write_string(0, number, column.name, self.head)
        last = 0
        for last, row in enumerate(rows, start=1):
            for number, (column, value) in enumerate(zip(sheet.columns, row, strict=True)):
                self._cell(page, last, number, column, value)
        page.autofilter(0, 0, last, len(sheet.columns) - 1)

    def _cell(self, page: Any, row: int, place: int, column: Column, value: Any) -> None:
        style = self.fixed if column.fixed else self.plain
        match value:
            case None | "":
                page.write_blank(row, place, None, style)
            case bool():
                page.write_boolean(row, place, value, style)
            case int() if abs(value) < 10**ACCURATE:
                page.write_number(row, place, value, style)
            case Decimal() if len(value.normalize().as_tuple().digits) <= ACCURATE:
                page.write_number(row, place, float(value), self.amount)
            case date():
                page.write_datetime(
                    row,
                    place,
                    datetime(value.year, value.month, value.day),  # noqa: DTZ001 -- a day has no zone
                    self.fixed_day if column.fixed else self.day,
                )
            case list():
                nothing = "none" if column.name in ("billing_countries", "regions") else ""
                page.write_string(row, place, ", ".join(value) or nothing, style)
            case Decimal():
                page.write_string(row, place, f"{value:f}", style)
            case _:
                page.write_string(row, place, str(value), style)
