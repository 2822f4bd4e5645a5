import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0011_commitments_apart"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SuiteCase",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveSmallIntegerField()),
                ("prompt", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="Answer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("harness", models.CharField(max_length=80)),
                ("text", models.TextField()),
                ("produced_on", models.DateField()),
                ("synthetic", models.BooleanField(default=False)),
                (
                    "model_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="answers",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="answers",
                        to="marketplace.suitecase",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Company",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.SlugField(max_length=60, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("about", models.CharField(blank=True, max_length=300)),
                (
                    "is_operator",
                    models.BooleanField(default=False, help_text="We ourselves; one company at most."),
                ),
                (
                    "publisher",
                    models.OneToOneField(
                        blank=True,
                        help_text="What it sells here.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="company",
                        to="marketplace.publisher",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Hosting",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
                ("source", models.CharField(max_length=200)),
                ("assumed", models.BooleanField(default=False)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="hosts",
                        to="marketplace.company",
                    ),
                ),
                (
                    "model_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="hostings",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "recorded_by",
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
            name="Product",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.SlugField(max_length=60, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("about", models.CharField(blank=True, max_length=300)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "offering",
                    models.ForeignKey(
                        blank=True,
                        help_text="As what it is sold.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="products",
                        to="marketplace.offering",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Feature",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.SlugField(max_length=80, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("about", models.CharField(blank=True, max_length=300)),
                (
                    "min_context",
                    models.PositiveIntegerField(
                        blank=True, help_text="Tokens; empty asks nothing.", null=True
                    ),
                ),
                (
                    "modalities_in",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20), blank=True, default=list, size=None
                    ),
                ),
                (
                    "modalities_out",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20), blank=True, default=list, size=None
                    ),
                ),
                (
                    "zone",
                    models.CharField(
                        blank=True,
                        help_text="Where data has to be processed: eu, us ...; empty is anywhere.",
                        max_length=10,
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "task_area",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="features",
                        to="marketplace.taskarea",
                    ),
                ),
                (
                    "product",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="features",
                        to="marketplace.product",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Relationship",
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
                            ("spend", "Spend"),
                            ("compute_commitment", "Compute commitment"),
                            ("equity", "Equity"),
                            ("infrastructure", "Infrastructure"),
                            ("dependence", "Dependence"),
                            ("competition", "Competition"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "amount_minor",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Minor units of its currency; empty is unknown, never zero.",
                        null=True,
                    ),
                ),
                (
                    "bound",
                    models.CharField(
                        choices=[
                            ("exact", "Exactly"),
                            ("about", "About"),
                            ("at most", "At most"),
                            ("at least", "At least"),
                            ("unknown", "Unknown"),
                        ],
                        default="unknown",
                        max_length=8,
                    ),
                ),
                (
                    "per",
                    models.CharField(
                        blank=True,
                        choices=[("year", "a year"), ("month", "a month")],
                        help_text="Empty: once.",
                        max_length=5,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("reported", "Reported"),
                            ("planned", "Planned"),
                            ("announced", "Announced"),
                            ("signed", "Signed"),
                            ("in force", "In force"),
                            ("ended", "Ended"),
                        ],
                        help_text="Empty is not stated.",
                        max_length=10,
                    ),
                ),
                ("starts_on", models.DateField(blank=True, help_text="Empty is not stated.", null=True)),
                (
                    "ends_on",
                    models.DateField(
                        blank=True, help_text="First day after it; empty is not stated.", null=True
                    ),
                ),
                (
                    "stake_ppm",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Of equity: the part held. Of dependence: the part that depends. Empty is unknown.",
                        null=True,
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="The source's qualifier: on track, up to ...", max_length=300
                    ),
                ),
                ("source", models.CharField(help_text="Where it is known from.", max_length=200)),
                ("synthetic", models.BooleanField(default=False, help_text="Made up for the demo.")),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "currency",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.currency",
                    ),
                ),
                (
                    "fact",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="relationships",
                        to="marketplace.publicfact",
                    ),
                ),
                (
                    "payee",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="receives",
                        to="marketplace.company",
                    ),
                ),
                (
                    "payer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="gives",
                        to="marketplace.company",
                    ),
                ),
                (
                    "recorded_by",
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
            name="CommitmentDraw",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.DateField(help_text="Its first day.")),
                (
                    "amount_minor",
                    models.BigIntegerField(help_text="Minor units of the commitment's currency."),
                ),
                ("source", models.CharField(max_length=200)),
                ("synthetic", models.BooleanField(default=False)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "recorded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "relationship",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="draws",
                        to="marketplace.relationship",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RiskEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("dated", models.DateField(blank=True, help_text="Empty is not stated.", null=True)),
                (
                    "severity",
                    models.CharField(
                        choices=[("low", "Low"), ("medium", "Medium"), ("high", "High")], max_length=6
                    ),
                ),
                ("title", models.CharField(max_length=160)),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("source", models.CharField(max_length=200)),
                ("synthetic", models.BooleanField(default=False)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "company",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="risk_events",
                        to="marketplace.company",
                    ),
                ),
                (
                    "fact",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="risk_events",
                        to="marketplace.publicfact",
                    ),
                ),
                (
                    "recorded_by",
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
            name="Scenario",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                ("note", models.CharField(blank=True, max_length=500)),
                ("starts_on", models.DateField(help_text="First day on which its moves hold.")),
                (
                    "months",
                    models.PositiveSmallIntegerField(
                        default=12, help_text="How far it is looked ahead; 60 at most."
                    ),
                ),
                ("shared", models.BooleanField(default=False, help_text="Every reader of sourcing sees it.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("asked", "Waits for a second person"),
                            ("promoted", "Promoted"),
                            ("declined", "Declined"),
                        ],
                        default="draft",
                        max_length=8,
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=1)),
                ("made_at", models.DateTimeField()),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_note", models.CharField(blank=True, max_length=300)),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ScenarioMove",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("share", "Move a share"),
                            ("price", "Change a price"),
                            ("end_supplier", "End a supplier"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "share_ppm",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Parts per million of the source's own share that go over.",
                        null=True,
                    ),
                ),
                (
                    "change_ppm",
                    models.IntegerField(
                        blank=True, help_text="Of a price: -100000 is ten per cent cheaper.", null=True
                    ),
                ),
                (
                    "feature",
                    models.ForeignKey(
                        blank=True,
                        help_text="Of a share; empty is every feature.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.feature",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.plan",
                    ),
                ),
                (
                    "scenario",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="moves",
                        to="marketplace.scenario",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "supplier",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.company",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.modelversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SpendPlan",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "effective",
                    django.contrib.postgres.fields.ranges.DateRangeField(help_text="Bounded on both sides."),
                ),
                (
                    "amount_minor",
                    models.BigIntegerField(help_text="For the whole span, minor units of its currency."),
                ),
                (
                    "bound",
                    models.CharField(
                        choices=[
                            ("exact", "Exactly"),
                            ("about", "About"),
                            ("at most", "At most"),
                            ("at least", "At least"),
                            ("unknown", "Unknown"),
                        ],
                        default="exact",
                        max_length=8,
                    ),
                ),
                ("source", models.CharField(max_length=200)),
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
                    "fact",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.publicfact",
                    ),
                ),
                (
                    "recorded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "supplier",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="spend_plans",
                        to="marketplace.company",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SuiteRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("metric", models.CharField(max_length=60)),
                ("higher_is_better", models.BooleanField(default=True)),
                ("harness", models.CharField(max_length=80)),
                ("sample_size", models.PositiveIntegerField(help_text="Cases, or votes.")),
                ("score", models.DecimalField(decimal_places=4, max_digits=14)),
                ("interval_low", models.DecimalField(decimal_places=4, max_digits=14)),
                (
                    "interval_high",
                    models.DecimalField(decimal_places=4, help_text="95 % confidence.", max_digits=14),
                ),
                ("cost_usd", models.DecimalField(blank=True, decimal_places=4, max_digits=12, null=True)),
                ("latency_s", models.DecimalField(blank=True, decimal_places=2, max_digits=10, null=True)),
                ("evaluator", models.CharField(max_length=120)),
                ("dated", models.DateField()),
                ("synthetic", models.BooleanField(default=False)),
                ("recorded_at", models.DateTimeField()),
                (
                    "model_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="suite_runs",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "recorded_by",
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
            name="Substitution",
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
                            ("proposed", "Proposed"),
                            ("qualified", "Qualified"),
                            ("rejected", "Rejected"),
                        ],
                        default="proposed",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(max_length=300)),
                ("synthetic", models.BooleanField(default=False)),
                ("proposed_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_note", models.CharField(blank=True, max_length=300)),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "alternative",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="substitutes_for",
                        to="marketplace.modelversion",
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
                    "evaluation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.evaluation",
                    ),
                ),
                (
                    "feature",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="substitutions",
                        to="marketplace.feature",
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "replaced",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="substituted_by",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.suiterun",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Binding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("default", "Default"),
                            ("selectable", "Selectable"),
                            ("fallback", "Fallback"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "share_ppm",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Parts per million of the feature's traffic; empty is not stated.",
                        null=True,
                    ),
                ),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
                ("reason", models.CharField(max_length=300)),
                ("source", models.CharField(blank=True, max_length=200)),
                (
                    "assumed",
                    models.BooleanField(default=False, help_text="Version, share or date is not public."),
                ),
                ("made_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "evaluation",
                    models.ForeignKey(
                        blank=True,
                        help_text="What justifies it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.evaluation",
                    ),
                ),
                (
                    "fact",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.publicfact",
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "model_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        blank=True,
                        help_text="As what it is bought; empty: the first plan by tokens that has a price.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.plan",
                    ),
                ),
                (
                    "feature",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.feature",
                    ),
                ),
                (
                    "scenario",
                    models.ForeignKey(
                        blank=True,
                        help_text="That was promoted.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.scenario",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        help_text="What justifies it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bindings",
                        to="marketplace.suiterun",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SupplierAgreement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
                (
                    "access",
                    models.CharField(
                        blank=True, help_text="To which models, since when, in which order.", max_length=300
                    ),
                ),
                ("pricing", models.CharField(blank=True, max_length=300)),
                (
                    "discount_ppm",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Off the list prices of the supplier's plans, while the agreement is in effect.",
                    ),
                ),
                ("exclusivity", models.CharField(blank=True, max_length=300)),
                ("roadmap_asks", models.CharField(blank=True, max_length=500)),
                (
                    "renews_on",
                    models.DateField(
                        blank=True, help_text="Day on which it renews; empty is unknown.", null=True
                    ),
                ),
                ("renews_by_itself", models.BooleanField(blank=True, null=True)),
                (
                    "notice_days",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="Days before the renewal.", null=True
                    ),
                ),
                ("source", models.CharField(max_length=200)),
                ("synthetic", models.BooleanField(default=False)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "recorded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "supplier",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="agreements",
                        to="marketplace.company",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TaskSuite",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.SlugField(max_length=60)),
                ("version", models.CharField(default="1", max_length=20)),
                ("name", models.CharField(max_length=120)),
                ("about", models.CharField(blank=True, max_length=300)),
                ("criteria", models.CharField(help_text="What a voter looks at.", max_length=300)),
                ("synthetic", models.BooleanField(default=False, help_text="Made up for the demo.")),
                (
                    "task_area",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="suites",
                        to="marketplace.taskarea",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="suiterun",
            name="suite",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="marketplace.tasksuite"
            ),
        ),
        migrations.AddField(
            model_name="suitecase",
            name="suite",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="cases", to="marketplace.tasksuite"
            ),
        ),
        migrations.CreateModel(
            name="TermAssumption",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("starts_on", models.DateField()),
                ("ends_on", models.DateField(help_text="First day after it.")),
                ("reason", models.CharField(max_length=300)),
                ("stated_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "relationship",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="assumptions",
                        to="marketplace.relationship",
                    ),
                ),
                (
                    "stated_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="UsageImport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("file_name", models.CharField(max_length=200)),
                ("digest", models.CharField(help_text="SHA-256 of the file.", max_length=64)),
                ("counts", models.JSONField(default=dict, help_text="Rows by what became of them.")),
                (
                    "errors",
                    models.JSONField(
                        default=list, help_text="Row number, code and message of what was refused."
                    ),
                ),
                ("imported_at", models.DateTimeField()),
                (
                    "imported_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="FeatureUsage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.DateField(help_text="Its first day.")),
                ("input_tokens", models.BigIntegerField(help_text="Cached ones included.")),
                ("cached_tokens", models.BigIntegerField(default=0, help_text="Part of the input.")),
                ("output_tokens", models.BigIntegerField()),
                ("requests", models.BigIntegerField(blank=True, null=True)),
                ("source", models.CharField(max_length=200)),
                ("synthetic", models.BooleanField(default=False)),
                ("recorded_at", models.DateTimeField()),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "feature",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage",
                        to="marketplace.feature",
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        blank=True,
                        help_text="Where it ran; empty is unknown.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketplace.company",
                    ),
                ),
                (
                    "model_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage",
                        to="marketplace.modelversion",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        blank=True,
                        help_text="As what it was bought; empty: nothing sells it, and it has no price.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage",
                        to="marketplace.plan",
                    ),
                ),
                (
                    "recorded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "brought_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rows",
                        to="marketplace.usageimport",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="VotingRound",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("harness", models.CharField(max_length=80)),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "synthetic",
                    models.BooleanField(default=False, help_text="Its votes are made up for the demo."),
                ),
                (
                    "closed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                    "suite",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rounds",
                        to="marketplace.tasksuite",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="suiterun",
            name="round",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="runs",
                to="marketplace.votinground",
            ),
        ),
        migrations.CreateModel(
            name="PairVote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "choice",
                    models.CharField(
                        choices=[
                            ("first", "The first"),
                            ("second", "The second"),
                            ("tie", "Equally good"),
                            ("neither", "Neither is good enough"),
                        ],
                        max_length=7,
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "first",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="marketplace.answer"
                    ),
                ),
                (
                    "second",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="marketplace.answer"
                    ),
                ),
                (
                    "shown_left",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="marketplace.answer"
                    ),
                ),
                (
                    "voter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "round",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="votes",
                        to="marketplace.votinground",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="company",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_operator", True)),
                fields=("is_operator",),
                name="one_company_is_the_operator",
            ),
        ),
        migrations.AddConstraint(
            model_name="relationship",
            constraint=models.CheckConstraint(
                condition=models.Q(("payer", models.F("payee")), _negated=True),
                name="relationship_has_two_companies",
            ),
        ),
        migrations.AddConstraint(
            model_name="relationship",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount_minor", None), ("bound", "unknown")),
                    models.Q(("amount_minor__gte", 0), models.Q(("bound", "unknown"), _negated=True)),
                    _connector="OR",
                ),
                name="relationship_bound_goes_with_its_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="relationship",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor", None), ("currency__isnull", False), _connector="OR"),
                name="relationship_amount_has_a_currency",
            ),
        ),
        migrations.AddConstraint(
            model_name="relationship",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("starts_on", None),
                    ("ends_on", None),
                    ("starts_on__lt", models.F("ends_on")),
                    _connector="OR",
                ),
                name="relationship_starts_before_it_ends",
            ),
        ),
        migrations.AddConstraint(
            model_name="relationship",
            constraint=models.CheckConstraint(
                condition=models.Q(("stake_ppm", None), ("stake_ppm__lte", 1000000), _connector="OR"),
                name="relationship_stake_at_most_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentdraw",
            constraint=models.UniqueConstraint(
                condition=models.Q(("superseded_at", None)),
                fields=("relationship", "month"),
                name="one_draw_a_month",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(("month__day", 1)), name="draw_is_of_a_month"
            ),
        ),
        migrations.AddConstraint(
            model_name="scenario",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("decided_by", None),
                    models.Q(("decided_by", models.F("asked_by")), _negated=True),
                    _connector="OR",
                ),
                name="scenario_decided_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="scenario",
            constraint=models.CheckConstraint(
                condition=models.Q(("months__gte", 1), ("months__lte", 60)), name="scenario_looks_ahead"
            ),
        ),
        migrations.AddConstraint(
            model_name="scenariomove",
            constraint=models.UniqueConstraint(fields=("scenario", "position"), name="move_position_unique"),
        ),
        migrations.AddConstraint(
            model_name="scenariomove",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind", "share"),
                        ("share_ppm__gt", 0),
                        ("source__isnull", False),
                        ("target__isnull", False),
                        ("share_ppm__lte", 1000000),
                        models.Q(("source", models.F("target")), _negated=True),
                    ),
                    models.Q(("change_ppm__gte", -1000000), ("kind", "price"), ("plan__isnull", False)),
                    models.Q(("kind", "end_supplier"), ("supplier__isnull", False)),
                    _connector="OR",
                ),
                name="move_says_what_moves",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendplan",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor__gt", 0)), name="spend_plan_is_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="answer",
            constraint=models.UniqueConstraint(
                fields=("case", "model_version", "harness"), name="one_answer_a_case_version_and_harness"
            ),
        ),
        migrations.AddConstraint(
            model_name="substitution",
            constraint=models.CheckConstraint(
                condition=models.Q(("replaced", models.F("alternative")), _negated=True),
                name="substitution_is_by_another_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="substitution",
            constraint=models.UniqueConstraint(
                condition=models.Q(("superseded_at", None)),
                fields=("feature", "replaced", "alternative"),
                name="substitution_stated_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="substitution",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("state", "proposed")),
                    models.Q(models.Q(("state", "proposed"), _negated=True), ("decided_at__isnull", False)),
                    _connector="OR",
                ),
                name="substitution_decided_at_some_time",
            ),
        ),
        migrations.AddIndex(
            model_name="binding",
            index=models.Index(
                condition=models.Q(("superseded_at", None)),
                fields=["model_version"],
                name="binding_in_force_by_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="binding",
            constraint=models.CheckConstraint(
                condition=models.Q(("share_ppm", None), ("share_ppm__lte", 1000000), _connector="OR"),
                name="binding_share_at_most_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="binding",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("role", "fallback"), _negated=True), ("share_ppm", 0), _connector="OR"
                ),
                name="fallback_has_no_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="supplieragreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("discount_ppm__lte", 1000000)), name="discount_at_most_one"
            ),
        ),
        migrations.AddConstraint(
            model_name="tasksuite",
            constraint=models.UniqueConstraint(fields=("slug", "version"), name="suite_version_unique"),
        ),
        migrations.AddConstraint(
            model_name="suitecase",
            constraint=models.UniqueConstraint(fields=("suite", "number"), name="case_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="termassumption",
            constraint=models.CheckConstraint(
                condition=models.Q(("starts_on__lt", models.F("ends_on"))),
                name="assumed_term_starts_before_it_ends",
            ),
        ),
        migrations.AddConstraint(
            model_name="termassumption",
            constraint=models.UniqueConstraint(
                condition=models.Q(("superseded_at", None)),
                fields=("relationship",),
                name="one_assumed_term_at_a_time",
            ),
        ),
        migrations.AddIndex(
            model_name="featureusage",
            index=models.Index(
                condition=models.Q(("superseded_at", None)), fields=["month"], name="usage_in_force_by_month"
            ),
        ),
        migrations.AddConstraint(
            model_name="featureusage",
            constraint=models.UniqueConstraint(
                condition=models.Q(("superseded_at", None)),
                fields=("feature", "model_version", "plan", "host", "month"),
                name="usage_stated_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="featureusage",
            constraint=models.CheckConstraint(
                condition=models.Q(("month__day", 1)), name="usage_is_of_a_month"
            ),
        ),
        migrations.AddConstraint(
            model_name="featureusage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cached_tokens__gte", 0),
                    ("input_tokens__gte", 0),
                    ("output_tokens__gte", 0),
                    ("cached_tokens__lte", models.F("input_tokens")),
                ),
                name="usage_makes_sense",
            ),
        ),
        migrations.AddConstraint(
            model_name="votinground",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)), fields=("suite",), name="one_open_round_of_a_suite"
            ),
        ),
        migrations.AddConstraint(
            model_name="suiterun",
            constraint=models.UniqueConstraint(
                fields=("suite", "model_version", "metric", "harness", "dated"), name="run_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="suiterun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("interval_high__gte", models.F("score")), ("interval_low__lte", models.F("score"))
                ),
                name="run_score_lies_in_its_interval",
            ),
        ),
        migrations.AddConstraint(
            model_name="suiterun",
            constraint=models.CheckConstraint(
                condition=models.Q(("sample_size__gt", 0)), name="run_has_a_sample"
            ),
        ),
        migrations.AddConstraint(
            model_name="pairvote",
            constraint=models.UniqueConstraint(
                fields=("round", "voter", "first", "second"), name="one_vote_a_person_and_pair"
            ),
        ),
        migrations.AddConstraint(
            model_name="pairvote",
            constraint=models.CheckConstraint(
                condition=models.Q(("first__lt", models.F("second"))), name="pair_is_in_order"
            ),
        ),
        migrations.AddConstraint(
            model_name="pairvote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("shown_left", models.F("first")), ("shown_left", models.F("second")), _connector="OR"
                ),
                name="left_is_one_of_the_pair",
            ),
        ),
    ]
