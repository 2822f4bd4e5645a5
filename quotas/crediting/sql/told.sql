-- Sink, last part: what the posting came to, written beside it and told. One row per outcome.
, told as (
  insert into quotas_postingcount (posting_id, outcome, count)
  select %(posting)s::bigint, outcome, count from outcomes where count > 0
  returning outcome, count)
select outcome, count from told order by outcome
