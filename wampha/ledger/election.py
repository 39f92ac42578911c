"""Who may become a candidate: pre-vote, and fast failover with it (rules 40, 45; D14 of docs/research/raft.md).

A node that can send but not hear must not raise the term and depose a healthy leader. So before a candidacy it asks
all voters whether they would vote for it; they say yes only if they too miss a leader. Asking changes nothing anywhere,
so it may begin at once when the connection to the leader breaks, and be repeated soon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wampha.ledger.constants import Timing
from wampha.ledger.engine import Engine
from wampha.ledger.frames import PreVote, PreVoted, RaftBody, TimeoutNow


class Election:
    """The pre-votes of one member."""

    def __init__(
        self,
        *,
        name: str,
        voters: tuple[str, ...],
        engine: Engine,
        timing: Timing,
        now: Callable[[], float],
        send: Callable[[str, RaftBody], bool],
    ) -> None:
        self._name: Final = name
        self._voters: Final = voters
        self._engine: Final = engine
        self._timing: Final = timing
        self._now: Final = now
        self._send: Final = send
        self._round = 0
        self._began: float | None = None  # when the present round began
        self._yes: dict[str, int] = {}  # voter -> its term, in the present round

    def tick(self) -> None:
        """Begin a round of pre-votes if no leader was heard for long enough."""
        engine = self._engine
        if not engine.election_due():
            return
        engine.postpone(*self._timing.pre_vote_s)
        self._round += 1
        self._began = self._now()
        self._yes = {self._name: engine.term}
        log_term, log_index = engine.log_end
        for voter in self._voters:
            if voter != self._name:
                self._send(voter, PreVote(self._round, log_index, log_term))
        self._count()

    def asked(self, peer: str, asked: PreVote) -> None:
        """Say yes if that voter could get our vote and we miss a leader as it does; else say nothing."""
        engine = self._engine
        if peer not in self._voters or not engine.votes or engine.follows(self._timing.election_min_s):
            return
        theirs, ours = (asked.last_term, asked.last_index), engine.log_end
        if theirs < ours:
            return
        if theirs == ours and self._asking() and self._name < peer:
            return  # we ask at the same moment; of two equals one has to give way
        self._began = None
        engine.postpone(*self._timing.pre_vote_s)  # rule 45: no split vote
        self._send(peer, PreVoted(asked.round, engine.term))

    def answered(self, peer: str, answer: PreVoted) -> None:
        """Count a yes to the present round."""
        if peer in self._voters and answer.round == self._round and self._asking():
            self._yes[peer] = answer.term
            self._count()

    def told(self, peer: str, told: TimeoutNow) -> None:
        """The leader of this very term hands over: campaign without asking whether anybody misses it."""
        engine = self._engine
        if told.term == engine.term and engine.leader == peer:
            self._began = None
            engine.campaign(told.term)

    def _asking(self) -> bool:
        return self._began is not None and self._now() - self._began < self._timing.pre_vote_s[1]

    def _count(self) -> None:
        if 2 * len(self._yes) > len(self._voters):
            self._began = None
            self._engine.campaign(max(self._yes.values()))
