"""What applying the log changed: frozen facts in the order of the log, for those who act on them."""

from __future__ import annotations

import msgspec

from wampha.state.commands import Owner
from wampha.state.facts import Kill, Testament
from wampha.state.roll import Member


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


class SessionJoined(Change, frozen=True, gc=False):
    member: Member


class SessionLeft(Change, frozen=True, gc=False):
    """The session is over; its testaments are due, in this order."""

    member: Member
    testaments: tuple[Testament, ...]
    report: int = 0  # of its home node, in which it said so; 0: somebody else did, or nobody could
    killed: Kill | None = None


class SessionRefused(Change, frozen=True, gc=False):
    """The id of a session that joined is another one's: its home node ends it."""

    owner: Owner
    session: int


class TestamentsDue(Change, frozen=True, gc=False):
    """The session has lost its connection and goes on."""

    member: Member
    testaments: tuple[Testament, ...]
    report: int  # as above


class SessionsMet(Change, frozen=True, gc=False):
    """Which sessions a Kill or Modify was about: the fact at this place of the owner's report."""

    owner: Owner
    report: int
    place: int
    sessions: tuple[int, ...]
    kill: Kill | None = None


class CookieForgotten(Change, frozen=True, gc=False):
    """Its user has logged out: the sessions that it let in end."""

    digest: bytes


class SubscriberChanged(Change, frozen=True, gc=False):
    """A session has gained or lost a subscription whose route stands; told only while somebody listens."""

    realm: str
    session: int
    subscription: int
    begins: bool
    number: int  # no other change of this kind has the same
