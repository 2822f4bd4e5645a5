"""Changes of dated facts: exchange rates, teams, accounts, territories, plan assignments. Nothing is overwritten.

The rows that a change touches are superseded; what is left of them is written anew beside what is now known, so the trail
shows both. Where something is credited on the days touched, a recredit run is started in the same transaction. A change
without an end holds as long as what it takes the place of, or until the next one that is known.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import zip_longest
from typing import Any, Final, TypeVar

from django.db import models, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.utils.text import slugify

from accounts.audit import acting
from accounts.models import Role, User
from config import house as formats
from config.clock import day_of
from config.locks import one_at_a_time
from config.models import Job
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, refuse_if_any
from marketplace.models import Currency, Customer
from quotas.crediting import engine
from quotas.models import (
    AccountOwnership,
    CompPlan,
    CustomerTerritory,
    Deal,
    FxRate,
    PlanAssignment,
    Rep,
    SalesRole,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
    TerritoryAssignment,
)
from quotas.selectors import recredits
from quotas.selectors.facts import written_rate
from quotas.services.recredit import Cause, start_run, wait_for_postings

R = TypeVar("R", bound=models.Model)

LARGEST_RATE_E9: Final = 10**15
NOTHING: Final = DateRange(empty=True)


@dataclass(frozen=True)
class FactChange:
    """A change that was made, and what it can touch.

    what     A sentence.
    starts   First credit date that it can touch; ends is the first that it cannot, None for no end.
    deals    The credited deals that it can touch; None is every one of those days.
    job      The recredit run, where anything is credited on those days.
    """

    cause: str
    what: str
    starts: date
    ends: date | None
    deals: tuple[int, ...] | None
    job: Job | None = None


@dataclass(frozen=True)
class Impact:
    """What a change would do to the ledger. Nothing was written."""

    change: FactChange
    preview: engine.Preview


_trying: ContextVar[bool] = ContextVar("trying a change", default=False)
_asked_before: ContextVar[bool] = ContextVar("whoever tries was asked who they are", default=False)


@contextmanager
def trying(*, by_anybody: bool = False) -> Iterator[None]:
    """Changes that are made inside start no run; whoever makes them rolls them back.

    by_anybody  The caller has decided who may try this.
    """
    tokens = _trying.set(True), _asked_before.set(by_anybody)
    try:
        yield
    finally:
        _trying.reset(tokens[0])
        _asked_before.reset(tokens[1])


def preview(change: Callable[..., FactChange], **arguments: Any) -> Impact:
    """Make *change* in a savepoint, see what a posting would come to, and roll both back. Raises what the change raises."""
    with trying(), transaction.atomic():
        made = change(**arguments)
        moved = engine.preview(source_of(made))
        transaction.set_rollback(True)
    return Impact(made, moved)


@transaction.atomic
def correct_rate(
    *,
    from_currency: str,
    to_currency: str,
    rate_e9: int,
    starts: date,
    ends: date | None = None,
    by: User,
    at: datetime,
    reason: str,
) -> FactChange:
    """Say what one unit of a currency was worth in another over [starts, ends).

    rate_e9  In units of 0.000000001.
    ends     None: as long as the rate that was in force on the first day, or until the next one that is known.
    Raises   Forbidden, Invalid, Conflict where it is that already.
    """
    _begin(f"fx:{from_currency}:{to_currency}", by=by, at=at, reason=reason)
    known = set(Currency.objects.filter(code__in=[from_currency, to_currency]).values_list("code", flat=True))
    refuse_if_any(
        [
            *_span_problems(starts, ends),
            *(
                Problem("unknown_currency", f"There is no currency {code or '?'}.", pointer)
                for code, pointer in ((from_currency, "/from_currency"), (to_currency, "/to_currency"))
                if code not in known
            ),
            *_if(from_currency == to_currency, "same_currency", "Choose two currencies.", "/to_currency"),
            *_if(
                not 0 < rate_e9 <= LARGEST_RATE_E9,
                "rate_out_of_range",
                "A rate is above zero and at most 1,000,000.",
                "/rate",
            ),
        ]
    )
    rows = _in_force(FxRate.objects.filter(from_currency=from_currency, to_currency=to_currency))
    span = DateRange(starts, ends if ends is not None else _until(rows, starts))
    _refuse_unchanged(rows, span, lambda row: row.rate_e9 == rate_e9)
    _carve(rows, span, at)
    FxRate.objects.create(
        from_currency_id=from_currency,
        to_currency_id=to_currency,
        rate_e9=rate_e9,
        effective=span,
        recorded_at=at,
    )
    return _finish(
        Cause.FX,
        f"1 {from_currency} is {written_rate(rate_e9)} {to_currency} {_said(span)}",
        span,
        lambda: recredits.in_currency(from_currency, starts, span.upper),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def move_rep(
    *, rep_id: int, team_id: int, role: str, starts: date, by: User, at: datetime, reason: str
) -> FactChange:
    """Put a rep in a team and role from a day on, as long as what they were in on that day would have lasted.

    Raises  Forbidden, Invalid, Conflict where they are in it already.
    """
    _begin(f"rep:{rep_id}", by=by, at=at, reason=reason)
    rep, team = _found(Rep, rep_id), _found(Team, team_id)
    refuse_if_any(
        [
            *_if(rep is None, "unknown_rep", "Choose a rep.", "/rep"),
            *_if(team is None, "unknown_team", "Choose a team.", "/team"),
            *_if(role not in SalesRole.values, "unknown_role", "Choose a role.", "/role"),
        ]
    )
    rows = _in_force(TeamMembership.objects.filter(rep=rep_id).select_related("team"))
    span = DateRange(starts, _until(rows, starts))
    _refuse_unchanged(rows, span, lambda row: (row.team_id, row.role) == (team_id, role))
    roles = {row.role for row in rows if _meet(row.effective, span)} | {role}
    one_role = len(roles) == 1 and _covered(rows, span)
    _carve(rows, span, at)
    TeamMembership.objects.create(rep_id=rep_id, team_id=team_id, role=role, effective=span, recorded_at=at)
    everything = not one_role and recredits.overlay_by_role(roles)
    return _finish(
        Cause.TEAM,
        f"{rep} is {SalesRole(role).label.lower()} in {team} {_said(span)}",
        span,
        None if everything else lambda: recredits.of_rep(rep_id, starts, span.upper),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def place_team(
    *, team_id: int, parent_id: int | None, starts: date, by: User, at: datetime, reason: str
) -> FactChange:
    """Put a team under another from a day on, or at the top. No credit moves, because roll-ups are derived: there is no run.

    Raises  Forbidden, Invalid where the parent is below the team on one of the days, Conflict where it is there already.
    """
    _begin("teams", by=by, at=at, reason=reason)
    team = _found(Team, team_id)
    parent = None if parent_id is None else _found(Team, parent_id)
    refuse_if_any(
        [
            *_if(team is None, "unknown_team", "Choose a team.", "/team"),
            *_if(parent_id is not None and parent is None, "unknown_team", "Choose a team.", "/parent"),
            *_if(team_id == parent_id, "own_parent", "A team is not its own parent.", "/parent"),
        ]
    )
    rows = _in_force(TeamPlacement.objects.filter(team=team_id))
    span = DateRange(starts, _until(rows, starts))
    _refuse_unchanged(rows, span, lambda row: row.parent_id == parent_id)
    if parent_id is not None and _is_below(parent_id, team_id, span):
        raise Invalid(
            Problem("parent_is_below", f"{parent} is below {team} on one of those days.", "/parent")
        )
    _carve(rows, span, at)
    TeamPlacement.objects.create(team_id=team_id, parent_id=parent_id, effective=span, recorded_at=at)
    where = "at the top" if parent is None else f"under {parent}"
    return FactChange(Cause.TEAM, f"{team} is {where} {_said(span)}", starts, span.upper, ())


@transaction.atomic
def transfer_account(
    *,
    customer_id: int,
    rep_id: int,
    starts: date,
    holdover_until: date | None = None,
    by: User,
    at: datetime,
    reason: str,
) -> FactChange:
    """Give a customer to a rep from a day on, as long as the ownership that was in force would have lasted.

    holdover_until  Until before this day whoever was credited before is credited still; None: the new owner from the first day.
    Raises          Forbidden, Invalid, Conflict where the customer is that rep's already.
    """
    _begin(f"account:{customer_id}", by=by, at=at, reason=reason)
    customer, rep = _found(Customer, customer_id), _found(Rep, rep_id)
    refuse_if_any(
        [
            *_if(customer is None, "unknown_customer", "Choose a customer.", "/customer"),
            *_if(rep is None, "unknown_rep", "Choose a rep.", "/rep"),
            *_if(
                holdover_until is not None and holdover_until <= starts,
                "holdover_too_short",
                "A holdover ends after the transfer.",
                "/holdover_until",
            ),
        ]
    )
    rows = _in_force(AccountOwnership.objects.filter(customer=customer_id))
    span = DateRange(starts, _until(rows, starts))
    refuse_if_any(
        _if(
            holdover_until is not None and span.upper is not None and holdover_until >= span.upper,
            "holdover_too_long",
            "The holdover ends before the account goes to the next owner.",
            "/holdover_until",
        )
    )
    first = holdover_until or starts
    # Whoever owned it may be credited for longer than that, by a holdover of their own: the new owner takes that over.
    then = next((row.credits for row in rows if _holds(row.effective, starts)), NOTHING)
    credits = DateRange(
        first, then.upper if not then.isempty and (then.upper is None or then.upper > first) else span.upper
    )
    new = AccountOwnership(
        customer_id=customer_id, rep_id=rep_id, effective=span, credits=credits, recorded_at=at
    )
    _refuse_unchanged(
        rows, span, lambda row: row.rep_id == rep_id and (row.credits == credits or holdover_until is None)
    )
    left = []
    for row in rows:
        days, paid = _less(row.effective, span), _less(row.credits, credits)
        if days == [row.effective] and paid == ([] if row.credits.isempty else [row.credits]):
            continue
        _supersede(row, at)
        # Each piece of the ownership keeps what is left of the credit; a credit cut in two gets a piece of its own.
        left += [
            _again(row, at, effective=owned, credits=earned)
            for owned, earned in zip_longest(days, paid, fillvalue=NOTHING)
        ]
    AccountOwnership.objects.bulk_create([*left, new])
    until = f", credited from {formats.day(holdover_until)} on" if holdover_until else ""
    return _finish(
        Cause.OWNER,
        f"{customer} is {rep}'s account {_said(span)}{until}",
        DateRange(starts, _later(span.upper, credits.upper)),
        lambda: recredits.consumption_of(customer_id, starts, _later(span.upper, credits.upper)),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def cover_territory(
    *,
    territory_id: int,
    rep_id: int,
    starts: date,
    ends: date | None = None,
    by: User,
    at: datetime,
    reason: str,
) -> FactChange:
    """Let a rep cover a territory over [starts, ends), beside whoever else does. Raises Forbidden, Invalid, Conflict."""
    _begin(f"territory:{territory_id}", by=by, at=at, reason=reason)
    territory, rep = _found(Territory, territory_id), _found(Rep, rep_id)
    refuse_if_any(
        [
            *_span_problems(starts, ends),
            *_if(territory is None, "unknown_territory", "Choose a territory.", "/territory"),
            *_if(rep is None, "unknown_rep", "Choose a rep.", "/rep"),
        ]
    )
    span = DateRange(starts, ends)
    rows = _in_force(TerritoryAssignment.objects.filter(territory=territory_id, rep=rep_id))
    _refuse_unchanged(rows, span, lambda _: True)
    _carve(rows, span, at)
    TerritoryAssignment.objects.create(
        territory_id=territory_id, rep_id=rep_id, effective=span, recorded_at=at
    )
    return _finish(
        Cause.TERRITORY,
        f"{rep} covers {territory} {_said(span)}",
        span,
        lambda: _in_territory(territory_id, starts, ends),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def leave_territory(
    *, territory_id: int, rep_id: int, ends: date, by: User, at: datetime, reason: str
) -> FactChange:
    """Let a rep cover a territory no longer, from the day *ends* on. Raises Forbidden, Invalid, Conflict where they do not cover it."""
    _begin(f"territory:{territory_id}", by=by, at=at, reason=reason)
    territory, rep = _found(Territory, territory_id), _found(Rep, rep_id)
    refuse_if_any(
        [
            *_if(territory is None, "unknown_territory", "Choose a territory.", "/territory"),
            *_if(rep is None, "unknown_rep", "Choose a rep.", "/rep"),
        ]
    )
    rows = _in_force(TerritoryAssignment.objects.filter(territory=territory_id, rep=rep_id))
    span = DateRange(
        ends, _end_of(rows, ends, "not_covered", f"{rep} does not cover {territory} then.", "/ends")
    )
    _carve(rows, span, at)
    return _finish(
        Cause.TERRITORY,
        f"{rep} no longer covers {territory} from {formats.day(ends)} on",
        span,
        lambda: _in_territory(territory_id, ends, span.upper),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def put_in_territory(
    *,
    customer_id: int,
    territory_id: int,
    starts: date,
    ends: date | None = None,
    by: User,
    at: datetime,
    reason: str,
) -> FactChange:
    """Let a customer lie in a territory over [starts, ends), beside the others that it lies in. Raises Forbidden, Invalid, Conflict."""
    _begin(f"territory:{territory_id}", by=by, at=at, reason=reason)
    territory, customer = _found(Territory, territory_id), _found(Customer, customer_id)
    refuse_if_any(
        [
            *_span_problems(starts, ends),
            *_if(territory is None, "unknown_territory", "Choose a territory.", "/territory"),
            *_if(customer is None, "unknown_customer", "Choose a customer.", "/customer"),
        ]
    )
    span = DateRange(starts, ends)
    rows = _in_force(CustomerTerritory.objects.filter(territory=territory_id, customer=customer_id))
    _refuse_unchanged(rows, span, lambda _: True)
    _carve(rows, span, at)
    CustomerTerritory.objects.create(
        territory_id=territory_id, customer_id=customer_id, effective=span, recorded_at=at
    )
    return _finish(
        Cause.TERRITORY,
        f"{customer} lies in {territory} {_said(span)}",
        span,
        lambda: recredits.of_customers([customer_id], starts, ends),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def take_out_of_territory(
    *, customer_id: int, territory_id: int, ends: date, by: User, at: datetime, reason: str
) -> FactChange:
    """Let a customer lie in a territory no longer, from the day *ends* on. Raises Forbidden, Invalid, Conflict where it does not."""
    _begin(f"territory:{territory_id}", by=by, at=at, reason=reason)
    territory, customer = _found(Territory, territory_id), _found(Customer, customer_id)
    refuse_if_any(
        [
            *_if(territory is None, "unknown_territory", "Choose a territory.", "/territory"),
            *_if(customer is None, "unknown_customer", "Choose a customer.", "/customer"),
        ]
    )
    rows = _in_force(CustomerTerritory.objects.filter(territory=territory_id, customer=customer_id))
    span = DateRange(
        ends,
        _end_of(rows, ends, "not_in_territory", f"{customer} does not lie in {territory} then.", "/ends"),
    )
    _carve(rows, span, at)
    return _finish(
        Cause.TERRITORY,
        f"{customer} no longer lies in {territory} from {formats.day(ends)} on",
        span,
        lambda: recredits.of_customers([customer_id], ends, span.upper),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def make_territory(
    *, name: str, house_rep_id: int | None = None, by: User, at: datetime, reason: str
) -> FactChange:
    """Add a territory, whose credit is its house rep's while nobody covers it. Nothing lies in it yet. Raises Forbidden, Invalid."""
    _begin("territories", by=by, at=at, reason=reason)
    name = name.strip()
    slug = slugify(name)[:80]
    rep = None if house_rep_id is None else _found(Rep, house_rep_id)
    refuse_if_any(
        [
            *_if(
                not slug or len(name) > 120,
                "name_missing",
                "Give it a name of up to 120 characters.",
                "/name",
            ),
            *_if(
                bool(slug) and Territory.objects.filter(slug=slug).exists(),
                "name_taken",
                "There is a territory of that name.",
                "/name",
            ),
            *_if(house_rep_id is not None and rep is None, "unknown_rep", "Choose a rep.", "/house_rep"),
        ]
    )
    Territory.objects.create(slug=slug, name=name, house_rep=rep)
    kept = f", its credit is {rep}'s while nobody covers it" if rep else ""
    return FactChange(Cause.TERRITORY, f"{name} is a territory{kept}", day_of(at), None, ())


