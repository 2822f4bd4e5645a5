-- Sink, second part for what was not worked out by the body: what the posting came to. One row per outcome.
select outcome, count from (
  select 'credited' outcome, count(*) filter (where reverses_id is null) count from written
  union all
  select 'reversed', count(*) filter (where reverses_id is not null) from written) x
where count > 0 order by outcome
