"""What clients of a node see that has lost the others: kept, refused, sent away, and let in again."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.rawclients import RawSocketClient
from tests.support.wampclient import ABORT, EVENT, GOODBYE, PUBLISH, PUBLISHED, SUBSCRIBE

SUSPENDED_S: Final = 4.0  # a lease lasts 1.5 s
FENCED_S: Final = 10.0  # and the comfort time 3.5 s more
REFUSED_S: Final = 0.5  # "at once": it is about 1 ms; two cores may be shared by a whole test run


@contextmanager
def alone(cluster: Cluster, node: NodeProcess) -> Iterator[None]:
    """All other nodes stand still."""
    others = [other for other in cluster if other is not node]
    for other in others:
        other.pause()
    try:
        yield
    finally:
        for other in others:
            other.resume()


def suspended(node: NodeProcess) -> None:
    """Wait until the node has noticed that it has no lease."""
    node.wait_for_log(f"{node.name} is suspended", SUSPENDED_S)


def at_end(client: socket.socket) -> bool:
    """Whether the other side closed, by an end or a reset, within REFUSED_S."""
    client.settimeout(REFUSED_S)
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_suspended_node_keeps_its_sessions_and_sends_newcomers_elsewhere_at_once(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    node = cluster["c"]
    with (
        node.session() as kept,
        RawSocketClient(node.port) as opened,
        socket.create_connection(("127.0.0.1", node.port)) as silent,
    ):
        kept.subscribe("test.topic")
        opened.shake_hands()
        with alone(cluster, node):
            suspended(node)
            assert at_end(silent), "it waits for a node that does not serve"
            assert opened.read_json()[::2] == [ABORT, "wamp.error.unavailable"]
            for _ in range(5):
                began = time.monotonic()
                with socket.create_connection(("127.0.0.1", node.port)) as newcomer:
                    assert at_end(newcomer)
                assert time.monotonic() - began < REFUSED_S
            status = node.status()
            assert (status["stage"], status["ready"]) == ("suspended", False)
            requests = [kept.start(PUBLISH, {"acknowledge": True, "exclude_me": False}, "test.topic", [7])]
            requests.append(kept.start(SUBSCRIBE, {}, "test.other"))
            with pytest.raises(TimeoutError):
                kept.connection.receive(0.3)
        assert kept.answer(requests[0])[0] == PUBLISHED
        assert kept.answer(requests[1])
        assert kept.next(EVENT)[4] == [7]
    assert "fenced" not in node.log()
    assert node.status()["ready"]


def test_a_fenced_node_says_goodbye_and_does_not_listen_until_it_serves_again(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    node = cluster["c"]
    with node.session() as session:
        session.subscribe("test.topic")
        with alone(cluster, node):
            goodbye = session.next(GOODBYE, FENCED_S)
            assert goodbye[2] == "wamp.close.system_shutdown"
            assert goodbye[1]["message"].endswith("connect to another node."), goodbye
            eventually(lambda: refuses(node), REFUSED_S, "nobody listens")
    node.wait_until_serving()
    with node.session() as subscriber, cluster["a"].session() as publisher:
        subscriber.subscribe("test.topic")
        publisher.publish("test.topic", ["again"])
        assert subscriber.next(EVENT)[4] == ["again"]


def refuses(node: NodeProcess) -> bool:
    """Whether nobody listens at the node's port."""
    try:
        socket.create_connection(("127.0.0.1", node.port)).close()
    except ConnectionRefusedError:
        return True
    return False
