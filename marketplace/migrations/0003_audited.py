"""Every fact of the catalog leaves a trail."""

from django.db import migrations

TABLES = (
    "publisher",
    "publishermembership",
    "customer",
    "aimodel",
    "modelversion",
    "offering",
    "plan",
    "priceversion",
    "pricerow",
    "eligibilitydecision",
)


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0002_ranges_apart"), ("accounts", "0002_audit_trail")]

    operations = [
        migrations.RunSQL(
            [f"SELECT audited('marketplace_{table}')" for table in TABLES]
            + ["SELECT append_only('marketplace_offeringrevision')"],
            migrations.RunSQL.noop,
        )
    ]
