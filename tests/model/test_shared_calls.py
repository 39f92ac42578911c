"""Shared procedures under fire: 10,000 calls, all that can end one or send it elsewhere, and nodes that die.

Each call carries a token that its callees give back, and each INVOCATION is counted: a call causes a second one only
after its callee has said that it is unavailable, or was lost and had said that its work may be repeated (P6).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.model.test_calls import MODES, Caller
from tests.support.core import EVERYTHING, Cluster, Node, Peer
from wampha.messages.model import Abort, Error, Goodbye, Interrupt, Invocation, Registered, Revoked
from wampha.messages.payload import Payload
from wampha.state.commands import Down

CALLS = 2500
POLICIES = {"p0": "roundrobin", "p1": "first", "p2": "last", "p3": "random", "p4": "single"}
REPEATABLE = ("p0", "p3")  # these procedures may be repeated
CALLEES = 11
FEATURES = {role: (*names, "call_reroute", "registration_revocation") for role, names in EVERYTHING.items()}


class Callee:
    """A session that offers a shared procedure and works on calls, if it feels like it."""

    def __init__(self, node: Node, procedure: str, chance: random.Random, delivered: dict[str, list[Callee]]) -> None:
        self.node, self.procedure, self._delivered = node, procedure, delivered
        self.peer = node.join(features=FEATURES if chance.random() < 0.7 else EVERYTHING)
        self.options: dict[str, Any] = {"invoke": POLICIES[procedure], "_repeatable": procedure in REPEATABLE}
        if chance.random() < 0.5:
            self.options["concurrency"] = chance.randint(1, 3)
        if chance.random() < 0.1:
            self.options["force_reregister"] = True
        self.peer.register(procedure, **self.options)
        self.working: dict[int, Payload] = {}
        self.declined: set[str] = set()  # tokens of calls that it has sent elsewhere
        self.told: set[int] = set()  # INVOCATIONs that were interrupted
        self.newest = 0  # INVOCATION
        self.before = 0  # the last one of its former registration, if it was put out
        self.lost = False

    def hear(self) -> None:
        for message in self.peer.take():
            if isinstance(message, Invocation):
                if message.request > self.newest:  # else a later part of a progressive call
                    self.newest = message.request
                    self._take(message)
            elif isinstance(message, Interrupt):
                self.told.add(message.request)
            elif isinstance(message, Error):  # its procedure has another policy just now, or is single and taken
                self.peer.register(self.procedure, **self.options)
            elif isinstance(message, Revoked):
                self.peer.register(self.procedure, **{**self.options, "force_reregister": False})
            else:
                assert isinstance(message, Registered), message
                self.before = self.newest

    def _take(self, invocation: Invocation) -> None:
        self.working[invocation.request] = invocation.payload
        (token,) = invocation.payload.args()
        self._delivered[token].append(self)
        limit = self.options.get("concurrency")
        at_once = [each for each in self.working if each > self.before and each not in self.told]
        assert limit is None or len(at_once) <= limit, "more than it wants"

    def work(self, chance: random.Random) -> None:
        if not self.working:
            return
        invocation = chance.choice(list(self.working))
        kind = chance.choice(("progress", "result", "result", "error", "unavailable"))
        if kind == "progress":
            self.peer.result(invocation, self.working[invocation], progress=True)
        elif kind == "result":
            self.peer.result(invocation, self.working.pop(invocation))
        else:
            if kind == "unavailable":
                self.declined.update(self.working[invocation].args())
            self.working.pop(invocation)
            self.peer.error(invocation, "wamp.error.unavailable" if kind == "unavailable" else "com.failed")


class Fire:
    """One run."""

    def __init__(self, seed: int, queue: int) -> None:
        self.chance = random.Random(seed)
        self.cluster = Cluster("n0", "n1", "n2", call_queue_max=queue)
        self.named = 3
        self.made = 0
        self.delivered: dict[str, list[Callee]] = defaultdict(list)  # token -> who got an INVOCATION, in order
        self.callers: list[Caller] = []
        self.callees: list[Callee] = []
        self.gone: list[Peer] = []

    def node(self) -> Node:
        node = self.cluster.nodes[self.chance.choice(sorted(self.cluster.nodes))]
        node.ledger.serve(True)
        return node

    def populate(self) -> None:
        while len(self.callers) < 4:
            self.callers.append(Caller(self.node(), f"caller{len(self.gone)}.{len(self.callers)}.{self.made}"))
        while len(self.callees) < CALLEES:
            offered = Counter({name: 0 for name in POLICIES})
            offered.update(callee.procedure for callee in self.callees)
            procedure = min(offered, key=lambda name: (offered[name], name))
            self.callees.append(Callee(self.node(), procedure, self.chance, self.delivered))

    def step(self) -> None:
        chance, cluster = self.chance, self.cluster
        kind = chance.random()
        caller = chance.choice(self.callers)
        if kind < 0.3:
            self.made += 1
            caller.call(chance, chance.choice(list(POLICIES)))
        elif kind < 0.34 and caller.parts:
            request = chance.choice(list(caller.parts))
            more = chance.random() < 0.6
            procedure = caller.parts[request] if more else caller.parts.pop(request)
            caller.peer.call_on(request, procedure, progress=more)
        elif kind < 0.4:
            caller.peer.cancel(chance.randint(1, caller.peer._request + 1), mode=chance.choice(MODES))
        elif kind < 0.74:
            chance.choice(self.callees).work(chance)
        elif kind < 0.77:
            for node in cluster.nodes.values():
                node.clock.advance(0.01)
        elif kind < 0.94:
            self.bury()
            wires = [wire for wire in sorted(cluster.wires) if cluster.wires[wire]]
            if wires:
                wire = chance.choice(wires)
                cluster.carry(*wire, chance.randint(1, len(cluster.wires[wire])))
        elif kind < 0.975:
            cluster.commit()
        elif kind < 0.982:
            self.lose(chance.choice([*self.callers, *self.callees]))
        elif kind < 0.99:
            self.node().ledger.serve(chance.random() < 0.7)
        elif kind < 0.992:
            self.kill(chance.choice(sorted(cluster.nodes)))
        self.hear()

    def hear(self) -> None:
        for each in (*self.callers, *self.callees):
            each.hear()

    def lose(self, who: Caller | Callee) -> None:
        """A client is gone without a word."""
        self.hear()
        if isinstance(who, Callee):
            who.lost = True
            self.callees.remove(who)
        else:
            self.callers.remove(who)
        who.peer.take()
        who.peer.conversation.lost()
        self.gone.append(who.peer)
        self.populate()

    def kill(self, name: str) -> None:
        """A node dies with its clients; another one comes."""
        self.hear()
        dead = self.cluster.nodes.pop(name)
        for wire in [wire for wire in self.cluster.wires if name in wire]:
            del self.cluster.wires[wire]
        for callee in self.callees:
            callee.lost = callee.lost or callee.node is dead
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
        """Everything is delivered and answered, however often it is sent elsewhere or brings another that waited."""
        for node in self.cluster.nodes.values():
            node.ledger.serve(True)
        self.bury()
        for _ in range(200):
            self.cluster.settle()
            self.hear()
            busy = [callee for callee in self.callees if callee.working]
            if not busy:
                return
            for callee in busy:
                for invocation, payload in list(callee.working.items()):
                    callee.peer.result(invocation, payload)
                callee.working.clear()
        raise AssertionError("work without end")

    def check(self) -> None:
        for caller in self.callers:
            assert caller.peer.conversation.established
            assert not caller.open, "calls that never ended"
        for peer in self.gone:
            assert not [each for each in peer.take() if not isinstance(each, Abort | Goodbye)], "said to who is gone"
        for node in self.cluster.nodes.values():
            self.check_node(node)
        for token, callees in self.delivered.items():
            steady = [id(callee) for callee in callees if not callee.before]
            assert len(set(steady)) == len(steady), "no callee is asked twice under one registration"
            for callee in callees[:-1]:
                repeated = callee.lost and callee.procedure in REPEATABLE
                assert repeated or token in callee.declined, f"{token} was delivered twice for no reason"

    def check_node(self, node: Node) -> None:
        calls = node.router._calls
        assert not any(calls._elsewhere.values())
        assert not any(calls._served.values())
        assert not calls._loads
        assert not calls._timeouts._heap
        assert calls._timeouts._timer is None
        assert node.counters["calls"] == node.counters["calls_ended"]
        for session in node.router._sessions.values():
            assert not session.calls
            assert not session.invocations
            assert not session.places
        for offer in node.router._realms["realm1"].offers:
            assert offer.places is None or (not offer.places.queue and not offer.places._taken)


@pytest.mark.parametrize(("seed", "queue"), [(0, 0), (1, 3), (2, 50), (3, 1)])
def test_every_call_ends_once_and_is_delivered_again_only_where_that_is_allowed(seed: int, queue: int) -> None:
    fire = Fire(seed, queue)
    fire.populate()
    fire.cluster.commit()
    while fire.made < CALLS:
        fire.step()
    fire.rest()
    fire.check()
    assert sum(caller.ended for caller in fire.callers)
    assert fire.named > 10, "nodes died"
    counts = Counter(len(callees) for callees in fire.delivered.values())
    assert counts[2] > 20, "some calls were sent elsewhere"
    assert queue == 0 or sum(node.counters["calls_queued"] for node in fire.cluster.nodes.values())
