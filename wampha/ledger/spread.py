"""How long it takes until every node that may serve has applied what this one has; measured for one entry at a time."""

from __future__ import annotations

from typing import Final

from wampha.counters import Counters


class Spread:
    """Of one membership. It looks at two indices in each turn and keeps one mark, so it costs next to nothing."""

    def __init__(self, counters: Counters) -> None:
        self._seconds: Final = counters.seconds
        self._distribution: Final = counters.distributions["raft_applied_everywhere_seconds"]
        self._index = 0  # of the entry that is waited for; 0: none
        self._since = 0.0

    def look(self, applied: int, safe: int) -> None:
        """`applied` here, and by all who may serve up to `safe` (rule 21)."""
        if self._index and safe >= self._index:
            self._distribution.add(self._seconds() - self._since)
            self._index = 0
        if not self._index and applied > safe:
            self._index, self._since = applied, self._seconds()
