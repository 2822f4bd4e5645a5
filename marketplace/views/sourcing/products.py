"""Our products, their features and what these run on: as it is, as it was, and as it changes from a day on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import charts, clock, exporting, formats
from config.charts import Held, Share, Tone
from config.formats import day as day_text
from config.language import _, later
from config.refusals import Refusal
from marketplace.importers.products import Documented, documentation
from marketplace.models import Binding, BindingRole, Feature, Offering, Product, PublicFact, Publisher
from marketplace.selectors.sourcing import products as read
from marketplace.selectors.sourcing.access import reads_bindings, reads_sourcing
from marketplace.selectors.sourcing.binding import bindings, bindings_on
from marketplace.selectors.sourcing.products import Line, Mix, MustMove, Shown
from marketplace.selectors.visibility import offerings_for
from marketplace.services.sourcing.binding import last_stated, set_mix, share_text
from marketplace.views import HtmxRequest, day_asked, signed_in, wants_part
from marketplace.views.sourcing.mix_form import MixForm, without_row

ONE: Final = 1_000_000
TONES: Final[tuple[Tone, ...]] = ("c1", "c2", "c3", "c4", "c5")
SOON: Final = timedelta(days=180)
FARTHEST: Final = timedelta(days=730)  # a chart reaches no further behind the last mix
SURFACES: Final = {
    "chat": later("Chat"),
    "cli": later("Command line"),
    "cloud_agent": later("Cloud agent"),
    "app": later("App"),
}


def _reader(request: HtmxRequest) -> User:
    """Whoever may not read bindings learns of no such page."""
    user = signed_in(request)
    if not reads_bindings(user):
        raise Http404
    return user


def _leads(user: User) -> bool:
    return user.has_role(Role.SOURCING_LEAD)


# --- words and colours ------------------------------------------------------------------------------------
A_FEW: Final = 10  # features of a product where all products stand


@dataclass(frozen=True, slots=True)
class Palette:
    """A tone for each maker, the same on every page: by how often they were ever bound."""

    names: dict[int, str]
    tones: dict[int, Tone]

    def tone(self, maker: int) -> Tone:
        return self.tones.get(maker, "muted")

    def legend(self, makers: Iterable[int]) -> list[tuple[str, Tone]]:
        wanted = set(makers)
        return [(name, self.tone(pk)) for pk, name in self.names.items() if pk in wanted]


def palette() -> Palette:
    """1 query."""
    makers = list(
        Publisher.objects.annotate(
            bound=Count(
                "models__versions__bindings", filter=Q(models__versions__bindings__superseded_at=None)
            )
        )
        .filter(bound__gt=0)
        .order_by("-bound", "name")
        .values_list("pk", "name")
    )
    return Palette(
        dict(makers),
        {pk: TONES[place] if place < len(TONES) else "muted" for place, (pk, _name) in enumerate(makers)},
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A feature as lists show it. models: name, share in words, tone."""

    line: Line
    bar: SafeString
    models: list[tuple[str, str, Tone]]
    gap: str

    @property
    def next_move(self) -> MustMove | None:
        return self.line.moves[0] if self.line.moves else None

    @property
    def later_moves(self) -> int:
        return max(len(self.line.moves) - 1, 0)


def _row(line: Line, colours: Palette) -> Row:
    if line.mix is None:
        return Row(line, SafeString(""), [], "")
    return Row(line, mix_bar(line.mix, colours, line.feature.name), _models(line.mix, colours), gap(line.mix))


def mix_bar(mix: Mix, colours: Palette, name: str) -> SafeString:
    """Shares in the colours of their makers, the rest as not stated."""
    stated = [
        Share(b.model_version.model.name, b.share_ppm, colours.tone(b.model_version.model.publisher_id))
        for b in mix.bindings
        if b.share_ppm
    ]
    open_part = [Share(_("Not stated"), ONE - mix.known_ppm, "muted")] if mix.known_ppm < ONE else []
    return charts.share_bar([*stated, *open_part], label=_("What %(name)s runs on") % {"name": name})


def _models(mix: Mix, colours: Palette) -> list[tuple[str, str, Tone]]:
    """Name, share in words, tone."""
    return [
        (b.model_version.model.name, said(b), colours.tone(b.model_version.model.publisher_id))
        for b in mix.bindings
    ]


