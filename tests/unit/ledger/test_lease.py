"""Rules 11-17, 20, 21, 26, on instants given by hand."""

from __future__ import annotations

import math

import pytest

from wampha.ledger.constants import K, Timing
from wampha.ledger.lease import LeaseBook
from wampha.state.commands import Owner
from wampha.state.tables import Tables

TIMING = Timing.of()
F, LS, D = TIMING.lease_s, TIMING.leader_lease_s, TIMING.silence_s
ME, B, C, W = Owner("a", 1), Owner("b", 2), Owner("c", 3), Owner("w", 4)
VOTERS = ("a", "b", "c")
START = 10  # index of the leader's first command


def tables(*up: Owner, previous: str = "") -> Tables:
    result = Tables()
    result.up = {owner: index for index, owner in enumerate(up, start=2)}
    result.previous_leader = previous
    return result


def a_book(
    now: float = 0.0, voters: tuple[str, ...] = VOTERS, start: int | None = START, held: float = -1.0
) -> LeaseBook:
    book = LeaseBook(timing=TIMING, name="a", voters=voters, term=3, now=now, held_until=held)
    book.start = start
    return book


def an_old_book(now: float) -> LeaseBook:
    """Of a leader that need not wait for leases of its predecessors any more."""
    return a_book(now - K * F - 0.001)


class TestQuorum:
    def test_it_is_the_latest_instant_that_a_majority_has_echoed(self) -> None:
        book = a_book(voters=("a", "b", "c", "d", "e"))
        book.echoed("b", 3.0, 5.0)
        assert book.quorum_time(5.0) == -math.inf
        book.echoed("c", 2.0, 5.0)
        assert book.quorum_time(5.0) == 2.0
        book.echoed("d", 4.0, 5.0)
        assert book.quorum_time(5.0) == 3.0

    def test_an_older_echo_changes_nothing(self) -> None:
        book = a_book()
        book.echoed("b", 3.0, 5.0)
        book.echoed("b", 2.0, 5.0)
        assert book.quorum_time(5.0) == 3.0

    def test_observers_and_stamps_from_the_future_do_not_count(self) -> None:
        book = a_book()
        book.echoed("w", 3.0, 5.0)
        book.echoed("b", 6.0, 5.0)
        assert book.quorum_time(5.0) == -math.inf

    def test_a_node_alone_is_its_own_majority(self) -> None:
        assert a_book(voters=("a",)).quorum_time(5.0) == 5.0

    def test_rule_17_a_leader_steps_down_when_no_majority_echoed_for_a_lease(self) -> None:
        book = a_book(now=1.0)
        assert not book.must_step_down(1.0 + F)
        assert book.must_step_down(1.0 + F + 0.01)
        book.echoed("b", 2.0, 2.1)
        assert not book.must_step_down(2.0 + F)
        assert book.must_step_down(2.0 + F + 0.01)


class TestGrants:
    def grant(self, book: LeaseBook, owner: Owner, applied: int, table: Tables, now: float) -> float:
        book.note(owner, applied, now)
        return book.grant(owner, applied, table, now)

    def test_rule_13_a_lease_reaches_a_lease_beyond_the_quorum_time(self) -> None:
        book = a_book()
        book.echoed("b", 4.8, 5.0)
        assert self.grant(book, B, START, tables(ME, B), 5.0) == pytest.approx(F - 0.2)

    def test_rule_14_it_is_booked_with_the_error_of_clocks_on_top(self) -> None:
        book = a_book()
        book.echoed("b", 4.8, 5.0)
        left = self.grant(book, B, START, tables(ME, B), 5.0)
        assert book.bookings[B].end == pytest.approx(5.0 + K * left)

    def test_there_is_none_without_a_quorum(self) -> None:
        book = a_book()
        assert self.grant(book, B, START, tables(ME, B), 5.0) == 0
        book.echoed("b", 3.0, 5.0)
        assert self.grant(book, B, START, tables(ME, B), 3.0 + F) == 0

    def test_there_is_none_for_who_is_not_up(self) -> None:
        book = a_book()
        book.echoed("b", 5.0, 5.0)
        assert self.grant(book, B, START, tables(ME), 5.0) == 0

    def test_h4_there_is_none_for_who_lags_behind_the_claim_or_the_start(self) -> None:
        book = a_book()
        book.echoed("b", 5.0, 5.0)
        assert self.grant(book, B, START - 1, tables(ME, B), 5.0) == 0
        book.claim = START + 5
        assert self.grant(book, B, START + 4, tables(ME, B), 5.0) == 0
        assert self.grant(book, B, START + 5, tables(ME, B), 5.0) > 0

    def test_rule_24_there_is_none_for_who_lacks_what_the_leader_had_a_lease_ago(self) -> None:
        """It reports what it has, the claim cannot pass it while it holds a lease, and so it would meet the claim for
        ever."""
        book, up = an_old_book(0.0), tables(ME, B)
        lefts = {}
        for step in range(1, 60):
            now = round(step * TIMING.ping_s, 3)
            book.echoed("b", now, now)
            lefts[now] = self.grant(book, B, START, up, now)
            book.advance(ME, START + 1, up, now)
        assert lefts[F - 0.1] > 0
        assert lefts[F + 0.2] == 0
        assert book.claim == START + 1
        assert self.grant(book, B, START + 1, up, 6.0) > 0

    def test_rule_12_there_is_none_before_the_leaders_first_command_is_applied(self) -> None:
        book = a_book(start=None)
        book.echoed("b", 5.0, 5.0)
        assert self.grant(book, B, 99, tables(ME, B), 5.0) == 0
        assert book.own_lease_end(5.0) == -math.inf

    def test_rule_54_there_is_none_while_leases_of_an_older_cluster_may_run(self) -> None:
        book = a_book(held=6.0)
        book.echoed("b", 6.0, 6.0)
        assert self.grant(book, B, START, tables(ME, B), 5.9) == 0
        assert book.own_lease_end(5.9) == -math.inf
        assert not book.advance(ME, START, tables(ME), 5.9)
        assert self.grant(book, B, START, tables(ME, B), 6.0) > 0

    def test_h16_there_is_none_for_who_is_being_declared_dead(self) -> None:
        book = a_book()
        book.echoed("b", 5.0, 5.0)
        book.dying.add(B)
        assert self.grant(book, B, START, tables(ME, B), 5.0) == 0

    def test_rule_16_the_leaders_own_lease_is_short(self) -> None:
        book = a_book()
        book.echoed("b", 4.8, 5.0)
        assert book.own_lease_end(5.0) == 4.8 + LS


