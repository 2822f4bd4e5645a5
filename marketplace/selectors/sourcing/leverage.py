"""What we could take elsewhere, supplier by supplier, and what a supplier's end would leave.

Switchable is the spend of the last twelve whole months in features where another supplier's model could take over today:
as a fallback, as another model that runs there, or as a qualified alternative. What was spent on a version that a feature
no longer runs on goes with the supplier's versions that it runs on now; where there is none, it has been switched already.

The best price is that of the cheapest of those, for an average month of the last three, at today's prices less what is
agreed. A negotiation may choose the cheapest; when a supplier stops at once, traffic goes where it can: to the fallbacks,
else to the other models that run there in proportion to their shares, else to the best qualified alternative.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from django.db.models import Q

from config.formats import rounded
from config.months import add_months, month_of
from marketplace.models import (
    Company,
    Feature,
    ModelVersion,
    Product,
    Publisher,
    Relationship,
    SupplierAgreement,
)
from marketplace.selectors.sourcing.costing import USD, SpendLine, spend_lines
from marketplace.selectors.sourcing.flows import in_force
from marketplace.selectors.sourcing.substitution import (
    Alternative,
    Cover,
    Exposure,
    How,
    Left,
    Standings,
)

YEAR: Final = 12  # months of spend


@dataclass(frozen=True, slots=True)
class Notice:
    """What the agreement in effect says of leaving. by: the last day on which notice can be given; None is not stated."""

    agreement: SupplierAgreement
    by: date | None
    days: int | None

    @property
    def why_unknown(self) -> str:
        if self.agreement.renews_on is None:
            return "No renewal is stated."
        return "No notice period is stated." if self.agreement.notice_days is None else ""


def notices(publisher_ids: Collection[int], on: date) -> dict[int, Notice]:
    """By publisher: the agreement that holds on a day, and how long notice can still be given. 1 query.

    days   Until the last day; negative once it has passed: then the agreement renews, or ends, as it says.
    """
    return {
        agreement.supplier.publisher_id or 0: notice_of(agreement, on)
        for agreement in SupplierAgreement.objects.filter(
            superseded_at=None, effective__contains=on, supplier__publisher__in=publisher_ids
        )
        .select_related("supplier")
        .order_by("id")
    }


def notice_of(agreement: SupplierAgreement, on: date) -> Notice:
    if agreement.renews_on is None or agreement.notice_days is None:
        return Notice(agreement, None, None)
    by = agreement.renews_on - timedelta(days=agreement.notice_days)
    return Notice(agreement, by, (by - on).days)


@dataclass(frozen=True, slots=True)
class Line:
    """One version of a supplier in one feature.

    spent        Minor USD of the last twelve whole months; unpriced: lines of use whose cost is not known.
    switchable   Of spent.
    exposure     Where the feature runs on it today, what could take over; None where it no longer does.
    """

    feature: Feature
    version: ModelVersion
    spent: int
    unpriced: int
    switchable: int
    exposure: Exposure | None = None

    @property
    def best(self) -> Alternative | None:
        return self.exposure.best if self.exposure is not None else None

    @property
    def now(self) -> Fraction | None:
        """Dollars of an average month, today's prices."""
        return self.exposure.now.amount if self.exposure is not None else None

    @property
    def extra(self) -> Fraction | None:
        """Dollars a month more on the best alternative; None where there is none, or a price is not known."""
        exposure = self.exposure
        if exposure is None or exposure.usage is None or exposure.best is None:
            return None
        return exposure.best.verdicts.change.extra


@dataclass(frozen=True, slots=True)
class Supplier:
    """One row of the leverage sheet.

    spent, switchable   Minor USD of the last twelve whole months.
    features            That run on its models today; movable: those of them where all of it is covered.
    """

    publisher: Publisher
    company: Company | None
    lines: tuple[Line, ...]
    covers: tuple[Cover, ...]
    notice: Notice | None

    @property
    def spent(self) -> int:
        return sum(line.spent for line in self.lines)

    @property
    def unpriced(self) -> int:
        return sum(line.unpriced for line in self.lines)

    @property
    def switchable(self) -> int:
        return sum(line.switchable for line in self.lines)

    @property
    def features(self) -> int:
        return len(self.covers)

    @property
    def movable(self) -> int:
        return sum(cover.left == Left.COVERED for cover in self.covers)

    @property
    def priced(self) -> tuple[Line, ...]:
        """Lines whose best alternative has a price to compare."""
        return tuple(line for line in self.lines if line.extra is not None)

    @property
    def now(self) -> Fraction:
        """Dollars a month for what could move and can be compared."""
        return sum((line.now or Fraction(0) for line in self.priced), Fraction(0))

    @property
    def extra(self) -> Fraction | None:
        """Dollars a month more if all that moves for the best price; None where nothing can be compared."""
        found = self.priced
        return sum((line.extra or Fraction(0) for line in found), Fraction(0)) if found else None

    @property
    def ratio(self) -> Fraction | None:
        """Part of now: -1/10 is ten per cent cheaper."""
        return self.extra / self.now if self.extra is not None and self.now else None

    @property
    def uncompared(self) -> int:
        """Versions in use that something covers without a price to compare."""
        return sum(
            line.best is not None and line.extra is None and line.exposure is not None for line in self.lines
        )


