"""WebSocket: what clients may send in what pieces, what is refused and how, and how connections end."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.support.fakerouter import DOORWAY, FakeRouter
from tests.support.rawclients import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, ws_frame
from tests.support.transports import Bench, RecordingTransport, websocket_request

KIB = 1024
MIB = 1024 * KIB


def received(bench: Bench) -> list[Any]:
    return bench.router.conversations[0].received


def close_code(transport: RecordingTransport) -> int:
    """The code of the close frame, which must be the last thing written."""
    data = transport.taken()
    at = data.rindex(b"\x88")
    assert len(data) == at + 2 + data[at + 1]
    return int(struct.unpack(">H", data[at + 2 : at + 4])[0])


# ---- opening handshake


@pytest.mark.parametrize("path", ["/ws", "/"])
def test_both_paths_open_a_session_for_the_first_subprotocol_that_is_known(path: str) -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    transport.protocol.dataReceived(websocket_request("wamp.2.flatbuffers, wamp.2.msgpack, wamp.2.json", path))
    assert b"\r\nSec-WebSocket-Protocol: wamp.2.msgpack\r\n" in transport.taken()
    assert bench.router.doorways == [DOORWAY]


def test_the_handshake_may_arrive_octet_by_octet_with_a_message_behind_it() -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    for octet in websocket_request() + ws_frame(b"[1]"):
        transport.protocol.dataReceived(bytes([octet]))
    assert received(bench) == [[1]]


def test_messages_right_behind_the_handshake_are_routed() -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    transport.protocol.dataReceived(websocket_request() + ws_frame(b"[1]") + ws_frame(b"[2]"))
    transport.protocol.dataReceived(ws_frame(b"[3]"))
    assert received(bench) == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("request_bytes", "status", "sentence"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, "This is a WAMP router"),
        (b"GET /?redirect=http%3A%2F%2Fevil.example%2F HTTP/1.1\r\nHost: a\r\n\r\n", 426, "This is a WAMP router"),
        (b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "Nothing is at this path"),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "POST"),
        (b"nonsense\r\n\r\n", 400, "Bad HTTP request"),
        (websocket_request(None), 400, "Ask for a WAMP subprotocol"),
        (websocket_request("wamp.2.ubjson"), 400, "spoken here: wamp.2.json, wamp.2.msgpack"),
        (websocket_request(path="/elsewhere"), 404, "connect to /ws"),
        (websocket_request().replace(b"Version: 13", b"Version: 99"), 400, "99"),
        (b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * 9000, 431, "longer than 8192"),
    ],
)
def test_what_is_no_handshake_for_us_gets_a_sentence_and_an_end(
    request_bytes: bytes, status: int, sentence: str
) -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    transport.protocol.dataReceived(request_bytes)
    bench.clock.advance(0)
    head, _, body = transport.taken().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Location" not in head
    assert b"Content-Length: %d" % len(body) in head
    assert sentence in body.decode()
    assert transport.half_closed
    assert bench.router.conversations == []
    assert bench.counted == {"handshakes_refused": 1}


def test_bytes_behind_a_refused_request_are_not_kept() -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    for _ in range(100):
        transport.protocol.dataReceived(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 60 * KIB)
    assert len(transport.protocol.data) < 100 * KIB


def test_an_opening_handshake_that_is_never_completed_ends() -> None:
    bench = Bench(opening_timeout_s=2.0)
    transport = bench.connect(bench.websocket)
    for octet in websocket_request()[:60]:
        transport.protocol.dataReceived(bytes([octet]))  # activity does not help
        bench.pass_time(0.05)
    assert transport.aborted
    assert bench.counted == {"opening_timeouts": 1}


def test_compression_is_not_agreed() -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    transport.protocol.dataReceived(
        websocket_request("wamp.2.json", "/ws", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    )
    assert b"Extensions" not in transport.taken()


# ---- messages in all kinds of pieces


def test_many_frames_in_one_chunk() -> None:
    bench = Bench()
    bench.open_websocket().protocol.dataReceived(b"".join(ws_frame(b"[%d]" % number) for number in range(500)))
    assert received(bench) == [[number] for number in range(500)]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("length", [1, 124, 125, 126, 65535 - 2, 65536, 70000])
def test_frames_of_all_lengths_in_pieces(length: int, step: int) -> None:
    bench = Bench()
    transport = bench.open_websocket()
    text = "x" * length
    stream = ws_frame(b'["%b"]' % text.encode()) + ws_frame(b"[2]")
    step = step if length < 1000 else step * 1000 + 1
    for at in range(0, len(stream), step):
        transport.protocol.dataReceived(stream[at : at + step])
    assert received(bench) == [[text], [2]]


def test_fragments_with_a_ping_between_them_then_an_ordinary_message() -> None:
    stream = (
        ws_frame(b"[1,", fin=False)
        + ws_frame(b"hello", PING)
        + ws_frame(b"2", CONTINUATION, fin=False)
        + ws_frame(b"]", CONTINUATION)
        + ws_frame(b"[3]")
    )
    for step in (1, 5, len(stream)):
        bench = Bench()
        transport = bench.open_websocket()
        for at in range(0, len(stream), step):
            transport.protocol.dataReceived(stream[at : at + step])
        transport.protocol.dataReceived(ws_frame(b"[4]"))
        assert received(bench) == [[1, 2], [3], [4]]
        assert transport.taken() == b"\x8a\x05hello"


def test_a_large_message_is_collected_without_copying_what_has_arrived() -> None:
    bench = Bench(message_bytes_max=16 * MIB - 1)
    protocol = bench.open_websocket().protocol
    message = b'["' + b"x" * (16 * MIB - 10) + b'"]'
    stream = ws_frame(message)
    chunks = [stream[at : at + 64 * KIB] for at in range(0, len(stream), 64 * KIB)]
    for number, chunk in enumerate(chunks[:-1], 1):
        protocol.dataReceived(chunk)
        assert len(protocol._partial) == number
        assert number == 1 or protocol._partial[-1] is chunk
        assert protocol.data == b""
    protocol.dataReceived(chunks[-1])
    assert protocol._partial is None
    assert len(received(bench)[0][0]) == len(message) - 4


# ---- violations


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (ws_frame(b"[1]", mask=None), 1002),
        (b"\xc1" + ws_frame(b"[1]")[1:], 1002),  # a reserved bit
        (ws_frame(b"[1]", 3), 1002),  # a reserved opcode
        (ws_frame(b"[1]", CONTINUATION), 1002),
        (ws_frame(b"[1]", fin=False) + ws_frame(b"[1]"), 1002),
        (ws_frame(b"x" * 126, PING), 1002),
        (ws_frame(b"x", PING, fin=False), 1002),
        (b"\x81\xfe\x00\x05aaaa12345", 1002),  # not the shortest form of the length
        (b"\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05aaaa12345", 1002),
        (ws_frame(b"\x03", CLOSE), 1002),
        (ws_frame(struct.pack(">H", 1005), CLOSE), 1002),
        (ws_frame(struct.pack(">H", 1000) + b"\xff", CLOSE), 1007),
        (ws_frame(b"", TEXT)[:1] + b"\xff" + struct.pack(">Q", 17 * MIB) + b"mask", 1009),
        (ws_frame(b"", TEXT)[:1] + b"\xff" + struct.pack(">Q", 2**62) + b"mask", 1009),
    ],
)
def test_a_violation_of_websocket_ends_with_its_code_and_the_session_is_over(frame: bytes, code: int) -> None:
    bench = Bench()
    transport = bench.open_websocket()
    transport.protocol.dataReceived(ws_frame(b"[0]") + frame + ws_frame(b"[1]"))
    assert close_code(transport) == code
    assert received(bench) == [[0]]
    assert bench.router.conversations[0].losses == 1


def test_a_message_above_the_bound_is_refused_by_its_header_alone_and_counted() -> None:
    bench = Bench(message_bytes_max=MIB)
    transport = bench.open_websocket()
    transport.protocol.dataReceived(b"\x81\xff" + struct.pack(">Q", MIB + 1) + b"mask" + b"x" * 100)
    assert close_code(transport) == 1009
    assert bench.counted["messages_too_large"] == 1
    for _ in range(20):
        transport.protocol.dataReceived(b"x" * 64 * KIB)
    assert len(transport.protocol.data) < 100 and transport.protocol._partial is None


def test_fragments_that_grow_above_the_bound_are_refused() -> None:
    bench = Bench(message_bytes_max=MIB)
    transport = bench.open_websocket()
    transport.protocol.dataReceived(ws_frame(b"x" * (MIB // 2 + 1), fin=False))
    transport.protocol.dataReceived(ws_frame(b"x" * (MIB // 2), CONTINUATION))
    assert close_code(transport) == 1009


@pytest.mark.parametrize(
    ("subprotocol", "opcode", "fin", "kind"),
    [
        ("wamp.2.json", BINARY, True, "text"),
        ("wamp.2.msgpack", TEXT, True, "binary"),
        ("wamp.2.json", BINARY, False, "text"),
    ],
)
def test_the_wrong_kind_of_message_is_a_violation(subprotocol: str, opcode: int, fin: bool, kind: str) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(b"[1]", opcode, fin=fin) + (b"" if fin else ws_frame(b"", CONTINUATION)))
    assert bench.router.conversations[0].violations == [f"the subprotocol {subprotocol} uses {kind} messages only"]
    assert received(bench) == []


def test_a_message_that_cannot_be_read_ends_in_abort_and_then_the_close() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    transport.protocol.dataReceived(ws_frame(b"[1") + ws_frame(b"[2]"))
    written = transport.writes[0]
    assert b"wamp.error.protocol_violation" in written
    assert close_code(transport) == 1000
    assert received(bench) == []


def test_text_that_is_not_utf8_is_a_violation_in_one_piece_or_in_fragments() -> None:
    for stream in (ws_frame(b'["\xff"]'), ws_frame(b'["', fin=False) + ws_frame(b'\xff"]', CONTINUATION)):
        bench = Bench()
        bench.open_websocket().protocol.dataReceived(stream)
        assert len(bench.router.conversations[0].violations) == 1


@pytest.mark.logs_errors
@pytest.mark.parametrize("stream", [ws_frame(b"[1]"), ws_frame(b"[1", fin=False) + ws_frame(b"]", CONTINUATION)])
def test_a_fault_of_ours_while_routing_cuts_the_client_and_nothing_else(stream: bytes) -> None:
    def fail(conversation: Any, message: Any) -> None:
        raise RuntimeError("ours")

    bench = Bench(FakeRouter(fail))
    transport, other = bench.open_websocket(), bench.open_websocket()
    transport.protocol.dataReceived(stream)
    assert transport.aborted and not other.aborted
    transport.lose()
    assert bench.router.conversations[0].losses == 1


@pytest.mark.logs_errors
def test_a_fault_of_ours_behind_the_handshake_is_not_lost_in_a_deferred() -> None:
    def fail(conversation: Any, message: Any) -> None:
        raise RuntimeError("ours")

    bench = Bench(FakeRouter(fail))
    transport = bench.connect(bench.websocket)
    transport.protocol.dataReceived(websocket_request() + ws_frame(b"[1]"))
    assert transport.aborted


# ---- the end


def test_a_close_of_the_client_is_answered_and_the_core_learns_of_it_at_once() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    transport.protocol.dataReceived(ws_frame(struct.pack(">H", 1000), CLOSE))
    assert close_code(transport) == 1000
    assert transport.half_closed and not transport.aborted
    assert bench.router.conversations[0].losses == 1
    transport.lose()
    assert bench.router.conversations[0].losses == 1


def test_finish_closes_with_1000_and_ends_the_stream_when_the_client_agrees() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    client = bench.router.conversations[0].client
    client.send(["goodbye"])
    client.finish()
    bench.clock.advance(0)
    assert transport.writes == [b'\x81\x0b["goodbye"]\x88\x02\x03\xe8']
    assert close_code(transport) == 1000
    assert not transport.half_closed
    transport.protocol.dataReceived(ws_frame(b"[1]") + ws_frame(struct.pack(">H", 1000), CLOSE))
    assert transport.half_closed and not transport.aborted
    assert received(bench) == []


@pytest.mark.parametrize("answer", [b"", ws_frame(b"[1]"), b"\x81\xff"])
def test_a_client_that_does_not_agree_to_the_close_is_dropped_in_time(answer: bytes) -> None:
    bench = Bench(goodbye_timeout_s=2.0)
    transport = bench.open_websocket()
    bench.router.conversations[0].client.finish()
    transport.protocol.dataReceived(answer)
    bench.pass_time(1.5)
    transport.protocol.dataReceived(answer)
    assert not transport.aborted
    bench.pass_time(2.0)
    assert transport.aborted
    assert bench.counted == {"close_timeouts": 1}


def test_a_connection_that_is_lost_ends_the_conversation_once() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    transport.lose(orderly=False)
    assert bench.router.conversations[0].losses == 1
    assert len(bench.service.deadlines) == 0


# ---- pings


def test_a_silent_client_is_pinged_and_cut_when_it_does_not_answer() -> None:
    bench = Bench(ping_interval_s=2.0, ping_timeout_s=4.0, goodbye_timeout_s=2.0)
    transport = bench.open_websocket()
    bench.pass_time(3.0)
    assert transport.taken() == b"\x89\x00"
    bench.pass_time(2.0)
    assert not transport.aborted
    bench.pass_time(3.0)
    assert transport.aborted
    assert bench.counted == {"clients_cut_silent": 1}


@pytest.mark.parametrize("life", [ws_frame(b"", PONG), ws_frame(b"[1]"), b"\x81"])
def test_any_traffic_counts_as_life(life: bytes) -> None:
    bench = Bench(ping_interval_s=2.0, ping_timeout_s=2.0)
    transport = bench.open_websocket()
    for _ in range(10):
        bench.pass_time(1.0)
        transport.protocol.dataReceived(life if life != b"\x81" else ws_frame(b"x", PONG))
    assert transport.writes == []
    assert not transport.aborted


def test_pings_of_the_client_are_answered() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    transport.protocol.dataReceived(ws_frame(b"payload", PING))
    assert transport.taken() == b"\x8a\x07payload"


# ---- suspended (protocol rules 1 and 2)


def test_input_is_held_while_the_node_does_not_serve_and_handled_in_order_after() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    bench.serving = False
    transport.protocol.dataReceived(ws_frame(b"[1]") + ws_frame(b"[2]"))
    transport.protocol.dataReceived(ws_frame(b"[3]"))
    assert received(bench) == [] and not transport.reading
    bench.serving = True
    bench.gate.changed(True)
    assert received(bench) == [[1], [2], [3]] and transport.reading


def test_the_gate_is_asked_for_every_chunk_and_not_once_per_turn() -> None:
    bench = Bench()

    def stop_serving(conversation: Any, message: Any) -> None:
        bench.serving = False

    bench.router.on_message = stop_serving
    transport = bench.open_websocket()
    transport.protocol.dataReceived(ws_frame(b"[1]") + ws_frame(b"[2]"))
    transport.protocol.dataReceived(ws_frame(b"[3]"))
    assert received(bench) == [[1], [2]]


def test_deadlines_stand_still_while_nothing_is_read() -> None:
    bench = Bench(ping_interval_s=1.0, ping_timeout_s=1.0, opening_timeout_s=1.0)
    opened, opening = bench.open_websocket(), bench.connect(bench.websocket)
    bench.serving = False
    bench.pass_time(10.0)
    assert not opened.aborted and not opening.aborted
    assert opened.writes == []
    bench.serving = True
    bench.pass_time(10.0)
    assert opened.aborted and opening.aborted


def test_a_lease_that_returned_unannounced_is_found_by_the_timer() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    bench.serving = False
    transport.protocol.dataReceived(ws_frame(b"[1]"))
    bench.serving = True
    bench.pass_time(0.3)
    assert received(bench) == [[1]]


def test_a_suspended_client_can_be_closed_and_answers() -> None:
    bench = Bench()
    transport = bench.open_websocket()
    bench.serving = False
    transport.protocol.dataReceived(ws_frame(b"[1]"))
    bench.router.conversations[0].client.finish()
    bench.clock.advance(0)
    assert transport.reading
    assert close_code(transport) == 1000
    transport.protocol.dataReceived(ws_frame(struct.pack(">H", 1000), CLOSE))
    assert transport.half_closed
    assert received(bench) == []


# ---- memory


def test_an_idle_connection_keeps_neither_options_nor_the_request() -> None:
    bench = Bench()
    kept = vars(bench.open_websocket().protocol)
    assert not {"maxMessagePayloadSize", "openHandshakeTimeout", "webStatus"} & kept.keys()
    assert not [name for name in kept if name.startswith("http_") or name == "websocket_protocols"]
    assert sum(len(value) for value in kept.values() if isinstance(value, (bytes, str))) < 200
