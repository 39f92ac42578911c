"""Nodes are killed, or asked to leave, under load: how long the others wait, and what is lost.

    python -m tests.chaos.kills --times 50

Three voters and an observer. Of each kind so many times: kill -9 of the leader, of a follower and of the observer, each
restarted after half a second, with and without a certificate of its death (`node.run_dir`); and a clean leave of a
follower and of the leader. Load: random clients on all nodes, 2,000 events a second between two survivors, and
subscriptions on both, one after the other.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, HostNode, Watch
from tests.chaos.probes import Acknowledgements, Calls, Stream
from tests.chaos.results import Figure, Report, finish, options, times
from tests.support.nodes import STOP_S

KILLS: Final = ("leader", "follower", "observer")
LEAVES: Final = ("leaving follower", "leaving leader")
BEFORE_S: Final = 0.5  # load before the fault
DOWN_S: Final = 0.5  # from the kill to the restart
AFTER_S: Final = 3.0  # load after it: longer than any lease
SUBSCRIBED_GOAL_S: Final = {  # median (None: no goal) and worst
    "leader": (0.8, 2.0),
    "follower": (None, 1.8),
    "observer": (None, 1.8),
    "leaving follower": (None, 0.1),
    "leaving leader": (None, 1.0),
}
ROWS: Final = {"leader": (1,), "follower": (2,), "observer": (2,), "leaving follower": (22,), "leaving leader": (22,)}


@dataclass
class Found:
    """What all faults of one kind did."""

    subscribed_s: list[float] = field(default_factory=list)
    after_links_s: list[float] = field(default_factory=list)
    paused_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    events: int = 0
    lost: int = 0
    wrong: int = 0
    calls: int = 0
    violations: list[str] = field(default_factory=list)


def break_one(nemesis: Nemesis, kind: str, found: Found) -> None:
    """One fault of this kind on a whole cluster, which is whole again afterwards."""
    cluster = nemesis.cluster
    leader = cluster.leader()
    victim = _victim(cluster, kind, leader)
    one, two = cluster.others(victim)[:2]
    up = Watch(leader if victim is not leader else one, lambda line: f"control link to {victim.name} at " in line)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(Acknowledgements(node)) for node in (one, two)]
        stream = stack.enter_context(Stream(one, two))
        calls = stack.enter_context(Calls(two, victim))
        time.sleep(BEFORE_S)
        began = nemesis.leave(victim) if kind in LEAVES else nemesis.kill(victim)
        if kind in LEAVES:
            victim.wait_for_end()
        time.sleep(DOWN_S)
        nemesis.start(victim)
        time.sleep(max(0.0, began + AFTER_S - time.monotonic()))
        cluster.wait_until_whole()
    linked = up.end()
    found.subscribed_s += [probe.stall_s(began) for probe in waiting]
    if linked is not None:
        found.after_links_s += [max(0.0, probe.last_before_stall(began) - linked) for probe in waiting]
    found.paused_s.append(stream.pause_s(began))
    found.answered_s += calls.answered_after_s(began)
    found.violations += calls.violations()
    found.events += stream.published
    found.lost += stream.lost
    found.wrong += stream.wrong
    found.calls += len(calls.requests)


def _victim(cluster: HostCluster, kind: str, leader: HostNode) -> HostNode:
    if kind.endswith("leader"):
        return leader
    if kind == "observer":
        return next(node for node in cluster if node.name not in cluster.voters)
    return next(cluster[name] for name in cluster.voters if name != leader.name)


def report_of(kind: str, found: Found, certificates: bool) -> Report:
    """The figures of one kind, with their goals."""
    rows = ROWS[kind]
    median, worst = SUBSCRIBED_GOAL_S[kind]
    report = Report("kills", kind + (", with certificate" if certificates else ""), violations=found.violations)
    if certificates:
        report.add(*times(rows, "links of the restarted node up to SUBSCRIBED on a survivor", found.after_links_s, 0.4))
        report.add(*times(rows, "SUBSCRIBED on a survivor", found.subscribed_s, worst))
    else:
        report.add(*times(rows, "SUBSCRIBED on a survivor", found.subscribed_s, worst, median))
    report.add(
        Figure(rows, "longest pause of publishing between survivors", max(found.paused_s), "s", 0.2),
        Figure(rows, "events between survivors", found.events),
        Figure(rows, "events lost", found.lost, goal=0),
        Figure(rows, "events doubled or out of order", found.wrong, goal=0),
        *times((*rows, 40), "callers of the dead node's callee answered", found.answered_s, 3.0),
    )
    if found.lost or found.wrong:
        report.violations.append(f"P4, P5: {found.lost} events lost, {found.wrong} doubled or out of order")
    return report


def run(times_each: int, kinds: tuple[str, ...], *, certificates: bool = False, seed: int = 0) -> list[Report]:
    """All faults of these kinds on one cluster; a report for each kind, and one for what the random clients saw."""
    found = {kind: Found() for kind in kinds}
    with tempfile.TemporaryDirectory() as folder, _cluster(folder, certificates) as cluster:
        cluster.start().wait_until_whole()
        nemesis = Nemesis(cluster)
        with Crowd(cluster, 1, seed=seed, load=Load(per_second=5)) as crowd:
            for turn in range(times_each):
                for kind in kinds:
                    break_one(nemesis, kind, found[kind])
                    told = ", ".join(f"{seconds:.3f}" for seconds in found[kind].subscribed_s[-2:])
                    print(f"{kind} {turn + 1} of {times_each}: SUBSCRIBED after {told} s", flush=True)
        crowd.record_into(nemesis.history)
        nemesis.record_gaps()
        cluster.wait_until_equal(STOP_S)
    known = ", with certificate" if certificates else ""
    reports = [report_of(kind, found[kind], certificates) for kind in kinds]
    return [*reports, judge("kills", (1, 2, 40), nemesis.history, f"random clients{known}")]


def _cluster(folder: str, certificates: bool) -> HostCluster:
    return HostCluster(Path(folder), "abc", "d", certificates=certificates)


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--times", type=int, default=50, help="how many faults of each kind (50)")
    parser.add_argument("--kinds", nargs="+", choices=(*KILLS, *LEAVES), default=(*KILLS, *LEAVES))
    parser.add_argument("--certificates", choices=("with", "without", "both"), default="both")
    arguments = parser.parse_args()
    end_on_signals()
    reports = []
    if arguments.certificates != "with":
        reports += run(arguments.times, tuple(arguments.kinds))
    if arguments.certificates != "without" and (kinds := tuple(kind for kind in arguments.kinds if kind in KILLS)):
        reports += run(arguments.times, kinds, certificates=True, seed=1)
    finish(reports, arguments.record)


if __name__ == "__main__":
    main()
