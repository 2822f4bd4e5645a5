-- The body: what every line earns, for whom, under which rule, and why not. One row of desired per credit entry, one of uncredited per reason.
-- Rules are bits of a mask, ranked by priority, then number of conditions: each offering, day, kind of deal and role is matched against all
-- rules once; a receiver's candidates are the AND of four masks and the winner is the first bit. Cost: linear in lines x shares x measures.
-- Scenario 1 is what is asked for; scenario 2, where there is one, is what it is compared with: other plan versions, or, for the parity
-- proof, the twin of every offering. Silent rows of head are worked out but not told: 1 is held, 2 is only looked at for a refund's cap.
-- The planner knows nothing of computed columns and would expect next to no rows behind an inner join or an equality with one: hence left joins
-- that always find their row, and silent < 1.
-- Fences (offset 0) keep a stage from being flattened into the next and evaluated again there.
scenario as materialized (
  select v.id plan_version_id, v.plan_id, v.number, v.effective, g.scenario
  from unnest(%(plan_versions)s::bigint[], %(scenarios)s::smallint[]) g(plan_version_id, scenario)
  join quotas_planversion v on v.id = g.plan_version_id
  union all
  select id, plan_id, number, effective, 1::smallint from quotas_planversion
  where state = 'published' and %(plan_versions)s::bigint[] is null),
ranked as materialized (
  select r.id rule_version_id, r.rule_id, r.plan_version_id, s.plan_id, s.scenario, r.measure_id, r.receivers, r.exclusive, r.factor_ppm::bigint factor,
    r.cap_minor cap, r.effective, r.offerings, r.publishers, r.families, r.paths, r.task_areas, r.pricing_forms, r.deal_kinds, r.segments, r.regions,
    r.roles, r.territories,
    (row_number() over (order by s.scenario, r.priority desc,
      num_nonnulls(r.offerings, r.publishers, r.families, r.paths, r.task_areas, r.pricing_forms, r.deal_kinds, r.segments, r.regions, r.roles,
        r.territories) desc, r.id) - 1)::int bit
  from scenario s join quotas_ruleversion r on r.plan_version_id = s.plan_version_id),
none as materialized (select repeat('0', greatest(1, (select count(*) from ranked))::int)::varbit z),
rules as materialized (select r.*, set_bit(n.z, r.bit, 1) b from ranked r, none n),
classes as materialized (
  select coalesce(bit_or(r.b) filter (where r.receivers = 1), n.z) direct,
    coalesce(bit_or(r.b) filter (where r.receivers = 3), n.z) by_role
  from none n left join rules r on true group by n.z),
plan_masks as materialized (select plan_id, bit_or(b) b from rules group by plan_id),
spiffs as materialized (select scenario, rule_version_id, rule_id, plan_version_id, factor, b from rules where not exclusive),
measures as materialized (
  select m.id measure_id, m.basis, m.currency_id currency, coalesce(c.exponent, 6) exponent, s.scenario, n.z,
    coalesce(bit_or(r.b) filter (where r.exclusive), n.z) exclusive_mask, coalesce(bit_or(r.b) filter (where not r.exclusive), n.z) spiff_mask
  from quotas_measure m
  cross join (select scenario from scenario union select 1::smallint) s
  cross join none n
  left join marketplace_currency c on c.code = m.currency_id
  left join rules r on r.measure_id = m.id and r.scenario = s.scenario
  group by m.id, m.basis, m.currency_id, c.exponent, s.scenario, n.z),
-- One row per measure: the rules that can win in it, and those that add, in one scenario and in the other.
sides as materialized (
  select a.measure_id, a.z, a.exclusive_mask exclusive_1, a.spiff_mask spiff_1, b.exclusive_mask exclusive_2, b.spiff_mask spiff_2
  from measures a left join measures b on b.measure_id = a.measure_id and b.scenario > 1 where a.scenario < 2),
-- What winning comes to, by bit: alike for the same rule with the same multiplier, unless it is capped, because a cap looks at the deal's other lines.
effects as materialized (
  select array_agg(effect order by bit) effects from (
    select bit, case when r.rule_id in (select rule_id from rules where cap is not null) then -1 - bit
      else dense_rank() over (order by r.rule_id, r.factor) end effect
    from rules r) x),
