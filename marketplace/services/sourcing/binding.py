"""From a day on, a feature runs on a mix of models. What held is superseded and cut, never edited and never lost."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import User
from config.house import day, percent
from config.refusals import Conflict, NotFound, Problem, Stale, refuse_if_any
from marketplace.models import (
    Binding,
    BindingRole,
    Evaluation,
    Feature,
    ModelVersion,
    Plan,
    PublicFact,
    Scenario,
    SuiteRun,
)
from marketplace.selectors.sourcing.binding import lives
from marketplace.services.sourcing.access import must_lead_sourcing

ONE: Final = 1_000_000
MOST: Final = 40
LONGEST_REASON: Final = 300
LONGEST_SOURCE: Final = 200
# What a row of the table says, apart from when, by whom and why.
STATED: Final = (
    "model_version_id",
    "role",
    "share_ppm",
    "plan_id",
    "evaluation_id",
    "run_id",
    "fact_id",
    "assumed",
)


@dataclass(frozen=True, slots=True)
class MixRow:
    """One model of a mix. share_ppm: parts per million of the feature's traffic; None is not stated, a fallback has none."""

    model_version_id: int
    role: str
    share_ppm: int | None
    plan_id: int | None = None
    evaluation_id: int | None = None
    run_id: int | None = None
    fact_id: int | None = None
    assumed: bool = False


@transaction.atomic
def set_mix(
    *,
    feature_id: int,
    from_day: date,
    rows: Sequence[MixRow],
    reason: str,
    by: User,
    at: datetime,
    source: str = "",
    scenario: Scenario | None = None,
    seen: int | None = None,
) -> list[Binding]:
    """From *from_day* on the feature runs on exactly *rows*, until the next mix already stated. 12 queries or fewer.

    seen     The last binding of the feature that whoever asks has seen, as last_stated() gives it; None: whatever there is.
    Raises   Forbidden, NotFound, Stale if the mix was changed since *seen*, Conflict (nothing_changes), and Invalid with
             everything that is wrong: no_reason, too_long, no_models, too_many_models, shares_do_not_add_up,
             share_out_of_range, fallback_has_a_share, nothing_takes_the_traffic, version_twice, several_defaults,
             no_such_version, not_released, retired, no_such_plan, plan_of_another_version, plan_withdrawn,
             no_such_evidence, evidence_of_another_version, feature_ended.
    """
    must_lead_sourcing(by)
    reason, source = reason.strip(), source.strip()
    # The lock leaves room for those who merely refer to the feature: imported usage, say.
    feature = Feature.objects.select_for_update(no_key=True).filter(pk=feature_id).first()
    if feature is None:
        raise NotFound.of("no_such_feature", "There is no such feature.", "/feature")
    stated = list(Binding.objects.filter(feature=feature, superseded_at=None).order_by("effective", "id"))
    if seen is not None and seen != last_stated(feature_id):
        raise Stale.of(
            "changed_since",
            "Somebody else changed what this feature runs on in the meantime. Look at it again, then say what you want.",
        )
    refuse_if_any(
        [*_text_problems(reason, source), *_end_problems(feature, from_day), *_problems(rows, from_day)]
    )
    if _holds_already(stated, rows, from_day, reason):
        raise Conflict.of(
            "nothing_changes", f"The feature runs on exactly this mix on {day(from_day)} already."
        )
    acting(by=by, at=at, reason=reason)
    until = _next_mix(stated, from_day) or feature.ends_on
    kept = []
    cut = [b for b in stated if _overlap(b, from_day, until)]
    for old in cut:
        kept += [_part(old, span, by=by, at=at) for span in _outside(old, from_day, until)]
    Binding.objects.filter(pk__in=[old.pk for old in cut]).update(superseded_at=at)
    new = [
        Binding(
            feature=feature,
            model_version_id=row.model_version_id,
            role=row.role,
            share_ppm=0 if row.role == BindingRole.FALLBACK else row.share_ppm,
            effective=DateRange(from_day, until),
            plan_id=row.plan_id,
            evaluation_id=row.evaluation_id,
            run_id=row.run_id,
            fact_id=row.fact_id,
            reason=reason,
            source=source,
            assumed=row.assumed,
            scenario=scenario,
            made_by=by,
            made_at=at,
        )
        for row in rows
    ]
    Binding.objects.bulk_create([*kept, *new])
    return new


def end_mixes(*, feature_id: int, ends_on: date, by: User, at: datetime) -> None:
    """From a day on the feature runs on nothing; called under its lock. 3 queries."""
    cut = [
        b
        for b in Binding.objects.filter(feature=feature_id, superseded_at=None).order_by("effective", "id")
        if _overlap(b, ends_on, None)
    ]
    kept = [_part(old, span, by=by, at=at) for old in cut for span in _outside(old, ends_on, None)]
    Binding.objects.filter(pk__in=[old.pk for old in cut]).update(superseded_at=at)
    Binding.objects.bulk_create(kept)


