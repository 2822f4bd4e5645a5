"""The first map of a file: what known exports settle, what the cells settle, and what a person is asked."""

import csv
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.importers.fields import FIELDS
from quotas.importers.guessing import Guess, Question, guess
from quotas.importers.layouts import Cell, Layout
from quotas.importers.maps import UNDECIDED, bind, draft_of, read_map, write_map
from quotas.importers.samples import plain
from quotas.importers.tables import layout_of, rows
from quotas.importers.values import EXCEL_SERIAL

SALESFORCE = ("Opportunity Owner", "Account Name", "Opportunity ID (18 digit)", "Opportunity Name", "Stage", "Amount Currency", "Amount", "Probability (%)", "Close Date", "Created Date", "Type", "Product Name")  # fmt: skip
SOLD: tuple[Cell, ...] = ("Ann Lee", "Acme", "006A1", "Acme 5", "Closed Won", "USD", "1,200.50", "100", "7/14/2026", "6/30/2026", "Renewal", "Team plan")  # fmt: skip
OPEN: tuple[Cell, ...] = ("Bo Yu", "Beta", "006A2", "Beta 1", "Prospecting", "USD", "900.00", "10", "7/31/2026", "7/1/2026", "New Customer", "Team plan")  # fmt: skip


def layout(*columns: str) -> Layout:
    return Layout("csv", "utf-8", ",", "", (), columns, 1)


def deals(heads: Sequence[str], *samples: Sequence[Cell]) -> Guess:
    return guess("deals", layout(*heads), samples)


def changed(row: Sequence[Cell], **cells: Cell) -> list[Cell]:
    """A row of SALESFORCE with other cells, by the first word of their columns."""
    return [cells.get(head.split()[0] if head != "Amount Currency" else "Currency", cell) for head, cell in zip(SALESFORCE, row, strict=True)]  # fmt: skip


def asked(found: Guess, field: str) -> Question | None:
    return next((one for one in found.questions if one.field == field), None)


def test_a_salesforce_report_needs_no_question() -> None:
    found = deals(SALESFORCE, SOLD, OPEN)
    assert (found.matched, found.questions) == ("Salesforce", ())
    mapping = read_map(write_map(found.mapping))
    values, wrong = bind(mapping, layout(*SALESFORCE)).read(SOLD)
    assert wrong == []
    assert {name: value for name, value in values.items() if value not in (None, [])} == {
        "external_id": "006A1",
        "title": "Acme 5",
        "stage": "submitted",
        "owner": "Ann Lee",
        "account": "Acme",
        "offering": "Team plan",
        "kind": "renewal",
        "amount": Decimal("1200.50"),
        "currency": "USD",
        "close_date": date(2026, 7, 14),
        "created_on": date(2026, 6, 30),
    }
    # A stage further down than the samples is known too.
    assert (
        bind(mapping, layout(*SALESFORCE)).read(changed(SOLD, Stage="Closed Lost"))[0]["stage"] == "cancelled"
    )


def test_an_ambiguous_day_is_asked_about_and_never_decided() -> None:
    found = deals(SALESFORCE, changed(SOLD, Close="07/08/2026", Created="06/07/2026"))
    assert found.mapping.date_format == UNDECIDED
    question = asked(found, "close_date")
    assert question is not None
    assert set(question.choices) == {"DD/MM/YYYY", "MM/DD/YYYY"}
    assert question.column == "Close Date"
    assert {p.pointer for p in draft_of(write_map(found.mapping))[1]} == {"formats.date"}
    # A second column that could settle it does not: the one that counts is asked about by itself.
    other = deals(SALESFORCE, changed(SOLD, Close="07/08/2026", Created="06/30/2026"))
    assert other.mapping.date_format == UNDECIDED


def test_days_that_a_spreadsheet_has_destroyed_are_not_guessed_and_its_numbers_are_asked_about() -> None:
    spoilt = deals(SALESFORCE, changed(SOLD, Close="00:00.0"))
    question = asked(spoilt, "close_date")
    assert question is not None
    assert question.choices == ()
    assert "Export the file again" in question.why
    serial = asked(deals(SALESFORCE, changed(SOLD, Close=Decimal(46217))), "close_date")
    assert serial is not None
    assert serial.choices == (EXCEL_SERIAL,)