ways as materialized (
  select distinct scenario, false alike from measures
  union all
  select 0::smallint, true where %(together)s::bool),
-- What the rules can know of an offering and plan; in scenario 2, for the parity proof, of its twin: unknown to every rule by name, publisher
-- and family and of the other commercial path (origin), of the other path alone (path), or of the other one of two publishers (publisher).
facts as materialized (
  select t.offering_id, t.plan_id, s.scenario, p.pricing_form,
    case when w.twinned and %(twin)s::text <> 'path' then null else o.id end offering,
    case when not w.twinned or %(twin)s::text = 'path' then o.publisher_id
      when %(twin)s::text = 'publisher' then (%(twin_publishers)s::bigint[])[case when o.publisher_id = (%(twin_publishers)s::bigint[])[1] then 2 else 1 end] end publisher,
    case when w.twinned and %(twin)s::text <> 'path' then null else o.family end family,
    case when w.twinned and %(twin)s::text <> 'publisher'
      then case o.commercial_path when 'sold_by_cloud' then 'marketplace' when 'marketplace' then 'sold_by_cloud' else o.commercial_path end
      else o.commercial_path end path
  from things t
  join marketplace_offering o on o.id = t.offering_id
  left join marketplace_plan p on p.id = t.plan_id
  cross join (select distinct scenario from scenario) s
  cross join lateral (
    select s.scenario = 2 and %(twin)s::text is not null
      and (%(twin)s::text <> 'publisher' or o.publisher_id = any(%(twin_publishers)s::bigint[])) twinned) w),
matched as materialized (
  select f.offering_id, f.plan_id, bit_or(r.b) mask
  from facts f join rules r on r.scenario = f.scenario
    and (r.offerings is null or f.offering = any(r.offerings)) and (r.publishers is null or f.publisher = any(r.publishers))
    and (r.families is null or f.family = any(r.families)) and (r.paths is null or f.path = any(r.paths))
    and (r.pricing_forms is null or f.pricing_form = any(r.pricing_forms))
    and (r.task_areas is null or exists (
      select from marketplace_offering_task_areas x where x.offering_id = f.offering_id and x.taskarea_id = any(r.task_areas)))
  group by f.offering_id, f.plan_id),
-- One row per offering, plan and span of days: the quota decision in force, the most specific first, and the rules that name the offering.
eligible as materialized (
  select t.offering_id, t.plan_id, e.starts, e.ends, e.decision_id, e.rate, coalesce(m.mask, n.z) mask
  from none n
  cross join things t
  join marketplace_offering o on o.id = t.offering_id
  left join matched m on m.offering_id = t.offering_id and m.plan_id = t.plan_id
  cross join lateral (
    with decision as materialized (
      select d.id, d.level, d.rate_ppm, coalesce(lower(d.effective), '-infinity'::date) starts, coalesce(upper(d.effective), 'infinity'::date) ends
      from marketplace_eligibilitydecision d
      where d.program = 'quota' and d.checked_at is not null and d.superseded_at is null
        and (d.commercial_path = o.commercial_path or d.publisher_id = o.publisher_id or d.offering_id = o.id or d.plan_id = t.plan_id)),
    edge as (select first_day, lead(first_day) over (order by first_day) next_day from (select starts as first_day from decision union select ends from decision) x)
    select edge.first_day starts, edge.next_day ends, x.id decision_id, x.rate_ppm::bigint rate
    from edge cross join lateral (
      select d.id, d.rate_ppm from decision d where d.starts <= edge.first_day and d.ends > edge.first_day order by d.level desc, d.id desc limit 1) x
    where edge.next_day is not null) e),
-- One row per credit date and calendar: its leaf period, the open one that takes the posting, and the rules in force.
days as materialized (
  select d.close_date, d.calendar_id, p.id period_id, (
      select q.id from quotas_period q
      where q.calendar_id = d.calendar_id and q.grain = 'M' and q.state = 'open' and q.starts >= p.starts order by q.starts limit 1) posting_period_id,
    coalesce((
      select bit_or(r.b) from rules r
      join (
        select s.scenario, s.plan_id, max(s.number) number from scenario s where s.effective @> d.close_date group by s.scenario, s.plan_id
      ) f on f.scenario = r.scenario
      join scenario s on s.scenario = f.scenario and s.plan_id = f.plan_id and s.number = f.number and s.plan_version_id = r.plan_version_id
      where r.effective is null or r.effective @> d.close_date), n.z) mask
  from none n
  cross join (select distinct close_date, calendar_id from head) d
  left join lateral (
    select p.id, p.starts from quotas_period p
    where p.calendar_id = d.calendar_id and p.grain = 'M' and p.starts <= d.close_date and p.ends > d.close_date limit 1) p on true),
