"""What a node proposes about nodes: that it is up, that it leaves, that others are dead (rules 5, 25, 26)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from wampha.routing.ports import Cancellable, Clock
from wampha.state.commands import Command, Down, Leave, Outcome, Owner, Up
from wampha.state.tables import Tables


class Membership:
    """At most one proposal about each incarnation is in flight."""

    def __init__(
        self,
        *,
        propose: Callable[[Command, Callable[[Outcome], None]], None],
        refused: Callable[[Owner], None],
        clock: Clock,
        leave_s: float,
        address: str,
        version: str,
        reads: int,
    ) -> None:
        """`refused(owner)` is called when `up` of that incarnation is refused because it is dead.

        Leaving takes no longer than `leave_s`.
        """
        self._propose: Final = propose
        self._refused: Final = refused
        self._address: Final = address
        self._version: Final = version
        self._reads: Final = reads
        self._clock: Final = clock
        self._leave_s: Final = leave_s
        self._deadline: Cancellable | None = None  # of leaving
        self._left: Callable[[], None] | None = None
        self._in_flight: Final[set[tuple[type[Command], Owner]]] = set()

    def come_up(self, owner: Owner, succeeds: Sequence[int], tables: Tables) -> None:
        """Rule 25: propose `up` until the row is there. A recovering voter too: it may serve, it only may not vote."""
        if owner not in tables.up:
            self._once(Up(owner, tuple(succeeds), self._address, self._version, self._reads), owner)

    def bury(self, condemned: Iterable[Owner], term: int) -> None:
        """Rule 26: propose `down` for those that the leader of `term` has condemned."""
        for owner in condemned:
            self._once(Down(owner, term), owner)

    def leave(self, owner: Owner, tables: Tables, done: Callable[[], None]) -> None:
        """Rule 5: propose `leave` until it is applied, then call `done()`; at the latest after `leave_s`, never now."""
        self._left = done
        wait_s = self._leave_s if owner in tables.up else 0.0
        self._deadline = self._clock.call_later(wait_s, self._finish)
        if owner in tables.up:
            self._propose_leave(owner)

    def stop(self) -> None:
        """Forget a deadline that runs."""
        if self._deadline:
            self._deadline.cancel()

    def _propose_leave(self, owner: Owner) -> None:
        def told(outcome: Outcome) -> None:
            if outcome is not Outcome.UNKNOWN:
                self._finish()
            elif self._left:
                self._propose_leave(owner)

        self._propose(Leave(owner), told)

    def _finish(self) -> None:
        done, self._left = self._left, None
        if done:
            done()

    def _once(self, command: Command, owner: Owner) -> None:
        key = (type(command), owner)
        if key in self._in_flight:
            return
        self._in_flight.add(key)

        def told(outcome: Outcome) -> None:
            self._in_flight.discard(key)
            if outcome is Outcome.DEAD and isinstance(command, Up):
                self._refused(owner)

        self._propose(command, told)
