"""Dates as the meta API shows them."""

from __future__ import annotations


def iso(milliseconds: int) -> str:
    """The ISO 8601 text, in UTC, of an instant in milliseconds since 1970: `2026-11-25T03:15:00.123Z`."""
    seconds, thousandths = divmod(milliseconds, 1000)
    days, seconds = divmod(seconds, 86_400)
    year, month, day = _civil(days)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    return f"{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of the Gregorian calendar, so many days after the first of January 1970.

    Years are counted from March, so that the leap day is the last one; eras of 400 years all have the same length.
    """
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153  # 0 is March
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return 400 * era + year + (month <= 2), month, day
