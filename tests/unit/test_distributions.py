"""Distributions count by range, and are fed where things happen."""

from __future__ import annotations

import pytest

from tests.support.core import Node
from wampha.counters import Counters
from wampha.distributions import MEASURES, Distribution, Sizes
from wampha.ledger.spread import Spread


def test_a_value_belongs_to_the_first_range_that_ends_at_or_above_it() -> None:
    distribution = Distribution((1, 2, 5))
    for value in (0, 1, 1.5, 5, 6, 1000):
        distribution.add(value)
    assert distribution.counts == [2, 1, 1, 2]
    assert distribution.sum == 1013.5


def test_small_numbers_and_large_ones_are_one_distribution() -> None:
    sizes = Sizes((1, 20, 50, 100))
    for value in (0, 1, 1, 19, 31):
        sizes.small[value] += 1
    for value in (32, 70, 1000):
        sizes.add(value)
    assert sizes.reading() == ([3, 1, 2, 1, 1], 1154)


@pytest.mark.parametrize("name", MEASURES)
def test_bounds_rise(name: str) -> None:
    bounds = MEASURES[name].bounds
    assert list(bounds) == sorted(set(bounds))


def test_the_fan_out_of_a_publication_is_counted_once() -> None:
    node = Node()
    fanout = node.counters.distributions["publish_fanout"].reading
    publisher = node.join()
    for _ in range(3):
        node.join().subscribe("com.example.topic")
    before, _ = fanout()  # the router itself publishes who joined
    publisher.publish("com.example.topic")
    publisher.publish("com.example.elsewhere")
    counts, total = fanout()
    reached = [now - then for now, then in zip(counts, before, strict=True)]
    assert reached == [1, 0, 0, 1] + [0] * (len(reached) - 4)
    assert total == 3


def test_how_long_an_entry_takes_to_be_everywhere_is_measured_one_at_a_time() -> None:
    now = [10.0]
    counters = Counters(lambda: now[0])
    spread, measured = Spread(counters), counters.distributions["raft_applied_everywhere_seconds"]
    spread.look(applied=5, safe=5)
    spread.look(applied=7, safe=5)
    now[0] = 10.25
    spread.look(applied=9, safe=6)
    assert measured.sum == 0
    now[0] = 10.5
    spread.look(applied=9, safe=7)
    assert (sum(measured.counts), measured.sum) == (1, 0.5)
    now[0] = 11.5
    spread.look(applied=9, safe=9)
    assert (sum(measured.counts), measured.sum) == (2, 1.5)
    spread.look(applied=9, safe=9)
    assert sum(measured.counts) == 2


def test_a_call_lasts_from_the_turn_in_which_it_came_to_the_one_in_which_it_ends() -> None:
    node = Node()
    durations = node.counters.distributions["call_duration_seconds"]
    callee, caller = node.join(), node.join()
    callee.register("com.example.echo")
    node.counters.turn_began = 5.0
    caller.call("com.example.echo")
    node.counters.turn_began = 5.25
    assert sum(durations.counts) == 0
    callee.result(1)
    assert (sum(durations.counts), durations.sum) == (1, 0.25)
    assert node.counters["calls_ended"] == node.counters["yields"] == 1
