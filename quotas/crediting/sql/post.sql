-- Sink: the difference written: entries, reversals, totals, reasons. One row per outcome.
-- A correction is an exact reversal of the entry it replaces, with its pins, and a new one; what did not change is not touched.
-- Cost: the difference, and writing what differs.
-- Numbered in a fixed order, reversals before what takes their place: a reader follows the ids, and a replay gives the same.
, entry as materialized (
  select nextval('quotas_creditentry_id_seq') id, x.* from (
    select l_deal_id deal_id, l_version_id version_id, -l_amount amount, live_id reverses_id, l_rep_id rep_id, l_team_id team_id, l_rule_id rule_id,
      l_rule_version_id rule_version_id, l_plan_version_id plan_version_id, l_decision_id decision_id, l_fx_rate_id fx_rate_id,
      (select q.id from quotas_period p join quotas_period q on q.calendar_id = p.calendar_id and q.grain = 'M' and q.state = 'open' and q.starts >= p.starts
       where p.id = l_posting_period_id order by q.starts limit 1) posting_period_id,
      l_period_id period_id, l_credit_date credit_date, l_measure_id measure_id, l_line_no line_no, l_component component, l_receiver_class receiver_class
    from difference where live_id is not null and not same
    union all
    select deal_id, version_id, amount, null, rep_id, team_id, rule_id, rule_version_id, plan_version_id, decision_id, fx_rate_id,
      posting_period_id, period_id, close_date, measure_id, line_no, component, receiver_class
    from difference where is_desired and not same
    order by deal_id, reverses_id nulls last, line_no, measure_id, component, receiver_class, rep_id) x),
written as (
  insert into quotas_creditentry (id, posting_id, deal_id, deal_version_id, amount_minor, reverses_id, rep_id, team_id, rule_id, rule_version_id,
    plan_version_id, decision_id, fx_rate_id, posting_period_id, origin_period_id, credit_date, measure_id, line_no, component, receiver_class)
  select id, %(posting)s::bigint, deal_id, version_id, amount, reverses_id, rep_id, team_id, rule_id, rule_version_id,
    plan_version_id, decision_id, fx_rate_id, posting_period_id, period_id, credit_date, measure_id, line_no, component, receiver_class
  from entry),
reversed as (
  insert into quotas_reversal (entry_id, reversed_by_id) select reverses_id, id from entry where reverses_id is not null),
leaf as materialized (
  select posting_period_id, period_id, measure_id, team_id, rep_id,
    sum(amount) filter (where receiver_class = 1) direct, sum(amount) filter (where receiver_class = 2) overlay
  from entry group by posting_period_id, period_id, measure_id, team_id, rep_id),
moved as (
  select g.period_id, g.rank, l.measure_id, 1::smallint basis, l.team_id, l.rep_id, sum(l.direct) direct, sum(l.overlay) overlay
  from leaf l
  join quotas_period p on p.id = l.posting_period_id
  cross join lateral (values (p.id, 1), (p.quarter_id, 2), (p.half_id, 3), (p.year_id, 4)) g(period_id, rank)
  group by g.period_id, g.rank, l.measure_id, l.team_id, l.rep_id
  union all
  select period_id, 1, measure_id, 2::smallint, team_id, rep_id, sum(direct), sum(overlay)
  from leaf group by period_id, measure_id, team_id, rep_id),
totalled as (
  insert into quotas_credittotal as t (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
  select period_id, measure_id, basis, team_id, rep_id, coalesce(direct, 0)::bigint, coalesce(overlay, 0)::bigint
  from moved where coalesce(direct, 0) <> 0 or coalesce(overlay, 0) <> 0
  order by rank, period_id, measure_id, basis, team_id, rep_id
  on conflict (period_id, measure_id, basis, team_id, rep_id)
  do update set direct_minor = t.direct_minor + excluded.direct_minor, overlay_minor = t.overlay_minor + excluded.overlay_minor),
reason as materialized (select deal_id, line_no, measure_id, rep_id, reason from uncredited where scenario = 1),
no_longer as (
  delete from quotas_uncreditedline u using scope s
  where u.deal_id = s.deal_id and not exists (
    select from reason r where r.deal_id = u.deal_id and r.line_no = u.line_no
      and r.measure_id is not distinct from u.measure_id and r.rep_id is not distinct from u.rep_id)),
because as (
  insert into quotas_uncreditedline as u (deal_id, line_no, measure_id, rep_id, reason)
  select deal_id, line_no, measure_id, rep_id, reason from reason
  on conflict (deal_id, line_no, measure_id, rep_id) do update set reason = excluded.reason where u.reason <> excluded.reason)
select outcome, count from (
  select 'credited' outcome, count(*) filter (where reverses_id is null) count from entry
  union all
  select 'reversed', count(*) filter (where reverses_id is not null) from entry
  union all
  select 'unchanged', count(*) filter (where same) from difference
  union all
  select reason, count(*) from reason group by reason) x
where count > 0 order by outcome
