-- Sink: what every line earns against what its twin would. One row per line, measure, receiver and scenario that differs in anything that a rule
-- gave; the rules are named with what they gave, so that the clause can be named. A last row counts the lines.
, earned as materialized (
  select deal_id, line_no, measure_id, receiver_class, rep_id, coalesce(sum(amount) filter (where scenario = 1), 0)::bigint own,
    coalesce(sum(amount) filter (where scenario = 2), 0)::bigint twin,
    coalesce(jsonb_agg(jsonb_build_array(rule_version_id, component, amount) order by component, rule_version_id) filter (where scenario = 1), '[]') own_by,
    coalesce(jsonb_agg(jsonb_build_array(rule_version_id, component, amount) order by component, rule_version_id) filter (where scenario = 2), '[]') twin_by
  from desired group by deal_id, line_no, measure_id, receiver_class, rep_id)
select * from (
  select deal_id, line_no, measure_id, receiver_class, rep_id, own, twin, own_by, twin_by from earned where own_by <> twin_by
  order by abs(own - twin) desc, deal_id, line_no, measure_id, receiver_class, rep_id limit %(most)s::int) x
union all
select null, null, null, null, null, (select count(*) from judged where silent = 0), (select count(*) from earned where own_by <> twin_by), null, null
