"""What has to be seen to before a month is closed, and where what comes late will go. See quotas/RULES.md 14.2 and 14.3."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.urls import NoReverseMatch, reverse

from accounts.models import Role, RoleGrant
from config import house as formats
from config.clock import day_of
from config.models import Job, JobState
from quotas.models import (
    Adjustment,
    AdjustmentState,
    CloseState,
    Deal,
    DealKind,
    DealState,
    Dispute,
    DisputeState,
    Grain,
    ParityVerdict,
    Period,
    PeriodClose,
    PeriodState,
    Reason,
    UncreditedLine,
)
from quotas.selectors import recredits
from quotas.selectors.deals import Expected, expected_credit, with_facts
from quotas.selectors.parity import Between, newest_proof, rules_digest_of
from quotas.selectors.snapshots import holding

KIND: Final = "quotas.close"  # of the jobs that close
POSTING_JOBS: Final = (recredits.KIND, "quotas.import")
MOST_SHOWN: Final = 20
OK, BLOCKER, ACKNOWLEDGE = "ok", "blocker", "acknowledge"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on the checklist.

    slug      Its stable name, by which it is acknowledged.
    state     ok, blocker (has to be mended first) or acknowledge (somebody has to have seen it).
    sentence  What was found, in one sentence.
    count     How many, where something is counted.
    url       Where it is mended or looked at; link is what that is called.
    reason    Whether acknowledging it needs a reason.
    """

    slug: str
    title: str
    state: str
    sentence: str
    count: int = 0
    url: str = ""
    link: str = ""
    reason: bool = False

    def told(self) -> dict[str, Any]:
        """As it is kept with the close."""
        kept = asdict(self)
        for name in ("url", "link", "reason"):
            del kept[name]
        return kept


def checklist(month: Period, *, at: datetime) -> list[Item]:
    """Everything, blockers or not, in the order in which it is seen to. A fixed number of queries; two pass over the month's entries."""
    if month.grain != Grain.MONTH:
        raise ValueError(f"{month} is no month: months are what closes.")
    return [check(month, at) for check in _CHECKS]


def blockers(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.state == BLOCKER]


def to_acknowledge(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.state == ACKNOWLEDGE]


# --- the checks -------------------------------------------------------------------------------------------


def _prior(month: Period, _at: datetime) -> Item:
    title = "Earlier months are closed"
    earlier = list(
        _months(month)
        .filter(starts__lt=month.starts)
        .exclude(state=PeriodState.CLOSED)
        .order_by("starts")
        .values_list("name", flat=True)
    )
    if not earlier:
        return Item("prior-months", title, OK, "Every month before it is closed.")
    first = earlier[0]
    said = (
        f"{first} comes before it and is not closed."
        if len(earlier) == 1
        else (f"{len(earlier)} months before it are not closed, from {first} on.")
    )
    return Item(
        "prior-months", title, BLOCKER, said, len(earlier), _url("quotas:period", first), f"Close {first}"
    )


def _next(month: Period, _at: datetime) -> Item:
    title = "The next month is open"
    following = _months(month).filter(starts=month.ends).first()
    if following is None:
        said = f"There is no month after {month.name}: what comes late has nowhere to go."
        return Item(
            "next-month",
            title,
            BLOCKER,
            said,
            url=_url("quotas:periods") + "#open",
            link="Open the next year",
        )
    if following.state != PeriodState.OPEN:
        state = following.get_state_display().lower()
        said = f"{following.name} is {state}: what comes late has nowhere to go."
        where = _url("quotas:period", following.name)
        return Item("next-month", title, BLOCKER, said, url=where, link=f"Open {following.name}")
    return Item("next-month", title, OK, f"{following.name} takes what comes late.")


def _over(month: Period, at: datetime) -> Item:
    title = "The month is over"
    today = today_in(month, at)
    if today < month.ends:
        return Item(
            "month-over",
            title,
            BLOCKER,
            f"It ends before {formats.day(month.ends)}; today is {formats.day(today)}.",
        )
    return Item("month-over", title, OK, f"It ended before {formats.day(month.ends)}.")


def _submitted(month: Period, _at: datetime) -> Item:
    found = dated(month).filter(state=DealState.SUBMITTED).count()
    return _counted(
        *("deals-waiting", "No deal waits for approval", BLOCKER, found),
        *("{n} deal dated in it waits for a decision.", "{n} deals dated in it wait for a decision."),
        "Every deal dated in it is decided.",
        url=_deals(month, "submitted"),
        link="The deals",
    )


