"""The docket: requests that wait for the cluster's decision, each with a deadline."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from wampha.counters import Counters
from wampha.errors import Unavailable, WampError
from wampha.limits import Limits
from wampha.routing.ports import Clock
from wampha.routing.replies import refusal
from wampha.routing.session import Session


class Undecided:
    """One SUBSCRIBE, REGISTER or UNREGISTER; it is answered exactly once, or its session ends."""

    __slots__ = ("_withdraw", "code", "deadline", "open", "request", "session")

    def __init__(self, session: Session, code: int, request: int, withdraw: Callable[[Undecided], None]) -> None:
        """`withdraw` is called when nobody waits for the answer any longer."""
        self.session: Final = session
        self.code: Final = code
        self.request: Final = request
        self.deadline = math.inf  # until the docket gives it one
        self.open = True
        self._withdraw: Final = withdraw

    def answer(self, message: Any) -> None:
        """Answer the request; nothing happens if it is closed already."""
        if self.open:
            self._close()
            self.session.client.send(message)

    def refuse(self, error: WampError) -> None:
        """Answer with ERROR, likewise."""
        self.answer(refusal(self.code, self.request, error))

    def deny(self, error: WampError) -> None:
        """Answer with ERROR, and let go of what it wanted."""
        if self.open:
            self.session.client.send(refusal(self.code, self.request, error))
            self.withdraw()

    def withdraw(self) -> None:
        """Close it without a word and let go of what it wanted."""
        if self.open:
            self._close()
            self._withdraw(self)

    def _close(self) -> None:
        self.open = False
        self.session.undecided.pop(self, None)


class Adoption(Undecided):
    """A row that a session brings along from another node: nobody is answered, but somebody waits for it."""

    __slots__ = ("_begun", "_decided")

    retained = False  # of a subscription: it got its retained events there,
    moves = True  # and everybody knows that it has it

    def __init__(self, session: Session, decided: Callable[[bool], None]) -> None:
        """`decided` is told once whether the row stands here; not if the session ends before."""
        super().__init__(session, 0, 0, self._let_go)
        self._decided: Final = decided
        self._begun: Callable[[Undecided], None] | None = None

    def begin(self, withdraw: Callable[[Undecided], None]) -> None:
        """The row is wanted; `withdraw` is called if it is not any more."""
        self._begun = withdraw
        self.session.undecided[self] = None

    def _let_go(self, _: Undecided) -> None:
        if self._begun is not None:
            self._begun(self)

    def answer(self, message: Any) -> None:
        """It stands."""
        if self.open:
            self._close()
            self._decided(True)

    def refuse(self, error: WampError) -> None:
        """It will not."""
        if self.open:
            self._close()
            self._decided(False)


class Docket:
    """All undecided requests of the node, in the order of their deadlines."""

    def __init__(self, *, limits: Limits, counters: Counters, clock: Clock) -> None:
        self._limits: Final = limits
        self._counters: Final = counters
        self._clock: Final = clock
        self._queue: Final[deque[Undecided]] = deque()  # one time limit for all, hence ordered

    def enter(self, undecided: Undecided) -> None:
        """Let it wait, unless it was answered at once; after the time limit it is refused and withdrawn."""
        if undecided.open:
            undecided.deadline = self._clock.now() + self._limits.decide_timeout_s
            undecided.session.undecided[undecided] = None
            self._queue.append(undecided)

    def ticked(self) -> None:
        """Refuse what waited for too long."""
        now = self._clock.now()
        while self._queue and (not self._queue[0].open or self._queue[0].deadline <= now):
            undecided = self._queue.popleft()
            if undecided.open:
                self._expire(undecided)

    def _expire(self, undecided: Undecided) -> None:
        self._counters.add("wants_timed_out")
        limit = self._limits.decide_timeout_s
        undecided.deny(Unavailable(f"The cluster could not decide this within {limit:g} seconds; try again later."))
