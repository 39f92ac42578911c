"""How long the reactor's turns last: all that happens between two looks for what the sockets have to say.

While a turn lasts nothing else happens: no heartbeat leaves, and no client is served. So none may last longer than
100 ms (docs/protocol.md, section 2), and each that does is counted.

Twisted tells nobody when it looks. Its reactors ask a poller, and `watch` stands in front of that one: two readings of
a clock per turn. A turn that lasts long because the machine gave the process no time counts too: nothing happened then
either.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.distributions import Distribution

LONG_S: Final = 0.1
ALARM_S: Final = 0.25  # from here on the log tells it,
_QUIET_S: Final = 10.0  # but at most once in this time
_NOTED_S: Final = 0.001  # shorter turns are only counted
_BOUNDS_S: Final = (0.001, 0.003, 0.01, 0.03, LONG_S, ALARM_S, 1.0)
# What clients send is read in turns of so many sockets; without it, a thousand that send at once make one turn of a
# thousand chunks. The system names them in rotation, so that each has its time.
_SOCKETS_MAX: Final = 8


class Turns:
    """The turns of one reactor since `watch`, or since `forget`."""

    _log = Logger(namespace="wampha.observe")

    def __init__(self, counters: Counters, now: Callable[[], float] = time.monotonic) -> None:
        self.longest_s = 0.0
        self._counters: Final = counters
        self._now: Final = now
        self._short = 0
        self._total_s = 0.0
        self._noted = [0] * (len(_BOUNDS_S) + 1)  # turns up to each of _BOUNDS_S, and longer ones
        self._began = math.inf  # before the first turn
        self._quiet_until = 0.0

    def watch(self, reactor: Any) -> bool:
        """Measure from now on; False if this kind of reactor has no poller, and nothing can be measured."""
        poller = getattr(reactor, "_poller", None)
        if not callable(getattr(poller, "poll", None)):
            return False
        reactor._poller = _Watched(poller, self)
        return True

    def status(self) -> dict[str, Any]:
        """How many there were, the longest, the sum, and how many lasted up to each of some times (not cumulative)."""
        names = ["0", *(f"{bound:g}" for bound in _BOUNDS_S)]
        lasting = [self._short + self._noted[0], *self._noted[1:]]
        ranges = [f"{low}-{high}" for low, high in pairwise(names)] + [f"{names[-1]}-"]
        return {
            "count": sum(lasting),
            "longest_s": round(self.longest_s, 6),
            "total_s": round(self._total_s, 3),
            "lasting_s": dict(zip(ranges, lasting, strict=True)),
        }

    def distribution(self) -> Distribution:
        """The same for `observe/exposition.py`; without the time before the first turn."""
        distribution = Distribution(_BOUNDS_S)
        distribution.counts[:] = [self._short + self._noted[0], *self._noted[1:]]
        distribution.sum = self._total_s
        return distribution

    def forget(self) -> None:
        """Begin anew, for a measurement."""
        self.longest_s = 0.0
        self._short = 0
        self._total_s = 0.0
        self._noted = [0] * len(self._noted)

    # ---- what the poller tells

    def ended(self) -> None:
        """The reactor looks what there is to do."""
        took = self._now() - self._began
        if took < _NOTED_S:
            if took > 0:  # else this is the first look, and no turn came before it
                self._total_s += took
            self._short += 1
        else:
            self._total_s += took
            self._note(took)

    def began(self) -> None:
        """It has found something, or a timer is due."""
        self._began = self._counters.turn_began = self._now()

    def _note(self, took: float) -> None:
        self._noted[bisect_left(_BOUNDS_S, took)] += 1
        self.longest_s = max(self.longest_s, took)
        if took > LONG_S:
            self._counters.add("turns_long")
        if took > ALARM_S and self._now() >= self._quiet_until:
            self._quiet_until = self._now() + _QUIET_S
            self._log.warn("nothing else was done for {took:.2f} s: so long lasted one turn of the reactor", took=took)


class _Watched:
    """A poller that tells when it is asked, and names few sockets at a time."""

    def __init__(self, poller: Any, turns: Turns) -> None:
        self._poller: Final = poller
        self._turns: Final = turns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def poll(self, timeout: float = -1, *count: int) -> Any:
        """As the poller's: epoll also takes how many sockets to name at most."""
        self._turns.ended()
        try:
            return self._poller.poll(timeout, *(min(each, _SOCKETS_MAX) for each in count))
        finally:
            self._turns.began()
