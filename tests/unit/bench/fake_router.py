"""A router for one load: correct, but for the mischief it is told to do and the pieces it writes in."""

import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

Message = list[Any]
Mischief = Callable[[int, Message], Iterable[Message]]

# Of all lengths that the formats have.
IDS = (7, 0xC8, 0x1234, 0x12345678, 2**53 - 1)
WELCOME_DETAILS = {"x": [None, True, -1, 1.5, 'a"]}\\', {"y": b"".hex()}], "roles": {"broker": {}, "dealer": {}}}
EVENT_DETAILS = {"topic": 'a]"}', "n": [1, {"deep": [[], {}]}], "f": -2.5e-3}


def honest(number: int, message: Message) -> list[Message]:
    return [message]


class FakeRouter:
    """Serves on 127.0.0.1:`port` inside a `with` block; `mischief` gets each EVENT or RESULT and says what is sent."""

    def __init__(self, transport: str, mischief: Mischief = honest, piece: int = 1 << 20) -> None:
        self._websocket = transport.startswith("ws/")
        self._json = transport.endswith("/json")
        self._mischief = mischief
        self._piece = piece
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._receiver: socket.socket | None = None
        self._caller: socket.socket | None = None
        self._deliveries = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "FakeRouter":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as stream:
            try:
                self._shake_hands(connection, stream)
                while True:
                    self._handle(connection, self._read(stream))
            except (OSError, EOFError):
                return

    def _shake_hands(self, connection: socket.socket, stream: Any) -> None:
        if not self._websocket:
            connection.sendall(stream.read(4))
            return
        lines = []
        while (line := stream.readline().strip()) != b"":
            lines.append(line)
        protocol = next(line for line in lines if line.startswith(b"Sec-WebSocket-Protocol"))
        accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        head = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade", accept, protocol]
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")

    def _read(self, stream: Any) -> Message:
        if self._websocket:
            _, length = _exactly(stream, 2)
            assert length & 0x80, "a client must mask its frames"
            length &= 0x7F
            if length >= 126:
                length = int.from_bytes(_exactly(stream, 2 if length == 126 else 8))
            mask = _exactly(stream, 4)
            body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(_exactly(stream, length)))
        else:
            body = _exactly(stream, int.from_bytes(_exactly(stream, 4)))
        message: Message = json.loads(body) if self._json else msgpack.unpackb(body)
        return message

    def _send(self, connection: socket.socket, messages: Iterable[Message]) -> None:
        data = b"".join(self._frame(message) for message in messages)
        for start in range(0, len(data), self._piece):
            connection.sendall(data[start : start + self._piece])

    def _frame(self, message: Message) -> bytes:
        body = json.dumps(message).encode() if self._json else msgpack.packb(message)
        if not self._websocket:
            return len(body).to_bytes(4) + body
        head = bytes([0x81 if self._json else 0x82])
        if len(body) < 126:
            return head + bytes([len(body)]) + body
        if len(body) < 65536:
            return head + b"\x7e" + len(body).to_bytes(2) + body
        return head + b"\x7f" + len(body).to_bytes(8) + body

    def _handle(self, connection: socket.socket, message: Message) -> None:
        code, request = message[0], message[1]
        if code == 1:
            self._send(connection, [[2, 2**53 - 1, WELCOME_DETAILS]])
        elif code in (32, 64):
            self._receiver = connection
            self._send(connection, [[code + 1, request, IDS[4]]])
        elif code == 16:
            self._deliver([36, IDS[4], IDS[request % 5], EVENT_DETAILS, *message[4:]])
        elif code == 48:
            self._caller = connection
            assert self._receiver
            self._send(self._receiver, [[68, request + 2**32, IDS[4], {}, *message[4:]]])
        elif code == 70:
            self._deliver([50, request - 2**32, {}, *message[3:]], self._caller)

    def _deliver(self, message: Message, to: socket.socket | None = None) -> None:
        with self._lock:
            number = self._deliveries
            self._deliveries += 1
            receiver = to or self._receiver
            assert receiver
            self._send(receiver, self._mischief(number, message))


def _exactly(stream: Any, length: int) -> bytes:
    data: bytes = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
