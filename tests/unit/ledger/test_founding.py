"""Rules 50-54 and 56, on instants given by hand."""

from __future__ import annotations

import math
import random

import pytest

from wampha.ledger.constants import Timing
from wampha.ledger.founding import FRESH_PINGS, Founding
from wampha.ledger.frames import AnyFrame, Found, Go, State

TIMING = Timing.of()
VOTERS = ("a", "b", "c")
FREE = State(life=2, recovering=True, cluster=None, uptime=1.0, pledge=None)


class Bench:
    """One voter, born at 100.0 with life 1."""

    def __init__(self, name: str = "a", voters: tuple[str, ...] = VOTERS) -> None:
        self.sent: list[tuple[str, AnyFrame]] = []
        self.founded: list[tuple[int, float]] = []
        self.dropped = 0
        self.founding = Founding(
            name=name,
            voters=voters,
            timing=TIMING,
            chance=random.Random(1),
            life=1,
            now=100.0,
            send=lambda voter, frame: self.sent.append((voter, frame)),
            found=lambda cluster, held_until: self.founded.append((cluster, held_until)),
            drop_life=self._dropped,
        )

    def _dropped(self) -> None:
        self.dropped += 1

    def tick(self, now: float, cluster: int | None = None, leaderless_s: float = math.inf) -> None:
        self.sent.clear()
        self.founding.tick(cluster, leaderless_s, now)

    def taken(self, kind: type) -> list[tuple[str, AnyFrame]]:
        return [(voter, frame) for voter, frame in self.sent if isinstance(frame, kind)]


def pledged(cluster: int | None, life: int = 2, uptime: float = 1.0) -> State:
    return State(life, True, None, uptime, cluster)


def test_rule_50_a_voter_tells_the_others_what_it_is() -> None:
    bench = Bench("b")
    bench.tick(100.5)
    assert bench.sent == [(voter, State(1, True, None, 0.5, None)) for voter in ("a", "c")]


def test_rule_51_the_smallest_name_proposes_when_all_are_without_memory() -> None:
    bench = Bench()
    bench.founding.told("b", FREE, 101.0)
    bench.tick(101.0)
    assert not bench.taken(Found)
    bench.founding.told("c", FREE, 101.0)
    bench.tick(101.1)
    assert [voter for voter, _ in bench.taken(Found)] == ["b", "c"]
    assert bench.taken(Found)[0][1] == Found(bench.founding.pledge or 0, 2)


@pytest.mark.parametrize(
    "other", [State(2, False, 7, 9.0, None), State(2, True, None, 9.0, 7)], ids=["has memory", "is pledged"]
)
def test_rule_51_nobody_proposes_if_one_voter_is_not_free(other: State) -> None:
    bench = Bench()
    bench.founding.told("b", FREE, 101.0)
    bench.founding.told("c", other, 101.0)
    bench.tick(101.0)
    assert bench.founding.pledge is None


def test_rule_51_what_was_heard_long_ago_or_over_a_lost_link_does_not_count() -> None:
    for lost in (True, False):
        bench = Bench()
        bench.founding.told("b", FREE, 101.0)
        bench.founding.told("c", FREE, 101.0)
        if lost:
            bench.founding.lost("c")
        bench.tick(101.0 + (0 if lost else FRESH_PINGS * TIMING.ping_s + 0.1))
        assert bench.founding.pledge is None


def test_rule_51_others_than_the_smallest_wait() -> None:
    bench = Bench("b")
    for voter in ("a", "c"):
        bench.founding.told(voter, FREE, 101.0)
    bench.tick(101.0)
    assert bench.founding.pledge is None


def free(uptime: float) -> State:
    return State(life=2, recovering=True, cluster=5, uptime=uptime, pledge=None)


G = TIMING.grace_s
REMEMBERS = State(life=3, recovering=False, cluster=5, uptime=99.0, pledge=None)


