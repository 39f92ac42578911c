"""Hosts of our own: network namespaces, each with one interface on a bridge that leads nowhere else.

    host a (10.203.0.1) ---.
    host b (10.203.0.2) ----+--- bridge, in a namespace of its own
    host c (10.203.0.3) ---'

A socket belongs to the namespace that its thread was in when it was made. So a process or a client is put on a host by
making it `inside()` that host, and what it does later needs no help.

Everything is named after the process that made it. Whoever makes a network first clears away what processes that are
no more have left.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "wampha-"  # of the names of our namespaces; then the pid of their maker
_NAMES: Final = Path("/run/netns")
_SETTINGS: Final = Path("/etc/netns")  # by namespace, files that stand in for those of /etc
_OWN: Final = "/proc/thread-self/ns/net"
_CLONE_NEWNET: Final = 0x40000000
_SUBNET: Final = "10.203.0"  # exists only inside the namespaces; nothing routes to it or out of it
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_numbers: Final = itertools.count()


def why_impossible() -> str | None:
    """What keeps chaos tests from running here, as a sentence; None if nothing does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool) is None:
            return f"`{tool}` is missing; on Debian: apt-get install {package}"
    name = f"{PREFIX}{os.getpid()}-probe"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not permitted here: {error.stderr.strip()}"
    return None


def run(*command: str, stdin: str | None = None) -> str:
    """Run a tool and give what it printed; raises CalledProcessError with its complaint."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def _ip(*arguments: str) -> str:
    return run("ip", *arguments)


class Host:
    """One namespace with an address; processes and sockets made `inside()` it belong to it."""

    def __init__(self, namespace: str, address: str, port: str) -> None:
        """`port` is the name of its interface on the bridge's side."""
        self.namespace: Final = namespace
        self.address: Final = address
        self.port: Final = port
        self._file: Final = os.open(_NAMES / namespace, os.O_RDONLY)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Processes and sockets that this thread makes meanwhile belong to this host."""
        home = os.open(_OWN, os.O_RDONLY)
        try:
            _enter(self._file)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def write_names(self, lines: str) -> None:
        """Let processes that `ip netns exec` starts here see `lines` in their /etc/hosts, also when they change."""
        folder = _SETTINGS / self.namespace
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{lines}")

    def close(self) -> None:
        """Let go of the namespace; it ends with its name and its last process."""
        os.close(self._file)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """A bridge and hosts, and the cuts and losses between them. Use as a context manager: it clears up."""

    def __init__(self, names: Iterable[str]) -> None:
        clear_away()
        self._stem: Final = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        self._switch: Final = f"{self._stem}-switch"
        self._addresses: Final = itertools.count(1)
        self._lock: Final = threading.Lock()
        self._dropped: dict[tuple[str, str], float] = {}  # (from, to) -> share of packets that are dropped
        self.hosts: Final[dict[str, Host]] = {}
        try:
            self._make_switch()
            for name in names:
                self.add(name)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def close(self) -> None:
        """End what runs on the hosts, and remove them."""
        for host in self.hosts.values():
            host.close()
        self.hosts.clear()
        for name in _ours(self._stem + "-"):
            _remove(name)

    def add(self, name: str) -> Host:
        """A further host."""
        number = next(self._addresses)
        host, port, address = f"{self._stem}-{name}{number}", f"port{number}", f"{_SUBNET}.{number}"
        _ip("netns", "add", host)
        _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host)
        _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        _ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", host, "link", "set", "eth0", "up")
        _ip("-n", host, "link", "set", "lo", "up")
        self.hosts[name] = Host(host, address, port)
        return self.hosts[name]

    def replace(self, name: str) -> Host:
        """A new host with another address, in place of that of the same name, which is removed."""
        self.remove(name)
        return self.add(name)

    def remove(self, name: str) -> None:
        """End what runs on a host, and remove it."""
        former = self.hosts.pop(name)
        former.close()
        _remove(former.namespace)

    def _make_switch(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")

    # ---- faults; each holds until it is healed

    def unplug(self, name: str) -> None:
        """Pull the cable of a host: nothing comes in or goes out, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self[name].port, "down")

    def plug(self, name: str) -> None:
        """Put the cable back."""
        _ip("-n", self._switch, "link", "set", self[name].port, "up")

    def cut(self, *pairs: tuple[str, str]) -> None:
        """Drop everything that goes from the first to the second of each pair; the other way stays open."""
        self.lose(1.0, *pairs)

    def part(self, *sides: Iterable[str]) -> None:
        """Drop everything between hosts of different sides, at once and both ways."""
        groups = [list(side) for side in sides]
        self.cut(*((a, b) for one in groups for two in groups if one is not two for a in one for b in two))

    def lose(self, share: float, *pairs: tuple[str, str]) -> None:
        """Drop this share (0 to 1) of the packets that go from the first to the second of each pair, at random."""
        with self._lock:
            self._dropped.update(dict.fromkeys(pairs, share))
            self._set_rules()

    def heal(self) -> None:
        """Undo all cuts and losses."""
        with self._lock:
            self._dropped.clear()
            self._set_rules()

    def _set_rules(self) -> None:
        """All rules in one transaction, so that no moment sees half of a partition."""
        rules = "\n".join(
            f"ether type ip ip saddr {self[a].address} ip daddr {self[b].address} {_chance(share)}drop"
            for (a, b), share in self._dropped.items()
            if share > 0
        )
        text = (
            "table bridge faults {\n}\ndelete table bridge faults\n"
            f"table bridge faults {{\nchain forward {{\ntype filter hook forward priority 0;\n{rules}\n}}\n}}\n"
        )
        run("ip", "netns", "exec", self._switch, "nft", "-f", "-", stdin=text)


def _chance(share: float) -> str:
    return "" if share >= 1 else f"numgen random mod 1000 < {round(1000 * share)} "


def _ours(stem: str) -> list[str]:
    return sorted(path.name for path in _NAMES.glob(stem + "*")) if _NAMES.exists() else []


def clear_away() -> None:
    """Remove namespaces, and what runs in them, whose maker is no more."""
    for name in _ours(PREFIX):
        maker = name.removeprefix(PREFIX).split("-")[0]
        if maker.isdigit() and not Path("/proc", maker).exists():
            _remove(name)


def _remove(name: str) -> None:
    """Kill the processes of a namespace and delete it; another janitor may have been here first."""
    with contextlib.suppress(subprocess.CalledProcessError):
        for pid in set(map(int, _ip("netns", "pids", name).split())) - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _ip("netns", "del", name)
    shutil.rmtree(_SETTINGS / name, ignore_errors=True)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that it clears up."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
