"""How a cluster comes into being: by exclusive pledges of recovering voters (rules 50-54).

Here is the branch in which *all* configured voters are present and recovering, which is the first start. Founding by a
majority after the others lost their memory (the rest of rules 51, 52, 56) has its place in `_may_propose`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wampha.ledger.constants import Timing
from wampha.ledger.frames import AnyFrame, Found, Go, State

FRESH_PINGS: Final = 10  # a voter's state counts for so many ping periods


@dataclass(frozen=True)
class Heard:
    """A voter's state and when it came."""

    state: State
    at: float


class Founding:
    """One life of a voter, until it is a member of a cluster and, for the founder, afterwards."""

    def __init__(
        self,
        *,
        name: str,
        voters: tuple[str, ...],
        timing: Timing,
        chance: random.Random,
        life: int,
        now: float,
        send: Callable[[str, AnyFrame], object],
        found: Callable[[int, float], None],
        drop_life: Callable[[], None],
    ) -> None:
        """`found(cluster, held_until)` is called once, when this voter becomes a member of a founded cluster."""
        self._name: Final = name
        self._voters: Final = voters
        self._timing: Final = timing
        self._chance: Final = chance
        self._life: Final = life
        self._born: Final = now
        self._send: Final = send
        self._found: Final = found
        self._drop_life: Final = drop_life
        self._heard: Final[dict[str, Heard]] = {}
        self._pledged_at = now
        self._founder = False
        self._held_until = 0.0
        self.pledge: int | None = None
        self.recovering = True

    def tick(self, cluster: int | None, now: float) -> None:
        """Every ping period: tell the others what we are (rule 50) and do what is due."""
        state = self._state(cluster, now)
        for voter in self._others():
            self._send(voter, state)
        if not self.recovering:
            return
        if self.pledge is None and self._may_propose(now):
            self.pledge, self._pledged_at, self._founder = self._chance.getrandbits(63), now, True
        if self._founder:
            self._propose(now)
        if self.recovering and self.pledge is not None and now - self._pledged_at > self._timing.pledge_s:
            self._drop_life()  # rule 52; it is a crash, and those are safe

    def told(self, voter: str, state: State, now: float) -> None:
        """Note another voter's state; answer a late pledge (rule 53)."""
        self._heard[voter] = Heard(state, now)
        if self._founder and not self.recovering and state.recovering and state.pledge == self.pledge:
            self._send(voter, Go(state.pledge or 0, state.life, max(0.0, self._held_until - now)))

    def lost(self, voter: str) -> None:
        """The link to the voter is down: what it said may not be true any more."""
        self._heard.pop(voter, None)

    def asked(self, voter: str, found: Found, cluster: int | None, now: float) -> None:
        """Rule 52: pledge to the first that asks this life, for ever."""
        if self.recovering and self.pledge is None and found.life == self._life:
            self.pledge, self._pledged_at = found.cluster, now
            self._send(voter, self._state(cluster, now))

    def go(self, go: Go, now: float) -> None:
        """Rule 53: the cluster we pledged ourselves to exists."""
        if self.recovering and self.pledge == go.cluster and go.life == self._life:
            self._join(now + min(max(0.0, go.hold), self._timing.stretched_lease_s))

    def wants_open(self, now: float) -> bool:
        """Rule 42: whether this life is older than any vote of a former one, and has not pledged itself."""
        return self.recovering and self.pledge is None and now - self._born > self._timing.embargo_s

    def opened(self) -> None:
        """The cluster's leader has opened this life (rule 44): it has memory now."""
        self.recovering = False

    def _may_propose(self, now: float) -> bool:
        """Rule 51: the smallest name, and everybody is here, without memory and free."""
        if self._name != min(self._voters):
            return False
        heard = [self._fresh(voter, now) for voter in self._others()]
        return all(state is not None and state.recovering and state.pledge is None for state in heard)

    def _propose(self, now: float) -> None:
        assert self.pledge is not None
        heard = {voter: state for voter in self._others() if (state := self._fresh(voter, now))}
        pledged = {voter: state for voter, state in heard.items() if state.recovering and state.pledge == self.pledge}
        if 2 * (len(pledged) + 1) <= len(self._voters):
            for voter, state in heard.items():
                if state.recovering and state.pledge is None:
                    self._send(voter, Found(self.pledge, state.life))
            return
        # Rule 54: an observer of a former cluster may still hold a lease which that cluster's last quorum gave it.
        youngest = min([now - self._born, *(state.uptime for state in pledged.values())])
        hold = max(0.0, self._timing.stretched_lease_s - youngest)
        self._held_until = now + hold
        for voter, state in pledged.items():
            self._send(voter, Go(self.pledge, state.life, hold))
        self._join(self._held_until)

    def _join(self, held_until: float) -> None:
        assert self.pledge is not None
        self.recovering = False
        self._found(self.pledge, held_until)

    def _fresh(self, voter: str, now: float) -> State | None:
        heard = self._heard.get(voter)
        return heard.state if heard and now - heard.at <= FRESH_PINGS * self._timing.ping_s else None

    def _state(self, cluster: int | None, now: float) -> State:
        return State(self._life, self.recovering, cluster, now - self._born, self.pledge)

    def _others(self) -> list[str]:
        return [voter for voter in self._voters if voter != self._name]
