"""Protocol section 2: the times follow from one setting, and fit together."""

from __future__ import annotations

import dataclasses

import pytest

from wampha.config.schema import ClusterSettings
from wampha.ledger.constants import Timing


def test_the_standard_times_are_those_of_the_protocol() -> None:
    timing = Timing.of()
    assert (timing.election_min_s, timing.election_max_s, timing.lease_s) == (0.5, 1.0, 1.5)
    assert (timing.leader_lease_s, timing.ping_s, timing.tick_s) == (0.5, 0.1, 0.05)
    assert (timing.suspended_s, timing.silence_s, timing.grace_s) == (3.5, 5.0, 5.0)


def test_slower_elections_lengthen_the_lease() -> None:
    timing = Timing.of(1.0)
    assert (timing.election_max_s, timing.lease_s) == (2.0, 2.5)
    assert timing.silence_s >= timing.lease_s + timing.suspended_s


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("lease_s", 1.2, "F - P - 2 RTT - tick"),
        ("leader_lease_s", 0.2, "LS >= 3 P"),
        ("leader_lease_s", 2.0, "LS <= F"),
        ("ping_s", 0.16, "P <= F / 10"),
        ("tick_s", 0.06, "tick <= P / 2"),
        ("election_min_s", 0.3, "raftMin > 3"),
        ("election_min_s", 1.0, "raftMax > raftMin"),
        ("silence_s", 4.9, "D >= F + S"),
        ("grace_s", 1.0, "G >= k F"),
    ],
)
def test_times_that_do_not_fit_together_are_refused_by_name(field: str, value: float, named: str) -> None:
    with pytest.raises(ValueError, match=named.replace("+", r"\+")):
        dataclasses.replace(Timing.of(), **{field: value})


def test_elections_faster_than_the_heartbeat_allows_are_refused() -> None:
    with pytest.raises(ValueError, match="raftMin > 3 append periods"):
        Timing.of(0.3)


@pytest.mark.parametrize("bound", ["ge", "le"])
def test_every_election_timeout_that_may_be_configured_makes_times_that_fit(bound: str) -> None:
    [limit] = [
        getattr(each, bound)
        for each in ClusterSettings.model_fields["election_timeout_s"].metadata
        if hasattr(each, bound)
    ]
    assert Timing.of(limit).election_min_s == limit


def test_the_configured_one_is_the_standard_one() -> None:
    assert Timing.of(ClusterSettings.model_fields["election_timeout_s"].default) == Timing.of()
