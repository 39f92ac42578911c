"""What a client of one node may rely on about clients of the others (promises P1-P4 of docs/design.md), mass-tested."""

from __future__ import annotations

import base64
import select
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from typing import Any, Final

import pytest

from tests.support.nodes import Cluster
from tests.support.wampclient import (
    CALL,
    ERROR,
    EVENT,
    INVOCATION,
    PUBLISH,
    REGISTER,
    RESULT,
    SERIALIZERS,
    TRANSPORTS,
    YIELD,
    AnsweredError,
    Session,
)

ROUNDS: Final = 2000
LOST_S: Final = 2.0  # after this long it will not come
LOST_MAX: Final = 5
RACES: Final = 300
EVENTS: Final = 20_000
TOPICS: Final = 5
MIB: Final = 1 << 20
_fresh: Final[Iterator[int]] = count()


def fresh(kind: str) -> str:
    """A URI that no other test uses."""
    return f"test.{kind}{next(_fresh)}"


@pytest.fixture
def sessions(cluster: Cluster) -> Iterator[dict[str, Session]]:
    """One session on each node."""
    with ExitStack() as stack:
        yield {node.name: stack.enter_context(node.session("rawsocket", "msgpack")) for node in cluster}


def test_event_published_right_after_subscribed_on_another_node_arrives(sessions: dict[str, Session]) -> None:
    subscriber, publisher = sessions["a"], sessions["b"]
    lost = []
    for number in range(ROUNDS):
        topic = fresh("topic")
        subscription = subscriber.subscribe(topic)
        publisher.publish(topic, [number])
        try:
            event = subscriber.next(EVENT, LOST_S)
        except TimeoutError:
            lost.append(number)
            assert len(lost) < LOST_MAX, f"events of the rounds {lost} were lost; no need to wait for more"
            continue
        assert (event[1], event[4]) == (subscription, [number])
        subscriber.unsubscribe(subscription)
    assert not lost, f"events of the rounds {lost} were lost"


def test_procedure_can_be_called_right_after_registered_on_another_node(sessions: dict[str, Session]) -> None:
    callee, caller = sessions["a"], sessions["c"]
    failures = []
    for number in range(ROUNDS):
        procedure = fresh("procedure")
        registration = callee.register(procedure)
        try:
            check_call(caller, callee, procedure, [number])
        except (TimeoutError, AnsweredError) as failure:
            failures.append(f"round {number}: {failure!r}")
            assert len(failures) < LOST_MAX, failures
        callee.unregister(registration)
    assert not failures, failures


def check_call(caller: Session, callee: Session, procedure: str, args: list[Any]) -> None:
    """The call reaches the callee, and its result the caller; raises AnsweredError if the router refuses it."""
    request = caller.start(CALL, {}, procedure, args)
    waiting = select.select([callee.connection.socket, caller.connection.socket], [], [], LOST_S)[0]
    if callee.connection.socket in waiting:
        callee.answer_invocation()
    assert caller.answer(request, LOST_S)[3:] == [args]


def test_concurrent_registrations_have_one_winner_whom_all_callers_reach(sessions: dict[str, Session]) -> None:
    for _ in range(RACES):
        procedure = fresh("race")
        winner = race_to_register(sessions["a"], sessions["b"], procedure)
        for caller in sessions.values():
            request = caller.start(CALL, {}, procedure, ["who?"])
            winner.answer_invocation([winner.id])
            assert caller.answer(request)[3:] == [[winner.id]], "a call went to somebody else"


def race_to_register(one: Session, two: Session, procedure: str) -> Session:
    """Two REGISTERs at the same time; gives the session that won, and asserts that the other was refused."""
    requests = [(session, session.start(REGISTER, {}, procedure)) for session in (one, two)]
    winners = []
    for session, request in requests:
        try:
            session.answer(request)
            winners.append(session)
        except AnsweredError as refusal:
            assert refusal.uri == "wamp.error.procedure_already_exists"
    assert len(winners) == 1, f"{len(winners)} winners of {procedure}"
    return winners[0]


def test_ids_of_subscriptions_and_registrations_are_the_same_on_all_nodes(sessions: dict[str, Session]) -> None:
    topic = fresh("topic")
    ids = {session.subscribe(topic) for session in sessions.values()}
    assert len(ids) == 1
    procedure = fresh("procedure")
    registration = sessions["b"].register(procedure)
    request = sessions["c"].start(CALL, {}, procedure)
    assert sessions["b"].answer_invocation([])[2] == registration
    sessions["c"].answer(request)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_all_events_arrive_once_and_in_order_on_every_node(cluster: Cluster, transport: str, serializer: str) -> None:
    topics = [fresh("topic") for _ in range(TOPICS)]
    families = dict(zip("abc", SERIALIZERS, strict=True))  # so that each publisher's family meets all three
    with ExitStack() as stack:
        publisher = stack.enter_context(cluster["a"].session(transport, serializer))
        subscribers = [stack.enter_context(node.session(transport, families[node.name])) for node in cluster]
        names = [{subscriber.subscribe(topic): topic for topic in topics} for subscriber in subscribers]
        pool = stack.enter_context(ThreadPoolExecutor(len(subscribers)))
        heard = [pool.submit(read_events, subscriber, EVENTS) for subscriber in subscribers]
        publish_all(publisher, topics)
        for named, future in zip(names, heard, strict=True):
            check_events(future, named, topics)
        for subscriber in subscribers:
            subscriber.synchronize()
            assert not subscriber.inbox, "more events came than were published"


