"""The faults are what they say, and nothing is left of them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.namespaces import PREFIX, Network, clear_away
from tests.chaos.results import Figure, Report
from tests.support.nodes import eventually

ROOT = Path(__file__).parents[2]
NAMESPACES = Path("/run/netns")
WAIT_S = 0.3


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("abc") as made:
        yield made


def reaches(network: Network, source: str, target: str) -> bool:
    """Whether a datagram gets from one host to another."""
    with network[target].inside():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with network[source].inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind(("0.0.0.0", 9000))
        receiver.settimeout(WAIT_S)
        try:
            sender.sendto(b"?", (network[target].address, 9000))
            return receiver.recv(1) == b"?"
        except OSError:
            return False


def test_hosts_reach_each_other_and_nothing_else(network: Network) -> None:
    assert reaches(network, "a", "b") and reaches(network, "b", "a")
    with network["a"].inside(), pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 80), timeout=WAIT_S)


def test_a_cut_has_a_direction_and_heals(network: Network) -> None:
    network.cut(("a", "b"))
    assert not reaches(network, "a", "b")
    assert reaches(network, "b", "a") and reaches(network, "a", "c")
    network.heal()
    assert reaches(network, "a", "b")


def test_a_partition_cuts_all_between_its_sides_and_nothing_else(network: Network) -> None:
    network.part("a", "bc")
    assert not any(reaches(network, *pair) for pair in ("ab", "ba", "ac", "ca"))
    assert reaches(network, "b", "c") and reaches(network, "c", "b")


def test_a_cable_that_was_pulled_can_be_put_back(network: Network) -> None:
    network.unplug("a")
    assert not reaches(network, "b", "a")
    network.plug("a")
    eventually(lambda: reaches(network, "b", "a"), 5, "the cable is back")


def test_a_share_of_the_packets_is_lost(network: Network) -> None:
    with network["b"].inside():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with network["a"].inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    network.lose(0.2, ("a", "b"))
    with receiver, sender:
        receiver.bind(("0.0.0.0", 9000))
        receiver.settimeout(WAIT_S)
        arrived = 0
        for _ in range(20):
            for _ in range(50):
                sender.sendto(b"?", (network["b"].address, 9000))
            with pytest.raises(TimeoutError):
                while True:
                    arrived += len(receiver.recv(1))
    assert 700 < arrived < 900  # of 1,000; eight standard deviations to each side


def test_what_a_killed_run_has_left_is_cleared_away() -> None:
    script = (
        "import subprocess, sys; from tests.chaos.namespaces import Network\n"
        "network = Network('a')\n"
        "with network['a'].inside(): process = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL)\n"
        "print(process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout
        left = int(killed.stdout.readline())
        killed.kill()
    names = list(NAMESPACES.glob(f"{PREFIX}{killed.pid}-*"))
    assert len(names) == 2 and _lives(left)
    clear_away()
    eventually(lambda: not _lives(left), 5, "the process that was left is gone")
    assert not list(NAMESPACES.glob(f"{PREFIX}{killed.pid}-*"))


def _lives(pid: int) -> bool:
    try:
        return re.search(r"\) ([A-Z])", Path(f"/proc/{pid}/stat").read_text()).group(1) != "Z"  # type: ignore[union-attr]
    except FileNotFoundError:
        return False


def test_nothing_of_another_living_run_is_cleared_away(network: Network) -> None:
    clear_away()
    assert len(list(NAMESPACES.glob(f"{PREFIX}{os.getpid()}-*"))) >= 4
    assert reaches(network, "a", "b")


# ---- figures


@pytest.mark.needs_no_hosts
def test_a_figure_tells_whether_its_goal_was_reached() -> None:
    assert Figure((1,), "x", 2.0, "s", goal=2.0).kept
    assert not Figure((1,), "x", 2.1, "s", goal=2.0).kept
    assert str(Figure((1,), "x", 99.8, "%", goal=99.9, least=True)) == "x: 99.8 % (at least 99.9 %: MISSED)"


@pytest.mark.needs_no_hosts
def test_a_report_tells_violations_before_goals() -> None:
    report = Report("kills", figures=[Figure((1,), "x", 3, goal=2)])
    assert report.verdict == "every promise kept; 1 goals missed"
    report.violations.append("P4: twice")
    assert report.verdict.startswith("BROKEN")
