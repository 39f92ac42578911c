"""The search for an order of operations: the same verdict as a search that knows no short cuts, in far fewer states."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checkers.order import NOBODY, Registrations, Step, UndecidedError, first_stuck

SESSIONS = (1, 2, 3)
TIMES = st.integers(0, 12).map(float)


@st.composite
def histories(draw: st.DrawFn) -> Registrations:
    made = Registrations()
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(("register", "unregister", "refused", "invoked", "missed")))
        session = NOBODY if kind == "missed" else draw(st.sampled_from(SESSIONS))
        begin = draw(TIMES)
        step = Step(kind, session, begin, begin + draw(st.integers(1, 6)), contested=draw(st.booleans()))
        made.steps.append(step)
        if kind == "register":
            made.acknowledged[session].append((step.invoke, step.returned))
    for doubtful in (made.may_lose, made.may_gain):
        doubtful.update(draw(st.dictionaries(st.sampled_from(SESSIONS), TIMES, max_size=2)))
    return made


def has_an_order(made: Registrations) -> bool:
    """Try every operation that can be next, and every owner that there can be then."""

    def goes_on(left: frozenset[int], owner: int) -> bool:
        if not left:
            return True
        if (left, owner) in seen:
            return False
        seen.add((left, owner))
        horizon = min(made.steps[place].returned for place in left)
        owners = {owner}
        if owner and made.may_lose.get(owner, math.inf) <= horizon:
            owners.add(NOBODY)
        if NOBODY in owners:
            owners |= {session for session, since in made.may_gain.items() if since <= horizon}
        return any(
            after is not None and goes_on(left - {place}, after)
            for place in left
            if made.steps[place].invoke <= horizon
            for present in owners
            for after in [owner_after(made.steps[place], present, made)]
        )

    seen: set[tuple[frozenset[int], int]] = set()
    return goes_on(frozenset(range(len(made.steps))), NOBODY)


def owner_after(step: Step, owner: int, made: Registrations) -> int | None:
    """As the head of `registrations.py` has it; None if the outcome is impossible."""
    overlap = [
        each
        for each in made.steps
        if each.session == owner and each.invoke < step.returned and each.returned > step.invoke
    ]
    match step.kind:
        case "register":
            return None if owner else step.session
        case "unregister" if owner == step.session:
            return NOBODY
        case "unregister":
            possible = made.may_lose.get(step.session, math.inf) <= step.returned
        case "refused":
            possible = bool(owner) or step.contested
        case "invoked":
            possible = owner == step.session
        case _:
            possible = (
                not owner
                or made.may_lose.get(owner, math.inf) <= step.returned
                or any(each.kind in ("register", "unregister") for each in overlap)
                or not made.acknowledged.get(owner)
            )
    return owner if possible else None


@given(histories())
def test_the_verdict_is_that_of_a_search_without_short_cuts(made: Registrations) -> None:
    assert (first_stuck(made) is None) == has_an_order(made)


def hanging(count: int, last: Step) -> Registrations:
    """While one session owns the procedure, so many others are refused, and called in vain, all at the same time."""
    made = Registrations(steps=[Step("register", 1, 0.0, 1.0)], acknowledged={1: [(0.0, 1.0)]}, may_lose={1: 5.0})
    for session in range(2, 2 + count):
        made.may_gain[session] = made.may_lose[session] = 6.0
        made.steps.append(Step("refused", session, 2.0, 20.0))
        made.steps.append(Step("invoked", session, 2.5, 20.0))
        made.steps.append(Step("missed", NOBODY, 3.0, 20.0))
    made.steps.append(last)
    return made


def test_many_operations_that_hang_at_the_same_time_are_decided() -> None:
    assert first_stuck(hanging(60, Step("invoked", 7, 21.0, 22.0)), states_max=5000) is None
    impossible = Step("invoked", 99, 21.0, 22.0)
    assert first_stuck(hanging(60, impossible), states_max=5000) == impossible


def test_a_search_that_is_given_up_says_so() -> None:
    with pytest.raises(UndecidedError, match="no order was found among"):
        first_stuck(hanging(60, Step("invoked", 99, 21.0, 22.0)), states_max=50)
