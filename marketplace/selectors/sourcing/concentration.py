"""How concentrated we are: shares and the Herfindahl-Hirschman index by supplier and month, and what has one supplier only.

A supplier is the publisher that makes the model; ourselves included, and named as such. Four bases, never mixed:

- Spend: what usage cost, USD. Lines without a price are named apart and are in no share.
- Features: each feature that runs on something has one vote, split by the shares of its traffic on the last day of the month
  (today in the running one). What several suppliers share in a part that nobody stated is unknown, and in no share.
- Tokens: in and out.
- Deals: what was sold of each offering, in the currency that deals are reported in. An offering without a model (a seat, a
  service) counts for its publisher. A supplier whose refunds are more than its sales of a month has nothing in that month.

A feature is sole-sourced when all its traffic goes to models of one supplier and nothing of another supplier could take over:
no fallback or selectable model without traffic is bound to it, and no alternative is qualified for it that can still be run.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Final, TypeVar

from django.conf import settings
from django.db.models import TextChoices

from accounts.models import User
from config import formats
from config.charts import Tone
from config.clock import first_moment
from config.formats import rounded
from config.language import marked
from config.months import add_months, month_of
from marketplace.extension import Sales, monthly_sales_between
from marketplace.models import (
    Binding,
    BindingRole,
    Company,
    EligibilityDecision,
    Feature,
    Hosting,
    ModelVersion,
    Offering,
    Product,
    Publisher,
    Substitution,
    SubstitutionState,
)
from marketplace.selectors.decisions import about, decisions_for
from marketplace.selectors.sourcing.binding import bindings, features_on, lives
from marketplace.selectors.sourcing.costing import USD, SpendLine, spend_lines
from marketplace.selectors.sourcing.requirements import fails, ways_to_buy

ONE: Final = 1_000_000
YEAR: Final = 12
MONTHS: Final = 24
SOUND: Final = 100_000  # parts per million that may be in no share of a month that others are compared with
FIRST_DAY, END_OF_DAYS = date(2000, 1, 1), date(2100, 1, 1)  # days that may be asked for

K = TypeVar("K", bound=Hashable)


class Basis(TextChoices):
    SPEND = "spend", marked("Spend")
    FEATURES = "features", marked("Features")
    TOKENS = "tokens", marked("Tokens")
    DEALS = "deals", marked("Deal value")


# --- the two measures ---------------------------------------------------------------------------------------------


def hhi(amounts: Iterable[int | Fraction]) -> int:
    """The sum of the squared shares in per cent: 10,000 is one supplier, 10,000 / n are n equal ones; half away from zero.

    amounts   Of any one unit; those of zero change nothing.
    Returns   0 where there is nothing to share: whoever shows that says so in words.
    Raises    ValueError for a negative amount.
    """
    known = [Fraction(amount) for amount in amounts]
    if any(amount < 0 for amount in known):
        raise ValueError("a share of a whole cannot be negative")
    total = sum(known)
    return rounded(sum(amount * amount for amount in known) * 10_000 / (total * total)) if total else 0


def shares(amounts: Mapping[K, int | Fraction]) -> dict[K, int]:
    """Parts per million that add up to one exactly, in the order given; odd parts go to the largest remainders.

    Empty where there is nothing to share. Raises ValueError for a negative amount.
    """
    if any(amount < 0 for amount in amounts.values()):
        raise ValueError("a share of a whole cannot be negative")
    total = sum(amounts.values(), Fraction(0))
    if not total:
        return {}
    exact = {key: Fraction(amount) * ONE / total for key, amount in amounts.items()}
    found = {key: int(part) for key, part in exact.items()}
    odd = ONE - sum(found.values())
    for key in sorted(exact, key=lambda key: found[key] - exact[key])[:odd]:
        found[key] += 1
    return found


# --- thresholds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grade:
    """What an index is called, and the rule behind the word."""

    word: str
    tone: Tone
    rule: str


def grade(index: int | None) -> Grade:
    """By settings.SOURCING_THRESHOLDS; None is nothing to share, or not known."""
    moderate, high = (settings.SOURCING_THRESHOLDS[name] for name in ("hhi_moderate", "hhi_high"))
    if index is None:
        return Grade(marked("Unknown"), "muted", "Nothing is known to be shared.")
    if index >= high:
        return Grade(marked("High"), "bad", f"{formats.whole(high)} or more")
    if index >= moderate:
        return Grade(
            marked("Moderate"), "warn", f"{formats.whole(moderate)} or more, below {formats.whole(high)}"
        )
    return Grade(marked("Low"), "good", f"below {formats.whole(moderate)}")


# --- a month, and months ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spread:
    """How one month divides among suppliers.

    amounts   Supplier id to cents, tokens, votes in parts per million, or minor units of what deals are reported in.
    unknown   What is in no share. Spend: lines without a price. Features: votes in parts per million of which nobody states
              whose they are. Deals: offerings sold in a currency without a rate.
    gap_ppm   How much that is: of the month's tokens, of its votes; None where there is no telling.
    """

    month: date
    amounts: Mapping[int, int]
    unknown: int = 0
    gap_ppm: int | None = 0

    @property
    def total(self) -> int:
        return sum(self.amounts.values())

    @property
    def hhi(self) -> int | None:
        """None where nothing is known to be shared."""
        return hhi(self.amounts.values()) if self.total else None

    @property
    def sound(self) -> bool:
        """Known well enough to compare another month with: at most a tenth is in no share."""
        return bool(self.total) and self.gap_ppm is not None and self.gap_ppm <= SOUND

    @property
    def shares(self) -> dict[int, int]:
        """The largest first."""
        return shares(dict(sorted(self.amounts.items(), key=lambda item: (-item[1], item[0]))))

    def share(self, supplier_id: int) -> int:
        return self.shares.get(supplier_id, 0)


@dataclass(frozen=True, slots=True)
class Series:
    """One basis over the months, in order; a month of which nothing is known has an empty spread."""

    basis: Basis
    spreads: Sequence[Spread]

    @property
    def last(self) -> Spread | None:
        """The latest month of which something is known."""
        return next((spread for spread in reversed(self.spreads) if spread.total), None)

    @property
    def before(self) -> Spread | None:
        """What last is compared with: the same month a year before, else the earliest; of those that are sound."""
        last = self.last
        if last is None:
            return None
        known = [spread for spread in self.spreads if spread.sound and spread.month < last.month]
        year = add_months(last.month, -YEAR)
        return next((spread for spread in known if spread.month == year), known[0] if known else None)

    @property
    def change(self) -> int | None:
        """Of the index, from before to last."""
        last, before = self.last, self.before
        if last is None or before is None or last.hhi is None or before.hhi is None:
            return None
        return last.hhi - before.hhi

    @property
    def year(self) -> Spread | None:
        """The last twelve months together, months without anything known among them; None for features, which are no flow."""
        if self.basis == Basis.FEATURES or not self.spreads:
            return None
        months = self.spreads[-YEAR:]
        amounts: Counter[int] = Counter()
        for spread in months:
            amounts.update(spread.amounts)
        return Spread(months[0].month, dict(amounts), sum(spread.unknown for spread in months))

    @property
    def suppliers(self) -> list[int]:
        """Those with anything in the last month known first, by their share in it; then the others by all they had."""
        last = self.last.amounts if self.last is not None else {}
        total: Counter[int] = Counter()
        for spread in self.spreads:
            total.update(spread.amounts)
        return sorted(
            (pk for pk, amount in total.items() if amount), key=lambda pk: (-last.get(pk, 0), -total[pk], pk)
        )


@dataclass(frozen=True, slots=True)
class Supplier:
    """A publisher as we buy from it. company: the slug of its page; empty where it has none."""

    id: int
    slug: str
    name: str
    company: str = ""
    own: bool = False


def by_spend(lines: Sequence[SpendLine], months: Sequence[date]) -> list[Spread]:
    """In USD; what has no price, or another currency, is unknown."""
    in_usd = [(line, line.cost.minor if line.cost.currency == USD else None) for line in lines]
    every, apart = Counter[date](), Counter[date]()
    for line, minor in in_usd:
        every[line.month] += line.tokens
        apart[line.month] += line.tokens if minor is None else 0
    found = _monthly(months, ((line.month, line.supplier_id, minor) for line, minor in in_usd))
    return [replace(spread, gap_ppm=_part(apart[spread.month], every[spread.month])) for spread in found]


def _part(part: int, whole: int) -> int:
    return rounded(Fraction(part * ONE, whole)) if whole else 0


def by_tokens(lines: Iterable[SpendLine], months: Sequence[date]) -> list[Spread]:
    return _monthly(months, ((line.month, line.supplier_id, line.tokens) for line in lines))


def by_deals(sold: Iterable[Sales], makers: Mapping[int, int], months: Sequence[date]) -> list[Spread]:
    """makers: offering id to supplier. In USD, in which deals are reported; another currency has had no rate."""
    return _monthly(
        months,
        (
            (each.month or months[0], makers[each.offering_id], minor if code == USD else None)
            for each in sold
            for code, minor in each.value_minor.items()
        ),
    )


def _monthly(months: Sequence[date], rows: Iterable[tuple[date, int, int | None]]) -> list[Spread]:
    amounts: dict[date, Counter[int]] = defaultdict(Counter)
    unknown: Counter[date] = Counter()
    for month, supplier, amount in rows:
        if amount is None:
            unknown[month] += 1
        else:
            amounts[month][supplier] += amount
    return [
        Spread(
            month,
            {pk: amount for pk, amount in amounts[month].items() if amount > 0},
            unknown[month],
            None if unknown[month] else 0,
        )
        for month in months
    ]


def by_features(stated: Iterable[Binding], days: Sequence[date]) -> list[Spread]:
    """A spread for each day, under its month: each feature that runs on something has one vote, ONE parts of it."""
    by_feature: dict[int, list[Binding]] = defaultdict(list)
    for binding in stated:
        by_feature[binding.feature_id].append(binding)
    found = []
    for day in days:
        amounts: Counter[int] = Counter()
        unknown = 0
        for held in by_feature.values():
            votes, not_stated = vote([binding for binding in held if holds(binding.effective, day)])
            amounts.update(votes)
            unknown += not_stated
        gap = _part(unknown, amounts.total() + unknown)
        found.append(Spread(month_of(day), dict(amounts), unknown, gap))
    return found


def vote(held: Iterable[Binding]) -> tuple[dict[int, int], int]:
    """One feature's vote on a day by supplier, and what of it is not stated, in parts per million; nothing where nothing is bound.

    What one supplier's models share without a stated share is that supplier's, whatever each of them has.
    """
    traffic = [binding for binding in held if carries(binding)]
    if not traffic:
        return {}, 0
    amounts: Counter[int] = Counter()
    for binding in traffic:
        amounts[supplier_of(binding)] += binding.share_ppm or 0
    rest = max(ONE - amounts.total(), 0)
    whose = {supplier_of(binding) for binding in traffic if binding.share_ppm is None}
    if len(whose) == 1:
        amounts[whose.pop()] += rest
        rest = 0
    return {pk: amount for pk, amount in amounts.items() if amount}, rest


def carries(binding: Binding) -> bool:
    """Whether traffic goes over it: a share that is not stated counts, a share of zero does not."""
    return binding.role != BindingRole.FALLBACK and binding.share_ppm != 0


def supplier_of(binding: Binding) -> int:
    return binding.model_version.model.publisher_id


def holds(span: object, day: date) -> bool:
    lower, upper = getattr(span, "lower", None), getattr(span, "upper", None)
    return (lower is None or lower <= day) and (upper is None or day < upper)


# --- what has one supplier only -----------------------------------------------------------------------------------


class Sourced(TextChoices):
    SOLE = "sole", marked("Sole-sourced")
    COVERED = "covered", marked("One supplier, alternative ready")
    SEVERAL = "several", marked("Several suppliers")
    UNBOUND = "unbound", marked("Nothing bound")


@dataclass(frozen=True, slots=True)
class FeatureSourcing:
    """A feature on a day.

    votes     Supplier id to parts per million of its traffic, the largest first; unknown: of which nobody states whose it is.
    ready     Other suppliers that could take over: bound without traffic, or qualified.
    carriers  Every supplier that has traffic, stated or not.
    """

    feature: Feature
    votes: Mapping[int, int]
    unknown: int
    carriers: tuple[int, ...]
    ready: tuple[int, ...]

    @property
    def state(self) -> Sourced:
        if not self.carriers:
            return Sourced.UNBOUND
        if len(self.carriers) > 1:
            return Sourced.SEVERAL
        return Sourced.COVERED if self.ready else Sourced.SOLE


@dataclass(frozen=True, slots=True)
class ProductSourcing:
    """A product by month: the suppliers that carry traffic of any of its features on the last day of the month."""

    product: Product
    months: Sequence[tuple[date, tuple[int, ...]]]

    @property
    def now(self) -> tuple[int, ...]:
        return self.months[-1][1] if self.months else ()

    @property
    def several_since(self) -> date | None:
        """The month from which on it has had more than one without a break; None while it has not."""
        found = None
        for month, suppliers in reversed(self.months):
            if len(suppliers) < 2:
                break
            found = month
        return found


# --- hosted by us -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hosted:
    """What of a month runs on our own machines. models, tokens or money; none: sold without a model."""

    month: date
    ours: int = 0
    elsewhere: int = 0
    unknown: int = 0
    none: int = 0

    @property
    def total(self) -> int:
        """Of what runs on machines at all."""
        return self.ours + self.elsewhere + self.unknown


# --- what happened ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a feature's mix, or a decision on eligibility that comes into force."""

    day: date
    kind: str
    what: str
    detail: str
    who: str
    feature: str = ""
    decision_id: int | None = None
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A threshold that is passed: the word, what it is about, and the rule behind it."""

    word: str
    tone: Tone
    what: str
    rule: str
    about: str


# --- all of it ----------------------------------------------------------------------------------------------------


class Exposure:
    """Concentration up to a day, as far as one user may see it. Each part is read once, when it is first asked for.

    17 queries for all of it, whatever the number of months, features, suppliers and deals.
    """

    def __init__(
        self,
        user: User,
        on: date,
        months: int = MONTHS,
        read: Callable[[date, date], list[SpendLine]] = spend_lines,
    ) -> None:
        self.user, self.on, self._read = user, on, read
        self.end = month_of(on)
        self.first = add_months(self.end, -months)
        self.months = [add_months(self.first, at) for at in range(months)]
        self.days = [*(add_months(month, 1) - timedelta(days=1) for month in self.months), on]
        self._series: dict[Basis, Series] = {}

    # What is read.

    @cached_property
    def suppliers(self) -> dict[int, Supplier]:
        """Every publisher by id. 1 query."""
        found = {}
        for publisher in Publisher.objects.select_related("company"):
            company = getattr(publisher, "company", None)
            found[publisher.pk] = Supplier(
                *(publisher.pk, publisher.slug, company.name if company is not None else publisher.name),
                company=company.slug if company is not None else "",
                own=company is not None and company.is_operator,
            )
        return found

    @cached_property
    def lines(self) -> list[SpendLine]:
        """5 queries."""
        return self._read(self.first, self.end)

    @cached_property
    def bindings(self) -> list[Binding]:
        """Those that hold on some day up to and with *on*. 1 query."""
        span = (self.first, self.on + timedelta(days=1))
        return list(bindings().filter(effective__overlap=span).select_related("made_by"))

    @cached_property
    def sold(self) -> list[Sales]:
        """3 queries."""
        return monthly_sales_between(self.user, self.first, self.end)

    @cached_property
    def makers(self) -> dict[int, tuple[int, int | None]]:
        """Offering id to its supplier and its model version, of what was sold. 1 query."""
        rows = Offering.objects.filter(pk__in={each.offering_id for each in self.sold}).values_list(
            "pk", "publisher_id", "model_version_id", "model_version__model__publisher_id"
        )
        return {pk: (maker or publisher, version) for pk, publisher, version, maker in rows}

    @cached_property
    def features(self) -> list[Feature]:
        """1 query."""
        return list(features_on(self.on))

    @cached_property
    def qualified(self) -> dict[int, set[int]]:
        """Feature id to the suppliers of alternatives that are qualified for it, can be run and fail nothing it asks. 4 queries."""
        rows = list(
            Substitution.objects.filter(
                superseded_at=None,
                state=SubstitutionState.QUALIFIED,
                decided_at__lt=first_moment(self.on + timedelta(days=1)),
            ).select_related("feature", "alternative__model")
        )
        versions = {row.alternative_id for row in rows}
        alive = lives(versions) if rows else {}
        ways = ways_to_buy(versions, self.on) if rows else {}
        found: dict[int, set[int]] = defaultdict(set)
        for row in rows:
            zones = {way.zone for way in ways.get(row.alternative_id, ())}
            runs = not alive[row.alternative_id].why_not(self.on, self.on + timedelta(days=1))
            if runs and not fails(row.feature, row.alternative, zones):
                found[row.feature_id].add(row.alternative.model.publisher_id)
        return found

    @cached_property
    def operator_id(self) -> int | None:
        """1 query."""
        return Company.objects.filter(is_operator=True).values_list("pk", flat=True).first()

    @cached_property
    def _hosts(self) -> dict[int, list[tuple[int, object]]]:
        """Model version id to who hosts it over which days. 1 query."""
        found: dict[int, list[tuple[int, object]]] = defaultdict(list)
        for version, host, span in Hosting.objects.filter(superseded_at=None).values_list(
            "model_version_id", "host_id", "effective"
        ):
            found[version].append((host, span))
        return found

    # What follows.

    def series(self, basis: Basis) -> Series:
        """Worked out once."""
        if basis not in self._series:
            self._series[basis] = Series(basis, self._spreads(basis))
        return self._series[basis]

    def _spreads(self, basis: Basis) -> list[Spread]:
        if basis == Basis.SPEND:
            return by_spend(self.lines, self.months)
        if basis == Basis.FEATURES:
            return by_features(self.bindings, self.days)
        if basis == Basis.TOKENS:
            return by_tokens(self.lines, self.months)
        makers = {offering: maker for offering, (maker, _) in self.makers.items()}
        return by_deals(self.sold, makers, self.months)

    def name(self, supplier_id: int) -> str:
        return self.suppliers[supplier_id].name

    def names(self, supplier_ids: Iterable[int]) -> str:
        return ", ".join(self.name(pk) for pk in supplier_ids)

    def _on(self, day: date) -> dict[int, list[Binding]]:
        found: dict[int, list[Binding]] = defaultdict(list)
        for binding in self.bindings:
            if holds(binding.effective, day):
                found[binding.feature_id].append(binding)
        return found

    @cached_property
    def held(self) -> dict[int, list[Binding]]:
        """Feature id to what it runs on, on the day."""
        return self._on(self.on)

    @cached_property
    def sourcing(self) -> list[FeatureSourcing]:
        """Every feature on the day, in the order of products."""
        found = []
        for feature in self.features:
            held = self.held.get(feature.pk, [])
            votes, unknown = vote(held)
            carriers = dict.fromkeys(supplier_of(b) for b in held if carries(b))
            spare = {supplier_of(b) for b in held if not carries(b)} | self.qualified.get(feature.pk, set())
            found.append(
                FeatureSourcing(
                    feature,
                    dict(sorted(votes.items(), key=lambda item: (-item[1], item[0]))),
                    unknown,
                    tuple(sorted(carriers, key=lambda pk: -votes.get(pk, 0))),
                    tuple(sorted(spare - carriers.keys(), key=self.name)),
                )
            )
        return found

    @property
    def sole(self) -> list[FeatureSourcing]:
        return [each for each in self.sourcing if each.state == Sourced.SOLE]

    @cached_property
    def products(self) -> list[ProductSourcing]:
        """Every product that has a feature, with its suppliers on the last day of each month, and on the day."""
        product_of = {feature.pk: feature.product for feature in self.features}
        by_day = []
        for day in self.days:
            found: dict[int, Counter[int]] = defaultdict(Counter)
            for feature, held in self._on(day).items():
                for binding in filter(carries, held):
                    found[product_of[feature].pk][supplier_of(binding)] += 1
            by_day.append(found)
        return [
            ProductSourcing(
                product,
                [
                    (month_of(day), tuple(sorted(found[product.pk], key=self.name)))
                    for day, found in zip(self.days, by_day, strict=True)
                ],
            )
            for product in {p.pk: p for p in product_of.values()}.values()
        ]

    # Hosting.

    def _where(self, version: int, day: date) -> str:
        hosts = {host for host, span in self._hosts.get(version, ()) if holds(span, day)}
        return "unknown" if not hosts else "ours" if self.operator_id in hosts else "elsewhere"

    @cached_property
    def hosted_models(self) -> list[Hosted]:
        """Model versions that features are bound to on the last day of each month, by where they run; once where they run with us."""
        found = []
        for day in self.days:
            versions = {b.model_version_id for held in self._on(day).values() for b in held}
            found.append(Hosted(month_of(day), **Counter(self._where(v, day) for v in versions)))
        return found

    @cached_property
    def hosted_usage(self) -> list[Hosted]:
        """Tokens by where they ran, as the usage says."""
        counted: dict[date, Counter[str]] = defaultdict(Counter)
        for line in self.lines:
            where = (
                "unknown"
                if line.host_id is None
                else "ours"
                if line.host_id == self.operator_id
                else "elsewhere"
            )
            counted[line.month][where] += line.tokens
        return [Hosted(month, **counted[month]) for month in self.months]

    @cached_property
    def hosted_deals(self) -> list[Hosted]:
        """Deal value in USD by where the model runs on the last day of the month; what has no model is apart."""
        counted: dict[date, Counter[str]] = defaultdict(Counter)
        for each in self.sold:
            month = each.month or self.first
            version = self.makers[each.offering_id][1]
            where = (
                "none" if version is None else self._where(version, add_months(month, 1) - timedelta(days=1))
            )
            counted[month][where] += max(each.value_minor.get(USD, 0), 0)
        return [Hosted(month, **counted[month]) for month in self.months]

    # What happened, and what is too much.

    @cached_property
    def events(self) -> list[Event]:
        """Changes of mixes and decisions that came into force within the months, in order. 1 query besides the bindings."""
        found = [*self._changes_of_mix(), *self._decisions()]
        return sorted(found, key=lambda event: (event.day, event.kind, event.what))

    def _changes_of_mix(self) -> Iterable[Event]:
        def key(binding: Binding) -> tuple[int, date]:
            return binding.feature_id, binding.effective.lower

        starting = [b for b in self.bindings if b.effective.lower and b.effective.lower >= self.first]
        for (_, day), group in groupby(sorted(starting, key=key), key=key):
            started = list(group)
            feature = started[0].feature
            together = [b for b in self.bindings if b.feature_id == feature.pk and holds(b.effective, day)]
            yield Event(
                day,
                kind="binding",
                what=f"{feature.product.name}: {feature.name}",
                detail=mix_in_words(together),
                who=", ".join(sorted({b.made_by.name for b in started if b.made_by is not None}))
                or started[0].source,
                feature=feature.slug,
                assumed=any(b.assumed for b in started),
            )

    def _decisions(self) -> Iterable[Event]:
        rows = decisions_for(self.user).filter(
            checked_at__isnull=False,
            superseded_at=None,
            effective__startswith__gte=self.first,
            effective__startswith__lte=self.on,
        )
        for decision in rows.order_by("pk"):
            yield Event(
                decision.effective.lower,
                kind="decision",
                what=f"{decision.get_program_display()}: {about(decision)}",
                detail=_counts(decision),
                who=_people(decision),
                decision_id=decision.pk,
                assumed=decision.assumed,
            )

    @cached_property
    def findings(self) -> list[Finding]:
        """What passes a threshold on the day, the worst first; nothing where all is well."""
        found = [finding for basis in Basis for finding in self._too_concentrated(basis)]
        found += self._too_large() + self._one_supplier()
        return sorted(found, key=lambda finding: finding.tone != "bad")

    def _too_concentrated(self, basis: Basis) -> Iterable[Finding]:
        last = self.series(basis).last
        if last is None or (graded := grade(last.hhi)).tone == "good":
            return
        yield Finding(
            word=graded.word,
            tone=graded.tone,
            what=f"HHI by {basis.label.lower()} is {formats.whole(last.hhi or 0)}",
            rule=f"{graded.word} is {graded.rule}. {self.as_of(basis, last)}.",
            about=basis.value,
        )

    def as_of(self, basis: Basis, spread: Spread) -> str:
        """Of what day or month a spread is, in words."""
        if basis != Basis.FEATURES:
            return formats.month(spread.month)
        return formats.day(next(day for day in reversed(self.days) if month_of(day) == spread.month))

    def _too_large(self) -> list[Finding]:
        limit = settings.SOURCING_THRESHOLDS["largest_supplier_ppm"]
        last = self.series(Basis.SPEND).last
        if last is None:
            return []
        return [
            Finding(
                word=marked("Above"),
                tone="bad",
                what=f"{self.name(pk)} has {formats.percent(share, ONE)} of spend",
                rule=f"One supplier, not ourselves, above {formats.percent(limit, ONE, 0)}. {formats.month(last.month)}.",
                about=Basis.SPEND.value,
            )
            for pk, share in last.shares.items()
            if share > limit and not self.suppliers[pk].own
        ]

    def _one_supplier(self) -> list[Finding]:
        sole = self.sole
        found = []
        if sole:
            found.append(
                Finding(
                    word=marked("Sole-sourced"),
                    tone="bad",
                    what=f"{_many(len(sole), 'feature')} of {_many(len(self.sourcing), 'feature', bare=True)}",
                    rule="All traffic with one supplier, and nothing of another bound or qualified.",
                    about="features",
                )
            )
        single = [each for each in self.products if len(each.now) == 1]
        if single:
            found.append(
                Finding(
                    word=marked("One supplier"),
                    tone="warn",
                    what=", ".join(each.product.name for each in single),
                    rule="All traffic of a product's features with one supplier.",
                    about="products",
                )
            )
        return found


def short(version: ModelVersion) -> str:
    """The model's name, with the label where that says more than a day of release."""
    dated = re.fullmatch(r"(\d{4}-\d{2}-\d{2}|undated)?", version.label)
    return version.model.name if dated else str(version)


def mix_in_words(held: Iterable[Binding], most: int = 3) -> str:
    """Claude Sonnet 4.5 60%, GPT-5 share not stated; the largest first, fallbacks left out."""
    traffic = sorted(
        (b for b in held if carries(b)), key=lambda b: (-(b.share_ppm or 0), b.model_version.model.name, b.pk)
    )
    said = [
        f"{short(b.model_version)} {formats.percent(b.share_ppm, ONE, 0) if b.share_ppm is not None else 'share not stated'}"
        for b in traffic[:most]
    ]
    return ", ".join([*said, *([f"{len(traffic) - most} more"] if len(traffic) > most else [])])


def _counts(decision: EligibilityDecision) -> str:
    return (
        "Does not count" if not decision.rate_ppm else f"Counts {formats.percent(decision.rate_ppm, ONE, 0)}"
    )


def _people(decision: EligibilityDecision) -> str:
    checker = f", checked by {decision.checked_by.name}" if decision.checked_by is not None else ""
    return f"{decision.made_by.name}{checker}"


def _many(number: int, word: str, *, bare: bool = False) -> str:
    return formats.whole(number) if bare else f"{formats.whole(number)} {word}{'' if number == 1 else 's'}"
