"""Nobody ever hears what its role may not, by whatever way: live, retained, from the history, or after coming back.

Two nodes, a network and a log that go on as chance wants, roles with permissions at random. Whatever a client is sent
is held against a naive model of its role. That this does not hold because nothing arrives is checked too: who may hear
everything has missed nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

from tests.model.test_permissions import Model, Pattern, Stated, permissions
from tests.support.core import Cluster, Peer
from tests.unit.routing.test_resumption import token_of
from wampha.messages.model import Abort, Error, Event, Published, Result, Subscribed, Unsubscribed, Welcome
from wampha.messages.payload import Payload
from wampha.names.uri import EXACT, PREFIX, WILDCARD
from wampha.routing.resumption import ResumptionRules
from wampha.state.commands import Ring

SEEDS: Final = range(50)
STEPS: Final = 200
NODES: Final = ("a", "b")
ROLES: Final = ("red", "green", "blue")
TOPICS: Final = ("t.a", "t.b", "t.a.x", "t.a.y", "t.b.x", "s", "s.x")
PATTERNS: Final = tuple(
    Pattern(*each)
    for each in (
        *((EXACT, topic) for topic in TOPICS),
        *((PREFIX, prefix) for prefix in ("", "t", "t.", "t.a", "t.a.", "s", "s.")),
        *((WILDCARD, wildcard) for wildcard in ("", ".", "t.", "..", "t..", "t..x", "t.a.", ".a.x", ".x", ".b.")),
    )
)
HOW: Final = ("live", "retained", "history", "resumed")
GET_EVENTS: Final = "wamp.subscription.get_events"
# All roles may ask for history, and hear of the router what the patterns let them hear.
MAY_ASK: Final = (
    Stated(Pattern(PREFIX, "wamp."), frozenset({"subscribe"})),
    Stated(Pattern(EXACT, GET_EVENTS), frozenset({"call", "subscribe"})),
)
HISTORY: Final = Ring(PREFIX, "t.", 100, 10**6)
RULES: Final = ResumptionRules(grace_s=1000.0, buffer_bytes=10**6, sessions_max=100)


class Client:
    """A session of a role, and what the model says of the role."""

    def __init__(self, world: World, node: str, role: str) -> None:
        self.world = world
        self.role = role
        self.peer = world.cluster[node].join(role=role, resumable=True)
        self.attached = True
        self.attempt: Peer | None = None
        self.asked = 0  # request of the last question for history

    def read(self) -> None:
        """Take what was sent, and hold it against the model."""
        for peer in (self.peer, self.attempt):
            for message in peer.take() if peer is not None else ():
                self._take(peer, message)

    def _take(self, peer: Any, message: Any) -> None:
        if isinstance(message, Event):
            topic = message.details.get("topic") or message.payload.args()[0]
            assert topic.startswith("wamp.") or message.payload.args() == [topic]
            self._hears(topic, "retained" if message.details.get("retained") else "live")
        elif isinstance(message, Result):
            for told in message.payload.args():
                assert told["args"] == [told["topic"]]
                self._hears(told["topic"], "history")
        elif isinstance(message, Subscribed):
            self.world.subscriptions.add(message.subscription)
        elif isinstance(message, Welcome):
            peer.opening, self.peer, self.attempt, self.attached = [message], peer, None, True
            peer.session = message.session
            self.world.heard["resumed"] += 1
        elif isinstance(message, Abort):
            self.attempt = None
        else:
            assert isinstance(message, Published | Unsubscribed | Error), message

    def _hears(self, topic: str, how: str) -> None:
        assert self.world.models[self.role].may("subscribe", topic), f"{self.role} heard {topic} ({how})"
        self.world.heard[how] += 1


class World:
    """Two nodes, those who publish, and clients of each role."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        stated = {role: [*self._permissions(), *MAY_ASK] for role in ROLES}
        self.models = {role: Model(some) for role, some in stated.items()}
        self.cluster = Cluster(
            *NODES,
            roles={role: permissions(some) for role, some in stated.items()},
            histories=(HISTORY,),
            resumption=RULES,
        )
        self.subscriptions: set[int] = set()  # every id that anybody was told
        self.heard = Counter[str]()
        self.publishers = [self.cluster[node].join() for node in NODES]
        self.witness = self._witness()
        self.published = 0
        self.clients = [Client(self, node, role) for role in ROLES for node in NODES]

    def _permissions(self) -> list[Stated]:
        chance = self.chance
        return [
            Stated(chance.choice(PATTERNS), frozenset({"subscribe"} if chance.random() < 0.7 else ()))
            for _ in range(chance.randint(1, 5))
        ]

    def _witness(self) -> Peer:
        peer = self.cluster["b"].join()
        peer.subscribe("", match=PREFIX)
        self.cluster.settle()
        peer.take()
        return peer

    def step(self) -> None:
        acts = (
            *(self.subscribe,) * 4,
            self.unsubscribe,
            *(self.publish,) * 4,
            *(self.ask,) * 2,
            self.lose,
            *(self.come,) * 2,
            *(self.some,) * 6,
            *(self.settle,) * 2,
        )
        self.chance.choice(acts)()
        for client in self.clients:
            client.read()

    def client(self) -> Client:
        return self.chance.choice(self.clients)

    def subscribe(self) -> None:
        client = self.client()
        if client.attached:
            match, uri = self.chance.choice(PATTERNS)
            client.peer.subscribe(uri, match=match, get_retained=self.chance.random() < 0.8)

    def unsubscribe(self) -> None:
        client = self.client()
        session = client.peer.conversation.session
        if client.attached and session is not None and session.subscriptions:
            client.peer.unsubscribe(self.chance.choice(sorted(session.subscriptions)))

    def publish(self) -> None:
        topic = self.chance.choice(TOPICS)
        self.published += 1
        self.chance.choice(self.publishers).publish(topic, Payload.of([topic]), retain=self.chance.random() < 0.4)

    def ask(self) -> None:
        client = self.client()
        if client.attached and self.subscriptions:
            client.peer.ask(GET_EVENTS, self.chance.choice(sorted(self.subscriptions)))

    def lose(self) -> None:
        client = self.client()
        if client.attached:
            client.attached = False
            client.peer.conversation.lost()

    def come(self) -> None:
        client = self.client()
        if not client.attached and client.attempt is None:
            node = self.cluster[self.chance.choice(NODES)]
            client.attempt = node.join(
                role=client.role,
                resume_session=client.peer.session,
                resume_token=token_of(client.peer),
                after=client.peer._request,
            )
            client.attempt.client.sent = client.attempt.opening + client.attempt.client.sent

    def some(self) -> None:
        """Part of what is under way arrives, and some time passes."""
        for name in NODES:
            node = self.cluster[name]
            node.ledger.commit(self.chance.randint(0, len(node.ledger.queue)))
            node.ledger.apply()
            if self.chance.random() < 0.5:
                node.clock.advance(0.01)
            claimed = min(each.ledger.applied for each in self.cluster.nodes.values())
            node.ledger.claim(claimed)
        for source, target in list(self.cluster.wires):
            if self.chance.random() < 0.5:
                self.cluster.carry(source, target)

    def settle(self) -> None:
        for _ in range(3):
            self.cluster.settle()
            for node in self.cluster.nodes.values():
                node.clock.advance(0.01)
        self.cluster.settle()


def test_nobody_hears_what_its_role_may_not() -> None:
    heard = Counter[str]()
    for seed in SEEDS:
        world = World(seed)
        try:
            for _ in range(STEPS):
                world.step()
            for _ in range(3):
                world.settle()
                for client in world.clients:
                    client.read()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        events = (message for message in world.witness.take() if isinstance(message, Event))
        witnessed = [event for event in events if not event.details["topic"].startswith("wamp.")]
        assert len(witnessed) == world.published, f"seed {seed}: who may hear everything has heard everything"
        heard.update(world.heard)
    assert min(heard[how] for how in HOW) > 100, f"it was for want of events: {heard}"
