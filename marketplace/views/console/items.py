"""One change as a form: added to a draft, or mended in it. What validation finds stands beside its field, entries are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from config import clock, locales
from config.given import written
from config.language import _
from config.refusals import NotFound, Refusal
from marketplace.models import ChangeItem, ChangeSet, ChangeSetState, ModelVersion
from marketplace.selectors.console import EDITABLE, open_drafts, sets_of
from marketplace.services.change_sets import Found, ItemDraft, drafts_of, may_write, validate
from marketplace.services.drafting import place_of, put_item, with_item
from marketplace.views.console.boxes import ItemForm, below
from marketplace.views.console.forms import FORMS, Form, Subject, differing, form_of, subject_of
from marketplace.views.console.seat import Seat, own_seat

NEW: Final = "new"
NAMED: Final = ("offering", "plan", "price")


@dataclass(frozen=True)
class Task:
    """What is asked for.

    into    The draft that it goes into; None is a new one.
    place   The item of it that is mended.
    items   Those of the draft.
    """

    seat: Seat
    operation: str
    form: Form
    subject: Subject
    drafts: list[ChangeSet]
    into: ChangeSet | None
    place: int | None
    items: list[ItemDraft]
    fixed: dict[str, Any]
    begins: dict[str, Any]

    @property
    def existing(self) -> ItemDraft | None:
        return self.items[self.place] if self.place is not None else None


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def change(request: HttpRequest, operation: str) -> HttpResponse:
    task = _task(request, operation)
    if request.method == "POST":
        return _posted(request, task)
    values = {**task.begins, **(task.existing.body if task.existing else {})}
    form = form_of(operation, task.subject, values, {})
    if task.existing is not None and task.into is not None:
        _remembered(form, task.into, task.place)
    return _page(request, task, form)


def _task(request: HttpRequest, operation: str) -> Task:
    if operation not in FORMS:
        raise Http404
    at_desk = own_seat(request)
    form = FORMS[operation]
    drafts = open_drafts(at_desk.publisher, at_desk.user)
    given = request.POST if request.method == "POST" else request.GET
    chosen = given.get("into", "")
    named = {name: written(request.GET, name) for name in NAMED}
    into = _draft(at_desk, drafts, chosen)
    if into is not None and into not in drafts:
        drafts = [into, *drafts]
    if into is None and not chosen:
        into = _fitting(drafts, named["offering"])
    items = drafts_of(into) if into is not None else []
    place = _number(request.GET.get("item", ""))
    if place is not None:
        if not chosen or place >= len(items) or items[place].operation != operation:
            raise Http404
        body = items[place].body
        named = {
            "offering": named["offering"] or _text(body.get("offering") or body.get("slug")),
            "plan": named["plan"] or _text(body.get("plan")),
            "price": named["price"] or _text(body.get("price_version")),
        }
    subject = _subject(at_desk, named, items, place)
    fixed = (
        {name: items[place].body[name] for name in _fixed_names(form, items[place].body)}
        if place is not None
        else form.fixed(subject)
    )
    begins = _begins(form, subject, place is not None)
    if place is None and into is not None:
        place = place_of(items, ItemDraft(operation, fixed))
    return Task(at_desk, operation, form, subject, drafts, into, place, items, fixed, begins)


def _subject(at_desk: Seat, named: Mapping[str, str], items: list[ItemDraft], place: int | None) -> Subject:
    """An item of a draft may be about an offering that the same draft makes: there is nothing to look up yet."""
    try:
        return subject_of(at_desk.publisher, clock.today(), named)
    except Http404:
        made = {_text(i.body.get("slug")) for i in items if i.operation == "offering.create"}
        if place is not None and (named["offering"] in made or not named["offering"]):
            return Subject(at_desk.publisher, clock.today())
        if place is not None:
            return subject_of(at_desk.publisher, clock.today(), {"offering": named["offering"]})
        raise


def _fixed_names(form: Form, body: Mapping[str, Any]) -> list[str]:
    known = ("slug", "offering", "plan", "price_version", "model", "version")
    shown = {name for _title, _help, names in form.groups for name in names}
    return [n for n in known if n in body and n not in shown and isinstance(body[n], str | int)]


def _begins(form: Form, subject: Subject, mending: bool) -> dict[str, Any]:
    try:
        return form.begins(subject)
    except Http404:
        if mending:
            return {}
        raise


def _posted(request: HttpRequest, task: Task) -> HttpResponse:
    blank = form_of(task.operation, task.subject, {}, {})
    body = {**blank.read(request.POST), **task.fixed}
    do = request.POST.get("do", "save")
    if do.startswith(("add:", "drop:")):
        return _reshaped(request, task, body, do)
    kept = body
    if task.form.changes:
        kept = {
            **differing({k: v for k, v in body.items() if k not in task.fixed}, task.begins),
            **task.fixed,
        }
    item = ItemDraft(task.operation, kept, _revision(request, task))
    form = form_of(task.operation, task.subject, {**task.begins, **body}, {})
    together, where = with_item(task.items, item, task.place)
    found = validate(items=together, publisher_id=task.seat.publisher.pk, on=_day(task))
    rest = form.place(below(found, where))
    if checked := request.POST.get("check", ""):
        return _one(request, task, form, checked)
    if task.form.changes and kept == task.fixed:
        rest.append(
            Found("", "nothing_changed", _("Nothing is different yet: change something, then add it."))
        )
    elif not any(f.stops for f in below(found, where)) or do == "keep":
        try:
            kept_in, at = put_item(
                publisher_id=task.seat.publisher.pk,
                change_set=task.into,
                item=item,
                place=task.place,
                title=_title(task),
                by=task.seat.user,
                at=clock.now(),
            )
        except NotFound:
            raise Http404 from None
        except Refusal as refusal:
            rest += [Found("", p.code, p.message) for p in refusal.problems]
            return _page(request, task, form, rest, status=refusal.status)
        verb = "mended" if task.existing else "added"
        messages.success(
            request,
            _("%(form_title)s: %(verb)s in %(kept_in_reference)s. Nothing changes until it is approved.")
            % {"form_title": task.form.title, "verb": verb, "kept_in_reference": kept_in.reference},
        )
        return HttpResponseRedirect(reverse("marketplace:console-set", args=[kept_in.pk]) + (f"#item-{at}"))
    return _page(request, task, form, rest, status=422, refused=True)


def _reshaped(request: HttpRequest, task: Task, body: dict[str, Any], do: str) -> HttpResponse:
    """One row more, or one less; what was typed stays."""
    verb, _rest, rest = do.partition(":")
    spare: dict[str, int] = {}
    if verb == "add":
        spare[rest] = 2 if rest.endswith("rows") else 1
    else:
        path, _rest, number = rest.rpartition(":")
        rows = _rows_at(body, path)
        place = _number(number)
        if rows is not None and place is not None and place < len(rows):
            del rows[place]
        spare[path] = 0
    return _page(request, task, form_of(task.operation, task.subject, {**task.begins, **body}, spare))


def _rows_at(body: Any, path: str) -> list[Any] | None:
    for part in path.split("-"):
        if isinstance(body, dict):
            body = body.get(part)
        elif isinstance(body, list) and part.isdecimal() and len(part) < 5 and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body if isinstance(body, list) else None


def _one(request: HttpRequest, task: Task, form: ItemForm, name: str) -> HttpResponse:
    """The one field that was just left, checked."""
    box = form.box(name)
    if box is None:
        raise Http404
    return render(request, "marketplace/console/_box.html", {"box": box, "task": task, "validates": True})


def _page(
    request: HttpRequest,
    task: Task,
    form: ItemForm,
    rest: list[Found] | None = None,
    *,
    status: int = 200,
    refused: bool = False,
) -> HttpResponse:
    versions = (
        ModelVersion.objects.filter(model__publisher=task.seat.publisher)
        .select_related("model")
        .order_by("model__slug", "label")
        if task.operation == "offering.create"
        else ()
    )
    context = {
        "seat": task.seat,
        "task": task,
        "form": form,
        "rest": rest or [],
        "refused": refused,
        "revision": task.existing.expected_revision
        if task.existing and task.existing.expected_revision
        else getattr(task.subject.offering, "revision", None),
        "versions": versions,
        "about": _about(task),
    }
    return render(request, "marketplace/console/change.html", context, status=status)


def _about(task: Task) -> str:
    parts = [part for part in (task.subject.offering, task.subject.plan) if part is not None]
    if task.subject.plan is not None and task.subject.offering is not None:
        return f"{task.subject.offering.name}, {task.subject.plan.name}"
    return str(parts[0]) if parts else _text(task.fixed.get("offering") or task.fixed.get("slug"))


def _title(task: Task) -> str:
    """Of the change set: a record, and so in the house's language."""
    with locales.house():
        about, title = _about(task), str(task.form.title)
    return f"{title}: {about}"[:200] if about else title


