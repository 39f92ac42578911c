"""Who came in, who did not, and who was refused what: one structured line each, repeats cut short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.logger import Logger

_log: Final = Logger(namespace="wampha.audit")  # not of the class, which would give it its own name

LINES_MAX: Final = 20  # of one kind in PERIOD_S; what is more is told in one line
PERIOD_S: Final = 1.0


class Audit:
    """The audit log: namespace `wampha.audit`, with the event's fields beside the text."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds: Final = seconds
        self._began: Final[dict[str, float]] = {}  # kind -> when its present period began
        self._count: Final[dict[str, int]] = {}  # kind -> events in that period

    def add(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell one event, e.g. `authentication_failed`; values must hold no secret."""
        now = self._seconds()
        if now - self._began.get(kind, -PERIOD_S) >= PERIOD_S:
            self._close(kind)
            self._began[kind] = now
        self._count[kind] = count = self._count.get(kind, 0) + 1
        if count <= LINES_MAX:
            text = " ".join(f"{name}={value!r}" for name, value in fields.items())
            _log.info("{audit} {fields}", audit=kind, fields=text, **{f"audit_{k}": v for k, v in fields.items()})

    def _close(self, kind: str) -> None:
        untold = self._count.pop(kind, 0) - LINES_MAX
        if untold > 0:
            _log.info("{audit} {untold} more within {period} s", audit=kind, untold=untold, period=PERIOD_S)
