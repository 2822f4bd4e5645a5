-- Source: adjustments that were approved, as a difference to be written: each one that is not in the ledger yet is fresh, and the entry of
-- each one that another adjustment undoes is stale, so that it is negated exactly. One row per adjustment.
-- Cost: index look-ups, proportional to the ids given.
later_than as materialized (
  select a.id adjustment_id, a.undoes_id, a.origin_period_id, (
    select q.id from quotas_period p join quotas_period q on q.calendar_id = p.calendar_id and q.grain = 'M' and q.state = 'open' and q.starts >= p.starts
    where p.id = a.origin_period_id order by q.starts limit 1) open_id
  from quotas_adjustment a where a.id = any(%(adjustments)s::bigint[]) and a.state = 'posted'),
difference as (
  select null::bigint live_id, 'fresh' state, null::bigint deal_id, null::bigint version_id, null::smallint line_no, a.rep_id, a.team_id, a.credit_date,
    t.open_id posting_period_id, a.origin_period_id period_id, null::bigint fx_rate_id, null::bigint decision_id, a.measure_id,
    null::bigint plan_version_id, null::bigint rule_id, null::bigint rule_version_id, 5::smallint component, 1::smallint receiver_class,
    a.amount_minor amount, a.id::int adjustment_id
  from later_than t join quotas_adjustment a on a.id = t.adjustment_id
  where t.undoes_id is null and not exists (select from quotas_creditentry e where e.adjustment_id = a.id)
  union all
  select e.id, 'stale', null, null, null, e.rep_id, e.team_id, e.credit_date, e.posting_period_id, e.origin_period_id, null, null, e.measure_id,
    null, null, null, 5::smallint, 1::smallint, e.amount_minor, e.adjustment_id
  from later_than t join quotas_creditentry e on e.adjustment_id = t.undoes_id
  where e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id))
