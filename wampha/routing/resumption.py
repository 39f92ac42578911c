"""Sessions that outlive their connection: who may come back, until when, and what that may cost.

A session that asked for it is *detached* when its connection ends without GOODBYE or ABORT. It keeps its
subscriptions, registrations, calls and invocations; what it is sent waits (`line.py`). Who brings its id and its token
within the grace time gets it back. The specification has no such thing; see docs/resumable-sessions.md.

A token is drawn at each WELCOME and works once. Of a token only its hash is kept.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wampha.auth.grant import Grant
from wampha.counters import Counters
from wampha.errors import SessionRefused, Unavailable
from wampha.limits import Limits
from wampha.messages.model import Options
from wampha.names.ids import Ids
from wampha.routing.line import Line
from wampha.routing.ports import Cancellable, Clock
from wampha.routing.slow import SlowPolicy

if TYPE_CHECKING:
    from wampha.routing.authorizer import Authorization
    from wampha.routing.conversation import Conversation
    from wampha.routing.permissions import Permissions
    from wampha.routing.realm import Realm
    from wampha.routing.session import Session

OFFERED: Final = "x_resumable_sessions"  # WELCOME.Details: the realm has them; seconds of grace
GAP: Final = "x_gap"  # WELCOME.Details of a resumed session
BUFFER_FULL: Final = "wampha.close.buffer_full"
RESUMED: Final = "wampha.close.resumed"  # to the connection that a session had before
_ENOUGH: Final = 7 / 8  # of the node's bound is held after it was passed, so that this is not done for every message


@dataclass(frozen=True, slots=True)
class ResumptionRules:
    """What a realm grants (`config.schema.ResumableSessions`)."""

    grace_s: float
    buffer_bytes: int
    sessions_max: int

    @classmethod
    def of(cls, section: Any) -> ResumptionRules | None:
        """From the configuration; None if the realm has no such sessions."""
        return None if section is None else cls(section.grace_s, section.buffer_bytes, section.sessions)


# The permissions of a role for one session, by realm, session id and grant; raises SessionRefused.
Permitting = Callable[["Realm", int, Grant], "Permissions | Authorization"]


class Key(NamedTuple):
    """What opens a session, and what the session had been sent when it was handed out."""

    digest: bytes
    sent: int
    dropped: int


class Resumption:
    """What belongs to one session because it can be resumed."""

    __slots__ = (
        "_all",
        "accounted_bytes",
        "conversation",
        "dropped",
        "former",
        "given",
        "key",
        "line",
        "rules",
        "session",
        "timer",
    )

    line: Line
    session: Session

    def __init__(self, resumptions: Resumptions, rules: ResumptionRules) -> None:
        """`line` and `session` must be set before anything else."""
        self._all: Final = resumptions
        self.rules: Final = rules
        self.conversation: Conversation | None = None  # None: detached
        self.key = Key(b"", 0, 0)
        # The key that was used last, until the client has shown that it got its successor: if the new connection is
        # lost before, WELCOME may not have arrived.
        self.former: Key | None = None
        self.given = False  # it is on its way to another node
        self.timer: Cancellable | None = None  # of the grace time
        self.accounted_bytes = 0  # the part of the node's total that waits here
        self.dropped = 0  # events that were counted as dropped

    def opened_by(self, digest: bytes) -> Key | None:
        """The key of the token with this digest, if it may be used now, or (`given`) as soon as that is decided."""
        if self.line.ended:
            return None
        keys = [self.key] if self.conversation or self.former is None else [self.key, self.former]
        return next((key for key in keys if hmac.compare_digest(key.digest, digest)), None)

    def proved(self) -> None:
        """The client has got WELCOME: the token before it is void."""
        self.former = None

    # ---- line.Keeper

    @property
    def room_bytes(self) -> int:
        """What may wait for this session."""
        return self.rules.buffer_bytes

    def held(self) -> None:
        """What waits has changed."""
        self._all.held(self)

    def overflowed(self) -> None:
        """Too much waits: the session ends."""
        self._all.overflowed(self)


class Resumptions:
    """The sessions of one node that can be resumed, and those that wait for it."""

    def __init__(
        self,
        *,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        clock: Clock,
        end: Callable[[Session, str, str], None],
    ) -> None:
        """`end` ends a session for good, with a reason and a sentence for a client that is there."""
        self._limits: Final = limits
        self._counters: Final = counters
        self._ids: Final = ids
        self._clock: Final = clock
        self._end: Final = end
        self._detached: Final[dict[Resumption, None]] = {}  # without a connection, oldest first
        self._of_realm: Final[dict[str, int]] = {}  # realm -> how many of them
        self._holders: Final[dict[Resumption, None]] = {}  # for which something waits
        self._held_bytes = 0

    def status(self) -> dict[str, int]:
        """How many sessions have no connection, and the bytes that wait for these and for those that came back."""
        return {"sessions": len(self._detached), "bytes": self._held_bytes}

    def detached(self) -> list[Session]:
        """The sessions that have no connection."""
        return [resumption.session for resumption in self._detached]

    # ---- a session's way

    def open(
        self, conversation: Conversation, rules: ResumptionRules | None, policy: SlowPolicy, wanted: bool | None
    ) -> Resumption | None:
        """Let a session that is about to open be resumed later, if client and realm want it; its way out is `line`."""
        if rules is None or not wanted:
            return None
        resumption = Resumption(self, rules)
        resumption.line = Line(client=conversation.client, policy=policy, keeper=resumption, clock=self._clock)
        resumption.conversation = conversation
        return resumption

    def token(self, resumption: Resumption, node: str) -> Options:
        """WELCOME.Details with a new token; `node` is where the session is."""
        token = f"{node}:{self._ids.secret()}"
        resumption.key = Key(digest_of(token), resumption.line.sent, resumption.line.dropped)
        return {"resumable": True, "resume_token": token}

    def opened_by(self, session: Session | None, hello: Any) -> tuple[Resumption, Key]:
        """What a HELLO for this session opens, and by which key; SessionRefused says no more than that it is none."""
        resumption = session.resumption if session is not None and session.realm == hello.realm else None
        key = resumption.opened_by(digest_of(hello.resume_token)) if resumption is not None else None
        if resumption is None or key is None:
            self._counters.add("resumptions_refused")
            raise no_such_session()
        if resumption.given:
            raise SessionRefused(Unavailable.uri, "The session is on its way to another node; try again.")
        return resumption, key

    def detach(self, resumption: Resumption) -> bool:
        """The connection is lost. False if no more sessions can wait, and so this one ends."""
        realm = resumption.session.realm
        others = self._of_realm.get(realm, 0)
        if others >= resumption.rules.sessions_max or len(self._detached) >= self._limits.detached_sessions_max:
            self._counters.add("sessions_not_kept")
            return False
        self._counters.add("sessions_detached")
        self._park(resumption)
        self._start(resumption)
        return True

    def resume(
        self,
        resumption: Resumption,
        used: Key,
        conversation: Conversation,
        node: str,
        *,
        lost: Sequence[int],
        node_lost: bool,
    ) -> Options:
        """The session goes on with another connection, which `Line.attach` tells; WELCOME.Details of it.

        `lost`: registrations that it could not keep on its way from another node; `node_lost`: all that it had.
        """
        self._counters.add("sessions_resumed")
        self._forget(resumption)
        line = resumption.line
        line.detach()
        resumption.conversation = conversation
        gap = {**_gap(resumption, used, lost), "node_lost": node_lost}
        resumption.former = used
        return {**self.token(resumption, node), "resumed": True, GAP: gap}

    # ---- a session's way to another node

    def give(self, resumption: Resumption) -> None:
        """The session goes to another node: nobody resumes it here meanwhile, and its time stands still."""
        if resumption not in self._detached:
            self._park(resumption)
        self._stop(resumption)
        resumption.given = True

    def keep(self, resumption: Resumption) -> None:
        """It does not go after all."""
        resumption.given = False
        self._start(resumption)

    def handed_over(self, resumption: Resumption) -> None:
        """It has gone, but for what waits in its line."""
        self._forget(resumption)
        resumption.line.forget_work()

    def arrive(self, rules: ResumptionRules, policy: SlowPolicy, digest: bytes, sent: int) -> Resumption:
        """A session comes by this token, after which it was sent so many messages."""
        resumption = Resumption(self, rules)
        resumption.line = Line(client=None, policy=policy, keeper=resumption, clock=self._clock)
        resumption.former = Key(digest, -sent, 0)
        return resumption

    def ended(self, resumption: Resumption) -> None:
        """The session is over."""
        self._forget(resumption)
        resumption.line.end()

    def _expired(self, resumption: Resumption) -> None:
        self._counters.add("resumable_sessions_expired")
        self._end(resumption.session, "wamp.error.timeout", "The session was not resumed in time.")

    def _park(self, resumption: Resumption) -> None:
        realm = resumption.session.realm
        self._detached[resumption] = None
        self._of_realm[realm] = self._of_realm.get(realm, 0) + 1
        resumption.conversation = None
        resumption.line.detach()

    def _start(self, resumption: Resumption) -> None:
        resumption.timer = self._clock.call_later(resumption.rules.grace_s, self._expired, resumption)

    @staticmethod
    def _stop(resumption: Resumption) -> None:
        if resumption.timer is not None:
            resumption.timer.cancel()
            resumption.timer = None

    def _forget(self, resumption: Resumption) -> None:
        self._stop(resumption)
        if resumption in self._detached:
            del self._detached[resumption]
            self._of_realm[resumption.session.realm] -= 1

    # ---- memory

    def held(self, resumption: Resumption) -> None:
        """What waits for a session has changed; if it is too much for the node, those with most hold less."""
        line = resumption.line
        self._counters.add("resumable_events_dropped", line.dropped - resumption.dropped)
        resumption.dropped = line.dropped
        more = line.held_bytes - resumption.accounted_bytes
        resumption.accounted_bytes = line.held_bytes
        self._held_bytes += more
        if line.held_bytes:
            self._holders[resumption] = None
        else:
            self._holders.pop(resumption, None)
        if more > 0 and self._held_bytes > self._limits.detached_bytes_max:
            self._relieve()

    def _relieve(self) -> None:
        enough = self._limits.detached_bytes_max * _ENOUGH
        while self._held_bytes > enough:
            for each in sorted(self._holders, key=lambda each: each.accounted_bytes, reverse=True):
                if self._held_bytes <= enough:
                    break
                each.line.shrink(each.accounted_bytes // 2)

    def overflowed(self, resumption: Resumption) -> None:
        """Too much waits that must not be dropped: the session ends, in a later turn."""
        self._counters.add("resumable_sessions_overflowed")
        sentence = "More waited for the session than its realm allows."
        self._clock.call_later(0, self._end, resumption.session, BUFFER_FULL, sentence)


def _gap(resumption: Resumption, used: Key, lost: Sequence[int]) -> Options:
    """What the client may have lost, and what will not be answered unless it remembers."""
    session, line = resumption.session, resumption.line
    waiting = line.unsent_invocations()
    return {
        "sent": line.sent - used.sent,
        "dropped": line.dropped - used.dropped,
        "replayed": line.held,
        "calls": list(session.calls),
        "invocations": [each for each in session.invocations if each not in waiting],
        "unregistered": list(lost),
    }


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def home_of(token: str) -> str:
    """The name of the node that has drawn the token; anything for what is none."""
    return token.rpartition(":")[0]


def no_such_session() -> SessionRefused:
    """The refusal of every id and token that open nothing; it says no more than that."""
    return SessionRefused("wamp.error.no_such_session", "No session can be resumed by this id and token.")
