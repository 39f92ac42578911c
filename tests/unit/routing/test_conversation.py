"""HELLO, WELCOME, ABORT, GOODBYE: basic profile, "Sessions"."""

from __future__ import annotations

from typing import Any

import pytest
from autobahn.wamp import message as autobahn

from tests.support.core import Node, Peer, RecorderClient, doorway_for, hello
from wampha.errors import ProtocolViolation
from wampha.messages.model import (
    NO_OPTIONS,
    Abort,
    Call,
    Error,
    Goodbye,
    Publish,
    Subscribe,
    Subscribed,
    Welcome,
    Yield,
)
from wampha.messages.payload import NOTHING
from wampha.routing.router import STOPPING
from wampha.state.commands import Outcome, Owner

BROKER_FEATURES = (
    "event_history",
    "event_retention",
    "pattern_based_subscription",
    "payload_passthru_mode",
    "payload_transparency",
    "publication_trustlevels",
    "publisher_exclusion",
    "publisher_identification",
    "session_meta_api",
    "subscriber_blackwhite_listing",
    "subscription_meta_api",
    "subscription_revocation",
)
DEALER_FEATURES = (
    "call_canceling",
    "call_reroute",
    "call_timeout",
    "call_trustlevels",
    "caller_identification",
    "pattern_based_registration",
    "payload_passthru_mode",
    "payload_transparency",
    "progressive_call_invocations",
    "progressive_call_results",
    "registration_meta_api",
    "registration_revocation",
    "session_meta_api",
    "shared_registration",
    "testament_meta_api",
)


def connect(node: Node, role: str | None = "user") -> tuple[RecorderClient, Any]:
    client = RecorderClient()
    return client, node.router.connected(client, doorway_for(role))


def refused(client: RecorderClient) -> str:
    """The reason of the one ABORT that the client got before the close."""
    (abort,) = client.take()
    assert isinstance(abort, Abort)
    assert abort.details["message"]
    assert client.finished
    return abort.reason


def test_welcome_says_who_the_client_is_and_announces_only_what_is_there(node: Node) -> None:
    client, conversation = connect(node)
    assert not conversation.established
    conversation.receive(hello())
    (welcome,) = client.take()
    assert isinstance(welcome, Welcome)
    assert 1 <= welcome.session <= 2**53
    authid = welcome.details["authid"]
    assert welcome.details == {
        "realm": "realm1",
        "authid": authid,
        "authrole": "user",
        "authmethod": "anonymous",
        "authprovider": "static",
        "agent": "wampha-test",
        "roles": {
            "broker": {"features": dict.fromkeys(BROKER_FEATURES, True)},
            "dealer": {"features": dict.fromkeys(DEALER_FEATURES, True)},
        },
    }
    assert conversation.established
    assert not client.finished
    assert node.counters["sessions_opened"] == node.router.sessions() == 1


def test_an_anonymous_client_does_not_choose_its_name(node: Node) -> None:
    client, conversation = connect(node)
    conversation.receive(hello(authid="root"))
    (welcome,) = client.take()
    assert welcome.details["authid"] != "root"


def test_an_unknown_realm_is_refused(node: Node) -> None:
    client, conversation = connect(node)
    conversation.receive(hello("nowhere"))
    assert refused(client) == "wamp.error.no_such_realm"
    assert node.counters["hello_refused"] == 1


def test_a_client_that_offers_no_accepted_method_is_refused(node: Node) -> None:
    client, conversation = connect(node)
    conversation.receive(hello(authmethods=["ticket"]))
    assert refused(client) == "wamp.error.no_matching_auth_method"


def test_a_listener_without_anonymous_role_lets_nobody_in(node: Node) -> None:
    client, conversation = connect(node, None)
    conversation.receive(hello())
    assert refused(client) == "wamp.error.no_matching_auth_method"


def test_a_role_that_the_realm_does_not_have_is_refused(node: Node) -> None:
    client, conversation = connect(node, "ghost")
    conversation.receive(hello())
    assert refused(client) == "wamp.error.no_such_role"


def test_rule_1_no_session_is_opened_by_a_node_that_does_not_serve(node: Node) -> None:
    node.ledger.is_serving = False
    client, conversation = connect(node)
    conversation.receive(hello())
    assert refused(client) == "wamp.error.unavailable"


def test_a_second_hello_is_a_violation(node: Node) -> None:
    peer = node.join()
    peer.receive(hello())
    assert refused(peer.client) == "wamp.error.protocol_violation"
    assert node.counters["protocol_violations"] == 1
    assert node.router.sessions() == 0


@pytest.mark.parametrize(
    "message",
    [
        Publish(1, NO_OPTIONS, "a", NOTHING),
        Subscribe(1, NO_OPTIONS, "a"),
        Call(1, NO_OPTIONS, "a", NOTHING),
        Yield(1, NO_OPTIONS, NOTHING),
        Error(68, 1, NO_OPTIONS, "a.b"),
        autobahn.Goodbye("wamp.close.normal"),
        autobahn.Authenticate("x"),
    ],
)
def test_anything_before_hello_is_a_violation(node: Node, message: Any) -> None:
    client, conversation = connect(node)
    conversation.receive(message)
    assert refused(client) == "wamp.error.protocol_violation"


@pytest.mark.parametrize("message", [autobahn.Authenticate("x"), Subscribed(1, 1), object()])
def test_what_no_client_may_send_is_a_violation(node: Node, message: Any) -> None:
    peer = node.join()
    peer.receive(message)
    assert refused(peer.client) == "wamp.error.protocol_violation"


