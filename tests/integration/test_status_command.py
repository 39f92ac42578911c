"""`wampha status`, `drain`, `reload` and `log-level` on a real cluster, and on what is left of it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import LIMIT_S, WAMPHA, Commands, commands
from tests.support.nodes import START_S, Cluster, NodeProcess, eventually, free_ports
from wampha.cli.exits import Exit


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes with monitoring, and a socket for their operator."""
    cluster = Cluster(tmp_path)
    for node, port in zip(cluster, free_ports(3), strict=True):
        folder = tmp_path / f"run-{node.name}"
        folder.mkdir()
        node.settings["monitoring"] = {"endpoint": f"tcp:{port}:interface=127.0.0.1"}
        node.settings["node"] |= {
            "run_dir": str(folder),
            "drain": {"spread_s": 0.0, "answer_s": 0.1, "deadline_s": 8.0},
        }
    try:
        yield cluster.start()
    finally:
        cluster.end()
    cluster.check_logs()


@pytest.fixture
def wampha(tmp_path: Path) -> Iterator[Commands]:
    """Runs commands."""
    with commands(tmp_path) as made:
        yield made


def url_of(cluster: Cluster, name: str) -> str:
    endpoint: str = cluster[name].settings["monitoring"]["endpoint"]
    return f"http://127.0.0.1:{endpoint.split(':')[1]}"


def test_any_node_shows_the_cluster_and_what_became_of_it(watched: Cluster, wampha: Commands, tmp_path: Path) -> None:
    urls = {name: url_of(watched, name) for name in "abc"}
    with watched["b"].session() as session:
        session.subscribe("com.example.topic")
        looks = [wampha.start("status", "--url", url) for url in urls.values()]
        for look in looks:
            done = look.done()
            assert done.code == Exit.DONE, done.out + done.err
            assert "All is well." in done.out and "(leads)" in done.out
            assert [line.split()[0] for line in done.out.splitlines()[3:6]] == ["a", "b", "c"]
    (answer,) = wampha("status", "--json", WAMPHA_MONITORING=urls["c"]).lines
    assert answer["node"] == "c" and len(answer["nodes"]) == 3
    watching = wampha.start("status", "--watch", "--json", "--interval", "0.5", "--url", urls["a"])
    watching.wait_for(r"\n")

    # What changes a node: for who may open its socket.
    folder = tmp_path / "run-b"
    assert "debug" in wampha("log-level", "debug", "--socket", str(folder / "admin.sock")).err
    reloaded = wampha("reload", "-c", str(tmp_path / "b.yaml"))
    assert reloaded.code == Exit.DONE, reloaded.err
    urls_of_clients = f"{watched['b'].url},{watched['a'].url}"
    subscriber = wampha.start("sub", "com.example.topic", "--count", "1", "--url", urls_of_clients)
    subscriber.wait_for("subscribed")
    drained = wampha("drain", "--wait", "-c", str(tmp_path / "b.yaml"))
    assert drained.code == Exit.DONE, drained.err
    subscriber.wait_for("connected again")
    with watched["c"].session() as publisher:
        publisher.publish("com.example.topic", ["from the third node"])
    moved = subscriber.done()
    assert moved.code == Exit.DONE and moved.lines[0]["args"] == ["from the third node"]
    assert "wamp.close.system_shutdown" in moved.err
    assert eventually(lambda: not watched["b"].running(), START_S, "the drained node has ended")
    assert wampha("drain", "-c", str(tmp_path / "b.yaml")).code == Exit.UNREACHABLE

    gone = wampha.start("status", "--url", urls["b"])
    left = eventually(
        lambda: (done := wampha("status", "--url", urls["a"])).code == Exit.FAILED and done,
        START_S,
        "the others notice that a voter is missing",
    )
    assert "b: is a voter, and is not there; start it" in left.out
    done = gone.done()
    assert done.code == Exit.UNREACHABLE and "connection refused" in done.err

    watched["a"].kill()
    watching.wait_for('"error": "no node at')
    ended = watching.end()
    assert ended.code == Exit.DONE
    sizes = [len(json.loads(line).get("nodes", ())) for line in ended.out.splitlines()]
    assert [size for index, size in enumerate(sizes) if size != sizes[index - 1]] == [3, 2, 0]


def test_on_a_terminal_each_look_takes_the_place_of_the_one_before(
    fresh_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    node = fresh_node(monitoring={"endpoint": f"tcp:{port}:interface=127.0.0.1"})
    node.launch().wait_until_serving()
    ours, theirs = pty.openpty()
    command = [*WAMPHA, "status", "--watch", "--interval", "0.5", "--url", f"http://127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    with node.session() as session:
        shown = read_until(ours, b"\x1b[H\x1b[J", 2)
        assert b"a node on its own, as node sees it" in shown and b"All is well." in shown
        session.leave()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_S)
    os.close(ours)
    assert (process.returncode, said) == (Exit.DONE, b"")


def read_until(terminal: int, mark: bytes, times: int) -> bytes:
    """What a terminal shows until it has shown the mark so often, and what follows it."""
    shown = b""
    while shown.count(mark) < times or not shown.endswith(b"\n"):
        assert select.select([terminal], [], [], LIMIT_S)[0], shown
        shown += os.read(terminal, 65536)
    return shown
