"""Whatever arrives: no error of ours, nothing kept without bound, and other clients notice nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rawclients import BINARY, CLOSE, CONTINUATION, PING, PONG, raw_frame, ws_frame
from tests.support.transports import Bench, RecordingTransport, websocket_request

GOOD_WEBSOCKET = [
    ws_frame(b"[1]"),
    ws_frame(b"[1", fin=False),
    ws_frame(b"]", CONTINUATION),
    ws_frame(b"x", PING),
    ws_frame(b"x", PONG),
    ws_frame(b'["%b"]' % (b"y" * 200)),
    ws_frame(b'["%b"]' % (b"y" * 70000)),
    ws_frame(b"[1]", BINARY),
    ws_frame(b"\x03\xe8", CLOSE),
]
GOOD_RAWSOCKET = [raw_frame(b"[1]"), raw_frame(b"x", 1), raw_frame(b"x", 2), raw_frame(b'["%b"]' % (b"y" * 70000))]


def mutated(chance: random.Random, frames: list[bytes]) -> bytes:
    """Some good frames in a row, with a few octets changed, cut out or put in, mostly in headers."""
    stream = bytearray(b"".join(chance.choices(frames, k=chance.randint(1, 6))))
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(min(len(stream), 40)) if stream else 0
        match chance.randrange(3):
            case 0:
                stream[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del stream[at : at + chance.randint(1, 4)]
            case _:
                stream[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(stream)


def feed(bench: Bench, transport: RecordingTransport, stream: bytes, step: int) -> None:
    for at in range(0, len(stream), step):
        if transport.aborted:
            break
        transport.protocol.dataReceived(stream[at : at + step])
        transport.taken()
    bench.clock.advance(0)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", ["websocket", "rawsocket"])
def test_mutated_frames(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench()
    good = GOOD_WEBSOCKET if kind == "websocket" else GOOD_RAWSOCKET
    connect = bench.open_websocket if kind == "websocket" else bench.open_rawsocket
    bystander = connect()
    for _ in range(10):
        transport = connect()
        feed(bench, transport, mutated(chance, good), chance.choice([7, 100, 65536]))
        transport.lose()
    assert not bystander.aborted and not bystander.half_closed
    assert len(bench.service.deadlines) == 1
    assert [conversation.losses for conversation in bench.router.conversations] == [0] + [1] * 10


@pytest.mark.parametrize("seed", range(60))
def test_mutated_opening_requests(seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench()
    for _ in range(10):
        stream = bytearray(
            websocket_request("wamp.2.json", "/ws", "Origin: http://a.example:80", "Sec-WebSocket-Extensions: x; y=z")
        )
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(stream))
            stream[at : at + chance.randint(0, 2)] = chance.choice(
                [b"", b"\r\n", b":", b"\xff", b"[", b",", b" ", b"\0"]
            )
        transport = bench.connect(bench.websocket)
        feed(bench, transport, bytes(stream), 65536)
        transport.lose()
    assert len(bench.service.deadlines) == 0


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_octets_on_either_transport(stream: bytes, step: int) -> None:
    bench = Bench()
    for transport in (bench.connect(bench.websocket), bench.open_websocket(), bench.open_rawsocket()):
        feed(bench, transport, stream, step)
        transport.lose()
    assert len(bench.service.deadlines) == 0
