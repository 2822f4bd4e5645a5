-- Sink: what every line earns against what its twin would. One row per measure, offering, day and set of rules that give a line another amount
-- than its twin, with its lines as deal x 65536 + line number; one per entitlement that is shown, the largest first; a last one counts the lines.
, of_asked as materialized (select d.* from desired d where d.deal_id in (select deal_id from asked)),
unequal as materialized (
  select deal_id, line_no, measure_id, receiver_class, rep_id, close_date, coalesce(sum(amount) filter (where scenario = 1), 0)::bigint own,
    coalesce(sum(amount) filter (where scenario = 2), 0)::bigint twin
  from of_asked group by deal_id, line_no, measure_id, receiver_class, rep_id, close_date
  having coalesce(sum(amount) filter (where scenario = 1), 0) <> coalesce(sum(amount) filter (where scenario = 2), 0)),
parts as materialized (
  select d.deal_id, d.line_no, d.measure_id, d.receiver_class, d.rep_id, d.rule_version_id,
    coalesce(sum(d.amount) filter (where d.scenario = 1), 0)::bigint own, coalesce(sum(d.amount) filter (where d.scenario = 2), 0)::bigint twin
  from of_asked d
  join unequal u on u.deal_id = d.deal_id and u.line_no = d.line_no and u.measure_id = d.measure_id and u.receiver_class = d.receiver_class and u.rep_id = d.rep_id
  group by d.deal_id, d.line_no, d.measure_id, d.receiver_class, d.rep_id, d.rule_version_id
  having coalesce(sum(d.amount) filter (where d.scenario = 1), 0) <> coalesce(sum(d.amount) filter (where d.scenario = 2), 0)),
told as materialized (
  select u.*, l.offering_id, p.rules, p.own_by, p.twin_by
  from unequal u
  join (
    select deal_id, line_no, measure_id, receiver_class, rep_id, array_agg(rule_version_id order by rule_version_id) rules,
      coalesce(jsonb_agg(jsonb_build_array(rule_version_id, own) order by rule_version_id) filter (where own <> 0), '[]') own_by,
      coalesce(jsonb_agg(jsonb_build_array(rule_version_id, twin) order by rule_version_id) filter (where twin <> 0), '[]') twin_by
    from parts group by deal_id, line_no, measure_id, receiver_class, rep_id) p
    on p.deal_id = u.deal_id and p.line_no = u.line_no and p.measure_id = u.measure_id and p.receiver_class = u.receiver_class and p.rep_id = u.rep_id
  join lines l on l.deal_id = u.deal_id and l.line_no = u.line_no),
shown as (
  select * from (
    select *, row_number() over (partition by measure_id, rules order by abs(own - twin) desc, deal_id, line_no, receiver_class, rep_id) nth from told) x
  where nth <= %(most)s::int)
select 'group' what, measure_id, offering_id, close_date, rules, array_agg(distinct deal_id * 65536 + line_no) lines, count(*) n, sum(own)::bigint own, sum(twin)::bigint twin,
  null::bigint deal_id, null::int line_no, null::int receiver_class, null::bigint rep_id, null::jsonb own_by, null::jsonb twin_by
from told group by measure_id, offering_id, close_date, rules
union all
select 'line', measure_id, offering_id, close_date, rules, null, null, own, twin, deal_id, line_no, receiver_class, rep_id, own_by, twin_by from shown
union all
select 'count', null, null, null, null, null, (
    select count(*) from judged j join lines l on l.deal_id = j.deal_id and l.line_no = j.line_no join marketplace_offering o on o.id = l.offering_id
    where j.silent = 0 and j.deal_id in (select deal_id from asked) and (%(twin)s::text <> 'publisher' or o.publisher_id = any(%(twin_publishers)s::bigint[]))), null, null,
  null, null, null, null, null, null
