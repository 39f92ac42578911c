"""What is for a node that is behind is not done at all, until its sender hands it in again (design section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.core import EVERYTHING, Cluster, Node, Peer
from wampha.errors import NodeBehind
from wampha.messages.model import NO_OPTIONS, Call, Error, Event, Publish, Registered, Result, Subscribed, Yield
from wampha.messages.payload import NOTHING, Payload

SOMETHING = Payload.of([1, "two"])


def joined(cluster: Cluster, node: str, do: Callable[[Peer], Any] = lambda peer: None) -> Peer:
    """A client of that node that has subscribed or registered something."""
    peer = cluster[node].join(features=EVERYTHING)
    do(peer)
    cluster.commit()
    assert all(isinstance(message, Subscribed | Registered) for message in peer.take())
    return peer


def lag(node: Node, *names: str) -> None:
    """From now on these are behind, as the node sees it, and no others."""
    node.outbox.behind.clear()
    node.outbox.behind.update((owner, None) for owner in node.ledger.tables.up if owner.name in names)


def refused(cluster: Cluster, peer: Peer, message: Any, by: str = "b") -> None:
    """The message is handed in and nothing comes of it: nothing is sent, counted or remembered."""
    node = cluster["a"]
    wires = {wire: len(messages) for wire, messages in cluster.wires.items()}
    counters, calls = node.counters.snapshot(), dict(peer.conversation.session.calls)
    with pytest.raises(NodeBehind) as raised:
        peer.receive(message)
    assert raised.value.awaited.name == by
    assert {wire: len(messages) for wire, messages in cluster.wires.items()} == wires
    assert node.counters.snapshot() == counters
    assert peer.conversation.session.calls == calls
    assert peer.take() == []


def test_an_event_for_a_node_that_is_behind(cluster: Cluster) -> None:
    here, there = (joined(cluster, node, lambda peer: peer.subscribe("t")) for node in "ab")
    publisher, message = joined(cluster, "a"), Publish(1, {"acknowledge": True}, "t", SOMETHING)
    lag(cluster["a"], "b")
    refused(cluster, publisher, message)
    assert here.take() == []
    lag(cluster["a"])
    publisher.receive(message)
    cluster.settle()
    assert [type(peer.one()) for peer in (here, there)] == [Event, Event]


def test_an_event_for_others_does_not_wait(cluster: Cluster) -> None:
    there = joined(cluster, "c", lambda peer: peer.subscribe("t"))
    lag(cluster["a"], "b")
    joined(cluster, "a").publish("t")
    cluster.settle()
    assert isinstance(there.one(), Event)


def test_what_is_refused_anyhow_does_not_wait(cluster: Cluster) -> None:
    lag(cluster["a"], "b")
    peer = joined(cluster, "a")
    peer.publish("not a uri\n", acknowledge=True)
    peer.call("not a uri\n")
    peer.call("nobody")
    assert [error.error for error in peer.take()] == [
        "wamp.error.invalid_uri",
        "wamp.error.invalid_uri",
        "wamp.error.no_such_procedure",
    ]


def test_a_call_to_a_node_that_is_behind(cluster: Cluster) -> None:
    callee = joined(cluster, "b", lambda peer: peer.register("p"))
    caller, message = joined(cluster, "a"), Call(1, NO_OPTIONS, "p", SOMETHING)
    lag(cluster["a"], "b")
    refused(cluster, caller, message)
    lag(cluster["a"])
    caller.receive(message)
    cluster.settle()
    assert callee.one().payload == SOMETHING


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_part_of_a_progressive_call_goes_where_the_first_one_went(cluster: Cluster, node: str) -> None:
    callee = joined(cluster, node, lambda peer: peer.register("p"))
    caller = joined(cluster, "a")
    caller.call("p", progress=True)
    cluster.settle()
    callee.take()
    part = Call(1, {"progress": True}, "p", SOMETHING)
    lag(cluster["a"], "b")
    if node == "b":
        refused(cluster, caller, part)
        lag(cluster["a"])
    caller.receive(part)
    cluster.settle()
    assert callee.one().payload == SOMETHING


def called(cluster: Cluster, **options: Any) -> tuple[Peer, Peer, int]:
    """A caller at b, a callee at a, and the INVOCATION that it works on."""
    callee = joined(cluster, "a", lambda peer: peer.register("p"))
    caller = joined(cluster, "b")
    caller.call("p", **options)
    cluster.settle()
    return caller, callee, callee.one().request


@pytest.mark.parametrize("kind", [Result, Error])
def test_an_answer_for_a_node_that_is_behind(cluster: Cluster, kind: type) -> None:
    caller, callee, invocation = called(cluster)
    answer = (
        Yield(invocation, NO_OPTIONS, SOMETHING)
        if kind is Result
        else Error(68, invocation, NO_OPTIONS, "e.rror", SOMETHING)
    )
    lag(cluster["a"], "b")
    refused(cluster, callee, answer)
    lag(cluster["a"])
    callee.receive(answer)
    cluster.settle()
    end = caller.one()
    assert type(end) is kind and end.payload == SOMETHING


def test_a_result_on_the_way_for_a_node_that_is_behind(cluster: Cluster) -> None:
    caller, callee, invocation = called(cluster, receive_progress=True)
    lag(cluster["a"], "b")
    refused(cluster, callee, Yield(invocation, {"progress": True}, SOMETHING))
    lag(cluster["a"])
    callee.result(invocation, SOMETHING, progress=True)
    callee.result(invocation)
    cluster.settle()
    assert [message.payload for message in caller.take()] == [SOMETHING, NOTHING]


def test_an_answer_to_a_caller_of_this_node_does_not_wait(cluster: Cluster) -> None:
    callee = joined(cluster, "a", lambda peer: peer.register("p"))
    caller = joined(cluster, "a")
    caller.call("p")
    lag(cluster["a"], "b", "c")
    callee.result(callee.one().request)
    assert isinstance(caller.one(), Result)


def test_what_cannot_be_sent_to_the_callee_is_answered_though_the_node_is_behind(cluster: Cluster) -> None:
    """No client waits for that, and it is small."""
    caller, callee, invocation = called(cluster)
    lag(cluster["a"], "b")
    callee.conversation.undelivered(Error(68, invocation, NO_OPTIONS, "wamp.error.payload_size_exceeded", NOTHING))
    cluster.settle()
    assert caller.one().error == "wamp.error.payload_size_exceeded"


def test_a_call_that_was_not_delivered_is_not_offered_to_a_node_that_is_behind(cluster: Cluster) -> None:
    old, caller = joined(cluster, "b", lambda peer: peer.register("p")), joined(cluster, "a")
    caller.call("p", SOMETHING)
    old.conversation.lost()
    new = joined(cluster, "c", lambda peer: peer.register("p"))
    lag(cluster["a"], "c")
    cluster.settle()
    assert new.take() == []
    assert caller.one().error == "wamp.error.unavailable"
