"""Publish and subscribe on one node: basic profile, "Publish and Subscribe"; protocol rules 22 and 23."""

from __future__ import annotations

import pytest

from tests.support.core import Node, refusal
from wampha.limits import Limits
from wampha.messages.model import Error, Event, Published, Subscribed, Unsubscribed
from wampha.messages.payload import Payload
from wampha.routing.permissions import Permission
from wampha.state.commands import AddRoute, Outcome, RemoveRoute

SOMETHING = Payload.of([1, "two"], {"three": 3})


# ---- PUBLISH


def test_an_event_carries_the_payload_as_it_came(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    subscription = subscriber.subscribed("com.topic")
    request = publisher.publish("com.topic", SOMETHING, acknowledge=True)
    event = subscriber.one()
    assert isinstance(event, Event)
    assert (event.subscription, event.details) == (subscription, {})
    assert event.payload is SOMETHING
    assert publisher.one() == Published(request, event.publication)
    assert 1 <= event.publication <= 2**53
    assert node.counters["publications"] == node.counters["events_delivered"] == 1


def test_an_unacknowledged_publish_is_not_answered(node: Node) -> None:
    publisher = node.join()
    publisher.publish("com.topic")
    publisher.publish("com.topic", acknowledge=False)
    assert publisher.take() == []


def test_the_publisher_is_left_out_unless_it_asks(node: Node) -> None:
    publisher, other = node.join(), node.join()
    publisher.subscribed("com.topic")
    other.subscribed("com.topic")
    publisher.publish("com.topic")
    publisher.publish("com.topic", exclude_me=True)
    assert publisher.take() == []
    publisher.publish("com.topic", exclude_me=False)
    assert len(publisher.take()) == 1
    assert len(other.take()) == 3


def test_the_event_of_a_pattern_subscription_carries_the_topic(node: Node) -> None:
    exact, prefix, wildcard, publisher = (node.join() for _ in range(4))
    exact.subscribed("com.app.topic")
    prefix.subscribed("com.app", match="prefix")
    wildcard.subscribed("com..topic", match="wildcard")
    publisher.publish("com.app.topic")
    assert exact.one().details == {}
    assert prefix.one().details == wildcard.one().details == {"topic": "com.app.topic"}


def test_a_session_gets_one_event_per_matching_subscription_of_its(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    ids = [
        subscriber.subscribed("com.app.topic"),
        subscriber.subscribed("com.app", match="prefix"),
        subscriber.subscribed("com..topic", match="wildcard"),
    ]
    publisher.publish("com.app.topic")
    events = subscriber.take()
    assert [event.subscription for event in events] == ids
    assert len({event.publication for event in events}) == 1
    assert len(set(ids)) == 3


def test_passthru_and_custom_options_travel_with_the_payload_and_others_do_not(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    subscriber.subscribed("com.topic")
    publisher.publish("com.topic", SOMETHING, ppt_scheme="x_mine", _own=[1], acknowledge=False, retain=True)
    assert subscriber.one().details == {"ppt_scheme": "x_mine", "_own": [1]}


def test_publications_of_one_session_arrive_in_order(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    subscriber.subscribed("com.", match="prefix")
    for number in range(50):
        publisher.publish(f"com.topic{number % 3}", Payload.of([number]))
    assert [event.payload.args() for event in subscriber.take()] == [[number] for number in range(50)]


@pytest.mark.parametrize("topic", ["", "a b", "a..b", "a.", "wamp.session.on_join", "#"])
def test_an_acknowledged_publish_to_a_bad_topic_is_refused(node: Node, topic: str) -> None:
    publisher = node.join()
    request = publisher.publish(topic, acknowledge=True)
    assert refusal(publisher.one(), 16, request) == "wamp.error.invalid_uri"
    assert node.counters["requests_refused"] == 1
    assert publisher.conversation.established


@pytest.mark.parametrize("topic", ["a" * 65, "a.b.c.d.e"])
def test_the_bounds_of_uris_are_those_of_the_limits(topic: str) -> None:
    node = Node(limits=Limits(uri_bytes_max=64, uri_components_max=4))
    peer = node.join()
    for refused in (False, True):
        peer.publish(topic if refused else topic[:-1].rstrip("."), acknowledge=True)
        assert isinstance(peer.one(), Error if refused else Published)
        peer.publish(topic if refused else topic[:-1].rstrip("."))
    assert node.counters["requests_refused"] == node.counters["publishes_refused_silently"] == 1


def test_an_unacknowledged_publish_is_refused_silently_and_counted(node: Node) -> None:
    publisher = node.join()
    publisher.publish("a b")
    assert publisher.take() == []
    assert node.counters["publishes_refused_silently"] == 1
    assert node.counters["publications"] == 0


def test_a_publish_that_the_role_does_not_allow_is_refused() -> None:
    node = Node(permissions=[Permission("com.", "prefix", frozenset({"publish"}))])
    publisher = node.join()
    request = publisher.publish("org.topic", acknowledge=True)
    assert refusal(publisher.one(), 16, request) == "wamp.error.not_authorized"


def test_strict_realms_ask_for_strict_uris() -> None:
    peer = Node(strict_uris=True).join()
    peer.publish("com.Topic", acknowledge=True)
    assert peer.one().error == "wamp.error.invalid_uri"


def test_gaps_in_request_ids_are_tolerated(node: Node) -> None:
    peer = node.join()
    peer._request = 2**53 - 2
    request = peer.subscribe("com.topic")
    assert peer.one().request == request == 2**53 - 1


# ---- SUBSCRIBE


def test_one_session_gets_the_same_id_again_for_the_same_topic_and_policy(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    first = subscriber.subscribed("com.topic")
    assert subscriber.subscribed("com.topic") == subscriber.subscribed("com.topic", match="exact") == first
    assert subscriber.subscribed("com.topic", match="prefix") != first
    publisher.publish("com.topic")
    assert len(subscriber.take()) == 2, "one event per subscription"


def test_the_id_is_that_of_the_table(node: Node) -> None:
    subscription = node.join().subscribed("com.topic")
    assert subscription == node.ledger.tables.route("realm1", "exact", "com.topic").id


def test_only_the_first_subscriber_proposes_the_route_and_the_last_removes_it(node: Node) -> None:
    first, second = node.join(), node.join()
    subscription = first.subscribed("com.topic")
    second.subscribed("com.topic")
    assert [type(command) for command in node.ledger.proposed] == [AddRoute]
    first.unsubscribe(subscription)
    assert len(node.ledger.proposed) == 1
    second.unsubscribe(subscription)
    assert [type(command) for command in node.ledger.proposed] == [AddRoute, RemoveRoute]
    assert node.ledger.tables.routes == {}


def test_rule_22_subscribed_waits_until_every_possible_server_knows_the_route(node: Node) -> None:
    node.ledger.claim_at_once = False
    node.ledger.hold = True
    subscriber, publisher = node.join(), node.join()
    subscriber.subscribe("com.topic")
    assert subscriber.take() == []
    node.ledger.commit()
    assert subscriber.take() == []
    publisher.publish("com.topic")
    assert subscriber.take() == [], "nothing is delivered before SUBSCRIBED"
    node.ledger.claim(node.ledger.applied - 1)
    assert subscriber.take() == []
    node.ledger.claim()
    publisher.publish("com.topic")
    subscribed, event = subscriber.take()
    assert isinstance(subscribed, Subscribed)
    assert event.subscription == subscribed.subscription


def test_rule_22_a_suspended_node_acknowledges_nothing_until_its_lease_returns(node: Node) -> None:
    node.ledger.hold = True
    subscriber = node.join()
    subscriber.subscribe("com.topic")
    node.ledger.serve(False)
    node.ledger.commit()
    node.tick()
    assert subscriber.take() == []
    node.ledger.serve(True)
    assert isinstance(subscriber.one(), Subscribed)


def test_rule_23_a_later_subscriber_is_answered_at_once(node: Node) -> None:
    node.join().subscribed("com.topic")
    node.ledger.hold = True
    assert isinstance(node.join().subscribed("com.topic"), int)
    assert not node.ledger.queue


def test_rule_23_later_subscribers_wait_with_the_first_while_it_waits(node: Node) -> None:
    node.ledger.hold = True
    peers = [node.join() for _ in range(3)]
    for peer in peers:
        peer.subscribe("com.topic")
    assert len(node.ledger.queue) == 1
    node.ledger.commit()
    assert len({peer.one().subscription for peer in peers}) == 1


def test_requests_pipelined_by_one_session_are_each_answered(node: Node) -> None:
    node.ledger.hold = True
    peer = node.join()
    requests = [peer.subscribe("com.topic"), peer.subscribe("com.topic")]
    node.ledger.commit()
    assert [message.request for message in peer.take()] == requests


@pytest.mark.parametrize(
    ("topic", "match"), [("a b", "exact"), ("a..b", "exact"), ("a..b", "prefix"), ("a b", "wildcard"), ("", "exact")]
)
def test_a_subscribe_to_a_bad_pattern_is_refused(node: Node, topic: str, match: str) -> None:
    peer = node.join()
    request = peer.subscribe(topic, match=match)
    assert refusal(peer.one(), 32, request) == "wamp.error.invalid_uri"
    assert node.ledger.proposed == []


def test_an_unknown_matching_policy_is_refused(node: Node) -> None:
    peer = node.join()
    request = peer.subscribe("a", match="regex")
    assert refusal(peer.one(), 32, request) == "wamp.error.invalid_argument"


def test_topics_of_the_protocol_itself_can_be_subscribed(node: Node) -> None:
    assert node.join().subscribed("wamp.session.on_join")


def test_a_pattern_needs_permission_for_all_it_matches() -> None:
    node = Node(permissions=[Permission("com.app.", "prefix", frozenset({"subscribe"}))])
    peer = node.join()
    peer.subscribed("com.app.topic")
    peer.subscribed("com.app.", match="prefix")
    for pattern, match in [("com.", "prefix"), ("com..topic", "wildcard"), ("com.other", "exact")]:
        request = peer.subscribe(pattern, match=match)
        assert refusal(peer.one(), 32, request) == "wamp.error.not_authorized"


def test_a_session_s_subscriptions_are_bounded() -> None:
    node = Node(limits=Limits(session_subscriptions_max=2))
    node.ledger.hold = True
    peer, other = node.join(), node.join()
    peer.subscribe("t1")
    node.ledger.commit()
    peer.subscribe("t2")
    peer.take()
    request = peer.subscribe("t3")
    assert refusal(peer.one(), 32, request) == "wamp.error.unavailable"
    assert node.counters["session_bounds_reached"] == 1
    other.subscribe("t3")
    node.ledger.commit()
    assert isinstance(other.one(), Subscribed)


def test_what_the_cluster_does_not_decide_in_time_is_refused_and_withdrawn(node: Node) -> None:
    node.ledger.hold = True
    peer = node.join()
    request = peer.subscribe("com.topic")
    node.tick(node.limits.decide_timeout_s - 0.1)
    assert peer.take() == []
    node.tick(0.2)
    assert refusal(peer.one(), 32, request) == "wamp.error.unavailable"
    assert node.counters["wants_timed_out"] == 1
    node.ledger.commit()
    node.ledger.commit()
    assert peer.take() == []
    assert node.ledger.tables.routes == {}, "the late row was removed again"


# ---- UNSUBSCRIBE and the end of a session


def test_unsubscribed_comes_at_once_and_nothing_behind_it(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    subscription = subscriber.subscribed("com.topic")
    node.ledger.hold = True
    request = subscriber.unsubscribe(subscription)
    assert subscriber.one() == Unsubscribed(request)
    publisher.publish("com.topic")
    assert subscriber.take() == []


def test_each_event_goes_to_those_who_are_subscribed_at_that_moment(node: Node) -> None:
    publisher, *subscribers = (node.join() for _ in range(4))
    for subscriber in subscribers:
        subscription = subscriber.subscribed("com.topic")
        publisher.publish("com.topic")
    assert [len(subscriber.take()) for subscriber in subscribers] == [3, 2, 1]
    subscribers[0].unsubscribe(subscription)
    publisher.publish("com.topic")
    subscribers[1].conversation.lost()
    publisher.publish("com.topic")
    assert [sum(type(each) is Event for each in subscriber.take()) for subscriber in subscribers] == [0, 1, 2]


def test_others_keep_their_subscription_when_one_leaves(node: Node) -> None:
    first, second, publisher = node.join(), node.join(), node.join()
    subscription = first.subscribed("com.topic")
    second.subscribed("com.topic")
    first.unsubscribe(subscription)
    publisher.publish("com.topic")
    assert len(second.take()) == 1


@pytest.mark.parametrize("subscription", [1, 2**53])
def test_unsubscribing_what_one_does_not_have_is_refused(node: Node, subscription: int) -> None:
    node.join().subscribed("com.topic")
    peer = node.join()
    request = peer.unsubscribe(subscription)
    assert refusal(peer.one(), 34, request) == "wamp.error.no_such_subscription"


def test_another_session_s_subscription_cannot_be_ended(node: Node) -> None:
    subscription = node.join().subscribed("com.topic")
    peer = node.join()
    peer.unsubscribe(subscription)
    assert peer.one().error == "wamp.error.no_such_subscription"


def test_a_subscription_ends_once(node: Node) -> None:
    peer = node.join()
    subscription = peer.subscribed("com.topic")
    peer.unsubscribe(subscription)
    peer.unsubscribe(subscription)
    assert peer.take()[1].error == "wamp.error.no_such_subscription"


def test_a_session_that_ends_leaves_no_route_behind(node: Node) -> None:
    peer = node.join()
    peer.subscribed("t1")
    peer.subscribed("t2", match="prefix")
    node.ledger.hold = True
    peer.subscribe("t3")
    peer.conversation.lost()
    node.ledger.commit()
    node.ledger.commit()
    assert node.ledger.tables.routes == {}
    assert peer.client.sent == []


def test_subscribing_again_while_the_removal_is_in_flight_waits_for_a_new_route(node: Node) -> None:
    subscriber, publisher = node.join(), node.join()
    old = subscriber.subscribed("com.topic")
    node.ledger.hold = True
    subscriber.unsubscribe(old)
    subscriber.take()
    subscriber.subscribe("com.topic")
    assert subscriber.take() == [], "the old row stands in the table still"
    node.ledger.commit()
    assert subscriber.take() == []
    node.ledger.commit()
    new = subscriber.one().subscription
    assert new != old
    publisher.publish("com.topic")
    assert subscriber.one().subscription == new


def test_a_route_whose_outcome_is_unknown_is_proposed_again_before_anything_is_said(node: Node) -> None:
    node.ledger.hold = True
    subscriber = node.join()
    subscriber.subscribe("com.topic")
    command, outcome = node.ledger.forget()
    node.log.append(command)
    node.ledger.apply()
    outcome(Outcome.UNKNOWN)
    assert subscriber.take() == [], "rule 32: in doubt, though the table looks right"
    node.tick()
    node.ledger.commit()
    assert isinstance(subscriber.one(), Subscribed)
    assert node.counters["rows_doubted"] == 1