def leverage(on: date, read: Callable[[date, date], list[SpendLine]] = spend_lines) -> list[Supplier]:
    """Every supplier that we bought from in twelve months or run on, but ourselves: most switchable spend first. 23 queries at most.

    Of equal spend, whose notice is due sooner; then by name.
    """
    end = month_of(on)
    sheet = Standings(on)
    spent = read(add_months(end, -YEAR), end)
    publishers = {line.supplier_id for line in spent} | {
        sheet.supplier(b.model_version_id) for held in sheet.bindings.values() for b in held
    }
    companies = {
        company.publisher_id: company
        for company in Company.objects.filter(publisher__in=publishers).select_related("publisher")
    }
    ours = {pk for pk, company in companies.items() if company.is_operator}
    due = notices(publishers, on)
    lines = _lines(sheet, spent)
    covers = _covers(sheet)
    found = [
        Supplier(
            publisher,
            companies.get(publisher.pk),
            tuple(lines.get(publisher.pk, ())),
            tuple(covers.get(publisher.pk, ())),
            due.get(publisher.pk),
        )
        for publisher in Publisher.objects.filter(pk__in=publishers - ours).order_by("name", "id")
    ]
    return sorted(found, key=_most_first)


def _most_first(supplier: Supplier) -> tuple[int, bool, int, str]:
    days = supplier.notice.days if supplier.notice is not None else None
    return -supplier.switchable, days is None, days or 0, supplier.publisher.name


def _covers(sheet: Standings) -> dict[int, list[Cover]]:
    """By supplier, of the features that run on its models today."""
    found: dict[int, list[Cover]] = defaultdict(list)
    for feature, held in sheet.bindings.items():
        for supplier in sorted({sheet.supplier(b.model_version_id) for b in held}):
            cover = sheet.cover(feature, supplier)
            if cover.exposures:
                found[supplier].append(cover)
    return found


def _lines(sheet: Standings, spent: Iterable[SpendLine]) -> dict[int, list[Line]]:
    """By supplier: one for each feature and version that was bought or is run on, most spend first."""
    sums: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for line in spent:
        known = line.cost.minor if line.cost.currency == USD else None
        at = sums[line.supplier_id, line.feature_id, line.version_id]
        at[0] += known or 0
        at[1] += known is None
    exposures: dict[tuple[int, int, int], Exposure] = {}
    covers: dict[tuple[int, int], Cover] = {}
    for supplier, mine in _covers(sheet).items():
        for cover in mine:
            covers[supplier, cover.feature.pk] = cover
            for exposure in cover.exposures:
                exposures[supplier, cover.feature.pk, exposure.version.pk] = exposure
                _ = sums[supplier, cover.feature.pk, exposure.version.pk]
    missing = {version for _, _, version in sums} - sheet.versions.keys()
    versions = dict(sheet.versions)
    if missing:
        versions |= {
            v.pk: v for v in ModelVersion.objects.filter(pk__in=missing).select_related("model__publisher")
        }
    found: dict[int, list[Line]] = defaultdict(list)
    for key, (known, unpriced) in sums.items():
        supplier, feature, version = key
        held_now = exposures.get(key)
        now = covers.get((supplier, feature))
        on_the_whole = now is None or now.left == Left.COVERED  # of a version that it no longer runs on
        moves = held_now.covered if held_now is not None else on_the_whole
        found[supplier].append(
            Line(
                sheet.features[feature],
                versions[version],
                known,
                unpriced,
                known if moves else 0,
                held_now,
            )
        )
    for listed in found.values():
        listed.sort(key=lambda line: (-line.spent, line.feature.pk, line.version.pk))
    return found


# --- the drill ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hit:
    """A product with its features that run on the supplier's models."""

    product: Product
    covers: tuple[Cover, ...]

    def count(self, left: Left) -> int:
        return sum(cover.left == left for cover in self.covers)


