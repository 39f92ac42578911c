"""A small HTTP server, below the monitoring port and the admin socket: bounded, without files, forms or sessions.

    Asked  ->  a handler, by method and path  ->  tell(Reply), at once or in a later turn

At most `CONNECTIONS_MAX` connections: a new one displaces the oldest, so that who opens many and says nothing keeps no
probe out. The head of a request may have 16 KiB (Twisted's bound), its body `BODY_BYTES_MAX`; a connection without
traffic is closed after `IDLE_S`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl

import msgspec
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from wampha.counters import Counters

CONNECTIONS_MAX: Final = 64
BODY_BYTES_MAX: Final = 16 * 1024
IDLE_S: Final = 30.0

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
# Nothing here is for other sites, and nothing of other sites is for the page.
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "wampha",
    "X-Content-Type-Options": "nosniff",
}


class Asked(NamedTuple):
    """One request."""

    query: Mapping[str, str]  # of each name the first value
    accept: str


class Reply(NamedTuple):
    """What is answered; `headers` are added to those that every answer has."""

    body: bytes
    kind: str = TEXT
    status: int = 200
    headers: Mapping[str, str] = _NOTHING


Tell = Callable[[Reply], None]
Handler = Callable[[Asked, Tell], None]
Routes = Mapping[str, Mapping[str, Handler]]  # path -> method -> handler


def text(sentence: str, status: int = 200) -> Reply:
    """A line of text."""
    return Reply(f"{sentence}\n".encode(), TEXT, status)


def json(value: Any, status: int = 200) -> Reply:
    """JSON, with a line end for terminals."""
    return Reply(msgspec.json.encode(value) + b"\n", JSON, status)


class _Request(http.Request):
    channel: Any  # Twisted's methods have no types
    _log = Logger(namespace="wampha.observe")
    _gone = False
    _told = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """The head has come. Twisted would write a large body into a file."""
        self.content = BytesIO()
        self._left = BODY_BYTES_MAX
        if length is not None and length > BODY_BYTES_MAX:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """A part of the body."""
        self._left -= len(data)
        if self._left >= 0:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]  # of Twisted
        else:
            self._refuse()

    def _refuse(self) -> None:
        if not self._gone:
            self._gone = True
            self._server.counters.add("monitoring_requests_refused")
            self.channel.transport.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            self.channel.loseConnection()

    @property
    def _server(self) -> Server:
        return cast(Server, self.channel.factory)

    def process(self) -> None:
        """All of the request has come."""
        if self._gone:
            return
        self._server.counters.add("monitoring_requests")
        self.notifyFinish().addBoth(self._ended)
        methods = self._server.routes.get(self.path.decode("latin-1"))
        if methods is None:
            self._tell(text("There is nothing at this path.", http.NOT_FOUND))
            return
        method = self.method.decode("latin-1")
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            refusal = text(f"This path takes {' and '.join(methods)}.", http.NOT_ALLOWED)
            self._tell(refusal._replace(headers={"Allow": ", ".join(methods)}))
            return
        try:
            handler(self._asked(), self._tell)
        except Exception:
            self._log.failure("{path} could not be answered", path=self.path)
            self._tell(text("This node could not answer; its log says why.", http.INTERNAL_SERVER_ERROR))

    def _asked(self) -> Asked:
        _, _, query = self.uri.decode("latin-1").partition("?")  # Twisted leaves out what has no "="
        found = parse_qsl(query, keep_blank_values=True)
        return Asked(dict(reversed(found)), self.getHeader("accept") or "")

    def _ended(self, _: object) -> None:
        self._gone = True

    def _tell(self, reply: Reply) -> None:
        if self._gone or self._told:  # nobody waits for it any more
            return
        self._told = True
        self.setResponseCode(reply.status)
        headers = {**_HEADERS, "Content-Type": reply.kind, "Content-Length": str(len(reply.body)), **reply.headers}
        request: Any = self
        for name, value in headers.items():
            request.setHeader(name, value)
        request.write(reply.body)
        request.finish()


class _Channel(http.HTTPChannel):
    transport: Any
    factory: Any
    requestFactory = _Request  # noqa: N815 - Twisted's name

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.factory.came(self)
        super().connectionMade()  # type: ignore[no-untyped-call]  # of Twisted

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        self.factory.went(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # of Twisted

    def timeoutConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing has come for `IDLE_S`. Twisted would write a line about it."""
        self.transport.abortConnection()


class Server(http.HTTPFactory):
    """The factory of one port."""

    protocol: Any = _Channel
    noisy = False

    def __init__(self, routes: Routes, counters: Counters, reactor: Any) -> None:
        super().__init__(timeout=IDLE_S, reactor=reactor)
        self.routes: Final = routes
        self.counters: Final = counters
        self._channels: Final[dict[_Channel, None]] = {}  # oldest first

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """What Twisted's lines about the port begin with."""
        return "the port for monitoring is"

    def startFactory(self) -> None:  # noqa: N802 - Twisted's name
        """Twisted would open a log of all requests, and look at the clock every second for it."""

    def stopFactory(self) -> None:  # noqa: N802 - Twisted's name
        """There is no such log to close."""

    def log(self, request: Any) -> None:
        """Nor to write."""

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """A new connection; one too many displaces the oldest."""
        if len(self._channels) >= CONNECTIONS_MAX:
            self.counters.add("monitoring_connections_displaced")
            next(iter(self._channels)).transport.abortConnection()
        return super().buildProtocol(addr)

    def came(self, channel: _Channel) -> None:
        """A connection is there."""
        self._channels[channel] = None

    def went(self, channel: _Channel) -> None:
        """And gone."""
        self._channels.pop(channel, None)

    def cut(self) -> None:
        """Drop every connection."""
        for channel in tuple(self._channels):
            channel.transport.abortConnection()
