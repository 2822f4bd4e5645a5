"""The home of who keeps the catalog."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from marketplace.models import ModelVersion, Offering, OfferingRequest, TaskArea
from marketplace.selectors.home import missing_facts, retiring
from tests import make

pytestmark = pytest.mark.django_db
TODAY = make.TODAY


def complete(name: str, *, retires_on: date | None = None) -> Offering:
    """On sale with a price and a task area."""
    made = make.offering(name=name)
    Offering.objects.filter(pk=made.pk).update(
        available_on=TODAY - timedelta(days=90), retires_on=retires_on, path_assumed=False
    )
    make.price(plan=made.plans.first() or make.plan(offering=made))
    made.task_areas.add(TaskArea.objects.get_or_create(slug="coding", defaults={"name": "Coding"})[0])
    ModelVersion.objects.filter(offerings=made).update(context_window=128_000)
    made.refresh_from_db()
    return made


def found() -> dict[str, tuple[int, list[str]]]:
    return {
        each.slug: (each.count, [offering.name for offering in each.first])
        for each in missing_facts(Offering.objects.all(), TODAY)
    }


def test_facts_are_missing_of_what_is_on_sale_alone() -> None:
    whole = complete("Whole")
    assert found() == {}
    make.plan(offering=whole)
    assert found() == {"price": (1, ["Whole"])}
    Offering.objects.filter(pk=whole.pk).update(path_assumed=True)
    whole.task_areas.clear()
    ModelVersion.objects.filter(offerings=whole).update(context_window=None)
    assert found() == {
        "price": (1, ["Whole"]),
        "tasks": (1, ["Whole"]),
        "context": (1, ["Whole"]),
        "path": (1, ["Whole"]),
    }
    Offering.objects.filter(pk=whole.pk).update(deprecated_on=TODAY)
    assert found() == {}, "nobody can sell it any more"


def test_what_retires_within_half_a_year_is_told_with_its_replacement() -> None:
    soon = complete("Soon", retires_on=TODAY + timedelta(days=30))
    complete("Later", retires_on=TODAY + timedelta(days=181))
    complete("Gone", retires_on=TODAY)
    assert [each.name for each in retiring(Offering.objects.all(), TODAY)] == ["Soon"]
    assert found() == {"replacement": (1, ["Soon"])}
    Offering.objects.filter(pk=soon.pk).update(replacement=complete("New"))
    assert found() == {}


def test_the_home_of_the_catalog_costs_the_same_for_few_and_for_many(client: Client) -> None:
    keeper = make.user(role="catalog_manager")
    client.force_login(keeper)

    def look() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client.get("/").templates[0].name == "marketplace/home.html"
        return len(seen)

    def fill(count: int) -> None:
        for n in range(count):
            complete(f"Offering {count} {n}", retires_on=TODAY + timedelta(days=40 + n)).task_areas.clear()
            make.decision(offering=make.offering(), rate_ppm=250_000, checked=False)
            OfferingRequest.objects.create(
                wanted=f"A model {n}", made_by=make.user(role="rep"), made_at=make.AT
            )

    fill(1)
    look()
    few = look()
    fill(4)
    assert look() == few
    page = client.get("/").content.decode()
    assert "Without a task area" in page
    assert "A model 3" in page
