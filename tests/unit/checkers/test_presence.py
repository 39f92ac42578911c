"""The checker of on_join, on_leave and testaments finds each fault, and lets what is right pass."""

from __future__ import annotations

import pytest

from tests.checkers.every import check
from tests.checkers.history import ENDED, GOODBYE, KILLED, LEFT, OK, Ending, Fault, History, Notice, Operation
from tests.checkers.presence import LAST_WORDS, ON_JOIN, ON_LEAVE

WATCHER, OTHER, LEAVER = 1, 2, 3
NODES = {WATCHER: "n1", OTHER: "n2", LEAVER: "n3"}
END, LEFT_AT = 100.0, 50.0
ALL = ((ON_JOIN, 0), (LAST_WORDS, 1), (LAST_WORDS, 2), (ON_LEAVE, 0))


def history(*told: tuple[str, int], watcher: int = WATCHER, bequeathed: int = 2) -> History:
    """What both watchers were told of the leaver; `told` is for one of them, the other was told all."""
    made = History()
    for session, node in NODES.items():
        made.add(Operation(f"c{session}", session, node, "join", 0.0, 0.1, OK))
    for number in range(1, bequeathed + 1):
        made.add(Operation("c3", LEAVER, "n3", "bequeath", 10.0, 10.1, OK, number=number))
    for session, heard in ((watcher, told), (3 - watcher, ALL)):
        for place, (what, number) in enumerate(heard):
            publication = hash((what, number)) % 1000
            time = LEFT_AT + place / 100
            made.add(Notice(f"c{session}", session, NODES[session], time, publication, what, LEAVER, number))
    made.add(Ending("c3", LEAVER, "n3", LEFT_AT, LEFT))
    for session in (WATCHER, OTHER):
        made.add(Ending(f"c{session}", session, NODES[session], END, ENDED))
    return made


def found(made: History) -> list[str]:
    return [str(violation) for violation in check(made)]


def test_all_told_once_and_in_order_is_right() -> None:
    assert found(history(*ALL)) == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (ALL[:3], "never told that 3 left"),
        ((*ALL, (ON_LEAVE, 0)), "twice"),
        ((ALL[0], *ALL), "twice"),
        ((ALL[0], ALL[1], ALL[1], ALL[2], ALL[3]), "twice"),
        ((ALL[0], ALL[2], ALL[1], ALL[3]), "too late"),
        ((ALL[0], ALL[3], ALL[1], ALL[2]), "too late"),
        ((ALL[0], ALL[1], ALL[3]), "missed testament 2"),
    ],
)
def test_each_fault_is_found(told: tuple[tuple[str, int], ...], words: str) -> None:
    assert any(words in violation and "P8" in violation for violation in found(history(*told)))


def test_two_ids_for_one_event_are_found() -> None:
    made = history(*ALL)
    made.notices[0].publication = 7
    assert ["publication ids" in violation for violation in found(made)] == [True]


def test_who_was_not_there_from_the_beginning_need_not_know_all() -> None:
    assert found(history(ALL[3])) == []
    assert found(history()) == []


def test_a_testament_that_a_fault_may_have_hidden_is_not_missed() -> None:
    made = history(ALL[0], ALL[3])
    made.add(Fault("stop", 45.0, 49.0, ("n1",)))
    assert found(made) == []


def test_a_testament_that_was_not_acknowledged_may_be_missing() -> None:
    made = history(ALL[0], ALL[1], ALL[3], bequeathed=1)
    made.add(Operation("c3", LEAVER, "n3", "bequeath", 10.0, number=2))
    assert found(made) == []


def test_a_session_that_another_one_killed_was_not_interrupted() -> None:
    made = History()
    for session, node in NODES.items():
        made.add(Operation(f"c{session}", session, node, "join", 0.0, 0.1, OK))
        made.add(
            Ending(f"c{session}", session, node, END, ENDED)
            if session != LEAVER
            else Ending("c3", LEAVER, "n3", LEFT_AT, GOODBYE, KILLED)
        )
    assert found(made) == []
    made.endings[-1].reason = "wamp.close.normal"
    assert found(made)