@transaction.atomic
def recredit_span(*, starts: date, ends: date, by: User, at: datetime, reason: str) -> FactChange:
    """No fact changes: recredit [starts, ends) by hand. Raises Forbidden, Invalid."""
    _begin("recredit", by=by, at=at, reason=reason)
    refuse_if_any(_span_problems(starts, ends))
    what = f"Credit dates {_said(DateRange(starts, ends))}"
    change = FactChange(Cause.MANUAL, what, starts, ends, None)
    if _trying.get():
        return change
    job = start_run(starts=starts, ends=ends, cause=Cause.MANUAL, what=what, reason=reason, by=by, at=at)
    return replace(change, job=job)


@transaction.atomic
def assign_plan(
    *,
    plan_id: int,
    role: str = "",
    rep_id: int | None = None,
    starts: date,
    ends: date | None = None,
    by: User,
    at: datetime,
    reason: str,
) -> FactChange:
    """Let a plan's rules look at a rep, at everybody in a role, or, with neither, at everybody, over [starts, ends). Assignments add.

    Raises  Forbidden, Invalid, Conflict where it is assigned so on all of those days.
    """
    _begin(f"plan:{plan_id}", by=by, at=at, reason=reason)
    plan = _found(CompPlan, plan_id)
    rep = None if rep_id is None else _found(Rep, rep_id)
    refuse_if_any(
        [
            *_span_problems(starts, ends),
            *_if(plan is None, "unknown_plan", "Choose a plan.", "/plan"),
            *_if(rep_id is not None and rep is None, "unknown_rep", "Choose a rep.", "/rep"),
            *_if(role != "" and role not in SalesRole.values, "unknown_role", "Choose a role.", "/role"),
            *_if(
                role != "" and rep_id is not None, "role_or_rep", "Name a role or a rep, not both.", "/role"
            ),
        ]
    )
    span = DateRange(starts, ends)
    rows = _in_force(PlanAssignment.objects.filter(plan=plan_id, role=role, rep=rep_id))
    _refuse_unchanged(rows, span, lambda _: True)
    _carve(rows, span, at)
    made = PlanAssignment.objects.create(
        plan_id=plan_id, role=role, rep_id=rep_id, effective=span, recorded_at=at
    )
    return _finish(
        Cause.PLAN,
        f"{plan} is assigned to {_whom(made)} {_said(span)}",
        span,
        _deals_under(made, span),
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def end_assignment(*, assignment_id: int, ends: date, by: User, at: datetime, reason: str) -> FactChange:
    """Let an assignment of a plan end before the day *ends*; on or before its first day takes it back altogether.

    Raises  Forbidden, NotFound, Invalid, Conflict where it has been replaced or ends by then anyway.
    """
    found = PlanAssignment.objects.filter(pk=assignment_id).select_related("plan", "rep").first()
    _begin(f"plan:{found.plan_id if found else 0}", by=by, at=at, reason=reason)
    if found is None:
        raise NotFound.of("unknown_assignment", "There is no such assignment.")
    rows = _in_force(PlanAssignment.objects.filter(pk=assignment_id))
    if not rows:
        raise Conflict(Problem("superseded", "This assignment has been replaced: look again."))
    lower, upper = rows[0].effective.lower, rows[0].effective.upper
    if upper is not None and upper <= ends:
        raise Conflict(Problem("ended", "It ends by then anyway.", "/ends"))
    span = DateRange(ends if lower is None else max(ends, lower), upper)
    _carve(rows, span, at)
    return _finish(
        Cause.PLAN,
        f"{found.plan} is no longer assigned to {_whom(found)} from {formats.day(span.lower, 'the beginning')} on",
        span,
        _deals_under(found, span),
        by=by,
        at=at,
        reason=reason,
    )


# Dated rows.


def _in_force(rows: models.QuerySet[R]) -> list[R]:
    """What is known now, locked, by id."""
    return list(rows.filter(superseded_at=None).select_for_update(of=("self",)).order_by("pk"))


def _until(rows: Iterable[Any], day: date) -> date | None:
    """How long a change from *day* on holds: to the end of what is in force then, else to the beginning of the next."""
    for row in rows:
        if _holds(row.effective, day):
            return row.effective.upper  # type: ignore[no-any-return]
    later = [row.effective.lower for row in rows if row.effective.lower and row.effective.lower > day]
    return min(later, default=None)


def _end_of(rows: Sequence[Any], day: date, code: str, message: str, pointer: str) -> date | None:
    """The end of the last of the rows that reach beyond *day*. Raises Conflict where none does."""
    beyond = [
        row.effective.upper
        for row in rows
        if not row.effective.isempty and (row.effective.upper is None or row.effective.upper > day)
    ]
    if not beyond:
        raise Conflict(Problem(code, message, pointer))
    return None if None in beyond else max(beyond)


def _carve(rows: Iterable[Any], span: DateRange, at: datetime) -> None:
    """Supersede what meets *span*, and write anew what is left of it before and after."""
    left = []
    for row in rows:
        if _meet(row.effective, span):
            _supersede(row, at)
            left += [_again(row, at, effective=piece) for piece in _less(row.effective, span)]
    if left:
        type(left[0])._default_manager.bulk_create(left)


def _supersede(row: Any, at: datetime) -> None:
    row.superseded_at = at
    row.save(update_fields=["superseded_at"])


def _again(row: Any, at: datetime, **changed: Any) -> Any:
    """The same fact as a new row, recorded now."""
    kept = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if not field.primary_key
    }
    return type(row)(**{**kept, "recorded_at": at, "superseded_at": None, **changed})


