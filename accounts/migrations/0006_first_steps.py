import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_mails_off"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="first_steps",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40),
                blank=True,
                db_default=[],
                default=list,
                help_text="What this person has done of what one does first.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="first_steps_hidden",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
