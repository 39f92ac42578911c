"""Each fault once or twice, with all that must hold while it lasts and after it; `python -m tests.chaos.*` measure it.

Nothing here asserts how fast something was: two shared cores say nothing of that.
"""

from __future__ import annotations

from tests.chaos import kills, partitions, pauses
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
