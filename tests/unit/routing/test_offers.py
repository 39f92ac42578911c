"""REGISTER and UNREGISTER on one node: basic profile, "Remote Procedure Calls"; protocol rules 22 and 34."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Node, refusal
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Registered, Result, Unregistered
from wampha.messages.payload import NOTHING, Payload
from wampha.routing.permissions import Permission
from wampha.state.commands import AddRegistration, Outcome, Owner, RemoveRegistration, Up

SOMETHING = Payload.of([1, "two"], {"three": 3})


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
        ("a.b", {"invoke": "whoever"}, "wamp.error.invalid_argument"),
        ("a.b", {"concurrency": 0}, "wamp.error.invalid_argument"),
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
    node.log.append(RemoveRegistration(other, 2, "realm1", "exact", "p", 77))
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
        node.tick()
    assert isinstance(other.one(), Registered)
    assert peer.take() == []
    row = node.ledger.tables.registration("realm1", "exact", "p")
    assert [callee.session for callee in row.callees] == [other.session]


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
