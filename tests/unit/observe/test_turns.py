"""The reactor's turns: measured between two questions to the poller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import LogLevel, globalLogPublisher

from wampha.counters import Counters
from wampha.observe.turns import Turns


class FakePoller:
    """Waits for 5 s at each question."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[tuple[float, ...]] = []
        self.failing = False

    def poll(self, timeout: float, *count: int) -> list[tuple[int, int]]:
        self.asked.append((timeout, *count))
        self.now += 5.0
        if self.failing:
            raise InterruptedError
        return [(1, 1)]

    def register(self, descriptor: int) -> str:
        return f"registered {descriptor}"


class FakeReactor:
    def __init__(self) -> None:
        self._poller: Any = FakePoller()


class Scene:
    def __init__(self) -> None:
        self.counters = Counters()
        self.reactor = FakeReactor()
        self.poller = self.reactor._poller
        self.turns = Turns(self.counters, lambda: self.poller.now)
        assert self.turns.watch(self.reactor)
        self.turn(0)

    def turn(self, seconds: float) -> Any:
        self.poller.now += seconds
        return self.reactor._poller.poll(1.0, 5000)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def warnings() -> Any:
    found: list[Any] = []
    observer: Callable[[Any], None] = lambda logged: (  # noqa: E731
        found.append(logged) if logged["log_level"] is LogLevel.warn else None
    )
    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


def test_work_counts_and_waiting_does_not(scene: Scene) -> None:
    for seconds in (0.0001, 0.002, 0.002, 0.05, 0.0001):
        scene.turn(seconds)
    status = scene.turns.status()
    assert status["count"] == 6
    assert status["longest_s"] == pytest.approx(0.05)
    assert status["lasting_s"]["0-0.001"] == 3
    assert status["lasting_s"]["0.001-0.003"] == 2
    assert status["lasting_s"]["0.03-0.1"] == 1
    assert scene.counters["turns_long"] == 0


def test_the_same_is_told_as_a_distribution_with_its_sum(scene: Scene) -> None:
    for seconds in (0.0001, 0.002, 0.05, 2.0):
        scene.turn(seconds)
    counts, total = scene.turns.distribution().reading()
    assert counts == list(scene.turns.status()["lasting_s"].values())
    assert total == pytest.approx(2.0521)
    assert scene.turns.status()["total_s"] == pytest.approx(2.052)
    scene.turns.forget()
    assert scene.turns.distribution().reading() == ([0] * len(counts), 0.0)


def test_who_reads_no_clock_has_the_beginning_of_the_turn(scene: Scene) -> None:
    scene.turn(0.5)
    assert scene.counters.turn_began == scene.poller.now
    scene.poller.now += 0.25  # within the turn
    assert scene.counters.turn_began == scene.poller.now - 0.25


def test_turns_above_100_ms_are_counted(scene: Scene) -> None:
    for seconds in (0.09, 0.11, 0.2, 3.0):
        scene.turn(seconds)
    assert scene.counters["turns_long"] == 3
    assert scene.turns.longest_s == pytest.approx(3.0)
    scene.turns.forget()
    assert scene.turns.status()["count"] == 0


def test_above_250_ms_the_log_tells_it_but_not_all_the_time(scene: Scene, warnings: list[Any]) -> None:
    scene.turn(0.2)
    assert warnings == []
    scene.turn(0.3)
    scene.turn(0.4)
    assert [warning["took"] for warning in warnings] == [pytest.approx(0.3)]
    scene.turn(0.0)  # each question takes 5 s
    scene.turn(0.5)
    assert len(warnings) == 2


def test_an_interrupted_question_is_no_work(scene: Scene) -> None:
    scene.poller.failing = True
    with pytest.raises(InterruptedError):
        scene.turn(0)
    scene.poller.failing = False
    scene.turn(0.01)
    assert scene.turns.longest_s == pytest.approx(0.01)


def test_a_turn_reads_from_few_sockets_so_that_it_ends(scene: Scene) -> None:
    assert scene.turn(0) == [(1, 1)]
    assert scene.poller.asked[-1] == (1.0, 8)
    assert scene.reactor._poller.register(7) == "registered 7"


def test_a_reactor_without_a_poller_is_left_alone() -> None:
    assert not Turns(Counters()).watch(object())


def test_twisted_asks_its_poller_as_expected() -> None:
    """A private name: if a version of Twisted has another one, turns are not measured and this fails."""
    reactor = EPollReactor()
    turns = Turns(Counters())
    assert turns.watch(reactor)
    reactor.callLater(0, lambda: None)
    for _ in range(3):
        reactor.runUntilCurrent()
        reactor.doIteration(0)
    assert turns.status()["count"] == 3
    for each in reactor.removeAll():
        each.connectionLost(None)
