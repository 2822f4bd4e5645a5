import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


# Every deal so far is credited by the operator's calendar, the first one that was made.
BACKFILL = """
ALTER TABLE quotas_deal DISABLE TRIGGER USER;
UPDATE quotas_deal SET calendar_id = (SELECT min(id) FROM quotas_fiscalcalendar);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE quotas_deal ENABLE TRIGGER USER;
"""

# What a policy said when it approved deals stays readable: a published version can only end.
POLICIES = """
CREATE FUNCTION refuse_change_of_published_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.published_at IS NOT NULL AND (
    TG_OP = 'DELETE' OR OLD.ended_at IS NOT NULL OR (to_jsonb(NEW) - 'ended_at') <> (to_jsonb(OLD) - 'ended_at')
  ) THEN
    RAISE EXCEPTION 'policy % is published and cannot change', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER published_policy_is_immutable BEFORE UPDATE OR DELETE ON quotas_straightthroughpolicy
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_policy();
SELECT audited('quotas_straightthroughpolicy'), audited('quotas_importmap'), audited('quotas_fiscalcalendar');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0009_offers_stay_as_decided"),
        ("platform", "0005_job_progress"),
        ("quotas", "0011_no_empty_conditions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportMap",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("deals", "Deals"),
                            ("quotas", "Quotas"),
                            ("reps", "Reps and teams"),
                            ("territories", "Territories"),
                        ],
                        max_length=12,
                    ),
                ),
                ("text", models.TextField()),
                ("saved_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="ImportPiece",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="ImportRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "line",
                    models.PositiveBigIntegerField(
                        help_text="Where the row begins in the file; the head is line 1."
                    ),
                ),
                ("external_id", models.CharField(blank=True, max_length=80)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("new", "New"),
                            ("changed", "Changed"),
                            ("unchanged", "Unchanged"),
                            ("cancelled", "Cancelled"),
                            ("left_out", "Left out"),
                            ("refused", "Refused"),
                        ],
                        max_length=10,
                    ),
                ),
                ("code", models.CharField(max_length=60)),
                ("message", models.CharField(max_length=500)),
                (
                    "column",
                    models.CharField(blank=True, help_text="Which column is to blame.", max_length=200),
                ),
                (
                    "cells",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        help_text="The row as it stands in the file, in its columns' order.",
                        size=None,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SalesImport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("deals", "Deals"),
                            ("quotas", "Quotas"),
                            ("reps", "Reps and teams"),
                            ("territories", "Territories"),
                        ],
                        max_length=12,
                    ),
                ),
                ("file_name", models.CharField(max_length=200)),
                ("bytes", models.BigIntegerField()),
                ("digest", models.CharField(help_text="SHA-256 of the file, hexadecimal.", max_length=64)),
                ("map_name", models.CharField(blank=True, max_length=80)),
                ("map_text", models.TextField(blank=True, help_text="TOML.")),
                ("options", models.JSONField(default=dict)),
                ("look", models.JSONField(default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("uploaded", "Uploaded"),
                            ("checking", "Checking"),
                            ("checked", "Checked"),
                            ("importing", "Importing"),
                            ("done", "Done"),
                            ("refused", "Nothing imported"),
                            ("failed", "Failed"),
                        ],
                        default="uploaded",
                        max_length=10,
                    ),
                ),
                (
                    "problem",
                    models.CharField(
                        blank=True, help_text="Why nothing was imported, where that is so.", max_length=500
                    ),
                ),
                ("rows", models.PositiveBigIntegerField(default=0)),
                ("counts", models.JSONField(default=dict, help_text="Outcome to number of rows.")),
                (
                    "reasons",
                    models.JSONField(
                        default=dict, help_text="Code of a refusal or omission to number of rows."
                    ),
                ),
                ("preview", models.JSONField(default=dict)),
                ("requested_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="SourceRecord",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(max_length=20)),
                ("external_id", models.CharField(max_length=80)),
                ("digest", models.BinaryField(help_text="Of everything that the map reads of it, 16 bytes.")),
                (
                    "version",
                    models.CharField(
                        blank=True,
                        help_text="The source's own version or time of change; sorts as text.",
                        max_length=40,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("won", "Won"),
                            ("open", "Open"),
                            ("lost", "Lost"),
                            ("gone", "Gone from its source"),
                        ],
                        max_length=4,
                    ),
                ),
                ("owner_name", models.CharField(help_text="As the source writes it.", max_length=150)),
                ("customer_name", models.CharField(blank=True, max_length=160)),
                ("close_date", models.DateField(null=True)),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("amount_minor", models.BigIntegerField(help_text="Minor units of the currency.", null=True)),
                (
                    "code",
                    models.CharField(
                        blank=True, help_text="Why it was refused, where it was.", max_length=60
                    ),
                ),
                ("message", models.CharField(blank=True, max_length=500)),
                ("line", models.PositiveBigIntegerField(help_text="Where it stood in that file.")),
                ("seen_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="StraightThroughPolicy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("version", models.PositiveIntegerField()),
                (
                    "sources",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        help_text="Names of the sources that it trusts.",
                        size=None,
                    ),
                ),
                (
                    "most_minor",
                    models.BigIntegerField(
                        blank=True,
                        help_text="The largest deal, in minor units of the currency; empty is any amount.",
                        null=True,
                    ),
                ),
                (
                    "late_after_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="A deal that closed longer ago than this waits; empty is never too late.",
                        null=True,
                    ),
                ),
                (
                    "default_share",
                    models.BooleanField(default=True, help_text="Only deals that are the owner's alone."),
                ),
                ("drafted_at", models.DateTimeField()),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ended_at",
                    models.DateTimeField(
                        blank=True, help_text="Withdrawn, or replaced by a later version.", null=True
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="deal",
            name="calendar",
            field=models.ForeignKey(
                db_index=False,
                help_text="Of the owner's business unit; its periods take the credit.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="quotas.fiscalcalendar",
            ),
        ),
        migrations.AddField(
            model_name="fiscalcalendar",
            name="first_month",
            field=models.PositiveSmallIntegerField(
                default=7,
                help_text="The month in which a year begins, 1 to 12; a year is named after the one in which it ends.",
            ),
        ),
        migrations.AddField(
            model_name="fiscalcalendar",
            name="prefix",
            field=models.CharField(
                default="FY",
                help_text="What the names of its periods begin with, so that a name says whose period it is: FY27-Q2, CY17-Q3.",
                max_length=4,
                unique=True,
            ),
        ),
        migrations.AddField(
            model_name="team",
            name="calendar",
            field=models.ForeignKey(
                blank=True,
                help_text="Of the business unit that this team heads; empty is that of the team above, at the top the operator's.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="teams",
                to="quotas.fiscalcalendar",
            ),
        ),
        migrations.AddConstraint(
            model_name="fiscalcalendar",
            constraint=models.CheckConstraint(
                condition=models.Q(("first_month__gte", 1), ("first_month__lte", 12)),
                name="fiscal_year_begins_in_a_month",
            ),
        ),
        migrations.AddField(
            model_name="importmap",
            name="saved_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="salesimport",
            name="job",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="platform.job",
            ),
        ),
        migrations.AddField(
            model_name="salesimport",
            name="requested_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="importrow",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="report",
                to="quotas.salesimport",
            ),
        ),
        migrations.AddField(
            model_name="importpiece",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="pieces",
                to="quotas.salesimport",
            ),
        ),
        migrations.AddField(
            model_name="sourcerecord",
            name="deal",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="quotas.deal",
            ),
        ),
        migrations.AddField(
            model_name="sourcerecord",
            name="owner",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="quotas.rep",
            ),
        ),
        migrations.AddField(
            model_name="sourcerecord",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                help_text="The last import that had it.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="quotas.salesimport",
            ),
        ),
        migrations.AddField(
            model_name="straightthroughpolicy",
            name="currency",
            field=models.ForeignKey(
                blank=True,
                help_text="Of the limit.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="marketplace.currency",
            ),
        ),
        migrations.AddField(
            model_name="straightthroughpolicy",
            name="drafted_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="straightthroughpolicy",
            name="published_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="deal",
            name="approved_under",
            field=models.ForeignKey(
                db_index=False,
                help_text="The policy that approved it instead of a person.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="quotas.straightthroughpolicy",
            ),
        ),
        migrations.AddIndex(
            model_name="salesimport",
            index=models.Index(fields=["kind", "-id"], name="sales_import_by_kind"),
        ),
        migrations.AddIndex(
            model_name="importrow",
            index=models.Index(fields=["run", "line"], name="import_row_in_order"),
        ),
        migrations.AddConstraint(
            model_name="importpiece",
            constraint=models.UniqueConstraint(fields=("run", "ordinal"), name="import_piece_unique"),
        ),
        migrations.AddIndex(
            model_name="sourcerecord",
            index=models.Index(fields=["deal"], name="source_record_by_deal"),
        ),
        migrations.AddIndex(
            model_name="sourcerecord",
            index=models.Index(fields=["close_date"], name="source_record_by_close_date"),
        ),
        migrations.AddConstraint(
            model_name="sourcerecord",
            constraint=models.UniqueConstraint(fields=("source", "external_id"), name="source_record_unique"),
        ),
        migrations.AddConstraint(
            model_name="straightthroughpolicy",
            constraint=models.UniqueConstraint(fields=("name", "version"), name="policy_version_unique"),
        ),
        migrations.AddConstraint(
            model_name="straightthroughpolicy",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None), ("published_at__isnull", False)),
                fields=("name",),
                name="policy_has_one_version_in_force",
            ),
        ),
        migrations.AddConstraint(
            model_name="straightthroughpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("published_by", None),
                    models.Q(("published_by", models.F("drafted_by")), _negated=True),
                    _connector="OR",
                ),
                name="policy_published_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="straightthroughpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("most_minor", None),
                    models.Q(("currency__isnull", False), ("most_minor__gte", 0)),
                    _connector="OR",
                ),
                name="policy_limit_has_a_currency",
            ),
        ),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="deal",
            name="calendar",
            field=models.ForeignKey(
                db_index=False,
                help_text="Of the owner's business unit; its periods take the credit.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="quotas.fiscalcalendar",
            ),
        ),
        migrations.RunSQL(POLICIES, "DROP FUNCTION refuse_change_of_published_policy() CASCADE"),
    ]
