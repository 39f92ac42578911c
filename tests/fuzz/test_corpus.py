"""Every wire format against what was found to be interesting, and against a few mutations of it.

Without coverage guidance, and the same inputs each time: `python -m tests.fuzz` looks for new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import pytest
from twisted.logger import Logger, globalLogPublisher

from tests.fuzz.corpus import kept, least
from tests.fuzz.mutation import mutations
from tests.fuzz.records import recorded
from tests.fuzz.targets import TARGETS, LoggedFailure, Target, Watch
from wampha.state.codec import encode
from wampha.state.commands import Lead

MUTATIONS: Final = 1500  # per target


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    globalLogPublisher.addObserver(watch)
    yield watch
    globalLogPublisher.removeObserver(watch)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_and_what_is_nearly_that_does_no_harm(name: str, watch: Watch) -> None:
    target = TARGETS[name]
    seeds, found = target.seeds(), kept(name)
    assert found, "there is a corpus"
    taken = 0
    for data in (*seeds, *found, *islice(mutations([*seeds, *found], name), MUTATIONS)):
        try:
            taken += watch.run(target, data)
        except Exception as error:
            pytest.fail(f"{name}: {data.hex()}: {type(error).__name__}: {error}")
    assert taken > 0, "nothing was taken for what it should be"


# ---- a checker that never failed is not trusted


def one(check: Callable[[bytes], bool]) -> Target:
    return Target(about="a fault", check=check, seeds=lambda: [b"a"])


@pytest.mark.logs_errors
def test_an_exception_that_is_caught_and_logged_is_noticed(watch: Watch) -> None:
    def check(data: bytes) -> bool:
        try:
            raise ValueError(data)
        except ValueError:
            Logger().failure("it could not be handled")
        return True

    with pytest.raises(LoggedFailure, match="ValueError"):
        watch.run(one(check), b"a")
    assert watch.run(one(lambda data: True), b"a"), "what was told is forgotten"


def test_mutations_are_the_same_each_time_and_not_what_they_began_with() -> None:
    few = list(islice(mutations([b"abc", b"def"], "seed"), 100))
    assert few == list(islice(mutations([b"abc", b"def"], "seed"), 100))
    assert len(set(few)) > 90


def test_what_is_kept_is_the_least_that_reaches_all() -> None:
    machine = [recorded([encode(Lead(term, "a"))]) for term in (5, 6)]
    nonsense = [b"\0\1\x01", b"\0\1\x02"]
    chosen = least(TARGETS["log"], seeds=[b""], found=[*machine, *nonsense, b"\0"])
    assert len(chosen) < 5 and chosen[0] in nonsense
    assert len(set(machine).intersection(chosen)) == 1
