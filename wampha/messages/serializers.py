"""The serializers of the client wire: Autobahn's, with reading and writing of our own.

One list of them serves all listeners. Autobahn makes a shallow copy per connection; what the copies share is shared on
purpose. `txaio.use_twisted()` must have been called before any is made: the shells do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import cbor2
from autobahn.wamp import message as autobahn_message
from autobahn.wamp import serializer as autobahn_serializer

from wampha.counters import Counters
from wampha.errors import ProtocolViolation
from wampha.limits import Limits
from wampha.messages import elements, grammar
from wampha.messages.cbor_reading import CborReader
from wampha.messages.depth import json_exceeds, tree_exceeds
from wampha.messages.options import OptionsReader
from wampha.messages.payload import Family, Transcoder
from wampha.messages.reading import JsonReader, MsgpackReader, TooDeep, TooManyElements
from wampha.messages.values import load_strange
from wampha.messages.writing import CborWriter, JsonWriter, MsgpackWriter, Writer

_SENTENCE_MAX: Final = 300  # characters; errors of libraries may quote the message
_FORMAT_NAMES: Final = {Family.JSON: "JSON", Family.MSGPACK: "MessagePack", Family.CBOR: "CBOR"}
_READERS: Final[Mapping[Family, Any]] = {
    Family.JSON: JsonReader,
    Family.MSGPACK: MsgpackReader,
    Family.CBOR: CborReader,
}

_HELLO: Final = 1
_MORE_FEATURES: Final = frozenset(
    ("call_cancelling", "call_reroute", "payload_passthru_mode", "progressive_call_invocations")
)
_SESSION_CLASSES: Final[Mapping[int, Any]] = {
    _HELLO: autobahn_message.Hello,
    3: autobahn_message.Abort,
    5: autobahn_message.Authenticate,
    6: autobahn_message.Goodbye,
}


class Wire:
    """What our three serializers add to Autobahn's; mixed in before them."""

    family: ClassVar[Family]
    BINARY: ClassVar[bool]
    SERIALIZER_ID: str
    RAWSOCKET_SERIALIZER_ID: int

    def __init__(self, *, limits: Limits, counters: Counters, writer: Writer) -> None:
        super().__init__()
        depth_max = limits.nesting_depth_max
        names = [form.name for form in grammar.FORMS.values()]
        options = {name: OptionsReader(self.family, name, limits) for name in names}
        self._depth_max = depth_max
        self._elements_max = limits.message_elements_max
        self._counters = counters
        self._read: Callable[[bytes], Any] = _READERS[self.family](options, depth_max).read
        self.encode: Callable[[Any], bytes] = writer.write
        """`Writer.write`: one message of `model` as bytes, unframed; raises `Untranscodable`."""

    def parse(self, data: bytes) -> Any:
        """Read one message of a client.

        `data` is the whole message, unframed; its length was bounded by the framing. Returns a message of
        `model.Received`, or Autobahn's Hello, Abort, Authenticate or Goodbye. Raises `ProtocolViolation`, and nothing
        else. A URI is any string here: the core judges it (basic profile, "URIs").
        """
        if len(data) > self._elements_max and elements.exceeds(self.family, data, self._elements_max):
            self._counters.add("messages_too_many_elements")
            raise TooManyElements(self._elements_max)
        try:
            return self._read(data)
        except TooDeep:
            self._counters.add("messages_too_deep")
            raise
        except ProtocolViolation:
            self._counters.add("messages_malformed")
            raise
        except Exception as error:  # whatever the libraries raise for bytes of a stranger
            return self._read_unusual(data, error)

    def unserialize(self, payload: bytes, isBinary: bool | None = None) -> list[Any]:  # noqa: N803  Autobahn's name
        """`parse`, as Autobahn's own protocols call it; `isBinary` tells the kind of WebSocket message."""
        if isBinary is not None and isBinary != self.BINARY:
            self._counters.add("messages_malformed")
            expected, arrived = ("binary", "text") if self.BINARY else ("text", "binary")
            raise ProtocolViolation(f"{_FORMAT_NAMES[self.family]} travels in {expected} messages, not in {arrived}")
        return [self.parse(payload)]

    def _read_unusual(self, data: bytes, error: Exception) -> Any:
        """Decode the message as a whole: it opens or ends a session, or has an unusual form, or is wrong."""
        try:
            return self._read_whole(data, error)
        except TooDeep:
            self._counters.add("messages_too_deep")
            raise
        except ProtocolViolation:
            self._counters.add("messages_malformed")
            raise

    def _read_whole(self, data: bytes, error: Exception) -> Any:
        message = self._decode_whole(data)
        grammar.check(message)
        if message[0] in _SESSION_CLASSES:
            return _session_message(message)
        if self.family is Family.CBOR:
            return self._read_usual_cbor(message)
        raise ProtocolViolation(_sentence(grammar.FORMS[message[0]].name + " cannot be read", error))

    def _decode_whole(self, data: bytes) -> Any:
        depth_max = self._depth_max + 1  # the message is a list itself
        try:
            if self.family is Family.JSON:
                str(data, "utf8")
            message = load_strange(self.family, data, depth_max=depth_max)
            if self.family is Family.JSON and json_exceeds(data, depth_max):
                raise TooDeep(self._depth_max)
        except TooDeep:
            raise
        except RecursionError:
            raise TooDeep(self._depth_max) from None
        except Exception as error:  # whatever the libraries raise for bytes of a stranger
            if "nesting depth" in str(error):
                raise TooDeep(self._depth_max) from None
            what = f"the message is not valid {_FORMAT_NAMES[self.family]}"
            raise ProtocolViolation(_sentence(what, error)) from None
        if tree_exceeds(message, depth_max):
            raise TooDeep(self._depth_max)
        return message

    def _read_usual_cbor(self, message: list[Any]) -> Any:
        # Items of indefinite length, and heads longer than needed, are legal: write the message as others do.
        try:
            return self._read(cbor2.dumps(message))
        except ProtocolViolation:
            raise
        except Exception as error:  # whatever the libraries raise for bytes of a stranger
            raise ProtocolViolation(_sentence("the message cannot be read", error)) from None


