"""What pages say in the words of a catalog is said as the reader reads; files and records keep the English of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts import trail
from accounts.models import User
from config import locales
from config.language import spoken
from marketplace.models import Operation, Program, StagedRow
from marketplace.selectors import imports
from marketplace.selectors.eligibility import Treatment
from marketplace.services.change_sets.shapes import MODEL
from quotas.importers.fields import FIELDS
from tests import make
from tests.ui import pseudo


@pytest.fixture
def catalog(settings: Any) -> Iterator[pseudo.Catalog]:
    with pseudo.spoken_here() as found:
        yield found


@pytest.mark.parametrize(
    ("program", "rate", "value"),
    [
        (Program.QUOTA, None, "Not decided"),
        (Program.QUOTA, 0, "Does not count"),
        (Program.QUOTA, 1_000_000, "Counts in full"),
        (Program.QUOTA, 500_000, "Counts 50%"),
        (Program.COMMITMENT, 333_333, "Draws down 33.3333%"),
        (Program.CREDITS, 5_000, "Accepted 0.5%"),
        (Program.RESALE, 1_000_000, "Allowed"),
        (Program.CO_SELL, 100_000, "Yes 10%"),
    ],
)
def test_a_treatment_is_kept_in_english_and_said_as_its_reader_reads(
    program: Program, rate: int | None, value: str, catalog: pseudo.Catalog
) -> None:
    treatment = Treatment(program, rate, "")
    assert treatment.value == value
    assert treatment.said.startswith(pseudo.OPEN)
    assert catalog.twice == set()


def test_the_share_of_a_treatment_is_written_as_its_reader_writes_it(catalog: pseudo.Catalog) -> None:
    with locales.using(locales.style("de-DE")):
        said = Treatment(Program.QUOTA, 125_000, "").said
    assert "12,5\N{NO-BREAK SPACE}%" in said


def test_every_field_that_an_import_fills_is_said(catalog: pseudo.Catalog) -> None:
    specs = [spec for kind in FIELDS.values() for spec in kind]
    assert all(spoken(text).startswith(pseudo.OPEN) for spec in specs for text in (spec.label, spec.help))
    assert not any(spec.label.startswith(pseudo.OPEN) for spec in specs)


def test_words_of_ours_in_a_change_are_said_and_what_somebody_wrote_stays(catalog: pseudo.Catalog) -> None:
    fields = {field.name: field for field in MODEL.fields}
    assert fields["open_weights"].says(True) == "yes"
    assert fields["open_weights"].says(True, spoken) == pseudo.say("Yes").lower()
    assert fields["context_window"].says(None, spoken) == pseudo.say(fields["context_window"].empty)
    assert fields["name"].says("Reads", spoken) == "Reads"


def test_what_a_row_of_an_import_would_change_is_said_on_its_page_alone(catalog: pseudo.Catalog) -> None:
    row = StagedRow(
        staged=[
            {"operation": Operation.OFFERING_CREATE, "body": {"slug": "gtx", "plans": [{}]}},
            {"operation": Operation.PRICE_ADD, "body": {"plan": "standard", "start": "2026-08-14"}},
        ]
    )
    assert imports.proposes(row) == "New offering gtx with 1 plan; price of standard from 2026-08-14"
    assert pseudo.OPEN in imports.proposes(row, spoken)
    assert "gtx" in imports.proposes(row, spoken)


@pytest.mark.django_db
def test_choices_in_the_trail_are_said_and_its_file_keeps_them(catalog: pseudo.Catalog) -> None:
    make.user(name="Zora Quill")
    event = trail.events(table=User._meta.db_table).order_by("-pk").first()
    assert event is not None
    kept = {change.column: change.after for change in trail.changes(event)}
    said = {change.column: change.after for change in trail.worded([event])[0]}
    assert kept["is_active"] == "yes"
    assert said["is_active"] == pseudo.say("Yes").lower()
    assert said["name"] == kept["name"] == "Zora Quill"
