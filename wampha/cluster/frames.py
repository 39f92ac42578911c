"""The bytes between nodes: frames with a length in front, and what the frames of an open link hold.

    frame        length (4 bytes, big-endian) and so many bytes
    keep-alive   a frame of length 0, on either channel
    control      the ledger's bytes as they are
    data         `Resume` first, then `Envelope` and `Ack`, in MessagePack

The frames of the handshake stand in `handshake.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from wampha.errors import WamphaError
from wampha.messages.relayed import Relayed

KEEP_ALIVE: Final = b"\0\0\0\0"
_NO_LENGTH: Final = b"\0\0\0\0"  # stands where the length will be written
_LENGTH: Final = struct.Struct(">I")
_LENGTH_BYTES: Final = _LENGTH.size
_Count = Annotated[int, msgspec.Meta(ge=0)]


class FrameError(WamphaError):
    """A frame that cannot be read, is too large, or cannot be written; `length`: the one that was announced, if any."""

    def __init__(self, sentence: str, length: int = 0) -> None:
        super().__init__(sentence)
        self.length: Final = length


class Envelope(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """What is relayed, to which incarnation (protocol rule 29), as the how-manieth of its stream, from 1."""

    target: int
    sequence: int
    relayed: Relayed


class Ack(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """All envelopes up to a number have arrived."""

    received: int


class Resume(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Where each direction of a stream stands; see `stream.py`."""

    stream: _Count
    heard: _Count
    received: _Count
    first: Annotated[int, msgspec.Meta(ge=1)]
    origin: _Count


DataFrame = Envelope | Ack | Resume
_encode: Final = msgspec.msgpack.Encoder().encode
_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_decode: Final = msgspec.msgpack.Decoder(DataFrame).decode

# What msgspec raises for content that it cannot write: numbers above 64 bits, lone surrogates, foreign types, depth.
_UNWRITABLE: Final = (OverflowError, TypeError, ValueError, RecursionError)


def framed(body: bytes) -> bytes:
    """The frame that holds `body`, of less than 4 GiB."""
    return _LENGTH.pack(len(body)) + body


def frames_end(data: bytes, count: int) -> int:
    """Where the first `count` frames of `data` end."""
    end = 0
    for _ in range(count):
        end += _LENGTH_BYTES + _LENGTH.unpack_from(data, end)[0]
    return end


def written(frame: Ack | Resume) -> bytes:
    """The frame of an acknowledgement or a resume."""
    return framed(_encode(frame))


def append_envelope(buffer: bytearray, envelope: Envelope, bytes_max: int) -> int:
    """Write the frame of `envelope` behind what `buffer` holds; returns the bytes written.

    FrameError, with `buffer` as it was, if its content has no MessagePack form or takes more than `bytes_max` bytes.
    """
    start = len(buffer)
    buffer += _NO_LENGTH
    try:
        _encode_into(envelope, buffer, -1)
    except _UNWRITABLE as error:
        del buffer[start:]
        raise FrameError(f"a message cannot be written for another node: {error}") from None
    length = len(buffer) - start - _LENGTH_BYTES
    if length > bytes_max:
        del buffer[start:]
        raise FrameError(f"a frame of {length} bytes is longer than link_frame_bytes_max ({bytes_max})")
    _LENGTH.pack_into(buffer, start, length)
    return _LENGTH_BYTES + length


def read_data(body: bytes) -> DataFrame:
    """The data frame in `body`; FrameError if it holds none, whatever the bytes are."""
    try:
        frame: DataFrame = _decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise FrameError(f"a data frame cannot be read: {error}") from None
    return frame


class FrameReader:
    """Cuts a stream of chunks into frames, in time linear in the bytes, whatever the sizes of chunks and frames.

    `bytes_max` may be changed between two frames; a longer frame is refused as soon as its length is known.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._pending: Final = bytearray()  # the beginning of an unfinished frame, length included
        self._needed = 0  # bytes that `_pending` must hold before it is worth looking again

    def frames(self, chunk: bytes) -> Iterator[bytes]:
        """The contents of the frames that `chunk` completes, in order; take all of them before the next chunk.

        FrameError if a length exceeds `bytes_max`; the stream is lost then.
        """
        if self._pending:
            self._pending.extend(chunk)
            if len(self._pending) < self._needed:
                return
            chunk = bytes(self._pending)
            self._pending.clear()
        start, end = 0, len(chunk)
        needed = _LENGTH_BYTES
        while end - start >= _LENGTH_BYTES:
            stop = start + _LENGTH_BYTES + self._length(chunk, start)
            if stop > end:
                needed = stop - start
                break
            yield chunk[start + _LENGTH_BYTES : stop]
            start = stop
        if start < end:
            self._pending.extend(chunk[start:])
            self._needed = needed

    def _length(self, chunk: bytes, start: int) -> int:
        length: int = _LENGTH.unpack_from(chunk, start)[0]
        if length > self.bytes_max:
            raise FrameError(f"a frame of {length} bytes is announced, {self.bytes_max} are allowed", length)
        return length
