"""The meta API message by message, over real connections, on one node and between two, in both directions.

What the router must do is worked out in `tests/unit/routing/meta`; here it is seen from outside. The tests share a
cluster, so they look for what is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any, Final

import pytest

from tests.support.nodes import META_REALM, Cluster, eventually
from tests.support.wampclient import EVENT, UNREGISTERED, UNSUBSCRIBED, AnsweredError, Session

_fresh: Final[Iterator[int]] = count()
WAYS: Final = [("a", "a"), ("a", "b"), ("c", "a")]  # the homes of the one who asks, and of those whom it is about
KINDS: Final = [("websocket", "json"), ("rawsocket", "msgpack"), ("websocket", "cbor")]
DATE: Final = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ")

Pair = tuple[Session, Session]


@pytest.fixture(params=WAYS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Callable[..., Pair]]:
    """Makes one who asks and one whom it is about, with transports and serializers that change with a number."""
    first, second = request.param
    with ExitStack() as stack:

        def make(kind: int, realm: str = META_REALM) -> Pair:
            asker = stack.enter_context(cluster[first].session(*KINDS[kind % 3], realm))
            return asker, stack.enter_context(cluster[second].session(*KINDS[(kind + 1) % 3], realm))

        yield make


def fresh() -> str:
    """A URI that no other test uses."""
    return f"meta.n{next(_fresh)}"


def refused(asker: Session, procedure: str, *args: Any) -> str:
    """The URI of the ERROR."""
    with pytest.raises(AnsweredError) as answer:
        asker.call(procedure, list(args))
    return answer.value.uri


def told(watcher: Session, number: int) -> list[list[Any]]:
    """The next events: topic's last component and arguments, in the order in which they came."""
    return [watcher.next(EVENT)[4] for _ in range(number)]


@pytest.mark.parametrize("kind", range(3))
def test_registrations_are_found_described_and_counted(pair: Callable[..., Pair], kind: int) -> None:
    asker, callee = pair(kind)
    procedure = fresh()
    exact, prefix = callee.register(procedure), callee.register(f"{procedure}.", match="prefix")
    lists = asker.call("wamp.registration.list")[0][0]
    assert exact in lists["exact"]
    assert prefix in lists["prefix"]
    assert asker.call("wamp.registration.lookup", [procedure]) == [[exact]]
    assert asker.call("wamp.registration.lookup", [f"{procedure}.", {"match": "prefix"}]) == [[prefix]]
    assert asker.call("wamp.registration.lookup", [f"{procedure}."]) == [[None]]
    assert asker.call("wamp.registration.match", [f"{procedure}.x"]) == [[prefix]]
    ((details,),) = asker.call("wamp.registration.get", [exact])
    assert DATE.fullmatch(details.pop("created"))
    assert details == {"id": exact, "uri": procedure, "match": "exact", "invoke": "single"}
    assert asker.call("wamp.registration.list_callees", [exact]) == [[[callee.id]]]
    assert asker.call("wamp.registration.count_callees", [exact]) == [[1]]
    callee.unregister(exact)
    # UNREGISTERED says that the callee's node has applied the removal; the others do so a moment later.
    eventually(lambda: asker.call("wamp.registration.lookup", [procedure]) == [[None]], 5.0, "it is gone")
    assert refused(asker, "wamp.registration.get", exact) == "wamp.error.no_such_registration"
    assert refused(asker, "wamp.registration.count_callees", "x") == "wamp.error.invalid_argument"


