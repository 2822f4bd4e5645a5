"""Deciding how offerings are treated: one proposes, another checks, and what was decided before is never rewritten.

A decision that takes the place of an open-ended one ends it on the day before: its id stays, so whatever was credited
under it still names it. One that lies wholly behind the new one is superseded.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import uuid4

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config.locks import one_at_a_time
from config.outbox import promise
from config.refusals import Conflict, Invalid, NotFound, Problem, refuse_if_any
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    Plan,
    Program,
    Publisher,
    ScopeLevel,
)
from marketplace.selectors.decisions import Replaced, change_of, replaced_by
from marketplace.selectors.eligibility import ONE, scope_name, span_text
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.telling import tell

MOST_AT_ONCE: Final = 2_000
LONGEST: Final = 500  # of a reason, and of evidence


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

    @property
    def named(self) -> ScopeLevel:
        """Of a scope that has been found to name exactly one."""
        level = self.level
        if level is None:
            raise AssertionError("a scope that is not exactly one is refused before")
        return level


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
    return propose_decisions(
        programs=[program],
        scopes=[scope],
        rate_ppm=rate_ppm,
        start=start,
        end=end,
        reason=reason,
        by=by,
        at=at,
        evidence=evidence,
        assumed=assumed,
    )[0]


@transaction.atomic
def propose_decisions(
    *,
    programs: Sequence[str],
    scopes: Sequence[Scope],
    rate_ppm: int,
    start: date,
    end: date | None,
    reason: str,
    by: User,
    at: datetime,
    evidence: str = "",
    assumed: bool = False,
    proposal: str = "",
) -> list[EligibilityDecision]:
    """One proposal: a decision for each of *programs* and each of *scopes*, which one other person checks together.

    proposal   Names it: proposed a second time under the same name, the first one is returned and nothing is added.
    Raises     Forbidden, Invalid (everything that is wrong at once), Conflict (proposal_taken: by somebody else).
    """
    acting(by=by, at=at, reason=reason[:500])
    must_keep_the_catalog(by)
    programs, scopes = list(dict.fromkeys(programs)), list(dict.fromkeys(scopes))
    if proposal:
        one_at_a_time("marketplace.proposal", proposal)
        first = list(EligibilityDecision.objects.filter(proposal=proposal).order_by("id"))
        if first and first[0].made_by_id != by.pk:
            raise Conflict(
                Problem("proposal_taken", "Somebody else has used this name for a proposal.", "/proposal")
            )
        if first:
            return first
    refuse_if_any(_problems(programs, scopes, rate_ppm, start, end, reason, evidence, proposal))
    if not proposal and len(programs) * len(scopes) > 1:
        proposal = uuid4().hex
    made = EligibilityDecision.objects.bulk_create(
        [
            EligibilityDecision(
                program=program,
                level=scope.named,
                commercial_path=scope.commercial_path,
                publisher_id=scope.publisher_id,
                offering_id=scope.offering_id,
                plan_id=scope.plan_id,
                rate_ppm=rate_ppm,
                effective=DateRange(start, end),
                reason=reason.strip(),
                evidence=evidence.strip(),
                assumed=assumed,
                made_by=by,
                made_at=at,
                proposal=proposal,
            )
            for program in programs
            for scope in scopes
        ]
    )
    others = User.objects.filter(
        role_grants__role=Role.CATALOG_MANAGER, role_grants__withdrawn_at=None, is_active=True
    ).exclude(pk=by.pk)
    _notify(
        list(others.values_list("pk", flat=True)),
        f"decision-proposed:{made[0].pk}",
        f"{by.name} proposes a decision on eligibility: somebody else has to check it.",
        made[0],
        at,
    )
    return made


@transaction.atomic
def check_decision(
    *,
    decision_id: int,
    by: User,
    at: datetime,
    replacing: bool = False,
    only: Collection[int] | None = None,
    reason: str = "",
) -> EligibilityDecision:
    """Put a proposed decision in force, with everything that was proposed together with it.

    replacing   Let it take the place of what is in force for the same scope on the same days; else that is a Conflict.
    only        Of these decisions alone, which whoever checks has seen; None is all.
    Raises      Forbidden, NotFound, Conflict (own_decision, already_checked, withdrawn, overlaps: names each).
    """
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    # So that two that overlap meet as a Conflict and not in the constraint.
    one_at_a_time("marketplace.check_decision")
    decision, together = _locked(decision_id)
    if decision.superseded_at is not None:
        raise Conflict(Problem("withdrawn", "This decision has been withdrawn: propose it anew."))
    if decision.checked_at is not None:
        raise Conflict(Problem("already_checked", "This decision has been checked already."))
    if decision.made_by_id == by.pk:
        raise Conflict(Problem("own_decision", "Somebody else has to check what you decided.", "/checked_by"))
    waiting = [d for d in together if d.checked_at is None and d.superseded_at is None]
    overlapped = replaced_by(waiting, lock=True)
    unmeant = [e for e in overlapped if not replacing or (only is not None and e.old.pk not in only)]
    if unmeant:
        raise Conflict(*(_overlap(each.new, each.old) for each in unmeant))
    for each in overlapped:
        _make_room(each, at)
    EligibilityDecision.objects.filter(pk__in=[d.pk for d in waiting]).update(checked_by=by, checked_at=at)
    for each_checked in waiting:
        each_checked.checked_by, each_checked.checked_at = by, at
    _tell(waiting, "decided", at)
    _notify(
        [decision.made_by_id],
        f"decision-checked:{waiting[0].pk}",
        f"{by.name} has checked what you decided for {_for(waiting)}.",
        decision,
        at,
    )
    return next(d for d in waiting if d.pk == decision_id)


@transaction.atomic
def withdraw_decision(*, decision_id: int, by: User, at: datetime, reason: str) -> EligibilityDecision:
    """Take a decision out of force for all its days, or a proposal, with everything in it, off the table.

    Raises   Forbidden, NotFound, Invalid, Conflict.
    """
    acting(by=by, at=at, reason=reason[:500])
    must_keep_the_catalog(by)
    if not reason.strip():
        raise Invalid(Problem("reason_missing", "Say why it is withdrawn.", "/reason"))
    if len(reason) > LONGEST:
        raise Invalid(Problem("reason_too_long", f"A reason has at most {LONGEST} characters.", "/reason"))
    decision, together = _locked(decision_id)
    if decision.superseded_at is not None:
        raise Conflict(Problem("withdrawn", "This decision has been withdrawn already."))
    in_force = decision.checked_at is not None
    gone = (
        [decision] if in_force else [d for d in together if d.checked_at is None and d.superseded_at is None]
    )
    EligibilityDecision.objects.filter(pk__in=[d.pk for d in gone]).update(superseded_at=at)
    decision.superseded_at = at
    if in_force:
        _tell(gone, "withdrawn", at)
    if decision.made_by_id != by.pk:
        _notify(
            [decision.made_by_id],
            f"decision-withdrawn:{decision.pk}",
            f"{by.name} has withdrawn what you decided for {_for(gone)}: {reason.strip()}"[:400],
            decision,
            at,
        )
    return decision


def _problems(
    programs: Sequence[str],
    scopes: Sequence[Scope],
    rate_ppm: int,
    start: date,
    end: date | None,
    reason: str,
    evidence: str,
    proposal: str,
) -> list[Problem]:
    found = []
    if not programs or not set(programs) <= set(Program.values):
        found.append(Problem("unknown_program", f"Programs are {', '.join(Program.values)}.", "/program"))
    known = _known(scopes)
    one = len(scopes) == 1
    if not scopes:
        found.append(Problem("one_scope", "Say for what it is decided.", "/scope"))
    for number, scope in enumerate(scopes):
        pointer = "/scope" if one else f"/scopes/{number}"
        if scope.level is None:
            found.append(
                Problem("one_scope", "Name one of commercial path, publisher, offering and plan.", pointer)
            )
        elif scope not in known:
            found.append(Problem("unknown_scope", "What it is about does not exist.", pointer))
    if len({scope.level in (ScopeLevel.PATH, ScopeLevel.PUBLISHER) for scope in scopes}) > 1:
        found.append(
            Problem(
                "mixed_scopes", "Decide for paths and publishers apart from offerings and plans.", "/scopes"
            )
        )
    if len(programs) * len(scopes) > MOST_AT_ONCE:
        found.append(Problem("too_many", f"One proposal makes at most {MOST_AT_ONCE} decisions.", "/scopes"))
    if not 0 <= rate_ppm <= ONE:
        found.append(Problem("rate_out_of_range", "A rate is between 0 and 100 %.", "/rate"))
    if end is not None and end <= start:
        found.append(Problem("ends_before_it_starts", "It ends before it starts.", "/end"))
    if not reason.strip():
        found.append(Problem("reason_missing", "Say why: it is shown to everybody it concerns.", "/reason"))
    for name, text in (("reason", reason), ("evidence", evidence)):
        if len(text) > LONGEST:
            found.append(Problem(f"{name}_too_long", f"At most {LONGEST} characters.", f"/{name}"))
    if len(proposal) > 80:
        found.append(Problem("name_too_long", "A proposal's name has at most 80 characters.", "/proposal"))
    return found


def _known(scopes: Sequence[Scope]) -> set[Scope]:
    """Those of *scopes* whose subject exists. 3 queries at most."""
    publishers = {s.publisher_id for s in scopes if s.publisher_id is not None}
    offerings = {s.offering_id for s in scopes if s.offering_id is not None}
    plans = {s.plan_id for s in scopes if s.plan_id is not None}
    there: set[Scope] = {Scope(commercial_path=path) for path in CommercialPath.values}
    if publishers:
        there |= {
            Scope(publisher_id=pk)
            for pk in Publisher.objects.filter(pk__in=publishers).values_list("pk", flat=True)
        }
    if offerings:
        there |= {
            Scope(offering_id=pk)
            for pk in Offering.objects.filter(pk__in=offerings).values_list("pk", flat=True)
        }
    if plans:
        there |= {Scope(plan_id=pk) for pk in Plan.objects.filter(pk__in=plans).values_list("pk", flat=True)}
    return there


def _locked(decision_id: int) -> tuple[EligibilityDecision, list[EligibilityDecision]]:
    """The decision and all that was proposed with it, locked in the order of their ids. Raises NotFound."""
    proposal = EligibilityDecision.objects.filter(pk=decision_id).values_list("proposal", flat=True).first()
    if proposal is None:
        raise NotFound.of("unknown_decision", "There is no such decision.")
    rows = EligibilityDecision.objects.select_for_update(of=("self",)).select_related(
        "publisher", "offering", "plan__offering"
    )
    together = list(
        (rows.filter(proposal=proposal) if proposal else rows.filter(pk=decision_id)).order_by("id")
    )
    return next(d for d in together if d.pk == decision_id), together


def _overlap(decision: EligibilityDecision, other: EligibilityDecision) -> Problem:
    return Problem(
        "overlaps",
        f"Decision {other.pk} ({other.rate_ppm / 10_000:g} %, {span_text(other)}) already holds for {scope_name(decision)}"
        " on some of these days. Replace it, or choose other days.",
        "/start",
    )


def _make_room(replaced: Replaced, at: datetime) -> None:
    """End the old one where the new one begins; what it still has behind it goes on as a decision of its own."""
    other, old = replaced.old, replaced.old.effective
    if replaced.ends is not None:
        other.effective = DateRange(old.lower, replaced.ends)
        other.save(update_fields=["effective"])
    else:
        other.superseded_at = at
        other.save(update_fields=["superseded_at"])
    if replaced.goes_on is not None:
        EligibilityDecision.objects.create(
            program=other.program,
            level=other.level,
            commercial_path=other.commercial_path,
            publisher_id=other.publisher_id,
            offering_id=other.offering_id,
            plan_id=other.plan_id,
            rate_ppm=other.rate_ppm,
            effective=DateRange(replaced.goes_on, old.upper),
            reason=other.reason,
            evidence=other.evidence,
            assumed=other.assumed,
            made_by_id=other.made_by_id,
            made_at=other.made_at,
            checked_by_id=other.checked_by_id,
            checked_at=other.checked_at,
        )


def _tell(decisions: Sequence[EligibilityDecision], what: str, at: datetime) -> None:
    """One change for each path and publisher of each program, and one for all its offerings."""
    groups: dict[tuple[object, ...], list[EligibilityDecision]] = {}
    for decision in decisions:
        key = decision.program, decision.publisher_id, decision.commercial_path
        groups.setdefault(key, []).append(decision)
    for group in groups.values():
        first = group[0]
        change = change_of(group, f"{first.get_program_display()} of {_for(group)} is {what}.")
        tell(change, key=f"decision-{first.pk}-{what}", at=at)


def _for(decisions: Sequence[EligibilityDecision]) -> str:
    """What they are about, in words short enough for a line."""
    about = {(d.level, d.commercial_path, d.publisher_id, d.offering_id, d.plan_id) for d in decisions}
    if len(about) == 1:
        return scope_name(decisions[0])
    return f"{len(about)} {'plans' if all(d.plan_id for d in decisions) else 'offerings'}"


def _notify(user_ids: list[int], key: str, text: str, decision: EligibilityDecision, at: datetime) -> None:
    if user_ids:
        promise(
            topic=NOTIFY,
            key=key,
            payload={
                "user_ids": user_ids,
                "key": key,
                "text": text,
                "url": f"/catalog/decisions/{decision.pk}/",
            },
            at=at,
        )
