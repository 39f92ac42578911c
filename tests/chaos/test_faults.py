"""Each fault once or twice, with all that must hold while it lasts and after it; `python -m tests.chaos.*` measure it.

Nothing here asserts how fast something was: two shared cores say nothing of that.
"""

from __future__ import annotations

import os

import pytest

from tests.chaos import (
    availability,
    churn,
    clocks,
    kills,
    leavers,
    mixture,
    partitions,
    pauses,
    reconnects,
    restarts,
    rude,
    weather,
)
from tests.chaos.results import Report


def check(reports: list[Report]) -> None:
    """No promise was broken, and something was looked at."""
    assert [violation for report in reports for violation in report.violations] == []
    assert all(report.figures for report in reports)


def test_nodes_are_killed_or_leave() -> None:
    check(kills.run(1, (*kills.KILLS, *kills.LEAVES)))


def test_nodes_are_killed_whose_death_is_certain() -> None:
    check(kills.run(1, ("follower", "observer"), certificates=True))


def test_three_nodes_are_parted() -> None:
    cuts = tuple(cut for cut in partitions.CUTS if cut.name in ("leader alone", "follower deaf"))
    check(partitions.run("abc", cuts, 1))


def test_nodes_stand_still() -> None:
    check(pauses.run((0.3, 2.5, 6.0), 1))


def test_clients_come_and_go_while_nodes_are_killed() -> None:
    check(availability.run(2, 4.0, 3, "abc"))


def test_all_clients_of_a_node_come_to_the_others() -> None:
    check(reconnects.run(200))


def test_sessions_leave_once_when_their_node_dies() -> None:
    check(leavers.run(2, certificates=True))


def test_nothing_stays_behind() -> None:
    check(churn.run(8_000))


def test_links_flap() -> None:
    check(weather.run(5.0, ("flapping",)))


def test_links_are_bad() -> None:
    check(weather.run(3.0, ("loss", "delay", "half-open", "vanishing")))


def test_all_nodes_die_at_once() -> None:
    check([restarts.run_all(1)])


def test_members_come_and_go_and_move() -> None:
    check(restarts.run_members(1))


@pytest.mark.skipif(clocks.library() is None and "CI" not in os.environ, reason="libfaketime is missing")
def test_wall_clocks_are_stepped() -> None:
    check(clocks.run(1, after_s=0.3))


def test_clients_vanish_without_a_word() -> None:
    check([rude.run_silent(rude.SHORT_PINGS, 8.0)])


def test_frames_promise_too_much() -> None:
    check([rude.run_oversized(5)])


def test_a_bridge_stays() -> None:
    cuts = tuple(cut for cut in partitions.CUTS if cut.name == "bridge between leader and follower")
    check(partitions.run("abc", cuts, 1))


def test_whatever_can_go_wrong_at_once() -> None:
    check(mixture.run(0.3, seed=0))
