"""Authentication as steps: what a method asks of the world, one after the other, until it grants or refuses.

A method is a generator. It yields what it needs and is sent the answer; it returns a `Grant`, or raises
SessionRefused. So each method reads from its first line to its last, knows no clock, no socket and no thread, and can
be driven by a test.

    Challenge -> Answer     CHALLENGE for the client, and its AUTHENTICATE
    Work -> its result      a calculation that takes long: never in the reactor
    Ask -> Asked            a procedure of the user's, on whatever node it is
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

import msgspec

from wampha.auth.grant import Grant
from wampha.errors import SessionRefused
from wampha.state.commands import Identity

AUTHENTICATION_FAILED: Final = "wamp.error.authentication_failed"
TLS_UNIQUE: Final = "tls-unique"
TLS_EXPORTER: Final = "tls-exporter"
CHANNEL_BINDINGS: Final = (TLS_UNIQUE, TLS_EXPORTER)


class Certificate(msgspec.Struct, frozen=True):
    """A client's certificate that TLS has checked."""

    sha1: str  # fingerprints, lower-case hexadecimal digits
    sha256: str
    common_name: str  # of its subject; empty if it has none


class BrowserCookie(msgspec.Struct, frozen=True, gc=False):
    """The cookie that a browser has sent with its WebSocket request, or was given in the response."""

    value: str
    lifetime_s: float  # for which browsers are told to keep it


def unbound(why: str) -> SessionRefused:
    """The refusal for who wants its proof bound to the TLS channel where that cannot be done."""
    return SessionRefused(AUTHENTICATION_FAILED, f"The channel binding is not available here: {why}.")


def no_channel(binding: str) -> bytes:
    """The channel of a client that has none; raises SessionRefused."""
    raise unbound("there is no TLS")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What HELLO says of the client, and what the router knows of its connection."""

    realm: str
    authid: str | None
    extra: Mapping[str, Any]  # HELLO.Details.authextra
    session: int  # the id that the session will have
    peer: str  # address, transport and serializer, for people
    certificate: Certificate | None = None
    channel_id: Callable[[str], bytes] = no_channel  # 32 bytes by the kind of binding; raises SessionRefused
    cookie: BrowserCookie | None = None
    identity: Identity | None = None  # who has proved something with that cookie in this realm
    method: str = ""  # the kind of method by which it is to be proved


class Chance(msgspec.Struct, frozen=True):
    """Where a method gets what nobody can guess, and the words for the present time."""

    bytes: Callable[[int], bytes]
    utc: Callable[[], str]  # ISO 8601; stands in challenges for people, nothing is decided by it (P11)


class Challenge(msgspec.Struct, frozen=True):
    """Send CHALLENGE and wait for AUTHENTICATE."""

    method: str
    extra: Mapping[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """AUTHENTICATE, as it came: nothing of it is checked."""

    signature: str
    extra: Mapping[str, Any]


class Work(msgspec.Struct, frozen=True):
    """Calculate in another thread; `run` takes no lock and must not raise."""

    run: Callable[[], Any]


class Ask(msgspec.Struct, frozen=True):
    """Call a procedure."""

    realm: str
    procedure: str
    args: tuple[Any, ...]


class Asked(msgspec.Struct, frozen=True):
    """What a procedure answered: its first result, or the URI of an error."""

    value: Any = None
    error: str | None = None


Step = Challenge | Work | Ask
Steps = Generator[Step, Any, Grant]


def failed(cause: str = "") -> SessionRefused:
    """The one refusal for whoever cannot prove who they are: it does not tell whether such a principal exists.

    `cause` is for the log, and never for the client.
    """
    return SessionRefused(AUTHENTICATION_FAILED, "The authid is unknown here, or the proof does not fit it.", cause)


def offered(authmethods: Sequence[str] | None) -> Sequence[str]:
    """The methods that HELLO asks for, in its order; who names none is anonymous."""
    return authmethods or ("anonymous",)
