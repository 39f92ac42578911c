"""Options of PUBLISH, on one node and between two (advanced profile, "Publish and Subscribe")."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import EVERYTHING, Cluster, Node, Peer
from wampha.limits import Limits
from wampha.messages.model import Abort, Error, Event, Published
from wampha.messages.payload import Payload
from wampha.routing.permissions import ACTIONS, Permission

SOMETHING = Payload.of([1, "two"], {"three": 3})


class Place:
    """A publisher on node a, subscribers on a or on b."""

    def __init__(self, subscribers_on: str, **options: Any) -> None:
        self.cluster = Cluster("a", "b", **options)
        self.publisher = self.cluster["a"].join()
        self._home = self.cluster[subscribers_on]

    def subscriber(self, topic: str, **options: Any) -> Peer:
        peer = self._home.join()
        peer.subscribe(topic, **options)
        self.cluster.settle()
        peer.take()
        return peer

    def publish(self, topic: str, **options: Any) -> None:
        self.publisher.publish(topic, SOMETHING, **options)
        self.cluster.settle()


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def details(peer: Peer) -> Any:
    event = peer.one()
    assert isinstance(event, Event)
    assert event.payload == SOMETHING
    return event.details


# ---- subscriber black- and whitelisting


def received(place: Place, **options: Any) -> list[int]:
    """Who of three subscribers gets an event with these options; the lists name them by their number."""
    subscribers = [place.subscriber("t") for _ in range(3)]
    sessions = [place._home.router._sessions[peer.session] for peer in subscribers]
    names = {"": [s.id for s in sessions], "_authid": [s.authid for s in sessions]}
    lists = {
        name: [names[name[8:] if name.startswith("eligible") else name[7:]][number] for number in numbers]
        for name, numbers in options.items()
    }
    place.publish("t", **lists)
    return [number for number, peer in enumerate(subscribers) if peer.take()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exclude": [1]}, [0, 2]),
        ({"exclude": []}, [0, 1, 2]),
        ({"exclude_authid": [0, 2]}, [1]),
        ({"eligible": [1, 2]}, [1, 2]),
        ({"eligible": []}, []),
        ({"eligible_authid": []}, []),
        ({"eligible_authid": [0]}, [0]),
        ({"eligible": [0, 1], "exclude": [0]}, [1]),
        ({"eligible": [0, 1], "eligible_authid": [1, 2]}, [1]),
        ({"eligible": [0, 1], "exclude_authid": [1], "eligible_authid": [0, 1, 2]}, [0]),
    ],
)
def test_an_event_reaches_whom_every_list_admits(place: Place, options: dict[str, Any], expected: list[int]) -> None:
    assert received(place, **options) == expected


def test_lists_of_roles_are_respected(place: Place) -> None:
    subscriber = place.subscriber("t")
    for options in ({"exclude_authrole": ["user"]}, {"eligible_authrole": ["other"]}, {"eligible_authrole": []}):
        place.publish("t", **options)
        assert subscriber.take() == []
    for options in ({"exclude_authrole": ["other"]}, {"eligible_authrole": ["user", "other"]}):
        place.publish("t", **options)
        assert details(subscriber) == {}


def test_an_eligible_publisher_is_left_out_unless_it_asks() -> None:
    node = Node()
    publisher = node.join()
    publisher.subscribed("t")
    publisher.publish("t", eligible=[publisher.session])
    assert publisher.take() == []
    publisher.publish("t", eligible=[publisher.session], exclude_me=False)
    assert isinstance(publisher.one(), Event)


def test_lists_are_bounded_together_and_longer_ones_are_refused() -> None:
    node = Node(limits=Limits(publish_receivers_max=3))
    publisher, subscriber = node.join(), node.join()
    subscriber.subscribed("t")
    publisher.publish("t", exclude=[1, 2], eligible_authid=["x"], acknowledge=True)
    assert isinstance(publisher.one(), Published)
    publisher.publish("t", exclude=[1, 2], exclude_authid=["x", "y"], acknowledge=True)
    refusal = publisher.one()
    assert isinstance(refusal, Error)
    assert refusal.error == "wamp.error.invalid_argument"
    assert refusal.payload.args() == ["The black and white lists of a publication may have 3 entries together."]
    assert subscriber.take() == []
    assert node.counters["requests_refused"] == 1
    publisher.publish("t", exclude=[1, 2, 3, 4])
    assert node.counters["publishes_refused_silently"] == 1


# ---- publisher identification


def test_a_publisher_is_known_if_it_asks_for_it(place: Place) -> None:
    subscriber = place.subscriber("t")
    place.publish("t")
    assert details(subscriber) == {}
    place.publish("t", disclose_me=False)
    assert details(subscriber) == {}
    place.publish("t", disclose_me=True)
    publisher = place.cluster["a"].router._sessions[place.publisher.session]
    assert details(subscriber) == {
        "publisher": publisher.id,
        "publisher_authid": publisher.authid,
        "publisher_authrole": "user",
    }


@pytest.mark.parametrize("home", ["a", "b"])
def test_a_permission_may_disclose_every_publisher_and_say_how_far_it_is_trusted(home: str) -> None:
    permission = Permission("", "prefix", frozenset(ACTIONS), disclose=frozenset({"publish"}), trustlevel=2)
    place = Place(home, permissions=[permission])
    subscriber = place.subscriber("t.", match="prefix")
    place.publish("t.x", _own=1)
    shown = details(subscriber)
    assert shown["publisher"] == place.publisher.session
    assert {"publisher_authid", "publisher_authrole"} < set(shown)
    assert (shown["trustlevel"], shown["topic"], shown["_own"]) == (2, "t.x", 1)


# ---- pattern-based subscription


def test_each_matching_subscription_gets_the_event_and_patterns_the_topic(place: Place) -> None:
    exact = place.subscriber("a.b.c")
    prefix = place.subscriber("a.b", match="prefix")
    wildcard = place.subscriber("a..c", match="wildcard")
    others = [place.subscriber("a.b.cd", match="prefix"), place.subscriber("a..", match="wildcard")]
    place.publish("a.b.c", disclose_me=True)
    assert "topic" not in details(exact)
    for peer in (prefix, wildcard, others[1]):
        shown = details(peer)
        assert (shown["topic"], shown["publisher"]) == ("a.b.c", place.publisher.session)
    assert others[0].take() == []


def test_one_session_gets_the_event_once_for_each_of_its_subscriptions(place: Place) -> None:
    subscriber = place.subscriber("a.b")
    for topic, match in (("a", "prefix"), ("a.", "wildcard")):
        subscriber.subscribe(topic, match=match)
        place.cluster.settle()
        subscriber.take()
    place.publish("a.b")
    events = subscriber.take()
    assert len({event.subscription for event in events}) == len(events) == 3
    assert len({event.publication for event in events}) == 1


# ---- payload passthru mode


def test_passthru_attributes_go_to_subscribers_as_they_are(place: Place) -> None:
    subscriber = place.subscriber("t")
    attributes = {"ppt_scheme": "x_mine", "ppt_serializer": "cbor", "ppt_cipher": "aes256gcm", "ppt_keyid": "k"}
    place.publish("t", **attributes)
    assert details(subscriber) == attributes


def test_passthru_by_a_publisher_that_did_not_announce_it_is_a_violation() -> None:
    node = Node()
    publisher, other = node.join(features={}), node.join(features=EVERYTHING)
    other.subscribed("t")
    publisher.publish("t", ppt_scheme="wamp")
    abort = publisher.one()
    assert isinstance(abort, Abort)
    assert abort.reason == "wamp.error.protocol_violation"
    assert other.take() == []
    assert other.conversation.established
