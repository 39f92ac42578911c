"""Threads for what takes long: few, started when first needed, with a bounded queue before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.python.threadpool import ThreadPool

from wampha.counters import Counters

THREADS_MAX: Final = 2  # a password hash keeps a core busy and may take 64 MiB; the reactor needs the rest
WAITING_MAX: Final = 200  # at some 50 ms each, who is last waits for as long as a client has to open its session


class Threads:
    """`routing.ports.Workers` on threads of this process."""

    def __init__(self, *, reactor: Any, counters: Counters) -> None:
        """`reactor` provides Twisted's IReactorFromThreads, once something is run."""
        self._reactor: Final = reactor
        self._counters: Final = counters
        self._pool: ThreadPool | None = None
        self._waiting = 0
        self._stopped = False

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        """Calculate in a thread; `done` is called in the reactor. False if WAITING_MAX wait already."""
        if self._stopped or self._waiting >= WAITING_MAX:
            self._counters.add("work_refused")
            return False
        if self._pool is None:
            self._pool = ThreadPool(minthreads=0, maxthreads=THREADS_MAX, name="wampha")
            self._pool.start()
        self._waiting += 1

        def told(success: bool, result: Any) -> None:
            self._reactor.callFromThread(self._done, done, success, result)

        self._pool.callInThreadWithCallback(told, work)
        return True

    def stop(self) -> None:
        """Wait for what is being calculated, and start nothing more; nobody is told any more."""
        self._stopped = True
        if self._pool is not None:
            self._pool.stop()

    def _done(self, done: Callable[[Any], None], success: bool, result: Any) -> None:
        self._waiting -= 1
        if self._stopped:
            return
        if not success:
            result.raiseException()
        done(result)
