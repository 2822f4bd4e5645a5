"""refuse_change() and append_only(table): what nobody may update, delete or truncate, the owner included."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION append_only(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER entries_never_change BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION refuse_change()', guarded);
  EXECUTE format('CREATE TRIGGER entries_never_truncated BEFORE TRUNCATE ON %s EXECUTE FUNCTION refuse_change()', guarded);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("platform", "0002_text_range")]

    operations = [migrations.RunSQL(FORWARD, "DROP FUNCTION append_only; DROP FUNCTION refuse_change")]
