"""Pages: coming in, going out, my notifications, and the audit trail for those who review."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import trail
from accounts.audit import acting
from accounts.digests import set_mail
from accounts.forms import LogInForm, PreferencesForm, TrailFilters
from accounts.models import AuditEvent, Notification, User
from accounts.services import set_preferences
from config import clock, exporting, formats, locales, mailing
from config.first_steps import steps_for
from config.language import _, later, spoken
from config.lists import hidden_in
from config.ordering import Orders
from config.pages import STARTS
from config.rest.pagination import Keyset, Place
from config.rest.problems import BadQuery

PAGE: Final = 50
REVIEWERS: Final = ("comp_admin", "auditor")
NEWEST_FIRST: Final = ("-id",)
TRAIL: Final = Orders(AuditEvent, "-when", when=("id",), what=("table", "row", "id"))

DEMO_LOGINS: Final = (
    ("rep", later("Sales rep"), "rep@demo.example", later("Log a deal, see its credit, find your rank")),
    (
        "manager",
        later("Sales manager"),
        "manager@demo.example",
        later("Approve deals, watch the team's attainment"),
    ),
    (
        "comp_admin",
        later("Comp admin"),
        "admin@demo.example",
        later("Own the rules, close periods, prove parity"),
    ),
    (
        "catalog_manager",
        later("Catalog manager"),
        "catalog@demo.example",
        later("Publish offerings, decide what counts"),
    ),
    (
        "partner",
        later("Partner"),
        "partner@demo.example",
        later("Change your own offerings, see your deals, nobody else's"),
    ),
    (
        "sourcing_lead",
        later("Sourcing lead"),
        "sourcing@demo.example",
        later("See whose models run what, and what is owed"),
    ),
    (
        "engineer",
        later("Engineer"),
        "engineer@demo.example",
        later("Vote blind on answers, see which model suits which task"),
    ),
)


class LogIn(LoginView):
    """The first page. In demo mode it has one button per role."""

    template_name = "accounts/login.html"
    authentication_form = LogInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        logins = [dict(zip(("role", "label", "email", "does"), one, strict=True)) for one in DEMO_LOGINS]
        return super().get_context_data(demo_logins=logins if settings.DEMO_MODE else [], **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        answer = super().form_invalid(form)
        too_often = form.has_error("__all__", "too_many_tries")
        answer.status_code = 429 if too_often else 422
        return answer


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponseRedirect(resolve_url(settings.LOGOUT_REDIRECT_URL))


@require_safe
@login_required
def notifications(request: HttpRequest) -> HttpResponse:
    """What happened to me, newest first."""
    order = Keyset(Notification, NEWEST_FIRST)
    rows, before, behind = order.page(_mine(request).notifications.all(), _place(request, order), PAGE)
    off = _mine(request).mails_off
    context = {
        "rows": rows,
        "previous": _link(order, before),
        "next": _link(order, behind),
        "mails": [(kind, spoken(text), kind not in off) for kind, text in mailing.OPTIONAL.items()],
    }
    return render(request, "accounts/notifications.html", context)


@require_POST
@login_required
def mark_read(request: HttpRequest) -> HttpResponse:
    """One notification by its id, or all of them; somebody else's are not touched."""
    unread = _mine(request).notifications.filter(read_at=None)
    chosen = request.POST.get("id", "")
    if chosen:
        unread = (
            unread.filter(pk=int(chosen))
            if chosen.isascii() and chosen.isdigit() and len(chosen) < 19
            else unread.none()
        )
    unread.update(read_at=clock.now())
    return HttpResponseRedirect(resolve_url("accounts:notifications"))


@require_POST
@login_required
def first_steps(request: HttpRequest) -> HttpResponse:
    """Tick off a first step and go there, or hide them all."""
    user = _mine(request)
    known = {
        step.slug: step for role, _start in STARTS if role in user.role_names for step in steps_for(role)
    }
    step = known.get(request.POST.get("step", ""))
    with transaction.atomic():
        acting(by=user, at=clock.now(), reason="First steps")
        if request.POST.get("hide"):
            User.objects.filter(pk=user.pk).update(first_steps_hidden=True)
        elif step is not None and step.slug not in user.first_steps:
            User.objects.filter(pk=user.pk).update(first_steps=[*user.first_steps, step.slug])
    return HttpResponseRedirect(step.url if step is not None else resolve_url("home"))


