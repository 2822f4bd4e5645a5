"""Setting quotas by hand and handing them down, and the ramp and leave that lessen them. RULES 11.

Nothing is overwritten: a change is a new version, and only where something changes. Files of quotas are written by
services.importing; both go through quota_versions.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from math import lcm
from typing import Final, Literal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import User
from config import house as formats
from config.clock import day_of
from config.locks import one_at_a_time
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, Stale, refuse_if_any
from quotas.crediting.arithmetic import split
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    Measure,
    Period,
    PeriodState,
    QuotaMethod,
    QuotaRelief,
    ReliefKind,
    Rep,
    Team,
)
from quotas.selectors import periods
from quotas.selectors.quota_planning import (
    Authority,
    HistoryKind,
    PlanLine,
    Sheet,
    attained,
    counted_ppm,
    sheet,
)
from quotas.services.quota_versions import (
    InForce,
    Key,
    NewVersion,
    differs,
    versions_in_force,
    wait_for_others,
    write_versions,
)

MOST_TARGETS: Final = 5_000
MOST_TEAMS: Final = 300  # that one carrying-down reaches
LONGEST_REASON: Final = 500
MOST_OVER_PPM: Final = 1_000_000
TOLD_AT_ONCE: Final = 1_000
RAMP_MONTHS: Final = 24

Whose = tuple[int, int]  # rep and team, one of them 0
Basis = Literal["history", "evenly", "current"]
BASES: Final[tuple[Basis, ...]] = ("history", "evenly", "current")


@dataclass(frozen=True)
class Target:
    """What a rep's or a team's quota is to be: minor units of the measure."""

    amount_minor: int
    rep_id: int | None = None
    team_id: int | None = None

    @property
    def whose(self) -> Whose:
        return self.rep_id or 0, self.team_id or 0


@dataclass(frozen=True)
class QuotasSet:
    """Which quotas have a new version, and how many said so already."""

    changed: tuple[Whose, ...]
    unchanged: int


@dataclass(frozen=True)
class Effect:
    """What a change does to one quota: what it came to, what it comes to, and what is credited against it."""

    whose: Whose
    name: str
    before_minor: int | None
    after_minor: int | None
    credited_minor: int


# Setting.


@transaction.atomic
def set_quotas(
    *,
    measure_id: int,
    period_id: int,
    targets: Sequence[Target],
    starts: date | None = None,
    method: str = "",
    reason: str = "",
    by: User,
    at: datetime,
    expected_versions: Mapping[Whose, int] | None = None,
) -> QuotasSet:
    """Write a new version of every quota that is to be another than it is.

    starts             First day of the new versions; None is the whole period. It matters where versions are weighted.
    method             How versions count together; empty is as it was, and the last one for a new quota.
    reason             Needed once the period has begun and something changes.
    expected_versions  What was read: rep and team to version, 0 for none. Another one in force is Stale.
    Raises             Forbidden (not_a_planner, own_quota), Invalid with everything that is wrong, NotFound, Conflict, Stale.
    A fixed number of queries.
    """
    authority = _authority(by, at)
    measure, period = _named(measure_id, period_id)
    reason = " ".join(reason.split())
    refuse_if_any(
        [
            *_target_problems(targets, authority, period),
            *_way_problems(starts, method, period),
            *_reason_problems(reason),
        ]
    )
    _refuse_own(targets, authority)
    acting(by=by, at=at, reason=reason)
    wait_for_others()
    keys: dict[Whose, Key] = {t.whose: (measure.pk, period.pk, *t.whose) for t in targets}
    known = versions_in_force(set(keys.values()))
    _refuse_stale(keys, known, expected_versions or {})
    first = None if starts == period.starts else starts
    asked = {keys[t.whose]: NewVersion(t.amount_minor, first, method) for t in targets}
    written = {key: new for key, new in asked.items() if key not in known or _moves(new, known[key])}
    if written:
        _refuse_without_reason(period, reason, any(key in known for key in written), authority, day_of(at))
        write_versions(written, known, by_id=by.pk, at=at)
        _tell_reps([key[2] for key in written if key[2]], measure, period, by=by, at=at)
    changed = tuple(whose for whose, key in keys.items() if key in written)
    return QuotasSet(changed, len(targets) - len(changed))


def _moves(new: NewVersion, old: InForce) -> bool:
    """As differs has it; but how versions count together is no change while there is one."""
    return differs(replace(new, method="") if old.version == 1 else new, old)


def preview_quotas(
    *,
    measure_id: int,
    period_id: int,
    targets: Sequence[Target],
    starts: date | None = None,
    method: str = "",
    by: User,
    at: datetime,
    expected_versions: Mapping[Whose, int] | None = None,
) -> list[Effect]:
    """What set_quotas would change, quota and attainment of each: it is done in a savepoint, read, and rolled back. Raises what it raises.

    A reason is not asked for yet.
    """
    measure, period = _named(measure_id, period_id)
    on = periods.last_day(period, day_of(at))
    reps = [t.rep_id for t in targets if t.rep_id]
    of_teams = [t.team_id for t in targets if t.team_id]
    with transaction.atomic():
        before = attained(reps=reps, of_teams=of_teams, measure=measure, period=period, on=on)
        done = set_quotas(
            measure_id=measure_id,
            period_id=period_id,
            targets=targets,
            starts=starts,
            method=method,
            reason="A preview that is rolled back",
            by=by,
            at=at,
            expected_versions=expected_versions,
        )
        after = attained(reps=reps, of_teams=of_teams, measure=measure, period=period, on=on)
        transaction.set_rollback(True)
    names: dict[Whose, str] = {
        **{(pk, 0): name for pk, name in Rep.objects.filter(pk__in=reps).values_list("pk", "name")},
        **{(0, pk): name for pk, name in Team.objects.filter(pk__in=of_teams).values_list("pk", "name")},
    }
    return [
        Effect(
            whose,
            names[whose],
            before[whose].quota_minor,
            after[whose].quota_minor,
            after[whose].credited_minor,
        )
        for whose in done.changed
    ]


def needs_reason(period: Period, on: date) -> bool:
    """Whether a change of quotas has to say why: the period has begun, so somebody works towards them already."""
    return period.starts <= on


# Handing down.


@dataclass(frozen=True)
class Part:
    """One part of what is handed down.

    proposed_minor   As it would be set. effective_minor: as it would count, ramp and leave taken off.
    kept             Fixed by hand; weight: what it was weighed by, in minor units or heads. guessed: nothing is known of it, so
                     it weighs what the others weigh on average.
    """

    line: PlanLine
    proposed_minor: int
    effective_minor: int
    weight: Fraction
    kept: bool = False
    guessed: bool = False


@dataclass(frozen=True)
class Plan:
    """A proposal for what is directly below a team; nothing is written.

    target_minor     The team's quota. handed_minor: with the over-assignment, what is to be handed down.
    remainder_minor  What the parts, as they count, leave of that; negative where they exceed it.
    """

    sheet: Sheet
    basis: Basis
    target_minor: int
    handed_minor: int
    parts: Sequence[Part]
    remainder_minor: int

    @property
    def targets(self) -> list[Target]:
        return [
            Target(part.proposed_minor, rep_id=part.line.whose[0] or None, team_id=part.line.whose[1] or None)
            for part in self.parts
        ]

    @property
    def versions(self) -> dict[Whose, int]:
        return {part.line.whose: part.line.version for part in self.parts}


@dataclass(frozen=True)
class Way:
    """How a quota is handed down.

    over_assignment_ppm  What is handed down beyond the quota, of it; at each level.
    step_minor           Parts are multiples of it.
    reliefs              What ramp and leave take off is carried by all, so that what counts adds up.
    vacant               House reps take a part like everybody.
    history              What counts as history.
    """

    by: Basis = "history"
    over_assignment_ppm: int = 0
    step_minor: int = 1
    reliefs: bool = False
    vacant: bool = False
    history: HistoryKind = "year_before"


def distribute(
    *,
    team: Team,
    measure: Measure,
    period: Period,
    way: Way,
    authority: Authority,
    today: date,
    keep: Mapping[Whose, int] | None = None,
    target_minor: int | None = None,
) -> Plan:
    """Propose quotas for the teams and people directly below a team, by weight and largest remainder. Reads only; at most 15 queries.

    keep          What is fixed: it is taken off first, and the rest goes to the others.
    target_minor  Instead of the team's own quota, where that is itself a proposal.
    Raises        Invalid, Conflict (no_team_quota, nobody_below, no_history, no_quotas, kept_too_much).
    """
    refuse_if_any(_handing_problems(way, keep or {}))
    page = sheet(
        team=team, measure=measure, period=period, today=today, authority=authority, history=way.history
    )
    if target_minor is None:
        target_minor = page.own.effective_minor
    if target_minor is None:
        raise Conflict.of("no_team_quota", f"{team.name} has no quota in {period.name} yet: set it first.")
    fixed = dict(keep or {})
    for line in page.lines:
        if line.manages and line.quota_minor is not None:
            fixed.setdefault(line.whose, line.quota_minor)
        elif not line.may_set:
            fixed.setdefault(line.whose, line.quota_minor or 0)
    # Who has no part of it is not mentioned: a quota of zero is one, too.
    lines = [
        line
        for line in page.lines
        if line.whose in fixed
        or not line.vacant
        or way.vacant
        or line.quota_minor is not None
        or (way.by == "history" and line.history_minor)
    ]
    if not lines:
        raise Conflict.of("nobody_below", f"Nobody is below {team.name}: there is nothing to hand down to.")
    free = [line for line in lines if line.whose not in fixed]
    counted = {
        line.whose: counted_ppm(line.reliefs, period) if line.kind == "rep" else Fraction(1) for line in lines
    }
    weights, guessed = _weights(free, way, page)
    handed = formats.rounded(Fraction(target_minor * (1_000_000 + way.over_assignment_ppm), 1_000_000))
    kept = sum(
        formats.rounded(fixed[line.whose] * counted[line.whose]) for line in lines if line.whose in fixed
    )
    rest = handed - kept
    if rest < 0:
        raise Conflict.of(
            "kept_too_much",
            f"What is fixed exceeds what there is to hand down by {_written(-rest, measure)}: fix less, or raise the over-assignment.",
        )
    amounts = dict(
        zip(
            [line.whose for line in free],
            _shared(
                rest, [weights[line.whose] for line in free], [counted[line.whose] for line in free], way
            ),
            strict=True,
        )
    )
    parts = [
        Part(
            line=line,
            proposed_minor=(proposed := fixed.get(line.whose, amounts.get(line.whose, 0))),
            effective_minor=formats.rounded(proposed * counted[line.whose]),
            weight=weights.get(line.whose, Fraction(0)),
            kept=line.whose in fixed,
            guessed=line.whose in guessed,
        )
        for line in lines
    ]
    return Plan(
        sheet=page,
        basis=way.by,
        target_minor=target_minor,
        handed_minor=handed,
        parts=parts,
        remainder_minor=handed - sum(part.effective_minor for part in parts),
    )


def carry(
    *,
    team: Team,
    measure: Measure,
    period: Period,
    way: Way,
    authority: Authority,
    today: date,
    keep: Mapping[Whose, int] | None = None,
) -> list[Plan]:
    """Hand a quota down to the last rep: a proposal for each team, from the top. What is fixed is fixed directly below *team*.

    Up to 15 queries a team. Raises as distribute does, and Conflict (too_many_teams).
    """
    plans: list[Plan] = []
    waiting: list[tuple[Team, int | None, Mapping[Whose, int]]] = [(team, None, keep or {})]
    while waiting:
        at, target, fixed = waiting.pop(0)
        if len(plans) >= MOST_TEAMS:
            raise Conflict.of(
                "too_many_teams",
                f"More than {MOST_TEAMS} teams are below {team.name}: hand down to the teams first, then carry on from each.",
            )
        try:
            plan = distribute(
                team=at,
                measure=measure,
                period=period,
                way=way,
                authority=authority,
                today=today,
                keep=fixed,
                target_minor=target,
            )
        except Conflict as nothing:
            if at != team and {p.code for p in nothing.problems} <= {"nobody_below"}:
                continue
            raise
        plans.append(plan)
        below = Team.objects.in_bulk([p.line.id for p in plan.parts if p.line.kind == "team"])
        waiting += [(below[p.line.id], p.proposed_minor, {}) for p in plan.parts if p.line.kind == "team"]
    return plans


def fingerprint(plans: Sequence[Plan]) -> str:
    """What was proposed, so that nothing else is written than what was looked at."""
    told = [
        [
            plan.sheet.team.pk,
            [[*part.line.whose, part.line.version, part.proposed_minor] for part in plan.parts],
        ]
        for plan in plans
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def use_plans(
    *,
    plans: Sequence[Plan],
    seen: str,
    measure: Measure,
    period: Period,
    reason: str,
    by: User,
    at: datetime,
) -> QuotasSet:
    """Set what was proposed. seen: the fingerprint of what was looked at. Raises Stale where it is not that any more, and what set_quotas raises."""
    if fingerprint(plans) != seen:
        raise Stale.of("proposal_changed", "Something changed since you looked: this is the proposal now.")
    settable = [
        target
        for plan in plans
        for target, part in zip(plan.targets, plan.parts, strict=True)
        if part.line.may_set and not (part.kept and part.line.quota_minor == part.proposed_minor)
    ]
    versions = {whose: version for plan in plans for whose, version in plan.versions.items()}
    return set_quotas(
        measure_id=measure.pk,
        period_id=period.pk,
        targets=settable,
        reason=reason,
        by=by,
        at=at,
        expected_versions={target.whose: versions[target.whose] for target in settable},
    )


# Ramp and leave.


@dataclass(frozen=True)
class ReliefStep:
    """[starts, ends) and what counts of a quota on each of these days; ends None is until further notice."""

    starts: date
    ends: date | None
    factor_ppm: int = 0


@transaction.atomic
def record_relief(
    *, rep_id: int, kind: str, steps: Sequence[ReliefStep], reason: str, by: User, at: datetime
) -> list[QuotaRelief]:
    """Lessen a rep's quotas on some days, all of them or nothing: one step for a leave, several for a ramp.

    Raises Forbidden, NotFound, Invalid, Conflict (relief_overlaps).
    """
    authority = _authority(by, at)
    rep = _relievable(rep_id, authority)
    reason = " ".join(reason.split())
    refuse_if_any([*_relief_problems(kind, steps), *_reason_problems(reason, needed=True)])
    acting(by=by, at=at, reason=reason)
    one_at_a_time("quotas.reliefs", str(rep_id))
    made = [
        QuotaRelief(
            rep=rep,
            kind=kind,
            effective=DateRange(step.starts, step.ends),
            factor_ppm=step.factor_ppm,
            reason=reason,
            recorded_by=by,
            recorded_at=at,
        )
        for step in steps
    ]
    standing = QuotaRelief.objects.filter(rep=rep, superseded_at=None).order_by("effective")
    for n, new in enumerate(made):
        old = standing.filter(effective__overlap=new.effective).first()
        if old is not None:
            raise Conflict.of(
                "relief_overlaps",
                f"{rep.name} has {ReliefKind(old.kind).label.lower()} {_days(old.effective)} already: end that first, or choose other days.",
                f"/steps/{n}/starts",
            )
    QuotaRelief.objects.bulk_create(made)
    _tell_of_relief(rep, kind, made, by=by, at=at)
    return made


@transaction.atomic
def end_relief(*, relief_id: int, on: date, reason: str, by: User, at: datetime) -> QuotaRelief | None:
    """Let a relief count until the day before *on*, or not at all where it had not begun by then.

    Returns  What is left of it.
    Raises   Forbidden, NotFound, Invalid, Conflict (relief_ended).
    """
    authority = _authority(by, at)
    found = QuotaRelief.objects.filter(pk=relief_id).values_list("rep_id", flat=True).first()
    if found is None:
        raise NotFound.of("unknown_relief", "There is no such ramp or leave.")
    rep = _relievable(found, authority)
    reason = " ".join(reason.split())
    refuse_if_any(_reason_problems(reason, needed=True))
    one_at_a_time("quotas.reliefs", str(rep.pk))
    relief = QuotaRelief.objects.select_for_update().get(pk=relief_id)
    if relief.superseded_at is not None:
        raise Conflict.of("relief_ended", "Somebody ended it already: look at what holds now.")
    upper = relief.effective.upper
    if upper is not None and on >= upper:
        raise Invalid.of(
            "ends_later", f"It ends on {formats.day(upper)} already: choose an earlier day.", "/on"
        )
    acting(by=by, at=at, reason=reason)
    relief.superseded_at = at
    relief.save(update_fields=["superseded_at"])
    left = None
    if relief.effective.lower is None or on > relief.effective.lower:
        left = QuotaRelief.objects.create(
            rep=rep,
            kind=relief.kind,
            effective=DateRange(relief.effective.lower, on),
            factor_ppm=relief.factor_ppm,
            reason=reason,
            recorded_by=by,
            recorded_at=at,
        )
    _tell_of_relief(rep, relief.kind, [left] if left else [], by=by, at=at)
    return left


# What is refused.


def _authority(by: User, at: datetime) -> Authority:
    authority = Authority(by, day_of(at))
    if not authority.plans:
        raise Forbidden.of(
            "not_a_planner", "Quotas are set by comp admins, and by managers for the people below them."
        )
    return authority


def _named(measure_id: int, period_id: int) -> tuple[Measure, Period]:
    measure = Measure.objects.select_related("currency").filter(pk=measure_id).first()
    period = Period.objects.select_related("calendar").filter(pk=period_id).first()
    if measure is None or period is None:
        raise NotFound.of(
            "unknown_period" if measure else "unknown_measure", "There is no such measure or period."
        )
    return measure, period


def _target_problems(targets: Sequence[Target], authority: Authority, period: Period) -> list[Problem]:
    if not targets:
        return [Problem("nothing_to_set", "Name at least one rep or team.", "/targets")]
    if len(targets) > MOST_TARGETS:
        return [
            Problem(
                "too_many_targets", f"At most {MOST_TARGETS:,} quotas at once: import a file.", "/targets"
            )
        ]
    reps = set(
        Rep.objects.filter(pk__in=[t.rep_id for t in targets if t.rep_id]).values_list("pk", flat=True)
    )
    known = set(
        Team.objects.filter(pk__in=[t.team_id for t in targets if t.team_id]).values_list("pk", flat=True)
    )
    found, seen = [], set()
    for n, target in enumerate(targets):
        rep_id, team_id = target.whose
        if bool(rep_id) == bool(team_id):
            found.append(Problem("rep_or_team", "Name either a rep or a team.", f"/targets/{n}"))
        elif rep_id and not (rep_id in reps and authority.sees("rep", rep_id)):
            found.append(Problem("unknown_rep", "There is no such rep below you.", f"/targets/{n}/rep"))
        elif team_id and not (team_id in known and authority.sees("team", team_id)):
            found.append(Problem("unknown_team", "There is no such team below you.", f"/targets/{n}/team"))
        elif target.whose in seen:
            found.append(Problem("given_twice", "It is named twice.", f"/targets/{n}"))
        if target.amount_minor < 0:
            found.append(Problem("quota_negative", "A quota is zero or more.", f"/targets/{n}/amount"))
        elif target.amount_minor > LARGEST_AMOUNT_MINOR:
            found.append(
                Problem("amount_too_large", "That is more than a quota can be.", f"/targets/{n}/amount")
            )
        seen.add(target.whose)
    return found


def _way_problems(starts: date | None, method: str, period: Period) -> list[Problem]:
    found = []
    if starts is not None and not period.starts <= starts < period.ends:
        found.append(
            Problem(
                "starts_outside",
                f"{formats.day(starts)} is not a day of {period.name}: it runs {_days(DateRange(period.starts, period.ends))}.",
                "/starts",
            )
        )
    if method and method not in QuotaMethod.values:
        found.append(Problem("unknown_method", f"Methods are {', '.join(QuotaMethod.values)}.", "/method"))
    return found


def _reason_problems(reason: str, *, needed: bool = False) -> list[Problem]:
    if len(reason) > LONGEST_REASON or "\x00" in reason:
        return [Problem("reason_too_long", f"A reason has at most {LONGEST_REASON} characters.", "/reason")]
    if needed and not reason:
        return [Problem("reason_missing", "Say why: it stays in the audit trail.", "/reason")]
    return []


def _refuse_own(targets: Sequence[Target], authority: Authority) -> None:
    for n, target in enumerate(targets):
        rep_id, team_id = target.whose
        if not authority.sets("rep" if rep_id else "team", rep_id or team_id):
            raise Forbidden.of(
                "own_quota",
                "Your own quota, and that of the team you lead, is set by the manager above you or by a comp admin.",
                f"/targets/{n}",
            )


def _refuse_stale(
    keys: Mapping[Whose, Key], known: Mapping[Key, InForce], expected: Mapping[Whose, int]
) -> None:
    moved = [
        whose
        for whose, version in expected.items()
        if whose in keys and version != (known[keys[whose]].version if keys[whose] in known else 0)
    ]
    if moved:
        names = [
            *Rep.objects.filter(pk__in=[w[0] for w in moved])
            .order_by("name")
            .values_list("name", flat=True)[:3],
            *Team.objects.filter(pk__in=[w[1] for w in moved])
            .order_by("name")
            .values_list("name", flat=True)[:3],
        ]
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        raise Stale.of(
            "quota_changed",
            f"Somebody changed the quota of {', '.join(names[:3])}{more} since you read it: look again, then decide anew.",
        )


def _refuse_without_reason(
    period: Period, reason: str, changes: bool, authority: Authority, today: date
) -> None:
    """Once a period has begun a change says why; in one that is closed a comp admin alone makes it."""
    closed = all(
        month.state in (PeriodState.CLOSING, PeriodState.CLOSED) for month in periods.leaves_of(period)
    )
    if closed and not authority.sets_everything:
        raise Conflict.of(
            "period_closed", f"{period.name} is closed: only a comp admin changes its quotas, with a reason."
        )
    if reason or not (closed or (changes and needs_reason(period, today))):
        return
    raise Invalid.of(
        "reason_missing",
        f"{period.name} is closed: say why. What its close froze stays as it was."
        if closed
        else f"{period.name} has begun: say why its quotas change. It stays in the audit trail.",
        "/reason",
    )


def _handing_problems(way: Way, keep: Mapping[Whose, int]) -> list[Problem]:
    found = []
    if way.by not in BASES:
        found.append(Problem("unknown_basis", f"Hand it down by {', '.join(BASES)}.", "/by"))
    if not 0 <= way.over_assignment_ppm <= MOST_OVER_PPM:
        found.append(
            Problem(
                "over_assignment_out_of_range", "Over-assignment is 0 to 100 per cent.", "/over_assignment"
            )
        )
    if way.step_minor < 1:
        found.append(Problem("step_out_of_range", "Parts are multiples of something above zero.", "/step"))
    if not all(0 <= amount <= LARGEST_AMOUNT_MINOR for amount in keep.values()):
        found.append(Problem("quota_negative", "A quota is zero or more.", "/keep"))
    return found


def _relievable(rep_id: int, authority: Authority) -> Rep:
    rep = Rep.objects.filter(pk=rep_id).first()
    if rep is None or not authority.sees("rep", rep_id):
        raise NotFound.of("unknown_rep", "There is no such rep below you.")
    if not authority.sets("rep", rep_id):
        raise Forbidden.of(
            "own_quota", "Your own ramp or leave is recorded by the manager above you or by a comp admin."
        )
    return rep


def _relief_problems(kind: str, steps: Sequence[ReliefStep]) -> list[Problem]:
    found = []
    if kind not in ReliefKind.values:
        found.append(Problem("unknown_kind", "It is a ramp or a leave.", "/kind"))
    if not steps or len(steps) > RAMP_MONTHS:
        found.append(Problem("steps_missing", f"Give 1 to {RAMP_MONTHS} spans of days.", "/steps"))
    until: date | None = None
    for n, step in enumerate(steps):
        if step.ends is not None and step.ends <= step.starts:
            found.append(Problem("span_is_empty", "The end lies after the beginning.", f"/steps/{n}/ends"))
        if not 0 <= step.factor_ppm < 1_000_000:
            found.append(
                Problem(
                    "factor_out_of_range",
                    "From 0 to less than 100 per cent of the quota counts.",
                    f"/steps/{n}/counts",
                )
            )
        if n and (until is None or step.starts < until):
            found.append(
                Problem(
                    "spans_overlap",
                    "A span begins where the one before it ends, or later.",
                    f"/steps/{n}/starts",
                )
            )
        until = step.ends
    return found


# Parts.


def _weights(free: Sequence[PlanLine], way: Way, page: Sheet) -> tuple[dict[Whose, Fraction], set[Whose]]:
    """What each part is weighed by, and whose weight is the others' average because nothing is known of them."""
    if way.by == "evenly":
        # A team weighs its people, so that each of them gets as much as the next.
        heads = {line.whose: Fraction(line.people if line.kind == "team" else 1) for line in free}
        return (heads if any(heads.values()) else dict.fromkeys(heads, Fraction(1))), set()
    known = {line.whose: Fraction(value) for line in free if (value := _known_of(line, way.by)) is not None}
    if free and not any(known.values()):
        if way.by == "history":
            raise Conflict.of(
                "no_history",
                f"Nothing was credited below {page.team.name} before: hand it down evenly, or by hand.",
            )
        raise Conflict.of(
            "no_quotas", f"Nobody below {page.team.name} has a quota yet: hand it down evenly, or by history."
        )
    if way.by == "current":
        return {line.whose: known.get(line.whose, Fraction(0)) for line in free}, set()
    guessed = {line.whose for line in free if line.whose not in known and not line.vacant}
    average = sum(known.values(), Fraction(0)) / len(known) if known else Fraction(0)
    return {
        line.whose: known.get(line.whose, average if line.whose in guessed else Fraction(0)) for line in free
    }, guessed


