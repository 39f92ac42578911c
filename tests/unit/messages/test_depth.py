"""The nesting bound: exact, the same in all families, and cheap to know."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire import FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.messages.depth import json_exceeds, msgpack_may_exceed, tree_exceeds
from wampha.messages.payload import Family

NASTY_TEXT = st.text(st.sampled_from('[]{}"\\a,:\n'), max_size=6)
TREES = st.recursive(
    st.none() | NASTY_TEXT | st.integers(-5, 300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY_TEXT, inner, max_size=3),
    max_leaves=12,
)


def naive_depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(naive_depth, value), default=0) if isinstance(value, list) else 0


@settings(max_examples=300)
@given(TREES, st.integers(0, 6), st.booleans())
def test_json_depth_is_that_of_the_naive_recursion(tree: Any, depth_max: int, spaced: bool) -> None:
    data = json.dumps(tree, indent=1 if spaced else None, ensure_ascii=spaced).encode()
    assert json_exceeds(data, depth_max) == (naive_depth(tree) > depth_max)


@settings(max_examples=300)
@given(TREES, st.integers(0, 6))
def test_tree_depth_is_that_of_the_naive_recursion(tree: Any, depth_max: int) -> None:
    assert tree_exceeds(tree, depth_max) == (naive_depth(tree) > depth_max)


@settings(max_examples=300)
@given(TREES, st.integers(0, 6))
def test_messagepack_that_is_deep_always_may_be_deep(tree: Any, depth_max: int) -> None:
    if naive_depth(tree) > depth_max:
        assert msgpack_may_exceed(msgspec.msgpack.encode(tree), depth_max)


@pytest.mark.parametrize("opening", ["91", "dc0001", "dd00000001", "81a161", "de0001a161", "df00000001a161"])
def test_every_way_to_open_a_messagepack_container_counts(opening: str) -> None:
    inner = bytes.fromhex(opening)
    args = b"\x91" + inner * 63
    Wire()[Family.MSGPACK].parse(publish(Family.MSGPACK, args=args + b"\x00"))
    with pytest.raises(ProtocolViolation, match="deeper than 64"):
        Wire()[Family.MSGPACK].parse(publish(Family.MSGPACK, args=args + inner + b"\x00"))


def test_a_deep_tree_is_judged_without_recursion() -> None:
    tree: Any = []
    for _ in range(100_000):
        tree = [tree]
    assert tree_exceeds(tree, 64)
    assert not tree_exceeds(tree, 100_001)
    while tree:  # taking it apart from outside; freeing it at once would recurse
        tree = tree[0]


OPENING = {Family.JSON: b"[", Family.MSGPACK: b"\x91", Family.CBOR: b"\x81"}
MAP_OPENING = {Family.JSON: b'{"a":', Family.MSGPACK: b"\x81\xa1a", Family.CBOR: b"\xa1\x61a"}
INNERMOST = {Family.JSON: b"0", Family.MSGPACK: b"\x00", Family.CBOR: b"\x00"}


def nested(family: Family, depth: int, maps: bool) -> bytes:
    opening = MAP_OPENING if maps else OPENING
    closing = (b"}" if maps else b"]") if family is Family.JSON else b""
    return opening[family] * depth + INNERMOST[family] + closing * depth


def publish(family: Family, *, args: bytes = b"", kwargs: bytes = b"", options: bytes = b"") -> bytes:
    elements = [item for item in (args, kwargs) if item]
    if family is Family.JSON:
        return b"[" + b",".join([b"16", b"1", options or b"{}", b'"a"', *elements]) + b"]"
    head, empty, text = (0x90, b"\x80", b"\xa1a") if family is Family.MSGPACK else (0x80, b"\xa0", b"\x61a")
    return bytes((head + 4 + len(elements), 16, 1)) + (options or empty) + text + b"".join(elements)


@pytest.mark.parametrize("depth_max", [4, 64, 256])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_bound_is_exact_for_args_kwargs_and_options(family: Family, depth_max: int) -> None:
    empty_list = {Family.JSON: b"[]", Family.MSGPACK: b"\x90", Family.CBOR: b"\x80"}[family]
    wire = Wire(depth_max)
    for depth, refused in ((depth_max, False), (depth_max + 1, True)):
        for data in (
            publish(family, args=nested(family, depth, maps=False)),
            publish(family, args=empty_list, kwargs=nested(family, depth, maps=True)),
            publish(family, options=nested(family, depth, maps=True)),
        ):
            if refused:
                with pytest.raises(ProtocolViolation, match=f"deeper than {depth_max}"):
                    wire[family].parse(data)
            else:
                wire[family].parse(data)


@pytest.mark.parametrize("depth", [1000, 5000, 300_000])
@pytest.mark.parametrize("family", FAMILIES)
def test_absurd_nesting_is_refused_and_counted(family: Family, depth: int) -> None:
    wire = Wire()
    for data in (
        publish(family, args=nested(family, depth, maps=False)),
        publish(family, options=nested(family, depth, maps=True)),
        nested(family, depth, maps=False),
    ):
        with pytest.raises(ProtocolViolation, match="deeper than 64"):
            wire[family].parse(data)
    assert wire.counters["messages_too_deep"] == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_broad_payloads_are_not_deep(family: Family) -> None:
    args = [[{"a": [i]}, "[[[{{{", '\\"]'] for i in range(500)]
    assert Wire().parse(family, [16, 1, {}, "a", args]).payload.args() == args


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bound_holds_for_what_opens_a_session(family: Family) -> None:
    for depth, refused in ((60, False), (70, True)):
        extra: Any = {}
        for _ in range(depth):
            extra = {"a": extra}
        hello = [1, "realm1", {"roles": {"caller": {}}, "authextra": extra}]
        if refused:
            with pytest.raises(ProtocolViolation, match="deeper than 64"):
                Wire().parse(family, hello)
        else:
            assert Wire().parse(family, hello).authextra == extra


def test_cbor_tags_count_as_nesting() -> None:
    args = b"\x81" + b"\xd9\x03\xe8" * 64 + b"\x00"
    with pytest.raises(ProtocolViolation, match="deeper than 64"):
        Wire()[Family.CBOR].parse(publish(Family.CBOR, args=args))
