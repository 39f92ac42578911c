"""For how long an incarnation that served has not served (rule 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wampha.ledger.constants import Timing


class Suspension:
    """Of one process; what it counts begins again with each incarnation, and whenever that serves."""

    def __init__(self, timing: Timing, now: float) -> None:
        self._timing: Final = timing
        self._lasted_s: float | None = None  # None: this incarnation never served
        self._looked_at = now

    def begin_anew(self) -> None:
        """Another incarnation begins."""
        self._lasted_s = None

    def served(self, *, leading: bool) -> None:
        """It serves now."""
        self._lasted_s = 0.0
        if leading:  # its own lease is shorter; its clients need not suffer from that
            self._lasted_s -= self._timing.lease_s - self._timing.leader_lease_s

    def lasts_too_long(self, now: float, suspended: Callable[[], bool]) -> bool:
        """Look at it, at each tick. While the process stood still it could ask nobody: that time does not count, and it
        will be told."""
        passed_s = min(now - self._looked_at, 2 * self._timing.tick_s)
        self._looked_at = now
        if self._lasted_s is None or not suspended():
            return False
        self._lasted_s += passed_s
        return self._lasted_s > self._timing.suspended_s
