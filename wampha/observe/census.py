"""How many sessions there are by realm, transport and serializer: counted when somebody asks, some per reactor turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from wampha.routing.ports import Clock

_PORTION_MAX: Final = 500  # sessions that are looked at in one turn: some 0.3 ms

Kind = tuple[str, str, str]  # realm, transport, serializer


class Counted(Protocol):
    """A session (`routing.session.Session`)."""

    @property
    def realm(self) -> str: ...

    @property
    def client(self) -> Described: ...


class Described(Protocol):
    """Its client."""

    @property
    def kind(self) -> tuple[str, str]:
        """Transport and serializer."""


class Census:
    """Of the sessions of one node. Who asks while one is under way is told its result."""

    def __init__(self, *, sessions: Callable[[], Sequence[Counted]], clock: Clock) -> None:
        """`sessions` gives a list that does not change."""
        self._sessions: Final = sessions
        self._clock: Final = clock
        self._asking: Final[list[Callable[[Mapping[Kind, int]], None]]] = []

    def ask(self, told: Callable[[Mapping[Kind, int]], None]) -> None:
        """Count; `told` is called in this turn if there are few sessions, else in a later one."""
        self._asking.append(told)
        if len(self._asking) == 1:
            self._go_on(self._sessions(), 0, Counter())

    def _go_on(self, sessions: Sequence[Counted], done: int, counts: Counter[Kind]) -> None:
        portion = sessions[done : done + _PORTION_MAX]
        counts.update((session.realm, *session.client.kind) for session in portion)
        done += len(portion)
        if done < len(sessions):
            self._clock.call_later(0, self._go_on, sessions, done, counts)
            return
        asking, self._asking[:] = list(self._asking), []
        for told in asking:
            told(counts)
