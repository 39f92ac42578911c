"""The network is cut between nodes: who goes on serving, for how long, and how fast all is one again.

    python -m tests.chaos.partitions --rounds 5

Clusters of three and of five voters with random clients on all nodes, which contend for the same procedures. Cuts that
take everything both ways (the leader alone, a follower alone, of five also two with the leader), one way only (the node
is not heard, or hears nothing), and bridges (two cannot talk, and both see the others). Each lasts longer than it takes
to declare a node dead. Times of a minority are those of the last acknowledged publication on its nodes.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.probes import Publishes
from tests.chaos.results import Figure, Report, finish, options, times

CUT_S: Final = 9.0  # a silent node is declared dead after 5 s
EQUAL_S: Final = 5.0
MINORITY_S: Final = 1.6
TERMS_MAX: Final = 2  # elections that a one-way cut may cost
_BEFORE_S: Final = 1.0
_LOAD: Final = Load(per_second=15, topics=("test.topic0", "test.topic1", "test.topic2"))


@dataclass(frozen=True)
class Cut:
    """One kind: what it does, and to whom; `minority` are those who must stop to serve."""

    name: str
    rows: tuple[int, ...]
    choose: Callable[[list[HostNode]], list[HostNode]]  # from the nodes, the leader first
    make: Callable[[Nemesis, list[HostNode], list[HostNode]], float]  # (nemesis, the chosen, the others)
    has_minority: bool = True


def _isolate(nemesis: Nemesis, chosen: list[HostNode], others: list[HostNode]) -> float:
    return nemesis.isolate(chosen)


def _silence(nemesis: Nemesis, chosen: list[HostNode], others: list[HostNode]) -> float:
    return nemesis.cut(*((one.name, two.name) for one in chosen for two in others))


def _deafen(nemesis: Nemesis, chosen: list[HostNode], others: list[HostNode]) -> float:
    return nemesis.cut(*((two.name, one.name) for one in chosen for two in others))


def _bridge(nemesis: Nemesis, chosen: list[HostNode], others: list[HostNode]) -> float:
    """The chosen ones do not see each other, and all see the rest."""
    pairs = [(one.name, two.name) for one in chosen for two in chosen if one is not two]
    return nemesis.cut(*pairs)


CUTS: Final = (
    Cut("leader alone", (6,), lambda nodes: nodes[:1], _isolate),
    Cut("follower alone", (6,), lambda nodes: nodes[1:2], _isolate),
    Cut("leader not heard", (7,), lambda nodes: nodes[:1], _silence),
    Cut("leader deaf", (7,), lambda nodes: nodes[:1], _deafen),
    Cut("follower not heard", (7,), lambda nodes: nodes[1:2], _silence),
    Cut("follower deaf", (7,), lambda nodes: nodes[1:2], _deafen),
    Cut("bridge between leader and follower", (8,), lambda nodes: nodes[:2], _bridge, has_minority=False),
    Cut("bridge between followers", (8,), lambda nodes: nodes[1:3], _bridge, has_minority=False),
)
CUTS_OF_FIVE: Final = (*CUTS, Cut("leader with a follower", (6,), lambda nodes: nodes[:2], _isolate))


@dataclass
class Found:
    """What all cuts of one kind did."""

    served_s: list[float] = field(default_factory=list)
    equal_s: list[float] = field(default_factory=list)
    terms: list[int] = field(default_factory=list)


def make_one(nemesis: Nemesis, cut: Cut, found: Found, cut_s: float = CUT_S) -> None:
    """One cut of a whole cluster, which is whole again afterwards."""
    cluster = nemesis.cluster
    leader = cluster.leader()
    nodes = [leader, *cluster.others(leader)]
    chosen = cut.choose(nodes)
    others = cluster.others(*chosen)
    term = leader.status()["term"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(nemesis.healed())
        probes = [stack.enter_context(Publishes(node)) for node in chosen]
        time.sleep(_BEFORE_S)
        began = cut.make(nemesis, chosen, others)
        time.sleep(cut_s)
        found.terms.append(max(node.status()["term"] for node in cluster) - term)
        healed = nemesis.heal()
        if cut.has_minority:
            found.served_s += [probe.last_before(healed) - began for probe in probes]
    cluster.wait_until_whole()
    found.equal_s.append(_equal_after(cluster, healed))


def _equal_after(cluster: HostCluster, healed: float) -> float:
    cluster.wait_until_equal(6 * EQUAL_S)
    return time.monotonic() - healed


def report_of(cut: Cut, found: Found, voters: str) -> Report:
    """The figures of one kind, with their goals."""
    report = Report("partitions", f"{len(voters)} nodes, {cut.name}")
    report.add(*times(cut.rows, "the minority serves after the cut", found.served_s, MINORITY_S))
    report.add(*times(cut.rows, "tables are equal after healing", found.equal_s, EQUAL_S))
    goal = TERMS_MAX if cut.rows == (7,) else None
    report.add(Figure(cut.rows, "elections in one cut, most", max(found.terms), goal=goal))
    return report


def run(voters: str, cuts: tuple[Cut, ...], rounds: int, *, cut_s: float = CUT_S, seed: int = 0) -> list[Report]:
    """All cuts on one cluster."""
    found = {cut.name: Found() for cut in cuts}
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder), voters) as cluster:
        cluster.start().wait_until_whole()
        nemesis = Nemesis(cluster)
        for turn in range(rounds):
            for cut in cuts:
                with Crowd(cluster, 2, seed=seed * 1000 + turn, load=_LOAD) as crowd:
                    make_one(nemesis, cut, found[cut.name], cut_s)
                crowd.record_into(nemesis.history)
                one = found[cut.name]
                served = ", ".join(f"{seconds:.3f}" for seconds in one.served_s[-2:]) or "-"
                print(
                    f"{cut.name} {turn + 1} of {rounds}: served {served} s, equal {one.equal_s[-1]:.1f} s",
                    flush=True,
                )
        nemesis.record_gaps()
    rows = tuple(sorted({row for cut in cuts for row in cut.rows}))
    return [
        *(report_of(cut, found[cut.name], voters) for cut in cuts),
        judge("partitions", rows, nemesis.history, f"{len(voters)} nodes, random clients"),
    ]


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how many cuts of each kind (5)")
    parser.add_argument("--nodes", type=int, nargs="+", choices=(3, 5), default=(3, 5))
    arguments = parser.parse_args()
    end_on_signals()
    reports = []
    for size in arguments.nodes:
        reports += run("abcde"[:size], CUTS if size == 3 else CUTS_OF_FIVE, arguments.rounds, seed=size)
    finish(reports, arguments.record)


if __name__ == "__main__":
    main()
