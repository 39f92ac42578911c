"""The rounds: which router runs which case when, and what comes of it."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import load
from bench.cases import CLUSTER, FRESH, SHARED, Case
from bench.errors import BenchError
from bench.load import Reading
from bench.process import Launch, RouterProcess
from bench.routers import Router, Wampha

CLUSTER_NODES = 3
# What a router still does after its first session (late imports, log lines) is not idle.
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure and how long. Times are in seconds."""

    cases: Sequence[Case]
    transports: Sequence[str]
    routers: Sequence[Router]
    rounds: int
    warmup_s: float
    seconds: float
    session_count: int
    program: Path
    runs: Path
    router_cpu: int | None
    load_cpu: int | None

    def among(self, group: Sequence[Case]) -> list[Case]:
        """Return the cases of a group that are to be measured."""
        return [case for case in group if case in self.cases]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One reading and what it belongs to."""

    round: int
    router: str
    case: str
    transport: str
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSample:
    """A single node that was started: time to its first session, and memory with none, of all its processes."""

    round: int
    router: str
    start_s: float
    idle_rss_kib: int


@dataclass(slots=True)
class Results:
    """All that was measured."""

    samples: list[Sample] = field(default_factory=list)
    nodes: list[NodeSample] = field(default_factory=list)


def pinning() -> tuple[int | None, int | None]:
    """Choose the processors of router and load: the first two we may use; no pinning when there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


class Bench:
    """Carries out a plan; `results` fills while it runs, so that an interrupted run has something to show."""

    def __init__(self, plan: Plan) -> None:
        self.results = Results()
        self._plan = plan
        self._round = 0
        self._launches = 0

    def run(self) -> None:
        """Measure everything, round after round.

        Raises BenchError when a router does not start. A case that fails is a result like any other, with its faults.
        """
        for number in range(1, self._plan.rounds + 1):
            self._round = number
            self._measure_fresh()
            self._measure_shared()
            self._measure_cluster()

    def _measure_fresh(self) -> None:
        for case in self._plan.among(FRESH):
            sized = replace(case, options={**case.options, "sessions": self._plan.session_count})
            for transport in self._plan.transports:
                for router in self._plan.routers:
                    with ExitStack() as stack:
                        self._measure(sized, transport, [self._start(stack, router)])

    def _measure_shared(self) -> None:
        cases = self._plan.among(SHARED)
        if not cases:
            return
        with ExitStack() as stack:
            nodes = [self._start(stack, router) for router in self._plan.routers]
            for case, transport in self._each(cases):
                for node in nodes:
                    self._measure(case, transport, [node])

    def _measure_cluster(self) -> None:
        cases = self._plan.among(CLUSTER)
        for router in self._plan.routers:
            if cases and isinstance(router, Wampha):
                with ExitStack() as stack:
                    nodes = self._start_cluster(stack, router)
                    for case, transport in self._each(cases):
                        self._measure(case, transport, nodes)

    def _each(self, cases: Sequence[Case]) -> Iterator[tuple[Case, str]]:
        for case in cases:
            for transport in self._plan.transports:
                yield case, transport

    def _directory(self, name: str) -> Path:
        self._launches += 1
        directory = self._plan.runs / f"{self._launches:02d}-{name}"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _process(self, stack: ExitStack, launch: Launch) -> RouterProcess:
        return stack.enter_context(RouterProcess(launch, self._plan.router_cpu))

    def _start(self, stack: ExitStack, router: Router) -> RouterProcess:
        node = self._process(stack, router.launch(self._directory(router.name)))
        node.wait_until_ready()
        time.sleep(SETTLE_S)
        sample = NodeSample(round=self._round, router=router.name, start_s=node.start_s, idle_rss_kib=node.rss_kib())
        self.results.nodes.append(sample)
        self._tell(router.name, f"first session after {sample.start_s:.2f} s, {sample.idle_rss_kib / 1e3:.0f} MB idle")
        return node

    def _start_cluster(self, stack: ExitStack, router: Wampha) -> list[RouterProcess]:
        launches = router.launch_cluster(self._directory("cluster"), CLUSTER_NODES)
        nodes = [self._process(stack, launch) for launch in launches]
        for node in nodes:
            node.wait_until_ready()
        self._tell(router.name, f"{CLUSTER_NODES} nodes are ready")
        time.sleep(SETTLE_S)
        return nodes

    def _measure(self, case: Case, transport: str, nodes: Sequence[RouterProcess]) -> None:
        times: Mapping[str, float] = {"warmup": self._plan.warmup_s, "seconds": self._plan.seconds}
        receivers = None if case.receivers_on is None else nodes[case.receivers_on].port
        try:
            reading = load.run(
                self._plan.program,
                mode=case.mode,
                transport=transport,
                port=nodes[0].port,
                receivers_port=receivers,
                pids=[node.pid for node in nodes],
                cpu=self._plan.load_cpu,
                options={**case.options, **times},
            )
        except BenchError as error:
            raise BenchError(f"{error}\nThe end of the router's log:\n{nodes[0].log_tail()}") from error
        router = nodes[0].name
        self.results.samples.append(
            Sample(round=self._round, router=router, case=case.name, transport=transport, reading=reading)
        )
        self._tell(router, f"{case.name} {transport}: {_summary(reading)}")

    def _tell(self, router: str, what: str) -> None:
        print(f"[round {self._round}/{self._plan.rounds}] {router:8} {what}", file=sys.stderr, flush=True)


def _summary(reading: Reading) -> str:
    faults = reading.faults()
    if not reading.operations:
        return f"FAILED: {faults}"
    cpu = sum(reading.router_cpu_s) / reading.operations * 1e5
    text = f"{cpu:.2f} CPU s per 100k, {reading.operations / reading.seconds:.0f}/s"
    return f"{text}, FAULTS: {faults}" if faults else text
