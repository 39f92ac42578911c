"""Three wampha nodes as three `twistd` processes on loopback, for the demo and for `make cluster`."""

from __future__ import annotations

import contextlib
import ctypes
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

CLIENT_PORTS: Final = {"node1": 8081, "node2": 8082, "node3": 8083}
MONITORING_PORTS: Final = {"node1": 9181, "node2": 9182, "node3": 9183}
PEER_PORTS: Final = {"node1": 8071, "node2": 8072, "node3": 8073}
REALM: Final = "realm1"
START_S: Final = 20.0
LOOK_S: Final = 0.05
STOP_S: Final = 10.0  # a node that may not ask the others any more gives up after two seconds
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class PortTakenError(Exception):
    """A port that the nodes need is in use; `str()` is a sentence for the user."""


class NotStartedError(Exception):
    """A node ended, or did not serve in time; `str()` is a sentence for the user."""


class Nodes:
    """The three processes; a context manager that leaves none behind."""

    def __init__(self) -> None:
        """Raises PortTakenError."""
        check_ports()
        self.folder: Final = Path(tempfile.mkdtemp(prefix="wampha-"))
        self._processes: Final[dict[str, subprocess.Popen[bytes]]] = {}

    def __enter__(self) -> Nodes:
        secret = secrets.token_hex(16)
        for name in CLIENT_PORTS:
            self._start(name, secret)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_serving(self) -> None:
        """Return when clients can connect to every node: a node lets them in when it first serves.

        Raises NotStartedError.
        """
        deadline = time.monotonic() + START_S
        for name, port in CLIENT_PORTS.items():
            while not _accepts(port):
                if self.ended() or time.monotonic() > deadline:
                    raise NotStartedError(f"{name} does not serve; its log is {self.folder / name}.log")
                time.sleep(LOOK_S)

    def pid(self, name: str) -> int:
        """The process id of a node."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL: the node can say nothing to anybody."""
        self._processes[name].kill()
        self._processes[name].wait()

    def ended(self) -> list[str]:
        """The nodes that do not run."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def stop(self) -> None:
        """End all nodes in an orderly way, and whatever does not end by itself."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.wait()

    def _start(self, name: str, secret: str) -> None:
        config = self.folder / f"{name}.yaml"
        config.write_text(json.dumps(settings(name, secret), indent=2))  # JSON is YAML
        config.chmod(0o600)
        twistd = Path(sys.executable).with_name("twistd")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(twistd), "-n", "--pidfile=", "wampha", "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end them
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - there are no threads here
            )


def settings(name: str, secret: str) -> dict[str, Any]:
    """The configuration of one node: a voter among three, anonymous clients with all rights."""
    everything = {"call": True, "register": True, "publish": True, "subscribe": True}
    return {
        "node": {"name": name},
        "cluster": {
            "name": "example",
            "listen": f"tcp:{PEER_PORTS[name]}:interface=127.0.0.1",
            "advertise": f"127.0.0.1:{PEER_PORTS[name]}",
            "secret": secret,
            "voters": [{"name": voter, "address": f"127.0.0.1:{port}"} for voter, port in PEER_PORTS.items()],
        },
        "realms": [
            {"name": REALM, "roles": [{"name": "anonymous", "permissions": [{"uri": "*", "allow": everything}]}]}
        ],
        "listeners": [
            {
                "endpoint": f"tcp:{CLIENT_PORTS[name]}:interface=127.0.0.1",
                "auth": {"anonymous": {"role": "anonymous"}},
            }
        ],
        "monitoring": {"endpoint": f"tcp:{MONITORING_PORTS[name]}:interface=127.0.0.1"},
    }


def page(name: str) -> str:
    """Where the status page is, as that node sees the cluster."""
    return f"http://127.0.0.1:{MONITORING_PORTS[name]}/"


def check_ports() -> None:
    """Raise PortTakenError if somebody else listens where the nodes want to."""
    for port in (*CLIENT_PORTS.values(), *PEER_PORTS.values(), *MONITORING_PORTS.values()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what the nodes do: TIME_WAIT is no obstacle
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                message = f"port {port} of 127.0.0.1 is in use; end what listens there (another `make cluster`?)"
                raise PortTakenError(message) from None


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _end_with_parent() -> None:
    # Also if we are killed and can end nobody: Linux then sends the nodes SIGTERM.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
