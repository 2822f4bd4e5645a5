"""What sourcing states of one thing never overlaps in time; the shares of a feature add up; everything leaves a trail."""

from django.db import migrations

FORWARD = """
ALTER TABLE marketplace_binding ADD CONSTRAINT a_feature_runs_on_a_version_once_at_a_time EXCLUDE USING gist (
  int8range(feature_id, feature_id, '[]') WITH &&, int8range(model_version_id, model_version_id, '[]') WITH &&,
  effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE marketplace_supplieragreement ADD CONSTRAINT agreements_of_a_supplier_do_not_overlap EXCLUDE USING gist (
  int8range(supplier_id, supplier_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE marketplace_spendplan ADD CONSTRAINT spend_plans_of_a_supplier_do_not_overlap EXCLUDE USING gist (
  int8range(supplier_id, supplier_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE marketplace_spendplan ADD CONSTRAINT spend_plan_has_both_ends CHECK (
  lower(effective) IS NOT NULL AND upper(effective) IS NOT NULL);
ALTER TABLE marketplace_hosting ADD CONSTRAINT hosting_of_a_version_at_a_host_does_not_overlap EXCLUDE USING gist (
  int8range(model_version_id, model_version_id, '[]') WITH &&, int8range(host_id, host_id, '[]') WITH &&,
  effective WITH &&) WHERE (superseded_at IS NULL);

CREATE FUNCTION binding_shares_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  -- The shares can only change where a binding begins or ends.
  SELECT day, sum(b.share_ppm) AS known, bool_or(b.share_ppm IS NULL) AS open INTO wrong
  FROM (SELECT lower(effective) AS day FROM marketplace_binding WHERE feature_id = NEW.feature_id AND superseded_at IS NULL
        UNION SELECT upper(effective) FROM marketplace_binding WHERE feature_id = NEW.feature_id AND superseded_at IS NULL) days
  JOIN marketplace_binding b
    ON b.feature_id = NEW.feature_id AND b.superseded_at IS NULL AND b.role <> 'fallback' AND b.effective @> days.day
  WHERE day IS NOT NULL
  GROUP BY day
  HAVING coalesce(sum(b.share_ppm), 0) > 1000000
    OR NOT bool_or(b.share_ppm IS NULL) AND sum(b.share_ppm) <> 1000000
  ORDER BY day LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'The shares of feature % on % add up to % of 1000000', NEW.feature_id, wrong.day, wrong.known
      USING ERRCODE = 'check_violation', CONSTRAINT = 'binding_shares_add_up';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER binding_shares_add_up AFTER INSERT OR UPDATE ON marketplace_binding
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION binding_shares_add_up();

SELECT append_only('marketplace_answer'), append_only('marketplace_pairvote');
"""
BACKWARD = """
DROP TRIGGER binding_shares_add_up ON marketplace_binding;
DROP FUNCTION binding_shares_add_up;
ALTER TABLE marketplace_hosting DROP CONSTRAINT hosting_of_a_version_at_a_host_does_not_overlap;
ALTER TABLE marketplace_spendplan DROP CONSTRAINT spend_plan_has_both_ends;
ALTER TABLE marketplace_spendplan DROP CONSTRAINT spend_plans_of_a_supplier_do_not_overlap;
ALTER TABLE marketplace_supplieragreement DROP CONSTRAINT agreements_of_a_supplier_do_not_overlap;
ALTER TABLE marketplace_binding DROP CONSTRAINT a_feature_runs_on_a_version_once_at_a_time;
"""
AUDITED = (
    "binding",
    "commitmentdraw",
    "company",
    "feature",
    "featureusage",
    "hosting",
    "product",
    "relationship",
    "riskevent",
    "scenario",
    "spendplan",
    "substitution",
    "suiterun",
    "supplieragreement",
    "tasksuite",
    "termassumption",
    "usageimport",
    "votinground",
)


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0012_sourcing"), ("platform", "0003_append_only")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunSQL(
            [f"SELECT audited('marketplace_{table}')" for table in AUDITED], migrations.RunSQL.noop
        ),
    ]
