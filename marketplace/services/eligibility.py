"""Deciding how offerings are treated: one proposes, another checks, and what was decided before is never rewritten.

A decision that takes the place of an open-ended one ends it on the day before: its id stays, so whatever was credited
under it still names it. One that lies wholly behind the new one is superseded.
"""

from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import QuerySet

from accounts.audit import acting
from accounts.models import User
from config.refusals import Conflict, Invalid, NotFound, Problem, refuse_if_any
from marketplace.extension import Change
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    Plan,
    Program,
    Publisher,
    ScopeLevel,
)
from marketplace.selectors.eligibility import ONE, scope_name
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.telling import tell


@dataclass(frozen=True, slots=True)
class Scope:
    """What a decision is about: exactly one of these."""

    commercial_path: str = ""
    publisher_id: int | None = None
    offering_id: int | None = None
    plan_id: int | None = None

    @property
    def level(self) -> ScopeLevel | None:
        """None unless exactly one is named."""
        named = [
            level
            for level, value in (
                (ScopeLevel.PATH, self.commercial_path),
                (ScopeLevel.PUBLISHER, self.publisher_id),
                (ScopeLevel.OFFERING, self.offering_id),
                (ScopeLevel.PLAN, self.plan_id),
            )
            if value
        ]
        return named[0] if len(named) == 1 else None


@transaction.atomic
def propose_decision(
    *,
    program: str,
    scope: Scope,
    rate_ppm: int,
    start: date,
    end: date | None,
    reason: str,
    by: User,
    at: datetime,
    evidence: str = "",
    assumed: bool = False,
) -> EligibilityDecision:
    """Write down a decision that another person has to check before it is in force. Raises Forbidden, Invalid."""
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    refuse_if_any(_problems(program, scope, rate_ppm, start, end, reason))
    level = scope.level
    if level is None:
        raise AssertionError("_problems refuses a scope that is not exactly one")
    return EligibilityDecision.objects.create(
        program=program,
        level=level,
        commercial_path=scope.commercial_path,
        publisher_id=scope.publisher_id,
        offering_id=scope.offering_id,
        plan_id=scope.plan_id,
        rate_ppm=rate_ppm,
        effective=DateRange(start, end),
        reason=reason.strip(),
        evidence=evidence,
        assumed=assumed,
        made_by=by,
        made_at=at,
    )


@transaction.atomic
def check_decision(
    *, decision_id: int, by: User, at: datetime, replacing: bool = False, reason: str = ""
) -> EligibilityDecision:
    """Put a proposed decision in force.

    replacing   Let it take the place of what is in force for the same scope on the same days; else that is a Conflict.
    Raises      Forbidden, NotFound, Conflict (own_decision, already_checked, withdrawn, overlaps: names each).
    """
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    _one_at_a_time()
    decision = _locked(decision_id)
    if decision.superseded_at is not None:
        raise Conflict(Problem("withdrawn", "This decision has been withdrawn: propose it anew."))
    if decision.checked_at is not None:
        raise Conflict(Problem("already_checked", "This decision has been checked already."))
    if decision.made_by_id == by.pk:
        raise Conflict(Problem("own_decision", "Somebody else has to check what you decided.", "/checked_by"))
    overlapped = list(_in_its_place(decision))
    if overlapped and not replacing:
        raise Conflict(*(_overlap(decision, other) for other in overlapped))
    for other in overlapped:
        _make_room(other, decision, at)
    decision.checked_by = by
    decision.checked_at = at
    decision.save(update_fields=["checked_by", "checked_at"])
    _tell(decision, "is decided", at)
    return decision


@transaction.atomic
def withdraw_decision(*, decision_id: int, by: User, at: datetime, reason: str) -> EligibilityDecision:
    """Take a decision, proposed or in force, out of force for all its days. Raises Forbidden, NotFound, Invalid, Conflict."""
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    if not reason.strip():
        raise Invalid(Problem("reason_missing", "Say why it is withdrawn.", "/reason"))
    decision = _locked(decision_id)
    if decision.superseded_at is not None:
        raise Conflict(Problem("withdrawn", "This decision has been withdrawn already."))
    decision.superseded_at = at
    decision.save(update_fields=["superseded_at"])
    if decision.checked_at is not None:
        _tell(decision, "is withdrawn", at)
    return decision


