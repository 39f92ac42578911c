"""The engine alone: what it needs of pysyncobj, and each repair, with a run that goes wrong without it."""

from __future__ import annotations

import random
from typing import Any

import pysyncobj.syncobj
import pytest

from tests.unit.ledger.harness import Bench
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.ledger import engine as engine_module
from wampha.ledger.constants import Timing
from wampha.ledger.engine import COMMAND, NO_OP, REPAIRS, SUCCESS, UNKNOWN_OUTCOME, Engine, Options, check_library
from wampha.ledger.frames import Answer, Append, Forwarded, Piece, Placed, RequestVote, Vote


@pytest.fixture(params=[True, False], ids=["with", "without"])
def repaired(request: pytest.FixtureRequest) -> bool:
    """Each of these tests says what happens with the repair, and shows that it does not happen without."""
    return bool(request.param)


class TestLibrary:
    def test_the_supported_version_is_installed(self) -> None:
        check_library()

    def test_another_version_is_refused_at_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "VERSION", "0.3.18")
        with pytest.raises(StartError, match=r"pysyncobj 0\.3\.18 is installed; the ledger needs exactly 0\.3\.17"):
            check_library()

    def test_a_missing_private_name_is_refused_at_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(pysyncobj.syncobj.SyncObj, "_SyncObj__sendAppendEntries")
        with pytest.raises(StartError, match="missing: __sendAppendEntries"):
            check_library()

    def test_no_method_can_be_called_through_the_log(self) -> None:
        assert Bench().engine._lib._idToMethod == {}

    def test_d17_nothing_of_ours_travels_in_a_snapshot(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), commit=3)
        library = bench.engine._lib
        library.forceLogCompaction()
        bench.engine.tick()
        (own, table), *_ = library._SyncObj__serializer.deserialize()
        assert own == {"_SyncObj__enabledCodeVersion": 0}
        assert table == b"table"

    def test_each_engine_gives_the_library_its_own_clock(self) -> None:
        one, two = Bench(), Bench()
        two.time = 5000.0
        one.engine.tick()
        assert pysyncobj.syncobj.monotonicTime() < 200
        two.engine.tick()
        assert pysyncobj.syncobj.monotonicTime() > 4000


class TestKnownEntries:
    """D1, D2: the library cuts its log at each append_entries, and adds again what came with it."""

    def test_a_repeated_shorter_message_cuts_nothing_off(self, repaired: bool) -> None:
        bench = Bench(repairs=REPAIRS if repaired else REPAIRS - {"known"})
        bench.append(1, (1, 0), (2, 1), (3, 1), (4, 1), commit=1)
        bench.append(1, (1, 0), (2, 1))
        assert (bench.log()[-1] == (4, 1)) is repaired

    def test_it_vouches_only_for_what_it_verified(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), (4, 1))
        bench.taken(Answer)
        bench.append(1, (1, 0), (2, 1))
        assert bench.taken(Answer) == [Answer(1, 3, False, True)]

    def test_it_commits_only_what_it_verified(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1))
        bench.append(2, (1, 0), (2, 1), commit=3)  # a newer leader; it may have another third entry
        assert bench.engine.committed == 2

    def test_a_real_conflict_is_cut_off(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), (4, 1))
        bench.append(2, (2, 1), (3, 2))
        assert bench.log() == [(1, 0), (2, 1), (3, 2)]

    @pytest.mark.logs_errors
    def test_a_leader_that_contradicts_a_committed_entry_is_not_followed(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), commit=3)
        bench.append(2, (1, 0), (2, 2))
        assert bench.log()[-2:] == [(2, 1), (3, 1)]
        assert bench.counters["log_conflicts"] == 1

    def test_entries_from_before_the_own_snapshot_are_refused_without_alarm(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 41)], commit=40)
        bench.engine._lib.forceLogCompaction()
        bench.engine.tick()
        bench.taken(Answer)
        bench.append(1, (9, 1), (10, 1), (11, 1), commit=40)
        assert bench.taken(Answer) == [Answer(1, 41, True, False)]
        assert bench.counters["log_conflicts"] == 0
        assert bench.log() == [(39, 1), (40, 1)]

    def test_d19_a_previous_entry_of_another_term_is_refused_with_all_of_that_term(self, repaired: bool) -> None:
        bench = Bench(repairs=REPAIRS if repaired else REPAIRS - {"steps"})
        bench.append(1, (1, 0), (2, 1), (3, 2), (4, 2), (5, 2))
        bench.taken(Answer)
        bench.append(3, (5, 3), (6, 3))
        assert bench.taken(Answer) == [Answer(3, 3 if repaired else 5, True, False)]
        assert bench.log()[-1] == (5, 2)

    def test_but_never_with_what_is_committed(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), (4, 1), (5, 1), commit=3)
        bench.taken(Answer)
        bench.append(3, (5, 3), (6, 3))
        assert bench.taken(Answer) == [Answer(3, 4, True, False)]

    def test_entries_that_do_not_follow_one_another_are_refused(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (5, 1))
        assert bench.log() == [(1, 0)]
        assert bench.counters["control_frames_refused"] == 1


