-- One row per offering of %(ids)s, or per offering if that is null: all that its line of the index is made of.
-- Each table is read once; 10,000 offerings with 60,000 price rows take about half a second.
WITH chosen AS (
  SELECT o.id, o.slug, o.name, o.family, o.summary, o.publisher_id, o.model_version_id
  FROM marketplace_offering o
  WHERE %(ids)s::bigint[] IS NULL OR o.id = ANY(%(ids)s::bigint[])
),
named AS ( -- every name that it, its plans or its model version have or had
  SELECT c.id, a.name FROM chosen c JOIN marketplace_alias a ON a.offering_id = c.id
  UNION SELECT c.id, a.name FROM chosen c JOIN marketplace_alias a ON a.model_version_id = c.model_version_id
  UNION SELECT c.id, a.name FROM chosen c JOIN marketplace_plan p ON p.offering_id = c.id
                                         JOIN marketplace_alias a ON a.plan_id = p.id
),
aliases AS (
  SELECT id, array_agg(name ORDER BY name) AS names FROM named GROUP BY id
),
planned AS (
  SELECT p.offering_id AS id, string_agg(p.name, ' ' ORDER BY p.position, p.id) AS names,
         array_agg(DISTINCT 'region:' || p.zone) FILTER (WHERE p.is_public AND p.zone <> '') AS zones
  FROM chosen c JOIN marketplace_plan p ON p.offering_id = c.id GROUP BY p.offering_id
),
tasks AS (
  SELECT t.offering_id AS id, array_agg('task:' || a.slug) AS terms
  FROM chosen c JOIN marketplace_offering_task_areas t ON t.offering_id = c.id
                JOIN marketplace_taskarea a ON a.id = t.taskarea_id GROUP BY t.offering_id
),
listed AS ( -- list prices for a million input tokens, over the days on which the plan can be ordered
  SELECT c.id, p.position, v.id AS version_id, v.effective * daterange(NULL, p.withdrawn_on) AS days,
         round(r.amount * 1000000 / r.per, 10) AS usd
  FROM chosen c
  JOIN marketplace_plan p ON p.offering_id = c.id AND p.is_public
  JOIN marketplace_priceversion v ON v.plan_id = p.id AND v.market = 'world' AND v.currency_id = 'USD'
                                 AND v.superseded_at IS NULL AND v.private_offer_id IS NULL
  JOIN marketplace_pricerow r ON r.version_id = v.id AND r.meter = 'input-tokens'
                             AND r.tier_from = 0 AND r.above_context = 0
),
edges AS ( -- the days on which another price may begin to hold
  SELECT DISTINCT id, e.day
  FROM listed, LATERAL (VALUES (coalesce(lower(days), date '0001-01-01')), (upper(days))) AS e (day)
  WHERE NOT isempty(days) AND e.day IS NOT NULL
),
steps AS ( -- the first plan's price wins, even where it is unknown
  SELECT DISTINCT ON (e.id, e.day) e.id, e.day, l.usd
  FROM edges e LEFT JOIN listed l ON l.id = e.id AND l.days @> e.day
  ORDER BY e.id, e.day, l.position, l.version_id
),
prices AS (
  SELECT id, array_agg(day ORDER BY day) AS from_days, array_agg(usd ORDER BY day) AS usd FROM steps GROUP BY id
)
SELECT c.id, c.name, c.slug, coalesce(aliases.names, '{}'),
       concat_ws(' ', m.name, m.slug, v.label, c.family, pub.name, pub.slug),
       concat_ws(' ', c.summary, planned.names),
       coalesce(tasks.terms, '{}') || coalesce(planned.zones, '{}')
         || ARRAY(SELECT DISTINCT 'modality_in:' || x FROM unnest(v.modalities_in) x)
         || ARRAY(SELECT DISTINCT 'modality_out:' || x FROM unnest(v.modalities_out) x)
         || ARRAY(SELECT 'capability:' || k FROM jsonb_each(v.capabilities) AS f (k, has) WHERE has = 'true'),
       v.context_window, v.released_on,
       coalesce(prices.from_days, '{}'), coalesce(prices.usd, '{}')
FROM chosen c
JOIN marketplace_publisher pub ON pub.id = c.publisher_id
LEFT JOIN marketplace_modelversion v ON v.id = c.model_version_id
LEFT JOIN marketplace_aimodel m ON m.id = v.model_id
LEFT JOIN aliases ON aliases.id = c.id
LEFT JOIN planned ON planned.id = c.id
LEFT JOIN tasks ON tasks.id = c.id
LEFT JOIN prices ON prices.id = c.id
ORDER BY c.id
