"""Sessions that outlive their connection (docs/resumable-sessions.md)."""

from __future__ import annotations

from typing import Any

import pytest
from autobahn.wamp import message as autobahn

from tests.support.core import EVERYTHING, Node, Peer
from wampha.limits import MIB, Limits
from wampha.messages.model import Abort, Error, Event, Goodbye, Interrupt, Invocation, Result, Subscribed, Welcome
from wampha.messages.payload import Payload
from wampha.routing.resumption import GAP, OFFERED, ResumptionRules
from wampha.routing.slow import SlowPolicy

GRACE_S = 30.0
RULES = ResumptionRules(grace_s=GRACE_S, buffer_bytes=100_000, sessions_max=3)
KIB = Payload.of([b"x" * 1024])
NO_GAP = {
    "sent": 0,
    "dropped": 0,
    "replayed": 0,
    "calls": [],
    "invocations": [],
    "unregistered": [],
    "node_lost": False,
}


def number(value: int) -> Payload:
    return Payload.of([value])


def numbers(messages: list[Any]) -> list[Any]:
    return [message.payload.args()[0] for message in messages]


@pytest.fixture
def node() -> Node:
    return Node(resumption=RULES)


def joined(node: Node, **options: Any) -> Peer:
    return node.join(resumable=True, **options)


def token_of(peer: Peer) -> str:
    token: str = peer.opening[0].details["resume_token"]
    return token


def back(node: Node, peer: Peer, token: str | None = None, **options: Any) -> Peer:
    """The session of `peer`, by a new connection."""
    return node.join(
        resume_session=peer.session,
        resume_token=token_of(peer) if token is None else token,
        after=peer._request,
        **options,
    )


def gap_of(peer: Peer) -> dict[str, Any]:
    gap: dict[str, Any] = peer.opening[0].details[GAP]
    return gap


def refused(peer: Peer) -> None:
    (abort,) = peer.opening
    assert (type(abort), abort.reason) == (Abort, "wamp.error.no_such_session")
    assert peer.client.finished


# ---- who may


def test_a_session_is_resumable_if_realm_and_client_want_it(node: Node) -> None:
    (welcome,) = joined(node).opening
    assert welcome.details["resumable"] is True
    assert welcome.details["resume_token"].startswith("node1:")
    (welcome,) = node.join().opening
    assert welcome.details[OFFERED] == GRACE_S
    assert not {"resumable", "resume_token", "resumed", GAP} & set(welcome.details)
    (welcome,) = joined(node, realm="realm2").opening
    assert not {"resumable", "resume_token", OFFERED} & set(welcome.details)


def test_a_session_that_did_not_ask_ends_with_its_connection(node: Node) -> None:
    peer = node.join()
    peer.conversation.lost()
    assert node.router.sessions() == 0
    assert node.router.waiting() == {"sessions": 0, "bytes": 0}


