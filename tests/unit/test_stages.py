"""The stages of a node: which event leads where."""

from __future__ import annotations

import pytest

from wampha.stages import Event, Stage, after


def passed(*events: Event) -> list[Stage]:
    stage, stages = Stage.JOINING, []
    for event in events:
        stage = after(stage, event)
        stages.append(stage)
    return stages


def test_a_node_serves_under_a_lease_and_is_suspended_without_one() -> None:
    assert passed(Event.LEASED, Event.LAPSED, Event.LEASED) == [Stage.SERVING, Stage.SUSPENDED, Stage.SERVING]


@pytest.mark.parametrize("before", [(), (Event.LEASED,), (Event.LEASED, Event.LAPSED)])
def test_rule_4_a_fenced_node_joins_again(before: tuple[Event, ...]) -> None:
    assert passed(*before, Event.FENCED, Event.LEASED)[-2:] == [Stage.JOINING, Stage.SERVING]


@pytest.mark.parametrize("before", [(), (Event.LEASED,), (Event.LEASED, Event.LAPSED)])
def test_rule_5_a_node_that_was_stopped_never_serves_again(before: tuple[Event, ...]) -> None:
    stages = passed(*before, Event.STOPPED, Event.LAPSED, Event.FENCED, Event.LEASED, Event.EMPTIED, *Event)
    assert stages[len(before) :] == [Stage.DRAINING] * 4 + [Stage.LEAVING] * (1 + len(Event))
