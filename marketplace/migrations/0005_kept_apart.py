"""Names, list prices and accepted offers never overlap in time; the price of an accepted offer never changes."""

from django.db import migrations

FORWARD = """
ALTER TABLE marketplace_priceversion DROP CONSTRAINT price_versions_of_a_plan_do_not_overlap;
ALTER TABLE marketplace_priceversion ADD CONSTRAINT price_versions_of_a_plan_do_not_overlap EXCLUDE USING gist (
  int8range(plan_id, plan_id, '[]') WITH &&,
  text_range(market || '/' || currency_id, market || '/' || currency_id, '[]') WITH &&,
  effective WITH &&
) WHERE (superseded_at IS NULL AND private_offer_id IS NULL);

ALTER TABLE marketplace_alias ADD CONSTRAINT aliases_mean_one_thing_at_a_time EXCLUDE USING gist (
  text_range(used_by || ':' || lower(name), used_by || ':' || lower(name), '[]') WITH &&,
  effective WITH &&
);
CREATE INDEX alias_by_name ON marketplace_alias (lower(name), used_by);

ALTER TABLE marketplace_privateoffer ADD CONSTRAINT accepted_offers_do_not_overlap EXCLUDE USING gist (
  int8range(plan_id, plan_id, '[]') WITH &&,
  int8range(customer_id, customer_id, '[]') WITH &&,
  effective WITH &&
) WHERE (state = 'accepted');

CREATE FUNCTION price_of_accepted_offer_is_locked() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  version bigint := CASE TG_TABLE_NAME WHEN 'marketplace_pricerow' THEN (to_jsonb(OLD)->>'version_id')::bigint
                                       ELSE (to_jsonb(OLD)->>'id')::bigint END;
BEGIN
  IF EXISTS (
    SELECT FROM marketplace_priceversion v JOIN marketplace_privateoffer o ON o.id = v.private_offer_id
    WHERE v.id = version AND o.state = 'accepted'
  ) THEN
    RAISE EXCEPTION 'The price of an accepted private offer is locked: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER price_locked_at_acceptance BEFORE UPDATE OR DELETE ON marketplace_priceversion
  FOR EACH ROW EXECUTE FUNCTION price_of_accepted_offer_is_locked();
CREATE TRIGGER price_locked_at_acceptance BEFORE UPDATE OR DELETE ON marketplace_pricerow
  FOR EACH ROW EXECUTE FUNCTION price_of_accepted_offer_is_locked();

SELECT append_only('marketplace_catalogchange'), append_only('marketplace_lifecyclemove');
"""
BACKWARD = """
DROP TRIGGER price_locked_at_acceptance ON marketplace_pricerow;
DROP TRIGGER price_locked_at_acceptance ON marketplace_priceversion;
DROP FUNCTION price_of_accepted_offer_is_locked;
ALTER TABLE marketplace_privateoffer DROP CONSTRAINT accepted_offers_do_not_overlap;
DROP INDEX alias_by_name;
ALTER TABLE marketplace_alias DROP CONSTRAINT aliases_mean_one_thing_at_a_time;
ALTER TABLE marketplace_priceversion DROP CONSTRAINT price_versions_of_a_plan_do_not_overlap;
ALTER TABLE marketplace_priceversion ADD CONSTRAINT price_versions_of_a_plan_do_not_overlap EXCLUDE USING gist (
  int8range(plan_id, plan_id, '[]') WITH &&,
  text_range(market || '/' || currency_id, market || '/' || currency_id, '[]') WITH &&,
  effective WITH &&
) WHERE (superseded_at IS NULL);
"""
AUDITED = (
    "alias",
    "privateoffer",
    "changeset",
    "evaluation",
    "discrepancy",
    "offeringrequest",
    "webhookendpoint",
)


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0004_the_whole_catalog")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunSQL(
            [f"SELECT audited('marketplace_{table}')" for table in AUDITED], migrations.RunSQL.noop
        ),
    ]