def test_what_the_parser_refuses_ends_in_abort_and_close(node: Node) -> None:
    peer = node.join()
    peer.conversation.violated(ProtocolViolation("args must be a list"))
    (abort,) = peer.take()
    assert (abort.reason, abort.details) == ("wamp.error.protocol_violation", {"message": "args must be a list"})
    assert peer.client.finished


def test_a_client_s_goodbye_is_answered_and_ends_the_session(node: Node) -> None:
    peer = node.join()
    peer.receive(autobahn.Goodbye("wamp.close.normal"))
    assert peer.take() == [Goodbye(NO_OPTIONS, "wamp.close.goodbye_and_out")]
    assert peer.client.finished
    assert not peer.conversation.established
    assert node.router.sessions() == 0
    assert node.counters["sessions_closed"] == 1


def test_a_client_s_abort_ends_the_session_without_an_answer(node: Node) -> None:
    peer = node.join()
    peer.receive(autobahn.Abort("wamp.error.whatever"))
    assert peer.take() == []
    assert peer.client.finished
    assert node.router.sessions() == 0


def test_what_arrives_behind_the_end_is_ignored(node: Node) -> None:
    peer = node.join()
    peer.receive(autobahn.Goodbye("wamp.close.normal"))
    peer.take()
    peer.publish("com.topic", acknowledge=True)
    peer.receive(hello())
    peer.receive(autobahn.Goodbye("wamp.close.goodbye_and_out"))
    peer.conversation.violated(ProtocolViolation("late"))
    peer.conversation.lost()
    assert peer.take() == []
    assert node.counters["sessions_closed"] == 1


def test_a_lost_connection_ends_the_session_without_a_word(node: Node) -> None:
    peer = node.join()
    peer.conversation.lost()
    peer.conversation.lost()
    assert peer.take() == []
    assert node.counters["sessions_closed"] == 1
    assert node.clock.pending() == 0


def test_a_client_that_sends_no_hello_is_cut_in_time(node: Node) -> None:
    client, conversation = connect(node)
    node.clock.advance(node.limits.hello_timeout_s - 0.1)
    assert client.sent == []
    node.clock.advance(0.2)
    assert refused(client) == "wamp.error.timeout"
    assert node.counters["hello_timeouts"] == 1
    conversation.lost()


def test_the_time_for_hello_begins_anew_while_the_node_reads_nothing(node: Node) -> None:
    client, conversation = connect(node)
    node.ledger.is_serving = False
    node.clock.advance(node.limits.hello_timeout_s + 0.1)
    node.ledger.is_serving = True
    conversation.receive(hello())
    assert isinstance(client.take()[0], Welcome)
    assert node.clock.pending() == 0


def test_who_has_no_session_when_the_node_is_suspended_is_sent_elsewhere(node: Node) -> None:
    client, conversation = connect(node)
    kept = node.join()
    node.ledger.serve(False)
    assert refused(client) == "wamp.error.unavailable"
    conversation.receive(hello())
    assert client.sent == [] and kept.take() == []
    node.ledger.serve(True)
    kept.subscribed("com.topic")


def test_closing_the_router_says_goodbye_to_all(node: Node) -> None:
    ours, theirs = node.join(), node.join()
    waiting, _ = connect(node)
    ours.subscribed("com.topic")
    proposed = len(node.ledger.proposed)
    node.router.close()
    for peer in (ours, theirs):
        (goodbye,) = peer.take()
        assert isinstance(goodbye, Goodbye)
        assert (goodbye.reason, goodbye.details["message"]) == ("wamp.close.system_shutdown", STOPPING)
        assert peer.client.finished
    assert refused(waiting) == "wamp.close.system_shutdown"
    assert len(node.ledger.proposed) == proposed, "the rows go with the incarnation, in one entry"


def test_rule_4_a_fenced_node_ends_every_session_and_forgets_what_it_had() -> None:
    node = Node()
    subscriber, callee, caller = node.join(), node.join(), node.join()
    subscriber.subscribed("com.topic")
    callee.registered("com.procedure")
    caller.call("com.procedure")
    callee.take()
    node.ledger.hold = True
    waiting = node.join()
    waiting.subscribe("com.other")
    node.ledger.owner = Owner(node.owner.name, 99)
    node.router.fenced("This node was cut off for too long.")
    for peer in (subscriber, callee, caller, waiting):
        goodbye = peer.take()[-1]
        assert isinstance(goodbye, Goodbye)
        assert goodbye.reason == "wamp.close.system_shutdown"
        assert peer.client.finished
    assert node.router.sessions() == 0
    assert node.counters["calls"] == node.counters["calls_ended"] == 1
    _, outcome = node.ledger.forget()
    outcome(Outcome.UNKNOWN)  # of a proposal of the dead incarnation
    proposed = len(node.ledger.proposed)
    node.tick(60)
    assert len(node.ledger.proposed) == proposed


def test_sessions_of_two_realms_do_not_meet(node: Node) -> None:
    ours, theirs = node.join(), Peer(node, realm="realm2")
    ours.subscribed("com.topic")
    theirs.subscribed("com.topic")
    theirs.publish("com.topic", exclude_me=False)
    assert len(theirs.take()) == 1
    assert ours.take() == []
    ours.registered("com.procedure")
    assert theirs.call("com.procedure")
    assert theirs.one().error == "wamp.error.no_such_procedure"
