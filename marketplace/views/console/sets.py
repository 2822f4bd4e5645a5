"""A publisher's change set: what it would change, what is found wrong, and its next step. And a file of items."""

from datetime import date
from io import BytesIO
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe
from rest_framework.exceptions import ParseError

from config import clock
from config.calls import call
from config.given import given
from config.language import _, ngettext
from config.posted import posted_from
from config.refusals import Forbidden, Invalid, NotFound, Problem, Refusal
from config.rest.problems import TooLarge
from config.rest.representation import ExactJson
from marketplace.models import ChangeSet, Finding, Severity
from marketplace.selectors.console import (
    EDITABLE,
    NEXT_STEPS,
    OPEN,
    insiders,
    item_of,
    open_drafts,
    sets_of,
)
from marketplace.services.change_sets import (
    MOST_ITEMS,
    ItemDraft,
    describe,
    differences,
    draft_change_set,
    drafts_of,
    may_write,
    submit,
    validate,
    withdraw,
)
from marketplace.services.drafting import day_or_none, take_out
from marketplace.views.console.forms import FORMS
from marketplace.views.console.items import NEW
from marketplace.views.console.seat import Seat, own_seat, seat

A_PAGE: Final = 50
SHOWN_IN_CALL: Final = 3
CHECKED_AT_ONCE: Final = 500  # items; more are checked when it is asked for
LARGEST_FILE: Final = 2_500_000  # bytes; the same as a request to the API


@require_safe
@login_required
def show(request: HttpRequest, pk: int) -> HttpResponse:
    """Its items with their differences and findings. ?check= says that a dry run was asked for; it runs at every look."""
    at_desk = seat(request)
    return _page(request, at_desk, _set(at_desk, pk))


@posted_from("marketplace:console-set", "pk")
@login_required
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """describe, submit, withdraw, remove."""
    at_desk = own_seat(request)
    change_set = _set(at_desk, pk)
    revision = request.POST.get("revision", "")
    chosen: dict[str, Any] = {
        "change_set_id": pk,
        "by": at_desk.user,
        "at": clock.now(),
        "expected_revision": int(revision)
        if revision.isascii() and revision.isdigit() and len(revision) < 10
        else None,
    }
    try:
        where, said = _carry_out(request, action, chosen)
    except NotFound:
        raise Http404 from None
    except Refusal as refusal:
        return _page(request, at_desk, _set(at_desk, pk), refusal=refusal, tried=action)
    messages.success(request, said.format(change_set.reference))
    return HttpResponseRedirect(where or reverse("marketplace:console-set", args=[pk]))


def _carry_out(request: HttpRequest, action: str, chosen: dict[str, Any]) -> tuple[str, str]:
    """Does it; where to go then and what to say. Raises Refusal, Http404."""
    match action:
        case "submit":
            if "note" in request.POST:
                described = describe(**chosen, **_described(request))
                chosen["expected_revision"] = described.revision
            submit(**chosen)
            return "", "{} is submitted. A reviewer of the operator reads it next."
        case "describe":
            describe(**chosen, **_described(request))
            return "", "{} is saved."
        case "withdraw":
            withdraw(**chosen, note=given(request.POST, "note", 500))
            return reverse("marketplace:console"), "{} is withdrawn. Nothing was changed."
        case "remove":
            place = request.POST.get("item", "")
            if not (place.isascii() and place.isdigit() and len(place) < 8):
                raise Http404
            take_out(**chosen, place=int(place))
            return "", "The change is taken out of {}."
    raise Http404


def _described(request: HttpRequest) -> dict[str, Any]:
    """Raises Invalid for a day that there is not."""
    given: dict[str, Any] = {}
    if "title" in request.POST:
        given["title"] = request.POST["title"]
    if "note" in request.POST:
        given["note"] = request.POST["note"]
    if "apply_on" in request.POST:
        try:
            given["apply_on"] = day_or_none(request.POST["apply_on"])
        except ValueError:
            raise Invalid(
                Problem("no_such_day", _("Write a day, such as 2026-10-01."), "/apply_on")
            ) from None
    return given


