"""What could take over: the register of substitutions, one feature's alternatives and candidates, the leverage sheet, the drill."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.charts import Share, Tone, legend, share_bar
from config.given import given
from config.language import _, later, ngettext
from config.months import add_months, month_of
from config.ordering import Orders
from config.posted import posted_from
from config.refusals import Refusal
from marketplace.models import Company, Feature, Publisher, Substitution, SubstitutionState
from marketplace.models.sourcing.companies import MONEY_KINDS
from marketplace.selectors.sourcing import leverage as sheet
from marketplace.selectors.sourcing import substitution as register
from marketplace.selectors.sourcing import substitution_exports as exports
from marketplace.selectors.sourcing.access import JUDGES, reads_sourcing
from marketplace.selectors.sourcing.flows import amount_text
from marketplace.selectors.sourcing.substitution import Alternative, Cover, How, Left, Standings
from marketplace.selectors.sourcing.verdicts import Grade, Need, Verdict, Verdicts, short
from marketplace.services.sourcing.substitution import LONGEST, decide, propose, withdraw
from marketplace.views import HtmxRequest, day_asked, signed_in

PAGE: Final = 50
ORDERS: Final = Orders(Substitution)
FIRST_CANDIDATES: Final = 12
TABS: Final = (
    ("", later("Standing")),
    ("proposed", later("Proposed")),
    ("qualified", later("Qualified")),
    ("rejected", later("Rejected")),
    ("withdrawn", later("Withdrawn")),
)
# Icons stand in dictionaries of this name, where the sprite's builder finds them.
GRADE_ICONS: Final[dict[Grade, str]] = {
    Grade.GOOD: "circle-check",
    Grade.LEVEL: "equal",
    Grade.AGAINST: "triangle-alert",
    Grade.UNKNOWN: "circle-question-mark",
    Grade.FAILED: "circle-x",
}
HOW_ICONS: Final[dict[How, str]] = {
    How.FALLBACK: "life-buoy",
    How.BOUND: "circle-check",
    How.QUALIFIED: "badge-check",
    How.PROPOSED: "clock-alert",
    How.REJECTED: "circle-x",
    How.CANDIDATE: "circle-dot",
}
LEFT_ICONS: Final[dict[Left, str]] = {
    Left.COVERED: "circle-check",
    Left.PARTLY: "triangle-alert",
    Left.UNCOVERED: "circle-x",
    Left.UNTOUCHED: "circle-minus",
}
CHANGE_ICONS: Final = {"less": "trending-down", "more": "trending-up"}
NOTICE_ICONS: Final = {
    "none": "circle-minus",
    "unknown": "circle-question-mark",
    "passed": "circle-x",
    "soon": "clock-alert",
    "later": "calendar-range",
}
TONES: Final[dict[Grade, Tone]] = {
    Grade.GOOD: "good",
    Grade.LEVEL: "muted",
    Grade.AGAINST: "warn",
    Grade.UNKNOWN: "muted",
    Grade.FAILED: "bad",
}
HOWS: Final[dict[How, tuple[str, Tone, str]]] = {
    How.FALLBACK: (later("Fallback"), "good", HOW_ICONS[How.FALLBACK]),
    How.BOUND: (later("Runs here too"), "good", HOW_ICONS[How.BOUND]),
    How.QUALIFIED: (later("Qualified"), "good", HOW_ICONS[How.QUALIFIED]),
    How.PROPOSED: (later("Proposed"), "warn", HOW_ICONS[How.PROPOSED]),
    How.REJECTED: (later("Rejected"), "bad", HOW_ICONS[How.REJECTED]),
    How.CANDIDATE: (later("Candidate"), "muted", HOW_ICONS[How.CANDIDATE]),
}
LEFTS: Final[dict[Left, tuple[str, Tone, str]]] = {
    Left.COVERED: (later("Covered"), "good", LEFT_ICONS[Left.COVERED]),
    Left.PARTLY: (later("Partly covered"), "warn", LEFT_ICONS[Left.PARTLY]),
    Left.UNCOVERED: (later("Uncovered"), "bad", LEFT_ICONS[Left.UNCOVERED]),
    Left.UNTOUCHED: (later("Untouched"), "muted", LEFT_ICONS[Left.UNTOUCHED]),
}
SOON: Final = 60  # days: a notice that is due within them is marked


def proposals_waiting(request: HttpRequest) -> int:
    """For the counter beside the entry: what this sourcing lead can decide on."""
    user = signed_in(request)
    if not user.has_role(Role.SOURCING_LEAD):
        return 0
    waiting = Substitution.objects.filter(superseded_at=None, state=SubstitutionState.PROPOSED)
    return waiting.exclude(proposed_by=user).count()


def _reader(request: HttpRequest) -> User:
    """Who may know of substitutions; to others there are none."""
    user = signed_in(request)
    if not register.reads_substitutions(user):
        raise Http404
    return user


def _buyer(request: HttpRequest) -> User:
    """Who may know what things cost us; to others these pages do not exist."""
    user = signed_in(request)
    if not reads_sourcing(user):
        raise Http404
    return user


@dataclass(frozen=True, slots=True)
class Cell:
    """A verdict as a table shows it. plain: a requirement that is met needs no colour."""

    verdict: Verdict
    tone: Tone
    icon: str

    @property
    def plain(self) -> bool:
        return self.verdict.grade == Grade.GOOD and self.verdict.need not in (Need.EVIDENCE, Need.PRICE)


def _cells(verdicts: Verdicts, *, prices: bool) -> list[Cell]:
    return [
        Cell(v, TONES[v.grade], GRADE_ICONS[v.grade]) for v in verdicts.each if prices or v.need != Need.PRICE
    ]


def _needs(*, prices: bool) -> list[str]:
    return [need.value.capitalize() for need in Need if prices or need != Need.PRICE]


def _usd(amount: Fraction | None, *, signed: bool = False, exact: bool = False) -> str:
    """Dollars as the pages write them; an en dash where nothing is known."""
    cents = sheet.minor(amount)
    if cents is None:
        return formats.NO_VALUE
    return formats.money(cents, compact=not exact, signed=signed)


def _ratio(ratio: Fraction | None) -> str:
    if ratio is None:
        return formats.NO_VALUE
    return formats.percent(ratio.numerator, ratio.denominator, signed=True)


def _share(part: Fraction) -> str:
    return formats.percent(part.numerator, part.denominator)


# --- the register -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A substitution as the register shows it."""

    row: Substitution
    state: str
    cells: list[Cell]
    failing: str


