"""P1: registrations with policy `single` are linearizable, procedure by procedure.

A search after Wing and Gong, with Lowe's memory of states: is there an order of the operations, each between its
invocation and its return, in which each has the outcome it had? The state is the owner. What may happen at any time
from some moment on (a session in doubt ends, a REGISTER of unknown outcome takes effect) would stay concurrent for
ever as an operation; here the state may take such a step by itself, and the search is linear where nothing is
concurrent.

    register    ok: there is no owner, and the session becomes it.  procedure_already_exists: somebody else is, or tries
    unregister  ok: the session was the owner, or had been declared dead; afterwards it is not
    invoked     a CALL was delivered to this session: it is the owner at some moment between CALL and INVOCATION
    missed      no_such_procedure: there is no owner, or one that is not REGISTERED yet, or one that is about to go
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.checkers.excuses import Excuses
from tests.checkers.history import ERROR, OK, History, Operation, Violation

STEPS_MAX = 300_000  # then the procedure's history counts as undecided
NOBODY = 0
_EXISTS = "wamp.error.procedure_already_exists"
_MISSING = "wamp.error.no_such_procedure"


@dataclass(slots=True)
class Step:
    """One operation in the search."""

    kind: str
    session: int
    invoke: float
    returned: float
    contested: bool = False  # of a refused register: another one was under way

    def __str__(self) -> str:
        return f"{self.kind} {self.session} [{self.invoke:.4f}, {self.returned:.4f}]"


@dataclass(slots=True)
class Registrations:
    """All that concerns one procedure."""

    steps: list[Step] = field(default_factory=list)
    may_lose: dict[int, float] = field(default_factory=dict)  # session -> from when on it may not be the owner any more
    may_gain: dict[int, float] = field(default_factory=dict)  # session -> from when on it may have become the owner
    acknowledged: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))  # REGISTERED


def check_registrations(history: History, excuses: Excuses) -> Iterator[Violation]:
    """One violation per procedure whose history has no order; what was too long to decide is passed over."""
    for procedure, registrations in sorted(_by_procedure(history, excuses).items()):
        stuck = first_stuck(registrations)
        if stuck is not None:
            sentence = f"{procedure}: no order of its operations explains {stuck}"
            yield Violation(stuck.invoke, "P1", sentence)


def _by_procedure(history: History, excuses: Excuses) -> dict[str, Registrations]:
    found: dict[str, Registrations] = defaultdict(Registrations)
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
    return found


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


# ---- the search


def first_stuck(registrations: Registrations, steps_max: int = STEPS_MAX) -> Step | None:
    """The operation at which the longest order ends; None if there is an order of all, or too many to try."""
    steps = sorted(registrations.steps, key=lambda step: (step.invoke, step.returned))
    everything = (1 << len(steps)) - 1
    stack = [(0, NOBODY)]
    seen = {(0, NOBODY)}
    furthest, stuck = -1, None
    while stack:
        done, owner = stack.pop()
        if done == everything:
            return None
        open_ = _open(steps, done)
        horizon = min(steps[place].returned for place in open_)
        if horizon > furthest:
            furthest, stuck = horizon, min((steps[place] for place in open_), key=lambda step: step.returned)
        for place in open_:
            step = steps[place]
            if step.invoke > horizon:
                continue
            for present in _reachable(owner, horizon, registrations):
                after = _after(step, present, registrations)
                state = (done | 1 << place, after)
                if after is not None and state not in seen:
                    seen.add(state)
                    stack.append(state)
        if len(seen) > steps_max:
            return None
    return stuck


def _open(steps: list[Step], done: int) -> list[int]:
    """The operations that can be next: not done, and begun before the first of those ends."""
    first = (~done & (done + 1)).bit_length() - 1
    horizon, found = math.inf, []
    for place in range(first, len(steps)):
        if steps[place].invoke > horizon:
            break
        if not done >> place & 1:
            found.append(place)
            horizon = min(horizon, steps[place].returned)
    return found


def _reachable(owner: int, horizon: float, registrations: Registrations) -> list[int]:
    """The owners that there may be now: this one, nobody if it may have lost, and those who may have gained."""
    owners = [owner]
    if owner != NOBODY and registrations.may_lose.get(owner, math.inf) <= horizon:
        owners.append(NOBODY)
    if NOBODY in owners:
        owners += [session for session, since in registrations.may_gain.items() if since <= horizon]
    return list(dict.fromkeys(owners))


def _after(step: Step, owner: int, registrations: Registrations) -> int | None:
    """The owner after this operation; None if it cannot have this outcome now."""
    kind, session = step.kind, step.session
    if kind == "register":
        return session if owner == NOBODY else None
    if kind == "refused":
        return owner if owner != NOBODY or step.contested else None
    if kind == "unregister":
        if owner == session:
            return NOBODY
        return owner if registrations.may_lose.get(session, math.inf) <= step.returned else None
    if kind == "invoked":
        return owner if owner == session else None
    return owner if owner == NOBODY or _excusably_missed(step, owner, registrations) else None


def _excusably_missed(step: Step, owner: int, registrations: Registrations) -> bool:
    if registrations.may_lose.get(owner, math.inf) <= step.returned:
        return True
    leaving = any(
        each.kind == "unregister"
        and each.session == owner
        and each.invoke < step.returned
        and each.returned > step.invoke
        for each in registrations.steps
    )
    times = registrations.acknowledged[owner]
    pending = any(invoke < step.returned and returned > step.invoke for invoke, returned in times)
    return leaving or pending or not times
