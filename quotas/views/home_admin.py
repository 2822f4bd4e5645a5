"""The home of a comp admin: months to close and what blocks them, what needs a second person, what runs, whether parity holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.models import User
from config import clock, formats
from config.language import _, ngettext
from config.models import Job, JobState
from config.pages import Homes
from quotas.models import (
    Adjustment,
    CloseState,
    ParityProof,
    ParityVerdict,
    Period,
    PeriodClose,
    PlanState,
    PlanVersion,
)
from quotas.selectors import closing, discrepancies, periods, recredits
from quotas.selectors import disputes as disputing
from quotas.selectors import home as selectors
from quotas.selectors.closing import Item
from quotas.selectors.parity import Between, newest_proof, rules_digest_of
from quotas.selectors.plans import SIMULATE
from quotas.selectors.visibility import deals_for
from quotas.services import auditing, statements
from quotas.services.importing import desk
from quotas.views import Writer, signed_in, wants_part
from quotas.views.approvals import waiting_count
from quotas.views.home_manager import Fact, asked

JOBS: Final = 6
DISPUTES: Final = 4
ROWS: Final = 6
CHECKLIST: Final = "close-part"  # the part of the page that asks for itself


@dataclass(frozen=True, slots=True)
class Second:
    """Something that one person began and another has to end. mine: this person cannot be the second."""

    text: str
    detail: str
    url: str
    since: datetime
    mine: bool


@dataclass(frozen=True, slots=True)
class Running:
    """Work under way, that has failed lately or was done last, and where it is looked at."""

    job: Job
    url: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The newest verdicts of a period. current: they are about the rules in force."""

    proof: ParityProof
    current: bool

    @property
    def holds(self) -> bool:
        refused = ParityVerdict.REFUSED
        return refused not in (self.proof.rules_verdict, self.proof.eligibility_verdict)


def admin_home(request: HttpRequest, homes: Homes) -> HttpResponse:
    """A fixed number of queries. The checklist of the next close passes over a month's entries: the page asks for it apart."""
    user, today, at = signed_in(request), clock.today(), clock.now()
    every = periods.Calendars().every
    nexts = closing.next_to_close(calendar.pk for calendar in every)
    due = [month for month in nexts if month.ends <= today]
    if _wants_checklist(request):
        items = closing.checklist(due[0], at=at) if due else []
        context = {"month": due[0] if due else None, **_sorted(items)}
        return render(request, "quotas/_home_close.html", context)
    work = selectors.months_at_work(today)
    standing = closing.standing_closes(calendar.pk for calendar in every)
    period = periods.current_period(today)
    waiting = disputing.most_urgent_first(disputing.with_names(disputing.waiting_for(user, today)))
    plans = selectors.plans_at_work()
    second = _second(user, standing.values(), plans)
    context = {
        "homes": homes,
        "at": at,
        "today": today,
        "months": [(month, standing.get(month.pk)) for month in work.due],
        "running": work.running,
        "next": due[0] if due else None,
        "last": [closed for calendar in every if (closed := closing.last_closed(calendar.pk))],
        "jobs": _jobs(at),
        "plans": [version for version in plans if version.state == PlanState.DRAFT],
        "second": second[:ROWS],
        "second_all": len(second),
        "period": period,
        "proof": _proof(period) if period else None,
        "disputes": asked(waiting[:DISPUTES], at),
        "disputes_all": waiting.count(),
        "facts": _facts(request, user, today),
    }
    return render(request, "quotas/home_admin.html", context)


def _wants_checklist(request: Any) -> bool:
    return wants_part(request) and request.htmx.target == CHECKLIST


def _sorted(items: Sequence[Item]) -> dict[str, Any]:
    return {
        "blockers": closing.blockers(items),
        "acknowledge": closing.to_acknowledge(items),
        "fine": sum(item.state == closing.OK for item in items),
    }


def _proof(period: Period) -> Proof | None:
    """The last that was kept, and whether the rules are still those. 2 queries and the rules."""
    found = newest_proof(period, Between("origin"))
    return Proof(found, found.rules_digest == rules_digest_of(period)) if found else None


# --- a second person --------------------------------------------------------------------------------------


