"""A cluster whose nodes run on hosts of their own: real `twistd` processes in network namespaces."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.chaos.namespaces import Host, Network
from tests.chaos.proxy import Proxy
from tests.support.nodes import (
    ALL_RIGHTS,
    REALM,
    SECRET,
    NodeProcess,
    Nodes,
    eventually,
)
from tests.support.wampclient import Session

CLIENT_PORT: Final = 8080
PEER_PORT: Final = 8071
DOMAIN: Final = "chaos.test"
VOTES_S: Final = 15.0  # a restarted voter votes again after little more than a second
EQUAL_LOOK_S: Final = 0.1
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class HostNode(NodeProcess):
    """A node on a host. Its `session`s come from the same host: they do not notice what happens to the network."""

    def __init__(self, folder: Path, name: str, host: Host, settings: dict[str, Any]) -> None:
        super().__init__(folder, name, CLIENT_PORT, settings)
        self.host: Final = host

    def launch(self) -> HostNode:
        """Start the process on its host and return at once."""
        with self.host.inside():
            super().launch()
        return self

    def session(self, transport: str = "rawsocket", serializer: str = "json", realm: str = REALM) -> Session:
        """A new session on this node, from its own host."""
        with self.host.inside():
            return super().session(transport, serializer, realm)

    def votes(self) -> int:
        """How often this node's log says that it votes, as a founder or again after a restart."""
        log = self.log()
        return log.count("votes again") + log.count("is a founding member")

    def resident_bytes(self) -> int:
        """Memory that the process holds now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4096

    def descriptors(self) -> int:
        """Files and sockets that the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


