"""How long the longest turn of a node's reactor is when very much happens at once.

    python -m tests.integration.turns --sessions 15000

prints one line for each case, each with a fresh node, or two: the longest turn, how many lasted more than 100 ms, and
what the case took. What the system allows (`ulimit -n`) bounds the sessions.
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.nodes import Cluster, NodeProcess, client_settings, eventually, free_ports
from tests.support.rawclients import raw_frame
from tests.support.wampclient import HELLO, PUBLISH, ROLES, SUBSCRIBE, SUBSCRIBED

TOPIC: Final = "test.turns"
CONNECTED_AT_ONCE: Final = 40  # what Twisted lets wait to be accepted is 50
PATIENCE_S: Final = 120.0
SETTLE_S: Final = 4.0


def message(*elements: Any) -> bytes:
    """One message as a RawSocket frame with JSON."""
    return raw_frame(json.dumps(elements).encode())


OPENING: Final = bytes((0x7F, 0xF1, 0, 0)) + message(HELLO, "realm1", {"roles": ROLES})


class Crowd:
    """Sessions that subscribe to one topic and then read nothing."""

    def __init__(self, node: NodeProcess, count: int) -> None:
        self.sockets: Final[list[socket.socket]] = []
        while len(self.sockets) < count:
            fresh = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(CONNECTED_AT_ONCE)]
            for each in fresh:
                each.sendall(OPENING + message(SUBSCRIBE, 1, {}, TOPIC))
            for each in fresh:
                _read_until(each, f"[{SUBSCRIBED},1,".encode())
            self.sockets += fresh

    def close(self) -> None:
        """Close all of them."""
        for each in self.sockets:
            each.close()


def _read_until(connection: socket.socket, mark: bytes) -> None:
    read = b""
    while mark not in read:
        data = connection.recv(65536)
        assert data, read
        read += data


def fan_out(nodes: Sequence[NodeProcess], sessions: int) -> None:
    """20 events at once to all sessions."""
    (node,) = nodes
    crowd = Crowd(node, sessions)
    with node.session("rawsocket") as publisher:
        publisher.connection.send_many([PUBLISH, number, {}, TOPIC, [number]] for number in range(2, 22))
        publisher.synchronize()
    _read_until(crowd.sockets[-1], b"[21]")
    crowd.close()


def mass_leave(nodes: Sequence[NodeProcess], sessions: int) -> None:
    """All sessions end while the node stands still for a moment."""
    (node,) = nodes
    crowd = Crowd(node, sessions)
    node.pause()
    crowd.close()
    node.resume()
    eventually(lambda: node.status()["sessions"] == 0, PATIENCE_S, "the end of all sessions")


def many_subscriptions(nodes: Sequence[NodeProcess], sessions: int) -> None:
    """One session with as many subscriptions as there are sessions otherwise ends."""
    (node,) = nodes
    with node.session("rawsocket") as one:
        for first in range(1, sessions, 500):
            one.connection.send_many(
                [SUBSCRIBE, number, {}, f"{TOPIC}.{number}"] for number in range(first, first + 500)
            )
            for _ in range(500):
                one.next(SUBSCRIBED)
    time.sleep(SETTLE_S)
    eventually(lambda: node.status()["routes"] == 0, PATIENCE_S, "the end of all routes")


def silence(nodes: Sequence[NodeProcess], sessions: int) -> None:
    """No session answers its ping, and all are cut."""
    (node,) = nodes
    crowd = Crowd(node, sessions)
    eventually(lambda: node.status()["sessions"] == 0, PATIENCE_S, "the end of all sessions")
    crowd.close()


def forwarded(nodes: Sequence[NodeProcess], sessions: int) -> None:
    """100 events at once from a publisher on another node to all sessions."""
    node, other = nodes
    crowd = Crowd(node, sessions)
    with other.session("rawsocket") as publisher:
        publisher.connection.send_many([PUBLISH, number, {}, TOPIC, [number]] for number in range(2, 102))
        publisher.synchronize()
    _read_until(crowd.sockets[-1], b"[101]")
    crowd.close()


Case = Callable[[Sequence[NodeProcess], int], None]
CASES: Final[tuple[Case, ...]] = (fan_out, forwarded, mass_leave, many_subscriptions, silence)
IN_CLUSTER: Final = (forwarded,)
LIMITS: Final[dict[str, dict[str, float]]] = {"silence": {"ping_interval_s": 15.0, "ping_timeout_s": 5.0}}


def _nodes(case: Case, folder: Path) -> list[NodeProcess]:
    """One node alone, or a voter and an observer; not started."""
    if case in IN_CLUSTER:
        cluster = Cluster(folder, 1)
        cluster.observer("other")
        return list(cluster)
    (port,) = free_ports(1)
    return [NodeProcess(folder, "turns", port, client_settings(port) | {"limits": LIMITS.get(case.__name__, {})})]


def measure(case: Case, sessions: int) -> str:
    """One line about the turns of the first node of a case, which has nodes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = _nodes(case, Path(folder))
        try:
            for node in nodes:
                node.launch()
            for node in nodes:
                node.wait_until_serving()
            began = time.monotonic()
            case(nodes, sessions)
            seconds = time.monotonic() - began
            status = nodes[0].status()
            turns = status["turns"]
            long = status["counters"].get("turns_long", 0)
        finally:
            for node in nodes:
                node.kill()
    return (
        f"{case.__name__}: longest turn {1000 * turns['longest_s']:.0f} ms, {long} of {turns['count']} above 100 ms; "
        f"{seconds:.1f} s in all\n    {turns['lasting_s']}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=15_000)
    parser.add_argument("--cases", default=",".join(case.__name__ for case in CASES))
    arguments = parser.parse_args()
    for case in CASES:
        if case.__name__ in arguments.cases.split(","):
            print(measure(case, arguments.sessions), flush=True)


if __name__ == "__main__":
    main()
