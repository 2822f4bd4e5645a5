"""Which model for which task: the recommendation with its reasons, and quality against cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final, TypeVar

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from config import charts, clock, formats
from config.given import given
from config.language import _, spoken, spoken_choices
from marketplace.models import Lifecycle, Program, TaskArea
from marketplace.selectors.costs import Usage
from marketplace.selectors.evidence import Ranking
from marketplace.selectors.recommender import (
    TYPICAL,
    Candidate,
    Constraints,
    Recommendation,
    pareto,
    quality,
    recommend,
)
from marketplace.selectors.search import MODALITIES
from marketplace.selectors.visibility import offerings_for
from marketplace.views import day_asked, is_short, signed_in

LARGEST: Final = 10**12
STAGES: Final = (Lifecycle.PREVIEW, Lifecycle.GENERALLY_AVAILABLE, Lifecycle.LEGACY)
SHOWN: Final = 50
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate as the page shows it."""

    candidate: Candidate
    bar: SafeString
    share: str
    span: str
    on_frontier: bool

    @property
    def cost(self) -> str:
        return formats.usd(self.candidate.cost) if self.candidate.cost is not None else formats.NO_VALUE


@dataclass(frozen=True, slots=True)
class Frontier:
    """The drawing with its table. by: the words for what is upwards; undrawn: candidates whose cost is unknown."""

    chart: SafeString
    table: SafeString
    by: str
    hint: str
    drawn: int
    undrawn: list[Candidate]


@require_safe
@login_required
def recommendation(request: HttpRequest) -> HttpResponse:
    """Task, constraints, usage and day stand in the address; what makes no sense in it is left aside."""
    user, on = signed_in(request), day_asked(request)
    areas = list(TaskArea.objects.order_by("position", "id"))
    chosen = request.GET.get("task", "")
    task = next((area for area in areas if area.slug == chosen), areas[0] if areas else None)
    constraints = asked(request.GET)
    context: dict[str, object] = {
        "areas": areas,
        "task": task,
        "constraints": constraints,
        "on": on,
        "today": clock.today(),
        "modalities": MODALITIES,
        "regions": (("global", _("Global")), ("eu", "EU"), ("us", "US")),
        "programs": spoken_choices(Program.choices),
        "stages": [(stage.value, spoken(stage.label)) for stage in STAGES],
        "narrowed": any(
            request.GET.get(name)
            for name in ("modality_in", "modality_out", "min_context", "region", "country")
        )
        or any(request.GET.get(n) for n in ("eligible", "lifecycle", "max_input_price", "budget")),
    }
    if task is not None:
        found = recommend(task=task.slug, constraints=constraints, visible=offerings_for(user), on=on)
        if found is not None:
            context |= _shown(found, request.GET.get("by", ""))
    return render(request, "marketplace/recommend.html", context)


def _shown(found: Recommendation, by: str) -> dict[str, object]:
    edge = {c.offering.pk for c in found.frontier}
    compared = [ranking for ranking in found.rankings if _standing_in(found.ranked, ranking) > 1]
    ranking = next((r for r in compared if r.key.slug == by), None)
    return {
        "found": found,
        "rows": [_row(candidate, candidate.offering.pk in edge) for candidate in found.ranked],
        "unknown": found.unknown[:SHOWN],
        "excluded": found.excluded[:SHOWN],
        "rankings": compared,
        "by": ranking.key.slug if ranking else "",
        "frontier": frontier(found, ranking),
    }


def _standing_in(candidates: Sequence[Candidate], ranking: Ranking) -> int:
    return sum(any(s.ranking is ranking for s in c.standings) for c in candidates)


def _row(candidate: Candidate, on_frontier: bool) -> Row:
    strength = candidate.strength
    if strength is None:  # ranked candidates have one
        return Row(candidate, SafeString(""), formats.NO_VALUE, "", on_frontier)
    share, low, high = (percent(value) for value in (strength.share, strength.low, strength.high))
    bar = charts.range_bar(
        strength.low,
        strength.share,
        strength.high,
        label=_("%(share)s, between %(low)s and %(high)s") % {"share": share, "low": low, "high": high},
    )
    return Row(candidate, bar, share, _("%(low)s to %(high)s") % {"low": low, "high": high}, on_frontier)