def _known_of(line: PlanLine, basis: Basis) -> int | None:
    if basis == "current":
        return line.quota_minor
    return line.history_minor if line.history_minor and line.history_minor > 0 else None


def _shared(rest: int, weights: Sequence[Fraction], counted: Sequence[Fraction], way: Way) -> list[int]:
    """*rest* by weight, in whole steps, by largest remainder; with reliefs so much that what counts of the parts comes to it."""
    total = sum(weights, Fraction(0))
    if not total:
        return [0] * len(weights)
    if way.reliefs:
        counts = sum((w * c for w, c in zip(weights, counted, strict=True)), Fraction(0))
        if not counts:
            return [0] * len(weights)
        rest = formats.rounded(rest * total / counts)
    common = lcm(*(weight.denominator for weight in weights))
    parts = split(rest // way.step_minor, [int(weight * common) for weight in weights])
    return [part * way.step_minor for part in parts]


# Words.


def _written(minor: int, measure: Measure) -> str:
    currency = measure.currency
    return formats.measured(
        minor, currency.code if currency else None, currency.exponent if currency else formats.COUNT_EXPONENT
    )


def _days(span: DateRange) -> str:
    return f"from {formats.day(span.lower)} until {formats.day(span.upper, 'further notice')}"


def _tell_reps(reps: Sequence[int], measure: Measure, period: Period, *, by: User, at: datetime) -> None:
    """Each rep whose quota changed hears of it once it is saved."""
    users = list(
        Rep.objects.filter(pk__in=reps, user__isnull=False)
        .exclude(user=by)
        .order_by("user_id")
        .values_list("user_id", flat=True)
    )
    key = f"quota:{measure.pk}:{period.pk}:{at.isoformat()}"
    for n in range(0, len(users), TOLD_AT_ONCE):
        promise(
            topic=NOTIFY,
            key=f"{key}:{n}",
            payload={
                "user_ids": users[n : n + TOLD_AT_ONCE],
                "key": key,
                "text": f"{by.name} has set your {period.name} quota in {measure.name}."[:300],
                "url": f"/quotas/board/?period={period.name}&measure={measure.slug}",
            },
            at=at,
        )


def _tell_of_relief(rep: Rep, kind: str, left: Sequence[QuotaRelief], *, by: User, at: datetime) -> None:
    if rep.user_id is None or rep.user_id == by.pk:
        return
    word = ReliefKind(kind).label.lower()
    said = (
        f"{by.name} has recorded your {word} {_days(DateRange(left[0].effective.lower, left[-1].effective.upper))}: your quotas shrink by these days."
        if left
        else f"{by.name} has taken your {word} back: your quotas count in full."
    )
    key = f"relief:{rep.pk}:{kind}:{at.isoformat()}"
    promise(
        topic=NOTIFY,
        key=key,
        payload={"user_ids": [rep.user_id], "key": key, "text": said[:300], "url": "/quotas/board/"},
        at=at,
    )
