"""Who may read of a change, since when an endpoint fails, and personal addresses of the feeds."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0005_kept_apart"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="catalogchange",
            name="is_public",
            field=models.BooleanField(
                default=True,
                help_text="What it is about was published by then: everybody may read of it. Else its publisher and the catalog's keepers.",
            ),
        ),
        migrations.AddField(
            model_name="webhookendpoint",
            name="failing_since",
            field=models.DateTimeField(
                blank=True,
                help_text="First failure after the last success; empty while it answers.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="catalogchange",
            name="at",
            field=models.DateTimeField(help_text="When it was made; its number may come a little later."),
        ),
        migrations.AddIndex(
            model_name="catalogchange",
            index=models.Index(fields=["-at", "-number"], name="catalog_change_latest_first"),
        ),
        migrations.CreateModel(
            name="FeedAddress",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField(default=1)),
                ("made_at", models.DateTimeField()),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feed_address",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
    ]
