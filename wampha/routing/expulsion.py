"""The end of many sessions of this node: as many as one turn allows, and each is told so some at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from wampha.auth.cookie import LOGOUT
from wampha.routing.ports import Clock
from wampha.routing.session import Session
from wampha.state.facts import Kill

_TOLD_MAX: Final = 500  # clients that are told of their session's end per reactor turn
_EXPELLED_MAX: Final = 5000  # sessions that are killed and end in one reactor turn, some 50 ms

Word = Callable[[], None]  # tells one client


class Expulsion:
    """Ends sessions."""

    def __init__(self, *, clock: Clock, over: Callable[[Session], None], log_out: Callable[[Session], None]) -> None:
        """`over` ends a session that has no connection; `log_out` forgets the cookie of one that is logged out."""
        self._clock: Final = clock
        self._log_out: Final = log_out
        self._over: Final = over

    def expel(self, killed: Sequence[tuple[Session, Kill]]) -> None:
        """End these sessions, for the reason that stands beside each; one that has ended meanwhile is passed over."""
        self._expel_some(deque(killed))

    def tell(self, words: Iterable[Word]) -> None:
        """Say what is to be said."""
        self._tell_some(deque(words))

    def _expel_some(self, killed: deque[tuple[Session, Kill]]) -> None:
        words = deque[Word]()
        for _ in range(min(_EXPELLED_MAX, len(killed))):
            session, kill = killed.popleft()
            if kill.reason == LOGOUT:
                self._log_out(session)
            if session.conversation is not None:
                words.append(session.conversation.expel(kill.reason, kill.message))
            elif session.open:  # it has no connection at the moment
                self._over(session)
        self._tell_some(words)
        if killed:
            self._clock.call_later(0, self._expel_some, killed)

    def _tell_some(self, words: deque[Word]) -> None:
        for _ in range(min(_TOLD_MAX, len(words))):
            words.popleft()()
        if words:
            self._clock.call_later(0, self._tell_some, words)
