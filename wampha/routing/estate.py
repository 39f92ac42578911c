"""What a session takes along when it moves to another node, and what its two homes say to each other meanwhile.

The new home asks, the old one answers (`gather.py`):

    TakeSession     may I have it?                   -> Estate: who it is, what it has subscribed to and registered
    CutSession      all that stands at my node, too  -> end yours, once nothing can be on its way to you alone
    RestOfSession   what has waited for it at yours? -> Piece after Piece
    LeaveSession     I have all, or cannot; I ask no more

Before it ends its own, the old home waits until all is through that others sent to it alone; before it goes on, the
new home waits until all is through of which the old one got a copy (`passage.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from wampha.auth.grant import Grant
from wampha.messages.model import (
    Error,
    Event,
    Interrupt,
    Invocation,
    Published,
    Registered,
    Result,
    Revoked,
    Subscribed,
    SubscriptionRevoked,
    Unregistered,
    Unsubscribed,
)
from wampha.routing.gather import Question
from wampha.state.commands import Owner


class TakeSession(Question, frozen=True):
    """Another node has a client that wants this session."""

    realm: str
    session: int
    digest: bytes  # of its token
    taker: Owner  # who asks


class CutSession(Question, frozen=True):
    """The session's rows stand at the new home."""

    session: int


class RestOfSession(Question, frozen=True):
    """Give the bytes from `start` on; what stands before has arrived."""

    session: int
    start: int


class LeaveSession(Question, frozen=True):
    """The new home asks no more: it has everything, or gives up."""

    session: int


class Followed(msgspec.Struct, frozen=True, array_like=True):
    """One subscription."""

    match: str
    topic: str
    id: int
    point: int  # index of the log up to which it has got what was retained; 0: it did not ask


class Offered(msgspec.Struct, frozen=True, array_like=True):
    """One registration."""

    match: str
    procedure: str
    id: int
    discloses: bool
    policy: str
    concurrency: int
    repeatable: bool


class Estate(msgspec.Struct, frozen=True, array_like=True):
    """A session as its old home describes it."""

    grant: Grant
    subscriptions: list[Followed]
    registrations: list[Offered]
    invoked: int  # the id of the last INVOCATION that was sent
    sent: int  # messages since the token was handed out
    dropped: int  # events since then


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """To TakeSession: what is known of it, or nothing."""

    estate: Estate | None = None
    elsewhere: Owner | None = None  # it has moved on to this node
    busy: bool = False  # it is about to, or this node does not serve


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Some of the messages that waited, as `write` wrote them."""

    ready: bool  # False: not yet, ask again; or, if `last`, never
    data: bytes = b""
    last: bool = False
    dropped: int = 0  # as in `Estate`, with the last piece


_KINDS: Final[tuple[type, ...]] = (
    Event,
    Result,
    Error,
    Invocation,
    Interrupt,
    Published,
    Subscribed,
    Unsubscribed,
    Registered,
    Unregistered,
    Revoked,
    SubscriptionRevoked,
)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}
_DECODERS: Final[list[msgspec.msgpack.Decoder[Any]]] = [msgspec.msgpack.Decoder(kind) for kind in _KINDS]
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_HEAD_BYTES: Final = 5  # length of the rest, and its kind


def write(message: Any) -> bytes:
    """One message that waits for a session, for another node."""
    body = _ENCODE(message)
    return len(body).to_bytes(4, "big") + bytes((_NUMBERS[type(message)],)) + body


class Reader:
    """Puts messages together from the bytes that come."""

    def __init__(self) -> None:
        self._buffer: Final = bytearray()
        self.received = 0  # bytes

    def read(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete with `data`; ValueError, RecursionError or IndexError for what is none."""
        self._buffer.extend(data)
        self.received += len(data)
        start = 0
        while len(self._buffer) - start >= _HEAD_BYTES:
            end = start + _HEAD_BYTES + int.from_bytes(self._buffer[start : start + 4], "big")
            if end > len(self._buffer):
                break
            decoder = _DECODERS[self._buffer[start + 4]]
            yield decoder.decode(bytes(self._buffer[start + _HEAD_BYTES : end]))
            start = end
        del self._buffer[:start]
