-- The body: what every line earns, for whom, under which rule, and why not. One row of desired per credit entry, one of uncredited per reason.
-- Rules are bits of a mask, ranked by priority, then number of conditions: each offering, day, kind of deal and role is matched against all
-- rules once; a receiver's candidates are the AND of four masks and the winner is the first bit. Cost: linear in lines x shares x measures.
-- Fences (offset 0) keep a stage from being flattened into the next and evaluated again there.
scenario as materialized (
  select v.id plan_version_id, v.plan_id, v.number, v.effective, g.scenario
  from unnest(%(plan_versions)s::bigint[], %(scenarios)s::smallint[]) g(plan_version_id, scenario)
  join quotas_planversion v on v.id = g.plan_version_id
  union all
  select id, plan_id, number, effective, 1::smallint from quotas_planversion
  where state = 'published' and %(plan_versions)s::bigint[] is null),
ranked as materialized (
  select r.id rule_version_id, r.rule_id, r.plan_version_id, s.scenario, r.measure_id, r.exclusive, r.factor_ppm::bigint factor, r.cap_minor cap,
    r.effective, r.offerings, r.publishers, r.families, r.paths, r.pricing_forms, r.deal_kinds, r.segments, r.regions, r.roles,
    (row_number() over (order by s.scenario, r.priority desc,
      num_nonnulls(r.offerings, r.publishers, r.families, r.paths, r.pricing_forms, r.deal_kinds, r.segments, r.regions, r.roles) desc, r.id) - 1)::int bit
  from scenario s join quotas_ruleversion r on r.plan_version_id = s.plan_version_id and r.receivers = 1),
none as materialized (select repeat('0', greatest(1, (select count(*) from ranked))::int)::varbit z),
rules as materialized (select r.*, set_bit(n.z, r.bit, 1) b from ranked r, none n),
spiffs as materialized (select rule_version_id, rule_id, plan_version_id, factor, b from rules where not exclusive),
measures as materialized (
  select m.id measure_id, m.basis, m.currency_id currency, coalesce(c.exponent, 6) exponent, s.scenario, n.z,
    coalesce(bit_or(r.b) filter (where r.exclusive), n.z) exclusive_mask, coalesce(bit_or(r.b) filter (where not r.exclusive), n.z) spiff_mask
  from quotas_measure m
  cross join (select scenario from scenario union select 1::smallint) s
  cross join none n
  left join marketplace_currency c on c.code = m.currency_id
  left join rules r on r.measure_id = m.id and r.scenario = s.scenario
  group by m.id, m.basis, m.currency_id, c.exponent, s.scenario, n.z),
