"""Messages of the router, read by a client that is Autobahn."""

from __future__ import annotations

from typing import Any

import cbor2
import msgpack
import pytest
from autobahn.wamp import message as autobahn_message
from autobahn.wamp import serializer as autobahn_serializer

from tests.support.wire import FAMILIES, Wire
from wampha.messages import model, writing
from wampha.messages.model import NO_OPTIONS
from wampha.messages.payload import NOTHING, Family, Payload, Untranscodable

ARGS, KWARGS = [1, "zwei", None, {"a": [1.5]}, b"\0\xff"], {"kw": [True]}
BOTH = Payload.of(ARGS, KWARGS)

CLIENTS = {
    Family.JSON: autobahn_serializer.JsonSerializer,
    Family.MSGPACK: autobahn_serializer.MsgPackSerializer,
    Family.CBOR: autobahn_serializer.CBORSerializer,
}


def received(family: Family, message: Any) -> Any:
    """The message as an Autobahn client sees it."""
    data = Wire()[family].encode(message)
    [seen] = CLIENTS[family]().unserialize(data, family is not Family.JSON)
    return seen


WELCOME_DETAILS = {"roles": {"broker": {"features": {}}, "dealer": {"features": {}}}, "realm": "realm1", "authid": "x"}

# (what the router sends, Autobahn's class, its attributes)
OUTBOUND: list[tuple[Any, type, dict[str, Any]]] = [
    (model.Welcome(2**53, WELCOME_DETAILS), autobahn_message.Welcome, {"session": 2**53, "realm": "realm1"}),
    (
        model.Abort({"message": "no"}, "wamp.error.x"),
        autobahn_message.Abort,
        {"reason": "wamp.error.x", "message": "no"},
    ),
    (model.Challenge("ticket", {"a": 1}), autobahn_message.Challenge, {"method": "ticket", "extra": {"a": 1}}),
    (model.Goodbye(NO_OPTIONS, "wamp.close.x"), autobahn_message.Goodbye, {"reason": "wamp.close.x"}),
    (
        model.Error(48, 7, NO_OPTIONS, "a.error", BOTH),
        autobahn_message.Error,
        {"request_type": 48, "request": 7, "error": "a.error", "args": ARGS, "kwargs": KWARGS},
    ),
    (model.Error(64, 7, NO_OPTIONS, "a.error"), autobahn_message.Error, {"request_type": 64, "args": None}),
    (model.Published(7, 2**53), autobahn_message.Published, {"request": 7, "publication": 2**53}),
    (model.Subscribed(7, 70_000), autobahn_message.Subscribed, {"request": 7, "subscription": 70_000}),
    (model.Unsubscribed(7), autobahn_message.Unsubscribed, {"request": 7}),
    (
        model.SubscriptionRevoked(0, {"subscription": 7, "reason": "why"}),
        autobahn_message.Unsubscribed,
        {"request": 0, "subscription": 7, "reason": "why"},
    ),
    (
        model.Event(300, 2**40, {"topic": "a.b", "publisher": 5}, BOTH),
        autobahn_message.Event,
        {"subscription": 300, "publication": 2**40, "topic": "a.b", "publisher": 5, "args": ARGS, "kwargs": KWARGS},
    ),
    (model.Event(23, 24, NO_OPTIONS, NOTHING), autobahn_message.Event, {"subscription": 23, "publication": 24}),
    (
        model.Result(255, {"progress": True}, BOTH),
        autobahn_message.Result,
        {"request": 255, "progress": True, "args": ARGS, "kwargs": KWARGS},
    ),
    (model.Registered(256, 65_535), autobahn_message.Registered, {"request": 256, "registration": 65_535}),
    (model.Unregistered(65_536), autobahn_message.Unregistered, {"request": 65_536}),
    (
        model.Revoked(0, {"registration": 7, "reason": "why"}),
        autobahn_message.Unregistered,
        {"request": 0, "registration": 7, "reason": "why"},
    ),
    (
        model.Invocation(2**32 - 1, 2**32, {"procedure": "a.b", "timeout": 9}, BOTH),
        autobahn_message.Invocation,
        {"request": 2**32 - 1, "registration": 2**32, "procedure": "a.b", "args": ARGS, "kwargs": KWARGS},
    ),
    (model.Interrupt(7, {"mode": "kill"}), autobahn_message.Interrupt, {"request": 7, "mode": "kill"}),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("message", "kind", "attributes"), OUTBOUND, ids=[type(item[0]).__name__ for item in OUTBOUND])
