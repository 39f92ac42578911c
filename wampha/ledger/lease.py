"""The leader's lease book: who may serve for how long, and what everybody who may serve has applied (rules 11-21).

Pure: every instant is given by the caller, from the leader's own clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wampha.ledger.constants import K, Timing
from wampha.ledger.opening import Openings
from wampha.state.commands import Owner
from wampha.state.tables import Tables


@dataclass
class Booking:
    """What is known of one incarnation (rule 14)."""

    end: float  # on the leader's clock, stretched by k: the lease is over then on every clock
    applied: int
    seen: float


class LeaseBook:
    """One term of one leader; thrown away with it (rule 12)."""

    def __init__(
        self, *, timing: Timing, name: str, voters: tuple[str, ...], term: int, now: float, held_until: float
    ) -> None:
        """`held_until`: nothing is granted or claimed before (rule 54)."""
        self._timing: Final = timing
        self._name: Final = name
        self._voters: Final = voters
        self._held_until: Final = held_until
        self._echoes: Final[dict[str, float]] = {}  # voter -> latest stamp that it echoed in this term
        self.bookings: Final[dict[Owner, Booking]] = {}
        self.dying: Final[set[Owner]] = set()
        self.openings: Final = Openings()
        self.term: Final = term
        self.since: Final = now
        self._reached: Final[deque[tuple[float, int]]] = deque()  # (when, own applied index), of the last lease
        self.start: int | None = None  # index where this leader's first command was applied, at the latest
        self.claim = 0

    # ---- quorum

    def echoed(self, voter: str, stamp: float, now: float) -> None:
        """Rule 11: in this term the voter has heard what this leader sent at `stamp`. Not for recovering voters."""
        if voter in self._voters and stamp <= now:
            self._echoes[voter] = max(stamp, self._echoes.get(voter, -math.inf))

    def echo(self, voter: str) -> float:
        """The latest stamp that the voter echoed in this term; minus infinity if none."""
        return self._echoes.get(voter, -math.inf)

    def quorum_time(self, now: float) -> float:
        """Tq: a majority of the voters followed this leader at that time or later."""
        times = sorted((self.echo(voter) for voter in self._voters if voter != self._name), reverse=True)
        return [now, *times][len(self._voters) // 2]

    def quorate(self, now: float) -> bool:
        return self.quorum_time(now) + self._timing.lease_s > now

    def must_step_down(self, now: float) -> bool:
        """Rule 17."""
        return now - max(self.quorum_time(now), self.since) > self._timing.lease_s

    # ---- leases

    def open(self, now: float) -> bool:
        """Whether leases may be granted and indices claimed at all (rules 12, 54)."""
        return self.start is not None and now >= self._held_until

    def own_lease_end(self, now: float) -> float:
        """Rule 16; the leader holds no lease before it could grant one."""
        return self.quorum_time(now) + self._timing.leader_lease_s if self.open(now) else -math.inf

    def note(self, owner: Owner, applied: int, now: float) -> None:
        """Rule 14, for every ping."""
        booking = self.bookings.setdefault(owner, Booking(-math.inf, 0, now))
        booking.applied = max(booking.applied, applied)
        booking.seen = now

    def grant(self, owner: Owner, applied: int, tables: Tables, now: float) -> float:
        """Rules 13, 14: the seconds for which the incarnation may serve; 0 if it may not. `note` comes first.

        One that lags behind the claim gets nothing, so nobody waits for it longer than k F (rule 24).
        """
        if not self.open(now) or owner not in tables.up or owner in self.dying:
            return 0.0
        if applied < max(self.start or 0, self.claim, self._due(now)):
            return 0.0
        left = self.quorum_time(now) + self._timing.lease_s - now
        if left <= 0:
            return 0.0
        booking = self.bookings[owner]
        booking.end = max(booking.end, now + K * left)
        return left

    # ---- barrier

    def advance(self, own: Owner, applied: int, tables: Tables, now: float) -> bool:
        """Rules 20, 21: raise `claim` as far as every possible holder of a lease allows; True if it moved."""
        if not self.open(now):
            return False
        self._reach(applied, now)
        reported = [self._reported(owner) for owner in tables.up if owner != own and self._may_hold(owner, tables, now)]
        claim = min([applied, *reported])
        if claim <= self.claim:
            return False
        self.claim = claim
        return True

    def _reach(self, applied: int, now: float) -> None:
        reached = self._reached
        if not reached or now - reached[-1][0] >= self._timing.ping_s:
            reached.append((now, applied))
        while len(reached) > 1 and reached[1][0] <= now - self._timing.lease_s:
            reached.popleft()

    def _due(self, now: float) -> int:
        """Rule 24: what the leader had applied a lease ago. Whoever has less gets nothing.

        Else it would hold up the claim for ever: what it reports bounds the claim, and it would never miss the claim.
        """
        at, applied = self._reached[0] if self._reached else (now, 0)
        return applied if at <= now - self._timing.lease_s else 0

    def _reported(self, owner: Owner) -> int:
        booking = self.bookings.get(owner)
        return booking.applied if booking else 0

    def _may_hold(self, owner: Owner, tables: Tables, now: float) -> bool:
        """Whether the incarnation may hold a lease. One that is not in `up` any more holds none: it left, was proven
        dead, or was declared dead after its lease (rules 5, 26-28)."""
        if owner in self.dying:
            return False
        booking = self.bookings.get(owner)
        if booking and booking.end > now:
            return True
        age = now - self.since
        if booking is None and owner.name == tables.previous_leader:
            return age < K * self._timing.leader_lease_s
        return age < self._timing.stretched_lease_s

    # ---- death

    def condemn(self, own: Owner, tables: Tables, now: float) -> list[Owner]:
        """Rule 26: the incarnations to be declared dead now; they get no lease any more in this term."""
        if self.start is None or now - self.since <= self._timing.stretched_lease_s:
            return []
        youngest = _youngest(tables.up)
        dead = [
            owner
            for owner in tables.up
            if owner != own and (owner in self.dying or self._is_over(owner, youngest[owner.name], now))
        ]
        self.dying.update(dead)
        return dead

    def _is_over(self, owner: Owner, youngest: Owner, now: float) -> bool:
        booking = self.bookings.get(owner)
        if booking and booking.end > now:
            return False
        silent_since = booking.seen if booking else self.since
        return owner != youngest or now - silent_since >= self._timing.silence_s


def _youngest(up: Mapping[Owner, int]) -> dict[str, Owner]:
    """By name, the incarnation that came up last."""
    return {owner.name: owner for owner, _ in sorted(up.items(), key=lambda item: item[1])}
