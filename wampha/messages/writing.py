"""Messages of the router as bytes: a new header, and the payload as it came in.

Every outbound class of `model` lists its fields in the order of the wire, so one table of message types describes them
all. The header of a message with payload is written as a list of its own; then its end, or its length, is set right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

import cbor2
import msgspec

from wampha.messages import model
from wampha.messages.payload import NOTHING, Payload, Transcoder
from wampha.messages.values import CBOR, JSON, MSGPACK, text_from_binary

_CODES: Final[Mapping[type, int]] = {
    model.Welcome: 2,
    model.Abort: 3,
    model.Challenge: 4,
    model.Goodbye: 6,
    model.Error: 8,
    model.Published: 17,
    model.Subscribed: 33,
    model.Unsubscribed: 35,
    model.SubscriptionRevoked: 35,
    model.Event: 36,
    model.Result: 50,
    model.Registered: 65,
    model.Unregistered: 67,
    model.Revoked: 67,
    model.Invocation: 68,
    model.Interrupt: 69,
}


class _Layout(NamedTuple):
    code: int
    fields: Callable[[Any], tuple[Any, ...]]  # the header's fields, in order
    length: int  # elements of the header, the code included
    details: str  # the name of the field that holds a map, or empty
    with_payload: bool


def _layout(kind: type, code: int) -> _Layout:
    fields: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]  # a msgspec.Struct
    names = [field for field in fields if field != "payload"]
    details = [field for field in names if field in ("details", "options", "extra")]
    values = attrgetter(*names) if len(names) > 1 else lambda message: (getattr(message, names[0]),)
    return _Layout(code, values, 1 + len(names), details[0] if details else "", "payload" in fields)


_LAYOUTS: Final = {kind: _layout(kind, code) for kind, code in _CODES.items()}


class JsonWriter:
    """Writes JSON: the header without its last bracket, a comma, the payload, the bracket.

    `write(message)` of all three writers takes an outbound class of `model` (any other is a KeyError), gives its bytes,
    unframed, and raises `Untranscodable` if the payload comes from a family whose values this one cannot express.
    """

    def __init__(self, transcoder: Transcoder) -> None:
        self._transcoder: Final = transcoder
        self._encode: Final = msgspec.json.Encoder().encode

    def write(self, message: Any) -> bytes:
        """The message as JSON."""
        code, fields, _, details, with_payload = _LAYOUTS[type(message)]
        values = (code, *fields(message))
        if details and not _PLAIN_TEXT.issuperset(map(type, getattr(message, details).values())):
            values = tuple(map(_text_for_binary, values))
        if not with_payload or not message.payload.count:
            return self._encode(values)
        payload = message.payload
        data = payload.data if payload.family is JSON else self._transcoder.data(payload, JSON)
        return b"%b,%b]" % (self._encode(values)[:-1], data)


class MsgpackWriter:
    """Writes MessagePack: the first byte, 0x90 plus the number of elements, then header and payload."""

    def __init__(self, transcoder: Transcoder) -> None:
        self._transcoder: Final = transcoder
        self._encode: Final = msgspec.msgpack.Encoder().encode

    def write(self, message: Any) -> bytes:
        """The message as MessagePack."""
        code, fields, length, _, with_payload = _LAYOUTS[type(message)]
        header = self._encode((code, *fields(message)))
        if not with_payload or not message.payload.count:
            return header
        payload = message.payload
        data = payload.data if payload.family is MSGPACK else self._transcoder.data(payload, MSGPACK)
        return b"%c%b%b" % (0x90 + length + payload.count, header[1:], data)


class CborWriter:
    """Writes CBOR: the first byte is 0x80 plus the number of elements; ids are written here, faster than by cbor2."""

    def __init__(self, transcoder: Transcoder) -> None:
        self._transcoder: Final = transcoder

    def write(self, message: Any) -> bytes:
        """The message as CBOR."""
        code, fields, length, _, with_payload = _LAYOUTS[type(message)]
        payload: Payload = message.payload if with_payload else NOTHING
        parts = [_SMALL[0x80 + length + payload.count][1:], _SMALL[code]]
        for field in fields(message):
            if type(field) is int:
                parts.append(_unsigned(field))
            else:
                parts.append(cbor2.dumps(field) if field else _EMPTY[type(field)])
        parts.append(payload.data if payload.family is CBOR else self._transcoder.data(payload, CBOR))
        return b"".join(parts)


Writer = JsonWriter | MsgpackWriter | CborWriter


_PLAIN_TEXT: Final = frozenset((str, int, bool, float, type(None)))  # JSON writes them as they are
_EMPTY: Final[Mapping[type, bytes]] = {dict: b"\xa0", str: b"\x60"}
_SMALL: Final = [cbor2.dumps(number) for number in range(256)]
_two_bytes: Final = struct.Struct(">BH").pack
_four_bytes: Final = struct.Struct(">BI").pack
_eight_bytes: Final = struct.Struct(">BQ").pack


def _unsigned(number: int) -> bytes:
    if number < 0x100:
        return _SMALL[number]
    if number < 0x10000:
        return _two_bytes(0x19, number)
    if number < 0x1_0000_0000:
        return _four_bytes(0x1A, number)
    return _eight_bytes(0x1B, number)


def _text_for_binary(value: Any) -> Any:
    # Details hold values that all families share (`options.py`), or the router's own; only binary needs a rewrite.
    kind = type(value)
    if kind is bytes:
        return text_from_binary(value)
    if kind is dict:
        return {key: _text_for_binary(item) for key, item in value.items()}
    if kind is list:
        return [_text_for_binary(item) for item in value]
    return value
