"""wampha nodes as real `twistd` processes: alone, or as a cluster on loopback.

A node's log is read by the tests: after each test, a line that nobody expected (an error, a traceback) fails it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Generic, Self, TypeVar

from tests.support.wampclient import ConnectionEndedError, Session

START_S: Final = 20.0  # a node needs about one second; two cores may be shared by a whole test run
STOP_S: Final = 10.0
POLL_S: Final = 0.02  # where there is no event to wait for: a port that opens, a line in a log
SECRET: Final = "loopback only, and long enough"
REALM: Final = "realm1"
RESUMABLE_REALM: Final = "resumable"  # its sessions may outlive their connections
GRACE_S: Final = 3.0  # by so many seconds
META_REALM: Final = "meta"  # for who may change things by the meta API
QUEUED_REALM: Final = "queued"  # its calls may wait for callees
LENIENT_REALM: Final = "lenient"  # for clients that use what they do not announce

# What no log may contain: Python's and Twisted's marks of an unhandled error, and lines of level error or critical.
_BAD_LINE: Final = re.compile(
    r"Unhandled|Traceback|CRITICAL|\[[\w.-]+#(?:error|critical)\]|never retrieved|never awaited"
    r'|"level": "(?:error|critical)"'
)

ALL_RIGHTS: Final[dict[str, Any]] = {
    "name": "anonymous",
    "permissions": [
        {
            "uri": "",
            "match": "prefix",
            "allow": {"call": True, "register": True, "publish": True, "subscribe": True},
        }
    ],
}
HISTORY: Final = {"uri": "history.", "match": "prefix"}  # topics whose events are kept
# The same, and callees learn who calls them.
TELLING: Final = {
    **ALL_RIGHTS,
    "permissions": [{**permission, "disclose": {"caller": True}} for permission in ALL_RIGHTS["permissions"]],
}


# The same, and the procedures of the router that change something.
MEANT: Final = {
    **ALL_RIGHTS,
    "permissions": [
        *ALL_RIGHTS["permissions"],
        {"uri": "wamp.", "match": "prefix", "allow": {"call": True, "subscribe": True}},
    ],
}


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nobody listens now, each different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def eventually(holds: Callable[[], Any], within_s: float, what: str, log: Callable[[], str] = str) -> Any:
    """Poll until `holds()` is true and give its value; fails with `what` and `log()` after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not (value := holds()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{log()}"
        time.sleep(POLL_S)
    return value


def error_lines(log: str) -> list[str]:
    """The lines that no log of a healthy node has."""
    return [line for line in log.splitlines() if _BAD_LINE.search(line)]


def twistd() -> str:
    """The `twistd` of the environment that runs the tests."""
    return str(Path(sys.executable).with_name("twistd"))


def client_settings(port: int) -> dict[str, Any]:
    """A configuration without a cluster: one realm, and one listener in which anyone may do anything."""
    return {
        "realms": [
            {"name": REALM, "roles": [ALL_RIGHTS], "history": [HISTORY]},
            {"name": META_REALM, "roles": [MEANT], "history": [HISTORY]},
            {"name": QUEUED_REALM, "roles": [ALL_RIGHTS], "call_queue_max": 10},
            {"name": LENIENT_REALM, "roles": [TELLING], "undeclared_features": "accepted", "history": [HISTORY]},
            {"name": RESUMABLE_REALM, "roles": [MEANT], "resumable_sessions": {"grace_s": GRACE_S}},
        ],
        "listeners": [
            {"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": {"anonymous": {"role": ALL_RIGHTS["name"]}}}
        ],
    }


class NodeProcess:
    """One `twistd -n wampha` with its configuration and log in `folder`."""

    def __init__(self, folder: Path, name: str, port: int, settings: dict[str, Any]) -> None:
        """`port` is where clients connect; `settings` is the whole configuration but for the name.

        Monitoring is off unless `settings` say where: all nodes of a test run would want the same port.
        """
        self.name: Final = name
        self.port: Final = port
        self.url: Final = f"ws://127.0.0.1:{port}/ws"
        self.log_path: Final = folder / f"{name}.log"
        self.settings: Final = {"node": {"name": name}, "monitoring": None, **settings}
        self.settings["log"] = {"format": "text", **settings.get("log", {})}
        self.environment: Final[dict[str, str]] = {}  # added to that of its process
        self.prefix: Final[list[str]] = []  # what comes before `twistd` on the command line
        self._folder: Final = folder
        self._expected: Final[list[re.Pattern[str]]] = []
        self._checked = 0  # characters of the log that have been looked at
        self._launched = 0  # those that were there when the process was started
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        assert self._process is not None, f"node {self.name} was not started"
        return self._process.pid

    def launch(self) -> NodeProcess:
        """Start the process and return at once."""
        config = self._folder / f"{self.name}.yaml"
        config.write_text(json.dumps(self.settings, indent=1))  # JSON is YAML
        self._launched = len(self.log())
        with self.log_path.open("ab") as log:
            command = [*self.prefix, twistd(), "-n", "--pidfile=", "wampha", "-c", str(config)]
            self._process = spawn(command, self._folder, log, self.environment)
        return self

    def wait_until_serving(self) -> None:
        """Return when a session can be joined; fails with the log if the process ends or takes too long."""
        eventually(self._accepts_a_session, START_S, f"a session on node {self.name}", self.log)

    def session(self, transport: str = "websocket", serializer: str = "json", realm: str = REALM) -> Session:
        """A new session on this node."""
        return Session(self.port, transport, serializer, realm)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM, and wait for an orderly end."""
        assert self._process is not None
        self._process.terminate()
        # twistd shuts down, and then ends itself by the signal that it got.
        assert self._process.wait(STOP_S) in (0, -signal.SIGTERM), self.log()

    def pause(self) -> None:
        """SIGSTOP: the process stands still, its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def exit_status(self) -> int:
        """Wait for the process to end by itself."""
        assert self._process is not None
        return self._process.wait(START_S)

    def log(self) -> str:
        """All that the node has written, standard output and error included."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, pattern: str, within_s: float = START_S) -> str:
        """Wait for a line that matches, and give it."""
        found = eventually(
            lambda: re.search(f"^.*(?:{pattern}).*$", self.log(), re.MULTILINE),
            within_s,
            f"a line like {pattern!r} in the log of {self.name}",
            self.log,
        )
        line: str = found.group()
        return line

    def status(self) -> dict[str, Any]:
        """What the node tells about itself, asked by SIGUSR2 as soon as it starts to listen."""
        eventually(lambda: " is starting on " in self.log()[self._launched :], START_S, f"{self.name} starts", self.log)
        seen = len(self._statuses())
        os.kill(self.pid, signal.SIGUSR2)
        found = eventually(lambda: self._statuses()[seen:], START_S, f"the status of {self.name}", self.log)
        status: dict[str, Any] = json.loads(found[0])
        return status

    def _statuses(self) -> list[str]:
        return re.findall(r"^.* status (\{.*\})$", self.log(), re.MULTILINE)

    def expect_log(self, pattern: str) -> None:
        """From now on, error lines that match are no failure."""
        self._expected.append(re.compile(pattern))

    def check_log(self) -> None:
        """Fail if the log has, since the last check, an error that nobody expected."""
        news = self.log()[self._checked :]
        self._checked += len(news)
        bad = [line for line in error_lines(news) if not any(pattern.search(line) for pattern in self._expected)]
        assert not bad, f"node {self.name} logged:\n" + "\n".join(bad) + f"\n\nits last lines:\n{news[-6000:]}"

    def ask_to_end(self) -> None:
        """SIGTERM, if the process lives; it may be paused."""
        if self.running():
            os.kill(self.pid, signal.SIGTERM)
            self.resume()

    def wait_for_end(self) -> None:
        """Wait until the process that was asked to end has done so; fails, and kills it, if that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"node {self.name} did not end within {STOP_S} s of SIGTERM") from None

    def end(self) -> None:
        """End the process whatever its state, as a clean-up."""
        self.ask_to_end()
        self.wait_for_end()

    def _accepts_a_session(self) -> bool:
        assert self.running(), f"node {self.name} ended with status {self.exit_status()}; its log:\n{self.log()}"
        try:
            self.session().leave()
        except (OSError, ConnectionEndedError):
            return False
        return True


