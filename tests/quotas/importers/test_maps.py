"""Maps: what they say, what they refuse, and what they make of rows. The examples in docs/ are read here too."""

import re
import tomllib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.models import CommercialPath, Origin
from quotas.importers import fields
from quotas.importers.converting import Remembered
from quotas.importers.fields import FIELDS
from quotas.importers.layouts import Cell, Layout
from quotas.importers.maps import (
    KEYS,
    PERIOD_FORMS,
    ImportMapping,
    Split,
    Wrong,
    WrongMap,
    bind,
    draft_of,
    period_named,
    read_map,
    write_map,
)
from quotas.importers.tables import layout_of, rows
from quotas.importers.values import DATE_FORMATS
from quotas.models import DealKind, ImportKind, QuotaMethod, SalesRole

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"

DEALS = """
kind = "deals"
source = "crm"
[columns]
external_id = "Id"
stage = "Stage"
owner = "Owner"
account = "Account"
offering = "Product"
amount = "Amount"
close_date = "Closed"
[constants]
currency = "USD"
[values.stage]
"Closed Won" = "submitted"
"Lost" = "cancelled"
"Open" = "skip"
"""
HEADS = ("Id", "Stage", "Owner", "Account", "Product", "Amount", "Closed")
WON: tuple[Cell, ...] = ("7", "closed won ", "Ann Lee", "Acme", "Team plan", "1200.50", "2026-07-14")


def layout(*columns: str) -> Layout:
    return Layout("csv", "utf-8", ",", "", (), columns, 1)


def read(
    text: str, cells: Sequence[Cell], heads: Sequence[str] = HEADS
) -> tuple[dict[str, Any], list[Wrong]]:
    return bind(read_map(text), layout(*heads)).read(cells)


def filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [])}


def problems(text: str) -> dict[str, str]:
    """Code by place."""
    with pytest.raises(WrongMap) as why:
        read_map(text)
    return {problem.pointer: problem.code for problem in why.value.problems}


def test_the_words_of_maps_are_those_of_the_models() -> None:
    assert list(FIELDS) == ImportKind.values
    assert set(fields.DEAL_KINDS) == set(DealKind.values)
    assert set(fields.ROLES) == set(SalesRole.values)
    assert set(fields.METHODS) == set(QuotaMethod.values)
    assert set(fields.ORIGINS) == set(Origin.values)
    assert set(fields.PATHS) == set(CommercialPath.values)


def test_a_row_becomes_typed_values() -> None:
    values, wrong = read(DEALS, WON)
    assert wrong == []
    assert filled(values) == {
        "external_id": "7",
        "stage": "submitted",
        "owner": "Ann Lee",
        "account": "Acme",
        "offering": "Team plan",
        "kind": "new_business",
        "amount": Decimal("1200.50"),
        "currency": "USD",
        "close_date": date(2026, 7, 14),
    }
    assert values.keys() == {spec.name for spec in FIELDS["deals"]} | {"splits"}


def test_typed_cells_of_a_workbook_are_taken_as_they_are() -> None:
    values, wrong = read(DEALS, (Decimal("7.0"), "Closed Won", Decimal(285), "A", "B", Decimal("9.5"), date(2026, 7, 1)))  # fmt: skip
    assert wrong == []
    assert (values["external_id"], values["owner"]) == ("7", "285")
    assert (values["amount"], values["close_date"]) == (Decimal("9.5"), date(2026, 7, 1))


def test_translations_prefixes_defaults_and_nulls() -> None:
    text = (
        DEALS
        + '[values.offering]\n"GTXPro" = "GTX Pro"\n"*" = "Other"\n[prefixes]\nowner = "No. "\n[defaults]\naccount = "Unknown"\n'
    )
    values, wrong = read(text, ("7", "Closed Won", "  12 ", "NULL", "gtxpro", "-5", "2026-07-14"))
    assert wrong == []
    assert (values["owner"], values["account"], values["offering"]) == ("No. 12", "Unknown", "GTX Pro")
    assert read(text, ("7", "Closed Won", "12", "-", "MG", "1", "2026-07-14"))[0]["offering"] == "Other"


def test_what_is_wrong_is_named_with_its_column() -> None:
    values, wrong = read(DEALS, ("1.23E+14", "Negotiation", "", "Acme;Beta", "Team plan", "1,200", "00:00.0"))
    assert [(one.field, one.column, one.code) for one in wrong] == [
        ("external_id", "Id", "id_destroyed"),
        ("stage", "Stage", "unknown_value"),
        ("owner", "Owner", "empty"),
        ("account", "Account", "several_values"),
        ("amount", "Amount", "wrong_number_format"),
        ("close_date", "Closed", "date_destroyed"),
    ]
    assert values["amount"] is None
    assert "Negotiation" in wrong[1].message
    assert "values.stage" in wrong[1].message


