"""Sessions that go on at another node, because their client came back there (docs/resumable-sessions.md)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import EVERYTHING, Cluster, Node, Peer
from tests.unit.routing.test_resumption import GRACE_S, NO_GAP, RULES, gap_of, joined, number, numbers, token_of
from wampha.messages.model import Abort, Error, Goodbye, Invocation, Published, Result, Welcome
from wampha.messages.payload import Payload
from wampha.messages.relayed import Forward
from wampha.routing.resumption import ResumptionRules
from wampha.routing.slow import SlowPolicy


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c", resumption=RULES)


def run(cluster: Cluster, seconds: float = 0.2) -> None:
    """Let everything happen."""
    for _ in range(round(seconds / 0.01)):
        cluster.settle()
        for node in cluster.nodes.values():
            node.clock.advance(0.01)
    cluster.settle()


def asking(node: Node, peer: Peer, token: str | None = None, **options: Any) -> Peer:
    """The client of `peer` has sent HELLO to this node."""
    return node.join(
        resume_session=peer.session,
        resume_token=token_of(peer) if token is None else token,
        after=peer._request,
        **options,
    )


def arrived(cluster: Cluster, peer: Peer) -> Peer:
    """What has come of it: `opening` has all that the client was sent."""
    run(cluster)
    peer.opening += peer.take()
    peer.session = peer.opening[0].session if peer.conversation.established else 0
    return peer


def moved(cluster: Cluster, name: str, peer: Peer, **options: Any) -> Peer:
    return arrived(cluster, asking(cluster[name], peer, **options))


def subscribed(cluster: Cluster, peer: Peer, topic: str, **options: Any) -> int:
    peer.subscribe(topic, **options)
    run(cluster, 0.01)
    subscription: int = peer.one().subscription
    return subscription


def registered(cluster: Cluster, peer: Peer, procedure: str, **options: Any) -> int:
    peer.register(procedure, **options)
    run(cluster, 0.01)
    registration: int = peer.one().registration
    return registration


def refusal(peer: Peer) -> str:
    (abort,) = peer.opening
    assert type(abort) is Abort
    assert peer.client.finished
    return str(abort.reason)


def at_rest(cluster: Cluster) -> None:
    """No node waits for anything, and the tables are those of the sessions that there are."""
    for node in cluster.nodes.values():
        router = node.router
        assert not router._comebacks._arrivals._arrivals
        assert not router._comebacks._givings._givings
        assert not node.outbox.forwarded


# ---- all that a session has comes along


def test_a_session_moves_with_its_id_subscriptions_and_what_waited(cluster: Cluster) -> None:
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscription = subscribed(cluster, peer, "t")
    pattern = subscribed(cluster, peer, "t", match="prefix")
    publisher.publish("t", number(0))
    run(cluster, 0.01)
    assert numbers(peer.take()) == [0, 0]
    peer.conversation.lost()
    publisher.publish("t", number(1))
    run(cluster, 0.01)

    again = moved(cluster, "b", peer)
    welcome, *events = again.opening
    assert (type(welcome), welcome.session) == (Welcome, peer.session)
    assert welcome.details["authid"] == peer.opening[0].details["authid"]
    assert welcome.details["resume_token"].startswith("b:")
    assert gap_of(again) == {**NO_GAP, "sent": 4, "replayed": 2}
    assert [(event.subscription, *numbers([event])) for event in events] == [(subscription, 1), (pattern, 1)]

    publisher.publish("t", number(2))
    run(cluster, 0.01)
    assert [(event.subscription, *numbers([event])) for event in again.take()] == [(subscription, 2), (pattern, 2)]
    assert [node.router.sessions() for node in cluster.nodes.values()] == [0, 1, 1]
    assert cluster["a"].counters["sessions_moved"] == 1
    assert cluster["b"].counters["sessions_resumed"] == 1
    again.unsubscribe(subscription)
    run(cluster, 0.01)
    assert len(again.take()) == 1
    at_rest(cluster)


def test_the_old_home_has_no_rows_left(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    registered(cluster, peer, "p")
    peer.conversation.lost()
    moved(cluster, "b", peer)
    tables = cluster["c"].ledger.tables
    assert [owner.name for owner in tables.route("realm1", "exact", "t").owners] == ["b"]  # type: ignore[union-attr]
    row = tables.registration("realm1", "exact", "p")
    assert row is not None
    assert [(callee.owner.name, callee.session) for callee in row.callees] == [("b", peer.session)]
    at_rest(cluster)


def test_it_moves_on_and_back(cluster: Cluster) -> None:
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscribed(cluster, peer, "t")
    registration = registered(cluster, peer, "p")
    for value, name in enumerate("bcabb"):
        peer.conversation.lost()
        publisher.publish("t", number(value))
        run(cluster, 0.01)
        session = peer.session
        peer = moved(cluster, name, peer)
        assert (peer.session, numbers(peer.opening[1:])) == (session, [value])
        publisher.call("p", number(value))
        run(cluster, 0.01)
        invocation = peer.one()
        assert (invocation.registration, *numbers([invocation])) == (registration, value)
        peer.result(invocation.request)
        run(cluster, 0.01)
        assert [type(each) for each in publisher.take()] == [Result]
    at_rest(cluster)


def test_the_old_connection_is_closed_if_it_seems_alive(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    again = moved(cluster, "b", peer)
    assert again.session == peer.session
    (goodbye,) = peer.take()
    assert (type(goodbye), goodbye.reason) == (Goodbye, "wampha.close.resumed")
    peer.conversation.lost()
    assert cluster["a"].router.sessions() == 0


# ---- nothing lost, twice, or out of order


@pytest.mark.parametrize("publisher_at", ["a", "b", "c"])
def test_whatever_is_published_meanwhile_comes_once_and_in_order(cluster: Cluster, publisher_at: str) -> None:
    """An event between any two steps of the move, with links and logs as slow as they like."""
    peer, publisher = joined(cluster["a"]), cluster[publisher_at].join()
    subscribed(cluster, peer, "t")
    published = 0
    for slow_wire in [("c", "a"), ("c", "b"), ("a", "b"), ("b", "a"), ("the", "log"), None]:
        names = "abc"
        home = peer.opening[0].details["resume_token"][0]
        there = names[(names.index(home) + 1) % 3]
        first = published
        peer.conversation.lost()
        again = asking(cluster[there], peer)
        for _ in range(60):
            publisher.publish("t", number(published))
            published += 1
            for node in cluster.nodes.values():
                if slow_wire != ("the", "log") or published % 20 == 0:
                    node.ledger.commit(min(1, len(node.ledger.queue)))
            for node in cluster.nodes.values():
                node.ledger.apply()
            for node in cluster.nodes.values():
                node.ledger.claim(min(each.ledger.applied for each in cluster.nodes.values()))
            for wire in list(cluster.wires):
                if wire != slow_wire or published % 7 == 0:
                    cluster.carry(*wire)
            for node in cluster.nodes.values():
                node.clock.advance(0.01)
        peer = arrived(cluster, again)
        assert type(peer.opening[0]) is Welcome
        got = numbers(peer.opening[1:])
        assert got == list(range(first, published))
    at_rest(cluster)


def test_what_was_sent_to_the_old_home_alone_is_waited_for(cluster: Cluster) -> None:
    """Protocol rule 22 says nothing of events on their way when the row of the new home comes to stand."""
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    publisher.publish("t", number(1))  # routed by tables in which only node a has subscribers
    late = cluster.wires["c", "a"]
    assert [type(relayed) for _, _, relayed in late] == [Forward]
    again = asking(cluster["b"], peer)
    for _ in range(50):
        cluster.commit()
        for wire in [("b", "a"), ("a", "b"), ("a", "c"), ("c", "b"), ("b", "c")]:
            cluster.carry(*wire)
        for node in cluster.nodes.values():
            node.clock.advance(0.01)
    assert not again.conversation.established
    publisher.publish("t", number(2))
    assert numbers(arrived(cluster, again).opening[1:]) == [1, 2]


def test_copies_of_what_the_old_home_got_are_waited_for(cluster: Cluster) -> None:
    """Else an event would come once from the old home, and again over a slow link."""
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    for wire in [("b", "a"), ("a", "b")]:
        cluster.carry(*wire)
    cluster.commit()  # the row of node b stands: node c sends to both
    publisher.publish("t", number(1))
    for _ in range(50):
        cluster.commit()
        for wire in [("b", "a"), ("a", "b"), ("a", "c"), ("c", "a"), ("b", "c")]:
            cluster.carry(*wire)
        for node in cluster.nodes.values():
            node.clock.advance(0.01)
    assert not again.conversation.established
    assert numbers(arrived(cluster, again).opening[1:]) == [1]
    assert again.take() == []


def test_a_node_that_stands_still_is_waited_for_and_a_dead_one_is_not(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    cluster.hold("c")  # it neither takes nor sends anything
    run(cluster, 4.0)
    assert not again.conversation.established
    cluster.die("c")
    assert type(arrived(cluster, again).opening[0]) is Welcome


def test_unsent_calls_go_to_the_new_home_and_sent_ones_end(cluster: Cluster) -> None:
    callee, caller, other = joined(cluster["a"]), cluster["c"].join(), cluster["a"].join()
    registered(cluster, callee, "p")
    sent = caller.call("p", number(1))
    run(cluster, 0.01)
    invocation = callee.one()
    callee.conversation.lost()
    unsent = caller.call("p", number(2))
    local = other.call("p", number(3))
    run(cluster, 0.01)
    again = moved(cluster, "b", callee)
    assert gap_of(again)["invocations"] == []
    assert [type(each) for each in again.opening[1:]] == [Invocation] * 2
    assert sorted(numbers(again.opening[1:])) == [2, 3]
    (ended,) = caller.take()
    assert (ended.request, ended.error) == (sent, "wamp.error.canceled")
    again.result(invocation.request)  # nobody waits for it, and it is no violation
    for each in again.opening[1:]:
        assert each.request > invocation.request
        again.result(each.request, each.payload)
    run(cluster, 0.01)
    assert again.conversation.established
    assert [(result.request, *numbers([result])) for result in [*caller.take(), *other.take()]] == [
        (unsent, 2),
        (local, 3),
    ]
    at_rest(cluster)


def test_a_call_meanwhile_reaches_the_callee_or_is_refused_as_not_sent(cluster: Cluster) -> None:
    callee, caller = joined(cluster["a"]), cluster["c"].join()
    registered(cluster, callee, "p")
    callee.conversation.lost()
    again = asking(cluster["b"], callee)
    for value in range(60):
        caller.call("p", number(value))
        for node in cluster.nodes.values():
            node.ledger.commit()
        for node in cluster.nodes.values():
            node.ledger.apply()
        for node in cluster.nodes.values():
            node.ledger.claim()
        for wire in list(cluster.wires):
            cluster.carry(*wire)
        for node in cluster.nodes.values():
            node.clock.advance(0.005)
    again = arrived(cluster, again)
    got = numbers(again.opening[1:])
    for invocation in again.opening[1:]:
        again.result(invocation.request, invocation.payload)
    run(cluster, 0.01)
    answers = caller.take()
    assert len(answers) == 60
    refused = [answer.error for answer in answers if type(answer) is Error]
    assert set(refused) <= {"wamp.error.unavailable", "wamp.error.no_such_procedure"}
    assert sorted(got) == sorted(numbers([answer for answer in answers if type(answer) is Result]))
    assert got == sorted(got)  # P3
    assert len(got) > 50


def test_open_calls_of_the_session_end_and_it_is_told(cluster: Cluster) -> None:
    callee, caller = cluster["c"].join(features=EVERYTHING), joined(cluster["a"])
    registered(cluster, callee, "p")
    request = caller.call("p")
    run(cluster, 0.01)
    caller.conversation.lost()
    again = moved(cluster, "b", caller)
    (error,) = again.opening[1:]
    assert (error.request, error.error) == (request, "wamp.error.canceled")
    assert gap_of(again)["calls"] == []
    assert [type(each).__name__ for each in callee.take()] == ["Invocation", "Interrupt"]


def test_undecided_requests_are_refused(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    request = peer.subscribe("t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    for _ in range(3):
        for wire in list(cluster.wires):
            cluster.carry(*wire)
    again = arrived(cluster, again)
    assert [(each.request, each.error) for each in again.opening[1:]] == [(request, "wamp.error.unavailable")]


def test_a_callee_of_a_shared_procedure_keeps_its_terms(cluster: Cluster) -> None:
    callee, second, caller = joined(cluster["a"]), cluster["c"].join(), cluster["c"].join()
    registration = registered(cluster, callee, "p", invoke="roundrobin", concurrency=1, disclose_caller=True)
    assert registered(cluster, second, "p", invoke="roundrobin") == registration
    callee.conversation.lost()
    again = moved(cluster, "b", callee)
    for value in range(2):
        caller.call("p", number(value))
    run(cluster, 0.01)
    (mine,), (others,) = again.take(), second.take()
    assert mine.details["caller"] == caller.session
    assert "caller" not in others.details
    assert mine.registration == others.registration == registration


def test_a_procedure_that_was_taken_by_force_meanwhile_is_told(cluster: Cluster) -> None:
    callee, thief = joined(cluster["a"]), cluster["c"].join()
    registration = registered(cluster, callee, "p")
    callee.conversation.lost()
    again = asking(cluster["b"], callee)
    for wire in [("b", "a"), ("a", "b")]:
        cluster.carry(*wire)
    thief.register("p", force_reregister=True)
    cluster["c"].ledger.commit()
    again = arrived(cluster, again)
    assert gap_of(again)["unregistered"] == [registration]
    at_rest(cluster)


# ---- who may


def test_a_wrong_token_is_refused_and_the_session_waits_on(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    peer.conversation.lost()
    for token in ("a:" + "0" * 64, "nobody:1", "b:1", "", ":", "c:" + "0" * 64):
        assert refusal(moved(cluster, "b", peer, token=token)) == "wamp.error.no_such_session"
    assert refusal(moved(cluster, "b", peer, realm="realm2")) == "wamp.error.no_such_session"
    assert moved(cluster, "b", peer).session == peer.session


def test_a_token_works_once_on_all_nodes(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    peer.conversation.lost()
    again = moved(cluster, "b", peer)
    for name in "abc":
        assert refusal(moved(cluster, name, peer)) == "wamp.error.no_such_session"
    assert again.conversation.established


@pytest.mark.parametrize("names", ["bc", "bb", "ab", "ba"])
def test_of_two_that_resume_at_once_exactly_one_wins(cluster: Cluster, names: str) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    one, two = (asking(cluster[name], peer) for name in names)
    for each in (one, two):
        if not each.opening:
            arrived(cluster, each)
    assert sorted(type(each.opening[0]).__name__ for each in (one, two)) == ["Abort", "Welcome"]
    assert sum(node.router.sessions() for node in cluster.nodes.values()) == 1
    at_rest(cluster)


def test_a_client_that_goes_while_its_session_comes_finds_it_again(cluster: Cluster) -> None:
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    gone = asking(cluster["b"], peer)
    gone.conversation.lost()
    run(cluster)
    publisher.publish("t", number(1))
    run(cluster, 0.01)
    assert cluster["b"].router.waiting()["sessions"] == 1
    for name in "ca":  # its old token still leads to it
        again = moved(cluster, name, peer)
        assert again.session == peer.session
        again.conversation.lost()
        publisher.publish("t", number(2))
        run(cluster, 0.01)
    assert numbers(moved(cluster, "b", peer).opening[1:]) == [2]
    at_rest(cluster)


def test_a_welcome_that_may_be_lost_voids_no_token_at_the_new_home(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    peer.conversation.lost()
    lost = moved(cluster, "b", peer)
    lost.conversation.lost()
    assert moved(cluster, "c", peer).session == peer.session


# ---- bounds and ends


@pytest.mark.parametrize("policy", SlowPolicy)
def test_too_much_for_both_homes_together_is_handled_by_policy(policy: SlowPolicy) -> None:
    cluster = Cluster("a", "b", "c", resumption=RULES, slow_clients=policy)
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    for value in range(150):
        publisher.publish("t", Payload.of([value, b"x" * 1024]))
        cluster.commit()
        for wire in [("b", "a"), ("a", "b"), ("c", "b")]:
            cluster.carry(*wire)
    again = arrived(cluster, again)
    if policy is SlowPolicy.DISCONNECT:
        assert refusal(again) == "wamp.error.unavailable"
        assert sum(node.router.sessions() for node in cluster.nodes.values()) == 1
        assert cluster["b"].counters["resumable_sessions_overflowed"] == 1
    else:
        got = numbers(again.opening[1:])
        assert got == sorted(set(got))
        assert len(got) + gap_of(again)["dropped"] >= 150


def test_a_long_wait_is_fetched_in_pieces() -> None:
    cluster = Cluster("a", "b", "c", resumption=ResumptionRules(GRACE_S, 4_000_000, 3))
    peer, publisher = joined(cluster["a"]), cluster["c"].join()
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    for value in range(20):
        publisher.publish("t", Payload.of([value, b"x" * 100_000]))
    run(cluster, 0.01)
    again = moved(cluster, "b", peer)
    assert numbers(again.opening[1:]) == list(range(20))
    run(cluster, 6.0)
    assert [node.router.waiting() for node in cluster.nodes.values()] == [{"sessions": 0, "bytes": 0}] * 3
    at_rest(cluster)


def test_arrivals_are_bounded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wampha.routing.arrival._ARRIVALS_MAX", 1)
    peers = [joined(cluster["a"]) for _ in range(2)]
    for peer in peers:
        peer.conversation.lost()
    first, second = (asking(cluster["b"], peer) for peer in peers)
    assert second.opening[0].reason == "wamp.error.unavailable"
    assert cluster["b"].counters["hello_refused"] == 1
    assert type(arrived(cluster, first).opening[0]) is Welcome
    assert moved(cluster, "b", peers[1]).session == peers[1].session


def test_memory_of_sessions_that_moved_is_bounded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wampha.routing.giving._MOVED_MAX", 1)
    first, second = joined(cluster["a"]), joined(cluster["a"])
    for peer in (first, second):
        peer.conversation.lost()
        moved(cluster, "b", peer).conversation.lost()
    assert refusal(moved(cluster, "c", first)) == "wamp.error.no_such_session"
    assert moved(cluster, "c", second).session == second.session


def test_a_session_is_followed_over_a_bounded_number_of_nodes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wampha.routing.arrival._HOPS_MAX", 1)
    peer = joined(cluster["a"])
    peer.conversation.lost()
    moved(cluster, "b", peer).conversation.lost()
    assert refusal(moved(cluster, "c", peer)) == "wamp.error.no_such_session"
    assert cluster["c"].counters["resumptions_refused"] == 1


def test_a_node_that_stands_still_for_too_long_ends_the_attempt(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    cluster.hold("c")
    run(cluster, 32.0)
    assert refusal(arrived(cluster, again)) == "wamp.error.unavailable"
    assert cluster["b"].counters["hello_refused"] == 1
    cluster.held.clear()
    assert moved(cluster, "c", peer).session == peer.session
    at_rest(cluster)


def test_what_was_not_fetched_is_forgotten(cluster: Cluster) -> None:
    peer, publisher = joined(cluster["a"]), cluster["a"].join()
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    publisher.publish("t", number(1))
    asking(cluster["b"], peer)
    while peer.session in cluster["a"].router._sessions:
        run(cluster, 0.0)
        for node in cluster.nodes.values():
            node.clock.advance(0.001)
    assert cluster["a"].router.waiting()["bytes"] > 0
    cluster.die("b")
    run(cluster, 6.0)
    assert cluster["a"].router.waiting() == {"sessions": 0, "bytes": 0}
    at_rest(cluster)


def test_a_session_comes_and_goes_although_its_first_move_was_never_confirmed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wampha.routing.arrival.Arrivals._ask_no_more", lambda *_: None)
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    for name in "babc":
        peer.conversation.lost()
        session = peer.session
        peer = moved(cluster, name, peer)
        assert peer.session == session
    run(cluster, 6.0)
    publisher = cluster["a"].join()
    publisher.publish("t", number(1))
    run(cluster, 0.01)
    assert numbers(peer.take()) == [1]
    at_rest(cluster)


def test_the_old_home_keeps_the_session_if_the_new_one_falls_silent(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    asking(cluster["b"], peer)
    cluster.carry("b", "a")
    cluster.die("b")
    assert refusal(moved(cluster, "c", peer)) == "wamp.error.unavailable"  # it is still given away
    run(cluster, 6.0)
    again = moved(cluster, "c", peer)
    assert again.session == peer.session
    at_rest(cluster)


def test_if_the_new_home_dies_with_registrations_the_session_ends_and_they_are_free(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    registered(cluster, peer, "p")
    peer.conversation.lost()
    asking(cluster["b"], peer)
    for wire in [("b", "a"), ("a", "b")]:
        cluster.carry(*wire)
    cluster.commit()
    cluster.die("b")
    run(cluster, 6.0)
    assert refusal(moved(cluster, "c", peer)) == "wamp.error.no_such_session"
    registered(cluster, cluster["c"].join(), "p")
    at_rest(cluster)


def test_if_the_old_home_dies_meanwhile_the_client_is_told_to_try_again(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    for wire in [("b", "a"), ("a", "b")]:
        cluster.carry(*wire)
    cluster.commit()
    cluster.die("a")
    assert refusal(arrived(cluster, again)) == "wamp.error.unavailable"
    assert cluster["b"].router.sessions() == 0
    assert cluster["c"].ledger.tables.route("realm1", "exact", "t") is None
    at_rest(cluster)


def test_a_session_that_is_ended_on_its_way_does_not_arrive(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    registered(cluster, peer, "p")
    session = cluster["a"].router._sessions[peer.session]
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    cluster.carry("b", "a")
    cluster["a"].router._comebacks.end(session, "wamp.close.killed", "Killed.")
    assert refusal(arrived(cluster, again)) == "wamp.error.unavailable"
    assert sum(node.router.sessions() for node in cluster.nodes.values()) == 0
    registered(cluster, cluster["c"].join(), "p")


@pytest.mark.parametrize("victim", ["a", "b"])
def test_a_fence_of_the_old_home_ends_the_session_and_of_the_new_one_does_not(cluster: Cluster, victim: str) -> None:
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    cluster.carry("b", "a")
    cluster[victim].router.fenced("it was declared dead")
    if victim == "a":
        assert refusal(arrived(cluster, again)) == "wamp.error.unavailable"
        assert cluster["a"].router.sessions() == 0
    else:
        run(cluster, 6.0)
        assert moved(cluster, "c", peer).session == peer.session
    at_rest(cluster)


def test_a_client_that_talks_before_welcome_breaks_the_protocol_and_its_session_lives(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    peer.conversation.lost()
    again = asking(cluster["b"], peer)
    again.publish("t")
    assert refusal(arrived(cluster, again)) == "wamp.error.protocol_violation"
    assert moved(cluster, "c", peer).session == peer.session


def test_published_and_other_answers_come_along(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    peer.client.group = None
    peer.publish("t", acknowledge=True)
    peer.conversation.lost()
    assert [type(each) for each in moved(cluster, "b", peer).opening[1:]] == [Published]


# ---- a node that stops


def test_a_node_that_stops_says_no_goodbye_to_sessions_that_can_go_on_elsewhere(cluster: Cluster) -> None:
    peer, plain, publisher = joined(cluster["a"]), cluster["a"].join(), cluster["c"].join()
    subscription = subscribed(cluster, peer, "t")
    registration = registered(cluster, peer, "p")
    peer.take()
    over: list[bool] = []
    cluster["a"].router.drain(spread_s=0.0, answer_s=1.0, done=lambda: over.append(True))
    run(cluster, 0.1)
    assert (peer.take(), peer.client.finished) == ([], True)
    assert [type(each) for each in plain.take()] == [Goodbye]
    publisher.publish("t", number(1))
    request = publisher.call("p", number(2))
    run(cluster, 0.1)
    assert not over
    (abort,) = asking(cluster["a"], peer).opening
    assert abort.reason == "wamp.close.system_shutdown"
    again = moved(cluster, "b", peer)
    event, invocation = again.opening[1:]
    assert (event.subscription, *numbers([event])) == (subscription, 1)
    assert (invocation.registration, *numbers([invocation])) == (registration, 2)
    again.result(invocation.request)
    run(cluster, 0.1)
    assert [each.request for each in publisher.take()] == [request]
    assert over == [True]
    cluster["a"].router.close()
    at_rest(cluster)


def test_sessions_that_nobody_fetches_do_not_keep_a_node_from_stopping(cluster: Cluster) -> None:
    for lost in (False, True):
        peer = joined(cluster["a"])
        if lost:
            peer.conversation.lost()
    over: list[bool] = []
    cluster["a"].router.drain(spread_s=0.0, answer_s=1.0, done=lambda: over.append(True))
    run(cluster, 4.8)
    assert not over
    run(cluster, 0.4)
    assert over
    cluster["a"].router.close()
    assert cluster["a"].router.sessions() == 0
