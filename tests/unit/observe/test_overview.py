"""The whole cluster as one node sees it: with a deadline, and without asking it again for everybody who looks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Cluster, Node
from wampha.observe import overview
from wampha.observe.overview import PATIENCE_S, Overview


class Watch:
    """A cluster of which each node can be asked for an overview."""

    def __init__(self, *names: str) -> None:
        self.cluster = Cluster(*names)
        self.reports = 0
        self.overviews = {name: self._overview(self.cluster[name]) for name in names}
        self.told: list[dict[str, Any]] = []

    def _overview(self, node: Node) -> Overview:
        def report() -> dict[str, Any]:
            self.reports += 1
            return {"name": node.owner.name, "sessions": node.router.sessions()}

        return Overview(
            ledger=node.ledger,
            gather=node.router.gather,
            clock=node.clock,
            report=report,
            frame=lambda: {"node": node.owner.name},
        )

    def ask(self, name: str) -> None:
        self.overviews[name].ask(self.told.append)

    def names(self) -> list[str]:
        return [report["name"] for report in self.told[-1]["nodes"]]


def test_every_node_says_something_of_itself() -> None:
    watch = Watch("c", "a", "b")
    watch.cluster["b"].join()
    watch.ask("a")
    assert watch.told == []
    watch.cluster.settle()
    assert watch.told == [
        {
            "node": "a",
            "partial": False,
            "missing": [],
            "nodes": [{"name": "a", "sessions": 0}, {"name": "b", "sessions": 1}, {"name": "c", "sessions": 0}],
        }
    ]
    assert not watch.cluster["a"].clock._timers


def test_who_does_not_answer_in_time_is_missing_and_comes_too_late() -> None:
    watch = Watch("a", "b", "c")
    watch.cluster.hold("c")
    watch.ask("a")
    watch.cluster.settle()
    assert watch.told == []
    watch.cluster["a"].tick(PATIENCE_S)
    assert watch.names() == ["a", "b"]
    assert watch.told[0]["partial"] and watch.told[0]["missing"] == ["c"]
    watch.cluster.held.clear()
    watch.cluster.settle()
    assert len(watch.told) == 1
    watch.cluster["a"].tick(1.0)
    watch.ask("a")
    watch.cluster.settle()
    assert watch.names() == ["a", "b", "c"]


def test_an_answer_to_an_earlier_question_is_none_to_the_next_one() -> None:
    watch = Watch("a", "b")
    watch.cluster.hold("b")
    watch.ask("a")
    watch.cluster["a"].tick(PATIENCE_S)
    watch.cluster["a"].tick(0.5)
    watch.ask("a")
    watch.cluster.held.clear()
    watch.cluster.settle()
    assert [each["missing"] for each in watch.told] == [["b"], []]


def test_a_node_that_dies_meanwhile_is_not_missing() -> None:
    watch = Watch("a", "b", "c")
    watch.cluster.hold("c")
    watch.ask("a")
    watch.cluster.die("c")
    watch.cluster.settle()
    assert watch.names() == ["a", "b"] and not watch.told[0]["partial"]


def test_many_who_look_cause_one_question() -> None:
    watch = Watch("a", "b")
    for _ in range(5):
        watch.ask("a")
    watch.cluster.settle()
    watch.ask("a")
    assert len(watch.told) == 6 and watch.reports == 2
    watch.cluster["a"].clock.advance(1.0)
    watch.ask("a")
    watch.cluster.settle()
    assert len(watch.told) == 7 and watch.reports == 4


def test_who_cannot_be_asked_is_missing_at_once() -> None:
    watch = Watch("a", "b")
    watch.cluster["a"].outbox.network = lambda target, relayed: False
    watch.ask("a")
    assert watch.names() == ["a"] and watch.told[0]["missing"] == ["b"]


def test_a_bounded_number_of_nodes_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "NODES_MAX", 2)
    watch = Watch("a", "b", "c", "d")
    watch.ask("a")
    watch.cluster.settle()
    assert watch.names() == ["a", "b", "c"] and watch.told[0]["missing"] == ["d"]


def test_a_node_on_its_own_answers_at_once() -> None:
    watch = Watch("a")
    watch.ask("a")
    assert watch.names() == ["a"]


def test_when_too_much_is_asked_already_the_others_are_missing() -> None:
    watch = Watch("a", "b")
    watch.cluster.hold("b")
    gather = watch.cluster["a"].router.gather
    from wampha.routing.meta.cluster import StatusOf

    for _ in range(watch.cluster["a"].limits.gathers_max):
        gather.ask(StatusOf(), lambda _: None)
    watch.ask("a")
    watch.cluster["a"].clock.advance(PATIENCE_S)
    assert watch.told[0]["missing"] == ["b"]
