"""What must never happen: invariants 1-8 of docs/protocol.md, section 4. Violations are noted, not raised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wampha.ledger.constants import RHO, Timing
from wampha.routing.rowkinds import REGISTRATIONS, ROUTES, RowKey
from wampha.state.codec import UnreadableError, decode
from wampha.state.commands import AddRegistration, AddRoute, Outcome, Owner, RemoveRegistration, RemoveRoute, Up

if TYPE_CHECKING:
    from tests.simulation.world import Host, Want, World

TIMING: Final = Timing.of()
LEASE_S: Final = TIMING.lease_s / (1 - RHO) + 1e-3  # the longest that a lease lasts, on any clock
LEADER_LEASE_S: Final = TIMING.leader_lease_s / (1 - RHO) + 1e-3
VIOLATIONS_MAX: Final = 50
ROWS: Final = (AddRoute, RemoveRoute, AddRegistration, RemoveRegistration)


class Knowledge:
    """Which voters a node can know to have been with its cluster, and when: by messages, over any number of hops.

    Whoever serves has heard of a majority within the longest lease (invariant 8). Recovering voters tell of others, but
    count for nothing themselves (rule 41).
    """

    def __init__(self) -> None:
        self._cluster: int | None = None
        self._at: dict[str, float] = {}  # voter -> time

    def told(self, host: Host) -> tuple[int | None, dict[str, float]]:
        self._refresh(host)
        return self._cluster, dict(self._at)

    def learned(self, host: Host, knowledge: tuple[int | None, dict[str, float]]) -> None:
        self._refresh(host)
        cluster, at = knowledge
        if cluster is not None and cluster == self._cluster:
            for voter, time in at.items():
                self._at[voter] = max(time, self._at.get(voter, 0.0))

    def quorum_at(self, host: Host) -> float:
        """The latest time such that a majority is known to have been there then or later."""
        self._refresh(host)
        voters = host.world.voters
        return sorted((self._at.get(voter, 0.0) for voter in voters), reverse=True)[len(voters) // 2]

    def _refresh(self, host: Host) -> None:
        if host.cluster != self._cluster:
            self._cluster, self._at = host.cluster, {}
        if host.remembers:
            self._at[host.name] = host.world.clock.time


@dataclass
class Acknowledged:
    """A row whose SUBSCRIBED or REGISTERED was sent."""

    want: Want
    cluster: int
    index: int


class Invariants:
    """Asked at every entry applied, claim, acknowledgement, publication and tick."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self._log: dict[tuple[int, int], bytes] = {}  # (cluster, index) -> command
        self._leaders: dict[tuple[int, int], str] = {}  # (cluster, term) -> name
        self._claims: dict[int, int] = {}  # cluster -> highest claim
        self._ends: dict[int, int] = {}  # cluster -> the last index that anybody applied
        self._numbers: dict[tuple[int, Owner], int] = {}  # (cluster, owner) -> highest number that took effect
        self._applied: dict[tuple[str, int, int], int] = {}  # (name, life, cluster) -> applied index
        self._clusters: list[int] = []  # oldest first
        self._ended: set[int] = set()  # clusters in whose successor somebody served
        self._rows: dict[tuple[Owner, RowKey], Acknowledged] = {}
        self.buried: set[Owner] = set()  # incarnations whose end was applied anywhere

    def violated(self, sentence: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{self._world.clock.time:.4f} {sentence}")

    def commands(self) -> list[bytes]:
        return [self._log[place] for place in sorted(self._log)]

    # ---- the log: 1, 6

    def check_applied(self, host: Host, last: int, index: int, data: bytes) -> None:
        """Invariant 1."""
        cluster = host.cluster
        assert cluster is not None
        if index <= last:
            self.violated(f"{host.name}: applied index fell from {last} to {index}")
        if self._log.setdefault((cluster, index), data) != data:
            self.violated(f"{host.name}: another command at {index}")

    def check_outcome(self, host: Host, index: int, data: bytes, outcome: Outcome) -> None:
        """Invariant 6. Somebody applies each index first, and in order: that one is looked at."""
        try:
            command = decode(data)
        except UnreadableError:
            return
        assert host.cluster is not None
        first = index > self._ends.get(host.cluster, 0)
        self._ends[host.cluster] = max(index, self._ends.get(host.cluster, 0))
        if outcome is not Outcome.OK or not first:
            return
        if isinstance(command, Up) and command.owner in self.buried:
            self.violated(f"{command.owner} came up at {index} after it was dead")
        if not isinstance(command, ROWS):
            return
        key = host.cluster, command.owner
        number = self._numbers.get(key, 0)
        if command.number <= number:
            self.violated(f"{command} took effect at {index} after number {number} had")
        self._numbers[key] = max(number, command.number)

    def bury(self, owners: Iterable[Owner]) -> None:
        """Invariant 3 holds from here on."""
        gone = set(owners) - self.buried
        if gone:
            self.buried |= gone
            self.look()

    # ---- serving: 1, 2, 3, 7, 8

    def check_claim(self, host: Host) -> None:
        """Invariant 2 at the moment when a claim is made or heard."""
        assert host.cluster is not None
        self._claims[host.cluster] = max(self._claims.get(host.cluster, 0), host.ledger.safe)
        self.look()

    def look(self) -> None:
        """Over all that live; and one cluster at a time is served (rule 54)."""
        served = set()
        for host in self._world.alive:
            if host.counters["invariants_violated"]:
                self.violated(f"{host.name} found itself that an invariant does not hold, and began anew")
            if host.stopped or host.cluster is None:
                continue
            self._check_member(host)
            if host.ledger.serving():
                served.add(host.cluster)
                self.check_serving(host)
        if len(served) > 1:
            self.violated(f"{len(served)} clusters are served at once")
        for cluster in served:
            self._ended.update(self._clusters[: self._clusters.index(cluster)])

    def _check_member(self, host: Host) -> None:
        cluster, engine = host.cluster, host.engine
        if cluster not in self._clusters:
            self._check_founded(cluster)
            self._clusters.append(cluster)
        if host.leads:
            name = self._leaders.setdefault((cluster, engine.term), host.name)
            if name != host.name:
                self.violated(f"two leaders in term {engine.term}: {name}, {host.name}")
        key = host.name, host.ledger.life, cluster
        applied = self._applied.get(key, 0)
        if engine.applied < applied:
            self.violated(f"{host.name}: applied index fell from {applied} to {engine.applied}")
        self._applied[key] = engine.applied

    def _check_founded(self, cluster: int) -> None:
        """Invariant 7: those who remember a former cluster, or are bound to found it, are no majority."""
        for former in self._clusters:
            held = [host.name for host in self._world.alive if host.is_bound_to(former)]
            if 2 * len(held) > len(self._world.voters):
                self.violated(f"a cluster was founded while {held} could decide in its predecessor")

    def check_serving(self, host: Host) -> None:
        """Invariants 2, 3, 8 for one that serves at this instant."""
        ledger, now = host.ledger, self._world.clock.time
        claim = self._claims.get(host.cluster or 0, 0)
        if host.engine.applied < claim:
            self.violated(f"{host.name} serves, has applied {host.engine.applied}, but {claim} was claimed")
        if ledger.owner in self.buried:
            self.violated(f"{host.name} serves as a dead incarnation")
        if host.cluster in self._ended:
            self.violated(f"{host.name} serves in a cluster that was superseded")
        silent = now - host.knowledge.quorum_at(host)
        if silent > (LEADER_LEASE_S if host.leads else LEASE_S):
            role = "leader" if host.leads else "follower"
            self.violated(f"{host.name} serves as a {role} {silent:.3f} s after a majority was last heard of")

    def check_host(self, host: Host) -> None:
        """A PUBLISH or CALL is routed here now: by a node that may, with a table that has all that it must."""
        if not host.ledger.serving():
            return
        self.look()
        self.check_serving(host)
        for row in list(self._rows.values()):
            self._check_row(host, row)

    # ---- rows: 4, 5

    def acknowledged(self, want: Want) -> None:
        host, key = want.host, want.key
        if want.owner != host.ledger.owner or not host.ledger.serving():
            self.violated(f"{host.name} acknowledged {key.uri} without a lease")
            return
        index = _index_of(host, want)
        if index is None:
            self.violated(f"{host.name} acknowledged {key.uri}, which is not in its table")
            return
        assert host.cluster is not None
        others = [row for (_, other), row in self._rows.items() if other == key and self._is_live(row)]
        if key.table == REGISTRATIONS and others:
            self.violated(f"{key.uri} has two owners: {others[0].want.host.name}, {host.name}")
        self._rows[want.owner, key] = Acknowledged(want, host.cluster, index)
        self.check_rows(key)

    def forget(self, want: Want) -> None:
        """It is wanted no longer, or its incarnation was fenced."""
        self._rows.pop((want.owner, want.key), None)

    def check_rows(self, key: RowKey | None = None) -> None:
        """Invariants 4, 5: what was acknowledged is in the table of whoever serves."""
        rows = [row for (_, its), row in self._rows.items() if key in (None, its)]
        for host in self._world.alive:
            if not host.stopped and host.ledger.serving():
                for row in rows:
                    self._check_row(host, row)

    def _check_row(self, host: Host, row: Acknowledged) -> None:
        if self._is_live(row) and row.cluster == host.cluster and _index_of(host, row.want) != row.index:
            want = row.want
            self.violated(f"{host.name} serves without the acknowledged {want.key.uri} of {want.host.name}")

    def _is_live(self, row: Acknowledged) -> bool:
        want = row.want
        return want.host.alive and want.owner not in self.buried and row.cluster not in self._ended


def _index_of(host: Host, want: Want) -> Any:
    """The index under which the host's table has the row."""
    key, tables = want.key, host.ledger.tables
    if key.table == ROUTES:
        route = tables.route(key.realm, key.match, key.uri)
        return route.owners.get(want.owner) if route else None
    row = tables.registration(key.realm, key.match, key.uri)
    callee = row.callee(want.owner, want.session) if row else None
    return callee.index if callee else None
