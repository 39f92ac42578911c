"""Messages of clients over CBOR: the header is scanned byte by byte, the payload is the rest of the buffer.

The scan reads what encoders write for a message: lists, maps and strings of known length, no tags (RFC 8949, section
3). Anything else raises, and the message is read as a whole (`serializers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import cbor2

from wampha.messages import model
from wampha.messages.grammar import ID_MAX, is_map
from wampha.messages.options import SEALED, OptionsReader, is_transparent
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.reading import INVOCATION, Unreadable
from wampha.messages.values import CBOR, CBOR_RULES, load_cbor

_UNSIGNED, _BYTES, _TEXT, _LIST, _MAP, _TAG = 0, 2, 3, 4, 5, 6  # major types
_EMPTY_MAP: Final = 0xA0
_ONE_BYTE_FOLLOWS: Final = 24
_ERROR: Final = 8

# A double that no other encoding and no shorter float can stand for, nor overlap with itself: if its bytes are not in a
# payload, reading it behind the payload proves that the payload ended there. Half the time of counting bytes.
_END: Final = b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"
_END_VALUE: Final = 1.1


class CborReader:
    """Reads CBOR. Payloads are decoded once and dropped: receivers must be able to decode them."""

    def __init__(self, options: Mapping[str, OptionsReader], depth_max: int) -> None:
        self._options: Final = options
        self._depth_max: Final = depth_max
        # message type -> (elements of the header, what reads the rest behind the request id)
        self._rest: Final[Mapping[int, tuple[int, Callable[[bytes, int, int, int], Any]]]] = {
            _ERROR: (5, self._error),
            16: (4, self._publish),
            32: (4, self._subscribe),
            34: (3, self._unsubscribe),
            48: (4, self._call),
            49: (3, self._cancel),
            64: (4, self._register),
            66: (3, self._unregister),
            70: (3, self._yield),
        }

    def read(self, data: bytes) -> model.Received:
        """The message in `data`; raises `ProtocolViolation`, or any other exception if it is not a usual one."""
        code, at = (data[1], 2) if data[1] != _ONE_BYTE_FOLLOWS else (data[2], 3)
        elements, rest = self._rest[code]
        if code == _ERROR:
            answered, at = _argument(data, at, _UNSIGNED)
            if answered != INVOCATION:
                raise Unreadable
        request, at = _id(data, at)
        message: model.Received = rest(data, at, request, data[0] - 0x80 - elements)
        return message

    def _publish(self, data: bytes, at: int, request: int, count: int) -> model.Publish:
        options, at = self._read_options("PUBLISH", data, at)
        topic, at = _text(data, at)
        return model.Publish(request, options, topic, self._payload(data, at, count, options))

    def _call(self, data: bytes, at: int, request: int, count: int) -> model.Call:
        options, at = self._read_options("CALL", data, at)
        procedure, at = _text(data, at)
        return model.Call(request, options, procedure, self._payload(data, at, count, options))

    def _yield(self, data: bytes, at: int, request: int, count: int) -> model.Yield:
        options, at = self._read_options("YIELD", data, at)
        return model.Yield(request, options, self._payload(data, at, count, options))

    def _error(self, data: bytes, at: int, request: int, count: int) -> model.Error:
        details, at = self._read_options("ERROR", data, at)
        error, at = _text(data, at)
        return model.Error(INVOCATION, request, details, error, self._payload(data, at, count, details))

    def _subscribe(self, data: bytes, at: int, request: int, count: int) -> model.Subscribe:
        options, at = self._read_options("SUBSCRIBE", data, at)
        topic, at = _text(data, at)
        _require_end(data, at, count)
        return model.Subscribe(request, options, topic)

    def _register(self, data: bytes, at: int, request: int, count: int) -> model.Register:
        options, at = self._read_options("REGISTER", data, at)
        procedure, at = _text(data, at)
        _require_end(data, at, count)
        return model.Register(request, options, procedure)

    def _cancel(self, data: bytes, at: int, request: int, count: int) -> model.Cancel:
        options, at = self._read_options("CANCEL", data, at)
        _require_end(data, at, count)
        return model.Cancel(request, options)

    def _unsubscribe(self, data: bytes, at: int, request: int, count: int) -> model.Unsubscribe:
        subscription, at = self._last_id("UNSUBSCRIBE", data, at, count)
        return model.Unsubscribe(request, subscription)

    def _unregister(self, data: bytes, at: int, request: int, count: int) -> model.Unregister:
        registration, at = self._last_id("UNREGISTER", data, at, count)
        return model.Unregister(request, registration)

    def _last_id(self, message: str, data: bytes, at: int, count: int) -> tuple[int, int]:
        value, at = _id(data, at)
        if count == 1:  # the advanced profile lets an options map follow
            _, at = self._read_options(message, data, at)
            count = 0
        _require_end(data, at, count)
        return value, at

    def _read_options(self, message: str, data: bytes, at: int) -> tuple[model.Options, int]:
        if data[at] == _EMPTY_MAP:
            return model.NO_OPTIONS, at + 1
        reader = self._options[message]
        end = _skip(data, at, at + reader.bytes_max)
        if end > at + reader.bytes_max:
            reader.refuse_length()
        return reader.read(data[at:end]), end

    def _payload(self, data: bytes, at: int, count: int, options: model.Options) -> Payload:
        if count == 0:
            _require_end(data, at, count)
            return NOTHING
        elements = data[at:]
        decoded = self._decode_elements(elements, count)
        if count > 1 and not is_map(decoded[1]):
            raise Unreadable
        if type(decoded[0]) is not list and (
            type(decoded[0]) not in SEALED or count > 1 or not is_transparent(options)
        ):
            raise Unreadable
        return Payload(CBOR, count, elements)

    def _decode_elements(self, elements: bytes, count: int) -> list[Any]:
        if count not in (1, 2):
            raise Unreadable
        depth_max = self._depth_max + 1
        if _END in elements:
            whole: list[Any] = load_cbor(bytes((0x80 + count,)) + elements, depth_max)
            return whole
        framed = bytes((0x81 + count,)) + elements + _END
        decoded: list[Any] = cbor2.loads(framed, **CBOR_RULES, max_depth=depth_max)
        if type(decoded[-1]) is not float or decoded[-1] != _END_VALUE:
            raise Unreadable
        return decoded


_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}  # low five bits of a head -> bytes of its argument; others are a KeyError


def _argument(data: bytes, at: int, major: int) -> tuple[int, int]:
    """The argument of the head at `at`, which must be of `major` type, and where the head ends."""
    first = data[at] - (major << 5)
    if 0 <= first < _ONE_BYTE_FOLLOWS:
        return first, at + 1
    end = at + 1 + _WIDTHS[first]
    return int.from_bytes(data[at + 1 : end], "big"), end


def _id(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    at += 1
    if first >= _ONE_BYTE_FOLLOWS:
        width = _WIDTHS[first]
        first = int.from_bytes(data[at : at + width], "big")
        at += width
    if not 1 <= first <= ID_MAX:
        raise Unreadable
    return first, at


def _text(data: bytes, at: int) -> tuple[str, int]:
    """The string at `at` and where it ends; that lies behind the end of `data` if it is cut short."""
    length = data[at] - (_TEXT << 5)
    if 0 <= length < _ONE_BYTE_FOLLOWS:
        at += 1
    else:
        length, at = _argument(data, at, _TEXT)
    end = at + length
    return str(data[at:end], "utf8"), end


def _skip(data: bytes, at: int, stop: int) -> int:
    """Where the item that begins at `at` ends, or some place behind `stop`; `data` may be cut short before both."""
    pending = 1
    while pending and at <= stop:
        major = data[at] >> 5
        argument, at = _argument(data, at, major)
        pending -= 1
        if major in (_BYTES, _TEXT):
            at += argument
        elif major in (_LIST, _MAP):
            pending += argument if major == _LIST else 2 * argument
        elif major == _TAG:
            pending += 1
    return at


def _require_end(data: bytes, at: int, count: int) -> None:
    if count or at != len(data):
        raise Unreadable
