"""What our own products cost in models: spend by month against plan, the lines behind a figure, and a file of usage."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role, User
from config import charts, clock, exporting, formats
from config.charts import Landing, Tone
from config.exports import Column, Table
from config.given import given
from config.language import _, later, ngettext
from config.months import add_months, month_of, months_between
from config.paging import paged
from config.refusals import Refusal
from config.stacked_charts import Series, stacked
from config.uploads import too_long
from marketplace.importers.usage import COLUMNS, month_in
from marketplace.models import Company, Feature, Product, Publisher, UsageImport
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.spend import (
    WAYS,
    By,
    RunRate,
    Spend,
    SpendRow,
    Standing,
    monthly,
    months_known,
    run_rate,
)
from marketplace.selectors.sourcing.usage_lines import (
    FILTERS,
    NEWEST,
    explained,
    lines_in_force,
    lines_table,
    priced,
    spend_table,
    summed,
)
from marketplace.services.sourcing.usage import Outcome, import_usage
from marketplace.views import day_asked, signed_in
from marketplace.views.sourcing.plans import said_plan

RUNS: Final = 10
SHOWN: Final = 200
LARGEST: Final = 8 * 1024**2
MOST_MONTHS: Final = 60
FIRST_YEAR, LAST_YEAR = 2000, 2100
DRAWN: Final = 5
TONES: Final[tuple[Tone, ...]] = ("c1", "c2", "c3", "c4", "c5")
NAMES: Final[Mapping[By, str]] = {
    "supplier": later("Supplier"),
    "product": later("Product"),
    "feature": later("Feature"),
    "model": later("Model"),
}
YEAR: Final = 12


def _reader(request: HttpRequest) -> User:
    user = signed_in(request)
    if not reads_sourcing(user):
        raise Http404
    return user


def _day(request: HttpRequest) -> date:
    """The day asked for; today for one that no usage can be of."""
    on = day_asked(request)
    return on if FIRST_YEAR < on.year < LAST_YEAR else clock.today()


def _usd(minor: int | None) -> str:
    return formats.NO_VALUE if minor is None else formats.money(minor, compact=True)


# --- which months ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """The months that a page is asked for, the last one included; end is the month after it."""

    first: date
    last: date

    @property
    def end(self) -> date:
        return add_months(self.last, 1)

    @property
    def months(self) -> int:
        return len(months_between(self.first, self.end))

    @property
    def query(self) -> str:
        return urlencode({"from": f"{self.first:%Y-%m}", "to": f"{self.last:%Y-%m}"})

    @property
    def text(self) -> str:
        if self.first == self.last:
            return formats.month(self.first)
        return _("%(first)s to %(last)s") % {
            "first": formats.month(self.first),
            "last": formats.month(self.last),
        }


def _span(params: QueryDict, on: date) -> Span:
    """What cannot be read is left aside; without months, the last twelve whole ones."""
    whole = add_months(month_of(on), -1)
    last = month_in(params.get("to", "")) or whole
    first = month_in(params.get("from", "")) or add_months(last, 1 - YEAR)
    first, last = min(first, last), max(first, last)
    return Span(max(first, add_months(last, 1 - MOST_MONTHS)), last)


def _spans(rates: Sequence[RunRate], on: date, known: tuple[date, date] | None) -> list[tuple[str, Span]]:
    """The last year, every span that is planned for, and all that is known."""
    whole = add_months(month_of(on), -1)
    found = [(_("12 months"), Span(add_months(whole, 1 - YEAR), whole))]
    planned = {
        (each.plan.effective.lower, each.plan.effective.upper)
        for rate in rates
        for each in (*([rate.plan] if rate.plan is not None else []), *rate.ended)
    }
    for start, stop in sorted(planned, reverse=True):
        span = _months_of(start, stop)
        found.append((_("Plan %(span_text)s") % {"span_text": span.text}, span))
    if known is not None:
        found.append((_("All"), Span(known[0], max(known[1], known[0]))))
    return found


def _months_of(start: date, stop: date) -> Span:
    """Every month that has a day in [start, stop)."""
    return Span(month_of(start), add_months(month_of(stop), -1 if stop.day == 1 else 0))


def _span_of(standing: Standing) -> Span:
    return _months_of(standing.plan.effective.lower, standing.plan.effective.upper)


# --- spend -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    href: str
    open: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the table. open: lines without a price."""

    row: SpendRow
    tone: Tone
    href: str
    total: str
    share: str
    off: str
    off_percent: str
    tokens: str
    cells: list[Cell]


