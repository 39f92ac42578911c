"""The node agent of a toy Kubernetes: each pod runs as a podman container, with its probes, hooks and grace period."""

from __future__ import annotations

import itertools
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.helm.containers import Container, Network
from tests.helm.probes import Inside, Probe, succeeds
from tests.helm.store import PODS, SERVICES, Key, Object, Store, now, selects
from tests.helm.volumes import Missing, Volumes, environment, expanded, names_of

LOOK_S: Final = 0.1
REFRESH_S: Final = 1.0  # how often mounted configuration is brought up to date; a kubelet takes up to a minute
BACK_OFF_S: Final = 1.0  # before a container is started again
GRACE_S: Final = 30
ENDED_WELL: Final = (0, 143)
_FIRST_ADDRESS: Final = 10  # of the network's; each start of a pod takes the next


@dataclass
class Stopped:
    """How one container of a pod was ended by Kubernetes."""

    pod: str
    told: float
    ended: float
    status: int
    grace_s: float
    failed: bool  # since a probe failed, and not since the pod was deleted

    @property
    def by_itself(self) -> bool:
        """Whether it ended in time and well."""
        return self.status in ENDED_WELL and self.ended - self.told <= self.grace_s


class Pod(threading.Thread):
    """One pod, from the creation of its object until that is removed."""

    def __init__(self, agent: Agent, given: Object, address: str, folder: Path) -> None:
        super().__init__(name=given["metadata"]["name"], daemon=True)
        self.address: Final = address
        self.container: Container | None = None
        self.restarts = 0
        self.ready_s: float | None = None  # from the start of its container until it was ready first
        self.failure: BaseException | None = None
        self._agent: Final = agent
        self._given: Final = given
        self._spec: Final[Object] = given["spec"]
        self._key: Final = Key(*PODS, given["metadata"]["namespace"], given["metadata"]["name"])
        self._uid: Final[str] = given["metadata"]["uid"]
        self._volumes: Final = Volumes(agent.store, given, folder)
        self._refreshed = 0.0

    def run(self) -> None:
        """Live."""
        try:
            if self._start():
                self._live()
            self._remove()
        except BaseException as failure:
            self.failure = failure

    def logs(self) -> str:
        """What its container has written."""
        return self.container.logs() if self.container else ""

    # ---- the beginning

    def _start(self) -> bool:
        """Whether it came so far before it was deleted."""
        while not self._deleted():
            try:
                self._volumes.make()
                variables = environment(self._agent.store, self._given, self._main, self.address)
            except Missing as reason:
                self._report("Pending", ready=False, reason=str(reason))
                time.sleep(LOOK_S)
                continue
            for container in self._spec.get("initContainers", []):
                self._initialize(container)
            self.container = self._run_container(self._main, variables, self._key.name)
            return True
        return False

    def _initialize(self, container: Object) -> None:
        variables = environment(self._agent.store, self._given, container, self.address)
        made = self._run_container(container, variables, f"{self._key.name}-{container['name']}")
        status = made.wait()
        assert status == 0, f"{made.name} ended with {status}:\n{made.logs()}"
        made.remove()

    @property
    def _main(self) -> Object:
        main, *others = self._spec["containers"]
        assert not others, "this toy runs one container in a pod"
        result: Object = main
        return result

    def _run_container(self, container: Object, variables: dict[str, str], name: str) -> Container:
        command = [expanded(part, variables) for part in container.get("command", [])]
        arguments = [expanded(part, variables) for part in container.get("args", [])]
        services = self._agent.store.list(*SERVICES)
        chosen = [service for service in services if selects(service["spec"].get("selector"), self._given)]
        entry = ["--entrypoint", json.dumps(command)] if command else []
        return self._agent.network.run(
            *(name, container["image"], *self._security(container), *_resources(container), *entry),
            *("--ip", self.address, *self._volumes.options(container)),
            *(part for pair in variables.items() for part in ("--env", "=".join(pair))),
            aliases=list(names_of(self._given, chosen)),
            command=arguments,
        )

    def _security(self, container: Object) -> list[str]:
        context = {**self._spec.get("securityContext", {}), **container.get("securityContext", {})}
        options = []
        if "runAsUser" in context:
            options += ["--user", f"{context['runAsUser']}:{context.get('runAsGroup', 0)}"]
        for group in (context.get("fsGroup"), *context.get("supplementalGroups", [])):
            options += ["--group-add", str(group)] if group is not None else []
        if context.get("readOnlyRootFilesystem"):
            options += ["--read-only", "--read-only-tmpfs=false"]
        if context.get("allowPrivilegeEscalation") is False:
            options += ["--security-opt", "no-new-privileges"]
        return options + [f"--cap-drop={name}" for name in context.get("capabilities", {}).get("drop", [])]

    # ---- the middle

    def _live(self) -> None:
        assert self.container is not None
        began = time.monotonic()
        probes = dict(self._probes(self.container))
        while not self._deleted():
            if self._agent.states.get(self.container.name) == "exited" and not self.container.state()["Running"]:
                if not self._ended():
                    return self._wait_until_deleted()
                probes = dict(self._probes(self.container))
            started = self._ask(probes)
            if any(probes[name].failed for name in ("startupProbe", "livenessProbe") if name in probes):
                self._kill_failed()
                probes = dict(self._probes(self.container))
                started = False
            ready = "readinessProbe" not in probes or probes["readinessProbe"].passes
            if started and ready and self.ready_s is None:
                self.ready_s = time.monotonic() - began
            self._report("Running", ready=started and ready)
            if time.monotonic() - self._refreshed > REFRESH_S:
                self._refreshed = time.monotonic()
                self._volumes.refresh()
            time.sleep(LOOK_S)

    def _probes(self, container: Container) -> Iterator[tuple[str, Probe]]:
        ports = {port["name"]: port["containerPort"] for port in self._main.get("ports", []) if "name" in port}
        inside = Inside(container, self.address, ports)
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            if name in self._main:
                yield name, Probe(self._main[name], inside, passes=name == "livenessProbe")

    def _ask(self, probes: dict[str, Probe]) -> bool:
        """Ask those whose turn it is; whether the container has started by its own word."""
        startup = probes.get("startupProbe")
        if startup is not None and not startup.passes:
            startup.ask()
            return False
        for name in ("livenessProbe", "readinessProbe"):
            if name in probes:
                probes[name].ask()
        return True

    def _ended(self) -> bool:
        """The container ended by itself: start it again, if it is to run always; else tell how it ended."""
        assert self.container is not None
        status = self.container.state()["ExitCode"]
        policy = self._spec.get("restartPolicy", "Always")
        if policy == "Always" or (policy == "OnFailure" and status):
            self._report("Running", ready=False, reason=f"ended with {status}")
            time.sleep(BACK_OFF_S)
            self._again()
            return True
        self._report("Failed" if status else "Succeeded", ready=False, status=status)
        return False

    def _again(self) -> None:
        assert self.container is not None
        self.restarts += 1
        self.container.start()
        self._agent.states.pop(self.container.name, None)

    def _wait_until_deleted(self) -> None:
        while not self._deleted():
            time.sleep(LOOK_S)

    # ---- the end

    @property
    def _grace_s(self) -> float:
        found = self._agent.store.get(self._key)
        grace: float = self._spec.get("terminationGracePeriodSeconds", GRACE_S)
        if found is not None:
            grace = found["metadata"].get("deletionGracePeriodSeconds", grace)
        return grace

    def _deleted(self) -> bool:
        found = self._agent.store.get(self._key)
        return found is None or found["metadata"]["uid"] != self._uid or "deletionTimestamp" in found["metadata"]

    def _kill_failed(self) -> None:
        """A probe says that the container is lost: end it, however it takes that, and start it again."""
        own = self._main.get("livenessProbe", {}).get("terminationGracePeriodSeconds", self._grace_s)
        self._report("Running", ready=False, reason="a probe failed")
        self._end_container(own, failed=True)
        self._again()

    def _end_container(self, grace_s: float, *, failed: bool = False) -> None:
        """The hook, then SIGTERM, then SIGKILL when the grace is over."""
        assert self.container is not None
        told = time.monotonic()
        hook = self._main.get("lifecycle", {}).get("preStop")
        if self.container.state()["Running"]:
            if hook:
                succeeds(hook, Inside(self.container, self.address, {}), grace_s)
            left_s = max(2, round(grace_s - (time.monotonic() - told)))
            status = self.container.stop(left_s)
            ended = Stopped(self._key.name, told, time.monotonic(), status, grace_s, failed)
            self._agent.stopped.append(ended)

    def _remove(self) -> None:
        if self.container is not None:
            self._end_container(self._grace_s)
            self._agent.keep_log(self._key.name, self.container.logs())
            self.container.remove()
        self._volumes.remove()
        self._agent.store.delete(self._key)

    # ---- what others see

    def _report(self, phase: str, *, ready: bool, reason: str = "", status: int | None = None) -> None:
        main = self._main["name"]
        told = {"type": "Ready", "status": str(ready), "lastTransitionTime": now()}
        ended = {"terminated": {"exitCode": status, "reason": "Completed" if status == 0 else "Error"}}
        state = {"running": {}} if status is None else ended
        self._agent.store.update(
            self._key,
            lambda found: _set_status(
                found,
                {
                    "phase": phase,
                    "podIP": self.address,
                    "reason": reason,
                    "conditions": [told, {**told, "type": "ContainersReady"}],
                    "containerStatuses": [
                        {"name": main, "ready": ready, "restartCount": self.restarts, "state": state}
                    ],
                },
            ),
        )


