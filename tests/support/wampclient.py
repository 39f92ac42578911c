"""A small blocking WAMP client that sends and shows every message as it is on the wire.

Tests of the router's rules need to send what no client library would send, and the mass tests need thousands of
sequential requests in seconds. So this client has no rules of its own: a message is a list that begins with its WAMP
code. It speaks WebSocket and RawSocket with JSON, MessagePack and CBOR over plain sockets, answers pings, and can send
raw bytes.
"""

from __future__ import annotations

import base64
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import cbor2
import msgspec

from tests.support.rawclients import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    RAW_CBOR,
    RAW_JSON,
    RAW_MESSAGE,
    RAW_MSGPACK,
    RAW_PING,
    RAW_PONG,
    TEXT,
    raw_frame,
    ws_frame,
)

HELLO, WELCOME, ABORT, GOODBYE, ERROR = 1, 2, 3, 6, 8
PUBLISH, PUBLISHED, SUBSCRIBE, SUBSCRIBED, UNSUBSCRIBE, UNSUBSCRIBED, EVENT = 16, 17, 32, 33, 34, 35, 36
CALL, RESULT, REGISTER, REGISTERED, UNREGISTER, UNREGISTERED, INVOCATION, YIELD = 48, 50, 64, 65, 66, 67, 68, 70
CANCEL, INTERRUPT = 49, 69

TRANSPORTS: Final = ("websocket", "rawsocket")
SERIALIZERS: Final = ("json", "msgpack", "cbor")
BATCHED: Final = tuple(f"{serializer}.batched" for serializer in SERIALIZERS)  # over WebSocket only
NO_MASK: Final = b"\0\0\0\0"  # masked, as a client must, and yet readable in a dump
WAIT_S: Final = 10.0  # longest wait for one message; a healthy router needs milliseconds

FEATURES: Final = dict.fromkeys(
    (
        *("payload_passthru_mode", "call_canceling", "progressive_call_results", "progressive_call_invocations"),
        *("subscription_revocation", "registration_revocation"),
    ),
    True,
)
ROLES: Final = {role: {"features": FEATURES} for role in ("publisher", "subscriber", "caller", "callee")}
REPLIES: Final = frozenset(
    (PUBLISHED, SUBSCRIBED, UNSUBSCRIBED, RESULT, REGISTERED, UNREGISTERED)
)  # codes whose second element is the request

_ENCODE: Final[dict[str, Callable[[Any], bytes]]] = {
    "json": msgspec.json.encode,
    "msgpack": msgspec.msgpack.encode,
    "cbor": cbor2.dumps,
}
_DECODE: Final[dict[str, Callable[[bytes], Any]]] = {
    "json": msgspec.json.decode,
    "msgpack": msgspec.msgpack.decode,
    "cbor": cbor2.loads,
}
_RAWSOCKET_SERIALIZER: Final = {"json": RAW_JSON, "msgpack": RAW_MSGPACK, "cbor": RAW_CBOR}


