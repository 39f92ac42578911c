"""Calls on their way: from CALL to the one RESULT or ERROR that ends each.

A call is known at two places: at the caller's home as a `PendingCall`, at the callee's home under the id of its
INVOCATION. If both are this node, the same object stands in both; else the callee's home keeps a `Served`, which knows
whom to answer. Only the caller's home answers the caller.
"""

from __future__ import annotations

from typing import Final

from wampha.counters import Counters
from wampha.errors import Canceled, NoSuchProcedure, ProtocolViolation, WampError
from wampha.messages.model import NO_OPTIONS, Call, Error, Options, Result
from wampha.messages.payload import Payload
from wampha.messages.relayed import Answer, CancelInvoke, Reply
from wampha.routing.ports import Outbox
from wampha.routing.replies import CALL, refusal, sentence_of
from wampha.routing.session import Session
from wampha.state.commands import Owner
from wampha.state.tables import Registration

_UNKNOWN: Final = {"outcome": "unknown"}  # the callee may have done the work, wholly, in part or not at all


class PendingCall:
    """A CALL of a session of this node that waits for its end."""

    __slots__ = ("attempts", "call", "callee", "caller", "ended", "invocation", "number", "target")

    def __init__(self, caller: Session, call: Call) -> None:
        self.caller: Final = caller
        self.call: Final = call
        self.ended = False
        self.attempts = 0
        self.target: Registration | None = None  # whom it was sent to last
        self.callee: Session | None = None  # at this node, with the id of its INVOCATION
        self.invocation = 0
        self.number = 0  # at another node: the number under which that node knows it


class Served:
    """A call that came from another node, while a callee of this one works on it."""

    __slots__ = ("callee", "invocation", "number", "source")

    def __init__(self, source: Owner, number: int) -> None:
        self.source: Final = source
        self.number: Final = number
        self.callee: Session | None = None
        self.invocation = 0


