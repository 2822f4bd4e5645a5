"""What our own products cost in models: by supplier, product, feature and model, month by month; how fast we spend against plan.

- Amounts are those of costing.py, rounded once a line, so that a sum is the sum of the lines behind it. USD cents.
- Lines without a price, and lines in another currency, are in no sum: they stand apart, with the reason.
- A whole month is one that has ended on the day that is asked for. The month under way is never scaled up.
- A forecast is worked out of whole months alone and is never added to what was spent without saying so.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final, Literal

from django.db.models import Max, Min, QuerySet

from config.formats import rounded
from config.months import add_months, month_of, months_between
from marketplace.models import (
    Company,
    Feature,
    FeatureUsage,
    ModelVersion,
    Plan,
    Publisher,
    SpendPlan,
)
from marketplace.selectors.sourcing.binding import lives
from marketplace.selectors.sourcing.costing import USD, SpendLine, spend_lines

By = Literal["supplier", "product", "feature", "model"]
WAYS: Final[tuple[By, ...]] = ("supplier", "product", "feature", "model")
YEAR, QUARTER = 12, 3
BASIS: Final = 6  # whole months that a forecast looks back on
FEWEST: Final = 3  # below which there is none
METHOD: Final = (
    "Each month that is left costs the mean of the last three whole months. The range reaches to where a straight line"
    " through the last {n} whole months leads, and further by the largest miss of that line."
)


# --- by month ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpendRow:
    """One supplier, product, feature or model.

    under      The product of a feature, the supplier of a model.
    amounts    By month, USD cents; None: nothing that has a price was used.
    listed     What the priced lines cost at list prices.
    lines      All of them; unpriced_by_month: those that are in no amount.
    """

    key: int
    slug: str
    name: str
    under: str
    amounts: tuple[int | None, ...]
    listed: int
    tokens: int
    lines: int
    unpriced_by_month: tuple[int, ...]

    @property
    def unpriced(self) -> int:
        """Lines that are in no amount."""
        return sum(self.unpriced_by_month)

    @property
    def total(self) -> int | None:
        known = [amount for amount in self.amounts if amount is not None]
        return sum(known) if known else None

    @property
    def saved(self) -> int:
        """What the agreed discounts took off."""
        return self.listed - (self.total or 0)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Lines of one model on one plan that have no price, for one reason, and when they are from."""

    version: ModelVersion
    plan: Plan | None
    why: str
    first: date
    last: date
    lines: int
    tokens: int
    features: int


@dataclass(frozen=True, slots=True)
class Spend:
    """rows: largest first. apart: what is not in USD, by currency, exact. synthetic, lines: how many of how many are made up."""

    by: By
    months: tuple[date, ...]
    rows: tuple[SpendRow, ...]
    unpriced: tuple[Unpriced, ...]
    apart: Mapping[str, Fraction]
    lines: int
    synthetic: int

    @property
    def totals(self) -> tuple[int | None, ...]:
        """By month; None where nothing that has a price was used."""
        columns = [[row.amounts[at] for row in self.rows] for at in range(len(self.months))]
        return tuple(
            sum(a or 0 for a in column) if any(a is not None for a in column) else None for column in columns
        )

    @property
    def total(self) -> int | None:
        known = [row.total for row in self.rows if row.total is not None]
        return sum(known) if known else None

    @property
    def listed(self) -> int:
        return sum(row.listed for row in self.rows)

    @property
    def unpriced_lines(self) -> int:
        return sum(row.unpriced for row in self.rows)


def monthly(first: date, end: date, by: By = "supplier") -> Spend:
    """The months that have a day in [first, end). 8 queries at most, whatever the number of lines."""
    months = tuple(months_between(month_of(first), end))
    return by_month(spend_lines(month_of(first), end), months, by)


