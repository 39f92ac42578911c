"""Clients at a whole listener's worth of parts, with the real core behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.fuzz.chunks import chunks
from tests.support.core import ALL, Node
from tests.support.rawclients import raw_frame
from tests.support.transports import Bench, RecordingTransport, websocket_request
from tests.support.wire import ENCODE, FAMILIES, Wire
from tests.unit.messages.test_fuzz import SEEDS
from wampha.messages.payload import Family
from wampha.routing.permissions import Permissions

_INPUTS_MAX: Final = 500  # of one listener: its log of changes grows
_TURNS: Final = 5  # of the reactor, behind what arrives

HELLO: Final[list[Any]] = [
    1,
    "realm1",
    {"roles": {name: {} for name in ("caller", "callee", "publisher", "subscriber")}},
]
CONVERSATION: Final[list[list[Any]]] = [
    HELLO,
    [32, 1, {}, "a.topic"],
    [32, 2, {"match": "wildcard", "get_retained": True}, "a..x"],
    [64, 3, {"invoke": "roundrobin"}, "a.procedure"],
    [16, 4, {"exclude_me": False, "acknowledge": True, "retain": True}, "a.topic", [1], {"k": [2]}],
    [48, 5, {"receive_progress": True}, "a.procedure", ["x"]],
    [48, 6, {}, "wamp.session.list"],
    [70, 1, {}, [1]],
    [49, 5, {"mode": "kill"}],
    [34, 7, 2],
    [6, {}, "wamp.close.normal"],
]


class Listener:
    """One listener and the core behind it; a new one now and then."""

    def __init__(self) -> None:
        self._used = _INPUTS_MAX
        self._bench: Bench
        self._node: Node

    def meets(self, opened: Callable[[Bench], RecordingTransport], data: bytes) -> bool:
        """Let a client say this and go; whether anything came of it."""
        if self._used == _INPUTS_MAX:
            self._used = 0
            self._node = Node(roles={"anonymous": Permissions((ALL,))})
            wire = Wire()
            self._bench = Bench(self._node.router, [wire[family] for family in FAMILIES])  # type: ignore[arg-type]
        self._used += 1
        transport = opened(self._bench)
        transport.taken()
        for chunk in chunks(data):
            if transport.aborted or transport.disconnecting:
                break
            transport.protocol.dataReceived(chunk)
        for _ in range(_TURNS):
            self._bench.turn()
        answered = bool(transport.writes)
        transport.lose()
        self._bench.turn()
        assert self._node.router.sessions() == 0, "a session outlives its connection"
        assert not self._node.router.waiting()["sessions"]
        return answered


_LISTENER: Final = Listener()


def rawsocket(data: bytes) -> bool:
    """A RawSocket client, from its first octet."""
    return _LISTENER.meets(lambda bench: bench.connect(bench.rawsocket), data)


def websocket_opening(data: bytes) -> bool:
    """A client that says this in the place of the HTTP request."""
    return _LISTENER.meets(lambda bench: bench.connect(bench.websocket), data)


def websocket(data: bytes) -> bool:
    """A client with an open WebSocket; the second octet chooses the subprotocol."""
    subprotocols = ("wamp.2.json", "wamp.2.msgpack", "wamp.2.cbor", "wamp.2.json.batched", "wamp.2.msgpack.batched")
    chosen = subprotocols[data[1] % len(subprotocols)] if len(data) > 1 else subprotocols[0]
    return _LISTENER.meets(lambda bench: bench.open_websocket(chosen), data[:1] + data[2:])


# ---- seeds


def rawsocket_seeds() -> list[bytes]:
    seeds = [b"\x00\x7f\xf1\x00\x00", b"\x01\x7f\x00\x00\x00", b"\x00\x7f\xf9\x00\x00", b"\x00\x7f\xf1\x00\x01"]
    for family, serializer in ((Family.JSON, 0xF1), (Family.MSGPACK, 0xF2), (Family.CBOR, 0xF3)):
        opening = bytes((0x7F, serializer, 0, 0))
        spoken = [raw_frame(ENCODE[family](message)) for message in CONVERSATION]
        seeds += [bytes((size,)) + opening + b"".join(spoken) for size in (0, 7)]
        seeds += [b"\x00" + opening + spoken[0] + raw_frame(ENCODE[family](message)) for message in SEEDS[1:]]
        seeds.append(b"\x00" + opening + spoken[0] + raw_frame(b"ping", 1) + raw_frame(b"pong", 2))
    return seeds


def frame(opcode: int, body: bytes, *, final: bool = True) -> bytes:
    """A WebSocket frame of a client, under a mask that changes nothing: mutations stay readable."""
    length = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
    return bytes((opcode | (0x80 if final else 0),)) + length + bytes(4) + body


def websocket_seeds(*, opening: bool) -> list[bytes]:
    if opening:
        requests = [websocket_request(name) for name in ("wamp.2.json", "wamp.2.cbor.batched", "soap", None)]
        requests += [
            websocket_request("wamp.2.json", "/", "Origin: https://example.org"),
            websocket_request("wamp.2.json", "/ws?a=b", "Sec-WebSocket-Extensions: permessage-deflate"),
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST /ws HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            websocket_request() + frame(1, ENCODE[Family.JSON](HELLO)),
        ]
        return [bytes((size,)) + request for request in requests for size in (0, 50)]
    seeds = []
    for number, (family, opcode) in enumerate(((Family.JSON, 1), (Family.MSGPACK, 2), (Family.CBOR, 2))):
        spoken = [frame(opcode, ENCODE[family](message)) for message in CONVERSATION]
        seeds += [bytes((size, number)) + b"".join(spoken) for size in (0, 9)]
        first = ENCODE[family](HELLO)
        parts = frame(opcode, first[:5], final=False) + frame(9, b"ping") + frame(0, first[5:])
        seeds.append(bytes((0, number)) + parts + frame(10, b"") + frame(8, b"\x03\xe8bye"))
    batch = b"".join(ENCODE[Family.JSON](message) + b"\x1e" for message in CONVERSATION[:6])
    seeds.append(b"\x00\x03" + frame(1, batch))
    packed = [ENCODE[Family.MSGPACK](message) for message in CONVERSATION[:6]]
    seeds.append(b"\x00\x04" + frame(2, b"".join(len(each).to_bytes(4, "big") + each for each in packed)))
    return seeds