class ConnectionEndedError(Exception):
    """The router closed the connection; `code` and `reason` are those of a WebSocket close frame, if there was one."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(f"connection closed by the router (code {code}, reason {reason!r})")
        self.code: Final = code
        self.reason: Final = reason


class AnsweredError(Exception):
    """The router or the callee answered a request with ERROR."""

    def __init__(self, message: list[Any]) -> None:
        super().__init__(message)
        self.message: Final = message
        self.uri: Final[str] = message[4]


class Connection:
    """One client connection; `send` and `receive` take and give whole WAMP messages."""

    def __init__(self, port: int, transport: str, serializer: str, connected: socket.socket | None = None) -> None:
        """Connect, unless a connected socket is given, and do the opening handshake of `transport`.

        Raises ConnectionEndedError if the router refuses the handshake, and OSError if nobody listens.
        """
        self.serializer: Final = serializer
        self.transport: Final = transport
        self.encode: Final = _ENCODE[serializer.removesuffix(".batched")]
        self.decode: Final = _DECODE[serializer.removesuffix(".batched")]
        self.socket: Final = connected or socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        try:
            self._open()
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket without any farewell, as a client that crashes does."""
        self.socket.close()

    def send(self, message: list[Any]) -> None:
        """Send one message."""
        self.send_payload(self.encode(message))

    def send_many(self, messages: Iterable[list[Any]]) -> None:
        """Send messages back to back in one write."""
        self.socket.sendall(b"".join(self.frame(self.encode(message)) for message in messages))

    def send_payload(self, payload: bytes) -> None:
        """Send bytes as one message of this transport, whatever they are."""
        self.socket.sendall(self.frame(payload))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are, without any frame around them."""
        self.socket.sendall(data)

    def receive(self, timeout_s: float = WAIT_S) -> list[Any]:
        """Wait for the next message; raises TimeoutError or ConnectionEndedError."""
        deadline = time.monotonic() + timeout_s
        while True:
            payload = self._take_message()
            if payload is not None:
                message: list[Any] = self.decode(payload)
                return message
            self._fill(deadline)

    def frame(self, payload: bytes) -> bytes:
        """`payload` as one frame from a client."""
        raise NotImplementedError

    def _open(self) -> None:
        raise NotImplementedError

    def _take_message(self) -> bytes | None:
        raise NotImplementedError

    def _fill(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no message from the router in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            raise ConnectionEndedError from None
        finally:
            self.socket.settimeout(WAIT_S)
        if not data:
            raise ConnectionEndedError
        self._buffer += data

    def _take(self, count: int) -> bytes | None:
        """The first `count` bytes received, or None if fewer are here."""
        if len(self._buffer) < count:
            return None
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _wait_for(self, count: int) -> bytes:
        deadline = time.monotonic() + WAIT_S
        while (data := self._take(count)) is None:
            self._fill(deadline)
        return data


class WebSocketConnection(Connection):
    """RFC 6455 from the client's side."""

    path = "/ws"

    def _open(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: wamp.2.{self.serializer}\r\n{self.headers()}\r\n".encode()
        )
        deadline = time.monotonic() + WAIT_S
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill(deadline)
        head = self._take(end + 4) or b""
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionEndedError(None, head.decode("latin-1"))
        self.answered(head.decode("latin-1"))

    def headers(self) -> str:
        """More headers for the request, each with its line end."""
        return ""

    def answered(self, head: str) -> None:
        """The router's answer to the request."""

    def frame(self, payload: bytes) -> bytes:
        return self.frame_of(TEXT if self.serializer.startswith("json") else BINARY, payload)

    def frame_of(self, opcode: int, payload: bytes) -> bytes:
        """One final frame with any opcode."""
        return ws_frame(payload, opcode, mask=NO_MASK)

    def _take_message(self) -> bytes | None:
        while (frame := self._take_frame()) is not None:
            opcode, payload = frame
            if opcode in (TEXT, BINARY):
                return payload
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else None
                raise ConnectionEndedError(code, payload[2:].decode())
            if opcode == PING:
                self.socket.sendall(self.frame_of(PONG, payload))
        return None

    def _take_frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, head = buffer[1], 2
        if size == 126:
            size, head = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < head + size:
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[head : head + size])
        del buffer[: head + size]
        return opcode, payload


class BatchedConnection(WebSocketConnection):
    """Several messages in one WebSocket message (advanced profile, "Message Batching")."""

    def __init__(self, *arguments: Any) -> None:
        self.batches: Final[list[int]] = []  # how many messages the received ones had
        self._messages: Final[deque[bytes]] = deque()
        super().__init__(*arguments)

    def send_many(self, messages: Iterable[list[Any]]) -> None:
        """Send messages as one batch."""
        self.socket.sendall(super().frame(b"".join(self._in_batch(self.encode(message)) for message in messages)))

    def frame(self, payload: bytes) -> bytes:
        return super().frame(self._in_batch(payload))

    def _in_batch(self, payload: bytes) -> bytes:
        if self.serializer == "json.batched":
            return payload + b"\x1e"
        return len(payload).to_bytes(4, "big") + payload

    def _take_message(self) -> bytes | None:
        if not self._messages:
            batch = super()._take_message()
            if batch is None:
                return None
            self._messages.extend(self._split(batch))
            self.batches.append(len(self._messages))
        return self._messages.popleft()

    def _split(self, batch: bytes) -> Iterable[bytes]:
        if self.serializer == "json.batched":
            *messages, rest = batch.split(b"\x1e")
            assert messages and not rest, batch
            yield from messages
            return
        while batch:
            size = int.from_bytes(batch[:4], "big")
            assert len(batch) >= 4 + size, batch
            yield batch[4 : 4 + size]
            batch = batch[4 + size :]


class RawSocketConnection(Connection):
    """WAMP RawSocket from the client's side (advanced profile, "RawSocket Transport")."""

    def _open(self) -> None:
        self.socket.sendall(bytes((0x7F, 0xF0 | _RAWSOCKET_SERIALIZER[self.serializer], 0, 0)))
        answer = self._wait_for(4)
        if answer[0] != 0x7F or answer[1] & 0x0F == 0:
            raise ConnectionEndedError(answer[1] >> 4, "RawSocket handshake refused")

    def frame(self, payload: bytes) -> bytes:
        return raw_frame(payload)

    def _take_message(self) -> bytes | None:
        while len(self._buffer) >= 4:
            kind, size = self._buffer[0], int.from_bytes(self._buffer[1:4], "big")
            if len(self._buffer) < 4 + size:
                return None
            payload = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            if kind == RAW_MESSAGE:
                return payload
            if kind == RAW_PING:
                self.socket.sendall(raw_frame(payload, RAW_PONG))
        return None


def connect(port: int, transport: str = "websocket", serializer: str = "json") -> Connection:
    """A connection over the named transport, with its opening handshake done."""
    kind = WebSocketConnection if transport == "websocket" else RawSocketConnection
    return (BatchedConnection if serializer in BATCHED else kind)(port, transport, serializer)


