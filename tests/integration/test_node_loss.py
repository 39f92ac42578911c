"""A node that dies takes nothing from the others: their events go on, and the cluster soon takes new subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from tests.integration.node_loss import lose_a_node
from tests.support.nodes import Cluster, eventually
from tests.support.wampclient import CALL, EVENT, GOODBYE, INVOCATION, AnsweredError, Session

SUBSCRIBED_AGAIN_S: Final = 3.0
DEAD_S: Final = 8.0  # a silent node is declared dead after 5 s (docs/protocol.md section 2)


@pytest.mark.parametrize("leader", [True, False], ids=["leader", "follower"])
def test_killed_node_costs_no_event_and_at_most_seconds_of_subscribing(
    fresh_cluster: Callable[[], Cluster], leader: bool
) -> None:
    loss = lose_a_node(fresh_cluster().start(), leader=leader)
    assert loss.exact, f"published {loss.published}, heard {len(loss.heard)}, {len(set(loss.heard))} different"
    assert max(loss.subscribed_s) < SUBSCRIBED_AGAIN_S


def test_clients_of_a_killed_node_vanish_everywhere(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    callee = cluster["a"].session()
    with callee, cluster["b"].session() as caller, cluster["c"].session() as successor:
        callee.register("test.procedure")
        request = caller.start(CALL, {}, "test.procedure")
        callee.next(INVOCATION)

        cluster["a"].kill()

        with pytest.raises(AnsweredError) as ended:
            caller.answer(request)
        assert ended.value.uri == "wamp.error.canceled"
        assert ended.value.message[6]["outcome"] == "unknown"
        eventually(lambda: takes_over(successor), DEAD_S, "the procedure of the dead node is free")
        request = caller.start(CALL, {}, "test.procedure", ["to the successor"])
        successor.answer_invocation()
        assert caller.answer(request)[3:] == [["to the successor"]]


def takes_over(session: Session) -> bool:
    """Try to register what the dead node's callee had."""
    try:
        session.register("test.procedure")
    except AnsweredError as refusal:
        assert refusal.uri == "wamp.error.procedure_already_exists"
        return False
    return True


def test_restarted_node_serves_again(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    cluster["a"].kill()
    cluster["a"].launch().wait_until_serving()
    with cluster["a"].session() as subscriber, cluster["b"].session() as publisher:
        subscriber.subscribe("test.topic")
        publisher.publish("test.topic", ["welcome back"])
        assert subscriber.next(EVENT)[4] == ["welcome back"]


def test_node_that_is_stopped_says_goodbye_and_the_others_go_on(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    with cluster["a"].session() as leaving, cluster["b"].session() as one, cluster["c"].session() as two:
        leaving.register("test.procedure")
        cluster["a"].ask_to_end()
        assert leaving.next(GOODBYE)[2] == "wamp.close.system_shutdown"
        leaving.close()
        cluster["a"].wait_for_end()
        two.register("test.procedure")
        request = one.start(CALL, {}, "test.procedure", ["still here"])
        two.answer_invocation()
        assert one.answer(request)[3:] == [["still here"]]


def test_node_that_stood_still_comes_back_without_losing_its_sessions(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    follower = next(node for node in cluster if node is not cluster.leader())
    other = next(node for node in cluster if node is not follower)
    with follower.session() as paused, other.session() as publisher:
        paused.subscribe("test.topic")
        follower.pause()
        with other.session() as newcomer:
            newcomer.subscribe("test.new")  # waits until the lease of the paused node is over
        follower.resume()
        paused.publish("test.topic", ["own"], exclude_me=False)
        publisher.publish("test.topic", ["from elsewhere"])
        assert sorted(paused.next(EVENT)[4][0] for _ in range(2)) == ["from elsewhere", "own"]
