"""The bytes that wait for one peer: gathered during a reactor turn, handed over when the peer reads, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

# Twisted joins what it is given once more, so a long queue goes over in pieces: no turn copies more than two of them.
_PIECE_BYTES: Final = 1024 * 1024


@implementer(IPushProducer)
class Outgoing:
    """A queue in front of a transport that would itself take bytes without limit.

    Writers append to `buffer` and call `flush`; `waiting` is what they must bound. `resumed` is called when the
    transport has taken everything and got more.
    """

    def __init__(self, transport: Any, resumed: Callable[[], None]) -> None:
        """`transport` is a Twisted transport of any kind that takes a producer."""
        self.buffer: Final = bytearray()
        self._transport: Final[Any] = transport
        self._resumed: Final = resumed
        self._paused = False  # the transport holds more than it can send
        self._handed_over = 0  # bytes that it has got since it was last empty, as far as we are told
        transport.registerProducer(self, True)

    @property
    def waiting(self) -> int:
        """Bytes not yet taken by the operating system, except for some 64 KiB that Twisted does not tell of."""
        return len(self.buffer) + self._handed_over

    def flush(self) -> None:
        """Hand the gathered bytes to the transport, unless it is behind: then they wait here."""
        while self.buffer and not self._paused:
            piece = self._take()
            self._transport.write(piece)
            if self._paused:
                self._handed_over = len(piece)

    def _take(self) -> bytes:
        buffer = self.buffer
        if len(buffer) <= _PIECE_BYTES:
            piece = bytes(buffer)
            buffer.clear()
        else:
            piece = bytes(memoryview(buffer)[:_PIECE_BYTES])
            del buffer[:_PIECE_BYTES]
        return piece

    def finish(self) -> None:
        """Hand over everything and close the connection once it is sent."""
        if self.buffer:
            self._transport.write(bytes(self.buffer))
            self.buffer.clear()
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    # ---- IPushProducer, called by the transport

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport's buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport's buffer is empty."""
        self._paused = False
        self._handed_over = 0
        self.flush()
        self._resumed()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone, and with it what waited."""
        self._paused = True
        self.buffer.clear()