def _set(at_desk: Seat, pk: int) -> ChangeSet:
    return get_object_or_404(sets_of(at_desk.publisher), pk=pk)


def _page(
    request: HttpRequest,
    at_desk: Seat,
    change_set: ChangeSet,
    *,
    refusal: Refusal | None = None,
    tried: str = "",
) -> HttpResponse:
    rows = change_set.items.order_by("position")
    total = rows.count()
    first = _page_number(request) * A_PAGE
    shown = list(rows[first : first + A_PAGE])
    today = clock.today()
    on = max(today, change_set.apply_on) if change_set.apply_on else today
    writable = at_desk.own and change_set.state in EDITABLE and may_write(change_set, at_desk.user)
    findings = list(change_set.findings.filter(resolved_at=None).select_related("by").order_by("id"))
    context = {
        "seat": at_desk,
        "set": change_set,
        "insiders": insiders(at_desk.publisher),
        "items": differences(change_set, shown, on=on) if shown else [],
        "total": total,
        "first": first,
        "more": first + A_PAGE < total,
        "number": first // A_PAGE,
        "writable": writable,
        "open": change_set.state in OPEN,
        "may_withdraw": at_desk.own and change_set.state in OPEN and may_write(change_set, at_desk.user),
        "next_step": NEXT_STEPS[change_set.state],
        "about_all": [f for f in findings if item_of(f.pointer) is None],
        "reviewers": [f for f in findings if f.by is not None],
        "errors": _wrong_now(change_set, findings, on, total if "check" not in request.GET else 0),
        "checked": "check" in request.GET,
        "refusal": refusal,
        "tried": tried,
        "entered": request.POST if refusal is not None else None,
        "editable": FORMS,
        "today": today,
        "call": _call(request, change_set, shown),
    }
    return render(
        request,
        "marketplace/console/set.html",
        context,
        status=refusal.status if refusal is not None else 200,
    )


def _wrong_now(change_set: ChangeSet, findings: list[Finding], on: date, total: int) -> int:
    """How many errors a dry run finds in what can still be mended; else, and of very many items, what is on record."""
    if change_set.state in EDITABLE and total <= CHECKED_AT_ONCE:
        found = validate(items=drafts_of(change_set), publisher_id=change_set.publisher_id, on=on)
        return sum(one.stops for one in found)
    return sum(f.by is None and f.severity == Severity.ERROR for f in findings)


def _page_number(request: HttpRequest) -> int:
    given = request.GET.get("page", "0")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0


def _call(request: HttpRequest, change_set: ChangeSet, shown: list[Any]) -> Any:
    """The same set as a program would make it, as long as it is short enough to read."""
    if change_set.state in EDITABLE and 0 < len(shown) <= SHOWN_IN_CALL:
        items = [
            {
                "operation": item.operation,
                "body": item.body,
                **({"expected_revision": item.expected_revision} if item.expected_revision else {}),
            }
            for item in shown
        ]
        body = {"title": change_set.title, "items": items}
        return call(request, "POST", "/api/v1/change-sets/", body, key=f"set-{change_set.pk}")
    return call(request, "GET", f"/api/v1/change-sets/{change_set.pk}/")


