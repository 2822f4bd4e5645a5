"""The eligibility verdict: what counts for how much, by origin and publisher, and what counts for less than the best of the other side."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

from django.db import connection

from marketplace.models import CommercialPath, EligibilityDecision, Offering, Program, ScopeLevel
from marketplace.selectors.eligibility import scope_name
from marketplace.selectors.on_sale import ON_SALE
from quotas.models import Measure, ParityException
from quotas.selectors.parity_words import exception_written, share

SideOf = Callable[[Offering], int | None]
NAMED: Final = 40  # offerings of a group that are named


@dataclass(frozen=True, slots=True)
class Treatment:
    """What an offering, or one of its plans that has a decision of its own, counts for over a half-open span of days.

    rate_ppm  None where nobody decided.
    sold      On sale on some of these days, or carrying value in them.
    """

    offering_id: int
    plan_id: int | None
    starts: date
    ends: date
    rate_ppm: int | None
    decision: EligibilityDecision | None
    sold: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """Deal value of one offering, plan and day; minor units of the first measure's currency."""

    offering_id: int
    plan_id: int | None
    day: date
    value: int
    lines: int
    unconverted: int
    deals: list[int]


def eligibility(
    catalog: Mapping[int, Offering],
    *,
    sides: tuple[str, str],
    kinds: tuple[str, str],
    side_of: SideOf,
    starts: date,
    ends: date,
    on: date,
    exceptions: Sequence[ParityException],
) -> dict[str, Any]:
    """Rates, what is unequal, and what changed, as JSON; treatments beside it for the report's own use. 4 queries.

    catalog  Every offering by id, with publisher and plans.
    kinds    What offerings of the two sides are called within a sentence.
    on       Today: the rates are those of the period's last day, or of today if that is earlier.
    """
    decisions = _decisions()
    carried = carried_value(starts, ends)
    treatments = _treatments(catalog, decisions, exceptions, carried, starts, ends)
    unequal = _unequal(catalog, treatments, side_of, exceptions)
    last = max(starts, min(on, ends - timedelta(days=1)))
    currency = value_currency()
    unit = {"currency": currency[0] if currency else None, "exponent": currency[1] if currency else 2}
    return {
        **unit,
        "as_of": last.isoformat(),
        "rates": _rates(catalog, treatments, carried, sides, side_of, last),
        "findings": _written(
            catalog, unequal, carried, sides, kinds, {t.plan_id for t in treatments if t.plan_id is not None}
        ),
        "changes": [
            _decision(decision) | {"day": day.isoformat(), "begins": begins}
            for day, begins, decision in sorted(
                (
                    (day, begins, decision)
                    for decision in decisions
                    for day, begins in ((decision.effective.lower, True), (decision.effective.upper, False))
                    if day is not None and starts < day < ends
                ),
                key=lambda change: (change[0], change[2].pk),
            )
        ],
        "unconverted": sum(c.unconverted for c in carried),
        "treatments": treatments,
    }


def value_currency() -> tuple[str, int] | None:
    """Code and exponent of the currency that values are compared in: the first measure's that has one. 1 query."""
    return (
        Measure.objects.exclude(currency=None)
        .order_by("position", "pk")
        .values_list("currency_id", "currency__exponent")
        .first()
    )


