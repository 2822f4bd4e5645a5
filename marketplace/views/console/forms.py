"""Which fields each change shows, what they begin with, and what the address decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db.models import QuerySet
from django.http import Http404

from config.language import later
from marketplace.models import (
    Currency,
    ModelVersion,
    Offering,
    Operation,
    Plan,
    PriceVersion,
    Publisher,
    TaskArea,
)
from marketplace.selectors.prices import WORLD
from marketplace.services.change_sets import SHAPES, shapes
from marketplace.services.change_sets.desk import raw, raw_rows
from marketplace.views.console.boxes import METERS, ItemForm, Known

Body = dict[str, Any]
ROWS_HELP: Final = later(
    "An empty amount is an unknown price, 0 is free. A row without a meter and an amount is left out."
)


@dataclass(frozen=True)
class Subject:
    """What a change is about, as far as its address says."""

    publisher: Publisher
    on: date
    offering: Offering | None = None
    plan: Plan | None = None
    version: ModelVersion | None = None
    price: PriceVersion | None = None

    def the_offering(self) -> Offering:
        if self.offering is None:
            raise Http404
        return self.offering

    def the_plan(self) -> Plan:
        if self.plan is None:
            raise Http404
        return self.plan

    def the_version(self) -> ModelVersion:
        if self.version is None:
            raise Http404
        return self.version


@dataclass(frozen=True)
class Form:
    """How one operation is asked for.

    fixed     What the address decides, as members of the body; they are not shown.
    begins    The body that the form begins with.
    changes   Only what differs from the beginning goes into the item.
    """

    title: str
    intro: str
    fixed: Callable[[Subject], Body]
    begins: Callable[[Subject], Body] = lambda _subject: {}
    changes: bool = False
    groups: tuple[tuple[str, str, tuple[str, ...]], ...] = (("", "", ()),)
    hidden: tuple[str, ...] = ()
    spare: Mapping[str, int] = field(default_factory=dict)


def _slug(subject: Subject) -> Body:
    return {"slug": subject.the_offering().slug}


def _offering(subject: Subject) -> Body:
    return {"offering": subject.the_offering().slug}


def _plan(subject: Subject) -> Body:
    return {"offering": subject.the_offering().slug, "plan": subject.the_plan().slug}


def _model(subject: Subject) -> Body:
    version = subject.the_version()
    return {"model": version.model.slug, "version": version.label}


def _price(subject: Subject) -> Body:
    if subject.price is None:
        raise Http404
    return {"offering": subject.the_offering().slug, "price_version": subject.price.pk}


def offering_facts(subject: Subject) -> Body:
    """As the body of an update would have them. 1 query."""
    offering = subject.the_offering()
    body = {
        f.name: raw(getattr(offering, f.name)) for f in shapes.OFFERING_FACTS if hasattr(offering, f.name)
    }
    body["replacement"] = offering.replacement.slug if offering.replacement else None
    body["task_areas"] = [area.slug for area in offering.task_areas.all()]
    return body


def _plan_facts(subject: Subject) -> Body:
    plan = subject.the_plan()
    return {
        f.name: raw(getattr(plan, f.name))
        for f in (*shapes.PLAN, shapes.Field("withdrawn_on", shapes.Day(), ""))
    }


def _model_facts(subject: Subject) -> Body:
    version = subject.the_version()
    facts = {f.name: raw(getattr(version.model, f.name)) for f in shapes.MODEL_FACTS}
    return facts | {f.name: raw(getattr(version, f.name)) for f in shapes.VERSION_FACTS}


def _new_price(subject: Subject) -> Body:
    """The rows of the price in effect, so that a change is one number. 2 queries."""
    plan = subject.the_plan()
    last = (
        PriceVersion.objects.filter(plan=plan, superseded_at=None, private_offer=None)
        .order_by("-effective", "-id")
        .first()
    )
    begins: Body = {"market": WORLD, "currency": "USD", "ends_previous": True, "rows": _usual_rows()}
    if last is not None:
        begins |= {
            "market": last.market,
            "currency": last.currency_id,
            "rows": raw_rows(last.rows.order_by("id")),
        }
    return begins


def _corrected(subject: Subject) -> Body:
    if subject.price is None:
        raise Http404
    return {"rows": raw_rows(subject.price.rows.order_by("id"))}


def _usual_rows() -> list[Body]:
    return [{"meter": meter, "per": per, "unit": unit} for meter, per, unit in METERS]


def _usual_price() -> Body:
    return {"market": WORLD, "currency": "USD", "rows": _usual_rows()}


def _new_plan(_subject: Subject) -> Body:
    return {"processing_tier": "standard", "is_public": True, "prices": [_usual_price()]}


def _new_offering(_subject: Subject) -> Body:
    return {
        "kind": "model",
        "plans": [{**_new_plan(_subject), "slug": "", "name": ""}],
    }


PLAN_GROUPS: Final = (
    (later("The plan"), later("How it is bought: where it runs, how fast, how it is charged."), ()),
)
PRICE_GROUPS: Final = ((later("The price"), ROWS_HELP, ()),)
FORMS: Final[Mapping[str, Form]] = {
    Operation.OFFERING_CREATE: Form(
        later("New offering"),
        later(
            "It becomes part of the catalog once a reviewer has approved it, and is on sale once it is published."
        ),
        lambda _subject: {},
        _new_offering,
        groups=(
            (later("What it is"), "", ("slug", "name", "kind", "family", "summary", "task_areas")),
            (
                later("The model"),
                later(
                    "An existing version by its slug and version; or a new one with its facts. Empty for a seat, an agent or a service."
                ),
                ("model",),
            ),
            (
                later("How it is sold"),
                "",
                ("commercial_path", "path_basis", "path_assumed", "billing_countries"),
            ),
            (
                later("Lifecycle"),
                "",
                (*(f.name for f in shapes.STAGES), "replacement"),
            ),
            (later("Plans and prices"), ROWS_HELP, ("plans",)),
            (later("Other names"), later("What a price file or an older page calls it."), ("aliases",)),
        ),
        hidden=("publisher",),
        spare={"aliases": 1},
    ),
    Operation.OFFERING_UPDATE: Form(
        later("Change the offering"),
        later("Only what you change goes into the change set."),
        _slug,
        offering_facts,
        changes=True,
        groups=(
            (later("Facts"), "", ("name", "family", "summary", "task_areas")),
            (
                later("How it is sold"),
                "",
                ("commercial_path", "path_basis", "path_assumed", "billing_countries"),
            ),
            (
                later("Lifecycle"),
                later("A retirement needs 120 days' notice: legacy 30 days, then 90 days without new deals."),
                (*(f.name for f in shapes.STAGES), "replacement"),
            ),
        ),
    ),
    Operation.OFFERING_PUBLISH: Form(
        later("Publish"),
        later("It goes on sale on that day, once the change set is approved."),
        _slug,
        groups=((later("When"), "", ()),),
    ),
    Operation.OFFERING_STOP: Form(
        later("Take it off sale"),
        later("Deals that name it stay; new ones are refused."),
        _slug,
        groups=((later("Why"), "", ()),),
    ),
    Operation.OFFERING_RETIRE: Form(
        later("Retire"),
        later("Legacy 120 days before, no new deals 90 days before. Customers and open deals are told."),
        _slug,
        lambda subject: {"replacement": offering_facts(subject)["replacement"]},
        groups=((later("When, and what instead"), "", ()),),
    ),
    Operation.PLAN_CREATE: Form(
        later("New plan"),
        later("Nobody can buy it before it has a price in effect."),
        _offering,
        _new_plan,
        groups=PLAN_GROUPS,
    ),
    Operation.PLAN_UPDATE: Form(
        later("Change the plan"),
        later("Only what you change goes into the change set."),
        _plan,
        _plan_facts,
        changes=True,
        groups=PLAN_GROUPS,
    ),
    Operation.PRICE_ADD: Form(
        later("New price"),
        later("From its first day on; it ends the price before it, which stays on record."),
        _plan,
        _new_price,
        groups=PRICE_GROUPS,
    ),
    Operation.PRICE_CORRECT: Form(
        later("Correct a price"),
        later("For the same days, in place of what was wrong; deals keep naming the one they were quoted."),
        _price,
        _corrected,
        groups=PRICE_GROUPS,
    ),
    Operation.MODEL_UPDATE: Form(
        later("Change facts of the model"),
        later("Only what you change goes into the change set. Unknown stays empty; it is never 0."),
        _model,
        _model_facts,
        changes=True,
        groups=((later("Facts"), "", ()),),
    ),
    Operation.ALIAS_ADD: Form(
        later("New alias"),
        later("Another name of this offering, for a span of days. On any day a name means one thing."),
        _offering,
        groups=((later("The name"), "", ()),),
        hidden=("model", "version"),
    ),
    Operation.EVALUATION_ADD: Form(
        later("New evaluation result"),
        later(
            "One result of one benchmark with one harness, or a finding without figures. Missing is not zero."
        ),
        _model,
        lambda _subject: {"higher_is_better": True},
        groups=(
            (
                later("What was measured"),
                "",
                (
                    *("task_area", "subject", "benchmark", "benchmark_version", "metric"),
                    *("higher_is_better", "harness", "variant"),
                ),
            ),
            (
                later("The result"),
                "",
                (
                    *("score", "interval_low", "interval_high", "sample_size", "finding"),
                    *("cost_usd", "latency_s"),
                ),
            ),
            (later("Where it comes from"), "", ("dated", "evaluator", "source", "licence", "synthetic")),
        ),
    ),
}


def subject_of(publisher: Publisher, on: date, given: Mapping[str, str]) -> Subject:
    """What the address names, among the publisher's own; 404 for anything else. At most 4 queries."""
    own = Offering.objects.filter(publisher=publisher).select_related(
        "model_version__model", "replacement", "publisher"
    )
    offering = plan = price = None
    if any("\x00" in text for text in given.values()):
        raise Http404
    if slug := given.get("offering"):
        offering = _one(own, slug=slug)
    if offering is not None and (slug := given.get("plan")):
        plan = _one(Plan.objects.filter(offering=offering).select_related("offering"), slug=slug)
    number = given.get("price", "")
    if offering is not None and number.isascii() and number.isdigit() and len(number) < 19:
        versions = PriceVersion.objects.filter(
            plan__offering=offering, private_offer=None, superseded_at=None
        )
        price = _one(versions.select_related("plan", "currency"), pk=int(number))
    version = offering.model_version if offering is not None else None
    return Subject(publisher, on, offering, plan, version, price)


