"""Decisions that were proposed together, such as those for a list of offerings, are checked together."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0006_what_readers_see")]

    operations = [
        migrations.AddField(
            model_name="eligibilitydecision",
            name="proposal",
            field=models.CharField(
                max_length=80,
                blank=True,
                db_default="",
                default="",
                help_text="Names what was proposed together and is checked together; empty for a decision that stands alone.",
            ),
        ),
        migrations.AddConstraint(
            model_name="eligibilitydecision",
            constraint=models.UniqueConstraint(
                fields=("proposal", "program", "level", "commercial_path", "publisher", "offering", "plan"),
                condition=~Q(proposal=""),
                nulls_distinct=False,
                name="proposal_decides_each_thing_once",
            ),
        ),
    ]
