"""The catalog as a workbook and back: only differences become a change set, and every wrong cell is named."""

import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import Workbook, load_workbook

from accounts.models import User
from config.refusals import Invalid
from marketplace.models import ChangeSet, Offering, Plan, PriceRow, PriceVersion, Publisher
from marketplace.selectors.spreadsheets import OFFERINGS, PLANS, PRICES, for_workbook, write_workbook
from marketplace.services import change_sets, spreadsheets
from tests import make
from tests.make import AT, TODAY
from tests.marketplace.conftest import Catalog

pytestmark = pytest.mark.django_db
Edit = Callable[[Any], None]


@pytest.fixture
def keeper() -> User:
    return make.user(role="catalog_manager")


@pytest.fixture
def publisher() -> Publisher:
    return make.publisher(slug="acme")


@pytest.fixture
def plan(publisher: Publisher) -> Plan:
    there = make.offering(publisher=publisher, slug="there", name="There")
    return make.plan(offering=there, slug="standard")


@pytest.fixture
def price(plan: Plan) -> PriceVersion:
    return make.price(
        plan=plan, rows={"input-tokens": "0.0000015", "output-tokens": None, "cached-input-tokens": "0"}
    )


def exported(offerings: Any = None) -> bytes:
    out = BytesIO()
    write_workbook(out, for_workbook(Offering.objects.all() if offerings is None else offerings), on=TODAY)
    return out.getvalue()


def edited(edit: Edit, content: bytes | None = None) -> bytes:
    book: Any = load_workbook(BytesIO(content or exported()))
    edit(book)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def put(sheet: str, row: int, column: str, value: Any) -> Edit:
    headers = next(s for s in (OFFERINGS, PLANS, PRICES) if s.name == sheet).headers

    def edit(book: Any) -> None:
        book[sheet].cell(row=row, column=headers.index(column) + 1).value = value

    return edit


def uploaded(content: bytes, by: User, publisher: Publisher | None = None) -> ChangeSet | None:
    return spreadsheets.upload(
        content=content,
        file_name="edited.xlsx",
        by=by,
        at=AT,
        on=TODAY,
        publisher_id=publisher.pk if publisher else None,
    )


