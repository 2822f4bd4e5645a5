"""Beside the verdicts: whether eligibility decisions moved anything, and how deals of either side were dealt with. Neither is a verdict."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, Final

from django.db import connection

from marketplace.models import EligibilityDecision, Offering, Program, ScopeLevel
from marketplace.selectors.eligibility import scope_name
from quotas.selectors.parity_words import share

EVENTS: Final = 4  # decision days that are looked at, the last ones
LONGEST: Final = timedelta(days=182)
SHORTEST: Final = timedelta(days=7)

_MOVED: Final = """
with unit as (
  select m.id measure_id, c.code, c.exponent from quotas_measure m join marketplace_currency c on c.code = m.currency_id order by m.position, m.id limit 1),
part as (
  select n, starts, ends from unnest(%(n)s::int[], %(starts)s::date[], %(ends)s::date[]) x(n, starts, ends)),
line as (
  select p.n, v.close_date, v.currency_id currency, d.id deal_id, o.publisher_id, coalesce(l.billed_minor, l.amount_minor) amount
  from part p
  join quotas_dealversion v on v.close_date >= p.starts and v.close_date < p.ends
  join quotas_deal d on d.credited_version_id = v.id and d.state = 'approved'
  join quotas_dealline l on l.version_id = v.id
  join marketplace_offering o on o.id = l.offering_id),
fraction as (
  select k.close_date, k.currency,
    case when k.currency = u.code then 1 else f.rate_e9 * (10 ^ greatest(0, u.exponent - c.exponent))::bigint end num,
    case when k.currency = u.code then 1 else 1000000000 * (10 ^ greatest(0, c.exponent - u.exponent))::bigint end den
  from (select distinct close_date, currency from line) k
  cross join unit u
  join marketplace_currency c on c.code = k.currency
  left join quotas_fxrate f on f.from_currency_id = k.currency and f.to_currency_id = u.code and f.superseded_at is null and f.effective @> k.close_date),
sold as (
  select l.n, l.publisher_id, count(distinct l.deal_id) deals, coalesce(sum(mul_div(l.amount, f.num, f.den)), 0)::bigint value
  from line l left join fraction f on f.close_date = l.close_date and f.currency = l.currency group by l.n, l.publisher_id),
credited as (
  select p.n, o.publisher_id, sum(e.amount_minor)::bigint credit
  from part p
  join quotas_creditentry e on e.credit_date >= p.starts and e.credit_date < p.ends and e.receiver_class = 1
  join unit u on u.measure_id = e.measure_id
  join quotas_dealline l on l.version_id = e.deal_version_id and l.line_no = e.line_no
  join marketplace_offering o on o.id = l.offering_id
  group by p.n, o.publisher_id)
select s.n, s.publisher_id, s.deals, s.value, coalesce(c.credit, 0)::bigint from sold s left join credited c on c.n = s.n and c.publisher_id = s.publisher_id"""


def policy(
    *,
    starts: date,
    ends: date,
    on: date,
    side_of: Callable[[Offering], int | None],
    catalog: Mapping[int, Offering],
) -> list[dict[str, Any]]:
    """For each day on which eligibility decisions begin: what each publisher had of deals, value and credit before and after, over equally long spans.

    The last decisions up to the end of the period, as far as there are deals before and days after. 4 queries.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select min(v.close_date) from quotas_dealversion v join quotas_deal d on d.credited_version_id = v.id where d.state = 'approved'"
        )
        (since,) = cursor.fetchone() or (None,)
    if since is None:
        return []
    by_day: dict[date, list[EligibilityDecision]] = defaultdict(list)
    for decision in EligibilityDecision.objects.filter(
        program=Program.QUOTA,
        checked_at__isnull=False,
        superseded_at=None,
        effective__startswith__lt=min(ends, on),
    ).select_related("publisher", "offering__publisher", "plan__offering__publisher"):
        first = decision.effective.lower
        if first is not None and first - since >= SHORTEST and on - first >= SHORTEST:
            by_day[first].append(decision)
    days = sorted(by_day, reverse=True)[:EVENTS]
    if not days:
        return []
    parts: dict[int, tuple[date, date]] = {}
    for n, day in enumerate(days):
        length = min(LONGEST, day - since, on + timedelta(days=1) - day)
        parts[2 * n], parts[2 * n + 1] = (day - length, day), (day, day + length)
    with connection.cursor() as cursor:
        cursor.execute(
            _MOVED,
            {
                "n": list(parts),
                "starts": [first for first, _ in parts.values()],
                "ends": [end for _, end in parts.values()],
            },
        )
        moved = {(n, publisher): row for n, publisher, *row in cursor.fetchall()}
    publishers = {o.publisher_id: o.publisher for o in catalog.values()}
    events = []
    for n, day in enumerate(days):
        before, after = 2 * n, 2 * n + 1
        sums = [
            [sum(row[k] for (part, _), row in moved.items() if part == p) for k in range(3)]
            for p in (before, after)
        ]
        concerned = {pk for decision in by_day[day] for pk in _publishers(decision, catalog)}
        rows: list[dict[str, Any]] = []
        for pk, publisher in publishers.items():
            had, has = moved.get((before, pk), [0, 0, 0]), moved.get((after, pk), [0, 0, 0])
            if not any([*had, *has]):
                continue
            rows.append(
                {
                    "publisher": publisher.name,
                    "slug": publisher.slug,
                    "origin": publisher.get_origin_display(),
                    "concerned": pk in concerned,
                    **{
                        name: {
                            "before": had[k],
                            "after": has[k],
                            "before_ppm": _ppm(had[k], sums[0][k]),
                            "after_ppm": _ppm(has[k], sums[1][k]),
                        }
                        for k, name in enumerate(("deals", "value", "credit"))
                    },
                }
            )
        rows.sort(key=lambda row: (not row["concerned"], -row["value"]["after"], row["publisher"]))
        events.append(
            {
                "day": day.isoformat(),
                "length": (parts[before][1] - parts[before][0]).days,
                "before": [edge.isoformat() for edge in parts[before]],
                "after": [edge.isoformat() for edge in parts[after]],
                "decisions": [
                    {"id": d.pk, "about": scope_name(d), "rate": share(d.rate_ppm), "reason": d.reason}
                    for d in by_day[day]
                ],
                "publishers": rows,
            }
        )
    return events


