"""Calls on one node: basic profile, "Remote Procedure Calls"; protocol rule 3."""

from __future__ import annotations

import pytest

from tests.support.core import Node, Peer, refusal
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Abort, Error, Invocation, Result
from wampha.messages.payload import NOTHING, Payload
from wampha.routing.permissions import Permission

SOMETHING = Payload.of([1, "two"], {"three": 3})


def violated(peer: Peer) -> bool:
    abort = peer.take()[-1]
    return isinstance(abort, Abort) and abort.reason == "wamp.error.protocol_violation" and peer.client.finished


# ---- CALL, INVOCATION, YIELD, RESULT


def test_a_call_reaches_the_callee_and_its_result_the_caller(node: Node) -> None:
    callee, caller = node.join(), node.join()
    registration = callee.registered("com.procedure")
    request = caller.call("com.procedure", SOMETHING)
    assert callee.one() == Invocation(1, registration, NO_OPTIONS, SOMETHING)
    callee.result(1, Payload.of([3]))
    assert caller.one() == Result(request, NO_OPTIONS, Payload.of([3]))
    assert node.counters["calls"] == node.counters["calls_ended"] == 1


def test_invocation_ids_count_from_one_in_each_session(node: Node) -> None:
    callee, other, caller = node.join(), node.join(), node.join()
    callee.registered("p1")
    other.registered("p2")
    for procedure in ("p1", "p1", "p2"):
        caller.call(procedure)
    assert [message.request for message in callee.take()] == [1, 2]
    assert other.one().request == 1


def test_results_find_their_calls_in_any_order(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    first, second = caller.call("p"), caller.call("p")
    callee.result(2)
    callee.result(1)
    assert [message.request for message in caller.take()] == [second, first]


def test_a_session_may_call_itself(node: Node) -> None:
    peer = node.join()
    peer.registered("p")
    request = peer.call("p")
    peer.result(peer.one().request)
    assert peer.one() == Result(request, NO_OPTIONS, NOTHING)


def test_an_error_of_the_callee_reaches_the_caller_with_args_and_kwargs(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    request = caller.call("p")
    callee.error(1, "com.app.error", SOMETHING)
    assert caller.one() == Error(48, request, NO_OPTIONS, "com.app.error", SOMETHING)


def test_a_callee_s_error_with_a_bad_uri_still_ends_the_call(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    request = caller.call("p")
    callee.error(1, "not a uri")
    assert refusal(caller.one(), 48, request) == "wamp.error.invalid_uri"
    assert callee.conversation.established


def test_passthru_and_custom_options_travel_both_ways(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    caller.call("p", ppt_scheme="x_mine", _own=1, timeout=5)
    assert callee.one().details == {"ppt_scheme": "x_mine", "_own": 1}
    callee.result(1, ppt_scheme="x_mine", progress=False)
    assert caller.one().details == {"ppt_scheme": "x_mine"}


def test_a_call_of_what_nobody_registered_is_refused(node: Node) -> None:
    caller = node.join()
    request = caller.call("com.procedure")
    assert refusal(caller.one(), 48, request) == "wamp.error.no_such_procedure"
    assert node.counters["calls"] == node.counters["calls_ended"] == 1


@pytest.mark.parametrize("procedure", ["", "a b", "a..b"])
def test_a_call_of_a_bad_uri_is_refused(node: Node, procedure: str) -> None:
    caller = node.join()
    request = caller.call(procedure)
    assert refusal(caller.one(), 48, request) == "wamp.error.invalid_uri"


def test_a_call_that_the_role_does_not_allow_is_refused() -> None:
    node = Node(permissions=[Permission("com.", "prefix", frozenset({"register"}))])
    peer = node.join()
    peer.registered("com.procedure")
    request = peer.call("com.procedure")
    assert refusal(peer.one(), 48, request) == "wamp.error.not_authorized"


def test_a_request_id_that_an_earlier_call_still_uses_is_a_violation(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    request = caller.call("p")
    caller._request = request - 1
    caller.call("p")
    assert violated(caller)


def test_calls_of_a_session_are_bounded() -> None:
    node = Node(limits=Limits(session_calls_max=2))
    callee, caller = node.join(), node.join()
    callee.registered("p")
    caller.call("p")
    caller.call("p")
    request = caller.call("p")
    assert refusal(caller.one(), 48, request) == "wamp.error.unavailable"
    assert node.counters["session_bounds_reached"] == 1
    callee.result(1)
    caller.take()
    caller.call("p")
    assert caller.take() == []


# ---- answers that fit nothing


def test_a_yield_for_an_invocation_never_sent_is_a_violation(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    caller.call("p")
    callee.result(2)
    assert violated(callee)
    assert refusal(caller.one(), 48, 1) == "wamp.error.canceled"


def test_a_yield_of_a_session_that_was_never_invoked_is_a_violation(node: Node) -> None:
    peer = node.join()
    peer.result(1)
    assert violated(peer)


def test_an_error_for_an_invocation_never_sent_is_a_violation(node: Node) -> None:
    peer = node.join()
    peer.error(7, "a.b")
    assert violated(peer)


def test_an_error_for_anything_but_an_invocation_is_a_violation(node: Node) -> None:
    peer = node.join()
    peer.receive(Error(48, 1, NO_OPTIONS, "a.b"))
    assert violated(peer)


def test_a_second_yield_is_ignored_and_counted(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    caller.call("p")
    callee.result(1)
    callee.result(1)
    callee.error(1, "a.b")
    assert len(caller.take()) == 1
    assert node.counters["late_yields"] == 2
    assert callee.conversation.established


def test_another_session_s_invocation_cannot_be_answered(node: Node) -> None:
    callee, caller, thief = node.join(), node.join(), node.join()
    callee.registered("p")
    caller.call("p")
    thief.result(1)
    assert violated(thief)
    assert caller.take() == []


# ---- leaving


def test_callers_of_a_callee_that_leaves_are_told_that_the_outcome_is_unknown(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    requests = [caller.call("p"), caller.call("p")]
    callee.conversation.lost()
    errors = caller.take()
    assert [refusal(error, 48, request) for error, request in zip(errors, requests, strict=True)] == [
        "wamp.error.canceled"
    ] * 2
    assert errors[0].payload.kwargs() == {"outcome": "unknown"}
    assert node.counters["calls"] == node.counters["calls_ended"] == 2
    caller.call("p")
    assert caller.one().error == "wamp.error.no_such_procedure"


def test_a_late_yield_for_a_caller_that_left_is_ignored_and_counted(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    caller.call("p")
    caller.conversation.lost()
    assert node.counters["calls_ended"] == 1
    callee.take()
    callee.result(1)
    assert callee.take() == caller.take() == []
    assert node.counters["late_yields"] == 1


def test_a_session_that_calls_itself_may_leave(node: Node) -> None:
    peer = node.join()
    peer.registered("p")
    peer.call("p")
    peer.take()
    peer.conversation.lost()
    assert peer.take() == []
    assert node.counters["calls"] == node.counters["calls_ended"] == 1


def test_cancel_ends_the_call_at_once_and_the_callee_s_answer_is_dropped(node: Node) -> None:
    callee, caller = node.join(), node.join()
    callee.registered("p")
    request = caller.call("p")
    caller.cancel(request)
    assert refusal(caller.one(), 48, request) == "wamp.error.canceled"
    callee.result(1)
    caller.cancel(request)
    assert caller.take() == []
    assert node.counters["late_yields"] == 1
