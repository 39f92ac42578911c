"""All connections of one node to others, proven or not: how they are made, and how all of them end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, NoReturn

from twisted.internet import defer
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from wampha.cluster.dialer import TcpEndpoints
from wampha.cluster.encryption import EncryptedTransport, Encryption
from wampha.cluster.handshake import NONCE_BYTES, Channel, Handshake, Membership, Refusal
from wampha.cluster.link import Link, LinkEvents, State
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.limits import Limits


class Connections:
    """Makes links, dialled and accepted, and knows all of them until their end."""

    def __init__(
        self,
        *,
        membership: Membership,
        identity: Callable[[], tuple[int, int]],
        chance: random.Random,
        endpoints: TcpEndpoints,
        events: LinkEvents,
        limits: Limits,
        counters: Counters,
        encryption: Encryption | None = None,
    ) -> None:
        """`events` hears of each link, and must tell `ended` of its end; `identity` is as for `Links`."""
        self._membership: Final = membership
        self._identity: Final = identity
        self._chance: Final = chance
        self._endpoints: Final = endpoints
        self._encryption: Final = encryption
        self._events: Final = events
        self._limits: Final = limits
        self._counters: Final = counters
        self._links: Final[dict[Link, None]] = {}  # in order of age; a dict, since sets have no order
        self._port: Any = None
        self._closed: defer.Deferred[None] | None = None

    @property
    def all(self) -> tuple[Link, ...]:
        """Every link that has not ended, in order of age."""
        return tuple(self._links)

    # ---- the beginning

    def listen(self, endpoint_string: str) -> defer.Deferred[str]:
        """Accept peers at a Twisted endpoint string; fires with `host:port` as bound. Fails with StartError."""

        def listen() -> Any:
            return self._endpoints.server(endpoint_string).listen(self._encrypted(_Acceptor(self), dials=False))

        def bound(port: Any) -> str:
            self._port = port
            address = port.getHost()
            return f"{getattr(address, 'host', address)}:{getattr(address, 'port', '')}"

        def taken(failure: Failure) -> NoReturn:
            failure.trap(CannotListenError, ValueError)  # type: ignore[no-untyped-call]  # of Twisted
            raise StartError(f"cluster.listen: {endpoint_string!r} cannot be listened on: {failure.getErrorMessage()}")

        listening: defer.Deferred[str] = defer.maybeDeferred(listen).addCallbacks(bound, taken)
        return listening

    def dial(self, address: str, name: str, channel: Channel) -> defer.Deferred[Any]:
        """Make one attempt to connect to the peer of that name, for one channel; fires with the link."""
        opener = self._encrypted(_Opener(self, name, channel), dials=True)
        dialled: defer.Deferred[Any] = self._endpoints.client(address).connect(opener)
        return dialled.addCallback(_link_above)

    def _encrypted(self, factory: _Acceptor, *, dials: bool) -> Any:
        return factory if self._encryption is None else self._encryption.around(factory, dials=dials)

    def new_link(self, expects: str = "", channel: Channel | None = None) -> Link | None:
        """The protocol for a new connection, dialled with arguments or accepted without; None while closing."""
        if self.closing:
            return None
        handshake = Handshake(
            membership=self._membership,
            identity=self._identity(),
            nonce=self._chance.randbytes(NONCE_BYTES),
            expects=expects,
            channel=channel,
        )
        link = Link(handshake=handshake, events=self._events, limits=self._limits, counters=self._counters)
        if channel is None:
            self._make_room()
        self._links[link] = None
        return link

    def _make_room(self) -> None:
        """Strangers who connect and say nothing must not keep members out."""
        shaking = [link for link in self._links if link.state is State.SHAKING and not link.handshake.expects]
        if len(shaking) >= self._limits.link_handshakes_max:
            shaking[0].refuse(Refusal.CROWD)

    # ---- the end

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closed is not None

    def close(self) -> defer.Deferred[None]:
        """Accept nobody any more and close every link behind what it has to send; fires when all are gone. Idempotent.

        The ticks of the links must go on until then.
        """
        if self._closed is None:
            self._closed = defer.Deferred()
            for link in self.all:
                link.close()
            if self._port is None:
                self._finish()
            else:
                defer.maybeDeferred(self._port.stopListening).addBoth(self._port_closed)
        return self._closed

    def ended(self, link: Link) -> None:
        """The link's connection is gone."""
        self._links.pop(link, None)
        self._finish()

    def _port_closed(self, _result: object) -> None:
        self._port = None
        self._finish()

    def _finish(self) -> None:
        if self._closed is not None and not self._closed.called and not self._links and self._port is None:
            self._closed.callback(None)


def _link_above(protocol: Any) -> Any:
    return protocol.wrappedProtocol if isinstance(protocol, EncryptedTransport) else protocol


class _Acceptor(Factory):
    """Accepts peers."""

    noisy = False

    def __init__(self, connections: Connections) -> None:
        self._connections: Final = connections

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """What Twisted's lines about the port begin with."""
        return "the port for other nodes is"

    def buildProtocol(self, addr: IAddress | None) -> Link | None:  # noqa: N802 - Twisted's name
        return self._connections.new_link()


class _Opener(_Acceptor):
    """Makes the link of one dial."""

    def __init__(self, connections: Connections, name: str, channel: Channel) -> None:
        super().__init__(connections)
        self._name: Final = name
        self._channel: Final = channel

    def buildProtocol(self, addr: IAddress | None) -> Link | None:  # noqa: N802 - Twisted's name
        return self._connections.new_link(self._name, self._channel)