def _second(user: User, closes: Iterable[PeriodClose], plans: Sequence[PlanVersion]) -> list[Second]:
    """What waits for another person than who began it, what this person can do first, the longest waiting before. 3 queries."""
    found = [_adjustment(each, user) for each in selectors.adjustments_asked()]
    found += [_close(each, user) for each in closes if each.state == CloseState.ASKED]
    for version in plans:
        if version.state == PlanState.IN_REVIEW and version.review_asked_at is not None:
            found.append(
                Second(
                    _("Publish %(version)s") % {"version": version},
                    _("asked by %(name)s") % {"name": str(version.review_asked_by)},
                    reverse("quotas:plan-version", args=[version.plan.slug, version.number]),
                    version.review_asked_at,
                    user.pk in (version.drafted_by_id, version.review_asked_by_id),
                )
            )
    for exception in selectors.exceptions_asked():
        found.append(
            Second(
                _("Approve a parity exception"),
                _("asked by %(name)s") % {"name": exception.asked_by.name},
                reverse("quotas:parity"),
                exception.asked_at,
                exception.asked_by_id == user.pk,
            )
        )
    for policy in selectors.policies_drafted():
        found.append(
            Second(
                _("Publish the policy %(name)s") % {"name": policy.name},
                _("drafted by %(name)s") % {"name": policy.drafted_by.name},
                reverse("quotas:policies"),
                policy.drafted_at,
                policy.drafted_by_id == user.pk,
            )
        )
    return sorted(found, key=lambda each: (each.mine, each.since))


def _adjustment(each: Adjustment, user: User) -> Second:
    amount = Writer.of(each.measure).compact(each.amount_minor)
    return Second(
        _("Decide on %(adjustment)s: %(amount)s for %(rep)s")
        % {"adjustment": each.reference, "amount": amount, "rep": each.rep.name},
        _("asked by %(name)s") % {"name": each.asked_by.name},
        reverse("quotas:adjustment", args=[each.pk]),
        each.asked_at,
        user.pk in (each.asked_by_id, each.rep.user_id),
    )


def _close(close: PeriodClose, user: User) -> Second:
    return Second(
        _("Close %(month)s") % {"month": close.period.name},
        _("asked by %(name)s") % {"name": close.asked_by.name},
        reverse("quotas:period", args=[close.period.name]),
        close.asked_at,
        close.asked_by_id == user.pk,
    )


# --- what runs, and what is out of order ------------------------------------------------------------------


def _jobs(at: datetime) -> list[Running]:
    """Under way, and failed within a day, the latest first; then what was done last, as far as there is room. 2 queries."""
    since = at - timedelta(days=1)
    # Without what they found, which may be long.
    every = Job.objects.select_related("requested_by", "progress").defer("cursor", "result").order_by("-pk")
    now = every.filter(
        Q(state__in=[JobState.WAITING, JobState.RUNNING]) | Q(state=JobState.FAILED, finished_at__gte=since)
    )
    done = every.filter(state=JobState.DONE)
    return [Running(job, _page_of(job)) for job in [*now[:JOBS], *done[:JOBS]][:JOBS]]


def _page_of(job: Job) -> str:
    """Where a job is looked at; nothing for one that has no page."""
    match job.kind:
        case recredits.KIND:
            return reverse("quotas:recredit", args=[job.pk])
        case desk.KIND:
            return reverse("quotas:imports")
        case closing.KIND:
            return reverse("quotas:periods")
        case auditing.VERIFICATION | auditing.PACK:
            return reverse("quotas:audit")
        case statements.PACK:
            return reverse("quotas:statements")
    return reverse("quotas:whatif-runs") if job.kind == SIMULATE else ""


def _facts(request: HttpRequest, user: User, today: date) -> list[Fact]:
    """Only what is so."""
    found = []
    if deals := waiting_count(request):
        found.append(
            Fact(
                ngettext("%(n)s deal waits for your approval", "%(n)s deals wait for your approval", deals)
                % {"n": formats.whole(deals)},
                _("Above the approval limit, or without a manager who may."),
                formats.whole(deals),
                reverse("quotas:approvals"),
                "warn",
            )
        )
    if held := selectors.held_deals(deals_for(user, today)).count():
        found.append(
            Fact(
                ngettext("%(n)s deal is held", "%(n)s deals are held", held) % {"n": formats.whole(held)},
                _("Approved, and out of attainment until released."),
                formats.whole(held),
                reverse("quotas:deals") + "?state=held",
                "warn",
            )
        )
    moved = discrepancies.discrepancies_for(user, today).filter(seen_at=None).count()
    if moved:
        found.append(
            Fact(
                ngettext(
                    "%(n)s number moved and was not looked at",
                    "%(n)s numbers moved and were not looked at",
                    moved,
                )
                % {"n": formats.whole(moved)},
                _("After somebody had seen them."),
                formats.whole(moved),
                reverse("quotas:discrepancies"),
                "warn",
            )
        )
    return found
