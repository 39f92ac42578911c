"""Retained events (advanced profile, "Event Retention"): who gets which one, when, and what comes after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import ALL, Cluster, Node, Peer
from wampha.errors import NodeBehind
from wampha.ledger.engine import COMMAND_BYTES_MAX
from wampha.limits import Limits
from wampha.messages.model import Error, Event, Published, Subscribed
from wampha.messages.payload import Payload
from wampha.routing.permissions import ACTIONS, Permission
from wampha.state.commands import Down, Keep, Outcome, Ring

TOPIC = "com.topic"


class Place:
    """A publisher on node a, subscribers on a or on b."""

    def __init__(self, subscribers_on: str, **options: Any) -> None:
        self.cluster = Cluster("a", "b", **options)
        self.publisher = self.cluster["a"].join()
        self.home = self.cluster[subscribers_on]

    def publish(self, number: Any, topic: str = TOPIC, **options: Any) -> None:
        self.publisher.publish(topic, Payload.of([number]), **{"retain": True, **options})

    def published(self, number: Any, topic: str = TOPIC, **options: Any) -> None:
        self.publish(number, topic, **options)
        self.cluster.settle()

    def subscriber(self, topic: str = TOPIC, **options: Any) -> Peer:
        """With SUBSCRIBED and what came behind it in its inbox."""
        peer = self.home.join()
        peer.subscribe(topic, **{"get_retained": True, **options})
        self.cluster.settle()
        return peer


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def events(peer: Peer) -> list[Any]:
    """(payload, retained) of the events since the last look; SUBSCRIBED must be before them, or not there."""
    messages = peer.take()
    if messages and isinstance(messages[0], Subscribed):
        del messages[0]
    assert all(isinstance(message, Event) for message in messages), messages
    return [(message.payload.args()[0], message.details.get("retained", False)) for message in messages]


# ---- who gets what


def test_a_new_subscriber_gets_the_last_retained_event_right_behind_subscribed(place: Place) -> None:
    place.published(1)
    place.published(2)
    place.published(3, retain=False)
    place.published(4, "com.other")
    subscribed, event = place.subscriber().take()
    assert isinstance(subscribed, Subscribed)
    assert isinstance(event, Event)
    assert (event.subscription, event.payload.args(), event.details) == (
        subscribed.subscription,
        [2],
        {"retained": True},
    )


def test_who_does_not_ask_gets_nothing_retained(place: Place) -> None:
    place.published(1)
    assert events(place.subscriber(get_retained=False)) == []
    assert events(place.subscriber()) == [(1, True)]
    assert events(place.subscriber("com.other")) == []


def test_a_later_subscriber_of_a_standing_route_is_told_at_once(place: Place) -> None:
    place.published(1)
    place.subscriber()
    peer = place.home.join()
    peer.subscribe(TOPIC, get_retained=True)
    assert events(peer) == [(1, True)]


def test_live_events_are_not_marked_and_follow(place: Place) -> None:
    place.published(1)
    peer = place.subscriber()
    place.published(2)
    place.published(3, retain=False)
    assert events(peer) == [(1, True), (2, False), (3, False)]


@pytest.mark.parametrize(("pattern", "match"), [("com.", "prefix"), ("com..x", "wildcard")])
def test_a_pattern_gets_the_event_of_every_topic_in_the_order_in_which_they_were_kept(
    place: Place, pattern: str, match: str
) -> None:
    for number, topic in enumerate(("com.b.x", "com.a.x", "org.a.x", "com.b.x")):
        place.published(number, topic)
    _, *messages = place.subscriber(pattern, match=match).take()
    assert [(event.payload.args(), event.details) for event in messages] == [
        ([1], {"retained": True, "topic": "com.a.x"}),
        ([3], {"retained": True, "topic": "com.b.x"}),
    ]


def test_the_identity_of_the_publisher_is_that_of_the_publication(place: Place) -> None:
    place.published(1, disclose_me=True, _own="x")
    publisher = place.publisher
    publisher.conversation.lost()
    _, event = place.subscriber().take()
    session = event.details["publisher"]
    assert session == publisher.session
    assert event.details["publisher_authrole"] == "user"
    assert event.details["_own"] == "x"


def test_the_publisher_itself_gets_it_only_if_it_wants_its_own_events(place: Place) -> None:
    place.published(1)
    place.publisher.subscribe(TOPIC, get_retained=True)
    place.cluster.settle()
    assert events(place.publisher) == []
    place.published(2, exclude_me=False)
    assert events(place.publisher) == [(2, False)]
    place.publisher.subscribe(TOPIC, get_retained=True)
    assert events(place.publisher) == [(2, True)]


def test_lists_are_respected_and_who_is_left_out_gets_the_last_that_was_for_all(place: Place) -> None:
    place.published(1)
    place.published(2, eligible_authrole=["admin"])
    assert events(place.subscriber()) == [(1, True)]
    place.published(3, exclude_authrole=["admin"])
    assert events(place.subscriber()) == [(3, True)]
    place.published(4, eligible=[])
    assert events(place.subscriber()) == [(3, True)]
    place.published(5)
    assert events(place.subscriber()) == [(5, True)]


def test_a_session_on_a_list_is_known_by_its_id(place: Place) -> None:
    peer = place.home.join()
    place.published(1, eligible=[float(peer.session)])
    assert events(place.subscriber()) == []
    peer.subscribe(TOPIC, get_retained=True)
    place.cluster.settle()
    assert events(peer) == [(1, True)]


def test_realms_do_not_see_each_other_s_retained_events(place: Place) -> None:
    place.published(1)
    other = place.home.join(realm="realm2")
    other.subscribe(TOPIC, get_retained=True)
    place.cluster.settle()
    assert events(other) == []


def test_a_role_that_may_not_subscribe_gets_nothing() -> None:
    some = Permission("com.", "prefix", frozenset(ACTIONS) - {"subscribe"})
    place = Place("a", permissions=[ALL, some])
    place.published(1)
    (refusal,) = place.subscriber().take()
    assert refusal.error == "wamp.error.not_authorized"


# ---- what survives


def test_it_outlives_its_publisher_and_the_publisher_s_node(place: Place) -> None:
    place = Place("b")
    place.published(1)
    cluster = place.cluster
    cluster.log.append(Down(cluster["a"].owner, 1))
    del cluster.nodes["a"]
    cluster.settle()
    assert events(place.subscriber()) == [(1, True)]


def test_a_node_that_comes_later_has_it_too(place: Place) -> None:
    place.published(1)
    late = place.cluster.add("late")
    late.ledger.install(place.cluster["a"].ledger.machine, place.cluster["a"].ledger.applied)
    place.home = late
    assert events(place.subscriber()) == [(1, True)]


# ---- neither twice nor never, and in order


def test_nobody_gets_an_event_that_is_not_kept_and_published_says_that_it_is() -> None:
    place = Place("b")
    peer, near = place.subscriber(), place.cluster["a"].join()
    near.subscribe(TOPIC)
    place.cluster.settle()
    peer.take(), near.take()
    place.publish(1, acknowledge=True)
    ledger = place.cluster["a"].ledger
    ledger.commit()
    assert place.publisher.take() == near.take() == []  # applied here and, as far as is known, nowhere else
    ledger.claim()
    assert [type(message) for message in near.take()] == [Event]
    assert [type(message) for message in place.publisher.take()] == [Published]
    place.cluster.settle()
    assert events(peer) == [(1, False)]


@pytest.mark.parametrize("steps", range(5))
def test_who_subscribes_while_it_is_on_its_way_gets_it_once(steps: int) -> None:
    place = Place("b")
    place.published(0)
    place.subscriber()  # its route stands, so others are answered at once
    a, b = place.cluster["a"], place.cluster["b"]
    late = b.join()
    place.publish(1)
    way = [a.ledger.commit, b.ledger.apply, a.ledger.claim, lambda: place.cluster.carry("a", "b")]
    for step in way[:steps]:
        step()
    late.subscribe(TOPIC, get_retained=True)
    for step in way[steps:]:
        step()
    place.published(2)
    seen = events(late)
    assert [number for number, _ in seen] == ([0, 1, 2] if steps < 2 else [1, 2])
    assert [retained for _, retained in seen] == [True] + [False] * (len(seen) - 1)


def test_an_older_subscriber_loses_nothing_when_it_asks_again() -> None:
    place = Place("b")
    peer = place.subscriber()
    a, b = place.cluster["a"], place.cluster["b"]
    place.publish(1), place.publish(2)
    for step in (a.ledger.commit, b.ledger.apply, a.ledger.claim):
        step()
    while a.ledger.queue:
        a.ledger.commit(), b.ledger.apply(), a.ledger.claim()
    peer.take()
    peer.subscribe(TOPIC, get_retained=True)
    assert events(peer) == [(2, True)]
    place.cluster.settle()
    assert events(peer) == [(1, False), (2, False)]


def test_later_publications_of_the_same_session_wait_for_their_turn_and_others_do_not(place: Place) -> None:
    peer, other = place.subscriber("com.", match="prefix"), place.cluster["a"].join()
    peer.take()
    place.publish(1, retain=False)
    place.publish(2)
    place.publish(3, "com.other", retain=False)
    place.publish(4)
    place.publish(5, retain=False)
    other.publish("com.third", Payload.of([6]))
    place.cluster.carry("a", "b")
    assert [number for number, _ in events(peer)] == [1, 6]
    place.cluster.settle()
    assert events(peer) == [(number, False) for number in (2, 3, 4, 5)]
    assert place.publisher.conversation.session.outgoing is None  # type: ignore[union-attr]


def test_what_was_published_before_the_end_of_the_session_is_still_sent(place: Place) -> None:
    peer = place.subscriber()
    place.publish(1, acknowledge=True)
    place.publish(2, retain=False)
    place.publisher.conversation.lost()
    place.cluster.settle()
    assert events(peer) == [(1, False), (2, False)]
    assert events(place.subscriber()) == [(1, True)]


def test_a_session_is_not_sent_away_before_its_publications_are_out(place: Place) -> None:
    conversation = place.publisher.conversation
    assert conversation.settled()
    place.publish(1)
    assert not conversation.settled()
    place.cluster.settle()
    assert conversation.settled()


def test_a_suspended_node_sends_nothing_until_it_serves_again() -> None:
    place = Place("a")
    peer = place.subscriber()
    peer.take()
    place.publish(1, acknowledge=True)
    a = place.cluster["a"]
    a.ledger.is_serving = False
    place.cluster.settle()
    assert peer.take() == place.publisher.take() == []
    a.ledger.serve(True)
    assert events(peer) == [(1, False)]
    assert isinstance(place.publisher.one(), Published)


# ---- outcomes that are not known


def test_a_statement_that_was_lost_is_made_again_and_one_that_was_not_has_no_effect_twice() -> None:
    for lost in (True, False):
        place = Place("b", histories=[Ring("exact", TOPIC, 10, 10**6)])
        peer, a = place.subscriber(), place.cluster["a"]
        peer.take()
        place.publish(1, acknowledge=True)
        command, outcome = a.ledger.forget()
        assert isinstance(command, Keep)
        if not lost:
            place.cluster.log.append(command)
        outcome(Outcome.UNKNOWN)
        place.publish(2, acknowledge=True)
        a.tick()
        place.cluster.settle()
        a.tick()
        place.cluster.settle()
        assert events(peer) == [(1, False), (2, False)]
        assert [type(message) for message in place.publisher.take()] == [Published, Published]
        assert a.counters["keeps_repeated"] == 1
        assert a.counters["events_kept"] == 2
        archive = a.ledger.tables.kept.of("realm1")
        assert archive is not None
        assert [kept.event.data for kept in archive.retained[TOPIC]] == [Payload.of([2]).data]
        history = archive.histories["exact", TOPIC].events
        assert [kept.event.data for kept in history] == [Payload.of([number]).data for number in (1, 2)]


def test_a_statement_that_takes_effect_late_is_not_made_again() -> None:
    place = Place("a")
    peer, a = place.subscriber(), place.cluster["a"]
    peer.take()
    place.publish(1)
    command, outcome = a.ledger.forget()
    outcome(Outcome.UNKNOWN)
    place.cluster.log.append(command)
    place.cluster.settle()
    a.tick()
    assert events(peer) == [(1, False)]
    assert a.counters["keeps_repeated"] == 0


def test_nothing_of_a_dead_incarnation_is_sent_and_the_next_one_begins_anew() -> None:
    place = Place("a")
    a = place.cluster["a"]
    place.publish(1)
    _, outcome = a.ledger.forget()
    a.router.fenced("it was declared dead")
    outcome(Outcome.UNKNOWN)
    a.tick()
    assert not a.ledger.queue


# ---- bounds


def test_an_event_that_is_too_large_is_refused_and_the_former_one_stays(place: Place) -> None:
    place.cluster = Cluster("a", "b", limits=Limits(kept_event_bytes_max=1024))
    place.publisher, place.home = place.cluster["a"].join(), place.cluster["b"]
    place.published(1)
    place.publish("x" * 1024, acknowledge=True)
    refusal = place.publisher.one()
    assert isinstance(refusal, Error)
    assert refusal.error == "wamp.error.payload_size_exceeded"
    place.publish("x" * 1024)
    assert place.publisher.take() == []
    counters = place.cluster["a"].counters
    assert counters["events_too_large_to_keep"] == 2
    assert counters["publishes_refused_silently"] == 1
    assert events(place.subscriber()) == [(1, True)]
    place.published("x" * 1024, retain=False)


def test_a_realm_s_retained_topics_are_bounded_and_an_event_without_room_reaches_nobody() -> None:
    place = Place("b", limits=Limits(retained_topics_max=2))
    peer = place.subscriber("com.", match="prefix")
    peer.take()
    for number, topic in enumerate(("com.a", "com.b", "com.c", "com.a")):
        place.published(number, topic, acknowledge=True)
    place.published(4, "com.d")
    answers = place.publisher.take()
    assert [type(answer) for answer in answers] == [Published, Published, Error, Published]
    assert answers[2].error == "wamp.error.unavailable"
    assert events(peer) == [(0, False), (1, False), (3, False)]
    counters = place.cluster["a"].counters
    assert counters["events_not_kept"] == 2
    assert counters["publishes_refused_silently"] == counters["requests_refused"] == 1
    place.published(5, "com.d", retain=False)
    assert events(peer) == [(5, False)]


def test_a_realm_s_retained_bytes_are_bounded() -> None:
    place = Place("b", limits=Limits(retained_bytes_max=128 * 1024))
    for topic in ("com.a", "com.b", "com.c", "com.a"):
        place.published("x" * 50_000, topic, acknowledge=True)
    assert [type(answer) for answer in place.publisher.take()] == [Published, Published, Error, Published]
    place.published("x", "com.a")
    place.published("x" * 50_000, "com.c", acknowledge=True)
    assert isinstance(place.publisher.one(), Published)
    assert place.cluster["a"].counters["events_not_kept"] == 1


def test_a_pattern_gets_so_many_retained_events_and_no_more() -> None:
    place = Place("b", limits=Limits(retained_events_sent_max=2))
    for number in range(4):
        place.published(number, f"com.t{number}")
    assert events(place.subscriber("com.", match="prefix")) == [(2, True), (3, True)]
    assert place.cluster["b"].counters["retained_events_omitted"] == 2


def test_who_wants_much_to_be_kept_waits_until_there_is_room() -> None:
    place = Place("b")
    a, other = place.cluster["a"], place.cluster["a"].join()
    publishers = [place.cluster["a"].join() for _ in range(30)]
    accepted = 0
    with pytest.raises(NodeBehind) as behind:
        for publisher in publishers:
            publisher.publish("com.t", Payload.of(["x" * 60_000]), retain=True)
            accepted += 1
    assert behind.value.awaited == a.owner
    assert 16 <= accepted < 20
    other.publish("com.t", Payload.of(["not kept"]))
    assert a.outbox.reliefs == []
    place.cluster.settle()
    assert a.outbox.reliefs == [a.owner]
    assert a.counters["events_kept"] == accepted
    publishers[accepted].publish("com.t", retain=True)


def test_who_has_much_waiting_behind_an_event_that_is_being_kept_waits_until_it_is_sent() -> None:
    place = Place("b")
    a = place.cluster["a"]
    place.publish(0)
    place.publish("x" * 40_000, retain=False)
    place.publish("x" * 40_000, retain=False)
    for retain in (False, True):
        with pytest.raises(NodeBehind):
            place.publish(1, retain=retain)
    assert a.counters["publications"] == 3
    place.cluster.settle()
    assert a.outbox.reliefs == [a.owner]
    place.published(1)
    assert events(place.subscriber()) == [(1, True)]


def test_events_of_one_statement_are_bounded_in_bytes() -> None:
    place = Place("b")
    for publisher in [place.cluster["a"].join() for _ in range(10)]:
        publisher.publish(TOPIC, Payload.of(["x" * 60_000]), retain=True)
    place.cluster.settle()
    statements = [command for command in place.cluster["a"].ledger.proposed if isinstance(command, Keep)]
    assert [len(each.wishes) for each in statements] == [1, 2, 2, 2, 2, 1]


def test_many_kept_events_go_out_over_several_turns_and_in_order() -> None:
    place = Place("a")
    peer = place.subscriber()
    peer.take()
    a = place.cluster["a"]
    for number in range(50):
        place.publish(number)
    a.ledger.commit(), a.ledger.commit()
    a.ledger.claim()
    assert [number for number, _ in events(peer)] == list(range(20))
    a.ledger.claim()
    assert events(peer) == []
    a.clock.advance(0)
    assert [number for number, _ in events(peer)] == list(range(20, 50))


def test_the_largest_statement_fits_into_the_log() -> None:
    topic = "com." + "x" * 1000
    rings = [Ring("prefix", topic[: 1000 - number], 1, 10**6) for number in range(32)]
    place = Place("b", histories=rings, limits=Limits(kept_event_bytes_max=128 * 1024))
    place.publish(0)
    publishers = [place.cluster["a"].join() for _ in range(2)]
    for publisher, size in zip(publishers, (20_000, 128 * 1024 - 1400), strict=True):
        publisher.publish(topic, Payload.of(["x" * size]), acknowledge=True)
    place.cluster.settle()
    largest = max(len(entry) for entry in place.cluster.log.entries)
    assert 210_000 < largest < COMMAND_BYTES_MAX - 10_000
    assert all(isinstance(publisher.one(), Published) for publisher in publishers)


def test_a_node_alone_keeps_within_the_publish() -> None:
    node = Node()
    publisher, subscriber = node.join(), node.join()
    publisher.publish(TOPIC, Payload.of([1]), retain=True, acknowledge=True)
    assert isinstance(publisher.one(), Published)
    subscriber.subscribe(TOPIC, get_retained=True)
    assert events(subscriber) == [(1, True)]