def publish_all(publisher: Session, topics: list[str]) -> None:
    """EVENTS publications without acknowledgement, in turn over the topics, in batches of 500."""
    for start in range(0, EVENTS, 500):
        publisher.connection.send_many(
            [PUBLISH, 1 + number, {}, topics[number % TOPICS], [number]] for number in range(start, start + 500)
        )


def read_events(subscriber: Session, wanted: int) -> list[tuple[int, int]]:
    """(subscription, number) of the next events, as they come."""
    return [(event[1], event[4][0]) for event in (subscriber.next(EVENT) for _ in range(wanted))]


def check_events(future: Future[list[tuple[int, int]]], named: dict[int, str], topics: list[str]) -> None:
    """All numbers, once, in order across topics, each under its own topic."""
    events = future.result()
    assert [number for _, number in events] == list(range(EVENTS))
    assert all(named[subscription] == topics[number % TOPICS] for subscription, number in events)


PAYLOADS: Final[dict[str, list[Any]]] = {
    "nothing": [],
    "null": [[None]],
    "empty-kwargs-only": [[], {"none": None}],
    "nested": [[1, -1, 2**53, 1.5, True, "ä€𝄞", {"a": [{"b": []}]}], {"key": {"deep": [None]}}],
    "one-mebibyte": [["x" * MIB]],
    "one-mebibyte-kwargs": [[], {"big": "y" * MIB}],
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("giver", SERIALIZERS)
def test_payloads_arrive_unchanged_on_other_nodes_in_every_family(
    cluster: Cluster, giver: str, payload: list[Any]
) -> None:
    topic, procedure = fresh("topic"), fresh("procedure")
    with ExitStack() as stack:
        takers = [stack.enter_context(cluster["b"].session("websocket", family)) for family in SERIALIZERS]
        sender = stack.enter_context(cluster["a"].session("rawsocket", giver))
        for taker in takers:
            taker.subscribe(topic)
        sender.publish(topic, *payload)
        for taker in takers:
            assert taker.next(EVENT)[4:] == payload
        for taker in takers:
            check_round_trip(taker, sender, f"{procedure}.{taker.connection.serializer}", payload)


def check_round_trip(callee: Session, caller: Session, procedure: str, payload: list[Any]) -> None:
    """A result and an application error bring back what the call took there."""
    callee.register(procedure)
    request = caller.start(CALL, {}, procedure, *payload)
    assert callee.answer_invocation()[4:] == payload
    assert caller.answer(request)[3:] == payload

    request = caller.start(CALL, {}, procedure, *payload)
    invocation = callee.next(INVOCATION)
    callee.connection.send([ERROR, INVOCATION, invocation[1], {}, "com.example.refused", *payload])
    with pytest.raises(AnsweredError) as refused:
        caller.answer(request)
    assert (refused.value.uri, refused.value.message[5:]) == ("com.example.refused", payload)


@pytest.mark.parametrize("giver", SERIALIZERS)
def test_binary_values_arrive_on_other_nodes_in_every_family(cluster: Cluster, giver: str) -> None:
    # Over JSON a binary value is a string: NUL and its base64 (basic profile, "Binary conversion of JSON strings").
    octets = bytes(range(256)) + b"\0"
    in_json = "\0" + base64.b64encode(octets).decode()
    topic = fresh("topic")
    with ExitStack() as stack:
        takers = [stack.enter_context(cluster["c"].session("rawsocket", family)) for family in SERIALIZERS]
        sender = stack.enter_context(cluster["a"].session("websocket", giver))
        for taker in takers:
            taker.subscribe(topic)
        value = in_json if giver == "json" else octets
        sender.publish(topic, [value], {"named": value})
        for taker in takers:
            wanted = in_json if taker.connection.serializer == "json" else octets
            assert taker.next(EVENT)[4:] == [[wanted], {"named": wanted}]


def test_callee_that_leaves_ends_its_callers_calls_on_other_nodes(cluster: Cluster) -> None:
    procedure = fresh("procedure")
    with cluster["c"].session() as caller:
        callee = cluster["a"].session()
        callee.register(procedure)
        request = caller.start(CALL, {}, procedure)
        callee.next(INVOCATION)
        callee.close()
        with pytest.raises(AnsweredError) as ended:
            caller.answer(request)
        assert ended.value.uri == "wamp.error.canceled"


def test_caller_that_leaves_does_not_disturb_the_callee_on_another_node(cluster: Cluster) -> None:
    procedure = fresh("procedure")
    with cluster["a"].session() as callee, cluster["c"].session() as next_caller:
        caller = cluster["c"].session()
        callee.register(procedure)
        caller.start(CALL, {}, procedure)
        invocation = callee.next(INVOCATION)
        caller.close()
        callee.connection.send([YIELD, invocation[1], {}, ["for nobody"]])
        request = next_caller.start(CALL, {}, procedure, ["again"])
        callee.answer_invocation()
        assert next_caller.answer(request)[3:] == [["again"]]


def test_many_calls_in_flight_across_nodes_each_get_their_own_result(cluster: Cluster) -> None:
    procedure, calls = fresh("procedure"), 2000
    with cluster["b"].session("rawsocket", "msgpack") as callee, cluster["c"].session("websocket", "json") as caller:
        callee.register(procedure)
        answering = threading.Thread(target=lambda: [callee.answer_invocation() for _ in range(calls)])
        answering.start()
        requests = [caller.start(CALL, {}, procedure, [number]) for number in range(calls)]
        results = [caller.connection.receive() for _ in requests]
        answering.join()
    assert [(result[0], result[1]) for result in results] == [(RESULT, request) for request in requests]
    assert [result[3] for result in results] == [[number] for number in range(calls)]
