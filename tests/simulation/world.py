"""Ledgers and rows of several nodes in one process, on a virtual clock, over seeded links; and what must never happen.

One seed gives one run, whatever PYTHONHASHSEED is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from tests.simulation.clock import SkewedClock, Timer, VirtualClock
from tests.simulation.invariants import Invariants, Knowledge
from tests.simulation.network import Network
from wampha.counters import Counters
from wampha.ledger.options import Options
from wampha.ledger.raft import RaftLedger
from wampha.routing.rowkinds import REGISTRATIONS, ROUTES, SUBSCRIBERS, RowKey, Terms
from wampha.routing.rows import Rows
from wampha.state.changes import NodeGone
from wampha.state.commands import Outcome, Owner
from wampha.state.machine import Machine

REALM = "realm1"


def route(topic: str) -> RowKey:
    return RowKey(ROUTES, REALM, "exact", topic)


def registration(procedure: str) -> RowKey:
    return RowKey(REGISTRATIONS, REALM, "exact", procedure)


class HostClock:
    """A process's clock: while it is stopped its timers wait."""

    def __init__(self, host: Host, machine: SkewedClock) -> None:
        self._host, self._machine = host, machine

    def now(self) -> float:
        return self._machine.now()

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Timer:
        timer = self._machine.call_later(delay_s, lambda: None)
        timer.call, timer.args = self._host.run, (call, args, timer)
        return timer


class WatchedMachine(Machine):
    """The machine; every entry it applies is compared with what others applied there."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.counters)
        self._host = host
        self._last = 0

    def apply(self, index: int, data: bytes) -> Outcome:
        invariants = self._host.world.invariants
        invariants.check_applied(self._host, self._last, index, data)
        self._last = index
        known = len(self._ground.changes)
        outcome = super().apply(index, data)
        invariants.check_outcome(self._host, index, data, outcome)
        invariants.bury(change.owner for change in self._ground.changes[known:] if isinstance(change, NodeGone))
        return outcome


class Want:
    """A client's wish: one row; `stands` and `refused` are the answers."""

    def __init__(self, host: Host, key: RowKey, session: int) -> None:
        self.host, self.key, self.session = host, key, session
        self.row = key if key.table == ROUTES else key._replace(session=session)
        self.owner = host.ledger.owner
        self.acknowledged = False

    def waits(self) -> bool:
        return not self.acknowledged

    def stands(self, row_id: int) -> None:
        self.acknowledged = True
        self.host.world.acknowledged(self)

    def revoked(self, reason: str) -> None:
        self.host.world.invariants.violated(f"{self.host.name}: the acknowledged {self.key.uri} was taken away")

    def refused(self, outcome: Outcome) -> None:
        self.host.wants.pop(self.key)
        self.host.refusals += 1
        self.host.world.trace.append(f"{self.host.name} {self.key.uri} taken")
        if self.acknowledged:
            self.host.world.invariants.violated(f"{self.host.name}: the acknowledged {self.key.uri} was taken away")