def _amended(month: Period, _at: datetime) -> Item:
    inside = Q(latest_version__close_date__gte=month.starts, latest_version__close_date__lt=month.ends)
    inside |= Q(credited_version__close_date__gte=month.starts, credited_version__close_date__lt=month.ends)
    found = Deal.objects.filter(inside, calendar=month.calendar_id, amended_at__isnull=False).count()
    return _counted(
        *("amendments-waiting", "No amendment waits", BLOCKER, found),
        *(
            "{n} amendment from, into or within it waits for a decision.",
            "{n} amendments from, into or within it wait for a decision.",
        ),
        "No amendment from, into or within it waits.",
        url=_deals(month, "amended"),
        link="The amendments",
    )


def _adjustments(month: Period, _at: datetime) -> Item:
    found = Adjustment.objects.filter(state=AdjustmentState.ASKED, origin_period=month).count()
    return _counted(
        *("adjustments-waiting", "No adjustment waits", BLOCKER, found),
        *(
            "{n} adjustment of it waits for a second person.",
            "{n} adjustments of it wait for a second person.",
        ),
        "No adjustment of it waits.",
        url=_url("quotas:adjustments"),
        link="Adjustments",
    )


def _jobs(_month: Period, _at: datetime) -> Item:
    found = Job.objects.filter(
        kind__in=POSTING_JOBS, state__in=[JobState.WAITING, JobState.RUNNING]
    ).values_list("title", flat=True)
    titles = list(found[:100])
    title = "Nothing is being posted"
    if not titles:
        return Item("runs", title, OK, "No recredit run and no import is under way.")
    more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    said = f"“{titles[0]}”{more} is under way: wait until it is done."
    return Item(
        "runs", title, BLOCKER, said, len(titles), _url("quotas:recredits") + "?state=running", "The runs"
    )


def _ledger(month: Period, _at: datetime) -> Item:
    title, where = "The ledger holds", _url("quotas:ledger")
    wrong = _totals_off(month)
    if wrong:
        said = f"{wrong:,} totals of it are not what its entries come to: have the ledger verified."
        return Item("ledger", title, BLOCKER, said, wrong, where, "Ledger")
    lost = _without_reason(month)
    if lost:
        said = f"{lost:,} lines dated in it have neither credit nor a reason: have the ledger verified."
        return Item("ledger", title, BLOCKER, said, lost, where, "Ledger")
    return Item(
        "ledger",
        title,
        OK,
        "Its totals are what its entries come to, and every line has credit or a reason.",
    )


def _parity(month: Period, _at: datetime) -> Item:
    title = "Parity is proved"
    where = f"{_url('quotas:parity')}?period={month.name}"
    proof = newest_proof(month, Between("origin"))
    if proof is None:
        said = "Nobody has kept a proof of parity of it."
        return Item("parity", title, BLOCKER, said, url=where, link="Prove it")
    made = f"The proof of {formats.day(day_of(proof.made_at))}"
    if proof.rules_digest != rules_digest_of(month):
        said = f"{made} was made under other rules than those in force now."
        return Item("parity", title, BLOCKER, said, url=where, link="Prove it again")
    last = last_posted(month)
    if last is not None and last > proof.made_at:
        said = f"{made} was made before the last posting of the month."
        return Item("parity", title, BLOCKER, said, url=where, link="Prove it again")
    refused = [
        name
        for name, verdict in (("rules", proof.rules_verdict), ("eligibility", proof.eligibility_verdict))
        if verdict == ParityVerdict.REFUSED
    ]
    if refused:
        said = f"{made} refuses {' and '.join(refused)}: some offerings earn less than their twins, without an exception."
        return Item("parity", title, ACKNOWLEDGE, said, len(refused), where, "The proof", reason=True)
    return Item("parity", title, OK, f"{made} passes.", url=where, link="The proof")


def _drafts(month: Period, _at: datetime) -> Item:
    found = dated(month).filter(state__in=[DealState.DRAFT, DealState.RETURNED]).count()
    return _counted(
        *("drafts", "Drafts", ACKNOWLEDGE, found),
        *(
            "{n} draft or returned deal is dated in it: once it is closed, that needs a date in an open month.",
            "{n} drafts and returned deals are dated in it: once it is closed, they need a date in an open month.",
        ),
        "No draft is dated in it.",
        url=_deals(month, "draft"),
        link="The drafts",
    )