def last_stated(feature_id: int) -> int:
    """What a form shows of a feature is as of this binding; 0 where there is none. 1 query."""
    return (
        Binding.objects.filter(feature=feature_id).order_by("-id").values_list("pk", flat=True).first() or 0
    )


# --- what may be wrong ------------------------------------------------------------------------------------


def _text_problems(reason: str, source: str) -> Iterator[Problem]:
    if not reason:
        yield Problem("no_reason", "Say why: it stands beside the mix.", "/reason")
    for text, longest, name in ((reason, LONGEST_REASON, "reason"), (source, LONGEST_SOURCE, "source")):
        if len(text) > longest or "\x00" in text:
            yield Problem("too_long", f"Keep the {name} under {longest} characters of text.", f"/{name}")


def _end_problems(feature: Feature, from_day: date) -> Iterator[Problem]:
    if feature.ends_on is not None and from_day >= feature.ends_on:
        yield Problem(
            "feature_ended",
            f"The feature ends on {day(feature.ends_on)}: it runs on nothing from then on.",
            "/from_day",
        )


def _problems(rows: Sequence[MixRow], from_day: date) -> list[Problem]:
    """Everything that is wrong with a mix from a day on. 7 queries."""
    if not rows:
        return [Problem("no_models", "Name at least one model.", "/rows")]
    if len(rows) > MOST:
        return [Problem("too_many_models", f"Name at most {MOST} models.", "/rows")]
    return [
        *_share_problems(rows),
        *_role_problems(rows),
        *_version_problems(rows, from_day),
        *_plan_problems(rows, from_day),
        *_evidence_problems(rows),
    ]


def _share_problems(rows: Sequence[MixRow]) -> Iterator[Problem]:
    """In one sentence by how much the shares miss the whole; single shares first."""
    takes = [row for row in rows if row.role != BindingRole.FALLBACK]
    if not takes:
        yield Problem(
            "nothing_takes_the_traffic",
            "A fallback alone takes no traffic: make one model the default or selectable.",
            "/rows",
        )
    sound = True
    for place, row in enumerate(rows):
        if row.role == BindingRole.FALLBACK and row.share_ppm:
            yield Problem(
                "fallback_has_a_share",
                "A fallback only steps in: give it no share, or make it selectable.",
                f"/rows/{place}/share",
            )
        elif row.share_ppm is not None and not 0 <= row.share_ppm <= ONE:
            sound = False
            yield Problem("share_out_of_range", "A share lies between 0 and 100 %.", f"/rows/{place}/share")
    known = sum(row.share_ppm for row in takes if row.share_ppm is not None)
    is_open = any(row.share_ppm is None for row in takes)
    if not takes or not sound or known == ONE or (is_open and known < ONE):
        return
    gap = f"{share_text(known - ONE)} too much" if known > ONE else f"{share_text(ONE - known)} missing"
    yield Problem(
        "shares_do_not_add_up",
        f"The shares add up to {share_text(known)}: {gap}. They have to make 100%.",
        "/rows",
    )


def share_text(ppm: int) -> str:
    """A share as people write it, with as many decimals as it has: 12.5%."""
    places = next(p for p in range(5) if Fraction(ppm, 10 ** (4 - p)).denominator == 1)
    return percent(ppm, ONE, places)


def _role_problems(rows: Sequence[MixRow]) -> Iterator[Problem]:
    first: dict[int, int] = {}
    defaults = [place for place, row in enumerate(rows) if row.role == BindingRole.DEFAULT]
    for place, row in enumerate(rows):
        if row.role not in BindingRole.values:
            yield Problem(
                "no_such_role", f"A role is one of {', '.join(BindingRole.values)}.", f"/rows/{place}/role"
            )
        if row.model_version_id in first:
            yield Problem(
                "version_twice",
                "This model stands in the mix twice: give it one share and one role.",
                f"/rows/{place}/model_version",
            )
        first.setdefault(row.model_version_id, place)
    for place in defaults[1:]:
        yield Problem(
            "several_defaults",
            "Only one model can be the default: make the others selectable.",
            f"/rows/{place}/role",
        )


def _version_problems(rows: Sequence[MixRow], from_day: date) -> Iterator[Problem]:
    """A version can be bound from its release on, and not from its retirement on; a later retirement is a task, no error."""
    known = ModelVersion.objects.select_related("model").in_bulk({row.model_version_id for row in rows})
    life = lives(known)
    for place, row in enumerate(rows):
        pointer = f"/rows/{place}/model_version"
        version = known.get(row.model_version_id)
        if version is None:
            yield Problem("no_such_version", "There is no such model version.", pointer)
            continue
        its = life[version.pk]
        if its.first is not None and from_day < its.first:
            yield Problem(
                "not_released",
                f"{version.model.name} is out since {day(its.first)}: it cannot power anything from {day(from_day)} on."
                " Choose a later day or another model.",
                pointer,
            )
        elif its.end is not None and from_day >= its.end:
            yield Problem(
                "retired",
                f"{version.model.name} retires on {day(its.end)}: it cannot power anything from {day(from_day)} on."
                " Choose another model.",
                pointer,
            )