def _session_message(message: list[Any]) -> Any:
    name = grammar.SESSION_FORMS[message[0]]
    # Some clients send undefined for what they leave out, down to the features of a role; `authextra` is the user's.
    present = [_without_absent(element, 1) for element in message]
    for element in present:
        if type(element) is dict and "roles" in element:
            element["roles"] = _without_absent(element["roles"], 3)
    try:
        parsed = _SESSION_CLASSES[message[0]].parse(present)
        if message[0] == _HELLO:
            _keep_features(parsed.roles, present[2]["roles"])
        return parsed
    except Exception as error:  # ProtocolError, InvalidUriError, AssertionError, TypeError, ...: Autobahn's checks
        raise ProtocolViolation(_sentence(f"{name} cannot be read", error)) from None


def _keep_features(roles: Mapping[str, Any], announced: Mapping[str, Any]) -> None:
    # Autobahn's classes of roles drop what they do not know.
    for role, features in roles.items():
        for name in _MORE_FEATURES.intersection(announced[role].get("features", ())):
            if type(announced[role]["features"][name]) is not bool:
                raise ValueError(f"feature {name!r} of role {role!r} must be true or false")
            setattr(features, name, announced[role]["features"][name])


def _without_absent(value: Any, levels: int) -> Any:
    if type(value) is not dict or not levels:
        return value
    return {
        key: _without_absent(item, levels - 1)
        for key, item in value.items()
        if item is not None and item is not cbor2.undefined
    }


def _sentence(what: str, error: Exception) -> str:
    return f"{what}: {error or type(error).__name__}"[:_SENTENCE_MAX]


class JsonSerializer(Wire, autobahn_serializer.JsonSerializer):
    """`wamp.2.json`."""

    family = Family.JSON
    BINARY = False


class MsgpackSerializer(Wire, autobahn_serializer.MsgPackSerializer):
    """`wamp.2.msgpack`."""

    family = Family.MSGPACK
    BINARY = True


class CborSerializer(Wire, autobahn_serializer.CBORSerializer):
    """`wamp.2.cbor`."""

    family = Family.CBOR
    BINARY = True


Serializer = JsonSerializer | MsgpackSerializer | CborSerializer


def serializers(limits: Limits, counters: Counters) -> list[Serializer]:
    """The serializers of a node, for all its listeners.

    They share one `Transcoder`, so a payload is transcoded once per family and not once per connection.
    """
    transcoder = Transcoder()
    return [
        JsonSerializer(limits=limits, counters=counters, writer=JsonWriter(transcoder)),
        MsgpackSerializer(limits=limits, counters=counters, writer=MsgpackWriter(transcoder)),
        CborSerializer(limits=limits, counters=counters, writer=CborWriter(transcoder)),
    ]
