"""When what was queued leaves: at the end of the chunk that caused it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from wampha.transport.gate import Reactor


class Queued(Protocol):
    """A client for which something is queued (`outbox.ClientOutbox`)."""

    def flush(self) -> None:
        """Write it."""

    def failed(self) -> None:
        """`flush` has raised."""


class Flusher:
    """Writes what was queued for clients, and for other nodes, during a turn."""

    def __init__(self, reactor: Reactor, flush_links: Callable[[], None]) -> None:
        self._reactor: Final = reactor
        self._flush_links: Final = flush_links
        self._dirty: list[Queued] = []
        self._call: Any = None
        self._chunk_in_hand = False

    def begin(self) -> None:
        """A chunk is being handled, and `flush()` will be called behind it: no timer is needed."""
        self._chunk_in_hand = True

    def mark(self, client: Queued) -> None:
        """The client's queue is no longer empty."""
        self._dirty.append(client)
        if not self._chunk_in_hand and self._call is None:
            self._call = self._reactor.callLater(0, self._late)

    def flush(self) -> None:
        """Write what waits for every client, once each. Call it behind every received chunk, of clients and links."""
        self._chunk_in_hand = False
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for client in dirty:
                try:
                    client.flush()
                except Exception:  # one client must not keep the others from their messages
                    client.failed()
        self._flush_links()

    def _late(self) -> None:
        self._call = None
        self.flush()
