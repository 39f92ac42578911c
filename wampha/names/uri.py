"""What a URI may look like (basic profile, "URIs"; advanced profile, "Pattern-based Subscription")."""

from __future__ import annotations

import re
from typing import Final

from wampha.errors import InvalidUri

EXACT: Final = "exact"
PREFIX: Final = "prefix"
WILDCARD: Final = "wildcard"
MATCHES: Final = (EXACT, PREFIX, WILDCARD)

_LOOSE: Final = r"[^\s.#]"
_STRICT: Final = r"[0-9a-z_]"
_RESERVED: Final = {"wamp": "the protocol", "wampha": "the router"}  # first component -> to whom such names belong
_KNOWN_MAX: Final = 10_000  # valid URIs remembered per realm; an unusual flood of names empties the memory


def _grammar(character: str) -> dict[str, re.Pattern[str]]:
    """How a URI must look under each matching policy.

    A wildcard pattern may leave out any component. A prefix may end in a dot (or be empty), since that is the only
    way to say "below this name".
    """
    return {
        EXACT: re.compile(rf"(?:{character}+\.)*{character}+"),
        PREFIX: re.compile(rf"(?:{character}+\.)*{character}*"),
        WILDCARD: re.compile(rf"(?:{character}*\.)*{character}*"),
    }


_GRAMMARS: Final = {False: _grammar(_LOOSE), True: _grammar(_STRICT)}


class UriRules:
    """The URI rules of one realm; valid concrete URIs are remembered, so that the hot path asks once."""

    __slots__ = ("_bytes_max", "_components_max", "_grammar", "_known")

    def __init__(self, *, strict: bool, bytes_max: int, components_max: int) -> None:
        self._grammar = _GRAMMARS[strict]
        self._bytes_max: Final = bytes_max
        self._components_max: Final = components_max
        self._known: Final[set[str]] = set()

    def adapt(self, *, strict: bool) -> None:
        """The other rule holds from now on."""
        self._grammar = _GRAMMARS[strict]
        self._known.clear()

    def check(self, uri: str) -> None:
        """Accept a concrete topic, procedure or error; raises InvalidUri."""
        if uri in self._known:
            return
        self.check_pattern(EXACT, uri)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known.add(uri)

    def check_pattern(self, match: str, uri: str) -> None:
        """Accept a topic or pattern under a matching policy of `MATCHES`; raises InvalidUri."""
        try:
            size = len(uri.encode())
        except UnicodeEncodeError:
            raise InvalidUri("The URI holds characters that cannot be written in UTF-8.") from None
        if size > self._bytes_max:
            raise InvalidUri(f"The URI has {size} bytes; at most {self._bytes_max} are accepted.")
        if uri.count(".") >= self._components_max:
            raise InvalidUri(f"The URI has more than {self._components_max} components.")
        if self._grammar[match].fullmatch(uri) is None:
            raise InvalidUri(f"{uri!r} is not a valid URI for matching policy {match!r}.")


def is_reserved(uri: str) -> bool:
    """Whether clients may not use the name: below `wamp.` (basic profile, "Reserved URIs") and below `wampha.`."""
    return uri.startswith("wamp") and uri.partition(".")[0] in _RESERVED


def check_not_reserved(uri: str) -> None:
    """Refuse what `is_reserved`; raises InvalidUri."""
    if is_reserved(uri):
        head = uri.partition(".")[0]
        keeper = _RESERVED[head]
        raise InvalidUri(f"{uri!r} is reserved: names that begin with {head!r} belong to {keeper}.")
