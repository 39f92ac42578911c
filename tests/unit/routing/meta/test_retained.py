"""`wampha.retained.*`: retained events can be listed and taken away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import ALL, Cluster, Peer
from wampha.limits import Limits
from wampha.messages.model import Event, Result
from wampha.messages.payload import Payload
from wampha.routing.permissions import Permission
from wampha.state.kept import weight

MEANT = Permission("wampha.", "prefix", frozenset({"call", "subscribe"}))


class Place:
    """A publisher on node a, an operator on a or on b."""

    def __init__(self, asked_on: str, *permissions: Permission, **options: Any) -> None:
        self.cluster = Cluster("a", "b", permissions=permissions or (ALL, MEANT), **options)
        self.publisher = self.cluster["a"].join()
        self.home = self.cluster[asked_on]
        self.operator = self.home.join()
        for topic in ("com.a", "com.b", "org.c"):
            self.publish(topic)

    def publish(self, topic: str) -> None:
        self.publisher.publish(topic, Payload.of([topic]), retain=True)
        self.cluster.settle()

    def ask(self, procedure: str, *args: Any) -> Any:
        self.operator.call(f"wampha.retained.{procedure}", Payload.of(args))
        self.cluster.settle()
        return self.operator.one()

    def topics(self, pattern: str = "", match: str = "prefix") -> Any:
        return self.ask("list", pattern, {"match": match}).payload.args()[0]

    def retained(self, pattern: str) -> list[Any]:
        peer: Peer = self.home.join()
        peer.subscribe(pattern, match="prefix", get_retained=True)
        self.cluster.settle()
        return [message.payload.args()[0] for message in peer.take() if isinstance(message, Event)]


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def test_topics_are_listed_by_pattern(place: Place) -> None:
    assert place.topics() == ["com.a", "com.b", "org.c"]
    assert place.topics("com.") == ["com.a", "com.b"]
    assert place.topics("org.c", "exact") == ["org.c"]
    assert place.topics(".a", "wildcard") == ["com.a"]
    assert place.topics("com", "exact") == []


def test_a_list_is_bounded() -> None:
    place = Place("a", limits=Limits(meta_list_max=2))
    assert place.topics("com.") == ["com.a", "com.b"]
    assert place.ask("list", "", {"match": "prefix"}).error == "wamp.error.payload_size_exceeded"


def test_what_is_cleared_is_gone_on_every_node_and_may_come_again(place: Place) -> None:
    assert isinstance(place.ask("clear", "com.a"), Result)
    assert place.retained("") == ["com.b", "org.c"]
    assert isinstance(place.ask("clear", "com.", {"match": "prefix"}), Result)
    assert place.topics() == ["org.c"]
    place.publish("com.a")
    assert place.retained("com.") == ["com.a"]
    for node in place.cluster.nodes.values():
        archive = node.ledger.tables.kept.of("realm1")
        assert archive is not None
        kept = [each for events in archive.retained.values() for each in events]
        assert archive.retained_bytes == sum(weight(each.event) for each in kept)


def test_nobody_is_answered_before_it_is_so_on_every_node() -> None:
    place = Place("a")
    place.operator.call("wampha.retained.clear", Payload.of(["com.a"]))
    place.home.ledger.commit()
    assert place.operator.take() == []
    place.cluster.settle()
    assert isinstance(place.operator.one(), Result)


def test_it_needs_a_permission_that_was_meant_for_it() -> None:
    place = Place("a", ALL)
    assert place.ask("clear", "com.a").error == "wamp.error.not_authorized"
    assert place.topics("com.a", "exact") == ["com.a"]


@pytest.mark.parametrize("procedure", ["list", "clear"])
def test_wrong_arguments_are_refused(place: Place, procedure: str) -> None:
    assert place.ask(procedure).error == "wamp.error.invalid_argument"
    assert place.ask(procedure, 5).error == "wamp.error.invalid_argument"
    assert place.ask(procedure, "com.a", {"match": "regex"}).error == "wamp.error.invalid_argument"
    assert place.ask(procedure, "com..a").error == "wamp.error.invalid_uri"
    assert place.topics() == ["com.a", "com.b", "org.c"]
