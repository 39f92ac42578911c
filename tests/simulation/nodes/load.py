"""Clients that do a bit of everything, at random moments, from the world's seed."""

from __future__ import annotations

import functools
from collections.abc import Callable

from tests.checkers import history as h
from tests.simulation.nodes.client import NOTICES, Client
from tests.simulation.nodes.world import World

TOPICS = ("t.a", "t.b", "t.a.x", "t.b.x")
PATTERNS = (*(("exact", topic) for topic in TOPICS), ("prefix", "t."), ("prefix", "t.a"), ("wildcard", "t..x"))
PROCEDURES = ("p.a", "p.b", "p.c")
SHARED = {f"s.{policy}": policy for policy in ("first", "last", "roundrobin", "random")}  # procedure -> policy
BUSY_MAX = 30  # operations of one client that wait for an answer
FILLER_BYTES = 4000
_MIX: tuple[tuple[str, float], ...] = (
    ("publish", 0.46),
    ("call", 0.22),
    ("subscription", 0.16),
    ("registration", 0.10),
    ("burst", 0.03),
    ("leave", 0.006),
    ("drop", 0.006),
    ("bequeath", 0.02),
    ("kill", 0.003),
)


class Load:
    """`clients` of them, `rate` operations per second in all.

    If it `keeps`, half of all events are to be retained; if it `shares`, most procedures have several callees.
    """

    def __init__(self, world: World, *, clients: int, rate: float, keeps: bool = False, shares: bool = False) -> None:
        self.world, self.rate, self.keeps = world, rate, keeps
        self._procedures = (*PROCEDURES, *SHARED) if shares else PROCEDURES
        self._chance = world.chance
        self._active = True
        self._all: list[Client] = []
        for place in range(clients):
            self.newcomer(world.names[place % len(world.names)])
        self._next()

    @property
    def clients(self) -> list[Client]:
        """Those of this load who live, oldest first."""
        return [client for client in self._all if client.process.alive and client.reconnects]

    def newcomer(self, node: str = "") -> Client:
        """One client more, that connects at once."""
        client = self.world.client(f"c{len(self._all) + 1}", node=node or self._chance.choice(self.world.names))
        self._all.append(client)
        client.answers = self._answer
        client.joined = self._joined
        client.connect(client.nodes[0])
        return client

    def stop(self) -> None:
        self._active = False

    def _joined(self, client: Client) -> None:
        """Who is back wants its subscriptions back, as real clients do."""
        for match, topic in self._chance.sample(PATTERNS, 2):
            client.subscribe(topic, match, retained=self._keep())
        if self._chance.random() < 0.5:
            self._register(client, self._chance.choice(self._procedures))

    def _next(self) -> None:
        if self._active:
            self.world.timeline.after(self._chance.expovariate(self.rate), self._operate)

    def _operate(self) -> None:
        self._next()
        ready = [each for each in self.clients if each.session and each.busy() < BUSY_MAX]
        if not ready or not self._active:
            return
        client = self._chance.choice(ready)
        kinds, weights = zip(*_MIX, strict=True)
        act: Callable[[Client], None] = getattr(self, f"_{self._chance.choices(kinds, weights)[0]}")
        client.process.enter(self._if_open, client, act)

    def _if_open(self, client: Client, act: Callable[[Client], None]) -> None:
        """A client that was stopped may have lost its session meanwhile."""
        if client.session:
            act(client)

    # ---- operations

    def _publish(self, client: Client) -> None:
        client.publish(self._chance.choice(TOPICS), acknowledge=self._chance.random() < 0.5, retain=self._keep())

    def _burst(self, client: Client) -> None:
        """More than a slow reader can take at once."""
        topic = self._chance.choice(TOPICS)
        for _ in range(self._chance.randint(5, 30)):
            client.publish(topic, filler="x" * FILLER_BYTES, retain=self._keep())
        client.publish(topic, acknowledge=True)

    def _call(self, client: Client) -> None:
        client.call(self._chance.choice(self._procedures))

    def _subscription(self, client: Client) -> None:
        match, topic = self._chance.choice(PATTERNS)
        if (match, topic) in client.subscriptions:
            client.unsubscribe(topic, match)
        elif not client.asked("subscribe", topic, match) and not client.asked("unsubscribe", topic, match):
            client.subscribe(topic, match, retained=self._keep())

    def _keep(self) -> bool:
        return self.keeps and self._chance.random() < 0.5

    def _registration(self, client: Client) -> None:
        procedure = self._chance.choice(self._procedures)
        if procedure in client.registrations:
            client.unregister(procedure)
        elif not client.asked("register", procedure) and not client.asked("unregister", procedure):
            self._register(client, procedure)

    @staticmethod
    def _register(client: Client, procedure: str) -> None:
        client.register(procedure, SHARED.get(procedure, h.SINGLE))

    def _leave(self, client: Client) -> None:
        client.leave()

    def _drop(self, client: Client) -> None:
        client.drop()

    def _bequeath(self, client: Client) -> None:
        client.bequeath()

    def _kill(self, client: Client) -> None:
        others = [each.session for each in self.clients if each.session and each is not client]
        if others:
            client.kill(self._chance.choice(others))

    # ---- callees

    def _answer(self, client: Client, invocation: h.Invocation) -> None:
        draw = self._chance.random()
        answer = functools.partial(client.answer, invocation, error=draw < 0.1)
        if draw < 0.5:
            answer()
        elif draw < 0.98:  # and the rest never
            client.later(self._chance.uniform(0.01, 3.0), answer)


class Watchers:
    """One client at each node that wants to know who comes and goes."""

    def __init__(self, world: World) -> None:
        self.clients = [world.client(f"watcher-{name}", node=name) for name in world.names]
        for client in self.clients:
            client.joined = self._joined
            client.connect(client.nodes[0])

    def _joined(self, client: Client) -> None:
        for topic in NOTICES:
            client.subscribe(topic)
