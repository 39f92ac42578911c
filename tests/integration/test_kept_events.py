"""Retained events and history, message by message, over real connections, near, across nodes and after deaths.

What the router must do is worked out in `tests/unit/routing/test_retention.py` and `meta/test_history.py`; here it is
seen from outside, with transports and serializers mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any, Final

import pytest

from tests.integration.test_client_libraries import AUTOBAHN_JS, AUTOBAHN_PYTHON, HERE, converse
from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.wampclient import EVENT, PUBLISH, SUBSCRIBE, SUBSCRIBED, AnsweredError, ConnectionEndedError, Session

_fresh: Final[Iterator[int]] = count()
WAYS: Final = [("a", "a"), ("a", "b"), ("c", "a")]  # the homes of the publisher and of the other side
KINDS: Final = [("websocket", "json"), ("rawsocket", "msgpack"), ("websocket", "cbor")]
GET_EVENTS: Final = "wamp.subscription.get_events"
DEAD_S: Final = 8.0

Pair = tuple[Session, Session]


@pytest.fixture(params=WAYS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Callable[[int], Pair]]:
    """Makes a publisher and another session, with transports and serializers that change with a number."""
    first, second = request.param
    with ExitStack() as stack:

        def make(kind: int) -> Pair:
            publisher = stack.enter_context(cluster[first].session(*KINDS[kind % 3]))
            return publisher, stack.enter_context(cluster[second].session(*KINDS[(kind + 1) % 3]))

        yield make


def fresh(prefix: str = "kept") -> str:
    """A topic that no other test uses."""
    return f"{prefix}.n{next(_fresh)}"


def publish(publisher: Session, topic: str, *payload: Any, **options: Any) -> int:
    """PUBLISH and take the id from PUBLISHED: it is kept now."""
    publication: int = publisher.ask(PUBLISH, {"acknowledge": True, **options}, topic, *payload)[2]
    return publication


def retained(session: Session, topic: str, **options: Any) -> list[Any]:
    """Subscribe, and take the event that must follow."""
    subscription = session.subscribe(topic, get_retained=True, **options)
    event = session.next(EVENT)
    assert event[1] == subscription
    assert event[3]["retained"] is True
    return event


@pytest.mark.parametrize("kind", range(3))
def test_the_last_retained_event(pair: Callable[[int], Pair], kind: int) -> None:
    publisher, subscriber = pair(kind)
    topic = fresh()
    publish(publisher, topic, [1], retain=True)
    second = publish(publisher, topic, [2], {"k": "v"}, retain=True, disclose_me=True)
    publish(publisher, topic, [3])
    event = retained(subscriber, topic)
    assert event[2:3] + event[4:] == [second, [2], {"k": "v"}]
    assert event[3] == {
        "retained": True,
        "publisher": publisher.id,
        "publisher_authid": publisher.welcome["authid"],
        "publisher_authrole": "anonymous",
    }
    publisher.publish(topic, [4], retain=True)
    assert subscriber.next(EVENT)[3:] == [{}, [4]]


@pytest.mark.parametrize("kind", range(3))
def test_retained_events_of_a_pattern_and_of_lists(pair: Callable[[int], Pair], kind: int) -> None:
    publisher, subscriber = pair(kind)
    topic = fresh()
    publish(publisher, f"{topic}.one", [1], retain=True)
    publish(publisher, f"{topic}.two", [2], retain=True, eligible=[subscriber.id])
    publish(publisher, f"{topic}.three", [3], retain=True, exclude_authid=[subscriber.welcome["authid"]])
    subscriber.subscribe(f"{topic}.", match="prefix", get_retained=True)
    seen = [subscriber.next(EVENT) for _ in range(2)]
    assert [(event[3], event[4]) for event in seen] == [
        ({"retained": True, "topic": f"{topic}.one"}, [1]),
        ({"retained": True, "topic": f"{topic}.two"}, [2]),
    ]
    subscriber.synchronize()
    assert not subscriber.inbox


def test_every_subscriber_sees_each_event_once_while_they_come_fast(cluster: Cluster) -> None:
    topic = fresh()
    with ExitStack() as stack:
        publishers = [stack.enter_context(node.session(*kind)) for node, kind in zip(cluster, KINDS, strict=True)]
        subscribers = []
        for number in range(60):
            for publisher in publishers:
                publisher.start(PUBLISH, {"retain": True}, topic, [publisher.id, number])
            if number % 3 == 0:
                subscriber = stack.enter_context(cluster["abc"[number // 3 % 3]].session(*KINDS[number % 3]))
                subscriber.start(SUBSCRIBE, {"get_retained": True}, topic)
                subscribers.append(subscriber)
        for publisher in publishers:
            publish(publisher, topic, [publisher.id, "end"])
        for subscriber in subscribers:
            check(subscriber, [publisher.id for publisher in publishers])


def check(subscriber: Session, publishers: list[int]) -> None:
    """From the retained event on, if there was one, all of every publisher, in its order."""
    assert subscriber.connection.receive()[0] == SUBSCRIBED
    events: list[list[Any]] = []
    while sum(event[4][1] == "end" for event in events) < len(publishers):
        events.append(subscriber.next(EVENT))
    assert len({event[2] for event in events}) == len(events)
    flagged = ["retained" in event[3] for event in events]
    assert not any(flagged[1:])
    for publisher in publishers:
        numbers = [event[4][1] for event in events[flagged[0] :] if event[4][0] == publisher]
        assert numbers == [*range(60 - len(numbers) + 1, 60), "end"]


@pytest.mark.parametrize("kind", range(3))
def test_history(pair: Callable[[int], Pair], kind: int) -> None:
    publisher, asker = pair(kind)
    topic = fresh("history")
    ids = [publish(publisher, f"{topic}.a", [number]) for number in range(3)]
    ids.append(publish(publisher, f"{topic}.b", [3], {"k": "v"}, disclose_me=True, exclude_authrole=["nobody"]))
    publish(publisher, f"{topic}.b", [4], eligible_authrole=["nobody"])
    publish(publisher, f"{topic}.b", [5], eligible=[asker.id])
    subscription = asker.subscribe(f"{topic}.", match="prefix")
    events = asker.call(GET_EVENTS, [subscription])[0]
    assert [(event["publication"], event["args"][0]) for event in events] == list(zip(ids, range(4), strict=True))
    assert events[3]["kwargs"] == {"k": "v"}
    assert events[3]["details"]["publisher"] == publisher.id
    assert all(event["subscription"] == subscription for event in events)
    options = {"reverse": True, "limit": 2, "topic": f"{topic}.a", "before_publication": ids[2]}
    assert [event["args"] for event in asker.call(GET_EVENTS, [subscription], options)[0]] == [[1], [0]]
    options = {"after_time": events[0]["timestamp"], "until_time": events[3]["timestamp"]}
    seen = asker.call(GET_EVENTS, [subscription], options)[0]
    assert {event["publication"] for event in seen} <= set(ids[1:])


def test_bad_questions_for_history(pair: Callable[[int], Pair]) -> None:
    publisher, asker = pair(0)
    subscription = asker.subscribe(fresh())
    for arguments, uri in (
        ([[subscription]], "wamp.error.history_unavailable"),
        ([[2**40]], "wamp.error.no_such_subscription"),
        ([], "wamp.error.invalid_argument"),
        ([["x"]], "wamp.error.invalid_argument"),
    ):
        with pytest.raises(AnsweredError) as refused:
            asker.call(GET_EVENTS, *arguments)
        assert refused.value.uri == uri
    with pytest.raises(AnsweredError) as refused:
        publish(publisher, fresh("history"), ["x" * 100_000])
    assert refused.value.uri == "wamp.error.payload_size_exceeded"
    with pytest.raises(AnsweredError) as refused:
        publish(publisher, fresh(), ["x" * 100_000], retain=True)
    assert refused.value.uri == "wamp.error.payload_size_exceeded"


def test_what_is_kept_survives_its_node_and_reaches_late_joiners(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    topic = fresh("history")
    with cluster["a"].session() as publisher:
        for number in range(5):
            publish(publisher, topic, [number], retain=True)
    answers = [answer_of(cluster["b"], topic)]
    cluster["a"].kill()
    with joined(cluster["b"]) as subscriber:
        assert retained(subscriber, topic)[4] == [4]
    answers.append(answer_of(cluster["c"], topic))
    cluster["a"].launch().wait_until_serving()
    late = cluster.observer("d")
    late.launch().wait_until_serving()
    for node in (cluster["a"], late):
        answers.append(answer_of(node, topic))
        with joined(node, "rawsocket", "cbor") as subscriber:
            assert retained(subscriber, topic)[4] == [4]
    assert all(answer == answers[0] for answer in answers)
    assert [event["args"] for event in answers[0]] == [[number] for number in range(5)]


def joined(node: NodeProcess, *kind: str) -> Session:
    """A session, tried again while the node is suspended since the leader died."""

    def attempt() -> Session | None:
        try:
            return node.session(*kind)
        except (ConnectionEndedError, OSError):
            return None

    session: Session = eventually(attempt, DEAD_S, f"{node.name} lets somebody in", node.log)
    return session


def answer_of(node: NodeProcess, topic: str) -> list[dict[str, Any]]:
    """What a node tells of a topic's history, but for the subscription's id."""
    with joined(node) as asker:
        subscription = asker.subscribe(topic)
        events: list[dict[str, Any]] = asker.call(GET_EVENTS, [subscription])[0]
        return [{key: value for key, value in event.items() if key != "subscription"} for event in events]


def test_a_publication_goes_on_when_the_leader_dies(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    leader = cluster.leader()
    here, there = (node for node in cluster if node is not leader)
    topic = fresh("history")
    with here.session() as publisher, there.session() as subscriber:
        subscriber.subscribe(topic)
        publish(publisher, topic, [0])
        leader.kill()
        for number in range(1, 20):
            publish(publisher, topic, [number], retain=True)
        assert [subscriber.next(EVENT)[4] for _ in range(20)] == [[number] for number in range(20)]
        subscriber.synchronize()
        assert not subscriber.inbox
    assert [event["args"] for event in answer_of(there, topic)] == [[number] for number in range(20)]
    eventually(lambda: len(there.status()["members"]) == 2, DEAD_S, "the leader is declared dead")
    assert [event["args"] for event in answer_of(here, topic)] == [[number] for number in range(20)]


LIBRARIES: Final = [
    pytest.param(AUTOBAHN_PYTHON, "clients/autobahn_python_kept.py", id="autobahn-python"),
    pytest.param(AUTOBAHN_JS, "js/autobahn_kept.js", id="autobahn-js"),
]


def check_library(client: tuple[str, ...], script: str, *ports: int) -> None:
    """The library's words for it work."""
    seen = converse((client[0], str(HERE / script)), "websocket", "json", *ports)
    assert seen == {"retained": [2, True], "live": [3, False], "history": [1, 2, 3], "last": [3]}


@pytest.mark.parametrize(("client", "script"), LIBRARIES)
def test_library_on_one_node(cluster: Cluster, client: tuple[str, ...], script: str) -> None:
    check_library(client, script, cluster["a"].port, cluster["a"].port)


@pytest.mark.parametrize(("client", "script"), LIBRARIES)
def test_library_across_nodes(cluster: Cluster, client: tuple[str, ...], script: str) -> None:
    check_library(client, script, cluster["b"].port, cluster["c"].port)
