"""Sessions of dead nodes: who proves by the token who it was goes on as that, with nothing else."""

from __future__ import annotations

import pytest

from tests.support.core import Cluster, Peer
from tests.unit.routing.test_moving import arrived, asking, at_rest, moved, refusal, registered, run, subscribed
from tests.unit.routing.test_resumption import GRACE_S, NO_GAP, RULES, gap_of, joined, number, numbers, token_of
from wampha.messages.model import Welcome
from wampha.state.commands import Report
from wampha.state.facts import SESSION, Kill


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c", resumption=RULES, attends=True)


def reported(cluster: Cluster) -> None:
    """Reports of sessions leave with the ticks of a node."""
    for _ in range(3):
        for node in cluster.nodes.values():
            node.tick()
        run(cluster, 0.01)


def lost(cluster: Cluster) -> Peer:
    """A session of node a with a subscription and a registration, after the death of that node."""
    peer = joined(cluster["a"])
    subscribed(cluster, peer, "t")
    registered(cluster, peer, "p")
    reported(cluster)
    peer.conversation.lost()
    cluster.die("a")
    return peer


def revived(cluster: Cluster, name: str, peer: Peer, **options: str) -> Peer:
    again = asking(cluster[name], peer, **options)
    reported(cluster)
    return arrived(cluster, again)


def test_a_session_goes_on_as_who_it_was_and_is_told_that_all_else_is_lost(cluster: Cluster) -> None:
    peer = lost(cluster)
    again = revived(cluster, "b", peer)
    (welcome,) = again.opening
    assert (type(welcome), welcome.session) == (Welcome, peer.session)
    details, before = welcome.details, peer.opening[0].details
    for name in ("authid", "authrole", "authmethod", "authprovider", "realm"):
        assert details[name] == before[name]
    assert (details["resumed"], details["resumable"]) == (True, True)
    assert details["resume_token"].startswith("b:")
    assert gap_of(again) == {**NO_GAP, "node_lost": True}
    assert cluster["b"].counters["sessions_revived"] == 1
    assert cluster["b"].router.sessions() == 1

    publisher = cluster["c"].join()
    publisher.publish("t", number(1))
    run(cluster, 0.01)
    assert again.take() == []
    subscribed(cluster, again, "t")
    registered(cluster, again, "p")
    publisher.publish("t", number(2))
    run(cluster, 0.01)
    assert numbers(again.take()) == [2]
    at_rest(cluster)


def test_it_can_be_lost_and_resumed_like_any_other(cluster: Cluster) -> None:
    peer = revived(cluster, "b", lost(cluster))
    reported(cluster)
    peer.conversation.lost()
    again = moved(cluster, "c", peer)
    assert again.session == peer.session
    assert gap_of(again) == NO_GAP
    reported(cluster)
    again.conversation.lost()
    cluster.die("c")
    last = revived(cluster, "b", again)
    assert (last.session, gap_of(last)["node_lost"]) == (peer.session, True)


def test_only_the_last_token_opens_it_and_once(cluster: Cluster) -> None:
    first = joined(cluster["a"])
    reported(cluster)
    first.conversation.lost()
    last = asking(cluster["a"], first)
    last.subscribe("t")
    reported(cluster)
    cluster.die("a")
    last.conversation.lost()
    last.session = first.session
    for token in (token_of(first), "a:" + "0" * 64, ""):
        assert refusal(revived(cluster, "b", last, token=token)) == "wamp.error.no_such_session"
    assert refusal(revived(cluster, "b", last, realm="realm2")) == "wamp.error.no_such_session"
    assert revived(cluster, "b", last).session == first.session
    for name in "bc":
        assert refusal(revived(cluster, name, last)) == "wamp.error.no_such_session"


@pytest.mark.parametrize("names", ["bc", "bb"])
def test_of_two_that_want_it_at_once_exactly_one_gets_it(cluster: Cluster, names: str) -> None:
    peer = lost(cluster)
    tries = [asking(cluster[name], peer) for name in names]
    reported(cluster)
    kinds = sorted(type(arrived(cluster, each).opening[0]).__name__ for each in tries)
    assert kinds == ["Abort", "Welcome"]
    assert sum(node.router.sessions() for node in cluster.nodes.values()) == 1


def test_it_is_gone_when_the_grace_time_is_over(cluster: Cluster) -> None:
    peer = lost(cluster)
    for node in cluster.nodes.values():
        node.clock.advance(GRACE_S + 1)
    assert refusal(revived(cluster, "b", peer)) == "wamp.error.no_such_session"


def test_a_client_that_goes_meanwhile_finds_it_again(cluster: Cluster) -> None:
    peer = lost(cluster)
    gone = asking(cluster["b"], peer)
    gone.conversation.lost()
    reported(cluster)
    assert cluster["b"].router.waiting()["sessions"] == 1
    assert revived(cluster, "b", peer).session == peer.session


def test_without_a_decision_the_client_is_told_to_try_again(cluster: Cluster) -> None:
    peer = lost(cluster)
    again = asking(cluster["b"], peer)
    for _ in range(3):
        cluster["b"].clock.advance(5.0)
        cluster["b"].router.ticked()
    (abort,) = again.take()
    assert abort.reason == "wamp.error.unavailable"
    reported(cluster)  # the log has it after all, and nobody is left to have the session
    assert len(cluster["c"].ledger.tables.roll) == 0


def test_one_that_is_killed_while_it_is_decided_is_gone(cluster: Cluster) -> None:
    peer = lost(cluster)
    again = asking(cluster["b"], peer)
    for node in cluster.nodes.values():
        node.tick()
    cluster["b"].ledger.commit()
    kill = Kill("realm1", SESSION, peer.session, 0, "wamp.close.killed", None)
    owner = cluster["c"].owner
    cluster.log.append(Report(owner, cluster["c"].ledger.tables.roll.reported(owner).number + 1, (kill,)))
    assert refusal(arrived(cluster, again)) == "wamp.error.no_such_session"
    reported(cluster)
    assert not cluster["c"].ledger.tables.roll.has(peer.session)


def test_a_session_that_cannot_be_resumed_dies_with_its_node(cluster: Cluster) -> None:
    peer = cluster["a"].join()
    reported(cluster)
    cluster.die("a")
    again = cluster["b"].join(resume_session=peer.session, resume_token="a:1")
    assert refusal(again) == "wamp.error.no_such_session"


def test_one_that_moved_dies_with_its_new_node_only(cluster: Cluster) -> None:
    peer = joined(cluster["a"])
    reported(cluster)
    peer.conversation.lost()
    again = moved(cluster, "b", peer)
    reported(cluster)
    cluster.die("a")
    assert [member.id for member in cluster["c"].ledger.tables.roll] == [peer.session]
    again.conversation.lost()
    cluster.die("b")
    assert revived(cluster, "c", again).session == peer.session
