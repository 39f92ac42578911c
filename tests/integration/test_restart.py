"""A node that comes back: what it lets clients do reaches everybody."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.nodes import START_S, Cluster, eventually
from tests.support.wampclient import EVENT


def test_a_node_lets_clients_in_when_it_can_reach_every_member(fresh_cluster: Callable[[], Cluster]) -> None:
    # P2: an acknowledged subscriber, here of a node that stands still for a moment, misses nothing from the first
    # client of a node that has just been restarted.
    cluster = fresh_cluster()
    slow = cluster.observer("observer")
    cluster.start()
    restarted = next(node for node in cluster if node not in (slow, cluster.leader()))
    serves = f"{restarted.name} serves"
    with slow.session() as subscriber:
        subscriber.subscribe("test.restart")
        seen = restarted.log().count(serves)
        restarted.kill()
        slow.pause()
        restarted.launch()
        eventually(lambda: restarted.log().count(serves) > seen, START_S, serves, restarted.log)
        slow.resume()
        restarted.wait_until_serving()
        with restarted.session() as publisher:
            publisher.publish("test.restart", ["first"])
        assert subscriber.next(EVENT)[4] == ["first"]
