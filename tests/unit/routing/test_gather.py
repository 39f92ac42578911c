"""Questions to the other nodes: all answers, or an answer that says what it lacks, within a bounded time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.core import Cluster
from wampha.errors import Unavailable
from wampha.limits import Limits
from wampha.messages.relayed import Query, QueryReply
from wampha.routing.gather import Gather, Gathered, Question
from wampha.state.commands import Down, Owner


class Square(Question, frozen=True):
    number: int


class Newer(Question, frozen=True):
    """What only some releases know."""


@pytest.fixture
def cluster() -> Cluster:
    return asking(Cluster("a", "b", "c"))


def asking(cluster: Cluster) -> Cluster:
    for name, node in cluster.nodes.items():
        node.router.gather.answer(Square, _squares(name), answers=tuple[str, int])
    return cluster


def _squares(name: str) -> Callable[[Square], tuple[str, int]]:
    return lambda question: (name, question.number**2)


def gather(cluster: Cluster, name: str = "a") -> Gather:
    return cluster[name].router.gather


def ask(cluster: Cluster, question: Question | None = None, **options: Any) -> list[Gathered]:
    """Ask through node `a`; what is told stands in the list as soon as it is."""
    told: list[Gathered] = []
    gather(cluster).ask(question or Square(3), told.append, **options)
    return told


def kill(cluster: Cluster, name: str) -> None:
    node = cluster.nodes.pop(name)
    cluster.log.append(Down(node.owner, 1))
    for wire in [wire for wire in cluster.wires if name in wire]:
        del cluster.wires[wire]
    for other in cluster.nodes.values():
        other.ledger.apply()


@pytest.fixture(autouse=True)
def no_timer_is_left(cluster: Cluster) -> Iterator[None]:
    yield
    for node in cluster.nodes.values():
        node.router.gather.clear()
        assert node.clock.pending() == 0


def test_every_node_answers_once_in_the_order_in_which_they_came(cluster: Cluster) -> None:
    told = ask(cluster)
    assert told == []
    cluster.carry("a", "c")
    cluster.carry("c", "a")
    assert told == []
    cluster.settle()
    (gathered,) = told
    assert list(gathered.answers.values()) == [("a", 9), ("b", 9), ("c", 9)]
    assert [owner.name for owner in gathered.answers] == ["a", "b", "c"]
    assert not gathered.partial
    assert cluster["a"].clock.pending() == 0
    assert cluster["a"].counters["gathers"] == 1


def test_a_node_alone_answers_at_once() -> None:
    cluster = asking(Cluster("a"))
    (gathered,) = ask(cluster)
    assert list(gathered.answers.values()) == [("a", 9)]
    assert cluster["a"].clock.pending() == 0


def test_some_may_be_asked(cluster: Cluster) -> None:
    told = ask(cluster, nodes=[cluster["b"].owner])
    cluster.settle()
    assert list(told[0].answers.values()) == [("b", 9)]


def test_who_is_not_heard_in_time_is_missing_and_comes_too_late(cluster: Cluster) -> None:
    told = ask(cluster)
    cluster.carry("a", "b")
    cluster.carry("b", "a")
    cluster["a"].clock.advance(2.0)
    assert (list(told[0].answers.values()), told[0].missing) == ([("a", 9), ("b", 9)], ("c",))
    assert told[0].partial
    assert cluster["a"].counters["gathers_partial"] == 1
    cluster.settle()
    assert len(told) == 1
    assert cluster["a"].counters["gathers_late"] == 1


def test_who_cannot_be_reached_is_missing_at_once(cluster: Cluster) -> None:
    cluster["a"].outbox.network = lambda owner, relayed: False
    assert ask(cluster)[0].missing == ("b", "c")


def test_who_is_cut_off_is_missing_and_who_dies_is_not(cluster: Cluster) -> None:
    told = ask(cluster)
    cluster.carry("a", "b")
    cluster.carry("b", "a")
    kill(cluster, "c")
    assert (len(told[0].answers), told[0].missing) == (2, ())
    told = ask(cluster)
    cluster["a"].router.node_lost(cluster["b"].owner)
    assert (len(told[0].answers), told[0].missing) == (1, ("b",))


def test_a_snapshot_without_the_node_ends_the_waiting_for_it(cluster: Cluster) -> None:
    told = ask(cluster)
    cluster.log.append(Down(cluster["b"].owner, 1))
    cluster["c"].ledger.apply()
    cluster["a"].ledger.install(cluster["c"].ledger.machine, cluster["c"].ledger.applied)
    cluster.carry("a", "c")
    cluster.carry("c", "a")
    assert [owner.name for owner in told[0].answers] == ["a", "c"]
    assert not told[0].partial


def test_a_question_that_a_node_does_not_know_leaves_it_out_and_harms_no_link(cluster: Cluster) -> None:
    for name in "ab":
        gather(cluster, name).answer(Newer, lambda _: True, answers=bool)
    told = ask(cluster, Newer())
    cluster.settle()
    assert (list(told[0].answers.values()), told[0].missing) == ([True, True], ("c",))
    assert cluster["c"].counters["gathers_unanswerable"] == 1


@pytest.mark.parametrize("answer", [b"", b"\xc1", b"\x05", b"\x92\x01\x01", b"\x91" * 2000])
def test_nonsense_of_a_peer_is_no_answer(cluster: Cluster, answer: bytes) -> None:
    told = ask(cluster)
    number = cluster.wires["a", "b"][-1][2].number
    cluster["a"].router.relayed(cluster["b"].owner, QueryReply(number, answer))
    cluster["a"].clock.advance(2.0)
    assert told[0].missing == ("b", "c")


@pytest.mark.parametrize(
    "question", [b"", b"\xc1", b"\x91\xa8_Unheard", b"\x91\xa6Square", b"\x91\xa6\xff\xfe\xa6are", b"\x91" * 2000]
)
def test_nonsense_of_an_asker_is_answered_by_none(cluster: Cluster, question: bytes) -> None:
    cluster["b"].router.relayed(cluster["a"].owner, Query(1, question))
    assert cluster.wires["b", "a"].pop()[2] == QueryReply(1, None)


def test_an_answer_beyond_the_bound_is_none() -> None:
    cluster = Cluster("a", "b", limits=Limits(gather_answer_bytes_max=1024))
    for name, length in (("a", 5000), ("b", 1021)):
        gather(cluster, name).answer(Newer, lambda _, length=length: "x" * length, answers=str)
    gathered = []
    for name in "ab":
        gather(cluster, name).ask(Newer(), gathered.append)
        cluster.settle()
    assert [each.missing for each in gathered] == [(), ("a",)]
    assert cluster["a"].counters["gathers_unanswerable"] == 1


def test_a_node_for_which_much_waits_gets_no_answer_on_top() -> None:
    cluster = asking(Cluster("a", "b"))
    b = cluster["b"]
    b.outbox.behind[cluster["a"].owner] = None
    gathered = ask(cluster)
    cluster.settle()
    assert [each.missing for each in gathered] == [("b",)]
    assert b.counters["gathers_unanswerable"] == 1


def test_open_questions_are_bounded() -> None:
    cluster = asking(Cluster("a", "b", limits=Limits(gathers_max=2)))
    first, second = ask(cluster), ask(cluster)
    with pytest.raises(Unavailable):
        ask(cluster)
    assert cluster["a"].counters["gathers_refused"] == 1
    cluster.settle()
    assert first
    assert second
    ask(cluster)
    cluster.settle()


@pytest.mark.parametrize("end", ["fenced", "close"])
def test_nothing_is_told_behind_the_end_of_the_incarnation(cluster: Cluster, end: str) -> None:
    told = ask(cluster)
    router = cluster["a"].router
    router.fenced("dead") if end == "fenced" else router.close()
    assert cluster["a"].clock.pending() == 0
    cluster.settle()
    assert told == []


def test_a_node_that_has_stopped_awaits_no_answer(cluster: Cluster) -> None:
    cluster["a"].router.close()
    told = ask(cluster)
    assert cluster["a"].clock.pending() == 0
    cluster.settle()
    assert told == []


def test_an_answer_of_somebody_who_was_not_asked_is_ignored(cluster: Cluster) -> None:
    told = ask(cluster, nodes=[cluster["b"].owner])
    number = cluster.wires["a", "b"][-1][2].number
    for source in (cluster["c"].owner, Owner("b", 1)):
        cluster["a"].router.relayed(source, QueryReply(number, b"\x92\xa1x\x01"))
    cluster.settle()
    assert list(told[0].answers.values()) == [("b", 9)]
