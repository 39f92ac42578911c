"""The wall clock is stepped by an hour, back and forth, under the feet of nodes: nobody may notice.

    python -m tests.chaos.clocks --rounds 5

Three voters under libfaketime, which changes the wall clock of one process and leaves the others alone: of the leader,
of a follower, of all. Random clients on all nodes, sessions that stay, and 2,000 events a second.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.listener import Listener
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.probes import Acknowledgements, Stream
from tests.chaos.results import Figure, Report, finish, options
from tests.chaos.weather import counted

HOUR_S: Final = 3600
STEPS_S: Final = (HOUR_S, 0, -HOUR_S, 0)
AFTER_S: Final = 2.0  # longer than any lease
_LIBRARIES: Final = Path("/usr/lib")
_LOAD: Final = Load(per_second=10)


def library() -> Path | None:
    """libfaketime, if it is installed (Debian: libfaketime)."""
    return next(iter(sorted(_LIBRARIES.glob("*/faketime/libfaketime.so.1"))), None)


class WallClock:
    """The wall clock of one node, which is not started yet."""

    def __init__(self, node: HostNode, folder: Path) -> None:
        found = library()
        assert found, "libfaketime is missing; on Debian: apt-get install libfaketime"
        self._file: Final = folder / f"{node.name}.clock"
        self.step(0)
        node.environment.update(
            LD_PRELOAD=str(found),
            FAKETIME_TIMESTAMP_FILE=str(self._file),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )

    def step(self, seconds: int) -> None:
        """Let it differ from the machine's by so much from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self._file)


def run(rounds: int, after_s: float = AFTER_S) -> list[Report]:
    """All steps on one cluster, with so much time after each."""
    report = Report("clocks")
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder)) as cluster:
        clocks = {node.name: WallClock(node, Path(folder)) for node in cluster}
        cluster.start().wait_until_whole()
        nemesis = Nemesis(cluster)
        a, b, c = cluster
        steps = 0
        with contextlib.ExitStack() as stack:
            crowd = stack.enter_context(Crowd(cluster, 1, load=_LOAD))
            stayers = [stack.enter_context(Listener(node)) for node in cluster]
            stream = stack.enter_context(Stream(a, b))
            waiting = stack.enter_context(Acknowledgements(c))
            with counted(cluster) as seen:
                began = time.monotonic()
                for _ in range(rounds):
                    leader = cluster.leader()
                    for whose in ([leader], [cluster.others(leader)[0]], list(cluster)):
                        for step_s in STEPS_S:
                            for node in whose:
                                clocks[node.name].step(step_s)
                                node.status()  # writes a line with the stamp of now
                            steps += len(whose)
                            time.sleep(after_s)
                stall_s, paused_s = waiting.stall_s(began), stream.pause_s(began)
        crowd.record_into(nemesis.history)
        _check_that_clocks_were_stepped(cluster)
    ended = sum(session.ended is not None for session in stayers)
    rows = (26,)
    report.add(
        Figure(rows, "steps of a node's wall clock by an hour", steps),
        Figure(rows, "nodes suspended", seen.suspensions, goal=0),
        Figure(rows, "nodes fenced", seen.fences, goal=0),
        Figure(rows, "elections", seen.terms, goal=0),
        Figure(rows, "sessions that ended", ended, goal=0),
        Figure(rows, "events lost or wrong", stream.lost + stream.wrong, goal=0),
        Figure(rows, "longest wait for SUBSCRIBED", stall_s, "s"),
        Figure(rows, "longest pause of publishing", paused_s, "s"),
    )
    report.violations += [f"P11: {figure}" for figure in report.figures if not figure.kept]
    return [report, judge("clocks", rows, nemesis.history, "random clients")]


def _check_that_clocks_were_stepped(cluster: HostCluster) -> None:
    """A log of stepped clocks is not in order: else nothing was tested."""
    for node in cluster:
        hours = {line[:13] for line in node.log().splitlines() if line[:2] == "20"}
        assert len(hours) > 1, f"the wall clock of {node.name} was not stepped"


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(arguments.rounds), arguments.record)


if __name__ == "__main__":
    main()
