"""Nodes tell each other which configuration they run, and see whether it is the same."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.core import Cluster
from wampha.messages.model import Result
from wampha.messages.relayed import Query
from wampha.routing.concord import _AGAIN_S, DIFFERS_S, SECRETS, shown
from wampha.state.commands import Up

FIRST = {"realms": "1", "limits": "2", SECRETS: "3"}
OTHER = {**FIRST, "realms": "x", SECRETS: "y"}


class Nodes(Cluster):
    """A cluster whose nodes note what they are told."""

    def __init__(self, *names: str, **options: object) -> None:
        super().__init__(*names, **options)
        self.told: dict[str, list[Mapping[str, object]]] = {name: [] for name in names}
        for name in names:
            self[name].router.concord._told = self.told[name].append  # type: ignore[misc]

    def hold(self, name: str, fingerprint: Mapping[str, str] = FIRST) -> None:  # type: ignore[override]
        self[name].router.concord.hold(fingerprint)

    def pass_s(self, seconds: float) -> None:
        """So much time goes by, in steps of a second."""
        for _ in range(round(seconds)):
            for node in self.nodes.values():
                node.tick(1.0)
            self.settle()

    def differing(self, name: str) -> Mapping[str, object]:
        return self[name].router.concord.differing()


def cluster(*fingerprints: Mapping[str, str]) -> Nodes:
    """Nodes `a`, `b`, `c` with these."""
    names = ("a", "b", "c")[: len(fingerprints)]
    made = Nodes(*names)
    for name, fingerprint in zip(names, fingerprints, strict=True):
        made.hold(name, fingerprint)
    made.pass_s(2)
    return made


def test_nodes_with_the_same_configuration_agree_and_are_quiet() -> None:
    same = cluster(FIRST, FIRST, FIRST)
    asked = same["a"].counters["gathers"]
    same.pass_s(60)
    assert [same.differing(name) for name in "abc"] == [{}, {}, {}]
    assert same.told == {"a": [], "b": [], "c": []}
    assert same["a"].counters["gathers"] == asked <= 2


def test_one_that_differs_for_long_is_told_once_and_then_that_they_agree_again() -> None:
    nodes = cluster(FIRST, OTHER, FIRST)
    assert nodes.differing("a") == {"b": ["realms", SECRETS]}
    assert nodes.differing("b") == {"a": ["realms", SECRETS], "c": ["realms", SECRETS]}
    assert nodes.told["a"] == []
    nodes.pass_s(DIFFERS_S + 20)
    assert nodes.told["a"] == [{"b": ["realms", SECRETS]}]
    assert nodes["a"].counters["config_differences"] == 1
    nodes.hold("b", FIRST)
    nodes.pass_s(2)
    assert [nodes.differing(name) for name in "abc"] == [{}, {}, {}]
    assert nodes.told["a"] == [{"b": ["realms", SECRETS]}, {}]


def test_a_change_on_one_after_the_other_is_no_news() -> None:
    nodes = cluster(FIRST, FIRST, FIRST)
    for name in "abc":
        nodes.hold(name, OTHER)
        nodes.pass_s(3)
    nodes.pass_s(20)
    assert nodes.told == {"a": [], "b": [], "c": []}
    assert nodes["a"].counters["config_differences"] == 0


def test_a_node_that_does_not_answer_is_asked_again_less_and_less_often() -> None:
    nodes = cluster(FIRST, FIRST)
    nodes["a"].outbox.network = lambda owner, relayed: False
    nodes.hold("a", OTHER)
    before = nodes["a"].counters["gathers"]
    nodes.pass_s(10 * _AGAIN_S[1])
    assert 10 < nodes["a"].counters["gathers"] - before < 20


def test_nobody_is_asked_without_a_link_since_the_question_would_wait_and_count_as_lost() -> None:
    nodes = cluster(FIRST, FIRST)
    linked: set[str] = set()
    nodes["a"].router.concord._linked = linked.__contains__  # type: ignore[misc]
    nodes.hold("a", OTHER)
    before = nodes["a"].counters["gathers"]
    nodes.pass_s(30)
    assert nodes["a"].counters["gathers"] == before
    linked.add("b")
    nodes.pass_s(1)
    assert nodes.differing("b") == {"a": ["realms", SECRETS]}


def test_a_question_that_was_lost_is_put_again() -> None:
    nodes = cluster(FIRST, FIRST)
    nodes.hold("a", OTHER)
    nodes["a"].tick(1.0)
    lost = nodes.wires["a", "b"].pop()
    assert isinstance(lost[2], Query)
    nodes.pass_s(6)
    assert nodes.differing("b") == {"a": ["realms", SECRETS]}


def test_who_is_dead_differs_from_nobody_and_who_comes_is_asked() -> None:
    nodes = cluster(FIRST, OTHER, FIRST)
    nodes.die("b")
    nodes.pass_s(1)
    assert nodes.differing("a") == {}
    nodes.add("d").router.concord.hold(OTHER)
    nodes.settle()
    nodes["d"].ledger.propose(Up(nodes["d"].owner, (), "127.0.0.1:1", "0"), lambda outcome: None)
    nodes.pass_s(3)
    assert list(nodes.differing("a")) == ["d"]


def test_the_digest_that_is_shown_tells_nothing_of_secrets() -> None:
    assert shown(FIRST) == shown({**FIRST, SECRETS: "another"}) != shown(OTHER)
    assert shown({}) is None


def test_clients_may_ask_for_it() -> None:
    nodes = cluster(FIRST, OTHER)
    client = nodes["a"].join()
    client.ask("wampha.cluster.nodes")
    answer = client.one()
    assert isinstance(answer, Result)
    (described,) = answer.payload.args()
    assert {each["name"]: each["config"] for each in described} == {"a": shown(FIRST), "b": shown(OTHER)}
