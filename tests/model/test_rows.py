"""A node's rows on a ledger that loses, delays and repeats: protocol rules 22 and 30-33.

The ledger decides each proposal in one of the ways that an engine can: applied; applied, but the outcome is unknown;
not applied yet, outcome unknown, and it surfaces later (or never); a snapshot jumps over it. Whatever it does, once a
row has been acknowledged it stays in the table as long as it is wanted, and at rest the table holds what is wanted.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.core import FakeLedger, Log
from wampha.counters import Counters
from wampha.routing.rowkinds import NOTHING, REGISTRATIONS, ROUTES, SUBSCRIBERS, RowKey, Terms, Want
from wampha.routing.rows import Rows
from wampha.state.commands import AddRegistration, Command, Outcome, Owner, RemoveRegistration, Up

OWN, OTHER = Owner("a", 1), Owner("b", 2)
KEYS = (
    RowKey(ROUTES, "r", "exact", "t"),
    RowKey(ROUTES, "r", "prefix", "t"),
    RowKey(REGISTRATIONS, "r", "exact", "p", 7),
)


class Watcher:
    def __init__(self, world: World, key: RowKey) -> None:
        self._world = world
        self._key = key

    def waits(self) -> bool:
        return self._key not in self._world.acknowledged

    def stands(self, row_id: int) -> None:
        world = self._world
        assert world.ledger.is_serving
        assert world.have(self._key) == world.wanted[self._key]
        assert world.ledger.safe >= row_id
        world.acknowledged[self._key] = row_id

    def revoked(self, reason: str) -> None:
        raise AssertionError("what was acknowledged is not taken away")

    def refused(self, outcome: Outcome) -> None:
        assert self._key not in self._world.acknowledged, "what was acknowledged is not taken away"
        self._world.wanted[self._key] = NOTHING


class World:
    def __init__(self) -> None:
        self.log = Log()
        self.counters = Counters()
        for owner in (OWN, OTHER):
            self.log.append(Up(owner, (), "", ""))
        self.ledger = FakeLedger(self.log, OWN, None, self.counters)
        self.ledger.apply()
        self.rows = Rows(ledger=self.ledger, counters=self.counters, wall_ms=lambda: 0)
        self.ledger.events = self
        self.applied = self.rows.applied
        self.installed = self.rows.installed
        self.safe_moved = self.rows.claim
        self.ledger.hold = True
        self.ledger.claim_at_once = False
        self.wanted: dict[RowKey, Want] = dict.fromkeys(KEYS, NOTHING)
        self.acknowledged: dict[RowKey, int] = {}
        self.lost: list[Command] = []
        self.others_number = 0

    def have(self, key: RowKey) -> Want:
        if key.table == ROUTES:
            route = self.ledger.tables.route(key.realm, key.match, key.uri)
            return SUBSCRIBERS if route is not None and OWN in route.owners else NOTHING
        row = self.ledger.tables.registration(key.realm, key.match, key.uri)
        return Terms() if row is not None and row.callee(OWN, key.session) is not None else NOTHING

    def step(self, action: str, choice: int) -> None:
        getattr(self, action)(choice)
        for key, row_id in self.acknowledged.items():
            assert self.have(key) == self.wanted[key], "an acknowledged row stays while it is wanted"
            assert self.rows.standing(key) in (0, row_id), "and keeps its id"

    # ---- local truth

    def want(self, choice: int) -> None:
        key = KEYS[choice % len(KEYS)]
        if self.wanted[key] == NOTHING:
            self.wanted[key] = SUBSCRIBERS if key.table == ROUTES else Terms()
            self.rows.want(key, self.wanted[key], Watcher(self, key))

    def withdraw(self, choice: int) -> None:
        key = KEYS[choice % len(KEYS)]
        self.acknowledged.pop(key, None)
        self.wanted[key] = NOTHING
        self.rows.withdraw(key)

    # ---- what the ledger makes of a proposal

    def commit(self, _: int) -> None:
        self.ledger.commit(min(1, len(self.ledger.queue)))

    def commit_without_knowing(self, choice: int) -> None:
        if self.ledger.queue:
            command, outcome = self.ledger.forget(choice % len(self.ledger.queue))
            self.log.append(command)
            self.ledger.apply()
            outcome(Outcome.UNKNOWN)

    def lose(self, choice: int) -> None:
        if self.ledger.queue:
            command, outcome = self.ledger.forget(choice % len(self.ledger.queue))
            self.lost.append(command)
            outcome(Outcome.UNKNOWN)

    def surface(self, choice: int) -> None:
        if self.lost:
            self.log.append(self.lost[choice % len(self.lost)])
            self.ledger.apply()

    def snapshot(self, _: int) -> None:
        self.ledger.install(self.ledger.machine, self.ledger.applied)

    def claim(self, _: int) -> None:
        self.ledger.claim()

    def serve(self, choice: int) -> None:
        self.ledger.is_serving = bool(choice % 2)
        self.rows.claim()

    def tick(self, _: int) -> None:
        self.rows.ticked()

    def other_node(self, choice: int) -> None:
        self.others_number += 1
        command = (
            AddRegistration(OTHER, self.others_number, "r", "exact", "p", "single", 99)
            if choice % 2
            else RemoveRegistration(OTHER, self.others_number, "r", "exact", "p", 99)
        )
        self.log.append(command)
        self.ledger.apply()

    def rest(self) -> None:
        """No more faults: everything is decided, claimed and served."""
        self.ledger.is_serving = True
        self.step("other_node", 0)
        for _ in range(10):
            self.step("tick", 0)
            while self.ledger.queue:
                self.step("commit", 0)
            self.step("claim", 0)


ACTIONS = (
    "want",
    "withdraw",
    "commit",
    "commit_without_knowing",
    "lose",
    "surface",
    "snapshot",
    "claim",
    "serve",
    "tick",
    "other_node",
)


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(min_value=0, max_value=5)), min_size=20, max_size=60))
def test_acknowledged_rows_stay_and_at_rest_the_table_holds_what_is_wanted(steps: list[tuple[str, int]]) -> None:
    world = World()
    for action, choice in steps:
        world.step(action, choice)
    world.rest()
    for key in KEYS:
        assert world.have(key) == world.wanted[key]
        assert (key in world.acknowledged) == (world.wanted[key] != NOTHING)
    for command in world.lost:
        world.log.append(command)
        world.ledger.apply()
    for key in KEYS:
        assert world.have(key) == world.wanted[key], "nothing old has force any more"