def _estimates(month: Period, _at: datetime) -> Item:
    found = (
        Deal.objects.filter(
            _inside("credited_version", month),
            calendar=month.calendar_id,
            state=DealState.APPROVED,
            credited_version__kind=DealKind.CONSUMPTION,
            credited_version__lines__billed_minor=None,
        )
        .distinct()
        .count()
    )
    return _counted(
        *("estimates", "Consumption is billed", ACKNOWLEDGE, found),
        *(
            "The usage of {n} customer is an estimate: the bill's true-up goes to a later month.",
            "The usage of {n} customers is an estimate: the bills' true-ups go to a later month.",
        ),
        "All of its usage is billed.",
        url=_url("quotas:usage"),
        link="Usage",
    )


def _holds(month: Period, _at: datetime) -> Item:
    found = dated(month, of="credited_version").filter(state=DealState.APPROVED, held=True).count()
    return _counted(
        *("holds", "Held deals", ACKNOWLEDGE, found),
        *("{n} deal of it is held and earns nothing.", "{n} deals of it are held and earn nothing."),
        "No deal of it is held.",
        url=_deals(month, "held"),
        link="The held deals",
    )


def _uncredited(month: Period, _at: datetime) -> Item:
    """By reason; held deals are another item."""
    rows = (
        UncreditedLine.objects.filter(
            _inside("deal__credited_version", month),
            deal__state=DealState.APPROVED,
            deal__calendar=month.calendar_id,
        )
        .exclude(reason=Reason.HELD)
        .values("reason")
        .annotate(lines=Count("pk"))
        .order_by("-lines", "reason")
    )
    by_reason = [(Reason(row["reason"]).label, row["lines"]) for row in rows]
    found = sum(lines for _, lines in by_reason)
    told = "; ".join(f"{lines:,} × {label[0].lower()}{label[1:]}" for label, lines in by_reason)
    return _counted(
        *("without-credit", "Lines without credit", ACKNOWLEDGE, found),
        *(f"{{n}} credit is missing: {told}.", f"{{n}} credits are missing: {told}."),
        "Every line of it earns what it can.",
        url=_deals(month, "approved"),
        link="Its deals",
    )


def _no_quota(month: Period, _at: datetime) -> Item:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(DISTINCT t.rep_id) FROM quotas_credittotal t
             WHERE t.period_id = %(month)s AND t.basis = 1 AND (t.direct_minor <> 0 OR t.overlay_minor <> 0)
               AND NOT EXISTS (SELECT FROM quotas_quota q WHERE q.rep_id = t.rep_id AND q.superseded_at IS NULL
                                 AND q.period_id = ANY(%(periods)s))""",
            {"month": month.pk, "periods": holding(month)},
        )
        ((found,),) = cursor.fetchall()
    return _counted(
        *("no-quota", "Reps without a quota", ACKNOWLEDGE, found),
        *(
            "{n} rep has credit in it and no quota for it or for a period that holds it.",
            "{n} reps have credit in it and no quota for it or for a period that holds it.",
        ),
        "Everybody with credit has a quota.",
        url=_url("quotas:quotas"),
        link="Quotas",
    )


def _disputes(month: Period, _at: datetime) -> Item:
    about = Q(period__in=holding(month)) | _inside("deal__credited_version", month)
    found = Dispute.objects.filter(about, state__in=[DisputeState.OPEN, DisputeState.IN_REVIEW]).count()
    return _counted(
        *("disputes", "Open disputes", ACKNOWLEDGE, found),
        *(
            "{n} dispute about it is open: what it leads to goes to a later month.",
            "{n} disputes about it are open: what they lead to goes to a later month.",
        ),
        "No dispute about it is open.",
        url=_url("quotas:disputes"),
        link="Disputes",
    )


_CHECKS: Final[Sequence[Callable[[Period, datetime], Item]]] = (
    _over,
    _prior,
    _next,
    _submitted,
    _amended,
    _adjustments,
    _jobs,
    _ledger,
    _parity,
    _drafts,
    _estimates,
    _holds,
    _uncredited,
    _no_quota,
    _disputes,
)


def _counted(
    slug: str, title: str, state: str, count: int, one: str, many: str, none: str, *, url: str, link: str
) -> Item:
    if not count:
        return Item(slug, title, OK, none)
    return Item(slug, title, state, (one if count == 1 else many).format(n=f"{count:,}"), count, url, link)


# --- what they look at ------------------------------------------------------------------------------------


def today_in(month: Period, at: datetime) -> date:
    """The business date in the month's own calendar."""
    return at.astimezone(ZoneInfo(month.calendar.time_zone)).date()


