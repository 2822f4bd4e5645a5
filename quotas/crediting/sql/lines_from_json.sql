-- Source: deals that are not saved, as a JSON array. One row of head per element; its position, from 1, stands for the id. Without a calendar
-- it is the operator's.
-- The saved family of a refund is looked at under negative ids, to know what is left of a cap; the refund comes after all of it.
-- Cost: what the array holds; no fact of a deal is read but of families of refunds.
scope as materialized (select null::bigint deal_id where false),
document as materialized (
  select item.ordinality deal_id, item.value j from jsonb_array_elements(%(document)s::jsonb) with ordinality item),
asked as (select deal_id from document),
unsaved as materialized (
  select d.deal_id, h.*
  from document d, jsonb_to_record(d.j) h(
    calendar_id bigint, customer_id bigint, kind text, close_date date, currency text, segment text, region text, new_customer boolean, refunds_id bigint)),
head as materialized (
  select deal_id, 0::bigint version_id, coalesce(refunds_id, -deal_id) root_id, case when refunds_id is null then 0 else 9000000000000000000 + deal_id end nth_of_family,
    coalesce(calendar_id, (select min(id) from quotas_fiscalcalendar)) calendar_id, customer_id, kind, coalesce((
      select ov.kind from quotas_deal o join quotas_dealversion ov on ov.id = coalesce(o.credited_version_id, o.latest_version_id) where o.id = unsaved.refunds_id), kind) sold_as,
    close_date, currency, segment, region, new_customer, 0 silent
  from unsaved
  union all
  select -d.id, v.id, coalesce(v.refunds_id, d.id), case when v.refunds_id is null then 0 else d.id end,
    d.calendar_id, d.customer_id, v.kind, case when v.refunds_id is null then v.kind
      else (select ov.kind from quotas_deal o join quotas_dealversion ov on ov.id = coalesce(o.credited_version_id, o.latest_version_id) where o.id = v.refunds_id) end sold_as,
    v.close_date, v.currency_id, v.segment, v.region, v.new_customer, 2
  from (
    select refunds_id deal_id from unsaved where refunds_id is not null
    union
    select d.id from unsaved u join quotas_dealversion v on v.refunds_id = u.refunds_id join quotas_deal d on d.credited_version_id = v.id) s
  join quotas_deal d on d.id = s.deal_id and d.state = 'approved'
  join quotas_dealversion v on v.id = d.credited_version_id),
lines as materialized (
  select d.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0) plan_id, l.amount, l.billed, l.quantity, l.term
  from document d, jsonb_to_recordset(d.j -> 'lines') l(
    line_no smallint, offering_id bigint, plan_id bigint, amount bigint, billed bigint, quantity numeric, term smallint)
  union all
  select h.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0), l.amount_minor, l.billed_minor, l.quantity, l.term_months
  from head h join quotas_dealline l on l.version_id = h.version_id where h.silent = 2),
things as materialized (select distinct offering_id, plan_id from lines),
shares as (
  select d.deal_id, s.ordinal, s.rep_id, s.ppm
  from document d, jsonb_to_recordset(d.j -> 'shares') s(ordinal smallint, rep_id bigint, ppm int)
  where d.j ->> 'kind' <> 'consumption'
  union all
  select u.deal_id, 1, null, 1000000 from unsaved u join document d on d.deal_id = u.deal_id
  where u.kind <> 'consumption' and jsonb_array_length(coalesce(d.j -> 'shares', '[]')) = 0
  union all
  select h.deal_id, s.ordinal, s.rep_id, s.ppm
  from head h join quotas_dealshare s on s.version_id = h.version_id where h.silent = 2 and h.kind <> 'consumption'
  union all
  select h.deal_id, 1, o.rep_id, 1000000
  from head h left join quotas_accountownership o on o.customer_id = h.customer_id and o.superseded_at is null and o.credits @> h.close_date
  where h.kind = 'consumption'),
