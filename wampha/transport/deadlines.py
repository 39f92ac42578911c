"""Deadlines of all connections by one timer: opening handshake, silence, closing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, Protocol

from wampha.limits import Limits
from wampha.transport.gate import Gate, Reactor

_SPOKES: Final = 10  # connections are looked at in this many portions, so that no turn pings all of them
_CUTS_MAX: Final = 200  # and this many are cut in one; others that are due are cut when they are looked at again
_TICKS: Final = 5  # looks at a connection within the shortest deadline


class Watched(Protocol):
    """A connection, as the wheel sees it."""

    spoke: int

    def tick(self, frozen: bool) -> None:
        """One tick has passed; `frozen`: nothing was read from clients, so silence proves nothing."""


class Deadlines:
    """Gives every connection a tick about once per `tick_s`; connections count them. No timer runs without one.

    A timer per connection would cost more than all the rest of an idle connection.
    """

    def __init__(self, *, reactor: Reactor, limits: Limits, gate: Gate) -> None:
        shortest = min(
            limits.opening_timeout_s, limits.ping_interval_s, limits.ping_timeout_s, limits.goodbye_timeout_s
        )
        self.tick_s: Final = shortest / _TICKS
        self.opening: Final = self._ticks(limits.opening_timeout_s)
        self.ping: Final = self._ticks(limits.ping_interval_s)
        self.silent: Final = self.ping + self._ticks(limits.ping_timeout_s)
        self.closing: Final = self._ticks(limits.goodbye_timeout_s)
        self._reactor: Final = reactor
        self._gate: Final = gate
        self._spokes: Final[list[dict[Watched, None]]] = [{} for _ in range(_SPOKES)]
        self._at = 0
        self._last_added = 0
        self._timer: Any = None
        self._cuts_left = _CUTS_MAX

    def may_cut(self) -> bool:
        """Whether one more connection may be cut in this turn; it counts as cut."""
        self._cuts_left -= 1
        return self._cuts_left >= 0

    def _ticks(self, seconds: float) -> int:
        return math.ceil(seconds / self.tick_s)

    def add(self, connection: Watched) -> None:
        """Begin to give ticks to the connection."""
        self._last_added = connection.spoke = (self._last_added + 1) % _SPOKES
        self._spokes[connection.spoke][connection] = None
        if self._timer is None:
            self._timer = self._reactor.callLater(self.tick_s / _SPOKES, self._turn)

    def discard(self, connection: Watched) -> None:
        """No more ticks; harmless if it had none."""
        self._spokes[connection.spoke].pop(connection, None)

    def __len__(self) -> int:
        return sum(map(len, self._spokes))

    def __iter__(self) -> Iterator[Watched]:
        return iter([connection for spoke in self._spokes for connection in spoke])

    def _turn(self) -> None:
        if not len(self):
            self._timer = None
            return
        self._timer = self._reactor.callLater(self.tick_s / _SPOKES, self._turn)
        self._gate.poll()
        frozen = not self._gate.open()
        self._cuts_left = _CUTS_MAX
        self._at = (self._at + 1) % _SPOKES
        for connection in list(self._spokes[self._at]):
            connection.tick(frozen)