-- One row per credit date, currency and measure: the fraction that turns the deal's minor units into the measure's.
rates as materialized (
  select d.close_date, d.currency, m.measure_id,
    f.id fx_rate_id,
    case when m.currency is null or m.currency = d.currency then 1 else f.rate_e9 * (10 ^ greatest(0, m.exponent - c.exponent))::bigint end num,
    case when m.currency is null or m.currency = d.currency then 1 else 1000000000 * (10 ^ greatest(0, c.exponent - m.exponent))::bigint end den
  from (select distinct close_date, currency from head) d
  join marketplace_currency c on c.code = d.currency
  cross join (select * from measures where scenario < 2) m
  left join quotas_fxrate f on f.from_currency_id = d.currency and f.to_currency_id = m.currency and f.superseded_at is null
    and f.effective @> d.close_date and m.currency <> d.currency),
-- One row per kind of deal, segment and region: the rules whose conditions on them hold. A refund is of its original's kind too.
kinds as materialized (
  select g.kind, g.sold_as, g.segment, g.region, coalesce((
    select bit_or(r.b) from rules r
    where (r.deal_kinds is null or g.kind = any(r.deal_kinds) or g.sold_as = any(r.deal_kinds)) and (r.segments is null or g.segment = any(r.segments))
      and (r.regions is null or g.region = any(r.regions))), n.z) mask
  from none n cross join (select distinct kind, sold_as, segment, region from head) g),
-- One row per credit date and role: the rules whose condition on the role holds, and the rules of the plans that the role has on that day.
roles as materialized (
  select d.close_date, g.role, coalesce((select bit_or(r.b) from rules r where r.roles is null or g.role = any(r.roles)), n.z) mask, coalesce((
      select bit_or(m.b) from quotas_planassignment a join plan_masks m on m.plan_id = a.plan_id
      where a.superseded_at is null and a.rep_id is null and (a.role = '' or a.role = g.role) and a.effective @> d.close_date), n.z) assigned
  from none n cross join (select distinct close_date from head) d cross join unnest(%(roles)s::text[]) g(role)),
-- Overlay: who covers the customer's territories, else its house rep, and who holds a role that an overlay rule names.
territory_masks as materialized (
  select t.id territory_id, t.house_rep_id, bit_or(r.b) b
  from quotas_territory t join rules r on r.receivers = 2 and (r.territories is null or t.id = any(r.territories)) group by t.id, t.house_rep_id),
role_holders as materialized (
  select d.close_date, m.rep_id, bit_or(r.b) b
  from rules r cross join (select distinct close_date from head) d
  join quotas_teammembership m on m.role = any(r.roles) and m.superseded_at is null and m.effective @> d.close_date
  where r.receivers = 3 group by d.close_date, m.rep_id),
overlay as (
  select deal_id, rep_id, bit_or(b) b from (
    select h.deal_id, coalesce(a.rep_id, t.house_rep_id) rep_id, t.b
    from territory_masks t
    join quotas_customerterritory c on c.territory_id = t.territory_id and c.superseded_at is null
    join head h on h.customer_id = c.customer_id and c.effective @> h.close_date
    left join quotas_territoryassignment a on a.territory_id = t.territory_id and a.superseded_at is null and a.effective @> h.close_date
    union all
    select h.deal_id, o.rep_id, o.b from role_holders o join head h on h.close_date = o.close_date) x
  where rep_id is not null group by deal_id, rep_id),
receivers as not materialized (
  select s.deal_id, s.rep_id, s.ppm::bigint ppm, row_number() over (partition by s.deal_id order by s.ordinal) place,
    count(*) over w n, array_agg(s.ppm::bigint) over w ppms, 1::smallint receiver_class, c.direct mask
  from shares s cross join classes c window w as (partition by s.deal_id order by s.ordinal rows between unbounded preceding and unbounded following)
  union all
  select deal_id, rep_id, 1000000, 1000 + row_number() over (partition by deal_id order by rep_id), 1, null, 2::smallint, b from overlay),