@require_safe
@login_required
def substitutions(request: HtmxRequest) -> HttpResponseBase:
    """About 25 queries, whatever the number of substitutions."""
    user, today = _reader(request), clock.today()
    prices = reads_sourcing(user)
    state = request.GET.get("state", "")
    state = state if state in dict(TABS) else ""
    rows = _filtered(_every(), request.GET)
    chosen = _in_state(rows, state)
    if form := exporting.asked(request):
        table = exports.substitutions(chosen, today, prices=prices)
        return exporting.answer(
            request,
            form,
            name="substitutions",
            title="Substitutions",
            table=table,
            said=[("As on", today.isoformat())],
        )
    page = ORDERS.of(request.GET).page(chosen, PAGE)
    standings = Standings(
        today,
        {row.feature_id for row in page.rows},
        {pk for row in page.rows for pk in (row.replaced_id, row.alternative_id)},
    )
    return render(
        request,
        "marketplace/sourcing/substitutions.html",
        {
            "today": today,
            "rows": [_row(row, standings, prices=prices) for row in page.rows],
            "needs": _needs(prices=prices),
            "tabs": [(name, label, _in_state(rows, name).count(), name == state) for name, label in TABS],
            "state": state,
            "asked": {name: request.GET.get(name, "") for name in ("search", "product", "supplier")},
            "filtered": any(request.GET.get(name) for name in ("search", "product", "supplier")),
            "products": Feature.objects.order_by("product__position", "product_id")
            .values_list("product__slug", "product__name")
            .distinct(),
            "suppliers": Publisher.objects.filter(models__versions__substituted_by__isnull=False)
            .distinct()
            .order_by("name"),
            **page.context,
            "prices": prices,
            "judges": user.has_role(*JUDGES),
        },
    )


