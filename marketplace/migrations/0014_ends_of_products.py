"""Products and their features come to an end on a day."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0013_sourcing_apart")]

    operations = [
        migrations.AddField(
            model_name=model,
            name="ends_on",
            field=models.DateField(blank=True, help_text="First day on which it is no more.", null=True),
        )
        for model in ("product", "feature")
    ]
