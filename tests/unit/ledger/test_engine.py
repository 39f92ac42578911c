"""The engine alone: what it needs of pysyncobj, and each repair, with a run that goes wrong without it."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pysyncobj.syncobj
import pytest

from tests.unit.ledger.harness import Bench, Pieces
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.ledger import engine as engine_module
from wampha.ledger import library as library_module
from wampha.ledger import replica as replica_module
from wampha.ledger import transfer
from wampha.ledger.constants import Timing
from wampha.ledger.engine import COMMAND, NO_OP, SUCCESS, Engine
from wampha.ledger.frames import Answer, Append, Forwarded, Piece, Placed, RequestVote, Taken, Vote
from wampha.ledger.library import check_library
from wampha.ledger.options import REPAIRS, Options
from wampha.ledger.snapshots import LOG_TIMES_MAX, UNKNOWN_OUTCOME


@pytest.fixture(params=[True, False], ids=["with", "without"])
def repaired(request: pytest.FixtureRequest) -> bool:
    """Each of these tests says what happens with the repair, and shows that it does not happen without."""
    return bool(request.param)


class TestLibrary:
    def test_the_supported_version_is_installed(self) -> None:
        check_library()

    def test_another_version_is_refused_at_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(library_module, "VERSION", "0.3.18")
        with pytest.raises(StartError, match=r"pysyncobj 0\.3\.18 is installed; the ledger needs exactly 0\.3\.17"):
            check_library()

    def test_a_missing_private_name_is_refused_at_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(pysyncobj.syncobj.SyncObj, "_SyncObj__sendAppendEntries")
        with pytest.raises(StartError, match="missing: __sendAppendEntries"):
            check_library()

    def test_every_private_name_that_is_used_is_checked_at_start_and_in_two_files_only(self) -> None:
        package = Path(engine_module.__file__).parents[1]
        users = {path for path in package.rglob("*.py") if re.search(r"_SyncObj__|_Serializer__", path.read_text())}
        assert users == {Path(replica_module.__file__), Path(library_module.__file__)}
        source = "".join(path.read_text() for path in users)
        used = set(re.findall(r"_SyncObj(__\w+)", source)) | set(re.findall(r"super\(\)\.(_[a-z]\w+)\(", source))
        used |= set(re.findall(r"_lib\.(_[a-z]\w+)\(", source))
        checked = {*library_module.METHODS, *library_module.FIELDS}
        assert used - checked == set()
        assert checked - used == set()
        assert set(re.findall(r"_Serializer__\w+", source)) == set(library_module.SERIALIZER_FIELDS)

    def test_no_method_can_be_called_through_the_log(self) -> None:
        assert Bench().engine._lib._idToMethod == {}

    def test_d17_the_library_makes_no_snapshots_in_which_its_attributes_would_travel(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[object] = []
        monkeypatch.setattr(pysyncobj.serializer.Serializer, "serialize", lambda *arguments: made.append(arguments))
        bench = Bench(log_entries_max=4)
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 41)], commit=40)
        bench.engine._lib.forceLogCompaction()
        bench.engine.tick()
        assert bench.log()[0] == (38, 1)
        assert made == []

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
        bench = Bench(log_entries_max=2)
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 41)], commit=40)
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


class TestReceivedSnapshots:
    def test_d20_a_piece_commits_nothing_of_the_own_tail(self, repaired: bool) -> None:
        bench = Bench(repairs=REPAIRS if repaired else REPAIRS - {"tail"})
        bench.append(1, (1, 0), (2, 1), (3, 1))  # never committed by anybody
        bench.engine.received("b", Piece(2, 40, 30, 0, b"begin", None), False)
        bench.engine.tick()
        assert (bench.applied == []) is repaired

    def test_an_installed_one_replaces_table_and_log(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1))
        bench.taken(Answer)
        bench.snapshot(2, 30, b"a ", b"table")
        assert [(taken.snapshot, taken.pieces) for _, taken in bench.sent if isinstance(taken, Taken)] == [
            (30, 1),
            (30, 2),
        ]
        assert bench.taken(Answer) == [Answer(2, 31, False, True)]
        assert bench.restored == [b"a table"]
        assert bench.log() == [(29, 1), (30, 1)]
        assert (bench.engine.applied, bench.engine.committed, bench.engine.installed) == (30, 30, 1)

    def test_until_its_last_piece_nothing_changes_and_entries_are_taken(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1), (3, 1), commit=2)
        bench.engine.received("b", Piece(1, 40, 30, 0, b"begin", None), False)
        assert (bench.engine.applied, bench.restored, bench.engine.installed) == (2, [], 0)
        bench.append(2, (3, 1), (4, 2), commit=4)  # of a new leader
        assert bench.engine.applied == 4
        bench.snapshot(2, 30, b"table")
        assert bench.restored == [b"table"]

    def test_what_was_acknowledged_behind_it_stays(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 36)], commit=5)
        bench.snapshot(1, 30, b"table")
        assert bench.log() == [(index, 1) for index in range(29, 36)]
        assert (bench.engine.applied, bench.engine.committed) == (30, 30)

    def test_a_log_that_contradicts_it_goes(self) -> None:
        bench = Bench()
        bench.append(2, (1, 0), *[(index, 2) for index in range(2, 36)])
        bench.snapshot(3, 30, b"table")
        assert bench.log() == [(29, 1), (30, 1)]

    def test_an_older_one_than_what_is_applied_is_not_installed(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), *[(index, 1) for index in range(2, 41)], commit=40)
        bench.taken(Answer)
        bench.snapshot(1, 30, b"table")
        assert (bench.restored, bench.engine.applied) == ([], 40)
        assert set(bench.taken(Answer)) == {Answer(1, 41, True, True)}

    @pytest.mark.logs_errors
    def test_d18_a_broken_one_is_answered_by_what_is_true(self) -> None:
        for pieces in ((b"garbage",), ()):
            bench = Bench()
            bench.append(1, (1, 0), (2, 1), (3, 1), (4, 1), commit=2)
            bench.taken(Answer)
            bench.snapshot(1, 30, *pieces)
            if not pieces:
                bench.engine.received(
                    "b", Piece(1, 40, 31, 0, b"", ((COMMAND, 3, 1), (COMMAND, 31, 1))), False
                )  # no such ends
            assert bench.taken(Answer)[-1] == Answer(1, bench.engine.applied + 1, True, True)
            assert bench.counters["snapshots_refused"] == 1

    def test_a_piece_is_taken_once_and_in_its_turn(self) -> None:
        bench = Bench()
        begin, end = (Piece(1, 40, 30, number, data, None) for number, data in enumerate((b"a ", b"table")))
        for piece in (end, begin, begin, end, begin):
            bench.engine.received("b", piece, False)
        assert [taken.pieces for taken in bench.taken(Taken)] == [0, 1, 1, 2, 2]
        bench.engine.received("b", Piece(1, 40, 30, 2, b"", ((COMMAND, 29, 1), (COMMAND, 30, 1))), False)
        assert bench.restored == [b"a table"]

    def test_another_snapshot_begins_anew(self) -> None:
        bench = Bench()
        bench.engine.received("b", Piece(1, 40, 30, 0, b"of 30", None), False)
        bench.engine.received("b", Piece(1, 40, 35, 1, b"in its middle", None), False)
        assert [taken.pieces for taken in bench.taken(Taken)] == [1, 0]
        bench.engine.received("b", Piece(1, 40, 35, 0, b"of 35", None), False)
        bench.snapshot(2, 35, b"of a new leader")
        assert bench.restored == [b"of a new leader"]

    def test_d18_pieces_from_before_a_reconnect_are_forgotten(self) -> None:
        bench = Bench()
        bench.engine.received("b", Piece(1, 40, 30, 0, b"begin", None), False)
        bench.engine.peer_down("b")
        bench.engine.peer_up("b")
        bench.engine.received("b", Piece(1, 40, 30, 1, b"", ((COMMAND, 29, 1), (COMMAND, 30, 1))), False)
        assert bench.taken(Taken)[-1] == Taken(1, 30, 0)
        assert (bench.restored, bench.counters["snapshots_refused"]) == ([], 0)

    def test_d7_proposals_that_it_jumped_over_are_settled_as_unknown(self) -> None:
        bench = Bench()
        bench.append(1, (1, 0), (2, 1))
        settled: list[int] = []
        bench.engine.propose(b"x", lambda result, code: settled.append(code))
        bench.engine.tick()
        [forwarded] = bench.taken(Forwarded)
        bench.engine.received("b", Placed(forwarded.request, None, 20, 1), False)
        bench.snapshot(2, 30, b"table")
        assert settled == [UNKNOWN_OUTCOME]


class TestSentSnapshots:
    def a_leader(self, repairs: frozenset[str] = REPAIRS, **options: Any) -> Bench:
        """Its log was cut; c has everything, b asks for the beginning."""
        bench = Bench(repairs=repairs, log_entries_max=10, **options)
        bench.elect()
        self.commit(bench, 20)
        bench.engine.received("b", Answer(1, 2, True, False), False)
        bench.taken(Piece)
        return bench

    def commit(self, bench: Bench, count: int) -> None:
        """c acknowledges so many more commands."""
        for number in range(count):
            bench.engine.propose(b"%d" % number, lambda result, code: None)
        bench.engine.tick()
        bench.engine.received("c", Answer(1, bench.engine.log_end[1] + 1, False, True), False)
        bench.engine.tick()
        bench.engine.tick()

    def pieces(self, bench: Bench, peer: str = "b") -> list[Piece]:
        sent = [body for to, body in bench.sent if to == peer and isinstance(body, Piece) and body.snapshot]
        bench.sent.clear()
        return sent

    def test_who_lacks_what_was_cut_gets_the_table_and_then_the_log(self) -> None:
        bench = self.a_leader()
        bench.engine.tick()
        pieces = self.pieces(bench)
        assert b"".join(piece.data for piece in pieces) == b"table"
        assert [piece.number for piece in pieces] == [0, 1, 2]
        ends = pieces[-1].ends
        assert ends is not None
        assert [entry[1] for entry in ends] == [bench.engine.applied - 1, bench.engine.applied]
        self.commit(bench, 3)
        assert self.pieces(bench) == []
        bench.engine.received("b", Answer(1, pieces[0].snapshot + 1, False, True), False)
        bench.engine.tick()
        [append, *_] = [body for to, body in bench.sent if to == "b" and isinstance(body, Append)]
        assert (append.previous_index, len(append.entries)) == (pieces[0].snapshot, 3)

    def test_d16_the_leader_does_not_spin(self, repaired: bool) -> None:
        bench = self.a_leader(REPAIRS if repaired else REPAIRS - {"compaction"}, creep=1e-4)
        bench.time += 0.2
        bench.engine.tick()
        empty = sum(not piece.snapshot for piece in bench.taken(Piece))
        assert (empty <= 2) if repaired else (empty > 100)

    def test_several_get_the_same_pieces_each_at_its_pace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transfer, "UNDER_WAY_MAX", 1)
        bench = self.a_leader()
        bench.engine.peer_up("w")
        bench.engine.received("w", Answer(1, 2, True, False), False)
        bench.engine.tick()
        index = self.pieces(bench)[0].snapshot
        bench.engine.received("b", Taken(1, index, 1), False)
        bench.engine.tick()
        assert [piece.data for piece in self.pieces(bench)] == [b"ble"]
        bench.engine.received("b", Taken(1, index, 2), False)
        bench.engine.received("w", Taken(1, index, 1), False)
        bench.engine.tick()
        sent = [(to, body.data) for to, body in bench.sent if isinstance(body, Piece) and body.snapshot]
        assert sent == [("b", b""), ("w", b"ble")]

    def test_who_does_not_answer_gets_them_again_and_who_lost_them_from_there(self) -> None:
        bench = self.a_leader()
        bench.engine.tick()
        index = self.pieces(bench)[0].snapshot
        bench.engine.tick()
        assert self.pieces(bench) == []
        bench.engine.received("b", Taken(1, index, 2), False)
        bench.time += transfer.AGAIN_S + 0.1
        bench.engine.tick()
        assert [piece.number for piece in self.pieces(bench)] == [2]
        bench.engine.received("b", Taken(1, index, 0), False)
        bench.engine.tick()
        assert [piece.number for piece in self.pieces(bench)] == [0, 1, 2]
        for false in (Taken(1, index, 9), Taken(1, index + 1, 1), Taken(0, index, 1)):
            bench.engine.received("b", false, False)
        bench.engine.tick()
        assert self.pieces(bench) == []

    @pytest.mark.parametrize("lost", ["link", "leadership"])
    def test_they_end_with_the_link_and_with_the_leadership(self, lost: str) -> None:
        bench = self.a_leader()
        bench.engine.tick()
        if lost == "link":
            bench.engine.peer_down("b")
        else:
            bench.engine.step_down()
        bench.engine.tick()
        assert bench.engine._snapshots._sending.needed() is None
        assert bench.engine._snapshots._sending._snapshot is None

    def test_a_receiver_that_refuses_is_not_flooded(self) -> None:
        bench = self.a_leader()
        bench.engine.tick()
        for _ in range(50):
            bench.engine.received("b", Answer(1, 2, True, False), False)
            bench.engine.received("b", Answer(1, bench.engine.log_end[1] + 1, True, False), False)
            bench.engine.tick()
            bench.engine.received("b", Answer(1, 2, True, False), False)
            bench.engine.tick()
        assert len(self.pieces(bench)) == 3

    def test_the_log_keeps_what_follows_a_snapshot_under_way_but_not_for_ever(self) -> None:
        bench = self.a_leader()
        bench.engine.tick()
        index = self.pieces(bench)[0].snapshot
        lengths = []
        for _ in range(30):
            for number in range(3):
                bench.engine.propose(b"%d" % number, lambda result, code: None)
            bench.engine.tick()
            bench.engine.received("c", Answer(1, bench.engine.log_end[1] + 1, False, True), False)
            bench.engine.tick()
            lengths.append(len(bench.log()))
            if not bench.counters["log_cuts_forced"]:
                assert bench.log()[0][0] <= index
        assert bench.counters["log_cuts_forced"]
        assert max(lengths) <= 10 * LOG_TIMES_MAX + 3
        bench.sent.clear()
        bench.time += transfer.AGAIN_S
        bench.engine.tick()
        assert self.pieces(bench)[0].snapshot > index

    def test_a_log_of_its_own_length_is_kept_by_those_who_lead_nobody(self) -> None:
        bench = Bench(log_entries_max=10)
        for index in range(2, 60):
            bench.append(1, (index - 1, 1 if index > 2 else 0), (index, 1), commit=index)
            assert len(bench.log()) <= 11

    def test_a_log_of_large_entries_is_kept_short_by_its_bytes(self) -> None:
        bench = Bench(log_bytes_max=10_000)
        bench.elect()
        for _ in range(60):
            bench.engine.propose(b"x" * 1000, lambda result, code: None)
            bench.engine.tick()
            bench.engine.received("b", Answer(1, bench.engine.log_end[1] + 1, False, True), False)
            bench.engine.received("c", Answer(1, bench.engine.log_end[1] + 1, False, True), False)
            bench.engine.tick()
            assert sum(len(entry[0]) for entry in bench.engine.entries()) <= 12_100
        assert bench.engine.applied == bench.engine.log_end[1] > 60
        assert bench.counters["log_cuts_forced"] == 0


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
        snapshot=lambda: Pieces([]),
        restore=lambda: Pieces([]),
        counters=Counters(),
        recovering=False,
        options=Options(),
    )
    engine.campaign(0)
    engine.propose(b"x", lambda result, code: settled.append(code))
    engine.tick()
    assert settled == [SUCCESS]


def test_a_tick_applies_a_bounded_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "APPLIED_PER_TICK_MAX", 10)
    bench = Bench()
    bench.append(1, (1, 0), *[(index, 1) for index in range(2, 31)], commit=30)
    for applied in (11, 21, 30):
        assert (bench.engine.applied, bench.engine.committed) == (applied, 30)
        assert bench.engine.busy is (applied < 30)
        bench.engine.tick()
    assert [index for index, _ in bench.applied] == list(range(2, 31))


def test_a_long_log_is_sent_in_several_turns() -> None:
    bench = Bench(batch_bytes_max=40)
    bench.elect()
    for number in range(1000):
        bench.engine.propose(b"%d" % number, lambda result, code: None)
    bench.engine.tick()
    bench.engine.received("b", Answer(1, 2, True, False), False)
    bench.sent.clear()
    bench._creep = 1e-3  # now a message takes some milliseconds
    sent: list[Append] = []
    turns = 0
    while not turns or bench.engine.busy:
        bench.engine.tick()
        messages = [body for to, body in bench.sent if to == "b" and isinstance(body, Append)]
        assert 0 < len(messages) < 25
        bench.sent.clear()
        sent += messages
        turns += 1
    assert turns > 4
    indices = [index for append in sent for _, index, _ in append.entries]
    assert indices == list(range(2, bench.engine.log_end[1] + 1)), "each entry once"
