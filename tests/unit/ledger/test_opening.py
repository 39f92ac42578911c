"""Rules 42-44, on instants given by hand."""

from __future__ import annotations

from tests.unit.ledger.harness import Bench
from wampha.ledger.frames import Answer, Append, RequestVote, Vote
from wampha.ledger.opening import Openings


def asked(openings: Openings, life: int = 5, applied: int = 20, *, quorum_time: float, now: float) -> int | None:
    return openings.asked("b", life, applied, last_index=20 + int(now), quorum_time=quorum_time, now=now)


def test_rule_43_a_life_is_opened_once_a_majority_confirmed_the_leader_after_it_first_asked() -> None:
    openings = Openings()
    assert asked(openings, applied=30, quorum_time=9.9, now=10.0) is None
    assert asked(openings, applied=30, quorum_time=10.0, now=10.1) is None
    assert asked(openings, applied=30, quorum_time=10.05, now=10.2) == 5


def test_rule_43_and_holds_all_that_the_leader_held_at_that_time() -> None:
    openings = Openings()
    assert asked(openings, applied=20, quorum_time=9.9, now=10.0) is None
    assert asked(openings, applied=29, quorum_time=11.0, now=12.0) is None
    assert asked(openings, applied=30, quorum_time=13.0, now=14.0) == 5


def test_another_life_begins_anew() -> None:
    openings = Openings()
    asked(openings, life=5, quorum_time=9.9, now=10.0)
    assert asked(openings, life=6, applied=99, quorum_time=11.0, now=12.0) is None
    assert asked(openings, life=6, applied=99, quorum_time=12.1, now=12.2) == 6


def test_rule_44_the_vote_of_the_term_is_the_leaders() -> None:
    bench = Bench(recovering=True)
    bench.append(3, (1, 0), (2, 3))
    bench.engine.open("b")
    assert bench.engine.votes
    bench.taken(Vote)
    bench.engine.received("c", RequestVote(3, 99, 3), False)
    assert not bench.taken(Vote)
    bench.engine.received("c", RequestVote(4, 99, 3), False)
    assert bench.taken(Vote) == [Vote(4)]


def test_answers_count_from_then_on() -> None:
    bench = Bench()
    bench.elect()
    end = bench.engine.log_end[1]
    bench.engine.received("b", Answer(1, end + 1, False, True), True)
    bench.engine.tick()
    assert bench.engine.committed < end
    assert bench.taken(Append)
    bench.engine.received("b", Answer(1, end + 1, False, True), False)
    bench.engine.tick()
    assert bench.engine.committed == end