def _every() -> QuerySet[Substitution]:
    return register.substitutions_ever().order_by("-id")


def _in_state(rows: QuerySet[Substitution], state: str) -> QuerySet[Substitution]:
    if state == "withdrawn":
        return rows.filter(superseded_at__isnull=False)
    rows = rows.filter(superseded_at=None)
    return rows.filter(state=state) if state else rows


def _filtered(rows: QuerySet[Substitution], params: QueryDict) -> QuerySet[Substitution]:
    """What makes no sense in an address is left aside."""
    asked = {n: given(params, n, 80) for n in ("search", "product", "supplier")}
    if asked["product"]:
        rows = rows.filter(feature__product__slug=asked["product"])
    if asked["supplier"]:
        rows = rows.filter(replaced__model__publisher__slug=asked["supplier"])
    for word in asked["search"].split():
        rows = rows.filter(
            Q(feature__name__icontains=word)
            | Q(replaced__model__name__icontains=word)
            | Q(alternative__model__name__icontains=word)
            | Q(reason__icontains=word)
        )
    return rows


def _row(row: Substitution, standings: Standings, *, prices: bool) -> Row:
    verdicts = standings.verdicts(row.feature_id, row.replaced_id, row.alternative_id)
    failing = row.superseded_at is None and row.state == SubstitutionState.QUALIFIED and verdicts.failed
    return Row(
        row,
        "withdrawn" if row.superseded_at is not None else row.state,
        _cells(verdicts, prices=prices),
        verdicts.failed[0].text if failing else "",
    )


# --- one substitution ---------------------------------------------------------------------------------------


@require_safe
@login_required
def substitution(request: HtmxRequest, pk: int) -> HttpResponse:
    """About 25 queries."""
    user = _reader(request)
    row = get_object_or_404(register.substitutions_ever(), pk=pk)
    return _substitution_page(request, user, row)


def _substitution_page(
    request: HtmxRequest, user: User, row: Substitution, *, refused: Refusal | None = None
) -> HttpResponse:
    today, prices = clock.today(), reads_sourcing(user)
    standings = Standings(today, [row.feature_id], [row.replaced_id, row.alternative_id])
    verdicts = standings.verdicts(row.feature_id, row.replaced_id, row.alternative_id)
    open_ = row.superseded_at is None
    waits = open_ and row.state == SubstitutionState.PROPOSED
    lead = user.has_role(Role.SOURCING_LEAD)
    own = row.proposed_by_id == user.pk
    in_use = standings.bindings.get(row.feature_id, ())
    return render(
        request,
        "marketplace/sourcing/substitution.html",
        {
            "row": row,
            "state": row.state if open_ else "withdrawn",
            "today": today,
            "cells": _cells(verdicts, prices=prices),
            "failed": verdicts.failed,
            "doubts": verdicts.doubts,
            "waits": waits,
            "own": own,
            "may_decide": waits and lead and not own,
            "may_withdraw": open_ and (lead or (own and waits and user.has_role(*JUDGES))),
            "runs": any(b.model_version_id == row.replaced_id for b in in_use),
            "other_supplier": row.replaced.model.publisher_id != row.alternative.model.publisher_id,
            "earlier": register.substitutions_ever()
            .filter(feature=row.feature_id, replaced=row.replaced_id, alternative=row.alternative_id)
            .exclude(pk=row.pk)
            .order_by("-id"),
            "longest": LONGEST,
            "note": request.POST.get("note", "")[:LONGEST],
            "refused": refused,
        },
        status=refused.status if refused is not None else 200,
    )


@posted_from("marketplace:substitution", "pk")
@login_required
def substitution_decide(request: HtmxRequest, pk: int) -> HttpResponse:
    """qualify or reject, with a note; a refusal keeps what was written."""
    user = _reader(request)
    row = get_object_or_404(register.substitutions_ever(), pk=pk)
    decision = request.POST.get("decision")
    if decision not in ("qualify", "reject"):
        messages.error(request, _("Choose whether to qualify or to reject it."))
        return redirect("marketplace:substitution", pk)
    try:
        decide(
            substitution_id=pk,
            qualify=decision == "qualify",
            note=request.POST.get("note", ""),
            by=user,
            at=clock.now(),
            on=clock.today(),
        )
    except Refusal as refused:
        return _substitution_page(request, user, row, refused=refused)
    messages.success(
        request,
        _("Qualified: it counts as a way out from now on.")
        if decision == "qualify"
        else _("Rejected. Who proposed it reads why."),
    )
    return redirect("marketplace:substitution", pk)


