"""The search for an order of the operations on one procedure, after Wing and Gong with Lowe's memory of states.

Is there an order of them, each between its invocation and its return, in which each has the outcome it had? A state is
the set of operations that are done, and the owner. What may happen at any time from some moment on (a session in doubt
ends, a REGISTER of unknown outcome takes effect) would stay concurrent for ever as an operation; here the owner may
change by itself, and the search is linear where nothing is concurrent.

What keeps the number of states small while many operations hang, as they do on a suspended node:

* An operation that only looks (a call, a refusal) is done as soon as it can be. Whatever goes on with it later goes on
  as well with it now: the owner stays, and nothing that is not done has returned before it began.
* Of two states with the same owner and the same changes done, the one in which less has been looked at is dropped:
  whatever goes on from there goes on from the other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

STATES_MAX = 50_000  # then the procedure's history counts as undecided, which is a finding
NOBODY = 0
CHANGES = ("register", "unregister")  # the other operations only look


class UndecidedError(Exception):
    """Too many states: whether there is an order is not known."""


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


def first_stuck(registrations: Registrations, states_max: int = STATES_MAX) -> Step | None:
    """The operation at which the longest order ends; None if there is an order of all.

    Raises `UndecidedError` after so many states.
    """
    search = _Search(registrations)
    search.reach(0, NOBODY)
    while search.stack:
        done, owner = search.stack.pop()
        if search.is_beaten(done, owner):
            continue
        open_ = search.open(done)
        if not open_:
            return None
        search.go_on(done, owner, open_)
        if search.states > states_max:
            raise UndecidedError(f"no order was found among {search.states} states")
    return search.stuck


class _Search:
    """The states reached so far. A set of operations is a number, with one bit for each of `steps`."""

    def __init__(self, registrations: Registrations) -> None:
        self.steps = sorted(registrations.steps, key=lambda step: (step.invoke, step.returned))
        self.stack: list[tuple[int, int]] = []  # (done, owner), to go on from
        self.states = 0
        self.stuck: Step | None = None
        self._furthest = -math.inf
        self._all = registrations
        self._changes = sum(1 << place for place, step in enumerate(self.steps) if step.kind in CHANGES)
        self._best: dict[tuple[int, int], list[int]] = defaultdict(list)  # (changes done, owner) -> largest sets done

    def open(self, done: int) -> list[int]:
        """The operations that can be next: not done, and begun before the first of those returns."""
        first = (~done & (done + 1)).bit_length() - 1
        horizon, found = math.inf, []
        for place in range(first, len(self.steps)):
            step = self.steps[place]
            if step.invoke > horizon:
                break
            if not done >> place & 1:
                found.append(place)
                horizon = min(horizon, step.returned)
        return [place for place in found if self.steps[place].invoke <= horizon]

    def go_on(self, done: int, owner: int, open_: list[int]) -> None:
        """Reach what can be next: another owner, or one change more."""
        first = min((self.steps[place] for place in open_), key=lambda step: step.returned)
        if first.returned > self._furthest:
            self._furthest, self.stuck = first.returned, first
        for present in _reachable(owner, first.returned, self._all):
            if present != owner:
                self.reach(done, present)
        for place in open_:
            step = self.steps[place]
            after = _after(step, owner, self._all) if step.kind in CHANGES else None
            if after is not None:
                self.reach(done | 1 << place, after)

    def reach(self, done: int, owner: int) -> None:
        """Note a state, with all done that only looks, unless it is no better than one that is known."""
        looked = self._look(done, owner)
        if self.is_known(looked, owner):
            return
        best = self._best[looked & self._changes, owner]
        best[:] = [other for other in best if other | looked != looked]
        best.append(looked)
        self.states += 1
        self.stack.append((looked, owner))

    def is_known(self, done: int, owner: int) -> bool:
        """Whether this state, or a better one, was reached."""
        return any(other | done == other for other in self._best[done & self._changes, owner])

    def is_beaten(self, done: int, owner: int) -> bool:
        """Whether a better state was reached since."""
        return done not in self._best[done & self._changes, owner]

    def _look(self, done: int, owner: int) -> int:
        while True:
            before = done
            for place in self.open(done):
                step = self.steps[place]
                if step.kind not in CHANGES and _after(step, owner, self._all) is not None:
                    done |= 1 << place
            if done == before:
                return done


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
