"""The router on the ledger of a node alone, which decides before `propose` returns."""

from __future__ import annotations

import random

from tests.support.core import ALL, AtOnce, FakeClock, Peer, RecorderOutbox
from wampha.auth.steps import Chance
from wampha.counters import Counters
from wampha.ledger.local import LocalLedger
from wampha.limits import Limits
from wampha.messages.model import Goodbye
from wampha.names.ids import Ids
from wampha.routing.permissions import Permissions, RealmRules
from wampha.routing.router import Router
from wampha.state.commands import Owner
from wampha.state.machine import Machine


class Alone:
    """A node without peers."""

    def __init__(self) -> None:
        self.counters, self.clock = Counters(), FakeClock()
        self.router = Router(
            realms=[RealmRules("realm1", {"user": Permissions([ALL])})],
            limits=Limits(),
            counters=self.counters,
            ids=Ids(random.Random(1)),
            clock=self.clock,
            outbox=RecorderOutbox(),
            workers=AtOnce(),
            chance=Chance(random.Random(1).randbytes, lambda: ""),
            agent="wampha-test",
            wall_ms=lambda: 0,
        )
        self.ledger = LocalLedger(
            machine=Machine(self.counters), owner=Owner("a", 1), clock=self.clock, events=self.router
        )
        self.router.attach(self.ledger)
        self.ledger.start()


def test_everything_is_answered_within_the_request() -> None:
    node = Alone()
    ours, theirs = Peer(node), Peer(node)
    for _ in range(3):
        subscription = ours.subscribed("com.topic")
        theirs.publish("com.topic")
        assert ours.one().subscription == subscription
        ours.unsubscribe(subscription)
        assert len(ours.take()) == 1
        registration = ours.registered("com.procedure")
        theirs.call("com.procedure")
        ours.result(ours.take()[-1].request)
        assert len(theirs.take()) == 1
        ours.unregister(registration)
        assert len(ours.take()) == 1
    assert node.ledger.tables.routes == {}
    assert node.ledger.tables.registrations == {}
    assert node.counters["proposals"] == 12
    assert node.counters["rows_doubted"] == 0


def test_a_clean_stop_says_goodbye_and_leaves() -> None:
    node = Alone()
    peer = Peer(node)
    peer.subscribed("com.topic")
    node.router.close()
    node.ledger.leave(lambda: None)
    assert isinstance(peer.one(), Goodbye)
    assert node.ledger.tables.up == {}
    node.ledger.stop()
    assert node.clock.pending() == 0
