# ruff: noqa: N802 - Twisted's names
"""Links without sockets: a network of byte pipes on a virtual clock."""

from __future__ import annotations

import random

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from wampha.cluster.frames import FrameReader, Resume, written
from wampha.cluster.handshake import Channel, Handshake, Membership, RefusedByPeer, Stage
from wampha.cluster.links import Links, configuration_hash
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.messages.payload import Family, Payload
from wampha.messages.relayed import Forward, Originator
from wampha.state.commands import Owner

VOTERS = {"n1": "one:1", "n2": "two:1", "n3": "three:1"}


@implementer(ITCPTransport)
class Wire:
    """One end of a pipe; bytes arrive at the other end in a later turn, in order, in pieces of at most 64 KiB."""

    HIGH_WATER = 65536

    def __init__(self, clock: Clock, host: str) -> None:
        self.clock = clock
        self.host = host
        self.other: Wire
        self.protocol = None
        self.nodelay = False
        self.written: list[bytes] = []  # everything, call by call
        self.blocked = False  # the peer does not read
        self.reading = True  # what arrives is handed to the protocol
        self.gone = False
        self._producer = None
        self._producer_paused = False
        self._queue = bytearray()
        self._closing = False
        self._due = False

    # ITCPTransport, as far as links use it

    def setTcpNoDelay(self, enabled):
        self.nodelay = enabled

    def getPeer(self):
        return IPv4Address("TCP", self.host, 1)

    def write(self, data):
        assert isinstance(data, bytes)
        if self.gone:
            return
        self.written.append(data)
        self._queue += data
        if self._producer is not None and len(self._queue) > self.HIGH_WATER and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._schedule()

    def registerProducer(self, producer, streaming):
        assert streaming and self._producer is None
        self._producer = producer

    def unregisterProducer(self):
        self._producer = None

    def pauseProducing(self):
        self.reading = False

    def resumeProducing(self):
        self.reading = True
        self.other._schedule()

    def loseConnection(self):
        self._closing = True
        self._schedule()

    def abortConnection(self):
        self._queue.clear()
        self.clock.callLater(0, self._lose, ConnectionAborted())

    # the network

    def unblock(self):
        self.blocked = False
        self._schedule()

    def _schedule(self):
        if not self._due:
            self._due = True
            self.clock.callLater(0, self._run)

    def _run(self):
        self._due = False
        if self.gone or self.blocked or not (self.other.reading or self.other.gone):
            return
        if self._queue:
            piece = bytes(self._queue[:65536])
            del self._queue[:65536]
            if not self.other.gone:
                self.other.protocol.dataReceived(piece)
        if self.gone:
            return
        if self._queue:
            self._schedule()
        elif self._producer_paused and self._producer is not None:
            self._producer_paused = False
            self._producer.resumeProducing()
        elif self._closing:
            self._lose(ConnectionDone())

    def _lose(self, reason):
        if self.gone:
            return
        self.gone = True
        if self._producer is not None:
            self._producer.stopProducing()
        self.protocol.connectionLost(Failure(reason))
        self.clock.callLater(0, self.other._lose, ConnectionDone())


def pipe(clock: Clock, dialler: str, acceptor: str) -> tuple[Wire, Wire]:
    near, far = Wire(clock, acceptor), Wire(clock, dialler)
    near.other, far.other = far, near
    return near, far


