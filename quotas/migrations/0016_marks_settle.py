"""A mark also says up to which posting nothing can come in late any more, so that the next one looks at what is newer alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0015_running_the_plan_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="ledgermark",
            name="settled_id",
            field=models.BigIntegerField(
                default=0,
                help_text="Every posting up to this one is marked or will never be: none of them was in flight any more.",
            ),
        ),
    ]