@pytest.mark.parametrize(
    ("own", "others", "leaderless", "proposes"),
    [
        (G + 1, G + 1, G + 1, True),
        (G - 1, G + 1, G + 1, False),
        (G + 1, G - 1, G + 1, False),
        (G + 1, G + 1, G - 1, False),
    ],
    ids=["all waited", "it is young", "the other is young", "a leader was heard"],
)
def test_rule_51_a_majority_proposes_when_all_of_it_waited_long_enough(
    own: float, others: float, leaderless: float, proposes: bool
) -> None:
    bench, now = Bench(), 100.0 + own
    bench.founding.told("b", free(others), now)
    bench.founding.told("c", REMEMBERS, now)
    bench.tick(now, 5, leaderless)
    assert bool(bench.taken(Found)) is (bench.founding.pledge is not None) is proposes
    if proposes:
        assert [voter for voter, _ in bench.taken(Found)] == ["b"]


def test_rule_51_without_the_smallest_name_the_next_one_proposes() -> None:
    bench, now = Bench("b"), 101.0 + G
    bench.founding.told("a", REMEMBERS, now)
    bench.founding.told("c", free(G + 1), now)
    bench.tick(now)
    assert [voter for voter, _ in bench.taken(Found)] == ["c"]


def test_rule_51_a_minority_never_proposes() -> None:
    bench, now = Bench(voters=("a", "b", "c", "d", "e")), 200.0
    bench.founding.told("b", free(99.0), now)
    for voter in ("c", "d"):
        bench.founding.told(voter, REMEMBERS, now)
    bench.tick(now)
    assert bench.founding.pledge is None


def test_rule_52_a_young_life_is_not_asked_by_a_majority() -> None:
    bench, now = Bench(voters=("a", "b", "c", "d", "e")), 200.0
    for voter, uptime in (("b", G + 1), ("c", G + 1), ("d", 1.0)):
        bench.founding.told(voter, free(uptime), now)
    bench.tick(now)
    assert [voter for voter, _ in bench.taken(Found)] == ["b", "c"]


def a_member() -> Bench:
    """A voter that is in cluster 7."""
    bench = Bench("b")
    bench.founding.asked("a", Found(7, life=1), None, 101.0)
    bench.founding.go(Go(7, 1, 0.0), 101.1)
    return bench


FOREIGN = State(life=4, recovering=False, cluster=8, uptime=9.0, pledge=None)
FELLOW = State(life=4, recovering=False, cluster=7, uptime=9.0, pledge=None)


@pytest.mark.parametrize(
    ("a", "c", "leaderless", "drops"),
    [
        (free(1.0), FOREIGN, G + 1, True),
        (free(1.0), free(1.0), G - 1, False),
        (free(1.0), FELLOW, G + 1, False),
        (free(1.0), None, G + 1, False),
    ],
    ids=["it can have no quorum", "a leader was heard", "it can", "one may remember and is away"],
)
def test_rule_56_a_voter_whose_cluster_is_lost_drops_its_life(
    a: State, c: State | None, leaderless: float, drops: bool
) -> None:
    bench = a_member()
    bench.founding.told("a", a, 200.0)
    if c:
        bench.founding.told("c", c, 200.0)
    bench.tick(200.0, 7, leaderless)
    assert bool(bench.dropped) is drops


def test_rule_42_a_life_wants_to_be_opened_after_the_embargo_unless_it_is_pledged() -> None:
    bench, later = Bench("b"), 100.1 + TIMING.embargo_s
    assert not bench.founding.wants_open(99.9 + TIMING.embargo_s)
    assert bench.founding.wants_open(later)
    bench.founding.asked("a", Found(7, life=1), None, later)
    assert not bench.founding.wants_open(later)


def test_rule_44_who_was_opened_pledges_no_more() -> None:
    bench = Bench("b")
    bench.founding.opened()
    bench.founding.asked("a", Found(7, life=1), None, 110.0)
    assert bench.founding.pledge is None
    assert not bench.founding.wants_open(110.0)


