"""Runs the work of one command in the reactor until it ends, is interrupted, or fails: never with a traceback."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final

from twisted.internet import defer
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from wampha.cli.exits import CommandFailed, Exit

Work = Callable[[Any], Coroutine[Any, Any, None]]


def run(work: Work, interrupted: Exit = Exit.INTERRUPTED) -> None:
    """Run `work(reactor)` to its end. Raises CommandFailed.

    The first SIGINT or SIGTERM cancels it, and it may still say goodbye; the second one ends the process at once.
    `interrupted` is the exit status then: to be interrupted is how some commands always end.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - the import makes one

    # What libraries log is no concern of who uses the command: what matters to them is an exception, or printed.
    observers: list[Any] = [lambda event: None]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)
    running = _Running(reactor, work)
    running.run()
    if isinstance(running.error, defer.CancelledError):
        raise CommandFailed(interrupted)
    if isinstance(running.error, CommandFailed):
        raise running.error
    if running.error is not None:
        raise CommandFailed(Exit.FAILED, f"{type(running.error).__name__}: {running.error}")


class _Running:
    def __init__(self, reactor: Any, work: Work) -> None:
        self.error: BaseException | None = None
        self._reactor: Final = reactor
        self._work: Final = work
        self._working: defer.Deferred[None] | None = None

    def run(self) -> None:
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()

    def _begin(self) -> None:
        # Twisted's own handlers, which are there by now, would stop the reactor at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)
        self._working = defer.Deferred.fromCoroutine(self._work(self._reactor))
        self._working.addErrback(self._failed)
        self._working.addBoth(lambda _: self._reactor.stop())

    def _failed(self, failure: Failure) -> None:
        self.error = failure.value

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        self._reactor.callFromThread(self._cancel)

    def _cancel(self) -> None:
        if self._working is not None:
            self._working.cancel()
