"""A range over text, so that exclusion constraints can compare words without an extension."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("platform", "0001_outbox")]

    operations = [
        migrations.RunSQL("CREATE TYPE text_range AS RANGE (subtype = text)", "DROP TYPE text_range")
    ]
