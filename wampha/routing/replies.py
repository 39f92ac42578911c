"""Messages that the router writes itself, and the options that travel with a payload."""

from __future__ import annotations

import re
from typing import Final

from wampha.errors import WampError
from wampha.messages.model import NO_OPTIONS, Error, Options
from wampha.messages.payload import Payload

# WAMP codes of the requests that ERROR can answer (basic profile, "Message Codes and Direction").
PUBLISH: Final = 16
SUBSCRIBE: Final = 32
UNSUBSCRIBE: Final = 34
CALL: Final = 48
REGISTER: Final = 64
UNREGISTER: Final = 66
INVOCATION: Final = 68

_URI: Final = re.compile(r"([^\s.#]+\.)*[^\s.#]+")
_CARRIED: Final = ("ppt_", "enc_", "_")


def refusal(code: int, request: int, error: WampError) -> Error:
    """The ERROR that answers a request: the sentence is its only positional argument."""
    return Error(code, request, NO_OPTIONS, error.uri, sentence_of(error))


def sentence_of(error: WampError) -> Payload:
    """The payload of an ERROR."""
    return Payload.of([error.sentence], error.kwargs or None)


def revocation(kind: str, what: int, reason: str) -> Options:
    """Details of an UNSUBSCRIBED or UNREGISTERED that nobody asked for; `kind` is `subscription` or `registration`.

    A reason that is no URI is left out: Autobahn would end the session over it.
    """
    return {kind: what, "reason": reason} if _URI.fullmatch(reason) else {kind: what}


def carried(options: Options) -> Options:
    """What belongs to the payload and goes with it: `ppt_*` and `enc_*` (passthru modes), custom `_*` attributes."""
    if not options:
        return NO_OPTIONS
    return {name: value for name, value in options.items() if name.startswith(_CARRIED)} or NO_OPTIONS
