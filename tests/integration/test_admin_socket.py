"""The admin socket on a real file system: for its user only, never taken from another process, and what it does."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer
from twisted.logger import Logger, LogPublisher

from tests.support.reactors import in_reactor, reactor
from tests.support.web import ask
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.observe.admin import SOCKET, Admin
from wampha.observe.logs import Logs
from wampha.observe.web import text


class Process:
    """What the socket may do to its process."""

    def __init__(self, folder: Path, its_reactor: Any = reactor) -> None:
        self.shown: list[str] = []
        self.done: list[str] = []
        self.problem: str | None = None
        publisher = LogPublisher(lambda event: self.shown.append(event["log_level"].name))
        logs = Logs("warn")
        logs.hold(publisher)
        self.log = Logger(observer=publisher, namespace="test")
        self.admin = Admin(
            folder=folder,
            routes={"/readyz": {"GET": lambda asked, tell: tell(text("ok"))}},
            drain=lambda: self.done.append("drain"),
            reload=self._reload,
            level=logs,
            counters=Counters(),
            reactor=its_reactor,
        )

    def _reload(self) -> defer.Deferred[dict[str, Any]]:
        self.done.append("reload")
        return defer.succeed({"done": self.problem is None, "problems": [self.problem]})


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Makes processes with a socket in the same folder; they listen unless that fails."""
    made: list[Process] = []

    def make(folder: Path = tmp_path) -> Process:
        process = Process(folder)
        in_reactor(process.admin.listen)
        made.append(process)
        return process

    yield make
    for each in made:
        in_reactor(each.admin.stop)


def test_it_is_for_its_user_only_and_goes_with_its_process(process: Callable[..., Process], tmp_path: Path) -> None:
    there = process()
    mode = there.admin.path.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert ask(there.admin.path, "/readyz").text == "ok\n"
    in_reactor(there.admin.stop)
    assert list(tmp_path.iterdir()) == []


def test_it_is_nobody_else_s_at_any_moment(tmp_path: Path) -> None:
    """Twisted sets the mode when the socket is there already."""
    masks = []

    class Reactor:
        def listenUNIX(self, *_: Any, **__: Any) -> None:  # noqa: N802 - Twisted's name
            masks.append(os.umask(0o077))

    before = os.umask(0o022)
    try:
        there = Process(tmp_path, Reactor())
        there.admin.listen()
        assert os.umask(0o022) == 0o022, "it is as it was"
        assert masks == [0o177]
    finally:
        os.umask(before)


def test_what_changes_something_asks_for_post(process: Callable[..., Process]) -> None:
    there = process()
    for path in ("/drain", "/reload", "/log-level?level=debug"):
        answer = ask(there.admin.path, path)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert there.done == []


def test_drain_is_answered_before_it_begins(process: Callable[..., Process]) -> None:
    there = process()
    assert ask(there.admin.path, "/drain", "POST").status == 202
    in_reactor(lambda: None)
    assert there.done == ["drain"]


def test_reload_tells_why_nothing_was_changed(process: Callable[..., Process]) -> None:
    there = process()
    assert ask(there.admin.path, "/reload", "POST").status == 200
    there.problem = "the file is missing"
    answer = ask(there.admin.path, "/reload", "POST")
    assert answer.status == 409 and "the file is missing" in answer.text
    assert there.done == ["reload", "reload"]


def test_the_level_of_the_log_changes_while_the_process_runs(process: Callable[..., Process]) -> None:
    there = process()
    there.log.debug("not shown")
    assert ask(there.admin.path, "/log-level?level=debug", "POST").status == 200
    there.log.debug("shown")
    for wrong in ("/log-level?level=loud", "/log-level", "/log-level?level="):
        answer = ask(there.admin.path, wrong, "POST")
        assert answer.status == 400 and "debug, info" in answer.text
    assert ask(there.admin.path, "/log-level?level=error", "POST").status == 200
    there.log.warn("not shown")
    assert there.shown == ["debug"]


def test_a_socket_that_was_left_behind_is_replaced(process: Callable[..., Process], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    assert ask(process().admin.path, "/readyz").status == 200


@pytest.mark.parametrize("listening", [True, False])
def test_what_another_has_is_left_alone(process: Callable[..., Process], tmp_path: Path, listening: bool) -> None:
    first: Any = process() if listening else (tmp_path / SOCKET).write_text("precious")
    with pytest.raises(StartError, match="another node listens" if listening else "is no socket"):
        process()
    if listening:
        assert ask(first.admin.path, "/readyz").status == 200
    else:
        assert (tmp_path / SOCKET).read_text() == "precious"


def test_a_folder_that_cannot_be_used_is_told(process: Callable[..., Process], tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path / ("long" * 40)):
        with pytest.raises(StartError, match=r"node\.run_dir: the socket .* cannot be made"):
            process(folder)
