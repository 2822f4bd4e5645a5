"""audited(table): three statement triggers that copy every change of a row into the audit trail.

The actor, the reason and the moment come from settings of the transaction (accounts.audit.acting); without them the
actor is unknown and the moment is the server's. Passwords and keys' hashes are left out.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION audit_row(r jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT r - 'password' - 'key_hash' - 'last_login' - 'last_used_at'
$$;

CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

CREATE FUNCTION audited(watched regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_change()', watched);
  EXECUTE format('CREATE TRIGGER audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_change()', watched);
  EXECUTE format('CREATE TRIGGER audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_change()', watched);
END $$;

SELECT audited('accounts_user'), audited('accounts_rolegrant'), audited('accounts_apikey');
SELECT append_only('accounts_auditevent');
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_tables"), ("platform", "0003_append_only")]

    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
