"""An hour of coming and going, as fast as the machine allows: does anything stay behind?

    python -m tests.chaos.churn --operations 200000

Three voters. Clients on all nodes join, subscribe, register, publish, call, unsubscribe, unregister and leave or
vanish, over and over, until so many operations are done. Memory of each node is looked at all the time; in the
end nobody is there, and so must nothing be.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.mass import MassSession, join, run_on_clients_host
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nodes import HostCluster
from tests.chaos.results import Figure, Report, finish, options
from tests.support.wampclient import CALL, PUBLISH, REGISTER, SUBSCRIBE, UNREGISTER, UNSUBSCRIBE

CLIENTS: Final = 60
TOPICS: Final = 5000
LOOKS: Final = 40  # at memory, in the whole run
GROWTH_MAX: Final = 1.1
EMPTY_S: Final = 20.0
DESCRIPTORS_SPARE: Final = 5
LOG_ENTRIES_MAX: Final = 100_000  # of the Raft log, which snapshots keep short
LOG_BYTES_MAX: Final = 1_000_000  # of what a node has written: it must not write a line for each operation
_JOIN_S: Final = 30.0


@dataclass
class Found:
    """What one run has seen."""

    done: int = 0
    seconds: float = 0.0
    resident: list[float] = field(default_factory=list)  # MiB of the largest node, LOOKS times and once at the end
    log_entries: int = 0  # most that any node had in its Raft log
    log_bytes: int = 0
    left: list[str] = field(default_factory=list)  # what stayed behind


class Churn:
    """All clients of one run."""

    def __init__(self, cluster: HostCluster, found: Found, operations: int) -> None:
        self._cluster: Final = cluster
        self._found: Final = found
        self._operations: Final = operations
        self._chance: Final = random.Random(0)
        self._numbers: Final = itertools.count()

    async def run(self) -> None:
        """Do all operations, and look at memory meanwhile."""
        tasks = [asyncio.ensure_future(self._come_and_go()) for _ in range(CLIENTS)]
        for look in range(LOOKS):
            while self._found.done < self._operations * (look + 1) / LOOKS and not any(task.done() for task in tasks):
                await asyncio.sleep(0.02)
            self.look()
        await asyncio.gather(*tasks)

    def look(self) -> None:
        """Note the memory of the largest node."""
        self._found.resident.append(max(node.resident_bytes() for node in self._cluster) / 2**20)

    async def _come_and_go(self) -> None:
        while self._found.done < self._operations:
            session = await join(self._chance.choice(list(self._cluster)), _JOIN_S)
            await self._live(session)
            if self._chance.random() < 0.5:
                await session.leave()
            else:
                session.drop()
            self._found.done += 2

    async def _live(self, session: MassSession) -> None:
        topics = {f"test.churn.{self._chance.randrange(TOPICS)}" for _ in range(self._chance.randint(1, 4))}
        procedure = f"test.churn.{next(self._numbers)}"
        subscriptions = [await self._ask(session, SUBSCRIBE, {}, topic) for topic in sorted(topics)]
        registration = await self._ask(session, REGISTER, {}, procedure)
        for topic in sorted(topics):
            await self._ask(session, PUBLISH, {"acknowledge": True}, topic, [session.id])
            await self._ask(session, CALL, {}, procedure, [session.id])
        if self._chance.random() < 0.5:
            for subscription in subscriptions:
                await self._ask(session, UNSUBSCRIBE, subscription[2])
            await self._ask(session, UNREGISTER, registration[2])

    async def _ask(self, session: MassSession, code: int, *rest: Any) -> list[Any]:
        self._found.done += 1
        return await session.request(code, *rest)


def what_is_left(cluster: HostCluster, descriptors: dict[str, int]) -> list[str]:
    """What nodes without clients still have: rows, sessions, descriptors."""
    left = []
    for node in cluster:
        status = node.status()
        left += [
            f"{node.name}: {status[what]} {what}" for what in ("routes", "registrations", "sessions") if status[what]
        ]
        more = status["file_descriptors"] - descriptors[node.name]
        left += [f"{node.name}: {more} descriptors more"] if more > DESCRIPTORS_SPARE else []
    return left


def run(operations: int) -> list[Report]:
    """One run on a fresh cluster."""
    found = Found()
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder)) as cluster:
        cluster.start().wait_until_whole()
        descriptors = {node.name: node.status()["file_descriptors"] for node in cluster}
        churn = Churn(cluster, found, operations)
        began = time.monotonic()
        run_on_clients_host(cluster, churn.run())
        found.seconds = time.monotonic() - began
        found.log_entries = max(node.status()["log_entries"] for node in cluster)
        found.left = what_is_left(cluster, descriptors)
        while found.left and time.monotonic() < began + found.seconds + EMPTY_S:
            found.left = what_is_left(cluster, descriptors)
        churn.look()
        cluster.wait_until_equal(EMPTY_S)
        found.log_bytes = max(len(node.log()) for node in cluster)
    return [_report(found)]


def _report(found: Found) -> Report:
    rows = (21,)
    early, late = found.resident[LOOKS // 4], max(found.resident[LOOKS // 4 :])
    report = Report("churn", "", violations=[f"P10: stayed behind: {what}" for what in found.left])
    report.add(
        Figure(rows, "operations", found.done),
        Figure(rows, "operations a second", found.done / found.seconds),
        Figure(rows, "memory of the largest node after a quarter of them", early, "MiB"),
        Figure(rows, "highest memory after that, to it", late / early, goal=GROWTH_MAX),
        Figure(rows, "rows, sessions or descriptors left at the end", len(found.left), goal=0),
        Figure(rows, "entries in a node's Raft log at the end", found.log_entries, goal=LOG_ENTRIES_MAX),
        Figure(rows, "bytes that a node has logged", found.log_bytes, goal=LOG_BYTES_MAX),
    )
    return report


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--operations", type=int, default=200_000)
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(arguments.operations), arguments.record)


if __name__ == "__main__":
    main()
