"""A customer's commitment of one name is one at a time, and leaves a trail."""

from django.db import migrations

FORWARD = """
ALTER TABLE marketplace_customercommitment ADD CONSTRAINT customer_has_a_commitment_of_a_name_once_at_a_time EXCLUDE USING gist (
  int8range(customer_id, customer_id, '[]') WITH &&, text_range(name::text, name::text, '[]') WITH &&, effective WITH &&)
  WHERE (superseded_at IS NULL);
SELECT audited('marketplace_customercommitment');
"""
BACKWARD = """
ALTER TABLE marketplace_customercommitment DROP CONSTRAINT customer_has_a_commitment_of_a_name_once_at_a_time;
"""


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0010_customer_commitments"), ("platform", "0002_text_range")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
