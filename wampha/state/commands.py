"""The commands of the replicated log: frozen facts, each stamped with the incarnation that states them.

A command has a version in the codec (`codec.py`); old ones stay readable. Nothing here depends on a clock or chance.
"""

from __future__ import annotations

import enum

import msgspec

from wampha.state.facts import AnyFact


class Owner(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """One incarnation of a node: the owner of rows (protocol section 1)."""

    name: str
    incarnation: int


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log."""


class Lead(Command, frozen=True, gc=False, tag=1):
    """A new leader's first command (rule 12)."""

    term: int
    name: str


class Up(Command, frozen=True, gc=False, tag=2):
    """The incarnation serves from now on; those it succeeds are dead (rule 25)."""

    owner: Owner
    succeeds: tuple[int, ...]
    address: str  # host:port of its peer listener
    version: str
    reads: int = 1  # the newest version of commands that the node can read


class Down(Command, frozen=True, gc=False, tag=3):
    """The incarnation is dead; valid only in `term` (rule 26)."""

    owner: Owner
    term: int


class Leave(Command, frozen=True, gc=False, tag=4):
    """The incarnation stops of its own will (rule 5)."""

    owner: Owner


class AddRoute(Command, frozen=True, gc=False, tag=5):
    """The owner has at least one subscriber for (realm, match, topic)."""

    owner: Owner
    number: int
    realm: str
    match: str
    topic: str
    session: int = 0  # that asked for it
    created: int = 0  # when, by the proposer's wall clock: milliseconds since 1970, a fact on which nothing depends


class RemoveRoute(Command, frozen=True, gc=False, tag=6):
    """The owner has no subscriber left for (realm, match, topic)."""

    owner: Owner
    number: int
    realm: str
    match: str
    topic: str
    session: int = 0  # the last one


class AddRegistration(Command, frozen=True, gc=False, tag=7):
    """The owner's `session` offers (realm, match, procedure) on these terms."""

    owner: Owner
    number: int
    realm: str
    match: str
    procedure: str
    policy: str  # one of `registrations.POLICIES`
    session: int
    created: int = 0  # as in `AddRoute`
    concurrency: int = 0  # calls that the session works on at once; 0: any number
    repeatable: bool = False  # a call may be given to another callee if this one is lost
    force: bool = False  # whoever else offers it does so no longer
    renews: int = 0  # the registration's id, if this row stood before: then it is confirmed, and never made anew
    takes: Owner | None = None  # the session was at that node: its row there becomes this one, under the same id


class RemoveRegistration(Command, frozen=True, gc=False, tag=8):
    """The owner's `session` offers (realm, match, procedure) no longer."""

    owner: Owner
    number: int
    realm: str
    match: str
    procedure: str
    session: int


class Report(Command, frozen=True, gc=False, tag=9):
    """What became of the owner's sessions since its report before this one; numbered from 1 (see `sessions.py`)."""

    owner: Owner
    number: int
    facts: tuple[AnyFact, ...]


class KeptEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A publication, as far as it is needed to send it to whoever subscribes or asks later."""

    publication: int
    topic: str
    time_ms: int  # since 1970, by the wall clock of the publisher's home: a fact on which nothing depends
    publisher: int  # session id
    to_publisher: bool  # whether the publisher itself may get it
    lists: bytes  # MessagePack of the black and white lists; empty: it is for everybody
    details: bytes  # MessagePack of EVENT.Details, but for what differs between subscriptions; empty: none
    family: int  # these three are its payload
    count: int
    data: bytes


class Ring(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A history that takes an event: the configured pattern, and its bounds."""

    match: str
    topic: str
    events_max: int
    bytes_max: int


class Entrusted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """An event that is to be kept, and where."""

    realm: str
    event: KeptEvent
    retain: bool
    rings: tuple[Ring, ...]


class Clear(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The topics that match have no retained event any more."""

    realm: str
    match: str
    topic: str


class Keep(Command, frozen=True, gc=False, tag=10):
    """What the owner's clients want to be kept, or cleared, since its statement before this one; numbered from 1.

    The bounds are those of retained events in one realm: as the owner has them, so that all nodes use the same.
    """

    owner: Owner
    number: int
    topics_max: int
    bytes_max: int
    wishes: tuple[Entrusted | Clear, ...]


class Identity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who has proved to be whom."""

    realm: str
    name: str  # the authid that was claimed; it may have been let in under another one
    authmethod: str
    proof: bytes  # by cookie and principal together: as long as that one stays as it was


class RememberCookie(Command, frozen=True, gc=False, tag=11):
    """Who brings the cookie of this digest is that principal; the cookie was known to nobody before."""

    owner: Owner
    digest: bytes
    identity: Identity
    periods: int  # for which it is known
    cookies_max: int  # that the cluster knows; as the owner has it, so that all nodes use the same


class ForgetCookie(Command, frozen=True, gc=False, tag=12):
    """The cookie of this digest, which was or will be this identity's, lets nobody in any more."""

    owner: Owner
    digest: bytes
    identity: Identity
    periods: int
    cookies_max: int


class EndPeriod(Command, frozen=True, gc=False, tag=13):
    """So much time has passed since the last one was applied; `period` of them were before (`cookies.py`)."""

    owner: Owner
    period: int


class Outcome(enum.Enum):
    """What `apply` made of a command. The ledger adds UNKNOWN when it cannot say (rule 32)."""

    OK = "ok"
    TAKEN = "taken"  # the procedure has another owner (rule 34)
    CONFLICT = "conflict"  # the procedure is shared by another policy
    FULL = "full"  # the procedure has as many callees as one may have
    STALE = "stale"  # a later command of the same incarnation was applied before (rule 30)
    DEAD = "dead"  # the incarnation is not up (rule 30), or is dead for good (rule 25)
    REFUSED = "refused"  # a condition of the command does not hold, e.g. the term of Down (rule 26)
    UNKNOWN = "unknown"  # never returned by apply