def _less(span: DateRange, taken: DateRange) -> list[DateRange]:
    """The parts of *span* outside of *taken*, in order; neither has an inclusive end."""
    if span.isempty:
        return []
    if not _meet(span, taken):
        return [span]
    left = []
    if taken.lower is not None and (span.lower is None or span.lower < taken.lower):
        left.append(DateRange(span.lower, taken.lower))
    if taken.upper is not None and (span.upper is None or span.upper > taken.upper):
        left.append(DateRange(taken.upper, span.upper))
    return left


def _meet(one: DateRange, other: DateRange) -> bool:
    if one.isempty or other.isempty:
        return False
    return (one.lower is None or other.upper is None or one.lower < other.upper) and (
        other.lower is None or one.upper is None or other.lower < one.upper
    )


def _holds(span: DateRange, day: date) -> bool:
    return (
        not span.isempty
        and (span.lower is None or span.lower <= day)
        and (span.upper is None or day < span.upper)
    )


def _covered(rows: Iterable[Any], span: DateRange) -> bool:
    """Whether the rows leave no day of *span* out."""
    left = [span]
    for row in rows:
        left = [piece for part in left for piece in _less(part, row.effective)]
    return not left


def _later(one: date | None, other: date | None) -> date | None:
    return None if one is None or other is None else max(one, other)


