"""The log of a real process: JSON from the first line to the last, and a level that changes while it runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import ALL_RIGHTS, START_S, NodeProcess, eventually, free_ports
from tests.support.wampclient import HELLO, ROLES, connect

SECRET, PAYLOAD = "a-ticket-nobody-reads", "a-payload-nobody-reads"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node that shows everything it could show, where a ticket is asked for."""
    (port,) = free_ports(1)
    auth = {
        "anonymous": {"role": "anonymous"},
        "ticket": {"principals": {"joe": {"ticket": SECRET, "role": "anonymous"}}},
    }
    settings = {
        "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
        "listeners": [{"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": auth}],
        "log": {"format": "auto"},
    }
    node = NodeProcess(tmp_path, "node-0", port, settings)
    try:
        node.launch().wait_until_serving()
        yield node
    finally:
        node.end()


def lines(node: NodeProcess) -> list[dict[str, Any]]:
    return list(map(json.loads, node.log().splitlines()))


def test_each_line_is_an_object_with_node_realm_and_session(node: NodeProcess) -> None:
    os.kill(node.pid, signal.SIGUSR1)
    eventually(lambda: "lines from debug on" in node.log(), START_S, "the new level", node.log)
    with connect(node.port) as client:
        client.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["ticket"], "authid": "joe"}])
        client.receive()
        client.send([5, SECRET, {}])
        session = client.receive()[1]
        client.send([16, 1, {"acknowledge": True}, "com.topic", [PAYLOAD]])
        client.receive()
        client.send_payload(f"[1, {PAYLOAD}".encode())  # what cannot be read is not told either
    with connect(node.port) as client:
        client.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["ticket"], "authid": "joe"}])
        client.receive()
        client.send([5, SECRET + "?", {}])
        client.receive()
    os.kill(node.pid, signal.SIGUSR2)
    eventually(lambda: '"message": "status {' in node.log(), START_S, "the status", node.log)
    os.kill(node.pid, signal.SIGUSR1)
    eventually(lambda: "lines from info on" in node.log(), START_S, "the former level", node.log)
    node.end()
    told = lines(node)
    assert {line["node"] for line in told} == {"node-0"}
    assert told[0]["message"].startswith("twistd ") and told[-1]["level"] == "info"
    assert [line["time"] for line in told] == sorted(line["time"] for line in told)
    (came,) = [line for line in told if line.get("audit") == "authenticated" and line["authid"] == "joe"]
    assert (came["namespace"], came["realm"], came["session"]) == ("wampha.audit", "realm1", session)
    assert [line["cause"] for line in told if line.get("audit") == "authentication_failed"] == ["wrong ticket"]
    assert not {"error", "critical"} & {line["level"] for line in told}
    assert SECRET not in node.log() and PAYLOAD not in node.log()
