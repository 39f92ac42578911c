"""Points in time as clients write and read them: RFC 3339, as milliseconds since 1970."""

from __future__ import annotations

import re
from typing import Final

_TEXT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_DAY_MS: Final = 86_400_000


def read_instant(text: str) -> float:
    """Milliseconds since 1970, fractions included; raises ValueError for what is no RFC 3339 timestamp.

    A leap second is the one after it.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError("no RFC 3339 timestamp")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, off_hour, off_minute = found.groups()[6:]
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month) and hour < 24 and minute < 60 and second <= 60):
        raise ValueError("no such date or time")
    minutes = hour * 60 + minute
    if sign:
        if int(off_hour) > 23 or int(off_minute) > 59:
            raise ValueError("no such offset")
        minutes -= (int(off_hour) * 60 + int(off_minute)) * (1 if sign == "+" else -1)
    whole = _days_since_1970(year, month, day) * _DAY_MS + minutes * 60_000 + second * 1000
    return whole + int(fraction) * 1000 / 10 ** len(fraction) if fraction else whole


def _days_since_1970(year: int, month: int, day: int) -> int:
    """Of the Gregorian calendar, counted from the first of March, so that a leap day ends its year."""
    year -= month < 3
    month = (month - 3) % 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719_468


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
