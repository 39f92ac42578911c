"""Clients that speak the two transports octet by octet, for tests that must send what no library would.

Blocking sockets with a timeout: the server runs in another process, or in a thread (`support.reactors`).
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from types import TracebackType
from typing import Any, Self

TIMEOUT_S = 10.0

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
RAW_MESSAGE, RAW_PING, RAW_PONG = 0, 1, 2
RAW_JSON, RAW_MSGPACK, RAW_CBOR = 1, 2, 3


class RawClient:
    """A connected socket, with reads of exact lengths."""

    def __init__(self, port: int, host: str = "127.0.0.1", timeout_s: float = TIMEOUT_S) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def dribble(self, data: bytes, step: int = 1) -> None:
        """Send in pieces of `step` octets, each its own segment."""
        for at in range(0, len(data), step):
            self.socket.sendall(data[at : at + step])

    def read(self, count: int) -> bytes:
        """Exactly `count` octets; EOFError if the server ends the stream before."""
        while len(self._unread) < count:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"the stream ended; {len(self._unread)} octets were unread")
            self._unread += data
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        while mark not in self._unread:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"the stream ended before {mark!r}: {self._unread!r}")
            self._unread += data
        end = self._unread.index(mark) + len(mark)
        data, self._unread = self._unread[:end], self._unread[end:]
        return data

    def at_end(self) -> bool:
        """Whether the server has ended the stream, orderly or not; waits for it, and skips what comes before."""
        self._unread = b""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ws_frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, mask: bytes | None = b"\x11\x22\x33\x44"
) -> bytes:
    """A frame as a client sends it; `mask=None`: unmasked, which a server must refuse."""
    length = len(payload)
    masked = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if length < 126:
        head += bytes([masked | length])
    elif length < 65536:
        head += bytes([masked | 126]) + struct.pack(">H", length)
    else:
        head += bytes([masked | 127]) + struct.pack(">Q", length)
    if mask is None:
        return head + payload
    repeated = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ repeated).to_bytes(length, "big")


class WebSocketClient(RawClient):
    """A WebSocket client; `shake_hands` first."""

    def request(
        self, path: str = "/ws", subprotocols: str | None = "wamp.2.json", headers: tuple[str, ...] = ()
    ) -> bytes:
        """The opening request, not sent."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *([f"Sec-WebSocket-Protocol: {subprotocols}"] if subprotocols is not None else []),
            *headers,
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def shake_hands(self, path: str = "/ws", subprotocols: str | None = "wamp.2.json") -> bytes:
        """Send the opening request; returns the head of the answer."""
        self.send(self.request(path, subprotocols))
        return self.read_until(b"\r\n\r\n")

    def send_json(self, *message: Any) -> None:
        """One WAMP message in a text frame."""
        self.send(ws_frame(json.dumps(message).encode()))

    def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame, which must be complete and unmasked."""
        first, second = self.read(2)
        assert first & 0xF0 == 0x80, f"fragment or reserved bits: {first:#x}"
        length = second
        if length == 126:
            length = struct.unpack(">H", self.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.read(8))[0]
        assert second & 0x80 == 0, "a server must not mask"
        return first & 0x0F, self.read(length)

    def read_json(self) -> Any:
        """The next WAMP message; control frames before it are an error."""
        opcode, payload = self.read_frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def read_close(self) -> tuple[int, str]:
        """Code and reason of the close frame, skipping what comes before."""
        while True:
            opcode, payload = self.read_frame()
            if opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0], payload[2:].decode()


def raw_frame(payload: bytes, kind: int = RAW_MESSAGE) -> bytes:
    """A RawSocket frame."""
    return struct.pack(">L", kind << 24 | len(payload)) + payload


class RawSocketClient(RawClient):
    """A RawSocket client; `shake_hands` first."""

    def shake_hands(self, serializer: int = RAW_JSON, length: int = 15, reserved: bytes = b"\x00\x00") -> bytes:
        """Send the four octets; returns the four of the answer."""
        self.send(bytes([0x7F, length << 4 | serializer]) + reserved)
        return self.read(4)

    def send_json(self, *message: Any) -> None:
        """One WAMP message."""
        self.send(raw_frame(json.dumps(message).encode()))

    def read_frame(self) -> tuple[int, bytes]:
        """Kind and payload of the next frame."""
        prefix = self.read(4)
        return prefix[0], self.read(int.from_bytes(prefix[1:], "big"))

    def read_json(self) -> Any:
        """The next WAMP message; pings before it are an error."""
        kind, payload = self.read_frame()
        assert kind == RAW_MESSAGE, (kind, payload)
        return json.loads(payload)