@posted_from("marketplace:substitution", "pk")
@login_required
def substitution_withdraw(request: HtmxRequest, pk: int) -> HttpResponse:
    user = _reader(request)
    row = get_object_or_404(register.substitutions_ever(), pk=pk)
    try:
        withdraw(substitution_id=pk, reason=request.POST.get("reason", ""), by=user, at=clock.now())
    except Refusal as refused:
        return _substitution_page(request, user, row, refused=refused)
    messages.success(request, _("Withdrawn. It stays in the register."))
    return redirect("marketplace:substitution", pk)


# --- features -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A feature with what would be left without each of its suppliers; the worst first."""

    feature: Feature
    suppliers: list[tuple[Publisher, str, tuple[str, Tone, str], list[str]]]
    state: tuple[str, Tone, str]


@require_safe
@login_required
def substitution_features(request: HtmxRequest) -> HttpResponse:
    """Every feature that runs on a model: could it run without each of its suppliers? 20 queries, whatever their number."""
    user, on = _reader(request), day_asked(request)
    standings = Standings(on)
    rows = []
    for pk, feature in standings.features.items():
        held = standings.bindings.get(pk, ())
        publishers = {b.model_version.model.publisher_id: b.model_version.model.publisher for b in held}
        covers = [(p, standings.cover(pk, p.pk)) for p in publishers.values()]
        covers = sorted((c for c in covers if c[1].exposures), key=lambda c: (-c[1].exposed, c[0].name))
        if covers:
            rows.append(_feature_row(feature, covers))
    worst = list(LEFTS)
    return render(
        request,
        "marketplace/sourcing/substitution_features.html",
        {
            "on": on,
            "today": clock.today(),
            "rows": rows,
            "counts": [
                (*LEFTS[left], sum(row.state[0] == LEFTS[left][0] for row in rows)) for left in worst[:3]
            ],
            "prices": reads_sourcing(user),
            "judges": user.has_role(*JUDGES),
        },
    )


def _stated(share: Fraction, stated: bool) -> str:
    return _share(share) if stated else _("%(share)s, not stated") % {"share": _share(share)}


def _feature_row(feature: Feature, covers: Sequence[tuple[Publisher, Cover]]) -> FeatureRow:
    order = (Left.UNCOVERED, Left.PARTLY, Left.COVERED)
    worst = min((cover.left for _publisher, cover in covers), key=order.index)
    return FeatureRow(
        feature,
        [
            (
                publisher,
                _stated(cover.exposed, cover.stated),
                LEFTS[cover.left],
                list(
                    dict.fromkeys(
                        f"{short(t.alternative.version)} ({HOWS[t.alternative.how][0].lower()})"
                        for e in cover.exposures
                        for t in e.takers
                    )
                ),
            )
            for publisher, cover in covers
        ],
        LEFTS[worst],
    )


@dataclass(frozen=True, slots=True)
class Line:
    """An alternative as a table shows it."""

    alternative: Alternative
    how: tuple[str, Tone, str]
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class RunningRow:
    """A model that the feature runs on, with its alternatives. share: as words."""

    running: register.Running
    name: str
    share: str
    ends: Verdict
    lines: list[Line]
    chosen: bool


