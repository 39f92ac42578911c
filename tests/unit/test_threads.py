"""Threads: bounded, and silent after the stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from wampha.counters import Counters
from wampha.threads import THREADS_MAX, WAITING_MAX, Threads


class Reactor:
    """Keeps what threads hand over until the test takes it."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.came = threading.Semaphore(0)

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:  # noqa: N802 - Twisted's name
        self.calls.append(lambda: call(*args))
        self.came.release()

    def take(self) -> None:
        assert self.came.acquire(timeout=10)
        self.calls.pop(0)()


def test_the_result_comes_in_the_reactor() -> None:
    reactor, results = Reactor(), list[Any]()
    threads = Threads(reactor=reactor, counters=Counters())
    assert threads.run(threading.get_ident, results.append)
    reactor.take()
    assert results != [threading.get_ident()]
    threads.stop()


def test_more_than_may_wait_are_refused_and_counted() -> None:
    reactor, counters, gate = Reactor(), Counters(), threading.Event()
    threads = Threads(reactor=reactor, counters=counters)
    workers = set[int]()

    def work() -> None:
        workers.add(threading.get_ident())
        gate.wait()

    try:
        taken = [threads.run(work, lambda result: None) for _ in range(WAITING_MAX + 1)]
    finally:
        gate.set()  # else the threads of a test that fails keep the process from ending
    assert taken == [True] * WAITING_MAX + [False]
    assert counters["work_refused"] == 1
    reactor.take()
    assert threads.run(work, lambda result: None)
    threads.stop()
    assert 1 <= len(workers) <= THREADS_MAX


def test_after_the_stop_nobody_is_told_and_nothing_runs() -> None:
    reactor, results = Reactor(), list[Any]()
    threads = Threads(reactor=reactor, counters=Counters())
    assert threads.run(lambda: 1, results.append)
    threads.stop()
    reactor.take()
    assert not threads.run(lambda: 2, results.append)
    assert results == []
