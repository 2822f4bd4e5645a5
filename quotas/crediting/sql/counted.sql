-- Sink, second part for what was not worked out by the body: how many of what there is. One row of outcomes per outcome.
, outcomes as (
  select 'credited' outcome, count(*) filter (where reverses_id is null) count from written
  union all
  select 'reversed', count(*) filter (where reverses_id is not null) from written)
