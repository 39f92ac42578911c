"""P6: every CALL ends exactly once, in time, and causes at most one INVOCATION."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.checkers.excuses import Excuses
from tests.checkers.history import OK, History, Invocation, Operation, Violation

BOUND_S = 10.0  # detection of a dead node, its removal, and the wait of a suspended caller's node
NOTHING_SENT = ("wamp.error.no_such_procedure", "wamp.error.unavailable")


def check_calls(history: History, excuses: Excuses) -> Iterator[Violation]:
    """Each rule of P6."""
    invoked: dict[tuple[int, int], list[Invocation]] = defaultdict(list)
    for invocation in history.invocations:
        invoked[invocation.caller, invocation.number].append(invocation)
    for call in history.of("call"):
        invocations = invoked[call.session, call.number]
        for sentence in _wrong(call, invocations):
            yield Violation(call.invoke, "P6", f"{_told(call)} {sentence}")
        yield from _late(call, invocations, excuses)


def _wrong(call: Operation, invocations: list[Invocation]) -> Iterator[str]:
    if call.answers > 1:
        yield f"was answered {call.answers} times"
    if len(invocations) > 1:
        yield f"was delivered to {', '.join(each.client for each in invocations)}"
    if call.error in NOTHING_SENT and invocations:
        yield f"was delivered to {invocations[0].client}, and ended with {call.error}"
    if call.callee and not any(each.session == call.callee and each.answered is not None for each in invocations):
        yield f"has the answer of {call.callee}, who gave none"
    if call.outcome == OK and not call.callee:
        yield "has a result that is not its own"


def _late(call: Operation, invocations: list[Invocation], excuses: Excuses) -> Iterator[Violation]:
    """Waiting counts from when nothing held the answer up any longer: neither the callee nor a fault."""
    since = call.invoke
    for invocation in invocations:
        done = excuses.end(invocation.session) if invocation.answered is None else invocation.answered
        since = max(since, done)
    until = excuses.end(call.session) if call.returned is None else call.returned
    limit = excuses.settled(since, excuses.faults, BOUND_S)
    if until > limit and since != float("inf"):
        ended = "never" if call.returned is None else f"at {call.returned:.4f}"
        yield Violation(call.invoke, "P6", f"{_told(call)} ended {ended}; it was due by {limit:.4f}")


def _told(call: Operation) -> str:
    return f"call {call.number} of {call.client} ({call.session}) at {call.node} to {call.uri}"
