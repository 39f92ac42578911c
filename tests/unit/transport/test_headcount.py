"""How many clients a node may have, in total and from one address, and what those hear who are too many."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import capturedLogs

from tests.support.transports import Bench, websocket_request
from wampha.counters import Counters
from wampha.limits import Limits, PresentLimits
from wampha.transport import headcount as module
from wampha.transport.headcount import CROWDED, FULL, Headcount

UNIX = UNIXAddress(b"/run/wampha.sock")


def v4(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 50000)


def v6(host: str) -> IPv6Address:
    return IPv6Address("TCP", host, 50000)


def headcount(counters: Counters | None = None, **limits: Any) -> Headcount:
    return Headcount(limits=Limits(**limits), counters=counters or Counters())


def test_a_full_node_refuses_counts_and_says_it_once_until_there_is_room_again() -> None:
    counters = Counters()
    clients = headcount(counters, connections_max=20)
    with capturedLogs() as said:
        for number in range(20):
            assert clients.enter(v4(f"192.0.2.{number}")) is None
        for _ in range(5):
            assert clients.enter(v4("192.0.2.99")) == FULL
            clients.leave(v4("192.0.2.99"), refused=True)
        assert len(said) == 1 and len(clients) == 20
        for number in range(3):
            clients.leave(v4(f"192.0.2.{number}"), refused=False)
        assert clients.enter(v4("192.0.2.99")) is None
        assert len(said) == 2
    assert counters["connections_refused_max"] == 5


def test_one_address_has_no_more_than_its_share_and_others_are_let_in() -> None:
    counters, told = Counters(), []
    clients = Headcount(
        limits=Limits(address_connections_max=2),
        counters=counters,
        audit=lambda kind, fields: told.append((kind, fields)),
    )
    assert [clients.enter(v4("192.0.2.1")) for _ in range(3)] == [None, None, CROWDED]
    assert clients.enter(v4("192.0.2.2")) is None
    clients.leave(v4("192.0.2.1"), refused=True)
    assert clients.enter(v4("192.0.2.1")) == CROWDED
    clients.leave(v4("192.0.2.1"), refused=False)
    assert clients.enter(v4("192.0.2.1")) is None
    assert counters["connections_refused_address"] == 2
    assert told[0] == ("connection_refused", {"address": "192.0.2.1", "limit": "address_connections_max"})


def test_addresses_are_those_of_households_and_a_unix_socket_has_none() -> None:
    clients = headcount(address_connections_max=1)
    assert clients.enter(v6("2001:db8:1:2::1")) is None
    assert clients.enter(v6("2001:db8:1:2::2")) == CROWDED
    assert clients.enter(v6("2001:db8:1:3::1")) is None
    assert clients.enter(v4("192.0.2.1")) is None
    assert clients.enter(v6("::ffff:192.0.2.1")) == CROWDED  # an IPv4 client of an IPv6 port
    assert clients.enter(v6("::ffff:192.0.2.2")) is None
    assert clients.enter(v6("::1")) is None
    assert clients.enter(v6("::1")) == CROWDED
    assert [clients.enter(UNIX) for _ in range(3)] == [None] * 3


def test_no_address_is_limited_unless_asked_and_nothing_is_remembered_of_who_is_gone() -> None:
    clients = headcount()
    for _ in range(2000):
        assert clients.enter(v4("192.0.2.1")) is None
    for _ in range(2000):
        clients.leave(v4("192.0.2.1"), refused=False)
    assert len(clients) == 0 and not clients._by_address


def test_other_limits_hold_at_once() -> None:
    limits = PresentLimits.of(Limits())
    clients = Headcount(limits=limits, counters=Counters())
    for _ in range(3):
        clients.enter(v4("192.0.2.1"))
    limits.become(Limits(address_connections_max=2))
    assert clients.enter(v4("192.0.2.1")) == CROWDED
    limits.become(Limits(connections_max=3))
    assert clients.enter(v4("192.0.2.2")) == FULL


def test_few_wait_to_hear_that_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURNED_AWAY_MAX", 2)
    clients = headcount(connections_max=1)
    assert [clients.enter(UNIX) for _ in range(5)] == [None, FULL, FULL, "", ""]
    for _ in range(3):
        clients.leave(UNIX, refused=True)
    assert clients.enter(UNIX) == FULL


def test_a_websocket_client_that_is_too_many_gets_503_and_a_sentence() -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    transport.protocol.refusal = FULL
    transport.protocol.dataReceived(websocket_request())
    bench.clock.advance(0)
    head, _, body = transport.taken().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n") and body == FULL.encode() + b"\n"
    assert transport.half_closed and not bench.router.conversations


def test_a_rawsocket_client_that_is_too_many_gets_error_4() -> None:
    bench = Bench()
    transport = bench.connect(bench.rawsocket)
    transport.protocol.refusal = CROWDED
    transport.protocol.dataReceived(b"\x7f\xf1\0\0")
    assert transport.taken() == b"\x7f\x40\0\0"
    assert transport.half_closed and not bench.router.conversations