@pytest.mark.parametrize("kind", range(3))
def test_subscriptions_are_found_described_and_counted(pair: Callable[..., Pair], kind: int) -> None:
    asker, subscriber = pair(kind)
    topic = fresh()
    exact, prefix = subscriber.subscribe(topic), subscriber.subscribe(f"{topic}.", match="prefix")
    assert asker.subscribe(topic) == exact
    lists = asker.call("wamp.subscription.list")[0][0]
    assert exact in lists["exact"]
    assert prefix in lists["prefix"]
    assert asker.call("wamp.subscription.lookup", [topic]) == [[exact]]
    assert asker.call("wamp.subscription.lookup", [f"{topic}.", {"match": "prefix"}]) == [[prefix]]
    assert asker.call("wamp.subscription.match", [f"{topic}.x"]) == [[[prefix]]]
    assert asker.call("wamp.subscription.match", ["x"]) == [[None]]
    ((details,),) = asker.call("wamp.subscription.get", [prefix])
    assert DATE.fullmatch(details.pop("created"))
    assert details == {"id": prefix, "uri": f"{topic}.", "match": "prefix"}
    ((sessions,),) = asker.call("wamp.subscription.list_subscribers", [exact])
    assert sorted(sessions) == sorted([asker.id, subscriber.id])
    assert asker.call("wamp.subscription.count_subscribers", [exact]) == [[2]]
    assert refused(asker, "wamp.subscription.get", 2**40) == "wamp.error.no_such_subscription"
    assert refused(asker, "wamp.subscription.match") == "wamp.error.invalid_argument"


@pytest.mark.parametrize("kind", range(3))
def test_the_life_of_a_registration_is_told(pair: Callable[..., Pair], kind: int) -> None:
    watcher, callee = pair(kind)
    for event in ("on_create", "on_register", "on_unregister", "on_delete"):
        watcher.subscribe(f"wamp.registration.{event}")
    procedure = fresh()
    registration = callee.register(procedure)
    callee.unregister(registration)
    (session, details), *others = told(watcher, 4)
    assert (session, details["id"], details["uri"]) == (callee.id, registration, procedure)
    assert others == [[callee.id, registration]] * 3


@pytest.mark.parametrize("kind", range(3))
def test_callees_that_share_a_procedure(pair: Callable[..., Pair], kind: int) -> None:
    watcher, first = pair(kind)
    _, second = pair(kind + 1)
    for event in ("on_create", "on_register", "on_unregister", "on_delete"):
        watcher.subscribe(f"wamp.registration.{event}")
    procedure = fresh()
    registration = first.register(procedure, invoke="random")
    assert second.register(procedure, invoke="random") == registration
    assert watcher.call("wamp.registration.list_callees", [registration]) == [[[first.id, second.id]]]
    assert watcher.call("wamp.registration.count_callees", [registration]) == [[2]]
    first.close()
    assert [args[0] for args in told(watcher, 4)] == [first.id, first.id, second.id, first.id]
    second.unregister(registration)
    assert told(watcher, 2) == [[second.id, registration]] * 2


@pytest.mark.parametrize("kind", range(3))
def test_the_life_of_a_subscription_is_told(pair: Callable[..., Pair], kind: int) -> None:
    watcher, first = pair(kind)
    _, second = pair(kind + 1)
    for event in ("on_create", "on_subscribe", "on_unsubscribe", "on_delete"):
        watcher.subscribe(f"wamp.subscription.{event}")
    topic = fresh()
    subscription = first.subscribe(topic)
    assert second.subscribe(topic) == subscription
    assert first.subscribe(topic) == subscription, "once more"
    first.unsubscribe(subscription)
    second.close()
    (session, details), *others = told(watcher, 6)
    assert (session, details["id"], details["uri"]) == (first.id, subscription, topic)
    assert others == [
        [first.id, subscription],
        [second.id, subscription],
        [first.id, subscription],
        [second.id, subscription],
        [second.id, subscription],
    ]
    watcher.synchronize()
    assert not watcher.inbox


@pytest.mark.parametrize("kind", range(3))
def test_registration_revocation(pair: Callable[..., Pair], kind: int) -> None:
    asker, callee = pair(kind)
    procedure = fresh()
    registration = callee.register(procedure)
    assert asker.call("wamp.registration.remove_callee", [registration, callee.id, "moving"]) in ([], [[]])
    assert callee.next(UNREGISTERED) == [UNREGISTERED, 0, {"registration": registration, "reason": "moving"}]
    assert refused(asker, procedure) == "wamp.error.no_such_procedure"
    assert refused(asker, "wamp.registration.remove_callee", registration, callee.id) in (
        "wamp.error.no_such_registration",
        "wamp.error.no_such_session",
    )


