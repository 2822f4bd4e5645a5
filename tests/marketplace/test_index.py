"""The index says what the catalog says, whoever changed it."""

from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Q

from accounts.models import User
from config.refusals import Refusal
from marketplace.models import Offering, OfferingIndex, Plan, PriceRow, PriceVersion, Publication
from marketplace.selectors.prices import MILLION
from marketplace.selectors.search import input_price
from marketplace.selectors.words import run_together, trigrams, words
from marketplace.services.indexing import reindex
from marketplace.services.pricing import RowDraft, add_price_version, correct_price_version
from marketplace.services.publishing import move_publication, retire_offering
from tests import make
from tests.marketplace.conftest import AT, TODAY, Catalog

pytestmark = pytest.mark.django_db


def lines() -> dict[int, dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT offering_id, to_jsonb(i) FROM marketplace_offeringindex i")
        return dict(cursor.fetchall())


def test_words_are_cut_alike_whatever_their_case_accents_and_signs() -> None:
    assert words("GPT-5.1 Réal_Ⅷ İstanbul") == ["gpt", "5", "1", "real", "viii", "istanbul"]
    assert words("& | ! :* '; drop") == ["drop"]
    assert list(run_together(["gpt", "4o", "mini"])) == ["gpt4omini", "4omini"]
    assert trigrams("gpt") == ["  g", " gp", "gpt", "pt "]


def test_after_any_edits_the_index_is_what_a_rebuild_makes(catalog: Catalog) -> None:
    """Through the services, in an order that a seed gives; refusals are edits that change nothing."""
    random, by = Random(20260814), catalog.maker
    for _step in range(40):
        _edit(random, by)
    kept = lines()
    assert len(kept) == 95
    OfferingIndex.objects.all().delete()
    assert reindex() == 95
    assert kept == lines()


def _edit(random: Random, by: User) -> None:
    offering = random.choice(list(Offering.objects.order_by("pk")))
    plan = random.choice(list(Plan.objects.order_by("pk")))
    amount = Decimal(random.randrange(1, 900)) / 100
    rows = [RowDraft("input-tokens", 1_000_000, "token", random.choice([amount, None]))]
    start = date(2026, random.randrange(1, 13), random.randrange(1, 28))
    try:
        match random.randrange(4):
            case 0:
                add_price_version(
                    plan_id=plan.pk,
                    currency="USD",
                    start=start,
                    end=None,
                    rows=rows,
                    source="an edit",
                    by=by,
                    at=AT,
                    ends_previous=True,
                )
            case 1:
                version = PriceVersion.objects.filter(superseded_at=None).order_by("?").first()
                assert version is not None
                correct_price_version(
                    price_version_id=version.pk, rows=rows, source="a correction", by=by, at=AT
                )
            case 2:
                retire_offering(offering_id=offering.pk, retires_on=date(2027, 5, 1), on=TODAY, by=by, at=AT)
            case 3:
                to = random.choice([Publication.STOPPED, Publication.LIVE, Publication.SUSPENDED])
                move_publication(offering_id=offering.pk, to=to, by=by, at=AT)
    except Refusal:
        return


def test_a_part_of_it_can_be_made_anew_and_nothing_else_is_touched() -> None:
    one, other = make.offering(name="Nova"), make.offering(name="Vega")
    reindex()
    Offering.objects.update(name="Quasar")
    assert reindex([one.pk]) == 1
    assert OfferingIndex.objects.get(pk=one.pk).called == "quasar"
    assert OfferingIndex.objects.get(pk=other.pk).called == "vega"
    assert reindex([]) == 0


def test_it_takes_as_many_statements_for_one_as_for_many(
    django_assert_num_queries: pytest.FixtureRequest,
) -> None:
    made = [make.price().plan.offering_id for _ in range(20)]
    reindex()
    for ids in (made[:1], made):
        with django_assert_num_queries(5 + 2):  # type: ignore[operator]  # and the savepoint's two
            reindex(ids)


def test_the_price_of_a_day_is_the_first_public_plans(catalog: Catalog) -> None:
    """Worked out by hand from the rows, for every offering."""
    rows = list(
        PriceRow.objects.filter(
            *(Q(version__plan__is_public=True), Q(version__market="world"), Q(version__currency="USD")),
            *(Q(version__superseded_at=None), Q(version__private_offer=None)),
            *(Q(meter="input-tokens"), Q(tier_from=0), Q(above_context=0)),
        )
        .select_related("version__plan")
        .order_by("version__plan__position", "version__plan__pk")
    )
    for day in (date(2019, 1, 1), date(2025, 12, 1), TODAY, date(2026, 12, 1)):
        expected: dict[int, Decimal | None] = {}
        for row in rows:
            if day in row.version.effective:
                price = None if row.amount is None else row.amount * MILLION / row.per
                expected.setdefault(row.version.plan.offering_id, price)
        found = dict(Offering.objects.annotate(now=input_price(day)).values_list("pk", "now"))
        assert found == {pk: expected.get(pk) for pk in found}, day


def test_a_gap_an_unknown_price_a_withdrawn_plan_and_a_private_offer_are_no_price() -> None:
    first = make.plan()
    second = make.plan(offering=first.offering)
    Plan.objects.filter(pk=second.pk).update(position=1)
    make.price(plan=first, rows={"input-tokens": "5"}, effective=(date(2026, 1, 1), date(2026, 2, 1)))
    make.price(plan=first, rows={"input-tokens": None}, effective=(date(2026, 3, 1), None))
    make.price(plan=second, rows={"input-tokens": "7"}, effective=(date(2026, 1, 15), None))
    Plan.objects.filter(pk=first.pk).update(withdrawn_on=date(2026, 6, 1))
    reindex()

    def on(*day: int) -> Decimal | None:
        found: Decimal | None = Offering.objects.annotate(now=input_price(date(2026, *day))).get().now
        return found

    assert [on(1, 1), on(1, 20), on(2, 1), on(3, 1), on(6, 1)] == [
        *(Decimal(5), Decimal(5), Decimal(7), None, Decimal(7))
    ]


def test_the_command_builds_it_anew(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    OfferingIndex.objects.filter(pk__in=OfferingIndex.objects.values("pk")[:5]).delete()
    call_command("reindex_catalog", missing=True)
    assert capsys.readouterr().out == "5 offerings indexed\n"
    call_command("reindex_catalog")
    assert capsys.readouterr().out == "95 offerings indexed\n"
    assert OfferingIndex.objects.filter(document=None).count() == 0
