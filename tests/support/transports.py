"""A transport without a socket, and a whole listener's worth of parts around it, for unit tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.support.fakerouter import DOORWAY, FakeRouter, JsonStandIn, MsgpackStandIn
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.transport.connection import Service
from wampha.transport.cookies import BrowserCookies
from wampha.transport.delivery import Delivery
from wampha.transport.gate import Gate
from wampha.transport.rawsocket import RawSocketFactory
from wampha.transport.slow import SlowClients
from wampha.transport.websocket import WebSocketFactory


class RecordingTransport(StringTransport):
    """Remembers each write by itself, and how it was closed; `full()` and `drained()` act for a slow peer."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.half_closed = False
        self.aborted = False
        self.reading = True
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def taken(self) -> bytes:
        """Everything written so far; forgets it."""
        data = b"".join(self.writes)
        self.writes.clear()
        return data

    def full(self) -> None:
        """The peer does not read, and more than 64 KiB wait."""
        self.producer.pauseProducing()

    def drained(self) -> None:
        """The peer has read everything."""
        self.producer.resumeProducing()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.reading = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.reading = True

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.half_closed = True

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborted = True

    def lose(self, orderly: bool = True) -> None:
        """The connection is gone, as Twisted reports it."""
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(Failure(ConnectionDone() if orderly else ConnectionAborted()))


class Bench:
    """The parts that a connection needs, on a clock that stands still."""

    def __init__(
        self,
        router: FakeRouter | None = None,
        serializers: Sequence[Any] | None = None,
        cookies: BrowserCookies | None = None,
        **limits: Any,
    ) -> None:
        self.router = router or FakeRouter()
        self.clock = Clock()
        self.counters = Counters()
        self.limits = Limits(**limits)
        self.serving = True
        self.gate = Gate(serving=lambda: self.serving, reactor=self.clock)
        self.delivery = Delivery(forward=lambda owner, relayed: False, counters=self.counters, reactor=self.clock)
        self.slow = SlowClients(limits=self.limits, counters=self.counters, reactor=self.clock)
        self.service = Service(
            router=self.router,
            doorway=DOORWAY,
            gate=self.gate,
            flusher=self.delivery.flusher,
            pressure=self.delivery.pressure,
            slow=self.slow,
            limits=self.limits,
            counters=self.counters,
            reactor=self.clock,
            cookies=cookies,
        )
        made = serializers or [JsonStandIn(), MsgpackStandIn()]
        self.websocket = WebSocketFactory(self.service, made)
        self.rawsocket = RawSocketFactory(self.service, made)

    def connect(self, factory: WebSocketFactory | RawSocketFactory) -> RecordingTransport:
        """A connection of this kind, before its opening handshake."""
        transport = RecordingTransport()
        transport.protocol = factory.protocol()
        transport.protocol.factory = factory
        transport.protocol.makeConnection(transport)
        return transport

    def open_websocket(self, subprotocol: str = "wamp.2.json") -> RecordingTransport:
        """An open WebSocket connection; what was written for the handshake is forgotten."""
        transport = self.connect(self.websocket)
        transport.protocol.dataReceived(websocket_request(subprotocol))
        self._let_answer(transport)
        assert transport.taken().startswith(b"HTTP/1.1 101 ")
        return transport

    def open_rawsocket(self, second: int = 0xF1) -> RecordingTransport:
        """An open RawSocket connection; `second`: the octet with LENGTH and SERIALIZER."""
        transport = self.connect(self.rawsocket)
        transport.protocol.dataReceived(bytes((0x7F, second, 0, 0)))
        self._let_answer(transport)
        assert transport.taken()[:1] == b"\x7f"
        return transport

    def _let_answer(self, transport: RecordingTransport) -> None:
        if not transport.writes:  # this turn has written enough
            self.turn()

    @property
    def counted(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {name: count for name, count in self.counters.snapshot().items() if count}

    def turn(self) -> None:
        """One turn of a reactor: what is due at its beginning. `Clock.advance` would go on to what that schedules."""
        for call in [each for each in self.clock.getDelayedCalls() if each.getTime() <= self.clock.seconds()]:
            self.clock.calls.remove(call)  # type: ignore[arg-type]  # Twisted's interface hides its own class
            call.called = 1  # type: ignore[attr-defined]
            call.func(*call.args, **call.kw)  # type: ignore[attr-defined]

    def pass_time(self, seconds: float) -> None:
        """Let the clock run in steps that no timer notices."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)


def websocket_request(subprotocol: str | None = "wamp.2.json", path: str = "/ws", *more: str) -> bytes:
    """An opening request of RFC 6455."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost:8080",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()
