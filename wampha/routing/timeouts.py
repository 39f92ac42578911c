"""Call timeouts: many deadlines, one timer (advanced profile, "Call Timeouts")."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wampha.routing.ports import Cancellable, Clock

if TYPE_CHECKING:
    from wampha.routing.work import PendingCall

_AHEAD_MAX_S: Final = 3600.0  # the timer looks no further; what is due later is looked at then
_SPARE: Final = 64  # ended timeouts that may lie in the heap before it is tidied


class Timeout:
    """The time that one call has for its next result."""

    __slots__ = ("deadline", "open", "pending", "seconds")

    def __init__(self, pending: PendingCall, seconds: float, now: float) -> None:
        self.pending: Final = pending
        self.seconds: Final = seconds
        self.deadline = now + seconds
        self.open = True


class Timeouts:
    """All timeouts of one node.

    A timeout that moves or ends stays in the heap until its former deadline, or until half of the heap is such: then
    the heap is made anew. So each call costs one push, and the heap is at most twice as long as there are timeouts.
    """

    def __init__(self, *, clock: Clock, expired: Callable[[PendingCall], None]) -> None:
        """`expired` is called once for a call that has had its time, with its timeout ended."""
        self._clock: Final = clock
        self._expired: Final = expired
        self._heap: list[tuple[float, int, Timeout]] = []  # by the deadline when pushed, then by age
        self._pushed = 0
        self._open = 0  # timeouts in the heap that have not ended
        self._timer: Cancellable | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        return self._open

    def start(self, pending: PendingCall, seconds: float) -> Timeout:
        """Give a call so many seconds."""
        timeout = Timeout(pending, seconds, self._clock.now())
        self._open += 1
        self._push(timeout)
        self._arm()
        return timeout

    def restart(self, timeout: Timeout) -> None:
        """A result has come: the call has its whole time again."""
        timeout.deadline = self._clock.now() + timeout.seconds

    def end(self, timeout: Timeout) -> None:
        """The call needs no time any more. Idempotent."""
        if not timeout.open:
            return
        timeout.open = False
        self._open -= 1
        if len(self._heap) > 2 * self._open + _SPARE or not self._open:
            self._heap = [entry for entry in self._heap if entry[2].open]
            heapq.heapify(self._heap)
            self._arm()

    def _push(self, timeout: Timeout) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (timeout.deadline, self._pushed, timeout))

    def _arm(self) -> None:
        if not self._heap:
            self._disarm()
            return
        at = self._heap[0][0]
        if self._timer is None or at < self._timer_at:
            self._disarm()
            now = self._clock.now()
            self._timer_at = min(at, now + _AHEAD_MAX_S)
            self._timer = self._clock.call_later(max(0.0, self._timer_at - now), self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            timeout = heapq.heappop(self._heap)[2]
            if not timeout.open:
                continue
            if timeout.deadline > now:
                self._push(timeout)
                continue
            timeout.open = False
            self._open -= 1
            self._expired(timeout.pending)
        self._arm()
