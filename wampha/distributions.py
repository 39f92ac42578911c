"""What is measured: how often a value fell into each of some ranges. Plain numbers; `observe/` reads them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, NamedTuple


class Measure(NamedTuple):
    """What a distribution is of, and the upper ends of its ranges; greater values have one more."""

    text: str
    bounds: tuple[float, ...]


_TURN_S: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
ROUND_TRIP_S: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

SMALL: Final = 32

MEASURES: Final[Mapping[str, Measure]] = {
    "publish_fanout": Measure(
        "subscribers of this node that each publication reached, from any node, the router's own included",
        (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000),
    ),
    "call_duration_seconds": Measure(
        "from each CALL of a session of this node to any end, by when the reactor's turns began",
        (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
    ),
    "raft_commit_seconds": Measure(
        "from each command that this node proposed to its known outcome",
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    ),
    "raft_applied_everywhere_seconds": Measure(
        "from an entry of the log being applied here until every node that may serve has applied it; one at a time",
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    ),
    "raft_apply_seconds": Measure("to apply one entry of the log", (0.00003, *_TURN_S[:-2])),
    "lease_round_trip_seconds": Measure(
        "from a ping of this node to the leader's answer, its lease", (*ROUND_TRIP_S[2:], 2.0)
    ),
}


# Counters that need not be counted beside a distribution: the sum of its values, or how many there were.
SUMS: Final = {"events_delivered": "publish_fanout"}
COUNTS: Final = {"calls_ended": "call_duration_seconds"}


class Distribution:
    """Counts of values by range, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds: Final = bounds
        self.counts: Final = [0] * (len(bounds) + 1)  # values up to each bound and above the one before it
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Take one more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def reading(self) -> tuple[list[int], float]:
        """The counts by range, and the sum."""
        return self.counts, self.sum


class Sizes(Distribution):
    """Of whole numbers from 0, most of them small: those below `SMALL` are counted one by one, without a search."""

    __slots__ = ("small",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self.small: Final = [0] * SMALL  # for the hot path, which adds 1 at the place of the number

    def reading(self) -> tuple[list[int], float]:
        """Likewise, with the small numbers."""
        counts, total = list(self.counts), self.sum
        for number, count in enumerate(self.small):
            counts[bisect_left(self.bounds, number)] += count
            total += number * count
        return counts, total