@require_safe
@login_required
def spend(request: HttpRequest) -> HttpResponseBase:
    """About 25 queries, whatever the number of lines."""
    user, on = _reader(request), _day(request)
    span, by = _span(request.GET, on), _way(request.GET)
    found = monthly(span.first, span.end, by)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"spend by {by} {span.first:%Y-%m} {span.last:%Y-%m}",
            title=f"Spend on models by {by}",
            table=spend_table(found),
            said=[("Months", span.text), *_said(found)],
        )
    rates = run_rate(on)
    chosen = _chosen(rates, request.GET.get("supplier", ""))
    known = months_known()
    context: dict[str, Any] = {
        "on": on,
        "today": clock.today(),
        "span": span,
        "by": by,
        "what": NAMES[by],
        "ways": [(way, NAMES[way]) for way in WAYS],
        "spans": _spans(rates, on, known),
        "known": known,
        "found": found,
        "rows": _shown(found, span),
        "months": found.months,
        "totals": [_usd(total) for total in found.totals],
        "total": _usd(found.total),
        "off": _off(found.listed, found.total),
        "tokens": _tokens(sum(row.tokens for row in found.rows)),
        "chart": _columns(found),
        "rates": [(rate, _bound(rate.plan) if rate.plan is not None else "") for rate in rates],
        "last_month": add_months(month_of(on), -1),
        "cards": _cards(rates, on),
        "chosen": chosen,
        "chosen_span": _span_of(chosen.plan) if chosen is not None and chosen.plan is not None else None,
        "chosen_planned": _bound(chosen.plan) if chosen is not None and chosen.plan is not None else "",
        "burn": _burn(chosen) if chosen is not None and chosen.plan is not None else "",
        "burn_table": _burn_table(chosen.plan) if chosen is not None and chosen.plan is not None else "",
        "lines_url": reverse("marketplace:sourcing-usage"),
        "ended": [
            (rate, standing, _span_of(standing), _bound(standing))
            for rate in rates
            for standing in rate.ended
        ],
        "apart": [
            f"{code} {formats.whole(formats.rounded(amount))}" for code, amount in sorted(found.apart.items())
        ],
        "may_import": user.has_role(Role.SOURCING_LEAD),
    }
    return render(request, "marketplace/sourcing/spend.html", context)


def _way(params: QueryDict) -> By:
    return next((way for way in WAYS if way == params.get("by")), "supplier")


def _said(found: Spend) -> list[tuple[str, str]]:
    said = [(_("Amounts"), _("At the price in effect in each month, less what is agreed with the supplier."))]
    if found.unpriced_lines:
        said.append(
            (
                _("Without a price"),
                _("%(unpriced_lines)s lines, in no amount.") % {"unpriced_lines": found.unpriced_lines},
            )
        )
    if found.synthetic:
        said.append(
            (
                _("Made up for the demo"),
                _("%(synthetic)s of %(lines)s lines.") % {"synthetic": found.synthetic, "lines": found.lines},
            )
        )
    return said


def _shown(found: Spend, span: Span) -> list[Shown]:
    url, whole = reverse("marketplace:sourcing-usage"), found.total or 0
    shown = []
    for place, row in enumerate(found.rows):
        narrowed = urlencode([(str(found.by), row.slug)])
        shown.append(
            Shown(
                row=row,
                tone=TONES[place] if place < DRAWN and row.total is not None else "muted",
                href=f"{url}?{narrowed}&{span.query}",
                total=_usd(row.total),
                share=formats.percent(row.total, whole) if row.total is not None else formats.NO_VALUE,
                off=_off(row.listed, row.total),
                off_percent=formats.percent(row.saved, row.listed) if row.saved else "",
                tokens=_tokens(row.tokens),
                cells=[
                    Cell(_usd(amount), f"{url}?{narrowed}&{Span(month, month).query}", open_)
                    for month, amount, open_ in zip(
                        found.months, row.amounts, row.unpriced_by_month, strict=True
                    )
                ],
            )
        )
    return shown


