"""The project's own data files: complete, exact, and loaded without touching what people decided."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent
from config.refusals import Invalid
from marketplace.importers import own
from marketplace.models import (
    Currency,
    EligibilityDecision,
    Evaluation,
    Offering,
    OfferingRevision,
    Plan,
    PriceRow,
    PriceVersion,
    Publication,
    PublicFact,
    Publisher,
)
from marketplace.selectors.resources import offering_body, with_facts
from marketplace.services.loading import load_catalog
from tests import make
from tests.marketplace.conftest import AT, Catalog


def test_nothing_of_the_data_files_is_lost(catalog: Catalog) -> None:
    assert dict(catalog.loaded.added) == {
        "currencies": Currency.objects.count(),
        "task areas": 11,
        "publishers": 9,
        "models": 86,
        "model versions": 90,
        "offerings": 95,
        "plans": 183,
        "prices": 182,
        "decisions": 21,
        "evaluations": 458,
        "public facts": 26,
    }
    assert catalog.loaded.kept == []
    assert Publisher.objects.count() == 9
    assert Offering.objects.filter(kind="model").count() == 90
    assert Plan.objects.count() == 183
    assert PriceVersion.objects.count() == 182
    assert Evaluation.objects.filter(score=None).exclude(finding="").count() == 5
    assert PublicFact.objects.count() == 26
    assert Offering.objects.exclude(publication=Publication.LIVE).count() == 0


def test_every_offering_of_the_source_is_there_with_its_exact_prices_and_dates(
    catalog: Catalog, shared_dir: Path
) -> None:
    source = json.loads(
        (shared_dir / "data/catalog/azure_offerings.json").read_text(), parse_float=Decimal, parse_int=Decimal
    )
    variants = {
        "batch": "global-batch",
        "priority": "global-priority",
        "datazone_eu": "data-zone-eu",
        "datazone_us": "data-zone-us",
    }
    amounts: dict[tuple[str, str, str], Decimal | None] = {
        (row.version.plan.offering.slug, row.version.plan.slug, row.meter): row.amount
        for row in PriceRow.objects.select_related("version__plan__offering")
    }
    offerings = {o.slug: o for o in Offering.objects.select_related("publisher", "model_version")}
    assert len(source) == 90
    for row in source:
        slug = row["sku"].removeprefix("az-").replace(".", "-")
        offering = offerings[slug]
        assert offering.name == row["name"]
        assert offering.publisher.name == row["publisher"]
        assert offering.publisher.origin == row["party"]
        assert offering.commercial_path == row["commercial_path"]
        assert offering.path_assumed == row["commercial_path_basis"].startswith("ASSUMED")
        retires = date.fromisoformat(row["retirement_date"]) if row["retirement_date"] else None
        assert offering.retires_on == retires
        if retires is not None:
            assert offering.deprecated_on is not None
            assert (retires - offering.deprecated_on).days == 90
        base = {p for o, p, _m in amounts if o == slug} & {"standard", "global-standard"}
        assert len(base) == 1, slug
        for form, prices in {base.pop(): row["price_usd_per_mtok"], **_variants(row, variants)}.items():
            assert amounts[slug, form, "input-tokens"] == prices["input"], (slug, form)
            assert amounts[slug, form, "output-tokens"] == prices["output"], (slug, form)


def _variants(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names[name]: prices for name, prices in row["price_variants"].items()}


def test_a_date_that_does_not_exist_keeps_the_part_that_is_known(catalog: Catalog) -> None:
    haiku = Offering.objects.select_related("model_version").get(slug="claude-haiku-4-5")
    assert haiku.model_version is not None
    assert haiku.model_version.knowledge_cutoff == "2025-02"


def test_an_unknown_price_is_null_and_a_free_one_is_zero(catalog: Catalog) -> None:
    unknown = PriceRow.objects.get(
        version__plan__offering__slug="text-embedding-3-large",
        version__plan__slug="data-zone-eu",
        meter="output-tokens",
    )
    free = PriceRow.objects.get(
        version__plan__offering__slug="text-embedding-3-large",
        version__plan__slug="global-standard",
        meter="output-tokens",
    )
    assert unknown.amount is None
    assert free.amount == 0


def test_a_bare_alias_is_joined_to_no_version(catalog: Catalog) -> None:
    assert Evaluation.objects.filter(subject="openai/gpt-4o").exists()
    assert not Evaluation.objects.filter(subject="openai/gpt-4o").exclude(model_version=None).exists()
    joined = Evaluation.objects.filter(subject="gpt-5 (high)").select_related("model_version__model").get()
    assert joined.model_version is not None
    assert (joined.model_version.model.slug, joined.variant) == ("gpt-5", "high")


def test_anthropics_exception_is_a_decision_marked_assumed(catalog: Catalog) -> None:
    exception = EligibilityDecision.objects.get(program="quota", publisher__slug="anthropic")
    assert exception.rate_ppm == 1_000_000
    assert exception.effective.lower == date(2025, 11, 18)
    assert exception.assumed
    assert "assumed" in exception.evidence
    assert (exception.made_by, exception.checked_by) == (catalog.maker, catalog.checker)


def test_every_offering_has_a_first_revision_in_the_shape_of_the_resource(catalog: Catalog) -> None:
    assert OfferingRevision.objects.count() == 95
    offering = with_facts(Offering.objects.filter(slug="gpt-4-1")).get()
    assert offering.revisions.get().body == offering_body(offering)


def test_loading_again_adds_nothing(catalog: Catalog) -> None:
    events = AuditEvent.objects.count()
    again = load_catalog(by=catalog.maker, checked_by=catalog.checker, at=AT)
    assert sum(again.added.values()) == 0
    assert again.unchanged == catalog.loaded.added
    assert again.kept == []
    assert AuditEvent.objects.count() == events


def test_what_people_changed_since_is_left_alone_and_named(catalog: Catalog) -> None:
    Offering.objects.filter(slug="gpt-4-1").update(summary="Written by a person")
    EligibilityDecision.objects.filter(program="quota", publisher__slug="anthropic").update(rate_ppm=500_000)
    PriceRow.objects.filter(
        version__plan__offering__slug="o3", version__plan__slug="global-standard", meter="input-tokens"
    ).update(amount=9)
    again = load_catalog(by=catalog.maker, checked_by=catalog.checker, at=AT)
    assert sum(again.added.values()) == 0
    assert again.kept == [
        "offerings: gpt-4-1 differs in summary",
        "prices: o3/global-standard since 2025-04-16 differs",
        "decisions: quota of anthropic since 2025-11-18 differs",
    ]
    assert Offering.objects.get(slug="gpt-4-1").summary == "Written by a person"


def test_loading_costs_a_fixed_number_of_queries(db: None) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        load_catalog(by=make.user(), checked_by=make.user(), at=AT)
    assert len(queries) < 60


def test_the_trail_says_who_loaded_it(catalog: Catalog) -> None:
    event = AuditEvent.objects.filter(table="marketplace_offering", action="insert").order_by("id")[0]
    assert (event.actor, event.reason) == (catalog.maker, "Catalog loaded from the data files")


def test_maker_and_checker_are_two_people(db: None) -> None:
    one = make.user()
    with pytest.raises(Invalid) as refused:
        load_catalog(by=one, checked_by=one, at=AT)
    assert refused.value.problems[0].code == "same_person"
    assert Offering.objects.count() == 0


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_loaded(db: None, tmp_path: Path) -> None:
    for file in own.OWN_DATA.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    decisions = tmp_path / "decisions.toml"
    decisions.write_text(decisions.read_text().replace('rate = "1"', 'rate = "1.5"', 1))
    with pytest.raises(own.BadRow, match="the rate is not between 0 and 1"):
        own.read(tmp_path)
    maker, checker = make.user(), make.user()
    with pytest.raises(CommandError, match="Nothing was loaded"):
        call_command("import_catalog", "own", str(tmp_path), by=maker.email, checked_by=checker.email)
    assert Publisher.objects.count() == 0


def test_the_command_prints_counts(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_catalog", "own", by=make.user().email, checked_by=make.user().email)
    assert "offerings: 95 added, 0 unchanged" in capsys.readouterr().out
