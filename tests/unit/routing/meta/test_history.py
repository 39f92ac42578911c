"""`wamp.subscription.get_events` (advanced profile, "Event History")."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Cluster, Peer
from wampha.limits import Limits
from wampha.messages.model import Error, Result
from wampha.messages.payload import Payload
from wampha.messages.values import Family
from wampha.routing.permissions import ACTIONS, Permission
from wampha.state.commands import Down, Ring

GET_EVENTS = "wamp.subscription.get_events"
LOG = Ring("prefix", "com.log", 100, 10**6)
ALL = Permission("", "prefix", frozenset(ACTIONS))


class Place:
    """A publisher on node a, and somebody who asks on a or on b."""

    def __init__(self, asked_on: str, *rings: Ring, **options: Any) -> None:
        self.cluster = Cluster("a", "b", histories=rings or (LOG,), **options)
        self.publisher = self.cluster["a"].join()
        self.home = self.cluster[asked_on]
        self.asker = self.home.join()

    def publish(self, *numbers: Any, topic: str = "com.log.auth", **options: Any) -> list[int]:
        """The publication ids."""
        for number in numbers:
            self.cluster["a"].wall_ms += 1000
            self.publisher.publish(topic, Payload.of([number]), acknowledge=True, **options)
            self.cluster.settle()
        return [message.publication for message in self.publisher.take()]

    def subscribed(self, topic: str = "com.log.auth", **options: Any) -> int:
        self.asker.subscribe(topic, **options)
        self.cluster.settle()
        subscription: int = self.asker.one().subscription
        return subscription

    def ask(self, subscription: Any, *args: Any, asker: Peer | None = None, **kwargs: Any) -> Any:
        asker = asker or self.asker
        asker.call(GET_EVENTS, Payload.of([subscription, *args], kwargs))
        (answer,) = (message for message in asker.take() if isinstance(message, Result | Error))
        return answer

    def events(self, subscription: int, *args: Any, **kwargs: Any) -> list[Any]:
        """What was published, by the answer."""
        answer = self.ask(subscription, *args, **kwargs)
        assert isinstance(answer, Result), answer.payload.args()
        return [event["args"][0] for event in answer.payload.args()]


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def at(second: int) -> str:
    return f"2001-09-09T01:46:{40 + second:02}.000Z"


# ---- what it tells


def test_an_event_is_told_as_the_specification_has_it(place: Place) -> None:
    (publication,) = place.publish("hello", disclose_me=True)
    subscription = place.subscribed()
    answer = place.ask(subscription)
    assert answer.payload.args() == [
        {
            "timestamp": at(1),
            "subscription": subscription,
            "publication": publication,
            "topic": "com.log.auth",
            "details": {
                "publisher": place.publisher.session,
                "publisher_authid": place.publisher.conversation.session.authid,  # type: ignore[union-attr]
                "publisher_authrole": "user",
            },
            "args": ["hello"],
        }
    ]
    assert answer.payload.kwargs() == {}


def test_each_subscription_has_the_history_of_what_it_matches(place: Place) -> None:
    place.publish(1)
    place.publish(2, 3, 4, topic="com.log.basket")
    place.publish(5, topic="com.log.checkout")
    place.publish(6, topic="com.other")
    assert place.events(place.subscribed("com.log.auth")) == [1]
    assert place.events(place.subscribed("com.log.basket")) == [2, 3, 4]
    by_prefix = place.subscribed("com.log", match="prefix")
    assert place.events(by_prefix) == [1, 2, 3, 4, 5]
    assert place.events(place.subscribed("com..auth", match="wildcard")) == [1]
    assert place.events(by_prefix, topic="com.log.basket") == [2, 3, 4]
    assert place.events(by_prefix, topic="com.log") == []
    (first, *_) = place.ask(by_prefix).payload.args()
    assert first["details"] == {"topic": "com.log.auth"}


def test_events_of_several_histories_come_once_and_in_order() -> None:
    place = Place("b", LOG, Ring("exact", "com.log.auth", 2, 10**6), Ring("exact", "com.audit", 9, 10**6))
    for number in range(6):
        place.publish(number, topic="com.audit" if number % 2 else "com.log.auth")
    assert place.events(place.subscribed("com.", match="prefix")) == list(range(6))
    assert place.events(place.subscribed("com.log.auth")) == [0, 2, 4]


def test_a_payload_of_any_family_and_an_empty_one_are_told(place: Place) -> None:
    place.publisher.publish("com.log.auth", Payload(Family.JSON, 2, b'["\\u0000AAE="],{"k":[1.5,null]}'))
    place.publisher.publish("com.log.auth", Payload(Family.CBOR, 1, b"\x81\x01"))
    place.publisher.publish("com.log.auth")
    place.publisher.publish("com.log.auth", Payload(Family.CBOR, 1, b"\x81\xd9\x12\x34\x01"))  # a tag
    place.cluster.settle()
    first, second, third, fourth = place.ask(place.subscribed()).payload.args()
    assert (first["args"], first["kwargs"]) == ([b"\x00\x01"], {"k": [1.5, None]})
    assert (second["args"], "kwargs" in second) == ([1], False)
    assert "args" not in third
    assert "args" not in fourth
    assert "CBORTag" in fourth["details"]["unreadable"]


def test_the_order_is_that_of_the_log_whatever_the_clocks_of_nodes_say() -> None:
    place = Place("b")
    other = place.cluster["b"].join()
    place.cluster["b"].wall_ms -= 3_600_000
    place.publish(1)
    other.publish("com.log.auth", Payload.of([2]))
    place.cluster.settle()
    place.publish(3)
    subscription = place.subscribed()
    assert place.events(subscription) == [1, 2, 3]
    assert place.events(subscription, before_time=at(0)) == [2]


def test_every_node_gives_the_same_answer_and_a_late_one_too() -> None:
    place = Place("b")
    place.publish(*range(10))
    subscription = place.subscribed()
    place.cluster.log.append(Down(place.cluster["a"].owner, 1))
    del place.cluster.nodes["a"]
    place.cluster.settle()
    late = place.cluster.add("late")
    late.ledger.install(place.home.ledger.machine, place.home.ledger.applied)
    answers = [place.ask(subscription, asker=node.join()).payload for node in (place.home, late)]
    assert answers[0] == answers[1]
    assert len(answers[0].args()) == 10


# ---- conditions


def test_limit_and_reverse(place: Place) -> None:
    place.publish(*range(5))
    subscription = place.subscribed()
    assert place.events(subscription, limit=2) == [0, 1]
    assert place.events(subscription, reverse=True) == [4, 3, 2, 1, 0]
    assert place.events(subscription, reverse=True, limit=2) == [4, 3]
    assert place.events(subscription, reverse=False, limit=99) == [0, 1, 2, 3, 4]
    assert place.events(subscription, 3) == [0, 1, 2]
    assert place.events(float(subscription), limit=1) == [0]


def test_times(place: Place) -> None:
    place.publish(*range(5))
    subscription = place.subscribed()
    assert place.events(subscription, from_time=at(3)) == [2, 3, 4]
    assert place.events(subscription, after_time=at(3)) == [3, 4]
    assert place.events(subscription, before_time=at(3)) == [0, 1]
    assert place.events(subscription, until_time=at(3)) == [0, 1, 2]
    assert place.events(subscription, from_time=at(2), before_time="2001-09-09T03:46:44+02:00") == [1, 2]
    assert place.events(subscription, after_time=at(9)) == []


def test_publications(place: Place) -> None:
    ids = place.publish(*range(5))
    subscription = place.subscribed()
    assert place.events(subscription, from_publication=ids[3]) == [3, 4]
    assert place.events(subscription, after_publication=ids[3]) == [4]
    assert place.events(subscription, before_publication=float(ids[3])) == [0, 1, 2]
    assert place.events(subscription, until_publication=ids[3]) == [0, 1, 2, 3]
    assert place.events(subscription, from_publication=ids[3], until_publication=ids[1]) == []
    assert place.events(subscription, after_publication=ids[0], reverse=True, limit=2) == [4, 3]
    pages: list[Any] = []
    last: dict[str, Any] = {}
    while page := place.ask(subscription, limit=2, **last).payload.args():
        pages.append([event["args"][0] for event in page])
        last = {"after_publication": page[-1]["publication"]}
    assert pages == [[0, 1], [2, 3], [4]]


def test_a_realm_may_answer_as_crossbar_does() -> None:
    place = Place("b", history_as_list=True)
    place.publish(*range(12))
    subscription = place.subscribed()

    def seen(*args: Any, **kwargs: Any) -> list[Any]:
        (events,) = place.ask(subscription, *args, **kwargs).payload.args()
        return [event["args"][0] for event in events]

    assert seen() == list(range(11, 1, -1))
    assert seen(2) == [11, 10]
    assert seen(limit=2, reverse=False) == [0, 1]
    assert seen(100, after_publication=place.publish(12)[0]) == []


# ---- who may have what


def test_lists_of_names_are_respected_and_what_was_for_certain_sessions_is_not_kept(place: Place) -> None:
    authid = place.asker.conversation.session.authid  # type: ignore[union-attr]
    place.publish(1, eligible_authrole=["admin"])
    place.publish(2, eligible_authid=[authid])
    place.publish(3, exclude_authid=[authid])
    place.publish(4, eligible=[place.asker.session])
    place.publish(5, exclude=[place.publisher.session])
    place.publish(6, exclude_authrole=["admin"], exclude_me=False)
    subscription = place.subscribed()
    assert place.events(subscription) == [2, 6]
    other = place.home.join()
    assert place.events(subscription, asker=other) == [3, 6]


def test_who_may_not_subscribe_may_not_ask() -> None:
    secret = Permission("com.log.auth", "exact", frozenset(ACTIONS) - {"subscribe"})
    place = Place("a", permissions=[ALL])
    subscription = place.subscribed()
    other = Cluster("c", histories=[LOG], permissions=[ALL, secret])["c"]
    other.ledger.install(place.home.ledger.machine, place.home.ledger.applied)
    assert place.ask(subscription, asker=other.join()).error == "wamp.error.not_authorized"


def test_retained_events_and_history_go_together(place: Place) -> None:
    place.publish(1, 2, retain=True)
    place.publish(3)
    subscription = place.subscribed()
    assert place.events(subscription) == [1, 2, 3]
    peer = place.home.join()
    peer.subscribe("com.log.auth", get_retained=True)
    assert [message.payload.args() for message in peer.take()[1:]] == [[2]]


# ---- bounds


def test_a_history_is_bounded_in_events_and_the_oldest_go_first() -> None:
    place = Place("b", Ring("prefix", "com.log", 3, 10**6))
    ids = place.publish(*range(5))
    subscription = place.subscribed()
    assert place.events(subscription) == [2, 3, 4]
    refusal = place.ask(subscription, after_publication=ids[0])
    assert refusal.error == "wamp.error.invalid_argument"


def test_a_history_is_bounded_in_bytes() -> None:
    place = Place("b", Ring("prefix", "com.log", 100, 150_000))
    place.publish(*("x" * 60_000 for _ in range(5)))
    assert len(place.events(place.subscribed())) == 2


def test_an_event_that_is_too_large_for_a_history_is_refused(place: Place) -> None:
    place.publisher.publish("com.log.auth", Payload.of(["x" * 70_000]), acknowledge=True)
    assert place.publisher.one().error == "wamp.error.payload_size_exceeded"


def test_an_answer_is_bounded_and_says_so() -> None:
    limits = Limits(history_events_answered_max=3, history_bytes_answered_max=1024)
    place = Place("b", limits=limits)
    place.publish(*range(5))
    place.publish(*("x" * 400 for _ in range(3)), topic="com.log.large")
    answer = place.ask(place.subscribed())
    assert len(answer.payload.args()) == 3
    assert answer.payload.kwargs() == {"more": True}
    assert place.ask(place.subscribed(), limit=3).payload.kwargs() == {}
    answer = place.ask(place.subscribed("com.log.large"))
    assert len(answer.payload.args()) == 2
    assert answer.payload.kwargs() == {"more": True}
    assert place.home.counters["history_answers_cut"] == 2


# ---- bad input


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        (["x"], {}),
        ([None], {}),
        *(([0], {"limit": limit}) for limit in (0, -1, "2", 1.5, True)),
        ([0, 0], {}),
        *(([0], {"reverse": value}) for value in (1, "yes")),
        *(([0], {"topic": value}) for value in (1, ["com.log"])),
        *(
            ([0], {f"{name}_time": value})
            for name, value in zip(
                ("from", "after", "before", "until"), ("now", 5, "2001-02-30T00:00:00Z", ""), strict=True
            )
        ),
        *(
            ([0], {f"{name}_publication": value})
            for name, value in zip(("from", "after", "before", "until"), ("1", True, 5, [1]), strict=True)
        ),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(place: Place, args: list[Any], kwargs: dict[str, Any]) -> None:
    place.publish(1)
    subscription = place.subscribed()
    args = [subscription if each == 0 and position == 0 else each for position, each in enumerate(args)]
    place.asker.call(GET_EVENTS, Payload.of(args, kwargs))
    refusal = place.asker.one()
    assert isinstance(refusal, Error)
    assert refusal.error == "wamp.error.invalid_argument"
    (sentence,) = refusal.payload.args()
    assert sentence.startswith(GET_EVENTS) and sentence.endswith(".")


def test_a_subscription_that_is_none_and_one_without_history_have_errors_of_their_own(place: Place) -> None:
    subscription = place.subscribed("com.other")
    assert place.ask(subscription + 1000).error == "wamp.error.no_such_subscription"
    assert place.ask(subscription).error == "wamp.error.history_unavailable"
    other = place.home.join(realm="realm2")
    assert place.ask(place.subscribed(), asker=other).error == "wamp.error.no_such_subscription"


def test_a_realm_without_history_keeps_nothing() -> None:
    cluster = Cluster("a")
    publisher = cluster["a"].join()
    publisher.publish("com.log.auth", Payload.of([1]))
    cluster.settle()
    assert cluster["a"].ledger.tables.kept.of("realm1") is None
