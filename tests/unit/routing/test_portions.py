"""The end of much takes several turns, and what is promised holds in between."""

from __future__ import annotations

from tests.support.core import Node
from wampha.messages.model import Goodbye
from wampha.state.commands import RemoveRoute

MANY = 3500


def removed(node: Node) -> int:
    return sum(isinstance(command, RemoveRoute) for command in node.ledger.proposed)


def test_the_routes_of_a_session_with_very_many_go_over_several_turns() -> None:
    node = Node()
    peer = node.join()
    for number in range(MANY):
        peer.subscribe(f"topic{number}")
    peer.conversation.lost()
    assert removed(node) == 500
    node.clock.advance(0)
    assert removed(node) == MANY
    assert not list(node.ledger.tables.routes_of(node.owner))
    assert node.clock.pending() == 0


def test_whoever_subscribes_in_between_keeps_the_route_and_hears() -> None:
    node = Node()
    peer, other, publisher = node.join(), node.join(), node.join()
    for number in range(MANY):
        peer.subscribe(f"topic{number}")
    peer.conversation.lost()
    last = f"topic{MANY - 1}"
    subscription = other.subscribed(last)
    publisher.publish(last)
    node.clock.advance(0)
    assert removed(node) == MANY - 1
    publisher.publish(last)
    assert [event.subscription for event in other.take()] == [subscription, subscription]


def test_whoever_subscribes_and_leaves_in_between_is_the_one_that_removes_the_route() -> None:
    node = Node()
    peer, other = node.join(), node.join()
    for number in range(MANY):
        peer.subscribe(f"topic{number}")
    peer.conversation.lost()
    other.unsubscribe(other.subscribed(f"topic{MANY - 1}"))
    other.take()
    node.clock.advance(0)
    assert removed(node) == MANY


def test_a_dead_incarnation_s_sessions_end_at_once_and_are_told_over_several_turns() -> None:
    node = Node()
    peers = [node.join() for _ in range(1200)]
    for peer in peers:
        peer.subscribe("topic")
        peer.take()
    node.router.fenced("it was declared dead")
    assert node.router.sessions() == 0
    peers[-1].publish("topic", exclude_me=False)  # nobody is there any more, told or not
    assert sum(peer.client.finished for peer in peers) == 500
    node.clock.advance(0)
    for peer in peers:
        (goodbye,) = peer.take()
        assert isinstance(goodbye, Goodbye)
        assert goodbye.reason == "wamp.close.system_shutdown"
        assert peer.client.finished


def test_calls_of_a_dead_incarnation_end_at_once_and_are_answered_with_the_goodbye() -> None:
    node = Node()
    callee = node.join()
    callee.register("p")
    callers = [node.join() for _ in range(600)]
    requests = [caller.call("p") for caller in callers]
    callee.take()
    node.router.fenced("it was declared dead")
    assert node.counters["calls_ended"] == len(callers)
    assert callee.conversation.session is None
    assert not callers[-1].client.sent
    node.clock.advance(0)
    for caller, request in zip(callers, requests, strict=True):
        error, goodbye = caller.take()
        assert (error.request, error.error) == (request, "wamp.error.canceled")
        assert isinstance(goodbye, Goodbye)
    assert [type(message) for message in callee.take()] == [Goodbye]
