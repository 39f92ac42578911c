"""The broker and dealer of a cluster against a naive model that knows everything at once.

Three nodes, a network that keeps order per pair and carries when the test says so, a log that each node applies at its
own pace. The model is a list of who has subscribed to what since when.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.model.test_patterns import fits
from tests.support.core import Cluster, Peer
from wampha.messages.model import Error, Event, Invocation, Registered, Result, Subscribed, Unregistered, Unsubscribed
from wampha.messages.payload import Payload

NODES = ("a", "b", "c")
PATTERNS = (("exact", "x.y"), ("prefix", "x"), ("wildcard", "x."))
TOPICS = ("x.y", "x.y", "x.z", "y")
PROCEDURES = ("p", "q")
ACTIONS = (
    "subscribe",
    "unsubscribe",
    "publish",
    "publish_to_me_too",
    "register",
    "unregister",
    "call",
    "answer",
    "leave",
    "join",
    "commit",
    "apply",
    "claim",
    "carry",
    *["settle"] * 4,  # else few sequences get as far as an acknowledgement
    *["publish", "call"] * 2,
)


class Client:
    """A session and what the model knows of it."""

    def __init__(self, world: World, node: str) -> None:
        self.world = world
        self.node = node
        self.peer = Peer(world.cluster[node])
        self.session = self.peer.session
        self.asked: dict[int, Any] = {}  # request -> what it was about
        self.subscriptions: dict[int, tuple[str, str]] = {}  # id -> (match, pattern), from SUBSCRIBED to UNSUBSCRIBE
        self.registrations: dict[int, str] = {}
        self.invocations: list[Invocation] = []
        self.calls: set[int] = set()
        self.seen: dict[tuple[int, int], int] = {}  # (subscription, publisher) -> last publication's number
        self.got: dict[int, list[int]] = {}  # subscription -> numbers of publications received

    def read(self) -> None:
        """Take what was sent, and check it against the model."""
        for message in self.peer.take():
            {
                Subscribed: self._subscribed,
                Unsubscribed: lambda _: None,
                Registered: self._registered,
                Unregistered: lambda _: None,
                Event: self._event,
                Invocation: self.invocations.append,
                Result: self._ended,
                Error: self._error,
            }[type(message)](message)

    def _subscribed(self, message: Subscribed) -> None:
        self.subscriptions[message.subscription] = self.asked.pop(message.request)
        self.got.setdefault(message.subscription, [])
        self.world.same_id(self.subscriptions[message.subscription], message.subscription)

    def _registered(self, message: Registered) -> None:
        self.registrations[message.registration] = self.asked.pop(message.request)
        self.world.registered(self, self.registrations[message.registration])

    def _event(self, event: Event) -> None:
        match, pattern = self.subscriptions[event.subscription]
        number, topic, publisher, excluded = event.payload.args()
        assert fits(match, pattern, topic)
        assert event.details == ({} if match == "exact" else {"topic": topic})
        assert not (excluded and publisher == self.session), "the publisher is left out"
        assert number > self.seen.get((event.subscription, publisher), 0), "once and in order"
        self.seen[event.subscription, publisher] = number
        self.got[event.subscription].append(number)

    def _ended(self, result: Result) -> None:
        self.calls.remove(result.request)

    def _error(self, error: Error) -> None:
        if error.request_type == 48:
            self.calls.remove(error.request)
        else:
            assert error.error == "wamp.error.procedure_already_exists"
            del self.asked[error.request]


class World:
    def __init__(self) -> None:
        self.cluster = Cluster(*NODES)
        self.clients = [Client(self, node) for node in ("a", "a", *NODES)]
        self.published = 0
        self.expected: dict[tuple[int, int], list[int]] = {}  # (session, subscription) -> numbers that must arrive
        self.ids: dict[int, tuple[str, str]] = {}

    def same_id(self, pattern: tuple[str, str], subscription: int) -> None:
        assert self.ids.setdefault(subscription, pattern) == pattern

    def registered(self, owner: Client, procedure: str) -> None:
        owners = [client for client in self.clients if procedure in client.registrations.values()]
        assert owners == [owner], "P1: one owner"

    def step(self, action: str, choice: int) -> None:
        client = self.clients[choice % len(self.clients)] if self.clients else None
        if client is not None or action in ("join", "commit", "apply", "claim", "carry", "settle"):
            getattr(self, action)(client, choice // 5)
        for each in self.clients:
            each.read()

    # ---- clients

    def subscribe(self, client: Client, choice: int) -> None:
        match, pattern = PATTERNS[choice % len(PATTERNS)]
        client.asked[client.peer.subscribe(pattern, match=match)] = (match, pattern)

    def unsubscribe(self, client: Client, choice: int) -> None:
        if client.subscriptions:
            subscription = sorted(client.subscriptions)[choice % len(client.subscriptions)]
            if client.subscriptions[subscription] not in client.asked.values():
                client.peer.unsubscribe(subscription)
                del client.subscriptions[subscription]
                self.expected.pop((client.session, subscription), None)

    def publish(self, client: Client, choice: int, excluded: bool = True) -> None:
        self.published += 1
        topic = TOPICS[choice % len(TOPICS)]
        for each in self.clients:
            for subscription, (match, pattern) in each.subscriptions.items():
                if fits(match, pattern, topic) and not (excluded and each is client):
                    self.expected.setdefault((each.session, subscription), []).append(self.published)
        options = {} if excluded else {"exclude_me": False}
        client.peer.publish(topic, Payload.of([self.published, topic, client.session, excluded]), **options)

    def publish_to_me_too(self, client: Client, choice: int) -> None:
        self.publish(client, choice, excluded=False)

    def register(self, client: Client, choice: int) -> None:
        procedure = PROCEDURES[choice % len(PROCEDURES)]
        client.asked[client.peer.register(procedure)] = procedure

    def unregister(self, client: Client, choice: int) -> None:
        if client.registrations:
            registration = sorted(client.registrations)[choice % len(client.registrations)]
            del client.registrations[registration]
            client.peer.unregister(registration)

    def call(self, client: Client, choice: int) -> None:
        client.calls.add(client.peer._request + 1)
        client.peer.call(PROCEDURES[choice % len(PROCEDURES)])

    def answer(self, client: Client, choice: int) -> None:
        if client.invocations:
            invocation = client.invocations.pop(choice % len(client.invocations))
            if choice % 2:
                client.peer.result(invocation.request)
            else:
                client.peer.error(invocation.request, "com.error")

    def leave(self, client: Client, _: int) -> None:
        client.peer.conversation.lost()
        self.clients.remove(client)
        self.expected = {key: numbers for key, numbers in self.expected.items() if key[0] != client.session}

    def join(self, _: Any, choice: int) -> None:
        self.clients.append(Client(self, NODES[choice % len(NODES)]))

    # ---- the cluster

    def commit(self, _: Any, choice: int) -> None:
        ledger = self.cluster[NODES[choice % len(NODES)]].ledger
        ledger.commit(min(1, len(ledger.queue)))

    def apply(self, _: Any, choice: int) -> None:
        self.cluster[NODES[choice % len(NODES)]].ledger.apply()

    def claim(self, _: Any, choice: int) -> None:
        claimed = min(node.ledger.applied for node in self.cluster.nodes.values())
        self.cluster[NODES[choice % len(NODES)]].ledger.claim(claimed)

    def carry(self, _: Any, choice: int) -> None:
        wires = [wire for wire, waiting in sorted(self.cluster.wires.items()) if waiting]
        if wires:
            self.cluster.carry(*wires[choice % len(wires)], count=1)

    def settle(self, _: Any, __: int) -> None:
        self.cluster.settle()

    def rest(self) -> None:
        self.cluster.settle()
        for client in self.clients:
            client.read()
        while any(client.invocations for client in self.clients):
            for client in self.clients:
                self.step("answer", 3 + self.clients.index(client))
            self.cluster.settle()
            for client in self.clients:
                client.read()


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(min_value=0, max_value=60)), min_size=60, max_size=120))
def test_three_nodes_behave_as_one_router(steps: list[tuple[str, int]]) -> None:
    world = World()
    for action, choice in steps:
        world.step(action, choice)
    world.rest()
    for client in world.clients:
        assert not client.asked, "every request is answered"
        assert not client.calls, "P6: every call ends"
        for subscription in client.subscriptions:
            expected = world.expected.get((client.session, subscription), [])
            missed = set(expected) - set(client.got[subscription])
            assert not missed, "P2, P5: what was published after SUBSCRIBED arrives"
    for node in world.cluster.nodes.values():
        assert node.counters["calls"] == node.counters["calls_ended"]
        assert not node.counters["protocol_violations"]
    digests = {node.ledger.machine.digest() for node in world.cluster.nodes.values()}
    assert len(digests) == 1
