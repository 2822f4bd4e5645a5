-- Source: deals by id. One row of head per approved deal; scope holds every deal asked for, so that a cancelled one nets to zero.
-- Cost: index look-ups, proportional to the ids given.
scope as materialized (select unnest(%(deals)s::bigint[]) deal_id),
head as materialized (
  select d.id deal_id, v.id version_id, d.customer_id, v.kind, v.close_date, v.currency_id currency, v.segment, v.region,
    v.new_customer, d.held
  from scope s
  join quotas_deal d on d.id = s.deal_id and d.state = 'approved'
  join quotas_dealversion v on v.id = d.credited_version_id),
lines as (
  select h.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0) plan_id, l.amount_minor amount, l.quantity, l.term_months term
  from head h join quotas_dealline l on l.version_id = h.version_id),
things as materialized (select distinct offering_id, plan_id from lines),
shares as (
  select h.deal_id, s.ordinal, s.rep_id, s.ppm
  from head h join quotas_dealshare s on s.version_id = h.version_id where h.kind <> 'consumption'
  union all
  select h.deal_id, 1, o.rep_id, 1000000
  from head h join quotas_accountownership o on o.customer_id = h.customer_id and o.superseded_at is null and o.effective @> h.close_date
  where h.kind = 'consumption'),
