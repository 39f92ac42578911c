"""Payload values, and how each serializer family writes them.

All families share null, booleans, integers, finite floats, strings, binary, lists and maps with string keys. Those
cross from any family to any other. JSON writes binary as a string: NUL, then base64 (basic profile, "Binary
conversion of JSON strings"). What only some families can write stays within them:

| value                                            | to JSON        | to MessagePack | to CBOR        |
|--------------------------------------------------|----------------|----------------|----------------|
| NaN, Infinity                                    | Untranscodable | as it is       | as it is       |
| integers beyond 64 bits                          | as it is       | Untranscodable | as it is       |
| a string that begins with NUL                    | Untranscodable | as it is       | as it is       |
| undefined (CBOR's; the extension of msgpackr)    | null           | nil            | as it is       |
| half and single floats                           | the same value in the width that the target writes       |
| binary map keys (any others are refused)         | Untranscodable unless the family stays the same          |
| MessagePack extensions, CBOR tags, simple values | Untranscodable unless the family stays the same          |

A number beyond the range of a double cannot leave JSON either.
"""

from __future__ import annotations

import base64
import binascii
import enum
import io
from functools import partial
from typing import Any, Final, NoReturn

import cbor2
import msgpack  # type: ignore[import-untyped]  # it has no stubs
import msgspec

from wampha.errors import WamphaError

_FRACTION_BITS_MAX: Final = 4096  # of each integer in a decimal or rational number
NUL_ESCAPE: Final = b"\\u0000"  # the only way to write NUL in JSON


class Family(enum.IntEnum):
    """A family of serializers that write payloads alike."""

    JSON = 0
    MSGPACK = 1
    CBOR = 2


# For the hot path: to look a member up in its enum costs ten times as much as a name of the module.
JSON: Final = Family.JSON
MSGPACK: Final = Family.MSGPACK
CBOR: Final = Family.CBOR


class Untranscodable(WamphaError):
    """The payload holds a value that the receiver's serializer cannot express; the sentence names it."""


def load(family: Family, data: bytes, *, depth_max: int = 600) -> Any:
    """Decode exactly one value.

    `data` is that value encoded in `family`. CBOR nested deeper than `depth_max` is refused while it is read; the
    other families leave that to `depth.py`. Raises ValueError, RecursionError or `cbor2.CBORError`.
    """
    if family is Family.JSON:
        value = _json_decode(data)
        return binary_from_text(value) if NUL_ESCAPE in data else value
    if family is Family.MSGPACK:
        return _msgpack_decode(data)
    return load_cbor(data, depth_max)


def load_strange(family: Family, data: bytes, *, depth_max: int) -> Any:
    """`load` for bytes of a stranger that no reader has accepted: map keys are strings or binary.

    Whoever may choose other keys can choose many that Python finds only by comparing each with all before it.
    """
    if family is not Family.MSGPACK:
        return load(family, data, depth_max=depth_max)
    try:
        return msgpack.unpackb(data, ext_hook=_extension)
    except msgpack.exceptions.StackError:
        raise RecursionError from None


def load_cbor(data: bytes, depth_max: int) -> Any:
    """Decode the one CBOR item that `data` consists of, by `CBOR_RULES`; trailing bytes raise ValueError."""
    stream = io.BytesIO(data)
    value = cbor2.CBORDecoder(stream, **CBOR_RULES, max_depth=depth_max).decode()
    if stream.tell() != len(data):
        raise ValueError("bytes follow the value")
    return value


def dump(family: Family, value: Any) -> bytes:
    """Encode `value`, as `load` of any family gave it; raises `Untranscodable` where `family` cannot express it."""
    try:
        if family is Family.JSON:
            return _json_encode(for_json(value))
        shared = for_binary(value)
        return _msgpack_encode(shared) if family is Family.MSGPACK else cbor2.dumps(shared)
    except Untranscodable:
        raise
    except OverflowError:
        raise Untranscodable("MessagePack has no integers beyond 64 bits") from None
    except (ValueError, TypeError, RecursionError, cbor2.CBORError) as error:
        raise Untranscodable(f"the payload cannot be written as {family.name}: {error}") from None


