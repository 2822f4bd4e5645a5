"""Who sells, in which team, from when until when; and whose account a customer is."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper

from config.language import marked
from marketplace.models import Customer
from quotas.models.periods import FiscalCalendar


class SalesRole(models.TextChoices):
    """What a rep does in a team. Conditions of rules look at it."""

    ACCOUNT_EXECUTIVE = "account_executive", marked("Account executive")
    SPECIALIST = "specialist", marked("Specialist")
    CUSTOMER_SUCCESS = "customer_success", marked("Customer success")
    MANAGER = "manager", marked("Manager")
    HOUSE = "house", marked("House")


class Team(models.Model):
    """A team or a group of teams. Where it stands in the tree is a dated fact: TeamPlacement."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    calendar = models.ForeignKey(
        FiscalCalendar,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="teams",
        help_text="Of the business unit that this team heads; empty is that of the team above, at the top the operator's.",
    )
    cost_centre = models.CharField(
        max_length=40,
        blank=True,
        help_text="What its pay is charged to; empty is that of the team above.",
    )

    def __str__(self) -> str:
        return self.name


class TeamPlacement(models.Model):
    """The parent of a team over a half-open span of days; no parent is the top."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="placements")
    parent = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="child_placements")
    effective = DateRangeField()
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # team_is_in_one_place_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(condition=~Q(parent=F("team")), name="team_is_not_its_own_parent")
        ]


class Rep(models.Model):
    """A person who sells, or the house rep of a vacant territory. The ledger knows the id alone; the name is erasable."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=150)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="rep"
    )
    employee_no = models.CharField(max_length=30, blank=True)
    hired_on = models.DateField(null=True, blank=True)
    left_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["employee_no"], condition=~Q(employee_no=""), name="rep_employee_no_unique"
            )
        ]
        indexes = [
            models.Index(fields=["name", "id"], name="rep_by_name"),
            models.Index(Upper("name"), name="rep_by_name_in_any_case"),
        ]

    def __str__(self) -> str:
        return self.name


class TeamMembership(models.Model):
    """A rep's team and role over a half-open span of days; one at a time."""

    rep = models.ForeignKey(Rep, models.PROTECT, related_name="memberships")
    team = models.ForeignKey(Team, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=20, choices=SalesRole)
    effective = DateRangeField()
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # rep_is_in_one_team_at_a_time is an exclusion constraint, made in SQL.
        indexes = [
            models.Index(
                fields=["team"], condition=Q(superseded_at=None), name="membership_in_force_by_team"
            ),
            models.Index(
                fields=["team", "rep"],
                condition=Q(superseded_at=None, role="manager"),
                name="membership_of_who_leads",
            ),
        ]


class AccountOwnership(models.Model):
    """The rep who owns a customer over a half-open span of days; consumption of a month is credited to that month's owner.

    Under a holdover the one who owned it before is credited for some time longer, and the new owner later: credits says from when until when.
    """

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+")
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="accounts")
    effective = DateRangeField()
    credits = DateRangeField(
        help_text="Credit dates that are this rep's; the same as effective without a holdover."
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # account_has_one_owner_at_a_time and account_credits_one_rep_at_a_time are exclusion constraints, made in SQL.
        indexes = [
            models.Index(fields=["rep"], condition=Q(superseded_at=None), name="ownership_in_force_by_rep")
        ]


class Territory(models.Model):
    """A part of the market that overlay reps cover, such as a country or an industry. Who covers it and which customers lie in it are dated facts."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    house_rep = models.ForeignKey(
        Rep,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Keeps the credit while nobody covers the territory.",
    )

    def __str__(self) -> str:
        return self.name


class TerritoryAssignment(models.Model):
    """A rep covers a territory over a half-open span of days. Many to many."""

    territory = models.ForeignKey(Territory, models.PROTECT, related_name="assignments")
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="territories")
    effective = DateRangeField()
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    # rep_covers_a_territory_once_at_a_time is an exclusion constraint, made in SQL.


class CustomerTerritory(models.Model):
    """A customer lies in a territory over a half-open span of days. Many to many."""

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+")
    territory = models.ForeignKey(Territory, models.PROTECT, related_name="customers")
    effective = DateRangeField()
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    # customer_lies_in_a_territory_once_at_a_time is an exclusion constraint, made in SQL.
