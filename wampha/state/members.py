"""Which incarnations are up, which are dead, and who leads (protocol rules 5, 12, 25, 26, 28)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from wampha.state.changes import LeaderChanged, NodeGone, NodeUp
from wampha.state.commands import Command, Down, Lead, Leave, Outcome, Owner, Up
from wampha.state.ground import Ground, Handler, Rows
from wampha.state.tables import DEAD_MAX, Node


class Members:
    """The rules of the table of nodes."""

    def __init__(self, ground: Ground, owned: Sequence[Rows]) -> None:
        """`owned`: the tables whose rows die with their owner, in the order in which they are told of it."""
        self._ground: Final = ground
        self._owned: Final = owned
        self.handlers: Final[Mapping[type[Command], Handler]] = {
            Lead: self._lead,
            Up: self._up,
            Down: self._down,
            Leave: self._leave,
        }

    def _lead(self, index: int, lead: Lead) -> Outcome:
        # A deposed leader's first command may still lie in its queue and reach the log through its successor.
        tables = self._ground.tables
        if lead.term == tables.term and lead.name == tables.leader:
            return Outcome.OK
        if lead.term <= tables.term:
            return Outcome.REFUSED
        tables.previous_leader, tables.leader, tables.term = tables.leader, lead.name, lead.term
        self._ground.changes.append(LeaderChanged(lead.term, lead.name))
        return Outcome.OK

    def _up(self, index: int, up: Up) -> Outcome:
        """Rule 25: refused if dead; the predecessors die in the same entry."""
        tables = self._ground.tables
        if up.owner.incarnation in tables.dead:
            return self._ground.dead()
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
            self._ground.changes.append(NodeUp(up.owner))
        return Outcome.OK

    def _down(self, index: int, down: Down) -> Outcome:
        """Rule 26: valid in the term of the leader that proposed it and in no other."""
        if down.term != self._ground.tables.term:
            return Outcome.REFUSED
        return self._end(down.owner, "down")

    def _leave(self, index: int, leave: Leave) -> Outcome:
        return self._end(leave.owner, "left")

    def _end(self, owner: Owner, reason: str) -> Outcome:
        if owner not in self._ground.tables.up:
            return self._ground.dead()
        self._bury(owner, reason)
        return Outcome.OK

    def _bury(self, owner: Owner, reason: str) -> None:
        """Rule 28: all rows of the incarnation go in one entry, and it never comes back."""
        for rows in self._owned:
            rows.bury(owner)
        tables = self._ground.tables
        del tables.up[owner], tables.nodes[owner], tables.number[owner]
        self._remember_dead(owner.incarnation)
        self._ground.changes.append(NodeGone(owner, reason))

    def _remember_dead(self, incarnation: int) -> None:
        dead = self._ground.tables.dead
        if incarnation in dead:
            return
        dead[incarnation] = None
        while len(dead) > DEAD_MAX:
            del dead[next(iter(dead))]
