"""Events that the router itself publishes, under names that are its own."""

from __future__ import annotations

import pytest

from tests.support.core import Cluster, Node
from wampha.messages.model import Error, Event, Subscribed
from wampha.messages.payload import Payload
from wampha.messages.relayed import THE_ROUTER, Forward

TOPIC = "wampha.link.on_gap"


def test_subscribers_of_every_realm_of_this_node_hear_it() -> None:
    node = Node()
    one, two = node.join(), node.join(realm="realm2")
    ids = [one.subscribed(TOPIC), two.subscribed(TOPIC)]
    node.router.announce(TOPIC, ["a"], {"frames": 3})
    events = [one.one(), two.one()]
    assert [event.subscription for event in events] == ids
    assert all(event.payload == Payload.of(["a"], {"frames": 3}) for event in events)
    assert events[0].publication != events[1].publication


def test_one_realm_can_be_chosen() -> None:
    node = Node()
    one, two = node.join(), node.join(realm="realm2")
    one.subscribed(TOPIC), two.subscribed(TOPIC)
    node.router.announce(TOPIC, [], realm="realm2")
    assert one.take() == []
    assert isinstance(two.one(), Event)


def test_patterns_match_it_and_show_the_topic() -> None:
    node = Node()
    peer = node.join()
    peer.subscribed("wampha.", match="prefix")
    node.router.announce(TOPIC, [1])
    assert peer.one().details == {"topic": TOPIC}


def test_it_stays_on_this_node_unless_it_is_for_everyone(cluster: Cluster) -> None:
    here, there = cluster.subscribed("a", TOPIC), cluster.subscribed("b", TOPIC)
    cluster["a"].router.announce(TOPIC, [1])
    cluster.settle()
    assert isinstance(here.one(), Event)
    assert there.take() == []


def test_for_everyone_it_is_forwarded_once_to_each_node_with_subscribers(cluster: Cluster) -> None:
    here, there = cluster.subscribed("a", TOPIC), cluster.subscribed("b", TOPIC)
    pattern = cluster.subscribed("b", "wampha.", match="prefix")
    cluster["a"].router.announce(TOPIC, [1], everywhere=True)
    (wire,) = cluster.wires["a", "b"]
    assert isinstance(wire[2], Forward) and wire[2].publisher == THE_ROUTER
    assert not cluster.wires.get(("a", "c"))
    cluster.settle()
    publications = {peer.one().publication for peer in (here, there, pattern)}
    assert len(publications) == 1


def test_it_asks_no_lease() -> None:
    node = Node()
    peer = node.join()
    peer.subscribed(TOPIC)
    node.ledger.serve(False)
    node.router.announce(TOPIC, [1])
    assert isinstance(peer.one(), Event)


@pytest.mark.parametrize("uri", ["wampha.link.on_gap", "wamp.session.on_join"])
def test_clients_may_neither_publish_nor_register_under_the_router_s_names(uri: str) -> None:
    node = Node()
    peer = node.join()
    peer.publish(uri, acknowledge=True)
    peer.register(uri)
    refused = peer.take()
    assert [type(message) for message in refused] == [Error, Error]
    assert {message.error for message in refused} == {"wamp.error.invalid_uri"}
    peer.subscribe(uri)
    assert isinstance(peer.one(), Subscribed)
