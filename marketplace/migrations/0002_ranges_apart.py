"""Prices of a plan and decisions of a scope never overlap in time; the database sees to it."""

from django.db import migrations

FORWARD = """
ALTER TABLE marketplace_priceversion ADD CONSTRAINT price_versions_of_a_plan_do_not_overlap EXCLUDE USING gist (
  int8range(plan_id, plan_id, '[]') WITH &&,
  text_range(market || '/' || currency_id, market || '/' || currency_id, '[]') WITH &&,
  effective WITH &&
) WHERE (superseded_at IS NULL);

ALTER TABLE marketplace_eligibilitydecision ADD CONSTRAINT decisions_of_one_scope_do_not_overlap EXCLUDE USING gist (
  text_range(
    program || ':' || level::text || ':' || commercial_path || coalesce(publisher_id, offering_id, plan_id, 0)::text,
    program || ':' || level::text || ':' || commercial_path || coalesce(publisher_id, offering_id, plan_id, 0)::text, '[]') WITH &&,
  effective WITH &&
) WHERE (superseded_at IS NULL AND checked_at IS NOT NULL);
"""
BACKWARD = """
ALTER TABLE marketplace_eligibilitydecision DROP CONSTRAINT decisions_of_one_scope_do_not_overlap;
ALTER TABLE marketplace_priceversion DROP CONSTRAINT price_versions_of_a_plan_do_not_overlap;
"""


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0001_tables"), ("platform", "0002_text_range")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
