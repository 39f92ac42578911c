"""Short messages that would take long to read: keys that collide, and numbers that are expensive to make."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import cbor2
import msgpack
import pytest

from tests.support.wire import FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.messages.payload import Family

LONG = 2**4096
ODD_KEYS = [{1: 0}, {(1, 2): 0}, {1.5: 0}, {2**70: 0}, {None: 0}, {True: 0}]


def refused(family: Family, data: bytes) -> str:
    """The sentence for a message that is malformed."""
    wire = Wire()
    with pytest.raises(ProtocolViolation) as violation:
        wire[family].parse(data)
    assert wire.counters["messages_malformed"] == 1
    return str(violation.value)


@pytest.mark.parametrize("family", [Family.MSGPACK, Family.CBOR])
@pytest.mark.parametrize("keys", ODD_KEYS, ids=str)
@pytest.mark.parametrize(
    "frame",
    [
        lambda odd: [1, "realm1", {"roles": {"caller": {}}, "authextra": odd}],
        lambda odd: [5, "signature", odd],
        lambda odd: [16, 1, {"_x": odd}, "a.topic"],
        lambda odd: [16, 1, {}, "a.topic", [odd]],
        lambda odd: [16, 1, {}, "a.topic", [], {"k": odd}],
        lambda odd: [70, 1, {}, [[odd]]],
    ],
    ids=["hello", "authenticate", "options", "args", "kwargs", "yield"],
)
def test_maps_have_no_keys_whose_hashes_a_stranger_can_choose(family: Family, keys: Any, frame: Any) -> None:
    if family is Family.MSGPACK and 2**70 in keys:
        return  # MessagePack has no such integers
    data = (cbor2.dumps if family is Family.CBOR else msgpack.packb)(frame(keys))
    assert "key" in refused(family, data)


@pytest.mark.parametrize("family", [Family.MSGPACK, Family.CBOR])
def test_binary_keys_pass_since_their_hashes_are_secret(family: Family) -> None:
    payload = Wire().parse(family, [16, 1, {}, "a.topic", [{b"k": 1}]]).payload
    assert payload.args() == [{b"k": 1}]


@pytest.mark.parametrize(
    "number", [Decimal(LONG), Fraction(LONG, 3), Fraction(3, LONG), cbor2.CBORTag(5, [1, LONG])], ids=str
)
def test_fractions_of_long_integers_are_refused(number: Any) -> None:
    assert "error decoding" in refused(Family.CBOR, cbor2.dumps([16, 1, {}, "a.topic", [number]]))


@pytest.mark.parametrize("value", [1, "1", [1], [1, "2"], [1, [2]], [1, 2, 3], [1, 1.5], [10**30, 1]], ids=str)
@pytest.mark.parametrize("tag", [4, 5])
def test_what_is_no_fraction_is_refused(value: Any, tag: int) -> None:
    assert "error decoding" in refused(Family.CBOR, cbor2.dumps([16, 1, {}, "a.topic", [cbor2.CBORTag(tag, value)]]))


@pytest.mark.parametrize(
    "number", [Decimal("1.5"), Decimal(LONG - 1), Fraction(1, 3), cbor2.CBORTag(5, [-1, 3]), LONG**3]
)
def test_ordinary_numbers_pass(number: Any) -> None:
    read = cbor2.loads(cbor2.dumps(number))
    assert Wire().parse(Family.CBOR, [16, 1, {}, "a.topic", [number]]).payload.args() == [read]


@pytest.mark.parametrize("family", FAMILIES)
def test_many_string_keys_pass(family: Family) -> None:
    keys = {f"k{number}": number for number in range(10_000)}
    assert Wire().parse(family, [16, 1, {}, "a.topic", [keys]]).payload.args() == [keys]