def _set_status(found: Object, status: Object) -> None:
    """Set it, unless nothing but the times would change."""

    def essence(given: Object) -> str:
        bare = [{**each, "lastTransitionTime": ""} for each in given.get("conditions", [])]
        return json.dumps({**given, "conditions": bare}, sort_keys=True)

    if essence(found.get("status", {})) != essence(status):
        found["status"] = status


def _resources(container: Object) -> list[str]:
    limits = container.get("resources", {}).get("limits", {})
    memory = [f"--memory={limits['memory'].replace('Mi', 'm').replace('Gi', 'g')}"] if "memory" in limits else []
    return memory


class Agent:
    """Runs every pod of a store on a network. Use as a context manager."""

    def __init__(self, store: Store, network: Network) -> None:
        self.store: Final = store
        self.network: Final = network
        self.pods: Final[dict[str, Pod]] = {}  # by uid
        self.stopped: Final[list[Stopped]] = []
        self.states: Final[dict[str, str]] = {}  # of containers, as podman told last
        self._logs: Final[list[tuple[str, str]]] = []  # (pod, log) of those that are no more
        self._addresses: Final = itertools.count(_FIRST_ADDRESS)
        self._folder: Final = tempfile.TemporaryDirectory()
        self._ending: Final = threading.Event()
        self._threads: Final = [threading.Thread(target=work, daemon=True) for work in (self._run, self._look)]

    def __enter__(self) -> Agent:
        Path(self._folder.name).chmod(0o755)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()

    def pod(self, name: str) -> Pod:
        """The newest pod of this name."""
        return [pod for pod in self.pods.values() if pod.name == name][-1]

    def keep_log(self, pod: str, log: str) -> None:
        """Remember what a pod has written that is no more."""
        self._logs.append((pod, log))

    def all_logs(self) -> list[tuple[str, str]]:
        """What all pods have ever written."""
        living = [(pod.name, pod.logs()) for pod in self.pods.values() if pod.is_alive()]
        return self._logs + living

    def check(self) -> None:
        """Raise what went wrong in a pod's thread."""
        for pod in self.pods.values():
            if pod.failure:
                raise pod.failure

    def _run(self) -> None:
        while not self._ending.wait(LOOK_S):
            for given in self.store.list(*PODS):
                uid = given["metadata"]["uid"]
                if uid not in self.pods:
                    folder = Path(self._folder.name) / uid
                    self.pods[uid] = Pod(self, given, self.network.address(next(self._addresses)), folder)
                    self.pods[uid].start()

    def _look(self) -> None:
        """Which containers run: one question for all of them."""
        while not self._ending.wait(0.5):
            told = json.loads(self.network.podman("ps", "--all", "--format", "json", check=False) or "[]")
            self.states.update({name: each["State"] for each in told for name in each["Names"]})
