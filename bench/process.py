"""Router processes: start, find, weigh and stop them."""

import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import BenchError

READY_TIMEOUT_S = 60.0
PROBE_INTERVAL_S = 0.01
STOP_TIMEOUT_S = 5.0
PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024

_RAWSOCKET_JSON = bytes((0x7F, 0xF1, 0, 0))
_LISTENING = "0A"


def free_ports(number: int) -> list[int]:
    """Return TCP ports on 127.0.0.1 that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def accepts_session(port: int) -> bool:
    """Say whether a router on 127.0.0.1:`port` welcomes a session now (RawSocket, JSON, realm1)."""
    hello = json.dumps([1, "realm1", {"roles": {"publisher": {}}}]).encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(_RAWSOCKET_JSON)
            if _receive(connection, 4)[:1] != b"\x7f":
                return False
            connection.sendall(struct.pack(">I", len(hello)) + hello)
            (length,) = struct.unpack(">I", _receive(connection, 4))
            answer = json.loads(_receive(connection, length))
    except (OSError, ValueError):
        return False
    return bool(answer[0] == 2)


def _receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def _session_members(leader: int) -> Iterator[int]:
    """The processes of the session that `leader` opened, so also a router's workers."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        state, session = fields[0], int(fields[3])
        if session == leader and state != "Z":
            yield int(entry.name)


def _holds_socket(pid: int, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(fd) in inodes for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def listening_process(leader: int, port: int) -> int:
    """Return the process of the session of `leader` that listens on TCP `port`: the one that does the work."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] == _LISTENING and row[1].endswith(f":{port:04X}")}
    for pid in _session_members(leader):
        if _holds_socket(pid, inodes):
            return pid
    raise BenchError(f"No process of the router listens on port {port}.")


def rss_kib(leader: int) -> int:
    """Resident memory of all processes of the session of `leader`."""
    total = 0
    for pid in _session_members(leader):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
        except OSError:
            continue
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start one router: the command, where it runs, what it adds to the environment, where it listens."""

    name: str
    command: Sequence[str]
    directory: Path
    port: int
    environment: Mapping[str, str]


class RouterProcess:
    """A router that runs from entering to leaving a `with` block, whatever happens inside.

    `pid` is the process that listens, `start_s` the time from its launch to its first session.
    """

    def __init__(self, launch: Launch, cpu: int | None) -> None:
        self.name = launch.name
        self.port = launch.port
        self.pid = 0
        self.start_s = 0.0
        self._launch = launch
        self._log = launch.directory / "router.log"
        self._launched_at = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                launch.command,
                cwd=launch.directory,
                env={**os.environ, **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        """Return when a session was welcomed. Raises BenchError with the end of the log when that does not come."""
        while not accepts_session(self.port):
            ended = self._process.poll() is not None
            if ended or time.monotonic() - self._launched_at > READY_TIMEOUT_S:
                what = "ended" if ended else f"accepted no session within {READY_TIMEOUT_S:.0f} s"
                raise BenchError(f"{self.name} {what}; the end of {self._log}:\n{self.log_tail()}")
            time.sleep(PROBE_INTERVAL_S)
        self.start_s = time.monotonic() - self._launched_at
        self.pid = listening_process(self._process.pid, self.port)

    def rss_kib(self) -> int:
        """Resident memory of all its processes."""
        return rss_kib(self._process.pid)

    def log_tail(self) -> str:
        """Return the last lines it wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """End all its processes: politely, then by force, at once when we are interrupted again meanwhile."""
        try:
            self._signal(signal.SIGTERM)
            if self._ended_within(STOP_TIMEOUT_S):
                return
        finally:
            self._signal(signal.SIGKILL)
        self._ended_within(STOP_TIMEOUT_S)

    def _signal(self, number: signal.Signals) -> None:
        for pid in list(_session_members(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _ended_within(self, patience_s: float) -> bool:
        limit = time.monotonic() + patience_s
        while time.monotonic() < limit:
            if self._process.poll() is not None and not any(_session_members(self._process.pid)):
                return True
            time.sleep(0.05)
        return False
