"""Any bytes at all give a message or a `ProtocolViolation`, and what was accepted can be delivered."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire import ENCODE, FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.messages.model import NO_OPTIONS, Event
from wampha.messages.payload import Family, Payload, Untranscodable

WIRE = Wire()
MUTATIONS = 20_000  # per family: half a second to a second

SEEDS: list[Any] = [
    [1, "realm1", {"roles": {"caller": {"features": {"call_timeout": True}}}, "authmethods": ["anonymous"]}],
    [5, "signature", {}],
    [6, {"message": "bye"}, "wamp.close.normal"],
    [8, 68, 5, {"_x": 1}, "a.error", ["x"], {"y": 1}],
    [16, 1, {"acknowledge": True, "exclude": [1, 2]}, "a.topic", [1, 2.5, None, "ü"], {"k": {"l": []}}],
    [16, 70_000, {}, "a.topic", [{"deep": [[[[[]]]]]}]],
    [32, 1, {"match": "prefix"}, "a."],
    [34, 1, 2, {}],
    [48, 1, {"timeout": 1000, "rkey": [1]}, "a.procedure", [2**63, -(2**63)]],
    [49, 1, {"mode": "kill"}],
    [64, 1, {"invoke": "single"}, "a.procedure"],
    [66, 1, 2],
    [70, 1, {"progress": True}, ["x" * 30]],
    [70, 1, {}, ["\0AQI=", "a\0b"], {"\0k": "\0"}],
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            changed[at : at + 1] = bytes((chance.randrange(256),))
        elif kind == 1:
            del changed[at : at + chance.randint(1, 4)]
        elif kind == 2:
            changed[at:at] = chance.randbytes(chance.randint(1, 3))
        elif kind == 3:
            changed[at:at] = changed[at : at + chance.randint(1, 12)]
        else:
            changed[at:at] = chance.choice(
                (b"[", b"{", b"\\u0000", b'"', b"\x9f", b"\xff", b"\xd8\x1c", b"\xdf", b"\xc7")
            )
    return bytes(changed)


def judge(wire: Wire, family: Family, data: bytes) -> bool:
    """Whether the bytes were a message; anything but a message or a violation is an error of ours."""
    try:
        message = wire[family].parse(data)
    except ProtocolViolation as refused:
        assert 0 < len(str(refused)) <= 300
        return False
    deliver(wire, getattr(message, "payload", None), getattr(message, "options", NO_OPTIONS))
    return True


def deliver(wire: Wire, payload: Any, options: Any) -> None:
    if isinstance(payload, Payload):
        for target in FAMILIES:
            try:
                data = wire[target].encode(Event(1, 2, options or NO_OPTIONS, payload))
            except Untranscodable:
                assert target is not payload.family
            else:
                DECODE[target](data)


def _decodes(family: Family) -> Any:
    # As a client reads: by Autobahn's own object serializers.
    return Wire()[family]._serializer.unserialize


DECODE = {family: _decodes(family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_mutated_messages_are_messages_or_violations(family: Family) -> None:
    chance = random.Random(f"mutations of {family.name}")
    wire = Wire()
    accepted = 0
    for _ in range(MUTATIONS):
        accepted += judge(wire, family, mutated(ENCODE[family](chance.choice(SEEDS)), chance))
    assert 0 < accepted < MUTATIONS / 2
    assert wire.counters["messages_malformed"] + wire.counters["messages_too_deep"] == MUTATIONS - accepted


@settings(max_examples=600, deadline=None)
@given(family=st.sampled_from(FAMILIES), data=st.binary(max_size=60))
def test_random_bytes_are_messages_or_violations(family: Family, data: bytes) -> None:
    judge(WIRE, family, data)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([1, 3, 5, 6, 8, 16, 32, 34, 48, 49, 64, 66, 68, 70])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["roles", "match", "features", "authid"]), inner, max_size=3
        )
    ),
    max_leaves=15,
)


@settings(max_examples=400, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    code=st.sampled_from([1, 2, 3, 5, 6, 8, 16, 32, 34, 36, 48, 49, 64, 66, 70]),
    rest=st.lists(JUNK, max_size=6),
)
def test_any_values_in_any_place_are_messages_or_violations(family: Family, code: int, rest: list[Any]) -> None:
    judge(WIRE, family, ENCODE[family]([code, *rest]))
