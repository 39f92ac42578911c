"""What the log shows, and how a line looks. Lines are written by `twisted.logger`; `twistd` decides where they go.

    2026-11-25T09:30:00.123Z [wampha.node#info] a serves                            for people
    {"time": "2026-11-25T09:30:00.123Z", "level": "info", "namespace": ...}         for machines, one object a line

In JSON each value that the line was made of has a key of its own: `realm`, `session`, `authid`, ...
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, Final, cast

import twisted.logger
from twisted.logger import FileLogObserver, ILogObserver, LogEvent, LogLevel, LogPublisher, eventAsText, formatEvent
from zope.interface import implementer

from wampha.observe.repeats import Repeats

TEXT: Final = "text"
JSON: Final = "json"
AUTO: Final = "auto"  # TEXT on a terminal, else JSON
AUDIT: Final = "wampha.audit"  # its events have a bound of their own, and `audit_` before the names of their values
_ASKED: Final = "asked"  # a value of events that somebody has asked for: they are no repeats
_VALUE_CHARACTERS_MAX: Final = 1000
_FIXED: Final = ("time", "level", "namespace", "message", "node")
# What Twisted's older log adds, and the text that is the message already.
_UNTOLD: Final = (_ASKED, "isError", "message", "time", "format", "system", "fields")
_SIMPLE: Final = (str, int, float, bool, type(None))

Format = Callable[[LogEvent], str]


class Logs:
    """How one process logs."""

    def __init__(self, level: str, form: str = AUTO, node: str = "") -> None:
        """`level`: debug, info, warn, error or critical; raises `twisted.logger.InvalidLogLevelError` for another one.

        `form`: TEXT, JSON or AUTO.
        """
        self._configured = self._least = LogLevel.levelWithName(level)
        self._form: Final = form
        self._node: Final = node
        self._repeats: Final = Repeats()

    # ---- which lines

    @property
    def level(self) -> str:
        """The least important lines that are shown."""
        name: str = self._least.name
        return name

    def set(self, level: str) -> None:
        """Show lines of this level and above from now on; raises as the constructor does, and changes nothing then."""
        self._configured = self._least = LogLevel.levelWithName(level)

    def toggle_debug(self) -> None:
        """Show everything, or, if it does so already, what it had been told to show."""
        self._least = LogLevel.debug if self._least is not LogLevel.debug else self._configured

    # ---- where they go

    def take_over(self) -> None:
        """Let `twistd` write our lines: it makes its observer by this name of Twisted's when it has got its service.

        With --syslog and --logger it does not; `hold` still sees to the level then.
        """
        cast(Any, twisted.logger).textFileLogObserver = self.observer

    def observer(self, out: IO[Any], *_: Any, **__: Any) -> FileLogObserver:
        """What writes lines to a file; it takes the arguments of `twisted.logger.textFileLogObserver`."""
        is_terminal = bool(getattr(out, "isatty", bool)())
        as_text = self._form == TEXT or (self._form == AUTO and is_terminal)
        form = _as_text if as_text else self._as_json
        return _Lines(out, lambda event: "".join(map(form, self._told(event))) or None)

    def hold(self, publisher: LogPublisher) -> None:
        """Let only what is shown reach the observers that `publisher` has now and that are not ours; once."""
        # The observers that twistd has begun with can only be found here; a test holds this name in place.
        for observer in tuple(publisher._observers):
            if not isinstance(observer, _Lines):
                publisher.removeObserver(observer)
                publisher.addObserver(cast(ILogObserver, _Shown(self._shows, observer)))

    def _shows(self, event: LogEvent) -> bool:
        return bool(event.get("log_level", LogLevel.info) >= self._least)

    def _told(self, event: LogEvent) -> list[LogEvent]:
        """The event, if it is shown and no repeat too many, behind what is now to be said of earlier repeats."""
        if not self._shows(event):
            return []
        if event.get("log_namespace") == AUDIT or event.get(_ASKED):
            return [event]
        return self._repeats.told(event)

    # ---- how they look

    def _as_json(self, event: LogEvent) -> str:
        line = {
            "time": _time(event),
            "level": event.get("log_level", LogLevel.info).name,
            "namespace": event.get("log_namespace", ""),
            "message": formatEvent(event),
            "node": self._node,
        }
        for key, value in event.items():
            if not key.startswith("log_") and key not in _UNTOLD:
                name = key.removeprefix("audit_")
                line[f"{name}_" if name in _FIXED else name] = _plain(value)
        if event.get("log_failure") is not None:
            line["traceback"] = eventAsText(event, includeTimestamp=False, includeSystem=False)
        return json.dumps(line) + "\n"


class _Lines(FileLogObserver):
    """An observer of ours."""


@implementer(ILogObserver)
class _Shown:
    """Another one's, that gets only what is shown."""

    def __init__(self, shows: Callable[[LogEvent], bool], observer: Any) -> None:
        self._shows: Final = shows
        self._observer: Final = observer

    def __call__(self, event: LogEvent) -> None:
        if self._shows(event):
            self._observer(event)


def _as_text(event: LogEvent) -> str:
    level = event.get("log_level", LogLevel.info).name
    text = eventAsText(event, includeTimestamp=False, includeSystem=False).replace("\n", "\n\t")
    return f"{_time(event)} [{event.get('log_namespace', '-')}#{level}] {text}\n"


def _time(event: LogEvent) -> str:
    """RFC 3339, UTC, milliseconds."""
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """A value as JSON has it; of anything else its text."""
    if isinstance(value, _SIMPLE) and not isinstance(value, str):
        return value
    text = str(value)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[:_VALUE_CHARACTERS_MAX] + "..."
