-- Sink, second part: the reasons of lines without credit, and how many of what there is. One row of outcomes per outcome.
-- Cost: the lines without credit.
, reason as materialized (select deal_id, line_no, measure_id, rep_id, reason from uncredited where scenario = 1),
no_longer as (
  delete from quotas_uncreditedline u using scope s
  where u.deal_id = s.deal_id and not exists (
    select from reason r where r.deal_id = u.deal_id and r.line_no = u.line_no
      and r.measure_id is not distinct from u.measure_id and r.rep_id is not distinct from u.rep_id)),
because as (
  insert into quotas_uncreditedline as u (deal_id, line_no, measure_id, rep_id, reason)
  select deal_id, line_no, measure_id, rep_id, reason from reason
  on conflict (deal_id, line_no, measure_id, rep_id) do update set reason = excluded.reason where u.reason <> excluded.reason),
tally as (
  select count(*) filter (where reverses_id is null) credited, count(*) filter (where reverses_id is not null) reversed from written),
outcomes as (
  select 'credited' outcome, credited count from tally
  union all
  select 'reversed', reversed from tally
  union all
  select 'unchanged', (select count(*) from desired where scenario <> 2) - credited from tally
  union all
  select reason, count(*) from reason group by reason)