def for_json(value: Any) -> Any:
    """The value as JSON has it: binary as text; raises `Untranscodable`."""
    kind = type(value)
    if kind is str and value[:1] == "\0":
        raise Untranscodable("a string that begins with NUL would be binary in JSON")
    if kind is float and value - value != 0.0:  # NaN or an infinity
        raise Untranscodable(f"JSON cannot express {value}")
    if kind is list:
        return [for_json(item) for item in value]
    if kind is dict:
        return {_string_key(key): for_json(item) for key, item in value.items()}
    return text_from_binary(value) if kind is bytes else _shared_scalar(value)


def for_binary(value: Any) -> Any:
    """The value as MessagePack and CBOR share it; raises `Untranscodable`."""
    kind = type(value)
    if kind is list:
        return [for_binary(item) for item in value]
    if kind is dict:
        return {_string_key(key): for_binary(item) for key, item in value.items()}
    return _shared_scalar(value)


def text_from_binary(value: bytes) -> str:
    """Binary as JSON carries it (basic profile, "Binary conversion of JSON strings")."""
    return "\0" + base64.b64encode(value).decode("ascii")


def binary_from_text(value: Any) -> Any:
    """The decoded JSON value with its binary; raises `Untranscodable` for a NUL that no base64 follows."""
    kind = type(value)
    if kind is str and value[:1] == "\0":
        try:
            return base64.b64decode(value[1:], validate=True)
        except (binascii.Error, ValueError):
            raise Untranscodable("a JSON string begins with NUL, but no base64 follows") from None
    if kind is list:
        return [binary_from_text(item) for item in value]
    if kind is dict:
        return {key: binary_from_text(item) for key, item in value.items()}
    return value


def _string_key(key: Any) -> str:
    if type(key) is not str:
        raise Untranscodable(f"a map key of type {type(key).__name__} cannot leave its serializer")
    return key


def _shared_scalar(value: Any) -> Any:
    if value is cbor2.undefined:
        return None
    if value is None or type(value) in _SHARED_SCALARS:
        return value
    raise Untranscodable(f"a value of type {type(value).__name__} cannot leave its serializer")


def _refuse_tag(value: Any, immutable: bool) -> NoReturn:
    raise ValueError("references, regular expressions and MIME messages are not accepted in CBOR")


def _decode_fraction(tag: int, value: Any, immutable: bool) -> Any:
    # Python takes quadratic time to make a decimal number of a long integer, or to shorten a fraction of two.
    if len(value) != 2 or any(type(part) is not int or part.bit_length() > _FRACTION_BITS_MAX for part in value):
        raise ValueError(f"a fraction consists of two integers of at most {_FRACTION_BITS_MAX} bits")
    return cbor2.loads(cbor2.dumps(cbor2.CBORTag(tag, list(value))))


def _extension(code: int, data: bytes | memoryview) -> Any:
    # msgpackr, hence wampy.js, writes JavaScript's undefined as extension 0 with one zero octet.
    if code == 0 and bytes(data) == b"\0":
        return cbor2.undefined
    return msgspec.msgpack.Ext(code, bytes(data))


_SHARED_SCALARS: Final = frozenset((str, int, bool, float, bytes))

# String references (25, 256) and shared values (28, 29) make a graph of what must be a tree; decoding a regular
# expression (35) or a MIME message (36) would run a large parser on a stranger's input, here and at each receiver.
_TAGS: Final = {
    **dict.fromkeys((25, 28, 29, 35, 36, 256), _refuse_tag),
    **{tag: partial(_decode_fraction, tag) for tag in (4, 5, 30)},
}

# With strict keys, maps have strings and binary as keys only, and sets hold nothing else: see `load_strange`.
CBOR_RULES: Final[dict[str, Any]] = {"semantic_decoders": _TAGS, "strict_hashable_types": True}

_json_decode: Final = msgspec.json.Decoder().decode
_json_encode: Final = msgspec.json.Encoder().encode
_msgpack_decode: Final = msgspec.msgpack.Decoder(ext_hook=_extension).decode
_msgpack_encode: Final = msgspec.msgpack.Encoder().encode
