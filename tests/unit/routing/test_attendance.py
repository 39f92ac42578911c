"""Sessions are reported in batches, exactly once, whatever becomes of a proposal; nobody waits for it."""

from __future__ import annotations

from typing import Any

from tests.support.core import ALL, MEANT, Cluster, Node
from wampha.routing import attendance
from wampha.state.commands import Down, Lead, Leave, Outcome, Owner, Report, Up
from wampha.state.facts import Bequeath, End, Join


def nodes() -> Cluster:
    return Cluster("a", "b", attends=True, permissions=(ALL, MEANT))


def rows(node: Node, realm: str = "realm1") -> list[int]:
    return list(node.ledger.tables.roll.within(realm))


def reports(node: Node) -> list[Report]:
    return [command for command in node.ledger.proposed if isinstance(command, Report)]


def kinds(report: Report) -> list[type]:
    return [type(fact) for fact in report.facts]


def test_welcome_does_not_wait_and_the_session_stands_on_every_node_soon_after() -> None:
    cluster = nodes()
    peer = cluster["a"].join()
    assert peer.session
    assert rows(cluster["b"]) == []
    cluster.attend()
    assert rows(cluster["a"]) == rows(cluster["b"]) == [peer.session]
    peer.client_leaves()
    cluster.attend()
    assert rows(cluster["a"]) == rows(cluster["b"]) == []


def test_a_storm_of_logins_is_few_reports_and_one_at_a_time() -> None:
    cluster = nodes()
    a = cluster["a"]
    peers = [a.join() for _ in range(1200)]
    assert len(reports(a)) == 1
    while a.ledger.queue:
        cluster.commit()
        a.tick()
    assert [len(report.facts) for report in reports(a)] == [1, 500, 500, 199]
    assert [report.number for report in reports(a)] == [1, 2, 3, 4]
    assert rows(cluster["b"]) == [peer.session for peer in peers]
    assert a.counters["reports"] == 4


def test_reports_are_bounded_in_bytes() -> None:
    cluster = nodes()
    a = cluster["a"]
    for _ in range(40):
        peer = a.join()
        peer.ask("wamp.session.add_testament", "t.a", ["x" * 15_000], {})
    while a.ledger.queue:
        cluster.commit()
        a.tick()
    sizes = [sum(isinstance(fact, Bequeath) for fact in report.facts) for report in reports(a)]
    assert sum(sizes) == 40
    assert max(sizes) == 8
    assert attendance._BYTES_MAX < 2 * 8 * 15_000


def test_a_session_that_comes_and_goes_within_one_report_has_come_and_has_gone() -> None:
    cluster = nodes()
    a = cluster["a"]
    a.join()
    for _ in range(2):
        a.join().client_leaves()
    cluster.attend()
    assert [kinds(report) for report in reports(a)] == [[Join], [Join, End, Join, End]]


def test_a_report_of_unknown_outcome_is_proposed_again_as_it_was_and_takes_effect_once() -> None:
    cluster = nodes()
    a, b = cluster["a"], cluster["b"]
    peer = a.join()
    lost, outcome = a.ledger.forget()
    peer.client_leaves()
    outcome(Outcome.UNKNOWN)
    a.tick()
    assert a.counters["reports_repeated"] == 1
    again, _ = a.ledger.queue[0]
    assert again == lost
    a.log.append(lost)  # the first one surfaces after all, before the second
    cluster.attend()
    assert rows(a) == rows(b) == []
    assert a.counters["commands_stale"] == b.counters["commands_stale"] == 1
    assert [kinds(report) for report in reports(a)] == [[Join], [Join], [End]]


def test_an_outcome_that_never_comes_keeps_nothing_back_once_the_table_shows_it() -> None:
    cluster = nodes()
    a = cluster["a"]
    a.join()
    command, _ = a.ledger.forget()
    a.log.append(command)
    a.join()
    cluster.attend()
    assert len(rows(cluster["b"])) == 2


def test_an_id_that_another_node_has_used_is_drawn_again() -> None:
    cluster = nodes()
    taken = cluster["a"].join()
    cluster.attend()
    b = cluster["b"]
    draws = [taken.session, 77]
    b.router._ids = Draws(b.router._ids, draws)  # type: ignore[misc, assignment]
    assert b.join().session == 77
    assert not draws


