"""Sessions are opened and closed all the time while nodes are killed: how many attempts succeed.

    python -m tests.chaos.availability

Five voters; ten clients per node, each of which opens a session and closes it, once a second, and has one second for
it. It begins at its own node and knows the addresses of all five: refused, or without an answer for a quarter of a
second, it tries the next. Every 30 s for five minutes a node is killed (-9), the leader first and then each, and
restarted a second later. Next to them are sessions that stay open: each may be interrupted once by each kill of its own
node, and by nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.mass import MassSession, join, run_on_clients_host
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.results import Figure, Report, finish, options
from tests.support.wampclient import SUBSCRIBE, AnsweredError, ConnectionEndedError

LIMIT_S: Final = 1.0  # for an attempt
TRY_S: Final = 0.25  # for an address
PERIOD_S: Final = 1.0
DOWN_S: Final = 1.0
BLAME_S: Final = 1.0  # after a kill, the sessions of its node have ended by then
_FAILURES: Final = (OSError, ConnectionEndedError, TimeoutError, AnsweredError)


@dataclass
class Found:
    """What one run has seen."""

    took_s: list[float] = field(default_factory=list)  # of attempts that succeeded
    failed: list[float] = field(default_factory=list)  # when the others began
    kills: list[tuple[float, str]] = field(default_factory=list)
    interruptions: list[tuple[float, str, int]] = field(default_factory=list)  # (when, node, stayer)
    stayers: int = 0

    @property
    def percent(self) -> float:
        """Share of attempts that succeeded."""
        return 100 * len(self.took_s) / max(1, len(self.took_s) + len(self.failed))

    def unexplained(self) -> list[tuple[float, str, int]]:
        """Interruptions without a kill of that node right before, or a second one of a session by the same kill."""
        seen, unexplained = set(), []
        for at, node, stayer in self.interruptions:
            causes = [kill for kill in self.kills if kill[1] == node and 0 <= at - kill[0] <= BLAME_S]
            if not causes or (causes[0], stayer) in seen:
                unexplained.append((at, node, stayer))
            else:
                seen.add((causes[0], stayer))
        return unexplained


class Visitors:
    """All clients of one run."""

    def __init__(self, cluster: HostCluster, found: Found, seed: int) -> None:
        self._cluster: Final = cluster
        self._found: Final = found
        self._chance: Final = random.Random(seed)
        self.over: Final = asyncio.Event()

    def _addresses(self, home: HostNode) -> list[HostNode]:
        nodes = list(self._cluster)
        place = nodes.index(home)
        return nodes[place:] + nodes[:place]

    async def come_and_go(self, home: HostNode) -> None:
        """One client that opens and closes a session once a second."""
        addresses = self._addresses(home)
        await asyncio.sleep(self._chance.uniform(0, PERIOD_S))
        while not self.over.is_set():
            began = time.monotonic()
            session = await self._attempt(addresses, began + LIMIT_S)
            if session is None:
                self._found.failed.append(began)
            else:
                self._found.took_s.append(time.monotonic() - began)
                await session.leave()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), max(0.0, began + PERIOD_S - time.monotonic()))

    async def _attempt(self, addresses: Sequence[HostNode], deadline: float) -> MassSession | None:
        while True:
            for node in addresses:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                with contextlib.suppress(*_FAILURES):
                    return await join(node, min(TRY_S, left))
            await asyncio.sleep(0.02)

    async def stay(self, home: HostNode, number: int) -> None:
        """One client that keeps its session, and takes the next node when it was interrupted."""
        addresses = self._addresses(home)
        self._found.stayers += 1
        while not self.over.is_set():
            for node in addresses:
                try:
                    session = await join(node, LIMIT_S)
                    await session.request(SUBSCRIBE, {}, f"test.stay{number}")
                except _FAILURES:
                    continue
                over = asyncio.ensure_future(self.over.wait())
                await asyncio.wait([session.ended, over], return_when=asyncio.FIRST_COMPLETED)
                if self.over.is_set():
                    await session.leave()
                    return
                self._found.interruptions.append((session.ended.result(), node.name, number))

    async def kill(self, kills: int, every_s: float) -> None:
        """Kill one node after the other and restart it."""
        leader = await asyncio.to_thread(self._cluster.leader)
        for victim in _victims(leader, list(self._cluster), kills):
            await asyncio.sleep(every_s / 2)
            self._found.kills.append((time.monotonic(), victim.name))
            await asyncio.to_thread(victim.kill)
            await asyncio.sleep(DOWN_S)
            await asyncio.to_thread(victim.launch)
            print(f"killed and restarted {victim.name}: {self._found.percent:.3f} % so far", flush=True)
            await asyncio.sleep(max(0.0, every_s / 2 - DOWN_S))


def _victims(leader: HostNode, nodes: list[HostNode], count: int) -> Iterator[HostNode]:
    order = [leader, *(node for node in nodes if node is not leader)]
    return (order[number % len(order)] for number in range(count))


async def _visit(cluster: HostCluster, found: Found, kills: int, every_s: float, per_node: int) -> None:
    visitors = Visitors(cluster, found, seed=0)
    tasks = [asyncio.ensure_future(visitors.come_and_go(node)) for node in cluster for _ in range(per_node)]
    tasks += [asyncio.ensure_future(visitors.stay(node, number)) for number, node in enumerate([*cluster] * 3)]
    await visitors.kill(kills, every_s)
    visitors.over.set()
    await asyncio.gather(*tasks)


def run(kills: int, every_s: float, per_node: int, voters: str = "abcde", observers: str = "") -> list[Report]:
    """One run on a fresh cluster."""
    found = Found()
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder), voters, observers) as cluster:
        cluster.start().wait_until_whole()
        run_on_clients_host(cluster, _visit(cluster, found, kills, every_s, per_node))
    took = sorted(found.took_s)
    unexplained = found.unexplained()
    case = f"{len(voters)} voters" + (f", {len(observers)} observers" if observers else "")
    report = Report("availability", case)
    report.add(
        Figure((1, 2), f"attempts with {len(found.kills)} kills", len(found.took_s) + len(found.failed)),
        Figure((1, 2), "attempts that succeeded within 1 s", found.percent, "%", 99.9, least=True),
        Figure((1, 2), "attempts that failed", len(found.failed)),
        Figure((1, 2), "time of a successful attempt, 99.9th percentile", took[int(len(took) * 0.999)], "s"),
        Figure((1, 2), f"interruptions of {found.stayers} sessions that stay", len(found.interruptions)),
        Figure((1, 2), "of these, not explained by a kill of their own node", len(unexplained), goal=0),
    )
    report.violations += [
        f"P7: session {number} on {node} was interrupted without need" for _, node, number in unexplained
    ]
    return [report]


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--every", type=float, default=30.0, metavar="SECONDS", help="time from kill to kill (30)")
    parser.add_argument(
        "--observers", action="store_true", help="three voters and two observers instead of five voters"
    )
    arguments = parser.parse_args()
    end_on_signals()
    members = ("abc", "de") if arguments.observers else ("abcde", "")
    finish(run(arguments.kills, arguments.every, 10, *members), arguments.record)


if __name__ == "__main__":
    main()
