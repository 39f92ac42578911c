"""The dealer of one realm: REGISTER, UNREGISTER, CALL, YIELD, ERROR, CANCEL, and what other nodes relay of calls.

Who offers a procedure stands in the replicated registrations; here are only the offers of this node's sessions.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.errors import (
    Canceled,
    FeatureNotSupported,
    InvalidArgument,
    InvalidUri,
    NoSuchRegistration,
    PayloadSizeExceeded,
    ProcedureAlreadyExists,
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
    Register,
    Registered,
    Unregister,
    Unregistered,
    Yield,
)
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.relayed import Answer, Invoke, InvokeMore, Reply
from wampha.names.uri import EXACT, MATCHES, UriRules, check_not_reserved, is_reserved
from wampha.routing import replies
from wampha.routing.calls import KILLNOWAIT, Calls, PendingCall, Served, canceled_by_caller, not_registered
from wampha.routing.details import call_details, fitted
from wampha.routing.docket import Docket, Undecided
from wampha.routing.permissions import PLAIN
from wampha.routing.ports import Ledger, Outbox
from wampha.routing.replies import carried, sentence_of
from wampha.routing.rows import REGISTRATIONS, RowKey, Rows
from wampha.routing.session import Session
from wampha.state.commands import Owner
from wampha.state.machine import SINGLE
from wampha.state.tables import Registration

_ATTEMPTS_MAX: Final = 3  # nodes a call is offered to before it is refused; only what nobody was sent is offered again


class Offer:
    """A procedure that a session of this node offers, or has asked to."""

    __slots__ = ("_dealer", "discloses", "id", "key", "plain", "session", "undecided")

    def __init__(self, dealer: Dealer, key: RowKey, session: Session, *, discloses: bool) -> None:
        self._dealer: Final = dealer
        self.key: Final = key
        self.session: Final = session
        self.discloses: Final = discloses  # its INVOCATIONs say who calls
        self.plain: Final = not discloses and key.match == EXACT  # they say nothing that the CALL did not
        self.id = 0  # unknown until REGISTERED was queued
        self.undecided: Undecided | None = None

    def waits(self) -> bool:
        return self.id == 0

    def stands(self, row_id: int) -> None:
        self._dealer.acknowledge(self, row_id)

    def taken(self) -> None:
        self._dealer.refuse(self)

    def withdraw(self, _: Undecided) -> None:
        """Its session does not wait any longer."""
        self._dealer.withdraw(self)


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
        rows: Rows,
        docket: Docket,
        calls: Calls,
        timeout_unit_s: float,
    ) -> None:
        """`timeout_unit_s`: what a `timeout` of 1 means; by the specification a millisecond."""
        self._realm: Final = realm
        self._uris: Final = uris
        self._limits: Final = limits
        self._counters: Final = counters
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._rows: Final = rows
        self._docket: Final = docket
        self._calls: Final = calls
        self._timeout_unit_s: Final = timeout_unit_s
        self._offers: Final[dict[tuple[str, str], Offer]] = {}  # (match, procedure) -> the offer of this node
        self._by_id: Final[dict[int, Offer]] = {}  # registration id -> those whose REGISTERED was queued

    # ---- REGISTER and UNREGISTER

    def register(self, session: Session, register: Register) -> None:
        """REGISTERED as soon as the row stands everywhere, or ERROR if the procedure has an owner (rules 22, 34)."""
        procedure = register.procedure
        match = _match_of(register.options)
        self._uris.check_pattern(match, procedure)
        check_not_reserved(procedure)
        session.permissions.require_pattern("register", match, procedure)
        if (match, procedure) in self._offers:
            raise ProcedureAlreadyExists(f"{procedure!r} is registered already.")
        self._check_bound(session)
        discloses = register.options.get("disclose_caller") is True
        offer = Offer(self, RowKey(REGISTRATIONS, self._realm, match, procedure), session, discloses=discloses)
        self._offers[match, procedure] = offer
        offer.undecided = undecided = Undecided(session, replies.REGISTER, register.request, offer.withdraw)
        self._rows.want(offer.key, session.id, offer)
        self._docket.enter(undecided)

    def acknowledge(self, offer: Offer, row_id: int) -> None:
        """The row stands: REGISTERED, and from here on the procedure can be called."""
        assert offer.undecided is not None, "an offer waits from its beginning"
        offer.id = row_id
        self._by_id[row_id] = offer
        offer.session.registrations[row_id] = offer
        offer.undecided.answer(Registered(offer.undecided.request, row_id))

    def refuse(self, offer: Offer) -> None:
        """The procedure has another owner (rule 34)."""
        del self._offers[offer.key.match, offer.key.uri]
        assert offer.undecided is not None, "an offer waits from its beginning"
        offer.undecided.refuse(ProcedureAlreadyExists(f"{offer.key.uri!r} is registered already."))

    def withdraw(self, offer: Offer) -> None:
        """Nobody waits for this offer any longer."""
        del self._offers[offer.key.match, offer.key.uri]
        self._rows.withdraw(offer.key)

    def unregister(self, session: Session, unregister: Unregister) -> None:
        """No call is delivered from here on; UNREGISTERED once the removal has been applied (rule 22)."""
        offer = session.registrations.pop(unregister.registration, None)
        if offer is None:
            raise NoSuchRegistration(f"Registration {unregister.registration} is not one of this session.")
        self._forget(offer)
        undecided = Undecided(session, replies.UNREGISTER, unregister.request, lambda _: None)
        self._rows.withdraw(offer.key, lambda: undecided.answer(Unregistered(undecided.request)))
        self._docket.enter(undecided)

    def retire(self, session: Session) -> None:
        """The session will be sent away: no call is delivered to it from here on, and its procedures become free."""
        for offer in session.registrations.values():
            self._forget(offer)
            session.removals += 1
            self._rows.withdraw(offer.key, partial(_removed, session))
        session.registrations.clear()

    def leave(self, session: Session) -> None:
        """The session has ended: forget its offers; calls of it and to it end."""
        for offer in session.registrations.values():
            self._forget(offer)
            self._rows.withdraw(offer.key)
        session.registrations.clear()
        self._calls.caller_left(session)
        self._calls.callee_left(session)

    def _forget(self, offer: Offer) -> None:
        del self._offers[offer.key.match, offer.key.uri]
        del self._by_id[offer.id]

    def _check_bound(self, session: Session) -> None:
        if len(session.registrations) + len(session.undecided) >= self._limits.session_registrations_max:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"A session may have {self._limits.session_registrations_max} registrations.")

    # ---- CALL, at the caller's home

    def call(self, caller: Session, call: Call) -> None:
        """Send an INVOCATION to the procedure's owner, at this node or another."""
        if call.request in caller.calls or call.request in caller.unfinished:
            self._continue(caller, call)
            return
        procedure, options = call.procedure, call.options
        self._uris.check(procedure)
        verdict = caller.permissions.require("call", procedure)
        details, timeout = NO_OPTIONS, 0
        if options or verdict is not PLAIN:
            details = call_details(caller, options, verdict)
            timeout = options.get("timeout", 0)
        if len(caller.calls) >= self._limits.session_calls_max:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"A session may have {self._limits.session_calls_max} calls that wait for their end.")
        pending = self._calls.open(caller, call, details)
        if timeout:
            self._calls.limit(pending, timeout * self._timeout_unit_s)
        self._choose(pending)

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
            self._calls.refuse(pending, not_registered(pending.call.procedure))
            return
        if not self._calls.hand(pending, target.session):
            self._calls.refuse(pending, Unavailable("Later calls have overtaken this one; nothing was called."))
            return
        pending.target = target
        pending.attempts += 1
        if target.owner == self._ledger.owner:
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
        if reply.answer is Answer.RESULT:
            self._result(pending, reply.options, reply.payload)
        elif reply.answer is Answer.PROGRESS:
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
            self._reply(work, Reply(work.number, Answer.RESULT, "", options, result.payload))
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
        elif not self._outbox.forward(
            work.source, Reply(work.number, Answer.PROGRESS, "", result.options, result.payload)
        ):
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


def _removed(session: Session) -> None:
    session.removals -= 1


def not_delivered(call: int, why: str = "") -> Reply:
    """Nothing has been sent to the callee (rule 3)."""
    return Reply(call, Answer.NOT_DELIVERED, why, NO_OPTIONS, NOTHING)


def _too_large_between_nodes() -> WampError:
    return PayloadSizeExceeded("The callee's answer is too large for the way to the caller's node.")


def _caller_lacks_passthru() -> WampError:
    return FeatureNotSupported("The callee answered in payload passthru mode, which the caller did not announce.")


def _match_of(options: Options) -> str:
    match, invoke = options.get("match", EXACT), options.get("invoke", SINGLE)
    if match not in MATCHES:
        raise InvalidArgument(f"Option 'match' is {match!r}; it may be 'exact', 'prefix' or 'wildcard'.")
    if invoke != SINGLE:
        raise InvalidArgument(f"REGISTER with invoke {invoke!r}: this router offers 'single'.")
    return str(match)
