"""Our products and their features: begun, changed and ended by a sourcing lead. Nothing is deleted: what ran on what stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.models import Max
from django.utils.text import slugify

from accounts.audit import acting
from accounts.models import User
from config.house import day
from config.locks import one_at_a_time
from config.refusals import Conflict, NotFound, Problem, refuse_if_any
from marketplace.models import Feature, Offering, Product, Scenario, ScenarioState, TaskArea
from marketplace.services.sourcing.access import must_lead_sourcing
from marketplace.services.sourcing.binding import end_mixes
from marketplace.services.sourcing.reasons import clean, reason_problems

LONGEST_NAME: Final = 120
LONGEST_ABOUT: Final = 300
MOST_CONTEXT: Final = 100_000_000
MODALITIES: Final = ("text", "image", "audio", "video", "pdf")
ZONES: Final = ("", "eu", "us")
EARLIEST, LATEST = date(1970, 1, 1), date(2100, 1, 1)


@dataclass(frozen=True, slots=True)
class ProductDraft:
    """offering_id: as what it is sold; None: it is not."""

    name: str
    about: str = ""
    offering_id: int | None = None


@dataclass(frozen=True, slots=True)
class FeatureDraft:
    """What a feature is and asks of a model. What is empty asks nothing."""

    name: str
    task_area_id: int
    about: str = ""
    min_context: int | None = None
    modalities_in: Sequence[str] = ()
    modalities_out: Sequence[str] = ()
    zone: str = ""


@transaction.atomic
def record_product(*, draft: ProductDraft, by: User, at: datetime) -> Product:
    """Behind the others. Raises Forbidden, Invalid, Conflict (product_known)."""
    acting(by=by, at=at, reason="Product recorded")
    must_lead_sourcing(by)
    refuse_if_any(_product_problems(draft))
    one_at_a_time("marketplace.products")
    slug = _slug(draft.name, 60)
    if Product.objects.filter(slug=slug).exists() or Product.objects.filter(name__iexact=draft.name).exists():
        raise Conflict.of("product_known", "A product of that name is recorded already.", "/name")
    last = Product.objects.aggregate(last=Max("position"))["last"] or 0
    return Product.objects.create(
        slug=slug,
        name=clean(draft.name),
        about=clean(draft.about),
        offering_id=draft.offering_id,
        position=last + 1,
    )


@transaction.atomic
def revise_product(*, product_id: int, draft: ProductDraft, reason: str, by: User, at: datetime) -> Product:
    """Its address stays. Raises Forbidden, NotFound, Invalid, Conflict (product_known)."""
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _product(product_id)
    refuse_if_any([*_product_problems(draft), *reason_problems(reason, "Say why.")])
    if Product.objects.filter(name__iexact=clean(draft.name)).exclude(pk=found.pk).exists():
        raise Conflict.of("product_known", "Another product has that name.", "/name")
    found.name, found.about = clean(draft.name), clean(draft.about)
    found.offering_id = draft.offering_id
    found.save(update_fields=["name", "about", "offering"])
    return found


@transaction.atomic
def record_feature(*, product_id: int, draft: FeatureDraft, by: User, at: datetime) -> Feature:
    """Behind the others of its product; what it runs on is said next. Raises Forbidden, NotFound, Invalid, Conflict."""
    acting(by=by, at=at, reason="Feature recorded")
    must_lead_sourcing(by)
    product = _product(product_id)
    refuse_if_any(_feature_problems(draft))
    if product.ends_on is not None:
        raise Conflict.of(
            "product_ended", f"{product.name} ends on {day(product.ends_on)}: no feature comes to it."
        )
    one_at_a_time("marketplace.products")
    slug = _slug(f"{product.slug} {draft.name}", 80)
    if (
        Feature.objects.filter(slug=slug).exists()
        or Feature.objects.filter(product=product, name__iexact=clean(draft.name)).exists()
    ):
        raise Conflict.of("feature_known", f"{product.name} has a feature of that name already.", "/name")
    last = Feature.objects.filter(product=product).aggregate(last=Max("position"))["last"] or 0
    return Feature.objects.create(product=product, slug=slug, position=last + 1, **_facts(draft))


@transaction.atomic
def revise_feature(*, feature_id: int, draft: FeatureDraft, reason: str, by: User, at: datetime) -> Feature:
    """What it asks holds at once: a qualified alternative that fails it covers nothing from now on.

    Raises   Forbidden, NotFound, Invalid, Conflict (feature_known).
    """
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _feature(feature_id)
    refuse_if_any([*_feature_problems(draft), *reason_problems(reason, "Say why.")])
    same = Feature.objects.filter(product=found.product_id, name__iexact=clean(draft.name))
    if same.exclude(pk=found.pk).exists():
        raise Conflict.of("feature_known", "Another feature of the product has that name.", "/name")
    facts = _facts(draft)
    for name, value in facts.items():
        setattr(found, name, value)
    found.save(update_fields=list(facts))
    return found


@transaction.atomic
def end_feature(*, feature_id: int, ends_on: date, reason: str, by: User, at: datetime) -> Feature:
    """From a day on it is no more and runs on nothing; what it ran on before stays.

    Raises   Forbidden, NotFound; Invalid; Conflict (already_ended; scenario_waits: one that would change it waits for a decision).
    """
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _feature(feature_id)
    refuse_if_any([*reason_problems(reason, "Say why."), *_day_problems(ends_on)])
    _end(found, ends_on, by, at)
    return found


@transaction.atomic
def end_product(*, product_id: int, ends_on: date, reason: str, by: User, at: datetime) -> Product:
    """With every feature that has not ended by then. Raises as end_feature."""
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _product(product_id)
    refuse_if_any([*reason_problems(reason, "Say why."), *_day_problems(ends_on)])
    if found.ends_on is not None:
        raise Conflict.of("already_ended", f"{found.name} ends on {day(found.ends_on)} already.")
    for feature in Feature.objects.select_for_update(no_key=True).filter(product=found).order_by("pk"):
        if feature.ends_on is None or feature.ends_on > ends_on:
            feature.ends_on = None
            _end(feature, ends_on, by, at)
    found.ends_on = ends_on
    found.save(update_fields=["ends_on"])
    return found


@transaction.atomic
def keep_feature(*, feature_id: int, reason: str, by: User, at: datetime) -> Feature:
    """Take its end back. What it runs on from that day on has to be stated anew.

    Raises   Forbidden, NotFound; Invalid; Conflict (not_ended; product_ended).
    """
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _feature(feature_id)
    refuse_if_any(reason_problems(reason, "Say why."))
    if found.ends_on is None:
        raise Conflict.of("not_ended", "Nobody has ended it.")
    if found.product.ends_on is not None:
        raise Conflict.of("product_ended", f"{found.product.name} ends: take that back first.")
    found.ends_on = None
    found.save(update_fields=["ends_on"])
    return found


@transaction.atomic
def keep_product(*, product_id: int, reason: str, by: User, at: datetime) -> Product:
    """Take its end back, and that of the features that ended with it. Raises as keep_feature."""
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = _product(product_id)
    refuse_if_any(reason_problems(reason, "Say why."))
    if found.ends_on is None:
        raise Conflict.of("not_ended", "Nobody has ended it.")
    Feature.objects.filter(product=found, ends_on=found.ends_on).update(ends_on=None)
    found.ends_on = None
    found.save(update_fields=["ends_on"])
    return found


def _end(feature: Feature, ends_on: date, by: User, at: datetime) -> None:
    if feature.ends_on is not None:
        raise Conflict.of("already_ended", f"{feature.name} ends on {day(feature.ends_on)} already.")
    waiting = Scenario.objects.filter(state=ScenarioState.ASKED, moves__feature=feature).first()
    if waiting is not None:
        raise Conflict.of(
            "scenario_waits",
            f"The scenario {waiting.name} moves traffic of {feature.name} and waits for a decision: decide on it first.",
        )
    end_mixes(feature_id=feature.pk, ends_on=ends_on, by=by, at=at)
    feature.ends_on = ends_on
    feature.save(update_fields=["ends_on"])


def _product(product_id: int) -> Product:
    found = Product.objects.select_for_update(no_key=True).filter(pk=product_id).first()
    if found is None:
        raise NotFound.of("unknown_product", "There is no such product.")
    return found


def _feature(feature_id: int) -> Feature:
    found = (
        Feature.objects.select_for_update(no_key=True, of=("self",))
        .select_related("product")
        .filter(pk=feature_id)
        .first()
    )
    if found is None:
        raise NotFound.of("unknown_feature", "There is no such feature.")
    return found


# --- what may be wrong --------------------------------------------------------------------------------------


def _slug(name: str, longest: int) -> str:
    """An address out of a name; "new" is the address of a form."""
    slug = slugify(clean(name))[:longest].strip("-")
    return f"{slug}-product" if slug == "new" else slug


def _facts(draft: FeatureDraft) -> dict[str, object]:
    return {
        "name": clean(draft.name),
        "about": clean(draft.about),
        "task_area_id": draft.task_area_id,
        "min_context": draft.min_context,
        "modalities_in": list(draft.modalities_in),
        "modalities_out": list(draft.modalities_out),
        "zone": draft.zone,
    }


def _name_problems(name: str, about: str) -> list[Problem]:
    found = []
    called = clean(name)
    if not called:
        found.append(Problem("name_missing", "Enter the name.", "/name"))
    elif len(called) > LONGEST_NAME:
        found.append(Problem("name_too_long", f"At most {LONGEST_NAME} characters.", "/name"))
    elif not slugify(called):
        found.append(Problem("name_unreadable", "Write the name with at least one letter or digit.", "/name"))
    if len(clean(about)) > LONGEST_ABOUT:
        found.append(Problem("about_too_long", f"At most {LONGEST_ABOUT} characters.", "/about"))
    return found


def _product_problems(draft: ProductDraft) -> list[Problem]:
    found = _name_problems(draft.name, draft.about)
    if draft.offering_id is not None and not Offering.objects.filter(pk=draft.offering_id).exists():
        found.append(Problem("unknown_offering", "There is no such offering.", "/offering"))
    return found


def _feature_problems(draft: FeatureDraft) -> list[Problem]:
    found = _name_problems(draft.name, draft.about)
    if not TaskArea.objects.filter(pk=draft.task_area_id).exists():
        found.append(Problem("unknown_task", "There is no such task.", "/task"))
    if draft.min_context is not None and not 1 <= draft.min_context <= MOST_CONTEXT:
        found.append(
            Problem("context_out_of_range", "Enter how many tokens, from 1 up, or nothing.", "/min_context")
        )
    for name, given in (("modalities_in", draft.modalities_in), ("modalities_out", draft.modalities_out)):
        if not set(given) <= set(MODALITIES):
            found.append(Problem("unknown_modality", f"Modalities are {', '.join(MODALITIES)}.", f"/{name}"))
    if draft.zone not in ZONES:
        found.append(Problem("unknown_zone", "Zones are eu and us, or none.", "/zone"))
    return found


def _day_problems(ends_on: date) -> list[Problem]:
    if not EARLIEST <= ends_on < LATEST:
        return [Problem("day_out_of_range", "Enter a day between 1970 and 2099.", "/ends_on")]
    return []
