"""Retained events under any interleaving of log and links: nobody misses one, nobody gets one twice (P3, P4)."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.core import Cluster, Peer
from wampha.messages.model import Event, Subscribed
from wampha.messages.payload import Payload
from wampha.routing.retention import payload_of
from wampha.state.codec import decode
from wampha.state.commands import Entrusted, Keep

NAMES = ("a", "b", "c")
TOPICS = ("com.a", "com.b")

step = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(NAMES), st.sampled_from(TOPICS), st.booleans()),
    st.tuples(st.just("subscribe"), st.sampled_from(NAMES), st.sampled_from((*TOPICS, "com."))),
    st.tuples(st.just("commit"), st.sampled_from(NAMES)),
    st.tuples(st.just("apply"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("claim"), st.sampled_from(NAMES)),
    st.tuples(st.just("carry"), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(1, 3)),
)


class World:
    """Three nodes, one publisher on each, and subscribers that want what is retained."""

    def __init__(self) -> None:
        self.cluster = Cluster(*NAMES)
        self.publishers = {name: self.cluster[name].join() for name in NAMES}
        self.subscribers: list[tuple[str, Peer]] = []
        self.count = 0

    def publish(self, name: str, topic: str, retain: bool) -> None:
        self.count += 1
        self.publishers[name].publish(topic, Payload.of([name, self.count, topic, retain]), retain=retain)

    def subscribe(self, name: str, pattern: str) -> None:
        peer = self.cluster[name].join()
        peer.subscribe(pattern, get_retained=True, match="exact" if pattern in TOPICS else "prefix")
        self.subscribers.append((pattern, peer))

    def commit(self, name: str) -> None:
        """Proposals enter the log; this node applies it."""
        self.cluster[name].ledger.commit(min(1, len(self.cluster[name].ledger.queue)))

    def apply(self, name: str, count: int) -> None:
        ledger = self.cluster[name].ledger
        ledger.apply(min(len(self.cluster.log.entries), ledger.applied + count))

    def claim(self, name: str) -> None:
        """What every node has applied is safe, and this one hears of it (rule 20)."""
        self.cluster[name].ledger.claim(min(node.ledger.applied for node in self.cluster.nodes.values()))

    def carry(self, source: str, target: str, count: int) -> None:
        wire = self.cluster.wires.get((source, target), deque[Any]())
        self.cluster.carry(source, target, min(count, len(wire)))

    def retained(self, pattern: str) -> list[tuple[Any, ...]]:
        """The events that were retained, in the order of the log."""
        commands = [decode(data) for data in self.cluster.log.entries]
        return [
            tuple(payload_of(entrusted.event).args())
            for command in commands
            if isinstance(command, Keep)
            for entrusted in command.wishes
            if isinstance(entrusted, Entrusted) and entrusted.event.topic.startswith(pattern)
        ]


@given(st.lists(step, min_size=10, max_size=80))
def test_every_subscriber_gets_what_is_retained_and_all_that_follows_once(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.cluster.settle()
    for pattern, peer in world.subscribers:
        subscribed, *messages = peer.take()
        assert isinstance(subscribed, Subscribed)
        check(world.retained(pattern), messages)


def check(log: list[tuple[Any, ...]], messages: list[Event]) -> None:
    seen = [tuple(event.payload.args()) for event in messages]
    assert len(seen) == len(set(seen)), "none twice"
    first = [args for args, event in zip(seen, messages, strict=True) if event.details.get("retained")]
    assert seen[: len(first)] == first, "what is retained comes before what is live"
    for topic in TOPICS:
        of_topic = [args for args in log if args[2] == topic]
        begun = [args for args in first if args[2] == topic]
        assert len(begun) <= 1
        expected = of_topic[of_topic.index(begun[0]) :] if begun else of_topic
        assert {args for args in seen if args[2] == topic and args[3]} == set(expected), "none is missing"
    live = seen[len(first) :]
    for name in NAMES:
        numbers = [args[1] for args in live if args[0] == name]
        assert numbers == sorted(numbers), "events of one publisher in their order"
