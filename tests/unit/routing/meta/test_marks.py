"""What a session has published comes before its testaments and its on_leave, though it takes another way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Peer
from tests.unit.routing.meta.test_session_api import ON_LEAVE, Place
from wampha.messages.model import Event
from wampha.messages.payload import Payload
from wampha.state.commands import Down, Lead


class Leaving:
    """A session at `b` that has published and left; `a` has applied the report, and no message of `b` has come."""

    def __init__(self) -> None:
        self.place = Place("b")
        self.watcher = self.place.watch("t.own")
        for topic in ("t.last", ON_LEAVE):
            self.watcher.subscribe(topic)
        self.place.cluster.attend()
        peer = self.place.join()
        self.place.result("add_testament", "t.last", ["last"], {}, by=peer)
        self.watcher.take()
        self.session = peer.session
        peer.publish("t.own", Payload.of(["own"]))
        peer.client_leaves()
        self.place.b.tick()
        self.place.cluster.commit()

    def told(self) -> list[Any]:
        events = [message for message in self.watcher.take() if isinstance(message, Event)]
        return [event.payload.args()[0] for event in events]


@pytest.fixture
def leaving() -> Leaving:
    return Leaving()


def test_the_end_of_a_session_waits_for_its_events(leaving: Leaving) -> None:
    assert leaving.told() == []
    assert leaving.session not in leaving.place.a.ledger.tables.roll.within("realm1")
    leaving.place.cluster.settle()
    assert leaving.told() == ["own", "last", leaving.session]
    assert leaving.place.a.clock.pending() == 0
    assert leaving.place.a.counters["marks_missed"] == 0


def test_its_neighbours_at_home_do_not_wait() -> None:
    place = Place("b")
    neighbour = place.watch(ON_LEAVE, place.b)
    peer = place.join()
    peer.client_leaves()
    place.b.tick()
    place.cluster.commit()
    assert [message.payload.args()[0] for message in neighbour.take()] == [peer.session]


def test_nobody_waits_for_long(leaving: Leaving) -> None:
    leaving.place.a.tick(0.9)
    assert leaving.told() == []
    leaving.place.a.tick(0.2)
    assert leaving.told() == ["last", leaving.session]
    assert leaving.place.a.counters["marks_missed"] == 1
    leaving.place.cluster.settle()
    assert leaving.told() == ["own"]


def test_what_follows_in_the_log_waits_too_and_keeps_its_order(leaving: Leaving) -> None:
    later: Peer = leaving.place.a.join()
    leaving.place.cluster.commit()
    later.client_leaves()
    leaving.place.a.tick()
    leaving.place.cluster.commit()
    assert leaving.told() == []
    leaving.place.cluster.settle()
    assert leaving.told() == ["own", "last", leaving.session, later.session]


def test_nobody_waits_for_a_dead_node(leaving: Leaving) -> None:
    leaving.place.cluster.log.append(Lead(2, "a"))
    leaving.place.cluster.log.append(Down(leaving.place.b.owner, 2))
    leaving.place.a.ledger.apply()
    assert leaving.told() == ["last", leaving.session]
    assert leaving.place.a.clock.pending() == 0
    assert leaving.place.a.counters["marks_missed"] == 0


def test_a_node_that_is_fenced_or_stops_waits_for_nothing(leaving: Leaving) -> None:
    assert leaving.place.a.clock.pending() == 1
    leaving.place.a.router.close()
    assert leaving.place.a.clock.pending() == 0


def test_a_node_that_has_stopped_waits_for_nothing() -> None:
    place = Place("b")
    place.watch(ON_LEAVE)
    place.cluster.attend()
    peer = place.join()
    peer.client_leaves()
    place.b.tick()
    place.a.router.close()
    place.cluster.commit()
    assert place.a.clock.pending() == 0
