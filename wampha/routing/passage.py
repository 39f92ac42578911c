"""Waiting until all is through that other nodes have sent to this one so far.

Links keep order in both directions: the answer to a question comes behind all that was forwarded before it, and the
question behind all that this node had forwarded. Who does not answer is asked again until it does, or is dead: what it
may still send is not to be guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wampha.errors import Unavailable
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.ports import Clock, Ledger
from wampha.state.commands import Owner

_AGAIN_S: Final = 0.1  # until those are asked again who did not answer


class Passed(Question, frozen=True):
    """Answer behind all that was forwarded before."""


class Passage:
    """Asks all living nodes."""

    def __init__(self, *, ledger: Ledger, gather: Gather, clock: Clock) -> None:
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._clock: Final = clock
        gather.answer(Passed, lambda _: True, answers=bool)

    def wait(self, wanted: Callable[[], bool], through: Callable[[], None]) -> None:
        """Call `through` when all that was sent before now is here, in a later turn, as long as that is `wanted`."""
        self._ask(tuple(self._ledger.tables.up), wanted, through)

    def _ask(self, nodes: tuple[Owner, ...], wanted: Callable[[], bool], through: Callable[[], None]) -> None:
        if not wanted():
            return

        def answered(gathered: Gathered) -> None:
            up = self._ledger.tables.up
            behind = tuple(owner for owner in nodes if owner in up and owner not in gathered.answers)
            if behind:
                self._clock.call_later(_AGAIN_S, self._ask, behind, wanted, through)
            elif wanted():
                through()

        try:
            self._gather.ask(Passed(), answered, nodes=nodes)
        except Unavailable:
            self._clock.call_later(_AGAIN_S, self._ask, nodes, wanted, through)
