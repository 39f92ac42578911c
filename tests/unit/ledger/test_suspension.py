"""How long an incarnation may be without a lease: protocol rule 4."""

from __future__ import annotations

import pytest

from wampha.ledger.constants import Timing
from wampha.ledger.suspension import Suspension

TIMING = Timing.of()


def suspended() -> bool:
    return True


def seconds_until_too_long(suspension: Suspension, now: float = 0.0) -> float:
    """Look at each tick."""
    began = now
    while not suspension.lasts_too_long(now, suspended):
        assert now - began < 60.0, "never"
        now += TIMING.tick_s
    return now - began


def test_rule_4_it_counts_from_when_the_incarnation_served_last() -> None:
    suspension = Suspension(TIMING, 0.0)
    suspension.served(leading=False)
    assert seconds_until_too_long(suspension) == pytest.approx(TIMING.suspended_s, abs=2 * TIMING.tick_s)


def test_rule_4_a_leader_whose_lease_is_shorter_is_given_the_difference() -> None:
    suspension = Suspension(TIMING, 0.0)
    suspension.served(leading=True)
    most_s = TIMING.suspended_s + TIMING.lease_s - TIMING.leader_lease_s
    assert seconds_until_too_long(suspension) == pytest.approx(most_s, abs=2 * TIMING.tick_s)


def test_rule_4_time_in_which_the_process_stood_still_does_not_count() -> None:
    suspension = Suspension(TIMING, 0.0)
    suspension.served(leading=False)
    assert not suspension.lasts_too_long(100.0, suspended)
    assert seconds_until_too_long(suspension, 100.0) > TIMING.suspended_s - 4 * TIMING.tick_s


@pytest.mark.parametrize("begun_anew", [False, True])
def test_an_incarnation_that_never_served_may_take_its_time(begun_anew: bool) -> None:
    suspension = Suspension(TIMING, 0.0)
    if begun_anew:
        suspension.served(leading=False)
        suspension.begin_anew()
    for tick in range(1000):
        assert not suspension.lasts_too_long(tick * TIMING.tick_s, suspended)