def _refuse_unchanged(rows: Iterable[R], span: DateRange, same: Callable[[R], bool]) -> None:
    """A change that says what is known already is none."""
    if _covered([row for row in rows if same(row)], span):
        raise Conflict(Problem("nothing_changes", "That is how it is already on all of these days."))


def _is_below(team_id: int, top_id: int, span: DateRange) -> bool:
    """Whether a team is under another, at whatever depth, on some day of the span."""
    placements = list(
        TeamPlacement.objects.filter(superseded_at=None, effective__overlap=span).exclude(parent=None)
    )
    waiting: list[tuple[int, DateRange]] = [(team_id, span)]
    seen: set[tuple[int, Any, Any]] = set()
    while waiting:
        child, days = waiting.pop()
        if (child, days.lower, days.upper) in seen:
            continue
        seen.add((child, days.lower, days.upper))
        for placed in placements:
            if placed.team_id == child and _meet(placed.effective, days):
                if placed.parent_id == top_id:
                    return True
                waiting.append((placed.parent_id or 0, _both(placed.effective, days)))
    return False


def _both(one: DateRange, other: DateRange) -> DateRange:
    lowers = [d for d in (one.lower, other.lower) if d is not None]
    uppers = [d for d in (one.upper, other.upper) if d is not None]
    return DateRange(max(lowers, default=None), min(uppers, default=None))


