"""The pay of a window as a curve: over attainment, or over credit."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from django.utils.safestring import SafeString

from config import charts, formats
from config.language import _
from quotas.crediting.earning import Scale, Tier, credit_needed, earned, part_of_year
from quotas.models import ONE, Grain, PayBy, PlanComponent
from quotas.selectors.earnings import Estimate
from quotas.selectors.pay_words import WINDOWS, PayTerms, in_short, place

USUAL_END_PPM = 1_400_000  # of quota, as on every bar of attainment


def of_component(component: PlanComponent, terms: PayTerms) -> SafeString:
    """Of a component as it is stored: the pay of its first window of a year."""
    attained = terms.by == PayBy.ATTAINMENT
    target = part_of_year(component.target_incentive_minor or 0, terms.window, 1)
    scale = Scale(
        tiers=tuple(Tier(*tier) for tier in terms.tiers),
        hundred=ONE,
        worth=(target, ONE) if attained else (1, 1),
        threshold=terms.threshold,
        whole_amount=terms.whole_amount,
        cap_minor=terms.cap_minor,
    )
    paid_in = terms.currency
    marks = {0, *(start for start, _rest in terms.tiers), *((ONE,) if attained else ())}
    return _curve(
        scale,
        _end(scale, attained=attained),
        label=_("Pay of a %(WINDOWS)s: %(terms)s")
        % {"WINDOWS": WINDOWS[Grain(terms.window)], "terms": in_short(terms)},
        ticks=[(at, place(at, terms)) for at in marks],
        write=lambda v: (
            formats.money(v, paid_in.code, paid_in.exponent, compact=True, trim=True) if paid_in else str(v)
        ),
    )


def of_estimate(estimate: Estimate) -> SafeString:
    """Over the credit of the window that is running, with where the rep stands; nothing without a quota."""
    scale, quota = estimate.scale, estimate.quota
    if scale is None:
        return SafeString()
    unit, currency = estimate.measure.currency, estimate.currency

    def written(at: int) -> str:
        if quota:
            return formats.percent(at, quota, 0)
        if unit is None:
            return formats.count(at)
        return formats.money(at, unit.code, unit.exponent, compact=True, trim=True)

    end = max(credit_needed(_end(scale, attained=bool(quota)), scale), estimate.credit * 11 // 10)
    marks = {0, *(credit_needed(tier.starts_at, scale) for tier in scale.tiers), *((quota,) if quota else ())}
    return _curve(
        scale,
        end,
        label=(
            _("Pay of %(window_name)s for %(measure_name)s, over ")
            % {"window_name": estimate.pay.window.name, "measure_name": estimate.measure.name}
        )
        + ("attainment" if quota else "credit"),
        ticks=[(at, written(at)) for at in marks],
        write=lambda v: formats.money(v, currency.code, currency.exponent, compact=True, trim=True),
        at=(max(estimate.credit, 0), estimate.earned),
    )


def _end(scale: Scale, *, attained: bool) -> int:
    """Where the axis ends, in the unit of starts_at: a third beyond the last bend."""
    last = max(scale.threshold, scale.tiers[-1].starts_at)
    return max(last + last // 3, USUAL_END_PPM) if attained else max(last * 3 // 2, 1)


def _curve(
    scale: Scale,
    end: int,
    *,
    label: str,
    ticks: Iterable[tuple[int, str]],
    write: Callable[[int], str],
    at: tuple[int, int] | None = None,
) -> SafeString:
    """Straight pieces between the bends: tiers, threshold, and where the cap is reached."""
    bends = {credit_needed(each, scale) for each in (scale.threshold, *(t.starts_at for t in scale.tiers))}
    places = sorted({0, end, *(bend for bend in bends if bend < end)})
    jumps = bends if scale.whole_amount else {credit_needed(scale.threshold, scale)}
    points: list[tuple[int, int]] = []
    for each in places:
        if each in jumps and each:
            points.append((each, earned(each - 1, scale)))
        points.append((each, earned(each, scale)))
    if scale.cap_minor is not None:
        points = _bent_at_the_cap(points, scale)
    return charts.curve_chart(
        [(float(x), float(y)) for x, y in points],
        length=float(end),
        label=label,
        ticks=[(float(x), text) for x, text in sorted(ticks) if x < end],
        write=write,
        at=None if at is None else (float(at[0]), float(at[1])),
    )


def _bent_at_the_cap(points: list[tuple[int, int]], scale: Scale) -> list[tuple[int, int]]:
    """With the point from which on the cap is paid, so that the curve does not bend before it."""
    found = points[:1]
    for (low, before), (end, after) in pairwise(points):
        if before < after == scale.cap_minor:
            high = end
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if earned(middle, scale) == after else (middle + 1, high)
            found.append((low, after))
        if found[-1] != (end, after):
            found.append((end, after))
    return found