def _off(listed: int, total: int | None) -> str:
    saved = listed - (total or 0)
    return _usd(-saved) if saved else formats.NO_VALUE


def _tokens(number: int) -> str:
    return formats.count(number, 0, compact=True)


def _columns(found: Spend) -> SafeString | str:
    """The largest rows apart, the others together."""
    if found.total is None:
        return ""
    named, rest = found.rows[:DRAWN], found.rows[DRAWN:]
    series = [
        Series(row.name, row.amounts, TONES[place])
        for place, row in enumerate(named)
        if row.total is not None
    ]
    if any(row.total is not None for row in rest):
        others = [sum(row.amounts[at] or 0 for row in rest) for at in range(len(found.months))]
        series.append(Series(_("%(rest)s more") % {"rest": len(rest)}, others, "muted"))
    return stacked(
        series,
        names=[formats.month_short(month) for month in found.months],
        label=_("Spend by %(by)s and month, %(value)s in all")
        % {"by": found.by, "value": formats.money(found.total or 0, compact=True)},
        write=lambda minor: formats.money(minor, compact=True, trim=True),
        unsure=[any(row.unpriced_by_month[at] for row in found.rows) for at in range(len(found.months))],
    )


# --- run-rate and plan -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Card:
    label: str
    value: str
    sub: str
    note: str = ""
    tone: Tone = "muted"
    icon: str = ""


def _cards(rates: Sequence[RunRate], on: date) -> list[Card]:
    last = add_months(month_of(on), -1)
    known = [rate for rate in rates if rate.last_minor is not None]
    if not known:
        return []
    month = sum(rate.last_minor or 0 for rate in known)
    before = sum(rate.before_minor or 0 for rate in rates)
    trailing = sum(rate.trailing_minor or 0 for rate in rates)
    open_ = sum(rate.unpriced for rate in rates)
    cards = [
        Card(
            formats.month_long(last),
            _usd(month),
            _("the last whole month, all suppliers"),
            _("%(month)s on %(last)s")
            % {
                "month": formats.percent(month - before, before, signed=True),
                "last": formats.month_name_long(add_months(last, -1)),
            }
            if before
            else "",
        ),
        Card(
            _("Run-rate"),
            _usd(month * YEAR),
            _("a year: %(last)s times 12") % {"last": formats.month_name_long(last)},
            _("%(trailing)s by the last three months") % {"trailing": _usd(trailing * 4)},
        ),
    ]
    planned = next((r for r in rates if r.plan is not None and r.plan.plan.fact is not None), None) or next(
        (r for r in rates if r.plan is not None), None
    )
    if planned is not None and planned.plan is not None:
        plan = planned.plan.plan
        cards.append(
            Card(
                _("%(supplier_name)s a year") % {"supplier_name": planned.supplier.name},
                _usd(planned.annual),
                _("run-rate; planned: %(plan)s") % {"plan": _bound(planned.plan)},
                _("%(value)s of the plan")
                % {"value": formats.percent(planned.annual or 0, plan.amount_minor, 0)}
                if planned.plan.to_date is not None
                else "",
                "accent",
            )
        )
    cards.append(
        Card(
            _("Without a price"),
            formats.whole(open_),
            ngettext("line of the last three months", "lines of the last three months", open_),
            _("In no figure here") if open_ else _("Every line has its price"),
            "warn" if open_ else "good",
            "triangle-alert" if open_ else "circle-check",
        )
    )
    return cards


def _bound(standing: Standing) -> str:
    return said_plan(standing.plan)


def _chosen(rates: Sequence[RunRate], slug: str) -> RunRate | None:
    """The supplier whose plan is drawn: the one asked for, else that of a reported plan, else the fastest with a plan."""
    planned = [rate for rate in rates if rate.plan is not None]
    return (
        next((rate for rate in planned if rate.supplier.slug == slug), None)
        or next((rate for rate in planned if rate.plan and rate.plan.plan.fact is not None), None)
        or next(iter(planned), None)
    )


