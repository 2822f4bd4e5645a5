"""Which version of a period's figures is asked for, of a page, a file or the API alike. See quotas/RULES.md 18."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from config.refusals import Invalid
from quotas.models import Period, PeriodClose
from quotas.selectors import asof
from quotas.selectors.asof import Reading
from quotas.services import marking

PARAMETERS: Final = ("view", "close", "as_of")


def asked_reading(
    asked: Mapping[str, str], *, period: Period, at: datetime, closes: Sequence[PeriodClose] | None = None
) -> Reading:
    """The version that view, close and as_of ask for; as reported now without any. The first to ask for a moment has its mark taken.

    closes  What asof.closes_of says of the period, where that is known.
    At most 8 queries, none for the figures of now. Raises Invalid.
    """
    view = asked.get("view", "") or ("closed" if asked.get("close") else "reported")
    moment = asked_moment(asked.get("as_of", ""), period=period, at=at)
    if view == "reported" and moment is None:
        return asof.now(period)
    mark = marking.as_of(moment, at=at) if moment is not None and view in ("reported", "restated") else None
    return asof.reading(
        period, view=view, close=_close(asked.get("close", "")), moment=moment, mark=mark, closes=closes
    )


def asked_moment(text: str, *, period: Period, at: datetime) -> datetime | None:
    """The moment that is written: with an offset, or in the time zone of the period's calendar; a day alone is its end.

    To the second: what is recorded within it counts only if it ends. Raises Invalid for what is none, or has not come.
    """
    written = text.strip()
    if not written:
        return None
    zone = ZoneInfo(period.calendar.time_zone)
    try:
        if len(written) == len("2026-08-14"):
            day_after = datetime.combine(date.fromisoformat(written) + timedelta(days=1), time(), zone)
            moment = min(day_after, at) if day_after - timedelta(days=1) <= at else day_after
        else:
            # A plus sign that was not escaped in an address arrives as a space.
            moment = datetime.fromisoformat(written.replace(" ", "+") if "T" in written else written)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return moment.replace(microsecond=0)
    except (ValueError, OverflowError) as wrong:
        raise Invalid.of(
            "invalid_moment",
            "This is no moment: write it as 2026-08-14T17:30, with an offset or without, or as a day.",
            "/as_of",
        ) from wrong


def _close(text: str) -> int | None:
    number = text.strip().removeprefix("v")
    if not number:
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 5):
        raise Invalid.of("invalid_choice", "close is the number of a close, such as 2.", "/close")
    return int(number)
