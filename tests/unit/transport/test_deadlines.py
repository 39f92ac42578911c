"""Deadlines of many connections: each is kept, and no turn has all the work."""

from __future__ import annotations

import pytest

from tests.support.transports import Bench


@pytest.mark.parametrize("transport", ["rawsocket", "websocket"])
def test_many_silent_clients_are_cut_over_several_turns(transport: str) -> None:
    bench = Bench(ping_interval_s=10.0, ping_timeout_s=10.0)
    connect = bench.open_rawsocket if transport == "rawsocket" else bench.open_websocket
    transports = [connect() for _ in range(3000)]
    cut, most = 0, 0
    while cut < len(transports):
        bench.clock.advance(0.1)
        now = sum(each.aborted for each in transports)
        most, cut = max(most, now - cut), now
        assert bench.clock.seconds() < 25.0
    assert 0 < most <= 200
    assert bench.counted["clients_cut_silent"] == len(transports)


def test_pings_to_many_are_spread() -> None:
    bench = Bench(ping_interval_s=10.0)
    transports = [bench.open_rawsocket() for _ in range(3000)]
    pinged, most = 0, 0
    while pinged < len(transports):
        bench.clock.advance(0.1)
        now = sum(bool(each.writes) for each in transports)
        most, pinged = max(most, now - pinged), now
        assert bench.clock.seconds() < 12.0
    assert most <= 300