def percent(share: float) -> str:
    return formats.percent(round(share * 1_000_000), 1_000_000, 0)


def frontier(found: Recommendation, ranking: Ranking | None) -> Frontier | None:
    """Quality against cost: by the share of all comparisons, or by the figures of one ranking alone. None without candidates."""
    worth = {c.offering.pk: quality(c) for c in found.ranked}
    candidates, by = found.ranked, _("Expected to do better than")
    hint = _("Share of all tested models, from every ranking of the task")
    ends: tuple[float, float] | None = (0.0, 1.0)
    sign = 1
    if ranking is not None:
        of = {c.offering.pk: s.result for c in found.ranked for s in c.standings if s.ranking is ranking}
        candidates = [c for c in found.ranked if c.offering.pk in of]
        worth = {pk: float(ranking.merit(result)) for pk, result in of.items()}
        by, hint = ranking.key.title, ranking.key.conditions
        ends, sign = None, 1 if ranking.key.higher_is_better else -1
    if not candidates:
        return None
    edge = {c.offering.pk for c in pareto(candidates, lambda c: worth[c.offering.pk])}
    drawn = [c for c in candidates if c.cost is not None]
    free = any(c.cost == 0 for c in drawn)
    dots = [
        charts.Dot(c.offering.name, float(c.cost or 0), worth[c.offering.pk], c.offering.pk in edge)
        for c in drawn
    ]

    def write(value: float) -> str:
        if ranking is None:
            return percent(value)
        return formats.decimal(Decimal(str(round(value * sign, 4))), 1 if abs(value) >= 1 else 3)

    def cost(value: float) -> str:
        return formats.money(round(value * 100), trim=True) if value or not free else "free"

    rows = sorted(drawn, key=lambda c: (c.cost or Fraction(0), -worth[c.offering.pk], c.offering.name))
    return Frontier(
        chart=charts.scatter(
            dots,
            label=_("%(task)s: %(by)s against cost a month")
            % {"task": found.task.name, "by": by.lower() if ranking is None else by},
            write_cost=cost,
            write_worth=write,
            ends=ends,
        ),
        table=charts.table_twin(
            _("%(task_name)s: quality against cost") % {"task_name": found.task.name},
            (_("Offering"), _("Cost a month"), by, _("On the frontier")),
            [
                (
                    c.offering.name,
                    formats.usd(c.cost or Fraction(0)),
                    write(worth[c.offering.pk]),
                    "yes" if c.offering.pk in edge else "no",
                )
                for c in rows
            ],
        ),
        by=by,
        hint=hint,
        drawn=len(drawn),
        undrawn=[c for c in candidates if c.cost is None],
    )


def asked(params: QueryDict) -> Constraints:
    """The constraints of an address; people edit addresses, so what cannot be read is left aside."""
    usage = Usage(
        input_tokens=_whole(params.get("input_tokens", ""), TYPICAL.input_tokens),
        output_tokens=_whole(params.get("output_tokens", ""), TYPICAL.output_tokens),
        cached_input_tokens=_whole(params.get("cached_input_tokens", ""), 0),
        requests=_whole(params.get("requests", ""), 0),
    )
    country = params.get("country", "").strip().upper()
    return Constraints(
        modalities_in=_among(params, "modality_in", MODALITIES),
        modalities_out=_among(params, "modality_out", MODALITIES),
        min_context=_whole(params.get("min_context", ""), None),
        region=given(params, "region", 40),
        country=country if len(country) == 2 and country.isascii() and country.isalpha() else "",
        eligible_for=_among(params, "eligible", Program.values),
        lifecycle=_among(params, "lifecycle", Lifecycle.values),
        max_input_price=_amount(params.get("max_input_price", "")),
        usage=TYPICAL if usage.problems() else usage,
        budget=_amount(params.get("budget", "")),
    )


def _among(params: QueryDict, name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Several values, by commas or as a form repeats them; in the order in which they are known."""
    given = {word for part in params.getlist(name) for word in part.split(",")}
    return tuple(value for value in known if value in given)


def _whole(written: str, otherwise: T) -> int | T:
    digits = formats.whole_typed(written)
    return int(digits) if digits.isascii() and digits.isdigit() and int(digits) <= LARGEST else otherwise


def _amount(written: str) -> Decimal | None:
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < LARGEST and is_short(amount) else None
