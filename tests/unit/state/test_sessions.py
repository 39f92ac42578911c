"""The roll of sessions: what home nodes report takes effect once, in order, and the same everywhere."""

from __future__ import annotations

import time

import pytest

from tests.unit.state.test_machine import A, B, Log, up
from wampha.messages.payload import Payload
from wampha.state.changes import (
    NodeGone,
    NodeUp,
    SessionJoined,
    SessionLeft,
    SessionRefused,
    SessionsMet,
)
from wampha.state.changes import TestamentsDue as Due
from wampha.state.codec import decode, encode
from wampha.state.commands import Down, Lead, Leave, Outcome, Owner, Report
from wampha.state.facts import (
    AUTHID,
    AUTHROLE,
    DESTROYED,
    DETACHED,
    EVERYBODY,
    SESSION,
    AnyFact,
    Bequeath,
    Come,
    Detach,
    End,
    Flush,
    Join,
    Kill,
    Lock,
    Modify,
    Revive,
    Transport,
)
from wampha.state.facts import Testament as Will
from wampha.state.machine import Machine
from wampha.state.roll import Load, Member


def join(session: int, realm: str = "realm1", authid: str = "", role: str = "user") -> Join:
    return Join(session, realm, authid or f"id{session}", role, "anonymous", "static", Transport("rawsocket"))


def will(topic: str, text: str = "") -> Will:
    return Will(len(topic), topic, Payload.of([text]), {}, {})


def kill(of: str, value: int | str, spared: int = 0, realm: str = "realm1") -> Kill:
    return Kill(realm, of, value, spared, "wamp.close.normal", None)


