"""Whatever can go wrong, in random order and at the same time, for as long as one likes.

    python -m tests.chaos.mixture --minutes 10 --seed 7

Three voters and an observer with random clients on all nodes; the checkers read what those saw. Rounds of faults, of
which several may last at once: nodes are killed, stopped for up to 8 s or asked to leave; links are cut, both ways or
one, or lose packets. After each round all is mended, and the cluster must be whole and of one mind again.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.results import Figure, Report, finish, options, times
from tests.support.nodes import STOP_S

ROUND_S: Final = 12.0
WHOLE_S: Final = 15.0
_BETWEEN_S: Final = (0.1, 3.0)
_LOAD: Final = Load(per_second=12)


class Mixture:
    """One round of random faults on a cluster that is whole."""

    def __init__(self, nemesis: Nemesis, chance: random.Random, made: Counter[str]) -> None:
        self._nemesis: Final = nemesis
        self._cluster: Final = nemesis.cluster
        self._chance: Final = chance
        self._made: Final = made
        self._due: list[tuple[float, Callable[[], object]]] = []  # what mends a fault, and when
        self._broken: HostNode | None = None  # the node that is down, or has not voted since
        self._votes = 0  # of that node, before
        self._faults: Final[dict[str, Callable[[], None]]] = {
            "kill": self._kill,
            "stop": self._stop,
            "leave": self._leave,
            "isolate": self._isolate,
            "one way": self._one_way,
            "loss": self._lose,
        }

    def run(self, seconds: float) -> float:
        """Make faults for so long, and mend all; gives the seconds until the cluster was whole and of one mind."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = self._chance.choice(list(self._faults))
            self._made[name] += 1
            self._faults[name]()
            self._mend(time.monotonic() + self._chance.uniform(*_BETWEEN_S))
        self._mend(float("inf"))
        calm = time.monotonic()
        self._broken = None
        self._cluster.wait_until_whole()
        return time.monotonic() - calm

    def _mend(self, until: float) -> None:
        """Wait until then, or until all is mended, and mend what is due."""
        while self._due and (first := min(self._due, key=lambda entry: entry[0]))[0] < until:
            self._due.remove(first)
            time.sleep(max(0.0, first[0] - time.monotonic()))
            first[1]()
        if until < float("inf"):
            time.sleep(max(0.0, until - time.monotonic()))

    def _later(self, least: float, most: float, mend: Callable[[], object]) -> None:
        self._due.append((time.monotonic() + self._chance.uniform(least, most), mend))

    def _victim(self) -> HostNode | None:
        """A node to take down, unless one still is: then the rest could lose its majority, and with it its memory."""
        if self._broken is not None and not self._is_back(self._broken):
            return None
        self._broken = victim = self._chance.choice(list(self._cluster))
        self._votes = victim.votes()
        return victim

    def _is_back(self, node: HostNode) -> bool:
        return node.votes() > self._votes or (node.name not in self._cluster.voters and node.running())

    def _kill(self) -> None:
        if victim := self._victim():
            self._nemesis.kill(victim)
            self._later(0.1, 3.0, lambda: self._nemesis.start(victim))

    def _leave(self) -> None:
        if victim := self._victim():
            self._nemesis.leave(victim)
            victim.wait_for_end()
            self._later(0.1, 3.0, lambda: self._nemesis.start(victim))

    def _stop(self) -> None:
        if victim := self._victim():
            self._nemesis.pause(victim)

            def go_on() -> None:
                self._nemesis.resume(victim)
                self._broken = None

            self._later(0.2, 8.0, go_on)

    def _isolate(self) -> None:
        self._nemesis.isolate([self._chance.choice(list(self._cluster))])
        self._later(0.2, 6.0, self._nemesis.heal)

    def _one_way(self) -> None:
        one, two = self._chance.sample(list(self._cluster), 2)
        self._nemesis.cut((one.name, two.name))
        self._later(0.2, 4.0, self._nemesis.heal)

    def _lose(self) -> None:
        one, two = self._chance.sample(list(self._cluster), 2)
        self._nemesis.lose(self._chance.choice((0.05, 0.2, 0.5)), (one.name, two.name), (two.name, one.name))
        self._later(0.5, 4.0, self._nemesis.heal)


def run(minutes: float, seed: int, round_s: float = ROUND_S) -> list[Report]:
    """Rounds for so long."""
    made: Counter[str] = Counter()
    whole_s: list[float] = []
    chance = random.Random(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder), "abc", "d") as cluster:
        cluster.start().wait_until_whole()
        nemesis = Nemesis(cluster)
        with Crowd(cluster, 2, seed=seed, load=_LOAD) as crowd:
            while not whole_s or time.monotonic() < began + 60 * minutes:
                whole_s.append(Mixture(nemesis, chance, made).run(round_s))
                print(f"round {len(whole_s)}: whole after {whole_s[-1]:.1f} s; so far {dict(made)}", flush=True)
        cluster.wait_until_equal(STOP_S)
        crowd.record_into(nemesis.history)
        nemesis.record_gaps()
    rows = (1, 2, 4, 6, 7, 10, 22)
    report = Report("mixture", f"seed {seed}")
    report.add(
        Figure(rows, "faults of all kinds in random order", made.total()),
        *times(rows, "the cluster is whole after a round of faults", whole_s, WHOLE_S),
    )
    return [report, judge("mixture", rows, nemesis.history, f"seed {seed}, random clients")]


def main() -> None:
    """Break and tell."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(arguments.minutes, arguments.seed), arguments.record)


if __name__ == "__main__":
    main()
