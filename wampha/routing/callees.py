"""The callee's home: INVOCATIONs to sessions of this node, and what they answer.

A call comes from this node's dealer or from another node (protocol rule 3); its answer goes back the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from wampha.counters import Counters
from wampha.errors import (
    Canceled,
    ConcurrencyReached,
    FeatureNotSupported,
    InvalidUri,
    PayloadSizeExceeded,
    ProtocolViolation,
    Unavailable,
    WampError,
)
from wampha.messages.model import NO_OPTIONS, Error, Invocation, Options, Yield
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.relayed import PROGRESS, RESULT, Answer, Invoke, InvokeMore, Reply
from wampha.names.uri import UriRules
from wampha.routing import replies
from wampha.routing.calls import Calls
from wampha.routing.details import fitted
from wampha.routing.offers import Offer, Offers
from wampha.routing.places import Places
from wampha.routing.ports import Ledger, Outbox
from wampha.routing.replies import sentence_of
from wampha.routing.rerouting import Why
from wampha.routing.session import Session
from wampha.routing.work import KILLNOWAIT, PendingCall, Served
from wampha.state.commands import Owner


class CallersHome(Protocol):
    """Who gets the answers for calls of this node's own sessions."""

    def result(self, pending: PendingCall, options: Options, payload: Payload) -> None:
        """The last result."""

    def progress(self, pending: PendingCall, options: Options, payload: Payload) -> None:
        """A result on the way."""

    def error(self, pending: PendingCall, details: Options, error: str, payload: Payload) -> None:
        """The callee's ERROR."""

    def declined(self, pending: PendingCall, why: Why) -> None:
        """The callee has not taken the call, or is lost."""