_CARRIED: Final = """
with unit as (
  select c.code, c.exponent from quotas_measure m join marketplace_currency c on c.code = m.currency_id order by m.position, m.id limit 1),
line as (
  select l.offering_id, l.plan_id, v.close_date, d.id deal_id, coalesce(l.billed_minor, l.amount_minor) amount, v.currency_id currency
  from quotas_dealversion v join quotas_deal d on d.credited_version_id = v.id and d.state = 'approved'
  join quotas_dealline l on l.version_id = v.id
  where v.close_date >= %(starts)s and v.close_date < %(ends)s),
fraction as (
  select k.close_date, k.currency,
    case when k.currency = u.code then 1 else f.rate_e9 * (10 ^ greatest(0, u.exponent - c.exponent))::bigint end num,
    case when k.currency = u.code then 1 else 1000000000 * (10 ^ greatest(0, c.exponent - u.exponent))::bigint end den
  from (select distinct close_date, currency from line) k
  cross join unit u
  join marketplace_currency c on c.code = k.currency
  left join quotas_fxrate f on f.from_currency_id = k.currency and f.to_currency_id = u.code and f.superseded_at is null and f.effective @> k.close_date)
select l.offering_id, l.plan_id, l.close_date, coalesce(sum(mul_div(l.amount, f.num, f.den)), 0)::bigint, count(*), count(*) filter (where f.num is null),
  array_agg(distinct l.deal_id)
from line l left join fraction f on f.close_date = l.close_date and f.currency = l.currency
group by l.offering_id, l.plan_id, l.close_date"""


def carried_value(starts: date, ends: date) -> list[Carried]:
    """What approved deals of the span are worth, converted once a line; consumption as billed, else as metered. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(_CARRIED, {"starts": starts, "ends": ends})
        return [Carried(*row) for row in cursor.fetchall()]


def _decisions() -> list[EligibilityDecision]:
    return list(
        EligibilityDecision.objects.filter(
            program=Program.QUOTA, checked_at__isnull=False, superseded_at=None
        )
        .select_related("publisher", "offering", "plan", "made_by", "checked_by")
        .order_by("-level", "-pk")
    )


def _treatments(
    catalog: Mapping[int, Offering],
    decisions: Sequence[EligibilityDecision],
    exceptions: Sequence[ParityException],
    carried: Sequence[Carried],
    starts: date,
    ends: date,
) -> list[Treatment]:
    edges = {starts, ends}
    for span in (*(d.effective for d in decisions), *(e.effective for e in exceptions)):
        edges.update(day for day in (span.lower, span.upper) if day is not None and starts < day < ends)
    spans = list(pairwise(sorted(edges)))
    by_scope: dict[tuple[int, object], list[EligibilityDecision]] = defaultdict(list)
    for decision in decisions:
        about = decision.commercial_path or decision.publisher_id or decision.offering_id or decision.plan_id
        by_scope[decision.level, about].append(decision)
    days: dict[int, list[tuple[int | None, date]]] = defaultdict(list)
    for each in carried:
        days[each.offering_id].append((each.plan_id, each.day))
    found = []
    for offering in catalog.values():
        if offering.commercial_path == CommercialPath.INTERNAL:
            continue  # used inside products, never sold
        common = [
            decision
            for scope in (
                (ScopeLevel.OFFERING, offering.pk),
                (ScopeLevel.PUBLISHER, offering.publisher_id),
                (ScopeLevel.PATH, offering.commercial_path),
            )
            for decision in by_scope.get(scope, ())
        ]
        own = [plan.pk for plan in offering.plans.all() if (ScopeLevel.PLAN, plan.pk) in by_scope]
        for plan_id in (None, *own):
            known = [*by_scope[ScopeLevel.PLAN, plan_id], *common] if plan_id is not None else common
            sales = [
                day
                for sold_as, day in days.get(offering.pk, ())
                if (sold_as == plan_id if plan_id is not None else sold_as not in own)
            ]
            for first, end in spans:
                winner = next((d for d in known if first in d.effective), None)
                sold = _on_sale(offering, first, end) or any(first <= day < end for day in sales)
                rate = None if winner is None else winner.rate_ppm
                found.append(Treatment(offering.pk, plan_id, first, end, rate, winner, sold))
    return found


def _on_sale(offering: Offering, first: date, end: date) -> bool:
    """On some of these days, as far as lifecycle and publication go."""
    if offering.publication not in ON_SALE:
        return False
    begins = min(
        (day for day in (offering.preview_on, offering.available_on) if day is not None), default=None
    )
    return (
        begins is not None and begins < end and (offering.retires_on is None or offering.retires_on > first)
    )


@dataclass
class _Unequal:
    """What one decision, or the lack of one, makes less of than the other side's best, under one exception or none."""

    decision: EligibilityDecision | None
    rate_ppm: int | None
    other_ppm: int
    side: int
    exception: ParityException | None
    spans: dict[tuple[int, int | None], list[tuple[date, date]]] = field(
        default_factory=lambda: defaultdict(list)
    )


