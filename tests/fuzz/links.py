"""Other nodes, or who says that it is one: from the first octet on the wire to the core."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.testing import StringTransport

from tests.fuzz.chunks import chunks
from tests.support.core import Cluster
from tests.unit.cluster.harness import VOTERS, forward, member
from wampha.cluster.carriers import ControlCarrier, DataCarrier
from wampha.cluster.frames import KEEP_ALIVE, Ack, Envelope, Resume, append_envelope, framed, written
from wampha.cluster.handshake import Channel, Handshake, Membership, Refusal, refusal
from wampha.cluster.link import Link, State
from wampha.cluster.stream import Stream
from wampha.counters import Counters
from wampha.errors import LinkRefused
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS
from wampha.messages.payload import Family, Payload
from wampha.messages.relayed import (
    Answer,
    CancelInvoke,
    Invoke,
    InvokeMore,
    Originator,
    Query,
    QueryReply,
    Relayed,
    Reply,
    Reported,
)

_INPUTS_MAX: Final = 1000  # of one cluster
_LIMITS: Final = Limits()
_INCARNATION: Final = 1
_PAYLOAD: Final = Payload(Family.JSON, 1, b'["x"]')
_SOMEBODY: Final = Originator(77, "somebody", "user")


class Events:
    """What a link tells, kept; data goes where `carry` says."""

    def __init__(self, carry: Any = None) -> None:
        self.told: list[str] = []
        self._carry = carry

    def proven(self, link: Link) -> None:
        self.told.append("proven")
        link.carry(self._carry(link) if self._carry else ControlCarrier(lambda _: None))

    def refused(self, link: Link, error: LinkRefused) -> None:
        assert str(error)
        self.told.append("refused")

    def broken(self, link: Link, sentence: str) -> None:
        self.told.append("broken")

    def ended(self, link: Link) -> None:
        self.told.append("ended")

    def eased(self, link: Link) -> None:
        pass


def _own(**asked: Any) -> Handshake:
    """This node's end: it is n1, or (`asked`) n3, which dials it."""
    name = "n3" if asked else "n1"
    membership = Membership(
        cluster="demo",
        name=name,
        voters=frozenset(VOTERS),
        configuration=bytes(32),
        address="",
        secret=b"a shared secret",
    )
    return Handshake(membership=membership, identity=(1, 2), nonce=bytes(32), **asked)


def _stranger_speaks(handshake: Handshake, data: bytes) -> bool:
    """Whether the link has come up by that."""
    events = Events()
    link = Link(handshake=handshake, events=events, limits=_LIMITS, counters=Counters())
    transport = StringTransport()
    link.makeConnection(transport)
    for chunk in chunks(data):
        link.dataReceived(chunk)
    link.tick()
    assert transport.producerState == "producing"
    if "refused" in events.told:
        assert link.state is State.CLOSED and transport.disconnecting
        assert events.told.count("refused") == 1
    return "proven" in events.told


def acceptor(data: bytes) -> bool:
    """A stranger on the port for other nodes."""
    return _stranger_speaks(_own(), data)


def dialer(data: bytes) -> bool:
    """Whoever answers where another node should."""
    return _stranger_speaks(_own(**_DIALLED), data)


