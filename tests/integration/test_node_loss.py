"""A node that dies takes nothing from the others: their events go on, and the cluster soon takes new subscriptions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.integration.node_loss import Traffic, lose_a_node, subscribe_and_check
from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.wampclient import CALL, EVENT, GOODBYE, INVOCATION, AnsweredError, Session

SUBSCRIBED_AGAIN_S: Final = 3.0
OPENED_S: Final = 6.0  # a restarted voter votes again after 1.1 s, once it has all that was decided
FOUNDED_S: Final = 20.0  # a majority that was restarted waits 5 s for the return of what it was
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


def restart(node: NodeProcess) -> None:
    """Kill the node, start it, and wait until it serves and votes."""
    votes = node.log().count("votes again")
    node.kill()
    node.launch().wait_until_serving()
    eventually(lambda: node.log().count("votes again") > votes, OPENED_S, f"{node.name} votes again", node.log)


def test_every_node_can_be_restarted_in_turn_and_then_the_leader_be_lost(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    for node in cluster:
        one, two = (other for other in cluster if other is not node)
        traffic = Traffic(one, two)
        traffic.start()
        restart(node)
        traffic.stop()
        assert traffic.heard == list(range(traffic.published))
    leader = cluster.leader()
    one, two = (node for node in cluster if node is not leader)
    with one.session() as first, two.session() as second:
        leader.kill()
        killed = time.monotonic()
        assert subscribe_and_check(first, second, killed) < SUBSCRIBED_AGAIN_S
        assert subscribe_and_check(second, first, killed) < SUBSCRIBED_AGAIN_S


def test_restarted_node_with_a_run_directory_writes_down_whom_it_succeeds(
    fresh_cluster: Callable[[], Cluster], tmp_path: Path
) -> None:
    cluster = fresh_cluster()
    node = cluster["a"]
    node.settings["node"]["run_dir"] = str(tmp_path)
    cluster.start()
    restart(node)
    lines = (tmp_path / "a.incarnations").read_text().split()
    assert len(lines) == len(set(lines)) == 2


def test_two_of_three_restarted_at_once_are_a_cluster_again_with_the_third(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    with cluster["c"].session() as survivor:
        for name in ("a", "b"):
            cluster[name].kill()
        for name in ("a", "b"):
            cluster[name].launch()
        assert survivor.next(GOODBYE, FOUNDED_S)
    for node in cluster:
        node.wait_until_serving()
    with cluster["a"].session() as subscriber, cluster["c"].session() as publisher:
        subscriber.subscribe("test.topic")
        publisher.publish("test.topic", ["together again"])
        assert subscriber.next(EVENT)[4] == ["together again"]


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