def _problems(
    program: str, scope: Scope, rate_ppm: int, start: date, end: date | None, reason: str
) -> list[Problem]:
    found = []
    if program not in Program.values:
        found.append(Problem("unknown_program", f"Programs are {', '.join(Program.values)}.", "/program"))
    if scope.level is None:
        found.append(
            Problem("one_scope", "Name one of commercial path, publisher, offering and plan.", "/scope")
        )
    elif not _exists(scope):
        found.append(Problem("unknown_scope", "What it is about does not exist.", "/scope"))
    if not 0 <= rate_ppm <= ONE:
        found.append(Problem("rate_out_of_range", "A rate is between 0 and 100 %.", "/rate"))
    if end is not None and end <= start:
        found.append(Problem("ends_before_it_starts", "It ends before it starts.", "/end"))
    if not reason.strip():
        found.append(Problem("reason_missing", "Say why: it is shown to everybody it concerns.", "/reason"))
    return found


def _exists(scope: Scope) -> bool:
    if scope.publisher_id is not None:
        return Publisher.objects.filter(pk=scope.publisher_id).exists()
    if scope.offering_id is not None:
        return Offering.objects.filter(pk=scope.offering_id).exists()
    if scope.plan_id is not None:
        return Plan.objects.filter(pk=scope.plan_id).exists()
    return scope.commercial_path in CommercialPath.values


def _one_at_a_time() -> None:
    """Checks wait for each other, so that two that overlap meet as a Conflict and not in the constraint."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('marketplace.check_decision'))")


def _locked(decision_id: int) -> EligibilityDecision:
    decision = EligibilityDecision.objects.select_for_update().filter(pk=decision_id).first()
    if decision is None:
        raise NotFound.of("unknown_decision", "There is no such decision.")
    return decision


def _in_its_place(decision: EligibilityDecision) -> QuerySet[EligibilityDecision]:
    """In force for the same program and scope on some of the same days; locked, in a stable order."""
    return (
        EligibilityDecision.objects.select_for_update()
        .filter(
            program=decision.program,
            level=decision.level,
            commercial_path=decision.commercial_path,
            publisher=decision.publisher_id,
            offering=decision.offering_id,
            plan=decision.plan_id,
            effective__overlap=decision.effective,
            checked_at__isnull=False,
            superseded_at=None,
        )
        .order_by("id")
    )


def _overlap(decision: EligibilityDecision, other: EligibilityDecision) -> Problem:
    return Problem(
        "overlaps",
        f"Decision {other.pk} ({other.rate_ppm / 10_000:g} %, {_span(other)}) already holds for {scope_name(decision)}"
        " on some of these days. Replace it, or choose other days.",
        "/start",
    )


def _make_room(other: EligibilityDecision, decision: EligibilityDecision, at: datetime) -> None:
    """End *other* where *decision* begins; what it still has behind it goes on as a decision of its own."""
    old, new = other.effective, decision.effective
    goes_on = new.upper is not None and (old.upper is None or new.upper < old.upper)
    if old.lower is None or old.lower < new.lower:
        other.effective = DateRange(old.lower, new.lower)
        other.save(update_fields=["effective"])
    else:
        other.superseded_at = at
        other.save(update_fields=["superseded_at"])
    if goes_on:
        EligibilityDecision.objects.create(
            program=other.program,
            level=other.level,
            commercial_path=other.commercial_path,
            publisher_id=other.publisher_id,
            offering_id=other.offering_id,
            plan_id=other.plan_id,
            rate_ppm=other.rate_ppm,
            effective=DateRange(new.upper, old.upper),
            reason=other.reason,
            evidence=other.evidence,
            assumed=other.assumed,
            made_by_id=other.made_by_id,
            made_at=other.made_at,
            checked_by_id=other.checked_by_id,
            checked_at=other.checked_at,
        )


def _tell(decision: EligibilityDecision, what: str, at: datetime) -> None:
    ids: tuple[int, ...] | None = None
    if decision.offering_id is not None:
        ids = (decision.offering_id,)
    elif decision.plan is not None:
        ids = (decision.plan.offering_id,)
    first_day = decision.effective.lower or date.min
    change = Change(
        "eligibility",
        f"{decision.get_program_display()} of {scope_name(decision)} {what}.",
        ids,
        first_day,
        program=decision.program,
        publisher_id=decision.publisher_id,
        commercial_path=decision.commercial_path,
    )
    tell(change, key=f"decision-{decision.pk}-{what.split()[-1]}", at=at)


def _span(decision: EligibilityDecision) -> str:
    lower, upper = decision.effective.lower, decision.effective.upper
    said = f"from {lower:%-d %b %Y}" if lower else "since ever"
    return f"{said} to before {upper:%-d %b %Y}" if upper else f"{said} on"
