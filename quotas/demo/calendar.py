"""The fiscal calendar of the demo and what its currencies were worth.

The year starts on 1 July and is named after the year in which it ends. That is data: it stands here and in the tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from quotas.demo.dice import Dice

FIRST_DAY = date(2025, 7, 1)
YEARS = (2026, 2027)
ONE_DAY = timedelta(days=1)

# US dollars for one unit, in millionths, around which the demo's rates wander. Not quotations of any day.
MIDDLES = {
    "AED": 272_294,
    "AUD": 655_000,
    "BRL": 181_000,
    "CAD": 722_000,
    "CHF": 1_245_000,
    "DKK": 155_800,
    "EUR": 1_162_000,
    "GBP": 1_338_000,
    "INR": 11_420,
    "JPY": 6_640,
    "KWD": 3_262_000,
    "MXN": 54_300,
    "NOK": 98_700,
    "NZD": 588_000,
    "SAR": 266_667,
    "SEK": 105_400,
    "SGD": 775_000,
    "ZAR": 57_100,
}
PEGGED = frozenset({"AED", "SAR"})


@dataclass(frozen=True)
class PeriodFact:
    """A half-open span of days; quarter, half and year are names of what it lies in."""

    grain: str
    name: str
    starts: date
    ends: date
    quarter: str | None = None
    half: str | None = None
    year: str | None = None

    def holds(self, day: date) -> bool:
        return self.starts <= day < self.ends


@dataclass(frozen=True)
class RateFact:
    """US dollars for one unit of a currency over [starts, ends), with nine decimals as an integer."""

    currency: str
    rate_e9: int
    starts: date
    ends: date


def month_start(year: int, month: int) -> date:
    """First day of the *month*-th month, from 1, of the fiscal year named *year*."""
    return date(year - 1, 6 + month, 1) if month <= 6 else date(year, month - 6, 1)


def periods() -> list[PeriodFact]:
    """Years first, then halves, quarters and months, so that each can name what it lies in."""
    return [*_grain("Y", 12), *_grain("H", 6), *_grain("Q", 3), *_grain("M", 1)]


def _grain(grain: str, months: int) -> Iterator[PeriodFact]:
    for year in YEARS:
        for first in range(1, 13, months):
            last = first + months
            ends = month_start(year + last // 13, (last - 1) % 12 + 1)
            name = (
                f"FY{year % 100}"
                + {
                    "Y": "",
                    "H": f"-H{first // 6 + 1}",
                    "Q": f"-Q{first // 3 + 1}",
                    "M": f"-M{first:02}",
                }[grain]
            )
            yield PeriodFact(
                grain,
                name,
                month_start(year, first),
                ends,
                quarter=f"FY{year % 100}-Q{(first - 1) // 3 + 1}" if grain == "M" else None,
                half=f"FY{year % 100}-H{(first - 1) // 6 + 1}" if grain in "MQ" else None,
                year=None if grain == "Y" else f"FY{year % 100}",
            )


def states(today: date) -> dict[str, str]:
    """Month to state once everything is loaded: closed, but for the present month and the two before it."""
    months = [period for period in periods() if period.grain == "M"]
    present = next(i for i, month in enumerate(months) if month.holds(today))
    return {
        month.name: "future" if i > present else "open" if i >= present - 2 else "closed"
        for i, month in enumerate(months)
    }


def rates(seed: int, today: date) -> list[RateFact]:
    """One rate a currency and month, up to the present one: nobody knows the next."""
    found = []
    for currency, middle in MIDDLES.items():
        dice = Dice(seed, "rates", currency)
        level = middle * 1000
        for month in (period for period in periods() if period.grain == "M"):
            if month.starts > today:
                break
            if currency not in PEGGED:
                level += level * dice.number(-14_000, 14_000) // 1_000_000
            found.append(RateFact(currency, level, month.starts, month.ends))
    return found


def rate_on(facts: list[RateFact]) -> dict[tuple[str, date], int]:
    """(currency, first day of a month) to rate."""
    return {(fact.currency, fact.starts): fact.rate_e9 for fact in facts}
