"""Every example runs: clients in two languages on different nodes of one cluster, `make run` and `make cluster`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.nodes import Cluster, error_lines, eventually
from tests.support.wampclient import Session

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 30.0
LANGUAGES: Final = {"python": (sys.executable, ".py"), "js": ("node", ".js")}
MIXTURES: Final = [("python", "js"), ("js", "python")]


def command(language: str, name: str, *arguments: str) -> list[str]:
    """How one of the example clients is run."""
    interpreter, suffix = LANGUAGES[language]
    return [interpreter, str(ROOT / "examples" / language / (name + suffix)), *arguments]


def environment() -> dict[str, str]:
    """With the JavaScript packages of the tests, and with the checkout for `python -m examples...`."""
    return {**os.environ, "NODE_PATH": str(ROOT / "tests" / "integration" / "js" / "node_modules")}


@contextmanager
def running(arguments: list[str], output: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `output`; ended at the end."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            arguments, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env={**environment(), **variables}
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def run_to_end(arguments: list[str]) -> str:
    """What a process prints until it ends by itself with status 0."""
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(output: Path, pattern: str) -> str:
    """Wait until the output of a process has the pattern, and give all of it."""
    eventually(lambda: re.search(pattern, output.read_text()), LIMIT_S, f"{pattern!r} in the output of an example")
    return output.read_text()


@pytest.mark.parametrize(("subscribes", "publishes"), MIXTURES)
def test_publisher_and_subscriber(cluster: Cluster, tmp_path: Path, subscribes: str, publishes: str) -> None:
    output = tmp_path / "subscriber.out"
    with running(command(subscribes, "subscriber", cluster["a"].url), output):
        wait_for(output, "subscribed")
        assert "published:" in run_to_end(command(publishes, "publisher", cluster["b"].url, "from the other side"))
        wait_for(output, "event:.*from the other side")


@pytest.mark.parametrize(("offers", "calls"), MIXTURES)
def test_caller_and_callee(cluster: Cluster, tmp_path: Path, offers: str, calls: str) -> None:
    output = tmp_path / "callee.out"
    with running(command(offers, "callee", cluster["c"].url), output):
        wait_for(output, "registered")
        printed = run_to_end(command(calls, "caller", cluster["a"].url))
    assert re.search(r"error: com\.example\.division_by_zero .*1 divided by nothing.*dividend", printed)
    assert "result: 0.25" in printed


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """Runs one of the modules of `examples`, which use fixed ports, ends it, and looks into the logs of its nodes."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
            output = tmp_path / f"{name}.out"
            command = [sys.executable, "-m", f"examples.{name}", *arguments]
            process = stack.enter_context(running(command, output, TMPDIR=str(tmp_path)))
            return process, output

        yield start
    logs = list(tmp_path.glob("wampha-*/node*.log"))
    assert len(logs) == 3
    assert not [line for log in logs for line in error_lines(log.read_text())]


def processes_of(output: str) -> list[int]:
    """The process ids that the examples print."""
    return [int(pid) for pid in re.findall(r"\bpid (\d+)", output)]


def gone(pid: int) -> bool:
    """Whether no process has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_cluster_serves_on_three_ports_until_it_is_interrupted(
    module: Callable[..., tuple[subprocess.Popen[bytes], Path]],
) -> None:
    process, output = module("cluster")
    nodes = processes_of(wait_for(output, "Ctrl-C ends all"))
    assert len(nodes) == 3
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(port)) for port in (8081, 8082, 8083)]
        sessions[2].subscribe("test.topic")
        sessions[0].publish("test.topic", ["hello"])
        assert sessions[2].next(36)[4] == ["hello"]
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 0
    assert all(map(gone, nodes)), "a node outlived `make cluster`"


def test_second_cluster_says_which_port_is_taken(
    module: Callable[..., tuple[subprocess.Popen[bytes], Path]],
) -> None:
    _, output = module("cluster")
    wait_for(output, "Ctrl-C ends all")
    second = [sys.executable, "-m", "examples.cluster"]
    done = subprocess.run(second, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("wampha: port 8081 of 127.0.0.1 is in use")


def test_demo_loses_a_node_and_no_event(module: Callable[..., tuple[subprocess.Popen[bytes], Path]]) -> None:
    process, output = module("demo", "--seconds", "14")
    assert process.wait(LIMIT_S) == 0
    printed = output.read_text()
    nodes = processes_of(printed)
    assert len(nodes) == 3
    assert all(map(gone, nodes)), "a node outlived the demo"
    assert "\033" not in printed, "colours where nobody looks"
    for client in (r"publisher +@ node1", r"subscriber +@ node2", r"caller +@ node1", r"callee +@ node3"):
        assert re.search(client, printed), client
    assert "node3 is dead" in printed
    assert re.search(r"result +\d+ \* \d+ = \d+, by the callee at node3", printed)
    assert re.search(r"result +\d+ \* \d+ = \d+, by the callee at node[12]", printed), "the callee did not come back"
    assert re.search(r"^ *(\d+) published, \1 heard at the other node: 0 missing, 0 doubled", printed, re.MULTILINE)


def test_killed_cluster_leaves_no_node_behind(module: Callable[..., tuple[subprocess.Popen[bytes], Path]]) -> None:
    process, output = module("cluster")
    nodes = processes_of(wait_for(output, "Ctrl-C ends all"))
    process.kill()
    eventually(lambda: all(map(gone, nodes)), LIMIT_S, "all nodes have ended")