def test_of_two_sessions_with_one_id_the_later_is_ended_and_the_first_stays() -> None:
    cluster = nodes()
    for node in cluster.nodes.values():
        node.router._ids = Draws(node.router._ids, [77])  # type: ignore[misc, assignment]
    first, second = cluster["a"].join(), cluster["b"].join()
    assert first.session == second.session == 77
    cluster.attend()
    (goodbye,) = second.take()
    assert (goodbye.reason, second.client.finished) == ("wamp.error.unavailable", True)
    assert not first.take()
    assert rows(cluster["a"]) == rows(cluster["b"]) == [77]
    assert cluster["a"].ledger.tables.roll.owned(cluster["a"].owner)


class Draws:
    """Ids, the first sessions' of which are known."""

    def __init__(self, ids: Any, sessions: list[int]) -> None:
        self._ids, self._sessions = ids, sessions

    def session(self) -> int:
        return self._sessions.pop(0) if self._sessions else self._ids.session()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ids, name)


def test_a_dead_incarnation_s_sessions_go_and_the_next_one_reports_anew() -> None:
    cluster = nodes()
    a = cluster["a"]
    a.join()
    cluster.attend()
    cluster.log.append(Lead(2, "b"))
    cluster.log.append(Down(a.owner, 2))
    a.ledger.owner = Owner("a", 2)
    a.router.fenced("dead")
    cluster.log.append(Up(a.ledger.owner, (a.owner.incarnation,), "", ""))
    cluster.settle()
    assert rows(cluster["b"]) == []
    peer = a.join()
    cluster.attend()
    assert rows(a) == rows(cluster["b"]) == [peer.session]
    assert reports(a)[-1].number == 1


def test_a_node_that_leaves_reports_nothing_more() -> None:
    cluster = nodes()
    a = cluster["a"]
    peer = a.join()
    cluster.attend()
    a.router.close()
    assert peer.client.finished
    a.tick()
    assert not a.ledger.queue
    cluster.log.append(Leave(a.owner))
    cluster.settle()
    assert rows(cluster["b"]) == []


def test_a_node_that_took_a_snapshot_in_place_of_a_kill_ends_the_session() -> None:
    cluster = nodes()
    a, b = cluster["a"], cluster["b"]
    killed, killer = a.join(), b.join()
    cluster.attend()
    killer.ask("wamp.session.kill", killed.session)
    b.ledger.commit()
    a.ledger.install(b.ledger.machine, b.ledger.applied)
    assert killed.client.finished
    (goodbye,) = killed.take()
    assert (goodbye.reason, goodbye.details) == ("wamp.close.normal", {})
    cluster.attend()
    assert rows(a) == rows(b) == [killer.session]
    assert not a.ledger.tables.roll.killed(a.owner)


def test_sessions_of_a_node_that_was_declared_dead_were_not_killed_and_wait_for_the_fence() -> None:
    for by_snapshot in (False, True):
        cluster = nodes()
        a, b = cluster["a"], cluster["b"]
        peer = a.join()
        cluster.attend()
        cluster.log.append(Down(a.owner, 1))
        b.ledger.apply()
        if by_snapshot:
            a.ledger.install(b.ledger.machine, b.ledger.applied)
        else:
            a.ledger.apply()
        assert a.owner.incarnation in a.ledger.tables.dead
        assert peer.take() == []
        a.ledger.owner = Owner("a", 999)
        a.router.fenced("this node was declared dead")
        (goodbye,) = peer.take()
        assert goodbye.reason == "wamp.close.system_shutdown"


def test_who_waits_for_what_a_snapshot_skipped_is_told_that_it_is_not_known() -> None:
    cluster = nodes()
    a, b = cluster["a"], cluster["b"]
    killed, killer = a.join(), b.join()
    cluster.attend()
    killer.ask("wamp.session.kill_all")
    b.ledger.claim_at_once = True
    command, outcome = b.ledger.forget()
    cluster.log.append(command)
    a.ledger.apply()
    b.ledger.install(a.ledger.machine, a.ledger.applied)
    outcome(Outcome.UNKNOWN)
    assert killer.one().error == "wamp.error.unavailable"
    assert killed.client.finished


def test_what_is_not_decided_in_time_is_refused_though_it_may_come_about() -> None:
    cluster = nodes()
    a = cluster["a"]
    peer = a.join()
    cluster.attend()
    peer.ask("wamp.session.add_testament", "t.a", [], {})
    a.ledger.forget()
    a.tick(9.9)
    assert not peer.take()
    a.tick(0.2)
    error = peer.one()
    assert error.error == "wamp.error.unavailable"
    assert a.counters["wants_timed_out"] == 1
    assert not peer.client.finished
