"""Which callee of a shared registration gets a call (advanced profile, "Shared Registration").

Callees stand in the order of the log, each with the index of the entry that added it: an order that is the same on all
nodes, and that outlives the coming and going of others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from wampha.names.patterns import PatternIndex
from wampha.state.registrations import FIRST, LAST, RANDOM, ROUNDROBIN, SINGLE
from wampha.state.tables import Callee, Registration

_SPARE: Final = 64  # turns of registrations that are gone, kept before all are looked at
_index: Final = attrgetter("index")


def choose(policy: str, callees: Sequence[Callee], *, after: int, draw: Callable[[int], int]) -> Callee:
    """One of the callees, of which there is at least one, in the order of their indices.

    `after`: by `roundrobin` the one that comes next after this index, or the first of all; `draw(n)`: of 0..n-1.
    """
    if policy in (SINGLE, FIRST) or len(callees) == 1:
        return callees[0]
    if policy == LAST:
        return callees[-1]
    if policy == RANDOM:
        return callees[draw(len(callees))]
    return callees[bisect_right(callees, after, key=_index) % len(callees)]


def beginning(callees: Sequence[Callee], place: int, places: int) -> int:
    """Where the cycle of a node begins, as the index after which it chooses.

    Each node has a cycle of its own, so that of any number of calls no callee gets more than one more from a node than
    another. The nodes begin in places spread over the cycle, so that few calls from each do not all meet one callee.
    """
    start = place * len(callees) // places
    return callees[start - 1].index if start else 0


class Turns:
    """Whose turn it is, by `roundrobin`, for the calls of this node in one realm."""

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw: Final = draw
        self._last: dict[int, int] = {}  # registration -> index of the callee that was chosen last

    def __len__(self) -> int:
        return len(self._last)

    def choose(
        self,
        registration: Registration,
        callees: Sequence[Callee],
        *,
        rows: PatternIndex[Registration],
        place: Callable[[], tuple[int, int]],
    ) -> Callee:
        """One of `callees`, some of the registration's in their order.

        `rows`: all registrations there are; `place`: this node's among how many.
        """
        if registration.policy != ROUNDROBIN:
            return choose(registration.policy, callees, after=0, draw=self._draw)
        last = self._last.get(registration.id)
        if last is None:
            self._tidy(rows)
            last = beginning(registration.callees, *place())
        chosen = choose(ROUNDROBIN, callees, after=last, draw=self._draw)
        self._last[registration.id] = chosen.index
        return chosen

    def _tidy(self, rows: PatternIndex[Registration]) -> None:
        """Forget registrations that are gone, when they are more than those that are left."""
        if len(self._last) > 2 * len(rows) + _SPARE:
            self._last = {row.id: self._last[row.id] for row in rows if row.id in self._last}
