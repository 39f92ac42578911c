"""Clients that never read on a hot topic: what the node's memory does, and what the others notice.

    python -m tests.integration.slow_clients --slow 100 --seconds 60

prints, for each policy of a realm, the growth of the node's memory beside the bound, what happened to the slow clients,
and the others' latencies with slow clients as a ratio of those without. The tests use `crowd_out`.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.nodes import NodeProcess, client_settings, free_ports
from tests.support.rawclients import raw_frame
from tests.support.wampclient import EVENT, HELLO, PUBLISH, ROLES, SUBSCRIBE, SUBSCRIBED, Session

MIB: Final = 1 << 20
HOT: Final = "test.hot"
POLICIES: Final = ("disconnect", "drop_newest", "drop_oldest")
PADDING: Final = "x" * 1000
QUICK: Final = 10  # subscribers that read
RATE: Final = 200  # events per second on the hot topic
WARM_UP: Final = 100  # events
SLICES: Final = 4  # of the time, without and with slow clients each
BOUND_BYTES: Final = 64 * MIB
LIMITS: Final[dict[str, Any]] = {
    "message_bytes_max": MIB,
    "client_queue_bytes_max": MIB,
    "clients_queue_bytes_max": BOUND_BYTES,
    "ping_timeout_s": 600.0,  # else they are cut as silent after half a minute
}


class SlowNode(NodeProcess):
    """A node that also listens at a unix socket: the system buffers 0.2 MB there, and 4 MB of a TCP connection."""

    def __init__(self, folder: Path, policy: str, limits: dict[str, Any]) -> None:
        (port,) = free_ports(1)
        settings = client_settings(port)
        self.socket_path: Final = str(folder / "clients")
        (listener,) = settings["listeners"]
        settings["listeners"].append({**listener, "endpoint": f"unix:{self.socket_path}"})
        settings["realms"][0]["slow_clients"] = policy
        super().__init__(folder, "slow", port, {**settings, "limits": limits})


@contextmanager
def a_node(policy: str, **limits: Any) -> Iterator[SlowNode]:
    """A node whose realm has this policy."""
    with tempfile.TemporaryDirectory() as folder:
        node = SlowNode(Path(folder), policy, {**LIMITS, **limits})
        node.launch()
        try:
            node.wait_until_serving()
            yield node
            node.check_log()
        finally:
            node.end()


def deaf(node: SlowNode, *topics: str) -> socket.socket:
    """A session that subscribes to topics and never reads again."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(node.socket_path)
    subscribes = [[SUBSCRIBE, 1 + at, {}, topic] for at, topic in enumerate(topics)]
    messages = [json.dumps(message).encode() for message in ([HELLO, "realm1", {"roles": ROLES}], *subscribes)]
    connection.sendall(bytes((0x7F, 0xF1, 0, 0)) + b"".join(map(raw_frame, messages)))
    read = b""
    while f"[{SUBSCRIBED},{len(topics)},".encode() not in read:
        read += connection.recv(65536)
    return connection


@dataclass
class Growth:
    """What slow clients did to a node."""

    resident_bytes: list[int] = field(default_factory=list)  # the first without them
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """The growth of resident memory in bytes."""
        return max(self.resident_bytes) - self.resident_bytes[0]


def crowd_out(node: SlowNode, *, slow: int, rounds: int) -> Growth:
    """Publish to clients that never read, on a hot topic and on one of each: 8 KiB for each client in each round."""
    growth = Growth([node.status()["resident_bytes"]])
    clients = [deaf(node, HOT, f"{HOT}.{number}") for number in range(slow)]
    with node.session("rawsocket", "msgpack") as publisher:
        for turn in range(rounds):
            publisher.connection.send_many(
                [PUBLISH, 1 + turn * slow + number, {}, f"{HOT}.{number}", [turn, PADDING * 8]]
                for number in range(slow)
            )
            publisher.connection.send([PUBLISH, (turn + 1) * slow + 1, {}, HOT, [turn, PADDING]])
            if turn % 10 == 9:
                publisher.synchronize()
                growth.resident_bytes.append(node.status()["resident_bytes"])
    status = node.status()
    growth.resident_bytes.append(status["resident_bytes"])
    growth.counters = status["counters"]
    for client in clients:
        client.close()
    return growth


