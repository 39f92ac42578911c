"""What is noted of who comes in: failures make wait, and the audit log gets one event each, without secrets."""

from __future__ import annotations

from typing import Any

from autobahn.wamp import message as autobahn

from tests.support.core import Node, RecorderClient, hello
from wampha.auth.anonymous import Anonymous
from wampha.auth.doorway import Doorway
from wampha.auth.principals import Principals
from wampha.auth.ticket import Ticket, TicketHolder, stranger
from wampha.limits import Limits
from wampha.messages.model import Abort, Welcome
from wampha.messages.payload import Payload
from wampha.routing.permissions import Permission

HOLDERS = Principals({"joe": TicketHolder("user", ticket="right")}, b"k" * 32, stranger)
DOORWAY = Doorway({"anonymous": Anonymous("user"), "ticket": Ticket(HOLDERS)})


def attempt(node: Node, ticket: str, authid: str = "joe", method: str = "ticket") -> Any:
    """The last message that a client gets which says this ticket."""
    client = RecorderClient()
    conversation = node.router.connected(client, DOORWAY)
    conversation.receive(hello(authmethods=[method], authid=authid))
    if client.sent and not isinstance(client.sent[-1], (Abort, Welcome)):
        conversation.receive(autobahn.Authenticate(ticket))
    return client.sent[-1]


def test_who_fails_too_often_by_name_waits_even_with_the_right_secret() -> None:
    node = Node(limits=Limits(identity_failures_max=3))
    for _ in range(3):
        assert attempt(node, "wrong").reason == "wamp.error.authentication_failed"
    refused = attempt(node, "right")
    assert refused.reason == "wamp.error.authentication_failed"
    assert "try again in 6 s" in refused.details["message"]
    assert node.counters["authentications_throttled"] == 1
    assert node.counters["authentications_failed"] == 3
    assert "unknown" in attempt(node, "right", "eva").details["message"]
    node.clock.advance(6.1)
    assert isinstance(attempt(node, "right"), Welcome)


def test_who_fails_too_often_from_one_address_waits_under_any_name_and_anonymous_clients_do_not() -> None:
    node = Node(limits=Limits(identity_failures_max=0, address_failures_max=5))
    for number in range(5):
        attempt(node, "wrong", f"guess{number}")
    assert "try again" in attempt(node, "right").details["message"]
    assert isinstance(attempt(node, "", method="anonymous"), Welcome)
    assert node.counters["authentications_throttled"] == 1


def test_success_costs_nothing() -> None:
    node = Node(limits=Limits(identity_failures_max=1, address_failures_max=1))
    for _ in range(20):
        assert isinstance(attempt(node, "right"), Welcome)


def test_buckets_that_are_full_again_are_dropped_in_time() -> None:
    node = Node()
    for number in range(50):
        attempt(node, "wrong", f"guess{number}")
    entrance = node.router.entrance
    assert len(entrance._identities) == 50
    node.clock.advance(61)
    attempt(node, "wrong")
    assert len(entrance._identities) == 1


def test_the_audit_log_gets_one_event_each_and_no_secret() -> None:
    node = Node(permissions=[Permission(uri="com.", match="prefix", allow=frozenset({"call"}))])
    welcome = attempt(node, "right")
    attempt(node, "wr0ng")
    attempt(node, "right", "eva")
    peer = node.join()
    peer.subscribe("com.topic")
    peer.publish("org.topic", Payload.of(["content"]))
    peer.call("wamp.session.kill_all")
    assert [(kind, fields.get("authid")) for kind, fields in node.audit] == [
        ("authenticated", "joe"),
        ("authentication_failed", "joe"),
        ("authentication_failed", "eva"),
        ("authenticated", peer.authid),
        ("denied", peer.authid),
        ("denied", peer.authid),
        ("denied", peer.authid),
    ]
    assert node.audit[0][1]["session"] == welcome.session
    assert [fields["cause"] for _, fields in node.audit[1:3]] == ["wrong ticket", "unknown authid"]
    assert [fields["request"] for _, fields in node.audit[4:]] == ["SUBSCRIBE", "PUBLISH", "CALL"]
    assert "right" not in str(node.audit) and "wr0ng" not in str(node.audit) and "content" not in str(node.audit)
