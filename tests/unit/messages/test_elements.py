"""The bound of elements: exact, the same in all families, and judged before anything is built."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import cbor2
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire import FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.limits import Limits
from wampha.messages.elements import exceeds
from wampha.messages.payload import Family

TEXTS = st.text(st.sampled_from('[]{}"\\a,:\nü'), max_size=40)
SCALARS = (
    st.none() | TEXTS | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False, width=32)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, min_size=1, max_size=20) | st.dictionaries(TEXTS, inner, min_size=1, max_size=20),
    max_leaves=30,
)
BINARY = st.binary(max_size=300)
EXTENSIONS = st.builds(msgpack.ExtType, st.integers(0, 127), BINARY)


def elements_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + elements_of(item) for item in value.values())
    return 1 + sum(map(elements_of, value)) if isinstance(value, list) else 1


def is_exact(family: Family, data: bytes, elements: int) -> bool:
    return not exceeds(family, data, elements) and exceeds(family, data, elements - 1)


@settings(max_examples=150)
@given(TREES, st.booleans())
def test_the_count_of_json_is_that_of_the_naive_recursion(tree: Any, spaced: bool) -> None:
    data = json.dumps(tree, indent=1 if spaced else None, ensure_ascii=spaced).encode()
    assert is_exact(Family.JSON, data, elements_of(tree))


@settings(max_examples=150)
@given(st.lists(TREES | BINARY | EXTENSIONS, max_size=20), st.booleans())
def test_the_count_of_messagepack_is_that_of_the_naive_recursion(tree: Any, single: bool) -> None:
    assert is_exact(Family.MSGPACK, msgpack.packb(tree, use_single_float=single), elements_of(tree))


@settings(max_examples=150)
@given(st.lists(TREES | BINARY, max_size=20), st.booleans())
def test_the_count_of_cbor_is_that_of_the_naive_recursion(tree: Any, canonical: bool) -> None:
    assert is_exact(Family.CBOR, cbor2.dumps(tree, canonical=canonical), elements_of(tree))


@pytest.mark.parametrize("length", [31, 32, 255, 256, 65535, 65536])
def test_content_of_any_length_is_one_element(length: int) -> None:
    extension = msgpack.ExtType(1, bytes(length))
    assert is_exact(Family.MSGPACK, msgpack.packb(["a" * length, b"\x80" * length, extension]), 4)
    assert is_exact(Family.MSGPACK, msgpack.packb([0] * length), length + 1)
    assert is_exact(Family.MSGPACK, msgpack.packb(dict.fromkeys(range(length))), 2 * length + 1)
    assert is_exact(Family.CBOR, cbor2.dumps(["a" * length, b"\x80" * length]), 3)
    assert is_exact(Family.CBOR, cbor2.dumps([0] * length), length + 1)


@given(st.sampled_from(FAMILIES), st.binary(max_size=60), st.integers(1, 30))
def test_any_bytes_are_counted_without_an_error(family: Family, data: bytes, elements_max: int) -> None:
    exceeds(family, data, elements_max)


PUBLISH_HEAD = {
    Family.JSON: b'[16,1,{},"a",[',
    Family.MSGPACK: b"\x95\x10\x01\x80\xa1a\xdd\0\x80\0\0",
    Family.CBOR: b"\x85\x10\x01\xa0\x61a\x9a\0\x80\0\0",
}
EMPTY_MAPS = {
    Family.JSON: b"{}," * (1 << 22) + b"0]]",
    Family.MSGPACK: b"\x80" * (1 << 23),
    Family.CBOR: b"\xa0" * (1 << 23),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_millions_of_empty_maps_are_refused_and_counted_before_they_take_memory(family: Family) -> None:
    wire = Wire()
    data = PUBLISH_HEAD[family] + EMPTY_MAPS[family]
    tracemalloc.start()
    with pytest.raises(ProtocolViolation, match="more than 1000000 lists, maps, keys and scalars"):
        wire[family].parse(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(data)
    assert wire.counters["messages_too_many_elements"] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bound_is_exact_for_args_and_for_what_opens_a_session(family: Family) -> None:
    wire = Wire(limits=Limits(message_elements_max=1000))
    roles = {"caller": {"features": {"call_timeout": True}}}
    for refused, count in ((False, 0), (True, 1)):
        publish = [16, 1, {"acknowledge": True}, "a", [300] * (992 + count)]
        hello = [1, "realm1", {"roles": roles, "authextra": {"a": [300] * (984 + count)}}]
        for message in (publish, hello):
            if refused:
                with pytest.raises(ProtocolViolation, match="more than 1000 "):
                    wire.parse(family, message)
            else:
                assert elements_of(message) == 1000
                wire.parse(family, message)
    assert wire.counters["messages_too_many_elements"] == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_long_texts_are_few_elements(family: Family) -> None:
    args = ['[{,:"\\ü' * 300_000]
    assert Wire().parse(family, [16, 1, {}, "a", args]).payload.args() == args
