from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0012_imports_and_calendars"),
    ]

    operations = [
        migrations.AddField(
            model_name="sourcerecord",
            name="todo",
            field=models.CharField(
                blank=True,
                choices=[("approve", "Approve under the import's policy"), ("cancel", "Cancel")],
                help_text="What the import that is under way has still to do with the deal.",
                max_length=7,
            ),
        ),
        migrations.AddIndex(
            model_name="sourcerecord",
            index=models.Index(
                condition=models.Q(("todo", ""), _negated=True),
                fields=["run", "id"],
                name="source_record_to_do",
            ),
        ),
    ]
