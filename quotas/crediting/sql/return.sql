-- Sink: the desired entries and the reasons for missing ones, returned. One row per entry (reason empty) or reason (amount empty).
select deal_id, version_id, line_no, rep_id, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
  plan_version_id, rule_id, rule_version_id, component, receiver_class, amount, null::text reason
from desired where scenario = 1
union all
select deal_id, null, line_no, rep_id, null, null, null, null, null, null, measure_id, null, null, null, null, null, null, reason
from uncredited where scenario = 1
order by deal_id, line_no, measure_id, receiver_class, rep_id, component, rule_id
