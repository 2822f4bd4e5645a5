from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_first_steps"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="language",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of texts; empty means the operator's.",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="locale",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="BCP 47 tag of how numbers and days are written; empty means the operator's.",
                max_length=20,
            ),
        ),
    ]
