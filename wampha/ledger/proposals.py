"""Commands under way: each gets exactly one outcome, at the latest at its deadline (rule 32)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger.engine import SUCCESS
from wampha.ledger.replica import Settled
from wampha.state.commands import Outcome


class _Proposal:
    __slots__ = ("began", "deadline", "settled", "tell")

    def __init__(self, tell: Callable[[Outcome], None], deadline: float, began: float) -> None:
        self.tell: Final = tell
        self.deadline: Final = deadline
        self.began: Final = began  # by the clock that only measures
        self.settled = False


class Proposals:
    """The proposals of one node. Outcomes are collected while the engine works and told by `tell`."""

    _log = Logger(namespace="wampha.ledger")

    def __init__(self, *, deadline_s: float, counters: Counters) -> None:
        self._deadline_s: Final = deadline_s
        self._counters: Final = counters
        self._times: Final = counters.distributions["raft_commit_seconds"]
        self._open: Final[deque[_Proposal]] = deque()  # by deadline; settled ones stay until their turn comes
        self._decided: list[tuple[_Proposal, Outcome]] = []

    def add(self, tell: Callable[[Outcome], None], now: float) -> Settled:
        """A new proposal; what is returned takes the engine's result, any number of times, first one counts."""
        proposal = _Proposal(tell, now + self._deadline_s, self._counters.seconds())
        self._open.append(proposal)

        def settled(result: Any, code: int) -> None:
            known = code == SUCCESS and isinstance(result, Outcome)
            self._decide(proposal, result if known else Outcome.UNKNOWN)

        return settled

    def expire(self, now: float) -> None:
        """The outcome of what is past its deadline is unknown."""
        while self._open and (self._open[0].settled or self._open[0].deadline <= now):
            self._decide(self._open.popleft(), Outcome.UNKNOWN)

    def abandon(self) -> None:
        """The outcome of everything under way will never be known."""
        while self._open:
            self._decide(self._open.popleft(), Outcome.UNKNOWN)

    def tell(self) -> None:
        """Call those whose outcome has been decided; they may propose again."""
        decided, self._decided = self._decided, []
        for proposal, outcome in decided:
            try:
                proposal.tell(outcome)
            except Exception:
                self._counters.add("ledger_failures")
                self._log.failure("a proposal's callback failed")

    def _decide(self, proposal: _Proposal, outcome: Outcome) -> None:
        if proposal.settled:
            return
        proposal.settled = True
        if outcome is Outcome.UNKNOWN:
            self._counters.add("proposals_unknown")
        else:
            self._times.add(self._counters.seconds() - proposal.began)
        self._decided.append((proposal, outcome))
