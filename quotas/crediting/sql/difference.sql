-- Desired against what stands: one row per entry that is wanted, stands, or both. Equal in amount, team and origin month is the same.
-- Cost: the body, and one look-up per stored entry of the deals.
, live as (
  select e.* from scope s join quotas_creditentry e on e.deal_id = s.deal_id
  where e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id)),
difference as materialized (
  select l.id live_id, d.deal_id is not null is_desired,
    l.id is not null and d.deal_id is not null and l.amount_minor = d.amount and l.team_id = d.team_id and l.origin_period_id = d.period_id same,
    l.deal_id l_deal_id, l.deal_version_id l_version_id, l.line_no l_line_no, l.rep_id l_rep_id, l.team_id l_team_id, l.credit_date l_credit_date,
    l.posting_period_id l_posting_period_id, l.origin_period_id l_period_id, l.fx_rate_id l_fx_rate_id, l.decision_id l_decision_id,
    l.measure_id l_measure_id, l.plan_version_id l_plan_version_id, l.rule_id l_rule_id, l.rule_version_id l_rule_version_id,
    l.component l_component, l.receiver_class l_receiver_class, l.amount_minor l_amount,
    d.deal_id, d.version_id, d.line_no, d.rep_id, d.team_id, d.close_date, d.posting_period_id, d.period_id, d.fx_rate_id, d.decision_id,
    d.measure_id, d.plan_version_id, d.rule_id, d.rule_version_id, d.component, d.receiver_class, d.amount
  from (select * from desired where scenario = 1) d
  full join live l on l.deal_id = d.deal_id and l.line_no = d.line_no and l.rep_id = d.rep_id and l.measure_id = d.measure_id
    and l.component = d.component and l.rule_id = d.rule_id and l.receiver_class = d.receiver_class)
