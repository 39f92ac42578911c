"""The ledger of a node alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.simulation.clock import VirtualClock
from wampha.counters import Counters
from wampha.ledger.local import LocalLedger
from wampha.state.commands import AddRoute, Outcome, Owner
from wampha.state.machine import Machine

ME = Owner("a", 1)


class Events:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def applied(self, changes: Iterable[Any]) -> None:
        self.told.extend(type(change).__name__ for change in changes)

    def installed(self) -> None:
        self.told.append("installed")

    def safe_moved(self) -> None:
        self.told.append("safe")

    def serving_changed(self, serving: bool) -> None:
        self.told.append(serving)

    def fenced(self, sentence: str) -> None:
        self.told.append(sentence)

    def ticked(self) -> None:
        self.told.append("tick")


def a_ledger() -> tuple[LocalLedger, Events, VirtualClock]:
    events, clock = Events(), VirtualClock()
    return LocalLedger(machine=Machine(Counters()), owner=ME, clock=clock, events=events), events, clock


def test_it_serves_from_its_start_on() -> None:
    ledger, events, _ = a_ledger()
    assert not ledger.serving()
    ledger.start()
    assert ledger.serving()
    assert ME in ledger.tables.up
    assert events.told == ["NodeUp", True, "tick"]


def test_a_command_is_applied_and_safe_before_propose_returns() -> None:
    ledger, events, _ = a_ledger()
    ledger.start()
    outcomes: list[tuple[Outcome, int]] = []
    route = AddRoute(ME, 1, "realm1", "exact", "a.topic")
    ledger.propose(route, lambda outcome: outcomes.append((outcome, ledger.safe)))
    assert outcomes == [(Outcome.OK, 2)]
    assert events.told[-1] == "RouteAdded"
    found = ledger.tables.route("realm1", "exact", "a.topic")
    assert found is not None
    assert found.owners[ME] <= ledger.safe


def test_it_ticks_until_it_is_stopped() -> None:
    ledger, events, clock = a_ledger()
    ledger.start()
    clock.run(0.5)
    assert 8 <= events.told.count("tick") <= 12
    ledger.stop()
    assert clock.pending() == 0
    assert not ledger.serving()


def test_leaving_is_done_at_once() -> None:
    ledger, events, _ = a_ledger()
    ledger.start()
    done: list[bool] = []
    ledger.leave(lambda: done.append(ledger.serving()))
    assert done == [False]
    assert ME not in ledger.tables.up
    assert events.told[-1] == "NodeGone"
    ledger.leave(lambda: done.append(ledger.serving()))
    assert done == [False, False]
