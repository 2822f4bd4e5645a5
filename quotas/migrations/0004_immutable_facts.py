"""Versions of deals and published plans never change; shares add up to everything before they are committed."""

from django.db import migrations

FORWARD = """
SELECT append_only('quotas_dealversion'), append_only('quotas_dealline'), append_only('quotas_dealshare'), append_only('quotas_dealevent');

CREATE FUNCTION check_deal_shares() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  together bigint;
BEGIN
  SELECT sum(ppm) INTO together FROM quotas_dealshare WHERE version_id = NEW.version_id;
  IF together <> 1000000 THEN
    RAISE EXCEPTION 'shares of deal version % add up to % and not to 1000000', NEW.version_id, together
      USING ERRCODE = 'check_violation', CONSTRAINT = 'deal_shares_add_up_to_one_million';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER deal_shares_add_up_to_one_million AFTER INSERT ON quotas_dealshare
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_deal_shares();

CREATE FUNCTION refuse_change_of_published_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state IN ('published', 'superseded') AND (
    TG_OP = 'DELETE'
    OR (to_jsonb(NEW) - 'state') <> (to_jsonb(OLD) - 'state')
    OR (OLD.state = 'published' AND NEW.state NOT IN ('published', 'superseded'))
    OR (OLD.state = 'superseded' AND NEW.state <> 'superseded')
  ) THEN
    RAISE EXCEPTION 'plan version % is published and cannot change', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER published_plan_version_is_immutable BEFORE UPDATE OR DELETE ON quotas_planversion
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_plan();

CREATE FUNCTION refuse_change_of_published_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM quotas_planversion v WHERE v.state IN ('published', 'superseded')
      AND v.id IN (CASE WHEN TG_OP = 'INSERT' THEN NEW.plan_version_id ELSE OLD.plan_version_id END,
                   CASE WHEN TG_OP = 'DELETE' THEN OLD.plan_version_id ELSE NEW.plan_version_id END)
  ) THEN
    RAISE EXCEPTION 'rules of a published plan version cannot change' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER published_rule_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON quotas_ruleversion
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_rule();
"""
BACKWARD = """
DROP TRIGGER published_rule_is_immutable ON quotas_ruleversion;
DROP FUNCTION refuse_change_of_published_rule;
DROP TRIGGER published_plan_version_is_immutable ON quotas_planversion;
DROP FUNCTION refuse_change_of_published_plan;
DROP TRIGGER deal_shares_add_up_to_one_million ON quotas_dealshare;
DROP FUNCTION check_deal_shares;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0003_ledger")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
