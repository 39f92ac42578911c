"""`wamp.subscription.*` by the advanced profile, "Subscription Meta API", on one node and between two."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.core import ALL, Peer
from tests.unit.routing.meta.place import Place, heard
from wampha.limits import Limits
from wampha.messages.model import Error, Event, Result, Subscribed, SubscriptionRevoked
from wampha.state.commands import Owner, Report

CREATED = "2001-09-09T01:46:40.000Z"


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def test_list_has_the_ids_by_match_policy(place: Place) -> None:
    assert place.result("wamp.subscription.list") == {"exact": [], "prefix": [], "wildcard": []}
    peer = place.join()
    exact, other = place.subscribed(peer, "t.u"), place.subscribed(peer, "t.v")
    prefix = place.subscribed(peer, "t.", match="prefix")
    wildcard = place.subscribed(peer, "t..v", match="wildcard")
    lists = {"exact": [exact, other], "prefix": [prefix], "wildcard": [wildcard]}
    assert place.result("wamp.subscription.list") == lists


def test_a_list_is_bounded() -> None:
    place = Place("a", limits=Limits(meta_list_max=1))
    peer = place.join()
    place.subscribed(peer, "t")
    place.result("wamp.subscription.list")
    place.subscribed(peer, "u")
    assert place.refusal("wamp.subscription.list") == "wamp.error.payload_size_exceeded"
    assert place.home.counters["meta_calls_refused"] == 1


def test_lookup_finds_a_subscription_by_its_uri_and_policy(place: Place) -> None:
    peer = place.join()
    exact, prefix = place.subscribed(peer, "t"), place.subscribed(peer, "t", match="prefix")
    assert place.result("wamp.subscription.lookup", "t") == exact
    assert place.result("wamp.subscription.lookup", "t", {"match": "prefix"}) == prefix
    assert place.result("wamp.subscription.lookup", "t", {"match": "wildcard"}) is None
    assert place.result("wamp.subscription.lookup", "t.u") is None
    assert place.refusal("wamp.subscription.lookup") == "wamp.error.invalid_argument"
    assert place.refusal("wamp.subscription.lookup", "t", {"match": 1}) == "wamp.error.invalid_argument"


def test_match_finds_every_subscription_that_an_event_would_go_to(place: Place) -> None:
    peer = place.join()
    exact = place.subscribed(peer, "t.u")
    prefix = place.subscribed(peer, "t.", match="prefix")
    wildcard = place.subscribed(peer, ".u", match="wildcard")
    assert place.result("wamp.subscription.match", "t.u") == [exact, prefix, wildcard]
    assert place.result("wamp.subscription.match", "t.x") == [prefix]
    assert place.result("wamp.subscription.match", "x") is None
    assert place.refusal("wamp.subscription.match", None) == "wamp.error.invalid_argument"


def test_get_tells_all_about_a_subscription(place: Place) -> None:
    subscription = place.subscribed(place.join(), "t.", match="prefix")
    expected = {"id": subscription, "created": CREATED, "uri": "t.", "match": "prefix"}
    assert place.result("wamp.subscription.get", subscription) == expected


def test_subscribers_of_all_nodes_are_listed_and_counted(place: Place) -> None:
    peers = [place.join(node=node) for node in "aabbc"]
    subscription, *_ = [place.subscribed(peer, "t") for peer in peers]
    assert place.result("wamp.subscription.list_subscribers", subscription) == [peer.session for peer in peers]
    assert place.result("wamp.subscription.count_subscribers", subscription) == 5
    peers[0].conversation.lost()
    peers[4].unsubscribe(subscription)
    assert place.result("wamp.subscription.list_subscribers", subscription) == [peer.session for peer in peers[1:4]]
    assert place.result("wamp.subscription.count_subscribers", subscription) == 3


def test_an_answer_that_lacks_a_node_says_so() -> None:
    place = Place("b")
    here, there = place.join(node="a"), place.join()
    subscription, *_ = [place.subscribed(peer, "t") for peer in (here, there)]
    place.cluster["a"].outbox.network = lambda owner, relayed: False
    for procedure, value in (("list_subscribers", [here.session]), ("count_subscribers", 1)):
        answer = place.ask(f"wamp.subscription.{procedure}", subscription)
        assert isinstance(answer, Result)
        assert answer.payload.args() == [value]
        assert answer.payload.kwargs() == {"partial": True, "missing": ["b"]}


def test_every_node_gives_the_same_answers(place: Place) -> None:
    subscription, *_ = [place.subscribed(place.join(node=node), "t") for node in "abc"]
    askers = [place.cluster[name].join() for name in "abc"]
    for procedure, *args in (
        ("list",),
        ("lookup", "t"),
        ("match", "t"),
        ("get", subscription),
        ("list_subscribers", subscription),
        ("count_subscribers", subscription),
    ):
        answers = [place.result(f"wamp.subscription.{procedure}", *args, peer=asker) for asker in askers]
        assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("procedure", ["get", "list_subscribers", "count_subscribers", "remove_subscriber"])
def test_an_unknown_subscription_is_an_error(place: Place, procedure: str) -> None:
    subscription = place.subscribed(place.join(), "t")
    registration = place.registered(place.join(), "p")
    for unknown in (subscription + 100, registration, 0, -1, 2**60):
        assert place.refusal(f"wamp.subscription.{procedure}", unknown, 1) == "wamp.error.no_such_subscription"
    assert place.refusal(f"wamp.subscription.{procedure}") == "wamp.error.invalid_argument"


def test_another_realm_s_subscriptions_are_unknown(place: Place) -> None:
    subscription = place.subscribed(place.join(realm="realm2"), "t")
    assert place.result("wamp.subscription.list")["exact"] == []
    assert place.result("wamp.subscription.match", "t") is None
    assert place.refusal("wamp.subscription.get", subscription) == "wamp.error.no_such_subscription"


# ---- remove_subscriber, subscription_revocation


def test_a_subscriber_can_be_removed_and_is_told_if_it_understands_that(place: Place) -> None:
    told, untold = place.join({"subscriber": ("subscription_revocation",)}), place.join()
    publisher = place.cluster["c"].join()
    for peer in (told, untold):
        subscription = place.subscribed(peer, "t")
        answer = place.ask(
            "wamp.subscription.remove_subscriber", subscription, peer.session, "wamp.error.not_authorized"
        )
        assert answer.payload.args() == []
        words = [SubscriptionRevoked(0, {"subscription": subscription, "reason": "wamp.error.not_authorized"})]
        assert peer.take() == (words if peer is told else [])
        publisher.publish("t")
        place.cluster.settle()
        assert peer.take() == []
        peer.unsubscribe(subscription)
        assert peer.one().error == "wamp.error.no_such_subscription"
    assert place.home.counters["subscriptions_revoked"] == 2
    assert place.result("wamp.subscription.lookup", "t") is None


def test_others_keep_their_subscription(place: Place) -> None:
    peers = [place.join() for _ in range(2)]
    subscription, *_ = [place.subscribed(peer, "t") for peer in peers]
    place.ask("wamp.subscription.remove_subscriber", subscription, peers[0].session)
    place.asker.publish("t")
    place.cluster.settle()
    assert [len(peer.take()) for peer in peers] == [0, 1]


def test_only_a_subscriber_can_be_removed(place: Place) -> None:
    peer = place.join()
    subscription = place.subscribed(peer, "t")
    refusal = place.refusal("wamp.subscription.remove_subscriber", subscription, place.asker.session)
    assert refusal == "wamp.error.no_such_session"
    assert place.refusal("wamp.subscription.remove_subscriber", subscription) == "wamp.error.invalid_argument"
    assert place.result("wamp.subscription.count_subscribers", subscription) == 1


def test_who_may_call_everything_may_not_remove() -> None:
    place = Place("b", permissions=[ALL])
    peer = place.join()
    subscription = place.subscribed(peer, "t")
    refusal = place.refusal("wamp.subscription.remove_subscriber", subscription, peer.session)
    assert refusal == "wamp.error.not_authorized"


def test_a_node_that_does_not_answer_leaves_the_caller_knowing_it() -> None:
    place = Place("b")
    peer = place.join()
    subscription = place.subscribed(peer, "t")
    place.cluster["a"].outbox.network = lambda owner, relayed: False
    refusal = place.refusal("wamp.subscription.remove_subscriber", subscription, peer.session)
    assert refusal == "wamp.error.unavailable"


# ---- on_create and on_delete


LIFE = ("on_create", "on_subscribe", "on_unsubscribe", "on_delete")


def every_event(place: Place) -> Peer:
    return place.watch(*(f"wamp.subscription.{name}" for name in LIFE))


def beginning_and_end(place: Place) -> Peer:
    return place.watch("wamp.subscription.on_create", "wamp.subscription.on_delete")


def test_the_beginning_and_the_end_of_a_subscription_are_told_once_on_every_node(place: Place) -> None:
    watchers = [beginning_and_end(place), place.join(node="c")]
    for name in ("on_create", "on_delete"):
        place.subscribed(watchers[1], f"wamp.subscription.{name}")
    first, second = place.join(), place.join(node="c")
    subscription = place.subscribed(first, "t.", match="prefix")
    place.subscribed(second, "t.", match="prefix")
    first.unsubscribe(subscription)
    place.cluster.settle()
    second.unsubscribe(subscription)
    place.cluster.settle()
    details = {"id": subscription, "created": CREATED, "uri": "t.", "match": "prefix"}
    events = [watcher.take() for watcher in watchers]
    for told in events:
        assert [event.payload.args() for event in told] == [[first.session, details], [second.session, subscription]]
    assert [event.publication for event in events[0]] == [event.publication for event in events[1]]


def test_a_subscription_that_ends_with_its_session_is_told(place: Place) -> None:
    peer = place.join()
    subscription = place.subscribed(peer, "t")
    watcher = beginning_and_end(place)
    peer.conversation.lost()
    place.cluster.settle()
    assert heard(watcher) == [[peer.session, subscription]]


def test_subscriptions_to_the_router_s_own_topics_are_told_nobody(place: Place) -> None:
    watcher = beginning_and_end(place)
    for topic, match in (("wamp.session.on_join", "exact"), ("wamp.", "prefix"), ("wampha..x", "wildcard")):
        peer = place.join()
        peer.unsubscribe(place.subscribed(peer, topic, match=match))
        place.cluster.settle()
    assert heard(watcher) == []


def test_events_stay_in_their_realm(place: Place) -> None:
    watcher = beginning_and_end(place)
    place.subscribed(place.join(realm="realm2"), "t")
    assert heard(watcher) == []


def test_what_was_refused_in_time_is_told_like_any_other_that_ends() -> None:
    place = Place("b")
    watcher = beginning_and_end(place)
    peer = place.join()
    peer.subscribe("t")
    place.home.tick(60.0)
    assert isinstance(peer.one(), Error)
    place.cluster.settle()
    (created, details), (deleted, subscription) = heard(watcher)
    assert created == deleted == peer.session
    assert details["id"] == subscription


# ---- on_subscribe and on_unsubscribe


def test_the_life_of_a_subscription_is_told_once_on_every_node_in_order(place: Place) -> None:
    watchers = [every_event(place), place.join(node="c")]
    for name in LIFE:
        place.subscribed(watchers[1], f"wamp.subscription.{name}")
    first, second = place.join(), place.join(node="c")
    subscription = place.subscribed(first, "t")
    place.rest()
    place.subscribed(second, "t")
    place.subscribed(first, "t")
    place.rest()
    first.unsubscribe(subscription)
    place.rest()
    second.unsubscribe(subscription)
    place.rest()
    details = {"id": subscription, "created": CREATED, "uri": "t", "match": "exact"}
    events = [watcher.take() for watcher in watchers]
    assert [event.payload.args() for event in events[0]] == [event.payload.args() for event in events[1]]
    assert [event.publication for event in events[0]] == [event.publication for event in events[1]]
    assert [event.payload.args() for event in events[0]] == [
        [first.session, details],
        [first.session, subscription],
        [second.session, subscription],
        [first.session, subscription],
        [second.session, subscription],
        [second.session, subscription],
    ]
    assert len({event.publication for event in events[0]}) == 6


def test_the_end_of_a_session_or_of_its_subscription_by_force_is_told(place: Place) -> None:
    for end in ("lost", "removed", "killed"):
        peer = place.join()
        place.rest()
        subscription = place.subscribed(peer, "t")
        watcher = every_event(place)
        if end == "lost":
            peer.conversation.lost()
        elif end == "removed":
            place.ask("wamp.subscription.remove_subscriber", subscription, peer.session)
        else:
            place.ask("wamp.session.kill", peer.session)
        place.rest()
        assert heard(watcher) == [[peer.session, subscription]] * 2, end


def test_the_death_of_a_node_is_told_without_names() -> None:
    place = Place("b")
    both, one = place.join(), place.join(node="c")
    shared, lonely = place.subscribed(both, "t"), place.subscribed(both, "u")
    place.subscribed(one, "t")
    watcher = every_event(place)
    place.kill("b")
    assert heard(watcher) == [[0, shared], [0, lonely], [0, lonely]]
    assert place.result("wamp.subscription.list_subscribers", shared) == [one.session]


def test_a_route_that_is_wanted_again_before_its_end_was_told_stays(place: Place) -> None:
    watcher = every_event(place)
    peer = place.join()
    subscription = place.subscribed(peer, "t")
    peer.unsubscribe(subscription)
    peer.subscribe("t")
    place.rest()
    assert [message.subscription for message in peer.take() if isinstance(message, Subscribed)] == [subscription]
    names = [args for args in heard(watcher) if args[1] == subscription]
    assert names == [[peer.session, subscription]] * 3, "subscribed, unsubscribed, subscribed"
    place.asker.publish("t")
    place.cluster.settle()
    assert isinstance(peer.one(), Event)


def test_without_a_listener_the_log_does_not_grow_with_sessions(place: Place) -> None:
    peers = [place.join() for _ in range(10)]
    place.rest()
    subscription, *_ = [place.subscribed(peer, "t") for peer in peers]
    grown = len(place.cluster.log.entries)
    for peer in peers[1:]:
        peer.unsubscribe(subscription)
    place.rest()
    assert len(place.cluster.log.entries) == grown


def test_a_storm_is_told_in_full_reports_without_a_pause(place: Place) -> None:
    watcher = every_event(place)
    peer = place.join()
    place.rest()
    before = place.home.counters["reports"]
    for number in range(1100):
        peer.subscribe(f"t.n{number}")
    for _ in range(30):
        place.cluster.settle()
        for node in place.cluster.nodes.values():
            node.clock.advance(0)
    assert place.home.counters["reports"] - before >= 2, "without a tick"
    place.rest()
    told = Counter(tuple(args)[1] if isinstance(args[1], int) else args[1]["id"] for args in heard(watcher))
    assert len(told) == 1100
    assert set(told.values()) == {2}, "created and subscribed"


def test_nothing_of_a_dead_incarnation_is_told_by_its_successor() -> None:
    place = Place("b")
    watcher = every_event(place)
    peer = place.join()
    place.subscribed(peer, "t")
    place.rest()
    heard(watcher)
    place.home.ledger.owner = Owner("b", 7)
    place.home.router.fenced("it was declared dead")
    place.home.tick()
    assert not [command for command in place.home.ledger.queue if isinstance(command[0], Report)]


def test_the_death_of_a_node_with_many_topics_takes_no_turns_if_nobody_listens_and_several_if_somebody_does() -> None:
    for listens in (False, True):
        place = Place("b")
        watcher = every_event(place) if listens else place.asker
        peer = place.join()
        for number in range(500):
            peer.subscribe(f"t.n{number}")
        place.rest()
        watcher.take()
        clock = place.cluster["a"].clock
        waiting = clock.pending()
        place.kill("b")
        assert (clock.pending() > waiting) is listens
        in_the_first_turn = len(heard(watcher))
        assert in_the_first_turn == (400 if listens else 0)
        clock.advance(0)
        assert clock.pending() == waiting
        assert len(heard(watcher)) == (600 if listens else 0)
