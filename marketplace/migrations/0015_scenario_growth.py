"""A scenario says by how much use grows; without it use stays as it is."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0014_ends_of_products")]

    operations = [
        migrations.AddField(
            model_name="scenario",
            name="growth_ppm",
            field=models.IntegerField(
                db_default=0,
                default=0,
                help_text="By how much the use of every feature grows in a year: 200000 is a fifth more.",
            ),
        ),
        migrations.AddConstraint(
            model_name="scenario",
            constraint=models.CheckConstraint(
                condition=models.Q(("growth_ppm__gte", -900000), ("growth_ppm__lte", 10000000)),
                name="scenario_grows_within_reason",
            ),
        ),
    ]
