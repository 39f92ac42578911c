"""The conversation with one client: HELLO, then a session, then the end (basic profile, "Sessions").

    AWAITING_HELLO -- HELLO --> AUTHENTICATING -- granted --> OPEN -- GOODBYE, ours or theirs --> CLOSED
          |                                                    ^                                   ^
          `--> RESUMING -- the session is here --> RESUMED -- any message                          |
          `------------------- ABORT, violation, loss: from everywhere ----------------------------'

A session that can be resumed outlives the loss of its connection, and that only (`resumption.py`).
Once it is closed, whatever still arrives is ignored, as the specification asks of a peer that has said GOODBYE.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from autobahn.wamp import message as autobahn

from wampha.auth.cookie import LOGOUT
from wampha.auth.doorway import Doorway
from wampha.auth.grant import Grant
from wampha.auth.steps import Answer, Claim
from wampha.errors import ProtocolViolation, SessionRefused
from wampha.messages.model import NO_OPTIONS, Abort, Challenge, Goodbye, Options, Welcome
from wampha.routing.admission import Admission
from wampha.routing.line import Line
from wampha.routing.ports import Cancellable, Client
from wampha.routing.realm import Realm
from wampha.routing.replies import CALL
from wampha.routing.session import Session
from wampha.routing.slow import SlowPolicy

if TYPE_CHECKING:
    from wampha.routing.router import Router

GOODBYE_AND_OUT: Final = "wamp.close.goodbye_and_out"


class State(enum.Enum):
    """Where the conversation stands."""

    AWAITING_HELLO = "awaiting HELLO"
    AUTHENTICATING = "authenticating"
    RESUMING = "its session is on its way here, or will be told that it is not"
    RESUMED = "resumed, and the client has not shown yet that it knows"
    OPEN = "open"
    CLOSED = "closed"


_IS_OPEN: Final = State.OPEN  # for the hot path: to look a member up in its enum costs ten times as much


class Conversation:
    """What the transport talks to: one per connection. None of its methods raises, but `receive` in one case."""

    __slots__ = ("_admission", "_deadline", "_doorway", "_realm", "_router", "_session", "_state", "client")

    def __init__(self, *, router: Router, client: Client, doorway: Doorway) -> None:
        self.client: Final = client
        self._router: Final = router
        self._doorway: Final = doorway
        self._admission: Admission | None = None  # while AUTHENTICATING
        self._state = State.AWAITING_HELLO
        self._realm: Realm | None = None
        self._session: Session | None = None
        self._deadline: Cancellable | None = router.hello_deadline(self._too_late)

    @property
    def established(self) -> bool:
        """Whether WELCOME was sent and neither side has ended the session."""
        return self._state in (State.OPEN, State.RESUMED)

    @property
    def session(self) -> Session | None:
        """The session, while there is one."""
        return self._session

    # ---- what the transport tells

    def receive(self, message: Any) -> None:
        """Handle one message of the client, or raise Later and have done nothing: hand it in again later."""
        try:
            if self._state is _IS_OPEN:
                step = _OPEN.get(type(message))
                if step is None:
                    assert self._realm is not None and self._session is not None, "an open session has a realm"
                    self._realm.receive(self._session, message)
                    return
            else:
                step = _STEPS[self._state].get(type(message), _OTHERWISE[self._state])
            step(self, message)
        except ProtocolViolation as violation:
            self.violated(violation)

    def violated(self, violation: ProtocolViolation) -> None:
        """The client broke the protocol: ABORT, then the close."""
        if self._state is not State.CLOSED:
            self._router.counters.add("protocol_violations")
            self._abort(violation.uri, str(violation))

    def undelivered(self, error: Any) -> None:
        """A progressive RESULT, or an INVOCATION, could not be sent; `error` ends the call in place of an answer."""
        if self.established:
            assert self._realm is not None and self._session is not None, "an open session has a realm"
            dealer = self._realm.dealer
            tell = dealer.undelivered if error.request_type == CALL else dealer.callees.uninvoked
            tell(self._session, error)

    def lost(self) -> None:
        """The connection is gone; the session may outlive it."""
        session = self._session
        if session is None or session.resumption is None:
            self._end()
            return
        proved = self._state is State.OPEN
        self._close()
        self._router.detached(self, session, session.resumption, proved)

    def slow_policy(self) -> SlowPolicy:
        """What the realm does if this client does not read; without a session everything is owed."""
        return SlowPolicy.DISCONNECT if self._realm is None else self._realm.slow_clients

    def slow_teller(self) -> Callable[[str, Mapping[str, Any]], None] | None:
        """Announces something about the session in its realm, even when it has ended meanwhile; None without one."""
        if self._realm is None or self._session is None:
            return None
        return partial(self._router.announce_slow, self._realm.name, self._session.id)

    # ---- what the router tells

    def settled(self) -> bool:
        """Prepare the end from our side; whether nothing is in progress any more. Asked again until it is so."""
        if self._router.may_move(self._session):
            return True
        return self._realm is None or self._session is None or self._realm.settled(self._session)

    def send_away(self, reason: str, sentence: str) -> None:
        """This node stops: `dismiss`, unless the session may go on at another node; then only the connection ends."""
        if not self._router.may_move(self._session):
            self.dismiss(reason, sentence)
            return
        self.lost()
        self.client.finish()

    def dismiss(self, reason: str, sentence: str) -> None:
        """End the session from our side: GOODBYE, or ABORT before WELCOME, then the close."""
        if self._state is State.CLOSED:
            return
        if self._session is None:
            self._abort(reason, sentence)
            return
        assert self._session is not None, "an open conversation has a session"
        self._router.caller_dismissed(self._session)
        self._part(Goodbye({"message": sentence}, reason))

    def expel(self, reason: str, sentence: str | None) -> Callable[[], None]:
        """End the session at once and without a word; what is returned says it, and closes."""
        if self._state is State.CLOSED:
            return _nothing
        details = NO_OPTIONS if sentence is None else {"message": sentence}
        words = Goodbye(details, reason) if self.established else Abort(details, reason)
        if self._session is not None:
            self._router.caller_dismissed(self._session)
        self._end()
        return partial(self._say, words)

    def superseded(self, reason: str, sentence: str) -> None:
        """The session goes on with another connection: this one is told so and closed."""
        self._close()
        self._say(Goodbye({"message": sentence}, reason))

    def _say(self, last_words: Goodbye | Abort) -> None:
        self.client.send(last_words)
        self.client.finish()

    # ---- steps

    def _hello(self, hello: Any) -> None:
        if hello.resume_session is not None:
            self._resume(hello)
            return
        self._state = State.AUTHENTICATING
        try:
            self._router.check_realm(hello.realm)
            claim, steps = self._router.entrance.begin(hello, self.client, self._doorway)
        except SessionRefused as refused:
            self.refused(refused)
            return
        entrance = self._router.entrance
        self._admission = Admission(
            steps=steps,
            workers=entrance.workers,
            ask=entrance.ask,
            challenge=lambda step: self.client.send(Challenge(step.method, step.extra)),
            granted=partial(self._granted, hello, claim),
            refused=partial(self._unproved, claim),
        )
        self._admission.begin()

    def _authenticate(self, message: Any) -> None:
        assert self._admission is not None, "who is authenticating has an admission"
        self._admission.answer(Answer(message.signature, message.extra or NO_OPTIONS))

    def _granted(self, hello: Any, claim: Claim, grant: Grant) -> None:
        self._admission = None
        session = self._open(hello, claim, grant)
        if session is not None:
            self._router.entrance.granted(claim, grant, session)

    def _open(self, hello: Any, claim: Claim, grant: Grant) -> Session | None:
        try:
            self._realm, session, details = self._router.join(hello, claim, grant, self)
        except SessionRefused as refused:
            self.refused(refused)
            return None
        self._session = session
        self._state = State.OPEN
        self._forget_deadline()
        self.client.send(Welcome(session.id, details))
        return session

    def _resume(self, hello: Any) -> None:
        self._state = State.RESUMING
        self._forget_deadline()  # whoever is asked has a deadline
        try:
            self._router.resume(hello, self)
        except SessionRefused as refused:
            self.refused(refused)

    def resumed(self, realm: Realm, session: Session, line: Line, details: Options) -> bool:
        """The session goes on here: WELCOME, then what has waited; False if the client has gone meanwhile."""
        if self._state is not State.RESUMING:
            return False
        self._realm, self._session = realm, session
        self._state = State.RESUMED
        self.client.send(Welcome(session.id, details))
        line.attach(self.client)
        self._router.came_back(session, self.client)
        return True

    def _proved(self, message: Any) -> None:
        """No client sends anything before it has got WELCOME."""
        assert self._session is not None and self._session.resumption is not None, "only such sessions are resumed"
        self._session.resumption.proved()
        self._state = State.OPEN
        self.receive(message)

    def _unproved(self, claim: Claim, refused: SessionRefused) -> None:
        self._router.entrance.refused(claim, refused)
        self.refused(refused)

    def refused(self, refused: SessionRefused) -> None:
        """The HELLO cannot be granted; nothing happens if the client has gone meanwhile."""
        if self._state is State.CLOSED:
            return
        self._admission = None
        if self._state is State.RESUMING:
            self._router.unresumed(self.client, refused)
        self._router.counters.add("hello_refused")
        self._abort(refused.reason, str(refused))

    def _goodbye(self, goodbye: Any) -> None:
        if goodbye.reason == LOGOUT and self._session is not None:
            self._router.log_out(self._session)
        self._part(Goodbye(NO_OPTIONS, GOODBYE_AND_OUT))

    def _part(self, goodbye: Goodbye) -> None:
        if self._session is not None and self._session.resumption is not None:
            self._session.resumption.line.flush()  # what was delivered in this turn comes before
        self.client.send(goodbye)
        self._end()
        self.client.finish()

    def _aborted(self, _: Any) -> None:
        self._end()
        self.client.finish()

    def _second_hello(self, _: Any) -> None:
        raise ProtocolViolation("A second HELLO.")

    def _misplaced(self, message: Any) -> None:
        raise ProtocolViolation(f"{type(message).__name__.upper()} before the session was opened.")

    def _ignore(self, _: Any) -> None:
        """What arrives behind the end is of no interest."""

    # ---- the end

    def _too_late(self) -> None:
        if not self._router.serving():
            # Nothing is read from clients now (rule 2): the HELLO may lie here already.
            self._deadline = self._router.hello_deadline(self._too_late)
            return
        self._router.counters.add("hello_timeouts")
        what = "No HELLO arrived" if self._state is State.AWAITING_HELLO else "The authentication was not complete"
        self._abort("wamp.error.timeout", f"{what} in time.")

    def _abort(self, reason: str, sentence: str) -> None:
        self.client.send(Abort({"message": sentence}, reason))
        self._end()
        self.client.finish()

    def _end(self) -> None:
        if self._state is State.CLOSED:
            return
        session = self._session
        self._close()
        self._router.ended(self, session)

    def _close(self) -> None:
        self._state = State.CLOSED
        self._forget_deadline()
        if self._admission is not None:
            self._admission.stop()
            self._admission = None
        self._realm = self._session = None

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _nothing() -> None:
    """Who has ended already is told nothing."""


_Step = Callable[[Conversation, Any], None]

# An open session's other messages go to its realm.
_OPEN: Final[Mapping[type, _Step]] = {
    autobahn.Goodbye: Conversation._goodbye,
    autobahn.Abort: Conversation._aborted,
    autobahn.Hello: Conversation._second_hello,
}
_STEPS: Final[Mapping[State, Mapping[type, _Step]]] = {
    State.AWAITING_HELLO: {autobahn.Hello: Conversation._hello, autobahn.Abort: Conversation._aborted},
    State.AUTHENTICATING: {
        autobahn.Authenticate: Conversation._authenticate,
        autobahn.Hello: Conversation._second_hello,
        autobahn.Abort: Conversation._aborted,
    },
    State.RESUMING: {autobahn.Abort: Conversation._aborted},
    State.RESUMED: {},
    State.OPEN: _OPEN,
    State.CLOSED: {},
}
_OTHERWISE: Final[Mapping[State, _Step]] = {
    State.AWAITING_HELLO: Conversation._misplaced,
    State.AUTHENTICATING: Conversation._misplaced,
    State.RESUMING: Conversation._misplaced,
    State.RESUMED: Conversation._proved,
    State.CLOSED: Conversation._ignore,
}
