"""Virtual time of a whole world, and processes that live in it: they pause, are slow, and die."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

CREEP_S = 1e-7  # the clock creeps a little at each reading: no loop can wait for a time that never comes

Due = list[Any]  # [time, sequence, call or None, arguments]


class Timeline:
    """What happens next, in the order of time; equal times in the order in which they were asked for."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.steps = 0
        self.current: Process | None = None  # whose turn it is
        self._heap: list[Due] = []
        self._sequence = 0

    def now(self) -> float:
        self.time += CREEP_S
        return self.time

    def after(self, delay_s: float, call: Callable[..., Any], *args: Any) -> Due:
        """Call later; to cancel, put None in the place of the call."""
        self._sequence += 1
        due: Due = [self.time + delay_s if delay_s > 0 else self.time, self._sequence, call, args]
        heapq.heappush(self._heap, due)
        return due

    def pending(self) -> int:
        return sum(due[2] is not None for due in self._heap)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True as soon as `until()` holds, which is asked after each step."""
        heap, end = self._heap, self.time + seconds
        while heap and heap[0][0] <= end:
            at, _, call, args = heapq.heappop(heap)
            if call is None:
                continue
            self.time = max(self.time, at)
            self.steps += 1
            call(*args)
            if until is not None and until():
                return True
        self.time = max(self.time, end)
        return until is not None and until()


class Process:
    """A process: turn after turn, unless it is stopped, busy or dead.

    `failed(exception)` hears of what a turn raised; `turned()` runs at the end of each.
    """

    def __init__(self, timeline: Timeline, chance: random.Random, name: str) -> None:
        self.timeline, self.name = timeline, name
        self.alive, self.stopped = True, False
        self.cost_s = 0.0  # what a turn takes
        self.failed: Callable[[Exception], None] = _raise
        self.turned: list[Callable[[], None]] = []
        self._chance = chance
        self._busy_until = 0.0
        self._waiting: deque[tuple[bool, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._draining = False

    def enter(self, call: Callable[..., Any], *args: Any, timer: bool = False) -> None:
        """Something for this process to handle has come: at once, or when it runs again."""
        if not self.alive:
            return
        if self.timeline.current is self:  # one turn at a time
            self.timeline.after(0.0, lambda: self.enter(call, *args, timer=timer))
        elif self.stopped or self._waiting or self.timeline.time < self._busy_until:
            self._waiting.append((timer, call, args))
            self._drain_later()
        else:
            self._turn(call, args)

    def stop(self) -> None:
        """SIGSTOP: the machine goes on, the process does not."""
        self.stopped = True

    def wake(self) -> None:
        """SIGCONT: timers that are due and sockets that are ready are handled in any order, timers in their own."""
        self.stopped = False
        timers = deque(entry for entry in self._waiting if entry[0])
        others = [entry for entry in self._waiting if not entry[0]]
        self._chance.shuffle(others)
        timers_first = self._chance.random() < 0.3
        merged: deque[Any] = deque()
        while timers or others:
            take_timer = timers and (not others or timers_first or self._chance.random() < 0.5)
            merged.append(timers.popleft() if take_timer else others.pop())
        self._waiting = merged
        self._drain_later()

    def end(self) -> None:
        self.alive = False
        self._waiting.clear()

    def _turn(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.timeline.current = self
        try:
            call(*args)
        except Exception as exception:
            self.failed(exception)
        for turned in self.turned:
            turned()
        self.timeline.current = None
        if self.cost_s:
            self._busy_until = self.timeline.time + self.cost_s * self._chance.uniform(0.5, 1.5)

    def _drain_later(self) -> None:
        if not self._draining and self._waiting and not self.stopped:
            self._draining = True
            self.timeline.after(max(0.0, self._busy_until - self.timeline.time), self._drain)

    def _drain(self) -> None:
        self._draining = False
        while self._waiting and self.alive and not self.stopped and self.timeline.time >= self._busy_until:
            _, call, args = self._waiting.popleft()
            self._turn(call, args)
        self._drain_later()


def _raise(exception: Exception) -> None:
    raise exception
