"""The ledger of a node alone: every command is applied at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wampha.routing.ports import Cancellable, Clock, LedgerEvents
from wampha.state.commands import Command, Leave, Outcome, Owner, Up
from wampha.state.machine import Machine
from wampha.state.tables import Tables

RECONCILE_S: Final = 0.05  # as often as the ledger of a cluster


class LocalLedger:
    """Applies commands to the machine it is given, in the order in which they are proposed."""

    def __init__(self, *, machine: Machine, owner: Owner, clock: Clock, events: LedgerEvents) -> None:
        self._machine: Final = machine
        self._owner: Final = owner
        self._clock: Final = clock
        self._events: Final = events
        self._index = 0
        self._serving = False
        self._timer: Cancellable | None = None

    @property
    def owner(self) -> Owner:
        return self._owner

    @property
    def tables(self) -> Tables:
        return self._machine.tables

    @property
    def machine(self) -> Machine:
        """What holds the tables."""
        return self._machine

    @property
    def safe(self) -> int:
        """All that has been applied: nobody else serves."""
        return self._index

    @property
    def applied(self) -> int:
        return self._index

    @property
    def recovering(self) -> bool:
        return False

    def serving(self) -> bool:
        return self._serving

    def propose(self, command: Command, outcome: Callable[[Outcome], None]) -> None:
        """Apply the command; `outcome` and `LedgerEvents.applied` are called before this returns."""
        self._index += 1
        decided = self._machine.execute(self._index, command)
        changes = self._machine.take_changes()
        if changes:
            self._events.applied(changes)
        outcome(decided)

    def start(self) -> None:
        """Come up and serve."""
        self.propose(Up(self._owner, (), "", "", self._machine.reads), _as_expected)
        self._serving = True
        self._events.serving_changed(True)
        self._tick()

    def hand_over(self, done: Callable[[], None]) -> None:
        """There is nobody to lead instead: call `done()` at once."""
        done()

    def leave(self, done: Callable[[], None]) -> None:
        """Serve no longer, leave, call `done()`; all at once."""
        if self._serving:
            self._serving = False
            self.propose(Leave(self._owner), _as_expected)
        done()

    def stop(self) -> None:
        """Serve no longer; the next tick is cancelled."""
        self._serving = False
        if self._timer:
            self._timer.cancel()

    def status(self) -> dict[str, Any]:
        """What an operator or a test asks."""
        return {
            "name": self._owner.name,
            "role": "single",
            "has_leader": True,
            "leading": True,
            "applied": self._index,
            "committed": self._index,
            "safe": self._index,
            "serving": self._serving,
        }

    def _tick(self) -> None:
        self._timer = self._clock.call_later(RECONCILE_S, self._tick)
        self._events.ticked()


def _as_expected(outcome: Outcome) -> None:
    assert outcome is Outcome.OK, f"a node alone was refused by its own table: {outcome}"
