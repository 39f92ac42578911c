"""A client that feeds a node which is behind waits; nobody else does (design section 6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rawclients import TEXT, raw_frame, ws_frame
from tests.support.transports import Bench, RecordingTransport
from wampha.state.commands import Owner

B, C = Owner("b", 2), Owner("c", 3)


@pytest.fixture
def bench() -> Bench:
    """Each message goes to the nodes that are named in it, which are behind."""
    bench = Bench()

    def on_message(_: Any, message: Any) -> None:
        for name in message[1:]:
            bench.delivery.behind({"b": B, "c": C}[name])

    bench.router.on_message = on_message
    return bench


def received(bench: Bench, number: int = 0) -> list[Any]:
    return [message[0] for message in bench.router.conversations[number].received]


def frame(text: str) -> bytes:
    return raw_frame(text.encode())


@pytest.mark.parametrize("websocket", [False, True])
def test_who_feeds_a_node_that_is_behind_is_stopped_behind_the_message_and_goes_on_where_he_was(
    bench: Bench, websocket: bool
) -> None:
    transport = bench.open_websocket() if websocket else bench.open_rawsocket()
    texts = ['[1, "b"]', "[2]", "[3]"]
    frames = [ws_frame(text.encode(), TEXT) if websocket else frame(text) for text in texts]
    transport.protocol.dataReceived(b"".join(frames))
    assert received(bench) == [1]
    assert not transport.reading
    assert bench.counters["clients_paused"] == 1
    bench.turn(), bench.turn()
    assert received(bench) == [1]
    bench.delivery.relieved(B)
    assert received(bench) == [1]  # in a later turn
    bench.turn()
    assert received(bench) == [1, 2, 3]
    assert transport.reading


def test_others_go_on(bench: Bench) -> None:
    feeder, other = bench.open_rawsocket(), bench.open_rawsocket()
    feeder.protocol.dataReceived(frame('[1, "b"]'))
    other.protocol.dataReceived(frame("[1]"))
    assert (feeder.reading, other.reading) == (False, True)
    assert received(bench, 1) == [1]


def test_who_feeds_two_waits_for_both(bench: Bench) -> None:
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(frame('[1, "b", "c"]') + frame("[2]"))
    bench.delivery.relieved(B)
    bench.turn()
    assert received(bench) == [1]
    bench.delivery.relieved(C)
    bench.turn()
    assert received(bench) == [1, 2]
    assert bench.counters["clients_paused"] == 1


def test_a_gate_that_opens_does_not_let_him_go(bench: Bench) -> None:
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(frame('[1, "b"]'))
    transport.protocol.dataReceived(frame("[2]"))  # TLS may have read it before
    bench.gate.poll()
    bench.turn()
    assert received(bench) == [1]
    bench.delivery.relieved(B)
    bench.turn()
    assert received(bench) == [1, 2]


def test_his_silence_is_not_held_against_him(bench: Bench) -> None:
    transport: RecordingTransport = bench.open_rawsocket()
    transport.protocol.dataReceived(frame('[1, "b"]'))
    bench.clock.pump([0.1] * 600)
    assert not transport.aborted
    bench.delivery.relieved(B)
    bench.clock.pump([0.1] * 600)
    assert transport.aborted
    assert bench.counters["clients_cut_silent"] == 1


def test_who_is_sent_away_can_still_close(bench: Bench) -> None:
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(frame('[1, "b"]'))
    bench.router.conversations[0].client.finish()
    bench.turn()
    assert transport.reading


def test_who_is_gone_is_forgotten(bench: Bench) -> None:
    transport = bench.open_rawsocket()
    transport.protocol.dataReceived(frame('[1, "b"]'))
    transport.lose()
    assert not bench.delivery.pressure._waiting[B]
    bench.delivery.relieved(B)
    bench.turn()


def test_what_no_client_sent_pauses_nobody(bench: Bench) -> None:
    transport = bench.open_rawsocket()
    bench.delivery.behind(B)
    transport.protocol.dataReceived(frame("[1]"))
    assert transport.reading
    assert bench.counters["clients_paused"] == 0
