"""What an open link carries: frames of the ledger, or its part of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from wampha.cluster.frames import KEEP_ALIVE, Ack, Envelope, framed, read_data, written
from wampha.cluster.stream import Loss, Stream
from wampha.counters import Counters
from wampha.messages.relayed import Relayed
from wampha.state.commands import Owner


class Carrier(Protocol):
    """One open link's content, both ways."""

    def take(self, bytes_max: int) -> bytes:
        """The next bytes to send, at most so many; empty if there are none now."""

    def receive(self, body: bytes) -> None:
        """One frame, empty if it is a keep-alive. Raises FrameError."""

    def chunk_ended(self) -> bool:
        """No more is handed over in this turn; True if there is an answer to flush at once."""

    def beat(self) -> None:
        """The link needs something to send."""


class ControlCarrier:
    """Frames of the ledger, as they are."""

    def __init__(self, on_frame: Callable[[bytes], None]) -> None:
        self._buffer: Final = bytearray()
        self._on_frame: Final = on_frame

    @property
    def waiting(self) -> int:
        """Bytes that wait to be taken."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """Queue one frame."""
        self._buffer.extend(framed(data))

    def take(self, bytes_max: int) -> bytes:
        buffer = self._buffer
        if len(buffer) <= bytes_max:
            piece = bytes(buffer)
            buffer.clear()
        else:
            piece = bytes(memoryview(buffer)[:bytes_max])
            del buffer[:bytes_max]
        return piece

    def receive(self, body: bytes) -> None:
        if body:
            self._on_frame(body)

    def chunk_ended(self) -> bool:
        """The ledger is told frame by frame."""
        return False

    def beat(self) -> None:
        self._buffer.extend(KEEP_ALIVE)


class DataCarrier:
    """One connection's part of a stream: first the two `Resume`, then envelopes and acknowledgements.

    Messages come in groups: those of one chunk, or of what the link handles of it in one turn.
    """

    def __init__(
        self,
        *,
        stream: Stream,
        incarnation: int,
        counters: Counters,
        on_chunk: Callable[[], None],
        on_data: Callable[[Owner, Relayed], None],
        on_chunk_end: Callable[[], None],
        on_resumed: Callable[[Loss | None, Loss | None], None],
        on_missing: Callable[[Loss], None],
    ) -> None:
        """`incarnation` is ours, as the peer knows it. `on_resumed(ours, theirs)`: the stream flows, after losses.

        `on_chunk` and `on_chunk_end` stand before the first and behind the last `on_data` of each group.
        """
        self._stream: Final = stream
        self._incarnation: Final = incarnation
        self._counters: Final = counters
        self._on_chunk: Final = on_chunk
        self._on_data: Final = on_data
        self._on_chunk_end: Final = on_chunk_end
        self._on_resumed: Final = on_resumed
        self._on_missing: Final = on_missing
        self._aside: bytes = written(stream.connected())  # goes out between two frames of the stream
        self._delivered = 0  # envelopes of the present group

    def take(self, bytes_max: int) -> bytes:
        stream = self._stream
        if not stream.waiting and not self._aside and not stream.ack_due:  # it is asked again behind each write
            return b""
        if not stream.offset:
            if self._aside:
                aside, self._aside = self._aside, b""
                return aside
            if stream.ack_due:
                return self._ack()
        return stream.take(bytes_max)

    def _ack(self) -> bytes:
        ack = self._stream.ack()
        return written(ack) if ack is not None else b""

    def beat(self) -> None:
        """Acknowledge what came since the last time; the peer may forget it then."""
        if not self._stream.offset and not self._aside:
            self._aside = self._ack() or KEEP_ALIVE

    def receive(self, body: bytes) -> None:
        if not body:
            return
        frame = read_data(body)
        if isinstance(frame, Envelope):
            stream = self._stream
            missing = stream.accept(frame.sequence, len(body))
            if missing is not None:
                self._on_missing(missing)
            if frame.target != self._incarnation:
                self._counters.add("forwards_misaddressed")  # rule 29
                return
            if not self._delivered:
                self._on_chunk()
            self._delivered += 1
            self._on_data(stream.peer, frame.relayed)
        elif isinstance(frame, Ack):
            self._stream.acknowledged(frame.received)
        else:
            self._on_resumed(*self._stream.resume(frame))

    def chunk_ended(self) -> bool:
        if self._delivered:
            self._counters.add("forwards_received", self._delivered)
            self._delivered = 0
            self._on_chunk_end()
        return self._stream.ack_due
