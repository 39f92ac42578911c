"""systemd is told when the node serves, that it turns, and what it is doing (sd_notify(3); a unit of `Type=notify`).

It gives a datagram socket in the environment and gets lines such as `READY=1`. Nothing is told without it.

    start     READY=1 when clients are first served; before that STATUS says what is waited for
    SIGHUP    RELOADING=1, then READY=1
    SIGTERM   STOPPING=1, and for how long that may take
    always    WATCHDOG=1, from a timer of the reactor: a node whose reactor stands still is restarted
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TypeVar

from twisted.internet import defer
from twisted.logger import Logger

from wampha.routing.ports import Cancellable, Clock

_Result = TypeVar("_Result")

LOOK_S: Final = 1.0  # between two looks at what there is to tell
_OPENING_LOOK_S: Final = 0.1  # before clients are served
_WATCHDOG_SHARE: Final = 1 / 3  # of the time that systemd grants
_STOP_SPARE_S: Final = 10.0


class Manager:
    """The socket of systemd, or of another manager that speaks like it."""

    _log = Logger(namespace="wampha.notify")

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        """`address`: a path, or a name of the abstract kind behind `@`. `watchdog_s`: the longest silence."""
        self.watchdog_s: Final = watchdog_s
        self._address: Final = f"\0{address[1:]}" if address.startswith("@") else address
        self._failed = False

    @classmethod
    def of(cls, environment: MutableMapping[str, str], pid: int) -> Manager | None:
        """The one that has started this process, if it wants to be told; its variables are taken away, as is usual."""
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us, watched = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", str(pid))
        if not address.startswith(("/", "@")):
            return None
        return cls(address, int(watchdog_us) / 1e6 if watchdog_us.isdecimal() and watched == str(pid) else None)

    def tell(self, *lines: str) -> None:
        """Send one message; a manager that does not listen is mentioned once, and nothing else happens."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
                to.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._log.warn("the service manager cannot be told anything: {error}", error=error)


class Reports:
    """What one node tells its manager."""

    def __init__(
        self, manager: Manager, *, clock: Clock, ready: Callable[[], bool], condition: Callable[[], str]
    ) -> None:
        """`ready`: whether clients are served; `condition`: what the node is doing, in a few words."""
        self._manager: Final = manager
        self._clock: Final = clock
        self._ready: Final = ready
        self._condition: Final = condition
        watchdog_s = manager.watchdog_s
        self._look_s: Final = LOOK_S if watchdog_s is None else min(LOOK_S, watchdog_s * _WATCHDOG_SHARE)
        self._told_ready = False
        self._told = ""
        self._timer: Cancellable | None = None

    def start(self) -> None:
        """Tell from now on."""
        lines = []
        if self._manager.watchdog_s is not None:
            lines.append("WATCHDOG=1")
        if not self._told_ready and self._ready():
            self._told_ready = True
            lines.append("READY=1")
        condition = self._condition()
        if condition != self._told:
            self._told = condition
            lines.append(f"STATUS={condition}")
        if lines:
            self._manager.tell(*lines)
        look_s = self._look_s if self._told_ready else min(self._look_s, _OPENING_LOOK_S)
        self._timer = self._clock.call_later(look_s, self.start)

    def reload(self, reload: Callable[[], defer.Deferred[_Result]]) -> defer.Deferred[_Result]:
        """Read the configuration again, and say so before and behind it; fires as `reload` does."""
        self._manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        return reload().addBoth(self._reloaded)

    def _reloaded(self, result: Any) -> Any:
        self._manager.tell("READY=1")
        return result

    def stopping(self, within_s: float) -> None:
        """The node stops. The watchdog is fed to the end."""
        microseconds = int((within_s + _STOP_SPARE_S) * 1e6)
        self._manager.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}")

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._timer is not None:
            self._timer.cancel()


def manager() -> Manager | None:
    """The one that has started this process."""
    return Manager.of(os.environ, os.getpid())
