"""One WAMP session of a client: requests and their answers, events and invocations, over one of Autobahn's transports.

Autobahn's own session class turns arguments into those of Python functions, and loses which results had one argument
that is null and which had none. Here a message stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import txaio

txaio.use_twisted()  # type: ignore[no-untyped-call]  # Autobahn's serializers ask for it when imported

from autobahn.wamp import message as _message  # noqa: E402 - txaio comes first
from autobahn.wamp import role as _role  # noqa: E402
from twisted.internet import defer  # noqa: E402

from wampha.cli.exits import CommandFailed, Exit  # noqa: E402
from wampha.cli.proofs import Proof, ProofError  # noqa: E402
from wampha.cli.target import Target  # noqa: E402
from wampha.cli.values import payload  # noqa: E402

wamp: Any = _message  # untyped in Autobahn
role: Any = _role
GOODBYE_S: Final = 2.0  # for which the end of a session waits

_NO_RIGHT: Final = ("wamp.error.not_authorized", "wamp.error.authorization_failed")
_TOO_LATE: Final = ("wamp.error.timeout",)
# A node that refuses with these may serve later, and another one now.
AWAY: Final = ("wamp.error.unavailable", "wamp.close.system_shutdown", "wamp.error.system_shutdown")


class Lost(Exception):
    """There is no session (any more); `str()` says why."""


class Refused(Exception):
    """The router does not let us in."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(f"{reason}: {sentence}" if sentence else reason)
        self.reason: Final = reason


