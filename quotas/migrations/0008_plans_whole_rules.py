"""What the database itself sees to for holdover, territories, assignments and components; and what they mean for facts that are there."""

import django.contrib.postgres.fields.ranges
from django.db import migrations

FORWARD = """
UPDATE quotas_accountownership SET credits = effective;
INSERT INTO quotas_planassignment (plan_id, role, rep_id, effective, recorded_at)
  SELECT id, '', NULL, daterange(NULL, NULL), now() FROM quotas_compplan;
SET CONSTRAINTS ALL IMMEDIATE;

ALTER TABLE quotas_accountownership ADD CONSTRAINT account_credits_one_rep_at_a_time EXCLUDE USING gist (
  int8range(customer_id, customer_id, '[]') WITH &&, credits WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_territoryassignment ADD CONSTRAINT rep_covers_a_territory_once_at_a_time EXCLUDE USING gist (
  int8range(territory_id, territory_id, '[]') WITH &&, int8range(rep_id, rep_id, '[]') WITH &&, effective WITH &&)
  WHERE (superseded_at IS NULL);
ALTER TABLE quotas_customerterritory ADD CONSTRAINT customer_lies_in_a_territory_once_at_a_time EXCLUDE USING gist (
  int8range(territory_id, territory_id, '[]') WITH &&, int8range(customer_id, customer_id, '[]') WITH &&, effective WITH &&)
  WHERE (superseded_at IS NULL);
ALTER TABLE quotas_planassignment ADD CONSTRAINT plan_is_assigned_once_at_a_time EXCLUDE USING gist (
  int8range(plan_id, plan_id, '[]') WITH &&, text_range(role, role, '[]') WITH &&,
  int8range(coalesce(rep_id, 0), coalesce(rep_id, 0), '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);

CREATE TRIGGER published_component_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON quotas_plancomponent
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_rule();
SELECT append_only('quotas_parityproof');
SELECT audited('quotas_territory'), audited('quotas_territoryassignment'), audited('quotas_customerterritory'),
  audited('quotas_planassignment'), audited('quotas_plancomponent'), audited('quotas_parityexception');
"""
BACKWARD = """
DROP TRIGGER published_component_is_immutable ON quotas_plancomponent;
ALTER TABLE quotas_planassignment DROP CONSTRAINT plan_is_assigned_once_at_a_time;
ALTER TABLE quotas_customerterritory DROP CONSTRAINT customer_lies_in_a_territory_once_at_a_time;
ALTER TABLE quotas_territoryassignment DROP CONSTRAINT rep_covers_a_territory_once_at_a_time;
ALTER TABLE quotas_accountownership DROP CONSTRAINT account_credits_one_rep_at_a_time;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0007_plans_whole"), ("platform", "0002_text_range")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AlterField(
            model_name="accountownership",
            name="credits",
            field=django.contrib.postgres.fields.ranges.DateRangeField(
                help_text="Credit dates that are this rep's; the same as effective without a holdover."
            ),
        ),
    ]