def dated(month: Period, *, of: str = "latest_version") -> QuerySet[Deal]:
    """Deals of the month's calendar that are dated in it."""
    return Deal.objects.filter(_inside(of, month), calendar=month.calendar_id)


def last_posted(month: Period) -> datetime | None:
    """When the last of the month's entries was recorded. One pass over them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(p.recorded_at) FROM quotas_posting p WHERE p.id IN"
            " (SELECT DISTINCT posting_id FROM quotas_creditentry WHERE posting_period_id = %s)",
            [month.pk],
        )
        ((last,),) = cursor.fetchall()
        return last if isinstance(last, datetime) else None


def _inside(version: str, month: Period) -> Q:
    return Q(**{f"{version}__close_date__gte": month.starts, f"{version}__close_date__lt": month.ends})


def _months(month: Period) -> QuerySet[Period]:
    return Period.objects.filter(calendar=month.calendar_id, grain=Grain.MONTH)


def _totals_off(month: Period) -> int:
    """Reported totals of the month that its entries do not come to. One pass over them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH told AS (
              SELECT measure_id, team_id, rep_id, sum(CASE receiver_class WHEN 1 THEN amount_minor ELSE 0 END)::bigint direct,
                     sum(CASE receiver_class WHEN 1 THEN 0 ELSE amount_minor END)::bigint overlay
                FROM quotas_creditentry WHERE posting_period_id = %(month)s GROUP BY measure_id, team_id, rep_id),
            kept AS (SELECT * FROM quotas_credittotal WHERE period_id = %(month)s AND basis = 1)
            SELECT count(*) FROM told t FULL JOIN kept k ON k.measure_id = t.measure_id AND k.team_id = t.team_id AND k.rep_id = t.rep_id
             WHERE coalesce(t.direct, 0) <> coalesce(k.direct_minor, 0) OR coalesce(t.overlay, 0) <> coalesce(k.overlay_minor, 0)""",
            {"month": month.pk},
        )
        ((wrong,),) = cursor.fetchall()
        return int(wrong)


def _without_reason(month: Period) -> int:
    """Lines of approved deals dated in the month that have neither credit, in it or later, nor a reason."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM quotas_dealversion v JOIN quotas_deal d ON d.credited_version_id = v.id AND d.calendar_id = %(calendar)s
              JOIN quotas_dealline l ON l.version_id = v.id
             WHERE v.close_date >= %(starts)s AND v.close_date < %(ends)s AND d.state = 'approved'
               AND NOT EXISTS (SELECT FROM quotas_creditentry e WHERE e.deal_id = d.id AND e.line_no = l.line_no
                                 AND e.posting_period_id = ANY(%(from_it_on)s))
               AND NOT EXISTS (SELECT FROM quotas_uncreditedline u WHERE u.deal_id = d.id AND u.line_no = l.line_no)""",
            {
                "calendar": month.calendar_id,
                "starts": month.starts,
                "ends": month.ends,
                "from_it_on": list(
                    _months(month).filter(starts__gte=month.starts).values_list("pk", flat=True)
                ),
            },
        )
        ((lost,),) = cursor.fetchall()
        return int(lost)


def _url(name: str, *args: Any) -> str:
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


def _deals(month: Period, state: str) -> str:
    return f"{_url('quotas:deals')}?state={state}&period={month.name}"


# --- what comes late --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Late:
    """What is dated in a month and would be credited late, and the month that takes it once this one is closed.

    goes_to  None: no later month is open.
    deals    Held and submitted ones, each with what it would earn; count says how many there are.
    """

    goes_to: Period | None
    count: int
    deals: Sequence[tuple[Deal, Expected]]
    adjustments: int
    estimates: int

    @property
    def any(self) -> bool:
        return bool(self.count or self.adjustments or self.estimates)


def late_entries(month: Period, items: Sequence[Item]) -> Late:
    """A preview of what would be credited late. One run of the engine over the deals shown, and a fixed number of queries."""
    counts = {item.slug: item.count for item in items}
    waiting = dated(month).filter(Q(state=DealState.SUBMITTED) | Q(state=DealState.APPROVED, held=True))
    shown = list(with_facts(waiting).order_by("-state", "-pk")[:MOST_SHOWN])
    expected = expected_credit(shown)
    following = _months(month).filter(starts__gte=month.ends, state=PeriodState.OPEN)
    return Late(
        goes_to=following.order_by("starts").first(),
        count=waiting.count() if len(shown) == MOST_SHOWN else len(shown),
        deals=[(deal, expected[deal.pk]) for deal in shown],
        adjustments=counts.get("adjustments-waiting", 0),
        estimates=counts.get("estimates", 0),
    )


# --- closes -----------------------------------------------------------------------------------------------


def closes() -> QuerySet[PeriodClose]:
    """Every close and request, the latest first, with whoever had a part in it."""
    return PeriodClose.objects.select_related(
        "period__calendar", "asked_by", "approved_by", "reopen_asked_by", "reopened_by", "job"
    ).order_by("-pk")


def standing(month: Period) -> PeriodClose | None:
    """What the month waits for, or was closed by; None while it is open. 1 query."""
    return (
        closes()
        .filter(period=month, state__in=[CloseState.ASKED, CloseState.CLOSING, CloseState.CLOSED])
        .first()
    )


def standing_closes(calendar_ids: Iterable[int]) -> dict[int, PeriodClose]:
    """Month to its standing close, of some calendars. 1 query."""
    found = closes().filter(
        period__calendar__in=list(calendar_ids),
        state__in=[CloseState.ASKED, CloseState.CLOSING, CloseState.CLOSED],
    )
    return {close.period_id: close for close in found.prefetch_related("seals")}


def last_closed(calendar_id: int) -> Period | None:
    """The month that can be reopened: the last closed one. 1 query."""
    return (
        Period.objects.filter(calendar=calendar_id, grain=Grain.MONTH, state=PeriodState.CLOSED)
        .order_by("-starts")
        .first()
    )


def next_to_close(calendar_ids: Iterable[int]) -> list[Period]:
    """Of each calendar the first month that is open or being closed. 1 query."""
    return list(
        Period.objects.filter(
            calendar__in=list(calendar_ids),
            grain=Grain.MONTH,
            state__in=[PeriodState.OPEN, PeriodState.CLOSING],
        )
        .select_related("calendar")
        .order_by("calendar_id", "starts")
        .distinct("calendar_id")
    )


def people_with(*roles: str) -> list[int]:
    """Users who hold one of these roles. 1 query."""
    return sorted(
        set(
            RoleGrant.objects.filter(
                role__in=roles, withdrawn_at=None, user__is_active=True, user__is_service=False
            ).values_list("user_id", flat=True)
        )
    )


def sees_closes(user: Any) -> bool:
    return bool(user.has_role(Role.COMP_ADMIN, Role.AUDITOR))


@dataclass(frozen=True, slots=True)
class Difference:
    """A rep's total of the month in one measure under two closes of it; minor units."""

    rep_id: int
    rep: str
    measure_id: int
    before: int
    after: int

    @property
    def moved(self) -> int:
        return self.after - self.before


