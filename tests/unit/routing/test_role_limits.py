"""Bounds of sessions by their roles, and of a realm as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import ALL, Cluster, Node, Peer
from wampha.limits import Limits, RoleLimits, SessionBounds
from wampha.messages.model import Error, Registered, Subscribed
from wampha.routing.permissions import Authorizer

FEW = RoleLimits(session_subscriptions_max=2, session_registrations_max=1, session_calls_max=2)


def outcome(peer: Peer) -> Any:
    """The URI of an ERROR, or the type of another answer."""
    answer = peer.one()
    return answer.error if isinstance(answer, Error) else type(answer)


def node(**options: Any) -> Node:
    """A node with a role `user` that has few of everything, and a role `other` that has not."""
    return Node(role_limits={"user": FEW}, **options)


def test_a_role_s_bounds_hold_in_the_place_of_the_node_s() -> None:
    router = node(limits=Limits(session_subscriptions_max=1))
    peer = router.join()
    for topic in ("t1", "t2"):
        peer.subscribe(topic)
        assert outcome(peer) is Subscribed
    peer.subscribe("t3")
    assert outcome(peer) == "wamp.error.unavailable"
    peer.register("p1")
    assert outcome(peer) is Registered
    peer.register("p2")
    assert outcome(peer) == "wamp.error.unavailable"
    callee = router.join()
    callee.registered("p3")
    peer.call("p3")
    peer.call("p3")
    assert peer.take() == []
    peer.call("p3")
    assert outcome(peer) == "wamp.error.unavailable"
    assert router.counters["session_bounds_reached"] == 3


def test_what_a_role_does_not_say_is_as_the_node_says() -> None:
    limits = Limits(session_calls_max=7, session_messages_per_s=3)
    assert SessionBounds.of(limits, RoleLimits(session_messages_burst=5)) == SessionBounds.of(
        limits.model_copy(update={"session_messages_burst": 5})
    )
    assert SessionBounds.of(limits, RoleLimits(session_messages_per_s=0)).messages_per_s == 0
    assert SessionBounds.of(limits) == (100_000, 10_000, 7, 3, 1000)


@pytest.mark.parametrize("bounded", [True, False])
def test_a_role_with_an_authorizer_may_have_limits_too(bounded: bool) -> None:
    router = Node(roles={"asked": Authorizer("an.authorizer")}, role_limits={"asked": FEW} if bounded else {})
    session = router.join(role="asked").conversation.session
    assert session is not None and (session.bounds.calls == 2) is bounded


def test_topics_of_a_realm_are_bounded_and_those_that_stand_may_have_more_subscribers() -> None:
    router = Node(limits=Limits(realm_topics_max=2))
    peer, other = router.join(), router.join()
    peer.subscribed("t1")
    peer.subscribed("t.", match="prefix")
    peer.subscribe("t2")
    assert outcome(peer) == "wamp.error.unavailable"
    assert router.counters["realm_bounds_reached"] == 1
    other.subscribed("t1")
    elsewhere = router.join(realm="realm2")
    elsewhere.subscribed("t2")
    subscription = other.subscribed("t.", match="prefix")
    other.unsubscribe(subscription)
    other.take()
    peer.client_leaves()
    other.subscribe("t2")
    assert outcome(other) is Subscribed


def test_topics_that_are_under_way_count() -> None:
    router = Node(limits=Limits(realm_topics_max=2))
    router.ledger.hold = True
    peer = router.join()
    for topic in ("t1", "t2", "t3"):
        peer.subscribe(topic)
    assert outcome(peer) == "wamp.error.unavailable"  # to the third
    router.ledger.commit()
    assert [type(each) for each in peer.take()] == [Subscribed, Subscribed]


def test_topics_of_other_nodes_count_and_a_subscriber_here_may_join_them() -> None:
    cluster = Cluster("a", "b", limits=Limits(realm_topics_max=1))
    one, other = cluster["a"].join(), cluster["b"].join()
    one.subscribe("t1")
    cluster.settle()
    assert outcome(one) is Subscribed
    other.subscribe("t2")
    assert outcome(other) == "wamp.error.unavailable"
    other.subscribe("t1")
    cluster.settle()
    assert outcome(other) is Subscribed


def test_procedures_of_a_realm_are_bounded_and_those_that_stand_may_have_more_callees() -> None:
    router = Node(limits=Limits(realm_procedures_max=2), permissions=[ALL])
    router.ledger.hold = True
    peer, other = router.join(), router.join()
    peer.register("p1", invoke="roundrobin")
    peer.register("p2")
    peer.register("p3")
    assert outcome(peer) == "wamp.error.unavailable"
    router.ledger.commit()
    peer.take()
    other.register("p1", invoke="roundrobin")
    router.ledger.commit()
    assert outcome(other) is Registered
    other.register("p3")
    assert outcome(other) == "wamp.error.unavailable"
    assert router.counters["realm_bounds_reached"] == 2
