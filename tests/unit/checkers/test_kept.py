"""The checker of retained events notices what it is for."""

from __future__ import annotations

import pytest

from tests.checkers.history import OK, Event, Fault, History, Operation
from tests.checkers.kept import Kept, check_kept

LOG = [[Kept("t", 7, number) for number in range(1, 5)]]


def seen(*events: tuple[int, bool], faults: int = 0) -> list[str]:
    """What is found if the events (number, retained) came to a new subscriber."""
    history = History()
    history.add(Operation("c", 1, "n", "subscribe", 1.0, 2.0, OK, uri="t", id=5, retained=True))
    for place, (number, retained) in enumerate(events):
        history.add(Event("c", 1, "n", 3.0 + place, 5, 100 + number, 7, number, "t", retained))
    for _ in range(faults):
        history.add(Fault("kill", 1.0, 2.0, ("n",)))
    return [violation.sentence.rpartition(" is ")[2] for violation in check_kept(history, LOG)]


def test_what_is_right_is_found_right() -> None:
    assert seen((4, True)) == []
    assert seen((2, True), (3, False), (4, False)) == []
    assert seen((3, False), (4, False)) == []
    assert seen() == []
    assert seen((2, True), (4, False), faults=1) == []


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([(3, True), (4, False), (4, True)], "retained, and not the first"),
        ([(3, True), (3, False), (4, False)], "no newer than what was retained"),
        ([(3, True), (2, False), (4, False)], "no newer than what was retained"),
        ([(2, True), (4, False)], f"not followed by {LOG[0][2]}"),
        ([(9, True)], "retained, and not in the log"),
    ],
)
def test_what_is_wrong_is_found(events: list[tuple[int, bool]], sentence: str) -> None:
    assert seen(*events) == [sentence]
