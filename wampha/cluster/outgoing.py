"""The way of a link's bytes into its transport: as fast as the peer reads, and no faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

# Twisted joins what it is given once more, so a long queue goes over in pieces: no turn copies more than two of them.
_PIECE_BYTES: Final = 1024 * 1024


class Source(Protocol):
    """Where bytes come from."""

    def take(self, bytes_max: int) -> bytes:
        """The next bytes, at most so many; empty if there are none now."""


@implementer(IPushProducer)
class Outgoing:
    """Hands a source's bytes to a transport that would itself take bytes without limit."""

    def __init__(self, transport: Any, source: Source, resumed: Callable[[], None]) -> None:
        """`transport` is a Twisted transport of any kind that takes a producer.

        `resumed` is called when it has taken everything and got more.
        """
        self._transport: Final[Any] = transport
        self._source: Final = source
        self._resumed: Final = resumed
        self._paused = False  # the transport holds more than it can send
        transport.registerProducer(self, True)

    def flush(self) -> None:
        """Hand over what there is, unless the transport is behind: then it waits at the source."""
        while not self._paused:
            piece = self._source.take(_PIECE_BYTES)
            if not piece:
                return
            self._transport.write(piece)

    def finish(self) -> None:
        """Hand over everything and close the connection once it is sent."""
        while piece := self._source.take(_PIECE_BYTES):
            self._transport.write(piece)
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    # ---- IPushProducer, called by the transport

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport's buffer is empty."""
        self._paused = False
        self.flush()
        self._resumed()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        self._paused = True
