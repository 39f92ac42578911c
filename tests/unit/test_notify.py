"""What systemd is told, on a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import defer
from twisted.logger import LogEvent, globalLogPublisher

from tests.support.core import FakeClock
from wampha.notify import Manager, Reports


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(str(tmp_path / "notify"))
        yield listening


def heard(ear: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(ear.recv(4096).decode())
        except BlockingIOError:
            return messages


class Node:
    """One that serves when the test says so."""

    def __init__(self, ear: socket.socket, watchdog: str = "") -> None:
        environment = {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": watchdog, "HOME": "/"}
        manager = Manager.of(environment, 7)
        assert manager is not None
        assert environment == {"HOME": "/"}, "programs that the node starts are not taken for it"
        self.serves = False
        self.clock = FakeClock()
        self.reports = Reports(
            manager,
            clock=self.clock,
            ready=lambda: self.serves,
            condition=lambda: "serving" if self.serves else "joining: no link to b",
        )


def test_readiness_is_told_once_and_the_condition_whenever_it_changes(ear: socket.socket) -> None:
    node = Node(ear)
    node.reports.start()
    assert heard(ear) == ["STATUS=joining: no link to b"]
    node.clock.advance(5)
    assert heard(ear) == []
    node.serves = True
    node.clock.advance(0.1)
    assert heard(ear) == ["READY=1\nSTATUS=serving"]
    node.serves = False
    node.clock.advance(1)
    assert heard(ear) == ["STATUS=joining: no link to b"]
    node.serves = True
    node.clock.advance(1)
    assert heard(ear) == ["STATUS=serving"]


def test_the_watchdog_is_fed_in_time_by_the_reactor_and_by_nothing_else(ear: socket.socket) -> None:
    node = Node(ear, "1500000")
    node.serves = True
    node.reports.start()
    assert heard(ear) == ["WATCHDOG=1\nREADY=1\nSTATUS=serving"]
    for _ in range(4):
        node.clock.advance(0.5)
        assert heard(ear) == ["WATCHDOG=1"]
    assert heard(ear) == [], "time that the reactor does not see feeds nobody"
    node.reports.stop()
    node.clock.advance(10)
    assert heard(ear) == []
    assert node.clock.pending() == 0


@pytest.mark.parametrize(("microseconds", "pid", "fed"), [("1000000", 7, True), ("1000000", 8, False), ("x", 7, False)])
def test_only_the_process_that_is_watched_feeds(ear: socket.socket, microseconds: str, pid: int, fed: bool) -> None:
    environment = {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": microseconds, "WATCHDOG_PID": str(pid)}
    manager = Manager.of(environment, 7)
    assert manager is not None
    assert manager.watchdog_s == (1.0 if fed else None)


def test_a_reload_and_a_stop_are_announced(ear: socket.socket) -> None:
    node = Node(ear)
    reading: defer.Deferred[None] = defer.Deferred()
    node.reports.reload(lambda: reading)
    assert len(begun := heard(ear)) == 1
    reading.callback(None)
    assert begun[0].startswith("RELOADING=1\nMONOTONIC_USEC=") and begun[0].rpartition("=")[2].isdecimal()
    assert heard(ear) == ["READY=1"]
    failed: defer.Deferred[None] = node.reports.reload(lambda: defer.fail(ValueError()))
    failed.addErrback(lambda failure: failure.trap(ValueError))
    assert heard(ear)[-1] == "READY=1", "else systemd waits until its time is up"
    node.reports.stopping(25.0)
    assert heard(ear) == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000"]


@pytest.mark.parametrize("address", [None, "", "relative", "vsock:2:1"])
def test_without_a_socket_nothing_is_told(address: str | None) -> None:
    assert Manager.of({} if address is None else {"NOTIFY_SOCKET": address}, 7) is None


def test_an_abstract_socket_is_one_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ear:
        ear.bind("")  # the system chooses a free abstract name
        Manager("@" + ear.getsockname()[1:].decode()).tell("READY=1", "STATUS=ü")
        assert heard(ear) == ["READY=1\nSTATUS=ü"]


def test_a_manager_that_does_not_listen_is_mentioned_once(tmp_path: Path) -> None:
    lines: list[LogEvent] = []
    globalLogPublisher.addObserver(lines.append)
    try:
        manager = Manager(str(tmp_path / "nobody"))
        manager.tell("READY=1")
        manager.tell("WATCHDOG=1")
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert [line["log_namespace"] for line in lines] == ["wampha.notify.Manager"]
