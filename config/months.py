"""Months as their first days; spans of them are half-open."""

from datetime import date


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def add_months(day: date, months: int) -> date:
    """The first day of the month that lies so many months after (or before) that of *day*."""
    whole = day.year * 12 + day.month - 1 + months
    return date(whole // 12, whole % 12 + 1, 1)


def months_between(first: date, end: date) -> list[date]:
    """Every month that has a day in [first, end), in order."""
    found, month = [], month_of(first)
    while month < end:
        found.append(month)
        month = add_months(month, 1)
    return found
