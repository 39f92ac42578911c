"""More clients than a node has file descriptors for: who is there stays, who comes is told at once, links come back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.wampclient import EVENT, ConnectionEndedError

DESCRIPTORS: Final = 256
CROWD: Final = 400
REFUSED_S: Final = 1.0
RECOVERED_S: Final = 5.0


def refused(client: socket.socket) -> bool:
    """Whether the other side has closed."""
    client.settimeout(REFUSED_S)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_crowd_that_takes_every_descriptor_disturbs_neither_sessions_nor_links(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster()
    full, other = cluster["a"], cluster["c"]
    full.prefix.extend(["/bin/sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh"])
    for node in cluster:
        node.settings["limits"] = {"opening_timeout_s": 120.0}
    cluster.start()
    with full.session() as kept, cluster["b"].session() as far:
        kept.subscribe("test.topic")
        with ExitStack() as stack:
            crowd = [
                stack.enter_context(socket.create_connection(("127.0.0.1", full.port), timeout=5.0))
                for _ in range(CROWD)
            ]
            began = time.monotonic()
            assert refused(crowd[-1])
            assert time.monotonic() - began < REFUSED_S
            status = full.status()
            assert status["counters"]["connections_refused_full"] >= CROWD - DESCRIPTORS // 2
            assert status["counters"].get("link_losses", 0) == 0

            other.kill()  # its links to the full node are gone; it dials anew when it is back
            other.launch().wait_until_serving()
            with other.session() as back:
                back.publish("test.topic", ["from the restarted node"])
                far.publish("test.topic", ["from far"])
                assert {kept.next(EVENT)[4][0] for _ in range(2)} == {"from the restarted node", "from far"}
            kept.subscribe("test.more")
        eventually(lambda: accepts(full), RECOVERED_S, "clients are let in again", full.log)
    log = full.log()
    assert log.count("new clients are refused") == 1 and log.count("EMFILE") == 0
    assert len(log.splitlines()) < 150, "the log is flooded"


def accepts(node: NodeProcess) -> bool:
    """Whether a session can be joined."""
    try:
        node.session().leave()
    except (OSError, ConnectionEndedError):
        return False
    return True
