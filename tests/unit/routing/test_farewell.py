"""Sessions of a node that stops: how fast, in which order, with what of theirs still under way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Cluster, Node, Peer, RecorderClient, doorway_for, hello
from wampha.messages.model import Abort, Error, Event, Goodbye, Invocation, Registered, Result
from wampha.routing.farewell import BEAT_S, RATE_MIN
from wampha.routing.router import STOPPING

ANSWER_S = 2.0


class Drain:
    """A drain under way."""

    def __init__(self, node: Node, spread_s: float = 10.0) -> None:
        self.node = node
        self.done = 0
        node.router.drain(spread_s=spread_s, answer_s=ANSWER_S, done=self._count)

    def _count(self) -> None:
        self.done += 1

    def wait(self, seconds: float = BEAT_S) -> None:
        for _ in range(round(seconds / BEAT_S)):
            self.node.tick(BEAT_S)


def gone(peers: list[Peer]) -> int:
    return sum(peer.client.finished for peer in peers)


def farewell(messages: list[Any]) -> list[Any]:
    """All that came before GOODBYE, which is the last."""
    assert isinstance(messages[-1], Goodbye)
    assert messages[-1].reason == "wamp.close.system_shutdown" and messages[-1].details["message"] == STOPPING
    return messages[:-1]


def test_a_few_clients_are_sent_away_at_once() -> None:
    node = Node()
    peers = [node.join() for _ in range(3)]
    drain = Drain(node)
    assert drain.done == 1
    assert [farewell(peer.take()) for peer in peers] == [[]] * 3
    assert node.clock.pending() == 0


def test_nobody_is_waited_for_at_an_idle_node() -> None:
    assert Drain(Node()).done == 1


@pytest.mark.parametrize(("count", "spread_s", "lasts_s"), [(100, 10.0, 1.0), (2000, 10.0, 10.0), (1200, 0.0, 0.1)])
def test_many_are_spread_over_the_time_that_is_set_but_not_below_the_least_rate(
    count: int, spread_s: float, lasts_s: float
) -> None:
    node = Node()
    peers = [node.join() for _ in range(count)]
    drain = Drain(node, spread_s)
    numbers = [gone(peers)]
    while not drain.done:
        drain.wait()
        numbers.append(gone(peers))
    assert (len(numbers) - 1) * BEAT_S == pytest.approx(lasts_s, abs=BEAT_S * 1.5)
    steps = [after - before for before, after in zip([0, *numbers], numbers, strict=False)]
    assert max(steps) <= max(RATE_MIN, count / max(spread_s, BEAT_S)) * BEAT_S + 1
    assert max(steps) <= 500, "no turn lasts long"
    assert numbers[-1] == count and drain.done == 1


def test_who_waits_for_its_turn_is_served() -> None:
    node = Node()
    peers = [node.join() for _ in range(50)]
    first, last = peers[0], peers[-1]
    drain = Drain(node)
    assert first.client.finished and not last.client.finished
    last.subscribed("com.topic")
    last.publish("com.topic", exclude_me=False)
    assert isinstance(last.one(), Event)
    drain.wait(1.0)
    assert farewell(last.take()) == []


def test_who_has_no_session_is_refused() -> None:
    node = Node()
    for _ in range(50):
        node.join()
    clients = [RecorderClient(), RecorderClient()]
    node.router.connected(clients[0], doorway_for("user"))
    drain = Drain(node)
    node.router.connected(clients[1], doorway_for("user")).receive(hello())
    for client in clients:
        (abort,) = client.take()
        assert isinstance(abort, Abort) and abort.reason == "wamp.close.system_shutdown"
    drain.wait(1.0)
    assert drain.done == 1


def test_procedures_are_free_before_their_callee_is_sent_away() -> None:
    cluster = Cluster("a", "b")
    callee, successor = cluster["a"].join(), cluster["b"].join()
    callee.register("p")
    cluster.settle()
    assert isinstance(callee.one(), Registered)
    drain = Drain(cluster["a"])
    drain.wait()
    assert callee.take() == [], "its row stands: registered elsewhere now, the procedure would be taken"
    cluster.settle()
    drain.wait()
    assert farewell(callee.take()) == []
    successor.register("p")
    cluster.settle()
    assert isinstance(successor.one(), Registered)


def test_work_in_progress_is_answered_first_and_nothing_new_is_called() -> None:
    node = Node()
    callee, caller = node.join(), node.join()
    callee.registered("p")
    request = caller.call("p")
    invocation = callee.one()
    assert isinstance(invocation, Invocation)
    drain = Drain(node)
    drain.wait(1.0)
    assert not callee.client.finished and not caller.client.finished
    late = caller.call("p")
    refusal = caller.one()
    assert isinstance(refusal, Error) and (refusal.request, refusal.error) == (late, "wamp.error.no_such_procedure")
    callee.result(invocation.request)
    result = caller.one()
    assert isinstance(result, Result) and result.request == request
    drain.wait()
    assert farewell(callee.take()) == [] and farewell(caller.take()) == []
    assert drain.done == 1 and node.counters["calls"] == node.counters["calls_ended"] == 2


def test_p6_a_call_that_nobody_answers_in_time_ends_once_before_its_caller_does() -> None:
    node = Node()
    callee, caller = node.join(), node.join()
    callee.registered("p")
    request = caller.call("p")
    callee.take()
    drain = Drain(node)
    drain.wait(ANSWER_S - 0.1)
    assert caller.take() == [] and callee.take() == []
    drain.wait(0.2)
    (error,) = farewell(caller.take())
    assert isinstance(error, Error) and (error.request, error.error) == (request, "wamp.error.canceled")
    assert farewell(callee.take()) == []
    assert drain.done == 1 and node.counters["calls_ended"] == 1


def test_p6_calls_between_nodes_end_once_at_the_caller() -> None:
    cluster = Cluster("a", "b")
    callee, caller = cluster["a"].join(), cluster["b"].join()
    callee.register("p")
    cluster.settle()
    callee.take()
    request = caller.call("p")
    cluster.settle()
    drain = Drain(cluster["a"])
    drain.wait(ANSWER_S + 0.1)
    cluster.settle()
    error = caller.one()
    assert isinstance(error, Error) and (error.request, error.error) == (request, "wamp.error.canceled")
    cluster["a"].router.close()
    cluster.settle()
    assert caller.take() == [] and cluster["b"].counters["calls_ended"] == 1


def test_a_caller_that_is_sent_away_leaves_no_work_behind_at_the_callee_s_node() -> None:
    cluster = Cluster("a", "b")
    callee, caller = cluster["a"].join(), cluster["b"].join()
    callee.register("p")
    cluster.settle()
    callee.take()
    caller.call("p")
    cluster.settle()
    invocation = callee.one()
    Drain(cluster["b"]).wait(ANSWER_S + 0.1)
    (error,) = farewell(caller.take())
    assert isinstance(error, Error) and error.error == "wamp.error.canceled"
    cluster.settle()
    callee.result(invocation.request)
    cluster.settle()
    assert cluster["a"].counters["late_yields"] == 1 and cluster["b"].counters["calls_ended"] == 1


def test_without_a_decision_a_callee_goes_when_its_time_is_over() -> None:
    node = Node()
    callee = node.join()
    callee.registered("p")
    node.ledger.hold = True
    drain = Drain(node)
    drain.wait(ANSWER_S - 0.1)
    assert callee.take() == []
    drain.wait(0.2)
    assert farewell(callee.take()) == [] and drain.done == 1


def test_sessions_that_end_meanwhile_are_nobody_s_concern() -> None:
    node = Node()
    peers = [node.join() for _ in range(50)]
    drain = Drain(node)
    for peer in peers[25:]:
        peer.conversation.lost()
    drain.wait(1.0)
    assert drain.done == 1 and gone(peers) == 25


def test_closed_before_the_end_everybody_goes_and_no_timer_stays() -> None:
    node = Node()
    peers = [node.join() for _ in range(50)]
    drain = Drain(node)
    node.router.close()
    assert gone(peers) == 50
    assert node.clock.pending() == 0 and not drain.done


def test_fenced_meanwhile_everybody_goes_and_the_drain_is_done() -> None:
    node = Node()
    peers = [node.join() for _ in range(50)]
    drain = Drain(node)
    node.router.fenced("this node was cut off")
    assert gone(peers) == 50
    drain.wait(1.0)
    assert drain.done == 1 and node.clock.pending() == 0
