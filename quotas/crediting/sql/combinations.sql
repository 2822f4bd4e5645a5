-- Sink: every offering that counts, crossed with every combination of what the rules can look at, against its twin; nothing but rules is evaluated.
-- Things, deals and receivers that the same rules match are one class: a row of class per day and class of offerings, one of cell per day, class,
-- measure and pair of outcomes that differ, with a combination that shows it, and a last row that says how many combinations were covered.
-- The rules of scenario 2 are those of scenario 1 again, in the same order: bit n + i is bit i's twin. Cost: classes, not combinations.
, half as materialized (select (length(z) / 2)::int n, z from none where exists (select from rules)),
-- Who can earn: the deal's shares; overlay by role, by territory, by two of them and by all, which shows every union that can matter.
single as materialized (
  select distinct on (b) b, territories from (
    select coalesce(bit_or(r.b), h.z) b, array[]::bigint[] territories from half h left join rules r on r.receivers = 2 and r.territories is null group by h.z
    union all
    select b, array[territory_id] from territory_masks) x
  order by b, territories),
territory_sets as materialized (
  select distinct on (b) b, territories from (
    select b, territories from single
    union all
    select a.b | c.b, a.territories || c.territories from single a join single c on a.b < c.b
    union all
    select bit_or(b), (select array_agg(t order by t) from single s, unnest(s.territories) t) from single) x
  order by b, cardinality(territories), territories),
options as materialized (
  select 1::smallint receiver_class, direct b, null::bigint[] territories from classes
  union all
  select 2::smallint, c.by_role | s.b, s.territories from classes c cross join territory_sets s
  where exists (select from rules where receivers <> 1)),
-- The plans that somebody can have besides those of their role: none, what any rep has in person, and, for a plan that nobody has yet, that plan.
personal as materialized (
  select d.close_date, h.z b from days d cross join half h
  union
  select d.close_date, o.b from days d join own_masks o on o.starts <= d.close_date and o.ends > d.close_date
  union
  select d.close_date, p.b from days d join plan_masks p on p.plan_id = any(%(assumed)s::bigint[])),
people as materialized (
  select o.close_date, o.role, x.receiver_class, x.territories, (o.assigned | p.b) & o.mask & x.b b
  from roles o join personal p on p.close_date = o.close_date cross join options x),
people_classes as materialized (
  select close_date, b, count(*) n, (array_agg(role order by receiver_class, role))[1] role, (array_agg(receiver_class order by receiver_class, role))[1] receiver_class,
    (array_agg(to_json(territories) order by receiver_class, role))[1] territories
  from people group by close_date, b),
deal_classes as materialized (
  select mask b, kind = 'consumption' consumption, count(*) n, (array_agg(kind order by kind, segment, region))[1] kind,
    (array_agg(segment order by kind, segment, region))[1] segment, (array_agg(region order by kind, segment, region))[1] region
  from kinds group by mask, kind = 'consumption'),
counting as materialized (
  select d.close_date, e.offering_id, e.plan_id, e.mask b, d.mask of_day
  from days d join eligible e on e.starts <= d.close_date and e.ends > d.close_date
  join marketplace_offering o on o.id = e.offering_id
  where e.rate > 0 and (%(twin)s::text <> 'publisher' or o.publisher_id = any(%(twin_publishers)s::bigint[]))),
thing_classes as materialized (
  select close_date, b, of_day, count(*) n, array_agg(distinct offering_id order by offering_id) offerings, min(plan_id) plan_id,
    (row_number() over (order by close_date, b))::int class
  from counting group by close_date, b, of_day),
covered as (
  select coalesce(sum(t.n * k.n * p.n), 0)::bigint n
  from (select close_date, sum(n) n from thing_classes group by close_date) t
  join (select close_date, sum(n) n from people_classes group by close_date) p on p.close_date = t.close_date
  cross join (select sum(n) n from deal_classes) k),
apart as materialized (
  select t.close_date, t.class, t.n, t.b & t.of_day b, h.n half
  from thing_classes t cross join half h where substring(t.b & t.of_day from 1 for h.n) <> substring(t.b & t.of_day from h.n + 1)),
cells as materialized (
  select x.close_date, x.class, x.b, x.consumption, sum(x.n) n, min(x.example) example
  from (
    select a.close_date, a.class, a.b & k.b & p.b b, a.half, k.consumption, a.n * k.n * p.n n,
      jsonb_build_object('kind', k.kind, 'segment', k.segment, 'region', k.region, 'role', p.role, 'receiver_class', p.receiver_class, 'territories', p.territories)::text example
    from apart a join people_classes p on p.close_date = a.close_date cross join deal_classes k offset 0) x
  where substring(x.b from 1 for x.half) <> substring(x.b from x.half + 1)
  group by x.close_date, x.class, x.b, x.consumption),
outcomes as (
  select c.close_date, c.class, m.measure_id, m.scenario, c.b, c.n, c.example, position(B'1' in (c.b & m.exclusive_mask)) - 1 winner, c.b & m.spiff_mask spiff
  from cells c join measures m on case m.basis when 'consumed' then c.consumption when 'billed' then c.consumption when 'new_customers' then true else not c.consumption end),
named as (
  select o.close_date, o.class, o.measure_id, o.b, o.n, o.example, o.scenario, w.rule_version_id winner, coalesce((
      select array_agg(s.rule_version_id order by s.rule_version_id) from rules s where not s.exclusive and (o.spiff & s.b) = s.b), '{}') spiffs
  from outcomes o left join rules w on w.bit = o.winner),
pairs as (
  select a.close_date, a.class, a.measure_id, a.winner own_winner, c.winner twin_winner, a.spiffs own_spiffs, c.spiffs twin_spiffs, sum(a.n)::bigint n, min(a.example) example
  from named a join named c on c.close_date = a.close_date and c.class = a.class and c.measure_id = a.measure_id and c.b = a.b and c.example = a.example and c.scenario = 2
  where a.scenario = 1 and (a.winner is distinct from c.winner or a.spiffs <> c.spiffs)
  group by 1, 2, 3, 4, 5, 6, 7)
select 'class' what, close_date, class, null::bigint measure_id, n::bigint n, offerings, plan_id, null::bigint own_winner, null::bigint twin_winner,
  null::bigint[] own_spiffs, null::bigint[] twin_spiffs, null::text example
from thing_classes where class in (select class from pairs)
union all
select 'cell', close_date, class, measure_id, n, null, null, own_winner, twin_winner, own_spiffs, twin_spiffs, example from pairs
union all
select 'count', null, null, null, n, null, (select count(*) from (select distinct offering_id, plan_id from counting) x), null, null, null, null, null from covered
