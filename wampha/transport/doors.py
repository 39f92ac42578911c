"""A node's ports for clients, as one: open while it serves, shut when it was fenced and when it stops.

    CLOSED -- open() --> WAITING for links -- --> BINDING the addresses --> OPEN
      ^                     |                        |                       |
      `------- close() -----+------------------------+-----------------------'      shut(): SHUT, for good

A node that is only suspended keeps its ports, and whoever connects is refused at once (`listeners.py`): the lease may
be back in a moment. To be fenced takes longer, and then nobody listens.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet import defer
from twisted.logger import Logger
from twisted.python.failure import Failure

from wampha.errors import StartError
from wampha.transport.gate import Reactor

LISTEN_RETRY_S: Final = 1.0
LINKS_LOOK_S: Final = 0.02
LINKS_LOOKS: Final = 150  # three seconds: a member that cannot be reached by then keeps no clients out


class Door(Protocol):
    """One port (`listeners.Listener`)."""

    def listen(self) -> defer.Deferred[Any]:
        """Accept clients; fires when the port is bound, or fails with StartError."""

    def stop(self) -> defer.Deferred[Any]:
        """Accept no more."""

    def refuse_newcomers(self) -> None:
        """Close every connection that has not completed its opening handshake."""

    def drain(self) -> defer.Deferred[None]:
        """Close every connection behind what waits for it; fires when all are gone."""

    def cut(self) -> None:
        """Drop every connection."""


class State(enum.Enum):
    """Of all ports of the node."""

    CLOSED = 0
    WAITING = 1  # for links to all members
    BINDING = 2
    OPEN = 3
    SHUT = 4


class Doors:
    """The ports of one node."""

    _log = Logger(namespace="wampha.node")

    def __init__(
        self, *, doors: Sequence[Door], linked: Callable[[], bool], opened: Callable[[], None], reactor: Reactor
    ) -> None:
        """`linked`: whether what clients send would reach every member; `opened` is called when all ports are bound."""
        self._doors: Final = tuple(doors)
        self._linked: Final = linked
        self._opened: Final = opened
        self._reactor: Final = reactor
        self._state = State.CLOSED
        self._timers: Final[list[Any]] = []
        self._missing = 0  # ports that are not bound yet

    @property
    def open_to_clients(self) -> bool:
        """Whether every port is bound."""
        return self._state is State.OPEN

    def take_addresses(self, *, keep: bool) -> None:
        """Bind every address, and be open, or only see that it could be bound.

        Raises StartError, with a sentence, when one is taken already.
        """
        for door in self._doors:
            now(door.listen())
        if keep:
            self._state = State.OPEN
            self._opened()
        else:
            self.close()

    def open(self) -> None:
        """Accept clients once every member is linked: to serve takes a leader, but what clients publish must arrive.

        An address that is taken is tried again every second. Nothing happens if they are open, or shut.
        """
        if self._state is State.CLOSED:
            self._state = State.WAITING
            self._look(LINKS_LOOKS)

    def close(self) -> defer.Deferred[Any]:
        """Accept no more clients, until `open` is called again; fires when the ports are free. Connections stay."""
        if self._state is not State.SHUT:
            self._state = State.CLOSED
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
        return defer.DeferredList([door.stop() for door in self._doors])

    def shut(self) -> defer.Deferred[Any]:
        """Close for good."""
        self._state = State.SHUT
        return self.close()

    def refuse_newcomers(self) -> None:
        """Send those away who have only begun to connect, so that they try another node at once."""
        for door in self._doors:
            door.refuse_newcomers()

    def drain(self) -> defer.Deferred[Any]:
        """Close every connection behind what waits for it; fires when all are gone, bounded by goodbye_timeout_s."""
        return defer.DeferredList([door.drain() for door in self._doors])

    def cut(self) -> None:
        """Drop every connection."""
        for door in self._doors:
            door.cut()

    # ---- opening

    def _look(self, looks: int) -> None:
        if self._linked() or not looks:
            self._state = State.BINDING
            self._missing = len(self._doors)
            for door in self._doors:
                self._bind(door, first=True)
        else:
            self._later(LINKS_LOOK_S, self._look, looks - 1)

    def _bind(self, door: Door, first: bool) -> None:
        door.listen().addCallbacks(self._bound, self._missed, (door,), {}, (door, first))

    def _bound(self, _: object, door: Door) -> None:
        if self._state is not State.BINDING:  # closed meanwhile
            door.stop()
            return
        self._missing -= 1
        if not self._missing:
            self._state = State.OPEN
            self._opened()

    def _missed(self, failure: Failure, door: Door, first: bool) -> None:
        failure.trap(StartError)  # type: ignore[no-untyped-call]  # of Twisted
        if first:  # said once, whatever time it takes
            self._log.error("{error}; trying again every {delay} s", error=failure.value, delay=LISTEN_RETRY_S)
        if self._state is State.BINDING:
            self._later(LISTEN_RETRY_S, self._bind, door, False)

    def _later(self, delay_s: float, call: Callable[..., None], *args: object) -> None:
        self._timers[:] = [timer for timer in self._timers if timer.active()]
        self._timers.append(self._reactor.callLater(delay_s, call, *args))


def now(deferred: defer.Deferred[Any]) -> Any:
    """The result of a Deferred that must have fired already: binding an address does not wait for anything."""
    results: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    assert results, "an endpoint that binds later cannot be used here"
    return results[0]
