"""Room for clients: what is kept for others, what is counted, and that the log is not flooded."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs

from wampha.counters import Counters
from wampha.limits import Limits
from wampha.transport.room import Room, descriptors


@pytest.mark.parametrize(("there", "for_clients"), [(100_000, 99_872), (1024, 896), (256, 128), (200, 100), (20, 10)])
def test_some_descriptors_are_kept_for_others(there: int, for_clients: int) -> None:
    room = Room(descriptors=there, limits=Limits(), counters=Counters())
    assert room.clients_max == for_clients


def test_the_process_says_how_many_there_are() -> None:
    assert descriptors() > 0


def test_a_full_node_refuses_counts_and_says_it_once_until_there_is_room_again() -> None:
    counters = Counters()
    room = Room(descriptors=60, limits=Limits(descriptors_reserved=40), counters=counters)
    one, two = list(range(15)), list(range(14))
    room.share(one)
    room.share(two)
    with capturedLogs() as said:
        assert room.has_place()
        two.append(0)
        for _ in range(100):
            assert not room.has_place()
        two.pop()
        for _ in range(10):  # at the edge
            assert room.has_place()
            two.append(0)
            assert not room.has_place()
            two.pop()
        assert len(said) == 1
        one.clear()
        assert room.has_place() and room.has_place()
        assert len(said) == 2
        one.extend(range(16))
        assert not room.has_place()
        assert len(said) == 3
    assert counters["connections_refused_full"] == 111
