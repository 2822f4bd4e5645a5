"""What the demo shows of prices: made through the services, on plans that its catalog has."""

from datetime import UTC, date, datetime

import pytest

from marketplace.models import Offering, PriceVersion, PrivateOffer
from marketplace.selectors.price_history import price_lists
from marketplace.services.demo import prices
from tests import make
from tests.marketplace.conftest import Catalog

ON = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 16, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def test_a_change_is_announced_a_price_corrected_and_offers_stand_in_three_states(catalog: Catalog) -> None:
    for name in ("Adatum", "Contoso", "Fabrikam"):
        make.customer(name=name)
    made = prices.stage(people={"catalog": catalog.maker}, at=AT)
    assert made == {"announced prices": 1, "corrected prices": 1, "private offers": 3}
    (phi,) = price_lists(Offering.objects.get(slug="phi-4"), ON)
    assert [notice.text for notice in phi.announced] == [
        "from 1 Oct 2026: $0.10, \N{MINUS SIGN}20%",
        "from 1 Oct 2026: $0.40, \N{MINUS SIGN}20%",
    ]
    (moe,) = price_lists(Offering.objects.get(slug="phi-3-5-moe-instruct"), ON)
    assert [bool(line.version.superseded_at) for line in moe.versions] == [False, True]
    assert moe.versions[0].corrects == (moe.versions[1].version.pk,)
    states = PrivateOffer.objects.order_by("pk").values_list("state", "customer__name")
    assert list(states) == [("accepted", "Adatum"), ("sent", "Contoso"), ("draft", "Fabrikam")]
    for version in PriceVersion.objects.filter(private_offer__isnull=False):
        assert version.rows.exists()


def test_nothing_is_staged_on_a_catalog_without_those_plans() -> None:
    made = prices.stage(people={"catalog": make.user(role="catalog_manager")}, at=AT)
    assert set(made.values()) == {0}
