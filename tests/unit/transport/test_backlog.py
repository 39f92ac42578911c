"""A port holds a storm of connections until they are accepted."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor

from wampha.transport.listeners import BACKLOG, with_backlog


@pytest.mark.parametrize(
    "endpoint", ["tcp:8080", r"tcp6:8080:interface=\:\:1", "tcp:8080:127.0.0.1", "unix:/run/wampha.sock"]
)
def test_an_endpoint_has_room_for_a_storm(endpoint: str) -> None:
    reactor = MemoryReactor()
    server: Any = serverFromString(reactor, with_backlog(endpoint))  # type: ignore[no-untyped-call]  # of Twisted
    server.listen(object())
    assert BACKLOG in (reactor.tcpServers or reactor.unixServers)[0]


@pytest.mark.parametrize("endpoint", ["tcp:8080:backlog=5", "tcp:8080:127.0.0.1:5", "systemd:domain=INET:index=0"])
def test_one_that_says_how_many_or_takes_no_number_stays_as_it_is(endpoint: str) -> None:
    assert with_backlog(endpoint) == endpoint