class TestAnswers:
    def a_leader(self, repairs: frozenset[str] = REPAIRS) -> Bench:
        bench = Bench(repairs=repairs)
        bench.elect()
        for number in range(6):
            bench.engine.propose(b"%d" % number, lambda result, code: None)
        bench.engine.tick()
        bench.taken(Append)
        return bench

    def next_index(self, bench: Bench, peer: str = "b") -> int:
        return int(bench.engine._lib._SyncObj__raftNextIndex[engine_module.Peer(peer)])

    def match_index(self, bench: Bench, peer: str = "b") -> int:
        return int(bench.engine._lib._SyncObj__raftMatchIndex[engine_module.Peer(peer)])

    def test_d1_a_positive_answer_makes_nothing_be_sent_twice(self, repaired: bool) -> None:
        bench = self.a_leader(REPAIRS if repaired else REPAIRS - {"next"})
        bench.engine.received("b", Answer(1, 4, False, True), False)
        assert self.next_index(bench) == (9 if repaired else 4)
        assert self.match_index(bench) == 3

    def test_a_negative_answer_makes_it_be_sent_again(self) -> None:
        bench = self.a_leader()
        bench.engine.received("b", Answer(1, 4, True, False), False)
        assert self.next_index(bench) == 4

    def test_and_that_in_the_same_tick(self, repaired: bool) -> None:
        bench = self.a_leader(REPAIRS if repaired else REPAIRS - {"steps"})
        bench.engine.received("b", Answer(1, 4, True, False), False)
        bench.engine.tick()
        assert bool([append for append in bench.taken(Append) if append.previous_index == 3]) is repaired

    def test_but_not_what_was_acknowledged(self) -> None:
        bench = self.a_leader()
        bench.engine.received("b", Answer(1, 6, False, True), False)
        bench.engine.received("b", Answer(1, 3, True, False), False)
        assert self.next_index(bench) == 6

    def test_an_answer_beyond_the_log_counts_up_to_its_end(self) -> None:
        bench = self.a_leader()
        bench.engine.received("b", Answer(1, 99, True, False), False)
        assert self.next_index(bench) == 9

    def test_d3_an_answer_from_another_term_does_not_count(self, repaired: bool) -> None:
        bench = self.a_leader(REPAIRS if repaired else REPAIRS - {"answer-term"})
        bench.engine.received("b", Answer(0, 9, False, True), False)
        bench.engine.tick()
        assert (bench.engine.committed == 1) is repaired

    def test_rule_41_answers_of_a_voter_without_memory_commit_nothing(self, repaired: bool) -> None:
        bench = self.a_leader(REPAIRS if repaired else REPAIRS - {"recovering"})
        bench.engine.received("b", Answer(1, 9, False, True), True)
        bench.engine.tick()
        assert (bench.engine.committed == 1) is repaired
        assert self.next_index(bench) == 9  # it gets the log all the same

    def test_rule_40_a_new_life_has_acknowledged_nothing(self) -> None:
        bench = self.a_leader()
        bench.engine.received("b", Answer(1, 6, False, True), False)
        bench.engine.forget("b")
        assert self.match_index(bench) == 0

    def test_answers_of_unknown_observers_are_dropped(self) -> None:
        bench = self.a_leader()
        bench.engine.received("w", Answer(1, 9, False, True), False)
        bench.engine.peer_up("w")
        bench.engine.received("w", Answer(1, 9, False, True), False)
        bench.engine.peer_down("w")
        bench.engine.received("w", Answer(1, 9, False, True), False)
        bench.engine.tick()
        assert bench.engine.committed == 1


