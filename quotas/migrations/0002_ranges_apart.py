"""Dated facts of one subject never overlap in time; the database sees to it."""

from django.db import migrations

FORWARD = """
ALTER TABLE quotas_teamplacement ADD CONSTRAINT team_is_in_one_place_at_a_time EXCLUDE USING gist (
  int8range(team_id, team_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_teammembership ADD CONSTRAINT rep_is_in_one_team_at_a_time EXCLUDE USING gist (
  int8range(rep_id, rep_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_accountownership ADD CONSTRAINT account_has_one_owner_at_a_time EXCLUDE USING gist (
  int8range(customer_id, customer_id, '[]') WITH &&, effective WITH &&) WHERE (superseded_at IS NULL);
ALTER TABLE quotas_fxrate ADD CONSTRAINT one_fx_rate_at_a_time EXCLUDE USING gist (
  text_range(from_currency_id || to_currency_id, from_currency_id || to_currency_id, '[]') WITH &&, effective WITH &&)
  WHERE (superseded_at IS NULL);
ALTER TABLE quotas_period ADD CONSTRAINT periods_of_a_grain_do_not_overlap EXCLUDE USING gist (
  text_range(calendar_id::text || grain, calendar_id::text || grain, '[]') WITH &&, daterange(starts, ends) WITH &&);
"""
BACKWARD = """
ALTER TABLE quotas_period DROP CONSTRAINT periods_of_a_grain_do_not_overlap;
ALTER TABLE quotas_fxrate DROP CONSTRAINT one_fx_rate_at_a_time;
ALTER TABLE quotas_accountownership DROP CONSTRAINT account_has_one_owner_at_a_time;
ALTER TABLE quotas_teammembership DROP CONSTRAINT rep_is_in_one_team_at_a_time;
ALTER TABLE quotas_teamplacement DROP CONSTRAINT team_is_in_one_place_at_a_time;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0001_tables"), ("platform", "0002_text_range")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