@pytest.mark.parametrize(
    ("stage", "external_id", "codes"),
    [("Open", "", []), ("Lost", "8", []), ("Lost", "", ["empty"]), ("Closed Won", "", ["empty"] * 5)],
)
def test_only_what_comes_in_must_be_whole(stage: str, external_id: str, codes: list[str]) -> None:
    values, wrong = read(DEALS, (external_id, stage, "Ann", "", "", "", ""))
    assert [one.code for one in wrong] == codes
    assert values["owner"] == "Ann"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("$100", "USD", None),
        ("$100", "CAD", None),
        ("€100", "USD", "currency_disagrees"),
        ("100 EUR", "USD", "currency_disagrees"),
        ("(100)", "EUR", None),
        ("kr 100", "USD", "currency_disagrees"),
    ],
)
def test_an_amount_in_another_currency_is_not_booked(amount: str, currency: str, code: str | None) -> None:
    _, wrong = read(DEALS.replace("USD", currency), (*WON[:5], amount, WON[6]))
    assert [one.code for one in wrong] == ([code] if code else [])


def test_splits_are_read_in_order_and_must_be_whole() -> None:
    text = DEALS + '[[splits]]\nrep = "R1"\npercent = "P1"\n[[splits]]\nrep = "R2"\npercent = "P2"\n'
    heads = (*HEADS, "R1", "P1", "R2", "P2")
    assert read(text, (*WON, "Ann", "60%", "Bo", "40"), heads)[0]["splits"] == [
        ("Ann", Decimal(60)),
        ("Bo", Decimal(40)),
    ]
    assert read(text, (*WON, "", "", None, ""), heads)[0]["splits"] == []
    assert [one.code for one in read(text, (*WON, "Ann", "", "", "40"), heads)[1]] == [
        "empty",
        "split_of_nobody",
    ]
    assert [one.code for one in read(text, (*WON, "Ann", "140", "", ""), heads)[1]] == ["not_a_percentage"]
    parts = text + '[formats]\npercent = "0-1"\n'
    assert read(parts, (*WON, "Ann", "0.6", "Bo", "40 %"), heads)[0]["splits"] == [
        ("Ann", Decimal("60.0")),
        ("Bo", Decimal(40)),
    ]


def test_a_version_sorts_as_text_whatever_it_is() -> None:
    text = (
        DEALS.replace("[constants]", 'changed_on = "M"\n[constants]')
        + '[formats.dates]\nchanged_on = "MM/DD/YYYY"\n'
    )
    written = [
        "9",
        "10",
        "07/01/2026",
        "07/01/2026 9:05 AM",
        "07/01/2026 1:00:30 p.m.",
        "07/02/2026 12:00 AM",
    ]
    read_as = [read(text, (*WON, one), (*HEADS, "M"))[0]["changed_on"] for one in written]
    assert read_as[2:] == ["2026-07-01", "2026-07-01T09:05:00", "2026-07-01T13:00:30", "2026-07-02"]
    assert read_as[:2] == sorted(read_as[:2])
    assert read_as[2:] == sorted(read_as[2:])


def test_flags_whole_numbers_and_kinds() -> None:
    text = DEALS.replace(
        "[constants]",
        'new_customer = "New"\nterm_months = "Term"\nkind = "Type"\nrefunds = "Of"\n[constants]',
    )
    heads = (*HEADS, "New", "Term", "Type", "Of")

    def values(*more: Cell) -> tuple[Any, ...]:
        found, wrong = read(text, (*WON, *more), heads)
        return found["new_customer"], found["term_months"], found["kind"], [one.code for one in wrong]

    assert values("Yes", "12", "New Business", "") == (True, 12, "new_business", [])
    assert values("FALSE", Decimal("12.0"), "", "D-1") == (False, 12, "refund", [])
    assert values("", "", "", "") == (None, None, "new_business", [])
    assert values("maybe", "1.5", "Gift", "") == (None, None, "new_business", ["not_a_flag", "not_whole", "not_a_choice"])  # fmt: skip


# The map itself


