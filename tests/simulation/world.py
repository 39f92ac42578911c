"""Ledgers of several nodes in one process, on a virtual clock, over seeded links; and what must never happen.

One seed gives one run, whatever PYTHONHASHSEED is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from tests.simulation.clock import Timer, VirtualClock
from tests.simulation.network import Network
from wampha.counters import Counters
from wampha.ledger.engine import Options
from wampha.ledger.raft import RaftLedger
from wampha.state.changes import NodeGone
from wampha.state.commands import AddRoute, Outcome, Owner, RemoveRoute
from wampha.state.machine import Machine

REALM = "realm1"


class HostClock:
    """A process's clock: while it is stopped its timers wait."""

    def __init__(self, world: World, host: Host) -> None:
        self._world, self._host = world, host

    def now(self) -> float:
        return self._world.clock.now()

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Timer:
        timer = self._world.clock.call_later(delay_s, lambda: None)
        timer.call, timer.args = self._host.run, (call, args, timer)
        return timer


class WatchedMachine(Machine):
    """The machine; every entry it applies is compared with what others applied there."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.counters)
        self._host = host
        self._last = 0

    def apply(self, index: int, data: bytes) -> Outcome:
        self._host.world.check_applied(self._host, self._last, index, data)
        self._last = index
        return super().apply(index, data)


class Host:
    """One process: a ledger, what it told, and whether it runs."""

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
        self.number = 0
        self.waiting: dict[str, Owner] = {}  # topic whose row is to be acknowledged -> owner
        self.ledger = RaftLedger(
            name=name,
            voters=world.voters,
            address=f"{name}:9000",
            machine_factory=lambda: WatchedMachine(self),
            clock=HostClock(world, self),
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

    # ---- the process

    def run(self, call: Callable[..., None], args: tuple[Any, ...] = (), timer: Timer | None = None) -> None:
        if not self.alive:
            return
        if self.stopped:
            self._held.append((call, args, timer))
        elif timer is None or not timer.cancelled:
            call(*args)

    def wake(self) -> None:
        """SIGCONT. What came meanwhile, timers first, is handled at once."""
        self.stopped = False
        held, self._held = self._held, []
        for call, args, timer in sorted(held, key=lambda item: item[2] is None):
            self.run(call, args, timer)

    # ---- a client: routes, acknowledged as rule 22 says

    def add_route(self, topic: str) -> None:
        """Propose the row and note its acknowledgement when it is safe."""
        self.number += 1
        owner = self.ledger.owner

        def told(outcome: Outcome) -> None:
            self.world.trace.append(f"{self.name} {topic} {outcome.value}")
            if outcome is Outcome.OK and owner == self.ledger.owner:
                self.waiting[topic] = owner
                self._acknowledge()

        self.ledger.propose(AddRoute(owner, self.number, REALM, "exact", topic), told)

    def remove_route(self, topic: str) -> None:
        """Remove an acknowledged row; any other has a proposal in flight, and one at a time is the rule (31)."""
        if self.world.acknowledged.pop((self.ledger.owner, topic), None) is None:
            return
        self.number += 1
        self.ledger.propose(RemoveRoute(self.ledger.owner, self.number, REALM, "exact", topic), lambda outcome: None)

    def _acknowledge(self) -> None:
        for topic, owner in list(self.waiting.items()):
            route = self.ledger.tables.route(REALM, "exact", topic)
            if route and route.owners.get(owner, self.ledger.safe + 1) <= self.ledger.safe and self.ledger.serving():
                del self.waiting[topic]
                self.world.acknowledged[owner, topic] = route.owners[owner]
                self.world.acknowledgements += 1
                self.world.check_rows()

    # ---- LedgerEvents

    def applied(self, changes: Iterable[Any]) -> None:
        self.changes.extend(changes)
        self.world.buried.update(change.owner for change in changes if isinstance(change, NodeGone))

    def installed(self) -> None:
        self.installs += 1

    def safe_moved(self) -> None:
        self.world.check_claim(self)
        self._acknowledge()

    def serving_changed(self, serving: bool) -> None:
        self.told.append(serving)
        self.world.trace.append(f"{self.world.clock.time:.4f} {self.name} serves {serving}")

    def fenced(self, sentence: str) -> None:
        self.fences.append(sentence)
        self.waiting.clear()
        self.world.trace.append(f"{self.world.clock.time:.4f} {self.name} fenced")

    def ticked(self) -> None:
        self.world.look()
        self._acknowledge()

    # ---- looking inside

    @property
    def member(self) -> Any:
        return self.ledger._member

    @property
    def engine(self) -> Any:
        return self.member.engine if self.member else None

    @property
    def cluster(self) -> int | None:
        return self.ledger._cluster

    @property
    def leads(self) -> bool:
        return self.alive and self.engine is not None and self.engine.is_leader

    def gone(self) -> list[Owner]:
        return [change.owner for change in self.changes if isinstance(change, NodeGone)]


class World:
    """The nodes, their network and the checkers. Violations are noted: ledgers swallow exceptions of callbacks."""

    def __init__(self, seed: int, voters: int = 3, observers: int = 0, certified: bool = False, **options: Any) -> None:
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.network = Network(self.clock, self.chance)
        self.voters = tuple(f"v{number}" for number in range(voters))
        self.options = options
        self.hosts: dict[str, Host] = {}
        self.certified = certified
        self.incarnations: dict[str, list[int]] = {}  # by name, as a process finds them in its run directory
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.acknowledged: dict[tuple[Owner, str], int] = {}
        self.acknowledgements = 0
        self._log: dict[tuple[int, int], bytes] = {}  # (cluster, index) -> command
        self._leaders: dict[tuple[int, int], str] = {}  # (cluster, term) -> name
        self._claims: dict[int, int] = {}  # cluster -> highest claim
        self.buried: set[Owner] = set()  # incarnations whose end was applied anywhere
        for name in [*self.voters, *(f"w{number}" for number in range(observers))]:
            self.start(name)

    # ---- processes

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
    def alive(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.alive]

    @property
    def leader(self) -> Host:
        """The leader of the highest term."""
        return max((host for host in self.alive if host.leads), key=lambda host: host.engine.term)

    @property
    def followers(self) -> list[Host]:
        return [host for host in self.alive if host is not self.leader]

    def commands(self) -> list[bytes]:
        """All commands that anybody applied, by index."""
        return [self._log[place] for place in sorted(self._log)]

    # ---- invariants (protocol section 4)

    def check_applied(self, host: Host, last: int, index: int, data: bytes) -> None:
        """Invariant 1."""
        cluster = host.cluster
        assert cluster is not None
        if index <= last:
            self.violated(f"{host.name}: applied index fell from {last} to {index}")
        if self._log.setdefault((cluster, index), data) != data:
            self.violated(f"{host.name}: another command at {index}")

    def check_claim(self, host: Host) -> None:
        """Invariant 2 at the moment when a claim is made or heard."""
        assert host.cluster is not None
        self._claims[host.cluster] = max(self._claims.get(host.cluster, 0), host.ledger.safe)
        self.look()

    def look(self) -> None:
        """Invariants 1-3 over all that live; and one cluster at a time is served (rule 54)."""
        served = {host.cluster for host in self.alive if not host.stopped and host.ledger.serving()}
        if len(served) > 1:
            self.violated(f"{len(served)} clusters are served at once")
        for host in self.alive:
            if host.stopped or host.cluster is None:
                continue
            if host.leads:
                name = self._leaders.setdefault((host.cluster, host.engine.term), host.name)
                if name != host.name:
                    self.violated(f"two leaders in term {host.engine.term}: {name}, {host.name}")
            if not host.ledger.serving():
                continue
            claim = self._claims.get(host.cluster, 0)
            if host.engine.applied < claim:
                self.violated(f"{host.name} serves, has applied {host.engine.applied}, but {claim} was claimed")
            if host.ledger.owner in self.buried:
                self.violated(f"{host.name} serves as a dead incarnation")

    def check_rows(self) -> None:
        """Invariant 5: what was acknowledged is in the table of whoever serves, unless its incarnation ended."""
        for host in self.alive:
            if host.stopped or not host.ledger.serving():
                continue
            for (owner, topic), index in self.acknowledged.items():
                if owner in self.buried or owner not in host.ledger.tables.up:
                    continue
                route = host.ledger.tables.route(REALM, "exact", topic)
                if route is None or route.owners.get(owner) != index:
                    self.violated(f"{host.name} serves without the acknowledged {topic} of {owner.name}")

    def violated(self, sentence: str) -> None:
        self.violations.append(f"{self.clock.time:.4f} {sentence}")

    def check_equal_tables(self) -> None:
        """After healing: everybody in the same state."""
        states = {host.member.machine.digest() for host in self.alive}
        assert len(states) == 1, [host.ledger.status() for host in self.alive]
        self.check_rows()
        assert not self.violations, "\n".join(self.violations)
