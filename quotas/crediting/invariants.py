"""What must hold of the ledger, whatever happened. Each statement yields the rows that break it; none is good."""

from typing import Any

from django.db import connection

INVARIANTS: dict[str, str] = {
    "a reversal negates exactly one entry, at most once": """
        select r.entry_id, r.reversed_by_id from quotas_reversal r
        left join quotas_creditentry e on e.id = r.entry_id
        left join quotas_creditentry x on x.id = r.reversed_by_id
        where e.id is null or x.id is null or x.reverses_id is distinct from e.id or x.amount_minor <> -e.amount_minor
          or (x.deal_id, x.deal_version_id, x.line_no, x.rep_id, x.team_id, x.measure_id, x.component, x.receiver_class, x.rule_id, x.rule_version_id,
            x.plan_version_id, x.decision_id, x.fx_rate_id, x.origin_period_id, x.credit_date, x.adjustment_id)
            is distinct from (e.deal_id, e.deal_version_id, e.line_no, e.rep_id, e.team_id, e.measure_id, e.component, e.receiver_class, e.rule_id,
            e.rule_version_id, e.plan_version_id, e.decision_id, e.fx_rate_id, e.origin_period_id, e.credit_date, e.adjustment_id)""",
    "every reversing entry is registered once": """
        select e.id from quotas_creditentry e left join quotas_reversal r on r.reversed_by_id = e.id
        where (e.reverses_id is null) <> (r.entry_id is null) or r.entry_id is distinct from e.reverses_id""",
    "an entry's id is unique in the whole ledger": """
        select id from quotas_creditentry group by id having count(*) > 1""",
    "at most one live entry of a kind": """
        select e.deal_id, e.line_no, e.rep_id, e.measure_id, e.component, e.receiver_class, e.rule_id, e.adjustment_id from quotas_creditentry e
        where e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id)
        group by e.deal_id, e.line_no, e.rep_id, e.measure_id, e.component, e.receiver_class, e.rule_id, e.adjustment_id having count(*) > 1""",
    "a cancelled deal nets to zero in every measure": """
        select e.deal_id, e.measure_id, sum(e.amount_minor) from quotas_creditentry e join quotas_deal d on d.id = e.deal_id
        where d.state <> 'approved' or d.held group by e.deal_id, e.measure_id having sum(e.amount_minor) <> 0""",
    "origin period contains the credit date": """
        select e.id, e.credit_date, p.name from quotas_creditentry e left join quotas_period p on p.id = e.origin_period_id
        where p.id is null or p.grain <> 'M' or e.credit_date < p.starts or e.credit_date >= p.ends""",
    "an entry is posted in its origin period or later": """
        select e.id from quotas_creditentry e
        join quotas_period o on o.id = e.origin_period_id join quotas_period p on p.id = e.posting_period_id
        where p.starts < o.starts or p.grain <> 'M' or p.calendar_id <> o.calendar_id""",
    "what stands for a deal lies in its calendar": """
        select e.id, e.deal_id, p.name from quotas_creditentry e
        join quotas_period p on p.id = e.origin_period_id join quotas_deal d on d.id = e.deal_id
        where p.calendar_id <> d.calendar_id and e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id)""",
    "totals equal the ledger, as reported": """
        with told as (
          select g.period_id, e.measure_id, e.team_id::bigint team_id, e.rep_id::bigint rep_id,
            coalesce(sum(e.amount_minor) filter (where e.receiver_class = 1), 0) direct, coalesce(sum(e.amount_minor) filter (where e.receiver_class = 2), 0) overlay
          from quotas_creditentry e join quotas_period p on p.id = e.posting_period_id
          cross join lateral (values (p.id), (p.quarter_id), (p.half_id), (p.year_id)) g(period_id)
          group by g.period_id, e.measure_id, e.team_id, e.rep_id)
        select coalesce(t.period_id, k.period_id), coalesce(t.measure_id, k.measure_id), coalesce(t.team_id, k.team_id), coalesce(t.rep_id, k.rep_id),
          t.direct, k.direct_minor, t.overlay, k.overlay_minor
        from told t full join (select * from quotas_credittotal where basis = 1) k
          on k.period_id = t.period_id and k.measure_id = t.measure_id and k.team_id = t.team_id and k.rep_id = t.rep_id
        where coalesce(t.direct, 0) <> coalesce(k.direct_minor, 0) or coalesce(t.overlay, 0) <> coalesce(k.overlay_minor, 0)""",
    "totals equal the ledger, restated": """
        with told as (
          select e.origin_period_id::bigint period_id, e.measure_id, e.team_id::bigint team_id, e.rep_id::bigint rep_id,
            coalesce(sum(e.amount_minor) filter (where e.receiver_class = 1), 0) direct, coalesce(sum(e.amount_minor) filter (where e.receiver_class = 2), 0) overlay
          from quotas_creditentry e group by e.origin_period_id, e.measure_id, e.team_id, e.rep_id)
        select coalesce(t.period_id, k.period_id), coalesce(t.measure_id, k.measure_id), coalesce(t.team_id, k.team_id), coalesce(t.rep_id, k.rep_id),
          t.direct, k.direct_minor, t.overlay, k.overlay_minor
        from told t full join (
          select k.period_id, k.measure_id, k.team_id, k.rep_id, sum(k.direct_minor) direct_minor, sum(k.overlay_minor) overlay_minor
          from quotas_credittotal k join quotas_period p on p.id = k.period_id and p.grain = 'M'
          group by k.period_id, k.measure_id, k.team_id, k.rep_id) k
          on k.period_id = t.period_id and k.measure_id = t.measure_id and k.team_id = t.team_id and k.rep_id = t.rep_id
        where coalesce(t.direct, 0) <> coalesce(k.direct_minor, 0) or coalesce(t.overlay, 0) <> coalesce(k.overlay_minor, 0)""",
    "an adjustment stands in the ledger as it was approved, once": """
        select a.id, e.id from quotas_adjustment a
        left join quotas_creditentry e on e.adjustment_id = a.id and e.reverses_id is null
        where a.state = 'posted' and a.undoes_id is null
          and (e.id is null or (e.rep_id, e.team_id, e.measure_id, e.amount_minor, e.origin_period_id, e.credit_date, e.component, e.receiver_class)
            is distinct from (a.rep_id, a.team_id, a.measure_id, a.amount_minor, a.origin_period_id, a.credit_date, 5, 1))
        union all
        select a.id, e.id from quotas_adjustment a left join quotas_creditentry e on e.adjustment_id = a.undoes_id and e.reverses_id is not null
        where a.state = 'posted' and a.undoes_id is not null and e.id is null
        union all
        select e.adjustment_id, e.id from quotas_creditentry e left join quotas_adjustment a on a.id = e.adjustment_id and a.state = 'posted'
        where e.component = 5 and a.id is null""",
    "an adjustment goes with its deal": """
        select a.id from quotas_adjustment a join quotas_deal d on d.id = a.deal_id
        where a.state = 'posted' and a.undoes_id is null and d.state = 'cancelled'
          and not exists (select from quotas_adjustment u where u.undoes_id = a.id and u.state = 'posted')""",
    "nobody approves their own adjustment": """
        select a.id from quotas_adjustment a join quotas_rep r on r.id = a.rep_id
        where a.state = 'posted' and a.reason_code <> 'deal_cancelled' and (a.decided_by_id = a.asked_by_id or a.decided_by_id = r.user_id)""",
    "every approved deal has credits or a reason": """
        select d.id, l.line_no from quotas_deal d join quotas_dealline l on l.version_id = d.credited_version_id
        where d.state = 'approved'
          and not exists (
            select from quotas_creditentry e where e.deal_id = d.id and e.line_no = l.line_no and e.reverses_id is null
              and not exists (select from quotas_reversal r where r.entry_id = e.id))
          and not exists (select from quotas_uncreditedline u where u.deal_id = d.id and u.line_no = l.line_no)""",
    "shares add up to one million": """
        select version_id, sum(ppm) from quotas_dealshare group by version_id having sum(ppm) <> 1000000""",
    "nobody approves a deal in which they have a share": """
        select d.id, d.decided_by_id from quotas_deal d
        join quotas_dealshare s on s.version_id = d.credited_version_id join quotas_rep r on r.id = s.rep_id
        where d.state = 'approved' and r.user_id = d.decided_by_id
        union
        select e.deal_id, e.by_id from quotas_dealevent e
        join quotas_dealshare s on s.version_id = e.version_id join quotas_rep r on r.id = s.rep_id
        where e.action in ('approved', 'amendment_approved', 'first_approved') and r.user_id = e.by_id""",
    "no delegate approves a deal in which they have a share": """
        select a.deal_id, a.by_id, a.on_behalf_of_id from quotas_dealapproval a
        join quotas_dealshare s on s.version_id = a.version_id join quotas_rep r on r.id = s.rep_id
        where r.user_id in (a.by_id, a.on_behalf_of_id)
        union
        select a.deal_id, a.by_id, a.on_behalf_of_id from quotas_dealapproval a join quotas_dealversion v on v.id = a.version_id
        where a.on_behalf_of_id is not null and not exists (
          select from quotas_delegation d where d.of_id = a.on_behalf_of_id and d.to_id = a.by_id and d.recorded_at <= a.at
            and (d.superseded_at is null or d.superseded_at >= a.at))""",
    # By the limit and the rates as they were known when it was approved; the day is that of its last submission or amendment before.
    "a deal above the limit has two approvers": """
        select e.deal_id, e.version_id, l.id from quotas_approvallimit l
        join quotas_dealevent e on e.action in ('approved', 'amendment_approved') and e.at > l.recorded_at
          and (l.superseded_at is null or e.at < l.superseded_at)
        join quotas_dealversion v on v.id = e.version_id and v.kind <> 'consumption'
        join quotas_deal g on g.id = e.deal_id join quotas_fiscalcalendar c on c.id = g.calendar_id
        join marketplace_currency f on f.code = v.currency_id join marketplace_currency t on t.code = l.currency_id
        cross join lateral (
          select s.at from quotas_dealevent s where s.deal_id = e.deal_id and s.id < e.id and s.action in ('submitted', 'amended')
          order by s.id desc limit 1) h
        cross join lateral (select abs(sum(x.amount_minor))::bigint minor from quotas_dealline x where x.version_id = v.id) s
        left join quotas_fxrate r on r.from_currency_id = v.currency_id and r.to_currency_id = l.currency_id and r.effective @> v.close_date
          and r.recorded_at <= e.at and (r.superseded_at is null or r.superseded_at > e.at)
        where l.effective @> (h.at at time zone c.time_zone)::date
          and case when v.currency_id = l.currency_id then s.minor > l.amount_minor
              else r.id is null or coalesce(mul_div(s.minor, r.rate_e9 * (10 ^ greatest(0, t.exponent - f.exponent))::bigint,
                1000000000 * (10 ^ greatest(0, f.exponent - t.exponent))::bigint) > l.amount_minor, true) end
          and (select count(distinct a.by_id) from quotas_dealapproval a where a.version_id = e.version_id and a.submitted_at = h.at) < 2""",
    # What was credited of a line, against its value worked out again from the pins; where the rate is not 100 %, as near as rounding lets it be.
    "base amounts of a line add up to its value": """
        select x.deal_id, x.line_no, x.measure_id, x.credited, x.value, x.rate from (
          select e.deal_id, e.line_no, e.measure_id, sum(e.amount_minor) credited, count(*) parts, max(d.rate_ppm)::bigint rate,
            mul_div(
              case m.basis when 'billed' then coalesce(l.billed_minor, l.amount_minor) when 'annualised_value' then l.amount_minor * 12 else l.amount_minor end,
              case when f.id is null then 1 else f.rate_e9 * (10 ^ greatest(0, into_.exponent - from_.exponent))::bigint end,
              case when f.id is null then 1 else 1000000000 * (10 ^ greatest(0, from_.exponent - into_.exponent))::bigint end
                * case m.basis when 'annualised_value' then coalesce(l.term_months, 12) else 1 end) as value
          from quotas_creditentry e
          join quotas_measure m on m.id = e.measure_id and m.basis not in ('units', 'new_customers')
          join marketplace_currency into_ on into_.code = m.currency_id
          join quotas_deal g on g.id = e.deal_id
          join quotas_dealversion v on v.id = g.credited_version_id
          join marketplace_currency from_ on from_.code = v.currency_id
          join quotas_dealline l on l.version_id = v.id and l.line_no = e.line_no
          join marketplace_eligibilitydecision d on d.id = e.decision_id
          left join quotas_fxrate f on f.id = e.fx_rate_id
          where e.component = 1 and e.receiver_class = 1 and e.reverses_id is null
            and not exists (select from quotas_reversal r where r.entry_id = e.id)
            and not exists (select from quotas_uncreditedline u where u.deal_id = e.deal_id and u.line_no = e.line_no)
          group by e.deal_id, e.line_no, e.measure_id, m.basis, l.id, f.id, into_.exponent, from_.exponent) x
        where abs(x.credited - x.value::numeric * x.rate / 1000000) > case x.rate when 1000000 then 0 else x.parts * 0.5 end""",
    "posting key unique": """
        select key, count(*) from quotas_posting group by key having count(*) > 1""",
    "every posting that wrote has its key": """
        select distinct e.posting_id from quotas_creditentry e left join quotas_posting p on p.id = e.posting_id where p.id is null""",
}


def broken(*, first: int = 1) -> dict[str, list[tuple[Any, ...]]]:
    """The invariants that do not hold, by name, each with the first rows that break it. Empty is a clean ledger."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with connection.cursor() as cursor:
        for name, statement in INVARIANTS.items():
            cursor.execute(f"select * from ({statement}) x limit %s", [first])  # noqa: S608 -- our own statements
            rows = cursor.fetchall()
            if rows:
                found[name] = rows
    return found
