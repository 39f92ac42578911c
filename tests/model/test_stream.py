"""Streams against a network that cuts, crosses and splits as it likes.

Whatever happens, each end hears the other's messages in order, each once, and whatever it does not hear was declared
lost before it hears the next one.
"""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from wampha.cluster.carriers import DataCarrier
from wampha.cluster.frames import FrameReader
from wampha.cluster.stream import Loss, State, Stream
from wampha.counters import Counters
from wampha.messages.model import NO_OPTIONS
from wampha.messages.payload import NOTHING
from wampha.messages.relayed import Answer, Reply
from wampha.state.commands import Owner

_NAMES = itertools.count(1)


class End:
    """One node's end: its stream, the connection that counts for it, and what it heard and declared."""

    def __init__(self, ring_bytes_max: int) -> None:
        self.stream = Stream(
            peer=Owner("peer", 1),
            draw_name=lambda: next(_NAMES),
            frame_bytes_max=100_000,
            ring_bytes_max=ring_bytes_max,
        )
        self.connection: Connection | None = None
        self.carrier: DataCarrier
        self.sent = 0
        self.heard: list[int] = []
        self.missing = 0  # of the other's messages, declared here
        self.declared = 0  # of our own messages, declared here
        self.gave_up = False
        self.other_gave_up = False  # as far as this end was told
        self.attached: set[Connection] = set()

    def send(self, size: int) -> None:
        self.sent += 1
        self.stream.append(Reply(self.sent, Answer.RESULT, "x" * size, NO_OPTIONS, NOTHING))

    def attach(self, connection: Connection) -> None:
        if connection in self.attached:
            return
        self.attached.add(connection)
        self.connection = connection
        self.carrier = DataCarrier(
            stream=self.stream,
            incarnation=1,
            counters=Counters(),
            on_chunk=lambda: None,
            on_data=lambda _, reply: self.hear(reply.call),
            on_chunk_end=lambda: None,
            on_resumed=self.resumed,
            on_missing=self.lack,
        )

    def cut(self) -> None:
        if self.connection is not None:
            self.connection = None
            self.stream.disconnected()

    def resumed(self, ours: Loss | None, theirs: Loss | None) -> None:
        if theirs is not None:
            self.lack(theirs)
        if ours is not None:
            self.declare(ours)

    def lack(self, loss: Loss) -> None:
        assert loss.frames is not None, "no end ever forgot the other"
        self.missing += loss.frames
        self.other_gave_up = True

    def declare(self, loss: Loss) -> None:
        assert loss.frames is not None
        self.declared += loss.frames

    def give_up(self) -> None:
        if self.stream.state is not State.BROKEN:
            self.declare(self.stream.give_up())
            self.gave_up = True
            self.cut()  # who gives up a stream that has a connection closes it

    def hear(self, number: int) -> None:
        assert number == len(self.heard) + self.missing + 1, "neither heard nor declared, or heard twice"
        self.heard.append(number)


class Connection:
    """Bytes on their way between two ends, in order."""

    def __init__(self, ends: tuple[End, End]) -> None:
        self.ends = ends
        self.pipes = (bytearray(), bytearray())  # from the first end, from the second
        self.readers = (FrameReader(100_000), FrameReader(100_000))

    def pump(self, side: int, size: int) -> None:
        """That end writes."""
        if self.ends[side].connection is self:
            self.pipes[side].extend(self.ends[side].carrier.take(size))

    def deliver(self, side: int, size: int) -> None:
        """Bytes of that end arrive at the other, if it still listens to this connection."""
        pipe, end = self.pipes[side], self.ends[1 - side]
        if end.connection is not self:
            return
        chunk = bytes(pipe[:size])
        del pipe[:size]
        for body in self.readers[side].frames(chunk):
            if body:
                end.carrier.receive(body)
        end.carrier.chunk_ended()


