"""Sending away the sessions of a node that stops: so many per second, each when its work is done.

When its turn has come, a session's procedures are removed first, so that they are free when the client registers them
elsewhere; what it works on, and what it waits for, may still end within a moment; then it gets GOODBYE. Until its turn
it is served like ever. A session that can be resumed on another node keeps all it has and just loses its connection;
for a while it is waited for until it has gone there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from wampha.routing.ports import Cancellable, Clock

if TYPE_CHECKING:
    from wampha.routing.conversation import Conversation

BEAT_S: Final = 0.05
# Each comes back to another node: HELLO, subscriptions, registrations, some 2 ms of work there. So a hundred a second
# take a fifth of one core of one node, and need no spreading.
RATE_MIN: Final = 100
LINGER_S: Final = 5.0  # for the clients of such sessions to come to another node; libraries wait a second or two
_TURN_MAX: Final = 500  # sessions per reactor turn, some 15 ms, however many they are and however short the spread


class Farewell:
    """Dismisses conversations; ends by itself when all are over."""

    def __init__(
        self,
        *,
        conversations: Iterable[Conversation],
        clock: Clock,
        spread_s: float,
        answer_s: float,
        dismiss: Callable[[Conversation], None],
        lingers: Callable[[], bool],
        done: Callable[[], None],
    ) -> None:
        """The last conversation has its turn after `spread_s`, or sooner if they are few; see `RATE_MIN`.

        From its turn on, a session has at most `answer_s` for work in progress. `lingers`: whether sessions wait that
        may go on elsewhere. `done` is called once, unless stopped.
        """
        self._clock: Final = clock
        self._answer_s: Final = answer_s
        self._dismiss: Final = dismiss
        self._lingers: Final = lingers
        self._linger_until = 0.0
        self._done: Final = done
        self._waiting: Final = deque(conversations)
        self._leaving: dict[Conversation, float] = {}  # whose turn has come -> when their time is over
        rate = max(RATE_MIN, len(self._waiting) / max(spread_s, BEAT_S))
        self._per_beat: Final = min(_TURN_MAX, math.ceil(rate * BEAT_S))
        self._timer: Cancellable | None = None

    def start(self) -> None:
        """Begin; the first ones have their turn at once."""
        self._linger_until = self._clock.now() + LINGER_S
        self._beat()

    def _beat(self) -> None:
        now = self._clock.now()
        for _ in range(min(self._per_beat, len(self._waiting))):
            self._leaving[self._waiting.popleft()] = now + self._answer_s
        for conversation, until in list(self._leaving.items()):
            if conversation.settled() or now >= until:
                del self._leaving[conversation]
                self._dismiss(conversation)
        if self._waiting or self._leaving:
            self._linger_until = now + LINGER_S
        if self._waiting or self._leaving or (now < self._linger_until and self._lingers()):
            self._timer = self._clock.call_later(BEAT_S, self._beat)
        else:
            self._done()

    def stop(self) -> None:
        """Dismiss nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