def _one(rows: "QuerySet[Any]", **wanted: Any) -> Any:
    found = rows.filter(**wanted).first()
    if found is None:
        raise Http404
    return found


def known_to(subject: Subject, operation: str) -> Known:
    """What the fields offer. At most 5 queries."""
    own = Offering.objects.filter(publisher=subject.publisher).order_by("name").values_list("slug", "name")
    areas = [(a.slug, a.name) for a in TaskArea.objects.order_by("position", "id")]
    currencies = [(c.code, f"{c.code}, {c.name}") for c in Currency.objects.order_by("code")]
    options: dict[str, Any] = {
        "/task_areas": areas,
        "/task_area": areas,
        "/currency": currencies,
        "/prices/currency": currencies,
        "/plans/prices/currency": currencies,
    }
    if subject.offering is not None:
        options["/replacement"] = [(slug, name) for slug, name in own if slug != subject.offering.slug]
        if operation == Operation.ALIAS_ADD:
            options["/plan"] = [(p.slug, p.name) for p in subject.offering.plans.order_by("position", "id")]
    elif operation == Operation.OFFERING_CREATE:
        options["/replacement"] = list(own)
    capabilities: set[str] = set()
    if operation in (Operation.OFFERING_CREATE, Operation.MODEL_UPDATE):
        for said in ModelVersion.objects.filter(model__publisher=subject.publisher).values_list(
            "capabilities", flat=True
        ):
            capabilities |= set(said or {})
    lists = {"/model/slug": "known-models", "/model/version": "known-versions"}
    return Known(options, lists, sorted(capabilities))


def form_of(operation: str, subject: Subject, values: Body, spare: Mapping[str, int]) -> ItemForm:
    form = FORMS[operation]
    return ItemForm(
        SHAPES[operation],
        values,
        known=known_to(subject, operation),
        hidden=(*form.fixed(subject), *form.hidden),
        groups=form.groups,
        spare={**form.spare, **spare},
    )


def differing(body: Body, begins: Body) -> Body:
    """Members that are not as they were; the order of a list of words says nothing."""

    def plain(value: Any) -> Any:
        return sorted(value) if isinstance(value, list) else value

    return {
        name: value
        for name, value in body.items()
        if plain(value) != plain(begins.get(name))
        and not (value in (None, "") and begins.get(name) in (None, ""))
    }
