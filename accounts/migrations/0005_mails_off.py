import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_columns_of_any_name"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="mails_off",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40),
                blank=True,
                db_default=[],
                default=list,
                help_text="Kinds of mail that this person does not want, of those that can be switched off.",
                size=None,
            ),
        ),
    ]
