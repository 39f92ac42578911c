"""`wampha.cluster.*`: the nodes as clients see them."""

from __future__ import annotations

from typing import Any

from tests.support.core import Cluster, Node
from wampha.messages.model import Event
from wampha.state.commands import Down, Leave, Up

UP, DOWN = "wampha.cluster.on_node_up", "wampha.cluster.on_node_down"


def answer(cluster: Cluster, node: str, procedure: str) -> Any:
    caller = cluster[node].join()
    caller.call(procedure)
    cluster.settle()
    return caller.one().payload


def test_every_node_gives_the_same_list_of_nodes(cluster: Cluster) -> None:
    lists = [answer(cluster, name, "wampha.cluster.nodes").args()[0] for name in "abc"]
    assert lists[0] == lists[1] == lists[2]
    assert [entry["name"] for entry in lists[0]] == ["a", "b", "c"]
    assert lists[0][0] == {
        "name": "a",
        "incarnation": f"{cluster['a'].owner.incarnation:016x}",
        "address": "127.0.0.1:1",
        "version": "0",
        "leads": True,
        "config": None,
    }


def test_the_status_of_every_node_is_there_by_its_name(cluster: Cluster) -> None:
    for name in "bc":
        cluster[name].join()
    status = answer(cluster, "a", "wampha.cluster.status")
    assert status.args() == [{name: {"stage": "serving", "ready": True} for name in "abc"}]
    assert status.kwargs() == {}


def test_a_status_says_whom_it_lacks(cluster: Cluster) -> None:
    caller = cluster["a"].join()
    caller.call("wampha.cluster.status")
    cluster.carry("a", "b")
    cluster.carry("b", "a")
    cluster["a"].clock.advance(2.0)
    status = caller.one().payload
    assert set(status.args()[0]) == {"a", "b"}
    assert status.kwargs() == {"partial": True, "missing": ["c"]}


def test_nodes_that_come_and_go_are_told_once_on_every_node(cluster: Cluster) -> None:
    watchers = []
    for name in "ab":
        for topic in (UP, DOWN):
            watchers.append(cluster[name].join())
            watchers[-1].subscribe(topic)
            cluster.settle()
            watchers[-1].take()
    cluster.add("d")
    cluster.settle()
    gone = cluster["c"].owner
    cluster.log.append(Down(gone, 1))
    cluster.log.append(Down(gone, 1))
    cluster.log.append(Leave(cluster["d"].owner))
    for node in cluster.nodes.values():
        node.ledger.apply()
    for up, down in (watchers[:2], watchers[2:]):
        (event,) = up.take()
        assert isinstance(event, Event)
        assert event.payload.args() == ["d"]
        assert event.payload.kwargs()["version"] == "0"
        told = [(event.payload.args(), event.payload.kwargs()["reason"]) for event in down.take()]
        assert told == [(["c"], "down"), (["d"], "left")]


def test_a_node_that_is_gone_in_the_same_batch_did_not_come_for_anybody() -> None:
    node = Node()
    watcher = node.join()
    watcher.subscribed(UP)
    watcher.subscribed(DOWN)
    late = type(node.owner)("late", 5)
    node.log.append(Up(late, (), "x:1", "0"))
    node.log.append(Leave(late))
    node.ledger.apply()
    assert [event.payload.args() for event in watcher.take()] == [["late"]]
