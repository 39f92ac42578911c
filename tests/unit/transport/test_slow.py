"""Clients that do not read: what each policy does, the bound of all together, and who is told."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from twisted.internet import unix
from twisted.logger import LogLevel, globalLogPublisher

from tests.support.transports import Bench, RecordingTransport
from tests.unit.transport.test_outbox import KIB, event, messages, subscribers
from wampha.routing.slow import ON_EVENTS_DROPPED, ON_SLOW, SlowPolicy
from wampha.transport.outbox import ClientOutbox

MIB = 1024 * KIB
DROPPING = [SlowPolicy.DROP_NEWEST, SlowPolicy.DROP_OLDEST]


def open_bench(policy: SlowPolicy, **limits: Any) -> Bench:
    bench = Bench(**limits)
    bench.router.slow_clients = policy
    return bench


def publish(bench: Bench, *publications: int, bytes_each: int = KIB) -> None:
    """Events to all clients that are there, in one turn each."""
    for publication in publications:
        bench.delivery.deliver(subscribers(bench), event(b" " * bytes_each, publication))
        bench.delivery.flush()


def heard(transport: RecordingTransport) -> list[Any]:
    """Publications of events, and replies as they are."""
    return [message[2] if message[0] == 36 else message for message in messages(transport)]


@pytest.mark.parametrize("policy", DROPPING)
def test_a_client_that_does_not_read_loses_events_and_stays(policy: SlowPolicy) -> None:
    counter = "events_dropped_newest" if policy is SlowPolicy.DROP_NEWEST else "events_dropped_oldest"
    bench = open_bench(policy, client_queue_bytes_max=64 * KIB)
    slow, quick = bench.open_rawsocket(), bench.open_rawsocket()
    slow.full()
    publish(bench, *range(1000))
    bench.clock.advance(0)
    assert len(heard(quick)) == 1000
    assert bench.slow.total_bytes <= 64 * KIB
    slow.drained()
    publish(bench, 1000)
    kept = heard(slow)
    assert not slow.aborted
    assert len(kept) > 50
    first, last = (0, len(kept) - 2) if policy is SlowPolicy.DROP_NEWEST else (1001 - len(kept), 999)
    assert kept == [*range(first, last + 1), 1000]
    assert bench.counted[counter] == 1001 - len(kept)
    assert bench.slow.total_bytes == 0
    assert len(bench.slow) == 0


@pytest.mark.parametrize("policy", DROPPING)
def test_nothing_but_events_is_dropped(policy: SlowPolicy) -> None:
    bench = open_bench(policy, client_queue_bytes_max=64 * KIB)
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    transport.full()
    for number in range(200):
        publish(bench, number)
        client.send([50, number])
        bench.clock.advance(0)
    assert not transport.aborted
    assert bench.slow.total_bytes <= 64 * KIB
    transport.drained()
    assert [each for each in heard(transport) if isinstance(each, list)] == [[50, number] for number in range(200)]


@pytest.mark.parametrize("policy", [*DROPPING, SlowPolicy.DISCONNECT])
def test_a_client_that_is_owed_more_than_the_bound_is_cut_whatever_the_policy(policy: SlowPolicy) -> None:
    bench = open_bench(policy, client_queue_bytes_max=64 * KIB)
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    transport.full()
    for _ in range(100):
        client.send([50, "x" * KIB])
        bench.clock.advance(0)
    assert transport.aborted
    assert bench.counted["clients_cut_slow"] == 1
    assert bench.slow.total_bytes == 0


@pytest.mark.parametrize("policy", [*DROPPING, SlowPolicy.DISCONNECT])
def test_a_reply_keeps_its_place_among_the_events_of_its_turn(policy: SlowPolicy) -> None:
    bench = open_bench(policy)
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    transport.full()
    bench.delivery.deliver(subscribers(bench), event(publication=1))
    client.send(["reply"])
    bench.delivery.deliver(subscribers(bench), event(publication=2))
    bench.delivery.flush()
    transport.drained()
    assert heard(transport) == [1, ["reply"], 2]


def test_what_was_queued_when_the_transport_became_full_is_not_dropped() -> None:
    bench = open_bench(SlowPolicy.DROP_OLDEST, client_queue_bytes_max=64 * KIB)
    transport = bench.open_rawsocket()
    bench.router.conversations[0].client.send(["reply"])
    transport.full()
    publish(bench, *range(100))
    transport.drained()
    assert heard(transport)[0] == ["reply"]


@pytest.mark.parametrize("policy", DROPPING)
def test_an_event_costs_a_client_over_its_bound_a_few_calls_and_no_write(policy: SlowPolicy) -> None:
    bench = open_bench(policy, client_queue_bytes_max=64 * KIB)
    bench.open_rawsocket()
    publish(bench, *range(100))

    def calls_for_an_event() -> int:
        calls = 0

        def count(_frame: Any, what: str, _argument: Any) -> None:
            nonlocal calls
            calls += what == "call"

        sys.setprofile(count)
        publish(bench, 100)
        sys.setprofile(None)
        return calls

    quick = calls_for_an_event()
    slow = crowd(bench, 100)
    publish(bench, *range(200))
    # One makes the subscriber, one adds the event and at most three count the loss: none queues or flushes.
    assert (calls_for_an_event() - quick) // 100 <= 5
    assert not any(transport.writes for transport in slow)


def test_a_full_client_that_is_sent_a_smaller_event_still_gets_it_where_it_belongs() -> None:
    bench = open_bench(SlowPolicy.DROP_NEWEST, client_queue_bytes_max=64 * KIB)
    transport = bench.open_rawsocket()
    transport.full()
    publish(bench, 1, bytes_each=50 * KIB)
    publish(bench, 2, bytes_each=20 * KIB)
    publish(bench, 3, bytes_each=5 * KIB)
    transport.drained()
    assert heard(transport) == [1, 3]


def test_one_event_may_pass_the_bound_where_all_is_owed_and_none_comes_behind_it() -> None:
    bench = open_bench(SlowPolicy.DISCONNECT, client_queue_bytes_max=64 * KIB)
    transports = crowd(bench, 2)
    publish(bench, 1, bytes_each=80 * KIB)
    bench.clock.advance(0)
    transports[0].drained()
    assert heard(transports[0]) == [1]
    publish(bench, 2)
    bench.clock.advance(0)
    assert [transport.aborted for transport in transports] == [False, True]
    assert heard(transports[0]) == [2]


def test_many_that_pass_their_bound_at_once_end_over_several_turns_and_hold_nothing_meanwhile() -> None:
    bench = open_bench(SlowPolicy.DISCONNECT, client_queue_bytes_max=64 * KIB)
    transports = crowd(bench, 250)
    publish(bench, 1, 2, bytes_each=80 * KIB)
    assert (bench.counted["clients_cut_slow"], bench.slow.total_bytes) == (250, 0)
    ended = [0]
    while ended[-1] < 250:
        bench.turn()
        ended.append(sum(transport.aborted for transport in transports))
        assert len(ended) < 10
    assert all(later - earlier <= 100 for earlier, later in pairwise(ended))


# ---- the bound of all


def crowd(bench: Bench, count: int) -> list[RecordingTransport]:
    transports = [bench.open_rawsocket() for _ in range(count)]
    for transport in transports:
        transport.full()
    return transports


def test_when_too_much_waits_for_all_those_with_most_are_cut() -> None:
    bench = Bench(clients_queue_bytes_max=MIB)
    little, *_ = crowd(bench, 21)
    for publication in range(60):
        receivers = subscribers(bench)[0 if publication < 10 else 1 :]
        bench.delivery.deliver(receivers, event(b" " * KIB, publication))
        bench.delivery.flush()
        assert bench.slow.total_bytes <= MIB
    bench.clock.advance(0)
    cut = bench.counted["clients_cut_crowded"]
    assert 0 < cut < 20
    assert bench.counted["clients_queue_full"] >= 1
    assert not little.aborted
    assert sum(each.aborted for each in _) == cut
    little.drained()
    assert heard(little) == list(range(10))


@pytest.mark.parametrize("policy", DROPPING)
def test_when_too_much_waits_for_all_those_with_most_lose_events_if_that_is_the_policy(policy: SlowPolicy) -> None:
    names = {SlowPolicy.DROP_NEWEST: "events_dropped_newest", SlowPolicy.DROP_OLDEST: "events_dropped_oldest"}
    bench = open_bench(policy, clients_queue_bytes_max=MIB)
    transports = crowd(bench, 20)
    for publication in range(500):
        publish(bench, publication)
        assert bench.slow.total_bytes <= MIB
    assert not any(transport.aborted for transport in transports)
    assert "clients_cut_crowded" not in bench.counted
    assert bench.counted[names[policy]] > 1000
    for transport in transports:
        transport.drained()
        kept = heard(transport)
        assert kept == sorted(set(kept))
        assert kept
    assert bench.slow.total_bytes == 0


def test_many_that_are_cut_at_once_end_over_several_turns() -> None:
    bench = Bench(clients_queue_bytes_max=MIB)
    transports = crowd(bench, 1000)
    publish(bench, 1, 2, 3, bytes_each=600)
    ended = [0]
    while len(ended) < 30:
        bench.turn()
        ended.append(sum(transport.aborted for transport in transports))
    assert ended[-1] == bench.counted["clients_cut_crowded"] > 200
    assert all(later - earlier <= 100 for earlier, later in pairwise(ended))


def test_one_line_in_ten_seconds_tells_that_too_much_waits() -> None:
    bench = open_bench(SlowPolicy.DROP_OLDEST, clients_queue_bytes_max=MIB)
    lines: list[Any] = []
    observer = lambda logged: lines.append(logged) if logged["log_level"] is LogLevel.warn else None  # noqa: E731
    globalLogPublisher.addObserver(observer)
    crowd(bench, 20)
    for publication in range(100):
        publish(bench, *range(publication * 10, publication * 10 + 10))
        bench.pass_time(0.1)
    globalLogPublisher.removeObserver(observer)
    assert bench.counted["clients_queue_full"] > 20
    assert 1 <= len(lines) <= 2
    bench.pass_time(30)
    assert not bench.clock.getDelayedCalls() or all(
        call.getTime() < bench.clock.seconds() + 1 for call in bench.clock.getDelayedCalls()
    )


# ---- who is told


def test_dropped_events_are_told_once_a_second_with_their_number() -> None:
    bench = open_bench(SlowPolicy.DROP_OLDEST, client_queue_bytes_max=64 * KIB)
    bench.open_rawsocket().full()
    conversation = bench.router.conversations[0]
    publish(bench, *range(100))
    assert conversation.told == []
    bench.pass_time(1.1)
    dropped = bench.counted["events_dropped_oldest"]
    assert conversation.told == [(ON_EVENTS_DROPPED, {"count": dropped})]
    publish(bench, *range(100, 110))
    publish(bench, *range(110, 120))
    bench.pass_time(5)
    assert conversation.told == [(ON_EVENTS_DROPPED, {"count": dropped}), (ON_EVENTS_DROPPED, {"count": 20})]


def test_what_a_client_loses_before_and_after_it_has_caught_up_is_told_at_once() -> None:
    bench = open_bench(SlowPolicy.DROP_NEWEST, client_queue_bytes_max=64 * KIB)
    transport = bench.open_rawsocket()
    for _ in range(2):
        transport.full()
        publish(bench, *range(100))
        transport.drained()
    bench.pass_time(1.1)
    dropped = bench.counted["events_dropped_newest"]
    assert bench.router.conversations[0].told == [(ON_EVENTS_DROPPED, {"count": dropped})]


def test_a_client_that_is_cut_is_told_with_the_bound_that_it_reached() -> None:
    bench = open_bench(SlowPolicy.DISCONNECT, client_queue_bytes_max=64 * KIB)
    bench.open_rawsocket().full()
    publish(bench, *range(100))
    bench.clock.advance(0)
    ((topic, what),) = bench.router.conversations[0].told
    assert topic == ON_SLOW
    assert what["limit"] == "client_queue_bytes_max"
    assert 64 * KIB < what["waiting"] < 66 * KIB


def test_the_losses_of_many_are_announced_over_several_turns() -> None:
    bench = open_bench(SlowPolicy.DROP_OLDEST, client_queue_bytes_max=64 * KIB)
    crowd(bench, 25)
    publish(bench, 1, 2, 3, bytes_each=40 * KIB)
    bench.clock.rightNow += 1.0  # no turn yet
    told = []
    for _ in range(3):
        bench.turn()
        told.append(sum(len(conversation.told) for conversation in bench.router.conversations))
    assert told == [10, 20, 25]


# ---- what the transport has counts, too


@pytest.mark.parametrize("policy", DROPPING)
def test_room_that_a_transport_has_given_back_is_used_before_an_event_is_lost(policy: SlowPolicy) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench = open_bench(policy, client_queue_bytes_max=MIB)
        connection = bench.open_rawsocket().protocol
        transport = SocketTransport(ours)
        outbox = ClientOutbox(
            connection=connection, transport=transport, flusher=bench.delivery.flusher, slow=bench.slow
        )
        transport.dataBuffer = b"x" * MIB
        outbox.pauseProducing()
        outbox.queue.append(b"e" * KIB)
        assert outbox.waiting() == MIB
        transport.offset = 512 * KIB
        for _ in range(1000):
            outbox.queue.append(b"e" * KIB)
        assert 1020 * KIB > outbox.waiting() > 980 * KIB
        assert bench.slow.total_bytes <= MIB + KIB
        outbox.drop()
        assert bench.slow.total_bytes == 0


# ---- whether a slow client reads on


class SocketTransport(unix.Server):
    """As much of a socket's transport as an outbox looks at."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802 - Twisted's name
        pass


def test_a_slow_client_moves_when_its_system_takes_bytes_and_only_then() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 4096)
        bench = Bench()
        connection = bench.open_rawsocket().protocol
        outbox = ClientOutbox(
            connection=connection,
            transport=SocketTransport(ours),
            flusher=bench.delivery.flusher,
            slow=bench.slow,
        )
        assert not outbox.moved()
        outbox.pauseProducing()
        assert not outbox.moved()
        theirs.recv(65536)
        assert outbox.moved()
        assert not outbox.moved()