def _line(alternative: Alternative, *, prices: bool) -> Line:
    return Line(alternative, HOWS[alternative.how], _cells(alternative.verdicts, prices=prices))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def substitution_feature(request: HtmxRequest, slug: str) -> HttpResponse:
    """One feature: what each of its models could be replaced by, and who else could be proposed. About 25 queries.

    for   Id of the version whose candidates are shown; the one with most traffic unless given.
    """
    user, today = _reader(request), clock.today()
    feature = get_object_or_404(Feature.objects.select_related("product", "task_area"), slug=slug)
    refused: Refusal | None = None
    if request.method == "POST":
        try:
            row = propose(
                feature_id=feature.pk,
                replaced_id=_number(request.POST.get("replaced", "")),
                alternative_id=_number(request.POST.get("alternative", "")),
                reason=request.POST.get("reason", ""),
                by=user,
                at=clock.now(),
                on=today,
            )
        except Refusal as problem:
            refused = problem
        else:
            messages.success(request, _("Proposed. Another sourcing lead decides on it, and you are told."))
            return redirect("marketplace:substitution", row.pk)
    prices = reads_sourcing(user)
    standings = Standings(today, [feature.pk], register.looked_at(feature))
    running = standings.running(feature.pk)
    wanted = _number(request.POST.get("replaced", "") or request.GET.get("for", ""))
    chosen = next((r for r in running if r.version.pk == wanted), running[0] if running else None)
    found = register.candidates(standings, feature, chosen.version.pk) if chosen is not None else []
    fitting = [a for a in found if not a.verdicts.failed]
    every = request.GET.get("all") == "1"
    shown = found if every else fitting[:FIRST_CANDIDATES]
    return render(
        request,
        "marketplace/sourcing/substitution_feature.html",
        {
            "feature": feature,
            "today": today,
            "running": [
                RunningRow(
                    each,
                    short(each.version),
                    _mix_share(each),
                    standings.verdicts(feature.pk, each.version.pk, each.version.pk)[Need.LIFECYCLE],
                    [_line(a, prices=prices) for a in each.alternatives],
                    each is chosen,
                )
                for each in running
            ],
            "chosen": chosen,
            "candidates": [_line(a, prices=prices) for a in shown],
            "fitting": len(fitting),
            "total": len(found),
            "every": every,
            "needs": _needs(prices=prices),
            "may_propose": user.has_role(*JUDGES),
            "picked": _number(request.POST.get("alternative", "") or request.GET.get("pick", "")),
            "reason": request.POST.get("reason", "")[:LONGEST],
            "longest": LONGEST,
            "refused": refused,
            "prices": prices,
        },
        status=refused.status if refused is not None else 200,
    )


def _number(written: str) -> int:
    """An id out of a form; 0, which nothing has, for what is none."""
    return int(written) if written.isdecimal() and written.isascii() and len(written) < 16 else 0


def _mix_share(running: register.Running) -> str:
    if running.binding.role == "fallback":
        return "fallback"
    if running.binding.share_ppm is None:
        return _("share not stated")
    return _("%(share_ppm)s of traffic") % {"share_ppm": formats.percent(running.binding.share_ppm, 1000000)}


# --- leverage -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeverageRow:
    """A supplier as the sheet shows it."""

    supplier: sheet.Supplier
    spent: str
    switchable: str
    part: str
    change: tuple[str, str, Tone, str]
    notice: tuple[str, Tone, str, str]
    bar: SafeString


@require_safe
@login_required
def leverage(request: HtmxRequest) -> HttpResponseBase:
    """Supplier by supplier; ?supplier= shows the lines that one is made of. About 25 queries, whatever their number."""
    _buyer(request)
    on = day_asked(request)
    found = sheet.leverage(on)
    slug = request.GET.get("supplier", "")
    chosen = next((s for s in found if s.publisher.slug == slug), None)
    if form := exporting.asked(request):
        table = exports.leverage_lines([chosen]) if chosen is not None else exports.leverage(found)
        title = (
            _("Leverage on %(publisher_name)s") % {"publisher_name": chosen.publisher.name}
            if chosen is not None
            else _("Leverage")
        )
        return exporting.answer(
            request, form, name=title, title=title, table=table, said=[("As on", on.isoformat())]
        )
    # What is no longer used and never had a price says nothing here; the file has it.
    shown = [line for line in chosen.lines if line.spent or line.exposure] if chosen is not None else []
    spent, switchable = sheet.summed(found)
    extras = [s.extra for s in found if s.extra is not None]
    due = sorted(
        (s for s in found if s.notice is not None and s.notice.days is not None and s.notice.days >= 0),
        key=lambda s: (s.notice.days if s.notice is not None else None) or 0,
    )
    return render(
        request,
        "marketplace/sourcing/leverage.html",
        {
            "on": on,
            "today": clock.today(),
            "rows": [_leverage_row(s) for s in found],
            "spent": formats.money(spent, compact=True),
            "switchable": formats.money(switchable, compact=True),
            "part": formats.percent(switchable, spent),
            "extra": _usd(sum(extras, Fraction(0)), signed=True) if extras else formats.NO_VALUE,
            "due": due[0] if due else None,
            "unpriced": sum(s.unpriced for s in found),
            "chosen": chosen,
            "first": add_months(month_of(on), -sheet.YEAR),
            "last": add_months(month_of(on), -1),
            "lines": [_leverage_line(line) for line in shown],
            "hidden": len(chosen.lines) - len(shown) if chosen is not None else 0,
        },
    )


