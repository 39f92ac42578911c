"""The interval of a median: it holds what it should, and narrows with more pairs."""

from __future__ import annotations

import random

import pytest

from bench.errors import BenchError
from bench.pair import interval, run


def test_the_interval_of_a_median_holds_the_true_one_in_nineteen_of_twenty_draws() -> None:
    chance = random.Random(1)
    held = 0
    for _ in range(400):
        _, low, high = interval([chance.gauss(1.0, 0.1) for _ in range(30)])
        held += low <= 1.0 <= high
    assert held / 400 > 0.93


def test_few_pairs_say_little_and_one_says_itself() -> None:
    assert interval([0.9]) == (0.9, 0.9, 0.9)
    assert interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_an_unknown_case_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BenchError, match="p16"):
        run([".", "--cases", "p17"])