def by_month(lines: Sequence[SpendLine], months: Sequence[date], by: By) -> Spend:
    """The same of lines at hand. 3 queries at most."""
    place = {month: at for at, month in enumerate(months)}
    versions = ModelVersion.objects.select_related("model__publisher").in_bulk(
        {line.version_id for line in lines}
    )
    features = Feature.objects.select_related("product").in_bulk({line.feature_id for line in lines})
    amounts: dict[int, list[int | None]] = defaultdict(lambda: [None] * len(months))
    listed: Counter[int] = Counter()
    tokens: Counter[int] = Counter()
    counted: Counter[int] = Counter()
    unpriced: dict[int, list[int]] = defaultdict(lambda: [0] * len(months))
    apart: dict[str, Fraction] = defaultdict(Fraction)
    for line in lines:
        key = _key(line, by, features)
        own = amounts[key]
        tokens[key] += line.tokens
        counted[key] += 1
        if line.cost.minor is None:
            unpriced[key][place[line.month]] += 1
        elif line.cost.currency != USD:
            apart[line.cost.currency] += line.cost.amount or 0
        else:
            at = place[line.month]
            own[at] = (own[at] or 0) + line.cost.minor
            listed[key] += line.cost.listed_minor or 0
    names = version_names(versions.values())
    rows = [
        SpendRow(
            key,
            *_named(key, by, versions, features, names),
            tuple(amounts[key]),
            listed[key],
            tokens[key],
            counted[key],
            tuple(unpriced[key]),
        )
        for key in amounts
    ]
    return Spend(
        by,
        tuple(months),
        tuple(sorted(rows, key=lambda row: (-(row.total or -1), row.under, row.name))),
        _unpriced(lines, versions),
        apart,
        len(lines),
        sum(line.synthetic for line in lines),
    )


def _key(line: SpendLine, by: By, features: Mapping[int, Feature]) -> int:
    match by:
        case "supplier":
            return line.supplier_id
        case "product":
            return features[line.feature_id].product_id
        case "feature":
            return line.feature_id
    return line.version_id


def _named(
    key: int,
    by: By,
    versions: Mapping[int, ModelVersion],
    features: Mapping[int, Feature],
    names: Mapping[int, str],
) -> tuple[str, str, str]:
    """Slug, name, and what it belongs to."""
    if by == "model":
        model = versions[key].model
        return model.slug, names[key], model.publisher.name
    if by == "feature":
        return features[key].slug, features[key].name, features[key].product.name
    if by == "product":
        product = next(each.product for each in features.values() if each.product_id == key)
        return product.slug, product.name, ""
    maker = next(v.model.publisher for v in versions.values() if v.model.publisher_id == key)
    return maker.slug, maker.name, ""


def version_names(versions: Iterable[ModelVersion]) -> dict[int, str]:
    """The model's name, with the version's label where several of them are among these."""
    shown = {version.pk: version for version in versions}
    times = Counter(version.model_id for version in shown.values())
    return {
        pk: str(version) if times[version.model_id] > 1 else version.model.name
        for pk, version in shown.items()
    }


def _unpriced(lines: Iterable[SpendLine], versions: Mapping[int, ModelVersion]) -> tuple[Unpriced, ...]:
    """By model, plan and reason, most tokens first. 1 query."""
    groups: dict[tuple[int, int | None, str], list[SpendLine]] = defaultdict(list)
    for line in lines:
        if line.cost.minor is None:
            groups[line.version_id, line.plan_id, line.cost.why].append(line)
    plans = Plan.objects.select_related("offering").in_bulk(
        {plan for _version, plan, _why in groups if plan is not None}
    )
    found = [
        Unpriced(
            versions[version],
            plans.get(plan or 0),
            why,
            min(line.month for line in own),
            max(line.month for line in own),
            len(own),
            sum(line.tokens for line in own),
            len({line.feature_id for line in own}),
        )
        for (version, plan, why), own in groups.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.tokens, each.version.pk, each.why)))


