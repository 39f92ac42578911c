"""When what was queued for clients leaves: at the end of the chunk that caused it, and of much a portion per turn.

A client's queue keeps its order whenever it is written, so writing can wait; a fan-out to 100,000 clients is written
over many turns. What cannot wait is the input that causes it: the connection whose messages went to many reads on when
that has been written, and until then everybody else is served between the portions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from wampha.transport.gate import Reactor

_CLIENTS_MAX: Final = 2000  # written per turn: about 20 ms of the operating system's time
_FRESH_MAX: Final = 1000  # of these, clients that did not wait before, so that a large fan-out delays nobody else
_RECEIVERS_MAX: Final = 20_000  # that the messages of one chunk reach before it is put off: some 3 ms
_RESUMED_MAX: Final = 8  # connections that go on per turn


class Queued(Protocol):
    """A client for which something is queued (`outbox.ClientOutbox`)."""

    def flush(self) -> None:
        """Write it."""

    def failed(self) -> None:
        """`flush` has raised."""


class Source(Protocol):
    """A connection whose input is being handled (`connection.ClientConnection`, or a link to another node)."""

    def stop_flow(self) -> None:
        """Handle no further message in this turn; `resume` will be called."""

    def resume(self) -> object:
        """Go on."""


class Flusher:
    """Writes what was queued for clients, and for other nodes, during a turn."""

    def __init__(self, reactor: Reactor, flush_links: Callable[[], None]) -> None:
        self._reactor: Final = reactor
        self._flush_links: Final = flush_links
        self._dirty: list[Queued] = []  # something was queued since they were last written
        self._left: Final[deque[Queued]] = deque()  # of earlier turns, oldest first
        self._written = 0  # clients since `_go_on`
        self._call: Any = None
        self._continuation: Any = None  # the call of `_go_on` in the next turn
        self._chunk_in_hand = False
        self._source: Source | None = None  # whose chunk that is, until its flow is stopped
        self._reached = 0  # receivers of its messages
        self._stopped: Final[deque[Source]] = deque()

    def begin(self, source: Source | None = None) -> None:
        """A chunk is being handled, and `flush()` will be called behind it: no timer is needed."""
        self._chunk_in_hand = True
        self._source = source
        self._reached = 0

    def mark(self, client: Queued) -> None:
        """The client's queue is no longer empty."""
        self._dirty.append(client)
        if not self._chunk_in_hand and self._call is None:
            self._call = self._reactor.callLater(0, self._late)

    def reached(self, receivers: int) -> None:
        """A message of this chunk went to so many."""
        self._reached += receivers
        if self._reached > _RECEIVERS_MAX and self._source is not None:
            source, self._source = self._source, None
            source.stop_flow()
            self.let_go(source)

    def let_go(self, source: Source) -> None:
        """Resume a connection whose flow was stopped, in a later turn and after what waits to be written."""
        self._stopped.append(source)
        self._go_on_later()

    def flush(self) -> None:
        """Write what waits for every client, once each. Call it behind every received chunk, of clients and links."""
        self._chunk_in_hand = False
        self._source = None
        while self._dirty and not self._left:
            dirty, self._dirty = self._dirty, []
            if self._written + len(dirty) > _CLIENTS_MAX:
                self._write_some(dirty, _CLIENTS_MAX - self._written)
            else:
                self._write(dirty)
        self._flush_links()

    def _write(self, clients: list[Queued]) -> None:
        self._written += len(clients)
        for client in clients:
            try:
                client.flush()
            except Exception:  # one client must not keep the others from their messages
                client.failed()

    def _write_some(self, clients: list[Queued], count: int) -> None:
        """The first ones now, the others in the next turns."""
        self._write(clients[:count])
        self._left.extend(clients[count:])
        self._go_on_later()

    def _late(self) -> None:
        self._call = None
        self.flush()

    # ---- the next turn

    def _go_on_later(self) -> None:
        if self._continuation is None:
            self._continuation = self._reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._continuation = None
        self._written = 0
        older = len(self._left)
        dirty, self._dirty = self._dirty, []
        self._write(dirty[:_FRESH_MAX])
        self._left.extend(dirty[_FRESH_MAX:])
        portion = min(_CLIENTS_MAX - self._written, older or len(self._left))
        self._write([self._left.popleft() for _ in range(portion)])
        if not self._left:
            for _ in range(min(_RESUMED_MAX, len(self._stopped))):
                self._stopped.popleft().resume()
        self.flush()
        if self._left or self._stopped:
            self._go_on_later()
