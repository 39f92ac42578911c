"""Run seeds and tell what they found: `python -m tests.simulation.nodes --seed 7 --voters 5`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import txaio

txaio.use_twisted()

from tests.simulation.nodes.run import FoundViolationsError, Setting, run  # noqa: E402 - txaio comes first
from tests.simulation.nodes.world import World  # noqa: E402 - likewise


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.nodes", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=1, help="so many seeds from there on")
    parser.add_argument("--voters", type=int, default=3)
    parser.add_argument("--observers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=Setting.seconds, help="of faults")
    parser.add_argument("--rate", type=float, default=Setting.rate, help="operations per second")
    parser.add_argument("--faults", type=float, default=Setting.faults, help="per second")
    parser.add_argument("--kinds", nargs="+", default=Setting.kinds)
    parser.add_argument("--keeps", type=int, choices=(0, 1), default=0)
    parser.add_argument("--shares", type=int, choices=(0, 1), default=0)
    parser.add_argument("--small", type=int, choices=(0, 1), default=None)
    parser.add_argument("--trace", type=Path, help="write the trace of the last seed there, its history beside it")
    given = vars(parser.parse_args())
    first, count, trace = given.pop("seed"), given.pop("count"), given.pop("trace")
    small, keeps, shares = given.pop("small"), bool(given.pop("keeps")), bool(given.pop("shares"))
    setting = Setting(
        **{**given, "kinds": tuple(given["kinds"])},
        keeps=keeps,
        shares=shares,
        small=None if small is None else bool(small),
    )
    return max(_one(seed, setting, trace) for seed in range(first, first + count))


def _one(seed: int, setting: Setting, trace: Path | None) -> int:
    began = time.process_time()
    failed = 0
    try:
        world = run(seed, setting)
        history = world.history
        told = f"{len(history.operations)} operations, {len(history.events)} events, {len(history.faults)} faults"
        print(f"seed {seed}: {told}, {time.process_time() - began:.2f} s of CPU, {world.digest()[:12]}", flush=True)
    except FoundViolationsError as found:
        print(f"seed {seed}: {found}\n", flush=True)
        world, failed = found.world, 1
    if trace:
        _keep(world, trace)
    return failed


def _keep(world: World, trace: Path) -> None:
    trace.write_text("\n".join(world.trace) + "\n")
    world.history.write(trace.with_suffix(".history"))


if __name__ == "__main__":
    sys.exit(main())
