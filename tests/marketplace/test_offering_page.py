"""The offering page as on a day: what was recorded by then, other names with their days, what was told."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from html import unescape

import pytest
from django.db.backends.postgresql.psycopg_any import DateRange
from django.test import Client

from accounts.models import User
from marketplace.models import Alias, CatalogChange, Offering, OfferingRevision, Plan
from marketplace.selectors.history import history_of, reading_on
from marketplace.selectors.resources import offering_body, with_facts
from marketplace.services.revisions import locked, record_revision
from tests import make

Browser = Callable[[User], Client]
JULY = datetime(2026, 7, 1, 19, tzinfo=UTC)
AUGUST = datetime(2026, 8, 1, 19, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())))


@pytest.fixture
def offering() -> Offering:
    """Recorded on 1 July with a context of 100,000 and one plan; corrected on 1 August to 200,000, the plan withdrawn."""
    like = make.offering()
    made = Offering.objects.create(
        slug="as-recorded",
        name="As recorded",
        kind=like.kind,
        publisher=like.publisher,
        model_version=like.model_version,
        family=like.family,
        commercial_path=like.commercial_path,
        publication=like.publication,
        available_on=like.available_on,
    )
    plan = make.plan(offering=made)
    version = made.model_version
    assert version is not None
    version.context_window = 100_000
    version.save()
    fresh = with_facts(Offering.objects.filter(pk=made.pk)).get()
    OfferingRevision.objects.create(
        offering=fresh, number=1, body=offering_body(fresh), recorded_at=JULY, recorded_by=None
    )
    version.context_window = 200_000
    version.save()
    Plan.objects.filter(pk=plan.pk).update(withdrawn_on=date(2026, 12, 1), regions=["westeurope"])
    keeper = make.user(role="catalog_manager", name="Mara Maker")
    return record_revision(locked(made.pk, 1), by=keeper, at=AUGUST)


def test_facts_are_those_that_had_been_recorded_by_then(offering: Offering, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    path = f"/catalog/{offering.slug}/"
    assert "Context 200,000 tokens" in text(client, path)
    then = text(client, f"{path}?as_of=2026-07-31")
    assert "Context 100,000 tokens" in then
    assert "As recorded in revision 1 on 1 Jul 2026." in then
    assert "Revision 2 1 Aug 2026" not in then
    assert "Context 200,000 tokens" in text(client, f"{path}?as_of=2026-08-01")
    before = text(client, f"{path}?as_of=2026-06-30")
    assert "It had not been recorded by then." in before
    assert "Context 100,000 tokens" in before


def test_the_reading_of_a_day_is_the_last_one_before_its_end(offering: Offering) -> None:
    numbers = {
        day: found.number if (found := reading_on(offering, date(2026, *day))) else None
        for day in ((6, 30), (7, 1), (7, 31), (8, 1))
    }
    assert numbers == {(6, 30): 1, (7, 1): 1, (7, 31): 1, (8, 1): None}


def test_a_changed_plan_is_read_field_by_field(offering: Offering) -> None:
    step = history_of(offering)[0]
    plan = offering.plans.get()
    assert [(c.name, c.before, c.after) for c in step.changes if c.name != "model"] == [
        (f"{plan.name}, regions", "nothing", "westeurope"),
        (f"{plan.name}, withdrawn on", "nothing", "2026-12-01"),
    ]


def test_other_names_stand_with_who_uses_them_and_their_days(offering: Offering, browser_of: Browser) -> None:
    Alias.objects.create(
        used_by="litellm",
        name="azure/old-name",
        offering=offering,
        effective=DateRange(date(2026, 1, 1), date(2026, 6, 1)),
    )
    Alias.objects.create(
        name="House special",
        model_version=offering.model_version,
        effective=DateRange(date(2026, 6, 1), None),
    )
    Alias.objects.create(name="Elsewhere", offering=make.offering(), effective=DateRange(None, None))
    html = browser_of(make.user(role="rep")).get(f"/catalog/{offering.slug}/").content.decode()
    seen = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))
    assert "House special people, the model, since 1 Jun 2026" in seen
    assert "azure/old-name litellm, since 1 Jan 2026, until before 1 Jun 2026" in seen
    assert '<span class="dim">azure/old-name</span>' in html
    assert "Elsewhere" not in seen


def test_what_was_told_of_it_stands_there_up_to_the_day(offering: Offering, browser_of: Browser) -> None:
    for number, (what, about) in enumerate(
        (("It got cheaper.", offering), ("Another one changed.", make.offering())), start=1
    ):
        CatalogChange.objects.create(
            number=number,
            key=f"change-{number}",
            kind="price",
            what=what,
            offering=about,
            first_day=date(2026, 9, 1),
            at=AUGUST,
            is_public=True,
        )
    client = browser_of(make.user(role="rep"))
    seen = text(client, f"/catalog/{offering.slug}/")
    assert "Price 1 Aug 2026 It got cheaper. From 1 Sep 2026 on." in seen
    assert "Another one changed." not in seen
    assert "It got cheaper." not in text(client, f"/catalog/{offering.slug}/?as_of=2026-07-31")