def test_a_map_that_is_no_toml_says_where() -> None:
    with pytest.raises(WrongMap) as why:
        read_map('kind = "deals"\nsource = crm')
    assert why.value.problems[0].code == "not_toml"
    assert "line 2" in why.value.problems[0].message
    assert problems("a = " + "[" * 5000) == {"": "not_toml"}
    assert problems("a = " + "9" * 5000) == {"": "not_toml"}
    assert problems("kind = 0x" + "f" * 5000)["kind"] == "missing"
    assert problems("x" * 300_000) == {"": "map_too_large"}


@pytest.mark.parametrize(
    ("change", "place", "code"),
    [
        (("[columns]", "[colums]"), "colums", "unknown_key"),
        (('amount = "Amount"', 'amont = "Amount"'), "columns.amont", "unknown_key"),
        (('amount = "Amount"', ""), "columns.amount", "missing"),
        (('"submitted"', '"won"'), 'values.stage."Closed Won"', "not_a_choice"),
        (('"Lost" = "cancelled"', '"closed won" = "skip"'), 'values.stage."closed won"', "value_twice"),
        (('"USD"', '"Dollars"'), "constants.currency", "not_a_currency"),
        (('"USD"', '"?"'), "constants.currency", "undecided"),
        (('"crm"', '"parity"'), "source", "source_reserved"),
        (('"crm"', '"My CRM"'), "source", "source_name"),
        (('"deals"', '"deal"'), "kind", "not_a_choice"),
        (("[constants]", '[constants]\namount = "5"'), "constants.amount", "column_and_constant"),
        (("[constants]", "[constants]\nkind = [1]"), "constants.kind", "not_a_text"),
        (("[constants]", "columns = 5\n[constants]"), "columns.columns", "unknown_key"),
        (("[columns]", 'formats = 5\n[columns]'), "formats", "not_a_table"),
        (("[columns]", '[formats]\ndate = "dd.mm"\n[columns]'), "formats.date", "unknown_date_format"),
        (("[columns]", '[formats]\ndecimal = ","\ngrouping = ","\n[columns]'), "formats.grouping", "number_format"),
        (("[columns]", '[file]\nencoding = "rot13"\n[columns]'), "file.encoding", "unknown_encoding"),
        (("[columns]", '[file]\ndelimiter = "::"\n[columns]'), "file.delimiter", "delimiter"),
        (("[columns]", '[[splits]]\nrep = "R1"\n[columns]'), "splits.0.percent", "missing"),
        (("[columns]", '[create]\nsince = "yesterday"\n[columns]'), "create.since", "not_a_day"),
        (("[columns]", '[prefixes]\namount = "x"\n[columns]'), "prefixes.amount", "prefix"),
        (("[columns]", '[defaults]\ntitle = "x"\n[columns]'), "defaults.title", "no_column"),
        (("[columns]", '[periods]\n"Jul" = "FY27-M01"\n[columns]'), "periods", "periods"),
    ],
)  # fmt: skip
def test_what_a_map_gets_wrong_is_said_at_its_place(change: tuple[str, str], place: str, code: str) -> None:
    assert change[0] in DEALS
    assert problems(DEALS.replace(*change, 1))[place] == code


def test_every_problem_is_said_at_once_and_the_rest_is_understood() -> None:
    mapping, found = draft_of('kind = "deals"\n[columns]\nowner = "Rep"\namount = "?"\n[formats]\ndate = "?"')
    assert mapping.columns == {"owner": "Rep", "amount": "?"}
    assert {p.pointer for p in found if p.code == "undecided"} == {"columns.amount", "formats.date"}
    assert {p.pointer for p in found if p.code == "missing"} == {
        *("source", "columns.external_id", "columns.stage", "columns.account"),
        *("columns.offering", "columns.currency", "columns.close_date"),
    }


def test_the_nearest_known_word_is_offered() -> None:
    with pytest.raises(WrongMap, match="Did you mean “columns”"):
        read_map(DEALS.replace("[columns]", "[colums]"))


def test_a_column_that_the_file_does_not_have_is_named_with_those_it_has() -> None:
    with pytest.raises(WrongMap) as why:
        bind(read_map(DEALS), layout(*HEADS[:5], "Amont", "Closed"))
    (problem,) = why.value.problems
    assert (problem.code, problem.pointer) == ("no_such_column", "columns.amount")
    assert "Did you mean “Amont”?" in problem.message
    assert "Id, Stage, Owner, Account, Product, Amont, Closed" in problem.message


