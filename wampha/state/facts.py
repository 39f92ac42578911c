"""What the home node reports of its sessions: facts in the order in which they came to be, many in one entry.

A report's facts take effect in their order; a fact about a session that is not there, or not the owner's, has none.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wampha.messages.payload import Payload

DETACHED: Final = "detached"
DESTROYED: Final = "destroyed"
SCOPES: Final = (DETACHED, DESTROYED)  # in the order in which a session that ends is bequeathed

SESSION: Final = "session"
AUTHID: Final = "authid"
AUTHROLE: Final = "authrole"
EVERYBODY: Final = "all"


class Transport(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a client is connected, as far as other clients may know it."""

    type: str = ""  # websocket or rawsocket
    protocol: str = ""  # the serializer
    peer: str = ""  # like tcp4:192.0.2.1:50000


class Testament(msgspec.Struct, frozen=True, array_like=True):
    """An event that a session leaves behind."""

    publication: int
    topic: str
    payload: Payload
    options: dict[str, Any]  # of the publication: who may get it
    details: dict[str, Any]  # of the EVENT, but for what differs between subscriptions

    @property
    def weight(self) -> int:
        """Bytes, about as many as it takes in memory and in the log."""
        return len(self.topic) + len(self.payload.data) + _size(self.options) + _size(self.details)


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact."""


class Join(Fact, frozen=True, gc=False, tag=1):
    """The session got WELCOME."""

    session: int
    realm: str
    authid: str
    authrole: str
    authmethod: str
    authprovider: str
    transport: Transport = Transport()


class End(Fact, frozen=True, gc=False, tag=2):
    """The session is over: its testaments are due, those for its detachment first."""

    session: int


class Detach(Fact, frozen=True, gc=False, tag=3):
    """The session goes on without a connection: its testaments of that scope are due."""

    session: int


class Bequeath(Fact, frozen=True, gc=False, tag=4):
    """The session leaves a testament."""

    session: int
    scope: str
    testament: Testament


class Flush(Fact, frozen=True, gc=False, tag=5):
    """The session's testaments of this scope hold no longer."""

    session: int
    scope: str


class Kill(Fact, frozen=True, gc=False, tag=6):
    """All sessions of the realm end whose `of` is `value`, but for one; of every node."""

    realm: str
    of: str  # SESSION, AUTHID, AUTHROLE or EVERYBODY
    value: int | str
    spared: int  # the caller's session
    reason: str  # of GOODBYE
    message: str | None


class Modify(Fact, frozen=True, gc=False, tag=7):
    """Details of a session of any node are added, changed or (None) removed."""

    realm: str
    session: int
    delta: dict[str, Any]


class Subscribing(Fact, frozen=True, gc=False, tag=8):
    """The session has gained or lost a subscription whose route stands; stated only while somebody listens."""

    realm: str
    session: int
    subscription: int
    begins: bool


class Come(Join, frozen=True, gc=False, tag=11):
    """The session goes on at this node; it was at another one, or joins here if that one is dead."""


class Lock(Fact, frozen=True, gc=False, tag=9):
    """If this node dies, the session can be resumed by the token of this digest."""

    session: int
    digest: bytes


class Revive(Join, frozen=True, gc=False, tag=10):
    """The session's node is dead; it joins here, if this is its digest and nobody was faster."""

    digest: bytes = b""


AnyFact = Join | End | Detach | Bequeath | Flush | Kill | Modify | Subscribing | Come | Lock | Revive


def _size(values: dict[str, Any]) -> int:
    return len(msgspec.msgpack.encode(values)) if values else 0
