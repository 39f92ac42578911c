"""How a cluster comes into being, and ends: by exclusive pledges of recovering voters (rules 50-54, 56).

If *all* configured voters are recovering they found a cluster at once: that is the first start. If a majority of them
lost its memory, the cluster can never decide anything again: then that majority founds another one after a grace.
Every voter that remembers the former cluster notices the same and forgets it, as if it had crashed.
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
        self._least_uptime = 0.0  # of those whom the founder asks
        self._held_until = 0.0
        self.pledge: int | None = None
        self.recovering = True

    def tick(self, cluster: int | None, leaderless_s: float, now: float) -> None:
        """Every ping period: tell the others what we are (rule 50) and do what is due.

        `leaderless_s`: for how long this voter has heard no leader.
        """
        state = self._state(cluster, now)
        for voter in self._others():
            self._send(voter, state)
        if not self.recovering:
            if leaderless_s > self._timing.grace_s and self._is_lost(cluster, now):
                self._drop_life()  # rule 56
            return
        if self.pledge is None and self._may_propose(leaderless_s, now):
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

    def _may_propose(self, leaderless_s: float, now: float) -> bool:
        """Rule 51: the smallest name of those without memory and pledge, if they are all voters, or a majority that has
        waited long enough for a leader and for the others."""
        uptimes = {voter: state.uptime for voter, state in self._heard_now(now).items() if _is_free(state)}
        uptimes[self._name] = now - self._born
        if len(uptimes) == len(self._voters):
            self._least_uptime = 0.0
            return self._name == min(uptimes)
        grace = self._least_uptime = self._timing.grace_s
        elders = [voter for voter, uptime in uptimes.items() if uptime > grace]
        return leaderless_s > grace and 2 * len(elders) > len(self._voters) and self._name == min(elders)

    def _is_lost(self, cluster: int | None, now: float) -> bool:
        """Rule 56: whether so many voters are without memory or in other clusters that ours can have no quorum."""
        gone = sum(state.recovering or state.cluster != cluster for state in self._heard_now(now).values())
        return 2 * (len(self._voters) - gone) <= len(self._voters)

    def _propose(self, now: float) -> None:
        assert self.pledge is not None
        heard = self._heard_now(now)
        pledged = {voter: state for voter, state in heard.items() if state.recovering and state.pledge == self.pledge}
        if 2 * (len(pledged) + 1) <= len(self._voters):
            for voter, state in heard.items():
                if _is_free(state) and state.uptime >= self._least_uptime:
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

    def _heard_now(self, now: float) -> dict[str, State]:
        """What the other voters said lately."""
        oldest = now - FRESH_PINGS * self._timing.ping_s
        return {voter: heard.state for voter, heard in self._heard.items() if heard.at >= oldest}

    def _state(self, cluster: int | None, now: float) -> State:
        return State(self._life, self.recovering, cluster, now - self._born, self.pledge)

    def _others(self) -> list[str]:
        return [voter for voter in self._voters if voter != self._name]


def _is_free(state: State) -> bool:
    return state.recovering and state.pledge is None