class Session:
    """A joined session: requests with their answers, and what arrives in between.

    A request waits for its own answer; EVENTs and INVOCATIONs that arrive meanwhile stay in `inbox`, in order.
    """

    def __init__(
        self,
        port: int,
        transport: str = "websocket",
        serializer: str = "json",
        realm: str = "realm1",
        *,
        roles: Mapping[str, Any] = ROLES,
        details: Mapping[str, Any] = MappingProxyType({}),
        after: int = 0,
    ) -> None:
        """Connect and join; every feature is announced unless `roles` says otherwise.

        `details` are added to those of HELLO. `after`: the last request id that the session used, if it is resumed.
        Raises ConnectionEndedError if anything but WELCOME is the answer.
        """
        self.connection: Final = connect(port, transport, serializer)
        self.inbox: Final[deque[list[Any]]] = deque()
        self.requests = after  # the id of the last one
        try:
            self.connection.send([HELLO, realm, {"roles": roles, **details}])
            answer = self.connection.receive()
            if answer[0] != WELCOME:
                raise ConnectionEndedError(None, f"no WELCOME but {answer}")
        except BaseException:
            self.connection.close()
            raise
        self.id: Final[int] = answer[1]
        self.welcome: Final[dict[str, Any]] = answer[2]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection without GOODBYE."""
        self.connection.close()

    def leave(self) -> str:
        """Say GOODBYE; gives the reason of the router's answer."""
        self.connection.send([GOODBYE, {}, "wamp.close.close_realm"])
        reason: str = self.next(GOODBYE)[2]
        self.close()
        return reason

    def subscribe(self, topic: str, **options: Any) -> int:
        """Subscribe and wait for SUBSCRIBED; gives the subscription id."""
        subscription: int = self.ask(SUBSCRIBE, options, topic)[2]
        return subscription

    def unsubscribe(self, subscription: int) -> None:
        """Unsubscribe and wait for UNSUBSCRIBED."""
        self.ask(UNSUBSCRIBE, subscription)

    def publish(self, topic: str, *payload: Any, **options: Any) -> int:
        """Publish acknowledged and wait for PUBLISHED; `payload` is nothing, args, or args and kwargs."""
        publication: int = self.ask(PUBLISH, {"acknowledge": True, **options}, topic, *payload)[2]
        return publication

    def register(self, procedure: str, **options: Any) -> int:
        """Register and wait for REGISTERED; gives the registration id."""
        registration: int = self.ask(REGISTER, options, procedure)[2]
        return registration

    def unregister(self, registration: int) -> None:
        """Unregister and wait for UNREGISTERED."""
        self.ask(UNREGISTER, registration)

    def call(self, procedure: str, *payload: Any, **options: Any) -> list[Any]:
        """Call and wait; gives the payload of RESULT: nothing, args, or args and kwargs."""
        return self.ask(CALL, options, procedure, *payload)[3:]

    def ask(self, code: int, *rest: Any) -> list[Any]:
        """Send a request and wait for its answer; raises AnsweredError if that is an ERROR."""
        return self.answer(self.start(code, *rest))

    def start(self, code: int, *rest: Any) -> int:
        """Send a request without waiting; gives its request id, for `answer`."""
        self.requests += 1
        self.connection.send([code, self.requests, *rest])
        return self.requests

    def answer(self, request: int, timeout_s: float = WAIT_S) -> list[Any]:
        """Wait for the answer to a request; raises AnsweredError if that is an ERROR."""

        def answers(message: list[Any]) -> bool:
            if message[0] == ERROR:
                return bool(message[2] == request)
            return message[0] in REPLIES and message[1] == request

        message = self._next(answers, timeout_s)
        if message[0] == ERROR:
            raise AnsweredError(message)
        return message

    def next(self, code: int, timeout_s: float = WAIT_S) -> list[Any]:
        """The next message with this code, from the inbox or the wire."""
        return self._next(lambda message: message[0] == code, timeout_s)

    def answer_invocation(self, *payload: Any, timeout_s: float = WAIT_S) -> list[Any]:
        """Wait for an INVOCATION, YIELD `payload` (default: what came), and give the INVOCATION."""
        invocation = self.next(INVOCATION, timeout_s)
        self.connection.send([YIELD, invocation[1], {}, *(payload or invocation[4:])])
        return invocation

    def synchronize(self) -> None:
        """Wait until the router has handled all that this session sent: a question that it answers in order."""
        try:
            self.ask(UNSUBSCRIBE, 1)
        except AnsweredError:
            return

    def _next(self, wanted: Callable[[list[Any]], bool], timeout_s: float) -> list[Any]:
        for index, message in enumerate(self.inbox):
            if wanted(message):
                del self.inbox[index]
                return message
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.connection.receive(deadline - time.monotonic())
            if wanted(message):
                return message
            self.inbox.append(message)
