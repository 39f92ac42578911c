"""Nodes are killed with sessions on them: `on_leave` and testaments come exactly once, on every other node.

    python -m tests.chaos.leavers --times 50

Three voters and an observer, which are killed (-9) in turn, and restarted after half a second. Each death takes some
sessions with it. All have left two testaments, acknowledged; some of them leave by themselves at about the moment of
the kill, and others come and go on the nodes that live. On each of those two watchers
hear of all that. What no watcher was told in time is missing; then they listen for a while longer, for what is doubled.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.mass import MassSession, allow_descriptors, join, run_on_clients_host
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.results import Figure, Report, finish, options, times
from tests.support.wampclient import CALL, SUBSCRIBE

ROWS: Final = (43,)
ON_JOIN, ON_LEAVE, LAST = "wamp.session.on_join", "wamp.session.on_leave", "test.last"
SESSIONS: Final = 40  # on the node that is killed
OTHERS: Final = 10  # on one that lives
WATCHERS: Final = 2  # on each node that lives
EARLY_S: Final = 0.2  # before and after the kill, in which some leave by themselves
DOWN_S: Final = 0.5
LIMIT_S: Final = 20.0  # from the kill until all has been told
LISTEN_S: Final = 0.5  # longer, for what comes twice
JOIN_S: Final = 10.0
TOLD_GOAL_S: Final = 8.0  # silence before a node is declared dead, and the lease before it


@dataclass
class Found:
    """What all deaths did."""

    deaths: int = 0
    sessions: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    told_s: list[float] = field(default_factory=list)  # from the kill to the last on_leave of its sessions


class Watcher:
    """Counts what it is told of each session, and keeps the order."""

    def __init__(self) -> None:
        self.told: Final[dict[int, list[str]]] = {}  # session -> what, in order
        self.publications: Final[dict[tuple[int, str], int]] = {}
        self.last_leave = 0.0
        self._topics: Final[dict[int, str]] = {}
        self._early: list[list[Any]] | None = []  # until all subscriptions are there

    async def watch(self, node: HostNode) -> MassSession:
        """Subscribe on a node."""
        session = await join(node, JOIN_S, self._heard)
        for topic in (ON_JOIN, ON_LEAVE, LAST):
            subscribed = await session.request(SUBSCRIBE, {}, topic)
            self._topics[subscribed[2]] = topic
        early, self._early = self._early, None
        for event in early or ():
            self._heard(event)
        return session

    def _heard(self, event: list[Any]) -> None:
        if self._early is not None:  # it may come in the same turn as its SUBSCRIBED
            self._early.append(event)
            return
        topic, args = self._topics[event[1]], event[4]
        about = args[0]["session"] if topic == ON_JOIN else args[0]
        what = f"{topic} {args[1]}" if topic == LAST else topic
        self.told.setdefault(about, []).append(what)
        self.publications[about, what] = event[2]
        if topic == ON_LEAVE:
            self.last_leave = time.monotonic()


EXPECTED: Final = [ON_JOIN, f"{LAST} detached", f"{LAST} destroyed", ON_LEAVE]


async def die(cluster: HostCluster, victim: HostNode, found: Found, chance: random.Random) -> None:
    """One death, and what the others tell of it."""
    survivors = cluster.others(victim)
    watchers = [Watcher() for _ in survivors for _ in range(WATCHERS)]
    watching = [await watcher.watch(survivors[place // WATCHERS]) for place, watcher in enumerate(watchers)]
    on_victim = await asyncio.gather(*(_leaver(victim) for _ in range(SESSIONS)))
    others = await asyncio.gather(*(_leaver(chance.choice(survivors)) for _ in range(OTHERS)))
    leaving = [*others, *chance.sample(on_victim, SESSIONS // 4)]
    departures = [asyncio.ensure_future(_drop(session, chance.uniform(0, 2 * EARLY_S))) for session in leaving]
    await asyncio.sleep(EARLY_S)
    killed = time.monotonic()
    await asyncio.to_thread(victim.kill)
    await asyncio.sleep(DOWN_S)
    victim.launch()
    await asyncio.gather(*departures)
    ended = [session.id for session in (*on_victim, *others)]
    await _until_told(watchers, ended, killed)
    found.told_s.append(max(watcher.last_leave for watcher in watchers) - killed)
    await asyncio.sleep(LISTEN_S)
    found.deaths += 1
    found.sessions += len(ended)
    _judge(watchers, ended, found)
    for session in watching:
        session.drop()
    await asyncio.to_thread(victim.wait_until_serving)
    await asyncio.to_thread(cluster.wait_until_whole)


async def _leaver(node: HostNode) -> MassSession:
    """A session with two testaments."""
    session = await join(node, JOIN_S)
    for scope in ("destroyed", "detached"):
        args = [LAST, [session.id, scope], {}]
        await session.request(CALL, {}, "wamp.session.add_testament", args, {"scope": scope})
    return session


async def _drop(session: MassSession, after_s: float) -> None:
    await asyncio.sleep(after_s)
    session.drop()


async def _until_told(watchers: list[Watcher], ended: list[int], since: float) -> None:
    while time.monotonic() < since + LIMIT_S:
        if all(ON_LEAVE in watcher.told.get(session, ()) for watcher in watchers for session in ended):
            return
        await asyncio.sleep(0.05)


def _judge(watchers: list[Watcher], ended: list[int], found: Found) -> None:
    wrong = found.wrong
    for session in ended:
        ids = {tuple(watcher.publications.get((session, what), 0) for what in EXPECTED) for watcher in watchers}
        wrong["publication ids that differ between nodes"] += len(ids) != 1
        for watcher in watchers:
            told = watcher.told.get(session, [])
            counts = Counter(told)
            wrong["on_leave missing"] += not counts[ON_LEAVE]
            wrong["on_leave doubled"] += counts[ON_LEAVE] > 1
            wrong["on_join missing or doubled"] += counts[ON_JOIN] != 1
            for what in EXPECTED[1:3]:
                wrong["testaments missing"] += not counts[what]
                wrong["testaments doubled"] += counts[what] > 1
            wrong["told in another order"] += sorted(told, key=EXPECTED.index) != told


def run(deaths: int, *, certificates: bool = False, seed: int = 0) -> list[Report]:
    """So many deaths on one cluster."""
    allow_descriptors(4096)
    found, chance = Found(), random.Random(seed)

    async def all_deaths(cluster: HostCluster) -> None:
        for turn in range(deaths):
            victim = list(cluster)[turn % len(cluster.nodes)]
            await die(cluster, victim, found, chance)
            print(f"{victim.name}, {turn + 1} of {deaths}: told after {found.told_s[-1]:.2f} s", flush=True)

    with tempfile.TemporaryDirectory() as folder, _cluster(folder, certificates) as cluster:
        cluster.start().wait_until_whole()
        run_on_clients_host(cluster, all_deaths(cluster))
        cluster.wait_until_equal(LIMIT_S)
    return [_report(found, certificates)]


def _cluster(folder: str, certificates: bool) -> HostCluster:
    return HostCluster(Path(folder), "abc", "d", certificates=certificates)


def _report(found: Found, certificates: bool) -> Report:
    report = Report("leavers", "with certificate" if certificates else "")
    report.add(
        Figure(ROWS, "deaths of a node", found.deaths),
        Figure(ROWS, f"sessions that ended, each told to {3 * WATCHERS} watchers", found.sessions),
        *(Figure(ROWS, name, count, goal=0) for name, count in found.wrong.items()),
        *times(ROWS, "kill of the node up to the last on_leave elsewhere", found.told_s, TOLD_GOAL_S),
    )
    report.violations += [f"P8: {name}: {count}" for name, count in found.wrong.items() if count]
    return report


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--times", type=int, default=50, help="how many deaths (50)")
    parser.add_argument("--certificates", action="store_true", help="nodes prove that their former process is dead")
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(arguments.times, certificates=arguments.certificates), arguments.record)


if __name__ == "__main__":
    main()
