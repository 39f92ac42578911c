"""WAMP over WebSocket (RFC 6455; basic profile, "Transports"), on Autobahn's protocol.

Autobahn does the opening handshake, control frames, fragments and the closing handshake. Ours is what is done for every
message: complete, masked, unfragmented data frames are read here, and anything else is handed to Autobahn with its
bytes. Everything that leaves goes through the connection's outbox, Autobahn's own frames too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from autobahn.twisted.websocket import WampWebSocketServerFactory, WampWebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from websockets.speedups import apply_mask

from wampha.auth.steps import BrowserCookie
from wampha.errors import ProtocolViolation
from wampha.transport import batches
from wampha.transport.batches import Batching, subprotocols
from wampha.transport.connection import OPEN, OPENING, ClientConnection, Phase, Service
from wampha.transport.frames import (
    MASKED,
    MASKED_HEADER_MIN,
    WEBSOCKET_BINARY,
    WEBSOCKET_TEXT,
    Serializer,
    masked_length,
    websocket_binary,
    websocket_text,
)
from wampha.transport.trimmed import NOBODY, OPTIONS, REQUEST_ATTRIBUTES, Silent

PATHS: Final = ("/ws", "/")
_UNBOUNDED: Final = 2**63 - 1  # a WebSocket client cannot say how much it accepts
_HEADER_END: Final = b"\r\n\r\n"
_PING: Final = b"\x89\x00"  # FIN, opcode 9, no payload: the same for all
_ORIGIN_SHOWN_MAX: Final = 200  # characters of an origin that are repeated
_PORTION_MAX: Final = 65536  # bytes of a batch per turn: no more than a turn reads of other clients
_GREETING: Final = (
    "This is a WAMP router. Connect with a WAMP client, over WebSocket (path /ws, subprotocols {}) or RawSocket."
)


class WebSocketConnection(ClientConnection, WampWebSocketServerProtocol):  # type: ignore[misc]  # both name methods of a transport
    """One WebSocket client."""

    TRANSPORT = "websocket"

    log = Silent()

    _partial: list[bytes] | None = None  # an ordinary frame that is not complete yet
    _missing = 0  # bytes that must arrive before looking at it again makes sense
    _first = 0  # first octet of an ordinary frame of this connection
    _cookie: BrowserCookie | None = None
    current_frame: Any = None
    inside_message = False
    data: bytes

    def __init__(self) -> None:
        # Not Autobahn's constructor: it makes two Deferreds and a table of listeners that nobody uses.
        self.is_open = self.is_closed = NOBODY

    @staticmethod
    def perMessageCompressionAccept(_: Any) -> None:  # noqa: N802 - Autobahn's name
        """Compression is off: compressed frames differ per connection and could not be shared."""

    @property
    def maxFramePayloadSize(self) -> int:  # noqa: N802 - Autobahn's name
        """Largest frame in bytes."""
        return self.service.limits.message_bytes_max

    @property
    def maxMessagePayloadSize(self) -> int:  # noqa: N802 - Autobahn's name
        """Largest message in bytes."""
        return self.service.limits.message_bytes_max

    # ---- the connection begins and ends

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Take over the transport that the listener has accepted."""
        factory = self.factory
        self.peer = None
        self._transport_details = None
        self._connectionMade()
        # Held by Autobahn for every connection, used only by paths that we replace.
        vars(self).update(trafficStats=NOBODY, utf8validator=None, send_queue=())
        self.begin(factory.service, factory.age)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone."""
        self._connectionLost(reason)
        self.gone()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803 - Autobahn's names
        """Nothing: `gone` tells the core."""

    # ---- opening handshake

    def onConnect(self, request: ConnectionRequest) -> tuple[str, dict[str, str]]:  # noqa: N802 - Autobahn's name
        """Choose the subprotocol: the first of the client's list that we speak."""
        if self.refusal is not None:
            raise _denial(HTTPStatus.SERVICE_UNAVAILABLE, self.refusal)
        if request.path not in PATHS:
            raise _denial(HTTPStatus.NOT_FOUND, f"Nothing is at this path; connect to {PATHS[0]}.")
        self._check_origin(request)
        for name in request.protocols:
            subprotocol = self.factory.by_subprotocol.get(name)
            if subprotocol is not None:
                self._serializer = subprotocol.serializer
                return name, self._track(request.headers)
        spoken = ", ".join(self.factory.by_subprotocol)
        raise _denial(
            HTTPStatus.BAD_REQUEST, f"Ask for a WAMP subprotocol in Sec-WebSocket-Protocol; spoken here: {spoken}."
        )

    def _check_origin(self, request: ConnectionRequest) -> None:
        service, host = self.service, request.headers.get("host", "")
        origin = request.origin or request.headers.get("origin", "")  # version 8 of the protocol called it otherwise
        if service.origins.allow(origin, host):
            return
        origin = origin[:_ORIGIN_SHOWN_MAX]
        service.counters.add("origins_refused")
        service.audit("origin_refused", {"peer": self.describe(), "origin": origin, "host": host[:_ORIGIN_SHOWN_MAX]})
        raise _denial(
            HTTPStatus.FORBIDDEN, f"Pages of {origin} may not connect here; `origins` of the listener says which may."
        )

    def _track(self, headers: Mapping[str, str]) -> dict[str, str]:
        cookies = self.service.cookies
        if cookies is None:
            return {}
        self._cookie, given = cookies.of(headers)
        return given

    def cookie(self) -> BrowserCookie | None:
        """The cookie of the browser, where the listener gives cookies to browsers."""
        return self._cookie

    def _onOpen(self) -> None:  # noqa: N802 - Autobahn's name
        serializer, batching = self.factory.by_subprotocol[self.websocket_protocol_in_use]
        self._forget_request()
        self._first = WEBSOCKET_BINARY if serializer.BINARY else WEBSOCKET_TEXT
        try:
            self.opened(serializer, websocket_binary if serializer.BINARY else websocket_text, _UNBOUNDED)
            if batching is not None:
                # Only now it is known what it is, and the others shall not ask for each message.
                self.__class__ = BatchedWebSocketConnection
                assert isinstance(self, BatchedWebSocketConnection)
                self.use(batching)
        except Exception:  # would vanish in one of Autobahn's Deferreds
            self.failed()

    def _forget_request(self) -> None:
        for name in REQUEST_ATTRIBUTES:
            self.__dict__.pop(name, None)

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:  # noqa: N802, N803 - Autobahn's names
        """Answer a request that is no WebSocket handshake for us with a short text, and close."""
        self.service.counters.add("handshakes_refused")
        if code == HTTPStatus.UPGRADE_REQUIRED:
            code, reason = self._not_a_websocket_request()
        body = (reason + "\n").encode("utf-8", "replace")
        lines = [
            f"HTTP/1.1 {code} {HTTPStatus(code).phrase}",
            *(f"{name}: {value}" for name, value in responseHeaders or ()),
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "X-Content-Type-Options: nosniff",
        ]
        if code == HTTPStatus.UPGRADE_REQUIRED:
            lines.insert(1, "Upgrade: websocket")
        self.sendData("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body)
        self.dropConnection(abort=False)

    def _not_a_websocket_request(self) -> tuple[int, str]:
        if self.http_request_path not in PATHS:
            return HTTPStatus.NOT_FOUND, f"Nothing is at this path; a WAMP router is at {PATHS[0]}."
        return HTTPStatus.UPGRADE_REQUIRED, _GREETING.format(", ".join(self.factory.by_subprotocol))

    # ---- input

    def consume(self, data: bytes) -> None:
        """Route the ordinary frames of a chunk; from the first other one on it is Autobahn's."""
        if self.state == self.STATE_CLOSED:
            return  # it is only waited for the peer's end
        if self._partial is not None:
            whole = self._complete(data)
            if whole is None:
                return
            data = whole
        at = 0
        if self.phase is OPENING:
            self._bound_request(data)
        elif self.phase is OPEN and self.current_frame is None and not self.inside_message and not self.data:
            at = self._route_frames(data)
        if at < len(data) or (self.data and not data):
            self.data += data[at:] if at else data
            self.consumeData()
            if not self.flowing:
                self.put_off(b"")

    def consumeData(self) -> None:  # noqa: N802 - Autobahn's name
        """Autobahn's reading of `data`; it also calls this from inside a Deferred, where an error would vanish."""
        try:
            super().consumeData()
        except Exception:
            self.failed()

    def processData(self) -> bool:  # noqa: N802 - Autobahn's name
        """Autobahn's handling of one frame; False: the others must wait."""
        if not self.flowing and self.phase is Phase.OPEN:
            return False
        more: bool = super().processData()
        return more

    def _bound_request(self, data: bytes) -> None:
        limit = self.service.limits.undecided_bytes_max
        if len(self.data) + len(data) > limit and _HEADER_END not in (self.data + data)[:limit]:
            self.data = b""
            self.failHandshake(
                f"The request header is longer than {limit} bytes.", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            )

    def _route_frames(self, data: bytes) -> int:
        """Route complete ordinary frames; returns where the first frame begins that is not one.

        An ordinary frame that is not complete is kept, and everything counts as handled.
        """
        at, end, first, length_max = 0, len(data), self._first, self.maxMessagePayloadSize
        while end - at >= MASKED_HEADER_MIN and data[at] == first and self.flowing:
            length = data[at + 1] - MASKED
            body = at + MASKED_HEADER_MIN
            if length > 125:  # 126 and 127 announce a longer length
                body, length = masked_length(data, at, end)
            if not 0 <= length <= length_max:
                return at
            if body + length > end:
                self._keep(data[at:], body + length - end)
                return end
            self.route(apply_mask(data[body : body + length], data[body - 4 : body]))
            at = body + length
        if not self.flowing:
            if self.phase is not Phase.OPEN:
                return at
            self.put_off(data[at:])
            return end
        if at < end and end - at < MASKED_HEADER_MIN and data[at] == first:
            self._keep(data[at:], 1)
            return end
        return at

    def _keep(self, rest: bytes, missing: int) -> None:
        self._partial = [rest]
        self._missing = missing

    def _complete(self, data: bytes) -> bytes | None:
        """All bytes from the beginning of the kept frame on, once it may be complete. Joined once: linear in size."""
        assert self._partial is not None
        self._partial.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return None
        whole = b"".join(self._partial)
        self._partial = None
        return whole

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - Autobahn's names
        """A message that came in fragments, or behind a control frame."""
        if self.phase is not Phase.OPEN or self._serializer is None:
            return
        if isBinary != self._serializer.BINARY:
            kind = "binary" if self._serializer.BINARY else "text"
            self.violated(f"the subprotocol {self.websocket_protocol_in_use} uses {kind} messages only")
        else:
            self.route(payload)

    def onMessageEnd(self) -> None:  # noqa: N802 - Autobahn's name
        """Autobahn's, less the notification of listeners that do not exist."""
        if not self.failedByMe:
            self.onMessage(b"".join(self.message_data), self.message_is_binary)
        self.message_data = []

    # ---- output

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802 - Autobahn's name
        """Autobahn's way out, for all frames that it makes itself."""
        self.outbox.write(data)

    def ping(self) -> None:
        """Queue a ping."""
        self.outbox.write(_PING)

    # ---- the end

    def close_politely(self) -> None:
        """The closing handshake (RFC 6455, section 7), or the end of the stream before there was an opening one."""
        if self.state == self.STATE_OPEN:
            self.sendClose(self.CLOSE_STATUS_CODE_NORMAL)
        else:
            self.dropConnection(abort=False)

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing: the outbox is the producer until the end, since bytes may still be waiting."""

    def _closeConnection(self, abort: bool = False) -> None:  # noqa: N802 - Autobahn's name
        """Autobahn wants the stream closed. After a complete closing handshake there is no reason for a reset."""
        if abort and not self.wasClean:
            self.cut()
        else:
            self.closing()
            self.outbox.close()

    def onCloseFrame(self, code: int, reasonRaw: bytes) -> bool | None:  # noqa: N802, N803 - Autobahn's names
        """The client closes, or answers our close."""
        self.closing()
        result: bool | None = super().onCloseFrame(code, reasonRaw)
        self.ended()
        return result

    def _max_message_size_exceeded(self, msg_size: int, max_msg_size: int, reason: str) -> None:
        self.service.counters.add("messages_too_large")
        super()._max_message_size_exceeded(msg_size, max_msg_size, reason)

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Autobahn found a violation of WebSocket: a close frame with its code, and the session is over."""
        if self.phase is Phase.OPEN:
            self.service.counters.add("protocol_violations")
        self.closing()
        super()._fail_connection(code, reason)
        self.ended()


class BatchedWebSocketConnection(WebSocketConnection):
    """One client that may put several messages into one WebSocket message (advanced profile, "Message Batching")."""

    _batching: Batching
    _rest: Iterator[bytes] | None = None  # of a batch, behind what was handled in earlier turns

    def use(self, batching: Batching) -> None:
        """Read and write batches of this form from here on."""
        assert self._serializer is not None
        self._batching = batching
        self.outbox.group = self.service.groups.group(self._serializer, batching.framing, _UNBOUNDED)
        self.outbox.join = batching.join

    def consume(self, data: bytes) -> None:
        """The rest of a batch comes before what was received behind it."""
        rest, self._rest = self._rest, None
        if rest is not None and self.phase is Phase.OPEN:
            self._route_messages(rest)
            if self.phase is Phase.OPEN and not self.flowing:
                self.put_off(data)
                return
        super().consume(data)

    def route(self, body: bytes) -> None:
        """Hand the messages of a batch to the core, in order."""
        if self._batching is batches.TEXT and body.endswith(batches.AUTOBAHN_SEPARATOR):
            self.use(batches.AUTOBAHN_TEXT)  # no message ends like that: the client can only be one of these
        self._route_messages(self._batching.split(body))

    def _route_messages(self, messages: Iterator[bytes]) -> None:
        """Route a turn's portion; if anything is left, `put_off` and `resume` follow."""
        handled = 0
        try:
            for message in messages:
                super().route(message)
                handled += len(message) + MASKED_HEADER_MIN
                if handled > _PORTION_MAX and self.flowing:
                    self.stop_flow()
                    self.service.flusher.let_go(self)
                if not self.flowing:
                    self._rest = messages
                    return
        except ProtocolViolation as violation:
            self.violated(str(violation))


for _name, _value in OPTIONS.items():
    setattr(WebSocketConnection, _name, _value)


def _denial(status: HTTPStatus, sentence: str) -> Exception:
    make: Any = ConnectionDeny  # untyped in Autobahn
    denial: Exception = make(int(status), sentence)
    return denial


class WebSocketFactory(WampWebSocketServerFactory):
    """Makes the WebSocket connections of one listener."""

    protocol = WebSocketConnection
    noisy = False

    def __init__(self, service: Service, serializers: Sequence[Serializer]) -> None:
        make: Any = super().__init__  # untyped in Autobahn
        make(_no_session, serializers=list(serializers), reactor=service.reactor, server="wampha")
        self.allowNullOrigin = True  # as all others: `Origins` decides
        self.service: Final = service
        self.age = 0  # ticks that the connection being made is old already
        self.by_subprotocol: Final = subprotocols(serializers)


def _no_session() -> None:
    """In place of Autobahn's session factory, which `opened` replaces."""
