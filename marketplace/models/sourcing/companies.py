"""Companies, what binds them to each other, and what is agreed with suppliers. Unknown is unknown; a bound is not a figure."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.models_on_offer import ModelVersion
from marketplace.models.prices import Currency
from marketplace.models.publishers import Publisher
from marketplace.models.sourcing.facts import PublicFact


class Company(models.Model):
    """A company we buy from, sell to, invest in or compete with. Its roles follow from its relationships; none is stored."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    about = models.CharField(max_length=300, blank=True)
    publisher = models.OneToOneField(
        Publisher,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="company",
        help_text="What it sells here.",
    )
    is_operator = models.BooleanField(default=False, help_text="We ourselves; one company at most.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_operator"], condition=Q(is_operator=True), name="one_company_is_the_operator"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Bound(models.TextChoices):
    """What an amount is. Only exact figures are added up as figures; the others make intervals."""

    EXACT = "exact", marked("Exactly")
    ABOUT = "about", marked("About")
    AT_MOST = "at most", marked("At most")
    AT_LEAST = "at least", marked("At least")
    UNKNOWN = "unknown", marked("Unknown")


class RelationshipKind(models.TextChoices):
    SPEND = "spend", marked("Spend")
    COMPUTE_COMMITMENT = "compute_commitment", marked("Compute commitment")
    EQUITY = "equity", marked("Equity")
    INFRASTRUCTURE = "infrastructure", marked("Infrastructure")
    DEPENDENCE = "dependence", marked("Dependence")
    COMPETITION = "competition", marked("Competition")


class RelationshipStatus(models.TextChoices):
    REPORTED = "reported", marked("Reported")
    PLANNED = "planned", marked("Planned")
    ANNOUNCED = "announced", marked("Announced")
    SIGNED = "signed", marked("Signed")
    IN_FORCE = "in force", marked("In force")
    ENDED = "ended", marked("Ended")


MONEY_KINDS = ("spend", "compute_commitment", "equity", "infrastructure")


class Relationship(models.Model):
    """One tie between two companies, as somebody states it. Money goes from payer to payee; who depends is the payer."""

    kind = models.CharField(max_length=20, choices=RelationshipKind)
    payer = models.ForeignKey(Company, models.PROTECT, related_name="gives")
    payee = models.ForeignKey(Company, models.PROTECT, related_name="receives")
    amount_minor = models.BigIntegerField(
        null=True, blank=True, help_text="Minor units of its currency; empty is unknown, never zero."
    )
    currency = models.ForeignKey(Currency, models.PROTECT, null=True, blank=True, related_name="+")
    bound = models.CharField(max_length=8, choices=Bound, default=Bound.UNKNOWN)
    per = models.CharField(
        max_length=5, blank=True, choices=[("year", "a year"), ("month", "a month")], help_text="Empty: once."
    )
    status = models.CharField(
        max_length=10, choices=RelationshipStatus, blank=True, help_text="Empty is not stated."
    )
    starts_on = models.DateField(null=True, blank=True, help_text="Empty is not stated.")
    ends_on = models.DateField(null=True, blank=True, help_text="First day after it; empty is not stated.")
    stake_ppm = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Of equity: the part held. Of dependence: the part that depends. Empty is unknown.",
    )
    note = models.CharField(
        max_length=300, blank=True, help_text="The source's qualifier: on track, up to ..."
    )
    fact = models.ForeignKey(PublicFact, models.PROTECT, null=True, blank=True, related_name="relationships")
    source = models.CharField(max_length=200, help_text="Where it is known from.")
    synthetic = models.BooleanField(default=False, help_text="Made up for the demo.")
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(payer=F("payee")), name="relationship_has_two_companies"),
            models.CheckConstraint(
                condition=Q(amount_minor=None, bound=Bound.UNKNOWN)
                | Q(amount_minor__gte=0) & ~Q(bound=Bound.UNKNOWN),
                name="relationship_bound_goes_with_its_amount",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor=None) | Q(currency__isnull=False),
                name="relationship_amount_has_a_currency",
            ),
            models.CheckConstraint(
                condition=Q(starts_on=None) | Q(ends_on=None) | Q(starts_on__lt=F("ends_on")),
                name="relationship_starts_before_it_ends",
            ),
            models.CheckConstraint(
                condition=Q(stake_ppm=None) | Q(stake_ppm__lte=1_000_000),
                name="relationship_stake_at_most_one",
            ),
        ]


