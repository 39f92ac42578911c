"""The system tells the round trip of real connections, and of nothing else."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from wampha.cluster.roundtrip import RoundTrips, round_trip_s

pytestmark = pytest.mark.integration


def test_a_connection_has_a_round_trip_and_what_is_none_has_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        with other:
            for _ in range(20):
                one.sendall(b"x")
                other.recv(1)
                other.sendall(b"y")
                one.recv(1)
            found = round_trip_s(SimpleNamespace(getHandle=lambda: one))
            assert found is not None
            smoothed, shortest = found
            assert 0 < shortest <= smoothed < 1
    assert round_trip_s(SimpleNamespace(getHandle=lambda: one)) is None, "it is closed"
    assert round_trip_s(SimpleNamespace(getHandle=lambda: None)) is None
    assert round_trip_s(object()) is None


def test_each_look_counts() -> None:
    trips = RoundTrips()
    trips.saw(0.04, 0.0003)
    trips.saw(0.0015, 0.0002)
    assert (sum(trips.counts), trips.sum, trips.shortest_s) == (2, 0.0415, 0.0002)