def wrong_cells(content: bytes, by: User, publisher: Publisher | None = None) -> set[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        uploaded(content, by, publisher)
    assert not ChangeSet.objects.exists()
    return {(p.pointer, p.code) for p in refused.value.problems}


def items_of(made: ChangeSet | None) -> list[tuple[str, dict[str, Any]]]:
    assert made is not None
    return [(i.operation, i.body) for i in made.items.order_by("position")]


# --- out


def test_the_whole_catalog_comes_back_without_a_difference(catalog: Catalog, keeper: User) -> None:
    content = exported()
    assert uploaded(content, keeper) is None
    again = edited(lambda _book: None, content)  # written by another program
    assert uploaded(again, keeper) is None
    assert not ChangeSet.objects.exists()


def test_cells_are_numbers_days_and_texts(price: PriceVersion, plan: Plan) -> None:
    Offering.objects.update(summary="=HYPERLINK(1)", billing_countries=["DE", "FR"], name="+1")
    book: Any = load_workbook(BytesIO(exported()))
    offerings = book["Offerings"]
    assert [cell.value for cell in offerings[1]] == OFFERINGS.headers
    assert offerings.freeze_panes == "F2"
    assert offerings.auto_filter.ref == "A1:S2"
    row = dict(zip(OFFERINGS.headers, offerings[2], strict=True))
    assert (row["id"].value, row["available_on"].value.date()) == (plan.offering_id, date(2020, 1, 1))
    assert (row["summary"].value, row["summary"].data_type) == ("=HYPERLINK(1)", "s")
    assert (row["name"].value, row["name"].data_type) == ("+1", "s")
    assert row["billing_countries"].value == "DE, FR"
    amounts = {r[8].value: (r[13].value, r[13].data_type) for r in book["Prices"].iter_rows(min_row=2)}
    assert amounts == {
        "input-tokens": (0.0000015, "n"),
        "output-tokens": (None, "n"),
        "cached-input-tokens": (0, "n"),
    }


def test_an_export_costs_the_same_for_few_and_for_many(price: PriceVersion, publisher: Publisher) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            exported()
        return len(queries)

    few = cost()
    for _ in range(5):
        make.price(plan=make.plan(offering=make.offering(publisher=publisher)))
    assert cost() == few


def test_the_export_follows_the_catalogs_filters_and_what_one_may_see(
    browser_of: Callable[[User], Client], price: PriceVersion, publisher: Publisher
) -> None:
    make.offering(slug="other")
    make.offering(slug="hidden", publication="draft")

    def slugs(user: User, query: str = "") -> set[str]:
        answer = browser_of(user).get(f"/catalog/spreadsheet/{query}")
        assert answer.status_code == 200
        assert answer["Content-Disposition"].endswith('.xlsx"')
        book: Any = load_workbook(BytesIO(b"".join(answer.streaming_content)))  # type: ignore[attr-defined]
        return {row[2].value for row in book["Offerings"].iter_rows(min_row=2)}

    rep = make.user(role="rep")
    assert slugs(rep) == {"there", "other"}
    assert slugs(rep, "?publisher=acme") == {"there"}
    assert slugs(rep, "?offering=other&offering=hidden") == {"other"}
    assert slugs(make.user(role="catalog_manager")) == {"there", "other", "hidden"}


# --- and back


def test_only_what_differs_becomes_a_change(price: PriceVersion, keeper: User) -> None:
    make.task_area(slug="coding")
    make.offering(slug="aside")

    def edit(book: Any) -> None:
        row = next(r[0].row for r in book["Offerings"].iter_rows(min_row=2) if r[2].value == "there")
        for column, value in (
            ("name", "Elsewhere"),
            ("retires_on", date(2027, 9, 1)),
            ("billing_countries", "DE, FR"),
            ("task_areas", "coding"),
            ("path_assumed", True),
        ):
            put("Offerings", row, column, value)(book)
        put("Plans", 2, "zone", "eu")(book)

    made = uploaded(edited(edit), keeper)
    assert items_of(made) == [
        (
            "offering.update",
            {
                "slug": "there",
                "name": "Elsewhere",
                "retires_on": "2027-09-01",
                "billing_countries": ["DE", "FR"],
                "task_areas": ["coding"],
                "path_assumed": True,
            },
        ),
        ("plan.update", {"offering": "there", "plan": "standard", "zone": "eu"}),
    ]
    assert made is not None
    assert (made.channel, made.source, made.state) == ("spreadsheet", "edited.xlsx", "draft")
    assert made.items.get(position=0).expected_revision == 1


def test_edited_figures_correct_the_price(price: PriceVersion, keeper: User) -> None:
    made = uploaded(edited(put("Prices", 2, "amount", 2.5)), keeper)
    [(operation, body)] = items_of(made)
    assert (operation, body["price_version"]) == ("price.correct", price.pk)
    assert {r["meter"]: r["amount"] for r in body["rows"]} == {
        "input-tokens": "2.5",
        "output-tokens": None,
        "cached-input-tokens": "0",
    }


def test_rows_without_a_price_version_are_a_new_price_from_their_day(
    price: PriceVersion, keeper: User
) -> None:
    reviewer = make.user(role="catalog_manager")

    def edit(book: Any) -> None:
        for meter, amount in (("input-tokens", 0.1), ("output-tokens", None)):
            book["Prices"].append(
                [
                    None,
                    "there",
                    "standard",
                    "world",
                    "USD",
                    date(2026, 10, 1),
                    None,
                    "A letter",
                    meter,
                    1_000_000,
                    "token",
                    0,
                    0,
                    amount,
                ]
            )
        book["Plans"].append(
            [None, None, "there", "batch", "Batch", "", "batch", "", "", "tokens", True, None]
        )

    made = uploaded(edited(edit), keeper)
    assert made is not None
    change_sets.submit(change_set_id=made.pk, by=keeper, at=AT)
    change_sets.approve(change_set_id=made.pk, by=reviewer, at=AT)
    price.refresh_from_db()
    assert price.effective.upper == date(2026, 10, 1)
    assert set(
        PriceRow.objects.filter(version__effective__startswith=date(2026, 10, 1)).values_list(
            "meter", "amount"
        )
    ) == {("input-tokens", Decimal("0.1")), ("output-tokens", None)}
    assert Plan.objects.get(slug="batch").processing_tier == "batch"


def test_every_wrong_cell_is_named(price: PriceVersion, keeper: User) -> None:
    def edit(book: Any) -> None:
        for sheet, row, column, value in (
            ("Offerings", 2, "name", None),
            ("Offerings", 2, "retires_on", "soon"),
            ("Offerings", 2, "task_areas", "unheard-of"),
            ("Offerings", 2, "kind", "seat"),
            ("Plans", 2, "pricing_form", "for-nothing"),
            ("Plans", 2, "is_public", "perhaps"),
            ("Prices", 2, "amount", "a lot"),
            ("Prices", 3, "start", date(2026, 1, 1)),
            ("Prices", 4, "source", "=A1"),
        ):
            put(sheet, row, column, value)(book)

    assert wrong_cells(edited(edit), keeper) == {
        ("/Offerings/2/Q", "wrong_cell"),
        ("/Offerings/2/E", "fixed"),
        ("/Offerings/2/F", "not_null"),
        ("/Offerings/2/S", "unknown_task_area"),
        ("/Plans/2/J", "unknown_choice"),
        ("/Plans/2/K", "wrong_cell"),
        ("/Prices/2/N", "wrong_cell"),
        ("/Prices/3/F", "fixed"),
        ("/Prices/4/H", "formula"),
    }


def test_what_the_rules_refuse_is_said_at_its_cell_too(price: PriceVersion, keeper: User) -> None:
    def edit(book: Any) -> None:
        put("Offerings", 2, "name", None)(book)
        put("Offerings", 2, "task_areas", "unheard-of")(book)
        put("Offerings", 2, "retires_on", date(2026, 9, 1))(book)
        put("Plans", 2, "pricing_form", "for-nothing")(book)
        put("Prices", 2, "amount", -1)(book)

    assert wrong_cells(edited(edit), keeper) == {
        ("/Offerings/2/F", "not_null"),
        ("/Offerings/2/S", "unknown_task_area"),
        ("/Offerings/2/Q", "too_soon"),
        ("/Plans/2/J", "unknown_choice"),
        ("/Prices/2/N", "amount_out_of_range"),
    }


def test_what_changed_since_the_export_is_not_overwritten(price: PriceVersion, keeper: User) -> None:
    content = edited(put("Offerings", 2, "summary", "New"))
    Offering.objects.update(revision=2)
    assert wrong_cells(content, keeper) == {("/Offerings/2/B", "stale")}


def test_a_publisher_edits_its_own_alone(price: PriceVersion, publisher: Publisher) -> None:
    """Others' rows may stand in its file as they were exported; changed, they are refused, and hidden ones do not exist."""
    foreign = make.offering(slug="foreign", name="A foreign one")
    make.price(plan=make.plan(offering=foreign, slug="standard"))
    partner = make.user(role="partner", publisher=publisher)
    content = exported()

    def both(book: Any) -> None:
        for row in book["Offerings"].iter_rows(min_row=2):
            row[7].value = "New"

    before: Any = load_workbook(BytesIO(content))
    row = next(r[0].row for r in before["Offerings"].iter_rows(min_row=2) if r[2].value == "foreign")
    assert wrong_cells(edited(both, content), partner, publisher) == {
        (f"/Offerings/{row}/C", "other_publisher")
    }
    mine = edited(put("Offerings", 5 - row, "summary", "New"), content)
    assert [body["slug"] for _operation, body in items_of(uploaded(mine, partner, publisher))] == ["there"]
    ChangeSet.objects.all().delete()
    Offering.objects.filter(pk=foreign.pk).update(publication="approved")
    hidden = {code for _cell, code in wrong_cells(mine, partner, publisher)}
    assert hidden == {"unknown_offering"}


def test_a_plan_that_changed_since_is_not_overwritten(price: PriceVersion, keeper: User) -> None:
    content = edited(put("Plans", 2, "zone", "eu"))
    Offering.objects.update(revision=2)
    assert wrong_cells(content, keeper) == {("/Plans/2/B", "stale")}


# --- what is no workbook


def archive(**parts: bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as pack:
        for name, content in parts.items():
            pack.writestr(name, content)
    return out.getvalue()


def other_workbook() -> bytes:
    book = Workbook()
    assert book.active is not None
    book.active["A1"] = "Something else"
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def with_definitions(content: bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.infolist():
            text = old.read(part)
            if part.filename == "xl/workbook.xml":
                text = text.replace(b"<workbook", b'<!DOCTYPE x [<!ENTITY a "b">]><workbook', 1)
            new.writestr(part, text)
    return out.getvalue()


NO_WORKBOOKS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _good: b"", "empty"),
    (lambda _good: b"slug,name\nthere,There\n", "not an .xlsx"),
    (lambda _good: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 500, "password"),
    (lambda good: good[: len(good) // 2], "damaged"),
    (lambda good: good[:-200] + b"\x00" * 200, "damaged"),
    (lambda _good: archive(**{"a.txt": b"hello"}), "no .xlsx"),
    (lambda _good: archive(**{"[Content_Types].xml": b"<Types/>"}), "damaged"),
    (
        lambda _good: archive(**{"[Content_Types].xml": b"<Types/>", "xl/big.bin": b"\x00" * 151_000_000}),
        "unpacks",
    ),
    (lambda _good: b"PK\x03\x04" + b"\x00" * 8_000_001, "larger than 8 MB"),
    (lambda _good: other_workbook(), "none of the sheets"),
    (with_definitions, "definitions of its own"),
    (lambda good: edited(put("Offerings", 1, "slug", "sku"), good), "column C is headed 'sku'"),
    (
        lambda good: edited(lambda book: book["Prices"].delete_cols(1), good),
        "in the sheet Prices, column A",
    ),
    (lambda good: edited(lambda book: book["Plans"].cell(1, 13, "extra"), good), "a column more"),
    (lambda good: edited(lambda book: book["Plans"].delete_rows(1, 5), good), "Plans"),
]


def test_a_file_that_is_not_the_workbook_gets_one_clear_message(
    price: PriceVersion, keeper: User, subtests: pytest.Subtests
) -> None:
    good = exported()
    for place, (make_file, said) in enumerate(NO_WORKBOOKS):
        with subtests.test(place=place, said=said):
            with pytest.raises(Invalid) as refused:
                uploaded(make_file(good), keeper)
            [problem] = refused.value.problems
            assert (said in problem.message, problem.pointer) == (True, ""), problem
    assert not ChangeSet.objects.exists()


def test_a_missing_sheet_changes_nothing_of_it(price: PriceVersion, keeper: User) -> None:
    def edit(book: Any) -> None:
        del book["Prices"], book["Plans"]
        put("Offerings", 2, "summary", "New")(book)

    assert [operation for operation, _body in items_of(uploaded(edited(edit), keeper))] == ["offering.update"]


# --- the page


def test_the_page_reports_cells_and_leads_to_the_draft(
    browser_of: Callable[[User], Client], price: PriceVersion, keeper: User
) -> None:
    client = browser_of(keeper)
    path = "/catalog/spreadsheet/upload/"
    assert "Upload the edited file" in client.get(path).content.decode()

    def send(content: bytes) -> Any:
        return client.post(path, {"file": SimpleUploadedFile("mine.xlsx", content)})

    bad = send(edited(put("Prices", 2, "amount", "a lot")))
    assert bad.status_code == 422
    assert "1 cell to mend" in bad.content.decode()
    assert "Row 2, column N" in bad.content.decode()
    assert client.post(path, {}).status_code == 422
    assert send(exported()).status_code == 302
    good = send(edited(put("Offerings", 2, "summary", "New")))
    assert good["Location"] == f"/catalog/change-sets/{ChangeSet.objects.get().pk}/"
    assert browser_of(make.user(role="rep")).get(path).status_code == 404