def _unequal(
    catalog: Mapping[int, Offering],
    treatments: Iterable[Treatment],
    side_of: SideOf,
    exceptions: Sequence[ParityException],
) -> list[_Unequal]:
    by_day: dict[date, list[tuple[int, Treatment]]] = defaultdict(list)
    for treatment in treatments:
        side = side_of(catalog[treatment.offering_id])
        if treatment.sold and side is not None:
            by_day[treatment.starts].append((side, treatment))
    excepted: dict[int | None, list[ParityException]] = defaultdict(list)
    for exception in exceptions:
        excepted[exception.decision_id].append(exception)
    found: dict[tuple[int, int | None, int, int, int], _Unequal] = {}
    for day in sorted(by_day):
        best = [max((t.rate_ppm or 0 for s, t in by_day[day] if s == side), default=0) for side in (0, 1)]
        for side, treatment in by_day[day]:
            if (treatment.rate_ppm or 0) >= best[1 - side]:
                continue
            decision = treatment.decision
            covering = (
                next((e for e in excepted[decision.pk] if day in e.effective), None) if decision else None
            )
            key = (
                decision.pk if decision else 0,
                treatment.rate_ppm,
                best[1 - side],
                side,
                covering.pk if covering else 0,
            )
            group = found.setdefault(
                key, _Unequal(decision, treatment.rate_ppm, best[1 - side], side, covering)
            )
            spans = group.spans[treatment.offering_id, treatment.plan_id]
            if spans and spans[-1][1] == treatment.starts:
                spans[-1] = (spans[-1][0], treatment.ends)
            else:
                spans.append((treatment.starts, treatment.ends))
    return list(found.values())


def _written(
    catalog: Mapping[int, Offering],
    groups: Sequence[_Unequal],
    carried: Sequence[Carried],
    sides: tuple[str, str],
    kinds: tuple[str, str],
    decided: Container[int | None],
) -> list[dict[str, Any]]:
    """decided: plans with a decision of their own; they carry their own value, and the offering the rest."""
    of: dict[int, list[Carried]] = defaultdict(list)
    for each in carried:
        of[each.offering_id].append(each)
    written: list[dict[str, Any]] = []
    for group in groups:
        rows: list[dict[str, Any]] = []
        deals, value, lines = set[int](), 0, 0
        for (offering_id, plan_id), spans in group.spans.items():
            offering = catalog[offering_id]
            own = {p.pk: p for p in offering.plans.all()}
            mine = [
                c
                for c in of[offering_id]
                if any(first <= c.day < end for first, end in spans)
                and (c.plan_id == plan_id if plan_id is not None else c.plan_id not in decided)
            ]
            carries = sum(c.value for c in mine)
            rows.append(
                {
                    "slug": offering.slug,
                    "name": offering.name,
                    "plan": own[plan_id].name if plan_id is not None and plan_id in own else "",
                    "publisher": offering.publisher.name,
                    "value_minor": carries,
                    "lines": sum(c.lines for c in mine),
                }
            )
            value += carries
            lines += sum(c.lines for c in mine)
            deals.update(deal for c in mine for deal in c.deals)
        rows.sort(key=lambda row: (-row["value_minor"], row["name"]))
        everything = [span for spans in group.spans.values() for span in spans]
        since = _since(group, everything)
        written.append(
            {
                "side": sides[group.side],
                "other_side": sides[1 - group.side],
                "kind": kinds[group.side],
                "other_kind": kinds[1 - group.side],
                "rate_ppm": group.rate_ppm,
                "rate": "not decided" if group.rate_ppm is None else share(group.rate_ppm),
                "other_ppm": group.other_ppm,
                "other": share(group.other_ppm),
                "decision": None if group.decision is None else _decision(group.decision),
                "since": since.isoformat() if since else None,
                "until": max(end for _, end in everything).isoformat(),
                "publishers": sorted({row["publisher"] for row in rows}),
                "offerings": rows[:NAMED],
                "offerings_in_all": len({offering_id for offering_id, _ in group.spans}),
                "value_minor": value,
                "lines": lines,
                "deals": len(deals),
                "exception": None if group.exception is None else exception_written(group.exception),
            }
        )
    written.sort(
        key=lambda g: (g["exception"] is not None, -g["value_minor"], -g["offerings_in_all"], g["side"])
    )
    return written


