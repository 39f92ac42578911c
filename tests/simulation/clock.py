"""Virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

CREEP_S = 1e-7  # the clock creeps a little at each reading: no loop can wait for a time that never comes


class Timer:
    def __init__(self, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.call, self.args, self.cancelled = call, args, False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """`routing.ports.Clock` in which time passes only by `run`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._queue: list[tuple[float, int, Timer]] = []
        self._sequence = 0

    def now(self) -> float:
        self.time += CREEP_S
        return self.time

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Timer:
        timer = Timer(call, args)
        self._sequence += 1
        heapq.heappush(self._queue, (self.time + max(0.0, delay_s), self._sequence, timer))
        return timer

    def pending(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._queue)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True as soon as `until()` holds (asked after each step)."""
        end = self.time + seconds
        while self._queue and self._queue[0][0] <= end:
            at, _, timer = heapq.heappop(self._queue)
            self.time = max(self.time, at)
            if timer.cancelled:
                continue
            timer.call(*timer.args)
            if until is not None and until():
                return True
        self.time = max(self.time, end)
        return until is not None and until()


class SkewedClock:
    """A machine's clock: off by `offset` seconds, and running `rate` times as fast as time."""

    def __init__(self, world: VirtualClock, rate: float = 1.0, offset: float = 0.0) -> None:
        self._world, self._rate, self._offset = world, rate, offset

    def now(self) -> float:
        return self._world.now() * self._rate + self._offset

    def run_at(self, rate: float) -> None:
        """Run so fast from now on; what it shows makes no jump."""
        self._offset += self._world.time * (self._rate - rate)
        self._rate = rate

    def jump(self, seconds: float) -> None:
        self._offset += seconds

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Timer:
        return self._world.call_later(delay_s / self._rate, call, *args)
