"""What the catalog's keepers come to: what waits for them, what happens by itself next, which facts are missing."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from marketplace.models import Offering, Plan, PriceVersion, PricingForm
from marketplace.selectors.on_sale import on_sale

RETIRING_DAYS: Final = 180
NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Missing:
    """A fact that offerings on sale do not have: which one, how many they are, the first of them."""

    slug: str
    count: int
    first: list[Offering]


def retiring(offerings: QuerySet[Offering], on: date) -> QuerySet[Offering]:
    """What stops answering within half a year, the soonest first."""
    return (
        offerings.filter(retires_on__gt=on, retires_on__lte=on + timedelta(days=RETIRING_DAYS))
        .select_related("publisher", "replacement")
        .order_by("retires_on", "name", "pk")
    )


def missing_facts(offerings: QuerySet[Offering], on: date) -> list[Missing]:
    """Of what may be sold today; retiring ones of what answers. 2 queries for each kind of fact."""
    sold = on_sale(offerings, on)
    priced = PriceVersion.objects.filter(
        plan=OuterRef("pk"), superseded_at=None, private_offer=None, effective__contains=on
    )
    without_price = (
        Plan.objects.filter(
            Q(withdrawn_on=None) | Q(withdrawn_on__gt=on), offering=OuterRef("pk"), is_public=True
        )
        .exclude(pricing_form__in=[PricingForm.FREE, PricingForm.BYOL])
        .exclude(Exists(priced))
    )
    kinds = (
        ("price", sold.filter(Exists(without_price))),
        ("replacement", retiring(offerings, on).filter(replacement=None)),
        ("tasks", sold.filter(task_areas=None)),
        ("context", sold.filter(model_version__isnull=False, model_version__context_window=None)),
        ("path", sold.filter(path_assumed=True)),
    )
    found = [(slug, rows.count(), list(rows.order_by(F("name"), "pk")[:NAMED])) for slug, rows in kinds]
    return [Missing(*each) for each in found if each[1]]