-- One row per offering, plan and span of days: the quota decision in force, the most specific first, and the rules that name the offering.
eligible as materialized (
  select t.offering_id, t.plan_id, e.starts, e.ends, e.decision_id, e.rate, coalesce((
    select bit_or(r.b) from rules r
    where (r.offerings is null or o.id = any(r.offerings)) and (r.publishers is null or o.publisher_id = any(r.publishers))
      and (r.families is null or o.family = any(r.families)) and (r.paths is null or o.commercial_path = any(r.paths))
      and (r.pricing_forms is null or p.pricing_form = any(r.pricing_forms))), n.z) mask
  from none n
  cross join things t
  join marketplace_offering o on o.id = t.offering_id
  left join marketplace_plan p on p.id = t.plan_id
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
-- One row per credit date: its leaf period, the open one that takes the posting, and the rules in force.
days as materialized (
  select d.close_date, p.id period_id, (
      select q.id from quotas_period q
      where q.calendar_id = p.calendar_id and q.grain = 'M' and q.state = 'open' and q.starts >= p.starts order by q.starts limit 1) posting_period_id,
    coalesce((
      select bit_or(r.b) from rules r
      join (
        select s.scenario, s.plan_id, max(s.number) number from scenario s where s.effective @> d.close_date group by s.scenario, s.plan_id
      ) f on f.scenario = r.scenario
      join scenario s on s.scenario = f.scenario and s.plan_id = f.plan_id and s.number = f.number and s.plan_version_id = r.plan_version_id
      where r.effective is null or r.effective @> d.close_date), n.z) mask
  from none n
  cross join (select distinct close_date from head) d
  left join lateral (
    select p.id, p.calendar_id, p.starts from quotas_period p
    where p.grain = 'M' and p.starts <= d.close_date and p.ends > d.close_date order by p.calendar_id limit 1) p on true),
-- One row per credit date, currency and measure: the fraction that turns the deal's minor units into the measure's.
rates as materialized (
  select d.close_date, d.currency, m.measure_id, m.scenario,
    f.id fx_rate_id,
    case when m.currency is null or m.currency = d.currency then 1 else f.rate_e9 * (10 ^ greatest(0, m.exponent - c.exponent))::bigint end num,
    case when m.currency is null or m.currency = d.currency then 1 else 1000000000 * (10 ^ greatest(0, c.exponent - m.exponent))::bigint end den
  from (select distinct close_date, currency from head) d
  join marketplace_currency c on c.code = d.currency
  cross join measures m
  left join quotas_fxrate f on f.from_currency_id = d.currency and f.to_currency_id = m.currency and f.superseded_at is null
    and f.effective @> d.close_date and m.currency <> d.currency),
kinds as materialized (
  select g.kind, g.segment, g.region, coalesce((
    select bit_or(r.b) from rules r
    where (r.deal_kinds is null or g.kind = any(r.deal_kinds)) and (r.segments is null or g.segment = any(r.segments))
      and (r.regions is null or g.region = any(r.regions))), n.z) mask
  from none n cross join (select distinct kind, segment, region from head) g),
roles as materialized (
  select g.role, coalesce((select bit_or(r.b) from rules r where r.roles is null or g.role = any(r.roles)), n.z) mask
  from none n cross join (select distinct role from quotas_teammembership) g),
receivers as (
  select s.deal_id, s.rep_id, s.ppm::bigint ppm, row_number() over (partition by s.deal_id order by s.ordinal) place,
    count(*) over w n, array_agg(s.ppm::bigint) over w ppms
  from shares s window w as (partition by s.deal_id order by s.ordinal rows between unbounded preceding and unbounded following)),
dated as (
  select h.*, d.period_id, d.posting_period_id, d.mask & k.mask mask
  from head h
  join days d on d.close_date = h.close_date
  join kinds k on k.kind = h.kind and k.segment = h.segment and k.region = h.region offset 0),
judged as materialized (
  select h.deal_id, h.version_id, h.kind, h.close_date, h.currency, h.new_customer, h.period_id, h.posting_period_id,
    l.line_no, l.amount, l.quantity, l.term, e.decision_id, e.rate, e.mask & h.mask mask,
    case when h.held then 'held' when h.posting_period_id is null then 'no_period' when e.decision_id is null then 'not_eligible'
      when e.rate = 0 then 'rate_zero' end stop
  from lines l
  join dated h on h.deal_id = l.deal_id
  left join eligible e on e.offering_id = l.offering_id and e.plan_id = l.plan_id and h.close_date >= e.starts and h.close_date < e.ends
  offset 0),
first_line as (select deal_id, min(line_no) line_no from judged where new_customer group by deal_id),
measured as (
  select j.deal_id, j.version_id, j.close_date, j.period_id, j.posting_period_id, j.line_no, j.decision_id, j.rate, j.mask,
    m.measure_id, m.scenario, m.exclusive_mask, m.spiff_mask, m.z, r.fx_rate_id, r.num is null no_rate,
    case m.basis
      when 'units' then case when j.quantity <= 9000000 then (j.quantity * 1000000)::bigint end
      when 'new_customers' then 1000000
      when 'annualised_value' then mul_div(j.amount * 12, r.num, r.den * coalesce(j.term, 12))
      else mul_div(j.amount, r.num, r.den) end as exact
  from judged j
  join measures m on case m.basis
    when 'contract_value' then j.kind <> 'consumption'
    when 'annualised_value' then j.kind <> 'consumption'
    when 'units' then j.kind <> 'consumption' and j.quantity is not null
    when 'new_customers' then j.new_customer and (j.deal_id, j.line_no) in (select deal_id, line_no from first_line)
    else j.kind = 'consumption' end
  join rates r on r.close_date = j.close_date and r.currency = j.currency and r.measure_id = m.measure_id and r.scenario = m.scenario
  where j.stop is null offset 0),
valued as (select m.*, case when abs(exact) <= 9000000000000 then exact end as value from measured m offset 0),
-- One row per line, measure and receiver. The base is split by largest remainder on the absolute value, ties by participant order;
-- one receiver takes all, of two the first is rounded and the second takes the rest, which is the same thing; only more of them need the count.
based as materialized (
  select v.deal_id, v.version_id, v.close_date, v.period_id, v.posting_period_id, v.line_no, v.decision_id, v.rate, v.measure_id, v.scenario,
    v.exclusive_mask, v.spiff_mask, v.z, v.fx_rate_id, v.value, v.no_rate, p.place, p.rep_id, t.team_id, v.mask & o.mask mask,
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
  left join receivers p on p.deal_id = v.deal_id
  left join quotas_teammembership t on t.rep_id = p.rep_id and t.superseded_at is null and t.effective @> v.close_date
  left join roles o on o.role = t.role offset 0),
credited as (
  select b.*, mul_ppm(b.base, b.rate) credit, position(B'1' in (b.mask & b.exclusive_mask)) - 1 winner, nullif(b.mask & b.spiff_mask, b.z) spiff
  from based b where b.value is not null and b.team_id is not null offset 0),
won as materialized (
  select c.deal_id, c.version_id, c.close_date, c.period_id, c.posting_period_id, c.line_no, c.decision_id, c.measure_id, c.scenario, c.fx_rate_id,
    c.place, c.rep_id, c.team_id, c.value, c.base, c.rate, c.credit, c.mask, c.spiff, r.rule_id, r.rule_version_id, r.plan_version_id, r.cap,
    mul_ppm(c.credit, r.factor_above_one) uplift
  from credited c
  left join (select bit, scenario, rule_id, rule_version_id, plan_version_id, cap, factor - 1000000 factor_above_one from rules where exclusive) r
    on r.bit = c.winner),
-- The cut of a capped rule is shared over its lines and people by largest remainder, ties by line, then participant.
capped as (
  select w.*, credit + uplift earned, sum(credit + uplift) over (partition by deal_id, scenario, rule_id) together from won w where cap is not null),
cut as (
  select c.*, div((abs(together) - cap) * abs(earned), abs(together)) whole, mod((abs(together) - cap) * abs(earned), abs(together)) remainder
  from capped c where abs(together) > cap),
ranked_cut as (
  select c.*, row_number() over (partition by deal_id, scenario, rule_id order by remainder desc, line_no, place) nth,
    abs(together) - cap - sum(whole) over (partition by deal_id, scenario, rule_id) odd_units
  from cut c),
desired as (
  select scenario, deal_id, version_id, line_no, rep_id, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
    plan_version_id, rule_id, rule_version_id, 1::smallint component, credit amount
  from won where rule_id is not null and credit <> 0
  union all
  select scenario, deal_id, version_id, line_no, rep_id, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
    plan_version_id, rule_id, rule_version_id, 2::smallint, uplift
  from won where uplift <> 0
  union all
  select * from (
    select w.scenario, w.deal_id, w.version_id, w.line_no, w.rep_id, w.team_id, w.close_date, w.period_id, w.posting_period_id, w.fx_rate_id,
      w.decision_id, w.measure_id, s.plan_version_id, s.rule_id, s.rule_version_id, 3::smallint, mul_ppm(w.credit, s.factor) amount
    from (select * from won where spiff is not null offset 0) w
    cross join lateral (select * from spiffs s where (w.spiff & s.b) = s.b offset 0) s offset 0) x
  where amount <> 0
  union all
  select scenario, deal_id, version_id, line_no, rep_id, team_id, close_date, period_id, posting_period_id, fx_rate_id, decision_id, measure_id,
    plan_version_id, rule_id, rule_version_id, 4::smallint, (-sign(earned) * (whole + case when nth <= odd_units then 1 else 0 end))::bigint
  from ranked_cut where whole + case when nth <= odd_units then 1 else 0 end <> 0),
-- One row per reason why something earns nothing, for one scenario; empty measure or rep means all of them.
uncredited as (
  select distinct 1::smallint scenario, deal_id, line_no, null::bigint measure_id, null::bigint rep_id, stop reason from judged where stop is not null
  union all
  select distinct scenario, deal_id, line_no, measure_id, null::bigint,
    case when rep_id is null then 'no_receiver' when no_rate then 'no_fx_rate' else 'too_large' end
  from based where value is null or rep_id is null
  union all
  select scenario, deal_id, line_no, measure_id, rep_id, 'no_team' from based where value is not null and rep_id is not null and team_id is null
  union all
  select scenario, deal_id, line_no, measure_id, rep_id, case when rule_id is null then 'no_rule' else 'nothing' end
  from won where rule_id is null or credit = 0)
