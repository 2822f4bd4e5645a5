"""The form of a map: opening it and sending it as it stands changes nothing of the map, whatever the map says."""

from pathlib import Path
from typing import Any

import pytest

from quotas.import_forms import MapForm
from quotas.importers.maps import ImportMapping, draft_of, read_map, write_map

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
POLICY = "CRM imports"


def looks_like(mapping: ImportMapping, **samples: list[str]) -> dict[str, Any]:
    """A file with just the columns that a map names, and the words that it translates."""
    columns: dict[str, list[str]] = {}
    for field, column in mapping.columns.items():
        columns.setdefault(column, []).extend(w for w in mapping.values.get(field, {}) if w != "*")
    for split in mapping.splits:
        columns |= {split.rep: [], split.percent: []}
    columns |= {column: [] for column in mapping.periods}
    columns |= samples
    return {
        "columns": [
            {"name": name, "samples": words[:5], "distinct": words} for name, words in columns.items()
        ],
        "encoding": "utf-8",
        "sheets": [mapping.sheet] if mapping.sheet else [],
        "questions": [],
    }


def form(
    mapping: ImportMapping, look: dict[str, Any], data: dict[str, str] | None = None, **options: Any
) -> MapForm:
    return MapForm(
        data,
        kind=mapping.kind,
        look=look,
        mapping=mapping,
        options={"policy": POLICY, **options},
        calendars=[("CY", "Calendar years"), ("AW", "AW")],
        policies=[POLICY],
    )


def sent(shown: MapForm, **changes: str) -> dict[str, str]:
    values = {bound.html_name: bound.value() for bound in shown}
    held = {
        name: "on" if value is True else str(value)
        for name, value in values.items()
        if value not in (None, False)
    }
    return {**held, **changes}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_what_is_sent_as_it_stands_is_the_map_that_was_opened(path: Path) -> None:
    mapping = read_map(path.read_text(encoding="utf-8"))
    look = looks_like(mapping)
    answered = form(mapping, look, sent(form(mapping, look)))
    assert answered.is_valid(), answered.errors
    assert read_map(write_map(answered.mapping())) == mapping


def map_of() -> ImportMapping:
    text = """
    kind = "deals"
    source = "crm"
    [formats]
    date = "?"
    [columns]
    external_id = "Id"
    stage = "Stage"
    owner = "Owner"
    account = "Account"
    title = "Account"
    offering = "Product"
    amount = "Amount"
    close_date = "Closed"
    [constants]
    currency = "USD"
    [values.stage]
    "Won" = "submitted"
    """
    return draft_of(text)[0]


def test_days_and_numbers_that_read_in_two_ways_are_shown_in_both_and_have_to_be_chosen() -> None:
    mapping = map_of()
    look = looks_like(mapping, Closed=["31/12/2025", "02/01/2026"], Amount=["1,500", "2,250"])
    clear = form(mapping, look)
    assert clear.fields["d_close_date"].choices == [  # type: ignore[attr-defined]
        ("DD/MM/YYYY", "31/12/2025 is 31 December 2025, 02/01/2026 is 2 January 2026")
    ]
    assert {label for _value, label in clear.fields["number"].choices} == {  # type: ignore[attr-defined]
        "1,500 is 1,500, 2,250 is 2,250",
        "1,500 is 1.5, 2,250 is 2.25",
    }
    look = looks_like(mapping, Closed=["01-06-2008", "01-06-2008", "02-06-2008"], Amount=["1.5"])
    shown = form(mapping, look)
    labels = dict(shown.fields["d_close_date"].choices)  # type: ignore[attr-defined]
    assert labels["DD-MM-YYYY"] == "01-06-2008 is 1 June 2008, 02-06-2008 is 2 June 2008"
    assert labels["MM-DD-YYYY"] == "01-06-2008 is 6 January 2008, 02-06-2008 is 6 February 2008"
    assert shown["d_close_date"].value() == ""
    answered = form(mapping, look, sent(shown))
    assert list(answered.errors) == ["d_close_date"]
    answered = form(mapping, look, sent(shown, d_close_date="DD-MM-YYYY"))
    assert answered.is_valid()
    assert answered.mapping().date_format == "DD-MM-YYYY"


def test_what_is_won_is_approved_by_the_policy_or_waits() -> None:
    mapping = map_of()
    look = looks_like(mapping, Stage=["Won", "Odd"], Closed=["2026-08-03"])
    shown = form(mapping, look, policy="")
    at = next(n for n, head in enumerate(shown.heads) if head == "Stage")
    odd, won = f"w_stage_{at}_0", f"w_stage_{at}_1"
    assert shown[won].value() == "won"
    assert list(form(mapping, look, sent(shown), policy="").errors) == [odd]
    for policy, means in (("", "submitted"), (POLICY, "approved")):
        answered = form(mapping, look, sent(shown, **{odd: "skip", "policy": policy}))
        assert answered.is_valid(), answered.errors
        assert answered.mapping().values["stage"] == {"Odd": "skip", "Won": means}


def test_a_field_is_one_column_and_a_column_that_says_two_things_goes_on_saying_them() -> None:
    mapping = map_of()
    look = looks_like(mapping, Closed=["2026-08-03"], Extra=["x"])
    shown = form(mapping, look)
    answered = form(mapping, look, sent(shown, w_stage_1_0="won"))
    assert answered.is_valid(), answered.errors
    assert answered.mapping().columns["title"] == "Account"
    assert answered.mapping().columns["account"] == "Account"
    last = len(shown.heads) - 1
    twice = form(mapping, look, sent(shown, **{f"c{last}": "owner"}))
    assert list(twice.errors) == [f"c{last}"]
    none = form(mapping, look, sent(shown, c0=""))
    assert none.is_valid()  # which column the id is, is said by the map's own check
    assert "external_id" not in none.mapping().columns
