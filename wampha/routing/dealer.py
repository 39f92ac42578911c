"""The caller's home: CALL and CANCEL of sessions of this node, and what answers them.

Who offers a procedure stands in the replicated registrations; see `offers.py` for those of this node's sessions, and
`callees.py` for what is done for a callee whose home this is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.errors import (
    Canceled,
    ConcurrencyReached,
    FeatureNotSupported,
    ProtocolViolation,
    Unavailable,
    WampError,
)
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Call, Cancel, Error, Options
from wampha.messages.payload import Payload
from wampha.messages.relayed import PROGRESS, RESULT, Answer, Invoke, InvokeMore, Reply
from wampha.names.ids import Ids
from wampha.names.uri import EXACT, UriRules, is_reserved
from wampha.routing.callees import Callees
from wampha.routing.calls import Calls, canceled_by_caller
from wampha.routing.choice import Turns
from wampha.routing.details import call_details, fitted
from wampha.routing.meta.procedures import Procedures
from wampha.routing.offers import Offers
from wampha.routing.permissions import PLAIN
from wampha.routing.ports import Ledger, Outbox
from wampha.routing.replies import carried
from wampha.routing.rerouting import Why, callee_lost, candidates
from wampha.routing.session import Session
from wampha.routing.work import KILLNOWAIT, PendingCall
from wampha.state.commands import Owner
from wampha.state.tables import Callee, Registration


class Dealer:
    """WAMP's remote procedure calls for the sessions of one realm on this node."""

    def __init__(
        self,
        *,
        realm: str,
        uris: UriRules,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        outbox: Outbox,
        ledger: Ledger,
        offers: Offers,
        calls: Calls,
        procedures: Procedures,
        timeout_unit_s: float,
        queue_max: int = 0,
    ) -> None:
        """`procedures` are the router's own.

        `timeout_unit_s`: what a `timeout` of 1 means, by the specification a millisecond; `queue_max`: see `Callees`.
        """
        self._realm: Final = realm
        self._uris: Final = uris
        self._limits: Final = limits
        self._counters: Final = counters
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._calls: Final = calls
        self._procedures: Final = procedures
        self.timeout_unit_s = timeout_unit_s
        self._standing: Final = offers.standing
        self._turns: Final = Turns(ids.below)
        self.callees: Final = Callees(
            realm=realm,
            uris=uris,
            counters=counters,
            outbox=outbox,
            ledger=ledger,
            offers=offers,
            calls=calls,
            queue_max=queue_max,
            home=self,
        )
        self._send: Final = self.callees.send

    def leave(self, session: Session) -> None:
        """The session has ended: calls of it and to it end."""
        self._calls.caller_left(session)
        self.callees.leave(session)

    # ---- CALL

    def call(self, caller: Session, call: Call) -> None:
        """Send an INVOCATION to a callee of the procedure, at this node or another."""
        request, calls = call.request, caller.calls
        if request in calls or request in caller.unfinished:
            self._continue(caller, call)
            return
        procedure, options, details = call.procedure, call.options, NO_OPTIONS
        self._uris.check(procedure)
        verdict = caller.permissions.require("call", procedure)
        if options or verdict is not PLAIN:
            details = call_details(caller, options, verdict)
        if len(calls) >= caller.bounds.calls:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"This session may have {caller.bounds.calls} calls that wait for their end.")
        pending = self._calls.open(caller, call, details)
        if options and (timeout := options.get("timeout", 0)):
            self._calls.limit(pending, timeout * self.timeout_unit_s)
        self._route(pending)

    def callee_nodes(self, caller: Session, call: Call) -> Iterable[Owner]:
        """The node that the call goes to, or its next part; none if it can go past those that are behind."""
        pending = caller.calls.get(call.request)
        if pending is not None:
            return () if pending.target is None else (pending.target.owner,)
        self._uris.check(call.procedure)
        registration = self._registration(call.procedure)
        owners = [] if registration is None else [callee.owner for callee in registration.callees]
        return owners[:1] if all(owner in self._outbox.behind for owner in owners) else ()

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
            self.callees.send_part(pending, more, payload)
            return
        assert pending.target is not None, "a call that has not ended was sent to somebody"
        if not self._outbox.forward(pending.target.owner, InvokeMore(pending.number, more, payload)):
            sentence = "A part of the call could not be sent to the callee's node."
            self._calls.abandon(pending, KILLNOWAIT, Canceled.uri)
            self._calls.refuse(pending, Canceled(sentence, {"outcome": "unknown"}))

    def _registration(self, procedure: str) -> Registration | None:
        """The registration that a call goes to (advanced profile, "Calls matching multiple registrations")."""
        rows = self._ledger.tables.registrations.get(self._realm)
        if rows is None:
            return None
        exact = rows.get(EXACT, procedure)
        if exact is not None or is_reserved(procedure):  # a pattern never stands for the router's own procedures
            return exact
        matches = rows.match(procedure)
        return matches[0] if matches else None

    def _route(self, pending: PendingCall) -> None:
        """Give the call to a callee that has not refused it yet; if there is none, the call ends."""
        registration = self._registration(pending.call.procedure)
        if registration is not None:
            callees = registration.callees
            target = callees[0]
            if len(callees) > 1 or pending.refusals is not None or target.concurrency:
                self._search(pending, registration)
                return
            if target.owner == self._ledger.owner and pending.caller.asked is None:
                # What is sent here to the one callee of a procedure does not come back to be given to another one.
                pending.target = target
                pending.attempts += 1
                why = self._invoke_here(pending, registration, target, waits=False)
            else:
                why = self._ask(pending, registration, target, waits=False)
            if why is None:
                return
            pending.asked().note(target, why)
        elif pending.refusals is None:
            self._procedures.take(pending)
            return
        self._calls.refuse(pending, pending.asked().error(pending.call.procedure))

    def _search(self, pending: PendingCall, registration: Registration) -> None:
        """`_route`, where there are several callees, or something stands against one."""
        callees, full = registration.callees, partial(self._full, registration.id)
        while pending.attempts < self._limits.call_attempts_max:
            free, waits = candidates(callees, pending.refusals, full=full, queues=self.callees.queue_max > 0)
            if not free:
                pending.asked().close(callees)
                break
            target = self._turn(registration, free)
            why = self._ask(pending, registration, target, waits)
            if why is None:
                return
            pending.asked().note(target, why)
        else:
            self._counters.add("call_attempts_reached")
        self._calls.refuse(pending, pending.asked().error(pending.call.procedure))

    def _turn(self, registration: Registration, free: list[Callee]) -> Callee:
        rows = self._ledger.tables.registrations[self._realm]
        return self._turns.choose(registration, free, rows=rows, place=self._place)

    def _place(self) -> tuple[int, int]:
        """This node's place among those that are up, and how many those are."""
        up, owner = self._ledger.tables.up, self._ledger.owner
        return (list(up).index(owner), len(up)) if owner in up else (0, 1)

    def _full(self, registration: int, callee: Callee) -> bool:
        """Whether a callee is known to have no place: for certain here, elsewhere by what this node has sent it."""
        if callee.owner != self._ledger.owner:
            return self._calls.load(callee) >= callee.concurrency
        offer = self._standing.get((registration, callee.session))
        return offer is not None and offer.places is not None and offer.places.full

    def _ask(self, pending: PendingCall, registration: Registration, target: Callee, waits: bool) -> Why | None:
        """Send the call to this callee, or to its home; else why that is not possible."""
        if not self._calls.hand(pending, target.session):
            return Why.OVERTAKEN
        pending.target = target
        pending.attempts += 1
        if waits:
            pending.asked().may_wait = True
        if target.owner == self._ledger.owner:
            return self._invoke_here(pending, registration, target, waits)
        return self._invoke_there(pending, registration, target, waits)

    def _invoke_here(self, pending: PendingCall, registration: Registration, target: Callee, waits: bool) -> Why | None:
        offer = self._standing.get((registration.id, target.session))
        if offer is None:
            return Why.ABSENT
        details = pending.details
        if details or not offer.plain:
            try:
                details = fitted(details, offer, pending.caller.originator, pending.call.procedure)
            except FeatureNotSupported as error:
                self._calls.refuse(pending, error)
                return None
        if offer.places is None:
            self._send(offer, pending, details, pending.call.payload)
            return None
        if self.callees.deliver(offer, pending, details, pending.call.payload, waits=waits):
            return None
        return Why.QUEUE_FULL if waits else Why.FULL

    def _invoke_there(
        self, pending: PendingCall, registration: Registration, target: Callee, waits: bool
    ) -> Why | None:
        if target.owner in self._outbox.behind:
            return Why.BEHIND
        call, caller = pending.call, pending.caller
        number = self._calls.await_reply(pending, target.owner)
        invoke = Invoke(
            number,
            self._realm,
            registration.id,
            call.procedure,
            target.session,
            caller.originator,
            pending.details,
            call.payload,
            waits,
        )
        if self._outbox.forward(target.owner, invoke):
            return None
        self._calls.replied(target.owner, number)
        return Why.UNREACHABLE

    # ---- what ends a call, or sends it on

    def replied(self, pending: PendingCall, reply: Reply) -> None:
        """Another node has ended a call, or tells of a result on the way, or has not delivered it (rule 3)."""
        answer = reply.answer
        if answer is RESULT:
            if reply.options:
                self.result(pending, reply.options, reply.payload)
            else:
                self._calls.result(pending, NO_OPTIONS, reply.payload)
        elif answer is PROGRESS:
            self.progress(pending, reply.options, reply.payload)
        elif answer is Answer.ERROR:
            self.error(pending, reply.options, reply.error, reply.payload)
        elif answer is Answer.NOT_DELIVERED:
            self.declined(pending, _not_delivered(reply.error, pending.asked().may_wait))
        else:
            self.declined(pending, Why.UNAVAILABLE if answer is Answer.UNAVAILABLE else Why.LOST)

    def declined(self, pending: PendingCall, why: Why) -> None:
        """A callee has not taken the call, or was lost with it: another one may be asked (P6).

        After a loss only if the callee said that its work may be repeated. What the caller has seen of the work, or
        has sent after its beginning, cannot be repeated in any case.
        """
        assert pending.target is not None, "it was sent to somebody"
        if pending.interrupted:
            self._calls.refuse(pending, canceled_by_caller())
            return
        if why is Why.LOST and not pending.target.repeatable:
            self._calls.refuse(pending, callee_lost())
            return
        refusals = pending.asked()
        refusals.note(pending.target, why)
        serving = self._ledger.serving()
        if serving and pending.parts == 1 and not refusals.begun:
            self._counters.add("calls_rerouted")
            self._route(pending)
        elif serving or refusals.invoked:
            self._calls.refuse(pending, refusals.error(pending.call.procedure))
        else:
            self._calls.refuse(pending, Unavailable("This node does not serve at the moment; nothing was called."))

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

    def result(self, pending: PendingCall, options: Options, payload: Payload) -> None:
        """The last result of the callee."""
        if options.get("ppt_scheme") and not pending.caller.features.caller_passthru:
            self._calls.refuse(pending, _caller_lacks_passthru())
        else:
            self._calls.result(pending, carried(options), payload)

    def progress(self, pending: PendingCall, options: Options, payload: Payload) -> None:
        """A result on the way."""
        if options.get("ppt_scheme") and not pending.caller.features.caller_passthru:
            error = _caller_lacks_passthru()
            self._calls.abandon(pending, KILLNOWAIT, error.uri)
            self._calls.refuse(pending, error)
        else:
            self._calls.progress(pending, carried(options), payload)

    def error(self, pending: PendingCall, details: Options, error: str, payload: Payload) -> None:
        """The callee's ERROR."""
        self._calls.error(pending, carried(details), error, payload)


def _not_delivered(why: str, patient: bool) -> Why:
    """`patient`: the call would have waited for a place."""
    if why == ConcurrencyReached.uri:
        return Why.QUEUE_FULL if patient else Why.FULL
    return Why.SUSPENDED if why == Unavailable.uri else Why.ABSENT


def _caller_lacks_passthru() -> WampError:
    return FeatureNotSupported("The callee answered in payload passthru mode, which the caller did not announce.")
