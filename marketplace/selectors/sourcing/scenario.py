"""A switch on paper: what moves make of cost, quality, concentration and commitments, beside what is bound and priced now.

How it is reckoned
- Volume: what each feature used in a month on average over the last three whole months, on any model; flat, or growing
  from the present month on by so much a year, the same part every month.
- Mix: the bindings in force on each day, announced ones included; the scenario's moves on top, in their order, from its
  first day on. Months are whole; days before the first day are the same on both sides.
- Price: as usage is priced (costing): list prices by date, announced ones included, less the supplier's discount.
- A version that retires within the months keeps its last price from then on, as if a successor cost the same; it is named.
- A line is one feature, version and plan in one month. It is rounded once, to cents. Without a price it is named.
- A feature's difference is known where both sides serve the same traffic and leave the same tokens unpriced.
- Quality: per task, the mean of the versions' scores in one ranking, by the tokens they serve; only where every version
  has a score in it. Intervals of versions are taken to be independent of each other.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from config.formats import day, money, percent, rounded
from marketplace.models import (
    Binding,
    Feature,
    MoveKind,
    Plan,
    PriceVersion,
    RelationshipKind,
    ScenarioMove,
    SpendPlan,
    TaskArea,
)
from marketplace.selectors.costs import CACHED, INPUT, OUTPUT, Usage, monthly_cost
from marketplace.selectors.sourcing.concentration import hhi
from marketplace.selectors.sourcing.costing import NO_PRICE, NOT_SOLD, USD
from marketplace.selectors.sourcing.judging import Entries, Key, Quality, chosen
from marketplace.selectors.sourcing.scenario_facts import Facts, Volume
from marketplace.selectors.sourcing.scenario_mix import (
    ONE,
    Mix,
    Part,
    Taken,
    cut,
    move_share,
    of_bindings,
    without,
)

Mixes = dict[int, list[Mix]]


@dataclass(slots=True)  # not frozen, which takes thrice the time: a page makes thousands
class Line:
    """One feature on one version and plan in one month. Nobody changes it.

    minor   Cents; None is not known, and why says why not.
    held    At the last price of a version that has retired by then.
    """

    feature_id: int
    version_id: int
    plan_id: int | None
    month: int
    tokens: int
    minor: int | None
    why: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about a scenario.

    blocks   It cannot be promoted as it stands.
    doubt    Whoever promotes it has to speak to it.
    """

    code: str
    text: str
    blocks: bool = False
    feature_id: int | None = None
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Tokens that have no price: left out of every amount."""

    feature_id: int
    version_id: int
    why: str
    tokens: int
    months: int


@dataclass(frozen=True)
class Side:
    """Before, or after. Amounts are cents over the horizon unless they are by month."""

    mixes: Mixes
    lines: Sequence[Line]
    suppliers: Mapping[int, int]
    months: int

    @cached_property
    def by_month(self) -> list[int]:
        found = [0] * self.months
        for line in self.lines:
            found[line.month] += line.minor or 0
        return found

    @cached_property
    def total(self) -> int:
        return sum(self.by_month)

    @cached_property
    def by_supplier(self) -> dict[int, list[int]]:
        """Publisher id to what it gets, by month. One without a price is there with nothing."""
        found: dict[int, list[int]] = defaultdict(lambda: [0] * self.months)
        for line in self.lines:
            found[self.suppliers[line.version_id]][line.month] += line.minor or 0
        return dict(found)

    @cached_property
    def by_feature(self) -> dict[int, int]:
        found: dict[int, int] = defaultdict(int)
        for line in self.lines:
            found[line.feature_id] += line.minor or 0
        return dict(found)

    @cached_property
    def tokens_of_supplier(self) -> dict[int, int]:
        found: dict[int, int] = defaultdict(int)
        for line in self.lines:
            found[self.suppliers[line.version_id]] += line.tokens
        return dict(found)

    @cached_property
    def tokens(self) -> dict[int, dict[int, int]]:
        """Feature id to version id to tokens."""
        found: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for line in self.lines:
            found[line.feature_id][line.version_id] += line.tokens
        return {feature: dict(versions) for feature, versions in found.items()}

    @cached_property
    def unpriced(self) -> list[Unpriced]:
        tokens: dict[tuple[int, int, str], int] = defaultdict(int)
        months: dict[tuple[int, int, str], set[int]] = defaultdict(set)
        for line in self.lines:
            if line.minor is None:
                tokens[line.feature_id, line.version_id, line.why] += line.tokens
                months[line.feature_id, line.version_id, line.why].add(line.month)
        return [Unpriced(*key, tokens[key], len(months[key])) for key in tokens]

    @cached_property
    def served_without_price(self) -> dict[int, dict[int, int]]:
        """Feature id to month to tokens without a price."""
        found: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for line in self.lines:
            if line.minor is None:
                found[line.feature_id][line.month] += line.tokens
        return {feature: dict(months) for feature, months in found.items()}

    @property
    def hhi(self) -> int | None:
        """By spend over the horizon; None where nothing is spent."""
        return hhi(sum(months) for months in self.by_supplier.values()) if self.total else None


@dataclass(frozen=True, slots=True)
class SupplierRow:
    """What one supplier gets on either side: cents over the horizon, and its share of what is spent with all."""

    publisher_id: int
    name: str
    before: int
    after: int
    before_tokens: int
    after_tokens: int

    @property
    def difference(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Share:
    """A version in a mix as it is shown."""

    name: str
    share_ppm: int
    stated: bool
    role: str


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One feature on either side. difference: None is not known, and why says why not. shares: on the first day."""

    feature: Feature
    before: int
    after: int
    difference: int | None
    why: str
    shares_before: tuple[Share, ...]
    shares_after: tuple[Share, ...]
    uncovered_ppm: int
    touched: bool


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of scores with its 95 % interval; without one where a version has none."""

    score: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One task on either side, in one ranking.

    missing   Versions that serve the task and have no score in the ranking: the means that they are part of are not known.
    change    After less before, turned so that more is better, with its interval: of the versions whose part changes, for
              the others cancel out. None where one of those has no score.
    """

    area: TaskArea
    key: Key | None
    scale: int
    before: Mean | None
    after: Mean | None
    change: Mean | None
    missing: tuple[str, ...]
    versions: int
    synthetic: bool

    @property
    def verdict(self) -> str:
        """better, worse, level (not to be told apart), same (nothing moves) or unknown."""
        if self.change is None:
            return "unknown"
        if not self.change.score and not self.change.low and not self.change.high:
            return "same"
        if self.change.low is None or self.change.high is None:
            return "unknown"
        return "better" if self.change.low > 0 else "worse" if self.change.high < 0 else "level"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A spend plan beside what both sides spend with its supplier on its days within the horizon, in cents."""

    plan: SpendPlan
    start: date
    end: date
    planned: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Credit:
    """Tokens of a month that run on versions which count toward quota when sold, on the first day; total: all that is served."""

    counted_before: int
    counted_after: int
    total_before: int
    total_after: int
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def ppm_before(self) -> int | None:
        return self.counted_before * ONE // self.total_before if self.total_before else None

    @property
    def ppm_after(self) -> int | None:
        return self.counted_after * ONE // self.total_after if self.total_after else None


@dataclass(frozen=True)
class Outcome:
    """Both sides, what lies between them, and what is to be known about it."""

    facts: Facts
    moves: Sequence[ScenarioMove]
    before: Side
    after: Side
    suppliers: Sequence[SupplierRow]
    features: Sequence[FeatureRow]
    quality: Sequence[QualityRow]
    plans: Sequence[PlanRow]
    credit: Credit
    findings: Sequence[Finding]
    taken: Mapping[int, Sequence[Taken]] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        """Cents over the horizon: after less before, of the features whose difference is known."""
        return sum(row.difference for row in self.features if row.difference is not None)

    @property
    def left_out(self) -> list[FeatureRow]:
        """Those whose difference is not known."""
        return [row for row in self.features if row.difference is None]

    @property
    def obstacles(self) -> list[Finding]:
        """Why it cannot be promoted; empty where it can."""
        return [found for found in self.findings if found.blocks]

    @property
    def doubts(self) -> list[Finding]:
        """What a promotion has to speak to."""
        return [found for found in self.findings if found.doubt]

    def changed(self, *, since: date) -> dict[int, list[Mix]]:
        """Feature id to the mixes that differ from what is bound, from a day on, in order of time."""
        found: dict[int, list[Mix]] = {}
        for feature_id, mixes in self.after.mixes.items():
            own: list[Mix] = []
            for mix in cut(mixes, [since]):
                live = next(m for m in self.before.mixes[feature_id] if m.start <= mix.start < m.end)
                if mix.start >= since and mix.says() != live.says():
                    if own and own[-1].end == mix.start and own[-1].says() == mix.says():
                        own[-1] = replace(own[-1], end=mix.end)
                    else:
                        own.append(mix)
            if own:
                found[feature_id] = own
        return found


def evaluate(
    moves: Sequence[ScenarioMove], *, starts_on: date, months: int, on: date, growth_ppm: int = 0
) -> Outcome:
    """What *moves* make of the months from that of *starts_on* on. A constant number of queries; nothing is written."""
    return outcome(Facts(moves, starts_on=starts_on, months=months, on=on, growth_ppm=growth_ppm), moves)


def outcome(facts: Facts, moves: Sequence[ScenarioMove]) -> Outcome:
    """No query."""
    live = _live(facts)
    moved = _Moved(facts, live, moves)
    pricing = _Pricing(facts, moved.prices)
    suppliers = {pk: v.model.publisher_id for pk, v in facts.versions.items()}
    before = Side(live, pricing.lines(live, moved=False), suppliers, len(facts.months))
    after = Side(moved.mixes, pricing.lines(moved.mixes, moved=True), suppliers, len(facts.months))
    features = _features(facts, before, after)
    found = [
        *moved.findings,
        *_requirements(facts, live, moved.mixes),
        *_uncovered(facts, live, moved.mixes),
        *_lifecycle(facts, live, moved.mixes),
        *_held(facts, before, after),
        *_agreed(facts),
    ]
    return Outcome(
        facts,
        moves,
        before,
        after,
        _suppliers(facts, before, after),
        features,
        _qualities(facts, before, after),
        _plans(facts, before, after),
        _credit(facts, before, after),
        found,
        moved.taken,
    )


# --- mixes ------------------------------------------------------------------------------------------------


def _live(facts: Facts) -> Mixes:
    """What every feature runs on over the horizon, cut where a binding begins or ends and on the first day."""
    first = facts.months[0].start
    found: Mixes = {}
    for feature_id in facts.features:
        own = facts.bindings.get(feature_id, [])
        edges = {first, facts.end, facts.starts_on}
        edges |= {e for b in own for e in (b.effective.lower, b.effective.upper) if e is not None}
        days = sorted(e for e in edges if first <= e <= facts.end)
        found[feature_id] = [
            Mix(start, end, of_bindings([b for b in own if _holds(b, start)], facts.bought_as))
            for start, end in pairwise(days)
        ]
    return found


def _holds(binding: Binding, on: date) -> bool:
    span = binding.effective
    return (span.lower is None or span.lower <= on) and (span.upper is None or on < span.upper)


class _Moved:
    """The mixes with the moves carried out, and what was found on the way.

    prices   Plan id to what is left of its price from the first day on.
    taken    Feature id to what went where as a supplier ended, on the first day on which something did.
    """

    def __init__(self, facts: Facts, live: Mixes, moves: Sequence[ScenarioMove]) -> None:
        self.facts = facts
        self._live = live
        self.mixes: Mixes = dict(live)
        self.prices: dict[int, Fraction] = {}
        self.findings: list[Finding] = []
        self.taken: dict[int, list[Taken]] = {}
        self._gone: set[int] = set()
        for number, move in enumerate(moves, start=1):
            if move.kind == MoveKind.SHARE:
                self._share(number, move)
            elif move.kind == MoveKind.PRICE:
                self._price(number, move)
            else:
                self._end(number, move)

    def _share(self, number: int, move: ScenarioMove) -> None:
        source, target, part = move.source_id or 0, move.target_id or 0, move.share_ppm or 0
        if target in self._gone:
            text = f"Move {number} moves traffic to {self.facts.name(target)}, whose supplier an earlier move ends."
            self.findings.append(Finding("supplier_ended", text, blocks=True))
            return
        did = False
        for feature_id in [move.feature_id] if move.feature_id is not None else list(self.mixes):
            if feature_id not in self.mixes:  # it has ended by the first day
                continue
            mixes, own = [], False
            for mix in self.mixes[feature_id]:
                plan = self.facts.plan_for(target, feature_id)
                later = mix.start >= self.facts.starts_on
                to = move_share(mix, source, target, part, plan) if later else mix
                own = own or to is not mix
                mixes.append(to)
            self.mixes[feature_id] = mixes
            did = did or own
            if own:
                self._say_unstated(number, feature_id, source)
        if not did:
            what = (
                "no feature runs"
                if move.feature_id is None
                else f"{self._feature(move.feature_id)} does not run"
            )
            self._nothing(number, f"{what} on {self.facts.name(source)}")

    def _nothing(self, number: int, why: str) -> None:
        text = f"Move {number} moves nothing: {why} from the first day on. Take it out, or choose another."
        self.findings.append(Finding("nothing_moves", text, blocks=True))

    def _say_unstated(self, number: int, feature_id: int, version_id: int) -> None:
        live = self._live[feature_id]
        parts = [mix.part(version_id) for mix in live if mix.start >= self.facts.starts_on]
        if any(part is not None and not part.stated for part in parts):
            self.findings.append(
                Finding(
                    "share_not_stated",
                    f"Move {number}: how much of {self._feature(feature_id)} runs on {self.facts.name(version_id)} is not"
                    " stated; an equal part of what is left is assumed. State the share before this is promoted.",
                    blocks=True,
                    feature_id=feature_id,
                )
            )

    def _price(self, number: int, move: ScenarioMove) -> None:
        plan_id = move.plan_id or 0
        left = Fraction(ONE + (move.change_ppm or 0), ONE)
        self.prices[plan_id] = self.prices.get(plan_id, Fraction(1)) * left
        plan = self.facts.book.plan(plan_id)
        self.findings.append(
            Finding(
                "price_move",
                f"Move {number} changes the price of {plan}: prices are agreed with suppliers, not promoted.",
                blocks=True,
            )
        )

    def _end(self, number: int, move: ScenarioMove) -> None:
        company = self.facts.companies.get(move.supplier_id or 0)
        publisher = company.publisher_id if company is not None else None
        gone = {pk for pk, v in self.facts.versions.items() if v.model.publisher_id == publisher}
        self._gone |= gone
        lives = self.facts.lives
        did = False
        for feature_id, mixes in self.mixes.items():
            about = {part.version_id for mix in mixes for part in mix.parts}
            if not about & gone:
                continue
            about |= {
                alternative for pk in about for alternative in self.facts.qualified.get((feature_id, pk), ())
            }
            edges = [first for pk in about if (first := lives[pk].first) is not None]
            found = []
            for mix in cut(mixes, edges):
                if mix.start < self.facts.starts_on:
                    found.append(mix)
                    continue
                to, taken = self._without(feature_id, mix)
                if to is not mix:
                    did = True
                    self.taken.setdefault(feature_id, taken)
                found.append(to)
            self.mixes[feature_id] = found
        if not did:
            name = company.name if company is not None else "that company"
            self._nothing(number, f"no feature runs on a model of {name}")

    def _without(self, feature_id: int, mix: Mix) -> tuple[Mix, list[Taken]]:
        facts = self.facts
        return without(
            mix,
            self._gone.__contains__,
            lambda pk: [
                (alternative, facts.plan_for(alternative, feature_id))
                for alternative in facts.qualified.get((feature_id, pk), ())
                if facts.able(feature_id, alternative)
            ],
            lambda pk: facts.runs(pk, mix.start),
        )

    def _feature(self, feature_id: int | None) -> str:
        feature = self.facts.features.get(feature_id or 0)
        return str(feature) if feature is not None else "the feature"


# --- money ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Term:
    """A stretch of one price and one discount. number: the same for all stretches that cost the same."""

    start: date
    end: date
    number: int
    held: bool


# Days (of those of the month) at one share, one term, and whether at a changed price.
_Piece = tuple[int, int, int, bool]


class _Pricing:
    """Each price is multiplied out once for each volume that meets it; months that are alike share the result."""

    def __init__(self, facts: Facts, moved: Mapping[int, Fraction]) -> None:
        self._facts = facts
        self._moved = moved
        self._terms: dict[tuple[int, int], list[_Term]] = {}
        self._numbers: dict[tuple[int, int, Fraction], int] = {}
        self._priced: list[tuple[PriceVersion | None, Fraction]] = []
        self._months: dict[tuple[object, ...], tuple[tuple[int, int] | None, str]] = {}
        self._cents: dict[tuple[object, ...], tuple[int | None, str]] = {}
        self._simple: dict[int, tuple[int, int, int, int] | None] = {}

    def lines(self, mixes: Mixes, *, moved: bool) -> list[Line]:
        """Of every feature that is used. moved: with the changed prices."""
        found: list[Line] = []
        for feature_id, own in mixes.items():
            if not (now := self._facts.volumes.get(feature_id)) or not now.tokens:
                continue
            first = 0
            for number, month in enumerate(self._facts.months):
                volume = self._facts.volume(feature_id, number) or now
                while own[first].end <= month.start:
                    first += 1
                stretches: dict[tuple[int, int | None], list[tuple[date, date, int]]] = {}
                for mix in own[first:]:
                    if mix.start >= month.end:
                        break
                    start, end = max(mix.start, month.start), min(mix.end, month.end)
                    for part in mix.parts:
                        if part.share_ppm:
                            span = start, end, part.share_ppm
                            stretches.setdefault((part.version_id, part.plan_id), []).append(span)
                for (version_id, plan_id), spans in stretches.items():
                    served = sum(share * (end - start).days for start, end, share in spans)
                    tokens = (2 * volume.tokens * served + ONE * month.days) // (2 * ONE * month.days)
                    minor, why, held = self._line(feature_id, volume, plan_id, number, spans, moved)
                    found.append(Line(feature_id, version_id, plan_id, number, tokens, minor, why, held))
        return found

    def _line(
        self,
        feature_id: int,
        volume: Volume,
        plan_id: int | None,
        number: int,
        spans: Sequence[tuple[date, date, int]],
        moved: bool,
    ) -> tuple[int | None, str, bool]:
        """Cents or why not, and whether a last price is held."""
        if plan_id is None:
            return None, NOT_SOLD, False
        terms, days = self._terms_of(plan_id, number), self._facts.months[number].days
        cheaper, since = moved and plan_id in self._moved, self._facts.starts_on
        if len(terms) == 1 and len(spans) == 1 and (spans[0][1] - spans[0][0]).days == days:
            pieces: tuple[_Piece, ...] = (
                (1, spans[0][2], terms[0].number, cheaper and spans[0][0] >= since),
            )
            days = 1  # months of one price and one mix are alike, whatever their length
        else:
            pieces = tuple(
                (
                    (min(end, term.end) - max(start, term.start)).days,
                    share,
                    term.number,
                    cheaper and start >= since,
                )
                for start, end, share in spans
                for term in terms
                if term.start < end and start < term.end
            )
        key = (feature_id, plan_id, days, pieces, volume.factor)
        if key not in self._cents:
            self._cents[key] = self._sum(feature_id, volume, plan_id, days, pieces)
        minor, why = self._cents[key]
        return minor, why, minor is not None and any(term.held for term in terms)

    def _sum(
        self, feature_id: int, volume: Volume, plan_id: int, days: int, pieces: Sequence[_Piece]
    ) -> tuple[int | None, str]:
        total, under = 0, 1  # a fraction, in whole numbers: this is done for every line of every month
        for part, share, number, cheaper in pieces:
            amount, why = self._whole_month(feature_id, volume, plan_id, share, number)
            if amount is None:
                return None, why
            kept = self._priced[number][1]
            if cheaper:
                kept *= self._moved[plan_id]
            above = amount[0] * kept.numerator * part
            below = amount[1] * kept.denominator * days
            total, under = (above, below) if not total else (total * below + above * under, under * below)
        return _nearest(total * 100, under), ""

    def _whole_month(
        self, feature_id: int, volume: Volume, plan_id: int, share: int, number: int
    ) -> tuple[tuple[int, int] | None, str]:
        """What a month of this share would cost at the list price, in dollars, as numerator and denominator."""
        version = self._priced[number][0]
        plan = self._facts.book.plan(plan_id)
        if version is None or plan is None:
            return None, NO_PRICE
        key = (feature_id, plan_id, share, version.pk, volume.factor)
        if key not in self._months:
            if version.currency_id != USD:
                self._months[key] = (
                    None,
                    f"Its price is in {version.currency_id}, which is not added to {USD}.",
                )
            elif (rates := self._rates(version)) is not None:
                taken, cached, given, _asked = _tokens(volume, share)
                dollars = (taken - cached) * rates[0] + cached * rates[1] + given * rates[2]
                self._months[key] = (dollars, rates[3]), ""
            else:
                found = monthly_cost([version], _usage(volume, share), plan, USD)
                total = found.total
                self._months[key] = (
                    (total.numerator, total.denominator) if total is not None else None,
                    found.why_unknown,
                )
        return self._months[key]

    def _rates(self, version: PriceVersion) -> tuple[int, int, int, int] | None:
        """What a fresh, a cached and a written token cost, over one denominator of dollars, where nothing else counts: what monthly_cost says, at a tenth of its time.

        None for a list with tiers, rates for long requests, other meters or an unknown price: that is left to it.
        """
        if version.pk not in self._simple:
            rows = {row.meter: row for row in version.rows.all()}
            plain = (
                len(rows) == len(version.rows.all())
                and {INPUT, OUTPUT} <= rows.keys() <= {INPUT, CACHED, OUTPUT}
                and all(
                    not r.tier_from and not r.above_context and r.amount is not None for r in rows.values()
                )
            )
            each = {meter: Fraction(r.amount) / r.per for meter, r in rows.items() if r.amount is not None}
            rates = (each[INPUT], each.get(CACHED, each[INPUT]), each[OUTPUT]) if plain else ()
            under = math.lcm(*(rate.denominator for rate in rates))
            over = [rate.numerator * (under // rate.denominator) for rate in rates]
            self._simple[version.pk] = (over[0], over[1], over[2], under) if over else None
        return self._simple[version.pk]

    def _terms_of(self, plan_id: int, number: int) -> list[_Term]:
        key = plan_id, number
        if key not in self._terms:
            plan = self._facts.book.plan(plan_id)
            found = []
            month = self._facts.months[number]
            for start, end, version, kept in self._facts.book.pieces(plan, month.start) if plan else []:
                held = version is None and plan is not None
                if held and plan is not None:
                    version = self._last(plan, start)
                    held = version is not None
                alike = (plan_id, version.pk if version is not None else 0, kept)
                if alike not in self._numbers:
                    self._numbers[alike] = len(self._priced)
                    self._priced.append((version, kept))
                found.append(_Term(start, end, self._numbers[alike], held))
            self._terms[key] = found
        return self._terms[key]

    def _last(self, plan: Plan, day: date) -> PriceVersion | None:
        """The price that ended because its version did, for the time after."""
        life = self._facts.lives.get(plan.offering.model_version_id or 0)
        if life is None or life.end is None or day < life.end:
            return None
        last = self._facts.book.last(plan, day)
        return last if last is not None and last.effective.upper >= life.end else None


def _nearest(above: int, below: int) -> int:
    """A quotient that is not below zero, to the nearest whole; a half goes up."""
    return (2 * above + below) // (2 * below)


def _tokens(volume: Volume, share: int) -> tuple[int, int, int, int]:
    """A share of a volume: tokens in, cached, out, and requests, each whole."""
    taken = _nearest(volume.input_tokens * share, ONE)
    cached = min(_nearest(volume.cached_tokens * share, ONE), taken)
    return (
        taken,
        cached,
        _nearest(volume.output_tokens * share, ONE),
        _nearest(volume.requests * share, ONE),
    )


def _usage(volume: Volume, share: int) -> Usage:
    taken, cached, given, asked = _tokens(volume, share)
    return Usage(input_tokens=taken, cached_input_tokens=cached, output_tokens=given, requests=asked)


def _suppliers(facts: Facts, before: Side, after: Side) -> list[SupplierRow]:
    """Who gets most comes first."""
    ids = before.tokens_of_supplier.keys() | after.tokens_of_supplier.keys()
    rows = [
        SupplierRow(
            pk,
            facts.supplier_name(pk),
            sum(before.by_supplier.get(pk, ())),
            sum(after.by_supplier.get(pk, ())),
            before.tokens_of_supplier.get(pk, 0),
            after.tokens_of_supplier.get(pk, 0),
        )
        for pk in ids
    ]
    return sorted(rows, key=lambda row: (-max(row.before, row.after), row.name))


def _features(facts: Facts, before: Side, after: Side) -> list[FeatureRow]:
    rows = []
    for pk, feature in facts.features.items():
        was, becomes = before.by_feature.get(pk, 0), after.by_feature.get(pk, 0)
        why = ""
        uncovered = max((mix.uncovered_ppm for mix in _later(facts, after, pk)), default=0)
        if any(
            mix.uncovered_ppm > live.uncovered_ppm for mix, live in _beside(after.mixes[pk], before.mixes[pk])
        ):
            why = "Part of its traffic has no model."
        elif before.served_without_price.get(pk) != after.served_without_price.get(pk):
            why = "Other tokens than before have no price."
        rows.append(
            FeatureRow(
                feature,
                was,
                becomes,
                None if why else becomes - was,
                why,
                _shares(facts, before, pk),
                _shares(facts, after, pk),
                uncovered,
                touched=any(
                    m.says() != live.says() for m, live in _beside(after.mixes[pk], before.mixes[pk])
                ),
            )
        )
    return rows


def _later(facts: Facts, side: Side, feature_id: int) -> list[Mix]:
    return [mix for mix in side.mixes[feature_id] if mix.start >= facts.starts_on]


def _beside(mixes: Sequence[Mix], live: Sequence[Mix]) -> Iterable[tuple[Mix, Mix]]:
    """Each mix with the live one in whose days it lies: those of a scenario are the live ones, cut further."""
    at = 0
    for mix in mixes:
        while live[at].end <= mix.start:
            at += 1
        yield mix, live[at]


def _shares(facts: Facts, side: Side, feature_id: int) -> tuple[Share, ...]:
    """Of the first day, the largest first."""
    later = _later(facts, side, feature_id)
    parts = sorted(later[0].parts, key=lambda p: (p.fallback, -p.share_ppm)) if later else []
    return tuple(Share(facts.name(p.version_id), p.share_ppm, p.stated, p.role) for p in parts)


def _plans(facts: Facts, before: Side, after: Side) -> list[PlanRow]:
    rows = []
    for plan in facts.spend_plans:
        span = plan.effective
        start, end = max(span.lower, facts.months[0].start), min(span.upper, facts.end)
        days = (span.upper - span.lower).days
        planned = rounded(Fraction(plan.amount_minor * (end - start).days, days))
        known = plan.currency_id == USD
        publisher = plan.supplier.publisher_id or 0
        was, becomes = (
            _over(facts, side.by_supplier.get(publisher, [0] * side.months), start, end) if known else None
            for side in (before, after)
        )
        rows.append(PlanRow(plan, start, end, planned, was, becomes))
    return rows


def _over(facts: Facts, by_month: Sequence[int], start: date, end: date) -> int:
    """What falls on [start, end): months that it cuts count by days."""
    return sum(
        rounded(Fraction(amount * (min(end, m.end) - max(start, m.start)).days, m.days))
        for amount, m in zip(by_month, facts.months, strict=True)
        if m.start < end and start < m.end
    )


# --- quality and treatment --------------------------------------------------------------------------------


def _qualities(facts: Facts, before: Side, after: Side) -> list[QualityRow]:
    """One row for each task that has traffic."""
    weights = [_by_task(facts, side) for side in (before, after)]
    return [
        _quality(facts, area, weights[0].get(pk, {}), weights[1].get(pk, {}))
        for pk, area in facts.areas.items()
        if pk in weights[0] or pk in weights[1]
    ]


def _by_task(facts: Facts, side: Side) -> dict[int, dict[int, int]]:
    """Task area id to version id to tokens."""
    found: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for feature_id, versions in side.tokens.items():
        for version_id, tokens in versions.items():
            found[facts.features[feature_id].task_area_id][version_id] += tokens
    return {task: dict(versions) for task, versions in found.items()}


def _quality(facts: Facts, area: TaskArea, before: Mapping[int, int], after: Mapping[int, int]) -> QualityRow:
    versions = before.keys() | after.keys()
    parts = _parts_moved(before, after)
    rankings = facts.rankings.get(area.pk, {})
    entries: Entries = {}
    for wanted in (versions, parts.keys()):
        covering = {key: found for key, found in rankings.items() if wanted and wanted <= found.keys()}
        entries = entries or chosen(covering, wanted)
    entries = entries or chosen(rankings, versions)
    some = next(iter(entries.values()), None)
    known = bool(entries) and parts.keys() <= entries.keys()
    return QualityRow(
        area,
        some.key if some is not None else None,
        some.scale if some is not None else 1,
        _mean(before, entries),
        _mean(after, entries),
        _change(parts, entries) if known or not parts else None,
        tuple(sorted(facts.name(pk) for pk in versions if pk not in entries)),
        len(versions),
        any(entries[pk].synthetic for pk in versions if pk in entries),
    )


def _parts_moved(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, float]:
    """Version id to how much more of the task it serves than before, as a part of one; those that serve as much are left out."""
    was, becomes = sum(before.values()) or 1, sum(after.values()) or 1
    parts = {pk: after.get(pk, 0) / becomes - before.get(pk, 0) / was for pk in before.keys() | after.keys()}
    return {pk: part for pk, part in parts.items() if abs(part) > 1e-9}


def _mean(weights: Mapping[int, int], entries: Entries) -> Mean | None:
    """By tokens; None where some version has no score, or nothing is served."""
    total = sum(weights.values())
    if not total or any(pk not in entries for pk in weights):
        return None
    return _combined({pk: tokens / total for pk, tokens in weights.items()}, entries)


def _change(parts: Mapping[int, float], entries: Entries) -> Mean:
    """What the mean gains, turned so that more is better. A version that serves as much as before has no part in it."""
    found = _combined(parts, entries)
    if parts and not next(iter(entries.values())).higher_is_better:
        turned = (
            (-found.high, -found.low) if found.low is not None and found.high is not None else (None, None)
        )
        return Mean(-found.score, *turned)
    return found


def _combined(parts: Mapping[int, float], entries: Mapping[int, Quality]) -> Mean:
    """Sum of the scores by their parts, which may be negative; intervals as of independent scores."""
    score = math.fsum(part * float(entries[pk].score) for pk, part in parts.items())
    down: list[float] = []
    up: list[float] = []
    for pk, part in parts.items():
        entry = entries[pk]
        if entry.low is None or entry.high is None:
            return Mean(score, None, None)
        below, above = float(entry.score - entry.low), float(entry.high - entry.score)
        if part < 0:
            below, above = above, below
        down.append((part * below) ** 2)
        up.append((part * above) ** 2)
    return Mean(score, score - math.sqrt(math.fsum(down)), score + math.sqrt(math.fsum(up)))


def _credit(facts: Facts, before: Side, after: Side) -> Credit:
    counted, totals = [0, 0], [0, 0]
    changes: dict[str, str] = {}
    for at, side in enumerate((before, after)):
        for feature_id, volume in facts.volumes.items():
            for mix in _later(facts, side, feature_id)[:1] if feature_id in side.mixes else []:
                for part in mix.parts:
                    tokens = rounded(Fraction(volume.tokens * part.share_ppm, ONE))
                    treatment = facts.treatment(part.version_id, part.plan_id)
                    totals[at] += tokens
                    if treatment is not None and treatment.counts:
                        counted[at] += tokens
                    if treatment is not None and tokens and treatment.until and treatment.until < facts.end:
                        changes[facts.name(part.version_id)] = day(treatment.until)
    return Credit(counted[0], counted[1], totals[0], totals[1], tuple(sorted(changes.items())))


# --- what is to be known ----------------------------------------------------------------------------------


def _gains(facts: Facts, live: Mixes, mixes: Mixes) -> Iterable[tuple[Feature, Mix, Part, Part | None]]:
    """Every version that takes more traffic of a feature than it does by the bindings: once, on its first day."""
    for feature_id, own in mixes.items():
        seen: set[int] = set()
        for mix, was in _beside(own, live[feature_id]):
            for part in mix.parts:
                before = was.part(part.version_id)
                if (
                    part.share_ppm > (before.share_ppm if before is not None else 0)
                    and part.version_id not in seen
                ):
                    seen.add(part.version_id)
                    yield facts.features[feature_id], mix, part, before


def _requirements(facts: Facts, live: Mixes, mixes: Mixes) -> Iterable[Finding]:
    """What a feature asks and a model that comes in does not have; what is not recorded is named, and is no failure."""
    for feature, _mix, part, before in _gains(facts, live, mixes):
        if before is None:
            for code, failed, text in facts.unmet(feature.pk, part.version_id, part.plan_id):
                name = facts.name(part.version_id)
                said = f"{feature}: {name} {text}"
                yield Finding(code, said, blocks=failed, feature_id=feature.pk, doubt=not failed)


def _uncovered(facts: Facts, live: Mixes, mixes: Mixes) -> Iterable[Finding]:
    for feature_id, own in mixes.items():
        for mix, was in _beside(own, live[feature_id]):
            if mix.uncovered_ppm > was.uncovered_ppm:
                left = percent(mix.uncovered_ppm, ONE)
                text = (
                    f"{facts.features[feature_id]}: {left} of its traffic has no model from {day(mix.start)} on:"
                    " no fallback, no other bound model and no qualified substitution takes it."
                )
                yield Finding("uncovered", text, blocks=True, feature_id=feature_id)
                break


def _lifecycle(facts: Facts, live: Mixes, mixes: Mixes) -> Iterable[Finding]:
    """Targets that are not out yet, models of a changed mix that have retired as it begins, and targets that retire later."""
    gaining: dict[int, list[str]] = defaultdict(list)
    for feature, mix, part, _before in _gains(facts, live, mixes):
        life = facts.lives[part.version_id]
        if life.first is not None and mix.start < life.first:
            text = f"{feature}: {facts.name(part.version_id)} is out on {day(life.first)} only, after {day(mix.start)}."
            yield Finding("not_released", text, blocks=True, feature_id=feature.pk)
        if life.end is not None and mix.start < life.end < facts.end:
            gaining[part.version_id].append(str(feature))
    for feature_id, own in mixes.items():
        told: set[int] = set()
        for mix, was in _beside(own, live[feature_id]):
            for part in mix.parts if mix.says() != was.says() else ():
                end = facts.lives[part.version_id].end
                if end is not None and end <= mix.start and part.version_id not in told:
                    told.add(part.version_id)
                    text = (
                        f"{facts.features[feature_id]}: {facts.name(part.version_id)} retires on {day(end)} and runs"
                        f" nothing from {day(mix.start)} on, when a mix begins. Move its traffic to another model."
                    )
                    yield Finding("retired", text, blocks=True, feature_id=feature_id)
    for version_id, features in gaining.items():
        what = features[0] if len(features) == 1 else f"{len(features)} features"
        text = (
            f"{facts.name(version_id)} takes more of {what} and retires on {day(facts.lives[version_id].end)},"
            " within these months: whoever moves there moves again."
        )
        yield Finding("retires", text, doubt=True)


def _held(facts: Facts, before: Side, after: Side) -> Iterable[Finding]:
    """Of whom the last price is held, in one sentence."""
    held = {line.version_id for side in (before, after) for line in side.lines if line.held}
    if held:
        ends = sorted((facts.lives[pk].end or facts.end, facts.name(pk)) for pk in held)
        names = ", ".join(f"{name} (retires on {day(end)})" for end, name in ends)
        text = f"Traffic is bound beyond a retirement: {names}. Its last price is held from then on, as if a successor cost the same."
        yield Finding("price_held", text)


def _agreed(facts: Facts) -> Iterable[Finding]:
    """What stands between us and a supplier that is ended: its agreement, and the money that goes either way."""
    for agreement in facts.agreements:
        said = [f"{agreement.name} with {facts.companies[agreement.supplier_id].name} is in effect"]
        said.append(
            f"{agreement.notice_days} days' notice"
            if agreement.notice_days is not None
            else "notice not stated"
        )
        said.append(f"renews on {day(agreement.renews_on)}" if agreement.renews_on else "renewal not stated")
        yield Finding("agreement", f"{', '.join(said)}.")
    for tie in facts.ties:
        amount = (
            f"{tie.get_bound_display().lower()} {money(tie.amount_minor, tie.currency.code, tie.currency.exponent, compact=True, trim=True)}"
            if tie.amount_minor is not None and tie.currency is not None
            else "of an unknown amount"
        )
        kind = RelationshipKind(tie.kind).label.lower()
        status = f", {tie.status}" if tie.status else ""
        text = f"{tie.payer.name} to {tie.payee.name}: {kind} {amount}{f' a {tie.per}' if tie.per else ''}{status}. Ending the supplier does not end it by itself."
        yield Finding("tie", text)