class TermAssumption(models.Model):
    """The term that somebody takes for granted where none is stated, with the reason. Named wherever a figure rests on it."""

    relationship = models.ForeignKey(Relationship, models.PROTECT, related_name="assumptions")
    starts_on = models.DateField()
    ends_on = models.DateField(help_text="First day after it.")
    reason = models.CharField(max_length=300)
    stated_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    stated_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(starts_on__lt=F("ends_on")), name="assumed_term_starts_before_it_ends"
            ),
            models.UniqueConstraint(
                fields=["relationship"], condition=Q(superseded_at=None), name="one_assumed_term_at_a_time"
            ),
        ]


class CommitmentDraw(models.Model):
    """What a month took of a commitment between companies, as its bill says."""

    relationship = models.ForeignKey(Relationship, models.PROTECT, related_name="draws")
    month = models.DateField(help_text="Its first day.")
    amount_minor = models.BigIntegerField(help_text="Minor units of the commitment's currency.")
    source = models.CharField(max_length=200)
    synthetic = models.BooleanField(default=False)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["relationship", "month"], condition=Q(superseded_at=None), name="one_draw_a_month"
            ),
            models.CheckConstraint(condition=Q(month__day=1), name="draw_is_of_a_month"),
        ]


class SupplierAgreement(models.Model):
    """What is agreed with a supplier. Text that is empty is not stated."""

    supplier = models.ForeignKey(Company, models.PROTECT, related_name="agreements")
    name = models.CharField(max_length=120)
    effective = DateRangeField()
    access = models.CharField(
        max_length=300, blank=True, help_text="To which models, since when, in which order."
    )
    pricing = models.CharField(max_length=300, blank=True)
    discount_ppm = models.PositiveIntegerField(
        default=0, help_text="Off the list prices of the supplier's plans, while the agreement is in effect."
    )
    exclusivity = models.CharField(max_length=300, blank=True)
    roadmap_asks = models.CharField(max_length=500, blank=True)
    renews_on = models.DateField(null=True, blank=True, help_text="Day on which it renews; empty is unknown.")
    renews_by_itself = models.BooleanField(null=True, blank=True)
    notice_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Days before the renewal."
    )
    source = models.CharField(max_length=200)
    synthetic = models.BooleanField(default=False)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # agreements_of_a_supplier_do_not_overlap is an exclusion constraint, made in SQL: one discount holds on a day.
        constraints = [
            models.CheckConstraint(condition=Q(discount_ppm__lte=1_000_000), name="discount_at_most_one")
        ]


class RiskSeverity(models.TextChoices):
    LOW = "low", marked("Low")
    MEDIUM = "medium", marked("Medium")
    HIGH = "high", marked("High")


class RiskEvent(models.Model):
    """Something that happened or is expected, with a company, which matters to what we buy from it."""

    company = models.ForeignKey(Company, models.PROTECT, related_name="risk_events")
    dated = models.DateField(null=True, blank=True, help_text="Empty is not stated.")
    severity = models.CharField(max_length=6, choices=RiskSeverity)
    title = models.CharField(max_length=160)
    detail = models.CharField(max_length=500, blank=True)
    fact = models.ForeignKey(PublicFact, models.PROTECT, null=True, blank=True, related_name="risk_events")
    source = models.CharField(max_length=200)
    synthetic = models.BooleanField(default=False)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)


class SpendPlan(models.Model):
    """What we plan to spend with a supplier over a span, spread evenly over its days."""

    supplier = models.ForeignKey(Company, models.PROTECT, related_name="spend_plans")
    effective = DateRangeField(help_text="Bounded on both sides.")
    amount_minor = models.BigIntegerField(help_text="For the whole span, minor units of its currency.")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    bound = models.CharField(max_length=8, choices=Bound, default=Bound.EXACT)
    fact = models.ForeignKey(PublicFact, models.PROTECT, null=True, blank=True, related_name="+")
    source = models.CharField(max_length=200)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # spend_plans_of_a_supplier_do_not_overlap is an exclusion constraint, made in SQL.
        constraints = [models.CheckConstraint(condition=Q(amount_minor__gt=0), name="spend_plan_is_positive")]


class Hosting(models.Model):
    """Where a model version runs: on a company's machines, over a span of days. One version may run in several places."""

    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="hostings")
    host = models.ForeignKey(Company, models.PROTECT, related_name="hosts")
    effective = DateRangeField()
    source = models.CharField(max_length=200)
    assumed = models.BooleanField(default=False)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    # hosting_of_a_version_at_a_host_does_not_overlap is an exclusion constraint, made in SQL.
