"""A client's side of the two transports: frames in and out, over JSON, MessagePack or CBOR."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import msgpack
import msgspec
from twisted.internet.protocol import Protocol
from websockets.speedups import apply_mask

_RAWSOCKET_IDS = {"json": 1, "msgpack": 2, "cbor": 3}
_MASK = b"\x37\xfa\x21\x3d"
_ENCODE: dict[str, Callable[[Any], bytes]] = {
    "json": msgspec.json.encode,
    "msgpack": msgpack.packb,
    "cbor": cbor2.dumps,
}
_DECODE: dict[str, Callable[[bytes], Any]] = {
    "json": msgspec.json.decode,
    "msgpack": msgpack.unpackb,
    "cbor": cbor2.loads,
}


@dataclass(frozen=True)
class Speech:
    """How a client speaks."""

    transport: str  # rawsocket or websocket
    serializer: str


SPEECHES = tuple(Speech(t, s) for t in ("rawsocket", "rawsocket", "websocket") for s in ("json", "msgpack", "cbor"))


class ClientProtocol(Protocol):
    """Opens the transport, then hands over messages."""

    def __init__(
        self,
        speech: Speech,
        opened: Callable[[ClientProtocol], None],
        received: Callable[[ClientProtocol, Any], None],
        lost: Callable[[ClientProtocol], None],
    ) -> None:
        self._speech = speech
        self._opened, self._received, self._lost = opened, received, lost
        self._encode, self._decode = _ENCODE[speech.serializer], _DECODE[speech.serializer]
        self._buffer = b""
        self._read: Callable[[], bool] = self._shake_raw if speech.transport == "rawsocket" else self._shake_web
        self.closed = False

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        if self._speech.transport == "rawsocket":
            self.transport.write(bytes((0x7F, 0xF0 | _RAWSOCKET_IDS[self._speech.serializer], 0, 0)))
            return
        lines = [
            "GET /ws HTTP/1.1",
            "Host: router",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: wamp.2.{self._speech.serializer}",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode())

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._buffer += data
        while not self.closed and self._read():
            pass

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        self.closed = True
        self._lost(self)

    def send(self, message: Any) -> None:
        body = self._encode(message)
        if self._speech.transport == "rawsocket":
            self.transport.write(len(body).to_bytes(4, "big") + body)
        else:
            self._frame(0x81 if self._speech.serializer == "json" else 0x82, body)

    def close(self) -> None:
        """End the connection in the transport's way."""
        if self._speech.transport == "websocket":
            self._frame(0x88, (1000).to_bytes(2, "big"))
        self.transport.loseConnection()

    # ---- reading

    def _shake_raw(self) -> bool:
        if len(self._buffer) < 4:
            return False
        assert self._buffer[0] == 0x7F and self._buffer[1] >= 0x10, self._buffer[:4]
        self._buffer = self._buffer[4:]
        self._read = self._raw
        self._opened(self)
        return True

    def _shake_web(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        assert head.startswith(b"HTTP/1.1 101"), head
        self._buffer = rest
        self._read = self._web
        self._opened(self)
        return True

    def _raw(self) -> bool:
        if len(self._buffer) < 4:
            return False
        kind, length = self._buffer[0], int.from_bytes(self._buffer[1:4], "big")
        if len(self._buffer) < 4 + length:
            return False
        body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
        if kind == 0:
            self._received(self, self._decode(body))
        elif kind == 1:
            self.transport.write(bytes((2,)) + length.to_bytes(3, "big") + body)
        return True

    def _web(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, at = buffer[1], 2
        if length > 125:
            at = 4 if length == 126 else 10
            if len(buffer) < at:
                return False
            length = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + length:
            return False
        body, self._buffer = buffer[at : at + length], buffer[at + length :]
        code = buffer[0] & 0x0F
        if code in (1, 2):
            self._received(self, self._decode(body))
        elif code == 9:
            self._frame(0x8A, body)
        elif code == 8:
            self._frame(0x88, body[:2])
            self.transport.loseConnection()
        return True

    def _frame(self, first: int, body: bytes) -> None:
        length = len(body)
        if length < 126:
            header = bytes((first, 0x80 | length))
        elif length < 65536:
            header = bytes((first, 0xFE)) + length.to_bytes(2, "big")
        else:
            header = bytes((first, 0xFF)) + length.to_bytes(8, "big")
        self.transport.write(header + _MASK + apply_mask(body, _MASK))
