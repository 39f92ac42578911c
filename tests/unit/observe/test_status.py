"""What a node tells about itself when it is asked."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock

from wampha.clock import ReactorClock
from wampha.counters import Counters
from wampha.observe.status import Inquiry, as_line, of_process, of_tables
from wampha.state.commands import AddRoute, Command, Leave, Owner, RemoveRoute, Up
from wampha.state.machine import Machine

OWNER = Owner("node1", 1)
TOPIC = ("realm1", "exact", "a.topic")
CAME_UP = Up(OWNER, (), "host:1", "1.0")


class Asked:
    """An inquiry into a machine to which a log is applied."""

    def __init__(self, *commands: Command) -> None:
        self.machine = Machine(Counters())
        self.clock = Clock()
        self.applied = 0
        self.inquiry = Inquiry(
            status=lambda: {"applied": self.applied},
            machine=lambda: self.machine,
            clock=ReactorClock(self.clock),
        )
        self.told: list[dict[str, Any]] = []
        self.apply(*commands)

    def apply(self, *commands: Command) -> None:
        for command in commands:
            self.applied += 1
            self.machine.execute(self.applied, command)

    def ask(self) -> None:
        self.inquiry.ask(self.told.append)

    def answer(self) -> Any:
        self.ask()
        while not self.told:
            self.clock.advance(0)
        return self.told.pop()


def many(count: int, first: int = 1) -> list[Command]:
    return [AddRoute(OWNER, number, "realm1", "exact", f"topic.{number}") for number in range(first, first + count)]


def test_equal_tables_have_equal_digests_and_others_have_not() -> None:
    log = (CAME_UP, AddRoute(OWNER, 1, *TOPIC))
    assert Asked(*log).answer() == Asked(*log).answer()
    assert Asked(*log).answer()["digest"] != Asked(*log[:1]).answer()["digest"]


def test_a_digest_of_large_tables_takes_several_turns_and_is_that_of_their_beginning() -> None:
    rows = many(10_000)
    expected = Asked(CAME_UP, *rows).answer()
    asked = Asked(CAME_UP, *rows)
    asked.ask()
    asked.apply(*many(3, first=10_001), RemoveRoute(OWNER, 10_004, "realm1", "exact", "topic.9999"), Leave(OWNER))
    assert asked.told == [], "told in a later turn"
    asked.clock.advance(0)
    assert asked.told == [expected]
    assert not asked.clock.getDelayedCalls()


def test_who_asks_meanwhile_is_told_the_next_one() -> None:
    asked = Asked(CAME_UP, *many(10_000))
    first = Asked(CAME_UP, *many(10_000)).answer()
    asked.ask()
    asked.apply(*many(1, first=10_001))
    asked.ask()
    asked.ask()
    for _ in range(20):
        asked.clock.advance(0)
    assert asked.told[0] == first
    assert asked.told[1] == asked.told[2] == Asked(CAME_UP, *many(10_001)).answer()


def test_a_digest_leaves_a_snapshot_that_is_being_made_alone() -> None:
    asked = Asked(CAME_UP, *many(1000))
    encoder = asked.machine.begin_snapshot()
    pieces = [encoder.piece()]
    asked.answer()
    assert [*pieces, *iter(encoder.piece, None)] == asked.machine.snapshot()


def test_rows_are_counted() -> None:
    asked = Asked(CAME_UP, AddRoute(OWNER, 1, *TOPIC))
    assert of_tables(asked.machine.tables) == {"routes": 1, "registrations": 0}
    asked.apply(RemoveRoute(OWNER, 2, *TOPIC))
    assert of_tables(asked.machine.tables) == {"routes": 0, "registrations": 0}


def test_the_status_is_one_line_of_json() -> None:
    status = {**of_process(), "sentence": "two\nlines"}
    assert "\n" not in as_line(status)
    assert json.loads(as_line(status)) == status
