-- Source: deals that are not saved, as a JSON array. One row of head per element; its position, from 1, stands for the id.
-- Cost: what the array holds; no fact of a deal is read.
scope as materialized (select null::bigint deal_id where false),
document as materialized (
  select item.ordinality deal_id, item.value j from jsonb_array_elements(%(document)s::jsonb) with ordinality item),
head as materialized (
  select d.deal_id, 0::bigint version_id, h.customer_id, h.kind, h.close_date, h.currency, h.segment, h.region, h.new_customer, false held
  from document d, jsonb_to_record(d.j) h(
    customer_id bigint, kind text, close_date date, currency text, segment text, region text, new_customer boolean)),
lines as materialized (
  select d.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0) plan_id, l.amount, l.quantity, l.term
  from document d, jsonb_to_recordset(d.j -> 'lines') l(
    line_no smallint, offering_id bigint, plan_id bigint, amount bigint, quantity numeric, term smallint)),
things as materialized (select distinct offering_id, plan_id from lines),
shares as (
  select d.deal_id, s.ordinal, s.rep_id, s.ppm
  from document d, jsonb_to_recordset(d.j -> 'shares') s(ordinal smallint, rep_id bigint, ppm int)
  where d.j ->> 'kind' <> 'consumption'
  union all
  select h.deal_id, 1, o.rep_id, 1000000
  from head h join quotas_accountownership o on o.customer_id = h.customer_id and o.superseded_at is null and o.effective @> h.close_date
  where h.kind = 'consumption'),