def test_rule_52_a_pledge_is_exclusive() -> None:
    bench = Bench("b")
    bench.founding.asked("a", Found(7, life=1), None, 101.0)
    assert bench.sent == [("a", State(1, True, None, 1.0, 7))]
    bench.founding.asked("c", Found(8, life=1), None, 101.1)
    assert bench.founding.pledge == 7
    bench.founding.go(Go(8, 1, 0.0), 101.2)
    assert not bench.founded


def test_rule_52_a_former_life_cannot_be_asked() -> None:
    bench = Bench("b")
    bench.founding.asked("a", Found(7, life=99), None, 101.0)
    assert bench.founding.pledge is None


def test_rule_52_without_go_the_life_ends() -> None:
    bench = Bench("b")
    bench.founding.asked("a", Found(7, life=1), None, 101.0)
    bench.tick(101.0 + TIMING.pledge_s)
    assert not bench.dropped
    bench.tick(101.1 + TIMING.pledge_s)
    assert bench.dropped == 1


def test_rule_53_pledges_of_a_majority_found_the_cluster() -> None:
    bench = Bench()
    for voter in ("b", "c"):
        bench.founding.told(voter, FREE, 101.0)
    bench.tick(101.0)
    cluster = bench.founding.pledge
    assert cluster is not None
    bench.founding.told("b", pledged(cluster), 101.1)
    bench.tick(101.1)
    assert [voter for voter, _ in bench.taken(Go)] == ["b"]
    assert bench.founded[0][0] == cluster
    assert not bench.founding.recovering


def test_rule_53_a_late_pledge_is_answered_with_go() -> None:
    bench = Bench()
    for voter in ("b", "c"):
        bench.founding.told(voter, FREE, 101.0)
    bench.tick(101.0)
    cluster = bench.founding.pledge
    bench.founding.told("b", pledged(cluster, uptime=1.1), 101.1)
    bench.tick(101.1)
    bench.sent.clear()
    bench.founding.told("c", pledged(cluster, life=3), 101.3)
    [(voter, go)] = bench.sent
    assert (voter, go.cluster, go.life) == ("c", cluster, 3)
    assert go.hold == pytest.approx(TIMING.stretched_lease_s - 1.1 - 0.2)
    bench.founding.told("c", pledged(999, life=4), 101.4)
    assert len(bench.sent) == 1


def test_rule_54_go_says_how_long_the_youngest_pledger_has_still_to_live() -> None:
    bench = Bench()
    for voter in ("b", "c"):
        bench.founding.told(voter, FREE, 101.0)
    bench.tick(101.0)
    bench.founding.told("b", pledged(bench.founding.pledge, uptime=0.4), 101.0)
    bench.tick(101.0)
    [(_, go)] = bench.taken(Go)
    assert go.hold == pytest.approx(TIMING.stretched_lease_s - 0.4)
    assert bench.founded[0][1] == pytest.approx(101.0 + go.hold)


def test_rule_54_a_follower_holds_as_long_and_no_longer_than_a_lease() -> None:
    for hold, held in ((0.7, 0.7), (1e9, TIMING.stretched_lease_s)):
        bench = Bench("b")
        bench.founding.asked("a", Found(7, life=1), None, 101.0)
        bench.founding.go(Go(7, 1, hold), 102.0)
        assert bench.founded == [(7, 102.0 + held)]


def test_a_voter_alone_founds_at_once() -> None:
    bench = Bench(voters=("a",))
    bench.tick(100.0)
    assert len(bench.founded) == 1


def test_who_has_memory_pledges_no_more() -> None:
    bench = Bench("b")
    bench.founding.asked("a", Found(7, life=1), None, 101.0)
    bench.founding.go(Go(7, 1, 0.0), 101.1)
    bench.founding.go(Go(7, 1, 0.0), 101.2)
    bench.founding.asked("c", Found(8, life=1), 7, 101.3)
    bench.tick(200.0)
    assert len(bench.founded) == 1
    assert (bench.founding.pledge, bench.dropped) == (7, 0)