@pytest.mark.parametrize("kind", range(3))
def test_subscription_revocation(pair: Callable[..., Pair], kind: int) -> None:
    asker, subscriber = pair(kind)
    topic = fresh()
    subscription = subscriber.subscribe(topic)
    asker.call("wamp.subscription.remove_subscriber", [subscription, subscriber.id], {"reason": "enough"})
    assert subscriber.next(UNSUBSCRIBED) == [UNSUBSCRIBED, 0, {"subscription": subscription, "reason": "enough"}]
    asker.publish(topic, [1])
    subscriber.synchronize()
    assert not subscriber.inbox


def test_who_did_not_announce_revocation_is_told_nothing(cluster: Cluster) -> None:
    roles = {role: {} for role in ("publisher", "subscriber", "caller", "callee")}
    with (
        cluster["a"].session(realm=META_REALM) as asker,
        Session(cluster["b"].port, "websocket", "json", META_REALM, roles=roles) as other,
    ):
        subscription, registration = other.subscribe(fresh()), other.register(fresh())
        asker.call("wamp.subscription.remove_subscriber", [subscription, other.id])
        asker.call("wamp.registration.remove_callee", [registration, other.id])
        other.synchronize()
        assert not other.inbox


def test_who_may_call_everything_may_not_remove(pair: Callable[..., Pair]) -> None:
    asker, subscriber = pair(0, "realm1")
    subscription = subscriber.subscribe(fresh())
    arguments = (subscription, subscriber.id)
    assert refused(asker, "wamp.subscription.remove_subscriber", *arguments) == "wamp.error.not_authorized"
    assert asker.call("wamp.subscription.count_subscribers", [subscription]) == [[1]]


def test_the_cluster_is_described_alike_everywhere(cluster: Cluster) -> None:
    lists = []
    for node in cluster:
        with node.session() as session:
            lists.append(session.call("wampha.cluster.nodes")[0][0])
            ((status,),) = session.call("wampha.cluster.status")
            assert sorted(status) == ["a", "b", "c"]
            assert all(each["ready"] and each["stage"] == "serving" for each in status.values())
            assert sum(each["leader"] == node.name for each in status.values()) in (0, 3)
    assert lists[0] == lists[1] == lists[2]
    assert sorted(entry["name"] for entry in lists[0]) == ["a", "b", "c"]
    assert sum(entry["leads"] for entry in lists[0]) == 1


def test_deaths_and_returns_of_nodes_are_told(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    *watchers, callee = (cluster[name].session(realm=META_REALM) for name in "abc")
    for watcher in watchers:
        watcher.subscribe("wampha.cluster.on_node_down")
        watcher.subscribe("wampha.cluster.on_node_up")
        watcher.subscribe("wamp.registration.on_delete")
    registration = callee.register("p")
    cluster["c"].kill()
    callee.close()
    for watcher in watchers:
        assert watcher.next(EVENT, 20.0)[4] == [callee.id, registration]
        event = watcher.next(EVENT)
        assert (event[4], event[5]["reason"]) == (["c"], "down")
        assert refused(watcher, "wamp.registration.get", registration) == "wamp.error.no_such_registration"
    cluster["c"].launch().wait_until_serving()
    for watcher in watchers:
        assert watcher.next(EVENT)[4] == ["c"]
        watcher.synchronize()
        assert not watcher.inbox
        watcher.close()


def test_an_answer_says_which_node_stands_still(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    here, there = cluster["a"].session(realm=META_REALM), cluster["b"].session(realm=META_REALM)
    subscription = here.subscribe("t")
    assert there.subscribe("t") == subscription
    cluster["b"].pause()
    try:
        answer = here.call("wamp.subscription.list_subscribers", [subscription])
    finally:
        cluster["b"].resume()
    assert answer == [[[here.id]], {"partial": True, "missing": ["b"]}]
    eventually(
        lambda: here.call("wamp.subscription.count_subscribers", [subscription]) == [[2]], 10.0, "both are counted"
    )
    here.close()
    there.close()
