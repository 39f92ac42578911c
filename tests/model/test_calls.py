"""Calls under fire: 10,000 of them, all that can end one, and nodes that die (promise P6 of docs/design.md).

Each call carries a token that its callee gives back, so that no answer can reach a wrong party unseen.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.core import EVERYTHING, Cluster, Node, Peer
from wampha.messages.model import Abort, Error, Goodbye, Interrupt, Invocation, Registered, Result
from wampha.messages.payload import Payload
from wampha.state.commands import Down

CALLS = 2500
PROCEDURES = ("p0", "p1", "p2", "p3", "p4")
MODES = ("skip", "kill", "killnowait")


class Caller:
    """A session that calls, and what it may still hear of each call."""

    def __init__(self, node: Node, name: str) -> None:
        self.node = node
        self.name = name
        self.peer = node.join(features=EVERYTHING)
        self.open: dict[int, str] = {}  # request -> token
        self.parts: dict[int, str] = {}  # calls that may go on -> procedure
        self.ended = 0

    def call(self, chance: random.Random, procedure: str) -> None:
        options: dict[str, Any] = {}
        if chance.random() < 0.4:
            options["timeout"] = chance.randint(1, 300)
        for name in ("receive_progress", "progress", "disclose_me"):
            if chance.random() < 0.3:
                options[name] = True
        token = f"{self.name}:{self.peer._request + 1}"
        self.open[self.peer._request + 1] = token
        request = self.peer.call(procedure, Payload.of([token]), **options)
        if "progress" in options:
            self.parts[request] = procedure

    def hear(self) -> None:
        for message in self.peer.take():
            assert isinstance(message, Result | Error), message
            assert message.request in self.open, f"{message} behind the end of its call"
            if isinstance(message, Result):
                assert message.payload.args() == [self.open[message.request]], "the answer to another call"
            if isinstance(message, Error) or "progress" not in message.details:
                del self.open[message.request]
                self.ended += 1


class Callee:
    """A session that offers a procedure and works on calls."""

    def __init__(self, node: Node, procedure: str, chance: random.Random) -> None:
        features = chance.choice((EVERYTHING, EVERYTHING, {}, dict.fromkeys(EVERYTHING, ("call_canceling",))))
        self.node = node
        self.procedure = procedure
        self.peer = node.join(features=features)
        self.peer.register(procedure)
        self.working: dict[int, Payload] = {}

    def hear(self) -> None:
        for message in self.peer.take():
            if isinstance(message, Invocation):
                self.working.setdefault(message.request, message.payload)
            elif isinstance(message, Interrupt):
                assert message.request <= max(self.working, default=0) or not self.working
            elif isinstance(message, Error):  # its predecessor's registration still stood
                self.peer.register(self.procedure)
            else:
                assert isinstance(message, Registered), message

    def work(self, chance: random.Random) -> None:
        if not self.working:
            return
        invocation = chance.choice(list(self.working))
        kind = chance.choice(("progress", "result", "result", "error"))
        if kind == "progress":
            self.peer.result(invocation, self.working[invocation], progress=True)
        elif kind == "result":
            self.peer.result(invocation, self.working.pop(invocation))
        else:
            self.working.pop(invocation)
            self.peer.error(invocation, "com.failed")


class Fire:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.cluster = Cluster("n0", "n1", "n2")
        self.named = 3
        self.made = 0
        self.callers: list[Caller] = []
        self.callees: list[Callee] = []
        self.gone: list[Peer] = []

    def node(self) -> Node:
        return self.cluster.nodes[self.chance.choice(sorted(self.cluster.nodes))]

    def serving(self) -> Node:
        node = self.node()
        node.ledger.serve(True)
        return node

    def populate(self) -> None:
        while len(self.callers) < 4:
            self.callers.append(Caller(self.serving(), f"caller{len(self.gone)}.{len(self.callers)}.{self.made}"))
        while len(self.callees) < 5:
            offered = {callee.procedure for callee in self.callees}
            procedure = next(name for name in PROCEDURES if name not in offered)
            self.callees.append(Callee(self.serving(), procedure, self.chance))

    def step(self) -> None:
        chance, cluster = self.chance, self.cluster
        kind = chance.random()
        caller = chance.choice(self.callers)
        if kind < 0.3:
            self.made += 1
            caller.call(chance, chance.choice(PROCEDURES) if chance.random() < 0.98 else "nobody")
        elif kind < 0.36 and caller.parts:
            request = chance.choice(list(caller.parts))
            more = chance.random() < 0.6
            procedure = caller.parts[request] if more else caller.parts.pop(request)
            caller.peer.call_on(request, procedure, progress=more)
        elif kind < 0.42:
            caller.peer.cancel(chance.randint(1, caller.peer._request + 1), mode=chance.choice(MODES))
        elif kind < 0.72:
            chance.choice(self.callees).work(chance)
        elif kind < 0.76:
            for node in cluster.nodes.values():
                node.clock.advance(0.01)
        elif kind < 0.94:
            self.bury()
            wires = [wire for wire in sorted(cluster.wires) if cluster.wires[wire]]
            if wires:
                wire = chance.choice(wires)
                cluster.carry(*wire, chance.randint(1, len(cluster.wires[wire])))
        elif kind < 0.98:
            cluster.commit()
        elif kind < 0.982:
            self.lose(chance.choice([*self.callers, *self.callees]))
        elif kind < 0.99:
            self.node().ledger.serve(self.chance.random() < 0.7)
        elif kind < 0.992:
            self.kill(chance.choice(sorted(cluster.nodes)))
        self.hear()

    def hear(self) -> None:
        for each in (*self.callers, *self.callees):
            each.hear()

    def lose(self, who: Caller | Callee) -> None:
        """A client is gone without a word."""
        self.hear()
        who.peer.conversation.lost()
        self.gone.append(who.peer)
        (self.callers if isinstance(who, Caller) else self.callees).remove(who)  # type: ignore[arg-type]
        self.populate()

    def kill(self, name: str) -> None:
        """A node dies with its clients; another one comes."""
        dead = self.cluster.nodes.pop(name)
        for wire in [wire for wire in self.cluster.wires if name in wire]:
            del self.cluster.wires[wire]
        self.callers = [each for each in self.callers if each.node is not dead]
        self.callees = [each for each in self.callees if each.node is not dead]
        self.cluster.log.append(Down(dead.owner, 1))
        self.cluster.add(f"n{self.named}")
        self.named += 1
        self.populate()

    def bury(self) -> None:
        """What is on its way to the dead arrives nowhere."""
        nodes = self.cluster.nodes
        for wire in [wire for wire in self.cluster.wires if not nodes.keys() >= set(wire)]:
            del self.cluster.wires[wire]

    def rest(self) -> None:
        """Everything is delivered and answered."""
        for node in self.cluster.nodes.values():
            node.ledger.serve(True)
        self.bury()
        self.cluster.settle()
        self.hear()
        for callee in self.callees:
            for invocation, payload in list(callee.working.items()):
                callee.peer.result(invocation, payload)
        self.cluster.settle()
        self.hear()

    def check(self) -> None:
        for caller in self.callers:
            assert caller.peer.conversation.established
            assert not caller.open, "calls that never ended"
        for peer in self.gone:
            assert not [each for each in peer.take() if not isinstance(each, Abort | Goodbye)], "said to who is gone"
        for node in self.cluster.nodes.values():
            calls = node.router._calls
            assert not any(calls._elsewhere.values())
            assert not any(calls._served.values())
            assert not calls._timeouts._heap
            assert calls._timeouts._timer is None
            assert node.counters["calls"] == node.counters["calls_ended"]
            for session in node.router._sessions.values():
                assert not session.calls
                assert not session.invocations


@pytest.mark.parametrize("seed", range(4))
def test_every_call_ends_once_and_nothing_is_left_of_any(seed: int) -> None:
    fire = Fire(seed)
    fire.populate()
    fire.cluster.commit()
    while fire.made < CALLS:
        fire.step()
    fire.rest()
    fire.check()
    ended = sum(caller.ended for caller in fire.callers)
    assert ended
    assert fire.named > 10, "nodes died"
