"""What the log shows. Lines are written by `twisted.logger`; `twistd` decides where they go."""

from __future__ import annotations

from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, LogPublisher


def show_from(level: str, publisher: LogPublisher) -> None:
    """Let only events of `level` (debug, info, warn, error, critical) and above reach the observers of `publisher`.

    Call it once, when the process has chosen its observers. Raises `twisted.logger.InvalidLogLevelError` for an
    unknown level.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    # The observers that twistd has begun with can only be found here; a test holds this name in place.
    for observer in tuple(publisher._observers):
        publisher.removeObserver(observer)
        publisher.addObserver(FilteringLogObserver(observer, [predicate]))
