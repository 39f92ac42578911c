"""What a node tells about itself when it is asked."""

from __future__ import annotations

import json

from wampha.counters import Counters
from wampha.observe.status import as_line, of_process, of_tables
from wampha.state.commands import AddRoute, Command, Owner, RemoveRoute, Up
from wampha.state.machine import Machine
from wampha.state.tables import Tables

OWNER = Owner("node1", 1)
TOPIC = ("realm1", "exact", "a.topic")
CAME_UP = Up(OWNER, (), "host:1", "1.0")


def after(*commands: Command) -> Tables:
    machine = Machine(Counters())
    for index, command in enumerate(commands, 1):
        machine.execute(index, command)
    return machine.tables


def test_equal_tables_have_equal_digests_and_others_have_not() -> None:
    log = (CAME_UP, AddRoute(OWNER, 1, *TOPIC))
    assert of_tables(after(*log)) == of_tables(after(*log))
    assert of_tables(after(*log))["digest"] != of_tables(after(*log[:1]))["digest"]


def test_rows_are_counted() -> None:
    added = AddRoute(OWNER, 1, *TOPIC)
    assert of_tables(after(CAME_UP, added))["routes"] == 1
    assert of_tables(after(CAME_UP, added, RemoveRoute(OWNER, 2, *TOPIC)))["routes"] == 0


def test_the_status_is_one_line_of_json() -> None:
    status = {**of_process(), "sentence": "two\nlines"}
    assert "\n" not in as_line(status)
    assert json.loads(as_line(status)) == status
