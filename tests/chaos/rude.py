"""Clients that vanish without a word, and frames that promise more than anybody may send.

    python -m tests.chaos.rude

Half-open: the packets of a client's host are dropped, so that neither side hears of an end; how long the client's
procedure stays taken. Oversized: frames whose header declares up to an exabyte, to each port of a node, by many
connections: how much memory that costs.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.chaos.listener import Listener
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nodes import CLIENT_PORT, PEER_PORT, HostCluster, HostNode
from tests.chaos.results import Figure, Report, finish, options
from tests.support.rawclients import RawSocketClient, WebSocketClient
from tests.support.wampclient import HELLO, REGISTER, ROLES, AnsweredError

SILENT_S: Final = 30.0  # ping_interval_s and ping_timeout_s of the default configuration
SILENT_CLIENTS: Final = 20
LOOK_S: Final = 0.1
ATTEMPTS: Final = 20
GROWTH_MAX_MIB: Final = 1.0
WAIT_S: Final = 10.0  # a client has 5 s to answer our close
MESSAGE_MAX: Final = 1 << 20  # of the node that gets oversized messages
SHORT_PINGS: Final[Mapping[str, float]] = {"ping_interval_s": 1.0, "ping_timeout_s": 2.0}


def run_silent(limits: Mapping[str, Any], goal_s: float) -> Report:
    """Clients become half-open; others wait for what they had."""
    report = Report("rude", "half-open clients")
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder), limits=limits) as cluster:
        cluster.start().wait_until_whole()
        a, b, _ = cluster
        silent = [_remote_session(cluster, a, f"test.silent{number}") for number in range(SILENT_CLIENTS)]
        with Listener(b) as successor:
            clients = next(name for name, host in cluster.network.hosts.items() if host is cluster.clients)
            cluster.network.unplug(clients)
            began = time.monotonic()
            taken = [_until_free(successor, f"test.silent{number}", began) for number in range(SILENT_CLIENTS)]
        left = a.status()["sessions"]
        for client in silent:
            client.close()
        cluster.network.plug(clients)
    report.add(
        Figure((18,), f"the procedures of {SILENT_CLIENTS} half-open clients are free after", max(taken), "s", goal_s),
        Figure((18,), "sessions left", left, goal=0),
    )
    if left or math.inf in taken:
        report.violations.append("P6: a half-open client was never noticed")
    return report


def _remote_session(cluster: HostCluster, node: HostNode, procedure: str) -> RawSocketClient:
    with cluster.clients.inside():
        client = RawSocketClient(CLIENT_PORT, node.host.address)
    client.shake_hands()
    client.send_json(HELLO, "realm1", {"roles": ROLES})
    client.read_json()
    client.send_json(REGISTER, 1, {}, procedure)
    client.read_json()
    return client


def _until_free(successor: Listener, procedure: str, began: float) -> float:
    while time.monotonic() < began + 3 * SILENT_S:
        with contextlib.suppress(AnsweredError):
            successor.ask(REGISTER, {}, procedure)
            return time.monotonic() - began
        time.sleep(LOOK_S)
    return math.inf


# ---- oversized


def _websocket(node: HostNode) -> socket.socket:
    client = WebSocketClient(CLIENT_PORT, node.host.address)
    client.shake_hands()
    client.send(bytes((0x81, 0xFF)) + struct.pack(">Q", 1 << 60) + bytes(4) + b"x" * 1000)
    return client.socket


def _rawsocket(node: HostNode) -> socket.socket:
    client = RawSocketClient(CLIENT_PORT, node.host.address)
    client.shake_hands()
    client.send(bytes((0,)) + (0xFFFFFF).to_bytes(3, "big") + b"x" * 1000)
    return client.socket


def _peer(node: HostNode) -> socket.socket:
    connection = socket.create_connection((node.host.address, PEER_PORT), timeout=WAIT_S)
    connection.sendall(struct.pack(">I", 0x7FFFFFFF) + b"x" * 1000)
    return connection


OVERSIZED: Final[Mapping[str, Callable[[HostNode], socket.socket]]] = {
    "WebSocket frames of an exabyte": _websocket,
    "RawSocket messages of 16 MiB": _rawsocket,
    "peer frames of 2 GiB": _peer,
}


def run_oversized(attempts: int) -> Report:
    """Oversized frames on all ports of one node of a cluster."""
    report = Report("rude", "oversized frames")
    limits = {"message_bytes_max": MESSAGE_MAX}
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder), limits=limits) as cluster:
        cluster.start().wait_until_whole()
        node = cluster["a"]
        for what, send in OVERSIZED.items():
            with cluster.clients.inside():
                _closed(send(node))  # the first one makes the interpreter load what it needs
                before = node.resident_bytes()
                senders = [send(node) for _ in range(attempts)]
            time.sleep(LOOK_S)
            growth = (node.resident_bytes() - before) / 2**20
            closed = sum(map(_closed, senders))
            report.add(Figure((28,), f"memory while {attempts} {what} are open", growth, "MiB more", GROWTH_MAX_MIB))
            if closed < attempts:
                report.violations.append(f"P10: {attempts - closed} senders of {what} were not closed")
        left = node.status()
        report.add(Figure((28,), "sessions left", left["sessions"], goal=0))
    return report


def _closed(connection: socket.socket) -> bool:
    """Whether the node ends the connection soon."""
    connection.settimeout(WAIT_S)
    with connection, contextlib.suppress(ConnectionResetError):
        try:
            while connection.recv(4096):
                continue
        except TimeoutError:
            return False
    return True


def main() -> None:
    """Measure and tell."""
    arguments = options(__doc__).parse_args()
    end_on_signals()
    finish([run_silent({}, SILENT_S + WAIT_S), run_oversized(ATTEMPTS)], arguments.record)


if __name__ == "__main__":
    main()
