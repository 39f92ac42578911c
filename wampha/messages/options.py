"""Options and details of what clients send: types checked, absent values and forged identities dropped.

Options that the router does not know are kept: custom ones (`_name`) and those of other profiles travel on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import cbor2
import msgspec

from wampha.errors import ProtocolViolation
from wampha.limits import Limits
from wampha.messages.depth import tree_exceeds
from wampha.messages.grammar import is_map
from wampha.messages.model import NO_OPTIONS, Options
from wampha.messages.values import Family, Untranscodable, for_binary, for_json, load_strange

EMPTY_MAP: Final[Mapping[Family, bytes]] = {Family.JSON: b"{}", Family.MSGPACK: b"\x80", Family.CBOR: b"\xa0"}
_REMEMBERED_MAX: Final = 1024  # maps of options per type of message
_REMEMBERED_BYTES_MAX: Final = 128  # length of such a map

# What only a router may say about a session.
_ROUTERS_OWN: Final = frozenset(
    ("caller", "caller_authid", "caller_authrole", "publisher", "publisher_authid", "publisher_authrole", "forward_for")
)


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(type(item) is kind for item in value)


def _one_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    expected = f"{', '.join(names)} or a custom name (x_...)"
    return expected, lambda value: type(value) is str and (value in names or _CUSTOM.fullmatch(value) is not None)


# Who may get a publication (advanced profile, "Subscriber Black- and Whitelisting").
RECEIVER_LISTS: Final = frozenset(
    f"{kind}{of}" for kind in ("exclude", "eligible") for of in ("", "_authid", "_authrole")
)

_BOOL: Final = ("true or false", _is(bool))
_TEXT: Final = ("a string", _is(str))

# Clients that write CBOR in JavaScript turn ids beyond 32 bits into floats; equal numbers find each other in sets.
_IDS: Final = (
    "a list of session ids",
    lambda value: type(value) is list and all(type(n) is int or (type(n) is float and n.is_integer()) for n in value),
)
_TEXTS: Final = ("a list of strings", _is_list_of(str))
_LIST: Final = ("a list", _is(list))
_COUNT: Final = ("an integer from 0", lambda value: type(value) is int and value >= 0)
_MATCH: Final = ("exact, prefix or wildcard", lambda value: value in ("exact", "prefix", "wildcard"))

_MODE: Final = ("skip, kill or killnowait", lambda value: value in ("skip", "kill", "killnowait"))

_PPT: Final = dict.fromkeys(("ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid"), _TEXT)
# Autobahn's "payload transparency", an older form of passthru: one binary value or string stands for all arguments.
_CUSTOM: Final = re.compile(r"x_([a-z][0-9a-z_]+)?")
_TRANSPARENCY: Final = {
    "enc_algo": _one_of("cryptobox", "mqtt", "xbr"),
    "enc_key": _TEXT,
    "enc_serializer": _one_of("json", "msgpack", "cbor", "ubjson", "flatbuffers"),
}
_PASSTHRU: Final = {**_PPT, **_TRANSPARENCY}
_FORWARDED: Final = {"forward_for": _LIST}

# message -> option -> what it must be, and the check
_KNOWN: Final[Mapping[str, Mapping[str, tuple[str, Callable[[Any], bool]]]]] = {
    "PUBLISH": {
        **dict.fromkeys(("acknowledge", "exclude_me", "disclose_me", "retain"), _BOOL),
        **dict.fromkeys(("exclude", "eligible"), _IDS),
        **dict.fromkeys(("exclude_authid", "exclude_authrole", "eligible_authid", "eligible_authrole"), _TEXTS),
        "transaction_hash": _TEXT,
        **_PASSTHRU,
        **_FORWARDED,
    },
    "SUBSCRIBE": {"match": _MATCH, "get_retained": _BOOL, **_FORWARDED},
    "UNSUBSCRIBE": _FORWARDED,
    "CALL": {
        "timeout": _COUNT,
        **dict.fromkeys(("receive_progress", "progress", "disclose_me"), _BOOL),
        **_PASSTHRU,
        **_FORWARDED,
    },
    "CANCEL": {"mode": _MODE, **_FORWARDED},
    "REGISTER": {
        "match": _MATCH,
        "invoke": _TEXT,
        "concurrency": _COUNT,
        **dict.fromkeys(("force_reregister", "disclose_caller", "_repeatable"), _BOOL),
        **_FORWARDED,
    },
    "UNREGISTER": _FORWARDED,
    "YIELD": {"progress": _BOOL, **_PASSTHRU, **_FORWARDED},
    "ERROR": {**_PASSTHRU, **_FORWARDED},
}


SEALED: Final = frozenset((bytes, str))  # what may stand in place of Arguments then


def is_transparent(options: Options) -> bool:
    """Whether a message with these options may carry one binary value or string in place of Arguments."""
    return "enc_algo" in options


class OptionsReader:
    """Reads the options of one type of message in one family.

    Small maps are remembered by their bytes: clients send the same few again and again.
    """

    def __init__(self, family: Family, message: str, limits: Limits) -> None:
        self._family: Final = family
        self._message: Final = message
        self.bytes_max: Final = limits.options_bytes_max
        self._depth_max: Final = limits.nesting_depth_max
        self._receivers_max: Final = limits.publish_receivers_max
        self._checks: Final = _KNOWN[message]
        self._remembered: dict[bytes, Options] = {EMPTY_MAP[family]: NO_OPTIONS}

    def read(self, data: bytes) -> Options:
        """The options encoded in `data`.

        Returns `NO_OPTIONS` itself if nothing is left. Raises `ProtocolViolation` for a known option of the wrong type,
        a value that not every serializer can carry, or too many bytes; ValueError or `cbor2.CBORError` for no map.
        """
        remembered = self._remembered.get(data)
        return self._decode(data) if remembered is None else remembered

    def refuse_length(self) -> NoReturn:
        """Raise `ProtocolViolation` for options of more than `bytes_max` bytes."""
        raise ProtocolViolation(f"{self._message} has options of more than {self.bytes_max} bytes")

    def _decode(self, data: bytes) -> Options:
        if len(data) > self.bytes_max:
            self.refuse_length()
        try:
            options = self.checked(load_strange(self._family, data, depth_max=self._depth_max))
        except Untranscodable as error:
            raise ProtocolViolation(f"{self._message} has options that WAMP cannot carry: {error}") from None
        if len(data) <= _REMEMBERED_BYTES_MAX:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered = {EMPTY_MAP[self._family]: NO_OPTIONS}
            self._remembered[data] = options
        return options

    def checked(self, options: Any) -> Options:
        """Options that are decoded already, by the same rules; a list of receivers that is far too long is cut."""
        if not is_map(options):
            raise ValueError("options are no map with string keys")
        if self._message == "PUBLISH":
            self._cut_lists(options)
        if tree_exceeds(options, self._depth_max):
            raise ProtocolViolation(f"{self._message} has options nested deeper than {self._depth_max}")
        present = {key: value for key, value in options.items() if value is not None and value is not cbor2.undefined}
        for name, (expected, holds) in self._checks.items():
            if name in present and not holds(present[name]):
                raise ProtocolViolation(f"{self._message}.Options.{name} must be {expected}")
        kept = for_binary({key: value for key, value in present.items() if key not in _ROUTERS_OWN})
        _require_portable(kept)
        return kept or NO_OPTIONS

    def _cut_lists(self, options: dict[str, Any]) -> None:
        """Shorten lists of receivers that the broker will refuse for their length, before they cost more time."""
        for name in RECEIVER_LISTS.intersection(options):
            entries = options[name]
            if type(entries) is list and len(entries) > self._receivers_max:
                options[name] = entries[: self._receivers_max + 1]


def _require_portable(options: Options) -> None:
    # Options may leave in details of another family, and over links as MessagePack.
    for_json(options)
    try:
        msgspec.msgpack.encode(options)
    except OverflowError:
        raise Untranscodable("an integer beyond 64 bits") from None
