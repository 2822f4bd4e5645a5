"""What speaks for and against one model version taking over from another in a feature. Whose model it is plays no part.

Evidence     Of one ranking in which both are, of the feature's task: better or worse where the intervals do not touch, else level.
Price        The same tokens on both: an average month of the last three whole ones, as the one that would be replaced used
             them in the feature (else as the whole feature did), at the list prices of the day's month less what is agreed.
             Another model may cut the same text into more or fewer tokens; that is not corrected.
Context, modalities, zone, lifecycle   What the feature asks, against what is recorded. Not recorded is unknown: it is no failure.

Context, modalities, zone, and being run at all on the day, are hard: who fails one cannot take over.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from config import formats
from config.months import add_months, month_of
from marketplace.models import (
    Binding,
    BindingRole,
    Feature,
    FeatureUsage,
    ModelVersion,
)
from marketplace.selectors.costs import Usage
from marketplace.selectors.recommender import TYPICAL
from marketplace.selectors.sourcing.binding import Life, bindings_on, features_on, lives
from marketplace.selectors.sourcing.costing import USD, PriceBook, Priced, usage_between
from marketplace.selectors.sourcing.judging import Entries, Key, Quality, chosen, comparable
from marketplace.selectors.sourcing.requirements import context_met, modalities, ways_to_buy, zone_met

MONTHS: Final = 3  # whole ones before the day, of whose use an average month is made
HORIZON: Final = 12  # months that an alternative should still live
ONE: Final = 1_000_000


class Need(StrEnum):
    EVIDENCE = "evidence"
    PRICE = "price"
    CONTEXT = "context"
    MODALITIES = "modalities"
    ZONE = "zone"
    LIFECYCLE = "lifecycle"


class Grade(StrEnum):
    """good: better, cheaper, met. level: neither here nor there. against: weigh it. unknown: nothing says. failed: it cannot."""

    GOOD = "good"
    LEVEL = "level"
    AGAINST = "against"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """word: for a table; text: the sentence behind it, with its figures."""

    need: Need
    grade: Grade
    word: str
    text: str

    @property
    def label(self) -> str:
        return self.need.value.capitalize()

    @property
    def said(self) -> str:
        """Within a sentence: evidence (none), lifecycle (to 9 Dec 2026)."""
        return f"{self.need.value} ({self.word[:1].lower()}{self.word[1:]})"


@dataclass(frozen=True, slots=True)
class Change:
    """What an average month would cost on the one and on the other. own: by the use of the replaced one, else of the feature or typical."""

    now: Priced
    then: Priced
    basis: str
    own: bool

    @property
    def extra(self) -> Fraction | None:
        """Dollars a month, exact; less than nothing is a saving."""
        if self.now.amount is None or self.then.amount is None or self.now.currency != self.then.currency:
            return None
        return self.then.amount - self.now.amount

    @property
    def ratio(self) -> Fraction | None:
        """Part of the present cost: 1/10 is ten per cent more. None where either is unknown or nothing is paid now."""
        extra = self.extra
        return extra / self.now.amount if extra is not None and self.now.amount else None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All six, in the order of Need. evidence, evidence_now: the entries that were compared, of one ranking."""

    each: tuple[Verdict, ...]
    change: Change
    evidence: Quality | None = None
    evidence_now: Quality | None = None

    def __getitem__(self, need: Need) -> Verdict:
        return next(verdict for verdict in self.each if verdict.need == need)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Hard ones that are not met."""
        return tuple(verdict for verdict in self.each if verdict.grade == Grade.FAILED)

    @property
    def doubts(self) -> tuple[Verdict, ...]:
        """What a qualification has to speak to: worse or missing evidence, a retirement ahead, a requirement nobody can check."""
        soft = (Grade.AGAINST, Grade.UNKNOWN)
        return tuple(v for v in self.each if v.need != Need.PRICE and v.grade in soft)

    @property
    def rank(self) -> tuple[bool, int, bool, bool, Fraction]:
        """Best first: what fails last, then by evidence, by what speaks against it, by price. The same for every supplier."""
        evidence = {Grade.GOOD: 0, Grade.LEVEL: 1, Grade.UNKNOWN: 2, Grade.AGAINST: 3}
        ratio = self.change.ratio
        return (
            bool(self.failed),
            evidence[self[Need.EVIDENCE].grade],
            self[Need.LIFECYCLE].grade == Grade.AGAINST,
            ratio is None,
            ratio or Fraction(0),
        )


class Worksheet:
    """What the verdicts on features and versions rest on, as on a day: read once in 13 queries at most, then none.

    feature_ids   None: every feature.
    versions      Looked at besides those that the features run on.
    """

    def __init__(
        self, on: date, feature_ids: Collection[int] | None = None, versions: Iterable[int] = ()
    ) -> None:
        self.on = on
        features = features_on(on)
        held, used = bindings_on(on), usage_between(add_months(month_of(on), -MONTHS), month_of(on))
        if feature_ids is not None:
            features = features.filter(pk__in=feature_ids)
            held, used = held.filter(feature__in=feature_ids), used.filter(feature__in=feature_ids)
        self.features: Mapping[int, Feature] = {feature.pk: feature for feature in features}
        self.bindings: Mapping[int, Sequence[Binding]] = _grouped(held)
        rows = list(used)
        wanted = {b.model_version_id for found in self.bindings.values() for b in found} | set(versions)
        self.versions: Mapping[int, ModelVersion] = {
            version.pk: version
            for version in ModelVersion.objects.filter(pk__in=wanted).select_related("model__publisher")
        }
        self.lives: Mapping[int, Life] = lives(wanted)
        self._ways = ways_to_buy(wanted, on)
        self._rankings: Mapping[int, Mapping[Key, Entries]] = comparable(
            wanted, {feature.task_area_id for feature in self.features.values()}, on=on
        )
        self._usage, self._usage_plans = _average(rows)
        month = month_of(on)
        plans = {b.plan_id for found in self.bindings.values() for b in found if b.plan_id is not None}
        plans |= {way.pk for ways in self._ways.values() for way in ways if way.priced}
        plans |= {row.plan_id for row in rows if row.plan_id is not None}
        self._book = PriceBook(plans, month, add_months(month, 1))
        self._costs: dict[tuple[int | None, Usage], Priced] = {}

    # What the features run on.

    def usage(self, feature_id: int, version_id: int) -> Usage | None:
        """An average month of a version in a feature; None where it was not used in the three months."""
        return self._usage.get((feature_id, version_id))

    def usage_of_feature(self, feature_id: int) -> Usage | None:
        """An average month of all its versions together."""
        return self._usage.get((feature_id, None))

    def plan_of(self, feature_id: int, version_id: int) -> int | None:
        """As what a version is bought for a feature: as its binding says, else as it was used, else the first priced plan in its zone."""
        for binding in self.bindings.get(feature_id, ()):
            if binding.model_version_id == version_id and binding.plan_id is not None:
                return binding.plan_id
        used = self._usage_plans.get((feature_id, version_id))
        if used is not None:
            return used
        feature = self.features[feature_id]
        ways = [way for way in self._ways.get(version_id, ()) if way.priced]
        fitting = [way for way in ways if not feature.zone or way.zone == feature.zone]
        return next((way.pk for way in (*fitting, *ways)), None)

    def cost(self, feature_id: int, version_id: int, usage: Usage) -> Priced:
        """A month of *usage* on a version as this feature would buy it. Other currencies than USD are not known here."""
        plan = self.plan_of(feature_id, version_id)
        key = plan, usage
        if key not in self._costs:
            found = self._book.cost(plan, month_of(self.on), usage)
            if found.amount is not None and found.currency != USD:
                found = Priced(None, found.currency, f"Its price is in {found.currency}.")
            self._costs[key] = found
        return self._costs[key]

    def alive(self, version_id: int) -> bool:
        """Released, and not yet retired, as far as anybody knows."""
        life = self.lives.get(version_id, Life(None, None))
        return (life.first is None or life.first <= self.on) and (life.end is None or self.on < life.end)

    def supplier(self, version_id: int) -> int:
        """Id of the publisher that makes it."""
        return self.versions[version_id].model.publisher_id

    # One beside the other.

    def verdicts(self, feature_id: int, replaced_id: int, alternative_id: int) -> Verdicts:
        feature, version = self.features[feature_id], self.versions[alternative_id]
        evidence, now, then = self._evidence(feature, replaced_id, alternative_id)
        change = self.change(feature_id, replaced_id, alternative_id)
        return Verdicts(
            (
                evidence,
                _price(change),
                _context(feature, version),
                _modalities(feature, version),
                self._zone(feature, alternative_id),
                self._lifecycle(alternative_id),
            ),
            change,
            then,
            now,
        )

    def change(self, feature_id: int, replaced_id: int, alternative_id: int) -> Change:
        usage, basis, own = self.usage(feature_id, replaced_id), "its own use in the feature", True
        if usage is None:
            usage, basis, own = self.usage_of_feature(feature_id), "the whole feature's use", False
        if usage is None:
            usage, basis = TYPICAL, "three parts in and one part out, since the feature has no use yet"
        return Change(
            self.cost(feature_id, replaced_id, usage),
            self.cost(feature_id, alternative_id, usage),
            basis,
            own,
        )

    def _evidence(
        self, feature: Feature, replaced_id: int, alternative_id: int
    ) -> tuple[Verdict, Quality | None, Quality | None]:
        pair = (replaced_id, alternative_id)
        rankings = {
            key: {version: entries[version] for version in pair if version in entries}
            for key, entries in self._rankings.get(feature.task_area_id, {}).items()
        }
        found = chosen({key: entries for key, entries in rankings.items() if entries}, pair)
        now, then = found.get(replaced_id), found.get(alternative_id)
        if now is None or then is None:
            known = "only one of the two" if found else "neither of the two"
            text = f"No ranking of {feature.task_area.name} compares them: there is a result of {known}."
            return Verdict(Need.EVIDENCE, Grade.UNKNOWN, "None", text), now, then
        grade, word = _compared(now, then)
        made_up = " Made up for the demo." if now.synthetic or then.synthetic else ""
        text = f"{_score(then)} against {_score(now)} in {_title(then)}. {_why(now, then)}{made_up}"
        return Verdict(Need.EVIDENCE, grade, word, text), now, then

    def _zone(self, feature: Feature, version_id: int) -> Verdict:
        zones = {way.zone for way in self._ways.get(version_id, ())}
        met = zone_met(feature.zone, zones)
        if not feature.zone:
            return Verdict(Need.ZONE, Grade.GOOD, "Anywhere", "The feature may run anywhere.")
        wanted = feature.zone.upper()
        if met:
            return Verdict(Need.ZONE, Grade.GOOD, wanted, f"A public plan of it processes data in {wanted}.")
        if met is None:
            text = f"The feature has to run in {wanted}; no record says whether it can."
            return Verdict(Need.ZONE, Grade.UNKNOWN, "Unknown", text)
        text = f"The feature has to run in {wanted}; its public plans run in {', '.join(z.upper() if len(z) < 3 else z for z in sorted(zones))}."
        return Verdict(Need.ZONE, Grade.FAILED, f"Not in {wanted}", text)

    def _lifecycle(self, version_id: int) -> Verdict:
        life = self.lives.get(version_id, Life(None, None))
        if life.first is not None and life.first > self.on:
            said = formats.day(life.first)
            return Verdict(Need.LIFECYCLE, Grade.FAILED, f"From {said}", f"It is not released before {said}.")
        if life.end is None:
            return Verdict(Need.LIFECYCLE, Grade.GOOD, "No end known", "No retirement of it is announced.")
        said = formats.day(life.end)
        if life.end <= self.on:
            return Verdict(Need.LIFECYCLE, Grade.FAILED, "Retired", f"It retired on {said}.")
        if life.end < _later(self.on, HORIZON):
            text = f"It retires on {said}, within {HORIZON} months: whoever moves there moves again."
            return Verdict(Need.LIFECYCLE, Grade.AGAINST, f"To {said}", text)
        return Verdict(Need.LIFECYCLE, Grade.GOOD, f"To {said}", f"It retires on {said}.")


def _grouped(held: Iterable[Binding]) -> dict[int, list[Binding]]:
    found: dict[int, list[Binding]] = defaultdict(list)
    for binding in held:
        found[binding.feature_id].append(binding)
    return found


def _average(
    rows: Iterable[FeatureUsage],
) -> tuple[dict[tuple[int, int | None], Usage], dict[tuple[int, int], int]]:
    """By (feature, version), and by (feature, None) for all of its versions; and the plan of most tokens of the first kind."""
    sums: dict[tuple[int, int | None], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    plans: dict[tuple[int, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        parts = (row.input_tokens, row.cached_tokens, row.output_tokens, row.requests or 0)
        for key in ((row.feature_id, row.model_version_id), (row.feature_id, None)):
            sums[key] = [a + b for a, b in zip(sums[key], parts, strict=True)]
        if row.plan_id is not None:
            plans[row.feature_id, row.model_version_id][row.plan_id] += row.input_tokens + row.output_tokens
    usage = {
        key: Usage(
            input_tokens=taken // MONTHS,
            cached_input_tokens=cached // MONTHS,
            output_tokens=given // MONTHS,
            requests=requests // MONTHS,
        )
        for key, (taken, cached, given, requests) in sums.items()
        if taken // MONTHS or given // MONTHS
    }
    return usage, {
        key: max(found.items(), key=lambda item: (item[1], -item[0]))[0] for key, found in plans.items()
    }


def _compared(now: Quality, then: Quality) -> tuple[Grade, str]:
    """Better or worse only where the intervals do not touch; without intervals, by the score alone."""
    turned = 1 if then.higher_is_better else -1
    if None in (now.low, now.high, then.low, then.high):
        gap = then.merit - now.merit
    else:
        ends_now = sorted(turned * end for end in (now.low, now.high) if end is not None)
        ends_then = sorted(turned * end for end in (then.low, then.high) if end is not None)
        above, below = ends_then[0] - ends_now[1], ends_then[1] - ends_now[0]
        gap = above if above > 0 else min(below, Decimal(0))
    if gap > 0:
        return Grade.GOOD, "Better"
    return (Grade.AGAINST, "Worse") if gap < 0 else (Grade.LEVEL, "Level")


def _why(now: Quality, then: Quality) -> str:
    if None in (now.low, now.high, then.low, then.high):
        return "No interval of both is known: the difference may be chance."
    return (
        "The intervals overlap."
        if _compared(now, then)[0] == Grade.LEVEL
        else "The intervals do not overlap."
    )


def _score(entry: Quality) -> str:
    said = formats.decimal(entry.score, 3)
    if entry.low is None or entry.high is None:
        return said
    return f"{said} ({formats.decimal(entry.low, 3)} to {formats.decimal(entry.high, 3)})"


def _title(entry: Quality) -> str:
    return f"{entry.key.title}, {entry.key.conditions}"


def _price(change: Change) -> Verdict:
    ratio, extra = change.ratio, change.extra
    if ratio is None or extra is None:
        why = change.then.why or change.now.why or "What it would replace costs nothing now."
        which = "It" if change.then.amount is None else "What it would replace"
        text = f"{which} has no price to compare. {why}" if why else f"{which} has no price to compare."
        return Verdict(Need.PRICE, Grade.UNKNOWN, "Unknown", text)
    more = formats.percent(abs(ratio.numerator), ratio.denominator)
    text = f"{formats.usd(change.then.amount or Fraction(0))} a month against {formats.usd(change.now.amount or Fraction(0))}, by {change.basis}."
    if ratio == 0:
        return Verdict(Need.PRICE, Grade.LEVEL, "The same", text)
    return Verdict(
        Need.PRICE,
        Grade.GOOD if ratio < 0 else Grade.AGAINST,
        f"{more} {'less' if ratio < 0 else 'more'}",
        text,
    )


def _context(feature: Feature, version: ModelVersion) -> Verdict:
    has, asked = version.context_window, feature.min_context
    if asked is None:
        return Verdict(Need.CONTEXT, Grade.GOOD, "Not asked", "The feature asks for no context length.")
    wanted, met = formats.whole(asked), context_met(feature, version)
    if met is None or has is None:
        text = f"The feature needs {wanted} tokens; how many it takes is not recorded."
        return Verdict(Need.CONTEXT, Grade.UNKNOWN, "Unknown", text)
    text = f"It takes {formats.whole(has)} tokens; the feature needs {wanted}."
    if not met:
        return Verdict(Need.CONTEXT, Grade.FAILED, f"Only {formats.whole(has)}", text)
    return Verdict(Need.CONTEXT, Grade.GOOD, formats.whole(has), text)


def _modalities(feature: Feature, version: ModelVersion) -> Verdict:
    asked = {"in": feature.modalities_in, "out": feature.modalities_out}
    if not any(asked.values()):
        return Verdict(Need.MODALITIES, Grade.GOOD, "Not asked", "The feature asks for no modality.")
    found = modalities(feature, version)
    if found.lacking:
        lacking = [f"{name} {way}" for name, way in found.lacking]
        text = f"It lacks {', '.join(lacking)}."
        return Verdict(Need.MODALITIES, Grade.FAILED, f"No {lacking[0]}", text)
    if found.unknown:
        return Verdict(
            Need.MODALITIES, Grade.UNKNOWN, "Unknown", "Which modalities it takes is not recorded."
        )
    said = "; ".join(f"{way}: {', '.join(sorted(names))}" for way, names in asked.items() if names)
    return Verdict(Need.MODALITIES, Grade.GOOD, "All", f"It has what the feature needs ({said}).")


def _later(day: date, months: int) -> date:
    """The same day so many months on, or the last day of that month."""
    first = add_months(day, months)
    return min(
        date.fromordinal(first.toordinal() + day.day - 1),
        date.fromordinal(add_months(first, 1).toordinal() - 1),
    )


def short(version: ModelVersion) -> str:
    """A version in few words: its model's name, and its label where that is more than a date."""
    label = version.label
    dated = len(label) == 10 and label[:4].isdecimal() and label[4] == label[7] == "-"
    return version.model.name if dated or label == "undated" else f"{version.model.name} {label}"


def traffic(held: Iterable[Binding]) -> dict[int, tuple[Fraction, bool]]:
    """Version id to its part of a feature's traffic, and whether that is stated.

    What is left by the stated shares is split evenly among those that state none. Fallbacks have no part and are absent.
    """
    mix = [b for b in held if b.role != BindingRole.FALLBACK]
    stated = {b.model_version_id: Fraction(b.share_ppm, ONE) for b in mix if b.share_ppm is not None}
    unstated = [b.model_version_id for b in mix if b.share_ppm is None]
    left = max(1 - sum(stated.values(), Fraction(0)), Fraction(0))
    return {pk: (share, True) for pk, share in stated.items()} | {
        pk: (left / len(unstated), False) for pk in unstated
    }