class TestSnapshots:
    def a_snapshot(self, up_to: int) -> bytes:
        source = Bench()
        source.append(1, (1, 0), *[(index, 1) for index in range(2, up_to + 1)], commit=up_to)
        source.engine._lib.forceLogCompaction()
        source.engine.tick()
        data: bytes = source.engine._lib._SyncObj__serializer._Serializer__inMemorySerializedData
        return data

    def test_d20_a_piece_commits_nothing_of_the_own_tail(self, repaired: bool) -> None:
        bench = Bench(repairs=REPAIRS if repaired else REPAIRS - {"tail"})
        bench.append(1, (1, 0), (2, 1), (3, 1))  # never committed by anybody
        bench.engine.received("b", Piece(2, 40, (b"begin", True, False)), False)
        bench.engine.tick()
        assert (bench.applied == []) is repaired

    def test_an_installed_one_replaces_table_and_log(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1))
        bench.taken(Answer)
        data = self.a_snapshot(30)
        bench.engine.received("b", Piece(2, 30, (data, True, False)), False)
        bench.engine.received("b", Piece(2, 30, (b"", False, True)), False)
        assert bench.restored == [b"table"]
        assert bench.log() == [(29, 1), (30, 1)]
        assert (bench.engine.applied, bench.engine.committed) == (30, 30)
        assert bench.taken(Answer) == [Answer(2, 31, False, True)]

    def test_what_was_acknowledged_behind_it_stays(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 36)], commit=5)
        bench.engine.received("b", Piece(1, 30, (self.a_snapshot(30), True, False)), False)
        bench.engine.received("b", Piece(1, 30, (b"", False, True)), False)
        assert bench.log() == [(index, 1) for index in range(29, 36)]
        assert (bench.engine.applied, bench.engine.committed) == (30, 30)

    def test_a_log_that_contradicts_it_goes(self) -> None:
        bench = Bench()
        bench.append(2, (1, 0), *[(index, 2) for index in range(2, 36)])
        bench.engine.received("b", Piece(3, 30, (self.a_snapshot(30), True, False)), False)
        bench.engine.received("b", Piece(3, 30, (b"", False, True)), False)
        assert bench.log() == [(29, 1), (30, 1)]

    def test_an_older_one_than_what_is_applied_is_not_installed(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 41)], commit=40)
        bench.taken(Answer)
        bench.engine.received("b", Piece(1, 40, (self.a_snapshot(30), True, False)), False)
        bench.engine.received("b", Piece(1, 40, (b"", False, True)), False)
        assert (bench.restored, bench.engine.applied) == ([], 40)
        assert bench.taken(Answer) == [Answer(1, 41, True, True)]

    @pytest.mark.logs_errors
    def test_d18_a_broken_one_is_answered_by_what_is_true(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), (4, 1), commit=2)
        bench.taken(Answer)
        bench.engine.received("b", Piece(1, 40, (b"garbage", True, False)), False)
        bench.engine.received("b", Piece(1, 40, (b"", False, True)), False)
        assert bench.taken(Answer) == [Answer(1, 3, True, True)]
        assert bench.counters["snapshots_refused"] == 1

    def test_d18_pieces_from_before_a_reconnect_are_forgotten(self) -> None:
        bench = Bench()
        bench.engine.received("b", Piece(1, 40, (b"begin", True, False)), False)
        bench.engine.peer_down("b")
        bench.engine.peer_up("b")
        bench.engine.received("b", Piece(1, 40, (b"", False, True)), False)
        assert bench.counters["snapshots_refused"] == 0

    def test_d7_proposals_that_it_jumped_over_are_settled_as_unknown(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1))
        settled: list[int] = []
        bench.engine.propose(b"x", lambda result, code: settled.append(code))
        bench.engine.tick()
        [forwarded] = bench.taken(Forwarded)
        bench.engine.received("b", Placed(forwarded.request, None, 20, 1), False)
        bench.engine.received("b", Piece(2, 30, (self.a_snapshot(30), True, False)), False)
        bench.engine.received("b", Piece(2, 30, (b"", False, True)), False)
        assert settled == [UNKNOWN_OUTCOME]

    def test_d16_while_one_is_made_the_leader_does_not_spin(self, repaired: bool) -> None:
        bench = Bench(repairs=REPAIRS if repaired else REPAIRS - {"compaction"}, log_entries_max=10, creep=1e-4)
        bench.elect()
        for _ in range(2):  # twice as many entries as the log may hold, and both times c has them all
            for number in range(20):
                bench.engine.propose(b"%d" % number, lambda result, code: None)
            bench.engine.tick()
            bench.engine.received("c", Answer(1, bench.engine.log_end[1] + 1, False, True), False)
            bench.engine.received("b", Answer(1, 2, True, False), False)  # b has nothing
            bench.taken(Piece)
            bench.engine.tick()  # commits, applies, makes a snapshot, and sends
            pieces = bench.taken(Piece)
            bench.engine.tick()
        empty = sum(piece.piece is None for piece in pieces)
        assert (empty == 0) if repaired else (empty > 100)


