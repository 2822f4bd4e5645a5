"""Boards of many people are kept by a worker, for pages to read: heads, and the lines of leaderboards. Who leads, and who has a name, is found by index."""

import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models


def _of(model: str, **more: object) -> "models.ForeignKey[object, object]":
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to=f"quotas.{model}",
        **more,  # type: ignore[arg-type]
    )


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0017_frozen_quotas_alone"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeptBoard",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "group",
                    models.CharField(
                        choices=[
                            ("rep", "Leaderboard of reps"),
                            ("team", "Leaderboard of teams"),
                            ("publisher", "Leaderboard of publishers"),
                            ("offering", "Leaderboard of offerings"),
                            ("board", "Quota board"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "by",
                    models.CharField(
                        blank=True, help_text="credit or attainment; empty for a quota board.", max_length=10
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(help_text="Roughly when somebody last looked at it."),
                ),
                (
                    "on",
                    models.DateField(help_text="The day as at which it is read.", null=True),
                ),
                (
                    "built_at",
                    models.DateTimeField(
                        help_text="Of which moment it is; empty until it was built.", null=True
                    ),
                ),
                (
                    "stamp",
                    models.CharField(
                        blank=True,
                        help_text="What the facts behind it had come to before it was built.",
                        max_length=200,
                    ),
                ),
                ("took_ms", models.IntegerField(default=0, help_text="How long building it took.")),
                ("places", models.IntegerField(default=0, help_text="How many lines a leaderboard has.")),
                ("body", models.JSONField(help_text="The figures of a quota board.", null=True)),
                ("measure", _of("measure")),
                ("period", _of("period")),
                (
                    "team",
                    _of(
                        "team",
                        null=True,
                        help_text="Whose board, or whose part of the leaderboard; empty is everybody.",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="KeptPlace",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "board", "place", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("place", models.IntegerField(help_text="From 1, without gaps.")),
                (
                    "subject_id",
                    models.BigIntegerField(help_text="Of the rep, team, publisher or offering."),
                ),
                ("rank", models.BigIntegerField(null=True)),
                ("previous_rank", models.BigIntegerField(null=True)),
                ("credited_minor", models.BigIntegerField()),
                ("quota_minor", models.BigIntegerField(null=True)),
                (
                    "key",
                    models.DecimalField(
                        decimal_places=0, help_text="What it is ranked by, exactly.", max_digits=60
                    ),
                ),
                ("reached_at", models.DateTimeField(null=True)),
                (
                    "tail",
                    models.BooleanField(
                        help_text="Whether it stands below those who have something to rank by."
                    ),
                ),
                (
                    "board",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="lines",
                        to="quotas.keptboard",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            "keptboard",
            models.UniqueConstraint(
                fields=["period", "measure", "group", "by", "team"],
                name="a_board_is_kept_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            "keptboard",
            models.CheckConstraint(
                condition=models.Q(("built_at", None), ("on__isnull", False), _connector="OR"),
                name="kept_board_says_its_day",
            ),
        ),
        migrations.AddIndex(
            "keptplace",
            models.Index(fields=["board", "subject_id"], name="kept_place_of_a_subject"),
        ),
        migrations.AddIndex(
            "rep",
            models.Index(django.db.models.functions.text.Upper("name"), name="rep_by_name_in_any_case"),
        ),
        migrations.AddIndex(
            "teammembership",
            models.Index(
                condition=models.Q(("role", "manager"), ("superseded_at", None)),
                fields=["team", "rep"],
                name="membership_of_who_leads",
            ),
        ),
    ]
