"""The one clock of a node: it cannot be set, and it does not stand still while a machine is suspended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

# protocol.md, section 1: a lease must have run out when a suspended machine wakes. Linux only; elsewhere (development)
# the monotonic clock is the best there is.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds since the machine was started, those in which it was suspended included."""
    return time.clock_gettime(_CLOCK)


def wall_ms() -> int:
    """Milliseconds since 1970 by the wall clock, which may be set: to be told, and for nothing to depend on (P11)."""
    return time.time_ns() // 1_000_000


def steady(reactor: Any) -> None:
    """Let all timers of a Twisted reactor run by this clock, before any is set.

    Twisted's own is the wall clock: set back by an hour, it would stand still for an hour, heartbeats included (P11).
    """
    reactor.seconds = boottime


class _Timer:
    """A delayed call that may be cancelled at any time, also after it ran."""

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call: Final = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()


class ReactorClock:
    """`routing.ports.Clock` on a reactor that provides Twisted's IReactorTime; a real one has been made `steady`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor: Final = reactor
        self.now: Final[Callable[[], float]] = reactor.seconds
        """Seconds; only differences mean something."""

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> _Timer:
        """Run `call(*args)` in the reactor after `delay_s` seconds (0: in the next turn)."""
        return _Timer(self._reactor.callLater(delay_s, call, *args))
