"""A customer who is typed on a deal is found along an index, in whatever case."""

from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0015_scenario_growth")]

    operations = [
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(Upper("name"), name="customer_by_name_in_any_case"),
        ),
    ]