# --- how fast we spend -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the rest of a span may cost, without what was spent. Cents.

    first   The first month that is forecast: the one under way on the day that is asked for.
    months  How many. method: in words.
    """

    rest: int
    low: int
    high: int
    first: date
    months: int
    method: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A plan of spend with what was spent of it in the whole months of its span.

    to_date    The plan's part up to the end of the last whole month, evenly by days; None: not in USD.
    spent      In those months. unpriced: lines of those months that are not in it.
    forecast   Of the months that are left; None where there are none, or why_none says why.
    """

    plan: SpendPlan
    to_date: int | None
    spent: int
    unpriced: int
    months_done: int
    months: int
    by_month: tuple[int | None, ...]
    forecast: Forecast | None
    why_none: str = ""

    @property
    def over(self) -> int | None:
        """Spent more (or less) than the plan's part."""
        return self.spent - self.to_date if self.to_date is not None else None

    @property
    def landing(self) -> tuple[int, int, int] | None:
        """Spent and forecast together: low, middle, high."""
        f = self.forecast
        return (self.spent + f.low, self.spent + f.rest, self.spent + f.high) if f is not None else None


@dataclass(frozen=True, slots=True)
class Retiring:
    """Spend of the last whole month on a version that cannot be used to the end of the plan's span."""

    version: ModelVersion
    end: date
    minor: int


