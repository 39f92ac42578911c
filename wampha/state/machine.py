"""The state machine: apply(index, command) -> outcome, the same on every node that applies the same log.

Total: it never raises, whatever the bytes. Deterministic: it reads no clock, draws no random number and iterates over
no set. What it changed is told as a list of changes in the order of the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from wampha.counters import Counters
from wampha.names.patterns import PatternIndex
from wampha.names.uri import MATCHES
from wampha.state import snapshot
from wampha.state.changes import (
    Change,
    LeaderChanged,
    NodeGone,
    NodeUp,
    RegistrationAdded,
    RegistrationRemoved,
    RouteAdded,
    RouteRemoved,
)
from wampha.state.codec import VERSION, UnreadableError, UnsupportedError, decode
from wampha.state.commands import (
    AddRegistration,
    AddRoute,
    Command,
    Down,
    Lead,
    Leave,
    Outcome,
    Owner,
    RemoveRegistration,
    RemoveRoute,
    Up,
)
from wampha.state.snapshot import Decoder, Encoder
from wampha.state.tables import DEAD_MAX, Node, Registration, Route, Tables

SINGLE: Final = "single"


class Restoring:
    """A snapshot on its way into a machine, which keeps its tables until `install`."""

    def __init__(self, machine: Machine) -> None:
        self._machine: Final = machine
        self._decoder: Final = Decoder(machine.reads)

    def add(self, piece: bytes) -> None:
        """Take the next piece; raises codec.UnreadableError, and tells the machine if it is too old to read it."""
        try:
            self._decoder.add(piece)
        except UnsupportedError as error:
            self._machine.unsupported = str(error)
            raise

    def install(self) -> None:
        """Replace the machine's tables; raises codec.UnreadableError if pieces are missing."""
        self._machine.install(self._decoder.tables())


