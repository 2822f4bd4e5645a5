-- Source: no deal at all, but the days, kinds of deal, segments and regions that a proof has to look at; a rule cannot tell others apart.
-- One row of head per day on which something about rules, assignments or decisions changes in [starts, ends), and one per combination of the
-- rest; they need not be crossed here, because what is known of each is worked out apart. Cost: a few thousand rows at most.
asked as (select null::bigint deal_id where false),
scope as (select null::bigint deal_id where false),
turning as materialized (
  select %(starts)s::date close_date
  union
  select d from (
    select unnest(array[lower(r.effective), upper(r.effective)]) d from quotas_ruleversion r where r.plan_version_id = any(%(plan_versions)s::bigint[])
    union
    select unnest(array[lower(effective), upper(effective)]) from quotas_planversion where id = any(%(plan_versions)s::bigint[])
    union
    select unnest(array[lower(a.effective), upper(a.effective)]) from quotas_planassignment a
    join quotas_planversion v on v.plan_id = a.plan_id and v.id = any(%(plan_versions)s::bigint[]) where a.superseded_at is null
    union
    select unnest(array[lower(effective), upper(effective)]) from marketplace_eligibilitydecision
    where program = 'quota' and checked_at is not null and superseded_at is null
    union
    select unnest(array[lower(effective), upper(effective)]) from quotas_parityexception where approved_at is not null) x
  where d > %(starts)s::date and d < %(ends)s::date),
head as materialized (
  select 0::bigint deal_id, 0::bigint version_id, 0::bigint root_id, 0::bigint nth_of_family,
    (select min(id) from quotas_fiscalcalendar) calendar_id, 0::bigint customer_id, h.kind, h.sold_as, h.close_date, 'USD'::varchar(3) currency,
    h.segment, h.region, false new_customer, 0 silent
  from (
    select close_date, 'new_business' kind, 'new_business' sold_as, '' segment, '' region from turning
    union
    select %(starts)s::date, k, o, s, g
    from unnest(%(kinds)s::text[]) k join unnest(%(kinds)s::text[]) o on (k <> 'refund' and o = k) or (k = 'refund' and o not in ('refund', 'consumption'))
    cross join unnest(%(segments)s::text[]) s cross join unnest(%(regions)s::text[]) g) h),
lines as (
  select null::bigint deal_id, null::smallint line_no, null::bigint offering_id, null::bigint plan_id, null::bigint amount, null::bigint billed,
    null::numeric quantity, null::smallint term where false),
things as materialized (
  select id offering_id, 0::bigint plan_id from marketplace_offering
  union all
  select offering_id, id from marketplace_plan),
shares as (select null::bigint deal_id, null::smallint ordinal, null::bigint rep_id, null::int ppm where false),