def _burn(rate: RunRate) -> SafeString | str:
    """Spent so far, month by month, against the plan and with where the year may end."""
    standing = rate.plan
    if standing is None or standing.to_date is None:
        return ""
    spent, line = 0, [0.0]
    for amount in standing.by_month:
        spent += amount or 0
        line.append(float(spent))
    start = month_of(standing.plan.effective.lower)
    landing = standing.landing
    return charts.line_chart(
        line,
        length=standing.months,
        plan=[0.0, float(standing.plan.amount_minor)],
        landing=Landing(float(landing[1]), float(landing[0]), float(landing[2])) if landing else None,
        ticks=[(at, formats.month_short(add_months(start, at))) for at in range(0, standing.months + 1, 3)],
        write=lambda minor: formats.money(minor, compact=True, trim=True),
        label=_(
            "Spend with %(supplier_name)s in the span of its plan: %(spent)s so far, planned %(standing)s"
        )
        % {"supplier_name": rate.supplier.name, "spent": _usd(standing.spent), "standing": _bound(standing)},
    )


def _burn_table(standing: Standing) -> SafeString:
    start, spent, rows = month_of(standing.plan.effective.lower), 0, []
    for at, amount in enumerate(standing.by_month):
        spent += amount or 0
        rows.append((formats.month(add_months(start, at)), _usd(amount), _usd(spent)))
    return charts.table_twin(_("Spent by month"), (_("Month"), _("Spent"), _("In all")), rows)


# --- the lines behind a figure -----------------------------------------------------------------------------


@require_safe
@login_required
def lines(request: HttpRequest) -> HttpResponseBase:
    """About 22 queries, whatever the number of lines."""
    user, on = _reader(request), _day(request)
    span = _span(request.GET, on)
    asked = {name: given(request.GET, name, 80) for name in FILTERS}
    rows = list(lines_in_force(**asked).filter(month__gte=span.first, month__lt=span.end).order_by(*NEWEST))
    found = priced(rows)
    only = request.GET.get("priced", "")
    if only in ("yes", "no"):
        found = [line for line in found if (line.cost.minor is None) == (only == "no")]
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"usage {span.first:%Y-%m} {span.last:%Y-%m}",
            title="Usage of models by our own products",
            table=lines_table(found),
            total=len(found),
        )
    page = paged(request, [line.row for line in found])
    whole = summed(found)
    context: dict[str, Any] = {
        "on": on,
        "span": span,
        "asked": asked,
        "only": only,
        "page": page,
        "lines": explained(list(page)),
        "whole": whole,
        "minor": _usd(whole.minor),
        "exact": formats.money(whole.minor) if whole.minor is not None else "",
        "off": _off(whole.listed, whole.minor),
        "tokens": [
            _tokens(number) for number in (whole.input_tokens, whole.cached_tokens, whole.output_tokens)
        ],
        "suppliers": Publisher.objects.filter(models__versions__usage__isnull=False)
        .distinct()
        .order_by("name"),
        "products": Product.objects.order_by("position", "name"),
        "features": Feature.objects.select_related("product").order_by("product__position", "position"),
        "hosts": Company.objects.filter(hosts__isnull=False).distinct().order_by("name"),
        "narrowed": bool(only or any(asked.values())),
        "may_import": user.has_role(Role.SOURCING_LEAD),
    }
    return render(request, "marketplace/sourcing/usage.html", context)


# --- a file of usage ---------------------------------------------------------------------------------------


@csrf_exempt  # the inner view checks it, once the length has been looked at: the check itself reads the whole body
@login_required
def usage_import(request: HttpRequest) -> HttpResponseBase:
    """The upload with its check, what was brought before, and the refused rows of one of those as a file."""
    user = _reader(request)
    if request.method == "POST" and too_long(request, LARGEST):
        wrong = _("The file is larger than %(LARGEST)s MB: send it in parts. Nothing of it was read.") % {
            "LARGEST": LARGEST // 1024**2
        }
        return _page(request, user, whole=[wrong], status=413)
    if request.method == "GET" and exporting.asked(request):
        return _refused_rows(request)
    return _usage_import(request)


