"""P1: registrations with policy `single` are linearizable, procedure by procedure (the search: `order.py`).

register    ok: there is no owner, and the session becomes it.  procedure_already_exists: somebody else is, or tries
unregister  ok: the session was the owner, or had been declared dead; afterwards it is not
invoked     a CALL was delivered to this session: it is the owner at some moment between CALL and INVOCATION
missed      no_such_procedure: there is no owner, or one that is not REGISTERED yet, or one that is about to go
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from tests.checkers.excuses import Excuses
from tests.checkers.history import ERROR, OK, SINGLE, History, Operation, Violation
from tests.checkers.order import NOBODY, Registrations, Step, UndecidedError, first_stuck

_EXISTS = "wamp.error.procedure_already_exists"
_MISSING = "wamp.error.no_such_procedure"


def check_registrations(history: History, excuses: Excuses) -> Iterator[Violation]:
    """One violation per procedure whose history has no order; one of rule `undecided` where the search was too long."""
    for procedure, registrations in sorted(_by_procedure(history, excuses).items()):
        try:
            stuck = first_stuck(registrations)
        except UndecidedError as error:
            yield Violation(0.0, "undecided", f"P1 of {procedure}: {error}")
            continue
        if stuck is not None:
            sentence = f"{procedure}: no order of its operations explains {stuck}"
            yield Violation(stuck.invoke, "P1", sentence)


def _by_procedure(history: History, excuses: Excuses) -> dict[str, Registrations]:
    found: dict[str, Registrations] = defaultdict(Registrations)
    shared = {operation.uri for operation in history.of("register") if operation.policy != SINGLE}
    for operation in history.of("register", "unregister"):
        _add_registration(found[operation.uri], operation, excuses)
    calls = {(call.session, call.number): call for call in history.of("call")}
    for invocation in history.invocations:
        call = calls.get((invocation.caller, invocation.number))
        if call is not None:
            found[call.uri].steps.append(Step("invoked", invocation.session, call.invoke, invocation.time))
    for call in calls.values():
        if call.error == _MISSING and call.returned is not None:
            found[call.uri].steps.append(Step("missed", NOBODY, call.invoke, call.returned))
    for registrations in found.values():
        _mark_contested(registrations)
    return {uri: registrations for uri, registrations in found.items() if uri not in shared}


def _add_registration(found: Registrations, operation: Operation, excuses: Excuses) -> None:
    session, returned = operation.session, operation.returned
    doubtful = excuses.doubtful_from(session, operation.node, operation.client, operation.invoke)
    found.may_lose[session] = min(found.may_lose.get(session, math.inf), doubtful)
    refused = operation.op == "register" and operation.outcome == ERROR and operation.error == _EXISTS
    if returned is not None and (operation.outcome == OK or refused):
        kind = "refused" if refused else operation.op
        found.steps.append(Step(kind, session, operation.invoke, returned))
        if kind == "register":
            found.acknowledged[session].append((operation.invoke, returned))
        return
    found.may_lose[session] = min(found.may_lose[session], operation.invoke)
    if operation.op == "register":  # it may have been applied, and withdrawn
        found.may_gain[session] = min(found.may_gain.get(session, math.inf), operation.invoke)


def _mark_contested(registrations: Registrations) -> None:
    tries = [step for step in registrations.steps if step.kind in ("register", "refused")]
    for step in tries:
        if step.kind == "refused":
            rivals = [each for each in tries if each is not step]
            step.contested = any(each.invoke < step.returned and each.returned > step.invoke for each in rivals) or any(
                gain < step.returned for gain in registrations.may_gain.values()
            )
