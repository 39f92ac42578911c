"""What is judged of clients while a release lives: each wrong that there can be is seen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.agent import Stopped
from tests.helm.load import SHUTDOWN, Crowd, Step
from tests.integration.rolling_restart import Life

STOPPED = [Stopped("pod-0", 10.0, 14.0, 0, 30.0, False)]


def crowd(*lives: Life) -> Crowd:
    """Clients that have lived so already."""
    nowhere: Any = None
    made = Crowd(nowhere, 1 + max(life.client for life in lives))
    for life in lives:
        made.clients[life.client].lives.append(life)
    return made


def life(client: int, ordinal: int, node: str, ended: float, goodbye: str, **changes: Any) -> Life:
    """A session from second 5 on, or from second 15 if it is not the first."""
    return Life(client, ordinal, node, 15.0 if ordinal else 5.0, ended, goodbye, **changes)


def well(client: int) -> list[Life]:
    """A client that is sent away from pod 0 and ends well on pod 1, and hears what client 0 publishes."""
    last = life(client, 1, "pod-1", 30.0, "", at_the_end=True, acknowledged=[(20.0, 1)])
    last.heard = [(0, 1, 1), (1, 1, 1)]
    return [life(client, 0, "pod-0", 12.0, SHUTDOWN), last]


def test_clients_that_are_sent_away_once_are_well() -> None:
    assert crowd(*well(0), *well(1)).problems([], STOPPED) == []


WRONG = {
    "missed 1 of 1 events": lambda lives: lives[1].heard.remove((1, 1, 1)),
    "although its pod was not stopped": lambda lives: setattr(lives[0], "node", "pod-1"),
    "without GOODBYE": lambda lives: setattr(lives[0], "goodbye", ""),
    "came after": lambda lives: lives[1].heard.append((0, 1, 3)),
    "was interrupted 2 times by one stop": lambda lives: lives.append(life(0, 0, "pod-0", 13.0, SHUTDOWN)),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told(what: str) -> None:
    lives = well(0)
    WRONG[what](lives)
    assert what in "\n".join(crowd(*lives, *well(1)).problems([], STOPPED))


def test_a_call_that_is_refused_although_its_callee_is_there_is_told() -> None:
    made = crowd(*well(0), *well(1))
    made.clients[0].refusals.append((20.0, "wamp.error.no_such_procedure"))
    assert "although its callee was at pod-1" in made.problems([], STOPPED)[0]
    made.clients[0].refusals[:] = [(12.0, "wamp.error.no_such_procedure")]
    assert made.problems([], STOPPED) == []


def test_what_was_hurt_owes_nothing_and_may_end_without_a_word() -> None:
    lives = well(0)
    lives[0].goodbye = ""
    step = Step("a pod hangs", 5.0, 15.0, hurt={"pod-0": 10.0})
    assert crowd(*lives, *well(1)).problems([step], STOPPED) == []


def test_a_stop_by_the_last_means_is_none_by_itself() -> None:
    assert STOPPED[0].by_itself
    assert not Stopped("pod-0", 10.0, 40.5, 137, 30.0, False).by_itself
    assert not Stopped("pod-0", 10.0, 12.0, 1, 30.0, False).by_itself