class Machine:
    """Holds the tables and applies the log to them."""

    def __init__(self, counters: Counters, reads: int = VERSION) -> None:
        """`reads`: the newest version of commands that can be read; another than this release's is for tests."""
        self.tables = Tables()
        self.reads: Final = reads
        self.unsupported: str | None = None  # why the tables are wrong from now on: this node is too old to know them
        self._counters: Final = counters
        self._changes: list[Change] = []
        self._encoders: Final[dict[str, Encoder]] = {}  # purpose -> of the snapshot begun last
        self._handlers: Final[dict[type, Callable[[int, Any], Outcome]]] = {
            Lead: self._lead,
            Up: self._up,
            Down: self._down,
            Leave: self._leave,
            AddRoute: self._add_route,
            RemoveRoute: self._remove_route,
            AddRegistration: self._add_registration,
            RemoveRegistration: self._remove_registration,
        }

    def apply(self, index: int, data: bytes) -> Outcome:
        """Apply the entry at `index` (ascending) of the log.

        Bytes that are no command change nothing, on no node. A command of a newer version than some node that is up
        can read changes nothing, on no node either. If it is only this one that cannot, see `unsupported`.
        """
        if self.unsupported:
            return Outcome.REFUSED
        if data[:1] > b"\x01" and not self._readable(data[0]):
            return Outcome.REFUSED
        try:
            command = decode(data)
        except UnreadableError:
            self._counters.add("apply_failures")
            return Outcome.REFUSED
        return self.execute(index, command)

    def _readable(self, version: int) -> bool:
        """Whether a command of this version takes effect here."""
        if version > self.tables.readable():
            self._counters.add("apply_failures")
            return False
        if version > self.reads:
            self.unsupported = f"The log has a command of version {version}; this release reads {self.reads}."
            return False
        self.tables.newest = max(self.tables.newest, version)
        return True

    def execute(self, index: int, command: Command) -> Outcome:
        """Apply a command that is no bytes yet: what the ledger of a node alone does."""
        return self._handlers[type(command)](index, command)

    def take_changes(self) -> list[Change]:
        """The changes since the last call, in the order of the log; taken once."""
        changes, self._changes = self._changes, []
        return changes

    def begin_snapshot(self, purpose: str = "transfer") -> Encoder:
        """A snapshot of the tables as they are now, to be made in pieces while they change.

        It ends the one that was begun before for the same purpose.
        """
        before = self._encoders.get(purpose)
        if before:
            before.stop()
        encoder = self._encoders[purpose] = Encoder(self.tables)
        return encoder

    def snapshot(self) -> list[bytes]:
        """All pieces of a snapshot at once, for checks; equal for equal tables."""
        return snapshot.encode(self.tables)

    def restore(self, pieces: Iterable[bytes]) -> None:
        """Replace all tables by those of a whole snapshot; raises codec.UnreadableError."""
        restoring = Restoring(self)
        for piece in pieces:
            restoring.add(piece)
        restoring.install()

    def install(self, tables: Tables) -> None:
        """Replace all tables by those of a snapshot, and forget pending changes."""
        self.tables = tables
        self._changes = []

    def digest(self) -> bytes:
        """32 bytes that are equal on two nodes exactly if their tables are."""
        return hashlib.sha256(b"".join(self.snapshot())).digest()

    # ---- nodes

    def _lead(self, index: int, lead: Lead) -> Outcome:
        # A deposed leader's first command may still lie in its queue and reach the log through its successor.
        tables = self.tables
        if lead.term == tables.term and lead.name == tables.leader:
            return Outcome.OK
        if lead.term <= tables.term:
            return Outcome.REFUSED
        tables.previous_leader, tables.leader, tables.term = tables.leader, lead.name, lead.term
        self._changes.append(LeaderChanged(lead.term, lead.name))
        return Outcome.OK

    def _up(self, index: int, up: Up) -> Outcome:
        """Rule 25: refused if dead; the predecessors die in the same entry."""
        tables = self.tables
        if up.owner.incarnation in tables.dead:
            return self._dead()
        if up.reads < tables.newest:
            return Outcome.REFUSED
        standing = {owner.incarnation: owner for owner in tables.up}
        named = [standing[each] for each in (up.owner.incarnation, *up.succeeds) if each in standing]
        if up.owner.incarnation in up.succeeds or any(owner.name != up.owner.name for owner in named):
            return Outcome.REFUSED  # no node speaks for another
        for incarnation in dict.fromkeys(up.succeeds):
            if incarnation in standing:
                self._bury(standing[incarnation], "succeeded")
            else:
                self._remember_dead(incarnation)
        if up.owner not in tables.up:
            tables.up[up.owner] = index
            tables.nodes[up.owner] = Node(up.address, up.version, up.reads)
            tables.number[up.owner] = 0
            self._changes.append(NodeUp(up.owner))
        return Outcome.OK

    def _down(self, index: int, down: Down) -> Outcome:
        """Rule 26: valid in the term of the leader that proposed it and in no other."""
        if down.term != self.tables.term:
            return Outcome.REFUSED
        return self._end(down.owner, "down")

    def _leave(self, index: int, leave: Leave) -> Outcome:
        return self._end(leave.owner, "left")

    def _end(self, owner: Owner, reason: str) -> Outcome:
        if owner not in self.tables.up:
            return self._dead()
        self._bury(owner, reason)
        return Outcome.OK

    def _bury(self, owner: Owner, reason: str) -> None:
        """Rule 28: all rows of the incarnation go in one entry, and it never comes back."""
        self._bury_routes(owner)
        self._bury_registrations(owner)
        tables = self.tables
        del tables.up[owner], tables.nodes[owner], tables.number[owner]
        self._remember_dead(owner.incarnation)
        self._changes.append(NodeGone(owner, reason))

    # An owner may have as many rows as there are topics, and they go in one turn: so not one by one.

    def _bury_routes(self, owner: Owner) -> None:
        encoders = tuple(self._encoders.values())
        for realm, routes in list(self.tables.routes.items()):
            gone = [route for route in routes if owner in route.owners]
            for route in gone:
                for encoder in encoders:
                    encoder.before(route)
                del route.owners[owner]
            self._changes += [RouteRemoved(owner, realm, route.match, route.topic, route.id) for route in gone]
            routes.remove_all((route.match, route.topic) for route in gone if not route.owners)
            if not routes:
                del self.tables.routes[realm]

    def _bury_registrations(self, owner: Owner) -> None:
        for realm, rows in list(self.tables.registrations.items()):
            gone = [row for row in rows if row.owner == owner]
            self._changes += [
                RegistrationRemoved(owner, realm, row.match, row.procedure, row.id, row.session) for row in gone
            ]
            rows.remove_all((row.match, row.procedure) for row in gone)
            if not rows:
                del self.tables.registrations[realm]

    def _remember_dead(self, incarnation: int) -> None:
        dead = self.tables.dead
        if incarnation in dead:
            return
        dead[incarnation] = None
        while len(dead) > DEAD_MAX:
            del dead[next(iter(dead))]

    # ---- rows

    def _admit(self, owner: Owner, number: int) -> Outcome:
        """Rule 30: a command of a dead incarnation, or older than the last applied one of its own, has no effect."""
        tables = self.tables
        if owner not in tables.up:
            return self._dead()
        if number <= tables.number[owner]:
            self._counters.add("commands_stale")
            return Outcome.STALE
        tables.number[owner] = number
        return Outcome.OK

    def _dead(self) -> Outcome:
        self._counters.add("commands_dead")
        return Outcome.DEAD

    def _add_route(self, index: int, add: AddRoute) -> Outcome:
        if (admitted := self._admit(add.owner, add.number)) is not Outcome.OK:
            return admitted
        if add.match not in MATCHES:
            return Outcome.REFUSED
        route = self.tables.route(add.realm, add.match, add.topic)
        if route is None:
            route = Route(index, add.match, add.topic)
            self.tables.routes_in(add.realm).add(add.match, add.topic, route)
        # A row that stands keeps its index: everybody who applied that entry knows the row since.
        if add.owner not in route.owners:
            self._tell_encoders(route)
            route.owners[add.owner] = index
            self._changes.append(RouteAdded(add.owner, add.realm, add.match, add.topic, route.id))
        return Outcome.OK

    def _tell_encoders(self, route: Route) -> None:
        for encoder in self._encoders.values():
            encoder.before(route)

    def _remove_route(self, index: int, remove: RemoveRoute) -> Outcome:
        if (admitted := self._admit(remove.owner, remove.number)) is not Outcome.OK:
            return admitted
        if remove.match not in MATCHES:
            return Outcome.REFUSED
        route = self.tables.route(remove.realm, remove.match, remove.topic)
        if route is not None and remove.owner in route.owners:
            self._drop_route(remove.realm, route, remove.owner)
        return Outcome.OK

    def _drop_route(self, realm: str, route: Route, owner: Owner) -> None:
        self._tell_encoders(route)
        del route.owners[owner]
        if not route.owners:
            _remove_pattern(self.tables.routes, realm, route.match, route.topic)
        self._changes.append(RouteRemoved(owner, realm, route.match, route.topic, route.id))

    def _add_registration(self, index: int, add: AddRegistration) -> Outcome:
        """Rule 34: free, or owned by the same session; else taken."""
        if (admitted := self._admit(add.owner, add.number)) is not Outcome.OK:
            return admitted
        if add.match not in MATCHES or add.policy != SINGLE:
            return Outcome.REFUSED
        standing = self.tables.registration(add.realm, add.match, add.procedure)
        if standing is not None:
            same = standing.owner == add.owner and standing.session == add.session
            return Outcome.OK if same else Outcome.TAKEN
        registration = Registration(index, add.match, add.procedure, add.policy, add.owner, add.session, index)
        self.tables.registrations_in(add.realm).add(add.match, add.procedure, registration)
        self._changes.append(
            RegistrationAdded(add.owner, add.realm, add.match, add.procedure, registration.id, add.session)
        )
        return Outcome.OK

    def _remove_registration(self, index: int, remove: RemoveRegistration) -> Outcome:
        if (admitted := self._admit(remove.owner, remove.number)) is not Outcome.OK:
            return admitted
        if remove.match not in MATCHES:
            return Outcome.REFUSED
        standing = self.tables.registration(remove.realm, remove.match, remove.procedure)
        if standing is not None and standing.owner == remove.owner:
            self._drop_registration(remove.realm, standing)
        return Outcome.OK

    def _drop_registration(self, realm: str, row: Registration) -> None:
        _remove_pattern(self.tables.registrations, realm, row.match, row.procedure)
        self._changes.append(RegistrationRemoved(row.owner, realm, row.match, row.procedure, row.id, row.session))


def _remove_pattern(by_realm: dict[str, PatternIndex[Any]], realm: str, match: str, uri: str) -> None:
    index = by_realm[realm]
    index.remove(match, uri)
    if not index:
        del by_realm[realm]