def _remembered(form: ItemForm, change_set: ChangeSet, place: int | None) -> None:
    """What is still to be mended in the item, beside its fields."""
    found = [
        Found(
            f.pointer,
            f.code,
            _("Reviewer: %(message)s") % {"message": f.message} if f.by_id else f.message,
            f.severity,
        )
        for f in change_set.findings.filter(resolved_at=None).order_by("id")
    ]
    form.place(below(found, place or 0))


def _revision(request: HttpRequest, task: Task) -> int | None:
    if task.subject.offering is None or task.operation in ("model.update", "evaluation.add", "alias.add"):
        return None
    return _number(request.POST.get("revision", "")) or task.subject.offering.revision


def _day(task: Task) -> Any:
    today = clock.today()
    wished = task.into.apply_on if task.into is not None else None
    return max(today, wished) if wished else today


def _draft(at_desk: Seat, drafts: list[ChangeSet], chosen: str) -> ChangeSet | None:
    """The draft that is named: one's own, or a colleague's that one may write to. 404 for anything else."""
    if chosen in ("", NEW):
        return None
    pk = _number(chosen)
    found = next((d for d in drafts if d.pk == pk), None)
    if found is None:
        found = get_object_or_404(sets_of(at_desk.publisher), pk=pk or 0, state__in=EDITABLE)
        if not may_write(found, at_desk.user):
            raise Http404
    return found


def _fitting(drafts: list[ChangeSet], slug: str) -> ChangeSet | None:
    """The draft to go on with: one that is about the offering already, else the latest that nobody has reviewed yet. 1 query."""
    about = set(
        ChangeItem.objects.filter(change_set__in=drafts, entity=f"offering:{slug}").values_list(
            "change_set_id", flat=True
        )
    )
    return next((d for d in drafts if d.pk in about), None) or next(
        (d for d in drafts if d.state == ChangeSetState.DRAFT), None
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""
