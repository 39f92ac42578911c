"""A session that is lost and resumed at random nodes, over slow links and a slow log: nothing lost or disordered.

What is handed to a connection counts as received, so what the client has at the end must be all that was published
since SUBSCRIBED, in the order of each publisher; and every call ends once, with at most one INVOCATION.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.core import Cluster, Peer
from tests.unit.routing.test_moving import asking, at_rest, run
from tests.unit.routing.test_resumption import joined
from wampha.messages.model import Abort, Error, Event, Invocation, Result, Welcome
from wampha.messages.payload import Payload
from wampha.routing.resumption import ResumptionRules

RULES = ResumptionRules(grace_s=1000.0, buffer_bytes=10_000_000, sessions_max=3)
NAMES = "abc"
MOVES = 5


class World:
    """One session that can be resumed, and a peer on each node that publishes and calls."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.cluster = Cluster(*NAMES, resumption=RULES)
        self.others = {name: self.cluster[name].join() for name in NAMES}
        self.published = dict.fromkeys(NAMES, 0)
        self.called: dict[tuple[str, int], int] = {}  # (caller's node, request) -> number
        self.answers: dict[tuple[str, int], list[Any]] = {}
        self.got: list[tuple[str, int]] = []
        self.invoked: list[int] = []
        self.session = joined(self.cluster["a"])  # as it was welcomed last
        self.attempt: Peer | None = None  # a connection that waits for WELCOME
        self.attached = True
        self.moves = 0
        self.own = 0  # events that the session has published
        self.heard: dict[str, list[int]] = {name: [] for name in NAMES}  # of them, by the peer at each node
        for other in self.others.values():
            other.subscribe("own")
            run(self.cluster, 0.01)
            other.take()
        for ask in (lambda: self.session.subscribe("t"), lambda: self.session.register("p")):
            ask()
            run(self.cluster, 0.01)
            self.session.take()

    def step(self) -> None:
        act = self.chance.choices(
            [
                self.publish,
                self.publish_own,
                self.call,
                self.commit,
                self.apply,
                self.claim,
                self.carry,
                self.wait,
                self.lose,
                self.come,
            ],
            [3, 3, 2, 8, 12, 12, 40, 25, 1, 3],
        )[0]
        act()
        self.receive()

    def publish(self) -> None:
        name = self.chance.choice(NAMES)
        self.others[name].publish("t", Payload.of([name, self.published[name]]))
        self.published[name] += 1

    def publish_own(self) -> None:
        """By the session itself; every third event is kept by the cluster before anybody gets it."""
        if self.attached:
            self.session.publish("own", Payload.of([self.own]), retain=self.own % 3 == 0)
            self.own += 1

    def call(self) -> None:
        name = self.chance.choice(NAMES)
        number = len(self.called)
        self.called[name, self.others[name].call("p", Payload.of([number]))] = number

    def commit(self) -> None:
        ledger = self.cluster[self.chance.choice(NAMES)].ledger
        ledger.commit(min(len(ledger.queue), self.chance.randint(0, 2)))

    def apply(self) -> None:
        ledger = self.cluster[self.chance.choice(NAMES)].ledger
        ledger.apply(min(ledger.applied + self.chance.randint(1, 3), len(self.cluster.log.entries)))

    def claim(self) -> None:
        claimed = min(node.ledger.applied for node in self.cluster.nodes.values())
        self.cluster[self.chance.choice(NAMES)].ledger.claim(claimed)

    def carry(self) -> None:
        wires = [pair for pair, wire in self.cluster.wires.items() if wire]
        if wires:
            self.cluster.carry(*self.chance.choice(wires), count=1)

    def wait(self) -> None:
        self.cluster[self.chance.choice(NAMES)].clock.advance(0.01)

    def lose(self) -> None:
        if self.attached:
            self.attached = False
            self.session.conversation.lost()
        elif self.attempt is not None:
            self.attempt.conversation.lost()
            self.receive()
            self.attempt = None

    def come(self) -> None:
        if not self.attached and self.attempt is None:
            self.attempt = asking(self.cluster[self.chance.choice(NAMES)], self.session)
            self.took(self.attempt, self.attempt.opening)

    def receive(self) -> None:
        for peer in {self.session, self.attempt} - {None}:
            assert peer is not None
            self.took(peer, peer.take())
        for name, other in self.others.items():
            for answer in other.take():
                if type(answer) is Event:
                    self.heard[name] += answer.payload.args()
                    continue
                self.answers.setdefault((name, answer.request), []).append(answer)

    def took(self, peer: Peer, messages: list[Any]) -> None:
        for message in messages:
            if type(message) is Event:
                self.got.append(tuple(message.payload.args()))
            elif type(message) is Invocation:
                self.invoked.append(message.payload.args()[0])
                if peer.conversation.established:
                    peer.result(message.request, message.payload)
            elif type(message) is Welcome:
                peer.opening, peer.session = [message], message.session
                assert peer.session == self.session.session
                self.session, self.attempt, self.attached = peer, None, True
                self.moves += 1
            elif type(message) is Abort:
                assert message.reason == "wamp.error.unavailable"
                self.attempt = None

    def finish(self) -> None:
        """Everything comes to rest, and the client is back."""
        for _ in range(5):
            run(self.cluster)
            self.receive()
            self.come()
        run(self.cluster)
        self.receive()
        assert self.attached


@pytest.mark.parametrize("seed", range(80))
def test_nothing_is_lost_twice_or_out_of_order_and_every_call_ends_once(seed: int) -> None:
    world = World(seed)
    while world.moves < MOVES:
        world.step()
    world.finish()
    for name in NAMES:
        assert [number for publisher, number in world.got if publisher == name] == list(range(world.published[name]))
        assert world.heard[name] == list(range(world.own))
    assert len(set(world.invoked)) == len(world.invoked)
    for key, number in world.called.items():
        (answer,) = world.answers[key]
        if type(answer) is Result:
            assert answer.payload.args() == [number]
        else:
            assert type(answer) is Error
            allowed = ("wamp.error.canceled",) if number in world.invoked else ("wamp.error.unavailable",)
            assert answer.error in (*allowed, "wamp.error.no_such_procedure"), answer
    at_rest(world.cluster)
