"""The chart, really installed in a toy Kubernetes, and everything that happens to a release in its life.

    python -m tests.helm.install [--short] [--earlier COMMIT]

Helm installs, upgrades, rolls back and uninstalls; a pod is deleted, another one hangs, a third is cut off; observers
come and go. Meanwhile clients work through the Service; what must hold for them is in `load.py`. Needs root, podman and
what `make container-tools` installs.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from tests.helm.balancer import Balancer
from tests.helm.charts import RELEASE
from tests.helm.containers import alone
from tests.helm.images import build
from tests.helm.kube import Kubernetes
from tests.helm.load import Crowd, Step
from tests.helm.release import Release
from tests.support.nodes import error_lines, eventually
from tests.support.wampclient import ConnectionEndedError

FULL: Final = f"{RELEASE}-wampha"
VOTERS: Final = tuple(f"{FULL}-{ordinal}" for ordinal in range(3))
QUORUM: Final = 2
CLIENTS: Final = 12
WAIT_S: Final = 150.0
SETTLE_S: Final = 2.0  # load between two steps
CUT_S: Final = 10.0
_LOOK_S: Final = 0.1
_SECOND: Final = "0.1.1"  # what the second image says that it is
_ERROR: Final = re.compile(r'"level": "(error|critical)"')
# What a node may log when others vanish without a word.
_EXPECTED: Final = ("is declared dead", "Connection refused")


def values_for(image: str, drain_s: float = 3.0) -> dict[str, Any]:
    """Values of the chart: the image, and a drain that does not take long."""
    repository, tag = image.rsplit(":", 1)
    drain = {"spread_s": drain_s, "answer_s": 1, "deadline_s": 20}
    return {
        "image": {"repository": repository, "tag": tag},
        "minReadySeconds": 2,
        "config": {"node": {"drain": drain}},
    }


class Life:
    """One release and what is done to it; `steps` and `problems` are the outcome."""

    def __init__(self, kubernetes: Kubernetes, release: Release, tell: Callable[[str], None]) -> None:
        self.steps: Final[list[Step]] = []
        self.problems: Final[list[str]] = []
        self._kubernetes: Final = kubernetes
        self._release: Final = release
        self._tell: Final = tell
        self._crowd: Crowd
        self._service: Balancer
        self._values: dict[str, Any] = {}

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Clients work meanwhile; at the end it is judged what they saw."""
        self._service = self._kubernetes.service(FULL, "wamp")
        self._crowd = Crowd(self._service, CLIENTS)
        with self._crowd.running():
            eventually(self._crowd.settled, WAIT_S, "all clients are there")
            yield
            time.sleep(SETTLE_S)
        stopped = self._kubernetes.agent.stopped
        self.problems += self._crowd.problems(self.steps, stopped)
        for line in self._crowd.report():
            self._tell(line)

    @contextmanager
    def step(self, name: str, *, loaded: bool = True) -> Iterator[Step]:
        """One thing that is done, with a look at the voters all the while."""
        step = Step(name, time.monotonic(), ready_min=len(VOTERS))
        self.steps.append(step)
        over = threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_S):
                step.ready_min = min(step.ready_min, len(self._kubernetes.ready() & set(VOTERS)))

        looking = threading.Thread(target=look)
        if loaded:
            looking.start()
        try:
            yield step
        finally:
            step.end = time.monotonic()
            over.set()
            if loaded:
                looking.join()
        if loaded:
            time.sleep(SETTLE_S)
            eventually(self._crowd.settled, WAIT_S, "all clients are there again")
            step.end = time.monotonic()
        self._judge(step, loaded)

    def _judge(self, step: Step, loaded: bool) -> None:
        seconds = ", ".join(f"{what} {value:.1f} s" for what, value in step.seconds.items())
        moves = f"; interruptions per client: {sorted(self._crowd.moves(step))}" if loaded else ""
        ready = f"; voters ready: at least {step.ready_min}" if loaded else ""
        self._tell(f"{step.name}: {seconds}{ready}{moves}")
        if loaded and step.ready_min < QUORUM:
            self.problems.append(f"{step.name}: only {step.ready_min} voters were ready")
        for stop in self._kubernetes.agent.stopped:
            if step.begin <= stop.told and not stop.by_itself and stop.pod not in step.hurt:
                took = stop.ended - stop.told
                self.problems.append(f"{step.name}: {stop.pod} ended with {stop.status} after {took:.1f} s")
        self._kubernetes.agent.check()

    def _timed(self, step: Step, what: str, work: Callable[[], Any]) -> None:
        began = time.monotonic()
        work()
        step.seconds[what] = time.monotonic() - began

    def _until(self, step: Step, what: str, holds: Callable[[], Any]) -> None:
        self._timed(step, what, lambda: eventually(holds, WAIT_S, f"{step.name}: {what}", self.logs))

    def _whole(self) -> None:
        eventually(lambda: self._kubernetes.ready() >= set(VOTERS), WAIT_S, "all voters are ready", self.logs)

    def logs(self) -> str:
        """The end of what each pod has written."""
        return "\n".join(f"---- {name}\n{log[-3000:]}" for name, log in self._kubernetes.agent.all_logs())

    # ---- what is done

    def install(self, values: dict[str, Any]) -> None:
        """`helm install`."""
        self._values = values
        with self.step("install", loaded=False) as step:
            self._timed(step, "ready", lambda: self._release.install(values))

    def test(self) -> None:
        """`helm test`."""
        with self.step("helm test", loaded=False) as step:
            self._timed(step, "done", self._release.test)

    def upgrade(self, image: str, name: str = "upgrade to a second image") -> None:
        """`helm upgrade` to another image: every pod is replaced, one after the other."""
        self._values = {**self._values, "image": values_for(image)["image"]}
        before = len(self._kubernetes.agent.stopped)
        with self.step(name) as step:
            self._timed(step, "done", lambda: self._release.upgrade(self._values))
        self._all_run(image)
        self._replaced(name, before, len(VOTERS))

    def change_configuration(self) -> None:
        """`helm upgrade` with one more realm: clients can join it."""
        self._values = copy.deepcopy(self._values)
        everything = {"call": True, "register": True, "publish": True, "subscribe": True}
        roles = [{"name": "anonymous", "permissions": [{"uri": "*", "allow": everything}]}]
        self._values["config"]["realms"] = [{"name": name, "roles": roles} for name in ("realm1", "realm2")]
        before = len(self._kubernetes.agent.stopped)
        with self.step("a realm is added") as step:
            self._timed(step, "done", lambda: self._release.upgrade(self._values))
            self._until(step, "joined", self._joins("realm2"))
        self._tell(f"  pods that were replaced for it: {len(self._kubernetes.agent.stopped) - before}")

    def _joins(self, realm: str) -> Callable[[], bool]:
        def attempt() -> bool:
            try:
                self._service.session(realm=realm).leave()
            except (OSError, ConnectionEndedError):
                return False
            return True

        return attempt

    def delete_leader(self) -> None:
        """The leader's pod is deleted."""
        leader = self.leader()
        with self.step("the leader's pod is deleted") as step:
            uid = self._uid(leader)
            self._kubernetes.delete_pod(leader)
            self._timed(
                step, "replaced", lambda: eventually(lambda: self._uid(leader) not in ("", uid), WAIT_S, "a new pod")
            )
            self._timed(step, "ready", self._whole)

    def hang(self) -> None:
        """A pod's process stands still until its liveness probe has it killed."""
        name = max(set(VOTERS) - {self.leader()}, key=self._crowd.clients_at)
        pod = self._kubernetes.running(name)
        assert pod.container is not None
        with self.step("a pod hangs") as step:
            step.hurt[name] = time.monotonic()
            pod.container.kill("STOP")
            self._timed(
                step, "noticed", lambda: eventually(lambda: name not in self._kubernetes.ready(), WAIT_S, "noticed")
            )
            self._timed(step, "started again", lambda: eventually(lambda: pod.restarts, WAIT_S, "a restart"))
            self._timed(step, "ready", self._whole)

    def part(self) -> None:
        """The leader is cut off from the other pods, and comes back."""
        name = self.leader()
        with self.step("the leader is cut off for a while") as step:
            step.hurt[name] = time.monotonic()
            self._kubernetes.part(self._kubernetes.running(name).address)
            self._timed(
                step, "noticed", lambda: eventually(lambda: name not in self._kubernetes.ready(), WAIT_S, "noticed")
            )
            time.sleep(CUT_S)
            self._kubernetes.heal()
            self._timed(step, "ready", self._whole)

    def scale_observers(self) -> None:
        """Observers: none, two, none."""
        before = len(self._kubernetes.agent.stopped)
        with self.step("two observers come") as step:
            self._timed(step, "done", lambda: self._release.upgrade({**self._values, "observers": {"replicas": 2}}))
        with self.step("two observers go") as step:
            self._timed(step, "done", lambda: self._release.upgrade(self._values))
            gone = {*VOTERS}
            eventually(lambda: {pod["metadata"]["name"] for pod in self._kubernetes.pods()} == gone, WAIT_S, "they go")
        self._replaced("observers come and go", before, 2)

    def rollback(self, image: str) -> None:
        """`helm rollback` to the first revision."""
        before = len(self._kubernetes.agent.stopped)
        with self.step("rollback") as step:
            self._timed(step, "done", lambda: self._release.rollback(1))
        self._all_run(image)
        self._replaced("rollback", before, len(VOTERS))

    def uninstall(self) -> None:
        """`helm uninstall`."""
        with self.step("uninstall", loaded=False) as step:
            self._timed(step, "done", self._release.uninstall)

    # ---- what is seen

    def leader(self) -> str:
        """Who leads, by what a node says."""

        def named() -> Any:
            return self._kubernetes.status(VOTERS[0]).get("leader")

        found: str = eventually(named, WAIT_S, "a leader")
        return found

    def measure(self) -> None:
        """Tell how soon the voters were ready, and what memory their processes have."""
        pods = [self._kubernetes.running(name) for name in VOTERS]
        ready = max(pod.ready_s or 0.0 for pod in pods)
        memory = max(pod.container.resident_bytes() for pod in pods if pod.container) / 1e6
        self._tell(f"  from a container's start until it is ready: {ready:.1f} s; memory of a node: {memory:.0f} MB")

    def check_logs(self) -> None:
        """No pod has written an error that nobody caused."""
        for name, log in self._kubernetes.agent.all_logs():
            errors = [*error_lines(log), *(line for line in log.splitlines() if _ERROR.search(line))]
            bad = [line for line in errors if not any(each in line for each in _EXPECTED)]
            self.problems += [f"{name} logged {line}" for line in bad]

    def _uid(self, name: str) -> str:
        return next((pod["metadata"]["uid"] for pod in self._kubernetes.pods() if pod["metadata"]["name"] == name), "")

    def _all_run(self, image: str) -> None:
        images = {pod["spec"]["containers"][0]["image"] for pod in self._kubernetes.pods()}
        if images != {image}:
            self.problems.append(f"pods run {images} and not {image}")

    def _replaced(self, what: str, before: int, wanted: int) -> None:
        count = len(self._kubernetes.agent.stopped) - before
        if count != wanted:
            self.problems.append(f"{what}: {count} pods were stopped and not {wanted}")


