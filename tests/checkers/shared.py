"""P1 for procedures with several callees: only who offers it is called, nobody is overlooked, and their order counts.

invoked      to a session that was REGISTERED by then, and not UNREGISTERED before the CALL
missed       no_such_procedure, although somebody offered it all the while
first, last  to another than the first, or last, of those who offered it all the while
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.checkers.excuses import RECOVERY_S, Excuses
from tests.checkers.history import OK, SINGLE, History, Invocation, Operation, Violation

_MISSING = "wamp.error.no_such_procedure"


@dataclass(slots=True)
class Stay:
    """One session among the callees of a procedure."""

    session: int
    node: str
    policy: str
    begun: float  # REGISTER was sent
    since: float  # REGISTERED came
    until: float  # from here on it may be gone
    gone: float  # UNREGISTERED came


def check_shared(history: History, excuses: Excuses) -> Iterator[Violation]:
    """Each rule, for each procedure that somebody shared."""
    stays = _stays(history, excuses)
    calls = {(call.session, call.number): call for call in history.of("call") if call.uri in stays}
    for call in calls.values():
        if call.error == _MISSING and call.returned is not None:
            offered = [each for each in stays[call.uri] if each.since < call.invoke and each.until > call.returned]
            if offered:
                yield Violation(call.invoke, "P1", f"{call.uri} was missed, though {offered[0].session} offered it")
    for invocation in history.invocations:
        made = calls.get((invocation.caller, invocation.number))
        if made is not None:
            yield from _wrong(made, invocation, stays[made.uri], excuses)


def _wrong(call: Operation, invocation: Invocation, stays: list[Stay], excuses: Excuses) -> Iterator[Violation]:
    mine = [
        stay
        for stay in stays
        if stay.session == invocation.session and stay.since <= invocation.time and call.invoke <= stay.gone
    ]
    if not mine:
        yield Violation(call.invoke, "P1", f"{call.uri} was called at {invocation.session}, who does not offer it")
        return
    if mine[0].policy not in ("first", "last"):
        return
    for stay in stays:
        steady = stay.since < call.invoke and stay.until > invocation.time and stay.policy == mine[0].policy
        before = all(stay.since < each.begun for each in mine)
        behind = all(stay.begun > each.since for each in mine)
        if steady and (before if stay.policy == "first" else behind) and not _hindered(stay, call, invocation, excuses):
            sentence = f"{call.uri} was called at {invocation.session}, not at {stay.session}"
            yield Violation(call.invoke, "P1", sentence)


def _hindered(stay: Stay, call: Operation, invocation: Invocation, excuses: Excuses) -> bool:
    """Whether a fault of its node, or of the caller's, may have kept the call from being delivered there."""
    return any(
        fault.begin <= invocation.time and fault.end + RECOVERY_S >= call.invoke
        for fault in excuses.faults
        if {stay.node, call.node}.intersection(fault.nodes) or any(stay.node in link for link in fault.links)
    )


def _stays(history: History, excuses: Excuses) -> dict[str, list[Stay]]:
    shared = {operation.uri for operation in history.of("register") if operation.policy != SINGLE}
    found: dict[str, list[Stay]] = defaultdict(list)
    open_: dict[tuple[int, str], Stay] = {}
    for operation in sorted(history.of("register", "unregister"), key=lambda each: each.invoke):
        if operation.uri not in shared:
            continue
        key = (operation.session, operation.uri)
        if operation.op == "register" and operation.outcome == OK and operation.returned is not None:
            doubtful = excuses.doubtful_from(operation.session, operation.node, operation.client, operation.invoke)
            stay = open_[key] = Stay(
                operation.session,
                operation.node,
                operation.policy,
                operation.invoke,
                operation.returned,
                doubtful,
                math.inf,
            )
            found[operation.uri].append(stay)
        elif operation.op == "unregister" and key in open_:
            stay = open_.pop(key)
            stay.until = min(stay.until, operation.invoke)
            if operation.outcome == OK and operation.returned is not None:
                stay.gone = operation.returned
    return {uri: found[uri] for uri in shared}