class Reports(Log):
    """A log to which two nodes report."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = {A: 0, B: 0}
        self(up(A))
        self(up(B))
        self.machine.take_changes()

    def report(self, owner: Owner, *facts: AnyFact) -> Outcome:
        self.numbers[owner] += 1
        return self(Report(owner, self.numbers[owner], facts))

    def ids(self, realm: str = "realm1") -> list[int]:
        return list(self.machine.tables.roll.within(realm))

    def member(self, session: int, realm: str = "realm1") -> Member:
        member = self.machine.tables.roll.get(realm, session)
        assert member is not None
        return member


@pytest.fixture
def log() -> Reports:
    return Reports()


def test_sessions_join_and_leave_in_the_order_of_the_report(log: Reports) -> None:
    assert log.report(A, join(1), join(2), End(1), join(3, "realm2")) is Outcome.OK
    assert (log.ids(), log.ids("realm2")) == ([2], [3])
    one, two, three, four = log.machine.take_changes()
    assert isinstance(one, SessionJoined)
    assert isinstance(two, SessionJoined)
    assert (one.member.id, two.member.id) == (1, 2)
    assert three == SessionLeft(one.member, (), 1)
    assert four == SessionJoined(log.member(3, "realm2"))
    assert log.member(2).details() == {
        "session": 2,
        "authid": "id2",
        "authrole": "user",
        "authmethod": "anonymous",
        "authprovider": "static",
        "transport": {"type": "rawsocket", "protocol": "", "peer": ""},
    }


def test_rule_30_a_report_takes_effect_once_and_in_order(log: Reports) -> None:
    first = Report(A, 1, (join(1), End(1)))
    assert log(first) is Outcome.OK
    assert log(first) is Outcome.STALE
    assert log.counters["commands_stale"] == 1
    assert log(Report(A, 3, (join(3),))) is Outcome.REFUSED
    assert log(Report(A, 2, (join(2),))) is Outcome.OK
    assert log(first) is Outcome.STALE
    assert log.ids() == [2]
    assert [type(change) for change in log.machine.take_changes()] == [SessionJoined, SessionLeft, SessionJoined]
    assert log.machine.tables.roll.reported(A).number == 2


def test_rule_30_a_dead_incarnation_reports_nothing(log: Reports) -> None:
    log(Leave(A))
    assert log(Report(A, 1, (join(1),))) is Outcome.DEAD
    assert not log.ids()


def test_rule_28_the_death_of_a_node_is_the_end_of_its_sessions_in_one_entry(log: Reports) -> None:
    log.report(A, join(1), join(2), Bequeath(2, DESTROYED, will("last")), Bequeath(2, DETACHED, will("first")))
    log.report(B, join(3))
    one, two = log.member(1), log.member(2)
    log.machine.take_changes()
    log(Lead(1, "b"))
    log(Down(A, 1))
    assert log.machine.take_changes()[1:] == [
        SessionLeft(one, ()),
        SessionLeft(two, (will("first"), will("last"))),
        NodeGone(A, "down"),
    ]
    assert log.ids() == [3]
    roll = log.machine.tables.roll
    assert (roll.load("realm1"), roll.reported(A).number) == (Load(), 0)


def test_a_restarted_node_reports_from_1_again(log: Reports) -> None:
    log.report(A, join(1))
    again = Owner("a", 10)
    log(up(again, A.incarnation))
    assert [type(change) for change in log.machine.take_changes()] == [SessionJoined, SessionLeft, NodeGone, NodeUp]
    assert log(Report(again, 1, (join(2),))) is Outcome.OK
    assert log.ids() == [2]


def test_an_id_that_is_in_use_is_refused_and_the_one_who_has_it_keeps_it(log: Reports) -> None:
    log.report(A, join(1))
    log.report(B, join(1, "realm2"), Bequeath(1, DESTROYED, will("t")), End(1))
    assert log.machine.take_changes() == [SessionJoined(log.member(1)), SessionRefused(B, 1)]
    assert log.member(1).owner == A
    assert not log.machine.tables.roll.testaments(1).all()


def test_nobody_states_facts_about_sessions_of_another_node(log: Reports) -> None:
    log.report(A, join(1), Bequeath(1, DESTROYED, will("t")))
    log.report(B, End(1), Detach(1), Flush(1, DESTROYED), Bequeath(1, DESTROYED, will("u")))
    assert log.ids() == [1]
    assert log.machine.tables.roll.testaments(1).all() == (will("t"),)


# ---- testaments


def test_testaments_are_kept_by_scope_in_order_and_flushed_by_scope(log: Reports) -> None:
    log.report(A, join(1), *(Bequeath(1, scope, will(scope + end)) for scope in (DESTROYED, DETACHED) for end in "12"))
    roll = log.machine.tables.roll
    assert [each.topic for each in roll.testaments(1).all()] == ["detached1", "detached2", "destroyed1", "destroyed2"]
    assert roll.load("realm1").count == 4
    log.report(A, Flush(1, DETACHED))
    assert [each.topic for each in roll.testaments(1).all()] == ["destroyed1", "destroyed2"]
    log.report(A, Flush(1, DESTROYED))
    assert roll.load("realm1") == Load()
    log.machine.take_changes()
    log.report(A, End(1))
    (left,) = log.machine.take_changes()
    assert isinstance(left, SessionLeft)
    assert left.testaments == ()


def test_the_detachment_publishes_its_testaments_and_the_end_only_the_rest(log: Reports) -> None:
    log.report(A, join(1), Bequeath(1, DETACHED, will("one")), Bequeath(1, DESTROYED, will("two")))
    member = log.member(1)
    log.machine.take_changes()
    log.report(A, Detach(1))
    log.report(A, Detach(1), End(1))
    assert log.machine.take_changes() == [
        Due(member, (will("one"),), 2),
        SessionLeft(member, (will("two"),), 3),
    ]


def test_an_unknown_scope_changes_nothing(log: Reports) -> None:
    log.report(A, join(1), Bequeath(1, "other", will("t")), Flush(1, "other"))
    assert not log.machine.tables.roll.testaments(1).all()


# ---- kill and modify


@pytest.mark.parametrize(
    ("of", "value", "met"),
    [
        (SESSION, 2, (2,)),
        (SESSION, 4, ()),  # of another realm
        (SESSION, 99, ()),
        (SESSION, "2", ()),
        (AUTHID, "joe", (2, 3)),
        (AUTHID, "nobody", ()),
        (AUTHROLE, "admin", (3,)),
        (AUTHROLE, "user", (2,)),  # but for the caller
        (EVERYBODY, "", (2, 3)),
        ("colour", "", ()),
    ],
)
def test_kill_ends_the_sessions_that_it_means_and_spares_the_caller(
    log: Reports, of: str, value: int | str, met: tuple[int, ...]
) -> None:
    log.report(A, join(1), join(2, authid="joe"), join(4, "realm2", authid="joe"))
    log.report(B, join(3, authid="joe", role="admin"))
    members = {session: log.member(session) for session in (1, 2, 3)}
    log.machine.take_changes()
    order = kill(of, value, spared=1)
    log.report(B, order)
    assert log.machine.take_changes() == [
        *(SessionLeft(members[session], (), 0, order) for session in met),
        SessionsMet(B, 2, 0, met, order),
    ]
    assert log.ids() == [session for session in (1, 2, 3) if session not in met]


def test_a_killed_session_s_id_stays_in_use_until_its_home_has_said_that_it_is_over(log: Reports) -> None:
    log.report(A, join(1))
    log.report(B, kill(SESSION, 1))
    log.machine.take_changes()
    log.report(B, join(1))
    assert log.machine.take_changes() == [SessionRefused(B, 1)]
    log.report(A, End(1))
    assert log.machine.take_changes() == []
    log.report(B, join(1))
    assert [type(change) for change in log.machine.take_changes()] == [SessionJoined]


def test_details_are_added_changed_and_removed(log: Reports) -> None:
    log.report(A, join(1), join(2))
    log.report(B, Modify("realm1", 1, {"x": 1, "y": [2]}))
    log.report(A, Modify("realm1", 1, {"x": None, "y": 3, "authid": "forged"}), Modify("realm1", 9, {"x": 1}))
    assert log.member(1).more == {"y": 3, "authid": "forged"}
    assert log.member(1).details()["authid"] == "id1"
    assert log.ids() == [1, 2]
    assert [change for change in log.machine.take_changes() if isinstance(change, SessionsMet)] == [
        SessionsMet(B, 1, 0, (1,)),
        SessionsMet(A, 2, 0, (1,)),
        SessionsMet(A, 2, 1, ()),
    ]


# ---- snapshots, bytes, size


def test_a_snapshot_tells_what_it_skipped_and_keeps_what_was_not_told(log: Reports) -> None:
    behind = Machine(log.counters)
    log.report(A, join(1), join(2), Bequeath(2, DESTROYED, will("t")), join(3), End(3))
    behind.restore(log.machine.snapshot())
    two = log.member(2)
    assert behind.take_changes() == [SessionJoined(log.member(1)), SessionJoined(two)]
    behind.execute(3, Report(A, 2, (join(7),)))  # applied, and not told before the snapshot came
    seven = behind.tables.roll.get("realm1", 7)
    assert seven is not None
    log.report(A, join(7), End(2), join(8))
    behind.restore(log.machine.snapshot())
    assert behind.take_changes() == [SessionJoined(seven), SessionLeft(two, (will("t"),)), SessionJoined(log.member(8))]
    assert behind.digest() == log.machine.digest()


def test_all_of_it_survives_a_snapshot(log: Reports) -> None:
    log.report(A, join(1), join(2, "realm2"), Bequeath(1, DETACHED, will("t")), Bequeath(1, DESTROYED, will("u")))
    log.report(B, join(3), join(4), Modify("realm1", 1, {"x": [1]}))
    log.report(A, kill(SESSION, 3))
    restored = Machine(log.counters)
    restored.restore(log.machine.snapshot())
    assert restored.digest() == log.machine.digest()
    mine, theirs = restored.tables.roll, log.machine.tables.roll
    assert list(mine) == list(theirs)
    assert [mine.testaments(each) for each in range(5)] == [theirs.testaments(each) for each in range(5)]
    assert mine.load("realm1") == theirs.load("realm1") == Load(2, 2 * will("t").weight)
    assert (mine.reported(A), mine.reported(B)) == (theirs.reported(A), theirs.reported(B))
    assert mine.has(3)
    for owner in (A, B):
        assert list(mine.owned(owner).items()) == list(theirs.owned(owner).items())


def test_every_fact_survives_its_bytes() -> None:
    facts = (
        join(1),
        End(1),
        Detach(1),
        Bequeath(1, DETACHED, will("t")),
        Flush(1, DESTROYED),
        kill(SESSION, 2**53),
        Kill("realm1", AUTHID, "joe", 1, "a.b", "bye"),
        Modify("realm1", 1, {"x": None, "y": [1, {"z": b"\0"}]}),
    )
    report = Report(A, 1, facts)
    assert decode(encode(report)) == report


def test_the_death_of_a_node_with_ten_thousand_sessions_is_no_long_turn(log: Reports) -> None:
    """No assertion on the clock of a machine that is shared: the work is linear, and its share is printed."""
    for start in range(1, 10_000, 500):
        log.report(A, *(join(session) for session in range(start, start + 500)))
    log.machine.take_changes()
    began = time.process_time()
    log(Leave(A))
    print(f"{(time.process_time() - began) * 1000:.1f} ms")
    assert len(log.machine.take_changes()) == 10_001
    assert not log.ids()


# ---- sessions that move, and sessions of dead nodes that are resumed


def come(session: int, realm: str = "realm1") -> Come:
    return Come(session, realm, f"id{session}", "user", "anonymous", "static", Transport("websocket"))


def revive(session: int, digest: bytes, realm: str = "realm1") -> Revive:
    return Revive(session, realm, f"id{session}", "user", "anonymous", "static", Transport(), digest)


def test_a_session_that_moves_is_the_same_at_another_node_and_nobody_is_told(log: Reports) -> None:
    log.report(A, join(1), join(2), Bequeath(1, DESTROYED, will("t")), Modify("realm1", 1, {"more": 1}))
    log.machine.take_changes()
    log.report(B, come(1))
    assert log.machine.take_changes() == []
    member = log.member(1)
    assert (member.owner, member.transport.type, member.more) == (B, "websocket", {"more": 1})
    assert log.ids() == [2, 1]
    assert [len(log.machine.tables.roll.owned(owner)) for owner in (A, B)] == [1, 1]
    log.report(A, End(1))  # its former home has nothing to say any more
    assert log.ids() == [2, 1]
    log(Leave(A))
    assert log.ids() == [1]
    log.machine.take_changes()
    log(Leave(B))
    left = log.machine.take_changes()[0]
    assert isinstance(left, SessionLeft)
    assert [each.topic for each in left.testaments] == ["t"]


def test_one_whose_former_node_died_meanwhile_joins(log: Reports) -> None:
    log.report(A, join(1))
    log(Leave(A))
    log.machine.take_changes()
    log.report(B, come(1))
    assert log.machine.take_changes() == [SessionJoined(log.member(1))]


def test_one_that_was_killed_meanwhile_is_refused_and_its_id_is_free_then(log: Reports) -> None:
    log.report(A, join(1))
    log.report(B, kill(SESSION, 1))
    log.machine.take_changes()
    log.report(B, come(1))
    assert log.machine.take_changes() == [SessionRefused(B, 1)]
    assert not log.ids()
    assert not log.machine.tables.roll.has(1)


def test_a_session_of_a_dead_node_is_revived_once_by_its_digest(log: Reports) -> None:
    log.report(A, join(1), join(2), Lock(1, b"one"), Lock(1, b"other"), Lock(3, b"nobody's"))
    log.report(B, Lock(1, b"not its home"))
    log(Leave(A))
    locks = log.machine.tables.roll.locks
    assert [(lost.id, lost.owner, lost.authid, lost.digest) for lost in locks] == [(1, A, "id1", b"other")]
    assert locks.lost("realm2", 1) is None
    log.machine.take_changes()
    for wrong in (revive(1, b"one"), revive(1, b"other", "realm2"), revive(2, b"other")):
        log.report(B, wrong)
        assert log.machine.take_changes() == [SessionsMet(B, log.numbers[B], 0, ())]
    log.report(B, revive(1, b"other"), revive(1, b"other"))
    joined, first, second = log.machine.take_changes()
    assert joined == SessionJoined(log.member(1))
    assert (first, second) == (
        SessionsMet(B, log.numbers[B], 0, (1,)),
        SessionsMet(B, log.numbers[B], 1, ()),
    )
    assert list(locks) == []
    assert dict(locks.standing()) == {}


def test_a_session_that_ended_or_was_killed_is_not_revived(log: Reports) -> None:
    log.report(A, join(1), Lock(1, b"one"), End(1), join(2), Lock(2, b"two"))
    log.report(B, kill(SESSION, 2))
    log(Leave(A))
    assert list(log.machine.tables.roll.locks) == []


def test_only_so_many_sessions_of_dead_nodes_are_remembered(log: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wampha.state.locks.LOST_MAX", 2)
    log.report(A, *(fact for each in (1, 2, 3) for fact in (join(each), Lock(each, b"x"))))
    log(Leave(A))
    assert [lost.id for lost in log.machine.tables.roll.locks] == [2, 3]


def test_a_snapshot_has_moved_locked_and_lost_sessions(log: Reports) -> None:
    log.report(A, join(1), Lock(1, b"one"), join(2), Lock(2, b"two"), join(3))
    log.report(B, come(1), Lock(1, b"new"), join(4), Lock(4, b"four"))
    log(Leave(A))
    copy = Machine(log.counters)
    copy.restore(log.machine.snapshot())
    assert copy.digest() == log.machine.digest()
    locks = copy.tables.roll.locks
    assert dict(locks.standing()) == {1: b"new", 4: b"four"}
    assert [lost.id for lost in locks] == [2]
    assert list(copy.tables.roll.owned(B)) == list(log.machine.tables.roll.owned(B)) == [1, 4]
