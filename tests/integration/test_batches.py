"""Clients that put several messages into one WebSocket message, on one node and across nodes."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest

from tests.integration.conftest import Router
from tests.support.nodes import Cluster
from tests.support.wampclient import (
    ABORT,
    BATCHED,
    CALL,
    EVENT,
    PUBLISH,
    RESULT,
    SERIALIZERS,
    BatchedConnection,
    ConnectionEndedError,
    Session,
    WebSocketConnection,
)

COUNT: Final = 200


@pytest.fixture(params=["one-node", "across-nodes"])
def ports(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Where the two sides connect."""
    if request.param == "one-node":
        router: Router = request.getfixturevalue("router")
        return router.port, router.port
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster["a"].port, cluster["c"].port


@contextmanager
def sessions(*ways: tuple[int, str]) -> Iterator[list[Session]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Session(port, "websocket", serializer)) for port, serializer in ways]


def fresh() -> str:
    return f"test.n{uuid.uuid4().hex}"


@pytest.mark.parametrize("serializer", BATCHED)
def test_batches_of_events_arrive_whole_and_in_order(ports: tuple[int, int], serializer: str) -> None:
    topic = fresh()
    ways = [(ports[1], kind) for kind in (*BATCHED, *SERIALIZERS)]
    with sessions((ports[0], serializer), *ways) as (publisher, *subscribers):
        for subscriber in subscribers:
            subscriber.subscribe(topic)
        publisher.connection.send_many([[PUBLISH, 1 + number, {}, topic, [number]] for number in range(COUNT)])
        for subscriber in subscribers:
            assert [subscriber.next(EVENT)[4] for _ in range(COUNT)] == [[number] for number in range(COUNT)]
        connection = subscribers[0].connection
        assert isinstance(connection, BatchedConnection)
        assert max(connection.batches) > 1  # and what the router sends is in batches too


@pytest.mark.parametrize("serializer", BATCHED)
def test_a_batch_of_calls_is_answered(ports: tuple[int, int], serializer: str) -> None:
    procedure = fresh()
    with sessions((ports[0], serializer), (ports[1], serializer)) as (caller, callee):
        callee.register(procedure)
        caller.connection.send_many([[CALL, 1 + number, {}, procedure, [number]] for number in range(20)])
        for _ in range(20):
            callee.answer_invocation()
        results = sorted(caller.next(RESULT) for _ in range(20))
        assert results == [[RESULT, 1 + number, {}, [number]] for number in range(20)]


@pytest.mark.parametrize(
    ("serializer", "body"),
    [
        ("json.batched", b""),
        ("json.batched", b'[16,1,{},"a.topic"]'),
        ("msgpack.batched", b""),
        ("msgpack.batched", struct.pack(">L", 9) + b"\x94"),
        ("cbor.batched", b"\0\0\0"),
    ],
)
def test_a_malformed_batch_ends_the_session_and_disturbs_nobody(router: Router, serializer: str, body: bytes) -> None:
    topic = fresh()
    with sessions((router.port, serializer), (router.port, serializer)) as (wrong, other):
        subscription = other.subscribe(topic)
        wrong.connection.send_bytes(WebSocketConnection.frame(wrong.connection, body))  # type: ignore[arg-type]
        answer: list[Any] = wrong.next(ABORT)
        assert answer[2] == "wamp.error.protocol_violation"
        with pytest.raises(ConnectionEndedError) as ended:
            wrong.connection.receive()
        assert ended.value.code == 1000
        other.publish(topic, ["still here"], exclude_me=False)
        assert other.next(EVENT)[1] == subscription