def test_autobahn_reads_what_we_write(family: Family, message: Any, kind: type, attributes: dict[str, Any]) -> None:
    seen = received(family, message)
    assert type(seen) is kind
    assert {name: getattr(seen, name) for name in attributes} == attributes


def test_every_class_that_the_router_sends_is_tried() -> None:
    assert {type(message) for message, _, _ in OUTBOUND} == set(writing._CODES)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", FAMILIES)
def test_any_family_reaches_any_family(source: Family, family: Family) -> None:
    payload = Payload(source, 2, BOTH.data_in(source))
    seen = received(family, model.Event(1, 2, NO_OPTIONS, payload))
    assert (seen.args, seen.kwargs) == (ARGS, KWARGS)


def test_the_tail_of_the_same_family_is_untouched() -> None:
    wire = Wire()
    json = Payload(Family.JSON, 2, b'[ 1e999 ],{"a" : 1}')
    assert wire[Family.JSON].encode(model.Event(1, 2, NO_OPTIONS, json)) == b'[36,1,2,{},[ 1e999 ],{"a" : 1}]'
    cbor = Payload(Family.CBOR, 1, bytes.fromhex("9f c11a514b67b0 ff"))
    assert wire[Family.CBOR].encode(model.Event(1, 2, NO_OPTIONS, cbor)).endswith(cbor.data)
    pack = Payload(Family.MSGPACK, 1, b"\x91\xd4\x05x")
    assert wire[Family.MSGPACK].encode(model.Event(1, 2, NO_OPTIONS, pack)).endswith(pack.data)


def test_binary_in_details_follows_the_family() -> None:
    event = model.Event(1, 2, {"_x": [b"\x01"], "_y": {"z": b"\x02"}}, NOTHING)
    wire = Wire()
    assert wire[Family.JSON].encode(event) == b'[36,1,2,{"_x":["\\u0000AQ=="],"_y":{"z":"\\u0000Ag=="}}]'
    assert msgpack.unpackb(wire[Family.MSGPACK].encode(event))[3] == event.details
    assert cbor2.loads(wire[Family.CBOR].encode(event))[3] == event.details


def test_what_the_receivers_family_cannot_express_is_a_named_exception() -> None:
    nan = Payload(Family.MSGPACK, 1, msgpack.packb([float("nan")]))
    with pytest.raises(Untranscodable):
        Wire()[Family.JSON].encode(model.Event(1, 2, NO_OPTIONS, nan))


@pytest.mark.parametrize("family", FAMILIES)
def test_options_that_arrived_can_be_written_in_every_family(family: Family) -> None:
    wire = Wire()
    options = {"_a": b"\x01" if family is not Family.JSON else "\0AQ==", "_b": [1, {"c": None}], "_d": 2**64 - 1}
    details = wire.parse(family, [16, 1, options, "a"]).options
    expected = {"_a": b"\x01", "_b": [1, {"c": None}], "_d": 2**64 - 1}
    assert details == expected
    assert cbor2.loads(wire[Family.CBOR].encode(model.Event(1, 2, details, NOTHING)))[3] == expected
    assert msgpack.unpackb(wire[Family.MSGPACK].encode(model.Event(1, 2, details, NOTHING)))[3] == expected
    assert b'"_a":"\\u0000AQ=="' in wire[Family.JSON].encode(model.Event(1, 2, details, NOTHING))


@pytest.mark.parametrize("family", FAMILIES)
def test_ready_for_autobahns_factories(family: Family) -> None:
    serializer, stock = Wire()[family], CLIENTS[family]
    assert isinstance(serializer, stock)
    assert serializer.SERIALIZER_ID == stock.SERIALIZER_ID
    assert serializer.RAWSOCKET_SERIALIZER_ID == stock.RAWSOCKET_SERIALIZER_ID
    assert (family is not Family.JSON) == serializer.BINARY
    data, is_binary = serializer.serialize(autobahn_message.Goodbye())
    assert is_binary == serializer.BINARY
    assert serializer.parse(data).reason == "wamp.close.normal"
