"""A watched table may have a column called why or request: in the trail's function the variable is meant."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  moment timestamptz := coalesce(nullif(current_setting('parity.at', true), '')::timestamptz, clock_timestamp());
  who bigint := nullif(current_setting('parity.actor', true), '')::bigint;
  why text := coalesce(current_setting('parity.reason', true), '');
  request text := coalesce(current_setting('parity.request', true), '');
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO accounts_auditevent (at, actor_id, action, table_name, row_id, before, after, reason, request_id)
    SELECT moment, who, 'insert', TG_TABLE_NAME, n.id, NULL, audit_row(to_jsonb(n)), why, request FROM new_rows n ORDER BY n.id;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO accounts_auditevent (at, actor_id, action, table_name, row_id, before, after, reason, request_id)
    SELECT moment, who, 'update', TG_TABLE_NAME, n.id, audit_row(to_jsonb(o)), audit_row(to_jsonb(n)), why, request
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE audit_row(to_jsonb(o)) <> audit_row(to_jsonb(n)) ORDER BY n.id;
  ELSE
    INSERT INTO accounts_auditevent (at, actor_id, action, table_name, row_id, before, after, reason, request_id)
    SELECT moment, who, 'delete', TG_TABLE_NAME, o.id, audit_row(to_jsonb(o)), NULL, why, request FROM old_rows o ORDER BY o.id;
  END IF;
  RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_scopes_and_saved_views")]

    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
