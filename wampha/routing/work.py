"""A call in progress, as each of its two homes knows it (`calls.py` has them all)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wampha.messages.model import NO_OPTIONS, Call, Options
from wampha.routing.rerouting import Refusals
from wampha.state.commands import Owner
from wampha.state.tables import Callee

if TYPE_CHECKING:
    from wampha.routing.places import Places
    from wampha.routing.session import Session
    from wampha.routing.timeouts import Timeout

# CANCEL.Options.mode (advanced profile, "Call Canceling")
SKIP: Final = "skip"
KILL: Final = "kill"
KILLNOWAIT: Final = "killnowait"


class Work:
    """What the callee's home knows of a call while one of its sessions works on it."""

    __slots__ = ("callee", "interrupted", "invocation", "parts", "registration", "shown", "waits")

    waits: Places | None  # in whose queue it is, until the callee has a place for it
    callee: Session | None  # while it is worked on; then the rest is there, too
    invocation: int  # the id of its INVOCATION
    registration: int  # INVOCATION.Registration, likewise
    shown: Options  # INVOCATION.Details, likewise
    interrupted: bool  # its end was asked for by mode `kill`
    parts: int  # of a progressive call, sent so far; 1 for any other


class PendingCall(Work):
    """A CALL of a session of this node that waits for its end."""

    __slots__ = (
        "attempts",
        "began",
        "call",
        "caller",
        "details",
        "ended",
        "more",
        "number",
        "order",
        "refusals",
        "target",
        "timeout",
    )

    def __init__(self, caller: Session, call: Call, details: Options = NO_OPTIONS, order: int = 0) -> None:
        self.callee = None
        self.waits = None
        self.interrupted = False
        self.order: Final = order  # ascends with each call of this node
        self.caller: Final = caller
        self.call: Final = call  # its first part, if it is a progressive one
        self.details: Final = details  # of any INVOCATION for it
        self.ended = False
        self.began = 0.0  # when the turn began in which it came
        self.more = False  # another part will follow
        self.parts = 1
        self.attempts = 0
        self.target: Callee | None = None  # whom it was sent to last
        self.refusals: Refusals | None = None  # what stands against asking somebody else, once there is any of it
        self.number = 0  # at another node: the number under which that node knows it
        self.timeout: Timeout | None = None

    def asked(self) -> Refusals:
        """What became of it at those who were asked."""
        if self.refusals is None:
            self.refusals = Refusals()
        return self.refusals


class Served(Work):
    """A call that came from another node, while a callee of this one works on it."""

    __slots__ = ("number", "source")

    def __init__(self, source: Owner, number: int) -> None:
        self.callee = None
        self.waits = None
        self.interrupted = False
        self.parts = 1
        self.source: Final = source
        self.number: Final = number
