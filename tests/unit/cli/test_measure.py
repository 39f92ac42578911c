"""How `wampha bench` counts."""

from __future__ import annotations

from itertools import count

import pytest
from twisted.internet.defer import Deferred

from wampha.cli.measure import Measure
from wampha.cli.staying import FIRST_PAUSE_S, LONGEST_PAUSE_S, Pauses


def test_no_more_are_on_their_way_than_the_window_and_all_arrive() -> None:
    clock = count()
    measure = Measure("events", 5, 2, clock=lambda: float(next(clock)))
    sent: list[int] = []
    running = Deferred.fromCoroutine(measure.run(sent.append))
    assert sent == [0, 1]
    for number in range(5):
        measure.arrived(number)
        assert len(sent) <= number + 3
    assert running.called
    figures = measure.figures()
    assert figures["count"] == 5 and figures["seconds"] > 0
    assert list(figures["latency_ms"]) == ["p50", "p90", "p99", "max"]


def test_what_has_several_receivers_has_arrived_at_the_last_of_them() -> None:
    measure = Measure("events", 2, 1, receivers=2)
    sent: list[int] = []
    running = Deferred.fromCoroutine(measure.run(sent.append))
    measure.arrived(0)
    assert sent == [0]
    measure.arrived(0)
    assert sent == [0, 1]
    measure.arrived(0)  # nobody is confused by one too many
    measure.arrived(1)
    measure.arrived(1)
    assert running.called


def test_what_cannot_be_sent_ends_it() -> None:
    def fail(number: int) -> None:
        raise ValueError("no")

    running = Deferred.fromCoroutine(Measure("events", 2, 1).run(fail))
    running.addErrback(lambda failure: failure.trap(ValueError))
    assert running.called


def test_an_answer_that_comes_at_once_is_no_recursion() -> None:
    measure = Measure("calls", 10_000, 1)
    assert Deferred.fromCoroutine(measure.run(measure.arrived)).called
    assert measure.figures()["count"] == 10_000


@pytest.mark.parametrize(("chance", "part"), [(0.0, 0.5), (1.0, 1.0)])
def test_pauses_grow_up_to_a_bound_and_begin_anew(chance: float, part: float) -> None:
    pauses = Pauses(lambda: chance)
    waits = [pauses.next_s() for _ in range(20)]
    assert waits[:3] == [part * FIRST_PAUSE_S * factor for factor in (1, 2, 4)]
    assert waits[-1] == part * LONGEST_PAUSE_S
    pauses.reset()
    assert pauses.next_s() == part * FIRST_PAUSE_S