@csrf_protect
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def _usage_import(request: HttpRequest) -> HttpResponseBase:
    user = _reader(request)
    if request.method != "POST":
        return _page(request, user)
    if not user.has_role(Role.SOURCING_LEAD):
        raise PermissionDenied
    upload = request.FILES.get("file")
    if upload is None:
        return _page(request, user, whole=[_("Choose the CSV file.")], status=422)
    dry, partly = request.POST.get("do") == "check", request.POST.get("partly") == "1"
    try:
        done = import_usage(
            content=upload.read(),
            file_name=upload.name or "",
            by=user,
            at=clock.now(),
            dry_run=dry,
            leave_out_wrong=partly,
        )
    except Refusal as refused:
        return _page(request, user, whole=[problem.message for problem in refused.problems], status=422)
    if done.recorded:
        said = _outcome_words(done)
        messages.success(request, _("Recorded: %(said)s.") % {"said": said})
        refused_rows = f"?import={done.run.pk}" if done.wrong and done.run is not None else ""
        return redirect(f"{reverse('marketplace:usage-import')}{refused_rows}")
    status = 422 if done.wrong and not (dry and partly) else 200
    return _page(request, user, done=done, dry=dry, partly=partly, status=status)


def _outcome_words(done: Outcome) -> str:
    said = [
        f"{formats.whole(done.counts.get(name, 0))} {name}"
        for name in ("new", "corrected", "unchanged", "refused")
        if done.counts.get(name)
    ]
    open_ = done.counts.get("unpriced", 0)
    return ", ".join(said) + (
        _("; %(open)s of them without a price") % {"open": formats.whole(open_)} if open_ else ""
    )


def _page(
    request: HttpRequest,
    user: User,
    *,
    whole: Sequence[str] = (),
    done: Outcome | None = None,
    dry: bool = False,
    partly: bool = False,
    status: int = 200,
) -> HttpResponse:
    """The page. 3 queries and those of the frame."""
    page = paged(request, UsageImport.objects.select_related("imported_by").order_by("-id"), size=RUNS)
    wanted = request.GET.get("import", "")
    context = {
        "columns": COLUMNS,
        "whole": whole,
        "done": done,
        "dry": dry,
        "partly": partly,
        "said": _outcome_words(done) if done is not None else "",
        "change": _change(done) if done is not None else "",
        "wrong": done.wrong[:SHOWN] if done is not None else (),
        "more_wrong": max(0, len(done.wrong) - SHOWN) if done is not None else 0,
        "runs": [(run, _counts(run.counts)) for run in page],
        "page": page,
        "run": get_object_or_404(UsageImport, pk=int(wanted))
        if wanted.isdecimal() and len(wanted) < 16
        else None,
        "shown": SHOWN,
        "largest": LARGEST // 1024**2,
        "may_import": user.has_role(Role.SOURCING_LEAD),
    }
    return render(request, "marketplace/sourcing/usage_import.html", context, status=status)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{formats.whole(counts[name])} {name}"
        for name in ("new", "corrected", "unchanged", "refused")
        if counts.get(name)
    )


def _change(done: Outcome) -> str:
    """What the lines cost, and what they did before their correction."""
    if not done.minor and not done.before_minor:
        return ""
    said = _("The new and corrected lines cost %(minor)s") % {"minor": formats.money(done.minor)}
    if done.before_minor:
        said += _("; those that they correct cost %(before_minor)s") % {
            "before_minor": formats.money(done.before_minor)
        }
    return f"{said}."


def _refused_rows(request: HttpRequest) -> HttpResponseBase:
    """The rows that one import left out, in the columns of the import, to be mended and sent again."""
    wanted, form = request.GET.get("import", ""), exporting.asked(request)
    if not wanted.isdecimal() or len(wanted) > 15 or form is None:
        raise Http404
    run = get_object_or_404(UsageImport, pk=int(wanted))
    errors: Iterable[dict[str, Any]] = run.errors

    def rows() -> Iterable[Sequence[object]]:
        for each in errors:
            yield (*(each["row"].get(name, "") for name in COLUMNS), each["line"], each["message"])

    table = Table(
        [*(Column(name, name) for name in COLUMNS), Column("line", "line", "whole"), Column("why", "why")],
        rows,
    )
    return exporting.answer(
        request, form, name=f"refused rows {run.file_name}", title="Refused rows", table=table
    )
