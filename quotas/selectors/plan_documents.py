"""A plan version as a document that anybody can read and a rep accepts: rules as sentences, components, what they pay. RULES 15.6."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Q, QuerySet
from psycopg import sql

from accounts.models import User
from config import house as formats
from quotas.models import (
    Grain,
    Measure,
    PlanAcceptance,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    Rep,
    TeamMembership,
)
from quotas.selectors import pay_words, targets
from quotas.selectors.periods import WORDS
from quotas.selectors.plans import in_force
from quotas.selectors.rules import MeasureShown, long_day, percent, version_shown
from quotas.selectors.visibility import SEES_EVERYTHING, reps_for

FORM: Final = "parity plan document 1"
ONE_DAY: Final = timedelta(days=1)


# --- who has a plan ---------------------------------------------------------------------------------------


def plans_of(reps: Iterable[int], on: date) -> dict[int, set[int]]:
    """Rep to the ids of the plans assigned on a day: in person, to the role, to everybody. 2 queries."""
    ids = list(reps)
    roles = dict(
        TeamMembership.objects.filter(rep__in=ids, superseded_at=None, effective__contains=on).values_list(
            "rep_id", "role"
        )
    )
    everybody: set[int] = set()
    by_role: dict[str, set[int]] = {}
    own: dict[int, set[int]] = {}
    for each in PlanAssignment.objects.filter(superseded_at=None, effective__contains=on):
        if each.rep_id is not None:
            own.setdefault(each.rep_id, set()).add(each.plan_id)
        elif each.role:
            by_role.setdefault(each.role, set()).add(each.plan_id)
        else:
            everybody.add(each.plan_id)
    return {rep: everybody | by_role.get(roles.get(rep, ""), set()) | own.get(rep, set()) for rep in ids}


def versions_of(reps: Iterable[int], on: date) -> dict[int, list[PlanVersion]]:
    """Rep to the published versions in force on a day of the plans that the rep then has. 3 queries."""
    plans = plans_of(reps, on)
    wanted = set().union(*plans.values()) if plans else set()
    published = PlanVersion.objects.filter(
        plan__in=wanted, state=PlanState.PUBLISHED, effective__contains=on
    ).select_related("plan")
    current = in_force(on, published)
    return {
        rep: sorted((current[plan] for plan in of if plan in current), key=lambda v: (v.plan.name, v.pk))
        for rep, of in plans.items()
    }


def day_of(version: PlanVersion, on: date) -> date | None:
    """The day on which whoever has the plan is asked: today, or the version's first day if that is to come. None: it is over."""
    first, end = version.effective.lower, version.effective.upper
    day = max(on, first) if first is not None else on
    return day if end is None or day < end else None


def who_has(version: PlanVersion, on: date) -> QuerySet[Rep]:
    """The reps to whom a version's plan is assigned on the day that counts; house reps are nobody. Nobody if it is over. 1 query."""
    day = day_of(version, on)
    if day is None:
        return Rep.objects.none()
    members = TeamMembership.objects.filter(superseded_at=None, effective__contains=day).exclude(role="house")
    given = list(
        PlanAssignment.objects.filter(
            plan=version.plan_id, superseded_at=None, effective__contains=day
        ).values_list("role", "rep_id")
    )
    if not any(role == "" and rep is None for role, rep in given):
        members = members.filter(
            Q(role__in=[role for role, _ in given if role]) | Q(rep__in=[rep for _, rep in given if rep])
        )
    return Rep.objects.filter(pk__in=members.values("rep"))


def to_accept(rep: Rep, on: date) -> list[PlanVersion]:
    """Published versions, in force or to come, of the plans that a rep has, which the rep has not accepted. 5 queries."""
    done = set(PlanAcceptance.objects.filter(rep=rep).values_list("plan_version_id", flat=True))
    published = list(
        PlanVersion.objects.filter(state=PlanState.PUBLISHED)
        .filter(Q(effective__endswith=None) | Q(effective__endswith__gt=on))
        .select_related("plan")
        .order_by("plan_id", "number")
    )
    now = {version.pk for version in in_force(on, published).values()}
    asked = [
        v for v in published if v.pk in now or (v.effective.lower is not None and v.effective.lower > on)
    ]
    if not asked:
        return []
    today = plans_of([rep.pk], on)[rep.pk]
    later: dict[date, set[int]] = {on: today}
    found = []
    for version in asked:
        day = day_of(version, on)
        if day is None or version.pk in done:
            continue
        if day not in later:
            later[day] = plans_of([rep.pk], day)[rep.pk]
        if version.plan_id in later[day]:
            found.append(version)
    return found


