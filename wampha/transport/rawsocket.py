"""WAMP over RawSocket (advanced profile, "RawSocket Transport").

The framing is ours: Autobahn's knows neither PING and PONG nor the errors of the opening handshake.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final

from autobahn.twisted.rawsocket import WampRawSocketServerFactory, WampRawSocketServerProtocol

from wampha.transport.connection import CLOSING, OPEN, OPENING, ClientConnection, Service
from wampha.transport.frames import (
    RAWSOCKET_LENGTH_MAX,
    RAWSOCKET_MESSAGE,
    RAWSOCKET_PING,
    RAWSOCKET_PONG,
    Serializer,
    rawsocket_frame,
    rawsocket_message,
)

MAGIC: Final = 0x7F
_HANDSHAKE: Final = 4  # octets
_PREFIX: Final = 4  # octets before each message
_EXPONENT_MIN: Final = 9  # LENGTH 0 stands for 2**9


class Refusal(enum.IntEnum):
    """Errors of the opening handshake. The others of the specification do not occur: every LENGTH is acceptable."""

    SERIALIZER_UNSUPPORTED = 1
    RESERVED_BITS_USED = 3
    MAXIMUM_CONNECTIONS_REACHED = 4


class RawSocketConnection(ClientConnection, WampRawSocketServerProtocol):
    """One RawSocket client."""

    TRANSPORT = "rawsocket"

    _partial: list[bytes] | None = None  # the beginning of a handshake or frame that is not complete
    _missing = 0  # bytes that must arrive before looking at it again makes sense
    _receives_max = 0  # largest message in bytes that we told the client
    _accepts_max = 0  # largest message in bytes that the client told us

    def __init__(self) -> None:
        # Not Autobahn's constructor: sizes and details are not kept in its attributes.
        pass

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Take over the transport that the listener has accepted."""
        self.begin(self.factory.service, self.factory.age)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone."""
        self.gone()

    # ---- input

    def consume(self, data: bytes) -> None:
        """Handle every complete frame; keep the beginning of the next one."""
        if self.phase is CLOSING:
            return
        if self._partial is not None:
            self._partial.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._partial)  # once per frame: linear in its size
            self._partial = None
        at = 0
        if self.phase is OPENING:
            at = self._shake_hands(data)
        if self.phase is OPEN:
            self._read_frames(data, at)

    def _keep(self, rest: bytes, missing: int) -> None:
        self._partial = [rest]
        self._missing = missing

    def _read_frames(self, data: bytes, at: int) -> None:
        end = len(data)
        while end - at >= _PREFIX:
            kind = data[at]
            length = int.from_bytes(data[at + 1 : at + _PREFIX], "big")
            if kind > RAWSOCKET_PONG or length > self._receives_max:
                self._refuse_frame(kind, length)
                return
            body = at + _PREFIX
            at = body + length
            if at > end:
                self._keep(data[body - _PREFIX :], at - end)
                return
            if kind == RAWSOCKET_MESSAGE:
                self.route(data[body:at])
            elif kind == RAWSOCKET_PING:
                self._answer_ping(data[body:at])
            if not self.flowing:
                self.put_off(data[at:])
                return
        if at < end:
            self._keep(data[at:], _PREFIX - (end - at))

    def _answer_ping(self, payload: bytes) -> None:
        """Echo the payload (a peer MUST), unless the client could not be sent it: then it asked for the impossible."""
        if len(payload) > self._accepts_max:
            self.violated(f"a PING of {len(payload)} bytes cannot be answered: you accept at most {self._accepts_max}")
        else:
            self.outbox.write(rawsocket_frame(RAWSOCKET_PONG, payload))

    def _refuse_frame(self, kind: int, length: int) -> None:
        if kind > RAWSOCKET_PONG:
            self.violated(f"the first octet of a frame was 0x{kind:02x}; known are message 0, PING 1 and PONG 2")
        else:
            self.service.counters.add("messages_too_large")
            self.violated(f"the message has {length} bytes, this router accepts at most {self._receives_max}")

    # ---- opening handshake

    def _shake_hands(self, data: bytes) -> int:
        """Answer the client's four octets; returns how many were used (0: more must come, or it was refused)."""
        if len(data) < _HANDSHAKE:
            self._keep(data, _HANDSHAKE - len(data))
            return 0
        serializer = self.factory.by_id.get(data[1] & 0x0F)
        if self.refusal is not None:
            self._refuse(Refusal.MAXIMUM_CONNECTIONS_REACHED)
        elif serializer is None:
            self._refuse(Refusal.SERIALIZER_UNSUPPORTED)
        elif data[2] or data[3]:
            self._refuse(Refusal.RESERVED_BITS_USED)
        else:
            self._accept(2 ** ((data[1] >> 4) + _EXPONENT_MIN), serializer)
        return _HANDSHAKE

    def _refuse(self, error: Refusal) -> None:
        self.service.counters.add("handshakes_refused")
        self.outbox.write(bytes((MAGIC, error << 4, 0, 0)))
        self.finish()

    def _accept(self, accepts_max: int, serializer: Serializer) -> None:
        message_bytes_max = self.service.limits.message_bytes_max
        ours = (message_bytes_max + 1).bit_length() - 1  # 2**ours: never more than we accept, but for the last octet
        self._receives_max = min(2**ours, message_bytes_max)
        self._accepts_max = min(accepts_max, RAWSOCKET_LENGTH_MAX)
        reply = (ours - _EXPONENT_MIN) << 4 | serializer.RAWSOCKET_SERIALIZER_ID
        self.outbox.write(bytes((MAGIC, reply, 0, 0)))
        self.opened(serializer, rawsocket_message, self._accepts_max)

    # ---- output

    def ping(self) -> None:
        """Queue a ping."""
        self.outbox.write(rawsocket_frame(RAWSOCKET_PING, b""))

    def close_politely(self) -> None:
        """RawSocket has no closing handshake: the stream ends."""
        self.outbox.close()


class RawSocketFactory(WampRawSocketServerFactory):
    """Makes the RawSocket connections of one listener."""

    protocol = RawSocketConnection
    noisy = False

    def __init__(self, service: Service, serializers: Sequence[Serializer]) -> None:
        make: Any = super().__init__  # untyped in Autobahn
        make(_no_session, serializers=list(serializers))
        self.service: Final = service
        self.age = 0  # ticks that the connection being made is old already
        self.by_id: Final = {serializer.RAWSOCKET_SERIALIZER_ID: serializer for serializer in serializers}


def _no_session() -> None:
    """In place of Autobahn's session factory, which `opened` replaces."""
