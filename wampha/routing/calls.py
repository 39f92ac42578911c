"""Calls on their way: from CALL to the one RESULT or ERROR that ends each.

A call is known at two places: at the caller's home as a `PendingCall`, at the callee's home under the id of its
INVOCATION. If both are this node, the same object stands in both; else the callee's home keeps a `Served`, which knows
whom to answer. Only the caller's home answers the caller, and it alone knows how long the caller wants to wait.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from wampha.counters import Counters
from wampha.errors import Canceled, ProtocolViolation, TimedOut, WampError
from wampha.messages.model import NO_OPTIONS, Call, Error, Interrupt, Options, Result
from wampha.messages.payload import Payload
from wampha.messages.relayed import Answer, CancelInvoke, Reply
from wampha.routing.ports import Client, Clock, Outbox
from wampha.routing.replies import CALL, refusal, sentence_of
from wampha.routing.session import Session
from wampha.routing.timeouts import Timeouts
from wampha.routing.work import KILL, KILLNOWAIT, SKIP, PendingCall, Served, Work
from wampha.state.commands import Owner
from wampha.state.tables import Callee

_ANYBODY: Final = 0  # no session's id
_Work = TypeVar("_Work", bound=Work)
_UNKNOWN: Final = {"outcome": "unknown"}  # the callee may have done the work, wholly, in part or not at all


class Calls:
    """All calls of one node, as caller's home and as callee's home."""

    def __init__(self, *, counters: Counters, clock: Clock, outbox: Outbox) -> None:
        self._timeouts: Final = Timeouts(clock=clock, expired=self._timed_out)
        self._counters: Final = counters
        self._counts: Final = counters.values
        self._durations: Final = counters.distributions["call_duration_seconds"]
        self._outbox: Final = outbox
        self._elsewhere: Final[dict[Owner, dict[int, PendingCall]]] = {}  # callee's home -> number -> call
        self._loads: Final[dict[int, int]] = {}  # index of a limited callee elsewhere -> calls of this node that it has
        self._served: Final[dict[Owner, dict[int, Served]]] = {}  # caller's home -> its number -> call
        self._number = 0  # of the last call that was sent to another node; never used twice
        self._opened = 0  # calls so far

    # ---- the caller's side

    def open(self, caller: Session, call: Call, details: Options) -> PendingCall:
        """Remember a call; its request id is not in use."""
        self._opened += 1
        pending = caller.calls[call.request] = PendingCall(caller, call, details, self._opened)
        pending.began = self._counters.turn_began
        if details:
            pending.more = "progress" in details
        self._counts["calls"] += 1
        return pending

    def hand(self, pending: PendingCall, callee: int) -> bool:
        """Note that the call goes to that session; False if a later one of its caller has gone there already (P3).

        Only what was sent to another node can come back and be handed again: a caller of which nothing is there needs
        no notes, and has none (`Session.asked`).
        """
        asked = pending.caller.asked
        if asked is None:
            asked = pending.caller.asked = {}
        # Who is handed the first time is the latest of all.
        elif pending.attempts and max(asked.get(callee, 0), asked.get(_ANYBODY, 0)) > pending.order:
            return False
        elif len(asked) > pending.caller.bounds.calls:
            asked.clear()
            asked[_ANYBODY] = self._opened - 1
        asked[callee] = pending.order
        return True

    def limit(self, pending: PendingCall, seconds: float) -> None:
        """Let the call wait so long for its first result, and for each that follows."""
        pending.timeout = self._timeouts.start(pending, seconds)

    def progress(self, pending: PendingCall, details: Options, payload: Payload) -> None:
        """Send a RESULT that is not the last."""
        if pending.timeout is not None:
            self._timeouts.restart(pending.timeout)
        pending.asked().begun = True
        pending.caller.client.send(Result(pending.call.request, {**details, "progress": True}, payload))

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
        caller = pending.caller
        del caller.calls[pending.call.request]
        if caller.asked is not None and not caller.calls:
            caller.asked = None  # nothing can be overtaken
        if pending.timeout is not None:
            self._timeouts.end(pending.timeout)
        if pending.more:
            self._expect_parts(pending)
        took, durations = self._counters.turn_began - pending.began, self._durations
        durations.counts[bisect_left(durations.bounds, took)] += 1  # `add`, without a call
        durations.sum += took

    def _expect_parts(self, pending: PendingCall) -> None:
        # The caller does not know of the end yet, and may go on (advanced profile, "Continuations on Completed Calls").
        unfinished = pending.caller.unfinished
        if len(unfinished) >= pending.caller.bounds.calls:
            del unfinished[next(iter(unfinished))]
        unfinished[pending.call.request] = None

    def await_reply(self, pending: PendingCall, owner: Owner) -> int:
        """Expect the end of the call from another node; returns the number under which it is sent there."""
        self._number += 1
        pending.number = self._number
        self._elsewhere.setdefault(owner, {})[self._number] = pending
        target = pending.target
        if target is not None and target.concurrency:
            self._loads[target.index] = self._loads.get(target.index, 0) + 1
        return self._number

    def load(self, callee: Callee) -> int:
        """How many calls of this node a callee of another one has, if its concurrency is limited."""
        return self._loads.get(callee.index, 0)

    def replied(self, source: Owner, number: int) -> PendingCall | None:
        """The call that `source` answers, taken once; None if nobody waits for it any more."""
        pending = self._elsewhere.get(source, {}).pop(number, None)
        if pending is None:
            self._counters.add("late_yields")
        else:
            self._unload(pending)
        return pending

    def _unload(self, pending: PendingCall) -> None:
        target = pending.target
        if target is None or not target.concurrency:
            return
        self._loads[target.index] -= 1
        if not self._loads[target.index]:
            del self._loads[target.index]

    def awaited(self, source: Owner, number: int) -> PendingCall | None:
        """The call of which `source` tells something; None likewise. It goes on."""
        pending = self._elsewhere.get(source, {}).get(number)
        if pending is None:
            self._counters.add("late_yields")
        return pending

    def abandon(self, pending: PendingCall, mode: str, reason: str) -> None:
        """Wait no longer for the callee: what it answers later is dropped.

        By mode `killnowait` it gets INTERRUPT for that reason, if it announced that it understands it.
        """
        if pending.callee is not None:
            self._drop(pending, mode, reason)
        elif pending.waits is not None:
            pending.waits.let_go(pending)
        elif pending.target is not None:
            owner = pending.target.owner
            if self._elsewhere.get(owner, {}).pop(pending.number, None) is not None:
                self._unload(pending)
                self._outbox.forward(owner, CancelInvoke(pending.number, reason, mode))

    def cancel(self, pending: PendingCall, mode: str) -> None:
        """The caller does not want the result any more: ERROR at once, unless by mode `kill` the callee answers."""
        self._counters.add("calls_canceled")
        if mode != KILL or not self._kill(pending):
            self.abandon(pending, mode, Canceled.uri)
            self.refuse(pending, canceled_by_caller())

    def _kill(self, pending: PendingCall) -> bool:
        """Ask the callee to end the call now; whether an answer can be waited for."""
        if pending.callee is not None:
            return self._interrupt(pending, KILL, Canceled.uri)
        if pending.target is None or pending.interrupted or pending.waits is not None:
            return pending.interrupted
        cancel = CancelInvoke(pending.number, Canceled.uri, KILL)
        pending.interrupted = self._outbox.forward(pending.target.owner, cancel)
        return pending.interrupted

    def caller_dismissed(self, session: Session) -> None:
        """The router ends the caller's session: answer its calls first, so that each has ended."""
        for pending in _latest_first(session.calls):
            self.abandon(pending, KILLNOWAIT, Canceled.uri)
            self.refuse(pending, _dismissed())

    def caller_left(self, session: Session) -> None:
        """End the session's calls without a word (basic profile, "Caller Leaving During an RPC Invocation")."""
        for pending in _latest_first(session.calls):
            self.abandon(pending, KILLNOWAIT, Canceled.uri)
            self._end(pending)

    def _timed_out(self, pending: PendingCall) -> None:
        self._counters.add("calls_timed_out")
        self.abandon(pending, KILLNOWAIT, TimedOut.uri)
        self.refuse(pending, TimedOut("The call had no result within its timeout.", _UNKNOWN))

    # ---- the callee's side

    def invoked(self, callee: Session, work: PendingCall | Served, registration: int, details: Options) -> int:
        """Allot the id of the INVOCATION by which `callee` gets to know this work."""
        work.invocation = callee.invoked = request = callee.invoked + 1
        work.callee = callee
        work.registration = registration
        work.shown = details
        callee.invocations[request] = work
        return request

    def serve(self, served: Served) -> None:
        """Remember a call of another node."""
        self._served.setdefault(served.source, {})[served.number] = served

    def answered(self, callee: Session, invocation: int) -> PendingCall | Served | None:
        """What the callee's YIELD or ERROR ends; None if that has ended already.

        Raises ProtocolViolation if this INVOCATION was never sent to the session.
        """
        work = callee.invocations.pop(invocation, None)
        if work is None:
            return self.working(callee, invocation)
        self.released(work)
        return work

    def working(self, callee: Session, invocation: int) -> PendingCall | Served | None:
        """What the callee works on under this id; None, or ProtocolViolation, likewise. It goes on."""
        work = callee.invocations.get(invocation)
        if work is None:
            if not 0 < invocation <= callee.invoked:
                raise ProtocolViolation(f"An answer to INVOCATION {invocation}, which was never sent.")
            self._counters.add("late_yields")
        return work

    def released(self, work: PendingCall | Served) -> None:
        """The callee works on it no longer."""
        work.callee = None
        if isinstance(work, Served):
            self._served.get(work.source, {}).pop(work.number, None)

    def served(self, source: Owner, number: int) -> Served | None:
        """Another node's call that a callee of this one works on."""
        return self._served.get(source, {}).get(number)

    def canceled_there(self, source: Owner, cancel: CancelInvoke) -> None:
        """The caller at another node waits no longer, or only for what the callee says now (mode `kill`)."""
        served = self.served(source, cancel.call)
        if served is None:
            return
        if cancel.mode == KILL and served.waits is None and self._interrupt(served, KILL, cancel.reason):
            return
        self.stop_serving(served, cancel.mode, cancel.reason)
        if cancel.mode == KILL:
            self.reply_error(served.source, served.number, canceled_by_caller())

    def stop_serving(self, served: Served, mode: str, reason: str) -> None:
        """What the callee answers is dropped from here on; `mode` and `reason` as in `abandon`."""
        del self._served[served.source][served.number]
        self._stop(served, mode, reason)

    def _stop(self, work: PendingCall | Served, mode: str, reason: str) -> None:
        if work.waits is not None:
            work.waits.let_go(work)
        else:
            self._drop(work, mode, reason)

    def reply_error(self, source: Owner, number: int, error: WampError) -> None:
        """Tell the caller's home that its call ended with the router's own ERROR."""
        self._outbox.forward(source, Reply(number, Answer.ERROR, error.uri, NO_OPTIONS, sentence_of(error)))

    def _drop(self, work: Work, mode: str, reason: str) -> None:
        callee = work.callee
        assert callee is not None, "only what is worked on is dropped"
        told = mode != SKIP and self._interrupt(work, KILLNOWAIT, reason)
        del callee.invocations[work.invocation]
        work.callee = None
        if told:  # its answer is not waited for; who was not told goes on, and keeps the place until then
            callee.leave_place(work.invocation)

    def interrupt(self, work: Work, reason: str) -> None:
        """Tell the callee that nobody waits for its answer."""
        self._interrupt(work, KILLNOWAIT, reason)

    def _interrupt(self, work: Work, mode: str, reason: str) -> bool:
        """Send INTERRUPT if the callee announced that it understands it; `kill` once only. Whether it got any."""
        assert work.callee is not None, "only who works on a call is interrupted"
        if not work.callee.features.callee_cancels:
            return False
        if mode != KILL or not work.interrupted:
            work.interrupted = True
            work.callee.client.send(Interrupt(work.invocation, {"mode": mode, "reason": reason}))
        return True

    # ---- other nodes

    def take_back(self, owner: Owner) -> None:
        """Cancel at this incarnation all that waits for it: the INVOKE of some may yet arrive, behind lost frames."""
        for number in self._elsewhere.get(owner, ()):
            self._outbox.forward(owner, CancelInvoke(number, Canceled.uri, KILLNOWAIT))

    def node_lost(self, owner: Owner) -> list[PendingCall]:
        """No answer will come from this incarnation, nor wait for ours: end its calls here, return those sent to it."""
        sent = list(self._elsewhere.pop(owner, {}).values())
        for pending in sent:
            self._unload(pending)
        for each in _latest_first(self._served.pop(owner, {})):
            self._stop(each, KILLNOWAIT, Canceled.uri)
        return sent

    def nodes(self) -> list[Owner]:
        """The incarnations that calls of this node wait for, or that wait for calls here."""
        return [*self._elsewhere, *self._served]

    def clear(self, callers: Iterable[Session]) -> dict[Session, Callable[[], None]]:
        """End all calls without a word: this node's incarnation has ended, and with it its sessions, `callers`.

        What is returned, for those of them that had calls, answers these.
        """
        self._elsewhere.clear()
        for calls in self._served.values():
            for served in calls.values():
                self._stop(served, SKIP, Canceled.uri)
        self._served.clear()
        self._loads.clear()
        answers: dict[Session, Callable[[], None]] = {}
        for caller in callers:
            if caller.calls:
                answers[caller] = partial(_say_dismissed, caller.client, list(caller.calls))
            for pending in list(caller.calls.values()):
                if pending.callee is not None or pending.waits is not None:
                    self._stop(pending, SKIP, Canceled.uri)
                self._end(pending)
        return answers


def _dismissed() -> Canceled:
    return Canceled("The caller's session was ended by the router.", _UNKNOWN)


def _say_dismissed(client: Client, requests: list[int]) -> None:
    for request in requests:
        client.send(refusal(CALL, request, _dismissed()))


def _latest_first(calls: dict[int, _Work]) -> list[_Work]:
    """In this order the end of one does not bring another that waits for its place to the callee, for nothing."""
    return list(reversed(calls.values()))


def canceled_by_caller() -> Canceled:
    """The ERROR for a call that its caller gave up."""
    return Canceled("The caller canceled the call.", _UNKNOWN)
