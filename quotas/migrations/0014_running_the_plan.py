import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0010_customer_commitments"),
        ("platform", "0005_job_progress"),
        ("quotas", "0013_import_steps"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerMark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("taken_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="team",
            name="cost_centre",
            field=models.CharField(
                blank=True,
                help_text="What its pay is charged to; empty is that of the team above.",
                max_length=40,
            ),
        ),
        migrations.AlterField(
            model_name="dealevent",
            name="action",
            field=models.CharField(
                choices=[
                    ("logged", "Logged"),
                    ("edited", "Edited"),
                    ("submitted", "Submitted"),
                    ("first_approved", "Approved by the first of two"),
                    ("approved", "Approved"),
                    ("rejected", "Rejected"),
                    ("returned", "Returned"),
                    ("cancelled", "Cancelled"),
                    ("held", "Held"),
                    ("released", "Released"),
                    ("amended", "Amended"),
                    ("amendment_approved", "Amendment approved"),
                    ("amendment_rejected", "Amendment rejected"),
                    ("partly_cancelled", "Partly cancelled"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="posting",
            name="kind",
            field=models.CharField(
                choices=[
                    ("load", "Load"),
                    ("approve", "Approve"),
                    ("amend", "Amend"),
                    ("cancel", "Cancel"),
                    ("hold", "Hold"),
                    ("release", "Release"),
                    ("usage", "Usage"),
                    ("recredit", "Recredit"),
                    ("adjust", "Adjust"),
                ],
                max_length=12,
            ),
        ),
        migrations.CreateModel(
            name="Dispute",
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
                            ("missing_credit", "Credit is missing"),
                            ("wrong_amount", "The amount is wrong"),
                            ("split", "The split is wrong"),
                            ("period", "It belongs to another period"),
                            ("owner", "It belongs to somebody else"),
                            ("quota", "The quota is wrong"),
                        ],
                        max_length=15,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("in_review", "In review"),
                            ("accepted", "Accepted"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                (
                    "entry_id",
                    models.BigIntegerField(
                        blank=True, help_text="The credit entry, if it is about one.", null=True
                    ),
                ),
                (
                    "claimed_minor",
                    models.BigIntegerField(
                        blank=True, help_text="What it ought to be, in minor units of the measure.", null=True
                    ),
                ),
                ("text", models.CharField(max_length=2000)),
                (
                    "evidence",
                    models.JSONField(
                        help_text="As it stood when the dispute was opened: deal version, shares, credits, reasons, quota, totals."
                    ),
                ),
                (
                    "evidence_digest",
                    models.CharField(help_text="SHA-256 of the evidence's canonical JSON.", max_length=64),
                ),
                ("opened_at", models.DateTimeField()),
                ("due_at", models.DateTimeField(help_text="When an answer is owed.")),
                ("taken_at", models.DateTimeField(blank=True, null=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                ("resolution", models.CharField(blank=True, max_length=2000)),
                ("revision", models.PositiveIntegerField(default=1)),
                (
                    "assigned_to",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "deal",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="quotas.deal",
                    ),
                ),
                (
                    "measure",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.measure",
                    ),
                ),
                (
                    "opened_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="quotas.period",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        help_text="Whose number it is about.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="quotas.rep",
                    ),
                ),
                (
                    "resolved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Adjustment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("asked", "Waits for a second person"),
                            ("posted", "Posted"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="asked",
                        max_length=9,
                    ),
                ),
                (
                    "amount_minor",
                    models.BigIntegerField(
                        help_text="Minor units of the measure; negative takes credit away."
                    ),
                ),
                (
                    "credit_date",
                    models.DateField(
                        help_text="A day in the fiscal calendar's time zone; picks team and origin period."
                    ),
                ),
                (
                    "reason_code",
                    models.CharField(
                        choices=[
                            ("missing_credit", "Credit was missing"),
                            ("wrong_amount", "The amount was wrong"),
                            ("wrong_split", "The split was wrong"),
                            ("wrong_period", "It belonged to another period"),
                            ("wrong_owner", "It belonged to somebody else"),
                            ("clawback", "Clawback"),
                            ("goodwill", "Goodwill"),
                            ("correction", "Correction of an adjustment"),
                            ("deal_cancelled", "Its deal was cancelled"),
                        ],
                        max_length=15,
                    ),
                ),
                ("note", models.CharField(max_length=1000)),
                ("asked_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_note", models.CharField(blank=True, max_length=1000)),
                (
                    "asked_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "deal",
                    models.ForeignKey(
                        blank=True,
                        help_text="What it is about. It goes with the deal: cancelling that undoes it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adjustments",
                        to="quotas.deal",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "measure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="quotas.measure"
                    ),
                ),
                (
                    "origin_period",
                    models.ForeignKey(
                        help_text="The month of the credit date; pinned.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adjustments",
                        to="quotas.period",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adjustments",
                        to="quotas.rep",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        help_text="The rep's on the credit date; pinned.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.team",
                    ),
                ),
                (
                    "undoes",
                    models.OneToOneField(
                        blank=True,
                        help_text="Negated exactly.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="undone_by",
                        to="quotas.adjustment",
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adjustments",
                        to="quotas.dispute",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DisputeMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("text", models.CharField(blank=True, max_length=2000)),
                (
                    "became",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("open", "Open"),
                            ("in_review", "In review"),
                            ("accepted", "Accepted"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        help_text="The state that it went into, if it did.",
                        max_length=10,
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="messages",
                        to="quotas.dispute",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Draw",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("amount_minor", models.BigIntegerField(help_text="A month; minor units of its currency.")),
                ("recoverable", models.BooleanField(default=True)),
                (
                    "effective",
                    django.contrib.postgres.fields.ranges.DateRangeField(
                        help_text="Months that begin in it."
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "currency",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.currency",
                    ),
                ),
                (
                    "recorded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="draws", to="quotas.rep"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AsOf",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("moment", models.DateTimeField(unique=True)),
                (
                    "mark",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="quotas.ledgermark"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="MarkedPosting",
            fields=[
                (
                    "posting",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="marked",
                        serialize=False,
                        to="quotas.posting",
                    ),
                ),
                (
                    "mark",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="postings",
                        to="quotas.ledgermark",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PayScale",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "by",
                    models.CharField(
                        choices=[
                            (
                                "attainment",
                                "Attainment: a rate is a part of the target incentive for each part of the quota",
                            ),
                            ("amount", "Credit: a rate is a part of the credited amount itself"),
                        ],
                        default="attainment",
                        max_length=10,
                    ),
                ),
                (
                    "window",
                    models.CharField(
                        choices=[("M", "Month"), ("Q", "Quarter"), ("H", "Half"), ("Y", "Year")],
                        default="Q",
                        help_text="Credit adds up from the start of this period; its quota counts, and its part of the year's target incentive.",
                        max_length=1,
                    ),
                ),
                (
                    "whole_amount",
                    models.BooleanField(
                        default=False,
                        help_text="The rate that is reached counts for the whole amount, not only for what lies above.",
                    ),
                ),
                (
                    "threshold",
                    models.BigIntegerField(
                        default=0,
                        help_text="Below it nothing is paid, from it on everything; parts per million of the quota, or minor units of the measure.",
                    ),
                ),
                (
                    "cap_minor",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Most that a window pays; minor units of the component's currency.",
                        null=True,
                    ),
                ),
                (
                    "component",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pay_scale",
                        to="quotas.plancomponent",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PeriodClose",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("asked", "Waits for a second person"),
                            ("closing", "Being closed"),
                            ("closed", "Closed"),
                            ("called_back", "Called back"),
                            ("reopened", "Reopened"),
                        ],
                        default="asked",
                        max_length=11,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=500)),
                ("asked_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ended_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the month was closed, or the request called back.",
                        null=True,
                    ),
                ),
                (
                    "checklist",
                    models.JSONField(
                        default=list, help_text="What was checked, as it stood when the close was approved."
                    ),
                ),
                (
                    "entries",
                    models.BigIntegerField(blank=True, help_text="Entries posted in the month.", null=True),
                ),
                (
                    "totals",
                    models.JSONField(
                        default=dict, help_text="By measure slug, minor units: direct, overlay and adjusted."
                    ),
                ),
                (
                    "frozen_digest",
                    models.CharField(
                        blank=True, help_text="SHA-256 of the frozen totals and quotas.", max_length=64
                    ),
                ),
                (
                    "statements_digest",
                    models.CharField(
                        blank=True, help_text="SHA-256 of the statements' digests, by rep.", max_length=64
                    ),
                ),
                (
                    "payments_digest",
                    models.CharField(
                        blank=True, help_text="SHA-256 of the close's earning entries.", max_length=64
                    ),
                ),
                ("reopen_asked_at", models.DateTimeField(blank=True, null=True)),
                ("reopen_reason", models.CharField(blank=True, max_length=500)),
                ("reopened_at", models.DateTimeField(blank=True, null=True)),
                (
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="platform.job",
                    ),
                ),
                (
                    "mark",
                    models.ForeignKey(
                        blank=True,
                        help_text="The postings that the close knows.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.ledgermark",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="closes", to="quotas.period"
                    ),
                ),
                (
                    "reopen_asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "reopened_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="EarningEntry",
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
                        choices=[("earned", "Earned"), ("draw", "Draw"), ("recovery", "Draw taken back")],
                        max_length=8,
                    ),
                ),
                (
                    "amount_minor",
                    models.BigIntegerField(help_text="Minor units of its currency; negative takes pay back."),
                ),
                ("cost_centre", models.CharField(blank=True, max_length=40)),
                (
                    "worked_out",
                    models.JSONField(
                        default=dict,
                        help_text="What it came from: credit of the window before and after, quota, target incentive, earned and paid before.",
                    ),
                ),
                (
                    "currency",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.currency",
                    ),
                ),
                (
                    "draw",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.draw",
                    ),
                ),
                (
                    "measure",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.measure",
                    ),
                ),
                (
                    "origin_period",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The month in which it was earned.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.period",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Empty for a draw.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.compplan",
                    ),
                ),
                (
                    "plan_version",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.planversion",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="earnings", to="quotas.rep"
                    ),
                ),
                (
                    "close",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="earnings",
                        to="quotas.periodclose",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ClosedTotal",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "close",
                        "period",
                        "measure",
                        "basis",
                        "team",
                        "rep",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "basis",
                    models.SmallIntegerField(
                        choices=[
                            (1, "As reported: by posting period"),
                            (2, "What restating by origin period adds to that"),
                        ]
                    ),
                ),
                ("direct_minor", models.BigIntegerField()),
                ("overlay_minor", models.BigIntegerField()),
                (
                    "measure",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="quotas.measure",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="quotas.period",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="quotas.rep",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="quotas.team",
                    ),
                ),
                (
                    "close",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="quotas.periodclose",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ClosedQuota",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("quota_minor", models.BigIntegerField()),
                (
                    "measure",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.measure",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.period",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.rep",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.team",
                    ),
                ),
                (
                    "close",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="quotas",
                        to="quotas.periodclose",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PlanAcceptance",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "document_digest",
                    models.CharField(help_text="SHA-256 of the document's text.", max_length=64),
                ),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "plan_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="acceptances",
                        to="quotas.planversion",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="plan_acceptances",
                        to="quotas.rep",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="QuotaRelief",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(choices=[("ramp", "Ramp"), ("leave", "Leave")], max_length=5)),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
                (
                    "factor_ppm",
                    models.PositiveIntegerField(
                        help_text="Parts per million of the quota that count on such a day."
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "recorded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="reliefs", to="quotas.rep"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RateTier",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "starts_at",
                    models.BigIntegerField(
                        help_text="Parts per million of the quota, or minor units of the measure; the first is 0."
                    ),
                ),
                ("rate_ppm", models.PositiveIntegerField(help_text="Parts per million.")),
                (
                    "scale",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tiers",
                        to="quotas.payscale",
                    ),
                ),
            ],
            options={
                "ordering": ["starts_at"],
            },
        ),
        migrations.CreateModel(
            name="Seal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField(help_text="From 1, without gaps.", unique=True)),
                ("made_at", models.DateTimeField()),
                ("entries", models.BigIntegerField(help_text="How many entries it adds to the chain.")),
                (
                    "content",
                    models.JSONField(
                        help_text="What is hashed: the digest before, the chain over the entries, the close's own digests."
                    ),
                ),
                (
                    "digest",
                    models.CharField(help_text="HMAC-SHA-256, hexadecimal.", max_length=64, unique=True),
                ),
                (
                    "key_name",
                    models.CharField(
                        help_text="Which key: the first digits of its own hash, never the key.", max_length=16
                    ),
                ),
                (
                    "close",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty for the nightly one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="seals",
                        to="quotas.periodclose",
                    ),
                ),
                (
                    "mark",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="seals",
                        to="quotas.ledgermark",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SealBlock",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                (
                    "entries",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), help_text="Ids.", size=None
                    ),
                ),
                ("tags", models.BinaryField(help_text="Eight bytes an entry, in the same order.")),
                (
                    "chain",
                    models.CharField(
                        help_text="Keyed hash over the block before and these entries, hexadecimal.",
                        max_length=64,
                    ),
                ),
                (
                    "seal",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="blocks",
                        to="quotas.seal",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Statement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("entries", models.PositiveIntegerField()),
                (
                    "digest",
                    models.CharField(
                        help_text="SHA-256 over the entries, frozen totals and quotas and earnings of the rep.",
                        max_length=64,
                    ),
                ),
                ("issued_at", models.DateTimeField()),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "close",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statements",
                        to="quotas.periodclose",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statements",
                        to="quotas.rep",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ApprovalLimit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "amount_minor",
                    models.BigIntegerField(
                        help_text="Minor units of its currency; the deal's whole amount is converted."
                    ),
                ),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "currency",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.currency",
                    ),
                ),
                (
                    "recorded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount_minor__gt", 0)), name="approval_limit_is_positive"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DealApproval",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ordinal", models.PositiveSmallIntegerField(help_text="1, or 2 for the second approver.")),
                ("at", models.DateTimeField()),
                (
                    "submitted_at",
                    models.DateTimeField(
                        help_text="Of the submission or amendment that it is about: what is returned and submitted again begins anew."
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "deal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="quotas.deal",
                    ),
                ),
                (
                    "on_behalf_of",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Who had delegated to them.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="quotas.dealversion",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("version", "submitted_at", "ordinal"),
                        name="deal_approved_once_by_each_of_two",
                    ),
                    models.UniqueConstraint(
                        fields=("version", "submitted_at", "by"), name="deal_approved_by_two_people"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Delegation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
                ("reason", models.CharField(max_length=500)),
                ("recorded_at", models.DateTimeField()),
                (
                    "superseded_at",
                    models.DateTimeField(blank=True, help_text="When it was ended early.", null=True),
                ),
                (
                    "of",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="delegations",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "recorded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "to",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="delegated",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("of", models.F("to")), _negated=True),
                        name="delegated_to_somebody_else",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Discrepancy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("shown_minor", models.BigIntegerField(help_text="Restated credit before the posting.")),
                ("now_minor", models.BigIntegerField(help_text="Restated credit after it.")),
                ("made_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(blank=True, null=True)),
                (
                    "measure",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="quotas.measure",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The month whose credit, restated, moved.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="discrepancies",
                        to="quotas.period",
                    ),
                ),
                (
                    "posting",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="discrepancies",
                        to="quotas.posting",
                    ),
                ),
                (
                    "rep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="discrepancies",
                        to="quotas.rep",
                    ),
                ),
                (
                    "seen_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("seen_at", None)), fields=["rep"], name="discrepancy_not_seen"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("posting", "rep", "measure", "period"), name="discrepancy_told_once"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="dispute",
            index=models.Index(fields=["rep", "-id"], name="dispute_by_rep"),
        ),
        migrations.AddIndex(
            model_name="dispute",
            index=models.Index(fields=["state", "due_at"], name="dispute_by_state"),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("resolved_at", None), ("state__in", ["open", "in_review"])),
                    models.Q(
                        ("resolved_at__isnull", False),
                        models.Q(("state__in", ["open", "in_review"]), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="dispute_resolved_at_some_time",
            ),
        ),
        migrations.AddIndex(
            model_name="adjustment",
            index=models.Index(fields=["rep", "-id"], name="adjustment_by_rep"),
        ),
        migrations.AddIndex(
            model_name="adjustment",
            index=models.Index(
                condition=models.Q(("state", "asked")), fields=["state"], name="adjustment_that_waits"
            ),
        ),
        migrations.AddConstraint(
            model_name="adjustment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor", 0), _negated=True), name="adjustment_not_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="adjustment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_minor__gte", -9000000000000), ("amount_minor__lte", 9000000000000)
                ),
                name="adjustment_within_bounds",
            ),
        ),
        migrations.AddConstraint(
            model_name="adjustment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "posted"), _negated=True),
                    models.Q(("decided_by", models.F("asked_by")), _negated=True),
                    models.Q(("reason_code", "deal_cancelled"), ("undoes__isnull", False)),
                    _connector="OR",
                ),
                name="adjustment_approved_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="adjustment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "posted"), _negated=True),
                    models.Q(("decided_at__isnull", False), ("decided_by__isnull", False)),
                    _connector="OR",
                ),
                name="adjustment_posted_by_somebody_at_some_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor__gt", 0)), name="draw_is_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="payscale",
            constraint=models.CheckConstraint(
                condition=models.Q(("threshold__gte", 0)), name="pay_threshold_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="payscale",
            constraint=models.CheckConstraint(
                condition=models.Q(("cap_minor", None), ("cap_minor__gte", 0), _connector="OR"),
                name="pay_cap_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="periodclose",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "called_back"), _negated=True),
                fields=("period", "version"),
                name="close_version_unique_in_its_month",
            ),
        ),
        migrations.AddConstraint(
            model_name="periodclose",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["asked", "closing", "closed"])),
                fields=("period",),
                name="month_closed_once_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="periodclose",
            constraint=models.CheckConstraint(
                condition=models.Q(("approved_by", models.F("asked_by")), _negated=True),
                name="close_approved_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="periodclose",
            constraint=models.CheckConstraint(
                condition=models.Q(("reopened_by", models.F("reopen_asked_by")), _negated=True),
                name="reopened_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="periodclose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["closing", "closed", "reopened"]), _negated=True),
                    ("approved_by__isnull", False),
                    _connector="OR",
                ),
                name="close_was_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="periodclose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "reopened"), _negated=True),
                    models.Q(
                        ("reopen_asked_by__isnull", False),
                        ("reopened_by__isnull", False),
                        models.Q(("reopen_reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="reopened_by_two_people_with_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="earningentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor", 0), _negated=True), name="earning_not_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="earningentry",
            constraint=models.UniqueConstraint(
                fields=("close", "rep", "kind", "plan", "measure", "origin_period", "currency"),
                name="earning_once_in_a_close",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="closedquota",
            constraint=models.UniqueConstraint(
                fields=("close", "period", "measure", "rep", "team"),
                name="closed_quota_frozen_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="planacceptance",
            constraint=models.UniqueConstraint(
                fields=("plan_version", "rep"), name="plan_accepted_once_by_a_rep"
            ),
        ),
        migrations.AddIndex(
            model_name="quotarelief",
            index=models.Index(
                condition=models.Q(("superseded_at", None)), fields=["rep"], name="relief_in_force_by_rep"
            ),
        ),
        migrations.AddConstraint(
            model_name="quotarelief",
            constraint=models.CheckConstraint(
                condition=models.Q(("factor_ppm__lt", 1000000)), name="relief_lessens_a_quota"
            ),
        ),
        migrations.AddConstraint(
            model_name="ratetier",
            constraint=models.UniqueConstraint(fields=("scale", "starts_at"), name="rate_tier_starts_once"),
        ),
        migrations.AddConstraint(
            model_name="ratetier",
            constraint=models.CheckConstraint(
                condition=models.Q(("starts_at__gte", 0)), name="rate_tier_starts_at_nothing_or_more"
            ),
        ),
        migrations.AddConstraint(
            model_name="ratetier",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate_ppm__lte", 100000000)), name="rate_tier_at_most_a_hundred"
            ),
        ),
        migrations.AddConstraint(
            model_name="sealblock",
            constraint=models.UniqueConstraint(
                fields=("seal", "position"), name="seal_block_position_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.UniqueConstraint(fields=("close", "rep"), name="statement_once_in_a_close"),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("acknowledged_at", None), ("acknowledged_by", None)),
                    models.Q(("acknowledged_at__isnull", False), ("acknowledged_by__isnull", False)),
                    _connector="OR",
                ),
                name="statement_acknowledged_by_somebody_at_some_time",
            ),
        ),
    ]
