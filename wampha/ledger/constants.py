"""Every time of the cluster protocol, derived from one setting (protocol section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RHO: Final = 0.01  # how wrong the rate of a node's clock may be
K: Final = 1.05  # a time measured by another clock is stretched by this before it is relied upon
ROUND_TRIP_S: Final = 0.01  # allowed for two nodes of one cluster
VOTE_ROUNDS_S: Final = 0.2  # pre-vote and vote, with one repetition


@dataclass(frozen=True)
class Timing:
    """The constants of section 2, in seconds; an instance keeps all inequalities stated there.

    Raises ValueError otherwise.
    """

    election_min_s: float  # raftMin
    election_max_s: float  # raftMax
    lease_s: float  # F, the longest lease
    silence_s: float  # D, silence before `down`
    leader_lease_s: float = 0.5  # LS, the leader's own lease
    ping_s: float = 0.1  # P
    tick_s: float = 0.05
    append_s: float = 0.1  # heartbeat of the engine; no latency depends on it
    suspended_s: float = 3.5  # S, suspended before every client is told GOODBYE
    grace_s: float = 5.0  # G, before a cluster is founded without some of its voters
    pledge_s: float = 3.0  # a pledge without `go` ends the life (rule 52)
    proposal_s: float = 1.0  # an outcome that is not known by then is UNKNOWN
    hand_over_s: float = 1.0  # a leader that could not hand over by then leads on
    hand_over_step_s: float = 0.2  # without effect by then, another voter is told to campaign
    leave_s: float = 2.0  # a clean stop that is not through by then happens without it
    failover_s: tuple[float, float] = (0.02, 0.15)  # a candidacy after the connection to the leader broke
    pre_vote_s: tuple[float, float] = (0.1, 0.3)  # between pre-vote rounds; postponement of rule 45

    @classmethod
    def of(cls, election_timeout_s: float = 0.5) -> Timing:
        """All times from the shortest election timeout (at least 0.35 s: above three heartbeats)."""
        longest = 2 * election_timeout_s
        lease = longest + 0.5
        return cls(
            election_min_s=election_timeout_s,
            election_max_s=longest,
            lease_s=lease,
            silence_s=lease + cls.suspended_s,
        )

    @property
    def embargo_s(self) -> float:
        """E: how long a new life waits before it asks to be opened (rule 42)."""
        return 1.1 * self.election_max_s

    @property
    def stretched_lease_s(self) -> float:
        """k F: after it, no lease granted before is valid on any clock."""
        return K * self.lease_s

    def __post_init__(self) -> None:
        for holds, inequality in self._inequalities():
            if not holds:
                raise ValueError(f"The times of the cluster do not fit together: {inequality} does not hold.")

    def _inequalities(self) -> list[tuple[bool, str]]:
        elections = self.election_max_s + VOTE_ROUNDS_S
        slack = self.ping_s + 2 * ROUND_TRIP_S + self.tick_s
        return [
            ((1 + RHO) / (1 - RHO) <= K, "k >= (1 + rho) / (1 - rho)"),
            (self.lease_s - slack >= elections, "F - P - 2 RTT - tick >= raftMax + vote rounds"),
            (self.leader_lease_s >= 3 * self.ping_s + ROUND_TRIP_S, "LS >= 3 P + RTT"),
            (self.leader_lease_s <= self.lease_s, "LS <= F"),
            (self.ping_s <= self.lease_s / 10, "P <= F / 10"),
            (self.tick_s <= self.ping_s / 2, "tick <= P / 2"),
            (self.election_min_s > 3 * self.append_s, "raftMin > 3 append periods"),
            (self.election_max_s > self.election_min_s, "raftMax > raftMin"),
            (self.embargo_s >= K * self.election_max_s, "E >= k raftMax"),
            (self.silence_s >= self.lease_s + self.suspended_s, "D >= F + S"),
            (self.grace_s >= self.stretched_lease_s, "G >= k F"),
            (self.grace_s > self.embargo_s, "G > E"),
        ]
