"""The gate between clients and routing: input is held while this node holds no lease (protocol rules 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol

from wampha.limits import KIB

# Per reactor turn, so that none lasts long: connections that are let go on, and bytes of theirs that are handled.
_BATCH: Final = 50
_BATCH_BYTES_MAX: Final = 128 * KIB


class Reactor(Protocol):
    """What the transport needs of Twisted's reactor (`IReactorTime`); in unit tests `twisted.internet.task.Clock`."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Any:  # noqa: N802 - Twisted's name
        """Run `callable(*args)` after `delay` seconds."""


class Held(Protocol):
    """A connection that waits for the gate."""

    def resume(self) -> int:
        """Handle what was held, through the same path as new input: the gate is asked again. Returns its bytes."""


class Gate:
    """Open while the node serves; asked once per received chunk, after the chunk was read (rule 1)."""

    def __init__(self, *, serving: Callable[[], bool], reactor: Reactor) -> None:
        """`serving` reads the clock at every call; `reactor` spreads the work when the gate opens."""
        self.open: Final = serving
        self._reactor: Final = reactor
        self._waiting: Final[dict[Held, None]] = {}  # in the order in which they came
        self._scheduled = False

    def hold(self, connection: Held) -> None:
        """Remember a connection that has stopped reading; it goes on when the gate opens."""
        self._waiting[connection] = None

    def forget(self, connection: Held) -> None:
        """The connection waits no longer; harmless if it never did."""
        self._waiting.pop(connection, None)

    def changed(self, serving: bool) -> None:
        """The lease came or went."""
        if serving:
            self.poll()

    def poll(self) -> None:
        """Let waiting connections go on if the gate is open.

        The lease can end and return between two looks of the ledger, which then tells nobody: so this is also called
        by a timer, several times a second, while there are connections.
        """
        if self._waiting and not self._scheduled and self.open():
            self._release()

    def _release(self) -> None:
        self._scheduled = False
        handled = 0
        for connection in list(islice(self._waiting, _BATCH)):
            if not self.open():
                return
            if handled > _BATCH_BYTES_MAX:
                break
            self._waiting.pop(connection, None)
            handled += connection.resume()
        if self._waiting:
            self._scheduled = True
            self._reactor.callLater(0, self._release)