def said(binding: Binding) -> str:
    """The share in words: a fallback has none, an unknown one says so."""
    if binding.role == BindingRole.FALLBACK:
        return _("fallback")
    return _("not stated") if binding.share_ppm is None else share_text(binding.share_ppm)


def gap(mix: Mix) -> str:
    if not mix.is_open:
        return ""
    if mix.known_ppm == 0:
        return _("How the traffic divides is not stated")
    return _("%(ONE)s of the traffic is not stated") % {"ONE": share_text(ONE - mix.known_ppm)}


# --- pages ------------------------------------------------------------------------------------------------


@require_safe
@login_required
def products(request: HtmxRequest) -> HttpResponseBase:
    """8 queries, whatever the number of products and features."""
    user, on = _reader(request), day_asked(request)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="bindings",
            title="What our features run on",
            table=read.table(bindings_on(on)),
        )
    shown, colours = read.products_on(on), palette()
    lines = [line for each in shown for line in each.lines]
    moves = _soonest(lines)
    bound = [line for line in lines if line.mix is not None]
    return render(
        request,
        "marketplace/sourcing/products.html",
        {
            "on": on,
            "today": clock.today(),
            "products": [(each, [_row(line, colours) for line in each.lines[:A_FEW]]) for each in shown],
            "legend": colours.legend(pk for each in shown for pk in each.supplier_ids),
            "features": len(lines),
            "idle": len(lines) - len(bound),
            "models": len({b.model_version_id for line in bound for b in _of(line)}),
            "makers": len({pk for each in shown for pk in each.supplier_ids}),
            "sole": sum(line.is_sole for line in bound),
            **_moving(moves, on),
            "ended": Product.objects.filter(ends_on__lte=on).order_by("position", "name"),
            "leads": _leads(user),
        },
    )


def _of(line: Line) -> tuple[Binding, ...]:
    return line.mix.bindings if line.mix is not None else ()


def _moving(moves: list[MustMove], on: date) -> dict[str, Any]:
    """What has to move soon, and what later; moving counts the features of the former."""
    soon = min(on, date.max - SOON) + SOON
    near = [move for move in moves if move.retires_on <= soon]
    return {
        "moves": read.by_retirement(near),
        "later": read.by_retirement([move for move in moves if move.retires_on > soon]),
        "moving": len({move.feature.pk for move in near}),
        "soon": soon,
    }


def _soonest(lines: Sequence[Line]) -> list[MustMove]:
    return sorted(
        (move for line in lines for move in line.moves),
        key=lambda m: (m.retires_on, m.version.model.name, m.version.pk, -(m.share_ppm or 0)),
    )


@require_safe
@login_required
def product(request: HtmxRequest, slug: str) -> HttpResponseBase:
    """12 queries, whatever the number of features and mixes."""
    user, on = _reader(request), day_asked(request)
    found = get_object_or_404(Product, slug=slug)
    if form := exporting.asked(request):
        table = read.table(bindings_on(on).filter(feature__product=found))
        return exporting.answer(request, form, name=f"bindings {slug}", title=found.name, table=table)
    shown, colours = read.products_on(on, Product.objects.filter(pk=found.pk))[0], palette()
    moves = _soonest(shown.lines)
    return render(
        request,
        "marketplace/sourcing/product.html",
        {
            "on": on,
            "today": clock.today(),
            "product": shown.product,
            "sold": _for_sale(user, shown),
            "rows": [_row(line, colours) for line in shown.lines],
            "legend": colours.legend(shown.supplier_ids),
            **_moving(moves, on),
            "makers": len(shown.supplier_ids),
            "ended": Feature.objects.filter(product=found, ends_on__lte=on).order_by("position", "name"),
            "leads": _leads(user),
            "facts": PublicFact.objects.filter(
                bindings__feature__product=found, bindings__superseded_at=None
            ).distinct(),
            **_documented(found),
        },
    )


def _for_sale(user: User, shown: Shown) -> Offering | None:
    """The offering as which the product is sold, if this reader may see it."""
    if shown.product.offering_id is None:
        return None
    return offerings_for(user).filter(pk=shown.product.offering_id).first()