def _leverage_row(supplier: sheet.Supplier) -> LeverageRow:
    ratio, extra = supplier.ratio, supplier.extra
    change: tuple[str, str, Tone, str] = (formats.NO_VALUE, _("nothing to compare"), "muted", "")
    if extra is not None:
        cheaper = extra < 0
        change = (
            _ratio(ratio),
            _("%(extra)s a month") % {"extra": _usd(extra, signed=True)},
            "good" if cheaper else "warn" if extra > 0 else "muted",
            CHANGE_ICONS["less" if cheaper else "more"] if extra else "",
        )
    return LeverageRow(
        supplier,
        formats.money(supplier.spent, compact=True),
        formats.money(supplier.switchable, compact=True),
        formats.percent(supplier.switchable, supplier.spent),
        change,
        _notice(supplier.notice),
        share_bar(
            [
                Share(_("Switchable"), supplier.switchable, "good"),
                Share(_("Not switchable"), supplier.spent - supplier.switchable, "muted"),
            ],
            label=_("Spend with %(publisher_name)s") % {"publisher_name": supplier.publisher.name},
        )
        if supplier.spent
        else SafeString(""),
    )


def _notice(notice: sheet.Notice | None) -> tuple[str, Tone, str, str]:
    """Words, tone, icon, and the line below."""
    if notice is None:
        return _("No agreement"), "muted", NOTICE_ICONS["none"], _("bought at list prices")
    if notice.days is None or notice.by is None:
        return _("Unknown"), "muted", NOTICE_ICONS["unknown"], notice.why_unknown
    if notice.days < 0:
        return _("Passed"), "bad", NOTICE_ICONS["passed"], _("was %(by)s") % {"by": formats.day(notice.by)}
    soon = notice.days <= SOON
    word = (
        _("Today")
        if notice.days == 0
        else ngettext("%(count)s day", "%(count)s days", notice.days) % {"count": formats.whole(notice.days)}
    )
    icon = NOTICE_ICONS["soon" if soon else "later"]
    return word, "warn" if soon else "muted", icon, _("by %(by)s") % {"by": formats.day(notice.by)}


@dataclass(frozen=True, slots=True)
class LeverageLine:
    """One version in one feature as the sheet shows it."""

    line: sheet.Line
    spent: str
    state: tuple[str, Tone, str]
    best: Alternative | None
    how: str
    now: str
    change: str
    extra: str


def _leverage_line(line: sheet.Line) -> LeverageLine:
    best = line.best
    moves: tuple[str, Tone, str] = (_("Switchable"), *LEFTS[Left.COVERED][1:])
    if line.exposure is None:
        moves = (_("Not in use today"), *LEFTS[Left.UNTOUCHED][1:])
    elif best is None:
        moves = (_("No way out"), *LEFTS[Left.UNCOVERED][1:])
    return LeverageLine(
        line,
        formats.money(line.spent, compact=True),
        moves,
        best,
        HOWS[best.how][0] if best is not None else "",
        _usd(line.now) if line.exposure is not None else formats.NO_VALUE,
        _ratio(best.verdicts.change.ratio)
        if best is not None and line.extra is not None
        else formats.NO_VALUE,
        _usd(line.extra, signed=True),
    )


