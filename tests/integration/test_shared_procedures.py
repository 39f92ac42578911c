"""Procedures with several callees, message by message, over real connections on one node and on three.

What the router must do is worked out in `tests/unit/routing/test_shared.py`; here it is seen from outside.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count, cycle
from typing import Any, Final

import pytest

from tests.support.nodes import QUEUED_REALM, REALM, Cluster
from tests.support.wampclient import (
    CALL,
    CANCEL,
    ERROR,
    FEATURES,
    INVOCATION,
    REGISTER,
    UNREGISTERED,
    YIELD,
    AnsweredError,
    ConnectionEndedError,
    Session,
)

_fresh: Final[Iterator[int]] = count()
KINDS: Final = [("websocket", "json"), ("rawsocket", "msgpack"), ("websocket", "cbor")]
ROLES: Final = {role: {"features": {**FEATURES, "call_reroute": True}} for role in ("caller", "callee")}
WAYS: Final = {"one-node": ("a", "a"), "a-to-b": ("a", "bc"), "c-to-a": ("c", "ab")}  # caller's home, callees' homes

Make = Callable[..., list[Session]]


def fresh() -> str:
    """A URI that no other test uses."""
    return f"shared.n{next(_fresh)}"


@pytest.fixture(params=WAYS)
def make(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Make]:
    """Makes a caller and so many callees, with transports and serializers that change."""
    home, homes = WAYS[request.param]
    with ExitStack() as stack:

        def sessions(callees: int, realm: str = REALM) -> list[Session]:
            kinds = cycle(KINDS)
            ports = [cluster[name].port for name in (home, *(homes[n % len(homes)] for n in range(callees)))]
            return [
                stack.enter_context(Session(port, *next(kinds), realm, roles=ROLES))  # type: ignore[arg-type]
                for port in ports
            ]

        yield sessions


def refused(session: Session, request: int) -> str:
    with pytest.raises(AnsweredError) as caught:
        session.answer(request)
    return caught.value.uri


@pytest.mark.parametrize(("policy", "chosen"), [("first", 0), ("last", 2)])
def test_first_and_last(make: Make, policy: str, chosen: int) -> None:
    procedure = fresh()
    caller, *callees = make(3)
    ids = {callee.register(procedure, invoke=policy) for callee in callees}
    assert len(ids) == 1, "one registration"
    for number in range(4):
        request = caller.start(CALL, {}, procedure, [number])
        callees[chosen].answer_invocation()
        assert caller.answer(request)[3] == [number]
    callees[chosen].unregister(ids.pop())
    request = caller.start(CALL, {}, procedure, ["next"])
    callees[1].answer_invocation()
    assert caller.answer(request)[3] == ["next"]


@pytest.mark.parametrize("policy", ["roundrobin", "random"])
def test_calls_are_shared(make: Make, policy: str) -> None:
    procedure = fresh()
    caller, *callees = make(3)
    for callee in callees:
        callee.register(procedure, invoke=policy)
    requests = [caller.start(CALL, {}, procedure, [number]) for number in range(60)]
    for callee in callees:
        callee.synchronize()
    caller.synchronize()
    taken: list[list[int]] = [[], [], []]
    for place, callee in enumerate(callees):
        while len(taken[place]) < (20 if policy == "roundrobin" else 60):
            try:
                taken[place].append(callee.next(INVOCATION, 0.5)[4][0])
            except TimeoutError:
                break
    assert sorted(number for numbers in taken for number in numbers) == list(range(60))
    if policy == "roundrobin":
        first = next(place for place in range(3) if 0 in taken[place])  # where this node's cycle begins
        assert [taken[(first + place) % 3] for place in range(3)] == [list(range(start, 60, 3)) for start in range(3)]
    else:
        assert min(map(len, taken)) > 5
    for request in requests:
        caller.connection.send([CANCEL, request, {"mode": "skip"}])


def test_conflicting_and_unknown_policies(make: Make) -> None:
    procedure = fresh()
    caller, first, second = make(2)
    first.register(procedure, invoke="first")
    for policy, error in (
        ("last", "wamp.error.procedure_exists_with_different_invocation_policy"),
        ("single", "wamp.error.procedure_exists_with_different_invocation_policy"),
        ("whoever", "wamp.error.invalid_argument"),
    ):
        assert refused(second, second.start(REGISTER, {"invoke": policy}, procedure)) == error
    assert refused(first, first.start(REGISTER, {"invoke": "first"}, procedure)) == (
        "wamp.error.procedure_already_exists"
    )
    request = caller.start(CALL, {}, procedure)
    first.answer_invocation()
    caller.answer(request)


@pytest.mark.parametrize(
    "options", [{"invoke": 1}, {"concurrency": "2"}, {"concurrency": -1}, {"force_reregister": 1}, {"_repeatable": "y"}]
)
def test_options_of_the_wrong_type_end_the_session_and_disturb_nobody(make: Make, options: dict[str, Any]) -> None:
    procedure = fresh()
    caller, wrong, right = make(2)
    right.register(procedure, invoke="first")
    wrong.start(REGISTER, options, procedure)
    with pytest.raises(ConnectionEndedError):
        while wrong.connection.receive(5.0)[0] != 0:
            pass
    request = caller.start(CALL, {}, procedure)
    right.answer_invocation()
    caller.answer(request)


def test_force_reregister(make: Make) -> None:
    procedure = fresh()
    caller, old, new = make(2)
    former = old.register(procedure)
    registration = new.register(procedure, force_reregister=True)
    assert registration != former
    code, request, details = old.next(UNREGISTERED)
    assert (code, request, details["registration"]) == (UNREGISTERED, 0, former)
    assert "force_reregister" in details["reason"]
    request = caller.start(CALL, {}, procedure, ["mine"])
    assert new.answer_invocation()[2] == registration
    assert caller.answer(request)[3] == ["mine"]


def test_concurrency(make: Make) -> None:
    procedure = fresh()
    caller, callee = make(1)
    callee.register(procedure, concurrency=2)
    requests = [caller.start(CALL, {}, procedure, [number]) for number in range(2)]
    invocations = [callee.next(INVOCATION) for _ in requests]
    assert refused(caller, caller.start(CALL, {}, procedure)) == "crossbar.error.max_concurrency_reached"
    for request, invocation in zip(requests, invocations, strict=True):
        callee.connection.send([YIELD, invocation[1], {}, invocation[4]])
        assert caller.answer(request)[3] == invocation[4]
    request = caller.start(CALL, {}, procedure)
    callee.answer_invocation()
    caller.answer(request)


def test_calls_wait_for_a_callee(make: Make) -> None:
    procedure = fresh()
    caller, callee = make(1, QUEUED_REALM)
    callee.register(procedure, concurrency=1)
    first, canceled, third = (caller.start(CALL, {}, procedure, [number]) for number in range(3))
    invocation = callee.next(INVOCATION)
    caller.connection.send([CANCEL, canceled, {"mode": "kill"}])
    assert refused(caller, canceled) == "wamp.error.canceled"
    callee.synchronize()
    assert not callee.inbox, "the next one waits"
    callee.connection.send([YIELD, invocation[1], {}, invocation[4]])
    assert caller.answer(first)[3] == [0]
    assert callee.answer_invocation()[4] == [2]
    assert caller.answer(third)[3] == [2]


def test_rerouting(make: Make) -> None:
    procedure = fresh()
    caller, first, second = make(2)
    for callee in (first, second):
        callee.register(procedure, invoke="first")
    request = caller.start(CALL, {}, procedure, ["mine"])
    invocation = first.next(INVOCATION)
    first.connection.send([ERROR, INVOCATION, invocation[1], {}, "wamp.error.unavailable"])
    invocation = second.next(INVOCATION)
    assert invocation[4] == ["mine"]
    second.connection.send([YIELD, invocation[1], {}, ["done"]])
    assert caller.answer(request)[3] == ["done"]
    request = caller.start(CALL, {}, procedure)
    for callee in (first, second):
        invocation = callee.next(INVOCATION)
        callee.connection.send([ERROR, INVOCATION, invocation[1], {}, "wamp.error.unavailable"])
    assert refused(caller, request) == "wamp.error.no_available_callee"


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_callee_that_is_lost(make: Make, repeatable: bool) -> None:
    procedure = fresh()
    caller, first, second = make(2)
    for callee in (first, second):
        callee.register(procedure, invoke="first", _repeatable=repeatable)
    request = caller.start(CALL, {}, procedure, ["mine"])
    first.next(INVOCATION)
    first.close()
    if repeatable:
        second.answer_invocation(["done"])
        assert caller.answer(request)[3] == ["done"]
    else:
        assert refused(caller, request) == "wamp.error.canceled"


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_node_that_is_killed_with_a_callee_on_it(fresh_cluster: Callable[[], Cluster], repeatable: bool) -> None:
    cluster = fresh_cluster().start()
    with cluster["a"].session() as first, cluster["b"].session() as caller, cluster["c"].session() as second:
        for callee in (first, second):
            callee.register("p", invoke="first", _repeatable=repeatable)
        request = caller.start(CALL, {}, "p", ["mine"])
        first.next(INVOCATION)
        cluster["a"].kill()
        if repeatable:
            assert second.answer_invocation()[4] == ["mine"]
            assert caller.answer(request)[3] == ["mine"]
        else:
            with pytest.raises(AnsweredError) as ended:
                caller.answer(request)
            assert (ended.value.uri, ended.value.message[6]) == ("wamp.error.canceled", {"outcome": "unknown"})
        request = caller.start(CALL, {}, "p", ["next"])  # though the dead one may still stand in the table
        assert second.answer_invocation()[4] == ["next"]
        assert caller.answer(request)[3] == ["next"]


# ---- fairness, with real processes

CALLS: Final = 10_000
WINDOW: Final = 25  # calls of one caller at once


def test_round_robin_of_10000_calls_from_all_nodes_gives_each_of_five_callees_2000(cluster: Cluster) -> None:
    procedure = fresh()
    names = cycle("abc")
    with ExitStack() as stack:
        callees = [stack.enter_context(cluster[next(names)].session("rawsocket", "msgpack")) for _ in range(5)]
        callers = [stack.enter_context(cluster[name].session("rawsocket", "msgpack")) for name in "abc"]
        for callee in callees:
            callee.register(procedure, invoke="roundrobin")
        taken: Counter[int] = Counter()

        def work(place: int) -> None:
            with suppress(ConnectionEndedError, OSError):
                while True:
                    callees[place].answer_invocation([place])
                    taken[place] += 1

        threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(5)]
        for thread in threads:
            thread.start()
        open_calls: list[tuple[Session, int]] = []
        for number in range(CALLS):
            if len(open_calls) >= WINDOW * 3:
                caller, request = open_calls.pop(0)
                caller.answer(request)
            caller = callers[number % 3]
            open_calls.append((caller, caller.start(CALL, {}, procedure)))
        for caller, request in open_calls:
            caller.answer(request)
        for callee, thread in zip(callees, threads, strict=True):
            callee.connection.socket.shutdown(socket.SHUT_RDWR)
            thread.join(10.0)
    counts = [taken[place] for place in range(5)]
    assert sum(counts) == CALLS
    print(f"\n{counts}")
    assert all(abs(each - CALLS // 5) <= 30 for each in counts), counts
