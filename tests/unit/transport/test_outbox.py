"""What leaves: in order, written once per turn, shared between receivers, bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from tests.support.fakerouter import JsonStandIn
from tests.support.transports import Bench, RecordingTransport
from wampha.messages.model import Error, Event, Invocation, Published, Result
from wampha.messages.payload import Family, Payload

KIB = 1024


@dataclass
class Subscriber:
    """As much of a session as delivery looks at."""

    client: Any


def subscribers(bench: Bench) -> list[Subscriber]:
    return [Subscriber(conversation.client) for conversation in bench.router.conversations]


def event(data: bytes = b"[1]", publication: int = 7) -> Event:
    return Event(1, publication, {}, Payload(Family.JSON, 1, data))


def messages(transport: RecordingTransport) -> list[Any]:
    """The WAMP messages in RawSocket frames, and the names of other frames."""
    data, found = transport.taken(), []
    while data:
        length = int.from_bytes(data[1:4], "big")
        found.append(json.loads(data[4 : 4 + length]) if data[0] == 0 else data[0])
        data = data[4 + length :]
    return found


# ---- one write per client and turn


def test_all_that_is_sent_in_a_turn_leaves_in_one_write_and_in_order() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    for number in range(3):
        client.send([number])
    assert transport.writes == []
    bench.clock.advance(0)
    assert len(transport.writes) == 1
    assert messages(transport) == [[0], [1], [2]]


def test_answers_to_a_chunk_leave_behind_it_and_need_no_timer() -> None:
    bench = Bench()
    bench.router.on_message = lambda conversation, message: conversation.client.send(message)
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(b"\x00\x00\x00\x03[1]\x00\x00\x00\x03[2]")
    assert len(transport.writes) == 1
    assert messages(transport) == [[1], [2]]


def test_a_link_that_flushes_behind_its_chunk_leaves_nothing_to_the_timer() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    bench.delivery.deliver(subscribers(bench), event())
    bench.delivery.flush()
    assert messages(transport) == [[36, 1, 7, {}, "[1]"]]
    bench.clock.advance(0)
    assert transport.writes == []


def test_autobahns_own_frames_do_not_overtake_messages() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    client = bench.router.conversations[0].client
    client.send([1])
    transport.protocol.sendPing(b"p")
    client.send([2])
    bench.clock.advance(0)
    assert transport.taken() == b"\x81\x03[1]" + b"\x89\x01p" + b"\x81\x03[2]"


# ---- messages that cannot be sent


def big(text: str = "x" * 2000) -> Payload:
    return Payload.of([text])


@pytest.fixture
def small() -> tuple[Bench, RecordingTransport, Any]:
    """A client that accepts 1 KiB, speaking real JSON."""
    from wampha.counters import Counters
    from wampha.limits import Limits
    from wampha.messages.serializers import serializers

    bench = Bench(serializers=serializers(Limits(), Counters()))
    transport = bench.open_rawsocket(0x11)
    return bench, transport, bench.router.conversations[0]


def test_a_result_too_large_for_the_caller_becomes_an_error(small: tuple[Bench, RecordingTransport, Any]) -> None:
    bench, transport, conversation = small
    conversation.client.send(Result(5, {}, big()))
    bench.clock.advance(0)
    (message,) = messages(transport)
    assert message[:5] == [8, 48, 5, {}, "wamp.error.payload_size_exceeded"]
    assert bench.counted["messages_unsendable"] == 1


def test_of_a_progressive_result_too_large_for_the_caller_the_core_is_told_at_once(
    small: tuple[Bench, RecordingTransport, Any],
) -> None:
    bench, transport, conversation = small
    conversation.client.send(Result(5, {"progress": True}, big()))
    (error,) = conversation.undeliverable
    assert (error.request_type, error.request, error.error) == (48, 5, "wamp.error.payload_size_exceeded")
    bench.clock.advance(0)
    assert transport.writes == []
    assert bench.counted["messages_unsendable"] == 1


def test_an_invocation_too_large_for_the_callee_is_answered_on_its_behalf(
    small: tuple[Bench, RecordingTransport, Any],
) -> None:
    bench, transport, conversation = small
    conversation.client.send(Invocation(9, 1, {}, big()))
    assert conversation.undeliverable == []  # never inside the dealer's call
    bench.clock.advance(0)
    (error,) = conversation.undeliverable
    assert isinstance(error, Error)
    assert (error.request_type, error.request, error.error) == (68, 9, "wamp.error.payload_size_exceeded")
    assert transport.writes == []


def test_an_error_too_large_is_sent_without_its_payload(small: tuple[Bench, RecordingTransport, Any]) -> None:
    bench, transport, conversation = small
    conversation.client.send(Error(48, 5, {}, "com.example.failed", big()))
    bench.clock.advance(0)
    assert messages(transport) == [[8, 48, 5, {}, "com.example.failed"]]


def test_a_client_that_cannot_be_sent_what_it_is_owed_is_closed(small: tuple[Bench, RecordingTransport, Any]) -> None:
    bench, transport, conversation = small
    conversation.client.send(Error(48, 5, {"why": "x" * 2000}, "com.example.failed"))
    bench.clock.advance(0)
    assert transport.half_closed


@pytest.mark.logs_errors
def test_sending_never_raises_and_an_unwritable_message_of_ours_cuts_the_client() -> None:
    class Broken(JsonStandIn):
        def encode(self, message: Any) -> bytes:
            raise KeyError("ours")

    bench = Bench(serializers=[Broken()])
    transport = bench.open_rawsocket()
    bench.router.conversations[0].client.send(Published(1, 2))
    assert transport.aborted


@pytest.mark.logs_errors
def test_a_client_whose_bytes_cannot_be_written_does_not_keep_the_others_from_theirs() -> None:
    bench = Bench()
    broken, other = bench.open_rawsocket(), bench.open_rawsocket()
    broken.write = None  # type: ignore[method-assign,assignment]
    bench.delivery.deliver(subscribers(bench), event())
    bench.delivery.flush()
    assert broken.aborted
    assert len(messages(other)) == 1


# ---- slow clients


def test_a_client_that_does_not_read_is_cut_when_its_queue_is_full_and_others_are_not() -> None:
    bench = Bench(client_queue_bytes_max=64 * KIB)
    slow, quick = bench.open_rawsocket(), bench.open_rawsocket()
    slow.full()
    warnings: list[Any] = []
    observer = lambda logged: warnings.append(logged) if logged["log_level"] is LogLevel.warn else None  # noqa: E731
    globalLogPublisher.addObserver(observer)
    for publication in range(100):
        bench.delivery.deliver(subscribers(bench), event(b" " * KIB, publication))
        bench.delivery.flush()
    globalLogPublisher.removeObserver(observer)
    bench.clock.advance(0)  # not in the middle of the delivery to many
    assert slow.aborted and not quick.aborted
    assert slow.writes == []
    assert len(messages(quick)) == 100
    assert bench.counted["clients_cut_slow"] == 1
    assert len(warnings) == 1
    assert "rawsocket json" in warnings[0]["client"]
    assert 64 * KIB < warnings[0]["waiting"] < 66 * KIB


def test_a_slow_client_gets_everything_in_order_once_it_reads_again() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    client.send([0])
    bench.clock.advance(0)
    transport.full()
    for number in range(1, 4):
        client.send([number])
        bench.clock.advance(0)
    assert messages(transport) == [[0]]
    assert client.waiting() == 3 * 7
    transport.drained()
    client.send([4])
    bench.clock.advance(0)
    assert messages(transport) == [[1], [2], [3], [4]]
    assert client.waiting() == 0


def test_what_was_held_is_given_out_only_until_the_transport_is_full_again() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    transport.full()
    for number in range(3):
        client.send([number])
        bench.clock.advance(0)
    writes: list[bytes] = []
    transport.write = lambda data: (writes.append(data), transport.full())[0]  # type: ignore[method-assign,func-returns-value]
    transport.drained()
    assert len(writes) == 1
    assert client.waiting() == 2 * 7


# ---- the end


def test_finish_waits_for_what_is_queued_and_for_what_is_held() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    transport.full()
    client.send(["last words"])
    client.finish()
    client.finish()
    client.send(["too late"])
    assert not transport.half_closed
    transport.drained()
    assert messages(transport) == [["last words"]]
    assert transport.half_closed and not transport.aborted


def test_a_finished_client_that_does_not_go_is_dropped_in_time() -> None:
    bench = Bench(goodbye_timeout_s=2.0)
    transport = bench.open_rawsocket()
    bench.router.conversations[0].client.finish()
    bench.pass_time(1.9)
    assert not transport.aborted
    bench.pass_time(1.0)
    assert transport.aborted
    assert bench.counted == {"close_timeouts": 1}


def test_nothing_is_written_after_the_connection_is_gone() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    client = bench.router.conversations[0].client
    client.send([1])
    transport.lose()
    client.send([2])
    client.finish()
    bench.clock.advance(0)
    assert transport.writes == []
    assert bench.router.conversations[0].losses == 1
