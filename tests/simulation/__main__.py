"""Run seeds of the simulation of ledgers: `python -m tests.simulation --first 100000 --seeds 500`.

Prints one line for each seed that fails, and at the end how many ran; the exit status is 1 if any failed. To go on,
begin with a higher `--first`. `--trace` tells what happened in each run.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import txaio

from tests.simulation.runs import run
from tests.simulation.world import World

txaio.use_twisted()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", "--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no run after so many seconds")
    parser.add_argument("--voters", type=int, default=3)
    parser.add_argument("--observers", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="tell what happened")
    options = parser.parse_args()
    began, ran, failed = time.monotonic(), 0, []
    for seed in range(options.first, options.first + options.seeds):
        if time.monotonic() - began > options.seconds:
            break
        ran += 1
        worlds: list[World] = []
        try:
            run(seed, options.voters, options.observers, made=worlds.append)
        except Exception as error:
            failed.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:1000]}", flush=True)
        if options.trace:
            print("\n".join(worlds[0].trace), flush=True)
    print(
        f"{ran} seeds from {options.first}, {options.voters} voters and {options.observers} observers: "
        f"{len(failed)} failed {failed or ''}"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
