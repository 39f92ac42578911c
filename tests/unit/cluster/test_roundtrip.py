"""The round trip of a connection, where there is none any more."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure

from wampha.cluster.roundtrip import round_trip_s


def test_a_connection_that_was_just_closed_tells_nothing() -> None:
    """Its link is still there when all links are looked at in the same turn."""
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(ours, Protocol(), MemoryReactor())
        connection.connectionLost(Failure(ConnectionDone()))
        assert round_trip_s(connection) is None


def test_what_has_no_socket_tells_nothing() -> None:
    assert round_trip_s(object()) is None
