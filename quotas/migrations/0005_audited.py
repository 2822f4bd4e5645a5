"""Every fact and rule of crediting leaves a trail. Deal versions are a trail of their own."""

from django.db import migrations

TABLES = (
    "team", "teamplacement", "rep", "teammembership", "accountownership", "period", "fxrate", "measure", "quota",
    "deal", "compplan", "planversion", "ruleversion",
)  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("quotas", "0004_immutable_facts"), ("accounts", "0002_audit_trail")]

    operations = [
        migrations.RunSQL([f"SELECT audited('quotas_{table}')" for table in TABLES], migrations.RunSQL.noop)
    ]
