"""Who fails too often waits; nobody else notices; memory is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wampha.auth.throttle import _BUCKETS_MAX, Throttle, household


def test_a_burst_is_free_and_then_one_attempt_per_refill() -> None:
    throttle = Throttle(burst=3, per_minute=10)
    for _ in range(3):
        assert throttle.wait_s("joe", 0.0) == 0
        throttle.failed("joe", 0.0)
    assert throttle.wait_s("joe", 0.0) == 6
    assert throttle.wait_s("joe", 5.9) == 1
    assert throttle.wait_s("joe", 6.0) == 0
    throttle.failed("joe", 6.0)
    assert throttle.wait_s("joe", 6.0) == 6
    assert throttle.wait_s("eva", 6.0) == 0


def test_all_is_forgiven_in_time() -> None:
    throttle = Throttle(burst=3, per_minute=10)
    for _ in range(50):
        throttle.failed("joe", 0.0)
    assert throttle.wait_s("joe", 18.0) == 0
    throttle.forget(17.0)
    assert len(throttle) == 1
    throttle.forget(18.0)
    assert len(throttle) == 0


def test_zero_means_never() -> None:
    throttle = Throttle(burst=0, per_minute=10)
    for _ in range(1000):
        throttle.failed("joe", 0.0)
    assert throttle.wait_s("joe", 0.0) == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(burst=1, per_minute=1)
    for number in range(_BUCKETS_MAX + 10):
        throttle.failed(number, 0.0)
    assert len(throttle) == _BUCKETS_MAX
    assert throttle.wait_s(0, 0.0) == 0
    assert throttle.wait_s(_BUCKETS_MAX, 0.0) == 60


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_pattern_of_attempts_gets_more_looked_at_than_the_rate_allows(pauses: list[float]) -> None:
    throttle, now, looked_at = Throttle(burst=5, per_minute=10), 0.0, 0
    for pause in pauses:
        now += pause
        if not throttle.wait_s("joe", now):
            throttle.failed("joe", now)
            looked_at += 1
    assert looked_at <= 5 + now / 6 + 1


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::9", "2001:db8:1:2"),
        ("fe80::1%eth0", "fe80"),
        ("::1", ""),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:1:2", "1:2"),
        ("", ""),
    ],
)
def test_a_household_has_one_bucket(address: str, home: str) -> None:
    assert household(address) == home
