"""A port for clients: WebSocket and RawSocket on the same one, told apart by the first octet."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from typing import Any, Final, cast

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from wampha.auth.doorway import Doorway
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.limits import Limits
from wampha.routing.ports import Audit
from wampha.transport.certificates import Certificates
from wampha.transport.connection import Ended, Router, Service, address_of
from wampha.transport.cookies import BrowserCookies
from wampha.transport.delivery import Delivery
from wampha.transport.frames import Serializer
from wampha.transport.gate import Gate
from wampha.transport.headcount import Headcount
from wampha.transport.origins import Origins
from wampha.transport.rawsocket import MAGIC, RawSocketFactory
from wampha.transport.room import Room
from wampha.transport.slow import SlowClients
from wampha.transport.sockets import over_tls
from wampha.transport.websocket import WebSocketFactory

WEBSOCKET: Final = "websocket"
RAWSOCKET: Final = "rawsocket"
# Twisted asks the system to hold 50 connections that are not accepted yet. When a node dies, thousands come at once,
# and each that finds no place waits a second before it asks again.
BACKLOG: Final = 1024
_TAKE_A_BACKLOG: Final = ("tcp", "tcp6", "ssl", "unix")
_MOST_POSITIONAL: Final = 2  # further arguments without a name might be a backlog


class Undecided(Protocol):
    """A connection of which nothing has been read: the first octet says what it is (advanced profile, "RawSocket")."""

    spoke = 0
    opening = True
    refusal: str | None = None

    def __init__(
        self,
        service: Service,
        headcount: Headcount,
        websocket: WebSocketFactory | None,
        rawsocket: RawSocketFactory | None,
    ) -> None:
        self._service: Final = service
        self._headcount: Final = headcount
        self._websocket: Final = websocket
        self._rawsocket: Final = rawsocket
        self._age = 0

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Count it, and set TCP_NODELAY: without it an EVENT behind a reply would wait for 40 ms."""
        transport = cast(Any, self.transport)
        self.refusal = self._headcount.enter(transport.getPeer())
        if self.refusal == "":
            transport.abortConnection()
            return
        with contextlib.suppress(AttributeError, OSError):  # a unix socket has no such option
            transport.setTcpNoDelay(True)
        self._service.deadlines.add(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Hand the transport, and what was read, to the protocol that the first octet announces."""
        factory: RawSocketFactory | WebSocketFactory | None = None
        if data[0] == MAGIC:
            factory = self._rawsocket
        elif data[:1].isalpha():  # the method of an HTTP request
            factory = self._websocket
        self._service.deadlines.discard(self)
        if factory is None:
            self._service.counters.add("undecided_refused")
            cast(Any, self.transport).abortConnection()
            return
        self._hand_over(factory, data)

    def _hand_over(self, factory: RawSocketFactory | WebSocketFactory, data: bytes) -> None:
        transport = cast(Any, self.transport)
        factory.age = self._age
        real: Any = factory.protocol()
        real.factory = factory
        if self.refusal is not None:
            real.refusal = self.refusal
        # From here on this object is out of the path.
        if over_tls(transport):
            transport.wrappedProtocol = real
        else:
            transport.protocol = real
        real.makeConnection(transport)
        real.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Gone before it said anything; a TLS handshake that failed is said once in a while."""
        if isinstance(reason.value, SSL.Error):
            self._service.failed_handshakes.add(address_of(self.transport), reason.value)
        self._service.deadlines.discard(self)
        self._service.gone(cast(Ended, self))

    def tick(self, frozen: bool) -> None:
        """Count the time without a first octet; not while nothing is read."""
        if frozen:
            return
        self._age += 1
        if self._age > self._service.deadlines.opening:
            self._service.counters.add("opening_timeouts")
            self.cut()

    def finish(self) -> None:
        """Close: nothing has been exchanged."""
        self.cut()

    def cut(self) -> None:
        """Drop the connection."""
        cast(Any, self.transport).abortConnection()


class _Refused(Protocol):
    """A connection that is closed at once. Below TLS, which wraps whatever is built, no protocol would be an error."""

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Drop the connection."""
        cast(Any, self.transport).abortConnection()


class _UniversalFactory(Factory):
    noisy = False

    def __init__(
        self,
        service: Service,
        room: Room,
        headcount: Headcount,
        websocket: WebSocketFactory | None,
        rawsocket: RawSocketFactory | None,
        *,
        encrypted: bool,
    ) -> None:
        self._service: Final = service
        self._room: Final = room
        self._headcount: Final = headcount
        self._encrypted: Final = encrypted
        self._websocket: Final = websocket
        self._rawsocket: Final = rawsocket

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """What Twisted's lines about the port begin with."""
        return "the port for clients is"

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # noqa: N802 - Twisted's name
        """A new connection; refused at once if this node does not serve or is full: the client tries another one."""
        if not self._service.gate.open():
            self._service.counters.add("connections_refused_suspended")
            return self._refused()
        if not self._room.has_place():
            return self._refused()
        return Undecided(self._service, self._headcount, self._websocket, self._rawsocket)

    def _refused(self) -> Protocol | None:
        """Nothing where that closes the connection: an orderly end is better than a reset."""
        return _Refused() if self._encrypted else None


def with_backlog(endpoint_string: str) -> str:
    """The same endpoint, with room for a storm of connections unless it says itself for how many."""
    kind, *arguments = re.split(r"(?<!\\):", endpoint_string)
    named = [argument for argument in arguments if "=" in argument]
    positional = len(arguments) - len(named)
    if kind not in _TAKE_A_BACKLOG or positional > _MOST_POSITIONAL or any(n.startswith("backlog=") for n in named):
        return endpoint_string
    return f"{endpoint_string}:backlog={BACKLOG}"


class Listener:
    """One endpoint for clients."""

    def __init__(
        self,
        *,
        endpoint_string: str,
        protocols: Collection[str],
        doorway: Doorway,
        router: Router,
        gate: Gate,
        delivery: Delivery,
        slow: SlowClients,
        room: Room,
        headcount: Headcount,
        limits: Limits,
        counters: Counters,
        serializers: Sequence[Serializer],
        reactor: Any,
        origins: Origins,
        audit: Audit,
        certificates: Certificates | None = None,
        cookies: BrowserCookies | None = None,
    ) -> None:
        """`endpoint_string`: as Twisted's `serverFromString` reads it. `protocols`: of "websocket" and "rawsocket".

        `doorway`: how clients are let in; `origins`: which web pages they may come from. `serializers`, `slow`, `room`
        and `headcount` are the same for all listeners.
        """
        self._endpoint_string: Final = endpoint_string
        self._reactor: Final = reactor
        self._service: Final = Service(
            router=router,
            doorway=doorway,
            gate=gate,
            flusher=delivery.flusher,
            pressure=delivery.pressure,
            slow=slow,
            limits=limits,
            counters=counters,
            reactor=reactor,
            origins=origins,
            audit=audit,
            cookies=cookies,
        )
        self._headcount: Final = headcount
        self._service.gone = self._left
        room.share(self._service.deadlines)
        self._factory: Final = _UniversalFactory(
            self._service,
            room,
            headcount,
            WebSocketFactory(self._service, serializers) if WEBSOCKET in protocols else None,
            RawSocketFactory(self._service, serializers) if RAWSOCKET in protocols else None,
            encrypted=certificates is not None or endpoint_string.startswith("ssl:"),
        )
        self.certificates: Final = certificates
        self._port: Any = None
        self._drained: list[defer.Deferred[None]] = []

    @property
    def address(self) -> IAddress:
        """Where it listens; with the port that the system chose if 0 was asked for."""
        assert self._port is not None, "listen() has not been called or has not succeeded"
        address: IAddress = self._port.getHost()
        return address

    @defer.inlineCallbacks
    def listen(self) -> Any:
        """Accept clients; fires when the port is bound, or fails with StartError and a sentence."""
        try:
            endpoint = cast(Any, serverFromString)(self._reactor, with_backlog(self._endpoint_string))
        except (ValueError, TypeError) as problem:
            raise StartError(f"the endpoint `{self._endpoint_string}` cannot be understood: {problem}") from None
        try:
            self._port = yield endpoint.listen(self._encrypted())
        except CannotListenError as problem:
            raise StartError(
                f"cannot listen on `{self._endpoint_string}`: {problem.socketError}; "
                "stop the program that uses it, or choose another address"
            ) from None

    def _encrypted(self) -> Any:
        if self.certificates is None:
            return self._factory
        return TLSMemoryBIOFactory(cast(Any, self.certificates), False, cast(Any, self._factory))

    @defer.inlineCallbacks
    def stop(self) -> Any:
        """Accept no more clients; those that are connected stay. Fires when the port is free."""
        port, self._port = self._port, None
        if port is not None:
            yield defer.maybeDeferred(port.stopListening)

    def refuse_newcomers(self) -> None:
        """Close every connection that has not completed its opening handshake: the client tries another address."""
        for connection in self._service.deadlines:
            if cast(Any, connection).opening:
                self._service.counters.add("connections_refused_suspended")
                cast(Any, connection).cut()

    def cut(self) -> None:
        """Drop every connection."""
        for connection in self._service.deadlines:
            cast(Any, connection).cut()

    def drain(self) -> defer.Deferred[None]:
        """Close every connection behind what waits for it; fires when all are gone, bounded by goodbye_timeout_s."""
        drained: defer.Deferred[None] = defer.Deferred()
        self._drained.append(drained)
        for connection in self._service.deadlines:
            cast(Any, connection).finish()
        self._service.flusher.flush()
        self._tell_drained()
        return drained

    def _left(self, connection: Ended) -> None:
        self._headcount.leave(connection.transport.getPeer(), refused=connection.refusal is not None)
        self._tell_drained()

    def _tell_drained(self) -> None:
        if self._drained and not len(self._service.deadlines):
            waiting, self._drained = self._drained, []
            for drained in waiting:
                drained.callback(None)
