-- Source: deals by id, and the refunds of their families, because a refund's cap depends on its original and on the refunds before it. The
-- family that a version belonged to before is one of them: it does without the deal now.
-- One row of head per approved deal; scope holds every deal asked for, so that a cancelled one nets to zero. An original that is only
-- looked at, to know what is left of its cap, is silent.
-- Cost: index look-ups, proportional to the ids given.
asked as materialized (select unnest(%(deals)s::bigint[]) deal_id),
roots as materialized (
  select distinct coalesce(v.refunds_id, a.deal_id) root_id from asked a join quotas_dealversion v on v.deal_id = a.deal_id),
scope as materialized (
  select deal_id from asked
  union
  select d.id from roots r join quotas_dealversion v on v.refunds_id = r.root_id join quotas_deal d on d.credited_version_id = v.id),
head as materialized (
  select d.id deal_id, v.id version_id, coalesce(v.refunds_id, d.id) root_id, case when v.refunds_id is null then 0 else d.id end nth_of_family,
    d.calendar_id, d.customer_id, v.kind, case when v.refunds_id is null then v.kind
      else (select ov.kind from quotas_deal o join quotas_dealversion ov on ov.id = coalesce(o.credited_version_id, o.latest_version_id) where o.id = v.refunds_id) end sold_as,
    v.close_date, v.currency_id currency, v.segment, v.region, v.new_customer, s.silent + d.held::int silent
  from (
    select deal_id, 0 silent from scope
    union all
    select root_id, 2 from roots where root_id not in (select deal_id from scope)) s
  join quotas_deal d on d.id = s.deal_id and d.state = 'approved'
  join quotas_dealversion v on v.id = d.credited_version_id),
lines as (
  select h.deal_id, l.line_no, l.offering_id, coalesce(l.plan_id, 0) plan_id, l.amount_minor amount, l.billed_minor billed, l.quantity, l.term_months term
  from head h join quotas_dealline l on l.version_id = h.version_id),
things as materialized (select distinct offering_id, plan_id from lines),
shares as (
  select h.deal_id, s.ordinal, s.rep_id, s.ppm
  from head h join quotas_dealshare s on s.version_id = h.version_id where h.kind <> 'consumption'
  union all
  select h.deal_id, 1, o.rep_id, 1000000
  from head h left join quotas_accountownership o on o.customer_id = h.customer_id and o.superseded_at is null and o.credits @> h.close_date
  where h.kind = 'consumption'),
