"""The dealer of one realm: CALL, YIELD, ERROR, CANCEL, and what other nodes relay of calls.

Who offers a procedure stands in the replicated registrations; see `offers.py` for those of this node's sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wampha.counters import Counters
from wampha.errors import (
    Canceled,
    FeatureNotSupported,
    InvalidUri,
    PayloadSizeExceeded,
    ProtocolViolation,
    Unavailable,
    WampError,
)
from wampha.limits import Limits
from wampha.messages.model import (
    NO_OPTIONS,
    Call,
    Cancel,
    Error,
    Invocation,
    Options,
    Yield,
)
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.relayed import PROGRESS, RESULT, Answer, Invoke, InvokeMore, Reply
from wampha.names.uri import EXACT, UriRules, is_reserved
from wampha.routing import replies
from wampha.routing.calls import KILLNOWAIT, Calls, PendingCall, Served, canceled_by_caller, not_registered
from wampha.routing.details import call_details, fitted
from wampha.routing.meta.procedures import Procedures
from wampha.routing.offers import Offer, Offers
from wampha.routing.permissions import PLAIN
from wampha.routing.ports import Ledger, Outbox
from wampha.routing.replies import carried, sentence_of
from wampha.routing.session import Session
from wampha.state.commands import Owner
from wampha.state.tables import Registration

_ATTEMPTS_MAX: Final = 3  # nodes a call is offered to before it is refused; only what nobody was sent is offered again


class Dealer:
    """WAMP's remote procedure calls for the sessions of one realm on this node."""

    def __init__(
        self,
        *,
        realm: str,
        uris: UriRules,
        limits: Limits,
        counters: Counters,
        outbox: Outbox,
        ledger: Ledger,
        offers: Offers,
        calls: Calls,
        procedures: Procedures,
        timeout_unit_s: float,
    ) -> None:
        """`procedures` are the router's own.

        `timeout_unit_s`: what a `timeout` of 1 means; by the specification a millisecond.
        """
        self._realm: Final = realm
        self._uris: Final = uris
        self._calls_max: Final = limits.session_calls_max
        self._counters: Final = counters
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._calls: Final = calls
        self._procedures: Final = procedures
        self._timeout_unit_s: Final = timeout_unit_s
        self._offers: Final = offers
        self._by_id: Final = offers.by_id

    def leave(self, session: Session) -> None:
        """The session has ended: calls of it and to it end."""
        self._calls.caller_left(session)
        self._calls.callee_left(session)

    # ---- CALL, at the caller's home

    def call(self, caller: Session, call: Call) -> None:
        """Send an INVOCATION to the procedure's owner, at this node or another."""
        request, calls = call.request, caller.calls
        if request in calls or request in caller.unfinished:
            self._continue(caller, call)
            return
        procedure, options, details = call.procedure, call.options, NO_OPTIONS
        self._uris.check(procedure)
        verdict = caller.permissions.require("call", procedure)
        if options or verdict is not PLAIN:
            details = call_details(caller, options, verdict)
        if len(calls) >= self._calls_max:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"A session may have {self._calls_max} calls that wait for their end.")
        pending = self._calls.open(caller, call, details)
        if options and (timeout := options.get("timeout", 0)):
            self._calls.limit(pending, timeout * self._timeout_unit_s)
        self._choose(pending)

    def callee_nodes(self, caller: Session, call: Call) -> Iterable[Owner]:
        """The node that the call would go to, or that its next part goes to."""
        pending = caller.calls.get(call.request)
        if pending is None:
            self._uris.check(call.procedure)
        target = self._target(call.procedure) if pending is None else pending.target
        return () if target is None else (target.owner,)

    def caller_nodes(self, callee: Session, answer: Yield | Error) -> Iterable[Owner]:
        """The node that the callee's answer goes to, if it is another one."""
        work = callee.invocations.get(answer.request)
        return (work.source,) if isinstance(work, Served) else ()

    def _continue(self, caller: Session, call: Call) -> None:
        """The next part of a progressive call, or of one that has ended meanwhile; all options but one are frozen."""
        pending = caller.calls.get(call.request)
        more = call.options.get("progress") is True
        if pending is None or pending.call.procedure != call.procedure:
            self._counters.add("late_parts")
            if not more:
                caller.unfinished.pop(call.request, None)
        elif not pending.more:
            raise ProtocolViolation(f"CALL with request id {call.request}, which an earlier CALL still uses.")
        else:
            pending.more = more
            pending.parts += 1
            self._pass_on(pending, more, call.payload)

    def _pass_on(self, pending: PendingCall, more: bool, payload: Payload) -> None:
        if pending.callee is not None:
            self._send_part(pending, more, payload)
            return
        assert pending.target is not None, "a call that has not ended was sent to somebody"
        if not self._outbox.forward(pending.target.owner, InvokeMore(pending.number, more, payload)):
            sentence = "A part of the call could not be sent to the callee's node."
            self._calls.abandon(pending, KILLNOWAIT, Canceled.uri)
            self._calls.refuse(pending, Canceled(sentence, {"outcome": "unknown"}))

    def _target(self, procedure: str) -> Registration | None:
        """The registration that a call goes to (advanced profile, "Calls matching multiple registrations")."""
        rows = self._ledger.tables.registrations.get(self._realm)
        if rows is None:
            return None
        exact = rows.get(EXACT, procedure)
        if exact is not None or is_reserved(procedure):  # a pattern never stands for the router's own procedures
            return exact
        matches = rows.match(procedure)
        return matches[0] if matches else None

    def _choose(self, pending: PendingCall) -> None:
        target = self._target(pending.call.procedure)
        if target is None:
            self._procedures.take(pending)
            return
        here = target.owner == self._ledger.owner
        if (not here or pending.caller.asked is not None) and not self._calls.hand(pending, target.session):
            self._calls.refuse(pending, Unavailable("Later calls have overtaken this one; nothing was called."))
            return
        pending.target = target
        pending.attempts += 1
        if here:
            self._invoke_here(pending, target)
        else:
            self._invoke_there(pending, target)

    def _invoke_here(self, pending: PendingCall, target: Registration) -> None:
        offer = self._by_id.get(target.id)
        if offer is None or offer.session.id != target.session:
            self._calls.refuse(pending, not_registered(target.procedure))
            return
        details = pending.details
        if details or not offer.plain:
            try:
                details = fitted(details, offer, pending.caller.originator, pending.call.procedure)
            except FeatureNotSupported as error:
                self._calls.refuse(pending, error)
                return
        self._send_invocation(offer, pending, details, pending.call.payload)

    def _invoke_there(self, pending: PendingCall, target: Registration) -> None:
        call, caller = pending.call, pending.caller
        number = self._calls.await_reply(pending, target.owner)
        invoke = Invoke(
            number,
            self._realm,
            target.id,
            call.procedure,
            target.session,
            caller.originator,
            pending.details,
            call.payload,
        )
        if not self._outbox.forward(target.owner, invoke):
            self._calls.replied(target.owner, number)
            self._calls.refuse(pending, Unavailable("The callee's node cannot be reached now; nothing was sent to it."))

    def replied(self, pending: PendingCall, reply: Reply) -> None:
        """Another node has ended a call, or tells of a result on the way, or has not delivered it (rule 3)."""
        if reply.answer is RESULT:
            if reply.options:
                self._result(pending, reply.options, reply.payload)
            else:
                self._calls.result(pending, NO_OPTIONS, reply.payload)
        elif reply.answer is PROGRESS:
            self._progress(pending, reply.options, reply.payload)
        elif reply.answer is Answer.ERROR:
            self._calls.error(pending, carried(reply.options), reply.error, reply.payload)
        else:
            self._choose_again(pending, reply.error)

    def _choose_again(self, pending: PendingCall, why: str) -> None:
        """Nothing has been sent to the callee, so another owner may be asked; the same would answer the same."""
        target = self._target(pending.call.procedure)
        if pending.interrupted:
            self._calls.refuse(pending, canceled_by_caller())
        elif not self._ledger.serving():
            self._calls.refuse(pending, Unavailable("This node does not serve at the moment; nothing was called."))
        elif target is not None and target.owner in self._outbox.behind:
            self._calls.refuse(pending, Unavailable("The callee's node does not keep up now; nothing was sent to it."))
        elif target != pending.target and pending.attempts < _ATTEMPTS_MAX and pending.parts == 1:
            self._choose(pending)
        elif why == Unavailable.uri:
            self._calls.refuse(pending, Unavailable("The callee's node does not serve now; nothing was sent to it."))
        else:
            self._calls.refuse(pending, not_registered(pending.call.procedure))

    def cancel(self, caller: Session, cancel: Cancel) -> None:
        """CANCEL of a call that has ended is no error: the two may cross."""
        pending = caller.calls.get(cancel.request)
        if pending is not None:
            self._calls.cancel(pending, cancel.options.get("mode", KILLNOWAIT))

    def undelivered(self, caller: Session, error: Error) -> None:
        """The caller could not be sent a progressive RESULT: the call ends, since what follows would make no sense."""
        pending = caller.calls.get(error.request)
        if pending is not None:
            self._calls.abandon(pending, KILLNOWAIT, error.error)
            self._calls.error(pending, error.details, error.error, error.payload)

    def uninvoked(self, callee: Session, error: Error) -> None:
        """The callee could not be sent an INVOCATION: the call ends as if it had answered with this error."""
        work = callee.invocations.get(error.request)
        if work is not None and work.parts > 1:
            self._calls.interrupt(work, error.error)
        self.failed(callee, error)

    def _result(self, pending: PendingCall, options: Options, payload: Payload) -> None:
        if options.get("ppt_scheme") and not pending.caller.features.caller_passthru:
            self._calls.refuse(pending, _caller_lacks_passthru())
        else:
            self._calls.result(pending, carried(options), payload)

    def _progress(self, pending: PendingCall, options: Options, payload: Payload) -> None:
        if options.get("ppt_scheme") and not pending.caller.features.caller_passthru:
            error = _caller_lacks_passthru()
            self._calls.abandon(pending, KILLNOWAIT, error.uri)
            self._calls.refuse(pending, error)
        else:
            self._calls.progress(pending, carried(options), payload)

    # ---- INVOCATION, at the callee's home

    def invoke(self, source: Owner, invoke: Invoke) -> None:
        """Another node's call: deliver it if all of rule 3 holds, else say that nothing was sent."""
        if not self._ledger.serving():
            self._outbox.forward(source, not_delivered(invoke.call, Unavailable.uri))
            return
        offer = self._by_id.get(invoke.registration)
        if offer is None or offer.session.id != invoke.callee or not self._owns(offer):
            self._outbox.forward(source, not_delivered(invoke.call))
            return
        details = invoke.details
        if details or not offer.plain:
            try:
                details = fitted(details, offer, invoke.caller, invoke.procedure)
            except FeatureNotSupported as error:
                self._calls.reply_error(source, invoke.call, error)
                return
        self._send_invocation(offer, self._calls.serve(source, invoke.call), details, invoke.payload)

    def invoke_more(self, served: Served, part: InvokeMore) -> None:
        """Another node's progressive call goes on; what cannot be delivered ends it (rule 2)."""
        served.parts += 1
        if self._ledger.serving():
            self._send_part(served, part.more, part.payload)
        else:
            error = Canceled("The callee's node could not deliver a part of the call.", {"outcome": "unknown"})
            self._calls.stop_serving(served, KILLNOWAIT, error.uri)
            self._calls.reply_error(served.source, served.number, error)

    def _owns(self, offer: Offer) -> bool:
        row = self._ledger.tables.registration(self._realm, offer.key.match, offer.key.uri)
        return row is not None and row.owner == self._ledger.owner and row.session == offer.session.id

    def _send_invocation(self, offer: Offer, work: PendingCall | Served, details: Options, payload: Payload) -> None:
        request = self._calls.invoked(offer.session, work, offer.id, details)
        offer.session.client.send(Invocation(request, offer.id, details, payload))

    def _send_part(self, work: PendingCall | Served, more: bool, payload: Payload) -> None:
        """A later part of a progressive call, with the details of the first."""
        assert work.callee is not None, "a part follows the first one to its callee"
        details = work.shown
        if not more:
            details = {name: value for name, value in details.items() if name != "progress"}
        work.callee.client.send(Invocation(work.invocation, work.registration, details, payload))

    def yielded(self, callee: Session, result: Yield) -> None:
        """The callee's result, on its way to the caller."""
        options = result.options
        if options:
            if options.get("ppt_scheme") and not callee.features.callee_passthru:
                raise ProtocolViolation("YIELD with ppt_scheme by a callee that announced no payload_passthru_mode.")
            if options.get("progress") is True:
                self._progressed(callee, result)
                return
        work = self._calls.answered(callee, result.request)
        if isinstance(work, Served):
            self._reply(work, Reply(work.number, RESULT, "", options, result.payload))
        elif options and work is not None:
            self._result(work, options, result.payload)
        elif work is not None:
            self._calls.result(work, NO_OPTIONS, result.payload)

    def _progressed(self, callee: Session, result: Yield) -> None:
        work = self._calls.working(callee, result.request)
        if work is None:
            return
        if "receive_progress" not in work.shown:
            self._counters.add("progress_unwanted")
        elif isinstance(work, PendingCall):
            self._progress(work, result.options, result.payload)
        elif not self._outbox.forward(work.source, Reply(work.number, PROGRESS, "", result.options, result.payload)):
            error = _too_large_between_nodes()
            self._calls.stop_serving(work, KILLNOWAIT, error.uri)
            self._calls.reply_error(work.source, work.number, error)

    def failed(self, callee: Session, error: Error) -> None:
        """The callee's error, on its way to the caller."""
        if error.request_type != replies.INVOCATION:
            raise ProtocolViolation(
                f"ERROR for a message of type {error.request_type}; a client may answer INVOCATION."
            )
        work = self._calls.answered(callee, error.request)
        if work is None:
            return
        uri, payload = error.error, error.payload
        try:
            self._uris.check(uri)
        except InvalidUri as refused:
            uri, payload = refused.uri, sentence_of(refused)
        if isinstance(work, Served):
            self._reply(work, Reply(work.number, Answer.ERROR, uri, error.details, payload))
        else:
            self._calls.error(work, carried(error.details), uri, payload)

    def _reply(self, served: Served, reply: Reply) -> None:
        """Tell the caller's home how the call ended. What no frame can hold becomes an ERROR: a CALL always ends."""
        if not self._outbox.forward(served.source, reply):
            self._calls.reply_error(served.source, served.number, _too_large_between_nodes())


def not_delivered(call: int, why: str = "") -> Reply:
    """Nothing has been sent to the callee (rule 3)."""
    return Reply(call, Answer.NOT_DELIVERED, why, NO_OPTIONS, NOTHING)


def _too_large_between_nodes() -> WampError:
    return PayloadSizeExceeded("The callee's answer is too large for the way to the caller's node.")


def _caller_lacks_passthru() -> WampError:
    return FeatureNotSupported("The callee answered in payload passthru mode, which the caller did not announce.")
