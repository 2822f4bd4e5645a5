"""Webhooks in the console: endpoints, their secrets, and the log of what was sent, with replay."""

from collections.abc import Callable
from datetime import datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from config import clock
from config.language import _, later, spoken_choices
from config.paging import paged
from config.posted import posted_from
from config.refusals import NotFound, Refusal
from config.rest.pagination import Keyset
from config.rest.problems import BadQuery
from marketplace.models import DeliveryState, PublisherMembership, WebhookDelivery, WebhookEndpoint
from marketplace.selectors.webhooks import KINDS, deliveries_for, endpoints_for
from marketplace.services import webhooks
from marketplace.views import signed_in

PAGE: Final = 50


class EndpointForm(forms.Form):
    """Where to, what of, and what it is called; the service says what is wrong with the address."""

    use_required_attribute = False
    url = forms.CharField(
        label=later("Address"),
        max_length=500,
        help_text=later("https, on the public internet. Redirects are not followed."),
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )
    about = forms.CharField(
        label=later("What it is for"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    kinds = forms.MultipleChoiceField(
        label=later("What it hears of"),
        required=False,
        choices=[(kind, f"{kind}: {said}") for kind, said in KINDS.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text=later("None chosen is all of them, also those that come later."),
    )


@require_safe
@login_required
@never_cache
def index(request: HttpRequest) -> HttpResponse:
    """2 queries and those of the frame."""
    user = _keeper(request)
    rows = endpoints_for(user).annotate(
        waiting=Count("deliveries", filter=Q(deliveries__state=DeliveryState.WAITING)),
        given_up=Count("deliveries", filter=Q(deliveries__state=DeliveryState.GIVEN_UP)),
        last=Max("deliveries__delivered_at"),
    )
    return render(
        request, "marketplace/console/webhooks.html", {"rows": paged(request, rows), "kinds": len(KINDS)}
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """The secret stands on the answer itself and nowhere else: a link to it would be a second place to steal it from."""
    user = _keeper(request)
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            endpoint, secret = webhooks.register_endpoint(**form.cleaned_data, by=user, at=clock.now())
        except Refusal as refused:
            _into(form, refused)
        else:
            return _secret(request, endpoint, secret, new=True)
    status = 422 if form.errors else 200
    return render(request, "marketplace/console/webhook_new.html", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def endpoint(request: HttpRequest, pk: int) -> HttpResponse:
    """One endpoint with its log. POST saves its settings."""
    user = _keeper(request)
    found = _own(user, pk)
    entered = {"url": found.url, "about": found.about, "kinds": found.kinds}
    form = EndpointForm(request.POST if request.method == "POST" else None, initial=entered)
    if request.method == "POST" and form.is_valid():
        try:
            webhooks.edit_endpoint(
                endpoint_id=pk,
                **form.cleaned_data,
                by=user,
                at=clock.now(),
                expected_revision=_number(request.POST.get("revision")),
            )
        except Refusal as refused:
            _into(form, refused)
        else:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(reverse("marketplace:webhook", args=[pk]))
    state = request.GET.get("state", "")
    log = deliveries_for(user).filter(endpoint=pk)
    if state in DeliveryState.values:
        log = log.filter(state=state)
    rows, previous, following = _page(request, log)
    context = {
        "endpoint": found,
        "form": form,
        "editing": bool(form.errors),
        "secrets": found.secrets.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now())).order_by("-id"),
        "rows": [
            (row, row.tries.all()[len(row.tries.all()) - 1] if row.tries.all() else None) for row in rows
        ],
        "previous": previous,
        "next": following,
        "state": state if state in DeliveryState.values else "",
        "states": spoken_choices(DeliveryState.choices),
        "given_up": found.deliveries.filter(state=DeliveryState.GIVEN_UP, replay_of=None).count(),
        "today": clock.today(),
        "all_kinds": KINDS,
    }
    status = 422 if form.errors else 200
    return render(request, "marketplace/console/webhook.html", context, status=status)


@require_safe
@login_required
@never_cache
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    """One message: what was sent, and every attempt."""
    user = _keeper(request)
    found = get_object_or_404(deliveries_for(user), pk=pk)
    original = found.replay_of_id or found.pk
    others = deliveries_for(user).filter(Q(pk=original) | Q(replay_of=original)).exclude(pk=found.pk)
    body = webhooks.body_of(found.payload).decode()
    context = {"delivery": found, "body": body, "others": others.order_by("id"), "tries": found.tries.all()}
    return render(request, "marketplace/console/webhook_delivery.html", context)


@require_POST
@login_required
def replay(request: HttpRequest, pk: int) -> HttpResponse:
    user = _keeper(request)
    try:
        again = webhooks.replay(delivery_id=pk, by=user, at=clock.now())
    except NotFound:
        raise Http404 from None
    except Refusal as refused:
        messages.error(request, str(refused))
        return HttpResponseRedirect(reverse("marketplace:webhook-delivery", args=[pk]))
    messages.success(request, _("It is sent again, under the same webhook-id."))
    return HttpResponseRedirect(reverse("marketplace:webhook-delivery", args=[again.pk]))


@posted_from("marketplace:webhook", "pk")
@login_required
@never_cache
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """One of ACTIONS on one endpoint, as it was when the page was shown."""
    user = _keeper(request)
    if action not in ACTIONS:
        raise Http404
    try:
        return ACTIONS[action](request, user, pk)
    except NotFound:
        raise Http404 from None
    except Refusal as refused:
        messages.error(request, str(refused))
    return HttpResponseRedirect(reverse("marketplace:webhook", args=[pk]))


def _ping(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    sent = webhooks.ping(endpoint_id=pk, by=user, at=clock.now())
    messages.success(request, _("A ping is on its way: look again in a moment."))
    return HttpResponseRedirect(reverse("marketplace:webhook-delivery", args=[sent.pk]))


def _rotate(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    """The revision keeps a page that is loaded again from making yet another secret."""
    revision = _number(request.POST.get("revision"))
    endpoint, secret = webhooks.rotate_secret(
        endpoint_id=pk, by=user, at=clock.now(), expected_revision=revision
    )
    return _secret(request, endpoint, secret, new=False)


def _disable(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    webhooks.disable_endpoint(endpoint_id=pk, by=user, at=clock.now(), reason=request.POST.get("reason", ""))
    messages.success(request, _("Disabled: nothing is sent to it."))
    return HttpResponseRedirect(reverse("marketplace:webhook", args=[pk]))


def _enable(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    webhooks.enable_endpoint(endpoint_id=pk, by=user, at=clock.now())
    messages.success(request, _("Enabled: it hears of what happens from now on."))
    return HttpResponseRedirect(reverse("marketplace:webhook", args=[pk]))


def _remove(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    webhooks.remove_endpoint(
        endpoint_id=pk, by=user, at=clock.now(), expected_revision=_number(request.POST.get("revision"))
    )
    messages.success(request, _("Removed."))
    return HttpResponseRedirect(reverse("marketplace:webhooks"))


def _replay_failed(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    try:
        day = datetime.fromisoformat(request.POST.get("since", "")).date()
    except ValueError:
        messages.error(request, _("Choose a day."))
        return HttpResponseRedirect(reverse("marketplace:webhook", args=[pk]))
    since = datetime.combine(day, time(), ZoneInfo(settings.TIME_ZONE))
    count = webhooks.replay_failed(endpoint_id=pk, since=since, by=user, at=clock.now())
    said = (
        _("%(count)s sent again.") % {"count": count}
        if count
        else _("Nothing was given up since then that has not been sent again.")
    )
    messages.success(request, said)
    return HttpResponseRedirect(reverse("marketplace:webhook", args=[pk]))


ACTIONS: Final[dict[str, Callable[[HttpRequest, User, int], HttpResponse]]] = {
    "ping": _ping,
    "rotate": _rotate,
    "disable": _disable,
    "enable": _enable,
    "remove": _remove,
    "replay-failed": _replay_failed,
}


def _keeper(request: HttpRequest) -> User:
    """Who acts for a publisher, or keeps the catalog; for everybody else there are no such pages."""
    user = signed_in(request)
    if not (user.has_role("catalog_manager") or PublisherMembership.objects.filter(user=user).exists()):
        raise Http404
    return user


def _own(user: User, pk: int) -> WebhookEndpoint:
    found: WebhookEndpoint = get_object_or_404(endpoints_for(user), pk=pk)
    return found


def _secret(request: HttpRequest, endpoint: WebhookEndpoint, secret: str, *, new: bool) -> HttpResponse:
    context: dict[str, Any] = {
        "endpoint": endpoint,
        "secret": secret,
        "is_new": new,
        "hours": int(webhooks.BOTH_HOLD.total_seconds() // 3600),
    }
    return render(request, "marketplace/console/webhook_secret.html", context, status=201 if new else 200)


def _into(form: EndpointForm, refused: Refusal) -> None:
    """Each problem beside its field; what is about none of them above."""
    for problem in refused.problems:
        name = problem.pointer.strip("/").split("/")[0]
        form.add_error(name if name in form.fields else None, problem.message)


def _page(request: HttpRequest, rows: QuerySet[WebhookDelivery]) -> tuple[list[WebhookDelivery], str, str]:
    order = Keyset(WebhookDelivery, ("-id",))
    try:
        place = order.place(request.GET.get("cursor", ""))
    except BadQuery:  # an old or altered address: start at the beginning
        place = None
    found, before, behind = order.page(rows, place, PAGE)

    def address(cursor: str) -> str:
        query = request.GET.copy()
        query["cursor"] = cursor
        return f"?{query.urlencode()}"

    return (
        found,
        address(order.cursor(before)) if before else "",
        address(order.cursor(behind)) if behind else "",
    )


def _number(written: str | None) -> int | None:
    return int(written) if written and written.isascii() and written.isdigit() and len(written) < 10 else None
