"""All clients of a node that was killed come to the others at once.

    python -m tests.chaos.reconnects --clients 5000

Three voters. One follower has all the clients, each with a subscription to a topic of its own, and is killed (-9).
Each client waits for a random time of up to one second, as client libraries do, and joins one of the other two; where
that fails it tries the other one, after a pause that doubles from 0.1 to 2 s. It is back when it is subscribed again;
then one event for each must come exactly once. Then all leave, the node is restarted, and all of it happens once
more: memory of the survivors after the second time is compared with that after the first.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.mass import MassSession, allow_descriptors, join, run_on_clients_host
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.probes import Stream
from tests.chaos.results import Figure, Report, finish, options
from tests.support.wampclient import PUBLISH, SUBSCRIBE, AnsweredError, ConnectionEndedError

GOAL_S: Final = 30.0
GOAL_SHARE: Final = 0.95
GROWTH_MAX: Final = 1.2
OPENING_AT_ONCE: Final = 100  # while the crowd is set up; the storm has no such bound
LIMIT_S: Final = 60.0  # for one storm
TRY_S: Final = 10.0
JITTER_S: Final = 1.0
PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
SETTLE_S: Final = 5.0
STORMS: Final = 2
_FAILURES: Final = (OSError, ConnectionEndedError, TimeoutError, AnsweredError)


@dataclass
class Found:
    """What all storms did."""

    back_s: list[float] = field(default_factory=list)
    missing: int = 0  # clients that were not back in time
    wrong_events: int = 0  # that did not come, or came twice
    terms: int = 0
    resident: list[float] = field(default_factory=list)  # MiB of the survivors, before and after each storm
    peak: float = 0.0
    stream_lost: int = 0
    stream_pause_s: float = 0.0


class Client:
    """One client: a session, its topic, and the events that came."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.topic: Final = f"test.mass{number}"
        self.events = 0
        self.session: MassSession | None = None
        self._number: Final = number
        self._chance: Final = chance

    def _heard(self, _event: list[Any]) -> None:
        self.events += 1

    async def come(self, node: HostNode) -> None:
        """Join and subscribe."""
        session = await join(node, TRY_S, self._heard)
        await session.request(SUBSCRIBE, {}, self.topic)
        self.session = session

    async def come_back(self, nodes: list[HostNode]) -> float:
        """As `come` on one of the nodes, after the session has ended; gives the time at which it is back."""
        assert self.session
        await self.session.ended
        await asyncio.sleep(self._chance.uniform(0, JITTER_S))
        for turn in range(10_000):
            try:
                await self.come(nodes[(self._number + turn) % len(nodes)])
            except _FAILURES:
                await asyncio.sleep(PAUSES_S[min(turn, len(PAUSES_S) - 1)] * self._chance.uniform(0.5, 1.0))
            else:
                break
        return time.monotonic()


async def storm(cluster: HostCluster, clients: list[Client], found: Found) -> None:
    """All come to a follower, which is killed; they come back to the others; they leave."""
    victim = await asyncio.to_thread(cluster.follower)
    survivors = cluster.others(victim)
    await _come(clients, victim)
    term = (await asyncio.to_thread(survivors[0].status))["term"]
    tasks = [asyncio.ensure_future(client.come_back(survivors)) for client in clients]
    await asyncio.sleep(0.5)
    killed = time.monotonic()
    await asyncio.to_thread(victim.kill)
    done, missing = await asyncio.wait(tasks, timeout=LIMIT_S)
    for task in missing:
        task.cancel()
    found.back_s += [task.result() - killed for task in done]
    found.missing += len(missing)
    found.wrong_events += await _check_events(clients, survivors)
    found.terms += (await asyncio.to_thread(survivors[0].status))["term"] - term
    found.peak = max(found.peak, *(_mib(node) for node in survivors))
    for client in clients:
        if client.session:
            client.session.drop()
    await asyncio.sleep(SETTLE_S)
    found.resident.append(max(_mib(node) for node in survivors))
    await asyncio.to_thread(cluster.restart, victim)


async def _come(clients: list[Client], node: HostNode) -> None:
    gate = asyncio.Semaphore(OPENING_AT_ONCE)

    async def one(client: Client) -> None:
        async with gate:
            await client.come(node)

    await asyncio.gather(*(one(client) for client in clients))


async def _check_events(clients: list[Client], survivors: list[HostNode]) -> int:
    """Publish one event to each topic; gives how many clients got none, or more than one."""
    publisher = await join(survivors[0], TRY_S)
    for client in clients:
        client.events = 0
        publisher.tell(PUBLISH, {}, client.topic, ["back"])
    await publisher.request(PUBLISH, {"acknowledge": True}, "test.mass", ["last"])
    deadline = time.monotonic() + TRY_S
    while any(client.events == 0 for client in clients) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await publisher.leave()
    return sum(client.events != 1 for client in clients)


def _mib(node: HostNode) -> float:
    return node.resident_bytes() / 2**20


def run(count: int) -> list[Report]:
    """All storms on one cluster."""
    allow_descriptors(2 * count + 1000)
    found = Found()
    chance = random.Random(0)
    clients = [Client(number, chance) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder)) as cluster:
        cluster.start().wait_until_whole()
        found.resident.append(max(_mib(node) for node in cluster))
        for turn in range(STORMS):
            survivors = cluster.others(cluster.follower())
            with Stream(*survivors) as stream:
                run_on_clients_host(cluster, storm(cluster, clients, found))
            found.stream_lost += stream.lost + stream.wrong
            found.stream_pause_s = max(found.stream_pause_s, stream.pause_s(stream.times[0]))
            print(f"storm {turn + 1} of {STORMS}: all back after {max(found.back_s):.1f} s", flush=True)
    return [_report(found, count)]


def _report(found: Found, count: int) -> Report:
    rows = (20,)
    back = sorted(found.back_s)
    place = min(len(back) - 1, int(GOAL_SHARE * count * STORMS))
    report = Report("reconnects", f"{count} clients")
    report.add(
        Figure(rows, f"{GOAL_SHARE:.0%} are back with their subscriptions after", back[place], "s", GOAL_S),
        Figure(rows, "the last one is back after", back[-1], "s"),
        Figure(rows, f"clients not back within {LIMIT_S:g} s", found.missing, goal=0),
        Figure(rows, "clients that did not get their event exactly once", found.wrong_events, goal=0),
        Figure(rows, "changes of leader", found.terms, goal=0),
        Figure(rows, "events between survivors lost or wrong", found.stream_lost, goal=0),
        Figure(rows, "longest pause of publishing between survivors", found.stream_pause_s, "s"),
        Figure(rows, "memory of a survivor before all", found.resident[0], "MiB"),
        Figure(rows, "memory of a survivor at its peak", found.peak, "MiB"),
        Figure(rows, "memory after the first storm, all clients gone", found.resident[1], "MiB"),
        Figure(
            rows,
            "memory after the last storm, to that after the first",
            found.resident[-1] / found.resident[1],
            goal=GROWTH_MAX,
        ),
    )
    if found.missing:
        report.violations.append(f"P5: {found.missing} clients found no way back")
    if found.wrong_events or found.stream_lost:
        report.violations.append(f"P4, P5: {found.wrong_events} clients, {found.stream_lost} events of the stream")
    return report


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(arguments.clients), arguments.record)


if __name__ == "__main__":
    main()
