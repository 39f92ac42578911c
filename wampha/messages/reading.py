"""Messages of clients over JSON and MessagePack: one pass in C reads the header, payload and options stay raw.

msgspec decodes a list into the struct that is tagged with its first element, the message type, and checks length, ids
and strings. `Raw` elements are checked here: see `JsonReader` and `MsgpackReader`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Protocol

import msgpack  # type: ignore[import-untyped]  # it has no stubs
import msgspec
from msgspec import Raw

from wampha.errors import ProtocolViolation
from wampha.messages import model
from wampha.messages.depth import json_exceeds, msgpack_may_exceed, tree_exceeds
from wampha.messages.grammar import ID_MAX, is_map
from wampha.messages.options import EMPTY_MAP, SEALED, OptionsReader, is_transparent
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.values import JSON, MSGPACK, NUL_ESCAPE, Untranscodable, binary_from_text

_ABSENT: Final = Raw()
_DIGITS_MAX: Final = 4300  # of an integer that Python reads (`sys.set_int_max_str_digits`)
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_LIST_BEGINS: Final = ord("[")
_STRING_BEGINS: Final = ord('"')
_MAP_BEGINS: Final = ord("{")
INVOCATION: Final = 68

Id = Annotated[int, msgspec.Meta(ge=1, le=ID_MAX)]


class TooDeep(ProtocolViolation):
    """The message nests deeper than the limit."""

    def __init__(self, depth_max: int) -> None:
        super().__init__(f"the message nests deeper than {depth_max} lists and maps")


class TooManyElements(ProtocolViolation):
    """The message has more elements than the limit."""

    def __init__(self, elements_max: int) -> None:
        super().__init__(f"the message has more than {elements_max} lists, maps, keys and scalars")


class Unreadable(ValueError):
    """The message is not what the fast reading expects; reading it as a whole tells why."""


class Reader(Protocol):
    """What a wire struct needs to become a message of `model`."""

    options: Mapping[str, OptionsReader]
    empty: Raw  # an empty map

    def payload(self, args: Raw, kwargs: Raw, options: model.Options) -> Payload: ...


class _Wire(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """A message as it stands on the wire."""


class _Error(_Wire, frozen=True, tag=8):
    request_type: int
    request: Id
    details: Raw
    error: str
    args: Raw = _ABSENT
    kwargs: Raw = _ABSENT

    def message(self, reader: Reader) -> model.Error:
        if self.request_type != INVOCATION:
            raise Unreadable
        details = _options(reader, "ERROR", self.details)
        return model.Error(
            INVOCATION, self.request, details, self.error, reader.payload(self.args, self.kwargs, details)
        )


class _Publish(_Wire, frozen=True, tag=16):
    request: Id
    options: Raw
    topic: str
    args: Raw = _ABSENT
    kwargs: Raw = _ABSENT

    def message(self, reader: Reader) -> model.Publish:
        options = _options(reader, "PUBLISH", self.options)
        return model.Publish(self.request, options, self.topic, reader.payload(self.args, self.kwargs, options))


class _Subscribe(_Wire, frozen=True, tag=32):
    request: Id
    options: Raw
    topic: str

    def message(self, reader: Reader) -> model.Subscribe:
        return model.Subscribe(self.request, _options(reader, "SUBSCRIBE", self.options), self.topic)


class _Unsubscribe(_Wire, frozen=True, tag=34):
    request: Id
    subscription: Id
    options: Raw = _ABSENT

    def message(self, reader: Reader) -> model.Unsubscribe:
        if self.options is not _ABSENT:
            reader.options["UNSUBSCRIBE"].read(bytes(self.options))
        return model.Unsubscribe(self.request, self.subscription)


class _Call(_Wire, frozen=True, tag=48):
    request: Id
    options: Raw
    procedure: str
    args: Raw = _ABSENT
    kwargs: Raw = _ABSENT

    def message(self, reader: Reader) -> model.Call:
        options = _options(reader, "CALL", self.options)
        return model.Call(self.request, options, self.procedure, reader.payload(self.args, self.kwargs, options))


class _Cancel(_Wire, frozen=True, tag=49):
    request: Id
    options: Raw

    def message(self, reader: Reader) -> model.Cancel:
        return model.Cancel(self.request, _options(reader, "CANCEL", self.options))


class _Register(_Wire, frozen=True, tag=64):
    request: Id
    options: Raw
    procedure: str

    def message(self, reader: Reader) -> model.Register:
        return model.Register(self.request, _options(reader, "REGISTER", self.options), self.procedure)


class _Unregister(_Wire, frozen=True, tag=66):
    request: Id
    registration: Id
    options: Raw = _ABSENT

    def message(self, reader: Reader) -> model.Unregister:
        if self.options is not _ABSENT:
            reader.options["UNREGISTER"].read(bytes(self.options))
        return model.Unregister(self.request, self.registration)


class _Yield(_Wire, frozen=True, tag=70):
    request: Id
    options: Raw
    args: Raw = _ABSENT
    kwargs: Raw = _ABSENT

    def message(self, reader: Reader) -> model.Yield:
        options = _options(reader, "YIELD", self.options)
        return model.Yield(self.request, options, reader.payload(self.args, self.kwargs, options))


def _options(reader: Reader, message: str, raw: Raw) -> model.Options:
    return model.NO_OPTIONS if raw == reader.empty else reader.options[message].read(bytes(raw))


_AnyWire = _Error | _Publish | _Subscribe | _Unsubscribe | _Call | _Cancel | _Register | _Unregister | _Yield


class JsonReader:
    """Reads JSON.

    msgspec checks the grammar of raw elements, escapes included, but neither their UTF-8 nor depth. Two more things
    would break Python clients that receive them: binary that is no base64, and integers longer than `int` reads.
    """

    def __init__(self, options: Mapping[str, OptionsReader], depth_max: int) -> None:
        self.options = options
        self.empty = Raw(EMPTY_MAP[JSON])
        self._depth_max: Final = depth_max
        self._surely_flat: Final = 2 * depth_max  # bytes: each level opens and closes
        self._decode: Final = msgspec.json.Decoder(_AnyWire).decode

    def read(self, data: bytes) -> model.Received:
        """The message in `data`; raises `ProtocolViolation`, or any other exception if it is not a usual one."""
        if not data.isascii():
            str(data, "utf8")
        wire = self._decode(data)
        if len(data) > self._surely_flat and json_exceeds(data, self._depth_max + 1):
            raise TooDeep(self._depth_max)
        if NUL_ESCAPE in data or (len(data) > _DIGITS_MAX and _may_hold_long_integer(data)):
            _require_readable(data)
        message: model.Received = wire.message(self)
        return message

    def payload(self, args: Raw, kwargs: Raw, options: model.Options) -> Payload:
        """The payload; a list and a map are known by their first byte."""
        if args is _ABSENT:
            return NOTHING
        data = bytes(args)
        if data[0] != _LIST_BEGINS:
            if data[0] != _STRING_BEGINS or kwargs is not _ABSENT or not is_transparent(options):
                raise Unreadable
            return Payload(JSON, 1, data)
        if kwargs is _ABSENT:
            return Payload(JSON, 1, data)
        more = bytes(kwargs)
        if more[0] != _MAP_BEGINS:
            raise Unreadable
        return Payload(JSON, 2, b"%b,%b" % (data, more))


def _may_hold_long_integer(data: bytes) -> bool:
    # So long a run of digits covers one of every 4096 bytes; look at those first.
    sampled = data[4095::4096].translate(_DIGITS_TO_ZERO)
    return b"0" in sampled and b"0" * (_DIGITS_MAX + 1) in data.translate(_DIGITS_TO_ZERO)


def _require_readable(data: bytes) -> None:
    try:
        binary_from_text(json.loads(data))
    except (Untranscodable, ValueError) as error:
        raise ProtocolViolation(f"the message cannot be delivered: {error}") from None


class MsgpackReader:
    """Reads MessagePack.

    msgspec skips raw elements without a look at strings. So they are decoded once by the library that most Python
    clients use, and dropped: bad UTF-8 and map keys that are no strings, which those clients cannot read, end here.
    """

    def __init__(self, options: Mapping[str, OptionsReader], depth_max: int) -> None:
        self.options = options
        self.empty = Raw(EMPTY_MAP[MSGPACK])
        self._depth_max: Final = depth_max
        self._decode: Final = msgspec.msgpack.Decoder(_AnyWire).decode

    def read(self, data: bytes) -> model.Received:
        """The message in `data`; raises `ProtocolViolation`, or any other exception if it is not a usual one."""
        message: model.Received = self._decode(data).message(self)
        return message

    def payload(self, args: Raw, kwargs: Raw, options: model.Options) -> Payload:
        """The payload; raises what msgpack raises, or `ProtocolViolation` if it nests too deep."""
        if args is _ABSENT:
            return NOTHING
        data = bytes(args)
        values = msgpack.unpackb(data)
        if type(values) is not list and (
            type(values) not in SEALED or kwargs is not _ABSENT or not is_transparent(options)
        ):
            raise Unreadable
        if len(data) > self._depth_max:
            self._check_depth(data, values)
        if kwargs is _ABSENT:
            return Payload(MSGPACK, 1, data)
        more = bytes(kwargs)
        named_values = msgpack.unpackb(more)
        if not is_map(named_values):
            raise Unreadable
        self._check_depth(more, named_values)
        return Payload(MSGPACK, 2, data + more)

    def _check_depth(self, data: bytes, decoded: Any) -> None:
        if msgpack_may_exceed(data, self._depth_max) and tree_exceeds(decoded, self._depth_max):
            raise TooDeep(self._depth_max)