def _publishers(decision: EligibilityDecision, catalog: Mapping[int, Offering]) -> set[int]:
    if decision.level == ScopeLevel.PATH:
        return {o.publisher_id for o in catalog.values() if o.commercial_path == decision.commercial_path}
    if decision.publisher_id is not None:
        return {decision.publisher_id}
    offering = decision.offering or (decision.plan.offering if decision.plan else None)
    return {offering.publisher_id} if offering else set()


def _ppm(part: int, whole: int) -> int | None:
    return None if whole <= 0 else part * 1_000_000 // whole


_BEHAVIOUR: Final = """
with sided as (select * from unnest(%(offerings)s::bigint[], %(sides)s::int[]) x(offering_id, side)),
deal as (
  select distinct d.id, s.side, o.publisher_id, d.state,
    case when d.state in ('approved', 'cancelled') and v.number = 1 then extract(epoch from d.decided_at - d.submitted_at)::bigint end seconds,
    coalesce(e.returned, false) returned, coalesce(e.rejected, false) rejected, coalesce(e.held, false) held
  from quotas_dealversion v
  join quotas_deal d on d.latest_version_id = v.id and d.submitted_at is not null
  join quotas_dealline l on l.version_id = v.id
  join sided s on s.offering_id = l.offering_id
  join marketplace_offering o on o.id = l.offering_id
  left join lateral (
    select bool_or(e.action = 'returned') returned, bool_or(e.action = 'rejected') rejected, bool_or(e.action = 'held') held
    from quotas_dealevent e where e.deal_id = d.id) e on true
  where v.close_date >= %(starts)s and v.close_date < %(ends)s),
counted as (
  select side, publisher_id, count(*) deals, count(*) filter (where rejected) rejected, count(*) filter (where returned) returned, count(*) filter (where held) held,
    percentile_disc(0.5) within group (order by seconds) filter (where seconds > 0) seconds, count(*) filter (where seconds > 0) timed
  from deal group by side, publisher_id
  union all
  select side, null, count(*), count(*) filter (where rejected), count(*) filter (where returned), count(*) filter (where held),
    percentile_disc(0.5) within group (order by seconds) filter (where seconds > 0), count(*) filter (where seconds > 0)
  from (select distinct id, side, state, seconds, returned, rejected, held from deal) d group by side)
select * from counted order by side, publisher_id nulls first"""


def behaviour(
    *,
    starts: date,
    ends: date,
    sides: tuple[str, str],
    side_of: Callable[[Offering], int | None],
    catalog: Mapping[int, Offering],
) -> list[dict[str, Any]]:
    """Deals submitted, approval time at the median, rejections, returns and holds, by side and publisher; a deal counts for each whose offering it has.

    Approvals that a policy gave at once are not counted as decided by people. 1 query.
    """
    known = [(pk, side) for pk, offering in catalog.items() if (side := side_of(offering)) is not None]
    names = {o.publisher_id: (o.publisher.name, o.publisher.slug) for o in catalog.values()}
    with connection.cursor() as cursor:
        cursor.execute(
            _BEHAVIOUR,
            {
                "offerings": [pk for pk, _ in known],
                "sides": [side for _, side in known],
                "starts": starts,
                "ends": ends,
            },
        )
        return [
            {
                "side": sides[side],
                "publisher": names[publisher][0] if publisher is not None else None,
                "slug": names[publisher][1] if publisher is not None else None,
                "deals": deals,
                "rejected": rejected,
                "returned": returned,
                "held": held,
                "minutes": None if seconds is None else seconds // 60,
                "timed": timed,
            }
            for side, publisher, deals, rejected, returned, held, seconds, timed in cursor.fetchall()
        ]