# What a change touches, and the run.


def _in_territory(territory_id: int, starts: date, ends: date | None) -> models.QuerySet[Deal]:
    customers = recredits.customers_in(territory_id, starts, ends).values("customer")
    return recredits.credited(starts, ends).filter(customer__in=customers)


def _deals_under(assignment: PlanAssignment, span: DateRange) -> Callable[[], models.QuerySet[Deal]] | None:
    """The deals that an assignment to a rep can touch; to a role or everybody, all of them."""
    rep_id = assignment.rep_id
    if rep_id is None:
        return None
    if recredits.overlay_by_role(recredits.roles_held(rep_id, span.lower, span.upper)):
        return None
    return lambda: recredits.of_rep(rep_id, span.lower, span.upper)


def _finish(
    cause: str,
    what: str,
    span: DateRange,
    deals: Callable[[], models.QuerySet[Deal]] | None,
    *,
    by: User,
    at: datetime,
    reason: str,
) -> FactChange:
    """Name the deals that the change can touch, and start the run if there are any."""
    trying = _trying.get()
    if not trying:
        # Who posts by the fact of before is through from here on, so that its deals are among those that are named.
        wait_for_postings()
    first = span.lower or date.min
    named = recredits.named(deals()) if deals else None
    change = FactChange(cause, what, first, span.upper, None if named is None else tuple(named))
    if trying:
        return change
    ends = span.upper or recredits.day_after_the_last(first)
    touched = bool(named) if named is not None else recredits.credited(first, ends).exists()
    if ends is None or not touched:
        return change
    job = start_run(
        starts=first, ends=ends, cause=cause, what=what, reason=reason, by=by, at=at, deals=change.deals
    )
    return replace(change, job=job)