@require_POST
@login_required
def choose_mails(request: HttpRequest) -> HttpResponse:
    """Which mails I want; the list of boxes is the whole answer."""
    wanted = set(request.POST.getlist("mail"))
    with transaction.atomic():
        acting(by=_mine(request), at=clock.now(), reason="Mails chosen")
        set_mail(by=_mine(request), kinds={kind: kind in wanted for kind in mailing.OPTIONAL})
    messages.success(request, _("Your choice of mails is kept."))
    return HttpResponseRedirect(resolve_url("accounts:notifications"))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@vary_on_headers("HX-Request")
def preferences(request: HttpRequest) -> HttpResponse:
    """How I read numbers, days and times. A part of the page shows what is chosen before it is kept."""
    user, at = _mine(request), clock.now()
    entered = {name: getattr(user, name) for name in ("locale", "time_zone", "language")}
    if getattr(request, "htmx", False):
        form = PreferencesForm(request.GET, at=at)
        return _preferences(request, form, form.as_read_by(user), "accounts/preferences.html#sample", 200)
    if request.method != "POST":
        form = PreferencesForm(initial=entered, at=at)
        return _preferences(request, form, user, "accounts/preferences.html", 200)
    form = PreferencesForm(request.POST, at=at)
    if not form.is_valid():
        return _preferences(request, form, form.as_read_by(user), "accounts/preferences.html", 422)
    set_preferences(by=user, at=at, **form.cleaned_data)
    messages.success(request, _("Your preferences are kept."))
    return HttpResponseRedirect(resolve_url("accounts:preferences"))


def _preferences(
    request: HttpRequest, form: PreferencesForm, reader: User, template: str, status: int
) -> HttpResponse:
    zone = locales.zone_of(reader)
    with locales.read_by(reader):
        shown = {
            "amount": formats.money(123_456),
            "refund": formats.money(-123_456),
            "large": formats.money(1_883_000_000, compact=True),
            "share": formats.percent(713, 1000),
            "day": formats.day(form.at),
            "now": formats.moment(form.at),
            "zone": zone.key,
        }
    zones = (
        [(name, form.at.astimezone(ZoneInfo(name))) for name in locales.zones()]
        if "#" not in template
        else []
    )
    context = {
        "form": form,
        "sample": shown,
        "zones": [(name, locales.write("clock", there), locales.offset(there)) for name, there in zones],
        "operators_zone": settings.TIME_ZONE,
    }
    return render(request, template, context, status=status)


@require_safe
@login_required
def audit(request: HttpRequest) -> HttpResponseBase:
    """Who changed what, when and why. For comp admins and auditors; for everybody else there is no such page."""
    if not _mine(request).has_role(*REVIEWERS):
        raise Http404
    form = TrailFilters(request.GET, tables=trail.tables())
    order = TRAIL.of(request.GET)
    asked = form.cleaned_data if form.is_valid() else None
    found = trail.events(**asked) if asked is not None else AuditEvent.objects.none()
    if (wanted := exporting.asked(request)) and asked is not None:
        table = trail.as_table(found, order.fields, diffs="what" not in hidden_in(request.GET))
        return exporting.answer(request, wanted, name="audit trail", title="Audit trail", table=table)
    page = order.page(found)
    context = {
        "form": form,
        "narrowed": any(asked.values()) if asked else False,
        "rows": [
            (event, trail.called(event.table), told, trail.page_of(event))
            for event, told in zip(page.rows, trail.worded(page.rows), strict=True)
        ],
    } | page.context
    return render(request, "accounts/audit.html", context, status=200 if asked is not None else 422)


def _mine(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def _place(request: HttpRequest, order: Keyset) -> Place | None:
    try:
        return order.place(request.GET.get("cursor", ""))
    except BadQuery:
        raise Http404 from None


def _link(order: Keyset, place: Place | None) -> str:
    """The address of another page; empty where there is none."""
    return f"?cursor={order.cursor(place)}" if place is not None else ""
