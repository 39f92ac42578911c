"""RFC 3339 timestamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wampha.names.instants import read_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


@given(st.integers(min_value=FIRST, max_value=LAST))
def test_every_instant_of_the_calendar_is_read(instant: int) -> None:
    assert read_instant((EPOCH + timedelta(milliseconds=instant)).isoformat("T", "milliseconds")) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 00:00:01.5z", 1500),
        ("1970-01-01t01:00:00.0005+01:00", 0.5),
        ("1969-12-31T23:30:00-00:30", 0),
        ("2000-02-29T00:00:00Z", 951782400000),
        ("1998-12-31T23:59:60Z", 915148800000),
    ],
)
def test_all_forms_are_read(text: str, instant: float) -> None:
    assert read_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "1970-00-01T00:00:00Z"),
        *("1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "1970-04-31T00:00:00Z", "1970-01-01T24:00:00Z"),
        *("1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+00:60"),
        *("1970-01-01T00:00:00.Z", "1970-01-01T00:00:00Z ", "\uff11970-01-01T00:00:00Z"),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no"):
        read_instant(text)