# A file of items: the same shape as the body of POST /api/v1/change-sets/.


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def upload(request: HttpRequest) -> HttpResponse:
    """A JSON file becomes a draft, with what is wrong beside each item; a file that is none gets one clear message."""
    at_desk = own_seat(request)
    wrong: list[Problem] = []
    if request.method == "POST":
        try:
            made = _from_file(request, at_desk)
        except Refusal as refusal:
            wrong = list(refusal.problems)
        else:
            count = made.items.count()
            messages.success(
                request,
                ngettext(
                    "%(set)s holds %(count)s change. Check it, then submit it.",
                    "%(set)s holds %(count)s changes. Check it, then submit it.",
                    count,
                )
                % {"set": made.reference, "count": count},
            )
            return HttpResponseRedirect(reverse("marketplace:console-set", args=[made.pk]) + "?check=1")
    context = {
        "seat": at_desk,
        "tab": "home",
        "wrong": wrong[:50],
        "more": max(0, len(wrong) - 50),
        "operations": [(name, form.title) for name, form in FORMS.items()],
        "most": MOST_ITEMS,
        "largest": LARGEST_FILE // 1_000_000,
        "drafts": open_drafts(at_desk.publisher, at_desk.user),
        "new": NEW,
    }
    return render(request, "marketplace/console/upload.html", context, status=422 if wrong else 200)


def _from_file(request: HttpRequest, at_desk: Seat) -> ChangeSet:
    """Raises Invalid with one message for a file that cannot be read, with every wrong place for one that can."""
    given = request.FILES.get("file")
    if given is None:
        raise Invalid(Problem("no_file", _("Choose a file.")))
    if given.size is None or given.size > LARGEST_FILE:
        raise Invalid(
            Problem(
                "too_large",
                _("The file is larger than %(LARGEST_FILE)s MB. Split it, or send it by the API.")
                % {"LARGEST_FILE": f"{LARGEST_FILE / 1000000:.1f}"},
            )
        )
    if given.size == 0:
        raise Invalid(Problem("empty_file", _("The file is empty.")))
    content = given.read().removeprefix(b"\xef\xbb\xbf")
    if content[:4] == b"PK\x03\x04":
        raise Invalid(
            Problem(
                "not_json",
                _("This is a spreadsheet or an archive. Spreadsheets have an upload of their own."),
            )
        )
    try:
        read = ExactJson().parse(BytesIO(content))
    except (ParseError, TooLarge) as failure:
        raise Invalid(Problem("not_json", str(failure.detail))) from failure
    title: Any = (_("Upload of %(given_name)s") % {"given_name": given.name})[:200]
    note: Any = ""
    apply_on, items = None, read
    if isinstance(read, dict):
        unknown = sorted(set(read) - {"title", "note", "apply_on", "items"})
        if unknown or "items" not in read:
            raise Invalid(
                Problem(
                    "not_items",
                    _("The file is a list of items, or an object with items, title, note and apply_on."),
                )
            )
        items, title, note = read["items"], read.get("title") or title, read.get("note") or ""
        try:
            apply_on = day_or_none(str(read.get("apply_on") or ""))
        except ValueError:
            raise Invalid(
                Problem("no_such_day", _("apply_on is a day, such as 2026-10-01."), "/apply_on")
            ) from None
    if not isinstance(items, list) or not items:
        raise Invalid(Problem("not_items", _("The file holds no list of items."), "/items"))
    drafts, problems = [], []
    for place, one in enumerate(items):
        if (
            not isinstance(one, dict)
            or set(one) - {"operation", "body", "expected_revision"}
            or "operation" not in one
        ):
            problems.append(
                Problem(
                    "invalid",
                    _("An item has operation, body and, if you like, expected_revision."),
                    f"/items/{place}",
                )
            )
            continue
        drafts.append(ItemDraft(one["operation"], one.get("body", {}), one.get("expected_revision")))
    if problems:
        raise Invalid(*problems)
    if not isinstance(title, str) or not isinstance(note, str):
        raise Invalid(Problem("invalid", _("title and note are texts."), "/title"))
    try:
        return draft_change_set(
            title=title,
            items=drafts,
            note=note,
            apply_on=apply_on,
            source=(given.name or "")[:200],
            by=at_desk.user,
            at=clock.now(),
            publisher_id=at_desk.publisher.pk,
        )
    except Forbidden:
        raise Http404 from None
