"""WAMP messages as the core sees them.

A client's messages within a session are read by their header only; the payload stays the bytes that arrived. What
opens and ends a session (HELLO, AUTHENTICATE, ABORT, GOODBYE) is one of Autobahn's classes
(`autobahn.wamp.message`). All that the router sends is a class of this file. Field names follow the specification
(basic profile, "Message Definitions"); the fields of a class stand in the order of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wampha.messages.payload import NOTHING, Payload

Options = Mapping[str, Any]
NO_OPTIONS: Options = {}  # shared and never written to


class Hot(msgspec.Struct, frozen=True, gc=False):
    """A message on the hot path: small, immutable, not tracked by the garbage collector."""


# ---- from clients


class Publish(Hot, frozen=True):
    request: int
    options: Options
    topic: str
    payload: Payload


class Call(Hot, frozen=True):
    request: int
    options: Options
    procedure: str
    payload: Payload


class Yield(Hot, frozen=True):
    request: int  # the id of the INVOCATION that it answers
    options: Options
    payload: Payload


class Subscribe(Hot, frozen=True):
    request: int
    options: Options
    topic: str


class Unsubscribe(Hot, frozen=True):
    request: int
    subscription: int


class Register(Hot, frozen=True):
    request: int
    options: Options
    procedure: str


class Unregister(Hot, frozen=True):
    request: int
    registration: int


class Cancel(Hot, frozen=True):
    request: int  # the id of the CALL
    options: Options


# ---- both ways


class Error(Hot, frozen=True):
    request_type: int  # WAMP code of the message that it answers, e.g. 48 for CALL
    request: int
    details: Options
    error: str
    payload: Payload = NOTHING


# ---- to clients


class Event(Hot, frozen=True):
    subscription: int
    publication: int
    details: Options
    payload: Payload


class Invocation(Hot, frozen=True):
    request: int
    registration: int
    details: Options
    payload: Payload


class Interrupt(Hot, frozen=True):
    request: int  # the id of the INVOCATION
    options: Options


class Result(Hot, frozen=True):
    request: int
    details: Options
    payload: Payload


class Published(Hot, frozen=True):
    request: int
    publication: int


class Subscribed(Hot, frozen=True):
    request: int
    subscription: int


class Unsubscribed(Hot, frozen=True):
    request: int


class SubscriptionRevoked(Hot, frozen=True):
    """UNSUBSCRIBED that nobody asked for (advanced profile, "Subscription Revocation")."""

    request: int  # 0
    details: Options


class Registered(Hot, frozen=True):
    request: int
    registration: int


class Unregistered(Hot, frozen=True):
    request: int


class Revoked(Hot, frozen=True):
    """UNREGISTERED that nobody asked for (advanced profile, "Registration Revocation")."""

    request: int  # 0
    details: Options


class Welcome(Hot, frozen=True):
    session: int
    details: Options


class Abort(Hot, frozen=True):
    details: Options
    reason: str


class Goodbye(Hot, frozen=True):
    details: Options
    reason: str


class Challenge(Hot, frozen=True):
    method: str
    extra: Options


Received = Publish | Call | Yield | Error | Subscribe | Unsubscribe | Register | Unregister | Cancel