@pytest.mark.parametrize(
    ("amounts", "marks"),
    [
        (["1,200.50"], (".", ",")),
        (["1.200,50", "7"], (",", ".")),
        (["880,3484"], (",", ".")),
        (["1200", "5"], (".", "")),
        (["1 200,50"], (",", " ")),
        (["1,200"], (UNDECIDED, UNDECIDED)),
        (["1.200"], (UNDECIDED, UNDECIDED)),
        ([Decimal("5.5")], (".", "")),
    ],
)
def test_numbers_are_seen_or_asked_about(amounts: list[Cell], marks: tuple[str, str]) -> None:
    found = deals(SALESFORCE, *(changed(SOLD, Opportunity=str(n), Amount=a) for n, a in enumerate(amounts)))
    assert (found.mapping.decimal, found.mapping.grouping) == marks
    assert (asked(found, "amount") is not None) == (UNDECIDED in marks)


@pytest.mark.parametrize(
    ("amount", "constant", "asks"),
    [("$100", "USD", True), ("€100", "EUR", False), ("100", UNDECIDED, True), ("CHF 100", "CHF", False), ("¥100", "JPY", True)],
)  # fmt: skip
def test_a_currency_without_a_column_comes_from_the_sign_and_a_sign_of_several_is_confirmed(amount: str, constant: str, asks: bool) -> None:  # fmt: skip
    heads = [head for head in SALESFORCE if head != "Amount Currency"]
    row = [cell for head, cell in zip(SALESFORCE, changed(SOLD, Amount=amount), strict=True) if head in heads]
    found = deals(heads, row)
    assert found.mapping.constants["currency"] == constant
    assert (asked(found, "currency") is not None) == asks


def test_a_stage_that_nobody_knows_is_asked_about() -> None:
    found = deals(SALESFORCE, SOLD, changed(OPEN, Stage="Verbal yes"))
    assert found.mapping.values["stage"]["Verbal yes"] == UNDECIDED
    question = asked(found, "stage")
    assert question is not None
    assert "Verbal yes" in question.why


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("closedwon", "submitted"),
        ("CLOSED - WON", "submitted"),
        ("Gewonnen", "submitted"),
        ("Closed Lost", "cancelled"),
        ("qualifiedtobuy", "skip"),
        ("decisionmakerboughtin", "skip"),
    ],
)
def test_stages_are_known_by_their_words_and_by_their_internal_names(word: str, meaning: str) -> None:
    heads = ("Record ID", "Deal Name", "Deal Stage", "Amount", "Deal owner", "Close Date", "Associated Company", "Products")  # fmt: skip
    found = deals(heads, ("9001", "Acme", word, "$125000", "Ann", "2026-04-15", "Acme Inc", "Team plan"))
    assert found.matched == "HubSpot"
    assert found.mapping.values["stage"][word] == meaning
    assert [one.field for one in found.questions] == ["currency"]


def test_a_file_without_ids_says_which_columns_could_serve() -> None:
    heads = [head for head in SALESFORCE if "ID" not in head]
    cells = [[c for h, c in zip(SALESFORCE, row, strict=True) if h in heads] for row in (SOLD, OPEN, (*SOLD[:3], "Acme 6", *SOLD[4:]))]  # fmt: skip
    found = deals(heads, *cells)
    assert found.mapping.columns["external_id"] == UNDECIDED
    question = asked(found, "external_id")
    assert question is not None
    assert question.choices == ("Opportunity Name",)


def test_columns_that_an_organisation_has_named_itself_are_asked_about() -> None:
    heads = ("Account Name", "Opportunity Name", "Stage", "Unweighted Rev", "Unweighted Rev Currency", "Probability (%)", "Age", "Book Date", "Next Step", "Opportunity Type")  # fmt: skip
    row = ("Acme", "Acme 5", "Closed Won", "1200.50", "EUR", "100", "12", "2026-07-14", "", "Renewal")
    found = deals(heads, row)
    assert found.mapping.columns["amount"] == "Unweighted Rev"
    assert found.mapping.columns["currency"] == "Unweighted Rev Currency"
    assert found.mapping.columns["close_date"] == "Book Date"
    amount, closed = asked(found, "amount"), asked(found, "close_date")
    assert amount is not None
    assert closed is not None
    assert amount.choices == ("Unweighted Rev", "Probability (%)", "Age")
    assert closed.choices == ("Book Date",)
    two = deals((*heads, "Weighted Rev"), (*row, "700.00"))
    assert two.mapping.columns["amount"] == UNDECIDED
    asked_two = asked(two, "amount")
    assert asked_two is not None
    assert asked_two.choices == ("Unweighted Rev", "Weighted Rev")


