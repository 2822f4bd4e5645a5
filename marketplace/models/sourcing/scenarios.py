"""A switch on paper: moves over the live bindings and prices, which stay as they are until a second person promotes it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.models_on_offer import ModelVersion, Plan
from marketplace.models.sourcing.companies import Company
from marketplace.models.sourcing.products import Feature


class ScenarioState(models.TextChoices):
    DRAFT = "draft", marked("Draft")
    ASKED = "asked", marked("Waits for a second person")
    PROMOTED = "promoted", marked("Promoted")
    DECLINED = "declined", marked("Declined")


class Scenario(models.Model):
    """What if, from a day on and for so many months."""

    name = models.CharField(max_length=120)
    note = models.CharField(max_length=500, blank=True)
    starts_on = models.DateField(help_text="First day on which its moves hold.")
    months = models.PositiveSmallIntegerField(default=12, help_text="How far it is looked ahead; 60 at most.")
    growth_ppm = models.IntegerField(
        default=0,
        db_default=0,
        help_text="By how much the use of every feature grows in a year: 200000 is a fifth more.",
    )
    shared = models.BooleanField(default=False, help_text="Every reader of sourcing sees it.")
    state = models.CharField(max_length=8, choices=ScenarioState, default=ScenarioState.DRAFT)
    revision = models.PositiveIntegerField(default=1)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    asked_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("asked_by")),
                name="scenario_decided_by_another_person",
            ),
            models.CheckConstraint(condition=Q(months__gte=1, months__lte=60), name="scenario_looks_ahead"),
            models.CheckConstraint(
                condition=Q(growth_ppm__gte=-900_000, growth_ppm__lte=10_000_000),
                name="scenario_grows_within_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class MoveKind(models.TextChoices):
    SHARE = "share", marked("Move a share")
    PRICE = "price", marked("Change a price")
    END_SUPPLIER = "end_supplier", marked("End a supplier")


class ScenarioMove(models.Model):
    """One change on paper. Moves are carried out in the order of their position."""

    scenario = models.ForeignKey(Scenario, models.CASCADE, related_name="moves")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=12, choices=MoveKind)
    feature = models.ForeignKey(
        Feature,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Of a share; empty is every feature.",
    )
    source = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="+")
    target = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="+")
    share_ppm = models.PositiveIntegerField(
        null=True, blank=True, help_text="Parts per million of the source's own share that go over."
    )
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="+")
    change_ppm = models.IntegerField(
        null=True, blank=True, help_text="Of a price: -100000 is ten per cent cheaper."
    )
    supplier = models.ForeignKey(Company, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scenario", "position"], name="move_position_unique"),
            models.CheckConstraint(
                condition=Q(kind="share", source__isnull=False, target__isnull=False, share_ppm__gt=0)
                & Q(share_ppm__lte=1_000_000)
                & ~Q(source=F("target"))
                | Q(kind="price", plan__isnull=False, change_ppm__gte=-1_000_000)
                | Q(kind="end_supplier", supplier__isnull=False),
                name="move_says_what_moves",
            ),
        ]
