"""An authenticator on this node or another one: slow, mute, dying, or not there at all."""

from __future__ import annotations

from typing import Any

import pytest
from autobahn.wamp import message as autobahn

from tests.support.core import Cluster, Node, Peer, RecorderClient, hello
from wampha.auth import dynamic
from wampha.auth.anonymous import Anonymous
from wampha.auth.doorway import Doorway
from wampha.auth.dynamic import Dynamic
from wampha.auth.ticket import Ticket
from wampha.messages.model import Abort, Challenge, Invocation, Welcome
from wampha.messages.payload import Payload
from wampha.state.commands import Owner

AUTHENTICATOR = "com.example.authenticate"


def doorway(realm: str | None = None) -> Doorway:
    method = Ticket(Dynamic(AUTHENTICATOR, realm, dynamic.ticket_holder))
    return Doorway({"anonymous": Anonymous("user"), "ticket": method})


class Guest:
    """A client that has said its ticket."""

    def __init__(self, node: Node, realm: str | None = None, ticket: str = "secret") -> None:
        self.client = RecorderClient()
        self.conversation = node.router.connected(self.client, doorway(realm))
        self.conversation.receive(hello(authmethods=["ticket"], authid="joe"))
        assert isinstance(self.client.take()[0], Challenge)
        self.conversation.receive(autobahn.Authenticate(ticket))

    def one(self) -> Any:
        (message,) = self.client.take()
        return message

    def refused(self) -> None:
        abort = self.one()
        assert isinstance(abort, Abort)
        assert abort.reason == "wamp.error.authentication_failed"


def asked(authenticator: Peer) -> Invocation:
    invocation = authenticator.one()
    assert isinstance(invocation, Invocation)
    return invocation


@pytest.fixture
def authenticator(node: Node) -> Peer:
    peer = node.join()
    peer.registered(AUTHENTICATOR)
    return peer


def test_the_authenticator_is_called_as_crossbar_calls_it(node: Node, authenticator: Peer) -> None:
    guest = Guest(node)
    invocation = asked(authenticator)
    realm, authid, details = invocation.payload.args()
    assert (realm, authid, details["authmethod"], details["ticket"]) == ("realm1", "joe", "ticket", "secret")
    authenticator.result(invocation.request, Payload.of(["user"]))
    welcome = guest.one()
    assert isinstance(welcome, Welcome)
    assert (welcome.details["authid"], welcome.details["authprovider"]) == ("joe", "dynamic")
    assert welcome.session == details["session"]


def test_an_error_of_the_authenticator_is_a_no(node: Node, authenticator: Peer) -> None:
    guest = Guest(node)
    authenticator.error(asked(authenticator).request, "com.example.no")
    guest.refused()


def test_an_authenticator_that_is_not_there_is_a_no(node: Node) -> None:
    Guest(node).refused()
    Guest(node, "nowhere").refused()


def test_an_authenticator_that_never_answers_is_a_no_in_time(node: Node, authenticator: Peer) -> None:
    guest = Guest(node)
    node.clock.advance(4.9)
    assert guest.client.take() == []
    node.clock.advance(0.2)
    guest.refused()
    authenticator.result(asked(authenticator).request, Payload.of(["user"]))
    assert guest.client.take() == []
    assert (node.router.sessions(), node.counters["hello_refused"]) == (1, 1)


def test_an_authenticator_that_goes_is_a_no_at_once(node: Node, authenticator: Peer) -> None:
    guest = Guest(node)
    authenticator.conversation.lost()
    guest.refused()


def test_who_goes_meanwhile_leaves_nothing(node: Node, authenticator: Peer) -> None:
    guest = Guest(node)
    guest.conversation.lost()
    authenticator.result(asked(authenticator).request, Payload.of(["user"]))
    assert guest.client.take() == []
    assert node.router.sessions() == 1
    assert node.counters["calls"] == node.counters["calls_ended"] == 1


def test_many_are_asked_about_at_once_and_each_gets_its_own_answer(node: Node, authenticator: Peer) -> None:
    guests = [Guest(node, ticket=str(number)) for number in range(20)]
    invocations = authenticator.take()
    for invocation in reversed(invocations):
        ticket = int(invocation.payload.args()[2]["ticket"])
        if ticket % 2:
            authenticator.result(invocation.request, Payload.of(["user"]))
        else:
            authenticator.error(invocation.request, "com.example.no")
    assert [type(guest.one()) for guest in guests] == [Abort, Welcome] * 10


def test_an_authenticator_on_another_node_is_called_and_its_node_s_death_is_a_no() -> None:
    cluster = Cluster("a", "b")
    authenticator = cluster["b"].join()
    authenticator.register(AUTHENTICATOR)
    cluster.settle()
    authenticator.take()
    guest, other = Guest(cluster["a"]), Guest(cluster["a"])
    cluster.settle()
    first, _ = authenticator.take()
    authenticator.result(first.request, Payload.of(["user"]))
    cluster.settle()
    assert isinstance(guest.one(), Welcome)
    cluster["a"].router.node_lost(cluster["b"].ledger.owner)
    other.refused()


def test_rule_4_a_fenced_node_lets_nobody_in_by_what_it_asked_before(node: Node, authenticator: Peer) -> None:
    guest = Guest(node)
    invocation = asked(authenticator)
    node.ledger.owner = Owner(node.owner.name, 99)
    node.router.fenced("the node was declared dead")
    guest.refused()
    authenticator.result(invocation.request, Payload.of(["user"]))
    node.clock.advance(10)
    assert node.router.sessions() == node.clock.pending() == 0
    assert guest.client.take() == []