def _documented(product: Product) -> dict[str, Any]:
    """What is documented of the product's models: nothing for a product without such a source."""
    stated = documentation()
    if stated.product != product.slug:
        return {}
    return {"stated": stated, "documented": [(each, _surfaces(each)) for each in stated.models]}


def _surfaces(each: Documented) -> str:
    """Where the automatic selection may choose it; nothing where that is not stated."""
    chosen = [SURFACES[name] for name, may in each.automatic.items() if may]
    return ", ".join(map(str, chosen)) if each.automatic else ""


@require_safe
@login_required
def feature(request: HtmxRequest, slug: str) -> HttpResponseBase:
    """9 queries, whatever the number of mixes."""
    user, on = _reader(request), day_asked(request)
    found = get_object_or_404(Feature.objects.select_related("product", "task_area"), slug=slug)
    rows = bindings().filter(feature=found).select_related("made_by", "scenario")
    if form := exporting.asked(request):
        return exporting.answer(
            request, form, name=f"bindings {slug}", title=str(found), table=read.table(rows)
        )
    every, colours = list(rows), palette()
    stated = read.mixes(every)
    now = next((mix for mix in stated if mix.holds(on)), None)
    sold, moves = _offerings_by_version(user, every), read.must_move(every, on)
    return render(
        request,
        "marketplace/sourcing/feature.html",
        {
            "on": on,
            "today": clock.today(),
            "feature": found,
            "asks": _asks(found),
            "mix": now,
            "bar": mix_bar(now, colours, found.name) if now is not None else "",
            "gap": gap(now) if now is not None else "",
            "lines": _lines(now, colours, sold),
            "following": next((mix for mix in stated if mix.start > on), None),
            "moves": moves,
            "overdue": bool(moves) and moves[0].retires_on <= on,
            "chart": _chart(found, stated, colours, on),
            "twin": _twin(stated, colours),
            "legend": colours.legend(pk for mix in stated for pk in mix.supplier_ids),
            "mixes": [
                (mix, mix.holds(on), mix.start > on, _lines(mix, colours, sold)) for mix in stated[::-1]
            ],
            "replaced": [
                (each.at, [(old, said(old)) for old in each.bindings]) for each in read.replaced(found)
            ],
            "leads": _leads(user),
            "buys": reads_sourcing(user),
        },
    )


@dataclass(frozen=True, slots=True)
class BoundLine:
    """One model of a mix as a page shows it."""

    binding: Binding
    share: str
    tone: Tone
    offering: Offering | None
    evidence: str


def _lines(mix: Mix | None, colours: Palette, sold: dict[int, Offering]) -> list[BoundLine]:
    return [
        BoundLine(
            b,
            said(b),
            colours.tone(b.model_version.model.publisher_id),
            sold.get(b.model_version_id),
            read.evidence_text(b),
        )
        for b in (mix.bindings if mix is not None else ())
    ]


def _offerings_by_version(user: User, rows: Sequence[Binding]) -> dict[int, Offering]:
    """The first offering of each version that this reader may see. 1 query."""
    found: dict[int, Offering] = {}
    for offering in (
        offerings_for(user).filter(model_version__in={b.model_version_id for b in rows}).order_by("id")
    ):
        found.setdefault(offering.model_version_id or 0, offering)
    return found


def _asks(found: Feature) -> list[tuple[str, str]]:
    return [
        (_("Task"), found.task_area.name),
        (
            _("Context"),
            _("At least %(min_context)s tokens") % {"min_context": formats.whole(found.min_context)}
            if found.min_context is not None
            else _("Any length"),
        ),
        (_("Takes in"), ", ".join(found.modalities_in).capitalize() or _("Anything")),
        (_("Gives out"), ", ".join(found.modalities_out).capitalize() or _("Anything")),
        (
            _("Data processed"),
            {"eu": _("In the European Union"), "us": _("In the United States")}.get(
                found.zone, found.zone or _("Anywhere")
            ),
        ),
    ]