class TestClaims:
    def test_a_claim_waits_for_every_holder_of_a_lease(self) -> None:
        book = an_old_book(5.0)
        book.echoed("b", 5.0, 5.0)
        table = tables(ME, B)
        book.note(B, 20, 5.0)
        book.grant(B, 20, table, 5.0)
        assert book.advance(ME, 30, table, 5.0)
        assert book.claim == 20
        assert not book.advance(ME, 40, table, 5.0 + F)
        assert book.advance(ME, 40, table, 5.0 + K * F + 0.001)
        assert book.claim == 40

    def test_h3_a_young_leader_waits_for_all_that_are_up(self) -> None:
        book = a_book(now=0.0)
        table = tables(ME, B, W)
        book.note(B, 20, 0.1)
        assert not book.advance(ME, 20, table, K * F - 0.01)
        book.note(W, 15, 0.2)
        assert book.advance(ME, 20, table, 0.2)
        assert book.claim == 15
        assert a_book(now=0.0).advance(ME, 20, table, K * F + 0.01)

    def test_the_previous_leader_is_waited_for_only_as_long_as_its_own_short_lease(self) -> None:
        table = tables(ME, B, previous="b")
        book = a_book(now=0.0)
        assert not book.advance(ME, 20, table, K * LS - 0.01)
        assert book.advance(ME, 20, table, K * LS + 0.01)

    def test_a_previous_leader_that_has_reported_is_one_like_all(self) -> None:
        table = tables(ME, B, previous="b")
        book = a_book(now=0.0)
        book.note(B, 12, 0.1)
        assert book.advance(ME, 20, table, K * LS + 0.01)
        assert book.claim == 12

    def test_who_left_or_is_dying_is_not_waited_for(self) -> None:
        book = an_old_book(5.0)
        book.echoed("b", 5.0, 5.0)
        both = tables(ME, B, W)
        for owner in (B, W):
            book.note(owner, 20, 5.0)
            book.grant(owner, 20, both, 5.0)
        book.dying.add(W)
        assert book.advance(ME, 30, tables(ME, W), 5.0)
        assert book.claim == 30

    def test_a_claim_never_falls_and_never_passes_what_is_applied_here(self) -> None:
        book = an_old_book(5.0)
        assert book.advance(ME, 30, tables(ME), 5.0)
        assert not book.advance(ME, 29, tables(ME), 5.0)
        assert book.claim == 30


class TestDeath:
    def test_h5_nobody_is_declared_dead_while_its_lease_may_run(self) -> None:
        book = an_old_book(5.0)
        book.echoed("b", 5.0, 5.0)
        table = tables(ME, B, Owner("b", 9))
        book.note(B, 20, 5.0)
        book.grant(B, 20, table, 5.0)
        assert B not in book.condemn(ME, table, 5.0 + F)
        assert book.condemn(ME, table, 5.0 + K * F + 0.001) == [B]

    def test_silence_kills(self) -> None:
        book = an_old_book(5.0)
        book.note(B, 20, 5.0)
        assert book.condemn(ME, tables(ME, B), 5.0 + D - 0.01) == []
        assert book.condemn(ME, tables(ME, B), 5.0 + D) == [B]
        assert B in book.dying

    def test_a_younger_incarnation_of_the_same_name_kills_at_once(self) -> None:
        book = an_old_book(5.0)
        younger = Owner("b", 9)
        book.note(younger, 20, 5.0)
        assert book.condemn(ME, tables(ME, B, younger), 5.0) == [B]

    def test_a_young_leader_declares_nobody_dead(self) -> None:
        book = a_book(now=0.0)
        assert book.condemn(ME, tables(ME, B, Owner("b", 9)), K * F) == []
        assert book.condemn(ME, tables(ME, B, Owner("b", 9)), K * F + 0.01) == [B]

    def test_nor_does_a_leader_whose_first_command_is_not_applied(self) -> None:
        book = a_book(now=0.0, start=None)
        assert book.condemn(ME, tables(ME, B), 100.0) == []

    def test_never_itself(self) -> None:
        assert an_old_book(5.0).condemn(ME, tables(ME), 100.0) == []