def test_columns_are_found_whatever_their_case_and_the_exact_one_first() -> None:
    heads = (" ID", "STAGE ", "owner", "ACCOUNT", "account", "product", "Amount", "Closed")
    values, wrong = read(
        DEALS.replace('"Account"', '"account"'), ("7", "Lost", "A", "upper", "lower", "P", "1", ""), heads
    )
    assert wrong == []
    assert values["account"] == "lower"


texts = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12).map(str.strip).filter(lambda t: t not in ("", "?"))  # fmt: skip


@settings(max_examples=40)
@given(
    columns=st.fixed_dictionaries(
        {s.name: texts for s in FIELDS["deals"] if s.needed and s.name != "currency"}
    ),
    stages=st.dictionaries(texts, st.sampled_from(fields.STAGES), min_size=1, max_size=4),
    splits=st.lists(st.builds(Split, texts, texts), max_size=3).map(tuple),
    nulls=st.frozensets(texts, max_size=3),
    numbers=st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "")]),
    delimiter=st.sampled_from(["", ";", "\t", "|"]),
)
def test_a_map_reads_as_it_was_written(
    columns: dict[str, str],
    stages: dict[str, str],
    splits: tuple[Split, ...],
    nulls: frozenset[str],
    numbers: tuple[str, str],
    delimiter: str,
) -> None:
    mapping = ImportMapping(
        "deals",
        name="Ours",
        source="crm",
        delimiter=delimiter,
        nulls=nulls,
        decimal=numbers[0],
        grouping=numbers[1],
        date_format="DD.MM.YYYY",
        date_formats={"close_date": "D Mon YYYY"},
        columns=columns,
        constants={"currency": "EUR"},
        prefixes={"account": "No. "},
        values={"stage": stages},
        splits=splits,
        several_lines=True,
        fractions=True,
        calendar="CY",
        create={"since": "2017-01-01"},
    )
    text = write_map(mapping)
    assert draft_of(text)[0] == mapping
    assert {p.code for p in draft_of(text)[1]} <= {"value_twice"}


# Quotas


QUOTAS = 'kind = "quotas"\n[columns]\nrep = "Rep"\n[constants]\ncurrency = "EUR"\n[formats]\ndecimal = ","\ngrouping = "."\n'


def test_a_column_a_month_becomes_targets() -> None:
    text = QUOTAS + '[periods]\nform = "MMM YYYY"\n"Rest" = "FY27-H2"\n'
    heads = ("Rep", "Note", "Jul 2026", "August 2026", "Rest")
    values, wrong = read(text, ("Ann", "Sep 2026", "1.200,50", "", Decimal(9)), heads)
    assert wrong == []
    assert sorted(values["targets"]) == [("2026-07-01", Decimal("1200.50")), ("FY27-H2", Decimal(9))]
    with pytest.raises(WrongMap, match="named like a period"):
        bind(read_map(QUOTAS + '[periods]\nform = "YYYY-MM"'), layout(*heads))
    assert problems(QUOTAS) == {"columns.amount": "missing", "columns.period": "missing"}


@pytest.mark.parametrize(
    ("head", "form", "period"),
    [
        ("Jul 2026", "", "2026-07-01"),
        ("July-2026", "", "2026-07-01"),
        ("Jul-26", "", "2026-07-01"),
        ("Sept '26", "", "2026-09-01"),
        ("2026-07", "", "2026-07-01"),
        ("2026-07-01 00:00:00", "", "2026-07-01"),
        ("202607", "YYYY-MM", "2026-07-01"),
        ("7/2026", "", "2026-07-01"),
        ("fy27-m01", "", "FY27-M01"),
        ("FY2027 Q1", "", "FY27-Q1"),
        ("Q1 FY27", "", "FY27-Q1"),
        ("FY27", "", "FY27"),
        ("Q3 2017", "", ""),
        ("Q3 2017", "Q1 2027", "CY17-Q3"),
        ("2017Q3", "Q1 2027", "CY17-Q3"),
        ("2026-13", "", ""),
        ("FY27-Q5", "", ""),
        ("Region 12", "", ""),
        ("Target", "", ""),
    ],
)
def test_periods_are_read_off_their_names(head: str, form: str, period: str) -> None:
    assert period_named(head, form, "CY" if form == "Q1 2027" else "") == period


# The examples


def named_by(mapping: ImportMapping) -> list[str]:
    pairs = [name for one in mapping.splits for name in (one.rep, one.percent)]
    heads = [*mapping.columns.values(), *pairs, *mapping.periods]
    return list(dict.fromkeys([*heads, "Aug 2026"] if mapping.period_form else heads))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_map(path: Path) -> None:
    mapping = read_map(path.read_text(encoding="utf-8"))
    assert read_map(write_map(mapping)) == mapping
    bind(mapping, layout(*named_by(mapping)))


