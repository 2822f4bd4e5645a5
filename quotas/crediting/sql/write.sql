-- Sink, first part: a difference written: entries, reversals, totals. What it comes to is in "written".
-- A correction is an exact reversal of the entry it replaces, with its pins, and a new one; what did not change is not touched.
-- Cost: writing what differs.
-- Numbered in a fixed order, reversals before what takes their place: a reader follows the ids, and a replay gives the same. New entries go month
-- by month, so that each index is written along its end. The order is packed into few keys, because that is what sorting costs.
, later as materialized (
  select p.id period_id, (
    select q.id from quotas_period q
    where q.calendar_id = p.calendar_id and q.grain = 'M' and q.state = 'open' and q.starts >= p.starts order by q.starts limit 1) open_id
  from quotas_period p where p.grain = 'M'),
written as (
  insert into quotas_creditentry (id, posting_id, deal_id, deal_version_id, amount_minor, reverses_id, rep_id, team_id, rule_id, rule_version_id,
    plan_version_id, decision_id, fx_rate_id, posting_period_id, origin_period_id, credit_date, measure_id, line_no, component, receiver_class, adjustment_id)
  select nextval('quotas_creditentry_id_seq'), %(posting)s::bigint, deal_id, version_id, amount, live_id, rep_id, team_id, rule_id, rule_version_id,
    plan_version_id, decision_id, fx_rate_id, posting_period_id, period_id, credit_date, measure_id, line_no, component, receiver_class, adjustment_id
  from (
    select d.live_id, d.deal_id, d.version_id, case d.state when 'stale' then -d.amount else d.amount end amount, d.rep_id, d.team_id, d.rule_id,
      d.rule_version_id, d.plan_version_id, d.decision_id, d.fx_rate_id,
      case d.state when 'stale' then l.open_id else d.posting_period_id end posting_period_id,
      d.period_id, d.credit_date, d.measure_id, d.line_no, d.component, d.receiver_class, d.adjustment_id
    from difference d left join later l on d.state = 'stale' and l.period_id = d.posting_period_id
    where d.state <> 'same'
    order by case d.state when 'stale' then d.deal_id << 16 else ((d.posting_period_id & 2047) << 52) + (d.deal_id << 16) + d.line_no end,
      coalesce(d.live_id, (d.measure_id::bigint << 48) + (d.component::bigint << 40) + (d.receiver_class::bigint << 32) + d.rep_id), d.rule_id, d.adjustment_id) x
  returning id, reverses_id, posting_period_id, origin_period_id, measure_id, team_id, rep_id, receiver_class, amount_minor),
reversed as (
  insert into quotas_reversal (entry_id, reversed_by_id) select reverses_id, id from written where reverses_id is not null),
leaf as materialized (
  select posting_period_id, origin_period_id, measure_id, (team_id::bigint << 32) + rep_id who,
    sum_minor(case receiver_class when 1 then amount_minor else 0 end) direct, sum_minor(case receiver_class when 1 then 0 else amount_minor end) overlay
  from written group by posting_period_id, origin_period_id, measure_id, (team_id::bigint << 32) + rep_id),
-- As reported: by the month of posting and all that holds it. Restated: what a posting into a later month takes from there to its origin month.
-- A total's key is two numbers here, what and who, because hundreds of thousands of them are grouped and sorted: rank of the grain, period,
-- measure and basis; team and rep.
moved as (
  select (g.rank << 48) + (g.period_id << 16) + (l.measure_id << 1) what, l.who, l.direct, l.overlay
  from leaf l
  join quotas_period p on p.id = l.posting_period_id
  cross join lateral (values (1::bigint, p.id), (2, p.quarter_id), (3, p.half_id), (4, p.year_id)) g(rank, period_id)
  union all
  select (1::bigint << 48) + (g.period_id << 16) + (l.measure_id << 1) + 1, l.who, g.sign * l.direct, g.sign * l.overlay
  from leaf l cross join lateral (values (l.origin_period_id::bigint, 1), (l.posting_period_id, -1)) g(period_id, sign)
  where l.origin_period_id <> l.posting_period_id),
totalled as (
  insert into quotas_credittotal as t (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
  select (what >> 16) & 4294967295, (what >> 1) & 32767, (what & 1) + 1, who >> 32, who & 4294967295, direct, overlay from (
    select what, who, sum_minor(direct) direct, sum_minor(overlay) overlay from moved group by what, who
    having sum_minor(direct) <> 0 or sum_minor(overlay) <> 0 order by what, who) x
  on conflict (period_id, measure_id, basis, team_id, rep_id)
  do update set direct_minor = t.direct_minor + excluded.direct_minor, overlay_minor = t.overlay_minor + excluded.overlay_minor)