class Calls:
    """All calls of one node, as caller's home and as callee's home."""

    def __init__(self, *, counters: Counters, outbox: Outbox) -> None:
        self._counters: Final = counters
        self._outbox: Final = outbox
        self._elsewhere: Final[dict[Owner, dict[int, PendingCall]]] = {}  # callee's home -> number -> call
        self._served: Final[dict[Owner, dict[int, Served]]] = {}  # caller's home -> its number -> call
        self._number = 0  # of the last call that was sent to another node; never used twice

    # ---- the caller's side

    def open(self, caller: Session, call: Call) -> PendingCall:
        """Remember a call; raises ProtocolViolation if its request id is in use."""
        if call.request in caller.calls:
            raise ProtocolViolation(f"CALL with request id {call.request}, which an earlier CALL still uses.")
        pending = caller.calls[call.request] = PendingCall(caller, call)
        self._counters.add("calls")
        return pending

    def result(self, pending: PendingCall, details: Options, payload: Payload) -> None:
        """End the call with RESULT."""
        self._end(pending)
        pending.caller.client.send(Result(pending.call.request, details, payload))

    def error(self, pending: PendingCall, details: Options, error: str, payload: Payload) -> None:
        """End the call with the callee's ERROR."""
        self._end(pending)
        pending.caller.client.send(Error(CALL, pending.call.request, details, error, payload))

    def refuse(self, pending: PendingCall, error: WampError) -> None:
        """End the call with the router's own ERROR."""
        self._end(pending)
        pending.caller.client.send(refusal(CALL, pending.call.request, error))

    def _end(self, pending: PendingCall) -> None:
        assert not pending.ended, "a CALL ends exactly once"
        pending.ended = True
        del pending.caller.calls[pending.call.request]
        self._counters.add("calls_ended")

    def await_reply(self, pending: PendingCall, owner: Owner) -> int:
        """Expect the end of the call from another node; returns the number under which it is sent there."""
        self._number += 1
        pending.number = self._number
        self._elsewhere.setdefault(owner, {})[self._number] = pending
        return self._number

    def replied(self, source: Owner, number: int) -> PendingCall | None:
        """The call that `source` answers, taken once; None if nobody waits for it any more."""
        pending = self._elsewhere.get(source, {}).pop(number, None)
        if pending is None:
            self._counters.add("late_yields")
        return pending

    def forget(self, pending: PendingCall) -> None:
        """Wait no longer for the callee: what it answers later is dropped."""
        if pending.callee is not None:
            pending.callee.invocations.pop(pending.invocation, None)
            pending.callee = None
        elif pending.target is not None:
            owner = pending.target.owner
            if self._elsewhere.get(owner, {}).pop(pending.number, None) is not None:
                self._outbox.forward(owner, CancelInvoke(pending.number, Canceled.uri))

    def cancel(self, pending: PendingCall) -> None:
        """The caller waits no longer: ERROR at once (advanced profile, "Call Canceling", mode `skip`)."""
        self.forget(pending)
        self.refuse(pending, Canceled("The caller canceled the call.", _UNKNOWN))

    def caller_dismissed(self, session: Session) -> None:
        """The router ends the caller's session: answer its calls first, so that each has ended."""
        for pending in list(session.calls.values()):
            self.forget(pending)
            self.refuse(pending, Canceled("The caller's session was ended by the router.", _UNKNOWN))

    def caller_left(self, session: Session) -> None:
        """End the session's calls without a word."""
        for pending in list(session.calls.values()):
            self.forget(pending)
            self._end(pending)

    # ---- the callee's side

    def invoked(self, callee: Session, work: PendingCall | Served) -> int:
        """Allot the id of the INVOCATION by which `callee` gets to know this work."""
        callee.invoked += 1
        work.callee = callee
        work.invocation = callee.invoked
        callee.invocations[callee.invoked] = work
        return callee.invoked

    def serve(self, source: Owner, number: int) -> Served:
        """Remember a call of another node."""
        served = Served(source, number)
        self._served.setdefault(source, {})[number] = served
        return served

    def answered(self, callee: Session, invocation: int) -> PendingCall | Served | None:
        """What the callee's YIELD or ERROR ends; None if that has ended already.

        Raises ProtocolViolation if this INVOCATION was never sent to the session.
        """
        work = callee.invocations.pop(invocation, None)
        if work is None:
            if not 0 < invocation <= callee.invoked:
                raise ProtocolViolation(f"An answer to INVOCATION {invocation}, which was never sent.")
            self._counters.add("late_yields")
            return None
        self._released(work)
        return work

    def _released(self, work: PendingCall | Served) -> None:
        work.callee = None
        if isinstance(work, Served):
            self._served.get(work.source, {}).pop(work.number, None)

    def canceled_by_caller(self, source: Owner, number: int) -> None:
        """The caller at another node waits no longer: ignore what the callee answers."""
        served = self._served.get(source, {}).pop(number, None)
        if served is not None and served.callee is not None:
            served.callee.invocations.pop(served.invocation, None)

    def callee_left(self, session: Session) -> None:
        """End all that the session worked on: nobody knows how far it got."""
        error = Canceled("The callee left before it answered.", _UNKNOWN)
        for work in list(session.invocations.values()):
            self._released(work)
            if isinstance(work, Served):
                reply = Reply(work.number, Answer.ERROR, error.uri, NO_OPTIONS, sentence_of(error))
                self._outbox.forward(work.source, reply)
            else:
                self.refuse(work, error)
        session.invocations.clear()

    # ---- other nodes

    def node_lost(self, owner: Owner) -> None:
        """No answer will come from this incarnation, nor wait for ours: end the calls between it and this node."""
        error = Canceled("The callee's node was lost before it answered.", _UNKNOWN)
        for pending in self._elsewhere.pop(owner, {}).values():
            self.refuse(pending, error)
        self._drop_served(owner)

    def _drop_served(self, owner: Owner) -> None:
        for served in self._served.pop(owner, {}).values():
            if served.callee is not None:
                served.callee.invocations.pop(served.invocation, None)

    def nodes(self) -> list[Owner]:
        """The incarnations that calls of this node wait for, or that wait for calls here."""
        return [*self._elsewhere, *self._served]

    def clear(self) -> None:
        """Forget all: this node's incarnation has ended, and its sessions with it."""
        self._elsewhere.clear()
        for owner in list(self._served):
            self._drop_served(owner)


def not_registered(procedure: str) -> NoSuchProcedure:
    """The ERROR for a procedure that nobody offers."""
    return NoSuchProcedure(f"Nobody has registered {procedure!r}.")