-- Plans that a rep has in person, by span of days: of the receivers alone, or, in a batch, of everybody in one pass.
own_plans as materialized (
  select a.rep_id, m.b, coalesce(lower(a.effective), '-infinity'::date) starts, coalesce(upper(a.effective), 'infinity'::date) ends
  from (
    select a.* from (select distinct rep_id from receivers) r join quotas_planassignment a on a.rep_id = r.rep_id where not %(many)s::bool
    union all
    select * from quotas_planassignment where rep_id is not null and %(many)s::bool) a
  join plan_masks m on m.plan_id = a.plan_id
  where a.superseded_at is null),
own_masks as materialized (
  select e.rep_id, e.starts, e.ends, bit_or(o.b) b
  from (
    select rep_id, first_day starts, lead(first_day) over (partition by rep_id order by first_day) ends
    from (select rep_id, starts first_day from own_plans union select rep_id, ends from own_plans) x) e
  join own_plans o on o.rep_id = e.rep_id and o.starts <= e.starts and o.ends > e.starts
  where e.ends is not null group by e.rep_id, e.starts, e.ends),
-- One row per deal and receiver: the team of the day, and the rules whose condition on the role holds and whose plan the receiver then has.
placed as (
  select p.deal_id, p.rep_id, p.ppm, p.place, p.n, p.ppms, p.receiver_class, t.team_id,
    case when t.team_id is null then p.mask else p.mask & o.mask & case when a.b is null then o.assigned else o.assigned | a.b end end mask
  from receivers p
  join head h on h.deal_id = p.deal_id
  left join quotas_teammembership t on t.rep_id = p.rep_id and t.superseded_at is null and t.effective @> h.close_date
  left join roles o on o.role = t.role and o.close_date = h.close_date
  left join own_masks a on a.rep_id = p.rep_id and h.close_date >= a.starts and h.close_date < a.ends offset 0),
dated as (
  select h.*, d.period_id, d.posting_period_id, d.mask & k.mask mask
  from head h
  left join days d on d.close_date = h.close_date and d.calendar_id = h.calendar_id
  left join kinds k on k.kind = h.kind and k.sold_as = h.sold_as and k.segment = h.segment and k.region = h.region offset 0),
judged as materialized (
  select h.deal_id, h.version_id, h.kind, case h.kind when 'refund' then -1 else 1 end sign, h.close_date, h.currency, h.new_customer, h.period_id, h.posting_period_id, h.silent,
    l.line_no, l.offering_id, l.amount, l.billed, l.quantity, l.term, e.decision_id, e.rate, e.mask & h.mask mask,
    case when h.posting_period_id is null then 'no_period' when e.decision_id is null then 'not_eligible'
      when e.rate = 0 then 'rate_zero' end stop
  from lines l
  join dated h on h.deal_id = l.deal_id
  left join eligible e on e.offering_id = l.offering_id and e.plan_id = l.plan_id and h.close_date >= e.starts and h.close_date < e.ends
  offset 0),
first_line as (select deal_id, min(line_no) line_no from judged where new_customer group by deal_id),
measured as (
  select j.deal_id, j.version_id, j.close_date, j.period_id, j.posting_period_id, j.silent, j.line_no, j.offering_id, j.decision_id, j.rate, j.mask,
    m.measure_id, r.fx_rate_id, r.num is null no_rate,
    case m.basis
      when 'units' then case when j.quantity <= 9000000 then (j.quantity * 1000000)::bigint end * j.sign
      when 'new_customers' then 1000000 * j.sign
      when 'annualised_value' then mul_div(j.amount * 12, r.num, r.den * coalesce(j.term, 12))
      when 'billed' then mul_div(coalesce(j.billed, j.amount), r.num, r.den)
      else mul_div(j.amount, r.num, r.den) end as exact
  from judged j
  join (select * from measures where scenario < 2) m on case m.basis
    when 'contract_value' then j.kind <> 'consumption'
    when 'annualised_value' then j.kind <> 'consumption'
    when 'units' then j.kind <> 'consumption' and j.quantity is not null
    when 'new_customers' then j.new_customer and (j.deal_id, j.line_no) in (select deal_id, line_no from first_line)
    else j.kind = 'consumption' end
  left join rates r on r.close_date = j.close_date and r.currency = j.currency and r.measure_id = m.measure_id
  where j.rate <> 0 and j.posting_period_id is not null offset 0),
