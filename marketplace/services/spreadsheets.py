"""An edited workbook becomes a change set with what differs, and nothing else. Every wrong cell is named by sheet, row and column."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from io import BytesIO
from typing import Any, Final

from django.db.models import Q
from openpyxl import load_workbook
from openpyxl.utils import get_column_letter

from accounts.models import User
from config.house import day
from config.refusals import Invalid, Problem
from marketplace.models import ChangeSet, Channel, Offering, Operation, PriceVersion
from marketplace.selectors.resources import with_facts
from marketplace.selectors.spreadsheets import (
    ACCURATE,
    OFFERINGS,
    PLANS,
    PRICES,
    SHEETS,
    Column,
    Sheet,
    offering_cell,
    plan_cell,
)
from marketplace.selectors.visibility import PUBLISHED
from marketplace.services.change_sets import ItemDraft, draft_change_set, validate
from marketplace.services.change_sets.desk import raw, raw_rows

MOST_BYTES: Final = 8_000_000
MOST_UNPACKED: Final = 150_000_000
MOST_PARTS: Final = 200
MOST_ROWS: Final = 60_000
MOST_PROBLEMS: Final = 1_000
WRONG_FILE: Final = "This is not the workbook that was exported here: "


@dataclass(slots=True)
class Line:
    """One row of a sheet: its number as the program shows it, and its values by column; wrong ones are absent."""

    sheet: Sheet
    number: int
    values: dict[str, Any]

    def at(self, name: str) -> str:
        """Pointer /Sheet/row/column."""
        names = self.sheet.headers
        place = names.index(name) + 1 if name in names else 1
        return f"/{self.sheet.name}/{self.number}/{get_column_letter(place)}"


@dataclass(slots=True)
class Read:
    """Items of a workbook, and for each of them the cells of its fields."""

    items: list[ItemDraft] = field(default_factory=list)
    places: list[dict[str, str]] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    rows: int = 0

    def wrong(self, line: Line, name: str, code: str, message: str) -> None:
        self.problems.append(Problem(code, message, line.at(name)))

    def add(self, item: ItemDraft, places: dict[str, str]) -> None:
        slug = item.body.get("offering") or item.body.get("slug")
        if slug in self.foreign:
            self.problems.append(
                Problem("other_publisher", f"{slug} is another publisher's: leave it as it is.", places[""])
            )
            return
        self.items.append(item)
        self.places.append(places)


def upload(
    *,
    content: bytes,
    file_name: str,
    by: User,
    at: datetime,
    on: date,
    publisher_id: int | None,
) -> ChangeSet | None:
    """A draft with what differs from the catalog; None where nothing does.

    publisher_id   Whose offerings may be edited; None is everybody's.
    Raises         Invalid: one problem (no pointer) for a file that is not such a workbook, else one for each wrong
                   cell with the pointer /sheet/row/column. Nothing is kept then.
    """
    read = compare(content, publisher_id=publisher_id, on=on)
    wrong = {problem.pointer: problem for problem in read.problems}
    for found in validate(items=read.items, publisher_id=publisher_id, on=on):
        if found.stops:  # a cell that cannot be read has been named already
            cell = _cell_of(read, found.pointer)
            wrong.setdefault(cell, Problem(found.code, found.message, cell))
    if wrong:
        raise Invalid(*sorted(wrong.values(), key=_in_order)[:MOST_PROBLEMS])
    if not read.items:
        return None
    return draft_change_set(
        title=f"Spreadsheet of {day(at)}: {len(read.items)} change{'s' if len(read.items) != 1 else ''}",
        items=read.items,
        by=by,
        at=at,
        publisher_id=publisher_id,
        channel=Channel.SPREADSHEET,
        source="".join(c for c in file_name if c.isprintable())[:200],
    )


def _in_order(problem: Problem) -> tuple[int, int, int, str]:
    """As the sheets stand in the workbook, row by row."""
    _empty, sheet, row, column = problem.pointer.split("/")
    return [one.name for one in SHEETS].index(sheet), int(row), len(column), column


def _cell_of(read: Read, pointer: str) -> str:
    """Where in the workbook the place of an item stands: its own cell, else that of the field around it, else its row."""
    _empty, _items, number, *rest = pointer.split("/")
    places = read.places[int(number)]
    inside = rest[1:]
    for length in range(len(inside), 0, -1):
        if (found := places.get("/".join(inside[:length]))) is not None:
            return found
    return places[""]


def compare(content: bytes, *, publisher_id: int | None, on: date) -> Read:
    """What differs from the catalog. 8 queries. Raises Invalid for a file that is not such a workbook."""
    sheets = _sheets(content)
    read = Read()
    lines = {sheet.name: list(_lines(read, sheet, rows)) for sheet, rows in sheets}
    read.rows = sum(len(of) for of in lines.values())
    seen = Offering.objects.all()
    if publisher_id is not None:  # what it may read, it may have exported; only its own it may change
        seen = seen.filter(Q(publisher=publisher_id) | Q(publication__in=PUBLISHED))
    slugs = {
        line.values.get("slug" if sheet == OFFERINGS.name else "offering")
        for sheet, of in lines.items()
        for line in of
    }
    known = {o.slug: o for o in with_facts(seen.filter(slug__in=[s for s in slugs if isinstance(s, str)]))}
    if publisher_id is not None:
        read.foreign = {slug for slug, offering in known.items() if offering.publisher_id != publisher_id}
    for line in lines.get(OFFERINGS.name, ()):
        _offering(read, line, known)
    for line in lines.get(PLANS.name, ()):
        _plan(read, line, known)
    _prices(read, lines.get(PRICES.name, ()), known)
    return read


# --- the file


def _refuse(message: str, code: str = "not_a_workbook") -> Invalid:
    return Invalid(Problem(code, message))


def _sheets(content: bytes) -> list[tuple[Sheet, list[list[tuple[Any, bool]]]]]:
    """The known sheets of a workbook with their rows of (value, is a formula). Raises Invalid with one message."""
    _look_inside(content)
    try:
        book = load_workbook(BytesIO(content), read_only=True, data_only=False, keep_links=False)
    except Exception as failure:
        raise _refuse(f"{WRONG_FILE}it is damaged, and cannot be read.") from failure
    try:
        missing = [sheet.name for sheet in SHEETS if sheet.name not in book.sheetnames]
        if len(missing) == len(SHEETS):
            there = ", ".join(str(name)[:40] for name in book.sheetnames[:5])
            raise _refuse(f"{WRONG_FILE}it has none of the sheets Offerings, Plans and Prices, but {there}.")
        return [
            (sheet, _rows_of(sheet, book[sheet.name])) for sheet in SHEETS if sheet.name in book.sheetnames
        ]
    except Invalid:
        raise
    except Exception as failure:
        raise _refuse(f"{WRONG_FILE}it is damaged, and cannot be read.") from failure
    finally:
        book.close()


def _look_inside(content: bytes) -> None:
    """Before anything is unpacked: is it a workbook, is it small enough, does it bring definitions of its own?"""
    if not content:
        raise _refuse("The file is empty.", "empty_file")
    if len(content) > MOST_BYTES:
        raise _refuse(
            f"The file is larger than {MOST_BYTES // 1_000_000} MB: upload it in parts.", "too_large"
        )
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise _refuse(
            f"{WRONG_FILE}it is in the old format or protected by a password. Save it as .xlsx without one."
        )
    if not content.startswith(b"PK"):
        raise _refuse(f"{WRONG_FILE}it is not an .xlsx file.")
    try:
        with zipfile.ZipFile(BytesIO(content)) as parts:
            inside = parts.infolist()
            if "[Content_Types].xml" not in parts.namelist():
                raise _refuse(f"{WRONG_FILE}it is an archive, but no .xlsx file.")
            if len(inside) > MOST_PARTS or sum(part.file_size for part in inside) > MOST_UNPACKED:
                raise _refuse("The workbook unpacks to more than is read here.", "too_large")
            for part in inside:
                if part.filename.endswith((".xml", ".rels")):
                    _plain_xml(parts, part)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
    ) as failure:
        raise _refuse(f"{WRONG_FILE}it is damaged, and cannot be read.") from failure
    except Exception as failure:
        if isinstance(failure, Invalid):
            raise
        raise _refuse(f"{WRONG_FILE}it is damaged, and cannot be read.") from failure


def _plain_xml(parts: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Entities could make a small part endless; a workbook has none, nor another encoding to hide them in."""
    with parts.open(part) as stream:
        behind = b""
        first = True
        while piece := stream.read(1 << 20):
            if first and (piece[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in piece[:200]):
                raise _refuse(f"{WRONG_FILE}its parts are in an encoding that no workbook has.")
            first = False
            if b"<!DOCTYPE" in behind + piece or b"<!ENTITY" in behind + piece:
                raise _refuse(f"{WRONG_FILE}it brings definitions of its own.")
            behind = piece[-16:]


def _rows_of(sheet: Sheet, page: Any) -> list[list[tuple[Any, bool]]]:
    """Rows below the header, as long as its columns. Raises Invalid if the header is another one."""
    wide = len(sheet.columns)
    rows: list[list[tuple[Any, bool]]] = []
    headed = False
    for number, row in enumerate(page.iter_rows(max_row=MOST_ROWS + 2, max_col=wide + 3)):
        cells = [(cell.value, getattr(cell, "data_type", "") == "f") for cell in row]
        if number == 0:
            _same_header(sheet, [value for value, _formula in cells])
            headed = True
            continue
        if number > MOST_ROWS:
            raise _refuse(
                f"The sheet {sheet.name} has more than {MOST_ROWS:,} rows: upload it in parts.", "too_large"
            )
        rows.append(cells[:wide])
    if not headed:
        raise _refuse(f"{WRONG_FILE}the sheet {sheet.name} is empty.")
    return rows


def _same_header(sheet: Sheet, found: Sequence[Any]) -> None:
    given = [str(value).strip() if value is not None else "" for value in found]
    while given and not given[-1]:
        given.pop()
    for place, name in enumerate(sheet.headers):
        here = given[place] if place < len(given) else ""
        if here != name:
            raise _refuse(
                f"{WRONG_FILE}in the sheet {sheet.name}, column {get_column_letter(place + 1)} is headed"
                f" {here[:40] or 'nothing'!r} and should be {name!r}. Leave the first row as it was exported.",
                "changed_headers",
            )
    if len(given) > len(sheet.headers):
        raise _refuse(
            f"{WRONG_FILE}the sheet {sheet.name} has a column more, headed {given[len(sheet.headers)][:40]!r}.",
            "changed_headers",
        )


# --- cells


def _lines(read: Read, sheet: Sheet, rows: Sequence[Sequence[tuple[Any, bool]]]) -> Iterator[Line]:
    for number, cells in enumerate(rows, start=2):
        if all(value is None or value == "" for value, _formula in cells):
            continue
        line = Line(sheet, number, {})
        padded = [*cells, *[(None, False)] * (len(sheet.columns) - len(cells))]
        for column, (value, formula) in zip(sheet.columns, padded, strict=True):
            if formula:
                read.wrong(line, column.name, "formula", "This is a formula: paste its value instead.")
                continue
            try:
                line.values[column.name] = _value(column, value)
            except ValueError as wrong:
                read.wrong(line, column.name, "wrong_cell", str(wrong))
        yield line


def _value(column: Column, value: Any) -> Any:
    """What a cell means. Raises ValueError with a sentence."""
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        return None
    match column.kind:
        case "text":
            if isinstance(value, bool | datetime | date):
                raise ValueError("Write a text.")
            return _number_text(value) if isinstance(value, int | float) else str(value)
        case "words":
            words = [word.strip() for word in str(value).split(",") if word.strip()]
            return [] if words == ["none"] else words
        case "day":
            return _day(value)
        case "flag":
            if isinstance(value, bool):
                return value
            known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if str(value).lower() in known:
                return known[str(value).lower()]
            raise ValueError("Write TRUE or FALSE.")
        case "number" | "id":
            number = _decimal(value)
            if number != number.to_integral_value() or abs(number) >= 10**ACCURATE:
                raise ValueError("Write a whole number.")
            return int(number)
        case "amount":
            return _decimal(value)


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        if (value.hour, value.minute, value.second) != (0, 0, 0):
            raise ValueError("Write a day without a time.")
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{str(value)[:40]!r} is no day: write it as 2026-08-14.") from None


def _decimal(value: Any) -> Decimal:
    """Exact for what a spreadsheet can hold: a number of at most 15 digits, or a text with more."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("Write a number.")
    written = f"{value:.{ACCURATE}g}" if isinstance(value, float) else str(value)
    try:
        number = Decimal(written)
    except InvalidOperation:
        raise ValueError(f"{written[:40]!r} is no number.") from None
    if not number.is_finite() or abs(number.adjusted()) > 20 or not written.isascii() or "_" in written:
        raise ValueError("Write a number.")
    return number


def _number_text(value: int | float) -> str:
    return f"{value:.{ACCURATE}g}" if isinstance(value, float) else str(value)


# --- what differs


def _offering(read: Read, line: Line, known: dict[str, Offering]) -> None:
    offering = known.get(line.values.get("slug") or "")
    if offering is None or line.values.get("id") != offering.pk:
        if "slug" in line.values and "id" in line.values:
            read.wrong(
                line,
                "slug",
                "unknown_offering",
                "There is no such offering with this id. New ones are written in a change set, not here.",
            )
        return
    for name in ("publisher", "kind"):
        if name in line.values and line.values[name] != offering_cell(offering, name):
            read.wrong(line, name, "fixed", f"The {name} of an offering cannot be changed.")
    body: dict[str, Any] = {"slug": offering.slug}
    for column in OFFERINGS.columns:
        if column.fixed or column.name not in line.values:
            continue
        value = line.values[column.name]
        if column.name == "task_areas" and value is None:
            value = []
        was = offering_cell(offering, column.name)
        if not _same(was, value):
            body[column.name] = _as_json(column, value)
    if len(body) == 1:
        return
    if line.values.get("revision") != offering.revision:
        _stale(read, line, offering)
        return
    places = {c.name: line.at(c.name) for c in OFFERINGS.columns} | {"": line.at("slug")}
    read.add(ItemDraft(Operation.OFFERING_UPDATE, body, offering.revision), places)


def _plan(read: Read, line: Line, known: dict[str, Offering]) -> None:
    slug = line.values.get("offering") or ""
    offering = known.get(slug)
    if offering is None:
        if "offering" in line.values:
            read.wrong(line, "offering", "unknown_offering", "There is no such offering.")
        return
    places = {c.name: line.at(c.name) for c in PLANS.columns} | {"": line.at("slug"), "plan": line.at("slug")}
    pk = line.values.get("id")
    if pk is None and "id" in line.values:
        body = {
            c.name: _as_json(c, line.values[c.name])
            for c in PLANS.columns
            if c.name in line.values
            and c.name not in ("id", "revision", "withdrawn_on")
            and line.values[c.name] is not None
        }
        read.add(ItemDraft(Operation.PLAN_CREATE, body), places)
        return
    plan = next((p for p in offering.plans.all() if p.pk == pk), None)
    if plan is None or plan.slug != line.values.get("slug"):
        read.wrong(line, "slug", "unknown_plan", f"{offering.name} has no such plan with this id.")
        return
    body = {"offering": slug, "plan": plan.slug}
    for column in PLANS.columns:
        if column.fixed or column.name not in line.values:
            continue
        if not _same(plan_cell(plan, offering, column.name), line.values[column.name]):
            body[column.name] = _as_json(column, line.values[column.name])
    if len(body) == 2:
        return
    if line.values.get("revision") != offering.revision:
        _stale(read, line, offering)
        return
    read.add(ItemDraft(Operation.PLAN_UPDATE, body, offering.revision), places)


def _stale(read: Read, line: Line, offering: Offering) -> None:
    read.wrong(
        line,
        "revision",
        "stale",
        f"{offering.name} is at revision {offering.revision} by now: export it again, then edit that.",
    )


def _same(was: Any, value: Any) -> bool:
    """Whether a cell says what is there. The order of a list plays no part; an empty text is none."""
    if isinstance(was, list) and isinstance(value, list):
        return sorted(was) == sorted(value)
    if isinstance(was, bool):
        return was == bool(value)
    return was == value or (was in ("", None) and value is None)


def _as_json(column: Column, value: Any) -> Any:
    """As a body has it: an empty text is a text, an empty list of tasks is a list, other empty cells are null."""
    if value is None:
        if column.name == "task_areas":
            return []
        if column.name in ("summary", "path_basis", "deployment", "zone"):
            return ""
        if column.kind == "flag":
            return False
        return None
    return raw(value)


def _prices(read: Read, lines: Sequence[Line], known: dict[str, Offering]) -> None:
    """Rows of one price_version are one price; rows without one are a new price of their plan from their day."""
    ids = {line.values["price_version"] for line in lines if line.values.get("price_version")}
    there = {
        version.pk: version
        for version in PriceVersion.objects.filter(
            Q(pk__in=[pk for pk in ids if 0 < pk < 2**63]),
            private_offer=None,
            plan__offering__in=[o.pk for o in known.values()],
        )
        .select_related("plan__offering")
        .prefetch_related("rows")
    }
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        if "price_version" not in line.values or "offering" not in line.values:
            continue  # said already
        if known.get(line.values["offering"] or "") is None:
            read.wrong(line, "offering", "unknown_offering", "There is no such offering.")
            continue
        pk = line.values["price_version"]
        key = (
            (pk,)
            if pk is not None
            else tuple(line.values.get(n) for n in ("offering", "plan", "market", "currency", "start", "end"))
        )
        groups.setdefault(key, []).append(line)
    for key, of in groups.items():
        if len(key) == 1:
            _edited(read, of, there.get(key[0]))
        else:
            _added(read, of)


def _row(line: Line) -> dict[str, Any]:
    values = line.values
    row: dict[str, Any] = {
        name: values[name] for name in ("meter", "per", "unit") if values.get(name) is not None
    }
    for name in ("tier_from", "above_context"):
        row[name] = values.get(name) or 0
    amount = values.get("amount")
    row["amount"] = None if amount is None else f"{amount:f}"
    return row


def _places(lines: Sequence[Line]) -> dict[str, str]:
    first = lines[0]
    places = {c.name: first.at(c.name) for c in PRICES.columns} | {
        "": first.at("offering"),
        "rows": first.at("meter"),
    }
    for number, line in enumerate(lines):
        places[f"rows/{number}"] = line.at("meter")
        places |= {
            f"rows/{number}/{name}": line.at(name)
            for name in ("meter", "per", "unit", "tier_from", "above_context", "amount")
        }
    return places


def _edited(read: Read, lines: Sequence[Line], version: PriceVersion | None) -> None:
    first = lines[0]
    if version is None:
        read.wrong(
            first,
            "price_version",
            "unknown_price_version",
            "There is no such price. Leave it empty for a new one.",
        )
        return
    fixed = {
        "offering": version.plan.offering.slug,
        "plan": version.plan.slug,
        "market": version.market,
        "currency": version.currency_id,
        "start": version.effective.lower,
        "end": version.effective.upper,
    }
    good = True
    for line in lines:
        for name, value in fixed.items():
            if name in line.values and line.values[name] != value:
                good = False
                read.wrong(
                    line,
                    name,
                    "fixed",
                    "This belongs to the price. For another one, leave price_version empty.",
                )
        sources = {of.values["source"] for of in (line, first) if "source" in of.values}
        if len(sources) > 1:
            good = False
            read.wrong(line, "source", "two_sources", "The rows of one price have one source.")
    rows = [_row(line) for line in lines]
    if not good or (
        _figures(rows) == _figures(raw_rows(version.rows.all()))
        and first.values.get("source") == version.source
    ):
        return
    if version.superseded_at is not None:
        read.wrong(
            first, "price_version", "superseded", "A correction has taken its place since: export it again."
        )
        return
    body = {
        "offering": version.plan.offering.slug,
        "price_version": version.pk,
        "source": first.values.get("source") or "",
        "rows": rows,
    }
    read.add(ItemDraft(Operation.PRICE_CORRECT, body), _places(lines))


def _figures(rows: Sequence[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {
        (
            row.get("meter"),
            row.get("per"),
            row.get("unit"),
            row["tier_from"],
            row["above_context"],
            None if row["amount"] is None else Decimal(row["amount"]).normalize(),
        )
        for row in rows
    }


def _added(read: Read, lines: Sequence[Line]) -> None:
    values = lines[0].values
    body: dict[str, Any] = {
        name: raw(values[name])
        for name in ("offering", "plan", "market", "currency", "start", "end", "source")
        if values.get(name) is not None
    }
    body["rows"] = [_row(line) for line in lines]
    body["ends_previous"] = True
    read.add(ItemDraft(Operation.PRICE_ADD, body), _places(lines))
