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
    """A node more has subscribers."""

    owner: Owner
    realm: str
    match: str
    topic: str
    subscription: int
    session: int  # that asked for it
    created: int | None  # when, if the subscription did not exist before


class RouteRemoved(Change, frozen=True, gc=False):
    """A node has no subscribers any more."""

    owner: Owner
    realm: str
    match: str
    topic: str
    subscription: int
    session: int  # the last one; 0: the node is dead, and nobody knows
    last: bool  # the subscription does not exist any more
    added: int  # index of the entry that added the row: no other row has the same


class RegistrationAdded(Change, frozen=True, gc=False):
    """One callee more."""

    owner: Owner
    realm: str
    match: str
    procedure: str
    registration: int
    session: int
    policy: str
    created: int | None  # as in `RouteAdded`
    added: int  # index of this entry
    moved: bool = False  # it was the same session's before, at another node


class RegistrationRemoved(Change, frozen=True, gc=False):
    """One callee less."""

    owner: Owner
    realm: str
    match: str
    procedure: str
    registration: int
    session: int
    last: bool  # the registration does not exist any more
    added: int  # as in `RouteRemoved`
    reason: str = ""  # why it was taken from its callee; empty if the callee, or its node, gave it up
