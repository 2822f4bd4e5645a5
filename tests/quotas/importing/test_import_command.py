"""manage.py import_deals: any file where it lies, the same outcome as in the browser, and an exit that says whether it worked."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from quotas.models import Deal, ImportMap
from tests import make
from tests.make import World
from tests.quotas.importing.test_api_imports import MAP, content

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


def imported(*arguments: str | Path, command: str = "import_deals") -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_file_is_checked_and_imported_with_counts_by_reason(world: World, tmp_path: Path) -> None:
    deals, mapping, errors = tmp_path / "deals.csv", tmp_path / "map.toml", tmp_path / "errors.csv"
    deals.write_text(content(world))
    mapping.write_text(MAP)
    said = imported(deals, "--map", mapping, "--dry-run", "--errors", errors)
    assert "Nothing was written." in said
    assert said.split("new")[1].split()[0] == said.split("refused")[1].split()[0] == "1"
    assert "unknown_rep" in said
    assert not Deal.objects.exists()
    with errors.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:5] == ["Line", "Outcome", "Reason", "What to do", "Column"]
    assert rows[0][5:] == ["id", "customer", "rep", "stage", "day", "amount", "offering"]
    assert (rows[1][0], rows[1][2], rows[1][7]) == ("3", "unknown_rep", "Nobody")

    ImportMap.objects.create(name="Billing", kind="deals", text=MAP, saved_by=world.admin, saved_at=make.AT)
    assert f"by {world.admin.name}" in imported(deals, "--map", "Billing", "--by", world.admin.email)
    assert Deal.objects.get().external_id == "1"
    with pytest.raises(CommandError, match="all or none"):
        imported(deals, "--map", mapping, "--all-or-nothing")
    deals.write_text("\n".join(content(world).splitlines()[::2]) + "\n")
    with pytest.raises(CommandError, match="nothing was imported"):
        imported(deals, "--map", mapping)


def test_a_report_holds_no_formula_for_whoever_opens_it(world: World, tmp_path: Path) -> None:
    deals, mapping, errors = tmp_path / "deals.csv", tmp_path / "map.toml", tmp_path / "errors.csv"
    deals.write_text(content(world).replace("Nobody", "=1+1"))
    mapping.write_text(MAP)
    imported(deals, "--map", mapping, "--dry-run", "--errors", errors)
    with errors.open(newline="") as file:
        assert [row[7] for row in csv.reader(file)][1:] == ["'=1+1"]


def test_what_is_missing_is_said_in_one_line(world: World, tmp_path: Path) -> None:
    deals, mapping = tmp_path / "deals.csv", tmp_path / "map.toml"
    with pytest.raises(CommandError, match="There is no file"):
        imported(deals, "--map", mapping)
    deals.write_text(content(world))
    with pytest.raises(CommandError, match="--guess prints a map"):
        imported(deals)
    with pytest.raises(CommandError, match="neither a file nor a saved map"):
        imported(deals, "--map", mapping)
    mapping.write_text(MAP.replace('"day"', '"date"'))
    with pytest.raises(CommandError, match=r"has no column .date"):
        imported(deals, "--map", mapping)
    with pytest.raises(CommandError, match="no user nobody@demo"):
        imported(deals, "--map", mapping, "--by", "nobody@demo.example")
    assert 'external_id = "id"' in imported(deals, "--guess")
    deals.write_bytes(bytes(range(256)) * 10)
    mapping.write_text(MAP)
    with pytest.raises(CommandError, match="Nothing was imported"):
        imported(deals, "--map", mapping)
    assert not Deal.objects.exists()
