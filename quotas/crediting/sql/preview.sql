-- Sink: the difference told and not written. Rows of kind standing (per measure, origin month, team and rep), deal (per measure and deal, the
-- largest first, at most 200) and count (per outcome, as a posting would count them).
, moved as materialized (
  select coalesce(l_measure_id, measure_id) measure_id, coalesce(l_period_id, period_id) period_id, coalesce(l_team_id, team_id) team_id,
    coalesce(l_rep_id, rep_id) rep_id, coalesce(l_deal_id, deal_id) deal_id, -coalesce(l_amount, 0) amount, 1 side
  from difference where live_id is not null and not same
  union all
  select measure_id, period_id, team_id, rep_id, deal_id, amount, 2 from difference where is_desired and not same),
reason as materialized (select deal_id, line_no, measure_id, rep_id, reason from uncredited where scenario = 1)
select 'standing' kind, measure_id, period_id, team_id, rep_id, null::bigint deal_id, null::text outcome,
  -coalesce(sum(amount) filter (where side = 1), 0)::bigint before, coalesce(sum(amount) filter (where side = 2), 0)::bigint after
from moved group by measure_id, period_id, team_id, rep_id having sum(amount) <> 0
union all
select * from (
  select 'deal', measure_id, null::bigint, null::bigint, null::bigint, deal_id, null::text,
    -coalesce(sum(amount) filter (where side = 1), 0)::bigint, coalesce(sum(amount) filter (where side = 2), 0)::bigint
  from moved group by measure_id, deal_id order by abs(sum(amount)) desc, deal_id limit 200) x
union all
select 'count', null, null, null, null, null, outcome, 0, count from (
  select 'credited' outcome, count(*) count from difference where is_desired and not same
  union all
  select 'reversed', count(*) from difference where live_id is not null and not same
  union all
  select 'unchanged', count(*) from difference where same
  union all
  select reason, count(*) from reason group by reason) x
where count > 0
