"""Whose turn it is: advanced profile, "Shared Registration" and "Call Re-Routing"."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from wampha.names.patterns import PatternIndex
from wampha.routing.choice import Turns, beginning, choose
from wampha.routing.rerouting import Refusals, Why, candidates
from wampha.state.commands import Owner
from wampha.state.tables import Callee, Registration

A, B = Owner("a", 1), Owner("b", 2)


def callees(*indices: int, concurrency: int = 0) -> tuple[Callee, ...]:
    return tuple(Callee(A, 100 + index, index, concurrency) for index in indices)


def index(*registrations: Registration) -> PatternIndex[Registration]:
    rows: PatternIndex[Registration] = PatternIndex()
    for each in registrations:
        rows.add(each.match, each.procedure, each)
    return rows


def shared(*indices: int, policy: str = "roundrobin", id_: int = 1) -> Registration:
    return Registration(id_, "exact", f"p{id_}", policy, callees(*indices))


def never(_: int) -> int:
    raise AssertionError("no chance is asked")


# ---- one choice


@pytest.mark.parametrize(("policy", "chosen"), [("single", 3), ("first", 3), ("last", 9)])
def test_first_and_last_are_those_of_the_log(policy: str, chosen: int) -> None:
    for after in range(12):
        assert choose(policy, callees(3, 5, 9), after=after, draw=never).index == chosen


@pytest.mark.parametrize(("after", "chosen"), [(0, 3), (3, 5), (4, 5), (5, 9), (9, 3), (10, 3)])
def test_round_robin_goes_on_behind_the_last_one_though_that_is_gone(after: int, chosen: int) -> None:
    assert choose("roundrobin", callees(3, 5, 9), after=after, draw=never).index == chosen


def test_random_asks_chance_for_one_of_all() -> None:
    bounds: list[int] = []
    assert choose("random", callees(3, 5, 9), after=0, draw=lambda bound: bounds.append(bound) or 1).index == 5
    assert bounds == [3]


@pytest.mark.parametrize("places", [1, 2, 3, 5, 7])
def test_nodes_begin_in_places_spread_over_the_cycle(places: int) -> None:
    five = callees(2, 4, 6, 8, 10)
    starts = [choose("roundrobin", five, after=beginning(five, place, places), draw=never) for place in range(places)]
    assert starts[0].index == 2
    assert max(Counter(each.index for each in starts).values()) == -(-places // 5)


# ---- turns of a node


def place() -> tuple[int, int]:
    return 0, 1


@pytest.mark.parametrize("seed", range(20))
def test_round_robin_is_a_cycle_in_the_order_of_the_log_whatever_comes_and_goes(seed: int) -> None:
    """Against a model that keeps a list and turns it: who was called goes to its end, who is new before the cycle's."""
    chance = random.Random(seed)
    turns, registration, newest = Turns(never), shared(1), 1
    since: dict[int, int] = {1: 0}  # index -> calls to it since the last change
    for _ in range(300):
        if chance.random() < 0.1 and len(registration.callees) > 1:
            gone = chance.choice(registration.callees)
            left = tuple(each for each in registration.callees if each is not gone)
            registration = Registration(1, "exact", "p1", "roundrobin", left)
            since = {each.index: 0 for each in left}
        elif chance.random() < 0.1:
            newest += 1
            registration = Registration(1, "exact", "p1", "roundrobin", (*registration.callees, *callees(newest)))
            since = {each.index: 0 for each in registration.callees}
        chosen = turns.choose(registration, registration.callees, rows=index(registration), place=place)
        since[chosen.index] += 1
        assert max(since.values()) - min(since.values()) <= 1, "nobody has two calls more than another"


def test_one_of_those_that_are_left_gets_the_call_and_the_cycle_goes_on() -> None:
    turns, registration = Turns(never), shared(1, 2, 3, 4)
    rows = index(registration)
    first, second, third, fourth = registration.callees
    chosen = [
        turns.choose(registration, free, rows=rows, place=place)
        for free in (registration.callees, [first, third, fourth], [first, second], registration.callees)
    ]
    assert chosen == [first, third, first, second]


def test_turns_of_registrations_that_are_gone_are_forgotten() -> None:
    turns = Turns(never)
    kept = shared(1, 2, id_=1)
    assert turns.choose(kept, kept.callees, rows=index(kept), place=place).index == 1
    for number in range(2, 500):
        passing = shared(number, number + 1, id_=number)
        turns.choose(passing, passing.callees, rows=index(kept, passing), place=place)
    assert len(turns) < 100
    assert turns.choose(kept, kept.callees, rows=index(kept), place=place).index == 2


# ---- who is left


def nobody(_: Callee) -> bool:
    return False


def test_who_has_refused_is_not_asked_again() -> None:
    refusals = Refusals()
    one, two, three = callees(1, 2, 3)
    refusals.note(two, Why.UNAVAILABLE)
    assert candidates((one, two, three), refusals, full=nobody, queues=False) == ([one, three], False)


def test_who_is_full_is_passed_over_as_long_as_another_is_not() -> None:
    one, two, three = callees(1, 2, 3, concurrency=1)
    full = {1, 2}
    assert candidates((one, two, three), None, full=lambda each: each.index in full, queues=False) == ([three], False)


def test_without_a_limit_nobody_is_full() -> None:
    one, two = callees(1, 2)
    assert candidates((one, two), None, full=lambda _: True, queues=False)[0] == [one, two]


def test_a_call_may_wait_at_the_only_one_that_is_left() -> None:
    one, two = callees(1, 2, concurrency=1)
    assert candidates((one, two), None, full=nobody, queues=True) == ([one, two], False)
    assert candidates((one,), None, full=nobody, queues=True) == ([one], True)
    assert candidates((one, two), None, full=lambda _: True, queues=True) == ([one, two], True)
    assert candidates((one, two), None, full=lambda _: True, queues=False) == ([], False)


def test_who_was_full_may_be_asked_to_let_it_wait_once() -> None:
    one, two, three = callees(1, 2, 3, concurrency=1)
    refusals = Refusals()
    refusals.note(one, Why.FULL)
    refusals.note(two, Why.QUEUE_FULL)
    refusals.note(three, Why.UNAVAILABLE)
    assert candidates((one, two, three), refusals, full=nobody, queues=True) == ([one], True)


@pytest.mark.parametrize(
    ("whys", "error"),
    [
        ([], "wamp.error.no_such_procedure"),
        ([Why.ABSENT], "wamp.error.no_such_procedure"),
        ([Why.ABSENT, Why.SUSPENDED], "wamp.error.unavailable"),
        ([Why.UNREACHABLE, Why.FULL], "crossbar.error.max_concurrency_reached"),
        ([Why.QUEUE_FULL, Why.OVERTAKEN], "crossbar.error.max_concurrency_reached"),
        ([Why.UNAVAILABLE, Why.FULL, Why.ABSENT], "wamp.error.no_available_callee"),
        ([Why.LOST, Why.UNAVAILABLE], "wamp.error.canceled"),
    ],
)
def test_the_caller_is_told_what_matters_most(whys: list[Why], error: str) -> None:
    refusals = Refusals()
    for number, why in enumerate(whys):
        refusals.note(callees(number)[0], why)
    assert refusals.error("p").uri == error
    assert refusals.invoked is any(why >= Why.UNAVAILABLE for why in whys)