class TestFailures:
    @pytest.mark.logs_errors
    def test_d6_a_command_whose_application_fails_is_passed_over(self) -> None:
        seen: list[int] = []

        def apply(index: int, command: bytes) -> None:
            seen.append(index)
            raise RuntimeError("a bug in the table")

        bench = Bench(apply=apply)
        bench.append(1, (1, 0), (2, 1), (3, 1), commit=3)
        assert (seen, bench.engine.applied) == ([2, 3], 3)
        assert bench.counters["apply_failures"] == 2

    def test_d9_d10_entries_that_would_change_the_library_are_neither_taken_nor_applied(self) -> None:
        bench = Bench()
        bench.elect()
        for kind in (b"\x01", b"\x02", b"\x03", b""):
            bench.engine.received("b", Forwarded(kind + b"x", 1), False)
        bench.engine.tick()
        assert bench.counters["control_frames_refused"] == 4
        assert [command for command, _, _ in bench.engine.entries()] == [NO_OP, NO_OP]
        follower = Bench()
        follower.engine.received("b", Append(1, 4, 1, 0, tuple((bytes([kind]), kind, 1) for kind in (2, 3, 4))), False)
        follower.engine.tick()
        assert (follower.applied, follower.engine.applied) == ([], 4)

    def test_d7_losing_the_leader_settles_what_was_forwarded_to_it(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0))
        settled: list[int] = []
        bench.engine.propose(b"x", lambda result, code: settled.append(code))
        bench.engine.tick()
        bench.engine.peer_down("b")
        assert len(settled) == 1
        assert settled[0] != SUCCESS
        assert bench.engine.leader is None

    @pytest.mark.logs_errors
    def test_a_second_leader_of_the_same_term_is_not_believed(self) -> None:
        bench = Bench()
        bench.elect()
        bench.append(1, (1, 0))
        assert bench.engine.is_leader
        assert bench.counters["log_conflicts"] == 1


class TestVotes:
    def test_rule_40_a_voter_without_memory_neither_votes_nor_is_elected(self, repaired: bool) -> None:
        bench = Bench(recovering=True, repairs=REPAIRS if repaired else REPAIRS - {"recovering"})
        bench.engine.received("b", RequestVote(5, 9, 4), False)
        assert (bench.taken(Vote) == []) is repaired
        bench.time += 10
        bench.engine.campaign(9)
        assert (bench.taken(RequestVote) == []) is repaired

    def test_rule_45_a_late_vote_is_not_used(self) -> None:
        bench = Bench()
        bench.engine.campaign(0)
        bench.time += Timing.of().election_max_s + 0.01
        bench.engine.received("b", Vote(1), False)
        assert not bench.engine.is_leader

    def test_observers_have_no_vote(self) -> None:
        bench = Bench()
        bench.engine.peer_up("w")
        bench.engine.campaign(0)
        bench.engine.received("w", Vote(1), False)
        assert not bench.engine.is_leader

    def test_candidacies_begin_only_by_campaign(self, repaired: bool) -> None:
        bench = Bench(repairs=REPAIRS if repaired else REPAIRS - {"elections"})
        bench.time += 10
        bench.engine.tick()
        assert (bench.taken(RequestVote) == []) is repaired
        assert bench.engine.election_due() is repaired


def test_what_is_proposed_leaves_in_the_same_tick() -> None:
    bench = Bench()
    bench.elect()
    bench.taken(Append)
    bench.engine.propose(b"x", lambda result, code: None)
    bench.engine.tick()
    assert [append.entries[0][0] for append in bench.taken(Append)] == [COMMAND + b"x"] * 2


def test_a_commit_is_told_in_the_same_tick() -> None:
    bench = Bench()
    bench.elect()
    settled: list[tuple[Any, int]] = []
    bench.engine.propose(b"x", lambda result, code: settled.append((result, code)))
    bench.engine.tick()
    bench.taken(Append)
    bench.engine.received("b", Answer(1, 4, False, True), False)
    bench.engine.tick()
    assert settled == [("applied", SUCCESS)]
    assert {append.commit for append in bench.taken(Append)} == {3}


def test_a_node_alone_commits_at_once() -> None:
    settled: list[int] = []
    engine = Engine(
        name="a",
        voters=("a",),
        timing=Timing.of(),
        now=lambda: 100.0,
        chance=random.Random(1),
        send=lambda peer, body: True,
        apply=lambda index, command: None,
        snapshot=lambda: b"",
        restore=lambda table: None,
        counters=Counters(),
        recovering=False,
        options=Options(),
    )
    engine.campaign(0)
    engine.propose(b"x", lambda result, code: settled.append(code))
    engine.tick()
    assert settled == [SUCCESS]
