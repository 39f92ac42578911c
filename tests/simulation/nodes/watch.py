"""What must never happen inside: the invariants of the protocol (section 4), tables, bounds, leftovers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tests.checkers import history as h
from tests.checkers.kept import Kept
from wampha.counters import Counters
from wampha.messages.payload import Payload
from wampha.messages.values import Family
from wampha.state.changes import NodeGone
from wampha.state.codec import decode
from wampha.state.commands import Entrusted, Keep, Outcome, Owner
from wampha.state.machine import Machine

if TYPE_CHECKING:
    from tests.simulation.nodes.world import Host, World

DIGEST_EVERY = 16  # entries
BOUNDS_EVERY = 10  # looks
TRANSPORT_BYTES_MAX = 2 * 1024 * 1024  # Twisted's 64 KiB, one piece of a link's queue, and one turn's writes


class WatchedMachine(Machine):
    """The machine; every entry it applies is compared with what others applied there."""

    def __init__(self, counters: Counters, watch: Watch, host: Host) -> None:
        super().__init__(counters)
        self._watch, self._host = watch, host
        self._cluster: int | None = None
        self._last = 0

    def apply(self, index: int, data: bytes) -> Outcome:
        if self._cluster is None:
            self._cluster = self._host.node.ledger.status()["cluster"]
        watch, host, place = self._watch, self._host, (self._cluster, index)
        watch.check_entry(host, place, self._last, data)
        self._last = index
        known = len(self._ground.changes)
        outcome = super().apply(index, data)
        for change in self._ground.changes[known:]:
            if isinstance(change, NodeGone):
                watch.check_end(host, place, change.owner)
        if index % DIGEST_EVERY == 0:
            watch.check_digest(host, place, self.digest())
        return outcome


class Watch:
    """Looks at all nodes; violations are noted and not raised, since a node would swallow or survive them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.log: dict[tuple[int | None, int], bytes] = {}  # (cluster, index) -> command
        self._digests: dict[tuple[int | None, int], bytes] = {}
        self._ends: dict[tuple[int | None, Owner], int] = {}  # incarnation -> index of its end
        self._ended_here: dict[tuple[int, Owner], int] = {}
        self.buried: dict[Owner, None] = {}
        self._leaders: dict[tuple[int, int], str] = {}  # (cluster, term) -> name
        self._claims: dict[int, int] = {}  # cluster -> highest claim
        self._status: dict[str, dict[str, Any]] = {}
        self._open_gaps: dict[tuple[str, str], list[h.Gap]] = {}
        self.down: dict[tuple[str, str], float] = {}  # (who says so, to whom) -> since when there is no data link
        self._looks = 0

    # ---- the log

    def check_entry(self, host: Host, place: tuple[int | None, int], last: int, data: bytes) -> None:
        """Invariant 1: the same command at the same index; the applied index never falls."""
        if place[1] <= last:
            self._world.violated("state", f"{host.name}: the applied index fell from {last} to {place[1]}")
        if self.log.setdefault(place, data) != data:
            self._world.violated("state", f"{host.name}: another command at {place[1]} than elsewhere")

    def check_digest(self, host: Host, place: tuple[int | None, int], digest: bytes) -> None:
        if self._digests.setdefault(place, digest) != digest:
            self._world.violated("P9", f"{host.name}: other tables at {place[1]} than elsewhere")

    def check_end(self, host: Host, place: tuple[int | None, int], owner: Owner) -> None:
        """P8: an incarnation ends once, by the same entry everywhere."""
        cluster, index = place
        if self._ends.setdefault((cluster, owner), index) != index:
            self._world.violated("P8", f"{host.name}: {owner.name} ended at {index} and at another entry")
        self.buried[owner] = None

    # ---- all nodes

    def leads(self, host: Host) -> bool:
        return bool(host.node.ledger.status()["leading"])

    def term(self, host: Host) -> int:
        term: int = host.node.ledger.status()["term"]
        return term

    def look(self) -> None:
        """Invariants 1-3; and one cluster at a time is served (rule 54)."""
        world = self._world
        statuses = [(host, host.node.ledger.status()) for host in world.hosts.values() if host.running]
        served = {status["cluster"] for _, status in statuses if status["serving"]}
        if len(served) > 1:
            world.violated("state", f"{len(served)} clusters are served at once")
        for host, status in statuses:
            self._look_at_leader(host, status)
        for host, status in statuses:
            if status["serving"]:
                self._look_at_lease(host, status)
            known = (status["serving"], status["leading"], status["term"])
            if self._status.get(host.name) != known:
                self._status[host.name] = known
                world.note(f"{host.name} serves: {known[0]}, leads: {known[1]}, term {known[2]}")
        self._looks += 1
        if self._looks % BOUNDS_EVERY == 0:
            self._look_at_bounds()

    def _look_at_leader(self, host: Host, status: dict[str, Any]) -> None:
        cluster = status["cluster"]
        if cluster is None:
            return
        self._claims[cluster] = max(self._claims.get(cluster, 0), status["safe"])
        if status["leading"]:
            name = self._leaders.setdefault((cluster, status["term"]), host.name)
            if name != host.name:
                self._world.violated("state", f"two leaders in term {status['term']}: {name}, {host.name}")

    def _look_at_lease(self, host: Host, status: dict[str, Any]) -> None:
        claim = self._claims.get(status["cluster"], 0)
        if status["applied"] < claim:
            self._world.violated(
                "state", f"{host.name} serves and has applied {status['applied']}, but {claim} was claimed"
            )
        if host.node.ledger.owner in self.buried:
            self._world.violated("P8", f"{host.name} serves as a dead incarnation")

    def _look_at_bounds(self) -> None:
        world = self._world
        for socket in world.network.sockets:
            host = world.hosts.get(socket.here)
            if host is None or socket.process is not host.process:
                continue
            self._sample(host, "bytes in a transport", socket._out_bytes, TRANSPORT_BYTES_MAX)
            outbox = getattr(socket.protocol, "outbox", None)
            if outbox is not None:
                limits = host.node.settings.limits
                bound = limits.client_queue_bytes_max + TRANSPORT_BYTES_MAX
                self._sample(host, "bytes that wait for a client", outbox.waiting(), bound)

    def _sample(self, host: Host, what: str, value: float, bound: float) -> None:
        if value > bound:
            self._world.history.add(h.Sample(host.name, self._world.timeline.time, what, value, bound))

    # ---- links

    def born(self, host: Host) -> None:
        """A process begins without a link to anybody: until the first one, nothing can be sent at all."""
        for name in self._world.names:
            if name != host.name:
                self.down[host.name, name] = self._world.timeline.time
                self._gap(host.name, name)

    def logged(self, event: dict[str, Any]) -> None:
        """Between whom messages are lost, as the nodes announce it (P5), and since when the link had been down."""
        process, line = self._world.timeline.current, str(event["log_format"])
        if process is None:
            return
        if line.startswith("fenced"):  # the incarnation ends, and with it what it has not sent yet
            for name in self._world.names:
                if name != process.name:
                    self._gap(process.name, name)
        elif line.startswith("{frames} to {name}"):
            self._gap(process.name, event["name"])
        elif line.startswith("{frames} from {name}"):
            self._gap(event["name"], process.name)
        elif event.get("channel") == "data" and line.endswith("is down"):
            self.down[process.name, event["name"]] = self._world.timeline.time
        elif event.get("channel") == "data" and line.endswith("is up"):
            self._up(process.name, event["name"])

    def _gap(self, source: str, target: str) -> None:
        """It began when the link went down, and lasts until it is up."""
        now = self._world.timeline.time
        gap = h.Gap(source, target, min(self.down.get(pair, now) for pair in ((source, target), (target, source))), now)
        self._world.history.add(gap)
        if (source, target) in self.down:
            gap.end = math.inf
            self._open_gaps.setdefault((source, target), []).append(gap)

    def _up(self, source: str, target: str) -> None:
        self.down.pop((source, target), None)
        for gap in self._open_gaps.pop((source, target), []):
            gap.end = self._world.timeline.time

    # ---- the end

    def check_equal_tables(self) -> None:
        """After healing: everybody in the same state."""
        digests = {}
        for host in self._world.running:
            member = host.node.ledger._member
            digests.setdefault(member.machine.digest() if member else b"", []).append(host.name)
        if len(digests) != 1:
            self._world.violated("P9", f"the tables differ: {list(digests.values())}")

    def retained(self) -> list[list[Kept]]:
        """What was retained, in the order of the log of each cluster that there was."""
        logs: dict[int | None, list[Kept]] = {}
        handled: dict[tuple[int | None, Owner], int] = {}
        for (cluster, _), data in sorted(self.log.items(), key=lambda entry: entry[0][1]):
            command = decode(data)
            if not isinstance(command, Keep) or command.number != handled.get((cluster, command.owner), 0) + 1:
                continue
            handled[cluster, command.owner] = command.number
            for entrusted in command.wishes:
                assert isinstance(entrusted, Entrusted)
                event = entrusted.event
                args = Payload(Family(event.family), event.count, event.data).args()
                logs.setdefault(cluster, []).append(Kept(event.topic, args[0], args[1]))
        return list(logs.values())

    def check_empty_tables(self) -> None:
        """All clients have left: no route, no registration, no session and no call is left."""
        for host in self._world.running:
            node, tables = host.node, host.node.ledger.tables
            rows = sum(len(routes) for routes in tables.routes.values())
            rows += sum(len(registrations) for registrations in tables.registrations.values())
            if rows or node.router.sessions() or any(node.router._calls._elsewhere.values()):
                self._world.violated(
                    "left over", f"{host.name}: {rows} rows, {node.router.sessions()} sessions, or calls"
                )

    def check_nothing_left(self, host: Host) -> None:
        """A node that has stopped holds no timer, no connection and no port."""
        world = self._world
        timers = [timer._call for timer in host.reactor.timers]
        sockets = [socket for socket in world.network.sockets if socket.process is host.process]
        ports = [port for name, port in world.network.ports if name == host.name]
        if timers or sockets or ports or host.node.router.sessions():
            world.violated(
                "left over", f"{host.name} has stopped with timers {timers}, {len(sockets)} connections, ports {ports}"
            )
