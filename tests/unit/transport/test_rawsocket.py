"""RawSocket: handshake and its errors, framing, PING and PONG, bounds in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.rawclients import RAW_PING, RAW_PONG, raw_frame
from tests.support.transports import Bench

KIB = 1024
MIB = 1024 * KIB


def received(bench: Bench) -> list[Any]:
    return bench.router.conversations[0].received


# ---- opening handshake (advanced profile, "RawSocket Transport")


@pytest.mark.parametrize(
    ("message_bytes_max", "announced", "largest"),
    [(16 * MIB - 1, 0xF, 16 * MIB - 1), (512, 0x0, 512), (1023, 0x1, 1023), (10 * MIB, 0xE, 8 * MIB)],
)
def test_the_answer_announces_at_most_what_is_accepted(message_bytes_max: int, announced: int, largest: int) -> None:
    bench = Bench(message_bytes_max=message_bytes_max)
    transport = bench.connect(bench.rawsocket)
    transport.protocol.dataReceived(b"\x7f\xf2\x00\x00")
    assert transport.taken() == bytes((0x7F, announced << 4 | 2, 0, 0))
    assert transport.protocol._receives_max == largest


@pytest.mark.parametrize(
    ("request_bytes", "error"),
    [
        (b"\x7f\xf0\x00\x00", 1),
        (b"\x7f\xf4\x00\x00", 1),
        (b"\x7f\xf1\x01\x00", 3),
        (b"\x7f\xf1\x00\x80", 3),
    ],
)
def test_a_refused_handshake_is_answered_by_its_error_and_the_end(request_bytes: bytes, error: int) -> None:
    bench = Bench()
    transport = bench.connect(bench.rawsocket)
    transport.protocol.dataReceived(request_bytes + raw_frame(b"[1]"))
    bench.clock.advance(0)
    assert transport.taken() == bytes((0x7F, error << 4, 0, 0))
    assert transport.half_closed
    assert bench.router.conversations == []
    assert bench.counted == {"handshakes_refused": 1}


def test_a_handshake_that_is_never_completed_ends() -> None:
    bench = Bench(opening_timeout_s=2.0)
    transport = bench.connect(bench.rawsocket)
    transport.protocol.dataReceived(b"\x7f\xf1\x00")
    bench.pass_time(3.0)
    assert transport.aborted
    assert bench.counted == {"opening_timeouts": 1}


# ---- framing


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_handshake_and_frames_in_pieces(step: int) -> None:
    bench = Bench()
    transport = bench.connect(bench.rawsocket)
    messages = [[1], ["x" * 300], [], [2]]
    stream = b"\x7f\xf1\x00\x00" + b"".join(raw_frame(json.dumps(message).encode()) for message in messages)
    for at in range(0, len(stream), step):
        transport.protocol.dataReceived(stream[at : at + step])
    assert received(bench) == messages


def test_a_large_message_is_collected_without_copying_what_has_arrived() -> None:
    bench = Bench()
    protocol = bench.open_rawsocket().protocol
    message = b'["' + b"x" * (16 * MIB - 5) + b'"]'
    stream = raw_frame(message)
    chunks = [stream[at : at + 64 * KIB] for at in range(0, len(stream), 64 * KIB)]
    for number, chunk in enumerate(chunks[:-1], 1):
        protocol.dataReceived(chunk)
        assert len(protocol._partial) == number
        assert number == 1 or protocol._partial[-1] is chunk
    protocol.dataReceived(chunks[-1])
    assert len(received(bench)[0][0]) == len(message) - 4


def test_a_message_above_the_bound_is_refused_by_its_prefix_alone() -> None:
    bench = Bench(message_bytes_max=MIB)
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(raw_frame(b"[0]") + (MIB + 1).to_bytes(4, "big"))
    conversation = bench.router.conversations[0]
    assert conversation.received == [[0]]
    assert conversation.violations == [f"the message has {MIB + 1} bytes, this router accepts at most {MIB}"]
    assert bench.counted == {"messages_too_large": 1}
    assert transport.half_closed
    for _ in range(20):
        transport.protocol.dataReceived(b"x" * 64 * KIB)
    assert transport.protocol._partial is None


@pytest.mark.parametrize("first", [0x03, 0x07, 0x08, 0x10, 0xFF])
def test_reserved_kinds_and_bits_are_a_violation(first: int) -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(bytes((first, 0, 0, 3)) + b"[1]")
    conversation = bench.router.conversations[0]
    assert conversation.violations == [
        f"the first octet of a frame was 0x{first:02x}; known are message 0, PING 1 and PONG 2"
    ]
    assert b"wamp.error.protocol_violation" in transport.taken()
    assert transport.half_closed


def test_nothing_is_routed_behind_a_violation() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(raw_frame(b"[") + raw_frame(b"[1]"))
    transport.protocol.dataReceived(raw_frame(b"[2]"))
    assert received(bench) == []
    assert len(bench.router.conversations[0].violations) == 1


# ---- PING and PONG


@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 70_000])
def test_a_ping_is_answered_by_one_pong_with_its_payload(payload: bytes) -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(raw_frame(payload, RAW_PING))
    assert transport.taken() == raw_frame(payload, RAW_PONG)


def test_a_ping_whose_pong_the_client_would_not_accept_is_a_violation() -> None:
    bench = Bench()
    transport = bench.open_rawsocket(0x11)
    transport.protocol.dataReceived(raw_frame(b"x" * 1025, RAW_PING))
    assert len(bench.router.conversations[0].violations) == 1


def test_a_silent_client_is_pinged_and_cut_when_it_does_not_answer() -> None:
    bench = Bench(ping_interval_s=2.0, ping_timeout_s=4.0, goodbye_timeout_s=2.0)
    silent, alive = bench.open_rawsocket(), bench.open_rawsocket()
    for _ in range(16):
        bench.pass_time(0.5)
        if alive.writes:
            assert alive.taken() == raw_frame(b"", RAW_PING)
            alive.protocol.dataReceived(raw_frame(b"", RAW_PONG))
    assert silent.aborted and not alive.aborted
    assert bench.counted == {"clients_cut_silent": 1}


# ---- suspended, and the end


def test_input_is_held_while_the_node_does_not_serve() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    bench.serving = False
    transport.protocol.dataReceived(raw_frame(b"[1]"))
    assert received(bench) == [] and not transport.reading
    bench.serving = True
    bench.gate.changed(True)
    assert received(bench) == [[1]] and transport.reading


def test_a_lost_connection_that_was_held_is_not_woken() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    bench.serving = False
    transport.protocol.dataReceived(raw_frame(b"[1]"))
    transport.lose()
    bench.serving = True
    bench.gate.changed(True)
    assert received(bench) == []
    assert bench.router.conversations[0].losses == 1


def test_the_last_words_are_not_lost_behind_unread_input() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(raw_frame(b"["))
    assert transport.half_closed and not transport.disconnecting