class Network:
    """Who listens where; stands in for `TcpEndpoints`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.listening: dict[str, object] = {}
        self.dials: list[str] = []
        self.pipes: list[tuple[Wire, Wire]] = []
        self.down: set[str] = set()

    def of(self, host: str) -> _Endpoints:
        return _Endpoints(self, host)


class _Endpoints:
    def __init__(self, network: Network, host: str) -> None:
        self.network, self.host = network, host

    def client(self, address: str) -> _Client:
        return _Client(self.network, self.host, address)

    def server(self, description: str) -> _Server:
        return _Server(self.network, description)


class _Server:
    def __init__(self, network: Network, address: str) -> None:
        self.network, self.address = network, address

    def listen(self, factory):
        self.network.listening[self.address] = factory
        return succeed(self)

    def getHost(self):
        return IPv4Address("TCP", self.address, 1)

    def stopListening(self):
        del self.network.listening[self.address]


class _Client:
    def __init__(self, network: Network, host: str, address: str) -> None:
        self.network, self.host, self.address = network, host, address

    def connect(self, factory) -> Deferred:
        network = self.network
        network.dials.append(self.address)
        acceptor = network.listening.get(self.address)
        if acceptor is None or self.address in network.down:
            return fail(ConnectionRefusedError())
        near, far = pipe(network.clock, self.host, self.address.partition(":")[0])
        accepted, dialled = acceptor.buildProtocol(None), factory.buildProtocol(None)
        if accepted is None or dialled is None:
            return fail(ConnectionRefusedError())
        network.pipes.append((near, far))
        near.protocol, far.protocol = dialled, accepted
        dialled.transport, accepted.transport = near, far
        accepted.connectionMade()
        dialled.connectionMade()
        return succeed(dialled)


class Peer:
    """A node's links and what they told, as a list of tuples."""

    def __init__(self, network: Network, name: str, **changes) -> None:
        self.name = name
        self.network = network
        self.counters = Counters()
        self.told: list[tuple] = []
        self.identity = (sum(name.encode()), 1000 + sum(name.encode()))
        settings = {
            "reactor": network.clock,
            "name": name,
            "cluster": "demo",
            "voters": VOTERS,
            "secret": b"a shared secret",
            "identity": lambda: self.identity,
            "advertise": VOTERS.get(name, f"{name}:1"),
            "limits": Limits(),
            "counters": self.counters,
            "config_hash": configuration_hash("demo", tuple(VOTERS), {"F": 1.5}),
            "on_control": lambda name, data: self.told.append(("control", name, data)),
            "on_data": lambda owner, relayed: self.told.append(("data", owner, relayed)),
            "on_up": lambda name, life, incarnation: self.told.append(("up", name, life, incarnation)),
            "on_down": lambda name: self.told.append(("down", name)),
            "on_owner_lost": lambda owner: self.told.append(("lost", owner)),
            "on_chunk_end": lambda: self.told.append(("chunk",)),
            "on_gap": lambda gap: self.told.append(("gap", gap.source, gap.target, gap.frames)),
            "on_relieved": lambda owner: self.told.append(("relieved", owner)),
            "chance": random.Random(name),
            "endpoints": network.of(name),
        }
        settings.update(changes)
        self.links = Links(**settings)
        self.address = settings["advertise"]

    @property
    def owner(self) -> Owner:
        return Owner(self.name, self.identity[1])

    def start(self) -> Peer:
        self.links.listen(self.address)
        self.links.start()
        return self

    def take(self) -> list[tuple]:
        told, self.told[:] = list(self.told), []
        return told

    def of_kind(self, *kinds: str) -> list[tuple]:
        return [told for told in self.told if told[0] in kinds]


def settle(clock: Clock, seconds: float = 0.0) -> None:
    """Let `seconds` pass in steps of 50 ms; then run what is due now."""
    for _ in range(round(seconds / 0.05)):
        clock.advance(0.05)
        _run_due(clock)
    _run_due(clock)


def _run_due(clock: Clock) -> None:
    while any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
        clock.advance(0)


def forward(number: int = 0, data: bytes = b"\x91\xa1x") -> Forward:
    """A publication as it crosses links."""
    return Forward(
        "realm1",
        "com.example.topic",
        number,
        Originator(77, "someone", "anonymous"),
        {},
        Payload(Family.MSGPACK, 1, data),
    )


class Puppet(Protocol):
    """A peer that says what the test wants: raw bytes, or a proper handshake and then raw bytes."""

    def __init__(self, handshake: Handshake | None = None) -> None:
        self.handshake = handshake
        self.heard: list[bytes] = []
        self.closed = False
        self._reader = FrameReader(2**31)

    def connectionMade(self):
        if self.handshake is not None:
            self.transport.write(self.handshake.begin())

    def dataReceived(self, data):
        for body in self._reader.frames(data):
            if self.handshake is None or self.handshake.stage is Stage.DONE:
                self.heard.append(body)
                continue
            try:
                answer = self.handshake.receive(body)
            except RefusedByPeer as error:
                self.heard.append(str(error).encode())
                continue
            if answer:
                self.transport.write(answer)

    def connectionLost(self, reason):
        self.closed = True

    def connect(self, network: Network, address: str = "one:1") -> Puppet:
        """Connect to a listening node, as from the host `elsewhere`."""
        near, far = pipe(network.clock, "elsewhere", address.partition(":")[0])
        far.protocol = network.listening[address].buildProtocol(None)
        near.protocol = self
        self.transport, far.protocol.transport = near, far
        self.accepted = far.protocol
        self.accepted.connectionMade()
        self.connectionMade()
        settle(network.clock)
        return self


def data_puppet(network: Network, name: str = "n2", **changes) -> Puppet:
    """A puppet with a proven data link, on which it has said that its stream begins."""
    puppet = Puppet(member(name, channel=Channel.DATA, **changes)).connect(network)
    puppet.transport.write(written(Resume(4711, 0, 0, 1, 4711)))
    settle(network.clock)
    return puppet


def member(name: str = "n2", channel: Channel = Channel.CONTROL, expects: str = "n1", **changes) -> Handshake:
    """The dialer's end of a handshake that a `Peer` accepts, unless `changes` make it wrong."""
    settings = {
        "cluster": "demo",
        "name": name,
        "voters": frozenset(VOTERS),
        "configuration": configuration_hash("demo", tuple(VOTERS), {"F": 1.5}),
        "address": "",
        "secret": b"a shared secret",
    }
    identity = changes.pop("identity", (1, 2))
    return Handshake(
        membership=Membership(**(settings | changes)),
        identity=identity,
        nonce=bytes(32),
        expects=expects,
        channel=channel,
    )