def _since(group: _Unequal, spans: Sequence[tuple[date, date]]) -> date | None:
    """The decision's own first day, also if that was long before; without one the first day on which it is known."""
    if group.decision is not None:
        lower: date | None = group.decision.effective.lower
        return lower
    return min(first for first, _ in spans)


def _rates(
    catalog: Mapping[int, Offering],
    treatments: Sequence[Treatment],
    carried: Sequence[Carried],
    sides: tuple[str, str],
    side_of: SideOf,
    last: date,
) -> list[dict[str, Any]]:
    """One row per publisher and side: how many of its offerings count in full, for less, not at all, on that day."""
    values: dict[tuple[int, int], int] = defaultdict(int)
    for each in carried:
        side = side_of(catalog[each.offering_id])
        if side is not None:
            values[catalog[each.offering_id].publisher_id, side] += each.value
    total = sum(values.values())
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for treatment in treatments:
        offering = catalog[treatment.offering_id]
        side = side_of(offering)
        if side is None or not treatment.starts <= last < treatment.ends:
            continue
        key = offering.publisher_id, side
        if treatment.plan_id is not None or not (
            treatment.sold and _on_sale(offering, last, last + timedelta(days=1))
        ):
            continue
        row = rows.setdefault(
            key,
            {
                "publisher": offering.publisher.name,
                "slug": offering.publisher.slug,
                "side": sides[side],
                "offerings": 0,
                "full": 0,
                "part": 0,
                "none": 0,
                "lowest_ppm": 1_000_000,
                "highest_ppm": 0,
                "value_minor": values.get(key, 0),
                "of_minor": total,
            },
        )
        rate = treatment.rate_ppm or 0
        row["offerings"] += 1
        row["full" if rate == 1_000_000 else "part" if rate else "none"] += 1
        row["lowest_ppm"], row["highest_ppm"] = min(row["lowest_ppm"], rate), max(row["highest_ppm"], rate)
    for row in rows.values():
        low, high = share(row["lowest_ppm"]), share(row["highest_ppm"])
        row["rate"] = low if low == high else f"{low} to {high}"
    return sorted(
        rows.values(), key=lambda row: (sides.index(row["side"]), -row["value_minor"], row["publisher"])
    )


def _decision(decision: EligibilityDecision) -> dict[str, Any]:
    lower, upper = decision.effective.lower, decision.effective.upper
    return {
        "id": decision.pk,
        "about": scope_name(decision),
        "rate": share(decision.rate_ppm),
        "rate_ppm": decision.rate_ppm,
        "starts": lower.isoformat() if lower else None,
        "ends": upper.isoformat() if upper else None,
        "reason": decision.reason,
        "evidence": decision.evidence,
        "assumed": decision.assumed,
        "made_by": decision.made_by.name,
        "checked_by": decision.checked_by.name if decision.checked_by else None,
    }