# --- the document -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartOfPay:
    """A component as it reads: what it weighs, and what reaching so much of the quota pays, line by line."""

    component: PlanComponent
    weight: str
    incentive: str
    terms: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Document:
    """A plan version to be read. text is what is accepted, digest its SHA-256."""

    version: PlanVersion
    span: str
    rules: Sequence[MeasureShown]
    parts: Sequence[PartOfPay]
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def document_of(version: PlanVersion) -> Document:
    """9 queries. Quotas are no part of it: they are each rep's own, and change within a version."""
    shown = version_shown(version)
    components = sorted(
        pay_words.components_of(version),
        key=lambda each: (-each.weight_ppm, each.measure.position, each.measure_id),
    )
    parts = [_part(component) for component in components]
    first, end = version.effective.lower, version.effective.upper
    since = f"from {long_day(first)}" if first else "from the beginning"
    span = f"{since} {f'until {long_day(end - ONE_DAY)}' if end else 'until further notice'}"
    return Document(version, span, shown.by_measure, parts, _text(version, span, shown.by_measure, parts))


def _text(version: PlanVersion, span: str, rules: Sequence[MeasureShown], parts: Sequence[PartOfPay]) -> str:
    """Canonical: the same sentences in the same order, a line each."""
    lines = [FORM, f"{version.plan.name}, version {version.number}", span]
    for part in parts:
        lines.append(f"component {part.component.measure.name}: weight {part.weight}")
        lines += [part.incentive] if part.incentive else []
        lines += part.terms
    for group in rules:
        lines.append(f"measure {group.measure.name}")
        for each in group.rules:
            order = f"priority {each.rule.priority}" if each.rule.exclusive else "adds"
            lines.append(f"rule {each.rule.name} ({order}): {each.sentence}")
    return "\n".join(lines)


def _part(component: PlanComponent) -> PartOfPay:
    incentive = ""
    if component.target_incentive_minor is not None and component.currency is not None:
        worth = formats.money(
            component.target_incentive_minor, component.currency.code, component.currency.exponent
        )
        incentive = f"Target incentive: {worth} a year at 100% of quota."
    terms = pay_words.terms_of(component)
    if terms is None:
        return PartOfPay(component, percent(component.weight_ppm), incentive)
    said = [*pay_words.sentences(terms), f"Credit adds up by {WORDS[Grain(terms.window)]}."]
    return PartOfPay(component, percent(component.weight_ppm), incentive, said)


# --- a rep's own quotas under it --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnQuota:
    measure: Measure
    period_name: str
    quota_minor: int


_QUOTAS: Final = sql.SQL(
    """
    SELECT q.measure_id, p.name, {effective} FROM quotas_quota q
      JOIN quotas_period p ON p.id = q.period_id JOIN quotas_measure m ON m.id = q.measure_id
     WHERE q.rep_id = %(rep)s AND q.superseded_at IS NULL AND q.measure_id = ANY(%(measures)s)
       AND p.ends > %(on)s AND daterange(p.starts, p.ends) && daterange(%(first)s, %(end)s)
     ORDER BY m.position, m.id, p.starts, p.ends DESC
    """
).format(effective=targets.EFFECTIVE)


def quotas_under(version: PlanVersion, rep: Rep, on: date) -> list[OwnQuota]:
    """What is asked of a rep in the measures of a version and those of its periods that are not over, as it is now. 2 queries."""
    measures = {
        each.measure_id: each.measure for each in version.components.select_related("measure__currency")
    }
    given = {
        "rep": rep.pk,
        "measures": list(measures),
        "first": version.effective.lower,
        "end": version.effective.upper,
        "on": on,
    }
    with connection.cursor() as cursor:
        cursor.execute(_QUOTAS, given)
        return [OwnQuota(measures[measure], name, amount) for measure, name, amount in cursor.fetchall()]


# --- who accepted -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepting:
    """A rep who has the plan, or accepted it while having it; since is empty where it is not accepted."""

    rep: Rep
    since: datetime | None
    digest: str


def acceptances(version: PlanVersion, user: User, on: date) -> list[Accepting]:
    """Whom this person may see of those who have the plan, by name; those who have not accepted come first. 4 queries."""
    done = {each.rep_id: each for each in PlanAcceptance.objects.filter(plan_version=version)}
    reps = Rep.objects.filter(Q(pk__in=who_has(version, on).values("pk")) | Q(pk__in=list(done)))
    if not user.has_role(*SEES_EVERYTHING):
        reps = reps.filter(pk__in=reps_for(user, on).values("pk"))
    found = [
        Accepting(
            rep,
            done[rep.pk].at if rep.pk in done else None,
            done[rep.pk].document_digest if rep.pk in done else "",
        )
        for rep in reps.select_related("user").order_by("name", "pk")
    ]
    return sorted(found, key=lambda each: each.since is not None)
