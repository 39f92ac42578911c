"""How long a node stops for many rows: making and reading a snapshot, an owner's death. `python -m bench.snapshots`

Each line tells the longest turn, the whole, and the ratio of both: what all at once would stop the reactor for, by what
pieces do. Rows are routes, a tenth registrations, of three nodes.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator

from wampha.counters import Counters
from wampha.state.commands import AddRegistration, AddRoute, Leave, Owner, Up
from wampha.state.machine import Machine, Restoring

OWNERS = [Owner(name, 1) for name in "abc"]


def filled(rows: int) -> Machine:
    """A machine with so many rows, each of one owner in turn."""
    machine = Machine(Counters())
    for index, owner in enumerate(OWNERS, 1):
        machine.execute(index, Up(owner, (), f"{owner.name}:9000", "1"))
    for number in range(rows):
        owner, uri = OWNERS[number % 3], f"com.example.sensor.{number:07}.temperature"
        index = number + len(OWNERS) + 1
        if number % 10:
            machine.execute(index, AddRoute(owner, index, "realm1", "exact", uri))
        else:
            machine.execute(index, AddRegistration(owner, index, "realm1", "exact", uri, "single", number))
    machine.take_changes()
    return machine


def turns(steps: Iterator[object]) -> list[float]:
    """Milliseconds of processor time of each step: this machine has other work too."""
    taken = []
    while True:
        began = time.thread_time()
        if next(steps, steps) is steps:
            return taken
        taken.append((time.thread_time() - began) * 1000)


def making(machine: Machine, pieces: list[bytes]) -> Iterator[object]:
    encoder = machine.begin_snapshot()
    while (piece := encoder.piece()) is not None:
        pieces.append(piece)
        yield piece


def reading(machine: Machine, pieces: list[bytes]) -> Iterator[object]:
    restoring = Restoring(machine)
    for piece in pieces:
        restoring.add(piece)
        yield piece
    restoring.install()
    yield


def dying(machine: Machine) -> Iterator[object]:
    machine.execute(10**9, Leave(OWNERS[0]))
    yield


def tell(what: str, rows: int, taken: list[float]) -> None:
    print(
        f"{what:28} {rows:8} rows  longest turn {max(taken):7.1f} ms  whole {sum(taken):7.1f} ms"
        f"  ratio {sum(taken) / max(taken):6.1f}"
    )


def best(rounds: int, measure: Callable[[], list[float]]) -> list[float]:
    """The round with the shortest longest turn: others use this machine too."""
    return min((measure() for _ in range(rounds)), key=max)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.snapshots", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    gc.set_threshold(20_000, 10, 10)  # as a node does
    for rows in options.rows:
        machine = filled(rows)
        gc.collect()
        gc.freeze()
        pieces: list[bytes] = []

        def make(machine: Machine = machine, pieces: list[bytes] = pieces) -> list[float]:
            pieces.clear()
            return turns(making(machine, pieces))

        tell("making a snapshot", rows, best(options.rounds, make))
        tell(
            "reading a snapshot",
            rows,
            best(options.rounds, lambda pieces=pieces: turns(reading(Machine(Counters()), pieces))),
        )
        tell("the death of a third's owner", rows, turns(dying(machine)))


if __name__ == "__main__":
    main()