Kind = TypeVar("Kind", bound=NodeProcess)


class Nodes(Generic[Kind]):
    """Several nodes by name, in `nodes`; a subclass makes them."""

    nodes: dict[str, Kind]

    def __getitem__(self, name: str) -> Kind:
        return self.nodes[name]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self.nodes.values())

    def start(self) -> Self:
        """Start all nodes, and return when each accepts a session."""
        for node in self:
            node.launch()
        for node in self:
            node.wait_until_serving()
        return self

    def check_logs(self) -> None:
        """Fail if any node logged an error that nobody expected."""
        for node in self:
            node.check_log()

    def end(self) -> None:
        """End all processes, paused ones too."""
        for node in self:
            node.ask_to_end()
        for node in self:
            node.wait_for_end()


class Cluster(Nodes[NodeProcess]):
    """Nodes `a`, `b`, `c`, ... on loopback: the voters, and whatever observers are added."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        names = [chr(ord("a") + index) for index in range(size)]
        ports = free_ports(2 * size)
        self._folder: Final = folder
        self.voters: Final = tuple(names)
        self.peer_ports: Final = dict(zip(names, ports[size:], strict=True))
        self.nodes = {
            name: NodeProcess(folder, name, port, {**client_settings(port), "cluster": self.cluster_settings(name)})
            for name, port in zip(names, ports[:size], strict=True)
        }

    def observer(self, name: str, changes: Mapping[str, Any] = MappingProxyType({})) -> NodeProcess:
        """One more node that is no voter, not started; `changes` are made to its section `cluster`."""
        port, self.peer_ports[name] = free_ports(2)
        section = {**self.cluster_settings(name), **changes}
        self.nodes[name] = NodeProcess(self._folder, name, port, {**client_settings(port), "cluster": section})
        return self.nodes[name]

    def cluster_settings(self, name: str) -> dict[str, Any]:
        """The section `cluster` of one node."""
        return {
            "name": "test",
            "listen": f"tcp:{self.peer_ports[name]}:interface=127.0.0.1",
            "advertise": f"127.0.0.1:{self.peer_ports[name]}",
            "secret": SECRET,
            "voters": [{"name": voter, "address": f"127.0.0.1:{self.peer_ports[voter]}"} for voter in self.voters],
        }

    def leader(self) -> NodeProcess:
        """The node that leads by the logs of all."""
        lines = [re.findall(r"([\w.-]+) leads the cluster in term (\d+)", node.log()) for node in self]
        terms = [(int(term), name) for found in lines for name, term in found]
        return self.nodes[max(terms)[1]]


def spawn(
    command: list[str], folder: Path, log: IO[bytes], environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    """Start a process in `folder` that writes to `log` and gets no signal of the terminal's process group.

    `environment` is added to our own.
    """
    return subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default", **environment},
    )
