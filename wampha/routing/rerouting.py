"""Callees that were asked to take a call and did not, and what the caller is told if none is left."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final

from wampha.errors import Canceled, ConcurrencyReached, NoAvailableCallee, NoSuchProcedure, Unavailable, WampError
from wampha.state.tables import Callee


class Why(enum.IntEnum):
    """Why a callee did not take a call. If all have refused, the greatest decides what the caller is told."""

    ABSENT = 0  # its home knows it no longer, or not yet (rule 3)
    SUSPENDED = 1  # its home does not serve
    UNREACHABLE = 2  # no link to its home
    BEHIND = 3  # its home does not keep up with what it is sent
    OVERTAKEN = 4  # it has got later calls of the same caller already (P3)
    FULL = 5  # it has as many calls as it wants to, and was not asked to let this one wait
    QUEUE_FULL = 6  # and as many wait as may
    UNAVAILABLE = 7  # it said so (advanced profile, "Call Re-Routing")
    LOST = 8  # it is gone, and may have done the work


class Refusals:
    """What became of one call at the callees that were asked to take it."""

    __slots__ = ("_by", "begun", "may_wait")

    def __init__(self) -> None:
        self._by: Final[dict[int, Why]] = {}  # index of a callee -> why it has not
        self.begun = False  # the caller has got a result on the way
        self.may_wait = False  # whoever it was sent to last may let it wait for a place

    def note(self, callee: Callee, why: Why) -> None:
        """This callee has not taken the call."""
        self._by[callee.index] = why

    def free(self, callees: Sequence[Callee]) -> list[Callee]:
        """Those that may be asked."""
        return [callee for callee in callees if callee.index not in self._by]

    def patient(self, callees: Sequence[Callee]) -> list[Callee]:
        """Those that may be asked to let the call wait."""
        return [callee for callee in callees if self._by.get(callee.index, Why.FULL) is Why.FULL]

    def close(self, callees: Sequence[Callee]) -> None:
        """Of these nobody can be asked: those who were not have no place."""
        for callee in callees:
            self._by.setdefault(callee.index, Why.FULL)

    @property
    def invoked(self) -> bool:
        """Whether some callee has got an INVOCATION."""
        return any(why >= Why.UNAVAILABLE for why in self._by.values())

    def error(self, procedure: str) -> WampError:
        """What the caller is told if nobody is left."""
        return _ERRORS[max(self._by.values(), default=Why.ABSENT)](procedure)


def not_registered(procedure: str) -> NoSuchProcedure:
    """The ERROR for a procedure that nobody offers."""
    return NoSuchProcedure(f"Nobody has registered {procedure!r}.")


def callee_lost() -> Canceled:
    """The ERROR for a call whose callee is gone: nobody knows how far it got."""
    return Canceled("The callee left, or its node was lost, before it answered.", {"outcome": "unknown"})


def candidates(
    callees: Sequence[Callee], refusals: Refusals | None, *, full: Callable[[Callee], bool], queues: bool
) -> tuple[list[Callee], bool]:
    """The callees of which one may be asked now, in order, and whether the call may wait there for a place.

    `full`: whether a callee is known to have no place; `queues`: whether calls may wait at all.
    """
    left = list(callees) if refusals is None else refusals.free(callees)
    free = [callee for callee in left if not (callee.concurrency and full(callee))]
    if free:
        return free, queues and len(free) == 1  # else it would only come back to ask again
    if not queues:
        return [], False
    return (list(callees) if refusals is None else refusals.patient(callees)), True


_ERRORS: Final[dict[Why, Callable[[str], WampError]]] = {
    Why.ABSENT: not_registered,
    Why.SUSPENDED: lambda _: Unavailable("The callee's node does not serve now; nothing was sent to it."),
    Why.UNREACHABLE: lambda _: Unavailable("The callee's node cannot be reached now; nothing was sent to it."),
    Why.BEHIND: lambda _: Unavailable("The callee's node does not keep up now; nothing was sent to it."),
    Why.OVERTAKEN: lambda _: Unavailable("Later calls have overtaken this one; nothing was called."),
    Why.FULL: lambda procedure: ConcurrencyReached(f"No callee of {procedure!r} takes one more call at a time."),
    Why.QUEUE_FULL: lambda procedure: ConcurrencyReached(f"No callee of {procedure!r} lets one more call wait."),
    Why.UNAVAILABLE: lambda procedure: NoAvailableCallee(f"No callee of {procedure!r} is available."),
    Why.LOST: lambda _: callee_lost(),
}
