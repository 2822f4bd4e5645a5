-- Sink: what scenario 2 would change against scenario 1, nothing posted. One row per measure, period, team and rep that moves.
select measure_id, period_id, team_id, rep_id,
  coalesce(sum(amount) filter (where scenario = 1), 0)::bigint before, coalesce(sum(amount) filter (where scenario = 2), 0)::bigint after
from desired
group by measure_id, period_id, team_id, rep_id
having coalesce(sum(amount) filter (where scenario = 1), 0) <> coalesce(sum(amount) filter (where scenario = 2), 0)
order by measure_id, period_id, team_id, rep_id
