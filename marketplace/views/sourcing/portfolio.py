"""Forms that begin, change and end a product and a feature."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.models import Role, User
from config import clock
from config.formats import day
from config.language import _, later
from config.refusals import Refusal
from marketplace.models import Feature, Offering, Product, TaskArea
from marketplace.selectors.sourcing.access import reads_bindings
from marketplace.selectors.visibility import offerings_for
from marketplace.services.sourcing import features as service
from marketplace.services.sourcing.features import MODALITIES, FeatureDraft, ProductDraft
from marketplace.views import signed_in
from marketplace.views.sourcing.companies import form_page
from marketplace.views.sourcing.company_forms import Refusable, day_field, reason_field

FEATURE_ROWS = (
    ("name",),
    ("about",),
    ("task", "min_context", "zone"),
    ("modalities_in", "modalities_out"),
    ("reason",),
)
SPOKEN = {
    "text": later("Text"),
    "image": later("Images"),
    "audio": later("Audio"),
    "video": later("Video"),
    "pdf": later("PDF"),
}


def lead(request: HttpRequest) -> User:
    """Raises Http404 for who may not read what runs on what, PermissionDenied for who reads and does not decide."""
    user = signed_in(request)
    if not reads_bindings(user):
        raise Http404
    if not user.has_role(Role.SOURCING_LEAD):
        raise PermissionDenied
    return user


class ProductForm(Refusable):
    name = forms.CharField(
        max_length=service.LONGEST_NAME,
        error_messages={"required": later("Enter the name.")},
        label=later("Name"),
    )
    about = forms.CharField(label=later("What it is"), max_length=service.LONGEST_ABOUT, required=False)
    offering = forms.ModelChoiceField(
        Offering.objects.none(),
        to_field_name="slug",
        required=False,
        empty_label=later("It is not sold here"),
        label=later("Sold as"),
        help_text=later("The offering of the catalog as which customers buy it."),
    )
    reason = reason_field()

    def __init__(
        self, data: QueryDict | None = None, *, user: User, changing: bool = False, **options: Any
    ) -> None:
        super().__init__(data, **options)
        offered = self.fields["offering"]
        offered.queryset = offerings_for(user).filter(model_version=None).order_by("name")  # type: ignore[attr-defined]
        if not changing:
            del self.fields["reason"]

    def draft(self) -> ProductDraft:
        given = self.cleaned_data
        return ProductDraft(
            given["name"], given["about"], given["offering"].pk if given["offering"] else None
        )


class FeatureForm(Refusable):
    """What a feature is, and what it asks of a model; what is empty asks nothing."""

    name = forms.CharField(
        max_length=service.LONGEST_NAME,
        error_messages={"required": later("Enter the name.")},
        label=later("Name"),
    )
    about = forms.CharField(label=later("What it does"), max_length=service.LONGEST_ABOUT, required=False)
    task = forms.ModelChoiceField(
        TaskArea.objects.order_by("position", "id"),
        to_field_name="slug",
        empty_label=later("Choose one"),
        help_text=later("Models are compared on its evidence."),
        error_messages={"required": later("Choose the task.")},
        label=later("Task"),
    )
    min_context = forms.IntegerField(
        label=later("Context, tokens at least"),
        required=False,
        min_value=1,
        max_value=service.MOST_CONTEXT,
        help_text=later("Empty is any length."),
        widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "num-in"}),
    )
    zone = forms.ChoiceField(
        label=later("Data processed"),
        choices=[
            ("", later("Anywhere")),
            ("eu", later("In the European Union")),
            ("us", later("In the United States")),
        ],
        required=False,
    )
    modalities_in = forms.MultipleChoiceField(
        label=later("Takes in"),
        choices=[(name, SPOKEN[name]) for name in MODALITIES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    modalities_out = forms.MultipleChoiceField(
        label=later("Gives out"),
        choices=[(name, SPOKEN[name]) for name in MODALITIES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reason = reason_field(
        later("What it asks holds at once: an alternative that lacks it covers nothing from now on.")
    )

    def __init__(self, data: QueryDict | None = None, *, changing: bool = False, **options: Any) -> None:
        super().__init__(data, **options)
        if not changing:
            del self.fields["reason"]

    def draft(self) -> FeatureDraft:
        given = self.cleaned_data
        return FeatureDraft(
            name=given["name"],
            task_area_id=given["task"].pk,
            about=given["about"],
            min_context=given["min_context"],
            modalities_in=given["modalities_in"],
            modalities_out=given["modalities_out"],
            zone=given["zone"],
        )


class EndForm(Refusable):
    ends_on = day_field(
        later("Ends on"), required=True, help_text=later("The first day on which it is no more.")
    )
    reason = reason_field()


class KeepForm(Refusable):
    reason = reason_field()


def _done(form: Refusable, do: Callable[[], Any]) -> bool:
    """Whether it was valid and went through; what is refused stands in the form."""
    if not form.is_valid():
        return False
    try:
        do()
    except Refusal as refused:
        form.refuse(refused)
        return False
    return True


def _trail(*products: Product, feature: Feature | None = None) -> list[tuple[str, str]]:
    trail = [(reverse("marketplace:products"), _("Products"))]
    trail += [(reverse("marketplace:product", args=[p.slug]), p.name) for p in products]
    if feature is not None:
        trail.append((reverse("marketplace:feature", args=[feature.slug]), feature.name))
    return trail


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def product_new(request: HttpRequest) -> HttpResponse:
    user = lead(request)
    form = ProductForm(request.POST if request.method == "POST" else None, user=user)
    made: list[Product] = []

    def do() -> None:
        made.append(service.record_product(draft=form.draft(), by=user, at=clock.now()))

    if request.method == "POST" and _done(form, do):
        messages.success(request, _("%(name)s is recorded: add its features.") % {"name": made[0].name})
        return redirect("marketplace:product", made[0].slug)
    return form_page(
        request,
        form,
        title=_("New product"),
        back=reverse("marketplace:products"),
        more={"trail": _trail(), "meta": _("What we sell that runs on models"), "card": _("The product")},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def product_change(request: HttpRequest, slug: str) -> HttpResponse:
    user = lead(request)
    found = get_object_or_404(Product.objects.select_related("offering"), slug=slug)
    initial = {
        "name": found.name,
        "about": found.about,
        "offering": found.offering.slug if found.offering is not None else "",
    }
    form = ProductForm(
        request.POST if request.method == "POST" else None, user=user, changing=True, initial=initial
    )

    def do() -> None:
        reason = form.cleaned_data["reason"]
        service.revise_product(
            product_id=found.pk, draft=form.draft(), reason=reason, by=user, at=clock.now()
        )

    if request.method == "POST" and _done(form, do):
        messages.success(request, _("The product is changed."))
        return redirect("marketplace:product", found.slug)
    return form_page(
        request,
        form,
        title=_("Change the product"),
        back=reverse("marketplace:product", args=[found.slug]),
        more={"trail": _trail(found), "meta": found.name, "card": _("The product"), "button": _("Save")},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def product_end(request: HttpRequest, slug: str) -> HttpResponse:
    """Ends it with its features; where it has ended, takes that back."""
    user = lead(request)
    found = get_object_or_404(Product, slug=slug)
    return _end_page(
        request,
        found,
        back=reverse("marketplace:product", args=[found.slug]),
        trail=_trail(found),
        ending=Ending(
            keep=partial(service.keep_product, product_id=found.pk, by=user),
            end=partial(service.end_product, product_id=found.pk, by=user),
            title=_("End the product"),
            comes_back=_("Its features come back with it; what they run on has to be stated anew"),
            ends=_("All its features end with it; what they ran on before stays in the record"),
        ),
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """What ending something does, what taking that back does, and what the page says of either."""

    keep: Callable[..., object]
    end: Callable[..., object]
    title: str
    comes_back: str
    ends: str


def _end_page(
    request: HttpRequest,
    found: Product | Feature,
    *,
    back: str,
    trail: Sequence[tuple[str, str]],
    ending: Ending,
) -> HttpResponse:
    """The form that ends something; where it has ended, the one that takes that back."""
    keeps = found.ends_on is not None
    data = request.POST if request.method == "POST" else None
    form: Refusable = KeepForm(data) if keeps else EndForm(data, initial={"ends_on": clock.today()})

    def do() -> None:
        act = ending.keep if keeps else partial(ending.end, ends_on=form.cleaned_data["ends_on"])
        act(reason=form.cleaned_data["reason"], at=clock.now())

    if request.method == "POST" and _done(form, do):
        messages.success(request, _kept_or_ended(found.name, form, keeps=keeps))
        return redirect(back)
    return form_page(
        request,
        form,
        title=_("Take the end back") if keeps else ending.title,
        back=back,
        more={
            "trail": trail,
            "meta": ending.comes_back if keeps else ending.ends,
            "card": found.name,
            "button": _("Take it back") if keeps else _("End it"),
            "danger": not keeps,
        },
    )


def _kept_or_ended(name: str, form: Refusable, *, keeps: bool) -> str:
    if keeps:
        return _("%(name)s goes on: say what it runs on.") % {"name": name}
    return _("%(name)s ends on %(day)s.") % {"name": name, "day": day(form.cleaned_data["ends_on"])}


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def feature_new(request: HttpRequest, slug: str) -> HttpResponse:
    user = lead(request)
    product = get_object_or_404(Product, slug=slug)
    form = FeatureForm(request.POST if request.method == "POST" else None)
    made: list[Feature] = []

    def do() -> None:
        draft = form.draft()
        made.append(service.record_feature(product_id=product.pk, draft=draft, by=user, at=clock.now()))

    if request.method == "POST" and _done(form, do):
        messages.success(request, _("%(name)s is recorded: say what it runs on.") % {"name": made[0].name})
        return redirect("marketplace:feature-mix", made[0].slug)
    return form_page(
        request,
        form,
        rows=FEATURE_ROWS,
        title=_("New feature"),
        back=reverse("marketplace:product", args=[product.slug]),
        more={
            "trail": _trail(product),
            "meta": _("What is empty asks nothing of a model"),
            "card": _("The feature and what it asks"),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def feature_change(request: HttpRequest, slug: str) -> HttpResponse:
    user = lead(request)
    found = get_object_or_404(Feature.objects.select_related("product", "task_area"), slug=slug)
    initial = {
        "name": found.name,
        "about": found.about,
        "task": found.task_area.slug,
        "min_context": found.min_context,
        "modalities_in": found.modalities_in,
        "modalities_out": found.modalities_out,
        "zone": found.zone,
    }
    form = FeatureForm(request.POST if request.method == "POST" else None, changing=True, initial=initial)

    def do() -> None:
        reason = form.cleaned_data["reason"]
        service.revise_feature(
            feature_id=found.pk, draft=form.draft(), reason=reason, by=user, at=clock.now()
        )

    if request.method == "POST" and _done(form, do):
        messages.success(request, _("The feature is changed; what it asks holds from now on."))
        return redirect("marketplace:feature", found.slug)
    return form_page(
        request,
        form,
        rows=FEATURE_ROWS,
        title=_("Change the feature"),
        back=reverse("marketplace:feature", args=[found.slug]),
        more={
            "trail": _trail(found.product, feature=found),
            "meta": _("What is empty asks nothing of a model"),
            "card": _("The feature and what it asks"),
            "button": _("Save"),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def feature_end(request: HttpRequest, slug: str) -> HttpResponse:
    """Ends it; where it has ended, takes that back."""
    user = lead(request)
    found = get_object_or_404(Feature.objects.select_related("product"), slug=slug)
    return _end_page(
        request,
        found,
        back=reverse("marketplace:feature", args=[found.slug]),
        trail=_trail(found.product, feature=found),
        ending=Ending(
            keep=partial(service.keep_feature, feature_id=found.pk, by=user),
            end=partial(service.end_feature, feature_id=found.pk, by=user),
            title=_("End the feature"),
            comes_back=_("What it runs on from then on has to be stated anew"),
            ends=_("From that day on it runs on nothing; what it ran on before stays in the record"),
        ),
    )
