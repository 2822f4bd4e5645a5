-- Desired against what stands: one row per entry that is wanted (fresh), stands and is not wanted (stale), or both (same). An entry that
-- differs in amount, team or origin month alone is stale, and what takes its place fresh.
-- Cost: the body, and the stored entries of the deals, which are looked up deal by deal or found in one pass, whichever reads less.
-- The two ranges hold always: they keep the planner, while a full ledger has no statistics yet, from expecting a thousand times too much.
, live as not materialized (
  select e.* from scope s cross join lateral (
    select * from quotas_creditentry e where e.deal_id = s.deal_id and e.component between 1 and 4 and e.receiver_class between 1 and 2 offset 0) e
  where %(look_up)s::bool and e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id)
  union all
  select e.* from quotas_creditentry e
  where not %(look_up)s::bool and (e.deal_id in (select deal_id from scope)) is true and e.component between 1 and 4 and e.receiver_class between 1 and 2
    and e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id)),
difference as (
  select l.id live_id, case when l.id is null then 'fresh' when d.deal_id is null then 'stale' else 'same' end state,
    coalesce(d.deal_id, l.deal_id) deal_id, coalesce(d.version_id, l.deal_version_id) version_id, coalesce(d.line_no, l.line_no) line_no,
    coalesce(d.rep_id, l.rep_id) rep_id, coalesce(d.team_id, l.team_id) team_id, coalesce(d.close_date, l.credit_date) credit_date,
    coalesce(d.posting_period_id, l.posting_period_id) posting_period_id, coalesce(d.period_id, l.origin_period_id) period_id,
    coalesce(d.fx_rate_id, l.fx_rate_id) fx_rate_id, coalesce(d.decision_id, l.decision_id) decision_id,
    coalesce(d.measure_id, l.measure_id) measure_id, coalesce(d.plan_version_id, l.plan_version_id) plan_version_id,
    coalesce(d.rule_id, l.rule_id) rule_id, coalesce(d.rule_version_id, l.rule_version_id) rule_version_id,
    coalesce(d.component, l.component) component, coalesce(d.receiver_class, l.receiver_class) receiver_class,
    coalesce(d.amount, l.amount_minor) amount, null::int adjustment_id
  from (select * from desired where scenario <> 2) d
  full join live l on l.deal_id = d.deal_id and l.line_no = d.line_no and l.rep_id = d.rep_id and l.measure_id = d.measure_id
    and l.component = d.component and l.rule_id = d.rule_id and l.receiver_class = d.receiver_class
    and l.amount_minor = d.amount and l.team_id = d.team_id and l.origin_period_id = d.period_id)
