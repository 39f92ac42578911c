"""Every example in the help of `wampha` does what the help says: it is run as it stands there, against a real node."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from docs.commands import commands, examples
from tests.support.commands import LIMIT_S, environment
from tests.support.nodes import ALL_RIGHTS, NodeProcess, client_settings, eventually, free_ports

ROOT: Final = Path(__file__).parents[2]
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"3" * 32)
NOT_RUN: Final = {
    "wampha hash": "asks on a terminal; tests/unit/test_certs.py answers",
    "wampha run": "is tests/integration/test_start.py",
    "wampha drain -c config.yaml": "is tests/integration/test_status_command.py",
    "wampha drain --wait --socket /run/wampha/admin.sock": "likewise",
    "wampha status --watch --interval 5": "likewise",
    "wampha sub com.example.reading | jq '.args[0]'": "needs jq",
    "wampha register com.example.add --exec 'jq \".args | add\"'": "needs jq",
    "wampha call com.example.add 2 3": "is what that one answers",
    "wampha convert crossbar-config .crossbar/config.yaml | less": "waits for keys",
}
STAYS: Final = re.compile(r"wampha (sub|register|run)\b")
ALL: Final = [line for path in commands() for line in examples(path) if "wampha " in line]
RUN: Final = [line for line in dict.fromkeys(ALL) if line not in NOT_RUN and "com.example.search" not in line]


class Guarded(NodeProcess):
    """A node that lets in anyone, and joe by his key."""

    def __init__(self, folder: Path) -> None:
        port, monitoring = free_ports(2)
        settings = client_settings(port)
        settings["monitoring"] = {"endpoint": f"tcp:{monitoring}:interface=127.0.0.1"}
        self.monitoring: Final = f"http://127.0.0.1:{monitoring}"
        self.run_dir: Final = folder / "run"
        self.run_dir.mkdir()
        public = KEY.public_key().public_bytes_raw().hex()
        joe = {"principals": {"joe": {"authorized_keys": [public], "role": ALL_RIGHTS["name"]}}}
        settings["listeners"][0]["auth"]["cryptosign"] = joe
        super().__init__(folder, "guarded", port, settings)
        self.settings["node"]["run_dir"] = str(self.run_dir)


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path_factory.mktemp("guarded"))
    try:
        guarded.launch().wait_until_serving()
        yield guarded
    finally:
        guarded.end()


@pytest.fixture
def guarded(_guarded: Guarded) -> Iterator[Guarded]:
    """The node of this module."""
    yield _guarded
    _guarded.check_log()


def prepare(folder: Path, example: str, node: Guarded) -> None:
    """Make the files that an example names."""
    folder.mkdir()
    (folder / ".crossbar").mkdir()
    crossbar = {"version": 2, "workers": [{"type": "router", "realms": [], "transports": []}]}
    role = {"name": "anonymous", "permissions": [{"uri": "*", "allow": {"call": True}}]}
    crossbar["workers"][0]["realms"] = [{"name": "realm1", "roles": [role]}]  # type: ignore[index]
    crossbar["workers"][0]["transports"] = [{"type": "websocket", "endpoint": {"type": "tcp", "port": 8080}}]  # type: ignore[index]
    (folder / ".crossbar" / "config.json").write_text(json.dumps(crossbar))
    if "-o config.yaml" not in example:
        (port,) = free_ports(1)
        text = (ROOT / "config" / "single.yaml").read_text().replace("tcp:8080:", f"tcp:{port}:")
        own = "" if example.startswith("wampha run") else f"node: {{run_dir: {node.run_dir}}}\n"
        (folder / "config.yaml").write_text(text + own + "monitoring: null\n")
    shutil.copy(ROOT / "config" / "node-0.yaml", folder)
    if "--private-key-file client.key" in example:
        (folder / "client.key").write_text(KEY.private_bytes_raw().hex())
    (folder / "answer.py").write_text("#!/bin/sh\ncat\n")
    (folder / "answer.py").chmod(0o755)
    (folder / ".config" / "fish" / "completions").mkdir(parents=True)


@contextmanager
def started(folder: Path, example: str, node: Guarded) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that runs an example, in a folder of its own."""
    prepare(folder, example, node)
    line = re.sub(r"ws://127\.0\.0\.1:808\d/ws", node.url, example)
    line = line.replace("http://127.0.0.1:9180", node.monitoring)
    line += " --count 100" if line.startswith("wampha bench") and "--count" not in line else ""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {line}" if STAYS.match(line) else line],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment(WAMPHA_URL=node.url, WAMPHA_MONITORING=node.monitoring, PATH=path, HOME=str(folder)),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(LIMIT_S)


def check(folder: Path, example: str, node: Guarded) -> None:
    """Run an example to its end, or until it is there and interrupted."""
    said = folder / "said"
    with started(folder, example, node) as process:
        if STAYS.match(example) and "--count" not in example:
            ready = r"subscribed|registered|accepts"
            eventually(lambda: re.search(ready, said.read_text()), LIMIT_S, f"`{example}` is ready", said.read_text)
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_S) in (0, -signal.SIGINT), said.read_text()
        else:
            assert process.wait(LIMIT_S) == 0, f"{example}\n{said.read_text()}"
    assert "Traceback" not in said.read_text()


def test_each_example_that_is_not_run_is_one() -> None:
    assert set(NOT_RUN) <= set(ALL)
    assert len(ALL) > 30


def test_a_call_of_the_help_is_answered(guarded: Guarded, tmp_path: Path) -> None:
    (example,) = (line for line in ALL if line.startswith("wampha call --timeout 5 com.example.search"))
    with guarded.session() as callee:
        callee.register("com.example.search")
        with started(tmp_path / "x", example, guarded) as process:
            assert callee.answer_invocation()[5] == {"query": "red shoes"}
            assert process.wait(LIMIT_S) == 0


@pytest.fixture(scope="module")
def outcomes(_guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseException | None]:
    """What was wrong with each of the other examples; several run at once."""
    with _guarded.session() as session:
        session.publish("com.example.state", ["on"], retain=True)

    def outcome(example: str) -> BaseException | None:
        # The router's own procedures are for those to whom they are granted.
        more = " --realm meta" if example == "wampha call wamp.session.count" else ""
        try:
            check(tmp_path_factory.mktemp("example") / "x", example + more, _guarded)
        except BaseException as error:
            return error
        return None

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(RUN, pool.map(outcome, RUN), strict=True))


@pytest.mark.parametrize("example", RUN)
def test_an_example_of_the_help_runs(guarded: Guarded, outcomes: dict[str, BaseException | None], example: str) -> None:
    if (error := outcomes[example]) is not None:
        raise error