class Answered(Exception):
    """An ERROR: its URI and payload."""

    def __init__(self, uri: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        super().__init__(f"{uri}: {payload(args, kwargs)}" if args or kwargs else uri)
        self.uri: Final = uri

    def as_failure(self) -> CommandFailed:
        """How a command ends that cannot go on."""
        if self.uri in _NO_RIGHT:
            return CommandFailed(Exit.REFUSED, str(self))
        return CommandFailed(Exit.TIMEOUT if self.uri in _TOO_LATE else Exit.FAILED, str(self))


def _roles() -> dict[str, Any]:
    return {
        "publisher": role.RolePublisherFeatures(publisher_exclusion=True),
        "subscriber": role.RoleSubscriberFeatures(pattern_based_subscription=True, publisher_identification=True),
        "caller": role.RoleCallerFeatures(progressive_call_results=True, call_canceling=True, call_timeout=True),
        "callee": role.RoleCalleeFeatures(
            progressive_call_results=True,
            call_canceling=True,
            pattern_based_registration=True,
            shared_registration=True,
            caller_identification=True,
        ),
    }


class Session:
    """A session that joins as soon as its transport is open. `joined` fires, or fails with Lost or Refused."""

    _authid = _session_id = None  # Autobahn's transports show them in their traces

    def __init__(self, target: Target) -> None:
        self.joined: Final[defer.Deferred[Any]] = defer.Deferred()  # -> WELCOME
        self.on_event: Callable[[Any], None] | None = None
        self.on_invocation: Callable[[Any], None] | None = None
        self.on_interrupt: Callable[[Any], None] | None = None
        self._target: Final = target
        self._proof: Final = Proof(target.credentials)
        self._ids: Final = count(1)
        self._waiting: Final[dict[int, defer.Deferred[Any]]] = {}  # request id -> who waits for its answer
        self._progress: Final[dict[int, Callable[[Any], None]]] = {}  # request id of a CALL -> who wants its parts
        self._transport: Any = None
        self._ended = False
        self._end_heard: Final[list[defer.Deferred[str]]] = []  # who waits for the end
        self._why: str | None = None  # it ends or ended, if the peer said so before the connection closed
        self._handlers: Final[dict[type, Callable[[Any], None]]] = {
            wamp.Welcome: self._welcome,
            wamp.Challenge: self._challenge,
            wamp.Abort: self._abort,
            wamp.Goodbye: self._goodbye,
            wamp.Error: self._error,
            wamp.Result: self._result,
            wamp.Event: lambda event: self.on_event and self.on_event(event),
            wamp.Invocation: lambda invocation: self.on_invocation and self.on_invocation(invocation),
            wamp.Interrupt: lambda interrupt: self.on_interrupt and self.on_interrupt(interrupt),
            **dict.fromkeys(
                (wamp.Published, wamp.Subscribed, wamp.Unsubscribed, wamp.Registered, wamp.Unregistered), self._answer
            ),
        }

    # ---- what Autobahn's transports call

    def onOpen(self, transport: Any) -> None:  # noqa: N802 - Autobahn's name
        """Say HELLO."""
        self._transport = transport
        transport.send(wamp.Hello(self._target.realm, _roles(), **self._proof.offer()))

    def onMessage(self, message: Any) -> None:  # noqa: N802 - Autobahn's name
        """Take a message of the router; what a handler raises ends the session, and whoever waits is told."""
        handler = self._handlers.get(type(message))
        if handler is not None:
            try:
                handler(message)
            except CommandFailed as failed:
                self._fail(failed)

    def onClose(self, was_clean: bool) -> None:  # noqa: N802 - Autobahn's name
        """Nothing: `lost` follows, and knows why."""

    def lost(self, why: str) -> None:
        """The connection is closed: nothing will be answered any more."""
        self._transport = None
        self._why = self._why or why
        waiting, lost = list(self._waiting.values()), Lost(self._why)
        self._waiting.clear()
        for each in (*waiting, self.joined):
            if not each.called:
                each.errback(lost)
        self._ended = True
        for heard in self._end_heard:
            if not heard.called:
                heard.callback(self._why)
        self._end_heard.clear()

    def _fail(self, failed: CommandFailed) -> None:
        waiting = [*self._waiting.values(), *self._end_heard]
        self._waiting.clear()
        for each in waiting:
            if not each.called:
                each.errback(failed)
        self.goodbye()

    # ---- what commands ask for

    @property
    def id(self) -> int:
        """The session's id; 0 before it has joined."""
        return self._session_id or 0

    def send(self, message: Any) -> None:
        """Send a message. Raises Lost; CommandFailed if it cannot be written or is too large."""
        if self._transport is None or not self._transport.isOpen():
            raise Lost(self._why or "the connection is closed")
        try:
            self._transport.send(message)
        except Exception as error:
            raise CommandFailed(Exit.FAILED, f"the message cannot be sent: {error}") from None

    def request(self, kind: Any, *given: Any, **options: Any) -> defer.Deferred[Any]:
        """Send the request `kind(id, ...)`. Fires with its answer; fails with Answered or Lost."""
        number = next(self._ids)
        asked: defer.Deferred[Any] = defer.Deferred(lambda _: self._forget(number))
        self._waiting[number] = asked
        try:
            self.send(kind(number, *given, **options))
        except Exception:
            del self._waiting[number]
            raise
        return asked

    def publish(self, topic: str, args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any) -> None:
        """Publish without asking for an acknowledgement."""
        self.send(wamp.Publish(next(self._ids), topic, args=list(args), kwargs=dict(kwargs), **options))

    def call(
        self,
        procedure: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        on_progress: Callable[[Any], None] | None = None,
    ) -> defer.Deferred[Any]:
        """Call. Fires with RESULT; fails with Answered or Lost; to cancel it cancels the call."""
        number = next(self._ids)
        asked: defer.Deferred[Any] = defer.Deferred(lambda _: self._cancel(number))
        self._waiting[number] = asked
        if on_progress:
            self._progress[number] = on_progress
        progressive = True if on_progress else None
        self.send(wamp.Call(number, procedure, args=list(args), kwargs=dict(kwargs), receive_progress=progressive))
        return asked

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._progress.pop(number, None)

    def _cancel(self, number: int) -> None:
        self._forget(number)
        if self._transport is not None:
            self._transport.send(wamp.Cancel(number, mode=wamp.Cancel.KILLNOWAIT))

    def goodbye(self) -> None:
        """Begin to leave."""
        if self._transport is None or self._why is not None:
            return
        self._why = "left"
        if self._session_id is None:
            self._transport.close()
        else:
            self._transport.send(wamp.Goodbye())

    async def leave(self, reactor: Any) -> None:
        """Say GOODBYE, wait (2 s at most) until all that was sent is done, and close."""
        if self._transport is None:
            return
        self.goodbye()
        timer = reactor.callLater(GOODBYE_S, self.abandon)
        await self.until_ended()
        if timer.active():
            timer.cancel()

    def until_ended(self) -> defer.Deferred[str]:
        """Fires when the session has ended, with the reason; fails if its own work failed; may be cancelled."""
        waiting: defer.Deferred[str] = defer.Deferred()
        if self._ended:
            waiting.callback(self._why or "")
        else:
            self._end_heard.append(waiting)
        return waiting

    def abandon(self) -> None:
        """Close the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # ---- messages

    def _welcome(self, welcome: Any) -> None:
        try:
            self._proof.check(welcome.authextra)
        except ProofError as error:
            self._distrust(error)
            return
        self._session_id, self._authid = welcome.session, welcome.authid
        self.joined.callback(welcome)

    def _challenge(self, challenge: Any) -> None:
        try:
            signature, extra = self._proof.answer(challenge.method, challenge.extra or {})
        except ProofError as error:
            self._distrust(error)
        else:
            self.send(wamp.Authenticate(signature, extra))

    def _distrust(self, error: ProofError) -> None:
        self._transport.send(wamp.Abort("wamp.error.cannot_authenticate", str(error)))
        self._transport.close()
        self.joined.errback(Refused("wamp.error.cannot_authenticate", str(error)))

    def _abort(self, abort: Any) -> None:
        self._why = str(Refused(abort.reason, abort.message or ""))
        if not self.joined.called:
            self.joined.errback(Refused(abort.reason, abort.message or ""))
        self._transport.close()

    def _goodbye(self, goodbye: Any) -> None:
        if self._why is None:
            self._why = f"the router says goodbye: {Refused(goodbye.reason, goodbye.message or '')}"
            self._transport.send(wamp.Goodbye(wamp.Goodbye.DEFAULT_REASON))
        self._transport.close()

    def _error(self, error: Any) -> None:
        self._progress.pop(error.request, None)
        waiting = self._waiting.pop(error.request, None)
        if waiting is not None:
            waiting.errback(Answered(error.error, error.args or [], error.kwargs or {}))

    def _result(self, result: Any) -> None:
        if result.progress:
            if heard := self._progress.get(result.request):
                heard(result)
            return
        self._progress.pop(result.request, None)
        self._answer(result)

    def _answer(self, answer: Any) -> None:
        waiting = self._waiting.pop(answer.request, None)
        if waiting is not None:
            waiting.callback(answer)