def between_versions(
    before: PeriodClose, after: PeriodClose, *, most: int = MOST_SHOWN
) -> tuple[list[Difference], int]:
    """The largest differences between two closes of a month as reported, direct and overlay together; and how many there are. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH sums AS (
              SELECT measure_id, rep_id,
                     sum(CASE close_id WHEN %(before)s THEN direct_minor + overlay_minor ELSE 0 END)::bigint before,
                     sum(CASE close_id WHEN %(after)s THEN direct_minor + overlay_minor ELSE 0 END)::bigint after
                FROM quotas_closedtotal WHERE close_id IN (%(before)s, %(after)s) AND period_id = %(month)s AND basis = 1
               GROUP BY measure_id, rep_id)
            SELECT s.rep_id, r.name, s.measure_id, s.before, s.after, count(*) OVER ()
              FROM sums s JOIN quotas_rep r ON r.id = s.rep_id WHERE s.before <> s.after
             ORDER BY abs(s.after - s.before) DESC, s.rep_id, s.measure_id LIMIT %(most)s""",
            {"before": before.pk, "after": after.pk, "month": after.period_id, "most": most},
        )
        rows = cursor.fetchall()
    return [Difference(*row[:-1]) for row in rows], rows[0][-1] if rows else 0


def said_acknowledgements(close: PeriodClose) -> Iterator[Mapping[str, Any]]:
    """What stood on the list when the close was approved and somebody answered for."""
    return (item for item in close.checklist if item["state"] == ACKNOWLEDGE)
