"""Many messages, a bounded number of them on their way at once, and how long each took."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, Final

import click
from twisted.internet import defer
from twisted.python.failure import Failure

_PERCENTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


class Measure:
    """Sends numbers 0, 1, 2, ... as long as fewer than `window` of them are on their way."""

    def __init__(
        self,
        unit: str,
        count: int,
        window: int,
        *,
        receivers: int = 1,
        progress: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`unit` is what is counted. A number has arrived when it has at all of its `receivers`.

        `progress`: whether a bar on standard error shows how far it is.
        """
        self.unit: Final = unit
        self._count: Final = count
        self._window: Final = window
        self._clock: Final = clock
        self._bar: Final[Any] = click.progressbar(
            length=count, label=unit, hidden=not progress, update_min_steps=100, file=sys.stderr
        )
        self._receivers: Final = receivers
        self._sent_at: Final[dict[int, float]] = {}  # number -> when it was sent, of those on their way
        self._missing: Final[dict[int, int]] = {}  # number -> receivers that have not got it
        self._took: Final = array("d")  # seconds of each that arrived
        self._next = 0
        self._began = self._ended = 0.0
        self._done: Final[defer.Deferred[None]] = defer.Deferred()
        self._send: Callable[[int], None] | None = None
        self._filling = False

    async def run(self, send: Callable[[int], None]) -> None:
        """Send all numbers, and return when all have arrived. Raises what `failed` was told, or what `send` raises."""
        self._send = send
        self._began = self._clock()
        with self._bar:
            self._fill()
            await self._done
        self._ended = self._clock()

    def arrived(self, number: int) -> None:
        """One receiver has got the number."""
        if number not in self._missing:
            return
        self._missing[number] -= 1
        if self._missing[number]:
            return
        del self._missing[number]
        self._took.append(self._clock() - self._sent_at.pop(number))
        self._bar.update(1)
        self._fill()

    def failed(self, failure: Failure | BaseException) -> None:
        """It makes no sense to go on; nothing if it is over already."""
        if not self._done.called:
            self._done.errback(failure)

    def figures(self) -> dict[str, Any]:
        """Count, seconds, rate per second, and percentiles of the latency in milliseconds."""
        took, seconds = sorted(self._took), self._ended - self._began
        latency = {name: round(1000 * took[max(0, round(part * len(took)) - 1)], 3) for name, part in _PERCENTILES}
        rate = round(len(took) / seconds, 1) if seconds else 0.0
        return {"count": len(took), "seconds": round(seconds, 3), "per_second": rate, "latency_ms": latency}

    def _fill(self) -> None:
        if self._filling or self._done.called:
            return
        self._filling = True  # what is sent may arrive before `send` returns
        try:
            while self._next < self._count and len(self._sent_at) < self._window:
                number, self._next = self._next, self._next + 1
                self._missing[number] = self._receivers
                self._sent_at[number] = self._clock()
                assert self._send is not None
                self._send(number)
        except Exception as error:
            self.failed(error)
        finally:
            self._filling = False
        if not self._sent_at and self._next == self._count and not self._done.called:
            self._done.callback(None)