class HostCluster(Nodes[HostNode]):
    """Voters and observers, each on a host of its own. Use as a context manager: it ends them and checks their logs."""

    def __init__(
        self,
        folder: Path,
        voters: str = "abc",
        observers: str = "",
        *,
        certificates: bool = False,
        proxy: Proxy | None = None,
        named: bool = False,
        limits: Mapping[str, Any] = _NOTHING,
        clients: str = "clients",
    ) -> None:
        """A letter is a node's name. `certificates` gives each a run directory; with a `proxy`, voters dial through it.

        With `named`, nodes know each other by host names, which `move` gives to another host. `clients` is a host
        without a node.
        """
        self.folder: Final = folder
        self.voters: Final = tuple(voters)
        self._limits: Final = limits
        self._certificates: Final = certificates
        self._proxy: Final = proxy
        self._names: Final[dict[str, str]] | None = {} if named else None  # node -> address
        self.network: Final = Network([*voters, *observers, clients])
        self.clients: Final = self.network[clients]
        self.nodes = {name: self._node(name) for name in (*voters, *observers)}
        self._write_names()

    def __enter__(self) -> HostCluster:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.network.heal()
            self.end()
        finally:
            self.network.close()
        if kind is None:
            self.check_logs()

    def address(self, name: str) -> str:
        """Where other nodes reach this one."""
        if self._names is not None:
            return f"{name}.{DOMAIN}:{PEER_PORT}"
        return f"{self.network[name].address}:{PEER_PORT}"

    def cluster_settings(self, name: str) -> dict[str, Any]:
        """The section `cluster` of one node."""
        return {
            "name": "chaos",
            "listen": f"tcp:{PEER_PORT}",
            "advertise": self.address(name),
            "secret": SECRET,
            "voters": [{"name": voter, "address": self._dialled(name, voter)} for voter in self.voters],
        }

    def _dialled(self, name: str, peer: str) -> str:
        """Where a node dials a voter; of two voters the one with the larger name dials."""
        if self._proxy is None or peer >= name:
            return self.address(peer)
        line = self._proxy.add((name, peer), self.network[name], (self.network[peer].address, PEER_PORT))
        return f"127.0.0.1:{line.port}"

    def _node(self, name: str) -> HostNode:
        settings = {
            "realms": [{"name": REALM, "roles": [ALL_RIGHTS]}],
            "listeners": [{"endpoint": f"tcp:{CLIENT_PORT}", "auth": {"anonymous": {"role": ALL_RIGHTS["name"]}}}],
            "cluster": self.cluster_settings(name),
            "limits": dict(self._limits),
        }
        node = HostNode(self.folder, name, self.network[name], settings)
        if self._certificates:
            run_dir = self.folder / f"{name}.run"
            run_dir.mkdir(exist_ok=True)
            node.settings["node"]["run_dir"] = str(run_dir)
        return node

    def observer(self, name: str) -> HostNode:
        """One more node that is no voter, on a new host; not started."""
        self.network.add(name)
        self.nodes[name] = self._node(name)
        self._write_names()
        return self.nodes[name]

    def move(self, name: str) -> HostNode:
        """The same node on a new host with another address, which its host name now has; not started.

        The former one must have ended. Clients of the cluster find it under the same name in `nodes`.
        """
        self.network.replace(name)
        self.nodes[name] = self._node(name)
        self._write_names()
        return self.nodes[name]

    def remove(self, name: str) -> None:
        """Forget a node that has ended, and its host."""
        self.nodes.pop(name).check_log()
        self.network.remove(name)

    def _write_names(self) -> None:
        """Tell all hosts who has which address, in the file that their processes see as /etc/hosts."""
        if self._names is None:
            return
        lines = "".join(f"{self.network[name].address} {name}.{DOMAIN}\n" for name in self.nodes)
        for name, node in self.nodes.items():
            self.network[name].write_names(lines)
            node.prefix[:] = ["ip", "netns", "exec", self.network[name].namespace]

    def others(self, *nodes: HostNode) -> list[HostNode]:
        """The nodes but for these."""
        return [node for node in self if node not in nodes]

    def leader(self) -> HostNode:
        """The node that says itself that it leads; of several (a cut-off one need not know) that of the latest term."""

        def found() -> list[tuple[int, str]]:
            said = [node.status() for node in self if node.running()]
            return [(status["term"], status["name"]) for status in said if status["leading"]]

        return self.nodes[max(eventually(found, VOTES_S, "a leader"))[1]]

    def follower(self) -> HostNode:
        """A voter that does not lead."""
        leader = self.leader()
        return next(self.nodes[name] for name in self.voters if name != leader.name)

    def wait_until_whole(self) -> None:
        """Return when every node serves and every voter votes: then one more may fail."""

        def whole() -> bool:
            said = [node.status() for node in self]
            return all(
                status["serving"] and not (status["role"] == "voter" and status["recovering"]) for status in said
            )

        eventually(whole, VOTES_S, "every node serves and every voter votes")

    def restart(self, node: HostNode) -> None:
        """Start a node that has ended, and return when the cluster is whole again."""
        node.launch().wait_until_serving()
        self.wait_until_whole()

    def wait_until_equal(self, within_s: float) -> None:
        """Return when all nodes have equal tables at the same index."""
        seen: list[tuple[Any, ...]] = []

        def equal() -> bool:
            seen[:] = [(s["name"], s["applied"], s["digest"], s["routes"]) for s in (node.status() for node in self)]
            return len({(applied, digest) for _, applied, digest, _ in seen}) == 1

        eventually(equal, within_s, "equal tables", lambda: str(seen))

    def end(self) -> None:
        """End all processes, paused ones too, and those that do not want to."""
        for node in self:
            node.ask_to_end()
        for node in self:
            with contextlib.suppress(AssertionError):
                node.wait_for_end()


class Watch:
    """Notes when a log says something, to the hundredth of a second."""

    def __init__(self, node: HostNode, says: Callable[[str], bool]) -> None:
        """Watch what `node` logs from now on, until a line for which `says` is true."""
        self.at: float | None = None
        self._node, self._says = node, says
        self._start = len(node.log())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> float | None:
        """When it was said, by `time.monotonic()`; None if it was not."""
        self._ended.set()
        self._thread.join()
        return self.at

    def _watch(self) -> None:
        import time

        while not self._ended.wait(0.01):
            if any(map(self._says, self._node.log()[self._start :].splitlines())):
                self.at = time.monotonic()
                return
