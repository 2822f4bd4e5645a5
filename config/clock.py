"""The one place that reads the time. Views, tasks and commands ask here; everything below takes `at` as an argument."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone


def now() -> datetime:
    """This instant; in the demo, the real time of day on the demo's business date."""
    real = timezone.now()
    if settings.DEMO_TODAY is None:
        return real
    zone = ZoneInfo(settings.TIME_ZONE)
    return datetime.combine(settings.DEMO_TODAY, real.astimezone(zone).time(), zone)


def today() -> date:
    """The business date in the operator's time zone."""
    return day_of(now())


def day_of(at: datetime) -> date:
    """The operator's day in which an instant falls; late in the day it is not the day of UTC."""
    return at.astimezone(ZoneInfo(settings.TIME_ZONE)).date()


def first_moment(day: date) -> datetime:
    """When the operator's day begins."""
    return datetime.combine(day, time(), ZoneInfo(settings.TIME_ZONE))
