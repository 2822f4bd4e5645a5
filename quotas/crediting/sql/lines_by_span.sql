-- Source: deals by span of credit dates, [starts, ends), of one calendar or of all, and the refunds of their families wherever these close.
-- One row of head per approved deal; one that is only looked at, to know what is left of a cap, is silent.
-- Cost: one pass over versions, lines and shares of the span; every offering and plan is matched once, not once per line.
asked as materialized (
  select d.id deal_id, coalesce(v.refunds_id, d.id) root_id
  from quotas_deal d join quotas_dealversion v on v.id = d.credited_version_id
  where v.close_date >= %(starts)s::date and v.close_date < %(ends)s::date and (%(calendar)s::bigint is null or d.calendar_id = %(calendar)s::bigint)),
refund as materialized (
  select d.id deal_id, v.refunds_id root_id
  from quotas_dealversion v join quotas_deal d on d.credited_version_id = v.id where v.refunds_id is not null),
scope as materialized (
  select deal_id from asked
  union all
  select r.deal_id from refund r where r.root_id in (select root_id from asked) and r.deal_id not in (select deal_id from asked)),
head as materialized (
  select d.id deal_id, v.id version_id, coalesce(v.refunds_id, d.id) root_id, case when v.refunds_id is null then 0 else d.id end nth_of_family,
    d.calendar_id, d.customer_id, v.kind, case when v.refunds_id is null then v.kind
      else (select ov.kind from quotas_deal o join quotas_dealversion ov on ov.id = coalesce(o.credited_version_id, o.latest_version_id) where o.id = v.refunds_id) end sold_as,
    v.close_date, v.currency_id currency, v.segment, v.region, v.new_customer, s.silent + d.held::int silent
  from (
    select deal_id, 0 silent from scope
    union all
    select root_id, 2 from refund where deal_id in (select deal_id from asked) and root_id not in (select deal_id from scope) group by root_id) s
  join quotas_deal d on d.id = s.deal_id and d.state = 'approved'
  join quotas_dealversion v on v.id = d.credited_version_id),
lines as (
  select h.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0) plan_id, l.amount_minor amount, l.billed_minor billed, l.quantity, l.term_months term
  from head h join quotas_dealline l on l.version_id = h.version_id),
things as materialized (
  select id offering_id, 0::bigint plan_id from marketplace_offering
  union all
  select offering_id, id from marketplace_plan),
shares as (
  select h.deal_id, s.ordinal, s.rep_id, s.ppm
  from head h join quotas_dealshare s on s.version_id = h.version_id where h.kind <> 'consumption'
  union all
  select h.deal_id, 1, o.rep_id, 1000000
  from head h left join quotas_accountownership o on o.customer_id = h.customer_id and o.superseded_at is null and o.credits @> h.close_date
  where h.kind = 'consumption'),
