-- Sink, second part: the reasons of lines without credit, and what the posting came to. One row per outcome.
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
  on conflict (deal_id, line_no, measure_id, rep_id) do update set reason = excluded.reason where u.reason <> excluded.reason)
select outcome, count from (
  select 'credited' outcome, count(*) filter (where reverses_id is null) count from written
  union all
  select 'reversed', count(*) filter (where reverses_id is not null) from written
  union all
  select 'unchanged', (select count(*) from desired where scenario <> 2) - count(*) filter (where reverses_id is null) from written
  union all
  select reason, count(*) from reason group by reason) x
where count > 0 order by outcome
