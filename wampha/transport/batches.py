"""Several WAMP messages in one WebSocket message (advanced profile, "Message Batching").

JSON: each message is followed by a separator, which JSON text cannot contain. MessagePack, and CBOR likewise: each
message has its length before it, in four octets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from struct import pack
from typing import Final, NamedTuple

from wampha.errors import ProtocolViolation
from wampha.transport.frames import WEBSOCKET_BINARY, WEBSOCKET_TEXT, Serializer, websocket_frame

SEPARATOR: Final = b"\x1e"  # the specification's
AUTOBAHN_SEPARATOR: Final = b"\x18"  # Autobahn|Python's and Crossbar's: its "30" read as an octal number
_PREFIX: Final = 4  # octets of a length
# What leaves in a turn may be much, and a client must not have to hold all of it before it can read the first message.
_JOINED_MAX: Final = 65536


class Batching:
    """How the messages of one kind of client are put into WebSocket messages, and taken out of them."""

    def __init__(
        self, first: int, framing: Callable[[bytes], bytes], split: Callable[[bytes], Iterator[bytes]]
    ) -> None:
        self.framing: Final = framing
        """One message as a finished frame, a batch of one."""
        self.split: Final = split
        """The messages of a batch, one after the other; ProtocolViolation where it cannot go on."""
        self.join: Final[Callable[[Sequence[bytes]], bytes]] = partial(joined, first)
        """Finished frames of one client put together: `joined`."""


def joined(first: int, frames: Sequence[bytes]) -> bytes:
    """Frames as one piece of bytes, in which neighbours that begin with the octet `first` have become one frame.

    Each element of `frames` that begins with `first` is one whole frame. A frame made of several has at most 64 KiB.
    """
    pieces: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for frame in frames:
        body = frame[_header_length(frame) :] if frame[0] == first else b""
        if batch and (not body or size + len(body) > _JOINED_MAX):
            pieces.append(websocket_frame(first, b"".join(batch)))
            batch, size = [], 0
        if body:
            batch.append(body)
            size += len(body)
        else:
            pieces.append(frame)
    if batch:
        pieces.append(websocket_frame(first, b"".join(batch)))
    return b"".join(pieces)


def _header_length(frame: bytes) -> int:
    """Octets before the body of an unmasked frame."""
    return 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10


def _split_separated(separator: bytes, body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body) or not body:
        end = body.find(separator, at)
        if end < 0:
            raise ProtocolViolation(f"each message of a batch ends with the octet 0x{separator.hex()}")
        yield body[at:end]
        at = end + 1


def _split_prefixed(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body) or not body:
        begin = at + _PREFIX
        at = begin + int.from_bytes(body[at:begin], "big")
        if at > len(body):
            raise ProtocolViolation("each message of a batch has its length before it, in four octets")
        yield body[begin:at]


def _frame_text(body: bytes) -> bytes:
    return websocket_frame(WEBSOCKET_TEXT, body + SEPARATOR)


def _frame_autobahn_text(body: bytes) -> bytes:
    return websocket_frame(WEBSOCKET_TEXT, body + AUTOBAHN_SEPARATOR)


def _frame_binary(body: bytes) -> bytes:
    return websocket_frame(WEBSOCKET_BINARY, pack(">L", len(body)) + body)


TEXT: Final = Batching(WEBSOCKET_TEXT, _frame_text, partial(_split_separated, SEPARATOR))
AUTOBAHN_TEXT: Final = Batching(WEBSOCKET_TEXT, _frame_autobahn_text, partial(_split_separated, AUTOBAHN_SEPARATOR))
BINARY: Final = Batching(WEBSOCKET_BINARY, _frame_binary, _split_prefixed)


class Subprotocol(NamedTuple):
    """What is agreed in the opening handshake; without `batching` each message is a WebSocket message."""

    serializer: Serializer
    batching: Batching | None


def subprotocols(serializers: Sequence[Serializer]) -> dict[str, Subprotocol]:
    """All that can be agreed on, by name: each serializer with batches and without."""
    plain = {f"wamp.2.{serializer.SERIALIZER_ID}": serializer for serializer in serializers}
    return {
        **{name: Subprotocol(serializer, None) for name, serializer in plain.items()},
        **{
            f"{name}.batched": Subprotocol(serializer, BINARY if serializer.BINARY else TEXT)
            for name, serializer in plain.items()
        },
    }