# ---- what the others notice


class Others:
    """Subscribers of the hot topic that read, each in a thread, and how long events take to them."""

    def __init__(self, node: NodeProcess) -> None:
        self.latencies_s: Final[list[float]] = []
        self._sessions: Final = [node.session("rawsocket", "msgpack") for _ in range(QUICK)]
        for session in self._sessions:
            session.subscribe(HOT)
        self._ending: Final = threading.Event()
        self._threads: Final = [threading.Thread(target=self._read, args=(session,)) for session in self._sessions]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Read no more."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for session in self._sessions:
            session.close()

    def _read(self, session: Session) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                sent = session.next(EVENT, 0.5)[4][0]
                self.latencies_s.append(time.monotonic() - sent)


def publish_steadily(publisher: Session, seconds: float) -> None:
    """RATE events per second, each with the time at which it was sent."""
    began = time.monotonic()
    for number in range(round(seconds * RATE)):
        publisher.connection.send([PUBLISH, 1 + number, {}, HOT, [time.monotonic(), PADDING * 4]])
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))


def latencies(node: NodeProcess, seconds: float) -> list[float]:
    """The others' latencies while events are published for so long."""
    others = Others(node)
    with node.session("rawsocket", "msgpack") as publisher:
        publish_steadily(publisher, seconds)
    time.sleep(0.5)
    others.end()
    return others.latencies_s[WARM_UP:]


def p99(sorted_s: list[float]) -> float:
    """The 99th percentile."""
    return sorted_s[len(sorted_s) * 99 // 100]


@dataclass
class Measured:
    """What slow clients did to a node and to the others."""

    policy: str
    growth: Growth
    without_s: list[float]  # the others' latencies, sorted
    with_s: list[float]

    @property
    def p99_ratio(self) -> float:
        """p99 of the others with slow clients, to that without."""
        return p99(self.with_s) / p99(self.without_s)

    def __str__(self) -> str:
        counted = {name: count for name, count in self.growth.counters.items() if "cut" in name or "dropped" in name}
        return (
            f"{self.policy}: memory grew by {self.growth.most / MIB:.1f} MiB, "
            f"the bound is {BOUND_BYTES // MIB} MiB; {counted}\n"
            f"    others: {len(self.with_s)} events, median {1000 * statistics.median(self.with_s):.2f} ms "
            f"(without: {1000 * statistics.median(self.without_s):.2f}), p99 {1000 * p99(self.with_s):.2f} ms "
            f"(without: {1000 * p99(self.without_s):.2f}): {self.p99_ratio:.2f} times"
        )


def measured(policy: str, slow: int, seconds: float) -> Measured:
    """One policy: slices without slow clients and slices with them in turns, so that both see the same machine."""
    without_s: list[float] = []
    with_s: list[float] = []
    with a_node(policy) as node:
        latencies(node, 1.0)  # it has everything loaded
        with watched(node) as growth:
            for _ in range(SLICES):
                without_s += latencies(node, seconds / SLICES)
                clients = [deaf(node, HOT) for _ in range(slow)]
                with_s += latencies(node, seconds / SLICES)
                for client in clients:
                    client.close()
        growth.counters = node.status()["counters"]
    return Measured(policy, growth, sorted(without_s), sorted(with_s))


@contextmanager
def watched(node: NodeProcess) -> Iterator[Growth]:
    """The growth of the node's memory, looked at once a second."""
    growth = Growth([node.status()["resident_bytes"]])
    stopping = threading.Event()
    watch = threading.Thread(target=_watch, args=(node, growth, stopping))
    watch.start()
    try:
        yield growth
    finally:
        stopping.set()
        watch.join()


def _watch(node: NodeProcess, growth: Growth, stopping: threading.Event) -> None:
    while not stopping.wait(1.0):
        growth.resident_bytes.append(node.status()["resident_bytes"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", type=int, default=100, help="clients that never read")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each policy")
    parser.add_argument("--policies", default=",".join(POLICIES))
    arguments = parser.parse_args()
    for policy in arguments.policies.split(","):
        print(measured(policy, arguments.slow, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
