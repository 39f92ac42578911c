"""Payloads that cross between serializer families, and those that cannot."""

from __future__ import annotations

import datetime
from typing import Any

import cbor2
import msgpack
import pytest

from tests.support.wire import FAMILIES
from wampha.messages.payload import NOTHING, Family, Payload, Transcoder, Untranscodable

JSON, MSGPACK, CBOR = FAMILIES


def of(family: Family, *elements: bytes) -> Payload:
    return Payload(family, len(elements), (b"," if family is JSON else b"").join(elements))


def args_in(family: Family, data: bytes) -> Any:
    return Payload(family, 1, data).args()


@pytest.mark.parametrize("source", FAMILIES)
@pytest.mark.parametrize("target", FAMILIES)
def test_args_and_kwargs_cross(source: Family, target: Family) -> None:
    args = [None, True, -1, 2**63, 1.5, "ü\0", [], {"k": [{}]}, b"", b"\0\xff"]
    kwargs = {"": 1, "kw": b"x"}
    payload = Payload.of(args, kwargs)
    there = Payload(source, 2, payload.data_in(source))
    back = Payload(target, 2, there.data_in(target))
    assert (back.args(), back.kwargs()) == (args, kwargs)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_payload_is_nothing_in_every_family(family: Family) -> None:
    assert NOTHING.data_in(family) == b""
    assert (NOTHING.args(), NOTHING.kwargs(), NOTHING.elements()) == ([], {}, [])


def test_payload_of_the_router_has_kwargs_only_if_given() -> None:
    assert Payload.of([]).count == 1
    assert Payload.of(["a"], {}).count == 1
    assert Payload.of(("a",), {"b": 1}).kwargs() == {"b": 1}


def test_binary_is_nul_and_base64_in_json() -> None:
    assert of(MSGPACK, msgpack.packb([b"\x01\x02"])).data_in(JSON) == b'["\\u0000AQI="]'
    assert of(CBOR, cbor2.dumps([b"\x01\x02"])).data_in(JSON) == b'["\\u0000AQI="]'
    assert msgpack.unpackb(of(JSON, b'["\\u0000AQI="]').data_in(MSGPACK)) == [b"\x01\x02"]
    assert cbor2.loads(of(JSON, b'[{"a":"\\u0000"}]').data_in(CBOR)) == [{"a": b""}]


def test_a_nul_that_does_not_begin_a_json_string_stays_text() -> None:
    assert msgpack.unpackb(of(JSON, b'["a\\u0000b","\\\\u0000",{"\\u0000k":1}]').data_in(MSGPACK)) == [
        "a\0b",
        "\\u0000",
        {"\0k": 1},
    ]


@pytest.mark.parametrize(
    ("payload", "target", "value"),
    [
        (of(CBOR, bytes.fromhex("81 f7")), JSON, [None]),
        (of(CBOR, bytes.fromhex("81 f7")), MSGPACK, [None]),
        (of(CBOR, bytes.fromhex("82 f93e00 fa3fc00000")), MSGPACK, [1.5, 1.5]),
        (of(CBOR, bytes.fromhex("81 c2490100000000000000 00")), JSON, [2**64]),
        (of(JSON, b"[18446744073709551616]"), CBOR, [2**64]),
        (of(JSON, b'[{"a":1,"a":2}]'), MSGPACK, [{"a": 2}]),
        (of(MSGPACK, b"\x91\xca\x3f\xc0\x00\x00"), CBOR, [1.5]),
    ],
)
def test_what_families_write_differently_keeps_its_value(payload: Payload, target: Family, value: Any) -> None:
    assert args_in(target, payload.data_in(target)) == value


def test_nan_and_infinity_cross_between_binary_families() -> None:
    values = args_in(CBOR, of(MSGPACK, msgpack.packb([float("inf"), float("nan")])).data_in(CBOR))
    assert values[0] == float("inf")
    assert values[1] != values[1]


TIMESTAMP = msgpack.packb([datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)], datetime=True)


@pytest.mark.parametrize(
    ("payload", "target", "why"),
    [
        (of(MSGPACK, msgpack.packb([float("nan")])), JSON, "nan"),
        (of(CBOR, cbor2.dumps([float("-inf")])), JSON, "-inf"),
        (of(MSGPACK, msgpack.packb(["\0AQI="])), JSON, "begins with NUL"),
        (of(JSON, b'["\\u0000no base64"]'), MSGPACK, "no base64"),
        (of(JSON, b'["\\u0000AQI"]'), CBOR, "no base64"),
        (of(JSON, b"[1e999]"), CBOR, "out of range"),
        (of(JSON, b"[18446744073709551616]"), MSGPACK, "64 bits"),
        (of(JSON, b"[" + b"9" * 5000 + b"]"), CBOR, "cannot be decoded"),
        (of(CBOR, bytes.fromhex("81 3bffffffffffffffff")), MSGPACK, "64 bits"),
        (of(CBOR, cbor2.dumps([{b"k": 2}])), MSGPACK, "map key of type bytes"),
        (of(CBOR, cbor2.dumps([{b"k": 2}])), JSON, "map key of type bytes"),
        (of(MSGPACK, msgpack.packb([{b"k": 2}])), CBOR, "map key of type bytes"),
        (of(MSGPACK, msgpack.packb([msgpack.ExtType(5, b"x")])), JSON, "Ext"),
        (of(MSGPACK, msgpack.packb([msgpack.ExtType(5, b"x")])), CBOR, "Ext"),
        (of(MSGPACK, TIMESTAMP), JSON, "datetime"),
        (of(MSGPACK, TIMESTAMP), CBOR, "datetime"),
        (of(CBOR, bytes.fromhex("81 c1 01")), MSGPACK, "datetime"),
        (of(CBOR, bytes.fromhex("81 d903e8 01")), JSON, "CBORTag"),
        (of(CBOR, bytes.fromhex("81 d90102 81 61 61")), MSGPACK, "set"),
        (of(CBOR, bytes.fromhex("81 e0")), JSON, "CBORSimpleValue"),
    ],
)
def test_what_a_family_cannot_express_is_named(payload: Payload, target: Family, why: str) -> None:
    with pytest.raises(Untranscodable, match=why):
        payload.data_in(target)


@pytest.mark.parametrize("source", FAMILIES)
@pytest.mark.parametrize("target", FAMILIES)
def test_nesting_beyond_pythons_stack_is_untranscodable(source: Family, target: Family) -> None:
    deep = {JSON: b"[" * 990 + b"]" * 990, MSGPACK: b"\x91" * 989 + b"\x90", CBOR: b"\x81" * 989 + b"\x80"}
    if source is not target:
        with pytest.raises(Untranscodable):
            of(source, deep[source]).data_in(target)


def test_the_same_family_stays_verbatim() -> None:
    odd = b'[ 1e999,"\\u0000?" ]'
    assert of(JSON, odd).data_in(JSON) == odd


def test_a_payload_is_transcoded_once_per_family() -> None:
    transcoder = Transcoder()
    payload, other = of(JSON, b"[1]"), of(JSON, b"[1]")
    first = transcoder.data(payload, CBOR)
    assert transcoder.data(payload, MSGPACK) == b"\x91\x01"
    assert transcoder.data(payload, CBOR) is first
    assert transcoder.data(other, CBOR) == first
    assert transcoder.data(payload, JSON) is payload.data
