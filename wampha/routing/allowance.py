"""How fast one session may send: so many messages at once, and so many per second in the long run.

A message that finds it empty waits at its connection, and what stands behind it is not read (`errors.Later`): the
client's own system makes it slower, and nothing is lost or overtaken.
"""

from __future__ import annotations

from typing import Final, NoReturn

from wampha.counters import Counters
from wampha.errors import TooFast
from wampha.routing.ports import Cancellable, Clock, Outbox

_PORTION_S: Final = 0.05  # who has to wait waits for so many messages' worth, so that each does not cost a timer
_ROUNDING: Final = 1e-6  # of an interval, so that nobody waits for the last digit of a sum


class Allowance:
    """One session's; it keeps a timer only while a message waits.

    Each message is due one interval behind the one before, or now if that is later. It may come before it is due, but
    not by more than all messages but one of a burst take.
    """

    __slots__ = ("_clock", "_counters", "_due", "_early_max", "_interval", "_outbox", "_portion", "_timer")

    def __init__(self, *, per_s: float, burst: int, clock: Clock, outbox: Outbox, counters: Counters) -> None:
        """`per_s`: messages per second, above 0; `burst`: messages at once."""
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._counters: Final = counters
        self._interval: Final = 1.0 / per_s
        self._early_max: Final = (burst - 1 + _ROUNDING) * self._interval
        self._portion: Final = min(burst, max(1.0, per_s * _PORTION_S))
        self._due = clock.now()  # of the next message
        self._timer: Cancellable | None = None

    def take(self) -> None:
        """Count one message; raises TooFast if it has to wait."""
        now = self._clock.now()
        early = self._due - now
        if early > self._early_max:
            self._wait(early - self._early_max)
        self._due = max(self._due, now) + self._interval

    def give_back(self) -> None:
        """The message that was counted waits for something else, and will be counted when it comes again."""
        self._due -= self._interval

    def stop(self) -> None:
        """The session has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def release(self) -> None:
        """It holds no longer: if a message waits, it goes on."""
        if self._timer is not None:
            self.stop()
            self._outbox.relieved(self)

    def _wait(self, seconds: float) -> NoReturn:
        if self._timer is None:
            self._counters.add("sessions_throttled")
            self._timer = self._clock.call_later(seconds + (self._portion - 1.0) * self._interval, self._go_on)
        raise TooFast(self)

    def _go_on(self) -> None:
        self._timer = None
        self._outbox.relieved(self)
