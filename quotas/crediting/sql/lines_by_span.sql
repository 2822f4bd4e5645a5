-- Source: deals by span of credit dates, [starts, ends). One row of head per approved deal.
-- Cost: one pass over versions, lines and shares of the span; every offering and plan is matched once, not once per line.
scope as materialized (
  select d.id deal_id from quotas_deal d join quotas_dealversion v on v.id = d.credited_version_id
  where v.close_date >= %(starts)s::date and v.close_date < %(ends)s::date),
head as materialized (
  select d.id deal_id, v.id version_id, d.customer_id, v.kind, v.close_date, v.currency_id currency, v.segment, v.region,
    v.new_customer, d.held
  from quotas_deal d
  join quotas_dealversion v on v.id = d.credited_version_id
  where d.state = 'approved' and v.close_date >= %(starts)s::date and v.close_date < %(ends)s::date),
lines as (
  select h.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0) plan_id, l.amount_minor amount, l.quantity, l.term_months term
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
  from head h join quotas_accountownership o on o.customer_id = h.customer_id and o.superseded_at is null and o.effective @> h.close_date
  where h.kind = 'consumption'),
