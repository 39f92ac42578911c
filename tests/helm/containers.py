"""Containers as these tests run them: root's podman, on a network in a namespace of its own.

The machine's own network stays as it is: bridge, firewall rules and name server live in the namespace, and only
connections that are made `inside()` it reach a container. One run at a time uses podman; others wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.namespaces import PREFIX, Host, clear_away, run
from tests.chaos.namespaces import why_impossible as why_no_namespaces

TOOLS: Final = ("podman", "runc", "conmon", "mmdebstrap", "iptables")
NETAVARK: Final = Path("/usr/lib/podman")  # where netavark and aardvark-dns stand
LABEL: Final = "wampha.test"  # of every container that these tests make
START_S: Final = 60.0
_SETTINGS: Final = Path(__file__).with_name("containers.conf")
_LOCK: Final = Path(tempfile.gettempdir()) / "wampha-containers.lock"
_SUBNET: Final = "10.203.7"  # exists only inside the namespace
_numbers: Final = itertools.count()


def why_impossible() -> str | None:
    """What keeps containers from running here, as a sentence; None if nothing does."""
    if (reason := why_no_namespaces()) is not None:
        return reason
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return f"`{tool}` is missing; on Debian: make container-tools"
    for helper in ("netavark", "aardvark-dns"):
        if not (NETAVARK / helper).exists():
            return f"`{helper}` is missing; on Debian: make container-tools"
    return None


def podman(*arguments: str | Path, check: bool = True) -> str:
    """Run podman and give what it printed; raises AssertionError with its complaint."""
    ran = subprocess.run(
        ["podman", *map(str, arguments)],
        env={**os.environ, "CONTAINERS_CONF": str(_SETTINGS)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert ran.returncode == 0, f"podman {' '.join(map(str, arguments))}:\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}"
    return ran.stdout.strip()


@dataclass(frozen=True)
class Ended:
    """What a container left that ended by itself."""

    status: int
    output: str


def run_once(image: str, *arguments: str) -> Ended:
    """Run a container without a network until it ends; `arguments` are options of `podman run`."""
    command = [
        "podman",
        "run",
        "--rm",
        "--pull=never",
        "--network=none",
        "--no-healthcheck",
        "--label",
        LABEL,
        *arguments,
        image,
    ]
    ran = subprocess.run(
        command,
        env={**os.environ, "CONTAINERS_CONF": str(_SETTINGS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Ended(ran.returncode, ran.stdout.strip())


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until nobody else runs containers, and clear away what a run has left that was killed."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        left = podman("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
        if left:
            podman("rm", "--force", "--time", "0", *left)
        for name in podman("network", "ls", "--quiet", "--filter", f"name={PREFIX}").split():
            podman("network", "rm", "--force", name)
        clear_away()
        yield


class Container:
    """One container on a network; its address changes with each start."""

    def __init__(self, network: Network, name: str) -> None:
        self.name: Final = name
        self._network: Final = network

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman where this container's network is."""
        return self._network.podman(*arguments, check=check)

    def inspect(self) -> dict[str, Any]:
        """What podman knows of it."""
        found: list[dict[str, Any]] = json.loads(self.podman("inspect", "--type", "container", self.name))
        return found[0]

    def state(self) -> dict[str, Any]:
        """Whether it runs, and how it ended."""
        state: dict[str, Any] = self.inspect()["State"]
        return state

    def address(self) -> str:
        """Its address now; empty while it does not run."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        address: str = networks[self._network.name]["IPAddress"]
        return address

    def logs(self) -> str:
        """All that it has written."""
        ran = subprocess.run(
            ["podman", "logs", self.name],
            env={**os.environ, "CONTAINERS_CONF": str(_SETTINGS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return ran.stdout

    def exec(self, *command: str, check: bool = True) -> str:
        """Run a command in it and give what it printed."""
        return self.podman("exec", self.name, *command, check=check)

    def exec_status(self, *command: str, timeout_s: float) -> int | None:
        """Run a command in it and give its exit status; None if that takes too long."""
        with self._network.host.inside(), contextlib.suppress(subprocess.TimeoutExpired):
            ran = subprocess.run(
                ["podman", "exec", self.name, *command],
                env={**os.environ, "CONTAINERS_CONF": str(_SETTINGS)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=timeout_s,
            )
            return ran.returncode
        return None

    def reach(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to it, or to another one of its network."""
        with self._network.host.inside():
            return socket.create_connection((address, port), timeout_s)

    def start(self) -> None:
        """Start it again after it ended."""
        self.podman("start", self.name)

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal to its first process."""
        self.podman("kill", "--signal", signal, self.name)

    def stop(self, grace_s: int) -> int:
        """SIGTERM, and SIGKILL after the grace; gives the exit status."""
        self.podman("stop", "--time", str(grace_s), self.name)
        status: int = self.state()["ExitCode"]
        return status

    def wait(self) -> int:
        """Wait until it has ended; gives the exit status."""
        return int(self.podman("wait", self.name))

    def remove(self) -> None:
        """End it at once and forget it."""
        self.podman("rm", "--force", "--time", "0", "--volumes", self.name, check=False)

    def resident_bytes(self) -> int:
        """Memory of its first process."""
        pages = int(Path(f"/proc/{self.state()['Pid']}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Network:
    """A bridge with a name server, in a namespace of its own. Use as a context manager: it clears up."""

    def __init__(self) -> None:
        self.name: Final = f"{PREFIX}{os.getpid()}-pods{next(_numbers)}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.host: Final = Host(self.name, "", "")
        self._bridge = ""  # the name of its interface, which is there with the first container
        self.podman("network", "create", "--subnet", f"{_SUBNET}.0/24", "--internal", self.name)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        left = podman("ps", "--all", "--quiet", "--filter", f"network={self.name}").split()
        if left:
            self.podman("rm", "--force", "--time", "0", "--volumes", *left, check=False)
        self.podman("network", "rm", "--force", self.name, check=False)
        self.host.close()
        clear_namespace(self.name)

    def podman(self, *arguments: str | Path, check: bool = True) -> str:
        """Run podman inside the namespace."""
        with self.host.inside():
            return podman(*arguments, check=check)

    def address(self, number: int) -> str:
        """An address of this network: 1 is its name server's, others may be given to containers."""
        assert 0 < number < 255, "this network has no more addresses"
        return f"{_SUBNET}.{number}"

    def run(
        self, name: str, image: str, *options: str, aliases: Sequence[str] = (), command: Sequence[str] = ()
    ) -> Container:
        """Start a container; other containers reach it by its name and by `aliases`."""
        names = [part for alias in (name, *aliases) for part in ("--network-alias", alias)]
        self.podman(
            *("run", "--detach", "--pull=never", "--name", name, "--hostname", name, "--label", LABEL),
            *("--network", self.name, *names, *options, image, *command),
        )
        self._keep_address_of_bridge()
        return Container(self, name)

    def _keep_address_of_bridge(self) -> None:
        """Give the bridge the hardware address that it has.

        Else it has the lowest of its containers', another one when that container ends; and what the others send to
        the balancer and to the name server is lost until they ask for the new one.
        """
        if not self._bridge:
            self._bridge = json.loads(self.podman("network", "inspect", self.name))[0]["network_interface"]
            (bridge,) = json.loads(run("ip", "-n", self.name, "-json", "link", "show", "dev", self._bridge))
            run("ip", "-n", self.name, "link", "set", "dev", self._bridge, "address", bridge["address"])


def clear_namespace(name: str) -> None:
    """End what is left in a namespace, and the namespace."""
    for pid in run("ip", "netns", "pids", name).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 9)
    run("ip", "netns", "del", name)
