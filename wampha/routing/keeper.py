"""What this node's publishers want to be kept, on its way through the log (`state/keeping.py`).

    keep(event) -> gathered -> one statement at a time -> applied -> applied on every node that may serve
                                     ^    |
                                     `----' again, if its outcome is not known

Only then whoever asked is told, and sends the event out: nobody gets an event that is not kept everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from wampha.counters import Counters
from wampha.errors import NodeBehind
from wampha.limits import KIB, Limits
from wampha.routing.ports import Clock, Ledger, Outbox
from wampha.state.commands import Clear, Entrusted, Keep, Outcome, Owner
from wampha.state.kept import weight

_STATEMENT_BYTES_MAX: Final = 64 * KIB  # with the largest event behind it below what the log takes at once
_RING_BYTES: Final = 40  # of a history that an event enters, beside its pattern
_SENT_MAX: Final = 20  # kept events that go out in one reactor turn: each may have very many subscribers
_WAITING_BYTES_MAX: Final = 1024 * KIB  # then clients wait who want more to be kept

Told = Callable[[int | None], None]  # takes the index of an entry, or None if the realm has no room


Wish = Entrusted | Clear


class _Wanted(NamedTuple):
    wish: Wish
    tell: Told


class Keeper:
    """Has events kept, in the order in which they come."""

    def __init__(self, *, ledger: Ledger, limits: Limits, counters: Counters, outbox: Outbox, clock: Clock) -> None:
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._counters: Final = counters
        self._outbox: Final = outbox
        self._clock: Final = clock
        self._waiting: Final[deque[_Wanted]] = deque()
        self._waiting_bytes = 0
        self._number = 0  # of the last statement of this incarnation
        self._statement: tuple[_Wanted, ...] = ()  # that one, until it has taken effect
        self._doubtful = False  # whether it may be lost
        self._applied: Final[deque[tuple[int, int | None, Told]]] = deque()  # (index of the entry, what is told, whom)
        self._crowded = False
        self._going_on = False  # in a later turn
        self._stopped = False

    def keep(self, wish: Wish, tell: Told) -> None:
        """Have the event kept, or others cleared; `tell` follows.

        Perhaps before this returns, or never, if this incarnation ends first.
        """
        self._waiting.append(_Wanted(wish, tell))
        self._waiting_bytes += _weight(wish)
        self._go_on()

    def check_room(self) -> None:
        """Raise NodeBehind if so much waits that clients should not add to it."""
        if self._waiting_bytes > _WAITING_BYTES_MAX:
            self._crowded = True
            raise NodeBehind(self._ledger.owner)

    def _go_on(self) -> None:
        if self._statement or not self._waiting or self._stopped:
            return
        room = _STATEMENT_BYTES_MAX
        statement = []
        while self._waiting and room > 0:
            wanted = self._waiting.popleft()
            statement.append(wanted)
            room -= _weight(wanted.wish)
        self._waiting_bytes -= _STATEMENT_BYTES_MAX - room
        self._statement = tuple(statement)
        self._number += 1
        self._propose()

    def _propose(self) -> None:
        owner, limits = self._ledger.owner, self._limits
        self._doubtful = False
        keep = Keep(
            owner,
            self._number,
            limits.retained_topics_max,
            limits.retained_bytes_max,
            tuple(wanted.wish for wanted in self._statement),
        )
        self._ledger.propose(keep, partial(self._decided, owner, self._number))

    def _decided(self, owner: Owner, number: int, outcome: Outcome) -> None:
        if owner != self._ledger.owner or number != self._number or not self._statement:
            return
        if outcome is Outcome.OK or self._has_taken_effect():
            self._took_effect()
        else:
            self._doubtful = True  # asked again in the next tick; of an incarnation that is dead, its end follows

    def _has_taken_effect(self) -> bool:
        return self._ledger.tables.kept.handled_of(self._ledger.owner).number == self._number

    def _took_effect(self) -> None:
        handled = self._ledger.tables.kept.handled_of(self._ledger.owner)
        refused = frozenset(handled.refused)
        self._counters.add("events_kept", len(self._statement) - len(refused))
        for place, wanted in enumerate(self._statement):
            told = None if place in refused else handled.index
            self._applied.append((handled.index, told, wanted.tell))
        self._statement = ()
        if self._crowded and self._waiting_bytes <= _WAITING_BYTES_MAX // 2:
            self._crowded = False
            self._outbox.relieved(self._ledger.owner)
        self._go_on()
        self.claim()

    def claim(self) -> None:
        """Tell of events that every node which may serve has: `safe` rose, or the lease returned."""
        if not self._going_on:
            self._tell_some()

    def _tell_some(self) -> None:
        self._going_on = False
        ledger = self._ledger
        left = _SENT_MAX
        while self._applied and self._applied[0][0] <= ledger.safe and ledger.serving():
            if not left:
                self._going_on = True
                self._clock.call_later(0, self._tell_some)
                return
            left -= 1
            _, told, tell = self._applied.popleft()
            tell(told)

    def ticked(self) -> None:
        """State again what may be lost."""
        if self._doubtful and self._statement:
            if self._has_taken_effect():
                self._took_effect()
            elif not self._stopped:
                self._counters.add("keeps_repeated")
                self._propose()
        self.claim()

    def reset(self) -> None:
        """The incarnation is dead: nobody is told of anything, and numbers begin anew."""
        self._waiting.clear()
        self._applied.clear()
        self._statement = ()
        self._waiting_bytes = self._number = 0
        self._crowded = False

    def stop(self) -> None:
        """State nothing any more: the incarnation leaves."""
        self._stopped = True


def _weight(wish: Wish) -> int:
    if isinstance(wish, Clear):
        return len(wish.realm) + len(wish.topic)
    rings = sum(_RING_BYTES + len(ring.topic) for ring in wish.rings)
    return weight(wish.event) + len(wish.realm) + rings
