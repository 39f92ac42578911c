"""HELLO, CHALLENGE, AUTHENTICATE, then WELCOME or ABORT (advanced profile, "Authentication")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from autobahn.wamp import message as autobahn

from tests.support.core import Node, RecorderClient, hello
from wampha.auth.anonymous import Anonymous
from wampha.auth.doorway import Doorway
from wampha.auth.principals import Principals
from wampha.auth.ticket import Ticket, TicketHolder, hashed, stranger
from wampha.messages.model import Abort, Challenge, Welcome

HOLDERS = Principals(
    {
        "joe": TicketHolder("user", ticket="secret!!!"),
        "eva": TicketHolder("user", hashed=hashed("geheim", b"s" * 16)),
        "ghost": TicketHolder("nobody", ticket="boo"),
    },
    b"k" * 32,
    stranger,
)
DOORWAY = Doorway({"anonymous": Anonymous("user"), "ticket": Ticket(HOLDERS)})


class Later:
    """Workers that work when the test says so."""

    def __init__(self, room: bool = True) -> None:
        self.room = room
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        self.jobs.append((work, done))
        return self.room

    def work(self) -> None:
        for work, done in self.jobs:
            done(work())


class Guest:
    """A client that has connected."""

    def __init__(self, node: Node, authid: str = "joe") -> None:
        self.client = RecorderClient()
        self.conversation = node.router.connected(self.client, DOORWAY)
        self.receive = self.conversation.receive
        self.receive(hello(authmethods=["ticket"], authid=authid))

    def say(self, ticket: str) -> None:
        self.receive(autobahn.Authenticate(ticket))

    def one(self) -> Any:
        (message,) = self.client.take()
        return message

    def refused(self) -> str:
        abort = self.one()
        assert isinstance(abort, Abort)
        assert self.client.finished
        return abort.reason


def test_a_challenge_an_answer_and_welcome(node: Node) -> None:
    guest = Guest(node)
    assert guest.one() == Challenge("ticket", {})
    assert not guest.conversation.established
    assert node.router.sessions() == 0
    guest.say("secret!!!")
    welcome = guest.one()
    assert isinstance(welcome, Welcome)
    assert (welcome.details["authid"], welcome.details["authmethod"]) == ("joe", "ticket")
    assert node.router.sessions() == 1


def test_a_wrong_answer_ends_in_abort(node: Node) -> None:
    guest = Guest(node)
    guest.one()
    guest.say("wrong")
    assert guest.refused() == "wamp.error.authentication_failed"
    assert node.counters["hello_refused"] == 1
    assert node.router.sessions() == 0


def test_an_answer_nobody_awaits_is_a_violation(node: Node) -> None:
    later = node.router.entrance.workers = Later()  # type: ignore[misc]
    guest = Guest(node, "eva")
    guest.one()
    guest.say("geheim")
    guest.say("geheim")
    assert guest.refused() == "wamp.error.protocol_violation"
    later.work()
    assert node.router.sessions() == 0


@pytest.mark.parametrize("message", [hello(), autobahn.Goodbye("wamp.close.normal")])
def test_nothing_but_the_answer_may_follow_a_challenge(node: Node, message: Any) -> None:
    guest = Guest(node)
    guest.one()
    guest.receive(message)
    assert guest.refused() == "wamp.error.protocol_violation"


def test_a_client_may_give_up(node: Node) -> None:
    guest = Guest(node)
    guest.one()
    guest.receive(autobahn.Abort("wamp.error.cannot_authenticate"))
    assert guest.client.take() == []
    assert guest.client.finished


def test_who_takes_too_long_is_cut(node: Node) -> None:
    guest = Guest(node)
    guest.one()
    node.clock.advance(10.0)
    assert guest.refused() == "wamp.error.timeout"
    guest.say("secret!!!")
    assert guest.client.take() == []
    assert node.counters["hello_timeouts"] == 1


@pytest.mark.parametrize("ends", ["lost", "dismissed"])
def test_who_goes_while_the_proof_is_checked_gets_no_session(node: Node, ends: str) -> None:
    later = node.router.entrance.workers = Later()  # type: ignore[misc]
    guest = Guest(node, "eva")
    guest.one()
    guest.say("geheim")
    if ends == "lost":
        guest.conversation.lost()
    else:
        guest.conversation.dismiss("wamp.close.system_shutdown", "The node stops.")
        guest.refused()
    later.work()
    assert guest.client.take() == []
    assert node.router.sessions() == 0
    assert node.clock.pending() == 0


def test_when_too_many_are_being_checked_others_are_told_to_try_again(node: Node) -> None:
    node.router.entrance.workers = Later(room=False)  # type: ignore[misc]
    guest = Guest(node, "eva")
    guest.one()
    guest.say("geheim")
    assert guest.refused() == "wamp.error.unavailable"


def test_rule_1_a_node_that_stopped_serving_meanwhile_opens_no_session(node: Node) -> None:
    guest = Guest(node)
    guest.one()
    node.ledger.is_serving = False
    guest.say("secret!!!")
    assert guest.refused() == "wamp.error.unavailable"


def test_a_role_that_the_realm_does_not_have_is_refused_after_the_proof(node: Node) -> None:
    guest = Guest(node, "ghost")
    guest.one()
    guest.say("boo")
    assert guest.refused() == "wamp.error.no_such_role"
