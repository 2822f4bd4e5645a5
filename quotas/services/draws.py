"""Draws: who is paid at least how much a month, from when until when. One comp admin with a reason; months that were closed stay. RULES 16."""

from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Q

from accounts.audit import acting
from accounts.models import Role, User
from config import house as formats
from config.clock import day_of
from config.locks import one_at_a_time
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from marketplace.models import Currency
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    CloseState,
    Draw,
    Grain,
    Period,
    PeriodClose,
    PeriodState,
    Rep,
)
from quotas.selectors.periods import calendar_of_rep


@transaction.atomic
def set_draw(
    *,
    rep_id: int,
    amount_minor: int,
    currency: str,
    recoverable: bool,
    starts: date,
    ends: date | None,
    reason: str,
    by: User,
    at: datetime,
) -> Draw:
    """Pay a rep at least so much in each month that begins in [starts, ends).

    Raises  Forbidden, Invalid with pointers, NotFound; Conflict where a month of it was closed, or another draw runs.
    """
    _refuse_unless_comp_admin(by)
    problems = _reason_problems(reason)
    if not 0 < amount_minor <= LARGEST_AMOUNT_MINOR:
        problems.append(Problem("amount_out_of_bounds", "A draw is above 0.", "/amount"))
    if ends is not None and ends <= starts:
        problems.append(Problem("ends_before_it_starts", "The last day is before the first.", "/ends"))
    if not Currency.objects.filter(code=currency).exists():
        problems.append(Problem("currency_unknown", "Choose a currency.", "/currency"))
    refuse_if_any(problems)
    one_at_a_time("quotas.draws")
    rep = Rep.objects.filter(pk=rep_id).first()
    if rep is None:
        raise NotFound.of("rep_not_found", "There is no such rep.", "/rep")
    _refuse_for_oneself(rep, by)
    if rep.left_on is not None and rep.left_on <= starts:
        raise Conflict.of("rep_left", f"{rep.name} left on {formats.day(rep.left_on)}.", "/starts")
    closed = _last_closed(rep, at)
    if closed is not None and starts <= closed.starts:
        raise Conflict.of(
            "month_was_closed",
            f"{closed.name} was closed already and is paid without the draw: begin on {formats.day(closed.ends)} or later.",
            "/starts",
        )
    other = (
        Draw.objects.filter(rep=rep, superseded_at=None, effective__overlap=DateRange(starts, ends))
        .order_by("effective")
        .first()
    )
    if other is not None:
        raise Conflict.of(
            "draw_runs",
            f"{rep.name} has a draw from {formats.day(other.effective.lower)} to {_until(other)}: end it first, or begin later.",
            "/starts",
        )
    acting(by=by, at=at, reason=reason)
    return Draw.objects.create(
        rep=rep,
        amount_minor=amount_minor,
        currency_id=currency,
        recoverable=recoverable,
        effective=DateRange(starts, ends),
        reason=reason.strip(),
        recorded_by=by,
        recorded_at=at,
    )


@transaction.atomic
def end_draw(*, draw_id: int, ends: date, reason: str, by: User, at: datetime) -> Draw | None:
    """Let a draw hold no longer than until *ends*; None where nothing is left of it. What is owed of it stays owed.

    Raises  NotFound, Forbidden, Invalid; Conflict where it is over by then, or a month that would lose it was closed.
    """
    _refuse_unless_comp_admin(by)
    refuse_if_any(_reason_problems(reason))
    one_at_a_time("quotas.draws")
    draw = (
        Draw.objects.select_for_update(of=("self",))
        .select_related("rep")
        .filter(pk=draw_id, superseded_at=None)
        .first()
    )
    if draw is None:
        raise NotFound.of("draw_not_found", "This draw does not stand any more.")
    _refuse_for_oneself(draw.rep, by)
    starts, until = draw.effective.lower, draw.effective.upper
    if until is not None and ends >= until:
        raise Conflict.of("draw_over_by_then", f"The draw ends on {_until(draw)} as it is.", "/ends")
    closed = _last_closed(draw.rep, at)
    if closed is not None and starts <= closed.starts and ends <= closed.starts:
        raise Conflict.of(
            "month_was_closed",
            f"{closed.name} was closed already and is paid with the draw: its last day can be {formats.day(closed.starts)} or later.",
            "/ends",
        )
    acting(by=by, at=at, reason=reason)
    draw.superseded_at = at
    draw.save(update_fields=["superseded_at"])
    if ends <= starts:
        return None
    left = Draw(
        rep=draw.rep,
        amount_minor=draw.amount_minor,
        currency_id=draw.currency_id,
        recoverable=draw.recoverable,
        effective=DateRange(starts, ends),
        reason=draw.reason,
        recorded_by=by,
        recorded_at=at,
    )
    left.save()
    return left


def _last_closed(rep: Rep, at: datetime) -> Period | None:
    """The last month of the rep's calendar that was ever closed, also if it is open again. 2 queries, 5 with several calendars."""
    calendar = calendar_of_rep(rep.pk, day_of(at))
    if calendar is None:
        return None
    closes = PeriodClose.objects.filter(
        state__in=[CloseState.CLOSING, CloseState.CLOSED, CloseState.REOPENED]
    )
    return (
        Period.objects.filter(
            Q(state__in=[PeriodState.CLOSING, PeriodState.CLOSED]) | Q(pk__in=closes.values("period_id")),
            calendar=calendar,
            grain=Grain.MONTH,
        )
        .order_by("-starts")
        .first()
    )


def _until(draw: Draw) -> str:
    return formats.day(draw.effective.upper - timedelta(days=1)) if draw.effective.upper else "further notice"


def _reason_problems(reason: str) -> list[Problem]:
    if not reason.strip():
        return [Problem("reason_needed", "Say why: it is kept with the draw.", "/reason")]
    if len(reason) > 500:
        return [Problem("reason_too_long", "A reason has at most 500 characters.", "/reason")]
    return []


def _refuse_unless_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only a comp admin sets draws.")


def _refuse_for_oneself(rep: Rep, by: User) -> None:
    if rep.user_id == by.pk:
        raise Forbidden.of("own_draw", "Nobody sets a draw of their own: another comp admin has to.")
