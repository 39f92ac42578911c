"""SUBSCRIBE, REGISTER and UNREGISTER that cannot be decided: one answer within the bound, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.core import Node, Peer
from wampha.messages.model import Error, Goodbye, Unregistered
from wampha.state.commands import Outcome, Owner


def subscribe(peer: Peer) -> Callable[[], int]:
    return lambda: peer.subscribe("com.topic")


def register(peer: Peer) -> Callable[[], int]:
    return lambda: peer.register("com.procedure")


def unregister(peer: Peer) -> Callable[[], int]:
    registration = peer.registered("com.procedure")
    return lambda: peer.unregister(registration)


REQUESTS = [subscribe, register, unregister]
Request = Callable[[Peer], Callable[[], int]]


def no_leader(node: Node) -> None:
    """Every proposal ends with an unknown outcome, and is made again."""
    while node.ledger.queue:
        _, outcome = node.ledger.forget()
        outcome(Outcome.UNKNOWN)


def no_answer(_: Node) -> None:
    """Proposals are under way for ever."""


def no_claim(node: Node) -> None:
    """All is decided, but some node that may serve does not confirm it (rule 20)."""
    node.ledger.claim_at_once = False
    node.ledger.commit()


def no_lease(node: Node) -> None:
    """The node is suspended behind the request."""
    if node.ledger.is_serving:
        node.ledger.serve(False)
    node.ledger.commit()


def pass_time(node: Node, seconds: float, trouble: Callable[[Node], None] = no_answer) -> None:
    for _ in range(round(seconds / 0.05)):
        trouble(node)
        node.tick(0.05)


@pytest.mark.parametrize("request_of", REQUESTS)
@pytest.mark.parametrize("trouble", [no_leader, no_answer, no_claim, no_lease])
def test_it_is_refused_once_within_the_bound(request_of: Request, trouble: Callable[[Node], None]) -> None:
    node = Node()
    peer = node.join()
    send = request_of(peer)
    node.ledger.hold = True
    request = send()
    trouble(node)
    if request_of is unregister and trouble in (no_claim, no_lease):
        assert isinstance(peer.one(), Unregistered), "it waits for neither claim nor lease (rule 22)"
        return
    pass_time(node, node.limits.decide_timeout_s - 0.1, trouble)
    assert peer.take() == []
    pass_time(node, 0.2, trouble)
    error = peer.one()
    assert isinstance(error, Error)
    assert (error.error, error.request) == ("wamp.error.unavailable", request)
    assert error.payload.count == 1, "a sentence"
    assert node.counters["wants_timed_out"] == 1

    node.ledger.is_serving = node.ledger.claim_at_once = True
    node.ledger.hold = False
    node.ledger.commit()
    pass_time(node, 1.0)
    assert peer.take() == [], "it is answered only once"
    assert node.ledger.tables.routes == {} and node.ledger.tables.registrations == {}


@pytest.mark.parametrize("request_of", REQUESTS)
def test_fenced_in_between_the_session_gets_goodbye_and_nothing_behind_it(request_of: Request) -> None:
    node = Node()
    peer = node.join()
    send = request_of(peer)
    node.ledger.hold = True
    send()
    node.ledger.owner = Owner(node.owner.name, 99)
    node.router.fenced("this node was cut off")
    (goodbye,) = peer.take()
    assert isinstance(goodbye, Goodbye)
    assert goodbye.details["message"] == "This node was cut off; connect to another node."
    while node.ledger.queue:
        node.ledger.forget()[1](Outcome.UNKNOWN)
    pass_time(node, 2 * node.limits.decide_timeout_s)
    assert peer.take() == [] and node.counters["wants_timed_out"] == 0


@pytest.mark.parametrize("request_of", REQUESTS)
def test_a_session_that_leaves_in_between_leaves_nothing_behind(request_of: Request) -> None:
    node = Node()
    peer = node.join()
    send = request_of(peer)
    node.ledger.hold = True
    send()
    peer.conversation.lost()
    node.ledger.hold = False
    node.ledger.commit()
    pass_time(node, 2 * node.limits.decide_timeout_s)
    assert peer.take() == [] and node.counters["wants_timed_out"] == 0
    assert node.ledger.tables.routes == {} and node.ledger.tables.registrations == {}
