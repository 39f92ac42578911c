"""A node as a service of systemd: what it is told by a real process, and the unit that is delivered."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.nodes import NodeProcess, client_settings, free_ports

UNIT: Final = Path(__file__).parents[2] / "packaging" / "systemd" / "wampha.service"
WATCHDOG_S: Final = 0.6


class Manager:
    """What systemd would hear."""

    def __init__(self, address: Path) -> None:
        self.socket: Final = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(address))
        self.socket.settimeout(20)

    def next(self, key: str) -> str:
        """Wait for a message with this line; give the whole message."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            message = self.socket.recv(4096).decode()
            if any(line.partition("=")[0] == key for line in message.splitlines()):
                return message
        raise AssertionError(f"no {key} in time")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[NodeProcess, Manager]]:
    """A node that a manager has started."""
    manager = Manager(tmp_path / "notify")
    (port,) = free_ports(1)
    node = NodeProcess(tmp_path, "node", port, client_settings(port))
    node.environment.update(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
    try:
        yield node.launch(), manager
        node.check_log()
    finally:
        node.end()
        manager.socket.close()


def test_a_service_manager_is_told_of_each_turn_of_a_node_s_life(watched: tuple[NodeProcess, Manager]) -> None:
    node, manager = watched
    assert "READY=1" in manager.next("READY")
    node.session().leave()  # at once: ready means that clients are served
    for _ in range(3):
        began = time.monotonic()
        manager.next("WATCHDOG")
        assert time.monotonic() - began < WATCHDOG_S
    os.kill(node.pid, signal.SIGHUP)
    assert "MONOTONIC_USEC=" in manager.next("RELOADING")
    assert manager.next("READY") == "READY=1"
    with node.session():
        assert "STATUS=serving 1 session(s)" in manager.next("STATUS")
        node.ask_to_end()
        assert "EXTEND_TIMEOUT_USEC=35000000" in manager.next("STOPPING")
    node.wait_for_end()


def test_a_node_that_stands_still_feeds_no_watchdog(watched: tuple[NodeProcess, Manager]) -> None:
    node, manager = watched
    manager.next("READY")
    node.pause()
    manager.socket.settimeout(2 * WATCHDOG_S)
    with pytest.raises(TimeoutError):
        while True:  # what was on its way
            manager.socket.recv(4096)
    node.resume()
    manager.next("WATCHDOG")


# ---- the unit


def settings() -> list[tuple[str, str]]:
    """The lines of section [Service]."""
    section = UNIT.read_text().split("[Service]\n")[1].split("\n[")[0]
    pairs = (line.partition("=")[::2] for line in section.splitlines() if line and not line.startswith("#"))
    return [(key, value) for key, value in pairs]


def test_the_unit_asks_for_what_the_node_tells_and_starts_what_is_installed() -> None:
    unit: dict[str, Any] = dict(settings())
    assert (unit["Type"], unit["NotifyAccess"], unit["ExecReload"]) == ("notify", "main", "kill -HUP $MAINPID")
    assert unit["ExecStart"] == "/opt/wampha/bin/twistd -n --pidfile= wampha -c /etc/wampha/config.yaml"
    assert int(unit["WatchdogSec"]) >= 10
    assert (unit["NoNewPrivileges"], unit["ProtectSystem"], unit["CapabilityBoundingSet"]) == ("yes", "strict", "")
    assert "@resources" not in unit["SystemCallFilter"], "the router raises its limit of open files"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/wampha/bin/twistd", "/bin/true").replace("User=wampha", "User=daemon")
    unit = tmp_path / "wampha.service"
    unit.write_text(text.replace("Group=wampha", "Group=daemon"))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout  # exposure of at most 2.0
