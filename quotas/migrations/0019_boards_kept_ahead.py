"""Large boards are kept in every version, ahead of the first look, and say how far working them out has come."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0018_kept_boards"),
    ]

    operations = [
        migrations.RemoveConstraint("keptboard", "a_board_is_kept_once"),
        migrations.AddField(
            "keptboard",
            "view",
            models.CharField(
                default="reported",
                help_text="By which months it is read: reported, restated, closed.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            "keptboard",
            "close",
            models.ForeignKey(
                db_index=False,
                help_text="The close that froze it; it never changes.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="quotas.periodclose",
            ),
        ),
        migrations.AddField(
            "keptboard",
            "moment",
            models.DateTimeField(
                help_text="As of when it is asked for; it never changes. Empty is now.", null=True
            ),
        ),
        migrations.AddField(
            "keptboard",
            "foreseen_at",
            models.DateTimeField(
                help_text="When it was last among those that are kept ahead of any look.", null=True
            ),
        ),
        migrations.AddField(
            "keptboard",
            "begun_at",
            models.DateTimeField(help_text="Since when a worker is at it; empty while none is.", null=True),
        ),
        migrations.AddField(
            "keptboard",
            "done",
            models.PositiveSmallIntegerField(
                default=0, help_text="How many of its steps that worker has done."
            ),
        ),
        migrations.AddField(
            "keptboard",
            "failed_at",
            models.DateTimeField(
                help_text="When it was given up last, if it was not built since.", null=True
            ),
        ),
        migrations.AlterField(
            "keptboard",
            "asked_at",
            models.DateTimeField(
                help_text="Roughly when somebody last looked at it; empty until somebody does.", null=True
            ),
        ),
        migrations.AlterField(
            "keptboard",
            "body",
            models.JSONField(
                help_text="The figures of a quota board, and the sums beside a leaderboard.", null=True
            ),
        ),
        migrations.AddConstraint(
            "keptboard",
            models.UniqueConstraint(
                fields=["period", "measure", "group", "by", "team", "view", "close", "moment"],
                name="a_board_of_a_version_is_kept_once",
                nulls_distinct=False,
            ),
        ),
    ]