class Host:
    """One process: a ledger, its rows, what it told, and whether it runs."""

    def __init__(self, world: World, name: str, options: dict[str, Any]) -> None:
        self.world, self.name = world, name
        self.alive, self.stopped = True, False
        self.born = world.clock.time
        self._held: list[tuple[Callable[..., None], tuple[Any, ...], Timer | None]] = []
        self.counters = Counters()
        self.fences: list[str] = []
        self.changes: list[Any] = []
        self.told: list[bool] = []
        self.installs = 0
        self.refusals = 0
        self.wants: dict[RowKey, Want] = {}
        self.knowledge = Knowledge()
        self.on_wake: Callable[[Host], None] | None = None  # clients, between whatever else waited
        self.ledger = RaftLedger(
            name=name,
            voters=world.voters,
            address=f"{name}:9000",
            machine_factory=lambda: WatchedMachine(self),
            clock=HostClock(self, world.machine_clock(name)),
            random=random.Random(world.chance.getrandbits(64)),
            send=lambda peer, data: world.network.send(self, peer, data),
            identity_changed=lambda: world.network.drop_all_of(self),
            events=self,
            counters=self.counters,
            version="1",
            predecessors=tuple(world.incarnations.get(name, ())) if world.certified else (),
            incarnated=lambda incarnation: world.incarnations.setdefault(name, []).append(incarnation),
            options=Options(**options),
        )
        self.rows = Rows(ledger=self.ledger, counters=self.counters, wall_ms=lambda: 0)

    # ---- the process

    def run(self, call: Callable[..., None], args: tuple[Any, ...] = (), timer: Timer | None = None) -> None:
        if not self.alive:
            return
        if self.stopped:
            self._held.append((call, args, timer))
        elif timer is None or not timer.cancelled:
            call(*args)

    def wake(self) -> None:
        """SIGCONT. Timers, clients and what peers sent meanwhile come in any order; that of one peer in its own."""
        self.stopped = False
        held, self._held = self._held, []
        chance = self.world.chance
        lanes: dict[Any, list[tuple[Callable[..., None], tuple[Any, ...], Timer | None]]] = {}
        for place, item in enumerate(held):
            peer = item[1][0] if item[2] is None and item[1] else None
            lanes.setdefault(place if peer is None else id(peer), []).append(item)
        waiting = list(lanes.values())
        while waiting:
            if self.on_wake and chance.random() < 0.3:
                self.on_wake(self)
            lane = chance.randrange(len(waiting))
            self.run(*waiting[lane].pop(0))
            if not waiting[lane]:
                waiting.pop(lane)

    # ---- clients

    def want(self, key: RowKey) -> None:
        """SUBSCRIBE or REGISTER, unless this node has it already."""
        if key not in self.wants:
            self.world.sessions += 1
            want = self.wants[key] = Want(self, key, self.world.sessions)
            self.rows.want(want.row, SUBSCRIBERS if key.table == ROUTES else Terms(), want)

    def withdraw(self, key: RowKey) -> None:
        """UNSUBSCRIBE or UNREGISTER."""
        want = self.wants.pop(key, None)
        if want:
            self.world.invariants.forget(want)
            self.rows.withdraw(want.row)

    def join(self, key: RowKey) -> None:
        """A later subscriber is answered at once if the row stands (rule 23)."""
        want = self.wants.get(key)
        if want and want.acknowledged and self.rows.standing(key):
            self.world.invariants.check_rows(key)

    def publish(self) -> None:
        """Something is routed by this node's tables at this instant."""
        self.world.invariants.check_host(self)

    def add_route(self, topic: str) -> None:
        self.want(route(topic))

    def remove_route(self, topic: str) -> None:
        self.withdraw(route(topic))

    # ---- LedgerEvents

    def applied(self, changes: Iterable[Any]) -> None:
        changes = list(changes)
        self.changes.extend(changes)
        self.rows.applied(changes)

    def installed(self) -> None:
        self.installs += 1
        self.rows.installed()

    def safe_moved(self) -> None:
        self.world.invariants.check_claim(self)
        self.rows.claim()

    def serving_changed(self, serving: bool) -> None:
        self.told.append(serving)
        self.world.trace.append(f"{self.world.clock.time:.4f} {self.name} serves {serving}")
        if serving:
            self.rows.claim()

    def fenced(self, sentence: str) -> None:
        self.fences.append(sentence)
        for want in self.wants.values():
            self.world.invariants.forget(want)
        self.wants.clear()
        self.rows.reset()
        self.world.trace.append(f"{self.world.clock.time:.4f} {self.name} fenced")

    def ticked(self) -> None:
        self.world.invariants.look()
        self.rows.ticked()

    # ---- looking inside

    @property
    def waiting(self) -> set[str]:
        """What was asked for and is neither acknowledged nor refused."""
        return {key.uri for key, want in self.wants.items() if not want.acknowledged}

    @property
    def member(self) -> Any:
        return self.ledger._member

    @property
    def engine(self) -> Any:
        return self.member.engine if self.member else None

    @property
    def cluster(self) -> int | None:
        return self.ledger._affiliation.cluster

    @property
    def leads(self) -> bool:
        return self.alive and self.engine is not None and self.engine.is_leader

    @property
    def remembers(self) -> bool:
        """Whether it counts for a majority of its cluster."""
        return self.alive and self.member is not None and self.name in self.world.voters and not self.engine.recovering

    def is_bound_to(self, cluster: int) -> bool:
        """Whether it counts for a majority of this cluster, or will when it hears that it was founded."""
        founding = self.ledger._founding
        pledged = founding is not None and founding.recovering and founding.pledge == cluster
        return pledged or (self.remembers and self.cluster == cluster)

    def gone(self) -> list[Owner]:
        return [change.owner for change in self.changes if isinstance(change, NodeGone)]

    def knows(self) -> Any:
        """What it tells with a message, unasked: who lived when (invariant 8)."""
        return self.knowledge.told(self)

    def learn(self, knowledge: Any) -> None:
        self.knowledge.learned(self, knowledge)


