"""What the log shows. Lines are written by `twisted.logger`; `twistd` decides where they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
)


def show_from(level: str, publisher: LogPublisher) -> Callable[[str], None]:
    """Let only events of `level` (debug, info, warn, error, critical) and above reach the observers of `publisher`.

    Call it once, when the process has chosen its observers; what is returned sets another level. Both raise
    `twisted.logger.InvalidLogLevelError` for an unknown one.
    """
    least = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    predicate = cast(ILogFilterPredicate, least)  # it implements the interface, which its type does not say
    # The observers that twistd has begun with can only be found here; a test holds this name in place.
    for observer in tuple(publisher._observers):
        publisher.removeObserver(observer)
        publisher.addObserver(cast(ILogObserver, FilteringLogObserver(observer, [predicate])))

    def show(level: str) -> None:
        least.setLogLevelForNamespace("", LogLevel.levelWithName(level))

    return show
