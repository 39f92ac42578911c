"""A toy Kubernetes on this machine: API server, StatefulSets, a node agent with podman, and Services for clients.

What it does not prove: admission and defaults of a real API server, scheduling, network plugins and policies, load
balancers of clouds.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, Self

from tests.chaos.namespaces import run
from tests.helm.agent import Agent, Pod
from tests.helm.apiserver import ApiServer
from tests.helm.balancer import Balancer, Target
from tests.helm.containers import Network
from tests.helm.store import PODS, SERVICES, STATEFUL_SETS, Key, Object, Store, is_ready, selects
from tests.helm.workloads import StatefulSets

NAMESPACE: Final = "test"
MONITORING_PORT: Final = 9180
ANSWER_S: Final = 5.0
LAG_S: Final = 0.5  # how long new connections still go to a pod that was told to end: rules take time to spread


class Kubernetes:
    """Use as a context manager: it ends whatever runs."""

    def __init__(self) -> None:
        self.store: Final = Store()
        self._stack: Final = ExitStack()
        self.network: Network
        self.agent: Agent
        self.url: str
        self._told_to_end: Final[dict[str, float]] = {}  # uid of a pod -> when that was first seen

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.network = stack.enter_context(Network())
            self.agent = stack.enter_context(Agent(self.store, self.network))
            stack.enter_context(StatefulSets(self.store))
            self.url = stack.enter_context(ApiServer(self.store, lambda _, name: self.agent.pod(name).logs())).url
            self._stack.push(stack.pop_all())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ---- what there is

    def pods(self, **labels: str) -> list[Object]:
        """The pods with these labels (`_` and `__` stand for `-` and `/`), by name."""
        wanted = {name.replace("__", "/").replace("_", "-"): value for name, value in labels.items()}
        return [pod for pod in self.store.list(*PODS) if not wanted or selects(wanted, pod)]

    def ready(self) -> set[str]:
        """The names of the pods that are ready and stay."""
        return {name_of(pod) for pod in self.pods() if is_ready(pod) and not ends(pod)}

    def running(self, name: str) -> Pod:
        """A pod as the agent runs it."""
        return self.agent.pod(name)

    def service(self, name: str, port: str) -> Balancer:
        """A port of this machine that leads to a port of a Service; it ends with this cluster."""
        return self._stack.enter_context(Balancer(self.network.host, lambda: self._targets(name, port)))

    def _targets(self, name: str, port: str) -> Sequence[Target]:
        service = self.store.get(Key(*SERVICES, NAMESPACE, name))
        if service is None:
            return []
        (wanted,) = [each for each in service["spec"]["ports"] if each["name"] == port]
        to = wanted.get("targetPort", wanted["port"])
        chosen = [pod for pod in self.store.list(*PODS) if selects(service["spec"]["selector"], pod)]
        return [
            Target(name_of(pod), pod["status"]["podIP"], to if isinstance(to, int) else _port(pod, to))
            for pod in chosen
            if pod["status"].get("podIP") and self._takes_connections(pod)
        ]

    def _takes_connections(self, pod: Object) -> bool:
        if not ends(pod):
            return is_ready(pod)
        since = self._told_to_end.setdefault(pod["metadata"]["uid"], time.monotonic())
        return is_ready(pod) and time.monotonic() - since < LAG_S

    def status(self, name: str) -> dict[str, Any]:
        """What a node tells of itself and the others at its monitoring port."""
        pod = self.running(name)
        assert pod.container is not None
        connection = http.client.HTTPConnection(pod.address)
        connection.sock = pod.container.reach(pod.address, MONITORING_PORT, ANSWER_S)
        with contextlib.closing(connection):
            connection.request("GET", "/status")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            return found

    # ---- what is done to it

    def delete_pod(self, name: str) -> None:
        """As `kubectl delete pod` without waiting."""
        assert self.store.delete(Key(*PODS, NAMESPACE, name), graceful=True), name

    def scale(self, name: str, replicas: int) -> None:
        """What an autoscaler does to a StatefulSet."""
        key = Key(*STATEFUL_SETS, NAMESPACE, name)
        assert self.store.update(key, lambda found: found["spec"].update(replicas=replicas)), name

    def part(self, address: str) -> None:
        """From now on nothing passes between a pod and other pods; the node's own probes still reach it."""
        rules = "\n".join(f"ip {way} {address} drop" for way in ("saddr", "daddr"))
        text = f"table bridge parted {{\nchain forward {{\ntype filter hook forward priority 0;\n{rules}\n}}\n}}\n"
        run("ip", "netns", "exec", self.network.name, "nft", "-f", "-", stdin=text)

    def heal(self) -> None:
        """Undo that."""
        run("ip", "netns", "exec", self.network.name, "nft", "delete", "table", "bridge", "parted")


def name_of(about: Object) -> str:
    """The name of an object."""
    name: str = about["metadata"]["name"]
    return name


def ends(pod: Object) -> bool:
    """Whether it was told to end."""
    return "deletionTimestamp" in pod["metadata"]


def _port(pod: Object, name: str) -> int:
    ports: list[dict[str, Any]] = [port for each in pod["spec"]["containers"] for port in each.get("ports", [])]
    (found,) = [port["containerPort"] for port in ports if port.get("name") == name]
    result: int = found
    return result
