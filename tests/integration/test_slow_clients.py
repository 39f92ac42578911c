"""Clients that do not read, or have vanished without a word: memory is bounded, and nothing of them stays."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.integration.slow_clients import HOT, MIB, POLICIES, a_node, crowd_out, deaf
from tests.support.nodes import NodeProcess, eventually
from tests.support.wampclient import CALL, EVENT, TRANSPORTS, AnsweredError, Session

SLOW: Final = 200
ROUNDS: Final = 120  # of 8 KiB for each slow client: 190 MiB in all
SLACK_BYTES: Final = 24 * MIB  # what the allocator does not give back, and the sessions themselves


@pytest.mark.parametrize("policy", POLICIES)
def test_what_clients_do_not_read_stays_within_the_bound_of_all(policy: str) -> None:
    with a_node(policy, clients_queue_bytes_max=48 * MIB) as node:
        growth = crowd_out(node, slow=SLOW, rounds=ROUNDS)
    assert growth.most <= 48 * MIB + SLACK_BYTES
    assert growth.counters["clients_queue_full"] > 0
    if policy == "disconnect":
        assert 0 < growth.counters["clients_cut_crowded"] + growth.counters.get("clients_cut_slow", 0) <= SLOW
    else:
        assert growth.counters[f"events_dropped_{policy[5:]}"] > 0
        assert "clients_cut_crowded" not in growth.counters


def test_a_thousand_slow_subscribers_of_a_hot_topic_stay_within_the_bound_of_all() -> None:
    with a_node("drop_oldest", clients_queue_bytes_max=96 * MIB) as node:
        base = node.status()["resident_bytes"]
        clients = [deaf(node, HOT) for _ in range(1000)]
        with node.session("rawsocket", "msgpack") as publisher:
            for number in range(300):
                publisher.publish(HOT, [number, "x" * 4000])
        status = node.status()
        eventually(lambda: node.status()["sessions"] == 1000, 15.0, "the publisher is gone, and nobody else", node.log)
        for client in clients:
            client.close()
    assert status["resident_bytes"] - base <= 96 * MIB + SLACK_BYTES
    assert "clients_cut_silent" not in status["counters"]


def test_subscribers_hear_of_a_slow_session() -> None:
    with (
        a_node("drop_newest", message_bytes_max=65536, client_queue_bytes_max=65536) as node,
        node.session() as listener,
    ):
        listener.subscribe("wampha.session.on_events_dropped")
        slow = deaf(node, HOT)
        with node.session() as publisher:
            for number in range(1000):
                publisher.publish(HOT, [number, "x" * 8000])
                if node.status()["counters"].get("events_dropped_newest"):
                    break
        event = listener.next(EVENT)
        assert len(event[4]) == 1
        assert event[5]["count"] >= 1
        slow.close()


# ---- clients that vanish


SILENT: Final[dict[str, Any]] = {"ping_interval_s": 1.0, "ping_timeout_s": 1.0}


@pytest.fixture
def impatient() -> Iterator[NodeProcess]:
    """A node that pings after a second, and cuts after another one."""
    with a_node("drop_oldest", **SILENT) as node:
        yield node


def vanish(session: Session) -> socket.socket:
    """Stop reading and answering, and keep the connection: no FIN and no RST tell the node of it."""
    return session.connection.socket


def has_gone(node: NodeProcess, sessions: int) -> None:
    eventually(lambda: node.status()["sessions"] == sessions, 15.0, f"{sessions} sessions left", node.log)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_vanishes_is_cut_and_nothing_of_it_stays(impatient: NodeProcess, transport: str) -> None:
    vanished = impatient.session(transport)
    vanished.subscribe("test.subscribed")
    vanished.register("test.registered")
    held = vanish(vanished)
    with impatient.session() as caller:
        request = caller.start(CALL, {}, "test.registered")
        with pytest.raises(AnsweredError) as ended:
            caller.answer(request, 15.0)
        assert ended.value.args
        status = impatient.status()
        assert status["counters"]["clients_cut_silent"] == 1
        assert (status["sessions"], status["routes"], status["registrations"]) == (1, 0, 0)
        with pytest.raises(AnsweredError):
            caller.call("test.registered")
    held.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_vanishes_with_a_full_buffer_is_cut(impatient: NodeProcess, transport: str) -> None:
    vanished = impatient.session(transport)
    vanished.subscribe(HOT)
    held = vanish(vanished)
    with impatient.session() as publisher:
        for number in range(1000):
            publisher.publish(HOT, [number, "x" * 100_000])
            status = impatient.status() if number % 50 == 49 else {"counters": {}, "sessions": 2}
            if status["counters"].get("events_dropped_oldest") or status["sessions"] == 1:
                break
        eventually(
            lambda: (publisher.publish("test.alive"), impatient.status()["sessions"] == 1)[1],
            20.0,
            "the end of the silent session",
            impatient.log,
        )
        counters = impatient.status()["counters"]
        assert counters["clients_cut_silent"] == 1
        assert "clients_cut_slow" not in counters
        assert impatient.status()["routes"] == 0
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    held.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_slow_client_that_goes_on_reading_is_not_cut_as_silent(transport: str) -> None:
    limits = {"ping_interval_s": 1.0, "ping_timeout_s": 2.0}
    with a_node("drop_oldest", **limits) as node, node.session(transport) as slow, node.session() as publisher:
        slow.subscribe(HOT)
        deadline = time.monotonic() + 7.0
        for number in range(2, 1000):  # a silent one would be cut after three seconds
            publisher.publish(HOT, [number, "x" * 100_000])
            if number > 100:
                time.sleep(0.05)
                assert slow.connection.socket.recv(50_000)
            if time.monotonic() > deadline:
                break
        counters = node.status()["counters"]
    assert counters["events_dropped_oldest"] > 0
    assert "clients_cut_silent" not in counters