def _chart(found: Feature, stated: Sequence[Mix], colours: Palette, on: date) -> SafeString | str:
    """Each maker's share of the traffic over time; a gap where a mix does not state all shares."""
    if not stated:
        return ""
    first = stated[0].start
    last = max(min(on, stated[-1].start + FARTHEST), stated[-1].start) + timedelta(days=60)
    length = (last - first).days
    makers = [pk for pk in colours.names if any(pk in mix.supplier_ids for mix in stated)]
    series = [
        (
            colours.tone(pk),
            [
                Held(
                    (mix.start - first).days,
                    (min(mix.end, last) - first).days if mix.end is not None else length,
                    None if mix.is_open or pk not in mix.supplier_ids else _share_of(mix, pk) / 10_000,
                )
                for mix in stated
                if mix.start < last
            ],
        )
        for pk in makers
    ]
    return charts.step_chart(
        series,
        length=length,
        now=min(max((on - first).days, 0), length),
        label=_("Share of %(found_name)s by maker over time, in per cent; the table says the same")
        % {"found_name": found.name},
        ticks=[((d - first).days, formats.month(d)) for d in _quarters(first, last)],
        top=100,
        write=lambda value: formats.percent(round(value), 100, 0),
    )


def _quarters(first: date, last: date) -> list[date]:
    """At most nine first days of quarters, evenly."""
    days = [
        date(year, month, 1)
        for year in range(first.year, last.year + 1)
        for month in (1, 4, 7, 10)
        if first <= date(year, month, 1) < last
    ]
    return days[:: -(-len(days) // 8)] if days else []


def _share_of(mix: Mix, maker: int) -> int:
    return sum(b.share_ppm or 0 for b in mix.bindings if b.model_version.model.publisher_id == maker)


def _twin(stated: Sequence[Mix], colours: Palette) -> SafeString | str:
    if not stated:
        return ""
    makers = [pk for pk in colours.names if any(pk in mix.supplier_ids for mix in stated)]
    return charts.table_twin(
        _("Shares by maker"),
        [_("From"), *[colours.names[pk] for pk in makers]],
        (
            [
                day_text(mix.start),
                *(
                    _("not stated")
                    if mix.is_open and pk in mix.supplier_ids
                    else share_text(_share_of(mix, pk))
                    for pk in makers
                ),
            ]
            for mix in stated
        ),
    )


# --- changing it ------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@vary_on_headers("HX-Request")
def feature_mix(request: HtmxRequest, slug: str) -> HttpResponse:
    """Say what the feature runs on from a day on; the total is added up by the server, with or without scripts."""
    user = _reader(request)
    if not _leads(user):
        raise PermissionDenied
    found = get_object_or_404(Feature.objects.select_related("product", "task_area"), slug=slug)
    stated = read.mixes(bindings().filter(feature=found))
    today = clock.today()
    on = day_asked(request, "from")
    if request.method == "POST":
        form = MixForm(without_row(request.POST), feature=found, today=today)
    else:
        holding = next((mix for mix in stated if mix.holds(on)), None)
        form = MixForm(None, feature=found, today=today, mix=holding, day=on, seen=last_stated(found.pk))
    do = request.POST.get("do", "")
    refused = False
    if request.method == "POST" and do == "set":
        if form.is_valid() and _said(request, user, found, form):
            return redirect("marketplace:feature", found.slug)
        refused = True
    form.settle()
    day = form.day
    held = next((mix for mix in stated if mix.holds(day)), None)
    context = {
        "feature": found,
        "form": form,
        "total": form.total(),
        "today": today,
        "day": day,
        "holding": held,
        "following": next((mix for mix in stated if mix.start > day), None),
    }
    if wants_part(request):
        return render(request, "marketplace/sourcing/feature_mix.html#total", context)
    if held is not None:
        colours = palette()
        context |= {"bar": mix_bar(held, colours, found.name), "models": _models(held, colours)}
    return render(request, "marketplace/sourcing/feature_mix.html", context, status=422 if refused else 200)


def _said(request: HtmxRequest, user: User, found: Feature, form: MixForm) -> bool:
    try:
        set_mix(
            feature_id=found.pk,
            from_day=form.cleaned_data["from_day"],
            rows=form.mix_rows(),
            reason=form.cleaned_data["reason"],
            source=form.cleaned_data["source"],
            seen=form.cleaned_data["seen"],
            by=user,
            at=clock.now(),
        )
    except Refusal as refused:
        form.refuse(refused)
        return False
    messages.success(
        request,
        _("%(found_name)s runs on this mix from %(cleaned_data)s on. What held before is kept below.")
        % {"found_name": found.name, "cleaned_data": day_text(form.cleaned_data["from_day"])},
    )
    return True