def live(life: Life, first: str, second: str, *, short: bool) -> None:
    """The whole life of a release, or a short one."""
    life.install(values_for(first))
    life.measure()
    life.test()
    with life.under_load():
        life.upgrade(second)
        life.delete_leader()
        if not short:
            life.change_configuration()
            life.part()
            life.scale_observers()
            life.hang()
        life.rollback(first)
    life.check_logs()
    life.uninstall()
    if not short:
        life.install(values_for(first))
        life.test()
        life.uninstall()


def run(*, short: bool, earlier: str | None, tell: Callable[[str], None]) -> list[str]:
    """Build the images, live, and give what was wrong."""
    second = build()
    first = build(revision=earlier) if earlier else build(version=_SECOND)
    with ExitStack() as stack:
        kubernetes = stack.enter_context(Kubernetes())
        life = Life(kubernetes, stack.enter_context(Release(kubernetes)), tell)
        try:
            live(life, first, second, short=short)
        except BaseException:
            tell(life.logs())
            raise
        return life.problems


def main() -> int:
    """Print what happens; the status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="only what CI does")
    parser.add_argument("--earlier", help="a commit from whose image the upgrade begins, and to which it goes back")
    given = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} {line}", flush=True)

    with alone():
        problems = run(short=given.short, earlier=given.earlier, tell=tell)
    for problem in problems[:60]:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
