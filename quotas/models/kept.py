"""Boards of many people, worked out beside the pages that show them. Whatever shows one says of which moment it is."""

from django.db import models
from django.db.models import Q

from config.language import marked
from quotas.models.closing import PeriodClose
from quotas.models.people import Team
from quotas.models.periods import Period
from quotas.models.quotas import Measure


class KeptGroup(models.TextChoices):
    """What a kept board is about: the lines of a leaderboard, or the quota board of one team."""

    REP = "rep", marked("Leaderboard of reps")
    TEAM = "team", marked("Leaderboard of teams")
    PUBLISHER = "publisher", marked("Leaderboard of publishers")
    OFFERING = "offering", marked("Leaderboard of offerings")
    BOARD = "board", marked("Quota board")


class KeptBoard(models.Model):
    """A board that is too large to be worked out for each look. Nothing depends on it: it can be thrown away.

    It holds no more than the ledger says, and all of one snapshot of it; built_at says which. Kept because somebody looked at it,
    or because many will: of the periods that everybody looks at.
    """

    group = models.CharField(max_length=10, choices=KeptGroup)
    by = models.CharField(
        max_length=10, blank=True, help_text="credit or attainment; empty for a quota board."
    )
    period = models.ForeignKey(Period, models.CASCADE, related_name="+", db_index=False)
    measure = models.ForeignKey(Measure, models.CASCADE, related_name="+", db_index=False)
    team = models.ForeignKey(
        Team,
        models.CASCADE,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Whose board, or whose part of the leaderboard; empty is everybody.",
    )
    view = models.CharField(
        max_length=8, default="reported", help_text="By which months it is read: reported, restated, closed."
    )
    close = models.ForeignKey(
        PeriodClose,
        models.CASCADE,
        null=True,
        related_name="+",
        db_index=False,
        help_text="The close that froze it; it never changes.",
    )
    moment = models.DateTimeField(
        null=True, help_text="As of when it is asked for; it never changes. Empty is now."
    )
    asked_at = models.DateTimeField(
        null=True, help_text="Roughly when somebody last looked at it; empty until somebody does."
    )
    foreseen_at = models.DateTimeField(
        null=True, help_text="When it was last among those that are kept ahead of any look."
    )
    begun_at = models.DateTimeField(null=True, help_text="Since when a worker is at it; empty while none is.")
    done = models.PositiveSmallIntegerField(
        default=0, help_text="How many of its steps that worker has done."
    )
    failed_at = models.DateTimeField(
        null=True, help_text="When it was given up last, if it was not built since."
    )
    on = models.DateField(null=True, help_text="The day as at which it is read.")
    built_at = models.DateTimeField(null=True, help_text="Of which moment it is; empty until it was built.")
    stamp = models.CharField(
        max_length=200, blank=True, help_text="What the facts behind it had come to before it was built."
    )
    took_ms = models.IntegerField(default=0, help_text="How long building it took.")
    places = models.IntegerField(default=0, help_text="How many lines a leaderboard has.")
    body = models.JSONField(
        null=True, help_text="The figures of a quota board, and the sums beside a leaderboard."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "measure", "group", "by", "team", "view", "close", "moment"],
                nulls_distinct=False,
                name="a_board_of_a_version_is_kept_once",
            ),
            models.CheckConstraint(
                condition=Q(built_at=None) | Q(on__isnull=False), name="kept_board_says_its_day"
            ),
        ]


class KeptPlace(models.Model):
    """One line of a kept leaderboard, in its order."""

    pk = models.CompositePrimaryKey("board", "place")
    board = models.ForeignKey(
        KeptBoard, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="lines"
    )
    place = models.IntegerField(help_text="From 1, without gaps.")
    subject_id = models.BigIntegerField(help_text="Of the rep, team, publisher or offering.")
    rank = models.BigIntegerField(null=True)
    previous_rank = models.BigIntegerField(null=True)
    credited_minor = models.BigIntegerField()
    quota_minor = models.BigIntegerField(null=True)
    key = models.DecimalField(max_digits=60, decimal_places=0, help_text="What it is ranked by, exactly.")
    reached_at = models.DateTimeField(null=True)
    tail = models.BooleanField(help_text="Whether it stands below those who have something to rank by.")

    class Meta:
        indexes = [models.Index(fields=["board", "subject_id"], name="kept_place_of_a_subject")]
