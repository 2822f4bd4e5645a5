"""Boards that were kept without the order of their rows are worked out anew; nothing depends on them."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("quotas", "0020_found_by_parts_of_names")]

    operations = [
        migrations.RunSQL("DELETE FROM quotas_keptboard WHERE \"group\" = 'board'", migrations.RunSQL.noop),
    ]