def source_of(change: FactChange) -> engine.ByDeal | engine.BySpan:
    """The deals that a change can touch, as the engine is asked for them."""
    if change.deals is not None:
        return engine.ByDeal(change.deals)
    return engine.BySpan(change.starts, change.ends or date.max)


# Who, when and in words.


def _begin(subject: str, *, by: User, at: datetime, reason: str) -> None:
    """Name the actor, refuse who may not, and let changes of one subject wait for each other."""
    acting(by=by, at=at, reason=reason.strip())
    if not by.has_role(Role.COMP_ADMIN) and not _asked_before.get():
        raise Forbidden(Problem("not_a_comp_admin", "Only comp admins change the facts of crediting."))
    refuse_if_any(
        [
            *_if(not reason.strip(), "reason_missing", "Say why: it is kept in the audit trail.", "/reason"),
            *_if(len(reason) > 500, "reason_too_long", "Say it in at most 500 characters.", "/reason"),
        ]
    )
    one_at_a_time("quotas.facts", subject)


def _found(model: type[R], pk: int) -> R | None:
    return model._default_manager.filter(pk=pk).first()


def _if(wrong: bool, code: str, message: str, pointer: str) -> Iterator[Problem]:
    if wrong:
        yield Problem(code, message, pointer)


def _span_problems(starts: date, ends: date | None) -> Iterator[Problem]:
    return _if(
        ends is not None and ends <= starts, "ends_before_it_starts", "It ends before it starts.", "/ends"
    )


def _whom(assignment: PlanAssignment) -> str:
    if assignment.rep_id is not None:
        return str(assignment.rep)
    return f"every {SalesRole(assignment.role).label.lower()}" if assignment.role else "everybody"


def _said(span: DateRange) -> str:
    first = f"from {formats.day(span.lower)}" if span.lower else "from the beginning"
    return f"{first} to before {formats.day(span.upper)}" if span.upper else f"{first} on"
