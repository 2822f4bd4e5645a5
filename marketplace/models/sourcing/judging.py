"""Our own evaluations: suites of cases, answers of models, blind votes on pairs of answers, and runs with their result."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.models_on_offer import ModelVersion, TaskArea


class TaskSuite(models.Model):
    """Cases of one task on which models are judged. A changed suite is a new version: results of two are never compared."""

    slug = models.SlugField(max_length=60)
    version = models.CharField(max_length=20, default="1")
    name = models.CharField(max_length=120)
    task_area = models.ForeignKey(TaskArea, models.PROTECT, related_name="suites")
    about = models.CharField(max_length=300, blank=True)
    criteria = models.CharField(max_length=300, help_text="What a voter looks at.")
    synthetic = models.BooleanField(default=False, help_text="Made up for the demo.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["slug", "version"], name="suite_version_unique")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class SuiteCase(models.Model):
    suite = models.ForeignKey(TaskSuite, models.PROTECT, related_name="cases")
    number = models.PositiveSmallIntegerField()
    prompt = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["suite", "number"], name="case_number_unique")]


class Answer(models.Model):
    """What one model version answered to a case under one harness."""

    application_may = "SELECT, INSERT"

    case = models.ForeignKey(SuiteCase, models.PROTECT, related_name="answers")
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="answers")
    harness = models.CharField(max_length=80)
    text = models.TextField()
    produced_on = models.DateField()
    synthetic = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["case", "model_version", "harness"], name="one_answer_a_case_version_and_harness"
            )
        ]


class VotingRound(models.Model):
    """A time in which people vote on the pairs of a suite. Closing it makes runs of its votes."""

    suite = models.ForeignKey(TaskSuite, models.PROTECT, related_name="rounds")
    harness = models.CharField(max_length=80)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    synthetic = models.BooleanField(default=False, help_text="Its votes are made up for the demo.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["suite"], condition=Q(closed_at=None), name="one_open_round_of_a_suite"
            )
        ]


class Choice(models.TextChoices):
    FIRST = "first", marked("The first")
    SECOND = "second", marked("The second")
    TIE = "tie", marked("Equally good")
    NEITHER = "neither", marked("Neither is good enough")


class PairVote(models.Model):
    """One person's choice between two answers to one case. first and second are by id; shown_left says which was on the left."""

    application_may = "SELECT, INSERT"

    round = models.ForeignKey(VotingRound, models.PROTECT, related_name="votes")
    first = models.ForeignKey(Answer, models.PROTECT, related_name="+")
    second = models.ForeignKey(Answer, models.PROTECT, related_name="+")
    shown_left = models.ForeignKey(Answer, models.PROTECT, related_name="+")
    choice = models.CharField(max_length=7, choices=Choice)
    voter = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["round", "voter", "first", "second"], name="one_vote_a_person_and_pair"
            ),
            models.CheckConstraint(condition=Q(first__lt=F("second")), name="pair_is_in_order"),
            models.CheckConstraint(
                condition=Q(shown_left=F("first")) | Q(shown_left=F("second")), name="left_is_one_of_the_pair"
            ),
        ]


class SuiteRun(models.Model):
    """What one model version came to on a suite: scored by a program, or out of the votes of a closed round."""

    suite = models.ForeignKey(TaskSuite, models.PROTECT, related_name="runs")
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="suite_runs")
    round = models.ForeignKey(VotingRound, models.PROTECT, null=True, blank=True, related_name="runs")
    metric = models.CharField(max_length=60)
    higher_is_better = models.BooleanField(default=True)
    harness = models.CharField(max_length=80)
    sample_size = models.PositiveIntegerField(help_text="Cases, or votes.")
    score = models.DecimalField(max_digits=14, decimal_places=4)
    interval_low = models.DecimalField(max_digits=14, decimal_places=4)
    interval_high = models.DecimalField(max_digits=14, decimal_places=4, help_text="95 % confidence.")
    cost_usd = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    latency_s = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    evaluator = models.CharField(max_length=120)
    dated = models.DateField()
    synthetic = models.BooleanField(default=False)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["suite", "model_version", "metric", "harness", "dated"], name="run_unique"
            ),
            models.CheckConstraint(
                condition=Q(interval_low__lte=F("score"), interval_high__gte=F("score")),
                name="run_score_lies_in_its_interval",
            ),
            models.CheckConstraint(condition=Q(sample_size__gt=0), name="run_has_a_sample"),
        ]