valued as (select m.*, case when abs(exact) <= 9000000000000 then exact end as value from measured m offset 0),
-- One row per line, measure and receiver. The base is split by largest remainder on the absolute value, ties by participant order;
-- one receiver takes all, of two the first is rounded and the second takes the rest, which is the same thing; only more of them need the count.
based as (
  select v.deal_id, v.version_id, v.close_date, v.period_id, v.posting_period_id, v.silent, v.line_no, v.offering_id, v.decision_id, v.rate, v.measure_id, v.fx_rate_id, v.value, v.no_rate, p.place, p.rep_id, p.receiver_class, p.team_id,
    v.mask & p.mask mask,
    case p.n
      when 1 then v.value
      when 2 then case p.place when 1 then mul_ppm(v.value, p.ppm) else v.value - mul_ppm(v.value, 1000000 - p.ppm) end
      else (
        select sign(v.value)::bigint * ((abs(v.value) / 1000000) * p.ppm + (mod(abs(v.value), 1000000) * p.ppm) / 1000000
          + case when count(*) filter (
                where mod(mod(abs(v.value), 1000000) * u.ppm, 1000000) > mod(mod(abs(v.value), 1000000) * p.ppm, 1000000)
                  or (mod(mod(abs(v.value), 1000000) * u.ppm, 1000000) = mod(mod(abs(v.value), 1000000) * p.ppm, 1000000) and u.place < p.place))
              < sum(mod(mod(abs(v.value), 1000000) * u.ppm, 1000000)) / 1000000 then 1 else 0 end)
        from unnest(p.ppms) with ordinality u(ppm, place)) end base
  from valued v
  join placed p on p.deal_id = v.deal_id offset 0),
-- What wins and what is added on both sides. Where both come to the same, and that is all that is asked for, the row is told once, as of
-- scenario 0; the SPIFFs of both sides go with it, each as of its own.
weighed as (
  select b.*, s.z, position(B'1' in (b.mask & s.exclusive_1)) - 1 winner_1, position(B'1' in (b.mask & s.exclusive_2)) - 1 winner_2,
    b.mask & s.spiff_1 spiff_1, b.mask & s.spiff_2 spiff_2
  from based b left join sides s on s.measure_id = b.measure_id offset 0),
sided as (
  select w.*, y.scenario, case y.scenario when 2 then w.winner_2 else w.winner_1 end winner,
    nullif(case y.scenario when 0 then w.spiff_1 | w.spiff_2 when 1 then w.spiff_1 else w.spiff_2 end, w.z) spiff
  from weighed w cross join effects e
  join ways y on y.alike = case when %(together)s::bool then e.effects[w.winner_1 + 1] is not distinct from e.effects[w.winner_2 + 1] else false end
  offset 0),
-- What stops one receiver alone; an overlay that no rule gives, or that nothing is known of, is a matter for nobody.
credited as (
  select b.*, mul_ppm(b.base, b.rate) credit, case
      when b.rep_id is null then 'no_receiver' when b.value is null and b.no_rate then 'no_fx_rate' when b.value is null then 'too_large'
      when b.team_id is null then 'no_team' end gap
  from sided b
  where b.receiver_class < 2 or (b.value is not null and b.rep_id is not null and (b.winner > -1 or b.spiff is not null)) offset 0),
won as materialized (
  select c.deal_id, c.version_id, c.close_date, c.period_id, c.posting_period_id, c.silent, c.line_no, c.offering_id, c.decision_id, c.measure_id, c.scenario, c.fx_rate_id,
    c.place, c.rep_id, c.receiver_class, c.team_id, c.gap, c.value, c.base, c.rate, c.credit, c.mask, c.spiff, r.rule_id, r.rule_version_id, r.plan_version_id, r.cap,
    mul_ppm(c.credit, r.factor_above_one) uplift
  from credited c
  left join (select bit, rule_id, rule_version_id, plan_version_id, cap, factor - 1000000 factor_above_one from rules where exclusive) r
    on r.bit = c.winner),
