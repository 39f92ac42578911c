"""Remote procedure calls on one node: basic profile, "Remote Procedure Calls"; protocol rules 3, 22 and 34."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Node, Peer
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Abort, Error, Invocation, Registered, Result, Unregistered
from wampha.messages.payload import NOTHING, Payload
from wampha.routing.permissions import Permission
from wampha.state.commands import AddRegistration, Outcome, Owner, RemoveRegistration, Up

SOMETHING = Payload.of([1, "two"], {"three": 3})


@pytest.fixture
def node() -> Node:
    return Node()


def refusal(message: Any, code: int, request: int) -> str:
    assert isinstance(message, Error)
    assert (message.request_type, message.request) == (code, request)
    assert message.payload.args()
    return message.error


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


# ---- REGISTER


def test_the_registration_id_is_that_of_the_table(node: Node) -> None:
    registration = node.join().registered("com.procedure")
    assert registration == node.ledger.tables.registration("realm1", "exact", "com.procedure").id


@pytest.mark.parametrize(
    ("procedure", "options", "error"),
    [
        ("a b", {}, "wamp.error.invalid_uri"),
        ("a..b", {}, "wamp.error.invalid_uri"),
        ("wamp.session.count", {}, "wamp.error.invalid_uri"),
        ("a..b", {"match": "prefix"}, "wamp.error.invalid_uri"),
        ("wamp.", {"match": "prefix"}, "wamp.error.invalid_uri"),
        ("wamp..count", {"match": "wildcard"}, "wamp.error.invalid_uri"),
        ("a.b", {"match": "fuzzy"}, "wamp.error.invalid_argument"),
        ("a.b", {"invoke": "roundrobin"}, "wamp.error.invalid_argument"),
    ],
)
def test_what_cannot_be_registered_is_refused(node: Node, procedure: str, options: Any, error: str) -> None:
    peer = node.join()
    request = peer.register(procedure, **options)
    assert refusal(peer.one(), 64, request) == error
    assert node.ledger.proposed == []


def test_a_register_that_the_role_does_not_allow_is_refused() -> None:
    peer = Node(permissions=[Permission("com.", "prefix", frozenset({"call"}))]).join()
    request = peer.register("com.procedure")
    assert refusal(peer.one(), 64, request) == "wamp.error.not_authorized"


def test_a_second_register_on_the_same_node_is_refused_even_while_the_first_is_undecided(node: Node) -> None:
    node.ledger.hold = True
    first, second = node.join(), node.join()
    first.register("p")
    request = second.register("p")
    assert refusal(second.one(), 64, request) == "wamp.error.procedure_already_exists"
    node.ledger.commit()
    assert isinstance(first.one(), Registered)
    first.register("p")
    assert first.one().error == "wamp.error.procedure_already_exists"


def test_rule_34_a_procedure_of_another_node_is_taken(node: Node) -> None:
    other = Owner("node2", 2)
    node.log.append(Up(other, (), "", ""))
    node.log.append(AddRegistration(other, 1, "realm1", "exact", "p", "single", 77))
    peer = node.join()
    request = peer.register("p")
    assert refusal(peer.one(), 64, request) == "wamp.error.procedure_already_exists"
    node.log.append(RemoveRegistration(other, 2, "realm1", "exact", "p"))
    assert peer.registered("p")


def test_rule_22_registered_waits_until_every_possible_server_knows_the_row(node: Node) -> None:
    node.ledger.claim_at_once = False
    callee, caller = node.join(), node.join()
    callee.register("p")
    caller.call("p")
    assert caller.one().error == "wamp.error.no_such_procedure"
    assert callee.take() == [], "nothing is invoked before REGISTERED"
    node.ledger.claim()
    caller.call("p")
    registered, invocation = callee.take()
    assert isinstance(registered, Registered)
    assert invocation.registration == registered.registration


def test_rule_22_a_suspended_node_registers_nothing_until_its_lease_returns(node: Node) -> None:
    node.ledger.hold = True
    callee = node.join()
    callee.register("p")
    node.ledger.serve(False)
    node.ledger.commit()
    node.tick()
    assert callee.take() == []
    node.ledger.serve(True)
    assert isinstance(callee.one(), Registered)


def test_registrations_of_a_session_are_bounded() -> None:
    node = Node(limits=Limits(session_registrations_max=1))
    peer = node.join()
    peer.registered("p1")
    request = peer.register("p2")
    assert refusal(peer.one(), 64, request) == "wamp.error.unavailable"
    assert node.counters["session_bounds_reached"] == 1


def test_what_the_cluster_does_not_decide_in_time_is_refused_and_withdrawn(node: Node) -> None:
    node.ledger.hold = True
    peer, other = node.join(), node.join()
    request = peer.register("p")
    node.tick(node.limits.decide_timeout_s + 0.1)
    assert refusal(peer.one(), 64, request) == "wamp.error.unavailable"
    other.register("p")
    for _ in range(3):
        node.ledger.commit()
    assert isinstance(other.one(), Registered)
    assert peer.take() == []
    row = node.ledger.tables.registration("realm1", "exact", "p")
    assert row.session == other.session


# ---- UNREGISTER


def test_unregistered_comes_when_the_removal_has_been_applied(node: Node) -> None:
    callee, caller = node.join(), node.join()
    registration = callee.registered("p")
    node.ledger.hold = True
    request = callee.unregister(registration)
    assert callee.take() == []
    caller.call("p")
    assert caller.one().error == "wamp.error.no_such_procedure", "nothing is delivered behind UNREGISTER"
    node.ledger.commit()
    assert callee.one() == Unregistered(request)
    assert node.ledger.tables.registrations == {}


def test_rule_32_a_removal_of_unknown_outcome_is_repeated_before_unregistered(node: Node) -> None:
    callee = node.join()
    registration = callee.registered("p")
    node.ledger.hold = True
    callee.unregister(registration)
    command, outcome = node.ledger.forget()
    node.log.append(command)
    node.ledger.apply()
    outcome(Outcome.UNKNOWN)
    assert node.ledger.tables.registrations == {}
    assert callee.take() == []
    node.tick()
    node.ledger.commit()
    assert isinstance(callee.one(), Unregistered)


def test_a_call_in_progress_outlives_the_registration(node: Node) -> None:
    callee, caller = node.join(), node.join()
    registration = callee.registered("p")
    request = caller.call("p")
    callee.unregister(registration)
    callee.result(1)
    assert caller.one() == Result(request, NO_OPTIONS, NOTHING)


@pytest.mark.parametrize("registration", [1, 2**53])
def test_unregistering_what_one_does_not_have_is_refused(node: Node, registration: int) -> None:
    node.join().registered("p")
    peer = node.join()
    request = peer.unregister(registration)
    assert refusal(peer.one(), 66, request) == "wamp.error.no_such_registration"


def test_a_change_of_owner_on_one_node_is_remove_then_add(node: Node) -> None:
    first, second, caller = node.join(), node.join(), node.join()
    registration = first.registered("p")
    node.ledger.hold = True
    first.unregister(registration)
    second.register("p")
    node.ledger.commit()
    assert isinstance(first.one(), Unregistered)
    assert second.take() == []
    node.ledger.commit()
    assert second.one().registration > registration
    caller.call("p")
    assert len(second.take()) == 1
    assert [type(command) for command in node.ledger.proposed] == [
        AddRegistration,
        RemoveRegistration,
        AddRegistration,
    ]


def test_unregistering_is_refused_if_the_cluster_does_not_decide(node: Node) -> None:
    callee = node.join()
    registration = callee.registered("p")
    node.ledger.hold = True
    request = callee.unregister(registration)
    node.tick(node.limits.decide_timeout_s + 0.1)
    assert refusal(callee.one(), 66, request) == "wamp.error.unavailable"
    node.ledger.commit()
    assert callee.take() == []


def test_a_session_that_ends_leaves_no_registration_behind(node: Node) -> None:
    peer = node.join()
    peer.registered("p1")
    node.ledger.hold = True
    peer.register("p2")
    peer.conversation.lost()
    for _ in range(3):
        node.ledger.commit()
    assert node.ledger.tables.registrations == {}
    node.ledger.hold = False
    assert node.join().registered("p1")