def test_a_row_a_product_is_seen_and_the_amount_of_the_row_is_taken() -> None:
    heads = (*SALESFORCE, "Total Price")
    found = deals(heads, (*SOLD, "700.00"), (*SOLD[:11], "Other plan", "500.50"), (*OPEN, "900.00"))
    assert found.mapping.several_lines
    assert found.mapping.columns["amount"] == "Total Price"
    assert asked(found, "external_id") is not None
    apart = deals(SALESFORCE, SOLD, OPEN, SOLD)
    assert not apart.mapping.several_lines
    assert asked(apart, "external_id") is not None


def test_what_was_really_closed_goes_before_an_estimate() -> None:
    heads = ("(Do Not Modify) Opportunity", "Topic", "Potential Customer", "Est. close date", "Actual Close Date", "Est. revenue", "Actual Revenue", "Status", "Owner", "Currency")  # fmt: skip
    row = (
        "{1}",
        "T",
        "Acme",
        date(2026, 7, 1),
        date(2026, 7, 9),
        Decimal(5),
        Decimal(7),
        "Won",
        "Ann",
        "US Dollar",
    )
    found = deals(heads, row)
    assert (found.mapping.columns["close_date"], found.mapping.columns["amount"]) == ("Actual Close Date", "Actual Revenue")  # fmt: skip
    assert found.mapping.values["currency"] == {"US Dollar": "USD"}
    keep = [place for place, head in enumerate(heads) if not head.startswith("Actual")]
    estimated = deals([heads[i] for i in keep], [row[i] for i in keep])
    question = asked(estimated, "close_date")
    assert question is not None
    assert question.column == "Est. close date"
    assert "estimate" in question.why


def test_split_columns_and_whether_they_are_fractions() -> None:
    heads = (*SALESFORCE, "Split Owner 1", "Split % 1", "Split Owner 2", "Split % 2")
    found = deals(heads, (*SOLD, "Ann", "0.6", "Bo", "0.4"), (*OPEN, "Bo", "1", "", ""))
    assert [(one.rep, one.percent) for one in found.mapping.splits] == [
        ("Split Owner 1", "Split % 1"),
        ("Split Owner 2", "Split % 2"),
    ]
    assert found.mapping.fractions
    assert not deals(heads, (*SOLD, "Ann", "60", "Bo", "40")).mapping.fractions


def test_wide_quotas_are_known_by_the_names_of_their_columns() -> None:
    heads = ("Employee no", "Name", "Jul-26", "Aug-26", "Total")
    found = guess("quotas", layout(*heads), [("7", "Ann", "1.000,50", "2.000,00", "3.000,50")])
    assert (found.mapping.period_form, found.questions) == ("MMM YY", ())
    values, wrong = bind(read_map(write_map(found.mapping)), layout(*heads)).read(
        ("7", "Ann", "1.000,50", "", "")
    )
    assert (values["rep"], values["targets"], wrong) == ("7", [("2026-07-01", Decimal("1000.50"))], [])
    whose = guess("quotas", layout("Rep", "Q1 2027", "Q2 2027"), [("Ann", "5", "6")])
    assert whose.mapping.calendar == UNDECIDED
    assert [one.field for one in whose.questions] == ["calendar"]


@pytest.mark.parametrize(
    ("kind", "heads", "columns"),
    [
        ("quotas", ("Rep", "Period", "Quota"), {"rep": "Rep", "period": "Period", "amount": "Quota"}),
        ("reps", ("Name", "Employee ID", "Team", "Manager", "Start Date"), {"rep": "Name", "employee_no": "Employee ID", "team": "Team", "manager": "Manager", "starts": "Start Date"}),
        ("territories", ("Territory", "Sales Rep", "From"), {"territory": "Territory", "rep": "Sales Rep", "starts": "From"}),
    ],
)  # fmt: skip
def test_other_kinds_are_guessed_by_their_words(
    kind: str, heads: tuple[str, ...], columns: dict[str, str]
) -> None:
    found = guess(kind, layout(*heads), [])
    assert (found.mapping.columns, found.questions) == (columns, ())


def test_names_are_compared_without_case_and_signs() -> None:
    assert plain("Deal - Owner") == plain("deal_owner") == plain("DealOwner") == plain(" deal owner ")
    assert plain("Opportunity ID (18 Digit)") == plain("Opportunity ID (18 digit)")


def test_a_typed_day_that_cannot_be_meant_is_no_reason_not_to_guess() -> None:
    days = [("7", date(1900, 1, 1)), ("8", date(2026, 8, 14))]
    found = guess("deals", layout("Id", "Close Date"), days)
    assert (found.mapping.columns["close_date"], found.mapping.date_format) == ("Close Date", "YYYY-MM-DD")


