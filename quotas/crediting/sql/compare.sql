-- Sink: what scenario 2 would change against scenario 1, nothing posted. One row per measure, period, team and rep that moves, one per measure,
-- period and rule, and one per measure, period and offering; what is not asked of a row is empty.
-- Rows of scenario 0 are alike in both. Credit and uplift are added up before they are parted into entries. Cost: one pass over what is won.
, part as not materialized (
  select scenario, offering_id, measure_id, period_id, team_id, rep_id, rule_id, credit + uplift amount
  from won where gap is null and rule_id is not null and silent < 1
  union all
  select scenario, offering_id, measure_id, period_id, team_id, rep_id, rule_id, amount from desired where component > 2)
select measure_id, period_id, team_id, rep_id, rule_id, offering_id,
  coalesce(sum(amount) filter (where scenario < 2), 0)::bigint before, coalesce(sum(amount) filter (where scenario <> 1), 0)::bigint after
from part
group by grouping sets ((measure_id, period_id, team_id, rep_id), (measure_id, period_id, rule_id), (measure_id, period_id, offering_id))
having coalesce(sum(amount) filter (where scenario < 2), 0) <> coalesce(sum(amount) filter (where scenario <> 1), 0)
