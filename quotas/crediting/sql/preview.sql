-- Sink: the difference told and not written. Rows of kind standing (per measure, origin month, team and rep), deal (per measure and deal, the
-- largest first, at most 200) and count (per outcome, as a posting would count them).
, moved as materialized (
  select measure_id, period_id, team_id, rep_id, deal_id, case state when 'stale' then -amount else amount end amount, state
  from difference where state <> 'same'),
reason as materialized (select deal_id, line_no, measure_id, rep_id, reason from uncredited where scenario = 1)
select 'standing' kind, measure_id, period_id, team_id, rep_id, null::bigint deal_id, null::text outcome,
  -coalesce(sum(amount) filter (where state = 'stale'), 0)::bigint before, coalesce(sum(amount) filter (where state = 'fresh'), 0)::bigint after
from moved group by measure_id, period_id, team_id, rep_id having sum(amount) <> 0
union all
select * from (
  select 'deal', measure_id, null::bigint, null::bigint, null::bigint, deal_id, null::text,
    -coalesce(sum(amount) filter (where state = 'stale'), 0)::bigint, coalesce(sum(amount) filter (where state = 'fresh'), 0)::bigint
  from moved group by measure_id, deal_id order by abs(sum(amount)) desc, deal_id limit 200) x
union all
select 'count', null, null, null, null, null, outcome, 0, count from (
  select 'credited' outcome, count(*) count from moved where state = 'fresh'
  union all
  select 'reversed', count(*) from moved where state = 'stale'
  union all
  select 'unchanged', (select count(*) from desired where scenario <> 2) - count(*) filter (where state = 'fresh') from moved
  union all
  select reason, count(*) from reason group by reason) x
where count > 0
