"""How a leader makes another voter lead before it stops (Raft thesis section 3.10; protocol rules 5, 11-17, 20, 45).

It takes no further commands, waits until a voter holds its whole log, and tells that one to campaign at once. Whoever
hears of the higher term votes: nobody refuses for the old leader's sake, and nothing relies on that. A lease that the
old leader granted is over at Tq + F, and Tq lies before the vote of a majority (rule 11), so a new leader waits for its
holders however it was elected (rule 20 b); the old leader's own lease is over at Tq + LS (rules 16, 20 c). The vote is
used within raftMax of the candidacy, as any (rule 45). A voter without memory is never told to campaign: it has
acknowledged nothing (rule 41).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from wampha.ledger.constants import Timing
from wampha.ledger.engine import Engine
from wampha.ledger.frames import RaftBody, TimeoutNow
from wampha.ledger.lease import LeaseBook


class HandOver:
    """One leader's attempt in one term; over when it leads no longer, or after `Timing.hand_over_s`."""

    def __init__(
        self, *, engine: Engine, timing: Timing, now: float, send: Callable[[str, RaftBody], bool], others: int
    ) -> None:
        """`others` is the number of the other voters; without any there is nobody to hand over to."""
        self._engine: Final = engine
        self._timing: Final = timing
        self._send: Final = send
        self._term: Final = engine.term
        self._until: Final = now + (timing.hand_over_s if others else 0.0)
        self._asked: Final[Counter[str]] = Counter()
        self._next = now
        engine.hold(True)

    def go_on(self, book: LeaseBook | None, now: float) -> bool:
        """Ask whoever can lead, one after the other, the one heard last first; False when all is over."""
        engine = self._engine
        if book is None or not engine.is_leader or engine.term != self._term or now >= self._until:
            engine.hold(False)
            return False
        ready = engine.caught_up()
        if ready and now >= self._next:
            voter = min(ready, key=lambda name: (self._asked[name], -book.echo(name), name))
            self._asked[voter] += 1
            self._next = now + self._timing.hand_over_step_s
            self._send(voter, TimeoutNow(self._term))
        return True
