"""Keeping a connection: dial, wait, dial again. And the endpoints that are dialled and listened on."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.endpoints import HostnameEndpoint, serverFromString
from twisted.python.failure import Failure

from wampha.routing.ports import Cancellable, Clock

_PAUSE_MIN_S: Final = 0.1
_PAUSE_MAX_S: Final = 1.0
_PAUSE_GROWTH: Final = 1.6
_CONNECT_TIMEOUT_S: Final = 2.0


class TcpEndpoints:
    """Real sockets; a simulation brings its own. Both methods return Twisted endpoints."""

    def __init__(self, reactor: Any) -> None:
        self._reactor: Final = reactor

    def client(self, address: str) -> Any:
        """Where to dial `host:port`. The name is resolved anew by each endpoint; ValueError for no such form."""
        host, port = split_address(address)
        return HostnameEndpoint(self._reactor, host, port, timeout=_CONNECT_TIMEOUT_S)

    def server(self, description: str) -> Any:
        """Where to listen, as Twisted's endpoint string; ValueError if it is none."""
        return serverFromString(self._reactor, description)  # type: ignore[no-untyped-call]  # of Twisted


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[ipv6]:port` in two; ValueError with a sentence for anything else."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not of the form host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Dialling(enum.Enum):
    """What a dialer does."""

    IDLE = 0
    CONNECTING = 1
    CONNECTED = 2
    WAITING = 3


class Dialer:
    """Dials once started, and again after each failure and loss, with growing jittered pauses, until stopped."""

    def __init__(
        self,
        *,
        clock: Clock,
        connect: Callable[[], defer.Deferred[Any]],
        failed: Callable[[Failure], None],
        chance: random.Random,
    ) -> None:
        """`connect` makes one attempt; `failed` hears of each attempt that made no connection."""
        self.state = Dialling.IDLE
        self._clock: Final = clock
        self._connect: Final = connect
        self._failed: Final = failed
        self._chance: Final = chance
        self._pause_s = _PAUSE_MIN_S
        self._attempt: defer.Deferred[Any] | None = None
        self._connection: object = None
        self._timer: Cancellable | None = None

    def start(self) -> None:
        """Dial now, unless there is a connection or an attempt already; a pending pause is cut short."""
        if self._connection is not None:
            self.state = Dialling.CONNECTED
            return
        if self.state is Dialling.WAITING:
            self.stop()
        if self.state is Dialling.IDLE:
            self._dial()

    def stop(self) -> None:
        """Dial no more; a connection that exists is left alone."""
        self.state = Dialling.IDLE
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._attempt is not None:
            self._attempt.cancel()

    def lost(self, connection: object, lasted: bool) -> None:
        """`connection` is gone; if it was this dialer's: dial again after a pause, a short one if it had `lasted`."""
        if connection is not self._connection:
            return
        self._connection = None
        if lasted:
            self._pause_s = _PAUSE_MIN_S
        if self.state is Dialling.CONNECTED:
            self._wait()

    def _dial(self) -> None:
        self.state = Dialling.CONNECTING
        self._timer = None
        self._attempt = attempt = defer.maybeDeferred(self._connect)
        attempt.addCallbacks(self._on_connection, self._on_failure)
        attempt.addBoth(self._forget)

    def _on_connection(self, connection: object) -> None:
        self._connection = connection
        self.state = Dialling.CONNECTED

    def _on_failure(self, failure: Failure) -> None:
        if self.state is Dialling.CONNECTING:
            self._failed(failure)
            self._wait()

    def _forget(self, _result: object) -> None:
        self._attempt = None

    def _wait(self) -> None:
        self.state = Dialling.WAITING
        self._timer = self._clock.call_later(self._pause_s * self._chance.uniform(0.5, 1.0), self._dial)
        self._pause_s = min(_PAUSE_MAX_S, self._pause_s * _PAUSE_GROWTH)
