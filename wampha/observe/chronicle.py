"""What has happened to a node lately: elections, stages, members that came and went. For people who look at it now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

EVENTS_MAX: Final = 40


class Chronicle:
    """The last events, oldest first."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        """`wall_ms` gives milliseconds since 1970: events are shown, and nothing depends on when they were (P11)."""
        self._wall_ms: Final = wall_ms
        self._events: Final[deque[dict[str, Any]]] = deque(maxlen=EVENTS_MAX)

    def add(self, kind: str, **fields: Any) -> None:
        """Note that something of this kind has happened now."""
        self._events.append({"at_ms": self._wall_ms(), "kind": kind, **fields})

    def events(self) -> list[dict[str, Any]]:
        """All that are remembered."""
        return list(self._events)
