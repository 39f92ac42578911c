"""What a realm says of its slow clients, and who hears of them."""

from __future__ import annotations

import pytest

from tests.support.core import Cluster, Node
from wampha.messages.payload import Payload
from wampha.routing.slow import ABOUT_SLOW, ON_EVENTS_DROPPED, ON_SLOW, SlowPolicy


def test_subscribers_of_the_realm_hear_of_a_slow_session_on_every_node() -> None:
    cluster = Cluster("a", "b")
    here, there, elsewhere = cluster["a"].join(), cluster["b"].join(), cluster["b"].join(realm="realm2")
    for peer in (here, there, elsewhere):
        peer.subscribe(ON_SLOW)
        peer.subscribe(ON_EVENTS_DROPPED)
    slow = cluster["a"].join()
    cluster.settle()
    for peer in (here, there, elsewhere):
        peer.take()
    tell = slow.conversation.slow_teller()
    assert tell is not None
    tell(ON_SLOW, {"waiting": 70000, "limit": "client_queue_bytes_max"})
    tell(ON_EVENTS_DROPPED, {"count": 17})
    cluster.settle()
    for peer in (here, there):
        cut, dropped = peer.take()
        assert cut.payload == Payload.of([slow.session], {"waiting": 70000, "limit": "client_queue_bytes_max"})
        assert dropped.payload == Payload.of([slow.session], {"count": 17})
    assert elsewhere.take() == []


@pytest.mark.parametrize("topic", sorted(ABOUT_SLOW))
def test_a_session_that_is_slow_itself_is_not_told_so_that_telling_causes_no_more_of_it(topic: str) -> None:
    cluster = Cluster("a", "b")
    peers = [cluster[name].join() for name in ("a", "a", "b", "b")]
    for peer in peers:
        peer.subscribe(topic)
        peer.subscribe("com.example")
    cluster.settle()
    for peer in peers:
        peer.take()
    peers[0].client.slow = peers[2].client.slow = True
    cluster["a"].router.announce_slow("realm1", 1, topic, {"count": 3})
    peers[1].publish("com.example", exclude_me=False)
    cluster.settle()
    assert [len(peer.take()) for peer in peers] == [1, 2, 1, 2]


def test_the_end_of_the_session_does_not_keep_the_realm_from_hearing() -> None:
    node = Node()
    listener, slow = node.join(), node.join()
    listener.subscribed(ON_SLOW)
    tell = slow.conversation.slow_teller()
    slow.conversation.lost()
    assert tell is not None
    tell(ON_SLOW, {"waiting": 1, "limit": "clients_queue_bytes_max"})
    assert listener.one().payload.count
    assert slow.conversation.slow_teller() is None


def test_the_realm_s_policy_is_that_of_its_sessions_and_all_is_owed_to_who_has_none() -> None:
    peer = Node(slow_clients=SlowPolicy.DROP_OLDEST).join()
    assert peer.conversation.slow_policy() is SlowPolicy.DROP_OLDEST
    peer.conversation.lost()
    assert peer.conversation.slow_policy() is SlowPolicy.DISCONNECT
