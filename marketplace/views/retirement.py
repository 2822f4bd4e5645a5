"""Ending an offering, or opening and stopping its sale: what it would hit first, then a change set that a second person approves."""

from datetime import date, timedelta
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from accounts.models import Role, User
from config import clock, formats
from config.given import tidy
from config.language import _, later, marked, spoken
from config.refusals import Refusal
from config.timelines import Stretch, timeline
from marketplace.extension import Change, Impact, impacts_of
from marketplace.models import (
    ChangeSet,
    Hold,
    Lifecycle,
    Offering,
    Operation,
    Publication,
    PublisherMembership,
)
from marketplace.selectors.on_sale import why_not
from marketplace.selectors.resources import with_facts
from marketplace.selectors.sourcing.access import reads_bindings
from marketplace.selectors.sourcing.products import moves_if_retired
from marketplace.selectors.substitutes import substitutes
from marketplace.selectors.visibility import offerings_for
from marketplace.services import change_sets
from marketplace.services.publishing import NOTICE, WAYS, WITHOUT_NEW_DEALS, suspend_offering
from marketplace.views import HtmxRequest, signed_in
from marketplace.views.sections.lifecycle import NOTES, Stage

LONGEST_NOTICE: Final = timedelta(days=365 * 10)


class RetirementForm(forms.Form):
    """When it ends and what takes its place; the other dates follow."""

    use_required_attribute = False

    retires_on = forms.DateField(
        label=later("Retires on"),
        help_text=later("The first day on which it no longer answers."),
        error_messages={
            "required": later("Choose the day."),
            "invalid": later("Enter a day, such as 2027-01-31."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    replacement = forms.CharField(
        label=later("Replacement"),
        required=False,
        max_length=80,
        help_text=later("Its SKU. Deals on the retired one are refused with this name."),
        widget=forms.TextInput(attrs={"list": "substitutes", "autocomplete": "off"}),
    )
    note = forms.CharField(
        label=later("Note for the reviewer"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def __init__(
        self, *args: Any, offering: Offering, visible: QuerySet[Offering], today: date, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.offering, self.visible, self.today = offering, visible, today
        self.replaced_by: Offering | None = None
        self.earliest = today + NOTICE + WITHOUT_NEW_DEALS
        self.fields["retires_on"].widget.attrs["min"] = self.earliest.isoformat()

    def clean_retires_on(self) -> date:
        day: date = self.cleaned_data["retires_on"]
        if day < self.earliest:
            raise forms.ValidationError(
                _("A retirement needs 120 days' notice: %(earliest)s is the earliest day.")
                % {"earliest": formats.day(self.earliest)}
            )
        if day > self.today + LONGEST_NOTICE:
            raise forms.ValidationError(_("That is more than ten years away."))
        return day

    def clean_replacement(self) -> str:
        slug = tidy(self.cleaned_data["replacement"]).lower()
        if not slug:
            return ""
        found = self.visible.filter(slug=slug).first()
        if found is None:
            raise forms.ValidationError(_("There is no such offering: choose one from the list."))
        if found.pk == self.offering.pk:
            raise forms.ValidationError(_("An offering cannot replace itself."))
        day = self.cleaned_data.get("retires_on")
        if found.retires_on is not None and day is not None and found.retires_on <= day:
            raise forms.ValidationError(
                _("%(found_name)s retires no later than it.") % {"found_name": found.name}
            )
        self.replaced_by = found
        return slug


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def retire(request: HtmxRequest, slug: str) -> HttpResponse:
    """The day and the replacement stand in the address; what they would hit is shown before anything is asked for."""
    user, today = signed_in(request), clock.today()
    found = _own(user, slug)
    visible = offerings_for(user)
    data = request.POST if request.method == "POST" else request.GET if "retires_on" in request.GET else None
    form = RetirementForm(
        data,
        offering=found,
        visible=visible,
        today=today,
        initial={
            "retires_on": found.retires_on or today + NOTICE + WITHOUT_NEW_DEALS,
            "replacement": found.replacement.slug if found.replacement is not None else "",
        },
    )
    chosen = form.is_valid() if data is not None else False
    if request.method == "POST" and chosen:
        items = [
            change_sets.ItemDraft(
                Operation.OFFERING_RETIRE,
                {
                    "slug": found.slug,
                    "retires_on": form.cleaned_data["retires_on"].isoformat(),
                    "replacement": form.cleaned_data["replacement"] or None,
                },
                found.revision,
            )
        ]
        made = _hand_in(
            request,
            user,
            found,
            marked("Retire %(found_name)s") % {"found_name": found.name},
            items,
            form.cleaned_data["note"],
            form,
        )
        if made is not None:
            return redirect("marketplace:change-set", made.pk)
        chosen = False
    day = form.cleaned_data["retires_on"] if chosen else form["retires_on"].initial
    stages = _planned(found, day, today)
    impacts = impacts_of(
        Change("lifecycle", _("%(found_name)s retires") % {"found_name": found.name}, (found.pk,), date.min),
        user,
        today,
    )
    last_sale = day - WITHOUT_NEW_DEALS
    deals = [impact for impact in impacts if impact.kind == "open deal"]
    moves, elsewhere = moves_if_retired(found, day, today) if reads_bindings(user) else ([], [])
    context = {
        "offering": found,
        "form": form,
        "chosen": chosen,
        "moves": moves,
        "elsewhere": elsewhere,
        "retired": found.lifecycle_on(today) == Lifecycle.RETIRED,
        "day": day,
        "until": last_sale,
        "notice": max(last_sale - NOTICE, today),
        "late": sum(deal.day is not None and deal.day >= last_sale for deal in deals),
        "stages": stages,
        "drawing": timeline(
            [Stretch(s.label, s.day, s.tone) for s in stages],
            on=today,
            label=_("The life of %(found_name)s if it retires on %(day)s")
            % {"found_name": found.name, "day": formats.day(day)},
        ),
        "deals": deals,
        "customers": [i for i in impacts if i.kind == "customer"],
        "others": _others(impacts),
        "substitutes": substitutes(found, visible, today, limit=12),
        "replaces": visible.filter(replacement=found).order_by("name"),
        "hold": _hold(found),
        "outside": user.has_role(Role.PARTNER),
        "today": today,
    }
    return render(
        request,
        "marketplace/retire.html",
        context,
        status=422 if form.errors and request.method == "POST" else 200,
    )


def _others(impacts: list[Impact]) -> list[Impact]:
    """Whatever other apps name beside deals and customers, such as features of products."""
    return [impact for impact in impacts if impact.kind not in ("open deal", "customer")]


def _planned(offering: Offering, day: date, today: date) -> list[Stage]:
    """The stages as they would be."""
    deprecated = day - WITHOUT_NEW_DEALS
    dated = (
        (Lifecycle.PREVIEW, offering.preview_on),
        (Lifecycle.GENERALLY_AVAILABLE, offering.available_on),
        (Lifecycle.LEGACY, deprecated - NOTICE),
        (Lifecycle.DEPRECATED, deprecated),
        (Lifecycle.RETIRED, day),
    )
    return sorted(
        (
            Stage(
                spoken(stage.label),
                first,
                *NOTES[stage],
                first <= today,
                now=False,
                days=(first - today).days,
            )
            for stage, first in dated
            if first is not None
        ),
        key=lambda stage: stage.day,
    )


def _hold(offering: Offering) -> ChangeSet | None:
    """The change set that keeps the offering to itself, if any."""
    held = (
        Hold.objects.filter(entity=f"offering:{offering.slug}").select_related("change_set__made_by").first()
    )
    return held.change_set if held is not None else None


# --- on sale or not ---------------------------------------------------------------------------------------


class SaleForm(forms.Form):
    """publish on a day, stop with a reason (both by change set), or suspend at once."""

    use_required_attribute = False

    on = forms.DateField(
        label=later("On sale from"),
        required=False,
        help_text=later("Empty: as soon as somebody else has approved it."),
        error_messages={"invalid": later("Enter a day, such as 2026-09-01.")},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(
        label=later("Reason"),
        required=False,
        max_length=300,
        help_text=later("Its publisher reads it, and it stays in the history."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def sale(request: HtmxRequest, slug: str) -> HttpResponse:
    user, today = signed_in(request), clock.today()
    if not user.has_role(Role.CATALOG_MANAGER):
        raise Http404
    found = _own(user, slug)
    do = request.POST.get("do", "")
    form = SaleForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        done = _sell(request, user, found, do, form)
        if done is not None:
            return done
    publication = Publication(found.publication)
    ways = WAYS[publication]
    refusal = why_not(found, today)
    context = {
        "offering": found,
        "form": form,
        "do": do,
        "refusal": refusal,
        "may_publish": Publication.LIVE in ways,
        "may_stop": Publication.STOPPED in ways or publication == Publication.SCHEDULED,
        "may_suspend": Publication.SUSPENDED in ways,
        "hold": _hold(found),
        "deals": [
            impact
            for impact in impacts_of(Change("offering", "", (found.pk,), date.min), user, today)
            if impact.kind == "open deal"
        ],
        "today": today,
    }
    return render(request, "marketplace/sale.html", context, status=422 if form.errors else 200)


def _sell(request: HtmxRequest, user: User, found: Offering, do: str, form: SaleForm) -> HttpResponse | None:
    """None where it was refused: the form says why."""
    reason, day = form.cleaned_data["reason"].strip(), form.cleaned_data["on"]
    if do == "suspend":
        try:
            suspend_offering(
                offering_id=found.pk, by=user, at=clock.now(), reason=reason, expected_revision=found.revision
            )
        except Refusal as refused:
            _refuse(form, refused)
            return None
        messages.success(
            request,
            _("%(found_name)s is suspended: nobody can sell it from now on.") % {"found_name": found.name},
        )
        return redirect("marketplace:offering", found.slug)
    if do == "stop" and not reason:
        form.add_error("reason", _("Say why it is taken off sale."))
        return None
    if do == "publish":
        items = [
            change_sets.ItemDraft(
                Operation.OFFERING_PUBLISH,
                {"slug": found.slug, "on": day.isoformat() if day else None},
                found.revision,
            )
        ]
        title = marked("Publish %(found_name)s") % {"found_name": found.name}
    elif do == "stop":
        items = [
            change_sets.ItemDraft(
                Operation.OFFERING_STOP, {"slug": found.slug, "reason": reason}, found.revision
            )
        ]
        title = marked("Take %(found_name)s off sale") % {"found_name": found.name}
    else:
        return None
    made = _hand_in(request, user, found, title, items, reason, form)
    return redirect("marketplace:change-set", made.pk) if made is not None else None


# --- both -------------------------------------------------------------------------------------------------


def _own(user: User, slug: str) -> Offering:
    """To who keeps the catalog any offering, to a publisher's people their own; to others the page does not exist."""
    offerings = with_facts(offerings_for(user))
    if not user.has_role(Role.CATALOG_MANAGER):
        offerings = offerings.filter(
            publisher__in=PublisherMembership.objects.filter(user=user).values("publisher")
        )
    return get_object_or_404(offerings, slug=slug)


def _hand_in(
    request: HtmxRequest,
    user: User,
    offering: Offering,
    title: str,
    items: list[change_sets.ItemDraft],
    note: str,
    form: forms.Form,
) -> ChangeSet | None:
    """Draft and submit in one; None where it was refused and the form says why. Nothing is left behind then."""
    try:
        with transaction.atomic():
            made = change_sets.draft_change_set(
                title=title[:200],
                items=items,
                by=user,
                at=clock.now(),
                publisher_id=offering.publisher_id,
                note=note,
            )
            change_sets.submit(change_set_id=made.pk, by=user, at=clock.now())
    except Refusal as refused:
        _refuse(form, refused)
        return None
    messages.success(request, _("Handed in: a second person has to approve it."))
    return made


def _refuse(form: forms.Form, refused: Refusal) -> None:
    """Each problem beside its field; pointers are those of an item's body or of a service."""
    for problem in refused.problems:
        name = problem.pointer.rpartition("/")[2]
        form.add_error(name if name in form.fields else None, problem.message)
