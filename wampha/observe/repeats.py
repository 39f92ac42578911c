"""Lines that come again and again: so many are told, of the others how many there were.

A kind of line is a place in the code, so one client cannot fill the log, and another place's lines are never lost for
it. Memory is bounded: with more kinds at once, the oldest is forgotten, and may be told more often.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import LogEvent, formatEvent

LINES_MAX: Final = 100  # of a kind
PERIOD_S: Final = 10.0  # in so much time
_KINDS_MAX: Final = 200


class _Period:
    """One kind of line, since a line of it came after a pause."""

    __slots__ = ("began", "last", "lines")

    def __init__(self, began: float) -> None:
        self.began: Final = began
        self.lines = 0
        self.last: LogEvent = {}


class Repeats:
    """What was told of each kind of line in its present period."""

    def __init__(self) -> None:
        self._periods: Final[dict[Any, _Period]] = {}  # the one that began first is first

    def told(self, event: LogEvent) -> list[LogEvent]:
        """What is to be told now: how many were left out in periods that are over, then the event, if it is told.

        Time is that of the events.
        """
        now = event.get("log_time", 0.0)
        told = self._close(now)
        kind = (event.get("log_namespace"), event.get("log_level"), event.get("log_format"))
        period = self._periods.get(kind)
        if period is None:
            period = self._periods[kind] = _Period(now)
        period.lines += 1
        if period.lines <= LINES_MAX:
            return [*told, event]
        period.last = event
        return told

    def _close(self, now: float) -> list[LogEvent]:
        told = []
        while self._periods:
            kind, period = next(iter(self._periods.items()))
            over = not 0 <= now - period.began < PERIOD_S  # a clock that was set back ends it too
            if not over and len(self._periods) < _KINDS_MAX:
                break
            del self._periods[kind]
            if period.lines > LINES_MAX:
                told.append(_summary(period, now))
        return told


def _summary(period: _Period, now: float) -> LogEvent:
    last = period.last
    return {
        "log_time": now,
        "log_level": last.get("log_level"),
        "log_namespace": last.get("log_namespace"),
        "log_format": "{suppressed} more lines like this were left out: {like}",
        "suppressed": period.lines - LINES_MAX,
        "like": formatEvent(last),
    }
