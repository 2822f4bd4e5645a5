import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0003_audited"),
        ("platform", "0004_jobs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Alias",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "used_by",
                    models.SlugField(
                        blank=True,
                        help_text="The source that uses the name, such as litellm; empty where people do.",
                        max_length=40,
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("effective", django.contrib.postgres.fields.ranges.DateRangeField()),
            ],
        ),
        migrations.CreateModel(
            name="CatalogChange",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                (
                    "key",
                    models.CharField(
                        help_text="Names the change; told twice, it is written once.", max_length=120
                    ),
                ),
                (
                    "kind",
                    models.CharField(help_text="offering, price, eligibility or lifecycle.", max_length=20),
                ),
                ("what", models.CharField(max_length=300)),
                ("commercial_path", models.CharField(blank=True, max_length=20)),
                ("program", models.CharField(blank=True, max_length=10)),
                ("first_day", models.DateField(help_text="From this day on.")),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="CatalogImport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("genai-prices", "genai-prices package"),
                            ("litellm", "LiteLLM price file"),
                            ("models-dev", "models.dev"),
                            ("evaluations", "Benchmark table (CSV)"),
                            ("aider", "Aider leaderboard (YAML)"),
                        ],
                        max_length=20,
                    ),
                ),
                ("file_name", models.CharField(blank=True, max_length=200)),
                (
                    "digest",
                    models.CharField(help_text="SHA-256 of what was read, hexadecimal.", max_length=64),
                ),
                (
                    "content",
                    models.BinaryField(
                        help_text="What was uploaded, compressed, until it is staged; a package needs none.",
                        null=True,
                    ),
                ),
                ("stated_on", models.DateField(help_text="The day for which the source is taken to speak.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("reading", "Reading"),
                            ("staged", "Staged"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("problem", models.CharField(blank=True, max_length=500)),
                ("rows", models.PositiveIntegerField(default=0)),
                ("counts", models.JSONField(default=dict, help_text="Outcome to number of rows.")),
                ("requested_at", models.DateTimeField()),
                ("staged_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ChangeItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                (
                    "operation",
                    models.CharField(
                        choices=[
                            ("model.update", "Change facts of a model version"),
                            ("offering.create", "New offering"),
                            ("offering.update", "Change an offering"),
                            ("offering.publish", "Publish an offering"),
                            ("offering.stop", "Take an offering off sale"),
                            ("offering.retire", "Retire an offering"),
                            ("plan.create", "New plan"),
                            ("plan.update", "Change a plan"),
                            ("price.add", "New price"),
                            ("price.correct", "Correct a price"),
                            ("alias.add", "New alias"),
                            ("evaluation.add", "New evaluation result"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "entity",
                    models.CharField(
                        help_text="What it holds while it is open: offering:SLUG or model:SLUG.",
                        max_length=120,
                    ),
                ),
                ("body", models.JSONField()),
                (
                    "expected_revision",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Of the offering when the change was written; it must still be that.",
                        null=True,
                    ),
                ),
                ("before", models.JSONField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ChangeSet",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("note", models.CharField(blank=True, max_length=1000)),
                (
                    "channel",
                    models.CharField(
                        choices=[
                            ("browser", "Browser"),
                            ("api", "REST API"),
                            ("spreadsheet", "Spreadsheet"),
                            ("import", "Import"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        blank=True, help_text="Where the figures come from, for an import.", max_length=200
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("submitted", "Submitted"),
                            ("in_review", "In review"),
                            ("changes_requested", "Changes requested"),
                            ("scheduled", "Scheduled"),
                            ("applied", "Applied"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="draft",
                        max_length=20,
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=1)),
                ("made_at", models.DateTimeField()),
                ("submitted_at", models.DateTimeField(blank=True, null=True)),
                ("reviewed_at", models.DateTimeField(blank=True, null=True)),
                ("review_note", models.CharField(blank=True, max_length=1000)),
                (
                    "apply_on",
                    models.DateField(
                        blank=True,
                        help_text="Day on which it is applied; empty: as soon as it is approved.",
                        null=True,
                    ),
                ),
                ("applied_at", models.DateTimeField(blank=True, null=True)),
                (
                    "problem",
                    models.CharField(
                        blank=True,
                        help_text="Why a scheduled set could not be applied when its day came.",
                        max_length=1000,
                    ),
                ),
            ],
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
                (
                    "field",
                    models.CharField(
                        help_text="Such as price:input-tokens or context_window.", max_length=80
                    ),
                ),
                ("ours", models.CharField(max_length=200)),
                ("ours_from", models.CharField(max_length=200)),
                ("theirs", models.CharField(max_length=200)),
                ("theirs_from", models.CharField(max_length=200)),
                (
                    "difference_ppm",
                    models.BigIntegerField(
                        help_text="Theirs against ours in parts per million, where both are numbers.",
                        null=True,
                    ),
                ),
                (
                    "items",
                    models.JSONField(default=list, help_text="Change set items that would take theirs."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("kept", "Ours was kept"), ("taken", "Theirs was taken")],
                        default="open",
                        max_length=6,
                    ),
                ),
                ("found_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name="Finding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "pointer",
                    models.CharField(
                        blank=True, help_text="JSON pointer, such as /items/0/body/name.", max_length=200
                    ),
                ),
                ("code", models.CharField(max_length=60)),
                ("message", models.CharField(max_length=500)),
                (
                    "severity",
                    models.CharField(
                        choices=[("error", "Error"), ("warning", "Warning"), ("note", "Note")], max_length=8
                    ),
                ),
                ("at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("entity", models.CharField(max_length=120, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="LifecycleMove",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "stage",
                    models.CharField(
                        choices=[
                            ("announced", "Announced"),
                            ("preview", "Preview"),
                            ("generally_available", "Generally available"),
                            ("legacy", "Legacy"),
                            ("deprecated", "Deprecated"),
                            ("retired", "Retired"),
                        ],
                        max_length=20,
                    ),
                ),
                ("day", models.DateField(help_text="First day of the stage.")),
                ("carried_out_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="OfferingRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("wanted", models.CharField(max_length=200)),
                ("why", models.CharField(blank=True, max_length=500)),
                (
                    "searched",
                    models.CharField(
                        blank=True, help_text="The query string that found nothing.", max_length=500
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("answered", "Answered"), ("declined", "Declined")],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("made_at", models.DateTimeField()),
                ("answer", models.CharField(blank=True, max_length=500)),
                ("answered_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="PrivateOffer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "effective",
                    django.contrib.postgres.fields.ranges.DateRangeField(
                        help_text="Days on which its price holds once accepted."
                    ),
                ),
                ("open_until", models.DateField(help_text="Last day on which it can be accepted.")),
                ("note", models.CharField(blank=True, max_length=500)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("sent", "Sent"),
                            ("accepted", "Accepted"),
                            ("declined", "Declined"),
                            ("expired", "Expired"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="draft",
                        max_length=10,
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=1)),
                ("made_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.CharField(
                        blank=True, help_text="Who accepted or declined for the customer.", max_length=160
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StagedRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField(help_text="Place in the file, from 1.")),
                ("key", models.CharField(help_text="How the source names the row.", max_length=200)),
                (
                    "provider",
                    models.CharField(blank=True, help_text="Under whom the source lists it.", max_length=80),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("new", "New"),
                            ("changed", "Changed"),
                            ("unchanged", "Unchanged"),
                            ("disagrees", "Disagrees with another source"),
                            ("refused", "Refused"),
                            ("left_out", "Left out"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        blank=True, help_text="Stable reason of a refusal or omission.", max_length=60
                    ),
                ),
                ("message", models.CharField(blank=True, max_length=500)),
                ("original", models.JSONField()),
                ("staged", models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "status",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="HTTP; empty when nothing came back.", null=True
                    ),
                ),
                ("error", models.CharField(blank=True, max_length=300)),
                ("milliseconds", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "message",
                    models.CharField(
                        help_text="The webhook-id: the same in every attempt and replay.", max_length=60
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("payload", models.JSONField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("delivered", "Delivered"),
                            ("given_up", "Given up"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(blank=True, null=True)),
                ("made_at", models.DateTimeField()),
                ("delivered_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("url", models.URLField(max_length=500)),
                ("about", models.CharField(blank=True, max_length=200)),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        help_text="Event types it wants; empty is all.",
                        size=None,
                    ),
                ),
                ("made_at", models.DateTimeField()),
                ("disabled_at", models.DateTimeField(blank=True, null=True)),
                ("disabled_why", models.CharField(blank=True, max_length=200)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("revision", models.PositiveIntegerField(default=1)),
            ],
        ),
        migrations.CreateModel(
            name="WebhookSecret",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sealed", models.TextField(help_text="The secret, encrypted with the application's key.")),
                ("made_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="pricerow",
            name="price_row_unique_in_its_version",
        ),
        migrations.AddField(
            model_name="evaluation",
            name="benchmark_version",
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="evaluator",
            field=models.CharField(
                blank=True, help_text="Who ran it, where the source says so.", max_length=120
            ),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="interval_high",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="95 % confidence unless it says else.",
                max_digits=14,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="interval_low",
            field=models.DecimalField(blank=True, decimal_places=4, max_digits=14, null=True),
        ),
        migrations.AddField(
            model_name="offering",
            name="goes_live_on",
            field=models.DateField(
                blank=True,
                help_text="Of a scheduled one: the day on which it goes on sale by itself.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="regions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40),
                blank=True,
                help_text="The cloud's regions that run it; empty is unknown.",
                null=True,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="withdrawn_on",
            field=models.DateField(blank=True, help_text="First day without new orders.", null=True),
        ),
        migrations.AddField(
            model_name="pricerow",
            name="above_context",
            field=models.PositiveIntegerField(
                default=0,
                help_text="Applies to the whole of a request with more input tokens than this, in place of a row with less.",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricerow",
            constraint=models.UniqueConstraint(
                fields=("version", "meter", "tier_from", "above_context"),
                name="price_row_unique_in_its_version",
            ),
        ),
        migrations.AddField(
            model_name="alias",
            name="model_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="aliases",
                to="marketplace.modelversion",
            ),
        ),
        migrations.AddField(
            model_name="alias",
            name="offering",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="aliases",
                to="marketplace.offering",
            ),
        ),
        migrations.AddField(
            model_name="alias",
            name="plan",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="aliases",
                to="marketplace.plan",
            ),
        ),
        migrations.AddField(
            model_name="catalogchange",
            name="offering",
            field=models.ForeignKey(
                help_text="Empty for a change of a whole publisher or commercial path.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="changes",
                to="marketplace.offering",
            ),
        ),
        migrations.AddField(
            model_name="catalogchange",
            name="publisher",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="changes",
                to="marketplace.publisher",
            ),
        ),
        migrations.AddField(
            model_name="catalogimport",
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
            model_name="catalogimport",
            name="requested_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="changeset",
            name="made_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="changeset",
            name="publisher",
            field=models.ForeignKey(
                blank=True,
                help_text="Whose catalog it changes; empty where the operator changes several.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="change_sets",
                to="marketplace.publisher",
            ),
        ),
        migrations.AddField(
            model_name="changeset",
            name="reviewed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="changeitem",
            name="change_set",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="items", to="marketplace.changeset"
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="decided_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="found_in",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="marketplace.catalogimport",
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="offering",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="marketplace.offering",
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="plan",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="marketplace.plan",
            ),
        ),
        migrations.AddField(
            model_name="finding",
            name="by",
            field=models.ForeignKey(
                help_text="The reviewer; empty for what validation found.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="finding",
            name="change_set",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="findings",
                to="marketplace.changeset",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="change_set",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="holds", to="marketplace.changeset"
            ),
        ),
        migrations.AddField(
            model_name="lifecyclemove",
            name="offering",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lifecycle_moves",
                to="marketplace.offering",
            ),
        ),
        migrations.AddField(
            model_name="offeringrequest",
            name="answered_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="offeringrequest",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="marketplace.customer",
            ),
        ),
        migrations.AddField(
            model_name="offeringrequest",
            name="made_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="offeringrequest",
            name="offering",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="marketplace.offering",
            ),
        ),
        migrations.AddField(
            model_name="privateoffer",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="private_offers",
                to="marketplace.customer",
            ),
        ),
        migrations.AddField(
            model_name="privateoffer",
            name="made_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="privateoffer",
            name="plan",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="private_offers",
                to="marketplace.plan",
            ),
        ),
        migrations.AddField(
            model_name="privateoffer",
            name="recorded_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="priceversion",
            name="private_offer",
            field=models.OneToOneField(
                blank=True,
                help_text="The private offer whose price it is; empty for a list price.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="price",
                to="marketplace.privateoffer",
            ),
        ),
        migrations.AddField(
            model_name="stagedrow",
            name="change_set",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="staged_rows",
                to="marketplace.changeset",
            ),
        ),
        migrations.AddField(
            model_name="stagedrow",
            name="offering",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="marketplace.offering",
            ),
        ),
        migrations.AddField(
            model_name="stagedrow",
            name="plan",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="marketplace.plan",
            ),
        ),
        migrations.AddField(
            model_name="stagedrow",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="staged_rows",
                to="marketplace.catalogimport",
            ),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="replay_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="replays",
                to="marketplace.webhookdelivery",
            ),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="delivery",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tries",
                to="marketplace.webhookdelivery",
            ),
        ),
        migrations.AddField(
            model_name="webhookendpoint",
            name="made_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="webhookendpoint",
            name="publisher",
            field=models.ForeignKey(
                blank=True,
                help_text="Whose changes it hears of; empty for the operator's own services, which hear of all.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="webhook_endpoints",
                to="marketplace.publisher",
            ),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="endpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="marketplace.webhookendpoint",
            ),
        ),
        migrations.AddField(
            model_name="webhooksecret",
            name="endpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="secrets",
                to="marketplace.webhookendpoint",
            ),
        ),
        migrations.AddConstraint(
            model_name="alias",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("model_version__isnull", False), ("offering", None), ("plan", None)),
                    models.Q(("model_version", None), ("offering__isnull", False), ("plan", None)),
                    models.Q(("model_version", None), ("offering", None), ("plan__isnull", False)),
                    _connector="OR",
                ),
                name="alias_means_one_thing",
            ),
        ),
        migrations.AddIndex(
            model_name="catalogchange",
            index=models.Index(fields=["offering", "-number"], name="catalog_change_of_an_offering"),
        ),
        migrations.AddConstraint(
            model_name="catalogchange",
            constraint=models.UniqueConstraint(
                fields=("key", "offering"), name="catalog_change_written_once", nulls_distinct=False
            ),
        ),
        migrations.AddIndex(
            model_name="changeset",
            index=models.Index(fields=["publisher", "-id"], name="change_set_by_publisher"),
        ),
        migrations.AddIndex(
            model_name="changeset",
            index=models.Index(fields=["state", "id"], name="change_set_by_state"),
        ),
        migrations.AddConstraint(
            model_name="changeset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("reviewed_by", models.F("made_by")), _negated=True),
                    models.Q(("state__in", ["scheduled", "applied"]), _negated=True),
                    _connector="OR",
                ),
                name="change_set_approved_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="changeset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["scheduled", "applied"]), _negated=True),
                    ("reviewed_by__isnull", False),
                    _connector="OR",
                ),
                name="change_set_approved_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="changeset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "scheduled"), _negated=True),
                    ("apply_on__isnull", False),
                    _connector="OR",
                ),
                name="change_set_scheduled_for_a_day",
            ),
        ),
        migrations.AddIndex(
            model_name="changeitem",
            index=models.Index(fields=["entity"], name="change_item_by_entity"),
        ),
        migrations.AddConstraint(
            model_name="changeitem",
            constraint=models.UniqueConstraint(
                fields=("change_set", "position"), name="change_item_position_unique_in_its_set"
            ),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "open")),
                fields=("offering", "plan", "field", "theirs_from"),
                name="discrepancy_open_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclemove",
            constraint=models.UniqueConstraint(
                fields=("offering", "stage", "day"), name="lifecycle_move_carried_out_once"
            ),
        ),
        migrations.AddIndex(
            model_name="privateoffer",
            index=models.Index(fields=["customer", "-id"], name="private_offer_by_customer"),
        ),
        migrations.AddConstraint(
            model_name="privateoffer",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["accepted", "declined"]), _negated=True),
                    models.Q(("decided_at__isnull", False), models.Q(("decided_by", ""), _negated=True)),
                    _connector="OR",
                ),
                name="private_offer_decided_by_somebody",
            ),
        ),
        migrations.AddIndex(
            model_name="stagedrow",
            index=models.Index(fields=["run", "outcome", "number"], name="staged_row_by_outcome"),
        ),
        migrations.AddConstraint(
            model_name="stagedrow",
            constraint=models.UniqueConstraint(
                fields=("run", "number"), name="staged_row_number_unique_in_its_run"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state", "waiting")), fields=["next_at"], name="webhook_delivery_due"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["endpoint", "-id"], name="webhook_delivery_of_endpoint"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(
                condition=models.Q(("replay_of", None)),
                fields=("endpoint", "message"),
                name="webhook_message_owed_once_to_an_endpoint",
            ),
        ),
    ]