def test_the_map_of_the_documentation_has_every_key_and_can_be_used() -> None:
    text = (EXAMPLES.parent / "importing.md").read_text(encoding="utf-8")
    deals, quotas = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    bind(mapping := read_map(deals), layout(*named_by(mapping)))
    found = tomllib.loads(deals + quotas)
    assert found.keys() == set(KEYS[""])
    for table in ("file", "formats", "rows", "create"):
        assert found[table].keys() == set(KEYS[table]), table
    for form in (*DATE_FORMATS, *PERIOD_FORMS):
        assert form in text or re.search(r"\bYY\b", form), form
    for spec in (spec for specs in FIELDS.values() for spec in specs):
        assert f"`{spec.name}`" in text, spec.name


@pytest.fixture
def crm(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "crm"
    if not folder.is_dir():
        pytest.skip("the CRM samples are not beside the checkout")
    return folder


def all_rows(example: str, path: Path) -> list[tuple[dict[str, Any], list[Wrong]]]:
    mapping = read_map((EXAMPLES / example).read_text(encoding="utf-8"))
    with path.open("rb") as file:
        found = layout_of(file, file_name=path.name, encoding=mapping.encoding, delimiter=mapping.delimiter)
        reader = bind(mapping, found)
        return [reader.read(cells) for _, cells in rows(file, found)]


def test_the_example_for_maven_reads_its_files(crm: Path) -> None:
    found = all_rows("maven.toml", crm / "maven" / "sales_pipeline.csv")
    assert len(found) == 8_800
    assert [wrong for _, wrong in found if wrong] == []
    won = [values for values, _ in found if values["stage"] == "approved"]
    assert (len(won), sum(values["amount"] for values in won)) == (4_238, 10_005_534)
    assert "GTXPro" not in {values["offering"] for values in won}
    assert all(values["account"] and values["close_date"] for values in won)
    people = all_rows("maven-reps.toml", crm / "maven" / "sales_teams.csv")
    assert len({values["rep"] for values, wrong in people if not wrong}) == 35
    assert {values["team"] for values, _ in people} == {"Central", "East", "West"}


def test_the_examples_for_adventure_works_read_their_files(crm: Path) -> None:
    folder = crm / "adventureworks_2017q3"
    orders = all_rows("adventureworks-orders.toml", folder / "aw_orders_2017Q3.csv")
    assert (len(orders), [wrong for _, wrong in orders if wrong]) == (173, [])
    assert orders[0][0]["account"] == "Reseller 676"
    quotas = all_rows("adventureworks-quotas.toml", folder / "aw_quotas_2017Q3.csv")
    assert (len(quotas), [wrong for _, wrong in quotas if wrong]) == (10, [])
    assert quotas[0][0]["period_end"] == date(2017, 9, 30)


def test_the_same_orders_written_by_three_people_are_the_same_and_destroyed_days_are_refused(crm: Path) -> None:  # fmt: skip
    folder = crm / "format_variants"
    iso = all_rows("adventureworks-lt-iso.toml", folder / "v1_iso_dates.csv")
    assert (len(iso), [wrong for _, wrong in iso if wrong]) == (32, [])
    assert iso[0][0]["amount"] == Decimal("880.3484")
    assert all_rows("adventureworks-lt-semicolon.toml", folder / "v4_semicolon_decimal_comma_bom.csv") == iso
    assert all_rows("adventureworks-lt-ddmmyyyy.toml", folder / "v5_ddmmyyyy_bom_null.csv") == iso
    for example in ("adventureworks-lt-iso.toml", "adventureworks-lt-ddmmyyyy.toml"):
        mangled = all_rows(example, folder / "v6_mangled_dates_bom.csv")
        assert len(mangled) == 32
        assert all("date_destroyed" in {one.code for one in wrong} for _, wrong in mangled)


def test_what_is_remembered_of_a_column_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quotas.importers.converting.MOST_REMEMBERED", 3)
    asked: list[Cell] = []

    def read_once(cell: Cell) -> Cell:
        asked.append(cell)
        return cell

    memory = Remembered(read_once)
    for number in range(20):
        assert memory[f"Account {number}"] == memory[f"Account {number}"] == f"Account {number}"
        assert memory["x" * 500] == "x" * 500
        assert len(memory) <= 3
    assert len(asked) == 40
