"""Frames of the two transports, and the groups of clients that can share one finished frame."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any, Final, Protocol

from wampha.errors import WamphaError

WEBSOCKET_TEXT: Final = 0x81  # FIN and opcode 1 (RFC 6455, section 5.2)
WEBSOCKET_BINARY: Final = 0x82

RAWSOCKET_LENGTH_MAX: Final = 2**24 - 1  # the 25th bit, for exactly 16 MiB, is never sent nor accepted
RAWSOCKET_MESSAGE: Final = 0
RAWSOCKET_PING: Final = 1
RAWSOCKET_PONG: Final = 2

MASKED: Final = 0x80  # the bit in the second octet of every frame of a client
MASKED_HEADER_MIN: Final = 6  # octets of the header of a masked frame of less than 126 octets

_SHORT: Final = 126  # from this length on a WebSocket length takes two more octets,
_LONG: Final = 65536  # and from this one on eight


class Serializer(Protocol):
    """What a connection needs of `messages.serializers`."""

    @property
    def SERIALIZER_ID(self) -> str: ...  # noqa: N802 - Autobahn's names

    @property
    def RAWSOCKET_SERIALIZER_ID(self) -> int: ...  # noqa: N802

    @property
    def BINARY(self) -> bool: ...  # noqa: N802

    def parse(self, data: bytes) -> Any:
        """One message; ProtocolViolation whatever is wrong with the bytes."""

    def encode(self, message: Any) -> bytes:
        """The message, unframed; WamphaError if its payload cannot be written in this format."""


class TooLarge(WamphaError):
    """The message is larger than the client said it would accept."""


def websocket_frame(first: int, body: bytes) -> bytes:
    """One unmasked, unfragmented frame; `first` is WEBSOCKET_TEXT or WEBSOCKET_BINARY (RFC 6455, section 5.2)."""
    length = len(body)
    if length < _SHORT:
        return bytes((first, length)) + body
    if length < _LONG:
        return pack(">BBH", first, 126, length) + body
    return pack(">BBQ", first, 127, length) + body


def websocket_text(body: bytes) -> bytes:
    """A text frame."""
    return websocket_frame(WEBSOCKET_TEXT, body)


def websocket_binary(body: bytes) -> bytes:
    """A binary frame."""
    return websocket_frame(WEBSOCKET_BINARY, body)


def masked_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the body begins and how long it is, for a length of two or eight octets.

    -1 as length: not an ordinary frame. If the header is not complete, the body ends one octet behind `end`.
    """
    octets = 2 if data[at + 1] == MASKED + 126 else 8
    body = at + MASKED_HEADER_MIN + octets
    if body > end:
        return end + 1, 0
    length = int.from_bytes(data[at + 2 : at + 2 + octets], "big")
    shortest = _SHORT if octets == 2 else _LONG
    return body, (length if length >= shortest else -1)


def rawsocket_frame(kind: int, body: bytes) -> bytes:
    """One RawSocket frame of at most RAWSOCKET_LENGTH_MAX octets (advanced profile, "RawSocket Transport")."""
    return pack(">L", kind << 24 | len(body)) + body


def rawsocket_message(body: bytes) -> bytes:
    """A frame that carries a WAMP message."""
    return rawsocket_frame(RAWSOCKET_MESSAGE, body)


class FrameGroup:
    """Clients that are sent the same bytes: same framing, same serializer, same bound.

    Compared by identity: connections that may share frames must hold the same object (`FrameGroups`).
    """

    __slots__ = ("_bytes_max", "_framing", "serializer")

    def __init__(self, serializer: Serializer, framing: Callable[[bytes], bytes], bytes_max: int) -> None:
        self.serializer: Final = serializer
        self._framing: Final = framing
        self._bytes_max: Final = bytes_max

    def frame(self, message: Any) -> bytes:
        """The finished frame.

        Raises TooLarge, or what `Serializer.encode` raises for a payload that this serializer cannot write.
        """
        body = self.serializer.encode(message)
        if len(body) > self._bytes_max:
            raise TooLarge(f"the message has {len(body)} bytes, this client accepts at most {self._bytes_max}")
        return self._framing(body)


class FrameGroups:
    """Makes every group once."""

    def __init__(self) -> None:
        self._groups: Final[dict[tuple[int, Callable[[bytes], bytes], int], FrameGroup]] = {}

    def group(self, serializer: Serializer, framing: Callable[[bytes], bytes], bytes_max: int) -> FrameGroup:
        """The group of this framing, serializer object and largest message in bytes."""
        key = (id(serializer), framing, bytes_max)
        if key not in self._groups:
            # The group keeps the serializer alive, so that no other object gets its id.
            self._groups[key] = FrameGroup(serializer, framing, bytes_max)
        return self._groups[key]
