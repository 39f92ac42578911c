"""Any number of seeds of both worlds, beyond the fixed ones of the tests: `make soak SEEDS=200`.

Goes on where the log ends: each line of it names commit, world, configuration, seeds and what they found. A seed that
found something is told in full on standard output, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import txaio

txaio.use_twisted()

from tests.simulation.nodes.run import Setting  # noqa: E402 - txaio comes first
from tests.simulation.nodes.run import run as run_nodes  # noqa: E402 - likewise
from tests.simulation.runs import repeat  # noqa: E402 - likewise

ROOT = Path(__file__).parents[2]
BATCH = 20  # seeds per line of the log
FIRST = 10_000  # the tests have those below
_LINE = re.compile(r"^\S+ \S+ (?P<name>.+): seeds (?P<first>\d+)-(?P<last>\d+), ")


@dataclass(frozen=True)
class Configuration:
    """A world and its size."""

    name: str
    run: Callable[[int], object]


CONFIGURATIONS = (
    Configuration("ledgers 3+1", lambda seed: repeat(seed, 3, 1)),
    Configuration("ledgers 5+2", lambda seed: repeat(seed, 5, 2)),
    Configuration("nodes 3+1", lambda seed: run_nodes(seed, Setting())),
    Configuration("nodes 5+2", lambda seed: run_nodes(seed, Setting(voters=5, observers=2))),
    Configuration("nodes 3+3, many faults", lambda seed: run_nodes(seed, Setting(observers=3, faults=1.5))),
    Configuration("nodes 3+1, kept events", lambda seed: run_nodes(seed, Setting(keeps=True))),
)


def one(task: tuple[int, int]) -> str:
    """Run one seed of one configuration; returns what it found."""
    place, seed = task
    try:
        CONFIGURATIONS[place].run(seed)
    except Exception as found:
        return str(found) or repr(found)
    return ""


def next_seed(log: Path, name: str) -> int:
    """The first seed of this configuration that the log does not have."""
    found = (_LINE.match(line) for line in log.read_text().splitlines()) if log.exists() else iter(())
    return max((int(line["last"]) + 1 for line in found if line and line["name"] == name), default=FIRST)


def batches(first: int, count: int) -> Iterator[range]:
    """So many seeds from there on, in parts."""
    for begin in range(first, first + count, BATCH):
        yield range(begin, min(begin + BATCH, first + count))


def main(arguments: list[str] | None = None) -> int:
    """Run them all; 1 if any seed found anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="of each configuration")
    parser.add_argument("--only", default="", help="only configurations whose name begins so")
    parser.add_argument("--log", type=Path, default=ROOT / "soak.log")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args(arguments)
    commit = _commit()
    worst = 0
    with multiprocessing.get_context("spawn").Pool(given.jobs, maxtasksperchild=BATCH) as pool:
        for place, configuration in enumerate(CONFIGURATIONS):
            if not configuration.name.startswith(given.only):
                continue
            for seeds in batches(next_seed(given.log, configuration.name), given.seeds):
                found = dict(zip(seeds, pool.map(one, [(place, seed) for seed in seeds], chunksize=1), strict=True))
                bad = {seed: told for seed, told in found.items() if told}
                _note(given.log, f"{commit} {configuration.name}: seeds {seeds[0]}-{seeds[-1]}", bad)
                worst = worst or int(bool(bad))
    return worst


def _note(log: Path, what: str, bad: dict[int, str]) -> None:
    for seed, told in bad.items():
        print(f"seed {seed}: {told}\n", flush=True)
    violations = f"violations in {' '.join(map(str, bad))}" if bad else "no violations"
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} {what}, {violations}"
    print(line, flush=True)
    with log.open("a") as file:
        file.write(line + "\n")


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