def test_a_session_comes_back_with_the_same_id_and_a_new_token(node: Node) -> None:
    peer = joined(node)
    peer.conversation.lost()
    assert (node.router.sessions(), node.counters["sessions_detached"]) == (1, 1)
    again = back(node, peer)
    (welcome,) = again.opening
    assert (type(welcome), welcome.session) == (Welcome, peer.session)
    details = welcome.details
    assert (details["resumable"], details["resumed"], details[GAP]) == (True, True, NO_GAP)
    assert details["authid"] == peer.opening[0].details["authid"]
    assert details["resume_token"] != token_of(peer)
    assert (node.router.sessions(), node.counters["sessions_resumed"], node.counters["sessions_opened"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "changes",
    [{"token": "node1:" + "0" * 64}, {"token": ""}, {"realm": "realm2"}, {"realm": "nowhere"}],
    ids=["wrong", "empty", "another realm", "no realm"],
)
def test_a_wrong_token_or_realm_is_refused_and_the_session_waits_on(node: Node, changes: dict[str, Any]) -> None:
    peer = joined(node)
    peer.conversation.lost()
    token = changes.get("token", token_of(peer))
    refused(node.join(resume_session=peer.session, resume_token=token, realm=changes.get("realm", "realm1")))
    assert node.counters["resumptions_refused"] == 1
    assert back(node, peer).session == peer.session


def test_a_session_that_never_was_or_cannot_be_resumed_is_refused(node: Node) -> None:
    refused(node.join(resume_session=4711, resume_token="node1:0"))
    plain = node.join()
    refused(node.join(resume_session=plain.session, resume_token=""))
    assert plain.conversation.established


def test_a_token_works_once(node: Node) -> None:
    peer = joined(node)
    peer.conversation.lost()
    again = back(node, peer)
    refused(back(node, peer))
    again.subscribed("a")
    again.conversation.lost()
    refused(back(node, peer))
    assert back(node, again).session == peer.session


def test_a_used_token_works_again_if_welcome_may_not_have_arrived(node: Node) -> None:
    peer = joined(node)
    subscription = peer.subscribed("a")
    publisher = node.join()
    peer.conversation.lost()
    publisher.publish("a", number(1))
    lost = back(node, peer)
    assert gap_of(lost)["replayed"] == 1
    publisher.publish("a", number(2))
    lost.conversation.lost()
    publisher.publish("a", number(3))
    again = back(node, peer)
    assert again.session == peer.session
    assert gap_of(again) == {**NO_GAP, "sent": 1 + 2, "replayed": 1}  # SUBSCRIBED, and both events
    assert [(event.subscription, *numbers([event])) for event in again.opening[1:]] == [(subscription, 3)]


def test_the_token_of_a_welcome_that_may_not_have_arrived_works_too(node: Node) -> None:
    peer = joined(node)
    peer.conversation.lost()
    lost = back(node, peer)
    lost.conversation.lost()
    assert back(node, lost).session == peer.session


def test_of_two_that_resume_at_once_exactly_one_wins(node: Node) -> None:
    peer = joined(node)
    peer.conversation.lost()
    winner, loser = back(node, peer), back(node, peer)
    assert winner.conversation.established
    refused(loser)
    winner.subscribed("a")


def test_the_new_connection_wins_over_one_that_seems_alive(node: Node) -> None:
    peer = joined(node)
    subscription = peer.subscribed("a")
    publisher = node.join()
    again = back(node, peer)
    (goodbye,) = peer.take()
    assert (type(goodbye), goodbye.reason) == (Goodbye, "wampha.close.resumed")
    assert peer.client.finished
    peer.conversation.lost()  # of no interest any more
    assert gap_of(again) == {**NO_GAP, "sent": 1}
    publisher.publish("a", number(1))
    assert again.take()[0].subscription == subscription
    assert node.router.sessions() == 2


def test_only_the_hash_of_a_token_is_kept(node: Node) -> None:
    peer = joined(node)
    session = node.router._sessions[peer.session]
    assert session.resumption is not None
    secret = token_of(peer).partition(":")[2]
    assert len(secret) == 64
    assert secret.encode() not in session.resumption.key.digest
    assert secret not in repr([getattr(session.resumption, name, None) for name in session.resumption.__slots__])


# ---- what stays, what is replayed


def test_events_wait_and_are_replayed_in_order_before_what_comes_next(node: Node) -> None:
    peer, publisher = joined(node), node.join()
    subscription = peer.subscribed("a")
    publisher.publish("a", number(0))
    assert numbers(peer.take()) == [0]
    peer.conversation.lost()
    for value in range(1, 301):
        publisher.publish("a", number(value))
    again = back(node, peer)
    publisher.publish("a", number(301))
    events = [*again.opening[1:], *again.take()]
    assert numbers(events) == list(range(1, 302))
    assert {(type(event), event.subscription) for event in events} == {(Event, subscription)}
    assert gap_of(again) == {**NO_GAP, "sent": 2, "replayed": 300}  # SUBSCRIBED and the event 0
    assert node.router.waiting() == {"sessions": 0, "bytes": 0}


def test_a_long_replay_takes_several_turns_and_live_events_come_behind_it() -> None:
    node = Node(resumption=ResumptionRules(GRACE_S, 10 * MIB, 3))
    peer, publisher = joined(node), node.join()
    peer.subscribed("a")
    peer.conversation.lost()
    for value in range(1200):
        publisher.publish("a", number(value))
    again = back(node, peer)
    got = again.opening[1:]
    assert len(got) == 500
    publisher.publish("a", number(1200))
    assert again.take() == []
    node.clock.advance(0)
    got += again.take()
    assert numbers(got) == list(range(1201))
    publisher.publish("a", number(1201))
    assert numbers(again.take()) == [1201]
    assert node.clock.pending() == 0


def test_a_replay_waits_for_a_client_that_does_not_read() -> None:
    node = Node(resumption=ResumptionRules(GRACE_S, 10 * MIB, 3))
    peer, publisher = joined(node), node.join()
    peer.subscribed("a")
    peer.conversation.lost()
    for value in range(600):
        publisher.publish("a", number(value))
    again = back(node, peer)
    again.client.slow = True
    node.clock.advance(1.0)
    assert again.take() == []
    again.client.slow = False
    node.clock.advance(0.05)
    assert numbers(again.take()) == list(range(500, 600))


def test_what_is_delivered_while_the_connection_closes_waits(node: Node) -> None:
    peer, publisher = joined(node), node.join()
    peer.subscribed("a")
    peer.client.group = None  # its closing handshake has begun
    publisher.publish("a", number(1))
    peer.conversation.lost()
    publisher.publish("a", number(2))
    again = back(node, peer)
    assert numbers(again.opening[1:]) == [1, 2]
    assert gap_of(again) == {**NO_GAP, "sent": 1, "replayed": 2}


def test_calls_and_invocations_go_on(node: Node) -> None:
    callee, caller = joined(node), joined(node)
    callee.registered("p")
    first = caller.call("p", number(1))
    invocation = callee.one().request
    callee.conversation.lost()
    second = caller.call("p", number(2))
    caller.conversation.lost()
    callee = back(node, callee)
    assert gap_of(callee)["invocations"] == [invocation]  # the second was not sent yet, and follows
    replayed = callee.opening[1]
    assert (type(replayed), *numbers([replayed])) == (Invocation, 2)
    callee.result(invocation, number(10))
    callee.result(replayed.request, number(20))
    caller = back(node, caller)
    assert gap_of(caller) == {**NO_GAP, "replayed": 2}
    assert [(type(result), result.request, *numbers([result])) for result in caller.opening[1:]] == [
        (Result, first, 10),
        (Result, second, 20),
    ]


def test_calls_that_wait_for_their_result_are_told(node: Node) -> None:
    callee, caller = node.join(), joined(node)
    callee.registered("p")
    request = caller.call("p")
    caller.conversation.lost()
    caller = back(node, caller)
    assert gap_of(caller)["calls"] == [request]
    callee.result(callee.one().request, number(1))
    assert caller.one().request == request


def test_a_canceled_call_is_interrupted_behind_its_invocation(node: Node) -> None:
    callee = joined(node, features=EVERYTHING)
    caller = node.join(features=EVERYTHING)
    callee.registered("p")
    callee.conversation.lost()
    caller.cancel(caller.call("p"))
    assert type(caller.one()) is Error
    callee = back(node, callee, features=EVERYTHING)
    assert [type(each) for each in callee.opening[1:]] == [Invocation, Interrupt]


def test_what_the_cluster_decides_meanwhile_is_answered() -> None:
    node = Node(resumption=RULES)
    node.ledger.hold = True
    peer = joined(node)
    request = peer.subscribe("a")
    peer.conversation.lost()
    node.ledger.commit()
    again = back(node, peer)
    assert again.opening[1] == Subscribed(request, again.opening[1].subscription)


# ---- the end


def test_who_does_not_come_back_in_time_is_gone(node: Node) -> None:
    peer, caller = joined(node), node.join()
    peer.registered("p")
    request = caller.call("p")
    peer.conversation.lost()
    node.clock.advance(GRACE_S - 0.1)
    assert node.router.sessions() == 2
    node.clock.advance(0.1)
    assert (node.router.sessions(), node.counters["resumable_sessions_expired"]) == (1, 1)
    error = caller.one()
    assert (error.request, error.error) == (request, "wamp.error.canceled")
    refused(back(node, peer))
    assert node.clock.pending() == 0
    node.join().registered("p")


def test_goodbye_and_abort_and_violations_end_a_session_for_good(node: Node) -> None:
    for last in (autobahn.Goodbye(), autobahn.Abort("a.reason"), Welcome(1, {})):
        peer = joined(node)
        peer.receive(last)
        peer.conversation.lost()
        assert node.router.sessions() == 0
        refused(back(node, peer))


def test_a_dismissed_session_has_ended(node: Node) -> None:
    peer = joined(node)
    peer.conversation.dismiss("wamp.close.normal", "Enough.")
    peer.conversation.lost()
    assert node.router.sessions() == 0


def test_a_detached_session_can_be_ended(node: Node) -> None:
    peer = joined(node)
    peer.registered("p")
    session = node.router._sessions[peer.session]
    peer.conversation.lost()
    node.router._comebacks.end(session, "wamp.close.killed", "Killed.")
    node.router._comebacks.end(session, "wamp.close.killed", "Killed twice.")
    assert node.router.sessions() == 0
    assert node.router.waiting() == {"sessions": 0, "bytes": 0}
    refused(back(node, peer))
    assert node.clock.pending() == 0


def test_a_fenced_node_keeps_nobody(node: Node) -> None:
    peer, other = joined(node), joined(node)
    peer.subscribed("a")
    peer.conversation.lost()
    node.router.fenced("it was declared dead")
    assert node.router.sessions() == 0
    assert type(other.one()) is Goodbye
    refused(back(node, peer))


def test_a_node_that_stops_keeps_nobody(node: Node) -> None:
    peer, other = joined(node), joined(node)
    peer.conversation.lost()
    node.router.drain(spread_s=1.0, answer_s=1.0, done=lambda: None)
    other.conversation.lost()
    (abort,) = back(node, peer).opening
    assert abort.reason == "wamp.close.system_shutdown"
    node.router.close()
    assert node.router.sessions() == 0


def test_a_suspended_node_resumes_nobody_and_keeps_all(node: Node) -> None:
    peer = joined(node)
    peer.conversation.lost()
    node.ledger.serve(False)
    (abort,) = back(node, peer).opening
    assert abort.reason == "wamp.error.unavailable"
    node.ledger.serve(True)
    assert back(node, peer).session == peer.session


def test_who_wants_to_know_is_told_of_each_session_that_lost_its_connection(node: Node) -> None:
    told: list[int] = []
    node.router._realms["realm1"].when_detached(lambda session: told.append(session.id))
    peer = joined(node)
    node.join().conversation.lost()
    assert told == []
    peer.conversation.lost()
    assert told == [peer.session]
    back(node, peer).conversation.lost()
    assert told == [peer.session] * 2


# ---- bounds


def test_detached_sessions_of_a_realm_are_bounded(node: Node) -> None:
    peers = [joined(node) for _ in range(RULES.sessions_max + 1)]
    for peer in peers:
        peer.conversation.lost()
    assert node.router.sessions() == RULES.sessions_max
    assert node.counters["sessions_not_kept"] == 1
    refused(back(node, peers[-1]))
    back(node, peers[0])
    joined(node).conversation.lost()
    assert node.counters["sessions_not_kept"] == 1


def test_detached_sessions_of_a_node_are_bounded() -> None:
    node = Node(resumption=RULES, limits=Limits(detached_sessions_max=1))
    for _ in range(2):
        joined(node).conversation.lost()
    assert (node.router.sessions(), node.counters["sessions_not_kept"]) == (1, 1)


def overfed(policy: SlowPolicy, events: int = 200) -> tuple[Node, Peer]:
    """A detached session for which more events came than may wait."""
    node = Node(resumption=RULES, slow_clients=policy)
    peer, publisher = joined(node), node.join()
    peer.subscribed("a")
    peer.conversation.lost()
    for value in range(events):
        publisher.publish("a", Payload.of([value, b"x" * 1024]))
    return node, peer


def test_by_policy_disconnect_a_session_ends_when_too_much_waits_for_it() -> None:
    node, peer = overfed(SlowPolicy.DISCONNECT)
    assert node.router.waiting()["bytes"] == 0
    refused(back(node, peer))
    node.clock.advance(0)
    assert (node.router.sessions(), node.counters["resumable_sessions_overflowed"]) == (1, 1)


@pytest.mark.parametrize("policy", [SlowPolicy.DROP_NEWEST, SlowPolicy.DROP_OLDEST])
def test_by_the_other_policies_events_are_dropped_and_counted_in_the_gap(policy: SlowPolicy) -> None:
    node, peer = overfed(policy)
    assert 90_000 < node.router.waiting()["bytes"] <= RULES.buffer_bytes
    again = back(node, peer)
    got = numbers(again.opening[1:])
    dropped = 200 - len(got)
    assert gap_of(again) == {**NO_GAP, "sent": 1, "dropped": dropped, "replayed": len(got)}
    assert node.counters["resumable_events_dropped"] == dropped
    assert got == list(range(200))[: len(got)] if policy is SlowPolicy.DROP_NEWEST else list(range(200))[dropped:]


@pytest.mark.parametrize("policy", SlowPolicy)
def test_what_is_owed_ends_the_session_when_it_is_too_much(policy: SlowPolicy) -> None:
    node = Node(resumption=RULES, slow_clients=policy)
    callee, caller = joined(node), node.join()
    callee.registered("p")
    callee.conversation.lost()
    for _ in range(100):
        caller.call("p", KIB)
    node.clock.advance(0)
    assert node.counters["resumable_sessions_overflowed"] == 1
    answers = caller.take()
    assert {answer.error for answer in answers[:80]} == {"wamp.error.canceled"}
    assert len(answers) == 100


def test_owed_messages_keep_their_place_among_events_that_are_dropped() -> None:
    node = Node(resumption=RULES, slow_clients=SlowPolicy.DROP_OLDEST)
    peer, publisher = joined(node), node.join()
    peer.subscribed("a")
    peer.registered("p")
    peer.conversation.lost()
    publisher.publish("a", Payload.of([0, b"x" * 30_000]))
    publisher.call("p", number(1))
    for value in (2, 3, 4):
        publisher.publish("a", Payload.of([value, b"x" * 30_000]))
    publisher.call("p", number(5))
    assert numbers(back(node, peer).opening[1:]) == [1, 2, 3, 4, 5]


def test_when_too_much_waits_for_all_those_with_most_end_or_lose_events() -> None:
    rules = ResumptionRules(GRACE_S, MIB, 10)
    for policy in SlowPolicy:
        node = Node(resumption=rules, slow_clients=policy, limits=Limits(detached_bytes_max=MIB))
        large, small, publisher = joined(node), joined(node), node.join()
        large.subscribed("a")
        small.subscribed("b")
        for peer in (large, small):
            peer.conversation.lost()
        publisher.publish("b", number(1))
        for _ in range(1000):
            publisher.publish("a", KIB)
        assert node.router.waiting()["bytes"] <= MIB
        assert numbers(back(node, small).opening[1:]) == [1]
        node.clock.advance(0)
        ended = policy is SlowPolicy.DISCONNECT
        assert node.counters["resumable_sessions_overflowed"] == ended
        assert (node.counters["resumable_events_dropped"] > 0) == (not ended)


def test_a_session_that_was_resumed_and_cannot_be_sent_what_waits_is_dismissed() -> None:
    node = Node(resumption=ResumptionRules(GRACE_S, 10_000, 3))
    peer, publisher = joined(node), node.join()
    peer.subscribed("a")
    peer.conversation.lost()
    publisher.publish("a", KIB)
    session = node.router._sessions[peer.session]
    again = back(node, peer)
    again.client.group = None
    for _ in range(10):
        publisher.publish("a", KIB)
    node.clock.advance(0)
    assert (type(again.take()[-1]), node.router.sessions()) == (Goodbye, 1)
    assert not session.open


def test_who_resumes_a_session_and_who_may_not_is_in_the_audit_log_and_tokens_are_not(node: Node) -> None:
    peer = joined(node)
    peer.conversation.lost()
    again = back(node, peer)
    refused(back(node, peer))
    events = [(kind, fields) for kind, fields in node.audit if kind.startswith("resum")]
    assert events == [
        (
            "resumed",
            {
                "realm": "realm1",
                "peer": again.client.describe(),
                "session": peer.session,
                "authid": peer.opening[0].details["authid"],
                "authrole": "user",
            },
        ),
        ("resumption_refused", {"peer": again.client.describe(), "reason": "wamp.error.no_such_session"}),
    ]
    for each in (peer, again):
        assert token_of(each).partition(":")[2] not in repr(node.audit)
