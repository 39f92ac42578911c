"""Pre-vote between elections that see only one another's messages (rules 40, 45)."""

from __future__ import annotations

import pytest

from tests.unit.ledger.harness import VOTERS, Bench
from wampha.ledger.constants import Timing
from wampha.ledger.election import Election
from wampha.ledger.frames import PreVote, PreVoted, RequestVote

TIMING = Timing.of()


class Voter(Bench):
    """One engine with its election."""

    def __init__(self, name: str = "a", **options: object) -> None:
        super().__init__(name=name, **options)
        self.election = Election(
            name=name, voters=VOTERS, engine=self.engine, timing=TIMING, now=self._now, send=self._send
        )

    def miss_the_leader(self) -> None:
        """Let the longest election timeout pass."""
        self.time += TIMING.election_max_s + 0.01
        self.election.tick()


def test_a_voter_that_misses_a_leader_asks_all_others_first() -> None:
    voter = Voter()
    voter.election.tick()
    assert voter.sent == []
    voter.miss_the_leader()
    assert voter.sent == [(peer, PreVote(1, 1, 0)) for peer in ("b", "c")]
    assert voter.engine.term == 0


def test_with_a_majority_it_becomes_a_candidate_above_every_term_it_heard_of() -> None:
    voter = Voter()
    voter.miss_the_leader()
    voter.election.answered("b", PreVoted(1, 7))
    assert voter.engine.term == 8
    assert voter.taken(RequestVote) == [RequestVote(8, 1, 0)] * 2


def test_answers_to_an_older_round_or_of_strangers_or_too_late_do_not_count() -> None:
    voter = Voter()
    voter.miss_the_leader()
    voter.miss_the_leader()
    voter.election.answered("b", PreVoted(1, 0))
    voter.election.answered("w", PreVoted(2, 0))
    voter.time += TIMING.pre_vote_s[1] + 0.01
    voter.election.answered("b", PreVoted(2, 0))
    assert voter.engine.term == 0


def test_who_hears_a_leader_does_not_answer() -> None:
    voter = Voter()
    voter.append(1, (1, 0))
    voter.taken(PreVoted)
    voter.election.asked("c", PreVote(1, 9, 9))
    assert voter.sent == []
    voter.time += TIMING.election_min_s + 0.01
    voter.election.asked("c", PreVote(1, 9, 9))
    assert voter.taken(PreVoted) == [PreVoted(1, 1)]


def test_who_lost_the_connection_to_the_leader_answers_at_once_and_asks_soon() -> None:
    voter = Voter()
    voter.append(1, (1, 0))
    voter.sent.clear()
    voter.engine.peer_down("b")
    voter.election.asked("c", PreVote(1, 9, 9))
    assert voter.taken(PreVoted) == [PreVoted(1, 1)]
    voter.time += TIMING.pre_vote_s[1]
    voter.election.tick()
    assert voter.taken(PreVote)


@pytest.mark.parametrize(("theirs", "yes"), [((2, 2), True), ((1, 3), True), ((1, 2), False), ((0, 9), False)])
def test_a_log_that_is_behind_gets_no_yes(theirs: tuple[int, int], yes: bool) -> None:
    voter = Voter()
    voter.append(1, (1, 0), (2, 1), (3, 1))
    voter.engine.peer_down("b")
    voter.sent.clear()
    term, index = theirs
    voter.election.asked("c", PreVote(1, index, term))
    assert bool(voter.taken(PreVoted)) is yes


def test_of_two_that_ask_at_the_same_moment_the_later_name_gives_way() -> None:
    first, second = Voter("a"), Voter("b")
    for voter in (first, second):
        voter.miss_the_leader()
        voter.sent.clear()
    first.election.asked("b", PreVote(1, 1, 0))
    second.election.asked("a", PreVote(1, 1, 0))
    assert first.sent == []
    assert second.sent == [("a", PreVoted(1, 0))]


def test_rule_45_who_said_yes_waits_with_its_own_candidacy() -> None:
    voter = Voter()
    voter.time += TIMING.election_max_s + 0.01
    voter.election.asked("c", PreVote(1, 1, 0))
    voter.sent.clear()
    voter.election.tick()
    assert voter.sent == []
    voter.time += TIMING.pre_vote_s[1]
    voter.election.tick()
    assert voter.taken(PreVote)


def test_rule_40_without_memory_nobody_asks_or_answers() -> None:
    voter = Voter(recovering=True)
    voter.miss_the_leader()
    voter.election.asked("c", PreVote(1, 9, 9))
    assert voter.sent == []


def test_observers_neither_ask_nor_answer_nor_are_answered() -> None:
    observer = Voter("w")
    observer.miss_the_leader()
    observer.election.asked("c", PreVote(1, 9, 9))
    assert observer.sent == []
    voter = Voter()
    voter.election.asked("w", PreVote(1, 9, 9))
    assert voter.sent == []
