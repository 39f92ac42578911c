"""A session's own events come before its last words and its on_leave, on other nodes too.

Events travel over the data link, the end of their session through the log. So a home node sends a mark behind its
events when it reports an end, and who applies the report tells nobody of it before the mark has come; for a second at
most, or a node whose link is down would keep all others from hearing of anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wampha.counters import Counters
from wampha.routing.ports import Cancellable, Clock, Ledger
from wampha.state.changes import Change, SessionLeft, TestamentsDue
from wampha.state.commands import Owner

PATIENCE_S: Final = 1.0


class Marks:
    """How far the events of each node have come."""

    def __init__(self, *, ledger: Ledger, counters: Counters, clock: Clock, go_on: Callable[[], None]) -> None:
        """`go_on` is called when what was held may be told."""
        self._ledger: Final = ledger
        self._counters: Final = counters
        self._clock: Final = clock
        self._go_on: Final = go_on
        self._marks: Final[dict[Owner, int]] = {}  # incarnation -> the report before which all its events are here
        self._timer: Cancellable | None = None

    def holds(self, change: Change) -> bool:
        """Whether this change, the first one that is untold, must wait."""
        if not isinstance(change, SessionLeft | TestamentsDue) or not change.report:
            return False
        owner = change.member.owner
        tables = self._ledger.tables
        if owner == self._ledger.owner or owner not in tables.up or self._marks.get(owner, 0) >= change.report:
            return False
        if self._timer is None:
            self._timer = self._clock.call_later(PATIENCE_S, self._give_up, owner, change.report)
        return True

    def came(self, owner: Owner, number: int) -> None:
        """The mark of a report."""
        self._marks[owner] = max(number, self._marks.get(owner, 0))
        self._forget_timer()
        self._go_on()

    def gone(self, owner: Owner) -> None:
        """The incarnation is dead: what it sent has come, or never will."""
        self._marks.pop(owner, None)
        self._forget_timer()

    def reset(self) -> None:
        """Nobody is left to be told."""
        self._marks.clear()
        self._forget_timer()

    def _give_up(self, owner: Owner, number: int) -> None:
        self._counters.add("marks_missed")
        self.came(owner, number)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
