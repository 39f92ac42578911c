"""Model test of payloads: whatever a client sends, clients of every family get the same values."""

from __future__ import annotations

from typing import Any

from autobahn.wamp import serializer as autobahn_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire import FAMILIES, Wire
from wampha.messages.model import NO_OPTIONS, Event, Invocation, Result
from wampha.messages.payload import Family

# Text that begins with NUL is binary in JSON: it cannot be sent there, and refuses to be delivered there.
TEXT = st.text(max_size=8).filter(lambda text: not text.startswith("\0"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
ANY_FAMILY = st.sampled_from(FAMILIES)
KWARGS = st.dictionaries(TEXT, VALUES, max_size=4)

# Clients are Autobahn's: they encode and decode as the field does, binary in JSON included.
CLIENTS = {
    Family.JSON: autobahn_serializer.JsonObjectSerializer(),
    Family.MSGPACK: autobahn_serializer.MsgPackObjectSerializer(),
    Family.CBOR: autobahn_serializer.CBORObjectSerializer(),
}
WIRE = Wire()


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type: 1, 1.0 and True are three values."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@settings(max_examples=300, deadline=None)
@given(source=ANY_FAMILY, args=st.lists(VALUES, max_size=4), kwargs=KWARGS)
def test_every_family_gets_what_was_published(source: Family, args: list[Any], kwargs: dict[str, Any]) -> None:
    sent = [args, kwargs] if kwargs else [args]
    payload = WIRE[source].parse(CLIENTS[source].serialize([16, 1, {}, "a.topic", *sent])).payload
    assert same([payload.args(), payload.kwargs()], [args, kwargs])
    for target in FAMILIES:
        [seen] = CLIENTS[target].unserialize(WIRE[target].encode(Event(1, 2, NO_OPTIONS, payload)))
        assert same(seen, [36, 1, 2, {}, *sent])


@settings(max_examples=300, deadline=None)
@given(first=ANY_FAMILY, second=ANY_FAMILY, args=st.lists(VALUES, max_size=4))
def test_a_value_survives_a_call_there_and_back(first: Family, second: Family, args: list[Any]) -> None:
    call = WIRE[first].parse(CLIENTS[first].serialize([48, 1, {}, "a.echo", args]))
    [invocation] = CLIENTS[second].unserialize(WIRE[second].encode(Invocation(5, 6, NO_OPTIONS, call.payload)))
    answer = WIRE[second].parse(CLIENTS[second].serialize([70, 5, {}, invocation[4]]))
    [result] = CLIENTS[first].unserialize(WIRE[first].encode(Result(1, NO_OPTIONS, answer.payload)))
    assert same(result[3], args)


@settings(max_examples=300, deadline=None)
@given(
    family=ANY_FAMILY,
    args=st.lists(VALUES, max_size=4),
    options=st.dictionaries(TEXT.map("_{}".format), VALUES, max_size=3),
)
def test_the_same_family_gets_the_same_bytes(family: Family, args: list[Any], options: dict[str, Any]) -> None:
    data = CLIENTS[family].serialize([16, 1, options, "a.topic", args])
    payload = WIRE[family].parse(data).payload
    end = b"]" if family is Family.JSON else b""
    assert data.endswith(payload.data + end)
    assert WIRE[family].encode(Event(1, 2, NO_OPTIONS, payload)).endswith(payload.data + end)
