-- Sink: what is desired, built beside the ledger, for the deals of the calendar that close in the month. Nothing stands for them yet, so there
-- is no difference. A refund that closes in the same days under another calendar is of another month.
-- built_entry and built_reason are those of the schema that the search path names first. Numbered in the order of post.sql.
, of_span as materialized (
  select deal_id from head where close_date >= %(starts)s::date and close_date < %(ends)s::date and silent < 2 and calendar_id = %(calendar)s::bigint),
because as (
  insert into built_reason (deal_id, line_no, measure_id, rep_id, reason)
  select u.deal_id, u.line_no, u.measure_id, u.rep_id, u.reason from uncredited u join of_span o on o.deal_id = u.deal_id where u.scenario <> 2)
insert into built_entry (id, posting_id, deal_id, deal_version_id, amount_minor, reverses_id, rep_id, team_id, rule_id, rule_version_id,
  plan_version_id, decision_id, fx_rate_id, posting_period_id, origin_period_id, credit_date, measure_id, line_no, component, receiver_class)
select nextval('quotas_creditentry_id_seq'), %(posting)s::bigint, deal_id, version_id, amount, null, rep_id, team_id, rule_id, rule_version_id,
  plan_version_id, decision_id, fx_rate_id, posting_period_id, period_id, close_date, measure_id, line_no, component, receiver_class
from (
  select * from desired where scenario <> 2 and period_id >= %(month)s::bigint and period_id <= %(month)s::bigint
  order by (deal_id << 16) + line_no,
    (measure_id::bigint << 48) + (component::bigint << 40) + (receiver_class::bigint << 32) + rep_id, rule_id) x
