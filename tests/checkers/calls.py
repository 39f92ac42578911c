"""P6: every CALL ends exactly once, in time, and causes at most one INVOCATION."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.checkers.excuses import Excuses
from tests.checkers.history import ERROR, OK, History, Invocation, Operation, Violation

BOUND_S = 10.0  # detection of a dead node, its removal, and the wait of a suspended caller's node
NOTHING_SENT = ("wamp.error.no_such_procedure", "wamp.error.unavailable")


def check_calls(history: History, excuses: Excuses) -> Iterator[Violation]:
    """Each rule of P6."""
    invoked: dict[tuple[int, int], list[Invocation]] = defaultdict(list)
    for invocation in history.invocations:
        invoked[invocation.caller, invocation.number].append(invocation)
    unread = _unread_callees(history, excuses)
    for call in history.of("call"):
        invocations = invoked[call.session, call.number]
        for sentence in _wrong(call, invocations):
            yield Violation(call.invoke, "P6", f"{_told(call)} {sentence}")
        yield from _late(call, invocations, unread[call.uri], excuses)


def _unread_callees(history: History, excuses: Excuses) -> dict[str, list[Operation]]:
    """The registrations that clients had when they stopped to read, by procedure: nobody sees calls to them arrive."""
    standing: dict[tuple[int, str], Operation] = {}
    for operation in history.of("register", "unregister"):
        key = operation.session, operation.uri
        if operation.op == "unregister":
            standing.pop(key, None)
        elif operation.outcome != ERROR and excuses.held(operation.session) > excuses.end(operation.session):
            standing[key] = operation
    unread: dict[str, list[Operation]] = defaultdict(list)
    for (_, procedure), register in standing.items():
        unread[procedure].append(register)
    return unread


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


def _late(
    call: Operation, invocations: list[Invocation], unread: list[Operation], excuses: Excuses
) -> Iterator[Violation]:
    """Waiting counts from when nothing held the answer up any longer: neither the callee nor a fault."""
    since = call.invoke
    until = excuses.end(call.session) if call.returned is None else call.returned
    for invocation in invocations:
        done = excuses.end(invocation.session) if invocation.answered is None else invocation.answered
        since = max(since, done)
    if not invocations:  # it may have gone to a callee that does not read, who ends it when its node gives it up
        held = [excuses.held(each.session) for each in unread if each.invoke < until]
        since = max([since, *(end for end in held if end <= until)])
    # A node that does not serve reads nothing: its clients' silence proves nothing meanwhile, and they are cut later.
    patience_s = BOUND_S + excuses.disturbed_s(since, since + BOUND_S)
    limit = excuses.settled(since, excuses.faults, patience_s)
    if until > limit and since != float("inf"):
        ended = "never" if call.returned is None else f"at {call.returned:.4f}"
        yield Violation(call.invoke, "P6", f"{_told(call)} ended {ended}; it was due by {limit:.4f}")


def _told(call: Operation) -> str:
    return f"call {call.number} of {call.client} ({call.session}) at {call.node} to {call.uri}"