@settings(max_examples=60)
@given(
    kind=st.sampled_from(list(FIELDS)),
    heads=st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(["Id", "Stage", "Amount", "Amount Currency", "Close Date", "Owner", "Jul-26", "Aug-26", "Split % 1", "Split Rep 1", "Is Won", "Quota", "Rep"]),
        ),
        unique=True, min_size=1, max_size=8,
    ),
    data=st.data(),
)  # fmt: skip
def test_whatever_the_file_a_guess_is_a_map_that_reads_as_it_was_written(kind: str, heads: list[str], data: st.DataObject) -> None:  # fmt: skip
    cell = st.one_of(
        st.none(), st.text(max_size=6), st.dates(), st.decimals(allow_nan=False, allow_infinity=False, places=2),
        st.sampled_from(["", "1,234", "01-02-2026", "$5", "Won", "00:00.0", "-", "0.5"]),
    )  # fmt: skip
    samples = data.draw(st.lists(st.lists(cell, min_size=len(heads), max_size=len(heads)), max_size=4))
    found = guess(kind, layout(*heads), samples)
    again, _ = draft_of(write_map(found.mapping))
    assert again.columns == {
        name: column.strip() for name, column in found.mapping.columns.items() if column.strip()
    }
    assert (again.decimal, again.date_format, again.splits) == (
        found.mapping.decimal,
        found.mapping.date_format,
        found.mapping.splits,
    )


# Real heads and files


@pytest.fixture
def crm(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "crm"
    if not folder.is_dir():
        pytest.skip("the CRM samples are not beside the checkout")
    return folder


@pytest.mark.parametrize(
    ("product", "label"),
    [("salesforce", "Salesforce"), ("hubspot", "HubSpot"), ("dynamics365", "Dynamics 365"), ("pipedrive", "Pipedrive"), ("zoho", "Zoho CRM")],
)  # fmt: skip
def test_known_exports_are_recognised_by_their_heads(crm: Path, product: str, label: str) -> None:
    seen = json.loads((crm / "crm_export_headers.json").read_text())
    heads = [one["header"] for one in seen[product] if "header" in one]
    assert heads
    for head in heads:
        found = deals(head)
        assert found.matched == label, head
        taken = [column for column in found.mapping.columns.values() if column != UNDECIDED]
        assert set(taken) <= set(head)
        mapped = found.mapping.columns.keys() | found.mapping.constants.keys()
        assert {spec.name for spec in FIELDS["deals"] if spec.needed} <= mapped


@pytest.mark.parametrize(
    ("kind", "path", "fields"),
    [
        ("deals", "maven/sales_pipeline.csv", ["source", "currency"]),
        ("reps", "maven/sales_teams.csv", []),
        ("quotas", "adventureworks_2017q3/aw_quotas_2017Q3.csv", []),
        ("deals", "adventureworks_2017q3/aw_orders_2017Q3.csv", ["source", "stage", "owner", "account", "offering", "currency", "close_date"]),
    ],
)  # fmt: skip
def test_what_is_asked_of_files_of_other_companies(
    crm: Path, kind: str, path: str, fields: list[str]
) -> None:
    with (crm / path).open("rb") as file:
        found_layout = layout_of(file, file_name=path)
        samples = [cells for _, cells in rows(file, found_layout)][:200]
    found = guess(kind, found_layout, samples)
    assert found.matched == ""
    order = ["source", *(spec.name for spec in FIELDS[kind])]
    assert [one.field for one in found.questions] == sorted(fields, key=order.index)


def test_the_written_days_of_one_order_table_are_iso_or_asked_about_or_lost(crm: Path) -> None:
    def question(name: str, delimiter: str = ",") -> tuple[str, tuple[str, ...]]:
        with (crm / "format_variants" / name).open(encoding="utf-8-sig", newline="") as file:
            head, *samples = csv.reader(file, delimiter=delimiter)
        found = deals(head, *samples)
        asks = [
            one.choices
            for one in found.questions
            if one.field == "close_date" and one.choices[:1] != ("OrderDate",)
        ]
        return found.mapping.date_format, asks[0] if asks else ()

    assert question("v1_iso_dates.csv") == ("YYYY-MM-DD", ())
    assert question("v4_semicolon_decimal_comma_bom.csv", ";") == ("YYYY-MM-DD", ())
    assert question("v5_ddmmyyyy_bom_null.csv") == (UNDECIDED, ("DD-MM-YYYY", "MM-DD-YYYY"))
    assert question("v6_mangled_dates_bom.csv") == (UNDECIDED, ())