# --- the drill ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrillRow:
    """A feature without the supplier. loses: version and share; takers: who, how, and which part of what where it is not all."""

    cover: Cover
    state: tuple[str, Tone, str]
    loses: list[tuple[str, str]]
    takers: list[tuple[Alternative, str, str]]
    nothing: list[str]
    now: str
    extra: str


@require_safe
@login_required
def drill(request: HtmxRequest, slug: str) -> HttpResponseBase:
    """Supplier leaves tomorrow. About 25 queries, whatever the number of features."""
    _buyer(request)
    on = day_asked(request)
    company = get_object_or_404(
        Company.objects.select_related("publisher"), slug=slug, publisher__isnull=False
    )
    found = sheet.drill(company, on)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"{company.slug} leaves",
            title=f"{company.name} leaves",
            table=exports.drill(found),
            said=[("As on", on.isoformat())],
        )
    counts = [(left, len(found.of(left))) for left in (Left.COVERED, Left.PARTLY, Left.UNCOVERED)]
    tones: dict[Left, Tone] = {Left.COVERED: "good", Left.PARTLY: "warn", Left.UNCOVERED: "bad"}
    return render(
        request,
        "marketplace/sourcing/drill.html",
        {
            "company": company,
            "on": on,
            "today": clock.today(),
            "drill": found,
            "rows": [_drill_row(cover) for cover in found.covers],
            "bar": share_bar(
                [Share(LEFTS[left][0], count, tones[left]) for left, count in counts],
                label=_("Features that run on %(company_name)s") % {"company_name": company.name},
            )
            if found.covers
            else "",
            "legend": legend([(LEFTS[left][0], formats.whole(count), tones[left]) for left, count in counts]),
            "now": _usd(found.now),
            "extra": _usd(found.extra, signed=True),
            "extra_part": formats.percent(
                (found.extra / found.now).numerator, (found.extra / found.now).denominator, signed=True
            )
            if found.now
            else "",
            "falls_away": _usd(found.falls_away) if found.falls_away else "",
            "products": [
                (hit, [hit.count(left) for left in (Left.COVERED, Left.PARTLY, Left.UNCOVERED)])
                for hit in found.products
            ],
            "takers": [(version, features, _usd(cost)) for version, features, cost in found.takers],
            "ties": [
                (tie, amount_text(tie) if tie.kind in MONEY_KINDS else formats.NO_VALUE) for tie in found.ties
            ],
            "notice": _notice(found.notice),
            "others": _suppliers(company),
        },
    )


def _drill_row(cover: Cover) -> DrillRow:
    known = [e.now.amount for e in cover.exposures if e.now.amount is not None]
    takers: dict[tuple[int, Fraction], tuple[Alternative, list[str]]] = {}
    for exposure in cover.exposures:
        for taker in exposure.takers:
            key = taker.alternative.version.pk, taker.part
            takers.setdefault(key, (taker.alternative, []))[1].append(short(exposure.version))
    served = sum(e.covered for e in cover.exposures)
    return DrillRow(
        cover,
        LEFTS[cover.left],
        [(short(e.version), _stated(e.share, e.stated)) for e in cover.exposures],
        [
            (alternative, HOWS[alternative.how][0].lower(), _part_of(part, names, served))
            for (_pk, part), (alternative, names) in takers.items()
        ],
        [short(e.version) for e in cover.exposures if not e.covered],
        _usd(sum(known, Fraction(0))) if known else formats.NO_VALUE,
        _usd(cover.extra, signed=True)
        if any(e.extra is not None for e in cover.exposures)
        else formats.NO_VALUE,
    )


def _part_of(part: Fraction, names: Sequence[str], served: int) -> str:
    """Which part of what: nothing to say where one takes everything over."""
    share = "" if part == 1 else _share(part)
    of = "" if len(names) == served else _("of %(names)s") % {"names": ", ".join(names)}
    return f"{share} {of}".strip()


def _suppliers(but: Company) -> QuerySet[Company]:
    """Companies whose models a feature runs on today or will; for the way from one drill to the next."""
    return (
        Company.objects.filter(
            publisher__models__versions__bindings__superseded_at=None,
            publisher__models__versions__bindings__isnull=False,
            is_operator=False,
        )
        .exclude(pk=but.pk)
        .distinct()
        .order_by("name")
    )