@dataclass(frozen=True, slots=True)
class Drill:
    """A supplier stops on a day. covers: of the features that run on its models; losing: features that lose only a fallback.

    ties   Everything in force between it and anybody: what is owed does not end with the service.
    features, of_products   How many there are in all.
    """

    company: Company
    on: date
    covers: tuple[Cover, ...]
    losing: tuple[Cover, ...]
    ties: tuple[Relationship, ...]
    notice: Notice | None
    features: int
    of_products: int

    def of(self, left: Left) -> tuple[Cover, ...]:
        return tuple(cover for cover in self.covers if cover.left == left)

    @property
    def covered(self) -> tuple[Cover, ...]:
        return self.of(Left.COVERED)

    @property
    def partly(self) -> tuple[Cover, ...]:
        return self.of(Left.PARTLY)

    @property
    def uncovered(self) -> tuple[Cover, ...]:
        return self.of(Left.UNCOVERED)

    @property
    def products(self) -> list[Hit]:
        """In the order of the products."""
        grouped: dict[int, list[Cover]] = defaultdict(list)
        for cover in self.covers:
            grouped[cover.feature.product_id].append(cover)
        return [Hit(covers[0].feature.product, tuple(covers)) for covers in grouped.values()]

    @property
    def _exposures(self) -> list[Exposure]:
        return [exposure for cover in self.covers for exposure in cover.exposures]

    @property
    def now(self) -> Fraction:
        """Dollars of an average month with the supplier, of what has a price."""
        return sum((e.now.amount or Fraction(0) for e in self._exposures), Fraction(0))

    @property
    def extra(self) -> Fraction:
        """Dollars a month more, of what something takes over at a price that can be compared."""
        return sum((cover.extra for cover in self.covers), Fraction(0))

    @property
    def falls_away(self) -> Fraction:
        """Dollars a month for what nothing would serve: not saved, but not spent."""
        return sum((e.now.amount or Fraction(0) for e in self._exposures if not e.covered), Fraction(0))

    @property
    def unpriced(self) -> int:
        return sum(len(cover.unpriced) for cover in self.covers)

    @property
    def unstated(self) -> bool:
        """Whether a share that the figures rest on is not stated."""
        return any(not cover.stated for cover in self.covers)

    @property
    def takers(self) -> list[tuple[ModelVersion, int, Fraction | None]]:
        """Who takes over: version, in how many features, dollars a month on it (None where nothing is known); most first."""
        features: dict[int, set[int]] = defaultdict(set)
        costs: dict[int, Fraction] = {}
        versions: dict[int, ModelVersion] = {}
        for exposure in self._exposures:
            for taker in exposure.takers:
                version = taker.alternative.version
                versions[version.pk] = version
                features[version.pk].add(exposure.feature.pk)
                if exposure.usage is not None and taker.cost.amount is not None:
                    costs[version.pk] = costs.get(version.pk, Fraction(0)) + taker.part * taker.cost.amount
        return sorted(
            ((versions[pk], len(features[pk]), costs.get(pk)) for pk in versions),
            key=lambda taken: (-(taken[2] or 0), -taken[1], str(taken[0])),
        )

    @property
    def by_how(self) -> list[tuple[How, int]]:
        """How many versions in features each way of taking over serves."""
        counts: dict[How, int] = defaultdict(int)
        for exposure in self._exposures:
            if exposure.takers:
                counts[exposure.takers[0].alternative.how] += 1
        return [(how, counts[how]) for how in How if counts[how]]


def drill(company: Company, on: date) -> Drill:
    """What would be left if this company's models no longer answered from tomorrow on. 16 queries."""
    sheet = Standings(on)
    publisher = company.publisher_id or 0
    covers = [sheet.cover(feature, publisher) for feature in sheet.features]
    return Drill(
        company,
        on,
        tuple(cover for cover in covers if cover.exposures),
        tuple(cover for cover in covers if cover.lost and not cover.exposures),
        tuple(in_force(on).filter(Q(payer=company) | Q(payee=company))),
        notices([publisher], on).get(publisher),
        len(sheet.features),
        len({feature.product_id for feature in sheet.features.values()}),
    )


def minor(amount: Fraction | None) -> int | None:
    """Dollars as cents, half away from zero."""
    return None if amount is None else rounded(amount * 100)


def summed(rows: Sequence[Supplier]) -> tuple[int, int]:
    """Spent and switchable of all, minor USD."""
    return sum(row.spent for row in rows), sum(row.switchable for row in rows)