SIDES = st.integers(0, 1)
SIZES = st.integers(1, 600)
OPERATIONS = st.one_of(
    st.tuples(st.just("send"), SIDES, st.integers(0, 60)),
    st.tuples(st.just("burst"), SIDES, st.integers(2, 8)),
    st.tuples(st.just("pump"), SIDES, SIZES),
    st.tuples(st.just("deliver"), SIDES, SIZES),
    st.tuples(st.just("beat"), SIDES, st.just(0)),
    st.tuples(st.just("cut"), SIDES, st.just(0)),
    st.tuples(st.just("attach"), SIDES, st.integers(0, 2)),
    st.tuples(st.just("connect"), SIDES, st.just(0)),
    st.tuples(st.just("reconnect"), SIDES, st.just(0)),
    st.tuples(st.just("flow"), SIDES, st.just(0)),
)


class Network:
    def __init__(self, ring_bytes_max: int) -> None:
        self.ends = (End(ring_bytes_max), End(ring_bytes_max))
        self.connections: list[Connection] = []
        self.reconnect()

    def step(self, operation: str, side: int, size: int) -> None:
        end = self.ends[side]
        steps = {
            "send": lambda: end.send(size),
            "burst": lambda: [end.send(size) for _ in range(size)],
            "cut": end.cut,
            "give up": end.give_up,
            "connect": lambda: end.attach(self.connect()),
            "reconnect": self.reconnect,
            "attach": lambda: end.attach(self.connections[-1 - size % len(self.connections)]),
            "flow": lambda: self.flow(3),
            "beat": lambda: end.connection is not None and end.carrier.beat(),
            "pump": lambda: [connection.pump(side, size) for connection in self.connections[-3:]],
            "deliver": lambda: [connection.deliver(side, size) for connection in self.connections[-3:]],
        }
        steps[operation]()

    def connect(self) -> Connection:
        self.connections.append(Connection(self.ends))
        return self.connections[-1]

    def reconnect(self) -> None:
        connection = self.connect()
        for end in self.ends:
            end.attach(connection)
        self.flow(2)

    def flow(self, rounds: int) -> None:
        for _ in range(rounds):
            for connection, side in itertools.product(self.connections[-3:], (0, 1)):
                connection.pump(side, 200)
                connection.deliver(side, 500)

    def heal(self) -> None:
        """A connection that stays, until nothing moves."""
        last = Connection(self.ends)
        for end in self.ends:
            end.attach(last)
        for _ in range(3):
            for side in (0, 1):
                self.ends[side].carrier.beat()
                while data := self.ends[side].carrier.take(10_000):
                    last.pipes[side].extend(data)
                last.deliver(side, 1_000_000)
        assert [end.stream.state for end in self.ends] == [State.FLOWING] * 2
        assert [end.stream.waiting for end in self.ends] == [0, 0]


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, max_size=120))
def test_without_a_bound_reached_nothing_is_ever_lost(operations) -> None:
    network = Network(ring_bytes_max=10_000_000)
    for operation in operations:
        network.step(*operation)
    network.heal()
    for end, other in (network.ends, network.ends[::-1]):
        assert other.heard == list(range(1, end.sent + 1))
        assert end.declared == other.missing == 0


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 400),
    st.lists(st.one_of(OPERATIONS, st.tuples(st.just("give up"), SIDES, st.just(0))), max_size=120),
)
def test_what_is_lost_is_declared_by_both_ends_before_anything_behind_it_is_heard(ring, operations) -> None:
    network = Network(ring_bytes_max=ring)
    for operation in operations:
        network.step(*operation)
    network.heal()
    for end, other in (network.ends, network.ends[::-1]):
        assert len(other.heard) + other.missing == end.sent
        assert other.heard == sorted(set(other.heard))
        assert end.declared >= other.missing
        assert other.other_gave_up or not end.gave_up  # its calls end too, even if no frame was lost


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATIONS, max_size=120))
def test_what_is_kept_of_frames_sent_is_bounded(operations) -> None:
    network = Network(ring_bytes_max=200)
    for operation in operations:
        network.step(*operation)
        for end in network.ends:
            assert end.stream._ring_bytes <= 200 or len(end.stream._ring) == 1
    network.heal()
    for end in network.ends:
        assert not end.stream._ring or end.stream._acked < end.stream._sent
