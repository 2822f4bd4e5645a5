"""Who stands in for whom, and above which amount two people approve (RULES.md 12.3 and 12.4). Nothing is dated back."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, RoleGrant, User
from config import house as formats
from config import outbox
from config.clock import day_of
from config.language import marked
from config.locks import one_at_a_time
from config.mailing import day, in_english, promise_mail, say
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from marketplace.models import Currency
from quotas.models import LARGEST_AMOUNT_MINOR, ApprovalLimit, Delegation

LONGEST: Final = timedelta(days=366)
LONGEST_REASON: Final = 500
PAGE: Final = "/quotas/delegations/"


@transaction.atomic
def delegate(
    *, of_id: int, to_id: int, starts: date, ends: date, reason: str, by: User, at: datetime
) -> Delegation:
    """Let somebody decide for a manager on the days from *starts* up to, not including, *ends*.

    A manager does it for himself, a comp admin for any manager; nobody makes himself another one's delegate.
    Raises  Forbidden, Invalid with everything that is wrong, Conflict where the days overlap what is there.
    """
    admin = by.has_role(Role.COMP_ADMIN)
    if not admin and not (by.pk == of_id and by.has_role(Role.MANAGER)):
        raise Forbidden.of(
            "not_your_queue", "A manager delegates his own approvals; a comp admin does it for others.", "/of"
        )
    of, to = _decider(of_id, Role.MANAGER), _decider(to_id, Role.MANAGER, Role.COMP_ADMIN)
    refuse_if_any(_problems(of, to, starts, ends, reason, by=by, today=day_of(at)))
    acting(by=by, at=at, reason=reason.strip())
    span = DateRange(starts, ends)
    standing = (
        Delegation.objects.filter(of_id=of_id, superseded_at=None, effective__overlap=span)
        .select_related("of", "to")
        .first()
    )
    if standing is not None:
        raise _overlaps(standing)
    try:
        with transaction.atomic():
            made = Delegation.objects.create(
                of_id=of_id,
                to_id=to_id,
                effective=span,
                reason=reason.strip(),
                recorded_by=by,
                recorded_at=at,
            )
    except IntegrityError as taken:  # somebody else was faster
        if "somebody_delegates_to_one_at_a_time" not in str(taken):
            raise
        standing = (
            Delegation.objects.filter(of_id=of_id, superseded_at=None, effective__overlap=span)
            .select_related("of", "to")
            .first()
        )
        raise (_overlaps(standing) if standing else _gone()) from taken
    assert of is not None  # noqa: S101 -- _problems has refused what is missing
    _tell(
        made,
        [to_id, of_id],
        _decides(made, of),
        made.reason,
        kind="delegated",
        by=by,
        at=at,
    )
    return made


@transaction.atomic
def end_delegation(*, delegation_id: int, by: User, at: datetime, reason: str = "") -> Delegation:
    """End a delegation early, from this moment on; what was decided under it stays. For both of its people and for comp admins.

    Raises  NotFound for anybody else's, Conflict where it has ended.
    """
    found = (
        Delegation.objects.select_for_update(of=("self",))
        .select_related("of", "to")
        .filter(pk=delegation_id)
        .first()
    )
    if found is None or not (by.pk in (found.of_id, found.to_id) or by.has_role(Role.COMP_ADMIN)):
        raise NotFound.of("delegation_not_found", "There is no such delegation.")
    if found.superseded_at is not None or _last(found) < day_of(at):
        raise Conflict.of(
            "delegation_ended", f"{found.to.name} does not decide for {found.of.name} any more."
        )
    acting(by=by, at=at, reason=reason.strip()[:LONGEST_REASON])
    found.superseded_at = at
    found.save(update_fields=["superseded_at"])
    _tell(
        found,
        [found.to_id, found.of_id],
        say(
            marked("%(delegate)s does not decide for %(manager)s any more"),
            delegate=found.to.name,
            manager=found.of.name,
        ),
        "",
        kind="delegation-ended",
        by=by,
        at=at,
    )
    return found


def in_words(delegation: Delegation) -> str:
    """Its days, the last one included."""
    first, last = delegation.effective.lower, _last(delegation)
    if first == last:
        return f"on {formats.day(first)}"
    return f"from {formats.day(first)} to {formats.day(last)}"


def _last(delegation: Delegation) -> date:
    ends: date = delegation.effective.upper
    return ends - timedelta(days=1)


def _decider(user_id: int, *roles: str) -> User | None:
    """A person who may log in and has one of the roles."""
    return User.objects.filter(
        pk=user_id,
        is_active=True,
        is_service=False,
        pk__in=RoleGrant.objects.filter(role__in=roles, withdrawn_at=None).values("user"),
    ).first()


def _problems(
    of: User | None, to: User | None, starts: date, ends: date, reason: str, *, by: User, today: date
) -> Iterable[Problem]:
    if of is None:
        yield Problem("not_a_manager", "Choose a manager: only managers have approvals to delegate.", "/of")
    if to is None:
        yield Problem("cannot_decide", "Choose a manager or a comp admin: nobody else approves deals.", "/to")
    elif of is not None and to.pk == of.pk:
        yield Problem("delegated_to_oneself", "Choose somebody else.", "/to")
    elif to.pk == by.pk:
        yield Problem(
            "own_appointment",
            "You would make yourself the delegate: the manager, or another comp admin, has to do that.",
            "/to",
        )
    if starts < today:
        yield Problem(
            "starts_in_the_past", "A delegation is not dated back: start today or later.", "/starts"
        )
    if ends <= starts:
        yield Problem("ends_before_it_starts", "It ends on its first day or later.", "/ends")
    elif ends - starts > LONGEST:
        yield Problem("too_long", "A delegation lasts a year at most.", "/ends")
    if not reason.strip():
        yield Problem(
            "reason_missing", "Say why, such as annual leave: it stays in the audit trail.", "/reason"
        )
    elif len(reason.strip()) > LONGEST_REASON or "\x00" in reason:
        yield Problem("reason_too_long", f"A reason has at most {LONGEST_REASON} characters.", "/reason")


def _overlaps(standing: Delegation) -> Conflict:
    return Conflict(
        Problem(
            "delegation_overlaps",
            f"{standing.to.name} decides for {standing.of.name} {in_words(standing)} already: end that first, or choose other days.",
            "/starts",
        )
    )


def _gone() -> Conflict:
    return Conflict(Problem("delegation_overlaps", "Another delegation overlaps: load the page again."))


def _decides(made: Delegation, of: User) -> str:
    values = {
        "delegate": made.to.name,
        "manager": of.name,
        "first": day(made.effective.lower),
        "last": day(_last(made)),
    }
    if made.effective.lower == _last(made):
        return say(marked("%(delegate)s decides for %(manager)s on %(first)s"), **values)
    return say(marked("%(delegate)s decides for %(manager)s from %(first)s to %(last)s"), **values)


def _tell(
    delegation: Delegation, to: list[int], what: str, reason: str, *, kind: str, by: User, at: datetime
) -> None:
    """Both people, but whoever did it."""
    text = f"{what}: {reason}" if reason else f"{what}."
    people = [user for user in to if user != by.pk]
    key = f"{kind}:{delegation.pk}"
    outbox.promise(
        topic=NOTIFY,
        key=key,
        payload={"user_ids": people, "key": key, "text": in_english(text)[:300], "url": PAGE},
        at=at,
    )
    promise_mail(
        key=key,
        to=people,
        subject=what,
        text=text,
        link=PAGE,
        why=marked("You get this mail because approvals are delegated to you, or yours to somebody."),
        at=at,
    )


# --- the limit -----------------------------------------------------------------------------------------------


@transaction.atomic
def set_limit(
    *, amount_minor: int | None, currency: str, starts: date, reason: str, by: User, at: datetime
) -> ApprovalLimit | None:
    """From *starts* on, deals above the amount need two approvals; None lifts the limit from that day. What was decided stays.

    amount_minor  Minor units of *currency*.
    Returns       The limit; None where it was lifted.
    Raises        Forbidden, Invalid, Conflict where nothing would change.
    """
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of(
            "not_a_comp_admin", "Only a comp admin says from which amount on two people approve."
        )
    refuse_if_any(_limit_problems(amount_minor, currency, starts, reason, today=day_of(at)))
    one_at_a_time("quotas.approval_limit")
    acting(by=by, at=at, reason=reason.strip())
    following = list(
        ApprovalLimit.objects.select_for_update()
        .filter(superseded_at=None, effective__overlap=DateRange(starts, None))
        .order_by("effective")
    )
    same = [(limit.amount_minor, limit.currency_id) for limit in following]
    if (amount_minor is None and not same) or (
        same == [(amount_minor, currency)] and following[0].effective.lower <= starts
    ):
        raise Conflict.of("nothing_changed", "This is so already.", "/amount")
    for limit in following:
        limit.superseded_at = at
        limit.save(update_fields=["superseded_at"])
        if limit.effective.lower < starts:
            ApprovalLimit.objects.create(
                amount_minor=limit.amount_minor,
                currency_id=limit.currency_id,
                effective=DateRange(limit.effective.lower, starts),
                recorded_by=by,
                recorded_at=at,
            )
    made = None
    if amount_minor is not None:
        made = ApprovalLimit.objects.create(
            amount_minor=amount_minor,
            currency_id=currency,
            effective=DateRange(starts, None),
            recorded_by=by,
            recorded_at=at,
        )
    _tell_the_others(made, starts, reason, by=by, at=at)
    return made


def _limit_problems(
    amount_minor: int | None, currency: str, starts: date, reason: str, *, today: date
) -> Iterable[Problem]:
    if amount_minor is not None:
        if not 0 < amount_minor <= LARGEST_AMOUNT_MINOR:
            yield Problem("limit_out_of_range", "A limit is above zero.", "/amount")
        if not Currency.objects.filter(code=currency).exists():
            yield Problem("unknown_currency", "Say the currency of the limit.", "/currency")
    if starts < today:
        yield Problem("starts_in_the_past", "A limit is not dated back: start today or later.", "/starts")
    if not reason.strip():
        yield Problem("reason_missing", "Say why: it stays in the audit trail.", "/reason")
    elif len(reason.strip()) > LONGEST_REASON or "\x00" in reason:
        yield Problem("reason_too_long", f"A reason has at most {LONGEST_REASON} characters.", "/reason")


def _tell_the_others(
    limit: ApprovalLimit | None, starts: date, reason: str, *, by: User, at: datetime
) -> None:
    """The other comp admins hear of it: whoever moves the limit decides how many people look at a deal."""
    others = list(
        RoleGrant.objects.filter(role=Role.COMP_ADMIN, withdrawn_at=None, user__is_active=True)
        .exclude(user=by)
        .values_list("user_id", flat=True)
    )
    if not others:
        return
    what = (
        f"{by.name} lifted the approval limit from {formats.day(starts)} on: {reason.strip()}"
        if limit is None
        else f"From {formats.day(starts)} on two people approve deals above {formats.money(limit.amount_minor, limit.currency_id, limit.currency.exponent, trim=True)}, says {by.name}: {reason.strip()}"
    )
    key = f"approval-limit:{at.isoformat()}"
    outbox.promise(
        topic=NOTIFY,
        key=key,
        payload={"user_ids": others, "key": key, "text": what[:300], "url": PAGE},
        at=at,
    )