@dataclass(frozen=True, slots=True)
class RunRate:
    """One supplier.

    company        None where nobody has recorded it as one.
    last_minor     The last whole month; trailing_minor: the last three together. None: nothing that has a price.
    unpriced       Lines of the last three whole months that are in neither.
    plan           The plan that holds on the day; ended: those before it, the latest first.
    retiring       Of the last whole month.
    """

    supplier: Publisher
    company: Company | None
    last: date
    last_minor: int | None
    before_minor: int | None
    trailing_minor: int | None
    unpriced: int
    plan: Standing | None
    ended: tuple[Standing, ...]
    retiring: tuple[Retiring, ...]

    @property
    def annual(self) -> int | None:
        """The last whole month times twelve."""
        return None if self.last_minor is None else self.last_minor * YEAR

    @property
    def annual_trailing(self) -> int | None:
        """The last three whole months times four."""
        return None if self.trailing_minor is None else self.trailing_minor * (YEAR // QUARTER)


def plans_ever() -> QuerySet[SpendPlan]:
    """Every plan of spend, the superseded ones too: by supplier, the latest first. 1 query."""
    return SpendPlan.objects.select_related("supplier", "currency", "fact", "recorded_by").order_by(
        "supplier__name", "-effective", "-id"
    )


def run_rate(on: date, read: Callable[[date, date], list[SpendLine]] = spend_lines) -> list[RunRate]:
    """Every supplier that we spend with or plan to, the fastest first, as of a day. 13 queries at most, whatever their number."""
    now = month_of(on)
    plans = list(
        SpendPlan.objects.filter(superseded_at=None, effective__startswith__lte=on)
        .select_related("supplier__publisher", "currency", "fact")
        .order_by("-effective", "id")
    )
    first = min([add_months(now, -YEAR), *(month_of(plan.effective.lower) for plan in plans)])
    lines = read(first, now)
    amounts: dict[int, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    unpriced: dict[int, Counter[date]] = defaultdict(Counter)
    newest: dict[int, Counter[int]] = defaultdict(Counter)
    for line in lines:
        if line.cost.minor is None:
            unpriced[line.supplier_id][line.month] += 1
        elif line.cost.currency == USD:
            amounts[line.supplier_id][line.month] += line.cost.minor
            if line.month == add_months(now, -1):
                newest[line.supplier_id][line.version_id] += line.cost.minor
    suppliers = set(amounts) | set(unpriced) | {plan.supplier.publisher_id for plan in plans} - {None}
    publishers = Publisher.objects.in_bulk(suppliers)
    companies = {each.publisher_id: each for each in Company.objects.filter(publisher__in=suppliers)}
    versions = ModelVersion.objects.select_related("model").in_bulk(
        {version for own in newest.values() for version in own}
    )
    until = {pk: life.end for pk, life in lives(versions).items()}
    found = []
    for pk in suppliers:
        if pk is None:
            continue
        own, open_ = amounts[pk], unpriced[pk]
        standings = [_standing(plan, own, open_, on) for plan in plans if plan.supplier.publisher_id == pk]
        current = next((each for each in standings if _holds(each.plan, on)), None)
        stop = current.plan.effective.upper if current is not None else add_months(now, YEAR)
        last3 = [own.get(add_months(now, -back)) for back in range(1, QUARTER + 1)]
        found.append(
            RunRate(
                supplier=publishers[pk],
                company=companies.get(pk),
                last=add_months(now, -1),
                last_minor=last3[0],
                before_minor=last3[1],
                trailing_minor=sum(a or 0 for a in last3) if any(a is not None for a in last3) else None,
                unpriced=sum(open_[add_months(now, -back)] for back in range(1, QUARTER + 1)),
                plan=current,
                ended=tuple(each for each in standings if each is not current),
                retiring=tuple(
                    Retiring(versions[version], day, minor)
                    for version, minor in newest[pk].most_common()
                    if (day := until[version]) is not None and day < stop
                ),
            )
        )
    return sorted(
        found, key=lambda each: (-(each.annual or -1), -(each.annual_trailing or -1), each.supplier.name)
    )


def _holds(plan: SpendPlan, on: date) -> bool:
    return bool(plan.effective.lower <= on < plan.effective.upper)


def _standing(
    plan: SpendPlan, amounts: Mapping[date, int], unpriced: Mapping[date, int], on: date
) -> Standing:
    start, end = plan.effective.lower, plan.effective.upper
    now = month_of(on)
    months = months_between(start, end)
    done = [month for month in months if month < now]
    days = (min(now, end) - start).days
    ours = plan.currency_id == USD
    forecast, why = (
        (None, "")
        if not ours or len(done) == len(months)
        else _forecast(amounts, now, len(months) - len(done))
    )
    return Standing(
        plan=plan,
        to_date=rounded(Fraction(plan.amount_minor * max(days, 0), (end - start).days)) if ours else None,
        spent=sum(amounts.get(month, 0) for month in done),
        unpriced=sum(unpriced.get(month, 0) for month in done),
        months_done=len(done),
        months=len(months),
        by_month=tuple(amounts.get(month) for month in done),
        forecast=forecast,
        why_none=why,
    )


def _forecast(amounts: Mapping[date, int], now: date, months: int) -> tuple[Forecast | None, str]:
    """See METHOD. Months before the first one with an amount do not count; one without an amount after it counts as nothing spent."""
    basis = [amounts.get(add_months(now, -back)) for back in range(BASIS, 0, -1)]
    while basis and basis[0] is None:
        basis.pop(0)
    if len(basis) < FEWEST:
        return None, f"A forecast needs {FEWEST} whole months with a price; there are {len(basis)}."
    spent = [amount or 0 for amount in basis]
    level, slope = line_through(spent)
    miss = max(abs(amount - (level + slope * at)) for at, amount in enumerate(spent))
    flat = Fraction(sum(spent[-QUARTER:]), QUARTER)
    rest = low = high = Fraction(0)
    for at in range(len(spent), len(spent) + months):
        line = level + slope * at
        rest += flat
        low += max(min(line, flat) - miss, Fraction(0))
        high += max(line, flat) + miss
    return Forecast(rounded(rest), rounded(low), rounded(high), now, months, METHOD.format(n=len(spent))), ""


def line_through(values: Sequence[int]) -> tuple[Fraction, Fraction]:
    """Level at place 0 and slope of the straight line that misses *values*, one a place, least (by squares). Two or more."""
    n = len(values)
    mean_at, mean = Fraction(n - 1, 2), Fraction(sum(values), n)
    slope = sum(((at - mean_at) * (value - mean) for at, value in enumerate(values)), Fraction(0)) / sum(
        (at - mean_at) ** 2 for at in range(n)
    )
    return mean - slope * mean_at, slope


# --- what there is to look at ------------------------------------------------------------------------------


def months_known() -> tuple[date, date] | None:
    """The first and the last month with usage; None where there is none. 1 query."""
    found = FeatureUsage.objects.filter(superseded_at=None).aggregate(first=Min("month"), last=Max("month"))
    return (found["first"], found["last"]) if found["first"] is not None else None
