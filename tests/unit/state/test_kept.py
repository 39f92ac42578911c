"""Which events the replicated tables keep."""

from __future__ import annotations

import pytest

from wampha.counters import Counters
from wampha.state import snapshot
from wampha.state.commands import Down, Entrusted, Keep, KeptEvent, Lead, Outcome, Owner, Ring, Up
from wampha.state.kept import RESTRICTED_MAX, Archive, weight
from wampha.state.machine import Machine

A, B = Owner("a", 1), Owner("b", 2)
RING = Ring("prefix", "com.", 3, 10_000)


def event(number: int, topic: str = "com.topic", *, lists: bytes = b"", size: int = 1) -> KeptEvent:
    return KeptEvent(number, topic, 0, 1, False, lists, b"", 1, 1, b"x" * size)


class Bench:
    def __init__(self) -> None:
        self.counters = Counters()
        self.machine = Machine(self.counters)
        self._index = 0
        for owner in (A, B):
            self.execute(Up(owner, (), "", ""))
        self.execute(Lead(1, "a"))

    def execute(self, command: object) -> Outcome:
        self._index += 1
        return self.machine.execute(self._index, command)  # type: ignore[arg-type]

    def keep(
        self, *events: KeptEvent, owner: Owner = A, retain: bool = True, topics: int = 9, size: int = 9999
    ) -> tuple[int, ...]:
        """The places of those that were refused."""
        number = self.machine.tables.kept.handled_of(owner).number + 1
        entrusted = tuple(Entrusted("realm1", each, retain, (RING,)) for each in events)
        assert self.execute(Keep(owner, number, topics, size, entrusted)) is Outcome.OK
        handled = self.machine.tables.kept.handled_of(owner)
        assert (handled.number, handled.index) == (number, self._index)
        return handled.refused

    @property
    def archive(self) -> Archive:
        archive = self.machine.tables.kept.of("realm1")
        assert archive is not None
        return archive

    def retained(self, topic: str = "com.topic") -> list[int]:
        return [kept.event.publication for kept in self.archive.retained[topic]]

    def history(self) -> list[int]:
        return [kept.event.publication for kept in self.archive.histories["prefix", "com."].events]

    def weighed(self) -> bool:
        archive = self.archive
        retained = sum(weight(kept.event) for events in archive.retained.values() for kept in events)
        return retained == archive.retained_bytes and all(
            history.bytes == sum(weight(kept.event) for kept in history.events)
            for history in archive.histories.values()
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_last_event_for_all_replaces_every_former_one(bench: Bench) -> None:
    bench.keep(event(1), event(2, lists=b"x"), event(3, lists=b"y"))
    assert bench.retained() == [1, 2, 3]
    bench.keep(event(4))
    assert bench.retained() == [4]
    assert bench.weighed()


def test_events_for_some_are_bounded_and_the_one_for_all_stays(bench: Bench) -> None:
    bench.keep(event(0))
    for number in range(1, RESTRICTED_MAX + 3):
        bench.keep(event(number, lists=b"x"))
    assert bench.retained() == [0, *range(3, RESTRICTED_MAX + 3)]
    assert bench.weighed()


def test_what_finds_no_room_is_refused_and_enters_no_history(bench: Bench) -> None:
    assert bench.keep(event(1, "com.a"), event(2, "com.b"), event(3, "com.c"), event(4, "com.a"), topics=2) == (2,)
    assert bench.history() == [1, 2, 4]
    assert list(bench.archive.retained) == ["com.a", "com.b"]
    assert bench.keep(event(5, "com.a", size=5000), size=5000) == (0,)
    assert bench.retained("com.a") == [4]
    assert bench.keep(event(6, "com.a", size=0), size=1) == ()  # it takes less than the former one
    assert bench.weighed()


def test_a_history_has_the_newest_events_within_its_bounds(bench: Bench) -> None:
    bench.keep(*(event(number) for number in range(5)), retain=False)
    assert bench.history() == [2, 3, 4]
    bench.keep(event(5, size=8000), retain=False)
    assert bench.history() == [3, 4, 5]
    bench.keep(event(6, size=8000), retain=False)
    assert bench.history() == [6]
    assert bench.weighed()
    assert not bench.archive.retained


def test_a_statement_has_an_effect_once_and_in_its_turn(bench: Bench) -> None:
    first, second = (Keep(A, number, 9, 9999, (Entrusted("realm1", event(number), True, ()),)) for number in (1, 2))
    assert [bench.execute(each) for each in (second, first, first, second, first)] == [
        Outcome.STALE,
        Outcome.OK,
        Outcome.STALE,
        Outcome.OK,
        Outcome.STALE,
    ]
    assert bench.counters["commands_stale"] == 3
    assert bench.retained() == [2]


def test_what_a_node_had_kept_outlives_it_and_nothing_more_comes_from_it(bench: Bench) -> None:
    bench.keep(event(1))
    bench.execute(Down(A, 1))
    assert bench.retained() == [1]
    assert bench.execute(Keep(A, 2, 9, 9999, (Entrusted("realm1", event(2), True, ()),))) is Outcome.DEAD
    assert A not in bench.machine.tables.kept.handled
    bench.keep(event(3), owner=B)
    assert bench.retained() == [3]


def test_a_snapshot_has_all_of_it_in_pieces_of_bounded_size(bench: Bench) -> None:
    for number in range(60):
        bench.keep(event(number, f"com.t{number}", size=60_000), event(100 + number, "com.x"), topics=99, size=10**7)
    pieces = bench.machine.snapshot()
    assert max(map(len, pieces)) < 2_000_000
    assert len(pieces) > 2
    other = Bench()
    other.machine.restore(pieces)
    assert other.machine.digest() == bench.machine.digest()
    assert other.weighed()
    assert (other.history(), other.retained("com.x")) == (bench.history(), bench.retained("com.x"))
    assert other.keep(event(999, "com.x"), topics=99, size=10**7) == ()
    assert snapshot.encode(other.machine.tables) == other.machine.snapshot()