class Callees:
    """The sessions of one realm on this node that work on calls."""

    def __init__(
        self,
        *,
        realm: str,
        uris: UriRules,
        counters: Counters,
        outbox: Outbox,
        ledger: Ledger,
        offers: Offers,
        calls: Calls,
        queue_max: int,
        home: CallersHome,
    ) -> None:
        """`queue_max`: calls that may wait for one callee with a limited `concurrency`."""
        self._realm: Final = realm
        self._uris: Final = uris
        self._counters: Final = counters
        self._counts: Final = counters.values
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._offers: Final = offers
        self._standing: Final = offers.standing
        self._calls: Final = calls
        self.queue_max = queue_max
        self._home: Final = home
        offers.attach(freed=self._freed, forgotten=self._forgotten)

    # ---- INVOCATION

    def invoke(self, source: Owner, invoke: Invoke) -> None:
        """Another node's call: deliver it if all of rule 3 holds, else say that nothing was sent."""
        if not self._ledger.serving():
            self._outbox.forward(source, not_delivered(invoke.call, Unavailable.uri))
            return
        offer = self._standing.get((invoke.registration, invoke.callee))
        if offer is None or not self._owns(offer):
            self._outbox.forward(source, not_delivered(invoke.call))
            return
        details = invoke.details
        if details or not offer.plain:
            try:
                details = fitted(details, offer, invoke.caller, invoke.procedure)
            except FeatureNotSupported as error:
                self._calls.reply_error(source, invoke.call, error)
                return
        served = Served(source, invoke.call)
        if self.deliver(offer, served, details, invoke.payload, waits=invoke.waits):
            self._calls.serve(served)
        else:
            self._outbox.forward(source, not_delivered(invoke.call, ConcurrencyReached.uri))

    def _owns(self, offer: Offer) -> bool:
        """Whether the table shows the offer; rows are replaced, so one that showed it does so for ever."""
        row = self._ledger.tables.registration(self._realm, offer.key.match, offer.key.uri)
        if row is None or row.id != offer.id:
            return False
        if row is not offer.row:
            if row.callee(self._ledger.owner, offer.session.id) is None:
                return False
            offer.row = row
        return True

    def deliver(
        self, offer: Offer, work: PendingCall | Served, details: Options, payload: Payload, *, waits: bool
    ) -> bool:
        """Send the INVOCATION, or let it wait for a place; False if there is none, and it may not wait."""
        places = offer.places
        if places is not None and places.full:
            # Parts that follow the first would have to wait, too, in memory that nothing bounds.
            if not waits or "progress" in details or len(places.queue) >= self.queue_max:
                self._counters.add("callees_full")
                return False
            self._counters.add("calls_queued")
            places.wait(work, details, payload)
            return True
        self.send(offer, work, details, payload)
        return True

    def send(self, offer: Offer, work: PendingCall | Served, details: Options, payload: Payload) -> None:
        """Send the INVOCATION, for which there is a place."""
        session = offer.session
        request = self._calls.invoked(session, work, offer.id, details)
        if offer.places is not None:
            offer.places.take(session, request)
        session.client.send(Invocation(request, offer.id, details, payload))

    def _freed(self, places: Places) -> None:
        """The oldest call that waits gets the place (rule 2: if this node serves)."""
        while places.queue and not places.full and self._ledger.serving():
            work = next(iter(places.queue))
            details, payload = places.let_go(work)
            self.send(places.offer, work, details, payload)

    def resume(self) -> None:
        """This node serves again."""
        for offer in self._offers:
            if offer.places is not None and offer.places.queue:
                self._freed(offer.places)

    def _forgotten(self, places: Places) -> None:
        """The offer is gone; what waited for it may be taken by another callee."""
        for work in list(places.queue):
            places.let_go(work)
            if isinstance(work, Served):
                self._calls.released(work)
                self._outbox.forward(work.source, not_delivered(work.number))
            else:
                self._home.declined(work, Why.ABSENT)

    def invoke_more(self, served: Served, part: InvokeMore) -> None:
        """Another node's progressive call goes on; what cannot be delivered ends it (rule 2)."""
        served.parts += 1
        if self._ledger.serving():
            self.send_part(served, part.more, part.payload)
        else:
            error = Canceled("The callee's node could not deliver a part of the call.", {"outcome": "unknown"})
            self._calls.stop_serving(served, KILLNOWAIT, error.uri)
            self._calls.reply_error(served.source, served.number, error)

    def send_part(self, work: PendingCall | Served, more: bool, payload: Payload) -> None:
        """A later part of a progressive call, with the details of the first."""
        assert work.callee is not None, "a part follows the first one to its callee"
        details = work.shown
        if not more:
            details = {name: value for name, value in details.items() if name != "progress"}
        work.callee.client.send(Invocation(work.invocation, work.registration, details, payload))

    # ---- YIELD and ERROR

    def yielded(self, callee: Session, result: Yield) -> None:
        """The callee's result, on its way to the caller."""
        self._counts["yields"] += 1
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
            self._home.result(work, options, result.payload)
        elif work is not None:
            self._calls.result(work, NO_OPTIONS, result.payload)
        if callee.places:
            callee.leave_place(result.request)

    def caller_nodes(self, callee: Session, answer: Yield | Error) -> Iterable[Owner]:
        """The node that the callee's answer goes to, if it is another one."""
        work = callee.invocations.get(answer.request)
        return (work.source,) if isinstance(work, Served) else ()

    def _progressed(self, callee: Session, result: Yield) -> None:
        work = self._calls.working(callee, result.request)
        if work is None:
            return
        if "receive_progress" not in work.shown:
            self._counters.add("progress_unwanted")
        elif isinstance(work, PendingCall):
            self._home.progress(work, result.options, result.payload)
        elif not self._outbox.forward(work.source, Reply(work.number, PROGRESS, "", result.options, result.payload)):
            error = _too_large_between_nodes()
            self._calls.stop_serving(work, KILLNOWAIT, error.uri)
            self._calls.reply_error(work.source, work.number, error)

    def failed(self, callee: Session, error: Error) -> None:
        """The callee's error, on its way to the caller, or to another callee."""
        if error.request_type != replies.INVOCATION:
            raise ProtocolViolation(
                f"ERROR for a message of type {error.request_type}; a client may answer INVOCATION."
            )
        work = self._calls.answered(callee, error.request)
        if work is not None:
            self._pass_error(callee, work, error)
        if callee.places:
            callee.leave_place(error.request)

    def _pass_error(self, callee: Session, work: PendingCall | Served, error: Error) -> None:
        uri, payload = error.error, error.payload
        if uri == Unavailable.uri and callee.features.callee_reroutes:
            if isinstance(work, Served):
                self._reply(work, Reply(work.number, Answer.UNAVAILABLE, uri, NO_OPTIONS, NOTHING))
            else:
                self._home.declined(work, Why.UNAVAILABLE)
            return
        try:
            self._uris.check(uri)
        except InvalidUri as refused:
            uri, payload = refused.uri, sentence_of(refused)
        if isinstance(work, Served):
            self._reply(work, Reply(work.number, Answer.ERROR, uri, error.details, payload))
        else:
            self._home.error(work, error.details, uri, payload)

    def uninvoked(self, callee: Session, error: Error) -> None:
        """The callee could not be sent an INVOCATION: the call ends as if it had answered with this error."""
        work = callee.invocations.get(error.request)
        if work is not None and work.parts > 1:
            self._calls.interrupt(work, error.error)
        self.failed(callee, error)

    def give_back(self, session: Session, unsent: Iterable[int]) -> None:
        """These INVOCATIONs have not been sent to the session, and will not be: another callee may take the calls."""
        for request in unsent:
            work = session.invocations.pop(request, None)
            if work is None:
                continue
            self._calls.released(work)
            if isinstance(work, Served):
                self._outbox.forward(work.source, not_delivered(work.number))
            else:
                self._home.declined(work, Why.ABSENT)

    def leave(self, session: Session) -> None:
        """The session has ended: nobody knows how far it got with what it worked on."""
        session.places.clear()
        if not session.invocations:
            return
        works = list(session.invocations.values())
        session.invocations.clear()
        for work in works:
            self._calls.released(work)
            if isinstance(work, Served):
                self._outbox.forward(work.source, Reply(work.number, Answer.LOST, "", NO_OPTIONS, NOTHING))
            else:
                self._home.declined(work, Why.LOST)

    def _reply(self, served: Served, reply: Reply) -> None:
        """Tell the caller's home how the call ended. What no frame can hold becomes an ERROR: a CALL always ends."""
        if not self._outbox.forward(served.source, reply):
            self._calls.reply_error(served.source, served.number, _too_large_between_nodes())


def not_delivered(call: int, why: str = "") -> Reply:
    """Nothing has been sent to the callee (rule 3)."""
    return Reply(call, Answer.NOT_DELIVERED, why, NO_OPTIONS, NOTHING)


def _too_large_between_nodes() -> WampError:
    return PayloadSizeExceeded("The callee's answer is too large for the way to the caller's node.")
