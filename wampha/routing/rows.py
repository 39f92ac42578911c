"""The node's own rows in the replicated tables, kept equal to what it wants (protocol rules 22 and 30-34).

Broker and dealer say what they want under a key; this module proposes commands until the table agrees, and tells when
a row *stands*: nothing is in flight, nothing is in doubt, and every node that may be serving knows the row (rule 22).
There is no stored state such as "adding": `want` is local truth, `have` is the table (rule 31).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Final, Protocol

from wampha.counters import Counters
from wampha.routing.ports import Ledger
from wampha.routing.rowkinds import (
    NOTHING,
    OWN_CHANGES,
    REGISTRATIONS,
    ROUTES,
    TABLES,
    Making,
    RowKey,
    Standing,
    Want,
    offer_key,
)
from wampha.state.changes import RegistrationRemoved
from wampha.state.commands import Outcome
from wampha.state.tables import Callee, Registration, Route

_NEVER: Final = -1  # `_Row.sure` of a row with a proposal whose outcome is not known (rule 32)
_RETRIES_PER_TICK: Final = 500  # rows in doubt that are proposed again at once; bounds the reactor turn
# A proposal counts as lost after a second. With more in flight than are decided in that time, all would be proposed
# again for ever, and none of them acknowledged.
_FLIGHTS_MAX: Final = 2000
_REFUSALS: Final = (Outcome.TAKEN, Outcome.CONFLICT, Outcome.FULL)
_ELSEWISE: Final = "wampha.revoked"  # by an entry that this node has not seen, since a snapshot jumped over it


class Watcher(Protocol):
    """Who wants a row."""

    def waits(self) -> bool:
        """Whether `stands` is of interest; asked when the row agrees with the want."""

    def stands(self, row_id: int) -> None:
        """The row stands: what waits for it may be acknowledged now."""

    def refused(self, outcome: Outcome) -> None:
        """There will be no row, since that of others is in the way; the want has been withdrawn."""

    def revoked(self, reason: str) -> None:
        """The row stood and was taken away; the want has been withdrawn."""


class _Row:
    """What is wanted under one key, and what is known of it."""

    __slots__ = ("farewells", "flight", "key", "queued", "reason", "session", "sure", "told", "want", "watcher")

    def __init__(self, key: RowKey, sure: int) -> None:
        self.key: Final = key
        self.sure = sure  # in which tables nothing is in doubt about it; see `Rows._tables`
        self.want: Want = NOTHING
        self.session = 0  # of a route: who asked for it, or was the last to have it
        self.watcher: Watcher | None = None
        self.told = 0  # of a registration: the id under which its watcher knows that it stands
        self.reason = _ELSEWISE  # why it was taken away
        self.flight = 0  # number of the proposal in flight; 0: none (rule 31)
        self.queued = False  # stands in the queue for the claim
        self.farewells: tuple[tuple[Want, Callable[[], None]], ...] = ()  # (value that goes, whom to tell)


class Rows:
    """All rows of this incarnation that are wanted, standing, in flight or in doubt."""

    def __init__(self, *, ledger: Ledger, counters: Counters, wall_ms: Callable[[], int]) -> None:
        """`wall_ms` gives milliseconds since 1970: rows say when they were made."""
        self._ledger: Final = ledger
        self._wall_ms: Final = wall_ms
        self._counters: Final = counters
        self._rows: dict[RowKey, _Row] = {}
        self._due: dict[RowKey, None] = {}  # to be looked at in the next tick, oldest first
        self._doubted: Iterator[RowKey] = iter(())  # to be looked at after those, since a snapshot came
        self._tables = 0  # snapshots that came: each makes every row dirty at once
        self._unclaimed: list[tuple[int, int, _Row]] = []  # heap of (index, tie-break, row) that wait for the claim
        self._number = 0  # of the last proposal of this incarnation (rule 30)
        self._flights = 0  # proposals in flight
        self._tie_break = 0
        self._stopped = False

    # ---- what broker and dealer ask

    def want(self, key: RowKey, value: Want, watcher: Watcher, session: int = 0) -> None:
        """Local truth: `value` under `key`, of a route for `session`.

        `watcher.stands` follows, perhaps before this returns.
        """
        row = self._rows.get(key)
        known = row is not None
        if row is None:
            row = self._rows[key] = _Row(key, self._tables)
        row.want = value
        row.session = session
        row.watcher = watcher
        if known:
            self._look(row)
        else:  # every own row that stands is known
            self._propose(row, NOTHING)

    def withdraw(self, key: RowKey, farewell: Callable[[], None] | None = None, session: int = 0) -> None:
        """Local truth: nothing under `key`, of a route since `session`, the last one, does without.

        `farewell` is called once the removal has been applied.
        """
        row = self._rows.get(key)
        if row is None:
            return
        row.session = session
        if farewell is not None:
            row.farewells += ((row.want, farewell),)
        self._let_go(row)
        self._look(row)

    def standing(self, key: RowKey) -> int:
        """The row's id if it stands and this node serves (rules 22 and 23), else 0."""
        row = self._rows.get(key)
        standing = None if row is None else self._agreed(row)
        if standing is None or standing.added > self._ledger.safe or not self._ledger.serving():
            return 0
        return standing.id

    # ---- what the ledger tells (rule 33)

    def applied(self, changes: Sequence[Any]) -> None:
        """Look at own rows that changed; one that nobody wants is removed."""
        owner = self._ledger.owner
        for change in changes:
            key_of = OWN_CHANGES.get(type(change))
            if key_of is None or change.owner != owner:
                continue
            key = key_of(change)
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row(key, self._tables)
            if type(change) is RegistrationRemoved and change.reason:
                row.reason = change.reason
            self._look(row)

    def installed(self) -> None:
        """The tables were replaced: every own row is in doubt (rule 32), and so is one that nobody wants.

        They are looked at in the next ticks; there may be very many.
        """
        owner, tables = self._ledger.owner, self._ledger.tables
        self._tables += 1
        self._doubted = chain(
            list(self._rows),
            self._strays(list(tables.routes_of(owner)), list(tables.registrations_of(owner)), self._tables),
        )

    def _strays(
        self, routes: list[tuple[str, Route]], offers: list[tuple[str, Registration, Callee]], tables: int
    ) -> Iterator[RowKey]:
        """Rows of this incarnation that nobody wants, each made known."""
        standing = chain(
            (RowKey(ROUTES, realm, row.match, row.topic) for realm, row in routes),
            (offer_key(realm, row, callee.session) for realm, row, callee in offers),
        )
        for key in standing:
            if key not in self._rows:
                self._rows[key] = _Row(key, tables - 1)
                yield key

    def ticked(self) -> None:
        """Propose again what is in doubt, a bounded number at a time."""
        self._look_at_due(min(_RETRIES_PER_TICK, _FLIGHTS_MAX - self._flights))
        self.claim()

    def _look_at_due(self, count: int) -> None:
        if count > len(self._due):
            self._due.update(dict.fromkeys(islice(self._doubted, count - len(self._due))))
        for key in list(islice(self._due, max(0, count))):
            del self._due[key]
            row = self._rows.get(key)
            if row is not None:
                self._look(row)

    def claim(self) -> None:
        """Tell the watchers of rows that stand by now: `safe` rose, or the lease returned."""
        ledger = self._ledger
        while self._unclaimed and self._unclaimed[0][0] <= ledger.safe and ledger.serving():
            row = heapq.heappop(self._unclaimed)[2]
            row.queued = False
            self._claimed(row)

    def reset(self) -> None:
        """The incarnation is dead: its rows died with it, and numbers begin anew (rules 4, 28, 30)."""
        self._rows = {}
        self._due = {}
        self._doubted = iter(())
        self._unclaimed = []
        self._number = 0
        self._flights = 0

    def stop(self) -> None:
        """Propose nothing any more: the incarnation leaves, and its rows go in that entry (rules 5, 28)."""
        self._stopped = True
        self.reset()

    # ---- one row

    def _agreed(self, row: _Row) -> Standing | None:
        """The row as the table shows it, if that is what is wanted and nothing is open about it."""
        if row.flight or row.sure != self._tables:
            return None
        standing = self._have(row)
        return standing if standing is not None and standing.value == row.want else None

    def _have(self, row: _Row) -> Standing | None:
        return TABLES[row.key.table].have(self._ledger.tables, self._ledger.owner, row.key)

    def _look(self, row: _Row) -> None:
        """Compare want and have; propose the difference unless a proposal is in flight (rule 31)."""
        if row.flight:
            return
        standing = self._have(row)
        if row.told and (standing is None or standing.id != row.told) and self._ledger.owner in self._ledger.tables.up:
            self._revoke(row)  # else all rows of this incarnation are gone: it is dead, and will be told
        have = NOTHING if standing is None else standing.value
        dirty = row.sure != self._tables
        if row.farewells and not dirty:
            self._bid_farewell(row, have)
        if dirty or row.want != have:
            self._propose(row, have)
        elif standing is None:
            self._rows.pop(row.key, None)
        elif row.watcher is not None and row.watcher.waits():
            self._tell(row, row.watcher, standing)

    def _revoke(self, row: _Row) -> None:
        """Somebody else's command has taken the row away; it is not for this node to bring it back."""
        watcher, reason = row.watcher, row.reason
        self._let_go(row)
        if watcher is not None:
            watcher.revoked(reason)

    @staticmethod
    def _let_go(row: _Row) -> None:
        row.want = NOTHING
        row.watcher = None
        row.told = 0
        row.reason = _ELSEWISE

    def _bid_farewell(self, row: _Row, have: Want) -> None:
        gone = [farewell for value, farewell in row.farewells if value != have]
        row.farewells = tuple((value, farewell) for value, farewell in row.farewells if value == have)
        for farewell in gone:
            farewell()

    def _propose(self, row: _Row, have: Want) -> None:
        if self._stopped:
            return
        if self._flights >= _FLIGHTS_MAX:
            self._due[row.key] = None
            return
        self._flights += 1
        self._number += 1
        row.flight = self._number
        owner, table = self._ledger.owner, TABLES[row.key.table]
        # A change of terms is remove, then add: `apply` changes no row that stands.
        adding = row.want != NOTHING and have in (NOTHING, row.want)
        command = (
            table.add(owner, row.flight, row.key, Making(row.want, row.told, row.session, self._wall_ms()))
            if adding
            else table.remove(owner, row.flight, row.key, row.session)
        )
        self._counters.add("proposals")
        self._ledger.propose(command, partial(self._decided, row, row.flight, row.want if adding else NOTHING))

    def _decided(self, row: _Row, number: int, added: Want, outcome: Outcome) -> None:
        if row.flight != number or self._rows.get(row.key) is not row:
            return  # proposed by an incarnation that is dead
        row.flight = 0
        crowded = self._flights >= _FLIGHTS_MAX
        self._flights -= 1
        if outcome is not Outcome.OK and outcome not in _REFUSALS:
            self._counters.add("rows_doubted")
            row.sure = _NEVER
            self._due[row.key] = None
            return
        # It was applied, and with it every earlier proposal for this key has lost its force (rule 30).
        row.sure = self._tables
        if outcome is not Outcome.OK and row.want == added:
            if self._held_by_leavers(row.key):
                self._due[row.key] = None
                return
            self._refused(row, outcome)
        self._look(row)
        if crowded:
            self._look_at_due(1)

    def _held_by_leavers(self, key: RowKey) -> bool:
        """Whether all who are in the way are sessions of this node that are on their way out."""
        registration = self._ledger.tables.registration(key.realm, key.match, key.uri)
        if registration is None:
            return False
        owner = self._ledger.owner
        rows = [self._rows.get(offer_key(key.realm, registration, callee.session)) for callee in registration.callees]
        return all(callee.owner == owner for callee in registration.callees) and all(
            row is not None and row.want == NOTHING for row in rows
        )

    def _refused(self, row: _Row, outcome: Outcome) -> None:
        if row.told:
            self._revoke(row)
            return
        watcher = row.watcher
        self._let_go(row)
        if watcher is not None:
            watcher.refused(outcome)

    def _tell(self, row: _Row, watcher: Watcher, standing: Standing) -> None:
        """Tell the watcher that its row stands, now or when the claim has reached it (rule 22)."""
        if standing.added <= self._ledger.safe and self._ledger.serving():
            if row.key.table == REGISTRATIONS:
                row.told = standing.id
            watcher.stands(standing.id)
        elif not row.queued:
            row.queued = True
            self._tie_break += 1
            heapq.heappush(self._unclaimed, (standing.added, self._tie_break, row))

    def _claimed(self, row: _Row) -> None:
        standing = self._agreed(row) if self._rows.get(row.key) is row else None
        if standing is not None and row.watcher is not None:  # else: looked at when its proposal is decided
            self._tell(row, row.watcher, standing)
