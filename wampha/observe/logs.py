"""What the log shows. Lines are written by `twisted.logger`; `twistd` decides where they go."""

from __future__ import annotations

from typing import Final, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
)


class Level:
    """The least important events that a process shows; it can change while the process runs."""

    def __init__(self, level: str) -> None:
        """Raises `twisted.logger.InvalidLogLevelError` for an unknown level."""
        self._predicate: Final = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))

    def hold(self, publisher: LogPublisher) -> None:
        """Let only events of this level and above reach the observers that `publisher` has now; once."""
        predicate = cast(ILogFilterPredicate, self._predicate)  # it implements the interface, unknown to its type
        # The observers that twistd has begun with can only be found here; a test holds this name in place.
        for observer in tuple(publisher._observers):
            publisher.removeObserver(observer)
            publisher.addObserver(cast(ILogObserver, FilteringLogObserver(observer, [predicate])))

    def set(self, level: str) -> None:
        """Show from this level on; raises as the constructor does, and changes nothing then."""
        self._predicate.setLogLevelForNamespace("", LogLevel.levelWithName(level))


def show_from(level: str, publisher: LogPublisher) -> Level:
    """Let only events of `level` (debug, info, warn, error, critical) and above reach the observers of `publisher`.

    Call it once, when the process has chosen its observers. Raises as `Level` does.
    """
    shown = Level(level)
    shown.hold(publisher)
    return shown