class World:
    """The nodes, their network and the checkers. Violations are noted: ledgers swallow exceptions of callbacks."""

    def __init__(
        self,
        seed: int,
        voters: int = 3,
        observers: int = 0,
        *,
        certified: bool = False,
        drift: float = 0.0,
        **options: Any,
    ) -> None:
        """`drift`: how far clocks may differ from time in their rate; then they also differ in what they show."""
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.network = Network(self.clock, self.chance)
        self.voters = tuple(f"v{number}" for number in range(voters))
        self.options = options
        self.drift = drift
        self.clocks: dict[str, SkewedClock] = {}  # by machine: it outlives processes
        self.hosts: dict[str, Host] = {}
        self.ghosts: list[Host] = []  # processes that run on, cut off, while another one has their name
        self.certified = certified
        self.incarnations: dict[str, list[int]] = {}  # by name, as a process finds them in its run directory
        self.invariants = Invariants(self)
        self.trace: list[str] = []
        self.settled: list[tuple[bool, float]] = []  # see `Chaos.settled`
        self.acknowledgements = 0
        self.sessions = 0
        for name in [*self.voters, *(f"w{number}" for number in range(observers))]:
            self.start(name)

    # ---- processes

    def machine_clock(self, name: str) -> SkewedClock:
        if name not in self.clocks:
            error = self.chance.choice([-1.0, 1.0, self.chance.uniform(-1.0, 1.0)]) * self.drift
            offset = self.chance.uniform(0.0, 1e6) if self.drift else 0.0
            self.clocks[name] = SkewedClock(self.clock, 1.0 + error, offset)
        return self.clocks[name]

    def start(self, name: str) -> Host:
        host = self.hosts[name] = Host(self, name, self.options)
        self.network.add(host)
        host.ledger.start()
        return host

    def kill(self, name: str, fin: bool = True) -> Host:
        host = self.hosts[name]
        host.alive = False
        self.network.remove(host, fin)
        return host

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        met = self.clock.run(seconds, until)
        assert not self.violations, "\n".join(self.violations)
        return met

    def until_serving(self, names: Iterable[str] | None = None, seconds: float = 10.0) -> float:
        """Run until these (default: all) serve; returns how long it took."""
        began = self.clock.time
        hosts = [self.hosts[name] for name in (names or self.hosts)]
        assert self.run(seconds, lambda: all(host.ledger.serving() for host in hosts)), [
            h.ledger.status() for h in hosts
        ]
        return self.clock.time - began

    @property
    def violations(self) -> list[str]:
        return self.invariants.violations

    @property
    def alive(self) -> list[Host]:
        return [host for host in [*self.hosts.values(), *self.ghosts] if host.alive]

    @property
    def leader(self) -> Host:
        """The leader of the highest term."""
        return max((host for host in self.alive if host.leads), key=lambda host: host.engine.term)

    @property
    def followers(self) -> list[Host]:
        return [host for host in self.alive if host is not self.leader]

    def has_memory(self) -> bool:
        """Whether a majority of the voters remembers one cluster: then nothing has to be founded."""
        clusters = [host.cluster for host in self.alive if host.remembers]
        return any(2 * clusters.count(cluster) > len(self.voters) for cluster in clusters)

    def commands(self) -> list[bytes]:
        """All commands that anybody applied, by index."""
        return self.invariants.commands()

    def acknowledged(self, want: Want) -> None:
        """SUBSCRIBED or REGISTERED is sent."""
        self.acknowledgements += 1
        self.trace.append(f"{self.clock.time:.4f} {want.host.name} {want.key.uri} stands")
        self.invariants.acknowledged(want)

    def check_equal_tables(self) -> None:
        """After healing: everybody in the same state."""
        states = {host.member.machine.digest() for host in self.alive}
        assert len(states) == 1, [host.ledger.status() for host in self.alive]
        self.invariants.check_rows()
        assert not self.violations, "\n".join(self.violations)

    def check_rest(self) -> None:
        """A while after healing: each node's rows in the tables are those that it wants, and it was told so."""
        for host in self.alive:
            owner, tables = host.ledger.owner, host.ledger.tables
            assert _owners(tables) <= set(tables.up), f"{host.name} has rows of the dead"
            have = {route(row.topic) for _, row in tables.routes_of(owner)}
            have |= {registration(row.procedure) for _, row, _ in tables.registrations_of(owner)}
            assert have == set(host.wants), f"{host.name} wants {sorted(host.wants)} and has {sorted(have)}"
            assert all(want.acknowledged for want in host.wants.values()), f"{host.name} waits for an acknowledgement"


def _owners(tables: Any) -> set[Owner]:
    """Whose rows there are."""
    routes = {owner for index in tables.routes.values() for row in index for owner in row.owners}
    return routes | {each.owner for index in tables.registrations.values() for row in index for each in row.callees}