-- A cap limits what a deal comes to under its rule. A refund's is its original's, reduced by what is left of the original after it: so the
-- family together comes to what it would come to if it had been sold that way. A rule that has a cap in one version is looked at in all.
capped as (
  select w.*, h.root_id, h.nth_of_family, w.credit + w.uplift earned
  from won w join (select distinct rule_id from rules where cap is not null) r on r.rule_id = w.rule_id join head h on h.deal_id = w.deal_id
  where w.gap is null and w.credit + w.uplift <> 0),
family as (
  select scenario, rule_id, root_id, nth_of_family, deal_id, min(cap) cap, sum(earned) together from capped group by scenario, rule_id, root_id, nth_of_family, deal_id),
limits as (
  select scenario, rule_id, deal_id, together, case when nth_of_family = 0 then most else most - least(most, greatest(0, so_far)) end cap
  from (
    select *, sum(together) over f so_far, case when first_value(nth_of_family) over f = 0 then first_value(cap) over f else cap end most
    from family window f as (partition by scenario, rule_id, root_id order by nth_of_family rows unbounded preceding)) x),
-- The cut is shared over lines and people by largest remainder, ties by line, then participant.
cut as (
  select c.*, l.together, l.cap most, div((abs(l.together) - l.cap) * abs(c.earned), abs(l.together)) whole,
    mod((abs(l.together) - l.cap) * abs(c.earned), abs(l.together)) remainder
  from limits l join capped c on c.scenario = l.scenario and c.rule_id = l.rule_id and c.deal_id = l.deal_id
  where abs(l.together) > l.cap),
ranked_cut as (
  select c.*, row_number() over (partition by deal_id, scenario, rule_id order by remainder desc, line_no, place) nth,
    abs(together) - most - sum(whole) over (partition by deal_id, scenario, rule_id) odd_units
  from cut c),
desired as not materialized (
  select scenario, deal_id, version_id, line_no, offering_id, rep_id, receiver_class, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
    plan_version_id, rule_id, rule_version_id, 1::smallint component, credit amount
  from won where gap is null and rule_id is not null and credit <> 0 and silent < 1
  union all
  select scenario, deal_id, version_id, line_no, offering_id, rep_id, receiver_class, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
    plan_version_id, rule_id, rule_version_id, 2::smallint, uplift
  from won where gap is null and uplift <> 0 and silent < 1
  union all
  select * from (
    select s.scenario, w.deal_id, w.version_id, w.line_no, w.offering_id, w.rep_id, w.receiver_class, w.team_id, w.close_date, w.period_id, w.posting_period_id,
      w.fx_rate_id, w.decision_id, w.measure_id, s.plan_version_id, s.rule_id, s.rule_version_id, 3::smallint, mul_ppm(w.credit, s.factor) amount
    from (select * from won where gap is null and spiff is not null and silent < 1 offset 0) w
    cross join lateral (select * from spiffs s where (w.spiff & s.b) = s.b offset 0) s offset 0) x
  where amount <> 0
  union all
  select scenario, deal_id, version_id, line_no, offering_id, rep_id, receiver_class, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
    plan_version_id, rule_id, rule_version_id, 4::smallint, (-sign(earned) * (whole + case when nth <= odd_units then 1 else 0 end))::bigint
  from ranked_cut where silent < 1 and whole + case when nth <= odd_units then 1 else 0 end <> 0),
-- One row per reason why something earns nothing, for one scenario; empty measure or rep means all of them. A missing overlay has none, but for
-- the team of somebody who covers the territory: it belongs to nobody by right.
uncredited as (
  select distinct 1::smallint scenario, deal_id, line_no, null::bigint measure_id, null::bigint rep_id, case silent when 1 then 'held' else stop end reason
  from judged where (stop is not null and silent = 0) or silent = 1
  union all
  select distinct scenario, deal_id, line_no, measure_id, null::bigint, gap from won where gap <> 'no_team' and silent = 0
  union all
  select distinct scenario, deal_id, line_no, measure_id, rep_id, gap from won where gap = 'no_team' and silent = 0
  union all
  select scenario, deal_id, line_no, measure_id, rep_id, case when rule_id is null then 'no_rule' else 'nothing' end
  from won where gap is null and (rule_id is null or credit = 0) and receiver_class = 1 and silent = 0)