def _plan_problems(rows: Sequence[MixRow], from_day: date) -> Iterator[Problem]:
    wanted = {row.plan_id for row in rows if row.plan_id is not None}
    plans = Plan.objects.select_related("offering").in_bulk(wanted) if wanted else {}
    for place, row in enumerate(rows):
        if row.plan_id is None:
            continue
        pointer, plan = f"/rows/{place}/plan", plans.get(row.plan_id)
        if plan is None:
            yield Problem("no_such_plan", "There is no such plan.", pointer)
        elif plan.offering.model_version_id != row.model_version_id:
            yield Problem(
                "plan_of_another_version",
                f"{plan} sells another model: choose one of this model's plans, or none.",
                pointer,
            )
        elif plan.withdrawn_on is not None and from_day >= plan.withdrawn_on:
            yield Problem(
                "plan_withdrawn", f"{plan} is withdrawn on {day(plan.withdrawn_on)}: choose another.", pointer
            )


def _evidence_problems(rows: Sequence[MixRow]) -> Iterator[Problem]:
    """What justifies a binding exists and is about its model. A finding that names no version of ours is taken as it is."""
    evaluations = _by_id(Evaluation, {row.evaluation_id for row in rows}, "model_version_id")
    runs = _by_id(SuiteRun, {row.run_id for row in rows}, "model_version_id")
    facts = _by_id(PublicFact, {row.fact_id for row in rows}, "pk")
    for place, row in enumerate(rows):
        for name, asked, known in (
            ("evaluation", row.evaluation_id, evaluations),
            ("run", row.run_id, runs),
            ("fact", row.fact_id, facts),
        ):
            if asked is None:
                continue
            if asked not in known:
                yield Problem("no_such_evidence", f"There is no such {name}.", f"/rows/{place}/{name}")
            elif name != "fact" and known[asked] not in (None, row.model_version_id):
                yield Problem(
                    "evidence_of_another_version",
                    "This result is about another model: cite one of this model's, or none.",
                    f"/rows/{place}/{name}",
                )


def _by_id(
    model: type[Evaluation] | type[SuiteRun] | type[PublicFact], ids: Collection[int | None], field: str
) -> dict[int, int | None]:
    wanted = [pk for pk in ids if pk is not None]
    if not wanted:
        return {}
    return dict(model._default_manager.filter(pk__in=wanted).values_list("pk", field))


# --- spans ------------------------------------------------------------------------------------------------


def _holds_already(stated: Sequence[Binding], rows: Sequence[MixRow], from_day: date, reason: str) -> bool:
    holding = [b for b in stated if _overlap(b, from_day, None) and b.effective.lower <= from_day]
    if not all(b.reason == reason for b in holding):
        return False
    wanted = {
        tuple(
            0 if name == "share_ppm" and row.role == BindingRole.FALLBACK else getattr(row, name)
            for name in STATED
        )
        for row in rows
    }
    return wanted == {tuple(getattr(b, name) for name in STATED) for b in holding}


def _next_mix(stated: Sequence[Binding], from_day: date) -> date | None:
    """The first later day on which what is stated changes and something holds."""
    edges = {edge for b in stated for edge in (b.effective.lower, b.effective.upper) if edge is not None}
    return next(
        (
            edge
            for edge in sorted(edges)
            if edge > from_day
            and any(
                b.effective.lower <= edge and (b.effective.upper is None or edge < b.effective.upper)
                for b in stated
            )
        ),
        None,
    )


def _overlap(binding: Binding, start: date, end: date | None) -> bool:
    lower, upper = binding.effective.lower, binding.effective.upper
    return (end is None or lower < end) and (upper is None or start < upper)


def _outside(binding: Binding, start: date, end: date | None) -> Iterator[DateRange]:
    """What is left of a binding's span before and after [start, end)."""
    lower, upper = binding.effective.lower, binding.effective.upper
    if lower < start:
        yield DateRange(lower, start)
    if end is not None and (upper is None or end < upper):
        yield DateRange(end, upper)


def _part(old: Binding, span: DateRange, *, by: User, at: datetime) -> Binding:
    """The same statement over a shorter span, by whoever cut it."""
    return Binding(
        feature_id=old.feature_id,
        effective=span,
        reason=old.reason,
        source=old.source,
        scenario_id=old.scenario_id,
        made_by=by,
        made_at=at,
        **{name: getattr(old, name) for name in STATED},
    )
