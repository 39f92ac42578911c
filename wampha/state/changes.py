"""What applying the log changed: frozen facts in the order of the log, for those who act on them."""

from __future__ import annotations

import msgspec

from wampha.state.commands import Owner


class Change(msgspec.Struct, frozen=True, gc=False):
    """One change of the tables."""


class LeaderChanged(Change, frozen=True, gc=False):
    term: int
    name: str


class NodeUp(Change, frozen=True, gc=False):
    owner: Owner


class NodeGone(Change, frozen=True, gc=False):
    """The incarnation is dead; the removals of its rows stand before this in the list."""

    owner: Owner
    reason: str  # "down", "left" or "succeeded"


class RouteAdded(Change, frozen=True, gc=False):
    owner: Owner
    realm: str
    match: str
    topic: str
    subscription: int


class RouteRemoved(Change, frozen=True, gc=False):
    owner: Owner
    realm: str
    match: str
    topic: str
    subscription: int


class RegistrationAdded(Change, frozen=True, gc=False):
    """One callee more."""

    owner: Owner
    realm: str
    match: str
    procedure: str
    registration: int
    session: int
    first: bool  # the registration did not exist before


class RegistrationRemoved(Change, frozen=True, gc=False):
    """One callee less."""

    owner: Owner
    realm: str
    match: str
    procedure: str
    registration: int
    session: int
    last: bool  # the registration does not exist any more
    reason: str = ""  # why it was taken from its callee; empty if the callee, or its node, gave it up
