"""Batches: what is one, in what order its messages are handled, how much of it in a turn, and what leaves as one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rawclients import BINARY, CLOSE, CONTINUATION, PING, TEXT, ws_frame
from tests.support.transports import Bench, RecordingTransport, websocket_request
from wampha.errors import ProtocolViolation
from wampha.messages.model import Event
from wampha.messages.payload import Family, Payload
from wampha.transport import batches
from wampha.transport.frames import WEBSOCKET_BINARY, WEBSOCKET_TEXT, websocket_binary, websocket_text

JSON: Final = "wamp.2.json.batched"
PREFIXED: Final = "wamp.2.msgpack.batched"


def separated(messages: Iterable[Any], separator: bytes = b"\x1e") -> bytes:
    return b"".join(json.dumps(message).encode() + separator for message in messages)


def prefixed(messages: Iterable[Any]) -> bytes:
    return b"".join(struct.pack(">L", len(body)) + body for body in (json.dumps(m).encode() for m in messages))


FORMS: Final = [
    pytest.param(JSON, TEXT, separated, id="json"),
    pytest.param(PREFIXED, BINARY, prefixed, id="binary"),
]
forms = pytest.mark.parametrize(("subprotocol", "opcode", "batch"), FORMS)
Batch = Callable[[Iterable[Any]], bytes]


def received(bench: Bench) -> list[Any]:
    return bench.router.conversations[0].received


def violations(bench: Bench) -> list[str]:
    return bench.router.conversations[0].violations


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """The opcodes and bodies of unmasked frames."""
    frames, at = [], 0
    while at < len(data):
        size, head = data[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
        frames.append((data[at] & 0x0F, data[at + head : at + head + size]))
        at += head + size
    return frames


# ---- what arrives


@forms
def test_the_messages_of_a_batch_are_handled_in_order(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(
        ws_frame(batch([[1], ["zwei"]]), opcode) + ws_frame(batch([[3]]), opcode) + ws_frame(batch([[4], [5]]), opcode)
    )
    assert received(bench) == [[1], ["zwei"], [3], [4], [5]]
    assert violations(bench) == []


@forms
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_batch_may_come_in_fragments_and_pieces(subprotocol: str, opcode: int, batch: Batch, step: int) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    body = batch([[1], [2], [3]])
    stream = (
        ws_frame(body[:5], opcode, fin=False)
        + ws_frame(b"", PING)
        + ws_frame(body[5:], CONTINUATION)
        + ws_frame(batch([[4]]), opcode)
    )
    for at in range(0, len(stream), step):
        transport.protocol.dataReceived(stream[at : at + step])
    assert received(bench) == [[1], [2], [3], [4]]


@pytest.mark.parametrize(
    ("subprotocol", "opcode", "body", "handled"),
    [
        (JSON, TEXT, b"", []),
        (JSON, TEXT, b"[1]", []),
        (JSON, TEXT, b"\x1e", []),
        (JSON, TEXT, b"[1]\x1e[2]", [[1]]),
        (JSON, TEXT, b"[1]\x1e\x1e[2]\x1e", [[1]]),
        (JSON, TEXT, b"[1]\x1e[2]\x18", []),  # the other form's end
        (PREFIXED, BINARY, b"", []),
        (PREFIXED, BINARY, b"\0\0\0", []),
        (PREFIXED, BINARY, b"\0\0\0\0", []),
        (PREFIXED, BINARY, b"\0\0\0\x04[1]", []),
        (PREFIXED, BINARY, b"\xff\xff\xff\xff[1]", []),
        (PREFIXED, BINARY, b"\0\0\0\x03[1]\0\0", [[1]]),
        (PREFIXED, BINARY, b"\0\0\0\x03[1]\0\0\0\x09[2]", [[1]]),
        (PREFIXED, BINARY, b"[1]", []),
    ],
)
def test_a_malformed_batch_ends_in_abort_and_then_the_close(
    subprotocol: str, opcode: int, body: bytes, handled: list[Any]
) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(body, opcode) + ws_frame(body, opcode))
    assert received(bench) == handled
    assert len(violations(bench)) == 1
    opcodes = [opcode for opcode, _ in frames_in(transport.taken())]
    assert opcodes == [opcode, CLOSE]


@forms
def test_a_wrong_message_ends_the_batch(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    body = batch([[1]]) + batch([["wrong"]]).replace(b"]", b"}") + batch([[3]])
    transport.protocol.dataReceived(ws_frame(body, opcode))
    assert received(bench) == [[1]]
    assert len(violations(bench)) == 1


@forms
def test_the_wrong_kind_of_websocket_message_is_a_violation(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(batch([[1]]), TEXT if opcode == BINARY else BINARY))
    assert violations(bench) == [
        f"the subprotocol {subprotocol} uses {'text' if opcode == TEXT else 'binary'} messages only"
    ]


@forms
def test_a_batch_as_a_whole_is_bounded_like_a_message(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench(message_bytes_max=512)
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(batch([[number] for number in range(500)]), opcode))
    assert bench.counted["messages_too_large"] == 1
    assert received(bench) == []


@forms
def test_a_large_batch_is_handled_in_portions_before_what_comes_behind_it(
    subprotocol: str, opcode: int, batch: Batch
) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    count = 50_000
    transport.protocol.dataReceived(
        ws_frame(batch([number] for number in range(count)), opcode) + ws_frame(batch([["behind"]]), opcode)
    )
    portion = len(received(bench))
    assert 0 < portion <= 10_000
    assert not transport.reading
    for _ in range(count // portion + 1):
        bench.turn()
    assert received(bench) == [*([number] for number in range(count)), ["behind"]]
    assert transport.reading
    transport.protocol.dataReceived(ws_frame(batch([["later"]]), opcode))
    assert received(bench)[-1] == ["later"]


@forms
def test_the_rest_of_a_batch_waits_while_the_node_does_not_serve(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(batch([number] for number in range(20_000)), opcode))
    portion = len(received(bench))
    bench.serving = False
    bench.turn()
    assert len(received(bench)) == portion
    bench.serving = True
    bench.gate.poll()
    for _ in range(30):
        bench.turn()
    assert received(bench) == [[number] for number in range(20_000)]


@forms
def test_nothing_of_a_batch_is_handled_behind_the_end_of_the_session(
    subprotocol: str, opcode: int, batch: Batch
) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(batch([number] for number in range(20_000)), opcode))
    portion = len(received(bench))
    bench.router.conversations[0].client.finish()
    for _ in range(30):
        bench.turn()
    transport.protocol.dataReceived(ws_frame(struct.pack(">H", 1000), CLOSE))
    assert len(received(bench)) == portion
    assert transport.half_closed


@forms
def test_a_message_that_ends_the_session_ends_the_batch(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    bench.router.on_message = lambda conversation, message: conversation.client.finish()
    transport = bench.open_websocket(subprotocol)
    transport.protocol.dataReceived(ws_frame(batch([[1], [2]]), opcode))
    assert received(bench) == [[1]]


bodies = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"[1]", b"\x1e", b"\x18", b"[1]\x1e", b"\0\0\0\x03[1]", b"\0\0\0\x01"]),
    ),
    max_size=6,
).map(b"".join)


@given(bodies, st.sampled_from([batches.TEXT, batches.AUTOBAHN_TEXT, batches.BINARY]))
def test_any_bytes_are_messages_or_a_violation(body: bytes, batching: batches.Batching) -> None:
    taken = []
    try:
        for message in batching.split(body):
            taken.append(message)
    except ProtocolViolation:
        whole = False
    else:
        whole = True
    written = b"".join(batching.framing(message)[2:] for message in taken)
    assert body == written if whole else body.startswith(written)
    assert taken or not whole


# ---- what leaves


@forms
def test_a_single_message_is_a_batch_of_one(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    bench.router.conversations[0].client.send([1])
    bench.turn()
    assert frames_in(transport.taken()) == [(opcode, batch([[1]]))]


@forms
def test_what_leaves_in_a_turn_is_one_websocket_message(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    client = bench.router.conversations[0].client
    sent = [[number, "x" * number] for number in range(100, 140)]
    for message in sent:
        client.send(message)
    bench.turn()
    assert frames_in(transport.taken()) == [(opcode, batch(sent))]


@forms
def test_a_control_frame_keeps_its_place(subprotocol: str, opcode: int, batch: Batch) -> None:
    bench = Bench()
    transport = bench.open_websocket(subprotocol)
    client = bench.router.conversations[0].client
    client.send([1])
    client.send([2])
    transport.protocol.ping()
    client.send([3])
    client.finish()
    bench.turn()
    assert [frame for frame in frames_in(transport.taken()) if frame[0] != CLOSE] == [
        (opcode, batch([[1], [2]])),
        (PING, b""),
        (opcode, batch([[3]])),
    ]


def test_an_event_is_written_once_for_all_batched_clients_and_once_more_for_the_others() -> None:
    bench = Bench()
    transports = [bench.open_websocket(name) for name in (JSON, JSON, "wamp.2.json")]

    class Session:
        def __init__(self, client: Any) -> None:
            self.client = client

    sessions: list[Any] = [Session(conversation.client) for conversation in bench.router.conversations]
    groups = {session.client.group for session in sessions}
    assert len(groups) == 2
    bench.delivery.deliver(sessions, Event(1, 2, {}, Payload(Family.JSON, 1, b"[1]")))
    bench.delivery.flush()
    first, second, other = [transport.taken() for transport in transports]
    assert first == second == websocket_text(frames_in(other)[0][1] + b"\x1e")


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([1, 5, 124, 125, 126, 300, 40_000, 65_535, 65_536, 70_000]))))
def test_joined_frames_carry_the_same_octets_in_order(items: list[tuple[bool, int]]) -> None:
    frames = [websocket_binary(b"m" * size) if data else b"\x89\x04%04d" % (size % 9999) for data, size in items]
    joined = frames_in(batches.joined(WEBSOCKET_BINARY, frames))
    flat: list[tuple[int, bytes]] = []
    for opcode, body in frames_in(b"".join(frames)):
        if opcode == BINARY and flat and flat[-1][0] == BINARY and len(flat[-1][1] + body) <= 65_536:
            flat[-1] = (BINARY, flat[-1][1] + body)
        else:
            flat.append((opcode, body))
    assert joined == flat


# ---- clients that separate by another octet


def test_a_client_that_ends_its_messages_as_autobahn_does_is_answered_likewise() -> None:
    bench = Bench()
    transport = bench.open_websocket(JSON)
    other = bench.open_websocket(JSON)
    transport.protocol.dataReceived(ws_frame(separated([[1], [2]], b"\x18")))
    assert received(bench) == [[1], [2]]
    for conversation in bench.router.conversations:
        conversation.client.send(["answer"])
        conversation.client.send(["more"])
    bench.turn()
    assert frames_in(transport.taken()) == [(TEXT, separated([["answer"], ["more"]], b"\x18"))]
    assert frames_in(other.taken()) == [(TEXT, separated([["answer"], ["more"]]))]
    transport.protocol.dataReceived(ws_frame(separated([[3]], b"\x18")))
    assert received(bench) == [[1], [2], [3]]


def test_the_client_s_order_of_subprotocols_decides() -> None:
    bench = Bench()
    for offered, chosen in (
        ("wamp.2.cbor.batched, wamp.2.msgpack.batched, wamp.2.msgpack", "wamp.2.msgpack.batched"),
        ("wamp.2.json, wamp.2.json.batched", "wamp.2.json"),
    ):
        transport: RecordingTransport = bench.connect(bench.websocket)
        transport.protocol.dataReceived(websocket_request(offered))
        assert b"\r\nSec-WebSocket-Protocol: %s\r\n" % chosen.encode() in transport.taken()


def test_the_first_octets_of_the_forms() -> None:
    assert batches.TEXT.framing(b"[1]") == bytes((WEBSOCKET_TEXT, 4)) + b"[1]\x1e"
    assert batches.AUTOBAHN_TEXT.framing(b"[1]") == bytes((WEBSOCKET_TEXT, 4)) + b"[1]\x18"
    assert batches.BINARY.framing(b"\x81\x01") == bytes((WEBSOCKET_BINARY, 6)) + b"\0\0\0\2\x81\x01"
