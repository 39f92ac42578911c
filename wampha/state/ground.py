"""What the rules of all tables share: the tables themselves, who may state a fact, and what is told of changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from wampha.counters import Counters
from wampha.state.changes import Change
from wampha.state.commands import Command, Outcome, Owner
from wampha.state.snapshot import Encoder
from wampha.state.tables import Route, Tables

Handler = Callable[[int, Any], Outcome]  # (index of the entry, command)


class Rows(Protocol):
    """The rules of one table whose rows have owners."""

    @property
    def handlers(self) -> Mapping[type[Command], Handler]:
        """What is done with the commands for this table."""

    def bury(self, owner: Owner) -> None:
        """Rule 28: take all rows of the incarnation away, in one turn however many there are."""


class Ground:
    """The tables while a command is applied."""

    def __init__(self, counters: Counters) -> None:
        self.tables = Tables()
        self.counters: Final = counters
        self.changes: list[Change] = []  # not taken yet, in the order of the log
        self.encoders: Final[dict[str, Encoder]] = {}  # purpose -> of the snapshot begun last

    def admit(self, owner: Owner, number: int) -> Outcome:
        """Rule 30: a command of a dead incarnation, or older than the last applied one of its own, has no effect."""
        tables = self.tables
        if owner not in tables.up:
            return self.dead()
        if number <= tables.number[owner]:
            self.counters.add("commands_stale")
            return Outcome.STALE
        tables.number[owner] = number
        return Outcome.OK

    def dead(self) -> Outcome:
        """The outcome of a command of an incarnation that is not up."""
        self.counters.add("commands_dead")
        return Outcome.DEAD

    def before(self, route: Route) -> None:
        """The owners of the route are about to change: tell the snapshots that are being made."""
        for encoder in self.encoders.values():
            encoder.before(route)