class Core:
    """A node that has sessions and calls, and a neighbour that says anything; a new one now and then."""

    def __init__(self) -> None:
        self._used = _INPUTS_MAX
        self._cluster: Cluster

    def meets(self, data: bytes) -> bool:
        if self._used == _INPUTS_MAX:
            self._used = 0
            self._begin()
        self._used += 1
        node, neighbour = self._cluster["a"], self._cluster["b"].ledger.owner
        told: list[Relayed] = []

        def carry(link: Link) -> DataCarrier:
            names = iter(range(1, 1000))
            stream = Stream(peer=neighbour, draw_name=names.__next__, frame_bytes_max=2**20, ring_bytes_max=2**20)
            return DataCarrier(
                stream=stream,
                incarnation=_INCARNATION,
                counters=Counters(),
                on_chunk=lambda: None,
                on_data=lambda owner, relayed: (told.append(relayed), node.router.relayed(owner, relayed))[0],
                on_chunk_end=lambda: None,
                on_resumed=lambda ours, theirs: None,
                on_missing=lambda loss: None,
            )

        link = _proven(Events(carry))
        for chunk in chunks(data):
            link.dataReceived(chunk)
        self._rest()
        return bool(told)

    def _begin(self) -> None:
        self._cluster = Cluster("a", "b")
        node = self._cluster["a"]
        self._peers = [node.join(), node.join()]
        for peer in self._peers:
            peer.subscribe("com.example.topic")
        self._peers[0].register("com.example.procedure")
        self._cluster.settle()

    def _rest(self) -> None:
        self._cluster["a"].clock.advance(0.01)
        for wire in self._cluster.wires.values():
            wire.clear()
        for peer in self._peers:
            peer.take()


def _proven(events: Events) -> Link:
    """A link whose peer has proven itself, without the handshake's work for each input."""
    handshake = _own()
    link = Link(handshake=handshake, events=events, limits=_LIMITS, counters=Counters())
    link.makeConnection(StringTransport())
    for frame in _PROOF:
        link.dataReceived(frame)
    assert link.state is State.OPEN
    return link


def _proof(channel: Channel) -> list[bytes]:
    """What n2 says to n1 until it is believed; nonces do not change here."""
    theirs, ours = member("n2", channel=channel, configuration=bytes(32)), _own()
    hello = theirs.begin()
    proof = theirs.receive(ours.receive(hello[4:])[4:])
    return [hello, proof]


_DIALLED: Final[dict[str, Any]] = {"expects": "n1", "channel": Channel.DATA}
_PROOF: Final = _proof(Channel.DATA)
_CORE: Final = Core()


def data_frames(data: bytes) -> bool:
    """A proven neighbour on the data link."""
    return _CORE.meets(data)


# ---- seeds


def handshake_seeds() -> list[bytes]:
    """Whole handshakes of an acceptor's and of a dialer's peer, and what is none."""
    said = [b"".join(_proof(channel)) for channel in Channel]
    dialing, answering = _own(**_DIALLED), _own()
    answer = answering.receive(dialing.begin()[4:])
    said += [answer + answering.receive(dialing.receive(answer[4:])[4:]), refusal(Refusal.PROOF), KEEP_ALIVE]
    said += [
        framed(b"\xc1"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x80\x05\x95.",
    ]
    said.append(said[0] + framed(b"control") + KEEP_ALIVE)
    return [bytes((size,)) + each for each in said for size in (0, 11)]


def data_seeds() -> list[bytes]:
    relayed: list[Relayed] = [
        forward(),
        Invoke(1, "realm1", 2, "com.example.procedure", 3, _SOMEBODY, {}, _PAYLOAD),
        InvokeMore(1, True, _PAYLOAD),
        Reply(1, Answer.RESULT, "", NO_OPTIONS, _PAYLOAD),
        Reply(1, Answer.ERROR, "com.error", {"a": [1]}, _PAYLOAD),
        CancelInvoke(1, "wamp.error.canceled", "kill"),
        Query(1, b"\x92\x01\x02"),
        QueryReply(1, None),
        QueryReply(1, b"\x90"),
        Reported(1),
    ]
    resume = written(Resume(4711, 0, 0, 1, 4711))
    seeds = []
    for each in relayed:
        buffer = bytearray()
        append_envelope(buffer, Envelope(_INCARNATION, 1, each), 10**6)
        seeds.append(b"\x00" + resume + bytes(buffer) + written(Ack(1)))
    everything = bytearray()
    for number, each in enumerate(relayed, 1):
        append_envelope(everything, Envelope(_INCARNATION, number, each), 10**6)
    return [*seeds, b"\x05" + resume + KEEP_ALIVE + bytes(everything)]
