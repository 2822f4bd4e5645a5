"""What comes, by day, and what waits for somebody to decide: read off agreements, lifecycles, commitments and open questions."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from django.conf import settings

from config import formats
from config.charts import Tone
from marketplace.models import (
    Binding,
    Feature,
    Scenario,
    ScenarioState,
    SpendPlan,
    Substitution,
    SubstitutionState,
)
from marketplace.selectors.sourcing import commitments
from marketplace.selectors.sourcing.binding import bindings, lives
from marketplace.selectors.sourcing.companies import agreements, notice_by
from marketplace.selectors.sourcing.concentration import Exposure, Sourced, carries, holds, short

AHEAD: Final = 730  # days that are looked ahead
TO_MOVE: Final = 183  # days before a retirement from which on moving is somebody's task

MADE_UP: Final = "Made up for the demo."
ASSUMED: Final = "Assumed."

Kind = Literal["notice", "renewal", "agreement ends", "retirement", "commitment ends", "plan ends"]


@dataclass(frozen=True, slots=True)
class Coming:
    """Something with a day from now on.

    url      Name and argument of the page where it stands.
    caveat   "Made up for the demo" or "Assumed", where it does not rest on what is stated.
    """

    day: date
    kind: Kind
    what: str
    detail: str
    url: tuple[str, str | int]
    caveat: str = ""

    def days(self, on: date) -> int:
        return (self.day - on).days

    def near(self, on: date) -> bool:
        return self.days(on) <= int(settings.SOURCING_THRESHOLDS["notice_days_ahead"])


@dataclass(frozen=True, slots=True)
class MustMove:
    """A version that features run on past the day on which it can no longer be run.

    features   Those that have it in their mix on that day, by product.
    """

    day: date
    version: str
    version_id: int
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Something that somebody has to decide or to mend. tone: how pressing."""

    tone: Tone
    what: str
    detail: str
    url: tuple[str, str | int] | tuple[str]
    button: str


def must_move(on: date) -> list[MustMove]:
    """Versions that retire while something is bound to them, the next first. 3 queries."""
    held = list(bindings().filter(effective__overlap=(on, None)))
    life = lives({binding.model_version_id for binding in held})
    found: dict[int, list[Binding]] = defaultdict(list)
    for binding in held:
        end = life[binding.model_version_id].end
        if end is not None and holds(binding.effective, max(end, on)):
            found[binding.model_version_id].append(binding)
    moving = [
        MustMove(
            life[pk].end or on,
            short(rows[0].model_version),
            pk,
            tuple({row.feature_id: row.feature for row in rows}.values()),
        )
        for pk, rows in found.items()
    ]
    return sorted(moving, key=lambda each: (each.day, each.version))


def coming(on: date, standings: Sequence[commitments.Standing], moving: Iterable[MustMove]) -> list[Coming]:
    """The next two years in order. 2 queries."""
    found = [*_agreed(on), *_ending(standings), *_retiring(moving), *_planned(on)]
    last = on + timedelta(days=AHEAD)
    return sorted((c for c in found if on <= c.day < last), key=lambda c: (c.day, c.kind, c.what))


def _agreed(on: date) -> Iterable[Coming]:
    for agreement in agreements(on):
        supplier, by = agreement.supplier, notice_by(agreement)
        at = ("marketplace:company", supplier.slug)
        by_itself = {
            True: "Without notice it renews by itself",
            False: "Without a new one it ends",
            None: "Whether it renews by itself is not stated",
        }[agreement.renews_by_itself]
        if by is not None:
            yield Coming(
                by,
                "notice",
                f"Last day for notice to {supplier.name}",
                f"{agreement.name}. {by_itself}.",
                at,
                MADE_UP if agreement.synthetic else "",
            )
        if agreement.renews_on is not None:
            yield Coming(
                agreement.renews_on,
                "renewal",
                f"Agreement with {supplier.name} renews",
                f"{agreement.name}.",
                at,
                MADE_UP if agreement.synthetic else "",
            )
        if agreement.effective.upper is not None and agreement.effective.upper != agreement.renews_on:
            yield Coming(
                agreement.effective.upper,
                "agreement ends",
                f"Agreement with {supplier.name} ends",
                f"{agreement.name}.",
                at,
                MADE_UP if agreement.synthetic else "",
            )


def _ending(standings: Iterable[commitments.Standing]) -> Iterable[Coming]:
    for each in standings:
        if each.term is not None:
            tie = each.relationship
            yield Coming(
                each.term.end,
                "commitment ends",
                f"{tie.payer.name}'s compute commitment to {tie.payee.name} ends",
                "As its source states." if each.term.basis == "stated" else "No term is stated.",
                ("marketplace:relationship", tie.pk),
                "" if each.term.basis == "stated" else ASSUMED,
            )


def _retiring(moving: Iterable[MustMove]) -> Iterable[Coming]:
    for each in moving:
        yield Coming(
            each.day,
            "retirement",
            f"{each.version} retires",
            f"{_many(len(each.features), 'feature')} to move: {_listed([f.name for f in each.features])}.",
            ("marketplace:feature", each.features[0].slug),
        )


