"""Two versions of wampha against each other: `python -m bench.pair OTHER-CHECKOUT`.

One process of each runs the whole time, on the same processor; they are measured in turns, who begins alternates, and
the ratio is that of neighbouring turns. So what else the machine does falls on both alike.
"""

import argparse
import shutil
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from bench import load
from bench.cases import SHARED, TRANSPORTS, Case
from bench.errors import BenchError
from bench.measure import pinning
from bench.process import RouterProcess
from bench.routers import REPOSITORY, Router, Wampha

HERE = Path(__file__).resolve().parent
NORMAL_95 = 1.96


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pair", description="Compare this version with another one.")
    parser.add_argument(
        "other", type=Path, help="a checkout of the other version; its dependencies are those of this environment"
    )
    add_options(parser)
    return parser.parse_args(argv)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to measure, and how long."""
    add = parser.add_argument
    add("--cases", default="p16,rpc64", help="comma-separated, of one node (default: %(default)s)")
    add("--transports", default="ws/json,rawsocket/msgpack", help="comma-separated (default: %(default)s)")
    add("--pairs", type=int, default=30, help="default: %(default)s")
    add("--seconds", type=float, default=1.0, help="of each turn (default: %(default)s)")


class Pair:
    """Both routers, and how one turn of each is measured."""

    def __init__(self, stack: ExitStack, other: Router, this: Router, seconds: float) -> None:
        router_cpu, self._load_cpu = pinning()
        runs = HERE / ".runs"
        shutil.rmtree(runs, ignore_errors=True)
        self._program = load.build(HERE / ".build")
        self._seconds = seconds
        self._nodes = []
        for name, router in (("other", other), ("this", this)):
            directory = runs / name
            directory.mkdir(parents=True)
            node = stack.enter_context(RouterProcess(router.launch(directory), router_cpu))
            node.wait_until_ready()
            self._nodes.append(node)

    def ratios(self, case: Case, transport: str, pairs: int) -> list[float]:
        """CPU per operation of `this` to that of `other`, pair by pair; the first pair is a warm-up."""
        ratios = []
        for number in range(pairs + 1):
            order = (0, 1) if number % 2 else (1, 0)
            costs = {which: self._cost(case, transport, which) for which in order}
            ratios.append(costs[1] / costs[0])
        return ratios[1:]

    def _cost(self, case: Case, transport: str, which: int) -> float:
        node = self._nodes[which]
        reading = load.run(
            self._program,
            mode=case.mode,
            transport=transport,
            port=node.port,
            receivers_port=None,
            pids=[node.pid],
            cpu=self._load_cpu,
            options={**case.options, "warmup": 0.2, "seconds": self._seconds},
        )
        if reading.faults():
            raise BenchError(f"{case.name} over {transport}: {reading.faults()}")
        return sum(reading.router_cpu_s) / reading.operations


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the bounds between which it lies with 95 % probability, by the order of the ratios."""
    ordered = sorted(ratios)
    count = len(ordered)
    half = NORMAL_95 * count**0.5 / 2
    low, high = max(0, int(count / 2 - half)), min(count - 1, int(count / 2 + half))
    return statistics.median(ordered), ordered[low], ordered[high]


def compare(other: Router, this: Router, options: argparse.Namespace, heading: str) -> None:
    """Measure both, and print a row per case and transport."""
    cases = [case for case in SHARED if case.name in options.cases.split(",")]
    transports = options.transports.split(",")
    if not cases or not set(transports) <= set(TRANSPORTS):
        raise BenchError(f"Choose cases of {', '.join(c.name for c in SHARED)}, and of {TRANSPORTS}.")
    print(f"| case | transport | CPU per operation, {heading}: median | 95 % interval |\n| --- | --- | --- | --- |")
    with ExitStack() as stack:
        pair = Pair(stack, other, this, options.seconds)
        for case, transport in product(cases, transports):
            median, low, high = interval(pair.ratios(case, transport, options.pairs))
            print(f"| `{case.name}` | {transport} | {median:.3f} | {low:.3f} to {high:.3f} |", flush=True)


def run(argv: Sequence[str]) -> int:
    """This version against the other one."""
    options = _arguments(argv)
    python = Path(sys.executable)
    compare(Wampha(python, options.other.resolve()), Wampha(python, REPOSITORY), options, "this / other")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
