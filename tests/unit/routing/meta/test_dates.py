"""Dates as the meta API shows them, compared with Python's."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from wampha.routing.meta.dates import iso

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def expected(milliseconds: int) -> str:
    return (EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_an_instant_is_shown_in_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_795_662_900_123) == "2026-11-26T03:15:00.123Z"


def test_every_day_of_four_centuries_is_the_one_of_the_calendar() -> None:
    for days in range(365 * 400 + 100):
        assert iso(days * 86_400_000 - 1) == expected(days * 86_400_000 - 1)


def test_any_instant_is_the_one_of_the_calendar() -> None:
    chance = random.Random(1)
    for _ in range(1000):
        instant = chance.randrange(-(10**13), 10**14)
        assert iso(instant) == expected(instant)
