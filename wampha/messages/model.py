"""WAMP messages as the core sees them.

A client's PUBLISH, CALL, YIELD, ERROR and SUBSCRIBE are read by their header only; the payload stays the bytes that
arrived. Everything else a client sends is one of Autobahn's classes (`autobahn.wamp.message`). All that the router
sends is a class of this file. Field names follow the specification (basic profile, "Message Definitions").
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


class Publish(Hot):
    request: int
    options: Options
    topic: str
    payload: Payload


class Call(Hot):
    request: int
    options: Options
    procedure: str
    payload: Payload


class Yield(Hot):
    request: int  # the id of the INVOCATION that it answers
    options: Options
    payload: Payload


class Subscribe(Hot):
    request: int
    options: Options
    topic: str


# ---- both ways


class Error(Hot):
    request_type: int  # WAMP code of the message that it answers, e.g. 48 for CALL
    request: int
    details: Options
    error: str
    payload: Payload = NOTHING


# ---- to clients


class Event(Hot):
    subscription: int
    publication: int
    details: Options
    payload: Payload


class Invocation(Hot):
    request: int
    registration: int
    details: Options
    payload: Payload


class Result(Hot):
    request: int
    details: Options
    payload: Payload


class Published(Hot):
    request: int
    publication: int


class Subscribed(Hot):
    request: int
    subscription: int


class Unsubscribed(Hot):
    request: int


class Registered(Hot):
    request: int
    registration: int


class Unregistered(Hot):
    request: int


class Welcome(Hot):
    session: int
    details: Options


class Abort(Hot):
    details: Options
    reason: str


class Goodbye(Hot):
    details: Options
    reason: str


class Challenge(Hot):
    method: str
    extra: Options