def _planned(on: date) -> Iterable[Coming]:
    for plan in SpendPlan.objects.filter(superseded_at=None, effective__contains=on).select_related(
        "supplier"
    ):
        yield Coming(
            plan.effective.upper,
            "plan ends",
            f"Plan of spend with {plan.supplier.name} ends",
            "State the next one before that.",
            ("marketplace:company", plan.supplier.slug),
        )


def tasks(
    exposure: Exposure,
    standings: Sequence[commitments.Standing],
    moving: Sequence[MustMove],
    ahead: Sequence[Coming],
) -> list[Task]:
    """What waits, the most pressing first. 2 queries, and what *exposure* has not read yet."""
    found = [
        *_dated(exposure.on, moving, ahead),
        *_waiting(),
        *_unassured(exposure),
        *_unstated(exposure, standings),
    ]
    order = {"bad": 0, "warn": 1}
    return sorted(found, key=lambda task: order.get(task.tone, 2))


def _waiting() -> Iterable[Task]:
    asked = Scenario.objects.filter(state=ScenarioState.ASKED).count()
    if asked:
        yield Task(
            "warn",
            f"{_many(asked, 'scenario')} to promote or decline",
            "A second person decides; until then nothing changes.",
            ("marketplace:scenarios",),
            "Scenarios",
        )
    proposed = Substitution.objects.filter(superseded_at=None, state=SubstitutionState.PROPOSED).count()
    if proposed:
        yield Task(
            "accent",
            f"{_many(proposed, 'proposed alternative')} to qualify or reject",
            "Only what is qualified counts as an alternative.",
            ("marketplace:substitutions",),
            "Substitution",
        )


def _dated(on: date, moving: Iterable[MustMove], ahead: Iterable[Coming]) -> list[Task]:
    """Retirements and last days for notice that are near, the next first."""
    found = []
    for each in moving:
        gone = each.day <= on
        if (each.day - on).days <= TO_MOVE:
            task = Task(
                "bad" if gone else "warn",
                f"{each.version} {'retired' if gone else 'retires'} on {formats.day(each.day)}",
                f"Still in the mix from then on: {_listed([str(f) for f in each.features])}.",
                ("marketplace:feature", each.features[0].slug),
                "Move it",
            )
            found.append((each.day, task))
    for notice in ahead:
        if notice.kind == "notice" and notice.near(on):
            said = f"{notice.what}: {formats.day(notice.day)}"
            found.append((notice.day, Task("warn", said, notice.detail, notice.url, "Agreement")))
    return [task for _, task in sorted(found, key=lambda dated: dated[0])]


def _unassured(exposure: Exposure) -> Iterable[Task]:
    sole = [each for each in exposure.sole if not exposure.suppliers[each.carriers[0]].own]
    if sole:
        yield Task(
            "warn",
            f"{_many(len(sole), 'feature')} on one other supplier, without an alternative",
            _listed([str(each.feature) for each in sole]),
            ("marketplace:substitutions",),
            "Propose one",
        )
    unbound = [each for each in exposure.sourcing if each.state == Sourced.UNBOUND]
    if unbound:
        yield Task(
            "accent",
            f"{_many(len(unbound), 'feature')} not bound to any model",
            _listed([str(each.feature) for each in unbound]),
            ("marketplace:products",),
            "Products",
        )


def _unstated(exposure: Exposure, standings: Iterable[commitments.Standing]) -> Iterable[Task]:
    lines = [line for line in exposure.lines if line.month == exposure.months[-1]]
    unpriced = sum(line.cost.amount is None for line in lines)
    month = formats.month(exposure.months[-1])
    if unpriced:
        yield Task(
            "warn",
            f"{_many(unpriced, 'line')} of {month} unpriced",
            "They are in no total: give the plan a price, or bind the usage to a plan.",
            ("marketplace:spend",),
            "Spend",
        )
    if exposure.lines and not lines:
        yield Task(
            "warn",
            f"No usage of {month} yet",
            "Figures end with the month before.",
            ("marketplace:usage-import",),
            "Import usage",
        )
    for each in standings:
        if each.term is None:
            tie = each.relationship
            yield Task(
                "accent",
                f"{tie.payer.name} to {tie.payee.name}: no term stated",
                "Pace and shortfall of the commitment are unknown until somebody states an assumption.",
                ("marketplace:relationship", tie.pk),
                "State one",
            )
    silent = [
        each.feature
        for each in exposure.sourcing
        if any(carries(b) and b.share_ppm is None for b in exposure.held.get(each.feature.pk, ()))
    ]
    if silent:
        yield Task(
            "accent",
            f"{_many(len(silent), 'feature')} with a share that nobody states",
            _listed([str(feature) for feature in silent]),
            ("marketplace:products",),
            "Products",
        )


def _many(number: int, word: str) -> str:
    return f"{formats.whole(number)} {word}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
